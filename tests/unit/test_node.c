/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/checked.h"
#include "store/format/limits.h"
#include "tests/lib/nodestore.h"

enum { LEAF_OWNERS_AT = 16 };

/* What each sample makes: one node of a kind. */
static void make_leaf(struct buf *out)
{
	static const char *const names[SAMPLE_KINDS] = {
		"a", "a\n", "aa", "b", "b\\", "c", "d", "dd", "e", "\xff",
	};
	struct nodestore store = { 0 };
	struct dir_builder *b;
	struct err e = ERR_INIT;
	struct entry dir;

	assert_int_equal(dir_builder_open(nodestore_emit, &store, &b, &e), ERR_OK);
	for (unsigned i = 0; i < SAMPLE_KINDS; i++) {
		struct entry ent;

		sample_kind(&ent, i, names[i]);
		if (i == 4)
			ent.user_len = 0;	/* a second owner */
		if (dir_builder_add(b, &ent, &e))
			fail_msg("%s", e.msg);
	}
	assert_int_equal(dir_builder_finish(b, &dir, &e), ERR_OK);
	assert_int_equal(store.nr, 1);
	buf_add(out, store.nodes[0].p, store.nodes[0].len);
	dir_builder_close(b);
	nodestore_release(&store);
}

static void make_empty(struct buf *out)
{
	buf_add(out, "VNOD\1\1\0\0\0\0\0\0\0\0\0\0\0\0", 18);
}

static void make_root(struct buf *out)
{
	struct nodestore store = { 0 };
	struct err e = ERR_INIT;
	struct object_id id;
	struct entry root;

	sample_entry(&root, ENTRY_DIR, "");
	if (root_emit(&root, nodestore_emit, &store, &id, &e))
		fail_msg("%s", e.msg);
	buf_add(out, store.nodes[0].p, store.nodes[0].len);
	nodestore_release(&store);
}

/* A leaf of one directory that has a name. */
static void make_single(struct buf *out)
{
	struct nodestore store = { 0 };
	struct dir_builder *b = NULL;
	struct entry ent, dir;

	sample_entry(&ent, ENTRY_DIR, "d");
	assert_int_equal(dir_builder_open(nodestore_emit, &store, &b, NULL), ERR_OK);
	assert_int_equal(dir_builder_add(b, &ent, NULL), ERR_OK);
	assert_int_equal(dir_builder_finish(b, &dir, NULL), ERR_OK);
	buf_add(out, store.nodes[0].p, store.nodes[0].len);
	dir_builder_close(b);
	nodestore_release(&store);
}

static void child(struct buf *out, uint64_t entries, uint64_t subdirs, struct totals t,
		  const char *first)
{
	static const uint8_t id[ID_LEN] = { 7 };

	buf_add(out, id, ID_LEN);
	buf_add_le64(out, entries);
	buf_add_le64(out, subdirs);
	buf_add_le64(out, t.files);
	buf_add_le64(out, t.dirs);
	buf_add_le64(out, t.others);
	buf_add_le64(out, t.bytes);
	buf_add_le64(out, t.sums_len);
	buf_add_le64(out, t.sums_escaped);
	buf_add_le16(out, (uint16_t)strlen(first));
	buf_add_str(out, first);
}

/* first child at 16, its name at 114; second at 115 */
static void make_dir_inner(struct buf *out)
{
	struct totals t = { .files = 3, .dirs = 2, .bytes = 9, .sums_len = 300 };

	buf_add(out, "VNOD\1\2\1\0\2\0\0\0\0\0\0\0", 16);
	child(out, 4, 2, t, "a");
	child(out, 4, 1, t, "m");
}

/* a chunk at 16, a hole at 53, a chunk at 62 */
static void make_content_leaf(struct buf *out)
{
	struct segment s = { .kind = SEGMENT_CHUNK, .len = CHUNK_LEN_MAX };

	buf_add(out, "VNOD\1\3\0\0\3\0\0\0\0\0\0\0", 16);
	segment_encode(&s, out);
	segment_encode(&(struct segment){ .kind = SEGMENT_HOLE, .len = UINT64_C(1) << 60 }, out);
	s.len = 1;
	segment_encode(&s, out);
}

static void make_content_inner(struct buf *out)
{
	static const uint8_t id[ID_LEN] = { 9 };

	buf_add(out, "VNOD\1\4\10\0\2\0\0\0\0\0\0\0", 16);
	buf_add(out, id, ID_LEN);
	buf_add_le64(out, 1000);
	buf_add(out, id, ID_LEN);
	buf_add_le64(out, UINT64_C(1) << 62);
}

typedef void make_fn(struct buf *out);
static make_fn *const samples[] = {
	make_leaf, make_empty, make_root, make_dir_inner, make_content_leaf, make_content_inner,
};

