/* SPDX-License-Identifier: MIT */
/* What differs between two trees; equal subtrees are passed over by their ids. */
#ifndef VOUCH_STORE_DIFF_H
#define VOUCH_STORE_DIFF_H

#include "store/store.h"
#include "store/tree.h"

enum diff_kind {
	DIFF_ADDED,
	DIFF_REMOVED,
	DIFF_CONTENT,		/* bytes, target, device or type differ */
	DIFF_METADATA		/* mode, owner, mtime, xattrs, flags; not ctime, inode or dev */
};

/** a is NULL for ADDED, b for REMOVED.  ERR_CANCELED stops without error. */
typedef enum err_code diff_fn(void *ctx, enum diff_kind kind, const char *path,
			      const struct entry *a, const struct entry *b, struct err *e);

/** a and b: two directories' entries.  Paths come in order, relative, without leading '/'. */
MUST_CHECK enum err_code diff_run(struct store *s, const struct entry *a, const struct entry *b,
				  diff_fn *fn, void *ctx, struct err *e);

#endif
