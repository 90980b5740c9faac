/* SPDX-License-Identifier: MIT */
/* What is looked at beside rows and sums: references, tables as the server checks them, the user's own queries. */
#include <stdlib.h>
#include <string.h>

#include "tools/components/mysql.h"

/* References: information_schema has a row for each column of each of them */

enum { CHILD_SCHEMA, CHILD, CONSTRAINT, COLUMN, PARENT_SCHEMA, PARENT, PARENT_COLUMN };

static bool same_reference(const struct talk_rows *r, size_t a, size_t b)
{
	for (size_t f = CHILD_SCHEMA; f <= CONSTRAINT; f++) {
		const char *x = talk_field(r, a, f), *y = talk_field(r, b, f);

		if (!x || !y || strcmp(x, y) != 0)
			return false;
	}
	return true;
}

/* Rows from to to - 1 are one reference. */
static enum err_code count_orphans(struct talk *t, const struct talk_rows *r, size_t from, size_t to, uint64_t *out,
				   struct err *e)
{
	struct buf b = BUF_INIT;

	for (size_t i = from; i < to; i++)
		for (size_t f = CHILD_SCHEMA; f <= PARENT_COLUMN; f++)
			if (!talk_field(r, i, f))
				return err_set(e, ERR_CORRUPT, "a foreign key without names");
	mysql_form(&b, "SELECT COUNT(*) FROM @.@ c LEFT JOIN @.@ p ON ", talk_field(r, from, CHILD_SCHEMA),
		   talk_field(r, from, CHILD), talk_field(r, from, PARENT_SCHEMA), talk_field(r, from, PARENT));
	for (size_t i = from; i < to; i++)
		mysql_form(&b, i > from ? " AND c.@ = p.@" : "c.@ = p.@", talk_field(r, i, COLUMN),
			   talk_field(r, i, PARENT_COLUMN));
	mysql_form(&b, " WHERE p.@ IS NULL", talk_field(r, from, PARENT_COLUMN));
	for (size_t i = from; i < to; i++)
		mysql_form(&b, " AND c.@ IS NOT NULL", talk_field(r, i, COLUMN));
	return mysql_number(t, &b, out, e);
}

static enum err_code tell_orphans(struct component *c, struct talk *t, const struct talk_rows *r, size_t from, size_t to,
				  void (*found)(struct component *c, const char *text), size_t *nr, struct err *e)
{
	struct err why = ERR_INIT;
	struct buf text = BUF_INIT;
	uint64_t rows = 0;
	enum err_code rc = count_orphans(t, r, from, to, &rows, &why);

	if (rc && rc != ERR_FAILED) {
		*e = why;
		return rc;
	}
	if (!rc && rows == 0)
		return ERR_OK;
	if (!rc)
		buf_printf(&text, "%llu row%s without what they refer to: ", (unsigned long long)rows, rows == 1 ? "" : "s");
	buf_printf(&text, "%s.%s (%s) refers to %s.%s", talk_field(r, from, CHILD_SCHEMA), talk_field(r, from, CHILD),
		   talk_field(r, from, CONSTRAINT), talk_field(r, from, PARENT_SCHEMA), talk_field(r, from, PARENT));
	if (rc) /* that table is not there any more, or we may not read the other */
		buf_printf(&text, ", and its rows could not be looked at: %s", why.msg);
	buf_add_u8(&text, '\0');
	found(c, text.bad ? "out of memory" : (const char *)text.p);
	buf_release(&text);
	++*nr;
	return ERR_OK;
}

/* *nr: of foreign keys that are told. */
static enum err_code orphans_of(struct component *c, struct talk *t, struct buf *where,
				void (*found)(struct component *c, const char *text), size_t *nr, struct err *e)
{
	struct talk_rows rows = {0};
	struct buf b = BUF_INIT;
	enum err_code rc;
	size_t to;

	buf_add_str(&b, "SELECT table_schema, table_name, constraint_name, column_name, referenced_table_schema, "
			"referenced_table_name, referenced_column_name FROM information_schema.key_column_usage "
			"WHERE referenced_table_name IS NOT NULL AND (");
	buf_add(&b, where->p, where->len);
	b.bad = b.bad || where->bad;
	buf_release(where);
	buf_add_str(&b, ") ORDER BY 1, 2, 3, ordinal_position");
	rc = talk_ask_buf(t, &b, &rows, e);
	for (size_t i = 0; i < rows.nr_rows && !rc; i = to) {
		for (to = i + 1; to < rows.nr_rows && same_reference(&rows, i, to); to++)
			;
		rc = tell_orphans(c, t, &rows, i, to, found, nr, e);
	}
	talk_rows_release(&rows);
	return rc;
}

