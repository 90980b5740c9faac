/* SPDX-License-Identifier: MIT */
#include "store/backup_batch_internal.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/digest.h"
#include "store/base/must.h"
#include "store/format/limits.h"

#define BATCH_FULL	(1u << 20) /* bytes of data after which a batch of small files goes on */
#define BATCH_STEPS_MAX 4096u
#define BATCH_ARENA_MAX (1u << 20)
#define TOGETHER_MAX	4u   /* batches hashed by one thread at once ... */
#define CHUNKS_TOGETHER 256u /* ... and chunks of them */
#define BATCHES_MIN	4u
#define BATCHES_MAX	20u /* with 2 MiB each: 40 MiB, however many processors */

struct pipeline {
	struct pool *pool;
	struct committer *committer; /* commit thread; the walker after pipeline_end */
	struct batch *all;
	unsigned nr_batches;
	size_t data_cap;
	struct queue *free, *order, *strand;
	struct batch *cur; /* walker */
	size_t uncut;	   /* walker: bytes at the end of cur's data without a step */
	bool strand_open;  /* walker: the strand has begun a file, and must see where it ends */
	pthread_t commit_thread, strand_thread;
	bool commit_runs, strand_runs; /* walker */
	const atomic_bool *cancel;
	struct digest *digest;	       /* strand */
	bool digest_begun;	       /* strand */
	pthread_mutex_t mutex;
	pthread_cond_t ready;	   /* a batch's pending reached 0 */
	struct batch *unhashed;	   /* mutex; the oldest first */
	struct batch **unhashed_end; /* mutex */
	atomic_bool failed;   /* set after err */
	struct err err;	      /* mutex: the first */
};

static void pipeline_fail(struct pipeline *p, const struct err *e)
{
	must(pthread_mutex_lock(&p->mutex));
	if (!atomic_load(&p->failed)) {
		p->err = *e;
		atomic_store(&p->failed, true);
	}
	must(pthread_mutex_unlock(&p->mutex));
}

static enum err_code pipeline_error(struct pipeline *p, struct err *e)
{
	if (!atomic_load(&p->failed))
		return ERR_OK;
	must(pthread_mutex_lock(&p->mutex));
	if (e)
		*e = p->err;
	must(pthread_mutex_unlock(&p->mutex));
	return p->err.code;
}

static void batch_done(struct batch *b)
{
	struct pipeline *p = b->pipe;

	must(pthread_mutex_lock(&p->mutex));
	if (--b->pending == 0)
		must(pthread_cond_broadcast(&p->ready));
	must(pthread_mutex_unlock(&p->mutex));
}

static unsigned take_unhashed(struct pipeline *p, struct batch *out[TOGETHER_MAX])
{
	unsigned n = 0;

	must(pthread_mutex_lock(&p->mutex));
	for (; p->unhashed && n < TOGETHER_MAX; n++) {
		out[n] = p->unhashed;
		p->unhashed = out[n]->next;
	}
	if (!p->unhashed)
		p->unhashed_end = &p->unhashed;
	must(pthread_mutex_unlock(&p->mutex));
	return n;
}

/*
 * All that waits, and not the one batch: a batch of a large file has eight chunks, and sixteen are
 * hashed in the time of six.  The jobs of the others then find nothing to do.
 */
static void hash_chunks(void *arg)
{
	struct digest_job jobs[CHUNKS_TOGETHER];
	struct batch *take[TOGETHER_MAX];
	unsigned nr_take = take_unhashed(arg, take);
	size_t nr = 0;

	for (unsigned k = 0; k < nr_take; k++) {
		for (size_t i = 0; i < take[k]->nr_steps; i++) {
			struct step *t = &take[k]->steps[i];

			if (t->kind != STEP_CHUNK && t->kind != STEP_VALUE)
				continue;
			jobs[nr++] = (struct digest_job){
			    .buf = take[k]->data + t->off, .len = t->len, .out = &t->id};
			if (nr == CHUNKS_TOGETHER) {
				digest_sha256_many(jobs, nr);
				nr = 0;
			}
		}
	}
	digest_sha256_many(jobs, nr);
	for (unsigned k = 0; k < nr_take; k++)
		batch_done(take[k]);
}

/** A gigabyte of a hole takes a second: that much cannot be waited for by who has asked to stop. */
static void digest_zeros(struct pipeline *p, uint64_t len)
{
	static const uint8_t zeros[64 << 10];

	while (len > 0) {
		size_t n = len < sizeof(zeros) ? (size_t)len : sizeof(zeros);

		if (p->cancel && atomic_load(p->cancel)) {
			struct err e = ERR_INIT;

			/* The digest is of too few bytes: nothing may come of it. */
			(void)err_set(&e, ERR_CANCELED, "stopped on request");
			pipeline_fail(p, &e);
			return;
		}
		digest_add(p->digest, zeros, n);
		len -= n;
	}
}

