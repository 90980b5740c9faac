/* SPDX-License-Identifier: MIT */
/*
 * Which blocks will be wanted next, and threads that fetch them.  Readers tell of each block when they first come to
 * it; where they go forward through a pack (one large file, or a folder's files one after another) the blocks after it
 * are loaded before they are asked for.  Several readers at once are told apart.  Who reads here and there
 * has nothing fetched for him.
 */
#ifndef VOUCH_ENGINE_PREFETCH_H
#define VOUCH_ENGINE_PREFETCH_H

#include <stdint.h>

#include "store/err.h"

struct prefetch;

/** Load block of the pack numbered ord; called in one of the threads, several at once. */
typedef void prefetch_load_fn(void *ctx, uint32_t ord, uint32_t block);

/** nr threads (at least 1); ahead_max blocks, of all readers, that were fetched and not come to yet. */
MUST_CHECK enum err_code prefetch_open(unsigned nr, unsigned ahead_max, prefetch_load_fn *fn,
				       void *ctx, struct prefetch **out, struct err *e);
void prefetch_close(struct prefetch *p);	/* what waits is dropped; NULL is allowed */

/** A reader has come to a block it had not been at, of a pack of nr_blocks.  Any thread; never waits for a load. */
void prefetch_touch(struct prefetch *p, uint32_t ord, uint32_t block, uint32_t nr_blocks);

#endif
