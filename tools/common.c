/* SPDX-License-Identifier: MIT */
#include "tools/common.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/checked.h"
#include "store/history.h"
#include "tools/signals.h"
#include "tools/text.h"

#define RATE_MIN 1024u			/* slower, a backup would never end */
#define RATE_MAX ((uint64_t)1 << 50)	/* bytes a second: faster than any memory */
#define LIST_MAX ((size_t)1 << 30)	/* bytes of a list of files; more is no list */

void app_say(struct app *a, const char *kind, const char *fmt, ...)
{
	char *line;
	va_list ap;

	va_start(ap, fmt);
	line = text_vline(fmt, ap);
	va_end(ap);
	progress_say(a->progress, a->command->name, kind, line ? line : "out of memory");
	free(line);
}

int app_usage(struct app *a, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	app_say(a, NULL, "%s; see 'vouch help %s'", text, a->command->name);
	return STATUS_USAGE;
}

static int status_of(enum err_code code)
{
	switch (code) {
	case ERR_OK:
		return STATUS_DONE;
	case ERR_USAGE:
		return STATUS_USAGE;
	case ERR_CORRUPT:
	case ERR_INCOMPLETE:
		return STATUS_DAMAGE;
	case ERR_ABSENT:
		return STATUS_ABSENT;
	default:
		return STATUS_FAILED;
	}
}

const char *app_advice(const struct err *e)
{
	switch (e->code) {
	case ERR_CORRUPT:
		return "run 'vouch verify' to see what else is touched";
	case ERR_INCOMPLETE:
		return "copy the repository again (rsync) to make it whole";
	case ERR_UNSUPPORTED:
		return "use a newer vouch";
	case ERR_NOMEM:
		return "free memory, or use --jobs 1, and run again";
	case ERR_IO:
		if (e->sys == ENOSPC || e->sys == EDQUOT)
			return "free space and run again: nothing that is done is done twice";
		if (e->sys == EROFS)
			return "mount it for writing and run again";
		return NULL;
	default:
		return NULL;
	}
}

int app_fail(struct app *a, const struct err *e)
{
	const char *next = app_advice(e);

	if (e->code == ERR_CANCELED)
		app_say(a, NULL, "interrupted; run again to go on from here");
	else if (next)
		app_say(a, NULL, "%s; %s", e->msg, next);
	else
		app_say(a, NULL, "%s", e->msg);
	return status_of(e->code);
}

static bool is_empty_folder(const char *path)
{
	DIR *d = opendir(path);
	bool empty = d != NULL;
	struct dirent *de;

	while (empty && (de = readdir(d)))
		empty = strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0 ||
			strcmp(de->d_name, "lost+found") == 0;
	if (d)
		closedir(d);
	return empty;
}

int app_fail_open(struct app *a, const struct err *e)
{
	if (e->code != ERR_NOT_FOUND)
		return app_fail(a, e);
	/* An empty folder is where a drive would be mounted. */
	if (is_empty_folder(a->repo)) {
		app_say(a, NULL, "%s: the folder is empty: is the drive plugged in and mounted? "
				 "('vouch init' makes a repository there)", a->repo);
		return STATUS_ABSENT;
	}
	app_say(a, NULL, "%s; give --repo or VOUCH_REPO the folder that holds vouch.json", e->msg);
	return STATUS_USAGE;
}

/* The options that keep work from being in the way; false where the value is wrong, and that was said. */
static bool take_restraint(struct app *a, int c)
{
	long n;

	if (c == APP_OPT_RATE && !(text_parse_size(optarg, &a->limit_rate) &&
				   a->limit_rate >= RATE_MIN && a->limit_rate <= RATE_MAX)) {
		app_usage(a, "--limit-rate needs bytes a second, like 500K or 10M, not below 1K");
		return false;
	}
	if (c == APP_OPT_NICE && !text_parse_long(optarg, -20, 19, &n)) {
		app_usage(a, "--nice needs a number from -20 to 19");
		return false;
	}
	if (c == APP_OPT_NICE) {
		a->priority.nice = (int)n;
		a->priority.has_nice = true;
	}
	if (c == APP_OPT_IONICE && !priority_parse_ionice(optarg, &a->priority)) {
		app_usage(a, "--ionice needs idle, best-effort, or best-effort: and a number from 0 to 7");
		return false;
	}
	return true;
}

