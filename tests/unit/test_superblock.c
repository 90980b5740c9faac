/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/checked.h"
#include "store/format/checkline.h"
#include "store/format/limits.h"
#include "store/format/superblock.h"

static void sample(struct superblock *s)
{
	*s = (struct superblock){ .created = "2026-11-21T02:00:00.000000000Z" };
	for (size_t i = 0; i < REPO_ID_LEN; i++)
		s->id[i] = (uint8_t)(0xf0 + i);
	store_params_default(&s->params);
}

static void test_superblock_round_trip(void **state)
{
	struct superblock want, got;
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	sample(&want);
	want.params.zstd_level = 19;
	want.params.pack_len = 4096;
	superblock_encode(&want, &b);
	assert_false(b.bad);
	assert_true(checkline_ok(b.p, b.len));
	assert_int_equal(superblock_decode(b.p, b.len, &got, &e), ERR_OK);
	assert_memory_equal(got.id, want.id, REPO_ID_LEN);
	assert_string_equal(got.created, want.created);
	assert_memory_equal(&got.params, &want.params, sizeof(want.params));
	assert_false(got.read_only);
	buf_release(&b);
}

/* Another share, and nothing else: what is not known here stays. */
static void test_superblock_set_parity(void **state)
{
	struct superblock s, got;
	struct buf b = BUF_INIT, odd = BUF_INIT, out = BUF_INIT, back = BUF_INIT;
	struct err e = ERR_INIT;
	char *text, *at;

	(void)state;
	sample(&s);
	superblock_encode(&s, &b);
	assert_int_equal(superblock_set_parity(b.p, b.len, 55, &out, &e), ERR_OK);
	s.params.parity = 55;
	superblock_encode(&s, &back);
	assert_int_equal(out.len, back.len);
	assert_memory_equal(out.p, back.p, out.len);

	/* A later version's. */
	text = strndup((const char *)b.p, b.len);
	at = strstr(text, "\"compatible\": []");
	buf_add(&odd, text, (size_t)(at - text));
	buf_add_str(&odd, "\"compatible\": [\"new\"],\n    \"unknown\": {\"x\": 1}");
	at += strlen("\"compatible\": []");
	buf_add(&odd, at, (size_t)(strstr(at, "\"sha256\"") - at));
	checkline_add(&odd);
	buf_reset(&out);
	assert_int_equal(superblock_set_parity(odd.p, odd.len, 1, &out, &e), ERR_OK);
	buf_add_u8(&out, 0);
	assert_non_null(strstr((char *)out.p, "\"new\""));
	assert_non_null(strstr((char *)out.p, "\"unknown\""));
	assert_int_equal(superblock_decode(out.p, out.len - 1, &got, &e), ERR_OK);
	assert_int_equal(got.params.parity, 1);

	buf_reset(&out);
	assert_int_equal(superblock_set_parity(b.p, b.len, 501, &out, &e), ERR_CORRUPT);
	b.p[20] ^= 1;
	buf_reset(&out);
	assert_int_equal(superblock_set_parity(b.p, b.len, 30, &out, &e), ERR_CORRUPT);
	free(text);
	buf_release(&b);
	buf_release(&odd);
	buf_release(&out);
	buf_release(&back);
}

static void test_superblock_truncation(void **state)
{
	struct superblock s, got;
	struct buf b = BUF_INIT;

	(void)state;
	sample(&s);
	superblock_encode(&s, &b);
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(superblock_decode(b.p, len, &got, NULL), ERR_CORRUPT);
	buf_release(&b);
}

