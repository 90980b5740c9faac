/* SPDX-License-Identifier: MIT */
/* Every pack, read once from its first byte to its last: all of its checksums, and its name. */
#include <stdlib.h>
#include <string.h>

#include "store/base/bytes.h"
#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/engine/codec.h"
#include "store/engine/pack.h"
#include "store/format/limits.h"
#include "store/verify_internal.h"

#define PIECE	((size_t)1 << 20)	/* bytes asked of the backend at once */
#define CHUNKS_AT_ONCE 256u

/* A pack going by. */
struct stream {
	struct verify *v;
	char name[PACK_NAME_LEN + 1];
	uint64_t size, off;		/* of the pack; bytes read and hashed so far */
	struct digest *digest;
	struct buf buf;			/* bytes that are still looked at */
	uint64_t buf_off;		/* where in the pack buf begins */
};

struct pack_job {
	struct verify *v;
	struct object_id id;
	uint64_t size;
};

/* What was found out about one. */
struct finding {
	uint64_t blocks, chunks, plain;
	uint64_t bad_blocks, bad_chunks;
	struct err first;		/* the first thing that is wrong */
	bool incomplete;
};

struct worker {
	struct codec *codec;
	uint8_t *plain;			/* BLOCK_PLAIN_MAX */
	struct chunk_desc *chunks;	/* BLOCK_CHUNKS_MAX */
	struct buf good;		/* chunk_key()s */
};

static void found(struct finding *f, const struct err *err)
{
	if (!f->first.code)
		f->first = *err;
}

/*
 * Make the pack's bytes at off to off + len be at *at; goes forward only, all bytes passed are
 * hashed.
 */
static enum err_code stream_need(struct stream *st, uint64_t off, size_t len, const uint8_t **at,
				 struct err *e)
{
	struct buf *b = &st->buf;
	uint64_t end;

	if (off < st->buf_off || add_u64(off, len, &end) || end > st->size)
		return err_set(e, ERR_CORRUPT, "%zu bytes at %llu of a pack of %llu", len,
			       (unsigned long long)off, (unsigned long long)st->size);
	while (st->off < end) {
		size_t want = st->size - st->off < PIECE ? (size_t)(st->size - st->off) : PIECE, n;
		enum err_code rc;
		uint8_t *room;

		/* Drop what lies before off, so that the buffer holds one block and a piece. */
		if (off > st->buf_off && b->len > 0) {
			size_t gone = off - st->buf_off < b->len ? (size_t)(off - st->buf_off)
								 : b->len;

			memmove(b->p, b->p + gone, b->len - gone);
			b->len -= gone;
			st->buf_off += gone;
		}
		room = buf_room(b, want);
		if (!room)
			return err_set(e, ERR_NOMEM, "%zu bytes of a pack", b->len + want);
		rc = st->v->s->backend->ops->get(st->v->s->backend, st->name, st->off, room, want,
						 &n, e);
		if (rc)
			return rc;
		if (n == 0)
			return err_set(e, ERR_INCOMPLETE, "ends at %llu of %llu bytes",
				       (unsigned long long)st->off, (unsigned long long)st->size);
		digest_add(st->digest, room, n);
		b->len += n;
		st->off += n;
		verify_lock(st->v);
		st->v->res.bytes_read += n;
		verify_unlock(st->v);
		verify_progress(st->v);
		if (verify_stopping(st->v))
			return err_set(e, ERR_CANCELED, "stopped on request");
	}
	*at = b->p + (off - st->buf_off);
	return ERR_OK;
}

/* The header frame at off: decoded, compared with the table's row. */
static enum err_code check_header(struct stream *st, struct worker *w, const struct packtable *t,
				  uint32_t i, struct block_header *h, size_t *frame_len,
				  struct err *e)
{
	const struct table_block *b = &t->blocks[i];
	const struct chunk_desc *want = t->chunks + b->first_chunk;
	const uint8_t *at;
	enum err_code rc;

