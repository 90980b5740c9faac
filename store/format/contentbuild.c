/* SPDX-License-Identifier: MIT */
/*
 * A file's segments, and a tree of nodes above them where they are many.  Nodes end
 * where the ids of their chunks say (node.h), so that bytes inserted into a file
 * change the nodes around them and the path above.
 */
#include "store/format/node.h"

#include <assert.h>
#include <stdlib.h>

#include "store/base/checked.h"
#include "store/format/nodepart.h"

#define LEAF_CUT_MASK	0x3ffu	/* one chunk in 1024 */
#define INNER_CUT_MASK	0xffu	/* one child in 256 */
#define LIST_SEGMENTS	16u	/* so many stay in the entry */

/* No leaf is cut before a seventeenth segment, so the entry's list is whole. */
static_assert(NODE_HEAD_LEN + LIST_SEGMENTS * SEGMENT_CHUNK_LEN < NODE_CUT_MIN,
	      "a list must fit below the smallest node");

struct level {
	struct buf body;
	uint32_t nr;		/* segments or children in body */
	bool used;		/* has had one since the file began */
	uint64_t bytes;
	struct object_id child;	/* the last added: the root, where it is the only one */
};

struct content_builder {
	node_emit_fn *emit;
	void *ctx;
	struct level levels[NODE_LEVEL_MAX + 1];
	uint64_t hole;		/* bytes of a hole that may go on */
	uint64_t size, hole_bytes;	/* so far */
	struct buf out;		/* one node */
	struct buf list;	/* what finish handed out */
};

enum err_code content_builder_open(node_emit_fn *emit, void *ctx, struct content_builder **out,
				   struct err *e)
{
	struct content_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return err_set(e, ERR_NOMEM, "content builder");
	b->emit = emit;
	b->ctx = ctx;
	*out = b;
	return ERR_OK;
}

void content_builder_close(struct content_builder *b)
{
	if (!b)
		return;
	for (unsigned i = 0; i <= NODE_LEVEL_MAX; i++)
		buf_release(&b->levels[i].body);
	buf_release(&b->out);
	buf_release(&b->list);
	free(b);
}

static void level_empty(struct level *l)
{
	buf_reset(&l->body);
	l->nr = 0;
	l->bytes = 0;
}

void content_builder_reset(struct content_builder *b)
{
	for (unsigned i = 0; i <= NODE_LEVEL_MAX; i++) {
		level_empty(&b->levels[i]);
		b->levels[i].used = false;
	}
	b->hole = 0;
	b->size = 0;
	b->hole_bytes = 0;
}

/* Emit the node that level holds, and empty the level. */
static enum err_code level_emit(struct content_builder *b, unsigned level, struct object_id *id,
				struct err *e)
{
	struct level *l = &b->levels[level];
	enum err_code rc;

	buf_reset(&b->out);
	node_head_encode(level ? NODE_CONTENT_INNER : NODE_CONTENT_LEAF, level, l->nr, &b->out);
	buf_add(&b->out, l->body.p, l->body.len);
	if (b->out.bad || l->body.bad)
		rc = err_set(e, ERR_NOMEM, "content node");
	else
		rc = b->emit(b->ctx, b->out.p, b->out.len, id, e);
	level_empty(l);
	return rc;
}

static enum err_code level_flush(struct content_builder *b, unsigned level, struct err *e);

static enum err_code child_add(struct content_builder *b, unsigned level,
			       const struct object_id *id, uint64_t bytes, struct err *e)
{
	struct level *l = &b->levels[level];
	enum err_code rc = ERR_OK;

	if (NODE_HEAD_LEN + l->body.len + CHILD_CONTENT_LEN > NODE_CUT_MAX)
		rc = level_flush(b, level, e);
	if (rc)
		return rc;
	buf_add(&l->body, id->b, ID_LEN);
	buf_add_le64(&l->body, bytes);
	l->nr++;
	l->used = true;
	l->bytes += bytes;
	l->child = *id;
	if (NODE_HEAD_LEN + l->body.len >= NODE_CUT_MIN && (id_key(id) & INNER_CUT_MASK) == 0)
		rc = level_flush(b, level, e);
	return rc;
}

/* Emit what level holds and enter it one above. */
static enum err_code level_flush(struct content_builder *b, unsigned level, struct err *e)
{
	uint64_t bytes = b->levels[level].bytes;
	struct object_id id;
	enum err_code rc;

