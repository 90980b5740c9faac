/* SPDX-License-Identifier: MIT */
/*
 * Parity for what was written without.  A job a pack: its parity file is looked at, and where that will not do the
 * pack is read, once.  Nothing is kept of an interrupted run but the parity files it made, which the next finds good.
 */
#include "store/parity_add.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/base/must.h"
#include "store/base/pool.h"
#include "store/base/rate.h"
#include "store/engine/pack.h"
#include "store/engine/parity.h"
#include "store/format/limits.h"
#include "store/internal.h"

struct adding {
	struct store *s;
	const struct parity_add_options *o;
	struct parity_add_result *res;	/* mutex, while jobs run */
	struct buf items;		/* struct item each */
	struct rate rate;
	pthread_mutex_t mutex;
	uint64_t done_packs, done_bytes;	/* mutex */
	bool sums_gone;			/* mutex; SHA256SUMS was taken away */
	struct err stop;		/* mutex; what ends the run */
};

struct item {
	struct adding *a;
	struct object_id id;
	uint64_t size, read;		/* bytes of the pack */
};

static void lock(struct adding *a)
{
	must(pthread_mutex_lock(&a->mutex));
}

static void unlock(struct adding *a)
{
	must(pthread_mutex_unlock(&a->mutex));
}

static enum err_code canceled(const struct adding *a, struct err *e)
{
	if (a->o->cancel && atomic_load(a->o->cancel))
		return err_set(e, ERR_CANCELED, "stopped on request");
	return ERR_OK;
}

static void progress(struct adding *a, uint64_t packs, uint64_t bytes)
{
	const struct store_events *to = &a->s->events;
	struct event ev = { .kind = EVENT_PROGRESS, .text = "parity" };

	lock(a);
	a->done_packs += packs;
	a->done_bytes += bytes;
	ev.files = a->done_packs;
	ev.files_total = a->res->packs;
	ev.bytes = a->done_bytes;
	ev.bytes_total = a->res->bytes;
	ev.errors = a->res->bad_packs;
	unlock(a);
	if (to->fn)
		to->fn(to->ctx, &ev);
}

static void stop(struct adding *a, const struct err *why)
{
	lock(a);
	if (!a->stop.code)
		a->stop = *why;
	unlock(a);
}

static bool stopped(struct adding *a)
{
	bool yes;

	lock(a);
	yes = a->stop.code != ERR_OK;
	unlock(a);
	return yes;
}

static void count(struct adding *a, uint64_t *what, uint64_t n)
{
	lock(a);
	*what += n;
	unlock(a);
}

/*
 * A line that is there is said again without reading the file, which is right as long as parity files never change.
 * So before the first is replaced the list goes; were it to stay, a kill would leave it wrong for good.
 */
static enum err_code drop_sums(struct adding *a, struct err *e)
{
	enum err_code rc = ERR_OK;

	lock(a);
	if (!a->sums_gone)
		rc = record_remove(a->s->backend, "SHA256SUMS", e);
	a->sums_gone = !rc;
	unlock(a);
	return rc;
}

/* One pack. */

static bool is_fatal(enum err_code rc)
{
	return rc == ERR_ABSENT || rc == ERR_NOMEM || rc == ERR_CANCELED;
}

/* Which count of the result the pack's parity belongs to. */
static enum err_code look(struct item *it, uint64_t **which, struct err *e)
{
	struct parity_add_result *r = it->a->res;
	struct parity_report got = { 0 };
	enum err_code rc = parity_check_file(it->a->s->backend, &it->id, &got, e);

	if (rc && is_fatal(rc))
		return rc;
	if (rc == ERR_NOT_FOUND)
		*which = &r->missing;
	else if (rc || got.par_bad > 0 || got.longer)
		*which = &r->damaged;
	else if (got.permille != r->permille)
		*which = &r->other;
	else
		*which = &r->good_packs;
	err_clear(e);
	return ERR_OK;
}

static enum err_code on_read(void *ctx, size_t len, struct err *e)
{
	struct item *it = ctx;

	it->read += len;
	rate_wait(&it->a->rate, len);
	progress(it->a, 0, len);
	return canceled(it->a, e);
}

/* Parity is written when all of the pack is read: a failure before that is the pack's. */
static bool is_damage(const struct item *it, const struct err *err)
{
	return err->code == ERR_CORRUPT || err->code == ERR_LIMIT ||
	       (err->code == ERR_IO && it->read < it->size);
}

static enum err_code make(struct item *it, bool replaces, struct err *e)
{
	struct adding *a = it->a;
	char name[PACK_NAME_LEN + 1];
	struct par_geometry g;
	struct err err = ERR_INIT;
	enum err_code rc;

	rc = par_geometry(it->size, a->res->permille, &g, &err);
	if (!rc && a->o->dry_run)
		goto made;
	if (!rc && replaces)
		rc = drop_sums(a, &err);
	if (!rc)
		rc = parity_write(a->s->backend, &it->id, a->res->permille, on_read, it, &err);
	if (rc == ERR_NOT_FOUND)
		return ERR_OK;		/* pruned since the listing */
	if (rc && !is_fatal(rc) && is_damage(it, &err)) {
		pack_name(&it->id, name);
		count(a, &a->res->bad_packs, 1);
		store_event(a->s, EVENT_DAMAGE, name, &err,
			    "pack is damaged or incomplete; no parity is made of that");
		return ERR_OK;
	}
	if (rc) {
		*e = err;
		return rc;
	}
made:
	count(a, &a->res->made_packs, 1);
	count(a, &a->res->made_bytes, par_file_len(&g));
	return ERR_OK;
}

