/* SPDX-License-Identifier: MIT */
/* The way back of --table: the rows that vouch_before holds, and what is done with them when nobody needs them any more. */
#include <stdlib.h>
#include <string.h>

#include "tools/components/postgres.h"

static enum err_code saved_name(const json_t *one, struct buf *out, struct err *e)
{
	const char *saved = pg_member(one, "saved");

	buf_reset(out);
	pg_form(out, PG_BEFORE ".@", saved ? saved : "");
	buf_add_u8(out, '\0');
	return out->bad ? err_set(e, ERR_NOMEM, "way back") : ERR_OK;
}

/* All columns that can be written. */
static enum err_code columns_of(struct talk *t, const char *table, char **out, struct err *e)
{
	struct buf sql = BUF_INIT;

	pg_form(&sql, "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute "
		"WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''", table);
	return pg_value(t, &sql, out, e);
}

static enum err_code put_rows_back(struct talk *t, const char *table, const char *saved, struct err *e)
{
	struct buf sql = BUF_INIT;
	char *columns = NULL;
	enum err_code rc = columns_of(t, table, &columns, e);

	if (!rc)
		rc = talk_do(t, e, "DELETE FROM ONLY %s", table);
	if (columns)
		pg_form(&sql, "INSERT INTO $ ($) OVERRIDING SYSTEM VALUE SELECT $ FROM $", table, columns, columns, saved);
	else	/* a table without columns has rows, too */
		pg_form(&sql, "INSERT INTO $ SELECT FROM $", table, saved);
	if (!rc)
		rc = talk_do_buf(t, &sql, e);
	if (!rc)
		rc = talk_do(t, e, "DROP TABLE %s", saved);
	buf_release(&sql);
	free(columns);
	return rc;
}

/* It was not there: foreign keys to it were not there either. */
static enum err_code drop_table(struct talk *t, const char *table, struct err *e)
{
	struct talk_rows rows = { 0 };
	struct buf sql = BUF_INIT;
	bool there = false;
	enum err_code rc = pg_is_relation(t, table, &there, e);

	if (rc || !there)
		return rc;
	pg_form(&sql, "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint "
		"WHERE contype = 'f' AND conparentid = 0 AND conrelid <> confrelid AND confrelid = to_regclass(?)", table);
	rc = talk_ask_buf(t, &sql, &rows, e);
	for (size_t i = 0; !rc && i < rows.nr_rows; i++)
		rc = talk_do(t, e, "%s", talk_field(&rows, i, 0));
	talk_rows_release(&rows);
	if (!rc)
		rc = talk_do(t, e, "DROP TABLE %s", table);
	return rc;
}

/* Every foreign key of the tables, both ways: each query counts its orphans. */
static enum err_code no_orphans(struct talk *t, const char *table, struct err *e)
{
	struct talk_rows keys = { 0 };
	struct buf sql = BUF_INIT;
	uint64_t n = 0;
	enum err_code rc;

	pg_form(&sql, PG_ORPHANS " AND to_regclass(?) IN (k.conrelid, k.confrelid) ORDER BY 1, 3", table);
	rc = talk_ask_buf(t, &sql, &keys, e);
	for (size_t i = 0; !rc && i < keys.nr_rows; i++) {
		buf_add_str(&sql, talk_field(&keys, i, 3));
		rc = pg_count(t, &sql, &n, e);
		if (!rc && n > 0)
			rc = err_set(e, ERR_FAILED, "%llu rows of %s would refer to rows of %s that are not there (%s)",
				     (unsigned long long)n, talk_field(&keys, i, 0), talk_field(&keys, i, 1),
				     talk_field(&keys, i, 2));
	}
	talk_rows_release(&keys);
	return rc;
}

static enum err_code one_back(struct talk *t, const json_t *one, struct err *e)
{
	struct buf table = BUF_INIT, saved = BUF_INIT;
	bool there = false;
	enum err_code rc = pg_quoted(pg_member(one, "table") ? pg_member(one, "table") : "", &table, e);

