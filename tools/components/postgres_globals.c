/* SPDX-License-Identifier: MIT */
/* globals.sql: roles and tablespaces are the server's, and in no database's dump. */
#include <string.h>

#include "tools/components/postgres.h"

/* In the component's own database: in "postgres", where it would go, the role may have no right to be. */
static void add_database(struct pg_tool *t, const char *database)
{
	struct pgdsn where = { 0 };
	struct buf text = BUF_INIT;

	t->bad = t->bad || pgdsn_set(&where, "dbname", database, NULL) != ERR_OK;
	pgdsn_write(&where, &text);	/* a name with = in it would be taken for such words */
	buf_add_u8(&text, '\0');
	pg_tool_add(t, "-l%s", text.bad ? "" : (const char *)text.p);
	t->bad = t->bad || text.bad;
	buf_release(&text);
	pgdsn_release(&where);
}

enum err_code pg_add_globals(struct component *c, struct dump *d, struct err *e)
{
	const char *database = pgdsn_get(&pg_of(c)->dsn[PG_OWN], "dbname");
	struct assembly_file *f = NULL;
	struct buf out = BUF_INIT, sql = BUF_INIT;
	struct talk *t = NULL;
	struct pg_tool tool;
	bool super = false;
	enum err_code rc;

	pg_tool_init(&tool, c, PG_OWN, database, PG_PG_DUMPALL);
	rc = pg_connect(c, PG_OWN, database, false, &t, e);
	if (rc)
		goto out;
	buf_add_str(&sql, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user");
	rc = pg_true(t, &sql, &super, e);
	if (rc)
		goto out;
	pg_tool_add(&tool, "--globals-only");
	add_database(&tool, database);
	if (!super)
		pg_tool_add(&tool, "--no-role-passwords");	/* only a superuser may read their hashes */
	facts_set_in(d->facts, "settings", "role passwords", super ? "in " PG_GLOBALS : "not recorded: the role is no superuser");
	rc = pg_tool_output(c, &tool, &out, PG_GLOBALS_MAX, e);
	if (!rc && !strstr((const char *)out.p, "PostgreSQL database cluster dump complete"))
		rc = err_set(e, ERR_FAILED, "what pg_dumpall wrote has no end");
	if (!rc)
		rc = dump_file_open(d, PG_GLOBALS, &f, e);
	if (!rc)
		rc = dump_write(f, out.p, out.len, e);
	if (!rc) {
		rc = dump_file_close(d, PG_GLOBALS, f, e);
		f = NULL;
	}
out:
	assembly_file_drop(f);
	talk_close(t);
	pg_tool_release(&tool);
	buf_release(&out);
	return rc;
}
