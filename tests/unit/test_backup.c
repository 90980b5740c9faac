/* SPDX-License-Identifier: MIT */
/* What a backup makes of each kind of file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "store/base/digest.h"
#include "tests/lib/sandbox.h"

static void make_socket(const struct sandbox *sb, const char *rel)
{
	assert_int_equal(mknod(in_src(sb, rel), S_IFSOCK | 0600, 0), 0);
}

static void assert_meta(struct sandbox *sb, const char *rel)
{
	struct entry_ref r;
	struct stat st;

	assert_int_equal(lstat(in_src(sb, rel), &st), 0);
	find(sb, rel, &r);
	assert_int_equal(r.e.mode, st.st_mode & 07777);
	assert_int_equal(r.e.uid, st.st_uid);
	assert_int_equal(r.e.gid, st.st_gid);
	assert_int_equal(r.e.mtime.sec, st.st_mtim.tv_sec);
	assert_int_equal(r.e.mtime.nsec, st.st_mtim.tv_nsec);
	assert_int_equal(r.e.ctime.sec, st.st_ctim.tv_sec);
	assert_int_equal(r.e.ctime.nsec, st.st_ctim.tv_nsec);
	assert_int_equal(r.e.inode, st.st_ino);
	assert_int_equal(r.e.dev, st.st_dev);
	found_release(sb, &r);
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = {
	    0,	   1,	   63,	    64,	     65,      4095,    65535,	65536,
	    65537, 262144, 1048575, 1048576, 1048577, 2097152, 2097153, 9000000,
	};
	struct sandbox *sb = *state;
	uint64_t sum = 0;
	char name[32];

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		(void)snprintf(name, sizeof(name), "f%zu", sizes[i]);
		make_noise(sb, name, sizes[i], i);
		sum += sizes[i];
	}
	sandbox_backup(sb);
	assert_int_equal(sb->res.files, ARRAY_LEN(sizes));
	assert_int_equal(sb->res.bytes, sum);
	assert_int_equal(sb->res.errors, 0);
	assert_int_equal(sb->res.snapshot.totals.files, ARRAY_LEN(sizes));
	assert_int_equal(sb->res.snapshot.totals.bytes, sum);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		(void)snprintf(name, sizeof(name), "f%zu", sizes[i]);
		assert_like_source(sb, name);
		assert_meta(sb, name);
	}
}

static void test_inline_is_no_chunk(void **state)
{
	struct sandbox *sb = *state;
	struct entry_ref r;

	make_noise(sb, "f", 64, 1);
	sandbox_backup(sb);
	find(sb, "f", &r);
	assert_int_equal(r.e.content, CONTENT_INLINE);
	found_release(sb, &r);
}

static void test_links_and_fifos(void **state)
{
	struct sandbox *sb = *state;
	struct entry_ref r;

	assert_int_equal(symlink("../some/where\xff", in_src(sb, "link")), 0);
	assert_int_equal(mkfifo(in_src(sb, "fifo"), 0620), 0);
	sandbox_backup(sb);
	assert_int_equal(sb->res.others, 2);
	find(sb, "link", &r);
	assert_int_equal(r.e.type, ENTRY_SYMLINK);
	assert_int_equal(r.e.target_len, 14);
	assert_memory_equal(r.e.target, "../some/where\xff", 14);
	assert_int_equal(r.e.size, 14);
	found_release(sb, &r);
	find(sb, "fifo", &r);
	assert_int_equal(r.e.type, ENTRY_FIFO);
	found_release(sb, &r);
	assert_meta(sb, "fifo");
	assert_meta(sb, "link");
}

static void test_devices(void **state)
{
	struct sandbox *sb = *state;
	struct entry_ref r;

	if (mknod(in_src(sb, "chr"), S_IFCHR | 0640, makedev(1, 3)) < 0)
		skip();
	assert_int_equal(mknod(in_src(sb, "blk"), S_IFBLK | 0640, makedev(259, 70000)), 0);
	sandbox_backup(sb);
	find(sb, "chr", &r);
	assert_int_equal(r.e.type, ENTRY_CHARDEV);
	assert_int_equal(r.e.rdev_major, 1);
	assert_int_equal(r.e.rdev_minor, 3);
	found_release(sb, &r);
	find(sb, "blk", &r);
	assert_int_equal(r.e.type, ENTRY_BLOCKDEV);
	assert_int_equal(r.e.rdev_major, 259);
	assert_int_equal(r.e.rdev_minor, 70000);
	found_release(sb, &r);
}

static void test_socket_is_skipped(void **state)
{
	struct sandbox *sb = *state;

	make_socket(sb, "s");
	sandbox_backup(sb);
	assert_false(is_there(sb, "s"));
	assert_int_equal(sb->res.skipped, 1);
	assert_int_equal(sb->notes, 1);
	assert_non_null(strstr(sb->news, "/src/s: skipped (socket)"));
}

static void test_modes_and_times(void **state)
{
	static const struct timespec old[2] = {{0, UTIME_OMIT}, {-86400LL * 365 * 20, 123456789}};
	static const struct timespec far[2] = {{0, UTIME_OMIT}, {4102444800, 999999999}};
	struct sandbox *sb = *state;

	make_text(sb, "old", "x");
	make_text(sb, "far", "x");
	make_dir(sb, "dir");
	assert_int_equal(chmod(in_src(sb, "old"), 06755), 0);
	assert_int_equal(chmod(in_src(sb, "dir"), 01777), 0);
	assert_int_equal(utimensat(AT_FDCWD, in_src(sb, "old"), old, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, in_src(sb, "far"), far, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, in_src(sb, "dir"), old, 0), 0);
	sandbox_backup(sb);
	assert_meta(sb, "old");
	assert_meta(sb, "far");
	assert_meta(sb, "dir");
}

static void test_owner_names(void **state)
{
	struct sandbox *sb = *state;
	struct entry_ref r;

	if (geteuid() != 0)
		skip();
	make_text(sb, "root", "x");
	make_text(sb, "nobody", "y");
	assert_int_equal(chown(in_src(sb, "nobody"), 4000111222u, 4000111223u), 0);
	sandbox_backup(sb);
	find(sb, "root", &r);
	assert_int_equal(r.e.user_len, 4);
	assert_memory_equal(r.e.user, "root", 4);
	assert_int_equal(r.e.group_len, 4);
	found_release(sb, &r);
	find(sb, "nobody", &r);
	assert_int_equal(r.e.uid, 4000111222u);
	assert_int_equal(r.e.gid, 4000111223u);
	assert_int_equal(r.e.user_len, 0);
	found_release(sb, &r);
}

static void test_odd_names(void **state)
{
	static const char *const names[] = {"new\nline", "\xff\xfe", " ", "-rf",
					    "*?[",	 "\x01",     "\\"};
	struct sandbox *sb = *state;
	char longest[256];

	memset(longest, 'n', 255);
	longest[255] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		make_text(sb, names[i], names[i]);
	make_text(sb, longest, "long");
	sandbox_backup(sb);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_text(sb, names[i], names[i]);
	assert_text(sb, longest, "long");
}

static void test_xattrs(void **state)
{
	struct sandbox *sb = *state;
	struct entry_xattr x;
	struct entry_ref r;

	make_text(sb, "f", "x");
	make_dir(sb, "d");
	if (setxattr(in_src(sb, "f"), "user.b", "two", 3, 0) < 0)
		skip();
	assert_int_equal(setxattr(in_src(sb, "f"), "user.a", "", 0, 0), 0);
	assert_int_equal(setxattr(in_src(sb, "f"), "user.vouch.x", "no", 2, 0), 0);
	assert_int_equal(setxattr(in_src(sb, "d"), "user.d", "\0\1", 2, 0), 0);
	sandbox_backup(sb);
	find(sb, "f", &r);
	assert_true(entry_xattr_at(&r.e, 0, &x));
	assert_int_equal(x.name_len, 6);
	assert_memory_equal(x.name, "user.a", 6);
	assert_int_equal(x.value_len, 0);
	assert_true(entry_xattr_at(&r.e, 1, &x));
	assert_memory_equal(x.name, "user.b", 6);
	assert_int_equal(x.value_len, 3);
	assert_memory_equal(x.inline_value, "two", 3);
	assert_false(entry_xattr_at(&r.e, 2, &x));
	found_release(sb, &r);
	find(sb, "d", &r);
	assert_true(entry_xattr_at(&r.e, 0, &x));
	assert_memory_equal(x.inline_value, "\0\1", 2);
	found_release(sb, &r);
}

/* ext4 has no room for it, so this one goes to a file system that has. */
static void test_long_xattr(void **state)
{
	static char path[] = "/dev/shm/vouch-backup-XXXXXX";
	static const char *const source[] = {path};
	struct sandbox *sb = *state;
	uint8_t *value = noise(20000, 7), *got = malloc(20000);
	struct entry_xattr x = {0};
	struct entry_ref r;
	int fd = mkstemp(path);
	struct stat shm, dev;
	/* Where /dev/shm is but a folder of /dev it lies in a pseudo file system, which no backup reads. */
	bool can = fd >= 0 && fsetxattr(fd, "user.long", value, 20000, 0) == 0 &&
		   fstat(fd, &shm) == 0 && stat("/dev", &dev) == 0 && shm.st_dev != dev.st_dev;

	if (fd >= 0)
		assert_int_equal(close(fd), 0);
	sb->o.base = NULL;
	sb->o.sources = source;
	for (int i = 0; i < 2 && can; i++) { /* read, then taken over */
		sandbox_settle();
		sandbox_backup(sb);
		find(sb, path, &r);
		assert_true(entry_xattr_at(&r.e, 0, &x));
		assert_null(x.inline_value);
		assert_int_equal(x.value_len, 20000);
		assert_int_equal(entry_xattr_value(sb->s, &x, got, &sb->e), ERR_OK);
		assert_memory_equal(got, value, 20000);
		found_release(sb, &r);
	}
	if (fd >= 0)
		(void)unlink(path);
	free(value);
	free(got);
	if (!can)
		skip();
}