static void test_superblock_bit_flips(void **state)
{
	struct superblock s, got;
	struct buf b = BUF_INIT;

	(void)state;
	sample(&s);
	superblock_encode(&s, &b);
	for (size_t bit = 0; bit < 8 * b.len; bit++) {
		b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(superblock_decode(b.p, b.len, &got, NULL), ERR_CORRUPT);
		b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	buf_release(&b);
}

/* The record with one piece of text replaced, and a right check line again. */
static const struct row {
	const char *name, *from, *to;
	enum err_code want;
	bool read_only;
} rows[] = {
	{ "as it is", "", "", ERR_OK, false },
	{ "format 2", "\"format\": 1", "\"format\": 2", ERR_UNSUPPORTED, false },
	{ "format 0", "\"format\": 1", "\"format\": 0", ERR_CORRUPT, false },
	{ "format -1", "\"format\": 1", "\"format\": -1", ERR_CORRUPT, false },
	{ "format huge", "\"format\": 1", "\"format\": 99999999999999999999", ERR_CORRUPT, false },
	{ "format as text", "\"format\": 1", "\"format\": \"1\"", ERR_OK, false },
	{ "format no number", "\"format\": 1", "\"format\": \"one\"", ERR_CORRUPT, false },
	{ "another kind", "\"repository\"", "\"snapshot\"", ERR_CORRUPT, false },
	{ "no kind", "\"vouch\"", "\"rouch\"", ERR_CORRUPT, false },
	{ "unknown member", "\"format\": 1", "\"format\": 1, \"new\": [{}]", ERR_OK, false },
	{ "member twice", "\"format\": 1", "\"format\": 1, \"format\": 1", ERR_CORRUPT, false },
	{ "id short", "f0f1", "f0", ERR_CORRUPT, false },
	{ "id upper case", "f0f1", "F0f1", ERR_CORRUPT, false },
	{ "no id", "\"id\"", "\"di\"", ERR_CORRUPT, false },
	{ "created with escape", "2026-", "\\u001b2026-", ERR_CORRUPT, false },
	{ "created too long", "2026-", "20262026202620262026-", ERR_CORRUPT, false },
	{ "compatible", "\"compatible\": []", "\"compatible\": [\"x\"]", ERR_OK, false },
	{ "readable", "\"readable\": []", "\"readable\": [\"x\"]", ERR_OK, true },
	{ "incompatible", "\"incompatible\": []", "\"incompatible\": [\"x\"]", ERR_UNSUPPORTED, false },
	{ "feature no text", "\"readable\": []", "\"readable\": [1]", ERR_CORRUPT, false },
	{ "features no list", "\"readable\": []", "\"readable\": {}", ERR_CORRUPT, false },
	{ "no features", "\"features\"", "\"fixtures\"", ERR_CORRUPT, false },
	{ "chunk_min 0", "65536", "0", ERR_CORRUPT, false },
	{ "chunk_min > avg", "65536", "262145", ERR_CORRUPT, false },
	{ "chunk_avg odd", "262144", "262143", ERR_CORRUPT, false },
	{ "chunk_max 8 MiB", "\"chunk_max\": 1048576", "\"chunk_max\": 8388608", ERR_OK, false },
	{ "chunk_max more", "\"chunk_max\": 1048576", "\"chunk_max\": 8388609", ERR_CORRUPT, false },
	{ "block_len 0", "\"block_len\": 1048576", "\"block_len\": 0", ERR_CORRUPT, false },
	{ "block_len 2^32", "\"block_len\": 1048576", "\"block_len\": 4294967296", ERR_CORRUPT, false },
	{ "pack_len 2^30", "33554432", "1073741824", ERR_CORRUPT, false },
	{ "level 20", "\"zstd_level\": 3", "\"zstd_level\": 20", ERR_CORRUPT, false },
	{ "level 0", "\"zstd_level\": 3", "\"zstd_level\": 0", ERR_CORRUPT, false },
	{ "level 1.5", "\"zstd_level\": 3", "\"zstd_level\": 1.5", ERR_CORRUPT, false },
	{ "no parameters", "\"parameters\"", "\"diameters\"", ERR_CORRUPT, false },
	{ "parameter missing", "\"pack_len\"", "\"pack_ken\"", ERR_CORRUPT, false },
	{ "no JSON", "{", "[", ERR_CORRUPT, false },
	{ "not UTF-8", "repository", "rep\xff", ERR_CORRUPT, false },
	{ "NUL in text", "repository", "repository\\u0000", ERR_CORRUPT, false },
};

static void replace(const struct buf *in, const char *from, const char *to, struct buf *out)
{
	const uint8_t *at = memmem(in->p, in->len, from, strlen(from));

	assert_non_null(at);
	buf_add(out, in->p, (size_t)(at - in->p));
	buf_add_str(out, to);
	at += strlen(from);
	buf_add(out, at, (size_t)(in->p + in->len - at));
}

static void test_row(void **state)
{
	const struct row *t = *state;
	struct buf b = BUF_INIT, patched = BUF_INIT;
	struct err e = ERR_INIT;
	struct superblock s, got;

	sample(&s);
	superblock_encode(&s, &b);
	b.len -= 77;			/* the check line */
	replace(&b, t->from, t->to, &patched);
	checkline_add(&patched);
	assert_int_equal(superblock_decode(patched.p, patched.len, &got, &e), t->want);
	assert_int_equal(e.code, t->want);
	if (!t->want) {
		assert_int_equal(got.read_only, t->read_only);
		assert_string_equal(got.read_only_why, t->read_only ? "x" : "");
	}
	if (t->want == ERR_UNSUPPORTED)
		assert_non_null(strstr(e.msg, "newer"));
	buf_release(&b);
	buf_release(&patched);
}

/* Records made to cost memory or stack, with a right check line. */
static void test_superblock_bombs(void **state)
{
	static const char *const piece[] = { "[", "{\"a\":", "[],", "1,", "\"\"," };
	struct superblock got;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(piece); i++) {
		struct buf b = BUF_INIT;
		struct err e = ERR_INIT;

		buf_add_str(&b, "{\"a\":[");
		while (b.len < RECORD_JSON_MAX - 200)
			buf_add_str(&b, piece[i]);
		buf_add_str(&b, "1],\n");
		checkline_add(&b);
		assert_int_equal(superblock_decode(b.p, b.len, &got, &e), ERR_CORRUPT);
		assert_non_null(strstr(e.msg, "more values, or deeper"));
		buf_release(&b);
	}
	struct buf b = BUF_INIT;

	while (b.len <= RECORD_JSON_MAX)
		buf_add_str(&b, "\n");
	checkline_add(&b);
	assert_int_equal(superblock_decode(b.p, b.len, &got, NULL), ERR_CORRUPT);
	buf_release(&b);
}

