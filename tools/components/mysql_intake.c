/* SPDX-License-Identifier: MIT */
/*
 * A dump's stream: the whole into dump.sql, each table beside it with the session's settings before and after it (a table's
 * rows alone, read in another time zone or sql_mode, come back wrong with exit status 0), rows and definitions into facts.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/components/mysql.h"

#define HEADER_MAX (64u << 10)

struct mysql_intake {
	struct mysql_intake_options o;
	struct mysql_stream *stream;
	struct mysql_rename *back; /* what they are called in the text, to the component's names */
	struct mysql_renames renames;
	struct buf header, trailer; /* of a table's file */
	struct buf key, file_name, text;
	char database[MYSQL_NAME_MAX + 1]; /* by the component's name */
	enum mysql_part part;
	bool begun;
	char name[MYSQL_NAME_MAX + 1]; /* of the table */
	struct rowsum sum;
	struct assembly_file *whole, *table;
	uint64_t bytes;
};

/* The file and the facts of the table that was read. */
static enum err_code end_table(struct mysql_intake *in, struct err *e)
{
	struct assembly_file *f = in->table;
	char sum[ROWSUM_TEXT_LEN + 1];
	enum err_code rc;

	if (in->part != MYSQL_TABLE && in->part != MYSQL_SEQUENCE)
		return ERR_OK;
	if (in->part == MYSQL_TABLE) {
		rowsum_text(&in->sum, sum);
		facts_rows(in->o.d->facts, "table", (const char *)in->key.p, in->sum.rows, sum);
	}
	in->part = MYSQL_DATABASE;
	rc = dump_write(f, in->trailer.p, in->trailer.len, e);
	if (rc)
		return rc;
	in->table = NULL;
	return dump_file_close(in->o.d, (const char *)in->file_name.p, f, e);
}

static enum err_code on_part(void *ctx, enum mysql_part part, const char *name, struct err *e)
{
	struct mysql_intake *in = ctx;
	enum err_code rc = end_table(in, e);

	if (!rc && !in->begun && in->o.begun)
		rc = in->o.begun(in->o.ctx, e);
	in->begun = true;
	in->part = part;
	if (rc || (part != MYSQL_TABLE && part != MYSQL_SEQUENCE))
		return rc;
	(void)snprintf(in->name, sizeof(in->name), "%s", name);
	in->sum = (struct rowsum){0};
	mysql_key(&in->key, in->o.names, in->database, name);
	mysql_table_file(&in->file_name, in->o.names, in->database, name);
	if (in->key.bad || in->file_name.bad)
		return err_set(e, ERR_NOMEM, "table %s", name);
	component_progress(in->o.c, name, in->bytes, 0);
	rc = dump_file_open(in->o.d, (const char *)in->file_name.p, &in->table, e);
	return rc ? rc : dump_write(in->table, in->header.p, in->header.len, e);
}

static enum err_code on_rows(void *ctx, const char *table, struct rowsum **out, struct err *e)
{
	struct mysql_intake *in = ctx;

	if (in->part != MYSQL_TABLE || strcmp(table, in->name) != 0)
		return err_set(e, ERR_CORRUPT, "rows of table %.80s where they do not belong", table);
	*out = &in->sum;
	return ERR_OK;
}

/* "SET @OLD_TIME_ZONE=@@TIME_ZONE" in the header wants "SET TIME_ZONE=@OLD_TIME_ZONE" in the trailer, the last first. */
static void add_trailer(struct mysql_intake *in, const char *p, size_t len)
{
	static const char old[] = "@OLD_";
	const char *at = memmem(p, len, old, sizeof(old) - 1), *end = p + len, *set = memmem(p, len, "SET ", 4), *eq;
	struct buf all = BUF_INIT;
	size_t n;

	if (!at || !set || set > at)
		return;
	for (n = 0; at + n < end && (at[n] == '@' || at[n] == '_' || (at[n] >= 'A' && at[n] <= 'Z')); n++)
		;
	eq = at + n;
	if (end - eq < 3 || memcmp(eq, "=@@", 3) != 0)
		return;
	buf_add(&all, p, (size_t)(set + 4 - p)); /* for the same versions */
	for (const char *v = eq + 3; v < end && (*v == '_' || (*v >= 'A' && *v <= 'Z')); v++)
		buf_add(&all, v, 1);
	buf_add_u8(&all, '=');
	buf_add(&all, at, n);
	buf_add_str(&all, " */;\n");
	buf_add(&all, in->trailer.p, in->trailer.len);
	if (all.bad)
		in->trailer.bad = true;
	buf_release(&in->trailer);
	in->trailer = all;
}