/* Walk all that a decoded node offers: what it says of its own memory must be so. */
static void use(const struct node *n)
{
	bool leaf = n->kind == NODE_DIR_LEAF || n->kind == NODE_ROOT;
	struct segment s;
	struct entry e;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n->nr; i++) {
		if (leaf)
			node_entry(n, i, &e);
		if (n->kind == NODE_DIR_LEAF)
			assert_int_equal(node_lower_bound(n, e.name, e.name_len), i);
		if (n->kind == NODE_DIR_INNER)
			assert_int_equal(node_lower_bound(n, n->children[i].first,
							  n->children[i].first_len), i);
		if (n->kind == NODE_CONTENT_LEAF) {
			node_segment(n, i, &s);
			assert_int_equal(n->starts[i], sum);
			sum += s.len;
		}
		if (n->kind == NODE_CONTENT_INNER) {
			assert_int_equal(n->starts[i], sum);
			sum += n->children[i].bytes;
		}
	}
	if (n->starts)
		assert_int_equal(n->starts[n->nr], sum);
}

/* Decode from memory of its own length, so that ASan sees a read past it. */
static enum err_code decode(const uint8_t *p, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	struct err e = ERR_INIT;
	enum err_code rc;
	struct node n;

	assert_non_null(exact);
	memcpy(exact, p, len);
	rc = node_decode(exact, len, &n, &e);
	assert_int_equal(e.code, rc);
	if (rc)
		assert_true(!n.owners && !n.offs && !n.starts && !n.children && n.nr == 0);
	else
		use(&n);
	node_release(&n);
	free(exact);
	return rc;
}

static void test_node_intact(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		struct buf b = BUF_INIT;

		samples[i](&b);
		assert_int_equal(decode(b.p, b.len), ERR_OK);
		buf_add_u8(&b, 0);
		assert_int_equal(decode(b.p, b.len), ERR_CORRUPT);
		buf_release(&b);
	}
}

static void test_node_truncation(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		struct buf b = BUF_INIT;

		samples[i](&b);
		for (size_t len = 0; len < b.len; len++)
			assert_int_equal(decode(b.p, len), ERR_CORRUPT);
		buf_release(&b);
	}
}

static void test_node_bit_flips(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		struct buf b = BUF_INIT;

		samples[i](&b);
		for (size_t bit = 0; bit < 8 * b.len; bit++) {
			b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
			(void)decode(b.p, b.len);
			b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		buf_release(&b);
	}
}

static const struct row {
	const char *name;
	make_fn *make;
	unsigned at;
	uint8_t with;
	enum err_code want;
} rows[] = {
	{ "magic", make_leaf, 3, 'd', ERR_CORRUPT },
	{ "version 0", make_leaf, 4, 0, ERR_CORRUPT },
	{ "version 2", make_leaf, 4, 2, ERR_UNSUPPORTED },
	{ "kind 0", make_leaf, 5, 0, ERR_CORRUPT },
	{ "kind 6", make_leaf, 5, 6, ERR_CORRUPT },
	{ "kind inner", make_leaf, 5, 2, ERR_CORRUPT },
	{ "leaf at level 1", make_leaf, 6, 1, ERR_CORRUPT },
	{ "inner at level 0", make_dir_inner, 6, 0, ERR_CORRUPT },
	{ "inner at level 8", make_dir_inner, 6, 8, ERR_OK },
	{ "inner at level 9", make_dir_inner, 6, 9, ERR_CORRUPT },
	{ "content inner at level 9", make_content_inner, 6, 9, ERR_CORRUPT },
	{ "padding 7", make_leaf, 7, 1, ERR_CORRUPT },
	{ "padding 15", make_leaf, 15, 1, ERR_CORRUPT },
	{ "nr one more", make_leaf, 8, SAMPLE_KINDS + 1, ERR_CORRUPT },
	{ "nr one less", make_leaf, 8, SAMPLE_KINDS - 1, ERR_CORRUPT },
	{ "nr huge", make_leaf, 11, 0xff, ERR_CORRUPT },
	{ "inner of none", make_dir_inner, 8, 0, ERR_CORRUPT },
	{ "inner nr huge", make_dir_inner, 11, 0xff, ERR_CORRUPT },
	{ "content of none", make_content_leaf, 8, 0, ERR_CORRUPT },
	{ "content nr huge", make_content_leaf, 11, 0xff, ERR_CORRUPT },
	{ "content inner nr huge", make_content_inner, 11, 0xff, ERR_CORRUPT },
	{ "owners huge", make_leaf, LEAF_OWNERS_AT + 1, 0xff, ERR_CORRUPT },
	{ "owners one less", make_leaf, LEAF_OWNERS_AT, 1, ERR_CORRUPT },
	{ "owner's name with NUL", make_leaf, LEAF_OWNERS_AT + 11, 0, ERR_CORRUPT },
	{ "owner's name long", make_root, LEAF_OWNERS_AT + 10, 0xff, ERR_CORRUPT },
	{ "owner's name other", make_root, LEAF_OWNERS_AT + 11, 'b', ERR_OK },
	{ "root as leaf", make_root, 5, 1, ERR_CORRUPT },	/* its entry has no name */
	{ "root of none", make_root, 8, 0, ERR_CORRUPT },
	{ "leaf as root", make_leaf, 5, 5, ERR_CORRUPT },
	{ "root with a name", make_single, 5, 5, ERR_CORRUPT },
	{ "first with slash", make_dir_inner, 114, '/', ERR_CORRUPT },
	{ "first is .", make_dir_inner, 114, '.', ERR_CORRUPT },
	{ "first names equal", make_dir_inner, 114, 'm', ERR_CORRUPT },
	{ "first names descend", make_dir_inner, 114, 'n', ERR_CORRUPT },
	{ "first name long", make_dir_inner, 113, 1, ERR_CORRUPT },
	{ "child without entries", make_dir_inner, 48, 0, ERR_CORRUPT },
	{ "child of more entries", make_dir_inner, 48, 6, ERR_CORRUPT },
	{ "child of more subdirs", make_dir_inner, 56, 3, ERR_CORRUPT },
	{ "child's files huge", make_dir_inner, 71, 0x10, ERR_CORRUPT },
	{ "child's lines short", make_dir_inner, 97, 0, ERR_CORRUPT },
	{ "chunk of 0", make_content_leaf, 63, 0, ERR_CORRUPT },
	{ "chunk over the limit", make_content_leaf, 17, 1, ERR_CORRUPT },
	{ "segment kind 2", make_content_leaf, 53, 2, ERR_CORRUPT },
	{ "hole over 2^63", make_content_leaf, 61, 0x80, ERR_CORRUPT },
	{ "sum over 2^63", make_content_leaf, 61, 0x7f, ERR_OK },
	{ "child of 0 bytes", make_content_inner, 95, 0, ERR_CORRUPT },
	{ "children over 2^63", make_content_inner, 95, 0x80, ERR_CORRUPT },
	{ "children over 2^63 in sum", make_content_inner, 55, 0x7f, ERR_CORRUPT },
};

