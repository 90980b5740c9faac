/* SPDX-License-Identifier: MIT */
/* What exists twice heals each other: by records_mend(), and by a store that heals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "store/forget.h"
#include "store/records_internal.h"
#include "tests/lib/testrepo.h"

static struct testrepo repo;
static char names[3][200];	/* of a snapshot, a forgotten one's record, vouch.json */
static char gone[200];		/* the forgotten snapshot's file */

static void find_forgotten(void)
{
	char cmd[400];
	FILE *f;

	(void)snprintf(cmd, sizeof(cmd), "cd '%s' && ls forgotten/*.json", repo.path);
	f = popen(cmd, "r");
	assert_non_null(f);
	assert_non_null(fgets(names[1], sizeof(names[1]), f));
	names[1][strcspn(names[1], "\n")] = '\0';
	assert_int_equal(pclose(f), 0);
}

static int setup(void **state)
{
	const struct snapshot *let_go;
	struct snapshot a, b;
	size_t done;

	(void)state;
	testrepo_make(&repo);
	testrepo_open(&repo, STORE_WRITE);
	a = testrepo_snapshot(&repo, 1000, "a");
	b = testrepo_snapshot(&repo, 2000, "b");
	testrepo_finish(&repo);
	OK(snapshot_publish(repo.s, &a, &ok_err));
	OK(snapshot_publish(repo.s, &b, &ok_err));
	let_go = &b;
	OK(snapshots_forget(repo.s, &let_go, 1, "test", &done, &ok_err));
	(void)snprintf(names[0], sizeof(names[0]), "snapshots/%s.json", a.name);
	(void)snprintf(gone, sizeof(gone), "snapshots/%s.json", b.name);
	(void)snprintf(names[2], sizeof(names[2]), "vouch.json");
	find_forgotten();
	snapshot_release(&a);
	snapshot_release(&b);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testrepo_remove(&repo);
	return 0;
}

enum harm { NOTHING, FLIPPED, GONE, EMPTY };

static void harm(const char *path, enum harm h)
{
	if (h == FLIPPED)
		testrepo_flip(&repo, path, 60, 3);
	else if (h == GONE)
		testrepo_unlink(&repo, path);
	else if (h == EMPTY)
		testrepo_write(&repo, path, "", 0);
}

struct heard {
	unsigned nr[3];
	char name[256];
};

static void on_record(void *ctx, const struct record_news *n)
{
	struct heard *h = ctx;

	h->nr[n->outcome]++;
	(void)snprintf(h->name, sizeof(h->name), "%s", n->name);
}

static bool same(const char *name, const uint8_t *want, size_t want_len)
{
	size_t len = 0;
	uint8_t *p = testrepo_read(&repo, name, &len);
	bool is = p && len == want_len && memcmp(p, want, len) == 0;

	free(p);
	return is;
}

static const struct row {
	const char *name;
	enum harm main, copy;
	unsigned mended, lost;
} rows[] = {
	{ "both whole", NOTHING, NOTHING, 0, 0 },
	{ "file damaged", FLIPPED, NOTHING, 1, 0 },
	{ "file gone", GONE, NOTHING, 1, 0 },
	{ "file empty", EMPTY, NOTHING, 1, 0 },
	{ "copy damaged", NOTHING, FLIPPED, 1, 0 },
	{ "copy gone", NOTHING, GONE, 1, 0 },
	{ "copy empty", NOTHING, EMPTY, 1, 0 },
	{ "both damaged", FLIPPED, FLIPPED, 0, 1 },
	{ "file damaged, copy gone", FLIPPED, GONE, 0, 1 },
	{ "file gone, copy damaged", GONE, EMPTY, 0, 1 },
};

static void test_row(void **state)
{
	const struct row *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char copy[256];
		size_t len = 0;
		uint8_t *right = testrepo_read(&repo, names[i], &len);

		assert_non_null(right);
		if (t->lost && i == 2) {	/* that is no repository any more */
			free(right);
			continue;
		}
		(void)snprintf(copy, sizeof(copy), "copies/%.200s", names[i]);
		harm(names[i], t->main);
		harm(copy, t->copy);
		for (int dry = 1; dry >= 0; dry--) {
			struct heard h = { .name = "" };

			OK(records_mend(repo.s, dry, NULL, on_record, &h, &ok_err));
			assert_int_equal(h.nr[RECORD_MENDED], t->mended);
			assert_int_equal(h.nr[RECORD_LOST], t->lost);
			assert_int_equal(h.nr[RECORD_NOT_MENDED], 0);
			if (t->mended)
				assert_string_equal(h.name, t->main ? names[i] : copy);
			if (dry && t->mended)
				assert_false(same(names[i], right, len) && same(copy, right, len));
		}
		if (!t->lost) {
			assert_true(same(names[i], right, len));
			assert_true(same(copy, right, len));
		}
		testrepo_write(&repo, names[i], right, len);
		testrepo_write(&repo, copy, right, len);
		free(right);
	}
}

