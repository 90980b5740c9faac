/* SPDX-License-Identifier: MIT */
/* Answers of Qdrant's HTTP API: {"result":..,"status":"ok"}, or {"status":{"error":".."}}, or plain text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/components/qdrant.h"
#include "tools/text.h"

#define SAID_MAX 300		/* bytes of a server's message that are told */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void qdrant_names_release(struct qdrant_names *n)
{
	for (size_t i = 0; i < n->nr; i++)
		free(n->v[i]);
	free(n->v);
	*n = (struct qdrant_names){ 0 };
}

bool qdrant_names_add(struct qdrant_names *n, const char *name)
{
	char **v = realloc(n->v, (n->nr + 1) * sizeof(*v));

	if (!v)
		return false;
	n->v = v;
	v[n->nr] = strdup(name);
	if (!v[n->nr])
		return false;
	n->nr++;
	return true;
}

bool qdrant_names_have(const struct qdrant_names *n, const char *name)
{
	for (size_t i = 0; i < n->nr; i++)
		if (strcmp(n->v[i], name) == 0)
			return true;
	return false;
}

/* It becomes a file's name here and a piece of a path there. */
bool qdrant_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > QDRANT_NAME_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (; *name; name++)
		if ((unsigned char)*name < 0x20 || *name == 0x7f || *name == '/')
			return false;
	return true;
}

static enum err_code strange(struct err *e, const char *what)
{
	return err_set(e, ERR_FAILED, "not an answer of Qdrant: %s", what);
}

/* What the server says about a failure, fit for one line. */
static enum err_code refused(long status, const char *said, struct err *e)
{
	static const struct hint {
		long status;
		enum err_code code;
		const char *then;
	} hints[] = {
		{ 401, ERR_FAILED, ": set api-key-file (or api-key) to a key that the server accepts" },
		{ 403, ERR_FAILED, ": the key may only read; snapshots need one that may manage" },
		{ 404, ERR_NOT_FOUND, "" },
		{ 409, ERR_EXISTS, "" },
	};
	enum err_code code = ERR_FAILED;
	struct buf b = BUF_INIT;
	const char *then = "";

	for (size_t i = 0; i < ARRAY_LEN(hints); i++) {
		if (hints[i].status != status)
			continue;
		code = hints[i].code;
		then = hints[i].then;
	}
	text_clean_str(&b, said);
	buf_add_u8(&b, '\0');
	(void)err_set(e, code, "answered %ld: %.*s%s", status, SAID_MAX, b.bad ? "" : (const char *)b.p, then);
	buf_release(&b);
	return code;
}

enum err_code qdrant_parse(long status, const char *text, size_t len, json_t **result, struct err *e)
{
	json_t *root = json_loadb(text, len, 0, NULL), *state = json_object_get(root, "status"), *r;
	const char *said = json_string_value(json_object_get(state, "error"));
	enum err_code rc = ERR_OK;

	if (status / 100 != 2) {
		rc = refused(status, said ? said : len > 0 ? text : "without a word", e);
		goto out;
	}
	r = json_object_get(root, "result");
	if (!root)
		rc = strange(e, "no JSON");
	else if (!json_is_string(state) || strcmp(json_string_value(state), "ok") != 0)
		rc = strange(e, "its status is not \"ok\"");
	else if (!r)
		rc = strange(e, "no result");
	else
		*result = json_incref(r);
out:
	json_decref(root);
	return rc;
}

enum err_code qdrant_parse_names(const json_t *array, const char *key, struct qdrant_names *out, struct err *e)
{
	struct qdrant_names n = { 0 };
	enum err_code rc = ERR_OK;
	const json_t *o;
	size_t i;

