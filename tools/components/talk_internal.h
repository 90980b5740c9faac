/* SPDX-License-Identifier: MIT */
/* Of talk*.c alone: how an answer of each client is told from the next, and taken apart. */
#ifndef VOUCH_COMPONENTS_TALK_INTERNAL_H
#define VOUCH_COMPONENTS_TALK_INTERNAL_H

#include "tools/components/talk.h"

/*
 * Random: no value holds it but by malice of somebody who can guess 128 bits.
 * See talk_psql.c and talk_mysql.c for what it does.
 */
#define TALK_TOKEN_LEN 32

/** ERR_USAGE where the client would not take sql for one whole statement. */
MUST_CHECK enum err_code talk_sql_check(enum talk_kind kind, const char *sql, struct err *e);

/** How far the bytes that came so far go. */
enum talk_whole { TALK_MORE, TALK_WHOLE, TALK_LOST };
enum talk_whole talk_psql_whole(const struct buf *b, const char *token);
enum talk_whole talk_mysql_whole(const struct buf *b, const char *token);

/**
 * Take apart what is whole; b->p goes to out (or is freed).  ERR_FAILED: the server's error.  ERR_CORRUPT: no answer
 * of that client.
 */
MUST_CHECK enum err_code talk_psql_take(struct buf *b, const char *token, struct talk_rows *out, struct err *e);
MUST_CHECK enum err_code talk_mysql_take(struct buf *b, const char *token, struct talk_rows *out, struct err *e);
/** Drop what the client says of itself before its first answer: a warning about TLS or about its own name. */
void talk_mysql_skip_remarks(struct buf *b);
/** Of bytes that end without an answer: the error that is said there, else "". */
const char *talk_mysql_error(const struct buf *b, struct buf *text);

/** Append a field to r; at NULL: SQL's NULL. */
MUST_CHECK enum err_code talk_add_field(struct talk_rows *r, size_t *nr, size_t *cap, char *at,
					struct err *e);

#endif
