/* SPDX-License-Identifier: MIT */
#include "store/engine/codec.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "store/base/bytes.h"
#include "store/format/limits.h"

#define ZSTD_MAGIC	0xFD2FB528u
#define RAW_HEAD_LEN	9u		/* magic, descriptor, four bytes of content size */
#define RAW_DESCRIPTOR	0xA0u		/* RFC 8878, 3.1.1.1.1: single segment, 4-byte size */
#define RAW_BLOCK_MAX	(128u << 10)	/* RFC 8878, 3.1.1.2.4 */
#define WINDOW_LOG_MAX	24		/* BLOCK_PLAIN_MAX: no legal block refers further back */

/*
 * How an incompressible block is told.  Up to level 3 zstd itself strides over what it
 * cannot match, at 3 GB/s; from there on it does not (200 MB/s at 5, 6 MB/s at 19), and a
 * look beforehand keeps noise at 2 GB/s.  A histogram is taken of every
 * SEGMENT_LEN bytes, from SAMPLE_LEN of each SAMPLE_STRIDE of them; x = 256 * sum(p^2) - 1 is
 * 0 for uniform bytes, and nr samples of noise give 255 / nr: 0.062 for a whole segment,
 * with a deviation of 0.0055.  Up to 1.4 times that and 0.063 passes for noise, which costs
 * at most 0.8 % of entropy coding.  English text gives 15, machine code 10.
 */
#define SEGMENT_LEN	(32u << 10)
#define SAMPLE_LEN	64u
#define SAMPLE_STRIDE	512u
#define NOISE_TIMES	1.4
#define NOISE_PLUS	0.063
#define SCRATCH_MIN	(1u << 20)	/* an incompressible block of the usual size is a little more */
#define SCRATCH_KEPT	(2u << 20)
#define LOOK_LEVEL	4		/* and above */
#define LOOK_MIN	(4u << 10)	/* shorter blocks are compressed without a look */

/*
 * Uniform bytes may still repeat themselves: level 3 sees that, at 3 GB/s where they do not.
 * (Lower levels have small tables that forget what lies half a block back.)
 */
#define TRIAL_LEVEL	3

/* Less than a 64th saved is not worth the decompression. */
static size_t worth(size_t len)
{
	return len - len / 64;
}

struct codec {
	ZSTD_CCtx *compress, *trial;
	ZSTD_DCtx *decompress;
	uint8_t *scratch;
	size_t scratch_len;
	bool look;
};

static bool set_up(struct codec *c, int level)
{
	ZSTD_CCtx *both[2] = { c->compress, c->trial };

	for (int i = 0; i < 2; i++) {
		if (ZSTD_isError(ZSTD_CCtx_setParameter(both[i], ZSTD_c_contentSizeFlag, 1)) ||
		    ZSTD_isError(ZSTD_CCtx_setParameter(both[i], ZSTD_c_checksumFlag, 0)) ||
		    ZSTD_isError(ZSTD_CCtx_setParameter(both[i], ZSTD_c_compressionLevel,
							i ? TRIAL_LEVEL : level)))
			return false;
	}
	return !ZSTD_isError(ZSTD_DCtx_setParameter(c->decompress, ZSTD_d_windowLogMax,
						    WINDOW_LOG_MAX));
}

#define SALVAGE_STEP 1024u	/* bytes fed at a time; less than any frame worth salvaging */

enum err_code codec_open(int level, struct codec **out, struct err *e)
{
	struct codec *c;

	if (level < 1 || level > ZSTD_maxCLevel())
		return err_set(e, ERR_USAGE, "zstd level %d is not between 1 and %d", level,
			       ZSTD_maxCLevel());
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(e, ERR_NOMEM, "no memory for a codec");
	/* Tables are allocated at first use: who only reads pays for no compressor. */
	c->compress = ZSTD_createCCtx();
	c->trial = ZSTD_createCCtx();
	c->decompress = ZSTD_createDCtx();
	if (!c->compress || !c->trial || !c->decompress || !set_up(c, level)) {
		codec_close(c);
		return err_set(e, ERR_NOMEM, "no memory for a codec");
	}
	c->look = level >= LOOK_LEVEL;
	*out = c;
	return ERR_OK;
}

