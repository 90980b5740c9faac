/* SPDX-License-Identifier: MIT */
#include "store/prune.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/base/digest.h"
#include "store/base/pool.h"
#include "store/damage_internal.h"
#include "store/engine/pack.h"
#include "store/engine/writer.h"
#include "store/orphans_internal.h"
#include "store/prune_internal.h"
#include "store/signature_internal.h"

#define ROOM_KEPT (64u << 20)	/* bytes that rewriting leaves free: the index grows, too */

struct prune {
	struct store *s;
	const struct prune_options *o;
	struct prune_result *res;
	struct heartbeat *heart;	/* NULL: there was no room for one; nothing is rewritten */
	struct condemned before;	/* when we began */
	struct live live;
	struct survey survey;
	struct buf orphans;		/* parity files that were without a pack when we began */
	uint64_t nr_orphans;		/* that were deleted */
};

static enum err_code canceled(const struct prune *p, struct err *e)
{
	if (p->o->cancel && atomic_load(p->o->cancel))
		return err_set(e, ERR_CANCELED, "prune stopped on request");
	return ERR_OK;
}

static void progress(struct prune *p, const char *what, uint64_t done, uint64_t all)
{
	const struct store_events *to = &p->s->events;
	const struct event ev = { .kind = EVENT_PROGRESS, .text = what, .files = done,
				  .files_total = all };

	if (to->fn)
		to->fn(to->ctx, &ev);
}

/* All snapshots that there are now; those met before cost a look. */
static enum err_code mark(struct prune *p, struct err *e)
{
	struct snapshot_list l = { 0 };
	enum err_code rc = snapshot_list_read(p->s, &l, e);

	if (!rc && l.nr_bad > 0)
		rc = err_set(e, ERR_CORRUPT, "snapshot %s cannot be read, so that what it needs is not known; "
			     "nothing is deleted", l.bad[0]);
	for (size_t i = 0; i < l.nr && !rc; i++) {
		progress(p, "prune: snapshots", i, l.nr);
		rc = live_add_tree(p->s, &p->live, &l.all[i].root, p->o->cancel, e);
		if (rc && rc != ERR_CANCELED)
			err_prefix(e, "snapshot %s cannot be read wholly; nothing is deleted",
				   l.all[i].name);
	}
	p->res->snapshots = l.nr;
	snapshot_list_release(&l);
	return rc;
}

static void add_up(struct prune *p)
{
	struct prune_result *r = p->res;

	for (size_t i = 0; i < p->survey.nr; i++) {
		const struct pack_survey *k = &p->survey.packs[i];

		r->packs++;
		r->bytes += k->len;
		if (k->fate == FATE_ODD) {
			r->odd_packs++;
		} else if (k->fate == FATE_UNNEEDED) {
			r->unneeded_packs++;
			r->unneeded_bytes += k->len;
		} else if (k->fate == FATE_REWRITE) {
			r->rewritten_packs++;
			r->rewritten_bytes += k->len;
		} else if (k->plain > k->needed) {
			r->unused_bytes += (uint64_t)((double)(k->plain - k->needed) /
						      (double)k->plain * (double)k->len);
		}
	}
}

/* What is rewritten needs room before anything goes. */
static void keep_room(struct prune *p)
{
	uint64_t free_bytes = 0, total = 0, want = ROOM_KEPT;

	if (p->s->backend->ops->space(p->s->backend, &free_bytes, &total, NULL))
		free_bytes = UINT64_MAX;
	for (size_t i = 0; i < p->survey.nr; i++) {
		struct pack_survey *k = &p->survey.packs[i];

		if (k->fate != FATE_REWRITE)
			continue;
		if (!p->heart || k->condemned || want + k->len > free_bytes)
			k->fate = FATE_KEEP;
		else
			want += k->len;
	}
}

/* Rewriting. */

static enum err_code put_needed(struct prune *p, struct writer *w, const struct packtable *t,
				struct err *e)
{
	enum err_code rc = ERR_OK;

	for (uint32_t i = 0; i < t->nr_chunks && !rc; i++) {
		const struct object_id *id = &t->chunks[i].id;
		struct chunk_ref ref = { 0 };

		if (!keyset_has(&p->live.chunks, live_key(&p->live, id)))
			continue;
		rc = chunks_get(p->s->chunks, id, &ref, e);	/* its SHA-256 is checked */
		if (rc)
			break;
		rc = writer_put(w, t->kind, id, ref.data, (uint32_t)ref.len, NULL, e);
		chunk_ref_release(p->s->chunks, &ref);
	}
	return rc;
}

static bool is_fatal(enum err_code rc)
{
	return rc == ERR_CANCELED || rc == ERR_ABSENT || rc == ERR_NOMEM;
}

/* What cannot be read stays where it is. */
static enum err_code rewrite_pack(struct prune *p, struct writer *w, struct pack_survey *k,
				  struct err *e)
{
	struct packtable t = { 0 };
	char name[PACK_NAME_LEN + 1];
	enum err_code rc = canceled(p, e);

