/* SPDX-License-Identifier: MIT */
/* Chains and signatures of a real repository; the attacks are in tests/cli/sign.bats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "store/chain.h"
#include "store/format/snaprec.h"
#include "store/signature_internal.h"
#include "tests/lib/testrepo.h"

static struct testrepo repo;
static struct key_public key;

static int setup(void **state)
{
	char *where = NULL;

	(void)state;
	testrepo_make(&repo);
	testrepo_open(&repo, STORE_WRITE);
	OK(key_make(repo.s, false, &key, &where, &ok_err));
	free(where);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testrepo_remove(&repo);
	return 0;
}

/* Publish one; *id, and its name, which the caller frees. */
static char *publish(int64_t sec, struct object_id *id)
{
	struct snapshot snap = testrepo_snapshot(&repo, sec, "alpha");
	char *name;

	OK(snapshot_publish(repo.s, &snap, &ok_err));
	*id = snap.id;
	name = strdup(snap.name);
	assert_non_null(name);
	snapshot_release(&snap);
	return name;
}

/* Nothing is remembered of what was read. */
static void reopen(void)
{
	testrepo_close(&repo);
	testrepo_open(&repo, STORE_WRITE);
}

struct seen {
	unsigned nr[CHAIN_KIND_NR];
	unsigned fails;
};

static void on_finding(void *ctx, const struct chain_finding *f)
{
	struct seen *s = ctx;

	assert_non_null(f->text);
	assert_non_null(chain_kind_name(f->kind));
	s->nr[f->kind]++;
	s->fails += f->fails;
}

static struct chain_result check(size_t nr_keys, const struct object_id *root, struct seen *seen)
{
	const struct chain_options o = {
		.keys = &key, .nr_keys = nr_keys, .roots = root, .nr_roots = root ? 1 : 0,
		.jobs = 4, .fn = on_finding, .ctx = seen,
	};
	struct chain_result r;

	*seen = (struct seen){ .fails = 0 };
	OK(chain_check(repo.s, &o, &r, &ok_err));
	assert_int_equal(r.failed, seen->fails);
	return r;
}

static void forget(const char *name)
{
	struct snapshot_list l = { 0 };
	const struct snapshot *snap;
	size_t done;

	OK(snapshot_list_read(repo.s, &l, &ok_err));
	OK(snapshot_find(&l, name, NULL, &snap, &ok_err));
	OK(snapshots_forget(repo.s, &snap, 1, "", &done, &ok_err));
	snapshot_list_release(&l);
}

static void unlink_all(const char *stem)
{
	char path[256];

	for (unsigned i = 0; i < 4; i++) {
		(void)snprintf(path, sizeof(path), "%s%s%s", i & 1 ? "copies/" : "", stem,
			       i & 2 ? ".json" : ".sig");
		if (testrepo_exists(&repo, path))
			testrepo_unlink(&repo, path);
	}
}

#define NR 40

static void test_all_good(void **state)
{
	char *names[NR];
	struct object_id ids[NR];
	struct chain_roots roots = { .nr = 0 };
	struct chain_result r;
	struct seen seen;

	(void)state;
	for (size_t i = 0; i < NR; i++)
		names[i] = publish(1000 + (int64_t)i, &ids[i]);
	forget(names[0]);
	forget(names[7]);
	forget(names[NR - 1]);
	for (int again = 0; again < 2; again++) {
		r = check(1, &ids[NR - 1], &seen);
		assert_int_equal(r.writers, 1);
		assert_int_equal(r.snapshots, NR - 3);
		assert_int_equal(r.records, 3);
		assert_int_equal(r.good_signatures, NR);
		for (size_t k = 0; k < CHAIN_KIND_NR; k++)
			assert_int_equal(seen.nr[k], 0);
		reopen();
	}
	OK(chain_roots_read(repo.s, &roots, &ok_err));
	assert_int_equal(roots.nr, 1);
	assert_true(id_eq(&roots.all[0].id, &ids[NR - 2]));
	assert_string_equal(roots.all[0].host, "alpha");
	chain_roots_release(&roots);
	assert_int_equal(repo.damages + repo.warnings, 0);
	for (size_t i = 0; i < NR; i++)
		free(names[i]);
}

/* Each link in turn: taken away with all that is beside it. */
static void test_missing(void **state)
{
	char *names[5], stem[STEM_LEN + 1];
	struct object_id ids[5];
	struct seen seen;

	(void)state;
	for (size_t i = 0; i < 5; i++)
		names[i] = publish(1000 + (int64_t)i, &ids[i]);
	forget(names[2]);
	reopen();
	stem_of_snapshot(names[4], stem);
	unlink_all(stem);
	assert_int_equal(check(1, NULL, &seen).failed, 0);
	assert_int_equal(check(1, &ids[4], &seen).failed, 1);
	assert_int_equal(seen.nr[CHAIN_ROOT_GONE], 1);
	stem_of_record(&ids[2], stem);
	unlink_all(stem);
	assert_int_equal(check(1, NULL, &seen).failed, 1);
	assert_int_equal(seen.nr[CHAIN_MISSING], 1);
	stem_of_snapshot(names[0], stem);
	unlink_all(stem);
	reopen();
	assert_int_equal(check(0, &ids[3], &seen).missing, 2);
	assert_int_equal(seen.fails, 2);
	assert_int_equal(check(0, NULL, &seen).failed, 0);
	assert_int_equal(seen.nr[CHAIN_MISSING], 2);
	for (size_t i = 0; i < 5; i++)
		free(names[i]);
}

