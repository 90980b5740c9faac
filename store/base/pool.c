/* SPDX-License-Identifier: MIT */
#include "store/base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/base/must.h"

struct queue {
	pthread_mutex_t mutex;
	pthread_cond_t room, some;
	size_t cap, head, nr;		/* mutex */
	bool ended;			/* mutex */
	void *items[];			/* mutex; a ring of cap */
};

enum err_code queue_open(size_t cap, struct queue **out, struct err *e)
{
	struct queue *q = calloc(1, sizeof(*q) + cap * sizeof(q->items[0]));

	if (!q)
		return err_set(e, ERR_NOMEM, "queue of %zu", cap);
	q->cap = cap;
	must(pthread_mutex_init(&q->mutex, NULL));
	must(pthread_cond_init(&q->room, NULL));
	must(pthread_cond_init(&q->some, NULL));
	*out = q;
	return ERR_OK;
}

void queue_close(struct queue *q)
{
	if (!q)
		return;
	must(pthread_cond_destroy(&q->some));
	must(pthread_cond_destroy(&q->room));
	must(pthread_mutex_destroy(&q->mutex));
	free(q);
}

static void push_locked(struct queue *q, void *item)
{
	q->items[(q->head + q->nr) % q->cap] = item;
	q->nr++;
	must(pthread_cond_signal(&q->some));
}

bool queue_push(struct queue *q, void *item)
{
	bool ok;

	must(pthread_mutex_lock(&q->mutex));
	while (q->nr == q->cap && !q->ended)
		must(pthread_cond_wait(&q->room, &q->mutex));
	ok = !q->ended;
	if (ok)
		push_locked(q, item);
	must(pthread_mutex_unlock(&q->mutex));
	return ok;
}

void *queue_pop(struct queue *q)
{
	void *item = NULL;

	must(pthread_mutex_lock(&q->mutex));
	while (q->nr == 0 && !q->ended)
		must(pthread_cond_wait(&q->some, &q->mutex));
	if (q->nr > 0) {
		item = q->items[q->head];
		q->head = (q->head + 1) % q->cap;
		q->nr--;
		must(pthread_cond_signal(&q->room));
	}
	must(pthread_mutex_unlock(&q->mutex));
	return item;
}

void queue_end(struct queue *q)
{
	must(pthread_mutex_lock(&q->mutex));
	q->ended = true;
	must(pthread_cond_broadcast(&q->some));
	must(pthread_cond_broadcast(&q->room));
	must(pthread_mutex_unlock(&q->mutex));
}

struct job {
	pool_fn *fn;
	void *arg;
};

struct pool {
	struct queue *jobs;
	pthread_mutex_t mutex;
	pthread_cond_t idle;
	size_t nr_open;			/* mutex; submitted and not yet run */
	unsigned nr_threads;
	pthread_t threads[];
};

static void *pool_thread(void *arg)
{
	struct pool *p = arg;
	struct job *j;

	while ((j = queue_pop(p->jobs))) {
		j->fn(j->arg);
		free(j);
		must(pthread_mutex_lock(&p->mutex));
		if (--p->nr_open == 0)
			must(pthread_cond_broadcast(&p->idle));
		must(pthread_mutex_unlock(&p->mutex));
	}
	return NULL;
}

unsigned pool_nr_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return CPU_COUNT(&set) > 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

enum err_code pool_open(unsigned nr, size_t queue_cap, struct pool **out, struct err *e)
{
	enum err_code rc;
	struct pool *p;

	if (nr == 0)
		nr = pool_nr_cpus();
	p = calloc(1, sizeof(*p) + nr * sizeof(p->threads[0]));
	if (!p)
		return err_set(e, ERR_NOMEM, "pool of %u threads", nr);
	rc = queue_open(queue_cap ? queue_cap : 1, &p->jobs, e);
	if (rc) {
		free(p);
		return rc;
	}
	must(pthread_mutex_init(&p->mutex, NULL));
	must(pthread_cond_init(&p->idle, NULL));
	for (unsigned i = 0; i < nr; i++) {
		int err = pthread_create(&p->threads[i], NULL, pool_thread, p);

		if (err != 0) {
			rc = err_set(e, ERR_NOMEM, "thread %u of %u: error %d", i + 1, nr, err);
			pool_close(p);
			return rc;
		}
		p->nr_threads++;
	}
	*out = p;
	return ERR_OK;
}

static struct job *job_new(struct pool *p, pool_fn *fn, void *arg)
{
	struct job *j = malloc(sizeof(*j));

	if (!j)		/* 16 bytes: the process is past saving */
		abort();
	*j = (struct job){ .fn = fn, .arg = arg };
	must(pthread_mutex_lock(&p->mutex));
	p->nr_open++;
	must(pthread_mutex_unlock(&p->mutex));
	return j;
}

void pool_submit(struct pool *p, pool_fn *fn, void *arg)
{
	if (!queue_push(p->jobs, job_new(p, fn, arg)))
		abort();	/* submitting to a pool that is being closed */
}

void pool_wait(struct pool *p)
{
	must(pthread_mutex_lock(&p->mutex));
	while (p->nr_open > 0)
		must(pthread_cond_wait(&p->idle, &p->mutex));
	must(pthread_mutex_unlock(&p->mutex));
}

void pool_close(struct pool *p)
{
	if (!p)
		return;
	queue_end(p->jobs);
	for (unsigned i = 0; i < p->nr_threads; i++)
		must(pthread_join(p->threads[i], NULL));
	queue_close(p->jobs);
	must(pthread_cond_destroy(&p->idle));
	must(pthread_mutex_destroy(&p->mutex));
	free(p);
}

unsigned pool_nr_threads(const struct pool *p)
{
	return p->nr_threads;
}
