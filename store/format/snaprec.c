/* SPDX-License-Identifier: MIT */
#include "store/format/snaprec.h"

#include <jansson.h>
#include <stdlib.h>

#include "store/base/digest.h"
#include "store/base/hex.h"
#include "store/format/isotime.h"
#include "store/format/jsonrec.h"
#include "store/format/limits.h"

#define SNAPREC_VERSION	1u
#define KIND		"snapshot"

/* Names. */

void snaprec_name(const struct vtime *t, const struct object_id *id,
		  char out[SNAPSHOT_NAME_LEN + 1])
{
	char iso[ISOTIME_LEN + 1];

	isotime_encode(t, iso);
	memcpy(out, iso, 19);
	out[13] = out[16] = '-';	/* no colons: the name is good on every medium */
	out[19] = 'Z';
	out[20] = '-';
	hex_encode(id->b, 8, out + 21);
}

bool snaprec_name_ok(const char *s)
{
	static const char shape[] = "dddd-dd-ddTdd-dd-ddZ-xxxxxxxxxxxxxxxx";
	bool ok = strlen(s) == SNAPSHOT_NAME_LEN;

	for (size_t i = 0; ok && i < SNAPSHOT_NAME_LEN; i++) {
		bool dec = s[i] >= '0' && s[i] <= '9';

		if (shape[i] == 'd')
			ok = dec;
		else if (shape[i] == 'x')
			ok = dec || (s[i] >= 'a' && s[i] <= 'f');
		else
			ok = s[i] == shape[i];
	}
	return ok;
}

static void texts_release(char **list, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		free(list[i]);
	free(list);
}

void snapshot_release(struct snapshot *s)
{
	for (size_t i = 0; i < s->nr_components; i++) {
		free(s->components[i].name);
		free(s->components[i].type);
		free(s->components[i].status);
		free(s->components[i].detail);
	}
	free(s->components);
	texts_release(s->sources, s->nr_sources);
	texts_release(s->tags, s->nr_tags);
	free(s->name);
	free(s->host);
	free(s->user);
	free(s->version);
	free(s->base);
	*s = (struct snapshot){ 0 };
}

/* Encoding.  json_object_set_new(o, key, NULL) fails, so lack of memory shows at the end. */

static bool set_texts(json_t *o, const char *key, char *const *list, size_t nr)
{
	json_t *a = json_array();
	bool ok = a;

	for (size_t i = 0; ok && i < nr; i++)
		ok = jsonrec_append_bytes(a, list[i]);
	return json_object_set_new(o, key, a) == 0 && ok;
}

static bool set_components(json_t *o, const struct snapshot *s)
{
	json_t *a = json_array();
	bool ok = a;

	for (size_t i = 0; ok && i < s->nr_components; i++) {
		const struct component_outcome *c = &s->components[i];
		json_t *m = json_object();

		ok = m && jsonrec_set_bytes(m, "name", c->name) &&
		     jsonrec_set_bytes(m, "type", c->type) &&
		     jsonrec_set_bytes(m, "status", c->status) &&
		     jsonrec_set_bytes(m, "detail", c->detail);
		ok = json_array_append_new(a, m) == 0 && ok;
	}
	return json_object_set_new(o, "components", a) == 0 && ok;
}

static bool set_totals(json_t *o, const struct totals *t)
{
	json_t *m = json_object();
	bool ok = m && jsonrec_set_u64(m, "files", t->files) &&
		  jsonrec_set_u64(m, "dirs", t->dirs) && jsonrec_set_u64(m, "others", t->others) &&
		  jsonrec_set_u64(m, "bytes", t->bytes) &&
		  jsonrec_set_u64(m, "sums_len", t->sums_len) &&
		  jsonrec_set_u64(m, "sums_escaped", t->sums_escaped);

	return json_object_set_new(o, "totals", m) == 0 && ok;
}

static bool set_chain(json_t *o, const struct snapshot *s)
{
	if (!jsonrec_set_hex(o, "writer", s->writer, sizeof(s->writer)) ||
	    !jsonrec_set_u64(o, "seq", s->seq))
		return false;
	if (s->has_previous)
		return jsonrec_set_hex(o, "previous", s->previous.b, ID_LEN);
	return json_object_set_new(o, "previous", json_null()) == 0;
}

void snaprec_encode(const struct snapshot *s, struct buf *out)
{
	json_t *o = json_object();
	bool ok;

	ok = o && jsonrec_set_str(o, "vouch", KIND) &&
	     jsonrec_set_u64(o, "format", SNAPREC_VERSION) &&
	     jsonrec_set_hex(o, "root", s->root.b, ID_LEN) && jsonrec_set_time(o, "time", &s->time) &&
	     jsonrec_set_time(o, "end", &s->end) && jsonrec_set_bytes(o, "host", s->host) &&
	     jsonrec_set_bytes(o, "user", s->user) &&
	     jsonrec_set_bytes(o, "version", s->version) &&
	     jsonrec_set_bytes(o, "base", s->base) &&
	     set_texts(o, "sources", s->sources, s->nr_sources) &&
	     set_texts(o, "tags", s->tags, s->nr_tags) && set_components(o, s) &&
	     set_totals(o, &s->totals) && jsonrec_set_u64(o, "new_bytes", s->new_bytes) &&
	     jsonrec_set_u64(o, "stored_bytes", s->stored_bytes) &&
	     jsonrec_set_u64(o, "errors", s->errors) && set_chain(o, s);
	if (ok)
		jsonrec_dump(o, out);
	else
		out->bad = true;
	json_decref(o);
}

/* Decoding. */

