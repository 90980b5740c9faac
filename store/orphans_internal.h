/* SPDX-License-Identifier: MIT */
/* Inside libvouch: parity files without their pack. */
#ifndef VOUCH_STORE_ORPHANS_INTERNAL_H
#define VOUCH_STORE_ORPHANS_INTERNAL_H

#include "store/base/buf.h"
#include "store/internal.h"

/** Appends the ids of what they are of, struct object_id each. */
MUST_CHECK enum err_code orphans_find(struct store *s, struct buf *out, struct err *e);
/** Delete those that were found before (it is sorted) and are still alone; *nr counts them. */
MUST_CHECK enum err_code orphans_end(struct store *s, const struct buf *before, uint64_t *nr,
				     struct err *e);

#endif
