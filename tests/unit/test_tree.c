/* SPDX-License-Identifier: MIT */
/*
 * Directories of a real repository: found by name, position and number, walked; and nodes that
 * lie.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/base/buf.h"
#include "store/base/bytes.h"
#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/tree.h"
#include "tests/lib/testrepo.h"

#define NR_TOP		50000u
#define SUBDIR_EVERY	1000u
#define NR_SUB		700u		/* entries of such a folder; more than one leaf */
#define NR_ALL		(NR_TOP + NR_TOP / SUBDIR_EVERY * (NR_SUB + 3))

/* Everything below the root in preorder: what the store is compared with. */
struct model {
	char name[24];
	uint32_t depth, position;
	uint32_t end;			/* number after the last one below it */
};

static struct testrepo repo;
static struct model *models;
static uint32_t nr_models;
static struct object_id root_id, top_id;

static struct model *model_new(uint32_t depth, uint32_t position, const char *name)
{
	struct model *m = &models[nr_models++];

	assert_true(nr_models <= NR_ALL);
	m->depth = depth;
	m->position = position;
	(void)snprintf(m->name, sizeof(m->name), "%s", name);
	return m;
}

static void entry_init(struct entry *ent, const struct model *m, uint32_t i)
{
	*ent = (struct entry){ .type = ENTRY_FILE, .name = m->name, .name_len = strlen(m->name),
			       .mode = 0644, .user = "u", .user_len = 1, .group = "", .nlink = 1,
			       .mtime = { i, 0 }, .ctime = { i, 1 }, .inode = i + 1 };
	if (i % 7 == 1) {
		ent->type = ENTRY_SYMLINK;
		ent->target = "where";
		ent->size = ent->target_len = 5;
	} else if (i % 7 == 2) {
		ent->type = ENTRY_FIFO;
	} else if (i % 7 > 3) {
		ent->content = CONTENT_INLINE;
		ent->content_p = (const uint8_t *)m->name;
		ent->size = ent->content_len = ent->name_len;
	}
}

/**
 * Build a folder of nr entries; one in every is a folder of NR_SUB entries, of which the third
 * has two below it.
 */
static void build(uint32_t depth, uint32_t nr, uint32_t every, struct entry *dir)
{
	struct dir_builder *b = NULL;

	OK(dir_builder_open(testrepo_emit, &repo, &b, &ok_err));
	for (uint32_t i = 0; i < nr; i++) {
		struct model *m;
		struct entry ent;
		char name[24];

		(void)snprintf(name, sizeof(name), "e%07u", i);
		m = model_new(depth, i, name);
		entry_init(&ent, m, i);
		if (every && i % every == every / 3) {
			ent = (struct entry){ .type = ENTRY_DIR, .mode = 0755, .name = m->name,
					      .name_len = strlen(m->name), .user = "", .group = "",
					      .nlink = 1 };
			if (depth == 0)
				build(1, NR_SUB, NR_SUB, &ent);
			else
				build(2, 3, 0, &ent);
		}
		m->end = nr_models;
		OK(dir_builder_add(b, &ent, &ok_err));
	}
	OK(dir_builder_finish(b, dir, &ok_err));
	dir_builder_close(b);
}

static int make_tree(void **state)
{
	struct entry root = { .type = ENTRY_DIR, .mode = 0755, .name = "", .user = "", .group = "",
			      .nlink = 1 };

	(void)state;
	models = calloc(NR_ALL, sizeof(*models));
	assert_non_null(models);
	testrepo_make(&repo);
	testrepo_open(&repo, STORE_WRITE);
	build(0, NR_TOP, SUBDIR_EVERY, &root);
	assert_int_equal(nr_models, NR_ALL);
	assert_int_equal(root.nr_entries, NR_TOP);
	assert_int_equal(root.nr_subdirs, NR_TOP / SUBDIR_EVERY);
	OK(root_emit(&root, testrepo_emit, &repo, &root_id, &ok_err));
	top_id = root.node;
	testrepo_finish(&repo);
	return 0;
}

static int drop_tree(void **state)
{
	(void)state;
	testrepo_remove(&repo);
	free(models);
	return 0;
}

static uint64_t count(const struct totals *t)
{
	return t->files + t->dirs + t->others;
}

/**
 * r is model m of the folder whose own number is base (models after it are base, base + 1,
 * ...).
 */
