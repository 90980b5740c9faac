/* SPDX-License-Identifier: MIT */
/* Questions to a Qdrant: where it stands, what it says, and how long it may take. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/base/must.h"
#include "tools/components/qdrant.h"
#include "tools/text.h"

#define CLEAR_S 15u		/* clearing up after a signal must not hold the process for long */
#define POLL_MS 250u
#define SECRET_MIN 6u		/* shorter, and it would blot out words */

void qdrant_path(struct buf *out, const char *collection, const char *tail)
{
	if (collection) {
		buf_add_str(out, "/collections/");
		http_escape(out, collection);
	}
	buf_add_str(out, tail);
	buf_add_u8(out, '\0');
}

void qdrant_snapshot_path(struct buf *out, const char *collection, const char *snapshot)
{
	buf_add_str(out, "/collections/");
	http_escape(out, collection);
	buf_add_str(out, "/snapshots/");
	http_escape(out, snapshot);
	buf_add_u8(out, '\0');
}

char *qdrant_target(const char *into, const char *name)
{
	char *out = NULL;

	if (!into)
		return strdup(name);
	return asprintf(&out, "%s_%s", into, name) < 0 ? NULL : out;
}

static void hide(char *text, const char *secret)
{
	size_t len = secret ? strlen(secret) : 0;

	for (char *at = text; len >= SECRET_MIN && (at = strstr(at, secret)); at += len)
		memset(at, '*', len);
}

enum err_code qdrant_tell(struct qdrant *q, enum err_code rc, const char *method, const char *path, struct err *e)
{
	if (!rc)
		return rc;
	/* That its place is absent is said of a repository alone */
	if (rc == ERR_ABSENT)
		rc = ERR_FAILED;
	if (!e)
		return rc;
	e->code = rc;
	/* http.c says itself what it could not do */
	if (q->status != 0 && strncmp(e->msg, method, strlen(method)) != 0)
		err_prefix(e, "%s %s%.*s", method, q->url, (int)strcspn(path, "?"), path);
	hide(e->msg, q->key);
	return rc;
}

enum err_code qdrant_do(struct qdrant *q, enum qdrant_how how, const char *method, const char *collection, const char *tail,
			json_t *body, json_t **result, struct err *e)
{
	static const char *const json_type[] = { "Content-Type: application/json", NULL };
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct http_request r = { .method = method, .body = text, .body_len = text ? strlen(text) : 0,
				  .headers = text ? json_type : NULL };
	struct http_answer a = { 0 };
	struct buf path = BUF_INIT;
	json_t *got = NULL;
	enum err_code rc;

	q->status = 0;
	qdrant_path(&path, collection, tail);
	if (path.bad || (body && !text)) {
		rc = err_set(e, ERR_NOMEM, "out of memory");
		goto out;
	}
	r.path = (const char *)path.p;
	r.idle_s = how == QDRANT_WORK ? q->timeout : how == QDRANT_CLEAR ? CLEAR_S : 0;
	rc = http_do(how == QDRANT_CLEAR ? q->after : q->http, &r, &a, e);
	if (!rc) {
		q->status = a.status;
		rc = qdrant_parse(a.status, (const char *)a.body.p, a.body.len, &got, e);
	}
	rc = qdrant_tell(q, rc, method, r.path, e);
	if (!rc && result) {
		*result = got;
		got = NULL;
	}
out:
	json_decref(got);
	json_decref(body);
	free(text);
	buf_release(&path);
	http_answer_release(&a);
	return rc;
}

/* GET / needs no key, and has a shape of its own.  ERR_ABSENT: there is none yet, or a proxy before one that starts. */
static enum err_code ask_version(struct qdrant *q, char version[64], struct err *e)
{
	const struct http_request r = { .method = "GET", .path = "/", .idle_s = 10, .max = 65536 };
	struct http_answer a = { 0 };
	enum err_code rc = http_do(q->http, &r, &a, e);
	const char *title, *v;
	json_t *root = NULL;

