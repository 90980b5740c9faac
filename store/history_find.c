/* SPDX-License-Identifier: MIT */
/* What a backup id means, and what else is remembered in log/. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* The newest with the id. */
struct search {
	struct store *store;
	const char *id;
	bool found, ok;
	char *type, *component, *snapshot, *error;
};

static enum err_code replace(char **at, const char *with, struct err *e)
{
	free(*at);
	*at = strdup(with);
	return *at ? ERR_OK : err_set(e, ERR_NOMEM, "the history");
}

static enum err_code on_id(void *ctx, const struct history_run *r, struct err *e)
{
	struct search *f = ctx;
	enum err_code rc;

	if (strcmp(r->id, f->id) != 0)
		return ERR_OK;
	f->found = true;
	f->ok = strcmp(r->status, "ok") == 0;
	rc = replace(&f->type, r->type, e);
	if (!rc)
		rc = replace(&f->component, r->component, e);
	if (!rc)
		rc = replace(&f->snapshot, r->snapshot, e);
	if (!rc)
		rc = replace(&f->error, r->error, e);
	return rc;
}

static void search_release(struct search *f)
{
	free(f->type);
	free(f->component);
	free(f->snapshot);
	free(f->error);
}

struct good {
	const struct search *of;
	char *id;
};

static enum err_code on_good(void *ctx, const struct history_run *r, struct err *e)
{
	struct good *g = ctx;

	if (strcmp(r->status, "ok") != 0 || strcmp(r->id, g->of->id) == 0 || strcmp(r->type, g->of->type) != 0 ||
	    strcmp(r->component, g->of->component) != 0 || !is_there(g->of->store, r->snapshot))
		return ERR_OK;
	return replace(&g->id, r->id, e);
}

enum err_code history_newest_good(struct store *s, const char *id, char **out, struct err *e)
{
	struct search f = { .store = s, .id = id };
	struct good g = { .of = &f };
	enum err_code rc = history_each_run(s, on_id, &f, e);

	if (!rc && f.found)
		rc = history_each_run(s, on_good, &g, e);
	search_release(&f);
	if (rc) {
		free(g.id);
		return rc;
	}
	*out = g.id;
	return ERR_OK;
}

static enum err_code not_there(struct store *s, const struct search *f, struct err *e)
{
	char *good = NULL, why[800];
	enum err_code rc = history_newest_good(s, f->id, &good, e);

	if (rc)
		return rc;
	if (f->ok)
		(void)snprintf(why, sizeof(why), "the snapshot of backup %s was let go", f->id);
	else
		(void)snprintf(why, sizeof(why), "backup %s failed: %.512s", f->id, *f->error ? f->error : "no reason was kept");
	if (good)
		(void)err_set(e, ERR_FAILED, "%s; the newest good one of %s %s is %s", why, f->type, f->component, good);
	else
		(void)err_set(e, ERR_FAILED, "%s; there is no good one of %s %s", why, f->type, f->component);
	free(good);
	return ERR_FAILED;
}

enum err_code history_find(struct store *s, const char *id, char **snapshot, char **component, struct err *e)
{
	struct search f = { .store = s, .id = id };
	enum err_code rc = history_each_run(s, on_id, &f, e);

	if (!rc && !f.found)
		rc = err_set(e, ERR_NOT_FOUND, "no backup \"%s\"; vouch history lists them", id);
	if (!rc && (!f.ok || !is_there(s, f.snapshot)))
		rc = not_there(s, &f, e);
	if (!rc) {
		*snapshot = f.snapshot;
		*component = f.component;
		f.snapshot = f.component = NULL;
	}
	search_release(&f);
	return rc;
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
	struct vtime t;
	char *json;

	if (l->nr == NOTES_MAX || !isotime_decode(line->time, &t))
		return ERR_OK;
	if (l->nr == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 16;
		struct note *more = reallocarray(l->all, cap, sizeof(*more));

		if (!more)
			return err_set(e, ERR_NOMEM, "%zu lines of log/", l->nr);
		l->all = more;
		l->cap = cap;
	}
	json = strndup(line->text, line->len);
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
