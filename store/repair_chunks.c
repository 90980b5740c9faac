/* SPDX-License-Identifier: MIT */
/* What cannot be mended where it lies: found elsewhere, put into new packs, and what it replaces deleted. */
#include "store/repair_internal.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/pool.h"
#include "store/engine/pack.h"
#include "store/engine/parity.h"
#include "store/snapshot.h"

/* A round: some of what is lost was found. */
struct round {
	struct repair *r;
	struct writer *w;		/* NULL: a dry run */
	bool *found;			/* of r->lost */
	size_t nr_found;
};

static enum err_code got(struct round *d, size_t i, const uint8_t *data, uint32_t len,
			 struct err *e)
{
	const struct lost *l = &((struct lost *)(void *)d->r->lost.p)[i];
	enum err_code rc = ERR_OK;

	if (d->found[i])
		return ERR_OK;
	if (d->w)
		rc = writer_put(d->w, l->node ? PACK_TREE : PACK_DATA, &l->id, data, len, NULL, e);
	d->found[i] = !rc;
	d->nr_found += !rc;
	return rc;
}

/* Other repositories: whatever their id, a chunk is known by its SHA-256. */
static enum err_code ask_others(struct round *d, struct err *e)
{
	struct repair *r = d->r;
	enum err_code rc = ERR_OK;
	const struct lost *l;
	size_t nr;

	l = lost_chunks(r, &nr);
	for (size_t i = 0; i < nr && !rc; i++) {
		repair_progress(r, "repair: other repositories", i, nr);
		rc = repair_canceled(r, e);
		for (size_t k = 0; k < r->nr_others && !rc && !d->found[i]; k++) {
			struct chunks *c = r->others[k]->chunks;
			struct chunk_ref ref = { 0 };

			if (chunks_get(c, &l[i].id, &ref, NULL))
				continue;
			rc = got(d, i, ref.data, (uint32_t)ref.len, e);
			chunk_ref_release(c, &ref);
			r->res->regained_other += !rc;
		}
	}
	return rc;
}

static enum err_code on_source(void *ctx, size_t i, const uint8_t *data, uint32_t len,
			       struct err *e)
{
	struct round *d = ctx;
	bool before = d->found[i];
	enum err_code rc = got(d, i, data, len, e);

	d->r->res->regained_source += !rc && !before;
	return rc;
}

static enum err_code ask_all(struct round *d, struct err *e)
{
	enum err_code rc = ask_others(d, e);
	size_t nr;

	(void)lost_chunks(d->r, &nr);
	if (!rc && d->nr_found < nr)
		rc = repair_sources(d->r, on_source, d, e);
	return rc;
}

/* Packs that stay damaged. */

static enum err_code any_table(struct repair *r, const struct object_id *id, struct packtable *t,
			       struct err *e)
{
	enum err_code rc = pack_read_table(r->s->backend, id, t, e);

	if (rc && !repair_stops(rc)) {
		err_clear(e);
		rc = pack_rescan(r->s->backend, id, t, e);
	}
	return rc;
}

/* What can be read of it. */
static enum err_code put_whole_of(struct repair *r, struct writer *w, const struct object_id *id,
				  struct err *e)
{
	struct packtable t = { 0 };
	enum err_code rc = any_table(r, id, &t, e);

	if (rc && !repair_stops(rc)) {
		err_clear(e);
		return ERR_OK;
	}
	for (uint32_t i = 0; !rc && i < t.nr_chunks; i++) {
		struct chunk_ref ref = { 0 };
		struct err why = ERR_INIT;
		bool have = false;

		rc = chunks_have(r->s->chunks, &t.chunks[i].id, &have, NULL, e);
		if (rc || have)		/* in a whole pack, too */
			continue;
		rc = chunks_get(r->s->chunks, &t.chunks[i].id, &ref, &why);
		if (rc && repair_stops(rc)) {
			*e = why;
			break;
		}
		if (!rc)
			rc = writer_put(w, t.kind, &t.chunks[i].id, ref.data, (uint32_t)ref.len, NULL, e);
		else
			rc = ERR_OK;	/* lost, where somebody needs it */
		chunk_ref_release(r->s->chunks, &ref);
	}
	packtable_release(&t);
	if (!rc)
		rc = repair_canceled(r, e);
	if (r->heart)
		heartbeat_beat(r->heart);
	return rc;
}

