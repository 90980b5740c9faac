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

static enum err_code to_psql(void *ctx, const void *buf, size_t len, struct err *e)
{
	return spawn_write(ctx, NULL, buf, len, e);
}

/*
 * `pg_restore -f - -L IDS`: the numbers reach it by a descriptor that a shell fills, so that behind via, too, no file
 * is needed; the archive itself is its standard input.
 */
static enum err_code stream_ids(struct pg_tables *s, const struct pgtoc *ids, struct spawn *to, struct err *e)
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

static enum err_code start_psql(struct pg_tables *s, struct pg_tool *t, struct spawn **out, struct err *e)
{
	pg_tool_init(t, s->c, PG_RESTORE, s->database, PG_PSQL);
	pg_tool_add(t, "-Xq");
	pg_tool_add(t, "-vON_ERROR_STOP=1");
	return pg_tool_start(s->c, t, SPAWN_STDIN_PIPE, true, out, e);
}

/* What is appended is asked at once. */
static enum err_code say(struct spawn *to, struct buf *sql, struct err *e)
{
	enum err_code rc;

	if (sql->bad)
		rc = err_set(e, ERR_NOMEM, "a statement");
	else
		rc = spawn_write(to, NULL, sql->p, sql->len, e);
	buf_release(sql);
	return rc;
}

static void add_array(struct buf *sql, const struct pg_tables *s)
{
	const char *before = "ARRAY[";

	for (size_t i = 0; i < s->nr; i++) {
		if (!s->v[i].there)
			continue;
		buf_add_str(sql, before);
		pg_text(sql, s->v[i].name);
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
	return pg_ask(s->t, &sql, out, e);
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
static enum err_code save_rows(struct pg_tables *s, struct spawn *to, struct err *e)
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
		buf_add_str(&sql, "CREATE TABLE " PG_BEFORE ".");
		pg_name(&sql, v->saved);
		buf_printf(&sql, " AS SELECT * FROM ONLY %s;\nDELETE FROM ONLY %s;\n", (const char *)name.p, (const char *)name.p);
	}
	buf_release(&name);
	if (rc)
		buf_release(&sql);
	return rc ? rc : say(to, &sql, e);
}

/* Sequences go on from the larger of what they are and what the rows have: never back, or keys would be given twice. */
static enum err_code set_sequences(struct pg_tables *s, struct spawn *to, struct err *e)
{
	struct buf sql = BUF_INIT, name = BUF_INIT, table = BUF_INIT;
	enum err_code rc = ERR_OK;
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(s->j->recorded->root, "items"), i, item) {
		const char *of = pg_member(item, "of"), *column = pg_member(item, "column"), *step = pg_member(item, "step");
		bool there = false;

		if (strcmp(pg_member(item, "kind"), "sequence") != 0 || !of || !column || !step || step[0] == '-')
			continue;
		for (size_t k = 0; k < s->nr; k++)
			there = there || (s->v[k].there && strcmp(s->v[k].name, of) == 0);
		if (there)
			rc = pg_tables_relation(s->t, pg_member(item, "name"), &there, e);
		if (!rc && there)
			rc = pg_quoted(pg_member(item, "name"), &name, e);
		if (!rc && there)
			rc = pg_quoted(of, &table, e);
		if (rc)
			break;
		if (!there)
			continue;
		buf_add_str(&sql, "SELECT pg_catalog.setval(");
		pg_text(&sql, (const char *)name.p);
		buf_printf(&sql, ", GREATEST((SELECT last_value FROM %s), (SELECT max(%s) FROM ONLY %s)));\n", (const char *)name.p,
			   column, (const char *)table.p);
	}
	buf_release(&name);
	buf_release(&table);
	if (rc)
		buf_release(&sql);
	return rc ? rc : say(to, &sql, e);
}

static enum err_code check_orphans(const struct talk_rows *keys, struct spawn *to, struct err *e)
{
	struct buf sql = BUF_INIT;

