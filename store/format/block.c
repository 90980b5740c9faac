/* SPDX-License-Identifier: MIT */
#include "store/format/block.h"

#include <assert.h>

#include "store/base/bytes.h"
#include "store/base/digest.h"
#include "store/format/limits.h"

#define VERSION		1
#define HEADER_PAYLOAD	(PACK_HEADER_LEN - FRAME_HEAD_LEN)
#define HEADER_CHECKED	(HEADER_PAYLOAD - 8)	/* payload bytes that the XXH3 covers */

static const uint8_t pack_magic[4] = { 'V', 'P', 'A', 'K' };
static const uint8_t block_magic[4] = { 'V', 'B', 'L', 'K' };
static const uint8_t zeros[32];

static bool is_zero(const uint8_t *p, size_t n)
{
	assert(n <= sizeof(zeros));
	return memcmp(p, zeros, n) == 0;
}

void pack_header_encode(const struct pack_header *h, uint8_t out[PACK_HEADER_LEN])
{
	uint8_t *p = out;

	assert(h->kind == PACK_DATA || h->kind == PACK_TREE);
	p = put_le32(p, FRAME_PACK_HEADER);
	p = put_le32(p, HEADER_PAYLOAD);
	p = put_bytes(p, pack_magic, sizeof(pack_magic));
	p = put_u8(p, VERSION);
	p = put_u8(p, (uint8_t)h->kind);
	p = put_le16(p, 0);
	p = put_bytes(p, zeros, 32);
	p = put_bytes(p, zeros, 16);
	p = put_le64(p, digest_xxh3(out + FRAME_HEAD_LEN, HEADER_CHECKED));
	assert(p == out + PACK_HEADER_LEN);
}

/*
 * The check comes before version, kind and flags are looked at: a flipped bit in
 * one of them is damage, not a newer format.
 */
enum err_code pack_header_decode(const uint8_t *buf, size_t len, struct pack_header *h,
				 struct err *e)
{
	struct rd r = rd_init(buf, len);
	uint8_t magic[4], salt[32], zero[16];
	uint32_t frame = rd_le32(&r);
	uint32_t payload = rd_le32(&r);
	uint8_t version, kind;
	uint16_t flags;
	uint64_t check;

	rd_copy(&r, magic, sizeof(magic));
	version = rd_u8(&r);
	kind = rd_u8(&r);
	flags = rd_le16(&r);
	rd_copy(&r, salt, sizeof(salt));
	rd_copy(&r, zero, sizeof(zero));
	check = rd_le64(&r);

	if (!rd_end(&r))
		return err_set(e, ERR_CORRUPT, "pack header of %zu bytes", len);
	if (frame != FRAME_PACK_HEADER || payload != HEADER_PAYLOAD ||
	    memcmp(magic, pack_magic, sizeof(magic)) != 0)
		return err_set(e, ERR_CORRUPT, "pack header: magic or length");
	if (check != digest_xxh3(buf + FRAME_HEAD_LEN, HEADER_CHECKED))
		return err_set(e, ERR_CORRUPT, "pack header: checksum mismatch");
	if (version != VERSION)
		return err_set(e, ERR_UNSUPPORTED, "pack version %u", version);
	if (flags != 0)
		return err_set(e, ERR_UNSUPPORTED, "pack flags %#x%s", flags,
			       flags & 1 ? " (encrypted)" : "");
	if (kind != PACK_DATA && kind != PACK_TREE)
		return err_set(e, ERR_UNSUPPORTED, "pack kind %u", kind);
	if (!is_zero(salt, sizeof(salt)) || !is_zero(zero, sizeof(zero)))
		return err_set(e, ERR_CORRUPT, "pack header: reserved bytes are set");
	h->kind = (enum pack_kind)kind;
	return ERR_OK;
}

void block_header_encode(const struct block_header *h, const struct chunk_desc *chunks,
			 struct buf *out)
{
	size_t len = block_header_len(h->nr_chunks);
	uint8_t *start = buf_room(out, len), *p = start;

	assert(h->nr_chunks >= 1 && h->nr_chunks <= BLOCK_CHUNKS_MAX);
	assert(h->plain_len >= 1 && h->plain_len <= BLOCK_PLAIN_MAX);
	assert(h->stored_len >= 1 && h->stored_len <= BLOCK_STORED_MAX);
	assert(h->number < PACK_BLOCKS_MAX);
	if (!start)
		return;
	p = put_le32(p, FRAME_BLOCK_HEADER);
	p = put_le32(p, (uint32_t)(len - FRAME_HEAD_LEN));
	p = put_bytes(p, block_magic, sizeof(block_magic));
	p = put_u8(p, VERSION);
	p = put_u8(p, (uint8_t)h->codec);
	p = put_le16(p, 0);
	p = put_le32(p, h->number);
	p = put_le32(p, h->nr_chunks);
	p = put_le32(p, h->plain_len);
	p = put_le32(p, h->stored_len);
	p = put_le64(p, h->xxh3);
	p = put_bytes(p, zeros, 16);
	for (uint32_t i = 0; i < h->nr_chunks; i++) {
		p = put_bytes(p, chunks[i].id.b, ID_LEN);
		p = put_le32(p, chunks[i].len);
	}
	p = put_le64(p, digest_xxh3(start + FRAME_HEAD_LEN, (size_t)(p - start) - FRAME_HEAD_LEN));
	assert(p == start + len);
	out->len += len;
}

