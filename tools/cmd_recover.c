/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/commands.h"
#include "tools/configured.h"
#include "tools/recover.h"
#include "tools/signals.h"
#include "tools/text.h"

enum { OPT_FROM = APP_OPT_FIRST, OPT_INTO, OPT_CONFIG, OPT_ALL, OPT_TYPE, OPT_SELECT };

#define TYPES_MAX 16u

struct request {
	struct recover_options o;
	struct strings items;
	const char *config, *type;
	bool all, yes;
	const char *selectors[TYPES_MAX];	/* of the types, each once: the options are called so */
	size_t nr_selectors;
};

static const struct option fixed[] = {
	APP_LONG_OPTIONS, APP_LONG_JSON, APP_LONG_QUIET, APP_LONG_JOBS,
	{ "host", required_argument, NULL, APP_OPT_HOST },
	{ "from", required_argument, NULL, OPT_FROM },
	{ "into", required_argument, NULL, OPT_INTO },
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "all", no_argument, NULL, OPT_ALL },
	{ "type", required_argument, NULL, OPT_TYPE },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "yes", no_argument, NULL, 'y' },
};

/* The fixed ones, then one for each kind of thing that a type can bring back alone. */
static void make_options(struct request *q, struct option longs[static ARRAY_LEN(fixed) + TYPES_MAX + 1])
{
	size_t n = ARRAY_LEN(fixed);

	memcpy(longs, fixed, sizeof(fixed));
	for (size_t i = 0; component_types[i]; i++) {
		const char *s = component_types[i]->selector;
		bool known = !s || q->nr_selectors == TYPES_MAX;

		for (size_t j = 0; !known && j < q->nr_selectors; j++)
			known = strcmp(q->selectors[j], s) == 0;
		if (known)
			continue;
		longs[n++] = (struct option){ s, required_argument, NULL, OPT_SELECT + (int)q->nr_selectors };
		q->selectors[q->nr_selectors++] = s;
	}
	longs[n] = (struct option){ NULL, 0, NULL, 0 };
}

/* --table T: false where it does not fit, and that was said. */
static bool take_item(struct app *a, struct request *q, size_t selector)
{
	const char *s = q->selectors[selector];

	if (q->o.selector && strcmp(q->o.selector, s) != 0) {
		app_usage(a, "--%s and --%s are of different types of components", q->o.selector, s);
		return false;
	}
	if (!*optarg) {
		app_usage(a, "--%s needs a name", s);
		return false;
	}
	q->o.selector = s;
	strings_add(&q->items, optarg, SIZE_MAX);
	return true;
}

static int parse(struct app *a, int argc, char **argv, struct request *q)
{
	struct option longs[ARRAY_LEN(fixed) + TYPES_MAX + 1];
	int c;

	make_options(q, longs);
	while ((c = app_getopt(a, argc, argv, ":hj:nqr:vy", longs)) != -1) {
		if (c == OPT_FROM)
			q->o.from = optarg;
		else if (c == OPT_INTO)
			q->o.into = optarg;
		else if (c == OPT_CONFIG)
			q->config = optarg;
		else if (c == OPT_ALL)
			q->all = true;
		else if (c == OPT_TYPE)
			q->type = optarg;
		else if (c == 'n')
			q->o.dry_run = true;
		else if (c == 'v')
			q->o.verbose = true;
		else if (c == 'y')
			q->yes = true;
		else if (c >= OPT_SELECT && (size_t)(c - OPT_SELECT) < q->nr_selectors) {
			if (!take_item(a, q, (size_t)(c - OPT_SELECT)))
				return APP_BAD;
		} else {
			return c;
		}
	}
	return 0;
}

/* STATUS_DONE where the request makes sense. */
static int check(struct app *a, const struct request *q, int nr_names)
{
	if (q->all ? nr_names > 0 : nr_names != 1)
		return app_usage(a, "the name of one component, or --all, please");
	if (q->all && (q->o.into || q->items.nr))
		return app_usage(a, "--into and parts are for one component, not for --all");
	if (q->type && !q->all)
		return app_usage(a, "--type goes with --all");
	if (q->o.into && !*q->o.into)
		return app_usage(a, "--into needs a name");
	if (q->items.bad)
		return app_usage(a, "no memory for the names");
	return STATUS_DONE;
}

