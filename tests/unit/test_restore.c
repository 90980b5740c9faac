/* SPDX-License-Identifier: MIT */
/* A tree on to a disk: everything a file is comes back, links, holes, large and deep ones too. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "tests/lib/restorebox.h"

static void test_kinds(void **state)
{
	uint64_t files;

	(void)state;
	rb_build_kinds();
	rb_reopen();
	rb_restore((struct restore_options){ .verify = true });
	assert_int_equal(rb.res.errors, 0);
	rb_assert_kinds(false);
	files = rb.res.files;
	assert_int_equal(files, rb.top.below.files);
	assert_int_equal(rb.res.bytes, rb.top.below.bytes);
	assert_int_equal(rb.res.verified_bytes, rb.top.below.bytes);
	assert_int_equal(rb.res.dirs, rb.top.below.dirs + 1);
	assert_int_equal(rb.res.others, 2);		/* the device is left out */
	assert_true(testlog_has(&rb.log, EVENT_NOTE, "1 devices", ""));
	assert_true(testlog_has(&rb.log, EVENT_NOTE, "1 setuid", ""));

	/* Again: all is found; what was changed meanwhile, but for the bytes, is set right. */
	assert_int_equal(chmod(rb_path("text"), 0777), 0);
	assert_int_equal(setxattr(rb_path("text"), "user.extra", "1", 1, 0), 0);
	assert_int_equal(chmod(rb_path("closed/named"), 0600), 0);
	assert_int_equal(removexattr(rb_path("closed/named"), "user.short"), 0);
	rb_restore((struct restore_options){ 0 });
	assert_int_equal(rb.res.errors, 0);
	assert_int_equal(rb.res.unchanged, files);
	assert_int_equal(rb.res.files, files);
	rb_assert_kinds(false);
	assert_int_equal(rb_stat("text").st_mode, S_IFREG | 0644);
	assert_int_equal(getxattr(rb_path("text"), "user.extra", NULL, 0), -1);
	if (geteuid() != 0)
		return;
	rb_restore((struct restore_options){ .special = true });
	assert_int_equal(rb.res.errors, 0);
	rb_assert_kinds(true);
}

/* The same bytes are kept, others of the same size and time are not. */
static void test_resume_looks_at_bytes(void **state)
{
	struct timespec ts[2] = { { 1, 5 }, { 1, 5 } };
	struct testtree t;

	(void)state;
	testtree_begin(&t, &rb.r);
	testtree_text(&t, "a", "aaaa");
	testtree_text(&t, "b", "bbbb");
	testtree_end(&t, &rb.root, &rb.top);
	rb_restore((struct restore_options){ 0 });
	rb_put(rb_path("b"), "bbbx");
	assert_int_equal(utimensat(AT_FDCWD, rb_path("b"), ts, 0), 0);
	rb_restore((struct restore_options){ 0 });
	assert_int_equal(rb.res.unchanged, 1);
	assert_int_equal(rb.res.files, 2);
	rb_assert_text(rb_path("b"), "bbbb");
}