static void assert_is(const struct entry_ref *r, const struct model *m, uint64_t base)
{
	assert_int_equal(r->e.name_len, strlen(m->name));
	assert_memory_equal(r->e.name, m->name, r->e.name_len);
	assert_int_equal(r->position, m->position);
	assert_int_equal(base + r->number, m - models);
	if (r->before.files + r->before.dirs + r->before.others)	/* tree_by_number leaves it out */
		assert_int_equal(count(&r->before), r->number);
	if (r->e.type == ENTRY_DIR)
		assert_int_equal(count(&r->e.below) + 1, m->end - (uint64_t)(m - models));
	else
		assert_int_equal(m->end, m - models + 1);
}

static void test_root(void **state)
{
	struct err e = ERR_INIT;
	struct entry_ref r = { 0 };

	(void)state;
	OK(tree_root(repo.s, &root_id, &r, &ok_err));
	assert_int_equal(r.e.type, ENTRY_DIR);
	assert_int_equal(r.e.name_len, 0);
	assert_int_equal(count(&r.e.below), NR_ALL);
	assert_true(id_eq(&r.e.node, &top_id));
	entry_ref_release(repo.s, &r);
	assert_null(r.pin);
	entry_ref_release(repo.s, &r);
	assert_int_equal(tree_root(repo.s, &top_id, &r, &e), ERR_CORRUPT);
	assert_non_null(strstr(e.msg, "no root"));
}

static void test_top(void **state)
{
	uint32_t number = 0;

	(void)state;
	for (uint32_t i = 0; i < NR_TOP; i++, number = models[number].end) {
		const struct model *m = &models[number];
		struct entry_ref r;

		if (i % 11 && i + 1 != NR_TOP && i % SUBDIR_EVERY != SUBDIR_EVERY / 3)
			continue;
		OK(tree_lookup(repo.s, &top_id, m->name, strlen(m->name), &r, &ok_err));
		assert_is(&r, m, 0);
		entry_ref_release(repo.s, &r);
		OK(tree_at(repo.s, &top_id, i, &r, &ok_err));
		assert_is(&r, m, 0);
		entry_ref_release(repo.s, &r);
	}
	assert_int_equal(number, NR_ALL);
}

static void test_not_there(void **state)
{
	static const char *const names[] = { "", "a", "e", "e0000000x", "e0025000\xff", "e0049999 ",
					     "e9", "f" };
	struct err e = ERR_INIT;
	struct entry_ref r;
	uint64_t rest;
	char longname[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(tree_lookup(repo.s, &top_id, names[i], strlen(names[i]), &r, &e),
				 ERR_NOT_FOUND);
	memset(longname, 'e', sizeof(longname));
	assert_int_equal(tree_lookup(repo.s, &top_id, longname, sizeof(longname), &r, &e),
			 ERR_NOT_FOUND);
	assert_int_equal(tree_at(repo.s, &top_id, NR_TOP, &r, &e), ERR_NOT_FOUND);
	assert_int_equal(tree_at(repo.s, &top_id, UINT64_MAX, &r, &e), ERR_NOT_FOUND);
	assert_int_equal(tree_by_number(repo.s, &top_id, NR_ALL, &r, &rest, &e), ERR_NOT_FOUND);
	assert_int_equal(tree_by_number(repo.s, &top_id, UINT64_MAX, &r, &rest, &e), ERR_NOT_FOUND);
}

static void test_numbers(void **state)
{
	uint64_t step = 1;

	(void)state;
	for (uint64_t number = 0; number < NR_ALL; number += step) {
		struct object_id dir = top_id;
		uint64_t base = 0, rest = number + 1;
		struct entry_ref r = { 0 };

		while (rest > 0) {
			entry_ref_release(repo.s, &r);
			OK(tree_by_number(repo.s, &dir, rest - 1, &r, &rest, &ok_err));
			if (rest == 0)
				assert_is(&r, &models[number], base);
			base += r.number + 1;
			dir = r.e.node;
		}
		entry_ref_release(repo.s, &r);
		if (number == 2 * SUBDIR_EVERY)	/* a whole folder in a folder was seen */
			step = 41;
	}
}

struct walk {
	uint64_t base;			/* number of the folder's first entry */
	uint32_t next;			/* model that comes next */
	uint64_t met, stop_after;
	bool deep;
};

static enum err_code walk_fn(void *ctx, const struct entry_ref *r, struct err *e)
{
	struct walk *w = ctx;

	assert_true(w->next < NR_ALL);
	assert_is(r, &models[w->next], w->base);
	w->met++;
	if (w->deep && r->e.type == ENTRY_DIR) {
		struct walk below = { .base = w->next + 1, .next = w->next + 1, .deep = true };

		OK(tree_walk(repo.s, &r->e.node, 0, walk_fn, &below, &ok_err));
		assert_int_equal(below.met, r->e.nr_entries);
		assert_int_equal(below.next, models[w->next].end);
	}
	w->next = models[w->next].end;
	if (w->met == w->stop_after)
		return err_set(e, ERR_CANCELED, "enough");
	return ERR_OK;
}

static void test_walk_all(void **state)
{
	struct walk w = { .deep = true };

	(void)state;
	OK(tree_walk(repo.s, &top_id, 0, walk_fn, &w, &ok_err));
	assert_int_equal(w.met, NR_TOP);
	assert_int_equal(w.next, NR_ALL);
}

static void test_walk_from(void **state)
{
	static const uint64_t from[] = { 0, 1, 15, 16, 17, 333, 334, 5000, 25001, NR_TOP - 1,
					 NR_TOP, NR_TOP + 1, UINT64_MAX };
	uint32_t number = 0;
	struct err e = ERR_INIT;
	uint64_t at = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		struct walk w = { .stop_after = 3000 };
		uint64_t left = from[i] < NR_TOP ? NR_TOP - from[i] : 0;

		for (; at < from[i] && number < NR_ALL; at++)
			number = models[number].end;
		w.next = number;
		OK(tree_walk(repo.s, &top_id, from[i], walk_fn, &w, &ok_err));
		assert_int_equal(w.met, left < 3000 ? left : 3000);
	}
	struct walk w = { .stop_after = 1 };

	assert_int_equal(tree_walk(repo.s, &top_id, 0, walk_fn, &w, &e), ERR_OK);
	assert_int_equal(e.code, ERR_OK);
}

