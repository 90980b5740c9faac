/* SPDX-License-Identifier: MIT */
/* Packs and parity files made whole where they lie; and left alone where they cannot be. */
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

static enum err_code mend(struct parbox *x)
{
	x->r = (struct parity_report){ 0 };
	err_clear(&x->e);
	return parity_mend(x->b, &x->id, &x->r, &x->e);
}

static void assert_whole(struct parbox *x)
{
	struct buf *pack = membox_object(x->b, x->pack), *par = membox_object(x->b, x->par);

	assert_true(pack && pack->len == x->len && memcmp(pack->p, x->right, x->len) == 0);
	assert_true(par && par->len == x->par_len &&
		    memcmp(par->p, x->right_par, x->par_len) == 0);
}

static void mends(struct parbox *x, bool pack, bool par)
{
	unsigned before = membox_commits(x->b);

	if (mend(x))
		fail_msg("%s", x->e.msg);
	assert_int_equal(x->r.pack_mended, pack);
	assert_int_equal(x->r.par_mended, par);
	assert_int_equal(membox_commits(x->b) - before, pack + par);
	assert_whole(x);
}

static void test_what_is_damaged(void **state)
{
	struct parbox x;

	(void)state;
	parbox_open(&x, 600 * S4K + 3, 30);
	mends(&x, false, false);

	parbox_spoil(&x, 0);
	parbox_spoil(&x, x.g.nr_data - 1);
	mends(&x, true, false);
	assert_int_equal(x.r.bad, 2);

	parbox_spoil_parity(&x, 3);
	mends(&x, false, true);
	assert_int_equal(x.r.par_bad, 1);

	parbox_par(&x)[5] ^= 1;
	parbox_spoil(&x, 300);
	mends(&x, true, true);

	membox_object(x.b, x.pack)->len -= 5 * S4K;
	mends(&x, true, false);
	membox_object(x.b, x.par)->len -= 100;
	mends(&x, false, true);

	/* Bytes behind the end. */
	buf_add_u8(membox_object(x.b, x.pack), 0);
	mends(&x, true, false);
	assert_true(x.r.longer);
	buf_add_u8(membox_object(x.b, x.par), 0);
	mends(&x, false, true);
	parbox_close(&x);

	parbox_open(&x, 4096, 30);
	assert_int_equal(x.b->ops->remove(x.b, x.pack, &x.e), ERR_OK);
	mends(&x, true, false);
	parbox_close(&x);
}

/* Not a byte is written where the pack cannot be whole after. */
static void test_beyond(void **state)
{
	struct parbox x;
	unsigned before;

	(void)state;
	parbox_open(&x, 600 * S4K, 30);
	for (uint32_t i = 0; i <= x.g.m; i++)
		parbox_spoil(&x, i * x.g.nr_stripes);
	parbox_spoil(&x, 1);
	parbox_par(&x)[7] ^= 1;
	before = membox_commits(x.b);
	assert_int_equal(mend(&x), ERR_CORRUPT);
	assert_int_equal(x.r.lost, x.g.m + 1);
	assert_int_equal(x.r.rebuilt, 1);
	assert_int_equal(membox_commits(x.b), before);
	assert_false(x.r.pack_mended || x.r.par_mended);
	memset(parbox_par(&x), 0, x.par_len);
	assert_int_equal(mend(&x), ERR_CORRUPT);
	assert_int_equal(x.b->ops->remove(x.b, x.par, &x.e), ERR_OK);
	assert_int_equal(mend(&x), ERR_NOT_FOUND);
	assert_int_equal(membox_commits(x.b), before);
	parbox_close(&x);
}

/* Damage that no checksum sees is seen by the pack's SHA-256: nothing takes its name. */
static void test_damage_unseen(void **state)
{
	struct parbox x;

	(void)state;
	parbox_open(&x, 600 * S4K, 30);
	parbox_par(&x)[par_section_off(&x.g, 0, 0) + 100] ^= 1;
	parbox_par(&x)[par_section_off(&x.g, 0, 1) + 100] ^= 1;
	parbox_spoil(&x, 7);
	assert_int_equal(mend(&x), ERR_CORRUPT);
	assert_false(x.r.pack_mended || x.r.par_mended);
	parbox_spoil(&x, 590);
	assert_int_equal(mend(&x), ERR_CORRUPT);
	assert_false(x.r.pack_mended || x.r.par_mended);
	parbox_close(&x);
}

static void test_no_room(void **state)
{
	struct parbox x;
	unsigned before;

	(void)state;
	parbox_open(&x, 100 * S4K, 30);
	before = membox_commits(x.b);
	parbox_spoil(&x, 50);
	membox_set_free(x.b, 200 * S4K - 1);
	assert_int_equal(mend(&x), ERR_LIMIT);
	assert_int_equal(x.r.bad, 1);
	assert_int_equal(membox_commits(x.b), before);
	membox_set_free(x.b, 200 * S4K);
	mends(&x, true, false);
	parbox_close(&x);
}

static void test_dying_drive(void **state)
{
	struct parbox x;

	(void)state;
	parbox_open(&x, 100 * S4K, 30);
	parbox_spoil(&x, 50);
	membox_lie(x.b, true);
	assert_int_equal(mend(&x), ERR_IO);
	assert_non_null(strstr(x.e.msg, "replace the drive"));
	assert_false(x.r.pack_mended);
	membox_lie(x.b, false);
	mends(&x, true, false);
	parbox_spoil_parity(&x, 0);
	membox_lie(x.b, true);
	assert_int_equal(mend(&x), ERR_IO);
	assert_false(x.r.par_mended);
	parbox_close(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_damaged), cmocka_unit_test(test_beyond),
		cmocka_unit_test(test_damage_unseen),	cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_dying_drive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
