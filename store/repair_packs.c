/* SPDX-License-Identifier: MIT */
/* Packs: the same bytes under the same name. */
#include "store/repair_internal.h"

#include <stdlib.h>
#include <string.h>

#include "store/engine/mend.h"
#include "store/engine/pack.h"
#include "store/engine/parity.h"
#include "store/orphans_internal.h"

enum err_code pack_is_whole(struct backend *b, const struct object_id *id, struct err *e)
{
	return mend_read_pack(b, id, NULL, NULL, e);
}

/* Writing. */

struct target {
	struct repair *r;
	struct backend *b;
	struct backend_put *put;	/* NULL: a dry run, or nothing written so far */
	struct err failed;		/* of writing: no fault of who gave the bytes */
};

static enum err_code to_put(void *ctx, const uint8_t *buf, size_t len, struct err *e)
{
	struct target *t = ctx;
	enum err_code rc = repair_canceled(t->r, e);

	if (rc || t->r->o->dry_run)
		return rc;
	if (!t->put)
		rc = t->b->ops->put_begin(t->b, &t->put, e);
	if (!rc)
		rc = t->b->ops->put_add(t->put, buf, len, e);
	if (rc && e)
		t->failed = *e;
	return rc;
}

/* What was written has the pack's digest, as who wrote it has compared: it takes the pack's name, and is read back. */
static enum err_code commit(struct target *t, const struct object_id *id, struct err *e)
{
	struct backend_put *put = t->put;
	char name[PACK_NAME_LEN + 1];
	enum err_code rc;

	if (!put)
		return ERR_OK;
	t->put = NULL;
	pack_name(id, name);
	rc = t->b->ops->put_commit(put, name, e);
	if (!rc && pack_is_whole(t->b, id, e))
		rc = e->code = ERR_IO;
	if (rc) {
		err_prefix(e, "what was written cannot be relied on: replace the drive");
		t->failed = *e;
	}
	return rc;
}

/* Who could write it did; only the medium's own failures go further. */
static enum err_code written(struct target *t, enum err_code rc, const struct object_id *id,
			     struct err *e)
{
	if (!rc)
		rc = commit(t, id, e);
	if (t->put)
		t->b->ops->put_abort(t->put);
	return rc;
}

static bool is_hopeless(const struct target *t, enum err_code rc)
{
	return rc && (t->failed.code || repair_stops(rc));
}

/* From another repository's copy, which is whole. */
static enum err_code by_copy(struct repair *r, struct backend *from, const struct object_id *id,
			     struct target *t, struct err *e)
{
	*t = (struct target){ .r = r, .b = r->s->backend };
	return written(t, mend_read_pack(from, id, to_put, t, e), id, e);
}

/* From all copies together, ours too, and all their parity. */
static enum err_code by_union(struct repair *r, const struct object_id *id, struct target *t,
			      struct err *e)
{
	struct backend **all = calloc(r->nr_others + 1, sizeof(*all));
	struct parity_report report = { 0 };
	enum err_code rc;

	*t = (struct target){ .r = r, .b = r->s->backend };
	if (!all)
		return err_set(e, ERR_NOMEM, "a list of repositories");
	all[0] = r->s->backend;
	for (size_t i = 0; i < r->nr_others; i++)
		all[i + 1] = r->others[i]->backend;
	rc = parity_unite(all, r->nr_others + 1, id, to_put, t, &report, e);
	free(all);
	return written(t, rc, id, e);
}

static enum err_code by_parity(struct repair *r, const struct object_id *id, struct err *e)
{
	struct parity_report report = { 0 };
	enum err_code rc;

	if (r->o->dry_run) {
		struct target t = { .r = r, .b = r->s->backend };

		return parity_rebuild(r->s->backend, id, to_put, &t, &report, e);
	}
	rc = parity_mend(r->s->backend, id, &report, e);
	return rc ? rc : pack_is_whole(r->s->backend, id, e);
}

/* ERR_OK: tried; p->end tells. */
static enum err_code mend(struct repair *r, struct bad_pack *p, struct err *e)
{
	struct err why = ERR_INIT;
	struct target t = { .r = r };
	enum err_code rc = by_parity(r, &p->id, &why);

