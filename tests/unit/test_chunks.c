/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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
#include <sqlite3.h>

#include "store/base/checked.h"
#include "store/engine/pack.h"
#include "tests/lib/chunkbox.h"
#include "tests/lib/faulty_backend.h"

#define LEN 50000u
#define NR  100u

static struct box box;
static struct object_id pack_a, pack_b;
static uint64_t seeds_a[NR], seeds_b[NR];

/* Two packs: 1..100 and 101..200; odd seeds do not compress. */
static int setup(void **state)
{
	(void)state;
	box_make(&box);
	for (unsigned i = 0; i < NR; i++) {
		seeds_a[i] = 1 + i;
		seeds_b[i] = 101 + i;
	}
	pack_a = box_pack(&box, seeds_a, NR, LEN);
	pack_b = box_pack(&box, seeds_b, NR, LEN);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	box_remove(&box);
	return 0;
}

static void assert_all(void)
{
	struct err e = ERR_INIT;

	for (uint64_t s = 1; s <= 2 * NR; s++)
		if (box_get(&box, s, LEN, &e))
			fail_msg("chunk %llu: %s", (unsigned long long)s, e.msg);
}

static bool have(uint64_t seed)
{
	uint8_t *buf = malloc(LEN);
	struct object_id id;
	uint32_t len = 0;
	bool yes = false;

	assert_non_null(buf);
	id = box_bytes(seed, buf, LEN);
	free(buf);
	assert_int_equal(chunks_have(box.chunks, &id, &yes, &len, NULL), ERR_OK);
	if (yes)
		assert_int_equal(len, LEN);
	return yes;
}

static uint64_t file_len(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

static void patch(const struct object_id *pack, uint64_t off, uint8_t xor)
{
	char path[192];
	uint8_t c;
	int fd;

	box_pack_path(&box, pack, path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, (off_t)off), 1);
	c ^= xor;
	assert_int_equal(pwrite(fd, &c, 1, (off_t)off), 1);
	assert_int_equal(close(fd), 0);
}

static void test_put_get(void **state)
{
	struct chunks_stats st;

	(void)state;
	assert_all();
	assert_true(have(1));
	assert_true(have(200));
	assert_false(have(201));
	chunks_stats(box.chunks, &st);
	assert_int_equal(st.packs, 2);
	assert_int_equal(st.chunks, 200);
	assert_int_equal(st.bytes_checked, 200 * LEN);
	assert_int_equal(st.damaged, 0);
	assert_true(st.blocks_read >= 2 && st.bytes_read > 0);
	assert_int_equal(box_get(&box, 999, LEN, NULL), ERR_NOT_FOUND);
	assert_int_equal(box.nr_damages, 1);
	assert_true(box.damages[0].missing);
	assert_int_equal(box_get(&box, 999, LEN, NULL), ERR_NOT_FOUND);
	assert_int_equal(box.nr_damages, 1);
	box_reopen(&box);
	assert_all();
}

/* Whatever lies in place of the index, every chunk is found. */
enum { REMOVE, GARBAGE, EMPTY, FOLDER, TEXT, SQL };
static const struct row {
	const char *name;
	int what;
	const char *sql;
} rows[] = {
    {"index deleted", REMOVE, NULL},
    {"index garbage", GARBAGE, NULL},
    {"index empty", EMPTY, NULL},
    {"index a folder", FOLDER, NULL},
    {"no rows at all", SQL, "DELETE FROM packs; DELETE FROM recent; DELETE FROM pages"},
    {"packs known, chunks not", SQL, "DELETE FROM recent; DELETE FROM pages"},
    {"one pack's chunks missing", SQL, "DELETE FROM recent WHERE pack = 2"},
    {"packs swapped", SQL, "UPDATE recent SET pack = 3 - pack"},
    {"numbers swapped", SQL,
     "UPDATE packs SET no = 9 WHERE no = 1; UPDATE packs SET no = 1 WHERE no = 2;"
     "UPDATE packs SET no = 2 WHERE no = 9"},
    {"blocks wrong", SQL, "UPDATE recent SET block = 60000"},
    {"blocks shifted", SQL, "UPDATE recent SET block = block + 1"},
    {"pack that never was", SQL, "UPDATE recent SET pack = 77"},
    {"pack that is not here", SQL,
     "INSERT INTO packs VALUES(5, randomblob(32), 1, 100, 1);"
     "UPDATE recent SET pack = 5"},
    {"many wrong hits", SQL,
     "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT 50)"
     "INSERT OR IGNORE INTO recent SELECT key, 1, 1000 + i FROM recent, n"},
    {"another schema", SQL, "CREATE TABLE zz(a)"},
    {"row of nonsense", SQL, "UPDATE packs SET kind = 9"},
    {"same pack, wrong length", SQL, "UPDATE packs SET len = 1, chunks = 1"},
};

