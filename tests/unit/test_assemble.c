/* SPDX-License-Identifier: MIT */
/* Snapshots put together from streams in any order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/assemble.h"
#include "store/base/checked.h"
#include "store/base/digest.h"
#include "tests/lib/sandbox.h"
#include "tests/lib/testrepo.h"

static struct assembly *begin(struct sandbox *sb)
{
	static const char *const sources[] = {"crm"};
	const struct assembly_options o = {.sources = sources, .nr_sources = 1, .host = "h"};
	struct assembly *a;

	OK(assembly_open(sb->s, &o, &a, &ok_err));
	return a;
}

static void end(struct sandbox *sb, struct assembly *a)
{
	const struct component_outcome c[] = {
		{(char *)"crm", (char *)"postgres", (char *)"ok", (char *)""},
		{(char *)"shop", (char *)"mysql", (char *)"failed", (char *)"no server"}};

	snapshot_release(&sb->res.snapshot);
	OK(assembly_publish(a, c, ARRAY_LEN(c), &sb->res.snapshot, &ok_err));
	assembly_close(a);
}

/* Several at once, in pieces of all sizes, named in no order. */
static void test_files(void **state)
{
	static const char *const names[] = {"m/shop/tables/b.sql", "m/shop/dump.sql", "m.x", "m/shop/tables/a.sql",
					    "a", "m/shop/tables.list", "z/empty"};
	static const size_t lens[] = {3000000, 2500001, 100, 4096, 20, 1, 0};
	struct sandbox *sb = *state;
	struct assembly *a = begin(sb);
	struct assembly_file *f[ARRAY_LEN(names)];
	struct object_id sums[ARRAY_LEN(names)], want;
	size_t at[ARRAY_LEN(names)] = {0};
	uint8_t *p[ARRAY_LEN(names)];
	uint64_t seed = test_seed(), size;
	bool more = true;
	char *got;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		p[i] = noise(lens[i] + 1, i);
		OK(assembly_file_open(a, names[i], i % 2 ? 4096 : 0, &f[i], &ok_err));
	}
	while (more) {
		more = false;
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			size_t n = (size_t)(test_random(&seed) % 300000), left = lens[i] - at[i];

			n = n < left ? n : left;
			OK(assembly_write(f[i], p[i] + at[i], n, &ok_err));
			at[i] += n;
			more = more || at[i] < lens[i];
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		OK(assembly_file_close(f[i], &size, &sums[i], &ok_err));
		digest_sha256(p[i], lens[i], &want);
		assert_int_equal(size, lens[i]);
		assert_memory_equal(&sums[i], &want, sizeof(want));
	}
	assert_int_equal(assembly_bytes(a, "m/shop/tables", NULL), 3004096);
	end(sb, a);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_content(sb, names[i], p[i], lens[i]);
		free(p[i]);
	}
	got = names_in(sb, "");
	assert_string_equal(got, "a m m.x z ");
	free(got);
	got = names_in(sb, "m/shop");
	assert_string_equal(got, "dump.sql tables tables.list ");
	free(got);
	assert_int_equal(sb->res.snapshot.totals.files, ARRAY_LEN(names));
	assert_int_equal(sb->res.snapshot.nr_components, 2);
	assert_string_equal(sb->res.snapshot.components[1].detail, "no server");
}

/* A slice of a stream that is there too costs its ends, and what names its chunks. */
static void test_slices_share(void **state)
{
	struct sandbox *sb = *state;
	struct assembly *a = begin(sb);
	uint8_t *p = noise(4000000, 3);
	struct assembly_file *f, *g;
	uint64_t before, after;

	OK(assembly_file_open(a, "dump", 4096, &f, &ok_err));
	OK(assembly_write(f, p, 4000000, &ok_err));
	OK(assembly_file_close(f, NULL, NULL, &ok_err));
	(void)assembly_bytes(a, "", &before);
	OK(assembly_file_open(a, "slice", 4096, &g, &ok_err));
	OK(assembly_write(g, "header\n", 7, &ok_err));
	OK(assembly_write(g, p + 1000001, 2000000, &ok_err));
	OK(assembly_file_close(g, NULL, NULL, &ok_err));
	(void)assembly_bytes(a, "", &after);
	assert_true(after - before < 100000);
	end(sb, a);
	free(p);
}

