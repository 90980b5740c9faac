/* SPDX-License-Identifier: MIT */
/*
 * A dump.  mysqldump has no way to be given another session's snapshot, so that both begin under a lock that holds writers
 * for some ten milliseconds:
 *
 *   lock     FLUSH TABLES WITH READ LOCK ............... UNLOCK TABLES
 *   count        START TRANSACTION WITH CONSISTENT SNAPSHOT                 SELECT COUNT(*) ...   compared with the stream's
 * rows mysqldump        --single-transaction  START TRANSACTION ... | -- Table structure ... rows ... trailer, exit status 0
 *
 * Rows and sums come from the stream; the counts of the second session show that none was lost on the way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/components/mysql.h"

#define PIECE	  (256u << 10)
#define NAMED_MAX 5u /* tables in one message */

struct dumping {
	struct component *c;
	struct dump *d;
	struct mysql_names names;
	struct talk *count, *lock;
	struct talk_rows tables; /* database, table, transactional (YES), versioned (YES) */
	bool trusted;  /* count's snapshot is the dump's */
	bool history;  /* system-versioned tables with their history */
	bool binlog;   /* its position can be asked for */
	bool again;    /* the definition of a table changed: another try may do */
	bool tolerant; /* what is there now is looked at, or kept: a view that does not work is no reason to stop */
};

/* Before */

static enum err_code server_facts(struct dumping *g, struct err *e)
{
	static const char *const names[] = {"version",	     "server_id", "log_bin", "lower_case_table_names",
						"character_set", "time_zone"};
	struct facts *f = g->d->facts;
	struct talk_rows rows = {0};
	struct buf b = BUF_INIT;
	enum err_code rc = talk_ask(
	    g->count,
		"SELECT VERSION(), @@server_id, @@log_bin, @@lower_case_table_names, @@character_set_server, "
		"@@global.time_zone",
	    &rows, e);

	for (size_t i = 0; i < ARRAY_LEN(names) && !rc; i++) {
		const char *v = talk_field(&rows, 0, i);

		facts_set_in(f, i == 1 ? "position" : "settings", names[i], v ? v : "");
	}
	if (!rc && talk_field(&rows, 0, 0))
		facts_set(f, "server", talk_field(&rows, 0, 0));
	facts_set(f, "tool", mysql_of(g->c)->version);
	facts_set_in(f, "settings", "layout", g->names.several ? "several" : "one");
	if (mysql_of(g->c)->into)
		facts_set_in(f, "settings", "into", mysql_of(g->c)->into);
	g->binlog = !rc && mysql_u64(talk_field(&rows, 0, 2)) == 1;
	talk_rows_release(&rows);
	for (size_t i = 0; i < g->names.nr && !rc; i++) {
		char is[2 * MYSQL_NAME_MAX];

		mysql_form(&b,
			   "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata "
			   "WHERE schema_name = ?",
			   g->names.of[i].to);
		rc = talk_ask_buf(g->count, &b, &rows, e);
		if (!rc && rows.nr_rows == 1) {
			(void)snprintf(is, sizeof(is), "%.64s %.64s", talk_field(&rows, 0, 0), talk_field(&rows, 0, 1));
			facts_is(f, "database", g->names.of[i].own, is);
		}
		talk_rows_release(&rows);
	}
	return rc;
}

static enum err_code list_tables(struct dumping *g, struct err *e)
{
	struct buf b = BUF_INIT;

	talk_rows_release(&g->tables);
	if (g->names.nr == 0)
		return ERR_OK;
	mysql_form(&b, "SELECT t.table_schema, t.table_name, COALESCE(e.transactions, 'NO'), IF(t.table_type = 'SYSTEM "
		       "VERSIONED', 'YES', 'NO') "
		       "FROM information_schema.tables t LEFT JOIN information_schema.engines e ON e.engine = t.engine "
		       "WHERE t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND t.table_schema IN ");
	mysql_form_names(&b, &g->names);
	buf_add_str(&b, " ORDER BY 1, 2");
	return talk_ask_buf(g->count, &b, &g->tables, e);
}

static bool is_wanted(const struct dumping *g, const char *table)
{
	const struct mysql *m = mysql_of(g->c);

	for (size_t i = 0; i < m->nr_tables; i++)
		if (strcmp(m->tables[i], table) == 0)
			return true;
	return m->nr_tables == 0;
}

static const char *own_name(const struct dumping *g, const char *there)
{
	for (size_t i = 0; i < g->names.nr; i++)
		if (strcmp(g->names.of[i].to, there) == 0)
			return g->names.of[i].own;
	return there;
}

static void key_of(const struct dumping *g, size_t row, struct buf *key)
{
	const char *database = talk_field(&g->tables, row, 0), *table = talk_field(&g->tables, row, 1);

	mysql_key(key, &g->names, own_name(g, database ? database : ""), table ? table : "");
}

