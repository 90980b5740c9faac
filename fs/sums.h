/* SPDX-License-Identifier: MIT */
/*
 * The SHA256SUMS of a snapshot: what sha256sum prints for every regular file, by paths relative to the snapshot's
 * folder and with sha256sum's escapes.  Nothing of it is kept: its length is in the root's totals, and any part of it
 * is found at the cost of one path down the tree.
 */
#ifndef VOUCH_FS_SUMS_H
#define VOUCH_FS_SUMS_H

#include "store/tree.h"

/** The whole length; root is the entry of the snapshot's folder. */
static inline uint64_t sums_size(const struct entry *root)
{
	return root->below.sums_len;
}

/**
 * Up to len bytes at off; *n is less than len only at the end.  The line of a file without a digest (of mostly holes)
 * is a comment of the same length.  ERR_CORRUPT: totals that do not fit what is there.
 */
MUST_CHECK enum err_code sums_read(struct store *s, const struct entry *root, uint64_t off,
				   void *buf, size_t len, size_t *n, struct err *e);

#endif
