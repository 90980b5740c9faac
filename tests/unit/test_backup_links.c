/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/backup_batch_internal.h"

static struct hardlink *add(struct links *l, uint64_t dev, uint64_t ino, uint64_t nlink)
{
	struct hardlink *h = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(links_add(l, dev, ino, nlink, &h, &e), ERR_OK);
	return h;
}

/* Found once for each name after the first, and not after the last. */
static void test_names_are_counted(void **state)
{
	struct err e = ERR_INIT;
	struct hardlink *h;
	struct links *l;
	bool last;

	(void)state;
	assert_int_equal(links_open(&l, &e), ERR_OK);
	assert_null(links_find(l, 1, 2, &last));
	h = add(l, 1, 2, 3);
	assert_null(links_find(l, 2, 1, &last));
	assert_ptr_equal(links_find(l, 1, 2, &last), h);
	assert_false(last);
	assert_ptr_equal(links_find(l, 1, 2, &last), h);
	assert_true(last);
	assert_null(links_find(l, 1, 2, &last));
	/* A name more than nlink said, as a bind mount makes: read as if it were new. */
	assert_ptr_not_equal(add(l, 1, 2, 3), h);
	links_close(l);
}

static void test_many(void **state)
{
	struct hardlink *all[3000];
	struct err e = ERR_INIT;
	struct links *l;
	bool last;

	(void)state;
	assert_int_equal(links_open(&l, &e), ERR_OK);
	for (uint64_t i = 0; i < 3000; i++)
		all[i] = add(l, i % 3, i, 2);
	for (uint64_t i = 0; i < 3000; i++) {
		assert_null(links_find(l, i % 3 + 1, i, &last));
		assert_ptr_equal(links_find(l, i % 3, i, &last), all[i]);
		assert_true(last);
	}
	links_close(l);
}

/* Another name gets the content with the times it was read at, and keeps what is its own. */
static void test_given(void **state)
{
	struct entry first = {
	    .type = ENTRY_FILE,
	    .flags = ENTRY_HARDLINK | ENTRY_UNSETTLED | ENTRY_HAS_SHA256,
	    .mode = 0600,
	    .mtime = {11, 12},
	    .ctime = {13, 14},
	    .size = 5,
	    .hole_bytes = 1,
	    .content = CONTENT_INLINE,
	    .content_p = (const uint8_t *)"hello",
	    .content_len = 5,
	};
	struct entry other = {.type = ENTRY_FILE, .flags = ENTRY_HARDLINK, .mode = 0644, .size = 9};
	struct err e = ERR_INIT;
	struct hardlink *h;
	struct links *l;

	(void)state;
	memset(first.sha256.b, 7, ID_LEN);
	memset(first.node.b, 8, ID_LEN);
	assert_int_equal(links_open(&l, &e), ERR_OK);
	h = add(l, 1, 2, 2);
	assert_int_equal(hardlink_keep(h, &first, &e), ERR_OK);
	first.content_p = NULL; /* it was a copy */
	hardlink_give(h, &other);
	assert_int_equal(other.mode, 0644);
	assert_int_equal(other.flags, first.flags);
	assert_int_equal(other.mtime.sec, 11);
	assert_int_equal(other.mtime.nsec, 12);
	assert_int_equal(other.ctime.sec, 13);
	assert_int_equal(other.size, 5);
	assert_int_equal(other.hole_bytes, 1);
	assert_int_equal(other.content, CONTENT_INLINE);
	assert_int_equal(other.content_len, 5);
	assert_memory_equal(other.content_p, "hello", 5);
	assert_true(id_eq(&other.sha256, &first.sha256));
	assert_true(id_eq(&other.node, &first.node));
	hardlink_forget(h);
	links_close(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names_are_counted),
	    cmocka_unit_test(test_many),
	    cmocka_unit_test(test_given),
	};

	return cmocka_run_group_tests_name("backup: hard links", tests, NULL, NULL);
}
