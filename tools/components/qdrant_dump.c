/* SPDX-License-Identifier: MIT */
/*
 * One collection after the other: the server makes a snapshot, it is streamed into the store under the server's own
 * checksum, and deleted on the server on every path out once its name is known.  Two snapshots of one collection in one
 * second have one name, and the second takes the first one's place without a word: its checksum then is another, which is
 * told apart from damage by asking for the list again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/digest.h"
#include "store/base/hex.h"
#include "tools/components/qdrant.h"
#include "tools/text.h"

struct fetch {
	struct component *c;
	struct assembly_file *to;
	struct digest *sum;
	uint64_t got, size;
	const char *stage;
};

static enum err_code on_piece(void *ctx, const void *buf, size_t len, struct err *e)
{
	struct fetch *f = ctx;
	enum err_code rc;

	if (len > f->size - f->got)
		return err_set(e, ERR_FAILED, "longer than the %llu bytes that were announced",
			       (unsigned long long)f->size);
	digest_add(f->sum, buf, len);
	f->got += len;
	rc = dump_write(f->to, buf, len, e);
	component_progress(f->c, f->stage, f->got, f->size);
	return rc;
}

static enum err_code judge(const struct fetch *f, const struct qdrant_snapshot *s, struct err *e)
{
	char want[ID_HEX_LEN + 1], have[ID_HEX_LEN + 1];
	struct object_id id;

	digest_finish(f->sum, &id);
	if (f->got != s->size)
		return err_set(e, ERR_FAILED, "cut short: %llu bytes of %llu", (unsigned long long)f->got,
			       (unsigned long long)s->size);
	if (s->has_sha256 && !id_eq(&id, &s->sha256))
		return err_set(e, ERR_FAILED, "what came has the SHA-256 %.16s.., the server says %.16s..",
			       id_hex(&id, have), id_hex(&s->sha256, want));
	return ERR_OK;
}

/* Stream it into the store. */
static enum err_code fetch(struct qdrant *q, const char *collection, const struct qdrant_snapshot *s,
			   struct assembly_file *to, struct err *e)
{
	struct fetch f = { .c = q->c, .to = to, .size = s->size, .stage = collection };
	struct http_request r = { .method = "GET", .write = on_piece, .ctx = &f };
	struct http_answer a = { 0 };
	struct buf path = BUF_INIT;
	json_t *none = NULL;
	enum err_code rc;

	qdrant_snapshot_path(&path, collection, s->name);
	rc = path.bad ? err_set(e, ERR_NOMEM, "out of memory") : digest_open(&f.sum, e);
	if (rc)
		goto out;
	r.path = (const char *)path.p;
	rc = http_do(q->http, &r, &a, e);
	q->status = a.status;
	if (!rc && a.status != 200)
		rc = qdrant_parse(a.status, (const char *)a.body.p, a.body.len, &none, e);
	if (!rc && a.status != 200)
		rc = err_set(e, ERR_FAILED, "answered %ld", a.status);
	if (!rc)
		rc = judge(&f, s, e);
	rc = qdrant_tell(q, rc, "GET", r.path, e);
out:
	json_decref(none);
	digest_close(f.sum);
	http_answer_release(&a);
	buf_release(&path);
	return rc;
}

/* What the server now has under the name of ours: another checksum is somebody else's snapshot of the same second. */
static bool is_ours(struct qdrant *q, const char *collection, const struct qdrant_snapshot *s)
{
	struct qdrant_snapshot now;
	bool ours = true;
	json_t *list = NULL, *o;
	size_t i;

	if (!s->has_sha256 || qdrant_snapshots(q, QDRANT_ASK, collection, &list, NULL))
		return true;
	json_array_foreach(list, i, o) {
		if (qdrant_parse_snapshot(o, &now, NULL) == ERR_OK && strcmp(now.name, s->name) == 0)
			ours = !now.has_sha256 || id_eq(&now.sha256, &s->sha256);
	}
	json_decref(list);
	return ours;
}

