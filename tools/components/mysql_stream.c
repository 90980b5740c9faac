/* SPDX-License-Identifier: MIT */
#include "tools/components/mysql_stream.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "store/base/buf.h"
#include "store/base/checked.h"
#include "tools/components/mysql_rows.h"
#include "tools/components/mysql_sql.h"

#define GAP_MAX	      (1u << 20)  /* comments are handed on from here on, though their part is not known */
#define DELIMITER_MAX 15u

/*
 * Where a byte stands; as the client program (client/mysql.cc, add_line()) sees it.  "Version comments" are code.
 * A dash or slash is not known for what it is until the next byte, or the one after.
 */
enum lex {
	LEX_CODE,
	LEX_DASH,	/* "-" */
	LEX_DASHES,	/* "--": a comment if white space follows */
	LEX_SLASH,	/* "/" */
	LEX_SLASH_STAR, /* slash, star: a comment unless "!" or "M!" follows */
	LEX_SLASH_STAR_M,
	LEX_SINGLE,
	LEX_DOUBLE,
	LEX_BACK,
	LEX_COMMENT,
	LEX_COMMENT_STAR,
	LEX_LINE
};

struct mysql_stream {
	struct mysql_stream_events ev;
	enum lex lex;
	bool escaped;	 /* in a string: the byte after a backslash */
	bool no_escapes; /* sql_mode NO_BACKSLASH_ESCAPES, in which a trigger or routine was written */
	bool has_code;	 /* the statement is more than comments */
	bool first_line; /* no newline in it so far */
	bool in_rows;
	bool completed; /* "-- Dump completed" was seen */
	bool nameless;	/* a part has begun whose name is not known: what belongs to it waits in held */
	enum mysql_part part;
	char delimiter[DELIMITER_MAX + 1];
	size_t delimiter_len, code_run; /* bytes of code in a row up to here */
	struct buf gap, statement, held;
	size_t dashes; /* offset in gap of the "--" line that was its last, + 1; 0: it was another */
	uint64_t lines;
	uint64_t length, longest; /* of the INSERT that is read; of any statement */
	struct mysql_rows *rows;
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool begins(const struct buf *b, const char *with)
{
	size_t n = strlen(with);

	return b->len >= n && memcmp(b->p, with, n) == 0;
}

static bool begins_word(const struct buf *b, const char *with)
{
	size_t n = strlen(with);

	return b->len > n && strncasecmp((const char *)b->p, with, n) == 0 && is_space((char)b->p[n]);
}

static void next_statement(struct mysql_stream *s)
{
	buf_reset(&s->statement);
	s->lex = LEX_CODE;
	s->has_code = false;
	s->first_line = true;
	s->code_run = 0;
}

enum err_code mysql_stream_open(const struct mysql_stream_events *ev, struct mysql_stream **out, struct err *e)
{
	struct mysql_stream *s = calloc(1, sizeof(*s));
	enum err_code rc;

	if (!s)
		return err_set(e, ERR_NOMEM, "read a dump");
	s->ev = *ev;
	s->delimiter[0] = ';';
	s->delimiter_len = 1;
	next_statement(s);
	rc = mysql_rows_open(&s->rows, e);
	if (rc)
		free(s);
	else
		*out = s;
	return rc;
}

void mysql_stream_close(struct mysql_stream *s)
{
	if (!s)
		return;
	buf_release(&s->gap);
	buf_release(&s->statement);
	buf_release(&s->held);
	mysql_rows_close(s->rows);
	free(s);
}

uint64_t mysql_stream_lines(const struct mysql_stream *s)
{
	return s->lines;
}

uint64_t mysql_stream_longest(const struct mysql_stream *s)
{
	return s->longest;
}

static void note_length(struct mysql_stream *s, uint64_t len)
{
	s->longest = len > s->longest ? len : s->longest;
}

static enum err_code piece(struct mysql_stream *s, enum mysql_piece kind, const void *p, size_t len, struct err *e)
{
	if (len == 0)
		return ERR_OK;
	return s->ev.piece(s->ev.ctx, kind, p, len, e);
}

/* Comments before a part's first statement wait for its name. */
static enum err_code give_gap(struct mysql_stream *s, size_t len, struct err *e)
{
	enum err_code rc = ERR_OK;

