/* SPDX-License-Identifier: MIT */
/* PostgreSQL: the keys of its section, and how its programs are called. */
#include "tools/components/postgres.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"

/*
 * For every session: no time-out of the server's ends a dump, times read the same wherever it is restored, a table under row
 * security is an error and not empty, a database that is set read-only can be restored, and a backslash in quotes is one.
 */
#define OPTIONS "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 " \
		"-c row_security=off -c TimeZone=UTC -c DateStyle=ISO -c default_transaction_read_only=off " \
		"-c standard_conforming_strings=on"

static const char *const dsn_keys[] = { "dsn", "restore-dsn", "validate-dsn" };
static const char *const secret_keys[] = { "password", "restore-password", "validate-password" };
static const char *const program_names[] = { "psql", "pg_dump", "pg_dumpall", "pg_restore" };

/* What is not named is as for dumps; a validate's as for restores. */
static enum pg_where instead_of(struct component *c, enum pg_where where)
{
	return where == PG_VALIDATE && config_get(c->section, dsn_keys[PG_RESTORE]) ? PG_RESTORE : PG_OWN;
}

static enum err_code add_options(struct pgdsn *d, struct err *e)
{
	const char *own = pgdsn_get(d, "options");
	struct buf options = BUF_INIT;
	enum err_code rc;

	buf_printf(&options, "%s%s%s%c", own ? own : "", own ? " " : "", OPTIONS, 0);
	if (options.bad)
		rc = err_set(e, ERR_NOMEM, "connection string");
	else
		rc = pgdsn_set(d, "options", (const char *)options.p, e);
	buf_release(&options);
	if (!rc)
		rc = pgdsn_set(d, "client_encoding", "UTF8", e);	/* as the facts, and so the names that are asked for */
	if (!rc)
		rc = pgdsn_set(d, "application_name", "vouch", e);
	if (!rc && !pgdsn_get(d, "connect_timeout"))
		rc = pgdsn_set(d, "connect_timeout", "10", e);
	return rc;
}

static enum err_code read_dsn(struct component *c, enum pg_where where, struct err *e)
{
	const char *key = dsn_keys[where], *text = config_get(c->section, key);
	struct pgdsn *d = &pg_of(c)->dsn[where];
	struct err why = ERR_INIT;
	enum err_code rc;

	if (!text) {
		key = dsn_keys[instead_of(c, where)];
		text = config_get(c->section, key);
	}
	if (!text)
		return config_wrong(c->section, key, e, "is missing: how to connect, as in dsn = host=/run/postgresql dbname=crm");
	rc = pgdsn_read(text, d, &why);
	if (rc)
		return config_wrong(c->section, key, e, "%s", why.msg);
	if (!pgdsn_get(d, "dbname"))
		return config_wrong(c->section, key, e, "names no database: add dbname=NAME");
	return add_options(d, e);
}

/* A dsn of its own may have a password of its own. */
static enum err_code read_server(struct component *c, enum pg_where where, struct err *e)
{
	struct pg *p = pg_of(c);
	const char *other = p->password[instead_of(c, where)];
	enum err_code rc = read_dsn(c, where, e);

	if (!rc)
		rc = config_secret(c->section, secret_keys[where], &p->password[where], e);
	if (!rc && !p->password[where] && other) {
		p->password[where] = strdup(other);
		if (!p->password[where])
			rc = err_set(e, ERR_NOMEM, "component %s", c->name);
	}
	return rc;
}

static enum err_code name_programs(struct component *c, struct err *e)
{
	const char *bin = config_get(c->section, "bin");
	struct pg *p = pg_of(c);

	for (size_t i = 0; i < PG_PROGRAM_NR; i++)
		if (asprintf(&p->programs[i], "%s%s%s", bin ? bin : "", bin ? "/" : "", program_names[i]) < 0) {
			p->programs[i] = NULL;
			return err_set(e, ERR_NOMEM, "component %s", c->name);
		}
	return ERR_OK;
}

static void pg_close(struct component *c)
{
	struct pg *p = pg_of(c);

	if (!p)
		return;
	for (int i = 0; i < PG_WHERE_NR; i++) {
		pgdsn_release(&p->dsn[i]);
		config_secret_free(p->password[i]);
	}
	for (size_t i = 0; i < PG_PROGRAM_NR; i++)
		free(p->programs[i]);
	config_words_free(p->keep_users);
	free(p->temporary);
	free(p);
	c->priv = NULL;
}

