/* SPDX-License-Identifier: MIT */
/* Two trees: what was added, removed, changed; equal nodes are not even read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/diff.h"
#include "tests/lib/testtree.h"

static struct {
	struct testrepo r;
	struct entry a, b;
	struct buf lines;
	unsigned stop_after, nr;
} fx;

static int setup(void **state)
{
	(void)state;
	testrepo_make(&fx.r);
	testrepo_open(&fx.r, STORE_WRITE);
	fx.stop_after = fx.nr = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testrepo_remove(&fx.r);
	buf_release(&fx.lines);
	return 0;
}

static enum err_code tell(void *ctx, enum diff_kind kind, const char *path, const struct entry *a,
			  const struct entry *b, struct err *e)
{
	static const char letter[] = { [DIFF_ADDED] = '+', [DIFF_REMOVED] = '-',
				       [DIFF_CONTENT] = 'c', [DIFF_METADATA] = 'm' };
	const char *base = strrchr(path, '/');
	const struct entry *any = a ? a : b;

	(void)ctx;
	(void)e;
	assert_int_equal(a == NULL, kind == DIFF_ADDED);
	assert_int_equal(b == NULL, kind == DIFF_REMOVED);
	base = base ? base + 1 : path;
	assert_int_equal(any->name_len, strlen(base));
	assert_memory_equal(any->name, base, any->name_len);
	buf_printf(&fx.lines, "%c %s\n", letter[kind], path);
	return ++fx.nr == fx.stop_after ? ERR_CANCELED : ERR_OK;
}

static void assert_diff(const char *want)
{
	buf_reset(&fx.lines);
	fx.nr = 0;
	OK(diff_run(fx.r.s, &fx.a, &fx.b, tell, NULL, &ok_err));
	buf_add_u8(&fx.lines, 0);
	assert_string_equal((char *)fx.lines.p, want);
}

static void begin(struct testtree *t)
{
	testtree_begin(t, &fx.r);
}

static void end(struct testtree *t, struct entry *top)
{
	struct object_id root;

	testtree_end(t, &root, top);
}

static void test_kinds(void **state)
{
	struct entry d = testtree_entry(ENTRY_DIR, "d"), e,
		     gone = testtree_entry(ENTRY_DIR, "gone");
	struct testtree t;

	(void)state;
	for (int i = 0; i < 2; i++) {
		begin(&t);
		testtree_text(&t, "bytes", i ? "one" : "two");
		testtree_enter(&t, &d);
		testtree_text(&t, "deep", i ? "one" : "longer");
		testtree_text(&t, "same", "same");
		testtree_leave(&t);
		if (!i) {
			testtree_enter(&t, &gone);
			testtree_text(&t, "below", "");
			testtree_leave(&t);
		}
		e = testtree_entry(ENTRY_SYMLINK, "link");
		e.target = i ? "x" : "y";
		e.target_len = e.size = 1;
		testtree_add(&t, &e);
		e = testtree_entry(ENTRY_FILE, "mode");
		e.mode = i ? 0600 : 0644;
		e.ctime.sec = i;
		testtree_add(&t, &e);
		if (i)
			testtree_text(&t, "new", "new");
		e = testtree_entry(ENTRY_FILE, "touched-not");	/* ctime and inode do not count */
		e.ctime.sec = i;
		e.inode = (uint64_t)i + 7;
		testtree_add(&t, &e);
		/* A folder became a file. */
		e = testtree_entry(i ? ENTRY_FILE : ENTRY_DIR, "type");
		if (i) {
			testtree_add(&t, &e);
		} else {
			testtree_enter(&t, &e);
			testtree_text(&t, "inner", "x");
			testtree_leave(&t);
		}
		end(&t, i ? &fx.b : &fx.a);
	}
	assert_diff("c bytes\nc d/deep\n- gone\n- gone/below\nc link\nm mode\n+ new\nc type\n"
		    "- type/inner\n");
	fx.stop_after = 2;
	assert_diff("c bytes\nc d/deep\n");
	fx.stop_after = 0;
	fx.b = fx.a;
	assert_diff("");
}

