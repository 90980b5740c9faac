/* SPDX-License-Identifier: MIT */
/*
 * Loaded before libc (LD_PRELOAD): lets the n-th call fail that touches a watched folder, in
 * whatever thread or child it is made.
 *
 *   WATCH        the folders (watched.h)
 *   FAULT_STATE  a file of struct state, shared by a run's processes: how many calls there were
 *                of each kind, and which one failed
 *   FAULT_AT     n, from 1; 0: only count
 *   FAULT_KIND   eio     fails with EIO
 *                gone    and all that follow do, too: the drive was pulled
 *                enospc  fails with ENOSPC
 *                full    and all that need room do, too
 *                eintr   fails with EINTR
 *                part    reads or writes half of what was asked for
 *                late    is made, and fails with EIO all the same
 *
 * Only calls that may fail in that way are counted.  A close that fails has closed; all others
 * have done nothing, but for "late".
 */
#include "tests/fault/watched.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

/* How a call may fail, beside with EIO. */
#define SPACE	2u	/* ENOSPC, or EIO though it was done: it changes something */
#define ROOM	4u	/* ENOSPC on a full disk */
#define INTR	8u	/* EINTR */
#define PART	16u	/* half of it */
#define ANY	1u

#define NR_KINDS 7

struct state {
	_Atomic uint64_t calls[NR_KINDS];	/* that may fail so; in kinds' order */
	_Atomic uint64_t failed;
	char what[448];		/* the first that did */
};

static const struct kind {
	const char *name;
	unsigned how;
	int code;		/* -1: half */
	bool on;		/* all that follow, too */
	bool late;		/* it is made first */
} kinds[NR_KINDS] = {
	{ "eio", ANY, EIO, false, false },	{ "gone", ANY, EIO, true, false },
	{ "enospc", SPACE, ENOSPC, false, false }, { "full", ROOM, ENOSPC, true, false },
	{ "eintr", INTR, EINTR, false, false }, { "part", PART, -1, false, false },
	{ "late", SPACE, EIO, false, true },
};

static struct state *state;
static const struct kind *kind;
static uint64_t at;

__attribute__((constructor)) static void begin(void)
{
	const char *name = getenv("FAULT_KIND"), *n = getenv("FAULT_AT");
	const char *path = getenv("FAULT_STATE");
	void *p;
	int fd;

	for (size_t i = 0; name && i < NR_KINDS; i++)
		if (strcmp(name, kinds[i].name) == 0)
			kind = &kinds[i];
	if (!kind || !n || !path)
		return;
	at = strtoull(n, NULL, 10);
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
	p = MAP_FAILED;
	if (fd >= 0)
		p = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		abort();
	(void)syscall(SYS_close, fd);
	state = p;
}

/* 0: let it be made. -1: half of it. Else the error number, which errno has, too. */
static int strike(unsigned how, const char *call, int dirfd, const char *path)
{
	char where[WATCHED_PATH_LEN];
	bool ours;
	int was = errno;
	uint64_t n = 0;

	ours = state && watched_resolve(dirfd, path, where) && watched_below(where);
	errno = was;
	if (!ours)
		return 0;
	for (size_t i = 0; i < NR_KINDS; i++)
		if ((how | ANY) & kinds[i].how) {
			uint64_t so_far = atomic_fetch_add(&state->calls[i], 1) + 1;

			n = kind == &kinds[i] ? so_far : n;
		}
	if (at == 0 || n < at || (n > at && !kind->on))
		return 0;
	if (atomic_fetch_add(&state->failed, 1) == 0)
		(void)snprintf(state->what, sizeof(state->what), "%s %.420s", call,
			       watched_below(where));
	if (kind->code > 0)
		errno = kind->code;
	return kind->code;
}

