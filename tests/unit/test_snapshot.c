/* SPDX-License-Identifier: MIT */
/* Snapshots of a real repository: published, chained, listed, and read from their second copies. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "store/base/hex.h"
#include "store/format/snaprec.h"
#include "tests/lib/testrepo.h"

static struct testrepo repo;

static int setup(void **state)
{
	(void)state;
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

/** Publish one; its name goes to the caller, who frees it. */
static char *publish(int64_t sec)
{
	struct snapshot snap = testrepo_snapshot(&repo, sec, "alpha");
	char *name;

	OK(snapshot_publish(repo.s, &snap, &ok_err));
	assert_true(snaprec_name_ok(snap.name));
	name = strdup(snap.name);
	assert_non_null(name);
	snapshot_release(&snap);
	return name;
}

/** Close and open: nothing is remembered. */
static void reopen(void)
{
	testrepo_close(&repo);
	testrepo_open(&repo, STORE_WRITE);
}

static void main_path(const char *name, char out[128])
{
	(void)snprintf(out, 128, "snapshots/%s.json", name);
}

static void copy_path(const char *name, char out[128])
{
	(void)snprintf(out, 128, "copies/snapshots/%s.json", name);
}

static void test_chain(void **state)
{
	struct snapshot_list l = { 0 };
	char *a, *b, *c;

	(void)state;
	OK(snapshot_list_read(repo.s, &l, &ok_err));
	assert_int_equal(l.nr, 0);
	snapshot_list_release(&l);
	/* The chain is in the order of publishing; the list in the order of time. */
	b = publish(2000);
	a = publish(1000);
	reopen();
	c = publish(3000);
	OK(snapshot_list_read(repo.s, &l, &ok_err));
	assert_int_equal(l.nr, 3);
	assert_int_equal(l.nr_bad, 0);
	assert_string_equal(l.all[0].name, a);
	assert_string_equal(l.all[1].name, b);
	assert_string_equal(l.all[2].name, c);
	assert_int_equal(l.all[1].seq, 1);
	assert_false(l.all[1].has_previous);
	assert_int_equal(l.all[0].seq, 2);
	assert_true(id_eq(&l.all[0].previous, &l.all[1].id));
	assert_int_equal(l.all[2].seq, 3);
	assert_true(id_eq(&l.all[2].previous, &l.all[0].id));
	assert_memory_equal(l.all[0].writer, l.all[2].writer, 16);
	assert_string_equal(l.all[0].host, "alpha");
	assert_string_equal(l.all[0].sources[0], "/etc");
	snapshot_list_release(&l);
	assert_int_equal(repo.damages + repo.warnings, 0);
	free(a);
	free(b);
	free(c);
}

/* Another host: another state folder, so another writer with a chain of its own. */
static void test_two_writers(void **state)
{
	struct snapshot_list l = { 0 };
	char other[300], own[256];

	(void)state;
	free(publish(1000));
	(void)snprintf(own, sizeof(own), "%s", getenv("XDG_STATE_HOME"));
	(void)snprintf(other, sizeof(other), "%s-other", own);
	assert_int_equal(setenv("XDG_STATE_HOME", other, 1), 0);
	free(publish(2000));
	assert_int_equal(setenv("XDG_STATE_HOME", own, 1), 0);
	free(publish(3000));
	OK(snapshot_list_read(repo.s, &l, &ok_err));
	assert_int_equal(l.nr, 3);
	assert_int_equal(l.all[1].seq, 1);
	assert_memory_not_equal(l.all[0].writer, l.all[1].writer, 16);
	assert_int_equal(l.all[2].seq, 2);
	assert_true(id_eq(&l.all[2].previous, &l.all[0].id));
	snapshot_list_release(&l);
}

static void test_identity(void **state)
{
	uint8_t a[16], b[16];
	char path[256], file[320];
	struct stat st;
	int fd = -2;

	(void)state;
	OK(writer_identity(repo.s, a, NULL, &ok_err));
	OK(writer_identity(repo.s, b, &fd, &ok_err));
	assert_memory_equal(a, b, 16);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	(void)snprintf(path, sizeof(path), "%s/vouch", getenv("XDG_STATE_HOME"));
	(void)snprintf(file, sizeof(file), "%s/%s.json", path, store_id_text(repo.s));
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* Damaged: a new identity, and a word about it. */
	assert_int_equal(truncate(file, 20), 0);
	OK(writer_identity(repo.s, b, NULL, &ok_err));
	assert_memory_not_equal(a, b, 16);
	assert_int_equal(repo.warnings, 1);
	/* No place for it: one identity for the run, and one warning. */
	testrepo_rm(path);
	fd = creat(path, 0600);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	OK(writer_identity(repo.s, a, &fd, &ok_err));
	assert_int_equal(fd, -1);
	OK(writer_identity(repo.s, b, NULL, &ok_err));
	assert_memory_equal(a, b, 16);
	assert_int_equal(repo.warnings, 2);
}

