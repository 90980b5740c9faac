/* SPDX-License-Identifier: MIT */
/*
 * A file's content goes straight into the batch and is cut there.  It is read up to the size that
 * stat gave: a file that grows as fast as it is read would never end.  What stat says afterwards
 * tells whether it held still; if not it is read again, and the last reading is kept and flagged.
 */
#include "store/backup_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READINGS_MAX   4u	    /* of a file that will not hold still */
#define READ_MIN       (128u << 10) /* bytes of room worth a call */
#define READ_WHOLE     (1u << 20)   /* up to here a file is read in one call */
#define SPARSE_MIN     4096u	    /* smaller files are not asked for holes */
#define SEQUENTIAL_MIN (4u << 20)

enum reading_end { READING_WHOLE, READING_CHANGED, READING_FAILED };

struct reading {
	struct backup *b;
	int fd;
	int sys;       /* errno of READING_FAILED */
	uint64_t size; /* as stat says; streams: unknown, 0 */
	uint64_t cut;  /* bytes that are in steps */
	uint64_t hole_bytes;
	bool is_stream;
	bool whole; /* the whole file's digest is wanted and is not its one chunk's */
};

static enum err_code cut_one(struct reading *r, size_t len, struct err *e)
{
	/* A file that is one chunk has that chunk's digest. */
	if (r->cut == 0 && len == r->size && !r->is_stream)
		r->whole = false;
	r->cut += len;
	return pipeline_cut(r->b->pipe, STEP_CHUNK, len, r->whole, e);
}

enum cut_upto {
	CUT_WINDOW, /* as long as there are max bytes: none is looked at twice */
	CUT_FOUND,  /* what is sure to end before the last byte */
	CUT_END	    /* no more bytes come */
};

static enum err_code cut_all(struct reading *r, enum cut_upto upto, struct err *e)
{
	const struct chunker *c = &r->b->chunker;
	enum err_code rc = ERR_OK;
	const uint8_t *p;
	size_t len, n;

	for (p = pipeline_uncut(r->b->pipe, &len); !rc && len > 0;
	     p = pipeline_uncut(r->b->pipe, &len)) {
		if (upto == CUT_WINDOW && len < c->max)
			break;
		n = chunker_cut(c, p, len);
		if (upto == CUT_FOUND && n == len && len < c->max)
			break;
		rc = cut_one(r, n, e);
		if (!rc)
			rc = backup_canceled(r->b, e);
	}
	return rc;
}

/** Before a batch goes on what can be cut is, so that little has to move to the next one. */
static enum err_code room_for(struct reading *r, size_t min, uint8_t **at, size_t *room,
			      struct err *e)
{
	enum err_code rc = ERR_OK;

	if (pipeline_is_full(r->b->pipe, min))
		rc = cut_all(r, CUT_FOUND, e);
	return rc ? rc : pipeline_room(r->b->pipe, min, at, room, e);
}

/** Bytes from to to, cut on their own. */
static enum err_code read_range(struct reading *r, uint64_t from, uint64_t to,
				enum reading_end *end, struct err *e)
{
	struct pipeline *p = r->b->pipe;
	enum err_code rc = ERR_OK;

	while (from < to && *end == READING_WHOLE && !rc) {
		uint64_t left = to - from;
		size_t min = left <= READ_WHOLE ? (size_t)left : READ_MIN, room;
		uint8_t *at;
		ssize_t n;

		rc = room_for(r, min, &at, &room, e);
		if (rc)
			break;
		n = pread(r->fd, at,
			  rate_piece(&r->b->rate, left < room ? (size_t)left : room),
			  (off_t)from);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			r->sys = errno;
			*end = READING_FAILED;
		} else if (n == 0) {
			*end = READING_CHANGED; /* shorter than it was */
		} else {
			pipeline_filled(p, (size_t)n);
			from += (uint64_t)n;
			rc = cut_all(r, CUT_WINDOW, e);
			r->b->in_file = from;
			backup_progress(r->b);
			rate_wait(&r->b->rate, (uint64_t)n);
			if (!rc)
				rc = backup_canceled(r->b, e);
		}
	}
	return rc ? rc : cut_all(r, CUT_END, e);
}

static enum err_code add_hole(struct reading *r, uint64_t len, struct err *e)
{
	struct step t = {.kind = STEP_HOLE, .hole_len = len};

	r->hole_bytes += len;
	/*
	 * sha256sum reads holes as zeros, and so must the digest that is recorded; but a terabyte
	 * of them would take ten minutes, for a file that is read in none.  Beyond a limit there is
	 * none.
	 */
	if (r->hole_bytes > HOLES_SUMMED_MAX)
		r->whole = false;
	t.whole = r->whole;
	r->cut += len;
	return pipeline_step(r->b->pipe, &t, NULL, e);
}

