/* SPDX-License-Identifier: MIT */
/* Which packs are read, in which order; and of the others the tables. */
#include <stdlib.h>
#include <string.h>

#include "store/base/digest.h"
#include "store/damage_internal.h"
#include "store/verify_packs_internal.h"

#define SAMPLE_ALL	1000u
#define DAY_SEC		86400u

/* Those found good longest ago first; of these the largest, so that all threads end together. */
static int cmp_when(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;

	if (x->when != y->when)
		return (x->when > y->when) - (x->when < y->when);
	if (x->size != y->size)
		return (x->size < y->size) - (x->size > y->size);
	return id_cmp(&x->id, &y->id);
}

static int cmp_order(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;

	if (x->order != y->order)
		return (x->order > y->order) - (x->order < y->order);
	return id_cmp(&x->id, &y->id);
}

static enum err_code learn_when(struct verify *v, struct listed *l, size_t nr, struct err *e)
{
	/* Which was verified longest ago takes all of the log. */
	unsigned days = v->o->seconds ? 0 : v->o->resume_seconds / DAY_SEC + 1;
	struct lastgood last = { 0 };
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < nr && !rc; i++)
		rc = lastgood_add(&last, &l[i].id, l[i].size, e);
	if (!rc)
		rc = lastgood_read(v->s, &last, days, e);
	for (size_t i = 0; i < nr && !rc; i++)
		l[i].when = lastgood_of(&last, &l[i].id);
	lastgood_release(&last);
	return rc;
}

/* In the order of a digest with the seed: each byte of the repository is as likely to be read. */
static enum err_code sample(struct verify *v, struct listed *l, size_t nr, size_t *nr_chosen,
			    struct err *e)
{
	uint64_t bytes = 0, want = v->res.all_bytes / SAMPLE_ALL * v->o->sample +
				   v->res.all_bytes % SAMPLE_ALL * v->o->sample / SAMPLE_ALL;
	enum err_code rc = ERR_OK;
	size_t n = 0;

	v->res.seed = v->o->seed;
	while (!v->res.seed && !rc) {
		rc = digest_random(&v->res.seed, sizeof(v->res.seed), e);
		v->res.seed >>= 12;	/* a number that JSON's readers do not round */
	}
	if (rc)
		return rc;
	for (size_t i = 0; i < nr; i++)
		l[i].order = digest_xxh3_seed(l[i].id.b, ID_LEN, v->res.seed);
	if (nr > 0)
		qsort(l, nr, sizeof(*l), cmp_order);
	while (n < nr && (bytes < want || n == 0))
		bytes += l[n++].size;
	*nr_chosen = n;
	if (n > 0)
		qsort(l, n, sizeof(*l), cmp_when);
	return ERR_OK;
}

enum err_code verify_choose(struct verify *v, struct listed *l, size_t nr, size_t *nr_chosen,
			    struct err *e)
{
	int64_t recent = store_vtime().sec - (int64_t)v->o->resume_seconds;
	enum err_code rc = ERR_OK;

	*nr_chosen = nr;
	if (v->o->sample) {
		rc = sample(v, l, nr, nr_chosen, e);
	} else if (v->o->seconds || v->o->resume_seconds) {
		rc = learn_when(v, l, nr, e);
	}
	if (!rc && nr > 0 && !v->o->sample)
		qsort(l, nr, sizeof(*l), cmp_when);
	/* The latest are last. */
	while (!rc && v->o->resume_seconds && *nr_chosen > 0 && l[*nr_chosen - 1].when > recent)
		--*nr_chosen;
	for (size_t i = 0; i < *nr_chosen && !rc; i++) {
		v->packs_total++;
		v->bytes_total += l[i].size;
	}
	v->res.chosen_packs = v->packs_total;
	v->res.chosen_bytes = v->bytes_total;
	return rc;
}

/* Tables. */

struct tables {
	struct verify *v;
	const struct listed *l;
	size_t nr;
	atomic_size_t next;
};

static void tell_table(struct verify *v, const struct object_id *id, const struct err *err)
{
	bool incomplete = err->code == ERR_INCOMPLETE;
	char name[PACK_NAME_LEN + 1];

	pack_name(id, name);
	damage_note(v->s, &(struct damage){ .pack = *id });
	verify_lock(v);
	v->res.incomplete_packs += incomplete;
	v->res.damaged_packs += !incomplete;
	verify_unlock(v);
	store_event(v->s, EVENT_DAMAGE, name, err,
		    incomplete ? "pack is incomplete (a copy under way, or one cut short)"
			       : "pack is damaged: it has no table");
}

static enum err_code take_table(struct verify *v, const struct listed *l, struct buf *keys,
				struct err *e)
{
	struct packtable t = { 0 };
	struct err err = ERR_INIT;
	enum err_code rc = pack_read_table(v->s->backend, &l->id, &t, &err);

	if (rc == ERR_NOT_FOUND)
		return ERR_OK;		/* pruned since the listing */
	if (rc && verify_stops(&err)) {
		*e = err;
		return rc;
	}
	if (rc) {
		tell_table(v, &l->id, &err);
		return ERR_OK;
	}
	for (uint32_t i = 0; i < t.nr_chunks; i++) {
		uint64_t key = chunk_key(&t.chunks[i].id, t.chunks[i].len);

		buf_add(keys, &key, sizeof(key));
	}
	packtable_release(&t);
	return verify_keep_good(v, keys, e);
}

static bool was_read(struct verify *v, const struct object_id *id)
{
	bool read;

	verify_lock(v);
	read = keyset_has(&v->read, id_key(id));
	verify_unlock(v);
	return read;
}

static void tables_job(void *arg)
{
	struct tables *t = arg;
	struct buf keys = BUF_INIT;
	struct err err = ERR_INIT;
	enum err_code rc = ERR_OK;

	while (!rc && !verify_stopping(t->v)) {
		size_t i = atomic_fetch_add(&t->next, 1);

		if (i >= t->nr || verify_cut(t->v))
			break;
		if (!was_read(t->v, &t->l[i].id))
			rc = take_table(t->v, &t->l[i], &keys, &err);
		verify_progress(t->v, NULL);
	}
	if (rc)
		verify_stop(t->v, &err);
	buf_release(&keys);
}

enum err_code verify_tables(struct verify *v, const struct listed *l, size_t nr, struct err *e)
{
	struct tables t = { .v = v, .l = l, .nr = nr };
	unsigned nr_jobs = pool_nr_threads(v->pool);

	(void)e;
	if (!verify_is_partial(v->o))
		return ERR_OK;
	for (unsigned i = 0; i < nr_jobs; i++)
		pool_submit(v->pool, tables_job, &t);
	pool_wait(v->pool);
	return ERR_OK;
}
