/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "store/engine/pack.h"
#include "store/format/limits.h"
#include "tests/lib/chunkbox.h"
#include "tests/lib/faulty_backend.h"

static struct box box;
static uint8_t *buf;

static int setup(void **state)
{
	(void)state;
	box_make(&box);
	buf = malloc(CHUNK_LEN_MAX + 1);
	return buf ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(buf);
	box_remove(&box);
	return 0;
}

static struct writer *open_writer(void)
{
	struct writer_config cfg = {
	    .chunks = box.chunks, .backend = box.backend, .params = box.params, .pool = box.pool};
	struct writer *w = NULL;
	struct err e = ERR_INIT;

	if (writer_open(&cfg, &w, &e))
		fail_msg("%s", e.msg);
	return w;
}

static enum err_code put(struct writer *w, enum pack_kind kind, uint64_t seed, uint32_t len,
			 bool *is_new, struct err *e)
{
	struct object_id id = box_bytes(seed, buf, len);

	return writer_put(w, kind, &id, buf, len, is_new, e);
}

static void must_put(struct writer *w, enum pack_kind kind, uint64_t seed, uint32_t len,
		     bool want_new)
{
	struct err e = ERR_INIT;
	bool is_new = !want_new;

	if (put(w, kind, seed, len, &is_new, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(is_new, want_new);
}

static void must_finish(struct writer *w)
{
	struct err e = ERR_INIT;

	if (writer_finish(w, &e))
		fail_msg("%s", e.msg);
}

static void test_dedup(void **state)
{
	struct writer *w = open_writer();
	struct writer_stats st;

	(void)state;
	must_put(w, PACK_DATA, 1, 1000, true);
	must_put(w, PACK_DATA, 1, 1000, false); /* gathered */
	must_put(w, PACK_TREE, 1, 1000, false); /* whatever its kind */
	must_put(w, PACK_TREE, 2, 500, true);
	must_finish(w);
	must_put(w, PACK_DATA, 1, 1000, false); /* sealed */
	must_put(w, PACK_DATA, 3, 700, true);
	must_finish(w);
	must_finish(w); /* nothing to do */
	writer_stats(w, &st);
	assert_int_equal(st.new_chunks, 3);
	assert_int_equal(st.new_bytes, 2200);
	assert_int_equal(st.known_chunks, 3);
	assert_int_equal(st.known_bytes, 3000);
	assert_int_equal(st.packs, 3);
	assert_int_equal(box_count_packs(&box), 3);
	writer_close(w);
	w = open_writer();
	must_put(w, PACK_DATA, 3, 700, false);
	writer_close(w);
	box_reopen(&box);
	w = open_writer();
	must_put(w, PACK_DATA, 2, 500, false);
	writer_close(w);
	for (uint64_t s = 1; s <= 3; s++)
		assert_int_equal(box_get(&box, s,
					 s == 1	  ? 1000
					 : s == 2 ? 500
						  : 700,
					 NULL),
				 ERR_OK);
	assert_int_equal(box_count_tmp(&box), 0);
	assert_int_equal(box.nr_damages, 0);
}

struct order {
	enum pack_kind kind;
	struct object_id *ids;
	size_t nr;
	struct packtable *tables;
	size_t nr_tables;
};

static enum err_code take_table(void *ctx, const struct object_id *id, struct err *e)
{
	struct order *o = ctx;
	struct packtable t = {0};
	enum err_code rc = pack_read_table(box.backend, id, &t, e);

	assert_int_equal(rc, ERR_OK);
	if (t.kind != o->kind) {
		packtable_release(&t);
		return ERR_OK;
	}
	o->tables = reallocarray(o->tables, o->nr_tables + 1, sizeof(t));
	assert_non_null(o->tables);
	o->tables[o->nr_tables++] = t;
	return ERR_OK;
}

/* Within a pack the chunks stand as they were put; kinds are kept apart; limits are kept. */
static void test_order(void **state)
{
	struct order o = {.kind = PACK_DATA};
	struct writer *w;
	uint32_t nr_data = 0, nr_tree = 0;
	struct err e = ERR_INIT;
	size_t sum = 0;

	(void)state;
	box.params.block_len = 64 << 10;
	box.params.pack_len = 512 << 10;
	w = open_writer();
	o.ids = calloc(3000, sizeof(*o.ids));
	assert_non_null(o.ids);
	srandom(11);
	for (uint64_t s = 0; s < 3000; s++) {
		uint32_t len = 1 + (uint32_t)random() % 5000;

		if (s % 3 == 0) {
			must_put(w, PACK_TREE, 100000 + s, len + 4, true);
			nr_tree++;
		} else {
			o.ids[nr_data++] = box_bytes(s * 2 + 1, buf, len + 16);
			must_put(w, PACK_DATA, s * 2 + 1, len + 16, true);
		}
	}
	must_finish(w);
	writer_close(w);
	assert_int_equal(chunks_each_pack(box.chunks, take_table, &o, &e), ERR_OK);
	assert_true(o.nr_tables > 4);
	for (size_t i = 0; i < o.nr_tables; i++) {
		const struct packtable *t = &o.tables[i];
		size_t from = 0;

		assert_true(t->pack_len < box.params.pack_len + 2 * box.params.block_len + 65536);
		while (from < nr_data && !id_eq(&o.ids[from], &t->chunks[0].id))
			from++;
		for (uint32_t j = 0; j < t->nr_chunks; j++)
			assert_true(from + j < nr_data &&
				    id_eq(&o.ids[from + j], &t->chunks[j].id));
		for (uint32_t j = 0; j + 1 < t->nr_blocks; j++)
			assert_true(t->blocks[j].plain_len >= box.params.block_len / 4 * 3 &&
				    t->blocks[j].plain_len < box.params.block_len + 5016);
		sum += t->nr_chunks;
	}
	assert_int_equal(sum, nr_data);
	for (size_t i = 0; i < o.nr_tables; i++)
		packtable_release(&o.tables[i]);
	free(o.tables);
	free(o.ids);
	assert_true(nr_tree > 0);
}

static void test_sizes(void **state)
{
	static const uint32_t lens[] = {1,	 2,	  100,	  255 << 10, 1 << 20, (1 << 20) - 1,
					3 << 20, 8 << 20, 900000, 70000,     8 << 20, 5};
	struct writer *w = open_writer();
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++)
		must_put(w, PACK_DATA, 1000 + i, lens[i], true);
	for (uint64_t s = 0; s < 20000; s++)
		must_put(w, PACK_DATA, 100001 + 2 * s, 20, true);
	assert_int_equal(put(w, PACK_DATA, 5, CHUNK_LEN_MAX + 1, NULL, &e), ERR_LIMIT);
	assert_int_equal(put(w, PACK_DATA, 5, 0, NULL, &e), ERR_LIMIT);
	must_finish(w);
	writer_close(w);
	box_reopen(&box);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++)
		assert_int_equal(box_get(&box, 1000 + i, lens[i], NULL), ERR_OK);
	for (uint64_t s = 0; s < 20000; s += 7)
		assert_int_equal(box_get(&box, 100001 + 2 * s, 20, NULL), ERR_OK);
}

