/* SPDX-License-Identifier: MIT */
/*
 * Replication around a restore.  A replica that is restored below its applier would apply changes to rows it does not have:
 * it is stopped before and started after, on every path out; with replica = repoint it goes on where the dump was made.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/components/mysql.h"

struct mysql_replica {
	bool running;		/* it ran when we came */
	bool stopped;		/* by us */
	bool pointed_badly;	/* to be started by hand, after a look */
	char *server_id, *host; /* of the server that it reads from */
	char *file, *pos;	/* executed there */
	bool gtid;
};

static void release(struct mysql_replica *r)
{
	if (!r)
		return;
	free(r->server_id);
	free(r->host);
	free(r->file);
	free(r->pos);
	free(r);
}

/* Places of SHOW SLAVE STATUS's columns, the same in MySQL 5.7 and 8.0 and MariaDB 10 and 11; the last is MariaDB's. */
enum {
	MASTER_HOST = 1,
	RELAY_MASTER_FILE = 9,
	IO_RUNNING = 10,
	SQL_RUNNING = 11,
	EXEC_POS = 21,
	SERVER_ID = 39,
	USING_GTID = 42
};

static char *field(const struct talk_rows *r, size_t i)
{
	const char *v = talk_field(r, 0, i);

	return v ? strdup(v) : NULL;
}

/* *out NULL: it is none, or we may not ask; c: tell that. */
static enum err_code read_status(struct component *c, struct talk *t, struct mysql_replica **out, struct err *e)
{
	struct talk_rows rows = {0};
	struct err why = ERR_INIT;
	enum err_code rc = talk_ask(t, "SHOW SLAVE STATUS", &rows, &why);
	struct mysql_replica *r = NULL;
	const char *io, *sql, *gtid;

	*out = NULL;
	if (rc == ERR_FAILED) {
		if (c)
			component_note(c, "%s: whether this server is a replica is not known, and nothing is stopped: %s",
				       c->name, why.msg);
		return ERR_OK;
	}
	if (rc && e)
		*e = why;
	if (!rc && rows.nr_rows > 0 && rows.nr_fields > SERVER_ID) {
		r = calloc(1, sizeof(*r));
		if (!r)
			rc = err_set(e, ERR_NOMEM, "replication");
	}
	if (r) {
		io = talk_field(&rows, 0, IO_RUNNING);
		sql = talk_field(&rows, 0, SQL_RUNNING);
		r->running = (io && strcmp(io, "No") != 0) || (sql && strcmp(sql, "Yes") == 0);
		gtid = talk_field(&rows, 0, USING_GTID);
		r->gtid = gtid && (strcmp(gtid, "Slave_Pos") == 0 || strcmp(gtid, "Current_Pos") == 0);
		r->host = field(&rows, MASTER_HOST);
		r->file = field(&rows, RELAY_MASTER_FILE);
		r->pos = field(&rows, EXEC_POS);
		r->server_id = field(&rows, SERVER_ID);
		*out = r;
	}
	talk_rows_release(&rows);
	return rc;
}

enum err_code mysql_replica_facts(struct talk *t, struct facts *f, struct err *e)
{
	struct mysql_replica *r = NULL;
	enum err_code rc = read_status(NULL, t, &r, e);
	char *gtid = NULL;

	if (rc || !r)
		return rc;
	facts_set_in(f, "position", "master_host", r->host ? r->host : "");
	facts_set_in(f, "position", "master_server_id", r->server_id ? r->server_id : "");
	facts_set_in(f, "position", "master_file", r->file ? r->file : "");
	facts_set_in(f, "position", "master_pos", r->pos ? r->pos : "");
	if (r->gtid)
		rc = talk_value(t, &gtid, e, "SELECT @@global.gtid_slave_pos");
	if (!rc && gtid)
		facts_set_in(f, "position", "master_gtid", gtid);
	free(gtid);
	release(r);
	return rc;
}

enum err_code mysql_replica_stop(struct component *c, struct talk *t, struct mysql_replica **out, struct err *e)
{
	struct mysql_replica *r = NULL;
	enum err_code rc;

	*out = NULL;
	if (mysql_of(c)->replica == MYSQL_REPLICA_LEAVE)
		return ERR_OK;
	rc = read_status(c, t, &r, e);
	if (rc || !r || (!r->running && mysql_of(c)->replica != MYSQL_REPLICA_REPOINT)) {
		/* As it was, or as a recover left it that was killed. */
		if (r)
			component_note(c, "%s: replication from %s does not run, and is not started", c->name,
				       r->host ? r->host : "another");
		release(r);
		return rc;
	}
	rc = talk_do(t, e, "STOP SLAVE");
	if (rc) {
		err_prefix(e, "this server reads from %s, and that could not be stopped", r->host ? r->host : "another");
		release(r);
		return rc;
	}
	r->stopped = true;
	component_note(c, "%s: replication from %s stopped", c->name, r->host ? r->host : "another");
	*out = r;
	return ERR_OK;
}

