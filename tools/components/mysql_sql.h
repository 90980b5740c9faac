/* SPDX-License-Identifier: MIT */
/* Single statements of a mysqldump: what they make, whose they are, and the same for a database of another name. */
#ifndef VOUCH_COMPONENTS_MYSQL_SQL_H
#define VOUCH_COMPONENTS_MYSQL_SQL_H

#include <stdbool.h>
#include <stddef.h>

#include "store/base/buf.h"
#include "store/err.h"

#define MYSQL_NAME_MAX 256 /* bytes: 64 characters of at most four */

enum mysql_token_kind {
	MYSQL_TOKEN_END,
	MYSQL_TOKEN_WORD, /* unquoted: a keyword, a name, a number */
	MYSQL_TOKEN_NAME, /* `quoted` */
	MYSQL_TOKEN_TEXT, /* 'quoted', "quoted" */
	MYSQL_TOKEN_SIGN  /* one byte */
};

/** What is between them (white space, comments, the marks of version comments) is passed over. */
struct mysql_token {
	enum mysql_token_kind kind;
	const char *p; /* with its quotes */
	size_t len;
};

struct mysql_tokens {
	const char *p;
	size_t len, at;
};

/** The next; false (and MYSQL_TOKEN_END) after the last. */
bool mysql_token(struct mysql_tokens *t, struct mysql_token *out);
bool mysql_token_is(const struct mysql_token *t, const char *word); /* a keyword, in any case, or a sign */
/** A WORD, NAME or TEXT without its quotes; false where it is none, or too long. */
bool mysql_token_name(const struct mysql_token *t, char out[MYSQL_NAME_MAX + 1]);

enum mysql_sql_kind {
	MYSQL_SQL_OTHER,
	MYSQL_SQL_DATABASE, /* CREATE DATABASE */
	MYSQL_SQL_USE,
	MYSQL_SQL_TABLE, /* CREATE TABLE */
	MYSQL_SQL_SEQUENCE,
	MYSQL_SQL_VIEW,
	MYSQL_SQL_TRIGGER,
	MYSQL_SQL_PROCEDURE,
	MYSQL_SQL_FUNCTION,
	MYSQL_SQL_PACKAGE,
	MYSQL_SQL_PACKAGE_BODY,
	MYSQL_SQL_EVENT,
	MYSQL_SQL_INSERT,
	MYSQL_SQL_DROP,	 /* of a table, view or sequence */
	MYSQL_SQL_SETVAL /* DO SETVAL(`sequence`, ...) */
};

struct mysql_statement {
	enum mysql_sql_kind kind;
	char name[MYSQL_NAME_MAX + 1];	      /* of what it makes, fills or drops; "" where it does none of that */
	char definer[2 * MYSQL_NAME_MAX + 2]; /* "user@host"; "": none named */
	size_t after_name;		      /* offset in the text */
};

/** False where it is not even words. */
bool mysql_sql_read(const char *text, size_t len, struct mysql_statement *out);

struct mysql_rename {
	const char *from, *to;
};
struct mysql_renames {
	const struct mysql_rename *of;
	size_t nr;
	bool events_off; /* CREATE EVENT: ENABLE becomes DISABLE: a copy must not start to delete rows on its own */
};

/**
 * Append the statement as it has to be where databases are called otherwise: CREATE DATABASE and USE, the names of triggers
 * and of their tables, sequences in defaults, tables and functions in views.  What users wrote in bodies of triggers,
 * routines and events stays as it is: see mysql_sql_mentions().
 */
void mysql_sql_rename(const struct mysql_renames *r, const char *text, size_t len, struct buf *out);

/** Of a statement that mysql_sql_rename() made: the body of a trigger, routine or event still names one of these databases
 * (from). */
bool mysql_sql_mentions(const struct mysql_renames *r, const char *text, size_t len);

#endif