static void test_drop(void **state)
{
	struct sandbox *sb = *state;
	struct assembly *a = begin(sb);
	struct assembly_file *f;
	char *got;

	OK(assembly_put(a, "pg/crm/x", "1", 1, &ok_err));
	OK(assembly_put(a, "pg/crm/y/z", "2", 1, &ok_err));
	OK(assembly_put(a, "pg/crm-2/x", "3", 1, &ok_err));
	OK(assembly_put(a, "pg/crm.2", "4", 1, &ok_err));
	OK(assembly_file_open(a, "pg/crm/half", 0, &f, &ok_err));
	OK(assembly_write(f, "half", 4, &ok_err));
	assembly_file_drop(f);
	assembly_drop(a, "pg/crm");
	OK(assembly_put(a, "pg/crm/x", "new", 3, &ok_err));
	OK(assembly_file_open(a, "open/at/the/end", 0, &f, &ok_err));
	assembly_file_drop(f);
	end(sb, a);
	got = names_in(sb, "pg");
	assert_string_equal(got, "crm crm-2 crm.2 ");
	free(got);
	assert_text(sb, "pg/crm/x", "new");
	assert_false(is_there(sb, "open"));
	assert_false(is_there(sb, "pg/crm/y"));
}

static void test_names(void **state)
{
	static const char *const bad[] = {"", "/x", "x/", "a//b", "../x", "a/./b", "a/.."};
	static const char *const taken[] = {"d", "d/in", "d/in/x", "o", "o/pen/x", "o/pen"};
	struct sandbox *sb = *state;
	struct assembly *a = begin(sb);
	struct assembly_file *f, *open;
	struct snapshot out;
	struct err e = ERR_INIT;

	OK(assembly_put(a, "d/in", "x", 1, &ok_err));
	OK(assembly_file_open(a, "o/pen", 0, &open, &ok_err));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(assembly_file_open(a, bad[i], 0, &f, &e), ERR_USAGE);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		assert_int_equal(assembly_file_open(a, taken[i], 0, &f, &e), ERR_EXISTS);
	assert_int_equal(assembly_file_open(a, "x", 12345, &f, &e), ERR_USAGE);
	OK(assembly_put(a, "d/in2", "x", 1, &ok_err));
	assert_int_equal(assembly_publish(a, NULL, 0, &out, &e), ERR_FAILED);
	assembly_close(a);	/* with a file open, and nothing published */
	assert_int_equal(sandbox_nr_snapshots(sb), 0);
}

static void test_nothing(void **state)
{
	struct sandbox *sb = *state;
	struct assembly *a = begin(sb);
	struct snapshot out;
	struct err e = ERR_INIT;

	OK(assembly_put(a, "x", "x", 1, &ok_err));
	assembly_drop(a, "x");
	assert_int_equal(assembly_publish(a, NULL, 0, &out, &e), ERR_FAILED);
	assembly_close(a);
	assert_int_equal(sandbox_nr_snapshots(sb), 0);
}

static void test_cancel(void **state)
{
	struct sandbox *sb = *state;
	atomic_bool stop = false;
	const struct assembly_options o = {.cancel = &stop};
	struct assembly *a;
	struct assembly_file *f;
	struct snapshot out;
	struct err e = ERR_INIT;

	OK(assembly_open(sb->s, &o, &a, &ok_err));
	OK(assembly_put(a, "x", "x", 1, &ok_err));
	OK(assembly_file_open(a, "y", 0, &f, &ok_err));
	atomic_store(&stop, true);
	assert_int_equal(assembly_write(f, "y", 1, &e), ERR_CANCELED);
	assert_int_equal(assembly_publish(a, NULL, 0, &out, &e), ERR_CANCELED);
	assembly_close(a);
	assert_int_equal(sandbox_nr_snapshots(sb), 0);
}

