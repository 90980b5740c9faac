/* SPDX-License-Identifier: MIT */
/* vouch recover as typed, with a type of component that is a text file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/base/checked.h"
#include "store/history.h"
#include "tests/lib/boxcmd.h"
#include "tools/lock.h"

const struct component_ops *const component_types[] = { &box_type, &heap_type, NULL };

static char other[256];

static int setup(void **state)
{
	(void)boxcmd_setup(state);
	(void)snprintf(other, sizeof(other), "%s/other", repo.dir);
	put(box, "a.orders 10\na.customers 20\nb.items 30\n");
	return 0;
}

/* Recover */

static const char whole[] = "a.orders 10\na.customers 20\nb.items 30\n";

static void test_cycle(void **state)
{
	char *name = snapshot("crm");

	(void)state;
	put(box, "a.orders 9\n");
	assert_status(RECOVER("crm", "--yes"), 0);
	assert_file(box, whole);
	assert_said("6 compared and equal, 0 different");
	assert_said("within the target of 1:00");
	assert_said("vouch rollback crm");
	assert_status(ROLLBACK("crm", "--yes"), 0);
	assert_file(box, "a.orders 9\n");
	assert_status(ROLLBACK("crm", "--yes"), 1);
	assert_said("no way back is left");
	assert_int_equal(notes("recover"), 1);
	assert_said("\"outcome\":\"ok\"");
	assert_said(name);
	assert_int_equal(notes("rollback"), 1);
	free(name);
}

static void test_lost_wholly(void **state)
{
	free(snapshot("crm"));
	(void)state;
	assert_int_equal(unlink(box), 0);
	assert_status(RECOVER("crm", "--yes", "-v"), 0);
	assert_said("equal");
	assert_said("line a.customers");
	assert_file(box, whole);
}

static void test_dry_run(void **state)
{
	free(snapshot("crm"));
	(void)state;
	put(box, "a.orders 9\n");
	assert_status(RECOVER("crm", "--dry-run"), 0);
	assert_said("1. keep a copy");
	assert_said("2. write ");
	assert_file(box, "a.orders 9\n");
	assert_int_equal(notes("recover"), 0);
	assert_int_equal(notes("way-back"), 0);
	assert_status(RECOVER("crm", "--dry-run", "--json"), 0);
	assert_said("\"type\":\"plan\"");
	assert_said("\"steps\":[\"keep a copy\"");
}

static void test_into(void **state)
{
	free(snapshot("crm"));
	(void)state;
	put(box, "a.orders 9\n");
	assert_status(RECOVER("crm", "--yes", "--into", other), 0);
	assert_file(other, whole);
	assert_file(box, "a.orders 9\n");
	/* Nothing was there. */
	assert_status(ROLLBACK("crm", "--yes"), 1);
	put(other, "x 1\n");
	assert_status(RECOVER("crm", "--yes", "--into", other), 0);
	assert_status(ROLLBACK("crm", "--yes"), 0);
	assert_file(other, "x 1\n");
}

static void test_disagreement(void **state)
{
	free(snapshot("crm"));
	(void)state;
	put(box, "a.orders 9\n");
	configure("trouble = lie", "");
	assert_status(RECOVER("crm", "--yes"), 1);
	assert_said("line b.items");
	assert_said("differs");
	assert_said("30");
	assert_said("31");
	assert_said("5 compared and equal, 1 different");
	assert_said("run: vouch rollback crm");
	configure("trouble = newer", "");
	assert_status(RECOVER("crm", "--yes"), 1);
	assert_said("extra");
	assert_status(RECOVER("crm", "--yes", "--json"), 1);
	assert_said("\"verdict\":\"extra\"");
	assert_said("\"outcome\":\"differs\"");
}

static void test_newer_stay_where_the_type_says_so(void **state)
{
	char file[300];

	(void)state;
	(void)snprintf(file, sizeof(file), "%s.log", box);
	put(file, "x 1\ny 2\n");
	free(snapshot("log"));
	configure("", "trouble = newer");
	assert_status(RECOVER("log", "--yes"), 0);
	assert_said("2 more than recorded or not compared, and rightly so");
	configure("", "trouble = more");
	assert_status(RECOVER("log", "--yes", "--heap-line", "x"), 0);
	assert_said("more: newer ones stayed");
	assert_file(file, "x 2\ny 2\nnewer 1\n");
}

