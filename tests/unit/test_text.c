/* SPDX-License-Identifier: MIT */
/* What people read and type: names made safe, sizes, times, widths.  The file itself: tools/ is no library. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "tools/text.c"

static void assert_buf(struct buf *b, const char *want)
{
	buf_add_u8(b, '\0');
	assert_false(b->bad);
	assert_string_equal((const char *)b->p, want);
	buf_release(b);
}

static void test_copy_field(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	text_copy_field(&b, "a\tb\nc\rd\\e\0f \xc3\xa4", 14);
	assert_memory_equal(b.p, "a\\tb\\nc\\rd\\\\e\\0f \xc3\xa4", 19);
	assert_int_equal(b.len, 19);
	buf_release(&b);
}

static void test_escape(void **state)
{
	static const struct {
		const char *name, *want;
	} rows[] = {
		{ "", "" },
		{ "plain name.txt", "plain name.txt" },
		{ "a\nb\tc\rd", "a\\nb\\tc\\rd" },
		{ "esc\033[2J", "esc\\x1b[2J" },
		{ "del\x7f", "del\\x7f" },
		{ "back\\slash", "back\\\\slash" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "latin1 \xfc", "latin1 \\xfc" },
		{ "cut \xe2\x82", "cut \\xe2\\x82" },
		{ "overlong \xc0\xaf", "overlong \\xc0\\xaf" },
		{ "surrogate \xed\xa0\x80", "surrogate \\xed\\xa0\\x80" },
		{ "too far \xf4\x90\x80\x80", "too far \\xf4\\x90\\x80\\x80" },
		{ "c1 \xc2\x9b", "c1 \\xc2\\x9b" },
		{ "bidi \xe2\x80\xae", "bidi \\xe2\\x80\\xae" },
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT;

		text_escape_str(&b, rows[i].name);
		assert_buf(&b, rows[i].want);
	}
}

static void test_clean_keeps_backslash(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	text_clean_str(&b, "\"a\\x1b\": \033no");
	assert_buf(&b, "\"a\\x1b\": \\x1bno");
}

static void test_size(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *want;
	} rows[] = {
		{ 0, "0 B" }, { 1023, "1023 B" }, { 1024, "1.0 KiB" }, { 1536, "1.5 KiB" },
		{ 1048575, "1.0 MiB" }, { 1ull << 30, "1.0 GiB" }, { UINT64_MAX, "16.0 EiB" },
	};
	char out[TEXT_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(text_size(rows[i].bytes, out), rows[i].want);
}

static void test_count_duration_time(void **state)
{
	char out[TEXT_LEN];

	(void)state;
	assert_string_equal(text_count(0, out), "0");
	assert_string_equal(text_count(999, out), "999");
	assert_string_equal(text_count(78579, out), "78,579");
	assert_string_equal(text_count(UINT64_MAX, out), "18,446,744,073,709,551,615");
	assert_string_equal(text_duration(8.14, out), "8.1 s");
	assert_string_equal(text_duration(125, out), "2:05");
	assert_string_equal(text_duration(10925, out), "3:02:05");
	assert_string_equal(text_duration(-1, out), "0.0 s");
	assert_string_equal(text_duration(1e300, out), "100000:00:00");
	assert_string_equal(text_time((struct vtime){ 0, 0 }, out), "1970-01-01T00:00:00Z");
	assert_string_equal(text_time_ns((struct vtime){ -1, 5 }, out),
			    "1969-12-31T23:59:59.000000005Z");
	assert_string_equal(text_time((struct vtime){ 4102444800, 0 }, out),
			    "2100-01-01T00:00:00Z");
	assert_string_equal(text_time((struct vtime){ INT64_MAX, 0 }, out),
			    "@9223372036854775807");
}

static void test_parse_size(void **state)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t want;
	} rows[] = {
		{ "512", true, 512 }, { "64K", true, 65536 }, { "64KiB", true, 65536 },
		{ "64kib", true, 65536 }, { "1M", true, 1 << 20 }, { "2G", true, 2ull << 30 },
		{ "", false, 0 }, { "K", false, 0 }, { "-1", false, 0 }, { " 1", false, 0 },
		{ "1X", false, 0 }, { "1KB", false, 0 }, { "1KiBx", false, 0 },
		{ "99999999999999999999", false, 0 }, { "18446744073709551615K", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t v = 0;

		assert_int_equal(text_parse_size(rows[i].text, &v), rows[i].good);
		assert_true(v == rows[i].want);
	}
}

static void test_duration(void **state)
{
	static const struct {
		const char *text;
		unsigned want;	/* 0: none */
	} rows[] = {
		{ "90s", 90 }, { "30m", 1800 }, { "2h", 7200 }, { "1d", 86400 },
		{ "3650d", 3650u * 86400 }, { "3651d", 0 }, { "5", 0 }, { "", 0 }, { "m", 0 },
		{ "-1m", 0 }, { "+1m", 0 }, { " 1m", 0 }, { "1m ", 0 }, { "1.5h", 0 }, { "1M", 0 },
		{ "99999999999999999999s", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned v = 0;

		assert_int_equal(text_parse_duration(rows[i].text, &v), rows[i].want > 0);
		assert_int_equal(v, rows[i].want);
	}
}

static void test_parse_long(void **state)
{
	long v = 7;

	(void)state;
	assert_true(text_parse_long("12", 1, 20, &v));
	assert_int_equal(v, 12);
	assert_true(text_parse_long("-3", -5, 20, &v));
	assert_int_equal(v, -3);
	assert_false(text_parse_long("0", 1, 20, &v));
	assert_false(text_parse_long("21", 1, 20, &v));
	assert_false(text_parse_long("1x", 1, 20, &v));
	assert_false(text_parse_long("", 1, 20, &v));
	assert_false(text_parse_long("99999999999999999999", 1, 20, &v));
}

/* Never wider than asked, always valid UTF-8, for every width. */
static void test_squeeze(void **state)
{
	static const char *const names[] = {
		"/usr/share/doc/a/long/way/down/to/the/file.txt",
		"\xe6\x96\x87\xe4\xbb\xb6/\xe6\x96\x87\xe4\xbb\xb6/\xe6\x96\x87\xe4\xbb\xb6",
		"gr\xc3\xbc\xc3\x9f/gr\xc3\xbc\xc3\x9f/gr\xc3\xbc\xc3\x9f", "short", "",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		for (size_t columns = 0; columns < 60; columns++) {
			struct buf b = BUF_INIT;

			text_squeeze(&b, names[i], strlen(names[i]), columns);
			assert_true(text_columns((const char *)b.p, b.len) <= columns);
			assert_true(text_is_utf8((const char *)b.p, b.len));
			if (text_columns(names[i], strlen(names[i])) <= columns)
				assert_int_equal(b.len, strlen(names[i]));
			buf_release(&b);
		}
	}
}

static void test_distance(void **state)
{
	(void)state;
	assert_int_equal(text_distance("backup", "backup"), 0);
	assert_int_equal(text_distance("bakcup", "backup"), 1);
	assert_int_equal(text_distance("restor", "restore"), 1);
	assert_int_equal(text_distance("", "ls"), 2);
	assert_true(text_distance("a word that is far longer than any command is", "ls") > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy_field), cmocka_unit_test(test_escape), cmocka_unit_test(test_duration),	   cmocka_unit_test(test_clean_keeps_backslash),
		cmocka_unit_test(test_size),	   cmocka_unit_test(test_count_duration_time),
		cmocka_unit_test(test_parse_size), cmocka_unit_test(test_parse_long),
		cmocka_unit_test(test_squeeze),	   cmocka_unit_test(test_distance),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