static enum err_code put_all_whole(struct repair *r, struct writer *w, struct err *e)
{
	enum err_code rc = ERR_OK;
	const struct bad_pack *p;
	size_t nr;

	p = bad_packs(r, &nr);
	for (size_t i = 0; i < nr && !rc; i++) {
		repair_progress(r, "repair: what is whole of damaged packs", i, nr);
		if (p[i].end == PACK_UNMENDED)
			rc = put_whole_of(r, w, &p[i].id, e);
	}
	return rc;
}

/* New packs. */

struct listing {
	struct buf ids;
};

static enum err_code add_id(void *ctx, const struct object_id *id, struct err *e)
{
	struct listing *l = ctx;

	buf_add(&l->ids, id, sizeof(*id));
	return l->ids.bad ? err_set(e, ERR_NOMEM, "a list of packs") : ERR_OK;
}

static bool is_unmended(const struct repair *r, const struct object_id *id)
{
	const struct bad_pack *p;
	size_t nr;

	p = bad_packs(r, &nr);
	for (size_t i = 0; i < nr; i++)
		if (id_eq(&p[i].id, id))
			return p[i].end == PACK_UNMENDED;
	return false;
}

/* Every pack that was not here before must be what was meant to be written. */
static enum err_code read_back(struct repair *r, const struct listing *before, struct err *e)
{
	struct listing now = { BUF_INIT };
	enum err_code rc = chunks_each_pack(r->s->chunks, add_id, &now, e);

	for (size_t i = 0; i < now.ids.len / sizeof(struct object_id) && !rc; i++) {
		struct object_id id;

		memcpy(&id, now.ids.p + i * sizeof(id), sizeof(id));
		if (is_unmended(r, &id) ||
		    (before->ids.len > 0 && bsearch(&id, before->ids.p, before->ids.len / sizeof(id),
						    sizeof(id), id_sort_cmp)))
			continue;
		rc = pack_is_whole(r->s->backend, &id, e);
		if (rc && !repair_stops(rc)) {
			err_prefix(e, "what was just written reads back wrong: replace the drive");
			rc = e->code = ERR_IO;
		}
	}
	buf_release(&now.ids);
	return rc;
}

/* A round: in the first one with all that is whole of damaged packs. */
static enum err_code write_round(struct round *d, bool first, struct err *e)
{
	struct repair *r = d->r;
	struct writer_config cfg = { .chunks = r->s->chunks, .backend = r->s->backend,
				     .params = r->s->super.params };
	unsigned nr = pool_nr_cpus();
	struct writer_stats stats;
	struct pool *pool = NULL;
	enum err_code rc = pool_open(nr, 4 * (size_t)nr, &pool, e);

	cfg.pool = pool;
	if (!rc)
		rc = writer_open(&cfg, &d->w, e);
	if (!rc && first)
		rc = put_all_whole(r, d->w, e);
	if (!rc)
		rc = ask_all(d, e);
	if (!rc)
		rc = writer_finish(d->w, e);
	if (!rc) {
		writer_stats(d->w, &stats);
		r->res->written_bytes += stats.stored_bytes;
	}
	writer_close(d->w);
	pool_close(pool);
	d->w = NULL;
	if (rc == ERR_IO)
		err_prefix(e, "what takes the place of damaged packs cannot be written, and nothing "
			      "was deleted; make room, or replace the drive");
	return rc;
}

/* As large as what stays damaged, at most, and the index grows, too. */
static enum err_code check_room(struct repair *r, struct err *e)
{
	uint64_t free_bytes = 0, total = 0, want = (uint64_t)16 << 20;
	const struct bad_pack *p;
	size_t nr;

