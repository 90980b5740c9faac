/* SPDX-License-Identifier: MIT */
/* Reading and writing whole: what is no file, too long, interrupted, or taken piece by piece. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "store/base/io.h"
#include "store/base/keyset.h"
#include "tests/lib/testrepo.h"

static unsigned calls;

/* Interrupted every other time, and a byte at a time. */
static ssize_t slow_pread(int fd, void *buf, size_t len, off_t off)
{
	if (calls++ % 2 == 0) {
		errno = EINTR;
		return -1;
	}
	return pread(fd, buf, len ? 1 : 0, off);
}

static ssize_t slow_write(int fd, const void *buf, size_t len)
{
	if (calls++ % 2 == 0) {
		errno = EINTR;
		return -1;
	}
	return write(fd, buf, len ? 1 : 0);
}

static ssize_t no_write(int fd, const void *buf, size_t len)
{
	(void)fd;
	(void)buf;
	(void)len;
	return 0;
}

static void test_slow(void **state)
{
	static const char text[] = "a byte at a time, every other call interrupted";
	struct testrepo r;
	struct io io = io_system;
	char path[256], got[sizeof(text)];
	struct err e = ERR_INIT;
	size_t n = 0;
	int fd;

	(void)state;
	io.pread = slow_pread;
	io.write = slow_write;
	testrepo_make_dir(&r);
	(void)snprintf(path, sizeof(path), "%s/file", r.dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	OK(io_write_all(&io, fd, text, sizeof(text), &ok_err));
	OK(io_pread_all(&io, fd, got, sizeof(got), 0, &n, &ok_err));
	assert_int_equal(n, sizeof(text));
	assert_memory_equal(got, text, n);
	io.write = no_write;
	assert_int_equal(io_write_all(&io, fd, text, 1, &e), ERR_IO);
	assert_int_equal(close(fd), 0);
	testrepo_remove(&r);
}

static void test_read_file(void **state)
{
	struct buf b = BUF_INIT;
	struct testrepo r;
	char path[256];
	struct err e = ERR_INIT;
	int dir;

	(void)state;
	testrepo_make_dir(&r);
	dir = open(r.dir, O_RDONLY | O_DIRECTORY);
	assert_true(dir >= 0);
	(void)snprintf(path, sizeof(path), "%s/fifo", r.dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	(void)snprintf(path, sizeof(path), "%s/long", r.dir);
	assert_int_equal(close(open(path, O_WRONLY | O_CREAT, 0600)), 0);
	assert_int_equal(truncate(path, 11), 0);
	(void)snprintf(path, sizeof(path), "%s/link", r.dir);
	assert_int_equal(symlink("long", path), 0);
	assert_int_equal(io_read_file(&io_system, dir, "none", 10, &b, &e), ERR_NOT_FOUND);
	assert_int_equal(io_read_file(&io_system, dir, "fifo", 10, &b, &e), ERR_CORRUPT);
	assert_int_equal(io_read_file(&io_system, dir, "link", 20, &b, &e), ERR_IO);
	assert_int_equal(io_read_file(&io_system, dir, "long", 10, &b, &e), ERR_LIMIT);
	assert_int_equal(b.len, 0);
	OK(io_read_file(&io_system, dir, "long", 11, &b, &ok_err));
	assert_int_equal(b.len, 11);
	buf_release(&b);
	assert_int_equal(close(dir), 0);
	testrepo_remove(&r);
}

static void test_buf(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	buf_add(&b, "x", 1);
	/* More than there is, and a sum that does not fit: it stays failed. */
	assert_null(buf_room(&b, SIZE_MAX));
	assert_true(b.bad);
	assert_null(buf_room(&b, 1));
	buf_add(&b, "y", 1);
	assert_true(b.bad && b.len == 1);
	buf_release(&b);
	assert_false(b.bad);
}

static void test_keyset(void **state)
{
	struct keyset k = { .slots = NULL };
	bool is_new;

	(void)state;
	assert_false(keyset_has(&k, 0));
	assert_false(keyset_has(&k, 5));
	OK(keyset_add(&k, 0, &is_new, &ok_err));
	assert_true(is_new && keyset_has(&k, 0) && !keyset_has(&k, 5));
	OK(keyset_add(&k, 0, &is_new, &ok_err));
	assert_false(is_new);
	keyset_release(&k);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow),
		cmocka_unit_test(test_read_file),
		cmocka_unit_test(test_buf),
		cmocka_unit_test(test_keyset),
	};

	return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