	if (!rc)
		p->end = PACK_BY_PARITY;
	else if (rc == ERR_LIMIT || repair_stops(rc))
		goto stop;
	for (size_t i = 0; i < r->nr_others && p->end == PACK_UNMENDED; i++) {
		err_clear(&why);
		rc = by_copy(r, r->others[i]->backend, &p->id, &t, &why);
		if (is_hopeless(&t, rc))
			goto stop;
		p->end = rc ? PACK_UNMENDED : PACK_BY_OTHER;
	}
	if (p->end == PACK_UNMENDED && r->nr_others > 0) {
		err_clear(&why);
		rc = by_union(r, &p->id, &t, &why);
		if (is_hopeless(&t, rc))
			goto stop;
		p->end = rc ? PACK_UNMENDED : PACK_BY_OTHER;
	}
	return ERR_OK;
stop:
	if (e)
		*e = why;
	return rc;
}

static void tell(struct repair *r, const struct bad_pack *p)
{
	char name[PACK_NAME_LEN + 1];
	bool dry = r->o->dry_run;

	pack_name(&p->id, name);
	if (p->end == PACK_BY_PARITY) {
		r->res->mended_parity++;
		repair_say(r, name, dry ? "can be mended by its parity" : "mended by its parity");
	} else if (p->end == PACK_BY_OTHER) {
		r->res->mended_other++;
		repair_say(r, name, dry ? "can be mended with another repository's help"
					: "mended with another repository's help");
	} else {
		repair_say(r, name, "cannot be made whole as it was");
	}
	if (p->end != PACK_UNMENDED && !dry)
		mended_note_pack(r->s, &p->id);
}

/* The pack is whole: its parity is made as it was, or anew. */
static enum err_code mend_parity_file(struct repair *r, const struct object_id *id, struct err *e)
{
	uint32_t share = r->s->super.params.parity;
	struct parity_report report = { 0 };
	struct err why = ERR_INIT;
	enum err_code rc = parity_check_file(r->s->backend, id, &report, &why);
	bool gone = rc == ERR_NOT_FOUND;

	if ((gone && share == 0) || (!rc && report.par_bad == 0 && !report.longer))
		return ERR_OK;
	if (!rc && report.permille > 0)
		share = report.permille;
	if (repair_stops(rc)) {
		*e = why;
		return rc;
	}
	if (!r->o->dry_run)
		rc = parity_write(r->s->backend, id, share ? share : PARITY_PERMILLE_DEFAULT, NULL, NULL,
				  e);
	else
		rc = ERR_OK;
	if (!rc && !gone)
		r->res->mended_files++;
	return rc;
}

static enum err_code mend_parities(struct repair *r, struct err *e)
{
	size_t nr = r->parities.len / sizeof(struct object_id);
	enum err_code rc = ERR_OK;

	r->res->damaged_parity = nr;
	for (size_t i = 0; i < nr && !rc; i++) {
		char name[PARITY_NAME_LEN + 1];
		struct object_id id;

		memcpy(&id, r->parities.p + i * sizeof(id), sizeof(id));
		repair_progress(r, "repair: parity", i, nr);
		rc = repair_canceled(r, e);
		if (!rc)
			rc = mend_parity_file(r, &id, e);
		parity_name(&id, name);
		if (!rc)
			repair_say(r, name, r->o->dry_run ? "can be made anew" : "whole");
		/* Its pack is damaged: that was told. */
		if (rc == ERR_CORRUPT || rc == ERR_NOT_FOUND) {
			err_clear(e);
			rc = ERR_OK;
		}
	}
	return rc;
}

enum err_code repair_packs(struct repair *r, struct err *e)
{
	enum err_code rc = ERR_OK;
	struct bad_pack *p;
	size_t nr;

	p = bad_packs(r, &nr);
	r->res->damaged_packs = nr;
	for (size_t i = 0; i < nr && !rc; i++) {
		repair_progress(r, "repair: packs", i, nr);
		rc = repair_canceled(r, e);
		if (!rc)
			rc = mend(r, &p[i], e);
		if (rc)
			break;
		tell(r, &p[i]);
		if (p[i].end == PACK_BY_OTHER && !r->o->dry_run)
			rc = mend_parity_file(r, &p[i].id, e);
		if (r->heart)
			heartbeat_beat(r->heart);
	}
	return rc ? rc : mend_parities(r, e);
}

/* Packs that are gone. */

enum err_code repair_add_orphans(struct repair *r, struct err *e)
{
	struct buf ids = BUF_INIT;
	enum err_code rc = orphans_find(r->s, &ids, e);

	for (size_t i = 0; !rc && i < ids.len; i += sizeof(struct object_id)) {
		struct bad_pack p = { .end = PACK_UNMENDED };

		memcpy(&p.id, ids.p + i, sizeof(p.id));
		buf_add(&r->packs, &p, sizeof(p));
		if (r->packs.bad)
			rc = err_set(e, ERR_NOMEM, "a list of packs");
	}
	buf_release(&ids);
	return rc;
}