	if (r->s->backend->ops->space(r->s->backend, &free_bytes, &total, NULL))
		return ERR_OK;
	p = bad_packs(r, &nr);
	for (size_t i = 0; i < nr; i++) {
		char name[PACK_NAME_LEN + 1];
		uint64_t size = 0;

		pack_name(&p[i].id, name);
		if (p[i].end == PACK_UNMENDED &&
		    !r->s->backend->ops->size(r->s->backend, name, &size, NULL))
			want += size + size / 16;
	}
	if (free_bytes < want)
		return err_set(e, ERR_LIMIT, "no room for what takes the place of damaged packs: it needs "
			       "%llu MiB, %llu are free", (unsigned long long)(want >> 20),
			       (unsigned long long)(free_bytes >> 20));
	return ERR_OK;
}

static void note_regained(struct round *d)
{
	const struct lost *l;
	size_t nr;

	l = lost_chunks(d->r, &nr);
	for (size_t i = 0; i < nr; i++)
		if (d->found[i])
			mended_note_chunk(d->r->s, &l[i].id);
}

static enum err_code one_round(struct repair *r, bool first, bool *more, struct err *e)
{
	struct listing before = { BUF_INIT };
	struct round d = { .r = r };
	enum err_code rc;
	size_t nr;

	(void)lost_chunks(r, &nr);
	d.found = calloc(nr + 1, sizeof(*d.found));
	rc = d.found ? chunks_each_pack(r->s->chunks, add_id, &before, e)
		     : err_set(e, ERR_NOMEM, "%zu chunks", nr);
	if (!rc)
		rc = write_round(&d, first, e);
	if (!rc)
		rc = repair_reload(r, e);
	if (!rc)
		rc = read_back(r, &before, e);
	if (!rc)
		note_regained(&d);
	*more = d.nr_found > 0;
	if (!rc)
		rc = repair_find_lost(r, e);
	buf_release(&before.ids);
	free(d.found);
	return rc;
}

enum err_code repair_chunks(struct repair *r, struct err *e)
{
	enum err_code rc = check_room(r, e);
	bool more = true;

	/* Below a node that is back something else may be lost. */
	for (bool first = true; !rc && (first || (more && r->lost.len > 0)); first = false)
		rc = one_round(r, first, &more, e);
	return rc;
}

/* A dry run's packs would be whole: what their tables name is not lost. */
static enum err_code guess_packs(struct round *d, bool *unknown, struct err *e)
{
	struct repair *r = d->r;
	enum err_code rc = ERR_OK;
	const struct bad_pack *p;
	size_t nr;

	p = bad_packs(r, &nr);
	for (size_t i = 0; i < nr && !rc; i++) {
		struct packtable t = { 0 };

		if (p[i].end == PACK_UNMENDED)
			continue;
		rc = pack_read_table(r->s->backend, &p[i].id, &t, e);
		for (size_t k = 0; rc && !repair_stops(rc) && k < r->nr_others; k++) {
			err_clear(e);
			rc = pack_read_table(r->others[k]->backend, &p[i].id, &t, e);
		}
		if (rc && repair_stops(rc))
			return rc;
		*unknown = *unknown || rc;
		err_clear(e);
		rc = ERR_OK;
		for (uint32_t c = 0; c < t.nr_chunks; c++) {
			size_t at = repair_lost_at(r, &t.chunks[c].id);

			if (at != SIZE_MAX)
				d->found[at] = true;
		}
		packtable_release(&t);
	}
	return rc;
}

enum err_code repair_chunks_guess(struct repair *r, struct err *e)
{
	struct round d = { .r = r };
	bool unknown = false;
	size_t nr, kept = 0;
	struct lost *l;
	enum err_code rc;

	l = lost_chunks(r, &nr);
	d.found = calloc(nr + 1, sizeof(*d.found));
	if (!d.found)
		return err_set(e, ERR_NOMEM, "%zu chunks", nr);
	rc = guess_packs(&d, &unknown, e);
	if (!rc)
		rc = ask_all(&d, e);
	/* A pack that would be mended, table and all, has what is in no table now. */
	for (size_t i = 0; i < nr && !rc && !unknown; i++)
		if (!d.found[i])
			l[kept++] = l[i];
	if (!rc)
		r->lost.len = kept * sizeof(*l);
	free(d.found);
	return rc;
}
