/* SPDX-License-Identifier: MIT */
#include "store/engine/catalog_impl.h"

#include <assert.h>
#include <malloc.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "store/format/limits.h"

#define BATCH_MAX   (1u << 20) /* rows gathered before they are written: 16 MiB */
#define RECENT_MIN  100000u    /* recent is merged when it is past this ... */
#define RECENT_PART 8u	       /* ... and past this part of chunks */

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

static int cmp_row(const void *pa, const void *pb)
{
	const struct catalog_row *a = pa, *b = pb;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->pack != b->pack)
		return a->pack < b->pack ? -1 : 1;
	return a->block < b->block ? -1 : a->block > b->block;
}

static enum err_code write_rows(struct catalog *c, enum catalog_st which, struct err *e)
{
	sqlite3_stmt *st;
	enum err_code rc = catalog_get(c, which, &st, e);

	for (size_t i = 0; i < c->nr_rows && !rc; i++) {
		const struct catalog_row *r = &c->rows[i];

		if (i > 0 && cmp_row(r - 1, r) == 0)
			continue;
		if (sqlite3_bind_int64(st, 1, r->key) || sqlite3_bind_int64(st, 2, r->pack) ||
		    sqlite3_bind_int64(st, 3, r->block))
			return catalog_db_err(c->db, catalog_sql[which], e);
		c->steps = 0;
		rc = catalog_finish(c, which, e);
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

static enum err_code merge(struct catalog *c, struct err *e)
{
	enum err_code rc = catalog_run(c, ST_MERGE, e);

	if (!rc)
		rc = catalog_run(c, ST_CLEAR_RECENT, e);
	if (!rc)
		c->nr_recent = 0;
	return rc;
}

/*
 * Write what was gathered, in key order.  A large run goes straight into
 * chunks, where one pass touches each page once; a small one into recent, which
 * stays small enough to be in memory.
 */
static enum err_code flush_rows(struct catalog *c, struct err *e)
{
	uint64_t packs, chunks, part;
	enum err_code rc;

	if (c->nr_rows == 0)
		return ERR_OK;
	rc = catalog_sums(c, &packs, &chunks, e);
	if (!rc)
		rc = count_recent(c, e);
	if (!rc)
		rc = catalog_budget(c, e);
	if (rc)
		return rc;
	qsort(c->rows, c->nr_rows, sizeof(c->rows[0]), cmp_row);
	part = chunks / RECENT_PART > RECENT_MIN ? chunks / RECENT_PART : RECENT_MIN;
	if (c->nr_rows >= RECENT_MIN && c->nr_rows >= part / 4) {
		rc = write_rows(c, ST_ADD_CHUNK, e);
	} else {
		rc = write_rows(c, ST_ADD_RECENT, e);
		c->nr_recent += c->nr_rows;
		if (!rc && c->nr_recent > part)
			rc = merge(c, e);
	}
	if (!rc)
		c->nr_rows = 0;
	return rc;
}

/* One scan for any number of dropped packs; before a new row can take one's number. */
static enum err_code sweep(struct catalog *c, struct err *e)
{
	enum err_code rc;

	if (!c->must_sweep)
		return ERR_OK;
	rc = flush_rows(c, e); /* they may be of a pack that was added and dropped at once */
	if (!rc)
		rc = catalog_run(c, ST_SWEEP_CHUNKS, e);
	if (!rc)
		rc = catalog_run(c, ST_SWEEP_RECENT, e);
	if (!rc)
		c->must_sweep = false;
	c->recent_known = false;
	return rc;
}

static enum err_code commit(struct catalog *c, struct err *e)
{
	enum err_code rc = flush_rows(c, e);

	if (!rc)
		rc = sweep(c, e);
	if (!rc)
		rc = catalog_run(c, ST_COMMIT, e);
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
	rc = sweep(c, e);
	if (!rc)
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
