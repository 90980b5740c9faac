/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/base/checked.h"
#include "store/engine/codec.h"
#include "store/format/limits.h"

enum { MIB = 1 << 20 };

/* xorshift64*: the same bytes every run. */
static void noise(uint8_t *p, size_t len, uint64_t seed)
{
	uint64_t x = seed * 2 + 1;

	for (size_t i = 0; i < len; i++) {
		x ^= x >> 12;
		x ^= x << 25;
		x ^= x >> 27;
		p[i] = (uint8_t)(x * 0x2545f4914f6cdd1du >> 56);
	}
}

static void text(uint8_t *p, size_t len)
{
	static const char *const words[] = { "static ", "return ", "int ", "err_code ", "\tif (",
					     "block", ");\n", "->len", " = ", "pack " };
	uint64_t x = 88172645463325252u;
	size_t at = 0;

	while (at < len) {
		const char *w;
		size_t n;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		w = words[x % ARRAY_LEN(words)];
		n = strlen(w) < len - at ? strlen(w) : len - at;
		memcpy(p + at, w, n);
		at += n;
	}
}

/* What lies in the first and in the second half of a block, and what must become of it. */
static const struct row {
	const char *name;
	char first, second;	/* t text, n noise, r the noise again, z zeros */
	size_t len;
	int level;
	enum block_codec codec;
	size_t at_most;		/* bytes stored */
} rows[] = {
	{ "nothing", 't', 't', 0, 3, CODEC_RAW, 12 },
	{ "a byte", 't', 't', 1, 3, CODEC_RAW, 13 },
	{ "255 of noise", 'n', 'n', 255, 3, CODEC_RAW, 255 + 12 },
	{ "256 of noise", 'n', 'n', 256, 3, CODEC_RAW, 256 + 12 },
	{ "65,792 of noise", 'n', 'n', 65792, 3, CODEC_RAW, 65792 + 12 },
	{ "128 KiB of noise", 'n', 'n', 128 << 10, 3, CODEC_RAW, (128 << 10) + 12 },
	{ "a byte more", 'n', 'n', (128 << 10) + 1, 3, CODEC_RAW, (128 << 10) + 1 + 15 },
	{ "noise", 'n', 'n', MIB, 3, CODEC_RAW, MIB + 33 },
	{ "noise, level 9", 'n', 'n', MIB, 9, CODEC_RAW, MIB + 33 },
	{ "odd length, level 9", 'n', 'n', MIB - 32767, 9, CODEC_RAW, MIB },
	{ "text", 't', 't', MIB, 3, CODEC_ZSTD, MIB / 3 },
	{ "text, level 19", 't', 't', MIB / 4, 19, CODEC_ZSTD, MIB / 12 },
	{ "zeros", 'z', 'z', MIB, 9, CODEC_ZSTD, 100 },
	{ "noise, text", 'n', 't', MIB, 3, CODEC_ZSTD, MIB / 2 + MIB / 6 },
	{ "noise, text, level 9", 'n', 't', MIB, 9, CODEC_ZSTD, MIB / 2 + MIB / 6 },
	{ "text, noise, level 9", 't', 'n', MIB, 9, CODEC_ZSTD, MIB / 2 + MIB / 6 },
	{ "noise twice, level 3", 'n', 'r', MIB, 3, CODEC_ZSTD, MIB / 2 + MIB / 8 },
	{ "noise twice, level 9", 'n', 'r', MIB, 9, CODEC_ZSTD, MIB / 2 + MIB / 8 },
	{ "largest block", 'n', 'n', BLOCK_PLAIN_MAX, 3, CODEC_RAW, BLOCK_STORED_MAX },
};

static void fill(uint8_t *p, size_t len, char kind)
{
	switch (kind) {
	case 't':
		text(p, len);
		break;
	case 'n':
		noise(p, len, 1);
		break;
	case 'r':
		memcpy(p, p - len, len);
		break;
	default:
		memset(p, 0, len);
	}
}

static uint8_t *row_bytes(const struct row *t)
{
	size_t half = t->second == t->first ? t->len : t->len / 2;
	uint8_t *p = malloc(t->len + 1);

	assert_non_null(p);
	fill(p, half, t->first);
	if (half < t->len)
		fill(p + half, t->len - half, t->second);
	return p;
}

static void test_row(void **state)
{
	const struct row *t = *state;
	size_t cap = codec_bound(t->len), n = 0;
	enum block_codec codec = CODEC_RAW;
	struct err e = ERR_INIT;
	struct codec *c = NULL;
	uint8_t *src = row_bytes(t), *dst = malloc(cap), *back = malloc(t->len + 1);

	assert_non_null(dst);
	assert_non_null(back);
	assert_int_equal(codec_open(t->level, &c, &e), ERR_OK);
	assert_int_equal(codec_compress(c, src, t->len, dst, cap, &n, &codec, &e), ERR_OK);
	assert_int_equal(codec, t->codec);
	assert_in_range(n, 1, t->at_most);
	assert_int_equal(codec_decompress(c, dst, n, back, t->len, &e), ERR_OK);
	assert_memory_equal(src, back, t->len);
	codec_close(c);
	free(back);
	free(dst);
	free(src);
}

