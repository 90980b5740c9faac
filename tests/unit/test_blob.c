/* SPDX-License-Identifier: MIT */
/* Files' content read back at random, against the bytes and holes they were made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/base/buf.h"
#include "store/base/checked.h"
#include "store/tree.h"
#include "tests/lib/testrepo.h"

#define NR_SEGS_MAX	60000u

/** A file and what it must read as. */
struct file {
	struct entry ent;
	uint8_t *ref;			/* ent.size bytes */
	uint64_t *ends;			/* of each segment */
	bool *holes;
	uint32_t nr;
	uint8_t list[4096];		/* for CONTENT_LIST */
};

static struct testrepo repo;
static uint64_t seed;

static int setup(void **state)
{
	(void)state;
	seed = test_seed();
	testrepo_make(&repo);
	testrepo_open(&repo, STORE_WRITE);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testrepo_remove(&repo);
	return 0;
}

/** A file of nr segments of 1 to len_max bytes, every hole_every-th a hole (0: none). */
static struct file *file_make(uint32_t nr, uint32_t len_max, uint32_t hole_every)
{
	struct file *f = calloc(1, sizeof(*f));
	struct content_builder *b = NULL;
	uint64_t at = 0;

	assert_non_null(f);
	f->ref = calloc(nr, len_max);
	f->ends = calloc(nr, sizeof(*f->ends));
	f->holes = calloc(nr, sizeof(*f->holes));
	assert_true(nr <= NR_SEGS_MAX && f->ref && f->ends && f->holes);
	OK(content_builder_open(testrepo_emit, &repo, &b, &ok_err));
	for (uint32_t i = 0; i < nr; i++) {
		struct segment g = { .kind = SEGMENT_CHUNK,
				     .len = test_random(&seed) % len_max + 1 };

		if (hole_every && i % hole_every == hole_every - 1) {
			g.kind = SEGMENT_HOLE;
		} else {
			for (uint64_t k = 0; k < g.len; k += 8) {
				uint64_t r = test_random(&seed);

				memcpy(f->ref + at + k, &r, g.len - k < 8 ? g.len - k : 8);
			}
			testrepo_put(&repo, PACK_DATA, f->ref + at, g.len, &g.id);
		}
		at += g.len;
		f->ends[f->nr] = at;
		f->holes[f->nr++] = g.kind == SEGMENT_HOLE;
		OK(content_builder_add(b, &g, &ok_err));
	}
	f->ent.type = ENTRY_FILE;
	f->ent.name = "file";
	f->ent.name_len = 4;
	OK(content_builder_finish(b, &f->ent, &ok_err));
	assert_int_equal(f->ent.size, at);
	if (f->ent.content == CONTENT_LIST) {	/* a view into the builder */
		assert_true(f->ent.content_len <= sizeof(f->list));
		memcpy(f->list, f->ent.content_p, f->ent.content_len);
		f->ent.content_p = f->list;
	}
	content_builder_close(b);
	testrepo_finish(&repo);
	return f;
}

static void file_free(struct file *f)
{
	free(f->ref);
	free(f->ends);
	free(f->holes);
	free(f);
}

static void check_pread(struct blob *b, const struct file *f, uint64_t off, size_t len)
{
	uint64_t left = off < f->ent.size ? f->ent.size - off : 0;
	size_t n = 99, want = len < left ? len : (size_t)left;
	uint8_t *buf = malloc(len + 1);

	assert_non_null(buf);
	memset(buf, 0xee, len + 1);
	OK(blob_pread(b, off, buf, len, &n, &ok_err));
	assert_int_equal(n, want);
	if (want)
		assert_memory_equal(buf, f->ref + off, want);
	for (size_t i = want; i <= len; i++)	/* not a byte more was touched */
		assert_int_equal(buf[i], 0xee);
	free(buf);
}

/** The same bytes, where they lie. */
static void check_view(const struct file *f, uint64_t off, size_t len)
{
	uint64_t left = off < f->ent.size ? f->ent.size - off : 0;
	size_t want = len < left ? len : (size_t)left, at = 0;
	struct view v;

	OK(view_open(repo.s, &f->ent, off, len, &v, &ok_err));
	assert_int_equal(v.len, want);
	assert_true(v.nr <= VIEW_PIECES_MAX && (v.nr > 0) == (want > 0));
	for (size_t i = 0; i < v.nr; i++) {
		assert_true(v.pieces[i].iov_len > 0 && v.pieces[i].iov_len <= want - at);
		assert_memory_equal(v.pieces[i].iov_base, f->ref + off + at, v.pieces[i].iov_len);
		at += v.pieces[i].iov_len;
	}
	assert_int_equal(at, want);
	view_release(repo.s, &v);
	view_release(repo.s, &v);	/* nothing is left of it */
}

