/* SPDX-License-Identifier: MIT */
/* One table, label or collection through all snapshots, by what each recorded of it: to see when rows went. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/history.h"
#include "tools/jsonout.h"
#include "tools/recover.h"
#include "tools/text.h"

#define NAMES_MAX	8u	/* told where there is no such item */

/* One item of one component, as far as it was followed. */
struct series {
	char *component, *kind, *name;
	uint64_t rows;
	char sum[80];
	bool there;		/* in the last snapshot looked at */
	bool seen;		/* in the present one */
};

struct of {
	struct app *app;
	struct store *store;
	const char *what;
	struct series *all;
	size_t nr;
	struct strings others;	/* names of items of the component, in its newest snapshot */
	bool component_known, damaged, unwritten;
};

/* NAME.ITEM of a component of that name: ITEM; else NULL. */
static const char *item_of(const char *what, const char *component)
{
	size_t len = strlen(component);

	return strncmp(what, component, len) == 0 && what[len] == '.' && what[len + 1] ? what + len + 1 : NULL;
}

/* "orders" is "public.orders" too. */
static bool is_called(const char *name, const char *wanted)
{
	size_t len = strlen(name), want = strlen(wanted);

	return strcmp(name, wanted) == 0 ||
	       (len > want && name[len - want - 1] == '.' && strcmp(name + len - want, wanted) == 0);
}

static struct series *find_series(struct of *o, const char *component, const char *kind, const char *name,
				  struct err *e)
{
	struct series *more;

	for (size_t i = 0; i < o->nr; i++)
		if (strcmp(o->all[i].component, component) == 0 && strcmp(o->all[i].kind, kind) == 0 &&
		    strcmp(o->all[i].name, name) == 0)
			return &o->all[i];
	more = reallocarray(o->all, o->nr + 1, sizeof(*more));
	if (more) {
		o->all = more;
		more += o->nr;
		*more = (struct series){ strdup(component), strdup(kind), strdup(name), 0, "", false, false };
		o->nr++;
	}
	if (!more || !more->component || !more->kind || !more->name) {
		(void)err_set(e, ERR_NOMEM, "%s", o->what);
		return NULL;
	}
	return more;
}

static bool print_json(const struct series *s, const struct snapshot *snap, const uint64_t *rows, const char *sum,
		       bool dropped, bool changed)
{
	struct jsonout j = jsonout_begin("item");

	jsonout_str(&j, "component", s->component);
	jsonout_str(&j, "kind", s->kind);
	jsonout_str(&j, "name", s->name);
	jsonout_str(&j, "snapshot", snap->name);
	jsonout_time(&j, "time", snap->time);
	if (rows) {
		jsonout_u64(&j, "rows", *rows);
		jsonout_str(&j, "sum", sum);
	}
	jsonout_bool(&j, "present", rows != NULL);
	jsonout_bool(&j, "dropped", dropped);
	jsonout_bool(&j, "changed", changed);
	return jsonout_end(&j);
}

/* What the snapshot says of it; rows NULL: it is not there any more. */
static void tell(struct of *o, struct series *s, const struct snapshot *snap, const uint64_t *rows, const char *sum)
{
	bool dropped = s->there && (!rows || *rows < s->rows), gone = !rows;
	bool changed = s->there && rows && *sum && *s->sum && strcmp(sum, s->sum) != 0;
	char count[TEXT_LEN], by[TEXT_LEN];
	struct buf name = BUF_INIT;

	if (o->app->json) {
		o->unwritten = !print_json(s, snap, rows, sum, dropped, changed) || o->unwritten;
		goto out;
	}
	text_escape_str(&name, s->name);
	buf_add_u8(&name, '\0');
	printf("%.*s  %s %s  ", SNAPSHOT_DATE_LEN, snap->name, s->kind, name.bad ? "?" : (const char *)name.p);
	buf_release(&name);
	if (gone)
		printf("%12s", "-");
	else
		printf("%12s  %s", text_count(*rows, count), *sum ? sum : "no checksum");
	if (dropped && gone)
		printf("  <-- GONE: it had %s rows", text_count(s->rows, by));
	else if (dropped)
		printf("  <-- DROP: %s rows fewer", text_count(s->rows - *rows, by));
	else if (s->there && rows && *rows > s->rows)
		printf("  %s more", text_count(*rows - s->rows, by));
	else if (changed)
		printf("  changed");
	putchar('\n');
out:
	s->there = !gone;
	s->rows = gone ? 0 : *rows;
	(void)snprintf(s->sum, sizeof(s->sum), "%s", gone ? "" : sum);
}

