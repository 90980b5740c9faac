/* SPDX-License-Identifier: MIT */
/* Taking the way back that a recover left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/confirm.h"
#include "tools/jsonout.h"
#include "tools/recover.h"
#include "tools/text.h"

/* "safety: snapshot 2026-..., tables a b": what a type wrote down, as a person reads it. */
static void add_way(struct buf *line, const json_t *way)
{
	const char *key, *kind = json_string_value(json_object_get(way, "kind"));
	const json_t *v, *item;
	size_t i;

	text_escape_str(line, kind ? kind : "its own");
	json_object_foreach((json_t *)(uintptr_t)way, key, v) {
		if (strcmp(key, "kind") == 0 || json_is_object(v) || (json_is_array(v) && !json_is_string(json_array_get(v, 0))))
			continue;
		buf_add_str(line, ", ");
		text_escape_str(line, key);
		if (json_is_string(v)) {
			buf_add_u8(line, ' ');
			text_escape_str(line, json_string_value(v));
		}
		json_array_foreach(v, i, item) {
			buf_add_u8(line, ' ');
			text_escape_str(line, json_is_string(item) ? json_string_value(item) : "");
		}
	}
}

static bool print_plan(struct app *a, const struct way *w, bool dry_run)
{
	struct buf line = BUF_INIT;
	char when[TEXT_LEN];
	struct jsonout j;

	if (a->json) {
		j = jsonout_begin("plan");
		jsonout_str(&j, "component", w->component);
		jsonout_str(&j, "id", w->id);
		jsonout_time(&j, "made", (struct vtime){ .sec = w->made });
		jsonout_put(&j, "way", json_incref(w->json));
		return jsonout_end(&j);
	}
	buf_printf(&line, "%s: back to what it was at %s, before the recover from %s\n  way back: ", w->component,
		   text_time((struct vtime){ .sec = w->made }, when), *w->from ? w->from : "another place");
	add_way(&line, w->json);
	buf_add_u8(&line, '\0');
	progress_clear(a->progress);
	if (!line.bad && (!a->quiet || dry_run))
		puts((const char *)line.p);
	(void)fflush(stdout);
	buf_release(&line);
	return true;
}

/* What the recover overwrote is there again: nothing needs this way any more. */
static void took(struct recovery *r)
{
	struct err e = ERR_INIT;

	if (way_ended(r->s, r->way, "taken", &e) ||
	    (*r->way->snapshot && way_forget_snapshot(r->s, r->way->snapshot, &e)))
		app_say(r->a, "warning", "%s", e.msg);
}

static int take(struct recovery *r, bool yes)
{
	struct err e = ERR_INIT;
	char what[256];
	int status;

	(void)snprintf(what, sizeof(what), "%.200s will be overwritten", r->o->into ? r->o->into : r->c->name);
	if (confirm_countdown(r->a, yes, what, r->o->cancel, &e)) {
		app_say(r->a, NULL, "%s", e.msg);
		return STATUS_FAILED;
	}
	recovery_execute(r);
	/* With a safety dump it can be tried again, whatever was not found. */
	if (r->e.code == ERR_NOT_FOUND && r->outcome == RECOVER_FAILED && !r->snapshot) {
		app_say(r->a, NULL, "%s: %s; run it again to take the way back before it", r->c->name, r->e.msg);
		if (way_ended(r->s, r->way, "gone", &e))
			app_say(r->a, "warning", "%s", e.msg);
		return STATUS_FAILED;
	}
	status = recovery_report(r);
	if (r->outcome == RECOVER_OK)
		took(r);
	return status;
}

static int roll_back(struct app *a, struct store *s, struct component *c, const struct recover_options *o, bool yes,
		     const struct way *w, const struct snapshot_list *l)
{
	struct recover_options mine = *o;
	struct recovery r = { 0 };
	struct err e = ERR_INIT;
	enum err_code rc = ERR_OK;
	int status = STATUS_DONE;

	mine.into = *w->into ? w->into : NULL;
	if (strcmp(w->type, c->ops->type) != 0)
		rc = err_set(&e, ERR_USAGE, "its way back is of %s, and it is %s in the configuration", w->type, c->ops->type);
	if (!rc)
		rc = recovery_open_way(&r, a, s, c, l, &mine, w, &e);
	if (!rc)
		rc = recovery_read(&r, &e);
	if (rc) {
		status = recover_fail(a, c->name, &e);
		if (rc == ERR_NOT_FOUND && !r.snapshot && !o->dry_run && way_ended(s, w, "gone", &e))
			app_say(a, "warning", "%s", e.msg);
		goto out;
	}
	if (!print_plan(a, w, o->dry_run))
		status = STATUS_FAILED;
	else if (!o->dry_run)
		status = take(&r, yes);
out:
	recovery_close(&r);
	return status;
}

int rollback_run(struct app *a, struct store *s, struct component *c, const struct recover_options *o, bool yes)
{
	struct snapshot_list l = { 0 };
	struct lock *lock = NULL;
	struct ways w = { 0 };
	struct err e = ERR_INIT;
	enum err_code rc = ERR_OK;
	int status;

	if (!o->dry_run)
		rc = confirm_possible(yes, &e);
	if (!rc && !o->dry_run)
		rc = lock_take(store_id_text(s), c->name, "rollback", &lock, &e);
	if (!rc)
		rc = ways_read(s, c->name, &w, &e);
	if (!rc && w.nr == 0)
		rc = err_set(&e, ERR_NOT_FOUND, "no way back is left: a recover makes one, and it is kept for seven days");
	if (!rc)
		rc = snapshot_list_read(s, &l, &e);
	if (rc)
		status = recover_fail(a, c->name, &e);
	else
		status = roll_back(a, s, c, o, yes, &w.v[w.nr - 1], &l);
	snapshot_list_release(&l);
	ways_release(&w);
	lock_release(lock);
	return status;
}
