/* SPDX-License-Identifier: MIT */
/* One pack, from its first byte to its last: all of its checksums, and its name. */
#include <stdlib.h>
#include <string.h>

#include "store/base/bytes.h"
#include "store/damage_internal.h"
#include "store/verify_packs_internal.h"

#define BATCH_CHUNKS (4 * (size_t)BLOCK_CHUNKS_MAX)

/* The next bytes of a pack, and the blocks in them. */
struct extent {
	uint64_t off;
	size_t len, plain_len;
	uint32_t first, nr; /* blocks */
	size_t nr_chunks;
};

void passing_found(struct passing *p, const struct err *err)
{
	if (!p->f.first.code)
		p->f.first = *err;
}

/* A batch. */

enum err_code batch_init(struct batch *b, struct err *e)
{
	*b = (struct batch){ .good = BUF_INIT };
	b->stored = malloc(BATCH_BYTES + EXTENT_MAX);
	b->plain = malloc(BATCH_BYTES + BLOCK_PLAIN_MAX);
	b->jobs = calloc(PACKS_AT_ONCE + BATCH_CHUNKS, sizeof(*b->jobs));
	b->got = calloc(BATCH_CHUNKS, sizeof(*b->got));
	b->chunks = calloc(BATCH_CHUNKS, sizeof(*b->chunks));
	b->header = calloc(BLOCK_CHUNKS_MAX, sizeof(*b->header));
	if (!b->stored || !b->plain || !b->jobs || !b->got || !b->chunks || !b->header)
		return err_set(e, ERR_NOMEM, "memory for blocks");
	return codec_open(3, &b->codec, e);
}

void batch_release(struct batch *b)
{
	codec_close(b->codec);
	free(b->stored);
	free(b->plain);
	free(b->jobs);
	free(b->got);
	free(b->chunks);
	free(b->header);
	buf_release(&b->good);
}

static enum err_code tell_chunk(struct batch *b, struct verify *v, size_t i, struct err *e)
{
	const struct batch_chunk *c = &b->chunks[i];
	uint64_t key = chunk_key(&c->d->id, c->d->len);
	struct err err = ERR_INIT;
	char hex[ID_HEX_LEN + 1];
	enum err_code rc;

	c->p->f.chunks++;
	c->p->f.plain += c->d->len;
	if (id_eq(&b->got[i], &c->d->id)) {
		buf_add(&b->good, &key, sizeof(key));
		return ERR_OK;
	}
	(void)err_set(&err, ERR_CORRUPT, "block at %u: chunk %s has other bytes", c->block_off,
		      id_hex(&c->d->id, hex));
	passing_found(c->p, &err);
	c->p->f.bad_chunks++;
	damage_note(v->s, &(struct damage){ .chunk = c->d->id, .pack = c->p->id, .off = c->block_off });
	verify_lock(v);
	rc = keyset_add(&v->damaged, id_key(&c->d->id), NULL, e);
	verify_unlock(v);
	return rc;
}

enum err_code batch_hash(struct batch *b, struct verify *v, struct err *e)
{
	struct digest_job *jobs = b->jobs + PACKS_AT_ONCE - b->nr_streams;
	enum err_code rc = ERR_OK;

	memcpy(jobs, b->streams, b->nr_streams * sizeof(*jobs));
	digest_sha256_many(jobs, b->nr_streams + b->nr_chunks);
	for (size_t i = 0; i < b->nr_chunks && !rc; i++)
		rc = tell_chunk(b, v, i, e);
	b->nr_streams = b->nr_chunks = b->stored_len = b->plain_len = 0;
	return rc;
}

/* The chunks of a block that is at the end of b->plain, by what the table says of them. */
static void add_chunks(struct passing *p, struct batch *b, const struct table_block *tb)
{
	const uint8_t *plain = b->plain + b->plain_len;

	for (uint32_t i = 0; i < tb->nr_chunks; i++) {
		const struct chunk_desc *d = &p->t.chunks[tb->first_chunk + i];
		size_t c = b->nr_chunks++;

		b->chunks[c] = (struct batch_chunk){ .p = p, .d = d, .block_off = tb->off };
		b->jobs[PACKS_AT_ONCE + c] =
			(struct digest_job){ .buf = plain, .len = d->len, .out = &b->got[c] };
		plain += d->len;
	}
	b->plain_len += tb->plain_len;
}

