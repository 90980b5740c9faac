/* SPDX-License-Identifier: MIT */
/* The other threads' side: blocks are compressed on the pool, written in order by one packer, which
 * leaves full packs to the sealer (writer_seal.c). */
#include "store/engine/writer_impl.h"

#include <assert.h>
#include <stdlib.h>

#include "store/base/digest.h"
#include "store/format/limits.h"

/* Of a pack that is written, and of the one before it that is sealed meanwhile, each chunk takes some 200 bytes of memory. */
#define CHUNKS_AIM (1u << 16)

void writer_lock(struct writer *w)
{
	if (pthread_mutex_lock(&w->mutex) != 0)
		abort();
}

void writer_unlock(struct writer *w)
{
	if (pthread_mutex_unlock(&w->mutex) != 0)
		abort();
}

void writer_wait_locked(struct writer *w, pthread_cond_t *cond)
{
	if (pthread_cond_wait(cond, &w->mutex) != 0)
		abort();
}

void writer_wake(pthread_cond_t *cond)
{
	if (pthread_cond_broadcast(cond) != 0)
		abort();
}

void writer_fail(struct writer *w, const struct err *why)
{
	writer_lock(w);
	if (!w->failed) {
		w->failed = true;
		w->err = *why;
	}
	writer_wake(&w->room);
	writer_unlock(w);
}

enum err_code writer_failure_locked(struct writer *w, struct err *e)
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

	writer_lock(w);
	if (w->nr_codecs > 0)
		codec = w->codecs[--w->nr_codecs];
	writer_unlock(w);
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

void writer_compress(void *arg)
{
	struct slot *s = arg;
	struct writer *w = s->w;
	struct codec *codec = NULL;

	s->rc = codec_take(w, &codec, &s->err);
	if (!s->rc)
		s->rc = compress(s, codec, &s->err);
	writer_lock(w);
	if (codec)
		w->codecs[w->nr_codecs++] = codec;
	s->done = true;
	if (w->ring[w->head] == s)
		writer_wake(&w->work);
	writer_unlock(w);
}

/* Packing, on the packer's thread. */

static struct open_pack *pack_of(struct writer *w, enum pack_kind kind)
{
	return &w->packs[kind - PACK_DATA];
}

static enum err_code hand_over(struct writer *w, enum pack_kind kind, struct err *e)
{
	struct open_pack *p = pack_of(w, kind);
	struct pack_writer *pw = p->writer;

	*p = (struct open_pack){0};
	return pw ? writer_seal(w, pw, e) : ERR_OK;
}

static enum err_code begin(struct writer *w, enum pack_kind kind, struct err *e)
{
	struct open_pack *p = pack_of(w, kind);
	enum err_code rc = pack_writer_open(w->cfg.backend, kind, &p->writer, e);

	if (!rc && w->cfg.params.parity)
		rc = pack_writer_parity(p->writer, w->cfg.params.parity, e);
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
		rc = hand_over(w, s->kind, e);
	if (!rc && !p->writer)
		rc = begin(w, s->kind, e);
	if (!rc)
		rc = pack_writer_add(p->writer, &s->header, s->chunks, s->frame, e);
	if (rc)
		return rc;
	p->nr_blocks++;
	p->nr_chunks += s->nr_chunks;
	/* Rows of a database compress to so little that chunks by the hundred thousand would wait for their pack's length. */
	return pack_writer_len(p->writer) >= w->cfg.params.pack_len || p->nr_chunks >= CHUNKS_AIM
		       ? hand_over(w, s->kind, e)
		       : ERR_OK;
}

static void recycle_locked(struct writer *w, struct slot *s)
{
	s->plain_len = s->nr_chunks = 0;
	s->done = false;
	s->next = w->free;
	w->free = s;
	writer_wake(&w->room);
}

static void abort_packs(struct writer *w)
{
	for (int i = 0; i < WRITER_KINDS; i++) {
		pack_writer_abort(w->packs[i].writer);
		w->packs[i] = (struct open_pack){0};
	}
}

static void seal_all(struct writer *w)
{
	struct err e = ERR_INIT;
	enum err_code rc = hand_over(w, PACK_DATA, &e);

	if (!rc)
		rc = hand_over(w, PACK_TREE, &e);
	if (!rc)
		rc = writer_seal_wait(w, &e);
	if (rc) {
		writer_fail(w, &e);
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

	writer_lock(w);
	failed = w->failed;
	writer_unlock(w);
	if (failed)
		return;
	if (rc)
		e = s->err;
	else
		rc = add_block(w, s, &e);
	if (rc) {
		writer_fail(w, &e);
		abort_packs(w);
	}
}

void *writer_packer(void *arg)
{
	struct writer *w = arg;

	writer_lock(w);
	for (;;) {
		struct slot *s = w->nr_ring > 0 ? w->ring[w->head] : NULL;

		if (s && s->done) {
			writer_unlock(w);
			pack_slot(w, s);
			writer_lock(w);
			w->head = (w->head + 1) % w->nr_slots;
			w->nr_ring--;
			recycle_locked(w, s);
		} else if (!s && w->seal) {
			writer_unlock(w);
			seal_all(w);
			writer_lock(w);
			w->seal = false;
			writer_wake(&w->room);
		} else if (!s && w->stop) {
			break;
		} else {
			writer_wait_locked(w, &w->work);
		}
	}
	writer_unlock(w);
	abort_packs(w);
	return NULL;
}
