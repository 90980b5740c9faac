/* SPDX-License-Identifier: MIT */
#include "store/format/node.h"

#include <assert.h>
#include <stdlib.h>

#include "store/base/checked.h"
#include "store/format/nodepart.h"

static const uint8_t magic[4] = "VNOD";

#define OWNER_FIXED_LEN	10u	/* uid, gid, two lengths */

void node_head_encode(enum node_kind kind, unsigned level, uint32_t nr, struct buf *out)
{
	buf_add(out, magic, sizeof(magic));
	buf_add_u8(out, NODE_VERSION);
	buf_add_u8(out, (uint8_t)kind);
	buf_add_u8(out, (uint8_t)level);
	buf_add_u8(out, 0);
	buf_add_le32(out, nr);
	buf_add_le32(out, 0);
}

void node_release(struct node *n)
{
	free(n->owners);
	free(n->offs);
	free(n->starts);
	free(n->children);
	*n = (struct node){ 0 };
}

/*
 * An array for nr items that take at least item_len bytes each of what r has
 * left: so memory is bounded by the length of the input, whatever it claims.
 */
static enum err_code array_alloc(const struct rd *r, uint32_t nr, size_t item_len, size_t size,
				 void *out, struct err *e)
{
	void *p;

	if (nr > rd_left(r) / item_len)
		return err_set(e, ERR_CORRUPT, "%u items in %zu bytes", nr, rd_left(r));
	p = calloc((size_t)nr + 1, size);
	if (!p)
		return err_set(e, ERR_NOMEM, "node of %u items", nr);
	memcpy(out, &p, sizeof(p));
	return ERR_OK;
}

/* One name of an owner: u8 length, bytes, no NUL among them. */
static const char *owner_name(struct rd *r, size_t *len)
{
	const char *p;

	*len = rd_u8(r);
	p = (const char *)rd_take(r, *len);
	if (p && memchr(p, '\0', *len))
		r->bad = true;
	return p;
}

static enum err_code owners_decode(struct rd *r, struct node *n, struct err *e)
{
	enum err_code rc;

	n->nr_owners = rd_le16(r);
	rc = array_alloc(r, n->nr_owners, OWNER_FIXED_LEN, sizeof(n->owners[0]), &n->owners, e);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < n->nr_owners; i++) {
		struct owner *o = &n->owners[i];

		o->uid = rd_le32(r);
		o->gid = rd_le32(r);
		o->user = owner_name(r, &o->user_len);
		o->group = owner_name(r, &o->group_len);
	}
	return r->bad ? err_set(e, ERR_CORRUPT, "owners") : ERR_OK;
}

/* Directory leaves, and roots, which are leaves of one entry without a name. */
static enum err_code leaf_decode(struct rd *r, struct node *n, struct err *e)
{
	bool root = n->kind == NODE_ROOT;
	struct totals sum = { 0 };
	struct entry last = { 0 };
	enum err_code rc;

	rc = owners_decode(r, n, e);
	if (!rc)
		rc = array_alloc(r, n->nr, ENTRY_FIXED_LEN, sizeof(n->offs[0]), &n->offs, e);
	if (rc)
		return rc;
	if (root && n->nr != 1)
		return err_set(e, ERR_CORRUPT, "root of %u entries", n->nr);
	for (uint32_t i = 0; i < n->nr; i++) {
		struct entry ent;

		n->offs[i] = (uint32_t)(r->p - n->buf);
		rc = entryrec_decode(r, n->owners, n->nr_owners, root, &ent, e);
		if (rc)
			return rc;
		if (root && (ent.name_len != 0 || ent.type != ENTRY_DIR))
			return err_set(e, ERR_CORRUPT, "root is no nameless directory");
		if (i > 0 && entry_name_cmp(last.name, last.name_len, ent.name, ent.name_len) >= 0)
			return err_set(e, ERR_CORRUPT, "entry %u is out of order", i);
		rc = totals_add_entry(&sum, &ent, e);
		if (rc)
			return rc;
		last = ent;
	}
	return ERR_OK;
}

