/* SPDX-License-Identifier: MIT */
/* A new database beside the others, filled from a dump: what must be true before, and what is put right after. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/components/postgres.h"

static const char *const marks[] = { "half restored", "temporary", "as it was before" };

/* Up to the process: what is this component's and this host's. */
static void mark_prefix(struct component *c, enum pg_mark kind, struct buf *out)
{
	char host[256] = "";

	(void)gethostname(host, sizeof(host) - 1);
	buf_printf(out, "vouch: %s, component %s, host %s, process ", marks[kind], c->name, host);
}

enum err_code pg_mark(struct component *c, struct talk *admin, const char *database, enum pg_mark kind, struct err *e)
{
	struct buf sql = BUF_INIT, text = BUF_INIT;

	mark_prefix(c, kind, &text);
	buf_printf(&text, "%ld%c", (long)getpid(), 0);
	pg_form(&sql, "COMMENT ON DATABASE @ IS ?", database, text.bad ? "" : (const char *)text.p);
	buf_release(&text);
	return talk_do_buf(admin, &sql, e);
}

/* Whether comment is a mark of that kind; *pid of whoever set it. */
static bool is_mark(struct component *c, enum pg_mark kind, const char *comment, long *pid)
{
	struct buf prefix = BUF_INIT;
	bool is;

	mark_prefix(c, kind, &prefix);
	is = !prefix.bad && comment && strncmp(comment, (const char *)prefix.p, prefix.len) == 0;
	if (is)
		*pid = strtol(comment + prefix.len, NULL, 10);
	buf_release(&prefix);
	return is;
}

enum err_code pg_exists(struct component *c, struct talk *admin, const char *database, bool *there, bool *marked,
			struct err *e)
{
	struct talk_rows rows = { 0 };
	struct buf sql = BUF_INIT;
	enum err_code rc;
	long pid;

	pg_form(&sql, "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = ?", database);
	rc = talk_ask_buf(admin, &sql, &rows, e);
	if (rc)
		return rc;
	*there = rows.nr_rows > 0;
	if (marked) {
		*marked = false;
		for (int k = PG_MARK_HALF; k <= PG_MARK_BEFORE; k++)
			*marked = *marked || is_mark(c, (enum pg_mark)k, talk_field(&rows, 0, 0), &pid);
	}
	talk_rows_release(&rows);
	return ERR_OK;
}

static enum err_code drop(struct talk *admin, const char *database, struct err *e)
{
	struct buf sql = BUF_INIT;

	pg_form(&sql, "DROP DATABASE @ WITH (FORCE)", database);
	return talk_do_buf(admin, &sql, e);
}

