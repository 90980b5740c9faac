/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/base64.h"
#include "store/base/checked.h"
#include "store/format/isotime.h"

static const struct {
	const char *plain, *coded;
	size_t len;
} pairs[] = {
	{ "", "", 0 }, { "f", "Zg==", 1 }, { "fo", "Zm8=", 2 }, { "foo", "Zm9v", 3 },
	{ "foob", "Zm9vYg==", 4 }, { "fooba", "Zm9vYmE=", 5 }, { "foobar", "Zm9vYmFy", 6 },
	{ "\xff\xfe\xfb\0\x3e", "//77AD4=", 5 },
};

static void test_base64_pairs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct buf b = BUF_INIT;

		base64_encode((const uint8_t *)pairs[i].plain, pairs[i].len, &b);
		assert_int_equal(b.len, strlen(pairs[i].coded));
		if (b.len)
			assert_memory_equal(b.p, pairs[i].coded, b.len);
		buf_reset(&b);
		assert_true(base64_decode(pairs[i].coded, strlen(pairs[i].coded), &b));
		assert_int_equal(b.len, pairs[i].len);
		if (b.len)
			assert_memory_equal(b.p, pairs[i].plain, b.len);
		buf_release(&b);
	}
}

static void test_base64_refused(void **state)
{
	static const char *const bad[] = {
		"Z", "Zg", "Zg=", "Zg===", "=Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Z===", "====",
		"Zm9v\n", " Zm9", "Zm-_", "Zm\xc3\xa4", "Z=9v",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf b = BUF_INIT;

		if (base64_decode(bad[i], strlen(bad[i]), &b))
			fail_msg("accepted: %s", bad[i]);
		buf_release(&b);
	}
	struct buf b = BUF_INIT;

	assert_false(base64_decode("Zm\0v", 4, &b));
	buf_release(&b);
}

static void test_isotime_pairs(void **state)
{
	static const struct {
		struct vtime t;
		const char *text;
	} times[] = {
		{ { 0, 0 }, "1970-01-01T00:00:00.000000000Z" },
		{ { -1, 999999999 }, "1969-12-31T23:59:59.999999999Z" },
		{ { 1795226400, 5 }, "2026-11-21T02:00:00.000000005Z" },
		{ { 951782400, 0 }, "2000-02-29T00:00:00.000000000Z" },
		{ { INT64_C(-62135596800), 0 }, "0001-01-01T00:00:00.000000000Z" },
		{ { INT64_C(253402300799), 999999999 }, "9999-12-31T23:59:59.999999999Z" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		char text[ISOTIME_LEN + 1];
		struct vtime got;

		assert_string_equal(isotime_encode(&times[i].t, text), times[i].text);
		assert_true(isotime_decode(times[i].text, &got));
		assert_int_equal(got.sec, times[i].t.sec);
		assert_int_equal(got.nsec, times[i].t.nsec);
	}
}

static void test_isotime_clamped(void **state)
{
	const struct vtime early = { INT64_MIN, 7 }, late = { INT64_MAX, 7 },
			   odd = { 0, UINT32_MAX };
	char text[ISOTIME_LEN + 1];

	(void)state;
	assert_string_equal(isotime_encode(&early, text), "0001-01-01T00:00:00.000000000Z");
	assert_string_equal(isotime_encode(&late, text), "9999-12-31T23:59:59.999999999Z");
	assert_string_equal(isotime_encode(&odd, text), "1970-01-01T00:00:00.999999999Z");
}

static void test_isotime_refused(void **state)
{
	static const char *const bad[] = {
		"", "2026-11-21", "2026-11-21T02:00:00Z", "2026-11-21T02:00:00.000000000",
		"2026-11-21T02:00:00.000000000z", "2026-11-21 02:00:00.000000000Z",
		"2026-02-29T02:00:00.000000000Z", "2026-13-01T02:00:00.000000000Z",
		"2026-00-01T02:00:00.000000000Z", "2026-11-31T02:00:00.000000000Z",
		"2026-11-21T24:00:00.000000000Z", "2026-11-21T02:60:00.000000000Z",
		"2026-11-21T02:00:60.000000000Z", "0000-11-21T02:00:00.000000000Z",
		"2026-11-21T02:00:00.00000000xZ", "-026-11-21T02:00:00.000000000Z",
		"2026-11-21T02:00:00,000000000Z", "2026-11-21T02:00:00.000000000ZZ",
		"+026-11-21T02:00:00.000000000Z", "2026-1 -21T02:00:00.000000000Z",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct vtime t;

		if (isotime_decode(bad[i], &t))
			fail_msg("accepted: %s", bad[i]);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64_pairs),
		cmocka_unit_test(test_base64_refused),
		cmocka_unit_test(test_isotime_pairs),
		cmocka_unit_test(test_isotime_clamped),
		cmocka_unit_test(test_isotime_refused),
	};

	return cmocka_run_group_tests_name("text forms", tests, NULL, NULL);
}