	if (rc == ERR_IO && e)
		e->code = ERR_ABSENT;
	if (rc)
		return rc == ERR_IO ? ERR_ABSENT : rc;
	root = json_loadb((const char *)a.body.p, a.body.len, 0, NULL);
	title = json_string_value(json_object_get(root, "title"));
	v = json_string_value(json_object_get(root, "version"));
	if (a.status >= 502 && a.status <= 504)
		rc = err_set(e, ERR_ABSENT, "GET %s/ answered %ld", q->url, a.status);
	else if (a.status != 200 || !title || !strstr(title, "qdrant") || !v || strlen(v) > 63 || !qdrant_name_ok(v))
		rc = err_set(e, ERR_FAILED, "%s is not a Qdrant: GET / answered %ld: check url", q->url, a.status);
	else
		(void)snprintf(version, 64, "%s", v);
	json_decref(root);
	http_answer_release(&a);
	return rc;
}

static uint64_t now_s(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_MONOTONIC, &t));
	return (uint64_t)t.tv_sec;
}

struct reaching {
	struct qdrant *q;
	char *version;
};

static enum err_code reach(void *ctx, struct err *e)
{
	struct reaching *r = ctx;

	return ask_version(r->q, r->version, e);
}

enum err_code qdrant_reach(struct qdrant *q, char version[64], struct err *e)
{
	struct reaching r = { q, version };
	bool absent;
	enum err_code rc;

	q->status = 0;
	rc = component_wait(q->c, reach, &r, e);
	absent = rc == ERR_ABSENT;
	rc = qdrant_tell(q, rc, "GET", "/", e);
	if (!absent)
		return rc;
	if (e)
		e->code = ERR_ABSENT;
	return ERR_ABSENT;
}

enum err_code qdrant_wait(struct qdrant *q, char version[64], struct err *e)
{
	enum err_code rc = qdrant_reach(q, version, e);

	if (rc == ERR_ABSENT) {	/* of a repository, elsewhere */
		rc = ERR_FAILED;
		if (e)
			e->code = rc;
	}
	return rc;
}

enum err_code qdrant_collections(struct qdrant *q, enum qdrant_how how, struct qdrant_names *out, struct err *e)
{
	json_t *r = NULL;
	enum err_code rc;

	rc = qdrant_do(q, how, "GET", NULL, "/collections", NULL, &r, e);
	if (!rc)
		rc = qdrant_parse_names(json_object_get(r, "collections"), "name", out, e);
	json_decref(r);
	return rc;
}

static bool is_temporary(const struct qdrant *q, const char *collection)
{
	size_t len = strlen(q->temporary);

	return (strncmp(collection, q->temporary, len) == 0 && collection[len] == '_') ||
	       strncmp(collection, QDRANT_VALIDATE, strlen(QDRANT_VALIDATE)) == 0;
}

bool qdrant_takes(const struct qdrant *q, const char *collection)
{
	if (q->all)
		return !is_temporary(q, collection);
	for (char **w = q->wanted; *w; w++)
		if (strcmp(*w, collection) == 0)
			return true;
	return false;
}

enum err_code qdrant_chosen(struct qdrant *q, struct qdrant_names *out, struct err *e)
{
	struct qdrant_names there = { 0 }, n = { 0 };
	enum err_code rc;

	rc = qdrant_collections(q, QDRANT_ASK, &there, e);
	for (size_t i = 0; !rc && i < there.nr; i++)
		if ((q->only ? qdrant_names_have(q->only, there.v[i]) : qdrant_takes(q, there.v[i])) &&
		    !qdrant_names_add(&n, there.v[i]))
			rc = err_set(e, ERR_NOMEM, "out of memory");
	for (char **w = q->wanted; !rc && !q->all && !q->only && !q->may_lack && *w; w++)
		if (!qdrant_names_have(&there, *w))
			rc = err_set(e, ERR_NOT_FOUND, "no collection %s at %s: take it out of collections =, or restore it",
				     *w, q->url);
	qdrant_names_release(&there);
	if (rc)
		qdrant_names_release(&n);
	else
		*out = n;
	return rc;
}

enum err_code qdrant_aliases(struct qdrant *q, json_t **out, struct err *e)
{
	struct qdrant_names checked = { 0 };
	json_t *r = NULL, *map = json_object(), *list, *o;
	enum err_code rc;
	size_t i;

	rc = qdrant_do(q, QDRANT_ASK, "GET", NULL, "/aliases", NULL, &r, e);
	list = json_object_get(r, "aliases");
	if (!rc)
		rc = qdrant_parse_names(list, "alias_name", &checked, e);
	qdrant_names_release(&checked);
	if (!rc)
		rc = qdrant_parse_names(list, "collection_name", &checked, e);
	qdrant_names_release(&checked);
	if (!rc) {
		json_array_foreach(list, i, o) {
			if (json_object_set(map, json_string_value(json_object_get(o, "alias_name")),
					    json_object_get(o, "collection_name")))
				rc = err_set(e, ERR_NOMEM, "out of memory");
		}
	}
	json_decref(r);
	if (rc)
		json_decref(map);
	else
		*out = map;
	return rc;
}