static void test_failure(void **state)
{
	free(snapshot("crm"));
	(void)state;
	put(box, "a.orders 9\n");
	configure("trouble = fail", "");
	assert_status(RECOVER("crm", "--yes"), 1);
	assert_said("the box broke; it may be half restored: run the recover again");
	assert_said("to have back what was there before: vouch rollback crm");
	assert_file(box, "a.orders 10\n");
	configure("", "");
	assert_status(ROLLBACK("crm", "--yes"), 0);
	assert_file(box, "a.orders 9\n");
	/* Without a way back it is not promised. */
	configure("trouble = fail", "");
	assert_int_equal(unlink(box), 0);
	assert_status(RECOVER("crm", "--yes"), 1);
	assert_null(strstr(said, "vouch rollback"));
	assert_said("nothing was overwritten: run the recover again");
	assert_int_equal(notes("recover"), 2);
	assert_said("\"outcome\":\"failed\"");
	assert_said("the box broke");
}

/* It cannot be written down that there is a way back; but what was overwritten was. */
static void test_read_only_medium(void **state)
{
	char text[1200];
	int status;

	(void)state;
	free(snapshot("crm"));
	put(box, "a.orders 9\n");
	configure("trouble = fail", "");
	(void)snprintf(text, sizeof(text), "mount --bind '%s' '%s' 2>&- && mount -o remount,bind,ro '%s'", repo.path, repo.path,
		       repo.path);
	if (geteuid() != 0 || system(text) != 0)
		skip();
	status = RECOVER("crm", "--yes");
	(void)snprintf(text, sizeof(text), "umount '%s'", repo.path);
	assert_int_equal(system(text), 0);
	assert_status(status, 1);
	assert_said("the repository's medium is read-only");
	assert_said("will not know of this way back: {\"kind\":\"copy\"");
	assert_said("the box broke; it may be half restored: run the recover again");
	assert_null(strstr(said, "nothing was overwritten"));
}

static void test_killed_and_run_again(void **state)
{
	free(snapshot("crm"));
	(void)state;
	put(box, "a.orders 9\n");
	configure("trouble = kill", "");
	assert_status(RECOVER("crm", "--yes"), 128 + SIGKILL);
	assert_file(box, "a.orders 10\n");
	configure("", "");
	assert_status(ROLLBACK("crm", "--yes"), 0);
	assert_file(box, "a.orders 9\n");
	configure("trouble = kill", "");
	assert_status(RECOVER("crm", "--yes"), 128 + SIGKILL);
	configure("", "");
	assert_status(RECOVER("crm", "--yes"), 0);
	assert_file(box, whole);
}

/* A way back that nobody would find is none. */
static void test_way_that_cannot_be_written_down(void **state)
{
	char command_text[300];

	free(snapshot("crm"));
	(void)state;
	put(box, "a.orders 9\n");
	(void)snprintf(command_text, sizeof(command_text), "cd '%s' && rm -rf log && : >log", repo.path);
	assert_int_equal(system(command_text), 0);
	assert_status(RECOVER("crm", "--yes"), 4);
	assert_said("way back of crm: it cannot be written down");
	assert_said("nothing was overwritten");
	assert_said("this is not in the history");
	assert_file(box, "a.orders 9\n");
}

/* Items */

static void test_items(void **state)
{
	free(snapshot("crm"));
	(void)state;
	put(box, "a.orders 9\nnew 5\n");
	assert_status(RECOVER("crm", "--yes", "--line", "a.orders", "--line", "items"), 0);
	assert_file(box, "a.orders 10\nnew 5\nb.items 30\n");
	assert_said("2 compared and equal, 0 different");
	assert_said("the others are as they were before");
	configure("trouble = others", "");
	put(box, "new 5\na.orders 9\n");
	assert_status(RECOVER("crm", "--yes", "--line", "a.orders"), 1);
	assert_said("BEFORE");
	assert_said("line new");
	assert_said("NOT as before");
}

