/* SPDX-License-Identifier: MIT */
/*
 * What the JSON records share: strict loading, and members that JSON alone cannot
 * carry (integers over 2^53 as text, bytes that are not UTF-8 as "..._b64").  Only
 * the .c files that read and write records include this.
 */
#ifndef VOUCH_FORMAT_JSONREC_H
#define VOUCH_FORMAT_JSONREC_H

#include "store/base/buf.h"
#include "store/entry.h"
#include "store/err.h"

struct json_t;		/* jansson's */

/**
 * Parse an object.  ERR_CORRUPT: longer than max, syntax, a member twice, deeper
 * or with more values than any record has.  The caller json_decref()s *out.
 */
MUST_CHECK enum err_code jsonrec_load(const uint8_t *buf, size_t len, size_t max,
				      struct json_t **out, struct err *e);

/**
 * The same of a record that ends in checkline.h's line, as jsonrec_finish() writes it, with jsonrec_head()'s
 * members.  *out may be set after an error too: json_decref() it in every case.
 */
MUST_CHECK enum err_code jsonrec_load_checked(const uint8_t *buf, size_t len, const char *kind,
					      unsigned version, struct json_t **out,
					      struct err *e);

/** ERR_CORRUPT unless "vouch" is kind; ERR_UNSUPPORTED where "format" is above version. */
MUST_CHECK enum err_code jsonrec_head(const struct json_t *o, const char *kind, unsigned version,
				      struct err *e);

/* Members; where one is missing or of another type: ERR_CORRUPT, named. */

/** A string, as jansson keeps it: good as long as o. */
MUST_CHECK enum err_code jsonrec_str(const struct json_t *o, const char *key, const char **out,
				     struct err *e);
/** Text or bytes without NUL (key, or key_b64), at most max; *out is the caller's to free. */
MUST_CHECK enum err_code jsonrec_bytes(const struct json_t *o, const char *key, size_t max,
				       char **out, struct err *e);
/** The same of a value: a string, or {"b64": "..."}. */
MUST_CHECK enum err_code jsonrec_bytes_of(const struct json_t *v, size_t max, char **out,
					  struct err *e);
/** An integer from 0 to max, or the text of one. */
MUST_CHECK enum err_code jsonrec_u64(const struct json_t *o, const char *key, uint64_t max,
				     uint64_t *out, struct err *e);
/** Exactly len bytes as hexadecimal digits. */
MUST_CHECK enum err_code jsonrec_hex(const struct json_t *o, const char *key, uint8_t *out,
				     size_t len, struct err *e);
/** "2026-11-21T02:00:00.123456789Z" */
MUST_CHECK enum err_code jsonrec_time(const struct json_t *o, const char *key, struct vtime *out,
				      struct err *e);
/** An array of at most max elements. */
MUST_CHECK enum err_code jsonrec_array(const struct json_t *o, const char *key, size_t max,
				       const struct json_t **out, struct err *e);

/* Writing: false where memory ran out.  NULL text is written as "". */

bool jsonrec_set_str(struct json_t *o, const char *key, const char *s);
bool jsonrec_set_bytes(struct json_t *o, const char *key, const char *s);
bool jsonrec_append_bytes(struct json_t *array, const char *s);
bool jsonrec_set_u64(struct json_t *o, const char *key, uint64_t v);
bool jsonrec_set_hex(struct json_t *o, const char *key, const uint8_t *p, size_t len);

bool jsonrec_set_time(struct json_t *o, const char *key, const struct vtime *t);

/** Append o as indented text and a newline. */
void jsonrec_dump(const struct json_t *o, struct buf *out);

/** The same, closed by checkline.h's line.  Takes o; where ok is false (its making failed) out becomes bad. */
void jsonrec_finish(struct json_t *o, bool ok, struct buf *out);

#endif
