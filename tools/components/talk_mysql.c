/* SPDX-License-Identifier: MIT */
/*
 * An answer of mariadb --batch --xml --force, its standard error in its standard output, each at its place:
 *
 *   <?xml version="1.0"?> <resultset statement="..." xmlns:xsi="...">
 *     <row> <field name="a">1</field> <field name="b" xsi:nil="true" /> </row> ... </resultset>
 *   or  -------------- STATEMENT -------------- ERROR 1146 (42S02) at line 5: ...
 *   or  nothing, of a statement that has no rows
 *   then the row of SELECT 'TOKEN'
 *
 * The other formats of the client have one text for NULL and for 'NULL'.  In values <, >, &, " are escaped.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/components/talk_internal.h"

#define LAST_BYTES 4096u	/* a lost connection is said last */

static const char xml_head[] = "<?xml ";
static const char result_end[] = "</resultset>\n";

static bool starts(const char *at, const char *with)
{
	return strncmp(at, with, strlen(with)) == 0;
}

static char *find(const struct buf *b, size_t from, const char *what)
{
	if (from > b->len)
		return NULL;
	return memmem(b->p + from, b->len - from, what, strlen(what));
}

/* Where the results that stand first end; they may hold any text. */
static size_t past_results(const struct buf *b)
{
	size_t at = 0;

	while (b->len - at >= sizeof(xml_head) - 1 &&
	       memcmp(b->p + at, xml_head, sizeof(xml_head) - 1) == 0) {
		char *end = find(b, at, result_end);

		if (!end)
			return b->len;
		at = (size_t)(end + sizeof(result_end) - 1 - (char *)b->p);
	}
	return at;
}

/* "ERROR 2006 (": one that the client itself has with its connection. */
static bool is_lost_line(const char *p, const char *end)
{
	return end - p > 12 && memcmp(p, "ERROR 2", 7) == 0 && isdigit((unsigned char)p[7]) &&
	       isdigit((unsigned char)p[8]) && isdigit((unsigned char)p[9]) && p[10] == ' ' &&
	       memchr(p, '\n', (size_t)(end - p));
}

enum talk_whole talk_mysql_whole(const struct buf *b, const char *token)
{
	char row[TALK_TOKEN_LEN + 64];
	const char *p, *end = (const char *)b->p + b->len;
	size_t len, near = b->len < LAST_BYTES ? b->len : LAST_BYTES;

	len = (size_t)snprintf(row, sizeof(row), "\">%s</field>\n  </row>\n</resultset>\n", token);
	if (b->len >= len && memcmp(end - len, row, len) == 0)
		return TALK_WHOLE;
	/* Large answers come in many parts: all of it is looked at only where there may be something. */
	if (!memmem(end - near, near, "ERROR 2", 7))
		return TALK_MORE;
	for (p = (const char *)b->p + past_results(b); p < end; p++) {
		if (is_lost_line(p, end))
			return TALK_LOST;
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			break;
	}
	return TALK_MORE;
}

static void unescape(char *p)
{
	static const char *const names[] = { "&lt;", "&gt;", "&amp;", "&quot;" };
	static const char chars[] = "<>&\"";
	char *to = p;

	while (*p) {
		size_t i = 0;

		while (i < 4 && !starts(p, names[i]))
			i++;
		if (i < 4) {
			*to++ = chars[i];
			p += strlen(names[i]);
		} else {
			*to++ = *p++;
		}
	}
	*to = '\0';
}

/* At "<field": its value; *next past it.  False: it is none. */
static bool take_field(char *p, char **value, char **next)
{
	char *end;

	p = strchr(p, '"');
	p = p ? strchr(p + 1, '"') : NULL;
	if (!p)
		return false;
	p++;
	*value = NULL;
	if (starts(p, " xsi:nil=\"true\" />")) {
		*next = p + strlen(" xsi:nil=\"true\" />");
		return true;
	}
	if (*p != '>')
		return false;
	end = p + strcspn(p, "<");	/* in the value it is escaped */
	if (!starts(end, "</field>"))
		return false;
	*end = '\0';
	*value = p + 1;
	*next = end + strlen("</field>");
	unescape(*value);
	return true;
}

