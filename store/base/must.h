/* SPDX-License-Identifier: MIT */
#ifndef VOUCH_BASE_MUST_H
#define VOUCH_BASE_MUST_H

#include <stdlib.h>

/**
 * Of a lock, thread or clock: that it fails is our own mistake, or a broken system.  Going on without mutual exclusion
 * could store or hand out wrong bytes.
 */
static inline void must(int rc)
{
	if (rc != 0)
		abort();
}

#endif