/* Blocks. */

static size_t block_len(const struct table_block *tb)
{
	return block_header_len(tb->nr_chunks) + tb->stored_len;
}

/* The header frame: decoded, compared with the table's row. */
static enum err_code check_header(struct passing *p, struct batch *b, uint32_t i,
				  const uint8_t *at, struct block_header *h, struct err *e)
{
	const struct table_block *tb = &p->t.blocks[i];
	const struct chunk_desc *want = p->t.chunks + tb->first_chunk;
	size_t frame_len = 0;
	enum err_code rc;

	rc = block_header_peek(at, FRAME_HEAD_LEN + BLOCK_HEADER_FIXED, &frame_len, e);
	if (!rc && frame_len != block_header_len(tb->nr_chunks))
		rc = err_set(e, ERR_CORRUPT, "its header and the table differ");
	if (!rc)
		rc = block_header_decode(at, frame_len, h, b->header, e);
	if (rc)
		return rc;
	if (h->nr_chunks != tb->nr_chunks || h->plain_len != tb->plain_len ||
	    h->stored_len != tb->stored_len)
		return err_set(e, ERR_CORRUPT, "its header and the table differ");
	for (uint32_t c = 0; c < h->nr_chunks; c++)
		if (!id_eq(&b->header[c].id, &want[c].id) || b->header[c].len != want[c].len)
			return err_set(e, ERR_CORRUPT, "its header and the table name other chunks");
	return ERR_OK;
}

/* Its stored bytes are as they were written, or not: what it holds is believed, or left to the readers of nodes. */
static void quick_block(struct passing *p, struct batch *b, uint32_t i, enum err_code rc,
			struct err *err)
{
	const struct table_block *tb = &p->t.blocks[i];

	if (rc) {
		if (err->code) {
			err_prefix(err, "block %u at %u", i, tb->off);
			passing_found(p, err);
		}
		p->f.bad_blocks++;
		damage_note(p->v->s, &(struct damage){ .pack = p->id, .off = tb->off });
		return;
	}
	p->f.chunks += tb->nr_chunks;
	for (uint32_t c = 0; c < tb->nr_chunks; c++) {
		const struct chunk_desc *d = &p->t.chunks[tb->first_chunk + c];
		uint64_t key = chunk_key(&d->id, d->len);

		buf_add(&b->good, &key, sizeof(key));
	}
}

/*
 * Block i, whose bytes are at at, or NULL where they could not be read.  The chunks of one that is
 * damaged are looked at one by one all the same, by what the table says of them, because a reader
 * is served those that are whole.
 */
static void check_block(struct passing *p, struct batch *b, uint32_t i, const uint8_t *at)
{
	const struct table_block *tb = &p->t.blocks[i];
	const uint8_t *frame = at ? at + block_header_len(tb->nr_chunks) : NULL;
	uint8_t *plain = b->plain + b->plain_len;
	struct block_header h = { 0 };
	struct err err = ERR_INIT;
	enum err_code rc = ERR_OK;

	p->f.blocks++;
	if (at)
		rc = check_header(p, b, i, at, &h, &err);
	if (at && !rc && digest_xxh3(frame, h.stored_len) != h.xxh3)
		rc = err_set(&err, ERR_CORRUPT, "checksum mismatch");
	if (p->v->o->quick) {
		quick_block(p, b, i, at ? rc : ERR_IO, &err);
		return;
	}
	if (at && !rc)
		rc = codec_decompress(b->codec, frame, h.stored_len, plain, h.plain_len, &err);
	if (rc) {
		err_prefix(&err, "block %u at %u", i, tb->off);
		passing_found(p, &err);
		codec_salvage(b->codec, frame, tb->stored_len, plain, tb->plain_len);
	}
	if (!at)
		memset(plain, 0, tb->plain_len);
	p->f.bad_blocks += rc || !at;
	if (rc || !at)
		damage_note(p->v->s, &(struct damage){ .pack = p->id, .off = tb->off });
	add_chunks(p, b, tb);
}

