/* SPDX-License-Identifier: MIT */
#include "store/backup_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/damage_internal.h"
#include "store/writing_internal.h"

uint64_t backup_progress_ns = 100000000;

/* News. */

const char *backup_path(const struct backup *b)
{
	return b->path.len > 0 ? (const char *)b->path.p : NULL;
}

enum err_code backup_canceled(const struct backup *b, struct err *e)
{
	if (b->o->cancel && atomic_load(b->o->cancel))
		return err_set(e, ERR_CANCELED, "backup stopped on request");
	return ERR_OK;
}

void backup_progress(struct backup *b)
{
	const struct store_events *to = &b->s->events;
	struct event ev = {.kind = EVENT_PROGRESS,
			   .text = "backup",
			   .path = backup_path(b),
			   .files = b->res->files,
			   .errors = b->res->errors};
	struct timespec t;
	uint64_t now;

	if (clock_gettime(CLOCK_MONOTONIC_COARSE, &t) < 0)
		return;
	now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	if (now < b->next_progress_ns)
		return;
	b->next_progress_ns = now + backup_progress_ns;
	if (b->heart)
		heartbeat_beat(b->heart);
	if (!to->fn)
		return;
	ev.bytes = b->res->bytes + b->in_file;
	/* Nobody has counted the source: what it was last time is the best guess, until it is passed. */
	if (b->res->files <= b->last_time.files && ev.bytes <= b->last_time.bytes) {
		ev.files_total = b->last_time.files;
		ev.bytes_total = b->last_time.bytes;
	}
	to->fn(to->ctx, &ev);
}

void backup_warn(struct backup *b, int sys, const char *fmt, ...)
{
	struct err why = ERR_INIT;
	char text[256], cause[128];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (sys != 0) {
		(void)err_set(&why, ERR_IO, "%s", strerror_r(sys, cause, sizeof(cause)));
		why.sys = sys;
	}
	b->res->errors++;
	store_event(b->s, EVENT_WARNING, backup_path(b), sys != 0 ? &why : NULL, "%s", text);
}

void backup_skipped(struct backup *b, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	b->res->skipped++;
	store_event(b->s, EVENT_NOTE, backup_path(b), NULL, "%s", text);
}

/* What the run stands on. */

static bool same_sources(const struct backup *b, const struct snapshot *s)
{
	if (s->nr_sources != b->nr_names || strcmp(s->base, b->o->base ? b->base : "") != 0)
		return false;
	for (size_t i = 0; i < s->nr_sources; i++) {
		if (strcmp(s->sources[i], b->names[i]) != 0)
			return false;
	}
	return true;
}

/** The newest snapshot of the same host and sources: what has not changed since is not read again.
 */
static enum err_code find_parent(struct backup *b, const char *host, struct err *e)
{
	struct snapshot_list list = {0};
	enum err_code rc;

	if (b->o->nr_sources == 0)
		return ERR_OK;
	rc = snapshot_list_read(b->s, &list, e);
	if (rc)
		return rc;
	for (size_t i = list.nr; i-- > 0;) {
		const struct snapshot *s = &list.all[i];

		if (strcmp(s->host, host) == 0 && same_sources(b, s)) {
			b->parent = s->root;
			b->last_time = s->totals;
			/* With force its tree is not looked at: it may be what is damaged. */
			b->has_parent = !b->o->force;
			break;
		}
	}
	snapshot_list_release(&list);
	return ERR_OK;
}

static enum err_code prepare(struct backup *b, struct err *e)
{
	const struct backup_options *o = b->o;
	enum err_code rc;

	if (!o->dry_run && (b->s->mode != STORE_WRITE || store_is_read_only(b->s)))
		return err_set(e, ERR_USAGE, "the repository is open for reading only");
	rc = writing_chunker(b->s, o->chunk_avg, &b->chunker, e);
	if (!rc)
		rc = owner_cache_open(&b->owners, e);
	if (!rc)
		rc = links_open(&b->links, e);
	if (!rc)
		rc = skips_open(b->s, &b->skips, e);
	if (!rc && o->nr_excludes > 0)
		rc = patterns_open(o->excludes, o->nr_excludes, &b->excludes, e);
	if (!rc)
		rc = backup_plan(b, e);
	if (!rc && access("/proc/self/fd", F_OK) < 0)
		store_event(b->s, EVENT_NOTE, NULL, NULL,
			    "/proc is not mounted: attributes of links and devices are not read");
	return rc;
}

static void backup_free(struct backup *b)
{
	links_close(b->links);
	owner_cache_close(b->owners);
	skips_close(b->skips);
	patterns_close(b->excludes);
	plan_free(b->plan);
	for (size_t i = 0; i < b->nr_names; i++)
		free(b->names[i]);
	free(b->names);
	free(b->base);
	buf_release(&b->path);
	buf_release(&b->xattrs);
	rate_release(&b->rate);
}

/* The end. */

static enum err_code describe(struct backup *b, const struct writer *w, struct snapshot *s,
			      struct err *e)
{
	const struct backup_options *o = b->o;
	struct statx me = {.stx_mode = S_IFREG, .stx_uid = geteuid(), .stx_gid = getegid()};
	struct writer_stats stats;
	struct entry ent;
	enum err_code rc = meta_from_stat(b, &me, &ent, e);

