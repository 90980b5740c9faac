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
#include "store/base/hex.h"
#include "store/engine/chunker.h"

enum { LEN = 8 << 20, MIN = 4096, AVG = 16384, MAX = 65536 };

static void noise(uint8_t *p, size_t len)
{
	uint64_t x = 42;

	for (size_t i = 0; i < len; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		p[i] = (uint8_t)(x >> 56);
	}
}

/* Ends of all chunks; returns how many. */
static size_t cut_all(const struct chunker *c, const uint8_t *p, size_t len, size_t *ends)
{
	size_t at = 0, nr = 0;

	while (at < len) {
		size_t n = chunker_cut(c, p + at, len - at);

		assert_in_range(n, 1, c->max);
		if (at + n < len)
			assert_in_range(n, c->min, c->max);
		at += n;
		ends[nr++] = at;
	}
	return nr;
}

static void digest_ends(const size_t *ends, size_t nr, char hex[ID_HEX_LEN + 1])
{
	uint8_t *le = malloc(8 * nr);
	struct object_id id;

	assert_non_null(le);
	for (size_t i = 0; i < nr; i++)
		put_le64(le + 8 * i, ends[i]);
	digest_sha256(le, 8 * nr, &id);
	hex_encode(id.b, ID_LEN, hex);
	free(le);
}

struct fixture {
	uint8_t *p;
	size_t *ends, *other;
	struct chunker c;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->p = malloc(LEN + 1);
	f->ends = calloc(LEN / MIN + 1, sizeof(size_t));
	f->other = calloc(LEN / MIN + 1, sizeof(size_t));
	assert_true(f->p && f->ends && f->other);
	noise(f->p, LEN + 1);
	chunker_init(&f->c, MIN, AVG, MAX, NULL);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	free(f->p);
	free(f->ends);
	free(f->other);
	free(f);
	return 0;
}

/*
 * Where these change, everything that anybody has backed up is stored once more: the
 * boundaries are a promise, though no reader depends on them.
 */
static void test_fixed(void **state)
{
	struct fixture *f = *state;
	char hex[ID_HEX_LEN + 1];
	uint8_t secret[32];
	size_t nr;

	nr = cut_all(&f->c, f->p, LEN, f->ends);
	digest_ends(f->ends, nr, hex);
	assert_string_equal(hex, "f703341b64803653acae5bc45b3b968d"
				 "af7dfa6b31a85809d45d3405a9186fbe");
	assert_true(f->c.gear[0] == 0x04aa2fbdbebcbe6eu);
	assert_true(f->c.gear[255] == 0x706ecd1224cfd68eu);
	memset(secret, 7, sizeof(secret));
	chunker_init(&f->c, MIN, AVG, MAX, secret);
	nr = cut_all(&f->c, f->p, LEN, f->other);
	digest_ends(f->other, nr, hex);
	assert_string_equal(hex, "d50c82bfbddc58157019f2e5207c2913"
				 "957ef5b491f8546cd3fdaed2cf4b42e9");
}

static void test_mean(void **state)
{
	static const uint32_t avgs[] = { 4096, 16384, 65536 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(avgs); i++) {
		size_t at = 0, nr = 0;

		chunker_init(&f->c, avgs[i] / 4, avgs[i], avgs[i] * 4, NULL);
		for (; at < LEN; nr++)
			at += chunker_cut(&f->c, f->p + at, LEN - at);
		assert_in_range(LEN / nr, avgs[i] - avgs[i] / 8, avgs[i] + avgs[i] / 8);
	}
}

/* A byte more, early on: all but a few of the boundaries are where they were. */
static void test_insert(void **state)
{
	struct fixture *f = *state;
	size_t nr, nr_other, same = 0;

	nr = cut_all(&f->c, f->p, LEN, f->ends);
	memmove(f->p + 100001, f->p + 100000, LEN - 100000);
	f->p[100000] ^= 0xff;
	nr_other = cut_all(&f->c, f->p, LEN + 1, f->other);
	for (size_t i = 0, k = 0; i < nr && k < nr_other;) {
		size_t a = f->ends[i] + (f->ends[i] > 100000), b = f->other[k];

		same += a == b;
		i += a <= b;
		k += b <= a;
	}
	assert_in_range(nr - same, 0, 12);
}

/* What lies beyond max bytes, and how much of it the caller holds, is of no account. */
static void test_lookahead(void **state)
{
	struct fixture *f = *state;

	for (size_t at = 0; at + 2 * MAX < LEN; at += 777777) {
		size_t n = chunker_cut(&f->c, f->p + at, LEN - at);
		uint8_t *only = malloc(MAX);

		assert_non_null(only);
		memcpy(only, f->p + at, MAX);
		assert_int_equal(chunker_cut(&f->c, only, MAX), n);
		/* Nor what comes after the cut. */
		memset(only + n, 0, MAX - n);
		assert_int_equal(chunker_cut(&f->c, only, MAX), n);
		free(only);
	}
}

static void test_edges(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(chunker_cut(&f->c, f->p, 0), 0);
	for (size_t len = 1; len <= MIN; len += 5)
		assert_int_equal(chunker_cut(&f->c, f->p, len), len);
	memset(f->p, 0, 4 * MAX);
	assert_int_equal(chunker_cut(&f->c, f->p, 4 * MAX), MAX);
	assert_int_equal(chunker_cut(&f->c, f->p, MAX - 1), MAX - 1);
	/* Every cut that a short end allows, odd lengths too. */
	noise(f->p, LEN);
	for (size_t len = MIN; len < MIN + 3000; len++) {
		uint8_t *only = malloc(len);
		size_t n;

		assert_non_null(only);
		memcpy(only, f->p, len);
		n = chunker_cut(&f->c, only, len);
		assert_in_range(n, MIN, len);
		free(only);
	}
}

/* As slow and simple as can be: byte by byte, one hash, the masks' bits counted. */
static size_t plain_cut(const struct chunker *c, const uint8_t *p, size_t len)
{
	uint64_t h = 0;

	for (size_t i = c->min; i < len && i < c->max; i++) {
		h = (h << 1) + c->gear[p[i]];
		if ((h & (i < c->avg - c->avg / 16 * 3 ? c->mask_hard : c->mask_easy)) == 0)
			return i + 1;
	}
	return len < c->max ? len : c->max;
}

static void test_against_plain(void **state)
{
	static const uint32_t sizes[][3] = {
		{ MIN, AVG, MAX }, { 1, 64, 256 }, { 63, 64, 65 }, { 64, 64, 64 }, { 1, 1, 1 },
		{ 1, 2, 3 }, { 100, 256, 1001 }, { 65, 8192, 99999 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t at = 0;

		chunker_init(&f->c, sizes[i][0], sizes[i][1], sizes[i][2], NULL);
		for (int k = 0; k < 500 && at < LEN; k++) {
			size_t n = chunker_cut(&f->c, f->p + at, LEN - at);

			assert_int_equal(n, plain_cut(&f->c, f->p + at, LEN - at));
			at += n;
		}
	}
	assert_int_equal(__builtin_popcountll(f->c.mask_hard), 15);
	assert_int_equal(__builtin_popcountll(f->c.mask_easy), 11);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_fixed),     TEST(test_mean),	TEST(test_insert),
		TEST(test_lookahead), TEST(test_edges), TEST(test_against_plain),
	};

	return cmocka_run_group_tests_name("chunker", tests, NULL, NULL);
}
