/* SPDX-License-Identifier: MIT */
/*
 * A file's content.  Everything below goes over segments through a cursor, which is where
 * inline bytes, an entry's own list and a tree of content nodes are made to look alike.
 */
#include <assert.h>
#include <stdlib.h>

#include "store/base/checked.h"
#include "store/format/limits.h"
#include "store/internal.h"
#include "store/tree.h"

struct blob {
	struct store *s;
	uint64_t size;
	enum content_kind kind;
	struct object_id node;		/* CONTENT_NODE */
	uint8_t *inline_p;		/* CONTENT_INLINE; size bytes */
	struct segment *segs;		/* CONTENT_LIST */
	uint64_t *starts;		/* CONTENT_LIST: first byte of each; [nr_segs]: size */
	uint32_t nr_segs;
	pthread_mutex_t mutex;
	struct object_id leaf;		/* mutex; CONTENT_NODE: where the last read was */
	uint64_t leaf_start, leaf_end;	/* mutex; equal: not known yet */
};

/** One segment of the content, and where it lies. */
struct cursor {
	struct blob *b;
	const struct node *leaf;	/* CONTENT_NODE */
	void *pin;
	uint64_t leaf_start;		/* its first byte in the file */
	uint32_t i;			/* the segment's number in the list, or in the leaf */
	uint64_t off, end;		/* of the segment in the file */
	struct segment seg;		/* not for CONTENT_INLINE */
};

static void must(int rc)
{
	if (rc != 0)
		abort();
}

/** Read the list twice: count, then keep. */
static enum err_code open_list(struct blob *b, const struct entry *ent, struct err *e)
{
	struct rd r = rd_init(ent->content_p, ent->content_len);
	uint64_t at = 0;
	struct segment g;
	uint32_t nr = 0;

	if (ent->content_len > LIST_LEN_MAX)
		return err_set(e, ERR_CORRUPT, "a list of %zu bytes", ent->content_len);
	while (segment_next(&r, &g))
		nr++;
	if (!rd_end(&r))
		return err_set(e, ERR_CORRUPT, "a list that does not parse");
	b->segs = calloc(nr ? nr : 1, sizeof(*b->segs));
	b->starts = calloc((size_t)nr + 1, sizeof(*b->starts));
	if (!b->segs || !b->starts)
		return err_set(e, ERR_NOMEM, "a list of %u segments", nr);
	r = rd_init(ent->content_p, ent->content_len);
	while (b->nr_segs < nr && segment_next(&r, &b->segs[b->nr_segs])) {
		b->starts[b->nr_segs] = at;
		if (add_u64(at, b->segs[b->nr_segs++].len, &at))
			return err_set(e, ERR_CORRUPT, "segments that do not fit in 64 bits");
	}
	b->starts[nr] = at;
	if (at != b->size)
		return err_set(e, ERR_CORRUPT, "segments of %llu bytes in a file of %llu",
			       (unsigned long long)at, (unsigned long long)b->size);
	return ERR_OK;
}

static enum err_code open_content(struct blob *b, const struct entry *ent, struct err *e)
{
	switch (ent->content) {
	case CONTENT_NONE:
		if (ent->size != 0)
			break;
		return ERR_OK;
	case CONTENT_INLINE:
		if (ent->content_len != ent->size)
			break;
		b->inline_p = malloc(ent->content_len ? ent->content_len : 1);
		if (!b->inline_p)
			return err_set(e, ERR_NOMEM, "%zu bytes", ent->content_len);
		memcpy(b->inline_p, ent->content_p, ent->content_len);
		return ERR_OK;
	case CONTENT_LIST:
		return open_list(b, ent, e);
	case CONTENT_NODE:
		b->node = ent->node;
		return ERR_OK;
	}
	return err_set(e, ERR_CORRUPT, "content of kind %d in a file of %llu bytes",
		       (int)ent->content, (unsigned long long)ent->size);
}

enum err_code blob_open(struct store *s, const struct entry *ent, struct blob **out, struct err *e)
{
	enum err_code rc;
	struct blob *b;

	if (ent->type != ENTRY_FILE)
		return err_set(e, ERR_USAGE, "\"%.*s\" is no regular file", (int)ent->name_len,
			       ent->name);
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_set(e, ERR_NOMEM, "an open file");
	must(pthread_mutex_init(&b->mutex, NULL));
	b->s = s;
	b->size = ent->size;
	b->kind = ent->content;
	rc = open_content(b, ent, e);
	if (rc) {
		err_prefix(e, "\"%.*s\"", (int)ent->name_len, ent->name);
		blob_close(b);
		return rc;
	}
	*out = b;
	return ERR_OK;
}

void blob_close(struct blob *b)
{
	if (!b)
		return;
	must(pthread_mutex_destroy(&b->mutex));
	free(b->inline_p);
	free(b->segs);
	free(b->starts);
	free(b);
}

uint64_t blob_size(const struct blob *b)
{
	return b->size;
}

