/* SPDX-License-Identifier: MIT */
/*
 * A snapshot's nodes, from its root, each compared with all that what refers to it claims: kind,
 * level, first name, numbers and totals.  A claim is checked where it is followed and a node adds
 * up only what it holds itself, so a node met again with the same claim need not be looked at
 * again: shared subtrees cost nothing.
 *
 * The way from the root is a list of frames on the heap, and only the innermost holds its node:
 * neither a deep tree nor a crafted one takes more than a few hundred bytes a level.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/bytes.h"
#include "store/base/digest.h"
#include "store/damage_internal.h"
#include "store/format/limits.h"
#include "store/tree.h"
#include "store/verify_internal.h"

struct frame {
	struct visit v;
	uint64_t key;
	const struct node *n;		/* NULL: not held now */
	void *pin;
	uint32_t i;
	bool checked;			/* compared with the claim */
	bool dirty;			/* NAME: something bad at or below */
	bool file_top;			/* content: what is dirty here is the file at path_len */
	unsigned depth;			/* directories above */
	size_t path_len;		/* of the folder, or of the file, in walk.path */
};

struct walk {
	struct verify *v;
	const struct snapshot *snap;
	enum verify_walk what;
	struct buf frames;		/* struct frame each */
	struct buf path;
	struct err why;			/* NAME: of the file being looked at */
};

static struct frame *top(struct walk *w)
{
	return w->frames.len == 0 ? NULL
				  : (struct frame *)(void *)(w->frames.p + w->frames.len) - 1;
}

/* Get the frame's node and compare. */
static enum err_code frame_hold(struct walk *w, struct frame *f, struct err *e)
{
	char hex[ID_HEX_LEN + 1];
	enum err_code rc;

	if (f->n)
		return ERR_OK;
	rc = node_cache_get(w->v->s, &f->v.id, &f->n, &f->pin, e);
	if (rc) {
		f->n = NULL;
		return rc;
	}
	/*
	 * Once: the bytes behind an id are the same the next time. NAME goes where CHECK has
	 * been.
	 */
	if (!f->checked)
		rc = visit_check(&f->v, f->n, e);
	f->checked = true;
	if (rc) {
		err_prefix(e, "node %s", id_hex(&f->v.id, hex));
		node_cache_put(w->v->s, f->pin);
		f->n = NULL;
	}
	return rc;
}

static void frame_drop(struct walk *w, struct frame *f)
{
	if (f->n)
		node_cache_put(w->v->s, f->pin);
	f->n = NULL;
}

/* Naming. */

/* verify_touched's way: each path with the chunk or node that it needs. */
static void tell_touched(struct walk *w, const struct object_id *id, size_t path_len, bool folder)
{
	w->path.p[path_len] = '\0';
	w->v->touched(w->v->touched_ctx, w->snap, path_len ? (char *)w->path.p : "/", id, folder);
}

/* The path is touched. */
static void name_path(struct walk *w, size_t path_len, const struct err *err)
{
	uint64_t nr;

	if (w->v->touched)
		return;		/* told where the chunk or node was met */
	verify_lock(w->v);
	nr = ++w->v->res.damaged_paths;
	verify_unlock(w->v);
	if (nr > VERIFY_NAMED_MAX)
		return;
	w->path.p[path_len] = '\0';
	store_event(w->v->s, EVENT_DAMAGE, path_len ? (char *)w->path.p : "/", err, "snapshot %s",
		    w->snap->name);
}

/* A bad node, referred to from what is at path_len. */
static void name_node(struct walk *w, const struct visit *v, size_t path_len, struct err *err)
{
	if (w->v->touched) {
		tell_touched(w, &v->id, path_len, v->kind != VISIT_CONTENT);
		return;
	}
	if (v->kind == VISIT_CONTENT)
		return;	/* told with the file */
	err_prefix(err, "%" PRIu64 " names in this folder, and all below them, cannot be read",
		   v->entries);
	name_path(w, path_len, err);
}

/* A node that could not be had, or is not what was claimed. */
static enum err_code bad_node(struct walk *w, const struct visit *v, uint64_t key, struct err *e)
{
	bool gone = e->code == ERR_NOT_FOUND || e->code == ERR_INCOMPLETE;
	char hex[ID_HEX_LEN + 1];
	enum err_code rc;
	bool is_new;

	if (verify_stops(e) || (w->what == WALK_CHECK && verify_let_go(w->v, w->snap, e)))
		return e->code;
	if (gone)
		damage_note(w->v->s, &(struct damage){ .chunk = v->id });
	store_event(w->v->s, EVENT_DAMAGE, NULL, e, "node %s", id_hex(&v->id, hex));
	rc = keyset_add(&w->v->bad_nodes, key, &is_new, e);
	if (rc || !is_new)
		return rc;
	verify_lock(w->v);
	if (gone)
		w->v->res.missing_chunks++;
	else
		w->v->res.damaged_nodes++;
	verify_unlock(w->v);
	return ERR_OK;
}

/* The walk. */