/* What a forget that was stopped between the two has left is not a snapshot that lost its file. */
static void test_forgotten_stays_away(void **state)
{
	struct heard h = { .name = "" };
	struct snapshot c;
	char copy[256], hex[ID_HEX_LEN + 1], record[128], main[128];

	(void)state;
	c = testrepo_snapshot(&repo, 3000, "c");
	testrepo_finish(&repo);
	OK(snapshot_publish(repo.s, &c, &ok_err));
	(void)snprintf(main, sizeof(main), "snapshots/%s.json", c.name);
	(void)snprintf(copy, sizeof(copy), "copies/%s", main);
	(void)snprintf(record, sizeof(record), "forgotten/%s.json", id_hex(&c.id, hex));
	testrepo_write(&repo, record, "x", 1);	/* however it looks */
	testrepo_unlink(&repo, main);
	OK(records_mend(repo.s, false, NULL, on_record, &h, &ok_err));
	assert_int_equal(h.nr[RECORD_MENDED], 0);
	assert_false(testrepo_exists(&repo, main));
	assert_true(testrepo_exists(&repo, copy));
	assert_false(testrepo_exists(&repo, gone));
	snapshot_release(&c);
}

static void list(void)
{
	struct snapshot_list l = { 0 };

	OK(snapshot_list_read(repo.s, &l, &ok_err));
	assert_int_equal(l.nr, 1);
	snapshot_list_release(&l);
}

/* Opened to read, healing: what a listing meets is whole when it is closed, and the log says so. */
static void test_store_heals(void **state)
{
	static const enum harm harms[] = { FLIPPED, GONE };
	struct store_stats st;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(harms); i++) {
		size_t len = 0, super_len = 0;
		uint8_t *right = testrepo_read(&repo, names[0], &len);
		uint8_t *super = testrepo_read(&repo, names[2], &super_len);

		testrepo_close(&repo);
		harm(names[0], harms[i]);
		harm("vouch.json", harms[i]);
		testrepo_open(&repo, STORE_READ);
		list();
		testrepo_close(&repo);
		assert_false(same(names[0], right, len));	/* nobody asked for it */
		testrepo_open(&repo, STORE_READ);
		store_set_heal(repo.s, true);
		list();
		store_stats(repo.s, &st);
		testrepo_close(&repo);
		assert_true(same(names[0], right, len));
		assert_true(same("vouch.json", super, super_len));
		testrepo_open(&repo, STORE_WRITE);
		free(right);
		free(super);
	}
}

/* A copy that nobody reads is looked at as well, while there is time. */
static void test_copy_heals(void **state)
{
	char copy[256];
	struct store_stats st = { 0 };
	size_t len = 0;
	uint8_t *right = testrepo_read(&repo, names[0], &len);

	(void)state;
	(void)snprintf(copy, sizeof(copy), "copies/%s", names[0]);
	harm(copy, FLIPPED);
	testrepo_close(&repo);
	testrepo_open(&repo, STORE_READ);
	store_set_heal(repo.s, true);
	list();
	for (int i = 0; i < 500 && st.mended == 0; i++) {
		usleep(10000);
		store_stats(repo.s, &st);
	}
	assert_int_equal(st.mended, 1);
	assert_true(same(copy, right, len));
	testrepo_close(&repo);
	free(right);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_LEN(rows) + 3];
	size_t nr = 0;

	for (; nr < ARRAY_LEN(rows); nr++)
		tests[nr] = (struct CMUnitTest){ rows[nr].name, test_row, setup, teardown,
						 (void *)(uintptr_t)&rows[nr] };
	tests[nr++] = (struct CMUnitTest)cmocka_unit_test_setup_teardown(
		test_forgotten_stays_away, setup, teardown);
	tests[nr++] = (struct CMUnitTest)cmocka_unit_test_setup_teardown(test_store_heals, setup,
									 teardown);
	tests[nr++] = (struct CMUnitTest)cmocka_unit_test_setup_teardown(test_copy_heals, setup,
									 teardown);
	return cmocka_run_group_tests_name("records_mend", tests, NULL, NULL);
}
