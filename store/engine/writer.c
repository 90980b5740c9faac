/* SPDX-License-Identifier: MIT */
#include "store/engine/writer.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/digest.h"
#include "store/engine/codec.h"
#include "store/engine/idset.h"
#include "store/engine/pack.h"
#include "store/format/limits.h"

#define BLOCK_CHUNKS 4096u	 /* in a block we write; readers take BLOCK_CHUNKS_MAX */
#define FLIGHT_BYTES (28u << 20) /* aim for all slots' buffers */
#define KINDS	     2

/* A block on its way.  Gathered by the putting thread, compressed by one of the pool, written by
 * the packer. */
struct slot {
	struct writer *w;
	enum pack_kind kind;
	uint8_t *plain, *frame;	   /* owned; kept from block to block */
	struct chunk_desc *chunks; /* owned */
	size_t plain_cap, frame_cap;
	uint32_t plain_len, nr_chunks, cap_chunks;
	struct block_header header; /* filled by compressing */
	enum err_code rc;	    /* of compressing */
	struct err err;
	bool done;	   /* writer.mutex; compressed, or failed */
	struct slot *next; /* writer.mutex; in the free list */
};

struct open_pack {
	struct pack_writer *writer;
	uint32_t nr_blocks, nr_chunks;
};

struct writer {
	struct writer_config cfg;
	pthread_t packer;
	bool have_packer;

	/* The putting thread's. */
	struct slot *open[KINDS];

	/* The packer's. */
	struct open_pack packs[KINDS];

	pthread_mutex_t mutex; /* over what follows */
	pthread_cond_t work;   /* the packer waits: the oldest block done, seal, stop */
	pthread_cond_t room;   /* others wait: a slot free, sealed, failed */
	struct slot *slots;    /* all of them */
	unsigned nr_slots;
	struct slot *free;
	struct slot **ring; /* submitted, in order; nr_slots places */
	unsigned head, nr_ring;
	struct codec **codecs; /* idle ones; room for nr_slots */
	unsigned nr_codecs;
	struct idset pending; /* put, and not yet found through chunks */
	bool seal, stop, failed;
	struct err err; /* the first failure */

	atomic_uint_fast64_t new_chunks, new_bytes, known_chunks, known_bytes, stored_bytes,
	    nr_packs;
};

static void lock(struct writer *w)
{
	if (pthread_mutex_lock(&w->mutex) != 0)
		abort();
}

static void unlock(struct writer *w)
{
	if (pthread_mutex_unlock(&w->mutex) != 0)
		abort();
}

static void wait_locked(struct writer *w, pthread_cond_t *cond)
{
	if (pthread_cond_wait(cond, &w->mutex) != 0)
		abort();
}

static void wake(pthread_cond_t *cond)
{
	if (pthread_cond_broadcast(cond) != 0)
		abort();
}

/* The first failure is what every later call answers. */
static void fail(struct writer *w, const struct err *why)
{
	lock(w);
	if (!w->failed) {
		w->failed = true;
		w->err = *why;
	}
	wake(&w->room);
	unlock(w);
}

static enum err_code failure_locked(struct writer *w, struct err *e)
{
	if (!w->failed)
		return ERR_OK;
	if (e)
		*e = w->err;
	return w->err.code;
}

/* Compressing, on the pool's threads. */

static enum err_code codec_take(struct writer *w, struct codec **out, struct err *e)
{
	struct codec *codec = NULL;

	lock(w);
	if (w->nr_codecs > 0)
		codec = w->codecs[--w->nr_codecs];
	unlock(w);
	if (!codec)
		return codec_open(w->cfg.params.zstd_level, out, e);
	*out = codec;
	return ERR_OK;
}

static enum err_code compress(struct slot *s, struct codec *codec, struct err *e)
{
	size_t bound = codec_bound(s->plain_len), len = 0;
	enum block_codec how = CODEC_RAW;
	enum err_code rc;

	if (s->frame_cap < bound) {
		free(s->frame);
		s->frame = malloc(bound);
		s->frame_cap = s->frame ? bound : 0;
		if (!s->frame)
			return err_set(e, ERR_NOMEM, "block of %zu bytes", bound);
	}
	rc = codec_compress(codec, s->plain, s->plain_len, s->frame, s->frame_cap, &len, &how, e);
	if (rc)
		return rc;
	assert(len <= BLOCK_STORED_MAX);
	s->header = (struct block_header){
	    .codec = how,
	    .nr_chunks = s->nr_chunks,
	    .plain_len = s->plain_len,
	    .stored_len = (uint32_t)len,
	    .xxh3 = digest_xxh3(s->frame, len),
	};
	return ERR_OK;
}