	rc = stream_need(st, b->off, FRAME_HEAD_LEN + BLOCK_HEADER_FIXED, &at, e);
	if (!rc)
		rc = block_header_peek(at, FRAME_HEAD_LEN + BLOCK_HEADER_FIXED, frame_len, e);
	if (!rc)
		rc = stream_need(st, b->off, *frame_len, &at, e);
	if (!rc)
		rc = block_header_decode(at, *frame_len, h, w->chunks, e);
	if (rc)
		return rc;
	if (h->nr_chunks != b->nr_chunks || h->plain_len != b->plain_len ||
	    h->stored_len != b->stored_len)
		return err_set(e, ERR_CORRUPT, "block %u: its header and the table differ", i);
	for (uint32_t c = 0; c < h->nr_chunks; c++)
		if (!id_eq(&w->chunks[c].id, &want[c].id) || w->chunks[c].len != want[c].len)
			return err_set(e, ERR_CORRUPT,
				       "block %u: its header and the table name other chunks", i);
	return ERR_OK;
}

/* A chunk of the block at off, whose bytes have the digest got. */
static enum err_code check_chunk(struct verify *v, struct worker *w, const struct chunk_desc *d,
				 const struct object_id *got, uint64_t off, struct finding *f,
				 struct err *e)
{
	uint64_t key = chunk_key(&d->id, d->len);
	struct err err = ERR_INIT;
	char hex[ID_HEX_LEN + 1];
	enum err_code rc;

	if (id_eq(got, &d->id)) {
		buf_add(&w->good, &key, sizeof(key));
		return ERR_OK;
	}
	(void)err_set(&err, ERR_CORRUPT, "block at %llu: chunk %s has other bytes",
		      (unsigned long long)off, id_hex(&d->id, hex));
	found(f, &err);
	f->bad_chunks++;
	verify_lock(v);
	rc = keyset_add(&v->damaged, id_key(&d->id), NULL, e);
	verify_unlock(v);
	return rc;
}

/* Each chunk of a block that was decompressed. */
static enum err_code check_chunks(struct verify *v, struct worker *w, const struct block_header *h,
				  uint64_t off, struct finding *f, struct err *e)
{
	struct digest_job jobs[CHUNKS_AT_ONCE];
	struct object_id got[CHUNKS_AT_ONCE];
	const uint8_t *p = w->plain;
	enum err_code rc = ERR_OK;

	for (uint32_t c = 0; c < h->nr_chunks && !rc; c += CHUNKS_AT_ONCE) {
		const struct chunk_desc *d = &w->chunks[c];
		uint32_t left = h->nr_chunks - c, nr = left < CHUNKS_AT_ONCE ? left : CHUNKS_AT_ONCE;

		for (uint32_t i = 0; i < nr; i++) {
			jobs[i] = (struct digest_job){ p, d[i].len, &got[i] };
			p += d[i].len;
		}
		digest_sha256_many(jobs, nr);
		for (uint32_t i = 0; i < nr && !rc; i++)
			rc = check_chunk(v, w, &d[i], &got[i], off, f, e);
	}
	f->chunks += h->nr_chunks;
	f->plain += h->plain_len;
	return rc;
}

static enum err_code check_block(struct stream *st, struct worker *w, const struct packtable *t,
				 uint32_t i, struct finding *f, struct err *e)
{
	struct block_header h = { 0 };
	const uint8_t *frame = NULL;
	size_t frame_len = 0;
	enum err_code rc;

	rc = check_header(st, w, t, i, &h, &frame_len, e);
	if (!rc)
		rc = stream_need(st, t->blocks[i].off + frame_len, h.stored_len, &frame, e);
	if (!rc && digest_xxh3(frame, h.stored_len) != h.xxh3)
		rc = err_set(e, ERR_CORRUPT, "checksum mismatch");
	if (!rc)
		rc = codec_decompress(w->codec, frame, h.stored_len, w->plain, h.plain_len, e);
	f->blocks++;
	if (!rc)
		return check_chunks(st->v, w, &h, t->blocks[i].off, f, e);
	err_prefix(e, "block at %u", t->blocks[i].off);
	return rc;
}

/*
 * A block that is damaged: its chunks are looked at one by one all the same, by what the table says
 * of them, because a reader is served those that are whole.
 */
static enum err_code block_lost(struct stream *st, struct worker *w, const struct packtable *t,
				uint32_t i, struct finding *f, struct err *e)
{
	const struct table_block *b = &t->blocks[i];
	const struct block_header h = { .nr_chunks = b->nr_chunks, .plain_len = b->plain_len };
	struct err err = ERR_INIT;
	const uint8_t *frame;

	f->bad_blocks++;
	if (stream_need(st, b->off + block_header_len(b->nr_chunks), b->stored_len, &frame, &err)) {
		if (verify_stops(&err)) {
			*e = err;
			return err.code;
		}
		memset(w->plain, 0, b->plain_len);
	} else {
		codec_salvage(w->codec, frame, b->stored_len, w->plain, b->plain_len);
	}
	memcpy(w->chunks, &t->chunks[b->first_chunk], b->nr_chunks * sizeof(w->chunks[0]));
	return check_chunks(st->v, w, &h, b->off, f, e);
}

