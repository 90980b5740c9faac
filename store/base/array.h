/* SPDX-License-Identifier: MIT */
#ifndef VOUCH_BASE_ARRAY_H
#define VOUCH_BASE_ARRAY_H

#include <stdlib.h>

/**
 * Room for one more behind the nr elements of so many bytes each: where they lie from now on.  NULL: no memory, and all
 * is as it was.
 */
static inline void *array_room(void *all, size_t nr, size_t *cap, size_t each)
{
	size_t more = *cap ? 2 * *cap : 64;
	void *p;

	if (nr < *cap)
		return all;
	p = reallocarray(all, more, each);
	if (p)
		*cap = more;
	return p;
}

#endif