static void check_seek(struct blob *b, const struct file *f, uint64_t off, bool hole)
{
	struct err e = ERR_INIT;
	uint64_t want = off, got = 0;
	enum err_code rc = ERR_OK;
	uint32_t i = 0;

	while (i < f->nr && f->ends[i] <= off)
		i++;
	if (i == f->nr)
		rc = ERR_NOT_FOUND;
	while (i < f->nr && f->holes[i] != hole)
		want = f->ends[i++];
	if (i == f->nr && !hole)
		rc = ERR_NOT_FOUND;
	assert_int_equal(blob_seek(b, off, hole, &got, &e), rc);
	if (!rc)
		assert_int_equal(got, want);
}

struct each {
	const struct file *f;
	uint64_t at, stop;
};

static enum err_code each_fn(void *ctx, uint64_t off, const uint8_t *data, uint64_t len,
			     struct err *e)
{
	struct each *x = ctx;

	assert_int_equal(off, x->at);
	assert_true(len > 0 && len <= x->f->ent.size - off);
	for (uint64_t i = 0; !data && i < len; i++)
		assert_int_equal(x->f->ref[off + i], 0);
	if (data)
		assert_memory_equal(data, x->f->ref + off, len);
	x->at += len;
	return x->at >= x->stop ? err_set(e, ERR_CANCELED, "enough") : ERR_OK;
}

static void check_file(const struct file *f, enum content_kind kind, int rounds)
{
	struct blob *b = NULL;

	assert_int_equal(f->ent.content, kind);
	OK(blob_open(repo.s, &f->ent, &b, &ok_err));
	assert_int_equal(blob_size(b), f->ent.size);
	check_pread(b, f, 0, f->ent.size);
	check_pread(b, f, 0, f->ent.size + 10);
	check_pread(b, f, f->ent.size, 10);
	check_pread(b, f, UINT64_MAX, 10);
	check_pread(b, f, 0, 0);
	check_view(f, 0, f->ent.size + 10);
	check_view(f, f->ent.size, 10);
	check_view(f, UINT64_MAX, 10);
	check_view(f, 0, 0);
	for (int i = 0; i < rounds; i++) {
		uint64_t off = test_random(&seed) % (f->ent.size + 2);

		check_pread(b, f, off, test_random(&seed) % 100000);
		check_view(f, off, test_random(&seed) % 100000);
		check_seek(b, f, off, i % 2);
	}
	for (uint32_t i = 0; i < f->nr && i < 40; i++)
		for (uint64_t d = 0; d < 3; d++) {
			check_pread(b, f, f->ends[i] - 1 + d, 2);
			check_view(f, f->ends[i] - 1 + d, 2);
			check_seek(b, f, f->ends[i] - 1 + d, true);
			check_seek(b, f, f->ends[i] - 1 + d, false);
		}
	for (int i = 0; i < 4; i++) {
		struct each x = { .f = f, .at = i ? test_random(&seed) % f->ent.size : 0,
				  .stop = i == 3 ? f->ent.size / 2 : UINT64_MAX };

		OK(blob_each(b, x.at, each_fn, &x, &ok_err));
		assert_true(i == 3 ? x.at >= x.stop : x.at == f->ent.size);
	}
	blob_close(b);
}

static const struct row {
	const char *name;
	uint32_t nr, len_max, hole_every;
	enum content_kind kind;
} rows[] = {
	{ "one chunk", 1, 5000, 0, CONTENT_LIST },
	{ "list", 16, 20000, 0, CONTENT_LIST },
	{ "list with holes", 16, 20000, 3, CONTENT_LIST },
	{ "hole at the end", 4, 20000, 4, CONTENT_LIST },
	{ "one hole", 1, 100000, 1, CONTENT_LIST },
	{ "node", 17, 20000, 0, CONTENT_NODE },
	{ "nodes of two levels", 60000, 64, 5, CONTENT_NODE },
};

