/* SPDX-License-Identifier: MIT */
/* What a dump holds and what the server has of it: read, checked and planned; nothing is changed here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "store/base/digest.h"
#include "tools/components/qdrant.h"
#include "tools/text.h"

#define CONFIG_MAX ((size_t)8 << 20)
#define PIECE ((size_t)256 << 10)

void qdrant_items_release(struct qdrant_items *t)
{
	for (size_t i = 0; i < t->nr; i++) {
		free(t->v[i].target);
		json_decref(t->v[i].config);
	}
	free(t->v);
	json_decref(t->aliases);
	*t = (struct qdrant_items){ 0 };
}

static bool asked_for(const struct restore_job *j, const char *name)
{
	for (size_t i = 0; i < j->nr_items; i++)
		if (strcmp(j->items[i], name) == 0)
			return true;
	return j->nr_items == 0;
}

static enum err_code file_of(const struct restore_job *j, const char *name, struct qdrant_item *it, struct err *e)
{
	json_t *files = json_object_get(j->recorded->root, "files"), *o;
	char file[QDRANT_NAME_MAX + 16];
	size_t i;

	(void)snprintf(file, sizeof(file), "%s.snapshot", name);
	json_array_foreach(files, i, o) {
		const char *is = json_string_value(json_object_get(o, "name"));
		const char *bytes = json_string_value(json_object_get(o, "bytes"));
		const char *sum = json_string_value(json_object_get(o, "sha256"));
		char *end;

		if (!is || strcmp(is, file) != 0)
			continue;
		if (!bytes || !sum || strlen(sum) != ID_HEX_LEN || !id_parse(sum, &it->sha256))
			break;
		it->bytes = strtoull(bytes, &end, 10);
		if (*end == '\0' && end != bytes)
			return ERR_OK;
		break;
	}
	return err_set(e, ERR_CORRUPT, "facts.json tells no length and SHA-256 of %s", file);
}

static enum err_code read_config(struct restore_job *j, struct qdrant_item *it, struct err *e)
{
	char name[QDRANT_NAME_MAX + 16];
	struct blob *b = NULL;
	char *text = NULL;
	size_t len = 0, n = 1;
	enum err_code rc;

	(void)snprintf(name, sizeof(name), "%s.config.json", it->name);
	rc = restore_file(j, name, &b, e);
	if (rc)
		return rc;
	if (blob_size(b) > CONFIG_MAX)
		rc = err_set(e, ERR_LIMIT, "%s has %llu bytes", name, (unsigned long long)blob_size(b));
	else if (!(text = malloc((size_t)blob_size(b) + 1)))
		rc = err_set(e, ERR_NOMEM, "out of memory");
	for (; !rc && n > 0 && len < blob_size(b); len += n)
		rc = blob_pread(b, len, text + len, (size_t)blob_size(b) - len, &n, e);
	if (!rc) {
		it->config = json_loadb(text, len, 0, NULL);
		if (!json_is_object(json_object_get(it->config, "create")))
			rc = err_set(e, ERR_CORRUPT, "%s holds no configuration of a collection", name);
	}
	free(text);
	blob_close(b);
	return rc;
}

static enum err_code add_item(struct restore_job *j, struct qdrant_items *t, const char *name, struct err *e)
{
	struct qdrant_item *v = realloc(t->v, (t->nr + 1) * sizeof(*v)), *it;
	enum err_code rc;

	if (!v)
		return err_set(e, ERR_NOMEM, "out of memory");
	t->v = v;
	it = &v[t->nr++];
	*it = (struct qdrant_item){ .name = name };
	if (!qdrant_name_ok(name))
		return err_set(e, ERR_CORRUPT, "facts.json tells a collection whose name is none");
	it->target = qdrant_target(j->into, name);
	if (!it->target)
		return err_set(e, ERR_NOMEM, "out of memory");
	if (!qdrant_name_ok(it->target))
		return err_set(e, ERR_USAGE, "%s is no name for a collection: give a shorter --into", it->target);
	rc = file_of(j, name, it, e);
	return rc ? rc : read_config(j, it, e);
}

enum err_code qdrant_gather(struct restore_job *j, struct qdrant_items *t, struct err *e)
{
	json_t *items = json_object_get(j->recorded->root, "items"), *o;
	enum err_code rc = ERR_OK;
	size_t i;

	for (i = 0; i < j->nr_items; i++)
		if (!facts_item(j->recorded, "collection", j->items[i]))
			return err_set(e, ERR_NOT_FOUND, "the dump holds no collection %s: vouch ls shows those it holds",
				       j->items[i]);
	json_array_foreach(items, i, o) {
		const char *kind = json_string_value(json_object_get(o, "kind"));
		const char *name = json_string_value(json_object_get(o, "name"));

		if (!kind || strcmp(kind, "collection") != 0 || !name || !asked_for(j, name))
			continue;
		rc = add_item(j, t, name, e);
		if (rc)
			break;
	}
	return rc;
}

/* Number, sizes and distances of the vectors: with others, the server would refuse the snapshot. */
static enum err_code compare_vectors(const struct facts *recorded, struct qdrant_item *it, const json_t *info, struct err *e)
{
	static const char *const members[] = { "dimension", "distance", "vectors", "sparse" };
	json_t *then = facts_item(recorded, "collection", it->name), *now;
	struct facts found = { 0 };
	enum err_code rc;