static char *past_blanks(char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* At the head of a result. */
static enum err_code take_rows(char *p, struct talk_rows *r, struct err *e)
{
	size_t nr = 0, cap = 0, in_row;
	enum err_code rc = ERR_OK;
	char *value;

	p = strstr(p, "<resultset ");
	p = p ? strchr(p, '>') : NULL;
	if (!p)
		return err_set(e, ERR_CORRUPT, "no result in the client's answer");
	for (p = past_blanks(p + 1); starts(p, "<row>"); p = past_blanks(p)) {
		p = past_blanks(p + strlen("<row>"));
		for (in_row = 0; starts(p, "<field "); in_row++, p = past_blanks(p)) {
			if (!take_field(p, &value, &p))
				return err_set(e, ERR_CORRUPT, "a field in the client's answer");
			rc = talk_add_field(r, &nr, &cap, value, e);
			if (rc)
				return rc;
		}
		if (!starts(p, "</row>") || (r->nr_rows > 0 && in_row != r->nr_fields))
			return err_set(e, ERR_CORRUPT, "a row in the client's answer");
		p += strlen("</row>");
		r->nr_fields = in_row;
		r->nr_rows++;
	}
	return starts(p, "</resultset>") ? ERR_OK : err_set(e, ERR_CORRUPT, "end of the client's answer");
}

/* The last line that begins with ERROR, to the end, without " at line N". */
static char *error_text(char *text)
{
	char *last = NULL, *at, *rest;
	size_t len;

	for (at = text; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (starts(at, "ERROR ") && isdigit((unsigned char)at[6]))
			last = at;
		if (!*at)
			break;
	}
	if (!last)
		return NULL;
	at = strstr(last, " at line ");
	rest = at ? at + strlen(" at line ") + strspn(at + strlen(" at line "), "0123456789") : NULL;
	if (rest && *rest == ':' && !memchr(last, '\n', (size_t)(at - last)))
		memmove(at, rest, strlen(rest) + 1);
	len = strlen(last);
	while (len > 0 && last[len - 1] == '\n')
		last[--len] = '\0';
	return last + strlen("ERROR ");
}

const char *talk_mysql_error(const struct buf *b, struct buf *text)
{
	size_t from = past_results(b);
	char *said, *first;

	buf_reset(text);
	buf_add(text, b->p + from, b->len - from);
	buf_add_u8(text, '\0');
	if (text->bad)
		return "";
	said = (char *)text->p;
	/* The first of several: then the connection was lost, and what followed only says so again. */
	for (first = said; (first = strstr(first, "ERROR ")) != NULL; first++)
		if ((first == said || first[-1] == '\n') && isdigit((unsigned char)first[6]))
			break;
	if (first) {
		first[strcspn(first, "\n")] = '\0';
		first = error_text(first);
	}
	if (first)
		return first;
	said[strcspn(said, "\n")] = '\0';
	return said;
}

static enum err_code server_error(char *text, struct err *e)
{
	const char *said = error_text(text);

	return said ? err_set(e, ERR_FAILED, "error %s", said) :
		      err_set(e, ERR_CORRUPT, "no answer of the client: %.200s", text);
}

void talk_mysql_skip_remarks(struct buf *b)
{
	static const char *const answers[] = { xml_head, "-----", "ERROR " };
	size_t from = 0;

	while (from < b->len) {
		const uint8_t *newline = memchr(b->p + from, '\n', b->len - from);
		bool is_answer = !newline;

		for (size_t i = 0; i < ARRAY_LEN(answers) && !is_answer; i++)
			is_answer = b->len - from >= strlen(answers[i]) && memcmp(b->p + from, answers[i], strlen(answers[i])) == 0;
		if (is_answer)
			break;
		from = (size_t)(newline + 1 - b->p);
	}
	memmove(b->p, b->p + from, b->len - from);
	b->len -= from;
}

enum err_code talk_mysql_take(struct buf *b, const char *token, struct talk_rows *out, struct err *e)
{
	size_t results, last = 0;
	enum err_code rc;
	char *text;

	if (talk_mysql_whole(b, token) != TALK_WHOLE || !buf_room(b, 1))
		return err_set(e, ERR_CORRUPT, "no answer of the client");
	text = (char *)b->p;
	text[b->len] = '\0';
	/* A byte 0 would end the text early: the client writes a blank for it. */
	if (strlen(text) != b->len)
		return err_set(e, ERR_CORRUPT, "a byte 0 in the client's answer");
	results = past_results(b);
	/* The token's own result is the last; before it errors may stand, and no other result. */
	if (results < b->len) {
		char *end = NULL;

		for (char *at = text + results; (at = strstr(at, xml_head)) != NULL; at++)
			end = at;
		if (end)
			*end = '\0';
		return server_error(text + results, e);
	}
	for (char *at = text; (at = strstr(at, result_end)) != NULL; at++)
		if (at[sizeof(result_end) - 1])
			last = (size_t)(at - text) + sizeof(result_end) - 1;
	if (last == 0)
		return ERR_OK;		/* only the token's */
	rc = take_rows(text, out, e);
	out->text = text;
	*b = (struct buf)BUF_INIT;
	return rc;
}
