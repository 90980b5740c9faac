/* SPDX-License-Identifier: MIT */
/* The geometry of parity files, and their sections: round trip, each field patched, each bit flipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/bytes.h"
#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/format/limits.h"
#include "store/format/parfile.h"

#define KIB4 ((uint64_t)4096)

static const struct shape {
	uint64_t len;
	uint32_t permille, n, s, k, m;
} shapes[] = {
	{ 1, 30, 1, 1, 1, 2 },
	{ KIB4, 30, 1, 1, 1, 2 },
	{ KIB4 + 1, 30, 2, 1, 2, 2 },
	{ 66 * KIB4, 30, 66, 1, 66, 2 },
	{ 67 * KIB4, 30, 67, 1, 67, 3 },
	{ 247 * KIB4, 30, 247, 1, 247, 8 },
	{ 247 * KIB4 + 1, 30, 248, 2, 124, 4 },
	{ 255 * KIB4, 30, 255, 2, 128, 4 },
	{ 32 << 20, 30, 8192, 34, 241, 8 },
	{ (33 << 20) + 1, 30, 8449, 35, 242, 8 },
	{ 32 << 20, 50, 8192, 34, 241, 13 },
	{ 32 << 20, 1, 8192, 33, 249, 2 },
	{ 32 << 20, 500, 8192, 49, 168, 84 },
	{ PACK_LEN_MAX, 30, 262144, 1062, 247, 8 },
};

static void test_geometry(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const struct shape *t = &shapes[i];
		struct par_geometry g;

		assert_int_equal(par_geometry(t->len, t->permille, &g, NULL), ERR_OK);
		assert_int_equal(g.nr_data, t->n);
		assert_int_equal(g.nr_stripes, t->s);
		assert_int_equal(g.k, t->k);
		assert_int_equal(g.m, t->m);
	}
}

/* Whatever the length: the code is possible, all sectors have a place, the share is kept. */
static void test_geometry_always(void **state)
{
	static const uint32_t shares[] = { 1, 7, 30, 31, 50, 100, 333, PAR_PERMILLE_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shares); i++)
		for (uint64_t n = 1; n <= PACK_LEN_MAX / KIB4; n += n < 2000 ? 1 : 997) {
			struct par_geometry g;

			assert_int_equal(par_geometry(n * KIB4, shares[i], &g, NULL), ERR_OK);
			assert_int_equal(g.nr_data, n);
			assert_true(g.k + g.m <= 255 && g.k >= 1 && g.m >= 2);
			assert_true((uint64_t)g.k * g.nr_stripes >= n);
			assert_true((uint64_t)(g.k - 1) * g.nr_stripes < n);
			assert_true((uint64_t)g.nr_parity * 1000 >= n * shares[i]);
			assert_int_equal(g.nr_parity, g.m * g.nr_stripes);
			assert_true((uint64_t)g.nr_sections * PAR_SECTION_CHECKS >=
				    n + g.nr_parity);
			assert_true(par_file_len(&g) <= 160000 * KIB4);
			assert_int_equal(par_section_off(&g, 0, 1),
					 par_parity_off(&g, g.nr_parity));
		}
}

static void test_geometry_refused(void **state)
{
	struct par_geometry g;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(par_geometry(0, 30, &g, &e), ERR_LIMIT);
	assert_int_equal(par_geometry(PACK_LEN_MAX + UINT64_C(1), 30, &g, &e), ERR_LIMIT);
	assert_int_equal(par_geometry(UINT64_MAX, 30, &g, &e), ERR_LIMIT);
	assert_int_equal(par_geometry(4096, 0, &g, &e), ERR_LIMIT);
	assert_int_equal(par_geometry(4096, PAR_PERMILLE_MAX + 1, &g, &e), ERR_LIMIT);
}

static const struct object_id pack = { { 1, 2, 3, 4, 5, 6, 7, 8, 9 } };
static uint64_t checks[20000];

static struct par_geometry sample(uint64_t len)
{
	struct par_geometry g;

	assert_int_equal(par_geometry(len, 30, &g, NULL), ERR_OK);
	assert_true(g.nr_data + g.nr_parity <= ARRAY_LEN(checks));
	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		checks[i] = i * UINT64_C(0x9e3779b97f4a7c15) + 1;
	return g;
}

