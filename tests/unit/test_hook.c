/* SPDX-License-Identifier: MIT */
/* Hooks: words without a shell, in order, until one fails; what one leaves running is not waited for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/hook.h"

static char key[] = "before", kind[] = "component", name[] = "crm";

/* What the hooks wrote to standard error, up to 1023 bytes. */
static enum err_code run(size_t nr, const char *const *values, char *const *env, char out[1024], struct err *e)
{
	struct config_key keys[4] = { { 0 } };
	struct config_section s = { .kind = kind, .name = name, .keys = keys, .nr_keys = nr, .file = "vouch.conf" };
	int file = memfd_create("err", MFD_CLOEXEC), old = dup(STDERR_FILENO);
	enum err_code rc;
	ssize_t n;

	for (size_t i = 0; i < nr; i++) {
		keys[i].key = key;
		keys[i].value = strdup(values[i]);
	}
	assert_true(file >= 0 && old >= 0);
	assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
	rc = hook_run(&s, "before", env, NULL, e);
	assert_int_equal(dup2(old, STDERR_FILENO), STDERR_FILENO);
	n = pread(file, out, 1023, 0);
	assert_true(n >= 0);
	out[n] = '\0';
	close(file);
	close(old);
	for (size_t i = 0; i < nr; i++)
		free(keys[i].value);
	return rc;
}

static void test_in_order(void **state)
{
	const char *const v[] = { "echo 'one $HOME' two", "sh -c 'echo \"$VOUCH_X\"; echo err >&2; read x || echo no input'" };
	char x[] = "VOUCH_X=a b", *env[] = { x, NULL }, out[1024];
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(run(2, v, env, out, &e), ERR_OK);
	assert_string_equal(out, "one $HOME two\na b\nerr\nno input\n");
	assert_int_equal(run(0, v, NULL, out, &e), ERR_OK);
	assert_string_equal(out, "");
}

static void test_first_failure_ends(void **state)
{
	const char *const v[] = { "echo one", "sh -c 'exit 3'", "echo three" };
	const char *const missing[] = { "/nowhere/at/all" };
	char out[1024];
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(run(3, v, NULL, out, &e), ERR_FAILED);
	assert_string_equal(out, "one\n");
	assert_non_null(strstr(e.msg, "[component crm] before"));
	assert_non_null(strstr(e.msg, "3"));
	assert_int_equal(run(1, missing, NULL, out, &e), ERR_FAILED);
	assert_non_null(strstr(e.msg, "/nowhere/at/all"));
}

static void test_leaves_one_running(void **state)
{
	const char *const v[] = { "sh -c 'sleep 5 & echo started'" };
	char out[1024];
	struct err e = ERR_INIT;
	time_t start = time(NULL);

	(void)state;
	assert_int_equal(run(1, v, NULL, out, &e), ERR_OK);
	assert_string_equal(out, "started\n");
	assert_true(time(NULL) - start < 4);
}

/* Killed, and not killed: the first runs all of them, though one fails. */
static void test_guard(void **state)
{
	char dir[] = "/tmp/test_hook.XXXXXX", after[] = "after", fails[] = "/nowhere/at/all", tells[256], path[64], text[64] = "";
	struct config_key keys[] = { { .key = after, .value = fails }, { .key = after, .value = tells } };
	struct config_section s = { .kind = kind, .name = name, .keys = keys, .nr_keys = 2, .file = "vouch.conf" };
	const struct timespec step = { .tv_nsec = 10000000 };
	char x[] = "VOUCH_X=killed", *env[] = { x, NULL };
	struct hook_guard *g = NULL;
	struct err e = ERR_INIT;
	int fd = -1;
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/told", dir);
	(void)snprintf(tells, sizeof(tells), "sh -c 'echo $VOUCH_X >%s.new; mv %s.new %s'", path, path, path);
	assert_int_equal(hook_guard_open(&s, "after", env, &g, &e), ERR_OK);
	hook_guard_close(g);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(hook_guard_open(&s, "none", env, &g, &e), ERR_OK);
	assert_null(g);
	hook_guard_close(g);

	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (hook_guard_open(&s, "after", env, &g, &e) == ERR_OK)
			(void)kill(getpid(), SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	for (int ms = 0; ms < 10000 && fd < 0; ms += 10) {
		(void)nanosleep(&step, NULL);
		fd = open(path, O_RDONLY);
	}
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text) - 1), 7);
	assert_string_equal(text, "killed\n");
	close(fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_order),
		cmocka_unit_test(test_first_failure_ends),
		cmocka_unit_test(test_leaves_one_running),
		cmocka_unit_test(test_guard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