	facts_begin(&found, "qdrant", "");
	rc = qdrant_facts(it->name, info, 0, &found, e);
	now = rc ? NULL : facts_item(&found, "collection", it->name);
	for (size_t i = 0; !rc && i < ARRAY_LEN(members); i++) {
		json_t *a = json_object_get(then, members[i]), *b = json_object_get(now, members[i]);

		it->differs = it->differs || (a || b ? !json_equal(a, b) : false);
	}
	facts_release(&found);
	return rc;
}

/* All else of its configuration: a snapshot does not bring that into a collection that is there. */
static enum err_code compare_settings(struct qdrant *q, const struct qdrant_item *it, const json_t *info, struct err *e)
{
	static const char *const of_the_snapshot[] = { "vectors", "sparse_vectors", "shard_number" };
	json_t *now = qdrant_create_body(json_object_get(info, "config")), *v;
	json_t *then = json_deep_copy(json_object_get(it->config, "create"));
	struct buf differ = BUF_INIT;
	const char *key;
	int bad = !now || !then;

	for (size_t i = 0; i < ARRAY_LEN(of_the_snapshot); i++) {
		(void)json_object_del(now, of_the_snapshot[i]);
		(void)json_object_del(then, of_the_snapshot[i]);
	}
	json_object_foreach(now, key, v)
		if (!json_object_get(then, key))
			bad |= json_object_set_new(then, key, json_null());
	json_object_foreach(then, key, v)
		if (!json_equal(v, json_object_get(now, key)))
			buf_printf(&differ, "%s%s", differ.len > 0 ? ", " : "", key);
	buf_add_u8(&differ, '\0');
	if (!bad && !differ.bad && differ.len > 1)
		component_note(q->c, "%s keeps its %s of now, which differ from the dump's: to have those, too, delete the "
			       "collection first", it->target, (const char *)differ.p);
	bad |= differ.bad;
	buf_release(&differ);
	json_decref(then);
	json_decref(now);
	return bad ? err_set(e, ERR_NOMEM, "out of memory") : ERR_OK;
}

enum err_code qdrant_look(struct qdrant *q, const struct facts *recorded, struct qdrant_items *t, struct err *e)
{
	struct qdrant_names there = { 0 };
	char version[64];
	enum err_code rc;

	rc = qdrant_wait(q, version, e);
	if (!rc)
		rc = qdrant_collections(q, QDRANT_ASK, &there, e);
	if (!rc)
		rc = qdrant_aliases(q, &t->aliases, e);
	for (size_t i = 0; !rc && i < t->nr; i++) {
		struct qdrant_item *it = &t->v[i];
		json_t *info = NULL;

		it->there = qdrant_names_have(&there, it->target);
		if (json_object_get(t->aliases, it->target))
			rc = err_set(e, ERR_EXISTS,
				     "%s is an alias at %s: a collection of that name cannot be made beside it", it->target,
				     q->url);
		if (rc || !it->there)
			continue;
		rc = qdrant_info(q, it->target, &info, e);
		if (!rc)
			rc = compare_vectors(recorded, it, info, e);
		if (!rc && !it->differs)
			rc = compare_settings(q, it, info, e);
		json_decref(info);
	}
	qdrant_names_release(&there);
	return rc;
}

