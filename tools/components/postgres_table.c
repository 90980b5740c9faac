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

#include "tools/components/pgname.h"
#include "tools/components/postgres.h"
#include "tools/components/postgres_toc.h"
#include "tools/text.h"

#define LIST_MAX (256u << 20)
#define TABLES_MAX 1000u

struct one {
	const char *name;		/* canonical, in the recorded facts */
	bool there;
	char saved[PGNAME_MAX + 1];	/* its table in vouch_before */
};

struct tables {
	struct component *c;
	struct restore_job *j;
	struct one *v;
	size_t nr;
	struct talk *t;			/* a session in the database */
	char *database;
	struct pgtoc ids, later;	/* later: foreign keys of other tables that went with a missing one */
};

static void tables_release(struct tables *s)
{
	talk_close(s->t);
	free(s->v);
	free(s->database);
	pgtoc_release(&s->ids);
	pgtoc_release(&s->later);
}

static enum err_code add_one(struct tables *s, const char *name, struct err *e)
{
	const json_t *item, *own = facts_item(s->j->recorded, "table", name);
	struct one *v;
	size_t i;

	for (i = 0; i < s->nr; i++)
		if (strcmp(s->v[i].name, name) == 0)
			return ERR_OK;
	if (s->nr == TABLES_MAX)
		return err_set(e, ERR_LIMIT, "more than %u tables: restore the database into another (--into) and take them from there",
			       TABLES_MAX);
	v = reallocarray(s->v, s->nr + 1, sizeof(*v));
	if (!v)
		return err_set(e, ERR_NOMEM, "list of tables");
	s->v = v;
	s->v[s->nr++] = (struct one){ .name = pg_member(own, "name") };
	/* rows of a partitioned table are in its partitions */
	json_array_foreach(json_object_get(s->j->recorded->root, "items"), i, item) {
		const char *of = pg_member(item, "of");
		enum err_code rc;

		if (strcmp(pg_member(item, "kind"), "table") != 0 || !of || strcmp(of, name) != 0)
			continue;
		rc = add_one(s, pg_member(item, "name"), e);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

/* "orders" is public.orders, or the only table of that name. */
static enum err_code find_short(const struct facts *recorded, const char *canonical, const char *typed, const char **out,
				struct err *e)
{
	const char *near = NULL, *found = NULL;
	size_t len = strlen(canonical), best = 4, i;
	const json_t *item;

	json_array_foreach(json_object_get(recorded->root, "items"), i, item) {
		const char *name = pg_member(item, "name"), *tail;
		size_t n, d;

		if (strcmp(pg_member(item, "kind"), "table") != 0)
			continue;
		n = strlen(name);
		tail = n > len ? name + n - len : NULL;
		if (tail && tail[-1] == '.' && strcmp(tail, canonical) == 0) {
			if (found && strncmp(found, "public.", 7) != 0 && strncmp(name, "public.", 7) != 0)
				return err_set(e, ERR_USAGE, "--table %s: both %s and %s; name its schema too", typed, found, name);
			if (!found || strncmp(name, "public.", 7) == 0)
				found = name;
		}
		tail = strrchr(name, '.');
		d = tail ? text_distance(tail + 1, canonical) : best;
		if (d < best) {
			best = d;
			near = name;
		}
	}
	if (!found)
		return err_set(e, ERR_NOT_FOUND, "--table %s: the dump has no such table%s%s", typed, near ? "; there is " : "",
			       near ? near : "");
	*out = found;
	return ERR_OK;
}

static enum err_code resolve(struct tables *s, const char *typed, struct err *e)
{
	struct buf schema = BUF_INIT, name = BUF_INIT, canonical = BUF_INIT;
	const char *found = NULL;
	enum err_code rc = ERR_OK;

	if (!pgname_split(typed, &schema, &name)) {
		rc = err_set(e, ERR_USAGE, "--table %s: not a name, nor schema.name", typed);
		goto out;
	}
	if (schema.len > 1) {
		pgname_add(&canonical, (const char *)schema.p);
		buf_add_u8(&canonical, '.');
	}
	pgname_add(&canonical, (const char *)name.p);
	buf_add_u8(&canonical, '\0');
	if (canonical.bad)
		rc = err_set(e, ERR_NOMEM, "--table");
	else if (schema.len > 1 && facts_item(s->j->recorded, "table", (const char *)canonical.p))
		found = pg_member(facts_item(s->j->recorded, "table", (const char *)canonical.p), "name");
	else if (schema.len > 1)
		rc = err_set(e, ERR_NOT_FOUND, "--table %s: the dump has no such table", typed);
	else
		rc = find_short(s->j->recorded, (const char *)canonical.p, typed, &found, e);
	if (!rc)
		rc = add_one(s, found, e);
out:
	buf_release(&schema);
	buf_release(&name);
	buf_release(&canonical);
	return rc;
}

static enum err_code is_there(struct talk *t, const char *what, const char *name, bool *there, struct err *e)
{
	struct buf sql = BUF_INIT;

	buf_printf(&sql, "SELECT %s(", what);
	pg_text(&sql, name);
	buf_add_str(&sql, ") IS NOT NULL");
	return pg_true(t, &sql, there, e);
}

/* Without triggers and foreign keys fired, or other tables would lose rows by ON DELETE CASCADE. */
static enum err_code need_replica(struct talk *t, struct err *e)
{
	struct buf sql = BUF_INIT;
	bool may = false;
	enum err_code rc;

	buf_add_str(&sql, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user");
	rc = pg_true(t, &sql, &may, e);
	if (rc || may)
		return rc;
	buf_add_str(&sql, "SELECT CASE WHEN current_setting('server_version_num')::int >= 150000 THEN "
		    "has_parameter_privilege(current_user, 'session_replication_role', 'SET') ELSE false END");
	rc = pg_true(t, &sql, &may, e);
	if (rc && e && strstr(e->msg, "has_parameter_privilege")) {	/* before 15 there is none */
		rc = ERR_OK;
		may = false;
	}
	if (!rc && !may)
		rc = err_set(e, ERR_FAILED, "rows of a table that is there are replaced by a superuser only, or by a role with GRANT SET ON "
			     "PARAMETER session_replication_role (15 and later): name one in restore-dsn");
	return rc;
}

static enum err_code prepare(struct tables *s, struct component *c, struct restore_job *j, struct err *e)
{
	const char *database = j->into ? j->into : pgdsn_get(&pg_of(c)->dsn[PG_RESTORE], "dbname");
	bool any = false;
	enum err_code rc = ERR_OK;

	*s = (struct tables){ .c = c, .j = j, .database = strdup(database) };
	if (!s->database)
		return err_set(e, ERR_NOMEM, "--table");
	for (size_t i = 0; !rc && i < j->nr_items; i++)
		rc = resolve(s, j->items[i], e);
	if (!rc)
		rc = pg_connect(c, PG_RESTORE, database, false, &s->t, e);
	if (!rc)
		rc = talk_do(s->t, e, "SET search_path = pg_catalog");
	for (size_t i = 0; !rc && i < s->nr; i++) {
		rc = is_there(s->t, "to_regclass", s->v[i].name, &s->v[i].there, e);
		any = any || s->v[i].there;
	}
	if (!rc && any)
		rc = need_replica(s->t, e);
	return rc;
}

enum err_code pg_table_plan(struct component *c, struct restore_job *j, struct err *e)
{
	struct tables s;
	enum err_code rc = prepare(&s, c, j, e);

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
	tables_release(&s);
	return rc;
}

/* The table of contents. */

static enum err_code gather(void *ctx, const void *buf, size_t len, struct err *e)
{
	struct buf *out = ctx;

	if (out->len + len > LIST_MAX)
		return err_set(e, ERR_LIMIT, "a table of contents of more than %u bytes", LIST_MAX);
	buf_add(out, buf, len);
	return out->bad ? err_set(e, ERR_NOMEM, "table of contents") : ERR_OK;
}

static enum err_code read_list(struct tables *s, struct buf *out, struct err *e)
{
	struct pg_tool t;
	enum err_code rc;

	pg_tool_init(&t, s->c, PG_RESTORE, NULL, PG_PG_RESTORE);
	pg_tool_add(&t, "-l");
	rc = pg_through(s->c, s->j, &t, gather, out, e);
	buf_add_u8(out, '\0');
	if (!rc && out->bad)
		rc = err_set(e, ERR_NOMEM, "table of contents");
	pg_tool_release(&t);
	return rc;
}

/* Foreign keys of tables that stay: gone if theirs was dropped by CASCADE. */
static enum err_code choose_later(struct tables *s, const char *list, const char *name, struct err *e)
{
	enum err_code rc = ERR_OK;
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(s->j->recorded->root, "items"), i, item) {
		const char *to = pg_member(item, "to"), *of = pg_member(item, "of");
		bool there = false;

		if (!to || !of || strcmp(pg_member(item, "kind"), "constraint") != 0 || strcmp(to, name) != 0)
			continue;
		for (size_t k = 0; k < s->nr; k++)
			there = there || (strcmp(s->v[k].name, of) == 0 && !s->v[k].there);
		if (there)	/* its own entries have it */
			continue;
		rc = is_there(s->t, "to_regclass", of, &there, e);
		if (!rc && there)
			rc = pgtoc_of_constraint(list, pg_member(item, "name"), &s->later, e);
		if (rc)
			return rc;
	}
	return rc;
}

static enum err_code choose(struct tables *s, struct err *e)
{
	struct buf list = BUF_INIT;
	enum err_code rc = read_list(s, &list, e);

	for (size_t i = 0; !rc && i < s->nr; i++) {
		rc = pgtoc_of_table((const char *)list.p, s->j->recorded, s->v[i].name, s->v[i].there, &s->ids, e);
		if (!rc && !s->v[i].there)
			rc = choose_later(s, (const char *)list.p, s->v[i].name, e);
	}
	if (!rc) {
		pgtoc_sort((const char *)list.p, &s->ids);
		pgtoc_sort((const char *)list.p, &s->later);
	}
	if (!rc && s->ids.nr == 0)
		rc = err_set(e, ERR_CORRUPT, "the dump's table of contents does not name the tables");
	buf_release(&list);
	return rc;
}

/* The transaction. */

static enum err_code to_psql(void *ctx, const void *buf, size_t len, struct err *e)
{
	return spawn_write(ctx, NULL, buf, len, e);
}

/*
 * `pg_restore -f - -L IDS`: the numbers reach it by a descriptor that a shell fills, so that behind via, too, no file is needed; the
 * archive itself is its standard input.
 */
static enum err_code stream_ids(struct tables *s, const struct pgtoc *ids, struct spawn *to, struct err *e)
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

static enum err_code start_psql(struct tables *s, struct pg_tool *t, struct spawn **out, struct err *e)
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

static bool any_there(const struct tables *s)
{
	for (size_t i = 0; i < s->nr; i++)
		if (s->v[i].there)
			return true;
	return false;
}

static void add_array(struct buf *sql, const struct tables *s)
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
static enum err_code foreign_keys(struct tables *s, struct talk_rows *out, struct err *e)
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
static void add_locks(struct buf *sql, const struct tables *s, const struct talk_rows *keys)
{
	const char *before = "LOCK TABLE ONLY ";

	for (size_t i = 0; i < s->nr; i++) {
		if (!s->v[i].there)
			continue;
		buf_printf(sql, "%s%s", before, s->v[i].name);
		before = ", ONLY ";
	}
	for (size_t i = 0; i < keys->nr_rows; i++)
		buf_printf(sql, ", ONLY %s, ONLY %s", talk_field(keys, i, 0), talk_field(keys, i, 1));
	buf_add_str(sql, " IN SHARE ROW EXCLUSIVE MODE;\n");
}

/* The old rows aside, and gone. */
static enum err_code save_rows(struct tables *s, struct spawn *to, struct err *e)
{
	char suffix[PG_SUFFIX_LEN + 24], stamp[PG_SUFFIX_LEN];
	struct buf sql = BUF_INIT, name = BUF_INIT;
	enum err_code rc = ERR_OK;

	pg_suffix("rows", stamp);
	buf_add_str(&sql, "CREATE SCHEMA IF NOT EXISTS " PG_BEFORE ";\n");
	for (size_t i = 0; !rc && i < s->nr; i++) {
		struct one *v = &s->v[i];

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
static enum err_code set_sequences(struct tables *s, struct spawn *to, struct err *e)
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
			rc = is_there(s->t, "to_regclass", pg_member(item, "name"), &there, e);
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
		buf_printf(&sql, "DO $vouch$ DECLARE n bigint; BEGIN n := (%s); IF n > 0 THEN RAISE EXCEPTION USING MESSAGE = n || ",
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

static json_t *way_of(const struct tables *s)
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

static enum err_code begin(struct tables *s, const struct talk_rows *keys, struct spawn *to, struct err *e)
{
	struct buf sql = BUF_INIT;
	enum err_code rc;

	buf_add_str(&sql, "BEGIN;\n");
	if (any_there(s)) {
		buf_add_str(&sql, "SET LOCAL session_replication_role = replica;\n");
		add_locks(&sql, s, keys);
	}
	rc = say(to, &sql, e);
	if (!rc && any_there(s))
		rc = save_rows(s, to, e);
	return rc;
}

/* All in one transaction; psql stops at the first error, and what was begun is gone with it. */
static enum err_code transact(struct tables *s, const struct talk_rows *keys, struct err *e)
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

/* One after the other: what cannot be put back because of rows that are there now is said, and is no reason to lose the table. */
static void put_later(struct tables *s)
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
	struct tables s;
	enum err_code rc = prepare(&s, c, j, e);

	if (!rc)
		rc = choose(&s, e);
	if (!rc && any_there(&s))
		rc = foreign_keys(&s, &keys, e);
	if (!rc)
		rc = transact(&s, &keys, e);
	if (!rc)
		put_later(&s);
	talk_rows_release(&keys);
	tables_release(&s);
	return rc;
}
