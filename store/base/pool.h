/* SPDX-License-Identifier: MIT */
/* Worker threads, and a bounded queue between threads. */
#ifndef VOUCH_BASE_POOL_H
#define VOUCH_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "store/err.h"

/** A first-in first-out queue of pointers, bounded; any number of threads at both ends. */
struct queue;

MUST_CHECK enum err_code queue_open(size_t cap, struct queue **out, struct err *e);
void queue_close(struct queue *q);		/* frees; no thread may be using it */
bool queue_push(struct queue *q, void *item);	/* waits for room; false once ended */
void *queue_pop(struct queue *q);		/* waits; NULL once ended and empty */
void queue_end(struct queue *q);		/* no more pushes; wakes everybody */

/** Threads that run jobs. A job must not submit to its own pool (it could wait for itself). */
struct pool;
typedef void pool_fn(void *arg);

/** nr threads (0: as many as there are processors); at most queue_cap jobs wait. */
MUST_CHECK enum err_code pool_open(unsigned nr, size_t queue_cap, struct pool **out,
				   struct err *e);
void pool_submit(struct pool *p, pool_fn *fn, void *arg);	/* waits for room */
void pool_wait(struct pool *p);			/* until every submitted job has run */
void pool_close(struct pool *p);		/* waits, ends the threads, frees; NULL is allowed */
unsigned pool_nr_threads(const struct pool *p);

/** Processors this process may use, at least 1. */
unsigned pool_nr_cpus(void);

#endif
