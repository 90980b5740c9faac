/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "store/base/checked.h"
#include "store/verify.h"
#include "tools/commands.h"
#include "tools/jsonout.h"
#include "tools/signals.h"
#include "tools/text.h"

enum { OPT_FILES = APP_OPT_FIRST };

struct count {
	const char *key, *words;
	uint64_t n;
	bool is_bad;
};

#define NR_COUNTS 15

static void fill(const struct verify_result *r, struct count out[NR_COUNTS])
{
	const struct count all[NR_COUNTS] = {
		{ "packs", "packs", r->packs, false },
		{ "blocks", "blocks", r->blocks, false },
		{ "chunks", "chunks", r->chunks, false },
		{ "nodes", "nodes", r->nodes, false },
		{ "snapshots", "snapshots", r->snapshots, false },
		{ "files", "files", r->files, false },
		{ "damaged_packs", "damaged packs", r->damaged_packs, true },
		{ "incomplete_packs", "incomplete packs", r->incomplete_packs, true },
		{ "damaged_chunks", "damaged chunks", r->damaged_chunks, true },
		{ "missing_chunks", "missing chunks", r->missing_chunks, true },
		{ "damaged_nodes", "damaged nodes", r->damaged_nodes, true },
		{ "damaged_snapshots", "damaged snapshots", r->damaged_snapshots, true },
		{ "damaged_records", "damaged records", r->damaged_records, true },
		{ "damaged_paths", "paths touched", r->damaged_paths, true },
		{ NULL, NULL, 0, false },
	};

	for (size_t i = 0; i < NR_COUNTS; i++)
		out[i] = all[i];
}

static bool is_damaged(const struct count *counts)
{
	for (; counts->key; counts++)
		if (counts->is_bad && counts->n > 0)
			return true;
	return false;
}

static void print_table(struct app *a, const struct verify_result *r, const struct count *counts)
{
	char n[TEXT_LEN], plain[TEXT_LEN], time[TEXT_LEN], rate[TEXT_LEN];
	double seconds = progress_seconds(a->progress);

	for (const struct count *c = counts; c->key; c++)
		if (c->n > 0 || !c->is_bad)
			printf("%15s  %s\n", text_count(c->n, n), c->words);
	printf("%15s  read, %s of content checked, in %s (%s/s)\n", text_size(r->bytes_read, n),
	       text_size(r->bytes_checked, plain), text_duration(seconds, time),
	       text_size(seconds > 0 ? (uint64_t)((double)r->bytes_read / seconds) : 0, rate));
	puts(is_damaged(counts) ? "DAMAGE was found; each thing is named above"
				: "everything that was read is as it was written");
}

static bool print_json(struct app *a, const struct verify_result *r, const struct count *counts)
{
	struct jsonout j = jsonout_begin("summary");

	for (const struct count *c = counts; c->key; c++)
		jsonout_u64(&j, c->key, c->n);
	jsonout_u64(&j, "bytes_read", r->bytes_read);
	jsonout_u64(&j, "bytes_checked", r->bytes_checked);
	jsonout_real(&j, "seconds", progress_seconds(a->progress));
	jsonout_bool(&j, "damaged", is_damaged(counts));
	return jsonout_end(&j);
}

static int verify(struct app *a, struct store *s, struct verify_options *o, const char *spec)
{
	struct verify_result r = { 0 };
	struct count counts[NR_COUNTS];
	struct err e = ERR_INIT;
	struct target t = { 0 };
	enum err_code rc = ERR_OK;
	int status = STATUS_DONE;

	if (spec) {
		rc = target_find(a, s, spec, &t, &e);
		if (!rc && *t.path)
			rc = err_set(&e, ERR_USAGE, "%s: a snapshot is verified whole; leave the path away",
				     spec);
		o->only = t.snapshot;
	}
	if (!rc)
		rc = verify_run(s, o, &r, &e);
	if (rc) {
		status = app_fail(a, &e);
		goto out;
	}
	fill(&r, counts);
	progress_clear(a->progress);
	if (a->json)
		status = print_json(a, &r, counts) ? STATUS_DONE : STATUS_FAILED;
	else if (!a->quiet)
		print_table(a, &r, counts);
	if (is_damaged(counts))
		status = STATUS_DAMAGE;
out:
	target_release(s, &t);
	return status;
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_WORK, APP_LONG_FILTER,
		{ "files", no_argument, NULL, OPT_FILES }, APP_LONG_END
	};
	struct verify_options o = { .cancel = signals_cancel() };
	struct store *s = NULL;
	int status, c;

	while ((c = app_getopt(a, argc, argv, ":hj:qr:", longs)) != -1) {
		if (c != OPT_FILES)
			return app_getopt_status(c);
		o.files = true;
	}
	if (argc - optind > 1)
		return app_usage(a, "one SNAPSHOT at most");
	o.jobs = a->jobs;
	o.limit_rate = a->limit_rate;
	status = app_open(a, STORE_READ, true, &s);
	if (status)
		return status;
	status = verify(a, s, &o, optind < argc ? argv[optind] : NULL);
	store_close(s);
	return status;
}

const struct command cmd_verify = {
	.name = "verify",
	.summary = "read everything back and check it",
	.usage = "usage: vouch verify [--files] [--jobs N] [--json] [--quiet] [SNAPSHOT]\n"
		 "Read every pack, block, chunk, node and snapshot from the medium and check it; with SNAPSHOT,\n"
		 "only what that needs.  Each damaged thing, and each path it touches, is named.\n\n"
		 "  --files            check the hash of each whole file as well\n"
		 APP_WORK_USAGE
		 "  --host HOST, --tag TAG, --path SOURCE   which snapshots 'latest' and dates mean\n",
	.run = run,
};