static void test_items_that_are_not_there(void **state)
{
	free(snapshot("crm"));
	(void)state;
	put(box, "a.orders 9\n");
	assert_status(RECOVER("crm", "--yes", "--line", "ordres"), 1);
	assert_said("no line ordres");
	assert_said("near: a.orders");
	assert_said("nothing was touched");
	assert_status(RECOVER("crm", "--yes", "--heap-line", "a.orders"), 2);
	assert_said("--line names a part, not --heap-line");
	assert_status(RECOVER("crm", "--yes", "--line", "x", "--heap-line", "y"), 2);
	assert_status(RECOVER("crm", "--yes", "--line", ""), 2);
	assert_status(RECOVER("crm", "--yes", "--table", "x"), 2);
	assert_file(box, "a.orders 9\n");
	assert_int_equal(notes("recover"), 0);
}

/* Which snapshot */

static void test_which_snapshot(void **state)
{
	char *first = snapshot("crm"), *second, *failed, spec[64], file[300];

	(void)state;
	put(box, "a.orders 11\n");
	second = snapshot("crm");
	(void)snprintf(file, sizeof(file), "%s.log", box);
	put(file, "x 1\n");
	assert_int_equal(unlink(box), 0);
	assert_status(RUN("-q"), STATUS_PARTIAL);
	failed = newest_snapshot();
	assert_status(RECOVER("crm", "--yes"), 0);
	assert_file(box, "a.orders 11\n");
	assert_status(RECOVER("crm", "--yes", "--from", first), 0);
	assert_file(box, whole);
	assert_status(RECOVER("crm", "--yes", "--from", failed), 1);
	assert_said("there is no box");
	(void)snprintf(spec, sizeof(spec), "--from %.*s", SNAPSHOT_DATE_LEN, second);
	assert_said(spec);
	assert_status(RECOVER("log", "--yes", "--from", first), 1);
	assert_said("log is not in snapshot");
	assert_status(RECOVER("crm", "--yes", "--from", "nonsense"), 2);
	assert_status(RECOVER("crm", "--yes", "--from", "box_20200101_000000"), 1);
	assert_file(box, whole);
	free(first);
	free(second);
	free(failed);
}

static void test_by_backup_id(void **state)
{
	struct history_runs runs = { 0 };
	char id[BACKUP_ID_MAX + 1];

	(void)state;
	free(snapshot("crm"));
	testrepo_open(&repo, STORE_READ);
	OK(history_runs_read(repo.s, &runs, &ok_err));
	assert_int_equal(runs.nr, 1);
	(void)snprintf(id, sizeof(id), "%s", runs.all[0].id);
	history_runs_release(&runs);
	testrepo_close(&repo);
	put(box, "a.orders 11\n");
	free(snapshot("crm"));
	assert_status(RECOVER("crm", "--yes", "--from", id), 0);
	assert_file(box, whole);
	assert_status(RECOVER("log", "--yes", "--from", id), 2);
	assert_said("is a backup of crm, not of log");
}

/* Another host's crm is another database, also where it was dumped in the same second. */
static void test_another_host(void **state)
{
	struct history_run twin = { .type = "box", .component = "crm", .status = "ok", .error = "" };
	struct history_runs runs = { 0 };
	char host[HOST_NAME_MAX + 1], id[BACKUP_ID_MAX + 1], *mine, *theirs;

	(void)state;
	if (gethostname(host, sizeof(host)) < 0 || unshare(CLONE_NEWUTS) < 0)
		skip();
	mine = snapshot("crm");
	put(box, "theirs 1\n");
	assert_int_equal(sethostname("elsewhere", 9), 0);
	theirs = snapshot("crm");
	assert_int_equal(sethostname(host, strlen(host)), 0);
	testrepo_open(&repo, STORE_WRITE);
	OK(history_runs_read(repo.s, &runs, &ok_err));
	(void)snprintf(id, sizeof(id), "%s", runs.all[0].id);
	twin.id = id;
	twin.snapshot = theirs;
	twin.time = runs.all[0].time;
	twin.time.nsec = 999999999;
	OK(history_add_run(repo.s, &twin, &ok_err));
	history_runs_release(&runs);
	testrepo_close(&repo);
	assert_status(RECOVER("crm", "--yes"), 0);
	assert_file(box, whole);
	assert_status(RECOVER("crm", "--yes", "--from", id), 0);
	assert_file(box, whole);
	assert_status(RECOVER("crm", "--yes", "--host", "elsewhere"), 0);
	assert_said(" old) of host elsewhere");
	assert_file(box, "theirs 1\n");
	/* On a new machine there is nothing of its own. */
	assert_int_equal(sethostname("third", 5), 0);
	assert_status(RECOVER("crm", "--dry-run"), 0);
	assert_said(" old) of host elsewhere");
	assert_int_equal(sethostname(host, strlen(host)), 0);
	free(mine);
	free(theirs);
}

