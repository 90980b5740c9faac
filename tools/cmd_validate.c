/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "tools/commands.h"
#include "tools/configured.h"
#include "tools/signals.h"
#include "tools/validate.h"

enum { OPT_SNAPSHOT = APP_OPT_FIRST, OPT_LIVE, OPT_REPORT, OPT_CONFIG };

struct request {
	struct validate_options o;
	const char *config;
};

static int parse(struct app *a, int argc, char **argv, struct request *q)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_JSON, APP_LONG_QUIET, APP_LONG_JOBS,
		{ "host", required_argument, NULL, APP_OPT_HOST },
		{ "snapshot", required_argument, NULL, OPT_SNAPSHOT },
		{ "live", no_argument, NULL, OPT_LIVE },
		{ "report", required_argument, NULL, OPT_REPORT },
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "verbose", no_argument, NULL, 'v' },
		APP_LONG_END
	};
	int c;

	while ((c = app_getopt(a, argc, argv, ":hj:nqr:v", longs)) != -1) {
		if (c == OPT_SNAPSHOT)
			q->o.recover.from = optarg;
		else if (c == OPT_LIVE)
			q->o.live = true;
		else if (c == OPT_REPORT)
			q->o.report = optarg;
		else if (c == OPT_CONFIG)
			q->config = optarg;
		else if (c == 'n')
			q->o.recover.dry_run = true;
		else if (c == 'v')
			q->o.recover.verbose = true;
		else
			return c;
	}
	return 0;
}

/* One of both was not looked at: told, as it is no agreement. */
static void tell_unasked(struct app *a, const struct references *refs)
{
	for (size_t i = 0; i < refs->nr; i++) {
		const struct reference *r = &refs->v[i];

		if (!a->quiet && !r->failed && !r->from_answer != !r->to_answer)
			app_say(a, "note", "reference %s is not compared: validate %s and %s together", r->name, r->from, r->to);
	}
}

static int validate(struct app *a, struct store *s, struct request *q, struct component *const *v, size_t nr,
		    struct references *refs)
{
	struct snapshot_list l = { 0 };
	struct report report;
	struct err e = ERR_INIT;
	int status = STATUS_DONE;
	double seconds = 0;
	size_t restored = 0;
	struct store *notes = q->o.recover.no_notes ? NULL : s;

	if (snapshot_list_read(s, &l, &e))
		return app_fail(a, &e);
	report_begin(&report, a, q->o.report);
	for (size_t i = 0; i < nr && !atomic_load(q->o.recover.cancel); i++) {
		struct validation one = { 0 };

		status = recover_worse(status, validation_run(&one, a, s, v[i], &l, &q->o, refs));
		report_component(&report, notes, &one);
		if (one.compared && !q->o.live) {
			seconds += one.seconds;
			restored++;
		}
		validation_release(&one);
	}
	if (restored > 1)
		report_total(&report, restored, seconds, q->o.recover.rto_all);
	if (atomic_load(q->o.recover.cancel))
		status = recover_worse(status, STATUS_FAILED);
	for (size_t i = 0; i < refs->nr && !q->o.recover.dry_run; i++)
		if (!report_reference(&report, notes, &refs->v[i]))
			status = recover_worse(status, STATUS_FAILED);
	if (!q->o.recover.dry_run)
		tell_unasked(a, refs);
	if (q->o.recover.dry_run)
		report.file = NULL;
	if (report_end(&report, status, &e))
		status = recover_worse(status, app_fail(a, &e));
	snapshot_list_release(&l);
	return status;
}

static int with_store(struct app *a, struct request *q, struct component *const *v, size_t nr, struct references *refs)
{
	struct store *s = NULL;
	int status = recover_repository(a, &q->o.recover, &s);

	if (!status)
		status = validate(a, s, q, v, nr, refs);
	store_close(s);
	return status;
}

/* All that the configuration says wrongly is said before anything is restored. */
static enum err_code open_all(struct app *a, struct config_section *const *sections, size_t nr, struct component **v,
			      size_t *nr_out, struct err *e)
{
	struct expectations x = { 0 };
	enum err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < nr; i++) {
		rc = component_open(sections[i], NULL, signals_cancel(), &v[i], e);
		if (rc)
			break;
		++*nr_out;
		recover_events(a, v[i]);
		rc = expectations_read(v[i], &x, e);
		expectations_release(&x);
	}
	return rc;
}

static int run(struct app *a, int argc, char **argv)
{
	struct request q = { 0 };
	struct config *config = NULL;
	struct config_section **sections = NULL;
	struct component **v = NULL;
	struct references refs = { 0 };
	size_t nr_sections = 0, nr = 0;
	struct err e = ERR_INIT;
	enum err_code rc;
	int c = parse(a, argc, argv, &q), status;

	if (c)
		return app_getopt_status(c);
	if (q.o.live && q.o.recover.dry_run)
		return app_usage(a, "--live changes nothing, and has no --dry-run");
	rc = q.o.report ? report_may_be(q.o.report, &e) : ERR_OK;
	if (!rc)
		rc = app_configure(a, q.config, &config, &e);
	if (!rc)
		rc = configured_rto(config, &q.o.recover.rto_all, &e);
	if (!rc)
		rc = configured_components(config, argv + optind, (size_t)(argc - optind), &sections, &nr_sections, &e);
	if (!rc)
		rc = references_read(config, &refs, &e);
	if (!rc) {
		v = calloc(nr_sections, sizeof(*v));
		rc = v ? open_all(a, sections, nr_sections, v, &nr, &e) : err_set(&e, ERR_NOMEM, "components");
	}
	status = rc ? app_fail(a, &e) : with_store(a, &q, v, nr, &refs);
	for (size_t i = 0; i < nr; i++)
		component_close(v[i]);
	free(v);
	references_release(&refs);
	free(sections);
	config_close(config);
	return status;
}

const struct command cmd_validate = {
	.name = "validate",
	.summary = "restore a dump into a temporary place, and prove it",
	.usage = "usage: vouch validate [OPTION...] [NAME...]\n"
		 "Restore the components NAME (default: all) of vouch.conf(5) from their newest good dumps into temporary\n"
		 "databases, compare what is there with what was recorded, look at keys and indexes, ask what the\n"
		 "configuration expects, and drop it all again.\n\n"
		 "  --snapshot SNAPSHOT  a snapshot, a date, or a backup's id (default: the newest that is good)\n"
		 "  --live             restore nothing: look at the running databases instead\n"
		 "  --report FILE      write the report there: JSON where the name ends in .json, else text\n"
		 "  -n, --dry-run      read and check the dumps, say what would be done, restore nothing\n"
		 "  -v, --verbose      all rows that are not simply equal\n"
		 "  -j, --jobs N       restore with N at once, where the service can\n"
		 "  --host HOST        only snapshots of that host\n"
		 "  --config FILE      instead of /etc/vouch.conf\n"
		 "  --json             the report as NDJSON\n"
		 "  -q, --quiet        only what is not valid\n",
	.run = run,
};
