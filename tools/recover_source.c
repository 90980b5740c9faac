/* SPDX-License-Identifier: MIT */
/* What is brought back: the snapshot, its facts, the chosen items; and all of it read before anything is touched. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/hex.h"
#include "store/history.h"
#include "store/tree.h"
#include "tools/recover.h"
#include "tools/text.h"

#define NEAR_MAX 6u		/* names told in a message */
#define NEAR_EDITS 3u
#define TELL_BYTES (1u << 20)	/* between two words of progress */

/* Which snapshot */

static const struct component_outcome *outcome_of(const struct snapshot *s, const char *name)
{
	for (size_t i = 0; i < s->nr_components; i++)
		if (strcmp(s->components[i].name, name) == 0)
			return &s->components[i];
	return NULL;
}

/* The newest before the end-th in which the component is whole; a safety dump is of a state that was to be left. */
static const struct snapshot *newest_of(const struct recovery *r, size_t end, const char *host)
{
	struct snapshot_filter filter = r->a->filter;
	const struct snapshot_list *l = r->list;

	filter.host = host;
	for (size_t i = end; i-- > 0;) {
		const struct component_outcome *o = outcome_of(&l->all[i], r->c->name);

		if (o && strcmp(o->status, "ok") == 0 && strcmp(o->type, r->c->ops->type) == 0 &&
		    !snapshot_is_reserved(&l->all[i]) && snapshot_passes(&l->all[i], &filter))
			return &l->all[i];
	}
	return NULL;
}

/* Another host's component of that name may be another database: it is taken where this host has none. */
static const struct snapshot *newest_good(const struct recovery *r, size_t end)
{
	const struct snapshot *s = NULL;
	char host[HOST_NAME_MAX + 1];

	if (!r->a->filter.host && gethostname(host, sizeof(host)) == 0)
		s = newest_of(r, end, host);
	return s ? s : newest_of(r, end, r->a->filter.host);
}

/* "; the newest in which it is ok is 2026-...", or nothing. */
static const char *instead(const struct recovery *r, size_t end, char out[128])
{
	const struct snapshot *s = newest_good(r, end);

	out[0] = '\0';
	if (s)
		(void)snprintf(out, 128, "; the newest whose dump of it is good: --from %.*s", SNAPSHOT_DATE_LEN, s->name);
	return out;
}

/* Two hosts that run at the same second give the same id: the component's counts, and this host's. */
static enum err_code find_own(struct recovery *r, struct err *e)
{
	struct history_runs runs = { 0 };
	enum err_code rc = history_runs_read(r->s, &runs, e);
	char host[HOST_NAME_MAX + 1] = "";

	(void)gethostname(host, sizeof(host) - 1);
	for (size_t i = 0; i < runs.nr; i++) {
		const struct history_run *h = &runs.all[i];
		const struct snapshot *s = NULL;

		if (strcmp(h->id, r->o->from) != 0 || strcmp(h->component, r->c->name) != 0 ||
		    snapshot_find(r->list, h->snapshot, NULL, &s, NULL))
			continue;
		if (!r->snapshot || strcmp(s->host, host) == 0)
			r->snapshot = s;
	}
	history_runs_release(&runs);
	return rc;
}

static enum err_code by_backup_id(struct recovery *r, struct err *e)
{
	char *snapshot = NULL, *component = NULL;
	enum err_code rc = find_own(r, e);

	if (rc || r->snapshot)
		return rc;
	rc = history_find(r->s, r->o->from, &snapshot, &component, e);

	if (!rc && strcmp(component, r->c->name) != 0)
		rc = err_set(e, ERR_USAGE, "%s is a backup of %s, not of %s", r->o->from, component, r->c->name);
	if (!rc)
		rc = snapshot_find(r->list, snapshot, NULL, &r->snapshot, e);
	free(snapshot);
	free(component);
	return rc;
}

static enum err_code find_from(struct recovery *r, struct err *e)
{
	if (history_is_id(r->o->from))
		return by_backup_id(r, e);
	return snapshot_find(r->list, r->o->from, &r->a->filter, &r->snapshot, e);
}

static enum err_code choose_snapshot(struct recovery *r, struct err *e)
{
	const struct component_outcome *o;
	char other[128];
	enum err_code rc;

