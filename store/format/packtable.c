/* SPDX-License-Identifier: MIT */
#include "store/format/packtable.h"

#include <assert.h>
#include <stdlib.h>

#include "store/base/bytes.h"
#include "store/base/digest.h"
#include "store/format/limits.h"

#define VERSION		1
#define TABLE_FIXED	16u
#define TABLE_BLOCK_LEN	16u
#define FOOTER_CHECKED	16u	/* footer bytes that the XXH3 covers */

static const uint8_t table_magic[4] = { 'V', 'T', 'A', 'B' };
static const uint8_t end_magic[8] = { 'V', 'O', 'U', 'C', 'H', 'E', 'N', 'D' };

struct footer {
	uint64_t pack_len;
	uint32_t frame_len;
	uint32_t zero;
	uint64_t check;
	unsigned magic_same;	/* bytes of the magic that are right */
};

void packtable_release(struct packtable *t)
{
	free(t->blocks);
	free(t->chunks);
	*t = (struct packtable){ 0 };
}

size_t packtable_frame_len(uint32_t nr_blocks, uint32_t nr_chunks)
{
	return FRAME_HEAD_LEN + TABLE_FIXED + (size_t)TABLE_BLOCK_LEN * nr_blocks +
	       (size_t)BLOCK_CHUNK_LEN * nr_chunks + PACK_FOOTER_LEN;
}

void packtable_encode(const struct packtable *t, struct buf *out)
{
	size_t len = packtable_frame_len(t->nr_blocks, t->nr_chunks);
	uint8_t *start = buf_room(out, len), *p = start;

	assert(t->nr_blocks >= 1 && t->nr_blocks <= PACK_BLOCKS_MAX);
	assert(t->nr_chunks >= 1 && t->nr_chunks <= PACK_CHUNKS_MAX);
	assert(t->pack_len <= PACK_LEN_MAX);
	if (!start)
		return;
	p = put_le32(p, FRAME_PACK_TABLE);
	p = put_le32(p, (uint32_t)(len - FRAME_HEAD_LEN));
	p = put_bytes(p, table_magic, sizeof(table_magic));
	p = put_u8(p, VERSION);
	p = put_u8(p, (uint8_t)t->kind);
	p = put_le16(p, 0);
	p = put_le32(p, t->nr_blocks);
	p = put_le32(p, t->nr_chunks);
	for (uint32_t i = 0; i < t->nr_blocks; i++) {
		p = put_le32(p, t->blocks[i].off);
		p = put_le32(p, t->blocks[i].plain_len);
		p = put_le32(p, t->blocks[i].stored_len);
		p = put_le32(p, t->blocks[i].nr_chunks);
	}
	for (uint32_t i = 0; i < t->nr_chunks; i++) {
		p = put_bytes(p, t->chunks[i].id.b, ID_LEN);
		p = put_le32(p, t->chunks[i].len);
	}
	p = put_le64(p, t->pack_len);
	p = put_le32(p, (uint32_t)len);
	p = put_le32(p, 0);
	p = put_le64(p, digest_xxh3(start, (size_t)(p - start)));
	p = put_bytes(p, end_magic, sizeof(end_magic));
	assert(p == start + len);
	out->len += len;
}

static struct footer read_footer(const uint8_t *buf)
{
	struct rd r = rd_init(buf, PACK_FOOTER_LEN);
	struct footer f = { 0 };
	uint8_t magic[8];

	f.pack_len = rd_le64(&r);
	f.frame_len = rd_le32(&r);
	f.zero = rd_le32(&r);
	f.check = rd_le64(&r);
	rd_copy(&r, magic, sizeof(magic));
	for (size_t i = 0; i < sizeof(magic); i++)
		f.magic_same += magic[i] == end_magic[i];
	return f;
}

/*
 * No magic at the end: the pack goes on beyond what is here, or its end is zeros that
 * a copy has yet to fill.  Most of a magic: the end is here, and damaged.
 */