/* What the call itself gives, made or not. */
#define FAIL(hit, made) __extension__({ \
	int hit_ = (hit); \
	__typeof__(made) rc_ = hit_ > 0 && !kind->late ? -1 : (made); \
	if (hit_ > 0) { \
		rc_ = -1; \
		errno = hit_; \
	} \
	rc_; })

#define NEED(flags) (OPEN_MAKES(flags) ? INTR | SPACE | ROOM : INTR)

#define DEFINE_OPEN(name) \
	int name(const char *path, int flags, ...) \
	{ \
		REAL(int, name, const char *, int, ...); \
		mode_t mode = MODE_OF(flags); \
		return FAIL(strike(NEED(flags), "open", AT_FDCWD, path), \
			    real(path, flags, mode)); \
	}
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_OPENAT(name) \
	int name(int dirfd, const char *path, int flags, ...) \
	{ \
		REAL(int, name, int, const char *, int, ...); \
		mode_t mode = MODE_OF(flags); \
		return FAIL(strike(NEED(flags), "openat", dirfd, path), \
			    real(dirfd, path, flags, mode)); \
	}
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

int __open64_2(const char *path, int flags);
int __open64_2(const char *path, int flags)
{
	return open64(path, flags);
}

#define DEFINE_FOPEN(name) \
	FILE *name(const char *path, const char *mode) \
	{ \
		REAL(FILE *, name, const char *, const char *); \
		unsigned how = *mode == 'r' ? INTR : INTR | SPACE | ROOM; \
		if (strike(how, "fopen", AT_FDCWD, path) > 0) \
			return NULL; \
		return real(path, mode); \
	}
DEFINE_FOPEN(fopen)
DEFINE_FOPEN(fopen64)

/* Only openat2, which libc has no function for. */
long syscall(long number, ...)
{
	REAL(long, syscall, long, ...);
	int hit = 0;
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat2)
		hit = strike(NEED((int)*(const uint64_t *)(uintptr_t)a[2]), "openat2", (int)a[0],
			     (const char *)(uintptr_t)a[1]);
	return FAIL(hit, real(number, a[0], a[1], a[2], a[3], a[4], a[5]));
}

/* Half of what was asked for, where that is what shall happen. */
static size_t share(int hit, size_t len)
{
	return hit < 0 ? len / 2 : len;
}

static unsigned halves(unsigned how, size_t len)
{
	return len > 1 ? how | PART : how;
}

ssize_t read(int fd, void *buf, size_t len)
{
	REAL(ssize_t, read, int, void *, size_t);
	int hit = strike(halves(INTR, len), "read", fd, NULL);

	return FAIL(hit, real(fd, buf, share(hit, len)));
}

ssize_t write(int fd, const void *buf, size_t len)
{
	REAL(ssize_t, write, int, const void *, size_t);
	int hit = strike(halves(INTR | SPACE | ROOM, len), "write", fd, NULL);

	return FAIL(hit, real(fd, buf, share(hit, len)));
}

#define DEFINE_PREAD(name) \
	ssize_t name(int fd, void *buf, size_t len, off_t off) \
	{ \
		REAL(ssize_t, name, int, void *, size_t, off_t); \
		int hit = strike(halves(INTR, len), "pread", fd, NULL); \
		return FAIL(hit, real(fd, buf, share(hit, len), off)); \
	}
DEFINE_PREAD(pread)
DEFINE_PREAD(pread64)

#define DEFINE_PWRITE(name) \
	ssize_t name(int fd, const void *buf, size_t len, off_t off) \
	{ \
		REAL(ssize_t, name, int, const void *, size_t, off_t); \
		int hit = strike(halves(INTR | SPACE | ROOM, len), "pwrite", fd, NULL); \
		return FAIL(hit, real(fd, buf, share(hit, len), off)); \
	}
DEFINE_PWRITE(pwrite)
DEFINE_PWRITE(pwrite64)

