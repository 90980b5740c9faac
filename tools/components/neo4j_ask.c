/* SPDX-License-Identifier: MIT */
/* Cypher over HTTP: POST /db/NAME/query/v2, which 5.19 and later answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/base/must.h"
#include "tools/components/neo4j.h"
#include "tools/text.h"

#define TYPED		"application/vnd.neo4j.query"
#define ASK_IDLE_S	600u		/* a count without an index reads all */
#define ANSWER_MAX	(64u << 20)
#define LOOK_MS		200

/* The server's own words, of an answer that has some. */
static enum err_code refused(const struct http_answer *a, const json_t *root, const char *statement, struct err *e)
{
	const json_t *first = json_array_get(json_object_get(root, "errors"), 0);
	const char *code = json_string_value(json_object_get(first, "code"));
	const char *text = json_string_value(json_object_get(first, "message"));

	if (a->status == 401 || a->status == 403)
		return err_set(e, ERR_FAILED, "Neo4j refuses to answer (%ld%s%s), see user and password-file", a->status,
			       text ? ": " : "", text ? text : "");
	if (a->status == 404)
		return err_set(e, ERR_FAILED,
			       "Neo4j does not know the database, or has no query API (5.19 and later do): %s",
			       text ? text : "404");
	return err_set(e, ERR_FAILED, "Neo4j: %s%s%s (status %ld, statement: %.200s)", code ? code : "", code ? ": " : "",
		       text ? text : "its answer is no JSON of rows", a->status, statement);
}

enum err_code neo4j_ask(struct http *h, const char *database, bool typed, const char *statement, json_t *parameters,
			json_t **values, struct err *e)
{
	static const char *const plain_headers[] = { "Content-Type: application/json", "Accept: application/json", NULL };
	static const char *const typed_headers[] = { "Content-Type: " TYPED, "Accept: " TYPED, NULL };
	json_t *root = NULL, *body = json_pack("{s:s}", "statement", statement), *rows;
	struct http_answer a = { 0 };
	struct buf path = BUF_INIT;
	struct http_request r = { .method = "POST", .headers = typed ? typed_headers : plain_headers, .max = ANSWER_MAX,
				  .idle_s = ASK_IDLE_S };
	char *text = NULL;
	enum err_code rc;

	buf_add_str(&path, "/db/");
	http_escape(&path, database);
	buf_add(&path, "/query/v2", sizeof("/query/v2"));
	if (body && parameters && json_object_set(body, "parameters", parameters) < 0) {
		json_decref(body);
		body = NULL;
	}
	json_decref(parameters);
	text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	if (!text || path.bad) {
		rc = err_set(e, ERR_NOMEM, "out of memory");
		goto out;
	}
	r.path = (const char *)path.p;
	r.body = text;
	r.body_len = strlen(text);
	rc = http_do(h, &r, &a, e);
	if (rc)
		goto out;
	/* A property's text may have a NUL in it */
	root = a.body.p ? json_loadb((const char *)a.body.p, a.body.len, JSON_ALLOW_NUL, NULL) : NULL;
	rows = json_object_get(json_object_get(root, "data"), "values");
	if (a.status / 100 != 2 || json_array_size(json_object_get(root, "errors")) > 0 || !json_is_array(rows))
		rc = refused(&a, root, statement, e);
	else if (values)
		*values = json_incref(rows);
out:
	json_decref(root);
	http_answer_release(&a);
	buf_release(&path);
	free(text);
	return rc;
}

enum err_code neo4j_http(struct component *c, const struct neo4j_served *served, struct http **out, struct err *e)
{
	const struct neo4j *n = neo4j_of(c);
	struct http_options o = { .base = served ? served->url : neo4j_url(c), .cancel = c->cancel };

	if (served) {
		o.user = NEO4J_USER;
		o.password = served->password;
	} else if (n->password) {
		o.user = n->user;
		o.password = n->password;
	}
	if (!served) {
		enum err_code rc = neo4j_wait_up(o.base, c->wait, NULL, c->cancel, e);

		if (rc)
			return rc;
	}
	return http_open(&o, out, e);
}