static enum err_code header_piece(struct mysql_intake *in, enum mysql_piece kind, const char *p, size_t len, struct err *e)
{
	static const char sandbox[] = "/*M!999999\\-";
	const char *nl = memchr(p, '\n', len);

	if (kind == MYSQL_STATEMENT) {
		buf_add(&in->header, p, len);
		buf_add_u8(&in->header, '\n');
		add_trailer(in, p, len);
	} else if (nl && len > sizeof(sandbox) && memcmp(p, sandbox, sizeof(sandbox) - 1) == 0) {
		buf_add(&in->header, p, (size_t)(nl + 1 - p));
	}
	if (in->header.bad || in->trailer.bad)
		return err_set(e, ERR_NOMEM, "header of the dump");
	if (in->header.len > HEADER_MAX)
		return err_set(e, ERR_CORRUPT, "the dump's header has more than %u bytes", HEADER_MAX);
	return ERR_OK;
}

/* 'text' after what, in a comment. */
static void take_quoted(struct facts *f, const char *key, const char *p, size_t len, const char *what)
{
	const char *at = memmem(p, len, what, strlen(what)), *from, *end;
	char value[512];

	if (!at)
		return;
	from = at + strlen(what);
	end = memchr(from, '\'', (size_t)(p + len - from));
	if (!end || (size_t)(end - from) >= sizeof(value))
		return;
	memcpy(value, from, (size_t)(end - from));
	value[end - from] = '\0';
	facts_set_in(f, "position", key, value);
}

static void take_number(struct facts *f, const char *key, const char *p, size_t len, const char *what)
{
	const char *at = memmem(p, len, what, strlen(what));
	char value[24];
	size_t n = 0;

	if (!at)
		return;
	for (at += strlen(what); at < p + len && *at >= '0' && *at <= '9' && n + 1 < sizeof(value); at++)
		value[n++] = *at;
	value[n] = '\0';
	if (n > 0)
		facts_set_in(f, "position", key, value);
}

/*
 * The binary log's position stands in comments of the header; those of parts have names in them, and a table may be called
 * as a position.  The GTID is in the last comment before the trailer: what a name made of it before is replaced.
 */
static void take_position(struct mysql_intake *in, const char *p, size_t len)
{
	struct facts *f = in->o.d->facts;

	take_quoted(f, "gtid", p, len, "SET GLOBAL gtid_slave_pos='");
	if (in->part != MYSQL_HEADER)
		return;
	take_quoted(f, "file", p, len, "MASTER_LOG_FILE='");
	take_number(f, "pos", p, len, "MASTER_LOG_POS=");
	take_quoted(f, "file", p, len, "SOURCE_LOG_FILE='");
	take_number(f, "pos", p, len, "SOURCE_LOG_POS=");
}

static void take_use(struct mysql_intake *in, const char *text)
{
	const struct mysql_names *n = in->o.names;

	for (size_t i = 0; i < n->nr; i++)
		if (strcmp(n->of[i].text, text) == 0)
			(void)snprintf(in->database, sizeof(in->database), "%s", n->of[i].own);
}

static enum err_code take_statement(struct mysql_intake *in, const char *p, size_t len, struct err *e)
{
	struct mysql_statement st;

	if (!mysql_sql_read(p, len, &st))
		return ERR_OK;
	if (st.kind == MYSQL_SQL_USE) {
		take_use(in, st.name);
		return ERR_OK;
	}
	if (st.kind == MYSQL_SQL_OTHER || in->part == MYSQL_STAND_IN || in->part == MYSQL_HEADER)
		return ERR_OK;
	buf_reset(&in->text);
	mysql_sql_rename(&in->renames, p, len, &in->text);
	if (in->text.bad)
		return err_set(e, ERR_NOMEM, "the definition of %s", st.name);
	if (mysql_sql_read((const char *)in->text.p, in->text.len, &st))
		mysql_facts_statement(in->o.d->facts, in->o.names, in->database,
				      in->part == MYSQL_TABLE ? (const char *)in->key.p : NULL, (const char *)in->text.p,
				      in->text.len, &st);
	return ERR_OK;
}