static void delete_snapshot(struct qdrant *q, const char *collection, const char *name)
{
	struct err e = ERR_INIT;

	if (qdrant_delete_snapshot(q, collection, name, &e))
		component_note(q->c, "the snapshot %s stays on the server, delete it there: %s", name, e.msg);
}

/* Ask for a snapshot; *taken: it has the name of one that was there before, made in the same second. */
static enum err_code make_snapshot(struct qdrant *q, const char *collection, struct qdrant_snapshot *s, bool *taken,
				   struct err *e)
{
	struct qdrant_names before = { 0 };
	json_t *r = NULL, *list = NULL;
	enum err_code rc;

	rc = qdrant_snapshots(q, QDRANT_ASK, collection, &list, e);
	if (!rc)
		rc = qdrant_parse_names(list, "name", &before, e);
	if (!rc) {
		rc = qdrant_do(q, QDRANT_WORK, "POST", collection, "/snapshots?wait=true", NULL, &r, e);
		/* Its name is not known, nor whether it will be there */
		if (rc && q->status == 0)
			component_note(q->c, "%s: the server may still finish the snapshot that it was asked for: it then "
				       "stays there, delete it", collection);
	}
	if (!rc)
		rc = qdrant_parse_snapshot(r, s, e);
	if (!rc)
		*taken = qdrant_names_have(&before, s->name);
	if (!rc && *taken)
		component_note(q->c, "the snapshot %s took the place of one of the same second, and stays on the server",
			       s->name);
	if (!rc && !s->has_sha256)
		component_note(q->c, "%s: this server gives no checksum: only its length is checked", collection);
	qdrant_names_release(&before);
	json_decref(list);
	json_decref(r);
	return rc;
}

/* points: as counted in the snapshot itself, where that is wanted. */
static enum err_code save_snapshot(struct qdrant *q, struct dump *d, const char *collection, const json_t *create,
				   bool *replaced, uint64_t *points, struct err *e)
{
	struct assembly_file *to = NULL;
	struct qdrant_snapshot s;
	struct buf name = BUF_INIT;
	bool made = false, taken = false;
	enum err_code rc;

	buf_printf(&name, "%s.snapshot", collection);
	buf_add_u8(&name, '\0');
	if (name.bad)
		return err_set(e, ERR_NOMEM, "out of memory");
	rc = dump_file_open(d, (const char *)name.p, &to, e);
	if (rc)
		goto out;
	rc = make_snapshot(q, collection, &s, &taken, e);
	made = rc == ERR_OK;
	if (!rc)
		rc = fetch(q, collection, &s, to, e);
	if (rc && made && !is_ours(q, collection, &s)) {
		*replaced = true;
		made = false;
	}
	if (!rc && q->verify_counts)
		rc = qdrant_verify_count(q, collection, &s, create, points, e);
	if (!rc) {
		rc = dump_file_close(d, (const char *)name.p, to, e);
		to = NULL;
	}
out:
	assembly_file_drop(to);
	if (made && !taken)
		delete_snapshot(q, collection, s.name);
	buf_release(&name);
	return rc;
}

