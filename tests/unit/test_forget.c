/* SPDX-License-Identifier: MIT */
/* The record of a forgotten snapshot, and which ones a rule lets go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/checked.h"
#include "store/format/checkline.h"
#include "store/format/forgetrec.h"

static struct forgotten sample(void)
{
	static char name[] = "2026-11-21T02-00-00Z-1c9e0d2a3b4c5d6e", reason[] = "a \"b\"\n\xff";
	struct forgotten f = {
		.name = name, .reason = reason, .seq = UINT64_MAX, .has_previous = true,
		.time = { 1795226400, 5 },
	};

	memset(f.id.b, 0xab, ID_LEN);
	memset(f.previous.b, 0x01, ID_LEN);
	memset(f.writer, 0x10, sizeof(f.writer));
	return f;
}

static void test_round_trip(void **state)
{
	struct forgotten f = sample(), got = { .name = NULL };
	struct err e = ERR_INIT;

	(void)state;
	for (int previous = 0; previous < 2; previous++) {
		struct buf b = BUF_INIT;

		f.has_previous = previous;
		forgetrec_encode(&f, &b);
		assert_false(b.bad);
		assert_int_equal(forgetrec_decode(b.p, b.len, &got, &e), ERR_OK);
		assert_true(id_eq(&got.id, &f.id));
		assert_string_equal(got.name, f.name);
		assert_string_equal(got.reason, f.reason);
		assert_memory_equal(got.writer, f.writer, sizeof(f.writer));
		assert_true(got.seq == f.seq && got.time.sec == f.time.sec &&
			    got.time.nsec == f.time.nsec);
		assert_int_equal(got.has_previous, previous);
		assert_true(!previous || id_eq(&got.previous, &f.previous));
		forgotten_release(&got);
		buf_release(&b);
	}
}

/* No flipped bit and no shorter file passes. */
static void test_damage(void **state)
{
	struct forgotten f = sample(), got = { .name = NULL };
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	forgetrec_encode(&f, &b);
	for (size_t i = 0; i < 8 * b.len; i++) {
		b.p[i / 8] ^= (uint8_t)(1u << i % 8);
		assert_int_equal(forgetrec_decode(b.p, b.len, &got, &e), ERR_CORRUPT);
		b.p[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(forgetrec_decode(b.p, len, &got, &e), ERR_CORRUPT);
	buf_release(&b);
}

/* Right in its digest, wrong in what it says. */
static void test_members(void **state)
{
	static const struct {
		const char *was, *is;
		enum err_code want;
	} rows[] = {
		{ "\"forgotten\"", "\"snapshot\" ", ERR_CORRUPT },
		{ "\"format\": 1", "\"format\": 2", ERR_UNSUPPORTED },
		{ "2026-11-21T02-00-00Z", "../../../../../../..", ERR_CORRUPT },
		{ "\"seq\"", "\"sep\"", ERR_CORRUPT },
		{ "\"previous\": \"01", "\"previous\": \"0g", ERR_CORRUPT },
	};
	struct forgotten f = sample(), got = { .name = NULL };
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT;
		char *at, *end;

		forgetrec_encode(&f, &b);
		buf_add_u8(&b, '\0');
		at = strstr((char *)b.p, rows[i].was);
		assert_non_null(at);
		memcpy(at, rows[i].is, strlen(rows[i].is));
		end = strstr((char *)b.p, "\"sha256\"");
		assert_non_null(end);
		b.len = (size_t)(end - (char *)b.p);
		checkline_add(&b);
		assert_int_equal(forgetrec_decode(b.p, b.len, &got, &e), rows[i].want);
		buf_release(&b);
	}
}

#define DAY 86400

static void test_keep_last(void **state)
{
	static char host_a[] = "a", host_b[] = "b", etc[] = "/etc", home[] = "/home", none[] = "",
		    srv[] = "/srv";
	static char *s1[] = { etc }, *s2[] = { etc, home };
	/* by time; the last two are in the future of day 8 */
	struct {
		char *host, **sources, *base;
		size_t nr;
		int day;
		const char *go;		/* '1' where keep 1, 2, 3 lets it go */
	} rows[] = {
		{ host_a, s1, none, 1, 1, "110" }, { host_b, s1, none, 1, 2, "000" },
		{ host_a, s2, none, 2, 3, "100" }, { host_a, s1, none, 1, 4, "110" },
		{ host_a, s1, none, 1, 5, "100" }, { host_a, s1, srv, 1, 6, "000" },
		{ host_a, s2, none, 2, 7, "000" }, { host_a, s1, none, 1, 8, "000" },
		{ host_a, s1, none, 1, 300, "000" }, { host_a, s1, none, 1, 301, "000" },
	};
	struct snapshot all[ARRAY_LEN(rows)];
	struct snapshot_list l = { .all = all, .nr = ARRAY_LEN(rows) };
	const struct snapshot_filter only_b = { .host = "b" };
	bool go[ARRAY_LEN(rows)];

	(void)state;
	rows[0].go = "111";	/* 1, 4, 5 and 8 are one series: three newer */
	rows[3].go = "110";
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		all[i] = (struct snapshot){ .host = rows[i].host, .sources = rows[i].sources,
					    .nr_sources = rows[i].nr, .base = rows[i].base,
					    .time = { (int64_t)rows[i].day * DAY, 0 } };
	for (size_t keep = 1; keep <= 3; keep++) {
		retention_keep_last(&l, NULL, keep, (struct vtime){ 8 * DAY + 60, 0 }, go);
		for (size_t i = 0; i < ARRAY_LEN(rows); i++)
			assert_int_equal(go[i], rows[i].go[keep - 1] == '1');
	}
	retention_keep_last(&l, &only_b, 1, (struct vtime){ 8 * DAY, 0 }, go);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_false(go[i]);
}

/* What only vouch keeps is not let go by a rule, and does not stand for a backup. */
static void test_reserved(void **state)
{
	static char host[] = "a", crm[] = "crm", none[] = "", nightly[] = "nightly", partial[] = TAG_PARTIAL,
		    safety[] = TAG_SAFETY;
	static char *sources[] = { crm };
	static char *tags[][2] = { { safety }, { nightly }, { nightly }, { nightly, partial }, { safety } };
	const struct snapshot_filter only_nightly = { .tag = nightly };
	struct snapshot all[ARRAY_LEN(tags)];
	struct snapshot_list l = { .all = all, .nr = ARRAY_LEN(tags) };
	bool go[ARRAY_LEN(tags)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tags); i++)
		all[i] = (struct snapshot){ .host = host, .sources = sources, .nr_sources = 1, .base = none,
					    .tags = tags[i], .nr_tags = tags[i][1] ? 2 : 1,
					    .time = { (int64_t)(i + 1) * DAY, 0 } };
	for (int filtered = 0; filtered < 2; filtered++) {
		retention_keep_last(&l, filtered ? &only_nightly : NULL, 1, (struct vtime){ 8 * DAY, 0 }, go);
		for (size_t i = 0; i < ARRAY_LEN(tags); i++)
			assert_int_equal(go[i], i == 1);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_keep_last),
		cmocka_unit_test(test_reserved),
	};

	return cmocka_run_group_tests_name("forget", tests, NULL, NULL);
}
