/* SPDX-License-Identifier: MIT */
/* Objects of NDJSON on standard output: one a line. */
#ifndef VOUCH_TOOLS_JSONOUT_H
#define VOUCH_TOOLS_JSONOUT_H

#include <jansson.h>

#include "store/entry.h"
#include "store/err.h"

/** After a failed step it stays failed (bad), so that only the end needs a check. */
struct jsonout {
	json_t *object;
	bool bad;
};

/** {"type":type}; type may be NULL. */
struct jsonout jsonout_begin(const char *type);
void jsonout_put(struct jsonout *j, const char *key, json_t *value);	/* takes value */
void jsonout_str(struct jsonout *j, const char *key, const char *s);
/** A string of what may be no UTF-8, as by text_clean_str(): for logs, where the words count.  NULL: out of memory. */
json_t *jsonout_text(const char *s);
/** A string where it is UTF-8, else "KEY_b64" with the bytes in base64. */
void jsonout_bytes(struct jsonout *j, const char *key, const char *p, size_t len);
void jsonout_bool(struct jsonout *j, const char *key, bool v);
/** A number; over 2^53, where readers lose digits, a string. */
void jsonout_u64(struct jsonout *j, const char *key, uint64_t v);
void jsonout_real(struct jsonout *j, const char *key, double v);
void jsonout_time(struct jsonout *j, const char *key, struct vtime t);
void jsonout_id(struct jsonout *j, const char *key, const struct object_id *id);
void jsonout_strings(struct jsonout *j, const char *key, char *const *v, size_t nr);
void jsonout_totals(struct jsonout *j, const struct totals *t);
void jsonout_err(struct jsonout *j, const char *key, const struct err *e);

/** Print it and a newline, at once, whole; frees it.  A failure shows in ferror(stdout) or bad memory: false. */
bool jsonout_end(struct jsonout *j);

#endif
