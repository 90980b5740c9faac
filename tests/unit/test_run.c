/* SPDX-License-Identifier: MIT */
/* vouch run with a type of the test's own: what is saved, what is recorded, what is let go, however it ends. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/assemble_internal.h"
#include "store/base/checked.h"
#include "store/history.h"
#include "tests/lib/sandbox.h"
#include "tests/lib/testrepo.h"
#include "tools/commands.h"
#include "tools/components/component.h"
#include "tools/lock.h"

/* The type: its dump does what 'mode' says. */

struct fake {
	const char *mode;
	uint64_t size, rows, lines;
};

static enum err_code fake_open(struct component *c, struct err *e)
{
	struct fake *f = calloc(1, sizeof(*f));
	enum err_code rc;

	assert_non_null(f);
	c->priv = f;
	f->mode = config_get(c->section, "mode");
	rc = config_u64(c->section, "size", 2000000, &f->size, e);
	if (!rc)
		rc = config_u64(c->section, "rows", 10, &f->rows, e);
	if (!rc)
		rc = config_u64(c->section, "lines", 5000, &f->lines, e);
	if (!rc && !f->mode)
		rc = config_wrong(c->section, NULL, e, "it needs mode");
	return rc;
}

static void fake_close(struct component *c)
{
	free(c->priv);
}

static bool is_mode(const struct component *c, const char *mode)
{
	return strcmp(((struct fake *)c->priv)->mode, mode) == 0;
}

static void say(const char *text)
{
	assert_int_equal(write(STDERR_FILENO, text, strlen(text)), strlen(text));
}

static enum err_code write_main(struct component *c, struct dump *d, struct assembly_file *f, struct err *e)
{
	struct fake *k = c->priv;
	uint8_t *p = noise((size_t)k->size, (uint64_t)c->name[0]);
	enum err_code rc = dump_write(f, p, (size_t)k->size, e);

	(void)d;
	free(p);
	if (!rc && is_mode(c, "fail"))
		rc = err_set(e, ERR_FAILED, "the server went away");
	if (!rc && is_mode(c, "killed"))
		(void)raise(SIGKILL);
	if (!rc && is_mode(c, "slow"))
		say("slow\n");
	while (!rc && is_mode(c, "slow")) {
		(void)usleep(1000);
		rc = dump_write(f, "x", 1, e);
	}
	return rc;
}

static enum err_code fake_dump(struct component *c, struct dump *d, struct err *e)
{
	struct fake *k = c->priv;
	struct assembly_file *f = NULL;
	enum err_code rc;

	rc = dump_file_open(d, "first.txt", &f, e);
	if (!rc)
		rc = dump_write(f, "first", 5, e);
	if (!rc)
		rc = dump_file_close(d, "first.txt", f, e);
	if (!rc)
		rc = dump_file_open(d, "main.dump", &f, e);
	if (rc)
		return rc;
	rc = write_main(c, d, f, e);
	if (rc) {
		assembly_file_drop(f);
		return rc;
	}
	facts_rows(d->facts, "table", "public.t", k->rows, FACTS_NO_SUM);
	facts_rows(d->facts, "table", "public.u", 5, FACTS_NO_SUM);
	facts_set_u64(d->facts, "lines", k->lines);
	component_note(c, "dumped");
	return dump_file_close(d, "main.dump", f, e);
}

static const struct component_ops fake_ops = { .type = "fake", .main_file = "main.dump", .item_kind = "table",
					       .selector = "table", .rto = 60, .open = fake_open, .close = fake_close,
					       .dump = fake_dump };
const struct component_ops *const component_types[] = { &fake_ops, NULL };

/* The command as typed, in a process of its own. */

#define OUT_MAX 16384

static char out[OUT_MAX];	/* of the last one, on both */

static const char *in_dir(const struct sandbox *sb, const char *name)
{
	static char path[4][400];
	static unsigned n;

	n = (n + 1) % 4;
	(void)snprintf(path[n], sizeof(path[n]), "%s/%s", sb->dir, name);
	return path[n];
}

static void conf(const struct sandbox *sb, const char *text)
{
	FILE *f = fopen(in_dir(sb, "vouch.conf"), "w");

	assert_non_null(f);
	assert_int_equal(fchmod(fileno(f), 0600), 0);
	assert_true(fprintf(f, "[repository]\npath = %s\n%s", sb->repo, text) > 0);
	assert_int_equal(fclose(f), 0);
}