	if (!json_is_array(array))
		return strange(e, "no list");
	if (json_array_size(array) > QDRANT_LIST_MAX)
		return err_set(e, ERR_LIMIT, "a list of %zu names", json_array_size(array));
	json_array_foreach(array, i, o) {
		const char *name = json_string_value(json_object_get(o, key));

		if (!name || !qdrant_name_ok(name))
			rc = strange(e, "a name that is none");
		else if (!qdrant_names_add(&n, name))
			rc = err_set(e, ERR_NOMEM, "out of memory");
		if (rc) {
			qdrant_names_release(&n);
			return rc;
		}
	}
	if (n.nr > 1)
		qsort(n.v, n.nr, sizeof(*n.v), by_name);
	*out = n;
	return ERR_OK;
}

enum err_code qdrant_parse_snapshot(const json_t *o, struct qdrant_snapshot *out, struct err *e)
{
	const char *name = json_string_value(json_object_get(o, "name"));
	const json_t *size = json_object_get(o, "size"), *sum = json_object_get(o, "checksum");
	struct qdrant_snapshot s = { .has_sha256 = json_is_string(sum) };

	if (!name || !qdrant_name_ok(name))
		return strange(e, "a snapshot without a name");
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return strange(e, "a snapshot without a size");
	if (s.has_sha256 && (json_string_length(sum) != ID_HEX_LEN || !id_parse(json_string_value(sum), &s.sha256)))
		return strange(e, "a snapshot's checksum that is no SHA-256");
	(void)snprintf(s.name, sizeof(s.name), "%s", name);
	s.size = (uint64_t)json_integer_value(size);
	*out = s;
	return ERR_OK;
}

bool qdrant_is_upload(const char *name)
{
	static const char end[] = ".snapshot";
	const size_t at = strlen(QDRANT_UPLOAD), digits = 16;

	return strncmp(name, QDRANT_UPLOAD, at) == 0 && strspn(name + at, "0123456789abcdef") == digits &&
	       strcmp(name + at + digits, end) == 0;
}

/* A copy of from[key], without members that are null. */
static bool copy_member(json_t *to, const char *as, const json_t *from, const char *key)
{
	json_t *v = json_object_get(from, key), *copy, *m;
	const char *k;
	void *next;

	if (!v || json_is_null(v))
		return true;
	copy = json_deep_copy(v);
	if (json_is_object(copy)) {
		json_object_foreach_safe(copy, next, k, m) {
			if (json_is_null(m))
				(void)json_object_del(copy, k);
		}
	}
	return json_object_set_new(to, as, copy) == 0;
}

json_t *qdrant_create_body(const json_t *config)
{
	static const char *const params[] = { "vectors", "sparse_vectors", "shard_number", "sharding_method",
					      "replication_factor", "write_consistency_factor", "on_disk_payload" };
	/* Told under one name, taken under another */
	static const char *const rest[][2] = {
		{ "hnsw_config", "hnsw_config" },
		{ "optimizer_config", "optimizers_config" },
		{ "wal_config", "wal_config" },
		{ "quantization_config", "quantization_config" },
		{ "strict_mode_config", "strict_mode_config" },
	};
	const json_t *p = json_object_get(config, "params");
	json_t *body = json_object();
	bool ok = body && json_is_object(p);

	for (size_t i = 0; ok && i < ARRAY_LEN(params); i++)
		ok = copy_member(body, params[i], p, params[i]);
	for (size_t i = 0; ok && i < ARRAY_LEN(rest); i++)
		ok = copy_member(body, rest[i][1], config, rest[i][0]);
	if (ok)
		return body;
	json_decref(body);
	return NULL;
}

json_t *qdrant_indexes(const json_t *payload_schema)
{
	json_t *out = json_object(), *schema = json_deep_copy(payload_schema), *v;
	const char *field;

	json_object_foreach(schema, field, v) {
		json_t *params = json_object_get(v, "params");

		if (!json_is_object(params))
			params = json_object_get(v, "data_type");
		if (!params || json_object_set(out, field, params)) {
			json_decref(out);
			out = NULL;
			break;
		}
	}
	json_decref(schema);
	return out;
}