	if (!r->o->from) {
		r->snapshot = newest_good(r, r->list->nr);
		return r->snapshot ? ERR_OK : err_set(e, ERR_NOT_FOUND, "no snapshot holds a good dump of it (vouch snapshots lists "
						      "them, vouch run %s makes one)", r->c->name);
	}
	rc = find_from(r, e);
	if (rc)
		return rc;
	o = outcome_of(r->snapshot, r->c->name);
	if (!o)
		return err_set(e, ERR_NOT_FOUND, "%s is not in snapshot %.*s%s", r->c->name, SNAPSHOT_DATE_LEN, r->snapshot->name,
			       instead(r, r->list->nr, other));
	if (strcmp(o->type, r->c->ops->type) != 0)
		return err_set(e, ERR_USAGE, "%s is %s in snapshot %.*s, and %s in the configuration", r->c->name, o->type,
			       SNAPSHOT_DATE_LEN, r->snapshot->name, r->c->ops->type);
	if (strcmp(o->status, "ok") != 0)
		return err_set(e, ERR_FAILED, "the dump of %s in snapshot %.*s failed (%s)%s", r->c->name, SNAPSHOT_DATE_LEN,
			       r->snapshot->name, o->detail, instead(r, r->list->nr, other));
	return ERR_OK;
}

/* Its facts */

static enum err_code read_all(struct blob *b, char *to, size_t len, struct err *e)
{
	size_t at = 0, n;
	enum err_code rc = ERR_OK;

	while (!rc && at < len) {
		rc = blob_pread(b, at, to + at, len - at, &n, e);
		if (!rc && n == 0)
			rc = err_set(e, ERR_CORRUPT, "it ends at byte %zu of %zu", at, len);
		at += rc ? 0 : n;
	}
	return rc;
}

enum err_code recover_facts(struct store *s, const struct snapshot *snap, const char *folder, struct facts *out,
			    struct err *e)
{
	struct entry_ref ref = { 0 };
	struct blob *b = NULL;
	char path[1024], *text = NULL;
	enum err_code rc;

	if (snprintf(path, sizeof(path), "%s/facts.json", folder) >= (int)sizeof(path))
		return err_set(e, ERR_LIMIT, "%s is too long a name", folder);
	rc = tree_path(s, &snap->root, path, &ref, e);
	if (!rc && ref.e.type != ENTRY_FILE)
		rc = err_set(e, ERR_CORRUPT, "it is no file");
	if (!rc && ref.e.size > FACTS_TEXT_MAX)
		rc = err_set(e, ERR_CORRUPT, "%llu bytes are too many", (unsigned long long)ref.e.size);
	if (!rc)
		rc = blob_open(s, &ref.e, &b, e);
	if (!rc) {
		text = malloc((size_t)ref.e.size + 1);
		rc = text ? read_all(b, text, (size_t)ref.e.size, e) : err_set(e, ERR_NOMEM, "its text");
	}
	if (!rc)
		rc = facts_parse(text, (size_t)ref.e.size, out, e);
	if (rc)
		err_prefix(e, "%s of snapshot %.*s", path, SNAPSHOT_DATE_LEN, snap->name);
	free(text);
	blob_close(b);
	entry_ref_release(s, &ref);
	return rc;
}

/* The chosen items */

static bool ends_in(const char *full, const char *name)
{
	size_t a = strlen(full), b = strlen(name);

	return a > b && full[a - b - 1] == '.' && strcmp(full + a - b, name) == 0;
}

/* Every name of the type's kind of item, in turn: NULL at the end. */
static const char *item_name(const struct recovery *r, size_t *i)
{
	const json_t *items = json_object_get(r->recorded.root, "items"), *v;

	while ((v = json_array_get(items, (*i)++)))
		if (strcmp(json_string_value(json_object_get(v, "kind")), r->c->ops->item_kind) == 0)
			return json_string_value(json_object_get(v, "name"));
	return NULL;
}

static enum err_code no_such_item(const struct recovery *r, const char *name, struct err *e)
{
	struct buf near = BUF_INIT;
	const char *full;
	size_t nr = 0, i = 0;
	enum err_code rc;

	while (nr < NEAR_MAX && (full = item_name(r, &i))) {
		const char *dot = strrchr(full, '.');

		if (!ends_in(full, name) && text_distance(full, name) > NEAR_EDITS &&
		    !(dot && text_distance(dot + 1, name) <= NEAR_EDITS) && !strstr(full, name))
			continue;
		buf_add_str(&near, nr++ ? ", " : "; near: ");
		buf_add_str(&near, full);
	}
	buf_add_u8(&near, '\0');
	rc = err_set(e, ERR_NOT_FOUND, "no %s %s is in the dump of %s in snapshot %.*s%s; nothing was touched",
		     r->c->ops->item_kind, name, r->c->name, SNAPSHOT_DATE_LEN, r->snapshot->name,
		     near.bad ? "" : (const char *)near.p);
	buf_release(&near);
	return rc;
}