/*
 * The table, or what a rescan finds where there is none.  Without a footer the pack is a copy
 * under way, unless something like a table still ends it.
 */
static enum err_code get_table(struct stream *st, const struct object_id *id, struct packtable *t,
			       struct finding *f, struct err *e)
{
	struct backend *b = st->v->s->backend;
	uint8_t end[8] = { 0 };
	enum err_code rc;
	uint64_t next = 0;
	size_t n = 0;

	rc = pack_read_table(b, id, t, e);
	if (!rc || verify_stops(e))
		return rc;
	f->incomplete = rc == ERR_INCOMPLETE;
	found(f, e);
	err_clear(e);
	rc = pack_rescan(b, id, t, e);
	if (rc || t->nr_blocks == 0)
		return rc;
	next = t->blocks[t->nr_blocks - 1].off +
	       block_header_len(t->blocks[t->nr_blocks - 1].nr_chunks) +
	       t->blocks[t->nr_blocks - 1].stored_len;
	if (f->incomplete && next < st->size &&
	    !b->ops->get(b, st->name, next, end, sizeof(end), &n, e) && n == sizeof(end)) {
		struct rd r = rd_init(end, sizeof(end));
		uint32_t magic = rd_le32(&r), len = rd_le32(&r);

		f->incomplete = magic != FRAME_PACK_TABLE ||
				next + FRAME_HEAD_LEN + len != st->size;
	}
	err_clear(e);
	return ERR_OK;
}

static enum err_code check_pack_header(struct stream *st, const struct packtable *t,
				       struct err *e)
{
	struct pack_header h;
	const uint8_t *at;
	enum err_code rc;

	rc = stream_need(st, 0, PACK_HEADER_LEN, &at, e);
	if (!rc)
		rc = pack_header_decode(at, PACK_HEADER_LEN, &h, e);
	if (!rc && t->nr_blocks > 0 && h.kind != t->kind)
		rc = err_set(e, ERR_CORRUPT, "the pack's header and its table name other kinds");
	return rc;
}

/* What remains behind the last block goes by to be hashed; then the name. */
static enum err_code check_name(struct stream *st, const struct object_id *id, struct err *e)
{
	char hex[ID_HEX_LEN + 1];
	struct object_id got;
	const uint8_t *at;
	enum err_code rc = ERR_OK;

	while (!rc && st->off < st->size)
		rc = stream_need(st, st->off, 1, &at, e);
	if (rc)
		return rc;
	digest_finish(st->digest, &got);
	if (!id_eq(&got, id))
		return err_set(e, ERR_CORRUPT, "its bytes have the digest %s", id_hex(&got, hex));
	return ERR_OK;
}

static enum err_code check_pack(struct stream *st, struct worker *w, const struct object_id *id,
				struct finding *f, struct err *e)
{
	struct packtable t = { 0 };
	enum err_code rc;

	rc = get_table(st, id, &t, f, e);
	if (rc && !verify_stops(e)) {	/* not one block */
		found(f, e);
		err_clear(e);
		rc = ERR_OK;
	}
	if (!rc)
		rc = check_pack_header(st, &t, e);
	for (uint32_t i = 0; i <= t.nr_blocks; i++) {
		if (rc) {
			if (verify_stops(e))
				break;
			found(f, e);
			err_clear(e);
			rc = i > 0 ? block_lost(st, w, &t, i - 1, f, e) : ERR_OK;
			if (rc)
				break;
		}
		if (i < t.nr_blocks)
			rc = check_block(st, w, &t, i, f, e);
	}
	packtable_release(&t);
	return rc ? rc : check_name(st, id, e);
}

static enum err_code keep_good(struct verify *v, struct worker *w, struct err *e)
{
	size_t nr = w->good.len / sizeof(uint64_t);
	enum err_code rc = ERR_OK;

