/* SPDX-License-Identifier: MIT */
#include "store/backend/file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define SYNC_STEP	((uint64_t)8 << 20)	/* the drive is busy while the next bytes are made */

struct backend_put {
	struct file_backend *b;
	int dirfd, fd;		/* tmp/, and the file in it */
	int back;		/* the file once more, to be read past the cache; -1 */
	uint64_t len, started;	/* bytes put; of these, that were on their way to the medium */
	uint64_t arrived;	/* of these, that are known to have got there */
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
	*p = (struct backend_put){ .b = b, .dirfd = -1, .fd = -1, .back = -1 };
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

/* Only a hint: commit syncs, and says what failed. */
static void start_sync(struct backend_put *p)
{
	(void)sync_file_range(p->fd, (off_t)p->started, (off_t)(p->len - p->started),
			      SYNC_FILE_RANGE_WRITE);
	p->started = p->len;
}

enum err_code file_put_add(struct backend_put *p, const void *buf, size_t len, struct err *e)
{
	enum err_code rc = io_write_all(p->b->io, p->fd, buf, len, e);

	if (rc)
		err_prefix(e, "%s/tmp/%s", file_root_path(p->b->root), p->name);
	p->len += len;
	if (!rc && p->len - p->started >= SYNC_STEP)
		start_sync(p);
	return file_root_lost(p->b->root, rc, e);
}

/* What was put is on the medium, and p->back can read it there. */
static enum err_code reach_medium(struct backend_put *p, struct err *e)
{
	if (p->arrived < p->len) {
		if (p->b->io->fsync(p->fd) < 0)
			return err_sys(e, "fsync");
		p->arrived = p->len;
	}
	if (p->back >= 0)
		return ERR_OK;
	p->back = p->b->io->openat(p->dirfd, p->name, O_RDONLY | O_NOFOLLOW, 0);
	return p->back < 0 ? err_sys(e, "open") : ERR_OK;
}

enum err_code file_put_get(struct backend_put *p, uint64_t off, void *buf, size_t len, size_t *n,
			   struct err *e)
{
	bool fresh = p->b->base.fresh;
	enum err_code rc = fresh ? reach_medium(p, e) : ERR_OK;

	if (!rc)
		rc = fresh ? file_medium_read(p->b, p->back, off, buf, len, n, e)
			   : io_pread_all(p->b->io, p->fd, buf, len, off, n, e);
	return rc == ERR_IO ? file_root_err(p->b->root, errno, "read back", p->name, e) : rc;
}

void file_put_abort(struct backend_put *p)
{
	if (!p)
		return;
	/* A temporary that cannot be deleted now is swept by the next writer. */
	(void)p->b->io->unlinkat(p->dirfd, p->name, 0);
	if (p->back >= 0)
		(void)p->b->io->close(p->back);
	(void)p->b->io->close(p->fd);
	(void)p->b->io->close(p->dirfd);
	free(p);
}

/* Where a put is to go. */
struct landing {
	struct backend_put *p;
	const char *name, *last;
	int dirfd;
};

/* First the folder: that the drive is still the same one is looked at in there. */
static enum err_code find_folder(struct landing *l, struct err *e)
{
	enum err_code rc = file_root_dir(l->p->b->root, l->name, true, &l->dirfd, &l->last, e);

	if (!rc)
		start_sync(l->p);
	return rc;
}

static enum err_code sync_data(struct landing *l, struct err *e)
{
	struct file_backend *b = l->p->b;

	return b->io->fsync(l->p->fd) < 0 ? file_root_err(b->root, errno, "fsync", l->name, e)
					  : ERR_OK;
}

/*
 * Commit point.  What stands there is replaced: a pack by its own bytes.  The lock on
 * the temporary is held until it has its name, so that no sweep takes it.
 */
static enum err_code give_name(struct landing *l, struct err *e)
{
	struct backend_put *p = l->p;
	enum err_code rc = ERR_OK;

	if (p->b->io->renameat(p->dirfd, p->name, l->dirfd, l->last) < 0)
		return err_sys(e, "rename to %s", l->name);
	l->p = NULL;
	if (p->back >= 0)
		(void)p->b->io->close(p->back);
	if (p->b->io->close(p->fd) < 0)
		rc = err_sys(e, "close");
	(void)p->b->io->close(p->dirfd);
	file_forget(p->b, l->name);
	free(p);
	return rc;
}

static enum err_code sync_folder(struct file_backend *b, const struct landing *l, struct err *e)
{
	return io_fsync_dir(b->io, l->dirfd) < 0
		       ? file_root_err(b->root, errno, "fsync the folder of", l->name, e)
		       : ERR_OK;
}

static bool same_folder(const struct landing *a, const struct landing *b)
{
	size_t n = (size_t)(a->last - a->name);

	return n == (size_t)(b->last - b->name) && memcmp(a->name, b->name, n) == 0;
}

static void leave(struct file_backend *b, struct landing *l)
{
	file_put_abort(l->p);
	if (l->dirfd >= 0)
		(void)b->io->close(l->dirfd);
}

enum err_code file_put_commit(struct backend_put *p, const char *name, struct err *e)
{
	struct landing l = { .p = p, .name = name, .dirfd = -1 };
	struct file_backend *b = p->b;
	enum err_code rc = find_folder(&l, e);

	if (!rc)
		rc = sync_data(&l, e);
	if (!rc)
		rc = give_name(&l, e);
	if (!rc)
		rc = sync_folder(b, &l, e);
	leave(b, &l);
	if (rc && rc != ERR_ABSENT)
		err_prefix(e, "publish %s", name);
	return file_root_lost(b->root, rc, e);
}

/* The data of both is on its way before the first sync, so that the second has little left to wait for. */
enum err_code file_put_commit_two(struct backend_put *first, const char *first_name,
				  struct backend_put *second, const char *second_name,
				  struct err *e)
{
	struct landing l[2] = {
		{ .p = first, .name = first_name, .dirfd = -1 },
		{ .p = second, .name = second_name, .dirfd = -1 },
	};
	struct file_backend *b = first->b;
	enum err_code rc = ERR_OK;
	size_t at = 0;

	for (size_t i = 0; i < 2 && !rc; i++)
		rc = find_folder(&l[at = i], e);
	for (size_t i = 0; i < 2 && !rc; i++)
		rc = sync_data(&l[at = i], e);
	for (size_t i = 0; i < 2 && !rc; i++)
		rc = give_name(&l[at = i], e);
	for (size_t i = 0; i < 2 && !rc; i++)
		if (i == 0 || !same_folder(&l[0], &l[1]))
			rc = sync_folder(b, &l[at = i], e);
	leave(b, &l[0]);
	leave(b, &l[1]);
	if (rc && rc != ERR_ABSENT)
		err_prefix(e, "publish %s", l[at].name);
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
