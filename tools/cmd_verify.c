/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "store/base/checked.h"
#include "store/verify.h"
#include "tools/chain_args.h"
#include "tools/commands.h"
#include "tools/jsonout.h"
#include "tools/signals.h"
#include "tools/text.h"

enum { OPT_FILES = APP_OPT_FIRST, OPT_SAMPLE, OPT_SEED, OPT_FOR, OPT_QUICK, OPT_RESUME,
       OPT_PUBKEY, OPT_ROOT, OPT_CHAIN };

#define RESUME_SECONDS	86400u	/* --resume: what was found good so lately is not read again */

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

/* What was left out, and by whose wish. */
static void print_extent(const struct verify_options *o, const struct verify_result *r)
{
	char n[TEXT_LEN], all[TEXT_LEN], size[TEXT_LEN];

	if (o->only)
		return;
	if (r->late)
		printf("THE TIME WAS OVER: %s of %s packs were read, and the trees of %" PRIu64 " of %"
		       PRIu64 " snapshots; the next --for goes on with those read longest ago\n",
		       text_count(r->packs, n), text_count(r->all_packs, all), r->walked_snapshots,
		       r->snapshots);
	else if (o->sample)
		printf("a sample: %s of %s packs, %s; the same again with --seed %" PRIu64 "\n",
		       text_count(r->packs, n), text_count(r->all_packs, all),
		       text_size(r->chosen_bytes, size), r->seed);
	else if (o->resume_seconds && r->chosen_packs < r->all_packs)
		printf("%s packs were found good in the last day, and were not read again\n",
		       text_count(r->all_packs - r->chosen_packs, n));
	if (o->quick)
		puts("quick: stored bytes by their XXH3 alone; nothing is recorded as verified");
	else if (r->cache)
		printf("READ THROUGH A CACHE (%s): nothing is recorded as verified%s\n", r->cache,
		       strcmp(r->cache, "fuse") == 0 ? "; root may do better" : "");
	else if (!r->recorded)
		puts("read from the medium; the repository cannot be written: nothing is recorded");
	else
		printf("read from the medium: %s packs, %s, are recorded as verified\n",
		       text_count(r->good_packs, n), text_size(r->good_bytes, size));
}

static void print_table(struct app *a, const struct verify_options *o,
			const struct verify_result *r, const struct count *counts)
{
	char n[TEXT_LEN], plain[TEXT_LEN], time[TEXT_LEN], rate[TEXT_LEN];
	double seconds = progress_seconds(a->progress);

	for (const struct count *c = counts; c->key; c++)
		if (c->n > 0 || !c->is_bad)
			printf("%15s  %s\n", text_count(c->n, n), c->words);
	printf("%15s  read, %s of content checked, in %s (%s/s)\n", text_size(r->bytes_read, n),
	       text_size(r->bytes_checked, plain), text_duration(seconds, time),
	       text_size(seconds > 0 ? (uint64_t)((double)r->bytes_read / seconds) : 0, rate));
	print_extent(o, r);
	puts(is_damaged(counts) ? "DAMAGE was found; each thing is named above. 'vouch repair' mends what can be mended"
				: "everything that was read is as it was written");
}

static bool print_json(struct app *a, const struct verify_options *o,
		       const struct verify_result *r, const struct count *counts)
{
	struct jsonout j = jsonout_begin("summary");

	for (const struct count *c = counts; c->key; c++)
		jsonout_u64(&j, c->key, c->n);
	jsonout_u64(&j, "bytes_read", r->bytes_read);
	jsonout_u64(&j, "bytes_checked", r->bytes_checked);
	jsonout_u64(&j, "all_packs", r->all_packs);
	jsonout_u64(&j, "all_bytes", r->all_bytes);
	jsonout_u64(&j, "chosen_packs", r->chosen_packs);
	jsonout_u64(&j, "chosen_bytes", r->chosen_bytes);
	jsonout_u64(&j, "good_packs", r->good_packs);
	jsonout_u64(&j, "good_bytes", r->good_bytes);
	jsonout_u64(&j, "walked_snapshots", r->walked_snapshots);
	if (o->sample)
		jsonout_u64(&j, "seed", r->seed);
	jsonout_bool(&j, "quick", o->quick);
	jsonout_bool(&j, "late", r->late);
	jsonout_bool(&j, "recorded", r->recorded && !r->cache && !o->quick && !o->only);
	jsonout_put(&j, "cache", r->cache ? json_string(r->cache) : json_null());
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
	if (rc == ERR_CANCELED && !o->only && !o->quick) {
		app_say(a, NULL, "interrupted; run again with --resume to go on from here");
		status = STATUS_FAILED;
		goto out;
	}
	if (rc) {
		status = app_fail(a, &e);
		goto out;
	}
	fill(&r, counts);
	progress_clear(a->progress);
	if (a->json)
		status = print_json(a, o, &r, counts) ? STATUS_DONE : STATUS_FAILED;
	else if (!a->quiet)
		print_table(a, o, &r, counts);
	if (is_damaged(counts))
		status = STATUS_DAMAGE;
out:
	target_release(s, &t);
	return status;
}

