/* SPDX-License-Identifier: MIT */
/*
 * Collections brought back from a dump.  What is there is taken into a safety dump before the first of them is overwritten;
 * what a snapshot cannot replace, because its vectors are others, is dropped and made again from the snapshot; what the
 * server refuses leaves the collection as it was, or, where there is none, an empty one made from its configuration.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/components/qdrant.h"

static json_t *names_where(const struct qdrant_items *t, bool there)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->nr; i++)
		if (t->v[i].there == there && json_array_append_new(list, json_string(t->v[i].target))) {
			json_decref(list);
			return NULL;
		}
	return list;
}

/* Only what is to be overwritten: that another collection cannot be saved must not keep this one away. */
static enum err_code keep_what_is_there(struct component *c, struct restore_job *j, const struct qdrant_items *t,
					char **snapshot, struct err *e)
{
	struct qdrant_names only = { 0 };
	struct qdrant *q = c->priv;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < t->nr; i++)
		if (t->v[i].there && !qdrant_names_add(&only, t->v[i].target))
			rc = err_set(e, ERR_NOMEM, "out of memory");
	q->only = &only;
	if (!rc)
		rc = j->safety_dump(j->ctx, c, snapshot, e);
	q->only = NULL;
	if (rc && rc != ERR_CANCELED)
		component_note(c, "a collection that is not worth a way back: delete it on the server, and run this again");
	qdrant_names_release(&only);
	return rc;
}

static enum err_code make_way_back(struct component *c, struct restore_job *j, const struct qdrant_items *t, struct err *e)
{
	json_t *existed = names_where(t, true), *created = names_where(t, false);
	char *snapshot = NULL;
	enum err_code rc = ERR_OK;

	if (!existed || !created)
		rc = err_set(e, ERR_NOMEM, "out of memory");
	else if (json_array_size(existed) > 0 && !j->safety_dump)
		rc = err_set(e, ERR_USAGE, "nothing would keep what is there now");
	else if (json_array_size(existed) > 0)
		rc = keep_what_is_there(c, j, t, &snapshot, e);
	if (!rc)
		rc = restore_way_back(c, j,
				      json_pack("{s:s, s:s*, s:O, s:O, s:O}", "kind", snapshot ? "safety-dump" : "created",
						"snapshot", snapshot, "existed", existed, "created", created, "aliases",
						t->aliases),
				      e);
	json_decref(existed);
	json_decref(created);
	free(snapshot);
	return rc;
}

/* One that is there already stays as it is. */
static enum err_code make_indexes(struct qdrant *q, const struct qdrant_item *it, struct err *e)
{
	json_t *schema, *indexes = json_object_get(it->config, "indexes");
	enum err_code rc = ERR_OK;
	const char *field;

	json_object_foreach(indexes, field, schema) {
		if (!rc)
			rc = qdrant_do(q, QDRANT_WORK, "PUT", it->target, "/index?wait=true",
				       json_pack("{s:s, s:O}", "field_name", field, "field_schema", schema), NULL, e);
	}
	return rc;
}

/* Empty, but with the vectors and indexes that it had. */
static enum err_code make_empty(struct qdrant *q, const struct qdrant_item *it, struct err *e)
{
	enum err_code rc = qdrant_do(q, QDRANT_WORK, "PUT", it->target, "",
				     json_deep_copy(json_object_get(it->config, "create")), NULL, e);

	return rc ? rc : make_indexes(q, it, e);
}

/* The server would not have its snapshot. */
static void make_do(struct qdrant *q, const struct qdrant_item *it, struct err *e)
{
	struct err why = ERR_INIT;

	if (it->there && !it->differs)
		err_prefix(e, "%s is as it was: its snapshot was refused", it->target);
	else if (make_empty(q, it, &why))
		err_prefix(e, "its snapshot was refused, and %s could not be made from its configuration (%s)", it->target,
			   why.msg);
	else
		err_prefix(e, "%s was made from its configuration, without points: its snapshot was refused", it->target);
}

/* The server's word about this collection alone. */
static bool is_refused(const struct qdrant *q, enum err_code rc)
{
	return rc == ERR_FAILED && q->status >= 400 && q->status != 401 && q->status != 403;
}

/* *refused: so that the others can still be brought back. */
static enum err_code bring_back(struct component *c, struct restore_job *j, struct qdrant_item *it, bool *refused,
				struct err *e)
{
	struct qdrant *q = c->priv;
	struct qdrant_reading r = { 0 };
	struct qdrant_source from = { qdrant_on_read, &r, it->bytes, &it->sha256 };
	char status[16] = "";
	enum err_code rc;

