/* SPDX-License-Identifier: MIT */
#include "fs/versions.h"

#include <stdlib.h>
#include <string.h>

/* Where the last probe went: a snapshot in which one of these folders is met at the same depth ends the same way. */
struct probe {
	struct fs *fs;
	const char *path;
	size_t len;
	struct buf dirs;		/* struct object_id each */
	bool valid, found;
	struct version_key key;
};

static uint64_t hash(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ b[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* In the place of a digest, where there is none: different enough for what is told apart by its mtime too. */
static void put_hash(struct object_id *id, const void *p, size_t len, uint64_t more)
{
	uint64_t h[2] = { hash(p, len), more };

	memcpy(id->b, h, sizeof(h));
}

static void key_of(const struct entry *ent, struct version_key *k)
{
	*k = (struct version_key){ .type = ent->type };
	if (ent->type == ENTRY_DIR) {
		k->content = ent->node;
		return;
	}
	k->mtime = ent->mtime;
	if (ent->type == ENTRY_SYMLINK)
		put_hash(&k->content, ent->target, ent->target_len, 0);
	else if (ent->type != ENTRY_FILE)
		put_hash(&k->content, "", 0, (uint64_t)ent->rdev_major << 32 | ent->rdev_minor);
	else if (!entry_sha256(ent, &k->content) && ent->content == CONTENT_NODE)
		k->content = ent->node;
	else if (!(ent->flags & ENTRY_HAS_SHA256) && ent->content == CONTENT_LIST)
		put_hash(&k->content, ent->content_p, ent->content_len, ent->size);
}

static bool same_key(const struct version_key *a, const struct version_key *b)
{
	return a->type == b->type && id_eq(&a->content, &b->content) &&
	       a->mtime.sec == b->mtime.sec && a->mtime.nsec == b->mtime.nsec;
}

/* Whether the folder at this depth is the one that the last probe met there; else it is noted. */
static bool met_before(struct probe *p, size_t depth, const struct object_id *dir)
{
	size_t at = depth * sizeof(*dir);
	bool known = at + sizeof(*dir) <= p->dirs.len;

	if (known && p->valid && memcmp(p->dirs.p + at, dir, sizeof(*dir)) == 0)
		return true;
	if (known)
		memcpy(p->dirs.p + at, dir, sizeof(*dir));
	else
		buf_add(&p->dirs, dir, sizeof(*dir));
	return false;
}

/* The path in the snapshot: p->found, and p->key. */
static enum err_code probe(struct probe *p, const struct snap *s, struct err *e)
{
	const char *part = p->path, *end = p->path + p->len;
	struct entry_ref at = { 0 }, next;
	enum err_code rc = tree_root(p->fs->store, &s->root, &at, e);
	size_t depth = 0;
	bool found = true;

	for (; !rc && found && part < end; depth++) {
		const char *slash = memchr(part, '/', (size_t)(end - part));
		size_t len = (size_t)((slash ? slash : end) - part);

		found = at.e.type == ENTRY_DIR;
		if (!found)
			break;
		if (met_before(p, depth, &at.e.node)) {
			entry_ref_release(p->fs->store, &at);
			return ERR_OK;
		}
		rc = tree_lookup(p->fs->store, &at.e.node, part, len, &next, e);
		if (rc == ERR_NOT_FOUND) {
			rc = ERR_OK;
			found = false;
		} else if (!rc) {
			entry_ref_release(p->fs->store, &at);
			at = next;
			part += len + (slash != NULL);
		}
	}
	p->dirs.len = rc ? 0 : depth * sizeof(struct object_id);
	p->valid = !rc && !p->dirs.bad;
	if (p->dirs.bad)
		buf_release(&p->dirs);	/* it only saves time */
	p->found = found;
	if (!rc && found)
		key_of(&at.e, &p->key);
	entry_ref_release(p->fs->store, &at);
	return rc;
}

static void tell(struct probe *p, const struct snap *s, const struct err *e)
{
	struct buf path = BUF_INIT;

	if (log_seen_lately(p->fs->log, hash(e->msg, strlen(e->msg)) + s->slot))
		return;
	buf_printf(&path, "%s/", s->name);
	buf_add(&path, p->path, p->len);
	buf_add_u8(&path, '\0');
	log_damage(p->fs->log, "versions", path.bad ? "?" : (const char *)path.p, e);
	buf_release(&path);
}

static int by_time(const void *a, const void *b)
{
	const struct snap *x = *(const struct snap *const *)a, *y = *(const struct snap *const *)b;

	return snap_order(x, y);
}

/* The snapshots that are there, by time; the caller frees *out. */
static enum err_code in_order(const struct snap_list *l, const struct snap ***out, struct err *e)
{
	const struct snap **all = calloc(l->nr_live ? l->nr_live : 1, sizeof(const struct snap *));

	if (!all)
		return err_set(e, ERR_NOMEM, "%zu snapshots", l->nr_live);
	for (size_t i = 0; i < l->nr_live; i++)
		all[i] = &l->all[l->by_name[i]];
	qsort(all, l->nr_live, sizeof(const struct snap *), by_time);
	*out = all;
	return ERR_OK;
}

static void add_version(struct version_list *v, const struct snap *s,
			const struct version_key *key)
{
	struct version *to = &v->all[v->nr];

	/* From the newest back: what did not change is found at once. */
	for (size_t i = v->nr; i-- > 0;)
		if (same_key(&v->all[i].key, key))
			return;
	to->slot = s->slot;
	to->taken = s->time;
	to->key = *key;
	memcpy(to->shown, s->shown, sizeof(to->shown));
	v->nr++;
}

enum err_code versions_list(struct fs *fs, const char *path, size_t len,
			    struct version_list **out, struct err *e)
{
	struct probe p = { .fs = fs, .path = path, .len = len };
	struct version_list *v = calloc(1, sizeof(*v));
	const struct snap **order = NULL;
	struct err err = ERR_INIT;
	enum err_code rc = ERR_OK;

	if (!v)
		return err_set(e, ERR_NOMEM, "versions");
	v->snaps = snaps_get(fs->snaps);
	v->refs = 1;
	buf_add(&v->path, path, len);
	v->all = calloc(v->snaps->nr_live ? v->snaps->nr_live : 1, sizeof(*v->all));
	if (!v->all || v->path.bad)
		rc = err_set(e, ERR_NOMEM, "versions of %zu snapshots", v->snaps->nr_live);
	if (!rc)
		rc = in_order(v->snaps, &order, e);
	for (size_t i = 0; !rc && i < v->snaps->nr_live; i++) {
		err_clear(&err);
		if (probe(&p, order[i], &err))
			tell(&p, order[i], &err);
		else if (p.found)
			add_version(v, order[i], &p.key);
	}
	free(order);
	buf_release(&p.dirs);
	if (rc) {
		versions_list_free(v);
		return rc;
	}
	*out = v;
	return ERR_OK;
}

void versions_list_free(struct version_list *l)
{
	if (!l)
		return;
	buf_release(&l->path);
	snaps_put(l->snaps);
	free(l->all);
	free(l);
}

enum err_code versions_exist(struct fs *fs, const char *path, size_t len, bool *out,
			     struct err *e)
{
	struct probe p = { .fs = fs, .path = path, .len = len };
	const struct snap_list *l = snaps_get(fs->snaps);
	const struct snap **order = NULL;
	enum err_code rc = in_order(l, &order, e), bad = ERR_OK;
	struct err err = ERR_INIT;
	bool found = false;

	for (size_t i = rc ? 0 : l->nr_live; i-- > 0 && !found;) {
		err_clear(&err);
		if (!probe(&p, order[i], &err)) {
			found = p.found;
		} else if (!bad) {
			bad = err.code;
			if (e)
				*e = err;
		}
	}
	free(order);
	buf_release(&p.dirs);
	snaps_put(l);
	if (rc || (bad && !found))
		return rc ? rc : bad;
	*out = found;
	return ERR_OK;
}
