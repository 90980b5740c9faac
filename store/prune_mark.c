/* SPDX-License-Identifier: MIT */
/* What snapshots need.  A node met again is not walked again; what cannot be read ends the walk. */
#include <stdlib.h>

#include "store/base/digest.h"
#include "store/base/bytes.h"
#include "store/prune_internal.h"
#include "store/tree.h"

uint64_t live_key(const struct live *l, const struct object_id *id)
{
	return digest_xxh3_seed(id->b, ID_LEN, l->seed);
}

void live_release(struct live *l)
{
	keyset_release(&l->chunks);
	buf_release(&l->stack);
}

static enum err_code add_id(struct live *l, const struct object_id *id, bool node, struct err *e)
{
	bool is_new = false;
	enum err_code rc = keyset_add(&l->chunks, live_key(l, id), &is_new, e);

	return !rc && is_new && l->on_chunk ? l->on_chunk(l->ctx, id, node, e) : rc;
}

static enum err_code add_chunk(struct live *l, const struct object_id *id, struct err *e)
{
	return add_id(l, id, false, e);
}

/* A chunk that is a node too is told apart by a key of its own: as a chunk alone it was not walked. */
static enum err_code add_node(struct live *l, const struct object_id *id, struct err *e)
{
	enum err_code rc = add_id(l, id, true, e);
	bool is_new = false;

	if (!rc)
		rc = keyset_add(&l->chunks, digest_xxh3_seed(id->b, ID_LEN, ~l->seed), &is_new, e);
	if (rc || !is_new)
		return rc;
	buf_add(&l->stack, id, sizeof(*id));
	return l->stack.bad ? err_set(e, ERR_NOMEM, "nodes to be walked") : ERR_OK;
}

static enum err_code add_segment(struct live *l, const struct segment *g, struct err *e)
{
	return g->kind == SEGMENT_CHUNK ? add_chunk(l, &g->id, e) : ERR_OK;
}

static enum err_code add_entry(struct live *l, const struct entry *ent, struct err *e)
{
	struct rd r = rd_init(ent->content_p, ent->content == CONTENT_LIST ? ent->content_len : 0);
	enum err_code rc = ERR_OK;
	struct entry_xattr x;
	struct segment g;

	for (size_t i = 0; !rc && entry_xattr_at(ent, i, &x); i++)
		if (!x.inline_value)
			rc = add_chunk(l, &x.chunk, e);
	if (ent->type == ENTRY_DIR)
		return rc ? rc : add_node(l, &ent->node, e);
	if (ent->type != ENTRY_FILE)
		return rc;
	while (!rc && segment_next(&r, &g))
		rc = add_segment(l, &g, e);
	if (!rc && ent->content == CONTENT_NODE)
		rc = add_node(l, &ent->node, e);
	return rc;
}

static enum err_code add_row(struct live *l, const struct node *n, uint32_t i, struct err *e)
{
	struct segment g;
	struct entry ent;

	if (n->level > 0)
		return add_node(l, &n->children[i].id, e);
	if (n->kind == NODE_CONTENT_LEAF) {
		node_segment(n, i, &g);
		return add_segment(l, &g, e);
	}
	node_entry(n, i, &ent);
	return add_entry(l, &ent, e);
}

enum err_code live_add_tree(struct store *s, struct live *l, const struct object_id *root,
			    const atomic_bool *cancel, struct err *e)
{
	enum err_code rc = add_node(l, root, e);

	while (!rc && l->stack.len > 0) {
		const struct node *n = NULL;
		char hex[ID_HEX_LEN + 1];
		struct object_id id;
		void *pin = NULL;

		if (cancel && atomic_load(cancel)) {
			rc = err_set(e, ERR_CANCELED, "stopped on request");
			break;
		}
		l->stack.len -= sizeof(id);
		memcpy(&id, l->stack.p + l->stack.len, sizeof(id));
		rc = node_cache_get(s, &id, &n, &pin, e);
		if (rc && l->unread && rc != ERR_NOMEM && rc != ERR_ABSENT && rc != ERR_CANCELED) {
			err_clear(e);
			rc = l->unread(l->ctx, &id, e);
			continue;
		}
		if (rc) {
			err_prefix(e, "node %s", id_hex(&id, hex));
			break;
		}
		for (uint32_t i = 0; i < n->nr && !rc; i++)
			rc = add_row(l, n, i, e);
		node_cache_put(s, pin);
	}
	buf_reset(&l->stack);
	return rc;
}