	if (level == NODE_LEVEL_MAX)
		return err_set(e, ERR_LIMIT, "file needs more than %u levels", NODE_LEVEL_MAX);
	rc = level_emit(b, level, &id, e);
	return rc ? rc : child_add(b, level + 1, &id, bytes, e);
}

static enum err_code segment_add(struct content_builder *b, const struct segment *s,
				 struct err *e)
{
	struct level *l = &b->levels[0];
	size_t len = s->kind == SEGMENT_HOLE ? SEGMENT_HOLE_LEN : SEGMENT_CHUNK_LEN;
	enum err_code rc = ERR_OK;

	if (NODE_HEAD_LEN + l->body.len + len > NODE_CUT_MAX)
		rc = level_flush(b, 0, e);
	if (rc)
		return rc;
	segment_encode(s, &l->body);
	l->nr++;
	l->used = true;
	l->bytes += s->len;
	if (s->kind == SEGMENT_CHUNK && NODE_HEAD_LEN + l->body.len >= NODE_CUT_MIN &&
	    (id_key(&s->id) & LEAF_CUT_MASK) == 0)
		rc = level_flush(b, 0, e);
	return rc;
}

static enum err_code hole_add(struct content_builder *b, struct err *e)
{
	struct segment s = { .kind = SEGMENT_HOLE, .len = b->hole };

	if (b->hole == 0)
		return ERR_OK;
	b->hole = 0;
	return segment_add(b, &s, e);
}

enum err_code content_builder_add(struct content_builder *b, const struct segment *s,
				  struct err *e)
{
	enum err_code rc;
	uint64_t size;

	if (s->len == 0 || (s->kind == SEGMENT_CHUNK && s->len > CHUNK_LEN_MAX))
		return err_set(e, ERR_USAGE, "segment of %llu bytes", (unsigned long long)s->len);
	if (add_u64(b->size, s->len, &size) || size > FILE_SIZE_MAX)
		return err_set(e, ERR_LIMIT, "file larger than 2^63 - 1 bytes");
	b->size = size;
	if (s->kind == SEGMENT_HOLE) {
		b->hole += s->len;
		b->hole_bytes += s->len;
		return ERR_OK;
	}
	rc = hole_add(b, e);
	return rc ? rc : segment_add(b, s, e);
}

/* The list goes to the entry: the builder keeps its memory until it is used again. */
static enum err_code list_finish(struct content_builder *b, struct entry *file, struct err *e)
{
	struct buf t = b->list;

	b->list = b->levels[0].body;
	b->levels[0].body = t;
	if (b->list.bad)
		return err_set(e, ERR_NOMEM, "segment list");
	file->content = CONTENT_LIST;
	file->content_p = b->list.p;
	file->content_len = b->list.len;
	return ERR_OK;
}

static enum err_code tree_finish(struct content_builder *b, struct entry *file, struct err *e)
{
	enum err_code rc = ERR_OK;
	struct object_id id;
	unsigned level = 0;

	for (; !rc && level < NODE_LEVEL_MAX && b->levels[level + 1].used; level++)
		if (b->levels[level].nr > 0)
			rc = level_flush(b, level, e);
	if (!rc && level > 0 && b->levels[level].nr == 1)
		id = b->levels[level].child;	/* one child needs no node above it */
	else if (!rc)
		rc = level_emit(b, level, &id, e);
	if (rc)
		return rc;
	file->content = CONTENT_NODE;
	file->content_p = NULL;
	file->content_len = 0;
	file->node = id;
	return ERR_OK;
}

enum err_code content_builder_finish(struct content_builder *b, struct entry *file,
				     struct err *e)
{
	enum err_code rc = hole_add(b, e);
	uint64_t size = b->size, hole_bytes = b->hole_bytes;

	if (rc)
		goto out;
	if (size == 0) {
		file->content = CONTENT_NONE;
		file->content_p = NULL;
		file->content_len = 0;
	} else if (!b->levels[1].used && b->levels[0].nr <= LIST_SEGMENTS) {
		rc = list_finish(b, file, e);
	} else {
		rc = tree_finish(b, file, e);
	}
	if (!rc) {
		file->size = size;
		file->hole_bytes = hole_bytes;
	}
out:
	content_builder_reset(b);
	return rc;
}