static void test_row(void **state)
{
	const struct row *t = *state;
	struct file *f = file_make(t->nr, t->len_max, t->hole_every);

	check_file(f, t->kind, 300);
	file_free(f);
}

static void test_inline_and_empty(void **state)
{
	uint64_t end = 5;
	bool hole = false;
	uint8_t bytes[] = "abcde";
	struct file f = { .ent = { .type = ENTRY_FILE, .name = "f", .name_len = 1, .size = 5,
				   .content = CONTENT_INLINE, .content_p = bytes,
				   .content_len = 5 },
			  .ref = bytes, .ends = &end, .holes = &hole, .nr = 1 };
	struct blob *b = NULL;

	(void)state;
	check_file(&f, CONTENT_INLINE, 20);
	f = (struct file){ .ent = { .type = ENTRY_FILE, .name = "f", .name_len = 1 } };
	OK(blob_open(repo.s, &f.ent, &b, &ok_err));
	check_pread(b, &f, 0, 10);
	check_seek(b, &f, 0, true);
	check_seek(b, &f, 0, false);
	struct each x = { .f = &f };

	OK(blob_each(b, 0, each_fn, &x, &ok_err));
	assert_int_equal(x.at, 0);
	blob_close(b);
	blob_close(NULL);
}

/** A terabyte of nothing around one chunk costs nothing to open, seek and read. */
static void test_sparse(void **state)
{
	const uint64_t tib = (uint64_t)1 << 40;
	struct segment g[3] = { { SEGMENT_HOLE, tib, { { 0 } } }, { SEGMENT_CHUNK, 3, { { 0 } } },
				{ SEGMENT_HOLE, tib, { { 0 } } } };
	struct entry ent = { .type = ENTRY_FILE, .name = "f", .name_len = 1, .size = 2 * tib + 3,
			     .content = CONTENT_LIST };
	struct buf list = BUF_INIT;
	struct err e = ERR_INIT;
	struct blob *b = NULL;
	uint8_t buf[16];
	uint64_t at;
	size_t n;

	(void)state;
	testrepo_put(&repo, PACK_DATA, "xyz", 3, &g[1].id);
	testrepo_finish(&repo);
	for (size_t i = 0; i < ARRAY_LEN(g); i++)
		segment_encode(&g[i], &list);
	ent.content_p = list.p;
	ent.content_len = list.len;
	OK(blob_open(repo.s, &ent, &b, &ok_err));
	OK(blob_seek(b, 17, false, &at, &ok_err));
	assert_int_equal(at, tib);
	OK(blob_seek(b, tib + 1, true, &at, &ok_err));
	assert_int_equal(at, tib + 3);
	assert_int_equal(blob_seek(b, tib + 3, false, &at, &e), ERR_NOT_FOUND);
	struct view v;

	OK(view_open(repo.s, &ent, tib - 5, sizeof(buf), &v, &ok_err));
	assert_int_equal(v.nr, 3);
	assert_memory_equal(v.pieces[1].iov_base, "xyz", 3);
	view_release(repo.s, &v);
	OK(view_open(repo.s, &ent, 7, 6u << 20, &v, &ok_err));	/* holes in pieces of their own */
	assert_int_equal(v.len, 6u << 20);
	view_release(repo.s, &v);
	OK(view_open(repo.s, &ent, 7, 9u << 20, &v, &ok_err));	/* and in a copy */
	assert_int_equal(v.len, 9u << 20);
	assert_int_equal(v.nr, 1);
	view_release(repo.s, &v);
	OK(blob_pread(b, tib - 5, buf, sizeof(buf), &n, &ok_err));
	assert_int_equal(n, sizeof(buf));
	assert_memory_equal(buf, "\0\0\0\0\0xyz\0\0\0\0\0\0\0\0", 16);
	blob_close(b);
	buf_release(&list);
}

