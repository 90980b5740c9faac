/* SPDX-License-Identifier: MIT */
/*
 * Loaded before libc (LD_PRELOAD): writes down what a program does to a watched folder (WATCH,
 * watched.h), in the order in which it does it, at the end of the file RECORD.  power_cut.py reads
 * it.  A record is a struct head, the path (below the folder), the second path and the data.
 *
 * With RECORD_STOP=N the program is killed (SIGKILL) right after its N-th record.
 *
 * Calls that change something are made and written down under one lock, so that the order is right
 * across threads. What cannot be written down (a shared mapping that is written to, a stream of
 * libc's) is a record of its own, which the reader refuses.
 */
#include "tests/fault/watched.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum what { CREATE = 1, WRITE, TRUNCATE, RENAME, UNLINK, MKDIR, SYNC, SYNC_ALL, UNKNOWN };

struct head {
	uint32_t what, path_len, to_len, data_len;
	uint64_t ino, off;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
static unsigned long left;	/* lock; records before the kill; 0: none */

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("RECORD"), *stop = getenv("RECORD_STOP");

	left = stop ? strtoul(stop, NULL, 10) : 0;
	if (path)
		trace = (int)syscall(SYS_openat, AT_FDCWD, path,
				     O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (path && trace < 0)
		abort();
}

static void put(const void *p, size_t n)
{
	REAL(ssize_t, write, int, const void *, size_t);

	if (n > 0 && real(trace, p, n) != (ssize_t)n)
		abort();
}

static void note(enum what what, uint64_t ino, const char *path, const char *to, uint64_t off,
		 const void *data, size_t n)
{
	struct head h = {
		.what = what, .path_len = (uint32_t)strlen(path),
		.to_len = to ? (uint32_t)strlen(to) : 0, .data_len = (uint32_t)n,
		.ino = ino, .off = off,
	};

	put(&h, sizeof(h));
	put(path, h.path_len);
	put(to, h.to_len);
	put(data, n);
	if (left > 0 && --left == 0)
		(void)raise(SIGKILL);
}

/* Where below the folder a call's arguments lead, in full; NULL: elsewhere. */
static const char *below(int dirfd, const char *path, char full[WATCHED_PATH_LEN])
{
	int was = errno;
	const char *at = NULL;

	if (trace >= 0 && watched_resolve(dirfd, path, full))
		at = watched_below(full);
	errno = was;
	return at;
}

static uint64_t ino_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static void hold(void)
{
	if (pthread_mutex_lock(&lock) != 0)
		abort();
}

static void let_go(void)
{
	int was = errno;

	if (pthread_mutex_unlock(&lock) != 0)
		abort();
	errno = was;
}

typedef int open_fn(int, const char *, int, mode_t);

/* Only what makes or empties a file is of interest. */
static int open_noted(open_fn *fn, int dirfd, const char *path, int flags, mode_t mode)
{
	char full[WATCHED_PATH_LEN];
	const char *at = OPEN_MAKES(flags) || (flags & O_TRUNC) ? below(dirfd, path, full) : NULL;
	struct stat st;
	bool was;
	int fd;

	if (!at)
		return fn(dirfd, path, flags, mode);
	hold();
	was = lstat(full, &st) == 0;
	fd = fn(dirfd, path, flags, mode);
	if (fd >= 0 && (flags & O_TMPFILE) == O_TMPFILE)
		note(UNKNOWN, 0, at, NULL, 0, NULL, 0);
	else if (fd >= 0 && !was)
		note(CREATE, ino_of(fd), at, NULL, 0, NULL, 0);
	else if (fd >= 0 && (flags & O_TRUNC))
		note(TRUNCATE, ino_of(fd), at, NULL, 0, NULL, 0);
	let_go();
	return fd;
}

static int real_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	REAL(int, openat, int, const char *, int, ...);
	return real(dirfd, path, flags, mode);
}

#define DEFINE_OPEN(name) \
	int name(const char *path, int flags, ...) \
	{ \
		return open_noted(real_openat, AT_FDCWD, path, flags, MODE_OF(flags)); \
	}
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_OPENAT(name) \
	int name(int dirfd, const char *path, int flags, ...) \
	{ \
		return open_noted(real_openat, dirfd, path, flags, MODE_OF(flags)); \
	}
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

#define DEFINE_FOPEN(name) \
	FILE *name(const char *path, const char *mode) \
	{ \
		REAL(FILE *, name, const char *, const char *); \
		char full[WATCHED_PATH_LEN]; \
		const char *at = below(AT_FDCWD, path, full); \
		if (at && (*mode != 'r' || strchr(mode, '+'))) { \
			hold(); \
			note(UNKNOWN, 0, at, NULL, 0, NULL, 0); \
			let_go(); \
		} \
		return real(path, mode); \
	}
DEFINE_FOPEN(fopen)
DEFINE_FOPEN(fopen64)

static uint64_t place(int fd)
{
	struct stat st;
	off_t at;

	if ((fcntl(fd, F_GETFL) & O_APPEND) && fstat(fd, &st) == 0)
		return (uint64_t)st.st_size;
	at = lseek(fd, 0, SEEK_CUR);
	return at < 0 ? 0 : (uint64_t)at;
}

