/* SPDX-License-Identifier: MIT */
/* The order of a check, the small files, and what is made of it all. */
#include "store/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/buf.h"
#include "store/base/digest.h"
#include "store/damage_internal.h"
#include "store/format/checkline.h"
#include "store/format/limits.h"
#include "store/format/snaprec.h"
#include "store/verify_internal.h"

#define QUEUE_CAP	64u		/* jobs that wait: each is a pack, a chunk or a file */
#define TELL_NS		100000000L	/* between two progress events */
#define SUMS_MAX	((size_t)256 << 20)	/* bytes of SHA256SUMS that are looked at */

void verify_lock(struct verify *v)
{
	if (pthread_mutex_lock(&v->mutex) != 0)
		abort();
}

void verify_unlock(struct verify *v)
{
	if (pthread_mutex_unlock(&v->mutex) != 0)
		abort();
}

bool verify_stops(const struct err *err)
{
	return err->code == ERR_NOMEM || err->code == ERR_ABSENT || err->code == ERR_CANCELED;
}

bool verify_let_go(struct verify *v, const struct snapshot *snap, const struct err *err)
{
	if ((err->code == ERR_NOT_FOUND || err->code == ERR_INCOMPLETE) && !v->o->only && snap &&
	    snapshot_let_go(v->s, snap))
		v->let_go = true;
	return v->let_go;
}

void verify_stop(struct verify *v, const struct err *err)
{
	verify_lock(v);
	if (!v->stop.code)
		v->stop = *err;
	verify_unlock(v);
	atomic_store(&v->stopping, true);
}

bool verify_stopping(struct verify *v)
{
	if ((v->o->cancel && atomic_load(v->o->cancel)) || verify_late(v)) {
		struct err err = ERR_INIT;

		(void)err_set(&err, ERR_CANCELED, "stopped on request");
		verify_stop(v, &err);
	}
	return atomic_load(&v->stopping);
}

void verify_progress(struct verify *v, const char *path)
{
	struct event ev = { .kind = EVENT_PROGRESS, .text = v->stage ? v->stage : "verify",
			    .path = path };
	struct timespec now = { 0 };
	bool tell;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	verify_lock(v);
	tell =
	    now.tv_sec - v->told.tv_sec > 1 ||
	    (now.tv_sec - v->told.tv_sec) * 1000000000L + now.tv_nsec - v->told.tv_nsec > TELL_NS;
	if (tell)
		v->told = now;
	ev.files = v->stage ? v->res.files : v->res.packs;
	/* Packs are counted as they are stored, what the trees refer to as it is read. */
	ev.bytes = v->stage ? v->summed : v->res.bytes_read;
	if (v->stage && v->o->only)
		ev.bytes += v->res.bytes_checked;
	ev.errors = v->res.damaged_chunks + v->res.missing_chunks + v->res.damaged_nodes +
		    v->res.damaged_snapshots + v->res.damaged_records;
	verify_unlock(v);
	ev.files_total = v->stage ? 0 : v->packs_total;
	ev.bytes_total = v->stage ? 0 : v->bytes_total;
	if (tell && v->s->events.fn)
		v->s->events.fn(v->s->events.ctx, &ev);
}

/* The small files: each has a second copy, and each copy is looked at by itself. */

void verify_bad_record(struct verify *v, const char *name, const struct err *err)
{
	store_event(v->s, EVENT_DAMAGE, name, err, "record is damaged");
	verify_lock(v);
	v->res.damaged_records++;
	verify_unlock(v);
}

enum err_code verify_told(struct verify *v, const char *name, const struct err *err, struct err *e)
{
	if (err->code == ERR_NOT_FOUND) {
		store_event(v->s, EVENT_WARNING, name, NULL, "record is missing");
	} else if (verify_stops(err)) {
		if (e)
			*e = *err;
		return err->code;
	} else {
		verify_bad_record(v, name, err);
	}
	return ERR_OK;
}

typedef enum err_code record_fn(const char *name, const struct buf *b, struct err *e);

static enum err_code check_record(struct verify *v, const char *name, size_t max, record_fn *fn,
				  struct err *e)
{
	struct err err = ERR_INIT;
	struct buf b = BUF_INIT;
	enum err_code rc;

	rc = record_get(v->s->backend, name, max, &b, &err);
	if (!rc)
		rc = fn(name, &b, &err);
	buf_release(&b);
	return rc ? verify_told(v, name, &err, e) : ERR_OK;
}

