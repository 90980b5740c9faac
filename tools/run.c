/* SPDX-License-Identifier: MIT */
#include "tools/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/forget.h"
#include "tools/ways.h"

#define HOOKS_NAME	"[run]"		/* no component is called so */

static bool is_canceled(const struct run *r)
{
	return r->cancel && atomic_load(r->cancel);
}

static bool has_key(struct config_section *s, const char *key)
{
	return s && config_nth(s, key, 0) != NULL;
}

static size_t nr_ready(const struct run *r)
{
	size_t nr = 0;

	for (size_t i = 0; i < r->nr; i++)
		nr += !r->parts[i].e.code;
	return nr;
}

static void fail_part(struct run *r, struct run_part *p, const struct err *e)
{
	if (!p->e.code)
		p->e = *e;
	run_tell_failed(r, p);
}

/* All that are to go, for one reason. */
static void fail_all(struct run *r, const struct err *e)
{
	for (size_t i = 0; i < r->nr; i++)
		if (!r->parts[i].e.code)
			r->parts[i].e = *e;
}

/*
 * All before the first hook: whoever comes second must not have writers let go that the first has held.  A component that is
 * busy is no reason not to save the others.
 */
static enum err_code take_locks(struct run *r, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (has_key(r->section, "before") || has_key(r->section, "after"))
		rc = lock_take(store_id_text(r->s), HOOKS_NAME, "run", &r->hooks_lock, e);
	for (size_t i = 0; i < r->nr && !rc; i++) {
		struct run_part *p = &r->parts[i];
		struct err mine = ERR_INIT;

		if (p->e.code)
			run_tell_failed(r, p);
		else if (lock_take(store_id_text(r->s), p->name, "run", &p->lock, &mine))
			fail_part(r, p, &mine);
	}
	return rc;
}

static void let_locks_go(struct run *r)
{
	for (size_t i = 0; i < r->nr; i++) {
		lock_release(r->parts[i].lock);
		r->parts[i].lock = NULL;
	}
	lock_release(r->hooks_lock);
	r->hooks_lock = NULL;
}

/* The names of those that are to be dumped, with spaces between. */
static char *names_of(const struct run *r)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < r->nr; i++)
		if (!r->parts[i].e.code)
			buf_printf(&b, "%s%s", b.len ? " " : "", r->parts[i].name);
	buf_add_u8(&b, '\0');
	if (b.bad)
		buf_release(&b);
	return (char *)b.p;
}

static void dump_all(struct run *r)
{
	for (size_t i = 0; i < r->nr && !is_canceled(r); i++) {
		struct run_part *p = &r->parts[i];
		struct err e = ERR_INIT;

		if (p->e.code)
			continue;
		/* No server is to be stopped for a dump that cannot be stored. */
		if (assembly_failure(r->to, &e)) {
			err_prefix(&e, "not dumped, for the repository cannot be written");
			fail_part(r, p, &e);
			continue;
		}
		run_part_before(r, p);
		run_part_dump(r, p);
		if (p->e.code)
			run_tell_failed(r, p);
		else
			run_warn(r, p);
	}
}

static const char *outcome_of(const struct run *r)
{
	size_t ready = nr_ready(r);

	return ready == r->nr ? "ok" : ready > 0 ? "partial" : "failed";
}

/* Between the hooks: as short as it can be, for writers may be held. */
static enum err_code dump_between_hooks(struct run *r, struct err *e)
{
	struct hook_guard *guard = NULL;
	char *names = names_of(r);
	enum err_code rc = names ? ERR_OK : err_set(e, ERR_NOMEM, "a run");

	if (rc)
		return rc;
	if (r->section)
		rc = run_hooks_before(r, r->section, "before", "after", names, &guard, e);
	if (!rc)
		dump_all(r);
	if (!rc && is_canceled(r))
		rc = err_set(e, ERR_CANCELED, "interrupted");
	if (r->section)
		run_hooks_after(r, r->section, "after", names, rc ? "failed" : outcome_of(r), guard);
	free(names);
	return rc;
}

/* The snapshot */