/* Follow a reference, unless that was done. Invalidates frame pointers. */
static enum err_code enter(struct walk *w, const struct visit *v, unsigned depth, size_t path_len,
			   bool file_top, bool dirty, struct err *e)
{
	struct frame f = { .v = *v, .key = visit_key(v), .depth = depth, .path_len = path_len,
			   .file_top = file_top, .dirty = dirty,
			   .checked = w->what == WALK_NAME && !w->v->touched };
	enum err_code rc = ERR_OK;
	bool is_new = true;

	if (w->what == WALK_CHECK) {
		rc = keyset_add(&w->v->visited, f.key, &is_new, e);
		if (rc || !is_new)
			return rc;
		verify_lock(w->v);
		w->v->res.nodes++;
		verify_unlock(w->v);
		if (depth > TREE_DEPTH_MAX)
			rc = err_set(e, ERR_LIMIT, "more than %u folders below one another",
				     TREE_DEPTH_MAX);
	} else {
		is_new = !keyset_has(&w->v->clean, f.key);
		if (keyset_has(&w->v->bad_nodes, f.key)) {
			struct err err = ERR_INIT;

			(void)err_set(&err, ERR_CORRUPT, "a node is damaged or missing");
			name_node(w, v, path_len, &err);
			is_new = false;
			dirty = true;
		}
		if (!is_new) {	/* as if it had been entered and left */
			if (file_top && dirty)
				name_path(w, path_len, &w->why);
			if (dirty && top(w))
				top(w)->dirty = true;
			return ERR_OK;
		}
	}
	if (!rc)
		rc = frame_hold(w, &f, e);
	if (rc && w->v->touched && !verify_stops(e)) {	/* no check has been here before */
		name_node(w, v, path_len, e);
		if (top(w))
			top(w)->dirty = true;
	}
	if (rc)
		return bad_node(w, v, f.key, e);
	if (top(w))
		frame_drop(w, top(w));
	buf_add(&w->frames, &f, sizeof(f));
	if (!w->frames.bad)
		return ERR_OK;
	frame_drop(w, &f);
	return err_set(e, ERR_NOMEM, "the way down to a node");
}

static enum err_code leave(struct walk *w, struct err *e)
{
	struct frame f = *top(w);
	enum err_code rc = ERR_OK;

	frame_drop(w, &f);
	w->frames.len -= sizeof(f);
	if (w->what == WALK_CHECK)
		return ERR_OK;
	if (f.dirty && f.file_top)
		name_path(w, f.path_len, &w->why);
	if (f.dirty && top(w))
		top(w)->dirty = true;
	if (!f.dirty)
		rc = keyset_add(&w->v->clean, f.key, NULL, e);
	return rc;
}

/* A chunk that something at the top frame refers to. */
static enum err_code meet_chunk(struct walk *w, const struct object_id *id, uint64_t len,
				bool *dirty, struct err *e)
{
	if (w->what == WALK_CHECK)
		return verify_chunk(w->v, id, (uint32_t)len, e);
	if (w->v->touched ? keyset_has(&w->v->bad, id_key(id))
			  : !*dirty && verify_chunk_bad(w->v, id, &w->why)) {
		if (w->v->touched)
			tell_touched(w, id, w->path.len, false);
		*dirty = true;
	}
	return ERR_OK;
}

static enum err_code meet_xattrs(struct walk *w, const struct entry *ent, bool *dirty,
				 struct err *e)
{
	enum err_code rc = ERR_OK;
	struct entry_xattr x;

	for (size_t i = 0; !rc && entry_xattr_at(ent, i, &x); i++)
		if (!x.inline_value)
			rc = meet_chunk(w, &x.chunk, x.value_len, dirty, e);
	return rc;
}

/* A regular file of the top frame; its path is w->path. */
static enum err_code meet_file(struct walk *w, const struct entry *ent, bool *dirty,
			       struct err *e)
{
	struct rd r = rd_init(ent->content_p, ent->content == CONTENT_LIST ? ent->content_len : 0);
	enum err_code rc = ERR_OK;
	struct segment seg;

	if (w->what == WALK_CHECK) {
		verify_lock(w->v);
		w->v->res.files++;
		verify_unlock(w->v);
		if (w->v->o->files)
			rc = verify_file(w->v, ent, e);
	} else if (!*dirty && verify_file_bad(w->v, ent)) {
		(void)err_set(&w->why, ERR_CORRUPT, "the whole file has another digest");
		*dirty = true;
	}
	while (!rc && segment_next(&r, &seg))
		if (seg.kind == SEGMENT_CHUNK)
			rc = meet_chunk(w, &seg.id, seg.len, dirty, e);
	if (!rc && ent->content == CONTENT_NODE) {
		struct visit v = { .id = ent->node, .kind = VISIT_CONTENT, .top = true,
				   .bytes = ent->size };

		if (!*dirty)
			(void)err_set(&w->why, ERR_CORRUPT, "a node of its content is bad");
		rc = enter(w, &v, top(w)->depth, w->path.len, true, *dirty, e);
		*dirty = false;		/* the frame tells */
	}
	return rc;
}

