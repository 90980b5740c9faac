/* SPDX-License-Identifier: MIT */
/* Ways back: what a recover leaves, vouch rollback takes and lists, and what is let go; with components that are text files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/base/checked.h"
#include "store/history.h"
#include "tests/lib/boxcmd.h"

const struct component_ops *const component_types[] = { &box_type, &heap_type, NULL };

static const char whole[] = "a.orders 10\na.customers 20\nb.items 30\n";

static int setup(void **state)
{
	(void)boxcmd_setup(state);
	put(box, whole);
	return 0;
}

static void test_safety_dump(void **state)
{
	free(snapshot("crm"));
	(void)state;
	configure("way = dump", "");
	put(box, "a.orders 9\n");
	assert_status(RECOVER("crm", "--yes"), 0);
	assert_said("what is there now is kept in snapshot");
	/* It is never taken for a backup. */
	assert_status(RECOVER("crm", "--yes"), 0);
	assert_file(box, whole);
	assert_status(ROLLBACK("--list"), 0);
	assert_status(ROLLBACK("crm", "--yes"), 0);
	assert_file(box, whole);
	assert_status(ROLLBACK("crm", "--yes", "--dry-run"), 0);
	assert_file(box, whole);
	assert_status(ROLLBACK("crm", "--yes", "-v"), 0);
	assert_said("2 compared and equal, 0 different");
	assert_file(box, "a.orders 9\n");
	testrepo_open(&repo, STORE_READ);
	{
		struct snapshot_list l;

		OK(snapshot_list_read(repo.s, &l, &ok_err));
		assert_int_equal(l.nr, 1);
		snapshot_list_release(&l);
	}
	testrepo_close(&repo);
}

static void test_gone_way(void **state)
{
	char command_text[300];

	free(snapshot("crm"));
	(void)state;
	put(box, "a.orders 8\n");
	assert_status(RECOVER("crm", "--yes"), 0);
	put(box, "a.orders 9\n");
	assert_status(RECOVER("crm", "--yes"), 0);
	assert_status(ROLLBACK("--list", "crm"), 0);
	assert_said("crm  20");
	assert_said("copy, before a recover from");
	assert_status(ROLLBACK("--list", "--json"), 0);
	assert_said("\"kept_until\"");
	(void)snprintf(command_text, sizeof(command_text), "rm $(ls -t %s.before.* | head -1)", box);
	assert_int_equal(system(command_text), 0);
	assert_status(ROLLBACK("crm", "--yes"), 1);
	assert_said("run it again to take the way back before it");
	assert_file(box, whole);
	assert_status(ROLLBACK("crm", "--yes"), 0);
	assert_file(box, "a.orders 8\n");
}

static void test_old_ways_are_let_go(void **state)
{
	char line[1024], host[256], copy[300];

	free(snapshot("crm"));
	(void)state;
	assert_int_equal(gethostname(host, sizeof(host)), 0);
	(void)snprintf(copy, sizeof(copy), "%s.old", box);
	put(copy, "old 1\n");
	(void)snprintf(line, sizeof(line), "\"id\":\"crm_1\",\"state\":\"made\",\"component\":\"crm\",\"type\":\"box\","
		       "\"host\":\"%s\",\"from\":\"\",\"into\":\"\",\"made\":%ld,\"items\":[],"
		       "\"way\":{\"kind\":\"copy\",\"copy\":\"%s\",\"of\":\"%s\"}",
		       host, (long)time(NULL) - 8 * 86400, copy, box);
	testrepo_open(&repo, STORE_WRITE);
	OK(history_note(repo.s, "way-back", line, &ok_err));
	/* Of another host: nobody's business here. */
	(void)snprintf(line, sizeof(line), "\"id\":\"crm_2\",\"state\":\"made\",\"component\":\"crm\",\"type\":\"box\","
		       "\"host\":\"elsewhere\",\"made\":%ld,\"way\":{\"kind\":\"copy\",\"copy\":\"%s\",\"of\":\"%s\"}",
		       (long)time(NULL) - 8 * 86400, box, box);
	OK(history_note(repo.s, "way-back", line, &ok_err));
	testrepo_close(&repo);
	assert_status(RECOVER("crm", "--yes"), 0);
	assert_said("older than seven days, and was let go");
	assert_int_not_equal(access(copy, F_OK), 0);
	assert_int_equal(access(box, F_OK), 0);
	assert_status(RECOVER("crm", "--yes"), 0);
	assert_null(strstr(said, "seven days, and was let go"));
}

/* A safety dump is not gone because something else is, or because its record cannot be read just now. */
static void test_safety_dump_is_kept(void **state)
{
	char line[1200], *safety;

	(void)state;
	free(snapshot("crm"));
	configure("way = dump", "");
	put(box, "a.orders 9\n");
	assert_status(RECOVER("crm", "--yes"), 0);
	safety = newest_snapshot();
	configure("way = dump\ntrouble = lost", "");
	assert_status(ROLLBACK("crm", "--yes"), 1);
	assert_said("no shelf for the box; run the rollback again");
	configure("way = dump", "");
	(void)snprintf(line, sizeof(line), "cd '%s' && for f in snapshots/%s.json copies/snapshots/%s.json; do mv $f $f.kept && : >$f; done",
		       repo.path, safety, safety);
	assert_int_equal(system(line), 0);
	assert_status(ROLLBACK("crm", "--yes"), 4);
	assert_said("is damaged; run 'vouch repair'");
	assert_file(box, whole);
	(void)snprintf(line, sizeof(line), "cd '%s' && for f in snapshots/%s.json copies/snapshots/%s.json; do mv $f.kept $f; done",
		       repo.path, safety, safety);
	assert_int_equal(system(line), 0);
	assert_status(ROLLBACK("crm", "--yes"), 0);
	assert_file(box, "a.orders 9\n");
	free(safety);
}

/* What is overwritten is named; and what there is can be listed though no component is configured any more. */
static void test_into(void **state)
{
	char other[300], text[400];

	(void)state;
	free(snapshot("crm"));
	(void)snprintf(other, sizeof(other), "%s/other", repo.dir);
	put(other, "x 1\n");
	assert_status(on_terminal(&cmd_recover, "in 5 s", ARGS("crm", "--into", other)), 1);
	(void)snprintf(text, sizeof(text), "\r%s will be overwritten in 5 s", other);
	assert_said(text);
	assert_status(RECOVER("crm", "--yes", "--into", other), 0);
	assert_status(on_terminal(&cmd_rollback, "in 5 s", ARGS("crm")), 1);
	assert_said(text);
	(void)snprintf(text, sizeof(text), "[repository]\npath = %s\n", repo.path);
	put(conf, text);
	assert_status(ROLLBACK("--list"), 0);
	assert_said("crm  20");
	(void)snprintf(text, sizeof(text), "copy of %s, before a recover", other);
	assert_said(text);
	assert_status(ROLLBACK("--list", "crm"), 2);
	put(conf, "[component crm]\ntype = box\nfile = x\n");
	assert_status(ROLLBACK("--list"), 2);
	(void)snprintf(text, sizeof(text), "or write 'path = PATH' below [repository] in %s", conf);
	assert_said(text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, boxcmd_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_safety_dump),
		TEST(test_safety_dump_is_kept),
		TEST(test_into),
		TEST(test_gone_way),
		TEST(test_old_ways_are_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
