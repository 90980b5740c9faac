/* SPDX-License-Identifier: MIT */
/*
 * Single tables out of a dump, in one transaction of the database that is there:
 *
 *   missing   all its entries of the archive (pg_restore -L): definition, rows, keys, indexes, sequences, triggers, grants
 *   present   its rows are kept in the schema vouch_before, deleted, and replaced; foreign keys that refer to it or from it
 *             are looked at afterwards, and an orphan takes all back.  No other table is written: no TRUNCATE, no CASCADE.
 *
 * The way back is what vouch_before holds; a table that was missing is dropped again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/components/postgres_choice.h"

enum err_code pg_table_plan(struct component *c, struct restore_job *j, struct err *e)
{
	struct pg_tables s;
	enum err_code rc = pg_tables_open(&s, c, j, e);

	for (size_t i = 0; !rc && i < s.nr; i++) {
		uint64_t rows = 0;

		(void)facts_rows_of(j->recorded, "table", s.v[i].name, &rows);
		if (s.v[i].there)
			component_note(c, "keep the rows of %s in schema " PG_BEFORE ", and replace them by the %llu of the dump",
				       s.v[i].name, (unsigned long long)rows);
		else
			component_note(c, "make %s anew with its keys, indexes, sequences and %llu rows", s.v[i].name,
				       (unsigned long long)rows);
	}
	if (!rc)
		component_note(c, "look for orphans of its foreign keys, both ways; if there is one, leave all as it is");
	pg_tables_release(&s);
	return rc;
}

/* The transaction. */

struct psql {
	struct spawn *program;
	const atomic_bool *cancel;
	struct pg_tool tool;
};

static enum err_code to_psql(void *ctx, const void *buf, size_t len, struct err *e)
{
	struct psql *to = ctx;

	return spawn_write(to->program, to->cancel, buf, len, e);
}

/*
 * `pg_restore -f - -L IDS`: the numbers reach it by a descriptor that a shell fills, so that behind via, too, no file
 * is needed; the archive itself is its standard input.
 */
static enum err_code stream_ids(struct pg_tables *s, const struct pgtoc *ids, struct psql *to, struct err *e)
{
	struct buf script = BUF_INIT;
	struct pg_tool t = { .argv = { (char *)(uintptr_t)"sh" }, .nr = 1 };
	enum err_code rc;

	buf_add_str(&script, "exec \"$@\" 3<<END\n");
	for (size_t i = 0; i < ids->nr; i++)
		buf_printf(&script, "%u;\n", ids->ids[i]);
	buf_printf(&script, "END\n%c", 0);
	pg_tool_add(&t, "-c");
	pg_tool_add(&t, "%s", script.bad ? "" : (const char *)script.p);
	pg_tool_add(&t, "sh");
	pg_tool_add(&t, "%s", pg_of(s->c)->programs[PG_PG_RESTORE]);
	pg_tool_add(&t, "-L/dev/fd/3");
	pg_tool_add(&t, "-f-");
	rc = script.bad ? err_set(e, ERR_NOMEM, "list of entries") : pg_through(s->c, s->j, &t, to_psql, to, e);
	buf_release(&script);
	pg_tool_release(&t);
	return rc;
}

/* What it answers goes nowhere: its standard output is for has_done(). */
static enum err_code start_psql(struct pg_tables *s, struct psql *to, struct err *e)
{
	*to = (struct psql){ .cancel = s->c->cancel };
	pg_tool_init(&to->tool, s->c, PG_RESTORE, s->database, PG_PSQL);
	pg_tool_add(&to->tool, "-Xq");
	pg_tool_add(&to->tool, "-o/dev/null");
	pg_tool_add(&to->tool, "-vON_ERROR_STOP=1");
	return pg_tool_start(s->c, &to->tool, SPAWN_STDIN_PIPE, false, &to->program, e);
}

static void end_psql(struct psql *to)
{
	spawn_close(to->program);
	pg_tool_release(&to->tool);
}

/* What is appended is asked at once. */
static enum err_code say(struct psql *to, struct buf *sql, struct err *e)
{
	enum err_code rc;

