/* SPDX-License-Identifier: MIT */
/* What parity promises: runs, scattered sectors, ends that are gone; and not a byte more than it can. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/checked.h"
#include "tests/lib/parbox.h"

#define S4K ((size_t)PAR_SECTOR)

static const size_t lens[] = {
	1, 4095, 4096, 4097, 3 * S4K, 67 * S4K, 246 * S4K + 5, 247 * S4K, 247 * S4K + 1,
	254 * S4K, 255 * S4K, 256 * S4K, 300 * S4K - 1, 600 * S4K, 32 << 20, (33 << 20) + 1,
};

/* Both anew, of bytes of which sums were taken, as a writer does it. */
static enum err_code put_anew(struct parbox *x, const uint8_t *buf, size_t len, uint32_t permille,
			      const struct parity_sums *sums)
{
	const struct backend_ops *ops = x->b->ops;
	struct backend_put *pack = NULL, *par = NULL;
	enum err_code rc;

	assert_int_equal(ops->put_begin(x->b, &pack, &x->e), ERR_OK);
	assert_int_equal(ops->put_add(pack, buf, len, &x->e), ERR_OK);
	rc = parity_put(x->b, &x->id, pack, permille, sums, &par, &x->e);
	if (rc) {
		ops->put_abort(pack);
		return rc;
	}
	return ops->put_commit_two(par, x->par, pack, x->pack, &x->e);
}

/* Files without damage; and the parity file is the same however it is made. */
static void test_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		struct parity_sums *sums = NULL;
		struct parity_report r;
		struct parbox x;

		parbox_open(&x, lens[i], i % 2 ? 30 : 50);
		parbox_heals(&x);
		assert_int_equal(parity_check(x.b, &x.id, &r, &x.e), ERR_OK);
		assert_int_equal(r.bad + r.par_bad + r.lost + r.worst + r.unchecked, 0);
		assert_int_equal(r.pack_len, lens[i]);
		assert_int_equal(r.par_sectors * S4K, x.par_len);
		assert_false(r.longer);

		assert_int_equal(parity_sums_open(&sums, &x.e), ERR_OK);
		for (size_t at = 0, n = 1; at < x.len; at += n, n = 3 * n + 1) {
			n = n < x.len - at ? n : x.len - at;
			parity_sums_add(sums, x.right + at, n);
		}
		assert_int_equal(x.b->ops->remove(x.b, x.par, &x.e), ERR_OK);
		assert_int_equal(put_anew(&x, x.right, x.len, x.g.permille, sums), ERR_OK);
		assert_int_equal(membox_object(x.b, x.par)->len, x.par_len);
		assert_memory_equal(parbox_par(&x), x.right_par, x.par_len);
		parity_sums_close(sums);
		parbox_close(&x);
	}
}

static void spoil_run(struct parbox *x, uint32_t first, uint32_t nr)
{
	for (uint32_t j = first; j < first + nr; j++)
		parbox_spoil(x, j);
}

/* A run of exactly the share heals wherever it begins; one sector more does not, and says so. */
static void test_runs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens) - 1; i++) {
		struct parbox x;
		uint32_t n, run;

		parbox_open(&x, lens[i], i % 2 ? 50 : 30);
		n = x.g.nr_data;
		run = x.g.nr_parity < n ? x.g.nr_parity : n;
		for (int at = 0; at < 6; at++) {
			const uint32_t from[] = { 0, 1, x.g.nr_stripes - 1, x.g.nr_stripes,
						  (n - run) / 2, n - run };

			/* Of a large pack one: what is special is small. */
			if (from[at] + run > n || (n > 1000 && at != 1))
				continue;
			spoil_run(&x, from[at], run);
			parbox_heals(&x);
			assert_int_equal(x.r.bad, run);
			if (from[at] + run < n) {
				parbox_spoil(&x, from[at] + run);
				parbox_loses(&x);
				assert_int_equal(x.r.worst, x.r.reach + 1);
			}
			parbox_reset(&x);
		}
		parbox_close(&x);
	}
}

/* Of bytes, not of sectors: the share less one sector, at any place in a sector. */
static void test_runs_of_bytes(void **state)
{
	struct parbox x;
	size_t len;

	(void)state;
	parbox_open(&x, 600 * S4K + 17, 30);
	len = (x.g.nr_parity - 1) * S4K;
	for (size_t off = 0; off <= 2 * S4K; off += off % S4K < 2 || off % S4K > S4K - 2 ? 1 : 509) {
		memset(parbox_pack(&x) + off, 0, len);
		parbox_heals(&x);
		parbox_reset(&x);
	}
	parbox_close(&x);
}

