/* SPDX-License-Identifier: MIT */
/* The order of a repair. */
#include "store/repair_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/must.h"
#include "store/replicas_internal.h"

bool repair_stops(enum err_code rc)
{
	return rc == ERR_NOMEM || rc == ERR_ABSENT || rc == ERR_CANCELED;
}

enum err_code repair_canceled(const struct repair *r, struct err *e)
{
	if (r->o->cancel && atomic_load(r->o->cancel))
		return err_set(e, ERR_CANCELED, "repair stopped on request; what was mended stays so");
	return ERR_OK;
}

void repair_progress(struct repair *r, const char *what, uint64_t done, uint64_t all)
{
	const struct event ev = { .kind = EVENT_PROGRESS, .text = what, .files = done,
				  .files_total = all };

	if (r->events.fn)
		r->events.fn(r->events.ctx, &ev);
}

void repair_say(struct repair *r, const char *name, const char *what)
{
	store_event(r->s, EVENT_NOTE, name, NULL, "%s", what);
}

/* The other repositories. */

static bool is_known(const struct repair *r, const char *path)
{
	if (strcmp(path, r->s->path) == 0)
		return true;
	for (size_t i = 0; i < r->nr_others; i++)
		if (strcmp(path, r->others[i]->path) == 0)
			return true;
	return false;
}

static enum err_code add_other(struct repair *r, const char *path, struct err *e)
{
	struct store **more, *other = NULL;
	enum err_code rc = store_open(path, STORE_READ, NULL, &other, e);

	if (rc)
		return rc;
	if (is_known(r, other->path)) {
		store_close(other);
		return ERR_OK;
	}
	more = reallocarray(r->others, r->nr_others + 1, sizeof(struct store *));
	if (!more) {
		store_close(other);
		return err_set(e, ERR_NOMEM, "a repository");
	}
	damage_mute(other);	/* it is only read */
	r->others = more;
	more[r->nr_others++] = other;
	return ERR_OK;
}

/* Those that were named must be there: that is said before hours of reading. */
static enum err_code open_named(struct repair *r, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < r->o->nr_from && !rc; i++) {
		rc = add_other(r, r->o->from[i], e);
		if (rc)
			err_prefix(e, "--from %s", r->o->from[i]);
	}
	return rc;
}

/* Replicas may be in a cupboard. */
static enum err_code open_replicas(struct repair *r, struct err *e)
{
	char **paths = NULL;
	size_t nr = 0;
	enum err_code rc = replicas_known(r->s, &paths, &nr, e);

	for (size_t i = 0; i < nr && !rc; i++) {
		struct backend *b = NULL;

		if (replica_open(r->s, paths[i], &b, NULL))
			continue;
		b->ops->close(b);
		if (add_other(r, paths[i], NULL) == ERR_OK)
			repair_say(r, paths[i], "a replica, which is asked, too");
	}
	replicas_free(paths, nr);
	return rc;
}

/* The steps. */

static enum err_code begin(struct repair *r, struct err *e)
{
	if (r->o->dry_run)
		return condemned_read(r->s, &r->before, e);
	return heartbeat_begin(r->s, &r->heart, &r->before, e);
}

static enum err_code mend_all(struct repair *r, struct err *e)
{
	enum err_code rc = repair_records(r, e);
	size_t nr, open = 0;
	const struct bad_pack *p;

	if (!rc)
		rc = repair_reload(r, e);
	if (!rc)
		rc = repair_find_lost(r, e);
	(void)lost_chunks(r, &nr);
	r->res->lost_before = nr;
	if (!rc)
		rc = repair_touched(r, e);
	if (!rc && nr > 0)
		rc = repair_add_orphans(r, e);
	if (!rc)
		rc = repair_packs(r, e);
	if (!rc && r->o->dry_run)
		return repair_chunks_guess(r, e);
	if (!rc)
		rc = repair_reload(r, e);
	if (!rc)
		rc = repair_find_lost(r, e);
	if (rc)
		return rc;
	p = bad_packs(r, &nr);
	for (size_t i = 0; i < nr; i++)
		open += p[i].end == PACK_UNMENDED;
	(void)lost_chunks(r, &nr);
	if (nr + open > 0)
		rc = repair_chunks(r, e);
	return rc ? rc : repair_delete(r, e);
}

