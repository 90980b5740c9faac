/* SPDX-License-Identifier: MIT */
/* Every pack, read once: who looks at which when. */
#include "store/verify_packs_internal.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/must.h"
#include "store/damage_internal.h"

/* What the workers share. */
struct packs {
	struct verify *v;
	struct buf listed;	/* struct listed each */
	size_t nr_chosen;	/* the first of these, which are to be read */
	unsigned nr_workers;
	pthread_mutex_t mutex;
	pthread_cond_t change;
	size_t next;		/* mutex; of listed, the next to begin */
	size_t nr_left;		/* mutex; listed and not done */
	struct passing **idle;	/* mutex; begun, and nobody's turn; room for all that can be */
	size_t nr_idle;
	bool stopped;		/* mutex */
};

struct worker {
	struct packs *all;
	struct batch batch;
	struct passing *hand[PACKS_AT_ONCE];
	size_t nr;
};

enum err_code verify_keep_good(struct verify *v, struct buf *good, struct err *e)
{
	size_t nr = good->len / sizeof(uint64_t);
	enum err_code rc = ERR_OK;

	if (good->bad)
		return err_set(e, ERR_NOMEM, "a list of chunks");
	verify_lock(v);
	if (v->nr_good + nr > v->cap_good) {
		size_t cap = v->cap_good + v->cap_good / 2 + nr + 4096;
		uint64_t *more = reallocarray(v->good, cap, sizeof(*more));

		if (more) {
			v->good = more;
			v->cap_good = cap;
		} else {
			rc = err_set(e, ERR_NOMEM, "a list of %zu chunks", cap);
		}
	}
	if (!rc && nr > 0) {
		memcpy(v->good + v->nr_good, good->p, nr * sizeof(uint64_t));
		v->nr_good += nr;
	}
	verify_unlock(v);
	buf_reset(good);
	return rc;
}

/*
 * Since the listing, by a prune: no snapshot needs it, or what one needs was put into another pack;
 * the trees tell where that is not so.
 */
static bool is_deleted(struct verify *v, const struct passing *p)
{
	uint64_t size;

	if (v->s->backend->ops->size(v->s->backend, p->name, &size, NULL) != ERR_NOT_FOUND)
		return false;
	verify_lock(v);
	v->res.chosen_packs--;
	v->res.chosen_bytes -= p->size;
	verify_unlock(v);
	return true;
}

static enum err_code report(struct verify *v, const struct passing *p, struct err *e)
{
	bool good = !p->f.first.code && !v->o->quick && verify_from_medium(v);
	struct verify_result *r = &v->res;
	const struct finding *f = &p->f;
	const char *name = p->name;
	enum err_code rc;

	if (f->first.code && is_deleted(v, p))
		return ERR_OK;
	if (f->first.code)
		damage_note(v->s, &(struct damage){ .pack = p->id });
	else if (good)
		mended_note_pack(v->s, &p->id);
	verify_lock(v);
	rc = keyset_add(&v->read, id_key(&p->id), NULL, e);
	r->good_packs += good;
	r->good_bytes += good ? p->size : 0;
	r->packs++;
	r->blocks += f->blocks;
	r->chunks += f->chunks;
	r->bytes_checked += f->plain;
	r->damaged_chunks += f->bad_chunks;
	r->incomplete_packs += f->incomplete;
	r->damaged_packs += f->first.code && !f->incomplete;
	verify_unlock(v);
	if (f->incomplete)
		store_event(v->s, EVENT_DAMAGE, name, &f->first,
			    "pack is incomplete (a copy under way, or one cut short)");
	else if (f->first.code)
		store_event(v->s, EVENT_DAMAGE, name, &f->first,
			    "pack is damaged: %llu chunks, %llu of %llu blocks",
			    (unsigned long long)f->bad_chunks, (unsigned long long)f->bad_blocks,
			    (unsigned long long)f->blocks);
	if (good || (f->first.code && !v->o->quick))
		lastgood_note(v->log, &p->id, good);
	return rc;
}

/* Taking turns. */

/* One that nobody has looked at; NULL where there is no memory. */
static struct passing *begin_locked(struct packs *all)
{
	struct passing *p = calloc(1, sizeof(*p));
	struct listed l;

	if (!p)
		return NULL;
	memcpy(&l, all->listed.p + all->next++ * sizeof(l), sizeof(l));
	*p = (struct passing){ .v = all->v, .id = l.id, .size = l.size, .f.first = ERR_INIT };
	return p;
}

/*
 * A share of what is left, so that all workers end together; waits while others hold all of it.
 * Nothing comes to hand once all is done.
 */
static enum err_code take(struct worker *w, struct err *e)
{
	struct packs *all = w->all;
	/* What is not done when the time is over was read in vain. */
	size_t want, most = all->v->o->seconds ? PACKS_IN_TIME : PACKS_AT_ONCE;
	enum err_code rc = ERR_OK;

