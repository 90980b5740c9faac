/* SPDX-License-Identifier: MIT */
/*
 * The sealer's thread: full packs become durable, get their names and are indexed.  Both wait for
 * the medium; meanwhile the packer goes on with the next pack.
 */
#include "store/engine/writer_impl.h"

#include <stdlib.h>

#include "store/format/limits.h"

static void forget_pending(struct writer *w, const struct packtable *t)
{
	writer_lock(w);
	for (uint32_t i = 0; i < t->nr_chunks; i++)
		idset_remove(&w->pending, &t->chunks[i].id);
	writer_unlock(w);
}

/*
 * Sealed first, then found through the index, then no longer pending: a chunk
 * is known at every moment.  Several packs at once, because what a transaction
 * costs on a slow drive is its syncs; after a crash the next open indexes them.
 */
static enum err_code index_sealed(struct writer *w, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (w->nr_sealed > 0)
		rc = chunks_add_packs(w->cfg.chunks, w->sealed_ids, w->sealed, w->nr_sealed, e);
	for (uint32_t i = 0; i < w->nr_sealed; i++) {
		if (!rc)
			forget_pending(w, &w->sealed[i]);
		packtable_release(&w->sealed[i]);
	}
	w->nr_sealed = w->nr_sealed_chunks = 0;
	return rc;
}

static void count_pack(struct writer *w, const struct packtable *t)
{
	uint64_t frames = 0;

	for (uint32_t i = 0; i < t->nr_blocks; i++)
		frames += t->blocks[i].stored_len;
	atomic_fetch_add(&w->stored_bytes, t->pack_len);
	atomic_fetch_add(&w->table_bytes, t->pack_len - frames);
	if (t->kind == PACK_TREE)
		atomic_fetch_add(&w->tree_bytes, frames);
	atomic_fetch_add(&w->nr_packs, 1);
}

static enum err_code seal(struct writer *w, struct pack_writer *pw, struct err *e)
{
	struct packtable t = {0};
	struct object_id id;
	enum err_code rc = pack_writer_seal(pw, &id, &t, e);

	if (rc)
		return rc;
	count_pack(w, &t);
	w->sealed_ids[w->nr_sealed] = id;
	w->sealed[w->nr_sealed++] = t;
	w->nr_sealed_chunks += t.nr_chunks;
	return w->nr_sealed == SEALED_MAX || w->nr_sealed_chunks >= SEALED_CHUNKS
		   ? index_sealed(w, e)
		   : ERR_OK;
}

/* After a failure too: a whole pack need not be made again by the next run. */
void *writer_sealer(void *arg)
{
	struct writer *w = arg;
	struct pack_writer *pw;

	while ((pw = queue_pop(w->to_seal))) {
		struct err e = ERR_INIT;

		if (seal(w, pw, &e))
			writer_fail(w, &e);
		writer_lock(w);
		w->nr_sealing--;
		writer_wake(&w->work);
		writer_unlock(w);
	}
	(void)index_sealed(w, NULL); /* else the next open does */
	return NULL;
}

enum err_code writer_seal(struct writer *w, struct pack_writer *pw, struct err *e)
{
	enum err_code rc;

	writer_lock(w);
	rc = writer_failure_locked(w, e);
	w->nr_sealing += !rc;
	writer_unlock(w);
	if (rc)
		pack_writer_abort(pw);
	else if (!queue_push(w->to_seal, pw))
		abort(); /* it ends after the packer */
	return rc;
}

enum err_code writer_seal_wait(struct writer *w, struct err *e)
{
	enum err_code rc;

	writer_lock(w);
	while (w->nr_sealing > 0)
		writer_wait_locked(w, &w->work);
	rc = writer_failure_locked(w, e);
	writer_unlock(w);
	/* The sealer is idle: until it is given another pack its lists are the packer's. */
	return rc ? rc : index_sealed(w, e);
}
