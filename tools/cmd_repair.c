/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store/base/buf.h"
#include "store/repair.h"
#include "tools/commands.h"
#include "tools/jsonout.h"
#include "tools/signals.h"
#include "tools/text.h"

enum { OPT_FROM = APP_OPT_FIRST, OPT_SOURCE };

#define NAMED_USUAL 20u		/* paths of a kind that are named without -v */

struct telling {
	struct app *a;
	bool verbose, dry_run;
	uint64_t nr[2];		/* whole, lost */
};

static const char *state(const struct telling *t, bool lost)
{
	return lost ? "lost for good" : t->dry_run ? "can be whole" : "whole again";
}

static void on_path(void *ctx, const char *snapshot, const char *path, bool folder, bool lost)
{
	struct telling *t = ctx;
	uint64_t n = t->nr[lost]++;
	struct buf text = BUF_INIT;

	if (t->a->json) {
		struct jsonout j = jsonout_begin("path");

		jsonout_str(&j, "snapshot", snapshot);
		jsonout_bytes(&j, "path", path, strlen(path));
		jsonout_bool(&j, "folder", folder);
		jsonout_str(&j, "state", lost ? "lost" : "whole");
		(void)jsonout_end(&j);
		return;
	}
	if ((t->a->quiet && !lost) || (n >= NAMED_USUAL && !t->verbose))
		return;
	progress_clear(t->a->progress);
	printf("%-15s %s:", state(t, lost), snapshot);
	text_escape(&text, path, strlen(path));
	if (!text.bad)
		(void)fwrite(text.p, 1, text.len, stdout);
	puts(folder ? " (and all below)" : "");
	buf_release(&text);
}

static void unnamed(const struct telling *t, uint64_t nr, bool lost)
{
	uint64_t named = t->nr[lost] < NAMED_USUAL || t->verbose ? t->nr[lost] : NAMED_USUAL;

	if (nr > named && (lost || !t->a->quiet))
		printf("%-15s and %" PRIu64 " more paths%s\n", state(t, lost), nr - named,
		       t->verbose ? "" : "; -v names them");
}

static void print_json(struct app *a, const struct repair_options *o, const struct repair_result *r)
{
	struct jsonout j = jsonout_begin("summary");

	jsonout_bool(&j, "dry_run", o->dry_run);
	jsonout_bool(&j, "damage", r->damage);
	jsonout_bool(&j, "whole", r->whole);
	jsonout_u64(&j, "packs", r->packs);
	jsonout_u64(&j, "damaged_packs", r->damaged_packs);
	jsonout_u64(&j, "mended_parity", r->mended_parity);
	jsonout_u64(&j, "mended_other", r->mended_other);
	jsonout_u64(&j, "mended_anew", r->mended_anew);
	jsonout_u64(&j, "replaced_packs", r->replaced_packs);
	jsonout_u64(&j, "waiting_packs", r->waiting_packs);
	jsonout_u64(&j, "kept_packs", r->kept_packs);
	jsonout_u64(&j, "damaged_parity", r->damaged_parity);
	jsonout_u64(&j, "mended_files", r->mended_files);
	jsonout_u64(&j, "damaged_records", r->damaged_records);
	jsonout_u64(&j, "mended_records", r->mended_records);
	jsonout_u64(&j, "lost_before", r->lost_before);
	jsonout_u64(&j, "regained_other", r->regained_other);
	jsonout_u64(&j, "regained_source", r->regained_source);
	jsonout_u64(&j, "lost_chunks", r->lost_chunks);
	jsonout_u64(&j, "written_bytes", r->written_bytes);
	jsonout_u64(&j, "whole_paths", r->whole_paths);
	jsonout_u64(&j, "lost_paths", r->lost_paths);
	jsonout_real(&j, "seconds", progress_seconds(a->progress));
	(void)jsonout_end(&j);
}

static void line(uint64_t n, const char *what)
{
	char text[TEXT_LEN];

	if (n > 0)
		printf("%15s  %s\n", text_count(n, text), what);
}

static void print_counts(const struct repair_options *o, const struct repair_result *r)
{
	bool dry = o->dry_run;

	line(r->packs, "packs read");
	line(r->damaged_packs, "damaged packs");
	line(r->mended_parity, dry ? "can be mended by their parity" : "mended by their parity");
	line(r->mended_other, dry ? "can be mended with another repository's help"
				  : "mended with another repository's help");
	line(r->mended_anew, "made anew, byte for byte");
	line(r->replaced_packs, dry ? "can be replaced by new packs" : "replaced by new packs");
	line(r->waiting_packs, "replaced, and deleted by the next repair, when the backups under way have ended");
	line(r->kept_packs, "still damaged, and kept as they are");
	line(r->mended_files, dry ? "parity files can be made anew" : "parity files made anew");
	line(r->mended_records, dry ? "records can be mended" : "records mended");
	line(r->damaged_records - r->mended_records, "records damaged for good");
	line(r->regained_other, "chunks from other repositories");
	line(r->regained_source, "chunks from live files");
	line(r->lost_chunks, "chunks lost");
}

