/* SPDX-License-Identifier: MIT */
/* Producers: what they write, how they end, and that nothing of ours leaks into them. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

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
	pid = s->pid;
	assert_int_equal(spawn_read(s, &cancel, out, sizeof(out), &n, &e), ERR_CANCELED);
	assert_int_equal(spawn_end(s, &cancel, &e), ERR_CANCELED);
	spawn_close(s);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_LEN(rows) + 3];
	size_t n = 0;

	for (; n < ARRAY_LEN(rows); n++)
		tests[n] = (struct CMUnitTest){ rows[n].name, test_row, NULL, NULL,
						(void *)(uintptr_t)&rows[n] };
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_not_there);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_nothing_inherited);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_cancel);
	return cmocka_run_group_tests_name("spawn", tests, NULL, NULL);
}
