/* SPDX-License-Identifier: MIT */
/* Which copies a repository knows of, and that nothing of what its log names is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/replicas_internal.h"
#include "tests/lib/testrepo.h"

static struct testrepo repo;

static int make(void **state)
{
	(void)state;
	testrepo_make(&repo);
	testrepo_open(&repo, STORE_WRITE);
	return 0;
}

static int take_away(void **state)
{
	(void)state;
	testrepo_remove(&repo);
	return 0;
}

static void note(const char *path)
{
	char line[8192];

	(void)snprintf(line, sizeof(line), "\"path\":\"%s\"", path);
	OK(runlog_append(repo.s, "replica", line, &ok_err));
}

static void beside(const char *name, char out[256])
{
	(void)snprintf(out, 256, "%s/%s", repo.dir, name);
}

static void expect(const char *const *want, size_t nr_want)
{
	char **paths = NULL;
	size_t nr = 0;

	OK(replicas_known(repo.s, &paths, &nr, &ok_err));
	assert_int_equal(nr, nr_want);
	for (size_t i = 0; i < nr; i++)
		assert_string_equal(paths[i], want[i]);
	replicas_free(paths, nr);
}

static void test_known(void **state)
{
	char dir[256], odd[256];
	const char *want[] = { odd, dir, "/media/b", "/media/a" };

	(void)state;
	expect(NULL, 0);
	note("/media/a");
	note("/media/b");
	beside("one", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	beside("\"\\\xff\n two", odd);
	assert_int_equal(mkdir(odd, 0700), 0);
	OK(replica_note(repo.s, dir, &ok_err));
	OK(replica_note(repo.s, odd, &ok_err));
	expect(want, 4);
	want[0] = "/media/a";
	want[1] = odd;
	want[2] = dir;
	want[3] = "/media/b";
	note("/media/a");
	expect(want, 4);
}

static void test_itself_is_none(void **state)
{
	struct backend *b = NULL;
	char link[256];

	(void)state;
	note(repo.path);
	expect(NULL, 0);
	assert_int_equal(replica_open(repo.s, repo.path, &b, NULL), ERR_NOT_FOUND);
	beside("link", link);
	assert_int_equal(symlink(repo.path, link), 0);
	assert_int_equal(replica_open(repo.s, link, &b, NULL), ERR_NOT_FOUND);
}

/* What only a hostile hand writes is passed over. */
static void test_odd_paths(void **state)
{
	static const char *const odd[] = { "", "/", "relative/path", "/a/../b", "/a/..", "/a//b",
					   "/a/./b", "/a/.", "/a/", "./x" };
	static const char *const good[] = { "/..a/.b/c..", "/good" };
	char longest[5000];

	(void)state;
	note("/good");
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		note(odd[i]);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	note(longest);
	OK(runlog_append(repo.s, "replica", "\"path\":7", &ok_err));
	OK(runlog_append(repo.s, "replica", "\"path_b64\":\"Lw\"", &ok_err));
	OK(runlog_append(repo.s, "replica", "", &ok_err));
	note("/..a/.b/c..");
	expect(good, 2);
}

static void test_newest_sixteen(void **state)
{
	char text[40][16];
	const char *want[REPLICAS_MAX];

	(void)state;
	for (size_t i = 0; i < 40; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "/m/%zu", i);
		note(text[i]);
		if (i % 3 == 0)
			note("/m/0");
	}
	want[0] = "/m/0";
	for (size_t i = 1; i < REPLICAS_MAX; i++)
		want[i] = text[40 - i];
	expect(want, REPLICAS_MAX);
}

/* As a sync leaves one: vouch.json and its copy. */
static void copy_super(const char *dir)
{
	char path[512];
	uint8_t *text;
	size_t len = 0;
	FILE *f;

	text = testrepo_read(&repo, "vouch.json", &len);
	assert_non_null(text);
	(void)snprintf(path, sizeof(path), "%s/vouch.json", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	free(text);
}

static void test_open(void **state)
{
	struct err e = ERR_INIT;
	struct backend *b = NULL;
	char dir[256], path[512];
	uint64_t size;
	FILE *f;

	(void)state;
	beside("copy", dir);
	assert_int_equal(replica_open(repo.s, "copy", &b, &e), ERR_USAGE);
	assert_int_equal(replica_open(repo.s, dir, &b, &e), ERR_ABSENT);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(replica_open(repo.s, dir, &b, &e), ERR_ABSENT);
	(void)snprintf(path, sizeof(path), "%s/file", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(replica_open(repo.s, dir, &b, &e), ERR_NOT_FOUND);
	assert_int_equal(replica_open(repo.s, path, &b, &e), ERR_NOT_FOUND);
	copy_super(dir);
	OK(replica_open(repo.s, dir, &b, &ok_err));
	assert_true(b->read_only);
	OK(b->ops->size(b, "vouch.json", &size, &ok_err));
	b->ops->close(b);
	/* A FIFO hangs nobody. */
	(void)snprintf(path, sizeof(path), "%s/vouch.json", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_not_equal(replica_open(repo.s, dir, &b, &e), ERR_OK);
}

static void test_open_another(void **state)
{
	char dir[256];
	struct backend *b = NULL;
	struct err e = ERR_INIT;

	(void)state;
	beside("other", dir);
	OK(store_create(dir, NULL, &ok_err));
	assert_int_equal(replica_open(repo.s, dir, &b, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "another repository"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_known, make, take_away),
		cmocka_unit_test_setup_teardown(test_itself_is_none, make, take_away),
		cmocka_unit_test_setup_teardown(test_odd_paths, make, take_away),
		cmocka_unit_test_setup_teardown(test_newest_sixteen, make, take_away),
		cmocka_unit_test_setup_teardown(test_open, make, take_away),
		cmocka_unit_test_setup_teardown(test_open_another, make, take_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
