/* SPDX-License-Identifier: MIT */
#include "fs/fresh.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fs/reply.h"
#include "fs/verified.h"
#include "store/base/must.h"

#define AHEAD_FIRST	(1u << 20)	/* bytes read where a file is begun, whatever was asked for */
#define AHEAD		(4u << 20)	/* and when it goes on: a block is as good as never read for two requests */
#define AGE_NS		250000000	/* of bytes not handed out yet */

/* One opening of a file. Its reads take turns: they come in order, and each is as slow as the medium. */
struct handle {
	struct blob *blob;
	uint64_t nodeid;
	bool counts;		/* its bytes are the medium's: none in its folder's record, no cache in between */
	pthread_mutex_t mutex;	/* all below */
	uint8_t *buf;		/* bytes read ahead: [next, end) are not handed out yet */
	size_t cap;
	uint64_t start, next, end;	/* in the file; start: of buf */
	int64_t filled_ns;
	uint64_t good;		/* bytes from the file's beginning on that were read, and well */
	struct handle *later, *earlier;	/* fresh.mutex */
};

struct fresh {
	struct verified *verified;
	bool hidden;		/* the medium is behind a cache that is not to be reached past */
	pthread_mutex_t mutex;
	struct handle *first;	/* mutex; every open handle: a connection that ends abruptly releases none */
};

static int64_t now_ns(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_MONOTONIC, &t));
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

enum err_code fresh_new(struct store *s, struct fresh **out, struct err *e)
{
	struct fresh *f = calloc(1, sizeof(*f));
	enum err_code rc;

	if (!f)
		return err_set(e, ERR_NOMEM, "table of open files");
	rc = verified_open(&f->verified, e);
	if (rc) {
		free(f);
		return rc;
	}
	must(pthread_mutex_init(&f->mutex, NULL));
	f->hidden = store_medium_cache(s) != NULL;
	store_set_fresh(s);
	*out = f;
	return ERR_OK;
}

static void free_handle(struct handle *h)
{
	blob_close(h->blob);
	must(pthread_mutex_destroy(&h->mutex));
	free(h->buf);
	free(h);
}

void fresh_close(struct fresh *f)
{
	if (!f)
		return;
	while (f->first) {
		struct handle *h = f->first;

		f->first = h->later;
		free_handle(h);
	}
	must(pthread_mutex_destroy(&f->mutex));
	verified_close(f->verified);
	free(f);
}

bool fresh_verified(struct fresh *f, uint64_t nodeid, time_t *when)
{
	return f && verified_get(f->verified, nodeid, when);
}

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

static enum err_code open_handle(struct fs *fs, fuse_ino_t ino, struct handle *h, struct err *e)
{
	struct entry_ref r = { 0 };
	enum err_code rc = node_entry_of(fs, ino, &r, NULL, e);

	if (!rc && r.e.type != ENTRY_FILE) {
		rc = err_set(e, ERR_USAGE, "not a file");
		e->sys = EINVAL;
	}
	if (!rc) {
		h->counts = !fs->fresh->hidden && r.e.content != CONTENT_NONE &&
			    r.e.content != CONTENT_INLINE;
		rc = blob_open(fs->store, &r.e, &h->blob, e);
	}
	entry_ref_release(fs->store, &r);
	return rc;
}

static void link_handle(struct fresh *f, struct handle *h)
{
	must(pthread_mutex_lock(&f->mutex));
	h->later = f->first;
	if (h->later)
		h->later->earlier = h;
	f->first = h;
	must(pthread_mutex_unlock(&f->mutex));
}

static void drop_handle(struct fresh *f, struct handle *h)
{
	must(pthread_mutex_lock(&f->mutex));
	if (h->earlier)
		h->earlier->later = h->later;
	else
		f->first = h->later;
	if (h->later)
		h->later->earlier = h->earlier;
	must(pthread_mutex_unlock(&f->mutex));
	/* The last read's answer may be out before its thread is. */
	must(pthread_mutex_lock(&h->mutex));
	must(pthread_mutex_unlock(&h->mutex));
	free_handle(h);
}