	if (rc)
		return rc;
	s->user = strndup(ent.user_len ? ent.user : "", ent.user_len);
	s->version = strdup(store_version());
	s->base = strdup(o->base ? b->base : "");
	s->name = strdup(""); /* publishing finds it */
	if (!s->user || !s->version || !s->base || !s->name)
		return err_set(e, ERR_NOMEM, "snapshot");
	rc = writing_strings((const char *const *)b->names, b->nr_names, &s->sources, &s->nr_sources,
			     e);
	if (!rc)
		rc = writing_strings(o->tags, o->nr_tags, &s->tags, &s->nr_tags, e);
	if (rc)
		return rc;
	writer_stats(w, &stats);
	s->new_bytes = b->res->new_bytes = stats.new_bytes;
	s->stored_bytes = b->res->stored_bytes = stats.stored_bytes;
	b->res->new_chunks = stats.new_chunks;
	b->res->table_bytes = stats.table_bytes;
	b->res->tree_bytes = stats.tree_bytes;
	s->errors = b->res->errors;
	return ERR_OK;
}

/** Walk into the writer; everything that was put is sealed when this returns, even after an error.
 */
static enum err_code store_tree(struct backup *b, struct writer *w, struct pool *pool,
				struct snapshot *s, struct err *e)
{
	const struct pipeline_config cfg = {
	    .s = b->s,
	    .writer = w,
	    .pool = pool,
	    .chunk_max = b->chunker.max,
	    .cancel = b->o->cancel};
	struct err later = ERR_INIT;
	enum err_code rc = pipeline_open(&cfg, &b->pipe, e), rc_end;

	if (rc)
		return rc;
	rc = backup_walk(b, e);
	rc_end = pipeline_end(b->pipe, &later);
	/* What was put is stored, and so known to the next run, after a request to stop too. */
	if (!rc_end || rc_end == ERR_CANCELED) {
		enum err_code sealed = writer_finish(w, rc_end ? NULL : &later);

		rc_end = rc_end ? rc_end : sealed;
	}
	if (!rc && rc_end) {
		rc = rc_end;
		*e = later;
	}
	if (!rc && !pipeline_root(b->pipe, &s->root, &s->totals))
		rc = err_set(e, ERR_FAILED, "the tree has no root");
	pipeline_close(b->pipe);
	b->pipe = NULL;
	return rc;
}

static enum err_code nothing_read(const struct backup *b, struct err *e)
{
	if (b->o->nr_sources > 0 && b->o->nr_streams == 0 && b->sources_read == 0)
		return err_set(e, ERR_FAILED, "none of the sources could be read");
	return ERR_OK;
}

static uint64_t index_bytes(const struct store *s)
{
	struct chunks_stats stats;

	chunks_stats(s->chunks, &stats);
	return stats.index_bytes;
}

static enum err_code run(struct backup *b, struct snapshot *s, struct err *e)
{
	struct writer_config cfg = {
	    .chunks = b->s->chunks, .backend = b->s->backend, .params = b->s->super.params};
	struct pool *pool = NULL;
	struct writer *w = NULL;
	unsigned jobs = b->o->jobs ? b->o->jobs : pool_nr_cpus();
	uint64_t index_before = index_bytes(b->s), index_after;
	enum err_code rc = pool_open(jobs, 4 * (size_t)jobs, &pool, e);

	cfg.pool = pool;
	if (!rc)
		rc = writer_open(&cfg, &w, e);
	if (!rc)
		rc = store_tree(b, w, pool, s, e);
	if (!rc)
		rc = nothing_read(b, e);
	if (!rc)
		rc = describe(b, w, s, e);
	if (!rc)
		rc = writing_publish(b->s, b->heart, s, e);
	writer_close(w);
	pool_close(pool);
	index_after = index_bytes(b->s);
	b->res->index_bytes = index_after > index_before ? index_after - index_before : 0;
	writing_log(b->s, s, b->res->files, b->res->bytes, rc);
	return rc;
}

enum err_code backup_run(struct store *s, const struct backup_options *o, struct backup_result *out,
			 struct err *e)
{
	struct backup_result res = {0};
	struct backup b = {.s = s, .o = o, .res = &res};
	enum err_code rc;

	rate_init(&b.rate, o->limit_rate, o->cancel);
	res.snapshot.time = store_vtime();
	rc = prepare(&b, e);
	if (!rc)
		rc = writing_host(o->host, &res.snapshot.host, e);
	if (!rc && !o->dry_run)
		rc = writing_begin(s, &b.heart, e);
	if (!rc)
		rc = find_parent(&b, res.snapshot.host, e);
	if (!rc && o->dry_run) {
		rc = backup_walk(&b, e);
		if (!rc)
			rc = nothing_read(&b, e);
	} else if (!rc) {
		rc = run(&b, &res.snapshot, e);
		damage_settle(s);
	}
	heartbeat_end(b.heart);
	backup_free(&b);
	if (rc || o->dry_run) {
		snapshot_release(&res.snapshot);
		res.snapshot = (struct snapshot){0};
	}
	*out = res;
	return rc;
}