/* However small they are, a pack has not more of them than what seals it can hold in memory. */
static void test_small_chunks(void **state)
{
	const uint64_t nr = (1 << 16) + 8000, most = (1 << 16) + 4096;	/* a block ends with 4096 */
	struct order o = {.kind = PACK_DATA};
	struct writer *w = open_writer();
	struct err e = ERR_INIT;

	(void)state;
	for (uint64_t s = 0; s < nr; s++)
		must_put(w, PACK_DATA, 1 + 2 * s, 20, true);
	must_finish(w);
	writer_close(w);
	assert_int_equal(chunks_each_pack(box.chunks, take_table, &o, &e), ERR_OK);
	assert_int_equal(o.nr_tables, 2);
	assert_int_equal(o.tables[0].nr_chunks + o.tables[1].nr_chunks, nr);
	assert_in_range(o.tables[0].nr_chunks, 1, most);
	assert_in_range(o.tables[1].nr_chunks, 1, most);
	for (size_t i = 0; i < o.nr_tables; i++)
		packtable_release(&o.tables[i]);
	free(o.tables);
}

/* Closed without finish: what was sealed stays, nothing else is left, not even in tmp/. */
static void test_close_unfinished(void **state)
{
	struct writer *w = open_writer();

	(void)state;
	writer_close(NULL);
	must_put(w, PACK_DATA, 1, 1000, true);
	must_finish(w);
	for (uint64_t s = 10; s < 200; s++)
		must_put(w, PACK_DATA, 1 + 2 * s, 30000, true);
	writer_close(w);
	assert_int_equal(box_count_packs(&box), 1);
	assert_int_equal(box_count_tmp(&box), 0);
	assert_int_equal(box_get(&box, 1, 1000, NULL), ERR_OK);
}

