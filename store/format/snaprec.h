/* SPDX-License-Identifier: MIT */
/* A snapshot file: JSON, its id the SHA-256 of its exact bytes. Members: see vouch-format(5). */
#ifndef VOUCH_FORMAT_SNAPREC_H
#define VOUCH_FORMAT_SNAPREC_H

#include "store/base/buf.h"
#include "store/snapshot.h"

/**
 * Append the file's bytes; id and name of s are not looked at.  Limits are not
 * either: whoever publishes decodes these bytes first, which is where too many or
 * too long sources are found.
 */
void snaprec_encode(const struct snapshot *s, struct buf *out);

/**
 * Decode; id is computed from the bytes and name from time and id.  On success the
 * caller owns *out (snapshot_release).  ERR_CORRUPT, ERR_UNSUPPORTED (newer format).
 */
MUST_CHECK enum err_code snaprec_decode(const uint8_t *buf, size_t len, struct snapshot *out,
					struct err *e);

/** "2026-11-21T02-00-00Z-1c9e0d2a3b4c5d6e" and a NUL. */
#define SNAPSHOT_NAME_LEN (20 + 1 + 16)
void snaprec_name(const struct vtime *t, const struct object_id *id,
		  char out[SNAPSHOT_NAME_LEN + 1]);
/** True where s has exactly that shape. */
bool snaprec_name_ok(const char *s);

#endif
