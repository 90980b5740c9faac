/* SPDX-License-Identifier: MIT */
#include "store/engine/pack.h"

#include <assert.h>
#include <stdlib.h>

#include "store/base/bytes.h"
#include "store/base/digest.h"
#include "store/base/hex.h"
#include "store/engine/codec.h"
#include "store/engine/parity.h"
#include "store/format/limits.h"

#define WRITE_LEN	((size_t)1 << 20)	/* the medium sees writes of this, aligned to it */
#define TAIL_LEN	((size_t)64 << 10)	/* read first: holds most tables whole */

static const char prefix[] = "packs/";
static const char suffix[] = ".pack";

void pack_name(const struct object_id *id, char out[PACK_NAME_LEN + 1])
{
	char *p = out;

	memcpy(p, prefix, 6);
	p += 6;
	(void)hex_encode(id->b, 1, p);
	p[2] = '/';
	(void)hex_encode(id->b, ID_LEN, p + 3);
	memcpy(p + 3 + ID_HEX_LEN, suffix, sizeof(suffix));
}

bool pack_name_parse(const char *name, struct object_id *id)
{
	char again[PACK_NAME_LEN + 1];
	struct object_id got;

	if (strlen(name) != PACK_NAME_LEN || !hex_decode(name + 9, ID_HEX_LEN, got.b))
		return false;
	pack_name(&got, again);
	if (strcmp(name, again) != 0)
		return false;
	*id = got;
	return true;
}

struct pack_writer {
	struct backend *b;
	struct backend_put *put;
	struct digest *digest;
	struct parity_sums *sums;	/* NULL where no parity is wanted */
	uint32_t parity;		/* thousandths */
	struct buf gather;		/* less than WRITE_LEN bytes, not written yet */
	struct buf header;		/* the last block's, its memory kept */
	struct packtable t;		/* pack_len: bytes so far */
	uint32_t cap_blocks, cap_chunks;
};

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NOMEM, "no memory to write a pack");
}

/* What is in gather goes out. */
static enum err_code flush(struct pack_writer *w, struct err *e)
{
	digest_add(w->digest, w->gather.p, w->gather.len);
	if (w->sums)
		parity_sums_add(w->sums, w->gather.p, w->gather.len);
	return w->b->ops->put_add(w->put, w->gather.p, w->gather.len, e);
}

static enum err_code append(struct pack_writer *w, const uint8_t *p, size_t len, struct err *e)
{
	enum err_code rc = ERR_OK;

	w->t.pack_len += len;
	while (!rc && len > 0) {
		size_t n = WRITE_LEN - w->gather.len < len ? WRITE_LEN - w->gather.len : len;

		buf_add(&w->gather, p, n);
		if (w->gather.bad)
			return no_memory(e);
		p += n;
		len -= n;
		if (w->gather.len == WRITE_LEN) {
			rc = flush(w, e);
			buf_reset(&w->gather);
		}
	}
	return rc;
}

enum err_code pack_writer_open(struct backend *b, enum pack_kind kind, struct pack_writer **out,
			       struct err *e)
{
	struct pack_writer *w = calloc(1, sizeof(*w));
	const struct pack_header h = { .kind = kind };
	uint8_t head[PACK_HEADER_LEN];
	enum err_code rc;

	if (!w)
		return no_memory(e);
	w->b = b;
	w->t.kind = kind;
	rc = digest_open(&w->digest, e);
	if (!rc && !buf_room(&w->gather, WRITE_LEN))
		rc = no_memory(e);
	if (!rc)
		rc = b->ops->put_begin(b, &w->put, e);
	if (rc)
		goto out;
	pack_header_encode(&h, head);
	rc = append(w, head, sizeof(head), e);
out:
	if (rc)
		pack_writer_abort(w);
	else
		*out = w;
	return rc;
}

void pack_writer_abort(struct pack_writer *w)
{
	if (!w)
		return;
	w->b->ops->put_abort(w->put);
	digest_close(w->digest);
	parity_sums_close(w->sums);
	buf_release(&w->gather);
	buf_release(&w->header);
	packtable_release(&w->t);
	free(w);
}

enum err_code pack_writer_parity(struct pack_writer *w, uint32_t permille, struct err *e)
{
	w->parity = permille;
	return parity_sums_open(&w->sums, e);
}

uint64_t pack_writer_len(const struct pack_writer *w)
{
	return w->t.pack_len;
}

