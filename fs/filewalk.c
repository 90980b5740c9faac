/* SPDX-License-Identifier: MIT */
#include "fs/filewalk.h"

struct step {
	struct filewalk *w;
	filewalk_fn *fn;
	void *ctx;
	bool entered, ended;
};

void filewalk_release(struct filewalk *w)
{
	buf_release(&w->levels);
	buf_release(&w->path);
}

struct filewalk_level *filewalk_top(struct filewalk *w)
{
	return w->levels.len == 0
		       ? NULL
		       : (struct filewalk_level *)(void *)(w->levels.p + w->levels.len) - 1;
}

size_t filewalk_escapes(const char *name, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += name[i] == '\\' || name[i] == '\n' || name[i] == '\r';
	return n;
}

enum err_code filewalk_enter(struct filewalk *w, const struct entry *dir, struct err *e)
{
	const struct filewalk_level *above = filewalk_top(w);
	struct filewalk_level l = {
		.dir = dir->node,
		.nr = dir->nr_entries,
		.nr_escaped = (above ? above->nr_escaped : 0) +
			      filewalk_escapes(dir->name, dir->name_len),
	};

	w->path.len = above ? above->path_len : 0;
	if (dir->name_len) {
		buf_add(&w->path, dir->name, dir->name_len);
		buf_add_u8(&w->path, '/');
	}
	l.path_len = w->path.len;
	buf_add(&w->levels, &l, sizeof(l));
	if (w->path.bad || w->levels.bad)
		return err_set(e, ERR_NOMEM, "the way down a tree");
	if (l.path_len > FILEWALK_PATH_MAX)
		return err_set(e, ERR_LIMIT, "a path of %zu bytes", l.path_len);
	return ERR_OK;
}

static enum err_code meet_file(struct step *t, const struct entry *ent, struct err *e)
{
	struct filewalk *w = t->w;
	enum err_code rc;

	w->path.len = filewalk_top(w)->path_len;
	buf_add(&w->path, ent->name, ent->name_len);
	if (w->path.bad)
		return err_set(e, ERR_NOMEM, "a path");
	rc = t->fn(t->ctx, w, ent, e);
	t->ended = rc == ERR_CANCELED;
	return rc;
}

static enum err_code on_entry(void *ctx, const struct entry_ref *r, struct err *e)
{
	struct step *t = ctx;
	enum err_code rc;

	filewalk_top(t->w)->next = r->position + 1;
	if (r->e.type == ENTRY_FILE)
		return meet_file(t, &r->e, e);
	if (r->e.type != ENTRY_DIR || r->e.below.files == 0)
		return ERR_OK;
	rc = filewalk_enter(t->w, &r->e, e);
	t->entered = true;
	return rc ? rc : ERR_CANCELED;
}

enum err_code filewalk_run(struct filewalk *w, filewalk_fn *fn, void *ctx, struct err *e)
{
	struct step t = { .w = w, .fn = fn, .ctx = ctx };
	struct filewalk_level *l;
	enum err_code rc = ERR_OK;

	/* Ends: each turn goes on in a folder, goes a level down a finite tree, or leaves one. */
	while (!rc && !t.ended && (l = filewalk_top(w)) != NULL) {
		struct object_id dir = l->dir;

		t.entered = false;
		if (l->next < l->nr)
			rc = tree_walk(w->s, &dir, l->next, on_entry, &t, e);
		if (!rc && !t.entered && !t.ended)
			w->levels.len -= sizeof(*l);
	}
	return rc;
}