static enum err_code child_decode(struct rd *r, struct node_child *c, struct err *e)
{
	rd_copy(r, c->id.b, ID_LEN);
	c->entries = rd_le64(r);
	c->subdirs = rd_le64(r);
	totals_decode(r, &c->totals);
	c->first_len = rd_le16(r);
	c->first = (const char *)rd_take(r, c->first_len);
	if (!c->first)
		return err_set(e, ERR_CORRUPT, "child cut short");
	if (!entry_name_ok(c->first, c->first_len))
		return err_set(e, ERR_CORRUPT, "first name of %zu bytes is not one", c->first_len);
	if (c->entries == 0)
		return err_set(e, ERR_CORRUPT, "child without entries");
	return totals_check(&c->totals, c->entries, c->subdirs, e);
}

static enum err_code dir_inner_decode(struct rd *r, struct node *n, struct err *e)
{
	struct totals sum = { 0 };
	uint64_t entries = 0;
	enum err_code rc;

	rc = array_alloc(r, n->nr, CHILD_FIXED_LEN + 1, sizeof(n->children[0]), &n->children, e);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < n->nr; i++) {
		struct node_child *c = &n->children[i];

		rc = child_decode(r, c, e);
		if (!rc)
			rc = totals_add(&sum, &c->totals, e);
		if (rc)
			return rc;
		/* entries <= files + dirs + others, so that these cannot wrap before sum does */
		entries += c->entries;
		if (i > 0 && entry_name_cmp(c[-1].first, c[-1].first_len, c->first,
					    c->first_len) >= 0)
			return err_set(e, ERR_CORRUPT, "child %u is out of order", i);
	}
	if (entries > TOTALS_COUNT_MAX)
		return err_set(e, ERR_CORRUPT, "%llu entries", (unsigned long long)entries);
	return ERR_OK;
}

/* starts[i + 1], from starts[i] and what is there. */
static enum err_code starts_add(struct node *n, uint32_t i, uint64_t len, struct err *e)
{
	if (add_u64(n->starts[i], len, &n->starts[i + 1]) || n->starts[i + 1] > FILE_SIZE_MAX)
		return err_set(e, ERR_CORRUPT, "content larger than a file can be");
	return ERR_OK;
}

static enum err_code content_leaf_decode(struct rd *r, struct node *n, struct err *e)
{
	enum err_code rc;

	rc = array_alloc(r, n->nr, SEGMENT_HOLE_LEN, sizeof(n->offs[0]), &n->offs, e);
	if (!rc)
		rc = array_alloc(r, n->nr, SEGMENT_HOLE_LEN, sizeof(n->starts[0]), &n->starts, e);
	for (uint32_t i = 0; !rc && i < n->nr; i++) {
		struct segment s;

		n->offs[i] = (uint32_t)(r->p - n->buf);
		if (!segment_next(r, &s))
			return err_set(e, ERR_CORRUPT, "segment %u", i);
		rc = starts_add(n, i, s.len, e);
	}
	return rc;
}

static enum err_code content_inner_decode(struct rd *r, struct node *n, struct err *e)
{
	enum err_code rc;

	rc = array_alloc(r, n->nr, CHILD_CONTENT_LEN, sizeof(n->children[0]), &n->children, e);
	if (!rc)
		rc = array_alloc(r, n->nr, CHILD_CONTENT_LEN, sizeof(n->starts[0]), &n->starts, e);
	for (uint32_t i = 0; !rc && i < n->nr; i++) {
		struct node_child *c = &n->children[i];

		rd_copy(r, c->id.b, ID_LEN);
		c->bytes = rd_le64(r);
		if (c->bytes == 0)
			return err_set(e, ERR_CORRUPT, "child %u is empty", i);
		rc = starts_add(n, i, c->bytes, e);
	}
	return rc;
}

static enum err_code head_decode(struct rd *r, struct node *n, struct err *e)
{
	uint8_t m[4], version, kind, zero;
	uint32_t zeros;
	bool inner;

