/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/backup.h"
#include "tools/commands.h"
#include "tools/jsonout.h"
#include "tools/signals.h"
#include "tools/spawn.h"
#include "tools/text.h"

enum {
	OPT_EXCLUDE = APP_OPT_FIRST,
	OPT_EXCLUDE_FROM,
	OPT_EXCLUDE_CACHES,
	OPT_FILES_FROM,
	OPT_FROM0,
	OPT_TAG,
	OPT_HOST,
	OPT_FORCE,
	OPT_STDIN_NAME,
	OPT_ALLOW_EMPTY,
	OPT_CHUNK_SIZE
};

/* What becomes the one file of a stream: a producer's output, or standard input. */
struct input {
	struct spawn *producer;		/* NULL: standard input */
	const char *who;		/* for messages */
	bool allow_empty;
	uint64_t bytes;
};

struct request {
	struct backup_options o;
	struct strings sources, excludes, tags;
	const char *files_from, *stdin_name;
	bool from0, allow_empty;
};

static enum err_code input_read(void *ctx, void *buf, size_t len, size_t *n, struct err *e)
{
	struct input *in = ctx;
	enum err_code rc;

	if (in->producer)
		rc = spawn_read(in->producer, signals_cancel(), buf, len, n, e);
	else
		rc = spawn_read_fd(STDIN_FILENO, signals_cancel(), buf, len, n, e);
	if (!rc)
		in->bytes += *n;
	return rc;
}

/* A dump that failed, or that is nothing, is no backup. */
static enum err_code input_end(void *ctx, struct err *e)
{
	struct input *in = ctx;
	enum err_code rc = ERR_OK;

	if (in->producer)
		rc = spawn_end(in->producer, signals_cancel(), e);
	if (!rc && in->bytes == 0 && !in->allow_empty)
		rc = err_set(e, ERR_FAILED, "%s gave no bytes; use --allow-empty where that is right",
			     in->who);
	if (rc && rc != ERR_CANCELED)
		err_prefix(e, "no snapshot was made");
	return rc;
}

/* Lines of a file of patterns, without comments. */
static enum err_code read_patterns(struct strings *l, const char *name, struct err *e)
{
	struct strings lines = { 0 };
	enum err_code rc = strings_read(&lines, name, false, e);

	for (size_t i = 0; !rc && i < lines.nr; i++) {
		size_t len = strcspn(lines.v[i], "\r");

		if (lines.v[i][0] != '#' && len > 0)
			strings_add(l, lines.v[i], len);
	}
	strings_release(&lines);
	return rc;
}

/* Which sizes there are, backup_run() knows. */
static int take_chunk_size(struct app *a, struct request *q)
{
	uint64_t v;

	if (!text_parse_size(optarg, &v) || v == 0 || v > UINT32_MAX) {
		app_usage(a, "--chunk-size needs a size like 4K or 64K");
		return APP_BAD;
	}
	q->o.chunk_avg = (uint32_t)v;
	return 0;
}

/* 0; app_getopt's APP_HELP or APP_BAD. */
static int take(struct app *a, struct request *q, int c)
{
	struct err e = ERR_INIT;

	switch (c) {
	case OPT_EXCLUDE:
		strings_add(&q->excludes, optarg, SIZE_MAX);
		break;
	case OPT_EXCLUDE_FROM:
		if (read_patterns(&q->excludes, optarg, &e)) {
			app_usage(a, "--exclude-from: %s", e.msg);
			return APP_BAD;
		}
		break;
	case OPT_EXCLUDE_CACHES:
		q->o.exclude_caches = true;
		break;
	case 'x':
		q->o.one_file_system = true;
		break;
	case OPT_FILES_FROM:
		q->files_from = optarg;
		break;
	case OPT_FROM0:
		q->from0 = true;
		break;
	case OPT_TAG:
		strings_add(&q->tags, optarg, SIZE_MAX);
		break;
	case 'C':
		q->o.base = optarg;
		break;
	case OPT_HOST:
		q->o.host = optarg;
		break;
	case OPT_FORCE:
		q->o.force = true;
		break;
	case 'n':
		q->o.dry_run = true;
		break;
	case OPT_STDIN_NAME:
		q->stdin_name = optarg;
		break;
	case OPT_ALLOW_EMPTY:
		q->allow_empty = true;
		break;
	case OPT_CHUNK_SIZE:
		return take_chunk_size(a, q);
	default:
		return c;
	}
	return 0;
}