/** What an entry says must be what its content is. */
static void test_lies(void **state)
{
	struct file *list = file_make(3, 100, 0), *node = file_make(20, 100, 0);
	struct err e = ERR_INIT;
	struct blob *b = NULL;
	struct entry ent;
	uint8_t buf[8];
	size_t n = 0;

	(void)state;
	ent = list->ent;
	ent.size++;
	assert_int_equal(blob_open(repo.s, &ent, &b, &e), ERR_CORRUPT);
	ent.size--;
	ent.content_len--;
	assert_int_equal(blob_open(repo.s, &ent, &b, &e), ERR_CORRUPT);
	ent.content = CONTENT_NONE;
	assert_int_equal(blob_open(repo.s, &ent, &b, &e), ERR_CORRUPT);
	ent.content = CONTENT_INLINE;
	assert_int_equal(blob_open(repo.s, &ent, &b, &e), ERR_CORRUPT);
	ent.type = ENTRY_DIR;
	assert_int_equal(blob_open(repo.s, &ent, &b, &e), ERR_USAGE);

	ent = node->ent;
	ent.size++;
	OK(blob_open(repo.s, &ent, &b, &ok_err));
	assert_int_equal(blob_pread(b, 0, buf, 8, &n, &e), ERR_CORRUPT);
	assert_int_equal(n, 0);
	blob_close(b);
	/* A chunk shorter than its segment says. */
	ent = list->ent;
	list->list[1]++;	/* le32 len after the kind */
	ent.size++;
	OK(blob_open(repo.s, &ent, &b, &ok_err));
	assert_int_equal(blob_pread(b, 0, buf, 1, &n, &e), ERR_CORRUPT);
	assert_non_null(strstr(e.msg, "at byte 0"));
	OK(blob_pread(b, ent.size - 1, buf, 1, &n, &ok_err));
	assert_int_equal(n, 1);
	blob_close(b);
	file_free(list);
	file_free(node);
}

static void test_missing(void **state)
{
	struct file *list = file_make(3, 100, 0);
	struct err e = ERR_INIT;
	struct blob *b = NULL;
	uint8_t buf[300];
	struct view v;
	uint64_t at;
	size_t n = 7;

	(void)state;
	list->list[list->ent.content_len - 1] ^= 1;	/* the last chunk's id */
	OK(blob_open(repo.s, &list->ent, &b, &ok_err));
	assert_int_equal(blob_pread(b, 0, buf, sizeof(buf), &n, &e), ERR_INCOMPLETE);
	assert_int_equal(n, 7);
	/* The pieces before it are let go (the cache would say at its end that they are held). */
	assert_int_equal(view_open(repo.s, &list->ent, 0, sizeof(buf), &v, &e), ERR_INCOMPLETE);
	OK(blob_pread(b, 0, buf, list->ends[1], &n, &ok_err));
	assert_memory_equal(buf, list->ref, n);
	OK(blob_seek(b, list->ends[1], false, &at, &ok_err));	/* needs no byte of it */
	blob_close(b);
	list->ent.content = CONTENT_NODE;
	OK(blob_open(repo.s, &list->ent, &b, &ok_err));	/* node id zero */
	assert_int_equal(blob_seek(b, 0, false, &at, &e), ERR_INCOMPLETE);
	blob_close(b);
	file_free(list);
}

struct reader {
	struct blob *b;
	const struct file *f;
	uint64_t seed;
};

static void *random_reads(void *arg)
{
	struct reader *r = arg;
	uint8_t buf[3000];

	for (int i = 0; i < 2000; i++) {
		uint64_t off = test_random(&r->seed) % r->f->ent.size;
		struct err e = ERR_INIT;
		size_t n;

		if (blob_pread(r->b, off, buf, sizeof(buf), &n, &e) ||
		    memcmp(buf, r->f->ref + off, n) != 0)
			return r;
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct file *f = file_make(30000, 64, 6);
	struct reader readers[4];
	pthread_t threads[4];
	struct blob *b = NULL;

	(void)state;
	OK(blob_open(repo.s, &f->ent, &b, &ok_err));
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		readers[i] = (struct reader){ b, f, test_random(&seed) };
		assert_int_equal(pthread_create(&threads[i], NULL, random_reads, &readers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *bad = NULL;

		assert_int_equal(pthread_join(threads[i], &bad), 0);
		assert_null(bad);
	}
	blob_close(b);
	file_free(f);
}

int main(void)
{
	static const struct CMUnitTest fixed[] = {
		cmocka_unit_test(test_inline_and_empty), cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_lies), cmocka_unit_test(test_missing),
		cmocka_unit_test(test_threads),
	};
	struct CMUnitTest tests[ARRAY_LEN(rows) + ARRAY_LEN(fixed)];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[i] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL,
						(void *)(uintptr_t)&rows[i] };
	memcpy(tests + ARRAY_LEN(rows), fixed, sizeof(fixed));
	return cmocka_run_group_tests_name("blob", tests, setup, teardown);
}
