/* SPDX-License-Identifier: MIT */
/*
 * A directory's tree, from its entries in order.  Where a node ends depends on the
 * names near by and on nothing else (node.h), so that a change re-cuts its own
 * neighbourhood only, and equal directories have equal nodes wherever they are.
 */
#include "store/format/node.h"

#include <stdlib.h>

#include "store/base/digest.h"
#include "store/format/nodepart.h"

#define LEAF_CUT_MASK	0x1ffu	/* one name in 512 */
#define INNER_CUT_MASK	0x3fu	/* one child in 64 */
#define ENTRY_OWNER_AT	6u	/* where a record holds its owner (entryrec.h) */

/* What a node being built says to its parent. */
struct sums {
	uint64_t entries, subdirs;
	struct totals totals;
};

struct level {
	struct buf body;
	uint32_t nr;		/* entries or children in body */
	bool used;		/* has had one since the directory began */
	struct sums sums;
	char first[NAME_LEN_MAX];
	size_t first_len;
	struct object_id child;	/* the last added: the root, where it is the only one */
};

struct dir_builder {
	node_emit_fn *emit;
	void *ctx;
	struct level levels[NODE_LEVEL_MAX + 1];
	struct sums all;
	struct buf owners;	/* the leaf's table as it will be written, without the count ... */
	struct buf owners_at;	/* ... and where each row begins: uint32_t */
	uint32_t nr_owners, last_owner;
	struct buf rec, row, out;	/* one entry's record, its owner's, one node */
	char last[NAME_LEN_MAX];
	size_t last_len;	/* 0: none yet */
};

enum err_code dir_builder_open(node_emit_fn *emit, void *ctx, struct dir_builder **out,
			       struct err *e)
{
	struct dir_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return err_set(e, ERR_NOMEM, "directory builder");
	b->emit = emit;
	b->ctx = ctx;
	*out = b;
	return ERR_OK;
}

void dir_builder_close(struct dir_builder *b)
{
	if (!b)
		return;
	for (unsigned i = 0; i <= NODE_LEVEL_MAX; i++)
		buf_release(&b->levels[i].body);
	buf_release(&b->owners);
	buf_release(&b->owners_at);
	buf_release(&b->rec);
	buf_release(&b->row);
	buf_release(&b->out);
	free(b);
}

static void level_empty(struct level *l)
{
	buf_reset(&l->body);
	l->nr = 0;
	l->sums = (struct sums){ 0 };
}

static void owners_empty(struct dir_builder *b)
{
	buf_reset(&b->owners);
	buf_reset(&b->owners_at);
	b->nr_owners = 0;
	b->last_owner = 0;
}

static void builder_empty(struct dir_builder *b)
{
	for (unsigned i = 0; i <= NODE_LEVEL_MAX; i++) {
		level_empty(&b->levels[i]);
		b->levels[i].used = false;
	}
	owners_empty(b);
	b->all = (struct sums){ 0 };
	b->last_len = 0;
}

static enum err_code sums_add(struct sums *s, const struct sums *a, struct err *e)
{
	s->entries += a->entries;	/* bounded by the totals, which are checked */
	s->subdirs += a->subdirs;
	return totals_add(&s->totals, &a->totals, e);
}

static enum err_code emit_out(struct dir_builder *b, struct object_id *id, struct err *e)
{
	if (b->out.bad)
		return err_set(e, ERR_NOMEM, "directory node");
	return b->emit(b->ctx, b->out.p, b->out.len, id, e);
}

/* Emit the node that level holds, and empty the level. */
static enum err_code level_emit(struct dir_builder *b, unsigned level, struct object_id *id,
				struct err *e)
{
	struct level *l = &b->levels[level];
	enum err_code rc;

	buf_reset(&b->out);
	node_head_encode(level ? NODE_DIR_INNER : NODE_DIR_LEAF, level, l->nr, &b->out);
	if (level == 0) {
		buf_add_le16(&b->out, (uint16_t)b->nr_owners);
		buf_add(&b->out, b->owners.p, b->owners.len);
	}
	buf_add(&b->out, l->body.p, l->body.len);
	b->out.bad |= l->body.bad || b->owners.bad;
	rc = emit_out(b, id, e);
	level_empty(l);
	if (level == 0)
		owners_empty(b);
	return rc;
}

static enum err_code level_flush(struct dir_builder *b, unsigned level, struct err *e);

/* A node of the level below has been emitted: enter it at level. */
static enum err_code child_add(struct dir_builder *b, unsigned level, const struct object_id *id,
			       const struct sums *sums, const char *first, size_t first_len,
			       struct err *e)
{
	struct level *l = &b->levels[level];
	enum err_code rc = ERR_OK;