	*refused = false;
	rc = qdrant_open_snapshot(j, it, &r, e);
	if (!rc && it->differs) {
		component_note(c, "%s has other vectors than the dump: dropped, and made from its snapshot", it->target);
		rc = qdrant_drop(q, QDRANT_WORK, it->target, e);
	}
	if (!rc) {
		rc = qdrant_upload(q, it->target, &from, json_object_get(it->config, "create"), e);
		if (rc == ERR_FAILED && q->status == 400 && it->there && !it->differs && e &&
		    strstr(e->msg, "not compatible")) {
			component_note(c, "%s has other parameters than the dump: dropped, and made from its snapshot",
				       it->target);
			it->differs = true;
			err_clear(e);
			r.off = 0;
			rc = qdrant_drop(q, QDRANT_WORK, it->target, e);
			if (!rc)
				rc = qdrant_upload(q, it->target, &from, json_object_get(it->config, "create"), e);
		}
		*refused = is_refused(q, rc);
		if (*refused && !j->temporary)
			make_do(q, it, e);
	}
	/* Those of the snapshot are in its segments; a collection that is there must be told to keep them up */
	if (!rc && it->there && !it->differs) {
		rc = make_indexes(q, it, e);
		*refused = is_refused(q, rc);
	}
	if (!rc)
		rc = qdrant_settle(q, it->target, c->wait, status, e);
	if (!rc && (strcmp(status, "yellow") == 0 || strcmp(status, "red") == 0))
		component_note(c, "%s: its status is %s: the server still works on it, or says why in its log", it->target,
			       status);
	blob_close(r.b);
	return rc;
}

/* One step, so that no moment is without the alias. */
static enum err_code set_aliases(struct qdrant *q, json_t *now, json_t *want, struct err *e)
{
	json_t *actions = json_array(), *v;
	const char *alias;
	enum err_code rc = ERR_OK;
	int bad = !actions;

	json_object_foreach(want, alias, v) {
		json_t *is = json_object_get(now, alias);

		if (is && json_equal(is, v))
			continue;
		if (is)
			bad |= json_array_append_new(actions, json_pack("{s:{s:s}}", "delete_alias", "alias_name", alias));
		if (!json_is_null(v))
			bad |= json_array_append_new(actions, json_pack("{s:{s:s, s:O}}", "create_alias", "alias_name",
									alias, "collection_name", v));
	}
	if (bad)
		rc = err_set(e, ERR_NOMEM, "out of memory");
	else if (json_array_size(actions) > 0)
		rc = qdrant_do(q, QDRANT_ASK, "POST", NULL, "/collections/aliases", json_pack("{s:O}", "actions", actions),
			       NULL, e);
	json_decref(actions);
	return rc;
}

/* {"ALIAS": "COLLECTION"} as recorded of the collections that were brought back. */
static json_t *recorded_aliases(const struct restore_job *j, const struct qdrant_items *t)
{
	json_t *items = json_object_get(j->recorded->root, "items"), *out = json_object(), *o;
	size_t i;

	json_array_foreach(items, i, o) {
		const char *kind = json_string_value(json_object_get(o, "kind"));
		const char *is = json_string_value(json_object_get(o, "is"));
		const char *name = json_string_value(json_object_get(o, "name"));
		char *alias;

		if (!kind || strcmp(kind, "alias") != 0 || !is || !name)
			continue;
		alias = qdrant_target(j->into, name);
		for (size_t k = 0; k < t->nr; k++)
			if (strcmp(t->v[k].name, is) == 0 &&
			    (!alias || json_object_set_new(out, alias, json_string(t->v[k].target)))) {
				json_decref(out);
				free(alias);
				return NULL;
			}
		free(alias);
	}
	return out;
}

/* Those that led to a collection which was dropped, and are not of the dump. */
static bool add_lost(json_t *want, const json_t *now, const struct qdrant_items *t)
{
	const char *alias;
	json_t *v;
	int bad = 0;

	json_object_foreach(t->aliases, alias, v) {
		for (size_t i = 0; i < t->nr; i++)
			if (strcmp(t->v[i].target, json_string_value(v)) == 0 && !json_object_get(now, alias) &&
			    !json_object_get(want, alias))
				bad |= json_object_set(want, alias, v);
	}
	return bad == 0;
}

static enum err_code put_back_aliases(struct qdrant *q, struct restore_job *j, const struct qdrant_items *t, struct err *e)
{
	json_t *want = recorded_aliases(j, t), *now = NULL;
	enum err_code rc = want ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

	/* Anew: with a collection that was dropped, its aliases went */
	if (!rc)
		rc = qdrant_aliases(q, &now, e);
	if (!rc)
		rc = add_lost(want, now, t) ? set_aliases(q, now, want, e) : err_set(e, ERR_NOMEM, "out of memory");
	json_decref(now);
	json_decref(want);
	return rc;
}

/* The first error is the one that is returned; another is told. */
static void keep(struct component *c, enum err_code *rc, enum err_code one, const struct err *why, struct err *e)
{
	if (one && *rc)
		component_note(c, "%s", why->msg);
	if (!one || *rc)
		return;
	*rc = one;
	if (e)
		*e = *why;
}

enum err_code qdrant_restore(struct component *c, struct restore_job *j, struct err *e)
{
	struct err why = ERR_INIT;
	struct qdrant_items t = { 0 };
	bool go_on = true, refused;
	enum err_code rc, one;

