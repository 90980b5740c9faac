/* SPDX-License-Identifier: MIT */
#include "tests/lib/restorebox.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/checked.h"

struct restorebox rb;

int rb_setup(void **state)
{
	(void)state;
	testrepo_make(&rb.r);
	testrepo_open(&rb.r, STORE_WRITE);
	testlog_init(&rb.log);
	testlog_attach(&rb.log, rb.r.s);
	(void)snprintf(rb.out, sizeof(rb.out), "%s/out", rb.r.dir);
	return 0;
}

int rb_teardown(void **state)
{
	(void)state;
	testrepo_remove(&rb.r);
	testlog_release(&rb.log);
	return 0;
}

void rb_reopen(void)
{
	testrepo_close(&rb.r);
	testrepo_open(&rb.r, STORE_READ);
	testlog_reset(&rb.log);
	testlog_attach(&rb.log, rb.r.s);
}

enum err_code rb_restore_with(struct restore_options o)
{
	struct entry_ref root = { 0 };
	enum err_code rc;

	OK(tree_root(rb.r.s, &rb.root, &root, &ok_err));
	o.target = rb.out;
	if (!o.jobs)
		o.jobs = 3;
	rb.res = (struct restore_result){ 0 };
	err_clear(&rb.err);
	rc = restore_run(rb.r.s, &root.e, &o, &rb.res, &rb.err);
	entry_ref_release(rb.r.s, &root);
	return rc;
}

void rb_restore(struct restore_options o)
{
	if (rb_restore_with(o))
		fail_msg("restore: %s", rb.err.msg);
}

const char *rb_path(const char *name)
{
	static char path[4][512];
	static unsigned next;
	char *p = path[next++ % 4];

	assert_true(snprintf(p, 512, "%s/%s", rb.out, name) < 512);
	return p;
}

bool rb_exists(const char *name)
{
	struct stat st;

	return lstat(rb_path(name), &st) == 0;
}

struct stat rb_stat(const char *name)
{
	struct stat st = { 0 };

	if (lstat(rb_path(name), &st) < 0)
		fail_msg("%s is not there", name);
	return st;
}

void rb_assert_runs(const char *name, const struct run *runs, size_t nr)
{
	int fd = open(rb_path(name), O_RDONLY | O_CLOEXEC);
	uint64_t off = 0;
	struct stat st;

	assert_true(fd >= 0);
	for (size_t i = 0; i < nr; off += runs[i].len, i++) {
		uint8_t *want, *got;

		if (!runs[i].seed)
			continue;
		want = malloc(runs[i].len);
		got = malloc(runs[i].len);
		assert_true(want && got);
		testtree_fill(want, runs[i].len, runs[i].seed);
		assert_int_equal(pread(fd, got, runs[i].len, (off_t)off), runs[i].len);
		assert_memory_equal(want, got, runs[i].len);
		free(want);
		free(got);
	}
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, off);
	(void)close(fd);
}

void rb_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

void rb_assert_text(const char *path, const char *text)
{
	char buf[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, buf, sizeof(buf) - 1);
	assert_true(n >= 0);
	buf[n] = '\0';
	(void)close(fd);
	assert_string_equal(buf, text);
}

void rb_assert_no_leftovers(void)
{
	char cmd[512];

	(void)snprintf(cmd, sizeof(cmd), "test -z \"$(find '%s' -name '.vouch-*')\"", rb.out);
	assert_int_equal(system(cmd), 0);
}

/* What a file is. */

static const struct run chunked[] = { { 300 * K, 1 }, { 77, 2 } };
const struct run rb_holed[RESTOREBOX_HOLED] = {
	{ 256 * K, 0 }, { 64 * K, 3 }, { 512 * K, 0 }, { 5, 4 }, { 128 * K, 0 },
};
static const struct run all_hole[] = { { (uint64_t)1 << 40, 0 } };
struct run rb_many[RESTOREBOX_MANY];