/** The last of nr starts that is <= off; starts[0] is 0 and starts[nr] > off. */
static uint32_t find_start(const uint64_t *starts, uint32_t nr, uint64_t off)
{
	uint32_t lo = 0, hi = nr;

	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (starts[mid] <= off)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/**
 * A content node whose bytes and level are what its parent (or the file) says. parent is
 * NULL at the top.
 */
static enum err_code content_node_get(struct blob *b, const struct object_id *id,
				      const struct node *parent, uint64_t bytes,
				      const struct node **out, void **pin, struct err *e)
{
	char hex[ID_HEX_LEN + 1];
	const struct node *n;
	enum err_code rc;
	void *held;

	rc = node_cache_get(b->s, id, &n, &held, e);
	if (rc)
		return rc;
	if (n->kind != (n->level == 0 ? NODE_CONTENT_LEAF : NODE_CONTENT_INNER) || n->nr == 0)
		rc = err_set(e, ERR_CORRUPT, "node %s is of kind %d, level %u and no content's",
			     id_hex(id, hex), (int)n->kind, n->level);
	else if (parent && n->level + 1 != parent->level)
		rc = err_set(e, ERR_CORRUPT, "node %s has level %u below level %u",
			     id_hex(id, hex), n->level, parent->level);
	else if (n->starts[n->nr] != bytes)
		rc = err_set(e, ERR_CORRUPT, "node %s has %llu bytes and not %llu", id_hex(id, hex),
			     (unsigned long long)n->starts[n->nr], (unsigned long long)bytes);
	if (rc) {
		node_cache_put(b->s, held);
		return rc;
	}
	*out = n;
	*pin = held;
	return ERR_OK;
}

/** Descend to the leaf that holds off; c gets it pinned. */
static enum err_code find_leaf(struct cursor *c, uint64_t off, struct object_id *id, struct err *e)
{
	struct blob *b = c->b;
	const struct node *n, *child;
	uint64_t start = 0;
	void *pin, *below;
	enum err_code rc;

	*id = b->node;
	rc = content_node_get(b, id, NULL, b->size, &n, &pin, e);
	if (rc)
		return rc;
	while (n->level > 0) {	/* ends: each child's level is one less */
		uint32_t i = find_start(n->starts, n->nr, off - start);

		*id = n->children[i].id;
		rc = content_node_get(b, id, n, n->children[i].bytes, &child, &below, e);
		if (rc) {
			node_cache_put(b->s, pin);
			return rc;
		}
		start += n->starts[i];
		node_cache_put(b->s, pin);
		n = child;
		pin = below;
	}
	c->leaf = n;
	c->pin = pin;
	c->leaf_start = start;
	return ERR_OK;
}

/** The same, beginning with where the last read was: most reads go on there. */
static enum err_code get_leaf(struct cursor *c, uint64_t off, struct err *e)
{
	struct blob *b = c->b;
	struct object_id id;
	uint64_t start, end;
	enum err_code rc;

	must(pthread_mutex_lock(&b->mutex));
	id = b->leaf;
	start = b->leaf_start;
	end = b->leaf_end;
	must(pthread_mutex_unlock(&b->mutex));
	if (off >= start && off < end) {
		rc = content_node_get(b, &id, NULL, end - start, &c->leaf, &c->pin, e);
		if (!rc)
			c->leaf_start = start;
		return rc;
	}
	rc = find_leaf(c, off, &id, e);
	if (rc)
		return rc;
	must(pthread_mutex_lock(&b->mutex));
	b->leaf = id;
	b->leaf_start = c->leaf_start;
	b->leaf_end = c->leaf_start + c->leaf->starts[c->leaf->nr];
	must(pthread_mutex_unlock(&b->mutex));
	return ERR_OK;
}

static void cursor_end(struct cursor *c)
{
	node_cache_put(c->b->s, c->pin);
	c->pin = NULL;
}

/** Segment c->i of the leaf or list. */
static void cursor_set(struct cursor *c)
{
	struct blob *b = c->b;

	if (b->kind == CONTENT_NODE) {
		node_segment(c->leaf, c->i, &c->seg);
		c->off = c->leaf_start + c->leaf->starts[c->i];
		c->end = c->leaf_start + c->leaf->starts[c->i + 1];
	} else if (b->kind == CONTENT_LIST) {
		c->seg = b->segs[c->i];
		c->off = b->starts[c->i];
		c->end = b->starts[c->i + 1];
	} else {
		c->off = 0;
		c->end = b->size;
	}
}

/**
 * Stand on the segment that holds off, which is below the size.  cursor_end() lets go, also
 * after a failure.
 */
static enum err_code cursor_begin(struct blob *b, uint64_t off, struct cursor *c, struct err *e)
{
	enum err_code rc = ERR_OK;

	assert(off < b->size);
	*c = (struct cursor){ .b = b };
	if (b->kind == CONTENT_NODE) {
		rc = get_leaf(c, off, e);
		if (rc)
			return rc;
		c->i = find_start(c->leaf->starts, c->leaf->nr, off - c->leaf_start);
	} else if (b->kind == CONTENT_LIST) {
		c->i = find_start(b->starts, b->nr_segs, off);
	}
	cursor_set(c);
	return rc;
}

/** The segment after; the caller has seen that c->end is below the size. */
static enum err_code cursor_next(struct cursor *c, struct err *e)
{
	uint64_t off = c->end;

	if (c->b->kind == CONTENT_NODE && c->i + 1 == c->leaf->nr) {
		struct blob *b = c->b;

		cursor_end(c);
		return cursor_begin(b, off, c, e);
	}
	c->i++;
	cursor_set(c);
	return ERR_OK;
}

static bool cursor_is_hole(const struct cursor *c)
{
	return c->b->kind != CONTENT_INLINE && c->seg.kind == SEGMENT_HOLE;
}

/** The bytes of a segment that is no hole; release ref after use (also where it was not filled). */
static enum err_code cursor_data(const struct cursor *c, const uint8_t **data,
				 struct chunk_ref *ref, struct err *e)
{
	char hex[ID_HEX_LEN + 1];
	enum err_code rc;

	*ref = (struct chunk_ref){ 0 };
	if (c->b->kind == CONTENT_INLINE) {
		*data = c->b->inline_p;
		return ERR_OK;
	}
	rc = chunk_of_tree(c->b->s, &c->seg.id, ref, e);
	if (!rc && ref->len != c->end - c->off) {
		rc = err_set(e, ERR_CORRUPT, "chunk %s has %zu bytes and not %llu",
			     id_hex(&c->seg.id, hex), ref->len,
			     (unsigned long long)(c->end - c->off));
		chunk_ref_release(c->b->s->chunks, ref);
		*ref = (struct chunk_ref){ 0 };
	}
	if (rc)
		err_prefix(e, "at byte %llu", (unsigned long long)c->off);
	else
		*data = ref->data;
	return rc;
}

enum err_code blob_each(struct blob *b, uint64_t from, blob_piece_fn *fn, void *ctx, struct err *e)
{
	enum err_code rc;
	struct cursor c;

	if (from >= b->size)
		return ERR_OK;
	rc = cursor_begin(b, from, &c, e);
	while (!rc) {
		uint64_t skip = from > c.off ? from - c.off : 0;
		uint64_t len = c.end - c.off - skip;
		struct chunk_ref ref = { 0 };
		const uint8_t *data = NULL;

		if (!cursor_is_hole(&c))
			rc = cursor_data(&c, &data, &ref, e);
		if (!rc)
			rc = fn(ctx, c.off + skip, data ? data + skip : NULL, len, e);
		if (ref.pin)
			chunk_ref_release(b->s->chunks, &ref);
		if (rc || c.end >= b->size)
			break;
		rc = cursor_next(&c, e);
	}
	cursor_end(&c);
	if (rc == ERR_CANCELED) {
		err_clear(e);
		rc = ERR_OK;
	}
	return rc;
}

enum err_code blob_pread(struct blob *b, uint64_t off, void *buf, size_t len, size_t *n,
			 struct err *e)
{
	uint8_t *to = buf;
	enum err_code rc;
	struct cursor c;
	size_t done = 0;

	if (off >= b->size || len == 0) {
		*n = 0;
		return ERR_OK;
	}
	if (len > b->size - off)
		len = (size_t)(b->size - off);
	rc = cursor_begin(b, off, &c, e);
	while (!rc) {
		uint64_t skip = off + done - c.off;
		size_t piece = len - done;
		struct chunk_ref ref = { 0 };
		const uint8_t *data;

		if (piece > c.end - c.off - skip)
			piece = (size_t)(c.end - c.off - skip);
		if (cursor_is_hole(&c)) {
			memset(to + done, 0, piece);
		} else {
			rc = cursor_data(&c, &data, &ref, e);
			if (!rc)
				memcpy(to + done, data + skip, piece);
			if (ref.pin)
				chunk_ref_release(b->s->chunks, &ref);
		}
		if (rc)
			break;
		done += piece;
		if (done == len)
			break;
		rc = cursor_next(&c, e);
	}
	cursor_end(&c);
	if (!rc)
		*n = len;
	return rc;
}

enum err_code blob_seek(struct blob *b, uint64_t off, bool hole, uint64_t *out, struct err *e)
{
	enum err_code rc;
	struct cursor c;

	if (off >= b->size)
		return err_set(e, ERR_NOT_FOUND, "offset %llu is past the end at %llu",
			       (unsigned long long)off, (unsigned long long)b->size);
	rc = cursor_begin(b, off, &c, e);
	while (!rc) {
		if (cursor_is_hole(&c) == hole) {
			*out = off > c.off ? off : c.off;
			break;
		}
		if (c.end >= b->size) {
			if (hole)
				*out = b->size;
			else
				rc = err_set(e, ERR_NOT_FOUND, "no data from %llu on",
					     (unsigned long long)off);
			break;
		}
		rc = cursor_next(&c, e);
	}
	cursor_end(&c);
	return rc;
}
