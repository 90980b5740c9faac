/* SPDX-License-Identifier: MIT */
#include "store/engine/prefetch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "store/base/must.h"

#define STREAMS		8u	/* readers told apart */
#define RUN_MIN		2u	/* steps forward before anything is fetched: chance makes one in thirty random reads one */
#define STEP_MAX	3u	/* blocks a step may skip: some are in memory already, and threads overtake each other */
#define STREAM_AHEAD	6u	/* the same of one */
#define RECENT		16u	/* touches ago at most: a stream that shares in ahead_max */
#define QUEUE		32u	/* jobs */

struct stream {
	uint32_t ord, last;	/* the farthest block come to */
	uint32_t fetched;	/* the farthest asked for; at least last */
	unsigned run;		/* steps forward so far, up to STREAM_AHEAD + RUN_MIN */
	uint64_t when;		/* 0: free */
	bool at_end;		/* of its pack */
};

struct job {
	uint32_t ord, block;
};

struct prefetch {
	prefetch_load_fn *fn;
	void *ctx;
	unsigned ahead_max;
	pthread_mutex_t mutex;
	pthread_cond_t some;
	bool ended;			/* mutex, as all that follows */
	uint64_t clock;			/* counts touches */
	struct stream streams[STREAMS];
	struct job jobs[QUEUE];		/* a ring */
	unsigned head, nr_jobs;
	unsigned nr_threads;		/* the opener's, from here on */
	pthread_t threads[];
};

static void *run(void *arg)
{
	struct prefetch *p = arg;

	must(pthread_mutex_lock(&p->mutex));
	for (;;) {
		struct job j;

		while (p->nr_jobs == 0 && !p->ended)
			must(pthread_cond_wait(&p->some, &p->mutex));
		if (p->ended)
			break;
		j = p->jobs[p->head];
		p->head = (p->head + 1) % QUEUE;
		p->nr_jobs--;
		must(pthread_mutex_unlock(&p->mutex));
		p->fn(p->ctx, j.ord, j.block);
		must(pthread_mutex_lock(&p->mutex));
	}
	must(pthread_mutex_unlock(&p->mutex));
	return NULL;
}

enum err_code prefetch_open(unsigned nr, unsigned ahead_max, prefetch_load_fn *fn, void *ctx,
			    struct prefetch **out, struct err *e)
{
	struct prefetch *p = calloc(1, sizeof(*p) + nr * sizeof(p->threads[0]));

	if (!p)
		return err_set(e, ERR_NOMEM, "prefetching");
	p->ahead_max = ahead_max;
	p->fn = fn;
	p->ctx = ctx;
	must(pthread_mutex_init(&p->mutex, NULL));
	must(pthread_cond_init(&p->some, NULL));
	for (unsigned i = 0; i < nr; i++) {
		int sys = pthread_create(&p->threads[i], NULL, run, p);

		if (sys) {
			prefetch_close(p);
			return err_set(e, ERR_NOMEM, "start of a prefetching thread: error %d", sys);
		}
		p->nr_threads++;
	}
	*out = p;
	return ERR_OK;
}

void prefetch_close(struct prefetch *p)
{
	if (!p)
		return;
	must(pthread_mutex_lock(&p->mutex));
	p->ended = true;
	must(pthread_cond_broadcast(&p->some));
	must(pthread_mutex_unlock(&p->mutex));
	for (unsigned i = 0; i < p->nr_threads; i++)
		must(pthread_join(p->threads[i], NULL));
	must(pthread_cond_destroy(&p->some));
	must(pthread_mutex_destroy(&p->mutex));
	free(p);
}

/* Who was near the end of his pack just now and is no more seen there goes on at the beginning of another. */
static unsigned run_before_locked(const struct prefetch *p, uint32_t block)
{
	unsigned run = 0;

	for (unsigned i = 0; i < STREAMS && block < STEP_MAX; i++) {
		const struct stream *s = &p->streams[i];

		if (s->when && s->at_end && p->clock - s->when < STREAMS && s->run > run)
			run = s->run;
	}
	return run;
}

/* The stream that the block goes on with, or a new one in place of the oldest. */
static struct stream *stream_of_locked(struct prefetch *p, uint32_t ord, uint32_t block)
{
	struct stream *oldest = &p->streams[0];
	unsigned run = run_before_locked(p, block);

	for (unsigned i = 0; i < STREAMS; i++) {
		struct stream *s = &p->streams[i];

		if (s->when && s->ord == ord && block + STEP_MAX >= s->last &&
		    block <= (s->fetched > s->last + STEP_MAX ? s->fetched : s->last + STEP_MAX))
			return s;
		if (s->when < oldest->when)
			oldest = s;
	}
	*oldest = (struct stream){ .ord = ord, .last = block, .fetched = block, .run = run };
	return oldest;
}

/* How far ahead of its reader a stream may be: growing with its run, less where there are others. */
static uint32_t ahead_locked(const struct prefetch *p, const struct stream *s)
{
	uint32_t active = 0, share;

	for (unsigned i = 0; i < STREAMS; i++)
		active += p->streams[i].run >= RUN_MIN && p->clock - p->streams[i].when < RECENT;
	share = p->ahead_max / (active ? active : 1);
	if (share > STREAM_AHEAD)
		share = STREAM_AHEAD;
	return s->run - RUN_MIN + 1 < share ? s->run - RUN_MIN + 1 : share;
}

static void add_job_locked(struct prefetch *p, uint32_t ord, uint32_t block)
{
	p->jobs[(p->head + p->nr_jobs++) % QUEUE] = (struct job){ .ord = ord, .block = block };
	must(pthread_cond_signal(&p->some));
}

void prefetch_touch(struct prefetch *p, uint32_t ord, uint32_t block, uint32_t nr_blocks)
{
	struct stream *s;
	uint32_t until;

	must(pthread_mutex_lock(&p->mutex));
	s = stream_of_locked(p, ord, block);
	s->when = ++p->clock;
	if (block > s->last) {
		s->last = block;
		s->run += s->run < STREAM_AHEAD + RUN_MIN;
	}
	if (s->fetched < s->last)
		s->fetched = s->last;
	s->at_end = s->last + STEP_MAX >= nr_blocks;
	until = s->run >= RUN_MIN ? s->last + ahead_locked(p, s) : s->last;
	while (s->fetched < until && s->fetched + 1 < nr_blocks && p->nr_jobs < QUEUE)
		add_job_locked(p, ord, ++s->fetched);
	must(pthread_mutex_unlock(&p->mutex));
}
