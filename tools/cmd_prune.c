/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/prune.h"
#include "tools/commands.h"
#include "tools/jsonout.h"
#include "tools/signals.h"
#include "tools/text.h"

enum { OPT_MAX_UNUSED = APP_OPT_FIRST };

#define MAX_UNUSED_USUAL 20u

/* "20%", or "20". */
static bool parse_percent(const char *s, unsigned *out)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);

	if (s[0] < '0' || s[0] > '9' || n > 100 || (*end && (end[0] != '%' || end[1])))
		return false;
	*out = (unsigned)n;
	return true;
}

static bool print_json(struct app *a, const struct prune_options *o, const struct prune_result *r)
{
	struct jsonout j = jsonout_begin("summary");

	jsonout_bool(&j, "dry_run", o->dry_run);
	jsonout_u64(&j, "snapshots", r->snapshots);
	jsonout_u64(&j, "packs", r->packs);
	jsonout_u64(&j, "bytes", r->bytes);
	jsonout_u64(&j, "unneeded_packs", r->unneeded_packs);
	jsonout_u64(&j, "unneeded_bytes", r->unneeded_bytes);
	jsonout_u64(&j, "rewritten_packs", r->rewritten_packs);
	jsonout_u64(&j, "rewritten_bytes", r->rewritten_bytes);
	jsonout_u64(&j, "written_bytes", r->written_bytes);
	jsonout_u64(&j, "unused_bytes", r->unused_bytes);
	jsonout_u64(&j, "deleted_packs", r->deleted_packs);
	jsonout_u64(&j, "deleted_bytes", r->deleted_bytes);
	jsonout_u64(&j, "waiting_packs", r->waiting_packs);
	jsonout_u64(&j, "writers", r->writers);
	jsonout_u64(&j, "odd_packs", r->odd_packs);
	jsonout_real(&j, "seconds", progress_seconds(a->progress));
	return jsonout_end(&j);
}

static void line(const char *name, uint64_t packs, uint64_t bytes, const char *what)
{
	char n[TEXT_LEN], b[TEXT_LEN];

	if (packs > 0)
		printf("%-11s %s packs, %s%s\n", name, text_count(packs, n), text_size(bytes, b), what);
}

static void print_text(const struct prune_options *o, const struct prune_result *r)
{
	char n[TEXT_LEN], b[TEXT_LEN];

	line("there were", r->packs, r->bytes, "");
	line("unneeded", r->unneeded_packs, r->unneeded_bytes, "");
	line(o->dry_run ? "to rewrite" : "rewritten", r->rewritten_packs, r->rewritten_bytes, "");
	if (r->written_bytes > 0)
		printf("%-11s %s in their place\n", "written", text_size(r->written_bytes, b));
	line("deleted", r->deleted_packs, r->deleted_bytes, "");
	if (r->unused_bytes > 0)
		printf("%-11s about %s that nothing needs, in packs not worth rewriting\n", "unused",
		       text_size(r->unused_bytes, b));
	if (r->odd_packs > 0)
		printf("%-11s %s packs whose table cannot be read; see vouch verify\n", "left alone",
		       text_count(r->odd_packs, n));
	if (r->writers > 0)
		printf("%-11s %s packs, until %" PRIu64 " backups that are under way have ended: prune again then\n",
		       "condemned", text_count(r->waiting_packs, n), r->writers);
	else if (r->unneeded_packs + r->rewritten_packs + r->deleted_packs == 0)
		puts("nothing to delete");
}

static int prune(struct app *a, struct store *s, const struct prune_options *o)
{
	struct prune_result r = { 0 };
	struct err e = ERR_INIT;
	enum err_code rc = prune_run(s, o, &r, &e);
	int status = STATUS_DONE;

	progress_clear(a->progress);
	if (rc)
		return app_fail(a, &e);
	if (a->json)
		status = print_json(a, o, &r) ? STATUS_DONE : STATUS_FAILED;
	else if (!a->quiet)
		print_text(o, &r);
	return status;
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_JSON, APP_LONG_QUIET,
		{ "dry-run", no_argument, NULL, 'n' },
		{ "max-unused", required_argument, NULL, OPT_MAX_UNUSED },
		APP_LONG_END
	};
	struct prune_options o = { .unused_percent = MAX_UNUSED_USUAL, .cancel = signals_cancel() };
	struct store *s = NULL;
	int status, c;

	while ((c = app_getopt(a, argc, argv, ":hnqr:", longs)) != -1) {
		if (c == 'n')
			o.dry_run = true;
		else if (c != OPT_MAX_UNUSED)
			return app_getopt_status(c);
		else if (!parse_percent(optarg, &o.unused_percent))
			return app_usage(a, "--max-unused: '%s' is not 0%% to 100%%", optarg);
	}
	if (optind < argc)
		return app_usage(a, "takes no argument");
	status = app_open(a, o.dry_run ? STORE_READ : STORE_WRITE, true, &s);
	if (status)
		return status;
	status = prune(a, s, &o);
	store_close(s);
	return status;
}

const struct command cmd_prune = {
	.name = "prune",
	.summary = "free what no snapshot needs",
	.usage = "usage: vouch prune [--dry-run] [--max-unused PERCENT] [--json] [--quiet]\n"
		 "Delete the packs that no snapshot needs any more; where much of a pack is not needed, what is\n"
		 "needed is read, checked, and put into new packs first.  While backups are under way nothing\n"
		 "that they may count on is deleted.\n\n"
		 "  -n, --dry-run      only say what would go\n"
		 "  --max-unused PERCENT\n"
		 "                     rewrite packs of which more than that is not needed (default: 20%)\n"
		 "  --json             one JSON object a line\n",
	.run = run,
};
