/* SPDX-License-Identifier: MIT */
/*
 * A client program (psql, mariadb) that is kept running and asked one statement after the other: one session, one
 * transaction where that is wanted.
 */
#ifndef VOUCH_COMPONENTS_TALK_H
#define VOUCH_COMPONENTS_TALK_H

#include <stdarg.h>

#include "tools/spawn.h"

struct talk;

enum talk_kind {
	TALK_PSQL,
	TALK_MYSQL	/* mariadb, mysql */
};

/**
 * o->argv names the program and how to connect; what talk needs is added, and o->in is set here.  The session speaks
 * UTF-8 and UTC, has no time-out of its own, and quotes as talk_quote_*() does.  ERR_FAILED: it does not connect,
 * with its own words.
 */
MUST_CHECK enum err_code talk_open(enum talk_kind kind, const struct spawn_options *o,
				   const atomic_bool *cancel, struct talk **out, struct err *e);
void talk_close(struct talk *t);	/* NULL is allowed */

/*
 * Text as the client gives it.  MySQL's has a blank for each byte 0 and no mark on what is binary: ask for HEX() of
 * what may hold such.
 */
struct talk_rows {
	size_t nr_rows, nr_fields;
	char **fields;			/* row after row; NULL is SQL's NULL */
	char *text;			/* owns them */
};
void talk_rows_release(struct talk_rows *r);
/** NULL: SQL's NULL, or no such field. */
const char *talk_field(const struct talk_rows *r, size_t row, size_t field);
/**
 * Append them as ops->query answers: a line each, fields told apart by tabs; \N is NULL, and \t, \n, \\ are escaped
 * as in COPY.
 */
void talk_rows_lines(struct buf *out, const struct talk_rows *r);

#define TALK_ANSWER_MAX (256u << 20)

/**
 * One statement without ';' at its end.  ERR_FAILED: the server's message; the session goes on after that where the
 * server lets it.  ERR_ABSENT: the session is lost.  ERR_USAGE: it is no single whole statement (a quote left open, a
 * command of the client); nothing was sent.  ERR_LIMIT: the answer is over TALK_ANSWER_MAX.  After ERR_ABSENT,
 * ERR_LIMIT and ERR_CANCELED nothing more can be asked.
 */
MUST_CHECK enum err_code talk_ask(struct talk *t, const char *sql, struct talk_rows *out,
				  struct err *e);
/** One that gives no rows, or whose rows do not matter. */
MUST_CHECK enum err_code talk_do(struct talk *t, struct err *e, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
/** The first field of the first row, malloc'ed; NULL (and ERR_OK) where there is none or it is NULL. */
MUST_CHECK enum err_code talk_value(struct talk *t, char **out, struct err *e, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/** Append a name or a text as the SQL of kind has it, quotes included. */
void talk_quote_name(enum talk_kind kind, struct buf *out, const char *name);
void talk_quote_text(enum talk_kind kind, struct buf *out, const char *text);

/**
 * Append form, in which a @ stands for a name and a ? for a text, quoted, and a $ for words as they are; each is the next
 * argument, a const char *.
 */
void talk_form(enum talk_kind kind, struct buf *out, const char *form, va_list args);
/** As talk_ask() and talk_do() what was put together in sql, which is released. */
MUST_CHECK enum err_code talk_ask_buf(struct talk *t, struct buf *sql, struct talk_rows *out, struct err *e);
MUST_CHECK enum err_code talk_do_buf(struct talk *t, struct buf *sql, struct err *e);

#endif
