/* SPDX-License-Identifier: MIT */
/*
 * One regular file: written beside under a temporary name, given its attributes, renamed.  A
 * large one is written by several jobs, each a part of it; the last to end finishes the file.
 */
#include "store/restore_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/must.h"

/*
 * Large enough that a part's first lookup does not count, small enough to keep all processors
 * busy.
 */
#define PART_LEN	((uint64_t)16 << 20)

/* A file being written. */
struct out {
	struct ritem *it;
	struct blob *blob;		/* NULL: inline or empty */
	int dirfd, fd;
	char tmp[RESTORE_TMP_LEN + 1];	/* "" where there is none */
	bool from_store;		/* what err is about */
	struct err err;
	/* Of files in parts: */
	pthread_mutex_t mutex;
	unsigned parts;			/* mutex: not ended, and the submitter's own */
};

/* A run of bytes of it. */
struct part {
	struct out *o;
	uint64_t next, end;
	uint64_t data_end;		/* behind the last byte written */
	bool canceled, from_store;
	struct err err;
};

static enum err_code write_at(int fd, const uint8_t *p, uint64_t len, uint64_t off, struct err *e)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "write %llu bytes at %llu", (unsigned long long)len,
				       (unsigned long long)off);
		p += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return ERR_OK;
}

static enum err_code write_piece(void *ctx, uint64_t off, const uint8_t *data, uint64_t len,
				 struct err *e)
{
	struct part *p = ctx;
	enum err_code rc = ERR_OK;

	if (restore_stopping(p->o->it->r)) {
		p->canceled = true;
		return ERR_CANCELED;
	}
	if (off >= p->end)
		return ERR_CANCELED;
	if (off != p->next)
		return err_set(e, ERR_CORRUPT, "content jumps from %llu to %llu",
			       (unsigned long long)p->next, (unsigned long long)off);
	if (len > p->end - off)
		len = p->end - off;
	if (data) {
		rc = write_at(p->o->fd, data, len, off, e);
		p->from_store = rc == ERR_OK;
		p->data_end = off + len;
	}
	p->next = off + len;
	if (!rc)
		restore_moved(p->o->it, len, data != NULL);
	return rc;
}

/* Write p's bytes; what failed is in p->err. */
static void part_write(struct part *p)
{
	enum err_code rc = blob_each(p->o->blob, p->next, write_piece, p, &p->err);

	if (rc == ERR_CANCELED || rc == ERR_OK) {
		err_clear(&p->err);
		if (p->canceled)
			(void)err_set(&p->err, ERR_CANCELED, "stopped on request");
		else if (p->next != p->end)
			(void)err_set(&p->err, ERR_CORRUPT, "content ends at %llu of %llu bytes",
				      (unsigned long long)p->next, (unsigned long long)p->end);
	}
}

static void write_small(struct out *o)
{
	const struct entry *e = &o->it->e;
	struct part p = { .o = o, .end = e->size, .from_store = true, .err = ERR_INIT };

	if (e->content == CONTENT_INLINE) {
		o->from_store = e->content_len != e->size;
		if (o->from_store)
			(void)err_set(&o->err, ERR_CORRUPT, "%zu bytes where %llu should be",
				      e->content_len, (unsigned long long)e->size);
		else
			(void)write_at(o->fd, e->content_p, e->size, 0, &o->err);
		return;
	}
	if (!o->blob)
		return;
	part_write(&p);
	o->from_store = p.from_store;
	o->err = p.err;
	/* A hole at the end was not written. */
	if (!o->err.code && p.data_end < e->size && ftruncate(o->fd, (off_t)e->size) < 0) {
		(void)err_sys(&o->err, "make it %llu bytes long", (unsigned long long)e->size);
		o->from_store = false;
	}
}

