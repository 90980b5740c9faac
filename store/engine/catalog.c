/* SPDX-License-Identifier: MIT */
#include "store/engine/catalog_impl.h"

#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/array.h"
#include "store/base/checked.h"
#include "store/format/limits.h"

#define STEP_UNIT 1000000 /* virtual machine steps between looks at the budget */

/*
 * Everything is done row by row in the virtual machine (no bare count(*)), so
 * that the step budget also ends a walk through a tree that was made endless.
 */
const char *const catalog_sql[ST_NR] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_PACKS] = "SELECT no, id, kind, len, chunks FROM packs ORDER BY no",
    [ST_PACK_NO] = "SELECT no FROM packs WHERE id = ?1",
    [ST_ADD_PACK] = "INSERT INTO packs(id, kind, len, chunks) VALUES(?1, ?2, ?3, ?4)",
    [ST_DROP_PACK] = "DELETE FROM packs WHERE id = ?1",
    [ST_PACK_LIVE] = "SELECT 1 FROM packs WHERE no = ?1",
    [ST_ADD_RECENT] = "INSERT OR IGNORE INTO recent VALUES(?1, ?2, ?3)",
    [ST_CLEAR_RECENT] = "DELETE FROM recent WHERE true",
    [ST_SWEEP_RECENT] = "DELETE FROM recent WHERE pack NOT IN (SELECT no FROM packs)",
    [ST_RECENT] = "SELECT key, pack, block FROM recent ORDER BY key, pack, block",
    [ST_FIND_RECENT] = "SELECT pack, block FROM recent WHERE key = ?1 LIMIT ?2",
    [ST_KEYS_RECENT] = "SELECT key FROM recent WHERE key >= ?1 ORDER BY key LIMIT ?2",
    [ST_COUNT_RECENT] = "SELECT count(*) FROM recent WHERE pack > 0",
    [ST_RUNS] = "SELECT no, rows FROM runs ORDER BY no",
    [ST_ADD_RUN] = "INSERT INTO runs(rows) VALUES(0)",
    [ST_SET_RUN] = "UPDATE runs SET rows = ?2 WHERE no = ?1",
    [ST_DROP_RUN] = "DELETE FROM runs WHERE no = ?1",
    [ST_ADD_PAGE] = "INSERT INTO pages(run, first, data) VALUES(?1, ?2, ?3)",
    [ST_DROP_PAGES] = "DELETE FROM pages WHERE run = ?1",
    [ST_NEXT_PAGE] = "SELECT first, data FROM pages WHERE run = ?1 AND first >= ?2 "
		     "ORDER BY first LIMIT 1",
    [ST_FIND_PAGES] = "SELECT (SELECT data FROM pages WHERE run = runs.no AND first <= ?1 "
		      "ORDER BY first DESC LIMIT 1) FROM runs ORDER BY no DESC",
    [ST_KEYS_PAGES] = "SELECT no, data FROM pages WHERE no > ?1 ORDER BY no LIMIT ?2",
    [ST_SUMS] = "SELECT count(no), total(chunks) FROM packs WHERE no > 0",
    [ST_PAGES] = "PRAGMA page_count",
    [ST_STAMP] = "SELECT value FROM meta WHERE name = 'history'",
    [ST_SET_STAMP] = "INSERT OR REPLACE INTO meta VALUES('history', ?1)",
    [ST_CLEAR_HISTORY] = "DELETE FROM history WHERE true",
    [ST_ADD_HISTORY] = "INSERT OR IGNORE INTO history VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
};

/* pthread calls on a sound mutex do not fail; going on without it could. */
void catalog_lock(struct catalog *c)
{
	if (pthread_mutex_lock(&c->mutex) != 0)
		abort();
}

void catalog_unlock(struct catalog *c)
{
	if (pthread_mutex_unlock(&c->mutex) != 0)
		abort();
}

static int on_progress(void *arg)
{
	struct catalog *c = arg;

	return ++c->steps > c->steps_max;
}

enum err_code catalog_get(struct catalog *c, enum catalog_st which, sqlite3_stmt **out,
			  struct err *e)
{
	if (!c->stmts[which] &&
	    sqlite3_prepare_v3(c->db, catalog_sql[which], -1, SQLITE_PREPARE_PERSISTENT,
			       &c->stmts[which], NULL) != SQLITE_OK)
		return catalog_db_err(c->db, catalog_sql[which], e);
	c->steps = 0;
	*out = c->stmts[which];
	return ERR_OK;
}

/* Step a statement that answers no rows, and reset it. */
enum err_code catalog_finish(struct catalog *c, enum catalog_st which, struct err *e)
{
	sqlite3_stmt *st = c->stmts[which];
	enum err_code rc = ERR_OK;

