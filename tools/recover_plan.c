/* SPDX-License-Identifier: MIT */
/* What a recover is going to do, for people and programs; and what a component tells while it does. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/jsonout.h"
#include "tools/recover.h"
#include "tools/text.h"

/* Events of a component */

static void tell(struct app *a, const struct event *ev)
{
	struct store_events to = progress_events(a->progress);

	if (to.fn)
		to.fn(to.ctx, ev);
}

static void tell_found(void *ctx, enum finding kind, const char *text)
{
	tell(ctx, &(struct event){ .kind = kind == FINDING_OK ? EVENT_NOTE : EVENT_WARNING, .text = text });
}

static void tell_note(void *ctx, const char *text)
{
	tell(ctx, &(struct event){ .kind = EVENT_NOTE, .text = text });
}

static void tell_progress(void *ctx, const char *stage, uint64_t bytes, uint64_t total)
{
	tell(ctx, &(struct event){ .kind = EVENT_PROGRESS, .text = stage, .bytes = bytes, .bytes_total = total });
}

void recover_events(struct app *a, struct component *c)
{
	c->events = (struct component_events){ .found = tell_found, .note = tell_note, .progress = tell_progress, .ctx = a };
}

static void stage_note(void *ctx, const char *text)
{
	const struct recover_stage *s = ctx;

	if (s->kept.note)
		s->kept.note(s->kept.ctx, text);
}

static void stage_found(void *ctx, enum finding kind, const char *text)
{
	const struct recover_stage *s = ctx;

	if (s->kept.found)
		s->kept.found(s->kept.ctx, kind, text);
}

static void stage_progress(void *ctx, const char *stage, uint64_t bytes, uint64_t total)
{
	const struct recover_stage *s = ctx;

	(void)stage;
	if (s->kept.progress)
		s->kept.progress(s->kept.ctx, s->name, bytes, total);
}

void recover_stage_begin(struct recover_stage *s, struct component *c, const char *name)
{
	*s = (struct recover_stage){ .c = c, .kept = c->events, .name = name };
	c->events = (struct component_events){ .note = stage_note, .found = stage_found, .progress = stage_progress, .ctx = s };
}

void recover_stage_end(struct recover_stage *s)
{
	s->c->events = s->kept;
}

/* The plan */

double recovery_age(const struct recovery *r)
{
	const char *instant = facts_get(&r->recorded, "instant");
	time_t now = time(NULL), then = r->snapshot ? (time_t)r->snapshot->time.sec : now;
	struct tm tm = { 0 };

	if (instant && strptime(instant, "%Y-%m-%dT%H:%M:%S", &tm))
		then = timegm(&tm);
	return now > then ? (double)(now - then) : 0;
}

struct plan {
	json_t *steps;
	bool bad;
};

static void take_step(void *ctx, const char *text)
{
	struct plan *p = ctx;

	if (json_array_append_new(p->steps, json_string(text)))
		p->bad = true;
}

static uint64_t dump_bytes(const struct recovery *r, size_t *nr)
{
	const json_t *files = json_object_get(r->recorded.root, "files"), *f;
	uint64_t sum = 0;
	size_t i;

	*nr = json_array_size(files);
	json_array_foreach(files, i, f) {
		const char *bytes = json_string_value(json_object_get(f, "bytes"));

		sum += bytes ? strtoull(bytes, NULL, 10) : 0;
	}
	return sum;
}

static enum err_code plan_json(const struct recovery *r, json_t *steps, struct err *e)
{
	struct jsonout j = jsonout_begin("plan");
	size_t nr;
	uint64_t bytes = dump_bytes(r, &nr);

	jsonout_str(&j, "component", r->c->name);
	jsonout_str(&j, "component_type", r->c->ops->type);
	jsonout_str(&j, "snapshot", r->snapshot->name);
	jsonout_str(&j, "host", r->snapshot->host);
	if (r->o->into)
		jsonout_str(&j, "into", r->o->into);
	if (r->items.nr)
		jsonout_strings(&j, "items", r->items.v, r->items.nr);
	jsonout_real(&j, "age_seconds", recovery_age(r));
	jsonout_u64(&j, "files", nr);
	jsonout_u64(&j, "bytes", bytes);
	jsonout_put(&j, "steps", json_incref(steps));
	return jsonout_end(&j) ? ERR_OK : err_set(e, ERR_IO, "the plan could not be printed");
}

static void plan_text(const struct recovery *r, const json_t *steps)
{
	char age[TEXT_LEN], size[TEXT_LEN], host[HOST_NAME_MAX + 1];
	const json_t *step;
	size_t nr, i;
	uint64_t bytes = dump_bytes(r, &nr);

	text_print("", r->c->name);
	printf(": %s, from snapshot %.*s (%s old)", r->c->ops->type, SNAPSHOT_DATE_LEN, r->snapshot->name,
	       text_duration(recovery_age(r), age));
	/* Its component of that name may be another database. */
	if (gethostname(host, sizeof(host)) < 0 || strcmp(host, r->snapshot->host) != 0)
		text_print(" of host ", r->snapshot->host);
	if (r->o->into)
		text_print(" into ", r->o->into);
	for (i = 0; i < r->items.nr; i++) {
		printf("%s%s ", i ? "," : ", only ", i ? "" : r->c->ops->item_kind);
		text_print("", r->items.v[i]);
	}
	printf("\n  %zu %s of %s were read back and are right\n", nr, nr == 1 ? "file" : "files", text_size(bytes, size));
	json_array_foreach(steps, i, step) {
		printf("  %2zu. ", i + 1);
		text_print("", json_string_value(step));
		putchar('\n');
	}
	(void)fflush(stdout);
}

enum err_code recovery_plan(struct recovery *r, struct err *e)
{
	struct component_events kept = r->c->events;
	struct plan p = { .steps = json_array() };
	enum err_code rc = p.steps ? ERR_OK : err_set(e, ERR_NOMEM, "plan of %s", r->c->name);

	r->c->events.note = take_step;
	r->c->events.found = NULL;
	r->c->events.ctx = &p;
	r->c->events.progress = NULL;
	if (!rc && r->c->ops->plan)
		rc = r->c->ops->plan(r->c, &r->job, e);
	r->c->events = kept;
	if (!rc && p.bad)
		rc = err_set(e, ERR_NOMEM, "plan of %s", r->c->name);
	progress_clear(r->a->progress);
	if (!rc && r->a->json)
		rc = plan_json(r, p.steps, e);
	else if (!rc && (!r->a->quiet || r->o->dry_run))
		plan_text(r, p.steps);
	json_decref(p.steps);
	return rc;
}