/* A damaged snapshot is damage, and not said to be taken away; nothing is proved of it. */
static void test_unreadable(void **state)
{
	char *names[3], path[256];
	struct object_id ids[3];
	struct seen seen;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		names[i] = publish(1000 + (int64_t)i, &ids[i]);
	for (int copy = 0; copy < 2; copy++) {
		(void)snprintf(path, sizeof(path), "%ssnapshots/%s.json", copy ? "copies/" : "",
			       names[1]);
		testrepo_flip(&repo, path, 30, 2);
	}
	reopen();
	assert_true(check(1, &ids[1], &seen).failed > 0);
	assert_int_equal(seen.nr[CHAIN_MISSING] + seen.nr[CHAIN_ROOT_GONE], 0);
	assert_true(seen.nr[CHAIN_UNREADABLE] > 0);
	for (size_t i = 0; i < 3; i++)
		free(names[i]);
}

/* Every flipped bit of a signature whose copy is gone; and one of either place is healed by the other. */
static void test_signature_bits(void **state)
{
	char path[256], copy[256];
	struct object_id id;
	char *name = publish(1000, &id);
	struct seen seen;

	(void)state;
	(void)snprintf(path, sizeof(path), "snapshots/%s.sig", name);
	(void)snprintf(copy, sizeof(copy), "copies/snapshots/%s.sig", name);
	testrepo_flip(&repo, path, 5, 1);
	assert_int_equal(check(1, NULL, &seen).good_signatures, 1);
	testrepo_flip(&repo, path, 5, 1);
	testrepo_unlink(&repo, copy);
	for (size_t at = 0; at < SIGN_LEN; at++) {
		testrepo_flip(&repo, path, at, at % 8);
		assert_int_equal(check(1, NULL, &seen).failed, 1);
		assert_int_equal(seen.nr[CHAIN_WRONG_SIGNATURE], 1);
		testrepo_flip(&repo, path, at, at % 8);
	}
	assert_int_equal(check(1, NULL, &seen).failed, 0);
	free(name);
}

/* Numbers that lie: signed by the key itself, as no honest host would. */
static void test_broken(void **state)
{
	static const struct {
		uint64_t seq;
		bool previous;
	} rows[] = { { 0, false }, { 1, true }, { 2, false }, { 5, true } };
	struct object_id id;
	char *name = publish(1000, &id);
	struct sign_key *k = NULL;
	struct seen seen;

	(void)state;
	OK(signing_key_load(repo.s, &k, &ok_err));
	for (size_t i = 0; i < 4; i++) {
		struct snapshot snap = testrepo_snapshot(&repo, 2000, "alpha"), back = { 0 };
		char stem[STEM_LEN + 1], path[256];
		struct buf b = BUF_INIT;

		OK(writer_identity(repo.s, snap.writer, NULL, &ok_err));
		snap.seq = rows[i].seq;
		snap.has_previous = rows[i].previous;
		snap.previous = id;
		snaprec_encode(&snap, &b);
		assert_false(b.bad);
		OK(snaprec_decode(b.p, b.len, &back, &ok_err));
		stem_of_snapshot(back.name, stem);
		OK(signature_put(repo.s, k, stem, &b, false, &ok_err));
		(void)snprintf(path, sizeof(path), "%s.json", stem);
		testrepo_write(&repo, path, b.p, b.len);
		assert_true(check(1, NULL, &seen).failed == 1);
		assert_int_equal(seen.nr[CHAIN_BROKEN], 1);
		unlink_all(stem);
		snapshot_release(&back);
		snapshot_release(&snap);
		buf_release(&b);
	}
	sign_key_free(k);
	free(name);
}

/* What is stopped is stopped, and says so. */
static void test_canceled(void **state)
{
	struct object_id id;
	atomic_bool cancel = true;
	const struct chain_options o = { .keys = &key, .nr_keys = 1, .cancel = &cancel };
	struct key_signed done;
	struct chain_result r;
	struct err e = ERR_INIT;

	(void)state;
	free(publish(1000, &id));
	assert_int_equal(chain_check(repo.s, &o, &r, &e), ERR_CANCELED);
	assert_int_equal(key_sign_present(repo.s, true, &cancel, &done, &e), ERR_CANCELED);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signature_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_canceled, setup, teardown),
	};

	return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