static void strand_step(struct pipeline *p, const struct batch *b, const struct step *t)
{
	struct object_id id;

	if (t->kind == STEP_CHUNK && t->whole) {
		digest_add(p->digest, b->data + t->off, t->len);
		p->digest_begun = true;
	} else if (t->kind == STEP_HOLE && t->whole) {
		digest_zeros(p, t->hole_len);
		p->digest_begun = true;
	} else if ((t->kind == STEP_FILE || t->kind == STEP_RESTART) && p->digest_begun) {
		digest_finish(p->digest, &id);
		p->digest_begun = false;
		if (t->kind == STEP_FILE && t->whole) {
			t->ent->sha256 = id;
			t->ent->flags |= ENTRY_HAS_SHA256;
		}
	}
}

static void *strand_main(void *arg)
{
	struct pipeline *p = arg;
	struct batch *b;

	while ((b = queue_pop(p->strand))) {
		for (size_t i = 0; i < b->nr_steps; i++)
			strand_step(p, b, &b->steps[i]);
		batch_done(b);
	}
	return NULL;
}

static void *commit_main(void *arg)
{
	struct pipeline *p = arg;
	struct batch *b;

	while ((b = queue_pop(p->order))) {
		struct err e = ERR_INIT;

		must(pthread_mutex_lock(&p->mutex));
		while (b->pending > 0)
			must(pthread_cond_wait(&p->ready, &p->mutex));
		must(pthread_mutex_unlock(&p->mutex));
		/* After an error batches only go round, so that the walker comes to hear of it. */
		if (!atomic_load(&p->failed) && committer_take(p->committer, b, &e))
			pipeline_fail(p, &e);
		b->nr_steps = 0;
		b->data_len = 0;
		b->for_strand = false;
		batch_arena_reset(b);
		(void)queue_push(p->free, b); /* holds all there are, and never ends */
	}
	return NULL;
}

static enum err_code batches_alloc(struct pipeline *p, struct err *e)
{
	p->all = calloc(p->nr_batches, sizeof(p->all[0]));
	if (!p->all)
		return err_set(e, ERR_NOMEM, "%u batches", p->nr_batches);
	for (unsigned i = 0; i < p->nr_batches; i++) {
		struct batch *b = &p->all[i];

		b->pipe = p;
		b->data = malloc(p->data_cap);
		if (!b->data)
			return err_set(e, ERR_NOMEM, "batch of %zu bytes", p->data_cap);
		if (i > 0)
			(void)queue_push(p->free, b);
	}
	p->cur = &p->all[0];
	return ERR_OK;
}

static enum err_code threads_start(struct pipeline *p, struct err *e)
{
	int rc = pthread_create(&p->commit_thread, NULL, commit_main, p);

	p->commit_runs = rc == 0;
	if (rc == 0) {
		rc = pthread_create(&p->strand_thread, NULL, strand_main, p);
		p->strand_runs = rc == 0;
	}
	return rc == 0 ? ERR_OK : err_set(e, ERR_NOMEM, "thread: error %d", rc);
}

enum err_code pipeline_open(const struct pipeline_config *cfg, struct pipeline **out, struct err *e)
{
	struct pipeline *p = calloc(1, sizeof(*p));
	enum err_code rc;

	if (!p)
		return err_set(e, ERR_NOMEM, "pipeline");
	must(pthread_mutex_init(&p->mutex, NULL));
	must(pthread_cond_init(&p->ready, NULL));
	p->pool = cfg->pool;
	p->unhashed_end = &p->unhashed;
	p->cancel = cfg->cancel;
	p->nr_batches = pool_nr_threads(cfg->pool) + BATCHES_MIN;
	if (p->nr_batches > BATCHES_MAX)
		p->nr_batches = BATCHES_MAX;
	/* Twice: what is left uncut of a large file is less than one, and moves to the next batch.
	 */
	p->data_cap = 2 * (size_t)(cfg->chunk_max > BATCH_FULL ? cfg->chunk_max : BATCH_FULL);
	rc = queue_open(p->nr_batches, &p->free, e);
	if (!rc)
		rc = queue_open(p->nr_batches, &p->order, e);
	if (!rc)
		rc = queue_open(p->nr_batches, &p->strand, e);
	if (!rc)
		rc = digest_open(&p->digest, e);
	if (!rc)
		rc = committer_open(cfg->writer, &p->committer, e);
	if (!rc)
		rc = batches_alloc(p, e);
	if (!rc)
		rc = threads_start(p, e);
	if (rc) {
		pipeline_close(p);
		return rc;
	}
	*out = p;
	return ERR_OK;
}

static void threads_end(struct pipeline *p)
{
	if (p->order)
		queue_end(p->order);
	if (p->strand)
		queue_end(p->strand);
	if (p->strand_runs)
		must(pthread_join(p->strand_thread, NULL));
	if (p->commit_runs)
		must(pthread_join(p->commit_thread, NULL));
	p->strand_runs = p->commit_runs = false;
}

void pipeline_close(struct pipeline *p)
{
	if (!p)
		return;
	threads_end(p);
	pool_wait(p->pool); /* for jobs that will find nothing to do */
	for (unsigned i = 0; p->all && i < p->nr_batches; i++) {
		struct batch *b = &p->all[i];

		batch_arena_free(b);
		free(b->steps);
		free(b->data);
	}
	free(p->all);
	committer_close(p->committer);
	digest_close(p->digest);
	queue_close(p->strand);
	queue_close(p->order);
	queue_close(p->free);
	must(pthread_cond_destroy(&p->ready));
	must(pthread_mutex_destroy(&p->mutex));
	free(p);
}

