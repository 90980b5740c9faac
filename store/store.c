/* SPDX-License-Identifier: MIT */
/* A repository opened and closed: where backend and engine are joined. */
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/base/hex.h"
#include "store/base/must.h"
#include "store/base/pool.h"
#include "store/damage_internal.h"
#include "store/history_internal.h"

#define BLOCK_CACHE_BYTES	((size_t)32 << 20)
#define READ_AHEAD_THREADS	4u	/* more than one reader wants; each holds a block of its own */
#define NODE_CACHE_BYTES	((size_t)16 << 20)
#define FRUGAL_BLOCK_BYTES	((size_t)12 << 20)
#define FRUGAL_NODE_BYTES	((size_t)4 << 20)

const char *store_version(void)
{
	return VOUCH_VERSION;
}

struct vtime store_vtime(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_REALTIME, &t));
	return (struct vtime){ .sec = t.tv_sec, .nsec = (uint32_t)t.tv_nsec };
}

void store_now(char out[TIME_TEXT_LEN + 1])
{
	struct timespec now;
	struct tm tm;
	size_t n;

	must(clock_gettime(CLOCK_REALTIME, &now));
	if (!gmtime_r(&now.tv_sec, &tm) || tm.tm_year > 9999 - 1900) {
		/* a clock that no calendar knows must not stop a backup */
		(void)snprintf(out, TIME_TEXT_LEN + 1, "1970-01-01T00:00:00.000000000Z");
		return;
	}
	n = strftime(out, TIME_TEXT_LEN + 1, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out + n, TIME_TEXT_LEN + 1 - n, ".%09ldZ", now.tv_nsec);
}

void store_event(struct store *s, enum event_kind kind, const char *path, const struct err *err,
		 const char *fmt, ...)
{
	struct event ev = { .kind = kind, .path = path, .err = err };
	char text[1024];
	va_list ap;

	if (!s->events.fn)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ev.text = text;
	s->events.fn(s->events.ctx, &ev);
}

/* What follows prefix in text; text where it does not begin so. */
static const char *past(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) == 0 ? text + len : text;
}

/*
 * The engine's error names chunk and place, for readers that have nothing but the error.  In an event they are told
 * in full: what is left is why.
 */
static const char *cause_alone(const struct chunk_damage *d, const char *chunk, const char *pack)
{
	const char *why = d->what ? d->what : "";
	char prefix[64];

	(void)snprintf(prefix, sizeof(prefix), "chunk %.12s: ", chunk);
	why = past(why, prefix);
	(void)snprintf(prefix, sizeof(prefix), "pack %.12s, block at %llu: ", pack,
		       (unsigned long long)d->off);
	return past(why, prefix);
}

static void on_damage(void *ctx, const struct chunk_damage *d)
{
	struct event_damage damage = {
		.chunk = d->chunk, .pack = d->pack, .off = d->off,
		.missing = d->missing, .block = d->block, .table = d->table,
		.healed = d->healed != HEAL_NONE,
	};
	struct event ev = { .kind = damage.healed ? EVENT_WARNING : EVENT_DAMAGE,
			    .damage = &damage };
	char chunk[ID_HEX_LEN + 1], pack[ID_HEX_LEN + 1], text[1024];
	static const struct object_id none;
	struct store *s = ctx;
	struct damage noted = { .pack = d->pack, .off = d->off };
	const char *what;

	if (d->missing && atomic_load(&s->tells_missing_itself))
		return;
	if (!d->block)
		noted.chunk = d->chunk;
	damage_note(s, &noted);
	if (!s->events.fn)
		return;
	id_hex(&d->chunk, chunk);
	id_hex(&d->pack, pack);
	what = damage.what = cause_alone(d, chunk, pack);
	if (damage.healed)
		(void)snprintf(text, sizeof(text), "pack %s, %s at %llu: %s; healed, from %s", pack,
			       d->table ? "table" : "block", (unsigned long long)d->off, what,
			       d->healed == HEAL_PARITY ? "its parity"
							: "a copy of the repository");
	else if (d->block)
		(void)snprintf(text, sizeof(text),
			       "pack %s, block at %llu: %s; what is whole of it is still served",
			       pack, (unsigned long long)d->off, what);
	else if (id_eq(&d->pack, &none))
		(void)snprintf(text, sizeof(text), "chunk %s %s: %s", chunk,
			       d->missing ? "is missing" : "is damaged", what);
	else
		(void)snprintf(text, sizeof(text), "chunk %s %s in pack %s, block at %llu: %s",
			       chunk, d->missing ? "is missing" : "is damaged", pack,
			       (unsigned long long)d->off, what);
	ev.text = text;
	s->events.fn(s->events.ctx, &ev);
}