static enum err_code open_assembly(struct run *r, const char *tag, struct assembly **out, struct err *e)
{
	struct assembly_options o = { .jobs = r->a->jobs, .limit_rate = r->a->limit_rate, .cancel = r->cancel,
				      .no_progress = true, .keep_dropped = r->keep_partial && !tag };
	const char **names = calloc(r->nr + 1, sizeof(*names));
	const char **tags = calloc(r->tags.nr + 2, sizeof(*tags));
	enum err_code rc;

	if (names && tags) {
		for (size_t i = 0; i < r->nr; i++)
			names[o.nr_sources++] = r->parts[i].name;
		for (size_t i = 0; i < r->tags.nr; i++)
			tags[o.nr_tags++] = r->tags.v[i];
		if (tag)
			tags[o.nr_tags++] = tag;
		o.sources = names;
		o.tags = tags;
		rc = assembly_open(r->s, &o, out, e);
	} else {
		rc = err_set(e, ERR_NOMEM, "a snapshot");
	}
	free(names);
	free(tags);
	return rc;
}

/* What became of each: for those that went well, of which instant it is. */
static enum err_code make_outcomes(struct run *r, struct component_outcome **out, struct err *e)
{
	struct component_outcome *v = calloc(r->nr + 1, sizeof(*v));

	if (!v)
		return err_set(e, ERR_NOMEM, "outcomes");
	for (size_t i = 0; i < r->nr; i++) {
		struct run_part *p = &r->parts[i];

		v[i].name = (char *)(uintptr_t)p->name;
		v[i].type = (char *)(uintptr_t)p->type;
		v[i].status = (char *)(uintptr_t)(p->e.code ? "failed" : "ok");
		v[i].detail = p->e.code ? p->e.msg : p->instant;
	}
	*out = v;
	return ERR_OK;
}

static enum err_code publish(struct run *r, struct err *e)
{
	struct component_outcome *outcomes = NULL;
	struct snapshot snap = { 0 };
	enum err_code rc = make_outcomes(r, &outcomes, e);

	if (!rc)
		rc = assembly_publish(r->to, outcomes, r->nr, &snap, e);
	free(outcomes);
	if (rc)
		return rc;
	r->snapshot = snap.name;
	snap.name = NULL;
	r->new_bytes = snap.new_bytes;
	r->stored_bytes = snap.stored_bytes;
	snapshot_release(&snap);
	return ERR_OK;
}

/* What failed dumps left, into a snapshot that nobody takes for a backup.  That it fails takes nothing from the good ones. */
static void publish_partial(struct run *r)
{
	struct component_outcome *outcomes = NULL;
	struct snapshot snap = { 0 };
	struct assembly *to = NULL;
	struct err e = ERR_INIT;
	size_t nr, all = 0;
	enum err_code rc = open_assembly(r, TAG_PARTIAL, &to, &e);

	for (size_t i = 0; i < r->nr && !rc; i++) {
		if (!r->parts[i].begun || !r->parts[i].e.code)
			continue;
		rc = assembly_take_dropped(r->to, r->parts[i].folder, to, &nr, &e);
		all += rc ? 0 : nr;
	}
	if (!rc && all > 0 && assembly_bytes(to, "", NULL) == 0)
		all = 0;	/* empty files of a server that was not there */
	if (!rc && all > 0)
		rc = make_outcomes(r, &outcomes, &e);
	if (!rc && all > 0)
		rc = assembly_publish(to, outcomes, r->nr, &snap, &e);
	if (!rc && all > 0) {
		r->partial = snap.name;
		snap.name = NULL;
		snapshot_release(&snap);
	}
	if (rc)
		app_say(r->a, "warning", "what there is of the dumps that failed is not kept: %s", e.msg);
	free(outcomes);
	assembly_close(to);
}

/* The history */

static void record_part(struct run *r, struct run_part *p)
{
	struct err e = ERR_INIT;
	const struct history_run h = {
		.id = p->id, .type = p->type, .component = p->name, .status = p->e.code ? "failed" : "ok",
		.snapshot = p->e.code || !r->snapshot ? "" : r->snapshot, .error = p->e.code ? p->e.msg : "",
		.time = p->began, .has_checksum = !p->e.code && p->has_checksum, .checksum = p->checksum,
		.bytes = p->bytes, .seconds = p->seconds,
	};

	if (history_add_run(r->s, &h, &e)) {
		app_say(r->a, NULL, "%s: the history does not have it: %s", p->name, e.msg);
		r->unwritten = true;
	}
}

