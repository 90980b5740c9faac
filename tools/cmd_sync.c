/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "store/store.h"
#include "store/sync.h"
#include "tools/commands.h"
#include "tools/jsonout.h"
#include "tools/signals.h"
#include "tools/text.h"

enum { OPT_CHECK = APP_OPT_FIRST, OPT_DELETE, OPT_NEW };

static bool is_damaged(const struct sync_result *r)
{
	return r->damaged_packs + r->left_out > 0;
}

static bool print_json(struct app *a, const struct sync_options *o, const struct sync_result *r)
{
	struct jsonout j = jsonout_begin("summary");

	jsonout_bool(&j, "dry_run", o->dry_run);
	jsonout_u64(&j, "packs", r->packs);
	jsonout_u64(&j, "bytes", r->bytes);
	jsonout_u64(&j, "copied_packs", r->copied_packs);
	jsonout_u64(&j, "copied_bytes", r->copied_bytes);
	jsonout_u64(&j, "copied_parity", r->copied_parity);
	jsonout_u64(&j, "checked_packs", r->checked_packs);
	jsonout_u64(&j, "checked_bytes", r->checked_bytes);
	jsonout_u64(&j, "mended_packs", r->mended_packs);
	jsonout_u64(&j, "healed_packs", r->healed_packs);
	jsonout_u64(&j, "damaged_packs", r->damaged_packs);
	jsonout_u64(&j, "stored_chunks", r->stored_chunks);
	jsonout_u64(&j, "records", r->records);
	jsonout_u64(&j, "snapshots", r->snapshots);
	jsonout_u64(&j, "copied_snapshots", r->copied_snapshots);
	jsonout_u64(&j, "left_out", r->left_out);
	jsonout_u64(&j, "forgotten", r->forgotten);
	jsonout_real(&j, "seconds", progress_seconds(a->progress));
	jsonout_bool(&j, "damaged", is_damaged(r));
	return jsonout_end(&j);
}

static void line(const char *name, uint64_t n, const char *what)
{
	char text[TEXT_LEN];

	if (n > 0)
		printf("%-11s %s %s\n", name, text_count(n, text), what);
}

static void print_text(struct app *a, const struct sync_options *o, const char *dir,
		       const struct sync_result *r)
{
	char n[TEXT_LEN], b[TEXT_LEN], t[TEXT_LEN], rate[TEXT_LEN];
	double seconds = progress_seconds(a->progress);
	const char *name = o->dry_run ? "to copy" : "copied";

	if (r->copied_packs + r->copied_parity + r->stored_chunks + r->records +
	    r->copied_snapshots == 0)
		printf("nothing %s: %s has all %s packs and %s snapshots\n",
		       o->dry_run ? "to copy" : "was copied", dir, text_count(r->packs, n),
		       text_count(r->snapshots - r->left_out, t));
	if (r->copied_packs > 0)
		printf("%-11s %s packs, %s", name, text_count(r->copied_packs, n),
		       text_size(r->copied_bytes, b));
	if (r->copied_packs > 0 && !o->dry_run)
		printf(", in %s (%s/s)", text_duration(seconds, t),
		       text_size(seconds > 0 ? (uint64_t)((double)r->copied_bytes / seconds) : 0, rate));
	if (r->copied_packs > 0)
		puts("");
	line(name, r->copied_parity, "parity files");
	line(name, r->records, "records");
	line(name, r->copied_snapshots, "snapshots");
	if (r->checked_packs > 0)
		printf("%-11s %s packs that were there, %s\n", "checked", text_count(r->checked_packs, n),
		       text_size(r->checked_bytes, b));
	line("mended", r->mended_packs, "packs that were damaged there");
	line("forgotten", r->forgotten, "snapshots there");
	line("healed", r->healed_packs, "packs that are damaged here: see vouch verify");
	line("DAMAGED", r->damaged_packs, "packs here that parity cannot rebuild");
	line("new packs", r->stored_chunks, "chunks of packs that could not be copied");
	line("LEFT OUT", r->left_out, "snapshots: something they need is damaged or missing here");
}

static int sync_dir(struct app *a, struct store *s, const struct sync_options *o, const char *dir)
{
	struct sync_result r = { 0 };
	struct err e = ERR_INIT;
	enum err_code rc = sync_run(s, dir, o, &r, &e);
	int status = is_damaged(&r) ? STATUS_DAMAGE : STATUS_DONE;

	progress_clear(a->progress);
	if (rc)
		return app_fail(a, &e);
	if (a->json)
		status = print_json(a, o, &r) ? status : STATUS_FAILED;
	else if (!a->quiet)
		print_text(a, o, dir, &r);
	return status;
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_WORK,
		{ "dry-run", no_argument, NULL, 'n' },
		{ "check", no_argument, NULL, OPT_CHECK },
		{ "delete", no_argument, NULL, OPT_DELETE },
		{ "new", no_argument, NULL, OPT_NEW },
		APP_LONG_END
	};
	struct sync_options o = { .cancel = signals_cancel() };
	struct store *s = NULL;
	int status, c;

	while ((c = app_getopt(a, argc, argv, ":hj:nqr:", longs)) != -1) {
		if (c == 'n')
			o.dry_run = true;
		else if (c == OPT_CHECK)
			o.check = true;
		else if (c == OPT_DELETE)
			o.forget = true;
		else if (c == OPT_NEW)
			o.make_anew = true;
		else
			return app_getopt_status(c);
	}
	if (argc - optind != 1 || !*argv[optind])
		return app_usage(a, "needs one DIR, the folder of the copy");
	o.jobs = a->jobs;
	o.limit_rate = a->limit_rate;
	status = app_open(a, STORE_READ, true, &s);
	if (status)
		return status;
	if (!o.dry_run)
		store_set_heal(s, true);
	status = sync_dir(a, s, &o, argv[optind]);
	store_close(s);
	return status;
}

const struct command cmd_sync = {
	.name = "sync",
	.summary = "copy the repository to another folder",
	.usage = "usage: vouch sync [--check] [--delete] [--dry-run] [--new] [--jobs N] [--json] [--quiet] DIR\n"
		 "Bring all of the repository into DIR: an empty folder, or a copy of this repository, which gets\n"
		 "what it lacks.  Everything is checked as it is read, and again as it is read back from DIR.\n"
		 "What only the copy has stays.  Run it again to go on after an interruption.\n\n"
		 "  --check            read back what DIR has already, too, and mend it\n"
		 "  --delete           forget in DIR what was forgotten here\n"
		 "  -n, --dry-run      only say what would be copied\n"
		 "  --new              make the copy anew where one was before, and the folder is empty now\n"
		 APP_WORK_USAGE,
	.run = run,
};
