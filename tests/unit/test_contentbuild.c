/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <malloc.h>

#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/format/limits.h"
#include "tests/lib/nodestore.h"

static void chunk(struct segment *s, uint64_t number, uint32_t len)
{
	*s = (struct segment){ .kind = SEGMENT_CHUNK, .len = len };
	digest_sha256(&number, sizeof(number), &s->id);
}

static void hole(struct segment *s, uint64_t len)
{
	*s = (struct segment){ .kind = SEGMENT_HOLE, .len = len };
}

static struct content_builder *builder(node_emit_fn *emit, void *ctx)
{
	struct content_builder *b = NULL;

	assert_int_equal(content_builder_open(emit, ctx, &b, NULL), ERR_OK);
	return b;
}

static void add(struct content_builder *b, const struct segment *s)
{
	struct err e = ERR_INIT;

	if (content_builder_add(b, s, &e))
		fail_msg("%s", e.msg);
}

static void finish(struct content_builder *b, struct entry *file)
{
	struct err e = ERR_INIT;

	*file = (struct entry){ 0 };
	if (content_builder_finish(b, file, &e))
		fail_msg("%s", e.msg);
}

/* The segments below id, in order, appended to out in their encoding. */
static unsigned walk(const struct nodestore *store, const struct object_id *id, struct buf *out,
		     uint64_t *bytes)
{
	const struct nodestore_node *s = nodestore_get(store, id);
	struct err e = ERR_INIT;
	unsigned level;
	struct node n;

	assert_non_null(s);
	if (node_decode(s->p, s->len, &n, &e))
		fail_msg("%s", e.msg);
	level = n.level;
	*bytes = n.starts[n.nr];
	for (uint32_t i = 0; i < n.nr; i++) {
		struct segment seg;
		uint64_t below = 0;

		if (n.kind == NODE_CONTENT_LEAF) {
			node_segment(&n, i, &seg);
			segment_encode(&seg, out);
			continue;
		}
		assert_int_equal(n.kind, NODE_CONTENT_INNER);
		assert_int_equal(walk(store, &n.children[i].id, out, &below) + 1, n.level);
		assert_int_equal(below, n.children[i].bytes);
	}
	node_release(&n);
	return level;
}

static void test_contentbuild_small(void **state)
{
	struct nodestore store = { 0 };
	struct content_builder *b = builder(nodestore_emit, &store);
	struct buf want = BUF_INIT;
	struct segment s;
	struct entry f;

	(void)state;
	finish(b, &f);
	assert_int_equal(f.content, CONTENT_NONE);
	assert_int_equal(f.size, 0);
	for (size_t i = 0; i < 16; i++) {
		chunk(&s, i, 10);
		add(b, &s);
		segment_encode(&s, &want);
	}
	finish(b, &f);
	assert_int_equal(f.content, CONTENT_LIST);
	assert_int_equal(f.size, 160);
	assert_int_equal(f.hole_bytes, 0);
	assert_int_equal(f.content_len, want.len);
	assert_memory_equal(f.content_p, want.p, want.len);
	assert_int_equal(store.nr, 0);
	buf_release(&want);
	content_builder_close(b);
	content_builder_close(NULL);
	nodestore_release(&store);
}

static void test_contentbuild_holes_join(void **state)
{
	struct nodestore store = { 0 };
	struct content_builder *b = builder(nodestore_emit, &store);
	struct buf want = BUF_INIT;
	struct segment s;
	struct entry f;

	(void)state;
	for (size_t i = 0; i < 1000; i++) {	/* a terabyte of nothing, told in pieces */
		hole(&s, 1000000000);
		add(b, &s);
	}
	finish(b, &f);
	hole(&s, UINT64_C(1000000000000));
	segment_encode(&s, &want);
	assert_int_equal(f.content, CONTENT_LIST);
	assert_int_equal(f.size, s.len);
	assert_int_equal(f.hole_bytes, s.len);
	assert_int_equal(f.content_len, want.len);
	assert_memory_equal(f.content_p, want.p, want.len);

	/* hole, chunk, hole, and nothing left over from the file before */
	buf_reset(&want);
	hole(&s, 5);
	add(b, &s);
	segment_encode(&s, &want);
	chunk(&s, 1, 7);
	add(b, &s);
	segment_encode(&s, &want);
	hole(&s, 9);
	add(b, &s);
	segment_encode(&s, &want);
	finish(b, &f);
	assert_int_equal(f.size, 21);
	assert_int_equal(f.hole_bytes, 14);
	assert_int_equal(f.content_len, want.len);
	assert_memory_equal(f.content_p, want.p, want.len);
	buf_release(&want);
	content_builder_close(b);
	nodestore_release(&store);
}

