/* SPDX-License-Identifier: MIT */
/*
 * Damaged packs go when all that can be read of them was put into others, and nothing that a snapshot needs may still be
 * in them: what is lost today another drive may complete tomorrow, sector by sector.
 */
#include "store/repair_internal.h"

#include <stdlib.h>
#include <string.h>

#include "store/engine/pack.h"
#include "store/snapshot.h"

/* Something that is lost is in it, or may be. */
static enum err_code may_hold_lost(struct repair *r, const struct object_id *id, bool *may,
				   struct err *e)
{
	struct packtable t = { 0 };
	const struct lost *l;
	enum err_code rc;
	size_t nr;

	l = lost_chunks(r, &nr);
	*may = nr > 0;
	if (nr == 0)
		return ERR_OK;
	for (size_t i = 0; i < nr; i++)
		if (l[i].node)	/* below it anything may be needed */
			return ERR_OK;
	rc = pack_read_table(r->s->backend, id, &t, e);
	if (rc && !repair_stops(rc)) {
		err_clear(e);
		return ERR_OK;
	}
	*may = false;
	for (uint32_t i = 0; i < t.nr_chunks && !rc && !*may; i++)
		*may = repair_lost_at(r, &t.chunks[i].id) != SIZE_MAX;
	packtable_release(&t);
	return rc;
}

/* The same bytes may have been written anew: then it is whole. */
static enum err_code look_again(struct repair *r, struct bad_pack *p, struct err *e)
{
	struct err why = ERR_INIT;
	enum err_code rc = pack_is_whole(r->s->backend, &p->id, &why);

	if (rc && repair_stops(rc)) {
		*e = why;
		return rc;
	}
	if (!rc) {
		p->end = PACK_ANEW;
		r->res->mended_anew++;
		mended_note_pack(r->s, &p->id);
	}
	return ERR_OK;
}

static enum err_code candidates(struct repair *r, struct buf *out, struct err *e)
{
	enum err_code rc = ERR_OK;
	struct bad_pack *p;
	size_t nr;

	p = bad_packs(r, &nr);
	for (size_t i = 0; i < nr && !rc; i++) {
		bool may = true;

		if (p[i].end == PACK_UNMENDED)
			rc = look_again(r, &p[i], e);
		if (rc || p[i].end != PACK_UNMENDED)
			continue;
		rc = may_hold_lost(r, &p[i].id, &may, e);
		r->res->kept_packs += may;
		if (!rc && !may)
			buf_add(out, &p[i].id, sizeof(p[i].id));
	}
	return !rc && out->bad ? err_set(e, ERR_NOMEM, "a list of packs") : rc;
}

static enum err_code delete_one(struct repair *r, const struct object_id *id, struct err *e)
{
	char name[PACK_NAME_LEN + 1];
	enum err_code rc = condemned_delete(r->s, id, e);
	struct bad_pack *p;
	size_t nr;

	if (rc)
		return rc;
	pack_name(id, name);
	p = bad_packs(r, &nr);
	for (size_t i = 0; i < nr; i++)
		if (id_eq(&p[i].id, id))
			p[i].end = PACK_REPLACED;
	mended_note_pack(r->s, id);
	repair_say(r, name, "deleted: all that is needed of it is in other packs, read back");
	r->res->replaced_packs++;
	return ERR_OK;
}

/* Records whose packs are all gone have done their work. */
static enum err_code drop_records(struct repair *r, const struct condemned *c, struct err *e)
{
	uint64_t size;

	for (size_t i = 0; i < c->nr; i++) {
		char pack[PACK_NAME_LEN + 1];

		pack_name(&c->packs[i], pack);
		if (r->s->backend->ops->size(r->s->backend, pack, &size, NULL) != ERR_NOT_FOUND)
			return ERR_OK;
	}
	return condemned_end(r->s, c, e);
}

/* As a prune does: not while a writer may count on them, or when there are snapshots that were not walked. */
static enum err_code delete_all(struct repair *r, const struct object_id *ids, size_t nr,
				struct err *e)
{
	struct condemned c = { .nr = 0 };
	uint64_t writers = 0, stamp = 0;
	enum err_code rc = condemned_add(r->s, ids, nr, e);

	if (!rc)
		rc = condemned_read(r->s, &c, e);
	if (!rc)
		rc = heartbeats_unaware(r->s, &c, r->heart, &writers, e);
	if (!rc)
		rc = snapshot_list_stamp(r->s, &stamp, e);
	if (!rc && (writers > 0 || stamp != r->stamp))
		r->res->waiting_packs = nr;
	for (size_t i = 0; i < nr && !rc && r->res->waiting_packs == 0; i++) {
		rc = repair_canceled(r, e);
		if (!rc)
			rc = delete_one(r, &ids[i], e);
	}
	if (!rc && r->res->waiting_packs == 0)
		rc = drop_records(r, &c, e);
	condemned_release(&c);
	return rc;
}

enum err_code repair_delete(struct repair *r, struct err *e)
{
	struct buf ids = BUF_INIT;
	enum err_code rc = candidates(r, &ids, e);

	if (!rc && ids.len > 0)
		rc = delete_all(r, (const struct object_id *)(const void *)ids.p,
				ids.len / sizeof(struct object_id), e);
	buf_release(&ids);
	return rc;
}
