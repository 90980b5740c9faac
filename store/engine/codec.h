/* SPDX-License-Identifier: MIT */
/* One block's bytes to one zstd frame and back. A codec belongs to one thread at a time; reuse it. */
#ifndef VOUCH_ENGINE_CODEC_H
#define VOUCH_ENGINE_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "store/format/block.h"

struct codec;
MUST_CHECK enum err_code codec_open(int level, struct codec **out, struct err *e);
void codec_close(struct codec *c);		/* NULL is allowed */

/** len bytes for the codec's user, good until the next call; NULL: no memory. Kept for the next where it is not large. */
uint8_t *codec_scratch(struct codec *c, size_t len);

/** Room that codec_compress may need for len bytes. */
size_t codec_bound(size_t len);

/**
 * Write one frame, its content size declared, no checksum: compressed
 * (CODEC_ZSTD), or of raw blocks (CODEC_RAW) where a cheap look or the result says
 * that compressing does not pay.  *out_len is the frame's length.
 */
MUST_CHECK enum err_code codec_compress(struct codec *c, const uint8_t *src, size_t len,
					uint8_t *dst, size_t cap, size_t *out_len,
					enum block_codec *codec, struct err *e);

/**
 * Undo it.  dst has room for exactly plain_len bytes, which the frame must declare and
 * fill; ERR_CORRUPT otherwise.  Any legal zstd frame is accepted, whatever codec says.
 */
MUST_CHECK enum err_code codec_decompress(struct codec *c, const uint8_t *src, size_t len,
					  uint8_t *dst, size_t plain_len, struct err *e);

/**
 * Undo what can be undone of a frame that is damaged: dst gets plain_len bytes, right ones as far as the decoder
 * came (all but the damaged ones of raw blocks), some wrong ones, and zeros.  Only for who checks every chunk of it.
 */
void codec_salvage(struct codec *c, const uint8_t *src, size_t len, uint8_t *dst, size_t plain_len);

#endif
