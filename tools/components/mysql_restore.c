/* SPDX-License-Identifier: MIT */
/*
 * Whole databases back.  DDL cannot be taken back, and a file cut between two statements loads with status 0; so:
 *
 *   the dump is read to its trailer, its rows compared with the recorded (read_back)
 *   definers looked for, what is there now dumped (the way back), replication stopped, sessions ended
 *   DROP, CREATE with the recorded character set, load
 *   references checked here; rows and sums by the caller (inspect)
 *
 * Killed in between, it is run again: what is half there is dumped, dropped and made anew like any other.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/components/mysql.h"

/* Reading back */

struct differences {
	size_t nr;
	char first[512];
};

static void on_row(void *ctx, const struct facts_row *r)
{
	struct differences *d = ctx;

	if (!r->agrees && d->nr++ == 0)
		(void)snprintf(d->first, sizeof(d->first), "%s %s: recorded %s, in the file %s", r->kind, r->name,
			       r->recorded, r->found);
}

/* The server's, not the stream's. */
static bool is_in_stream(void *ctx, const char *kind, const char *name)
{
	(void)ctx;
	(void)name;
	return strcmp(kind, "database") != 0;
}

enum err_code mysql_read_back(struct component *c, struct restore_job *j, struct err *e)
{
	struct mysql_names names = {0};
	struct facts found = {0};
	struct differences diff = {0};
	enum err_code rc = mysql_names_recorded(c, j->recorded, NULL, &names, e);

	if (!rc)
		rc = mysql_intake_file(c, j, MYSQL_DUMP, &names, &found, e);
	if (!rc && facts_compare(j->recorded, &found, is_in_stream, NULL, false, on_row, &diff) > 0)
		rc = err_set(e, ERR_CORRUPT, "%s is not what was recorded of it: %s%s", MYSQL_DUMP, diff.first,
			     diff.nr > 1 ? ", and more" : "");
	facts_release(&found);
	mysql_names_release(&names);
	return rc;
}

/* The way back */

static json_t *names_json(const struct mysql_names *n, const bool *there, bool want)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n->nr; i++)
		if (there[i] == want)
			(void)json_array_append_new(a, json_string(n->of[i].to));
	return a;
}

static enum err_code make_way_back(struct component *c, struct restore_job *j, const struct mysql_names *n,
				   const bool *there, struct err *e)
{
	struct mysql *m = mysql_of(c);
	char *snapshot = NULL;
	enum err_code rc;
	bool any = false;

	for (size_t i = 0; i < n->nr; i++)
		any = any || there[i];
	if (!any)
		return restore_way_back(c, j,
					json_pack("{s:s,s:o}", "kind", "absent", "absent", names_json(n, there, false)), e);
	m->into = j->into;
	m->some = true;
	rc = j->safety_dump(j->ctx, c, &snapshot, e);
	m->into = NULL;
	m->some = false;
	if (!rc)
		rc = restore_way_back(c, j,
				      json_pack("{s:s,s:s,s:o}", "kind", "safety", "snapshot", snapshot, "absent",
						names_json(n, there, false)),
				      e);
	free(snapshot);
	return rc;
}

/* Restoring */

static bool is_word(const char *s, size_t len)
{
	return len > 0 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") >= len;
}

/* The recorded character set and collation are text from a snapshot: words, or the server's default. */
enum err_code mysql_create_database(struct component *c, struct restore_job *j, struct talk *t,
				    const struct mysql_name *name, bool drop, struct err *e)
{
	const char *is = json_string_value(json_object_get(facts_item(j->recorded, "database", name->own), "is"));
	const char *space = is ? strchr(is, ' ') : NULL;
	struct buf b = BUF_INIT;
	enum err_code rc = ERR_OK;

	if (drop) {
		mysql_form(&b, "DROP DATABASE IF EXISTS @", name->to);
		rc = talk_do_buf(t, &b, e);
	}
	if (rc) {
		err_prefix(e, "drop database %s", name->to);
		return rc;
	}
	mysql_form(&b, "CREATE DATABASE @", name->to);
	if (space && is_word(is, (size_t)(space - is)) && is_word(space + 1, strlen(space + 1)))
		buf_printf(&b, " CHARACTER SET %.*s COLLATE %s", (int)(space - is), is, space + 1);
	else
		component_note(c, "%s: no character set is recorded for database %s: it gets the server's", c->name,
			       name->to);
	rc = talk_do_buf(t, &b, e);
	if (rc)
		err_prefix(e, "create database %s", name->to);
	return rc;
}