static int parse(struct app *a, int argc, char **argv, struct request *q)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_WORK,
		{ "exclude", required_argument, NULL, OPT_EXCLUDE },
		{ "exclude-from", required_argument, NULL, OPT_EXCLUDE_FROM },
		{ "exclude-caches", no_argument, NULL, OPT_EXCLUDE_CACHES },
		{ "one-file-system", no_argument, NULL, 'x' },
		{ "files-from", required_argument, NULL, OPT_FILES_FROM },
		{ "from0", no_argument, NULL, OPT_FROM0 },
		{ "tag", required_argument, NULL, OPT_TAG },
		{ "directory", required_argument, NULL, 'C' },
		{ "host", required_argument, NULL, OPT_HOST },
		{ "force", no_argument, NULL, OPT_FORCE },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "stdin-name", required_argument, NULL, OPT_STDIN_NAME },
		{ "allow-empty", no_argument, NULL, OPT_ALLOW_EMPTY },
		{ "chunk-size", required_argument, NULL, OPT_CHUNK_SIZE },
		APP_LONG_END
	};
	int c, bad = 0;

	while (!bad && (c = app_getopt(a, argc, argv, ":C:hj:nqr:x", longs)) != -1)
		bad = take(a, q, c);
	return bad;
}

/* What small chunks cost shows here: each is named in tables, in its file's list, in the index. */
static void print_cost(const struct backup_result *r)
{
	char n[TEXT_LEN], avg[TEXT_LEN], tables[TEXT_LEN], trees[TEXT_LEN];

	printf("chunks    %s new, %s on average; tables %s, folders and lists %s\n",
	       text_count(r->new_chunks, n), text_size(r->new_bytes / r->new_chunks, avg),
	       text_size(r->table_bytes, tables), text_size(r->tree_bytes, trees));
}

static void print_summary(struct app *a, const struct request *q, const struct backup_result *r,
			  uint64_t index_written)
{
	char x[TEXT_LEN], y[TEXT_LEN], z[TEXT_LEN], w[TEXT_LEN];
	double seconds = progress_seconds(a->progress);

	if (q->o.dry_run)
		puts("dry run: nothing was stored");
	else
		printf("snapshot  %s\n", r->snapshot.name);
	if (q->o.force)
		printf("files     %s, all of them read\n", text_count(r->files, x));
	else
		printf("files     %s: %s new, %s changed, %s unchanged\n",
		       text_count(r->files, x), text_count(r->new_files, w),
		       text_count(r->changed_files - r->new_files, y),
		       text_count(r->unchanged_files, z));
	printf("others    %s folders, %s links and special files", text_count(r->dirs, x),
	       text_count(r->others, y));
	if (r->skipped)
		printf("; %s skipped", text_count(r->skipped, z));
	printf("\nbytes     %s", text_size(r->bytes, x));
	if (!q->o.dry_run)
		printf(": %s new, stored in %s", text_size(r->new_bytes, y),
		       text_size(r->stored_bytes, z));
	putchar('\n');
	if (r->new_chunks)
		print_cost(r);
	if (index_written)
		printf("index     %s larger, %s written\n", text_size(r->index_bytes, x),
		       text_size(index_written, y));
	printf("time      %s", text_duration(seconds, x));
	if (seconds > 0)
		printf(", %s/s", text_size((uint64_t)((double)r->bytes / seconds), y));
	putchar('\n');
	if (r->errors)
		printf("errors    %s; each is named above\n", text_count(r->errors, x));
}

static bool print_json(struct app *a, const struct request *q, const struct backup_result *r,
		       uint64_t index_written)
{
	struct jsonout j = jsonout_begin("summary");

	jsonout_bool(&j, "dry_run", q->o.dry_run);
	if (!q->o.dry_run) {
		jsonout_str(&j, "snapshot", r->snapshot.name);
		jsonout_id(&j, "id", &r->snapshot.id);
	}
	jsonout_u64(&j, "files", r->files);
	jsonout_u64(&j, "files_new", r->new_files);
	jsonout_u64(&j, "files_changed", r->changed_files - r->new_files);
	jsonout_u64(&j, "files_unchanged", r->unchanged_files);
	jsonout_u64(&j, "dirs", r->dirs);
	jsonout_u64(&j, "others", r->others);
	jsonout_u64(&j, "skipped", r->skipped);
	jsonout_u64(&j, "bytes", r->bytes);
	jsonout_u64(&j, "new_bytes", r->new_bytes);
	jsonout_u64(&j, "stored_bytes", r->stored_bytes);
	jsonout_u64(&j, "new_chunks", r->new_chunks);
	jsonout_u64(&j, "table_bytes", r->table_bytes);
	jsonout_u64(&j, "tree_bytes", r->tree_bytes);
	jsonout_u64(&j, "index_bytes", r->index_bytes);
	jsonout_u64(&j, "index_written_bytes", index_written);
	jsonout_u64(&j, "errors", r->errors);
	jsonout_real(&j, "seconds", progress_seconds(a->progress));
	return jsonout_end(&j);
}

static int backup(struct app *a, struct store *s, const struct request *q)
{
	struct backup_result r = { 0 };
	struct store_stats stats;
	struct err e = ERR_INIT;
	int status = STATUS_DONE;

	if (backup_run(s, &q->o, &r, &e)) {
		progress_clear(a->progress);
		return app_fail(a, &e);
	}
	progress_clear(a->progress);
	store_stats(s, &stats);
	if (a->json)
		status = print_json(a, q, &r, stats.index_written) ? STATUS_DONE : STATUS_FAILED;
	else if (!a->quiet)
		print_summary(a, q, &r, stats.index_written);
	if (status == STATUS_DONE && r.errors)
		status = STATUS_PARTIAL;
	snapshot_release(&r.snapshot);
	return status;
}

