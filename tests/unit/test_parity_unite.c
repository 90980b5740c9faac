/* SPDX-License-Identifier: MIT */
/* Two copies of a pack, each damaged in a way of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/parbox.h"

#define S4K ((size_t)PAR_SECTOR)
#define LEN (1200 * S4K + 77)

static struct parbox a, b;	/* the same bytes: parboxes of one length are */

static int make(void **state)
{
	(void)state;
	parbox_open(&a, LEN, 30);
	parbox_open(&b, LEN, 30);
	assert_true(id_eq(&a.id, &b.id));
	return 0;
}

static int drop(void **state)
{
	(void)state;
	parbox_close(&a);
	parbox_close(&b);
	return 0;
}

static enum err_code sink(void *ctx, const uint8_t *buf, size_t len, struct err *e)
{
	struct buf *got = ctx;

	buf_add(got, buf, len);
	return got->bad ? err_set(e, ERR_NOMEM, "got") : ERR_OK;
}

static enum err_code unite(struct parity_report *r)
{
	struct backend *const both[] = { a.b, b.b };
	struct err e = ERR_INIT;
	struct buf got = BUF_INIT;
	enum err_code rc = parity_unite(both, 2, &a.id, sink, &got, r, &e);

	if (!rc) {
		assert_int_equal(got.len, a.len);
		assert_memory_equal(got.p, a.right, a.len);
	} else if (r->lost > 0) {
		assert_int_equal(got.len, 0);
	}
	buf_release(&got);
	return rc;
}

static void unites(void)
{
	struct parity_report r = { 0 };

	assert_int_equal(unite(&r), ERR_OK);
	assert_int_equal(r.lost, 0);
}

/* Each has lost half; nothing has to be rebuilt. */
static void test_halves(void **state)
{
	struct parity_report r = { 0 };

	(void)state;
	for (uint32_t j = 0; j < a.g.nr_data; j++)
		parbox_spoil(j % 2 ? &a : &b, j);
	for (uint32_t q = 0; q < a.g.nr_parity; q++)
		parbox_spoil_parity(q % 3 ? &a : &b, q);
	assert_int_equal(unite(&r), ERR_OK);
	assert_int_equal(r.bad, 0);
}

/* Sectors at random: those that only one has lost come from the other, the others from parity. */
static void test_at_random(void **state)
{
	uint64_t x = parbox_seed();

	(void)state;
	for (int round = 0; round < 5; round++) {
		parbox_reset(&a);
		parbox_reset(&b);
		for (uint32_t j = 0; j < a.g.nr_data; j++)
			if (parbox_random(&x) % 4 == 0)
				parbox_spoil(parbox_random(&x) % 2 ? &a : &b, j);
		for (int k = 0; k < 2; k++) {
			uint32_t j = (uint32_t)(parbox_random(&x) % a.g.nr_data);

			parbox_spoil(&a, j);
			parbox_spoil(&b, j);
		}
		unites();
	}
}

static void test_files_that_are_missing(void **state)
{
	struct parity_report r = { 0 };

	(void)state;
	/* The pack here, its parity there; and sections lost. */
	for (uint32_t j = 0; j < 5; j++)
		parbox_spoil(&b, j * 7);
	assert_int_equal(a.b->ops->remove(a.b, a.pack, NULL), ERR_OK);
	assert_int_equal(b.b->ops->remove(b.b, b.par, NULL), ERR_OK);
	memset(parbox_par(&a), 0, S4K);
	unites();
	/* What no copy has is more than parity holds. */
	membox_object(b.b, b.pack)->len = LEN / 2;
	assert_int_equal(unite(&r), ERR_CORRUPT);
	assert_true(r.lost > 0);
	assert_int_equal(a.b->ops->remove(a.b, a.par, NULL), ERR_OK);
	assert_int_equal(unite(&r), ERR_NOT_FOUND);
}

static void test_what_cannot_be_read(void **state)
{
	(void)state;
	membox_unreadable(a.b, a.pack, 100 * S4K + 5, 300 * S4K);
	for (uint32_t j = 500; j < 1200; j++)
		parbox_spoil(&b, j);
	unites();
	membox_object(b.b, b.pack)->len = 450 * S4K;	/* cut short, and fits as far as it goes */
	unites();
}

static void test_both_have_lost_the_same(void **state)
{
	struct parity_report r = { 0 };

	(void)state;
	for (uint32_t j = 0; j < 200; j++) {
		parbox_spoil(&a, 300 + j);
		parbox_spoil(&b, 350 + j);
	}
	assert_int_equal(unite(&r), ERR_CORRUPT);
	assert_true(r.bad == 150 && r.lost > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_halves, make, drop),
		cmocka_unit_test_setup_teardown(test_at_random, make, drop),
		cmocka_unit_test_setup_teardown(test_files_that_are_missing, make, drop),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_read, make, drop),
		cmocka_unit_test_setup_teardown(test_both_have_lost_the_same, make, drop),
	};

	return cmocka_run_group_tests_name("parity_unite", tests, NULL, NULL);
}
