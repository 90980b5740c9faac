/* SPDX-License-Identifier: MIT */
/* What a restore reads of a dump: a blob, into a program, under a path by mount or by copy; and what is left of that: nothing. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/testrepo.h"
#include "tools/components/restore_path.c"

#define BIG_LEN (3u << 20)

static struct testrepo repo;
static struct snapshot snap;
static struct component comp = { .name = "crm" };
static uint8_t *big;
static char tmp[200], vouch[512];

static struct restore_job job(void)
{
	return (struct restore_job){ .store = repo.s, .snapshot = &snap, .folder = "fake/crm" };
}

static void publish(const char *const *tags, size_t nr_tags)
{
	struct assembly_options o = { .tags = tags, .nr_tags = nr_tags };
	struct assembly_file *f = NULL;
	struct assembly *a = NULL;

	OK(assembly_open(repo.s, &o, &a, &ok_err));
	OK(assembly_file_open(a, "fake/crm/tables/big", 4096, &f, &ok_err));
	OK(assembly_write(f, big, BIG_LEN, &ok_err));
	OK(assembly_file_close(f, NULL, NULL, &ok_err));
	OK(assembly_put(a, "fake/crm/small", "abc", 3, &ok_err));
	OK(assembly_put(a, "fake/crm/empty", "", 0, &ok_err));
	snapshot_release(&snap);
	memset(&snap, 0, sizeof(snap));
	OK(assembly_publish(a, NULL, 0, &snap, &ok_err));
	assembly_close(a);
}

static void test_file(void **state)
{
	struct restore_job j = job();
	struct blob *b = NULL;
	struct err e = ERR_INIT;

	(void)state;
	OK(restore_file(&j, "tables/big", &b, &ok_err));
	assert_int_equal(blob_size(b), BIG_LEN);
	blob_close(b);
	b = NULL;
	assert_int_equal(restore_file(&j, "tables/none", &b, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "fake/crm/tables/none in snapshot 20"));
	assert_int_equal(restore_file(&j, "tables", &b, &e), ERR_NOT_FOUND);
	assert_int_equal(restore_file(&j, "../crm/small", &b, &e), ERR_USAGE);
	assert_null(b);
}

static enum err_code feed(const char *name, const char *script, char *out, size_t cap, struct err *e)
{
	char *argv[] = { (char *)(uintptr_t)"sh", (char *)(uintptr_t)"-c", (char *)(uintptr_t)script, NULL };
	struct spawn_options o = { .argv = argv, .in = SPAWN_STDIN_PIPE };
	struct restore_job j = job();
	struct spawn *s = NULL;
	enum err_code rc;
	size_t n = 1, at = 0;

	OK(spawn_start(&o, &s, &ok_err));
	rc = restore_feed(&comp, &j, name, s, e);
	while (!rc && n > 0) {
		OK(spawn_read(s, NULL, out + at, cap - 1 - at, &n, &ok_err));
		at += n;
	}
	out[at] = '\0';
	if (!rc)
		rc = spawn_end(s, NULL, e);
	spawn_close(s);
	return rc;
}

static void test_feed(void **state)
{
	struct err e = ERR_INIT;
	char out[128], want[64];

	(void)state;
	OK(feed("small", "cat; echo .", out, sizeof(out), &ok_err));
	assert_string_equal(out, "abc.\n");
	OK(feed("empty", "cat; echo .", out, sizeof(out), &ok_err));
	assert_string_equal(out, ".\n");
	(void)snprintf(want, sizeof(want), "%u\n", BIG_LEN);
	OK(feed("tables/big", "wc -c", out, sizeof(out), &ok_err));
	assert_string_equal(out, want);
	assert_int_equal(feed("none", "cat", out, sizeof(out), &e), ERR_NOT_FOUND);
	assert_int_equal(feed("tables/big", "echo enough >&2; exit 3", out, sizeof(out), &e), ERR_FAILED);
	assert_non_null(strstr(e.msg, "enough"));
}

static unsigned count_entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned nr = 0;

	assert_non_null(d);
	for (const struct dirent *e; (e = readdir(d));)
		nr += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return nr;
}

static void assert_content(const char *path, const uint8_t *want, size_t len)
{
	uint8_t *got = malloc(len + 1);
	FILE *f = fopen(path, "rb");

	assert_non_null(got);
	assert_non_null(f);
	assert_int_equal(fread(got, 1, len + 1, f), len);
	assert_memory_equal(got, want, len);
	fclose(f);
	free(got);
}

static void use_path(bool by_mount)
{
	struct restore_job j = job();
	struct restore_path *p = NULL;
	struct stat st;

	OK(restore_path_open(&j, "tables/big", &p, &ok_err));
	assert_int_equal(p->at != NULL, by_mount);
	assert_content(restore_path_text(p), big, BIG_LEN);
	assert_content(restore_path_text(p), big, BIG_LEN);	/* each who opens it begins at its start */
	assert_int_equal(stat(by_mount ? p->dir : restore_path_text(p), &st), 0);
	assert_int_equal(st.st_mode & 07777, by_mount ? 0700 : 0600);
	assert_int_equal(count_entries(tmp), by_mount);		/* a copy has no name that could be left behind */
	restore_path_close(p);
	assert_int_equal(count_entries(tmp), 0);
}

