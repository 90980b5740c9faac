/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/engine/filter.h"
#include "store/engine/idset.h"

static uint64_t key(uint64_t i)
{
	i = (i + 1) * 0x9E3779B97F4A7C15u;
	i = (i ^ i >> 30) * 0xBF58476D1CE4E5B9u;
	i = (i ^ i >> 27) * 0x94D049BB133111EBu;
	return i ^ i >> 31;
}

static void test_never_false_negative(void **state)
{
	struct filter *f = NULL;
	uint64_t wrong = 0;

	(void)state;
	assert_int_equal(filter_open(24 << 20, &f, NULL), ERR_OK);
	assert_int_equal(filter_bytes(f), 0);
	assert_false(filter_has(f, 5));
	for (uint64_t i = 0; i < 500000; i++)
		filter_add(f, key(i));
	for (uint64_t i = 0; i < 500000; i++)
		assert_true(filter_has(f, key(i)));
	for (uint64_t i = 500000; i < 600000; i++)
		wrong += filter_has(f, key(i));
	assert_true(wrong < 5000); /* 5 % over all levels */
	assert_true(filter_bytes(f) < 2 << 20);
	filter_close(f);
}

static int cmp(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* As the index gives them: in order. */
static void test_sorted(void **state)
{
	static uint64_t keys[300000];
	struct filter *f = NULL;
	unsigned wrong = 0;

	(void)state;
	for (uint64_t i = 0; i < 300000; i++)
		keys[i] = key(i);
	qsort(keys, 300000, sizeof(keys[0]), cmp);
	assert_int_equal(filter_open(24 << 20, &f, NULL), ERR_OK);
	for (size_t i = 0; i < 300000; i++)
		filter_add(f, keys[i]);
	for (size_t i = 0; i < 300000; i++)
		assert_true(filter_has(f, keys[i]));
	for (uint64_t i = 300000; i < 400000; i++)
		wrong += filter_has(f, key(i));
	assert_true(wrong < 5000);
	filter_close(f);
}

/* One level for all that come, sorted or not, and others when there are more. */
static void test_reserved(void **state)
{
	static uint64_t keys[300000];
	struct filter *f = NULL;
	unsigned wrong = 0;

	(void)state;
	for (uint64_t i = 0; i < 300000; i++)
		keys[i] = key(i);
	qsort(keys, 200000, sizeof(keys[0]), cmp);
	assert_int_equal(filter_open(24 << 20, &f, NULL), ERR_OK);
	filter_reserve(f, 200000);
	assert_true(filter_bytes(f) >= 300000 && filter_bytes(f) < 310000);
	for (size_t i = 0; i < 200000; i++)
		filter_add(f, keys[i]);
	assert_true(filter_bytes(f) < 310000);
	for (uint64_t i = 300000; i < 400000; i++)
		wrong += filter_has(f, key(i));
	assert_true(wrong < 1500); /* 1.5 % of one level */
	for (size_t i = 200000; i < 300000; i++)
		filter_add(f, keys[i]);
	for (size_t i = 0; i < 300000; i++)
		assert_true(filter_has(f, keys[i]));
	filter_close(f);
	/* More than there may be room for. */
	assert_int_equal(filter_open(100000, &f, NULL), ERR_OK);
	filter_reserve(f, UINT64_MAX);
	assert_true(filter_bytes(f) <= 100000);
	for (size_t i = 0; i < 300000; i++)
		filter_add(f, keys[i]);
	for (size_t i = 0; i < 300000; i++)
		assert_true(filter_has(f, keys[i]));
	filter_close(f);
}

static void test_bounded(void **state)
{
	struct filter *f = NULL;

	(void)state;
	assert_int_equal(filter_open(100000, &f, NULL), ERR_OK);
	for (uint64_t i = 0; i < 200000; i++)
		filter_add(f, key(i));
	for (uint64_t i = 0; i < 200000; i++)
		assert_true(filter_has(f, key(i)));
	assert_true(filter_bytes(f) <= 100000);
	filter_close(f);
	filter_close(NULL);
}

/* Ids whose homes collide and wrap, added and removed at random, against a plain table. */
static void test_idset(void **state)
{
	struct idset s = IDSET_INIT;
	static bool in[600];
	unsigned nr = 0;

	(void)state;
	srandom(7);
	for (int round = 0; round < 200000; round++) {
		unsigned n = (unsigned)random() % 600;
		struct object_id id = {{0}};

		id.b[7] = (uint8_t)(n % 5 - 2); /* five homes, at the table's ends */
		id.b[6] = id.b[7] & 0x80 ? 0xff : 0;
		id.b[20] = (uint8_t)n;
		id.b[21] = (uint8_t)(n >> 8);
		assert_int_equal(idset_has(&s, &id), in[n]);
		if (random() % 2) {
			assert_int_equal(idset_add(&s, &id, NULL), ERR_OK);
			nr += !in[n];
			in[n] = true;
		} else {
			idset_remove(&s, &id);
			nr -= in[n];
			in[n] = false;
		}
		assert_int_equal(s.nr, nr);
	}
	idset_release(&s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_never_false_negative),
	    cmocka_unit_test(test_sorted),
	    cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_bounded),
	    cmocka_unit_test(test_idset),
	};

	return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