	if (l->nr > 0 &&
	    NODE_HEAD_LEN + l->body.len + CHILD_FIXED_LEN + first_len > NODE_CUT_MAX)
		rc = level_flush(b, level, e);
	if (rc)
		return rc;
	if (l->nr == 0) {
		memcpy(l->first, first, first_len);
		l->first_len = first_len;
	}
	buf_add(&l->body, id->b, ID_LEN);
	buf_add_le64(&l->body, sums->entries);
	buf_add_le64(&l->body, sums->subdirs);
	totals_encode(&sums->totals, &l->body);
	buf_add_le16(&l->body, (uint16_t)first_len);
	buf_add(&l->body, first, first_len);
	l->nr++;
	l->used = true;
	l->child = *id;
	rc = sums_add(&l->sums, sums, e);
	if (!rc && l->nr >= 2 && NODE_HEAD_LEN + l->body.len >= NODE_CUT_MIN &&
	    (digest_xxh3_seed(first, first_len, level) & INNER_CUT_MASK) == 0)
		rc = level_flush(b, level, e);
	return rc;
}

/* Emit what level holds and enter it one above. */
static enum err_code level_flush(struct dir_builder *b, unsigned level, struct err *e)
{
	struct level *l = &b->levels[level];
	struct sums sums = l->sums;
	struct object_id id;
	enum err_code rc;

	if (level == NODE_LEVEL_MAX)
		return err_set(e, ERR_LIMIT, "directory needs more than %u levels", NODE_LEVEL_MAX);
	rc = level_emit(b, level, &id, e);
	/* l->first stays as it was until something is added to l again */
	return rc ? rc : child_add(b, level + 1, &id, &sums, l->first, l->first_len, e);
}

static void owner_encode(const struct entry *ent, struct buf *out)
{
	buf_add_le32(out, ent->uid);
	buf_add_le32(out, ent->gid);
	buf_add_u8(out, (uint8_t)ent->user_len);
	buf_add(out, ent->user, ent->user_len);
	buf_add_u8(out, (uint8_t)ent->group_len);
	buf_add(out, ent->group, ent->group_len);
}

static size_t owner_off(const struct dir_builder *b, uint32_t i)
{
	uint32_t off;

	if (i == b->nr_owners)
		return b->owners.len;
	memcpy(&off, b->owners_at.p + (size_t)i * sizeof(off), sizeof(off));
	return off;
}

static bool owner_is(const struct dir_builder *b, uint32_t i, const uint8_t *row, size_t len)
{
	size_t off = owner_off(b, i);

	return owner_off(b, i + 1) - off == len && memcmp(b->owners.p + off, row, len) == 0;
}

/* The row's place in the leaf's table, nr_owners where it is not in it. */
static uint32_t owner_find(const struct dir_builder *b, const uint8_t *row, size_t len)
{
	if (b->nr_owners > 0 && owner_is(b, b->last_owner, row, len))
		return b->last_owner;
	for (uint32_t i = 0; i < b->nr_owners; i++)
		if (owner_is(b, i, row, len))
			return i;
	return b->nr_owners;
}

static void owner_append(struct dir_builder *b, const uint8_t *row, size_t len)
{
	uint32_t off = (uint32_t)b->owners.len;

	buf_add(&b->owners_at, &off, sizeof(off));
	buf_add(&b->owners, row, len);
	b->owners.bad |= b->owners_at.bad;
	b->nr_owners++;
}

static size_t leaf_len(const struct dir_builder *b)
{
	return NODE_HEAD_LEN + 2 + b->owners.len + b->levels[0].body.len;
}

static bool has_nul(const char *p, size_t len)
{
	return len > 0 && memchr(p, '\0', len);
}

/* The lengths that the encoding of ent relies on, and what its record does not hold. */
static enum err_code lengths_check(const struct entry *ent, struct err *e)
{
	if (ent->name_len > NAME_LEN_MAX || ent->target_len > TARGET_LEN_MAX ||
	    ent->xattrs_len > XATTRS_LEN_MAX || ent->content_len > LIST_LEN_MAX)
		return err_set(e, ERR_LIMIT, "name, target, attributes or content too long");
	if (ent->user_len > OWNER_LEN_MAX || has_nul(ent->user, ent->user_len) ||
	    ent->group_len > OWNER_LEN_MAX || has_nul(ent->group, ent->group_len))
		return err_set(e, ERR_LIMIT, "owner's name too long, or not one");
	return ERR_OK;
}

/* A decoder's word on what is being written: nothing is damaged, it cannot be stored. */
static enum err_code refused(struct err *e)
{
	err_prefix(e, "the format has no place for this");
	if (e)
		e->code = ERR_LIMIT;
	return ERR_LIMIT;
}

/*
 * Encode ent into rec, as of owner 0, and read it back: a source may hand us names
 * and attributes that no reader would accept, and a node that cannot be read loses
 * all that is in it.  *add gets what ent adds to its directory.
 */
static enum err_code record_make(struct buf *rec, const struct entry *ent, bool root,
				 struct sums *add, struct err *e)
{
	const struct owner owner = { 0 };
	enum err_code rc = lengths_check(ent, e);
	struct entry again;
	struct rd r;

