/* SPDX-License-Identifier: MIT */
/*
 * The system calls that touch the medium, behind a table so that tests can make
 * each fail or lose what was not synced; and whole reads, whole writes and
 * durable publishing on top of it.
 */
#ifndef VOUCH_BASE_IO_H
#define VOUCH_BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "store/base/buf.h"
#include "store/err.h"

struct io {
	int (*openat)(int dirfd, const char *name, int flags, mode_t mode);
	ssize_t (*pread)(int fd, void *buf, size_t len, off_t off);
	ssize_t (*write)(int fd, const void *buf, size_t len);
	int (*fsync)(int fd);
	int (*close)(int fd);
	int (*renameat)(int from_dirfd, const char *from, int to_dirfd, const char *to);
	int (*unlinkat)(int dirfd, const char *name, int flags);
	int (*mkdirat)(int dirfd, const char *name, mode_t mode);
	int (*fstatat)(int dirfd, const char *name, struct stat *st, int flags);
};

extern const struct io io_system;	/* the real calls */

/** Read exactly len bytes at off; *n says how many there were (short only at end of file). EINTR is handled. */
MUST_CHECK enum err_code io_pread_all(const struct io *io, int fd, void *buf, size_t len,
				      uint64_t off, size_t *n, struct err *e);
MUST_CHECK enum err_code io_write_all(const struct io *io, int fd, const void *buf, size_t len,
				      struct err *e);

/** fsync of a folder; 0 also where the medium says that folders have none (EINVAL). -1 and errno otherwise. */
int io_fsync_dir(const struct io *io, int dirfd);

/** The whole file name below dirfd, appended to out; ERR_LIMIT beyond max bytes, ERR_NOT_FOUND if absent. */
MUST_CHECK enum err_code io_read_file(const struct io *io, int dirfd, const char *name, size_t max,
				      struct buf *out, struct err *e);

/**
 * Make name (below dirfd, one component) hold buf, durably: temporary file
 * tmp_name below tmp_dirfd, fsync, rename, fsync of dirfd.  On success it survives
 * power loss; on failure name is as it was and the temporary is gone (or left for
 * the next writer's sweep).  Replaces what was there.
 */
MUST_CHECK enum err_code io_publish(const struct io *io, int tmp_dirfd, const char *tmp_name,
				    int dirfd, const char *name, const void *buf, size_t len,
				    struct err *e);

#endif