static enum err_code save_json(struct dump *d, const char *collection, const char *suffix, const json_t *v, struct err *e)
{
	char *text = v ? json_dumps(v, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
	struct assembly_file *to = NULL;
	struct buf name = BUF_INIT;
	enum err_code rc;

	buf_printf(&name, "%s%s", collection, suffix);
	buf_add_u8(&name, '\0');
	rc = !text || name.bad ? err_set(e, ERR_NOMEM, "out of memory") : dump_file_open(d, (const char *)name.p, &to, e);
	if (!rc)
		rc = dump_write(to, text, strlen(text), e);
	if (!rc)
		rc = dump_write(to, "\n", 1, e);
	if (!rc) {
		rc = dump_file_close(d, (const char *)name.p, to, e);
		to = NULL;
	}
	assembly_file_drop(to);
	free(text);
	buf_release(&name);
	return rc;
}

static enum err_code save_collection(struct qdrant *q, struct dump *d, const char *collection, const json_t *info,
				     uint64_t *points, struct err *e)
{
	json_t *config = json_object_get(info, "config"), *create = qdrant_create_body(config);
	json_t *indexes = qdrant_indexes(json_object_get(info, "payload_schema")), *whole = NULL;
	bool replaced = false;
	enum err_code rc;

	if (!create || !indexes) {
		rc = err_set(e, ERR_FAILED, "its configuration is not one");
		goto out;
	}
	rc = save_snapshot(q, d, collection, create, &replaced, points, e);
	if (rc && replaced) {
		component_note(q->c, "%s: another snapshot was made in the same second and took ours' place: again",
			       collection);
		if (!component_pause(q->c, 1100)) {
			rc = err_set(e, ERR_CANCELED, "stopped on request");
			goto out;
		}
		err_clear(e);
		rc = save_snapshot(q, d, collection, create, &replaced, points, e);
	}
	if (rc)
		goto out;
	whole = json_pack("{s:O, s:O, s:O}", "create", create, "indexes", indexes, "config", config);
	rc = save_json(d, collection, ".config.json", whole, e);
out:
	json_decref(whole);
	json_decref(indexes);
	json_decref(create);
	return rc;
}

/* The count is exact where nobody writes: the same before and after. */
static enum err_code take_collection(struct qdrant *q, struct dump *d, const char *collection, const char *as, struct err *e)
{
	uint64_t before = 0, after = 0, points = UINT64_MAX;
	json_t *info = NULL;
	enum err_code rc;

	rc = qdrant_info(q, collection, &info, e);
	if (!rc)
		rc = qdrant_count(q, collection, &before, e);
	if (!rc && d->to) {
		rc = qdrant_here(q, collection, e);
		if (!rc && qdrant_has_shard_keys(info))
			component_note(q->c, "%s: " QDRANT_SHARD_KEYS, collection);
		if (!rc)
			rc = save_collection(q, d, collection, info, &points, e);
		if (!rc)
			rc = qdrant_count(q, collection, &after, e);
		if (!rc && points == 0 && before > 0 && after > 0)
			rc = err_set(e, ERR_FAILED, "its snapshot was loaded, and held no point; the collection has %llu",
				     (unsigned long long)after);
	}
	if (!rc)
		rc = qdrant_facts(as, info, points != UINT64_MAX ? points : before, d->facts, e);
	if (!rc && d->to && points == UINT64_MAX && after != before) {
		facts_moving(d->facts, "collection", as);
		component_note(q->c,
			       "%s: %llu points before the snapshot, %llu after: set verify-counts, or hold the writers",
			       collection, (unsigned long long)before, (unsigned long long)after);
	}
	json_decref(info);
	if (rc)
		err_prefix(e, "collection %s", collection);
	return rc;
}

/* Those of the collections that were taken; into: without its prefix. */
static enum err_code take_aliases(struct qdrant *q, const struct qdrant_names *names, const char *into, struct facts *f,
				  json_t *manifest, struct err *e)
{
	size_t skip = into ? strlen(into) + 1 : 0;
	json_t *aliases = NULL, *v;
	const char *alias;
	enum err_code rc;

	rc = qdrant_aliases(q, &aliases, e);
	if (rc)
		return rc;
	json_object_foreach(aliases, alias, v) {
		const char *collection = json_string_value(v);

		if (!qdrant_names_have(names, collection))
			continue;
		if (into && (strncmp(alias, into, skip - 1) != 0 || alias[skip - 1] != '_'))
			continue;
		facts_is(f, "alias", alias + skip, collection + skip);
		rc = qdrant_belongs(f, "alias", alias + skip, collection + skip, e);
		if (!rc && json_object_set(manifest, alias, v))
			rc = err_set(e, ERR_NOMEM, "out of memory");
		if (rc)
			break;
	}
	json_decref(aliases);
	return rc;
}

/* What the collections file holds of one: as facts.json tells its snapshot. */
static bool add_to_manifest(json_t *list, const struct facts *f, const char *collection)
{
	json_t *points = json_object_get(facts_item(f, "collection", collection), "rows");
	json_t *files = json_object_get(f->root, "files"), *o;
	struct buf name = BUF_INIT;
	bool ok = false;
	size_t i;

	buf_printf(&name, "%s.snapshot", collection);
	buf_add_u8(&name, '\0');
	json_array_foreach(files, i, o) {
		const char *is = json_string_value(json_object_get(o, "name"));
		json_t *one;

		if (name.bad || !is || strcmp(is, (const char *)name.p) != 0)
			continue;
		one = json_pack("{s:s, s:O, s:O, s:O?}", "name", collection, "bytes", json_object_get(o, "bytes"), "sha256",
				json_object_get(o, "sha256"), "points", points);
		ok = json_array_append_new(list, one) == 0;
	}
	buf_release(&name);
	return ok;
}

/* names: as on the server. */
static enum err_code take_all(struct qdrant *q, struct dump *d, const struct qdrant_names *names, const char *into,
			      struct err *e)
{
	size_t skip = into ? strlen(into) + 1 : 0;
	json_t *list = json_array(), *aliases = json_object(), *manifest = NULL;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < names->nr; i++) {
		rc = take_collection(q, d, names->v[i], names->v[i] + skip, e);
		if (!rc && d->to && !add_to_manifest(list, d->facts, names->v[i]))
			rc = err_set(e, ERR_NOMEM, "out of memory");
	}
	if (!rc)
		rc = take_aliases(q, names, into, d->facts, aliases, e);
	if (!rc && d->to) {
		manifest = json_pack("{s:O, s:O}", "aliases", aliases, "collections", list);
		rc = save_json(d, "collections", ".json", manifest, e);
	}
	json_decref(manifest);
	json_decref(aliases);
	json_decref(list);
	return rc;
}