static rlim_t largest;		/* bytes of a file that it may write; 0: any */

static pid_t start_command(const struct sandbox *sb, const struct command *command, int argc, const char **argv)
{
	struct app a = { .command = command };
	int fd;
	pid_t pid;

	fd = open(in_dir(sb, "out"), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)dup2(fd, 1);
		(void)dup2(fd, 2);
		if (largest && (setrlimit(RLIMIT_FSIZE, &(struct rlimit){ largest, largest }) < 0 ||
				signal(SIGXFSZ, SIG_IGN) == SIG_ERR))
			_exit(99);
		optind = 0;
		opterr = 0;
		_exit(app_end(&a, command->run(&a, argc, (char **)(uintptr_t)argv)));
	}
	(void)close(fd);
	return pid;
}

static pid_t start(const struct sandbox *sb, const char *const *args)
{
	const char *config = in_dir(sb, "vouch.conf"), *argv[16] = { "run", "--config", config };
	int argc = 3;

	while (args && *args)
		argv[argc++] = *args++;
	return start_command(sb, &cmd_run, argc, argv);
}

static void read_out(const struct sandbox *sb)
{
	int fd = open(in_dir(sb, "out"), O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, out, OUT_MAX - 1);

	assert_true(n >= 0);
	out[n] = '\0';
	(void)close(fd);
}