static enum err_code superblock_ok(const char *name, const struct buf *b, struct err *e)
{
	struct superblock super;

	(void)name;
	return superblock_decode(b->p, b->len, &super, e);
}

static enum err_code snapshot_ok(const char *name, const struct buf *b, struct err *e)
{
	const char *base = strrchr(name, '/');
	struct snapshot snap = { 0 };
	enum err_code rc = snaprec_decode(b->p, b->len, &snap, e);

	if (rc)
		return rc;
	base = base ? base + 1 : name;
	if (strncmp(base, snap.name, strlen(snap.name)) != 0 ||
	    strcmp(base + strlen(snap.name), ".json") != 0)
		rc = err_set(e, ERR_CORRUPT, "its bytes are those of %s", snap.name);
	snapshot_release(&snap);
	return rc;
}

static enum err_code checked_json_ok(const char *name, const struct buf *b, struct err *e)
{
	(void)name;
	return checkline_ok(b->p, b->len) ? ERR_OK
					  : err_set(e, ERR_CORRUPT, "its check line does not fit");
}

static enum err_code readme_ok(const char *name, const struct buf *b, struct err *e)
{
	(void)name;
	return b->len > 0 ? ERR_OK : err_set(e, ERR_CORRUPT, "it is empty");
}

/* "HEX  name" a line. */
static enum err_code sums_ok(const char *name, const struct buf *b, struct err *e)
{
	const uint8_t *p = b->p, *end = b->p + b->len, *nl;
	struct object_id id;
	unsigned line = 0;

	(void)name;
	for (; p < end; p = nl + 1) {
		line++;
		nl = memchr(p, '\n', (size_t)(end - p));
		if (!nl || nl - p < ID_HEX_LEN + 3 || !id_parse((const char *)p, &id) ||
		    memcmp(p + ID_HEX_LEN, "  ", 2) != 0)
			return err_set(e, ERR_CORRUPT, "line %u is none of sha256sum's", line);
	}
	return ERR_OK;
}

struct name_list {
	struct buf text;	/* names, NUL after each */
};

static bool add_json(void *ctx, const char *name, uint64_t size)
{
	struct name_list *l = ctx;
	size_t len = strlen(name);

	(void)size;
	if (len > 5 && strcmp(name + len - 5, ".json") == 0)
		buf_add(&l->text, name, len + 1);
	return !l->text.bad;
}

/* The second copy of a snapshot that a forget which was cut short left behind. */
static bool is_leftover(struct verify *v, const char *name, size_t max)
{
	struct snapshot snap = { .name = NULL };	/* its id is all that is looked at */
	struct buf b = BUF_INIT;
	bool leftover = false;

	if (strncmp(name, "copies/snapshots/", 17) == 0 &&
	    !record_get(v->s->backend, name, max, &b, NULL)) {
		digest_sha256(b.p, b.len, &snap.id);
		leftover = snapshot_let_go(v->s, &snap);
	}
	buf_release(&b);
	return leftover;
}

/* All of a folder, and of its second copies; the one that lacks a partner is told of. */
static enum err_code check_folder(struct verify *v, const char *prefix, size_t max, record_fn *fn,
				  struct err *e)
{
	struct name_list l = { BUF_INIT };
	char copies[64], other[512];
	enum err_code rc;
	uint64_t size;

	(void)snprintf(copies, sizeof(copies), "copies/%s", prefix);
	rc = v->s->backend->ops->list(v->s->backend, prefix, false, add_json, &l, e);
	if (!rc)
		rc = v->s->backend->ops->list(v->s->backend, copies, false, add_json, &l, e);
	if (!rc && l.text.bad)
		rc = err_set(e, ERR_NOMEM, "a list of records");
	for (size_t at = 0; !rc && at < l.text.len; at += strlen((char *)l.text.p + at) + 1) {
		const char *name = (char *)l.text.p + at;
		bool is_copy = strncmp(name, "copies/", 7) == 0;

		rc = check_record(v, name, max, fn, e);
		if (snprintf(other, sizeof(other), "%s%s", is_copy ? "" : "copies/",
			     is_copy ? name + 7 : name) >= (int)sizeof(other))
			continue;
		if (!rc &&
		    v->s->backend->ops->size(v->s->backend, other, &size, NULL) == ERR_NOT_FOUND &&
		    !is_leftover(v, name, max))
			store_event(v->s, EVENT_WARNING, other, NULL, "record is missing");
	}
	buf_release(&l.text);
	return rc;
}

