/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/bytes.h"
#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/format/block.h"
#include "store/format/limits.h"

enum { NR = 3, HEADER_LEN = FRAME_HEAD_LEN + BLOCK_HEADER_FIXED + BLOCK_CHUNK_LEN * NR + 8 };

static const struct block_header sample = {
	.number = 7, .codec = CODEC_ZSTD, .nr_chunks = NR, .plain_len = 600, .stored_len = 321,
	.xxh3 = 0x0123456789abcdefu,
};

static void sample_chunks(struct chunk_desc *c)
{
	for (uint32_t i = 0; i < NR; i++) {
		memset(c[i].id.b, (int)(0x10 + i), ID_LEN);
		c[i].len = 100 * (i + 1);
	}
}

static void encode_sample(uint8_t out[HEADER_LEN])
{
	struct chunk_desc c[NR];
	struct buf b = BUF_INIT;

	sample_chunks(c);
	block_header_encode(&sample, c, &b);
	assert_false(b.bad);
	assert_int_equal(b.len, HEADER_LEN);
	assert_int_equal(b.len, block_header_len(NR));
	memcpy(out, b.p, b.len);
	buf_release(&b);
}

/* The check made right again after a field was patched: what is behind it is tested. */
static void mend_check(uint8_t *buf, size_t len)
{
	put_le64(buf + len - 8, digest_xxh3(buf + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN - 8));
}

static void test_block_round_trip(void **state)
{
	struct chunk_desc want[NR], got[NR];
	struct err e = ERR_INIT;
	struct block_header h;
	uint8_t buf[HEADER_LEN];
	size_t frame_len = 0;

	(void)state;
	sample_chunks(want);
	encode_sample(buf);
	assert_int_equal(
		block_header_peek(buf, FRAME_HEAD_LEN + BLOCK_HEADER_FIXED, &frame_len, &e), ERR_OK);
	assert_int_equal(frame_len, HEADER_LEN);
	assert_int_equal(block_header_decode(buf, sizeof(buf), &h, got, &e), ERR_OK);
	assert_int_equal(h.number, sample.number);
	assert_int_equal(h.codec, sample.codec);
	assert_int_equal(h.nr_chunks, NR);
	assert_int_equal(h.plain_len, sample.plain_len);
	assert_int_equal(h.stored_len, sample.stored_len);
	assert_true(h.xxh3 == sample.xxh3);
	for (size_t i = 0; i < NR; i++) {
		assert_true(id_eq(&got[i].id, &want[i].id));
		assert_int_equal(got[i].len, want[i].len);
	}
	assert_int_equal(block_header_decode(buf, sizeof(buf), &h, NULL, &e), ERR_OK);
}

/* The bytes as block.h draws them. */
static void test_block_layout(void **state)
{
	static const uint8_t head[] = {
		0x5b, 0x2a, 0x4d, 0x18, 48 + 36 * NR + 8, 0, 0, 0, 'V', 'B', 'L', 'K', 1, 1, 0, 0,
		7, 0, 0, 0, NR, 0, 0, 0, 0x58, 2, 0, 0, 0x41, 1, 0, 0,
		0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,
	};
	uint8_t buf[HEADER_LEN];

	(void)state;
	encode_sample(buf);
	assert_memory_equal(buf, head, sizeof(head));
	assert_int_equal(buf[8 + 48], 0x10);
	assert_int_equal(buf[8 + 48 + 32], 100);
}

