/* SPDX-License-Identifier: MIT */
/* One run, recover or rollback of a component at a time: a lock that dies with whoever holds it. */
#ifndef VOUCH_TOOLS_LOCK_H
#define VOUCH_TOOLS_LOCK_H

#include "store/err.h"

struct lock;

/**
 * Take the lock of the component in the repository with that id, or say at once who has it: ERR_BUSY, whose message has
 * the process and what it does (doing: "run", "recover").  It is a file in /run/vouch (root), else in ~/.cache/vouch: one
 * user's processes on one host exclude each other.  What vouch starts does not inherit it.
 */
MUST_CHECK enum err_code lock_take(const char *repository, const char *component, const char *doing, struct lock **out,
				   struct err *e);
void lock_release(struct lock *l);	/* NULL is allowed */

#endif