static void on_rebuild(void *ctx, uint64_t done, uint64_t all)
{
	struct event ev = { .kind = EVENT_PROGRESS, .text = "index", .files = done,
			    .files_total = all };
	struct store *s = ctx;

	if (s->events.fn)
		s->events.fn(s->events.ctx, &ev);
}

/** Where the index lies when the medium cannot hold it; malloc'ed. */
static enum err_code cache_index_path(const struct store *s, char **out, struct err *e)
{
	char *base = NULL, *dir = NULL;
	enum err_code rc;

	rc = user_dir("XDG_CACHE_HOME", NULL, ".cache", &base, e);
	if (!rc && asprintf(&dir, "%s/%s", base, s->id_text) < 0) {
		dir = NULL;
		rc = err_set(e, ERR_NOMEM, "a path");
	}
	if (!rc)
		rc = make_dirs(dir, e);
	if (!rc && asprintf(out, "%s/index.db", dir) < 0) {
		*out = NULL;
		rc = err_set(e, ERR_NOMEM, "a path");
	}
	free(base);
	free(dir);
	return rc;
}

static enum err_code open_chunks_at(struct store *s, const char *index_path, struct err *e)
{
	struct chunks_config cfg = {
		.backend = s->backend,
		.index_path = index_path,
		.cache_bytes = BLOCK_CACHE_BYTES,
		.events = { .ctx = s, .damage = on_damage, .rebuild = on_rebuild },
	};

	healing_config(s, &cfg);
	memcpy(cfg.repo_id, s->super.id, sizeof(cfg.repo_id));
	return chunks_open(&cfg, &s->chunks, e);
}

/** A place that failed leads to the next: the index is a cache, and no reason not to open. */
static bool try_next(enum err_code rc)
{
	return rc && rc != ERR_NOMEM && rc != ERR_ABSENT && rc != ERR_CANCELED;
}

static enum err_code open_chunks(struct store *s, struct err *e)
{
	enum err_code rc = ERR_IO;
	char *path = NULL;

	if (!s->backend->read_only) {
		if (asprintf(&path, "%s/index.db", s->path) < 0)
			return err_set(e, ERR_NOMEM, "a path");
		rc = open_chunks_at(s, path, e);
		if (try_next(rc))
			store_event(s, EVENT_WARNING, path, e, "the index cannot be kept there");
		free(path);
		path = NULL;
	}
	if (try_next(rc)) {
		err_clear(e);
		rc = cache_index_path(s, &path, e);
		if (!rc)
			rc = open_chunks_at(s, path, e);
		if (try_next(rc))
			store_event(s, EVENT_WARNING, path, e,
				    "no place for the index; it is held in memory");
		free(path);
	}
	if (try_next(rc)) {
		err_clear(e);
		rc = open_chunks_at(s, ":memory:", e);
	}
	if (!rc)
		history_refresh(s, true);
	return rc;
}

enum err_code store_reload(struct store *s, struct err *e)
{
	enum err_code rc;

	node_cache_close(s->nodes);
	s->nodes = NULL;
	chunks_close(s->chunks);
	s->chunks = NULL;
	rc = node_cache_open(NODE_CACHE_BYTES, &s->nodes, e);
	if (!rc)
		rc = open_chunks(s, e);
	return rc;
}

static enum err_code open_parts(struct store *s, const char *path, struct err *e)
{
	enum err_code rc;

