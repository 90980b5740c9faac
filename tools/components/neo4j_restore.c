/* SPDX-License-Identifier: MIT */
/*
 * A dump never reaches a database that is there: neo4j-admin database load --overwrite-destination deletes it before it
 * reads.  It is loaded into a home of its own beside the target's data (on the same file systems), checked there, and
 * exchanged with what is there by renames while the server is stopped; the old folders are the way back.
 */
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/base/must.h"
#include "store/tree.h"
#include "tools/components/neo4j.h"

#define LOAD_PREFIX	".vouch-load-"
#define STAMP_LEN	20u

/* Where it goes. */

struct target {
	struct neo4j_place other;		/* --into /HOME */
	const struct neo4j_place *place;
	const char *database;
	bool live;				/* the component's own: its server is stopped and started */
	struct neo4j_place staging;
	bool system;				/* the system database, too */
	struct neo4j_moves moves;
};

static void target_release(struct target *t)
{
	neo4j_moves_tidy(&t->moves);
	if (t->staging.held)
		neo4j_drop_tree(t->staging.transactions);
	neo4j_place_remove(&t->staging);
	neo4j_place_release(&t->other);
	neo4j_moves_release(&t->moves);
}

static enum err_code make_folder(const char *path, struct err *e)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_sys(e, "make the folder %s", path);
	return ERR_OK;
}

/* Another database of the same home.  Nobody can tell whether a server that runs serves it. */
static enum err_code find_other(struct component *c, const char *name, struct target *t, struct err *e)
{
	const struct neo4j *n = neo4j_of(c);
	uint64_t bytes;
	bool there = false;
	enum err_code rc;

	t->database = name;
	if (!neo4j_is_name(name))
		return err_set(e, ERR_USAGE,
			       "%s is no name of a Neo4j database (a small letter, then small letters, digits, '.', '-'), "
			       "nor the path of a home",
			       name);
	if (strcmp(name, n->database) == 0 || strcmp(name, "system") == 0)
		return err_set(e, ERR_USAGE, "--into %s: that is the component's own, which is restored without --into",
			       name);
	rc = neo4j_place_size(&n->live, name, &there, &bytes, e);
	if (!rc && there && neo4j_busy(n->live.data))
		rc = err_set(e, ERR_BUSY,
			     "there is a database %s, and the server of %s runs, and may serve it: stop it, or choose "
			     "another name",
			     name, n->live.home);
	return rc;
}

static enum err_code target_find(struct component *c, struct restore_job *j, struct target *t, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	enum err_code rc;

	t->place = &n->live;
	t->database = n->database;
	t->live = !j->into;
	if (j->into && *j->into != '/')
		return find_other(c, j->into, t, e);
	if (!j->into)
		return ERR_OK;
	rc = neo4j_place_read(j->into, NULL, NULL, &t->other, e);
	t->place = &t->other;
	if (!rc && neo4j_busy(t->other.data))
		rc = err_set(e, ERR_BUSY, "a Neo4j server runs in %s: stop it before", j->into);
	return rc;
}

/* What a restore that was killed left: nobody else loads now, the component is locked. */
static enum err_code remove_left(struct component *c, const char *folder, struct err *e)
{
	DIR *d = opendir(folder);
	const struct dirent *one;
	enum err_code rc = ERR_OK;

	while (d && !rc && (one = readdir(d))) {
		char *path;

		if (strncmp(one->d_name, LOAD_PREFIX, sizeof(LOAD_PREFIX) - 1) != 0)
			continue;
		path = neo4j_path(folder, one->d_name, NULL);
		component_note(c, "%s/%s is what a restore left that was interrupted: it is removed", folder, one->d_name);
		rc = path ? neo4j_remove_tree(path, e) : err_set(e, ERR_NOMEM, "out of memory");
		free(path);
	}
	if (d)
		closedir(d);
	return rc;
}

/* The home beside the target's data in which it is loaded. */
static enum err_code stage(struct component *c, const struct neo4j_place *p, struct neo4j_place *out, struct err *e)
{
	char *folder = neo4j_path(p->data, LOAD_PREFIX "XXXXXX", NULL), *transactions = NULL;
	enum err_code rc = folder ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

	if (!rc && !mkdtemp(folder))
		rc = err_sys(e, "make a folder in %s", p->data);
	if (!rc) {
		transactions = neo4j_path(p->transactions, basename(folder), NULL);
		rc = transactions ? make_folder(transactions, e) : err_set(e, ERR_NOMEM, "out of memory");
	}
	if (!rc)
		rc = neo4j_place_make(c, folder, transactions, out, e);
	if (rc && folder)
		neo4j_drop_tree(folder);
	if (rc && transactions)
		neo4j_drop_tree(transactions);
	free(folder);
	free(transactions);
	return rc;
}

