/* SPDX-License-Identifier: MIT */
/*
 * Questions of the user about points, and what a search finds.  A query is one of
 *
 *   count COLLECTION [FILTER]      how many points, exactly
 *   nulls COLLECTION FIELD         how many have no value there
 *   values COLLECTION FIELD        its values, a line each
 *   ids COLLECTION                 the points' ids, a line each
 *   GET PATH | POST PATH BODY      as Qdrant has it; POST to points/count, scroll, query, search, facet alone
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/components/qdrant.h"
#include "tools/text.h"

#define PAGE 1000		/* points of one scroll */
#define TEXT_MAX ((size_t)256 << 20)

/* A value in a field of a line: texts as they are, \N for null, the rest as JSON. */
static void add_value(struct buf *out, const json_t *v)
{
	char *text;

	if (json_is_null(v)) {
		buf_add_str(out, "\\N");
		return;
	}
	if (json_is_string(v)) {
		text_copy_field(out, json_string_value(v), json_string_length(v));
		return;
	}
	text = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	if (text)
		buf_add_str(out, text);
	free(text);
}

/* An object as fields told apart by tabs, in the answer's order. */
static void add_line(struct buf *out, json_t *v)
{
	bool first = true;
	const char *key;
	json_t *m;

	if (!json_is_object(v))
		add_value(out, v);
	json_object_foreach(v, key, m) {
		if (!first)
			buf_add_u8(out, '\t');
		first = false;
		add_value(out, m);
	}
	buf_add_u8(out, '\n');
}

static void add_result(struct buf *out, json_t *r)
{
	json_t *list = json_is_object(r) ? json_object_get(r, "points") : r, *v;
	size_t i;

	if (json_is_integer(json_object_get(r, "count"))) {
		add_line(out, json_object_get(r, "count"));
		return;
	}
	if (!json_is_array(list))
		list = json_object_get(r, "hits");
	if (!json_is_array(list)) {
		add_value(out, r);
		buf_add_u8(out, '\n');
		return;
	}
	json_array_foreach(list, i, v)
		add_line(out, v);
}

/* "a.b" of a payload: the member of that name, else b of a. */
static json_t *field_of(json_t *payload, const char *field)
{
	json_t *v = json_object_get(payload, field);
	const char *dot = strchr(field, '.');
	char head[QDRANT_NAME_MAX + 1];

	if (v || !dot || (size_t)(dot - field) >= sizeof(head))
		return v;
	memcpy(head, field, (size_t)(dot - field));
	head[dot - field] = '\0';
	return field_of(json_object_get(payload, head), dot + 1);
}

/* Lines of one page: ids, or the values of a field, of a list each of its values. */
static void add_page(struct buf *out, json_t *points, const char *field)
{
	json_t *p, *v, *one;
	size_t i, k;

	json_array_foreach(points, i, p) {
		v = field ? field_of(json_object_get(p, "payload"), field) : json_object_get(p, "id");
		if (json_is_array(v)) {
			json_array_foreach(v, k, one)
				add_line(out, one);
		} else if (v && !json_is_null(v)) {
			add_value(out, v);
			buf_add_u8(out, '\n');
		}
	}
}

static enum err_code scroll(struct qdrant *q, const char *collection, const char *field, struct buf *out, struct err *e)
{
	json_t *offset = json_null();
	enum err_code rc = ERR_OK;

	do {
		json_t *r = NULL, *payload = field ? json_pack("[s]", field) : json_false();
		json_t *body = json_pack("{s:i, s:b, s:o, s:O}", "limit", PAGE, "with_vector", 0, "with_payload", payload,
					 "offset", offset);

		json_decref(offset);
		offset = NULL;
		rc = body ? qdrant_do(q, QDRANT_WORK, "POST", collection, "/points/scroll", body, &r, e) :
			    err_set(e, ERR_NOMEM, "out of memory");
		if (!rc) {
			add_page(out, json_object_get(r, "points"), field);
			offset = json_incref(json_object_get(r, "next_page_offset"));
		}
		json_decref(r);
		if (!rc && out->len > TEXT_MAX)
			rc = err_set(e, ERR_LIMIT, "%s: more than %zu bytes of answers", collection, TEXT_MAX);
		if (!rc && q->c->cancel && atomic_load(q->c->cancel))
			rc = err_set(e, ERR_CANCELED, "stopped on request");
	} while (!rc && offset && !json_is_null(offset));
	json_decref(offset);
	return rc;
}

static enum err_code count(struct qdrant *q, const char *collection, json_t *filter, struct buf *out, struct err *e)
{
	json_t *r = NULL;
	enum err_code rc;

	rc = qdrant_do(q, QDRANT_WORK, "POST", collection, "/points/count",
		       json_pack("{s:b, s:o*}", "exact", 1, "filter", filter), &r, e);
	if (!rc)
		add_result(out, r);
	json_decref(r);
	return rc;
}

