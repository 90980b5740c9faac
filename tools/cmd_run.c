/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/commands.h"
#include "tools/configured.h"
#include "tools/run.h"
#include "tools/signals.h"

enum { OPT_CONFIG = APP_OPT_FIRST, OPT_KEEP_PARTIAL, OPT_TAG };

/* What a component says goes where the store's news goes. */

static void tell(const struct run_part *p, const struct event *ev)
{
	struct store_events to = progress_events(p->a->progress);

	to.fn(to.ctx, ev);
}

static void on_note(void *ctx, const char *text)
{
	const struct run_part *p = ctx;
	const struct event ev = { .kind = EVENT_NOTE, .path = p->name, .text = text };

	tell(p, &ev);
}

static void on_found(void *ctx, enum finding kind, const char *text)
{
	const struct run_part *p = ctx;
	const struct event ev = { .kind = kind == FINDING_OK ? EVENT_NOTE : EVENT_WARNING, .path = p->name, .text = text };

	tell(p, &ev);
}

static void on_progress(void *ctx, const char *stage, uint64_t bytes, uint64_t total)
{
	const struct run_part *p = ctx;
	const struct event ev = { .kind = EVENT_PROGRESS, .path = p->name, .text = stage, .bytes = bytes,
				  .bytes_total = total };

	tell(p, &ev);
}

/* Whether [component]s other than this one are of its type. */
static bool has_twin(struct config *c, const struct config_section *s, const char *type)
{
	for (size_t i = 0; i < c->nr; i++) {
		struct config_section *o = &c->sections[i];
		const char *other = o != s && strcmp(o->kind, "component") == 0 ? config_get(o, "type") : NULL;

		if (other && strcmp(other, type) == 0)
			return true;
	}
	return false;
}

static const char *known_type(struct config_section *s)
{
	const char *type = config_get(s, "type");

	for (size_t i = 0; type && component_types[i]; i++)
		if (strcmp(component_types[i]->type, type) == 0)
			return component_types[i]->type;
	return "";
}

/* One that cannot be opened (a file with a password is not there) has its error, and the others are dumped. */
static enum err_code open_part(struct run *r, struct config *c, struct config_section *s, struct run_part *p,
			       struct err *e)
{
	const struct component_events events = { .found = on_found, .note = on_note, .progress = on_progress, .ctx = p };

	p->a = r->a;
	p->section = s;
	p->name = s->name;
	p->type = known_type(s);
	p->named_id = has_twin(c, s, p->type);
	if (asprintf(&p->folder, "%s/%s", p->type, p->name) < 0) {
		p->folder = NULL;
		return err_set(e, ERR_NOMEM, "%s", p->name);
	}
	/* With its error told by its code. */
	if (component_open(s, &events, r->cancel, &p->c, &p->e))
		p->c = NULL;
	return ERR_OK;
}

static enum err_code open_parts(struct run *r, struct config *c, char *const *names, size_t nr, struct err *e)
{
	struct config_section **sections = NULL;
	enum err_code rc = configured_components(c, names, nr, &sections, &nr, e);

	if (!rc)
		rc = configured_run(c, &r->section, e);
	if (!rc) {
		r->parts = calloc(nr, sizeof(*r->parts));
		rc = r->parts ? ERR_OK : err_set(e, ERR_NOMEM, "%zu components", nr);
	}
	for (size_t i = 0; i < nr && !rc; i++) {
		r->nr = i + 1;
		rc = open_part(r, c, sections[i], &r->parts[i], e);
	}
	free(sections);
	return rc;
}

static int dry_run(struct run *r)
{
	struct err e = ERR_INIT;
	const char *hook;
	int status = STATUS_DONE;

	if (history_runs_read(r->s, &r->before, &e))
		return app_fail(r->a, &e);
	progress_clear(r->a->progress);
	for (size_t i = 0; r->section && !r->a->json && (hook = config_nth(r->section, "before", i)); i++)
		printf("would run %s\n", hook);
	for (size_t i = 0; i < r->nr; i++) {
		run_part_before(r, &r->parts[i]);
		if (r->parts[i].e.code)
			status = STATUS_USAGE;
	}
	if (!run_tell_plan(r))
		return STATUS_FAILED;
	for (size_t i = 0; r->section && !r->a->json && (hook = config_nth(r->section, "after", i)); i++)
		printf("would run %s\n", hook);
	return status;
}

static int with_config(struct run *r, const char *config_file, int nr, char **names)
{
	struct config *c = NULL;
	struct err e = ERR_INIT;
	enum err_code rc;
	int status;

	rc = app_configure(r->a, config_file, &c, &e);
	if (!rc)
		rc = open_parts(r, c, names, (size_t)nr, &e);
	if (rc)
		status = app_fail(r->a, &e);
	else
		status = app_open(r->a, r->dry_run ? STORE_READ : STORE_WRITE, true, &r->s);
	if (!status)
		status = r->dry_run ? dry_run(r) : run_all(r);
	for (size_t i = 0; i < r->nr; i++)
		component_close(r->parts[i].c);
	run_release(r);
	store_close(r->s);
	config_close(c);
	return status;
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_WORK,
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "keep-partial", no_argument, NULL, OPT_KEEP_PARTIAL },
		{ "tag", required_argument, NULL, OPT_TAG },
		APP_LONG_END
	};
	struct run r = { .a = a, .cancel = signals_cancel() };
	const char *config_file = NULL;
	int c, status = STATUS_DONE;

	while (!status && (c = app_getopt(a, argc, argv, ":hj:nqr:", longs)) != -1) {
		if (c == OPT_CONFIG)
			config_file = optarg;
		else if (c == 'n')
			r.dry_run = true;
		else if (c == OPT_KEEP_PARTIAL)
			r.keep_partial = true;
		else if (c == OPT_TAG && strncmp(optarg, TAG_RESERVED, strlen(TAG_RESERVED)) != 0)
			strings_add(&r.tags, optarg, SIZE_MAX);
		else if (c == OPT_TAG)
			status = app_usage(a, "--tag %s: tags that begin with " TAG_RESERVED " are vouch's own", optarg);
		else {
			strings_release(&r.tags);
			return app_getopt_status(c);
		}
	}
	if (!status && r.tags.bad) {
		app_say(a, NULL, "no memory for the tags");
		status = STATUS_FAILED;
	}
	if (status) {
		strings_release(&r.tags);
		return status;
	}
	return with_config(&r, config_file, argc - optind, argv + optind);
}

const struct command cmd_run = {
	.name = "run",
	.summary = "dump the databases of vouch.conf into a snapshot",
	.usage = "usage: vouch run [NAME...] [--config FILE] [--tag TAG] [--keep-partial] [--dry-run]\n"
		 "Dump the components of vouch.conf(5), or those NAMEd, one after the other into one snapshot.  One\n"
		 "that fails is told, recorded in vouch history, and not in the snapshot; the others are.\n\n"
		 "  --config FILE      instead of " CONFIG_DEFAULT "\n"
		 "  --tag TAG          mark the snapshot (repeatable)\n"
		 "  --keep-partial     what there is of a dump that failed, in a snapshot of its own\n"
		 "  -n, --dry-run      only say what would be done\n"
		 APP_WORK_USAGE,
	.run = run,
};
