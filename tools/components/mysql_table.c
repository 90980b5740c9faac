/* SPDX-License-Identifier: MIT */
/*
 * Single tables back, from files of their own that hold all that is the table's: keys, indexes, triggers, references.  With
 * checks of references off, DROP and CREATE of a table leave the references of others to it standing, and nothing is
 * cascaded; what then refers to nothing is counted and told.  The way back is a dump of just these tables.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/components/mysql.h"

struct one {
	const struct mysql_name *database;
	const char *table; /* in the item's name */
	char file[1024];   /* as facts.json names it */
	bool there;
};

struct tables {
	struct component *c;
	struct restore_job *j;
	struct mysql_names names;
	struct one *v;
	size_t nr;
	struct talk *t;
};

static void release(struct tables *s)
{
	talk_close(s->t);
	mysql_names_release(&s->names);
	free(s->v);
}

/* "orders", "shop.orders"; names of databases may have dots too, so each is tried. */
static enum err_code find(struct tables *s, const char *item, struct one *o, struct err *e)
{
	struct buf file = BUF_INIT;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < s->names.nr && !o->table; i++) {
		size_t len = strlen(s->names.of[i].own);

		if (s->names.several && (strncmp(item, s->names.of[i].own, len) != 0 || item[len] != '.'))
			continue;
		o->database = &s->names.of[i];
		o->table = s->names.several ? item + len + 1 : item;
	}
	if (!o->table || !facts_item(s->j->recorded, "table", item))
		return err_set(e, ERR_NOT_FOUND, "no table %s is in the dump", item);
	mysql_table_file(&file, &s->names, o->database->own, o->table);
	if (file.bad)
		rc = err_set(e, ERR_NOMEM, "table %s", item);
	else if (file.len > sizeof(o->file))
		rc = err_set(e, ERR_LIMIT, "table %s: too long a name", item);
	else
		memcpy(o->file, file.p, file.len);
	buf_release(&file);
	return rc;
}

static enum err_code look(struct tables *s, struct one *o, struct err *e)
{
	struct talk_rows rows = {0};
	struct buf b = BUF_INIT;
	const char *type;
	enum err_code rc;

	mysql_form(&b, "SELECT table_type FROM information_schema.tables WHERE table_schema = ? AND table_name = ?",
		   o->database->to, o->table);
	rc = talk_ask_buf(s->t, &b, &rows, e);
	type = rc ? NULL : talk_field(&rows, 0, 0);
	o->there = type != NULL;
	if (type && strcmp(type, "BASE TABLE") != 0 && strcmp(type, "SYSTEM VERSIONED") != 0)
		rc = err_set(e, ERR_EXISTS, "%s.%s is a %s now: drop or rename that first; nothing was touched",
			     o->database->to, o->table, type);
	talk_rows_release(&rows);
	return rc;
}

/* Its own file, to the trailer, with the recorded rows. */
static enum err_code read_back(struct tables *s, const struct one *o, const char *item, struct err *e)
{
	struct mysql_name one = *o->database;
	struct mysql_names names = { .of = &one, .nr = 1 };
	struct facts found = {0};
	const json_t *was = facts_item(s->j->recorded, "table", item), *is;
	enum err_code rc = mysql_intake_file(s->c, s->j, o->file, &names, &found, e);

	is = facts_item(&found, "table", o->table);
	if (!rc && (!is || !json_equal(json_object_get(was, "rows"), json_object_get(is, "rows")) ||
		    !json_equal(json_object_get(was, "sum"), json_object_get(is, "sum"))))
		rc = err_set(e, ERR_CORRUPT, "%s does not hold the rows that were recorded of table %s", o->file, item);
	facts_release(&found);
	return rc;
}

static enum err_code open_tables(struct tables *s, struct err *e)
{
	enum err_code rc = mysql_names_recorded(s->c, s->j->recorded, s->j->into, &s->names, e);

	s->v = calloc(s->j->nr_items + 1, sizeof(*s->v));
	if (!rc && !s->v)
		rc = err_set(e, ERR_NOMEM, "%s", s->c->name);
	for (size_t i = 0; i < s->j->nr_items && !rc; i++) {
		rc = find(s, s->j->items[i], &s->v[s->nr], e);
		s->nr += rc == ERR_OK;
	}
	for (size_t i = 0; i < s->nr && !rc; i++)
		rc = read_back(s, &s->v[i], s->j->items[i], e);
	if (!rc)
		rc = mysql_connect_restore(s->c, MYSQL_RESTORE, &s->t, e);
	for (size_t i = 0; i < s->nr && !rc; i++)
		rc = look(s, &s->v[i], e);
	return rc;
}

static enum err_code append_created(json_t *created, const struct one *o, struct err *e)
{
	json_t *pair = json_pack("[s,s]", o->database->to, o->table);

	if (!pair || json_array_append_new(created, pair))
		return err_set(e, ERR_NOMEM, "table %s", o->table);
	return ERR_OK;
}

/* Those that are there into a snapshot; those that are not are dropped again by a rollback. */
static enum err_code make_way_back(struct tables *s, struct err *e)
{
	struct mysql *m = mysql_of(s->c);
	const char **names = calloc(s->nr + 1, sizeof(*names));
	json_t *created = json_array(), *way = NULL;
	char *snapshot = NULL;
	size_t nr = 0;
	enum err_code rc = names && created ? ERR_OK : err_set(e, ERR_NOMEM, "%s", s->c->name);