static void record(struct run *r)
{
	for (size_t i = 0; i < r->nr; i++) {
		struct run_part *p = &r->parts[i];

		if (p->type[0] == '\0')		/* no type, no id */
			continue;
		if (!p->begun)
			run_part_before(r, p);
		record_part(r, p);
	}
}

/* Also those that no way back names: of a recover that was killed before it wrote it down. */
static void forget_old_safety(struct run *r)
{
	const struct snapshot **go = NULL;
	struct snapshot_list l = { 0 };
	struct err e = ERR_INIT;
	int64_t oldest = time(NULL) - (int64_t)WAY_KEPT_S;
	size_t nr = 0, done = 0;
	enum err_code rc = snapshot_list_read(r->s, &l, &e);

	if (!rc) {
		go = calloc(l.nr + 1, sizeof(const struct snapshot *));
		rc = go ? ERR_OK : err_set(&e, ERR_NOMEM, "%zu snapshots", l.nr);
	}
	for (size_t i = 0; i < l.nr && !rc; i++)
		if (snapshot_has_tag(&l.all[i], TAG_SAFETY) && l.all[i].time.sec < oldest)
			go[nr++] = &l.all[i];
	if (!rc && nr > 0)
		rc = snapshots_forget(r->s, go, nr, "a safety dump older than seven days", &done, &e);
	if (rc)
		app_say(r->a, "warning", "safety dumps older than seven days are still there: %s", e.msg);
	free(go);
	snapshot_list_release(&l);
}

/* Once the new state is saved, what led back to an older one may go. */
static void let_old_go(struct run *r)
{
	for (size_t i = 0; i < r->nr; i++)
		if (!r->parts[i].e.code)
			ways_discard_old(r->a, r->s, r->parts[i].c);
	forget_old_safety(r);
}

static int status_of(struct run *r)
{
	size_t ready = r->snapshot ? nr_ready(r) : 0;
	bool usage = r->nr > 0;

	if (ready == r->nr && !r->hook_failed && !r->unwritten)
		return STATUS_DONE;
	if (ready > 0)
		return STATUS_PARTIAL;
	for (size_t i = 0; i < r->nr; i++)
		usage = usage && r->parts[i].e.code == ERR_USAGE;
	return usage ? STATUS_USAGE : STATUS_FAILED;
}

static int end(struct run *r)
{
	int status;

	assembly_close(r->to);
	r->to = NULL;
	let_locks_go(r);
	status = status_of(r);
	progress_clear(r->a->progress);
	if (!run_tell_summary(r, status) && status == STATUS_DONE)
		status = STATUS_FAILED;
	return status;
}

int run_all(struct run *r)
{
	struct err e = ERR_INIT;
	enum err_code rc = history_runs_read(r->s, &r->before, &e);

	if (!rc)
		rc = take_locks(r, &e);
	if (!rc && nr_ready(r) > 0)
		rc = open_assembly(r, NULL, &r->to, &e);
	if (!rc && r->to)
		rc = dump_between_hooks(r, &e);
	if (!rc && r->to && nr_ready(r) > 0)
		rc = publish(r, &e);
	if (!rc && r->to && r->keep_partial && nr_ready(r) < r->nr)
		publish_partial(r);
	if (rc) {
		(void)app_fail(r->a, &e);
		fail_all(r, &e);
	}
	record(r);
	if (r->snapshot)
		let_old_go(r);
	return end(r);
}

void run_release(struct run *r)
{
	for (size_t i = 0; i < r->nr; i++) {
		lock_release(r->parts[i].lock);
		free(r->parts[i].folder);
	}
	free(r->parts);
	assembly_close(r->to);
	lock_release(r->hooks_lock);
	history_runs_release(&r->before);
	strings_release(&r->tags);
	free(r->snapshot);
	free(r->partial);
}