static enum err_code fill(struct component *c, struct restore_job *j, struct talk *t, const struct mysql_names *n,
			  struct mysql_load *load, struct err *e)
{
	struct buf where = BUF_INIT;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < n->nr && !rc; i++) {
		rc = j->temporary ? ERR_OK : mysql_end_sessions(c, t, n->of[i].to, e);
		if (!rc)
			rc = mysql_create_database(c, j, t, &n->of[i], true, e);
	}
	if (!rc)
		rc = mysql_load_file(c, j, MYSQL_DUMP, load, e);
	if (rc || j->temporary)
		return rc;
	/* Other databases' references to these stood while they were dropped, and stand now. */
	buf_add_str(&where, "table_schema IN ");
	mysql_form_names(&where, n);
	buf_add_str(&where, " OR referenced_table_schema IN ");
	mysql_form_names(&where, n);
	return mysql_note_orphans(c, t, &where, e);
}

static enum mysql_role role_of(const struct restore_job *j)
{
	return j->temporary ? MYSQL_VALIDATE : MYSQL_RESTORE;
}

/* Which of them are there.  What validate makes must not be there. */
static enum err_code look(struct restore_job *j, struct talk *t, const struct mysql_names *n, bool *there, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < n->nr && !rc; i++) {
		rc = mysql_database_exists(t, n->of[i].to, &there[i], e);
		if (!rc && there[i] && j->temporary)
			rc = err_set(e, ERR_EXISTS, "database %s is there already; nothing was touched", n->of[i].to);
	}
	return rc;
}

/* A copy to be looked at is nothing for replicas, where that may be said. */
bool mysql_without_binlog(struct component *c, struct restore_job *j, struct talk *t, enum err_code *rc, struct err *e)
{
	struct err why = ERR_INIT;

	if (mysql_of(c)->binlog && !j->temporary)
		return false;
	*rc = talk_do(t, &why, "SET SESSION sql_log_bin = 0");
	if (*rc == ERR_FAILED && j->temporary) {
		*rc = ERR_OK;
		return false;
	}
	if (*rc && e)
		*e = why;
	if (*rc)
		err_prefix(e, "restore-binlog = no");
	return true;
}

static enum err_code restore_names(struct component *c, struct restore_job *j, const struct mysql_names *n, bool keep_way,
				   struct err *e)
{
	struct mysql_load load = {
		.role = role_of(j), .names = n, .database = n->several ? NULL : n->of[0].to};
	struct mysql_replica *replica = NULL;
	bool *there = calloc(n->nr + 1, sizeof(*there));
	struct talk *t = NULL;
	uint64_t packets = 0;
	enum err_code rc = there ? ERR_OK : err_set(e, ERR_NOMEM, "%s", c->name);

	if (!rc)
		rc = mysql_connect_restore(c, load.role, &t, e);
	if (!rc)
		load.no_binlog = mysql_without_binlog(c, j, t, &rc, e);
	if (!rc)
		rc = look(j, t, n, there, e);
	for (size_t i = 0; i < n->nr && !rc; i++)
		rc = mysql_may_restore(c, j, t, n->of[i].to, load.no_binlog, e);
	if (!rc)
		rc = mysql_definers(c, j, t, e);
	if (!rc)
		rc = mysql_packets(t, j->recorded, &packets, e);
	if (!rc && keep_way && !j->temporary)
		rc = make_way_back(c, j, n, there, e);
	if (!rc && !j->temporary)
		rc = mysql_replica_stop(c, t, &replica, e);
	if (!rc)
		rc = fill(c, j, t, n, &load, e);
	if (!rc && !j->temporary)
		rc = mysql_replica_point(c, t, replica, j->recorded, e);
	if (rc && replica)
		component_note(c, "%s: after this error the rows are not those that replication stood at", c->name);
	mysql_packets_back(c, t, packets);
	mysql_replica_start(c, t, replica);
	if (rc && j->way_back && keep_way)
		err_prefix(e, "vouch rollback %s brings back what was there; or try again", c->name);
	talk_close(t);
	free(there);
	return rc;
}

enum err_code mysql_restore(struct component *c, struct restore_job *j, struct err *e)
{
	struct mysql_names n = {0};
	enum err_code rc;

	if (j->nr_items > 0)
		return mysql_tables_restore(c, j, e);
	mysql_of(c)->temporary = j->temporary;
	rc = mysql_names_recorded(c, j->recorded, j->into, &n, e);
	if (!rc)
		rc = restore_names(c, j, &n, true, e);
	mysql_names_release(&n);
	return rc;
}

