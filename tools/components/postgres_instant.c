/* SPDX-License-Identifier: MIT */
/* The instant of a dump: a session whose snapshot pg_dump reads in, and whether the tables are still as that has them. */
#include <stdlib.h>
#include <string.h>

#include "tools/components/postgres.h"

/* As pg_dump, what belongs to an extension is left to that. */
#define TABLES											\
	"FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') "	\
	"AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '" PG_BEFORE "') "		\
	"AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass "		\
	"AND e.objid = c.oid AND e.deptype = 'e')"

/* The catalog is read in the snapshot, but these two functions see what is there now. */
enum err_code pg_none_changed(struct talk *t, struct err *e)
{
	struct talk_rows rows = { 0 };
	enum err_code rc;

	rc = talk_ask(t, "SELECT format('%I.%I', n.nspname, c.relname) " TABLES " AND (to_regclass(format('%I.%I', n.nspname, "
			 "c.relname)) IS DISTINCT FROM c.oid::regclass OR (c.relkind = 'r' AND c.relfilenode <> 0 AND "
			 "pg_relation_filenode(c.oid) IS DISTINCT FROM c.relfilenode)) ORDER BY 1 LIMIT 1", &rows, e);
	if (!rc && rows.nr_rows > 0)
		rc = err_set(e, ERR_FAILED, "table %s was truncated, rewritten or made anew since the snapshot",
			     talk_field(&rows, 0, 0));
	talk_rows_release(&rows);
	return rc;
}

void pg_snapshot_release(struct pg_snapshot *s)
{
	free(s->id);
	free(s->encoding);
	*s = (struct pg_snapshot){ 0 };
}

enum err_code pg_instant(struct talk *t, struct pg_snapshot *out, struct err *e)
{
	struct buf sql = BUF_INIT;
	enum err_code rc;

	rc = talk_do(t, e, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
	if (!rc)
		rc = talk_value(t, &out->id, e, "SELECT pg_export_snapshot()");
	if (!rc)
		rc = talk_value(t, &out->encoding, e, "SELECT CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' "
				"ELSE 'UTF8' END");
	if (!rc && (!out->id || !out->encoding))
		rc = err_set(e, ERR_FAILED, "the server exported no snapshot");
	if (rc)
		return rc;
	buf_add_str(&sql, "SELECT pg_database_size(current_database())");
	return pg_count(t, &sql, &out->bytes, e);
}

enum err_code pg_tell_server(struct talk *t, struct facts *f, struct err *e)
{
	static const char *const position[] = { "wal", "timeline", "standby" };
	struct talk_rows rows = { 0 };
	enum err_code rc;

	rc = talk_ask(t, "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "
			 "current_setting('server_version'), "
			 "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, "
			 "(SELECT timeline_id FROM pg_control_checkpoint()), pg_is_in_recovery()", &rows, e);
	if (rc)
		return rc;
	facts_set(f, "instant", talk_field(&rows, 0, 0) ? talk_field(&rows, 0, 0) : "");
	facts_set(f, "server", talk_field(&rows, 0, 1) ? talk_field(&rows, 0, 1) : "");
	for (size_t i = 0; i < 3; i++)
		if (talk_field(&rows, 0, 2 + i))
			facts_set_in(f, "position", position[i], talk_field(&rows, 0, 2 + i));
	talk_rows_release(&rows);
	return ERR_OK;
}
