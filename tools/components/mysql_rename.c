/* SPDX-License-Identifier: MIT */
/* A dump's statement for a database of another name: see mysql_sql.h. */
#include <stdint.h>
#include <string.h>

#include "tools/components/mysql_sql.h"
#include "tools/components/talk.h"

/* Where a name of a database may stand; a chain is name.name.name. */
enum where {
	NOWHERE,
	ALONE,	    /* CREATE DATABASE x, USE x */
	BEFORE_DOT, /* CREATE TABLE: nothing else has a dot in it */
	HEAD,	    /* of a trigger or routine: its name, and the table after ON */
	IN_VIEW
};

static const char *renamed(const struct mysql_renames *r, const struct mysql_token *k)
{
	char name[MYSQL_NAME_MAX + 1];

	if (!mysql_token_name(k, name))
		return NULL;
	for (size_t i = 0; i < r->nr; i++)
		if (strcmp(r->of[i].from, name) == 0)
			return r->of[i].to;
	return NULL;
}

/* With dots between them "shop"."orders" are names, too: sql_mode ANSI_QUOTES. */
static bool is_name(const struct mysql_token *k)
{
	return k->kind == MYSQL_TOKEN_NAME || k->kind == MYSQL_TOKEN_WORD || (k->kind == MYSQL_TOKEN_TEXT && k->p[0] == '"');
}

/* How many names the chain has that begins with a token t is past; *call: a parenthesis follows. */
static unsigned chain(struct mysql_tokens t, bool *call)
{
	struct mysql_token k;
	unsigned n = 1;

	for (;;) {
		*call = false;
		if (!mysql_token(&t, &k))
			return n;
		*call = mysql_token_is(&k, "(");
		if (!mysql_token_is(&k, ".") || !mysql_token(&t, &k) || !is_name(&k))
			return n;
		n++;
	}
}

static enum where where_of(enum mysql_sql_kind kind)
{
	switch (kind) {
	case MYSQL_SQL_DATABASE:
	case MYSQL_SQL_USE:
		return ALONE;
	case MYSQL_SQL_TABLE:
	case MYSQL_SQL_SEQUENCE:
		return BEFORE_DOT;
	case MYSQL_SQL_TRIGGER:
	case MYSQL_SQL_PROCEDURE:
	case MYSQL_SQL_FUNCTION:
	case MYSQL_SQL_EVENT:
	case MYSQL_SQL_PACKAGE:
	case MYSQL_SQL_PACKAGE_BODY:
		return HEAD;
	case MYSQL_SQL_VIEW:
		return IN_VIEW;
	default:
		return NOWHERE;
	}
}

struct reader {
	enum where where;
	enum mysql_sql_kind kind;
	size_t after_name;
	bool in_chain;	/* the token before was a dot */
	bool table;	/* a view: a table is what comes now (after FROM, JOIN) */
	bool on;	/* a trigger: ON was the token before, the first of them */
	bool head_done; /* a trigger: its table was seen */
};

/* Is the name k, after which t stands, that of a database? */
static bool is_database(const struct reader *d, const struct mysql_token *k, struct mysql_tokens t)
{
	bool call;
	unsigned n = chain(t, &call);

	if (!is_name(k) || d->in_chain)
		return false;
	switch (d->where) {
	case ALONE:
		return k->kind == MYSQL_TOKEN_NAME;
	case BEFORE_DOT:
		return n > 1;
	case HEAD:
		return n > 1 && (t.at < d->after_name || (d->on && !d->head_done));
	case IN_VIEW:
		return n > 2 || (n == 2 && (call || d->table));
	default:
		return false;
	}
}

static void step(struct reader *d, const struct mysql_token *k, size_t at)
{
	d->in_chain = mysql_token_is(k, ".");
	d->table = mysql_token_is(k, "FROM") || mysql_token_is(k, "JOIN") || mysql_token_is(k, "STRAIGHT_JOIN") ||
		   (d->table && mysql_token_is(k, "("));
	if (d->on)
		d->head_done = true;
	d->on = d->kind == MYSQL_SQL_TRIGGER && at > d->after_name && mysql_token_is(k, "ON");
}

/* ON COMPLETION [NOT] PRESERVE ENABLE: SHOW CREATE EVENT always says it, before any text of the user's but the schedule. */
static bool is_event_on(const struct reader *d, const struct mysql_token *k, const struct mysql_token *before)
{
	return d->kind == MYSQL_SQL_EVENT && mysql_token_is(k, "ENABLE") && mysql_token_is(before, "PRESERVE");
}

void mysql_sql_rename(const struct mysql_renames *r, const char *text, size_t len, struct buf *out)
{
	struct mysql_tokens t = { .p = text, .len = len };
	struct mysql_token k, before = { .kind = MYSQL_TOKEN_END };
	struct mysql_statement st;
	struct reader d = {0};
	bool status_seen = false;
	size_t done = 0;
	const char *to;

	if (mysql_sql_read(text, len, &st)) {
		d.kind = st.kind;
		d.after_name = st.after_name;
		d.where = where_of(st.kind);
	}
	while (d.where != NOWHERE && mysql_token(&t, &k)) {
		to = is_database(&d, &k, t) ? renamed(r, &k) : NULL;
		if (to) {
			buf_add(out, text + done, (size_t)(k.p - text) - done);
			talk_quote_name(TALK_MYSQL, out, to);
			done = t.at;
		} else if (r->events_off && !status_seen && is_event_on(&d, &k, &before)) {
			buf_add(out, text + done, (size_t)(k.p - text) - done);
			buf_add_str(out, "DISABLE");
			done = t.at;
			status_seen = true;
		}
		step(&d, &k, t.at);
		before = k;
	}
	buf_add(out, text + done, len - done);
}

bool mysql_sql_mentions(const struct mysql_renames *r, const char *text, size_t len)
{
	struct mysql_tokens t = { .p = text, .len = len };
	struct mysql_token k;
	struct mysql_statement st;
	bool call, in_chain = false;
	enum where w;

	if (!mysql_sql_read(text, len, &st))
		return false;
	w = where_of(st.kind);
	if (w != HEAD)
		return false;
	t.at = st.after_name;
	while (mysql_token(&t, &k)) {
		if (is_name(&k) && !in_chain && chain(t, &call) > 1 && renamed(r, &k))
			return true;
		in_chain = mysql_token_is(&k, ".");
	}
	return false;
}
