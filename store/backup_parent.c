/* SPDX-License-Identifier: MIT */
/*
 * The parent snapshot's tree is walked beside the source: both are in name order, so each directory
 * costs one pass over its nodes.  Whatever goes wrong here only means that files are read again.
 */
#include "store/backup_internal.h"

#include <string.h>

#include "store/format/limits.h"

/** Down to the leaf where name is or would be (NULL: the first). */
static bool descend(struct backup *b, struct old_dir *d, const struct object_id *id,
		    const char *name, size_t name_len)
{
	struct object_id at = *id;

	while (d->depth <= NODE_LEVEL_MAX) {
		const struct node *n;
		uint32_t i;
		void *pin;

		if (node_cache_get(b->s, &at, &n, &pin, NULL))
			return false;
		i = name ? node_lower_bound(n, name, name_len) : 0;
		if (n->kind == NODE_DIR_INNER && name && i > 0 &&
		    (i == n->nr || n->children[i].first_len != name_len ||
		     memcmp(n->children[i].first, name, name_len) != 0))
			i--; /* it can only be below the last child that begins before it */
		d->path[d->depth].node = n;
		d->path[d->depth].pin = pin;
		d->path[d->depth++].at = i;
		if (n->kind == NODE_DIR_LEAF)
			return true;
		if (n->kind != NODE_DIR_INNER || i >= n->nr)
			return false;
		at = n->children[i].id;
	}
	return false;
}

static void ascend(struct backup *b, struct old_dir *d)
{
	node_cache_put(b->s, d->path[--d->depth].pin);
}

void old_dir_close(struct backup *b, struct old_dir *d)
{
	while (d->depth > 0)
		ascend(b, d);
	d->open = false;
}

void old_dir_open(struct backup *b, const struct object_id *dir, struct old_dir *d)
{
	*d = (struct old_dir){.open = true};
	if (!descend(b, d, dir, NULL, 0))
		old_dir_close(b, d);
}

/** The leaf is used up: on to the next one in which name may be. */
static bool next_leaf(struct backup *b, struct old_dir *d, const char *name, size_t name_len)
{
	ascend(b, d);
	while (d->depth > 0) {
		const struct node *n = d->path[d->depth - 1].node;
		uint32_t *at = &d->path[d->depth - 1].at;

		if (++*at < n->nr)
			return descend(b, d, &n->children[*at].id, name, name_len);
		ascend(b, d);
	}
	return false;
}

static int name_cmp(const struct entry *a, const char *name, size_t name_len)
{
	size_t n = a->name_len < name_len ? a->name_len : name_len;
	int c = memcmp(a->name, name, n);

	return c ? c : (a->name_len > name_len) - (a->name_len < name_len);
}

bool old_dir_find(struct backup *b, struct old_dir *d, const char *name, size_t name_len,
		  struct entry *out)
{
	while (d->open) {
		const struct node *leaf = d->path[d->depth - 1].node;
		uint32_t *at = &d->path[d->depth - 1].at;

		for (; *at < leaf->nr; ++*at) {
			int c;

			node_entry(leaf, *at, out);
			c = name_cmp(out, name, name_len);
			if (c >= 0)
				return c == 0;
		}
		if (!next_leaf(b, d, name, name_len))
			old_dir_close(b, d);
	}
	return false;
}

static bool same_time(const struct vtime *a, const struct statx_timestamp *b)
{
	return a->sec == b->tv_sec && a->nsec == b->tv_nsec;
}

/* Not the device: its number may be another after a reboot, or once a drive is plugged in again. */
bool old_is_unchanged(const struct entry *ent, const struct statx *st)
{
	return ent->type == ENTRY_FILE && S_ISREG(st->stx_mode) &&
	       !(ent->flags & (ENTRY_UNSETTLED | ENTRY_UNSTABLE)) && ent->size == st->stx_size &&
	       ent->inode == st->stx_ino && same_time(&ent->mtime, &st->stx_mtime) &&
	       same_time(&ent->ctime, &st->stx_ctime);
}

static bool have(struct backup *b, const struct object_id *id)
{
	bool yes = false;

	return !chunks_have(b->s->chunks, id, &yes, NULL, NULL) && yes;
}

static bool list_is_here(struct backup *b, const uint8_t *p, size_t len)
{
	struct rd r = rd_init(p, len);
	struct segment seg;

	while (segment_next(&r, &seg)) {
		if (seg.kind == SEGMENT_CHUNK && !have(b, &seg.id))
			return false;
	}
	return rd_end(&r);
}

/** A tree of content nodes, and every chunk that its leaves name. */
static bool node_is_here(struct backup *b, const struct object_id *id, unsigned depth)
{
	const struct node *n;
	bool ok = depth <= NODE_LEVEL_MAX;
	void *pin;

	/* A node may still be in memory when its pack has gone. */
	if (!have(b, id) || node_cache_get(b->s, id, &n, &pin, NULL))
		return false;
	for (uint32_t i = 0; i < n->nr && ok; i++) {
		struct segment seg;

		if (n->kind == NODE_CONTENT_INNER) {
			ok = node_is_here(b, &n->children[i].id, depth + 1);
		} else if (n->kind == NODE_CONTENT_LEAF) {
			node_segment(n, i, &seg);
			ok = seg.kind == SEGMENT_HOLE || have(b, &seg.id);
		} else {
			ok = false;
		}
	}
	node_cache_put(b->s, pin);
	return ok;
}

static bool xattrs_are_here(struct backup *b, const struct entry *ent)
{
	struct rd r = rd_init(ent->xattrs, ent->xattrs_len);
	struct xattr x;

	while (xattr_next(&r, &x)) {
		if (x.in_chunk && !have(b, &x.id))
			return false;
	}
	return rd_end(&r);
}

bool old_is_here(struct backup *b, const struct entry *ent)
{
	if (ent->xattrs_len > 0 && !xattrs_are_here(b, ent))
		return false;
	if (ent->content == CONTENT_LIST)
		return list_is_here(b, ent->content_p, ent->content_len);
	if (ent->content == CONTENT_NODE)
		return node_is_here(b, &ent->node, 0);
	return true;
}
