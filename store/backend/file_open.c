/* SPDX-License-Identifier: MIT */
#include "store/backend/file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/base/checked.h"

static const char *const folders[] = { "packs", "snapshots", "forgotten", "log", "copies", "tmp",
					"condemned", "writers" };

static enum err_code open_folder(const struct io *io, const char *path, int *fd, struct err *e)
{
	*fd = io->openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	return *fd < 0 ? err_sys(e, "open %s", path) : ERR_OK;
}

/* The folder itself, its entry made durable. */
static enum err_code make_folder(const struct io *io, const char *path, struct err *e)
{
	struct buf parent = BUF_INIT;
	enum err_code rc;
	bool was = false;
	int fd = -1;

	if (io->mkdirat(AT_FDCWD, path, 0700) < 0) {
		was = errno == EEXIST;
		if (errno == ENOENT)
			return err_set(e, ERR_NOT_FOUND,
				       "the folder that %s is to lie in is not there", path);
		if (!was)
			return err_sys(e, "make %s", path);
	}
	buf_printf(&parent, "%s/..", path);
	buf_add_u8(&parent, 0);
	if (parent.bad)
		rc = err_set(e, ERR_NOMEM, "%s", path);
	else
		rc = open_folder(io, (const char *)parent.p, &fd, e);
	if (!rc && io_fsync_dir(io, fd) < 0)
		rc = err_sys(e, "fsync %s", (const char *)parent.p);
	if (fd >= 0)
		(void)io->close(fd);
	buf_release(&parent);
	/* It was there: perhaps since an init that was killed; perhaps in a folder we may not read. */
	if (rc && was) {
		err_clear(e);
		rc = ERR_OK;
	}
	return rc;
}

static enum err_code create(const struct io *io, const char *path, struct err *e)
{
	enum err_code rc = make_folder(io, path, e);
	bool is_free = false;
	int fd = -1;

	if (rc)
		return rc;
	fd = io->openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return errno == ENOTDIR ? err_set(e, ERR_EXISTS, "%s is not a folder", path)
					: err_sys(e, "open %s", path);
	rc = file_list_is_free(io, fd, &is_free, e);
	if (!rc && !is_free)
		rc = err_set(e, ERR_EXISTS, "%s is not empty", path);
	for (size_t i = 0; !rc && i < ARRAY_LEN(folders); i++)
		if (io->mkdirat(fd, folders[i], 0700) < 0 && errno != EEXIST)
			rc = err_sys(e, "make %s/%s", path, folders[i]);
	if (!rc && io_fsync_dir(io, fd) < 0)
		rc = err_sys(e, "fsync %s", path);
	(void)io->close(fd);
	return rc;
}

static bool has(const struct io *io, int fd, const char *name, mode_t type)
{
	struct stat st;

	return io->fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (st.st_mode & S_IFMT) == type;
}

/* An empty folder is where a drive would be mounted, not a repository that was lost. */
static enum err_code check_repository(const struct io *io, const char *path, struct err *e)
{
	int fd = io->openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	enum err_code rc = ERR_OK;
	bool is_free = false;

	if (fd < 0) {
		switch (errno) {
		case ENOTDIR:
			return err_set(e, ERR_NOT_FOUND, "%s is not a folder", path);
		case ENOENT:
		case EIO:
		case ENODEV:
		case ENXIO:
		case ENOTCONN:
		case ESTALE:
			return err_set(e, ERR_ABSENT,
				       "%s is not there (is the drive plugged in and mounted?)",
				       path);
		default:
			return err_sys(e, "open %s", path);
		}
	}
	if (!has(io, fd, "vouch.json", S_IFREG) && !has(io, fd, "copies/vouch.json", S_IFREG)) {
		rc = file_list_is_free(io, fd, &is_free, e);
		if (!rc && is_free && !has(io, fd, folders[0], S_IFDIR))
			rc = err_set(e, ERR_ABSENT,
				     "%s is empty (is the drive plugged in and mounted?)", path);
		else if (!rc)
			rc = err_set(e, ERR_NOT_FOUND, "%s is not a vouch repository", path);
	}
	(void)io->close(fd);
	return rc;
}

static enum err_code check_writable(struct file_backend *b, bool want_write, struct err *e)
{
	struct statvfs st;
	int fd = -1, sys = 0;
	enum err_code rc = file_root_get(b->root, &fd, e);

	if (rc)
		return rc;
	if (fstatvfs(fd, &st) == 0 && (st.f_flag & ST_RDONLY))
		sys = EROFS;
	else if (faccessat(fd, ".", W_OK, AT_EACCESS) < 0 && (errno == EACCES || errno == EROFS))
		sys = errno;
	(void)b->io->close(fd);
	b->base.read_only = sys != 0;
	if (!sys || !want_write)
		return ERR_OK;
	errno = sys;
	return err_sys(e, "%s cannot be written", file_root_path(b->root));
}

enum err_code file_backend_open(const char *path, bool make, bool want_write, const struct io *io,
				struct backend **out, struct err *e)
{
	struct file_backend *b = NULL;
	char *absolute = NULL;
	enum err_code rc;

	rc = make ? create(io, path, e) : check_repository(io, path, e);
	if (rc)
		return rc;
	absolute = realpath(path, NULL);
	if (!absolute)
		return err_sys(e, "find the absolute path of %s", path);
	b = calloc(1, sizeof(*b));
	if (!b) {
		rc = err_set(e, ERR_NOMEM, "%s", path);
		goto out;
	}
	b->base.ops = &file_ops;
	file_medium_learn(b, absolute);
	b->io = io;
	rc = file_root_open(io, absolute, &b->root, e);
	if (!rc)
		rc = file_fds_open(io, &b->fds, e);
	if (!rc)
		rc = check_writable(b, want_write, e);
	if (rc)
		goto out;
	*out = &b->base;
	b = NULL;
out:
	if (b)
		file_ops.close(&b->base);
	free(absolute);
	return rc;
}

const char *file_backend_path(const struct backend *b)
{
	if (!b || b->ops != &file_ops)
		return NULL;
	return file_root_path(((const struct file_backend *)b)->root);
}
