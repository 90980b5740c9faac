/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/commands.h"
#include "tools/configured.h"
#include "tools/jsonout.h"
#include "tools/recover.h"
#include "tools/signals.h"
#include "tools/text.h"

enum { OPT_CONFIG = APP_OPT_FIRST, OPT_LIST };

struct request {
	struct recover_options o;
	const char *config;
	bool list, yes;
};

static bool list_json(const struct way *w)
{
	struct jsonout j = jsonout_begin("way_back");

	jsonout_str(&j, "id", w->id);
	jsonout_str(&j, "component", w->component);
	jsonout_str(&j, "component_type", w->type);
	jsonout_time(&j, "made", (struct vtime){ .sec = w->made });
	jsonout_time(&j, "kept_until", (struct vtime){ .sec = w->made + (int64_t)WAY_KEPT_S });
	jsonout_str(&j, "from", w->from);
	jsonout_str(&j, "into", w->into);
	jsonout_put(&j, "items", json_incref(w->items));
	jsonout_put(&j, "way", json_incref(w->json));
	return jsonout_end(&j);
}

static void list_text(const struct way *w)
{
	char when[TEXT_LEN], until[TEXT_LEN];
	struct buf b = BUF_INIT;

	text_escape_str(&b, w->component);
	buf_printf(&b, "  %s  ", text_time((struct vtime){ .sec = w->made }, when));
	text_escape_str(&b, w->kind);
	if (*w->into) {
		buf_add_str(&b, " of ");
		text_escape_str(&b, w->into);
	}
	buf_printf(&b, ", before a recover from %.*s; until %s", SNAPSHOT_DATE_LEN, *w->from ? w->from : "another place",
		   text_time((struct vtime){ .sec = w->made + (int64_t)WAY_KEPT_S }, until));
	buf_add_u8(&b, '\0');
	if (!b.bad)
		puts((const char *)b.p);
	buf_release(&b);
}

/* Newest first: the first of a component is the one that is taken. */
static int list(struct app *a, struct store *s, const char *component)
{
	struct ways w = { 0 };
	struct err e = ERR_INIT;
	bool ok = true;

	if (ways_read(s, component, &w, &e))
		return app_fail(a, &e);
	progress_clear(a->progress);
	for (size_t i = w.nr; i-- > 0;) {
		if (a->json)
			ok = list_json(&w.v[i]) && ok;
		else
			list_text(&w.v[i]);
	}
	if (w.nr == 0 && !a->json && !a->quiet)
		puts("no way back is left");
	ways_release(&w);
	return ok ? STATUS_DONE : STATUS_FAILED;
}

static int roll_back(struct app *a, struct request *q, struct config *config, char *const *names, size_t nr_names)
{
	struct config_section **sections = NULL;
	struct component *c = NULL;
	struct store *s = NULL;
	size_t nr = 0;
	struct err e = ERR_INIT;
	enum err_code rc = ERR_OK;
	int status;

	/* What is to be listed may be of components that are configured no more. */
	if (nr_names > 0)
		rc = configured_components(config, names, nr_names, &sections, &nr, &e);
	if (!rc && !q->list) {
		rc = component_open(sections[0], NULL, signals_cancel(), &c, &e);
		if (!rc)
			recover_events(a, c);
	}
	status = rc ? app_fail(a, &e) : app_open(a, q->o.dry_run || q->list ? STORE_READ : STORE_WRITE, true, &s);
	if (!status && q->list) {
		status = list(a, s, nr_names ? names[0] : NULL);
	} else if (!status) {
		store_set_heal(s, true);
		status = rollback_run(a, s, c, &q->o, q->yes);
	}
	store_close(s);
	component_close(c);
	free(sections);
	return status;
}

static int run_request(struct app *a, struct request *q, char *const *names, size_t nr_names)
{
	struct config *config = NULL;
	struct err e = ERR_INIT;
	int status;

	if (q->list ? nr_names > 1 : nr_names != 1)
		return app_usage(a, "the name of one component, please");
	q->o.cancel = signals_cancel();
	status = app_configure(a, q->config, &config, &e) ? app_fail(a, &e) : roll_back(a, q, config, names, nr_names);
	config_close(config);
	return status;
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_JSON, APP_LONG_QUIET, APP_LONG_JOBS,
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "list", no_argument, NULL, OPT_LIST },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "yes", no_argument, NULL, 'y' },
		APP_LONG_END
	};
	struct request q = { 0 };
	int c;

	while ((c = app_getopt(a, argc, argv, ":hj:nqr:vy", longs)) != -1) {
		if (c == OPT_CONFIG)
			q.config = optarg;
		else if (c == OPT_LIST)
			q.list = true;
		else if (c == 'n')
			q.o.dry_run = true;
		else if (c == 'v')
			q.o.verbose = true;
		else if (c == 'y')
			q.yes = true;
		else
			return app_getopt_status(c);
	}
	return run_request(a, &q, argv + optind, (size_t)(argc - optind));
}

const struct command cmd_rollback = {
	.name = "rollback",
	.summary = "undo a recover",
	.usage = "usage: vouch rollback [OPTION...] NAME\n"
		 "       vouch rollback --list [NAME]\n"
		 "Put back what the last 'vouch recover NAME' overwrote.  Each recover leaves such a way back; it is kept\n"
		 "for seven days.\n\n"
		 "  --list             the ways back that are left, newest first\n"
		 "  -n, --dry-run      say which would be taken, and check it; change nothing\n"
		 "  -y, --yes          no countdown; needed where there is no terminal\n"
		 "  -v, --verbose      all rows of the comparison, not only those that differ\n"
		 "  --config FILE      instead of /etc/vouch.conf\n"
		 "  --json             plan, comparison and summary as NDJSON\n"
		 "  -q, --quiet        only what is wrong\n",
	.run = run,
};