static const struct row {
	const char *name;
	size_t len, at;		/* bytes given to the decoder; offset patched */
	uint8_t with;
	bool mend;
	enum err_code want;
} block_rows[] = {
	{ "intact", HEADER_LEN, 0, 0x5b, false, ERR_OK },
	{ "one byte short", HEADER_LEN - 1, 0, 0x5b, false, ERR_CORRUPT },
	{ "frame magic", HEADER_LEN, 0, 0x5a, true, ERR_CORRUPT },
	{ "frame length", HEADER_LEN, 4, 1, true, ERR_CORRUPT },
	{ "magic", HEADER_LEN, 8, 'X', true, ERR_CORRUPT },
	{ "version, unchecked", HEADER_LEN, 12, 2, false, ERR_CORRUPT },
	{ "version", HEADER_LEN, 12, 2, true, ERR_UNSUPPORTED },
	{ "codec", HEADER_LEN, 13, 2, true, ERR_UNSUPPORTED },
	{ "encrypted", HEADER_LEN, 14, 1, true, ERR_UNSUPPORTED },
	{ "unknown flag", HEADER_LEN, 15, 0x80, true, ERR_UNSUPPORTED },
	{ "number", HEADER_LEN, 18, 1, true, ERR_CORRUPT },
	{ "no chunks", HEADER_LEN, 20, 0, true, ERR_CORRUPT },
	{ "one chunk more", HEADER_LEN, 20, NR + 1, true, ERR_CORRUPT },
	{ "huge number of chunks", HEADER_LEN, 23, 0xff, true, ERR_CORRUPT },
	{ "plain_len is not the sum", HEADER_LEN, 24, 0x59, true, ERR_CORRUPT },
	{ "plain_len > max", HEADER_LEN, 27, 0x7f, true, ERR_CORRUPT },
	{ "stored_len > max", HEADER_LEN, 31, 0x7f, true, ERR_CORRUPT },
	{ "reserved, first", HEADER_LEN, 40, 1, true, ERR_CORRUPT },
	{ "reserved, last", HEADER_LEN, 55, 1, true, ERR_CORRUPT },
	{ "chunk of no bytes", HEADER_LEN, 56 + 32, 0, true, ERR_CORRUPT },
	{ "chunk > max", HEADER_LEN, 56 + 35, 1, true, ERR_CORRUPT },
	{ "the check", HEADER_LEN, HEADER_LEN - 1, 0, false, ERR_CORRUPT },
};

static void test_block_row(void **state)
{
	const struct row *t = *state;
	struct err e = ERR_INIT;
	struct chunk_desc c[NR];
	struct block_header h;
	uint8_t buf[HEADER_LEN];

	encode_sample(buf);
	if (t->at == HEADER_LEN - 1)
		buf[t->at] ^= 1;
	else
		buf[t->at] = t->with;
	if (t->mend)
		mend_check(buf, sizeof(buf));
	assert_int_equal(block_header_decode(buf, t->len, &h, c, &e), t->want);
	assert_int_equal(e.code, t->want);
}

static void test_block_sums(void **state)
{
	struct err e = ERR_INIT;
	struct block_header h;
	uint8_t buf[HEADER_LEN];

	(void)state;
	encode_sample(buf);
	put_le32(buf + 24, 0);		/* nothing inside, nothing promised */
	mend_check(buf, sizeof(buf));
	assert_int_equal(block_header_decode(buf, sizeof(buf), &h, NULL, &e), ERR_CORRUPT);
	encode_sample(buf);
	put_le32(buf + 28, 0);
	mend_check(buf, sizeof(buf));
	assert_int_equal(block_header_decode(buf, sizeof(buf), &h, NULL, &e), ERR_CORRUPT);
	/* Three chunks of the largest length are more than a block may hold. */
	encode_sample(buf);
	for (size_t i = 0; i < NR; i++)
		put_le32(buf + 56 + 36 * i + 32, CHUNK_LEN_MAX);
	put_le32(buf + 24, NR * CHUNK_LEN_MAX);
	mend_check(buf, sizeof(buf));
	assert_int_equal(block_header_decode(buf, sizeof(buf), &h, NULL, &e), ERR_CORRUPT);
}

