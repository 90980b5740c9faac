/* SPDX-License-Identifier: MIT */
/* Collections of a Qdrant, by its HTTP API. */
#include "tools/components/qdrant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/text.h"

#define TIMEOUT_S 600u
#define TEMPORARY "vouch_tmp"

static enum err_code take_collections(struct component *c, struct qdrant *q, struct err *e)
{
	enum err_code rc = config_words(c->section, "collections", &q->wanted, e);

	if (rc)
		return rc;
	q->all = !q->wanted || !q->wanted[0] || (strcmp(q->wanted[0], "*") == 0 && !q->wanted[1]);
	for (char **w = q->wanted; !q->all && *w; w++)
		if (!qdrant_name_ok(*w) || strcmp(*w, "*") == 0)
			return config_wrong(c->section, "collections", e, "%s is no name of a collection: give * or names",
					    *w);
	return ERR_OK;
}

static enum err_code take_key(struct component *c, struct qdrant *q, struct err *e)
{
	enum err_code rc = config_secret(c->section, "api-key", &q->key, e);

	if (rc || !q->key)
		return rc;
	for (const char *p = q->key; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return config_wrong(c->section, "api-key", e, "a key with a control character in it");
	if (asprintf(&q->header, "api-key: %s", q->key) < 0) {
		q->header = NULL;
		return err_set(e, ERR_NOMEM, "out of memory");
	}
	return ERR_OK;
}

static enum err_code connect_later(struct component *c, struct qdrant *q, struct err *e)
{
	struct err why = ERR_INIT;
	struct http_options after;
	enum err_code rc;

	q->options = (struct http_options){ .base = q->url, .header = q->header, .idle_s = 60, .cancel = c->cancel };
	after = q->options;
	after.cancel = NULL;
	after.connect_s = 5;
	rc = http_open(&q->options, &q->http, &why);
	if (!rc)
		rc = http_open(&after, &q->after, &why);
	if (rc == ERR_USAGE)
		return config_wrong(c->section, "url", e, "%s", why.msg);
	if (rc && e)
		*e = why;
	return rc;
}

static enum err_code qdrant_open(struct component *c, struct err *e)
{
	struct qdrant *q = calloc(1, sizeof(*q));
	const char *url = config_get(c->section, "url"), *temporary = config_get(c->section, "temporary");
	uint64_t timeout = TIMEOUT_S;
	enum err_code rc;
	size_t len;

	if (!q)
		return err_set(e, ERR_NOMEM, "out of memory");
	c->priv = q;
	q->c = c;
	if (!url)
		return config_wrong(c->section, "url", e, "missing: url = http://HOST:6333");
	if (c->via)
		return config_wrong(c->section, "via", e, "a Qdrant is asked over HTTP: leave it out, and give url");
	q->url = strdup(url);
	q->temporary = strdup(temporary ? temporary : TEMPORARY);
	if (!q->url || !q->temporary)
		return err_set(e, ERR_NOMEM, "out of memory");
	for (len = strlen(q->url); len > 0 && q->url[len - 1] == '/'; len--)
		q->url[len - 1] = '\0';
	if (!qdrant_name_ok(q->temporary))
		return config_wrong(c->section, "temporary", e, "no beginning for the name of a collection");
	rc = config_bool(c->section, "verify-counts", false, &q->verify_counts, e);
	if (!rc)
		rc = config_seconds(c->section, "timeout", TIMEOUT_S, &timeout, e);
	if (!rc && (timeout == 0 || timeout > 86400))
		rc = config_wrong(c->section, "timeout", e, "from 1s to 24h");
	q->timeout = (unsigned)timeout;
	if (!rc)
		rc = take_collections(c, q, e);
	if (!rc)
		rc = take_key(c, q, e);
	return rc ? rc : connect_later(c, q, e);
}

static void qdrant_close(struct component *c)
{
	struct qdrant *q = c->priv;

	if (!q)
		return;
	http_close(q->http);
	http_close(q->after);
	config_words_free(q->wanted);
	config_secret_free(q->key);
	config_secret_free(q->header);
	free(q->temporary);
	free(q->url);
	free(q);
	c->priv = NULL;
}

/*
 * Whether the key may make snapshots: that needs the right to delete one, too, which is asked of one that cannot be there.
 * Asked to make one of a collection that is not there, a server leaves an empty folder behind.
 */
static enum err_code check_rights(struct component *c, struct qdrant *q, struct err *e)
{
	enum err_code rc = qdrant_do(q, QDRANT_ASK, "DELETE", "vouch_asks_whether_it_may", "/snapshots/none", NULL, NULL, e);

	if (rc == ERR_NOT_FOUND) {
		component_found(c, FINDING_OK, "%s may make snapshots", q->key ? "the key" : "without a key, one");
		return ERR_OK;
	}
	if (rc && q->status == 403) {
		component_found(c, FINDING_FAILED, "the key may only read: snapshots need one that may manage");
		return ERR_OK;
	}
	return rc;
}

/* About what a snapshot takes: four bytes a dimension; payload is not told. */
static void add_need(uint64_t *need, const json_t *params, uint64_t points)
{
	json_t *vectors = json_object_get(params, "vectors"), *v;
	uint64_t size = (uint64_t)json_integer_value(json_object_get(vectors, "size")), bytes = 0;
	bool much = false;
	const char *key;

	json_object_foreach(vectors, key, v)
		much |= add_u64(size, (uint64_t)json_integer_value(json_object_get(v, "size")), &size);
	if (much || mul_u64(size, 4, &bytes) || mul_u64(bytes, points, &bytes) || add_u64(*need, bytes, need))
		*need = UINT64_MAX;
}

/* Points, what lies on the server, and whether this node has all of it. */
static enum err_code check_collection(struct component *c, struct qdrant *q, const char *name, uint64_t *need, struct err *e)
{
	json_t *info = NULL, *list = NULL, *o;
	uint64_t n = 0, bytes = 0;
	struct qdrant_snapshot s;
	char size[TEXT_LEN], count[TEXT_LEN];
	const char *status;
	size_t i, left = 0;
	enum err_code rc;

