/* SPDX-License-Identifier: MIT */
/* Which paths need a chunk, asked without a check before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "store/verify.h"
#include "tests/lib/testtree.h"

static struct {
	struct testrepo r;
	struct snapshot snap;		/* the last published */
	struct buf told;		/* "SECOND PATH N[ folder]\n": N is the chunk's place in ids, or ? */
	struct object_id ids[2];
	bool all;
} fx;

static int setup(void **state)
{
	(void)state;
	testrepo_make(&fx.r);
	testrepo_open(&fx.r, STORE_WRITE);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testrepo_remove(&fx.r);
	snapshot_release(&fx.snap);
	buf_release(&fx.told);
	return 0;
}

static void publish(const struct object_id *root, int64_t sec)
{
	snapshot_release(&fx.snap);
	fx.snap = testrepo_snapshot(&fx.r, sec, "host");
	fx.snap.root = *root;
	OK(snapshot_publish(fx.r.s, &fx.snap, &ok_err));
}

static void on_touched(void *ctx, const struct snapshot *snap, const char *path,
		       const struct object_id *chunk, bool folder)
{
	char which = '?';

	assert_ptr_equal(ctx, &fx);
	for (size_t i = 0; i < ARRAY_LEN(fx.ids); i++)
		if (id_eq(chunk, &fx.ids[i]))
			which = (char)('0' + (int)i);
	buf_printf(&fx.told, "%lld %s %c%s\n", (long long)snap->time.sec, path, which,
		   folder ? " folder" : "");
}

static const char *touched(size_t nr, const atomic_bool *cancel)
{
	buf_reset(&fx.told);
	fx.all = false;
	OK(verify_touched(fx.r.s, fx.ids, nr, 60, cancel, on_touched, &fx, &fx.all, &ok_err));
	buf_add_u8(&fx.told, '\0');
	assert_false(fx.told.bad);
	return (const char *)fx.told.p;
}

static struct entry file_of(const char *name, struct buf *list, const struct object_id *a,
			    const struct object_id *b)
{
	struct entry e = testtree_entry(ENTRY_FILE, name);

	buf_reset(list);
	segment_encode(&(struct segment){ .kind = SEGMENT_CHUNK, .len = 77, .id = *a }, list);
	segment_encode(&(struct segment){ .kind = SEGMENT_CHUNK, .len = 77, .id = *b }, list);
	e.size = 2 * 77;
	e.content = CONTENT_LIST;
	e.content_p = list->p;
	e.content_len = list->len;
	e.flags = ENTRY_HAS_SHA256;
	return e;
}

/* A file that needs both is told with each; one folder in two snapshots is told in both. */
static void test_chunks(void **state)
{
	static const struct object_id other = { { 9 } };
	struct entry d = testtree_entry(ENTRY_DIR, "dir"), e, top;
	struct buf list = BUF_INIT;
	struct object_id root;
	struct testtree t;

	(void)state;
	fx.ids[0] = (struct object_id){ { 7 } };
	fx.ids[1] = (struct object_id){ { 8 } };
	for (int i = 0; i < 2; i++) {
		testtree_begin(&t, &fx.r);
		testtree_enter(&t, &d);
		e = file_of("both", &list, &fx.ids[0], &fx.ids[1]);
		testtree_add(&t, &e);
		e = file_of("none", &list, &other, &other);
		testtree_add(&t, &e);
		testtree_leave(&t);
		if (i == 1) {
			e = file_of("one", &list, &other, &fx.ids[1]);
			testtree_add(&t, &e);
		}
		testtree_end(&t, &root, &top);
		publish(&root, 10 + i);
	}
	assert_string_equal(touched(2, NULL), "11 /dir/both 0\n11 /dir/both 1\n11 /one 1\n"
					      "10 /dir/both 0\n10 /dir/both 1\n");
	assert_true(fx.all);
	assert_string_equal(touched(1, NULL), "11 /dir/both 0\n10 /dir/both 0\n");
	buf_release(&list);
}

/* A node that is not there is told as its folder, in every snapshot that has it; its siblings are looked into. */
static void test_node(void **state)
{
	struct entry d = testtree_entry(ENTRY_DIR, "dir"), z = testtree_entry(ENTRY_DIR, "z"), e;
	struct entry top, kept;
	struct buf list = BUF_INIT;
	struct object_id root;
	struct testtree t;

	(void)state;
	fx.ids[0] = (struct object_id){ { 7 } };
	testtree_begin(&t, &fx.r);
	t.skip_node = 1;
	testtree_enter(&t, &d);
	testtree_text(&t, "lost", "lost");
	testtree_leave(&t);
	testtree_enter(&t, &z);
	e = file_of("file", &list, &fx.ids[0], &fx.ids[0]);
	testtree_add(&t, &e);
	testtree_leave(&t);
	testtree_end(&t, &root, &top);
	fx.ids[1] = t.skipped;
	publish(&root, 10);
	kept = testtree_entry(ENTRY_DIR, "top");
	kept.node = top.node;
	kept.below = top.below;
	kept.nr_entries = top.nr_entries;
	kept.nr_subdirs = top.nr_subdirs;
	testtree_begin(&t, &fx.r);
	testtree_add(&t, &kept);
	testtree_end(&t, &root, &top);
	publish(&root, 11);
	testrepo_close(&fx.r);
	testrepo_open(&fx.r, STORE_READ);
	assert_string_equal(touched(1, NULL),
			    "11 /top/dir 1 folder\n11 /top/z/file 0\n11 /top/z/file 0\n"
			    "10 /dir 1 folder\n10 /z/file 0\n10 /z/file 0\n");
	assert_true(fx.all);
	buf_release(&list);
}

/* What calls itself a folder and is a file's node is found out, though no check was made before. */
static void test_forged(void **state)
{
	struct entry d = testtree_entry(ENTRY_DIR, "liar"), top;
	struct object_id root;
	struct testtree t;

	(void)state;
	testtree_begin(&t, &fx.r);
	testtree_text(&t, "a", "a");
	testtree_end(&t, &root, &top);
	d.node = root;		/* a snapshot's root is no folder's node */
	d.below = (struct totals){ .files = 1, .bytes = 1, .sums_len = 68 };
	d.nr_entries = 1;
	fx.ids[0] = (struct object_id){ { 7 } };
	fx.ids[1] = root;
	testtree_begin(&t, &fx.r);
	testtree_add(&t, &d);
	testtree_end(&t, &root, &top);
	publish(&root, 10);
	assert_string_equal(touched(1, NULL), "10 /liar 1 folder\n");
}

static void test_cancel(void **state)
{
	struct object_id root;
	struct entry top;
	struct testtree t;
	atomic_bool cancel;

	(void)state;
	testtree_begin(&t, &fx.r);
	testtree_text(&t, "a", "a");
	testtree_end(&t, &root, &top);
	publish(&root, 10);
	atomic_init(&cancel, true);
	assert_string_equal(touched(1, &cancel), "");
	assert_false(fx.all);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_chunks), T(test_node), T(test_forged), T(test_cancel),
	};

	return cmocka_run_group_tests_name("touched paths", tests, NULL, NULL);
}
