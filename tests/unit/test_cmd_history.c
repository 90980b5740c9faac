/* SPDX-License-Identifier: MIT */
/* vouch history: the list, an item through the snapshots; and a backup's id where a snapshot is meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/assemble.h"
#include "store/base/checked.h"
#include "tests/lib/sandbox.h"
#include "tests/lib/testrepo.h"
#include "tools/commands.h"
#include "tools/history.h"

#define MAX_OUT 16384

/* The command as typed; what it printed, on both. */
static int vouch_history(struct sandbox *sb, char out[MAX_OUT], const char *const *args)
{
	/* Where a configuration is given it says which repository. */
	struct app a = { .command = &cmd_history, .repo = args && strcmp(args[0], "--config") == 0 ? NULL : sb->repo };
	const char *argv[16] = { "history" };
	int argc = 1, status, kept[2], fd;
	char path[300];
	ssize_t n;

	while (args && args[argc - 1] && argc < 15) {
		argv[argc] = args[argc - 1];
		argc++;
	}
	(void)snprintf(path, sizeof(path), "%s/out", sb->dir);
	(void)fflush(stdout);
	kept[0] = dup(1);
	kept[1] = dup(2);
	assert_non_null(freopen(path, "w+", stdout));
	assert_true(dup2(fileno(stdout), 2) == 2);
	optind = 0;
	status = app_end(&a, cmd_history.run(&a, argc, (char **)(uintptr_t)argv));
	fd = fileno(stdout);
	n = pread(fd, out, MAX_OUT - 1, 0);
	assert_true(n >= 0);
	out[n] = '\0';
	assert_true(dup2(kept[0], 1) == 1 && dup2(kept[1], 2) == 2);
	(void)close(kept[0]);
	(void)close(kept[1]);
	return status;
}

#define HISTORY(sb, out, ...) vouch_history(sb, out, (const char *const[]){ __VA_ARGS__, NULL })

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in: %s", part, text);
}

static void assert_hasnt(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" in: %s", part, text);
}

/* A snapshot of crm with so many rows of orders (negative: no such table) and 7 of customers; its name. */
static const char *snapshot(struct sandbox *sb, int rows, char sum, const char *tag)
{
	static char names[4][64], text[1024];
	static unsigned n;
	const struct component_outcome ok = { (char *)"crm", (char *)"postgres", (char *)"ok", (char *)"" };
	const struct assembly_options o = { .tags = &tag, .nr_tags = tag ? 1 : 0 };
	struct snapshot snap = { 0 };
	struct assembly *a;
	char item[256] = "", sums[33];

	memset(sums, sum, 32);
	sums[32] = '\0';
	if (rows >= 0)
		(void)snprintf(item, sizeof(item), ",{\"kind\":\"table\",\"name\":\"public.orders\",\"rows\":\"%d\",\"sum\":\"%s\"}",
			       rows, sums);
	(void)snprintf(text, sizeof(text), "{\"type\":\"postgres\",\"component\":\"crm\",\"instant\":\"2026-11-21T02:00:00.123Z\","
		       "\"files\":[],\"items\":[{\"kind\":\"table\",\"name\":\"public.customers\",\"rows\":\"7\",\"sum\":\"%s\"}%s]}",
		       sums, item);
	OK(assembly_open(sb->s, &o, &a, &ok_err));
	OK(assembly_put(a, "postgres/crm/database.dump", text, strlen(text), &ok_err));
	OK(assembly_put(a, "postgres/crm/facts.json", text, strlen(text), &ok_err));
	OK(assembly_publish(a, &ok, 1, &snap, &ok_err));
	assembly_close(a);
	n = (n + 1) % 4;
	(void)snprintf(names[n], sizeof(names[n]), "%s", snap.name);
	snapshot_release(&snap);
	return names[n];
}

static void add_run(struct sandbox *sb, const char *type, int64_t sec, const char *snap, const char *error)
{
	char id[BACKUP_ID_MAX + 1];
	const struct history_run r = { .id = id, .type = type, .component = "crm", .snapshot = snap ? snap : "",
				       .status = error ? "failed" : "ok", .error = error ? error : "",
				       .time = { .sec = sec }, .bytes = snap ? 51006108 : 0, .seconds = 1.5 };

	history_id(id, type, NULL, r.time);
	OK(history_add_run(sb->s, &r, &ok_err));
}