	rc = qdrant_info(q, name, &info, e);
	if (!rc)
		rc = qdrant_count(q, name, &n, e);
	if (!rc)
		rc = qdrant_snapshots(q, QDRANT_ASK, name, &list, e);
	if (rc)
		goto out;
	status = json_string_value(json_object_get(info, "status"));
	component_found(c, FINDING_OK, "collection %s: %s points, status %s", name, text_count(n, count),
			status ? status : "unknown");
	json_array_foreach(list, i, o) {
		if (qdrant_parse_snapshot(o, &s, NULL))
			continue;
		if (add_u64(bytes, s.size, &bytes))
			bytes = UINT64_MAX;
		left += qdrant_is_upload(s.name);
	}
	if (left > 0)
		component_found(c, FINDING_WARNING,
				"collection %s: %zu upload%s (" QDRANT_UPLOAD "*.snapshot) of interrupted restores on the "
				"server: delete, or restore it again", name, left, left == 1 ? "" : "s");
	if (json_array_size(list) > left)
		component_found(c, FINDING_OK, "collection %s: other snapshots on the server: %zu; %s with all", name,
				json_array_size(list) - left, text_size(bytes, size));
	if (qdrant_has_shard_keys(info))
		component_found(c, FINDING_WARNING, "collection %s: " QDRANT_SHARD_KEYS, name);
	add_need(need, json_object_get(json_object_get(info, "config"), "params"), n);
	rc = qdrant_here(q, name, e);
	if (rc == ERR_UNSUPPORTED) {
		component_found(c, FINDING_FAILED, "%s", e ? e->msg : name);
		err_clear(e);
		rc = ERR_OK;
	}
out:
	json_decref(info);
	json_decref(list);
	return rc;
}

static enum err_code check_collections(struct component *c, struct qdrant *q, struct err *e)
{
	struct qdrant_names names = { 0 }, all = { 0 };
	uint64_t need = 0;
	enum err_code rc;

	rc = qdrant_chosen(q, &names, e);
	if (rc == ERR_NOT_FOUND) {
		component_found(c, FINDING_FAILED, "%s", e ? e->msg : "a collection is missing");
		return ERR_OK;
	}
	for (size_t i = 0; !rc && i < names.nr; i++)
		rc = check_collection(c, q, names.v[i], &need, e);
	if (!rc)
		component_need(c, need);
	if (!rc && names.nr == 0)
		component_found(c, FINDING_WARNING, "there is no collection at %s", q->url);
	if (!rc)
		rc = qdrant_collections(q, QDRANT_ASK, &all, e);
	for (size_t i = 0; !rc && i < all.nr; i++)
		if (q->all && !qdrant_takes(q, all.v[i]))
			component_found(c, FINDING_WARNING, "collection %s is temporary, of an interrupted run: delete it",
					all.v[i]);
	if (!rc)
		component_found(c, FINDING_OK,
				"a Qdrant does not tell its space: it needs room for another copy of the largest collection");
	qdrant_names_release(&names);
	qdrant_names_release(&all);
	return rc;
}

static enum err_code qdrant_check(struct component *c, struct err *e)
{
	struct qdrant *q = c->priv;
	struct err why = ERR_INIT;
	char version[64];
	enum err_code rc;

	rc = qdrant_reach(q, version, &why);
	if (!rc) {
		component_found(c, FINDING_OK, "Qdrant %s at %s", version, q->url);
		if (q->key && strncmp(q->url, "http:", 5) == 0 && !strstr(q->url, "//127.") &&
		    !strstr(q->url, "//localhost") && !strstr(q->url, "//[::1]"))
			component_found(c, FINDING_WARNING, "the key goes over the network in the clear: use https");
		rc = check_rights(c, q, &why);
	}
	if (!rc)
		rc = check_collections(c, q, &why);
	if (rc == ERR_CANCELED || rc == ERR_NOMEM || rc == ERR_ABSENT) {
		if (e)
			*e = why;
		return rc;
	}
	if (rc)
		component_found(c, FINDING_FAILED, "%s", why.msg);
	return ERR_OK;
}

const struct component_ops component_qdrant = {
	.type = "qdrant",
	.main_file = "collections.json",
	.item_kind = "collection",
	.selector = "collection",
	.rto = 15 * 60,
	.keeps_extra = true,
	.open = qdrant_open,
	.close = qdrant_close,
	.check = qdrant_check,
	.dump = qdrant_dump,
	.inspect = qdrant_inspect,
	.read_back = qdrant_read_back,
	.plan = qdrant_plan,
	.restore = qdrant_restore,
	.rollback = qdrant_rollback,
	.discard = qdrant_discard,
	.query = qdrant_query,
	.nulls_query = "nulls {table} {column}",
	.orphans_query = "",
	.examine = qdrant_examine,
};
