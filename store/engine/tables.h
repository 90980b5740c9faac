/* SPDX-License-Identifier: MIT */
/* Pack tables in memory: bounded, found by the pack's ordinal, counted references. Any thread. */
#ifndef VOUCH_ENGINE_TABLES_H
#define VOUCH_ENGINE_TABLES_H

#include "store/format/packtable.h"

struct tables;
struct table; /* immutable while referenced */

/** Tables that are in use do not count against max_bytes' promise: they are dropped when they are
 * let go. */
MUST_CHECK enum err_code tables_open(size_t max_bytes, struct tables **out, struct err *e);
void tables_close(struct tables *ts); /* no references may be left; NULL is allowed */

/** Referenced, or NULL. */
struct table *tables_get(struct tables *ts, uint32_t ord);
/** t's arrays become the set's in every case; where there is one already, that one. NULL: no
 * memory. */
struct table *tables_put(struct tables *ts, uint32_t ord, struct packtable *t);
void tables_release(struct tables *ts, struct table *t); /* NULL is allowed */
/** Not to be found any more. */
void tables_drop(struct tables *ts, uint32_t ord);

const struct packtable *table_get(const struct table *t);

/** A chunk's place in a table. */
struct table_place {
	uint32_t block;	   /* ordinal */
	uint32_t index;	   /* of the chunk in its block */
	uint32_t off, len; /* in the block's plain bytes */
};

/** Where t has the chunk: in block hint, or anywhere; false where it has not. */
bool table_find(const struct packtable *t, const struct object_id *id, uint32_t hint,
		struct table_place *out);

#endif