static void send(struct pipeline *p, struct batch *b)
{
	b->pending = b->for_strand ? 2 : 1;
	b->next = NULL;
	must(pthread_mutex_lock(&p->mutex));
	*p->unhashed_end = b;
	p->unhashed_end = &b->next;
	must(pthread_mutex_unlock(&p->mutex));
	pool_submit(p->pool, hash_chunks, p);
	if (b->for_strand)
		(void)queue_push(p->strand, b);
	(void)queue_push(p->order, b);
}

/** The batch goes on; bytes that are in no step yet move to the next one. */
static enum err_code flush(struct pipeline *p, struct err *e)
{
	struct batch *b = p->cur, *next = queue_pop(p->free);

	b->data_len -= p->uncut;
	if (p->uncut > 0)
		memcpy(next->data, b->data + b->data_len, p->uncut);
	next->data_len = p->uncut;
	send(p, b);
	p->cur = next;
	return pipeline_error(p, e);
}

bool pipeline_is_full(const struct pipeline *p, size_t min)
{
	return p->data_cap - p->cur->data_len < min;
}

enum err_code pipeline_room(struct pipeline *p, size_t min, uint8_t **at, size_t *room,
			    struct err *e)
{
	enum err_code rc = ERR_OK;

	assert(min <= p->data_cap - p->uncut);
	if (pipeline_is_full(p, min))
		rc = flush(p, e);
	*at = p->cur->data + p->cur->data_len;
	*room = p->data_cap - p->cur->data_len;
	return rc;
}

void pipeline_filled(struct pipeline *p, size_t n)
{
	assert(n <= p->data_cap - p->cur->data_len);
	p->cur->data_len += n;
	p->uncut += n;
}

const uint8_t *pipeline_uncut(const struct pipeline *p, size_t *len)
{
	*len = p->uncut;
	return p->cur->data + (p->cur->data_len - p->uncut);
}

static enum err_code step_room(struct pipeline *p, struct err *e)
{
	struct batch *b = p->cur;

	if (b->nr_steps >= BATCH_STEPS_MAX || b->arena_len >= BATCH_ARENA_MAX ||
	    (p->uncut == 0 && b->data_len >= BATCH_FULL)) {
		enum err_code rc = flush(p, e);

		if (rc)
			return rc;
		b = p->cur;
	}
	if (b->nr_steps == b->cap_steps) {
		size_t cap = b->cap_steps ? 2 * b->cap_steps : 128;
		struct step *n = realloc(b->steps, cap * sizeof(n[0]));

		if (!n)
			return err_set(e, ERR_NOMEM, "batch of %zu steps", cap);
		b->steps = n;
		b->cap_steps = cap;
	}
	return ERR_OK;
}

enum err_code pipeline_cut(struct pipeline *p, enum step_kind kind, size_t len, bool whole,
			   struct err *e)
{
	enum err_code rc = step_room(p, e);
	struct batch *b = p->cur;

	if (rc)
		return rc;
	assert(len <= p->uncut && len <= CHUNK_LEN_MAX);
	b->steps[b->nr_steps++] = (struct step){
	    .kind = kind,
	    .whole = whole,
	    .off = (uint32_t)(b->data_len - p->uncut),
	    .len = (uint32_t)len,
	};
	b->for_strand |= whole;
	p->strand_open |= whole;
	p->uncut -= len;
	return ERR_OK;
}

enum err_code pipeline_step(struct pipeline *p, const struct step *t, const struct entry *ent,
			    struct err *e)
{
	enum err_code rc = step_room(p, e);
	struct batch *b = p->cur;
	struct entry *copy = NULL;

	if (rc)
		return rc;
	if (ent) {
		copy = batch_entry_copy(b, ent);
		if (!copy)
			return err_set(e, ERR_NOMEM, "entry");
	}
	b->steps[b->nr_steps] = *t;
	b->steps[b->nr_steps++].ent = copy;
	p->strand_open |= t->whole;
	if (t->whole || t->kind == STEP_FILE || t->kind == STEP_RESTART)
		b->for_strand |= p->strand_open;
	if (t->kind == STEP_FILE || t->kind == STEP_RESTART)
		p->strand_open = false;
	return ERR_OK;
}

enum err_code pipeline_restart(struct pipeline *p, struct err *e)
{
	p->cur->data_len -= p->uncut;
	p->uncut = 0;
	return pipeline_step(p, &(struct step){.kind = STEP_RESTART}, NULL, e);
}

enum err_code pipeline_end(struct pipeline *p, struct err *e)
{
	p->cur->data_len -= p->uncut;
	p->uncut = 0;
	send(p, p->cur);
	threads_end(p);
	return pipeline_error(p, e);
}

bool pipeline_root(const struct pipeline *p, struct object_id *id, struct totals *below)
{
	return committer_root(p->committer, id, below);
}
