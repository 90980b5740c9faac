/* SPDX-License-Identifier: MIT */
#include "store/engine/heal_impl.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/engine/pack.h"
#include "store/engine/parity.h"

#define AGAIN_NS 60000000000 /* before what was absent, or in vain, is tried again */

void heal_lock(struct heal *h)
{
	if (pthread_mutex_lock(&h->mutex) != 0)
		abort();
}

void heal_unlock(struct heal *h)
{
	if (pthread_mutex_unlock(&h->mutex) != 0)
		abort();
}

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

enum err_code heal_open(const struct heal_config *cfg, struct heal **out, struct err *e)
{
	struct heal *h = calloc(1, sizeof(*h));

	if (!h)
		return err_set(e, ERR_NOMEM, "healing");
	if (pthread_mutex_init(&h->mutex, NULL) != 0 || pthread_cond_init(&h->some, NULL) != 0)
		abort();
	h->cfg = *cfg;
	*out = h;
	return ERR_OK;
}

static void put_list(struct heal *h, struct replica_list *l)
{
	bool last;

	if (!l)
		return;
	heal_lock(h);
	last = --l->refs == 0;
	heal_unlock(h);
	if (!last)
		return;
	if (l->names)
		h->cfg.replicas.release(l->names, l->nr);
	free(l->absent_until_ns);
	free(l);
}

void heal_close(struct heal *h)
{
	if (!h)
		return;
	heal_mend_end(h);
	put_list(h, h->replicas);
	if (pthread_cond_destroy(&h->some) != 0 || pthread_mutex_destroy(&h->mutex) != 0)
		abort();
	free(h->queue);
	free(h);
}

/* A pack as its parity says that it is. */

struct parity_view {
	struct backend base;
	struct backend *under;
};

static enum err_code view_get(struct backend *b, const char *name, uint64_t off, void *buf,
			      size_t len, size_t *n, struct err *e)
{
	struct parity_view *v = (struct parity_view *)b;
	struct object_id id;
	enum err_code rc;

	if (!pack_name_parse(name, &id))
		return err_set(e, ERR_USAGE, "%s is no pack", name);
	rc = parity_get(v->under, &id, off, len, buf, NULL, e);
	*n = rc ? 0 : len;
	return rc;
}

static enum err_code view_size(struct backend *b, const char *name, uint64_t *size, struct err *e)
{
	struct parity_view *v = (struct parity_view *)b;
	struct object_id id;

	if (!pack_name_parse(name, &id))
		return err_set(e, ERR_USAGE, "%s is no pack", name);
	return parity_pack_len(v->under, &id, size, e);
}

static const struct backend_ops view_ops = {.get = view_get, .size = view_size};

static struct parity_view parity_view(struct backend *under)
{
	return (struct parity_view){
	    .base = {.ops = &view_ops, .read_only = true, .fresh = under->fresh}, .under = under};
}

/* Copies. */

static struct replica_list *list_now(struct heal *h)
{
	struct replica_list *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->known_ns = now_ns();
	/* What cannot be known now may be in a minute. */
	if (h->cfg.replicas.known &&
	    h->cfg.replicas.known(h->cfg.replicas.ctx, &l->names, &l->nr, NULL)) {
		l->names = NULL;
		l->nr = 0;
	}
	l->absent_until_ns = calloc(l->nr + 1, sizeof(*l->absent_until_ns));
	if (!l->absent_until_ns)
		l->nr = 0;
	return l;
}

/* Referenced; NULL where there is none, or no memory. */
static struct replica_list *get_list(struct heal *h)
{
	struct replica_list *l, *new, *old = NULL;

	if (!h->cfg.replicas.known)
		return NULL;
	heal_lock(h);
	l = h->replicas;
	if (l && now_ns() - l->known_ns < AGAIN_NS) {
		l->refs++;
		heal_unlock(h);
		return l;
	}
	heal_unlock(h);
	new = list_now(h);
	if (!new)
		return NULL;
	heal_lock(h);
	new->refs = 2;
	old = h->replicas;
	h->replicas = new;
	heal_unlock(h);
	put_list(h, old);
	return new;
}

