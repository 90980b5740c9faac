/* SPDX-License-Identifier: MIT */
/* fs/ is no library: what of it needs no FUSE is tested by being included. */
#include "fs/readahead.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/base/checked.h"

static const struct row {
	const char *name, *line, *path, *want;	/* NULL: not its line */
} rows[] = {
	{ "ours", "36 35 0:45 / /mnt rw,relatime - fuse.vouch x ro\n", "/mnt", "0:45" },
	{ "another's", "36 35 0:45 / /mnt2 rw - fuse.vouch x ro\n", "/mnt", NULL },
	{ "a longer one", "36 35 0:45 / /mn rw - fuse.vouch x ro\n", "/mnt", NULL },
	{ "a space", "36 35 0:45 / /a\\040b rw - fuse.vouch x ro\n", "/a b", "0:45" },
	{ "an escape cut short", "36 35 0:45 / /a\\04 rw - x x ro\n", "/a b", NULL },
	{ "a backslash", "36 35 0:45 / /a\\134 rw - x x ro\n", "/a\\", "0:45" },
	{ "cut short", "36 35 0:45 / /mnt", "/mnt", NULL },
	{ "cut shorter", "36 35\n", "/mnt", NULL },
	{ "empty", "", "/mnt", NULL },
	{ "no device is that long", "36 35 01234567890123456789 / /mnt rw\n", "/mnt", NULL },
};

static void test_row(void **state)
{
	const struct row *t = *state;
	char got[16] = "none";

	assert_int_equal(readahead_device(t->line, t->path, got, sizeof(got)), t->want != NULL);
	assert_string_equal(got, t->want ? t->want : "none");
}

/* Nothing is mounted there: nothing happens. */
static void test_nowhere(void **state)
{
	(void)state;
	readahead_raise("/nonexistent");
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_LEN(rows) + 1];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[i] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL,
						(void *)(uintptr_t)&rows[i] };
	tests[ARRAY_LEN(rows)] = (struct CMUnitTest)cmocka_unit_test(test_nowhere);
	return cmocka_run_group_tests_name("readahead", tests, NULL, NULL);
}
