/* SPDX-License-Identifier: MIT */
/*
 * The table at the end of a pack: one skippable frame 0x184D2A5C whose payload is
 *
 *    0 magic "VTAB"   4 u8 version 1   5 u8 kind   6 le16 flags   8 le32 nr_blocks   12 le32 nr_chunks
 *   16 nr_blocks times: le32 offset of the block's header frame in the pack, le32 plain_len,
 *      le32 stored_len, le32 nr_chunks
 *   .. nr_chunks times, block after block: id[32], le32 len
 *   .. footer, 32 bytes, the pack's last:
 *      0 le64 length of the whole pack   8 le32 length of the table frame (head to footer)   12 zero[4]
 *     16 le64 XXH3-64 of the table frame from its head to footer byte 15   24 magic "VOUCHEND"
 *
 * The table repeats what the block headers say; a pack without one is rescanned.
 */
#ifndef VOUCH_FORMAT_PACKTABLE_H
#define VOUCH_FORMAT_PACKTABLE_H

#include "store/format/block.h"

#define PACK_FOOTER_LEN	32u

struct table_block {
	uint32_t off;		/* of the block header frame, from the pack's first byte */
	uint32_t plain_len, stored_len;
	uint32_t first_chunk, nr_chunks;	/* into chunks[] */
};

/** A decoded table: one allocation's worth of arrays. */
struct packtable {
	enum pack_kind kind;
	uint64_t pack_len;
	uint32_t nr_blocks, nr_chunks;
	struct table_block *blocks;
	struct chunk_desc *chunks;
};

void packtable_release(struct packtable *t);	/* frees the arrays; NULL-safe fields */

/** Append the whole frame.  t->pack_len must already be the pack's final length: packtable_frame_len tells. */
void packtable_encode(const struct packtable *t, struct buf *out);
size_t packtable_frame_len(uint32_t nr_blocks, uint32_t nr_chunks);

/**
 * From the last PACK_FOOTER_LEN bytes of a pack of file_len bytes: the table
 * frame's length.  ERR_INCOMPLETE where the footer is not there or names a longer
 * pack (a copy under way, or one cut short): the caller may rescan.
 */
MUST_CHECK enum err_code packtable_peek(const uint8_t footer[PACK_FOOTER_LEN], uint64_t file_len,
					size_t *frame_len, struct err *e);

/** Decode the frame of exactly len bytes.  Blocks are in order, do not overlap, lie before the table; sums agree. */
MUST_CHECK enum err_code packtable_decode(const uint8_t *frame, size_t len, uint64_t file_len,
					  struct packtable *out, struct err *e);

#endif