static void test_list(void **state)
{
	struct sandbox *sb = *state;
	int64_t now = time(NULL);
	char out[MAX_OUT], id[BACKUP_ID_MAX + 1];
	const char *snap;

	assert_int_equal(HISTORY(sb, out, "-q"), STATUS_DONE);
	assert_string_equal(out, "");
	assert_int_equal(vouch_history(sb, out, NULL), STATUS_DONE);
	assert_string_equal(out, "vouch history: nothing was run yet\n");
	snap = snapshot(sb, 5, 'a', NULL);
	add_run(sb, "postgres", 1795226400, snap, NULL);
	add_run(sb, "postgres", 1763690400, "2025-11-21T02-00-00Z-1c9e0d2a3b4c5d6e", NULL);
	add_run(sb, "mysql", now - 3600, NULL, "mysqldump: \033[31mgone");
	add_run(sb, "mysql", now - 9 * 86400, NULL, "long ago");
	assert_int_equal(vouch_history(sb, out, NULL), STATUS_DONE);
	assert_has(out, "postgres\n  postgres_20251121_020000: 2025-11-21 02:00:00 (48.6 MiB), its snapshot was let go\n");
	assert_has(out, "\n  postgres_20261121_020000: 2026-11-21 02:00:00 (48.6 MiB)\n");
	assert_has(out, " FAILED: mysqldump:  [31mgone\n");
	assert_true(strstr(out, "mysql\n  mysql_") == out);
	assert_has(out, "\nfailed in the last 7 days: mysql 1\n");
	assert_int_equal(HISTORY(sb, out, "--type", "postgres", "--last", "1"), STATUS_DONE);
	assert_has(out, "postgres_20261121_020000");
	assert_hasnt(out, "postgres_20251121_020000");
	assert_hasnt(out, "mysql_");
	assert_int_equal(HISTORY(sb, out, "--failed", "--since", "7d"), STATUS_DONE);
	assert_has(out, "gone");
	assert_hasnt(out, "long ago");
	assert_hasnt(out, "postgres_");
	assert_int_equal(HISTORY(sb, out, "--json"), STATUS_DONE);
	assert_has(out, "\"backup_id\":\"postgres_20261121_020000\",\"backup_type\":\"postgres\",\"component\":\"crm\","
			"\"timestamp\":\"2026-11-21T02:00:00Z\",\"status\":\"ok\",\"checksum\":\"\",\"size_bytes\":51006108,");
	assert_has(out, "\"type\":\"failures\",\"days\":7,\"by_type\":{\"mysql\":1,\"postgres\":0}");
	history_id(id, "mysql", NULL, (struct vtime){ .sec = now - 3600 });
	assert_has(out, id);
	assert_int_equal(HISTORY(sb, out, "--since", "soon"), STATUS_USAGE);
	assert_int_equal(HISTORY(sb, out, "--last", "0"), STATUS_USAGE);
	assert_int_equal(HISTORY(sb, out, "more"), STATUS_USAGE);
	assert_int_equal(HISTORY(sb, out, "--of", "a.b", "--failed"), STATUS_USAGE);
}