static void test_index(void **state)
{
	const struct row *t = *state;
	FILE *f;

	box_close(&box);
	if (t->what == SQL) {
		box_sql(&box, t->sql);
	} else {
		assert_int_equal(unlink(box.index), 0);
		if (t->what == FOLDER) {
			assert_int_equal(mkdir(box.index, 0700), 0);
		} else if (t->what != REMOVE) {
			f = fopen(box.index, "w");
			assert_non_null(f);
			if (t->what == GARBAGE)
				for (int i = 0; i < 9999; i++)
					fputs("garbage ", f);
			assert_int_equal(fclose(f), 0);
		}
	}
	box_open(&box);
	assert_all();
	assert_true(have(1) && have(200) && !have(201));
	assert_int_equal(box.nr_damages, 0);
	box_reopen(&box);
	assert_all();
}

static void test_read_only_index(void **state)
{
	struct chunks_config cfg = {
	    .backend = box.backend, .index_path = box.index, .index_read_only = true};
	struct stat before, after;
	struct err e = ERR_INIT;

	(void)state;
	cfg.repo_id[0] = 0xb0;
	cfg.repo_id[1] = 0x0b;
	box_close(&box);
	assert_int_equal(stat(box.index, &before), 0);
	for (int round = 0; round < 3; round++) {
		if (round == 1) /* stale: not to be mended */
			box_sql(&box, "DELETE FROM packs WHERE no = 1");
		if (round == 2)
			assert_int_equal(unlink(box.index), 0);
		if (round < 2)
			assert_int_equal(stat(box.index, &before), 0);
		assert_int_equal(chunks_open(&cfg, &box.chunks, &e), ERR_OK);
		assert_all();
		assert_false(have(201));
		box_close(&box);
		if (round < 2) {
			assert_int_equal(stat(box.index, &after), 0);
			assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
			assert_int_equal(before.st_size, after.st_size);
		} else {
			assert_int_equal(access(box.index, F_OK), -1);
		}
	}
}

/* A pack goes: its chunks are missing, the others fine; it comes back: all is well again. */
static void test_pack_comes_and_goes(void **state)
{
	char path[192], aside[224];
	struct err e = ERR_INIT;

	(void)state;
	box_pack_path(&box, &pack_a, path);
	(void)snprintf(aside, sizeof(aside), "%s.aside", path);
	assert_int_equal(rename(path, aside), 0);
	box_reopen(&box);
	assert_int_equal(box_get(&box, 1, LEN, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "is in no pack"));
	assert_false(have(1));
	assert_int_equal(box_get(&box, 101, LEN, NULL), ERR_OK);
	assert_int_equal(rename(aside, path), 0);
	assert_int_equal(chunks_refresh(box.chunks, &e), ERR_OK);
	assert_all();
	assert_true(have(1));

	/* Gone while it is open: found out when it is read. */
	box_reopen(&box);
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(box_get(&box, 1, LEN, &e), ERR_NOT_FOUND);
	assert_int_equal(rename(aside, path), 0);
	assert_int_equal(box_get(&box, 2, LEN, &e), ERR_OK);
}

/* A pack of another process is found without being told of. */
static void test_pack_of_another(void **state)
{
	static struct box other;
	const uint64_t seeds[] = {301, 302, 303};

	(void)state;
	other = box;
	other.chunks = NULL;
	box_open(&other);
	(void)box_pack(&other, seeds, 3, LEN);
	assert_int_equal(box_get(&box, 302, LEN, NULL), ERR_OK);
	assert_true(have(303));
	box_close(&other);
}

