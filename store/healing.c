/* SPDX-License-Identifier: MIT */
/* Healing on read: the engine does it; here is what it may reach, and what is told and written down of it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/base/must.h"
#include "store/damage_internal.h"
#include "store/internal.h"
#include "store/records_internal.h"
#include "store/replicas_internal.h"

static enum err_code known(void *ctx, char ***names, size_t *nr, struct err *e)
{
	return replicas_known(ctx, names, nr, e);
}

static enum err_code open_one(void *ctx, const char *name, struct backend **out, struct err *e)
{
	return replica_open(ctx, name, out, e);
}

static void tell_mended(struct store *s, const struct heal_news *n, const char *pack)
{
	struct event_damage d = { .pack = n->pack, .mended = true };
	struct event ev = { .kind = EVENT_NOTE, .damage = &d };
	char text[256];

	if (n->kind == HEAL_WAS_WHOLE)
		(void)snprintf(text, sizeof(text), "pack %s reads right now: nothing had to be written",
			       pack);
	else if (n->from_replica)
		(void)snprintf(text, sizeof(text), "pack %s mended from a copy of the repository%s",
			       pack, n->parity_damaged ? "; its parity is not whole: vouch parity "
							 "add makes it anew" : "");
	else
		(void)snprintf(text, sizeof(text), "pack %s mended from parity, %u sector%s", pack,
			       n->sectors, n->sectors == 1 ? "" : "s");
	ev.text = text;
	if (s->events.fn)
		s->events.fn(s->events.ctx, &ev);
	/* At once: a mount may stay for months. */
	mended_note_pack(s, &n->pack);
	damage_flush(s);
}

static void tell_stopped(struct store *s, const struct err *err)
{
	if (!err)
		store_event(s, EVENT_WARNING, NULL, NULL,
			    "%u packs had to be mended: no more are, in this session; replace the "
			    "drive, and run vouch repair", HEAL_PACKS_MAX);
	else if (err->sys == EROFS || err->sys == EACCES || err->sys == EPERM)
		store_event(s, EVENT_WARNING, NULL, err,
			    "no pack is mended any more: the repository cannot be written");
	else
		store_event(s, EVENT_WARNING, NULL, err,
			    "no pack is mended any more: the drive fails; replace it");
}

static void on_news(void *ctx, const struct heal_news *n)
{
	char pack[ID_HEX_LEN + 1];
	struct store *s = ctx;

	id_hex(&n->pack, pack);
	switch (n->kind) {
	case HEAL_MENDED:
	case HEAL_WAS_WHOLE:
		tell_mended(s, n, pack);
		break;
	case HEAL_NOT_MENDED:
		store_event(s, EVENT_WARNING, NULL, n->err,
			    "pack %s cannot be made whole by healing; run vouch repair", pack);
		break;
	case HEAL_STOPPED:
		tell_stopped(s, n->err);
		break;
	}
}

void healing_config(struct store *s, struct chunks_config *cfg)
{
	cfg->replicas = (struct heal_replicas){
		.ctx = s, .known = known, .release = replicas_free, .open = open_one,
	};
	cfg->events.mended = on_news;
}

/* The small files. */

#define RECORD_RUNS_MAX	8u	/* in a session */
#define RECORD_PAUSE_S	60	/* between two */

/** History; the record is whole whether or not that can be written down. */
static void log_record(struct store *s, const char *name)
{
	struct err e = ERR_INIT;
	char line[512];

	(void)snprintf(line, sizeof(line), "\"records\":[\"%s\"]", name);
	if (runlog_append(s, "mended", line, &e))
		store_event(s, EVENT_WARNING, name, &e, "is whole; the log does not say so");
}

static void on_record(void *ctx, const struct record_news *n)
{
	struct store *s = ctx;

	switch (n->outcome) {
	case RECORD_MENDED:
		atomic_fetch_add(&s->records_mended, 1);
		store_event(s, EVENT_NOTE, NULL, NULL, "%s was %s; mended from its second copy",
			    n->name, n->missing ? "missing" : "damaged");
		log_record(s, n->name);
		break;
	case RECORD_NOT_MENDED:
		store_event(s, EVENT_WARNING, NULL, n->err,
			    "%s is %s; it cannot be made anew from its second copy", n->name,
			    n->missing ? "missing" : "damaged");
		break;
	case RECORD_LOST:	/* told of by whoever needs it */
		break;
	}
}

static void *run_records(void *arg)
{
	struct err e = ERR_INIT;
	struct store *s = arg;
	enum err_code rc = records_mend(s, false, &s->records.cancel, on_record, s, &e);

	if (rc && rc != ERR_CANCELED && rc != ERR_ABSENT)
		store_event(s, EVENT_WARNING, NULL, &e, "the second copies were not all looked at");
	must(pthread_mutex_lock(&s->mutex));
	s->records.running = false;
	must(pthread_mutex_unlock(&s->mutex));
	return NULL;
}

static int64_t seconds(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_MONOTONIC, &t));
	return t.tv_sec;
}

/* No signal of the program's is for this thread. */
static bool start(pthread_t *thread, struct store *s)
{
	sigset_t all, before;
	bool started;

	sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &before));
	started = pthread_create(thread, NULL, run_records, s) == 0;
	must(pthread_sigmask(SIG_SETMASK, &before, NULL));
	return started;
}

void healing_records(struct store *s, bool seen)
{
	int64_t now = seconds();

	if (seen)
		atomic_store(&s->records.wanting, true);
	if (!atomic_load(&s->heal) || store_is_read_only(s))
		return;
	must(pthread_mutex_lock(&s->mutex));
	if (!s->records.running && s->records.runs < RECORD_RUNS_MAX &&
	    (s->records.runs == 0 || (seen && now - s->records.last >= RECORD_PAUSE_S))) {
		if (s->records.joinable)	/* its last act was to say that it is not running */
			must(pthread_join(s->records.thread, NULL));
		s->records.joinable = s->records.running = start(&s->records.thread, s);
		s->records.runs++;
		s->records.last = now;
	}
	must(pthread_mutex_unlock(&s->mutex));
}

void healing_end(struct store *s)
{
	if (!s->records.joinable)
		return;
	/* What was seen is mended; the rest is looked at another time. */
	if (!atomic_load(&s->records.wanting))
		atomic_store(&s->records.cancel, true);
	must(pthread_join(s->records.thread, NULL));
}

void store_set_heal(struct store *s, bool on)
{
	atomic_store(&s->heal, on);
	chunks_set_heal(s->chunks, on, on && !store_is_read_only(s));
	if (on && atomic_load(&s->records.wanting))
		healing_records(s, true);
}