static void test_damaged_dump(void **state)
{
	char line[1200], text[40000];
	char *good = snapshot("crm"), *bad;
	size_t n = 0;

	/* More than what lies within its entry: so that a pack holds it. */
	(void)state;
	for (int i = 0; i < 200; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "line%d.%0*d %d\n", i, 40, i * 7919, i);
	put(box, text);
	bad = snapshot("crm");
	/* Every pack loses its middle: what is not there cannot be restored. */
	(void)snprintf(line, sizeof(line), "cd '%s' && rm -rf parity; for p in $(ls -t packs/*/* packs/* 2>/dev/null | head -3); do"
		       " [ -f $p ] && : >$p; done; rm -f index.db*", repo.path);
	assert_int_equal(system(line), 0);
	put(box, "mine 1\n");
	assert_status(RECOVER("crm", "--yes", "--from", bad), 4);
	assert_said("cannot be restored, and nothing was touched");
	assert_file(box, "mine 1\n");
	free(good);
	free(bad);
}

/* Asking */

static void test_refused_without_yes(void **state)
{
	free(snapshot("crm"));
	(void)state;
	put(box, "a.orders 9\n");
	assert_status(RECOVER("crm"), 2);
	assert_said("no terminal");
	assert_said("--yes");
	assert_file(box, "a.orders 9\n");
	assert_status(RECOVER("crm", "--yes"), 0);
	assert_status(ROLLBACK("crm"), 2);
	assert_file(box, whole);
}

static void test_countdown(void **state)
{
	struct timespec start, end;

	free(snapshot("crm"));
	(void)state;
	put(box, "a.orders 9\n");
	assert_status(on_terminal(&cmd_recover, "in 4 s", ARGS("crm")), 1);
	assert_said("crm will be overwritten in 5 s; ^C stops it");
	assert_said("stopped before anything was touched");
	assert_null(strstr(said, "in 3 s"));
	assert_file(box, "a.orders 9\n");
	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	assert_status(on_terminal(&cmd_recover, NULL, ARGS("crm")), 0);
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(end.tv_sec - start.tv_sec >= 4);
	assert_said("in 1 s");
	assert_file(box, whole);
}

static void test_interrupted(void **state)
{
	free(snapshot("crm"));
	(void)state;
	put(box, "a.orders 9\n");
	configure("trouble = cancel\nafter-recover = touch ${HOME}/after", "");
	(void)setenv("HOME", repo.dir, 1);
	assert_status(run_until(&cmd_recover, "half of it is there", ARGS("crm", "--yes")), 1);
	assert_said("interrupted");
	assert_said("vouch rollback crm");
	(void)snprintf(other, sizeof(other), "%s/after", repo.dir);
	assert_int_equal(access(other, F_OK), 0);
	assert_int_equal(notes("recover"), 1);
	assert_said("\"outcome\":\"canceled\"");
}

/* Hooks, locks */