enum err_code qdrant_info(struct qdrant *q, const char *collection, json_t **out, struct err *e)
{
	return qdrant_do(q, QDRANT_ASK, "GET", collection, "", NULL, out, e);
}

enum err_code qdrant_count(struct qdrant *q, const char *collection, uint64_t *out, struct err *e)
{
	json_t *r = NULL, *n;
	enum err_code rc;

	/* points_count of the collection is approximate */
	rc = qdrant_do(q, QDRANT_WORK, "POST", collection, "/points/count", json_pack("{s:b}", "exact", 1), &r, e);
	n = json_object_get(r, "count");
	if (!rc && (!json_is_integer(n) || json_integer_value(n) < 0))
		rc = err_set(e, ERR_FAILED, "%s: not an answer of Qdrant: no count", collection);
	if (!rc)
		*out = (uint64_t)json_integer_value(n);
	json_decref(r);
	return rc;
}

enum err_code qdrant_snapshots(struct qdrant *q, enum qdrant_how how, const char *collection, json_t **out, struct err *e)
{
	struct qdrant_snapshot s;
	json_t *r = NULL, *o;
	enum err_code rc;
	size_t i;

	rc = qdrant_do(q, how, "GET", collection, "/snapshots", NULL, &r, e);
	if (!rc && (!json_is_array(r) || json_array_size(r) > QDRANT_LIST_MAX))
		rc = err_set(e, ERR_FAILED, "%s: not an answer of Qdrant: no list of snapshots", collection);
	if (!rc) {
		json_array_foreach(r, i, o) {
			rc = qdrant_parse_snapshot(o, &s, e);
			if (rc)
				break;
		}
	}
	if (rc)
		json_decref(r);
	else
		*out = r;
	return rc;
}

static enum err_code gone_is_fine(enum err_code rc, struct err *e)
{
	if (rc != ERR_NOT_FOUND)
		return rc;
	err_clear(e);
	return ERR_OK;
}

enum err_code qdrant_delete_snapshot(struct qdrant *q, const char *collection, const char *name, struct err *e)
{
	struct buf path = BUF_INIT;
	enum err_code rc;

	qdrant_snapshot_path(&path, collection, name);
	rc = path.bad ? err_set(e, ERR_NOMEM, "out of memory") :
			qdrant_do(q, QDRANT_CLEAR, "DELETE", NULL, (const char *)path.p, NULL, NULL, e);
	buf_release(&path);
	return gone_is_fine(rc, e);
}

enum err_code qdrant_drop(struct qdrant *q, enum qdrant_how how, const char *collection, struct err *e)
{
	return gone_is_fine(qdrant_do(q, how, "DELETE", collection, "", NULL, NULL, e), e);
}

enum err_code qdrant_settle(struct qdrant *q, const char *collection, uint64_t seconds, char status[16], struct err *e)
{
	uint64_t from = now_s();
	enum err_code rc;

	do {
		json_t *info = NULL;
		const char *s;

		rc = qdrant_info(q, collection, &info, e);
		s = json_string_value(json_object_get(info, "status"));
		if (!rc)
			(void)snprintf(status, 16, "%.15s", s && qdrant_name_ok(s) ? s : "unknown");
		json_decref(info);
		if (rc || strcmp(status, "yellow") != 0 || now_s() - from >= seconds)
			return rc;
	} while (component_pause(q->c, POLL_MS));
	return err_set(e, ERR_CANCELED, "stopped on request");
}

enum err_code qdrant_here(struct qdrant *q, const char *collection, struct err *e)
{
	json_t *r = NULL;
	enum err_code rc;

	rc = qdrant_do(q, QDRANT_ASK, "GET", collection, "/cluster", NULL, &r, e);
	if (!rc && json_array_size(json_object_get(r, "remote_shards")) > 0)
		rc = err_set(e, ERR_UNSUPPORTED,
			     "%s has shards on other nodes, which a snapshot of this one lacks: a component a node is needed",
			     collection);
	json_decref(r);
	return rc;
}