	if (sqlite3_step(st) != SQLITE_DONE)
		rc = catalog_db_err(c->db, catalog_sql[which], e);
	(void)sqlite3_reset(st); /* repeats the step's error */
	(void)sqlite3_clear_bindings(st);
	return rc;
}

enum err_code catalog_run(struct catalog *c, enum catalog_st which, struct err *e)
{
	sqlite3_stmt *st;
	enum err_code rc = catalog_get(c, which, &st, e);

	return rc ? rc : catalog_finish(c, which, e);
}

/* One row of numbers; columns that are not there stay as they are. */
enum err_code catalog_numbers(struct catalog *c, enum catalog_st which, int64_t *out, int nr,
			      struct err *e)
{
	sqlite3_stmt *st;
	enum err_code rc = catalog_get(c, which, &st, e);

	if (rc)
		return rc;
	if (sqlite3_step(st) == SQLITE_ROW)
		for (int i = 0; i < nr; i++)
			out[i] = sqlite3_column_int64(st, i);
	else
		rc = catalog_db_err(c->db, catalog_sql[which], e);
	(void)sqlite3_reset(st);
	return rc;
}

/*
 * A page has at most some 600 cells, a row costs some 30 steps: a statement that
 * takes more than every page allows walks in circles.
 */
enum err_code catalog_budget(struct catalog *c, struct err *e)
{
	int64_t pages = 0;
	enum err_code rc;

	c->steps_max = UINT64_MAX;
	rc = catalog_numbers(c, ST_PAGES, &pages, 1, e);
	c->steps_max = 64 + (pages > 0 ? (uint64_t)pages / 25 : 0);
	return rc;
}

enum err_code catalog_open(const char *path, const uint8_t repo_id[16], bool read_only,
			   struct catalog **out, struct err *e)
{
	struct catalog *c = calloc(1, sizeof(*c));
	enum err_code rc;

	if (!c)
		return err_set(e, ERR_NOMEM, "index");
	if (pthread_mutex_init(&c->mutex, NULL) != 0)
		abort();
	c->read_only = read_only;
	rc = catalog_db_open(path, repo_id, read_only, &c->db, e);
	if (rc)
		goto fail;
	sqlite3_progress_handler(c->db, STEP_UNIT, on_progress, c);
	rc = catalog_budget(c, e);
	if (rc)
		goto fail;
	*out = c;
	return ERR_OK;
fail:
	catalog_close(c);
	return rc;
}

void catalog_close(struct catalog *c)
{
	if (!c)
		return;
	for (int i = 0; i < ST_NR; i++)
		(void)sqlite3_finalize(c->stmts[i]);
	(void)sqlite3_close(c->db); /* rolls back what begin left open */
	if (pthread_mutex_destroy(&c->mutex) != 0)
		abort();
	free(c->rows);
	free(c);
}

/* False where a field is not what we write. */
static bool read_pack(sqlite3_stmt *st, struct catalog_pack *p)
{
	int64_t no = sqlite3_column_int64(st, 0), kind = sqlite3_column_int64(st, 2);
	int64_t len = sqlite3_column_int64(st, 3), nr = sqlite3_column_int64(st, 4);

	if (no < 1 || no > UINT32_MAX || (kind != PACK_DATA && kind != PACK_TREE) || len < 0 ||
	    len > PACK_LEN_MAX || nr < 0 || nr > PACK_CHUNKS_MAX)
		return false;
	if (sqlite3_column_type(st, 1) != SQLITE_BLOB || sqlite3_column_bytes(st, 1) != ID_LEN)
		return false;
	memcpy(p->id.b, sqlite3_column_blob(st, 1), ID_LEN);
	p->no = (uint32_t)no;
	p->kind = (enum pack_kind)kind;
	p->len = (uint64_t)len;
	p->nr_chunks = (uint32_t)nr;
	return true;
}

enum err_code catalog_packs_locked(struct catalog *c, struct catalog_pack **out, size_t *nr,
				   struct err *e)
{
	struct catalog_pack *list = NULL;
	size_t n = 0, cap = 0;
	sqlite3_stmt *st;
	enum err_code rc = catalog_get(c, ST_PACKS, &st, e);
	int step;

	if (rc)
		return rc;
	while ((step = sqlite3_step(st)) == SQLITE_ROW) {
		struct catalog_pack *more = array_room(list, n, &cap, sizeof(*more));

		if (!more) {
			rc = err_set(e, ERR_NOMEM, "index: %zu packs", n);
			goto out;
		}
		list = more;
		/* Ascending numbers also end a walk that a hostile file made circular. */
		if (!read_pack(st, &list[n]) || (n > 0 && list[n].no <= list[n - 1].no)) {
			rc = err_set(e, ERR_CORRUPT, "index: row %zu of packs makes no sense", n);
			goto out;
		}
		n++;
	}
	if (step != SQLITE_DONE) {
		rc = catalog_db_err(c->db, "packs", e);
		goto out;
	}
	*out = list;
	*nr = n;
	list = NULL;
out:
	(void)sqlite3_reset(st);
	free(list);
	return rc;
}

