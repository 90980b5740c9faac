/* SPDX-License-Identifier: MIT */
/* What validate looks at beside the counts: status, and whether a search by a point's own vector finds that point. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/components/qdrant.h"

#define NEAREST 10
#define NEAR 1e-3		/* a distance that is none: vectors are 32-bit floats */

/* One dense vector of a point: unnamed, or the first named one. */
struct sample {
	json_t *id, *vector;		/* borrowed */
	const char *name;		/* "": unnamed */
	json_int_t dimension;		/* as configured */
	const char *distance;
};

static bool is_dense(const json_t *v)
{
	return json_array_size(v) > 0 && json_is_number(json_array_get(v, 0));
}

static bool choose(json_t *point, json_t *vectors, struct sample *s)
{
	json_t *v = json_object_get(point, "vector"), *m, *how = vectors;
	const char *key;

	*s = (struct sample){ .id = json_object_get(point, "id"), .name = "" };
	if (is_dense(v))
		s->vector = v;
	json_object_foreach(v, key, m) {
		if (s->vector || !is_dense(m) || !json_object_get(vectors, key))
			continue;
		s->vector = m;
		s->name = key;
		how = json_object_get(vectors, key);
	}
	s->dimension = json_integer_value(json_object_get(how, "size"));
	s->distance = json_string_value(json_object_get(how, "distance"));
	return s->id && s->vector && s->distance;
}

/* Newer servers answer /points/query, older ones /points/search. */
static enum err_code search(struct qdrant *q, const char *collection, const struct sample *s, bool exact, json_t **hits,
			    struct err *e)
{
	json_t *body = json_pack("{s:O, s:i, s:b, s:{s:b}}", "query", s->vector, "limit", NEAREST, "with_payload", 0,
				 "params", "exact", exact);
	json_t *r = NULL, *list;
	enum err_code rc;

	if (body && s->name[0] != '\0' && json_object_set_new(body, "using", json_string(s->name))) {
		json_decref(body);
		body = NULL;
	}
	rc = body ? qdrant_do(q, QDRANT_WORK, "POST", collection, "/points/query", body, &r, e) :
		    err_set(e, ERR_NOMEM, "out of memory");
	if (rc == ERR_NOT_FOUND) {
		err_clear(e);
		body = s->name[0] == '\0' ? json_pack("{s:O, s:i, s:{s:b}}", "vector", s->vector, "limit", NEAREST, "params",
						      "exact", exact) :
					    json_pack("{s:{s:s, s:O}, s:i, s:{s:b}}", "vector", "name", s->name, "vector",
						      s->vector, "limit", NEAREST, "params", "exact", exact);
		rc = body ? qdrant_do(q, QDRANT_WORK, "POST", collection, "/points/search", body, &r, e) :
			    err_set(e, ERR_NOMEM, "out of memory");
	}
	list = json_is_array(r) ? r : json_object_get(r, "points");
	if (!rc && !json_is_array(list))
		rc = err_set(e, ERR_FAILED, "%s: not an answer of Qdrant: no list of points", collection);
	if (!rc)
		*hits = json_incref(list);
	json_decref(r);
	return rc;
}

/* Among the nearest, or as near as can be beside as many of the same vector; by the dot product a longer one is nearer. */
static bool found_itself(const json_t *hits, const struct sample *s)
{
	json_t *hit;
	double score;
	size_t i;

	if (strcmp(s->distance, "Dot") == 0)
		return json_array_size(hits) > 0;
	json_array_foreach(hits, i, hit) {
		if (json_equal(json_object_get(hit, "id"), s->id))
			return true;
		score = json_number_value(json_object_get(hit, "score"));
		if (strcmp(s->distance, "Cosine") == 0 ? score > 1 - NEAR : fabs(score) < NEAR)
			return true;
	}
	return false;
}