static bool alive(long pid)
{
	return pid > 0 && pid != (long)getpid() && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/*
 * Killed while the server made it: it has one of this component's names and no mark yet, and nobody can ever have been in
 * it.
 */
static bool is_unmarked(struct component *c, const char *name, const char *comment, const char *open)
{
	const char *own = pgdsn_get(&pg_of(c)->dsn[PG_OWN], "dbname");
	struct buf prefix = BUF_INIT;
	bool is = false;

	if (comment || !open || strcmp(open, "f") != 0)
		return false;
	for (int i = 0; i < 2 && !is; i++) {
		buf_reset(&prefix);
		buf_printf(&prefix, i ? "vouch_validate_%s_" : "%s_restoring_", i ? c->name : own);
		is = !prefix.bad && strncmp(name, (const char *)prefix.p, prefix.len) == 0;
	}
	buf_release(&prefix);
	return is;
}

enum err_code pg_sweep(struct component *c, struct talk *admin, struct err *e)
{
	struct talk_rows rows = { 0 };
	enum err_code rc;
	long pid = 0;

	/* By mark and name: somebody may have renamed a half restored one to go on with it, and it kept its mark. */
	rc = talk_ask(admin, "SELECT datname, shobj_description(oid, 'pg_database'), datallowconn FROM pg_database "
			     "WHERE datname ~ '^vouch_validate_|_restoring_[0-9]{8}T[0-9]{6}Z$'", &rows, e);
	for (size_t i = 0; !rc && i < rows.nr_rows; i++) {
		const char *name = talk_field(&rows, i, 0), *comment = talk_field(&rows, i, 1);

		if (!is_unmarked(c, name, comment, talk_field(&rows, i, 2))) {
			if (!is_mark(c, PG_MARK_HALF, comment, &pid) && !is_mark(c, PG_MARK_TEMPORARY, comment, &pid))
				continue;
			if (alive(pid))
				continue;
		}
		component_note(c, "database %s, left by a restore that was killed, is dropped", name);
		rc = drop(admin, name, e);
	}
	talk_rows_release(&rows);
	return rc;
}

/* The new database. */

static const char *setting(struct restore_job *j, const char *key)
{
	return facts_get_in(j->recorded, "settings", key);
}

static void add_option(struct buf *sql, const char *form, const char *value)
{
	if (value)
		pg_form(sql, form, value);
}

/* Closed until it has its mark: see is_unmarked(). */
static enum err_code create(struct restore_job *j, struct talk *admin, const char *name, struct err *e)
{
	const char *provider = setting(j, "provider");
	struct buf sql = BUF_INIT;
	enum err_code rc;

	pg_form(&sql, "CREATE DATABASE @ TEMPLATE template0 ALLOW_CONNECTIONS false", name);
	add_option(&sql, " OWNER @", setting(j, "owner"));
	add_option(&sql, " ENCODING ?", setting(j, "encoding"));
	add_option(&sql, " LC_COLLATE ?", setting(j, "collate"));
	add_option(&sql, " LC_CTYPE ?", setting(j, "ctype"));
	if (provider && strcmp(provider, "i") == 0)
		add_option(&sql, " LOCALE_PROVIDER icu ICU_LOCALE ?", setting(j, "icu locale"));
	else if (provider && strcmp(provider, "b") == 0)
		add_option(&sql, " LOCALE_PROVIDER builtin BUILTIN_LOCALE ?", setting(j, "icu locale"));
	rc = talk_do_buf(admin, &sql, e);
	if (rc && e && strstr(e->msg, "locale name"))
		err_prefix(e, "the server's system lacks the locale that the dump's database has: install it");
	return rc;
}

/* A tablespace that this server lacks must not keep the data from coming back. */
static enum err_code lacks_tablespace(struct component *c, struct restore_job *j, struct talk *admin, bool *lacks,
				      struct err *e)
{
	const char *names = setting(j, "tablespaces");
	struct buf sql = BUF_INIT;
	enum err_code rc;

	*lacks = false;
	if (!names)
		return ERR_OK;
	pg_form(&sql, "SELECT EXISTS (SELECT FROM unnest(string_to_array(?, ',')) t WHERE t NOT IN "
		"(SELECT spcname FROM pg_tablespace))", names);
	rc = pg_true(admin, &sql, lacks, e);
	if (!rc && *lacks)
		component_note(c, "of the tablespaces %s not all are on this server: everything goes into the default one", names);
	return rc;
}

static enum err_code fill(struct component *c, struct restore_job *j, enum pg_where where, struct talk *admin,
			  const char *name, struct err *e)
{
	bool parallel = j->jobs > 1, lacks = false;
	struct restore_path *path = NULL;
	struct spawn *s = NULL;
	struct pg_tool t;
	enum err_code rc = lacks_tablespace(c, j, admin, &lacks, e);

	if (rc)
		return rc;
	if (parallel && c->via) {
		component_note(c, "one job only: behind via no program can open the dump in several places");
		parallel = false;
	}
	pg_tool_init(&t, c, where, name, PG_PG_RESTORE);
	pg_tool_add(&t, "-e");
	if (lacks)
		pg_tool_add(&t, "--no-tablespaces");
	if (j->temporary)
		pg_tool_add(&t, "--no-subscriptions");	/* a database that has one cannot be dropped */
	if (parallel) {
		rc = restore_path_open(j, PG_DUMP, &path, e);
		if (rc)
			goto out;
		pg_tool_add(&t, "-j%u", j->jobs);
		pg_tool_add(&t, "%s", restore_path_text(path));
	}
	rc = pg_tool_start(c, &t, parallel ? SPAWN_STDIN_NONE : SPAWN_STDIN_PIPE, true, &s, e);
	if (!rc && !parallel)
		rc = restore_feed(c, j, PG_DUMP, s, e);
	if (!rc)
		rc = spawn_end(s, c->cancel, e);
out:
	spawn_close(s);
	restore_path_close(path);
	pg_tool_release(&t);
	return rc;
}

static bool safe_parameter(const char *name)
{
	return *name && name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")] == '\0';
}

static void alter_set(struct buf *sql, const char *database, const char *role, const char *parameter)
{
	if (role)
		pg_form(sql, "ALTER ROLE @ IN DATABASE @ SET $ ", role, database, parameter);
	else
		pg_form(sql, "ALTER DATABASE @ SET $ ", database, parameter);
}

/*
 * The value as it was stored, lists and quotes and all: it is set in a transaction and taken FROM CURRENT.  Some can
 * be set only where a session begins; these are no lists.
 */
static enum err_code put_setting(struct talk *admin, const char *database, const json_t *item, struct err *e)
{
	const char *parameter = pg_member(item, "parameter"), *value = pg_member(item, "is"), *role = pg_member(item, "role");
	struct buf sql = BUF_INIT;
	enum err_code rc;

	if (!parameter || !value || !safe_parameter(parameter))
		return err_set(e, ERR_CORRUPT, "setting %s", pg_member(item, "name"));
	rc = talk_do(admin, e, "BEGIN");
	pg_form(&sql, "SELECT set_config(?, ?, true)", parameter, value);
	if (!rc)
		rc = talk_do_buf(admin, &sql, e);
	buf_release(&sql);
	alter_set(&sql, database, role, parameter);
	buf_add_str(&sql, "FROM CURRENT");
	if (!rc)
		rc = talk_do_buf(admin, &sql, e);
	buf_release(&sql);
	if (!rc)
		return talk_do(admin, e, "COMMIT");
	rc = talk_do(admin, e, "ROLLBACK");
	if (rc)
		return rc;
	alter_set(&sql, database, role, parameter);
	pg_form(&sql, "TO ?", value);
	return talk_do_buf(admin, &sql, e);
}

/* "CONNECT,TEMPORARY*": each with its right to hand on. */
static enum err_code put_grants(struct talk *admin, const char *database, const json_t *item, struct err *e)
{
	const char *role = pg_member(item, "role"), *list = pg_member(item, "is");
	enum err_code rc = ERR_OK;

	while (!rc && list && *list) {
		size_t len = strcspn(list, ","), word = strspn(list, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
		struct buf sql = BUF_INIT;

		buf_add_str(&sql, "GRANT ");
		buf_add(&sql, list, word);
		pg_form(&sql, role ? " ON DATABASE @ TO @" : " ON DATABASE @ TO PUBLIC", database, role);
		if (list[word] == '*')
			buf_add_str(&sql, " WITH GRANT OPTION");
		rc = talk_do_buf(admin, &sql, e);
		list += len + (list[len] == ',');
	}
	return rc;
}

/* What pg_dump leaves out without -C.  One that cannot be put back is said; the comparison afterwards finds it missing. */
static enum err_code put_back(struct component *c, struct restore_job *j, struct talk *admin, const char *name,
			      struct err *e)
{
	const char *limit = setting(j, "connection limit");
	struct buf sql = BUF_INIT;
	const json_t *item;
	enum err_code rc;
	size_t i;

	pg_form(&sql, "REVOKE ALL ON DATABASE @ FROM PUBLIC", name);
	rc = talk_do_buf(admin, &sql, e);
	if (rc)
		return rc;
	json_array_foreach(json_object_get(j->recorded->root, "items"), i, item) {
		const char *kind = pg_member(item, "kind");
		struct err why = ERR_INIT;

		if (strcmp(kind, "setting") == 0)
			rc = put_setting(admin, name, item, &why);
		else if (strcmp(kind, "grant") == 0)
			rc = put_grants(admin, name, item, &why);
		if (rc)
			component_note(c, "%s %s is not put back: %s", kind, pg_member(item, "name"), why.msg);
		rc = ERR_OK;
	}
	if (limit && strcmp(limit, "-1") != 0 && limit[strspn(limit, "0123456789")] == '\0') {
		pg_form(&sql, "ALTER DATABASE @ CONNECTION LIMIT $", name, limit);
		rc = talk_do_buf(admin, &sql, e);
	}
	return rc;
}

static enum err_code analyze(struct component *c, enum pg_where where, const char *name, struct err *e)
{
	struct talk *t = NULL;
	enum err_code rc = pg_connect(c, where, name, false, &t, e);

	if (!rc)
		rc = talk_do(t, e, "ANALYZE");
	talk_close(t);
	return rc;
}

enum err_code pg_fill_beside(struct component *c, struct restore_job *j, enum pg_where where, struct talk *admin,
			     const char *name, enum pg_mark mark, struct err *e)
{
	enum err_code rc = create(j, admin, name, e);
	struct buf sql = BUF_INIT;

	if (rc)
		return rc;
	rc = pg_mark(c, admin, name, mark, e);
	if (!rc) {
		pg_form(&sql, "ALTER DATABASE @ ALLOW_CONNECTIONS true", name);
		rc = talk_do_buf(admin, &sql, e);
	}
	if (!rc)
		rc = fill(c, j, where, admin, name, e);
	if (!rc)
		rc = analyze(c, where, name, e);
	if (!rc)
		rc = put_back(c, j, admin, name, e);
	if (rc) {
		struct err ignored = ERR_INIT;

		err_prefix(e, "restore into the new database %s", name);
		if (drop(admin, name, &ignored))
			component_note(c, "database %s, half restored, is still there: %s", name, ignored.msg);
	}
	return rc;
}

enum err_code pg_drop_marked(struct component *c, struct talk *admin, const char *database, struct err *e)
{
	bool there = false, marked = false;
	enum err_code rc = pg_exists(c, admin, database, &there, &marked, e);

	if (rc || !there)
		return rc;
	if (!marked)
		return err_set(e, ERR_EXISTS, "database %s is not marked as vouch's: it is left as it is", database);
	return drop(admin, database, e);
}
