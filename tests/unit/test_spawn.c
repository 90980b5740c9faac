/* SPDX-License-Identifier: MIT */
/* Programs that are started: what goes in and comes out, how they end, what of ours they get, and that they end with us. */
#include <dirent.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "tools/spawn.c"

static size_t read_all(struct spawn *s, char *out, size_t cap)
{
	size_t total = 0, n = 1;

	while (n > 0) {
		assert_true(total < cap);
		assert_int_equal(spawn_read(s, NULL, out + total, cap - total, &n, NULL), ERR_OK);
		total += n;
	}
	return total;
}

static const struct row {
	const char *name, *script, *output, *message;
	enum err_code want;
} rows[] = {
	{ "good", "printf abc", "abc", NULL, ERR_OK },
	{ "silent", ":", "", NULL, ERR_OK },
	{ "fails after writing", "printf abc; exit 7", "abc", "exit status 7", ERR_FAILED },
	{ "killed", "kill -9 $$", "", "signal 9", ERR_FAILED },
	{ "ends after its output", "printf abc; exec >&-; sleep 0.1; exit 3", "abc",
	  "exit status 3", ERR_FAILED },
};

static void test_row(void **state)
{
	const struct row *t = *state;
	char script[128], sh[] = "sh", c[] = "-c", out[64];
	char *argv[] = { sh, c, script, NULL };
	struct err e = ERR_INIT;
	struct spawn *s = NULL;
	size_t n;

	memcpy(script, t->script, strlen(t->script) + 1);
	assert_int_equal(spawn_open(argv, &s, &e), ERR_OK);
	n = read_all(s, out, sizeof(out));
	assert_int_equal(n, strlen(t->output));
	assert_memory_equal(out, t->output, n);
	assert_int_equal(spawn_end(s, NULL, &e), t->want);
	if (t->message)
		assert_non_null(strstr(e.msg, t->message));
	spawn_close(s);
}

static void test_not_there(void **state)
{
	char name[] = "/nonexistent/program";
	char *argv[] = { name, NULL };
	struct err e = ERR_INIT;
	struct spawn *s = NULL;

	(void)state;
	assert_int_equal(spawn_open(argv, &s, &e), ERR_FAILED);
	assert_int_equal(e.sys, ENOENT);
	assert_non_null(strstr(e.msg, name));
}

/* A descriptor without O_CLOEXEC, a blocked SIGTERM and an ignored SIGPIPE stay here. */
static void test_nothing_inherited(void **state)
{
	char sh[] = "sh", c[] = "-c", out[256] = { 0 };
	char script[] = "[ -e /proc/self/fd/99 ] && echo leak; grep -E '^Sig(Blk|Ign)' /proc/self/status";
	char *argv[] = { sh, c, script, NULL };
	struct err e = ERR_INIT;
	struct spawn *s = NULL;
	sigset_t some;
	size_t n;

	(void)state;
	sigemptyset(&some);
	sigaddset(&some, SIGTERM);
	sigaddset(&some, SIGUSR1);
	assert_int_equal(sigprocmask(SIG_BLOCK, &some, NULL), 0);
	assert_ptr_not_equal(signal(SIGPIPE, SIG_IGN), SIG_ERR);
	assert_int_equal(dup2(STDERR_FILENO, 99), 99);
	assert_int_equal(spawn_open(argv, &s, &e), ERR_OK);
	n = read_all(s, out, sizeof(out) - 1);
	out[n] = '\0';
	assert_null(strstr(out, "leak"));
	assert_non_null(strstr(out, "SigBlk:\t0000000000000000"));
	/* bit 12: SIGPIPE */
	assert_int_equal(strtoull(strstr(out, "SigIgn:") + 8, NULL, 16) & 0x1000, 0);
	assert_int_equal(spawn_end(s, NULL, &e), ERR_OK);
	spawn_close(s);
	close(99);
	assert_int_equal(sigprocmask(SIG_UNBLOCK, &some, NULL), 0);
}

