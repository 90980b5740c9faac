/* SPDX-License-Identifier: MIT */
#include "store/backend/file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/base/checked.h"

/* A regular file, opened to read; no link is followed, and a FIFO of that name hangs nobody. */
static enum err_code open_read(struct file_backend *b, const char *name, int *out, struct err *e)
{
	const char *last = NULL;
	int dirfd = -1, fd, sys;
	struct stat st;
	enum err_code rc = file_root_dir(b->root, name, false, &dirfd, &last, e);

	if (rc)
		return rc;
	fd = b->io->openat(dirfd, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	sys = errno;
	(void)b->io->close(dirfd);
	if (fd < 0)
		return file_root_err(b->root, sys, "open", name, e);
	if (b->io->fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
		rc = file_root_err(b->root, errno, "stat", name, e);
	else if (!S_ISREG(st.st_mode))
		rc = file_root_err(b->root, EISDIR, "open", name, e);
	if (rc)
		(void)b->io->close(fd);
	else
		*out = fd;
	return rc;
}

static enum err_code read_fd(struct file_backend *b, int fd, const char *name, uint64_t off,
			     void *buf, size_t len, size_t *n, struct err *e)
{
	enum err_code rc;

	rc = b->base.fresh ? file_medium_read(b, fd, off, buf, len, n, e)
			   : io_pread_all(b->io, fd, buf, len, off, n, e);
	if (rc == ERR_IO)
		rc = file_root_err(b->root, errno, "read", name, e);
	return rc;
}

static enum err_code file_get(struct backend *base, const char *name, uint64_t off, void *buf,
			      size_t len, size_t *n, struct err *e)
{
	struct file_backend *b = file_of(base);
	struct file_fd *d = NULL;
	enum err_code rc;
	int fd = -1;

	if (off > INT64_MAX || len > (uint64_t)INT64_MAX - off)
		return err_set(e, ERR_LIMIT, "%s: no file is that long", name);
	d = file_fds_find(b->fds, name);
	if (d) {
		rc = read_fd(b, file_fd_number(d), name, off, buf, len, n, NULL);
		file_fds_put(b->fds, d);
		if (!rc)
			return ERR_OK;
		/* The drive may have been away since it was opened. */
		file_fds_drop(b->fds, name);
	}
	rc = open_read(b, name, &fd, e);
	if (rc)
		return rc;
	d = file_fds_add(b->fds, name, fd);
	rc = read_fd(b, fd, name, off, buf, len, n, e);
	if (d)
		file_fds_put(b->fds, d);
	else
		(void)b->io->close(fd);
	if (rc)
		file_fds_drop(b->fds, name);
	return rc;
}

void file_forget(struct file_backend *b, const char *name)
{
	file_fds_drop(b->fds, name);
	if (strcmp(name, "vouch.json") == 0 || strcmp(name, "copies/vouch.json") == 0)
		file_root_learn(b->root);
}

static enum err_code file_size(struct backend *base, const char *name, uint64_t *size,
			       struct err *e)
{
	struct file_backend *b = file_of(base);
	const char *last = NULL;
	int dirfd = -1;
	struct stat st;
	enum err_code rc = file_root_dir(b->root, name, false, &dirfd, &last, e);

	file_fds_tidy(b->fds);
	if (rc)
		return rc;
	if (b->io->fstatat(dirfd, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		rc = file_root_err(b->root, errno, "stat", name, e);
	else if (!S_ISREG(st.st_mode))
		rc = file_root_err(b->root, EISDIR, "stat", name, e);
	else
		*size = (uint64_t)st.st_size;
	(void)b->io->close(dirfd);
	return rc;
}

/* The folder that a file "x" below the prefix would lie in; ERR_NOT_FOUND: there is none. */
static enum err_code open_prefix(struct file_backend *b, const char *prefix, int *fd, struct err *e)
{
	char inside[FILE_NAME_MAX + 3];
	size_t n = strlen(prefix);
	const char *last = NULL;

	if (n == 0)
		return file_root_get(b->root, fd, e);
	if (n > FILE_NAME_MAX || prefix[n - 1] != '/')
		return err_set(e, ERR_USAGE, "\"%s\" is not a prefix", prefix);
	memcpy(inside, prefix, n);
	memcpy(inside + n, "x", 2);
	return file_root_dir(b->root, inside, false, fd, &last, e);
}

static enum err_code file_settle(struct backend *base, const char *prefix, struct err *e)
{
	struct file_backend *b = file_of(base);
	char inside[FILE_NAME_MAX + 3];
	const char *last = NULL;
	enum err_code rc;
	int fd = -1;

	rc = open_prefix(b, prefix, &fd, e);
	if (rc == ERR_NOT_FOUND) {
		err_clear(e);
		return ERR_OK;
	}
	if (rc)
		return rc;
	if (*prefix) {		/* again, as who writes there does: the folders on the way, too */
		(void)b->io->close(fd);
		(void)snprintf(inside, sizeof(inside), "%sx", prefix);
		rc = file_root_dir(b->root, inside, true, &fd, &last, e);
		if (rc)
			return rc;
	}
	if (io_fsync_dir(b->io, fd) < 0)
		rc = file_root_err(b->root, errno, "fsync", prefix, e);
	(void)b->io->close(fd);
	return rc;
}

static enum err_code file_list_op(struct backend *base, const char *prefix, bool with_size,
				  backend_list_fn *fn, void *ctx, struct err *e)
{
	struct file_backend *b = file_of(base);
	enum err_code rc;
	int fd = -1;

	file_fds_tidy(b->fds);
	rc = open_prefix(b, prefix, &fd, e);
	if (rc == ERR_NOT_FOUND && *prefix) {
		err_clear(e);
		return ERR_OK;
	}
	if (rc)
		return rc;
	rc = file_list(b->io, fd, prefix, with_size, fn, ctx, e);
	if (rc == ERR_IO && e)
		rc = file_root_err(b->root, e->sys, "list", prefix, e);
	(void)b->io->close(fd);
	return rc;
}

/*
 * A line cut short by a full disk or a crash must not swallow the next one: it gets its newline
 * first, in the same write.
 */
static enum err_code append_fd(struct file_backend *b, int fd, const void *data, size_t len,
			       struct err *e)
{
	struct buf line = BUF_INIT;
	enum err_code rc = ERR_OK;
	struct stat st;
	char end = '\n';
	ssize_t n;

	if (b->io->fstatat(fd, "", &st, AT_EMPTY_PATH) < 0 ||
	    (st.st_size > 0 && b->io->pread(fd, &end, 1, st.st_size - 1) < 0)) {
		rc = err_sys(e, "read the end");
		goto out;
	}
	if (end != '\n')
		buf_add_u8(&line, '\n');
	buf_add(&line, data, len);
	if (line.bad) {
		rc = err_set(e, ERR_NOMEM, "%zu bytes", len);
		goto out;
	}
	do {
		n = b->io->write(fd, line.p, line.len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		rc = err_sys(e, "write");
	else if ((size_t)n < line.len)
		rc = err_set(e, ERR_IO, "only %zd of %zu bytes were taken", n, line.len);
	else if (b->io->fsync(fd) < 0)
		rc = err_sys(e, "fsync");
out:
	buf_release(&line);
	return rc;
}

static enum err_code file_append(struct backend *base, const char *name, const void *buf,
				 size_t len, struct err *e)
{
	struct file_backend *b = file_of(base);
	const int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK;
	const char *last = NULL;
	enum err_code rc;
	int dirfd = -1, fd = -1;

	rc = file_root_dir(b->root, name, true, &dirfd, &last, e);
	if (rc)
		return rc;
	fd = b->io->openat(dirfd, last, flags, 0);
	if (fd < 0 && errno == ENOENT)
		fd = b->io->openat(dirfd, last, flags | O_CREAT, 0600);
	if (fd < 0)
		rc = file_root_err(b->root, errno, "open", name, e);
	else
		rc = append_fd(b, fd, buf, len, e);
	if (fd >= 0 && b->io->close(fd) < 0 && !rc)
		rc = err_sys(e, "close");
	/* Always: who made it may have been killed before this. */
	if (!rc && io_fsync_dir(b->io, dirfd) < 0)
		rc = err_sys(e, "fsync the folder");
	(void)b->io->close(dirfd);
	if (rc && rc != ERR_ABSENT)
		err_prefix(e, "append to %s", name);
	return file_root_lost(b->root, rc, e);
}

static enum err_code file_remove(struct backend *base, const char *name, struct err *e)
{
	struct file_backend *b = file_of(base);
	const char *last = NULL;
	int dirfd = -1;
	enum err_code rc = file_root_dir(b->root, name, false, &dirfd, &last, e);

	if (rc)
		return rc;
	if (b->io->unlinkat(dirfd, last, 0) < 0)
		rc = file_root_err(b->root, errno, "delete", name, e);
	else if (io_fsync_dir(b->io, dirfd) < 0)
		rc = file_root_err(b->root, errno, "fsync the folder of", name, e);
	(void)b->io->close(dirfd);
	file_forget(b, name);
	return rc;
}

static enum err_code file_space(struct backend *base, uint64_t *free_bytes, uint64_t *total_bytes,
				struct err *e)
{
	struct file_backend *b = file_of(base);
	struct statvfs st;
	int fd = -1;
	enum err_code rc = file_root_get(b->root, &fd, e);

	file_fds_tidy(b->fds);
	if (rc)
		return rc;
	if (fstatvfs(fd, &st) < 0)
		rc = err_sys(e, "free space of %s", file_root_path(b->root));
	else if (mul_u64(st.f_bavail, st.f_frsize, free_bytes) ||
		 mul_u64(st.f_blocks, st.f_frsize, total_bytes))
		rc = err_set(e, ERR_UNSUPPORTED, "%s has no size", file_root_path(b->root));
	(void)b->io->close(fd);
	return rc;
}

static enum err_code file_sweep(struct backend *base, struct err *e)
{
	struct file_backend *b = file_of(base);
	const char *last = NULL;
	int dirfd = -1;
	enum err_code rc = file_root_dir(b->root, "tmp/x", false, &dirfd, &last, e);

	if (rc == ERR_NOT_FOUND) {
		err_clear(e);
		return ERR_OK;
	}
	if (rc)
		return rc;
	rc = file_temp_sweep(b->io, dirfd, e);
	(void)b->io->close(dirfd);
	return rc;
}

static void file_close(struct backend *base)
{
	struct file_backend *b;

	if (!base)
		return;
	b = file_of(base);
	file_fds_close(b->fds);
	file_root_close(b->root);
	free(b);
}

const struct backend_ops file_ops = {
	.get = file_get,
	.size = file_size,
	.list = file_list_op,
	.put = file_put,
	.put_begin = file_put_begin,
	.put_add = file_put_add,
	.put_commit = file_put_commit,
	.put_commit_two = file_put_commit_two,
	.put_get = file_put_get,
	.put_abort = file_put_abort,
	.settle = file_settle,
	.append = file_append,
	.remove = file_remove,
	.space = file_space,
	.sweep = file_sweep,
	.close = file_close,
};
