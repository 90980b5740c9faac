/* SPDX-License-Identifier: MIT */
/* What a writer makes of the ledger. */
#include "store/damage_internal.h"

#include "store/engine/pack.h"

static enum err_code doubt_one(void *ctx, const struct damage *d, struct err *e)
{
	struct packtable t = { 0 };
	struct store *s = ctx;
	enum err_code rc;

	if (!id_is_zero(&d->chunk)) {
		buf_add(damage_doubted(s), &d->chunk, sizeof(d->chunk));
		return damage_doubted(s)->bad ? err_set(e, ERR_NOMEM, "the ledger of damage") : ERR_OK;
	}
	if (d->off > 0) {	/* the chunks of the block are noted by themselves */
		chunks_known_block(s->chunks, &d->pack, d->off);
		return ERR_OK;
	}
	rc = pack_read_table(s->backend, &d->pack, &t, e);
	packtable_release(&t);
	if (rc == ERR_ABSENT || rc == ERR_NOMEM)
		return rc;
	err_clear(e);
	return rc ? chunks_condemn(s->chunks, &d->pack, 1, e) : ERR_OK;
}

enum err_code damage_doubt(struct store *s, struct err *e)
{
	struct buf *b = damage_doubted(s);
	enum err_code rc;

	buf_reset(b);
	rc = damage_each(s, doubt_one, s, e);
	if (!rc)
		rc = chunks_doubt(s->chunks, (const struct object_id *)(const void *)b->p,
				  b->len / sizeof(struct object_id), e);
	if (rc)
		err_prefix(e, "the ledger of damage");
	return rc;
}

void damage_settle(struct store *s)
{
	const struct buf *b = damage_doubted(s);
	struct object_id id;
	size_t nr = 0;

	for (size_t i = 0; i < b->len / sizeof(id); i++) {
		memcpy(&id, b->p + i * sizeof(id), sizeof(id));
		if (chunks_doubted(s->chunks, &id))
			continue;
		mended_note_chunk(s, &id);
		nr++;
	}
	if (nr > 0)
		store_event(s, EVENT_NOTE, NULL, NULL, "%zu chunks that were found damaged are whole "
			    "again: stored anew, or mended", nr);
	damage_flush(s);
}
