/* SPDX-License-Identifier: MIT */
/*
 * Chunks by id: finding, verified reading, and which packs there are.  The index is asked first; the pack's own table
 * decides; where the index is silent, wrong or busy, the tables are searched and the index mended.
 * Any thread may call anything here.
 */
#ifndef VOUCH_ENGINE_CHUNKS_H
#define VOUCH_ENGINE_CHUNKS_H

#include "store/backend/backend.h"
#include "store/engine/cache.h"
#include "store/engine/catalog.h"
#include "store/engine/heal.h"

struct chunks;

/** What a damaged or missing chunk is reported with. */
struct chunk_damage {
	struct object_id chunk, pack;	/* pack zero where unknown */
	uint64_t off;			/* of the block in the pack */
	const char *what;
	bool missing;
	bool block;			/* not a chunk but a block is damaged: some of its chunks may be whole */
	bool table;			/* block: not that, but the pack's table */
	enum heal_source healed;	/* block, table: served right all the same */
};

struct chunks_events {
	void *ctx;
	void (*damage)(void *ctx, const struct chunk_damage *d);	/* may be NULL; any thread */
	/** A rebuild's progress (packs done of all); may be NULL. */
	void (*rebuild)(void *ctx, uint64_t done, uint64_t all);
	/** What became of a pack that was to be mended; may be NULL; by the thread that mends. */
	void (*mended)(void *ctx, const struct heal_news *n);
};

struct chunks_config {
	struct backend *backend;
	const char *index_path;		/* where index.db lies or shall lie */
	bool index_read_only;
	uint8_t repo_id[16];
	size_t cache_bytes;		/* of verified blocks; 0 for 32 MiB */
	struct chunks_events events;
	struct heal_replicas replicas;	/* zero: none are known */
};

/** Opens the index (rebuilding what is garbage) and reconciles it with the packs that are there. */
MUST_CHECK enum err_code chunks_open(const struct chunks_config *cfg, struct chunks **out,
				     struct err *e);
void chunks_close(struct chunks *c);

/** A chunk is given out once for each time its block was read (a quarter of a second ago at most). Before other threads. */
void chunks_set_fresh(struct chunks *c);

/**
 * From now on damage is healed: what is read comes from parity or a copy of the repository where the pack here does not
 * have it, and, with mend, the pack is made whole by a thread of its own, for which chunks_close() waits.
 */
void chunks_set_heal(struct chunks *c, bool heal, bool mend);

/** Somebody else found the pack damaged: it is made whole by that thread, where packs are. */
void chunks_queue_mend(struct chunks *c, const struct object_id *pack);

/** What is read is wanted to its last chunk: those of a block are checked together, which is faster.  Before other threads. */
void chunks_set_whole(struct chunks *c);
/** How many bytes of blocks stay in memory.  Before other threads. */
void chunks_set_cache(struct chunks *c, size_t bytes);

/** From now on blocks are loaded and checked ahead of readers who go forward, by nr_threads threads.  Once, before there are readers. */
MUST_CHECK enum err_code chunks_prefetch(struct chunks *c, unsigned nr_threads, struct err *e);

/**
 * The names of all packs that are counted on are durable when this returns ERR_OK, also of those that
 * somebody left who was killed.  Before a snapshot that needs them is named, or a pack is deleted
 * that they replace.
 */
MUST_CHECK enum err_code chunks_settle(struct chunks *c, struct err *e);

/** List the packs again; new ones are indexed, vanished ones forgotten. */
MUST_CHECK enum err_code chunks_refresh(struct chunks *c, struct err *e);

/** A checked chunk, pinned in memory. */
struct chunk_ref {
	const uint8_t *data;
	size_t len;
	struct cache_block *pin;
};

/**
 * Get a chunk; its SHA-256 has been checked against id since it left the medium.
 * ERR_NOT_FOUND: in no pack that is here.  ERR_CORRUPT: damaged everywhere it lies
 * (reported through events.damage, once a chunk).  Other copies are tried first.
 */
MUST_CHECK enum err_code chunks_get(struct chunks *c, const struct object_id *id,
				    struct chunk_ref *out, struct err *e);
void chunk_ref_release(struct chunks *c, struct chunk_ref *r);

/** Whether a table that is here names the chunk (nothing of it is read); len may be NULL. */
MUST_CHECK enum err_code chunks_have(struct chunks *c, const struct object_id *id, bool *have,
				     uint32_t *len, struct err *e);

/** Packs that may go: chunks_have() counts on them no more.  They are still read. */
MUST_CHECK enum err_code chunks_condemn(struct chunks *c, const struct object_id *packs, size_t nr,
					struct err *e);

/**
 * Chunks that were found damaged once: chunks_have() reads them before it counts on them, and says that what is still
 * damaged is not here, so that it is stored anew.  No event tells of them once more.
 */
MUST_CHECK enum err_code chunks_doubt(struct chunks *c, const struct object_id *ids, size_t nr,
				      struct err *e);
/** A block known to be damaged: no event tells of it once more. */
void chunks_known_block(struct chunks *c, const struct object_id *pack, uint64_t off);
/** It was given to chunks_doubt(), and not found whole or stored since. */
bool chunks_doubted(struct chunks *c, const struct object_id *id);

/** Tell of packs just sealed: indexed in one transaction, and found from now on. */
MUST_CHECK enum err_code chunks_add_packs(struct chunks *c, const struct object_id *ids,
					  const struct packtable *tables, size_t nr, struct err *e);

/** Every pack that is here, for verify: calls fn in order of id; stops at its first error. */
typedef enum err_code chunks_pack_fn(void *ctx, const struct object_id *id, struct err *e);
MUST_CHECK enum err_code chunks_each_pack(struct chunks *c, chunks_pack_fn *fn, void *ctx,
					  struct err *e);

/**
 * The same with their lengths, in any order: by the index, which is a hint, and only those that it has.  Where there is
 * none now: nothing.
 */
typedef enum err_code chunks_size_fn(void *ctx, const struct object_id *id, uint64_t len,
				     struct err *e);
MUST_CHECK enum err_code chunks_sizes(struct chunks *c, chunks_size_fn *fn, void *ctx,
				      struct err *e);

/** catalog.h's, of the index that is in use; where there is none now, nothing is stale. */
MUST_CHECK enum err_code chunks_history_stale(struct chunks *c, const char *stamp, bool *stale,
					      struct err *e);
MUST_CHECK enum err_code chunks_set_history(struct chunks *c, const char *stamp,
					    const struct catalog_backup *rows, size_t nr,
					    struct err *e);

struct chunks_stats {
	uint64_t packs, chunks;			/* known to the index */
	uint64_t blocks_read, bytes_read;	/* from the medium since open (stored bytes) */
	uint64_t bytes_checked;			/* plain bytes whose SHA-256 was checked since open */
	uint64_t damaged;			/* damage events */
	uint64_t healed;			/* of these: blocks and tables served right all the same */
	uint64_t mended;			/* packs made whole where they lie */
	uint64_t hits, misses;			/* reads of a chunk whose block was in memory, or not */
	uint64_t blocks_ahead;			/* of blocks_read: before anybody asked */
	uint64_t cache_bytes;			/* in memory now */
	uint64_t index_bytes;			/* of the file index.db; 0 where there is none */
	uint64_t index_written;			/* bytes, to index.db and its journal since open */
};
void chunks_stats(struct chunks *c, struct chunks_stats *out);

#endif