void fresh_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct err e = ERR_INIT;
	struct handle *h;

	if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC) {
		(void)fuse_reply_err(req, EROFS);
		return;
	}
	h = calloc(1, sizeof(*h));
	if (!h) {
		(void)fuse_reply_err(req, ENOMEM);
		return;
	}
	must(pthread_mutex_init(&h->mutex, NULL));
	h->nodeid = ino;
	if (open_handle(fs, ino, h, &e)) {
		free_handle(h);
		reply_err(req, "open", ino, &e);
		return;
	}
	link_handle(fs->fresh, h);
	fi->fh = (uintptr_t)h;
	fi->direct_io = 1;
	fi->noflush = 1;
	/* Where the opener was interrupted the kernel takes no handle, and sends no release. */
	if (fuse_reply_open(req, fi) == -ENOENT)
		drop_handle(fs->fresh, h);
}

void fresh_release(fuse_req_t req, struct fuse_file_info *fi)
{
	drop_handle(fs_of(req)->fresh, handle_of(fi));
	(void)fuse_reply_err(req, 0);
}

/* Have [off, off + n) in buf, and what comes after: what of it is there already stays, if it is young. */
static enum err_code fill(struct handle *h, uint64_t off, size_t n, struct err *e)
{
	size_t kept = now_ns() - h->filled_ns < AGE_NS ? (size_t)(h->end - off) : 0;
	size_t want = off == 0 ? AHEAD_FIRST : AHEAD, got = 0;
	uint64_t left = blob_size(h->blob) - off;
	enum err_code rc;

	if (kept >= n)
		return ERR_OK;
	want = want < n ? n : want;
	want = want < left ? want : (size_t)left;
	if (want > h->cap) {
		uint8_t *more = realloc(h->buf, want);

		if (!more)
			return err_set(e, ERR_NOMEM, "%zu bytes", want);
		h->buf = more;
		h->cap = want;
	}
	if (kept)
		memmove(h->buf, h->buf + (off - h->start), kept);
	h->start = off;
	h->end = off + kept;
	rc = blob_pread(h->blob, off + kept, h->buf + kept, want - kept, &got, e);
	if (!rc) {
		h->end += got;
		h->filled_ns = now_ns();
	}
	return rc;
}

/* In order: from what was read ahead. Else, and where damage lies ahead, exactly what is asked for. */
static enum err_code read_locked(struct handle *h, uint64_t off, size_t n, const uint8_t **data,
				 struct err *e)
{
	enum err_code rc;
	size_t got = 0;
	uint8_t *buf;

	if (off == h->next) {
		rc = fill(h, off, n, NULL);
		if (!rc) {
			*data = h->buf + (off - h->start);
			return ERR_OK;
		}
	}
	h->start = h->end = off;	/* nothing is held any more */
	buf = reply_buffer(n);
	if (!buf)
		return err_set(e, ERR_NOMEM, "%zu bytes", n);
	rc = blob_pread(h->blob, off, buf, n, &got, e);
	if (!rc && got != n)
		rc = err_set(e, ERR_IO, "%zu bytes and not %zu", got, n);
	*data = buf;
	return rc;
}

void fresh_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);
	uint64_t at = (uint64_t)off, all = blob_size(h->blob);
	size_t n = at >= all ? 0 : size < all - at ? size : (size_t)(all - at);
	const uint8_t *data = NULL;
	struct err e = ERR_INIT;
	enum err_code rc = ERR_OK;

	must(pthread_mutex_lock(&h->mutex));
	if (n)
		rc = read_locked(h, at, n, &data, &e);
	if (!rc && n) {
		h->next = at + n;
		if (h->next > h->end)
			h->start = h->end = h->next;
		if (at <= h->good && h->good < at + n)
			h->good = at + n;
		if (h->counts && at + n == all && h->good == all)
			verified_set(fs_of(req)->fresh->verified, h->nodeid, time(NULL));
	}
	if (rc)
		reply_read_err(req, ino, at, n, &e);
	else
		(void)fuse_reply_buf(req, (const char *)data, n);
	must(pthread_mutex_unlock(&h->mutex));
}