enum err_code qdrant_dump(struct component *c, struct dump *d, struct err *e)
{
	struct qdrant_names names = { 0 };
	struct qdrant *q = c->priv;
	char version[64];
	enum err_code rc;

	rc = qdrant_wait(q, version, e);
	if (rc)
		return rc;
	facts_set(d->facts, "server", version);
	facts_set_in(d->facts, "settings", "url", q->url);
	rc = qdrant_chosen(q, &names, e);
	if (!rc && names.nr == 0)
		component_note(c, "there is no collection at %s", q->url);
	if (!rc)
		rc = take_all(q, d, &names, NULL, e);
	qdrant_names_release(&names);
	return rc;
}

enum err_code qdrant_inspect(struct component *c, const char *into, struct facts *out, struct err *e)
{
	struct dump look = { .facts = out };
	struct qdrant_names there = { 0 }, names = { 0 };
	struct qdrant *q = c->priv;
	size_t len = into ? strlen(into) : 0;
	char version[64];
	enum err_code rc;

	if (!into) {
		q->may_lack = true;	/* it then is not among what was found */
		rc = qdrant_dump(c, &look, e);
		q->may_lack = false;
		return rc;
	}
	rc = qdrant_wait(q, version, e);
	if (rc)
		return rc;
	facts_set(out, "server", version);
	rc = qdrant_collections(q, QDRANT_ASK, &there, e);
	for (size_t i = 0; !rc && i < there.nr; i++)
		if (strncmp(there.v[i], into, len) == 0 && there.v[i][len] == '_' && there.v[i][len + 1] != '\0' &&
		    !qdrant_names_add(&names, there.v[i]))
			rc = err_set(e, ERR_NOMEM, "out of memory");
	if (!rc)
		rc = take_all(q, &look, &names, into, e);
	qdrant_names_release(&there);
	qdrant_names_release(&names);
	return rc;
}
