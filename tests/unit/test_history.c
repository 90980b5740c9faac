/* SPDX-License-Identifier: MIT */
/* Runs in log/, the index's view of them, backup ids, notes. */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/hex.h"
#include "store/history.h"
#include "tests/lib/testrepo.h"

static struct testrepo repo;

static int setup(void **state)
{
	(void)state;
	testrepo_make(&repo);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testrepo_remove(&repo);
	return 0;
}

/* A name of a snapshot that is there only as a file. */
#define SNAP "2026-11-21T02-00-00Z-1c9e0d2a3b4c5d6e"

static struct history_run run_at(int64_t sec, char id[BACKUP_ID_MAX + 1])
{
	struct history_run r = { .id = id, .type = "postgres", .component = "crm", .snapshot = SNAP,
				 .status = "ok", .error = "", .time = { .sec = sec }, .has_checksum = true,
				 .bytes = 51006108, .seconds = 1.5 };

	memset(r.checksum.b, 0xab, sizeof(r.checksum.b));
	history_id(id, "postgres", NULL, r.time);
	return r;
}

static void test_ids(void **state)
{
	static const char *const good[] = { "postgres_20261121_020000", "mysql-shop_20261121_020000", "x_20261121_020000",
					    "postgres-a_b_20261121_020000" };
	static const char *const bad[] = { "", "latest", "2026-11-21", "_20261121_020000", "postgres_20261121-020000",
					   "postgres_2026112_1020000", "postgres_20261121_02000", "pos:tgres_20261121_020000",
					   "pos/tgres_20261121_020000", "p\033_20261121_020000", "postgres_20261121_020000 " };
	char id[BACKUP_ID_MAX + 1];
	struct vtime t = { .sec = 1795226400 };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(history_is_id(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(history_is_id(bad[i]));
	history_id(id, "postgres", NULL, t);
	assert_string_equal(id, "postgres_20261121_020000");
	history_id(id, "mysql", "shop", t);
	assert_string_equal(id, "mysql-shop_20261121_020000");
	t.sec = INT64_MAX;
	history_id(id, "mysql", "shop", t);
	assert_true(history_is_id(id));
}

/* As vouch history does: an opening alone does not read a log that has grown. */
static size_t look(void)
{
	struct history_runs l = { 0 };
	size_t nr;

	OK(history_runs_read(repo.s, &l, &ok_err));
	nr = l.nr;
	history_runs_release(&l);
	return nr;
}

/* The view, as sqlite3(1) shows it: rows of columns with '|' between, ';' behind. */
static int on_row(void *ctx, int nr, char **v, char **names)
{
	char *out = ctx;

	(void)names;
	for (int i = 0; i < nr; i++)
		(void)snprintf(out + strlen(out), 4096 - strlen(out), "%s%s", v[i] ? v[i] : "NULL", i + 1 < nr ? "|" : ";");
	return 0;
}

static const char *view(const char *sql)
{
	static char out[4096];
	char path[256], *why = NULL;
	sqlite3 *db = NULL;

	out[0] = '\0';
	(void)snprintf(path, sizeof(path), "%s/index.db", repo.path);
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	if (sqlite3_exec(db, sql, on_row, out, &why) != SQLITE_OK)
		fail_msg("%s", why);
	sqlite3_close(db);
	return out;
}

#define SUM8 "abababab"
#define ALL "SELECT * FROM backup_history"
#define ROW1 "postgres_20261121_020000|postgres|2026-11-21T02:00:00Z|" SUM8 SUM8 SUM8 SUM8 SUM8 SUM8 SUM8 SUM8 \
	     "|51006108|ok|crm|" SNAP "|1.5|;"
#define ROW2 "postgres_20261122_020000|postgres|2026-11-22T02:00:00Z||0|failed|crm||0.0|pg_dump: \"x\\y\" ?\xc3\xa4 gone;"

static void add_two(void)
{
	char id[BACKUP_ID_MAX + 1];
	struct history_run r;

	r = run_at(1795312800, id);
	r.status = "failed";
	r.error = "pg_dump: \"x\\y\"\n\xff\xc3\xa4\tgone";
	r.snapshot = "";
	r.has_checksum = false;
	r.bytes = 0;
	r.seconds = 0;
	OK(history_add_run(repo.s, &r, &ok_err));
	r = run_at(1795226400, id);
	OK(history_add_run(repo.s, &r, &ok_err));
}

/* What was written is read, oldest first, whatever the order in the log. */
static void test_round_trip(void **state)
{
	struct history_runs l = { 0 };
	struct err e = ERR_INIT;
	char id[BACKUP_ID_MAX + 1];
	struct history_run r;

	(void)state;
	testrepo_open(&repo, STORE_WRITE);
	assert_int_equal(look(), 0);
	add_two();
	OK(history_runs_read(repo.s, &l, &ok_err));
	assert_int_equal(l.nr, 2);
	assert_string_equal(l.all[0].id, "postgres_20261121_020000");
	assert_string_equal(l.all[1].id, "postgres_20261122_020000");
	assert_string_equal(l.all[1].error, "pg_dump: \"x\\y\" ?\xc3\xa4 gone");
	assert_false(l.all[1].has_checksum);
	history_runs_release(&l);
	assert_string_equal(view(ALL), ROW1 ROW2);
	assert_string_equal(view("SELECT backup_id FROM backup_history WHERE status <> 'ok'"), "postgres_20261122_020000;");
	assert_string_equal(view("SELECT datetime(timestamp) FROM backup_history LIMIT 1"), "2026-11-21 02:00:00;");
	r = run_at(1, id);
	r.component = "a/b";
	assert_int_equal(history_add_run(repo.s, &r, &e), ERR_USAGE);
	r.component = "crm";
	r.id = "no id";
	assert_int_equal(history_add_run(repo.s, &r, &e), ERR_USAGE);
	assert_int_equal(repo.warnings, 0);
}

/* The index is disposable: lost, or older than log/, the view comes back. */
static void test_index_lost(void **state)
{
	uint8_t *old;
	size_t len;

	(void)state;
	testrepo_open(&repo, STORE_WRITE);
	testrepo_close(&repo);
	old = testrepo_read(&repo, "index.db", &len);
	assert_non_null(old);
	testrepo_open(&repo, STORE_WRITE);
	add_two();
	testrepo_close(&repo);
	testrepo_unlink(&repo, "index.db");
	testrepo_open(&repo, STORE_READ);
	assert_string_equal(view(ALL), ROW1 ROW2);
	testrepo_close(&repo);
	testrepo_write(&repo, "index.db", "garbage", 7);
	testrepo_open(&repo, STORE_READ);
	assert_string_equal(view(ALL), ROW1 ROW2);
	testrepo_close(&repo);
	/* One of another day, as an rsync of log/ alone would leave it. */
	testrepo_write(&repo, "index.db", old, len);
	assert_string_equal(view(ALL), "");
	testrepo_open(&repo, STORE_READ);
	(void)look();
	assert_string_equal(view(ALL), ROW1 ROW2);
	assert_int_equal(repo.damages + repo.warnings, 0);
	free(old);
}

/* A log of another host comes by an rsync; one that came twice counts once. */
static void test_log_comes(void **state)
{
	char name[64], id[BACKUP_ID_MAX + 1], month[8], now[TIME_TEXT_LEN + 1], hex[33];
	struct history_run r;
	uint8_t *text, writer[16];
	size_t len;

	(void)state;
	testrepo_open(&repo, STORE_WRITE);
	add_two();
	store_now(now);
	(void)snprintf(month, sizeof(month), "%.7s", now);
	OK(writer_identity(repo.s, writer, NULL, &ok_err));
	(void)snprintf(name, sizeof(name), "log/%.8s-%s.ndjson", hex_encode(writer, 16, hex), month);
	text = testrepo_read(&repo, name, &len);
	assert_non_null(text);
	testrepo_close(&repo);
	testrepo_unlink(&repo, name);
	testrepo_open(&repo, STORE_WRITE);
	(void)look();
	assert_string_equal(view(ALL), "");
	r = run_at(1795226400 - 86400, id);
	OK(history_add_run(repo.s, &r, &ok_err));
	testrepo_close(&repo);
	testrepo_write(&repo, "log/00000000-2026-11.ndjson", text, len);
	testrepo_write(&repo, "log/00000001-2026-11.ndjson", text, len);
	testrepo_open(&repo, STORE_READ);
	(void)look();
	assert_string_equal(view("SELECT backup_id FROM backup_history"),
			    "postgres_20261120_020000;postgres_20261121_020000;postgres_20261122_020000;");
	free(text);
}

/* Anybody who can write to the medium can write such lines. */
static void test_hostile(void **state)
{
	static const char good[] = "\"id\":\"postgres_20261121_020000\",\"type\":\"postgres\",\"component\":\"crm\","
				   "\"began\":\"2026-11-21T02:00:00.000000000Z\",\"status\":\"ok\",\"snapshot\":\"" SNAP "\","
				   "\"bytes\":\"1\",\"ms\":5";
	static const struct {
		const char *from, *to;
	} bad[] = {
		{ "postgres_2026", "pos\\u001btgres_2026" }, { "postgres_2026", "../postgres_2026" },
		{ "\"type\":\"postgres\"", "\"type\":7" },   { "\"crm\"", "\"../crm\"" },
		{ "\"crm\"", "\"c\\u009b2Jm\"" },	     { "postgres_2026", "post\\u009bgres_2026" },
		{ "\"crm\"", "\"\"" },			     { "2026-11-21T", "2026-13-21T" },
		{ "\"ok\"", "\"fine\"" },		     { SNAP, "../../etc/passwd" },
		{ "\"1\"", "\"-1\"" },			     { "\"ms\":5", "\"ms\":{}" },
		{ "\"ms\":5", "\"ms\":5,\"sha256\":\"xy\"" }, { "\"ms\":5", "\"ns\":5" },
	};
	struct history_runs l = { 0 };
	char line[1024];

	(void)state;
	testrepo_open(&repo, STORE_WRITE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *at = strstr(good, bad[i].from);

		assert_non_null(at);
		(void)snprintf(line, sizeof(line), "%.*s%s%s", (int)(at - good), good, bad[i].to, at + strlen(bad[i].from));
		OK(runlog_append(repo.s, "run", line, &ok_err));
	}
	OK(runlog_append(repo.s, "run", "", &ok_err));
	assert_int_equal(look(), 0);
	(void)snprintf(line, sizeof(line), "%s,\"error\":\"a\\u001b[31mb\\nc\"", good);
	OK(runlog_append(repo.s, "run", line, &ok_err));
	OK(history_runs_read(repo.s, &l, &ok_err));
	assert_int_equal(l.nr, 1);
	assert_string_equal(l.all[0].error, "a [31mb c");
	assert_true(l.all[0].seconds > 0.004 && l.all[0].seconds < 0.006);
	history_runs_release(&l);
}

static void make_snapshot(const char *name)
{
	char file[128];

	(void)snprintf(file, sizeof(file), "snapshots/%s.json", name);
	testrepo_write(&repo, file, "{}", 2);
}

static void test_find(void **state)
{
	char *snapshot = NULL, *component = NULL, *good = NULL, id[BACKUP_ID_MAX + 1];
	struct err e = ERR_INIT;
	struct history_run r;

	(void)state;
	testrepo_open(&repo, STORE_WRITE);
	make_snapshot(SNAP);
	add_two();
	OK(history_find(repo.s, "postgres_20261121_020000", &snapshot, &component, &ok_err));
	assert_string_equal(snapshot, SNAP);
	assert_string_equal(component, "crm");
	free(snapshot);
	free(component);
	assert_int_equal(history_find(repo.s, "postgres_20261123_020000", &snapshot, &component, &e), ERR_NOT_FOUND);
	assert_int_equal(history_find(repo.s, "postgres_20261122_020000", &snapshot, &component, &e), ERR_FAILED);
	assert_string_equal(e.msg, "backup postgres_20261122_020000 failed: pg_dump: \"x\\y\" ?\xc3\xa4 gone; "
				   "the newest good one of postgres crm is postgres_20261121_020000");
	/* Another database's is no help. */
	r = run_at(1795226400 + 60, id);
	r.component = "other";
	OK(history_add_run(repo.s, &r, &ok_err));
	testrepo_unlink(&repo, "snapshots/" SNAP ".json");
	assert_int_equal(history_find(repo.s, "postgres_20261121_020000", &snapshot, &component, &e), ERR_FAILED);
	assert_string_equal(e.msg, "the snapshot of backup postgres_20261121_020000 was let go; there is no good one of "
				   "postgres crm");
	OK(history_newest_good(repo.s, "postgres_20261121_020000", &good, &ok_err));
	assert_null(good);
	make_snapshot(SNAP);
	OK(history_newest_good(repo.s, "postgres_20261122_020000", &good, &ok_err));
	assert_string_equal(good, "postgres_20261121_020000");
	free(good);
}

static enum err_code see_note(void *ctx, const char *time, const char *json, struct err *e)
{
	char *out = ctx;

	(void)e;
	assert_int_equal(strlen(time), TIME_TEXT_LEN);
	assert_int_equal(json[strlen(json) - 1], '}');
	(void)snprintf(out + strlen(out), 512 - strlen(out), "%.1s ", strstr(json, "\"n\":") + 4);
	return ERR_OK;
}

static void test_notes(void **state)
{
	char out[512] = "";

	(void)state;
	testrepo_open(&repo, STORE_WRITE);
	OK(history_note(repo.s, "way-back", "\"n\":1", &ok_err));
	OK(history_note(repo.s, "validate", "\"n\":2", &ok_err));
	OK(history_note(repo.s, "way-back", "\"n\":3", &ok_err));
	OK(history_each_note(repo.s, "way-back", see_note, out, &ok_err));
	assert_string_equal(out, "1 3 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_index_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_find, setup, teardown),
		cmocka_unit_test_setup_teardown(test_notes, setup, teardown),
	};

	return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
