/* SPDX-License-Identifier: MIT */
/* The putting thread's side: gathering chunks into blocks. */
#include "store/engine/writer_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/format/limits.h"

#define BLOCK_CHUNKS 4096u	 /* in a block we write; readers take BLOCK_CHUNKS_MAX */
#define FLIGHT_BYTES (28u << 20) /* aim for all slots' buffers */

/* Twice the threads and two, so that none waits for another; fewer where blocks are large. */
static unsigned slots_for(const struct writer_config *cfg)
{
	unsigned threads = pool_nr_threads(cfg->pool), nr = 2 * threads + 2;
	uint64_t each = 3 * (uint64_t)cfg->params.block_len;

	while (nr > threads + 2 && nr * each > FLIGHT_BYTES)
		nr--;
	return nr + WRITER_KINDS; /* those being filled */
}

static enum err_code threads_start(struct writer *w, struct err *e)
{
	int err = pthread_create(&w->sealer, NULL, writer_sealer, w);

	w->have_sealer = err == 0;
	if (err == 0) {
		err = pthread_create(&w->packer, NULL, writer_packer, w);
		w->have_packer = err == 0;
	}
	return err == 0 ? ERR_OK : err_set(e, ERR_NOMEM, "writer's thread: error %d", err);
}

enum err_code writer_open(const struct writer_config *cfg, struct writer **out, struct err *e)
{
	struct writer *w = calloc(1, sizeof(*w));
	enum err_code rc;

	if (!w)
		return err_set(e, ERR_NOMEM, "writer");
	if (pthread_mutex_init(&w->mutex, NULL) != 0 || pthread_cond_init(&w->work, NULL) != 0 ||
	    pthread_cond_init(&w->room, NULL) != 0)
		abort();
	w->cfg = *cfg;
	w->nr_slots = slots_for(cfg);
	w->slots = calloc(w->nr_slots, sizeof(*w->slots));
	w->ring = calloc(w->nr_slots, sizeof(struct slot *));
	w->codecs = calloc(w->nr_slots, sizeof(struct codec *));
	if (!w->slots || !w->ring || !w->codecs) {
		writer_close(w);
		return err_set(e, ERR_NOMEM, "writer");
	}
	for (unsigned i = 0; i < w->nr_slots; i++) {
		w->slots[i].w = w;
		w->slots[i].next = w->free;
		w->free = &w->slots[i];
	}
	rc = queue_open(1, &w->to_seal, e);
	if (!rc)
		rc = threads_start(w, e);
	if (rc) {
		writer_close(w);
		return rc;
	}
	*out = w;
	return ERR_OK;
}

static enum err_code take_slot(struct writer *w, enum pack_kind kind, struct slot **out,
			       struct err *e)
{
	enum err_code rc;
	struct slot *s;

	writer_lock(w);
	while (!w->free && !w->failed)
		writer_wait_locked(w, &w->room);
	rc = writer_failure_locked(w, e);
	if (!rc) {
		s = w->free;
		w->free = s->next;
		s->kind = kind;
		*out = s;
	}
	writer_unlock(w);
	return rc;
}

/* The ring has as many places as there are slots: it is never full. */
static void submit(struct writer *w, enum pack_kind kind)
{
	struct slot *s = w->open[kind - PACK_DATA];

	w->open[kind - PACK_DATA] = NULL;
	writer_lock(w);
	assert(w->nr_ring < w->nr_slots);
	w->ring[(w->head + w->nr_ring) % w->nr_slots] = s;
	w->nr_ring++;
	writer_unlock(w);
	pool_submit(w->cfg.pool, writer_compress, s);
}

static enum err_code make_room(const struct writer *w, struct slot *s, uint32_t len, struct err *e)
{
	size_t want = s->plain_len + (size_t)len;

	if (want > s->plain_cap) {
		size_t cap = want > w->cfg.params.block_len ? want : w->cfg.params.block_len;
		uint8_t *more = realloc(s->plain, cap);

		if (!more)
			return err_set(e, ERR_NOMEM, "block of %zu bytes", cap);
		s->plain = more;
		s->plain_cap = cap;
	}
	if (s->nr_chunks == s->cap_chunks) {
		uint32_t cap = s->cap_chunks ? 2 * s->cap_chunks : 64;
		struct chunk_desc *more = reallocarray(s->chunks, cap, sizeof(*more));

		if (!more)
			return err_set(e, ERR_NOMEM, "block of %u chunks", cap);
		s->chunks = more;
		s->cap_chunks = cap;
	}
	return ERR_OK;
}

/* A chunk that does not fit begins a new block where this one is nearly full anyway. */
static bool must_close(const struct writer *w, const struct slot *s, uint32_t len)
{
	uint64_t after = (uint64_t)s->plain_len + len;
	uint32_t aim = w->cfg.params.block_len;

	if (s->nr_chunks == 0)
		return false;
	return after > BLOCK_PLAIN_MAX || (after > aim && s->plain_len >= aim / 4 * 3);
}

