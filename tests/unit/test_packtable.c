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
#include "store/format/limits.h"
#include "store/format/packtable.h"

/* Two blocks: of two chunks (stored 100) and of one (stored 50). */
enum {
	B0 = PACK_HEADER_LEN,
	B1 = B0 + FRAME_HEAD_LEN + BLOCK_HEADER_FIXED + 2 * BLOCK_CHUNK_LEN + 8 + 100,
	TABLE_AT = B1 + FRAME_HEAD_LEN + BLOCK_HEADER_FIXED + BLOCK_CHUNK_LEN + 8 + 50,
	BLOCKS = FRAME_HEAD_LEN + 16,
	CHUNKS = BLOCKS + 2 * 16,
	FOOTER = CHUNKS + 3 * BLOCK_CHUNK_LEN,
	FRAME_LEN = FOOTER + PACK_FOOTER_LEN,
	PACK_LEN = TABLE_AT + FRAME_LEN
};

static struct table_block blocks[2] = {
	{ .off = B0, .plain_len = 300, .stored_len = 100, .first_chunk = 0, .nr_chunks = 2 },
	{ .off = B1, .plain_len = 400, .stored_len = 50, .first_chunk = 2, .nr_chunks = 1 },
};
static struct chunk_desc chunks[3] = {
	{ .id = { { 1 } }, .len = 100 },
	{ .id = { { 2 } }, .len = 200 },
	{ .id = { { 3 } }, .len = 400 },
};
static const struct packtable sample = {
	.kind = PACK_DATA, .pack_len = PACK_LEN, .nr_blocks = 2, .nr_chunks = 3,
	.blocks = blocks, .chunks = chunks,
};

static void encode_sample(uint8_t out[FRAME_LEN])
{
	struct buf b = BUF_INIT;

	packtable_encode(&sample, &b);
	assert_false(b.bad);
	assert_int_equal(b.len, FRAME_LEN);
	assert_int_equal(b.len, packtable_frame_len(2, 3));
	memcpy(out, b.p, b.len);
	buf_release(&b);
}

static void mend_check(uint8_t buf[FRAME_LEN])
{
	put_le64(buf + FOOTER + 16, digest_xxh3(buf, FOOTER + 16));
}

static void test_round_trip(void **state)
{
	struct err e = ERR_INIT;
	uint8_t buf[FRAME_LEN];
	size_t frame_len = 0;
	struct packtable t;

	(void)state;
	encode_sample(buf);
	assert_int_equal(packtable_peek(buf + FOOTER, PACK_LEN, &frame_len, &e), ERR_OK);
	assert_int_equal(frame_len, FRAME_LEN);
	assert_int_equal(packtable_decode(buf, sizeof(buf), PACK_LEN, &t, &e), ERR_OK);
	assert_int_equal(t.kind, PACK_DATA);
	assert_int_equal(t.pack_len, PACK_LEN);
	assert_int_equal(t.nr_blocks, 2);
	assert_int_equal(t.nr_chunks, 3);
	assert_memory_equal(t.blocks, blocks, sizeof(blocks));
	assert_memory_equal(t.chunks, chunks, sizeof(chunks));
	packtable_release(&t);
	packtable_release(&t);
}

