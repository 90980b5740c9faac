/* SPDX-License-Identifier: MIT */
/* MySQL and MariaDB: keys, programs, sessions. */
#include "tools/components/mysql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"

#define CONNECT_MIN 3u /* seconds for a server that takes the connection and says nothing, as wait has it */
#define CONNECT_MAX 10u
#define VERSION_MAX 4096u

/* Keys */

static enum err_code take_words(struct component *c, const char *key, char ***out, struct err *e)
{
	enum err_code rc = config_words(c->section, key, out, e);

	for (char **w = rc ? NULL : *out; w && *w && !rc; w++)
		if (**w == '\0' || strlen(*w) > MYSQL_NAME_MAX)
			rc = config_wrong(c->section, key, e, "\"%.40s\" is no name", *w);
	return rc;
}

static enum err_code take_databases(struct component *c, struct err *e)
{
	struct mysql *m = mysql_of(c);
	enum err_code rc = take_words(c, "databases", &m->databases, e);
	char **w = m->databases;

	if (rc)
		return rc;
	if (!w || !*w)
		return config_wrong(c->section, "databases", e, "which databases? names, or * for all");
	if (strcmp(*w, "*") == 0 && !w[1]) {
		config_words_free(w);
		m->databases = NULL;
		return ERR_OK;
	}
	for (; *w; w++)
		for (char **v = m->databases; v < w; v++)
			if (strcmp(*v, *w) == 0)
				return config_wrong(c->section, "databases", e, "%s is there twice", *w);
	return ERR_OK;
}

/* One of words, by its place. */
static enum err_code take_choice(struct component *c, const char *key, const char *const *words, int def, int *out,
				 struct err *e)
{
	const char *v = config_get(c->section, key);

	*out = def;
	if (!v)
		return ERR_OK;
	for (int i = 0; words[i]; i++) {
		if (strcmp(words[i], v) == 0) {
			*out = i;
			return ERR_OK;
		}
	}
	return config_wrong(c->section, key, e, "\"%.40s\" is none of %s, %s, %s", v, words[0], words[1], words[2]);
}

static enum err_code open_mysql(struct component *c, struct err *e)
{
	static const char *const users[] = {"permitted", "yes", "no", NULL};
	static const char *const replica[] = {"restart", "repoint", "leave", NULL};
	struct mysql *m = calloc(1, sizeof(*m));
	enum err_code rc = m ? ERR_OK : err_set(e, ERR_NOMEM, "component %s", c->name);
	int n = 0;

	c->priv = m;
	if (rc)
		return rc;
	m->defaults[MYSQL_OWN] = config_get(c->section, "defaults-file");
	m->defaults[MYSQL_RESTORE] = config_get(c->section, "restore-defaults-file");
	m->defaults[MYSQL_VALIDATE] = config_get(c->section, "validate-defaults-file");
	if (!m->defaults[MYSQL_RESTORE])
		m->defaults[MYSQL_RESTORE] = m->defaults[MYSQL_OWN];
	if (!m->defaults[MYSQL_VALIDATE])
		m->defaults[MYSQL_VALIDATE] = m->defaults[MYSQL_RESTORE];
	m->bin = config_get(c->section, "bin");
	rc = take_databases(c, e);
	if (!rc)
		rc = take_words(c, "keep-users", &m->keep_users, e);
	if (!rc)
		rc = take_choice(c, "users", users, MYSQL_USERS_MAY, &n, e);
	m->users = (enum mysql_users)n;
	if (!rc)
		rc = take_choice(c, "replica", replica, MYSQL_REPLICA_RESTART, &n, e);
	m->replica = (enum mysql_replica_key)n;
	if (!rc)
		rc = config_bool(c->section, "restore-binlog", true, &m->binlog, e);
	if (!rc)
		rc = config_bool(c->section, "count", true, &m->count, e);
	return rc;
}

static void close_mysql(struct component *c)
{
	struct mysql *m = mysql_of(c);

	if (!m)
		return;
	config_words_free(m->databases);
	config_words_free(m->keep_users);
	free(m->client);
	free(m->dumper);
	free(m->version);
	free(m);
	c->priv = NULL;
}

/* Programs */

void mysql_words_add(struct mysql_words *w, const char *word)
{
	if (w->nr + 1 >= w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 32;
		char **v = realloc(w->v, cap * sizeof(*v));

		if (!v) {
			w->bad = true;
			return;
		}
		w->v = v;
		w->cap = cap;
	}
	w->v[w->nr] = strdup(word);
	w->bad = w->bad || !w->v[w->nr];
	if (w->v[w->nr])
		w->nr++;
	w->v[w->nr] = NULL;
}

/*
 * The options file must be the first of the words, and so no other is read.  The program's name is not copied: a spawn
 * names it in messages when these words are long gone.
 */