static int finish(const struct sandbox *sb, pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	read_out(sb);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define RUN(sb, ...) finish(sb, start(sb, (const char *const[]){ __VA_ARGS__, NULL }))

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

/* What hooks wrote down: "before ok"... */
static const char *hooks(const struct sandbox *sb)
{
	static char text[1024];
	FILE *f = fopen(in_dir(sb, "hooks"), "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	text[n] = '\0';
	for (char *p = text; *p; p++)
		if (*p == '\n')
			*p = ';';
	if (f)
		(void)fclose(f);
	return text;
}

/* A line of vouch.conf: a hook that writes word and its environment down. */
static const char *hook(const struct sandbox *sb, const char *key, const char *word)
{
	static char line[4][1024];
	static unsigned n;

	n = (n + 1) % 4;
	(void)snprintf(line[n], sizeof(line[n]), "%s = sh -c 'echo %s $VOUCH_OUTCOME $VOUCH_COMPONENTS >>%s/hooks'\n", key,
		       word, sb->dir);
	return line[n];
}

/* The history: "id status error;" a run, with ids without their times. */
static const char *history(struct sandbox *sb)
{
	static char text[1024];
	struct history_runs l = { 0 };

	text[0] = '\0';
	sandbox_reopen(sb);
	OK(history_runs_read(sb->s, &l, &ok_err));
	for (size_t i = 0; i < l.nr; i++) {
		const struct history_run *r = &l.all[i];

		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s %s %s;", (int)(strlen(r->id) - 16),
			       r->id, r->status, r->error);
		assert_int_equal(*r->snapshot != '\0', strcmp(r->status, "ok") == 0);
	}
	history_runs_release(&l);
	return text;
}

/* The newest snapshot, for find() and the like. */
static const struct snapshot *newest(struct sandbox *sb)
{
	struct snapshot_list l = { 0 };

	sandbox_reopen(sb);
	OK(snapshot_list_read(sb->s, &l, &ok_err));
	assert_true(l.nr > 0);
	snapshot_release(&sb->res.snapshot);
	sb->res.snapshot = l.all[l.nr - 1];
	l.nr--;
	snapshot_list_release(&l);
	return &sb->res.snapshot;
}

static void assert_unlocked(struct sandbox *sb, const char *name)
{
	struct lock *l = NULL;

	OK(lock_take(store_id_text(sb->s), name, "test", &l, &ok_err));
	lock_release(l);
}

static void test_good(void **state)
{
	const struct snapshot *snap;
	struct sandbox *sb = *state;
	struct entry_ref r;
	char text[2048];

	(void)snprintf(text, sizeof(text), "[run]\n%s%s[component alpha]\ntype = fake\nmode = ok\n%s%s[component beta]\n"
		       "type = fake\nmode = ok\n", hook(sb, "before", "B1"), hook(sb, "after", "A1"),
		       hook(sb, "before-dump", "b"), hook(sb, "after-dump", "a"));
	conf(sb, text);
	assert_int_equal(RUN(sb, "--tag", "nightly"), STATUS_DONE);
	assert_string_equal(hooks(sb), "B1 alpha beta;b alpha;a ok alpha;A1 ok alpha beta;");
	assert_has(out, "fake       alpha: 1.9 MiB, 1.9 MiB new, 2 tables, 15 rows, ");
	assert_has(out, "vouch run: note: ");
	assert_hasnt(out, "warning");
	assert_string_equal(history(sb), "fake-alpha ok ;fake-beta ok ;");
	snap = newest(sb);
	assert_int_equal(sandbox_nr_snapshots(sb), 1);
	assert_int_equal(snap->nr_components, 2);
	assert_string_equal(snap->components[1].name, "beta");
	assert_string_equal(snap->components[1].type, "fake");
	assert_string_equal(snap->components[1].status, "ok");
	assert_int_equal(strlen(snap->components[1].detail), strlen("2026-11-21T02:00:00.123Z"));
	assert_string_equal(snap->tags[0], "nightly");
	assert_string_equal(snap->sources[0], "alpha");
	find(sb, "fake/alpha/main.dump", &r);
	assert_int_equal(r.e.size, 2000000);
	found_release(sb, &r);
	assert_true(is_there(sb, "fake/beta/first.txt"));
	find(sb, "fake/beta/facts.json", &r);
	assert_true(r.e.size > 100);
	found_release(sb, &r);
	/* A second time nothing is new but the facts. */
	assert_int_equal(RUN(sb, "alpha", "--json"), STATUS_DONE);
	assert_has(out, "\"type\":\"component\",\"name\":\"alpha\",\"component_type\":\"fake\",\"backup_id\":\"fake-alpha_");
	assert_has(out, "\"bytes\":2000");
	assert_has(out, "\"item_kind\":\"table\",\"items\":2,\"rows\":15,\"checksum\":\"");
	assert_has(out, "\"status\":0,\"saved\":1,\"failed\":0,\"warnings\":0,\"hook_failed\":false,\"snapshot\":\"");
	assert_hasnt(out, "beta");
	assert_int_equal(newest(sb)->nr_components, 1);
	assert_true(newest(sb)->new_bytes < 2000);
	assert_int_equal(RUN(sb, "-q", "beta"), STATUS_DONE);
	assert_string_equal(out, "");
}

/* One that fails does not keep the others from being saved, and leaves nothing of itself. */
static void test_one_fails(void **state)
{
	struct sandbox *sb = *state;
	const struct snapshot *snap;
	char text[2048];

	(void)snprintf(text, sizeof(text), "[run]\n%s[component bad]\ntype = fake\nmode = fail\n%s[component good]\n"
		       "type = fake\nmode = ok\n[component wrong]\ntype = fake\n", hook(sb, "after", "A1"),
		       hook(sb, "after-dump", "a"));
	conf(sb, text);
	assert_int_equal(RUN(sb, "-q"), STATUS_PARTIAL);
	assert_string_equal(hooks(sb), "a failed bad;A1 partial bad good;");
	assert_has(out, "vouch run: failed: bad: the server went away\n");
	assert_has(out, "[component wrong]: it needs mode\n");
	assert_has(history(sb), "fake-bad failed the server went away;");
	assert_has(history(sb), "fake-good ok ;");
	assert_has(history(sb), "fake-wrong failed ");
	snap = newest(sb);
	assert_int_equal(sandbox_nr_snapshots(sb), 1);
	assert_int_equal(snap->nr_components, 3);
	assert_string_equal(snap->components[0].status, "failed");
	assert_string_equal(snap->components[0].detail, "the server went away");
	assert_string_equal(snap->components[1].status, "ok");
	assert_false(is_there(sb, "fake/bad"));
	assert_true(is_there(sb, "fake/good/main.dump"));
}

static void test_all_fail(void **state)
{
	struct sandbox *sb = *state;

	conf(sb, "[component bad]\ntype = fake\nmode = fail\n");
	assert_int_equal(RUN(sb, "bad"), STATUS_FAILED);
	assert_has(out, "snapshot   none: nothing was saved\n");
	assert_string_equal(history(sb), "fake failed the server went away;");
	assert_int_equal(sandbox_nr_snapshots(sb), 0);
	assert_unlocked(sb, "bad");
	conf(sb, "[component wrong]\ntype = fake\n");
	assert_int_equal(RUN(sb, "-q"), STATUS_USAGE);
	conf(sb, "[component wrong]\ntype = fale\n");
	assert_int_equal(RUN(sb, "-q"), STATUS_USAGE);
	assert_int_equal(RUN(sb, "none"), STATUS_USAGE);
	conf(sb, "[run]\nbefor = x\n[component a]\ntype = fake\nmode = ok\n");
	assert_int_equal(RUN(sb, "-q"), STATUS_USAGE);
	assert_int_equal(RUN(sb, "--tag", TAG_SAFETY), STATUS_USAGE);
}

static void test_hooks_fail(void **state)
{
	struct sandbox *sb = *state;
	char text[2048];

	(void)snprintf(text, sizeof(text), "[run]\nbefore = false\n%s%s[component a]\ntype = fake\nmode = ok\n",
		       hook(sb, "before", "never"), hook(sb, "after", "A1"));
	conf(sb, text);
	assert_int_equal(RUN(sb, "-q"), STATUS_FAILED);
	assert_string_equal(hooks(sb), "A1 failed a;");
	assert_has(out, "[run] before");
	assert_has(history(sb), "fake failed [run] before");
	assert_int_equal(sandbox_nr_snapshots(sb), 0);
	conf(sb, "[run]\nafter = false\n[component a]\ntype = fake\nmode = ok\n");
	assert_int_equal(RUN(sb, "-q"), STATUS_PARTIAL);
	assert_has(out, "look after what it should have done");
	assert_int_equal(sandbox_nr_snapshots(sb), 1);
}

static void test_busy(void **state)
{
	struct sandbox *sb = *state;
	struct lock *l = NULL;

	conf(sb, "[component a]\ntype = fake\nmode = ok\n[component b]\ntype = fake\nmode = ok\n");
	OK(lock_take(store_id_text(sb->s), "a", "recover", &l, &ok_err));
	assert_int_equal(RUN(sb, "-q"), STATUS_PARTIAL);
	assert_has(out, "failed: a: a is in use by another vouch (recover, process ");
	assert_false(newest(sb)->nr_components != 2);
	assert_false(is_there(sb, "fake/a"));
	lock_release(l);
	assert_int_equal(RUN(sb, "-q"), STATUS_DONE);
}

/* A repository that cannot be written takes no dump: then no other is begun, and no server stopped for it. */
static void test_repository_fails(void **state)
{
	struct sandbox *sb = *state;
	char text[2048];

	(void)snprintf(text, sizeof(text), "[component a]\ntype = fake\nmode = ok\nsize = 60000000\n%s[component b]\ntype = fake\n"
		       "mode = ok\n%s[component c]\ntype = fake\nmode = ok\n", hook(sb, "before-dump", "a"),
		       hook(sb, "before-dump", "b"));
	conf(sb, text);
	largest = 1000000;
	assert_int_equal(RUN(sb, "-q"), STATUS_FAILED);
	largest = 0;
	assert_string_equal(hooks(sb), "a a;");
	assert_has(out, "failed: a: ");
	assert_has(out, "failed: b: not dumped, for the repository cannot be written: ");
	assert_has(out, "File too large");
	assert_has(history(sb), "fake-a failed ");
	assert_has(history(sb), "fake-c failed not dumped, for");
	assert_int_equal(sandbox_nr_snapshots(sb), 0);
	assert_int_equal(RUN(sb, "-q"), STATUS_DONE);
}

static pid_t start_slow(struct sandbox *sb)
{
	pid_t pid;

	(void)unlink(in_dir(sb, "out"));
	pid = start(sb, NULL);
	for (unsigned i = 0; i < 2000; i++) {
		(void)usleep(5000);
		read_out(sb);
		if (strstr(out, "slow\n"))
			return pid;
	}
	fail_msg("it did not begin: %s", out);
	return pid;
}

static void test_interrupted(void **state)
{
	struct sandbox *sb = *state;
	char text[2048];
	pid_t pid;

	(void)snprintf(text, sizeof(text), "[run]\n%s[component a]\ntype = fake\nmode = ok\n[component b]\ntype = fake\n"
		       "mode = slow\n%s", hook(sb, "after", "A1"), hook(sb, "after-dump", "a"));
	conf(sb, text);
	pid = start_slow(sb);
	assert_int_equal(kill(pid, SIGINT), 0);
	assert_int_equal(finish(sb, pid), STATUS_FAILED);
	assert_string_equal(hooks(sb), "a failed b;A1 failed a b;");
	assert_has(out, "failed: b: interrupted\n");
	assert_has(history(sb), "fake-a failed interrupted;fake-b failed ");
	assert_int_equal(sandbox_nr_snapshots(sb), 0);
	assert_unlocked(sb, "a");
	assert_unlocked(sb, "b");
}

/* Killed: no process is left to tell; but hooks are run, locks are free, and the next run finds nothing in its way. */
static void test_killed(void **state)
{
	struct sandbox *sb = *state;
	char text[2048];

	(void)snprintf(text, sizeof(text), "[run]\nafter = false\n%s[component a]\ntype = fake\nmode = killed\n%s",
		       hook(sb, "after", "A1"), hook(sb, "after-dump", "a"));
	conf(sb, text);
	assert_int_equal(RUN(sb, "-q"), 128 + SIGKILL);
	for (unsigned i = 0; i < 1000 && strlen(hooks(sb)) < strlen("A1 killed a;a killed a;"); i++)
		(void)usleep(10000);
	assert_has(hooks(sb), "A1 killed a;");
	assert_has(hooks(sb), "a killed a;");
	assert_int_equal(strlen(hooks(sb)), strlen("A1 killed a;a killed a;"));
	assert_unlocked(sb, "a");
	assert_int_equal(sandbox_nr_snapshots(sb), 0);
	conf(sb, "[component a]\ntype = fake\nmode = ok\n");
	assert_int_equal(RUN(sb, "-q"), STATUS_DONE);
	assert_string_equal(history(sb), "fake ok ;");
}

/* What a failed dump left is kept where that was asked for, but is nobody's newest backup. */
static void test_keep_partial(void **state)
{
	struct sandbox *sb = *state;
	struct snapshot_list l = { 0 };
	const struct snapshot *latest, *partial = NULL;
	struct entry_ref r;
	struct blob *b;
	uint8_t *want = noise(2000000, 'b'), *got = malloc(2000000);
	const char *status[] = { "status", "--json", sb->repo, NULL };
	size_t n;

	conf(sb, "[component bad]\ntype = fake\nmode = fail\n[component good]\ntype = fake\nmode = ok\n");
	assert_int_equal(RUN(sb, "--keep-partial"), STATUS_PARTIAL);
	assert_has(out, "\npartial    2026-");
	sandbox_reopen(sb);
	OK(snapshot_list_read(sb->s, &l, &ok_err));
	assert_int_equal(l.nr, 2);
	OK(snapshot_find(&l, "latest", NULL, &latest, &ok_err));
	for (size_t i = 0; i < l.nr; i++)
		if (snapshot_has_tag(&l.all[i], TAG_PARTIAL))
			partial = &l.all[i];
	assert_non_null(partial);
	assert_ptr_not_equal(partial, latest);
	OK(tree_path(sb->s, &partial->root, "fake/bad/first.txt", &r, &ok_err));
	entry_ref_release(sb->s, &r);
	OK(tree_path(sb->s, &partial->root, "fake/bad/main.dump", &r, &ok_err));
	assert_int_equal(r.e.size, 2000000);
	OK(blob_open(sb->s, &r.e, &b, &ok_err));
	OK(blob_pread(b, 0, got, 2000000, &n, &ok_err));
	assert_int_equal(n, 2000000);
	assert_memory_equal(got, want, 2000000);
	blob_close(b);
	entry_ref_release(sb->s, &r);
	assert_int_equal(tree_path(sb->s, &partial->root, "fake/good", &r, NULL), ERR_NOT_FOUND);
	assert_int_equal(tree_path(sb->s, &latest->root, "fake/bad", &r, NULL), ERR_NOT_FOUND);
	/* Nor is it anybody's last backup. */
	assert_int_equal(finish(sb, start_command(sb, &cmd_status, 3, status)), STATUS_DONE);
	assert_has(out, latest->name);
	assert_hasnt(out, partial->name);
	snapshot_list_release(&l);
	/* And where there is no good one at all. */
	assert_int_equal(RUN(sb, "bad", "-q", "--keep-partial"), STATUS_FAILED);
	sandbox_reopen(sb);
	assert_int_equal(sandbox_nr_snapshots(sb), 3);
	free(want);
	free(got);
}

static void test_warnings(void **state)
{
	struct sandbox *sb = *state;

	conf(sb, "[component a]\ntype = fake\nmode = ok\nsize = 500000\n");
	assert_int_equal(RUN(sb, "-q"), STATUS_DONE);
	assert_string_equal(out, "vouch run: warning: a: the dump has only 488.8 KiB; is that all there is?\n");
	conf(sb, "[component a]\ntype = fake\nmode = ok\nsize = 3000000\nlines = 999\n");
	assert_int_equal(RUN(sb, "-q"), STATUS_DONE);
	assert_has(out, "the dump has only 999 lines");
	assert_has(out, "warning: a: the dump has 2.9 MiB, and the last good one had 488.8 KiB");
	conf(sb, "[component a]\ntype = fake\nmode = ok\nsize = 2000000\n");
	assert_int_equal(RUN(sb, "-q"), STATUS_DONE);
	assert_string_equal(out, "");
	conf(sb, "[component a]\ntype = fake\nmode = ok\nsize = 1100000\n");
	assert_int_equal(RUN(sb, "-q"), STATUS_DONE);
	assert_string_equal(out, "");
}

static void add_old(struct sandbox *sb, const char *tag, int64_t days)
{
	const struct assembly_options o = { .tags = &tag, .nr_tags = 1 };
	struct snapshot snap = { 0 };
	struct assembly *a;

	OK(assembly_open(sb->s, &o, &a, &ok_err));
	a->snap.time.sec -= days * 86400;
	OK(assembly_put(a, "x", "x", 1, &ok_err));
	OK(assembly_publish(a, NULL, 0, &snap, &ok_err));
	assembly_close(a);
	snapshot_release(&snap);
}

/* Safety dumps go after a week; nothing else does. */
static void test_safety(void **state)
{
	struct sandbox *sb = *state;

	add_old(sb, TAG_SAFETY, 6);
	add_old(sb, TAG_SAFETY, 8);
	add_old(sb, TAG_PARTIAL, 8);
	add_old(sb, "mine", 9);
	conf(sb, "[component a]\ntype = fake\nmode = fail\n");
	assert_int_equal(RUN(sb, "-q"), STATUS_FAILED);
	assert_int_equal(sandbox_nr_snapshots(sb), 4);
	conf(sb, "[component a]\ntype = fake\nmode = ok\n");
	assert_int_equal(RUN(sb, "-q"), STATUS_DONE);
	sandbox_reopen(sb);
	assert_int_equal(sandbox_nr_snapshots(sb), 4);
}

static void test_dry_run(void **state)
{
	struct sandbox *sb = *state;
	char text[1024];

	(void)snprintf(text, sizeof(text), "[run]\n%s[component a]\ntype = fake\nmode = killed\n", hook(sb, "before", "B"));
	conf(sb, text);
	assert_int_equal(RUN(sb, "--dry-run"), STATUS_DONE);
	assert_has(out, "would run sh -c ");
	assert_has(out, "would dump fake a into fake/a\n");
	assert_string_equal(hooks(sb), "");
	assert_string_equal(history(sb), "");
	assert_int_equal(RUN(sb, "--dry-run", "--json"), STATUS_DONE);
	assert_has(out, "{\"type\":\"would_run\",\"name\":\"a\",");
}

#define WITH_SANDBOX(f) cmocka_unit_test_setup_teardown(f, sandbox_setup, sandbox_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SANDBOX(test_good), WITH_SANDBOX(test_one_fails), WITH_SANDBOX(test_all_fail),
		WITH_SANDBOX(test_hooks_fail), WITH_SANDBOX(test_busy), WITH_SANDBOX(test_repository_fails), WITH_SANDBOX(test_interrupted),
		WITH_SANDBOX(test_killed), WITH_SANDBOX(test_keep_partial),
		WITH_SANDBOX(test_warnings), WITH_SANDBOX(test_safety), WITH_SANDBOX(test_dry_run),
	};

	return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