enum harm { NOTHING, FLIPPED, GONE, EMPTY, SWAPPED };

static void harm(const char *path, enum harm h, const char *other)
{
	size_t len = 0;
	uint8_t *p;

	switch (h) {
	case NOTHING:
		break;
	case FLIPPED:
		testrepo_flip(&repo, path, 100, 3);
		break;
	case GONE:
		testrepo_unlink(&repo, path);
		break;
	case EMPTY:
		testrepo_write(&repo, path, "", 0);
		break;
	case SWAPPED:	/* a whole snapshot under another's name */
		p = testrepo_read(&repo, other, &len);
		assert_non_null(p);
		testrepo_write(&repo, path, p, len);
		free(p);
		break;
	}
}

static const struct row {
	const char *name;
	enum harm main, copy;
	size_t nr, nr_bad;		/* of the two that were published */
	unsigned damages;
} rows[] = {
	{ "both whole", NOTHING, NOTHING, 2, 0, 0 },
	{ "copy damaged", NOTHING, FLIPPED, 2, 0, 0 },
	{ "copy gone", NOTHING, GONE, 2, 0, 0 },
	{ "file damaged", FLIPPED, NOTHING, 2, 0, 1 },
	{ "file empty", EMPTY, NOTHING, 2, 0, 1 },
	{ "file another's", SWAPPED, NOTHING, 2, 0, 1 },
	{ "file gone", GONE, NOTHING, 2, 0, 0 },
	{ "both damaged", FLIPPED, FLIPPED, 1, 1, 1 },
	{ "file damaged, copy gone", FLIPPED, GONE, 1, 1, 1 },
	{ "file gone, copy damaged", GONE, FLIPPED, 1, 1, 1 },
	{ "both another's", SWAPPED, SWAPPED, 1, 1, 1 },
	{ "both gone", GONE, GONE, 1, 0, 0 },
};

static void test_harm(void **state)
{
	const struct row *t = *state;
	char *a = publish(1000), *b = publish(2000), path[128], other[128];
	struct snapshot_list l = { 0 };

	main_path(b, other);
	main_path(a, path);
	harm(path, t->main, other);
	copy_path(a, path);
	harm(path, t->copy, other);
	reopen();
	repo.damages = 0;
	for (int i = 0; i < 2; i++) {
		OK(snapshot_list_read(repo.s, &l, &ok_err));
		assert_int_equal(l.nr, t->nr);
		assert_int_equal(l.nr_bad, t->nr_bad);
		if (t->nr == 2)
			assert_string_equal(l.all[0].name, a);
		if (t->nr_bad)
			assert_string_equal(l.bad[0], a);
		assert_string_equal(l.all[t->nr - 1].name, b);
		snapshot_list_release(&l);
		assert_int_equal(repo.damages, t->damages);	/* told once */
		if (t->main == FLIPPED || t->main == EMPTY)
			assert_non_null(strstr(repo.text, "not those it is named after"));
	}
	free(a);
	free(b);
}

/* The right bytes under a name that says another time. */
static void test_renamed(void **state)
{
	char *a = publish(1000), b[64], path[128];
	struct snapshot_list l = { 0 };
	size_t len = 0;
	uint8_t *p;

	(void)state;
	main_path(a, path);
	p = testrepo_read(&repo, path, &len);
	assert_non_null(p);
	(void)snprintf(b, sizeof(b), "1999%s", a + 4);
	main_path(b, path);
	testrepo_write(&repo, path, p, len);
	free(p);
	OK(snapshot_list_read(repo.s, &l, &ok_err));
	assert_int_equal(l.nr, 1);
	assert_int_equal(l.nr_bad, 1);
	assert_string_equal(l.all[0].name, a);
	assert_string_equal(l.bad[0], b);
	assert_non_null(strstr(repo.text, "another time"));
	snapshot_list_release(&l);
	free(a);
}

