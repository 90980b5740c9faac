/* SPDX-License-Identifier: MIT */
/* The packs that are there, and the index brought up to date with them. All of it is the mender's.
 */
#include "store/engine/chunks_impl.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/base/array.h"
#include "store/engine/pack.h"

#define BATCH_PACKS    64u	  /* packs a transaction has at least ... */
#define BATCH_NS       2000000000 /* ... and goes on for: others wait ten seconds for the lock */
#define PROGRESS_PACKS 32u	  /* fewer are not worth telling of */
#define REFRESH_NS     1000000000 /* between listings that do not help */
#define FRUITLESS_MAX  3u	  /* before that limit begins */

void chunks_mend_begin(struct chunks *c)
{
	chunks_lock(c);
	while (c->mending)
		if (pthread_cond_wait(&c->changed, &c->mutex) != 0)
			abort();
	c->mending = true;
	chunks_unlock(c);
}

void chunks_mend_end(struct chunks *c)
{
	chunks_lock(c);
	c->mending = false;
	if (pthread_cond_broadcast(&c->changed) != 0)
		abort();
	chunks_unlock(c);
}

/* The listing. */

struct listing {
	struct object_id *ids;
	size_t nr, cap;
	bool no_memory;
};

static bool on_name(void *ctx, const char *name, uint64_t size)
{
	struct listing *l = ctx;
	struct object_id id, *more;

	(void)size;
	if (!pack_name_parse(name, &id))
		return true; /* parity, or litter */
	more = array_room(l->ids, l->nr, &l->cap, sizeof(*more));
	if (!more) {
		l->no_memory = true;
		return false;
	}
	l->ids = more;
	l->ids[l->nr++] = id;
	return true;
}

static enum err_code list_packs(struct chunks *c, struct listing *l, struct err *e)
{
	enum err_code rc;

	rc = c->backend->ops->list(c->backend, "packs/", false, on_name, l, e);
	if (!rc && l->no_memory)
		rc = err_set(e, ERR_NOMEM, "%zu packs", l->nr);
	if (rc)
		return rc;
	if (l->nr > 0)
		qsort(l->ids, l->nr, sizeof(l->ids[0]), id_sort_cmp);
	return ERR_OK;
}

static bool listed(const struct listing *l, const struct object_id *id)
{
	return l->nr > 0 && bsearch(id, l->ids, l->nr, sizeof(l->ids[0]), id_sort_cmp);
}

/* Packs that were found wanting, and may have changed since: asked outside the mutex. */
static enum err_code recheck_wanting(struct chunks *c, struct err *e)
{
	enum err_code rc = ERR_OK;
	uint32_t *ords = NULL;
	size_t nr = 0;

	rc = chunks_list_ords(c, PACKS_HERE, &ords, &nr, e);
	for (size_t i = 0; i < nr && !rc; i++) {
		char name[PACK_NAME_LEN + 1];
		struct pack_info p;
		uint64_t size = 0;

		chunks_lock(c);
		p = *packset_at(c->packs, ords[i]);
		chunks_unlock(c);
		if (p.state == PACK_HERE)
			continue;
		pack_name(&p.id, name);
		rc = c->backend->ops->size(c->backend, name, &size, e);
		if (rc == ERR_NOT_FOUND || rc == ERR_IO)
			rc = ERR_OK;
		if (rc || (size == p.size_seen && chunks_now_ns() < p.retry_ns))
			continue;
		chunks_lock(c);
		packset_at(c->packs, ords[i])->state = PACK_HERE;
		packset_at(c->packs, ords[i])->hopeless = false;
		packset_at(c->packs, ords[i])->scanned = false;
		chunks_unlock(c);
		tables_drop(c->tables, ords[i]);
	}
	free(ords);
	return rc;
}

/* What is listed is here, what is not is gone; rows give numbers.  *changed where that was news. */
static enum err_code register_packs(struct chunks *c, const struct listing *l, bool know_rows,
				    const struct catalog_pack *rows, size_t nr_rows, bool *changed,
				    struct err *e)
{
	enum err_code rc = ERR_OK;

	chunks_lock(c);
	for (size_t i = 0; i < l->nr; i++) {
		uint32_t ord = packset_add(c->packs, &l->ids[i]);

		if (ord == PACK_ORD_NONE) {
			rc = err_set(e, ERR_NOMEM, "%zu packs", l->nr);
			goto out;
		}
		if (!pack_is_here(packset_at(c->packs, ord))) {
			c->nr_elsewhere -= packset_at(c->packs, ord)->state == PACK_ELSEWHERE;
			packset_at(c->packs, ord)->state = PACK_HERE;
			packset_at(c->packs, ord)->hopeless = false;
			packset_at(c->packs, ord)->scanned = false;
			packset_at(c->packs, ord)->settled = false;
			*changed = true;
		}
	}
	for (uint32_t ord = 0; ord < packset_nr(c->packs); ord++) {
		struct pack_info *p = packset_at(c->packs, ord);

		if (!pack_is_here(p) || listed(l, &p->id))
			continue;
		p->state = PACK_GONE;
		tables_drop(c->tables, ord);
		*changed = true;
	}
	if (!know_rows)
		goto out;
	packset_forget_nos(c->packs);
	for (size_t i = 0; i < nr_rows && !rc; i++) {
		uint32_t ord = packset_find(c->packs, &rows[i].id);

		if (ord != PACK_ORD_NONE)
			rc = packset_set_no(c->packs, ord, rows[i].no, e);
	}
out:
	chunks_unlock(c);
	return rc;
}

