/* SPDX-License-Identifier: MIT */
#include "tools/validate.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/jsonout.h"

#define NAME_PART 24		/* of a component's name in that of its temporary database */

/* Adding to the report */

static void put(struct validation *v, json_t *o, const char *key, const char *text)
{
	if (json_object_set_new(o, key, jsonout_text(text)))
		v->bad = true;
}

static void add_check(struct validation *v, const char *check, enum verdict verdict, const char *text)
{
	static const char *const names[] = { "ok", "warning", "failed" };
	json_t *o = json_object();

	v->failed += verdict == VERDICT_FAILED;
	v->warnings += verdict == VERDICT_WARNING;
	put(v, o, "check", check);
	put(v, o, "verdict", names[verdict]);
	put(v, o, "text", text);
	if (json_array_append_new(v->checks, o))
		v->bad = true;
}

static void take_found(void *ctx, enum finding kind, const char *text)
{
	struct validation *v = ctx;

	add_check(v, v->doing, kind == FINDING_OK ? VERDICT_OK : kind == FINDING_WARNING ? VERDICT_WARNING : VERDICT_FAILED,
		  text);
}

static void take_note(void *ctx, const char *text)
{
	struct validation *v = ctx;

	if (v->before.note && !v->a->quiet)
		v->before.note(v->before.ctx, text);
}

static void take_progress(void *ctx, const char *stage, uint64_t bytes, uint64_t total)
{
	struct validation *v = ctx;

	if (v->before.progress)
		v->before.progress(v->before.ctx, stage, bytes, total);
}

static void take_item(void *ctx, const struct facts_row *row)
{
	struct validation *v = ctx;
	bool plain = strcmp(row->verdict, "equal") == 0;
	json_t *o;

	v->equal += plain;
	v->kept += row->agrees && !plain;
	v->differ += !row->agrees;
	if (plain)		/* 10,000 tables: what is as it should be is counted */
		return;
	o = json_object();
	put(v, o, "kind", row->kind);
	put(v, o, "name", row->name);
	put(v, o, "recorded", row->recorded);
	put(v, o, "found", row->found);
	put(v, o, "verdict", row->verdict);
	if (json_object_set_new(o, "agrees", json_boolean(row->agrees)) || json_array_append_new(v->items, o))
		v->bad = true;
}

/* Where it is restored to */

/*
 * Always the same for one component of one repository: what a validate that was killed left behind is found, and dropped, by
 * the next, and the lock keeps two from using it at once.
 */
static void name_temporary(struct validation *v, const char *repository)
{
	uint32_t hash = 2166136261u;	/* FNV-1a */
	char part[NAME_PART + 1];
	size_t n = 0;

	for (const char *p = repository; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	for (const char *p = v->c->name; *p; p++) {
		hash = (hash ^ (uint8_t)*p) * 16777619u;
		if (n < NAME_PART)
			part[n++] = isalnum((unsigned char)*p) ? (char)tolower((unsigned char)*p) : '_';
	}
	part[n] = '\0';
	(void)snprintf(v->into, sizeof(v->into), "vouch_validate_%s_%08x", part, hash);
}

static const char *place(const struct validation *v)
{
	return v->o->live ? NULL : v->into;
}

/* Not to be interrupted: what was asked to stop must not leave half a database behind. */
static enum err_code discard(struct validation *v, struct err *e)
{
	const atomic_bool *cancel = v->c->cancel;
	enum err_code rc;

	v->c->cancel = NULL;
	rc = v->c->ops->discard(v->c, &v->r.job, NULL, e);
	v->c->cancel = cancel;
	return rc;
}

/* Looking at it */

static enum err_code compare(struct validation *v, struct err *e)
{
	struct recover_stage stage;
	enum err_code rc;

	facts_begin(&v->r.found, v->c->ops->type, v->c->name);
	recover_stage_begin(&stage, v->c, "compare");
	rc = v->c->ops->inspect(v->c, place(v), &v->r.found, e);
	recover_stage_end(&stage);
	if (!rc)
		rc = facts_check(&v->r.found, e);
	if (rc) {
		err_prefix(e, "it cannot be looked at");
		return rc;
	}
	(void)facts_compare(&v->r.recorded, &v->r.found, NULL, NULL, v->c->ops->keeps_extra, take_item, v);
	v->compared = true;
	return ERR_OK;
}

static bool is_canceled(const struct validation *v)
{
	return v->o->recover.cancel && atomic_load(v->o->recover.cancel);
}

static enum err_code ask_expectations(struct validation *v, struct err *e)
{
	for (size_t i = 0; i < v->expectations.nr; i++) {
		const struct expectation *x = &v->expectations.v[i];
		struct buf why = BUF_INIT;
		struct err trouble = ERR_INIT;
		char *answer = NULL;
		enum err_code rc = v->c->ops->query(v->c, place(v), x->query, &answer, &trouble);
		bool met = false;

		buf_printf(&why, "%s: ", x->text);
		if (rc)
			buf_add_str(&why, trouble.msg);
		else
			met = expectation_met(x, answer, &why);
		buf_add_u8(&why, '\0');
		add_check(v, x->key, met ? VERDICT_OK : VERDICT_FAILED, why.bad ? "out of memory" : (const char *)why.p);
		v->bad = v->bad || why.bad;
		buf_release(&why);
		free(answer);
		if (rc == ERR_CANCELED || is_canceled(v))
			return err_set(e, ERR_CANCELED, "interrupted");
	}
	return ERR_OK;
}

/* Both ends of a reference are asked while they are there, one after the other. */
static enum err_code ask_reference(struct validation *v, struct reference *ref, bool to, struct err *e)
{
	char **answer = to ? &ref->to_answer : &ref->from_answer;
	struct err trouble = ERR_INIT;
	enum err_code rc = v->c->ops->query(v->c, place(v), to ? ref->to_query : ref->from_query, answer, &trouble);

	ref->snapshots[to] = v->o->live ? NULL : v->r.snapshot->name;
	if (rc == ERR_CANCELED || is_canceled(v))
		return err_set(e, ERR_CANCELED, "interrupted");
	if (rc && !ref->failed &&
	    asprintf(&ref->failed, "%s of %s: %s", to ? "to-query" : "from-query", v->c->name, trouble.msg) < 0)
		return err_set(e, ERR_NOMEM, "reference %s", ref->name);
	return ERR_OK;
}

static enum err_code ask_references(struct validation *v, struct references *refs, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < refs->nr; i++) {
		if (strcmp(refs->v[i].from, v->c->name) == 0)
			rc = ask_reference(v, &refs->v[i], false, e);
		if (!rc && strcmp(refs->v[i].to, v->c->name) == 0)
			rc = ask_reference(v, &refs->v[i], true, e);
	}
	return rc;
}