static void compress_job(void *arg)
{
	struct slot *s = arg;
	struct writer *w = s->w;
	struct codec *codec = NULL;

	s->rc = codec_take(w, &codec, &s->err);
	if (!s->rc)
		s->rc = compress(s, codec, &s->err);
	lock(w);
	if (codec)
		w->codecs[w->nr_codecs++] = codec;
	s->done = true;
	if (w->ring[w->head] == s)
		wake(&w->work);
	unlock(w);
}

/* Packing, on the packer's thread. */

static struct open_pack *pack_of(struct writer *w, enum pack_kind kind)
{
	return &w->packs[kind - PACK_DATA];
}

static void forget_pending(struct writer *w, const struct packtable *t)
{
	lock(w);
	for (uint32_t i = 0; i < t->nr_chunks; i++)
		idset_remove(&w->pending, &t->chunks[i].id);
	unlock(w);
}

/* Sealed first, then found through the index, then no longer pending: a chunk is known at every
 * moment. */
static enum err_code seal_pack(struct writer *w, enum pack_kind kind, struct err *e)
{
	struct open_pack *p = pack_of(w, kind);
	struct pack_writer *pw = p->writer;
	struct packtable t = {0};
	struct object_id id;
	enum err_code rc;

	if (!pw)
		return ERR_OK;
	*p = (struct open_pack){0};
	rc = pack_writer_seal(pw, &id, &t, e);
	if (rc)
		return rc;
	atomic_fetch_add(&w->stored_bytes, t.pack_len);
	atomic_fetch_add(&w->nr_packs, 1);
	rc = chunks_add_pack(w->cfg.chunks, &id, &t, e);
	if (!rc)
		forget_pending(w, &t);
	packtable_release(&t);
	return rc;
}

static enum err_code add_block(struct writer *w, struct slot *s, struct err *e)
{
	struct open_pack *p = pack_of(w, s->kind);
	enum err_code rc = ERR_OK;

	if (p->writer &&
	    (p->nr_blocks == PACK_BLOCKS_MAX || p->nr_chunks + s->nr_chunks > PACK_CHUNKS_MAX ||
	     pack_writer_len(p->writer) + s->header.stored_len +
		     2 * block_header_len(p->nr_chunks + s->nr_chunks) >
		 PACK_LEN_MAX))
		rc = seal_pack(w, s->kind, e);
	if (!rc && !p->writer)
		rc = pack_writer_open(w->cfg.backend, s->kind, &p->writer, e);
	if (!rc)
		rc = pack_writer_add(p->writer, &s->header, s->chunks, s->frame, e);
	if (rc)
		return rc;
	p->nr_blocks++;
	p->nr_chunks += s->nr_chunks;
	return pack_writer_len(p->writer) >= w->cfg.params.pack_len ? seal_pack(w, s->kind, e)
								    : ERR_OK;
}

static void recycle_locked(struct writer *w, struct slot *s)
{
	s->plain_len = s->nr_chunks = 0;
	s->done = false;
	s->next = w->free;
	w->free = s;
	wake(&w->room);
}

static void abort_packs(struct writer *w)
{
	for (int i = 0; i < KINDS; i++) {
		pack_writer_abort(w->packs[i].writer);
		w->packs[i] = (struct open_pack){0};
	}
}

static void seal_all(struct writer *w)
{
	struct err e = ERR_INIT;
	enum err_code rc = seal_pack(w, PACK_DATA, &e);

	if (!rc)
		rc = seal_pack(w, PACK_TREE, &e);
	if (rc) {
		fail(w, &e);
		abort_packs(w);
	}
}

/* After a failure blocks are still taken, and dropped, until stop: nobody waits for a slot that
 * never comes. */
static void pack_slot(struct writer *w, struct slot *s)
{
	struct err e = ERR_INIT;
	enum err_code rc = s->rc;
	bool failed;

	lock(w);
	failed = w->failed;
	unlock(w);
	if (failed)
		return;
	if (rc)
		e = s->err;
	else
		rc = add_block(w, s, &e);
	if (rc) {
		fail(w, &e);
		abort_packs(w);
	}
}

