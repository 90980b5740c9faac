/* SPDX-License-Identifier: MIT */
/* The thread that makes packs whole where they lie. */
#include "store/engine/heal_impl.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "store/engine/mend.h"
#include "store/engine/pack.h"
#include "store/engine/parity.h"

#define QUEUE_MAX 256u /* packs in a session */

/* One pack being mended. */
struct job {
	struct heal *h;
	struct heal_news news;
	bool done, writing; /* writing: what failed failed here, not there */
	struct err err;	    /* why not */
};

/* Without the bytes, not without the room or the memory: another copy may have them. */
static bool lacks_bytes(enum err_code rc)
{
	return rc == ERR_CORRUPT || rc == ERR_NOT_FOUND || rc == ERR_UNSUPPORTED;
}

static enum err_code by_parity(struct job *j)
{
	struct backend *b = j->h->cfg.backend;
	struct parity_report r = {0};
	uint64_t len;
	enum err_code rc = parity_pack_len(b, &j->news.pack, &len, &j->err);

	if (rc) /* a parity file that cannot be read is one that is not there */
		return rc == ERR_NOMEM || rc == ERR_ABSENT ? rc : ERR_NOT_FOUND;
	rc = parity_mend(b, &j->news.pack, &r, &j->err);
	/* The pack was read, and written, before its parity file was. */
	j->done = r.pack_mended || r.par_mended;
	j->news.sectors = r.bad;
	if (j->done || !rc)
		j->news.kind = j->done ? HEAL_MENDED : HEAL_WAS_WHOLE;
	j->writing = rc && !lacks_bytes(rc);
	return rc;
}

/* ERR_OK ends it: mended, or nothing that another copy could make better. */
static enum err_code by_replica(void *ctx, struct backend *replica, struct err *e)
{
	struct job *j = ctx;
	struct backend *own = j->h->cfg.backend;
	struct err why = ERR_INIT;
	enum err_code rc;

	(void)e;
	rc = mend_copy(replica, false, own, &j->news.pack, &j->writing, &why);
	if (rc && !j->writing)
		rc = mend_copy(replica, true, own, &j->news.pack, &j->writing, &why);
	if (!rc) {
		j->done = true;
		j->news.kind = HEAL_MENDED;
		j->news.from_replica = true;
	} else if (j->writing) {
		j->err = why;
	}
	return j->writing ? ERR_OK : rc;
}

/* A pack that is gone with its parity was let go, for all that can be known here. */
static bool should_be_here(struct heal *h, const struct object_id *pack)
{
	char name[PARITY_NAME_LEN + 1], pack_file[PACK_NAME_LEN + 1];
	struct backend *b = h->cfg.backend;
	uint64_t size;

	parity_name(pack, name);
	pack_name(pack, pack_file);
	return b->ops->size(b, pack_file, &size, NULL) != ERR_NOT_FOUND ||
	       !b->ops->size(b, name, &size, NULL);
}

static void mend(struct job *j)
{
	enum err_code rc;

	j->news.kind = HEAL_NOT_MENDED;
	if (!should_be_here(j->h, &j->news.pack)) {
		(void)err_set(&j->err, ERR_NOT_FOUND, "neither it nor its parity is here");
		return;
	}
	rc = by_parity(j);
	if (!lacks_bytes(rc) || j->done)
		return;
	heal_each_replica(j->h, by_replica, j);
	if (j->done && rc == ERR_CORRUPT) {
		struct parity_report r;

		/* Its parity may be damaged as well, and can be made anew now. */
		rc = parity_mend(j->h->cfg.backend, &j->news.pack, &r, NULL);
		j->news.parity_damaged = rc != ERR_OK;
	}
}

static void tell(struct heal *h, const struct heal_news *n)
{
	if (h->cfg.news)
		h->cfg.news(h->cfg.ctx, n);
}

/* A medium that does not take what is written, or gives it back wrong, is not written to again. */
static bool is_write_error(const struct job *j)
{
	return j->writing && j->err.code == ERR_IO && j->err.sys != ENOSPC && j->err.sys != EDQUOT;
}

static void stop(struct heal *h, const struct err *why)
{
	struct heal_news n = {.kind = HEAL_STOPPED, .err = why};

	heal_lock(h);
	h->stopped = true;
	heal_unlock(h);
	tell(h, &n);
}

static void mend_one(struct heal *h, const struct object_id *pack)
{
	struct job j = {.h = h, .news = {.pack = *pack}};
	uint64_t mended = 0;

	mend(&j);
	if (j.done) {
		heal_lock(h);
		mended = ++h->mended;
		heal_unlock(h);
	}
	if (j.news.kind == HEAL_NOT_MENDED) {
		j.news.err = &j.err;
	} else {
		heal_forget_failed(h, pack);
		h->cfg.mended(h->cfg.ctx, pack);
	}
	tell(h, &j.news);
	if (is_write_error(&j))
		stop(h, &j.err);
	else if (j.done && mended == HEAL_PACKS_MAX)
		stop(h, NULL);
}

static void *run(void *ctx)
{
	struct heal *h = ctx;

	heal_lock(h);
	while (!h->stopped) {
		struct object_id pack;

		if (h->done == h->nr_queue) {
			if (h->closing)
				break;
			if (pthread_cond_wait(&h->some, &h->mutex) != 0)
				abort();
			continue;
		}
		pack = h->queue[h->done++];
		heal_unlock(h);
		mend_one(h, &pack);
		heal_lock(h);
	}
	heal_unlock(h);
	return NULL;
}

static bool add_locked(struct heal *h, const struct object_id *pack)
{
	if (h->nr_queue == QUEUE_MAX)
		return false; /* many that cannot be mended: as good as stopped */
	for (size_t i = 0; i < h->nr_queue; i++)
		if (id_eq(&h->queue[i], pack))
			return false;
	if (h->nr_queue == h->cap_queue) {
		size_t cap = h->cap_queue ? 2 * h->cap_queue : 16;
		struct object_id *p = reallocarray(h->queue, cap, sizeof(*p));

		if (!p)
			return false; /* the next damage in it is another occasion */
		h->queue = p;
		h->cap_queue = cap;
	}
	h->queue[h->nr_queue++] = *pack;
	return true;
}

/* No signal of the program's is for this thread. */
static bool start_locked(struct heal *h)
{
	sigset_t all, before;
	bool started;

	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
		abort();
	started = pthread_create(&h->thread, NULL, run, h) == 0;
	if (pthread_sigmask(SIG_SETMASK, &before, NULL) != 0)
		abort();
	return started;
}

void heal_queue(struct heal *h, const struct object_id *pack)
{
	heal_lock(h);
	if (!h->stopped && !h->closing && add_locked(h, pack)) {
		/* Where there is no thread to be had now, there may be at the next. */
		if (!h->running)
			h->running = start_locked(h);
		if (pthread_cond_signal(&h->some) != 0)
			abort();
	}
	heal_unlock(h);
}

void heal_mend_end(struct heal *h)
{
	heal_lock(h);
	h->closing = true;
	if (pthread_cond_signal(&h->some) != 0)
		abort();
	heal_unlock(h);
	if (h->running && pthread_join(h->thread, NULL) != 0)
		abort();
}
