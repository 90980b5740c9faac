/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/digest.h"
#include "store/tree.h"
#include "tests/lib/nodestore.h"

static void test_entry_sha256(void **state)
{
	struct object_id got, want;
	struct entry e;

	(void)state;
	sample_kind(&e, 0, "empty");
	assert_true(entry_sha256(&e, &got));
	digest_sha256("", 0, &want);
	assert_true(id_eq(&got, &want));
	sample_kind(&e, 6, "inline");
	assert_true(entry_sha256(&e, &got));
	digest_sha256("a\0b", 3, &want);
	assert_true(id_eq(&got, &want));
	for (unsigned kind = 7; kind <= 9; kind++) {
		sample_kind(&e, kind, "chunks");
		assert_true(entry_sha256(&e, &got));
		assert_true(id_eq(&got, &e.sha256));
	}
	/* much of it is holes: no digest is not the digest of nothing */
	for (unsigned kind = 8; kind <= 9; kind++) {
		sample_kind(&e, kind, "holes");
		e.flags &= ~(unsigned)ENTRY_HAS_SHA256;
		assert_false(entry_sha256(&e, &got));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_entry_sha256) };

	return cmocka_run_group_tests_name("entry", tests, NULL, NULL);
}
