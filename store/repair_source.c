/* SPDX-License-Identifier: MIT */
/*
 * Live files that may still hold what is lost: cut as a backup would cut them, every chunk hashed.  Where a file has
 * been changed since, what was not changed is found all the same.
 */
#include "store/repair_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/digest.h"
#include "store/engine/chunker.h"

#define WINDOW_TIMES 4u		/* chunks of the greatest length in memory */

struct cutting {
	struct repair *r;
	source_fn *fn;
	void *ctx;
	struct chunker chunker;
	uint8_t *buf;
	size_t cap, have;
	uint64_t nr_files;
};

static enum err_code try_chunk(struct cutting *c, const uint8_t *p, size_t len, struct err *e)
{
	struct object_id id;
	const struct lost *l;
	size_t at, nr;

	digest_sha256(p, len, &id);
	at = repair_lost_at(c->r, &id);
	l = lost_chunks(c->r, &nr);
	return at == SIZE_MAX || l[at].node ? ERR_OK : c->fn(c->ctx, at, p, (uint32_t)len, e);
}

/* What is in memory, as far as the cuts are certain. */
static enum err_code cut(struct cutting *c, bool end, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t at = 0;

	while (!rc && at < c->have && (end || c->have - at >= c->chunker.max)) {
		size_t len = chunker_cut(&c->chunker, c->buf + at, c->have - at);

		rc = try_chunk(c, c->buf + at, len, e);
		at += len;
	}
	memmove(c->buf, c->buf + at, c->have - at);
	c->have -= at;
	return rc;
}

/* A file that cannot be read any further is cut no further. */
static enum err_code cut_range(struct cutting *c, int fd, uint64_t from, uint64_t to, struct err *e)
{
	enum err_code rc = ERR_OK;

	c->have = 0;
	while (!rc && from < to) {
		size_t want = c->cap - c->have;
		ssize_t n;

		if (want > to - from)
			want = (size_t)(to - from);
		n = pread(fd, c->buf + c->have, want, (off_t)from);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		c->have += (size_t)n;
		from += (uint64_t)n;
		rc = cut(c, false, e);
		if (!rc)
			rc = repair_canceled(c->r, e);
	}
	return rc ? rc : cut(c, true, e);
}

/* A backup passes over holes, and begins a chunk behind each. */
static enum err_code cut_file(struct cutting *c, int fd, const struct stat *st, struct err *e)
{
	uint64_t size = (uint64_t)st->st_size, pos = 0;
	enum err_code rc = ERR_OK;

	if ((uint64_t)st->st_blocks >= size / 512)
		return cut_range(c, fd, 0, size, e);
	while (!rc && pos < size) {
		off_t data = lseek(fd, (off_t)pos, SEEK_DATA), hole;

		if (data < 0)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole <= data)
			hole = st->st_size;
		rc = cut_range(c, fd, (uint64_t)data, (uint64_t)hole, e);
		pos = (uint64_t)hole;
	}
	return rc;
}

static enum err_code on_file(struct cutting *c, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	enum err_code rc = ERR_OK;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		struct err why = ERR_INIT;

		(void)err_sys(&why, "read it");
		store_event(c->r->s, EVENT_WARNING, path, &why, "is passed over");
	} else if (S_ISREG(st.st_mode) && st.st_size > 0) {
		repair_progress(c->r, "repair: source files", ++c->nr_files, 0);
		rc = cut_file(c, fd, &st, e);
	}
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static enum err_code walk(struct cutting *c, const char *path, struct err *e)
{
	char *const roots[] = { (char *)(uintptr_t)path, NULL };
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, NULL);
	enum err_code rc = ERR_OK;
	FTSENT *f;

	if (!fts)
		return err_sys(e, "%s", path);
	while (!rc && (errno = 0, f = fts_read(fts))) {
		if (f->fts_level == FTS_ROOTLEVEL && (f->fts_info == FTS_NS || f->fts_info == FTS_DNR)) {
			errno = f->fts_errno;
			rc = err_sys(e, "%s", path);
		} else if (f->fts_info == FTS_D && strcmp(f->fts_path, c->r->s->path) == 0) {
			(void)fts_set(fts, f, FTS_SKIP);
		} else if (f->fts_info == FTS_F) {
			rc = on_file(c, f->fts_path, e);
		}
		if (!rc)
			rc = repair_canceled(c->r, e);
	}
	(void)fts_close(fts);
	return rc;
}

enum err_code repair_sources(struct repair *r, source_fn *fn, void *ctx, struct err *e)
{
	const struct store_params *p = &r->s->super.params;
	struct cutting c = { .r = r, .fn = fn, .ctx = ctx };
	enum err_code rc = ERR_OK;

	if (r->o->nr_sources == 0)
		return ERR_OK;
	chunker_init(&c.chunker, p->chunk_min, p->chunk_avg, p->chunk_max, NULL);
	c.cap = WINDOW_TIMES * (size_t)p->chunk_max;
	c.buf = malloc(c.cap);
	if (!c.buf)
		return err_set(e, ERR_NOMEM, "memory for files");
	for (size_t i = 0; i < r->o->nr_sources && !rc; i++)
		rc = walk(&c, r->o->sources[i], e);
	free(c.buf);
	return rc;
}