/* With --all, one that is configured wrongly does not keep the others from being brought back. */
static int open_all(struct app *a, const struct request *q, struct config_section *const *sections, size_t nr,
		    struct component **v, size_t *nr_out)
{
	int status = STATUS_DONE;
	size_t n = 0;

	for (size_t i = 0; i < nr; i++) {
		const char *type = config_get(sections[i], "type");
		struct err e = ERR_INIT;

		if (q->type && (!type || strcmp(type, q->type) != 0))
			continue;
		if (component_open(sections[i], NULL, signals_cancel(), &v[n], &e))
			status = recover_worse(status, app_fail(a, &e));
		else
			recover_events(a, v[n++]);
	}
	*nr_out = n;
	if (n == 0 && !status)
		status = app_usage(a, "no component is of type %s", q->type);
	return status;
}

static int recover(struct app *a, struct request *q, struct component *const *v, size_t nr)
{
	struct store *s = NULL;
	int status;

	q->o.items = (const char *const *)q->items.v;
	q->o.nr_items = q->items.nr;
	status = recover_repository(a, &q->o, &s);
	if (!status)
		status = recover_run(a, s, v, nr, &q->o, q->yes);
	store_close(s);
	return status;
}

static int run_request(struct app *a, struct request *q, char *const *names, size_t nr_names)
{
	struct config *config = NULL;
	struct config_section **sections = NULL;
	struct component **v = NULL;
	size_t nr_sections = 0, nr = 0;
	struct err e = ERR_INIT;
	enum err_code rc = app_configure(a, q->config, &config, &e);
	int status;

	if (!rc)
		rc = configured_rto(config, &q->o.rto_all, &e);
	if (!rc)
		rc = configured_components(config, names, nr_names, &sections, &nr_sections, &e);
	if (!rc) {
		v = calloc(nr_sections, sizeof(struct component *));
		rc = v ? ERR_OK : err_set(&e, ERR_NOMEM, "components");
	}
	status = rc ? app_fail(a, &e) : open_all(a, q, sections, nr_sections, v, &nr);
	if (nr > 0)
		status = recover_worse(status, recover(a, q, v, nr));
	for (size_t i = 0; i < nr; i++)
		component_close(v[i]);
	free(v);
	free(sections);
	config_close(config);
	return status;
}

static int run(struct app *a, int argc, char **argv)
{
	struct request q = { 0 };
	int c = parse(a, argc, argv, &q), status;

	if (c) {
		status = app_getopt_status(c);
	} else {
		status = check(a, &q, argc - optind);
		if (!status)
			status = run_request(a, &q, argv + optind, (size_t)(argc - optind));
	}
	strings_release(&q.items);
	return status;
}

const struct command cmd_recover = {
	.name = "recover",
	.summary = "bring a database back, and prove it",
	.usage = "usage: vouch recover [OPTION...] NAME\n"
		 "       vouch recover [OPTION...] --all [--type TYPE]\n"
		 "Restore the component NAME of vouch.conf(5) from its newest good dump, and compare what is there then\n"
		 "with what was recorded.  All of the dump is read and checked first; then there are five seconds to stop\n"
		 "it; what is overwritten is kept for 'vouch rollback'.\n\n"
		 "  --from SNAPSHOT    a snapshot, a date, or a backup's id (default: the newest that is good)\n"
		 "  --into OTHER       into another database, home or collection than its own\n"
		 "  --table T, --label L, --collection C\n"
		 "                     only that (repeatable); each type of component has one of them\n"
		 "  --all              every component; --type TYPE: every one of that type\n"
		 "  -n, --dry-run      read and check the dump, say what would be done, change nothing\n"
		 "  -y, --yes          no countdown; needed where there is no terminal\n"
		 "  -v, --verbose      all rows of the comparison, not only those that differ\n"
		 "  -j, --jobs N       restore with N at once, where the service can\n"
		 "  --host HOST        only snapshots of that host\n"
		 "  --config FILE      instead of /etc/vouch.conf\n"
		 "  --json             plan, comparison and summary as NDJSON\n"
		 "  -q, --quiet        only what is wrong\n",
	.run = run,
};
