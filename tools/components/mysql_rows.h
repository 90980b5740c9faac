/* SPDX-License-Identifier: MIT */
/* The rows of an INSERT, "(1,'a'),(2,NULL);", in pieces of any size: each into a checksum of the table. */
#ifndef VOUCH_COMPONENTS_MYSQL_ROWS_H
#define VOUCH_COMPONENTS_MYSQL_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/err.h"
#include "tools/components/rowsum.h"

struct mysql_rows;

MUST_CHECK enum err_code mysql_rows_open(struct mysql_rows **out, struct err *e);
void mysql_rows_close(struct mysql_rows *r); /* NULL is allowed */
/** What comes now is after VALUES; its rows are added to sum (NULL: nowhere). */
void mysql_rows_begin(struct mysql_rows *r, struct rowsum *sum);
/** *used bytes belong to it, *lines grows by those that end in them; *ends: the last of them is its ';'.  ERR_CORRUPT. */
MUST_CHECK enum err_code mysql_rows_feed(struct mysql_rows *r, const char *p, size_t len, size_t *used, uint64_t *lines,
					 bool *ends, struct err *e);

#endif