/* Extents. */

/*
 * As many blocks as share and EXTENT_LEN allow, one at least; where there is none near, what lies
 * before it, or behind the last.
 */
static void next_extent(const struct passing *p, size_t share, struct extent *x)
{
	uint64_t end = p->size, left;

	*x = (struct extent){ .off = p->off, .first = p->next };
	if (p->next < p->t.nr_blocks)
		end = p->t.blocks[p->next].off;
	left = end > p->off ? end - p->off : 0;
	if (p->next == p->t.nr_blocks || left > EXTENT_LEN) {
		x->len = left < EXTENT_LEN ? (size_t)left : EXTENT_LEN;
		return;
	}
	for (uint32_t i = p->next; i < p->t.nr_blocks; i++) {
		const struct table_block *tb = &p->t.blocks[i];

		end = tb->off + (uint64_t)block_len(tb);
		if (i > p->next && (end - p->off > EXTENT_LEN || x->plain_len + tb->plain_len > share ||
				    x->nr_chunks + tb->nr_chunks > BLOCK_CHUNKS_MAX))
			break;
		if (end > p->off + x->len)
			x->len = (size_t)(end - p->off);
		x->plain_len += tb->plain_len;
		x->nr_chunks += tb->nr_chunks;
		x->nr++;
	}
}

static enum err_code get(struct passing *p, uint64_t off, uint8_t *to, size_t len, struct err *e)
{
	struct backend *b = p->v->s->backend;
	size_t n = 0;
	enum err_code rc;

	if (off > p->size || len > p->size - off)
		return err_set(e, ERR_CORRUPT, "%zu bytes at %llu of a pack of %llu", len,
			       (unsigned long long)off, (unsigned long long)p->size);
	rc = b->ops->get(b, p->name, off, to, len, &n, e);
	if (!rc && n < len)
		rc = err_set(e, ERR_INCOMPLETE, "ends at %llu of %llu bytes",
			     (unsigned long long)off + n, (unsigned long long)p->size);
	verify_lock(p->v);
	p->v->res.bytes_read += n;
	verify_unlock(p->v);
	verify_progress(p->v, p->name);
	rate_wait(&p->v->rate, n);
	if (verify_stopping(p->v))
		rc = err_set(e, ERR_CANCELED, "stopped on request");
	return rc;
}

static void check_pack_header(struct passing *p, const uint8_t *at, size_t len)
{
	struct err err = ERR_INIT;
	struct pack_header h;

	if (len < PACK_HEADER_LEN)
		(void)err_set(&err, ERR_CORRUPT, "a pack of %llu bytes",
			      (unsigned long long)p->size);
	else if (!pack_header_decode(at, PACK_HEADER_LEN, &h, &err) && p->t.nr_blocks > 0 &&
		 h.kind != p->t.kind)
		(void)err_set(&err, ERR_CORRUPT, "the pack's header and its table name other kinds");
	if (err.code)
		passing_found(p, &err);
}

/* The extent cannot be read as a whole: each of its blocks may be. */
static enum err_code blocks_alone(struct passing *p, struct batch *b, const struct extent *x,
				  uint8_t *to, struct err *e)
{
	for (uint32_t i = x->first; i < x->first + x->nr; i++) {
		const struct table_block *tb = &p->t.blocks[i];
		struct err err = ERR_INIT;

		if (get(p, tb->off, to, block_len(tb), &err)) {
			if (verify_stops(&err)) {
				*e = err;
				return err.code;
			}
			err_prefix(&err, "block %u at %u", i, tb->off);
			passing_found(p, &err);
			check_block(p, b, i, NULL);
		} else {
			check_block(p, b, i, to);
		}
	}
	return ERR_OK;
}

