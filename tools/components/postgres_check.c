/* SPDX-License-Identifier: MIT */
/* What check finds out before a dump is tried, what examine looks at in a restored database, and what a user asks of one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/components/postgres.h"
#include "tools/text.h"

/* The major version in "pg_dump (PostgreSQL) 15.18 (Debian ...)"; 0: none. */
static long major_of(const char *text)
{
	const char *p = strstr(text, "PostgreSQL) ");

	return p ? strtol(p + 12, NULL, 10) : 0;
}

static enum err_code check_tool(struct component *c, enum pg_program program, const char *name, long server, struct err *e)
{
	struct buf out = BUF_INIT;
	enum err_code rc = pg_tool_version(c, program, &out, e);
	long major;

	if (rc && rc != ERR_CANCELED && rc != ERR_NOMEM) {
		component_found(c, FINDING_FAILED, "%s does not run: %s", name, e ? e->msg : "");
		err_clear(e);
		rc = ERR_OK;
	} else if (!rc) {
		major = major_of((const char *)out.p);
		if (major < server)
			component_found(c, FINDING_FAILED, "%s is of version %ld, the server of %ld: an older one refuses to work; "
					"name the folder of newer ones (bin)", name, major, server);
		else
			component_found(c, FINDING_OK, "%s %ld", name, major);
	}
	buf_release(&out);
	return rc;
}

/* Each gives names; what is there is a finding. */
static const struct look {
	enum finding kind;
	const char *what, *sql;
} looks[] = {
	{ FINDING_FAILED, "no right to read (GRANT SELECT ON ... TO the role)",
	  "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN "
	  "('r', 'p', 'S') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '" PG_BEFORE "') "
	  "AND NOT CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') ELSE "
	  "has_table_privilege(c.oid, 'SELECT') END "
	  "AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.classid = 'pg_class'::regclass AND e.deptype = 'e') "
	  "ORDER BY 1" },
	{ FINDING_FAILED, "no right to use the schema (GRANT USAGE ON SCHEMA ... TO the role)",
	  "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', '" PG_BEFORE "') "
	  "AND NOT has_schema_privilege(oid, 'USAGE') ORDER BY 1" },
	{ FINDING_FAILED, "no right to read large objects (GRANT SELECT ON LARGE OBJECT ... TO the role)",
	  "SELECT l.oid::text FROM pg_largeobject_metadata l JOIN pg_roles r ON r.rolname = current_user WHERE NOT r.rolsuper "
	  "AND NOT EXISTS (SELECT FROM aclexplode(coalesce(l.lomacl, acldefault('L', l.lomowner))) x "
	  "WHERE x.privilege_type = 'SELECT' AND (x.grantee = 0 OR pg_has_role(x.grantee, 'USAGE'))) ORDER BY 1" },
	{ FINDING_FAILED, "row security hides rows from this role (ALTER ROLE ... BYPASSRLS, or dump as the owner)",
	  "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_roles r ON r.rolname = current_user WHERE c.relrowsecurity "
	  "AND NOT r.rolsuper AND NOT r.rolbypassrls AND (c.relforcerowsecurity OR NOT pg_has_role(current_user, c.relowner, "
	  "'USAGE')) ORDER BY 1" },
	{ FINDING_WARNING, "unlogged: empty after a crash, and not on a standby",
	  "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relpersistence = 'u' ORDER BY 1" },
	{ FINDING_WARNING, "an index that is not valid: it is not dumped (REINDEX or drop it)",
	  "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1" },
	{ FINDING_WARNING, "a subscription: a superuser's dump alone has it, and it comes back switched off",
	  "SELECT s.subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database() "
	  "ORDER BY 1" },
	{ FINDING_WARNING, "a foreign table: its rows are elsewhere and are not dumped",
	  "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'f' ORDER BY 1" },
};

static enum err_code look_for(struct component *c, struct talk *t, const struct look *l, bool *found, struct err *e)
{
	struct talk_rows rows = { 0 };
	struct buf names = BUF_INIT;
	enum err_code rc = talk_ask(t, l->sql, &rows, e);

	if (rc || rows.nr_rows == 0)
		goto out;
	*found = true;
	for (size_t i = 0; i < rows.nr_rows && i < 5; i++)
		buf_printf(&names, "%s%s", i ? ", " : "", talk_field(&rows, i, 0));
	if (rows.nr_rows > 5)
		buf_printf(&names, " and %zu more", rows.nr_rows - 5);
	buf_add_u8(&names, '\0');
	component_found(c, l->kind, "%s: %s", names.bad ? "" : (const char *)names.p, l->what);
out:
	talk_rows_release(&rows);
	buf_release(&names);
	return rc;
}

static enum err_code check_server(struct component *c, struct talk *t, long *major, struct err *e)
{
	struct talk_rows rows = { 0 };
	char size[TEXT_LEN];
	enum err_code rc;