static void plan_names(struct component *c, struct restore_job *j, const struct mysql_names *n, const bool *there)
{
	bool any = false;

	for (size_t i = 0; i < n->nr; i++)
		any = any || there[i];
	if (any)
		component_note(c, "dump what is there now into a snapshot of its own: the way back");
	for (size_t i = 0; i < n->nr; i++) {
		if (there[i])
			component_note(c, "end the sessions in database %s, drop it, create it anew", n->of[i].to);
		else
			component_note(c, "create database %s", n->of[i].to);
	}
	component_note(c, "load %s%s%s", MYSQL_DUMP, mysql_names_differ(n) ? ", renamed, with its events disabled" : "",
		       j->temporary		? ""
		       : mysql_of(c)->binlog	? "; it is written to the binary log, so replicas follow"
						: "; without the binary log: replicas do not follow");
}

enum err_code mysql_plan(struct component *c, struct restore_job *j, struct err *e)
{
	struct mysql_names n = {0};
	struct talk *t = NULL;
	bool *there = NULL;
	enum err_code rc = mysql_names_recorded(c, j->recorded, j->into, &n, e);

	if (!rc)
		there = calloc(n.nr + 1, sizeof(*there));
	if (!rc && !there)
		rc = err_set(e, ERR_NOMEM, "%s", c->name);
	if (!rc)
		rc = mysql_connect(c, role_of(j), NULL, &t, e);
	if (!rc && !j->temporary) /* what is left of a validate is dropped before */
		rc = look(j, t, &n, there, e);
	if (!rc)
		rc = mysql_definers(c, j, t, e);
	if (!rc && !j->temporary)
		rc = mysql_replica_plan(c, t, j->recorded, e);
	if (!rc && j->nr_items == 0)
		plan_names(c, j, &n, there);
	for (size_t i = 0; i < j->nr_items && !rc; i++)
		component_note(c,
			       "dump table %s as it is, then drop it and make it anew from its own file, foreign keys off; "
			       "other tables are not touched",
			       j->items[i]);
	talk_close(t);
	free(there);
	mysql_names_release(&n);
	return rc;
}

/* Back, and away */

static enum err_code drop_all(struct component *c, struct restore_job *j, const json_t *names, struct err *e)
{
	struct talk *t = NULL;
	struct buf b = BUF_INIT;
	enum err_code rc = ERR_OK;
	const json_t *v;
	size_t i;

	if (json_array_size(names) == 0)
		return ERR_OK;
	rc = mysql_connect_restore(c, role_of(j), &t, e);
	if (!rc)
		(void)mysql_without_binlog(c, j, t, &rc, e);
	json_array_foreach(names, i, v)
	{
		if (rc || !json_string_value(v))
			continue;
		mysql_form(&b, "DROP DATABASE IF EXISTS @", json_string_value(v));
		rc = talk_do_buf(t, &b, e);
	}
	talk_close(t);
	return rc;
}

enum err_code mysql_rollback(struct component *c, struct restore_job *j, const json_t *way, struct err *e)
{
	const char *kind = json_string_value(json_object_get(way, "kind"));
	struct mysql_names n = {0};
	enum err_code rc = ERR_OK;

	mysql_of(c)->temporary = false;
	if (kind && strcmp(kind, "tables") == 0)
		return mysql_tables_rollback(c, j, way, e);
	if (!kind || (strcmp(kind, "safety") != 0 && strcmp(kind, "absent") != 0))
		return err_set(e, ERR_UNSUPPORTED, "way back of %s: \"%.40s\" is not one of mysql's", c->name,
			       kind ? kind : "");
	if (strcmp(kind, "safety") == 0) {
		rc = mysql_names_recorded(c, j->recorded, j->into, &n, e);
		if (!rc)
			rc = restore_names(c, j, &n, false, e);
	}
	if (!rc)
		rc = drop_all(c, j, json_object_get(way, "absent"), e);
	mysql_names_release(&n);
	return rc;
}

enum err_code mysql_discard(struct component *c, struct restore_job *j, const json_t *way, struct err *e)
{
	struct mysql_names n = {0};
	json_t *names = NULL;
	enum err_code rc;

	/* A way back is a snapshot, which is let go elsewhere; into is dropped only where it was made to be. */
	if (way || !j || !j->temporary || !j->into)
		return ERR_OK;
	rc = mysql_names_recorded(c, j->recorded, j->into, &n, e);
	names = json_array();
	for (size_t i = 0; i < n.nr && !rc; i++)
		if (!names || json_array_append_new(names, json_string(n.of[i].to)))
			rc = err_set(e, ERR_NOMEM, "%s", c->name);
	if (!rc)
		rc = drop_all(c, j, names, e);
	json_decref(names);
	mysql_names_release(&n);
	return rc;
}
