/* SPDX-License-Identifier: MIT */
/* What a backup id means, and what else is remembered in log/. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/array.h"
#include "store/format/isotime.h"
#include "store/history_internal.h"

#define NOTES_MAX	((size_t)1 << 20)	/* lines of one event that are told; more are not ours */

static bool is_there(struct store *s, const char *snapshot)
{
	static const char *const folders[] = { "snapshots", "copies/snapshots" };
	char name[128];
	uint64_t size;

	if (!*snapshot)
		return false;
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(name, sizeof(name), "%s/%s.json", folders[i], snapshot);
		if (s->backend->ops->size(s->backend, name, &size, NULL) == ERR_OK)
			return true;
	}
	return false;
}

static bool is_ok(const struct history_run *r)
{
	return strcmp(r->status, "ok") == 0;
}

/* The newest of that id, or NULL. */
static const struct history_run *by_id(const struct history_runs *l, const char *id)
{
	for (size_t i = l->nr; i-- > 0;)
		if (strcmp(l->all[i].id, id) == 0)
			return &l->all[i];
	return NULL;
}

/* The newest other one of the same component whose snapshot is there, or NULL. */
static const struct history_run *newest_good(struct store *s, const struct history_runs *l, const struct history_run *of)
{
	for (size_t i = l->nr; i-- > 0;) {
		const struct history_run *r = &l->all[i];

		if (is_ok(r) && strcmp(r->id, of->id) != 0 && strcmp(r->type, of->type) == 0 &&
		    strcmp(r->component, of->component) == 0 && is_there(s, r->snapshot))
			return r;
	}
	return NULL;
}

enum err_code history_newest_good(struct store *s, const char *id, char **out, struct err *e)
{
	struct history_runs l = { 0 };
	const struct history_run *of, *good;
	enum err_code rc = history_runs_read(s, &l, e);

	if (rc)
		return rc;
	of = by_id(&l, id);
	good = of ? newest_good(s, &l, of) : NULL;
	*out = good ? strdup(good->id) : NULL;
	if (good && !*out)
		rc = err_set(e, ERR_NOMEM, "the history");
	history_runs_release(&l);
	return rc;
}

static enum err_code not_there(struct store *s, const struct history_runs *l, const struct history_run *r, struct err *e)
{
	const struct history_run *good = newest_good(s, l, r);
	char why[800];

	if (is_ok(r))
		(void)snprintf(why, sizeof(why), "the snapshot of backup %s was let go", r->id);
	else
		(void)snprintf(why, sizeof(why), "backup %s failed: %.512s", r->id, *r->error ? r->error : "no reason was kept");
	if (good)
		return err_set(e, ERR_FAILED, "%s; the newest good one of %s %s is %s", why, r->type, r->component, good->id);
	return err_set(e, ERR_FAILED, "%s; there is no good one of %s %s", why, r->type, r->component);
}

enum err_code history_find(struct store *s, const char *id, char **snapshot, char **component, struct err *e)
{
	struct history_runs l = { 0 };
	const struct history_run *r;
	char *of = NULL, *name = NULL;
	enum err_code rc = history_runs_read(s, &l, e);

	if (rc)
		return rc;
	r = by_id(&l, id);
	if (!r) {
		rc = err_set(e, ERR_NOT_FOUND, "no backup \"%s\"; vouch history lists them", id);
	} else if (!is_ok(r) || !is_there(s, r->snapshot)) {
		rc = not_there(s, &l, r, e);
	} else {
		name = strdup(r->snapshot);
		of = strdup(r->component);
		if (!name || !of)
			rc = err_set(e, ERR_NOMEM, "the history");
	}
	history_runs_release(&l);
	if (rc) {
		free(name);
		free(of);
		return rc;
	}
	*snapshot = name;
	*component = of;
	return ERR_OK;
}

/* Notes */

enum err_code history_note(struct store *s, const char *event, const char *members, struct err *e)
{
	return runlog_append(s, event, members, e);
}

struct note {
	char time[ISOTIME_LEN + 1];
	char *json;
};

struct notes {
	struct note *all;
	size_t nr, cap;
};

static enum err_code on_note(void *ctx, const struct runlog_line *line, struct err *e)
{
	struct notes *l = ctx;
	struct note *more;
	struct vtime t;
	char *json;

	if (l->nr == NOTES_MAX || !isotime_decode(line->time, &t))
		return ERR_OK;
	more = array_room(l->all, l->nr, &l->cap, sizeof(*more));
	if (more)
		l->all = more;
	json = more ? strndup(line->text, line->len) : NULL;
	if (!json)
		return err_set(e, ERR_NOMEM, "%zu lines of log/", l->nr);
	(void)isotime_encode(&t, l->all[l->nr].time);
	l->all[l->nr++].json = json;
	return ERR_OK;
}

static int by_time(const void *pa, const void *pb)
{
	const struct note *a = pa, *b = pb;

	return strcmp(a->time, b->time);
}

enum err_code history_each_note(struct store *s, const char *event, history_note_fn *fn, void *ctx, struct err *e)
{
	struct notes l = { 0 };
	enum err_code rc = runlog_each(s, event, on_note, &l, e);

	if (!rc && l.nr > 0)
		qsort(l.all, l.nr, sizeof(*l.all), by_time);
	for (size_t i = 0; i < l.nr && !rc; i++)
		rc = fn(ctx, l.all[i].time, l.all[i].json, e);
	for (size_t i = 0; i < l.nr; i++)
		free(l.all[i].json);
	free(l.all);
	return rc;
}
