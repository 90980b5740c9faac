/* SPDX-License-Identifier: MIT */
/* The part of a recover that changes something. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/history.h"
#include "tools/hook.h"
#include "tools/jsonout.h"
#include "tools/recover.h"

const char *recover_outcome_name(enum recover_outcome o)
{
	static const char *const names[] = { "not begun", "ok", "differs", "failed", "canceled" };

	return names[o];
}

static const char *snapshot_name(const struct recovery *r)
{
	return r->snapshot ? r->snapshot->name : "";
}

/* Hooks */

/* guard not NULL: they are not run but where vouch is killed. */
static enum err_code run_hooks(struct recovery *r, const char *key, const char *outcome, const atomic_bool *cancel,
			       struct hook_guard **guard, struct err *e)
{
	char *env[5] = { NULL };
	bool bad = asprintf(&env[0], "VOUCH_COMPONENT=%s", r->c->name) < 0;
	enum err_code rc;

	bad = bad || asprintf(&env[1], "VOUCH_SNAPSHOT=%s", snapshot_name(r)) < 0;
	bad = bad || asprintf(&env[2], "VOUCH_INTO=%s", r->o->into ? r->o->into : "") < 0;
	bad = bad || asprintf(&env[3], "VOUCH_OUTCOME=%s", outcome) < 0;
	if (bad)
		rc = err_set(e, ERR_NOMEM, "%s", key);
	else
		rc = guard ? hook_guard_open(r->c->section, key, env, guard, e) : hook_run(r->c->section, key, env, cancel, e);
	for (size_t i = 0; i < 4; i++)
		free(env[i]);
	return rc;
}

/* What restore() calls */

static enum err_code remember(void *ctx, struct component *c, const json_t *way, struct err *e)
{
	struct recovery *r = ctx;
	enum err_code rc;

	if (r->o->no_notes) {
		char *text = json_dumps(way, JSON_COMPACT);

		app_say(r->a, "warning", "%s: the repository is read-only, so vouch rollback will not know of this way back: %s",
			c->name, text ? text : "");
		free(text);
		return ERR_OK;
	}
	rc = way_made(r->s, c, r->way_id, &r->job, way, e);
	if (!rc)
		r->way_made = true;
	return rc;
}

/* Restore, look, compare */

static enum err_code restore(struct recovery *r, struct err *e)
{
	enum err_code rc;

	way_id(r->way_id, r->c->name);
	r->job.safety_dump = recovery_safety_dump;
	r->job.remember = remember;
	r->job.ctx = r;
	rc = r->way ? r->c->ops->rollback(r->c, &r->job, r->way->json, e) : r->c->ops->restore(r->c, &r->job, e);
	if (r->job.way_back && !r->way_made && !r->o->no_notes) {
		struct err second = ERR_INIT;

		if (remember(r, r->c, r->job.way_back, &second))
			app_say(r->a, "warning", "%s", second.msg);
	}
	return rc;
}

static enum err_code inspect(struct recovery *r, const char *name, struct facts *out, struct err *e)
{
	struct recover_stage stage;
	enum err_code rc;

	facts_begin(out, r->c->ops->type, r->c->name);
	recover_stage_begin(&stage, r->c, name);
	rc = r->c->ops->inspect(r->c, r->o->into, out, e);
	recover_stage_end(&stage);
	return rc;
}

/* The others must be as they are now, so they are counted; what is not there yet has none. */
static enum err_code look_before(struct recovery *r, struct err *e)
{
	enum err_code rc;

	if (r->items.nr == 0 || !r->recorded.root)
		return ERR_OK;
	rc = inspect(r, "count", &r->before, e);
	if (rc == ERR_NOT_FOUND) {
		err_clear(e);
		return ERR_OK;
	}
	r->has_before = rc == ERR_OK;
	if (rc)
		err_prefix(e, "%s cannot be looked at, and nothing was touched", r->c->name);
	return rc;
}

static enum err_code restore_and_compare(struct recovery *r, struct err *e)
{
	enum err_code rc = look_before(r, e);

	if (rc)
		return rc;
	r->outcome = RECOVER_FAILED;
	rc = restore(r, e);
	if (rc)
		return rc;
	/* Renamed back, it is what it was: nothing was recorded of it. */
	if (!r->recorded.root) {
		r->outcome = RECOVER_OK;
		return ERR_OK;
	}
	rc = inspect(r, "compare", &r->found, e);
	if (!rc)
		rc = facts_check(&r->found, e);
	if (rc) {
		err_prefix(e, "%s was restored, but not compared with what was recorded", r->c->name);
		return rc;
	}
	recovery_compare(r);
	r->outcome = r->counts.differ || r->others_changed ? RECOVER_DIFFERS : RECOVER_OK;
	return ERR_OK;
}

/* The history */

static void note(struct recovery *r)
{
	json_t *line = json_pack("{s:s,s:s,s:s,s:s,s:o,s:f,s:I,s:I}", "component", r->c->name, "type", r->c->ops->type,
				 "snapshot", snapshot_name(r), "outcome", recover_outcome_name(r->outcome), "into",
				 jsonout_text(r->o->into ? r->o->into : ""), "seconds", r->seconds, "equal",
				 (json_int_t)r->counts.equal, "differ", (json_int_t)(r->counts.differ + r->others_changed));
	json_t *items = json_array();
	struct err e = ERR_INIT;
	char *text = NULL;

	for (size_t i = 0; i < r->items.nr; i++)
		(void)json_array_append_new(items, jsonout_text(r->items.v[i]));
	(void)json_object_set_new(line, "items", items);
	(void)json_object_set_new(line, "error", jsonout_text(r->e.code ? r->e.msg : ""));
	(void)json_object_set_new(line, "way_back", json_string(r->way_made ? r->way_id : ""));
	text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	if (text)
		text[strlen(text) - 1] = '\0';
	if (!text || history_note(r->s, r->way ? "rollback" : "recover", text + 1, &e))
		app_say(r->a, "warning", "this is not in the history: %s", text ? e.msg : "out of memory");
	free(text);
	json_decref(line);
}

void recovery_execute(struct recovery *r)
{
	double start = progress_seconds(r->a->progress);
	struct hook_guard *guard = NULL;
	struct err e = ERR_INIT;
	enum err_code rc = run_hooks(r, "after-recover", "killed", NULL, &guard, &r->e);

	if (!rc)
		rc = run_hooks(r, "before-recover", "", r->o->cancel, NULL, &r->e);
	if (rc)
		err_prefix(&r->e, "nothing was touched");
	if (!rc)
		rc = restore_and_compare(r, &r->e);
	r->seconds = progress_seconds(r->a->progress) - start;
	if (rc == ERR_CANCELED && r->outcome != RECOVER_NOT_BEGUN)
		r->outcome = RECOVER_CANCELED;
	/* In any case, and not to be interrupted: it starts again what the other stopped. */
	if (run_hooks(r, "after-recover", recover_outcome_name(r->outcome), NULL, NULL, &e)) {
		progress_clear(r->a->progress);
		app_say(r->a, NULL, "%s", e.msg);
		r->hook_failed = true;
	}
	hook_guard_close(guard);
	if (!r->o->no_notes)
		note(r);
}
