/* SPDX-License-Identifier: MIT */
/* The checksum of rows: known values, any order, twice counts twice, values that changed their rows, the carry. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "tools/components/rowsum.h"

static void assert_sum(const struct rowsum *s, uint64_t rows, const char *want)
{
	char text[ROWSUM_TEXT_LEN + 1];

	rowsum_text(s, text);
	assert_string_equal(text, want);
	assert_int_equal(s->rows, rows);
}

/* Made with Python's hashlib. */
static void test_known(void **state)
{
	struct rowsum s = { 0 };

	(void)state;
	assert_sum(&s, 0, "00000000000000000000000000000000");
	rowsum_add(&s, "abc", 3);
	assert_sum(&s, 1, "ba7816bf8f01cfea414140de5dae2223");
	rowsum_add(&s, "abc", 3);
	assert_sum(&s, 2, "74f02d7f1e039fd4828281bcbb5c4446");
	rowsum_add(&s, "", 0);
	assert_sum(&s, 3, "58a0f1c1b6ffbbe91d7e768554cbfd6a");
}

static void test_order_and_copies(void **state)
{
	static const char *const rows[] = { "1\tone", "2\ttwo", "3\t\\N", "", "1\tone" };
	struct rowsum a = { 0 }, b = { 0 }, c = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		rowsum_add(&a, rows[i], strlen(rows[i]));
		rowsum_add(&b, rows[ARRAY_LEN(rows) - 1 - i], strlen(rows[ARRAY_LEN(rows) - 1 - i]));
		if (i != 0)
			rowsum_add(&c, rows[i], strlen(rows[i]));
	}
	assert_memory_equal(&a, &b, sizeof(a));
	assert_true(a.hi != c.hi || a.lo != c.lo);
}

/* The same values, and as many rows: but in other rows, and a row twice in place of another. */
static void test_mixed_up(void **state)
{
	static const char *const tables[][3] = { { "1\ta", "2\tb", "3\tc" }, { "1\tb", "2\ta", "3\tc" },
						 { "1\ta", "1\ta", "3\tc" }, { "1\ta\t", "2\tb", "3c" } };
	struct rowsum sums[ARRAY_LEN(tables)] = { { 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		for (size_t k = 0; k < 3; k++)
			rowsum_add(&sums[i], tables[i][k], strlen(tables[i][k]));
		for (size_t k = 0; k < i; k++)
			assert_true(sums[i].hi != sums[k].hi && sums[i].lo != sums[k].lo);
	}
}

static void test_carry(void **state)
{
	struct rowsum s = { .rows = 1, .hi = UINT64_MAX, .lo = UINT64_MAX }, t = { 0 };

	(void)state;
	rowsum_add(&s, "abc", 3);		/* -1 + x = x - 1, modulo 2^128 */
	rowsum_add(&t, "abc", 3);
	assert_int_equal(s.hi, t.hi);
	assert_int_equal(s.lo, t.lo - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_order_and_copies),
		cmocka_unit_test(test_mixed_up),
		cmocka_unit_test(test_carry),
	};

	return cmocka_run_group_tests_name("rowsum", tests, NULL, NULL);
}
