/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/base/checked.h"
#include "store/diff.h"
#include "tools/commands.h"
#include "tools/jsonout.h"
#include "tools/text.h"

struct diff {
	struct app *app;
	bool colour;
	uint64_t nr[4];		/* by enum diff_kind */
	struct buf line;
};

static const struct {
	char letter;
	const char *colour, *name;
} kinds[] = {
	[DIFF_ADDED] = { '+', "\033[32m", "added" },
	[DIFF_REMOVED] = { '-', "\033[31m", "removed" },
	[DIFF_CONTENT] = { 'M', "\033[33m", "content" },
	[DIFF_METADATA] = { 'm', "\033[2m", "metadata" },
};

static enum err_code print_json(enum diff_kind kind, const char *path, const struct entry *a,
				const struct entry *b, struct err *e)
{
	struct jsonout j = jsonout_begin("change");
	struct object_id sum;

	jsonout_str(&j, "change", kinds[kind].name);
	jsonout_str(&j, "path", path);
	if (a && a->type == ENTRY_FILE) {
		jsonout_u64(&j, "old_size", a->size);
		if (entry_sha256(a, &sum))
			jsonout_id(&j, "old_sha256", &sum);
	}
	if (b && b->type == ENTRY_FILE) {
		jsonout_u64(&j, "size", b->size);
		if (entry_sha256(b, &sum))
			jsonout_id(&j, "sha256", &sum);
	}
	return jsonout_end(&j) ? ERR_OK :
				 err_set(e, ERR_IO, "standard output could not be written");
}

static enum err_code on_change(void *ctx, enum diff_kind kind, const char *path,
			       const struct entry *a, const struct entry *b, struct err *e)
{
	struct diff *d = ctx;
	const struct entry *any = b ? b : a;
	struct event ev = { .kind = EVENT_PROGRESS, .text = "diff", .path = path };

	d->nr[kind]++;
	for (size_t i = 0; i < ARRAY_LEN(d->nr); i++)
		ev.files += d->nr[i];
	progress_tell(d->app->progress, &ev);
	if (d->app->json)
		return print_json(kind, path, a, b, e);
	buf_reset(&d->line);
	if (d->colour)
		buf_add_str(&d->line, kinds[kind].colour);
	buf_printf(&d->line, "%c ", kinds[kind].letter);
	text_escape_str(&d->line, path);
	if (any && any->type == ENTRY_DIR && (!*path || path[strlen(path) - 1] != '/'))
		buf_add_u8(&d->line, '/');
	if (d->colour)
		buf_add_str(&d->line, "\033[0m");
	buf_add_u8(&d->line, '\n');
	if (d->line.bad)
		return err_set(e, ERR_NOMEM, "a line of the list");
	if (fwrite(d->line.p, 1, d->line.len, stdout) != d->line.len)
		return err_sys(e, "write to standard output");
	return ERR_OK;
}

static bool same_bytes(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

/*
 * Of files with much in holes no digest is kept: then the same chunks must stand at the same
 * places.
 */
static bool same_file(const struct entry *a, const struct entry *b)
{
	struct object_id sum_a, sum_b;
	bool have_a = entry_sha256(a, &sum_a), have_b = entry_sha256(b, &sum_b);

	if (have_a && have_b)
		return id_eq(&sum_a, &sum_b);
	return a->content == b->content &&
	       (a->content == CONTENT_NODE
			? id_eq(&a->node, &b->node)
			: same_bytes(a->content_p, a->content_len, b->content_p, b->content_len));
}

/* Two entries that are not both folders: diff_run() compares what is in folders. */
static enum err_code compare_entries(struct diff *d, const struct entry *a, const struct entry *b,
				     const char *path, struct err *e)
{
	enum diff_kind kind;

	if (a->type != b->type || a->size != b->size ||
	    (a->type == ENTRY_FILE && !same_file(a, b)) ||
	    !same_bytes(a->target, a->target_len, b->target, b->target_len) ||
	    a->rdev_major != b->rdev_major || a->rdev_minor != b->rdev_minor)
		kind = DIFF_CONTENT;
	else if (a->mode != b->mode || a->uid != b->uid || a->gid != b->gid ||
		 a->mtime.sec != b->mtime.sec || a->mtime.nsec != b->mtime.nsec ||
		 a->inode_flags != b->inode_flags ||
		 !same_bytes(a->xattrs, a->xattrs_len, b->xattrs, b->xattrs_len))
		kind = DIFF_METADATA;
	else
		return ERR_OK;
	return on_change(d, kind, path, a, b, e);
}

static enum err_code compare(struct diff *d, struct store *s, char **args, struct err *e)
{
	struct target a = { 0 }, b = { 0 };
	enum err_code rc = target_find(d->app, s, args[0], &a, e);

	if (!rc)
		rc = target_find(d->app, s, args[1], &b, e);
	progress_clear(d->app->progress);
	if (rc)
		goto out;
	if (a.ref.e.type == ENTRY_DIR && b.ref.e.type == ENTRY_DIR)
		rc = diff_run(s, &a.ref.e, &b.ref.e, on_change, d, e);
	else
		rc = compare_entries(d, &a.ref.e, &b.ref.e, b.path, e);
out:
	target_release(s, &a);
	target_release(s, &b);
	return rc;
}

static bool print_summary(const struct diff *d)
{
	struct jsonout j = jsonout_begin("summary");

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		jsonout_u64(&j, kinds[i].name, d->nr[i]);
	return jsonout_end(&j);
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = { APP_LONG_OPTIONS, APP_LONG_JSON, APP_LONG_FILTER,
					       APP_LONG_END };
	struct diff d = { .app = a, .colour = progress_colour(STDOUT_FILENO) };
	struct err e = ERR_INIT;
	struct store *s = NULL;
	int status, c = app_getopt(a, argc, argv, ":hr:", longs);

	if (c != -1)
		return app_getopt_status(c);
	if (argc - optind != 2)
		return app_usage(a, "two of SNAPSHOT[:PATH], please");
	status = app_open(a, STORE_READ, false, &s);
	if (status)
		return status;
	if (compare(&d, s, argv + optind, &e))
		status = app_fail(a, &e);
	else if (a->json && !print_summary(&d))
		status = STATUS_FAILED;
	buf_release(&d.line);
	store_close(s);
	return status;
}

const struct command cmd_diff = {
	.name = "diff",
	.summary = "what changed between two snapshots",
	.usage = "usage: vouch diff [--json] SNAPSHOT[:PATH] SNAPSHOT[:PATH]\n"
		 "What changed from the first to the second: '+' added, '-' removed, 'M' content, 'm' only\n"
		 "mode, owner, time, attributes.  Differences are no failure: the exit status is 0.\n\n"
		 "  --json             one JSON object a line\n"
		 "  --host HOST, --tag TAG, --path SOURCE   which snapshots 'latest' and dates mean\n",
	.run = run,
};