/** Holes are neither read nor stored.  A file system that knows of none is read from end to end. */
static enum err_code read_sparse(struct reading *r, enum reading_end *end, struct err *e)
{
	enum err_code rc = ERR_OK;
	uint64_t pos = 0;

	while (pos < r->size && *end == READING_WHOLE && !rc) {
		off_t data = lseek(r->fd, (off_t)pos, SEEK_DATA), stop;
		uint64_t from, to;

		if (data < 0 && errno == ENXIO)
			data = (off_t)r->size; /* nothing but a hole is left */
		if (data < 0)
			return read_range(r, pos, r->size, end, e);
		from = (uint64_t)data < r->size ? (uint64_t)data : r->size;
		if (from > pos)
			rc = add_hole(r, from - pos, e);
		if (rc || from == r->size)
			break;
		stop = lseek(r->fd, (off_t)from, SEEK_HOLE);
		to = stop > (off_t)from && (uint64_t)stop < r->size ? (uint64_t)stop : r->size;
		rc = read_range(r, from, to, end, e);
		pos = to;
	}
	return rc;
}

static bool is_sparse(const struct statx *st)
{
	return st->stx_size > SPARSE_MIN && st->stx_blocks < st->stx_size / 512;
}

/** A file so small that it stays in its entry: into small, *n bytes. */
static void read_inline(struct reading *r, uint8_t *small, size_t *n, enum reading_end *end)
{
	while (*n < r->size && *end == READING_WHOLE) {
		ssize_t got = pread(r->fd, small + *n, (size_t)r->size - *n, (off_t)*n);

		if (got > 0) {
			*n += (size_t)got;
			rate_wait(&r->b->rate, (uint64_t)got);
		} else if (got == 0) {
			*end = READING_CHANGED;
		} else if (errno != EINTR) {
			r->sys = errno;
			*end = READING_FAILED;
		}
	}
}

static int open_file(int dirfd, const char *name)
{
	/* O_NONBLOCK: a FIFO may stand there by now. */
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int fd = openat(dirfd, name, flags | O_NOATIME);

	if (fd < 0 && errno == EPERM) /* neither the owner nor root */
		fd = openat(dirfd, name, flags);
	return fd;
}

enum err_code read_emit(struct backup *b, enum step_kind kind, bool whole, const struct entry *ent,
			struct err *e)
{
	struct step t = {.kind = kind, .whole = whole};
	enum err_code rc = ERR_OK;

	if (ent->type == ENTRY_FILE && (ent->flags & ENTRY_HARDLINK))
		rc = links_add(b->links, ent->dev, ent->inode, ent->nlink, &t.link, e);
	if (rc || !b->pipe)
		return rc;
	return pipeline_step(b->pipe, &t, ent, e);
}

/** One file in the course of its readings. */
struct attempt {
	struct reading r;
	struct statx before, after;
	uint64_t from_ns;
	enum reading_end end;
	uint8_t small[INLINE_WRITE_MAX];
	size_t small_len;
};

/** Content only; what is found to have changed afterwards is READING_CHANGED as well. */
static enum err_code read_once(struct backup *b, struct attempt *a, int fd, struct err *e)
{
	enum err_code rc = ERR_OK;

	a->r = (struct reading){.b = b, .fd = fd, .size = a->before.stx_size, .whole = true};
	a->end = READING_WHOLE;
	a->small_len = 0;
	if (a->r.size <= sizeof(a->small)) {
		read_inline(&a->r, a->small, &a->small_len, &a->end);
	} else if (is_sparse(&a->before)) {
		rc = read_sparse(&a->r, &a->end, e);
	} else {
		if (a->r.size >= SEQUENTIAL_MIN)
			(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
		rc = read_range(&a->r, 0, a->r.size, &a->end, e);
	}
	if (rc || a->end == READING_FAILED)
		return rc;
	if (statx(fd, "", AT_EMPTY_PATH, BACKUP_STATX_MASK, &a->after) < 0) {
		a->r.sys = errno;
		a->end = READING_FAILED;
	} else if (!meta_same(&a->before, &a->after)) {
		a->end = READING_CHANGED;
	}
	return ERR_OK;
}

static enum err_code emit_file(struct backup *b, const struct source_file *f, struct attempt *a,
			       struct err *e)
{
	const struct meta_at at = {.fd = a->r.fd};
	struct entry ent;
	enum err_code rc = meta_from_stat(b, &a->after, &ent, e);