static void test_path(void **state)
{
	static const struct {
		const char *path;
		enum err_code want;
		const char *name;
	} rows[] = {
		{ "", ERR_OK, "" },
		{ "/", ERR_OK, "" },
		{ "//.//./", ERR_OK, "" },
		{ "e0000333/e0000002", ERR_OK, "e0000002" },
		{ "/./e0000333//e0000233/e0000001/", ERR_OK, "e0000001" },
		{ "/e0000333/nothing", ERR_NOT_FOUND, "nothing" },
		{ "/e0000000/x", ERR_NOT_FOUND, "no directory" },
		{ "/e0000333/../e0000000", ERR_USAGE, "\"..\"" },
		{ "..", ERR_USAGE, "\"..\"" },
		{ "/...", ERR_NOT_FOUND, "..." },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		struct entry_ref r = { 0 };

		assert_int_equal(tree_path(repo.s, &root_id, rows[i].path, &r, &e), rows[i].want);
		if (rows[i].want) {
			assert_non_null(strstr(e.msg, rows[i].name));
			continue;
		}
		assert_int_equal(r.e.name_len, strlen(rows[i].name));
		assert_memory_equal(r.e.name, rows[i].name, r.e.name_len);
		entry_ref_release(repo.s, &r);
	}
}

/** Nodes come and go all the time, pinned ones stay. */
static void test_small_cache(void **state)
{
	struct node_cache *usual = repo.s->nodes;

	for (size_t bytes = 0; bytes <= 400000; bytes += 200000) {
		OK(node_cache_open(bytes, &repo.s->nodes, &ok_err));
		test_walk_all(state);
		test_walk_from(state);
		test_path(state);
		node_cache_close(repo.s->nodes);
	}
	repo.s->nodes = usual;
}

