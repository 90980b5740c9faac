/* SPDX-License-Identifier: MIT */
#include "tests/lib/faulty_io.h"

#include <dirent.h>
#include <errno.h>

static unsigned countdown;
static int fail_with;
static bool fired;
static int nr_before;

/* Not counted at openat and close: a folder's stream closes its descriptor by itself. */
static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		(void)closedir(d);
	return n;
}

static bool fails(void)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	fired = true;
	errno = fail_with;
	return true;
}

static int faulty_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	return fails() ? -1 : io_system.openat(dirfd, name, flags, mode);
}

static ssize_t faulty_pread(int fd, void *buf, size_t len, off_t off)
{
	return fails() ? -1 : io_system.pread(fd, buf, len, off);
}

static ssize_t faulty_write(int fd, const void *buf, size_t len)
{
	if (!fails())
		return io_system.write(fd, buf, len);
	if (io_system.write(fd, buf, len / 2) < 0)
		return -1;
	errno = fail_with;
	return -1;
}

static int faulty_fsync(int fd)
{
	return fails() ? -1 : io_system.fsync(fd);
}

static int faulty_close(int fd)
{
	bool bad = fails();
	int rc = io_system.close(fd);

	if (!bad)
		return rc;
	errno = fail_with;
	return -1;
}

static int faulty_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	return fails() ? -1 : io_system.renameat(from_dirfd, from, to_dirfd, to);
}

static int faulty_unlinkat(int dirfd, const char *name, int flags)
{
	return fails() ? -1 : io_system.unlinkat(dirfd, name, flags);
}

static int faulty_mkdirat(int dirfd, const char *name, mode_t mode)
{
	return fails() ? -1 : io_system.mkdirat(dirfd, name, mode);
}

static int faulty_fstatat(int dirfd, const char *name, struct stat *st, int flags)
{
	return fails() ? -1 : io_system.fstatat(dirfd, name, st, flags);
}

static const struct io faulty = {
	.openat = faulty_openat,
	.pread = faulty_pread,
	.write = faulty_write,
	.fsync = faulty_fsync,
	.close = faulty_close,
	.renameat = faulty_renameat,
	.unlinkat = faulty_unlinkat,
	.mkdirat = faulty_mkdirat,
	.fstatat = faulty_fstatat,
};

const struct io *faulty_io(unsigned n, int sys)
{
	countdown = n;
	fail_with = sys;
	fired = false;
	nr_before = count_fds();
	return &faulty;
}

bool faulty_io_fired(void)
{
	return fired;
}

int faulty_io_open(void)
{
	return count_fds() - nr_before;
}