static enum err_code check_footer(const struct footer *f, uint64_t file_len, struct err *e)
{
	if (f->magic_same < sizeof(end_magic))
		return err_set(e, f->magic_same >= 6 ? ERR_CORRUPT : ERR_INCOMPLETE,
			       "pack of %llu bytes does not end in a footer",
			       (unsigned long long)file_len);
	if (f->pack_len > PACK_LEN_MAX || f->zero != 0 || f->pack_len < file_len)
		return err_set(e, ERR_CORRUPT, "pack footer: length %llu in a file of %llu",
			       (unsigned long long)f->pack_len, (unsigned long long)file_len);
	if (f->pack_len > file_len)
		return err_set(e, ERR_INCOMPLETE, "pack of %llu bytes has only %llu",
			       (unsigned long long)f->pack_len, (unsigned long long)file_len);
	if (f->frame_len < packtable_frame_len(1, 1) ||
	    f->frame_len > packtable_frame_len(PACK_BLOCKS_MAX, PACK_CHUNKS_MAX) ||
	    f->frame_len > file_len - PACK_HEADER_LEN)
		return err_set(e, ERR_CORRUPT, "pack footer: table of %u bytes", f->frame_len);
	return ERR_OK;
}

enum err_code packtable_peek(const uint8_t footer[PACK_FOOTER_LEN], uint64_t file_len,
			     size_t *frame_len, struct err *e)
{
	struct footer f = read_footer(footer);
	enum err_code rc;

	if (file_len < PACK_HEADER_LEN + packtable_frame_len(1, 1))
		return err_set(e, ERR_INCOMPLETE, "pack has only %llu bytes",
			       (unsigned long long)file_len);
	rc = check_footer(&f, file_len, e);
	if (!rc)
		*frame_len = f.frame_len;
	return rc;
}

/* What lies before the blocks; everything that allocation depends on. */
static enum err_code decode_fixed(struct rd *r, size_t len, struct packtable *t, struct err *e)
{
	uint32_t frame = rd_le32(r);
	uint32_t payload = rd_le32(r);
	uint8_t magic[4], version, kind;
	uint16_t flags;

	rd_copy(r, magic, sizeof(magic));
	version = rd_u8(r);
	kind = rd_u8(r);
	flags = rd_le16(r);
	t->nr_blocks = rd_le32(r);
	t->nr_chunks = rd_le32(r);

	if (r->bad || frame != FRAME_PACK_TABLE || payload != len - FRAME_HEAD_LEN ||
	    memcmp(magic, table_magic, sizeof(magic)) != 0)
		return err_set(e, ERR_CORRUPT, "pack table: magic or length");
	if (version != VERSION)
		return err_set(e, ERR_UNSUPPORTED, "pack table version %u", version);
	if (flags != 0)
		return err_set(e, ERR_UNSUPPORTED, "pack table flags %#x%s", flags,
			       flags & 1 ? " (encrypted)" : "");
	if (kind != PACK_DATA && kind != PACK_TREE)
		return err_set(e, ERR_UNSUPPORTED, "pack kind %u", kind);
	t->kind = (enum pack_kind)kind;
	if (t->nr_blocks == 0 || t->nr_blocks > PACK_BLOCKS_MAX || t->nr_chunks == 0 ||
	    t->nr_chunks > PACK_CHUNKS_MAX ||
	    len != packtable_frame_len(t->nr_blocks, t->nr_chunks))
		return err_set(e, ERR_CORRUPT, "pack table of %zu bytes: %u blocks, %u chunks", len,
			       t->nr_blocks, t->nr_chunks);
	return ERR_OK;
}

/* end: the offset in the pack where the table begins. */
static enum err_code decode_blocks(struct rd *r, struct packtable *t, uint64_t end, struct err *e)
{
	uint64_t at = PACK_HEADER_LEN;
	uint32_t nr_chunks = 0;

