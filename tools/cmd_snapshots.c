/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/commands.h"
#include "tools/jsonout.h"
#include "tools/text.h"

#define ID_DIGITS 12
#define JOINED_COLUMNS 48	/* sources or tags beyond this are cut, to keep a line a line */

enum { COL_ID, COL_DATE, COL_HOST, COL_SOURCES, COL_TAGS, COL_FILES, COL_BYTES, COL_NEW, COL_NR };

static const char *const headings[COL_NR] = { "ID",   "DATE",  "HOST",  "SOURCES",
					      "TAGS", "FILES", "BYTES", "NEW" };

struct row {
	struct buf cells[COL_NR];	/* NUL-terminated */
};

static void join(struct buf *cell, char *const *v, size_t nr)
{
	struct buf all = BUF_INIT;

	for (size_t i = 0; i < nr; i++) {
		if (i > 0)
			buf_add_u8(&all, ' ');
		text_escape_str(&all, v[i]);
	}
	if (all.bad)
		cell->bad = true;
	else
		text_squeeze(cell, (const char *)all.p, all.len, JOINED_COLUMNS);
	buf_release(&all);
}

static bool fill(struct row *r, const struct snapshot *s)
{
	char hex[ID_HEX_LEN + 1], text[TEXT_LEN];
	bool good = true;

	buf_add(&r->cells[COL_ID], id_hex(&s->id, hex), ID_DIGITS);
	buf_add(&r->cells[COL_DATE], s->name, strnlen(s->name, SNAPSHOT_DATE_LEN));
	text_escape_str(&r->cells[COL_HOST], s->host);
	join(&r->cells[COL_SOURCES], s->sources, s->nr_sources);
	join(&r->cells[COL_TAGS], s->tags, s->nr_tags);
	buf_add_str(&r->cells[COL_FILES], text_count(s->totals.files, text));
	buf_add_str(&r->cells[COL_BYTES], text_size(s->totals.bytes, text));
	buf_add_str(&r->cells[COL_NEW], text_size(s->new_bytes, text));
	for (size_t i = 0; i < COL_NR; i++) {
		buf_add_u8(&r->cells[i], '\0');
		good = good && !r->cells[i].bad;
	}
	return good;
}

static size_t cell_columns(const struct row *r, size_t col)
{
	return text_columns((const char *)r->cells[col].p, r->cells[col].len - 1);
}

static void print_cell(const char *text, size_t columns, size_t width, size_t col)
{
	int pad = (int)(width - columns);

	if (col >= COL_FILES)
		printf("%*s%s", pad, "", text);
	else
		printf("%s%*s", text, pad, "");
	fputs(col + 1 < COL_NR ? "  " : "\n", stdout);
}

static void print_rows(const struct row *rows, size_t nr)
{
	size_t width[COL_NR];

	for (size_t c = 0; c < COL_NR; c++) {
		width[c] = strlen(headings[c]);
		for (size_t i = 0; i < nr; i++)
			if (cell_columns(&rows[i], c) > width[c])
				width[c] = cell_columns(&rows[i], c);
	}
	for (size_t c = 0; c < COL_NR; c++)
		print_cell(headings[c], strlen(headings[c]), width[c], c);
	for (size_t i = 0; i < nr; i++)
		for (size_t c = 0; c < COL_NR; c++)
			print_cell((const char *)rows[i].cells[c].p, cell_columns(&rows[i], c),
				   width[c], c);
}

static enum err_code print_table(struct app *a, const struct snapshot_list *l, struct err *e)
{
	struct row *rows = calloc(l->nr ? l->nr : 1, sizeof(*rows));
	enum err_code rc = ERR_OK;
	size_t nr = 0;

	if (!rows)
		return err_set(e, ERR_NOMEM, "%zu snapshots", l->nr);
	for (size_t i = 0; !rc && i < l->nr; i++)
		if (snapshot_passes(&l->all[i], &a->filter) && !fill(&rows[nr++], &l->all[i]))
			rc = err_set(e, ERR_NOMEM, "%zu snapshots", l->nr);
	if (!rc && nr > 0)
		print_rows(rows, nr);
	else if (!rc && !a->quiet)
		app_say(a, NULL, l->nr ? "no snapshot is like that" : "there is no snapshot yet");
	for (size_t i = 0; i < l->nr; i++)
		for (size_t c = 0; c < COL_NR; c++)
			buf_release(&rows[i].cells[c]);
	free(rows);
	return rc;
}

static bool print_json(const struct snapshot *s)
{
	struct jsonout j = jsonout_begin("snapshot");

	jsonout_id(&j, "id", &s->id);
	jsonout_str(&j, "name", s->name);
	jsonout_time(&j, "time", s->time);
	jsonout_time(&j, "end", s->end);
	jsonout_str(&j, "host", s->host);
	jsonout_str(&j, "user", s->user);
	jsonout_strings(&j, "sources", s->sources, s->nr_sources);
	if (*s->base)
		jsonout_str(&j, "base", s->base);
	jsonout_strings(&j, "tags", s->tags, s->nr_tags);
	jsonout_totals(&j, &s->totals);
	jsonout_u64(&j, "new_bytes", s->new_bytes);
	jsonout_u64(&j, "stored_bytes", s->stored_bytes);
	jsonout_u64(&j, "errors", s->errors);
	jsonout_id(&j, "root", &s->root);
	jsonout_u64(&j, "seq", s->seq);
	jsonout_str(&j, "version", s->version);
	return jsonout_end(&j);
}

static int list(struct app *a, struct store *s)
{
	struct snapshot_list l = { 0 };
	struct err e = ERR_INIT;
	enum err_code rc = snapshot_list_read(s, &l, &e);
	int status;

	if (!rc && !a->json)
		rc = print_table(a, &l, &e);
	for (size_t i = 0; !rc && a->json && i < l.nr; i++)
		if (snapshot_passes(&l.all[i], &a->filter) && !print_json(&l.all[i]))
			rc = err_set(&e, ERR_IO, "standard output could not be written");
	/* The store's events have named the damaged ones. */
	status = rc ? app_fail(a, &e) : l.nr_bad ? STATUS_DAMAGE : STATUS_DONE;
	snapshot_list_release(&l);
	return status;
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_JSON, APP_LONG_QUIET, APP_LONG_FILTER, APP_LONG_END
	};
	struct store *s = NULL;
	int status, c = app_getopt(a, argc, argv, ":hqr:", longs);

	if (c != -1)
		return app_getopt_status(c);
	if (optind < argc)
		return app_usage(a, "takes no argument");
	status = app_open(a, STORE_READ, false, &s);
	if (status)
		return status;
	status = list(a, s);
	store_close(s);
	return status;
}

const struct command cmd_snapshots = {
	.name = "snapshots",
	.summary = "list what is there",
	.usage = "usage: vouch snapshots [--host HOST] [--tag TAG] [--path SOURCE] [--json]\n"
		 "List the snapshots, oldest first: id, date, host, sources, tags, files, bytes, and the bytes\n"
		 "that were new.\n\n"
		 "  --host HOST, --tag TAG, --path SOURCE   only those of that host, tag or source\n"
		 "  --json             one JSON object a line\n",
	.run = run,
};