int app_getopt(struct app *a, int argc, char **argv, const char *shorts,
	       const struct option *longs)
{
	long n;

	for (;;) {
		int c = getopt_long(argc, argv, shorts, longs, NULL);

		switch (c) {
		case 'r':
			a->repo = optarg;
			break;
		case 'h':
			fputs(a->command->usage, stdout);
			return APP_HELP;
		case 'q':
			a->quiet = true;
			break;
		case 'j':
			if (!text_parse_long(optarg, 1, 1024, &n)) {
				app_usage(a, "--jobs needs a number from 1 to 1024");
				return APP_BAD;
			}
			a->jobs = (unsigned)n;
			break;
		case APP_OPT_RATE:
		case APP_OPT_NICE:
		case APP_OPT_IONICE:
			if (!take_restraint(a, c))
				return APP_BAD;
			break;
		case APP_OPT_JSON:
			a->json = true;
			break;
		case APP_OPT_HOST:
			a->filter.host = optarg;
			break;
		case APP_OPT_TAG:
			a->filter.tag = optarg;
			break;
		case APP_OPT_PATH:
			a->filter.path = optarg;
			break;
		case ':':
			app_usage(a, "option %s needs a value", argv[optind - 1]);
			return APP_BAD;
		case '?':
			if (optopt > 0 && optopt < APP_OPT_JSON)
				app_usage(a, "option -%c is unknown here", optopt);
			else
				app_usage(a, "option %s is unknown here, or not unique, or takes no value",
					  argv[optind - 1]);
			return APP_BAD;
		default:
			return c;
		}
	}
}

int app_getopt_status(int c)
{
	return c == APP_HELP ? STATUS_DONE : STATUS_USAGE;
}

int app_begin(struct app *a, bool work)
{
	struct progress_options po = { .command = a->command->name, .json = a->json,
				       .quiet = a->quiet, .listing = !work };
	struct err e = ERR_INIT;

	if (priority_apply(&a->priority, &e) || progress_open(&po, &a->progress, &e))
		return app_fail(a, &e);
	if (!work)
		return STATUS_DONE;
	/* A reader of our lines that goes away must not end a backup. */
	(void)signal(SIGPIPE, SIG_IGN);
	return signals_start(a->progress, true, &e) ? app_fail(a, &e) : STATUS_DONE;
}

int app_open(struct app *a, enum store_mode mode, bool work, struct store **out)
{
	struct store_events ev;
	struct err e = ERR_INIT;
	int status;

	if (!a->repo || !*a->repo)
		return app_usage(a, "no repository given: use --repo PATH or set VOUCH_REPO%s%s",
				 a->configuration ? ", or write 'path = PATH' below [repository] in " : "",
				 a->configuration ? a->configuration : "");
	status = app_begin(a, work);
	if (status)
		return status;
	if (!work && signals_start(a->progress, false, &e))
		return app_fail(a, &e);
	ev = progress_events(a->progress);
	if (store_open(a->repo, mode, &ev, out, &e))
		return app_fail_open(a, &e);
	signals_heeded();
	return STATUS_DONE;
}

int app_end(struct app *a, int status)
{
	int failed;

	if (a->progress) {
		signals_stop();
		if (progress_damage(a->progress) > 0 &&
		    (status == STATUS_DONE || status == STATUS_PARTIAL))
			status = STATUS_DAMAGE;
		progress_clear(a->progress);
	}
	failed = fflush(stdout) ? errno : 0;
	if (failed || ferror(stdout)) {
		app_say(a, NULL, "standard output could not be written%s%s", failed ? ": " : "", failed ? strerror(failed) : "");
		if (status == STATUS_DONE || status == STATUS_PARTIAL)
			status = STATUS_FAILED;
	}
	progress_close(a->progress);
	a->progress = NULL;
	return status;
}

/* SNAPSHOT[:PATH] */