/* "orders" is enough where one schema only has it. */
static enum err_code take_item(struct recovery *r, const char *name, struct err *e)
{
	const char *full, *found = NULL;
	size_t i = 0, nr = 0;

	if (facts_item(&r->recorded, r->c->ops->item_kind, name)) {
		found = name;
		nr = 1;
	}
	while (!facts_item(&r->recorded, r->c->ops->item_kind, name) && (full = item_name(r, &i))) {
		if (ends_in(full, name)) {
			found = full;
			nr++;
		}
	}
	if (nr != 1)
		return no_such_item(r, name, e);
	for (i = 0; i < r->items.nr; i++)
		if (strcmp(r->items.v[i], found) == 0)
			return ERR_OK;
	strings_add(&r->items, found, SIZE_MAX);
	return r->items.bad ? err_set(e, ERR_NOMEM, "items of %s", r->c->name) : ERR_OK;
}

static enum err_code check_selector(const struct recovery *r, struct err *e)
{
	const char *right = r->c->ops->selector;

	if (!r->o->selector || (right && strcmp(r->o->selector, right) == 0))
		return ERR_OK;
	if (!right)
		return err_set(e, ERR_USAGE, "%s is %s: it comes back as a whole, without --%s", r->c->name, r->c->ops->type,
			       r->o->selector);
	return err_set(e, ERR_USAGE, "%s is %s, of which --%s names a part, not --%s", r->c->name, r->c->ops->type, right,
		       r->o->selector);
}

static enum err_code not_whole(const struct recovery *r, struct err *e)
{
	struct err was = *e;
	char other[128];

	return err_set(e, was.code, "the dump of %s cannot be restored, and nothing was touched: %s%s", r->c->name, was.msg,
		       instead(r, (size_t)(r->snapshot - r->list->all), other));
}

static struct restore_job job_of(const struct recovery *r)
{
	return (struct restore_job){
		.store = r->s, .snapshot = r->snapshot, .folder = r->folder, .recorded = &r->recorded, .into = r->o->into,
		.items = (const char *const *)r->items.v, .nr_items = r->items.nr, .jobs = r->a->jobs, .heal = true,
		.cancel = r->c->cancel,
	};
}

enum err_code recovery_open(struct recovery *r, struct app *a, struct store *s, struct component *c,
			    const struct snapshot_list *l, const struct recover_options *o, struct err *e)
{
	enum err_code rc;

	*r = (struct recovery){ .a = a, .s = s, .c = c, .o = o, .list = l };
	rc = check_selector(r, e);
	/* Looking needs no lock: nothing is changed. */
	if (!rc && !o->dry_run)
		rc = lock_take(store_id_text(s), c->name, a->command->name, &r->lock, e);
	if (!rc)
		rc = choose_snapshot(r, e);
	if (!rc && asprintf(&r->folder, "%s/%s", c->ops->type, c->name) < 0) {
		r->folder = NULL;
		rc = err_set(e, ERR_NOMEM, "%s", c->name);
	}
	if (!rc) {
		rc = recover_facts(s, r->snapshot, r->folder, &r->recorded, e);
		rc = rc ? not_whole(r, e) : rc;
	}
	for (size_t i = 0; !rc && i < o->nr_items; i++)
		rc = take_item(r, o->items[i], e);
	if (!rc)
		r->job = job_of(r);
	return rc;
}

static enum err_code take_dump(struct recovery *r, struct err *e)
{
	for (size_t i = 0; i < r->list->nr; i++)
		if (strcmp(r->list->all[i].name, r->way->snapshot) == 0)
			r->snapshot = &r->list->all[i];
	for (size_t i = 0; i < r->list->nr_bad; i++)
		if (strcmp(r->list->bad[i], r->way->snapshot) == 0)
			return err_set(e, ERR_CORRUPT, "the record of the safety dump %s is damaged; run 'vouch repair'",
				       r->way->snapshot);
	if (!r->snapshot)
		return err_set(e, ERR_NOT_FOUND, "the safety dump %s is not there any more", r->way->snapshot);
	return recover_facts(r->s, r->snapshot, r->folder, &r->recorded, e);
}

enum err_code recovery_open_way(struct recovery *r, struct app *a, struct store *s, struct component *c,
				const struct snapshot_list *l, const struct recover_options *o, const struct way *way,
				struct err *e)
{
	enum err_code rc = ERR_OK;
	const json_t *item;
	size_t i;