/* A set of nr different sectors of n. */
static void pick(uint8_t *hit, uint32_t n, uint32_t nr, uint64_t *rnd)
{
	memset(hit, 0, n);
	while (nr > 0) {
		uint32_t j = (uint32_t)(parbox_random(rnd) % n);

		nr -= !hit[j];
		hit[j] = 1;
	}
}

/* Whatever sectors of pack and parity are lost: healed if and only if no stripe has lost more than m. */
static void test_patterns(void **state)
{
	uint64_t rnd = parbox_seed();
	static uint8_t hit[2000];
	unsigned healed = 0, lost = 0;

	(void)state;
	for (int round = 0; round < 50; round++) {
		size_t len = 1 + parbox_random(&rnd) % (600 * S4K);
		uint32_t all, nr, worst = 0, bad = 0;
		uint32_t stripes[16] = { 0 };
		struct parbox x;
		bool any = false;

		parbox_open(&x, len, (uint32_t)(1 + parbox_random(&rnd) % 150));
		all = x.g.nr_data + x.g.nr_parity;
		nr = (uint32_t)(1 + parbox_random(&rnd) % (x.g.nr_parity + 1));
		pick(hit, all, nr < all ? nr : all, &rnd);
		assert_true(x.g.nr_stripes <= ARRAY_LEN(stripes));
		for (uint32_t j = 0; j < all; j++) {
			uint32_t s = (j < x.g.nr_data ? j : j - x.g.nr_data) % x.g.nr_stripes;

			if (!hit[j])
				continue;
			stripes[s] += 1;
			bad += j < x.g.nr_data;
			if (j < x.g.nr_data)
				parbox_spoil(&x, j);
			else
				parbox_spoil_parity(&x, j - x.g.nr_data);
		}
		for (uint32_t j = 0; j < x.g.nr_data; j++)
			any = any || (hit[j] && stripes[j % x.g.nr_stripes] > x.g.m);
		for (uint32_t s = 0; s < x.g.nr_stripes; s++)
			worst = worst > stripes[s] ? worst : stripes[s];
		if (any)
			parbox_loses(&x);
		else
			parbox_heals(&x);
		assert_int_equal(x.r.bad, bad);
		assert_int_equal(x.r.worst, worst);
		healed += !any;
		lost += any;
		parbox_close(&x);
	}
	print_message("%u healed, %u lost\n", healed, lost);
	assert_true(healed >= 2 && lost >= 2);	/* of 50 some 40 and 10 */
}

/* m sectors anywhere, in the usual pack; also all m of one stripe, with none of its parity to spare. */
static void test_any_m(void **state)
{
	uint64_t rnd = parbox_seed();
	static uint8_t hit[8192];
	struct parbox x;

	(void)state;
	parbox_open(&x, 32 << 20, 30);
	pick(hit, x.g.nr_data, x.g.m, &rnd);
	for (uint32_t j = 0; j < x.g.nr_data; j++)
		if (hit[j])
			parbox_spoil(&x, j);
	parbox_heals(&x);
	parbox_reset(&x);
	for (uint32_t i = 0; i < x.g.m; i++)
		parbox_spoil(&x, 5 + 29 * i * x.g.nr_stripes);
	parbox_heals(&x);
	parbox_spoil(&x, 5 + 230 * x.g.nr_stripes);
	parbox_loses(&x);
	assert_int_equal(x.r.lost, x.g.m + 1);
	parbox_close(&x);
}

/* A pack cut short, at every sector and beside it, or not there. */
static void test_truncated(void **state)
{
	struct parbox x;

	(void)state;
	parbox_open(&x, 60 * S4K - 100, 50);
	for (size_t at = 1; at <= 3 * (size_t)x.g.nr_data; at++) {
		size_t len = at / 3 * S4K + at % 3 - 1;
		size_t gone = x.g.nr_data - len / S4K;

		if (len >= x.len)
			break;
		membox_object(x.b, x.pack)->len = len;
		if (gone <= x.g.m) {
			parbox_heals(&x);
		} else {
			parbox_loses(&x);
			assert_int_equal(x.r.bad, gone);
		}
		membox_object(x.b, x.pack)->len = x.len;
	}
	parbox_heals(&x);
	parbox_close(&x);

	parbox_open(&x, 5000, 30);
	assert_int_equal(x.b->ops->remove(x.b, x.pack, &x.e), ERR_OK);
	parbox_heals(&x);
	assert_int_equal(x.r.bad, 2);
	parbox_close(&x);
}

