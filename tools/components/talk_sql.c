/* SPDX-License-Identifier: MIT */
/*
 * Whether a client would take a text for one whole statement.  One with a quote left open would swallow what is sent
 * after it, and nobody would ever answer; a backslash outside of quotes is a command of the client, and may start a
 * program.
 */
#include <string.h>
#include <strings.h>

#include "tools/components/talk_internal.h"

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/* Past the closing quote, or NULL; a doubled quote goes on. */
static const char *skip_quoted(const char *p, char quote, bool backslash)
{
	for (p++; *p; p++) {
		if (backslash && *p == '\\') {
			if (!*++p)
				return NULL;
		} else if (*p == quote) {
			if (p[1] != quote)
				return p + 1;
			p++;
		}
	}
	return NULL;
}

/* At '$': past $tag$...$tag$, p + 1 where it is none, NULL where it is left open. */
static const char *skip_dollar(const char *p)
{
	const char *end = p + 1;
	size_t tag;

	if (*end >= '0' && *end <= '9')
		return end;
	while (is_word(*end) && *end != '$')
		end++;
	if (*end != '$')
		return p + 1;
	tag = (size_t)(end + 1 - p);
	for (end++; (end = strchr(end, '$')) != NULL; end++)
		if (strncmp(end, p, tag) == 0)
			return end + tag;
	return NULL;
}

/* At the start of a comment: past it, or NULL.  PostgreSQL's may be nested. */
static const char *skip_comment(enum talk_kind kind, const char *p)
{
	unsigned depth = 1;

	if (*p != '/')
		return p + strcspn(p, "\n");
	for (p += 2; *p; p++) {
		if (p[0] == '*' && p[1] == '/') {
			p++;
			if (--depth == 0)
				return p + 1;
		} else if (kind == TALK_PSQL && p[0] == '/' && p[1] == '*') {
			p++;
			depth++;
		}
	}
	return NULL;
}

static bool is_comment(enum talk_kind kind, const char *p)
{
	if (p[0] == '/' && p[1] == '*')
		return true;
	if (kind == TALK_MYSQL && *p == '#')
		return true;
	if (p[0] != '-' || p[1] != '-')
		return false;
	/* MySQL wants a blank after it. */
	return kind == TALK_PSQL || p[2] == '\0' || strchr(" \t\r\n", p[2]);
}

/* psql's E'...' alone has backslashes that mean something; MySQL's quotes all have but a name's. */
static bool has_backslashes(enum talk_kind kind, const char *start, const char *p)
{
	if (kind == TALK_MYSQL)
		return *p != '`';
	return *p == '\'' && p > start && (p[-1] == 'e' || p[-1] == 'E') &&
	       (p - 1 == start || !is_word(p[-2]));
}

/* As the first word these are the client's own commands, or make it wait for rows from us. */
static enum err_code check_first_word(enum talk_kind kind, const char *sql, struct err *e)
{
	static const char *const mysql[] = {
		"charset", "clear", "connect", "delimiter", "edit", "ego", "exit", "go", "help",
		"nopager", "notee", "nowarning", "pager", "print", "quit", "rehash", "sandbox",
		"source", "status", "system", "tee", "use", "warnings", NULL
	};
	static const char *const psql[] = { "copy", NULL };
	const char *const *words = kind == TALK_MYSQL ? mysql : psql;
	const char *at = sql;
	size_t len = 0;

	for (const char *next = sql; next; next = is_comment(kind, at) ? skip_comment(kind, at) : NULL)
		at = next + strspn(next, " \t\r\n\f\v");
	while (is_word(at[len]))
		len++;
	for (size_t i = 0; words[i]; i++)
		if (len == strlen(words[i]) && strncasecmp(at, words[i], len) == 0)
			return err_set(e, ERR_USAGE, "a statement that begins with %s cannot be asked",
				       words[i]);
	return ERR_OK;
}

enum err_code talk_sql_check(enum talk_kind kind, const char *sql, struct err *e)
{
	unsigned depth = 0;

	for (const char *p = sql; *p; ) {
		const char *next = p + 1;
		const char *what = NULL;

		if (is_comment(kind, p)) {
			next = skip_comment(kind, p);
			what = "comment";
		} else if (*p == '\'' || *p == '"' || (*p == '`' && kind == TALK_MYSQL)) {
			next = skip_quoted(p, *p, has_backslashes(kind, sql, p));
			what = "quote";
		} else if (*p == '$' && kind == TALK_PSQL && (p == sql || !is_word(p[-1]))) {
			next = skip_dollar(p);
			what = "quote";
		} else if (*p == '(') {
			depth++;
		} else if (*p == ')' && depth > 0) {
			depth--;
		} else if (*p == '\\') {
			return err_set(e, ERR_USAGE, "a backslash outside of quotes");
		} else if (*p == ';') {
			return err_set(e, ERR_USAGE, "';': one statement is asked at a time");
		}
		if (!next)
			return err_set(e, ERR_USAGE, "a %s that is not closed", what);
		p = next;
	}
	if (depth > 0)
		return err_set(e, ERR_USAGE, "a '(' that is not closed");
	return check_first_word(kind, sql, e);
}

void talk_quote_name(enum talk_kind kind, struct buf *out, const char *name)
{
	char quote = kind == TALK_PSQL ? '"' : '`';

	buf_add_u8(out, (uint8_t)quote);
	for (; *name; name++) {
		if (*name == quote)
			buf_add_u8(out, (uint8_t)quote);
		buf_add_u8(out, (uint8_t)*name);
	}
	buf_add_u8(out, (uint8_t)quote);
}

void talk_quote_text(enum talk_kind kind, struct buf *out, const char *text)
{
	buf_add_u8(out, '\'');
	for (; *text; text++) {
		if (*text == '\'' || (*text == '\\' && kind == TALK_MYSQL))
			buf_add_u8(out, (uint8_t)*text);
		buf_add_u8(out, (uint8_t)*text);
	}
	buf_add_u8(out, '\'');
}

void talk_form(enum talk_kind kind, struct buf *out, const char *form, va_list args)
{
	for (; *form; form++) {
		if (*form == '@')
			talk_quote_name(kind, out, va_arg(args, const char *));
		else if (*form == '?')
			talk_quote_text(kind, out, va_arg(args, const char *));
		else if (*form == '$')
			buf_add_str(out, va_arg(args, const char *));
		else
			buf_add(out, form, 1);
	}
}

enum err_code talk_ask_buf(struct talk *t, struct buf *sql, struct talk_rows *out, struct err *e)
{
	enum err_code rc;

	buf_add_u8(sql, '\0');
	rc = sql->bad ? err_set(e, ERR_NOMEM, "a statement") : talk_ask(t, (const char *)sql->p, out, e);
	buf_release(sql);
	return rc;
}

enum err_code talk_do_buf(struct talk *t, struct buf *sql, struct err *e)
{
	struct talk_rows rows = { 0 };
	enum err_code rc = talk_ask_buf(t, sql, &rows, e);

	talk_rows_release(&rows);
	return rc;
}
