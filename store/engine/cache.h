/* SPDX-License-Identifier: MIT */
/*
 * Blocks in memory: bounded, sharded, found by (pack, block) or by the id of any chunk in them.  A block's bytes
 * are immutable once it is in; each chunk is checked against its id when it is first asked for, and that it was is
 * remembered with the block.
 */
#ifndef VOUCH_ENGINE_CACHE_H
#define VOUCH_ENGINE_CACHE_H

#include "store/format/packtable.h"

struct cache;
struct cache_block;		/* reference-counted */

MUST_CHECK enum err_code cache_open(size_t max_bytes, struct cache **out, struct err *e);
size_t cache_max(const struct cache *c);		/* bytes */
/** Before other threads use it; what is beyond goes with the next block that is put in. */
void cache_set_max(struct cache *c, size_t max_bytes);
void cache_close(struct cache *c);		/* no references may be left */

/** Chunk in memory: its block (referenced) and where in it; NULL if none. */
struct cache_block *cache_find(struct cache *c, const struct object_id *chunk, uint32_t *off,
			       uint32_t *len, uint32_t *index);
struct cache_block *cache_get(struct cache *c, uint32_t pack, uint32_t block);

/**
 * Put a block in: plain (malloc'ed, plain_len bytes) and chunks (nr, copied) become the cache's.  Returns it referenced;
 * where another thread was first, that one's, and plain is freed.  NULL: no memory, plain is freed.
 */
struct cache_block *cache_put(struct cache *c, uint32_t pack, uint32_t block, uint8_t *plain,
			      size_t plain_len, const struct chunk_desc *chunks, uint32_t nr);

/** The same, of a block whose chunks are as checked says: a bit each, from the lowest of the first byte on. */
struct cache_block *cache_put_checked(struct cache *c, uint32_t pack, uint32_t block,
				      uint8_t *plain, size_t plain_len,
				      const struct chunk_desc *chunks, uint32_t nr,
				      const uint8_t *checked);

/** len bytes for such a plain, from what blocks before had where there is one; the caller's to free. NULL: no memory. */
uint8_t *cache_buffer(struct cache *c, size_t len);

/** Whether this is the first call for the block. */
bool cache_block_touch(struct cache_block *b);
/** Where it lies, as given to cache_put. */
void cache_block_place(const struct cache_block *b, uint32_t *pack, uint32_t *block);

const uint8_t *cache_block_plain(const struct cache_block *b);
size_t cache_block_len(const struct cache_block *b);		/* bytes of plain */
bool cache_block_checked(const struct cache_block *b, uint32_t index);
void cache_block_set_checked(struct cache_block *b, uint32_t index);
void cache_block_put(struct cache *c, struct cache_block *b);	/* drops the reference */
/** Forget a block whose bytes proved wrong. */
void cache_drop(struct cache *c, uint32_t pack, uint32_t block);

/** What the blocks in it take, with all that belongs to them. */
size_t cache_bytes(struct cache *c);

#endif
