/* SPDX-License-Identifier: MIT */
/*
 * A pack, from its first byte (all integers little-endian; every frame is a zstd
 * frame or a zstd skippable frame, RFC 8878 section 3.1.2, so `zstd -dc` prints the chunks):
 *
 *   pack header   skippable frame 0x184D2A5A, 72 bytes in all
 *   block ...     skippable frame 0x184D2A5B (the block header), then one zstd frame
 *   pack table    skippable frame 0x184D2A5C, ending in the footer (packtable.h)
 *
 * Pack header payload (64 bytes):
 *    0 magic "VPAK"   4 u8 version 1   5 u8 kind (1 data, 2 tree)   6 le16 flags (bit 0: encrypted)
 *    8 salt[32] (zero unless encrypted)   40 zero[16]   56 le64 XXH3-64 of payload bytes 0..55
 *
 * Block header payload (48 + 36 * nr_chunks + 8 bytes):
 *    0 magic "VBLK"   4 u8 version 1   5 u8 codec (0 raw-block frame, 1 zstd)   6 le16 flags (bit 0: encrypted)
 *    8 le32 number (0, 1, ... in this pack)   12 le32 nr_chunks   16 le32 plain_len (sum of the chunks)
 *   20 le32 stored_len (bytes of the frame that follows)   24 le64 XXH3-64 of that frame
 *   32 zero[16]
 *   48 nr_chunks times: id[32], le32 len
 *   .. le64 XXH3-64 of all payload bytes before it
 *
 * flags bit 0 (encrypted) needs the incompatible feature "encryption"; this version
 * answers ERR_UNSUPPORTED.  Reserved bytes are zero, else ERR_CORRUPT.
 */
#ifndef VOUCH_FORMAT_BLOCK_H
#define VOUCH_FORMAT_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "store/base/buf.h"
#include "store/err.h"
#include "store/id.h"

#define FRAME_PACK_HEADER	0x184D2A5Au
#define FRAME_BLOCK_HEADER	0x184D2A5Bu
#define FRAME_PACK_TABLE	0x184D2A5Cu
#define FRAME_HEAD_LEN		8u		/* magic and length of a skippable frame */
#define PACK_HEADER_LEN		72u		/* with its frame head */
#define BLOCK_HEADER_FIXED	48u
#define BLOCK_CHUNK_LEN		36u

enum pack_kind { PACK_DATA = 1, PACK_TREE = 2 };
enum block_codec { CODEC_RAW = 0, CODEC_ZSTD = 1, CODEC_LAST = CODEC_ZSTD };

struct pack_header {
	enum pack_kind kind;
};

struct chunk_desc {
	struct object_id id;
	uint32_t len;		/* 1 to CHUNK_LEN_MAX */
};

struct block_header {
	uint32_t number;
	enum block_codec codec;
	uint32_t nr_chunks;	/* 1 to BLOCK_CHUNKS_MAX */
	uint32_t plain_len;
	uint32_t stored_len;
	uint64_t xxh3;
};

/** Bytes of a block header with nr_chunks chunks, frame head included. */
static inline size_t block_header_len(uint32_t nr_chunks)
{
	return FRAME_HEAD_LEN + BLOCK_HEADER_FIXED + (size_t)BLOCK_CHUNK_LEN * nr_chunks + 8;
}

void pack_header_encode(const struct pack_header *h, uint8_t out[PACK_HEADER_LEN]);
/** buf holds exactly PACK_HEADER_LEN bytes. */
MUST_CHECK enum err_code pack_header_decode(const uint8_t *buf, size_t len, struct pack_header *h,
					    struct err *e);

/** Append the whole frame (head, fixed part, chunks, check). */
void block_header_encode(const struct block_header *h, const struct chunk_desc *chunks,
			 struct buf *out);

/**
 * Total length of the block header frame whose first FRAME_HEAD_LEN + BLOCK_HEADER_FIXED
 * bytes are at buf: what must be read before block_header_decode can run.
 */
MUST_CHECK enum err_code block_header_peek(const uint8_t *buf, size_t len, size_t *frame_len,
					   struct err *e);

/**
 * Decode a whole header frame of exactly len bytes.  chunks must have room for
 * nr_chunks as peeked (BLOCK_CHUNKS_MAX always suffices), or be NULL to skip them.
 * Checks magic, lengths against limits.h, reserved bytes, the XXH3, and that the
 * chunks' lengths add up to plain_len.
 */
MUST_CHECK enum err_code block_header_decode(const uint8_t *buf, size_t len,
					     struct block_header *h, struct chunk_desc *chunks,
					     struct err *e);

#endif