void codec_close(struct codec *c)
{
	if (!c)
		return;
	ZSTD_freeCCtx(c->compress);
	ZSTD_freeCCtx(c->trial);
	ZSTD_freeDCtx(c->decompress);
	free(c->scratch);
	free(c);
}

uint8_t *codec_scratch(struct codec *c, size_t len)
{
	if (c->scratch && len <= c->scratch_len && c->scratch_len <= SCRATCH_KEPT)
		return c->scratch;
	free(c->scratch);
	c->scratch_len = len < SCRATCH_MIN ? SCRATCH_MIN : len;
	c->scratch = malloc(c->scratch_len);
	return c->scratch;
}

static size_t raw_len(size_t len)
{
	size_t nr = len ? (len + RAW_BLOCK_MAX - 1) / RAW_BLOCK_MAX : 1;

	return RAW_HEAD_LEN + 3 * nr + len;
}

size_t codec_bound(size_t len)
{
	size_t a = ZSTD_compressBound(len), b = raw_len(len);

	return a > b ? a : b;
}

/* libzstd has no way to ask for raw blocks, so the frame is written by hand. */
static size_t raw_frame(const uint8_t *src, size_t len, uint8_t *dst)
{
	uint8_t *p = dst;
	size_t done = 0;

	p = put_le32(p, ZSTD_MAGIC);
	p = put_u8(p, RAW_DESCRIPTOR);
	p = put_le32(p, (uint32_t)len);
	do {
		size_t n = len - done < RAW_BLOCK_MAX ? len - done : RAW_BLOCK_MAX;
		uint32_t last = done + n == len;
		uint32_t head = last | (uint32_t)n << 3;	/* type 0 in bits 1 and 2 */

		p = put_le16(p, (uint16_t)head);
		p = put_u8(p, (uint8_t)(head >> 16));
		p = put_bytes(p, src + done, n);
		done += n;
	} while (done < len);
	assert((size_t)(p - dst) == raw_len(len));
	return (size_t)(p - dst);
}

static bool segment_uniform(const uint8_t *p, size_t len)
{
	/* Four tables: the same byte twice in a row does not wait for its own counter. */
	uint16_t count[4][256] = { 0 };
	uint64_t squares = 0, nr = 0;

	for (size_t at = 0; at + SAMPLE_LEN <= len; at += SAMPLE_STRIDE) {
		for (size_t i = 0; i < SAMPLE_LEN; i += 4) {
			count[0][p[at + i]]++;
			count[1][p[at + i + 1]]++;
			count[2][p[at + i + 2]]++;
			count[3][p[at + i + 3]]++;
		}
		nr += SAMPLE_LEN;
	}
	for (size_t i = 0; i < 256; i++) {
		uint64_t n = (uint64_t)count[0][i] + count[1][i] + count[2][i] + count[3][i];

		squares += n * n;
	}
	if (nr == 0)
		return true;
	return 256.0 * (double)squares / (double)nr / (double)nr - 1.0 <
	       255.0 / (double)nr * NOISE_TIMES + NOISE_PLUS;
}

/* Every segment has a say: half a block of text is found beside half a block of noise. */
static bool looks_uniform(const uint8_t *src, size_t len)
{
	for (size_t at = 0; at < len; at += SEGMENT_LEN)
		if (!segment_uniform(src + at, len - at < SEGMENT_LEN ? len - at : SEGMENT_LEN))
			return false;
	return true;
}

static enum err_code zstd_err(struct err *e, size_t rc, const char *what)
{
	bool nomem = ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation;

	return err_set(e, nomem ? ERR_NOMEM : ERR_CORRUPT, "%s: %s", what, ZSTD_getErrorName(rc));
}

