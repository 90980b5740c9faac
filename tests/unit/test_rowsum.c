/* SPDX-License-Identifier: MIT */
/* The checksum of rows: known values, any order, twice counts twice, the carry, and how long a million takes. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static void test_carry(void **state)
{
	struct rowsum s = { .rows = 1, .hi = UINT64_MAX, .lo = UINT64_MAX }, t = { 0 };

	(void)state;
	rowsum_add(&s, "abc", 3);		/* -1 + x = x - 1, modulo 2^128 */
	rowsum_add(&t, "abc", 3);
	assert_int_equal(s.hi, t.hi);
	assert_int_equal(s.lo, t.lo - 1);
}

static void test_pace(void **state)
{
	struct rowsum s = { 0 };
	struct timespec from, to;
	char row[64];
	double ns;

	(void)state;
	memset(row, 'r', sizeof(row));
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	for (uint32_t i = 0; i < 200000; i++) {
		memcpy(row, &i, sizeof(i));
		rowsum_add(&s, row, 40);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	ns = ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / 200000;
	print_message("a row of 40 bytes takes %.0f ns\n", ns);
	assert_int_equal(s.rows, 200000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_order_and_copies),
		cmocka_unit_test(test_carry),
		cmocka_unit_test(test_pace),
	};

	return cmocka_run_group_tests_name("rowsum", tests, NULL, NULL);
}
