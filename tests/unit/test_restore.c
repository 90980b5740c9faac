/* SPDX-License-Identifier: MIT */
/* A tree on to a disk: everything a file is comes back, nothing is followed, damage stays where it is. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/restore.h"
#include "tests/lib/testtree.h"

#define K	1024u
#define MANY	600u		/* runs: more than a list holds, so a content node */

static struct {
	struct testrepo r;
	struct testlog log;
	char out[192];
	struct object_id root;
	struct entry top;
	struct restore_result res;
	struct err err;
} fx;

static int setup(void **state)
{
	(void)state;
	testrepo_make(&fx.r);
	testrepo_open(&fx.r, STORE_WRITE);
	testlog_init(&fx.log);
	testlog_attach(&fx.log, fx.r.s);
	(void)snprintf(fx.out, sizeof(fx.out), "%s/out", fx.r.dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testrepo_remove(&fx.r);
	testlog_release(&fx.log);
	return 0;
}

static void reopen(void)
{
	testrepo_close(&fx.r);
	testrepo_open(&fx.r, STORE_READ);
	testlog_reset(&fx.log);
	testlog_attach(&fx.log, fx.r.s);
}

static enum err_code restore_with(struct restore_options o)
{
	struct entry_ref root = { 0 };
	enum err_code rc;

	OK(tree_root(fx.r.s, &fx.root, &root, &ok_err));
	o.target = fx.out;
	if (!o.jobs)
		o.jobs = 3;
	fx.res = (struct restore_result){ 0 };
	err_clear(&fx.err);
	rc = restore_run(fx.r.s, &root.e, &o, &fx.res, &fx.err);
	entry_ref_release(fx.r.s, &root);
	return rc;
}

static void restore_ok(struct restore_options o)
{
	if (restore_with(o))
		fail_msg("restore: %s", fx.err.msg);
}

static const char *in_out(const char *name)
{
	static char path[4][512];
	static unsigned next;
	char *p = path[next++ % 4];

	assert_true(snprintf(p, 512, "%s/%s", fx.out, name) < 512);
	return p;
}

static bool exists(const char *name)
{
	struct stat st;

	return lstat(in_out(name), &st) == 0;
}

static struct stat stat_of(const char *name)
{
	struct stat st = { 0 };

	if (lstat(in_out(name), &st) < 0)
		fail_msg("%s is not there", name);
	return st;
}

static void assert_runs(const char *name, const struct run *runs, size_t nr)
{
	int fd = open(in_out(name), O_RDONLY | O_CLOEXEC);
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

static void put_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

static void assert_text(const char *path, const char *text)
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

/* What a file is. */

static const struct run chunked[] = { { 300 * K, 1 }, { 77, 2 } };
static const struct run holed[] = { { 256 * K, 0 }, { 64 * K, 3 }, { 512 * K, 0 }, { 5, 4 },
				    { 128 * K, 0 } };
static const struct run all_hole[] = { { (uint64_t)1 << 40, 0 } };
static struct run many[MANY];

static void make_many(void)
{
	for (unsigned i = 0; i < MANY; i++)
		many[i] = (struct run){ .len = 4 * K, .seed = i % 3 == 1 ? 0 : i + 10 };
}

static void add_kinds(struct testtree *t, struct buf *xattrs, struct buf *acl)
{
	/* user::rw-, user:7:r--, group::r--, mask::rw-, other::---: version 2, then tag, perm, id */
	static const uint8_t acl_value[] = {
		2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 7, 0, 0, 0, 4, 0, 4, 0, 255, 255,
		255, 255, 16, 0, 6, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
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
	testtree_file(t, e, holed, ARRAY_LEN(holed), 100 * K);
	e = testtree_entry(ENTRY_FILE, "many");
	testtree_file(t, e, many, MANY, 100 * K);
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

static void build_kinds(void)
{
	struct buf xattrs = BUF_INIT, acl = BUF_INIT;
	struct entry d;
	struct testtree t;

	make_many();
	testtree_begin(&t, &fx.r);
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
	testtree_end(&t, &fx.root, &fx.top);
	buf_release(&xattrs);
	buf_release(&acl);
}

static void assert_kinds(bool special)
{
	uint8_t buf[4096];
	char target[64];
	struct stat st;
	int fd;
	off_t at;

	st = stat_of("closed");
	assert_int_equal(st.st_mode, S_IFDIR | 02555);
	assert_int_equal(st.st_mtim.tv_sec, 42);
	assert_int_equal(st.st_mtim.tv_nsec, 999999999);
	assert_int_equal(stat_of("empty-dir").st_mode, S_IFDIR | 01777);
	assert_text(in_out("text"), "hello");
	assert_int_equal(stat_of("text").st_mtim.tv_nsec, 5);
	assert_int_equal(stat_of("closed/acl").st_mode, S_IFREG | 0660);
	assert_int_equal(getxattr(in_out("closed/acl"), "system.posix_acl_access", buf, sizeof(buf)),
			 44);
	assert_int_equal(stat_of("closed/after-2038").st_mtim.tv_sec, 5000000000);
	assert_int_equal(stat_of("closed/after-2038").st_mtim.tv_nsec, 123456789);
	assert_int_equal(stat_of("closed/before-1970").st_mtim.tv_sec, -1000000000);
	assert_int_equal(stat_of("closed/all-hole").st_size, (int64_t)1 << 40);
	assert_true(stat_of("closed/all-hole").st_blocks < 64);
	assert_runs("closed/chunked", chunked, ARRAY_LEN(chunked));
	assert_runs("closed/holed", holed, ARRAY_LEN(holed));
	assert_runs("closed/many", many, MANY);
	assert_true(stat_of("closed/holed").st_blocks * 512 < 200 * (int)K);
	fd = open(in_out("closed/holed"), O_RDONLY | O_CLOEXEC);
	at = lseek(fd, 0, SEEK_DATA);
	assert_int_equal(at, 256 * K);
	assert_int_equal(lseek(fd, at, SEEK_HOLE), 320 * K);
	(void)close(fd);
	assert_int_equal(stat_of("closed/empty").st_size, 0);
	assert_int_equal(stat_of("closed/fifo").st_mode, S_IFIFO | 0622);
	assert_int_equal(stat_of("closed/named").st_mode, S_IFREG | 0400);
	assert_int_equal(getxattr(in_out("closed/named"), "user.long", buf, sizeof(buf)), 3000);
	assert_int_equal(getxattr(in_out("closed/named"), "user.short", buf, sizeof(buf)), 1);
	assert_true(exists("closed/nl\n\xff"));
	assert_true(readlink(in_out("closed/symlink"), target, sizeof(target)) == 10);
	assert_int_equal(stat_of("closed/symlink").st_mtim.tv_sec, 1);
	st = stat_of("closed/setuid");
	assert_int_equal(st.st_mode, S_IFREG | (special ? 04755 : 0755));
	assert_int_equal(exists("closed/null"), special);
	if (special)
		assert_int_equal(stat_of("closed/null").st_rdev, makedev(1, 3));
}

static void test_kinds(void **state)
{
	uint64_t files;

	(void)state;
	build_kinds();
	reopen();
	restore_ok((struct restore_options){ .verify = true });
	assert_int_equal(fx.res.errors, 0);
	assert_kinds(false);
	files = fx.res.files;
	assert_int_equal(files, fx.top.below.files);
	assert_int_equal(fx.res.bytes, fx.top.below.bytes);
	assert_int_equal(fx.res.verified_bytes, fx.top.below.bytes);
	assert_int_equal(fx.res.dirs, fx.top.below.dirs + 1);
	assert_int_equal(fx.res.others, 2);		/* the device is left out */
	assert_true(testlog_has(&fx.log, EVENT_NOTE, "1 devices", ""));
	assert_true(testlog_has(&fx.log, EVENT_NOTE, "1 setuid", ""));

	/* Again: all is found; what was changed meanwhile, but for the bytes, is set right. */
	assert_int_equal(chmod(in_out("text"), 0777), 0);
	assert_int_equal(setxattr(in_out("text"), "user.extra", "1", 1, 0), 0);
	assert_int_equal(chmod(in_out("closed/named"), 0600), 0);
	assert_int_equal(removexattr(in_out("closed/named"), "user.short"), 0);
	restore_ok((struct restore_options){ 0 });
	assert_int_equal(fx.res.errors, 0);
	assert_int_equal(fx.res.unchanged, files);
	assert_int_equal(fx.res.files, files);
	assert_kinds(false);
	assert_int_equal(stat_of("text").st_mode, S_IFREG | 0644);
	assert_int_equal(getxattr(in_out("text"), "user.extra", NULL, 0), -1);
	if (geteuid() != 0)
		return;
	restore_ok((struct restore_options){ .special = true });
	assert_int_equal(fx.res.errors, 0);
	assert_kinds(true);
}

/* The same bytes are kept, others of the same size and time are not. */
static void test_resume_looks_at_bytes(void **state)
{
	struct timespec ts[2] = { { 1, 5 }, { 1, 5 } };
	struct testtree t;

	(void)state;
	testtree_begin(&t, &fx.r);
	testtree_text(&t, "a", "aaaa");
	testtree_text(&t, "b", "bbbb");
	testtree_end(&t, &fx.root, &fx.top);
	restore_ok((struct restore_options){ 0 });
	put_text(in_out("b"), "bbbx");
	assert_int_equal(utimensat(AT_FDCWD, in_out("b"), ts, 0), 0);
	restore_ok((struct restore_options){ 0 });
	assert_int_equal(fx.res.unchanged, 1);
	assert_int_equal(fx.res.files, 2);
	assert_text(in_out("b"), "bbbb");
}

/* A file that somebody else has under another name is replaced, not changed. */
static void test_foreign_link(void **state)
{
	struct testtree t;
	char other[256];
	struct stat st;

	(void)state;
	testtree_begin(&t, &fx.r);
	testtree_text(&t, "a", "aaaa");
	testtree_end(&t, &fx.root, &fx.top);
	restore_ok((struct restore_options){ 0 });
	(void)snprintf(other, sizeof(other), "%s/other", fx.r.dir);
	assert_int_equal(link(in_out("a"), other), 0);
	assert_int_equal(chmod(other, 0600), 0);
	restore_ok((struct restore_options){ 0 });
	assert_int_equal(stat(other, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(stat_of("a").st_mode & 07777, 0644);
}

static void add_link(struct testtree *t, const char *name, uint64_t inode, uint64_t nlink,
		     const struct run *run)
{
	struct entry e = testtree_entry(ENTRY_FILE, name);

	e.flags |= ENTRY_HARDLINK;
	e.dev = 8;
	e.inode = inode;
	e.nlink = nlink;
	testtree_file(t, e, run, 1, 64 * K);
}

static void test_hard_links(void **state)
{
	const struct run one = { 200 * K, 21 }, two = { 10, 22 };
	struct entry d = testtree_entry(ENTRY_DIR, "d");
	struct testtree t;

	(void)state;
	testtree_begin(&t, &fx.r);
	add_link(&t, "a1", 5, 4, &one);
	add_link(&t, "a2", 5, 4, &one);
	add_link(&t, "b1", 6, 3, &two);		/* its third name lies elsewhere */
	testtree_enter(&t, &d);
	add_link(&t, "a3", 5, 4, &one);
	add_link(&t, "a4", 5, 4, &one);
	add_link(&t, "b2", 6, 3, &two);
	testtree_leave(&t);
	testtree_end(&t, &fx.root, &fx.top);
	reopen();
	for (int round = 0; round < 3; round++) {
		restore_ok((struct restore_options){ .verify = true });
		assert_int_equal(fx.res.errors, 0);
		assert_int_equal(fx.res.files, 6);
		assert_int_equal(stat_of("a1").st_nlink, 4);
		assert_int_equal(stat_of("d/a4").st_ino, stat_of("a1").st_ino);
		assert_int_equal(stat_of("d/a3").st_ino, stat_of("a2").st_ino);
		assert_int_equal(stat_of("b1").st_nlink, 2);
		assert_int_equal(stat_of("d").st_mtim.tv_sec, 1);
		assert_runs("d/a4", &one, 1);
		if (round > 0)
			assert_int_equal(fx.res.unchanged, 6);
		if (round == 1)		/* one name was replaced: linked again */
			put_text(in_out("new"), "x");
		if (round == 1) {
			assert_int_equal(rename(in_out("new"), in_out("d/a3")), 0);
			restore_ok((struct restore_options){ 0 });
			assert_int_equal(fx.res.unchanged, 5);
		}
	}
}

/* Something stands where a restore wants to write. */

static void build_plain(void)
{
	struct entry d = testtree_entry(ENTRY_DIR, "dir");
	struct testtree t;

	testtree_begin(&t, &fx.r);
	testtree_enter(&t, &d);
	testtree_text(&t, "inner", "inner");
	testtree_leave(&t);
	testtree_text(&t, "file", "file");
	testtree_end(&t, &fx.root, &fx.top);
}

static void test_planted_links(void **state)
{
	char outside[256], inner[300], file[256];

	(void)state;
	build_plain();
	(void)snprintf(outside, sizeof(outside), "%s/outside", fx.r.dir);
	(void)snprintf(inner, sizeof(inner), "%s/inner", outside);
	(void)snprintf(file, sizeof(file), "%s/victim", fx.r.dir);
	assert_int_equal(mkdir(outside, 0700), 0);
	put_text(inner, "mine");
	put_text(file, "mine");
	assert_int_equal(mkdir(fx.out, 0700), 0);
	assert_int_equal(symlink(outside, in_out("dir")), 0);
	assert_int_equal(symlink(file, in_out("file")), 0);
	restore_ok((struct restore_options){ .verify = true });
	assert_int_equal(fx.res.errors, 0);
	assert_text(inner, "mine");
	assert_text(file, "mine");
	assert_true(S_ISDIR(stat_of("dir").st_mode));
	assert_true(S_ISREG(stat_of("file").st_mode));
	assert_text(in_out("dir/inner"), "inner");
	assert_true(testlog_has(&fx.log, EVENT_NOTE, "symbolic link", "dir"));
	assert_true(testlog_has(&fx.log, EVENT_NOTE, "symbolic link", "file"));
}

static void test_in_the_way(void **state)
{
	(void)state;
	build_plain();
	assert_int_equal(mkdir(fx.out, 0700), 0);
	put_text(in_out("dir"), "mine");
	assert_int_equal(mkdir(in_out("file"), 0700), 0);
	put_text(in_out("file/mine"), "mine");
	restore_ok((struct restore_options){ .verify = true });
	assert_int_equal(fx.res.errors, 2);
	assert_int_equal(fx.res.damaged, 0);
	assert_text(in_out("dir"), "mine");
	assert_text(in_out("file/mine"), "mine");
	assert_true(testlog_has(&fx.log, EVENT_WARNING, "|dir|", "in the way"));
	assert_true(testlog_has(&fx.log, EVENT_WARNING, "|file|", "in the way"));
}

static void test_leftovers(void **state)
{
	(void)state;
	build_plain();
	assert_int_equal(mkdir(fx.out, 0700), 0);
	assert_int_equal(mkdir(in_out("dir"), 0500), 0);
	put_text(in_out(".vouch-0123abcd"), "left");
	put_text(in_out(".vouch-0123abcg"), "mine");
	put_text(in_out(".vouch-0123abcd0"), "mine");
	restore_ok((struct restore_options){ 0 });
	assert_false(exists(".vouch-0123abcd"));
	assert_true(exists(".vouch-0123abcg"));
	assert_true(exists(".vouch-0123abcd0"));
	assert_text(in_out("dir/inner"), "inner");
	assert_int_equal(stat_of("dir").st_mode & 07777, 0755);
}

/* What is asked for. */

static void test_dry_run(void **state)
{
	(void)state;
	build_plain();
	restore_ok((struct restore_options){ .dry_run = true });
	assert_false(exists(""));
	assert_int_equal(fx.res.files, 2);
	assert_int_equal(fx.res.dirs, 2);
	assert_true(testlog_has(&fx.log, EVENT_NOTE, "would write|dir/inner", ""));
	assert_int_equal(mkdir(fx.out, 0700), 0);
	put_text(in_out("file"), "mine");
	testlog_reset(&fx.log);
	restore_ok((struct restore_options){ .dry_run = true });
	assert_true(testlog_has(&fx.log, EVENT_NOTE, "would replace|file", ""));
	assert_text(in_out("file"), "mine");
	assert_false(exists("dir"));
}

static void test_patterns(void **state)
{
	const char *const in[] = { "/dir/inner" }, *const out[] = { "dir" };

	(void)state;
	build_plain();
	restore_ok((struct restore_options){ .includes = in, .nr_includes = 1 });
	assert_true(exists("dir/inner"));
	assert_false(exists("file"));
	assert_int_equal(stat_of("dir").st_mode & 07777, 0755);
	testrepo_rm(fx.out);
	restore_ok((struct restore_options){ .excludes = out, .nr_excludes = 1 });
	assert_false(exists("dir"));
	assert_true(exists("file"));
	testrepo_rm(fx.out);
	restore_ok((struct restore_options){ .includes = out, .nr_includes = 1 });
	assert_true(exists("dir/inner"));
	assert_false(exists("file"));
}

static void test_one_file(void **state)
{
	struct restore_options o = { .target = fx.out, .verify = true };
	struct entry_ref ref = { 0 };

	(void)state;
	build_plain();
	OK(tree_path(fx.r.s, &fx.root, "dir/inner", &ref, &ok_err));
	OK(restore_run(fx.r.s, &ref.e, &o, &fx.res, &ok_err));
	assert_text(in_out("inner"), "inner");
	assert_int_equal(fx.res.verified_bytes, 5);
	assert_int_equal(stat_of("").st_mode & 07777, 0700);	/* the user's own */
	entry_ref_release(fx.r.s, &ref);
	OK(tree_path(fx.r.s, &fx.root, "dir", &ref, &ok_err));
	testrepo_rm(fx.out);
	OK(restore_run(fx.r.s, &ref.e, &o, &fx.res, &ok_err));
	assert_text(in_out("inner"), "inner");
	assert_int_equal(stat_of("").st_mode & 07777, 0755);
	entry_ref_release(fx.r.s, &ref);
}

static void test_target_missing(void **state)
{
	(void)state;
	build_plain();
	(void)snprintf(fx.out, sizeof(fx.out), "%s/no/where", fx.r.dir);
	assert_int_equal(restore_with((struct restore_options){ 0 }), ERR_IO);
	assert_non_null(strstr(fx.err.msg, "no/where"));
}

/* Large and deep. */

static void test_large_in_parts(void **state)
{
	/* 40 MiB of data, a hole over several parts, data again. */
	const struct run runs[] = { { 40 << 20, 31 }, { 50 << 20, 0 }, { 3 << 20, 32 }, { 9, 0 } };
	struct testtree t;

	(void)state;
	testtree_begin(&t, &fx.r);
	testtree_file(&t, testtree_entry(ENTRY_FILE, "large"), runs, ARRAY_LEN(runs), 1000 * K);
	testtree_end(&t, &fx.root, &fx.top);
	reopen();
	restore_ok((struct restore_options){ .verify = true });
	assert_int_equal(fx.res.errors, 0);
	assert_int_equal(fx.res.verified_bytes, fx.top.below.bytes);
	assert_runs("large", runs, ARRAY_LEN(runs));
	assert_true(stat_of("large").st_blocks * 512 < 44 << 20);
	restore_ok((struct restore_options){ 0 });
	assert_int_equal(fx.res.unchanged, 1);
}

static void test_deep(void **state)
{
	enum { DEEP = 1500 };
	struct entry d = testtree_entry(ENTRY_DIR, "ten-bytes-");
	struct testtree t;
	int fd;

	(void)state;
	testtree_begin(&t, &fx.r);
	for (int i = 0; i < DEEP; i++) {
		testtree_enter(&t, &d);
		testtree_text(&t, "f", "text");
	}
	testtree_end(&t, &fx.root, &fx.top);
	reopen();
	restore_ok((struct restore_options){ .verify = true });
	assert_int_equal(fx.res.errors, 0);
	assert_int_equal(fx.res.files, DEEP);
	assert_int_equal(fx.res.verified_bytes, 4 * DEEP);
	fd = open(fx.out, O_PATH | O_DIRECTORY | O_CLOEXEC);
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

/* Damage and other trouble. */

/* The last byte of the only data pack's data is in its last block. */
static void flip_last_block(void)
{
	char cmd[512], name[160];
	size_t len = 0;
	uint8_t *p;
	FILE *f;

	/* A data pack says so in byte 13. */
	(void)snprintf(cmd, sizeof(cmd),
		       "cd '%s' && for f in packs/*/*.pack; do "
		       "[ \"$(od -An -tu1 -j13 -N1 $f | tr -d ' ')\" = 1 ] && echo $f; done", fx.r.path);
	f = popen(cmd, "r");
	assert_non_null(f);
	assert_non_null(fgets(name, sizeof(name), f));
	(void)pclose(f);
	name[strcspn(name, "\n")] = '\0';
	p = testrepo_read(&fx.r, name, &len);
	assert_non_null(p);
	/* The table's frame begins where its length says, from the end. */
	{
		uint32_t table = (uint32_t)p[len - 24] | (uint32_t)p[len - 23] << 8 |
				 (uint32_t)p[len - 22] << 16;

		testrepo_flip(&fx.r, name, len - table - 1, 3);
	}
	free(p);
}

static void test_damage(void **state)
{
	/* Apart by more than a block. */
	const struct run first = { 1500 * K, 41 }, last = { 100 * K, 42 };
	struct testtree t;

	(void)state;
	testtree_begin(&t, &fx.r);
	add_link(&t, "a", 5, 2, &last);
	testtree_file(&t, testtree_entry(ENTRY_FILE, "b"), &first, 1, 500 * K);
	add_link(&t, "c", 5, 2, &last);
	testtree_end(&t, &fx.root, &fx.top);
	/* a's chunk was put first: flip where b ends instead, by damaging the last block. */
	flip_last_block();
	reopen();
	restore_ok((struct restore_options){ .verify = true });
	assert_int_equal(fx.res.errors, 1);
	assert_int_equal(fx.res.damaged, 1);
	assert_false(exists("b"));
	assert_runs("a", &last, 1);
	assert_runs("c", &last, 1);
	assert_true(testlog_has(&fx.log, EVENT_DAMAGE, "|b|", ""));
	assert_int_equal(stat_of("").st_nlink, 2);
}

/* A whole file of names is gone with its node; the names in other nodes come back. */
static void test_damaged_node(void **state)
{
	enum { NAMES = 6000 };
	static char names[NAMES][16];
	struct testtree t;
	unsigned got = 0;

	(void)state;
	testtree_begin(&t, &fx.r);
	t.skip_node = 3;
	for (unsigned i = 0; i < NAMES; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "n%06u", i);
		testtree_text(&t, names[i], names[i]);
	}
	testtree_end(&t, &fx.root, &fx.top);
	assert_true(t.emitted > 5);
	reopen();
	restore_ok((struct restore_options){ .verify = true });
	assert_int_equal(fx.res.errors, 1);
	assert_int_equal(fx.res.damaged, 1);
	for (unsigned i = 0; i < NAMES; i++)
		got += exists(names[i]);
	assert_int_equal(got, fx.res.files);
	assert_true(got > NAMES / 2 && got < NAMES);
	assert_true(exists(names[0]) && exists(names[NAMES - 1]));
	{
		char lost[64];

		(void)snprintf(lost, sizeof(lost), "%u of %u names", NAMES - got, NAMES);
		assert_true(testlog_has(&fx.log, EVENT_DAMAGE, lost, ""));
	}
}

static void spoil(void *ctx, const struct event *ev)
{
	int fd;

	(void)ctx;
	if (ev->kind != EVENT_PROGRESS || strcmp(ev->text, "restore") != 0 || !exists("a"))
		return;
	fd = open(in_out("a"), O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "x", 1, 3), 1);
	(void)close(fd);
}

static void test_verify_finds(void **state)
{
	struct testtree t;

	(void)state;
	testtree_begin(&t, &fx.r);
	testtree_text(&t, "a", "aaaa");
	testtree_text(&t, "b", "bbbb");
	testtree_end(&t, &fx.root, &fx.top);
	fx.log.hook = spoil;	/* at the first file's progress */
	restore_ok((struct restore_options){ .verify = true, .jobs = 1 });
	fx.log.hook = NULL;
	assert_int_equal(fx.res.errors, 1);
	assert_int_equal(fx.res.damaged, 0);
	assert_int_equal(fx.res.verified_bytes, 4);
	assert_true(testlog_has(&fx.log, EVENT_WARNING, "|a|", "read back"));
}

static atomic_bool cancel;

static void cancel_now(void *ctx, const struct event *ev)
{
	(void)ctx;
	if (ev->kind == EVENT_PROGRESS)
		atomic_store(&cancel, true);
}

static void test_cancel(void **state)
{
	struct restore_options o = { .cancel = &cancel, .jobs = 1 };

	(void)state;
	build_kinds();
	atomic_store(&cancel, false);
	fx.log.hook = cancel_now;
	assert_int_equal(restore_with(o), ERR_CANCELED);
	fx.log.hook = NULL;
	atomic_store(&cancel, false);
	restore_ok(o);
	assert_int_equal(fx.res.errors, 0);
	assert_kinds(false);
}

static void test_full(void **state)
{
	const struct run big = { 3 << 20, 51 };
	struct testtree t;

	(void)state;
	if (geteuid() != 0)
		skip();
	testtree_begin(&t, &fx.r);
	testtree_file(&t, testtree_entry(ENTRY_FILE, "big"), &big, 1, 500 * K);
	testtree_text(&t, "small", "small");
	testtree_end(&t, &fx.root, &fx.top);
	assert_int_equal(mkdir(fx.out, 0700), 0);
	if (mount("none", fx.out, "tmpfs", 0, "size=1m") < 0)
		skip();
	assert_int_equal(restore_with((struct restore_options){ 0 }), ERR_IO);
	assert_int_equal(fx.err.sys, ENOSPC);
	assert_false(exists("big"));
	assert_int_equal(umount(fx.out), 0);
	assert_non_null(strstr(fx.err.msg, "big"));
	assert_non_null(strstr(fx.err.msg, "3145733 bytes"));
	assert_non_null(strstr(fx.err.msg, "make room"));
	restore_ok((struct restore_options){ 0 });
	assert_runs("big", &big, 1);
}

/* Killed at any moment: what is there is whole, and the next run completes it. */
static void test_killed(void **state)
{
	uint64_t seed = test_seed();

	(void)state;
	build_kinds();
	reopen();
	for (int i = 0; i < 5; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			struct restore_options o = { .jobs = 2 };

			(void)restore_with(o);
			_exit(0);
		}
		(void)usleep((useconds_t)(test_random(&seed) % 8000));
		(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		if (exists("closed/holed"))
			assert_runs("closed/holed", holed, ARRAY_LEN(holed));
		if (exists("closed/many"))
			assert_runs("closed/many", many, MANY);
	}
	restore_ok((struct restore_options){ .verify = true });
	assert_int_equal(fx.res.errors, 0);
	assert_kinds(false);
	assert_int_equal(system("true"), 0);
	{
		char cmd[512];

		(void)snprintf(cmd, sizeof(cmd), "test -z \"$(find '%s' -name '.vouch-*')\"", fx.out);
		assert_int_equal(system(cmd), 0);
	}
}

static void test_immutable(void **state)
{
	struct entry d = testtree_entry(ENTRY_DIR, "dir"), e = testtree_entry(ENTRY_FILE, "f");
	struct testtree t;
	int fd, flags = 0;

	(void)state;
	if (geteuid() != 0)
		skip();
	d.inode_flags = FS_IMMUTABLE_FL;
	e.inode_flags = FS_IMMUTABLE_FL | FS_NODUMP_FL;
	e.flags |= ENTRY_HARDLINK;
	e.inode = 9;
	e.nlink = 2;
	testtree_begin(&t, &fx.r);
	testtree_enter(&t, &d);
	testtree_add(&t, &e);
	testtree_leave(&t);
	e.name = "g";		/* a second name, linked before the flag is set */
	testtree_add(&t, &e);
	testtree_end(&t, &fx.root, &fx.top);
	restore_ok((struct restore_options){ 0 });
	assert_int_equal(fx.res.errors, 0);
	assert_true(testlog_has(&fx.log, EVENT_NOTE, "inode flags", ""));
	for (int round = 0; round < 2; round++) {
		restore_ok((struct restore_options){ .special = true });
		fd = open(in_out("dir/f"), O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0) {
			(void)close(fd);
			skip();		/* a file system without them */
		}
		(void)close(fd);
		assert_int_equal(fx.res.errors, 0);
		assert_true(flags & FS_IMMUTABLE_FL);
		assert_true(flags & FS_NODUMP_FL);
	}
	{
		char cmd[512];

		(void)snprintf(cmd, sizeof(cmd), "chattr -R -i '%s'", fx.out);
		assert_int_equal(system(cmd), 0);
	}
	assert_int_equal(stat_of("g").st_ino, stat_of("dir/f").st_ino);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_kinds), T(test_resume_looks_at_bytes), T(test_foreign_link), T(test_hard_links),
		T(test_planted_links), T(test_in_the_way), T(test_leftovers), T(test_dry_run),
		T(test_patterns), T(test_one_file), T(test_target_missing), T(test_large_in_parts),
		T(test_deep), T(test_damage), T(test_damaged_node), T(test_verify_finds),
		T(test_cancel), T(test_full), T(test_killed), T(test_immutable),
	};

	(void)umask(022);
	return cmocka_run_group_tests_name("restore", tests, NULL, NULL);
}
