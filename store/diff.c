/* SPDX-License-Identifier: MIT */
/*
 * Two directories side by side, by name.  Their nodes are cut by content, so that what did not
 * change has the same nodes: equal ones are passed over whole, also within one large directory.
 *
 * Directories below one another are a list on the heap and not a recursion, and a directory that
 * waits keeps ids and positions but no node: a deep tree costs little memory whoever made it.
 */
#include "store/diff.h"

#include <stdlib.h>
#include <string.h>

#include "store/format/limits.h"
#include "store/internal.h"

/* One level of a directory's nodes. */
struct frame {
	struct object_id id;
	unsigned level;
	uint32_t i;			/* entry or child it stands on */
	const struct node *n;		/* NULL: not held now */
	void *pin;
};

/* A place in a directory: on an entry, or before a whole child node. */
struct cursor {
	struct frame at[NODE_LEVEL_MAX + 1];
	unsigned nr;			/* frames; 0: the end */
};

struct level {
	struct level *up;
	unsigned depth;
	struct cursor a, b;
	size_t path_len;
};

struct diff {
	struct store *s;
	diff_fn *fn;
	void *ctx;
	struct buf path;
	struct level *now;
};

static enum err_code frame_hold(struct diff *d, struct frame *f, struct err *e)
{
	char hex[ID_HEX_LEN + 1];
	enum err_code rc;

	if (f->n)
		return ERR_OK;
	rc = node_cache_get(d->s, &f->id, &f->n, &f->pin, e);
	if (rc) {
		f->n = NULL;
		return rc;
	}
	if (f->n->kind == (f->n->level == 0 ? NODE_DIR_LEAF : NODE_DIR_INNER))
		return ERR_OK;
	node_cache_put(d->s, f->pin);
	f->n = NULL;
	return err_set(e, ERR_CORRUPT, "node %s is no directory's", id_hex(&f->id, hex));
}

static void frame_drop(struct diff *d, struct frame *f)
{
	if (f->n)
		node_cache_put(d->s, f->pin);
	f->n = NULL;
}

static void cursor_drop(struct diff *d, struct cursor *c)
{
	for (unsigned i = 0; i < c->nr; i++)
		frame_drop(d, &c->at[i]);
}

/*
 * Leave nodes that are at their end. Afterwards the top frame, where there is one, stands on
 * something.
 */
static enum err_code cursor_settle(struct diff *d, struct cursor *c, struct err *e)
{
	while (c->nr > 0) {
		struct frame *f = &c->at[c->nr - 1];
		enum err_code rc = frame_hold(d, f, e);

		if (rc)
			return rc;
		if (f->i < f->n->nr)
			break;
		frame_drop(d, f);
		c->nr--;
		if (c->nr > 0)
			c->at[c->nr - 1].i++;
	}
	return ERR_OK;
}

static enum err_code cursor_enter(struct diff *d, struct cursor *c, const struct object_id *id,
				  struct err *e)
{
	char hex[ID_HEX_LEN + 1];
	struct frame *f = &c->at[c->nr];
	enum err_code rc;

	*f = (struct frame){ .id = *id };
	rc = frame_hold(d, f, e);
	if (rc)
		return rc;
	f->level = f->n->level;
	if (c->nr > 0 && f->level + 1 != c->at[c->nr - 1].level) {
		frame_drop(d, f);
		return err_set(e, ERR_CORRUPT,
			       "node %s has a level that its parent's does not allow",
			       id_hex(id, hex));
	}
	c->nr++;	/* fits: levels fall from NODE_LEVEL_MAX, which the decoder has checked */
	return cursor_settle(d, c, e);
}

/* Into the child it stands before. */
static enum err_code cursor_descend(struct diff *d, struct cursor *c, struct err *e)
{
	const struct frame *f = &c->at[c->nr - 1];

	return cursor_enter(d, c, &f->n->children[f->i].id, e);
}

static enum err_code cursor_next(struct diff *d, struct cursor *c, struct err *e)
{
	c->at[c->nr - 1].i++;
	return cursor_settle(d, c, e);
}