enum err_code codec_compress(struct codec *c, const uint8_t *src, size_t len, uint8_t *dst,
			     size_t cap, size_t *out_len, enum block_codec *codec, struct err *e)
{
	bool try = true;
	size_t n = len;

	assert(len <= BLOCK_PLAIN_MAX && cap >= codec_bound(len));
	if (c->look && len >= LOOK_MIN && looks_uniform(src, len)) {
		n = ZSTD_compress2(c->trial, dst, cap, src, len);
		if (ZSTD_isError(n))
			return zstd_err(e, n, "compress");
		try = n < worth(len);
	}
	if (try) {
		n = ZSTD_compress2(c->compress, dst, cap, src, len);
		if (ZSTD_isError(n))
			return zstd_err(e, n, "compress");
	}
	if (try && n < worth(len)) {
		*out_len = n;
		*codec = CODEC_ZSTD;
	} else {
		*out_len = raw_frame(src, len, dst);
		*codec = CODEC_RAW;
	}
	return ERR_OK;
}

/*
 * Nothing is allocated by what the frame says: it must declare plain_len, which the
 * caller has checked against a limit, and one-shot decoding writes to dst itself
 * and keeps no window.
 */
enum err_code codec_decompress(struct codec *c, const uint8_t *src, size_t len, uint8_t *dst,
			       size_t plain_len, struct err *e)
{
	struct rd r = rd_init(src, len);
	size_t n;

	/* libzstd would also take skippable frames and the formats of before 2016. */
	if (rd_le32(&r) != ZSTD_MAGIC)
		return err_set(e, ERR_CORRUPT, "no zstd frame");
	if (ZSTD_getFrameContentSize(src, len) != plain_len)
		return err_set(e, ERR_CORRUPT, "frame does not declare %zu bytes", plain_len);
	n = ZSTD_findFrameCompressedSize(src, len);
	if (ZSTD_isError(n))
		return zstd_err(e, n, "frame");
	if (n != len)
		return err_set(e, ERR_CORRUPT, "frame of %zu bytes ends at %zu", len, n);
	n = ZSTD_decompressDCtx(c->decompress, dst, plain_len, src, len);
	if (ZSTD_isError(n))
		return zstd_err(e, n, "decompress");
	if (n != plain_len)
		return err_set(e, ERR_CORRUPT, "frame of %zu bytes gave %zu", plain_len, n);
	return ERR_OK;
}

/* Where raw_frame put each byte, whatever became of the heads between them. */
static void salvage_raw(const uint8_t *src, uint8_t *dst, size_t plain_len)
{
	const uint8_t *p = src + RAW_HEAD_LEN;
	size_t done = 0;

	while (done < plain_len) {
		size_t n = plain_len - done < RAW_BLOCK_MAX ? plain_len - done : RAW_BLOCK_MAX;

		memcpy(dst + done, p + 3, n);
		p += 3 + n;
		done += n;
	}
}

void codec_salvage(struct codec *c, const uint8_t *src, size_t len, uint8_t *dst, size_t plain_len)
{
	ZSTD_inBuffer in = { .src = src };
	ZSTD_outBuffer out = { .dst = dst, .size = plain_len };
	size_t n, had;

	memset(dst, 0, plain_len);
	if (len == raw_len(plain_len)) {
		salvage_raw(src, dst, plain_len);
		return;
	}
	(void)ZSTD_DCtx_reset(c->decompress, ZSTD_reset_session_only);	/* cannot fail for this */
	/* Never the whole frame at once: libzstd would decode it in one go, and tell nothing of how far it came. */
	do {
		had = in.pos + out.pos;
		in.size = len - in.pos > SALVAGE_STEP ? in.pos + SALVAGE_STEP : len;
		n = ZSTD_decompressStream(c->decompress, &out, &in);
	} while (!ZSTD_isError(n) && n != 0 && in.pos + out.pos > had);
	(void)ZSTD_DCtx_reset(c->decompress, ZSTD_reset_session_only);
}