static enum err_code check_records(struct verify *v, struct err *e)
{
	enum err_code rc;

	rc = check_record(v, "vouch.json", RECORD_JSON_MAX, superblock_ok, e);
	if (!rc)
		rc = check_record(v, "copies/vouch.json", RECORD_JSON_MAX, superblock_ok, e);
	if (!rc)
		rc = check_record(v, "README.txt", RECORD_JSON_MAX, readme_ok, e);
	if (!rc)
		rc = check_record(v, "SHA256SUMS", SUMS_MAX, sums_ok, e);
	if (!rc)
		rc = check_folder(v, "snapshots/", SNAPSHOT_JSON_MAX, snapshot_ok, e);
	if (!rc)
		rc = check_folder(v, "forgotten/", RECORD_JSON_MAX, checked_json_ok, e);
	if (!rc)
		rc = verify_twins(v, e);
	return rc;
}

/* All of it. */

static enum err_code for_each_snapshot(struct verify *v, const struct snapshot_list *l,
				       enum verify_walk what, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (v->o->only)
		return verify_tree(v, v->o->only, what, e);
	/* Newest first: what is named first matters most. */
	for (size_t i = l->nr; i-- > 0 && !rc && !atomic_load(&v->late);) {
		if (what == WALK_CHECK || !snapshot_let_go(v->s, &l->all[i]))
			rc = verify_tree(v, &l->all[i], what, e);
		v->res.walked_snapshots += what == WALK_CHECK && !atomic_load(&v->late);
	}
	return rc;
}

static bool is_any(const struct keyset *k)
{
	return k->nr > 0 || k->has_zero;
}

static void tell_unnamed(struct verify *v)
{
	uint64_t nr = v->res.damaged_paths;

	if (nr > VERIFY_NAMED_MAX)
		store_event(v->s, EVENT_DAMAGE, NULL, NULL, "and %" PRIu64 "%s more paths",
			    nr - VERIFY_NAMED_MAX, nr >= VERIFY_COUNTED_MAX ? " or" : "");
}

static enum err_code check_packs(struct verify *v, struct err *e)
{
	enum err_code rc = check_records(v, e);

	if (!rc)
		rc = verify_packs(v, e);
	if (!rc && v->res.damaged_packs > 0)
		verify_more_time(v);
	if (!rc && !verify_stopping(v))
		rc = verify_parity(v, e);
	return rc;
}

static enum err_code check_all(struct verify *v, const struct snapshot_list *l, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (!v->o->only)
		rc = check_packs(v, e);
	v->stage = "trees";
	if (!rc && !verify_stopping(v))
		rc = for_each_snapshot(v, l, WALK_CHECK, e);
	pool_wait(v->pool);
	v->res.snapshots = v->o->only ? 1 : l->nr;
	v->res.late = atomic_load(&v->late) || v->res.packs < v->res.chosen_packs;
	if (!rc && !verify_stopping(v) &&
	    (is_any(&v->bad) || is_any(&v->bad_nodes) || is_any(&v->bad_files))) {
		v->stage = "paths";
		verify_more_time(v);
		atomic_store(&v->late, false);
		rc = for_each_snapshot(v, l, WALK_NAME, e);
		tell_unnamed(v);
		if (!rc && atomic_load(&v->late))
			store_event(v->s, EVENT_WARNING, NULL, NULL,
				    "the time is over: not all paths that are touched were named");
	}
	return rc;
}

static const char *mode_of(const struct verify_options *o)
{
	return o->only ? "snapshot" : o->quick ? "quick" : o->sample ? "sample" : o->seconds ? "for" :
	       o->resume_seconds ? "resume" : "all";
}

