/* SPDX-License-Identifier: MIT */
/*
 * The stream that mysqldump writes, cut into what it is made of, in pieces of any size: comments, statements, the rows of
 * INSERTs; and those put together into parts: the header, a table, a view, the trailer.  Statements end where the client
 * program would end them: quotes, comments and DELIMITER are understood, so that no text in a row or a routine is taken for
 * the dump's own.
 *
 *   header   session settings (character set, time zone, sql_mode, checks off)       "enable the sandbox mode", SET @OLD_...
 *   database CREATE DATABASE, USE (dumps with --databases)                           "-- Current Database:"
 *   sequence, table (with its rows and triggers)                                     "-- Table structure for table"
 *   stand-in a table or view in the place of a view until that can be made           "-- Temporary table structure for view"
 *   events, routines, view                                                           "-- Dumping events for database", ...
 *   trailer  session settings as they were, then "-- Dump completed"                 SET TIME_ZONE=@OLD_TIME_ZONE
 */
#ifndef VOUCH_COMPONENTS_MYSQL_STREAM_H
#define VOUCH_COMPONENTS_MYSQL_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/err.h"
#include "tools/components/rowsum.h"

struct mysql_stream;

enum mysql_part {
	MYSQL_HEADER,
	MYSQL_DATABASE,
	MYSQL_SEQUENCE,
	MYSQL_TABLE,
	MYSQL_STAND_IN,
	MYSQL_EVENTS,
	MYSQL_ROUTINES,
	MYSQL_VIEW,
	MYSQL_TRAILER
};

enum mysql_piece {
	MYSQL_GAP,	 /* white space, comments, DELIMITER lines between statements */
	MYSQL_STATEMENT, /* one statement, whole, with what ends it */
	MYSQL_ROWS	 /* bytes of an INSERT, as they come */
};

#define MYSQL_STATEMENT_MAX                                                                                                 \
	(64u << 20) /* but an INSERT: the largest max_allowed_packet that anybody sets for routines, and then some */

struct mysql_stream_events {
	/** What piece() gets from now on belongs to this; name without its quotes, "" where the part has none (only tables
	 * and sequences have). */
	enum err_code (*part)(void *ctx, enum mysql_part part, const char *name, struct err *e);
	/** Every byte of the stream, once, in order. */
	enum err_code (*piece)(void *ctx, enum mysql_piece kind, const char *p, size_t len, struct err *e);
	/** An INSERT into table begins: where its rows are to be added (NULL: nowhere). */
	enum err_code (*rows)(void *ctx, const char *table, struct rowsum **out, struct err *e);
	void *ctx;
};

MUST_CHECK enum err_code mysql_stream_open(const struct mysql_stream_events *ev, struct mysql_stream **out, struct err *e);
/** ERR_CORRUPT: it is no dump of this kind (text after the trailer, a part without a name).  ERR_LIMIT: a statement of more
 * than MYSQL_STATEMENT_MAX. */
MUST_CHECK enum err_code mysql_stream_feed(struct mysql_stream *s, const void *buf, size_t len, struct err *e);
/** The end of it.  ERR_CORRUPT: cut short: no "-- Dump completed", or in the middle of a statement. */
MUST_CHECK enum err_code mysql_stream_finish(struct mysql_stream *s, struct err *e);
uint64_t mysql_stream_lines(const struct mysql_stream *s);
/** Of its statements so far, in bytes: what a server's max_allowed_packet must let in. */
uint64_t mysql_stream_longest(const struct mysql_stream *s);
void mysql_stream_close(struct mysql_stream *s); /* NULL is allowed */

#endif