	for (uint32_t i = 0; i < t->nr_blocks; i++) {
		struct table_block *b = &t->blocks[i];

		b->off = rd_le32(r);
		b->plain_len = rd_le32(r);
		b->stored_len = rd_le32(r);
		b->nr_chunks = rd_le32(r);
		b->first_chunk = nr_chunks;
		if (b->plain_len == 0 || b->plain_len > BLOCK_PLAIN_MAX || b->stored_len == 0 ||
		    b->stored_len > BLOCK_STORED_MAX || b->nr_chunks == 0 ||
		    b->nr_chunks > BLOCK_CHUNKS_MAX || b->nr_chunks > t->nr_chunks - nr_chunks)
			return err_set(e, ERR_CORRUPT,
				       "pack table: block %u: lengths %u, %u, %u chunks", i,
				       b->plain_len, b->stored_len, b->nr_chunks);
		if (b->off < at || b->off > end ||
		    block_header_len(b->nr_chunks) + b->stored_len > end - b->off)
			return err_set(e, ERR_CORRUPT, "pack table: block %u at %u is out of place",
				       i, b->off);
		at = b->off + block_header_len(b->nr_chunks) + b->stored_len;
		nr_chunks += b->nr_chunks;
	}
	if (nr_chunks != t->nr_chunks)
		return err_set(e, ERR_CORRUPT, "pack table: %u chunks in blocks, %u in all",
			       nr_chunks, t->nr_chunks);
	return ERR_OK;
}

static enum err_code decode_chunks(struct rd *r, struct packtable *t, struct err *e)
{
	for (uint32_t i = 0; i < t->nr_blocks; i++) {
		const struct table_block *b = &t->blocks[i];
		uint64_t sum = 0;

		for (uint32_t k = b->first_chunk; k < b->first_chunk + b->nr_chunks; k++) {
			struct chunk_desc *c = &t->chunks[k];

			rd_copy(r, c->id.b, ID_LEN);
			c->len = rd_le32(r);
			if (c->len == 0 || c->len > CHUNK_LEN_MAX)
				return err_set(e, ERR_CORRUPT, "pack table: chunk %u of %u bytes",
					       k, c->len);
			sum += c->len;
		}
		if (sum != b->plain_len)
			return err_set(e, ERR_CORRUPT,
				       "pack table: block %u of %u bytes holds chunks of %llu", i,
				       b->plain_len, (unsigned long long)sum);
	}
	return ERR_OK;
}

enum err_code packtable_decode(const uint8_t *frame, size_t len, uint64_t file_len,
			       struct packtable *out, struct err *e)
{
	struct rd r = rd_init(frame, len);
	struct packtable t = { 0 };
	enum err_code rc;
	struct footer f;

	if (len < packtable_frame_len(1, 1) || file_len < len + PACK_HEADER_LEN)
		return err_set(e, ERR_CORRUPT, "pack table of %zu bytes in a file of %llu", len,
			       (unsigned long long)file_len);
	f = read_footer(frame + len - PACK_FOOTER_LEN);
	rc = check_footer(&f, file_len, e);
	if (rc)
		return rc;
	if (f.frame_len != len)
		return err_set(e, ERR_CORRUPT, "pack table of %u bytes, %zu given", f.frame_len,
			       len);
	if (f.check != digest_xxh3(frame, len - PACK_FOOTER_LEN + FOOTER_CHECKED))
		return err_set(e, ERR_CORRUPT, "pack table: checksum mismatch");
	rc = decode_fixed(&r, len, &t, e);
	if (rc)
		return rc;

	/* len was checked against both counts: no more is allocated than was read. */
	t.pack_len = f.pack_len;
	t.blocks = calloc(t.nr_blocks, sizeof(t.blocks[0]));
	t.chunks = calloc(t.nr_chunks, sizeof(t.chunks[0]));
	if (!t.blocks || !t.chunks) {
		rc = err_set(e, ERR_NOMEM, "pack table of %u chunks", t.nr_chunks);
		goto out;
	}
	rc = decode_blocks(&r, &t, file_len - len, e);
	if (!rc)
		rc = decode_chunks(&r, &t, e);
	if (rc)
		goto out;
	*out = t;
	t = (struct packtable){ 0 };
out:
	packtable_release(&t);
	return rc;
}
