/* SPDX-License-Identifier: MIT */
/* Members of JSON objects, written as text: a manifest is too large to be built in memory. */
#ifndef VOUCH_FS_JSON_H
#define VOUCH_FS_JSON_H

#include "store/base/buf.h"
#include "store/entry.h"

/** "key":"TEXT", or "key_b64":"..." where the bytes are not UTF-8. */
void json_bytes(struct buf *out, const char *key, const void *p, size_t len);
/** "key":N, or "key":"N" above 2^53. */
void json_u64(struct buf *out, const char *key, uint64_t v);
/** "key":"2026-11-21T02:00:00.123456789Z"; of a year no calendar knows: seconds since 1970, as text. */
void json_time(struct buf *out, const char *key, const struct vtime *t);

#endif
