/* SPDX-License-Identifier: MIT */
/* Names of PostgreSQL's objects as text: plain where they are lower case letters, digits and _, else in double quotes. */
#ifndef VOUCH_COMPONENTS_PGNAME_H
#define VOUCH_COMPONENTS_PGNAME_H

#include <stdbool.h>
#include <stddef.h>

#include "store/base/buf.h"

#define PGNAME_MAX 63u		/* bytes of a name (NAMEDATALEN - 1) */

/**
 * Append name in one canonical form: quoted unless [a-z_][a-z0-9_]*.  PostgreSQL's own rule also quotes keywords,
 * other ones in each version, so that its text would differ between a dump and where it is restored.
 */
void pgname_add(struct buf *out, const char *name);

/**
 * Read one name (quoted or not) at *at: append what it means to out, move *at behind it.  False: there is none, or
 * its quotes do not end.
 */
bool pgname_read(const char **at, struct buf *out);

/** "schema.name" or "name", either part quoted or not, and nothing after it; schema is "" where there is none. */
bool pgname_split(const char *text, struct buf *schema, struct buf *name);

/** base cut so that base and suffix fit in a name, never inside a UTF-8 character; false: suffix alone does not. */
bool pgname_suffixed(const char *base, const char *suffix, char out[PGNAME_MAX + 1]);

#endif