static void count_odd(struct chunks *c)
{
	uint32_t n = 0;

	chunks_lock(c);
	for (uint32_t i = 0; i < packset_nr(c->packs); i++) {
		const struct pack_info *p = packset_at(c->packs, i);

		n += pack_is_here(p) && p->no == 0;
	}
	c->nr_odd = n;
	chunks_unlock(c);
}

void chunks_note_keys(struct chunks *c, uint32_t ord, const struct packtable *t)
{
	chunks_lock(c);
	if (c->filter) {
		for (uint32_t i = 0; i < t->nr_chunks; i++)
			filter_add(c->filter, id_key(&t->chunks[i].id));
		packset_at(c->packs, ord)->keys_known = true;
	}
	chunks_unlock(c);
}

/* A run of additions and removals in few transactions. */
struct batch {
	bool open;
	int64_t since_ns;
	unsigned nr;
};

static enum err_code batch_begin(struct chunks *c, struct batch *b, struct err *e)
{
	enum err_code rc;

	if (b->open)
		return ERR_OK;
	rc = catalog_begin(c->catalog, e);
	if (rc)
		return rc;
	*b = (struct batch){.open = true, .since_ns = chunks_now_ns()};
	return ERR_OK;
}

static enum err_code batch_step(struct chunks *c, struct batch *b, bool last, struct err *e)
{
	b->nr++;
	if (!b->open ||
	    (!last && (b->nr < BATCH_PACKS || chunks_now_ns() - b->since_ns < BATCH_NS)))
		return ERR_OK;
	b->open = false;
	return catalog_end(c->catalog, e);
}

static enum err_code drop_vanished(struct chunks *c, const struct listing *l,
				   const struct catalog_pack *rows, size_t nr_rows, struct batch *b,
				   enum err_code *index_rc)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < nr_rows && !rc; i++) {
		if (listed(l, &rows[i].id))
			continue;
		rc = batch_begin(c, b, NULL);
		if (!rc)
			rc = catalog_drop_pack(c->catalog, &rows[i].id, NULL);
	}
	*index_rc = rc;
	return rc;
}

/* One pack into the catalog.  Only what ends the whole is returned; the index's own failure is
 * *index_rc. */
static enum err_code index_pack(struct chunks *c, uint32_t ord, struct batch *b,
				enum err_code *index_rc, struct err *e)
{
	struct object_id id = chunks_pack_id(c, ord);
	struct table *t = NULL;
	enum pack_state state;
	enum err_code rc;
	uint32_t no = 0;

	chunks_lock(c);
	state = packset_at(c->packs, ord)->state;
	chunks_unlock(c);
	if (state != PACK_HERE)
		return ERR_OK; /* incomplete: once it is whole, there will be more in it */
	rc = chunks_load_table(c, ord, false, &t, e);
	if (rc == ERR_ABSENT || rc == ERR_NOMEM)
		return rc;
	if (rc)
		return ERR_OK; /* remembered by the pack, and found out again when it is wanted */
	chunks_note_keys(c, ord, table_get(t));
	*index_rc = batch_begin(c, b, NULL);
	if (!*index_rc)
		*index_rc = catalog_add_pack(c->catalog, &id, table_get(t), &no, NULL);
	if (*index_rc)
		goto out;
	chunks_lock(c);
	rc = packset_set_no(c->packs, ord, no, e);
	chunks_unlock(c);
out:
	tables_release(c->tables, t);
	return rc;
}

/*
 * A pack that is in no catalog was perhaps left by somebody who was killed after the rename and
 * before the fsync of its folder.  Nobody may count on it before that was done for him: a snapshot
 * that needs it would outlive it in a power cut.
 */
static bool in_doubt(struct chunks *c, uint32_t ord, struct object_id *id)
{
	const struct pack_info *p;
	bool doubt;

	chunks_lock(c);
	p = packset_at(c->packs, ord);
	*id = p->id;
	doubt = pack_is_here(p) && p->no == 0 && !p->settled;
	chunks_unlock(c);
	return doubt;
}

