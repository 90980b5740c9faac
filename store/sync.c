/* SPDX-License-Identifier: MIT */
#include "store/sync_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/must.h"
#include "store/base/pool.h"
#include "store/damage_internal.h"
#include "store/replicas_internal.h"

#define ROUNDS_MAX	8u		/* of listing packs again, while prunes here take some away */
#define JOBS_LEAST	3u		/* one reads or hashes while others wait for the medium */
#define ROOM_KEPT	(4u << 20)	/* bytes there for records and the index */

void sync_lock(struct sync *y)
{
	must(pthread_mutex_lock(&y->mutex));
}

void sync_unlock(struct sync *y)
{
	must(pthread_mutex_unlock(&y->mutex));
}

static void tell(struct sync *y)
{
	struct event ev = { .kind = EVENT_PROGRESS, .text = "sync" };
	const struct store_events *to = &y->s->events;

	if (!to->fn)
		return;
	sync_lock(y);
	ev.files = y->packs_done;
	ev.files_total = y->packs_total;
	ev.bytes = y->bytes_done;
	ev.bytes_total = y->bytes_total;
	ev.errors = y->res->damaged_packs + y->res->left_out;
	sync_unlock(y);
	to->fn(to->ctx, &ev);
}

enum err_code sync_step(struct sync *y, uint64_t bytes, struct err *e)
{
	if (y->o->cancel && atomic_load(y->o->cancel))
		return err_set(e, ERR_CANCELED, "sync stopped on request");
	if (bytes > 0) {
		sync_lock(y);
		y->bytes_done += bytes;
		sync_unlock(y);
		tell(y);
		rate_wait(&y->rate, bytes);
	}
	if (y->heart && pthread_mutex_trylock(&y->beat_mutex) == 0) {
		heartbeat_beat(y->heart);
		must(pthread_mutex_unlock(&y->beat_mutex));
	}
	return ERR_OK;
}

/* Packs. */

struct job {
	struct sync *y;
	const struct sync_task *task;
};

static bool ended(struct sync *y)
{
	bool yes;

	sync_lock(y);
	yes = y->first.code != ERR_OK;
	sync_unlock(y);
	return yes;
}

static void task_job(void *arg)
{
	const struct job *j = arg;
	struct sync *y = j->y;
	struct err e = ERR_INIT;
	enum err_code rc;

	if (ended(y))
		return;
	rc = sync_task_do(y, j->task, &e);
	sync_lock(y);
	if (rc && y->first.code == ERR_OK)
		y->first = e;
	y->packs_done += !rc;
	sync_unlock(y);
	if (!rc)
		tell(y);
}

static enum err_code do_tasks(struct sync *y, const struct sync_task *tasks, size_t nr,
			      struct err *e)
{
	unsigned jobs = y->o->jobs ? y->o->jobs : pool_nr_cpus() + 1;
	struct job *v = calloc(nr + 1, sizeof(*v));
	struct pool *pool = NULL;
	enum err_code rc;

	if (!v)
		return err_set(e, ERR_NOMEM, "%zu packs", nr);
	if (!y->o->jobs && jobs < JOBS_LEAST)
		jobs = JOBS_LEAST;
	rc = pool_open(jobs, 2 * (size_t)jobs, &pool, e);
	for (size_t i = 0; i < nr && !rc && !ended(y); i++) {
		v[i] = (struct job){ y, &tasks[i] };
		pool_submit(pool, task_job, &v[i]);
	}
	if (!rc)
		pool_wait(pool);
	pool_close(pool);
	free(v);
	if (!rc && y->first.code != ERR_OK) {
		*e = y->first;
		rc = y->first.code;
	}
	return rc;
}

static enum err_code check_room(struct sync *y, struct err *e)
{
	uint64_t free_bytes = 0, total = 0, want = y->room + y->room / 64 + ROOM_KEPT;
	struct backend *b = y->far->backend;

	if (y->room == 0 || b->ops->space(b, &free_bytes, &total, NULL) || free_bytes >= want)
		return ERR_OK;
	(void)err_set(e, ERR_IO, "%s has %" PRIu64 " MiB free, and %" PRIu64 " MiB are to be copied: forget "
		      "snapshots and prune there, or use a larger drive", y->far->path, free_bytes >> 20,
		      (want >> 20) + 1);
	if (e)
		e->sys = ENOSPC;
	return ERR_IO;
}

static enum err_code copy_packs(struct sync *y, struct err *e)
{
	struct sync_task *tasks = NULL;
	enum err_code rc = ERR_OK;
	bool again = true;
	size_t nr = 0;

	for (unsigned i = 0; i < ROUNDS_MAX && again && !rc; i++) {
		y->vanished = false;
		rc = sync_plan(y, y->far->backend, &tasks, &nr, e);
		if (!rc)
			rc = check_room(y, e);
		if (!rc && nr > 0)
			rc = do_tasks(y, tasks, nr, e);
		free(tasks);
		tasks = NULL;
		again = y->vanished;
	}
	return rc;
}

/* What is left to say. */