static enum err_code pg_open(struct component *c, struct err *e)
{
	struct pg *p = calloc(1, sizeof(*p));
	enum err_code rc = ERR_OK;

	if (!p)
		return err_set(e, ERR_NOMEM, "component %s", c->name);
	c->priv = p;
	for (int i = 0; !rc && i < PG_WHERE_NR; i++)
		rc = read_server(c, (enum pg_where)i, e);
	if (!rc)
		rc = name_programs(c, e);
	if (rc)
		return rc;
	p->maintenance = config_get(c->section, "maintenance-db");
	if (!p->maintenance)
		p->maintenance = "postgres";
	rc = config_words(c->section, "keep-users", &p->keep_users, e);
	if (!rc)
		rc = config_bool(c->section, "globals", true, &p->globals, e);
	if (!rc)
		rc = config_bool(c->section, "create-roles", false, &p->create_roles, e);
	if (!rc)
		rc = config_seconds(c->section, "lock-wait", 300, &p->lock_wait, e);
	if (!rc && (p->lock_wait == 0 || p->lock_wait > 86400))
		rc = config_wrong(c->section, "lock-wait", e, "must be from 1s to 24h");
	return rc;
}

enum pg_where pg_place(struct component *c, const char *into, const char **database)
{
	struct pg *p = pg_of(c);
	enum pg_where where = PG_OWN;

	if (into)
		where = p->temporary && strcmp(into, p->temporary) == 0 ? PG_VALIDATE : PG_RESTORE;
	*database = into ? into : pgdsn_get(&p->dsn[where], "dbname");
	return where;
}

void pg_tool_add(struct pg_tool *t, const char *fmt, ...)
{
	char *s = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&s, fmt, args) < 0)
		s = NULL;
	va_end(args);
	if (!s || t->nr + 1 >= ARRAY_LEN(t->argv)) {
		free(s);
		t->bad = true;
		return;
	}
	t->argv[t->nr++] = s;
}

static void add_env(struct pg_tool *t, const char *name, const char *value)
{
	size_t i = 0;

	while (t->env[i])
		i++;
	if (asprintf(&t->env[i], "%s=%s", name, value) < 0) {
		t->env[i] = NULL;
		t->bad = true;
	}
}

void pg_tool_init(struct pg_tool *t, struct component *c, enum pg_where where, const char *database, enum pg_program program)
{
	const struct pg *p = pg_of(c);
	const struct pgdsn *d = &p->dsn[where];
	struct pgdsn there = { 0 };
	struct buf text = BUF_INIT;

	*t = (struct pg_tool){ .argv = { p->programs[program] }, .nr = 1 };
	if (p->password[where])
		add_env(t, "PGPASSWORD", p->password[where]);
	add_env(t, "LC_ALL", "C");	/* what a message says is looked at */
	if (!database)
		return;
	pg_tool_add(t, "-w");		/* never ask for a password */
	for (size_t i = 0; i < d->nr; i++)
		if (pgdsn_set(&there, d->words[i].key, d->words[i].value, NULL))
			t->bad = true;
	if (pgdsn_set(&there, "dbname", database, NULL))
		t->bad = true;
	pgdsn_write(&there, &text);
	buf_add_u8(&text, '\0');
	if (text.bad)
		t->bad = true;
	else
		pg_tool_add(t, "-d%s", (const char *)text.p);
	buf_release(&text);
	pgdsn_release(&there);
}

void pg_tool_release(struct pg_tool *t)
{
	for (size_t i = 1; i < t->nr; i++)
		free(t->argv[i]);
	for (size_t i = 0; t->env[i]; i++)
		config_secret_free(t->env[i]);
	*t = (struct pg_tool){ 0 };
}

static struct spawn_options options_of(struct component *c, struct pg_tool *t)
{
	struct spawn_options o = component_spawn(c, t->argv);

	o.env = t->env;
	return o;
}

enum err_code pg_tool_start(struct component *c, struct pg_tool *t, enum spawn_stdin in, bool out_none, struct spawn **out,
			    struct err *e)
{
	struct spawn_options o = options_of(c, t);

	if (t->bad)
		return err_set(e, ERR_NOMEM, "command line of %s", t->argv[0]);
	o.in = in;
	o.out_none = out_none;
	return spawn_start(&o, out, e);
}

