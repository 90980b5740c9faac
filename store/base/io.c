/* SPDX-License-Identifier: MIT */
#include "store/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define WRITE_MAX ((size_t)1 << 30)	/* Linux writes at most 2 GiB a call */

static int sys_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	return openat(dirfd, name, flags | O_CLOEXEC, mode);
}

const struct io io_system = {
	.openat = sys_openat,
	.pread = pread,
	.write = write,
	.fsync = fsync,
	.close = close,
	.renameat = renameat,
	.unlinkat = unlinkat,
	.mkdirat = mkdirat,
	.fstatat = fstatat,
};

enum err_code io_pread_all(const struct io *io, int fd, void *buf, size_t len, uint64_t off,
			   size_t *n, struct err *e)
{
	uint8_t *p = buf;
	size_t done = 0;

	while (done < len) {
		ssize_t r = io->pread(fd, p + done, len - done, (off_t)(off + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(e, "read %zu bytes at %llu", len - done,
				       (unsigned long long)(off + done));
		if (r == 0)
			break;
		done += (size_t)r;
	}
	*n = done;
	return ERR_OK;
}

enum err_code io_write_all(const struct io *io, int fd, const void *buf, size_t len, struct err *e)
{
	const uint8_t *p = buf;

	while (len > 0) {
		ssize_t r = io->write(fd, p, len < WRITE_MAX ? len : WRITE_MAX);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(e, "write %zu bytes", len);
		if (r == 0)
			return err_set(e, ERR_IO, "write %zu bytes: nothing was taken", len);
		p += r;
		len -= (size_t)r;
	}
	return ERR_OK;
}

int io_fsync_dir(const struct io *io, int dirfd)
{
	int rc = io->fsync(dirfd);

	return rc < 0 && errno == EINVAL ? 0 : rc;
}

enum err_code io_read_file(const struct io *io, int dirfd, const char *name, size_t max,
			   struct buf *out, struct err *e)
{
	enum err_code rc = ERR_OK;
	struct stat st;
	size_t n = 0;
	uint8_t *room;
	int fd;

	/* O_NONBLOCK: a FIFO of that name must not hang us. */
	fd = io->openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "%s is not there", name)
				       : err_sys(e, "open %s", name);
	if (fstat(fd, &st) < 0) {
		rc = err_sys(e, "stat %s", name);
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		rc = err_set(e, ERR_CORRUPT, "%s is not a regular file", name);
		goto out;
	}
	if (st.st_size < 0 || (uint64_t)st.st_size > max) {
		rc = err_set(e, ERR_LIMIT, "%s has %lld bytes; at most %zu are believed", name,
			     (long long)st.st_size, max);
		goto out;
	}
	room = buf_room(out, (size_t)st.st_size + 1);
	if (!room) {
		rc = err_set(e, ERR_NOMEM, "%s: no memory for %lld bytes", name,
			     (long long)st.st_size);
		goto out;
	}
	rc = io_pread_all(io, fd, room, (size_t)st.st_size, 0, &n, e);
	if (rc)
		err_prefix(e, "%s", name);
	else
		out->len += n;
out:
	(void)io->close(fd);	/* opened to read: nothing can be lost */
	return rc;
}

enum err_code io_publish(const struct io *io, int tmp_dirfd, const char *tmp_name, int dirfd,
			 const char *name, const void *buf, size_t len, struct err *e)
{
	enum err_code rc = ERR_OK;
	bool have_tmp = false;
	int fd;

	fd = io->openat(tmp_dirfd, tmp_name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0) {
		rc = err_sys(e, "create %s", tmp_name);
		goto out;
	}
	have_tmp = true;
	rc = io_write_all(io, fd, buf, len, e);
	if (!rc && io->fsync(fd) < 0)
		rc = err_sys(e, "fsync");
	/* close tells of late write errors on network media: before the rename, not after. */
	if (io->close(fd) < 0 && !rc)
		rc = err_sys(e, "close");
	if (rc)
		goto out;
	if (io->renameat(tmp_dirfd, tmp_name, dirfd, name) < 0) {
		rc = err_sys(e, "rename");
		goto out;
	}
	have_tmp = false;
	if (io_fsync_dir(io, dirfd) < 0)
		rc = err_sys(e, "fsync directory");
out:
	if (have_tmp)
		(void)io->unlinkat(tmp_dirfd, tmp_name, 0);	/* else swept by the next writer */
	if (rc)
		err_prefix(e, "publish %s", name);
	return rc;
}
