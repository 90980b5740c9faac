/* SPDX-License-Identifier: MIT */
/* libpq's "host=/run/postgresql dbname=crm": read, changed, and written again. */
#ifndef VOUCH_COMPONENTS_PGDSN_H
#define VOUCH_COMPONENTS_PGDSN_H

#include "store/base/buf.h"
#include "store/err.h"

struct pgdsn {
	struct pgdsn_word {
		char *key, *value;
	} *words;
	size_t nr;
};

/** ERR_USAGE: not of that form (a URI is not), or it holds a password, which would stand in the arguments of programs. */
MUST_CHECK enum err_code pgdsn_read(const char *text, struct pgdsn *out, struct err *e);
void pgdsn_release(struct pgdsn *d);

const char *pgdsn_get(const struct pgdsn *d, const char *key);	/* NULL: not there */
MUST_CHECK enum err_code pgdsn_set(struct pgdsn *d, const char *key, const char *value, struct err *e);
/** Append it as text, values quoted where they must be; not NUL-terminated. */
void pgdsn_write(const struct pgdsn *d, struct buf *out);

#endif