enum err_code block_header_peek(const uint8_t *buf, size_t len, size_t *frame_len, struct err *e)
{
	struct rd r = rd_init(buf, len);
	uint32_t frame = rd_le32(&r);
	uint32_t payload = rd_le32(&r);
	uint8_t magic[4];
	uint32_t nr;

	rd_copy(&r, magic, sizeof(magic));
	(void)rd_take(&r, 8);		/* version, codec, flags, number: behind the check */
	nr = rd_le32(&r);
	(void)rd_take(&r, BLOCK_HEADER_FIXED - 16);

	if (r.bad)
		return err_set(e, ERR_CORRUPT, "block header of %zu bytes", len);
	if (frame != FRAME_BLOCK_HEADER || memcmp(magic, block_magic, sizeof(magic)) != 0)
		return err_set(e, ERR_CORRUPT, "block header: magic");
	if (nr == 0 || nr > BLOCK_CHUNKS_MAX)
		return err_set(e, ERR_CORRUPT, "block header: %u chunks", nr);
	if (payload != block_header_len(nr) - FRAME_HEAD_LEN)
		return err_set(e, ERR_CORRUPT, "block header: length %u with %u chunks", payload,
			       nr);
	*frame_len = block_header_len(nr);
	return ERR_OK;
}

/* r stands at the first chunk; the header frame's length has been checked against nr. */
static bool chunk_lens_ok(struct rd r, uint32_t nr, uint32_t plain_len)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t len;

		(void)rd_take(&r, ID_LEN);
		len = rd_le32(&r);
		if (len == 0 || len > CHUNK_LEN_MAX)
			return false;
		sum += len;
	}
	return sum == plain_len;
}

static enum err_code check_block_header(const struct block_header *h, uint16_t flags,
					uint8_t version, const uint8_t zero[16], struct err *e)
{
	if (version != VERSION)
		return err_set(e, ERR_UNSUPPORTED, "block version %u", version);
	if (flags != 0)
		return err_set(e, ERR_UNSUPPORTED, "block flags %#x%s", flags,
			       flags & 1 ? " (encrypted)" : "");
	if ((unsigned)h->codec > CODEC_LAST)
		return err_set(e, ERR_UNSUPPORTED, "block codec %u", (unsigned)h->codec);
	if (!is_zero(zero, 16))
		return err_set(e, ERR_CORRUPT, "block header: reserved bytes are set");
	if (h->number >= PACK_BLOCKS_MAX)
		return err_set(e, ERR_CORRUPT, "block header: number %u", h->number);
	if (h->plain_len == 0 || h->plain_len > BLOCK_PLAIN_MAX || h->stored_len == 0 ||
	    h->stored_len > BLOCK_STORED_MAX)
		return err_set(e, ERR_CORRUPT, "block header: lengths %u, %u", h->plain_len,
			       h->stored_len);
	return ERR_OK;
}

enum err_code block_header_decode(const uint8_t *buf, size_t len, struct block_header *h,
				  struct chunk_desc *chunks, struct err *e)
{
	struct block_header t = { 0 };
	struct rd r = rd_init(buf, len), tail;
	uint8_t version, zero[16];
	enum err_code rc;
	size_t frame_len = 0;
	uint16_t flags;

	rc = block_header_peek(buf, len, &frame_len, e);
	if (rc)
		return rc;
	if (frame_len != len)
		return err_set(e, ERR_CORRUPT, "block header of %zu bytes, %zu given", frame_len,
			       len);
	tail = rd_init(buf + len - 8, 8);
	if (rd_le64(&tail) != digest_xxh3(buf + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN - 8))
		return err_set(e, ERR_CORRUPT, "block header: checksum mismatch");

	(void)rd_take(&r, FRAME_HEAD_LEN + sizeof(block_magic));
	version = rd_u8(&r);
	t.codec = (enum block_codec)rd_u8(&r);
	flags = rd_le16(&r);
	t.number = rd_le32(&r);
	t.nr_chunks = rd_le32(&r);
	t.plain_len = rd_le32(&r);
	t.stored_len = rd_le32(&r);
	t.xxh3 = rd_le64(&r);
	rd_copy(&r, zero, sizeof(zero));
	rc = check_block_header(&t, flags, version, zero, e);
	if (rc)
		return rc;
	if (!chunk_lens_ok(r, t.nr_chunks, t.plain_len))
		return err_set(e, ERR_CORRUPT, "block header: chunk lengths");
	for (uint32_t i = 0; chunks && i < t.nr_chunks; i++) {
		rd_copy(&r, chunks[i].id.b, ID_LEN);
		chunks[i].len = rd_le32(&r);
	}
	*h = t;
	return ERR_OK;
}