	if (!rc)
		rc = meta_xattrs(b, &at, &ent, e);
	if (rc)
		return rc;
	if (f->has_iflags)
		meta_ioctl_flags(a->r.fd, &ent);
	ent.name = f->name;
	ent.name_len = f->name_len;
	if (a->end == READING_CHANGED)
		ent.flags |= ENTRY_UNSTABLE | ENTRY_UNSETTLED;
	else if (meta_is_unsettled(&a->after, a->from_ns))
		ent.flags |= ENTRY_UNSETTLED;
	b->in_file = 0;
	b->res->bytes += a->r.cut + a->small_len;
	if (a->r.cut > 0)
		return read_emit(b, STEP_FILE, a->r.whole, &ent, e);
	ent.size = a->small_len;
	ent.content = a->small_len > 0 ? CONTENT_INLINE : CONTENT_NONE;
	ent.content_p = a->small;
	ent.content_len = a->small_len;
	return read_emit(b, STEP_ENTRY, false, &ent, e);
}

/** Open and read; *gone where there is nothing to read any more, said already. */
static enum err_code attempt_run(struct backup *b, const struct source_file *f, unsigned nr,
				 struct attempt *a, int *fd, bool *gone, struct err *e)
{
	*gone = true;
	*fd = open_file(f->dirfd, f->name);
	if (*fd < 0 && errno == ENOENT) {
		backup_skipped(b, "vanished before it was read");
		return ERR_OK;
	}
	if (*fd < 0) {
		backup_warn(b, errno, "not read");
		return ERR_OK;
	}
	a->before = *f->st;
	if (nr > 0 && statx(*fd, "", AT_EMPTY_PATH, BACKUP_STATX_MASK, &a->before) < 0) {
		backup_warn(b, errno, "not read");
		return ERR_OK;
	}
	if (!S_ISREG(a->before.stx_mode)) {
		backup_warn(b, 0, "not read: no longer a regular file");
		return ERR_OK;
	}
	a->from_ns = meta_now_ns();
	*gone = false;
	return read_once(b, a, *fd, e);
}

enum err_code read_file(struct backup *b, const struct source_file *f, bool *kept, struct err *e)
{
	enum err_code rc = ERR_OK;
	struct attempt a;
	int fd = -1;

	*kept = false;
	b->in_file = 0;
	for (unsigned nr = 0; nr < READINGS_MAX; nr++) {
		bool gone;

		rc = attempt_run(b, f, nr, &a, &fd, &gone, e);
		if (rc || gone)
			break;
		if (a.end == READING_FAILED)
			backup_warn(b, a.r.sys, "not read");
		*kept = a.end != READING_FAILED;
		if (a.end != READING_CHANGED || nr + 1 == READINGS_MAX)
			break;
		*kept = false;
		(void)close(fd);
		fd = -1;
		rc = pipeline_restart(b->pipe, e);
		if (rc)
			break;
	}
	if (!rc && *kept) {
		if (a.end == READING_CHANGED)
			backup_warn(b, 0, "changed while it was read, %u times; kept as last read",
				    READINGS_MAX);
		rc = emit_file(b, f, &a, e);
	} else if (!rc) {
		rc = pipeline_restart(b->pipe, e);
	}
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/* Streams. */

static void stream_meta(struct entry *ent, const char *name)
{
	uint64_t now = meta_now_ns();

	ent->name = name;
	ent->name_len = strlen(name);
	ent->mode = 0600;
	ent->mtime = (struct vtime){(int64_t)(now / 1000000000u), (uint32_t)(now % 1000000000u)};
	ent->ctime = ent->mtime;
}

/** All of it; a source that fails, at the end too, fails the backup: half a dump is none. */
static enum err_code stream_content(struct reading *r, const struct backup_stream *s, struct err *e)
{
	enum err_code rc;
	size_t n = 0;

	do {
		size_t room;
		uint8_t *at;

		rc = room_for(r, READ_MIN, &at, &room, e);
		if (!rc)
			rc = backup_canceled(r->b, e);
		if (!rc)
			rc = s->read(s->ctx, at, rate_piece(&r->b->rate, room), &n, e);
		if (rc)
			return rc;
		pipeline_filled(r->b->pipe, n);
		r->b->res->bytes += n;
		rc = cut_all(r, n == 0 ? CUT_END : CUT_WINDOW, e);
		backup_progress(r->b);
		rate_wait(&r->b->rate, n);
	} while (!rc && n > 0);
	return rc ? rc : s->end(s->ctx, e);
}

enum err_code read_stream(struct backup *b, const struct backup_stream *s, const char *name,
			  struct err *e)
{
	struct reading r = {.b = b, .fd = -1, .whole = true, .is_stream = true};
	struct statx st = {.stx_mode = S_IFREG | 0600, .stx_nlink = 1};
	struct entry ent;
	enum err_code rc;

	st.stx_uid = geteuid();
	st.stx_gid = getegid();
	rc = meta_from_stat(b, &st, &ent, e);
	if (!rc && b->pipe)
		rc = stream_content(&r, s, e);
	if (rc) {
		err_prefix(e, "stream %s", s->name);
		return rc;
	}
	stream_meta(&ent, name);
	b->res->files++;
	b->res->changed_files++;
	b->res->new_files++;		/* a stream is not looked for in the snapshot before */
	return read_emit(b, r.cut > 0 ? STEP_FILE : STEP_ENTRY, r.whole, &ent, e);
}