	if (sql->bad)
		rc = err_set(e, ERR_NOMEM, "a statement");
	else
		rc = to_psql(to, sql->p, sql->len, e);
	buf_release(sql);
	return rc;
}

/* Wait until it has done all that it was told; after an error it would have ended. */
static enum err_code has_done(struct psql *to, struct err *e)
{
	struct buf echo = BUF_INIT;
	enum err_code rc;
	size_t n = 0;
	char c;

	buf_add_str(&echo, "\\echo done\n");
	rc = say(to, &echo, e);
	if (!rc)
		rc = spawn_read(to->program, to->cancel, &c, 1, &n, e);
	if (!rc && n == 0) {
		rc = spawn_end(to->program, to->cancel, e);
		rc = rc ? rc : err_set(e, ERR_FAILED, "psql ended before it was told to");
	}
	return rc;
}

static void add_array(struct buf *sql, const struct pg_tables *s)
{
	const char *before = "ARRAY[";

	for (size_t i = 0; i < s->nr; i++) {
		if (!s->v[i].there)
			continue;
		pg_form(sql, "$?", before, s->v[i].name);
		before = ", ";
	}
	buf_add_str(sql, "]::regclass[]::oid[]");
}

/* The foreign keys of the tables that are there, both ways. */
static enum err_code foreign_keys(struct pg_tables *s, struct talk_rows *out, struct err *e)
{
	struct buf sql = BUF_INIT;

	buf_add_str(&sql, PG_ORPHANS " AND (k.conrelid = ANY (");
	add_array(&sql, s);
	buf_add_str(&sql, ") OR k.confrelid = ANY (");
	add_array(&sql, s);
	buf_add_str(&sql, ")) ORDER BY 1, 3");
	return talk_ask_buf(s->t, &sql, out, e);
}

/* What holds the other tables still, so that what is looked at stays true until the end. */
static enum err_code add_locks(struct buf *sql, const struct pg_tables *s, const struct talk_rows *keys, struct err *e)
{
	const char *before = "LOCK TABLE ONLY ";
	struct buf name = BUF_INIT;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < s->nr; i++) {
		if (!s->v[i].there)
			continue;
		rc = pg_quoted(s->v[i].name, &name, e);
		if (!rc)
			buf_printf(sql, "%s%s", before, (const char *)name.p);
		before = ", ONLY ";
	}
	for (size_t i = 0; i < keys->nr_rows; i++)
		buf_printf(sql, ", ONLY %s, ONLY %s", talk_field(keys, i, 0), talk_field(keys, i, 1));
	buf_add_str(sql, " IN SHARE ROW EXCLUSIVE MODE;\n");
	buf_release(&name);
	return rc;
}

/* The old rows aside, and gone. */
static enum err_code save_rows(struct pg_tables *s, struct psql *to, struct err *e)
{
	char suffix[PG_SUFFIX_LEN + 24], stamp[PG_SUFFIX_LEN];
	struct buf sql = BUF_INIT, name = BUF_INIT;
	enum err_code rc = ERR_OK;

	pg_suffix("rows", stamp);
	buf_add_str(&sql, "CREATE SCHEMA IF NOT EXISTS " PG_BEFORE ";\n");
	for (size_t i = 0; !rc && i < s->nr; i++) {
		struct pg_one *v = &s->v[i];

		if (!v->there)
			continue;
		(void)snprintf(suffix, sizeof(suffix), "%s_%zu", stamp, i);
		if (!pgname_suffixed(v->name, suffix, v->saved))
			rc = err_set(e, ERR_LIMIT, "name of %s", v->name);
		else
			rc = pg_quoted(v->name, &name, e);
		if (rc)
			break;
		pg_form(&sql, "CREATE TABLE " PG_BEFORE ".@ AS SELECT * FROM ONLY $;\nDELETE FROM ONLY $;\n", v->saved,
			(const char *)name.p, (const char *)name.p);
	}
	buf_release(&name);
	if (rc)
		buf_release(&sql);
	return rc ? rc : say(to, &sql, e);
}