static const struct row {
	const char *name;
	size_t at, width;	/* offset and bytes patched */
	uint64_t with;
	bool mend;
	enum err_code want;
} rows[] = {
	{ "intact", 0, 1, 0x5c, false, ERR_OK },
	{ "frame magic", 0, 1, 0x5b, true, ERR_CORRUPT },
	{ "frame length", 4, 1, 0, true, ERR_CORRUPT },
	{ "magic", 8, 1, 'X', true, ERR_CORRUPT },
	{ "version, unchecked", 12, 1, 2, false, ERR_CORRUPT },
	{ "version", 12, 1, 2, true, ERR_UNSUPPORTED },
	{ "kind", 13, 1, 3, true, ERR_UNSUPPORTED },
	{ "encrypted", 14, 1, 1, true, ERR_UNSUPPORTED },
	{ "unknown flag", 15, 1, 1, true, ERR_UNSUPPORTED },
	{ "no blocks", 16, 4, 0, true, ERR_CORRUPT },
	{ "one block more", 16, 4, 3, true, ERR_CORRUPT },
	{ "2^32 - 1 blocks", 16, 4, 0xffffffff, true, ERR_CORRUPT },
	{ "no chunks", 20, 4, 0, true, ERR_CORRUPT },
	{ "2^32 - 1 chunks", 20, 4, 0xffffffff, true, ERR_CORRUPT },
	{ "block in the pack header", BLOCKS, 4, B0 - 1, true, ERR_CORRUPT },
	{ "block past the end", BLOCKS, 4, 0xffffffff, true, ERR_CORRUPT },
	{ "plain_len 0", BLOCKS + 4, 4, 0, true, ERR_CORRUPT },
	{ "plain_len is not the sum", BLOCKS + 4, 4, 301, true, ERR_CORRUPT },
	{ "plain_len > max", BLOCKS + 4, 4, BLOCK_PLAIN_MAX + 1, true, ERR_CORRUPT },
	{ "stored_len 0", BLOCKS + 8, 4, 0, true, ERR_CORRUPT },
	{ "stored_len > max", BLOCKS + 8, 4, BLOCK_STORED_MAX + 1, true, ERR_CORRUPT },
	{ "overlaps the next", BLOCKS + 8, 4, 101, true, ERR_CORRUPT },
	{ "block of no chunks", BLOCKS + 12, 4, 0, true, ERR_CORRUPT },
	{ "block of too many chunks", BLOCKS + 12, 4, 4, true, ERR_CORRUPT },
	{ "block of a chunk fewer", BLOCKS + 12, 4, 1, true, ERR_CORRUPT },
	{ "out of order", BLOCKS + 16, 4, B0, true, ERR_CORRUPT },
	{ "reaches into the table", BLOCKS + 24, 4, 51, true, ERR_CORRUPT },
	{ "last block takes no chunk", BLOCKS + 28, 4, 2, true, ERR_CORRUPT },
	{ "chunk of no bytes", CHUNKS + 32, 4, 0, true, ERR_CORRUPT },
	{ "chunk > max", CHUNKS + 32, 4, CHUNK_LEN_MAX + 1, true, ERR_CORRUPT },
	{ "chunk length", CHUNKS + 32, 4, 99, true, ERR_CORRUPT },
	{ "footer: pack longer", FOOTER, 8, PACK_LEN + 1, true, ERR_INCOMPLETE },
	{ "footer: pack shorter", FOOTER, 8, PACK_LEN - 1, true, ERR_CORRUPT },
	{ "footer: pack huge", FOOTER, 8, UINT64_MAX, true, ERR_CORRUPT },
	{ "footer: table longer", FOOTER + 8, 4, FRAME_LEN + 1, true, ERR_CORRUPT },
	{ "footer: table huge", FOOTER + 8, 4, 0xffffffff, true, ERR_CORRUPT },
	{ "footer: table empty", FOOTER + 8, 4, 0, true, ERR_CORRUPT },
	{ "footer: reserved", FOOTER + 12, 4, 1, true, ERR_CORRUPT },
	{ "footer: check", FOOTER + 16, 8, 0, false, ERR_CORRUPT },
	{ "footer: magic damaged", FOOTER + 24, 1, 'X', true, ERR_CORRUPT },
	{ "footer: no magic", FOOTER + 24, 8, 0, true, ERR_INCOMPLETE },
};

static void test_row(void **state)
{
	const struct row *t = *state;
	struct packtable out = { 0 };
	struct err e = ERR_INIT;
	uint8_t buf[FRAME_LEN];

	encode_sample(buf);
	for (size_t i = 0; i < t->width; i++)
		buf[t->at + i] = (uint8_t)(t->with >> 8 * i);
	if (t->mend)
		mend_check(buf);
	assert_int_equal(packtable_decode(buf, sizeof(buf), PACK_LEN, &out, &e), t->want);
	assert_int_equal(e.code, t->want);
	if (t->want)
		assert_null(out.blocks);
	packtable_release(&out);
}