/* A backup's id says which snapshot, whatever the filter. */
static enum err_code by_backup_id(struct store *s, const struct snapshot_list *l, const char *id,
				  const struct snapshot **out, struct err *e)
{
	char *name = NULL, *component = NULL, *good = NULL;
	enum err_code rc = history_find(s, id, &name, &component, e);

	if (!rc && snapshot_find(l, name, NULL, out, NULL)) {
		rc = history_newest_good(s, id, &good, e);
		if (!rc)
			rc = err_set(e, ERR_CORRUPT, "the snapshot of backup %s, %s, is damaged; %s%s", id, name,
				     good ? "the newest good one is " : "there is no other", good ? good : "");
	}
	free(name);
	free(component);
	free(good);
	return rc;
}

enum err_code snapshot_named(struct app *a, struct store *s, const struct snapshot_list *l, const char *spec,
			     const struct snapshot **out, struct err *e)
{
	return history_is_id(spec) ? by_backup_id(s, l, spec, out, e) : snapshot_find(l, spec, &a->filter, out, e);
}

enum err_code target_find(struct app *a, struct store *s, const char *arg, struct target *out,
			  struct err *e)
{
	size_t len = strcspn(arg, ":");
	char *spec = strndup(arg, len);
	struct target t = { 0 };
	enum err_code rc;

	if (!spec)
		return err_set(e, ERR_NOMEM, "%s", arg);
	/* No name, date or id has a colon; a path may have any. */
	t.path = arg[len] ? arg + len + 1 : "";
	if (len == 0) {
		rc = err_set(e, ERR_USAGE, "%s: no snapshot before the colon; try latest%s", arg, arg);
		goto out;
	}
	rc = snapshot_list_read(s, &t.list, e);
	if (rc)
		goto out;
	rc = snapshot_named(a, s, &t.list, spec, &t.snapshot, e);
	if (rc)
		goto out;
	rc = tree_path(s, &t.snapshot->root, t.path, &t.ref, e);
	if (rc) {
		err_prefix(e, "snapshot %.*s", SNAPSHOT_DATE_LEN, t.snapshot->name);
		goto out;
	}
	*out = t;
	t = (struct target){ 0 };
out:
	target_release(s, &t);
	free(spec);
	return rc;
}

void target_release(struct store *s, struct target *t)
{
	entry_ref_release(s, &t->ref);
	snapshot_list_release(&t->list);
	*t = (struct target){ 0 };
}

/* Lists */

void strings_add(struct strings *l, const char *s, size_t len)
{
	char **v = l->v;

	if (l->bad)
		return;
	/* One more than needed: the list always ends in NULL, as execvp() wants it. */
	if (l->nr + 1 >= l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 16;

		v = reallocarray(l->v, cap, sizeof(*v));
		if (v) {
			l->v = v;
			l->cap = cap;
		}
	}
	if (v)
		v[l->nr] = strndup(s, len);
	if (!v || !v[l->nr]) {
		l->bad = true;
		return;
	}
	v[++l->nr] = NULL;
}

void strings_release(struct strings *l)
{
	for (size_t i = 0; i < l->nr; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct strings){ 0 };
}

enum err_code strings_read(struct strings *l, const char *name, bool nul, struct err *e)
{
	FILE *f = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
	enum err_code rc = ERR_OK;
	char *part = NULL;
	size_t cap = 0, total = 0;
	ssize_t n;

	if (!f)
		return err_sys(e, "open %s", name);
	while ((n = getdelim(&part, &cap, nul ? '\0' : '\n', f)) > 0) {
		size_t len = (size_t)n;

		if (part[len - 1] == (nul ? '\0' : '\n'))
			len--;
		total += len;
		if (total > LIST_MAX) {
			rc = err_set(e, ERR_LIMIT, "%s: more than %zu bytes of names", name, LIST_MAX);
			break;
		}
		if (!nul && memchr(part, '\0', len)) {
			rc = err_set(e, ERR_USAGE, "%s: a NUL in a line; use --from0 where names end in NUL",
				     name);
			break;
		}
		if (len > 0)
			strings_add(l, part, len);
	}
	if (!rc && ferror(f))
		rc = err_sys(e, "read %s", name);
	if (!rc && l->bad)
		rc = err_set(e, ERR_NOMEM, "%s", name);
	free(part);
	if (f != stdin)
		fclose(f);
	return rc;
}