static void test_hard_links(void **state)
{
	struct sandbox *sb = *state;
	struct entry_ref a, b;

	make_dir(sb, "d");
	make_noise(sb, "a", 3000000, 5);
	assert_int_equal(link(in_src(sb, "a"), in_src(sb, "d/b")), 0);
	assert_int_equal(link(in_src(sb, "a"), in_src(sb, "z")), 0);
	make_text(sb, "small", "inline");
	assert_int_equal(link(in_src(sb, "small"), in_src(sb, "small2")), 0);
	sandbox_backup(sb);
	assert_true(sb->res.new_bytes < 3000000 + 20000);
	assert_int_equal(sb->res.changed_files, 5);
	assert_int_equal(sb->res.new_files, 5);
	assert_int_equal(sb->res.files, 5);
	find(sb, "a", &a);
	find(sb, "d/b", &b);
	assert_true(a.e.flags & b.e.flags & ENTRY_HARDLINK);
	assert_int_equal(a.e.nlink, 3);
	assert_int_equal(b.e.inode, a.e.inode);
	found_release(sb, &a);
	found_release(sb, &b);
	for (int round = 0; round < 3; round++) {
		assert_like_source(sb, "a");
		assert_like_source(sb, "d/b");
		assert_like_source(sb, "z");
		assert_text(sb, "small", "inline");
		assert_text(sb, "small2", "inline");
		sandbox_settle();
		sandbox_backup(sb);
	}
	assert_int_equal(sb->res.changed_files, 0);
	assert_int_equal(sb->res.unchanged_files, 5);
}