	if (rc)
		return rc;
	buf_reset(rec);
	entryrec_encode(ent, 0, rec);
	if (rec->bad)
		return err_set(e, ERR_NOMEM, "entry");
	r = rd_init(rec->p, rec->len);
	rc = entryrec_decode(&r, &owner, 1, root, &again, e);
	*add = (struct sums){ .entries = 1 };
	if (!rc && !rd_end(&r))
		rc = err_set(e, ERR_CORRUPT, "record of %zu bytes", rec->len);
	if (!rc) {
		add->subdirs = again.type == ENTRY_DIR;
		rc = totals_add_entry(&add->totals, &again, e);
	}
	return rc ? refused(e) : ERR_OK;
}

/* Put the record in b->rec, of owner b->row, into the leaf that has room for it. */
static enum err_code record_add(struct dir_builder *b, const struct entry *ent,
				const struct sums *add, struct err *e)
{
	struct level *l = &b->levels[0];
	enum err_code rc = ERR_OK;
	uint32_t owner;
	size_t row_len;

	if (b->owners.bad)
		return err_set(e, ERR_NOMEM, "directory node");
	owner = owner_find(b, b->row.p, b->row.len);
	row_len = owner < b->nr_owners ? 0 : b->row.len;

	if (l->nr > 0 && leaf_len(b) + row_len + b->rec.len > NODE_CUT_MAX) {
		rc = level_flush(b, 0, e);
		owner = 0;		/* the new leaf's table is empty */
	}
	if (rc)
		return rc;
	if (owner == b->nr_owners)
		owner_append(b, b->row.p, b->row.len);
	b->last_owner = owner;
	put_le16(b->rec.p + ENTRY_OWNER_AT, (uint16_t)owner);
	if (l->nr == 0) {
		memcpy(l->first, ent->name, ent->name_len);
		l->first_len = ent->name_len;
	}
	buf_add(&l->body, b->rec.p, b->rec.len);
	/* The next entry's owner is looked for among those that are there. */
	if (b->owners.bad || l->body.bad)
		return err_set(e, ERR_NOMEM, "directory node");
	l->nr++;
	l->used = true;
	memcpy(b->last, ent->name, ent->name_len);
	b->last_len = ent->name_len;
	rc = sums_add(&l->sums, add, e);
	if (!rc && leaf_len(b) >= NODE_CUT_MIN &&
	    (digest_xxh3(ent->name, ent->name_len) & LEAF_CUT_MASK) == 0)
		rc = level_flush(b, 0, e);
	return rc;
}

enum err_code dir_builder_add(struct dir_builder *b, const struct entry *ent, struct err *e)
{
	struct sums add, all = b->all;
	enum err_code rc;

	rc = record_make(&b->rec, ent, false, &add, e);
	if (rc)
		return rc;
	if (b->last_len > 0 &&
	    entry_name_cmp(b->last, b->last_len, ent->name, ent->name_len) >= 0)
		return err_set(e, ERR_USAGE, "entry \"%.*s\" is out of order or there twice",
			       (int)ent->name_len, ent->name);
	if (sums_add(&all, &add, e))
		return refused(e);
	buf_reset(&b->row);
	owner_encode(ent, &b->row);
	if (b->row.bad)
		return err_set(e, ERR_NOMEM, "owner");
	b->all = all;
	return record_add(b, ent, &add, e);
}

enum err_code dir_builder_finish(struct dir_builder *b, struct entry *dir, struct err *e)
{
	enum err_code rc = ERR_OK;
	struct object_id id;
	unsigned level = 0;

	/* Close the last node of each level below the highest; that one is the root. */
	for (; !rc && level < NODE_LEVEL_MAX && b->levels[level + 1].used; level++)
		if (b->levels[level].nr > 0)
			rc = level_flush(b, level, e);
	if (!rc && level > 0 && b->levels[level].nr == 1)
		id = b->levels[level].child;	/* one child needs no node above it */
	else if (!rc)
		rc = level_emit(b, level, &id, e);
	if (!rc) {
		dir->node = id;
		dir->below = b->all.totals;
		dir->nr_entries = b->all.entries;
		dir->nr_subdirs = b->all.subdirs;
	}
	builder_empty(b);
	return rc;
}

enum err_code root_emit(const struct entry *root, node_emit_fn *emit, void *ctx,
			struct object_id *id, struct err *e)
{
	struct buf out = BUF_INIT, rec = BUF_INIT;
	struct sums sums;
	enum err_code rc;

	if (root->name_len != 0 || root->type != ENTRY_DIR)
		return err_set(e, ERR_USAGE, "a root is a directory without a name");
	rc = record_make(&rec, root, true, &sums, e);
	if (rc)
		goto out;
	node_head_encode(NODE_ROOT, 0, 1, &out);
	buf_add_le16(&out, 1);
	owner_encode(root, &out);
	buf_add(&out, rec.p, rec.len);
	rc = out.bad ? err_set(e, ERR_NOMEM, "root node") : emit(ctx, out.p, out.len, id, e);
out:
	buf_release(&rec);
	buf_release(&out);
	return rc;
}
