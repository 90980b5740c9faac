/* SPDX-License-Identifier: MIT */
/* The ledger of damage: what is noted, by whom, and until when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/damage_internal.h"
#include "store/engine/pack.h"
#include "store/format/block.h"
#include "tests/lib/testrepo.h"

static struct testrepo repo;

static int make(void **state)
{
	(void)state;
	testrepo_make(&repo);
	testrepo_open(&repo, STORE_WRITE);
	return 0;
}

static int drop(void **state)
{
	(void)state;
	testrepo_remove(&repo);
	return 0;
}

static struct object_id id(uint8_t n)
{
	struct object_id x = { .b = { n, 1, 2, n } };

	return x;
}

static void note(uint8_t chunk, uint8_t pack, uint64_t off)
{
	struct damage d = { .off = off };

	if (chunk)
		d.chunk = id(chunk);
	if (pack)
		d.pack = id(pack);
	damage_note(repo.s, &d);
}

static enum err_code add(void *ctx, const struct damage *d, struct err *e)
{
	char *text = ctx;
	size_t len = strlen(text);

	(void)e;
	(void)snprintf(text + len, 200 - len, "%u/%u/%u ", d->chunk.b[0], d->pack.b[0],
		       (unsigned)d->off);
	return ERR_OK;
}

static void is_known(const char *want)
{
	char text[200] = "";

	OK(damage_each(repo.s, add, text, &ok_err));
	assert_string_equal(text, want);
}

static enum err_code count_line(void *ctx, const struct runlog_line *l, struct err *e)
{
	(void)l;
	(void)e;
	++*(unsigned *)ctx;
	return ERR_OK;
}

static unsigned logged(const char *event)
{
	unsigned n = 0;

	OK(runlog_each(repo.s, event, count_line, &n, &ok_err));
	return n;
}

static void test_noted_once(void **state)
{
	(void)state;
	note(1, 9, 72);
	note(2, 9, 72);
	note(1, 9, 72);
	note(3, 0, 0);
	note(0, 8, 0);
	assert_int_equal(logged("damage"), 0);	/* not before it is flushed */
	is_known("3/0/0 0/8/0 1/9/72 2/9/72 ");
	assert_int_equal(logged("damage"), 1);
	note(2, 9, 72);
	testrepo_close(&repo);			/* flushes */
	testrepo_open(&repo, STORE_READ);
	assert_int_equal(logged("damage"), 1);
	note(1, 9, 72);				/* another process finds the same, and more */
	note(4, 9, 99);
	damage_flush(repo.s);
	assert_int_equal(logged("damage"), 2);
	is_known("3/0/0 0/8/0 1/9/72 2/9/72 4/9/99 ");
}

static void test_mended(void **state)
{
	const struct object_id pack = id(9), chunk = id(3), other = id(77);

	(void)state;
	note(1, 9, 72);
	note(0, 9, 72);
	note(3, 8, 72);
	note(4, 8, 72);
	damage_flush(repo.s);
	mended_note_pack(repo.s, &pack);
	mended_note_chunk(repo.s, &chunk);
	mended_note_pack(repo.s, &other);	/* never noted */
	is_known("4/8/72 ");
	assert_int_equal(logged("mended"), 1);
	mended_note_pack(repo.s, &pack);	/* once is enough */
	is_known("4/8/72 ");
	assert_int_equal(logged("mended"), 1);
	note(1, 9, 72);				/* again */
	is_known("4/8/72 1/9/72 ");
	OK(damage_learn(repo.s, &ok_err));
	mended_note_pack(repo.s, &other);
	mended_note_pack(repo.s, &pack);
	is_known("4/8/72 ");
}