static bool is_position(const char *file, const char *pos)
{
	return file && *file && pos && *pos && strspn(pos, "0123456789") == strlen(pos);
}

/*
 * The statement that lets the replica go on where the dump was made; false: the dump does not say.  It was made at the
 * server that is read from, or at this one, or another replica of the same.
 */
static bool point_to(const struct mysql_replica *r, const struct facts *f, struct buf *gtid, struct buf *change)
{
	const char *at = facts_get_in(f, "position", "server_id"), *of = facts_get_in(f, "position", "master_server_id");
	bool there = at && r->server_id && strcmp(at, r->server_id) == 0;
	const char *file = facts_get_in(f, "position", there ? "file" : "master_file");
	const char *pos = facts_get_in(f, "position", there ? "pos" : "master_pos");
	const char *id = facts_get_in(f, "position", there ? "gtid" : "master_gtid");

	if (!there && !(of && r->server_id && strcmp(of, r->server_id) == 0))
		return false;
	if (r->gtid && id) {
		mysql_form(gtid, "SET GLOBAL gtid_slave_pos = ?", id);
		buf_add_str(change, "CHANGE MASTER TO MASTER_USE_GTID = slave_pos");
		return true;
	}
	if (!is_position(file, pos))
		return false;
	mysql_form(change, "CHANGE MASTER TO MASTER_LOG_FILE = ?, MASTER_LOG_POS = $", file, pos);
	return true;
}

enum err_code mysql_replica_point(struct component *c, struct talk *t, struct mysql_replica *r, const struct facts *recorded,
				  struct err *e)
{
	struct buf gtid = BUF_INIT, change = BUF_INIT;
	enum err_code rc = ERR_OK;

	if (!r || mysql_of(c)->replica != MYSQL_REPLICA_REPOINT)
		return ERR_OK;
	if (!point_to(r, recorded, &gtid, &change)) {
		r->pointed_badly = true;
		component_note(c,
			       "%s: the dump was not made at %s nor at a replica of it: replication stays stopped; point it "
			       "yourself, then START SLAVE",
			       c->name, r->host ? r->host : "the server that is read from");
		return ERR_OK;
	}
	component_note(c, "%s: %.*s %.*s", c->name, (int)gtid.len, gtid.p ? (char *)gtid.p : "", (int)change.len,
		       (char *)change.p);
	r->pointed_badly = true;
	if (gtid.len > 0)
		rc = talk_do_buf(t, &gtid, e);
	if (!rc)
		rc = talk_do_buf(t, &change, e);
	r->pointed_badly = rc != ERR_OK;
	if (rc)
		err_prefix(e, "replication could not be pointed to the dump's position, and stays stopped");
	buf_release(&gtid);
	buf_release(&change);
	return rc;
}

void mysql_replica_start(struct component *c, struct talk *t, struct mysql_replica *r)
{
	struct err why = ERR_INIT;

	if (r && r->stopped && r->running && !r->pointed_badly) {
		if (talk_do(t, &why, "START SLAVE"))
			component_note(c, "%s: replication could not be started again: %s", c->name, why.msg);
		else
			component_note(c, "%s: replication started again", c->name);
	}
	release(r);
}

enum err_code mysql_replica_plan(struct component *c, struct talk *t, const struct facts *recorded, struct err *e)
{
	enum mysql_replica_key key = mysql_of(c)->replica;
	struct mysql_replica *r = NULL;
	struct buf gtid = BUF_INIT, change = BUF_INIT;
	enum err_code rc = read_status(c, t, &r, e);
	const char *host;

	if (rc || !r)
		return rc;
	host = r->host ? r->host : "another server";
	if (key == MYSQL_REPLICA_LEAVE)
		component_note(c, "replication from %s is left as it is (replica = leave)", host);
	else if (key == MYSQL_REPLICA_RESTART && !r->running)
		component_note(c, "replication from %s does not run, and is not started", host);
	else if (key == MYSQL_REPLICA_RESTART)
		component_note(c,
			       "stop replication from %s, and start it where it stood: changes between the dump and now "
			       "stay lost (replica = repoint has "
			       "them come again)",
			       host);
	else if (point_to(r, recorded, &gtid, &change))
		component_note(c, "stop replication from %s, then %.*s %.*s, and start it", host, (int)gtid.len,
			       gtid.p ? (char *)gtid.p : "", (int)change.len, (char *)change.p);
	else
		component_note(c, "stop replication from %s; the dump was made elsewhere, so it stays stopped", host);
	buf_release(&gtid);
	buf_release(&change);
	release(r);
	return ERR_OK;
}