/* Cypher decodes \uXXXX wherever it stands before it reads anything else, so that a backslash is written as one, too. */
void neo4j_name(struct buf *b, const char *name)
{
	buf_add_str(b, "`");
	for (; *name; name++) {
		if (*name == '`')
			buf_add_str(b, "``");
		else if (*name == '\\')
			buf_add_str(b, "\\u005C");
		else
			buf_add(b, name, 1);
	}
	buf_add_str(b, "`");
}

static char *quoted(const char *before, const char *name, const char *after)
{
	struct buf b = BUF_INIT;

	buf_add_str(&b, before);
	neo4j_name(&b, name);
	buf_add(&b, after, strlen(after) + 1);
	if (b.bad) {
		buf_release(&b);
		return NULL;
	}
	return (char *)b.p;
}

static enum err_code count_one(struct http *h, const char *database, const char *kind, const char *name, char *statement,
			       struct facts *out, struct err *e)
{
	json_t *rows = NULL;
	const json_t *n;
	enum err_code rc =
	    statement ? neo4j_ask(h, database, false, statement, NULL, &rows, e) : err_set(e, ERR_NOMEM, "out of memory");

	n = json_array_get(json_array_get(rows, 0), 0);
	if (!rc && (!json_is_integer(n) || json_integer_value(n) < 0))
		rc = err_set(e, ERR_FAILED, "Neo4j: a count that is no number");
	if (!rc)
		facts_rows(out, kind, name, (uint64_t)json_integer_value(n), FACTS_NO_SUM);
	json_decref(rows);
	free(statement);
	return rc;
}

/* list: a statement that gives names; each is counted by BEFORE `name` AFTER. */
static enum err_code count_each(struct http *h, const char *database, const char *kind, const char *list, const char *before,
				const char *after, struct facts *out, struct err *e)
{
	json_t *rows = NULL;
	enum err_code rc = neo4j_ask(h, database, false, list, NULL, &rows, e);

	for (size_t i = 0; !rc && i < json_array_size(rows); i++) {
		const char *name = json_string_value(json_array_get(json_array_get(rows, i), 0));

		if (!name)
			rc = err_set(e, ERR_FAILED, "Neo4j: a name that is none");
		else
			rc = count_one(h, database, kind, name, quoted(before, name, after), out, e);
	}
	json_decref(rows);
	return rc;
}

/* Definitions, by name: rows of name, statement, and (indexes) state. */
static enum err_code define_each(struct http *h, const char *database, const char *kind, const char *list, struct facts *out,
				 struct err *e)
{
	json_t *rows = NULL;
	enum err_code rc = neo4j_ask(h, database, false, list, NULL, &rows, e);

	for (size_t i = 0; !rc && i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		const char *name = json_string_value(json_array_get(row, 0)),
			   *is = json_string_value(json_array_get(row, 1));
		const char *state = json_string_value(json_array_get(row, 2));
		char *text = NULL;

		if (!name || !is ||
		    asprintf(&text, "%s%s%s%s", is, state ? " (" : "", state ? state : "", state ? ")" : "") < 0)
			rc = err_set(e, ERR_FAILED, "Neo4j: a definition that is none");
		else
			facts_is(out, kind, name, text);
		free(text);
	}
	json_decref(rows);
	return rc;
}

enum err_code neo4j_count(struct http *h, const char *database, struct facts *out, struct err *e)
{
	json_t *rows = NULL;
	const char *version;
	enum err_code rc =
	    neo4j_ask(h, database, false, "CALL dbms.components() YIELD versions, edition RETURN versions[0], edition", NULL,
		      &rows, e);

	version = rc ? NULL : json_string_value(json_array_get(json_array_get(rows, 0), 0));
	if (version)
		facts_set(out, "server", version);
	json_decref(rows);
	if (!rc)
		rc = count_one(h, database, "total", "nodes", strdup("MATCH (n) RETURN count(n)"), out, e);
	if (!rc)
		rc = count_one(h, database, "total", "relationships", strdup("MATCH ()-[r]->() RETURN count(r)"), out, e);
	if (!rc)
		rc = count_each(h, database, "label", "CALL db.labels() YIELD label RETURN label ORDER BY label",
				"MATCH (n:", ") RETURN count(n)", out, e);
	if (!rc)
		rc = count_each(h, database, "relationship",
				"CALL db.relationshipTypes() YIELD relationshipType AS t RETURN t ORDER BY t",
				"MATCH ()-[r:", "]->() RETURN count(r)", out, e);
	if (!rc)
		rc = define_each(h, database, "constraint",
				 "SHOW CONSTRAINTS YIELD name, createStatement RETURN name, createStatement "
				 "ORDER BY name",
				 out, e);
	if (!rc)
		rc = define_each(h, database, "index",
				 "SHOW INDEXES YIELD name, createStatement, state RETURN name, createStatement, state "
				 "ORDER BY name",
				 out, e);
	return rc;
}