static enum err_code on_piece(void *ctx, enum mysql_piece kind, const char *p, size_t len, struct err *e)
{
	struct mysql_intake *in = ctx;
	enum err_code rc = ERR_OK;

	if (in->part == MYSQL_HEADER)
		rc = header_piece(in, kind, p, len, e);
	if (!rc && kind == MYSQL_GAP)
		take_position(in, p, len);
	if (!rc && kind == MYSQL_STATEMENT)
		rc = take_statement(in, p, len, e);
	if (!rc && (in->part == MYSQL_TABLE || in->part == MYSQL_SEQUENCE))
		rc = dump_write(in->table, p, len, e);
	return rc;
}

enum err_code mysql_intake_open(const struct mysql_intake_options *o, struct mysql_intake **out, struct err *e)
{
	struct mysql_intake *in = calloc(1, sizeof(*in));
	struct mysql_stream_events ev = { .part = on_part, .piece = on_piece, .rows = on_rows, .ctx = in };
	enum err_code rc = in ? ERR_OK : err_set(e, ERR_NOMEM, "read a dump");

	if (rc)
		return rc;
	in->o = *o;
	in->back = calloc(o->names->nr + 1, sizeof(*in->back));
	if (!in->back)
		rc = err_set(e, ERR_NOMEM, "read a dump");
	for (size_t i = 0; i < o->names->nr && !rc; i++)
		in->back[i] = (struct mysql_rename){.from = o->names->of[i].text, .to = o->names->of[i].own};
	/* Always: what the user wrote as shop.t and what was made of it compare as `shop`.t; a copy's events are off. */
	in->renames = (struct mysql_renames){.of = in->back, .nr = o->names->nr, .events_off = true};
	if (!o->names->several && o->names->nr > 0)
		(void)snprintf(in->database, sizeof(in->database), "%s", o->names->of[0].own);
	buf_add_str(&in->trailer, "\n-- Dump completed\n");
	if (!rc)
		rc = mysql_stream_open(&ev, &in->stream, e);
	if (!rc)
		rc = dump_file_open(o->d, MYSQL_DUMP, &in->whole, e);
	if (rc)
		mysql_intake_close(in);
	else
		*out = in;
	return rc;
}

enum err_code mysql_intake_feed(struct mysql_intake *in, const void *buf, size_t len, struct err *e)
{
	enum err_code rc = dump_write(in->whole, buf, len, e);

	in->bytes += len;
	return rc ? rc : mysql_stream_feed(in->stream, buf, len, e);
}

enum err_code mysql_intake_finish(struct mysql_intake *in, struct err *e)
{
	struct assembly_file *f = in->whole;
	enum err_code rc = mysql_stream_finish(in->stream, e);

	if (!rc)
		rc = end_table(in, e);
	if (rc)
		return rc;
	in->whole = NULL;
	return dump_file_close(in->o.d, MYSQL_DUMP, f, e);
}

uint64_t mysql_intake_lines(const struct mysql_intake *in)
{
	return mysql_stream_lines(in->stream);
}

uint64_t mysql_intake_longest(const struct mysql_intake *in)
{
	return mysql_stream_longest(in->stream);
}

void mysql_intake_close(struct mysql_intake *in)
{
	if (!in)
		return;
	mysql_stream_close(in->stream);
	if (in->table)
		assembly_file_drop(in->table);
	if (in->whole)
		assembly_file_drop(in->whole);
	buf_release(&in->header);
	buf_release(&in->trailer);
	buf_release(&in->key);
	buf_release(&in->file_name);
	buf_release(&in->text);
	free(in->back);
	free(in);
}

static enum err_code on_bytes(void *ctx, const void *buf, size_t len, struct err *e)
{
	return mysql_intake_feed(ctx, buf, len, e);
}

enum err_code mysql_intake_file(struct component *c, struct restore_job *j, const char *file,
				const struct mysql_names *names, struct facts *found, struct err *e)
{
	struct dump d = { .facts = found };
	const struct mysql_intake_options o = { .c = c, .d = &d, .names = names };
	struct mysql_intake *in = NULL;
	enum err_code rc;

	facts_begin(found, c->ops->type, c->name);
	rc = mysql_intake_open(&o, &in, e);
	if (!rc)
		rc = mysql_each_piece(c, j, file, on_bytes, in, e);
	if (!rc)
		rc = mysql_intake_finish(in, e);
	if (!rc)
		rc = facts_check(found, e);
	mysql_intake_close(in);
	return rc;
}