/* What somebody else wrote. */
static void test_strange_lines(void **state)
{
	static const char *const bad[] = {
		"", "-", "- -", "- - 5", "- - ", "x y 5", "12 - 5",
	};
	char hex[ID_HEX_LEN + 1], line[400];
	const struct object_id one = id(1);

	(void)state;
	id_hex(&one, hex);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(line, sizeof(line), "\"places\":[\"%s\",5,null,\"%s - -1\",\"%s -  1\"]",
			       bad[i], hex, hex);
		OK(runlog_append(repo.s, "damage", line, &ok_err));
	}
	OK(runlog_append(repo.s, "damage", "\"places\":7", &ok_err));
	OK(runlog_append(repo.s, "mended", "\"chunks\":[\"abc\",null],\"packs\":{}", &ok_err));
	is_known("");
	(void)snprintf(line, sizeof(line), "\"places\":[\"%s - 0\"]", hex);
	OK(runlog_append(repo.s, "damage", line, &ok_err));
	is_known("1/0/0 ");
}

/* More than are kept. */
static void test_bounded(void **state)
{
	unsigned nr = 0;

	(void)state;
	for (uint32_t i = 0; i < DAMAGE_NOTED_MAX + 100; i++) {
		struct damage d = { .pack = id(1), .off = 1 };

		memcpy(d.chunk.b + 8, &i, sizeof(i));
		d.chunk.b[0] = (uint8_t)(i >> 8);
		d.chunk.b[1] = 1;
		damage_note(repo.s, &d);
	}
	damage_flush(repo.s);
	nr = logged("damage");
	assert_int_equal(nr, DAMAGE_NOTED_MAX / 256);
}

static enum err_code spoil(void *ctx, const struct object_id *id_of, struct err *e)
{
	char name[PACK_NAME_LEN + 1];
	struct packtable t = { 0 };

	OK(pack_read_table(repo.s->backend, id_of, &t, e));
	pack_name(id_of, name);
	if (id_eq(&t.chunks[0].id, ctx))
		testrepo_flip(&repo, name, t.blocks[0].off + block_header_len(1) + 1500, 3);
	packtable_release(&t);
	return ERR_OK;
}

/* A chunk in doubt is stored anew where it is damaged, and not where it is whole. */
static void test_doubt(void **state)
{
	struct object_id ids[2];
	char text[3000];
	bool have;

	(void)state;
	for (uint64_t i = 0; i < 2; i++) {
		uint64_t seed = i + 1;

		for (size_t n = 0; n < sizeof(text); n++)	/* so that zstd cannot make it smaller */
			text[n] = (char)test_random(&seed);
		testrepo_put(&repo, i ? PACK_TREE : PACK_DATA, text, sizeof(text), &ids[i]);
	}
	testrepo_finish(&repo);
	OK(chunks_each_pack(repo.s->chunks, spoil, &ids[1], &ok_err));
	OK(chunks_doubt(repo.s->chunks, ids, 2, &ok_err));
	for (int i = 0; i < 2; i++) {
		assert_true(chunks_doubted(repo.s->chunks, &ids[i]));
		have = i == 1;
		OK(chunks_have(repo.s->chunks, &ids[i], &have, NULL, &ok_err));
		assert_true(have == (i == 0));
		assert_true(chunks_doubted(repo.s->chunks, &ids[i]) == (i == 1));
	}
	assert_int_equal(repo.damages, 1);	/* the block; the chunk was known */
	testrepo_put(&repo, PACK_TREE, "another", 7, &ids[0]);
	testrepo_put(&repo, PACK_TREE, text, sizeof(text), &ids[1]);
	testrepo_finish(&repo);
	assert_false(chunks_doubted(repo.s->chunks, &ids[1]));
	OK(chunks_have(repo.s->chunks, &ids[1], &have, NULL, &ok_err));
	assert_true(have);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_noted_once, make, drop),
		cmocka_unit_test_setup_teardown(test_mended, make, drop),
		cmocka_unit_test_setup_teardown(test_strange_lines, make, drop),
		cmocka_unit_test_setup_teardown(test_bounded, make, drop),
		cmocka_unit_test_setup_teardown(test_doubt, make, drop),
	};

	return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