/* The real program must print the same bytes. */
static void test_zstd_program(void **state)
{
	enum block_codec codec;
	struct err e = ERR_INIT;
	struct codec *c = NULL;

	(void)state;
	if (system("command -v zstd >/dev/null 2>&1 && command -v cmp >/dev/null 2>&1") != 0)
		skip();
	assert_int_equal(codec_open(3, &c, &e), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(rows) - 1; i++) {
		char plain[] = "/tmp/vouch-codec-XXXXXX", cmd[128];
		size_t cap = codec_bound(rows[i].len), n = 0;
		uint8_t *src = row_bytes(&rows[i]), *dst = malloc(cap);
		int fd = mkstemp(plain);
		FILE *f;

		assert_non_null(dst);
		assert_true(fd >= 0);
		assert_true(write(fd, src, rows[i].len) == (ssize_t)rows[i].len);
		assert_int_equal(codec_compress(c, src, rows[i].len, dst, cap, &n, &codec, &e),
				 ERR_OK);
		(void)snprintf(cmd, sizeof(cmd), "zstd -q -d | cmp - %s", plain);
		f = popen(cmd, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(dst, 1, n, f), n);
		assert_int_equal(pclose(f), 0);
		close(fd);
		unlink(plain);
		free(src);
		free(dst);
	}
	codec_close(c);
}

/* Frames by hand: magic 28 b5 2f fd, descriptor, content size, blocks. */
static const struct frame {
	const char *name;
	uint8_t b[24];
	size_t len, plain_len;
	enum err_code want;
} frames[] = {
	{ "raw, one-byte size", { 0x28, 0xb5, 0x2f, 0xfd, 0x20, 2, 0x11, 0, 0, 'h', 'i' }, 11, 2,
	  ERR_OK },
	{ "raw, eight-byte size", { 0x28, 0xb5, 0x2f, 0xfd, 0xe0, 2, 0, 0, 0, 0, 0, 0, 0, 0x11, 0,
	  0, 'h', 'i' }, 18, 2, ERR_OK },
	{ "a run", { 0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0xc8, 0, 0, 0, 0x43, 6, 0, 'x' }, 13, 200,
	  ERR_OK },
	{ "two blocks", { 0x28, 0xb5, 0x2f, 0xfd, 0x20, 2, 8, 0, 0, 'h', 9, 0, 0, 'i' }, 14, 2,
	  ERR_OK },
	{ "no size declared", { 0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0x11, 0, 0, 'h', 'i' }, 11, 2,
	  ERR_CORRUPT },
	{ "another size declared", { 0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 0x11, 0, 0, 'h', 'i' }, 11, 2,
	  ERR_CORRUPT },
	{ "less inside", { 0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 0x11, 0, 0, 'h', 'i' }, 11, 3,
	  ERR_CORRUPT },
	{ "more inside", { 0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 0x11, 0, 0, 'h', 'i' }, 11, 1,
	  ERR_CORRUPT },
	{ "a run too long", { 0x28, 0xb5, 0x2f, 0xfd, 0x20, 2, 0xfb, 0xff, 0xf, 'x' }, 10, 2,
	  ERR_CORRUPT },
	{ "a byte after it", { 0x28, 0xb5, 0x2f, 0xfd, 0x20, 2, 0x11, 0, 0, 'h', 'i', 0 }, 12, 2,
	  ERR_CORRUPT },
	{ "a second frame", { 0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 9, 0, 0, 'h',
	  0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 9, 0, 0, 'i' }, 20, 2, ERR_CORRUPT },
	{ "a skippable frame", { 0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'h', 'i' }, 10, 0,
	  ERR_CORRUPT },
	{ "block type 3", { 0x28, 0xb5, 0x2f, 0xfd, 0x20, 2, 0x17, 0, 0, 'h', 'i' }, 11, 2,
	  ERR_CORRUPT },
	{ "reserved descriptor bit", { 0x28, 0xb5, 0x2f, 0xfd, 0x28, 2, 0x11, 0, 0, 'h', 'i' }, 11,
	  2, ERR_CORRUPT },
	{ "a dictionary", { 0x28, 0xb5, 0x2f, 0xfd, 0x21, 7, 2, 0x11, 0, 0, 'h', 'i' }, 12, 2,
	  ERR_CORRUPT },
	{ "format of 2015", { 0x25, 0xb5, 0x2f, 0xfd, 0, 0, 0 }, 7, 2, ERR_CORRUPT },
	{ "checksum, wrong", { 0x28, 0xb5, 0x2f, 0xfd, 0x24, 2, 0x11, 0, 0, 'h', 'i', 1, 2, 3, 4 },
	  15, 2, ERR_CORRUPT },
	{ "magic alone", { 0x28, 0xb5, 0x2f, 0xfd }, 4, 2, ERR_CORRUPT },
	{ "nothing", { 0 }, 0, 0, ERR_CORRUPT },
};