/* A large folder, some names of which differ, against every way that its nodes may fall. */
static void test_large(void **state)
{
	enum { NAMES = 5000 };
	static char names[NAMES][16];
	uint64_t seed = test_seed();
	static uint8_t change[NAMES];
	struct buf want = BUF_INIT;
	struct testtree t;

	(void)state;
	for (int round = 0; round < 6; round++) {
		uint64_t one_in = round < 3 ? 2500 : 3;

		buf_reset(&want);
		for (unsigned i = 0; i < NAMES; i++) {
			change[i] =
			    test_random(&seed) % one_in ? 0 : (uint8_t)(1 + test_random(&seed) % 3);
			(void)snprintf(names[i], sizeof(names[i]), "n%06u", i);
			if (change[i])
				buf_printf(&want, "%c n%06u\n", " +-c"[change[i]], i);
		}
		buf_add_u8(&want, 0);
		for (int side = 0; side < 2; side++) {
			begin(&t);
			for (unsigned i = 0; i < NAMES; i++)
				if (change[i] != (side ? 2 : 1))
					testtree_text(&t, names[i],
						      side && change[i] == 3 ? "b" : "a");
			end(&t, side ? &fx.b : &fx.a);
		}
		assert_diff((char *)want.p);
	}
	/* All of it, against nothing. */
	begin(&t);
	end(&t, &fx.b);
	fx.nr = 0;
	OK(diff_run(fx.r.s, &fx.a, &fx.b, tell, NULL, &ok_err));
	assert_int_equal(fx.nr, fx.a.nr_entries);
	buf_release(&want);
}

/* What is the same on both sides is not asked for: its node is in no pack. */
static void test_skips(void **state)
{
	enum { NAMES = 6000 };
	static char names[NAMES][16];
	struct testtree t;

	(void)state;
	for (int side = 0; side < 2; side++) {
		begin(&t);
		t.skip_node = 3;
		for (unsigned i = 0; i < NAMES; i++) {
			(void)snprintf(names[i], sizeof(names[i]), "n%06u", i);
			testtree_text(&t, names[i], side && i == 0 ? "b" : "a");
		}
		end(&t, side ? &fx.b : &fx.a);
	}
	assert_diff("c n000000\n");
}

static void test_missing(void **state)
{
	struct entry d = testtree_entry(ENTRY_DIR, "d");
	struct err e = ERR_INIT;
	struct testtree t;

	(void)state;
	for (int side = 0; side < 2; side++) {
		begin(&t);
		t.skip_node = 1;
		testtree_enter(&t, &d);
		testtree_text(&t, "x", side ? "b" : "a");
		testtree_leave(&t);
		end(&t, side ? &fx.b : &fx.a);
	}
	assert_int_not_equal(diff_run(fx.r.s, &fx.a, &fx.b, tell, NULL, &e), ERR_OK);
	assert_non_null(strstr(e.msg, "near d"));
}

static void test_deep(void **state)
{
	enum { DEEP = 3000 };
	struct entry d = testtree_entry(ENTRY_DIR, "d");
	struct testtree t;

	(void)state;
	for (int side = 0; side < 2; side++) {
		begin(&t);
		for (int i = 0; i < DEEP; i++)
			testtree_enter(&t, &d);
		testtree_text(&t, "x", side ? "b" : "a");
		end(&t, side ? &fx.b : &fx.a);
	}
	buf_reset(&fx.lines);
	OK(diff_run(fx.r.s, &fx.a, &fx.b, tell, NULL, &ok_err));
	assert_int_equal(fx.nr, 1);
	assert_int_equal(fx.lines.len, 2 + 2 * DEEP + 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_kinds), T(test_large), T(test_skips), T(test_missing), T(test_deep),
	};

	return cmocka_run_group_tests_name("diff", tests, NULL, NULL);
}