enum err_code chunks_settle(struct chunks *c, struct err *e)
{
	enum err_code (*settle)(struct backend *, const char *, struct err *) = c->backend->ops->settle;
	bool done[256] = {false};
	enum err_code rc = ERR_OK;
	uint32_t *ords = NULL;
	size_t nr = 0;

	if (c->backend->read_only || !settle)
		return ERR_OK;
	rc = chunks_list_ords(c, PACKS_ODD, &ords, &nr, e);
	for (size_t i = 0; i < nr && !rc; i++) {
		char prefix[sizeof("packs/00/")];
		struct object_id id;

		if (!in_doubt(c, ords[i], &id))
			continue;
		(void)snprintf(prefix, sizeof(prefix), "packs/%02x/", id.b[0]);
		if (!done[id.b[0]])
			rc = settle(c->backend, prefix, e);
		if (rc)
			break;
		done[id.b[0]] = true;
		chunks_lock(c);
		packset_at(c->packs, ords[i])->settled = true;
		chunks_unlock(c);
	}
	free(ords);
	return rc;
}

static void tell_progress(struct chunks *c, size_t done, size_t all)
{
	if (c->cfg.events.rebuild && all >= PROGRESS_PACKS &&
	    (done % PROGRESS_PACKS == 0 || done == all))
		c->cfg.events.rebuild(c->cfg.events.ctx, done, all);
}

static enum err_code index_missing(struct chunks *c, struct batch *b, enum err_code *index_rc,
				   struct err *e)
{
	enum err_code rc;
	uint32_t *ords = NULL;
	size_t nr = 0;

	rc = chunks_list_ords(c, PACKS_ODD, &ords, &nr, e);
	for (size_t i = 0; i < nr && !rc && !*index_rc; i++) {
		tell_progress(c, i, nr);
		rc = index_pack(c, ords[i], b, index_rc, e);
		if (!rc && !*index_rc)
			*index_rc = batch_step(c, b, false, NULL);
	}
	if (!rc && !*index_rc && nr > 0)
		tell_progress(c, nr, nr);
	free(ords);
	return rc;
}

/*
 * The packs are what counts: an error of the medium is returned.  One of the
 * index goes to *index_rc, and leaves packs odd, to be searched by their tables.
 */
enum err_code chunks_reconcile_once(struct chunks *c, enum err_code *index_rc, struct err *e)
{
	struct catalog_pack *rows = NULL;
	struct listing l = {0};
	struct batch b = {0};
	bool changed = false;
	size_t nr_rows = 0;
	enum err_code rc;

	*index_rc = ERR_OK;
	rc = c->catalog ? ERR_OK : chunks_index_private(c, e);
	if (!rc)
		rc = list_packs(c, &l, e);
	if (rc)
		goto out;
	*index_rc = catalog_packs(c->catalog, &rows, &nr_rows, NULL);
	rc = register_packs(c, &l, !*index_rc, rows, nr_rows, &changed, e);
	if (!rc)
		rc = recheck_wanting(c, e);
	count_odd(c);
	if (!rc && !*index_rc)
		(void)drop_vanished(c, &l, rows, nr_rows, &b, index_rc);
	/* What cannot be made durable is read by its tables; who counts on it asks again. */
	if (!rc && !*index_rc && !chunks_settle(c, NULL))
		rc = index_missing(c, &b, index_rc, e);
	if (b.open && !*index_rc)
		*index_rc = batch_step(c, &b, true, NULL);
	if (*index_rc && b.open && !rc) {
		/* Rolled back: which rows are left must be asked again. */
		free(rows);
		rows = NULL;
		nr_rows = 0;
		if (catalog_packs(c->catalog, &rows, &nr_rows, NULL))
			nr_rows = 0;
		rc = register_packs(c, &l, true, rows, nr_rows, &changed, e);
	}
	count_odd(c);
out:
	chunks_lock(c);
	c->refreshed_ns = chunks_now_ns();
	c->fruitless = changed ? 0 : c->fruitless + (c->fruitless < FRUITLESS_MAX);
	chunks_unlock(c);
	free(rows);
	free(l.ids);
	return rc;
}

enum err_code chunks_look_again(struct chunks *c, bool *again, struct err *e)
{
	enum err_code rc;

	*again = true;
	chunks_lock(c);
	if (c->mending) {
		while (c->mending)
			if (pthread_cond_wait(&c->changed, &c->mutex) != 0)
				abort();
		chunks_unlock(c);
		return ERR_OK; /* it may have found what is wanted */
	}
	if (c->fruitless >= FRUITLESS_MAX && chunks_now_ns() - c->refreshed_ns < REFRESH_NS) {
		chunks_unlock(c);
		*again = false;
		return ERR_OK;
	}
	c->mending = true;
	chunks_unlock(c);
	rc = chunks_reconcile(c, e);
	chunks_mend_end(c);
	return rc;
}