static void test_round_trip(void **state)
{
	static const uint64_t lens[] = { 1, 500 * KIB4, 501 * KIB4, 32 << 20 };

	(void)state;
	for (size_t l = 0; l < ARRAY_LEN(lens); l++) {
		struct par_geometry g = sample(lens[l]);
		uint32_t at = 0;

		for (uint32_t i = 0; i < g.nr_sections; i++) {
			uint8_t buf[PAR_SECTOR];
			struct par_section s;

			par_section_encode(&g, &pack, i, checks, buf);
			assert_int_equal(par_section_decode(buf, &s, NULL), ERR_OK);
			assert_int_equal(s.g.pack_len, g.pack_len);
			assert_int_equal(s.g.permille, g.permille);
			assert_int_equal(s.g.nr_sections, g.nr_sections);
			assert_true(id_eq(&s.pack, &pack));
			assert_int_equal(s.number, i);
			assert_int_equal(s.first, at);
			assert_memory_equal(s.checks, checks + at, s.nr * sizeof(checks[0]));
			at += s.nr;
		}
		assert_int_equal(at, g.nr_data + g.nr_parity);
	}
}

static const struct row {
	const char *name;
	size_t at;
	uint8_t with;
	bool reseal;		/* make the section's own checksum right */
	enum err_code want;
} rows[] = {
	{ "intact", 0, 'V', true, ERR_OK },
	{ "magic", 0, 'X', true, ERR_CORRUPT },
	{ "version", 8, 2, true, ERR_UNSUPPORTED },
	{ "version not vouched for", 8, 2, false, ERR_CORRUPT },
	{ "zero byte", 9, 1, true, ERR_CORRUPT },
	{ "share another", 10, 50, true, ERR_CORRUPT },
	{ "share 0", 10, 0, true, ERR_CORRUPT },
	{ "share huge", 11, 0xff, true, ERR_CORRUPT },
	{ "number past the last", 12, 17, true, ERR_CORRUPT },
	{ "number huge", 15, 0xff, true, ERR_CORRUPT },
	{ "length huge", 23, 0x80, true, ERR_CORRUPT },
	{ "length over the limit", 20, 1, true, ERR_CORRUPT },
	{ "stripes", 56, 1, true, ERR_CORRUPT },
	{ "stripes huge", 59, 0xff, true, ERR_CORRUPT },
	{ "k", 60, 0xff, true, ERR_CORRUPT },
	{ "m", 61, 0, true, ERR_CORRUPT },
	{ "zero 62", 62, 1, true, ERR_CORRUPT },
	{ "zero 63", 63, 1, true, ERR_CORRUPT },
	{ "a check", 64, 0, false, ERR_CORRUPT },
	{ "after the last check", 4087, 1, true, ERR_CORRUPT },
};

static void test_row(void **state)
{
	const struct row *t = *state;
	struct par_geometry g = sample(32 << 20);
	struct err e = ERR_INIT;
	uint8_t buf[PAR_SECTOR];
	struct par_section s;

	par_section_encode(&g, &pack, g.nr_sections - 1, checks, buf);
	buf[t->at] = t->with;
	if (t->reseal)
		(void)put_le64(buf + PAR_SECTOR - 8, digest_xxh3(buf, PAR_SECTOR - 8));
	assert_int_equal(par_section_decode(buf, &s, &e), t->want);
	assert_int_equal(e.code, t->want);
}

static void test_every_bit(void **state)
{
	struct par_geometry g = sample(3 * KIB4);
	uint8_t buf[PAR_SECTOR];
	struct par_section s;

	(void)state;
	par_section_encode(&g, &pack, 0, checks, buf);
	for (size_t bit = 0; bit < sizeof(buf) * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(par_section_decode(buf, &s, NULL), ERR_CORRUPT);
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(par_section_decode(buf, &s, NULL), ERR_OK);
}

/* A sector of another place or another pack is no better than a damaged one. */
static void test_check_is_of_place_and_pack(void **state)
{
	const struct object_id other = { { 2 } };
	uint8_t sector[PAR_SECTOR] = { 1 };

	(void)state;
	assert_true(par_check(&pack, 0, sector) != par_check(&pack, 1, sector));
	assert_true(par_check(&pack, 0, sector) != par_check(&other, 0, sector));
	assert_true(par_check(&pack, 7, sector) ==
		    par_mix(&pack, digest_xxh3_seed(sector, PAR_SECTOR, 7)));
}

int main(void)
{
	struct CMUnitTest tests[8 + ARRAY_LEN(rows)] = {
		cmocka_unit_test(test_geometry),
		cmocka_unit_test(test_geometry_always),
		cmocka_unit_test(test_geometry_refused),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_check_is_of_place_and_pack),
	};
	size_t n = 6;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		static struct row copies[ARRAY_LEN(rows)];

		copies[i] = rows[i];
		tests[n++] = (struct CMUnitTest){ .name = rows[i].name,
						  .test_func = test_row,
						  .initial_state = &copies[i] };
	}
	return _cmocka_run_group_tests("parfile", tests, n, NULL, NULL);
}