	s->dashes = 0;
	if (s->gap.bad || s->held.bad)
		return err_set(e, ERR_NOMEM, "read a dump");
	if (len == 0)
		return ERR_OK;
	if (s->nameless) {
		buf_add(&s->held, s->gap.p, len);
		if (s->held.bad)
			return err_set(e, ERR_NOMEM, "read a dump");
		if (s->held.len > GAP_MAX)
			return err_set(e, ERR_CORRUPT, "line %llu of the dump: a table without a statement",
				       (unsigned long long)s->lines);
	} else {
		rc = piece(s, MYSQL_GAP, s->gap.p, len, e);
	}
	memmove(s->gap.p, s->gap.p + len, s->gap.len - len);
	s->gap.len -= len;
	return rc;
}

static const struct {
	const char *comment;
	enum mysql_part part;
} marks[] = {
	{ "-- Current Database: ", MYSQL_DATABASE },
	{ "-- Sequence structure for ", MYSQL_SEQUENCE },
	{ "-- Table structure for table ", MYSQL_TABLE },
	{ "-- Temporary table structure for view ", MYSQL_STAND_IN },
	{ "-- Temporary view structure for view ", MYSQL_STAND_IN },
	{ "-- Dumping events for database ", MYSQL_EVENTS },
	{ "-- Dumping routines for database ", MYSQL_ROUTINES },
	{ "-- Final view structure for view ", MYSQL_VIEW },
};

static enum err_code begin_part(struct mysql_stream *s, enum mysql_part part, struct err *e)
{
	if (s->nameless)
		return err_set(e, ERR_CORRUPT, "line %llu of the dump: a table without a statement",
			       (unsigned long long)s->lines);
	s->part = part;
	s->nameless = part == MYSQL_TABLE || part == MYSQL_SEQUENCE;
	return s->nameless ? ERR_OK : s->ev.part(s->ev.ctx, part, "", e);
}

/* A line of comments, or more than a line, is whole in s->statement. */
static enum err_code comment_ends(struct mysql_stream *s, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t at = s->gap.len;

	for (size_t i = 0; i < ARRAY_LEN(marks) && !rc; i++) {
		if (!begins(&s->statement, marks[i].comment))
			continue;
		rc = give_gap(s, s->dashes ? s->dashes - 1 : s->gap.len, e);
		at = s->gap.len;
		if (!rc)
			rc = begin_part(s, marks[i].part, e);
	}
	if (begins(&s->statement, "-- Dump completed"))
		s->completed = true;
	if (begins_word(&s->statement, "DELIMITER")) {
		size_t from = strlen("DELIMITER"), to = s->statement.len;
		const char *p = (const char *)s->statement.p;

		while (from < to && is_space(p[from]))
			from++;
		while (to > from && is_space(p[to - 1]))
			to--;
		if (to == from || to - from > DELIMITER_MAX)
			return err_set(e, ERR_CORRUPT, "line %llu of the dump: not a delimiter",
				       (unsigned long long)s->lines);
		memcpy(s->delimiter, p + from, to - from);
		s->delimiter_len = to - from;
	}
	s->dashes = s->statement.len == 3 && begins(&s->statement, "--\n") ? at + 1 : 0;
	buf_add(&s->gap, s->statement.p, s->statement.len);
	next_statement(s);
	if (!rc && (s->gap.bad || s->gap.len > GAP_MAX))
		rc = give_gap(s, s->gap.len, e);
	return rc;
}

/* The first statement of a table names it. */
static enum err_code name_part(struct mysql_stream *s, struct err *e)
{
	struct mysql_statement st;
	enum err_code rc;

	if (!mysql_sql_read((const char *)s->statement.p, s->statement.len, &st) || st.name[0] == '\0')
		return err_set(e, ERR_CORRUPT, "line %llu of the dump: a table's first statement does not name it",
			       (unsigned long long)s->lines);
	s->nameless = false;
	rc = s->ev.part(s->ev.ctx, s->part, st.name, e);
	if (!rc)
		rc = piece(s, MYSQL_GAP, s->held.p, s->held.len, e);
	buf_reset(&s->held);
	return rc;
}

/* What must have happened before a statement is handed on. */
static enum err_code before_statement(struct mysql_stream *s, struct err *e)
{
	enum err_code rc;

	if (s->completed)
		return err_set(e, ERR_CORRUPT, "line %llu of the dump: a statement after its end",
			       (unsigned long long)s->lines);
	if (s->statement.bad)
		return err_set(e, ERR_NOMEM, "read a dump");
	rc = give_gap(s, s->gap.len, e);
	if (!rc && s->nameless)
		rc = name_part(s, e);
	return rc;
}

/* SET sql_mode = '...' before a trigger or routine, and = @saved_sql_mode after it: the client heeds it, too. */
static void heed_mode(struct mysql_stream *s)
{
	static const char *const words[] = { "SET", "sql_mode", "=" };
	struct mysql_tokens t = { .p = (const char *)s->statement.p, .len = s->statement.len };
	struct mysql_token k;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!mysql_token(&t, &k) || !mysql_token_is(&k, words[i]))
			return;
	(void)mysql_token(&t, &k);
	s->no_escapes = k.kind == MYSQL_TOKEN_TEXT && memmem(k.p, k.len, "NO_BACKSLASH_ESCAPES", 20);
}

