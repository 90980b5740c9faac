/* SPDX-License-Identifier: MIT */
#include "store/engine/catalog_impl.h"

#include <assert.h>
#include <malloc.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "store/format/limits.h"

#define BATCH_MAX   (1u << 20) /* rows gathered before they are written: 16 MiB */
#define RECENT_MAX  8192u      /* rows of recent, 40 pages of the file, before they become a run ... */
#define PAGE_LEN    4096u      /* SQLite's own choice, for files we make */
#define RUN_MIN	    4096u      /* ... and of a batch that becomes one at once */

/* Everything since BEGIN is undone; a rebuild's caller begins anew. */
static void roll_back(struct catalog *c)
{
	c->nr_rows = 0;
	c->bulk = false;
	c->must_sweep = false;
	c->recent_known = false;
	if (!sqlite3_get_autocommit(c->db))
		(void)sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
}

static enum err_code begin(struct catalog *c, struct err *e)
{
	enum err_code rc;

	if (c->read_only)
		return err_set(e, ERR_IO, "index: opened to read only");
	if (c->bulk)
		return ERR_OK;
	rc = catalog_budget(c, e);
	return rc ? rc : catalog_run(c, ST_BEGIN, e);
}

static enum err_code add_recent(struct catalog *c, struct err *e)
{
	sqlite3_stmt *st;
	enum err_code rc = catalog_get(c, ST_ADD_RECENT, &st, e);

	for (size_t i = 0; i < c->nr_rows && !rc; i++) {
		const struct catalog_row *r = &c->rows[i];

		if (sqlite3_bind_int64(st, 1, r->key) || sqlite3_bind_int64(st, 2, r->pack) ||
		    sqlite3_bind_int64(st, 3, r->block))
			return catalog_db_err(c->db, "recent", e);
		c->steps = 0;
		rc = catalog_finish(c, ST_ADD_RECENT, e);
	}
	return rc;
}

static enum err_code count_recent(struct catalog *c, struct err *e)
{
	int64_t n = 0;
	enum err_code rc;

	if (c->recent_known)
		return ERR_OK;
	rc = catalog_numbers(c, ST_COUNT_RECENT, &n, 1, e);
	if (rc)
		return rc;
	c->nr_recent = n > 0 ? (uint64_t)n : 0;
	c->recent_known = true;
	return ERR_OK;
}

/* Rows that are not ours are left behind: the index is a hint. */
static enum err_code read_recent(struct catalog *c, struct catalog_row *rows, size_t max,
				 size_t *nr, struct err *e)
{
	sqlite3_stmt *st;
	enum err_code rc = catalog_get(c, ST_RECENT, &st, e);
	int step = SQLITE_ROW;
	size_t n = 0;

	if (rc)
		return rc;
	while (n < max && (step = sqlite3_step(st)) == SQLITE_ROW) {
		int64_t pack = sqlite3_column_int64(st, 1), block = sqlite3_column_int64(st, 2);

		if (pack < 1 || pack > UINT32_MAX || block < 0 || block >= PACK_BLOCKS_MAX)
			continue;
		rows[n++] = (struct catalog_row){
		    .key = sqlite3_column_int64(st, 0),
		    .pack = (uint32_t)pack,
		    .block = (uint32_t)block,
		};
	}
	if (step != SQLITE_DONE && step != SQLITE_ROW)
		rc = catalog_db_err(c->db, "recent", e);
	*nr = n;
	(void)sqlite3_reset(st);
	return rc;
}

/* recent becomes a run.  Others may have added to it since it was counted. */
static enum err_code move_recent(struct catalog *c, struct err *e)
{
	struct catalog_row *rows = NULL;
	enum err_code rc;
	size_t nr = 0;

	c->recent_known = false;
	rc = count_recent(c, e);
	if (rc || c->nr_recent == 0)
		return rc;
	rows = reallocarray(NULL, (size_t)c->nr_recent, sizeof(*rows));
	if (!rows)
		return err_set(e, ERR_NOMEM, "index: rows of recent");
	rc = read_recent(c, rows, (size_t)c->nr_recent, &nr, e);
	if (!rc && nr > 0) {
		qsort(rows, nr, sizeof(rows[0]), catalog_cmp_row); /* as a hostile file may not be */
		rc = catalog_add_run(c, rows, nr, e);
	}
	if (!rc)
		rc = catalog_run(c, ST_CLEAR_RECENT, e);
	if (!rc)
		c->nr_recent = 0;
	free(rows);
	return rc;
}

/*
 * Write what was gathered, in key order.  Rows strewn over a large tree would
 * have nearly every page of it journaled and written again for each batch.
 */