static void make_sparse(const struct sandbox *sb, const char *rel, uint64_t size, uint64_t at,
			const char *text)
{
	int fd = open(in_src(sb, rel), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	if (ftruncate(fd, (off_t)size) < 0) {
		(void)close(fd);
		skip();
	}
	assert_int_equal(pwrite(fd, text, strlen(text), (off_t)at), (ssize_t)strlen(text));
	assert_int_equal(close(fd), 0);
}

static void test_sparse(void **state)
{
	struct sandbox *sb = *state;
	struct entry_ref r;

	make_sparse(sb, "middle", 3000000, 1500000, "here");
	make_sparse(sb, "end", 100000, 99996, "last");
	make_sparse(sb, "start", 70000000, 0, "first");
	make_sparse(sb, "none", 1000000, 0, "");
	sandbox_backup(sb);
	assert_true(sb->res.new_bytes < 100000);
	assert_like_source(sb, "middle");
	assert_like_source(sb, "end");
	assert_like_source(sb, "start");
	assert_like_source(sb, "none");
	find(sb, "middle", &r);
	assert_true(r.e.hole_bytes > 2900000);
	found_release(sb, &r);
	find(sb, "none", &r);
	assert_int_equal(r.e.hole_bytes, 1000000);
	found_release(sb, &r);
	sandbox_settle();
	sandbox_backup(sb);
	sandbox_backup(sb);
	assert_int_equal(sb->res.changed_files, 0);
	find(sb, "none", &r);
	assert_int_equal(r.e.hole_bytes, 1000000);
	found_release(sb, &r);
}

static void test_terabyte_of_nothing(void **state)
{
	const uint64_t size = 1ull << 40;
	struct sandbox *sb = *state;
	struct timespec a, b;
	struct entry_ref r;
	struct blob *blob;
	char got[8];
	size_t n;

	make_sparse(sb, "huge", size, size / 2, "island");
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &a), 0);
	sandbox_backup(sb);
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &b), 0);
	assert_true(b.tv_sec - a.tv_sec < 5); /* nobody read it */
	find(sb, "huge", &r);
	assert_int_equal(r.e.size, size);
	assert_true(r.e.hole_bytes >= size - 65536);
	assert_false(r.e.flags & ENTRY_HAS_SHA256);
	assert_int_equal(blob_open(sb->s, &r.e, &blob, &sb->e), ERR_OK);
	assert_int_equal(blob_pread(blob, size / 2 - 1, got, 8, &n, &sb->e), ERR_OK);
	assert_int_equal(n, 8);
	assert_memory_equal(got, "\0island\0", 8);
	blob_close(blob);
	found_release(sb, &r);
}