static void note_orphans(struct component *c, const char *text)
{
	component_note(c, "%s: %s", c->name, text);
}

enum err_code mysql_note_orphans(struct component *c, struct talk *t, struct buf *where, struct err *e)
{
	size_t nr = 0;

	return orphans_of(c, t, where, note_orphans, &nr, e);
}

/* Examine */

static void orphans_found(struct component *c, const char *text)
{
	component_found(c, FINDING_FAILED, "foreign keys: %s", text);
}

/* CHECK TABLE says "status", "OK" last, or why not. */
static enum err_code check_one(struct component *c, struct talk *t, const char *database, const char *table, bool *good,
			       struct err *e)
{
	struct talk_rows rows = {0};
	struct buf b = BUF_INIT;
	enum err_code rc;

	mysql_form(&b, "CHECK TABLE @.@", database, table);
	rc = talk_ask_buf(t, &b, &rows, e);
	for (size_t i = 0; i < rows.nr_rows && !rc; i++) {
		const char *type = talk_field(&rows, i, 2), *text = talk_field(&rows, i, 3);

		if (!type || !text || (strcmp(type, "error") != 0 && strcmp(type, "Error") != 0))
			continue;
		component_found(c, FINDING_FAILED, "CHECK TABLE %s: %s", table, text);
		*good = false;
	}
	talk_rows_release(&rows);
	return rc;
}

static enum err_code check_tables(struct component *c, struct talk *t, const char *database, struct err *e)
{
	struct talk_rows rows = {0};
	struct buf b = BUF_INIT;
	bool good = true;
	size_t nr = 0;
	enum err_code rc;

	mysql_form(&b,
		   "SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND table_type <> 'SEQUENCE' "
		   "ORDER BY 1",
		   database);
	rc = talk_ask_buf(t, &b, &rows, e);
	for (size_t i = 0; i < rows.nr_rows && !rc; i++) {
		if (!talk_field(&rows, i, 0))
			continue;
		component_progress(c, "check tables", i, rows.nr_rows);
		rc = check_one(c, t, database, talk_field(&rows, i, 0), &good, e);
		nr++;
	}
	if (!rc && good)
		component_found(c, FINDING_OK, "database %s: CHECK TABLE of %zu tables and views", database, nr);
	talk_rows_release(&rows);
	return rc;
}

enum err_code mysql_examine(struct component *c, const char *into, const struct facts *recorded, struct err *e)
{
	struct mysql_names n = {0};
	struct talk *t = NULL;
	struct buf where = BUF_INIT;
	size_t orphans = 0;
	enum err_code rc = mysql_connect(c, mysql_role_of(mysql_of(c), into), NULL, &t, e);

	if (!rc)
		rc = mysql_names_recorded(c, recorded, into, &n, e);
	for (size_t i = 0; i < n.nr && !rc; i++)
		rc = check_tables(c, t, n.of[i].to, e);
	if (!rc) {
		buf_add_str(&where, "table_schema IN ");
		mysql_form_names(&where, &n);
		rc = orphans_of(c, t, &where, orphans_found, &orphans, e);
	}
	if (!rc && orphans == 0)
		component_found(c, FINDING_OK, "foreign keys: every row has what it refers to");
	talk_close(t);
	mysql_names_release(&n);
	return rc;
}

/* The user's queries */

enum err_code mysql_query(struct component *c, const char *into, const char *query, char **out, struct err *e)
{
	struct mysql *m = mysql_of(c);
	struct mysql_names n = {0};
	struct talk_rows rows = {0};
	struct talk *t = NULL, *first = NULL;
	struct buf b = BUF_INIT;
	enum err_code rc = mysql_connect(c, mysql_role_of(m, into), NULL, &first, e);

	if (!rc)
		rc = mysql_names_there(c, first, into, &n, e);
	talk_close(first);
	/* With several databases the query names them itself, but for a validate's copies, of which the first is the one. */
	if (!rc)
		rc = mysql_connect(c, mysql_role_of(m, into), n.nr > 0 ? n.of[0].to : NULL, &t, e);
	if (!rc)
		rc = talk_do(t, e, "START TRANSACTION READ ONLY");
	if (!rc)
		rc = talk_ask(t, query, &rows, e);
	if (!rc)
		talk_rows_lines(&b, &rows);
	buf_add_u8(&b, '\0');
	if (!rc && b.bad)
		rc = err_set(e, ERR_NOMEM, "an answer");
	if (!rc) {
		*out = (char *)b.p;
		b.p = NULL;
	}
	buf_release(&b);
	talk_rows_release(&rows);
	talk_close(t);
	mysql_names_release(&n);
	return rc;
}
