/* SPDX-License-Identifier: MIT */
/* Chunks that were found damaged once: whether they are here is for the medium to say, not for a table. */
#include "store/engine/chunks_impl.h"

enum err_code chunks_doubt(struct chunks *c, const struct object_id *ids, size_t nr, struct err *e)
{
	enum err_code rc = ERR_OK;

	chunks_lock(c);
	for (size_t i = 0; i < nr && !rc; i++)
		if (!idset_has(&c->bad, &ids[i]))
			rc = idset_add(&c->doubts, &ids[i], e);
	atomic_store(&c->nr_doubted, c->doubts.nr + c->bad.nr);
	chunks_unlock(c);
	for (size_t i = 0; i < nr && !rc; i++)
		(void)chunks_first_report(c, &ids[i], true);
	return rc;
}

bool chunks_doubted(struct chunks *c, const struct object_id *id)
{
	bool yes;

	chunks_lock(c);
	yes = idset_has(&c->doubts, id) || idset_has(&c->bad, id);
	chunks_unlock(c);
	return yes;
}

enum err_code chunks_ask_doubt(struct chunks *c, const struct object_id *id, bool *gone,
			       struct err *e)
{
	struct chunk_ref ref = {0};
	struct err why = ERR_INIT;
	enum err_code rc;
	bool doubted;

	*gone = false;
	if (atomic_load_explicit(&c->nr_doubted, memory_order_relaxed) == 0)
		return ERR_OK;
	chunks_lock(c);
	*gone = idset_has(&c->bad, id);
	doubted = !*gone && idset_has(&c->doubts, id);
	chunks_unlock(c);
	if (!doubted)
		return ERR_OK;
	rc = chunks_get(c, id, &ref, &why);
	if (rc == ERR_ABSENT || rc == ERR_NOMEM || rc == ERR_CANCELED) {
		if (e)
			*e = why;
		return rc;
	}
	chunk_ref_release(c, &ref);
	*gone = rc != ERR_OK;
	rc = ERR_OK;
	chunks_lock(c);
	if (*gone)
		rc = idset_add(&c->bad, id, e);
	if (!rc)
		idset_remove(&c->doubts, id);
	atomic_store(&c->nr_doubted, c->doubts.nr + c->bad.nr);
	chunks_unlock(c);
	return rc;
}

void chunks_end_doubts(struct chunks *c, const struct packtable *t)
{
	if (atomic_load(&c->nr_doubted) == 0)
		return;
	chunks_lock(c);
	for (uint32_t i = 0; i < t->nr_chunks; i++) {
		idset_remove(&c->doubts, &t->chunks[i].id);
		idset_remove(&c->bad, &t->chunks[i].id);
	}
	atomic_store(&c->nr_doubted, c->doubts.nr + c->bad.nr);
	chunks_unlock(c);
}