static enum err_code meet_dir(struct walk *w, const struct entry *ent, struct err *e)
{
	struct visit v = { .id = ent->node, .kind = VISIT_DIR, .top = true,
			   .entries = ent->nr_entries, .subdirs = ent->nr_subdirs,
			   .totals = ent->below };

	return enter(w, &v, top(w)->depth + 1, w->path.len, false, false, e);
}

static enum err_code meet_entry(struct walk *w, struct err *e)
{
	struct frame *f = top(w);
	enum err_code rc = ERR_OK;
	bool dirty = false;
	struct entry ent;

	node_entry(f->n, f->i++, &ent);
	if (w->what == WALK_NAME) {
		w->path.len = f->path_len;
		if (ent.name_len > 0) {
			buf_add_u8(&w->path, '/');
			buf_add(&w->path, ent.name, ent.name_len);
		}
		if (!buf_room(&w->path, 1))
			return err_set(e, ERR_NOMEM, "a path");
	}
	rc = meet_xattrs(w, &ent, &dirty, e);
	if (!rc && ent.type == ENTRY_FILE)
		rc = meet_file(w, &ent, &dirty, e);
	if (dirty) {
		top(w)->dirty = true;
		name_path(w, w->path.len, &w->why);
	}
	/* Last: it drops the node that ent is in. */
	if (!rc && ent.type == ENTRY_DIR)
		rc = meet_dir(w, &ent, e);
	return rc;
}

static enum err_code meet_child(struct walk *w, struct err *e)
{
	struct frame *f = top(w);
	const struct node_child *c = &f->n->children[f->i++];
	struct visit v = { .id = c->id, .kind = f->v.kind, .level = f->n->level - 1 };

	if (v.kind == VISIT_CONTENT) {
		v.bytes = c->bytes;
	} else {
		v.first = digest_xxh3(c->first, c->first_len);
		v.entries = c->entries;
		v.subdirs = c->subdirs;
		v.totals = c->totals;
	}
	return enter(w, &v, f->depth, f->path_len, false, false, e);
}

static enum err_code meet_segment(struct walk *w, struct err *e)
{
	struct frame *f = top(w);
	struct segment seg;

	node_segment(f->n, f->i++, &seg);
	return seg.kind == SEGMENT_CHUNK ? meet_chunk(w, &seg.id, seg.len, &f->dirty, e) : ERR_OK;
}

static bool enough(struct walk *w)
{
	bool yes;

	if (w->what != WALK_NAME)
		return false;
	verify_lock(w->v);
	yes = w->v->res.damaged_paths >= VERIFY_COUNTED_MAX;
	verify_unlock(w->v);
	return yes;
}

static enum err_code step(struct walk *w, struct err *e)
{
	struct frame *f = top(w);
	enum err_code rc = frame_hold(w, f, e);

	if (rc) {	/* it was there when it was entered */
		struct visit v = f->v;

		f->dirty = true;
		f->i = UINT32_MAX;
		rc = bad_node(w, &v, f->key, e);
		return rc ? rc : leave(w, e);
	}
	if (f->i >= f->n->nr)
		return leave(w, e);
	if (f->n->level > 0)
		return meet_child(w, e);
	return f->v.kind == VISIT_CONTENT ? meet_segment(w, e) : meet_entry(w, e);
}

static const char *path_now(struct walk *w)
{
	if (w->path.len == 0 || !buf_room(&w->path, 1))
		return NULL;
	w->path.p[w->path.len] = '\0';
	return (const char *)w->path.p;
}

enum err_code verify_tree(struct verify *v, const struct snapshot *snap, enum verify_walk what,
			  struct err *e)
{
	struct walk w = { .v = v, .snap = snap, .what = what, .why = ERR_INIT };
	struct visit root = { .id = snap->root, .kind = VISIT_ROOT, .top = true, .entries = 1 };
	enum err_code rc = ERR_OK;

	v->snap = what == WALK_CHECK ? snap : NULL;
	v->let_go = false;
	if (!buf_room(&w.path, 1))
		rc = err_set(e, ERR_NOMEM, "a path");
	if (!rc)
		rc = enter(&w, &root, 0, 0, false, false, e);
	for (unsigned i = 0; !rc && top(&w) && !enough(&w); i++) {
		rc = step(&w, e);
		if (!rc && i % 16 == 0) {	/* each may read a node: on a disk ten milliseconds */
			verify_progress(v, path_now(&w));
			if (verify_cut(v))
				break;
			if (verify_stopping(v))
				rc = err_set(e, ERR_CANCELED, "stopped on request");
		}
	}
	while (top(&w)) {
		frame_drop(&w, top(&w));
		w.frames.len -= sizeof(struct frame);
	}
	buf_release(&w.frames);
	buf_release(&w.path);
	if (rc && v->let_go && !verify_stops(e)) {
		/* Another snapshot that needs the same must meet it anew. */
		keyset_release(&v->visited);
		keyset_release(&v->asked);
		err_clear(e);
		rc = ERR_OK;
	}
	return rc;
}