/* Twice as much each time; the limits keep the products far from wrapping. */
static bool grow(struct pack_writer *w, uint32_t nr_chunks)
{
	uint32_t blocks = w->cap_blocks ? w->cap_blocks : 64;
	uint32_t chunks = w->cap_chunks ? w->cap_chunks : 1024;
	void *p;

	while (blocks < w->t.nr_blocks + 1)
		blocks *= 2;
	while (chunks < w->t.nr_chunks + nr_chunks)
		chunks *= 2;
	if (blocks != w->cap_blocks) {
		p = realloc(w->t.blocks, blocks * sizeof(w->t.blocks[0]));
		if (!p)
			return false;
		w->t.blocks = p;
		w->cap_blocks = blocks;
	}
	if (chunks != w->cap_chunks) {
		p = realloc(w->t.chunks, chunks * sizeof(w->t.chunks[0]));
		if (!p)
			return false;
		w->t.chunks = p;
		w->cap_chunks = chunks;
	}
	return true;
}

enum err_code pack_writer_add(struct pack_writer *w, struct block_header *h,
			      const struct chunk_desc *chunks, const uint8_t *frame,
			      struct err *e)
{
	size_t len = block_header_len(h->nr_chunks) + h->stored_len;
	enum err_code rc;

	if (w->t.nr_blocks == PACK_BLOCKS_MAX || h->nr_chunks > PACK_CHUNKS_MAX - w->t.nr_chunks ||
	    w->t.pack_len + len + packtable_frame_len(w->t.nr_blocks + 1,
						      w->t.nr_chunks + h->nr_chunks) > PACK_LEN_MAX)
		return err_set(e, ERR_LIMIT, "pack of %u blocks, %u chunks, %llu bytes is full",
			       w->t.nr_blocks, w->t.nr_chunks, (unsigned long long)w->t.pack_len);
	if (!grow(w, h->nr_chunks))
		return no_memory(e);
	h->number = w->t.nr_blocks;
	buf_reset(&w->header);
	block_header_encode(h, chunks, &w->header);
	if (w->header.bad)
		return no_memory(e);
	w->t.blocks[w->t.nr_blocks++] = (struct table_block){
		.off = (uint32_t)w->t.pack_len,
		.plain_len = h->plain_len,
		.stored_len = h->stored_len,
		.first_chunk = w->t.nr_chunks,
		.nr_chunks = h->nr_chunks,
	};
	memcpy(w->t.chunks + w->t.nr_chunks, chunks, h->nr_chunks * sizeof(chunks[0]));
	w->t.nr_chunks += h->nr_chunks;
	rc = append(w, w->header.p, w->header.len, e);
	if (!rc)
		rc = append(w, frame, h->stored_len, e);
	return rc;
}

/* What was put gets its name, and its parity with it. */
static enum err_code publish(struct pack_writer *w, const struct object_id *id, struct err *e)
{
	char name[PACK_NAME_LEN + 1], par_name[PARITY_NAME_LEN + 1];
	struct backend_put *put = w->put, *par = NULL;
	enum err_code rc;

	pack_name(id, name);
	if (!w->sums) {
		w->put = NULL;		/* freed by the commit, whatever comes of it */
		return w->b->ops->put_commit(put, name, e);
	}
	parity_name(id, par_name);
	rc = parity_put(w->b, id, put, w->parity, w->sums, &par, e);
	if (rc)
		return rc;
	w->put = NULL;
	return w->b->ops->put_commit_two(par, par_name, put, name, e);
}

enum err_code pack_writer_seal(struct pack_writer *w, struct object_id *id,
			       struct packtable *table, struct err *e)
{
	struct packtable whole;
	struct object_id got;
	enum err_code rc;

	if (w->t.nr_blocks == 0) {
		rc = err_set(e, ERR_USAGE, "a pack without a block");
		goto out;
	}
	whole = w->t;
	whole.pack_len += packtable_frame_len(whole.nr_blocks, whole.nr_chunks);
	buf_reset(&w->header);
	packtable_encode(&whole, &w->header);
	if (w->header.bad) {
		rc = no_memory(e);
		goto out;
	}
	rc = append(w, w->header.p, w->header.len, e);
	if (!rc && w->gather.len > 0)
		rc = flush(w, e);
	if (rc)
		goto out;
	assert(w->t.pack_len == whole.pack_len);
	digest_finish(w->digest, &got);
	rc = publish(w, &got, e);
	if (rc)
		goto out;
	*id = got;
	*table = whole;
	w->t = (struct packtable){ 0 };
out:
	pack_writer_abort(w);
	return rc;
}

/* Exactly len bytes, or ERR_INCOMPLETE. */
static enum err_code get_all(struct backend *b, const char *name, uint64_t off, uint8_t *buf,
			     size_t len, struct err *e)
{
	size_t n = 0;
	enum err_code rc = b->ops->get(b, name, off, buf, len, &n, e);

	if (!rc && n < len)
		rc = err_set(e, ERR_INCOMPLETE, "ends at %llu; %zu bytes were expected at %llu",
			     (unsigned long long)(off + n), len, (unsigned long long)off);
	return rc;
}

static enum err_code read_table(struct backend *b, const char *name, struct buf *tail,
				struct packtable *table, struct err *e)
{
	size_t have, frame_len = 0;
	uint64_t size = 0;
	enum err_code rc = b->ops->size(b, name, &size, e);