void mysql_words_init(struct mysql_words *w, struct component *c, enum mysql_role role, char *program)
{
	const char *file = mysql_of(c)->defaults[role];
	char *word = NULL;

	*w = (struct mysql_words){ 0 };
	mysql_words_add(w, "");
	if (w->nr > 0) {
		free(w->v[0]);
		w->v[0] = program;
	}
	if (!file)
		return;
	if (asprintf(&word, "--defaults-file=%s", file) < 0) {
		w->bad = true;
		return;
	}
	mysql_words_add(w, word);
	free(word);
}

void mysql_words_release(struct mysql_words *w)
{
	for (size_t i = 1; i < w->nr; i++)
		free(w->v[i]);
	free(w->v);
	*w = (struct mysql_words){ 0 };
}

enum err_code mysql_words_start(struct component *c, struct mysql_words *w, enum spawn_stdin in, struct spawn **out,
				struct err *e)
{
	struct spawn_options o;

	if (w->bad)
		return err_set(e, ERR_NOMEM, "start %s", w->nr ? w->v[0] : "a program");
	o = component_spawn(c, w->v);
	o.in = in;
	return spawn_start(&o, out, e);
}

static char *program_of(const struct mysql *m, const char *name)
{
	char *s = NULL;

	if (!m->bin)
		return strdup(name);
	return asprintf(&s, "%s/%s", m->bin, name) < 0 ? NULL : s;
}

/* Its --version; ERR_FAILED: there is no such program. */
static enum err_code ask_version(struct component *c, const char *name, char **program, struct buf *version, struct err *e)
{
	char *p = program_of(mysql_of(c), name), flag[] = "--version";
	char *argv[] = {p, flag, NULL};
	struct spawn_options o = component_spawn(c, argv);
	enum err_code rc = p ? ERR_OK : err_set(e, ERR_NOMEM, "%s", name);
	int status = 0;

	o.in = SPAWN_STDIN_NONE;
	if (!rc)
		rc = spawn_run(&o, c->cancel, version, VERSION_MAX, &status, e);
	if (!rc && status != 0)
		rc = err_set(e, ERR_FAILED, "%s --version: exit status %d: is it installed%s?", p, status,
			     c->via ? " there" : "");
	if (rc) {
		free(p);
		return rc;
	}
	free(*program);
	*program = p;
	return ERR_OK;
}

/* Which there are: mariadb, mariadb-dump, else mysql, mysqldump. */
static enum err_code find_programs(struct component *c, struct err *e)
{
	static const char *const dumpers[] = {"mariadb-dump", "mysqldump"}, *const clients[] = {"mariadb", "mysql"};
	struct mysql *m = mysql_of(c);
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < ARRAY_LEN(dumpers) && !m->version; i++) {
		struct buf version = BUF_INIT, ignored = BUF_INIT;

		err_clear(e);
		rc = ask_version(c, dumpers[i], &m->dumper, &version, e);
		if (!rc)
			rc = ask_version(c, clients[i], &m->client, &ignored, e);
		if (!rc) {
			size_t len = strcspn((char *)version.p, "\n");

			m->version = strndup((char *)version.p, len);
			m->mariadb = m->version && strstr(m->version, "MariaDB");
			rc = m->version ? ERR_OK : err_set(e, ERR_NOMEM, "%s", c->name);
		}
		buf_release(&version);
		buf_release(&ignored);
		if (rc == ERR_CANCELED || rc == ERR_NOMEM)
			return rc;
	}
	return rc;
}

/* Sessions */

/* Nobody answers there yet: 2002, 2003 (not running), 2006, 2013 (ends in the middle), 1053 (shutting down), 1040 (too
 * many). */
static bool may_come(const char *msg)
{
	static const unsigned long codes[] = {2002, 2003, 2006, 2013, 1053, 1040};
	const char *at = strstr(msg, "error ");
	unsigned long code = at ? strtoul(at + strlen("error "), NULL, 10) : 0;

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i] == code)
			return true;
	return false;
}

static enum err_code connect_once(struct component *c, enum mysql_role role, const char *database, struct talk **out,
				  struct err *e)
{
	struct mysql_words w;
	struct spawn_options o;
	enum err_code rc;
	unsigned seconds = c->wait > CONNECT_MAX ? CONNECT_MAX : c->wait < CONNECT_MIN ? CONNECT_MIN : (unsigned)c->wait;
	char timeout[40];

	mysql_words_init(&w, c, role, mysql_of(c)->client);
	(void)snprintf(timeout, sizeof(timeout), "--connect-timeout=%u", seconds);
	mysql_words_add(&w, timeout);
	if (database) {
		mysql_words_add(&w, "--database");
		mysql_words_add(&w, database);
	}
	if (w.bad) {
		mysql_words_release(&w);
		return err_set(e, ERR_NOMEM, "%s", c->name);
	}
	o = component_spawn(c, w.v);
	rc = talk_open(TALK_MYSQL, &o, c->cancel, out, e);
	mysql_words_release(&w);
	return rc;
}