	for (size_t i = 0; i < s->nr && !rc; i++) {
		if (s->v[i].there)
			names[nr++] = s->v[i].table;
		else
			rc = append_created(created, &s->v[i], e);
	}
	if (!rc && nr > 0) {
		m->into = s->j->into;
		m->some = true;
		if (!s->names.several) { /* mysqldump takes tables of one database only */
			m->tables = names;
			m->nr_tables = nr;
		}
		rc = s->j->safety_dump(s->j->ctx, s->c, &snapshot, e);
		m->into = NULL;
		m->some = false;
		m->tables = NULL;
		m->nr_tables = 0;
	}
	if (!rc) {
		way = json_pack("{s:s,s:o}", "kind", "tables", "created", created);
		created = NULL;
		if (way && snapshot && json_object_set_new(way, "snapshot", json_string(snapshot))) {
			json_decref(way);
			way = NULL;
		}
		rc = restore_way_back(s->c, s->j, way, e);
	}
	json_decref(created);
	free(snapshot);
	free(names);
	return rc;
}

static enum err_code load(struct tables *s, const struct one *o, bool no_binlog, struct err *e)
{
	const struct mysql_load l = {.role = MYSQL_RESTORE,
				     .names = &s->names,
				     .database = o->database->to,
				     .no_binlog = no_binlog};
	bool there = false;
	enum err_code rc = mysql_database_exists(s->t, o->database->to, &there, e);

	if (!rc && !there)
		rc = mysql_create_database(s->c, s->j, s->t, o->database, false, e);
	if (!rc)
		rc = mysql_load_file(s->c, s->j, o->file, &l, e);
	return rc;
}

static enum err_code put_back(struct tables *s, struct err *e)
{
	struct mysql_replica *replica = NULL;
	enum err_code rc = ERR_OK;
	struct buf where = BUF_INIT;
	uint64_t packets = 0;
	bool no_binlog = mysql_without_binlog(s->c, s->j, s->t, &rc, e);

	if (!rc)
		rc = mysql_packets(s->t, s->j->recorded, &packets, e);
	if (!rc)
		rc = mysql_replica_stop(s->c, s->t, &replica, e);
	for (size_t i = 0; i < s->nr && !rc; i++)
		rc = load(s, &s->v[i], no_binlog, e);
	for (size_t i = 0; i < s->nr; i++) {
		const char *database = s->v[i].database->to, *table = s->v[i].table;

		mysql_form(&where,
			   "$(table_schema = ? AND table_name = ?) OR (referenced_table_schema = ? "
			   "AND referenced_table_name = ?)",
			   i > 0 ? " OR " : "", database, table, database, table);
	}
	if (!rc)
		rc = mysql_note_orphans(s->c, s->t, &where, e);
	buf_release(&where);
	/* One table is not the dump's position: replication goes on where it stood. */
	mysql_packets_back(s->c, s->t, packets);
	mysql_replica_start(s->c, s->t, replica);
	return rc;
}

enum err_code mysql_tables_restore(struct component *c, struct restore_job *j, struct err *e)
{
	struct tables s = { .c = c, .j = j };
	enum err_code rc = open_tables(&s, e);

	for (size_t i = 0; i < s.nr && !rc; i++)
		rc = mysql_may_restore(c, j, s.t, s.v[i].database->to, !mysql_of(c)->binlog, e);
	if (!rc)
		rc = mysql_definers(c, j, s.t, e);
	if (!rc)
		rc = make_way_back(&s, e);
	if (!rc) {
		rc = put_back(&s, e);
		if (rc && j->way_back)
			err_prefix(e, "vouch rollback %s brings back what was there; or try again", c->name);
	}
	release(&s);
	return rc;
}

static enum err_code drop_created(struct component *c, struct restore_job *j, const json_t *created, struct err *e)
{
	struct talk *t = NULL;
	struct buf b = BUF_INIT;
	enum err_code rc;
	const json_t *v;
	size_t i;

	if (json_array_size(created) == 0)
		return ERR_OK;
	rc = mysql_connect_restore(c, MYSQL_RESTORE, &t, e);
	if (!rc)
		(void)mysql_without_binlog(c, j, t, &rc, e);
	json_array_foreach(created, i, v)
	{
		const char *database = json_string_value(json_array_get(v, 0)),
			   *table = json_string_value(json_array_get(v, 1));

		if (rc || !database || !table)
			continue;
		mysql_form(&b, "DROP TABLE IF EXISTS @.@", database, table);
		rc = talk_do_buf(t, &b, e);
	}
	talk_close(t);
	return rc;
}

enum err_code mysql_tables_rollback(struct component *c, struct restore_job *j, const json_t *way, struct err *e)
{
	const char **items = calloc(j->nr_items + 1, sizeof(*items));
	struct restore_job some = *j;
	struct tables s = { .c = c, .j = &some };
	enum err_code rc = items ? ERR_OK : err_set(e, ERR_NOMEM, "%s", c->name);

	some.items = items;
	some.nr_items = 0;
	for (size_t i = 0; i < j->nr_items && !rc; i++)
		if (json_object_get(way, "snapshot") && facts_item(j->recorded, "table", j->items[i]))
			items[some.nr_items++] = j->items[i];
	if (!rc && some.nr_items > 0) {
		rc = open_tables(&s, e);
		if (!rc)
			rc = put_back(&s, e);
		release(&s);
	}
	if (!rc)
		rc = drop_created(c, j, json_object_get(way, "created"), e);
	free(items);
	return rc;
}