/* Cut at several lengths: what is there may be served, the rest is said to be incomplete. */
static void test_truncated(void **state)
{
	char path[192];
	uint64_t len;
	struct err e = ERR_INIT;
	unsigned served;

	(void)state;
	box_pack_path(&box, &pack_a, path);
	len = file_len(path);
	for (int keep = 9; keep >= 0; keep--) {
		assert_int_equal(truncate(path, (off_t)(len * (unsigned)keep / 10)), 0);
		if (keep % 2) /* with an index that knows, and one that does not */
			assert_int_equal(unlink(box.index), 0);
		box_reopen(&box);
		served = 0;
		for (uint64_t s = 1; s <= NR; s++) {
			enum err_code rc = box_get(&box, s, LEN, &e);

			if (rc && rc != ERR_INCOMPLETE)
				fail_msg("%u of 10 kept: %s", (unsigned)keep, e.msg);
			served += rc == ERR_OK;
			assert_int_equal(have(s), rc == ERR_OK);
		}
		assert_true(served < NR);
		if (keep == 9)
			assert_true(served > NR / 2);
		for (uint64_t s = NR + 1; s <= 2 * NR; s++)
			assert_int_equal(box_get(&box, s, LEN, &e), ERR_OK);
	}
	assert_non_null(strstr(e.msg, ""));
}

static bool in_block(const struct packtable *t, uint32_t block, uint64_t seed)
{
	uint8_t *buf = malloc(LEN);
	struct object_id id = box_bytes(seed, buf, LEN);
	bool in = false;

	for (uint32_t i = 0; i < t->blocks[block].nr_chunks; i++)
		in |= id_eq(&t->chunks[t->blocks[block].first_chunk + i].id, &id);
	free(buf);
	return in;
}

/* A bit flipped in each part of a compressed block: one in its header hurts nothing, since the table has it too; one
 * in its frame hurts the chunks from there on, each reported once with its place; others are fine. */
static void test_bit_flips(void **state)
{
	struct packtable t = {0};
	struct err e = ERR_INIT;
	char hex[ID_HEX_LEN + 1];

	(void)state;
	assert_int_equal(pack_read_table(box.backend, &pack_a, &t, &e), ERR_OK);
	assert_true(t.nr_blocks >= 3);
	id_hex(&pack_a, hex);
	hex[12] = '\0';
	for (uint32_t part = 0; part < 4; part++) {
		const struct table_block *b = &t.blocks[1];
		size_t head = block_header_len(b->nr_chunks);
		uint64_t at = b->off + (part == 0   ? 20
					: part == 1 ? head - 4
					: part == 2 ? head + 2
						    : head + b->stored_len / 2);

		patch(&pack_a, at, 0x10);
		box_reopen(&box);
		unsigned nr_hurt = 0;

		box.nr_damages = 0;
		for (int round = 0; round < 2; round++) {
			unsigned hurt = 0;

			for (uint64_t s = 1; s <= 2 * NR; s++) {
				enum err_code rc = box_get(&box, s, LEN, &e);

				if (rc == ERR_OK)
					continue;
				assert_int_equal(rc, ERR_CORRUPT);
				assert_true(s <= NR && in_block(&t, 1, s));
				assert_non_null(strstr(e.msg, hex));
				hurt++;
			}
			if (part == 3)
				assert_in_range(hurt, 1, b->nr_chunks);
			else
				assert_int_equal(hurt, part == 2 ? b->nr_chunks : 0);
			if (round == 0)
				assert_int_equal(box.nr_damages, 1 + hurt);
			nr_hurt = hurt;
		}
		/* the block, and each chunk that is lost of it; each once */
		assert_int_equal(box.nr_damages, 1 + nr_hurt);
		assert_true(box.damages[0].block);
		if (nr_hurt) {
			assert_true(id_eq(&box.damages[0].pack, &pack_a));
			assert_int_equal(box.damages[0].off, b->off);
			assert_false(box.damages[0].missing);
		}
		patch(&pack_a, at, 0x10);
	}
	packtable_release(&t);
}

