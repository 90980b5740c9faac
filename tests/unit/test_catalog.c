/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "store/engine/catalog.h"
#include "store/format/limits.h"

static const uint8_t repo[16] = {1, 2, 3}, other_repo[16] = {9};
static char dir[64], path[96], journal[128];

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%.40s/catalog.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/index.db", dir);
	(void)snprintf(journal, sizeof(journal), "%s-journal", path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)chmod(dir, 0700);
	(void)unlink(path);
	(void)rmdir(path);
	(void)unlink(journal);
	(void)unlink("index.db-wal");
	return rmdir(dir);
}

/* A table of nr_blocks blocks with 3 chunks each; ids are spread by seed. */
static void make_table(uint64_t seed, uint32_t nr_blocks, struct packtable *t)
{
	*t = (struct packtable){.kind = PACK_DATA,
				.pack_len = 1000,
				.nr_blocks = nr_blocks,
				.nr_chunks = 3 * nr_blocks};
	t->blocks = calloc(nr_blocks + 1, sizeof(*t->blocks));
	t->chunks = calloc(t->nr_chunks + 1, sizeof(*t->chunks));
	assert_true(t->blocks && t->chunks);
	for (uint32_t i = 0; i < nr_blocks; i++)
		t->blocks[i] = (struct table_block){.first_chunk = 3 * i, .nr_chunks = 3};
	for (uint32_t i = 0; i < t->nr_chunks; i++) {
		uint64_t k = (seed * 1000003 + i) * 0x9E3779B97F4A7C15u;

		memcpy(t->chunks[i].id.b, &k, sizeof(k));
		t->chunks[i].len = 10;
	}
}

static void free_table(struct packtable *t)
{
	free(t->blocks);
	free(t->chunks);
}

static struct object_id pack_id(uint8_t n)
{
	struct object_id id = {{n, 0xff}};

	return id;
}

static struct catalog *must_open(bool read_only)
{
	struct err e = ERR_INIT;
	struct catalog *c = NULL;

	if (catalog_open(path, repo, read_only, &c, &e))
		fail_msg("%s", e.msg);
	return c;
}

static uint32_t must_add(struct catalog *c, uint8_t n, const struct packtable *t)
{
	struct object_id id = pack_id(n);
	struct err e = ERR_INIT;
	uint32_t no = 0;

	if (catalog_add_pack(c, &id, t, &no, &e))
		fail_msg("%s", e.msg);
	assert_int_not_equal(no, 0);
	return no;
}

/* Every chunk of t is found in pack no and its block; or, with no 0, none is found. */
static void assert_found(struct catalog *c, const struct packtable *t, uint32_t no)
{
	struct catalog_hit hits[4];
	struct err e = ERR_INIT;
	unsigned nr;

	for (uint32_t i = 0; i < t->nr_chunks; i++) {
		assert_int_equal(catalog_find(c, id_key(&t->chunks[i].id), hits, 4, &nr, &e), 0);
		assert_int_equal(nr, no ? 1 : 0);
		if (!no)
			continue;
		assert_int_equal(hits[0].pack, no);
		assert_int_equal(hits[0].block, i / 3);
	}
}

static void make_db(void)
{
	struct catalog *c = must_open(false);
	struct packtable t;

	make_table(1, 10, &t);
	must_add(c, 1, &t);
	free_table(&t);
	catalog_close(c);
}

static void test_add_find_drop(void **state)
{
	struct catalog *c = must_open(false);
	struct object_id one = pack_id(1);
	struct packtable a, b;
	struct catalog_pack *list;
	uint64_t chunks, packs;
	struct err e = ERR_INIT;
	uint32_t na, nb;
	size_t nr;

	(void)state;
	make_table(1, 50, &a);
	make_table(2, 50, &b);
	na = must_add(c, 1, &a);
	nb = must_add(c, 2, &b);
	assert_int_not_equal(na, nb);
	assert_int_equal(must_add(c, 1, &a), na);
	assert_found(c, &a, na);
	assert_found(c, &b, nb);
	assert_int_equal(catalog_packs(c, &list, &nr, &e), ERR_OK);
	assert_int_equal(nr, 2);
	assert_int_equal(list[0].no, na);
	assert_true(id_eq(&list[0].id, &one));
	assert_int_equal(list[0].kind, PACK_DATA);
	assert_int_equal(list[0].len, 1000);
	assert_int_equal(list[0].nr_chunks, 150);
	free(list);
	assert_int_equal(catalog_count(c, &chunks, &packs, &e), ERR_OK);
	assert_int_equal(chunks, 300);
	assert_int_equal(packs, 2);
	assert_int_equal(catalog_drop_pack(c, &one, &e), ERR_OK);
	assert_int_equal(catalog_drop_pack(c, &one, &e), ERR_OK);
	assert_found(c, &a, 0);
	assert_found(c, &b, nb);
	catalog_close(c);
	c = must_open(true);
	assert_found(c, &b, nb);
	catalog_close(c);
	free_table(&a);
	free_table(&b);
}