static void test_block_damage(void **state)
{
	struct err e = ERR_INIT;
	struct chunk_desc c[NR];
	struct block_header h;
	uint8_t buf[HEADER_LEN];
	size_t n;

	(void)state;
	encode_sample(buf);
	for (size_t len = 0; len < sizeof(buf); len++) {
		/* A copy of its own size, so that a read past its end is seen. */
		uint8_t *cut = malloc(len + 1);

		assert_non_null(cut);
		memcpy(cut, buf, len);
		assert_int_equal(block_header_decode(cut, len, &h, c, &e), ERR_CORRUPT);
		if (len < FRAME_HEAD_LEN + BLOCK_HEADER_FIXED)
			assert_int_equal(block_header_peek(cut, len, &n, &e), ERR_CORRUPT);
		free(cut);
	}
	for (size_t bit = 0; bit < 8 * sizeof(buf); bit++) {
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(block_header_decode(buf, sizeof(buf), &h, c, &e), ERR_CORRUPT);
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void test_block_largest(void **state)
{
	struct chunk_desc *c = calloc(2 * BLOCK_CHUNKS_MAX, sizeof(*c));
	struct block_header h = { .number = PACK_BLOCKS_MAX - 1, .codec = CODEC_RAW,
		.nr_chunks = BLOCK_CHUNKS_MAX, .plain_len = 5 * BLOCK_CHUNKS_MAX,
		.stored_len = BLOCK_STORED_MAX }, got;
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	assert_non_null(c);
	for (size_t i = 0; i < BLOCK_CHUNKS_MAX; i++)
		c[i].len = 5;
	block_header_encode(&h, c, &b);
	assert_int_equal(block_header_decode(b.p, b.len, &got, c + BLOCK_CHUNKS_MAX, &e), ERR_OK);
	assert_memory_equal(c, c + BLOCK_CHUNKS_MAX, BLOCK_CHUNKS_MAX * sizeof(*c));
	put_le32(b.p + 20, BLOCK_CHUNKS_MAX + 1);
	assert_int_equal(block_header_decode(b.p, b.len, &got, NULL, &e), ERR_CORRUPT);
	/* Out of memory shows in the buffer. */
	buf_release(&b);
	b.bad = true;
	block_header_encode(&h, c, &b);
	assert_true(b.bad);
	free(c);
}

static const struct row pack_rows[] = {
	{ "intact", 72, 0, 0x5a, false, ERR_OK },
	{ "one byte short", 71, 0, 0x5a, false, ERR_CORRUPT },
	{ "nothing", 0, 0, 0x5a, false, ERR_CORRUPT },
	{ "frame magic", 72, 0, 0x5b, true, ERR_CORRUPT },
	{ "frame length", 72, 4, 65, true, ERR_CORRUPT },
	{ "magic", 72, 8, 'X', true, ERR_CORRUPT },
	{ "version, unchecked", 72, 12, 2, false, ERR_CORRUPT },
	{ "version", 72, 12, 2, true, ERR_UNSUPPORTED },
	{ "kind", 72, 13, 3, true, ERR_UNSUPPORTED },
	{ "kind 0", 72, 13, 0, true, ERR_UNSUPPORTED },
	{ "encrypted", 72, 14, 1, true, ERR_UNSUPPORTED },
	{ "unknown flag", 72, 15, 1, true, ERR_UNSUPPORTED },
	{ "salt", 72, 16, 1, true, ERR_CORRUPT },
	{ "reserved", 72, 63, 1, true, ERR_CORRUPT },
};

static void test_pack_row(void **state)
{
	const struct row *t = *state;
	struct pack_header h = { .kind = PACK_TREE };
	uint8_t buf[PACK_HEADER_LEN];
	struct err e = ERR_INIT;

	pack_header_encode(&h, buf);
	h.kind = PACK_DATA;
	buf[t->at] = t->with;
	if (t->mend)
		mend_check(buf, sizeof(buf));
	assert_int_equal(pack_header_decode(buf, t->len, &h, &e), t->want);
	assert_int_equal(e.code, t->want);
	assert_int_equal(h.kind, t->want ? PACK_DATA : PACK_TREE);
}

static void test_pack_bits(void **state)
{
	struct pack_header h = { .kind = PACK_DATA };
	uint8_t buf[PACK_HEADER_LEN];
	struct err e = ERR_INIT;

	(void)state;
	pack_header_encode(&h, buf);
	for (size_t bit = 0; bit < 8 * sizeof(buf); bit++) {
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(pack_header_decode(buf, sizeof(buf), &h, &e), ERR_CORRUPT);
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

int main(void)
{
	const struct CMUnitTest fixed[] = {
		cmocka_unit_test(test_block_round_trip), cmocka_unit_test(test_block_layout),
		cmocka_unit_test(test_block_sums),	 cmocka_unit_test(test_block_damage),
		cmocka_unit_test(test_block_largest),	 cmocka_unit_test(test_pack_bits),
	};
	struct CMUnitTest rows[ARRAY_LEN(block_rows) + ARRAY_LEN(pack_rows)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(block_rows); i++)
		rows[n++] = (struct CMUnitTest){ block_rows[i].name, test_block_row, NULL, NULL,
			(void *)(uintptr_t)&block_rows[i] };
	for (size_t i = 0; i < ARRAY_LEN(pack_rows); i++)
		rows[n++] = (struct CMUnitTest){ pack_rows[i].name, test_pack_row, NULL, NULL,
			(void *)(uintptr_t)&pack_rows[i] };
	return cmocka_run_group_tests_name("block", fixed, NULL, NULL) +
	       cmocka_run_group_tests_name("block rows", rows, NULL, NULL);
}