static void test_frame(void **state)
{
	const struct frame *t = *state;
	struct err e = ERR_INIT;
	struct codec *c = NULL;
	uint8_t *in = malloc(t->len + 1), *out = malloc(t->plain_len + 1), hi[2];

	assert_non_null(in);
	assert_non_null(out);
	memcpy(in, t->b, t->len);
	assert_int_equal(codec_open(1, &c, &e), ERR_OK);
	assert_int_equal(codec_decompress(c, in, t->len, out, t->plain_len, &e), t->want);
	assert_int_equal(e.code, t->want);
	/* It is none the worse for it. */
	assert_int_equal(codec_decompress(c, frames[0].b, frames[0].len, hi, 2, &e), ERR_OK);
	assert_memory_equal(hi, "hi", 2);
	codec_close(c);
	free(in);
	free(out);
}

static void test_damage(void **state)
{
	enum { LEN = 3000 };
	uint8_t src[LEN], back[LEN], dst[4096];
	enum block_codec codec;
	struct err e = ERR_INIT;
	struct codec *c = NULL;
	size_t n = 0;

	(void)state;
	text(src, sizeof(src));
	assert_int_equal(codec_open(3, &c, &e), ERR_OK);
	assert_int_equal(codec_compress(c, src, LEN, dst, sizeof(dst), &n, &codec, &e), ERR_OK);
	for (size_t len = 0; len < n; len++) {
		uint8_t *cut = malloc(len + 1);

		assert_non_null(cut);
		memcpy(cut, dst, len);
		assert_int_equal(codec_decompress(c, cut, len, back, LEN, &e), ERR_CORRUPT);
		free(cut);
	}
	/* Other bytes may come out (the chunk's SHA-256 is what vouches): no crash, no overrun. */
	for (size_t bit = 0; bit < 8 * n; bit++) {
		dst[bit / 8] ^= (uint8_t)(1 << bit % 8);
		(void)!codec_decompress(c, dst, n, back, LEN, &e);
		dst[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(codec_decompress(c, dst, n, back, LEN, &e), ERR_OK);
	assert_memory_equal(src, back, LEN);
	codec_close(c);
}

static void test_levels(void **state)
{
	struct err e = ERR_INIT;
	struct codec *c = NULL;

	(void)state;
	assert_int_equal(codec_open(0, &c, &e), ERR_USAGE);
	assert_int_equal(codec_open(-1, &c, &e), ERR_USAGE);
	assert_int_equal(codec_open(99, &c, &e), ERR_USAGE);
	assert_null(c);
	codec_close(NULL);
}

/* A damaged frame: of raw bytes all but the damaged one comes back, of compressed ones all before the damaged part. */
static void test_salvage(void **state)
{
	uint8_t *plain = malloc(MIB), *frame = malloc(codec_bound(MIB)), *back = malloc(MIB);
	struct codec *c = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_true(plain && frame && back);
	assert_int_equal(codec_open(3, &c, &e), ERR_OK);
	for (int kind = 0; kind < 2; kind++) {
		enum block_codec codec;
		size_t n = 0, same = 0, at;

		if (kind == 0)
			noise(plain, MIB, 5);
		else
			text(plain, MIB);
		assert_int_equal(codec_compress(c, plain, MIB, frame, codec_bound(MIB), &n, &codec, &e),
				 ERR_OK);
		assert_int_equal(codec, kind == 0 ? CODEC_RAW : CODEC_ZSTD);
		at = n / 2;
		frame[at] ^= 4;
		codec_salvage(c, frame, n, back, MIB);
		while (same < MIB && back[same] == plain[same])
			same++;
		if (kind == 0) {
			assert_true(same > 4 * (MIB / 10) && same < MIB);
			assert_int_equal(back[same] ^ plain[same], 4);
			assert_memory_equal(back + same + 1, plain + same + 1, MIB - same - 1);
		} else {
			assert_true(same >= MIB / 4);
		}
		/* a frame cut short, and none at all: never more than plain_len is written */
		codec_salvage(c, frame, n / 3, back, MIB);
		codec_salvage(c, frame, 3, back, MIB);
		frame[at] ^= 4;
		assert_int_equal(codec_decompress(c, frame, n, back, MIB, &e), ERR_OK);
		assert_memory_equal(back, plain, MIB);
	}
	codec_close(c);
	free(back);
	free(frame);
	free(plain);
}

int main(void)
{
	const struct CMUnitTest fixed[] = {
		cmocka_unit_test(test_salvage),
		cmocka_unit_test(test_zstd_program),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_levels),
	};
	struct CMUnitTest tests[ARRAY_LEN(rows) + ARRAY_LEN(frames)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[n++] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL,
			(void *)(uintptr_t)&rows[i] };
	for (size_t i = 0; i < ARRAY_LEN(frames); i++)
		tests[n++] = (struct CMUnitTest){ frames[i].name, test_frame, NULL, NULL,
			(void *)(uintptr_t)&frames[i] };
	return cmocka_run_group_tests_name("codec", fixed, NULL, NULL) +
	       cmocka_run_group_tests_name("codec rows", tests, NULL, NULL);
}