ssize_t write(int fd, const void *buf, size_t len)
{
	REAL(ssize_t, write, int, const void *, size_t);
	char full[WATCHED_PATH_LEN];
	const char *at = below(fd, NULL, full);
	uint64_t off;
	ssize_t n;

	if (!at)
		return real(fd, buf, len);
	hold();
	off = place(fd);
	n = real(fd, buf, len);
	if (n > 0)
		note(WRITE, ino_of(fd), at, NULL, off, buf, (size_t)n);
	let_go();
	return n;
}

#define DEFINE_PWRITE(name) \
	ssize_t name(int fd, const void *buf, size_t len, off_t off) \
	{ \
		REAL(ssize_t, name, int, const void *, size_t, off_t); \
		char full[WATCHED_PATH_LEN]; \
		const char *at = below(fd, NULL, full); \
		ssize_t n; \
		hold(); \
		n = real(fd, buf, len, off); \
		if (at && n > 0) \
			note(WRITE, ino_of(fd), at, NULL, (uint64_t)off, buf, (size_t)n); \
		let_go(); \
		return n; \
	}
DEFINE_PWRITE(pwrite)
DEFINE_PWRITE(pwrite64)

/* A call that succeeded with 0, and what is written down then. */
#define STRIP(...) __VA_ARGS__
#define DEFINE(name, what_, fd_, path_, tofd_, to_, off_, params, types, args) \
	int name(STRIP params) \
	{ \
		REAL(int, name, STRIP types); \
		char full[WATCHED_PATH_LEN], full_to[WATCHED_PATH_LEN]; \
		const char *one = path_, *two = to_; \
		const char *at = below(fd_, one, full); \
		const char *there = two ? below(tofd_, two, full_to) : NULL; \
		int rc; \
		if (!at && !there) \
			return real(STRIP args); \
		hold(); \
		rc = real(STRIP args); \
		if (rc == 0) \
			note(what_, one ? 0 : ino_of(fd_), at ? at : "", there, \
			     (uint64_t)(off_), NULL, 0); \
		let_go(); \
		return rc; \
	}
#define OF_FD(name, what, off, params, types, args) \
	DEFINE(name, what, fd, NULL, -1, NULL, off, params, types, args)
#define OF_PATH(name, what, fd, params, types, args) \
	DEFINE(name, what, fd, path, -1, NULL, 0, params, types, args)
#define OF_TWO(name, what, fd, tofd, params, types, args) \
	DEFINE(name, what, fd, path, tofd, to, 0, params, types, args)

OF_FD(fsync, SYNC, 0, (int fd), (int), (fd))
OF_FD(fdatasync, SYNC, 0, (int fd), (int), (fd))
OF_FD(syncfs, SYNC_ALL, 0, (int fd), (int), (fd))
OF_FD(ftruncate, TRUNCATE, len, (int fd, off_t len), (int, off_t), (fd, len))
OF_FD(ftruncate64, TRUNCATE, len, (int fd, off_t len), (int, off_t), (fd, len))
OF_FD(fallocate, UNKNOWN, 0, (int fd, int mode, off_t off, off_t len), (int, int, off_t, off_t),
       (fd, mode, off, len))
OF_FD(fallocate64, UNKNOWN, 0, (int fd, int mode, off_t off, off_t len), (int, int, off_t, off_t),
       (fd, mode, off, len))
OF_PATH(unlink, UNLINK, AT_FDCWD, (const char *path), (const char *), (path))
OF_PATH(rmdir, UNLINK, AT_FDCWD, (const char *path), (const char *), (path))
OF_PATH(unlinkat, UNLINK, fd, (int fd, const char *path, int flags), (int, const char *, int),
       (fd, path, flags))
OF_PATH(mkdir, MKDIR, AT_FDCWD, (const char *path, mode_t m), (const char *, mode_t), (path, m))
OF_PATH(mkdirat, MKDIR, fd, (int fd, const char *path, mode_t m), (int, const char *, mode_t),
       (fd, path, m))
OF_PATH(symlinkat, UNKNOWN, fd, (const char *what, int fd, const char *path),
       (const char *, int, const char *),
	(what, fd, path))
OF_PATH(mkostemp64, UNKNOWN, AT_FDCWD, (char *path, int flags), (char *, int), (path, flags))
OF_TWO(linkat, UNKNOWN, fd, tofd, (int fd, const char *path, int tofd, const char *to, int flags),
       (int, const char *, int, const char *, int), (fd, path, tofd, to, flags))
OF_TWO(rename, RENAME, AT_FDCWD, AT_FDCWD, (const char *path, const char *to),
       (const char *, const char *), (path, to))
OF_TWO(renameat, RENAME, fd, tofd, (int fd, const char *path, int tofd, const char *to),
       (int, const char *, int, const char *), (fd, path, tofd, to))
OF_TWO(renameat2, RENAME, fd, tofd,
       (int fd, const char *path, int tofd, const char *to, unsigned flags),
       (int, const char *, int, const char *, unsigned), (fd, path, tofd, to, flags))

#define DEFINE_MMAP(name) \
	void *name(void *p, size_t n, int prot, int flags, int fd, off_t off) \
	{ \
		REAL(void *, name, void *, size_t, int, int, int, off_t); \
		char full[WATCHED_PATH_LEN]; \
		if ((prot & PROT_WRITE) && (flags & MAP_SHARED) && below(fd, NULL, full)) { \
			hold(); \
			note(UNKNOWN, 0, watched_below(full), NULL, 0, NULL, 0); \
			let_go(); \
		} \
		return real(p, n, prot, flags, fd, off); \
	}
DEFINE_MMAP(mmap)
DEFINE_MMAP(mmap64)
