/* SPDX-License-Identifier: MIT */
#include "tools/ways.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/forget.h"
#include "store/history.h"
#include "tools/text.h"

#define HOST_MAX 256

static void host_name(char out[HOST_MAX])
{
	if (gethostname(out, HOST_MAX) < 0)
		out[0] = '\0';
	out[HOST_MAX - 1] = '\0';
}

static void way_release(struct way *w)
{
	free(w->id);
	free(w->component);
	free(w->type);
	free(w->from);
	free(w->into);
	free(w->kind);
	free(w->snapshot);
	json_decref(w->items);
	json_decref(w->json);
	*w = (struct way){ 0 };
}

void ways_release(struct ways *w)
{
	for (size_t i = 0; i < w->nr; i++)
		way_release(&w->v[i]);
	free(w->v);
	*w = (struct ways){ 0 };
}

void way_id(char out[WAY_ID_MAX + 1], const char *component)
{
	char when[32] = "";
	struct timespec now;
	struct tm tm;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (gmtime_r(&now.tv_sec, &tm))
		(void)strftime(when, sizeof(when), "%Y%m%d_%H%M%S", &tm);
	(void)snprintf(out, WAY_ID_MAX + 1, "%.100s_%s_%09ld", component, when, now.tv_nsec);
}

/* Reading */

struct reading {
	const char *component;
	char host[HOST_MAX];
	struct ways ways;
};

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static struct way *find_way(struct ways *w, const char *id)
{
	for (size_t i = 0; i < w->nr; i++)
		if (strcmp(w->v[i].id, id) == 0)
			return &w->v[i];
	return NULL;
}

static void drop_way(struct ways *w, struct way *gone)
{
	way_release(gone);
	memmove(gone, gone + 1, (size_t)(&w->v[w->nr] - (gone + 1)) * sizeof(*gone));
	w->nr--;
}

static enum err_code add_way(struct ways *w, json_t *line, struct err *e)
{
	struct way *v = reallocarray(w->v, w->nr + 1, sizeof(*v));
	struct way n = { .json = json_incref(json_object_get(line, "way")),
			 .items = json_incref(json_object_get(line, "items")) };

	n.id = strdup(text_of(line, "id"));
	n.component = strdup(text_of(line, "component"));
	n.type = strdup(text_of(line, "type"));
	n.from = strdup(text_of(line, "from"));
	n.into = strdup(text_of(line, "into"));
	n.kind = strdup(text_of(n.json, "kind"));
	n.snapshot = strdup(text_of(n.json, "snapshot"));
	n.made = (int64_t)json_integer_value(json_object_get(line, "made"));
	if (v)
		w->v = v;
	if (!v || !n.id || !n.component || !n.type || !n.from || !n.into || !n.kind || !n.snapshot) {
		way_release(&n);
		return err_set(e, ERR_NOMEM, "ways back");
	}
	w->v[w->nr++] = n;
	return ERR_OK;
}

static enum err_code take_line(void *ctx, const char *at, const char *text, struct err *e)
{
	struct reading *r = ctx;
	json_t *line = json_loads(text, 0, NULL);
	const char *id = text_of(line, "id"), *component = text_of(line, "component");
	struct way *old;
	enum err_code rc = ERR_OK;

	(void)at;
	/* Of another host: its "crm" may be another database. */
	if (!*id || !*component || strcmp(text_of(line, "host"), r->host) != 0 ||
	    (r->component && strcmp(component, r->component) != 0))
		goto out;
	old = find_way(&r->ways, id);
	if (old)
		drop_way(&r->ways, old);
	if (strcmp(text_of(line, "state"), "made") == 0 && json_is_object(json_object_get(line, "way")))
		rc = add_way(&r->ways, line, e);
out:
	json_decref(line);
	return rc;
}

enum err_code ways_read(struct store *s, const char *component, struct ways *out, struct err *e)
{
	struct reading r = { .component = component };
	enum err_code rc;

	host_name(r.host);
	rc = history_each_note(s, "way-back", take_line, &r, e);
	if (rc) {
		ways_release(&r.ways);
		err_prefix(e, "ways back");
		return rc;
	}
	*out = r.ways;
	return ERR_OK;
}