static void test_contentbuild_trees(void **state)
{
	static const size_t counts[] = { 17, 100, 1000, 6918, 20000, 300000 };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
		struct nodestore store = { 0 };
		struct content_builder *b = builder(nodestore_emit, &store);
		struct buf want = BUF_INIT, got = BUF_INIT;
		uint64_t size = 0, holes = 0, bytes = 0;
		struct segment s;
		struct entry f;

		for (size_t i = 0; i < counts[k]; i++) {
			if (i % 100 == 50)
				hole(&s, UINT64_C(1) << 30);
			else
				chunk(&s, i, (uint32_t)(i % CHUNK_LEN_MAX + 1));
			size += s.len;
			holes += s.kind == SEGMENT_HOLE ? s.len : 0;
			add(b, &s);
			segment_encode(&s, &want);
		}
		finish(b, &f);
		assert_int_equal(f.content, CONTENT_NODE);
		assert_int_equal(f.content_len, 0);
		assert_int_equal(f.size, size);
		assert_int_equal(f.hole_bytes, holes);
		(void)walk(&store, &f.node, &got, &bytes);
		assert_int_equal(bytes, size);
		assert_int_equal(got.len, want.len);
		assert_memory_equal(got.p, want.p, want.len);
		assert_true(store.max_len <= 256u << 10);
		buf_release(&want);
		buf_release(&got);
		content_builder_close(b);
		nodestore_release(&store);
	}
}

/* A file that ends just where a node does has no node above that one. */
static void test_contentbuild_ends_at_cut(void **state)
{
	struct nodestore store = { 0 };
	struct content_builder *b = builder(nodestore_emit, &store);
	struct segment s;
	struct entry f;
	uint64_t n = 0;

	(void)state;
	while (store.nr == 0) {
		chunk(&s, n++, 10);
		add(b, &s);
	}
	finish(b, &f);
	assert_int_equal(f.content, CONTENT_NODE);
	assert_int_equal(f.size, 10 * n);
	assert_int_equal(store.nr, 1);
	assert_true(id_eq(&f.node, &store.nodes[0].id));
	content_builder_close(b);
	nodestore_release(&store);
}

static void build_changed(struct nodestore *store, size_t nr, size_t change, bool more,
			  struct entry *f)
{
	struct content_builder *b = builder(nodestore_emit, store);
	struct segment s;

	for (size_t i = 0; i < nr; i++) {
		chunk(&s, i == change ? UINT64_MAX : i, 1000);
		add(b, &s);
		if (more && i == change) {
			chunk(&s, UINT64_MAX - 1, 999);
			add(b, &s);
		}
	}
	finish(b, f);
	content_builder_close(b);
}

static void test_contentbuild_one_changed(void **state)
{
	enum { NR = 200000 };
	struct nodestore before = { 0 }, after = { 0 }, more = { 0 };
	struct entry a, b, c;
	struct buf unused = BUF_INIT;
	unsigned height;
	uint64_t bytes;

	(void)state;
	build_changed(&before, NR, SIZE_MAX, false, &a);
	build_changed(&after, NR, NR / 2, false, &b);
	build_changed(&more, NR, NR / 2, true, &c);
	height = walk(&before, &a.node, &unused, &bytes);
	assert_true(height >= 1 && before.nr > 100);
	/* the nodes that hold the change, and where it was a cut or became one, a neighbour */
	assert_true(nodestore_new(&after, &before) <= 2 * (height + 1));
	assert_true(nodestore_new(&more, &before) <= 2 * (height + 1));
	assert_true(nodestore_new(&after, &before) >= height + 1);
	buf_release(&unused);
	nodestore_release(&before);
	nodestore_release(&after);
	nodestore_release(&more);
}

static enum err_code emit_count(void *ctx, const uint8_t *buf, size_t len, struct object_id *id,
				struct err *e)
{
	uint64_t *n = ctx;
	uint64_t h = digest_xxh3(buf, len);

	(void)e;
	++*n;
	for (size_t i = 0; i < ID_LEN; i += 8)
		memcpy(id->b + i, &h, 8);
	return ERR_OK;
}

/* A terabyte in 4,000,000 chunks: memory does not follow. */
static void test_contentbuild_memory(void **state)
{
	uint64_t emitted = 0;
	struct content_builder *b = builder(emit_count, &emitted);
	struct mallinfo2 before = mallinfo2(), after;
	struct segment s = { .kind = SEGMENT_CHUNK, .len = 262144 };
	struct entry f;

	(void)state;
	for (uint64_t i = 0; i < 4000000; i++) {
		uint64_t h = digest_xxh3(&i, sizeof(i));

		memcpy(s.id.b, &h, sizeof(h));
		if (content_builder_add(b, &s, NULL))
			fail();
	}
	after = mallinfo2();		/* zeros under ASan */
	assert_true(after.uordblks + after.hblkhd <
		    before.uordblks + before.hblkhd + (4u << 20));
	finish(b, &f);
	assert_int_equal(f.size, UINT64_C(4000000) * 262144);
	assert_true(emitted > 1000 && emitted < 40000);
	content_builder_close(b);
}