	rc = qdrant_prepare(c, j, &t, e);
	if (!rc && !j->temporary)
		rc = make_way_back(c, j, &t, e);
	if (rc)
		goto out;
	/* One that the server refuses does not keep the others away */
	for (size_t i = 0; i < t.nr && go_on; i++) {
		one = bring_back(c, j, &t.v[i], &refused, &why);
		keep(c, &rc, one, &why, e);
		go_on = !one || refused;
	}
	if (go_on) {
		one = put_back_aliases(c->priv, j, &t, &why);
		keep(c, &rc, one, &why, e);
	}
	if (rc && !j->temporary)
		err_prefix(e, "not all came back");
out:
	qdrant_items_release(&t);
	return rc;
}

static bool listed(const json_t *list, const json_t *name)
{
	const json_t *o;
	size_t i;

	json_array_foreach(list, i, o)
		if (json_equal(o, name))
			return true;
	return false;
}

/* The aliases of these collections as they were; others may have been changed since, with reason. */
static enum err_code aliases_before(struct qdrant *q, const json_t *way, struct err *e)
{
	json_t *before = json_object_get(way, "aliases"), *want = json_object(), *now = NULL, *v;
	const json_t *existed = json_object_get(way, "existed"), *created = json_object_get(way, "created");
	struct qdrant_names there = { 0 };
	const char *alias;
	enum err_code rc;
	int bad = !want;

	rc = qdrant_aliases(q, &now, e);
	if (!rc)
		rc = qdrant_collections(q, QDRANT_ASK, &there, e);
	json_object_foreach(now, alias, v)
		if (listed(existed, v) || listed(created, v))
			bad |= json_object_set_new(want, alias, json_null());
	json_object_foreach(before, alias, v) {
		bool ours = listed(existed, v) || json_object_get(want, alias);

		if (ours && json_is_string(v) && qdrant_names_have(&there, json_string_value(v)))
			bad |= json_object_set(want, alias, v);
	}
	if (!rc)
		rc = bad ? err_set(e, ERR_NOMEM, "out of memory") : set_aliases(q, now, want, e);
	qdrant_names_release(&there);
	json_decref(want);
	json_decref(now);
	return rc;
}

enum err_code qdrant_rollback(struct component *c, struct restore_job *j, const json_t *way, struct err *e)
{
	json_t *existed = json_object_get(way, "existed"), *created = json_object_get(way, "created"), *o;
	const char **names = calloc(json_array_size(existed) + 1, sizeof(*names));
	struct qdrant *q = c->priv;
	struct restore_job back = *j;
	struct qdrant_items t = { 0 };
	enum err_code rc = ERR_OK;
	bool refused = false;
	size_t i;

	if (!names || !json_is_array(existed) || !json_is_array(created)) {
		rc = names ? err_set(e, ERR_CORRUPT, "the way back does not tell its collections") :
			     err_set(e, ERR_NOMEM, "out of memory");
		goto out;
	}
	back.nr_items = 0;
	json_array_foreach(existed, i, o)
		if (json_is_string(o))
			names[back.nr_items++] = json_string_value(o);
	back.items = names;
	back.into = NULL;
	if (back.nr_items > 0) {
		rc = qdrant_gather(&back, &t, e);
		if (rc)
			goto out;
		rc = qdrant_look(q, back.recorded, &t, e);
		for (i = 0; !rc && i < t.nr; i++)
			rc = bring_back(c, &back, &t.v[i], &refused, e);
	}
	json_array_foreach(created, i, o)
		if (!rc && json_is_string(o))
			rc = qdrant_drop(q, QDRANT_WORK, json_string_value(o), e);
	if (!rc)
		rc = aliases_before(q, way, e);
	/* Of the server, not of the way back, which is still there */
	if (rc == ERR_NOT_FOUND) {
		rc = ERR_FAILED;
		if (e)
			e->code = rc;
	}
out:
	qdrant_items_release(&t);
	free(names);
	return rc;
}

enum err_code qdrant_discard(struct component *c, struct restore_job *j, const json_t *way, struct err *e)
{
	struct qdrant *q = c->priv;
	struct qdrant_names there = { 0 };
	size_t len = j && j->into ? strlen(j->into) : 0;
	enum err_code rc = ERR_OK, one;

	(void)way;	/* its snapshot is the caller's; nothing of it is on the server */
	if (!j || !j->temporary || len == 0)
		return ERR_OK;
	rc = qdrant_collections(q, QDRANT_CLEAR, &there, e);
	for (size_t i = 0; i < there.nr; i++) {
		if (strncmp(there.v[i], j->into, len) != 0 || there.v[i][len] != '_')
			continue;
		one = qdrant_drop(q, QDRANT_CLEAR, there.v[i], rc ? NULL : e);
		rc = rc ? rc : one;
	}
	qdrant_names_release(&there);
	return rc;
}