	if (!rc)
		rc = pack_read_table(p->s->backend, &k->id, &t, e);
	if (!rc)
		rc = put_needed(p, w, &t, e);
	packtable_release(&t);
	if (rc && !is_fatal(rc) && rc != ERR_IO) {
		pack_name(&k->id, name);
		store_event(p->s, EVENT_WARNING, name, e, "is not rewritten");
		err_clear(e);
		k->fate = FATE_KEEP;
		rc = ERR_OK;
	}
	if (p->heart)
		heartbeat_beat(p->heart);
	return rc;
}

/* The packs that are to go are unknown to the writer, so that it stores what is needed of them. */
static enum err_code forget_packs(struct prune *p, struct err *e)
{
	enum err_code rc = chunks_condemn(p->s->chunks, p->before.packs, p->before.nr, e);

	for (size_t i = 0; i < p->survey.nr && !rc; i++)
		if (p->survey.packs[i].fate == FATE_REWRITE ||
		    p->survey.packs[i].fate == FATE_UNNEEDED)
			rc = chunks_condemn(p->s->chunks, &p->survey.packs[i].id, 1, e);
	return rc;
}

static enum err_code rewrite_all(struct prune *p, struct writer *w, struct err *e)
{
	enum err_code rc = ERR_OK;
	uint64_t done = 0;

	for (size_t i = 0; i < p->survey.nr && !rc; i++) {
		if (p->survey.packs[i].fate != FATE_REWRITE)
			continue;
		progress(p, "prune: packs rewritten", done++, p->res->rewritten_packs);
		rc = rewrite_pack(p, w, &p->survey.packs[i], e);
	}
	return rc ? rc : writer_finish(w, e);
}

static enum err_code rewrite(struct prune *p, struct err *e)
{
	struct writer_config cfg = { .chunks = p->s->chunks, .backend = p->s->backend,
				     .params = p->s->super.params };
	unsigned nr = pool_nr_cpus();
	struct writer_stats stats;
	struct writer *w = NULL;
	struct pool *pool = NULL;
	enum err_code rc = forget_packs(p, e);

	if (!rc)
		rc = pool_open(nr, 4 * (size_t)nr, &pool, e);
	cfg.pool = pool;
	if (!rc)
		rc = writer_open(&cfg, &w, e);
	if (!rc)
		rc = rewrite_all(p, w, e);
	if (!rc) {
		writer_stats(w, &stats);
		p->res->written_bytes = stats.stored_bytes;
	}
	writer_close(w);
	pool_close(pool);
	return rc;
}

/* Condemning. */

/* Those of survey that are to go, and what was condemned before; sorted. malloc'ed. */
static enum err_code candidates(const struct prune *p, struct object_id **out, size_t *nr,
				struct err *e)
{
	struct object_id *v = calloc(p->survey.nr + p->before.nr + 1, sizeof(*v));
	size_t n = 0;

	if (!v)
		return err_set(e, ERR_NOMEM, "%zu packs", p->survey.nr);
	for (size_t i = 0; i < p->survey.nr; i++)
		if (p->survey.packs[i].fate == FATE_REWRITE ||
		    p->survey.packs[i].fate == FATE_UNNEEDED)
			v[n++] = p->survey.packs[i].id;
	for (size_t i = 0; i < p->before.nr; i++)
		v[n++] = p->before.packs[i];
	qsort(v, n, sizeof(*v), id_sort_cmp);
	*out = v;
	*nr = n;
	return ERR_OK;
}

/* Look again, now that what was rewritten lies elsewhere: only what nothing needs any more is condemned. */
static enum err_code condemn(struct prune *p, struct err *e)
{
	struct object_id *v = NULL;
	struct survey again = { 0 };
	size_t nr = 0, kept = 0;
	enum err_code rc = candidates(p, &v, &nr, e);

	if (!rc)
		rc = survey_packs(p->s, &p->live, v, nr, 100, &again, e);
	for (size_t i = 0; i < again.nr && !rc; i++)
		if (again.packs[i].condemned && again.packs[i].fate == FATE_UNNEEDED &&
		    !condemned_has(&p->before, &again.packs[i].id))
			v[kept++] = again.packs[i].id;
	if (!rc && kept > 0)
		rc = condemned_add(p->s, v, kept, e);
	survey_release(&again);
	free(v);
	return rc;
}

/* Deleting. */

static enum err_code delete_pack(struct prune *p, const struct pack_survey *k, struct err *e)
{
	enum err_code rc = condemned_delete(p->s, &k->id, e);

	if (!rc) {
		mended_note_pack(p->s, &k->id);		/* of no concern any more */
		p->res->deleted_packs++;
		p->res->deleted_bytes += k->len;
	}
	return rc;
}

static enum err_code delete_all(struct prune *p, const struct condemned *c, struct err *e)
{
	struct survey now = { 0 };
	enum err_code rc = mark(p, e);		/* what was published meanwhile stays whole */