static enum err_code flush_rows(struct catalog *c, struct err *e)
{
	bool run = c->nr_rows >= RUN_MIN;
	enum err_code rc;

	if (c->nr_rows == 0)
		return ERR_OK;
	rc = count_recent(c, e);
	if (!rc)
		rc = catalog_budget(c, e);
	if (rc)
		return rc;
	qsort(c->rows, c->nr_rows, sizeof(c->rows[0]), catalog_cmp_row);
	if (run) {
		rc = catalog_add_run(c, c->rows, c->nr_rows, e);
	} else {
		rc = add_recent(c, e);
		c->nr_recent += c->nr_rows;
		run = c->nr_recent > RECENT_MAX;
		if (!rc && run)
			rc = move_recent(c, e);
	}
	if (!rc)
		c->nr_rows = 0;
	return rc || !run ? rc : catalog_merge(c, e);
}

static enum err_code sweep(struct catalog *c, struct err *e)
{
	enum err_code rc;

	if (!c->must_sweep)
		return ERR_OK;
	rc = catalog_run(c, ST_SWEEP_RECENT, e);
	if (!rc)
		rc = catalog_sweep_runs(c, e);
	if (!rc)
		c->must_sweep = false;
	c->recent_known = false;
	return rc;
}

/* The journal is whole when the transaction is about to end: what is left for COMMIT is to write the pages. */
static uint64_t journal_len(struct catalog *c)
{
	sqlite3_file *f = NULL;
	sqlite3_int64 len = 0;

	if (sqlite3_file_control(c->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f) != SQLITE_OK ||
	    !f || !f->pMethods || f->pMethods->xFileSize(f, &len) != SQLITE_OK || len < 0)
		return 0;
	return (uint64_t)len;
}

static enum err_code commit(struct catalog *c, struct err *e)
{
	enum err_code rc = flush_rows(c, e);
	int pages = 0, most = 0;
	uint64_t journal;

	if (!rc)
		rc = sweep(c, e);
	if (rc)
		return rc;
	journal = journal_len(c);
	rc = catalog_run(c, ST_COMMIT, e);
	if (sqlite3_db_status(c->db, SQLITE_DBSTATUS_CACHE_WRITE, &pages, &most, 1) == SQLITE_OK)
		c->written += journal + (uint64_t)pages * PAGE_LEN;
	return rc;
}

/* *no is 0 where there is no such pack. */
static enum err_code find_pack(struct catalog *c, const struct object_id *id, uint32_t *no,
			       struct err *e)
{
	enum err_code rc;
	sqlite3_stmt *st;
	int64_t n = 0;
	int step;

	rc = catalog_get(c, ST_PACK_NO, &st, e);
	if (rc)
		return rc;
	if (sqlite3_bind_blob(st, 1, id->b, ID_LEN, SQLITE_STATIC)) {
		rc = catalog_db_err(c->db, "pack", e);
		goto out;
	}
	step = sqlite3_step(st);
	if (step == SQLITE_ROW) {
		n = sqlite3_column_int64(st, 0);
		if (n < 1 || n > UINT32_MAX)
			rc = err_set(e, ERR_CORRUPT, "index: a pack's number makes no sense");
	} else if (step != SQLITE_DONE) {
		rc = catalog_db_err(c->db, "pack", e);
	}
	if (!rc)
		*no = (uint32_t)n;
out:
	(void)sqlite3_reset(st);
	(void)sqlite3_clear_bindings(st);
	return rc;
}

static enum err_code add_pack_row(struct catalog *c, const struct object_id *id,
				  const struct packtable *t, uint32_t *no, struct err *e)
{
	enum err_code rc;
	sqlite3_stmt *st;
	int64_t n;

	rc = catalog_get(c, ST_ADD_PACK, &st, e);
	if (rc)
		return rc;
	if (sqlite3_bind_blob(st, 1, id->b, ID_LEN, SQLITE_STATIC) ||
	    sqlite3_bind_int(st, 2, (int)t->kind) ||
	    sqlite3_bind_int64(st, 3, (int64_t)t->pack_len) ||
	    sqlite3_bind_int64(st, 4, t->nr_chunks))
		return catalog_db_err(c->db, "pack", e);
	rc = catalog_finish(c, ST_ADD_PACK, e);
	if (rc)
		return rc;
	n = sqlite3_last_insert_rowid(c->db);
	if (n < 1 || n > UINT32_MAX)
		return err_set(e, ERR_CORRUPT, "index: a new pack's number makes no sense");
	*no = (uint32_t)n;
	return ERR_OK;
}