/* The table and footer flipped everywhere: blocks tell what they are. */
static void test_table_damaged(void **state)
{
	struct err e = ERR_INIT;
	char path[192];
	uint64_t len;

	(void)state;
	box_pack_path(&box, &pack_a, path);
	len = file_len(path);
	for (uint64_t back = 1; back < 3600; back += back < 40 ? 1 : 313) {
		patch(&pack_a, len - back, 0x01);
		if (back % 2)
			assert_int_equal(unlink(box.index), 0);
		box_reopen(&box);
		if (box_get(&box, 1, LEN, &e))
			fail_msg("%llu from the end: %s", (unsigned long long)back, e.msg);
		if (box_get(&box, NR, LEN, &e))
			fail_msg("%llu from the end: %s", (unsigned long long)back, e.msg);
		assert_int_equal(box_get(&box, NR + 1, LEN, NULL), ERR_OK);
		patch(&pack_a, len - back, 0x01);
	}
	box_reopen(&box);
	assert_all();
}

/* The same chunk in two packs: where one copy is damaged the other is served, and nothing is
 * reported. */
static void test_second_copy(void **state)
{
	struct packtable t = {0};
	uint64_t again[NR];
	struct err e = ERR_INIT;
	char path[192], aside[224];

	(void)state;
	/* A second pack of the same chunks, in another order: written while the first is away. */
	box_pack_path(&box, &pack_a, path);
	(void)snprintf(aside, sizeof(aside), "%s.aside", path);
	assert_int_equal(rename(path, aside), 0);
	box_reopen(&box);
	for (unsigned i = 0; i < NR; i++)
		again[i] = NR - i;
	(void)box_pack(&box, again, NR, LEN);
	assert_int_equal(rename(aside, path), 0);
	assert_int_equal(pack_read_table(box.backend, &pack_a, &t, &e), ERR_OK);
	for (uint32_t i = 0; i < t.nr_blocks; i++)
		patch(&pack_a, t.blocks[i].off + block_header_len(t.blocks[i].nr_chunks) + 100,
		      0x80);
	packtable_release(&t);
	for (int round = 0; round < 2; round++) {
		box_reopen(&box);
		assert_all();
		for (unsigned i = 0; i < box.nr_damages; i++)
			assert_true(box.damages[i].block);	/* no chunk is lost */
		assert_int_equal(unlink(box.index), 0);
	}
}

/* A pack that is nothing but noise: its chunks are missing or corrupt, the rest is served. */
static void test_noise(void **state)
{
	char path[192];
	struct err e = ERR_INIT;
	FILE *f;

	(void)state;
	box_pack_path(&box, &pack_a, path);
	f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 0; i < 100000; i++)
		fputc(i * 7, f);
	assert_int_equal(fclose(f), 0);
	for (int round = 0; round < 2; round++) {
		enum err_code rc;

		box_reopen(&box);
		rc = box_get(&box, 1, LEN, &e);
		assert_true(rc == ERR_CORRUPT || rc == ERR_INCOMPLETE);
		assert_int_equal(box_get(&box, NR + 1, LEN, NULL), ERR_OK);
		assert_int_equal(unlink(box.index), 0);
	}
}