enum err_code catalog_packs(struct catalog *c, struct catalog_pack **out, size_t *nr, struct err *e)
{
	enum err_code rc;

	catalog_lock(c);
	rc = catalog_packs_locked(c, out, nr, e);
	catalog_unlock(c);
	return rc;
}

/* Rows of packs that are gone stay in their run for a while; their numbers never come again. */
static enum err_code is_live(struct catalog *c, uint32_t no, bool *live, struct err *e)
{
	sqlite3_stmt *st;
	enum err_code rc = catalog_get(c, ST_PACK_LIVE, &st, e);
	int step;

	if (rc)
		return rc;
	if (sqlite3_bind_int64(st, 1, no)) {
		rc = catalog_db_err(c->db, "find", e);
		goto out;
	}
	step = sqlite3_step(st);
	*live = step == SQLITE_ROW;
	if (step != SQLITE_ROW && step != SQLITE_DONE)
		rc = catalog_db_err(c->db, "find", e);
out:
	(void)sqlite3_reset(st);
	return rc;
}

static enum err_code find_in_recent(struct catalog *c, int64_t key, struct catalog_hit *hits,
				    unsigned max, unsigned *nr, struct err *e)
{
	sqlite3_stmt *st;
	enum err_code rc = catalog_get(c, ST_FIND_RECENT, &st, e);
	int step = SQLITE_ROW;

	if (rc)
		return rc;
	if (sqlite3_bind_int64(st, 1, key) || sqlite3_bind_int64(st, 2, max)) {
		rc = catalog_db_err(c->db, "find", e);
		goto out;
	}
	while (*nr < max && (step = sqlite3_step(st)) == SQLITE_ROW) {
		int64_t pack = sqlite3_column_int64(st, 0), block = sqlite3_column_int64(st, 1);

		if (pack >= 1 && pack <= UINT32_MAX && block >= 0 && block < PACK_BLOCKS_MAX)
			hits[(*nr)++] = (struct catalog_hit){(uint32_t)pack, (uint32_t)block};
	}
	if (step != SQLITE_DONE && step != SQLITE_ROW)
		rc = catalog_db_err(c->db, "find", e);
out:
	(void)sqlite3_reset(st);
	return rc;
}

static enum err_code find_in_page(struct catalog *c, sqlite3_stmt *st, int64_t key,
				  struct catalog_hit *hits, unsigned max, unsigned *nr,
				  struct err *e)
{
	struct catalog_row row;
	const uint8_t *page;
	enum err_code rc;
	bool live = false;
	unsigned n = 0;

	if (sqlite3_column_type(st, 0) == SQLITE_NULL) /* a run that begins after the key */
		return ERR_OK;
	rc = catalog_page(st, 0, &page, &n, e);
	for (unsigned i = rc ? 0 : catalog_page_seek(page, n, key); i < n && *nr < max && !rc; i++) {
		catalog_page_row(page, i, &row);
		if (row.key != key)
			break;
		rc = is_live(c, row.pack, &live, e);
		if (!rc && live)
			hits[(*nr)++] = (struct catalog_hit){row.pack, row.block};
	}
	return rc;
}

/* One statement asks all runs, so that it sees them before or after somebody's merge. */
static enum err_code find_in_runs(struct catalog *c, int64_t key, struct catalog_hit *hits,
				  unsigned max, unsigned *nr, struct err *e)
{
	sqlite3_stmt *st;
	enum err_code rc = catalog_get(c, ST_FIND_PAGES, &st, e);
	int step = SQLITE_ROW;

	if (rc)
		return rc;
	if (sqlite3_bind_int64(st, 1, key))
		rc = catalog_db_err(c->db, "find", e);
	while (!rc && *nr < max && (step = sqlite3_step(st)) == SQLITE_ROW)
		rc = find_in_page(c, st, key, hits, max, nr, e);
	if (!rc && step != SQLITE_DONE && step != SQLITE_ROW)
		rc = catalog_db_err(c->db, "find", e);
	(void)sqlite3_reset(st);
	return rc;
}

/* Recent first: rows move from there into runs, not back. */
static enum err_code find_locked(struct catalog *c, uint64_t key, struct catalog_hit *hits,
				 unsigned max, unsigned *nr, struct err *e)
{
	enum err_code rc;
	unsigned n = 0;

	rc = find_in_recent(c, (int64_t)key, hits, max, &n, e);
	if (!rc)
		rc = find_in_runs(c, (int64_t)key, hits, max, &n, e);
	if (!rc)
		*nr = n;
	return rc;
}