enum err_code qdrant_prepare(struct component *c, struct restore_job *j, struct qdrant_items *t, struct err *e)
{
	struct qdrant *q = c->priv;
	enum err_code rc;

	rc = qdrant_gather(j, t, e);
	if (!rc)
		rc = qdrant_look(q, j->recorded, t, e);
	for (size_t i = 0; !rc && i < t->nr; i++) {
		const struct qdrant_item *it = &t->v[i];

		if (it->there && (j->into || j->temporary))
			rc = err_set(e, ERR_EXISTS, "the collection %s exists at %s: give another --into, or delete it",
				     it->target, q->url);
		else if (it->there && !qdrant_takes(q, it->target))
			rc = err_set(e, ERR_EXISTS,
				     "the collection %s exists, but no safety dump would hold it: add it to collections =",
				     it->target);
	}
	return rc;
}

enum err_code qdrant_on_read(void *ctx, void *buf, size_t len, size_t *n, struct err *e)
{
	struct qdrant_reading *r = ctx;
	enum err_code rc = blob_pread(r->b, r->off, buf, len, n, e);

	if (!rc)
		r->off += *n;
	return rc;
}

enum err_code qdrant_open_snapshot(struct restore_job *j, const struct qdrant_item *it, struct qdrant_reading *r,
				   struct err *e)
{
	char name[QDRANT_NAME_MAX + 16];
	enum err_code rc;

	(void)snprintf(name, sizeof(name), "%s.snapshot", it->name);
	rc = restore_file(j, name, &r->b, e);
	if (!rc && blob_size(r->b) != it->bytes)
		rc = err_set(e, ERR_CORRUPT, "%s has %llu bytes, %llu are recorded", name,
			     (unsigned long long)blob_size(r->b), (unsigned long long)it->bytes);
	return rc;
}

/* All of it is read, and has the SHA-256 that Qdrant gave when it made it. */
static enum err_code read_one(struct component *c, struct restore_job *j, const struct qdrant_item *it, struct err *e)
{
	struct qdrant_reading r = { 0 };
	struct digest *sum = NULL;
	void *buf = malloc(PIECE);
	struct object_id id;
	size_t n = 1;
	enum err_code rc;

	rc = buf ? qdrant_open_snapshot(j, it, &r, e) : err_set(e, ERR_NOMEM, "out of memory");
	if (!rc)
		rc = digest_open(&sum, e);
	while (!rc && n > 0) {
		if (c->cancel && atomic_load(c->cancel))
			rc = err_set(e, ERR_CANCELED, "stopped on request");
		else
			rc = qdrant_on_read(&r, buf, PIECE, &n, e);
		if (!rc)
			digest_add(sum, buf, n);
		component_progress(c, it->name, r.off, it->bytes);
	}
	if (!rc) {
		digest_finish(sum, &id);
		if (!id_eq(&id, &it->sha256))
			rc = err_set(e, ERR_CORRUPT, "%s.snapshot does not have the SHA-256 that Qdrant gave it", it->name);
	}
	digest_close(sum);
	blob_close(r.b);
	free(buf);
	return rc;
}

enum err_code qdrant_read_back(struct component *c, struct restore_job *j, struct err *e)
{
	struct qdrant_items t = { 0 };
	enum err_code rc = qdrant_gather(j, &t, e);

	for (size_t i = 0; !rc && i < t.nr; i++)
		rc = read_one(c, j, &t.v[i], e);
	qdrant_items_release(&t);
	return rc;
}

enum err_code qdrant_plan(struct component *c, struct restore_job *j, struct err *e)
{
	struct qdrant_items t = { 0 };
	char size[TEXT_LEN];
	bool any = false;
	enum err_code rc = qdrant_prepare(c, j, &t, e);

	for (size_t i = 0; !rc && i < t.nr; i++)
		any = any || t.v[i].there;
	if (any)
		component_note(c, "take a safety dump of the collections as they are now");
	for (size_t i = 0; !rc && i < t.nr; i++) {
		const struct qdrant_item *it = &t.v[i];

		component_note(c, "%s collection %s from its snapshot of %s",
			       it->differs ? "drop and make again, with other vectors," : it->there ? "overwrite" : "make",
			       it->target, text_size(it->bytes, size));
	}
	if (!rc)
		component_note(c, "put back the aliases of %zu collection%s", t.nr, t.nr == 1 ? "" : "s");
	qdrant_items_release(&t);
	return rc;
}