/* What is left of a dry run's damaged packs is content in new ones, or lost. */
static void sum_up(struct repair *r)
{
	struct repair_result *res = r->res;
	const struct bad_pack *p;
	size_t nr;

	(void)lost_chunks(r, &nr);
	res->lost_chunks = nr;
	p = bad_packs(r, &nr);
	for (size_t i = 0; i < nr && r->o->dry_run; i++)
		if (p[i].end == PACK_UNMENDED && res->lost_chunks == 0)
			res->replaced_packs++;
		else if (p[i].end == PACK_UNMENDED)
			res->kept_packs++;
	res->whole = res->lost_chunks == 0 && res->kept_packs == 0 &&
		     res->mended_records == res->damaged_records;
}

static void log_run(struct repair *r, enum err_code why)
{
	const struct repair_result *s = r->res;
	struct err e = ERR_INIT;
	char line[640];

	(void)snprintf(line, sizeof(line),
		       "\"status\":\"%s\",\"packs\":%" PRIu64 ",\"damaged_packs\":%" PRIu64
		       ",\"mended_parity\":%" PRIu64 ",\"mended_other\":%" PRIu64
		       ",\"replaced_packs\":%" PRIu64 ",\"kept_packs\":%" PRIu64
		       ",\"mended_records\":%" PRIu64 ",\"regained_other\":%" PRIu64
		       ",\"regained_source\":%" PRIu64 ",\"lost_chunks\":%" PRIu64
		       ",\"whole_paths\":%" PRIu64 ",\"lost_paths\":%" PRIu64,
		       why ? "failed" : s->whole ? "whole" : "lost", s->packs, s->damaged_packs,
		       s->mended_parity, s->mended_other, s->replaced_packs, s->kept_packs,
		       s->mended_records, s->regained_other, s->regained_source, s->lost_chunks,
		       s->whole_paths, s->lost_paths);
	if (runlog_append(r->s, "repair", line, &e))
		store_event(r->s, EVENT_WARNING, NULL, &e, "the repair is not in the log");
}

static enum err_code settle_one(void *ctx, const struct damage *d, struct err *e)
{
	(void)e;
	if (id_is_zero(&d->chunk))
		mended_note_pack(ctx, &d->pack);
	else
		mended_note_chunk(ctx, &d->chunk);
	return ERR_OK;
}

/* All is whole: whatever the ledger says is so no more, or of no concern. */
static void settle(struct repair *r)
{
	struct err e = ERR_INIT;

	if (r->o->dry_run || !r->res->whole || r->res->waiting_packs > 0)
		return;
	if (damage_each(r->s, settle_one, r->s, &e))
		store_event(r->s, EVENT_WARNING, NULL, &e, "the ledger of damage is as it was");
	damage_flush(r->s);
}

static enum err_code steps(struct repair *r, struct err *e)
{
	struct err sums = ERR_INIT;
	enum err_code rc = open_named(r, e);

	if (!rc)
		rc = repair_look(r, e);
	if (rc || !r->res->damage) {
		r->res->whole = !rc;
		return rc;
	}
	rc = open_replicas(r, e);
	if (!rc)
		rc = begin(r, e);
	if (!rc)
		rc = mend_all(r, e);
	if (!rc)
		sum_up(r);
	if (!rc)
		rc = repair_tell_paths(r, e);
	if (!r->o->dry_run) {
		damage_flush(r->s);
		if (records_refresh_sums(r->s, &sums))
			store_event(r->s, EVENT_WARNING, "SHA256SUMS", &sums, "not made anew");
	}
	return rc;
}

static void release(struct repair *r)
{
	heartbeat_end(r->heart);
	for (size_t i = 0; i < r->nr_others; i++)
		store_close(r->others[i]);
	free(r->others);
	condemned_release(&r->before);
	buf_release(&r->records);
	buf_release(&r->parities);
	buf_release(&r->packs);
	buf_release(&r->lost);
	buf_release(&r->touched);
	keyset_release(&r->touched_keys);
	must(pthread_mutex_destroy(&r->mutex));
}

enum err_code repair_run(struct store *s, const struct repair_options *o,
			 struct repair_result *out, struct err *e)
{
	struct repair r = { .s = s, .o = o, .res = out, .events = s->events };
	struct err mine = ERR_INIT;
	enum err_code rc;

	*out = (struct repair_result){ 0 };
	must(pthread_mutex_init(&r.mutex, NULL));
	if (o->dry_run)
		damage_mute(s);
	rc = steps(&r, &mine);
	if (!rc)
		settle(&r);
	if (!o->dry_run && (rc || out->damage))
		log_run(&r, rc);
	s->events = r.events;
	release(&r);
	if (rc && e)
		*e = mine;
	return rc;
}