/* Call n of the medium fails, for n = 1, 2, ...: the error is told and stays, what was finished
 * before is whole. */
static void test_write_errors(void **state)
{
	unsigned n = 0, fired = 0;

	(void)state;
	box.params.block_len = 16 << 10;
	box.params.pack_len = 64 << 10;
	for (;;) {
		struct writer *w = open_writer();
		struct err e = ERR_INIT, again = ERR_INIT;
		enum err_code rc = ERR_OK;
		uint64_t base = 100000 * (n + 1);

		must_put(w, PACK_DATA, base, 1000, true);
		must_finish(w);
		n++;
		faulty_set(box.backend, FAULTY_WRITES, n, n % 2, ERR_IO, ENOSPC);
		for (uint64_t s = 1; s <= 100 && !rc; s++)
			rc = put(w, s % 4 ? PACK_DATA : PACK_TREE, base + 2 * s + 1, 4000, NULL, &e);
		if (!rc)
			rc = writer_finish(w, &e);
		if (rc) {
			assert_int_equal(rc, ERR_IO);
			assert_int_equal(e.sys, ENOSPC);
			assert_int_equal(put(w, PACK_DATA, base + 99, 10, NULL, &again), ERR_IO);
			assert_string_equal(again.msg, e.msg);
			assert_int_equal(writer_finish(w, &again), ERR_IO);
			assert_int_equal(again.sys, ENOSPC);
		}
		fired += rc != ERR_OK;
		assert_int_equal(rc != ERR_OK, faulty_fired(box.backend));
		writer_close(w);
		faulty_set(box.backend, 0, 0, false, ERR_OK, 0);
		assert_int_equal(box_count_tmp(&box), 0);
		box_reopen(&box);
		assert_int_equal(box_get(&box, base, 1000, NULL), ERR_OK);
		for (uint64_t s = 1; s <= 100; s++) {
			enum err_code got = box_get(&box, base + 2 * s + 1, 4000, NULL);

			assert_true(got == ERR_OK || (rc && got == ERR_NOT_FOUND));
		}
		if (!rc)
			break;
	}
	assert_true(fired > 10);
}

/* What one session lost the next stores, and what it sealed is not stored again. */
static void test_resume(void **state)
{
	struct writer *w;
	struct err e = ERR_INIT;
	struct writer_stats st;
	enum err_code rc = ERR_OK;

	(void)state;
	box.params.block_len = 16 << 10;
	box.params.pack_len = 64 << 10;
	w = open_writer();
	faulty_set(box.backend, FAULTY_WRITES, 12, true, ERR_IO, ENOSPC);
	for (uint64_t s = 1; s <= 100 && !rc; s++)
		rc = put(w, PACK_DATA, 2 * s + 1, 4000, NULL, &e);
	if (!rc)
		rc = writer_finish(w, &e);
	assert_int_equal(rc, ERR_IO);
	writer_close(w);
	faulty_set(box.backend, 0, 0, false, ERR_OK, 0);
	box_reopen(&box);
	w = open_writer();
	for (uint64_t s = 1; s <= 100; s++)
		assert_int_equal(put(w, PACK_DATA, 2 * s + 1, 4000, NULL, &e), ERR_OK);
	must_finish(w);
	writer_stats(w, &st);
	assert_true(st.known_chunks > 0 && st.new_chunks > 0);
	assert_int_equal(st.known_chunks + st.new_chunks, 100);
	writer_close(w);
	for (uint64_t s = 1; s <= 100; s++)
		assert_int_equal(box_get(&box, 2 * s + 1, 4000, NULL), ERR_OK);
}

#define T(f)                                                                                       \
	{                                                                                          \
#f, f, setup, teardown, NULL                                                       \
	}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(test_dedup),	  T(test_order),  T(test_sizes), T(test_small_chunks), T(test_close_unfinished),
	    T(test_write_errors), T(test_resume),
	};

	return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