/* A digest that was begun and given up must not become part of the next file's. */
static void test_digest_given_up(void **state)
{
	const uint64_t size = (5ull << 30) / 4;
	struct sandbox *sb = *state;
	struct entry_ref r;
	char name[8];

	make_noise(sb, "a", 2 << 20, 1); /* fills a batch: the end is in the next */
	if (truncate(in_src(sb, "a"), (off_t)size) < 0)
		skip();
	for (unsigned i = 0; i < 20; i++) { /* a batch of files that are one chunk each */
		(void)snprintf(name, sizeof(name), "a%02u", i);
		make_noise(sb, name, 60000, i);
	}
	make_noise(sb, "b", 3000000, 2);
	sandbox_backup(sb);
	find(sb, "a", &r);
	assert_int_equal(r.e.size, size);
	assert_false(r.e.flags & ENTRY_HAS_SHA256);
	found_release(sb, &r);
	assert_like_source(sb, "b");
}

/* Names that fill many nodes; the second run walks the old ones beside the new. */
static void test_wide_folder(void **state)
{
	struct sandbox *sb = *state;
	char name[64];

	make_dir(sb, "wide");
	for (unsigned i = 0; i < 6000; i++) {
		(void)snprintf(name, sizeof(name), "wide/%05u-%x", i, i * 2654435761u);
		make_text(sb, name, name);
	}
	sandbox_settle();
	sandbox_backup(sb);
	assert_int_equal(sb->res.files, 6000);
	(void)snprintf(name, sizeof(name), "wide/%05u-%x", 3000u, 3000u * 2654435761u);
	assert_int_equal(unlink(in_src(sb, name)), 0);
	make_text(sb, "wide/03000-new", "new");
	sandbox_settle();
	sandbox_backup(sb);
	assert_int_equal(sb->res.unchanged_files, 5999);
	assert_int_equal(sb->res.changed_files, 1);
	assert_text(sb, "wide/03000-new", "new");
	assert_false(is_there(sb, name));
	(void)snprintf(name, sizeof(name), "wide/%05u-%x", 5999u, 5999u * 2654435761u);
	assert_text(sb, name, name);
}

/* Deeper than the folders that are kept open, and than a path may be long. */
static void test_deep_folders(void **state)
{
	struct sandbox *sb = *state;
	struct entry_ref r;
	int cwd = open(".", O_RDONLY | O_DIRECTORY), fd;

	assert_int_equal(chdir(sb->src), 0);
	for (unsigned i = 0; i < 700; i++) {
		assert_int_equal(mkdir("deeper-folder", 0755), 0);
		assert_int_equal(chdir("deeper-folder"), 0);
		if (i % 100 == 99) {
			fd = open("zz", O_WRONLY | O_CREAT, 0644);
			assert_int_equal(write(fd, "bottom", 6), 6);
			assert_int_equal(close(fd), 0);
		}
	}
	assert_int_equal(fchdir(cwd), 0);
	sandbox_backup(sb);
	assert_int_equal(sb->res.dirs, 700);
	assert_int_equal(sb->res.files, 7);
	assert_int_equal(sb->res.errors, 0);
	find(sb, "", &r);
	assert_int_equal(r.e.below.dirs, 700);
	assert_int_equal(r.e.below.files, 7);
	found_release(sb, &r);
	/* nftw() cannot go so deep. */
	assert_int_equal(chdir(sb->src), 0);
	assert_int_equal(system("rm -rf deeper-folder"), 0);
	assert_int_equal(fchdir(cwd), 0);
	(void)close(cwd);
}

#define WITH_SANDBOX(f) cmocka_unit_test_setup_teardown(f, sandbox_setup, sandbox_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_SANDBOX(test_sizes),
	    WITH_SANDBOX(test_inline_is_no_chunk),
	    WITH_SANDBOX(test_links_and_fifos),
	    WITH_SANDBOX(test_devices),
	    WITH_SANDBOX(test_socket_is_skipped),
	    WITH_SANDBOX(test_modes_and_times),
	    WITH_SANDBOX(test_owner_names),
	    WITH_SANDBOX(test_odd_names),
	    WITH_SANDBOX(test_xattrs),
	    WITH_SANDBOX(test_long_xattr),
	    WITH_SANDBOX(test_hard_links),
	    WITH_SANDBOX(test_sparse),
	    WITH_SANDBOX(test_terabyte_of_nothing),
	    WITH_SANDBOX(test_digest_given_up),
	    WITH_SANDBOX(test_wide_folder),
	    WITH_SANDBOX(test_deep_folders),
	};

	return cmocka_run_group_tests_name("backup: files", tests, NULL, NULL);
}