	rd_copy(r, m, sizeof(m));
	version = rd_u8(r);
	kind = rd_u8(r);
	n->level = rd_u8(r);
	zero = rd_u8(r);
	n->nr = rd_le32(r);
	zeros = rd_le32(r);
	if (r->bad || memcmp(m, magic, sizeof(m)) != 0)
		return err_set(e, ERR_CORRUPT, "no node");
	if (version != NODE_VERSION)
		return err_set(e, version ? ERR_UNSUPPORTED : ERR_CORRUPT, "node version %u",
			       version);
	if (kind < NODE_DIR_LEAF || kind > NODE_ROOT)
		return err_set(e, ERR_CORRUPT, "node kind %u", kind);
	n->kind = (enum node_kind)kind;
	inner = n->kind == NODE_DIR_INNER || n->kind == NODE_CONTENT_INNER;
	if (inner ? n->level == 0 || n->level > NODE_LEVEL_MAX : n->level != 0)
		return err_set(e, ERR_CORRUPT, "node kind %u at level %u", kind, n->level);
	if (zero != 0 || zeros != 0)
		return err_set(e, ERR_CORRUPT, "node padding");
	if (n->nr == 0 && n->kind != NODE_DIR_LEAF)
		return err_set(e, ERR_CORRUPT, "node kind %u is empty", kind);
	return ERR_OK;
}

enum err_code node_decode(const uint8_t *buf, size_t len, struct node *n, struct err *e)
{
	struct rd r = rd_init(buf, len);
	enum err_code rc;

	*n = (struct node){ .buf = buf, .len = len };
	if (len > NODE_LEN_MAX)
		rc = err_set(e, ERR_CORRUPT, "node larger than %u", NODE_LEN_MAX);
	else
		rc = head_decode(&r, n, e);
	if (rc)
		goto out;
	switch (n->kind) {
	case NODE_DIR_LEAF:
	case NODE_ROOT:
		rc = leaf_decode(&r, n, e);
		break;
	case NODE_DIR_INNER:
		rc = dir_inner_decode(&r, n, e);
		break;
	case NODE_CONTENT_LEAF:
		rc = content_leaf_decode(&r, n, e);
		break;
	case NODE_CONTENT_INNER:
		rc = content_inner_decode(&r, n, e);
		break;
	}
	if (!rc && !rd_end(&r))
		rc = err_set(e, ERR_CORRUPT, "last item cut short, or bytes after it");
out:
	if (rc) {
		err_prefix(e, "node of %zu bytes", len);
		node_release(n);
	}
	return rc;
}

void node_entry(const struct node *n, uint32_t i, struct entry *out)
{
	enum err_code rc;
	struct rd r;

	assert((n->kind == NODE_DIR_LEAF || n->kind == NODE_ROOT) && i < n->nr);
	r = rd_init(n->buf + n->offs[i], n->len - n->offs[i]);
	rc = entryrec_decode(&r, n->owners, n->nr_owners, n->kind == NODE_ROOT, out, NULL);
	assert(rc == ERR_OK);		/* node_decode has checked these very bytes */
}

void node_segment(const struct node *n, uint32_t i, struct segment *out)
{
	struct rd r;
	bool ok;

	assert(n->kind == NODE_CONTENT_LEAF && i < n->nr);
	r = rd_init(n->buf + n->offs[i], n->len - n->offs[i]);
	ok = segment_next(&r, out);
	assert(ok);
}

/* The (first) name at i, without decoding the rest of the entry. */
static const char *name_at(const struct node *n, uint32_t i, size_t *len)
{
	const uint8_t *p;

	if (n->children) {
		*len = n->children[i].first_len;
		return n->children[i].first;
	}
	p = n->buf + n->offs[i];
	*len = (size_t)p[0] | (size_t)p[1] << 8;
	return (const char *)p + ENTRY_FIXED_LEN;
}

uint32_t node_lower_bound(const struct node *n, const char *name, size_t name_len)
{
	uint32_t lo = 0, hi = n->nr;

	assert(n->kind == NODE_DIR_LEAF || n->kind == NODE_DIR_INNER);
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		size_t len;
		const char *at = name_at(n, mid, &len);

		if (entry_name_cmp(at, len, name, name_len) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}
