/* SPDX-License-Identifier: MIT */
/* Inside libvouch.  condemned/: which packs may go. A record is only ever added and removed, never changed. */
#ifndef VOUCH_STORE_CONDEMNED_INTERNAL_H
#define VOUCH_STORE_CONDEMNED_INTERNAL_H

#include "store/base/buf.h"
#include "store/internal.h"

/** All packs that records name, sorted; and the records' names, NUL after each. */
struct condemned {
	struct object_id *packs;
	size_t nr;
	struct buf names;
	size_t nr_names;
};

void condemned_release(struct condemned *c);
/** A damaged record names nothing (a WARNING event) and is among the names. */
MUST_CHECK enum err_code condemned_read(struct store *s, struct condemned *out, struct err *e);
bool condemned_has(const struct condemned *c, const struct object_id *pack);
MUST_CHECK enum err_code condemned_add(struct store *s, const struct object_id *packs, size_t nr,
				       struct err *e);

/** A pack goes: first its parity, which alone would stay for good. */
MUST_CHECK enum err_code condemned_delete(struct store *s, const struct object_id *pack, struct err *e);
/** The records, last: what is left of an interrupted deletion is found again by them. */
MUST_CHECK enum err_code condemned_end(struct store *s, const struct condemned *c, struct err *e);

#endif
