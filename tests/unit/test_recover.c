/* SPDX-License-Identifier: MIT */
/* vouch recover and vouch rollback as typed, with a type of component that is a text file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/base/checked.h"
#include "store/history.h"
#include "tests/lib/boxtype.h"
#include "tests/lib/testrepo.h"
#include "tools/commands.h"
#include "tools/lock.h"
#include "tools/ways.h"

const struct component_ops *const component_types[] = { &box_type, &heap_type, NULL };

static struct testrepo repo;
static char conf[256], box[256], other[256];
static char said[65536];		/* of the last run: standard output and error */

/* Files */

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

static void assert_file(const char *path, const char *want)
{
	char text[4096];
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		fail_msg("%s is not there", path);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	assert_string_equal(text, want);
}

/* One component "crm" with these keys beside its own, and one "log" of the type heap. */
static void configure(const char *keys)
{
	char text[8192];

	(void)snprintf(text, sizeof(text), "[repository]\npath = %s\n[component crm]\ntype = box\nfile = %s\n%s\n"
		       "[component log]\ntype = heap\nfile = %s.log\n%s\n", repo.path, box, keys, box, keys);
	put(conf, text);
}

static int setup(void **state)
{
	(void)state;
	testrepo_make(&repo);
	(void)snprintf(conf, sizeof(conf), "%s/vouch.conf", repo.dir);
	(void)snprintf(box, sizeof(box), "%s/box", repo.dir);
	(void)snprintf(other, sizeof(other), "%s/other", repo.dir);
	(void)unsetenv("VOUCH_REPO");
	configure("");
	put(box, "a.orders 10\na.customers 20\nb.items 30\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testrepo_remove(&repo);
	return 0;
}

/* Snapshots */

/* What a run makes of the component, with that outcome; its name. */
static char *snapshot(const char *component, const char *status)
{
	struct config *c = NULL;
	struct component *k = NULL;
	struct assembly *a = NULL;
	struct snapshot made = { 0 };
	struct facts facts = { 0 };
	struct buf text = BUF_INIT;
	struct dump d = { .facts = &facts };
	char folder[64], path[128], name[16], type[16], state[16], detail[] = "it broke", *out;
	struct component_outcome outcome = { .name = name, .type = type, .status = state, .detail = detail };

	testrepo_open(&repo, STORE_WRITE);
	OK(config_open(conf, &c, &ok_err));
	OK(component_open(config_find(c, "component", component), NULL, NULL, &k, &ok_err));
	(void)snprintf(name, sizeof(name), "%s", component);
	(void)snprintf(type, sizeof(type), "%s", k->ops->type);
	(void)snprintf(state, sizeof(state), "%s", status);
	(void)snprintf(folder, sizeof(folder), "%s/%s", type, name);
	(void)snprintf(path, sizeof(path), "%s/facts.json", folder);
	OK(assembly_open(repo.s, &(struct assembly_options){ .jobs = 1 }, &a, &ok_err));
	d.to = a;
	d.folder = folder;
	d.store = repo.s;
	facts_begin(&facts, type, name);
	OK(k->ops->dump(k, &d, &ok_err));
	OK(facts_text(&facts, &text, &ok_err));
	OK(assembly_put(a, path, text.p, text.len, &ok_err));
	if (strcmp(status, "ok") != 0) {
		assembly_drop(a, folder);
		OK(assembly_put(a, "note", "x", 1, &ok_err));
	}
	OK(assembly_publish(a, &outcome, 1, &made, &ok_err));
	assembly_close(a);
	out = strdup(made.name);
	snapshot_release(&made);
	facts_release(&facts);
	buf_release(&text);
	component_close(k);
	config_close(c);
	testrepo_close(&repo);
	return out;
}

/* Commands */

static void command(const struct command *c, const char *const *args)
{
	char *argv[24] = { 0 };
	char config[] = "--config";
	struct app a = { .command = c };
	int argc = 0;

	argv[argc++] = strdup(c->name);
	argv[argc++] = config;
	argv[argc++] = conf;
	for (size_t i = 0; args[i] && argc < 23; i++)
		argv[argc++] = strdup(args[i]);
	opterr = 0;
	optind = 0;
	exit(app_end(&a, c->run(&a, argc, argv)));
}

static int status_of(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void gather(int fd, pid_t child, const char *until)
{
	size_t n = 0;
	ssize_t got;
	bool told = false;

	while (n < sizeof(said) - 1 && (got = read(fd, said + n, sizeof(said) - 1 - n)) > 0) {
		n += (size_t)got;
		said[n] = '\0';
		if (until && !told && strstr(said, until)) {
			assert_int_equal(kill(child, SIGINT), 0);
			told = true;
		}
	}
	said[n] = '\0';
	close(fd);
	if (until && !told)
		fail_msg("no \"%s\" in: %s", until, said);
}

/* Without a terminal; a ^C comes when it has said until. */
static int run_until(const struct command *c, const char *until, const char *const *args)
{
	int ends[2];
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(ends[0]);
		if (dup2(ends[1], STDOUT_FILENO) < 0 || dup2(ends[1], STDERR_FILENO) < 0)
			_exit(99);
		close(ends[1]);
		command(c, args);
	}
	close(ends[1]);
	gather(ends[0], child, until);
	return status_of(child);
}

static int on_terminal(const struct command *c, const char *until, const char *const *args)
{
	int fd;
	pid_t child = forkpty(&fd, NULL, NULL, NULL);

	assert_true(child >= 0);
	if (child == 0)
		command(c, args);
	gather(fd, child, until);
	return status_of(child);
}

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define RECOVER(...) run_until(&cmd_recover, NULL, ARGS(__VA_ARGS__))
#define ROLLBACK(...) run_until(&cmd_rollback, NULL, ARGS(__VA_ARGS__))

static void assert_said(const char *text)
{
	if (!strstr(said, text))
		fail_msg("no \"%s\" in:\n%s", text, said);
}

static void assert_status(int status, int want)
{
	if (status != want)
		fail_msg("exit status %d, not %d:\n%s", status, want, said);
}

/* How many lines of the history are of that event; the last is in said. */
static size_t notes_seen;
static enum err_code see_note(void *ctx, const char *at, const char *json, struct err *e)
{
	(void)ctx;
	(void)at;
	(void)e;
	notes_seen++;
	(void)snprintf(said, sizeof(said), "%s", json);
	return ERR_OK;
}
static size_t notes(const char *event)
{
	notes_seen = 0;
	testrepo_open(&repo, STORE_READ);
	OK(history_each_note(repo.s, event, see_note, NULL, &ok_err));
	testrepo_close(&repo);
	return notes_seen;
}

/* Recover */

static const char whole[] = "a.orders 10\na.customers 20\nb.items 30\n";

static void test_cycle(void **state)
{
	char *name = snapshot("crm", "ok");

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
	free(snapshot("crm", "ok"));
	(void)state;
	assert_int_equal(unlink(box), 0);
	assert_status(RECOVER("crm", "--yes", "-v"), 0);
	assert_said("equal");
	assert_said("line a.customers");
	assert_file(box, whole);
}

static void test_dry_run(void **state)
{
	free(snapshot("crm", "ok"));
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
	free(snapshot("crm", "ok"));
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
	free(snapshot("crm", "ok"));
	(void)state;
	put(box, "a.orders 9\n");
	configure("trouble = lie");
	assert_status(RECOVER("crm", "--yes"), 1);
	assert_said("line b.items");
	assert_said("differs");
	assert_said("30");
	assert_said("31");
	assert_said("5 compared and equal, 1 different");
	assert_said("run: vouch rollback crm");
	configure("trouble = newer");
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
	free(snapshot("log", "ok"));
	configure("trouble = newer");
	assert_status(RECOVER("log", "--yes"), 0);
	assert_said("2 more than recorded or not compared, and rightly so");
	configure("trouble = more");
	assert_status(RECOVER("log", "--yes", "--heap-line", "x"), 0);
	assert_said("more: newer ones stayed");
	assert_file(file, "x 2\ny 2\nnewer 1\n");
}

static void test_failure(void **state)
{
	free(snapshot("crm", "ok"));
	(void)state;
	put(box, "a.orders 9\n");
	configure("trouble = fail");
	assert_status(RECOVER("crm", "--yes"), 1);
	assert_said("the box broke; it may be half restored: run the recover again");
	assert_said("to have back what was there before: vouch rollback crm");
	assert_file(box, "a.orders 10\n");
	configure("");
	assert_status(ROLLBACK("crm", "--yes"), 0);
	assert_file(box, "a.orders 9\n");
	/* Without a way back it is not promised. */
	configure("trouble = fail");
	assert_int_equal(unlink(box), 0);
	assert_status(RECOVER("crm", "--yes"), 1);
	assert_null(strstr(said, "vouch rollback"));
	assert_said("nothing was overwritten: run the recover again");
	assert_int_equal(notes("recover"), 2);
	assert_said("\"outcome\":\"failed\"");
	assert_said("the box broke");
}

static void test_killed_and_run_again(void **state)
{
	free(snapshot("crm", "ok"));
	(void)state;
	put(box, "a.orders 9\n");
	configure("trouble = kill");
	assert_status(RECOVER("crm", "--yes"), 128 + SIGKILL);
	assert_file(box, "a.orders 10\n");
	configure("");
	assert_status(ROLLBACK("crm", "--yes"), 0);
	assert_file(box, "a.orders 9\n");
	configure("trouble = kill");
	assert_status(RECOVER("crm", "--yes"), 128 + SIGKILL);
	configure("");
	assert_status(RECOVER("crm", "--yes"), 0);
	assert_file(box, whole);
}

static void test_safety_dump(void **state)
{
	free(snapshot("crm", "ok"));
	(void)state;
	configure("way = dump");
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

/* A way back that nobody would find is none. */
static void test_way_that_cannot_be_written_down(void **state)
{
	char command_text[300];

	free(snapshot("crm", "ok"));
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
	free(snapshot("crm", "ok"));
	(void)state;
	put(box, "a.orders 9\nnew 5\n");
	assert_status(RECOVER("crm", "--yes", "--line", "a.orders", "--line", "items"), 0);
	assert_file(box, "a.orders 10\nnew 5\nb.items 30\n");
	assert_said("2 compared and equal, 0 different");
	assert_said("the others are as they were before");
	configure("trouble = others");
	put(box, "new 5\na.orders 9\n");
	assert_status(RECOVER("crm", "--yes", "--line", "a.orders"), 1);
	assert_said("BEFORE");
	assert_said("line new");
	assert_said("NOT as before");
}

static void test_items_that_are_not_there(void **state)
{
	free(snapshot("crm", "ok"));
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
	char *first = snapshot("crm", "ok"), *second, *failed, spec[64];

	(void)state;
	put(box, "a.orders 11\n");
	second = snapshot("crm", "ok");
	failed = snapshot("crm", "failed");
	assert_status(RECOVER("crm", "--yes"), 0);
	assert_file(box, "a.orders 11\n");
	assert_status(RECOVER("crm", "--yes", "--from", first), 0);
	assert_file(box, whole);
	assert_status(RECOVER("crm", "--yes", "--from", failed), 1);
	assert_said("it broke");
	(void)snprintf(spec, sizeof(spec), "--from %.*s", SNAPSHOT_DATE_LEN, second);
	assert_said(spec);
	assert_status(RECOVER("log", "--yes", "--from", first), 1);
	assert_said("log is not in snapshot");
	assert_status(RECOVER("log", "--yes"), 1);
	assert_said("no snapshot holds a good dump of it");
	assert_status(RECOVER("crm", "--yes", "--from", "nonsense"), 2);
	assert_status(RECOVER("crm", "--yes", "--from", "box_20200101_000000"), 1);
	assert_file(box, whole);
	free(first);
	free(second);
	free(failed);
}

static void test_by_backup_id(void **state)
{
	struct history_run run = { .type = "box", .component = "crm", .status = "ok", .error = "", .time = { 1760000000, 0 } };
	char id[BACKUP_ID_MAX + 1], *name = snapshot("crm", "ok");

	(void)state;
	history_id(id, "box", NULL, run.time);
	run.id = id;
	run.snapshot = name;
	testrepo_open(&repo, STORE_WRITE);
	OK(history_add_run(repo.s, &run, &ok_err));
	testrepo_close(&repo);
	put(box, "a.orders 11\n");
	free(snapshot("crm", "ok"));
	assert_status(RECOVER("crm", "--yes", "--from", id), 0);
	assert_file(box, whole);
	assert_status(RECOVER("log", "--yes", "--from", id), 2);
	assert_said("is a backup of crm, not of log");
	free(name);
}

static void test_damaged_dump(void **state)
{
	char line[1200], text[40000];
	char *good = snapshot("crm", "ok"), *bad;
	size_t n = 0;

	/* More than what lies within its entry: so that a pack holds it. */
	(void)state;
	for (int i = 0; i < 200; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "line%d.%0*d %d\n", i, 40, i * 7919, i);
	put(box, text);
	bad = snapshot("crm", "ok");
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
	free(snapshot("crm", "ok"));
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

	free(snapshot("crm", "ok"));
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
	free(snapshot("crm", "ok"));
	(void)state;
	put(box, "a.orders 9\n");
	configure("trouble = cancel\nafter-recover = touch ${HOME}/after");
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

	free(snapshot("crm", "ok"));
	(void)state;
	(void)snprintf(keys, sizeof(keys), "before-recover = sh -c 'cat %s >%s'\n"
		       "after-recover = sh -c 'echo \"$VOUCH_OUTCOME\" >>%s'",
		       box, other, other);
	configure(keys);
	put(box, "a.orders 9\n");
	assert_status(RECOVER("crm", "--yes"), 0);
	assert_file(other, "a.orders 9\nok\n");
	(void)snprintf(keys, sizeof(keys), "before-recover = false\nafter-recover = sh -c 'echo \"$VOUCH_OUTCOME\" >%s'", other);
	configure(keys);
	put(box, "a.orders 9\n");
	assert_status(RECOVER("crm", "--yes"), 1);
	assert_said("nothing was touched");
	assert_said("before-recover");
	assert_file(box, "a.orders 9\n");
	assert_file(other, "not begun\n");
	configure("rto = 1s\nrpo = 0s\nbefore-recover = sleep 1.1\nafter-recover = sh -c 'exit 7'");
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

	free(snapshot("crm", "ok"));
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
	free(snapshot("crm", "ok"));
	assert_status(RECOVER("--all", "--yes"), 1);	/* of log there is none */
	assert_said("log: no snapshot holds a good dump");
	assert_said("crm from snapshot");
	free(snapshot("log", "ok"));
	put(box, "y 2\n");
	put(file, "y 2\n");
	assert_status(RECOVER("--all", "--yes"), 0);
	assert_file(box, whole);
	assert_file(file, "x 1\n");
	assert_said("2 components together: recovery time");
	assert_said("within the target of 1:00:00");
	put(box, "y 2\n");
	put(file, "y 2\n");
	assert_status(RECOVER("--all", "--type", "heap", "--yes"), 0);
	assert_file(box, "y 2\n");
	assert_file(file, "x 1\n");
	configure("trouble = lie");
	assert_status(RECOVER("--all", "--yes"), 1);
	assert_status(RECOVER("--all", "--type", "none", "--yes"), 2);
	assert_status(RECOVER("--all", "crm", "--yes"), 2);
	assert_status(RECOVER("--all", "--into", "x", "--yes"), 2);
	assert_status(RECOVER("crm", "log", "--yes"), 2);
	assert_status(RECOVER("nobody", "--yes"), 2);
}

/* Ways back */

static void test_gone_way(void **state)
{
	char command_text[300];

	free(snapshot("crm", "ok"));
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

	free(snapshot("crm", "ok"));
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
		TEST(test_killed_and_run_again),
		TEST(test_safety_dump),
		TEST(test_way_that_cannot_be_written_down),
		TEST(test_items),
		TEST(test_items_that_are_not_there),
		TEST(test_which_snapshot),
		TEST(test_by_backup_id),
		TEST(test_damaged_dump),
		TEST(test_refused_without_yes),
		TEST(test_countdown),
		TEST(test_interrupted),
		TEST(test_hooks),
		TEST(test_lock),
		TEST(test_all),
		TEST(test_gone_way),
		TEST(test_old_ways_are_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
