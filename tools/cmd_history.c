/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/commands.h"
#include "tools/configured.h"
#include "tools/history.h"
#include "tools/jsonout.h"
#include "tools/text.h"

enum { OPT_CONFIG = APP_OPT_FIRST, OPT_TYPE, OPT_FAILED, OPT_SINCE, OPT_LAST, OPT_OF };

#define WEEK_SEC	(7 * 86400)

struct history {
	struct app *app;
	const char *type, *of;		/* NULL: all; none */
	bool failed;
	unsigned since;			/* seconds; 0: ever */
	long last;			/* 0: all */
	struct history_runs runs;
	bool *shown;			/* one a run */
	const char **names;		/* of the snapshots that are there, sorted; views of list */
	struct snapshot_list list;
};

static bool is_failed(const struct history_run *r)
{
	return strcmp(r->status, "ok") != 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_there(const struct history *h, const char *snapshot)
{
	return *snapshot && h->list.nr > 0 && bsearch(&snapshot, h->names, h->list.nr, sizeof(*h->names), by_text);
}

static enum err_code gather(struct history *h, struct store *s, struct err *e)
{
	enum err_code rc = history_runs_read(s, &h->runs, e);
	int64_t now = time(NULL);
	long left = h->last;

	if (!rc)
		rc = snapshot_list_read(s, &h->list, e);
	if (rc)
		return rc;
	h->shown = calloc(h->runs.nr + 1, sizeof(*h->shown));
	h->names = calloc(h->list.nr + 1, sizeof(*h->names));
	if (!h->shown || !h->names)
		return err_set(e, ERR_NOMEM, "%zu runs", h->runs.nr);
	for (size_t i = 0; i < h->list.nr; i++)
		h->names[i] = h->list.all[i].name;
	qsort(h->names, h->list.nr, sizeof(*h->names), by_text);
	for (size_t i = h->runs.nr; i-- > 0;) {
		const struct history_run *r = &h->runs.all[i];

		if ((h->type && strcmp(r->type, h->type) != 0) || (h->failed && !is_failed(r)) ||
		    (h->since && r->time.sec < now - (int64_t)h->since))
			continue;
		if (h->last && left-- <= 0)
			break;
		h->shown[i] = true;
	}
	return ERR_OK;
}

static void release(struct history *h)
{
	history_runs_release(&h->runs);
	snapshot_list_release(&h->list);
	free(h->names);
	free(h->shown);
}

/* The first type in the alphabet's order that is after last; NULL: no more. */
static const char *next_type(const struct history *h, const char *last, bool all)
{
	const char *best = NULL;

	for (size_t i = 0; i < h->runs.nr; i++) {
		const char *t = h->runs.all[i].type;

		if ((all || h->shown[i]) && (!last || strcmp(t, last) > 0) && (!best || strcmp(t, best) < 0))
			best = t;
	}
	return best;
}

static void print_run(const struct history *h, const struct history_run *r)
{
	char size[TEXT_LEN], when[TEXT_LEN];

	text_time(r->time, when);
	printf("  %s: %.10s %.8s ", r->id, when, when + 11);
	if (is_failed(r)) {
		text_print(*r->error ? "FAILED: " : "FAILED", r->error);
		putchar('\n');
		return;
	}
	printf("(%s)%s\n", text_size(r->bytes, size), is_there(h, r->snapshot) ? "" : ", its snapshot was let go");
}

/* How many failed in seven days, whatever is shown. */
static uint64_t failures(const struct history *h, const char *type)
{
	int64_t since = time(NULL) - WEEK_SEC;
	uint64_t nr = 0;

	for (size_t i = 0; i < h->runs.nr; i++)
		nr += strcmp(h->runs.all[i].type, type) == 0 && is_failed(&h->runs.all[i]) &&
		      h->runs.all[i].time.sec >= since;
	return nr;
}

static void print_text(const struct history *h)
{
	uint64_t nr;
	bool any = false;

	for (const char *t = NULL; (t = next_type(h, t, false));) {
		printf("%s\n", t);
		for (size_t i = 0; i < h->runs.nr; i++)
			if (h->shown[i] && strcmp(h->runs.all[i].type, t) == 0)
				print_run(h, &h->runs.all[i]);
	}
	if (!next_type(h, NULL, false) && !h->app->quiet)
		app_say(h->app, NULL, h->runs.nr ? "no backup is like that" : "nothing was run yet");
	if (h->runs.nr == 0 || h->app->quiet)
		return;
	printf("%sfailed in the last 7 days:", next_type(h, NULL, false) ? "\n" : "");
	for (const char *t = NULL; (t = next_type(h, t, true));) {
		nr = failures(h, t);
		if (nr > 0)
			printf("%s %s %llu", any ? "," : "", t, (unsigned long long)nr);
		any = any || nr > 0;
	}
	puts(any ? "" : " none");
}

static bool print_json(const struct history *h)
{
	char time_text[TEXT_LEN], hex[ID_HEX_LEN + 1];
	struct jsonout j, by;
	bool ok = true;

	for (size_t i = 0; i < h->runs.nr && ok; i++) {
		const struct history_run *r = &h->runs.all[i];

		if (!h->shown[i])
			continue;
		j = jsonout_begin("run");
		jsonout_str(&j, "backup_id", r->id);
		jsonout_str(&j, "backup_type", r->type);
		jsonout_str(&j, "component", r->component);
		jsonout_str(&j, "timestamp", text_time(r->time, time_text));
		jsonout_str(&j, "status", r->status);
		jsonout_str(&j, "checksum", r->has_checksum ? id_hex(&r->checksum, hex) : "");
		jsonout_u64(&j, "size_bytes", r->bytes);
		jsonout_real(&j, "seconds", r->seconds);
		jsonout_str(&j, "snapshot", r->snapshot);
		jsonout_bool(&j, "present", is_there(h, r->snapshot));
		if (*r->error)
			jsonout_str(&j, "error", r->error);
		ok = jsonout_end(&j);
	}
	if (!ok)
		return false;
	j = jsonout_begin("failures");
	by = jsonout_begin(NULL);
	jsonout_u64(&j, "days", 7);
	for (const char *t = NULL; (t = next_type(h, t, true));)
		jsonout_u64(&by, t, failures(h, t));
	j.bad = j.bad || by.bad;
	jsonout_put(&j, "by_type", by.object);
	return jsonout_end(&j);
}

static int list(struct history *h, struct store *s)
{
	struct err e = ERR_INIT;
	enum err_code rc = gather(h, s, &e);

	progress_clear(h->app->progress);
	if (!rc && h->app->json && !print_json(h))
		rc = err_set(&e, ERR_IO, "standard output could not be written");
	else if (!rc && !h->app->json)
		print_text(h);
	release(h);
	return rc ? app_fail(h->app, &e) : STATUS_DONE;
}

/* A configuration is only asked which repository: where that is known, none need be there. */
static int with_config(struct history *h, const char *file)
{
	struct app *a = h->app;
	bool known = a->repo && *a->repo;
	struct config *config = NULL;
	struct store *s = NULL;
	struct err e = ERR_INIT;
	int status;

	if ((file || (!known && access(CONFIG_DEFAULT, F_OK) == 0)) && app_configure(a, file, &config, &e))
		return app_fail(a, &e);
	status = app_open(a, STORE_READ, false, &s);
	if (!status)
		status = h->of ? history_of(a, s, h->of) : list(h, s);
	store_close(s);
	config_close(config);
	return status;
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_JSON, APP_LONG_QUIET,
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "type", required_argument, NULL, OPT_TYPE },
		{ "failed", no_argument, NULL, OPT_FAILED },
		{ "since", required_argument, NULL, OPT_SINCE },
		{ "last", required_argument, NULL, OPT_LAST },
		{ "of", required_argument, NULL, OPT_OF },
		APP_LONG_END
	};
	struct history h = { .app = a };
	const char *config_file = NULL;
	int c;

	while ((c = app_getopt(a, argc, argv, ":hqr:", longs)) != -1) {
		if (c == OPT_CONFIG)
			config_file = optarg;
		else if (c == OPT_TYPE)
			h.type = optarg;
		else if (c == OPT_FAILED)
			h.failed = true;
		else if (c == OPT_OF)
			h.of = optarg;
		else if (c == OPT_SINCE && !(text_parse_duration(optarg, &h.since) && h.since))
			return app_usage(a, "--since needs a time like 12h or 7d");
		else if (c == OPT_LAST && !text_parse_long(optarg, 1, 1000000, &h.last))
			return app_usage(a, "--last needs a number from 1 to 1000000");
		else if (c != OPT_SINCE && c != OPT_LAST)
			return app_getopt_status(c);
	}
	if (optind < argc)
		return app_usage(a, "takes no argument");
	if (h.of && (h.type || h.failed || h.since || h.last))
		return app_usage(a, "--of goes through all snapshots: no --type, --failed, --since or --last with it");
	return with_config(&h, config_file);
}

const struct command cmd_history = {
	.name = "history",
	.summary = "what vouch run did, and when rows went",
	.usage = "usage: vouch history [--type TYPE] [--failed] [--since 7d] [--last N] [--config FILE] [--json]\n"
		 "       vouch history --of NAME.ITEM [--config FILE] [--json]\n"
		 "List the backups of components by type, oldest first: id, date and time (UTC), size; then how many\n"
		 "failed in the last seven days.  An id can be given wherever a snapshot can.\n\n"
		 "  --type TYPE        only of that type: postgres, mysql, neo4j, qdrant\n"
		 "  --failed           only those that failed\n"
		 "  --since TIME       only the last 12h, 7d, ...\n"
		 "  --last N           only the newest N\n"
		 "  --of NAME.ITEM     a table, label or collection of component NAME through all snapshots: rows and\n"
		 "                     checksum in each; where rows went is marked\n"
		 "  --config FILE      the repository is the one that FILE names, not " CONFIG_DEFAULT "\n"
		 "  --json             one JSON object a line\n"
		 "  -q, --quiet        only the list\n",
	.run = run,
};