enum err_code neo4j_sample(struct http *h, const char *database, size_t *labels, struct err *e)
{
	json_t *rows = NULL;
	enum err_code rc =
	    neo4j_ask(h, database, false, "CALL db.labels() YIELD label RETURN label ORDER BY label", NULL, &rows, e);

	for (size_t i = 0; !rc && i < json_array_size(rows); i++) {
		const char *name = json_string_value(json_array_get(json_array_get(rows, i), 0));
		char *text = name ? quoted("MATCH (n:", name,
					   ") WITH n LIMIT 1 OPTIONAL MATCH (n)-[r]-(m) WITH n, r, m LIMIT 100 "
					   "RETURN properties(n), collect(properties(r)), count(m)")
				  : NULL;

		rc = text ? neo4j_ask(h, database, false, text, NULL, NULL, e) : err_set(e, ERR_NOMEM, "out of memory");
		free(text);
	}
	*labels = json_array_size(rows);
	json_decref(rows);
	return rc;
}

enum err_code neo4j_wait_online(struct http *h, const char *database, uint64_t seconds, bool strict,
				const atomic_bool *cancel, struct err *e)
{
	const struct timespec later = { .tv_nsec = LOOK_MS * 1000000L };
	struct timespec began, now;

	must(clock_gettime(CLOCK_MONOTONIC, &began));
	for (;;) {
		json_t *rows = NULL;
		const char *name, *state;
		bool late, failed;
		enum err_code rc = neo4j_ask(h, database, false,
					     "SHOW INDEXES YIELD name, state WHERE state <> 'ONLINE' RETURN name, state "
					     "ORDER BY state DESC, name",
					     NULL, &rows, e);

		if (rc)
			return rc;
		name = json_string_value(json_array_get(json_array_get(rows, 0), 0));
		state = json_string_value(json_array_get(json_array_get(rows, 0), 1));
		must(clock_gettime(CLOCK_MONOTONIC, &now));
		late = (uint64_t)(now.tv_sec - began.tv_sec) > seconds;
		failed = state && strcmp(state, "POPULATING") != 0;
		if (json_array_size(rows) == 0 || ((failed || late) && !strict)) {
			json_decref(rows);
			return ERR_OK;
		}
		if (failed || late)
			rc = err_set(e, ERR_FAILED, "index %s is %s%s", name ? name : "?", state ? state : "?",
				     failed ? "" : ", and was not waited for any longer (online-wait)");
		else if (cancel && atomic_load(cancel))
			rc = err_set(e, ERR_CANCELED, "interrupted");
		json_decref(rows);
		if (rc)
			return rc;
		(void)nanosleep(&later, NULL);
	}
}

/* Text as it is, null as \N, the rest as JSON. */
static void add_field(struct buf *b, const json_t *v)
{
	char *made = json_is_string(v) ? NULL : json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
	const char *text = made ? made : json_string_value(v);
	size_t len = made ? strlen(made) : json_string_length(v);

	if (json_is_null(v)) {
		buf_add_str(b, "\\N");
	} else if (text) {
		text_copy_field(b, text, len);
	} else {
		b->bad = true;
	}
	free(made);
}

enum err_code neo4j_lines(const json_t *values, char **out, struct err *e)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < json_array_size(values); i++) {
		const json_t *row = json_array_get(values, i);

		for (size_t k = 0; k < json_array_size(row); k++) {
			buf_add_str(&b, k > 0 ? "\t" : "");
			add_field(&b, json_array_get(row, k));
		}
		buf_add_str(&b, "\n");
	}
	buf_add(&b, "", 1);
	if (b.bad) {
		buf_release(&b);
		return err_set(e, ERR_NOMEM, "out of memory");
	}
	*out = (char *)b.p;
	return ERR_OK;
}