enum err_code pg_tool_output(struct component *c, struct pg_tool *t, struct buf *out, size_t max, struct err *e)
{
	struct spawn_options o = options_of(c, t);

	if (t->bad)
		return err_set(e, ERR_NOMEM, "command line of %s", t->argv[0]);
	return spawn_run(&o, c->cancel, out, max, NULL, e);
}

enum err_code pg_tool_version(struct component *c, enum pg_program program, struct buf *out, struct err *e)
{
	struct pg_tool t;
	enum err_code rc;

	pg_tool_init(&t, c, PG_OWN, NULL, program);
	pg_tool_add(&t, "--version");
	rc = pg_tool_output(c, &t, out, 4096, e);
	if (!rc)
		out->p[strcspn((const char *)out->p, "\n")] = '\0';
	pg_tool_release(&t);
	return rc;
}

static enum err_code connect_once(struct component *c, enum pg_where where, const char *database, struct talk **out,
				  struct err *e)
{
	struct talk *talk = NULL;
	struct pg_tool t;
	struct spawn_options o;
	enum err_code rc;

	pg_tool_init(&t, c, where, database, PG_PSQL);
	o = options_of(c, &t);
	if (t.bad)
		rc = err_set(e, ERR_NOMEM, "command line of psql");
	else
		rc = talk_open(TALK_PSQL, &o, c->cancel, &talk, e);
	if (!rc)
		rc = talk_do(talk, e, PG_NO_TIMEOUTS);
	if (!rc)	/* no object of a user's is taken for one of the system's */
		rc = talk_do(talk, e, "SET search_path = pg_catalog");
	if (rc)
		talk_close(talk);
	else
		*out = talk;
	pg_tool_release(&t);
	return rc;
}

/* Nobody there, or not ready yet: another try may be answered. */
static bool may_come(const struct err *e)
{
	static const char *const texts[] = { "Connection refused", "No such file or directory", "starting up", "shutting down",
					     "not yet accepting connections", "in recovery mode", "timeout expired",
					     "too many clients", "connection slots are reserved" };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (strstr(e->msg, texts[i]))
			return true;
	return false;
}

struct reach {
	struct component *c;
	enum pg_where where;
	const char *database;
	struct talk **out;
};

static enum err_code reach(void *ctx, struct err *e)
{
	struct reach *r = ctx;
	enum err_code rc = connect_once(r->c, r->where, r->database, r->out, e);

	if (rc == ERR_FAILED && e && may_come(e))
		rc = e->code = ERR_ABSENT;
	return rc;
}

static enum err_code reach_it(struct component *c, enum pg_where where, const char *database, bool wait, struct talk **out,
			      struct err *e)
{
	struct reach r = { c, where, database, out };
	struct err why = ERR_INIT;
	enum err_code rc = wait ? component_wait(c, reach, &r, &why) : reach(&r, &why);

	if (rc)
		err_prefix(&why, "database %s", database);
	if (rc && e)
		*e = why;
	return rc;
}

enum err_code pg_reach(struct component *c, enum pg_where where, const char *database, struct talk **out, struct err *e)
{
	return reach_it(c, where, database, true, out, e);
}

enum err_code pg_connect(struct component *c, enum pg_where where, const char *database, bool wait, struct talk **out,
			 struct err *e)
{
	enum err_code rc = reach_it(c, where, database, wait, out, e);

	if (rc == ERR_ABSENT) {	/* of a repository, elsewhere */
		rc = ERR_FAILED;
		if (e)
			e->code = rc;
	}
	return rc;
}

enum err_code pg_connect_admin(struct component *c, enum pg_where where, const char *avoid, struct talk **out, struct err *e)
{
	const struct pg *p = pg_of(c);
	const char *database = strcmp(p->maintenance, avoid) == 0 ? "template1" : p->maintenance;

	return pg_connect(c, where, database, false, out, e);
}

const struct component_ops component_postgres = {
	.type = "postgres",
	.main_file = PG_DUMP,
	.item_kind = "table",
	.selector = "table",
	.rto = 20 * 60,
	.open = pg_open,
	.close = pg_close,
	.check = pg_check,
	.dump = pg_dump,
	.inspect = pg_inspect,
	.read_back = pg_read_back,
	.plan = pg_plan,
	.restore = pg_restore,
	.rollback = pg_rollback,
	.discard = pg_discard,
	.query = pg_query,
	.examine = pg_examine,
};
