/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "store/parity_add.h"
#include "tools/commands.h"
#include "tools/jsonout.h"
#include "tools/signals.h"
#include "tools/text.h"

enum { OPT_SHARE = APP_OPT_FIRST };

static bool take_share(struct app *a, const char *text, uint32_t *out)
{
	if (text_parse_permille(text, out) && *out > 0 && *out <= 500)
		return true;
	app_usage(a, "--share needs a share like 5%% or 2.5%%, up to 50%%");
	return false;
}

static bool print_json(struct app *a, const struct parity_add_options *o,
		       const struct parity_add_result *r)
{
	struct jsonout j = jsonout_begin("summary");

	jsonout_bool(&j, "dry_run", o->dry_run);
	jsonout_real(&j, "share", r->permille / 1000.0);
	jsonout_bool(&j, "share_changed", r->share_changed);
	jsonout_u64(&j, "packs", r->packs);
	jsonout_u64(&j, "bytes", r->bytes);
	jsonout_u64(&j, "good_packs", r->good_packs);
	jsonout_u64(&j, "missing", r->missing);
	jsonout_u64(&j, "damaged", r->damaged);
	jsonout_u64(&j, "other_share", r->other);
	jsonout_u64(&j, "made_packs", r->made_packs);
	jsonout_u64(&j, "made_bytes", r->made_bytes);
	jsonout_u64(&j, "damaged_packs", r->bad_packs);
	jsonout_real(&j, "seconds", progress_seconds(a->progress));
	return jsonout_end(&j);
}

static void line(uint64_t n, const char *what)
{
	char text[TEXT_LEN];

	if (n > 0)
		printf("%15s  %s\n", text_count(n, text), what);
}

static void print_text(const struct parity_add_options *o, const struct parity_add_result *r)
{
	char n[TEXT_LEN], b[TEXT_LEN];

	printf("%15s  packs\n", text_count(r->packs, n));
	line(r->good_packs, "have parity of this share");
	line(r->missing, "had none");
	line(r->damaged, "had a damaged parity file");
	line(r->other, "had parity of another share");
	line(r->bad_packs, "are DAMAGED themselves and left as they are; each is named above");
	if (r->share_changed)
		printf("backups from now on %smake parity of %u.%u %%\n", o->dry_run ? "would " : "",
		       r->permille / 10, r->permille % 10);
	if (r->made_packs == 0)
		puts("no parity to make");
	else
		printf("parity of %u.%u %% %s for %s packs, %s\n", r->permille / 10, r->permille % 10,
		       o->dry_run ? "would be made" : "made", text_count(r->made_packs, n),
		       text_size(r->made_bytes, b));
}

static int add(struct app *a, struct store *s, const struct parity_add_options *o)
{
	struct parity_add_result r = { 0 };
	struct err e = ERR_INIT;
	enum err_code rc = parity_add_run(s, o, &r, &e);

	progress_clear(a->progress);
	if (rc)
		return app_fail(a, &e);
	if (a->json)
		return print_json(a, o, &r) ? STATUS_DONE : STATUS_FAILED;
	if (!a->quiet)
		print_text(o, &r);
	return STATUS_DONE;		/* damage that was told of becomes the status */
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_WORK,
		{ "dry-run", no_argument, NULL, 'n' },
		{ "share", required_argument, NULL, OPT_SHARE },
		APP_LONG_END
	};
	struct parity_add_options o = { .cancel = signals_cancel() };
	struct store *s = NULL;
	int status, c;

	while ((c = app_getopt(a, argc, argv, ":hj:nqr:", longs)) != -1) {
		if (c == 'n')
			o.dry_run = true;
		else if (c != OPT_SHARE)
			return app_getopt_status(c);
		else if (!take_share(a, optarg, &o.permille))
			return STATUS_USAGE;
	}
	if (optind == argc) {
		fputs(a->command->usage, stderr);
		return STATUS_USAGE;
	}
	if (strcmp(argv[optind], "add") != 0)
		return app_usage(a, "there is no 'parity %s'", argv[optind]);
	if (argc - optind > 2)
		return app_usage(a, "one REPOSITORY at most");
	if (argc - optind == 2)
		a->repo = argv[optind + 1];
	o.jobs = a->jobs;
	o.limit_rate = a->limit_rate;
	status = app_open(a, o.dry_run ? STORE_READ : STORE_WRITE, true, &s);
	if (status)
		return status;
	status = add(a, s, &o);
	store_close(s);
	return status;
}

const struct command cmd_parity = {
	.name = "parity",
	.summary = "make parity for packs that have none",
	.usage = "usage: vouch parity add [--share SHARE] [--dry-run] [OPTION...] [REPOSITORY]\n"
		 "Make parity for every whole pack that has none, whose parity file is damaged, or was made with\n"
		 "another share.  Each pack is read and its SHA-256 compared first; damaged ones are named and left.\n"
		 "What is left of an interrupted run is gone on with by the next.\n\n"
		 "  --share SHARE      like 5% or 2.5%, up to 50%; backups go on with it (default: the\n"
		 "                     repository's; 3% where it has none)\n"
		 "  -n, --dry-run      only say what would be made\n"
		 APP_WORK_USAGE,
	.run = run,
};
