/* SPDX-License-Identifier: MIT */
/* Inside libvouch. writers/: who is at work, so that nothing is deleted under him. Needs no lock: what is left by the dead is told from the living. */
#ifndef VOUCH_STORE_HEARTBEAT_INTERNAL_H
#define VOUCH_STORE_HEARTBEAT_INTERNAL_H

#include "store/internal.h"
#include "store/condemned_internal.h"

#define HEARTBEAT_SILENT_SEC 86400	/* who was silent for so long is not waited for, and must not publish */

struct heartbeat;

/**
 * From now on no pack that is there goes before heartbeat_end(), but for those in *c (the caller's to release): they are
 * not to be counted on.  No clock is asked: a collector waits for all who do not say that they know its record.
 */
MUST_CHECK enum err_code heartbeat_begin(struct store *s, struct heartbeat **out,
					 struct condemned *c, struct err *e);
/** Say again that we live, where that is due; failing is told of when it is too late. */
void heartbeat_beat(struct heartbeat *h);
/** ERR_BUSY: it was silent too long, so that what it counted on may be gone. */
MUST_CHECK enum err_code heartbeat_check(const struct heartbeat *h, struct err *e);
void heartbeat_end(struct heartbeat *h);	/* NULL is allowed */

/** How many writers may be at work who do not know all of c (NULL: any); mine (may be NULL) is not counted.  What the dead left is removed. */
MUST_CHECK enum err_code heartbeats_unaware(struct store *s, const struct condemned *c,
					    const struct heartbeat *mine, uint64_t *nr,
					    struct err *e);

#endif