static void test_forgotten(void **state)
{
	char *a = publish(1000), path[256], hex[ID_HEX_LEN + 1];
	struct snapshot_list l = { 0 };
	uint64_t before, after;

	(void)state;
	OK(snapshot_list_read(repo.s, &l, &ok_err));
	id_hex(&l.all[0].id, hex);
	snapshot_list_release(&l);
	main_path(a, path);
	testrepo_unlink(&repo, path);
	OK(snapshot_list_stamp(repo.s, &before, &ok_err));
	(void)snprintf(path, sizeof(path), "%s/forgotten", repo.path);
	(void)mkdir(path, 0700);
	(void)snprintf(path, sizeof(path), "forgotten/%s.json", hex);
	testrepo_write(&repo, path, "{}", 2);
	for (int i = 0; i < 2; i++) {	/* from the cache, and from the copy */
		OK(snapshot_list_read(repo.s, &l, &ok_err));
		assert_int_equal(l.nr + l.nr_bad, 0);
		snapshot_list_release(&l);
		reopen();
	}
	OK(snapshot_list_stamp(repo.s, &after, &ok_err));
	assert_int_not_equal(before, after);
	free(a);
}

static void test_stamp(void **state)
{
	uint64_t none, one, again;
	char *a, path[128];

	(void)state;
	OK(snapshot_list_stamp(repo.s, &none, &ok_err));
	a = publish(1000);
	OK(snapshot_list_stamp(repo.s, &one, &ok_err));
	assert_int_not_equal(none, one);
	/* What is no snapshot's name changes nothing. */
	testrepo_write(&repo, "snapshots/.litter", "x", 1);
	testrepo_write(&repo, "snapshots/x.json", "x", 1);
	testrepo_write(&repo, "snapshots/2026-11-21T02-00-00Z-1c9e0d2a3b4c5d6e.json.x7Yq", "x", 1);
	OK(snapshot_list_stamp(repo.s, &again, &ok_err));
	assert_int_equal(one, again);
	main_path(a, path);
	testrepo_unlink(&repo, path);
	copy_path(a, path);
	testrepo_unlink(&repo, path);
	OK(snapshot_list_stamp(repo.s, &again, &ok_err));
	assert_int_equal(none, again);
	free(a);
}

#define NR_THREADS	4
#define NR_EACH		5

static void *publish_some(void *arg)
{
	struct snapshot *snaps = arg;
	struct err e = ERR_INIT;

	for (int i = 0; i < NR_EACH; i++)
		if (snapshot_publish(repo.s, &snaps[i], &e))
			return arg;
	return NULL;
}

/* Publishing at once makes one chain without gaps or twins. */
static void test_race(void **state)
{
	static struct snapshot snaps[NR_THREADS][NR_EACH];
	struct snapshot_list l = { 0 };
	bool seen[NR_THREADS * NR_EACH] = { false };
	pthread_t threads[NR_THREADS];

	(void)state;
	for (int i = 0; i < NR_THREADS * NR_EACH; i++)
		snaps[i / NR_EACH][i % NR_EACH] = testrepo_snapshot(&repo, 1000 + i, "alpha");
	for (int i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, publish_some, snaps[i]), 0);
	for (int i = 0; i < NR_THREADS; i++) {
		void *bad = NULL;

		assert_int_equal(pthread_join(threads[i], &bad), 0);
		assert_null(bad);
	}
	OK(snapshot_list_read(repo.s, &l, &ok_err));
	assert_int_equal(l.nr, NR_THREADS * NR_EACH);
	for (size_t i = 0; i < l.nr; i++) {
		assert_in_range(l.all[i].seq, 1, l.nr);
		assert_false(seen[l.all[i].seq - 1]);
		seen[l.all[i].seq - 1] = true;
		assert_int_equal(l.all[i].has_previous, l.all[i].seq > 1);
	}
	snapshot_list_release(&l);
	for (int i = 0; i < NR_THREADS * NR_EACH; i++)
		snapshot_release(&snaps[i / NR_EACH][i % NR_EACH]);
}

int main(void)
{
	static const struct CMUnitTest fixed[] = {
		cmocka_unit_test_setup_teardown(test_chain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_writers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_renamed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stamp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_race, setup, teardown),
	};
	struct CMUnitTest tests[ARRAY_LEN(fixed) + ARRAY_LEN(rows)];
	static const struct row *given[ARRAY_LEN(rows)];

	memcpy(tests, fixed, sizeof(fixed));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		given[i] = &rows[i];
		tests[ARRAY_LEN(fixed) + i] = (struct CMUnitTest){
			rows[i].name, test_harm, setup, teardown, (void *)(uintptr_t)given[i] };
	}
	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