	rc = talk_ask(
		t,
		"SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000, current_database(), "
		"current_user, CASE WHEN rolsuper THEN 'superuser' WHEN rolreplication THEN 'replication' ELSE 'plain role' END, "
		"pg_is_in_recovery(), (SELECT count(*) FROM pg_class WHERE relkind = 'r' AND oid >= 16384), "
		"pg_database_size(current_database()), rolsuper FROM pg_roles WHERE rolname = current_user",
		&rows, e);
	if (!rc && (rows.nr_rows != 1 || !talk_field(&rows, 0, 7)))
		rc = err_set(e, ERR_FAILED, "the server does not say what it is");
	if (rc)
		goto out;
	*major = strtol(talk_field(&rows, 0, 1), NULL, 10);
	component_need(c, strtoull(talk_field(&rows, 0, 7), NULL, 10));
	component_found(c, FINDING_OK, "server %s reached: database %s, %s tables, %s, as %s (%s)%s", talk_field(&rows, 0, 0),
			talk_field(&rows, 0, 2), talk_field(&rows, 0, 6),
			text_size(strtoull(talk_field(&rows, 0, 7), NULL, 10), size), talk_field(&rows, 0, 3),
			talk_field(&rows, 0, 4), talk_field(&rows, 0, 5)[0] == 't' ? ", a standby" : "");
	if (*major < PG_SERVER_MIN / 10000)
		component_found(c, FINDING_FAILED,
				"version %ld of the server is too old: 13 is the oldest that is supported", *major);
	if (pg_of(c)->globals && talk_field(&rows, 0, 8)[0] != 't')
		component_found(c, FINDING_WARNING,
				"passwords of roles are recorded by a superuser only: " PG_GLOBALS
				" is without them");
out:
	talk_rows_release(&rows);
	return rc;
}

enum err_code pg_check(struct component *c, struct err *e)
{
	static const struct {
		enum pg_program program;
		const char *name;
	} tools[] = { { PG_PG_DUMP, "pg_dump" }, { PG_PG_RESTORE, "pg_restore" }, { PG_PG_DUMPALL, "pg_dumpall" } };
	const char *database = pgdsn_get(&pg_of(c)->dsn[PG_OWN], "dbname");
	struct talk *t = NULL;
	bool readable = true;
	long major = 0;
	enum err_code rc = pg_reach(c, PG_OWN, database, &t, e);

	if (rc == ERR_FAILED) {
		component_found(c, FINDING_FAILED, "not reached: %s", e ? e->msg : "");
		err_clear(e);
		return ERR_OK;
	}
	if (!rc)
		rc = check_server(c, t, &major, e);
	for (size_t i = 0; !rc && i < ARRAY_LEN(tools); i++)
		rc = check_tool(c, tools[i].program, tools[i].name, major, e);
	for (size_t i = 0; !rc && i < ARRAY_LEN(looks); i++) {
		bool found = false;

		rc = look_for(c, t, &looks[i], &found, e);
		if (found && looks[i].kind == FINDING_FAILED)
			readable = false;
	}
	if (!rc && readable)
		component_found(c, FINDING_OK, "every table can be read");
	talk_close(t);
	return rc;
}

/* Every foreign key counted: one that was switched off while rows were written looks valid in the catalog. */
static enum err_code examine_keys(struct component *c, struct talk *t, struct err *e)
{
	struct talk_rows keys = { 0 };
	uint64_t bad = 0;
	enum err_code rc = talk_ask(t, PG_ORPHANS " ORDER BY 1, 3", &keys, e);

	for (size_t i = 0; !rc && i < keys.nr_rows; i++) {
		struct buf sql = BUF_INIT;
		uint64_t n = 0;

		buf_add_str(&sql, talk_field(&keys, i, 3));
		rc = pg_count(t, &sql, &n, e);
		if (rc || n == 0)
			continue;
		bad++;
		component_found(c, FINDING_FAILED, "foreign key %s: %llu rows of %s refer to rows of %s that are not there",
				talk_field(&keys, i, 2), (unsigned long long)n, talk_field(&keys, i, 0), talk_field(&keys, i, 1));
	}
	if (!rc && bad == 0)
		component_found(c, FINDING_OK, "%zu foreign keys: no orphans", keys.nr_rows);
	talk_rows_release(&keys);
	return rc;
}

enum err_code pg_examine(struct component *c, const char *into, const struct facts *recorded, struct err *e)
{
	static const struct look more[] = {
		{ FINDING_WARNING, "constraint that was never validated (ALTER TABLE ... VALIDATE CONSTRAINT)",
		  "SELECT conrelid::regclass::text || '.' || quote_ident(conname) FROM pg_constraint WHERE NOT convalidated ORDER BY 1" },
		{ FINDING_WARNING, "index that is not valid (REINDEX)",
		  "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1" },
	};
	const char *database;
	enum pg_where where = pg_place(c, into, &database);
	struct talk *t = NULL;
	bool found = false;
	enum err_code rc = pg_connect(c, where, database, false, &t, e);

	(void)recorded;
	for (size_t i = 0; !rc && i < ARRAY_LEN(more); i++)
		rc = look_for(c, t, &more[i], &found, e);
	if (!rc && !found)
		component_found(c, FINDING_OK, "constraints validated, indexes valid");
	if (!rc)
		rc = examine_keys(c, t, e);
	talk_close(t);
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
		rc = talk_do(t, e, "RESET search_path");	/* its tables are named as the user names them */
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