/* An unknown member may be an object of objects, but not without end. */
static void test_superblock_depth(void **state)
{
	(void)state;
	for (size_t depth = 1; depth < 100; depth++) {
		struct buf b = BUF_INIT, patched = BUF_INIT, deep = BUF_INIT;
		struct superblock s, got;

		buf_add_str(&deep, "\"format\": 1, \"new\": ");
		for (size_t i = 0; i < depth; i++)
			buf_add_str(&deep, "[");
		for (size_t i = 0; i < depth; i++)
			buf_add_str(&deep, "]");
		buf_add_u8(&deep, 0);
		sample(&s);
		superblock_encode(&s, &b);
		b.len -= 77;
		replace(&b, "\"format\": 1", (char *)deep.p, &patched);
		checkline_add(&patched);
		assert_int_equal(superblock_decode(patched.p, patched.len, &got, NULL),
				 depth < 32 ? ERR_OK : ERR_CORRUPT);
		buf_release(&b);
		buf_release(&patched);
		buf_release(&deep);
	}
}

static void test_superblock_long_feature(void **state)
{
	struct buf b = BUF_INIT, patched = BUF_INIT;
	struct superblock s, got;
	char list[600] = "\"readable\": [\"";

	(void)state;
	memset(list + strlen(list), 'x', 500);
	memcpy(list + strlen(list), "\"]", 3);
	sample(&s);
	superblock_encode(&s, &b);
	b.len -= 77;
	replace(&b, "\"readable\": []", list, &patched);
	checkline_add(&patched);
	assert_int_equal(superblock_decode(patched.p, patched.len, &got, NULL), ERR_OK);
	assert_int_equal(strlen(got.read_only_why), sizeof(got.read_only_why) - 1);
	buf_release(&b);
	buf_release(&patched);
}

static void test_checkline(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	buf_add_str(&b, "{\"a\":1,\n");
	checkline_add(&b);
	assert_int_equal(b.len, 8 + 77);
	/* printf '{"a":1,\n' | sha256sum */
	assert_memory_equal(b.p + 8, "\"sha256\":\"b77390ab5913d8b972cdccc8880478b4"
			    "8e8d4fa45c327ad443f578d3a41f75ed\"}\n", 77);
	assert_true(checkline_ok(b.p, b.len));
	assert_false(checkline_ok(b.p, b.len - 1));
	assert_false(checkline_ok(b.p + 1, b.len - 1));
	assert_false(checkline_ok(b.p + 8, b.len - 8));	/* nothing before it */
	b.p[7] = ' ';		/* no line of its own */
	b.len = 8;
	checkline_add(&b);
	assert_false(checkline_ok(b.p, b.len));
	buf_release(&b);
}

int main(void)
{
	static const struct CMUnitTest plain[] = {
		cmocka_unit_test(test_superblock_round_trip),
		cmocka_unit_test(test_superblock_set_parity),
		cmocka_unit_test(test_superblock_truncation),
		cmocka_unit_test(test_superblock_bit_flips),
		cmocka_unit_test(test_superblock_bombs),
		cmocka_unit_test(test_superblock_depth),
		cmocka_unit_test(test_superblock_long_feature),
		cmocka_unit_test(test_checkline),
	};
	struct CMUnitTest patched[ARRAY_LEN(rows)];
	int failed = cmocka_run_group_tests_name("superblock", plain, NULL, NULL);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		patched[i] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL,
						  (void *)(uintptr_t)&rows[i] };
	return failed + cmocka_run_group_tests_name("superblock patched", patched, NULL, NULL);
}