	must(pthread_mutex_lock(&all->mutex));
	while (all->nr_left > 0 && all->nr_idle == 0 && all->next == all->nr_chosen &&
	       !all->stopped)
		must(pthread_cond_wait(&all->change, &all->mutex));
	want = all->stopped ? 0 : (all->nr_left + all->nr_workers - 1) / all->nr_workers;
	want = want < most ? want : most;
	while (w->nr < want && all->nr_idle > 0)
		w->hand[w->nr++] = all->idle[--all->nr_idle];
	while (w->nr < want && all->next < all->nr_chosen && !rc) {
		struct passing *p = begin_locked(all);

		if (p)
			w->hand[w->nr++] = p;
		else
			rc = err_set(e, ERR_NOMEM, "a pack to check");
	}
	must(pthread_mutex_unlock(&all->mutex));
	return rc;
}

static void done(struct passing *p)
{
	passing_release(p);
	free(p);
}

/* What is not done goes back; all of it ends where the check does. */
static void put(struct worker *w, bool stop)
{
	struct packs *all = w->all;

	must(pthread_mutex_lock(&all->mutex));
	for (size_t i = 0; i < w->nr; i++) {
		if (passing_done(w->hand[i]) || stop) {
			done(w->hand[i]);
			all->nr_left--;
		} else {
			all->idle[all->nr_idle++] = w->hand[i];
		}
	}
	all->stopped = all->stopped || stop;
	must(pthread_cond_broadcast(&all->change));
	must(pthread_mutex_unlock(&all->mutex));
	w->nr = 0;
}

/* A turn of each in hand, and what they gave is hashed. */
static enum err_code turns(struct worker *w, struct err *e)
{
	struct verify *v = w->all->v;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < w->nr && !rc; i++) {
		struct passing *p = w->hand[i];

		if (verify_due(v->packs_until))
			break;
		if (!p->digest)
			rc = passing_begin(p, e);
		if (!rc && !passing_done(p))
			rc = passing_turn(p, &w->batch, BATCH_BYTES / w->nr, e);
	}
	if (!rc)
		rc = batch_hash(&w->batch, v, e);
	if (!rc)
		rc = verify_keep_good(v, &w->batch.good, e);
	for (size_t i = 0; i < w->nr && !rc; i++) {
		if (!w->hand[i]->digest || !passing_done(w->hand[i]))
			continue;
		passing_end(w->hand[i]);
		rc = report(v, w->hand[i], e);
	}
	lastgood_tick(v->log);
	return rc;
}

static void packs_job(void *arg)
{
	struct worker w = { .all = arg };
	struct err err = ERR_INIT;
	enum err_code rc;
	bool some = true;

	rc = batch_init(&w.batch, &err);
	while (!rc && some) {
		rc = take(&w, &err);
		some = w.nr > 0;
		if (!rc && some)
			rc = turns(&w, &err);
		put(&w, rc != ERR_OK || verify_due(w.all->v->packs_until));
	}
	if (rc) {
		verify_stop(w.all->v, &err);
		put(&w, true);
	}
	batch_release(&w.batch);
}

/* The list of packs. */

static bool add_pack(void *ctx, const char *name, uint64_t size)
{
	struct packs *all = ctx;
	struct listed l = { .size = size };

	if (pack_name_parse(name, &l.id)) {
		buf_add(&all->listed, &l, sizeof(l));
		all->v->res.all_packs++;
		all->v->res.all_bytes += size;
	}
	return !all->listed.bad;
}

static int key_cmp(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

enum err_code verify_packs(struct verify *v, struct err *e)
{
	struct packs all = { .v = v, .listed = BUF_INIT };
	size_t nr, nr_listed = 0;
	enum err_code rc;

	must(pthread_mutex_init(&all.mutex, NULL));
	must(pthread_cond_init(&all.change, NULL));
	rc = damage_learn(v->s, e);
	if (!rc)
		rc = v->s->backend->ops->list(v->s->backend, "packs/", true, add_pack, &all, e);
	if (!rc && all.listed.bad)
		rc = err_set(e, ERR_NOMEM, "a list of packs");
	nr_listed = all.listed.len / sizeof(struct listed);
	if (!rc)
		rc = verify_choose(v, (struct listed *)(void *)all.listed.p, nr_listed,
				   &all.nr_chosen, e);
	if (rc)
		goto out;
	all.nr_left = all.nr_chosen;
	all.nr_workers = pool_nr_threads(v->pool);
	all.idle = calloc(all.nr_workers * (size_t)PACKS_AT_ONCE, sizeof(struct passing *));
	if (!all.idle) {
		rc = err_set(e, ERR_NOMEM, "packs being checked");
		goto out;
	}
	nr = all.nr_left < all.nr_workers ? all.nr_left : all.nr_workers;
	for (size_t i = 0; i < nr; i++)
		pool_submit(v->pool, packs_job, &all);
	pool_wait(v->pool);
	if (!verify_stopping(v))
		rc = verify_tables(v, (const struct listed *)(void *)all.listed.p, nr_listed, e);
	if (v->nr_good > 0)
		qsort(v->good, v->nr_good, sizeof(*v->good), key_cmp);
out:
	while (all.nr_idle > 0)	/* of a check that was stopped */
		done(all.idle[--all.nr_idle]);
	free(all.idle);
	buf_release(&all.listed);
	must(pthread_cond_destroy(&all.change));
	must(pthread_mutex_destroy(&all.mutex));
	return rc;
}