/* Writing */

static enum err_code note(struct store *s, json_t *line, struct err *e)
{
	char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	enum err_code rc;
	size_t len;

	if (!text)
		return err_set(e, ERR_NOMEM, "note of a way back");
	len = strlen(text);
	text[len - 1] = '\0';		/* members only: without the braces */
	rc = history_note(s, "way-back", text + 1, e);
	free(text);
	return rc;
}

enum err_code way_made(struct store *s, const struct component *c, const char *id, const struct restore_job *j,
		       const json_t *json, struct err *e)
{
	char host[HOST_MAX];
	json_t *items = json_array(), *line;
	enum err_code rc;
	bool bad = false;

	for (size_t i = 0; i < j->nr_items; i++)
		bad = json_array_append_new(items, json_string(j->items[i])) || bad;
	host_name(host);
	line = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:O,s:O}", "id", id, "state", "made", "component", c->name, "type",
			 c->ops->type, "host", host, "from", j->snapshot ? j->snapshot->name : "", "into",
			 j->into ? j->into : "", "made", (json_int_t)time(NULL), "items", items, "way", json);
	rc = bad ? err_set(e, ERR_NOMEM, "items of a way back") : note(s, line, e);
	json_decref(line);
	json_decref(items);
	return rc;
}

enum err_code way_ended(struct store *s, const struct way *w, const char *state, struct err *e)
{
	char host[HOST_MAX];
	json_t *line;
	enum err_code rc;

	host_name(host);
	line = json_pack("{s:s,s:s,s:s,s:s,s:s}", "id", w->id, "state", state, "component", w->component, "type", w->type,
			 "host", host);
	rc = note(s, line, e);
	json_decref(line);
	return rc;
}

/* Letting go */

enum err_code way_forget_snapshot(struct store *s, const char *name, struct err *e)
{
	struct snapshot_list l = { 0 };
	const struct snapshot *found = NULL;
	size_t done;
	enum err_code rc = snapshot_list_read(s, &l, e);

	for (size_t i = 0; !rc && i < l.nr; i++)
		if (strcmp(l.all[i].name, name) == 0 && snapshot_has_tag(&l.all[i], TAG_SAFETY))
			found = &l.all[i];
	if (!rc && found)
		rc = snapshots_forget(s, &found, 1, "its way back was let go", &done, e);
	snapshot_list_release(&l);
	return rc;
}

static enum err_code discard(struct store *s, struct component *c, const struct way *w, struct err *e)
{
	struct restore_job j = { .store = s };		/* no into: that would be dropped, too */
	enum err_code rc = c->ops->discard ? c->ops->discard(c, &j, w->json, e) : ERR_OK;

	if (rc == ERR_NOT_FOUND) {
		err_clear(e);
		rc = ERR_OK;
	}
	if (!rc && *w->snapshot)
		rc = way_forget_snapshot(s, w->snapshot, e);
	if (!rc)
		rc = way_ended(s, w, "discarded", e);
	return rc;
}

void ways_discard_old(struct app *a, struct store *s, struct component *c)
{
	struct ways w = { 0 };
	struct err e = ERR_INIT;
	char when[TEXT_LEN];
	int64_t now = (int64_t)time(NULL);

	if (ways_read(s, c->name, &w, &e)) {
		app_say(a, "warning", "%s", e.msg);
		return;
	}
	for (size_t i = 0; i < w.nr; i++) {
		const struct way *v = &w.v[i];

		if (v->made > now - (int64_t)WAY_KEPT_S || strcmp(v->type, c->ops->type) != 0)
			continue;
		(void)text_time((struct vtime){ .sec = v->made }, when);
		if (discard(s, c, v, &e))
			app_say(a, "warning", "%s: the way back of %s is older than seven days, but cannot be let go: %s",
				c->name, when, e.msg);
		else if (!a->quiet)
			app_say(a, "note", "%s: the way back of %s (%s) is older than seven days, and was let go", c->name,
				when, v->kind);
	}
	ways_release(&w);
}