static enum err_code prepare(struct component *c, struct restore_job *j, struct target *t, struct err *e)
{
	const struct neo4j *n = neo4j_of(c);
	char *databases = neo4j_path(t->place->data, "databases", NULL);
	uint64_t bytes = 0;
	struct blob *b = NULL;
	bool there, dumped = false;
	enum err_code rc = databases ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

	if (!rc)
		rc = make_folder(t->place->home, e);
	if (!rc)
		rc = make_folder(t->place->data, e);
	if (!rc)
		rc = make_folder(databases, e);
	if (!rc)
		rc = make_folder(t->place->transactions, e);
	if (!rc)
		rc = remove_left(c, t->place->data, e);
	if (!rc)
		rc = remove_left(c, t->place->transactions, e);
	if (!rc)
		rc = restore_file(j, NEO4J_DUMP, &b, e);
	if (!rc)
		rc = neo4j_room(t->place->data, blob_size(b), "the restored database beside the old", e);
	blob_close(b);
	if (!rc)
		rc = neo4j_has_system(j, &dumped, e);
	if (!rc)
		rc = neo4j_place_size(t->place, "system", &there, &bytes, e);
	if (!rc && dumped && !(j->into && *j->into != '/'))
		t->system = n->system == NEO4J_SYSTEM_ALWAYS || (n->system == NEO4J_SYSTEM_MISSING && !there);
	free(databases);
	return rc;
}

static enum err_code load_all(struct component *c, struct restore_job *j, struct target *t, struct err *e)
{
	enum err_code rc = stage(c, t->place, &t->staging, e);

	if (!rc)
		rc = neo4j_load(c, j, NEO4J_DUMP, t->database, &t->staging, e);
	if (!rc)
		rc = neo4j_check_loaded(c, &t->staging, t->database, e);
	if (!rc && t->system)
		rc = neo4j_load(c, j, NEO4J_SYSTEM, "system", &t->staging, e);
	if (!rc)
		rc = neo4j_give(t->staging.home, t->place->data, e);
	if (!rc)
		rc = neo4j_give(t->staging.transactions, t->place->data, e);
	return rc;
}

/* One folder to be exchanged; stamp: of the way back. */
static enum err_code add_move(struct neo4j_moves *m, const char *root, const char *name, const char *from, const char *keep,
			      const char *stamp, struct err *e)
{
	char *live = neo4j_path(root, name, NULL), *fresh = neo4j_path(from, name, NULL), *before = NULL, *old = NULL;
	enum err_code rc = live && fresh && asprintf(&before, "%s/" NEO4J_BEFORE "%s", keep, stamp) >= 0 ?
			   ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

	if (!rc)
		rc = make_folder(before, e);
	if (!rc) {
		old = neo4j_path(before, name, NULL);
		rc = old ? neo4j_moves_add(m, live, fresh, old, e) : err_set(e, ERR_NOMEM, "out of memory");
	}
	free(live);
	free(fresh);
	free(before);
	free(old);
	return rc;
}

static enum err_code plan_moves(struct target *t, struct err *e)
{
	const char *const names[] = { t->database, "system" };
	char *databases = neo4j_path(t->place->data, "databases", NULL), stamp[STAMP_LEN];
	char *fresh = neo4j_path(t->staging.data, "databases", NULL);
	const time_t now = time(NULL);
	struct tm tm;
	enum err_code rc =
	    databases && fresh && gmtime_r(&now, &tm) && strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm) > 0
		? ERR_OK
		: err_set(e, ERR_NOMEM, "out of memory");

	for (size_t i = 0; !rc && i < (t->system ? 2 : 1); i++) {
		rc = add_move(&t->moves, databases, names[i], fresh, t->place->data, stamp, e);
		if (!rc)
			rc = add_move(&t->moves, t->place->transactions, names[i], t->staging.transactions,
				      t->place->transactions, stamp, e);
	}
	free(databases);
	free(fresh);
	return rc;
}

static enum err_code set_way_back(struct component *c, struct restore_job *j, const struct target *t, struct err *e)
{
	json_t *list = neo4j_moves_json(&t->moves);

	return restore_way_back(c, j,
				list ? json_pack("{s:s, s:s, s:s, s:o}", "kind", "folders", "data", t->place->data,
						 "database", t->database, "moves", list)
				     : NULL,
				e);
}

/* Definitions only: what a restored graph must enforce. */
static bool definitions(void *ctx, const char *kind, const char *name)
{
	(void)ctx;
	(void)name;
	return strcmp(kind, "constraint") == 0 || strcmp(kind, "index") == 0;
}