/* The number of one item: counted or set; false where it has none. */
static bool number_of(const json_t *item, uint64_t *out)
{
	const char *text = json_string_value(json_object_get(item, "rows"));
	uint64_t v = 0;

	if (!text)
		text = json_string_value(json_object_get(item, "value"));
	if (!text || !*text)
		return false;
	for (; *text; text++)
		if (*text < '0' || *text > '9' || mul_u64(v, 10, &v) || add_u64(v, (uint64_t)(*text - '0'), &v))
			return false;
	*out = v;
	return true;
}

static void remember_other(struct of *o, const char *name)
{
	if (o->others.nr < NAMES_MAX)
		strings_add(&o->others, name, strlen(name));
}

static enum err_code look_at_items(struct of *o, const struct snapshot *snap, const char *component,
				   const char *wanted, const struct facts *f, struct err *e)
{
	json_t *item;
	uint64_t rows;
	size_t i;

	strings_release(&o->others);
	for (size_t k = 0; k < o->nr; k++)
		o->all[k].seen = false;
	json_array_foreach(json_object_get(f->root, "items"), i, item) {
		const char *name = json_string_value(json_object_get(item, "name"));
		const char *kind = json_string_value(json_object_get(item, "kind"));
		const char *sum = json_string_value(json_object_get(item, "sum"));
		struct series *s;

		if (!name || !kind || !number_of(item, &rows))
			continue;
		if (!is_called(name, wanted)) {
			remember_other(o, name);
			continue;
		}
		s = find_series(o, component, kind, name, e);
		if (!s)
			return ERR_NOMEM;
		s->seen = true;
		tell(o, s, snap, &rows, sum ? sum : "");
	}
	for (size_t k = 0; k < o->nr; k++)
		if (!o->all[k].seen && o->all[k].there && strcmp(o->all[k].component, component) == 0)
			tell(o, &o->all[k], snap, NULL, "");
	return ERR_OK;
}

static enum err_code look_at(struct of *o, const struct snapshot *snap, const struct component_outcome *c,
			     const char *wanted, struct err *e)
{
	struct facts f = { 0 };
	char *folder = NULL;
	enum err_code rc;

	o->component_known = true;
	if (asprintf(&folder, "%s/%s", c->type, c->name) < 0)
		return err_set(e, ERR_NOMEM, "%s", c->name);
	rc = recover_facts(o->store, snap, folder, &f, e);
	if (!rc) {
		rc = look_at_items(o, snap, c->name, wanted, &f, e);
	} else if (rc == ERR_NOT_FOUND || rc == ERR_CORRUPT || rc == ERR_INCOMPLETE) {
		/* The others are worth a look. */
		app_say(o->app, "warning", "%s", e->msg);
		o->damaged = o->damaged || rc != ERR_NOT_FOUND;
		err_clear(e);
		rc = ERR_OK;
	}
	facts_release(&f);
	free(folder);
	return rc;
}

static enum err_code not_found(const struct of *o, struct err *e)
{
	struct buf b = BUF_INIT;
	enum err_code rc;

	for (size_t i = 0; i < o->others.nr; i++)
		buf_printf(&b, "%s%s", i ? ", " : "", o->others.v[i]);
	buf_add_u8(&b, '\0');
	if (!o->component_known)
		rc = err_set(e, ERR_NOT_FOUND, "no snapshot has a component that \"%s\" is of; give NAME.ITEM, as crm.orders", o->what);
	else
		rc = err_set(e, ERR_NOT_FOUND, "no snapshot has \"%s\"; the newest has %s", o->what,
			     b.bad || !o->others.nr ? "nothing that is counted" : (const char *)b.p);
	buf_release(&b);
	return rc;
}

int history_of(struct app *a, struct store *s, const char *what)
{
	struct of o = { .app = a, .store = s, .what = what };
	struct snapshot_list l = { 0 };
	struct err e = ERR_INIT;
	enum err_code rc = snapshot_list_read(s, &l, &e);

	progress_clear(a->progress);
	for (size_t i = 0; i < l.nr && !rc; i++) {
		const struct snapshot *snap = &l.all[i];

		for (size_t k = 0; k < snap->nr_components && !rc && !snapshot_is_reserved(snap); k++) {
			const struct component_outcome *c = &snap->components[k];
			const char *wanted = item_of(what, c->name);

			if (wanted && strcmp(c->status, "ok") == 0)
				rc = look_at(&o, snap, c, wanted, &e);
		}
	}
	if (!rc && o.nr == 0)
		rc = not_found(&o, &e);
	if (!rc && o.unwritten)
		rc = err_set(&e, ERR_IO, "standard output could not be written");
	for (size_t i = 0; i < o.nr; i++) {
		free(o.all[i].component);
		free(o.all[i].kind);
		free(o.all[i].name);
	}
	free(o.all);
	strings_release(&o.others);
	snapshot_list_release(&l);
	return rc ? app_fail(a, &e) : o.damaged || l.nr_bad ? STATUS_DAMAGE : STATUS_DONE;
}