static enum err_code get_texts(const json_t *o, const char *key, char ***list, size_t *nr,
			       struct err *e)
{
	const json_t *a = NULL;
	enum err_code rc = jsonrec_array(o, key, SNAPSHOT_LIST_LEN_MAX, &a, e);
	size_t n;

	if (rc)
		return rc;
	n = json_array_size(a);
	*list = calloc(n + 1, sizeof(**list));
	if (!*list)
		return err_set(e, ERR_NOMEM, "\"%s\"", key);
	for (size_t i = 0; i < n; i++) {
		rc = jsonrec_bytes_of(json_array_get(a, i), SNAPSHOT_TEXT_MAX, &(*list)[i], e);
		if (rc) {
			err_prefix(e, "\"%s\"", key);
			return rc;	/* what is there already is freed with the snapshot */
		}
		++*nr;
	}
	return ERR_OK;
}

static enum err_code get_components(const json_t *o, struct snapshot *s, struct err *e)
{
	const json_t *a = NULL;
	enum err_code rc = jsonrec_array(o, "components", SNAPSHOT_LIST_LEN_MAX, &a, e);
	size_t n;

	if (rc)
		return rc;
	n = json_array_size(a);
	s->components = calloc(n + 1, sizeof(s->components[0]));
	if (!s->components)
		return err_set(e, ERR_NOMEM, "components");
	for (size_t i = 0; !rc && i < n; i++) {
		struct component_outcome *c = &s->components[s->nr_components++];
		const json_t *m = json_array_get(a, i);

		rc = jsonrec_bytes(m, "name", SNAPSHOT_TEXT_MAX, &c->name, e);
		if (!rc)
			rc = jsonrec_bytes(m, "type", SNAPSHOT_TEXT_MAX, &c->type, e);
		if (!rc)
			rc = jsonrec_bytes(m, "status", SNAPSHOT_TEXT_MAX, &c->status, e);
		if (!rc)
			rc = jsonrec_bytes(m, "detail", SNAPSHOT_TEXT_MAX, &c->detail, e);
	}
	if (rc)
		err_prefix(e, "components");
	return rc;
}

static enum err_code get_numbers(const json_t *o, struct snapshot *s, struct err *e)
{
	const json_t *m = json_object_get(o, "totals");
	const struct {
		const json_t *in;
		const char *key;
		uint64_t *to;
	} rows[] = {
		{ m, "files", &s->totals.files }, { m, "dirs", &s->totals.dirs },
		{ m, "others", &s->totals.others }, { m, "bytes", &s->totals.bytes },
		{ m, "sums_len", &s->totals.sums_len },
		{ m, "sums_escaped", &s->totals.sums_escaped },
		{ o, "new_bytes", &s->new_bytes }, { o, "stored_bytes", &s->stored_bytes },
		{ o, "errors", &s->errors }, { o, "seq", &s->seq },
	};
	enum err_code rc = ERR_OK;

	if (!json_is_object(m))
		return err_set(e, ERR_CORRUPT, "no \"totals\"");
	for (size_t i = 0; !rc && i < sizeof(rows) / sizeof(rows[0]); i++)
		rc = jsonrec_u64(rows[i].in, rows[i].key, UINT64_MAX, rows[i].to, e);
	return rc;
}

static enum err_code get_chain(const json_t *o, struct snapshot *s, struct err *e)
{
	const json_t *previous = json_object_get(o, "previous");
	enum err_code rc = jsonrec_hex(o, "writer", s->writer, sizeof(s->writer), e);

	if (rc || json_is_null(previous))
		return rc;
	s->has_previous = true;
	return jsonrec_hex(o, "previous", s->previous.b, ID_LEN, e);
}

static enum err_code members_decode(const json_t *o, struct snapshot *s, struct err *e)
{
	const struct {
		const char *key;
		char **to;
	} texts[] = {
		{ "host", &s->host }, { "user", &s->user }, { "version", &s->version },
		{ "base", &s->base },
	};
	enum err_code rc = jsonrec_head(o, KIND, SNAPREC_VERSION, e);

	if (!rc)
		rc = jsonrec_hex(o, "root", s->root.b, ID_LEN, e);
	if (!rc)
		rc = jsonrec_time(o, "time", &s->time, e);
	if (!rc)
		rc = jsonrec_time(o, "end", &s->end, e);
	for (size_t i = 0; !rc && i < sizeof(texts) / sizeof(texts[0]); i++)
		rc = jsonrec_bytes(o, texts[i].key, SNAPSHOT_TEXT_MAX, texts[i].to, e);
	if (!rc)
		rc = get_texts(o, "sources", &s->sources, &s->nr_sources, e);
	if (!rc)
		rc = get_texts(o, "tags", &s->tags, &s->nr_tags, e);
	if (!rc)
		rc = get_components(o, s, e);
	if (!rc)
		rc = get_numbers(o, s, e);
	if (!rc)
		rc = get_chain(o, s, e);
	return rc;
}

enum err_code snaprec_decode(const uint8_t *buf, size_t len, struct snapshot *out,
			     struct err *e)
{
	struct snapshot s = { 0 };
	json_t *o = NULL;
	enum err_code rc;

	rc = jsonrec_load(buf, len, SNAPSHOT_JSON_MAX, &o, e);
	if (!rc)
		rc = members_decode(o, &s, e);
	if (rc)
		goto out;
	s.name = malloc(SNAPSHOT_NAME_LEN + 1);
	if (!s.name) {
		rc = err_set(e, ERR_NOMEM, "snapshot's name");
		goto out;
	}
	digest_sha256(buf, len, &s.id);
	snaprec_name(&s.time, &s.id, s.name);
	*out = s;
	s = (struct snapshot){ 0 };
out:
	if (rc)
		err_prefix(e, "snapshot record");
	snapshot_release(&s);
	json_decref(o);
	return rc;
}