static void first_row(void *ctx, const struct facts_row *r)
{
	char *text = ctx;

	if (!r->agrees && !*text)
		snprintf(text, 200, "%s %s: %s", r->kind, r->name, r->verdict);
}

/* The server is up again: with all constraints, and indexes that are ready? */
static enum err_code verify(struct component *c, struct restore_job *j, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	struct facts now = { 0 };
	struct http *h = NULL;
	char differs[200] = "";
	enum err_code rc = neo4j_http(c, NULL, &h, e);

	facts_begin(&now, "neo4j", c->name);
	if (!rc)
		rc = neo4j_wait_online(h, n->database, n->online_wait, false, c->cancel, e);
	if (!rc)
		rc = neo4j_count(h, n->database, &now, e);
	if (!rc)
		rc = facts_check(&now, e);
	if (!rc && j->recorded && facts_compare(j->recorded, &now, definitions, NULL, true, first_row, differs) > 0)
		rc = err_set(e, ERR_FAILED, "the restored database is not as recorded: %s", differs);
	facts_release(&now);
	http_close(h);
	return rc;
}

/* Back to the old folders; rc is why. */
static enum err_code put_back(struct component *c, struct target *t, enum err_code rc, struct err *e)
{
	struct neo4j_pause *p = NULL;
	struct err why = ERR_INIT;
	enum err_code other = t->live ? neo4j_pause_begin(c, &p, &why) : ERR_OK;

	if (!other)
		other = neo4j_swap_back(t->place->data, &t->moves, &why);
	other = neo4j_pause_end(c, p, NULL, other, &why);
	if (other)
		err_prefix(e, "%s could not be put back (%s): vouch rollback %s tries again; the restore failed because",
			   t->place->data, why.msg, c->name);
	else
		component_note(c, "the old data is back in %s", t->place->data);
	return rc;
}

static enum err_code exchange(struct component *c, struct restore_job *j, struct target *t, struct err *e)
{
	struct neo4j_pause *p = NULL;
	bool running, any;
	enum err_code rc = set_way_back(c, j, t, e);

	if (!rc && t->live)
		rc = neo4j_pause_begin(c, &p, e);
	if (rc)
		return rc;
	running = p != NULL;
	rc = neo4j_swap(t->place->data, &t->moves, e);
	if (rc && neo4j_unswap_left(t->place->data, &any, NULL))
		err_prefix(e, "%s is half exchanged, vouch check %s tries to put it back", t->place->data, c->name);
	if (rc)
		return neo4j_pause_end(c, p, NULL, rc, e);
	rc = neo4j_pause_end(c, p, NULL, ERR_OK, e);
	if (!rc && running)
		rc = verify(c, j, e);
	else if (!rc && t->live)
		component_note(c, "the server was not running, and was not started");
	return rc ? put_back(c, t, rc, e) : ERR_OK;
}

enum err_code neo4j_restore(struct component *c, struct restore_job *j, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	struct target t = { 0 };
	enum err_code rc;

	neo4j_unserve(n->served);
	n->served = NULL;
	if (j->nr_items > 0)
		return neo4j_restore_labels(c, j, e);
	if (j->temporary)
		return neo4j_restore_temporary(c, j, e);
	rc = target_find(c, j, &t, e);
	if (!rc)
		rc = t.live ? neo4j_resume(c, e) : neo4j_finish_left(c, t.place->data, e);
	if (!rc && t.live)
		rc = neo4j_pause_possible(c, e);
	if (!rc)
		rc = prepare(c, j, &t, e);
	if (!rc)
		rc = load_all(c, j, &t, e);
	if (!rc)
		rc = plan_moves(&t, e);
	if (!rc)
		rc = exchange(c, j, &t, e);
	target_release(&t);
	return rc;
}

enum err_code neo4j_plan(struct component *c, struct restore_job *j, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	struct target t = { 0 };
	enum err_code rc = ERR_OK;

	if (j->nr_items > 0) {
		component_note(c, "the server is stopped for a safety dump, and started again");
		for (size_t i = 0; i < j->nr_items; i++)
			component_note(c,
				       "nodes of label %s and their relationships are merged into the running server at %s; "
				       "newer nodes stay",
				       j->items[i], neo4j_url(c));
		return ERR_OK;
	}
	if (j->temporary) {
		component_note(c, "the dump is loaded into a scratch home in %s", n->scratch);
		return ERR_OK;
	}
	rc = target_find(c, j, &t, e);
	if (!rc) {
		component_note(c, "the dump is loaded beside %s and checked there", t.place->data);
		if (t.live && neo4j_busy(t.place->data))
			component_note(c, "the server is stopped, and started again after the next step");
		component_note(c, "the folders of database %s are exchanged by renames; the old ones stay as the way back",
			       t.database);
	}
	target_release(&t);
	return rc;
}