/*
 * Sequences go on from the larger of what they are and what the rows have (those of a partitioned table are in its
 * partitions): never back, or keys would be given twice.
 */
static enum err_code set_sequences(struct pg_tables *s, struct psql *to, struct err *e)
{
	struct talk_rows rows = { 0 };
	struct buf sql = BUF_INIT;
	enum err_code rc;

	buf_add_str(&sql, "SELECT format('SELECT setval(%L, GREATEST((SELECT last_value FROM %s), (SELECT max(%I) FROM %s)));', "
		    "d.objid::regclass, d.objid::regclass, a.attname, d.refobjid::regclass) FROM pg_depend d "
		    "JOIN pg_sequence q ON q.seqrelid = d.objid JOIN pg_attribute a ON a.attrelid = d.refobjid "
		    "AND a.attnum = d.refobjsubid WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 "
		    "AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND q.seqincrement > 0 "
		    "AND d.refobjid = ANY (");
	add_array(&sql, s);
	buf_add_str(&sql, ")");
	rc = talk_ask_buf(s->t, &sql, &rows, e);
	for (size_t i = 0; !rc && i < rows.nr_rows; i++)
		pg_form(&sql, "$\n", talk_field(&rows, i, 0));
	talk_rows_release(&rows);
	return rc ? rc : say(to, &sql, e);
}

/* Each as a text in quotes: a name with a dollar in it would end a body in dollars. */
static enum err_code check_orphans(const struct talk_rows *keys, struct psql *to, struct err *e)
{
	struct buf sql = BUF_INIT, body = BUF_INIT, text = BUF_INIT;

	for (size_t i = 0; i < keys->nr_rows; i++) {
		buf_reset(&body);
		buf_reset(&text);
		pg_form(&text, " rows of $ would refer to rows of $ that are not there ($): name both tables with --table, or "
			"restore into another database", talk_field(keys, i, 0), talk_field(keys, i, 1), talk_field(keys, i, 2));
		buf_add_u8(&text, '\0');
		pg_form(&body, "DECLARE n bigint; BEGIN n := ($); IF n > 0 THEN RAISE EXCEPTION USING MESSAGE = n || ?; END IF; END",
			talk_field(keys, i, 3), text.bad ? "" : (const char *)text.p);
		buf_add_u8(&body, '\0');
		pg_form(&sql, "DO ?;\n", body.bad ? "" : (const char *)body.p);
		sql.bad = sql.bad || text.bad || body.bad;
	}
	buf_release(&text);
	buf_release(&body);
	return say(to, &sql, e);
}

static json_t *way_of(const struct pg_tables *s)
{
	json_t *list = json_array(), *way;

	for (size_t i = 0; list && i < s->nr; i++) {
		json_t *one = json_pack("{s:s}", "table", s->v[i].name);

		if (s->v[i].there && one && json_object_set_new(one, "saved", json_string(s->v[i].saved))) {
			json_decref(one);
			one = NULL;
		}
		if (json_array_append_new(list, one)) {
			json_decref(list);
			list = NULL;
		}
	}
	way = list ? json_pack("{s:s, s:s}", "kind", "rows", "database", s->database) : NULL;
	if (!way || json_object_set(way, "tables", list)) {
		json_decref(way);
		way = NULL;
	}
	json_decref(list);
	return way;
}

static enum err_code begin(struct pg_tables *s, const struct talk_rows *keys, struct psql *to, struct err *e)
{
	struct buf sql = BUF_INIT;
	enum err_code rc = ERR_OK;

	buf_add_str(&sql, PG_NO_TIMEOUTS ";\nBEGIN;\n");
	if (s->nr_there > 0) {
		buf_printf(&sql, "SET LOCAL lock_timeout = '%llus';\nSET LOCAL session_replication_role = replica;\n",
			   (unsigned long long)pg_of(s->c)->lock_wait);
		rc = add_locks(&sql, s, keys, e);
	}
	if (!rc)
		rc = say(to, &sql, e);
	buf_release(&sql);
	if (!rc && s->nr_there > 0)
		rc = save_rows(s, to, e);
	return rc;
}