/* Dropped and added again within one transaction, the same number taken: no old row may come back.
 */
static void test_bulk(void **state)
{
	struct catalog *c = must_open(false);
	struct object_id one = pack_id(1);
	struct packtable a, b;
	struct err e = ERR_INIT;
	uint32_t no;

	(void)state;
	make_table(1, 50, &a);
	make_table(2, 50, &b);
	assert_int_equal(catalog_begin(c, &e), ERR_OK);
	assert_int_equal(catalog_begin(c, NULL), ERR_BUSY);
	must_add(c, 1, &a);
	assert_int_equal(catalog_drop_pack(c, &one, &e), ERR_OK);
	no = must_add(c, 2, &b);
	assert_int_equal(catalog_end(c, &e), ERR_OK);
	assert_int_equal(catalog_end(c, NULL), ERR_IO);
	assert_found(c, &a, 0);
	assert_found(c, &b, no);
	/* What is not ended is not there. */
	assert_int_equal(catalog_begin(c, &e), ERR_OK);
	must_add(c, 3, &a);
	catalog_close(c);
	c = must_open(false);
	assert_found(c, &a, 0);
	catalog_close(c);
	free_table(&a);
	free_table(&b);
}

static uint64_t rows_of(const char *table)
{
	char sql[128];
	sqlite3 *db;
	sqlite3_stmt *st;
	uint64_t n;

	(void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = (uint64_t)sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

/* A few rows gather in recent; past 8192 of them, or many at once, they become a run; four of a size become one. */
static void test_merge_and_scan(void **state)
{
	struct catalog *c = must_open(false);
	struct catalog_scan at = {0};
	struct packtable t[9];
	struct err e = ERR_INIT;
	uint64_t keys[1000], seen = 0;
	uint32_t no[9];
	size_t nr;

	(void)state;
	for (uint8_t i = 0; i < 3; i++) {
		make_table(i, 2000, &t[i]);
		no[i] = must_add(c, i, &t[i]);
	}
	assert_int_equal(rows_of("runs"), 3);
	for (uint8_t i = 3; i < 9; i++) {
		make_table(i, 1000, &t[i]);
		no[i] = must_add(c, i, &t[i]);
		if (i < 5) {
			assert_int_equal(rows_of("recent"), 3000 * (i - 2));
			assert_int_equal(rows_of("runs"), 3);
		} else if (i == 5) {
			assert_int_equal(rows_of("recent"), 0);
			assert_int_equal(rows_of("runs"), 1);
		}
	}
	assert_int_equal(rows_of("recent"), 0);
	assert_int_equal(rows_of("runs"), 2);
	assert_int_equal(rows_of("pages WHERE run NOT IN (SELECT no FROM runs)"), 0);
	for (int i = 0; i < 9; i++)
		assert_found(c, &t[i], no[i]);
	do {
		assert_int_equal(catalog_keys(c, &at, keys, 1000, &nr, &e), ERR_OK);
		seen += nr;
	} while (nr > 0);
	assert_int_equal(seen, 36000);
	assert_true(catalog_written(c) > 36000 * 14);
	catalog_close(c);
	for (int i = 0; i < 9; i++)
		free_table(&t[i]);
}

/* More places of one key than a page takes: those that are asked for are there, and so are its neighbours. */
static void test_same_key(void **state)
{
	struct catalog *c = must_open(false);
	struct catalog_hit hits[4];
	struct packtable t;
	struct err e = ERR_INIT;
	unsigned nr;

	(void)state;
	make_table(1, 2000, &t);
	for (uint32_t i = 3000; i < 4500; i++)
		memset(t.chunks[i].id.b, 0x35, 8);
	must_add(c, 1, &t);
	assert_int_equal(rows_of("runs"), 1);
	assert_int_equal(catalog_find(c, 0x3535353535353535u, hits, 4, &nr, &e), ERR_OK);
	assert_int_equal(nr, 4);
	for (uint32_t i = 0; i < 6000; i++) {
		assert_int_equal(catalog_find(c, id_key(&t.chunks[i].id), hits, 4, &nr, &e),
				 ERR_OK);
		assert_int_equal(nr, i >= 3000 && i < 4500 ? 4 : 1);
	}
	free_table(&t);
	catalog_close(c);
}

/* Rows of dropped packs are not told, and go when they are the most. */
static void test_dropped_rows(void **state)
{
	struct catalog *c = must_open(false);
	struct packtable t[8];
	struct err e = ERR_INIT;
	uint32_t no[8];

	(void)state;
	for (uint8_t i = 0; i < 8; i++) {
		make_table(i, 4000, &t[i]);
		no[i] = must_add(c, i, &t[i]);
	}
	for (uint8_t i = 0; i < 7; i++) {
		struct object_id id = pack_id(i);
		uint64_t pages = rows_of("pages");

		assert_int_equal(catalog_drop_pack(c, &id, &e), ERR_OK);
		if (i == 0)
			assert_int_equal(rows_of("pages"), pages);
	}
	assert_true(rows_of("pages") < 150);
	for (int i = 0; i < 8; i++)
		assert_found(c, &t[i], i < 7 ? 0 : no[i]);
	assert_true(must_add(c, 1, &t[1]) > no[7]);
	catalog_close(c);
	for (int i = 0; i < 8; i++)
		free_table(&t[i]);
}

/* What a small batch costs does not grow with what is there. */
static void test_written(void **state)
{
	struct catalog *c = must_open(false);
	uint64_t before, first, rest;
	struct packtable t;

	(void)state;
	before = catalog_written(c);
	for (uint8_t i = 0; i < 100; i++) {
		make_table(i, 2000, &t);
		must_add(c, i, &t);
		free_table(&t);
		if (i == 9)
			first = catalog_written(c) - before;
	}
	rest = catalog_written(c) - before;
	assert_true(first > 60000 * 14);
	/* 600,000 rows of 14 bytes: once in a run for each power of four, once in a journal when that run goes */
	assert_true(rest < 600000u * 14u * 10u);
	catalog_close(c);
}

static void test_scan_edges(void **state)
{
	static const uint64_t want[] = {1, (uint64_t)INT64_MAX, (uint64_t)INT64_MIN, UINT64_MAX};
	struct catalog *c = must_open(false);
	struct catalog_scan at = {0};
	struct packtable t;
	struct err e = ERR_INIT;
	uint64_t key, sum = 0;
	size_t nr, n = 0;

	(void)state;
	make_table(0, 2, &t);
	for (uint32_t i = 0; i < 6; i++)
		for (int j = 0; j < 8; j++)
			t.chunks[i].id.b[j] = (uint8_t)(want[i % 4] >> (56 - 8 * j));
	must_add(c, 1, &t);
	for (;; n++) {
		assert_int_equal(catalog_keys(c, &at, &key, 1, &nr, &e), ERR_OK);
		if (nr == 0)
			break;
		sum += key;
	}
	assert_int_equal(n, 4);
	assert_true(sum == want[0] + want[1] + want[2] + want[3]);
	free_table(&t);
	catalog_close(c);
}

/* What may lie in place of an index; each is refused, none is believed. */
enum { SQL, BYTES, CUT, FLIP_HEAD, REPO, LINK, FOLDER, JOURNAL_RO, JOURNAL_HOSTILE, WAL, EMPTY_RO };
static const struct row {
	const char *name;
	int what;
	const char *arg;
	enum err_code want;
} rows[] = {
    {"as it was", SQL, "SELECT 1", ERR_OK},
    {"vacuumed", SQL, "VACUUM", ERR_OK},
    {"trigger", SQL, "CREATE TRIGGER t AFTER INSERT ON packs BEGIN DELETE FROM pages; END",
     ERR_CORRUPT},
    {"view", SQL, "CREATE VIEW v AS SELECT 1", ERR_CORRUPT},
    {"table too many", SQL, "CREATE TABLE zz(a)", ERR_CORRUPT},
    {"index too many", SQL, "CREATE INDEX zz ON packs(kind)", ERR_CORRUPT},
    {"column too many", SQL, "ALTER TABLE packs ADD COLUMN zz", ERR_CORRUPT},
    {"table renamed", SQL, "ALTER TABLE recent RENAME TO zz", ERR_CORRUPT},
    {"table missing", SQL, "DROP TABLE recent", ERR_CORRUPT},
    {"view in a table's place", SQL, "DROP TABLE recent; CREATE VIEW recent AS SELECT 1",
     ERR_CORRUPT},
    {"analysed", SQL, "ANALYZE", ERR_CORRUPT},
    {"application_id", SQL, "PRAGMA application_id=1", ERR_CORRUPT},
    {"user_version newer", SQL, "PRAGMA user_version=4", ERR_CORRUPT},
    {"user_version older", SQL, "PRAGMA user_version=2", ERR_CORRUPT},
    {"no repository", SQL, "DELETE FROM meta", ERR_CORRUPT},
    {"repository a blob", SQL, "UPDATE meta SET value = CAST(value AS BLOB)", ERR_CORRUPT},
    {"write-ahead mode", SQL, "PRAGMA journal_mode=WAL", ERR_CORRUPT},
    {"another repository", REPO, NULL, ERR_CORRUPT},
    {"garbage", BYTES, "this was never a database, and it is long enough to be asked", ERR_CORRUPT},
    {"one byte, overwritten", BYTES, "x", ERR_OK},
    {"empty", BYTES, "", ERR_OK},
    {"half", CUT, "2", ERR_CORRUPT},
    {"a quarter", CUT, "4", ERR_CORRUPT},
    {"magic", FLIP_HEAD, NULL, ERR_CORRUPT},
    {"a link", LINK, NULL, ERR_CORRUPT},
    {"a folder", FOLDER, NULL, ERR_CORRUPT},
    {"a journal, read-only", JOURNAL_RO, NULL, ERR_CORRUPT},
    {"a journal that names a file", JOURNAL_HOSTILE, NULL, ERR_CORRUPT},
    {"a write-ahead log", WAL, NULL, ERR_CORRUPT},
    {"empty, read-only", EMPTY_RO, NULL, ERR_CORRUPT},
};

static void write_file(const char *name, const void *buf, size_t len)
{
	FILE *f = fopen(name, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(buf, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void exec(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

/* A journal whose end says: when you have rolled this back, delete the victim. */
static void write_hostile_journal(const char *victim)
{
	static const uint8_t magic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
	size_t len = strlen(victim);
	uint8_t b[1024] = {0};
	uint32_t sum = 0;
	uint8_t *p;

	memcpy(b, magic, 8);
	b[23] = 1;  /* pages in the database before */
	b[26] = 2;  /* sectors of 512 */
	b[30] = 16; /* pages of 4096 */
	p = b + 512 + 4;
	memset(b + 512, 0, 4);
	b[513] = 4; /* the page that is never written: 0x40000000/4096+1 */
	b[515] = 1;
	for (size_t i = 0; i < len; i++)
		sum += (uint8_t)victim[i];
	memcpy(p, victim, len);
	p += len;
	p[3] = (uint8_t)len;
	p[4] = (uint8_t)(sum >> 24);
	p[5] = (uint8_t)(sum >> 16);
	p[6] = (uint8_t)(sum >> 8);
	p[7] = (uint8_t)sum;
	memcpy(p + 8, magic, 8);
	write_file(journal, b, (size_t)(p + 16 - b));
}

static void arrange(const struct row *t, char *beside)
{
	struct stat st;

	make_db();
	switch (t->what) {
	case SQL:
		exec(t->arg);
		break;
	case BYTES:
		write_file(path, t->arg, strlen(t->arg));
		break;
	case CUT:
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(truncate(path, st.st_size / atol(t->arg) / 4096 * 4096), 0);
		break;
	case FLIP_HEAD: {
		int fd = open(path, O_WRONLY | O_CLOEXEC);

		assert_int_equal(pwrite(fd, "s", 1, 0), 1);
		assert_int_equal(close(fd), 0);
		break;
	}
	case LINK:
		assert_int_equal(rename(path, beside), 0);
		assert_int_equal(symlink(beside, path), 0);
		break;
	case FOLDER:
		assert_int_equal(unlink(path), 0);
		assert_int_equal(mkdir(path, 0700), 0);
		break;
	case JOURNAL_RO:
		write_file(journal, "", 0);
		break;
	case JOURNAL_HOSTILE:
		write_file(beside, "precious", 8);
		write_hostile_journal(beside);
		break;
	case WAL:
		(void)snprintf(beside, 128, "%s-wal", path);
		write_file(beside, "", 0);
		break;
	case EMPTY_RO:
		write_file(path, "", 0);
		break;
	}
}

static void test_row(void **state)
{
	const struct row *t = *state;
	bool ro = t->what == JOURNAL_RO || t->what == EMPTY_RO;
	struct catalog *c = NULL;
	struct err e = ERR_INIT;
	char beside[128];

	(void)snprintf(beside, sizeof(beside), "%s/beside", dir);
	arrange(t, beside);
	assert_int_equal(catalog_open(path, t->what == REPO ? other_repo : repo, ro, &c, &e),
			 t->want);
	assert_int_equal(e.code, t->want);
	if (t->want)
		assert_null(c);
	if (t->what == JOURNAL_HOSTILE)
		assert_int_equal(access(beside, F_OK), 0);
	catalog_close(c);
	(void)unlink(beside);
}

static void test_not_there(void **state)
{
	struct catalog *c;
	char far[128];

	(void)state;
	assert_int_equal(catalog_open(path, repo, true, &c, NULL), ERR_NOT_FOUND);
	(void)snprintf(far, sizeof(far), "%s/none/index.db", dir);
	assert_int_equal(catalog_open(far, repo, false, &c, NULL), ERR_IO);
}

static void test_modes(void **state)
{
	struct packtable t;
	struct catalog *c;
	struct object_id id = pack_id(7);
	struct stat st;
	uint32_t no;

	(void)state;
	make_db();
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	make_table(5, 5, &t);
	c = must_open(true);
	assert_int_equal(catalog_add_pack(c, &id, &t, &no, NULL), ERR_IO);
	assert_int_equal(catalog_drop_pack(c, &id, NULL), ERR_IO);
	assert_int_equal(catalog_begin(c, NULL), ERR_IO);
	catalog_close(c);
	free_table(&t);
}

/* Rows that are not ours in tables that are. */
static void test_bad_rows(void **state)
{
	static const char *const bad[] = {
	    "UPDATE packs SET no = -1",	      "UPDATE packs SET no = 4294967296",
	    "UPDATE packs SET id = x'00'",    "UPDATE packs SET id = 'text'",
	    "UPDATE packs SET kind = 3",      "UPDATE packs SET len = -1",
	    "UPDATE packs SET len = 1 << 40", "UPDATE packs SET chunks = 1 << 40",
	};
	static const char *const bad_pages[] = {
	    "INSERT INTO pages VALUES(1, 1, 5, x'')",
	    "INSERT INTO pages VALUES(1, 1, 5, NULL); UPDATE pages SET data = 'fourteen bytes'",
	    "INSERT INTO pages VALUES(1, 1, 5, zeroblob(13))",
	    "INSERT INTO pages VALUES(1, 1, 5, zeroblob(14 * 353))",
	};
	struct catalog_pack *list;
	struct catalog_hit hits[4];
	struct catalog *c;
	struct err e = ERR_INIT;
	enum err_code rc;
	unsigned nr;
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		(void)unlink(path);
		make_db();
		exec(bad[i]);
		c = must_open(false);
		assert_int_equal(catalog_packs(c, &list, &n, NULL), ERR_CORRUPT);
		catalog_close(c);
	}
	exec("INSERT INTO recent VALUES(5, -1, 0); INSERT INTO recent VALUES(5, 1, 1 << 40);"
	     "INSERT INTO recent VALUES(5, 'x', 'y'); INSERT INTO recent VALUES(5, 1 << 40, 0)");
	c = must_open(false);
	assert_int_equal(catalog_find(c, 5, hits, 4, &nr, &e), ERR_OK);
	assert_int_equal(nr, 0);
	catalog_close(c);
	for (size_t i = 0; i < ARRAY_LEN(bad_pages); i++) {
		struct catalog_scan at = {0};
		uint64_t keys[8];

		(void)unlink(path);
		make_db();
		exec("INSERT INTO runs VALUES(1, 1)");
		exec(bad_pages[i]);
		c = must_open(false);
		assert_int_equal(catalog_find(c, 5, hits, 4, &nr, NULL), ERR_CORRUPT);
		do {
			rc = catalog_keys(c, &at, keys, 8, &n, NULL);
		} while (!rc && n > 0);
		assert_int_equal(rc, ERR_CORRUPT);
		catalog_close(c);
	}
}

/* Damage met after opening: an error, never a crash; every page in turn is overwritten. */
static void test_damage_later(void **state)
{
	struct catalog_hit hits[4];
	struct catalog_pack *list;
	struct packtable t;
	struct stat st;
	uint8_t junk[4096];
	unsigned nr, refused = 0;
	size_t n;

	(void)state;
	make_table(1, 1000, &t);
	memset(junk, 0x5a, sizeof(junk));
	make_db();
	assert_int_equal(stat(path, &st), 0);
	for (off_t at = 0; at < st.st_size; at += 4096) {
		struct object_id id = pack_id(9);
		struct catalog *c = NULL;
		enum err_code rc;
		uint32_t no;
		int fd;

		(void)unlink(path);
		make_db();
		fd = open(path, O_WRONLY | O_CLOEXEC);
		assert_int_equal(pwrite(fd, junk, sizeof(junk), at), sizeof(junk));
		assert_int_equal(close(fd), 0);
		rc = catalog_open(path, repo, false, &c, NULL);
		if (!rc)
			rc = catalog_packs(c, &list, &n, NULL);
		if (!rc) {
			free(list);
			rc = catalog_find(c, id_key(&t.chunks[0].id), hits, 4, &nr, NULL);
		}
		if (!rc)
			rc = catalog_add_pack(c, &id, &t, &no, NULL);
		assert_true(rc == ERR_OK || rc == ERR_CORRUPT);
		refused += rc == ERR_CORRUPT;
		catalog_close(c);
	}
	assert_true(refused >= 4);
	free_table(&t);
}

/* All pointers of interior page `at` made to lead to page `to`. */
static void point_to(int fd, off_t at, uint32_t to)
{
	uint8_t p[4096],
	    be[4] = {(uint8_t)(to >> 24), (uint8_t)(to >> 16), (uint8_t)(to >> 8), (uint8_t)to};

	assert_int_equal(pread(fd, p, sizeof(p), at), sizeof(p));
	memcpy(p + 8, be, 4);
	for (unsigned i = 0, n = (unsigned)p[3] << 8 | p[4]; i < n; i++) {
		unsigned cell = (unsigned)p[12 + 2 * i] << 8 | p[13 + 2 * i];

		assert_true(cell <= 4092);
		memcpy(p + cell, be, 4);
	}
	assert_int_equal(pwrite(fd, p, sizeof(p), at), sizeof(p));
}

/* A tree whose every pointer leads to one child, levels deep: more rows than a year can walk. */
static void test_endless(void **state)
{
	struct catalog *c = must_open(false);
	struct object_id id = pack_id(200);
	off_t inner[64], size;
	struct packtable t, none;
	size_t nr = 0;
	uint8_t type;
	int fd;

	(void)state;
	make_table(4, 0, &none);
	must_add(c, 200, &none); /* dropping it walks all rows of recent, and deletes none */
	make_table(3, 1, &t);
	must_add(c, 1, &t);
	catalog_close(c);
	free_table(&t);
	free_table(&none);
	exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000) "
	     "INSERT INTO recent SELECT i, 2, i FROM n");

	fd = open(path, O_RDWR | O_CLOEXEC);
	size = lseek(fd, 0, SEEK_END);
	for (off_t at = 4096; at < size && nr < ARRAY_LEN(inner); at += 4096) {
		assert_int_equal(pread(fd, &type, 1, at), 1);
		if (type == 2) /* of recent, the only such table that is more than a leaf */
			inner[nr++] = at;
	}
	assert_true(nr >= 4);
	for (size_t i = 0; i + 1 < nr && i < 6; i++)
		point_to(fd, inner[i], (uint32_t)(inner[i + 1] / 4096 + 1));
	assert_int_equal(close(fd), 0);

	c = must_open(false);
	assert_int_equal(catalog_drop_pack(c, &id, NULL), ERR_CORRUPT);
	catalog_close(c);
}

/* Killed at any moment while adding: what was committed is found, whole; the rest is not there. */
static void test_killed(void **state)
{
	unsigned long seed = getenv("VOUCH_SEED") ? strtoul(getenv("VOUCH_SEED"), NULL, 10)
						  : (unsigned long)time(NULL);
	struct catalog_pack *list;
	struct packtable t;
	struct err e = ERR_INIT;
	size_t nr, most = 0;

	(void)state;
	print_message("seed %lu\n", seed);
	srandom((unsigned)seed);
	for (int round = 0; round < 8; round++) {
		struct catalog *c;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			c = must_open(false);
			for (uint8_t i = 0; i < 250; i++) {
				make_table(i, 2000, &t);
				must_add(c, i, &t);
				free_table(&t);
			}
			_exit(0);
		}
		(void)usleep((useconds_t)random() % 150000);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		c = must_open(false);
		if (catalog_packs(c, &list, &nr, &e))
			fail_msg("%s", e.msg);
		for (size_t i = 0; i < nr; i++) {
			make_table(list[i].id.b[0], 2000, &t);
			t.nr_chunks = 60;
			assert_found(c, &t, list[i].no);
			free_table(&t);
		}
		free(list);
		assert_true(nr >= most);
		most = nr;
		catalog_close(c);
	}
	assert_true(most > 0);
}

static void test_memory(void **state)
{
	struct catalog *c = NULL;
	struct err e = ERR_INIT;
	struct packtable t;

	(void)state;
	assert_int_equal(catalog_open(":memory:", repo, false, &c, &e), ERR_OK);
	make_table(1, 10, &t);
	assert_found(c, &t, must_add(c, 1, &t));
	catalog_close(c);
	free_table(&t);
	assert_int_equal(access(path, F_OK), -1);
}

struct adder {
	uint8_t first;
	struct catalog *shared; /* or NULL: a connection of its own */
};

static void *add_some(void *arg)
{
	struct adder *a = arg;
	struct catalog *c = a->shared ? a->shared : must_open(false);
	struct packtable t;

	for (uint8_t i = 0; i < 10; i++) {
		make_table(100u + a->first + i, 20, &t);
		assert_found(c, &t, must_add(c, (uint8_t)(a->first + i), &t));
		free_table(&t);
	}
	if (!a->shared)
		catalog_close(c);
	return NULL;
}

static void test_threads(void **state)
{
	struct catalog *c = must_open(false);
	struct adder a[4] = {{0, c}, {10, c}, {20, NULL}, {30, NULL}};
	struct catalog_pack *list;
	pthread_t th[4];
	size_t nr;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&th[i], NULL, add_some, &a[i]), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(th[i], NULL), 0);
	assert_int_equal(catalog_packs(c, &list, &nr, NULL), ERR_OK);
	assert_int_equal(nr, 40);
	free(list);
	catalog_close(c);
}

#define T(f)                                                                                       \
	{                                                                                          \
#f, f, setup, teardown, NULL                                                       \
	}

int main(void)
{
	static const struct CMUnitTest fixed[] = {
	    T(test_add_find_drop), T(test_bulk),   T(test_merge_and_scan), T(test_scan_edges),
	    T(test_same_key), T(test_dropped_rows), T(test_written),
	    T(test_not_there),	   T(test_modes),  T(test_bad_rows),	   T(test_damage_later),
	    T(test_endless),	   T(test_killed), T(test_memory),	   T(test_threads),
	};
	struct CMUnitTest tests[ARRAY_LEN(fixed) + ARRAY_LEN(rows)];

	memcpy(tests, fixed, sizeof(fixed));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[ARRAY_LEN(fixed) + i] = (struct CMUnitTest){
		    rows[i].name, test_row, setup, teardown, (void *)(uintptr_t)&rows[i]};
	return cmocka_run_group_tests_name("catalog", tests, NULL, NULL);
}