static void out_open(struct out *o)
{
	struct ritem *it = o->it;
	/* Nobody else gets into a folder of ours before it is done: there the mode is right at once. */
	mode_t mode = 0600 | (it->dir->fresh && it->dir->planned ? it->e.mode & 0777 : 0);
	enum err_code rc = ERR_OK;

	o->dirfd = rdir_fd(it->r, it->dir);
	if (o->dirfd < 0) {
		(void)err_sys(&o->err, "open the folder it is in");
		return;
	}
	if (it->e.content == CONTENT_LIST || it->e.content == CONTENT_NODE) {
		rc = blob_open(it->r->s, &it->e, &o->blob, &o->err);
		o->from_store = rc != ERR_OK;
	} else if (it->e.content == CONTENT_NONE && it->e.size > 0) {
		rc = err_set(&o->err, ERR_CORRUPT, "a size of %llu bytes without content",
			     (unsigned long long)it->e.size);
		o->from_store = true;
	}
	for (int tries = 0; !rc && tries < 100; tries++) {
		restore_tmp_name(it->r, o->tmp);
		o->fd = restore_openat(it->r, o->dirfd, o->tmp, O_RDWR | O_CREAT | O_EXCL, mode);
		if (o->fd >= 0 || errno != EEXIST)
			break;
	}
	if (!rc && o->fd < 0)
		(void)err_sys(&o->err, "create a file beside it");
	if (o->fd < 0)
		o->tmp[0] = '\0';
}

/* Attributes, rename, and the end of o's resources; true where the file is there. */
static bool out_close(struct out *o)
{
	struct ritem *it = o->it;
	struct meta_at at = { .fd = o->fd, .may_inherit = !it->dir->planned };
	bool meta_ok = true;

	/* What fails from here on is no damage of the repository. */
	if (!o->err.code)
		o->from_store = false;
	if (!o->err.code)
		meta_ok = restore_meta(it->r, it->dir, it->name, &it->e, &at);
	/* close tells of late write errors on network media. */
	if (o->fd >= 0 && close(o->fd) < 0 && !o->err.code)
		(void)err_sys(&o->err, "close");
	if (!o->err.code && !restore_stopping(it->r)) {
		if (renameat(o->dirfd, o->tmp, o->dirfd, it->name) == 0)
			o->tmp[0] = '\0';
		else if (errno == EISDIR || errno == ENOTEMPTY)
			(void)err_set(
			    &o->err, ERR_EXISTS,
			    "a folder of this name is in the way of a file; move it away");
		else
			(void)err_sys(&o->err, "rename it into place");
	}
	if (o->tmp[0])
		(void)unlinkat(o->dirfd, o->tmp, 0);	/* else swept by the next restore */
	if (o->dirfd >= 0)
		rdir_fd_put(it->r, it->dir);
	blob_close(o->blob);
	if (o->err.code)
		restore_failed(it->r, it->dir, it->name, &o->err, o->from_store);
	else if (o->tmp[0])
		return false;	/* stopped */
	else if (meta_ok)
		restore_count_item(it, false);
	return !o->err.code;
}

/*
 * Whether the name is a file that holds the bytes already (an earlier restore that was stopped):
 * its attributes are set right.  A second link to it that nobody recorded may belong to somebody
 * else: then it is written anew.
 */
static bool found_whole(struct ritem *it)
{
	struct restore *r = it->r;
	bool same = false, from_store = false, linked = it->e.flags & ENTRY_HARDLINK;
	struct err err = ERR_INIT;
	struct stat st;
	int dirfd, fd = -1;

	if (it->dir->fresh)
		return false;
	dirfd = rdir_fd(r, it->dir);
	if (dirfd < 0)
		return false;
	if (fstatat(dirfd, it->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		goto out;
	if (S_ISLNK(st.st_mode))
		restore_event(r, EVENT_NOTE, it->dir, it->name, "replaced a symbolic link");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != it->e.size ||
	    st.st_mtim.tv_sec != it->e.mtime.sec || st.st_mtim.tv_nsec != (long)it->e.mtime.nsec ||
	    (st.st_nlink > 1 && !linked))
		goto out;
	fd = restore_openat(r, dirfd, it->name, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_nlink > 1 && !linked))
		goto out;
	if (restore_same(it, fd, true, &same, &from_store, &err))
		same = false;	/* writing it anew will tell */
	if (same) {
		struct meta_at at = { .fd = fd, .existing = true };

		if (restore_meta(r, it->dir, it->name, &it->e, &at))
			restore_count_item(it, true);
	}
out:
	if (!same)
		restore_moved_end(it);
	if (fd >= 0)
		(void)close(fd);	/* opened to read */
	rdir_fd_put(r, it->dir);
	return same;
}