static void make_many(void)
{
	for (unsigned i = 0; i < RESTOREBOX_MANY; i++)
		rb_many[i] = (struct run){ .len = 4 * K, .seed = i % 3 == 1 ? 0 : i + 10 };
}

static void add_kinds(struct testtree *t, struct buf *xattrs, struct buf *acl)
{
	/*
	 * user::rw-, user:7:r--, group::r--, mask::rw-, other::---: version 2, then tag, perm, id
	 */
	static const uint8_t acl_value[] = {
		2, 0, 0,   0,	1,   0,	  6,  0, 255, 255, 255, 255, 2,	  0,   4,
		0, 7, 0,   0,	0,   4,	  0,  4, 0,   255, 255, 255, 255, 16,  0,
		6, 0, 255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255,
	};
	static uint8_t long_value[3000];
	struct entry e;

	memset(long_value, 'x', sizeof(long_value));
	testtree_xattr(t->r, xattrs, "user.long", long_value, 3000);
	testtree_xattr(t->r, xattrs, "user.short", "v", 1);
	testtree_xattr(t->r, acl, "system.posix_acl_access", acl_value, sizeof(acl_value));
	e = testtree_entry(ENTRY_FILE, "acl");
	e.mode = 0660;
	e.xattrs = acl->p;
	e.xattrs_len = acl->len;
	testtree_add(t, &e);
	e = testtree_entry(ENTRY_FILE, "after-2038");
	e.mtime = (struct vtime){ 5000000000, 123456789 };
	testtree_add(t, &e);
	e = testtree_entry(ENTRY_FILE, "all-hole");
	testtree_file(t, e, all_hole, 1, 1);
	e = testtree_entry(ENTRY_FILE, "before-1970");
	e.mtime = (struct vtime){ -1000000000, 7 };
	testtree_add(t, &e);
	e = testtree_entry(ENTRY_FILE, "chunked");
	testtree_file(t, e, chunked, ARRAY_LEN(chunked), 100 * K);
	e = testtree_entry(ENTRY_FILE, "empty");
	testtree_add(t, &e);
	e = testtree_entry(ENTRY_FIFO, "fifo");
	e.mode = 0622;
	testtree_add(t, &e);
	e = testtree_entry(ENTRY_FILE, "holed");
	testtree_file(t, e, rb_holed, ARRAY_LEN(rb_holed), 100 * K);
	e = testtree_entry(ENTRY_FILE, "many");
	testtree_file(t, e, rb_many, RESTOREBOX_MANY, 100 * K);
	e = testtree_entry(ENTRY_FILE, "named");
	e.mode = 0400;
	e.xattrs = xattrs->p;
	e.xattrs_len = xattrs->len;
	testtree_add(t, &e);
	e = testtree_entry(ENTRY_FILE, "nl\n\xff");
	testtree_add(t, &e);
	e = testtree_entry(ENTRY_CHARDEV, "null");
	e.rdev_major = 1;
	e.rdev_minor = 3;
	testtree_add(t, &e);
	e = testtree_entry(ENTRY_FILE, "setuid");
	e.mode = 04755;
	e.inode_flags = FS_NODUMP_FL;
	testtree_add(t, &e);
	e = testtree_entry(ENTRY_SYMLINK, "symlink");
	e.mode = 0777;
	e.target = "../nowhere";
	e.target_len = e.size = strlen(e.target);
	testtree_add(t, &e);
}

void rb_build_kinds(void)
{
	struct buf xattrs = BUF_INIT, acl = BUF_INIT;
	struct entry d;
	struct testtree t;

	make_many();
	testtree_begin(&t, &rb.r);
	d = testtree_entry(ENTRY_DIR, "closed");
	d.mode = 02555;
	d.mtime = (struct vtime){ 42, 999999999 };
	testtree_enter(&t, &d);
	add_kinds(&t, &xattrs, &acl);
	testtree_leave(&t);
	d = testtree_entry(ENTRY_DIR, "empty-dir");
	d.mode = 01777;
	testtree_enter(&t, &d);
	testtree_leave(&t);
	testtree_text(&t, "text", "hello");
	testtree_end(&t, &rb.root, &rb.top);
	buf_release(&xattrs);
	buf_release(&acl);
}

