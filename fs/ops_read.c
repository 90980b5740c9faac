/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/control.h"
#include "fs/ops.h"

struct handle {
	struct blob *blob;
	struct handle *next, *prev;	/* handles.mutex */
};

/* Every open handle: a connection that ends abruptly releases none of them. */
struct handles {
	pthread_mutex_t mutex;
	struct handle *first;		/* mutex */
};

static void must(int rc)
{
	if (rc != 0)
		abort();
}

enum err_code handles_open(struct handles **out, struct err *e)
{
	struct handles *h = calloc(1, sizeof(*h));

	if (!h)
		return err_set(e, ERR_NOMEM, "table of open files");
	must(pthread_mutex_init(&h->mutex, NULL));
	*out = h;
	return ERR_OK;
}

void handles_close(struct handles *h)
{
	struct handle *p, *next;

	if (!h)
		return;
	for (p = h->first; p; p = next) {
		next = p->next;
		blob_close(p->blob);
		free(p);
	}
	must(pthread_mutex_destroy(&h->mutex));
	free(h);
}

static void handle_add(struct handles *h, struct handle *p)
{
	must(pthread_mutex_lock(&h->mutex));
	p->next = h->first;
	if (p->next)
		p->next->prev = p;
	h->first = p;
	must(pthread_mutex_unlock(&h->mutex));
}

static void handle_free(struct handles *h, struct handle *p)
{
	must(pthread_mutex_lock(&h->mutex));
	if (p->prev)
		p->prev->next = p->next;
	else
		h->first = p->next;
	if (p->next)
		p->next->prev = p->prev;
	must(pthread_mutex_unlock(&h->mutex));
	blob_close(p->blob);
	free(p);
}

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

static enum err_code open_blob(struct fs *fs, fuse_ino_t ino, struct blob **out, struct err *e)
{
	struct entry_ref r = { 0 };
	enum err_code rc = node_entry_of(fs, ino, &r, NULL, e);

	if (!rc && r.e.type != ENTRY_FILE) {
		rc = err_set(e, ERR_USAGE, "not a file");
		e->sys = EINVAL;
	}
	if (!rc)
		rc = blob_open(fs->store, &r.e, out, e);
	entry_ref_release(fs->store, &r);
	return rc;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct err e = ERR_INIT;
	struct handle *h;

	if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC) {
		(void)fuse_reply_err(req, EROFS);
		return;
	}
	if (control_has(ino)) {
		control_opened(req, ino, fi);
		return;
	}
	h = calloc(1, sizeof(*h));
	if (!h) {
		(void)fuse_reply_err(req, ENOMEM);
		return;
	}
	if (open_blob(fs, ino, &h->blob, &e)) {
		free(h);
		reply_err(req, "open", ino, &e);
		return;
	}
	handle_add(fs->handles, h);
	fi->fh = (uintptr_t)h;
	fi->keep_cache = 1;	/* what is in the page cache was checked as it entered, and never changes */
	fi->noflush = 1;
	/* Where the opener was interrupted the kernel takes no handle, and sends no release. */
	if (fuse_reply_open(req, fi) == -ENOENT)
		handle_free(fs->handles, h);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);
	void *buf = reply_buffer(size);
	struct err e = ERR_INIT;
	size_t n;

	if (control_has(ino))
		control_read(req, ino, size, off);
	else if (!buf)
		(void)fuse_reply_err(req, ENOMEM);
	else if (blob_pread(h->blob, (uint64_t)off, buf, size, &n, &e))
		reply_err(req, "read", ino, &e);	/* damage: EIO */
	else
		(void)fuse_reply_buf(req, buf, n);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);
	struct err e = ERR_INIT;
	enum err_code rc;
	uint64_t to;

	if (control_has(ino) || (whence != SEEK_DATA && whence != SEEK_HOLE)) {	/* the kernel does the others */
		(void)fuse_reply_err(req, EINVAL);
		return;
	}
	if (off < 0) {
		(void)fuse_reply_err(req, ENXIO);
		return;
	}
	rc = blob_seek(h->blob, (uint64_t)off, whence == SEEK_HOLE, &to, &e);
	if (rc == ERR_NOT_FOUND)
		(void)fuse_reply_err(req, ENXIO);
	else if (rc)
		reply_err(req, "lseek", ino, &e);
	else
		(void)fuse_reply_lseek(req, (off_t)to);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);

	if (!control_has(ino))
		handle_free(fs->handles, handle_of(fi));
	(void)fuse_reply_err(req, 0);
}