	if (rc)
		return rc;
	have = size < TAIL_LEN ? (size_t)size : TAIL_LEN;
	if (have < PACK_FOOTER_LEN)
		return err_set(e, ERR_INCOMPLETE, "has only %zu bytes", have);
	if (!buf_room(tail, have))
		return err_set(e, ERR_NOMEM, "no memory for a table");
	rc = get_all(b, name, size - have, tail->p, have, e);
	if (!rc)
		rc = packtable_peek(tail->p + have - PACK_FOOTER_LEN, size, &frame_len, e);
	if (rc)
		return rc;
	/* peek has compared it with the limits and with the file. */
	if (frame_len > have) {
		have = frame_len;
		if (!buf_room(tail, have))
			return err_set(e, ERR_NOMEM, "no memory for a table of %zu bytes", have);
		rc = get_all(b, name, size - have, tail->p, have, e);
		if (rc)
			return rc;
	}
	return packtable_decode(tail->p + have - frame_len, frame_len, size, table, e);
}

enum err_code pack_read_table(struct backend *b, const struct object_id *id,
			      struct packtable *table, struct err *e)
{
	char name[PACK_NAME_LEN + 1];
	struct buf tail = BUF_INIT;
	enum err_code rc;

	pack_name(id, name);
	rc = read_table(b, name, &tail, table, e);
	buf_release(&tail);
	if (rc)
		err_prefix(e, "%s", name);
	return rc;
}

/* raw holds block i of t as it lies in the pack; chunks has room for its list. */
static enum err_code open_block(const struct packtable *t, uint32_t i, const uint8_t *raw,
				struct chunk_desc *chunks, struct codec *codec, uint8_t *plain,
				struct err *e)
{
	const struct table_block *tb = &t->blocks[i];
	size_t head = block_header_len(tb->nr_chunks);
	struct block_header h;
	enum err_code rc = block_header_decode(raw, head, &h, chunks, e);

	if (rc)
		return rc;
	if (h.plain_len != tb->plain_len || h.stored_len != tb->stored_len ||
	    h.nr_chunks != tb->nr_chunks)
		return err_set(e, ERR_CORRUPT, "its header and the pack's table disagree");
	for (uint32_t k = 0; k < h.nr_chunks; k++)
		if (chunks[k].len != t->chunks[tb->first_chunk + k].len ||
		    !id_eq(&chunks[k].id, &t->chunks[tb->first_chunk + k].id))
			return err_set(e, ERR_CORRUPT, "its header and the pack's table disagree");
	if (digest_xxh3(raw + head, h.stored_len) != h.xxh3)
		return err_set(e, ERR_CORRUPT, "stored bytes changed after they were written");
	return codec_decompress(codec, raw + head, h.stored_len, plain, h.plain_len, e);
}

/* salvaged: NULL where damage is an error. */
static enum err_code read_block(struct backend *b, const struct object_id *id,
				const struct packtable *t, uint32_t i, struct codec *codec,
				uint8_t *plain, bool *salvaged, struct err *e)
{
	const struct table_block *tb = &t->blocks[i];
	size_t head = block_header_len(tb->nr_chunks), len = head + tb->stored_len;
	struct chunk_desc *chunks;
	char name[PACK_NAME_LEN + 1];
	enum err_code rc;
	uint8_t *raw;

	pack_name(id, name);
	/* Bounded by limits.h when the table was decoded: 17 MiB and a header. */
	raw = codec_scratch(codec, len);
	chunks = malloc(tb->nr_chunks * sizeof(*chunks));
	if (!raw || !chunks)
		rc = err_set(e, ERR_NOMEM, "no memory for %zu bytes", len);
	else
		rc = get_all(b, name, tb->off, raw, len, e);
	if (!rc) {
		rc = open_block(t, i, raw, chunks, codec, plain, e);
		if (rc == ERR_CORRUPT && salvaged) {
			codec_salvage(codec, raw + head, tb->stored_len, plain, tb->plain_len);
			*salvaged = true;
			rc = ERR_OK;
			err_clear(e);
		}
	}
	free(chunks);
	if (rc)
		err_prefix(e, "%s: block %u at %u", name, i, tb->off);
	return rc;
}

enum err_code pack_read_block(struct backend *b, const struct object_id *id,
			      const struct packtable *t, uint32_t i, struct codec *codec,
			      uint8_t *plain, struct err *e)
{
	return read_block(b, id, t, i, codec, plain, NULL, e);
}

enum err_code pack_salvage_block(struct backend *b, const struct object_id *id,
				 const struct packtable *t, uint32_t i, struct codec *codec,
				 uint8_t *plain, bool *damaged, struct err *e)
{
	*damaged = false;
	return read_block(b, id, t, i, codec, plain, damaged, e);
}