static enum err_code look(struct validation *v, struct references *refs, struct err *e)
{
	enum err_code rc = ERR_OK;

	v->doing = "structure";
	if (v->c->ops->examine)
		rc = v->c->ops->examine(v->c, place(v), &v->r.recorded, e);
	if (!rc)
		rc = ask_expectations(v, e);
	if (!rc)
		rc = ask_references(v, refs, e);
	return rc;
}

static enum err_code prove(struct validation *v, struct references *refs, struct err *e)
{
	struct err left = ERR_INIT;
	struct buf text = BUF_INIT;
	double start;
	enum err_code rc;

	v->outcome = RECOVER_FAILED;
	v->doing = "restore";
	/* What a killed one left.  Where that fails, restore() says why. */
	if (!v->o->live)
		(void)discard(v, &left);
	start = progress_seconds(v->a->progress);
	rc = v->o->live ? ERR_OK : v->c->ops->restore(v->c, &v->r.job, e);
	if (!rc)
		rc = compare(v, e);
	v->seconds = progress_seconds(v->a->progress) - start;
	if (!rc)
		rc = look(v, refs, e);
	err_clear(&left);
	if (!v->o->live && discard(v, &left)) {
		buf_printf(&text, "what was restored for this is left behind as %s: %s", v->into, left.msg);
		buf_add_u8(&text, '\0');
		add_check(v, "discard", VERDICT_FAILED, text.bad ? "out of memory" : (const char *)text.p);
		buf_release(&text);
	}
	return rc;
}

static int plan(struct validation *v)
{
	struct err e = ERR_INIT;

	if (recovery_plan(&v->r, &e))
		return recover_fail(v->a, v->c->name, &e);
	for (size_t i = 0; i < v->expectations.nr && !v->a->json; i++)
		printf("  then %s: %s\n", v->expectations.v[i].key, v->expectations.v[i].text);
	return STATUS_DONE;
}

static void set_up(struct validation *v, struct app *a, struct component *c, const struct validate_options *o)
{
	*v = (struct validation){ .a = a, .c = c, .o = o, .items = json_array(), .checks = json_array(),
				  .before = c->events, .doing = "structure" };
	v->bad = !v->items || !v->checks;
	c->events = (struct component_events){ .found = take_found, .note = take_note, .progress = take_progress, .ctx = v };
}

int validation_run(struct validation *v, struct app *a, struct store *s, struct component *c, const struct snapshot_list *l,
		   const struct validate_options *o, struct references *refs)
{
	enum err_code rc;

	set_up(v, a, c, o);
	rc = expectations_read(c, &v->expectations, &v->e);
	if (!rc)
		rc = recovery_open(&v->r, a, s, c, l, &o->recover, &v->e);
	if (!rc && !o->live) {
		name_temporary(v, store_id_text(s));
		v->r.job.into = v->into;
		v->r.job.temporary = true;
		rc = recovery_read(&v->r, &v->e);
	}
	if (rc)
		return recover_fail(a, c->name, &v->e);
	if (o->recover.dry_run)
		return plan(v);
	rc = prove(v, refs, &v->e);
	progress_clear(a->progress);
	if (rc == ERR_CANCELED)
		v->outcome = RECOVER_CANCELED;
	else if (!rc)
		v->outcome = v->differ || v->failed ? RECOVER_DIFFERS : RECOVER_OK;
	if (rc == ERR_CORRUPT || rc == ERR_INCOMPLETE)
		return STATUS_DAMAGE;
	return v->outcome == RECOVER_OK && !v->bad ? STATUS_DONE : STATUS_FAILED;
}

void validation_release(struct validation *v)
{
	if (v->c)
		v->c->events = v->before;
	recovery_close(&v->r);
	expectations_release(&v->expectations);
	json_decref(v->items);
	json_decref(v->checks);
	*v = (struct validation){ 0 };
}
