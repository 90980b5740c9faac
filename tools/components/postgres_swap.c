/* SPDX-License-Identifier: MIT */
/*
 * A restore of the whole database: beside the one that is there, then two renames in one transaction.  What was there
 * keeps its data under another name, and is the way back:
 *
 *   crm_restoring_20261121T020000Z ──► crm ──► crm_before_20261121T020000Z ──rollback──► crm
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/components/pgname.h"
#include "tools/components/postgres.h"
#include "tools/text.h"

#define END_TRIES 100
#define END_MS 100

void pg_suffix(const char *what, char out[PG_SUFFIX_LEN])
{
	time_t now = time(NULL);
	struct tm tm = { 0 };
	size_t n;

	n = (size_t)snprintf(out, PG_SUFFIX_LEN, "_%.15s_", what);
	if (gmtime_r(&now, &tm))
		(void)strftime(out + n, PG_SUFFIX_LEN - n, "%Y%m%dT%H%M%SZ", &tm);
}

/* target with such a suffix, where no database has that name yet. */
static enum err_code free_name(struct component *c, struct talk *admin, const char *target, const char *what,
			       char out[PGNAME_MAX + 1], struct err *e)
{
	char suffix[PG_SUFFIX_LEN];
	bool there = true;

	for (int i = 0; i < 5; i++) {
		enum err_code rc;

		pg_suffix(what, suffix);
		if (!pgname_suffixed(target, suffix, out))
			break;
		rc = pg_exists(c, admin, out, &there, NULL, e);
		if (rc || !there)
			return rc;
		(void)poll(NULL, 0, 1000);	/* the next second has another name */
	}
	return err_set(e, ERR_EXISTS, "no free name beside database %s", target);
}

static bool is_kept(const struct pg *p, const char *user)
{
	for (size_t i = 0; p->keep_users && p->keep_users[i]; i++)
		if (user && strcmp(p->keep_users[i], user) == 0)
			return true;
	return false;
}

static enum err_code sessions(struct talk *admin, const char *database, struct talk_rows *out, struct err *e)
{
	struct buf sql = BUF_INIT;

	pg_form(&sql, "SELECT pid, usename FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = ?", database);
	return talk_ask_buf(admin, &sql, out, e);
}

/* ERR_BUSY: a kept user is in it. */
static enum err_code no_kept_user(struct component *c, struct talk *admin, const char *database, struct err *e)
{
	struct talk_rows rows = { 0 };
	enum err_code rc = sessions(admin, database, &rows, e);

	for (size_t i = 0; !rc && i < rows.nr_rows; i++)
		if (is_kept(pg_of(c), talk_field(&rows, i, 1)))
			rc = err_set(
				e, ERR_BUSY,
				"user %s, whom keep-users names, is connected to %s: no database can be renamed while "
				"somebody is in it; end that session, then run this again",
				talk_field(&rows, i, 1), database);
	talk_rows_release(&rows);
	return rc;
}

enum err_code pg_end_sessions(struct component *c, struct talk *admin, const char *database, struct err *e)
{
	size_t ended = 0, left = 0;
	enum err_code rc = ERR_OK;

	for (int i = 0; !rc && i < END_TRIES; i++) {
		struct talk_rows rows = { 0 };

		rc = no_kept_user(c, admin, database, e);
		if (!rc)
			rc = sessions(admin, database, &rows, e);
		left = rc ? 0 : rows.nr_rows;
		for (size_t k = 0; !rc && k < left; k++)
			rc = talk_do(admin, e, "SELECT pg_terminate_backend(%s)", talk_field(&rows, k, 0));
		talk_rows_release(&rows);
		if (rc || left == 0)
			break;
		if (i == 0)
			ended = left;
		(void)poll(NULL, 0, END_MS);
	}
	if (!rc && left > 0)
		rc = err_set(e, ERR_BUSY, "%zu sessions in database %s do not end", left, database);
	if (!rc && ended > 0)
		component_note(c, "%zu sessions in database %s were ended", ended, database);
	return rc;
}

static enum err_code allow_connections(struct talk *admin, const char *database, bool allow, struct err *e)
{
	struct buf sql = BUF_INIT;

	pg_form(&sql, "ALTER DATABASE @ ALLOW_CONNECTIONS $", database, allow ? "true" : "false");
	return talk_do_buf(admin, &sql, e);
}

