/* SPDX-License-Identifier: MIT */
/*
 * What `pg_restore --data-only -f -` writes, read as it comes: the rows of each table (COPY ... FROM stdin), the values of
 * sequences, the large objects.  With --data-only no text of a user's stands outside quotes, so that no function's body can
 * pass for a table.
 */
#ifndef VOUCH_COMPONENTS_PGCOPY_H
#define VOUCH_COMPONENTS_PGCOPY_H

#include <stdbool.h>

#include "store/base/buf.h"
#include "store/err.h"
#include "tools/components/rowsum.h"

/** All are called in the stream's order; an error of theirs ends the reading.  name: canonical, see pgname.h. */
struct pgcopy_sink {
	enum err_code (*table)(void *ctx, const char *name, const struct rowsum *rows, struct err *e);
	enum err_code (*sequence)(void *ctx, const char *name, int64_t value, bool called, struct err *e);
	void *ctx;
};

struct pgcopy;

/** sink outlives it. */
MUST_CHECK enum err_code pgcopy_open(const struct pgcopy_sink *sink, struct pgcopy **out, struct err *e);
void pgcopy_close(struct pgcopy *p);	/* NULL is allowed */

/** The next bytes, cut anywhere.  ERR_LIMIT: a statement longer than pg_restore makes them.  ERR_CORRUPT: not its output. */
MUST_CHECK enum err_code pgcopy_feed(struct pgcopy *p, const void *buf, size_t len, struct err *e);

/**
 * There are no more.  ERR_CORRUPT: it ends inside a statement or a table.  large_objects: how many, and a sum of
 * their numbers and content.
 */
MUST_CHECK enum err_code pgcopy_finish(struct pgcopy *p, struct rowsum *large_objects, struct err *e);

/*
 * A row of up to this many bytes is summed as rowsum.h says; of a longer one its SHA-256 is summed in place of the
 * row, so that no row need be held whole.
 */
#define PGCOPY_ROW_HELD (1u << 20)

#endif