/* What a settled cursor stands on. */
struct here {
	bool end, inner;
	unsigned level;
	const struct object_id *child;
	const char *name;
	size_t name_len;
	struct entry e;			/* where not inner */
};

static void look(const struct cursor *c, struct here *h)
{
	const struct frame *f;

	*h = (struct here){ .end = c->nr == 0 };
	if (h->end)
		return;
	f = &c->at[c->nr - 1];
	h->level = f->level;
	h->inner = f->level > 0;
	if (h->inner) {
		h->child = &f->n->children[f->i].id;
		h->name = f->n->children[f->i].first;
		h->name_len = f->n->children[f->i].first_len;
	} else {
		node_entry(f->n, f->i, &h->e);
		h->name = h->e.name;
		h->name_len = h->e.name_len;
	}
}

static int here_cmp(const struct here *a, const struct here *b)
{
	size_t len = a->name_len < b->name_len ? a->name_len : b->name_len;
	int c;

	if (a->end || b->end)
		return a->end ? 1 : -1;
	c = memcmp(a->name, b->name, len);
	return c ? c : (a->name_len > b->name_len) - (a->name_len < b->name_len);
}

/* What differs. */

static bool same_bytes(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool has_digest(const struct entry *e)
{
	return (e->flags & ENTRY_HAS_SHA256) || e->content == CONTENT_NONE ||
	       e->content == CONTENT_INLINE;
}

static bool same_content(const struct entry *a, const struct entry *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == ENTRY_SYMLINK)
		return same_bytes(a->target, a->target_len, b->target, b->target_len);
	if (a->type == ENTRY_CHARDEV || a->type == ENTRY_BLOCKDEV)
		return a->rdev_major == b->rdev_major && a->rdev_minor == b->rdev_minor;
	if (a->type != ENTRY_FILE)
		return true;
	if (a->size != b->size)
		return false;
	if (has_digest(a) && has_digest(b)) {
		struct object_id x, y;

		entry_sha256(a, &x);
		entry_sha256(b, &y);
		return id_eq(&x, &y);
	}
	if (a->content != b->content)
		return false;
	return a->content == CONTENT_NODE
		       ? id_eq(&a->node, &b->node)
		       : same_bytes(a->content_p, a->content_len, b->content_p, b->content_len);
}

static bool same_metadata(const struct entry *a, const struct entry *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
	       a->mtime.sec == b->mtime.sec && a->mtime.nsec == b->mtime.nsec &&
	       a->inode_flags == b->inode_flags &&
	       same_bytes(a->xattrs, a->xattrs_len, b->xattrs, b->xattrs_len);
}

/* The walk. */

static enum err_code push(struct diff *d, const struct object_id *a, const struct object_id *b,
			  struct err *e)
{
	struct level *l;
	enum err_code rc = ERR_OK;

	if (d->now && d->now->depth >= TREE_DEPTH_MAX)
		return err_set(e, ERR_LIMIT, "more than %u folders below one another",
			       TREE_DEPTH_MAX);
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_set(e, ERR_NOMEM, "a folder to compare");
	if (d->now) {
		cursor_drop(d, &d->now->a);
		cursor_drop(d, &d->now->b);
		l->depth = d->now->depth + 1;
	}
	l->up = d->now;
	l->path_len = d->path.len;
	d->now = l;
	if (a)
		rc = cursor_enter(d, &l->a, a, e);
	if (!rc && b)
		rc = cursor_enter(d, &l->b, b, e);
	return rc;
}

static void pop(struct diff *d)
{
	struct level *l = d->now;

	cursor_drop(d, &l->a);
	cursor_drop(d, &l->b);
	d->now = l->up;
	free(l);
}