bool restore_regular(struct ritem *it)
{
	struct out o = { .it = it, .dirfd = -1, .fd = -1, .err = ERR_INIT };

	if (found_whole(it))
		return true;
	out_open(&o);
	if (!o.err.code)
		write_small(&o);
	return out_close(&o);
}

/* In parts. */

static void part_ended(struct out *o, const struct part *p)
{
	bool last;

	must(pthread_mutex_lock(&o->mutex));
	if (p && p->err.code && !o->err.code) {
		o->err = p->err;
		o->from_store = p->from_store;
	}
	assert(o->parts > 0);
	last = --o->parts == 0;
	must(pthread_mutex_unlock(&o->mutex));
	if (!last)
		return;
	(void)out_close(o);
	must(pthread_mutex_destroy(&o->mutex));
	restore_item_done(o->it);
	free(o);
}

static void part_job(void *arg)
{
	struct part *p = arg;
	bool failed;

	must(pthread_mutex_lock(&p->o->mutex));
	failed = p->o->err.code != ERR_OK;
	must(pthread_mutex_unlock(&p->o->mutex));
	if (!failed)	/* else its bytes would be thrown away */
		part_write(p);
	part_ended(p->o, p);
	free(p);
}

static bool part_submit(struct out *o, uint64_t off, uint64_t end)
{
	struct part *p = malloc(sizeof(*p));

	if (!p)
		return false;
	*p = (struct part){ .o = o, .next = off, .end = end, .from_store = true, .err = ERR_INIT };
	must(pthread_mutex_lock(&o->mutex));
	o->parts++;
	must(pthread_mutex_unlock(&o->mutex));
	pool_submit(o->it->r->pool, part_job, p);
	return true;
}

/* From data to data: a hole of any length is no work. */
static void parts_submit(struct out *o)
{
	uint64_t size = o->it->e.size, off = 0;
	struct part failed = { .o = o, .err = ERR_INIT };

	if (ftruncate(o->fd, (off_t)size) < 0) {
		(void)err_sys(&failed.err, "make it %llu bytes long", (unsigned long long)size);
		goto out;
	}
	while (off < size && !restore_stopping(o->it->r)) {
		enum err_code rc = blob_seek(o->blob, off, false, &off, &failed.err);

		if (rc == ERR_NOT_FOUND) {
			err_clear(&failed.err);
			break;
		}
		if (rc) {
			failed.from_store = true;
			break;
		}
		if (!part_submit(o, off, size - off > PART_LEN ? off + PART_LEN : size)) {
			(void)err_set(&failed.err, ERR_NOMEM, "a part of a file");
			break;
		}
		off = size - off > PART_LEN ? off + PART_LEN : size;
	}
out:
	part_ended(o, &failed);
}

bool restore_file_parts(struct restore *r, struct ritem *it)
{
	struct out *o;

	if (it->e.size - it->e.hole_bytes < 2 * PART_LEN || it->e.content != CONTENT_NODE ||
	    pool_nr_threads(r->pool) == 1)
		return false;
	o = calloc(1, sizeof(*o));
	if (!o)
		return false;
	/*
	 * The walker looks whether it is there already: with several large files it waits, which
	 * bounds the open ones.
	 */
	if (found_whole(it)) {
		free(o);
		restore_item_done(it);
		return true;
	}
	o->it = it;
	o->dirfd = o->fd = -1;
	o->parts = 1;
	must(pthread_mutex_init(&o->mutex, NULL));
	out_open(o);
	if (o->err.code)
		part_ended(o, NULL);
	else
		parts_submit(o);
	return true;
}