/* POST is for questions alone: validate must not change what it looks at. */
static bool asks_only(const char *path)
{
	static const char *const ends[] = { "/points/count", "/points/scroll", "/points/query", "/points/search", "/facet",
					    "/points/query/groups", "/points/search/groups" };
	size_t len = strcspn(path, "?");

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		size_t n = strlen(ends[i]);

		if (len > n && strncmp(path + len - n, ends[i], n) == 0)
			return true;
	}
	return false;
}

static enum err_code as_it_is(struct qdrant *q, const char *into, const char *method, const char *path, const char *body,
			      struct buf *out, struct err *e)
{
	static const char prefix[] = "/collections/";
	bool post = strcmp(method, "POST") == 0;
	json_t *json = NULL, *r = NULL;
	struct buf whole = BUF_INIT;
	enum err_code rc;

	if (path[0] != '/' || (post && !asks_only(path)))
		return err_set(e, ERR_USAGE, "%s %s: only GET, and POST to points/count, scroll, query, search or facet",
			       method, path);
	if (body[0] != '\0' && !(json = json_loads(body, 0, NULL)))
		return err_set(e, ERR_USAGE, "%s %s: its body is not JSON", method, path);
	if (into && strncmp(path, prefix, sizeof(prefix) - 1) == 0) {
		buf_add_str(&whole, prefix);
		http_escape(&whole, into);
		buf_add_str(&whole, "_");
		path += sizeof(prefix) - 1;
	}
	buf_add_str(&whole, path);
	buf_add_u8(&whole, '\0');
	if (whole.bad) {
		json_decref(json);
		return err_set(e, ERR_NOMEM, "out of memory");
	}
	rc = qdrant_do(q, QDRANT_WORK, method, NULL, (const char *)whole.p, json, &r, e);
	if (!rc)
		add_result(out, r);
	json_decref(r);
	buf_release(&whole);
	return rc;
}

/* The next word of *at, at most the longest name; "" where there is none. */
static bool word(const char **at, char out[QDRANT_NAME_MAX + 1])
{
	size_t n;

	*at += strspn(*at, " \t");
	n = strcspn(*at, " \t");
	if (n > QDRANT_NAME_MAX)
		return false;
	memcpy(out, *at, n);
	out[n] = '\0';
	*at += n;
	*at += strspn(*at, " \t");
	return true;
}

static enum err_code of_collection(struct qdrant *q, const char *into, const char *verb, const char *name, const char *rest,
				   struct buf *out, struct err *e)
{
	char *target = qdrant_target(into, name);
	json_t *filter = NULL;
	enum err_code rc;

	if (!target)
		return err_set(e, ERR_NOMEM, "out of memory");
	if (strcmp(verb, "count") == 0 && (rest[0] == '\0' || (filter = json_loads(rest, 0, NULL))))
		rc = count(q, target, filter, out, e);
	else if (strcmp(verb, "nulls") == 0 && rest[0] != '\0')
		rc = count(q, target, json_pack("{s:[{s:{s:s}}]}", "must", "is_empty", "key", rest), out, e);
	else if (strcmp(verb, "ids") == 0 && rest[0] == '\0')
		rc = scroll(q, target, NULL, out, e);
	else if (strcmp(verb, "values") == 0 && rest[0] != '\0')
		rc = scroll(q, target, rest, out, e);
	else
		rc = err_set(e, ERR_USAGE, "%s %s %s: a query is count, nulls, values or ids of a collection, GET or POST",
			     verb, name, rest);
	free(target);
	return rc;
}

enum err_code qdrant_query(struct component *c, const char *into, const char *query, char **out, struct err *e)
{
	char verb[QDRANT_NAME_MAX + 1], name[QDRANT_NAME_MAX + 1];
	struct buf b = BUF_INIT;
	const char *at = query;
	enum err_code rc;

	if (!word(&at, verb))
		rc = err_set(e, ERR_USAGE, "not a query of Qdrant: %.40s..", query);
	else if (strcmp(verb, "GET") == 0 || strcmp(verb, "POST") == 0) {
		size_t n = strcspn(at, " \t");
		char *path = strndup(at, n);

		rc = path ? as_it_is(c->priv, into, verb, path, at + n + strspn(at + n, " \t"), &b, e) :
			    err_set(e, ERR_NOMEM, "out of memory");
		free(path);
	} else if (!word(&at, name) || name[0] == '\0') {
		rc = err_set(e, ERR_USAGE, "%s: which collection?", verb);
	} else {
		rc = of_collection(c->priv, into, verb, name, at, &b, e);
	}
	buf_add_u8(&b, '\0');
	if (!rc && b.bad)
		rc = err_set(e, ERR_NOMEM, "out of memory");
	if (rc) {
		buf_release(&b);
		return rc;
	}
	*out = (char *)b.p;
	return ERR_OK;
}
