/* SPDX-License-Identifier: MIT */
#include "store/content_internal.h"

#include <assert.h>

#include "store/base/checked.h"
#include "store/format/limits.h"

/** Whether the list parses and is as long as the file. */
static enum err_code check_list(const struct content *ct, struct err *e)
{
	struct rd r = rd_init(ct->p, ct->len);
	uint64_t at = 0;
	struct segment g;

	if (ct->len > LIST_LEN_MAX)
		return err_set(e, ERR_CORRUPT, "a list of %zu bytes", ct->len);
	while (segment_next(&r, &g))
		if (add_u64(at, g.len, &at))
			return err_set(e, ERR_CORRUPT, "segments that do not fit in 64 bits");
	if (!rd_end(&r))
		return err_set(e, ERR_CORRUPT, "a list that does not parse");
	if (at != ct->size)
		return err_set(e, ERR_CORRUPT, "segments of %llu bytes in a file of %llu",
			       (unsigned long long)at, (unsigned long long)ct->size);
	return ERR_OK;
}

static enum err_code check(const struct content *ct, struct err *e)
{
	switch (ct->kind) {
	case CONTENT_NONE:
		if (ct->size != 0)
			break;
		return ERR_OK;
	case CONTENT_INLINE:
		if (ct->len != ct->size)
			break;
		return ERR_OK;
	case CONTENT_LIST:
		return check_list(ct, e);
	case CONTENT_NODE:
		return ERR_OK;
	}
	return err_set(e, ERR_CORRUPT, "content of kind %d in a file of %llu bytes", (int)ct->kind,
		       (unsigned long long)ct->size);
}

enum err_code content_of(struct store *s, const struct entry *ent, struct content *out,
			 struct err *e)
{
	struct content ct = {
		.s = s,
		.size = ent->size,
		.kind = ent->content,
		.node = ent->node,
		.p = ent->content_p,
		.len = ent->content_len,
	};
	enum err_code rc;

	if (ent->type != ENTRY_FILE)
		return err_set(e, ERR_USAGE, "\"%.*s\" is no regular file", (int)ent->name_len,
			       ent->name);
	rc = check(&ct, e);
	if (rc)
		err_prefix(e, "\"%.*s\"", (int)ent->name_len, ent->name);
	else
		*out = ct;
	return rc;
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
static enum err_code content_node_get(const struct content *ct,
				      const struct object_id *id, const struct node *parent,
				      uint64_t bytes, const struct node **out, void **pin,
				      struct err *e)
{
	char hex[ID_HEX_LEN + 1];
	const struct node *n;
	enum err_code rc;
	void *held;

	rc = node_cache_get(ct->s, id, &n, &held, e);
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
		node_cache_put(ct->s, held);
		return rc;
	}
	*out = n;
	*pin = held;
	return ERR_OK;
}

/** Descend to the leaf that holds off; c gets it pinned. */
static enum err_code find_leaf(struct cursor *c, uint64_t off, struct err *e)
{
	const struct content *ct = c->c;
	const struct node *n, *child;
	uint64_t start = 0;
	void *pin, *below;
	enum err_code rc;

	rc = content_node_get(ct, &ct->node, NULL, ct->size, &n, &pin, e);
	if (rc)
		return rc;
	while (n->level > 0) {	/* ends: each child's level is one less */
		uint32_t i = find_start(n->starts, n->nr, off - start);

		rc = content_node_get(ct, &n->children[i].id, n, n->children[i].bytes, &child,
				      &below, e);
		if (rc) {
			node_cache_put(ct->s, pin);
			return rc;
		}
		start += n->starts[i];
		node_cache_put(ct->s, pin);
		n = child;
		pin = below;
	}
	c->leaf = n;
	c->pin = pin;
	c->leaf_start = start;
	return ERR_OK;
}

void cursor_end(struct cursor *c)
{
	node_cache_put(c->c->s, c->pin);
	c->pin = NULL;
}

/** Segment c->i of the leaf. */
static void set_from_leaf(struct cursor *c)
{
	node_segment(c->leaf, c->i, &c->seg);
	c->off = c->leaf_start + c->leaf->starts[c->i];
	c->end = c->leaf_start + c->leaf->starts[c->i + 1];
}

/** The list's next segment, which content_of has seen to be there. */
static void set_from_list(struct cursor *c)
{
	bool ok = segment_next(&c->list, &c->seg);

	assert(ok);
	c->off = c->end;
	c->end += c->seg.len;
}

enum err_code cursor_begin(const struct content *ct, uint64_t off, struct cursor *c, struct err *e)
{
	enum err_code rc;

	assert(off < ct->size);
	*c = (struct cursor){ .c = ct };
	if (ct->kind == CONTENT_NODE) {
		rc = find_leaf(c, off, e);
		if (rc)
			return rc;
		c->i = find_start(c->leaf->starts, c->leaf->nr, off - c->leaf_start);
		set_from_leaf(c);
	} else if (ct->kind == CONTENT_LIST) {
		/* A list is short: writers keep to 16 segments. */
		c->list = rd_init(ct->p, ct->len);
		do {
			set_from_list(c);
		} while (c->end <= off);
	} else {
		c->end = ct->size;
	}
	return ERR_OK;
}

enum err_code cursor_next(struct cursor *c, struct err *e)
{
	const struct content *ct = c->c;

	if (ct->kind == CONTENT_LIST) {
		set_from_list(c);
	} else if (c->i + 1 == c->leaf->nr) {
		uint64_t off = c->end;

		cursor_end(c);
		return cursor_begin(ct, off, c, e);
	} else {
		c->i++;
		set_from_leaf(c);
	}
	return ERR_OK;
}

bool cursor_is_hole(const struct cursor *c)
{
	return c->c->kind != CONTENT_INLINE && c->seg.kind == SEGMENT_HOLE;
}

enum err_code cursor_data(const struct cursor *c, const uint8_t **data, struct chunk_ref *ref,
			  struct err *e)
{
	char hex[ID_HEX_LEN + 1];
	enum err_code rc;

	*ref = (struct chunk_ref){ 0 };
	if (c->c->kind == CONTENT_INLINE) {
		*data = c->c->p;
		return ERR_OK;
	}
	rc = chunk_of_tree(c->c->s, &c->seg.id, ref, e);
	if (!rc && ref->len != c->end - c->off) {
		rc = err_set(e, ERR_CORRUPT, "chunk %s has %zu bytes and not %llu",
			     id_hex(&c->seg.id, hex), ref->len,
			     (unsigned long long)(c->end - c->off));
		chunk_ref_release(c->c->s->chunks, ref);
		*ref = (struct chunk_ref){ 0 };
	}
	if (rc)
		err_prefix(e, "at byte %llu", (unsigned long long)c->off);
	else
		*data = ref->data;
	return rc;
}

enum err_code content_pread(const struct content *ct, uint64_t off, void *buf, size_t len,
			    size_t *n, struct err *e)
{
	uint8_t *to = buf;
	enum err_code rc;
	struct cursor c;
	size_t done = 0;

	if (off >= ct->size || len == 0) {
		*n = 0;
		return ERR_OK;
	}
	if (len > ct->size - off)
		len = (size_t)(ct->size - off);
	rc = cursor_begin(ct, off, &c, e);
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
				chunk_ref_release(ct->s->chunks, &ref);
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