static void log_at(struct sync *y, struct store *where, const char *other, enum err_code why)
{
	const struct sync_result *r = y->res;
	struct err e = ERR_INIT;
	struct buf line = BUF_INIT;

	if (store_is_read_only(where))
		return;
	buf_printf(&line, "\"status\":\"%s\",", why ? "failed" : r->damaged_packs + r->left_out > 0 ?
		   "damaged" : "ok");
	replica_member(&line, where == y->far ? "from" : "path", other);
	buf_printf(&line, ",\"packs\":%" PRIu64 ",\"copied_packs\":%" PRIu64 ",\"copied_bytes\":\"%" PRIu64
		   "\",\"copied_snapshots\":%" PRIu64 ",\"left_out\":%" PRIu64, r->packs,
		   r->copied_packs, r->copied_bytes, r->copied_snapshots, r->left_out);
	buf_add_u8(&line, '\0');
	if (line.bad)
		(void)err_set(&e, ERR_NOMEM, "a log line");
	else if (!runlog_append(where, "sync", (const char *)line.p, &e) && !why)
		(void)!replica_note(where, other, &e);
	if (e.code)
		store_event(where, EVENT_WARNING, NULL, &e, "the sync is not in the log");
	buf_release(&line);
}

/* So that an empty folder is never taken for a new one once a copy was begun there. */
static void note_begun(struct sync *y)
{
	struct err e = ERR_INIT;

	if (!store_is_read_only(y->s) && replica_note(y->s, y->far->path, &e))
		store_event(y->s, EVENT_WARNING, NULL, &e, "the copy is not in the log");
}

static void refresh_sums(struct sync *y)
{
	const struct sync_result *r = y->res;
	struct backend *b = y->far->backend;
	struct err e = ERR_INIT;
	uint64_t size;

	if (r->copied_packs + r->copied_parity + r->stored_chunks + r->records +
	    r->copied_snapshots + r->forgotten == 0 &&
	    b->ops->size(b, "SHA256SUMS", &size, NULL) == ERR_OK)
		return;
	if (records_refresh_sums(y->far, &e))
		store_event(y->far, EVENT_WARNING, "SHA256SUMS", &e, "not made anew");
}

/* The whole. */

static enum err_code compare_only(struct sync *y, const char *dir, struct err *e)
{
	struct sync_task *tasks = NULL;
	struct backend *far = NULL;
	size_t nr = 0;
	enum err_code rc = sync_look_far(y, dir, &far, e);

	if (!rc)
		rc = sync_plan(y, far, &tasks, &nr, e);
	for (size_t i = 0; i < nr && !rc; i++) {
		if (tasks[i].here.len == tasks[i].there.len) {
			y->res->copied_parity += tasks[i].here.par_len != tasks[i].there.par_len;
			continue;
		}
		y->res->copied_packs++;
	}
	y->res->copied_bytes = y->room;
	if (!rc)
		rc = sync_count_snapshots(y, far, e);
	free(tasks);
	if (far)
		far->ops->close(far);
	return rc;
}

static enum err_code add_doubted(void *ctx, const struct damage *d, struct err *e)
{
	struct buf *v = ctx;

	/* They come ordered by pack. */
	if (id_is_zero(&d->pack) ||
	    (v->len > 0 && memcmp(v->p + v->len - sizeof(d->pack), &d->pack, sizeof(d->pack)) == 0))
		return ERR_OK;
	buf_add(v, &d->pack, sizeof(d->pack));
	return v->bad ? err_set(e, ERR_NOMEM, "a list of packs") : ERR_OK;
}

static enum err_code copy_all(struct sync *y, struct err *e)
{
	/* What is there is looked at only once no prune takes it away. */
	enum err_code rc = heartbeat_begin(y->far, &y->heart, &y->condemned, e);

	if (!rc)
		rc = damage_each(y->far, add_doubted, &y->doubted, e);
	if (!rc)
		rc = copy_packs(y, e);
	if (!rc)
		rc = sync_records(y, e);
	if (!rc)
		rc = sync_snapshots(y, e);
	if (!rc && y->o->forget)
		rc = sync_forget(y, e);
	if (!rc)
		rc = sync_logs(y, e);
	if (!rc) {
		damage_settle(y->far);
		refresh_sums(y);
	}
	heartbeat_end(y->heart);
	y->heart = NULL;
	return rc;
}

static enum err_code run(struct sync *y, const char *dir, struct err *e)
{
	bool made = false;
	enum err_code rc = snapshot_list_read(y->s, &y->here, e);

	if (rc)
		return rc;
	y->res->snapshots = y->here.nr + y->here.nr_bad;
	y->res->left_out = y->here.nr_bad;
	if (y->o->dry_run)
		return compare_only(y, dir, e);
	rc = sync_open_far(y, dir, &made, e);
	if (rc)
		return rc;
	if (made)
		note_begun(y);
	rc = copy_all(y, e);
	log_at(y, y->far, y->s->path, rc);
	log_at(y, y->s, y->far->path, rc);
	return rc;
}

enum err_code sync_run(struct store *s, const char *dir, const struct sync_options *o,
		       struct sync_result *out, struct err *e)
{
	struct sync y = { .s = s, .o = o, .res = out, .first = ERR_INIT, .bad_there = BUF_INIT };
	struct err mine = ERR_INIT;
	enum err_code rc;

	*out = (struct sync_result){ 0 };
	must(pthread_mutex_init(&y.mutex, NULL));
	must(pthread_mutex_init(&y.beat_mutex, NULL));
	rate_init(&y.rate, o->limit_rate, o->cancel);
	rc = run(&y, dir, &mine);
	condemned_release(&y.condemned);
	snapshot_list_release(&y.here);
	buf_release(&y.bad_there);
	buf_release(&y.doubted);
	store_close(y.far);
	rate_release(&y.rate);
	must(pthread_mutex_destroy(&y.beat_mutex));
	must(pthread_mutex_destroy(&y.mutex));
	if (rc && e)
		*e = mine;
	return rc;
}
