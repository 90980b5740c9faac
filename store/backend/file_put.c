/* SPDX-License-Identifier: MIT */
#include "store/backend/file_internal.h"

#include <errno.h>
#include <stdlib.h>

struct backend_put {
	struct file_backend *b;
	int dirfd, fd;		/* tmp/, and the file in it */
	char name[FILE_TEMP_NAME_LEN + 1];
};

enum err_code file_put_begin(struct backend *base, struct backend_put **out, struct err *e)
{
	struct file_backend *b = file_of(base);
	struct backend_put *p = calloc(1, sizeof(*p));
	const char *last = NULL;
	enum err_code rc;

	if (!p)
		return err_set(e, ERR_NOMEM, "no memory to write a file");
	*p = (struct backend_put){ .b = b, .dirfd = -1, .fd = -1 };
	rc = file_root_dir(b->root, "tmp/x", true, &p->dirfd, &last, e);
	if (!rc) {
		rc = file_temp_create(b->io, p->dirfd, p->name, &p->fd, e);
		if (rc)
			err_prefix(e, "%s", file_root_path(b->root));
		rc = file_root_lost(b->root, rc, e);
	}
	if (rc) {
		if (p->dirfd >= 0)
			(void)b->io->close(p->dirfd);
		free(p);
		return rc;
	}
	*out = p;
	return ERR_OK;
}

enum err_code file_put_add(struct backend_put *p, const void *buf, size_t len, struct err *e)
{
	enum err_code rc = io_write_all(p->b->io, p->fd, buf, len, e);

	if (rc)
		err_prefix(e, "%s/tmp/%s", file_root_path(p->b->root), p->name);
	return file_root_lost(p->b->root, rc, e);
}

void file_put_abort(struct backend_put *p)
{
	if (!p)
		return;
	/* A temporary that cannot be deleted now is swept by the next writer. */
	(void)p->b->io->unlinkat(p->dirfd, p->name, 0);
	(void)p->b->io->close(p->fd);
	(void)p->b->io->close(p->dirfd);
	free(p);
}

enum err_code file_put_commit(struct backend_put *p, const char *name, struct err *e)
{
	struct file_backend *b = p->b;
	const char *last = NULL;
	enum err_code rc;
	int dirfd = -1;

	/* First the folder: that the drive is still the same one is looked at in there. */
	rc = file_root_dir(b->root, name, true, &dirfd, &last, e);
	if (rc)
		goto out;
	if (b->io->fsync(p->fd) < 0) {
		rc = file_root_err(b->root, errno, "fsync", name, e);
		goto out;
	}
	/*
	 * Commit point.  What stands there is replaced: a pack by its own bytes.  The lock on
	 * the temporary is held until it has its name, so that no sweep takes it.
	 */
	if (b->io->renameat(p->dirfd, p->name, dirfd, last) < 0) {
		rc = err_sys(e, "rename to %s", name);
		goto out;
	}
	if (io_fsync_dir(b->io, dirfd) < 0)
		rc = file_root_err(b->root, errno, "fsync the folder of", name, e);
	if (b->io->close(p->fd) < 0 && !rc)
		rc = err_sys(e, "close");
	(void)b->io->close(p->dirfd);
	free(p);
	p = NULL;
	file_forget(b, name);
out:
	file_put_abort(p);
	if (dirfd >= 0)
		(void)b->io->close(dirfd);
	if (rc && rc != ERR_ABSENT)
		err_prefix(e, "publish %s", name);
	return file_root_lost(b->root, rc, e);
}

enum err_code file_put(struct backend *base, const char *name, const void *buf, size_t len,
		       struct err *e)
{
	struct backend_put *p = NULL;
	enum err_code rc = file_put_begin(base, &p, e);

	if (!rc)
		rc = file_put_add(p, buf, len, e);
	if (!rc)
		return file_put_commit(p, name, e);
	file_put_abort(p);
	return rc;
}