void rb_assert_kinds(bool special)
{
	uint8_t buf[4096];
	char target[64];
	struct stat st;
	int fd;
	off_t at;

	st = rb_stat("closed");
	assert_int_equal(st.st_mode, S_IFDIR | 02555);
	assert_int_equal(st.st_mtim.tv_sec, 42);
	assert_int_equal(st.st_mtim.tv_nsec, 999999999);
	assert_int_equal(rb_stat("empty-dir").st_mode, S_IFDIR | 01777);
	rb_assert_text(rb_path("text"), "hello");
	assert_int_equal(rb_stat("text").st_mtim.tv_nsec, 5);
	assert_int_equal(rb_stat("closed/acl").st_mode, S_IFREG | 0660);
	assert_int_equal(
	    getxattr(rb_path("closed/acl"), "system.posix_acl_access", buf, sizeof(buf)), 44);
	assert_int_equal(rb_stat("closed/after-2038").st_mtim.tv_sec, 5000000000);
	assert_int_equal(rb_stat("closed/after-2038").st_mtim.tv_nsec, 123456789);
	assert_int_equal(rb_stat("closed/before-1970").st_mtim.tv_sec, -1000000000);
	assert_int_equal(rb_stat("closed/all-hole").st_size, (int64_t)1 << 40);
	assert_true(rb_stat("closed/all-hole").st_blocks < 64);
	rb_assert_runs("closed/chunked", chunked, ARRAY_LEN(chunked));
	rb_assert_runs("closed/holed", rb_holed, ARRAY_LEN(rb_holed));
	rb_assert_runs("closed/many", rb_many, RESTOREBOX_MANY);
	assert_true(rb_stat("closed/holed").st_blocks * 512 < 200 * (int)K);
	fd = open(rb_path("closed/holed"), O_RDONLY | O_CLOEXEC);
	at = lseek(fd, 0, SEEK_DATA);
	assert_int_equal(at, 256 * K);
	assert_int_equal(lseek(fd, at, SEEK_HOLE), 320 * K);
	(void)close(fd);
	assert_int_equal(rb_stat("closed/empty").st_size, 0);
	assert_int_equal(rb_stat("closed/fifo").st_mode, S_IFIFO | 0622);
	assert_int_equal(rb_stat("closed/named").st_mode, S_IFREG | 0400);
	assert_int_equal(getxattr(rb_path("closed/named"), "user.long", buf, sizeof(buf)), 3000);
	assert_int_equal(getxattr(rb_path("closed/named"), "user.short", buf, sizeof(buf)), 1);
	assert_true(rb_exists("closed/nl\n\xff"));
	assert_true(readlink(rb_path("closed/symlink"), target, sizeof(target)) == 10);
	assert_int_equal(rb_stat("closed/symlink").st_mtim.tv_sec, 1);
	st = rb_stat("closed/setuid");
	assert_int_equal(st.st_mode, S_IFREG | (special ? 04755 : 0755));
	assert_int_equal(rb_exists("closed/null"), special);
	if (special)
		assert_int_equal(rb_stat("closed/null").st_rdev, makedev(1, 3));
}

void rb_add_link(struct testtree *t, const char *name, uint64_t inode, uint64_t nlink,
		     const struct run *run)
{
	struct entry e = testtree_entry(ENTRY_FILE, name);

	e.flags |= ENTRY_HARDLINK;
	e.dev = 8;
	e.inode = inode;
	e.nlink = nlink;
	testtree_file(t, e, run, 1, 64 * K);
}

void rb_build_plain(void)
{
	struct entry d = testtree_entry(ENTRY_DIR, "dir");
	struct testtree t;

	testtree_begin(&t, &rb.r);
	testtree_enter(&t, &d);
	testtree_text(&t, "inner", "inner");
	testtree_leave(&t);
	testtree_text(&t, "file", "file");
	testtree_end(&t, &rb.root, &rb.top);
}