static void test_row(void **state)
{
	const struct row *t = *state;
	struct buf b = BUF_INIT;

	t->make(&b);
	assert_true(t->at < b.len);
	b.p[t->at] = t->with;
	assert_int_equal(decode(b.p, b.len), t->want);
	buf_release(&b);
}

/* 0x7fff... and one byte is the largest file; one more is none. */
static void test_node_size_limit(void **state)
{
	(void)state;
	for (uint64_t more = 0; more < 2; more++) {
		struct buf b = BUF_INIT;

		buf_add(&b, "VNOD\1\3\0\0\2\0\0\0\0\0\0\0", 16);
		segment_encode(&(struct segment){ .kind = SEGMENT_HOLE, .len = INT64_MAX - 1 }, &b);
		segment_encode(&(struct segment){ .kind = SEGMENT_HOLE, .len = 1 + more }, &b);
		assert_int_equal(decode(b.p, b.len), more ? ERR_CORRUPT : ERR_OK);
		buf_release(&b);
	}
}

static void test_node_totals_overflow(void **state)
{
	struct totals big = { .others = UINT64_C(1) << 60 }, one = { .others = 1 };
	struct totals wide = { .files = 1, .sums_len = INT64_MAX };
	struct totals line = { .files = 1, .sums_len = 68 };
	const struct {
		const struct totals *a, *b;
		enum err_code want;
	} pairs[] = {
		{ &one, &one, ERR_OK }, { &big, &one, ERR_CORRUPT }, { &big, &big, ERR_CORRUPT },
		{ &wide, &one, ERR_OK }, { &wide, &line, ERR_CORRUPT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct buf b = BUF_INIT;

		buf_add(&b, "VNOD\1\2\1\0\2\0\0\0\0\0\0\0", 16);
		child(&b, 1, 0, *pairs[i].a, "a");
		child(&b, 1, 0, *pairs[i].b, "b");
		assert_int_equal(decode(b.p, b.len), pairs[i].want);
		buf_release(&b);
	}
	for (uint64_t more = 0; more < 2; more++) {	/* more entries than positions can count */
		struct totals wide_dirs = { .dirs = UINT64_C(1) << 60, .others = UINT64_C(1) << 60 };
		struct buf b = BUF_INIT;

		buf_add(&b, "VNOD\1\2\1\0\1\0\0\0\0\0\0\0", 16);
		child(&b, (UINT64_C(1) << 60) + more, 0, wide_dirs, "a");
		assert_int_equal(decode(b.p, b.len), more ? ERR_CORRUPT : ERR_OK);
		buf_release(&b);
	}
}

static void test_node_too_long(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	buf_add(&b, "VNOD\1\3\0\0\0\0\0\0\0\0\0\0", 16);
	while (b.len + 9 <= NODE_LEN_MAX + 9)
		segment_encode(&(struct segment){ .kind = SEGMENT_HOLE, .len = 1 }, &b);
	b.p[8] = (uint8_t)((b.len - 16) / 9);
	b.p[9] = (uint8_t)((b.len - 16) / 9 >> 8);
	assert_int_equal(decode(b.p, b.len), ERR_CORRUPT);
	/* one segment less is within the limit */
	b.len -= 9;
	b.p[8] = (uint8_t)((b.len - 16) / 9);
	b.p[9] = (uint8_t)((b.len - 16) / 9 >> 8);
	assert_true(b.len <= NODE_LEN_MAX);
	assert_int_equal(decode(b.p, b.len), ERR_OK);
	buf_release(&b);
}

/* Two entries in a leaf, called so. */
static void test_node_order(void **state)
{
	static const struct {
		const char *first, *second;
		enum err_code want;
	} names[] = {
		{ "a", "b", ERR_OK }, { "a", "ab", ERR_OK }, { "a", "a", ERR_CORRUPT },
		{ "b", "a", ERR_CORRUPT }, { "ab", "a", ERR_CORRUPT }, { "a\x7f", "a\x80", ERR_OK },
		{ "a\x80", "a\x7f", ERR_CORRUPT }, { "B", "a", ERR_OK },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct buf b = BUF_INIT;
		struct entry e;

		buf_add(&b, "VNOD\1\1\0\0\2\0\0\0\0\0\0\0\1\0", 18);
		buf_add(&b, "\0\0\0\0\0\0\0\0\0\0", 10);
		sample_kind(&e, 0, names[i].first);
		entryrec_encode(&e, 0, &b);
		sample_kind(&e, 0, names[i].second);
		entryrec_encode(&e, 0, &b);
		assert_int_equal(decode(b.p, b.len), names[i].want);
		buf_release(&b);
	}
}

/* A count that the bytes cannot hold is refused before memory is asked for. */
static void test_node_count_bounds_memory(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		struct err e = ERR_INIT;
		struct buf b = BUF_INIT;
		struct node n;

		samples[i](&b);
		b.p[10] = 0x10;		/* a million more */
		assert_int_equal(node_decode(b.p, b.len, &n, &e), ERR_CORRUPT);
		assert_non_null(strstr(e.msg, "items in"));
		buf_release(&b);
	}
}