static enum err_code rename_one(struct talk *admin, const char *from, const char *to, struct err *e)
{
	struct buf sql = BUF_INIT;

	pg_form(&sql, "ALTER DATABASE @ RENAME TO @", from, to);
	return talk_do_buf(admin, &sql, e);
}

static enum err_code comment(struct talk *admin, const char *database, const char *text, struct err *e)
{
	struct buf sql = BUF_INIT;

	pg_form(&sql, text ? "COMMENT ON DATABASE @ IS ?" : "COMMENT ON DATABASE @ IS NULL", database, text);
	return talk_do_buf(admin, &sql, e);
}

struct move {
	const char *name, *target;	/* name becomes target */
	const char *aside;		/* and target this; NULL: there is none */
	const char *comment;		/* of what is target then; NULL: none */
	bool mark;			/* aside is marked as a way back */
};

/*
 * Both renames or neither, and with them the marks: were the old mark of a half restored database still there after
 * them, the next restore would drop the one in use.
 */
static enum err_code in_one(struct component *c, struct talk *admin, const struct move *m, struct err *e)
{
	struct err ignored = ERR_INIT;
	enum err_code rc = talk_do(admin, e, "BEGIN");

	if (rc)
		return rc;
	if (m->aside)
		rc = rename_one(admin, m->target, m->aside, e);
	if (!rc)
		rc = rename_one(admin, m->name, m->target, e);
	if (!rc)
		rc = comment(admin, m->target, m->comment, e);
	if (!rc && m->aside && m->mark)
		rc = pg_mark(c, admin, m->aside, PG_MARK_BEFORE, e);
	if (!rc)
		return talk_do(admin, e, "COMMIT");
	if (talk_do(admin, &ignored, "ROLLBACK"))
		component_note(c, "%s", ignored.msg);
	return rc;
}

/* Nobody gets in while it is done; after that, or a failure, everybody may again. */
static enum err_code renames(struct component *c, struct talk *admin, const struct move *m, struct err *e)
{
	struct err why = ERR_INIT;
	enum err_code rc = ERR_OK;
	const char *old;

	if (m->aside)
		rc = allow_connections(admin, m->target, false, e);
	if (rc)
		return rc;
	if (m->aside)
		rc = pg_end_sessions(c, admin, m->target, e);
	if (!rc)
		rc = pg_end_sessions(c, admin, m->name, e);
	if (!rc)
		rc = in_one(c, admin, m, e);
	old = rc ? m->target : m->aside;
	if (m->aside && allow_connections(admin, old, true, &why))
		component_note(c, "database %s still lets nobody in, ALTER DATABASE ... ALLOW_CONNECTIONS true opens it: %s", old,
			       why.msg);
	return rc;
}

static json_t *way_of(const char *target, const char *before, const char *old_comment)
{
	json_t *way = json_pack("{s:s, s:s}", "kind", before ? "renamed" : "created", "database", target);

	if (way && before && json_object_set_new(way, "before", json_string(before))) {
		json_decref(way);
		return NULL;
	}
	if (way && old_comment)
		(void)json_object_set_new(way, "comment", json_string(old_comment));
	return way;
}

static enum err_code comment_of(struct talk *admin, const char *database, char **out, struct err *e)
{
	struct buf sql = BUF_INIT;

	pg_form(&sql, "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = ?", database);
	return pg_value(admin, &sql, out, e);
}

enum err_code pg_swap(struct component *c, struct restore_job *j, struct talk *admin, const char *name, const char *target,
		      struct err *e)
{
	char before[PGNAME_MAX + 1] = "";
	char *old_comment = NULL;
	bool there = false;
	enum err_code rc = pg_exists(c, admin, target, &there, NULL, e);

	if (!rc && there)
		rc = free_name(c, admin, target, "before", before, e);
	if (!rc && there)
		rc = comment_of(admin, target, &old_comment, e);
	if (!rc)
		rc = restore_way_back(c, j, way_of(target, there ? before : NULL, old_comment), e);
	if (!rc)
		rc = renames(c, admin, &(struct move){ name, target, there ? before : NULL,
						       facts_get_in(j->recorded, "settings", "comment"), true }, e);
	if (!rc && there)
		component_note(c, "database %s is now %s; drop it when nobody needs it any more", target, before);
	free(old_comment);
	return rc;
}

