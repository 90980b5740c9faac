/* SPDX-License-Identifier: MIT */
#include "fs/nodes.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "store/base/checked.h"
#include "store/base/must.h"

/* 16 shards of 64 sets of 8: 8192 facts, 1.1 MB.  A set is small enough to be searched, its oldest replaced. */
#define SHARDS	16u
#define SETS	64u
#define WAYS	8u

struct way {
	struct facts f;		/* nodeid 0: empty */
	uint32_t used;		/* the shard's clock when last asked for */
};

struct shard {
	pthread_mutex_t mutex;
	uint32_t clock;		/* mutex, as all here */
	struct way ways[SETS][WAYS];
};

struct nodes {
	struct shard shards[SHARDS];
};

enum err_code nodes_open(struct nodes **out, struct err *e)
{
	struct nodes *n = calloc(1, sizeof(*n));

	if (!n)
		return err_set(e, ERR_NOMEM, "node cache");
	for (size_t i = 0; i < SHARDS; i++)
		must(pthread_mutex_init(&n->shards[i].mutex, NULL));
	*out = n;
	return ERR_OK;
}

void nodes_close(struct nodes *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < SHARDS; i++)
		must(pthread_mutex_destroy(&n->shards[i].mutex));
	free(n);
}

/* Neighbouring numbers must not share a set; the constant is 2^64 divided by the golden ratio. */
static struct way *set_of(struct nodes *n, uint64_t nodeid, struct shard **shard)
{
	uint64_t h = nodeid * UINT64_C(0x9e3779b97f4a7c15) >> 32;

	*shard = &n->shards[h % SHARDS];
	return (*shard)->ways[h / SHARDS % SETS];
}

bool nodes_get(struct nodes *n, uint64_t nodeid, struct facts *out)
{
	struct shard *s;
	struct way *w = set_of(n, nodeid, &s);
	bool found = false;

	must(pthread_mutex_lock(&s->mutex));
	for (size_t i = 0; i < WAYS && !found; i++) {
		if (w[i].f.nodeid != nodeid)
			continue;
		w[i].used = ++s->clock;
		*out = w[i].f;
		found = true;
	}
	must(pthread_mutex_unlock(&s->mutex));
	return found;
}

void nodes_put(struct nodes *n, const struct facts *f)
{
	struct shard *s;
	struct way *w = set_of(n, f->nodeid, &s), *to = w;

	must(pthread_mutex_lock(&s->mutex));
	for (size_t i = 0; i < WAYS; i++) {
		if (w[i].f.nodeid == f->nodeid) {
			to = &w[i];
			break;
		}
		if (s->clock - w[i].used > s->clock - to->used)
			to = &w[i];
	}
	to->f = *f;
	to->used = ++s->clock;
	must(pthread_mutex_unlock(&s->mutex));
}

static enum err_code err_errno(struct err *e, enum err_code code, int sys, const char *what)
{
	(void)err_set(e, code, "%s", what);
	e->sys = sys;
	return code;
}

static enum err_code misnumbered(struct err *e, const struct entry_ref *r)
{
	return err_set(e, ERR_CORRUPT, "%.*s: its number is not within its folder's",
		       (int)r->e.name_len, r->e.name);
}

static bool sum_totals(const struct totals *t, uint64_t *out)
{
	return !add_u64(t->files, t->dirs, out) && !add_u64(*out, t->others, out);
}

enum err_code facts_of(const struct facts *dir, const struct entry_ref *r, struct facts *out,
		       struct err *e)
{
	struct facts f = { .parent = dir->nodeid, .in = dir->dir, .position = r->position };
	uint64_t nth = r->number;

	/* dir->below was checked in its turn, so that dir's last id is one of its slot's. */
	if (nth >= dir->below)
		return misnumbered(e, r);
	f.nodeid = dir->nodeid + 1 + nth;
	f.is_dir = r->e.type == ENTRY_DIR;
	if (f.is_dir) {
		f.dir = r->e.node;
		if (!sum_totals(&r->e.below, &f.below) || f.below > dir->below - nth - 1)
			return misnumbered(e, r);
	}
	*out = f;
	return ERR_OK;
}

static enum err_code root_facts(const struct snap *snap, const struct entry_ref *r,
				struct facts *out, struct err *e)
{
	struct facts f = { .nodeid = nodeid_of(snap->slot, 0), .parent = NODEID_ROOT };

	if (r->e.type != ENTRY_DIR)
		return err_set(e, ERR_CORRUPT, "the snapshot's root is not a folder");
	if (!sum_totals(&r->e.below, &f.below) || f.below > NUMBER_MAX)
		return err_set(e, ERR_LIMIT, "more than 2^40 entries in one snapshot");
	f.is_dir = true;
	f.dir = r->e.node;
	*out = f;
	return ERR_OK;
}

/* What a thread asked for last is very often in the folder of what it asks for next. */
static _Thread_local struct {
	const struct nodes *of;
	struct facts f;
} last_dir;

static bool holds(const struct facts *dir, uint64_t nodeid)
{
	return nodeid > dir->nodeid && nodeid - dir->nodeid <= dir->below;
}

static enum err_code start(struct fs *fs, const struct snap *snap, uint64_t nodeid, bool from_root,
			   struct facts *out, struct err *e)
{
	uint64_t root = nodeid_of(snap->slot, 0);
	struct entry_ref r = { 0 };
	enum err_code rc;