static enum err_code append(struct writer *w, enum pack_kind kind, const struct object_id *id,
			    const uint8_t *data, uint32_t len, struct err *e)
{
	struct slot **open = &w->open[kind - PACK_DATA], *s;
	enum err_code rc;

	if (*open && must_close(w, *open, len))
		submit(w, kind);
	if (!*open) {
		rc = take_slot(w, kind, open, e);
		if (rc)
			return rc;
	}
	s = *open;
	rc = make_room(w, s, len, e);
	if (rc)
		return rc;
	memcpy(s->plain + s->plain_len, data, len);
	s->plain_len += len;
	s->chunks[s->nr_chunks++] = (struct chunk_desc){.id = *id, .len = len};
	if (s->plain_len >= w->cfg.params.block_len || s->nr_chunks >= BLOCK_CHUNKS)
		submit(w, kind);
	return ERR_OK;
}

static enum err_code is_known(struct writer *w, const struct object_id *id, bool *known,
			      struct err *e)
{
	enum err_code rc;

	writer_lock(w);
	rc = writer_failure_locked(w, e);
	*known = !rc && idset_has(&w->pending, id);
	writer_unlock(w);
	if (rc || *known)
		return rc;
	return chunks_have(w->cfg.chunks, id, known, NULL, e);
}

enum err_code writer_put(struct writer *w, enum pack_kind kind, const struct object_id *id,
			 const uint8_t *data, uint32_t len, bool *is_new, struct err *e)
{
	bool known = false;
	enum err_code rc;

	assert(kind == PACK_DATA || kind == PACK_TREE);
	if (len == 0 || len > CHUNK_LEN_MAX)
		return err_set(e, ERR_LIMIT, "chunk of %u bytes", len);
	rc = is_known(w, id, &known, e);
	if (rc)
		return rc;
	if (known) {
		atomic_fetch_add(&w->known_chunks, 1);
		atomic_fetch_add(&w->known_bytes, len);
	} else {
		writer_lock(w);
		rc = idset_add(&w->pending, id, e);
		writer_unlock(w);
		if (!rc)
			rc = append(w, kind, id, data, len, e);
		if (rc) {
			struct err why = ERR_INIT;

			/* It may be pending and not gathered: nothing more may be built on that. */
			if (e)
				why = *e;
			else
				err_set(&why, rc, "a chunk could not be put");
			writer_fail(w, &why);
			return rc;
		}
		atomic_fetch_add(&w->new_chunks, 1);
		atomic_fetch_add(&w->new_bytes, len);
	}
	if (is_new)
		*is_new = !known;
	return ERR_OK;
}

enum err_code writer_finish(struct writer *w, struct err *e)
{
	enum err_code rc;

	for (int i = 0; i < WRITER_KINDS; i++)
		if (w->open[i])
			submit(w, w->open[i]->kind);
	writer_lock(w);
	if (!w->failed) {
		w->seal = true;
		writer_wake(&w->work);
	}
	while (w->seal && !w->failed)
		writer_wait_locked(w, &w->room);
	rc = writer_failure_locked(w, e);
	writer_unlock(w);
	/* Of what was known, and so not stored, some may be in a pack that a killed run left. */
	return rc ? rc : chunks_settle(w->cfg.chunks, e);
}

void writer_close(struct writer *w)
{
	if (!w)
		return;
	writer_lock(w);
	w->stop = true;
	w->seal = false;
	if (!w->failed) { /* what was not finished is dropped, not written */
		w->failed = true;
		err_set(&w->err, ERR_CANCELED, "the writer is being closed");
	}
	writer_wake(&w->work);
	writer_unlock(w);
	if (w->have_packer && pthread_join(w->packer, NULL) != 0)
		abort();
	if (w->to_seal)
		queue_end(w->to_seal);
	if (w->have_sealer && pthread_join(w->sealer, NULL) != 0)
		abort();
	queue_close(w->to_seal);
	for (unsigned i = 0; w->slots && i < w->nr_slots; i++) {
		free(w->slots[i].plain);
		free(w->slots[i].frame);
		free(w->slots[i].chunks);
	}
	while (w->nr_codecs > 0)
		codec_close(w->codecs[--w->nr_codecs]);
	free(w->codecs);
	free(w->ring);
	free(w->slots);
	idset_release(&w->pending);
	if (pthread_cond_destroy(&w->room) != 0 || pthread_cond_destroy(&w->work) != 0 ||
	    pthread_mutex_destroy(&w->mutex) != 0)
		abort();
	free(w);
}

enum err_code writer_failure(struct writer *w, struct err *e)
{
	enum err_code rc;

	writer_lock(w);
	rc = writer_failure_locked(w, e);
	writer_unlock(w);
	return rc;
}

void writer_stats(const struct writer *w, struct writer_stats *out)
{
	*out = (struct writer_stats){
	    .new_chunks = atomic_load(&w->new_chunks),
	    .new_bytes = atomic_load(&w->new_bytes),
	    .known_chunks = atomic_load(&w->known_chunks),
	    .known_bytes = atomic_load(&w->known_bytes),
	    .stored_bytes = atomic_load(&w->stored_bytes),
	    .tree_bytes = atomic_load(&w->tree_bytes),
	    .table_bytes = atomic_load(&w->table_bytes),
	    .packs = atomic_load(&w->nr_packs),
	};
}