struct reach {
	struct component *c;
	enum mysql_role role;
	const char *database;
	struct talk **out;
};

static enum err_code reach(void *ctx, struct err *e)
{
	struct reach *r = ctx;
	enum err_code rc = connect_once(r->c, r->role, r->database, r->out, e);

	if (rc == ERR_FAILED && may_come(e->msg))
		rc = e->code = ERR_ABSENT;
	return rc;
}

enum err_code mysql_reach(struct component *c, enum mysql_role role, const char *database, struct talk **out, struct err *e)
{
	struct reach r = { c, role, database, out };
	enum err_code rc = find_programs(c, e);

	if (rc)
		return rc;
	rc = component_wait(c, reach, &r, e);
	if (rc)
		err_prefix(e, "the server of %s", c->name);
	return rc;
}

enum err_code mysql_connect(struct component *c, enum mysql_role role, const char *database, struct talk **out,
			    struct err *e)
{
	enum err_code rc = mysql_reach(c, role, database, out, e);

	if (rc == ERR_ABSENT) /* of a repository, elsewhere */
		rc = e->code = ERR_FAILED;
	return rc;
}

/*
 * The statement of a vouch that was killed goes on in the server: its DROP DATABASE may come between our look and our dump.
 * The lock ends with its session, so after that statement.  A cluster that knows no such lock refuses the question: then
 * it is as before.
 */
static enum err_code wait_for_killed(struct component *c, struct talk *t, struct err *e)
{
	struct talk_rows rows = { 0 };
	struct buf b = BUF_INIT;
	char name[64], seconds[16];
	enum err_code rc;

	(void)snprintf(name, sizeof(name), "vouch %s", c->name);
	(void)snprintf(seconds, sizeof(seconds), "%u", MYSQL_RESTORE_LOCK_WAIT_S);
	mysql_form(&b, "SELECT GET_LOCK(?, $)", name, seconds);
	rc = talk_ask_buf(t, &b, &rows, e);
	if (rc == ERR_FAILED) {
		err_clear(e);
		rc = ERR_OK;
	} else if (!rc && talk_field(&rows, 0, 0) && strcmp(talk_field(&rows, 0, 0), "0") == 0) {
		rc = err_set(e, ERR_BUSY, "the server is still at work on an earlier restore of %s; try again when that has ended",
			     c->name);
	}
	talk_rows_release(&rows);
	return rc;
}

enum err_code mysql_connect_restore(struct component *c, enum mysql_role role, struct talk **out, struct err *e)
{
	enum err_code rc = mysql_connect(c, role, NULL, out, e);

	if (!rc)
		rc = wait_for_killed(c, *out, e);
	if (rc)
		return rc;
	return talk_do(*out, e, "SET SESSION lock_wait_timeout = %u, foreign_key_checks = 0", MYSQL_RESTORE_LOCK_WAIT_S);
}

/* Statements */

void mysql_form(struct buf *b, const char *form, ...)
{
	va_list args;

	va_start(args, form);
	talk_form(TALK_MYSQL, b, form, args);
	va_end(args);
}

void mysql_form_names(struct buf *b, const struct mysql_names *n)
{
	for (size_t i = 0; i < n->nr; i++)
		mysql_form(b, i ? ",?" : "(?", n->of[i].to);
	buf_add_str(b, n->nr ? ")" : "(NULL)");
}

uint64_t mysql_u64(const char *text)
{
	return text ? strtoull(text, NULL, 10) : 0;
}

enum err_code mysql_number(struct talk *t, struct buf *b, uint64_t *out, struct err *e)
{
	struct talk_rows rows = {0};
	enum err_code rc = talk_ask_buf(t, b, &rows, e);
	const char *v = rc ? NULL : talk_field(&rows, 0, 0);

	if (!rc && !v)
		rc = err_set(e, ERR_FAILED, "the server has no answer where a number was expected");
	if (!rc)
		*out = mysql_u64(v);
	talk_rows_release(&rows);
	return rc;
}

const struct component_ops component_mysql = {
	.type = "mysql",
	.main_file = MYSQL_DUMP,
	.item_kind = "table",
	.selector = "table",
	.rto = 20 * 60,
	.open = open_mysql,
	.close = close_mysql,
	.check = mysql_check,
	.dump = mysql_dump,
	.inspect = mysql_inspect,
	.read_back = mysql_read_back,
	.plan = mysql_plan,
	.restore = mysql_restore,
	.rollback = mysql_rollback,
	.discard = mysql_discard,
	.query = mysql_query,
	.examine = mysql_examine,
};
