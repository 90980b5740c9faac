/* SPDX-License-Identifier: MIT */
/* A backend in front of another, whose n-th call fails. */
#ifndef VOUCH_TESTS_FAULTY_BACKEND_H
#define VOUCH_TESTS_FAULTY_BACKEND_H

#include "store/backend/backend.h"

enum faulty_calls {
	FAULTY_WRITES = 1,	/* put, put_begin, put_add, put_commit(_two), append, remove */
	FAULTY_READS = 2	/* get, size, list */
};

/** inner stays the caller's, and must outlive it. */
struct backend *faulty_open(struct backend *inner);
void faulty_close(struct backend *b);

/**
 * From now on the nth call (from 1; 0: none) of these kinds fails with code and errno sys, and every later one
 * too where sticky (a full disk).
 */
void faulty_set(struct backend *b, unsigned calls, unsigned nth, bool sticky, enum err_code code,
		int sys);
/** From now on so many bytes are free; UINT64_MAX: what there is. */
void faulty_set_space(struct backend *b, uint64_t free_bytes);
bool faulty_fired(const struct backend *b);
unsigned faulty_calls_made(const struct backend *b);	/* of those kinds, since set */

#endif