	if (!rc)
		rc = damage_learn(p->s, e);
	/*
	 * What stands for what goes must survive a power cut, and a snapshot that a killed forget
	 * took away must not come back with it.
	 */
	if (!rc)
		rc = chunks_settle(p->s->chunks, e);
	if (!rc && p->s->backend->ops->settle)
		rc = p->s->backend->ops->settle(p->s->backend, "snapshots/", e);
	if (!rc)
		rc = survey_packs(p->s, &p->live, c->packs, c->nr, 100, &now, e);
	for (size_t i = 0; i < now.nr && !rc; i++) {
		if (!now.packs[i].condemned || now.packs[i].fate != FATE_UNNEEDED)
			continue;
		progress(p, "prune: packs deleted", p->res->deleted_packs, c->nr);
		rc = canceled(p, e);
		if (!rc)
			rc = delete_pack(p, &now.packs[i], e);
	}
	if (!rc)
		rc = condemned_end(p->s, c, e);
	survey_release(&now);
	return rc;
}

static enum err_code delete_condemned(struct prune *p, struct err *e)
{
	struct condemned c = { .nr = 0 };
	enum err_code rc = condemned_read(p->s, &c, e);

	if (!rc)	/* also where there is nothing to wait for: what the dead left goes */
		rc = heartbeats_unaware(p->s, &c, p->heart, &p->res->writers, e);
	if (!rc && c.nr_names > 0 && p->res->writers == 0)
		rc = delete_all(p, &c, e);
	else if (!rc)
		p->res->waiting_packs = c.nr;
	condemned_release(&c);
	if (!rc && p->res->deleted_packs > 0)
		rc = chunks_refresh(p->s->chunks, e);
	return rc;
}

/* The whole. */

static void log_run(struct prune *p, enum err_code why)
{
	const struct prune_result *r = p->res;
	struct err e = ERR_INIT;
	char line[512];

	(void)snprintf(line, sizeof(line),
		       "\"status\":\"%s\",\"packs\":%" PRIu64 ",\"deleted_packs\":%" PRIu64
		       ",\"deleted_bytes\":\"%" PRIu64 "\",\"written_bytes\":\"%" PRIu64
		       "\",\"waiting_packs\":%" PRIu64, why ? "failed" : "ok", r->packs,
		       r->deleted_packs, r->deleted_bytes, r->written_bytes, r->waiting_packs);
	if (runlog_append(p->s, "prune", line, &e))
		store_event(p->s, EVENT_WARNING, NULL, &e, "the prune is not in the log");
}

/* On a medium without a byte of room there is no heartbeat, and nothing is written but the record. */
static enum err_code begin(struct prune *p, struct err *e)
{
	enum err_code rc;

	if (p->o->dry_run)
		return condemned_read(p->s, &p->before, e);
	rc = heartbeat_begin(p->s, &p->heart, &p->before, e);
	if (rc == ERR_IO && e->sys == ENOSPC) {
		err_clear(e);
		return condemned_read(p->s, &p->before, e);
	}
	return rc;
}

static enum err_code prune_steps(struct prune *p, struct err *e)
{
	struct err sums = ERR_INIT;
	enum err_code rc = orphans_find(p->s, &p->orphans, e);

	if (!rc)
		rc = mark(p, e);
	if (!rc)
		rc = survey_packs(p->s, &p->live, p->before.packs, p->before.nr,
				  p->o->unused_percent, &p->survey, e);
	if (rc)
		return rc;
	if (!p->o->dry_run)
		keep_room(p);
	add_up(p);
	if (p->o->dry_run)
		return ERR_OK;
	if (p->res->rewritten_packs > 0)
		rc = rewrite(p, e);
	if (!rc)
		rc = condemn(p, e);
	if (!rc)
		rc = delete_condemned(p, e);
	if (!rc && orphans_end(p->s, &p->orphans, &p->nr_orphans, &sums))
		store_event(p->s, EVENT_WARNING, NULL, &sums, "parity files without a pack stay");
	err_clear(&sums);
	if (!rc && forget_finish(p->s, &sums))
		store_event(p->s, EVENT_WARNING, NULL, &sums, "what an earlier forget left stays");
	err_clear(&sums);
	if (!rc && signatures_sweep(p->s, p->heart, &sums))
		store_event(p->s, EVENT_WARNING, NULL, &sums, "signatures without a snapshot stay");
	err_clear(&sums);
	if (p->res->deleted_packs + p->res->written_bytes + p->nr_orphans > 0 &&
	    records_refresh_sums(p->s, &sums))
		store_event(p->s, EVENT_WARNING, "SHA256SUMS", &sums, "not made anew");
	return rc;
}

enum err_code prune_run(struct store *s, const struct prune_options *o, struct prune_result *out,
			struct err *e)
{
	struct prune p = { .s = s, .o = o, .res = out, .orphans = BUF_INIT };
	struct err mine = ERR_INIT;
	enum err_code rc;

	*out = (struct prune_result){ 0 };
	rc = digest_random(&p.live.seed, sizeof(p.live.seed), &mine);
	if (!rc)
		rc = begin(&p, &mine);
	if (!rc)
		rc = prune_steps(&p, &mine);
	if (!o->dry_run)
		log_run(&p, rc);
	heartbeat_end(p.heart);
	condemned_release(&p.before);
	survey_release(&p.survey);
	live_release(&p.live);
	buf_release(&p.orphans);
	if (rc && e)
		*e = mine;
	return rc;
}
