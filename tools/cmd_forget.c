/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/forget.h"
#include "tools/commands.h"
#include "tools/jsonout.h"
#include "tools/text.h"

enum { OPT_KEEP_LAST = APP_OPT_FIRST, OPT_REASON };

#define KEEP_MAX 1000000u

struct forget {
	struct app *app;
	bool dry_run;
	size_t keep;		/* 0: the snapshots named */
	const char *reason;
	struct snapshot_list list;
	bool *go;		/* one a snapshot of list */
};

static bool parse_keep(const char *s, size_t *out)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(s, &end, 10);
	if (errno || *end || s[0] < '0' || s[0] > '9' || n == 0 || n > KEEP_MAX)
		return false;
	*out = n;
	return true;
}

static enum err_code choose(struct forget *f, struct store *s, int nr, char **names,
			    struct err *e)
{
	struct vtime now = { .sec = time(NULL) };
	enum err_code rc = snapshot_list_read(s, &f->list, e);

	if (rc)
		return rc;
	f->go = calloc(f->list.nr ? f->list.nr : 1, sizeof(*f->go));
	if (!f->go)
		return err_set(e, ERR_NOMEM, "%zu snapshots", f->list.nr);
	if (f->keep)
		retention_keep_last(&f->list, &f->app->filter, f->keep, now, f->go);
	/* All are found before any goes. */
	for (int i = 0; i < nr && !rc; i++) {
		const struct snapshot *snap = NULL;

		rc = snapshot_named(f->app, s, &f->list, names[i], &snap, e);
		if (!rc)
			f->go[snap - f->list.all] = true;
	}
	return rc;
}

static bool tell(const struct forget *f, const struct snapshot *s, bool goes)
{
	struct buf line = BUF_INIT;
	bool ok;

	if (!goes && !f->keep)
		return true;
	if (f->app->json) {
		struct jsonout j = jsonout_begin(goes ? "forgotten" : "kept");

		jsonout_id(&j, "id", &s->id);
		jsonout_str(&j, "name", s->name);
		jsonout_bool(&j, "dry_run", f->dry_run);
		return jsonout_end(&j);
	}
	if (f->app->quiet)
		return true;
	buf_printf(&line, "%s  %s  ", goes ? (f->dry_run ? "would go" : "gone    ") : "kept    ",
		   s->name);
	text_escape_str(&line, s->host);
	for (size_t i = 0; i < s->nr_sources; i++) {
		buf_add_u8(&line, ' ');
		text_escape_str(&line, s->sources[i]);
	}
	buf_add_u8(&line, '\n');
	ok = !line.bad && fwrite(line.p, 1, line.len, stdout) == line.len;
	buf_release(&line);
	return ok;
}

static int let_go(struct forget *f, struct store *s, struct err *e)
{
	const struct snapshot **v = calloc(f->list.nr ? f->list.nr : 1, sizeof(struct snapshot *));
	enum err_code rc = v ? ERR_OK : err_set(e, ERR_NOMEM, "%zu snapshots", f->list.nr);
	size_t nr = 0, done = 0, told = 0;
	bool ok = true;

	for (size_t i = 0; i < f->list.nr && !rc; i++)
		if (f->go[i])
			v[nr++] = &f->list.all[i];
	if (!rc && f->dry_run)
		done = nr;
	else if (!rc)
		rc = snapshots_forget(s, v, nr, f->reason, &done, e);
	progress_clear(f->app->progress);
	for (size_t i = 0; i < f->list.nr; i++) {
		if (!snapshot_passes(&f->list.all[i], &f->app->filter))
			continue;
		if (!f->go[i])
			ok = tell(f, &f->list.all[i], false) && ok;
		else if (told++ < done)
			ok = tell(f, &f->list.all[i], true) && ok;
	}
	if (!rc && !f->app->json && !f->app->quiet) {
		if (nr == 0)
			puts("nothing to let go");
		else if (!f->dry_run)
			puts("Their space comes back with: vouch prune");
	}
	free(v);
	if (rc)
		return app_fail(f->app, e);
	return ok ? STATUS_DONE : STATUS_FAILED;
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_JSON, APP_LONG_QUIET, APP_LONG_FILTER,
		{ "keep-last", required_argument, NULL, OPT_KEEP_LAST },
		{ "reason", required_argument, NULL, OPT_REASON },
		{ "dry-run", no_argument, NULL, 'n' },
		APP_LONG_END
	};
	struct forget f = { .app = a, .reason = "" };
	struct err e = ERR_INIT;
	struct store *s = NULL;
	int status, c;

	while ((c = app_getopt(a, argc, argv, ":hnqr:", longs)) != -1) {
		if (c == 'n')
			f.dry_run = true;
		else if (c == OPT_REASON)
			f.reason = optarg;
		else if (c != OPT_KEEP_LAST)
			return app_getopt_status(c);
		else if (!parse_keep(optarg, &f.keep))
			return app_usage(a, "--keep-last: '%s' is not a number of 1 to %u", optarg,
					 KEEP_MAX);
	}
	if ((optind < argc) == (f.keep > 0))
		return app_usage(a, "either SNAPSHOT... or --keep-last N, please");
	status = app_open(a, f.dry_run ? STORE_READ : STORE_WRITE, true, &s);
	if (status)
		return status;
	if (choose(&f, s, argc - optind, argv + optind, &e))
		status = app_fail(a, &e);
	else
		status = let_go(&f, s, &e);
	free(f.go);
	snapshot_list_release(&f.list);
	store_close(s);
	return status;
}

const struct command cmd_forget = {
	.name = "forget",
	.summary = "let snapshots go",
	.usage = "usage: vouch forget [--dry-run] [--reason TEXT] SNAPSHOT...\n"
		 "       vouch forget [--dry-run] [--host HOST] [--tag TAG] [--path SOURCE] --keep-last N\n"
		 "Let snapshots go.  A record of each stays; the space comes back with 'vouch prune'.\n\n"
		 "  --keep-last N      all but the newest N of each host with the same sources\n"
		 "  --host HOST, --tag TAG, --path SOURCE   look only at those of that host, tag or source\n"
		 "  --reason TEXT      kept in the record\n"
		 "  -n, --dry-run      only say what would go\n"
		 "  --json             one JSON object a line\n",
	.run = run,
};
