/* SPDX-License-Identifier: MIT */
/* A dump read back before it is restored, and what a user asks of a database. */
#include <string.h>

#include "tools/components/postgres.h"

enum err_code pg_read_back(struct component *c, struct restore_job *j, struct err *e)
{
	struct pg_tool t;
	struct spawn *s = NULL;
	enum err_code rc;

	pg_tool_init(&t, c, PG_OWN, NULL, PG_PG_RESTORE);
	pg_tool_add(&t, "-f-");
	rc = pg_tool_start(c, &t, SPAWN_STDIN_PIPE, true, &s, e);
	if (!rc)
		rc = restore_feed(c, j, PG_DUMP, s, e);
	if (!rc)
		rc = spawn_end(s, c->cancel, e);
	if (rc)
		err_prefix(e, PG_DUMP " cannot be read");
	spawn_close(s);
	pg_tool_release(&t);
	return rc;
}

enum err_code pg_query(struct component *c, const char *into, const char *query, char **out, struct err *e)
{
	const char *database;
	enum pg_where where = pg_place(c, into, &database);
	struct talk_rows rows = { 0 };
	struct buf text = BUF_INIT;
	struct talk *t = NULL;
	enum err_code rc = pg_connect(c, where, database, false, &t, e);

	if (!rc)
		rc = talk_do(t, e, "BEGIN READ ONLY");
	if (!rc)
		rc = talk_ask(t, query, &rows, e);
	if (rc)
		goto out;
	talk_rows_lines(&text, &rows);
	buf_add_u8(&text, '\0');
	if (text.bad) {
		rc = err_set(e, ERR_NOMEM, "answer of a query");
		goto out;
	}
	*out = (char *)text.p;
	text = (struct buf)BUF_INIT;
out:
	talk_rows_release(&rows);
	talk_close(t);
	buf_release(&text);
	return rc;
}