/* A file that somebody else has under another name is replaced, not changed. */
static void test_foreign_link(void **state)
{
	struct testtree t;
	char other[256];
	struct stat st;

	(void)state;
	testtree_begin(&t, &rb.r);
	testtree_text(&t, "a", "aaaa");
	testtree_end(&t, &rb.root, &rb.top);
	rb_restore((struct restore_options){ 0 });
	(void)snprintf(other, sizeof(other), "%s/other", rb.r.dir);
	assert_int_equal(link(rb_path("a"), other), 0);
	assert_int_equal(chmod(other, 0600), 0);
	rb_restore((struct restore_options){ 0 });
	assert_int_equal(stat(other, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(rb_stat("a").st_mode & 07777, 0644);
}

static void test_hard_links(void **state)
{
	const struct run one = { 200 * K, 21 }, two = { 10, 22 };
	struct entry d = testtree_entry(ENTRY_DIR, "d");
	struct testtree t;

	(void)state;
	testtree_begin(&t, &rb.r);
	rb_add_link(&t, "a1", 5, 4, &one);
	rb_add_link(&t, "a2", 5, 4, &one);
	rb_add_link(&t, "b1", 6, 3, &two);		/* its third name lies elsewhere */
	testtree_enter(&t, &d);
	rb_add_link(&t, "a3", 5, 4, &one);
	rb_add_link(&t, "a4", 5, 4, &one);
	rb_add_link(&t, "b2", 6, 3, &two);
	testtree_leave(&t);
	testtree_end(&t, &rb.root, &rb.top);
	rb_reopen();
	for (int round = 0; round < 3; round++) {
		rb_restore((struct restore_options){ .verify = true });
		assert_int_equal(rb.res.errors, 0);
		assert_int_equal(rb.res.files, 6);
		assert_int_equal(rb_stat("a1").st_nlink, 4);
		assert_int_equal(rb_stat("d/a4").st_ino, rb_stat("a1").st_ino);
		assert_int_equal(rb_stat("d/a3").st_ino, rb_stat("a2").st_ino);
		assert_int_equal(rb_stat("b1").st_nlink, 2);
		assert_int_equal(rb_stat("d").st_mtim.tv_sec, 1);
		rb_assert_runs("d/a4", &one, 1);
		if (round > 0)
			assert_int_equal(rb.res.unchanged, 6);
		if (round == 1)		/* one name was replaced: linked again */
			rb_put(rb_path("new"), "x");
		if (round == 1) {
			assert_int_equal(rename(rb_path("new"), rb_path("d/a3")), 0);
			rb_restore((struct restore_options){ 0 });
			assert_int_equal(rb.res.unchanged, 5);
		}
	}
}

/* More small files than go into one job, of all modes and two owners. */
#define MANY_DIRS	3
#define MANY_FILES	70

static const uint32_t many_modes[] = { 0644, 0600, 0755, 0000, 0444, 0777, 0664, 0070, 01644, 0200 };

static void build_many(void)
{
	struct testtree t;
	char name[32];

	testtree_begin(&t, &rb.r);
	for (unsigned d = 0; d < MANY_DIRS; d++) {
		struct entry dir = testtree_entry(ENTRY_DIR, name);

		(void)snprintf(name, sizeof(name), "d%u", d);
		dir.name_len = strlen(name);
		testtree_enter(&t, &dir);
		for (unsigned i = 0; i < MANY_FILES; i++) {
			const struct run run = { i % 7, 100 + i };
			char file[32];
			struct entry e = testtree_entry(ENTRY_FILE, file);

			(void)snprintf(file, sizeof(file), "f%02u", i);
			e.name_len = strlen(file);
			e.mode = many_modes[i % ARRAY_LEN(many_modes)];
			if (geteuid() == 0 && i % 3 == 0)
				e.gid = 4321;
			testtree_file(&t, e, &run, 1, 4 * K);
		}
		testtree_leave(&t);
	}
	testtree_end(&t, &rb.root, &rb.top);
	rb_reopen();
}

static void assert_many(void)
{
	assert_int_equal(rb.res.errors, 0);
	assert_int_equal(rb.res.files, MANY_DIRS * MANY_FILES);
	for (unsigned d = 0; d < MANY_DIRS; d++) {
		for (unsigned i = 0; i < MANY_FILES; i++) {
			char name[32];
			struct stat st;

			(void)snprintf(name, sizeof(name), "d%u/f%02u", d, i);
			st = rb_stat(name);
			assert_int_equal(st.st_mode & 07777, many_modes[i % ARRAY_LEN(many_modes)]);
			assert_int_equal(st.st_size, i % 7);
			assert_int_equal(st.st_mtim.tv_sec, 1);
			if (geteuid() == 0)
				assert_int_equal(st.st_gid, i % 3 == 0 ? 4321 : getegid());
		}
	}
	rb_assert_no_leftovers();
}

/* Modes and owners are those recorded, whatever a new file gets by itself. */
static void test_many_small(void **state)
{
	static const mode_t umasks[] = { 022, 0, 077 };

	(void)state;
	build_many();
	for (size_t i = 0; i < ARRAY_LEN(umasks); i++) {
		mode_t old = umask(umasks[i]);

		rb_restore((struct restore_options){ .jobs = 1 + (unsigned)i });
		(void)umask(old);
		assert_many();
		rb_restore((struct restore_options){ .verify = geteuid() == 0 });
		assert_true(rb.res.unchanged > 0);
		assert_many();
		testrepo_rm(rb.out);
	}
	if (geteuid() != 0)
		return;
	/* A folder whose group new files take over, and new folders hand on. */
	assert_int_equal(mkdir(rb.out, 0700), 0);
	assert_int_equal(chown(rb.out, (uid_t)-1, 999), 0);
	assert_int_equal(chmod(rb.out, 02775), 0);
	rb_restore((struct restore_options){ 0 });
	assert_many();
	assert_int_equal(rb_stat("d1").st_mode & 07777, 0755);
	assert_int_equal(rb_stat("d1").st_gid, getegid());
}

/* Large and deep. */

static void test_large_in_parts(void **state)
{
	/* 40 MiB of data, a hole over several parts, data again. */
	const struct run runs[] = { { 40 << 20, 31 }, { 50 << 20, 0 }, { 3 << 20, 32 }, { 9, 0 } };
	struct testtree t;

	(void)state;
	testtree_begin(&t, &rb.r);
	testtree_file(&t, testtree_entry(ENTRY_FILE, "large"), runs, ARRAY_LEN(runs), 1000 * K);
	testtree_end(&t, &rb.root, &rb.top);
	rb_reopen();
	rb_restore((struct restore_options){ .verify = true });
	assert_int_equal(rb.res.errors, 0);
	assert_int_equal(rb.res.verified_bytes, rb.top.below.bytes);
	rb_assert_runs("large", runs, ARRAY_LEN(runs));
	assert_true(rb_stat("large").st_blocks * 512 < 44 << 20);
	rb_restore((struct restore_options){ 0 });
	assert_int_equal(rb.res.unchanged, 1);
}

static void test_deep(void **state)
{
	enum { DEEP = 1500 };
	struct entry d = testtree_entry(ENTRY_DIR, "ten-bytes-");
	struct testtree t;
	int fd;

	(void)state;
	testtree_begin(&t, &rb.r);
	for (int i = 0; i < DEEP; i++) {
		testtree_enter(&t, &d);
		testtree_text(&t, "f", "text");
	}
	testtree_end(&t, &rb.root, &rb.top);
	rb_reopen();
	rb_restore((struct restore_options){ .verify = true });
	assert_int_equal(rb.res.errors, 0);
	assert_int_equal(rb.res.files, DEEP);
	assert_int_equal(rb.res.verified_bytes, 4 * DEEP);
	fd = open(rb.out, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < DEEP; i++) {
		struct stat st;
		int next = openat(fd, "ten-bytes-", O_PATH | O_DIRECTORY | O_CLOEXEC);

		assert_true(next >= 0);
		(void)close(fd);
		fd = next;
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_mtim.tv_sec, 1);
		assert_int_equal(st.st_mode & 07777, 0755);
	}
	(void)close(fd);
}

static void test_leftovers(void **state)
{
	(void)state;
	rb_build_plain();
	assert_int_equal(mkdir(rb.out, 0700), 0);
	assert_int_equal(mkdir(rb_path("dir"), 0500), 0);
	rb_put(rb_path(".vouch-0123abcd"), "left");
	rb_put(rb_path(".vouch-0123abcg"), "mine");
	rb_put(rb_path(".vouch-0123abcd0"), "mine");
	rb_restore((struct restore_options){ 0 });
	assert_false(rb_exists(".vouch-0123abcd"));
	assert_true(rb_exists(".vouch-0123abcg"));
	assert_true(rb_exists(".vouch-0123abcd0"));
	rb_assert_text(rb_path("dir/inner"), "inner");
	assert_int_equal(rb_stat("dir").st_mode & 07777, 0755);
}

/* Another restore is at work in the folder, as far as its lock says: its temporary files are not ours. */
static void test_leftovers_in_use(void **state)
{
	int fd;

	(void)state;
	rb_build_plain();
	assert_int_equal(mkdir(rb.out, 0700), 0);
	rb_put(rb_path(".vouch-0123abcd"), "being written");
	fd = open(rb.out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	rb_restore((struct restore_options){ 0 });
	assert_int_equal(rb.res.errors, 0);
	assert_true(rb_exists(".vouch-0123abcd"));
	assert_int_equal(close(fd), 0);
	rb_restore((struct restore_options){ 0 });
	assert_false(rb_exists(".vouch-0123abcd"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, rb_setup, rb_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_kinds),
		T(test_resume_looks_at_bytes),
		T(test_foreign_link),
		T(test_hard_links),
		T(test_many_small),
		T(test_large_in_parts),
		T(test_deep),
		T(test_leftovers),
		T(test_leftovers_in_use),
	};

	(void)umask(022);
	return cmocka_run_group_tests_name("restore", tests, NULL, NULL);
}