static const char *target_of(struct component *c, struct restore_job *j)
{
	return j->into ? j->into : pgdsn_get(&pg_of(c)->dsn[PG_RESTORE], "dbname");
}

/* A validate's: what it fills is dropped by discard(), whatever comes between. */
static enum err_code restore_temporary(struct component *c, struct restore_job *j, struct err *e)
{
	struct pg *p = pg_of(c);
	struct talk *admin = NULL;
	enum err_code rc;

	free(p->temporary);
	p->temporary = strdup(j->into ? j->into : "");
	if (!p->temporary || !j->into)
		return err_set(e, ERR_NOMEM, "validate");
	rc = pg_connect_admin(c, PG_VALIDATE, j->into, &admin, e);
	if (!rc)
		rc = pg_may_restore(c, j, admin, true, e);
	if (!rc)
		rc = pg_sweep(c, admin, e);
	if (!rc)
		rc = pg_fill_beside(c, j, PG_VALIDATE, admin, j->into, PG_MARK_TEMPORARY, e);
	talk_close(admin);
	return rc;
}

/* Logical replication knows a database by its number: it stays with the old one. */
static enum err_code tell_replication(struct component *c, struct talk *admin, const char *target, struct err *e)
{
	struct talk_rows rows = { 0 };
	struct buf sql = BUF_INIT;
	enum err_code rc;

	pg_form(&sql, "SELECT format('replication slot %s stays with the database as it was before: its subscriber must be set up "
		"again', slot_name) FROM pg_replication_slots WHERE database = ? UNION ALL SELECT format('subscription %s goes on "
		"in the database as it was before, and is switched off in the new one', subname) FROM pg_subscription s "
		"JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = ?", target, target);
	rc = talk_ask_buf(admin, &sql, &rows, e);
	for (size_t i = 0; !rc && i < rows.nr_rows; i++)
		component_note(c, "%s", talk_field(&rows, i, 0));
	talk_rows_release(&rows);
	return rc;
}

enum err_code pg_restore(struct component *c, struct restore_job *j, struct err *e)
{
	const char *target = target_of(c, j);
	char name[PGNAME_MAX + 1];
	struct talk *admin = NULL;
	enum err_code rc;

	if (j->nr_items > 0)
		return pg_table_restore(c, j, e);
	if (j->temporary)
		return restore_temporary(c, j, e);
	rc = pg_connect_admin(c, PG_RESTORE, target, &admin, e);
	if (!rc)
		rc = pg_may_restore(c, j, admin, true, e);
	if (!rc)
		rc = no_kept_user(c, admin, target, e);
	if (!rc)
		rc = tell_replication(c, admin, target, e);
	if (!rc)
		rc = pg_sweep(c, admin, e);
	if (!rc)
		rc = free_name(c, admin, target, "restoring", name, e);
	if (!rc)
		rc = pg_fill_beside(c, j, PG_RESTORE, admin, name, PG_MARK_HALF, e);
	if (!rc) {
		rc = pg_swap(c, j, admin, name, target, e);
		if (rc) {
			struct err ignored = ERR_INIT;

			/* gone where the renames were done: then there is nothing of that name */
			if (pg_drop_marked(c, admin, name, &ignored))
				component_note(c, "%s", ignored.msg);
		}
	}
	talk_close(admin);
	return rc;
}

enum err_code pg_plan(struct component *c, struct restore_job *j, struct err *e)
{
	const char *target = target_of(c, j), *bytes = facts_get_in(j->recorded, "settings", "database bytes");
	const char *encoding = facts_get_in(j->recorded, "settings", "encoding");
	struct talk_rows rows = { 0 };
	struct talk *admin = NULL;
	char size[TEXT_LEN];
	bool there = false;
	enum err_code rc;