static void test_peek(void **state)
{
	struct err e = ERR_INIT;
	uint8_t buf[FRAME_LEN];
	size_t n = 0;

	(void)state;
	encode_sample(buf);
	assert_int_equal(packtable_peek(buf + FOOTER, PACK_LEN - 1, &n, &e), ERR_INCOMPLETE);
	assert_int_equal(packtable_peek(buf + FOOTER, PACK_LEN + 1, &n, &e), ERR_CORRUPT);
	assert_int_equal(packtable_peek(buf + FOOTER, PACK_HEADER_LEN, &n, &e), ERR_INCOMPLETE);
	assert_int_equal(packtable_peek(buf + FOOTER, 0, &n, &e), ERR_INCOMPLETE);
	put_le32(buf + FOOTER + 8, PACK_LEN - PACK_HEADER_LEN + 1);
	assert_int_equal(packtable_peek(buf + FOOTER, PACK_LEN, &n, &e), ERR_CORRUPT);
	put_le64(buf + FOOTER, (uint64_t)PACK_LEN_MAX + 1);
	assert_int_equal(packtable_peek(buf + FOOTER, (uint64_t)PACK_LEN_MAX + 1, &n, &e),
			 ERR_CORRUPT);
	assert_int_equal(n, 0);
}

static void test_damage(void **state)
{
	struct err e = ERR_INIT;
	uint8_t buf[FRAME_LEN];
	struct packtable t;
	enum err_code rc;

	(void)state;
	encode_sample(buf);
	for (size_t len = 0; len < sizeof(buf); len++) {
		uint8_t *cut = malloc(len + 1);

		assert_non_null(cut);
		memcpy(cut, buf, len);
		rc = packtable_decode(cut, len, TABLE_AT + len, &t, &e);
		assert_true(rc == ERR_CORRUPT || rc == ERR_INCOMPLETE);
		memcpy(cut, buf + sizeof(buf) - len, len);	/* the head missing */
		rc = packtable_decode(cut, len, PACK_LEN, &t, &e);
		assert_int_equal(rc, ERR_CORRUPT);
		free(cut);
	}
	for (size_t bit = 0; bit < 8 * sizeof(buf); bit++) {
		bool in_len = bit / 8 >= FOOTER && bit / 8 < FOOTER + 8;

		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		rc = packtable_decode(buf, sizeof(buf), PACK_LEN, &t, &e);
		/* A greater length in the footer reads as a pack cut short. */
		assert_true(rc == ERR_CORRUPT || (in_len && rc == ERR_INCOMPLETE));
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(packtable_decode(buf, sizeof(buf), PACK_LEN, &t, &e), ERR_OK);
	packtable_release(&t);
}

static void test_gap(void **state)
{
	struct err e = ERR_INIT;
	uint8_t buf[FRAME_LEN];
	struct packtable t;

	(void)state;
	encode_sample(buf);
	put_le32(buf + BLOCKS, B0 + 7);
	put_le32(buf + BLOCKS + 16, B1 + 7);
	put_le64(buf + FOOTER, PACK_LEN + 7);
	mend_check(buf);
	assert_int_equal(packtable_decode(buf, sizeof(buf), PACK_LEN + 7, &t, &e), ERR_OK);
	assert_int_equal(t.blocks[0].off, B0 + 7);
	packtable_release(&t);
}

static void test_no_memory(void **state)
{
	struct buf b = { .bad = true };

	(void)state;
	packtable_encode(&sample, &b);
	assert_true(b.bad);
}

int main(void)
{
	const struct CMUnitTest fixed[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_peek),
		cmocka_unit_test(test_damage),	   cmocka_unit_test(test_gap),
		cmocka_unit_test(test_no_memory),
	};
	struct CMUnitTest tests[ARRAY_LEN(rows)];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[i] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL,
			(void *)(uintptr_t)&rows[i] };
	return cmocka_run_group_tests_name("packtable", fixed, NULL, NULL) +
	       cmocka_run_group_tests_name("packtable rows", tests, NULL, NULL);
}
