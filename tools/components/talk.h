/* SPDX-License-Identifier: MIT */
/* A client program (psql, mysql) that is kept running and asked one statement after the other: one session, one transaction where that is wanted. */
#ifndef VOUCH_COMPONENTS_TALK_H
#define VOUCH_COMPONENTS_TALK_H

#include "tools/spawn.h"

struct talk;

enum talk_kind {
	TALK_PSQL,		/* started here as: psql -X -A -t -q -v ON_ERROR_STOP=0 ..., fields and rows told apart by NUL and 0x1e or what is safe */
	TALK_MYSQL		/* mariadb --batch --unbuffered --skip-column-names ... */
};

/** o->argv names the program and how to connect; what talk needs is added.  o->in is set here.  ERR_FAILED: it does not connect, with its own words. */
MUST_CHECK enum err_code talk_open(enum talk_kind kind, const struct spawn_options *o, const atomic_bool *cancel, struct talk **out, struct err *e);
void talk_close(struct talk *t);	/* NULL is allowed */

struct talk_rows {
	size_t nr_rows, nr_fields;
	char **fields;			/* row after row; NULL is SQL's NULL */
};
void talk_rows_release(struct talk_rows *r);
const char *talk_field(const struct talk_rows *r, size_t row, size_t field);	/* NULL: NULL, or no such field */

/** One statement without ';' at its end.  ERR_FAILED: the server's message.  The session goes on after that where the server lets it. */
MUST_CHECK enum err_code talk_ask(struct talk *t, const char *sql, struct talk_rows *out, struct err *e);
/** One that gives no rows, or whose rows do not matter. */
MUST_CHECK enum err_code talk_do(struct talk *t, struct err *e, const char *fmt, ...) PRINTF_LIKE(3, 4);
/** The first field of the first row, malloc'ed; NULL (and ERR_OK) where there is none or it is NULL. */
MUST_CHECK enum err_code talk_value(struct talk *t, char **out, struct err *e, const char *fmt, ...) PRINTF_LIKE(4, 5);

/** Append a name or a text as the SQL of kind has it, quotes included. */
void talk_quote_name(enum talk_kind kind, struct buf *out, const char *name);
void talk_quote_text(enum talk_kind kind, struct buf *out, const char *text);

#endif
