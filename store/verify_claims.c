/* SPDX-License-Identifier: MIT */
/* What a reference to a node claims of it, compared with the node. */
#include <inttypes.h>

#include "store/base/bytes.h"
#include "store/base/digest.h"
#include "store/verify_internal.h"

/* Every field by itself: a struct has padding. */
uint64_t visit_key(const struct visit *v)
{
	uint8_t buf[ID_LEN + 3 + 10 * 8], *p = buf;

	p = put_bytes(p, v->id.b, ID_LEN);
	p = put_u8(p, (uint8_t)v->kind);
	p = put_u8(p, v->top);
	p = put_u8(p, (uint8_t)v->level);
	p = put_le64(p, v->first);
	p = put_le64(p, v->entries);
	p = put_le64(p, v->subdirs);
	p = put_le64(p, v->bytes);
	p = put_le64(p, v->totals.files);
	p = put_le64(p, v->totals.dirs);
	p = put_le64(p, v->totals.others);
	p = put_le64(p, v->totals.bytes);
	p = put_le64(p, v->totals.sums_len);
	p = put_le64(p, v->totals.sums_escaped);
	return digest_xxh3(buf, (size_t)(p - buf));
}

static bool same_totals(const struct totals *a, const struct totals *b)
{
	return a->files == b->files && a->dirs == b->dirs && a->others == b->others &&
	       a->bytes == b->bytes && a->sums_len == b->sums_len &&
	       a->sums_escaped == b->sums_escaped;
}

/* What a directory's node holds, added up from its own rows. */
static enum err_code add_up(const struct node *n, struct visit *sum, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (uint32_t i = 0; i < n->nr && !rc; i++) {
		if (n->level > 0) {
			rc = totals_add(&sum->totals, &n->children[i].totals, e);
			sum->entries += n->children[i].entries;
			sum->subdirs += n->children[i].subdirs;
		} else {
			struct entry ent;

			node_entry(n, i, &ent);
			rc = totals_add_entry(&sum->totals, &ent, e);
			sum->entries++;
			sum->subdirs += ent.type == ENTRY_DIR;
		}
	}
	return rc;
}

static uint64_t first_of(const struct node *n)
{
	struct entry ent;

	if (n->level > 0)
		return digest_xxh3(n->children[0].first, n->children[0].first_len);
	node_entry(n, 0, &ent);
	return digest_xxh3(ent.name, ent.name_len);
}

static enum err_code check_dir(const struct visit *v, const struct node *n, struct err *e)
{
	struct visit sum = { .kind = VISIT_DIR };
	enum err_code rc;

	if (n->kind != (n->level == 0 ? NODE_DIR_LEAF : NODE_DIR_INNER))
		return err_set(e, ERR_CORRUPT, "it is of kind %d and no directory's", (int)n->kind);
	if (!v->top && (n->nr == 0 || first_of(n) != v->first))
		return err_set(e, ERR_CORRUPT, "it begins with another name than its parent says");
	rc = add_up(n, &sum, e);
	if (rc)
		return rc;
	if (sum.entries != v->entries || sum.subdirs != v->subdirs)
		return err_set(e, ERR_CORRUPT,
			       "it has %" PRIu64 " entries and %" PRIu64
			       " folders, and its parent says %" PRIu64 " and %" PRIu64,
			       sum.entries, sum.subdirs, v->entries, v->subdirs);
	if (!same_totals(&sum.totals, &v->totals))
		return err_set(e, ERR_CORRUPT, "it has other totals than its parent says");
	return ERR_OK;
}

enum err_code visit_check(const struct visit *v, const struct node *n, struct err *e)
{
	if (v->kind == VISIT_ROOT)
		return n->kind == NODE_ROOT
			   ? ERR_OK
			   : err_set(e, ERR_CORRUPT, "it is of kind %d and no root", (int)n->kind);
	if (!v->top && n->level != v->level)
		return err_set(e, ERR_CORRUPT, "it has level %u where %u should be", n->level,
			       v->level);
	if (v->kind == VISIT_DIR)
		return check_dir(v, n, e);
	if (n->kind != (n->level == 0 ? NODE_CONTENT_LEAF : NODE_CONTENT_INNER))
		return err_set(e, ERR_CORRUPT, "it is of kind %d and no content's", (int)n->kind);
	if (n->starts[n->nr] != v->bytes)
		return err_set(e, ERR_CORRUPT, "it has %" PRIu64 " bytes and not %" PRIu64,
			       n->starts[n->nr], v->bytes);
	return ERR_OK;
}