static enum err_code gather_rows(struct catalog *c, const struct packtable *t, uint32_t no,
				 struct err *e)
{
	size_t want = c->nr_rows + t->nr_chunks;

	if (want > c->cap_rows) {
		size_t cap = c->cap_rows ? c->cap_rows : 1024;
		struct catalog_row *more;

		while (cap < want)
			cap *= 2;
		more = reallocarray(c->rows, cap, sizeof(*more));
		if (!more)
			return err_set(e, ERR_NOMEM, "index: %zu rows", want);
		c->rows = more;
		c->cap_rows = cap;
	}
	for (uint32_t i = 0; i < t->nr_blocks; i++) {
		const struct table_block *b = &t->blocks[i];

		for (uint32_t j = 0; j < b->nr_chunks; j++)
			c->rows[c->nr_rows++] = (struct catalog_row){
			    .key = (int64_t)id_key(&t->chunks[b->first_chunk + j].id),
			    .pack = no,
			    .block = i,
			};
	}
	assert(c->nr_rows <= want);
	return ERR_OK;
}

static enum err_code add_pack_locked(struct catalog *c, const struct object_id *id,
				     const struct packtable *t, uint32_t *no, struct err *e)
{
	enum err_code rc = begin(c, e);

	if (rc)
		return rc;
	rc = find_pack(c, id, no, e);
	if (!rc && *no == 0) {
		rc = add_pack_row(c, id, t, no, e);
		if (!rc)
			rc = gather_rows(c, t, *no, e);
		if (!rc && c->nr_rows >= BATCH_MAX)
			rc = flush_rows(c, e);
	}
	if (!rc && !c->bulk)
		rc = commit(c, e);
	if (rc)
		roll_back(c);
	return rc;
}

enum err_code catalog_add_pack(struct catalog *c, const struct object_id *id,
			       const struct packtable *t, uint32_t *no, struct err *e)
{
	enum err_code rc;
	uint32_t n = 0;

	catalog_lock(c);
	rc = add_pack_locked(c, id, t, &n, e);
	catalog_unlock(c);
	if (!rc)
		*no = n;
	return rc;
}

static enum err_code drop_pack_locked(struct catalog *c, const struct object_id *id, struct err *e)
{
	enum err_code rc = begin(c, e);
	sqlite3_stmt *st;

	if (rc)
		return rc;
	rc = catalog_get(c, ST_DROP_PACK, &st, e);
	if (!rc && sqlite3_bind_blob(st, 1, id->b, ID_LEN, SQLITE_STATIC))
		rc = catalog_db_err(c->db, "pack", e);
	if (!rc)
		rc = catalog_finish(c, ST_DROP_PACK, e);
	if (!rc && sqlite3_changes(c->db) > 0)
		c->must_sweep = true;
	if (!rc && !c->bulk)
		rc = commit(c, e);
	if (rc)
		roll_back(c);
	return rc;
}

enum err_code catalog_drop_pack(struct catalog *c, const struct object_id *id, struct err *e)
{
	enum err_code rc;

	catalog_lock(c);
	rc = drop_pack_locked(c, id, e);
	catalog_unlock(c);
	return rc;
}

enum err_code catalog_change(struct catalog *c, catalog_change_fn *fn, void *ctx, struct err *e)
{
	enum err_code rc;

	catalog_lock(c);
	rc = begin(c, e);
	if (!rc)
		rc = fn(c, ctx, e);
	if (!rc && !c->bulk)
		rc = commit(c, e);
	if (rc)
		roll_back(c);
	catalog_unlock(c);
	return rc;
}

enum err_code catalog_begin(struct catalog *c, struct err *e)
{
	enum err_code rc;

	catalog_lock(c);
	if (c->bulk)
		rc = err_set(e, ERR_BUSY, "index: a rebuild is under way");
	else
		rc = begin(c, e);
	if (!rc)
		c->bulk = true;
	catalog_unlock(c);
	return rc;
}

enum err_code catalog_end(struct catalog *c, struct err *e)
{
	enum err_code rc;

	catalog_lock(c);
	if (!c->bulk)
		rc = err_set(e, ERR_IO, "index: the rows were rolled back");
	else
		rc = commit(c, e);
	if (rc)
		roll_back(c);
	c->bulk = false;
	if (c->cap_rows > 65536) { /* a rebuild's; a pack's worth is kept */
		free(c->rows);
		c->rows = NULL;
		c->nr_rows = c->cap_rows = 0;
		/* Rows by the million and tables by the thousand came and went: a mount keeps no such room. */
		(void)malloc_trim(0);
	}
	catalog_unlock(c);
	return rc;
}