static bool is_yes(const struct dumping *g, size_t row, size_t field)
{
	const char *v = talk_field(&g->tables, row, field);

	return v && strcmp(v, "YES") == 0;
}

/* Held for at most MYSQL_LOCK_HOLD_S by the server itself: a vouch that is stopped must not stop everybody. */
static enum err_code take_lock(struct dumping *g, struct err *e)
{
	struct component *c = g->c;
	enum err_code rc = mysql_connect(c, mysql_role_of(mysql_of(c), mysql_of(c)->into), NULL, &g->lock, e);

	if (!rc)
		rc = talk_do(g->lock, e, "SET SESSION lock_wait_timeout = %u, wait_timeout = %u", MYSQL_LOCK_WAIT_S,
			     MYSQL_LOCK_HOLD_S);
	if (!rc)
		rc = talk_do(g->lock, e, "FLUSH TABLES WITH READ LOCK");
	if (!rc)
		rc = talk_do(g->count, e, "START TRANSACTION WITH CONSISTENT SNAPSHOT");
	return rc;
}

static enum err_code begin(struct dumping *g, struct err *e)
{
	struct mysql *m = mysql_of(g->c);
	struct err why = ERR_INIT;
	enum err_code rc = talk_do(g->count, e, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ");

	if (rc || !g->d->to || !m->count)
		return rc;
	rc = take_lock(g, &why);
	if (rc == ERR_CANCELED || rc == ERR_NOMEM || rc == ERR_ABSENT) {
		*e = why;
		return rc;
	}
	g->trusted = rc == ERR_OK;
	if (rc) {
		talk_close(g->lock);
		g->lock = NULL;
		component_note(g->c, "%s: no lock for the moment of its beginning (%s): rows are counted in the dump alone",
			       g->c->name, why.msg);
	}
	return ERR_OK;
}

/* The dump has its snapshot. */
static enum err_code unlock(void *ctx, struct err *e)
{
	struct dumping *g = ctx;
	struct err why = ERR_INIT;

	(void)e;
	if (!g->lock)
		return ERR_OK;
	if (talk_do(g->lock, &why, "UNLOCK TABLES")) {
		g->trusted = false;
		component_note(g->c, "%s: the lock ran out before the dump began (%s): rows are counted in the dump alone",
			       g->c->name, why.msg);
	}
	talk_close(g->lock);
	g->lock = NULL;
	return ERR_OK;
}

/* The program */

/* No LOCK TABLES in the dump: under it a table whose default is a sequence's next value cannot be filled (error 1100). */
static void add_options(struct dumping *g, struct mysql_words *w)
{
	static const char *const all[] = {"--opt", "--skip-add-locks",
					  "--single-transaction",
					  "--quick",
					  "--comments",
					  "--hex-blob",
					  "--skip-dump-date",
					  "--tz-utc",
					  "--default-character-set=utf8mb4",
					  "--max-allowed-packet=1G",
					  "--triggers",
					  NULL};
	static const char *const mysqls[] = {"--set-gtid-purged=OFF", "--column-statistics=0", "--no-tablespaces", NULL};
	const struct mysql *m = mysql_of(g->c);

	for (size_t i = 0; all[i]; i++)
		mysql_words_add(w, all[i]);
	if (g->tolerant)
		mysql_words_add(w, "--force");
	for (size_t i = 0; mysqls[i] && !m->mariadb; i++)
		mysql_words_add(w, mysqls[i]);
	if (g->binlog)
		mysql_words_add(w, m->mariadb ? "--master-data=2" : "--source-data=2");
	if (g->history)
		mysql_words_add(w, "--dump-history");
	if (m->nr_tables == 0) {
		mysql_words_add(w, "--routines");
		mysql_words_add(w, "--events");
	}
	if (g->names.several)
		mysql_words_add(w, "--databases");
	mysql_words_add(w, "--");
	for (size_t i = 0; i < g->names.nr; i++)
		mysql_words_add(w, g->names.of[i].to);
	for (size_t i = 0; i < m->nr_tables; i++)
		mysql_words_add(w, m->tables[i]);
}

/* Each line that it said is of a view that does not work: 1356 a table is gone, 1449 its definer is. */
static bool only_views(const char *said)
{
	const char *nl;

	for (; *said; said = nl ? nl + 1 : said + strlen(said)) {
		size_t len;

		nl = strchr(said, '\n');
		len = nl ? (size_t)(nl - said) : strlen(said);
		if (len > 0 && !memmem(said, len, "(1356)", 6) && !memmem(said, len, "(1449)", 6))
			return false;
	}
	return true;
}

/* 1412: a table was altered after the snapshot was made; 1146, 1051: it was dropped. */
static bool may_do_again(const char *said)
{
	return strstr(said, "1412") || strstr(said, "1146") || strstr(said, "1051");
}

static enum err_code pump(struct dumping *g, struct spawn *s, struct mysql_intake *in, struct err *e)
{
	char *piece = malloc(PIECE);
	enum err_code rc = piece ? ERR_OK : err_set(e, ERR_NOMEM, "read a dump");
	size_t n = 1;