/* Calls that differ only in their arguments. */
#define STRIP(...) __VA_ARGS__
#define DEFINE(name, how, dirfd, path, params, types, args) \
	int name(STRIP params) \
	{ \
		REAL(int, name, STRIP types); \
		return FAIL(strike(how, #name, dirfd, path), real(STRIP args)); \
	}
#define OF_FD(name, how) DEFINE(name, how, fd, NULL, (int fd), (int), (fd))
#define OF_PATH(name, how) \
	DEFINE(name, how, AT_FDCWD, path, (const char *path), (const char *), (path))

OF_FD(fsync, SPACE | INTR)
OF_FD(fdatasync, SPACE | INTR)
OF_FD(syncfs, SPACE)
OF_PATH(unlink, SPACE)
OF_PATH(rmdir, SPACE)
DEFINE(unlinkat, SPACE, fd, path, (int fd, const char *path, int flags), (int, const char *, int),
       (fd, path, flags))
DEFINE(mkdir, SPACE | ROOM, AT_FDCWD, path, (const char *path, mode_t m), (const char *, mode_t),
       (path, m))
DEFINE(mkdirat, SPACE | ROOM, fd, path, (int fd, const char *path, mode_t m),
       (int, const char *, mode_t), (fd, path, m))
DEFINE(rename, SPACE | ROOM, AT_FDCWD, path, (const char *path, const char *to),
       (const char *, const char *), (path, to))
DEFINE(renameat, SPACE | ROOM, fd, path, (int fd, const char *path, int tofd, const char *to),
       (int, const char *, int, const char *), (fd, path, tofd, to))
DEFINE(renameat2, SPACE | ROOM, fd, path,
       (int fd, const char *path, int tofd, const char *to, unsigned flags),
       (int, const char *, int, const char *, unsigned), (fd, path, tofd, to, flags))
DEFINE(linkat, SPACE | ROOM, tofd, to,
       (int fd, const char *path, int tofd, const char *to, int flags),
       (int, const char *, int, const char *, int), (fd, path, tofd, to, flags))
DEFINE(symlinkat, SPACE | ROOM, fd, path, (const char *what, int fd, const char *path),
       (const char *, int, const char *), (what, fd, path))
DEFINE(mknodat, SPACE | ROOM, fd, path, (int fd, const char *path, mode_t m, dev_t dev),
       (int, const char *, mode_t, dev_t), (fd, path, m, dev))
DEFINE(ftruncate, SPACE | ROOM | INTR, fd, NULL, (int fd, off_t len), (int, off_t), (fd, len))
DEFINE(ftruncate64, SPACE | ROOM | INTR, fd, NULL, (int fd, off_t len), (int, off_t), (fd, len))
DEFINE(fallocate, SPACE | ROOM | INTR, fd, NULL, (int fd, int mode, off_t off, off_t len),
       (int, int, off_t, off_t), (fd, mode, off, len))
DEFINE(fallocate64, SPACE | ROOM | INTR, fd, NULL, (int fd, int mode, off_t off, off_t len),
       (int, int, off_t, off_t), (fd, mode, off, len))
DEFINE(mkostemp64, SPACE | ROOM | INTR, AT_FDCWD, path, (char *path, int flags), (char *, int),
       (path, flags))
DEFINE(stat, 0, AT_FDCWD, path, (const char *path, struct stat *st), (const char *, struct stat *),
       (path, st))
DEFINE(stat64, 0, AT_FDCWD, path, (const char *path, struct stat64 *st),
       (const char *, struct stat64 *), (path, st))
DEFINE(lstat64, 0, AT_FDCWD, path, (const char *path, struct stat64 *st),
       (const char *, struct stat64 *), (path, st))
DEFINE(fstat, 0, fd, NULL, (int fd, struct stat *st), (int, struct stat *), (fd, st))
DEFINE(fstat64, 0, fd, NULL, (int fd, struct stat64 *st), (int, struct stat64 *), (fd, st))
DEFINE(fstatat, 0, fd, path, (int fd, const char *path, struct stat *st, int flags),
       (int, const char *, struct stat *, int), (fd, path, st, flags))
DEFINE(fstatat64, 0, fd, path, (int fd, const char *path, struct stat64 *st, int flags),
       (int, const char *, struct stat64 *, int), (fd, path, st, flags))
DEFINE(statx, 0, fd, path, (int fd, const char *path, int flags, unsigned mask, struct statx *st),
       (int, const char *, int, unsigned, struct statx *), (fd, path, flags, mask, st))
DEFINE(statfs64, INTR, AT_FDCWD, path, (const char *path, struct statfs64 *st),
       (const char *, struct statfs64 *), (path, st))
DEFINE(fstatfs64, INTR, fd, NULL, (int fd, struct statfs64 *st), (int, struct statfs64 *), (fd, st))
DEFINE(fstatvfs64, INTR, fd, NULL, (int fd, struct statvfs64 *st), (int, struct statvfs64 *),
       (fd, st))
DEFINE(access, 0, AT_FDCWD, path, (const char *path, int mode), (const char *, int), (path, mode))
DEFINE(faccessat, 0, fd, path, (int fd, const char *path, int mode, int flags),
       (int, const char *, int, int), (fd, path, mode, flags))
DEFINE(flock, INTR, fd, NULL, (int fd, int how), (int, int), (fd, how))
DEFINE(fchmod, SPACE, fd, NULL, (int fd, mode_t m), (int, mode_t), (fd, m))
DEFINE(fchmodat, SPACE, fd, path, (int fd, const char *path, mode_t m, int flags),
       (int, const char *, mode_t, int), (fd, path, m, flags))
DEFINE(fchown, SPACE, fd, NULL, (int fd, uid_t u, gid_t g), (int, uid_t, gid_t), (fd, u, g))
DEFINE(fchownat, SPACE, fd, path, (int fd, const char *path, uid_t u, gid_t g, int flags),
       (int, const char *, uid_t, gid_t, int), (fd, path, u, g, flags))
DEFINE(futimens, SPACE, fd, NULL, (int fd, const struct timespec t[2]),
       (int, const struct timespec *), (fd, t))
DEFINE(utimensat, SPACE, fd, path,
       (int fd, const char *path, const struct timespec t[2], int flags),
       (int, const char *, const struct timespec *, int), (fd, path, t, flags))
DEFINE(fsetxattr, SPACE | ROOM, fd, NULL,
       (int fd, const char *name, const void *v, size_t n, int flags),
       (int, const char *, const void *, size_t, int), (fd, name, v, n, flags))
DEFINE(lsetxattr, SPACE | ROOM, AT_FDCWD, path,
       (const char *path, const char *name, const void *v, size_t n, int flags),
       (const char *, const char *, const void *, size_t, int), (path, name, v, n, flags))

DEFINE(fremovexattr, SPACE, fd, NULL, (int fd, const char *name), (int, const char *), (fd, name))
DEFINE(lremovexattr, SPACE, AT_FDCWD, path, (const char *path, const char *name),
       (const char *, const char *), (path, name))

#define SIZED(name, how, dirfd, path, params, types, args) \
	ssize_t name(STRIP params) \
	{ \
		REAL(ssize_t, name, STRIP types); \
		return FAIL(strike(how, #name, dirfd, path), real(STRIP args)); \
	}
SIZED(flistxattr, 0, fd, NULL, (int fd, char *list, size_t n), (int, char *, size_t), (fd, list, n))
SIZED(llistxattr, 0, AT_FDCWD, path, (const char *path, char *list, size_t n),
       (const char *, char *, size_t),
      (path, list, n))
SIZED(fgetxattr, 0, fd, NULL, (int fd, const char *name, void *v, size_t n),
       (int, const char *, void *, size_t),
      (fd, name, v, n))
SIZED(lgetxattr, 0, AT_FDCWD, path, (const char *path, const char *name, void *v, size_t n),
      (const char *, const char *, void *, size_t), (path, name, v, n))
SIZED(readlink, 0, AT_FDCWD, path, (const char *path, char *buf, size_t n),
       (const char *, char *, size_t),
      (path, buf, n))
SIZED(readlinkat, 0, fd, path, (int fd, const char *path, char *buf, size_t n),
       (int, const char *, char *, size_t),
      (fd, path, buf, n))
SIZED(copy_file_range, SPACE | ROOM | INTR, out, NULL,
      (int in, off64_t *from, int out, off64_t *to, size_t n, unsigned flags),
      (int, off64_t *, int, off64_t *, size_t, unsigned), (in, from, out, to, n, flags))

SIZED(getdents64, 0, fd, NULL, (int fd, void *buf, size_t n), (int, void *, size_t), (fd, buf, n))

#define POINTED(ret, name, none, dirfd, path, params, types, args) \
	ret name(STRIP params) \
	{ \
		REAL(ret, name, STRIP types); \
		if (strike(0, #name, dirfd, path) > 0) \
			return none; \
		return real(STRIP args); \
	}
POINTED(DIR *, opendir, NULL, AT_FDCWD, path, (const char *path), (const char *), (path))
POINTED(DIR *, fdopendir, NULL, fd, NULL, (int fd), (int), (fd))
POINTED(struct dirent *, readdir, NULL, dirfd(dir), NULL, (DIR *dir), (DIR *), (dir))
POINTED(struct dirent64 *, readdir64, NULL, dirfd(dir), NULL, (DIR *dir), (DIR *), (dir))
POINTED(char *, realpath, NULL, AT_FDCWD, path, (const char *path, char *out),
       (const char *, char *), (path, out))
POINTED(void *, mmap, MAP_FAILED, fd, NULL,
       (void *p, size_t n, int prot, int flags, int fd, off_t off),
	(void *, size_t, int, int, int, off_t), (p, n, prot, flags, fd, off))
POINTED(void *, mmap64, MAP_FAILED, fd, NULL,
       (void *p, size_t n, int prot, int flags, int fd, off_t off),
	(void *, size_t, int, int, int, off_t), (p, n, prot, flags, fd, off))

char *__realpath_chk(const char *path, char *out, size_t len);
char *__realpath_chk(const char *path, char *out, size_t len)
{
	(void)len;
	return realpath(path, out);
}

/* Locks only: the rest is not about the medium. */
#define DEFINE_FCNTL(name) \
	int name(int fd, int cmd, ...) \
	{ \
		REAL(int, name, int, int, ...); \
		va_list ap; \
		int hit = 0; \
		void *arg; \
		va_start(ap, cmd); \
		arg = va_arg(ap, void *); \
		va_end(ap); \
		if (cmd == F_SETLK || cmd == F_SETLKW || cmd == F_OFD_SETLK || \
		    cmd == F_OFD_SETLKW) \
			hit = strike(INTR, "fcntl lock", fd, NULL); \
		return FAIL(hit, real(fd, cmd, arg)); \
	}
DEFINE_FCNTL(fcntl)
DEFINE_FCNTL(fcntl64)

int ioctl(int fd, unsigned long cmd, ...)
{
	REAL(int, ioctl, int, unsigned long, ...);
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	return FAIL(strike(0, "ioctl", fd, NULL), real(fd, cmd, arg));
}

off64_t lseek64(int fd, off64_t off, int whence)
{
	REAL(off64_t, lseek64, int, off64_t, int);
	return FAIL(strike(0, "lseek", fd, NULL), real(fd, off, whence));
}

int close(int fd)
{
	REAL(int, close, int);
	int hit = strike(SPACE | INTR, "close", fd, NULL);

	if (real(fd) < 0)
		return -1;
	if (hit > 0) {
		errno = hit;
		return -1;
	}
	return 0;
}