enum err_code catalog_find(struct catalog *c, uint64_t key, struct catalog_hit *hits, unsigned max,
			   unsigned *nr, struct err *e)
{
	enum err_code rc;

	catalog_lock(c);
	rc = find_locked(c, key, hits, max, nr, e);
	catalog_unlock(c);
	return rc;
}

enum err_code catalog_sums(struct catalog *c, uint64_t *packs, uint64_t *chunks, struct err *e)
{
	int64_t got[2] = {0, 0};
	enum err_code rc = catalog_numbers(c, ST_SUMS, got, 2, e);

	*packs = got[0] > 0 ? (uint64_t)got[0] : 0;
	*chunks = got[1] > 0 ? (uint64_t)got[1] : 0;
	return rc;
}

enum err_code catalog_count(struct catalog *c, uint64_t *chunks, uint64_t *packs, struct err *e)
{
	uint64_t nr_packs, nr_chunks;
	enum err_code rc;

	catalog_lock(c);
	rc = catalog_sums(c, &nr_packs, &nr_chunks, e);
	catalog_unlock(c);
	if (rc)
		return rc;
	*chunks = nr_chunks;
	*packs = nr_packs;
	return ERR_OK;
}

static enum err_code keys_of_recent(struct catalog *c, struct catalog_scan *at, uint64_t *keys,
				    size_t max, size_t *nr, struct err *e)
{
	int64_t last = at->began ? at->from : INT64_MIN;
	sqlite3_stmt *st;
	enum err_code rc = catalog_get(c, ST_KEYS_RECENT, &st, e);
	size_t n = 0;
	int step;

	if (rc)
		return rc;
	if (sqlite3_bind_int64(st, 1, last) || sqlite3_bind_int64(st, 2, (int64_t)max)) {
		rc = catalog_db_err(c->db, "keys", e);
		goto out;
	}
	while ((step = sqlite3_step(st)) == SQLITE_ROW && n < max) {
		int64_t key = sqlite3_column_int64(st, 0);

		if (key < last) {
			rc = err_set(e, ERR_CORRUPT, "index: keys out of order");
			goto out;
		}
		last = key;
		keys[n++] = (uint64_t)key;
	}
	if (step != SQLITE_DONE && step != SQLITE_ROW)
		rc = catalog_db_err(c->db, "keys", e);
out:
	(void)sqlite3_reset(st);
	if (rc)
		return rc;
	*nr = n;
	at->began = n == max && last != INT64_MAX;
	if (at->began) /* places of one key beyond the cut: the key has been told */
		at->from = last + 1;
	else
		*at = (struct catalog_scan){.table = 1};
	return ERR_OK;
}

/* Whole pages in order of number, and of the last as much as there is room for: the rest is told next. */
static enum err_code keys_of_pages(struct catalog *c, struct catalog_scan *at, uint64_t *keys,
				   size_t max, size_t *nr, struct err *e)
{
	sqlite3_stmt *st;
	enum err_code rc = catalog_get(c, ST_KEYS_PAGES, &st, e);
	int step = SQLITE_ROW;
	const uint8_t *page;
	unsigned rows = 0;
	size_t n = 0;

	if (rc)
		return rc;
	if (sqlite3_bind_int64(st, 1, at->from) || sqlite3_bind_int64(st, 2, (int64_t)max))
		rc = catalog_db_err(c->db, "keys", e);
	while (!rc && n < max && (step = sqlite3_step(st)) == SQLITE_ROW) {
		int64_t no = sqlite3_column_int64(st, 0);

		rc = no > at->from ? catalog_page(st, 1, &page, &rows, e)
				   : err_set(e, ERR_CORRUPT, "index: pages out of order");
		if (rc)
			break;
		for (; at->row < rows && n < max; at->row++)
			keys[n++] = catalog_page_key(page, at->row);
		if (at->row >= rows) {
			at->from = no;
			at->row = 0;
		}
	}
	if (!rc && step != SQLITE_DONE && step != SQLITE_ROW)
		rc = catalog_db_err(c->db, "keys", e);
	if (!rc && step == SQLITE_DONE && n == 0)
		at->table = 2;
	*nr = n;
	(void)sqlite3_reset(st);
	return rc;
}

enum err_code catalog_keys(struct catalog *c, struct catalog_scan *at, uint64_t *keys, size_t max,
			   size_t *nr, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t n = 0;

	assert(max > 0);
	catalog_lock(c);
	while (at->table < 2 && n == 0 && !rc)
		rc = at->table == 0 ? keys_of_recent(c, at, keys, max, &n, e)
				    : keys_of_pages(c, at, keys, max, &n, e);
	catalog_unlock(c);
	if (!rc)
		*nr = n;
	return rc;
}

uint64_t catalog_written(struct catalog *c)
{
	uint64_t n;

	catalog_lock(c);
	n = c->written;
	catalog_unlock(c);
	return n;
}