/* The producer is started before the repository is opened: only once the signals' thread is there (app_open). */
static int backup_stream(struct app *a, struct store *s, struct request *q, char **command)
{
	struct input in = { .allow_empty = q->allow_empty };
	struct backup_stream stream = { .name = q->stdin_name, .read = input_read,
					.end = input_end, .ctx = &in };
	struct err e = ERR_INIT;
	int status;

	in.who = *command ? *command : "standard input";
	if (*command && !q->o.dry_run && spawn_open(command, &in.producer, &e)) {
		err_prefix(&e, "no snapshot was made");
		return app_fail(a, &e);
	}
	q->o.streams = &stream;
	q->o.nr_streams = 1;
	status = backup(a, s, q);
	spawn_close(in.producer);
	return status;
}

/* What only one of the two forms takes. */
static int check(struct app *a, struct request *q, int argc, char **argv)
{
	struct err e = ERR_INIT;

	if (q->stdin_name) {
		if (q->files_from)
			return app_usage(a, "--stdin-name and --files-from do not go together");
		if (optind < argc && strcmp(argv[optind - 1], "--") != 0)
			return app_usage(a, "put -- before the command that writes %s",
					 q->stdin_name);
		if (q->o.dry_run)
			return app_usage(a, "--dry-run would need the command's output; leave it away");
	} else {
		for (int i = optind; i < argc; i++)
			strings_add(&q->sources, argv[i], SIZE_MAX);
		if (q->files_from && strings_read(&q->sources, q->files_from, q->from0, &e))
			return app_usage(a, "--files-from: %s", e.msg);
		if (q->sources.nr == 0)
			return app_usage(a, q->files_from ? "the list of files is empty" :
							    "no PATH given");
	}
	for (size_t i = 0; i < q->tags.nr; i++)
		if (strncmp(q->tags.v[i], TAG_RESERVED, strlen(TAG_RESERVED)) == 0)
			return app_usage(a, "--tag %s: tags that begin with " TAG_RESERVED " are vouch's own",
					 q->tags.v[i]);
	if (q->sources.bad || q->excludes.bad || q->tags.bad) {
		app_say(a, NULL, "no memory for the lists");
		return STATUS_FAILED;
	}
	return STATUS_DONE;
}

static int run_request(struct app *a, int argc, char **argv, struct request *q)
{
	struct store *s = NULL;
	int status = check(a, q, argc, argv);

	if (status)
		return status;
	q->o.sources = (const char *const *)q->sources.v;
	q->o.nr_sources = q->sources.nr;
	q->o.excludes = (const char *const *)q->excludes.v;
	q->o.nr_excludes = q->excludes.nr;
	q->o.tags = (const char *const *)q->tags.v;
	q->o.nr_tags = q->tags.nr;
	q->o.jobs = a->jobs;
	q->o.limit_rate = a->limit_rate;
	q->o.cancel = signals_cancel();
	status = app_open(a, q->o.dry_run ? STORE_READ : STORE_WRITE, true, &s);
	if (status)
		return status;
	status = q->stdin_name ? backup_stream(a, s, q, argv + optind) : backup(a, s, q);
	store_close(s);
	return status;
}

static int run(struct app *a, int argc, char **argv)
{
	struct request q = { 0 };
	int c = parse(a, argc, argv, &q);
	int status = c ? app_getopt_status(c) : run_request(a, argc, argv, &q);

	strings_release(&q.sources);
	strings_release(&q.excludes);
	strings_release(&q.tags);
	return status;
}

const struct command cmd_backup = {
	.name = "backup",
	.summary = "make a snapshot",
	.usage =
		"usage: vouch backup [OPTION...] PATH...\n"
		"       vouch backup [OPTION...] --stdin-name NAME [-- COMMAND [ARGUMENT...]]\n"
		"Make a snapshot of the PATHs; or of what COMMAND (or standard input) gives, as the file NAME.\n"
		"A COMMAND that fails, or gives nothing, makes no snapshot.\n\n"
		"  --exclude PATTERN  leave out what matches; --exclude-from FILE: one a line; a later\n"
		"                     !PATTERN takes it back in\n"
		"  --exclude-caches   leave out folders that CACHEDIR.TAG marks\n"
		"  -x, --one-file-system   do not enter other file systems\n"
		"  --files-from FILE  more PATHs, one a line ('-': standard input); --from0: NUL-terminated\n"
		"  -C, --directory DIR     PATHs, and their names in the snapshot, are relative to DIR\n"
		"  --tag TAG          mark the snapshot (repeatable)\n"
		"  --host HOST        instead of this machine's name\n"
		"  --force            read every file, changed or not\n"
		"  --chunk-size SIZE  cut into chunks of SIZE on average (4K for dumps of databases)\n"
		"  -n, --dry-run      walk and count; store nothing\n"
		"  --allow-empty      with --stdin-name: nothing is right, too\n"
		APP_WORK_USAGE,
	.run = run,
};
