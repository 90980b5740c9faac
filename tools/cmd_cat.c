/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <unistd.h>

#include "tools/commands.h"
#include "tools/text.h"

/* Holes are written, too: a pipe has none. */
static const uint8_t zeros[65536];

static enum err_code write_all(const uint8_t *p, size_t len, struct err *e)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "write to standard output");
		p += n;
		len -= (size_t)n;
	}
	return ERR_OK;
}

struct cat {
	struct progress *progress;
	uint64_t size;
};

static enum err_code on_piece(void *ctx, uint64_t off, const uint8_t *data, uint64_t len,
			      struct err *e)
{
	const struct cat *cat = ctx;
	const struct event ev = { .kind = EVENT_PROGRESS, .text = "cat", .bytes = off,
				  .bytes_total = cat->size };
	enum err_code rc = ERR_OK;

	progress_tell(cat->progress, &ev);
	if (data)
		return write_all(data, (size_t)len, e);
	while (!rc && len > 0) {
		size_t n = len < sizeof(zeros) ? (size_t)len : sizeof(zeros);

		rc = write_all(zeros, n, e);
		len -= n;
	}
	return rc;
}

static enum err_code print_file(struct app *a, struct store *s, const struct entry *ent, const char *arg,
				struct err *e)
{
	struct cat cat = { .progress = a->progress, .size = ent->size };
	struct blob *b = NULL;
	enum err_code rc;

	switch (ent->type) {
	case ENTRY_FILE:
		break;
	case ENTRY_DIR:
		return err_set(e, ERR_FAILED, "%s is a folder; use vouch ls, or vouch restore", arg);
	case ENTRY_SYMLINK:
		return err_set(e, ERR_FAILED, "%s is a symbolic link to %.*s; name that", arg,
			       (int)ent->target_len, ent->target);
	default:
		return err_set(e, ERR_FAILED, "%s is no regular file", arg);
	}
	rc = blob_open(s, ent, &b, e);
	if (!rc)
		rc = blob_each(b, 0, on_piece, &cat, e);
	blob_close(b);
	if (rc)
		err_prefix(e, "%s", arg);
	return rc;
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = { APP_LONG_OPTIONS, APP_LONG_FILTER, APP_LONG_END };
	struct err e = ERR_INIT;
	struct target t = { 0 };
	struct store *s = NULL;
	int status, c = app_getopt(a, argc, argv, ":hr:", longs);
	enum err_code rc;

	if (c != -1)
		return app_getopt_status(c);
	if (argc - optind != 1)
		return app_usage(a, "one SNAPSHOT:PATH, please");
	status = app_open(a, STORE_READ, false, &s);
	if (status)
		return status;
	store_set_heal(s, true);
	rc = target_find(a, s, argv[optind], &t, &e);
	progress_clear(a->progress);
	if (!rc)
		rc = print_file(a, s, &t.ref.e, argv[optind], &e);
	if (rc)
		status = app_fail(a, &e);
	target_release(s, &t);
	store_close(s);
	return status;
}

const struct command cmd_cat = {
	.name = "cat",
	.summary = "print a file of a snapshot",
	.usage = "usage: vouch cat [--host HOST] [--tag TAG] [--path SOURCE] SNAPSHOT:PATH\n"
		 "Print the content of a file.  Every byte was checked before it is printed; at damage it stops, with\n"
		 "a message and exit status 4.\n",
	.run = run,
};