static bool can_mount(void)
{
	if (access(vouch, X_OK) == 0 && access("/dev/fuse", R_OK | W_OK) == 0)
		return true;
	print_message("no %s, or no /dev/fuse: by copy only\n", vouch);
	return false;
}

static void test_mount(void **state)
{
	static const char *const safety[] = { TAG_SAFETY };
	struct restore_job j = job();
	struct restore_path *p = NULL;

	(void)state;
	if (!can_mount())
		skip();
	self = vouch;
	use_path(true);
	publish(safety, 1);
	use_path(true);
	/* Its server dies: nothing is left all the same. */
	OK(restore_path_open(&j, "small", &p, &ok_err));
	assert_non_null(p->at);
	assert_int_equal(kill(spawn_pid(p->server), SIGKILL), 0);
	restore_path_close(p);
	assert_int_equal(count_entries(tmp), 0);
	publish(NULL, 0);
}

/* Whoever has it open is killed: the mount does not outlive him. */
static void test_killed(void **state)
{
	const struct timespec step = { .tv_nsec = 20000000 };
	struct restore_job j = job();
	struct restore_path *p = NULL;
	char dir[300] = "", at[400];
	struct stat st, above;
	unsigned tries = 0;
	int ends[2];
	pid_t pid;

	(void)state;
	if (!can_mount())
		skip();
	self = vouch;
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (restore_path_open(&j, "small", &p, NULL) || !p->at ||
		    write(ends[1], p->dir, strlen(p->dir) + 1) < 0)
			_exit(1);
		(void)kill(getpid(), SIGKILL);
	}
	(void)close(ends[1]);
	assert_true(read(ends[0], dir, sizeof(dir)) > 1);
	(void)close(ends[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	(void)snprintf(at, sizeof(at), "%s/repository", dir);
	for (; tries < 500; tries++) {
		assert_int_equal(stat(dir, &above), 0);
		if (stat(at, &st) == 0 && st.st_dev == above.st_dev)
			break;
		(void)nanosleep(&step, NULL);
	}
	assert_true(tries < 500);
	assert_int_equal(rmdir(at), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void test_copy(void **state)
{
	struct restore_job j = job();
	struct restore_path *p = NULL;
	struct err e = ERR_INIT;

	(void)state;
	self = "/bin/false";
	use_path(false);
	self = "/nonexistent";
	use_path(false);
	assert_int_equal(restore_path_open(&j, "none", &p, &e), ERR_NOT_FOUND);
	assert_null(p);
	restore_path_close(NULL);
	assert_int_equal(count_entries(tmp), 0);
}

/* Whoever has it open is killed: the copy is gone with him. */
static void test_copy_killed(void **state)
{
	const struct timespec step = { .tv_nsec = 20000000 };
	struct restore_job j = job();
	struct restore_path *p = NULL;
	char text[64] = "";
	unsigned tries = 0;
	int ends[2];
	pid_t pid;

	(void)state;
	self = "/nonexistent";
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (restore_path_open(&j, "small", &p, NULL) || write(ends[1], p->text, strlen(p->text) + 1) < 0)
			_exit(1);
		(void)kill(getpid(), SIGKILL);
	}
	(void)close(ends[1]);
	assert_true(read(ends[0], text, sizeof(text)) > 1);
	(void)close(ends[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(count_entries(tmp), 0);
	while (access(text, F_OK) == 0 && tries++ < 500)
		(void)nanosleep(&step, NULL);
	assert_true(tries < 500);
}

static void test_cancel(void **state)
{
	struct restore_job j = job();
	struct restore_path *p = NULL;
	atomic_bool cancel;
	struct err e = ERR_INIT;

	(void)state;
	atomic_init(&cancel, true);
	j.cancel = &cancel;
	self = "/nonexistent";
	assert_int_equal(restore_path_open(&j, "tables/big", &p, &e), ERR_CANCELED);
	assert_int_equal(count_entries(tmp), 0);
}

static void test_no_folder(void **state)
{
	struct restore_job j = job();
	struct restore_path *p = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(setenv("TMPDIR", "/nonexistent", 1), 0);
	assert_int_equal(restore_path_open(&j, "small", &p, &e), ERR_IO);
	assert_non_null(strstr(e.msg, "TMPDIR"));
	assert_int_equal(setenv("TMPDIR", tmp, 1), 0);
}

static void test_space(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	OK(check_space(tmp, 0, &ok_err));
	assert_int_equal(check_space(tmp, UINT64_MAX, &e), ERR_LIMIT);
	assert_int_equal(check_space(tmp, (uint64_t)1 << 60, &e), ERR_LIMIT);
	assert_non_null(strstr(e.msg, "set TMPDIR"));
}

static int set_up(void **state)
{
	ssize_t n;
	char *end;

	(void)state;
	testrepo_make(&repo);
	testrepo_open(&repo, STORE_WRITE);
	big = malloc(BIG_LEN);
	if (!big)
		return -1;
	for (uint64_t i = 0, seed = 7; i < BIG_LEN; i++)
		big[i] = (uint8_t)(i % 4096 ? big[i - 1] * 5u + 1u : test_random(&seed));
	publish(NULL, 0);
	(void)snprintf(tmp, sizeof(tmp), "%s/tmp", repo.dir);
	/* BUILD/tests/unit/test_restore_path: the program is BUILD/vouch */
	n = readlink("/proc/self/exe", vouch, sizeof(vouch) - 8);
	if (n <= 0 || mkdir(tmp, 0700) < 0 || setenv("TMPDIR", tmp, 1) < 0)
		return -1;
	vouch[n] = '\0';
	for (int i = 0; i < 3 && (end = strrchr(vouch, '/')); i++)
		*end = '\0';
	memcpy(vouch + strlen(vouch), "/vouch", 7);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(big);
	snapshot_release(&snap);
	testrepo_remove(&repo);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file), cmocka_unit_test(test_feed), cmocka_unit_test(test_mount), cmocka_unit_test(test_killed),
		cmocka_unit_test(test_copy), cmocka_unit_test(test_copy_killed),
		cmocka_unit_test(test_cancel), cmocka_unit_test(test_no_folder), cmocka_unit_test(test_space),
	};

	return cmocka_run_group_tests_name("restore_path", tests, set_up, tear_down);
}