static void do_pack(void *arg)
{
	struct item *it = arg;
	struct adding *a = it->a;
	struct err e = ERR_INIT;
	uint64_t *which = NULL;
	enum err_code rc;

	if (stopped(a))
		return;
	rc = canceled(a, &e);
	if (!rc)
		rc = look(it, &which, &e);
	if (!rc) {
		count(a, which, 1);
		if (which != &a->res->good_packs)
			rc = make(it, which != &a->res->missing, &e);
	}
	if (rc)
		stop(a, &e);
	progress(a, 1, it->size > it->read ? it->size - it->read : 0);
}

/* The whole. */

static bool on_name(void *ctx, const char *name, uint64_t size)
{
	struct adding *a = ctx;
	struct item it = { .a = a, .size = size };

	if (!pack_name_parse(name, &it.id))
		return true;
	buf_add(&a->items, &it, sizeof(it));
	a->res->packs++;
	a->res->bytes += size;
	return !a->items.bad;
}

static enum err_code do_packs(struct adding *a, struct err *e)
{
	struct backend *b = a->s->backend;
	struct pool *pool = NULL;
	size_t nr;
	enum err_code rc = b->ops->list(b, "packs/", true, on_name, a, e);

	if (!rc && a->items.bad)
		rc = err_set(e, ERR_NOMEM, "a list of packs");
	if (!rc)
		rc = pool_open(a->o->jobs, 4, &pool, e);
	if (rc)
		return rc;
	nr = a->items.len / sizeof(struct item);
	for (size_t i = 0; i < nr && !stopped(a); i++)
		pool_submit(pool, do_pack, (struct item *)(void *)a->items.p + i);
	pool_wait(pool);
	pool_close(pool);
	if (a->stop.code && e)
		*e = a->stop;
	return a->stop.code;
}

/* What writers keep to.  The copy follows; where it does not, the next writer makes it the same. */
static enum err_code change_share(struct adding *a, struct err *e)
{
	static const char *const names[] = { "vouch.json", "copies/vouch.json" };
	struct buf old = BUF_INIT, text = BUF_INIT;
	struct store *s = a->s;
	enum err_code rc = ERR_NOT_FOUND;

	/* Damaged, it has been told of, and the copy is what the repository was opened by. */
	for (size_t i = 0; i < 2 && rc && !is_fatal(rc); i++) {
		err_clear(e);
		buf_reset(&old);
		buf_reset(&text);
		rc = record_get(s->backend, names[i], RECORD_JSON_MAX, &old, e);
		if (!rc)
			rc = superblock_set_parity(old.p, old.len, a->res->permille, &text, e);
	}
	if (!rc)
		rc = record_put(s, "vouch.json", text.p, text.len, e);
	if (!rc)
		s->super.params.parity = a->res->permille;
	buf_release(&old);
	buf_release(&text);
	if (rc)
		err_prefix(e, "change the repository's share of parity");
	return rc;
}

static void refresh_sums(struct adding *a)
{
	struct err e = ERR_INIT;
	enum err_code rc = ERR_OK;

	if (a->sums_gone) {	/* a backup may have made one meanwhile, of what was still to be replaced */
		a->sums_gone = false;
		rc = drop_sums(a, &e);
	}
	if (!rc)
		rc = records_refresh_sums(a->s, &e);
	if (rc)
		store_event(a->s, EVENT_WARNING, "SHA256SUMS", &e, "not made anew");
}

static void log_run(struct adding *a, enum err_code why)
{
	const struct parity_add_result *r = a->res;
	struct err e = ERR_INIT;
	char line[320];

	(void)snprintf(line, sizeof(line),
		       "\"status\":\"%s\",\"permille\":%u,\"packs\":%" PRIu64 ",\"made_packs\":%" PRIu64
		       ",\"made_bytes\":\"%" PRIu64 "\",\"bad_packs\":%" PRIu64,
		       why ? "failed" : "ok", r->permille, r->packs, r->made_packs, r->made_bytes,
		       r->bad_packs);
	if (runlog_append(a->s, "parity", line, &e))
		store_event(a->s, EVENT_WARNING, NULL, &e, "the run is not in the log");
}

enum err_code parity_add_run(struct store *s, const struct parity_add_options *o,
			     struct parity_add_result *out, struct err *e)
{
	struct adding a = { .s = s, .o = o, .res = out, .items = BUF_INIT, .stop = ERR_INIT };
	uint32_t now = s->super.params.parity;
	struct err mine = ERR_INIT;
	enum err_code rc = ERR_OK;

	*out = (struct parity_add_result){ 0 };
	out->permille = o->permille ? o->permille : now ? now : PARITY_PERMILLE_DEFAULT;
	if (out->permille > PAR_PERMILLE_MAX)
		return err_set(e, ERR_USAGE, "parity of %u thousandths: 1 to %u are possible",
			       out->permille, PAR_PERMILLE_MAX);
	must(pthread_mutex_init(&a.mutex, NULL));
	rate_init(&a.rate, o->limit_rate, o->cancel);
	out->share_changed = out->permille != now;
	if (out->share_changed && !o->dry_run)
		rc = change_share(&a, &mine);
	if (!rc)
		rc = do_packs(&a, &mine);
	if (!o->dry_run && (out->made_packs > 0 || out->share_changed || a.sums_gone))
		refresh_sums(&a);
	if (!o->dry_run)
		log_run(&a, rc);
	rate_release(&a.rate);
	must(pthread_mutex_destroy(&a.mutex));
	buf_release(&a.items);
	if (rc && e)
		*e = mine;
	return rc;
}