/* No id ever cuts: nodes end before 256 KiB all the same. */
static void test_contentbuild_no_cuts(void **state)
{
	struct nodestore store = { 0 };
	struct content_builder *b = builder(nodestore_emit, &store);
	struct segment s;
	struct entry f;

	(void)state;
	chunk(&s, 0, 10);
	s.id.b[7] = 1;
	for (size_t i = 0; i < 20000; i++)
		add(b, &s);
	finish(b, &f);
	assert_int_equal(f.size, 200000);
	assert_int_equal(store.nr, 3 + 1);
	assert_true(store.max_len <= 256u << 10 && store.max_len > (256u << 10) - 37);
	content_builder_close(b);
	nodestore_release(&store);
}

static void test_contentbuild_refuses(void **state)
{
	struct nodestore store = { 0 };
	struct content_builder *b = builder(nodestore_emit, &store);
	struct segment s;
	struct entry f;

	(void)state;
	hole(&s, 0);
	assert_int_equal(content_builder_add(b, &s, NULL), ERR_USAGE);
	chunk(&s, 1, 0);
	assert_int_equal(content_builder_add(b, &s, NULL), ERR_USAGE);
	chunk(&s, 1, CHUNK_LEN_MAX + 1);
	assert_int_equal(content_builder_add(b, &s, NULL), ERR_USAGE);
	hole(&s, INT64_MAX);
	assert_int_equal(content_builder_add(b, &s, NULL), ERR_OK);
	hole(&s, 1);
	assert_int_equal(content_builder_add(b, &s, NULL), ERR_LIMIT);
	hole(&s, UINT64_MAX);
	assert_int_equal(content_builder_add(b, &s, NULL), ERR_LIMIT);
	finish(b, &f);
	assert_int_equal(f.size, INT64_MAX);
	content_builder_close(b);
	nodestore_release(&store);
}

static void test_contentbuild_reset(void **state)
{
	struct nodestore store = { 0 };
	struct content_builder *b = builder(nodestore_emit, &store);
	struct segment s;
	struct entry f;

	(void)state;
	for (size_t i = 0; i < 5000; i++) {
		chunk(&s, i, 10);
		add(b, &s);
	}
	hole(&s, 10);
	add(b, &s);
	content_builder_reset(b);
	finish(b, &f);
	assert_int_equal(f.content, CONTENT_NONE);
	assert_int_equal(f.hole_bytes, 0);
	chunk(&s, 1, 10);
	add(b, &s);
	finish(b, &f);
	assert_int_equal(f.size, 10);
	assert_int_equal(f.content, CONTENT_LIST);
	content_builder_close(b);
	nodestore_release(&store);
}

static void test_contentbuild_emit_fails(void **state)
{
	enum err_code rc;
	size_t at = 0;

	(void)state;
	do {
		struct nodestore store = { .fail_at = ++at };
		struct content_builder *b = builder(nodestore_emit, &store);
		struct segment s;
		struct entry f = { 0 };

		rc = ERR_OK;
		for (size_t i = 0; !rc && i < 30000; i++) {
			chunk(&s, i, 10);
			rc = content_builder_add(b, &s, NULL);
		}
		if (!rc)
			rc = content_builder_finish(b, &f, NULL);
		assert_int_equal(f.content, rc ? CONTENT_NONE : CONTENT_NODE);
		content_builder_close(b);
		nodestore_release(&store);
	} while (rc == ERR_IO);
	assert_int_equal(rc, ERR_OK);
	assert_true(at > 10);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contentbuild_small),
		cmocka_unit_test(test_contentbuild_holes_join),
		cmocka_unit_test(test_contentbuild_trees),
		cmocka_unit_test(test_contentbuild_ends_at_cut),
		cmocka_unit_test(test_contentbuild_one_changed),
		cmocka_unit_test(test_contentbuild_memory),
		cmocka_unit_test(test_contentbuild_no_cuts),
		cmocka_unit_test(test_contentbuild_refuses),
		cmocka_unit_test(test_contentbuild_reset),
		cmocka_unit_test(test_contentbuild_emit_fails),
	};

	return cmocka_run_group_tests_name("contentbuild", tests, NULL, NULL);
}
