/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/commands.h"
#include "tools/components/component.h"
#include "tools/configured.h"
#include "tools/history.h"
#include "tools/hook.h"
#include "tools/jsonout.h"
#include "tools/signals.h"
#include "tools/text.h"
#include "tools/validate.h"

enum { OPT_CONFIG = APP_OPT_FIRST, OPT_RESTART };

/* zstd at its default leaves a fifth to a third of a dump that is text; less than a tenth would be a wonder. */
#define PACKED_AT_BEST 10u

struct check {
	struct app *a;
	bool restart;
	const struct config_section *now;	/* its findings come; NULL: the repository's */
	const char *type;			/* "" where not known */
	bool headed;				/* the line with its name was printed */
	bool waiting;				/* that it is waited for was said */
	uint64_t need;				/* bytes of all dumps, as far as types tell */
	uint64_t nr[FINDING_FAILED + 1];	/* findings of each kind */
	bool misconfigured, bad_output;
};

static const char *const kind_names[] = { "ok", "warning", "failed" };

static void tell(struct check *k, enum finding kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void tell(struct check *k, enum finding kind, const char *fmt, ...)
{
	static const char *const words[] = { "ok     ", "warning", "FAILED " };
	const char *name = k->now ? k->now->name : "repository", *text;
	char *line;
	va_list ap;

	k->nr[kind]++;
	if (k->a->quiet && kind == FINDING_OK)
		return;
	va_start(ap, fmt);
	line = text_vline(fmt, ap);
	va_end(ap);
	text = line ? line : "out of memory";
	progress_clear(k->a->progress);
	if (k->a->json) {
		struct jsonout j = jsonout_begin("finding");

		jsonout_str(&j, "component", k->now ? name : "");
		jsonout_str(&j, "component_type", k->type);
		jsonout_str(&j, "result", kind_names[kind]);
		jsonout_str(&j, "text", text);
		if (!jsonout_end(&j))
			k->bad_output = true;
	} else {
		if (!k->headed)
			printf("%s%s%s%s\n", name, *k->type ? " (" : "", k->type, *k->type ? ")" : "");
		k->headed = true;
		printf("  %s  %s\n", words[kind], text);
		if (fflush(stdout))
			k->bad_output = true;
	}
	free(line);
}

/* What a component says. */

static void on_found(void *ctx, enum finding kind, const char *text)
{
	tell(ctx, kind, "%s", text);
}

static void on_note(void *ctx, const char *text)
{
	struct check *k = ctx;

	if (!k->a->quiet)
		app_say(k->a, NULL, "%s: %s", k->now->name, text);
}

static void on_progress(void *ctx, const char *stage, uint64_t bytes, uint64_t total)
{
	struct check *k = ctx;

	(void)bytes;
	(void)total;
	if (k->waiting || k->a->quiet || strcmp(stage, "wait") != 0)
		return;
	k->waiting = true;
	app_say(k->a, NULL, "waiting for %s to answer", k->now->name);
}

static void on_need(void *ctx, uint64_t bytes)
{
	struct check *k = ctx;

	if (add_u64(k->need, bytes, &k->need))
		k->need = UINT64_MAX;
}

static enum err_code check_expectations(struct component *c, struct err *e)
{
	struct expectations x = { 0 };
	enum err_code rc = expectations_read(c, &x, e);

	expectations_release(&x);
	return rc;
}

/* One that is not reached is started again where that was asked for, once. */
static enum err_code check_reached(struct check *k, struct component *c, struct err *e)
{
	enum err_code rc = c->ops->check(c, e);

	if (rc != ERR_ABSENT || !k->restart)
		return rc;
	if (!config_get(c->section, "restart"))
		return rc;
	tell(k, FINDING_WARNING, "%s; it is started again", e->msg);
	rc = hook_run(c->section, "restart", NULL, c->cancel, e);
	k->waiting = false;
	return rc ? rc : c->ops->check(c, e);
}

static enum err_code check_one(struct check *k, struct config_section *s, struct err *e)
{
	struct component_events events = { .found = on_found, .note = on_note, .progress = on_progress, .need = on_need,
					   .ctx = k };
	struct component *c = NULL;
	struct err why = ERR_INIT;
	enum err_code rc;

	k->now = s;
	k->type = "";
	k->headed = k->waiting = false;
	rc = component_open(s, &events, signals_cancel(), &c, &why);
	if (!rc) {
		k->type = c->ops->type;
		rc = check_expectations(c, &why);
	}
	if (!rc) {
		rc = check_reached(k, c, &why);
	}
	if (rc == ERR_CANCELED) {
		*e = why;
	} else if (rc) {
		k->misconfigured |= rc == ERR_USAGE;
		tell(k, FINDING_FAILED, "%s", why.msg);
		rc = ERR_OK;
	}
	component_close(c);
	return rc;
}

/* The repository's side. */

/* Each of the components has a good dump there: then the next needs what changed. */
static enum err_code all_were_dumped(struct store *st, struct config_section **v, size_t nr, bool *out, struct err *e)
{
	struct history_runs runs = { 0 };
	enum err_code rc = history_runs_read(st, &runs, e);
	bool all = true;

	for (size_t i = 0; !rc && i < nr && all; i++) {
		all = false;
		for (size_t r = 0; r < runs.nr && !all; r++)
			all = strcmp(runs.all[r].component, v[i]->name) == 0 && strcmp(runs.all[r].status, "ok") == 0;
	}
	history_runs_release(&runs);
	*out = all;
	return rc;
}

static void tell_space(struct check *k, struct store *st, bool dumped)
{
	char free_text[TEXT_LEN], need[TEXT_LEN];
	struct store_stats s;

	store_stats(st, &s);
	(void)text_size(s.free_bytes, free_text);
	(void)text_size(k->need, need);
	if (store_is_read_only(st))
		tell(k, FINDING_FAILED, "%s can only be read: a dump could not be stored", store_path(st));
	else if (s.total_bytes == 0)
		tell(k, FINDING_WARNING, "%s: how much is free is not known", store_path(st));
	else if (k->need == 0)
		tell(k, FINDING_OK, "%s: %s free; how large the dumps will be is not known", store_path(st), free_text);
	else if (s.free_bytes >= k->need)
		tell(k, FINDING_OK, "%s: %s free, for dumps of about %s", store_path(st), free_text, need);
	else if (dumped || s.free_bytes >= k->need / PACKED_AT_BEST)
		tell(k, FINDING_WARNING, "%s: %s free, and the dumps are about %s before what is known and what can be "
		      "packed is taken off", store_path(st), free_text, need);
	else
		tell(k, FINDING_FAILED, "%s: %s free does not suffice for dumps of about %s", store_path(st), free_text,
		      need);
}

/* A drive that is not plugged in fails the check of what a run needs, and no more of it. */
static enum err_code check_repository(struct check *k, struct config_section **v, size_t nr, struct err *e)
{
	struct store_events ev = progress_events(k->a->progress);
	struct store *st = NULL;
	struct err why = ERR_INIT;
	enum err_code rc;
	bool dumped;

	k->now = NULL;
	k->type = "";
	k->headed = false;
	rc = store_open(k->a->repo, STORE_READ, &ev, &st, &why);
	if (!rc)
		rc = all_were_dumped(st, v, nr, &dumped, &why);
	if (rc == ERR_CANCELED) {
		*e = why;
	} else if (rc) {
		tell(k, FINDING_FAILED, "%s", why.msg);
		rc = ERR_OK;
	} else {
		tell_space(k, st, dumped);
	}
	store_close(st);
	return rc;
}

/* Sections of other commands: what they would refuse at night is told now. */
static enum err_code check_sections(struct config *c, struct err *e)
{
	struct config_section *of_run;
	struct references refs = { 0 };
	enum err_code rc = configured_run(c, &of_run, e);

	if (!rc)
		rc = references_read(c, &refs, e);
	references_release(&refs);
	return rc;
}

/* Summary and exit status. */
static int finish(struct check *k, size_t nr)
{
	struct jsonout j;

	if (k->a->json) {
		j = jsonout_begin("summary");
		jsonout_u64(&j, "components", nr);
		for (size_t i = 0; i < ARRAY_LEN(k->nr); i++)
			jsonout_u64(&j, kind_names[i], k->nr[i]);
		jsonout_u64(&j, "bytes", k->need);
		if (!jsonout_end(&j))
			k->bad_output = true;
	}
	if (k->misconfigured)
		return STATUS_USAGE;
	return k->nr[FINDING_FAILED] > 0 || k->bad_output ? STATUS_FAILED : STATUS_DONE;
}

static int check_all(struct check *k, struct config *c, char *const *names, size_t nr_names)
{
	struct config_section **v = NULL;
	struct err e = ERR_INIT;
	size_t nr = 0;
	enum err_code rc;
	int status;

	rc = check_sections(c, &e);
	if (!rc)
		rc = configured_components(c, names, nr_names, &v, &nr, &e);
	if (rc)
		return app_fail(k->a, &e);
	status = app_begin(k->a, true);
	if (!status) {
		signals_heeded();
		for (size_t i = 0; !rc && i < nr; i++)
			rc = check_one(k, v[i], &e);
		if (!rc && k->a->repo && *k->a->repo)
			rc = check_repository(k, v, nr, &e);
		status = rc ? app_fail(k->a, &e) : finish(k, nr);
	}
	free(v);
	return status;
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_JSON, APP_LONG_QUIET,
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "restart", no_argument, NULL, OPT_RESTART },
		APP_LONG_END
	};
	const char *file = NULL;
	struct check k = { .a = a, .type = "" };
	struct config *c = NULL;
	struct err e = ERR_INIT;
	int opt, status;

	while ((opt = app_getopt(a, argc, argv, ":hqr:", longs)) != -1) {
		if (opt == OPT_CONFIG)
			file = optarg;
		else if (opt == OPT_RESTART)
			k.restart = true;
		else
			return app_getopt_status(opt);
	}
	if (app_configure(a, file, &c, &e))
		return app_fail(a, &e);
	status = check_all(&k, c, argv + optind, (size_t)(argc - optind));
	config_close(c);
	return status;
}

const struct command cmd_check = {
	.name = "check",
	.summary = "test that the databases of vouch.conf can be dumped",
	.usage = "usage: vouch check [NAME...] [--config FILE] [--restart] [--json]\n"
		 "Reach each component of vouch.conf(5), or those NAMEd, and tell what a dump would meet: rights,\n"
		 "versions, tables that no snapshot can hold still, space.  Nothing is changed.\n\n"
		 "  --config FILE      instead of " CONFIG_DEFAULT "\n"
		 "  --restart          run 'restart = ...' of those that cannot be reached, and try again\n"
		 "  --json             findings and summary as NDJSON\n"
		 "  -q, --quiet        only what is wrong\n\n"
		 "exit status: 0 nothing failed, 1 a dump would fail, 2 usage or configuration\n",
	.run = run,
};