static bool is_absent(struct heal *h, const struct replica_list *l, size_t i)
{
	bool absent;

	heal_lock(h);
	absent = now_ns() < l->absent_until_ns[i];
	heal_unlock(h);
	return absent;
}

static void note_absent(struct heal *h, struct replica_list *l, size_t i)
{
	heal_lock(h);
	l->absent_until_ns[i] = now_ns() + AGAIN_NS;
	heal_unlock(h);
}

/*
 * fn with copy i, and by_parity.  It is opened for this alone: a drive whose
 * folder were kept open could not be unmounted.
 */
static enum err_code with_replica(struct heal *h, struct replica_list *l, size_t i, bool by_parity,
				  heal_use_fn *fn, void *ctx)
{
	struct backend *b = NULL;
	struct parity_view v;
	enum err_code rc;

	if (is_absent(h, l, i))
		return ERR_ABSENT;
	if (h->cfg.replicas.open(h->cfg.replicas.ctx, l->names[i], &b, NULL)) {
		note_absent(h, l, i);
		return ERR_ABSENT;
	}
	v = parity_view(b);
	rc = fn(ctx, b, NULL);
	if (rc == ERR_ABSENT)
		note_absent(h, l, i);
	else if (rc && by_parity)
		rc = fn(ctx, &v.base, NULL);
	b->ops->close(b);
	return rc;
}

void heal_each_replica(struct heal *h, heal_use_fn *fn, void *ctx)
{
	struct replica_list *l = get_list(h);
	bool done = false;

	for (size_t i = 0; l && i < l->nr && !done; i++)
		done = !with_replica(h, l, i, false, fn, ctx);
	put_list(h, l);
}

/* What is in vain. */

static bool is_failed(struct heal *h, const struct object_id *pack, uint64_t off)
{
	int64_t now = now_ns();
	bool found = false;

	heal_lock(h);
	for (unsigned i = 0; i < FAILED_KEPT && !found; i++)
		found = h->failed[i].off == off && h->failed[i].until_ns > now &&
			id_eq(&h->failed[i].pack, pack);
	heal_unlock(h);
	return found;
}

static void note_failed(struct heal *h, const struct object_id *pack, uint64_t off)
{
	heal_lock(h);
	h->failed[h->next_failed++ % FAILED_KEPT] = (struct heal_failed){
	    .pack = *pack, .off = off, .until_ns = now_ns() + AGAIN_NS};
	heal_unlock(h);
}

void heal_forget_failed(struct heal *h, const struct object_id *pack)
{
	heal_lock(h);
	for (unsigned i = 0; i < FAILED_KEPT; i++)
		if (id_eq(&h->failed[i].pack, pack))
			h->failed[i].until_ns = 0;
	heal_unlock(h);
}

enum heal_source heal_try(struct heal *h, const struct object_id *pack, uint64_t off,
			  heal_use_fn *fn, void *ctx)
{
	struct parity_view own = parity_view(h->cfg.backend);
	enum heal_source from = HEAL_NONE;
	struct replica_list *l = NULL;

	if (is_failed(h, pack, off))
		return HEAL_NONE;
	if (!fn(ctx, &own.base, NULL))
		return HEAL_PARITY;
	l = get_list(h);
	for (size_t i = 0; l && i < l->nr && from == HEAL_NONE; i++)
		if (!with_replica(h, l, i, true, fn, ctx))
			from = HEAL_REPLICA;
	put_list(h, l);
	if (from == HEAL_NONE)
		note_failed(h, pack, off);
	return from;
}

uint64_t heal_mended(struct heal *h)
{
	uint64_t n;

	heal_lock(h);
	n = h->mended;
	heal_unlock(h);
	return n;
}