static void *random_lookups(void *arg)
{
	uint64_t seed = *(uint64_t *)arg;

	for (int i = 0; i < 500; i++) {
		uint64_t want = test_random(&seed) % NR_TOP;
		struct err e = ERR_INIT;
		struct entry_ref r;

		if (tree_at(repo.s, &top_id, want, &r, &e))
			return e.code == ERR_OK ? NULL : &repo;
		if (r.position != want || r.e.name_len != 8)
			return &repo;
		entry_ref_release(repo.s, &r);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[4];
	uint64_t seeds[4], seed = test_seed();

	(void)state;
	testrepo_close(&repo);
	testrepo_open(&repo, STORE_READ);	/* with cold caches, and too small ones */
	node_cache_close(repo.s->nodes);
	OK(node_cache_open(500000, &repo.s->nodes, &ok_err));
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		seeds[i] = test_random(&seed);
		assert_int_equal(pthread_create(&threads[i], NULL, random_lookups, &seeds[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *bad = NULL;

		assert_int_equal(pthread_join(threads[i], &bad), 0);
		assert_null(bad);
	}
	testrepo_close(&repo);
	testrepo_open(&repo, STORE_WRITE);
}

/* What a lying inner node claims of its one child, a leaf of the two files "b" and "c". */
static const struct lie {
	const char *name;
	unsigned level;
	uint64_t entries;
	const char *first;
	uint64_t files, bytes;
	enum err_code lookup, walk;
	const char *says;
} lies[] = {
	{ "the truth", 1, 2, "b", 2, 0, ERR_OK, ERR_OK, NULL },
	{ "level", 2, 2, "b", 2, 0, ERR_CORRUPT, ERR_CORRUPT, "has level 0 below level 2" },
	{ "entries", 1, 1, "b", 2, 0, ERR_CORRUPT, ERR_CORRUPT, "2 entries and not 1" },
	{ "first name", 1, 2, "a", 2, 0, ERR_CORRUPT, ERR_CORRUPT, "does not begin with the name" },
	{ "totals", 1, 2, "b", 2, 9, ERR_OK, ERR_CORRUPT, "other totals" },
};

static enum err_code count_fn(void *ctx, const struct entry_ref *r, struct err *e)
{
	(void)r;
	(void)e;
	(*(unsigned *)ctx)++;
	return ERR_OK;
}

static void leaf_of_two(struct object_id *id, uint64_t *sums_len)
{
	struct entry dir = { .type = ENTRY_DIR, .name = "", .user = "", .group = "", .nlink = 1 };
	struct dir_builder *b = NULL;

	OK(dir_builder_open(testrepo_emit, &repo, &b, &ok_err));
	for (const char *name = "bc"; *name; name++) {
		struct entry ent = { .type = ENTRY_FILE, .name = name, .name_len = 1, .user = "",
				     .group = "", .nlink = 1 };

		OK(dir_builder_add(b, &ent, &ok_err));
	}
	OK(dir_builder_finish(b, &dir, &ok_err));
	dir_builder_close(b);
	*id = dir.node;
	*sums_len = dir.below.sums_len;
}

static void inner_of(const struct lie *t, const struct object_id *child, uint64_t sums_len,
		     struct object_id *id)
{
	struct buf b = BUF_INIT;

	buf_add(&b, "VNOD\1\2", 6);
	buf_add_u8(&b, (uint8_t)t->level);
	buf_add_u8(&b, 0);
	buf_add_le32(&b, 1);
	buf_add_le32(&b, 0);
	buf_add(&b, child->b, ID_LEN);
	buf_add_le64(&b, t->entries);
	buf_add_le64(&b, 0);
	buf_add_le64(&b, t->files);
	buf_add_le64(&b, 0);	/* dirs */
	buf_add_le64(&b, 0);	/* others */
	buf_add_le64(&b, t->bytes);
	buf_add_le64(&b, sums_len);
	buf_add_le64(&b, 0);
	buf_add_le16(&b, (uint16_t)strlen(t->first));
	buf_add_str(&b, t->first);
	testrepo_put(&repo, PACK_TREE, b.p, b.len, id);
	buf_release(&b);
}

static void test_lie(void **state)
{
	const struct lie *t = *state;
	struct err e = ERR_INIT, e2 = ERR_INIT;
	struct object_id leaf, inner;
	struct entry_ref r = { 0 };
	uint64_t sums_len;
	unsigned met = 0;

	leaf_of_two(&leaf, &sums_len);
	inner_of(t, &leaf, sums_len, &inner);
	testrepo_finish(&repo);
	assert_int_equal(tree_lookup(repo.s, &inner, "c", 1, &r, &e), t->lookup);
	entry_ref_release(repo.s, &r);
	assert_int_equal(tree_walk(repo.s, &inner, 0, count_fn, &met, &e2), t->walk);
	if (t->says)
		assert_non_null(strstr(t->lookup ? e.msg : e2.msg, t->says));
	else
		assert_int_equal(met, 2);
}

static void test_bad_nodes(void **state)
{
	static const struct object_id nowhere = { { 1, 2, 3 } };
	struct err e = ERR_INIT;
	struct object_id id;
	struct entry_ref r;

	(void)state;
	/* Missing is another thing than "no such name". */
	assert_int_equal(tree_lookup(repo.s, &nowhere, "a", 1, &r, &e), ERR_INCOMPLETE);
	assert_non_null(strstr(e.msg, "010203"));
	assert_int_equal(tree_root(repo.s, &nowhere, &r, &e), ERR_INCOMPLETE);
	assert_int_equal(tree_lookup(repo.s, &root_id, "a", 1, &r, &e), ERR_CORRUPT);
	testrepo_put(&repo, PACK_TREE, "garbage", 7, &id);
	testrepo_finish(&repo);
	assert_int_equal(tree_at(repo.s, &id, 0, &r, &e), ERR_CORRUPT);
	assert_non_null(strstr(e.msg, "node "));
}

static void test_xattrs(void **state)
{
	struct xattr in[2] = { { .name = "user.a", .name_len = 6, .value = (const uint8_t *)"12",
				 .value_len = 2 },
			       { .name = "user.b", .name_len = 6, .in_chunk = true,
				 .value_len = 5000 } };
	struct err e = ERR_INIT;
	uint8_t big[5000], got[5000];
	struct buf b = BUF_INIT;
	struct entry_xattr x;
	struct entry ent = { .type = ENTRY_FILE };

	(void)state;
	memset(big, 'v', sizeof(big));
	testrepo_put(&repo, PACK_DATA, big, sizeof(big), &in[1].id);
	testrepo_finish(&repo);
	xattr_encode(&in[0], &b);
	xattr_encode(&in[1], &b);
	ent.xattrs = b.p;
	ent.xattrs_len = b.len;

	assert_true(entry_xattr_at(&ent, 0, &x));
	assert_int_equal(x.name_len, 6);
	assert_memory_equal(x.name, "user.a", 6);
	OK(entry_xattr_value(repo.s, &x, got, &ok_err));
	assert_memory_equal(got, "12", 2);
	assert_true(entry_xattr_at(&ent, 1, &x));
	assert_null(x.inline_value);
	assert_int_equal(x.value_len, sizeof(big));
	OK(entry_xattr_value(repo.s, &x, got, &ok_err));
	assert_memory_equal(got, big, sizeof(big));
	x.value_len--;
	assert_int_equal(entry_xattr_value(repo.s, &x, got, &e), ERR_CORRUPT);
	x.chunk.b[0] ^= 1;
	assert_int_equal(entry_xattr_value(repo.s, &x, got, &e), ERR_INCOMPLETE);
	assert_false(entry_xattr_at(&ent, 2, &x));
	buf_release(&b);
}

static void test_sha256(void **state)
{
	struct entry ent = { .type = ENTRY_FILE };
	struct object_id want, got;

	(void)state;
	digest_sha256("", 0, &want);
	assert_true(entry_sha256(&ent, &got));
	assert_true(id_eq(&want, &got));
	ent.content = CONTENT_LIST;	/* a file of holes: none is recorded, and none is made up */
	assert_false(entry_sha256(&ent, &got));
	assert_false(id_eq(&want, &got));
	ent.content = CONTENT_INLINE;
	ent.content_p = (const uint8_t *)"abc";
	ent.size = ent.content_len = 3;
	digest_sha256("abc", 3, &want);
	assert_true(entry_sha256(&ent, &got));
	assert_true(id_eq(&want, &got));
	ent.flags = ENTRY_HAS_SHA256;
	assert_true(entry_sha256(&ent, &got));
	assert_true(id_eq(&ent.sha256, &got));
}

int main(void)
{
	static const struct CMUnitTest fixed[] = {
		cmocka_unit_test(test_root), cmocka_unit_test(test_top),
		cmocka_unit_test(test_not_there), cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_walk_all), cmocka_unit_test(test_walk_from),
		cmocka_unit_test(test_path), cmocka_unit_test(test_small_cache),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_bad_nodes), cmocka_unit_test(test_xattrs),
		cmocka_unit_test(test_sha256),
	};
	struct CMUnitTest tests[ARRAY_LEN(fixed) + ARRAY_LEN(lies)];

	memcpy(tests, fixed, sizeof(fixed));
	for (size_t i = 0; i < ARRAY_LEN(lies); i++)
		tests[ARRAY_LEN(fixed) + i] = (struct CMUnitTest){
			lies[i].name, test_lie, NULL, NULL, (void *)(uintptr_t)&lies[i] };
	return cmocka_run_group_tests_name("tree", tests, make_tree, drop_tree);
}