static enum err_code examine_point(struct qdrant *q, const char *collection, const char *status, json_t *point,
				   json_t *vectors, struct err *e)
{
	struct component *c = q->c;
	struct sample s;
	json_t *hits = NULL;
	bool exact = false, found;
	enum err_code rc;

	if (!choose(point, vectors, &s)) {
		component_found(c, FINDING_OK, "%s: status %s; no dense vector in the point sampled, so no search",
				collection, status);
		return ERR_OK;
	}
	if ((json_int_t)json_array_size(s.vector) != s.dimension) {
		component_found(c, FINDING_FAILED, "%s: a point's vector has %zu dimensions, the collection %lld",
				collection, json_array_size(s.vector), (long long)s.dimension);
		return ERR_OK;
	}
	rc = search(q, collection, &s, false, &hits, e);
	found = !rc && found_itself(hits, &s);
	if (!rc && !found) {
		json_decref(hits);
		hits = NULL;
		exact = true;
		rc = search(q, collection, &s, true, &hits, e);
		found = !rc && found_itself(hits, &s);
	}
	json_decref(hits);
	if (rc)
		return rc;
	if (!found)
		component_found(c, FINDING_FAILED, "%s: a search by a point's own vector does not find it", collection);
	else if (exact)
		component_found(c, FINDING_WARNING,
				"%s: status %s; a point is found by an exact search alone, not by the index", collection,
				status);
	else
		component_found(c, FINDING_OK,
				"%s: status %s; a search by a point's own vector (%lld dimensions, %s) finds it", collection,
				status, (long long)s.dimension, s.distance);
	return ERR_OK;
}

static enum err_code examine_one(struct qdrant *q, const char *collection, struct err *e)
{
	json_t *info = NULL, *r = NULL, *points, *params, *indexed;
	char status[16] = "";
	enum err_code rc;

	rc = qdrant_settle(q, collection, q->c->wait, status, e);
	if (!rc)
		rc = qdrant_info(q, collection, &info, e);
	if (!rc)
		rc = qdrant_do(q, QDRANT_WORK, "POST", collection, "/points/scroll",
			       json_pack("{s:i, s:b, s:b}", "limit", 1, "with_vector", 1, "with_payload", 0), &r, e);
	if (rc)
		goto out;
	params = json_object_get(json_object_get(info, "config"), "params");
	indexed = json_object_get(info, "indexed_vectors_count");
	if (strcmp(status, "red") == 0)
		component_found(q->c, FINDING_FAILED, "%s: its status is red: the server's log says why", collection);
	else if (strcmp(status, "yellow") == 0)
		component_found(q->c, FINDING_WARNING, "%s: its status is yellow: still being optimized after %llu s",
				collection, (unsigned long long)q->c->wait);
	component_found(q->c, FINDING_OK, "%s: %lld vectors indexed", collection, (long long)json_integer_value(indexed));
	points = json_object_get(r, "points");
	if (json_array_size(points) == 0)
		component_found(q->c, FINDING_OK, "%s: status %s; no point, so nothing to search", collection, status);
	else
		rc = examine_point(q, collection, status, json_array_get(points, 0), json_object_get(params, "vectors"), e);
out:
	json_decref(info);
	json_decref(r);
	return rc;
}

enum err_code qdrant_examine(struct component *c, const char *into, const struct facts *recorded, struct err *e)
{
	json_t *items = json_object_get(recorded->root, "items"), *o;
	enum err_code rc = ERR_OK;
	size_t i;

	json_array_foreach(items, i, o) {
		const char *kind = json_string_value(json_object_get(o, "kind"));
		const char *name = json_string_value(json_object_get(o, "name"));
		struct err why = ERR_INIT;
		char *target;

		if (!kind || strcmp(kind, "collection") != 0 || !name)
			continue;
		target = qdrant_target(into, name);
		rc = target ? examine_one(c->priv, target, &why) : err_set(&why, ERR_NOMEM, "out of memory");
		free(target);
		/* One that is not there is a finding; that nobody answers is the end */
		if (rc == ERR_NOT_FOUND || (rc == ERR_FAILED && ((struct qdrant *)c->priv)->status != 0)) {
			component_found(c, FINDING_FAILED, "%s: %s", name, why.msg);
			rc = ERR_OK;
		}
		if (rc) {
			if (e)
				*e = why;
			return rc;
		}
	}
	return ERR_OK;
}