/* False where the value is wrong, and that was said. */
static bool take(struct app *a, int c, struct verify_options *o, struct chain_args *chain)
{
	long seed;

	switch (c) {
	case OPT_FILES:
		o->files = true;
		return true;
	case OPT_QUICK:
		o->quick = true;
		return true;
	case OPT_RESUME:
		o->resume_seconds = RESUME_SECONDS;
		return true;
	case OPT_CHAIN:
		chain->only = true;
		return true;
	case OPT_PUBKEY:
		return chain_args_key(a, chain, optarg);
	case OPT_ROOT:
		return chain_args_root(a, chain, optarg);
	case OPT_SAMPLE:
		if (text_parse_permille(optarg, &o->sample) && o->sample > 0)
			return true;
		app_usage(a, "--sample needs a share like 5%% or 0.5%%, up to 100%%");
		return false;
	case OPT_SEED:
		if (text_parse_long(optarg, 1, LONG_MAX, &seed)) {
			o->seed = (uint64_t)seed;
			return true;
		}
		app_usage(a, "--seed needs the number that a sample told");
		return false;
	default:
		if (text_parse_duration(optarg, &o->seconds) && o->seconds > 0)
			return true;
		app_usage(a, "--for needs a time like 90s, 30m or 2h");
		return false;
	}
}

/* What contradicts itself; NULL where nothing does. */
static const char *contradiction(const struct verify_options *o, const struct chain_args *chain,
				 bool one)
{
	bool part = o->sample || o->seconds || o->resume_seconds;

	if (one && (chain->only || chain->nr_keys + chain->nr_roots > 0))
		return "--pubkey, --root and --chain are about all snapshots: name none";
	if (chain->only && (part || o->quick || o->files))
		return "--chain reads no pack: not with --files, --sample, --for, --resume or --quick";
	if ((o->sample != 0) + (o->seconds != 0) + (o->resume_seconds != 0) > 1)
		return "--sample, --for and --resume: one of them";
	if (o->seed && !o->sample)
		return "--seed goes with --sample";
	if (one && (part || o->quick))
		return "a snapshot is verified whole: not with --sample, --for, --resume or --quick";
	if (o->files && (part || o->quick))
		return "--files reads all there is: not with --sample, --for, --resume or --quick";
	return NULL;
}

/* What was asked to be proved outranks damage: that can be mended. */
static int verify_and_chains(struct app *a, struct store *s, struct verify_options *o,
			     const struct chain_args *chain, const char *spec)
{
	int chains = spec ? STATUS_DONE : chain_args_run(a, chain, s);
	int status = chain->only ? STATUS_DONE : verify(a, s, o, spec);

	return chains != STATUS_DONE && (status == STATUS_DONE || status == STATUS_DAMAGE) ? chains
											    : status;
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_WORK, APP_LONG_FILTER,
		{ "files", no_argument, NULL, OPT_FILES },
		{ "sample", required_argument, NULL, OPT_SAMPLE },
		{ "seed", required_argument, NULL, OPT_SEED },
		{ "for", required_argument, NULL, OPT_FOR },
		{ "quick", no_argument, NULL, OPT_QUICK },
		{ "resume", no_argument, NULL, OPT_RESUME },
		{ "pubkey", required_argument, NULL, OPT_PUBKEY },
		{ "root", required_argument, NULL, OPT_ROOT },
		{ "chain", no_argument, NULL, OPT_CHAIN },
		APP_LONG_END
	};
	struct verify_options o = { .record = true, .cancel = signals_cancel() };
	struct store *s = NULL;
	struct chain_args chain = { .only = false };
	const char *wrong;
	int status = -1, c;

	while (status < 0 && (c = app_getopt(a, argc, argv, ":hj:qr:", longs)) != -1) {
		if (c < OPT_FILES)
			status = app_getopt_status(c);
		else if (!take(a, c, &o, &chain))
			status = STATUS_USAGE;
	}
	if (status < 0 && argc - optind > 1)
		status = app_usage(a, "one SNAPSHOT at most");
	wrong = status < 0 ? contradiction(&o, &chain, optind < argc) : NULL;
	if (wrong)
		status = app_usage(a, "%s", wrong);
	o.jobs = a->jobs;
	o.limit_rate = a->limit_rate;
	if (status < 0) {
		status = app_open(a, STORE_READ, true, &s);
		if (!status)
			status = verify_and_chains(a, s, &o, &chain, optind < argc ? argv[optind] : NULL);
	}
	store_close(s);
	chain_args_release(&chain);
	return status;
}

const struct command cmd_verify = {
	.name = "verify",
	.summary = "read everything back and check it",
	.usage = "usage: vouch verify [--files] [--jobs N] [--json] [--quiet] [SNAPSHOT]\n"
		 "       vouch verify [--sample SHARE | --for TIME | --resume] [--quick] [--json] [--quiet]\n"
		 "       vouch verify [--pubkey FILE]... [--root HEX]... [--chain]\n"
		 "Read every pack, block, chunk, node and snapshot from the medium and check it; with SNAPSHOT,\n"
		 "only what that needs.  Each damaged thing, and each path it touches, is named.\n\n"
		 "  --files            check the hash of each whole file as well\n"
		 "  --sample SHARE     packs chosen at random, up to that share of the bytes (5%)\n"
		 "  --seed N           the same packs as a sample before\n"
		 "  --for TIME         stop after that (30m); packs found good longest ago come first\n"
		 "  --resume           not again the packs found good in the last 24 hours\n"
		 "  --quick            stored bytes by their checksums only: as fast as the disk, no SHA-256\n"
		 "  --pubkey FILE      prove that whoever has one of these keys made every snapshot, and that none\n"
		 "                     was removed without a record; see 'vouch help key'\n"
		 "  --root HEX         prove that the snapshot whose root you wrote down is there\n"
		 "  --chain            look at nothing but signatures and chains: a matter of seconds\n"
		 APP_WORK_USAGE
		 "  --host HOST, --tag TAG, --path SOURCE   which snapshots 'latest' and dates mean\n",
	.run = run,
};