	rc = file_backend_open(path, false, s->mode == STORE_WRITE, &io_system, &s->backend, e);
	if (rc)
		return rc;
	s->path = realpath(path, NULL);
	if (!s->path)
		return err_sys(e, "find the absolute path of %s", path);
	rc = store_load_super(s, e);
	if (rc)
		return rc;
	hex_encode(s->super.id, REPO_ID_LEN, s->id_text);
	if (s->super.read_only && s->mode == STORE_WRITE)
		return err_set(e, ERR_UNSUPPORTED, "feature \"%s\" is not known to this vouch: the "
			       "repository can be read, but not written", s->super.read_only_why);
	if (s->mode == STORE_WRITE) {
		struct err swept = ERR_INIT;

		if (s->backend->ops->sweep(s->backend, &swept))
			store_event(s, EVENT_WARNING, "tmp", &swept,
				    "what dead writers left cannot be deleted");
	}
	rc = damage_open(&s->damage, e);
	if (!rc)
		rc = node_cache_open(NODE_CACHE_BYTES, &s->nodes, e);
	if (!rc)
		rc = snapshot_cache_open(&s->snapshots, e);
	if (!rc)
		rc = open_chunks(s, e);
	return rc;
}

enum err_code store_open(const char *path, enum store_mode mode, const struct store_events *ev,
			 struct store **out, struct err *e)
{
	struct store *s = calloc(1, sizeof(*s));
	enum err_code rc;

	if (!s)
		return err_set(e, ERR_NOMEM, "a repository");
	must(pthread_mutex_init(&s->mutex, NULL));
	s->mode = mode;
	if (ev)
		s->events = *ev;
	rc = open_parts(s, path, e);
	if (rc) {
		store_close(s);
		return rc;
	}
	*out = s;
	return ERR_OK;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	healing_end(s);
	node_cache_close(s->nodes);
	snapshot_cache_close(s->snapshots);
	if (s->chunks) {
		damage_flush(s);
		chunks_close(s->chunks);
	}
	damage_close(s->damage);
	if (s->backend)
		s->backend->ops->close(s->backend);
	must(pthread_mutex_destroy(&s->mutex));
	free(s->path);
	free(s);
}

const char *store_path(const struct store *s)
{
	return s->path;
}

const char *store_id_text(const struct store *s)
{
	return s->id_text;
}

bool store_is_read_only(const struct store *s)
{
	return s->backend->read_only || s->super.read_only;
}

void store_set_fresh(struct store *s)
{
	s->backend->fresh = true;
	chunks_set_fresh(s->chunks);
}

const char *store_reach_medium(struct store *s)
{
	s->backend->fresh = true;
	return file_backend_flush(s->backend) ? NULL : s->backend->behind;
}

void store_set_whole(struct store *s)
{
	chunks_set_whole(s->chunks);
}

void store_set_frugal(struct store *s)
{
	chunks_set_cache(s->chunks, FRUGAL_BLOCK_BYTES);
	node_cache_set_max(s->nodes, FRUGAL_NODE_BYTES);
}

const char *store_medium_cache(const struct store *s)
{
	return s->backend->behind;
}

enum err_code store_read_ahead(struct store *s, struct err *e)
{
	unsigned nr = pool_nr_cpus() + 1;	/* one waits for the medium while the others work */

	return chunks_prefetch(s->chunks, nr < READ_AHEAD_THREADS ? nr : READ_AHEAD_THREADS, e);
}

enum err_code store_refresh(struct store *s, struct err *e)
{
	enum err_code rc = chunks_refresh(s->chunks, e);

	if (!rc)
		damage_flush(s);	/* a mount may stay for months */
	return rc;
}

void store_stats(struct store *s, struct store_stats *out)
{
	struct chunks_stats c;

	*out = (struct store_stats){ 0 };
	chunks_stats(s->chunks, &c);
	out->packs = c.packs;
	out->chunks = c.chunks;
	out->blocks_read = c.blocks_read;
	out->bytes_read = c.bytes_read;
	out->bytes_checked = c.bytes_checked;
	out->cache_hits = c.hits;
	out->cache_misses = c.misses;
	out->cache_bytes = c.cache_bytes;
	out->blocks_ahead = c.blocks_ahead;
	out->index_written = c.index_written;
	out->damaged = c.damaged;
	out->healed = c.healed;
	out->mended = c.mended + atomic_load(&s->records_mended);
	if (s->backend->ops->space(s->backend, &out->free_bytes, &out->total_bytes, NULL))
		out->free_bytes = out->total_bytes = 0;
}