	while (!rc && n > 0) {
		rc = spawn_read(s, g->c->cancel, piece, PIECE, &n, e);
		if (!rc && n > 0)
			rc = mysql_intake_feed(in, piece, n, e);
	}
	free(piece);
	return rc;
}

static enum err_code run(struct dumping *g, struct err *e)
{
	const struct mysql_intake_options o = { .c = g->c, .d = g->d, .names = &g->names, .begun = unlock, .ctx = g };
	struct mysql *m = mysql_of(g->c);
	struct mysql_intake *in = NULL;
	struct spawn *s = NULL;
	struct mysql_words w;
	enum err_code rc = mysql_intake_open(&o, &in, e);

	mysql_words_init(&w, g->c, mysql_role_of(m, m->into), m->dumper);
	add_options(g, &w);
	if (!rc)
		rc = mysql_words_start(g->c, &w, SPAWN_STDIN_NONE, &s, e);
	if (!rc)
		rc = pump(g, s, in, e);
	if (!rc) {
		rc = spawn_end(s, g->c->cancel, e);
		g->again = rc == ERR_FAILED && may_do_again(spawn_err(s));
		if (rc == ERR_FAILED && g->tolerant && spawn_err(s)[0] && only_views(spawn_err(s))) {
			component_note(g->c, "%s: a view that is there now does not work, and is left out: %s", g->c->name,
				       e->msg);
			err_clear(e);
			rc = ERR_OK;
		}
	}
	if (!rc) {
		rc = mysql_intake_finish(in, e);
		if (rc == ERR_CORRUPT) {
			err_prefix(e, "%s ended with status 0, but", m->dumper);
			e->code = rc = ERR_FAILED;
		}
	}
	if (!rc) {
		facts_set_u64(g->d->facts, "lines", mysql_intake_lines(in));
		facts_set_u64(g->d->facts, "longest_statement", mysql_intake_longest(in));
	}
	spawn_close(s);
	mysql_words_release(&w);
	mysql_intake_close(in);
	return rc;
}

/* After */

static enum err_code compare_count(struct dumping *g, size_t row, const char *key, struct err *e)
{
	uint64_t dumped = 0, counted = 0;
	struct buf b = BUF_INIT;
	struct err why = ERR_INIT;
	enum err_code rc;

	mysql_form(&b, "SELECT COUNT(*) FROM @.@$", talk_field(&g->tables, row, 0), talk_field(&g->tables, row, 1),
		   g->history && is_yes(g, row, 3) ? " FOR SYSTEM_TIME ALL" : "");
	rc = mysql_number(g->count, &b, &counted, &why);
	if (rc == ERR_FAILED) { /* altered since: the snapshot does not show it any more */
		component_note(g->c, "%s: table %s could not be counted a second time: %s", g->c->name, key, why.msg);
		return ERR_OK;
	}
	if (rc) {
		*e = why;
		return rc;
	}
	if (!facts_rows_of(g->d->facts, "table", key, &dumped) || dumped == counted)
		return ERR_OK;
	return err_set(e, ERR_FAILED, "table %s: the dump has %llu rows where the server had %llu at the same moment", key,
		       (unsigned long long)dumped, (unsigned long long)counted);
}

/* Every table that was there is in the dump, and whole. */
static enum err_code compare(struct dumping *g, struct err *e)
{
	struct buf key = BUF_INIT;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < g->tables.nr_rows && !rc; i++) {
		if (!is_wanted(g, talk_field(&g->tables, i, 1)))
			continue;
		key_of(g, i, &key);
		if (key.bad)
			rc = err_set(e, ERR_NOMEM, "tables");
		else if (!facts_item(g->d->facts, "table", (const char *)key.p)) {
			g->again = true;
			rc = err_set(e, ERR_FAILED, "table %s was there when the dump began, and is not in it",
				     (const char *)key.p);
		} else if (g->trusted && is_yes(g, i, 2)) {
			rc = compare_count(g, i, (const char *)key.p, e);
		}
	}
	buf_release(&key);
	return rc;
}

/* What no snapshot holds still. */
static enum err_code mark_moving(struct dumping *g, struct err *e)
{
	struct buf key = BUF_INIT, list = BUF_INIT;
	enum err_code rc = ERR_OK;
	size_t nr = 0;

