/* SPDX-License-Identifier: MIT */
/* globals.sql: roles and tablespaces are the server's, and in no database's dump. */
#include <string.h>

#include "tools/components/postgres.h"

#define GLOBALS_MAX (64u << 20)

enum err_code pg_add_globals(struct component *c, struct dump *d, struct err *e)
{
	const char *database = pgdsn_get(&pg_of(c)->dsn[PG_OWN], "dbname");
	struct assembly_file *f = NULL;
	struct spawn_options o;
	struct buf out = BUF_INIT, sql = BUF_INIT;
	struct talk *t = NULL;
	struct pg_tool tool;
	bool super = false;
	enum err_code rc;

	pg_tool_init(&tool, c, PG_OWN, database, PG_PG_DUMPALL);
	rc = pg_connect(c, PG_OWN, database, false, &t, e);
	if (rc)
		goto out;
	buf_add_str(&sql, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user");
	rc = pg_true(t, &sql, &super, e);
	if (rc)
		goto out;
	pg_tool_add(&tool, "--globals-only");
	if (!super)
		pg_tool_add(&tool, "--no-role-passwords");	/* only a superuser may read their hashes */
	facts_set_in(d->facts, "settings", "role passwords", super ? "in " PG_GLOBALS : "not recorded: the role is no superuser");
	if (tool.bad) {
		rc = err_set(e, ERR_NOMEM, "command line of pg_dumpall");
		goto out;
	}
	o = component_spawn(c, tool.argv);
	o.env = tool.env;
	o.in = SPAWN_STDIN_NONE;
	rc = spawn_run(&o, c->cancel, &out, GLOBALS_MAX, NULL, e);
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