static void test_node_lower_bound(void **state)
{
	static const struct {
		const char *name;
		uint32_t leaf, inner;
	} finds[] = {
		{ "", 0, 0 }, { "a", 0, 0 }, { "a\t", 1, 1 }, { "a\n", 1, 1 }, { "a\n\n", 2, 1 },
		{ "ab", 3, 1 }, { "b", 3, 1 }, { "m", 9, 1 }, { "n", 9, 2 }, { "\xff", 9, 2 },
		{ "\xff\x01", 10, 2 },
	};
	struct buf leaf = BUF_INIT, inner = BUF_INIT;
	struct node l, i;

	(void)state;
	make_leaf(&leaf);
	make_dir_inner(&inner);
	assert_int_equal(node_decode(leaf.p, leaf.len, &l, NULL), ERR_OK);
	assert_int_equal(node_decode(inner.p, inner.len, &i, NULL), ERR_OK);
	for (size_t k = 0; k < ARRAY_LEN(finds); k++) {
		size_t len = strlen(finds[k].name);

		assert_int_equal(node_lower_bound(&l, finds[k].name, len), finds[k].leaf);
		assert_int_equal(node_lower_bound(&i, finds[k].name, len), finds[k].inner);
	}
	node_release(&l);
	node_release(&i);
	buf_release(&leaf);
	buf_release(&inner);
}

int main(void)
{
	static const struct CMUnitTest plain[] = {
		cmocka_unit_test(test_node_intact),
		cmocka_unit_test(test_node_truncation),
		cmocka_unit_test(test_node_bit_flips),
		cmocka_unit_test(test_node_size_limit),
		cmocka_unit_test(test_node_totals_overflow),
		cmocka_unit_test(test_node_too_long),
		cmocka_unit_test(test_node_order),
		cmocka_unit_test(test_node_count_bounds_memory),
		cmocka_unit_test(test_node_lower_bound),
	};
	struct CMUnitTest patched[ARRAY_LEN(rows)];
	int failed = cmocka_run_group_tests_name("node", plain, NULL, NULL);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		patched[i] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL,
						  (void *)(uintptr_t)&rows[i] };
	return failed + cmocka_run_group_tests_name("node patched", patched, NULL, NULL);
}