/* Who passes over a failed write has no file. */
static void test_failed_write(void **state)
{
	struct sandbox *sb = *state;
	atomic_bool stop = true;
	const struct assembly_options o = {.cancel = &stop};
	struct assembly *a;
	struct assembly_file *f;
	struct err e = ERR_INIT;

	OK(assembly_open(sb->s, &o, &a, &ok_err));
	OK(assembly_file_open(a, "y", 0, &f, &ok_err));
	assert_int_equal(assembly_write(f, "y", 1, &e), ERR_CANCELED);
	atomic_store(&stop, false);
	OK(assembly_write(f, "z", 1, &ok_err));
	assert_int_equal(assembly_file_close(f, NULL, NULL, &e), ERR_FAILED);
	assert_string_equal(e.msg, "y was not written to its end");
	OK(assembly_put(a, "x", "x", 1, &ok_err));
	end(sb, a);
	assert_false(is_there(sb, "y"));
}

/* However it ends, the next one need not store it again. */
static void test_found_again(void **state)
{
	struct sandbox *sb = *state;
	atomic_bool stop = false;
	const struct assembly_options o = {.cancel = &stop};
	uint8_t *p = noise(3000000, 5);
	struct assembly *a;
	struct snapshot out;
	struct err e = ERR_INIT;
	uint64_t new_bytes;

	for (int i = 0; i < 3; i++) {
		OK(assembly_open(sb->s, &o, &a, &ok_err));
		OK(assembly_put(a, "x", p, 3000000, &ok_err));
		(void)assembly_bytes(a, "", &new_bytes);
		assert_int_equal(new_bytes, i == 0 ? 3000000 : 0);
		if (i == 0) {		/* canceled when all was there */
			atomic_store(&stop, true);
			assert_int_equal(assembly_publish(a, NULL, 0, &out, &e), ERR_CANCELED);
			atomic_store(&stop, false);
		} else if (i == 1) {	/* all of it failed */
			assembly_drop(a, "x");
			assert_int_equal(assembly_publish(a, NULL, 0, &out, &e), ERR_FAILED);
		}
		assembly_close(a);
	}
	free(p);
}

/* What was dropped, closed or not, in a snapshot of its own; what was not is none of its business. */
static void test_take_dropped(void **state)
{
	static const char *const tags[] = {TAG_PARTIAL};
	const struct assembly_options keep = {.keep_dropped = true}, o = {.tags = tags, .nr_tags = 1};
	struct sandbox *sb = *state;
	uint8_t *p = noise(3000000, 6);
	struct assembly *a, *to;
	struct assembly_file *f;
	size_t nr;
	char *got;

	OK(assembly_open(sb->s, &keep, &a, &ok_err));
	OK(assembly_put(a, "pg/crm/x", "old", 3, &ok_err));
	assembly_drop(a, "pg/crm");	/* tried again */
	OK(assembly_put(a, "pg/crm/x", "new", 3, &ok_err));
	OK(assembly_file_open(a, "pg/crm/half", 4096, &f, &ok_err));
	OK(assembly_write(f, p, 3000000, &ok_err));
	assembly_file_drop(f);
	assembly_drop(a, "pg/crm");
	OK(assembly_put(a, "pg/crm-2/x", "good", 4, &ok_err));
	OK(assembly_put(a, "pg/other/x", "bad", 3, &ok_err));
	assembly_drop(a, "pg/other");
	OK(assembly_open(sb->s, &o, &to, &ok_err));
	OK(assembly_take_dropped(a, "pg/crm", to, &nr, &ok_err));
	assert_int_equal(nr, 2);
	OK(assembly_take_dropped(a, "pg/crm-2", to, &nr, &ok_err));
	assert_int_equal(nr, 0);
	end(sb, to);
	assembly_close(a);
	assert_true(snapshot_is_reserved(&sb->res.snapshot));
	got = names_in(sb, "pg");
	assert_string_equal(got, "crm ");
	free(got);
	assert_text(sb, "pg/crm/x", "new");
	assert_content(sb, "pg/crm/half", p, 3000000);
	assert_int_equal(sandbox_nr_snapshots(sb), 1);
	free(p);
}

#define WITH_SANDBOX(f) cmocka_unit_test_setup_teardown(f, sandbox_setup, sandbox_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SANDBOX(test_files), WITH_SANDBOX(test_slices_share), WITH_SANDBOX(test_drop),
		WITH_SANDBOX(test_names), WITH_SANDBOX(test_nothing), WITH_SANDBOX(test_cancel),
		WITH_SANDBOX(test_failed_write), WITH_SANDBOX(test_found_again), WITH_SANDBOX(test_take_dropped),
	};

	return cmocka_run_group_tests_name("assembly", tests, NULL, NULL);
}