static void test_config(void **state)
{
	struct sandbox *sb = *state;
	char out[MAX_OUT], file[300];
	FILE *f;

	add_run(sb, "postgres", 1795226400, NULL, "no server");
	(void)snprintf(file, sizeof(file), "%s/vouch.conf", sb->dir);
	assert_int_equal(HISTORY(sb, out, "--config", file), STATUS_USAGE);
	assert_has(out, "no configuration ");
	f = fopen(file, "we");
	assert_non_null(f);
	assert_true(fprintf(f, "[repository]\npath = %s\n", sb->repo) > 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(HISTORY(sb, out, "--config", file), STATUS_DONE);
	assert_has(out, "FAILED: no server\n");
	assert_int_equal(HISTORY(sb, out, "--config", file, "--repo", "/nonexistent/repo"), STATUS_ABSENT);
}

/* One line a snapshot, in order; where rows went is marked; what only vouch keeps is left out. */
static void test_of(void **state)
{
	struct sandbox *sb = *state;
	char out[MAX_OUT], *line[8], *save = NULL;
	size_t nr = 0;

	(void)snapshot(sb, 49000, 'a', NULL);
	(void)snapshot(sb, 50000, 'b', NULL);
	(void)snapshot(sb, 50000, 'c', NULL);
	(void)snapshot(sb, 1, 'd', TAG_SAFETY);
	(void)snapshot(sb, 120, 'd', NULL);
	(void)snapshot(sb, -1, 'd', NULL);
	(void)snapshot(sb, 120, 'd', NULL);
	assert_int_equal(HISTORY(sb, out, "--of", "crm.orders", "--json"), STATUS_DONE);
	assert_has(out, "\"rows\":120,\"sum\":\"dddddddddddddddddddddddddddddddd\",\"present\":true,\"dropped\":true,");
	assert_has(out, "\"present\":false,\"dropped\":true,");
	assert_int_equal(HISTORY(sb, out, "--of", "crm.public.orders"), STATUS_DONE);
	assert_int_equal(HISTORY(sb, out, "--of", "crm.orders"), STATUS_DONE);
	for (char *at = out; nr < 8 && (line[nr] = strtok_r(at, "\n", &save)); at = NULL)
		nr++;
	assert_int_equal(nr, 6);
	assert_has(line[0], "table public.orders        49,000  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	assert_has(line[1], "50,000  bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb  1,000 more");
	assert_has(line[2], "cccccccccccccccccccccccccccccccc  changed");
	assert_has(line[3], "120  dddddddddddddddddddddddddddddddd  <-- DROP: 49,880 rows fewer");
	assert_has(line[4], "-  <-- GONE: it had 120 rows");
	assert_hasnt(line[5], "<--");
	assert_int_equal(HISTORY(sb, out, "--of", "crm.orderz"), STATUS_FAILED);
	assert_has(out, "no snapshot has \"crm.orderz\"; the newest has public.customers, public.orders\n");
	assert_int_equal(HISTORY(sb, out, "--of", "crn.orders"), STATUS_FAILED);
	assert_has(out, "no snapshot has a component that \"crn.orders\" is of");
	assert_int_equal(HISTORY(sb, out, "--of", "crm."), STATUS_FAILED);
}

static void test_ids(void **state)
{
	struct sandbox *sb = *state;
	struct app a = { .command = &cmd_history, .repo = sb->repo };
	char name[64], file[400], copy[400];
	struct target t = { 0 };
	struct err e = ERR_INIT;

	(void)snprintf(name, sizeof(name), "%s", snapshot(sb, 5, 'a', NULL));
	add_run(sb, "postgres", 1795226400, name, NULL);
	(void)snapshot(sb, 6, 'a', NULL);
	OK(target_find(&a, sb->s, "postgres_20261121_020000:postgres/crm/database.dump", &t, &ok_err));
	assert_string_equal(t.snapshot->name, name);
	assert_int_equal(t.ref.e.type, ENTRY_FILE);
	target_release(sb->s, &t);
	a.filter.host = "another";	/* the id says it all */
	OK(target_find(&a, sb->s, "postgres_20261121_020000", &t, &ok_err));
	target_release(sb->s, &t);
	a.filter.host = NULL;
	assert_int_equal(target_find(&a, sb->s, "postgres_20261121_020001", &t, &e), ERR_NOT_FOUND);
	add_run(sb, "postgres", 1795226460, NULL, "no server");
	assert_int_equal(target_find(&a, sb->s, "postgres_20261121_020100:x", &t, &e), ERR_FAILED);
	assert_has(e.msg, "no server; the newest good one of postgres crm is postgres_20261121_020000");
	/* Both files of it damaged. */
	add_run(sb, "postgres", 1795226520, snapshot(sb, 7, 'a', NULL), NULL);
	(void)snprintf(file, sizeof(file), "%s/snapshots/%s.json", sb->repo, name);
	(void)snprintf(copy, sizeof(copy), "%s/copies/snapshots/%s.json", sb->repo, name);
	assert_int_equal(truncate(file, 10), 0);
	assert_int_equal(truncate(copy, 10), 0);
	sandbox_reopen(sb);
	assert_int_equal(target_find(&a, sb->s, "postgres_20261121_020000", &t, &e), ERR_CORRUPT);
	assert_has(e.msg, "is damaged; the newest good one is postgres_20261121_020200");
}

#define WITH_SANDBOX(f) cmocka_unit_test_setup_teardown(f, sandbox_setup, sandbox_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { WITH_SANDBOX(test_list), WITH_SANDBOX(test_config), WITH_SANDBOX(test_of), WITH_SANDBOX(test_ids) };

	return cmocka_run_group_tests_name("history command", tests, NULL, NULL);
}