	if (!from_root && last_dir.of == fs->nodes && holds(&last_dir.f, nodeid)) {
		*out = last_dir.f;
		return ERR_OK;
	}
	if (nodes_get(fs->nodes, root, out))
		return ERR_OK;
	rc = tree_root(fs->store, &snap->root, &r, e);
	if (!rc)
		rc = root_facts(snap, &r, out, e);
	if (!rc)
		nodes_put(fs->nodes, out);
	entry_ref_release(fs->store, &r);
	return rc;
}

static void add_name(struct buf *path, const struct entry_ref *r)
{
	buf_add_u8(path, '/');
	buf_add(path, r->e.name, r->e.name_len);
}

/*
 * From a folder that holds nodeid to nodeid itself, a folder a step.  The ranges
 * nest strictly (facts_of saw to it), so that this ends whatever the medium says.
 */
static enum err_code descend(struct fs *fs, const struct facts *from, uint64_t nodeid,
			     struct buf *path, struct entry_ref *out, struct facts *f,
			     struct err *e)
{
	struct facts dir = *from;
	enum err_code rc;

	for (;;) {
		struct entry_ref r = { 0 };
		struct facts at;
		uint64_t rest;

		rc = tree_by_number(fs->store, &dir.dir, nodeid - dir.nodeid - 1, &r, &rest, e);
		if (!rc)
			rc = facts_of(&dir, &r, &at, e);
		if (!rc && at.nodeid != nodeid && !(at.is_dir && holds(&at, nodeid)))
			rc = misnumbered(e, &r);
		if (!rc && path)
			add_name(path, &r);
		if (!rc && at.nodeid == nodeid) {
			*out = r;
			*f = at;
			last_dir.of = fs->nodes;
			last_dir.f = dir;
			return ERR_OK;
		}
		entry_ref_release(fs->store, &r);
		if (rc)
			return rc;
		nodes_put(fs->nodes, &at);
		dir = at;
	}
}

static enum err_code find_in(struct fs *fs, const struct snap *snap, uint64_t nodeid,
			     struct entry_ref *out, struct facts *f, struct err *e)
{
	enum err_code rc;

	if (nodeid_number(nodeid) == 0) {
		rc = tree_root(fs->store, &snap->root, out, e);
		if (!rc)
			rc = root_facts(snap, out, f, e);
	} else if (nodes_get(fs->nodes, nodeid, f)) {
		return tree_at(fs->store, &f->in, f->position, out, e);
	} else {
		struct facts from;

		rc = start(fs, snap, nodeid, false, &from, e);
		if (!rc && !holds(&from, nodeid))
			rc = err_errno(e, ERR_NOT_FOUND, ESTALE, "no such entry");
		if (!rc)
			rc = descend(fs, &from, nodeid, NULL, out, f, e);
	}
	if (!rc && f->is_dir)	/* a file is one step from its folder, and there are many */
		nodes_put(fs->nodes, f);
	return rc;
}

/* The snapshot of nodeid in l, where it is still there. */
static enum err_code snap_of(const struct snap_list *l, uint64_t nodeid, const struct snap **out,
			     struct err *e)
{
	const struct snap *s = snap_list_slot(l, nodeid_slot(nodeid));

	if (!s || s->gone)
		return err_errno(e, ERR_NOT_FOUND, ESTALE, "the snapshot is gone");
	*out = s;
	return ERR_OK;
}

enum err_code node_entry_of(struct fs *fs, uint64_t nodeid, struct entry_ref *out,
			    struct facts *f, struct err *e)
{
	const struct snap_list *l = snaps_get(fs->snaps);
	struct entry_ref r = { 0 };
	const struct snap *snap;
	struct facts found;
	enum err_code rc;

	rc = snap_of(l, nodeid, &snap, e);
	if (!rc)
		rc = find_in(fs, snap, nodeid, &r, &found, e);
	snaps_put(l);
	if (rc) {
		entry_ref_release(fs->store, &r);
		return rc;
	}
	*out = r;
	if (f)
		*f = found;
	return ERR_OK;
}

enum err_code node_dir(struct fs *fs, uint64_t nodeid, struct facts *out, struct err *e)
{
	const struct snap_list *l = snaps_get(fs->snaps);
	struct entry_ref r = { 0 };
	const struct snap *snap;
	struct facts f;
	enum err_code rc;

	rc = snap_of(l, nodeid, &snap, e);
	if (!rc && !nodes_get(fs->nodes, nodeid, &f))
		rc = find_in(fs, snap, nodeid, &r, &f, e);
	if (!rc && !f.is_dir)
		rc = err_errno(e, ERR_USAGE, ENOTDIR, "not a folder");
	if (!rc)
		*out = f;
	entry_ref_release(fs->store, &r);
	snaps_put(l);
	return rc;
}

void node_path(struct fs *fs, uint64_t nodeid, struct buf *out)
{
	const struct snap_list *l = snaps_get(fs->snaps);
	const struct snap *snap = snap_list_slot(l, nodeid_slot(nodeid));
	struct entry_ref r = { 0 };
	struct err e = ERR_INIT;
	struct facts f;

	if (snap) {
		buf_add_str(out, snap->name);
		if (nodeid_number(nodeid) && !start(fs, snap, nodeid, true, &f, &e) &&
		    holds(&f, nodeid) && descend(fs, &f, nodeid, out, &r, &f, &e))
			buf_add_str(out, "/...");	/* a folder on the way is damaged too */
	}
	buf_add_u8(out, '\0');
	entry_ref_release(fs->store, &r);
	snaps_put(l);
}