static enum err_code statement_ends(struct mysql_stream *s, struct err *e)
{
	static const char trailer[] = "/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */";
	enum err_code rc = ERR_OK;

	if (begins(&s->statement, trailer) && s->part != MYSQL_TRAILER) {
		rc = give_gap(s, s->gap.len, e);
		if (!rc)
			rc = begin_part(s, MYSQL_TRAILER, e);
	}
	if (!rc)
		rc = before_statement(s, e);
	if (!rc)
		rc = piece(s, MYSQL_STATEMENT, s->statement.p, s->statement.len, e);
	note_length(s, s->statement.len);
	heed_mode(s);
	next_statement(s);
	return rc;
}

/* "INSERT INTO `t` VALUES" or "... (`a`,`b`) VALUES" is whole, and c follows: what comes now are rows. */
static enum err_code rows_begin(struct mysql_stream *s, struct err *e)
{
	struct mysql_statement st;
	struct rowsum *sum = NULL;
	enum err_code rc;

	if (!mysql_sql_read((const char *)s->statement.p, s->statement.len, &st) || st.kind != MYSQL_SQL_INSERT)
		return ERR_OK;
	rc = before_statement(s, e);
	if (!rc)
		rc = s->ev.rows(s->ev.ctx, st.name, &sum, e);
	if (!rc)
		rc = piece(s, MYSQL_ROWS, s->statement.p, s->statement.len, e);
	s->length = s->statement.len;
	buf_reset(&s->statement);
	s->in_rows = true;
	mysql_rows_begin(s->rows, sum);
	return rc;
}

static bool may_be_rows(const struct mysql_stream *s)
{
	static const char values[] = "VALUES";
	size_t n = s->statement.len, v = sizeof(values) - 1;
	const char *p = (const char *)s->statement.p;

	return n > v + 1 && is_space(p[n - 1]) && s->code_run > v && strncasecmp(p + n - 1 - v, values, v) == 0 &&
	       (is_space(p[n - 2 - v]) || p[n - 2 - v] == ')') && s->delimiter_len == 1 && s->delimiter[0] == ';' &&
	       (begins_word(&s->statement, "INSERT") || begins_word(&s->statement, "REPLACE"));
}

/* One byte of code that is no part of a comment: true where the statement ends with it. */
static bool code(struct mysql_stream *s, char c)
{
	size_t n = s->delimiter_len;

	s->lex = c == '-'    ? LEX_DASH
		 : c == '/'  ? LEX_SLASH
		 : c == '\'' ? LEX_SINGLE
		 : c == '"'  ? LEX_DOUBLE
		 : c == '`'  ? LEX_BACK
			     : LEX_CODE;
	if (c == '#')
		s->lex = LEX_LINE;
	else if (s->lex != LEX_DASH && s->lex != LEX_SLASH && !is_space(c))
		s->has_code = true;
	s->code_run = s->lex == LEX_CODE || s->lex == LEX_DASH || s->lex == LEX_SLASH ? s->code_run + 1 : 0;
	return s->code_run >= n && s->statement.len >= n &&
	       memcmp(s->statement.p + s->statement.len - n, s->delimiter, n) == 0 &&
	       !(s->first_line && begins_word(&s->statement, "DELIMITER"));
}

/* The state after one more byte (already in s->statement); *ends: it was the statement's last. */
static void lex(struct mysql_stream *s, char c, bool *ends)
{
	switch (s->lex) {
	case LEX_CODE:
		*ends = code(s, c);
		break;
	case LEX_DASH:
		if (c == '-') {
			s->lex = LEX_DASHES;
			break;
		}
		s->has_code = true;
		*ends = code(s, c);
		break;
	case LEX_DASHES:
		if (is_space(c)) {
			s->lex = LEX_LINE;
			break;
		}
		s->has_code = true;
		*ends = code(s, c);
		break;
	case LEX_SLASH:
		if (c == '*') {
			s->lex = LEX_SLASH_STAR;
			break;
		}
		s->has_code = true;
		*ends = code(s, c);
		break;
	case LEX_SLASH_STAR:
	case LEX_SLASH_STAR_M:
		if (c == '!') {
			s->has_code = true;
			s->lex = LEX_CODE;
		} else if (c == 'M' && s->lex == LEX_SLASH_STAR) {
			s->lex = LEX_SLASH_STAR_M;
		} else {
			s->lex = c == '*' ? LEX_COMMENT_STAR : LEX_COMMENT;
		}
		s->code_run = 0;
		break;
	case LEX_SINGLE:
	case LEX_DOUBLE:
		if (s->escaped)
			s->escaped = false;
		else if (c == '\\' && !s->no_escapes)
			s->escaped = true;
		else if (c == (s->lex == LEX_SINGLE ? '\'' : '"'))
			s->lex = LEX_CODE;
		s->code_run = 0;
		break;
	case LEX_BACK:
		if (c == '`')
			s->lex = LEX_CODE;
		s->code_run = 0;
		break;
	case LEX_COMMENT:
		if (c == '*')
			s->lex = LEX_COMMENT_STAR;
		break;
	case LEX_COMMENT_STAR:
		s->lex = c == '/' ? LEX_CODE : c == '*' ? LEX_COMMENT_STAR : LEX_COMMENT;
		s->code_run = 0;
		break;
	case LEX_LINE:
		break; /* its newline: statement_byte() */
	}
}

