/* SPDX-License-Identifier: MIT */
/*
 * Whether a file on disk holds what is recorded: by its SHA-256, or against the content, piece by
 * piece.
 */
#include "store/restore_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/digest.h"
#include "store/base/io.h"

#define READ_LEN	((size_t)1 << 20)	/* bytes a read */

struct compare {
	struct ritem *it;
	int fd;
	uint8_t *buf;		/* READ_LEN bytes */
	uint64_t next;
	bool differs, canceled, from_store;
};

static enum err_code same_run(struct compare *c, uint64_t off, const uint8_t *data, uint64_t len,
			      struct err *e)
{
	while (len > 0) {
		size_t want = len < READ_LEN ? (size_t)len : READ_LEN, n;
		enum err_code rc = io_pread_all(&io_system, c->fd, c->buf, want, off, &n, e);

		if (rc) {
			c->from_store = false;
			return rc;
		}
		if (n == want && data)
			c->differs = memcmp(c->buf, data, n) != 0;
		else	/* of zeros, the first is and each is like the one before */
			c->differs = n != want || c->buf[0] != 0 ||
				     memcmp(c->buf, c->buf + 1, n - 1) != 0;
		if (c->differs)
			return ERR_CANCELED;
		if (restore_stopping(c->it->r)) {
			c->canceled = true;
			return ERR_CANCELED;
		}
		restore_moved(c->it, n, true);
		data = data ? data + n : NULL;
		off += n;
		len -= n;
	}
	return ERR_OK;
}

/* A hole: whatever data the disk has there must be zeros. A hole of any length is no work. */
static enum err_code same_hole(struct compare *c, uint64_t off, uint64_t len, struct err *e)
{
	uint64_t end = off + len;

	while (off < end) {
		off_t data = lseek(c->fd, (off_t)off, SEEK_DATA), hole;
		enum err_code rc;

		if (data < 0 && errno == ENXIO)
			return ERR_OK;	/* no more data */
		if (data < 0)
			return same_run(c, off, NULL, end - off, e);
		if ((uint64_t)data >= end)
			return ERR_OK;
		hole = lseek(c->fd, data, SEEK_HOLE);
		if (hole < 0 || (uint64_t)hole > end)
			hole = (off_t)end;
		rc = same_run(c, (uint64_t)data, NULL, (uint64_t)(hole - data), e);
		if (rc)
			return rc;
		off = (uint64_t)hole;
	}
	return ERR_OK;
}

static enum err_code same_piece(void *ctx, uint64_t off, const uint8_t *data, uint64_t len,
				struct err *e)
{
	struct compare *c = ctx;
	uint64_t size = c->it->e.size;

	if (off != c->next || off > size || len > size - off)
		return err_set(e, ERR_CORRUPT, "content jumps from %llu to %llu",
			       (unsigned long long)c->next, (unsigned long long)off);
	c->next = off + len;
	return data ? same_run(c, off, data, len, e) : same_hole(c, off, len, e);
}

static enum err_code by_pieces(struct compare *c, struct err *e)
{
	struct blob *b = NULL;
	enum err_code rc;

	rc = blob_open(c->it->r->s, &c->it->e, &b, e);
	if (!rc)
		rc = blob_each(b, 0, same_piece, c, e);
	if (rc == ERR_CANCELED)		/* our own stop */
		rc = ERR_OK;
	if (!rc && !c->differs && !c->canceled && c->next != c->it->e.size)
		rc = err_set(e, ERR_CORRUPT, "content ends at %llu", (unsigned long long)c->next);
	blob_close(b);
	return rc;
}

static enum err_code by_digest(struct compare *c, struct err *e)
{
	struct object_id want, got;
	struct digest *d = NULL;
	enum err_code rc;
	uint64_t off = 0;
	size_t n = 0;

	rc = digest_open(&d, e);
	while (!rc) {
		rc = io_pread_all(&io_system, c->fd, c->buf, READ_LEN, off, &n, e);
		if (rc)
			break;
		digest_add(d, c->buf, n);
		off += n;
		restore_moved(c->it, n, true);
		c->canceled = restore_stopping(c->it->r);
		if (n < READ_LEN || c->canceled)
			break;
	}
	if (!rc) {
		digest_finish(d, &got);
		entry_sha256(&c->it->e, &want);
		c->differs = off != c->it->e.size || !id_eq(&got, &want);
	}
	c->from_store = false;
	digest_close(d);
	return rc;
}

enum err_code restore_same(struct ritem *it, int fd, bool cached, bool *same, bool *from_store,
			   struct err *e)
{
	struct compare c = { .it = it, .fd = fd, .from_store = true };
	enum err_code rc;
	struct stat st;

	*from_store = false;
	if (fstat(fd, &st) < 0)
		return err_sys(e, "look at it");
	if ((uint64_t)st.st_size != it->e.size) {
		*same = false;
		return ERR_OK;
	}
	c.buf = malloc(READ_LEN);
	if (!c.buf)
		return err_set(e, ERR_NOMEM, "%zu bytes to read with", READ_LEN);
	if (!cached)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);	/* else the cache answers */
	/* Much of holes: hashing their zeros could take days. */
	if (!(it->e.flags & ENTRY_HAS_SHA256 || it->e.content == CONTENT_NONE ||
	      it->e.content == CONTENT_INLINE) ||
	    it->e.hole_bytes > it->e.size / 2)
		rc = by_pieces(&c, e);
	else
		rc = by_digest(&c, e);
	*from_store = rc && c.from_store;
	if (!rc && c.canceled)
		rc = err_set(e, ERR_CANCELED, "stopped on request");
	if (!rc)
		*same = !c.differs;
	free(c.buf);
	return rc;
}

void restore_read_back(struct ritem *it)
{
	struct restore *r = it->r;
	struct err err = ERR_INIT;
	bool same = false, from_store = false;
	int dirfd = rdir_fd(r, it->dir), fd = -1;

	if (dirfd < 0) {
		(void)err_sys(&err, "open the folder it is in");
	} else {
		fd = restore_openat(r, dirfd, it->name, O_RDONLY | O_NONBLOCK, 0);
		if (fd < 0 && errno == EACCES) {
			restore_note(r, NOTE_NOT_READ_BACK);
			goto out;
		}
		if (fd < 0)
			(void)err_sys(&err, "open it to read it back");
		else if (!restore_same(it, fd, false, &same, &from_store, &err) && !same)
			(void)err_set(&err, ERR_CORRUPT,
				      "the bytes read back are not those that were written");
	}
	if (err.code)
		restore_failed(r, it->dir, it->name, &err, from_store);
	else
		restore_count_item(it, false);
out:
	if (fd >= 0)
		(void)close(fd);	/* opened to read */
	if (dirfd >= 0)
		rdir_fd_put(r, it->dir);
}