/* One that never ends is left soon after the wish, and is gone after the close. */
static void test_cancel(void **state)
{
	char sleep[] = "sleep", long_time[] = "1000", out[16];
	char *argv[] = { sleep, long_time, NULL };
	atomic_bool cancel = true;
	struct err e = ERR_INIT;
	struct spawn *s = NULL;
	size_t n;
	pid_t pid;

	(void)state;
	assert_int_equal(spawn_open(argv, &s, &e), ERR_OK);
	pid = spawn_pid(s);
	assert_int_equal(spawn_read(s, &cancel, out, sizeof(out), &n, &e), ERR_CANCELED);
	assert_int_equal(spawn_end(s, &cancel, &e), ERR_CANCELED);
	spawn_close(s);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

/* A shell's script started with these options; argv is good until the next call. */
static struct spawn *start_sh(const char *script, struct spawn_options o)
{
	static char sh[] = "sh", c[] = "-c", text[1024];
	static char *argv[] = { sh, c, text, NULL };
	struct err e = ERR_INIT;
	struct spawn *s = NULL;

	assert_true(strlen(script) < sizeof(text));
	memcpy(text, script, strlen(script) + 1);
	o.argv = argv;
	assert_int_equal(spawn_start(&o, &s, &e), ERR_OK);
	return s;
}

/* Ended, or a zombie whose parent does not care. */
static bool is_gone(pid_t pid)
{
	char name[64], stat[256] = { 0 }, *state;
	FILE *f;

	(void)snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
	f = fopen(name, "r");
	if (!f)
		return true;
	(void)!fread(stat, 1, sizeof(stat) - 1, f);
	fclose(f);
	state = strrchr(stat, ')');
	return !state || state[2] == 'Z' || state[2] == 'X';
}

static bool is_soon_gone(pid_t pid)
{
	for (int ms = 0; ms < 10000 && !is_gone(pid); ms += 10)
		(void)poll(NULL, 0, 10);
	return is_gone(pid);
}

static pid_t read_pid(struct spawn *s)
{
	char text[64] = { 0 };
	size_t n = 1, len = 0;

	while (n > 0 && !strchr(text, '\n')) {
		assert_int_equal(spawn_read(s, NULL, text + len, sizeof(text) - 1 - len, &n, NULL),
				 ERR_OK);
		len += n;
	}
	assert_true(strtol(text, NULL, 10) > 1);
	return (pid_t)strtol(text, NULL, 10);
}

/* 4 MiB on standard error, while nobody reads it, stop neither reading nor writing. */
static void test_much_said(void **state)
{
	static char block[1 << 16];
	struct spawn *s = start_sh("i=0; while [ $i -lt 64 ]; do head -c 65536 /dev/zero | tr '\\0' x >&2; i=$((i + 1)); done; "
				   "wc -c; echo the end >&2; exit 5",
				   (struct spawn_options){ .in = SPAWN_STDIN_PIPE });
	struct err e = ERR_INIT;
	char out[64] = { 0 };

	(void)state;
	for (int i = 0; i < 64; i++)
		assert_int_equal(spawn_write(s, NULL, block, sizeof(block), &e), ERR_OK);
	spawn_close_stdin(s);
	assert_true(read_all(s, out, sizeof(out)) > 0);
	assert_int_equal(strtol(out, NULL, 10), 64 << 16);
	assert_int_equal(spawn_end(s, NULL, &e), ERR_FAILED);
	assert_int_equal(exit_status(s), 5);
	assert_int_equal(strlen(spawn_err(s)), SPAWN_ERR_MAX);
	assert_string_equal(spawn_err(s) + SPAWN_ERR_MAX - 9, "xthe end\n");
	spawn_close(s);
}

/* The line of standard error that is told is the one that speaks of the error. */
static void test_telling_line(void **state)
{
	static const char *const scripts[][2] = {
		{ "printf 'start\\ntool: error: no such table\\ntool: query was: x\\n\\n' >&2; exit 1",
		  "sh failed with exit status 1: tool: error: no such table" },
		{ "printf 'one\\ntwo' >&2; kill -9 $$", "sh was killed by signal 9 (Killed): two" },
		{ "exit 3", "sh failed with exit status 3" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		struct spawn *s = start_sh(scripts[i][0], (struct spawn_options){ .out_none = true });
		struct err e = ERR_INIT;

		assert_int_equal(spawn_end(s, NULL, &e), ERR_FAILED);
		assert_string_equal(e.msg, scripts[i][1]);
		spawn_close(s);
	}
}

/* One that reads no more: its own words, and no SIGPIPE (which would end this test). */
static void test_reads_no_more(void **state)
{
	static char block[1 << 20];
	struct spawn *s = start_sh("read x; echo 'disk full error' >&2; exit 9",
				   (struct spawn_options){ .in = SPAWN_STDIN_PIPE });
	enum err_code rc = ERR_OK;
	struct err e = ERR_INIT;

	(void)state;
	assert_ptr_not_equal(signal(SIGPIPE, SIG_DFL), SIG_ERR);
	memset(block, '\n', sizeof(block));
	for (int i = 0; i < 10 && !rc; i++)
		rc = spawn_write(s, NULL, block, sizeof(block), &e);
	assert_int_equal(rc, ERR_FAILED);
	assert_string_equal(e.msg, "sh failed with exit status 9: disk full error");
	spawn_close(s);
}

static void test_write_canceled(void **state)
{
	static char block[4 << 20];
	struct spawn *s = start_sh("sleep 1000", (struct spawn_options){ .in = SPAWN_STDIN_PIPE });
	atomic_bool cancel = true;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(spawn_write(s, &cancel, block, sizeof(block), &e), ERR_CANCELED);
	spawn_close(s);
}

static void test_run(void **state)
{
	char sh[] = "sh", c[] = "-c", own[] = "VOUCH_TEST=secret", home[] = "HOME=/nowhere";
	char script[] = "echo $VOUCH_TEST $HOME; exit 4";
	char *argv[] = { sh, c, script, NULL }, *env[] = { own, home, NULL };
	struct spawn_options o = { .argv = argv, .env = env, .in = SPAWN_STDIN_NONE };
	struct err e = ERR_INIT;
	struct buf out = BUF_INIT;
	int status = -1;

	(void)state;
	assert_int_equal(spawn_run(&o, NULL, &out, 16, &status, &e), ERR_OK);
	assert_string_equal((char *)out.p, "secret /nowhere\n");
	assert_int_equal(status, 4);
	buf_reset(&out);
	assert_int_equal(spawn_run(&o, NULL, &out, 16, NULL, &e), ERR_FAILED);
	assert_string_equal(e.msg, "sh failed with exit status 4");
	buf_reset(&out);
	assert_int_equal(spawn_run(&o, NULL, &out, 15, &status, &e), ERR_LIMIT);
	status = -1;
	assert_int_equal(spawn_run(&o, NULL, NULL, 0, &status, &e), ERR_OK);
	assert_int_equal(status, 4);
	buf_release(&out);
}

static unsigned count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned nr = 0;

	assert_non_null(d);
	while (readdir(d))
		nr++;
	closedir(d);
	return nr;
}

/* However one ends, no descriptor of it stays open here, and no process of it is left to be waited for. */
static void test_nothing_left(void **state)
{
	static const enum spawn_stdin ins[] = { SPAWN_STDIN_OURS, SPAWN_STDIN_NONE, SPAWN_STDIN_PIPE };
	char none[] = "/nonexistent/program", *argv[] = { none, NULL };
	unsigned before = count_descriptors();
	struct err e = ERR_INIT;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(ins); i++) {
		for (unsigned kind = 0; kind < 8; kind++) {
			struct spawn_options o = { .in = ins[i], .out_none = kind & 1, .out_err = kind & 2, .keep_err = kind & 4 };
			struct spawn *s = start_sh("exit 0", o);

			assert_int_equal(spawn_end(s, NULL, &e), ERR_OK);
			spawn_close(s);
			s = start_sh("exec sleep 1000", o);
			spawn_close(s);
			o.argv = argv;
			assert_int_equal(spawn_start(&o, &s, &e), ERR_FAILED);
		}
	}
	assert_int_equal(count_descriptors(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* One that asks something at the terminal is not stopped there for good: it has none, and fails. */
static void test_no_terminal(void **state)
{
	char what = '?';
	int ends[2], master;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	child = forkpty(&master, NULL, NULL, NULL);
	assert_true(child >= 0);
	if (child == 0) {
		struct spawn *s = start_sh("exec 2>/dev/null; read answer </dev/tty", (struct spawn_options){ .in = SPAWN_STDIN_NONE });

		what = spawn_end(s, NULL, NULL) == ERR_FAILED ? 'f' : 'e';
		(void)!write(ends[1], &what, 1);
		_exit(0);
	}
	assert_int_equal(poll(&(struct pollfd){ .fd = ends[0], .events = POLLIN }, 1, 10000), 1);
	assert_int_equal(read(ends[0], &what, 1), 1);
	assert_int_equal(what, 'f');
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(master);
	close(ends[0]);
	close(ends[1]);
}

/* Where nobody else waits for orphans (the first process of a container): no time is lost on them. */
static void test_orphans(void **state)
{
	struct timespec from, to;
	struct spawn *s;

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	s = start_sh("sleep 1000 & echo $!; wait", (struct spawn_options){ .in = SPAWN_STDIN_NONE });
	(void)read_pid(s);
	clock_gettime(CLOCK_MONOTONIC, &from);
	spawn_close(s);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
	assert_true(to.tv_sec - from.tv_sec < 4);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_stdin_fd(void **state)
{
	FILE *f = tmpfile();
	char out[64] = { 0 };
	struct spawn *s;

	(void)state;
	assert_non_null(f);
	assert_true(fputs("some words", f) >= 0 && fflush(f) == 0);
	assert_int_equal(lseek(fileno(f), 5, SEEK_SET), 5);
	s = start_sh("cat", (struct spawn_options){ .in = SPAWN_STDIN_FD, .in_fd = fileno(f) });
	assert_int_equal(read_all(s, out, sizeof(out)), 5);
	assert_string_equal(out, "words");
	assert_int_equal(spawn_end(s, NULL, NULL), ERR_OK);
	spawn_close(s);
	fclose(f);
}

/* All that it started ends with it, though not with its end where it ends by itself. */
static void test_group(void **state)
{
	struct spawn *s = start_sh("sleep 1000 & echo $!; wait", (struct spawn_options){ .in = SPAWN_STDIN_NONE });
	pid_t grandchild = read_pid(s);

	(void)state;
	assert_false(is_gone(grandchild));
	spawn_close(s);
	assert_true(is_soon_gone(grandchild));

	s = start_sh("sleep 1000 >/dev/null 2>&1 & echo $!", (struct spawn_options){ .in = SPAWN_STDIN_NONE });
	grandchild = read_pid(s);
	assert_int_equal(spawn_end(s, NULL, NULL), ERR_OK);
	spawn_close(s);
	assert_false(is_gone(grandchild));
	assert_int_equal(kill(grandchild, SIGKILL), 0);
}

/*
 * vouch is killed while it feeds one: that ends, with its children, and before it sees an end of input (which it would take
 * for the end of the work).
 */
static void test_vouch_killed(void **state)
{
	char name[] = "/tmp/test-spawn-XXXXXX", script[256], text[16] = { 0 };
	int fd = mkstemp(name), ends[2];
	struct spawn *s;
	pid_t child, pid = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(pipe(ends), 0);
	(void)snprintf(script, sizeof(script),
		       "trap 'echo term >%s; exit 1' TERM; echo $$; while read x; do :; done; echo end >%s", name, name);
	child = fork();
	if (child == 0) {
		s = start_sh(script, (struct spawn_options){ .in = SPAWN_STDIN_PIPE });
		pid = read_pid(s);
		(void)!write(ends[1], &pid, sizeof(pid));
		for (;;)
			pause();
	}
	assert_int_equal(read(ends[0], &pid, sizeof(pid)), sizeof(pid));
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_true(is_soon_gone(pid));
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "term\n");
	close(ends[0]);
	close(ends[1]);
	close(fd);
	(void)unlink(name);
}

/* What stands for `docker exec -i`: its process inside has a session of its own, and outlives it. */
static char *client(void)
{
	static char name[64];
	static const char text[] = "#!/bin/sh\necho 'client: a warning' >&2\nexec 3<&0\n"
				   "setsid \"$@\" <&3 3<&- &\nexec 3<&- </dev/null\nwait $!\n";
	int fd;

	if (name[0])
		return name;
	(void)snprintf(name, sizeof(name), "/tmp/test-spawn-client-XXXXXX");
	fd = mkstemp(name);
	assert_true(fd >= 0 && fchmod(fd, 0700) == 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	return name;
}

/* Through via: all goes through, and the line with the process id is nowhere. */
static void test_via(void **state)
{
	char *via[] = { client(), NULL };
	struct spawn *s = start_sh("cat; echo inside error >&2; exit 6",
				   (struct spawn_options){ .in = SPAWN_STDIN_PIPE, .via = via });
	struct err e = ERR_INIT;
	char out[64] = { 0 };

	(void)state;
	assert_int_equal(spawn_write(s, NULL, "hello", 5, &e), ERR_OK);
	spawn_close_stdin(s);
	assert_int_equal(read_all(s, out, sizeof(out)), 5);
	assert_string_equal(out, "hello");
	assert_int_equal(spawn_end(s, NULL, &e), ERR_FAILED);
	assert_string_equal(e.msg, "sh failed with exit status 6: inside error");
	assert_string_equal(spawn_err(s), "client: a warning\ninside error\n");
	spawn_close(s);
}

/* How the client ends: it is closed, killed by somebody, or vouch is killed. */
static void test_via_ends(void **state)
{
	static const char script[] = "echo $$; exec sleep 1000";
	char *via[] = { client(), NULL };
	struct spawn_options o = { .in = SPAWN_STDIN_NONE };
	struct spawn *s;
	pid_t inside = 0, child;
	char command[256];
	int ends[2];

	(void)state;
	/* That the stand-in is one: without via nobody ends the inner process. */
	(void)snprintf(command, sizeof(command), "exec %s sh -c '%s'", client(), script);
	s = start_sh(command, o);
	inside = read_pid(s);
	spawn_close(s);
	assert_false(is_gone(inside));
	assert_int_equal(kill(inside, SIGKILL), 0);

	o.via = via;
	s = start_sh(script, o);
	inside = read_pid(s);
	assert_false(is_gone(inside));
	spawn_close(s);
	assert_true(is_soon_gone(inside));

	s = start_sh(script, o);
	inside = read_pid(s);
	assert_int_equal(kill(spawn_pid(s), SIGKILL), 0);
	assert_int_equal(spawn_end(s, NULL, NULL), ERR_FAILED);
	assert_true(is_soon_gone(inside));
	spawn_close(s);

	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		s = start_sh(script, o);
		inside = read_pid(s);
		(void)!write(ends[1], &inside, sizeof(inside));
		for (;;)
			pause();
	}
	assert_int_equal(read(ends[0], &inside, sizeof(inside)), sizeof(inside));
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_true(is_soon_gone(inside));
	close(ends[0]);
	close(ends[1]);
}

static int remove_client(void **state)
{
	(void)state;
	return unlink(client());
}

int main(void)
{
	static const struct CMUnitTest more[] = {
		cmocka_unit_test(test_not_there), cmocka_unit_test(test_nothing_inherited),
		cmocka_unit_test(test_cancel), cmocka_unit_test(test_much_said),
		cmocka_unit_test(test_telling_line), cmocka_unit_test(test_reads_no_more),
		cmocka_unit_test(test_write_canceled), cmocka_unit_test(test_run),
		cmocka_unit_test(test_nothing_left), cmocka_unit_test(test_no_terminal),
		cmocka_unit_test(test_orphans), cmocka_unit_test(test_stdin_fd),
		cmocka_unit_test(test_group), cmocka_unit_test(test_vouch_killed),
		cmocka_unit_test(test_via), cmocka_unit_test(test_via_ends),
	};
	struct CMUnitTest tests[ARRAY_LEN(rows) + ARRAY_LEN(more)];
	size_t n = 0;

	for (; n < ARRAY_LEN(rows); n++)
		tests[n] = (struct CMUnitTest){ rows[n].name, test_row, NULL, NULL,
						(void *)(uintptr_t)&rows[n] };
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		tests[n++] = more[i];
	return cmocka_run_group_tests_name("spawn", tests, NULL, remove_client);
}