	*r = (struct recovery){ .a = a, .s = s, .c = c, .o = o, .list = l, .way = way };
	if (asprintf(&r->folder, "%s/%s", c->ops->type, c->name) < 0) {
		r->folder = NULL;
		rc = err_set(e, ERR_NOMEM, "%s", c->name);
	}
	json_array_foreach(way->items, i, item)
		if (json_is_string(item))
			strings_add(&r->items, json_string_value(item), SIZE_MAX);
	if (!rc && r->items.bad)
		rc = err_set(e, ERR_NOMEM, "items of %s", c->name);
	if (!rc && *way->snapshot)
		rc = take_dump(r, e);
	if (!rc)
		r->job = job_of(r);
	return rc;
}

void recovery_close(struct recovery *r)
{
	json_decref(r->job.way_back);
	facts_release(&r->recorded);
	facts_release(&r->before);
	facts_release(&r->found);
	strings_release(&r->items);
	free(r->folder);
	lock_release(r->lock);
	*r = (struct recovery){ 0 };
}

/* All of it, read */

struct reading {
	struct recovery *r;
	uint64_t done, total, told;
};

static enum err_code count_piece(void *ctx, uint64_t off, const uint8_t *data, uint64_t len, struct err *e)
{
	struct reading *g = ctx;

	(void)off;
	(void)data;
	g->done += len;
	if (g->done - g->told >= TELL_BYTES || g->done == g->total) {
		g->told = g->done;
		component_progress(g->r->c, "read back", g->done, g->total);
	}
	if (atomic_load(g->r->o->cancel))
		return err_set(e, ERR_FAILED, "interrupted");
	return ERR_OK;
}

static enum err_code read_file(struct reading *g, const json_t *file, struct err *e)
{
	const char *name = json_string_value(json_object_get(file, "name"));
	const char *bytes = json_string_value(json_object_get(file, "bytes"));
	const char *sha256 = json_string_value(json_object_get(file, "sha256"));
	struct entry_ref ref = { 0 };
	struct object_id want, have;
	struct blob *b = NULL;
	char path[4096];
	enum err_code rc;

	if (!name || !bytes || !sha256 || !id_parse(sha256, &want) ||
	    snprintf(path, sizeof(path), "%s/%s", g->r->folder, name) >= (int)sizeof(path))
		return err_set(e, ERR_CORRUPT, "%s/facts.json: a file without name, bytes or digest", g->r->folder);
	rc = tree_path(g->r->s, &g->r->snapshot->root, path, &ref, e);
	if (rc == ERR_NOT_FOUND)
		rc = err_set(e, ERR_CORRUPT, "facts.json names it, but it is not there");
	if (!rc && (ref.e.type != ENTRY_FILE || ref.e.size != strtoull(bytes, NULL, 10) ||
		    (entry_sha256(&ref.e, &have) && !id_eq(&have, &want))))
		rc = err_set(e, ERR_CORRUPT, "it is not the file that facts.json names");
	if (!rc)
		rc = blob_open(g->r->s, &ref.e, &b, e);
	if (!rc)
		rc = blob_each(b, 0, count_piece, g, e);
	if (rc)
		err_prefix(e, "%s of snapshot %.*s", path, SNAPSHOT_DATE_LEN, g->r->snapshot->name);
	blob_close(b);
	entry_ref_release(g->r->s, &ref);
	return rc;
}

enum err_code recovery_read(struct recovery *r, struct err *e)
{
	const json_t *files = json_object_get(r->recorded.root, "files"), *f;
	struct reading g = { .r = r };
	struct recover_stage stage;
	enum err_code rc = ERR_OK;
	size_t i;

	if (!r->snapshot)
		return ERR_OK;
	json_array_foreach(files, i, f) {
		const char *bytes = json_string_value(json_object_get(f, "bytes"));

		g.total += bytes ? strtoull(bytes, NULL, 10) : 0;
	}
	json_array_foreach(files, i, f) {
		rc = read_file(&g, f, e);
		if (rc)
			break;
	}
	if (rc && atomic_load(r->o->cancel))
		return err_set(e, ERR_CANCELED, "interrupted");
	recover_stage_begin(&stage, r->c, "read back");
	if (!rc && r->c->ops->read_back)
		rc = r->c->ops->read_back(r->c, &r->job, e);
	recover_stage_end(&stage);
	return rc && rc != ERR_CANCELED ? not_whole(r, e) : rc;
}