	for (size_t i = 0; i < g->tables.nr_rows; i++) {
		if (is_yes(g, i, 2) || !is_wanted(g, talk_field(&g->tables, i, 1)))
			continue;
		key_of(g, i, &key);
		if (key.bad)
			break;
		facts_moving(g->d->facts, "table", (const char *)key.p);
		if (nr++ < NAMED_MAX)
			buf_printf(&list, "%s%s", nr > 1 ? ", " : "", (const char *)key.p);
	}
	buf_add_u8(&list, '\0');
	if (key.bad || list.bad)
		rc = err_set(e, ERR_NOMEM, "tables");
	else if (nr > 0 && g->d->to)
		component_note(
		    g->c, "%s: %zu table%s no transactions (%s%s): rows that were written meanwhile may be half there",
		    g->c->name, nr, nr > 1 ? "s have" : " has", (const char *)list.p, nr > NAMED_MAX ? ", ..." : "");
	buf_release(&key);
	buf_release(&list);
	return rc;
}

/* With status 0 and a trailer, what the user may not see is not there: said before, it can be granted. */
static enum err_code check_rights(struct dumping *g, struct err *e)
{
	unsigned rights = 0;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < g->names.nr && !rc; i++) {
		rc = mysql_rights(g->count, g->names.of[i].to, &rights, e);
		if (!rc && !(rights & MYSQL_TRIGGERS))
			rc = err_set(e, ERR_FAILED,
				     "no right TRIGGER for database %s: mysqldump would leave triggers out without a word",
				     g->names.of[i].to);
		if (!rc && !(rights & MYSQL_SEE_ROUTINES))
			rc = err_set(e, ERR_FAILED,
				     "no right SELECT on mysql.proc: mysqldump would leave the routines of database %s out "
				     "without a word",
				     g->names.of[i].to);
	}
	return rc;
}

static enum err_code prepare(struct dumping *g, struct err *e)
{
	struct mysql *m = mysql_of(g->c);
	enum err_code rc = mysql_connect(g->c, mysql_role_of(m, m->into), NULL, &g->count, e);
	struct err why = ERR_INIT;
	struct talk_rows rows = {0};

	if (!rc)
		rc = mysql_names_there(g->c, g->count, m->into, &g->names, e);
	if (!rc)
		rc = check_rights(g, e);
	if (!rc)
		rc = server_facts(g, e);
	if (!rc && g->binlog) { /* the right to ask for the position is one of its own */
		rc = talk_ask(g->count, "SHOW MASTER STATUS", &rows, &why);
		g->binlog = rc == ERR_OK && rows.nr_rows > 0;
		talk_rows_release(&rows);
		if (rc == ERR_FAILED) {
			rc = ERR_OK;
			if (g->d->to)
				component_note(g->c, "%s: the position in the binary log is not recorded: %s", g->c->name,
					       why.msg);
		} else if (rc) {
			*e = why;
		}
	}
	/* Of 10,000 tables that takes seconds: not under the lock.  One that is dropped in between costs another try. */
	if (!rc)
		rc = list_tables(g, e);
	for (size_t i = 0; i < g->tables.nr_rows && !rc; i++)
		g->history = g->history || (m->mariadb && is_yes(g, i, 3));
	if (!rc)
		rc = begin(g, e);
	if (!rc && g->d->to)
		rc = mysql_replica_facts(g->count, g->d->facts, e);
	return rc;
}

/* *again: another try may do. */
static enum err_code dump_once(struct component *c, struct dump *d, bool *again, struct err *e)
{
	struct dumping g = { .c = c, .d = d, .tolerant = mysql_of(c)->some || !d->to };
	enum err_code rc = prepare(&g, e);

	if (!rc)
		rc = run(&g, e);
	talk_close(g.lock); /* whatever happened, it is gone now */
	g.lock = NULL;
	if (!rc)
		rc = compare(&g, e);
	if (!rc)
		rc = mark_moving(&g, e);
	if (!rc)
		rc = mysql_users(c, d, e);
	*again = g.again;
	talk_close(g.count);
	talk_rows_release(&g.tables);
	mysql_names_release(&g.names);
	return rc;
}

enum err_code mysql_dump(struct component *c, struct dump *d, struct err *e)
{
	bool again = false;
	enum err_code rc = dump_once(c, d, &again, e);

	if (!rc || !again)
		return rc;
	component_note(c, "%s: %s; once more", c->name, e->msg);
	err_clear(e);
	if (d->to)
		assembly_drop(d->to, d->folder);
	facts_release(d->facts);
	facts_begin(d->facts, c->ops->type, c->name);
	return dump_once(c, d, &again, e);
}

enum err_code mysql_inspect(struct component *c, const char *into, struct facts *out, struct err *e)
{
	struct mysql *m = mysql_of(c);
	struct dump d = { .facts = out };
	enum err_code rc;

	m->into = into;
	rc = mysql_dump(c, &d, e);
	m->into = NULL;
	return rc;
}