/* All in one transaction; psql stops at the first error, and what was begun is gone with it. */
static enum err_code transact(struct pg_tables *s, const struct talk_rows *keys, struct err *e)
{
	struct buf sql = BUF_INIT;
	bool asked = false;
	struct psql to;
	enum err_code rc = start_psql(s, &to, e);

	if (!rc)
		rc = begin(s, keys, &to, e);
	if (!rc)
		rc = stream_ids(s, &s->ids, &to, e);
	if (!rc && s->nr_there > 0)
		rc = set_sequences(s, &to, e);
	if (!rc)
		rc = check_orphans(keys, &to, e);
	if (!rc)
		rc = has_done(&to, e);
	/* not before: what nobody did must not be taken back, where the table may be another's by then */
	if (!rc)
		rc = restore_way_back(s->c, s->j, way_of(s), e);
	if (!rc) {
		asked = true;
		buf_add_str(&sql, "COMMIT;\n");
		rc = say(&to, &sql, e);
	}
	if (!rc) {
		spawn_close_stdin(to.program);
		rc = spawn_end(to.program, s->c->cancel, e);
	}
	end_psql(&to);
	if (rc && e && strstr(e->msg, "lock timeout"))
		err_prefix(e, PG_LOCKED);
	if (rc)
		err_prefix(e, asked ? "whether this was committed is not known (look, or take it back with vouch rollback)"
			   : "nothing was changed");
	return rc;
}

/* One after the other: what cannot be put back because of rows that are there now is said, and is no reason to lose
 * the table. */
static void put_later(struct pg_tables *s)
{
	for (size_t i = 0; i < s->later.nr; i++) {
		struct pgtoc one = { &s->later.ids[i], 1, 1 };
		struct err why = ERR_INIT;
		struct psql to;
		enum err_code rc = start_psql(s, &to, &why);

		if (!rc)
			rc = stream_ids(s, &one, &to, &why);
		if (!rc) {
			spawn_close_stdin(to.program);
			rc = spawn_end(to.program, s->c->cancel, &why);
		}
		if (rc && !strstr(why.msg, "already exists"))
			component_note(s->c, "a foreign key of another table to this one was not put back: %s", why.msg);
		end_psql(&to);
	}
}

/* A table that was dropped with CASCADE took its views along. */
static enum err_code tell_views(struct pg_tables *s, struct err *e)
{
	struct buf names = BUF_INIT;
	enum err_code rc = ERR_OK;
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(s->j->recorded->root, "items"), i, item) {
		bool there = true;

		if (strcmp(pg_member(item, "kind"), "view") == 0)
			rc = pg_is_relation(s->t, pg_member(item, "name"), &there, e);
		if (rc)
			break;
		if (!there)
			buf_printf(&names, "%s%s", names.len ? ", " : "", pg_member(item, "name"));
	}
	buf_add_u8(&names, '\0');
	if (!rc && !names.bad && names.len > 1)
		component_note(s->c, "views of the dump that are not there, as they went with a table or were dropped since: %.300s; "
			       "--table does not make them again, but recover --into a new database shows their definitions",
			       (const char *)names.p);
	buf_release(&names);
	return rc;
}

enum err_code pg_table_restore(struct component *c, struct restore_job *j, struct err *e)
{
	struct talk_rows keys = { 0 };
	struct err why = ERR_INIT;
	struct pg_tables s;
	enum err_code rc = pg_tables_open(&s, c, j, e);

	if (!rc)
		rc = pg_tables_choose(&s, e);
	if (!rc && s.nr_there > 0)
		rc = foreign_keys(&s, &keys, e);
	if (!rc)
		rc = transact(&s, &keys, e);
	if (!rc)
		put_later(&s);
	if (!rc && s.nr_there < s.nr && tell_views(&s, &why))
		component_note(c, "%s", why.msg);
	talk_rows_release(&keys);
	pg_tables_release(&s);
	return rc;
}