	if (w->good.bad)
		return err_set(e, ERR_NOMEM, "a list of chunks");
	verify_lock(v);
	if (v->nr_good + nr > v->cap_good) {
		size_t cap = v->cap_good + v->cap_good / 2 + nr + 4096;
		uint64_t *more = reallocarray(v->good, cap, sizeof(*more));

		if (more) {
			v->good = more;
			v->cap_good = cap;
		} else {
			rc = err_set(e, ERR_NOMEM, "a list of %zu chunks", cap);
		}
	}
	if (!rc && nr > 0) {
		memcpy(v->good + v->nr_good, w->good.p, nr * sizeof(uint64_t));
		v->nr_good += nr;
	}
	verify_unlock(v);
	return rc;
}

static void report(struct verify *v, const char *name, const struct finding *f)
{
	struct verify_result *r = &v->res;

	verify_lock(v);
	r->packs++;
	r->blocks += f->blocks;
	r->chunks += f->chunks;
	r->bytes_checked += f->plain;
	r->damaged_chunks += f->bad_chunks;
	r->incomplete_packs += f->incomplete;
	r->damaged_packs += f->first.code && !f->incomplete;
	verify_unlock(v);
	if (f->incomplete)
		store_event(v->s, EVENT_DAMAGE, name, &f->first,
			    "pack is incomplete (a copy under way, or one cut short)");
	else if (f->first.code)
		store_event(v->s, EVENT_DAMAGE, name, &f->first,
			    "pack is damaged: %llu chunks, %llu of %llu blocks",
			    (unsigned long long)f->bad_chunks, (unsigned long long)f->bad_blocks,
			    (unsigned long long)f->blocks);
}

static enum err_code worker_open(struct worker *w, struct err *e)
{
	w->plain = malloc(BLOCK_PLAIN_MAX);
	w->chunks = calloc(BLOCK_CHUNKS_MAX, sizeof(*w->chunks));
	if (!w->plain || !w->chunks)
		return err_set(e, ERR_NOMEM, "memory for a block");
	return codec_open(3, &w->codec, e);
}

static void worker_release(struct worker *w)
{
	codec_close(w->codec);
	free(w->plain);
	free(w->chunks);
	buf_release(&w->good);
}

static void pack_job(void *arg)
{
	struct pack_job *j = arg;
	struct stream st = { .v = j->v, .size = j->size, .buf = BUF_INIT };
	struct finding f = { .first = ERR_INIT };
	struct worker w = { .good = BUF_INIT };
	struct err err = ERR_INIT;
	enum err_code rc;

	if (verify_stopping(j->v))
		goto out;
	pack_name(&j->id, st.name);
	rc = worker_open(&w, &err);
	if (!rc)
		rc = digest_open(&st.digest, &err);
	if (!rc)
		rc = check_pack(&st, &w, &j->id, &f, &err);
	if (rc && !verify_stops(&err)) {
		found(&f, &err);
		rc = ERR_OK;
	}
	if (!rc)
		rc = keep_good(j->v, &w, &err);
	if (rc)
		verify_stop(j->v, &err);
	else
		report(j->v, st.name, &f);
out:
	digest_close(st.digest);
	buf_release(&st.buf);
	worker_release(&w);
	free(j);
}

/* The list of packs. */

struct listing {
	struct verify *v;
	struct buf jobs;	/* struct pack_job each */
};

static bool add_pack(void *ctx, const char *name, uint64_t size)
{
	struct listing *l = ctx;
	struct pack_job j = { .v = l->v, .size = size };

	if (pack_name_parse(name, &j.id)) {
		buf_add(&l->jobs, &j, sizeof(j));
		l->v->bytes_total += size;
	}
	return !l->jobs.bad;
}

static int key_cmp(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

enum err_code verify_packs(struct verify *v, struct err *e)
{
	struct listing l = { .v = v, .jobs = BUF_INIT };
	enum err_code rc;

	rc = v->s->backend->ops->list(v->s->backend, "packs/", true, add_pack, &l, e);
	if (!rc && l.jobs.bad)
		rc = err_set(e, ERR_NOMEM, "a list of packs");
	for (size_t at = 0; !rc && at < l.jobs.len; at += sizeof(struct pack_job)) {
		struct pack_job *j = malloc(sizeof(*j));

		if (!j) {
			rc = err_set(e, ERR_NOMEM, "a pack to check");
			break;
		}
		memcpy(j, l.jobs.p + at, sizeof(*j));
		pool_submit(v->pool, pack_job, j);
	}
	pool_wait(v->pool);
	buf_release(&l.jobs);
	if (v->nr_good > 0)
		qsort(v->good, v->nr_good, sizeof(*v->good), key_cmp);
	return rc;
}