bool qdrant_has_shard_keys(const json_t *info)
{
	const json_t *params = json_object_get(json_object_get(info, "config"), "params");
	const char *method = json_string_value(json_object_get(params, "sharding_method"));

	return method && strcmp(method, "custom") == 0;
}

static bool add_vector(json_t *item, const json_t *v)
{
	json_t *size = json_object_get(v, "size"), *distance = json_object_get(v, "distance");

	return json_is_integer(size) && json_is_string(distance) && json_object_set(item, "dimension", size) == 0 &&
	       json_object_set(item, "distance", distance) == 0;
}

/* One unnamed vector is told by the item itself, named ones one by one. */
static bool add_vectors(json_t *item, const json_t *params)
{
	json_t *vectors = json_object_get(params, "vectors"), *v;
	json_t *sparse = json_object_get(params, "sparse_vectors");
	bool ok = true;
	const char *key;

	if (json_is_integer(json_object_get(vectors, "size"))) {
		ok = add_vector(item, vectors);
	} else if (json_object_size(vectors) > 0) {
		json_t *all = json_object();

		json_object_foreach(vectors, key, v) {
			json_t *one = json_object();

			ok = ok && one && add_vector(one, v) && json_object_set(all, key, one) == 0;
			json_decref(one);
		}
		ok = ok && json_object_set(item, "vectors", all) == 0;
		json_decref(all);
	}
	if (ok && json_object_size(sparse) > 0) {
		json_t *names = json_array();

		json_object_foreach(sparse, key, v)
			ok = ok && json_array_append_new(names, json_string(key)) == 0;
		ok = ok && json_object_set(item, "sparse", names) == 0;
		json_decref(names);
	}
	return ok;
}

enum err_code qdrant_belongs(struct facts *f, const char *kind, const char *name, const char *collection, struct err *e)
{
	json_t *info = json_pack("{s:s}", "of", collection);

	if (f->bad || !info || json_object_set(facts_item(f, kind, name), "info", info))
		f->bad = true;
	json_decref(info);
	return facts_check(f, e);
}

enum err_code qdrant_facts(const char *name, const json_t *info, uint64_t points, struct facts *out, struct err *e)
{
	json_t *config = json_object_get(info, "config"), *params = json_object_get(config, "params"), *item, *v;
	json_t *status = json_object_get(info, "status"), *indexed = json_object_get(info, "indexed_vectors_count");
	json_t *schema = json_object_get(info, "payload_schema");
	struct buf b = BUF_INIT;
	enum err_code rc = ERR_OK;
	const char *field;

	if (!json_is_object(params) || !json_is_string(status))
		return strange(e, "a collection without parameters or status");
	facts_rows(out, "collection", name, points, FACTS_NO_SUM);
	item = facts_item(out, "collection", name);
	if (!item || out->bad)
		return facts_check(out, e);
	if (!add_vectors(item, params))
		return strange(e, "vectors without size and distance");
	v = json_pack("{s:O, s:o?}", "status", status, "indexed_vectors",
		      json_is_integer(indexed) ? json_incref(indexed) : NULL);
	if (!v || json_object_set_new(item, "info", v))
		return err_set(e, ERR_NOMEM, "out of memory");
	json_object_foreach(schema, field, v) {
		const char *type = json_string_value(json_object_get(v, "data_type"));

		b.len = 0;
		buf_printf(&b, "%s.%s", name, field);
		buf_add_u8(&b, '\0');
		if (!type || b.bad) {
			buf_release(&b);
			return type ? err_set(e, ERR_NOMEM, "out of memory") : strange(e, "an index without a type");
		}
		facts_is(out, "index", (const char *)b.p, type);
		rc = qdrant_belongs(out, "index", (const char *)b.p, name, e);
		if (rc)
			break;
	}
	buf_release(&b);
	return rc ? rc : facts_check(out, e);
}