static void *packer_thread(void *arg)
{
	struct writer *w = arg;

	lock(w);
	for (;;) {
		struct slot *s = w->nr_ring > 0 ? w->ring[w->head] : NULL;

		if (s && s->done) {
			unlock(w);
			pack_slot(w, s);
			lock(w);
			w->head = (w->head + 1) % w->nr_slots;
			w->nr_ring--;
			recycle_locked(w, s);
		} else if (!s && w->seal) {
			unlock(w);
			seal_all(w);
			lock(w);
			w->seal = false;
			wake(&w->room);
		} else if (!s && w->stop) {
			break;
		} else {
			wait_locked(w, &w->work);
		}
	}
	unlock(w);
	abort_packs(w);
	return NULL;
}

/* Putting. */

/* Twice the threads and two, so that none waits for another; fewer where blocks are large. */
static unsigned slots_for(const struct writer_config *cfg)
{
	unsigned threads = pool_nr_threads(cfg->pool), nr = 2 * threads + 2;
	uint64_t each = 3 * (uint64_t)cfg->params.block_len;

	while (nr > threads + 2 && nr * each > FLIGHT_BYTES)
		nr--;
	return nr + KINDS; /* those being filled */
}

enum err_code writer_open(const struct writer_config *cfg, struct writer **out, struct err *e)
{
	struct writer *w = calloc(1, sizeof(*w));
	int err;

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
	err = pthread_create(&w->packer, NULL, packer_thread, w);
	if (err != 0) {
		writer_close(w);
		return err_set(e, ERR_NOMEM, "writer's thread: error %d", err);
	}
	w->have_packer = true;
	*out = w;
	return ERR_OK;
}

static enum err_code take_slot(struct writer *w, enum pack_kind kind, struct slot **out,
			       struct err *e)
{
	enum err_code rc;
	struct slot *s;

	lock(w);
	while (!w->free && !w->failed)
		wait_locked(w, &w->room);
	rc = failure_locked(w, e);
	if (!rc) {
		s = w->free;
		w->free = s->next;
		s->kind = kind;
		*out = s;
	}
	unlock(w);
	return rc;
}

/* The ring has as many places as there are slots: it is never full. */
static void submit(struct writer *w, enum pack_kind kind)
{
	struct slot *s = w->open[kind - PACK_DATA];

	w->open[kind - PACK_DATA] = NULL;
	lock(w);
	assert(w->nr_ring < w->nr_slots);
	w->ring[(w->head + w->nr_ring) % w->nr_slots] = s;
	w->nr_ring++;
	unlock(w);
	pool_submit(w->cfg.pool, compress_job, s);
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

	lock(w);
	rc = failure_locked(w, e);
	*known = !rc && idset_has(&w->pending, id);
	unlock(w);
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
		lock(w);
		rc = idset_add(&w->pending, id, e);
		unlock(w);
		if (!rc)
			rc = append(w, kind, id, data, len, e);
		if (rc) {
			struct err why = ERR_INIT;

			/* It may be pending and not gathered: nothing more may be built on that. */
			if (e)
				why = *e;
			else
				err_set(&why, rc, "a chunk could not be put");
			fail(w, &why);
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

	for (int i = 0; i < KINDS; i++)
		if (w->open[i])
			submit(w, w->open[i]->kind);
	lock(w);
	if (!w->failed) {
		w->seal = true;
		wake(&w->work);
	}
	while (w->seal && !w->failed)
		wait_locked(w, &w->room);
	rc = failure_locked(w, e);
	unlock(w);
	return rc;
}

void writer_close(struct writer *w)
{
	if (!w)
		return;
	lock(w);
	w->stop = true;
	w->seal = false;
	if (!w->failed) { /* what was not finished is dropped, not written */
		w->failed = true;
		err_set(&w->err, ERR_CANCELED, "the writer is being closed");
	}
	wake(&w->work);
	unlock(w);
	if (w->have_packer && pthread_join(w->packer, NULL) != 0)
		abort();
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

void writer_stats(const struct writer *w, struct writer_stats *out)
{
	*out = (struct writer_stats){
	    .new_chunks = atomic_load(&w->new_chunks),
	    .new_bytes = atomic_load(&w->new_bytes),
	    .known_chunks = atomic_load(&w->known_chunks),
	    .known_bytes = atomic_load(&w->known_bytes),
	    .stored_bytes = atomic_load(&w->stored_bytes),
	    .packs = atomic_load(&w->nr_packs),
	};
}