/* a or b (not both NULL) have this name. Reports, and goes below. */
static enum err_code met(struct diff *d, const struct entry *a, const struct entry *b,
			 struct err *e)
{
	const struct entry *any = a ? a : b;
	bool a_dir = a && a->type == ENTRY_DIR, b_dir = b && b->type == ENTRY_DIR;
	struct object_id a_id = { { 0 } }, b_id = { { 0 } };
	enum err_code rc = ERR_OK;

	d->path.len = d->now->path_len;
	if (d->path.len > 0)
		buf_add_u8(&d->path, '/');
	buf_add(&d->path, any->name, any->name_len);
	buf_add_u8(&d->path, 0);
	if (d->path.bad)
		return err_set(e, ERR_NOMEM, "a path of %zu bytes", d->path.len);
	d->path.len--;
	if (!a || !b)
		rc = d->fn(d->ctx, a ? DIFF_REMOVED : DIFF_ADDED, (char *)d->path.p, a, b, e);
	else if (!same_content(a, b))
		rc = d->fn(d->ctx, DIFF_CONTENT, (char *)d->path.p, a, b, e);
	else if (!same_metadata(a, b))
		rc = d->fn(d->ctx, DIFF_METADATA, (char *)d->path.p, a, b, e);
	if (rc || !(a_dir || b_dir) || (a_dir && b_dir && id_eq(&a->node, &b->node)))
		return rc;
	/* push lets go of the nodes that the entries are in. */
	if (a_dir)
		a_id = a->node;
	if (b_dir)
		b_id = b->node;
	return push(d, a_dir ? &a_id : NULL, b_dir ? &b_id : NULL, e);
}

/* One step on the innermost directories. */
static enum err_code step(struct diff *d, struct err *e)
{
	struct level *l = d->now;
	enum err_code rc;
	struct here a, b;
	int cmp;

	rc = cursor_settle(d, &l->a, e);
	if (!rc)
		rc = cursor_settle(d, &l->b, e);
	if (rc)
		return rc;
	look(&l->a, &a);
	look(&l->b, &b);
	if (a.end && b.end) {
		pop(d);
		return ERR_OK;
	}
	cmp = here_cmp(&a, &b);
	if (cmp == 0 && a.inner && b.inner && id_eq(a.child, b.child)) {
		rc = cursor_next(d, &l->a, e);
		return rc ? rc : cursor_next(d, &l->b, e);
	}
	/*
	 * Whatever comes first is looked into.  Of two that begin alike the higher one: below it
	 * may be the other's very node.
	 */
	if (a.inner && (cmp < 0 || (cmp == 0 && a.level >= b.level)))
		return cursor_descend(d, &l->a, e);
	if (b.inner && cmp >= 0)
		return cursor_descend(d, &l->b, e);
	/*
	 * Stepped before what is told: met may go below and drop the nodes, ids and positions
	 * stay.
	 */
	if (cmp <= 0)
		l->a.at[l->a.nr - 1].i++;
	if (cmp >= 0)
		l->b.at[l->b.nr - 1].i++;
	return met(d, cmp <= 0 ? &a.e : NULL, cmp >= 0 ? &b.e : NULL, e);
}

enum err_code diff_run(struct store *s, const struct entry *a, const struct entry *b, diff_fn *fn,
		       void *ctx, struct err *e)
{
	struct diff d = { .s = s, .fn = fn, .ctx = ctx, .path = BUF_INIT };
	enum err_code rc = ERR_OK;

	if (a->type != ENTRY_DIR || b->type != ENTRY_DIR)
		return err_set(e, ERR_USAGE, "only folders can be compared");
	if (!id_eq(&a->node, &b->node))
		rc = push(&d, &a->node, &b->node, e);
	while (!rc && d.now)
		rc = step(&d, e);
	if (rc && rc != ERR_CANCELED && d.path.len > 0)
		err_prefix(e, "near %.*s", (int)(d.path.len < 200 ? d.path.len : 200),
			   (char *)d.path.p);
	while (d.now)
		pop(&d);
	buf_release(&d.path);
	if (rc == ERR_CANCELED) {
		err_clear(e);
		rc = ERR_OK;
	}
	return rc;
}