static void print_end(const struct repair_options *o, const struct repair_result *r)
{
	if (!r->damage) {
		puts("no damage: everything is as it was written");
		return;
	}
	print_counts(o, r);
	if (r->whole)
		puts(o->dry_run ? "all of it can be mended; run it without --dry-run"
				: "everything is whole again");
	else if (r->lost_paths > 0)
		puts("what is lost: plug in another copy and run 'vouch repair --from DRIVE', or, where the "
		     "files are still there,\n'vouch repair --source FOLDER'; else let the snapshots go "
		     "('vouch forget SNAPSHOT') and repair again");
	else
		puts("not all of it can be mended; see above");
}

static int repair(struct app *a, struct store *s, struct repair_options *o, struct telling *t)
{
	struct repair_result r = { 0 };
	struct err e = ERR_INIT;
	enum err_code rc = repair_run(s, o, &r, &e);

	progress_clear(a->progress);
	if (rc)
		return app_fail(a, &e);
	progress_forget_damage(a->progress);	/* what there was is what this is about */
	if (a->json) {
		print_json(a, o, &r);
	} else {
		unnamed(t, r.whole_paths, false);
		unnamed(t, r.lost_paths, true);
		if (!a->quiet)
			print_end(o, &r);
	}
	if (!r.whole && a->quiet) {
		/* What was lost has been named; what is only kept, or could not be read now, has not. */
		rc = err_set(&e, ERR_FAILED, "not all that is damaged could be mended; run it again, "
			     "without --quiet to see what it is");
		return app_fail(a, &e);
	}
	return r.whole ? STATUS_DONE : STATUS_FAILED;
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_WORK,
		{ "dry-run", no_argument, NULL, 'n' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "from", required_argument, NULL, OPT_FROM },
		{ "source", required_argument, NULL, OPT_SOURCE },
		APP_LONG_END
	};
	struct strings from = { 0 }, sources = { 0 };
	struct telling t = { .a = a };
	struct repair_options o = { .cancel = signals_cancel(), .path = on_path, .path_ctx = &t };
	struct store *s = NULL;
	int status, c;

	while ((c = app_getopt(a, argc, argv, ":hj:nqr:v", longs)) != -1) {
		if (c == 'n') {
			o.dry_run = t.dry_run = true;
		} else if (c == 'v') {
			t.verbose = true;
		} else if (c == OPT_FROM) {
			strings_add(&from, optarg, strlen(optarg));
		} else if (c == OPT_SOURCE) {
			strings_add(&sources, optarg, strlen(optarg));
		} else {
			status = app_getopt_status(c);
			goto out;
		}
	}
	status = STATUS_FAILED;
	if (from.bad || sources.bad)
		goto out;
	if (optind < argc) {
		status = app_usage(a, "takes no argument");
		goto out;
	}
	o.from = (const char *const *)from.v;
	o.nr_from = from.nr;
	o.sources = (const char *const *)sources.v;
	o.nr_sources = sources.nr;
	o.jobs = a->jobs;
	o.limit_rate = a->limit_rate;
	status = app_open(a, o.dry_run ? STORE_READ : STORE_WRITE, true, &s);
	if (!status)
		status = repair(a, s, &o, &t);
	store_close(s);
out:
	strings_release(&from);
	strings_release(&sources);
	return status;
}

const struct command cmd_repair = {
	.name = "repair",
	.summary = "mend what is damaged, from parity, other copies and live files",
	.usage = "usage: vouch repair [--from REPOSITORY]... [--source PATH]... [--dry-run] [--json] [-v]\n"
		 "Read everything, as verify does, and mend what is damaged: by parity, from copies of this\n"
		 "repository that it knows, from other repositories, and from live files that still hold the\n"
		 "bytes.  Ends by saying which paths are whole again, and which are lost.  Nothing is deleted\n"
		 "before what replaces it was read back.\n\n"
		 "  --from REPOSITORY  ask this one, too; it may be damaged as well (repeatable)\n"
		 "  --source PATH      look for what is lost in the files below PATH (repeatable)\n"
		 "  -n, --dry-run      only say what could be mended, and how\n"
		 "  -v, --verbose      name all paths, not the first twenty of each kind\n"
		 APP_WORK_USAGE,
	.run = run,
};