	if (j->nr_items > 0)
		return pg_table_plan(c, j, e);
	rc = pg_connect_admin(c, j->temporary ? PG_VALIDATE : PG_RESTORE, target, &admin, e);
	if (!rc)
		rc = pg_may_restore(c, j, admin, false, e);
	if (!rc)
		rc = pg_exists(c, admin, target, &there, NULL, e);
	if (!rc)
		rc = sessions(admin, target, &rows, e);
	if (rc)
		goto out;
	component_note(c, "make a new database with encoding %s %s %s, and fill it (the database took %s)",
		       encoding ? encoding : "of the server", j->temporary ? "named" : "beside", target,
		       bytes ? text_size(strtoull(bytes, NULL, 10), size) : "nobody knows how much");
	component_note(c, "put back settings and grants of the database, and analyze it");
	if (j->temporary) {
		component_note(c, "look at it there, and drop it");
		goto out;
	}
	if (there)
		component_note(c, "end %zu sessions in %s, rename it to %s_before_..., and the new one to %s", rows.nr_rows, target,
			       target, target);
	else
		component_note(c, "rename the new one to %s: there is none of that name", target);
	rc = tell_replication(c, admin, target, e);
out:
	talk_rows_release(&rows);
	talk_close(admin);
	return rc;
}

static enum err_code roll_back_rename(struct component *c, struct talk *admin, const char *database, const char *before,
				      const char *old_comment, struct err *e)
{
	char undone[PGNAME_MAX + 1];
	bool there = false, was = false;
	enum err_code rc = pg_exists(c, admin, before, &was, NULL, e);

	if (!rc)
		rc = pg_exists(c, admin, database, &there, NULL, e);
	if (rc)
		return rc;
	if (!was) {
		/* killed before the renames: nothing was changed, but perhaps it lets nobody in */
		if (there)
			rc = allow_connections(admin, database, true, e);
		return rc ? rc
			  : err_set(e, ERR_NOT_FOUND,
				    "there is no database %s: nothing was renamed, or it was dropped", before);
	}
	if (there)
		rc = free_name(c, admin, database, "undone", undone, e);
	if (!rc)
		rc = renames(c, admin, &(struct move){ before, database, there ? undone : NULL, old_comment, false }, e);
	if (!rc && there)
		component_note(c, "what the recover had restored is now database %s; drop it when nobody needs it", undone);
	return rc;
}

/* There was none of that name before: so there is none again, but nothing is lost. */
static enum err_code roll_back_created(struct component *c, struct talk *admin, const char *database, struct err *e)
{
	char undone[PGNAME_MAX + 1];
	bool there = false;
	enum err_code rc = pg_exists(c, admin, database, &there, NULL, e);

	if (!rc && !there)
		rc = err_set(e, ERR_NOT_FOUND, "there is no database %s", database);
	if (!rc)
		rc = free_name(c, admin, database, "undone", undone, e);
	if (!rc)
		rc = pg_end_sessions(c, admin, database, e);
	if (!rc)
		rc = rename_one(admin, database, undone, e);
	if (!rc)
		component_note(c, "what the recover had restored is now database %s; drop it when nobody needs it", undone);
	return rc;
}

enum err_code pg_rollback(struct component *c, struct restore_job *j, const json_t *way, struct err *e)
{
	const char *kind = pg_member(way, "kind"), *database = pg_member(way, "database"), *before = pg_member(way, "before");
	struct talk *admin = NULL;
	enum err_code rc;

	(void)j;
	if (kind && strcmp(kind, "rows") == 0)
		return pg_table_rollback(c, way, e);
	if (!kind || !database || (strcmp(kind, "renamed") == 0 && !before))
		return err_set(e, ERR_CORRUPT, "the way back does not say which database");
	rc = pg_connect_admin(c, PG_RESTORE, database, &admin, e);
	if (!rc && before)
		rc = roll_back_rename(c, admin, database, before, pg_member(way, "comment"), e);
	else if (!rc)
		rc = roll_back_created(c, admin, database, e);
	talk_close(admin);
	return rc;
}

enum err_code pg_discard(struct component *c, struct restore_job *j, const json_t *way, struct err *e)
{
	const char *before = way ? pg_member(way, "before") : NULL, *kind = way ? pg_member(way, "kind") : NULL;
	struct talk *admin = NULL;
	enum err_code rc = ERR_OK;

	if (j && j->temporary && j->into) {
		rc = pg_connect_admin(c, PG_VALIDATE, j->into, &admin, e);
		if (!rc)
			rc = pg_drop_marked(c, admin, j->into, e);
		talk_close(admin);
		admin = NULL;
	}
	if (!rc && kind && strcmp(kind, "rows") == 0)
		return pg_table_discard(c, way, e);
	if (!rc && before) {
		rc = pg_connect_admin(c, PG_RESTORE, before, &admin, e);
		if (!rc)
			rc = pg_drop_marked(c, admin, before, e);
		talk_close(admin);
	}
	return rc;
}
