/* SPDX-License-Identifier: MIT */
/* The records by which writers and collectors know of one another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/checked.h"
#include "store/format/checkline.h"
#include "store/format/collectrec.h"

static void test_condemned(void **state)
{
	struct object_id ids[3];
	struct condemned_rec r = { .time = { 1795226400, 7 }, .packs = ids }, got = { .nr = 0 };
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		memset(ids[i].b, (int)(0xa0 + i), ID_LEN);
	for (r.nr = 0; r.nr <= ARRAY_LEN(ids); r.nr++) {
		struct buf b = BUF_INIT;

		condemned_rec_encode(&r, &b);
		assert_false(b.bad);
		assert_int_equal(condemned_rec_decode(b.p, b.len, &got, &e), ERR_OK);
		assert_int_equal(got.nr, r.nr);
		assert_true(got.time.sec == r.time.sec && got.time.nsec == r.time.nsec);
		for (size_t i = 0; i < r.nr; i++)
			assert_true(id_eq(&got.packs[i], &ids[i]));
		condemned_rec_release(&got);
		for (size_t i = 0; i < 8 * b.len; i++) {
			b.p[i / 8] ^= (uint8_t)(1u << i % 8);
			assert_int_equal(condemned_rec_decode(b.p, b.len, &got, &e), ERR_CORRUPT);
			b.p[i / 8] ^= (uint8_t)(1u << i % 8);
		}
		for (size_t len = 0; len < b.len; len++)
			assert_int_equal(condemned_rec_decode(b.p, len, &got, &e), ERR_CORRUPT);
		buf_release(&b);
	}
}

static void test_writer(void **state)
{
	static char one[] = "condemned/2026-11-21T02-00-00Z-0123456789abcdef.json", two[] = "x";
	static char *known[] = { one, two };
	struct writer_rec r = { .began = { 1795226400, 7 }, .beat = { 1795226500, 8 },
				.boot = "b00t", .pid = 4711, .ticks = UINT64_MAX, .known = known },
			  got = { .pid = 0 };
	struct err e = ERR_INIT;

	(void)state;
	memset(r.writer, 0x17, sizeof(r.writer));
	for (r.nr_known = 0; r.nr_known <= ARRAY_LEN(known); r.nr_known++) {
		struct buf b = BUF_INIT;

		writer_rec_encode(&r, &b);
		assert_false(b.bad);
		assert_int_equal(writer_rec_decode(b.p, b.len, &got, &e), ERR_OK);
		assert_memory_equal(got.writer, r.writer, sizeof(r.writer));
		assert_true(got.began.sec == r.began.sec && got.beat.sec == r.beat.sec);
		assert_string_equal(got.boot, r.boot);
		assert_true(got.pid == r.pid && got.ticks == r.ticks);
		assert_int_equal(got.nr_known, r.nr_known);
		for (size_t i = 0; i < r.nr_known; i++)
			assert_string_equal(got.known[i], known[i]);
		writer_rec_release(&got);
		for (size_t i = 0; i < 8 * b.len; i++) {
			b.p[i / 8] ^= (uint8_t)(1u << i % 8);
			assert_int_equal(writer_rec_decode(b.p, b.len, &got, &e), ERR_CORRUPT);
			b.p[i / 8] ^= (uint8_t)(1u << i % 8);
		}
		for (size_t len = 0; len < b.len; len++)
			assert_int_equal(writer_rec_decode(b.p, len, &got, &e), ERR_CORRUPT);
		buf_release(&b);
	}
}

/* Right to the last digit, and not what it should be. */
static void test_members(void **state)
{
	static const struct {
		bool writer;
		const char *members;
	} rows[] = {
		{ false, "\"time\": \"2026-11-21T02:00:00.000000007Z\", \"packs\": [1]" },
		{ false, "\"time\": \"2026-11-21T02:00:00.000000007Z\", \"packs\": [\"00\"]" },
		{ false, "\"time\": \"2026-11-21T02:00:00.000000007Z\", \"packs\": {}" },
		{ false, "\"time\": \"yesterday\", \"packs\": []" },
		{ true, "\"boot\": \"\", \"pid\": 1, \"ticks\": 1, \"condemned\": [7]" },
		{ true, "\"boot\": \"\", \"pid\": -1, \"ticks\": 1, \"condemned\": []" },
		{ true, "\"boot\": \"0123456789012345678901234567890123456789\", \"pid\": 1, \"ticks\": 1, "
			"\"condemned\": []" },
	};
	static const char times[] = "\"writer\": \"00112233445566778899aabbccddeeff\", "
		"\"began\": \"2026-11-21T02:00:00.000000007Z\", \"beat\": \"2026-11-21T02:00:00.000000007Z\", ";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct condemned_rec c;
		struct writer_rec w;
		struct err e = ERR_INIT;
		struct buf b = BUF_INIT;

		buf_printf(&b, "{\"vouch\": \"%s\", \"format\": 1, %s%s,\n", rows[i].writer ? "writer" : "condemned",
			   rows[i].writer ? times : "", rows[i].members);
		checkline_add(&b);
		assert_int_equal(rows[i].writer ? writer_rec_decode(b.p, b.len, &w, &e)
						: condemned_rec_decode(b.p, b.len, &c, &e), ERR_CORRUPT);
		assert_null(strstr(e.msg, "last line"));
		buf_release(&b);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_condemned),
		cmocka_unit_test(test_writer),
		cmocka_unit_test(test_members),
	};

	return cmocka_run_group_tests_name("collectrec", tests, NULL, NULL);
}