/* A line of history; that it cannot be written changes nothing of what was found. */
static void log_it(struct verify *v)
{
	const struct verify_result *r = &v->res;
	struct buf b = BUF_INIT;
	struct err err = ERR_INIT;

	if (!r->recorded)
		return;
	buf_printf(&b,
		   "\"mode\":\"%s\",\"what\":\"%s\",\"late\":%s,\"medium\":\"%s\",\"cached\":%s"
		   ",\"good_packs\":%" PRIu64 ",\"good_bytes\":\"%" PRIu64 "\",\"files_hashed\":%s,\"packs\":%" PRIu64 ",\"chunks\":%" PRIu64
		   ",\"nodes\":%" PRIu64 ",\"snapshots\":%" PRIu64 ",\"bytes_read\":\"%" PRIu64
		   "\",\"damaged_packs\":%" PRIu64 ",\"incomplete_packs\":%" PRIu64
		   ",\"damaged_chunks\":%" PRIu64 ",\"missing_chunks\":%" PRIu64
		   ",\"damaged_nodes\":%" PRIu64 ",\"damaged_snapshots\":%" PRIu64
		   ",\"damaged_records\":%" PRIu64 ",\"damaged_paths\":%" PRIu64,
		   mode_of(v->o), v->o->only ? v->o->only->name : "all", r->late ? "true" : "false",
		   v->s->backend->kind ? v->s->backend->kind : "unknown",
		   r->cache ? "true" : "false", r->good_packs, r->good_bytes, v->o->files ? "true" : "false", r->packs,
		   r->chunks, r->nodes, r->snapshots, r->bytes_read, r->damaged_packs,
		   r->incomplete_packs, r->damaged_chunks, r->missing_chunks, r->damaged_nodes,
		   r->damaged_snapshots, r->damaged_records, r->damaged_paths);
	buf_add_u8(&b, 0);
	if (b.bad)
		(void)err_set(&err, ERR_NOMEM, "a line of the log");
	else if (!runlog_append(v->s, "verify", (char *)b.p, &err))
		err_clear(&err);
	if (err.code)
		store_event(v->s, EVENT_WARNING, NULL, &err, "this check is not in the log");
	buf_release(&b);
}

static void release(struct verify *v)
{
	pool_close(v->pool);
	free(v->good);
	keyset_release(&v->visited);
	keyset_release(&v->clean);
	keyset_release(&v->bad_nodes);
	keyset_release(&v->asked);
	keyset_release(&v->hashed);
	keyset_release(&v->read);
	keyset_release(&v->damaged);
	keyset_release(&v->bad);
	keyset_release(&v->missing);
	keyset_release(&v->bad_files);
	(void)pthread_mutex_destroy(&v->mutex);
}

enum err_code verify_run(struct store *s, const struct verify_options *o,
			 struct verify_result *out, struct err *e)
{
	struct verify v = { .s = s, .o = o, .stop = ERR_INIT };
	struct snapshot_list l = { 0 };
	struct chunks_stats before, after;
	struct err local = ERR_INIT;
	enum err_code rc = ERR_OK;

	if (!e)
		e = &local;	/* what goes wrong is looked at below */
	if (pthread_mutex_init(&v.mutex, NULL))
		abort();
	rate_init(&v.rate, o->limit_rate, o->cancel);
	verify_set_times(&v);
	v.cache = store_reach_medium(s);
	v.res.recorded = (o->record || s->mode == STORE_WRITE) && !store_is_read_only(s);
	if (v.res.recorded)
		rc = lastgood_log_open(s, &v.log, e);
	/*
	 * Snapshots before packs: what a backup publishes meanwhile may lie in packs that were
	 * listed before.
	 */
	if (!rc && !o->only)
		rc = snapshot_list_read(s, &l, e);
	if (!rc)
		rc = pool_open(o->jobs, QUEUE_CAP, &v.pool, e);
	if (rc)
		goto out;
	for (size_t i = 0; i < l.nr_bad; i++)
		store_event(s, EVENT_DAMAGE, l.bad[i], NULL,
			    "snapshot is damaged, and so is its copy");
	v.res.damaged_snapshots = l.nr_bad;
	chunks_stats(s->chunks, &before);
	atomic_store(&s->tells_missing_itself, true);
	rc = check_all(&v, &l, e);
	if (!rc && v.stop.code) {
		rc = v.stop.code;
		*e = v.stop;
	}
	atomic_store(&s->tells_missing_itself, false);
	chunks_stats(s->chunks, &after);
	v.res.bytes_read += after.bytes_read - before.bytes_read;
	if (!verify_from_medium(&v))
		v.res.cache = s->backend->kind ? s->backend->kind : "unknown";
	lastgood_log_close(v.log);	/* before the line that sums up */
	v.log = NULL;
	if (!rc)
		log_it(&v);
	damage_flush(s);
out:
	lastgood_log_close(v.log);
	*out = v.res;
	release(&v);
	rate_release(&v.rate);
	snapshot_list_release(&l);
	return rc;
}