/* A byte outside the rows of an INSERT. */
static enum err_code statement_byte(struct mysql_stream *s, char c, struct err *e)
{
	enum lex was = s->lex;
	bool ends = false;

	if (s->statement.len == 0 && is_space(c)) {
		buf_add_u8(&s->gap, (uint8_t)c);
		if (s->gap.bad || s->gap.len > GAP_MAX)
			return give_gap(s, s->gap.len, e);
		return ERR_OK;
	}
	buf_add_u8(&s->statement, (uint8_t)c);
	if (s->statement.bad)
		return err_set(e, ERR_NOMEM, "read a dump");
	if (s->statement.len > MYSQL_STATEMENT_MAX)
		return err_set(e, ERR_LIMIT, "line %llu of the dump: a statement of more than %u MiB",
			       (unsigned long long)s->lines, MYSQL_STATEMENT_MAX >> 20);
	lex(s, c, &ends);
	if (c == '\n' && (s->lex == LEX_LINE || s->lex == LEX_CODE)) {
		s->lex = LEX_CODE;
		if ((!s->has_code && was != LEX_CODE) ||
		    (s->first_line && (begins_word(&s->statement, "DELIMITER") || begins(&s->statement, "/*M!999999\\-"))))
			return comment_ends(s, e);
	}
	if (c == '\n')
		s->first_line = false;
	if (was == LEX_COMMENT_STAR && s->lex == LEX_CODE && !s->has_code)
		return comment_ends(s, e);
	if (ends)
		return statement_ends(s, e);
	if (s->lex == LEX_CODE && is_space(c) && may_be_rows(s))
		return rows_begin(s, e);
	return ERR_OK;
}

/* Bytes of an INSERT; *used of them, to its end. */
static enum err_code rows_bytes(struct mysql_stream *s, const char *p, size_t len, size_t *used, struct err *e)
{
	uint64_t line = s->lines + 1;
	bool ends = false;
	enum err_code rc = mysql_rows_feed(s->rows, p, len, used, &s->lines, &ends, e);

	if (rc) {
		err_prefix(e, "line %llu of the dump or after it", (unsigned long long)line);
		return rc;
	}
	rc = piece(s, MYSQL_ROWS, p, *used, e);
	s->length += *used;
	note_length(s, s->length);
	if (ends) {
		s->in_rows = false;
		next_statement(s);
	}
	return rc;
}

enum err_code mysql_stream_feed(struct mysql_stream *s, const void *buf, size_t len, struct err *e)
{
	const char *p = buf;
	enum err_code rc = ERR_OK;
	size_t used;

	while (len > 0 && !rc) {
		used = 1;
		if (s->in_rows) {
			rc = rows_bytes(s, p, len, &used, e);
		} else {
			rc = statement_byte(s, *p, e);
			s->lines += *p == '\n';
		}
		p += used;
		len -= used;
	}
	return rc;
}

enum err_code mysql_stream_finish(struct mysql_stream *s, struct err *e)
{
	if (s->statement.len > 0 && !s->in_rows && !s->has_code && (s->lex == LEX_LINE || s->lex == LEX_DASHES)) {
		enum err_code rc = comment_ends(s, e); /* a last line without its newline */

		if (rc)
			return rc;
	}
	if (s->in_rows || s->statement.len > 0)
		return err_set(e, ERR_CORRUPT,
			       "the dump is cut short: it ends in the middle of a statement, after %llu lines",
			       (unsigned long long)s->lines);
	if (!s->completed)
		return err_set(e, ERR_CORRUPT,
			       "the dump is cut short: no \"-- Dump completed\" at its end, after %llu lines",
			       (unsigned long long)s->lines);
	return give_gap(s, s->gap.len, e);
}