enum err_code passing_turn(struct passing *p, struct batch *b, size_t share, struct err *e)
{
	struct err err = ERR_INIT;
	enum err_code rc = ERR_OK;
	struct extent x;
	uint8_t *to;

	next_extent(p, share, &x);
	if (b->nr_streams == PACKS_AT_ONCE || b->stored_len >= BATCH_BYTES ||
	    b->plain_len >= BATCH_BYTES || b->nr_chunks + x.nr_chunks > BATCH_CHUNKS)
		rc = batch_hash(b, p->v, e);
	if (rc)
		return rc;
	to = b->stored + b->stored_len;
	if (get(p, x.off, to, x.len, &err)) {
		if (verify_stops(&err)) {
			*e = err;
			return err.code;
		}
		passing_found(p, &err);
		p->unread = true;
		rc = blocks_alone(p, b, &x, to, e);
	} else {
		if (x.off == 0)
			check_pack_header(p, to, x.len);
		for (uint32_t i = x.first; i < x.first + x.nr; i++)
			check_block(p, b, i, p->t.blocks[i].off >= x.off
						 ? to + (p->t.blocks[i].off - x.off)
						 : NULL);
		if (!p->v->o->quick) {
			b->stored_len += x.len;
			b->streams[b->nr_streams++] = (struct digest_job){
				.buf = to, .len = x.len, .stream = p->digest };
		}
	}
	p->off += x.len;
	p->next += x.nr;
	return rc;
}

/* Beginning and end. */

/*
 * The table, or what a rescan finds where there is none.  Without a footer the pack is a copy
 * under way, unless something like a table still ends it.
 */
static enum err_code get_table(struct passing *p, struct err *e)
{
	struct backend *b = p->v->s->backend;
	const struct table_block *last;
	uint8_t end[8] = { 0 };
	enum err_code rc;
	uint64_t next;
	size_t n = 0;

	rc = pack_read_table(b, &p->id, &p->t, e);
	if (!rc || verify_stops(e))
		return rc;
	p->f.incomplete = rc == ERR_INCOMPLETE;
	passing_found(p, e);
	err_clear(e);
	rc = pack_rescan(b, &p->id, &p->t, e);
	if (rc || p->t.nr_blocks == 0)
		return rc;
	last = &p->t.blocks[p->t.nr_blocks - 1];
	next = last->off + (uint64_t)block_len(last);
	if (p->f.incomplete && next < p->size &&
	    !b->ops->get(b, p->name, next, end, sizeof(end), &n, e) && n == sizeof(end)) {
		struct rd r = rd_init(end, sizeof(end));
		uint32_t magic = rd_le32(&r), len = rd_le32(&r);

		p->f.incomplete =
			magic != FRAME_PACK_TABLE || next + FRAME_HEAD_LEN + len != p->size;
	}
	err_clear(e);
	return ERR_OK;
}

enum err_code passing_begin(struct passing *p, struct err *e)
{
	enum err_code rc;

	pack_name(&p->id, p->name);
	rc = digest_stream_open(&p->digest, e);
	if (rc)
		return rc;
	rc = get_table(p, e);
	if (rc && !verify_stops(e)) {	/* not one block */
		passing_found(p, e);
		err_clear(e);
		rc = ERR_OK;
	}
	if (p->size == 0)
		check_pack_header(p, NULL, 0);
	return rc;
}

bool passing_done(const struct passing *p)
{
	return p->next == p->t.nr_blocks && (p->unread || p->off >= p->size);
}

void passing_end(struct passing *p)
{
	struct err err = ERR_INIT;
	char hex[ID_HEX_LEN + 1];
	struct object_id got;

	if (p->unread || p->v->o->quick)
		return;
	digest_stream_finish(p->digest, &got);
	if (id_eq(&got, &p->id))
		return;
	(void)err_set(&err, ERR_CORRUPT, "its bytes have the digest %s", id_hex(&got, hex));
	passing_found(p, &err);
}

void passing_release(struct passing *p)
{
	digest_stream_close(p->digest);
	packtable_release(&p->t);
}