	if (!rc && !pg_member(one, "saved")) {
		rc = drop_table(t, (const char *)table.p, e);
		goto out;
	}
	if (!rc)
		rc = saved_name(one, &saved, e);
	if (!rc)
		rc = pg_is_relation(t, (const char *)saved.p, &there, e);
	if (!rc && !there)
		rc = err_set(e, ERR_NOT_FOUND, "there is no table %s: nothing was replaced, or it was dropped",
			     (const char *)saved.p);
	if (!rc)
		rc = talk_do(t, e, "LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE", (const char *)table.p);
	if (!rc)
		rc = put_rows_back(t, (const char *)table.p, (const char *)saved.p, e);
out:
	buf_release(&table);
	buf_release(&saved);
	return rc;
}

static enum err_code check_one(struct talk *t, const json_t *one, struct err *e)
{
	struct buf table = BUF_INIT;
	enum err_code rc = pg_quoted(pg_member(one, "table"), &table, e);

	if (!rc && pg_member(one, "saved"))
		rc = no_orphans(t, (const char *)table.p, e);
	buf_release(&table);
	return rc;
}

/* The schema goes with its last table. */
static enum err_code drop_schema(struct talk *t, struct err *e)
{
	return talk_do(t, e,
		       "DO $vouch$ BEGIN IF to_regnamespace('" PG_BEFORE
		       "') IS NOT NULL AND NOT EXISTS (SELECT FROM pg_class "
		       "WHERE relnamespace = to_regnamespace('" PG_BEFORE "')) THEN DROP SCHEMA " PG_BEFORE
		       "; END IF; END $vouch$");
}

static enum err_code open_way(struct component *c, const json_t *way, struct talk **out, struct err *e)
{
	const char *database = pg_member(way, "database");
	enum err_code rc;

	if (!database || !json_is_array(json_object_get(way, "tables")))
		return err_set(e, ERR_CORRUPT, "the way back does not say which tables");
	rc = pg_connect(c, PG_RESTORE, database, false, out, e);
	if (!rc)
		rc = talk_do(*out, e, "BEGIN");
	return rc;
}

enum err_code pg_table_rollback(struct component *c, const json_t *way, struct err *e)
{
	const json_t *list = json_object_get(way, "tables"), *one;
	struct talk *t = NULL;
	bool saved = false;
	enum err_code rc = open_way(c, way, &t, e);
	size_t i;

	json_array_foreach(list, i, one)
		saved = saved || pg_member(one, "saved");
	if (!rc && saved)
		rc = talk_do(t, e, "SET LOCAL session_replication_role = replica");
	json_array_foreach(list, i, one)
		if (!rc)
			rc = one_back(t, one, e);
	json_array_foreach(list, i, one)
		if (!rc)
			rc = check_one(t, one, e);
	if (!rc)
		rc = drop_schema(t, e);
	if (!rc)
		rc = talk_do(t, e, "COMMIT");
	talk_close(t);	/* after a failure the transaction ends with the session */
	return rc;
}

enum err_code pg_table_discard(struct component *c, const json_t *way, struct err *e)
{
	struct talk *t = NULL;
	struct buf saved = BUF_INIT;
	const json_t *one;
	enum err_code rc = open_way(c, way, &t, e);
	size_t i;

	if (rc == ERR_FAILED && e && strstr(e->msg, "\" does not exist")) {	/* and with the database all of it */
		err_clear(e);
		return ERR_OK;
	}
	json_array_foreach(json_object_get(way, "tables"), i, one) {
		if (rc || !pg_member(one, "saved"))
			continue;
		rc = saved_name(one, &saved, e);
		if (!rc)
			rc = talk_do(t, e, "DROP TABLE IF EXISTS %s", (const char *)saved.p);
	}
	if (!rc)
		rc = drop_schema(t, e);
	if (!rc)
		rc = talk_do(t, e, "COMMIT");
	talk_close(t);
	buf_release(&saved);
	return rc;
}
