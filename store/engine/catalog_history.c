/* SPDX-License-Identifier: MIT */
/* The table behind the view backup_history: written as a whole, read by people. */
#include "store/engine/catalog_impl.h"

#include <sqlite3.h>
#include <string.h>

struct replacement {
	const char *stamp;
	const struct catalog_backup *rows;
	size_t nr;
};

enum err_code catalog_history_stale(struct catalog *c, const char *stamp, bool *stale,
				    struct err *e)
{
	const unsigned char *text;
	sqlite3_stmt *st;
	enum err_code rc;
	int step;

	catalog_lock(c);
	rc = catalog_get(c, ST_STAMP, &st, e);
	if (rc)
		goto out;
	step = sqlite3_step(st);
	text = step == SQLITE_ROW ? sqlite3_column_text(st, 0) : NULL;
	if (step != SQLITE_ROW && step != SQLITE_DONE)
		rc = catalog_db_err(c->db, "history", e);
	else
		*stale = !c->read_only && (!text || (stamp && strcmp((const char *)text, stamp) != 0));
	(void)sqlite3_reset(st);
out:
	catalog_unlock(c);
	return rc;
}

static bool bind_text(sqlite3_stmt *st, int col, const char *text)
{
	return sqlite3_bind_text(st, col, text, -1, SQLITE_STATIC) == SQLITE_OK;
}

static enum err_code add_row(struct catalog *c, const struct catalog_backup *r, struct err *e)
{
	const char *const texts[] = { r->time,	 r->id,	    r->type,  r->component,
				      r->snapshot, r->status, r->error, r->checksum };
	sqlite3_stmt *st;
	enum err_code rc = catalog_get(c, ST_ADD_HISTORY, &st, e);
	bool ok = true;

	if (rc)
		return rc;
	for (int i = 0; i < 8; i++)
		ok = ok && bind_text(st, i + 1, texts[i]);
	if (!ok || sqlite3_bind_int64(st, 9, r->bytes > INT64_MAX ? INT64_MAX : (int64_t)r->bytes) ||
	    sqlite3_bind_double(st, 10, r->seconds))
		return catalog_db_err(c->db, "history", e);
	return catalog_finish(c, ST_ADD_HISTORY, e);
}

static enum err_code replace(struct catalog *c, void *ctx, struct err *e)
{
	const struct replacement *with = ctx;
	enum err_code rc = catalog_run(c, ST_CLEAR_HISTORY, e);
	sqlite3_stmt *st;

	for (size_t i = 0; i < with->nr && !rc; i++)
		rc = add_row(c, &with->rows[i], e);
	if (!rc)
		rc = catalog_get(c, ST_SET_STAMP, &st, e);
	if (!rc && !bind_text(st, 1, with->stamp))
		rc = catalog_db_err(c->db, "history", e);
	return rc ? rc : catalog_finish(c, ST_SET_STAMP, e);
}

enum err_code catalog_set_history(struct catalog *c, const char *stamp,
				  const struct catalog_backup *rows, size_t nr, struct err *e)
{
	struct replacement with = { stamp, rows, nr };

	return catalog_change(c, replace, &with, e);
}
