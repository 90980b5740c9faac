/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/lock.h"

static char id[33];		/* of a repository that nobody else has */

static void test_one_at_a_time(void **state)
{
	struct lock *a = NULL, *b = NULL, *other = NULL;
	struct err e = ERR_INIT;
	char pid[32];

	(void)state;
	assert_int_equal(lock_take(id, "crm", "run", &a, &e), ERR_OK);
	assert_int_equal(lock_take(id, "crm", "recover", &b, &e), ERR_BUSY);
	assert_null(b);
	(void)snprintf(pid, sizeof(pid), "run, process %ld", (long)getpid());
	assert_non_null(strstr(e.msg, pid));
	assert_non_null(strstr(e.msg, "crm"));
	assert_int_equal(lock_take(id, "shop", "recover", &other, &e), ERR_OK);
	lock_release(a);
	assert_int_equal(lock_take(id, "crm", "recover", &b, &e), ERR_OK);
	lock_release(b);
	lock_release(other);
	lock_release(NULL);
}

static void test_any_name(void **state)
{
	struct lock *a = NULL, *b = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(lock_take(id, "../../etc/x y", "run", &a, &e), ERR_OK);
	assert_int_equal(lock_take(id, "../../etc/x_y", "run", &b, &e), ERR_OK);
	lock_release(a);
	lock_release(b);
}

/* One that is killed leaves nothing behind; what it started does not hold the lock either. */
static void test_dies_with_its_holder(void **state)
{
	struct lock *a = NULL;
	struct err e = ERR_INIT;
	int ready[2], status;
	char c;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (lock_take(id, "crm", "run", &a, &e))
			_exit(1);
		if (fork() == 0) {
			close(ready[0]);
			close(ready[1]);
			execlp("sleep", "sleep", "5", (char *)NULL);
			_exit(1);
		}
		(void)!write(ready[1], "x", 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	assert_int_equal(lock_take(id, "crm", "recover", &a, &e), ERR_BUSY);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	/* The grandchild may be between fork and exec still. */
	for (int i = 0; i < 200 && lock_take(id, "crm", "recover", &a, &e) == ERR_BUSY; i++)
		usleep(10000);
	assert_non_null(a);
	lock_release(a);
}

/* As any user: cron's job, whose environment is small, and a login exclude each other; a home of somebody else is refused. */
static void other_user(const char *home)
{
	struct lock *a = NULL, *b = NULL;
	struct err e = ERR_INIT;

	if (geteuid() == 0 && (chown(home, 65534, 65534) != 0 || seteuid(65534) != 0))
		_exit(1);
	if (setenv("HOME", home, 1) != 0 || unsetenv("XDG_RUNTIME_DIR") != 0 || lock_take(id, "crm", "run", &a, &e))
		_exit(2);
	if (setenv("XDG_RUNTIME_DIR", home, 1) != 0 || lock_take(id, "crm", "recover", &b, &e) != ERR_BUSY)
		_exit(3);
	if (setenv("HOME", "/", 1) != 0 || lock_take(id, "crm", "recover", &b, &e) == ERR_OK)
		_exit(4);
	if (unsetenv("HOME") != 0 || lock_take(id, "crm", "recover", &b, &e) != ERR_USAGE)
		_exit(5);
	_exit(0);
}

static void test_environment(void **state)
{
	char home[] = "/tmp/test_lock.XXXXXX", command[64];
	int status = -1;
	pid_t child;

	(void)state;
	assert_non_null(mkdtemp(home));
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		other_user(home);
	assert_int_equal(waitpid(child, &status, 0), child);
	(void)snprintf(command, sizeof(command), "rm -r %s", home);
	assert_int_equal(system(command), 0);
	assert_int_equal(status, 0);
}

static int remove_locks(void **state)
{
	char command[256];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -f /run/vouch/%s-* ~/.cache/vouch/%s-*", id, id);
	return system(command) == -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_any_name),
		cmocka_unit_test(test_dies_with_its_holder),
		cmocka_unit_test(test_environment),
	};

	(void)snprintf(id, sizeof(id), "%032lx", (unsigned long)getpid());
	return cmocka_run_group_tests(tests, NULL, remove_locks);
}