	for (size_t i = 0; i < keys->nr_rows; i++) {
		buf_printf(
			&sql,
			"DO $vouch$ DECLARE n bigint; BEGIN n := (%s); IF n > 0 THEN RAISE EXCEPTION USING MESSAGE = n || ",
			talk_field(keys, i, 3));
		pg_text(&sql, " rows of ");
		buf_add_str(&sql, " || ");
		pg_text(&sql, talk_field(keys, i, 0));
		buf_add_str(&sql, " || ' would refer to rows of ' || ");
		pg_text(&sql, talk_field(keys, i, 1));
		buf_add_str(&sql, " || ' that are not there (' || ");
		pg_text(&sql, talk_field(keys, i, 2));
		buf_add_str(&sql, " || '): nothing was changed; name both tables with --table, or restore into another database'; "
			    "END IF; END $vouch$;\n");
	}
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

static enum err_code begin(struct pg_tables *s, const struct talk_rows *keys, struct spawn *to, struct err *e)
{
	struct buf sql = BUF_INIT;
	enum err_code rc = ERR_OK;

	buf_add_str(&sql, "BEGIN;\n");
	if (pg_tables_any_there(s)) {
		buf_add_str(&sql, "SET LOCAL session_replication_role = replica;\n");
		rc = add_locks(&sql, s, keys, e);
	}
	if (!rc)
		rc = say(to, &sql, e);
	buf_release(&sql);
	if (!rc && pg_tables_any_there(s))
		rc = save_rows(s, to, e);
	return rc;
}

/* All in one transaction; psql stops at the first error, and what was begun is gone with it. */
static enum err_code transact(struct pg_tables *s, const struct talk_rows *keys, struct err *e)
{
	struct buf sql = BUF_INIT;
	struct spawn *to = NULL;
	struct pg_tool t;
	enum err_code rc = start_psql(s, &t, &to, e);

	if (!rc)
		rc = begin(s, keys, to, e);
	if (!rc)
		rc = stream_ids(s, &s->ids, to, e);
	if (!rc)
		rc = set_sequences(s, to, e);
	if (!rc)
		rc = check_orphans(keys, to, e);
	if (!rc)
		rc = restore_way_back(s->c, s->j, way_of(s), e);
	if (rc)
		goto out;
	buf_add_str(&sql, "COMMIT;\n");
	rc = say(to, &sql, e);
	if (rc)
		goto out;
	spawn_close_stdin(to);
	rc = spawn_end(to, s->c->cancel, e);
out:
	spawn_close(to);
	pg_tool_release(&t);
	if (rc)
		err_prefix(e, "nothing was changed");
	return rc;
}

/* One after the other: what cannot be put back because of rows that are there now is said, and is no reason to lose
 * the table. */
static void put_later(struct pg_tables *s)
{
	for (size_t i = 0; i < s->later.nr; i++) {
		struct pgtoc one = { &s->later.ids[i], 1, 1 };
		struct err why = ERR_INIT;
		struct spawn *to = NULL;
		struct pg_tool t;
		enum err_code rc = start_psql(s, &t, &to, &why);

		if (!rc)
			rc = stream_ids(s, &one, to, &why);
		if (!rc) {
			spawn_close_stdin(to);
			rc = spawn_end(to, s->c->cancel, &why);
		}
		if (rc && !strstr(why.msg, "already exists"))
			component_note(s->c, "a foreign key of another table to this one was not put back: %s", why.msg);
		spawn_close(to);
		pg_tool_release(&t);
	}
}

enum err_code pg_table_restore(struct component *c, struct restore_job *j, struct err *e)
{
	struct talk_rows keys = { 0 };
	struct pg_tables s;
	enum err_code rc = pg_tables_open(&s, c, j, e);

	if (!rc)
		rc = pg_tables_choose(&s, e);
	if (!rc && pg_tables_any_there(&s))
		rc = foreign_keys(&s, &keys, e);
	if (!rc)
		rc = transact(&s, &keys, e);
	if (!rc)
		put_later(&s);
	talk_rows_release(&keys);
	pg_tables_release(&s);
	return rc;
}
