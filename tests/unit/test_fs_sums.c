/* SPDX-License-Identifier: MIT */
/*
 * A snapshot's SHA256SUMS, whole and in parts, against one made by brute force, on random trees of odd names.
 * VOUCH_SEED=N runs one seed again.
 */
#include "fs/filewalk.c"
#include "fs/sums.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "store/base/digest.h"
#include "tests/lib/testtree.h"

#define NAMES		40u
#define DEPTH		6u
#define TREES		5u
#define READS		400u

static struct {
	struct testrepo r;
	struct testtree t;
	struct buf want;
	uint64_t seed, state;
} fx;

static uint64_t any(uint64_t below)
{
	fx.state ^= fx.state << 13;
	fx.state ^= fx.state >> 7;
	fx.state ^= fx.state << 17;
	return (fx.state >> 11) % below;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Of few letters, so that some begin like others; one in four has something to escape. */
static char *odd_name(void)
{
	static const char plain[] = "ab# *", odd[] = "ab\\\n\r\xe9";
	size_t len = 1 + any(any(8) ? 6 : 200);
	bool is_odd = any(4) == 0;
	char *s = calloc(1, len + 1);

	assert_non_null(s);
	for (size_t i = 0; i < len; i++)
		s[i] = is_odd ? odd[any(sizeof(odd) - 1)] : plain[any(sizeof(plain) - 1)];
	return s;
}

static void want_line(const char *path, const char *text)
{
	bool escaped = strpbrk(path, "\\\n\r") != NULL;
	char hex[ID_HEX_LEN + 1];
	struct object_id id;

	digest_sha256(text, strlen(text), &id);
	buf_printf(&fx.want, "%s%s  ", escaped ? "\\" : "", id_hex(&id, hex));
	for (const char *p = path; *p; p++)
		if (*p == '\n')
			buf_add_str(&fx.want, "\\n");
		else if (*p == '\r')
			buf_add_str(&fx.want, "\\r");
		else if (*p == '\\')
			buf_add_str(&fx.want, "\\\\");
		else
			buf_add_u8(&fx.want, (uint8_t)*p);
	buf_add_u8(&fx.want, '\n');
}

static void make_entry(const char *name, const char *above, unsigned depth);

static void make_folder(const char *above, unsigned depth)
{
	char *names[NAMES];
	size_t nr = any(8) == 0 ? 0 : any(NAMES);

	for (size_t i = 0; i < nr; i++)
		names[i] = odd_name();
	qsort(names, nr, sizeof(names[0]), by_name);
	for (size_t i = 0; i < nr; i++)
		if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
			make_entry(names[i], above, depth);
	for (size_t i = 0; i < nr; i++)
		free(names[i]);
}

static void make_entry(const char *name, const char *above, unsigned depth)
{
	struct entry e;
	char *path;

	assert_true(asprintf(&path, "%s%s", above, name) >= 0);
	if (any(5) == 0 && depth < DEPTH) {
		char *below;

		assert_true(asprintf(&below, "%s/", path) >= 0);
		e = testtree_entry(ENTRY_DIR, name);
		testtree_enter(&fx.t, &e);
		make_folder(below, depth + 1);
		testtree_leave(&fx.t);
		free(below);
	} else if (any(6) == 0) {
		e = testtree_entry(ENTRY_FIFO, name);
		testtree_add(&fx.t, &e);
	} else {
		char text[32];

		(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)any(1000000));
		testtree_text(&fx.t, name, text);
		want_line(path, text);
	}
	free(path);
}

static void read_part(const struct entry *top, uint64_t off, size_t len)
{
	size_t n = 0, rest = off < fx.want.len ? fx.want.len - (size_t)off : 0;
	uint8_t *got = malloc(len + 1);

	assert_non_null(got);
	OK(sums_read(fx.r.s, top, off, got, len, &n, &ok_err));
	assert_int_equal(n, len < rest ? len : rest);
	if (n)
		assert_memory_equal(got, fx.want.p + off, n);
	free(got);
}

static void test_any_tree(void **state)
{
	(void)state;
	for (unsigned i = 0; i < TREES; i++) {
		struct object_id root;
		struct entry_ref top = { 0 };
		struct entry ent;

		buf_reset(&fx.want);
		testtree_begin(&fx.t, &fx.r);
		make_folder("", 0);
		testtree_end(&fx.t, &root, &ent);
		OK(tree_root(fx.r.s, &root, &top, &ok_err));
		assert_int_equal(sums_size(&top.e), fx.want.len);
		read_part(&top.e, 0, fx.want.len + 10);
		read_part(&top.e, fx.want.len, 10);
		read_part(&top.e, fx.want.len + 1000, 10);
		for (unsigned k = 0; k < READS; k++)
			read_part(&top.e, any(fx.want.len + 2), any(any(4) ? 300 : 100000));
		entry_ref_release(fx.r.s, &top);
	}
}

/* Totals that promise more lines than there are: an error, and no end of the file. */
static void test_lies(void **state)
{
	static uint8_t got[4096];
	struct entry_ref top = { 0 };
	struct object_id root;
	struct err e = ERR_INIT;
	struct entry ent;
	size_t n = 0;

	(void)state;
	testtree_begin(&fx.t, &fx.r);
	testtree_text(&fx.t, "a", "1");
	testtree_text(&fx.t, "b", "2");
	testtree_end(&fx.t, &root, &ent);
	OK(tree_root(fx.r.s, &root, &top, &ok_err));
	ent = top.e;
	ent.below.sums_len++;
	assert_int_equal(sums_read(fx.r.s, &ent, 0, got, sizeof(got), &n, &e), ERR_CORRUPT);
	assert_int_equal(sums_read(fx.r.s, &ent, top.e.below.sums_len, got, 1, &n, &e),
			 ERR_CORRUPT);
	ent.nr_entries = 100;
	assert_int_equal(sums_read(fx.r.s, &ent, 0, got, 10, &n, &e), ERR_CORRUPT);
	ent.nr_entries = 0;
	assert_int_equal(sums_read(fx.r.s, &ent, 0, got, 10, &n, &e), ERR_CORRUPT);
	entry_ref_release(fx.r.s, &top);
}

static void test_no_digest(void **state)
{
	struct entry f = testtree_entry(ENTRY_FILE, "x\\y");
	struct filewalk w = FILEWALK_INIT(NULL);
	struct buf line = BUF_INIT;

	(void)state;
	f.content = CONTENT_NODE;
	buf_add_str(&w.path, "x\\y");
	make_line(&line, &w, &f);
	assert_int_equal(line.len, SUMS_FIXED + 1 + 4);
	assert_memory_equal(line.p, "## no", 5);
	assert_memory_equal(line.p + line.len - 7, "  x\\\\y\n", 7);
	f.flags |= ENTRY_HAS_SHA256;
	make_line(&line, &w, &f);
	assert_int_equal(line.len, SUMS_FIXED + 1 + 4);
	assert_int_equal(line.p[0], '\\');
	buf_release(&line);
	filewalk_release(&w);
}

static int setup(void **state)
{
	const char *given = getenv("VOUCH_SEED");

	(void)state;
	fx.seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
	fx.state = fx.seed * 2 + 1;
	print_message("seed %llu\n", (unsigned long long)fx.seed);
	testrepo_make(&fx.r);
	testrepo_open(&fx.r, STORE_WRITE);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testrepo_remove(&fx.r);
	buf_release(&fx.want);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_tree),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_no_digest),
	};

	return cmocka_run_group_tests_name("fs sums", tests, setup, teardown);
}