static void test_drive_pulled(void **state)
{
	struct chunks_stats st;
	struct err e = ERR_INIT;

	(void)state;
	box_reopen(&box);
	faulty_set(box.backend, FAULTY_READS, 1, true, ERR_ABSENT, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(box_get(&box, 1, LEN, &e), ERR_ABSENT);
	assert_int_equal(chunks_refresh(box.chunks, &e), ERR_ABSENT);
	faulty_set(box.backend, 0, 0, false, ERR_OK, 0);
	assert_int_equal(box.nr_damages, 0);
	chunks_stats(box.chunks, &st);
	assert_int_equal(st.packs, 2);
	assert_all();
}

/* Each read of the medium fails once: an error or the right bytes, and all is well afterwards. */
static void test_read_errors(void **state)
{
	struct err e = ERR_INIT;
	unsigned n = 0;
	enum err_code rc;

	(void)state;
	do {
		box_reopen(&box);
		faulty_set(box.backend, FAULTY_READS, ++n, false, ERR_IO, EIO);
		rc = box_get(&box, 1, LEN, &e);
		assert_true(rc == ERR_OK || rc == ERR_IO);
		rc = box_get(&box, 999, LEN, &e);
		assert_true(rc == ERR_NOT_FOUND || rc == ERR_IO);
		if (!faulty_fired(box.backend))
			break;
		faulty_set(box.backend, 0, 0, false, ERR_OK, 0);
		assert_all();
	} while (n < 100);
	assert_true(n > 3 && n < 100);
	faulty_set(box.backend, 0, 0, false, ERR_OK, 0);
}

/* Another process holds the index's lock for longer than anybody waits: chunks are found all the
 * same. */
static void test_index_locked(void **state)
{
	const uint64_t seeds[] = {301};
	sqlite3 *db;

	(void)state;
	if (!getenv("VOUCH_SLOW_TESTS"))
		skip(); /* waits four times 10 s */
	box_close(&box);
	assert_int_equal(sqlite3_open(box.index, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	box_open(&box);
	assert_all();
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	box_reopen(&box);
	assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	(void)box_pack(&box, seeds, 1, LEN);
	assert_int_equal(box_get(&box, 301, LEN, NULL), ERR_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(chunks_refresh(box.chunks, NULL), ERR_OK);
	assert_all();
}

struct reader {
	uint64_t seed;
	bool missing;
};

static void *read_many(void *arg)
{
	struct reader *r = arg;
	uint64_t x = r->seed;

	for (int i = 0; i < 400; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		assert_int_equal(box_get(&box, 1 + (x >> 33) % (2 * NR), LEN, NULL), ERR_OK);
		if (i % 50 == 0)
			assert_int_equal(chunks_refresh(box.chunks, NULL), ERR_OK);
		if (r->missing && i % 100 == 0)
			assert_int_equal(box_get(&box, 1000 + x % 50, LEN, NULL), ERR_NOT_FOUND);
	}
	return NULL;
}

/* With threads that load ahead: the same bytes, the same damage told of once, and no block read twice. */
static void test_prefetch(void **state)
{
	struct packtable t = {0}, t2 = {0};
	struct chunks_stats st;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(pack_read_table(box.backend, &pack_a, &t, &e), ERR_OK);
	assert_int_equal(pack_read_table(box.backend, &pack_b, &t2, &e), ERR_OK);
	box_reopen(&box);
	assert_int_equal(chunks_prefetch(box.chunks, 2, &e), ERR_OK);
	assert_all();
	chunks_stats(box.chunks, &st);
	assert_int_equal(st.blocks_read, t.nr_blocks + t2.nr_blocks);

	const struct table_block *b = &t.blocks[t.nr_blocks - 1];
	uint64_t at = b->off + block_header_len(b->nr_chunks) + b->stored_len / 2;

	patch(&pack_a, at, 0x10);
	for (int round = 0; round < 20; round++) {
		unsigned hurt = 0;

		box_reopen(&box);
		box.nr_damages = 0;
		assert_int_equal(chunks_prefetch(box.chunks, 2, &e), ERR_OK);
		for (uint64_t s = 1; s <= 2 * NR; s++) {
			enum err_code rc = box_get(&box, s, LEN, &e);

			assert_true(rc == ERR_OK || (rc == ERR_CORRUPT && in_block(&t, t.nr_blocks - 1, s)));
			hurt += rc != ERR_OK;
		}
		assert_true(hurt > 0);
		assert_int_equal(box.nr_damages, 1 + hurt);
	}
	patch(&pack_a, at, 0x10);
	box_reopen(&box);
	packtable_release(&t);
	packtable_release(&t2);
}

/* Readers, a writer and a rotten index at once. */
static void test_concurrent(void **state)
{
	struct reader r[4] = {{1, false}, {2, true}, {3, false}, {4, true}};
	const uint64_t seeds[] = {401, 402, 403, 404};
	pthread_t th[4];

	(void)state;
	box_close(&box);
	box_sql(&box, "DELETE FROM recent WHERE pack = 2");
	box_open(&box);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&th[i], NULL, read_many, &r[i]), 0);
	(void)box_pack(&box, seeds, 4, LEN);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(th[i], NULL), 0);
	assert_all();
	assert_int_equal(box_get(&box, 404, LEN, NULL), ERR_OK);
}

/* What lies behind a chunk that was found is known without the index, while the pack is here. */
static void test_beside(void **state)
{
	char path[192], aside[224];

	(void)state;
	assert_true(have(1));
	box_sql(&box, "DELETE FROM pages; DELETE FROM recent");
	for (uint64_t s = 2; s <= NR; s++)
		assert_true(have(s));
	assert_true(have(NR)); /* the same again */
	assert_false(have(1)); /* not behind it: only the index could tell */
	box_pack_path(&box, &pack_a, path);
	(void)snprintf(aside, sizeof(aside), "%s.aside", path);
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(chunks_refresh(box.chunks, NULL), ERR_OK);
	assert_false(have(NR));
	assert_int_equal(rename(aside, path), 0);
}

/* More misses than a filter is worth: what is there is still found, what is not still is not. */
static void test_filter(void **state)
{
	const uint64_t seeds[] = {5001, 5002};

	(void)state;
	for (uint64_t s = 1000; s < 1400; s++)
		assert_false(have(s));
	(void)box_pack(&box, seeds, 2, LEN);
	assert_true(have(5001) && have(5002) && have(1) && have(200));
	assert_false(have(5003));
	assert_int_equal(box_get(&box, 5003, LEN, NULL), ERR_NOT_FOUND);
	assert_int_equal(box_get(&box, 5004, LEN, NULL), ERR_NOT_FOUND);
	assert_all();
}

/* Fresh: what was given out once is read again; what else its block held need not be, for a moment. */
static void test_fresh(void **state)
{
	struct chunks_stats before, after;
	struct packtable t = {0};
	struct err e = ERR_INIT;

	(void)state;
	assert_all();
	chunks_set_fresh(box.chunks);
	chunks_stats(box.chunks, &before);
	assert_all();
	chunks_stats(box.chunks, &after);
	assert_int_equal(pack_read_table(box.backend, &pack_a, &t, &e), ERR_OK);
	assert_true(after.blocks_read - before.blocks_read >= t.nr_blocks);
	assert_true(after.blocks_read - before.blocks_read < 2 * NR);	/* not one a chunk */
	assert_int_equal(box_get(&box, 1, LEN, &e), ERR_OK);
	for (uint32_t i = 0; i < t.nr_blocks; i++)
		patch(&pack_a, t.blocks[i].off + block_header_len(t.blocks[i].nr_chunks) + 100,
		      0x80);
	assert_int_equal(box_get(&box, 1, LEN, &e), ERR_CORRUPT);
	assert_int_equal(box_get(&box, 101, LEN, &e), ERR_OK);
	for (uint32_t i = 0; i < t.nr_blocks; i++)
		patch(&pack_a, t.blocks[i].off + block_header_len(t.blocks[i].nr_chunks) + 100,
		      0x80);
	assert_all();
	packtable_release(&t);
}

#define T(f)                                                                                       \
	{                                                                                          \
#f, f, setup, teardown, NULL                                                       \
	}

int main(void)
{
	static const struct CMUnitTest fixed[] = {
	    T(test_put_get),	 T(test_read_only_index), T(test_pack_comes_and_goes),
	    T(test_truncated),	 T(test_pack_of_another), T(test_bit_flips),
	    T(test_second_copy), T(test_table_damaged),	  T(test_noise),
	    T(test_read_errors), T(test_drive_pulled),	  T(test_concurrent),
	    T(test_filter), T(test_beside),	 T(test_index_locked), T(test_fresh),
	    T(test_prefetch),
	};
	struct CMUnitTest tests[ARRAY_LEN(fixed) + ARRAY_LEN(rows)];

	memcpy(tests, fixed, sizeof(fixed));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[ARRAY_LEN(fixed) + i] = (struct CMUnitTest){
		    rows[i].name, test_index, setup, teardown, (void *)(uintptr_t)&rows[i]};
	return cmocka_run_group_tests_name("chunks", tests, NULL, NULL);
}