/* The parity file cut short: what is left of it heals what it can; never wrong bytes. */
static void test_par_truncated(void **state)
{
	struct parbox x;

	(void)state;
	parbox_open(&x, 600 * S4K, 30);
	spoil_run(&x, 77, 3);
	for (size_t len = 0; len <= x.par_len; len += len % S4K ? 1 : S4K - 1) {
		size_t front = par_parity_off(&x.g, 0);

		membox_object(x.b, x.par)->len = len;
		if (len < S4K) {
			assert_int_equal(parbox_rebuild(&x), ERR_CORRUPT);
		} else if (len >= front + 3 * S4K) {
			parbox_heals(&x);
			assert_int_equal(x.r.par_bad, x.r.par_sectors - len / S4K);
		} else {
			assert_int_equal(parbox_rebuild(&x), ERR_CORRUPT);
		}
	}
	parbox_close(&x);
}

/*
 * Every bit of a parity file, with the pack whole and with one sector of it lost: of what says something by itself
 * (the beginning and the end of both copies of the section), and of checks and parity, which are all alike, every 31st;
 * TORTURE: all.
 */
static void test_every_bit(void **state)
{
	bool all = getenv("TORTURE") != NULL;
	struct parbox x;

	(void)state;
	parbox_open(&x, 100, 30);
	for (size_t bit = 0; bit < x.par_len * 8; bit++) {
		size_t in = bit / 8 % S4K;
		bool section = bit / 8 < S4K || bit / 8 >= x.par_len - S4K;

		if (!all && bit % 31 && !(section && (in < 100 || in >= S4K - 8)))
			continue;
		uint8_t buf[100];

		parbox_par(&x)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (bit % 2)
			parbox_pack(&x)[bit % 100] ^= 1;
		memset(buf, 0, sizeof(buf));
		assert_int_equal(parity_get(x.b, &x.id, 0, 100, buf, NULL, &x.e), ERR_OK);
		assert_memory_equal(buf, x.right, 100);
		if (bit % 93 == 0) {
			assert_int_equal(parity_check(x.b, &x.id, &x.r, &x.e), ERR_OK);
			assert_int_equal(x.r.par_bad, 1);
			assert_int_equal(x.r.lost, 0);
		}
		if (bit % 2)
			parbox_pack(&x)[bit % 100] ^= 1;
		parbox_par(&x)[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	parbox_close(&x);
}

/* A run lost in the parity file, of its share, wherever: a damaged pack heals while rows enough are left. */
static void test_par_runs(void **state)
{
	struct parbox x;
	uint32_t sectors;

	(void)state;
	parbox_open(&x, 600 * S4K, 50);
	sectors = (uint32_t)(x.par_len / S4K);
	for (uint32_t at = 0; at + x.g.nr_parity <= sectors; at++) {
		memset(parbox_par(&x) + at * S4K, 0, x.g.nr_parity * S4K);
		parbox_heals(&x);
		assert_int_equal(x.r.par_bad, x.g.nr_parity);
		assert_int_equal(x.r.unchecked, 0);
		parbox_reset(&x);
	}
	/* Half of each. */
	memset(parbox_par(&x), 0, par_parity_off(&x.g, x.g.nr_parity / 2));
	spoil_run(&x, 300, x.g.nr_parity / 2);
	parbox_heals(&x);
	parbox_close(&x);
}

/* Both copies of a section lost: its sectors are taken as they are, and the rest still heals. */
static void test_unchecked(void **state)
{
	struct parity_got got;
	struct parbox x;
	uint8_t buf[8192];

	(void)state;
	parbox_open(&x, 600 * S4K, 30);
	assert_int_equal(x.g.nr_sections, 2);
	parbox_par(&x)[par_section_off(&x.g, 0, 0) + 100] ^= 1;
	parbox_par(&x)[par_section_off(&x.g, 0, 1) + 200] ^= 1;
	parbox_spoil(&x, 590);
	parbox_spoil(&x, 591);
	parbox_heals(&x);
	assert_int_equal(x.r.unchecked, 503);
	assert_int_equal(x.r.bad, 2);
	assert_int_equal(parity_get(x.b, &x.id, 502 * S4K, 8192, buf, &got, &x.e), ERR_OK);
	assert_int_equal(got.unchecked, 1);

	/* Damage where no checksum is: what depends on it is not believed. */
	parbox_spoil(&x, 590 % x.g.nr_stripes);
	assert_int_equal(parity_get(x.b, &x.id, 590 * S4K, 100, buf, NULL, &x.e), ERR_CORRUPT);
	assert_int_equal(parbox_rebuild(&x), ERR_CORRUPT);
	parbox_close(&x);
}

/* What the medium refuses to give is healed like what it gives wrongly. */
static void test_unreadable(void **state)
{
	struct parbox x;

	(void)state;
	parbox_open(&x, 600 * S4K, 30);
	membox_unreadable(x.b, x.pack, 100 * S4K + 7, 5 * S4K);
	parbox_heals(&x);
	assert_int_equal(x.r.bad, 6);
	membox_unreadable(x.b, x.par, 0, 2 * S4K);
	parbox_spoil(&x, 3);
	parbox_heals(&x);
	assert_int_equal(x.r.par_bad, 2);

	/* More than can be rebuilt because reads fail: that is the system, not damage. */
	membox_unreadable(x.b, x.pack, 0, x.len);
	{
		uint8_t buf[100];

		assert_int_equal(parity_get(x.b, &x.id, 0, 100, buf, NULL, &x.e), ERR_IO);
	}
	parbox_close(&x);
}

static void test_ranges(void **state)
{
	uint64_t rnd = parbox_seed();
	static uint8_t buf[600 * PAR_SECTOR];
	struct parity_got got;
	struct parbox x;

	(void)state;
	parbox_open(&x, 599 * S4K + 1234, 30);
	spoil_run(&x, 200, 10);
	for (int round = 0; round < 60; round++) {
		uint64_t off = parbox_random(&rnd) % (x.len + 1);
		size_t len = parbox_random(&rnd) % (round % 2 ? 5000 : x.len);

		len = len < x.len - off ? len : (size_t)(x.len - off);
		memset(buf, 0, len);
		assert_int_equal(parity_get(x.b, &x.id, off, len, buf, &got, &x.e), ERR_OK);
		assert_true(len == 0 || memcmp(buf, x.right + off, len) == 0);
		assert_true(got.healed <= 10);
	}
	assert_int_equal(parity_get(x.b, &x.id, 0, x.len + 1, buf, &got, &x.e), ERR_USAGE);
	assert_int_equal(parity_get(x.b, &x.id, x.len + 1, 0, buf, &got, &x.e), ERR_USAGE);
	assert_int_equal(parity_get(x.b, &x.id, UINT64_MAX, 2, buf, &got, &x.e), ERR_USAGE);
	assert_int_equal(x.b->ops->remove(x.b, x.par, &x.e), ERR_OK);
	assert_int_equal(parity_get(x.b, &x.id, 0, 1, buf, &got, &x.e), ERR_NOT_FOUND);
	assert_int_equal(parity_check(x.b, &x.id, &x.r, &x.e), ERR_NOT_FOUND);
	parbox_close(&x);
}

/* Parity of rot would make rot look right. */
static void test_never_of_rot(void **state)
{
	struct parity_sums *sums = NULL;
	struct parbox x;

	(void)state;
	parbox_open(&x, 50 * S4K + 9, 30);
	assert_int_equal(parity_sums_open(&sums, &x.e), ERR_OK);
	parity_sums_add(sums, x.right, x.len);
	assert_int_equal(x.b->ops->remove(x.b, x.par, &x.e), ERR_OK);
	for (size_t bit = 0; bit < x.len * 8; bit += 8 * 4093 + 1) {
		uint8_t *now = parbox_pack(&x);

		now[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(parity_write(x.b, &x.id, 30, NULL, NULL, &x.e), ERR_CORRUPT);
		assert_int_equal(put_anew(&x, now, x.len, 30, sums), ERR_CORRUPT);
		assert_null(membox_object(x.b, x.par));
		now[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(put_anew(&x, x.right, x.len - 1, 30, sums), ERR_CORRUPT);
	membox_lie(x.b, true);		/* the medium gives back other bytes than it was given */
	assert_int_equal(put_anew(&x, x.right, x.len, 30, sums), ERR_CORRUPT);
	membox_lie(x.b, false);
	assert_int_equal(put_anew(&x, x.right, x.len, 0, sums), ERR_LIMIT);
	assert_int_equal(put_anew(&x, x.right, x.len, 501, sums), ERR_LIMIT);
	assert_null(membox_object(x.b, x.par));
	assert_int_equal(put_anew(&x, x.right, x.len, 30, sums), ERR_OK);
	parity_sums_close(sums);
	parbox_close(&x);
}

/* Another pack's parity file under this one's name says nothing. */
static void test_of_another_pack(void **state)
{
	struct parbox x, y;

	(void)state;
	parbox_open(&x, 50 * S4K, 30);
	parbox_open(&y, 51 * S4K, 30);
	assert_int_equal(x.b->ops->put(x.b, x.par, y.right_par, y.par_len, &x.e), ERR_OK);
	assert_int_equal(parbox_rebuild(&x), ERR_CORRUPT);
	assert_non_null(strstr(x.e.msg, "another pack"));
	parbox_close(&x);
	parbox_close(&y);
}

/*
 * Of n sectors of the pack lost at random, whether all stripes have lost m at most: ways to choose them so, of all ways.
 * Counted as the coefficient of x^n of a product over the stripes; fits in a long double where the pack is 32 MiB.
 */
static long double chance(const struct par_geometry *g, uint32_t n, long double *poly)
{
	uint32_t deg = 0;
	long double all = 1;

	poly[0] = 1;
	for (uint32_t s = 0; s < g->nr_stripes; s++) {
		uint32_t c = g->nr_data / g->nr_stripes + (s < g->nr_data % g->nr_stripes);
		uint32_t to = deg + g->m < n ? deg + g->m : n;

		for (uint32_t d = to + 1; d-- > 0;) {
			long double sum = 0, ways = 1;

			for (uint32_t j = 0; j <= g->m && j <= d; j++) {
				sum += d - j <= deg ? ways * poly[d - j] : 0;
				ways = ways * (c - j) / (j + 1);
			}
			poly[d] = sum;
		}
		deg = to;
	}
	for (uint32_t i = 0; i < n; i++)
		all = all * (g->nr_data - i) / (i + 1);
	return deg < n ? 0 : poly[n] / all;
}

/* How many sectors may be lost at random so that all heal in 99 of 100 cases. */
static uint32_t scattered(const struct par_geometry *g)
{
	static long double poly[20000];
	uint32_t lo = g->m, hi = g->nr_parity;

	assert_true(hi < ARRAY_LEN(poly));
	while (lo < hi) {
		uint32_t mid = (lo + hi + 1) / 2;

		if (chance(g, mid, poly) >= 0.99L)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

/* What vouch-parity(1) says of a pack of 32 MiB is so; without the page (not run from the source) only printed. */
static void test_table(void **state)
{
	static const uint32_t shares[] = { 10, 30, 50, 100 };
	static char page[65536];
	FILE *f = fopen("man/vouch-parity.1", "r");

	(void)state;
	if (f) {
		page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
		fclose(f);
	}
	for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
		struct par_geometry g;
		char row[128];

		assert_int_equal(par_geometry(32u << 20, shares[i], &g, NULL), ERR_OK);
		(void)snprintf(row, sizeof(row), "%3u %%  %8u KiB  %4u sectors %5u KiB  %3u  %4u",
			       shares[i] / 10, (unsigned)(par_file_len(&g) / 1024), g.nr_parity,
			       g.nr_parity * PAR_SECTOR / 1024, g.m, scattered(&g));
		print_message("%s\n", row);
		assert_true(!f || strstr(page, row));
	}
}

static void test_names(void **state)
{
	char name[PARITY_NAME_LEN + 1];
	struct object_id id = { { 0x3f, 1, 2 } }, got;

	(void)state;
	parity_name(&id, name);
	assert_int_equal(strlen(name), PARITY_NAME_LEN);
	assert_true(parity_name_parse(name, &got) && id_eq(&id, &got));
	name[6] = '4';
	assert_false(parity_name_parse(name, &got));
	assert_false(parity_name_parse("packs/3f/x.par", &got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),	     cmocka_unit_test(test_runs),
		cmocka_unit_test(test_runs_of_bytes), cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_any_m),	     cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_par_truncated), cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_par_runs),     cmocka_unit_test(test_unchecked),
		cmocka_unit_test(test_unreadable),   cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_never_of_rot), cmocka_unit_test(test_of_another_pack),
		cmocka_unit_test(test_names),	     cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
