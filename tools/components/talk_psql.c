/* SPDX-License-Identifier: MIT */
/*
 * An answer of psql -A -t -z, where TOKEN is random text and a letter tells its uses apart:
 *
 *   FIELD NUL TOKENN TOKENR FIELD NUL FIELD \n            NULL is TOKENN; nothing at all where there are no rows
 *   TOKENE false 2 00000 TOKENM MESSAGE TOKENZ \n        failed or not, how many rows, SQLSTATE, the error's text
 *
 * No value of PostgreSQL holds a NUL.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/components/talk_internal.h"

#define MARK_LEN (TALK_TOKEN_LEN + 1)

static void make_mark(char out[MARK_LEN + 1], const char *token, char use)
{
	(void)snprintf(out, MARK_LEN + 1, "%.*s%c", TALK_TOKEN_LEN, token, use);
}

enum talk_whole talk_psql_whole(const struct buf *b, const char *token)
{
	char mark[MARK_LEN + 1];

	make_mark(mark, token, 'Z');
	return b->len > MARK_LEN && b->p[b->len - 1] == '\n' &&
			       memcmp(b->p + b->len - 1 - MARK_LEN, mark, MARK_LEN) == 0
		       ? TALK_WHOLE : TALK_MORE;
}

/* The line's parts, each made a string where it stands. */
struct last_line {
	bool failed;
	const char *rows, *state;
	char *message;
};

static bool take_last_line(char *at, const char *token, struct last_line *l)
{
	char mark[MARK_LEN + 1], *end;

	at += MARK_LEN + 1;
	if (strncmp(at, "true ", 5) != 0 && strncmp(at, "false ", 6) != 0)
		return false;
	l->failed = *at == 't';
	at = strchr(at, ' ');
	l->rows = ++at;
	at = strchr(at, ' ');
	if (!at)
		return false;
	*at++ = '\0';
	l->state = at;
	make_mark(mark, token, 'M');
	at = strchr(at, ' ');
	if (!at || strncmp(at + 1, mark, MARK_LEN) != 0)
		return false;
	*at = '\0';
	at += 1 + MARK_LEN;
	at += *at == ' ';
	l->message = at;
	make_mark(mark, token, 'Z');
	end = strstr(at, mark);
	if (!end)
		return false;
	if (end > at && end[-1] == ' ')
		end--;
	*end = '\0';
	for (char *p = at; *p; p++)	/* messages are one line */
		*p = *p == '\n' ? ' ' : *p;
	return true;
}

static enum err_code split_rows(char *at, char *end, const char *token, struct talk_rows *r,
				struct err *e)
{
	char null[MARK_LEN + 1], next[MARK_LEN + 1];
	size_t nr = 0, cap = 0, in_row = 0;
	enum err_code rc = ERR_OK;

	make_mark(null, token, 'N');
	make_mark(next, token, 'R');
	while (!rc) {
		bool is_null = (size_t)(end - at) >= MARK_LEN && memcmp(at, null, MARK_LEN) == 0;
		char *from = is_null ? at + MARK_LEN : at;
		/* First the row's end: a search for a NUL that comes much later, or never, would be made for each row. */
		char *row = memmem(from, (size_t)(end - from), next, MARK_LEN);
		char *row_end = row ? row : end;
		char *nul = memchr(from, '\0', (size_t)(row_end - from));
		char *stop = nul ? nul : row_end;

		if (is_null && stop != from)
			return err_set(e, ERR_CORRUPT, "a NULL with something after it");
		rc = talk_add_field(r, &nr, &cap, is_null ? NULL : at, e);
		in_row++;
		if (rc || nul) {
			at = stop + 1;
			continue;
		}
		*stop = '\0';
		if (r->nr_rows > 0 && in_row != r->nr_fields)
			return err_set(e, ERR_CORRUPT, "rows of %zu and of %zu fields", r->nr_fields, in_row);
		r->nr_fields = in_row;
		r->nr_rows++;
		in_row = 0;
		if (stop == end)
			break;
		at = stop + MARK_LEN;
	}
	return rc;
}

enum err_code talk_psql_take(struct buf *b, const char *token, struct talk_rows *out, struct err *e)
{
	char *text, *last, mark[MARK_LEN + 1];
	struct last_line l = { 0 };
	enum err_code rc = ERR_OK;
	unsigned long long said;

	if (talk_psql_whole(b, token) != TALK_WHOLE || !buf_room(b, 1))
		return err_set(e, ERR_CORRUPT, "no answer of psql");
	text = (char *)b->p;
	text[b->len] = '\0';
	make_mark(mark, token, 'E');
	last = memmem(text, b->len, mark, MARK_LEN);
	if (!last || !take_last_line(last, token, &l))
		return err_set(e, ERR_CORRUPT, "no answer of psql (version 11 or newer is wanted)");
	if (l.failed)
		return err_set(e, ERR_FAILED, "%s (SQLSTATE %s)", l.message, l.state);
	if (last == text)
		return ERR_OK;
	if (last[-1] != '\n')
		return err_set(e, ERR_CORRUPT, "an answer of psql that does not end with a line");
	out->text = text;
	said = strtoull(l.rows, NULL, 10);
	rc = split_rows(text, last - 1, token, out, e);
	if (!rc && said > 0 && said != out->nr_rows)
		rc = err_set(e, ERR_CORRUPT, "%zu rows came of %llu", out->nr_rows, said);
	*b = (struct buf)BUF_INIT;
	return rc;
}