static void test_hooks(void **state)
{
	char keys[2048];

	free(snapshot("crm"));
	(void)state;
	(void)snprintf(keys, sizeof(keys), "before-recover = sh -c 'cat %s >%s'\n"
		       "after-recover = sh -c 'echo \"$VOUCH_OUTCOME\" >>%s'",
		       box, other, other);
	configure(keys, "");
	put(box, "a.orders 9\n");
	assert_status(RECOVER("crm", "--yes"), 0);
	assert_file(other, "a.orders 9\nok\n");
	(void)snprintf(keys, sizeof(keys), "before-recover = false\nafter-recover = sh -c 'echo \"$VOUCH_OUTCOME\" >%s'", other);
	configure(keys, "");
	put(box, "a.orders 9\n");
	assert_status(RECOVER("crm", "--yes"), 1);
	assert_said("nothing was touched");
	assert_said("before-recover");
	assert_file(box, "a.orders 9\n");
	assert_file(other, "not begun\n");
	configure("rto = 1s\nrpo = 0s\nbefore-recover = sleep 1.1\nafter-recover = sh -c 'exit 7'", "");
	assert_status(RECOVER("crm", "--yes"), 1);
	assert_said("after-recover");
	assert_said("the data is back and right, but a hook after it failed");
	assert_said("OVER the target of 1.0 s");
	assert_said("no target");
	assert_file(box, whole);
}

static void test_lock(void **state)
{
	struct lock *l = NULL;

	free(snapshot("crm"));
	(void)state;
	put(box, "a.orders 9\n");
	testrepo_open(&repo, STORE_READ);
	OK(lock_take(store_id_text(repo.s), "crm", "run", &l, &ok_err));
	testrepo_close(&repo);
	assert_status(RECOVER("crm", "--yes"), 1);
	assert_said("in use by another vouch (run, process");
	assert_status(ROLLBACK("crm", "--yes"), 1);
	assert_said("in use by another vouch");
	assert_status(RECOVER("crm", "--dry-run"), 0);
	assert_file(box, "a.orders 9\n");
	lock_release(l);
	assert_status(RECOVER("crm", "--yes"), 0);
}

/* All of them */

static void test_all(void **state)
{
	char file[300];

	(void)state;
	(void)snprintf(file, sizeof(file), "%s.log", box);
	put(file, "x 1\n");
	free(snapshot("crm"));
	assert_status(RECOVER("--all", "--yes"), 1);	/* of log there is none */
	assert_said("log: no snapshot holds a good dump");
	assert_said("crm from snapshot");
	free(snapshot("log"));
	put(box, "y 2\n");
	put(file, "y 2\n");
	assert_status(RECOVER("--all", "--yes"), 0);
	assert_file(box, whole);
	assert_file(file, "x 1\n");
	assert_said("2 components together: recovery time");
	assert_said("within the target of 45:00");
	put(box, "y 2\n");
	put(file, "y 2\n");
	assert_status(RECOVER("--all", "--type", "heap", "--yes"), 0);
	assert_file(box, "y 2\n");
	assert_file(file, "x 1\n");
	configure("trouble = lie", "");
	assert_status(RECOVER("--all", "--yes"), 1);
	assert_status(RECOVER("--all", "--type", "none", "--yes"), 2);
	/* One that is configured wrongly does not keep the other from being brought back. */
	configure("colour = red", "");
	put(file, "y 2\n");
	assert_status(RECOVER("--all", "--yes"), 2);
	assert_said("colour: no key");
	assert_file(file, "x 1\n");
	put(file, "y 2\n");
	assert_status(RECOVER("--all", "--type", "heap", "--yes"), 0);
	assert_file(file, "x 1\n");
	assert_status(RECOVER("--all", "--type", "box", "--yes"), 2);
	configure("", "");
	assert_status(RECOVER("--all", "crm", "--yes"), 2);
	assert_status(RECOVER("--all", "--into", "x", "--yes"), 2);
	assert_status(RECOVER("crm", "log", "--yes"), 2);
	assert_status(RECOVER("nobody", "--yes"), 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, boxcmd_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cycle),
		TEST(test_lost_wholly),
		TEST(test_dry_run),
		TEST(test_into),
		TEST(test_disagreement),
		TEST(test_newer_stay_where_the_type_says_so),
		TEST(test_failure),
		TEST(test_read_only_medium),
		TEST(test_killed_and_run_again),
		TEST(test_way_that_cannot_be_written_down),
		TEST(test_items),
		TEST(test_items_that_are_not_there),
		TEST(test_which_snapshot),
		TEST(test_by_backup_id),
		TEST(test_another_host),
		TEST(test_damaged_dump),
		TEST(test_refused_without_yes),
		TEST(test_countdown),
		TEST(test_interrupted),
		TEST(test_hooks),
		TEST(test_lock),
		TEST(test_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
