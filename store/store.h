/* SPDX-License-Identifier: MIT */
/*
 * A repository: create, open, close.  Everything else in store/ takes a struct store, which any number of threads
 * may use at once.  Nothing here prints or exits: news goes through the callbacks below, errors through struct err.
 *
 * Lock order (a thread that holds one may take only later ones):
 *   store.mutex, tree cache shard, chunks.mutex, cache shard, catalog.mutex, backend, damage.
 */
#ifndef VOUCH_STORE_STORE_H
#define VOUCH_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/err.h"
#include "store/id.h"

struct store;

/** Something a person or a log should hear of.  Strings are views, good during the call only. */
enum event_kind {
	EVENT_NOTE,		/* "skipped /proc (proc)", a pack was mended */
	EVENT_WARNING,		/* a source file could not be read, damage was healed, ... */
	EVENT_DAMAGE,		/* a chunk, node, pack or snapshot is damaged or missing */
	EVENT_PROGRESS
};

/** A chunk that is damaged or missing everywhere it lies; or (block) a damaged block, some of whose chunks may be whole. */
struct event_damage {
	struct object_id chunk, pack;	/* zero where unknown */
	uint64_t off;			/* of the block in the pack */
	bool missing, block;
	bool table;			/* block: not that, but the pack's table */
	bool healed;			/* of a block: read right all the same, from parity or a copy of the repository */
	bool mended;			/* of a pack alone: it is whole again where it lies */
	const char *what;		/* may be NULL */
};

struct event {
	enum event_kind kind;
	/* One line; for PROGRESS the stage: "index", "backup", "restore", "read back", "verify", "trees", "paths" */
	const char *text;
	const char *path;		/* what it is about, or NULL; raw bytes: escape before printing */
	const struct err *err;		/* the cause, or NULL */
	const struct event_damage *damage;	/* DAMAGE of a chunk or a block, WARNING of a healed one, NOTE of a mended pack */
	/* PROGRESS: 0 where unknown; for "index" and "verify" files are packs; a backup's totals are those of the snapshot before, so only a guess */
	uint64_t files, files_total, bytes, bytes_total, errors;
};

/** Called from any thread, several at once; must not call back into the store. */
struct store_events {
	void (*fn)(void *ctx, const struct event *ev);	/* may be NULL */
	void *ctx;
};

enum store_mode {
	/*
	 * Nothing on the medium is written but index.db (in a cache folder where the medium is read-only), and to log/
	 * what is found damaged, or good (verify.h), or synced; and, with store_set_heal(), the right bytes over what is damaged.
	 */
	STORE_READ,
	STORE_WRITE
};

struct store_create_params {
	uint32_t chunk_min, chunk_avg, chunk_max, block_len, pack_len;	/* bytes; 0: the default */
	int zstd_level;							/* 0: the default */
	uint32_t parity;	/* thousandths of a pack, 0: the default (30), or STORE_PARITY_NONE */
};

#define STORE_PARITY_NONE UINT32_MAX

/**
 * Make a repository at path (a folder that is empty, or not there yet; its parent must be).
 * ERR_EXISTS: there is one, or the folder is not empty.  ERR_USAGE: bad parameters.
 * What an interrupted create left is finished by the next.
 */
MUST_CHECK enum err_code store_create(const char *path, const struct store_create_params *p,
				      struct err *e);

/**
 * Open.  ERR_ABSENT: path is not there (drive not plugged in).  ERR_NOT_FOUND: there, but no
 * repository.  ERR_UNSUPPORTED: newer format.  ERR_CORRUPT: vouch.json and its copy are both damaged.
 * A repository with a damaged vouch.json and a whole copy opens, with a DAMAGE event.
 * ev is copied; it may be NULL.
 */
MUST_CHECK enum err_code store_open(const char *path, enum store_mode mode,
				    const struct store_events *ev, struct store **out,
				    struct err *e);
void store_close(struct store *s);		/* NULL is allowed */

const char *store_path(const struct store *s);
const char *store_id_text(const struct store *s);	/* 32 hex digits */
bool store_is_read_only(const struct store *s);		/* the medium, or a feature, forbids writing */

/**
 * From now on what is read comes from the medium: past the memory of this process (a block that was read a quarter of a
 * second ago at most gives out each chunk once) and past the system's page cache.  Before other threads read.
 */
void store_set_fresh(struct store *s);

/**
 * The same for who reads each thing once (a verify): what this process has read since is not read again.  Where the
 * system has a cache below the file system that can be flushed, it is, now.  NULL: what is read was on the medium at
 * this moment or later; else the kind of file system ("fuse", "nfs") that may answer from a cache all the same.
 */
const char *store_reach_medium(struct store *s);

/**
 * From now on most of what lies beside the chunks that are read will be wanted too (a restore of all, not somebody who
 * looks into a file): it is checked together with them, which is faster.  Before other threads read.
 */
void store_set_whole(struct store *s);
/**
 * From now on little of what was read stays in memory: for who goes through large files once, and does more beside that,
 * as a recover, whose safety dump wants memory of its own.  Before other threads read.
 */
void store_set_frugal(struct store *s);

/**
 * From now on damage is healed (off at first): what is read comes from the pack's parity, or a copy of the repository,
 * where the pack does not have it, checked as everything; and a thread of its own makes such a pack whole where it lies,
 * once a pack: the same bytes under the same name.  It needs twice the pack's room, ends after eight packs or the first write
 * that fails (WARNING: the drive should be replaced), and does nothing where store_is_read_only().  Records that exist
 * twice heal each other.  store_close() waits for what is queued.
 */
void store_set_heal(struct store *s, bool on);

/** The kind of file system ("fuse", "nfs", "smb") where the medium hides behind a cache that not even that passes; else NULL. */
const char *store_medium_cache(const struct store *s);

/**
 * From now on what readers will want next is read, and checked, ahead of them, by as many threads as help here.  For
 * who serves many readers; call it once, before there are any, and not with store_set_fresh().
 */
MUST_CHECK enum err_code store_read_ahead(struct store *s, struct err *e);

/** Look for packs that came or went since (another process's backup, an rsync). */
MUST_CHECK enum err_code store_refresh(struct store *s, struct err *e);

struct store_stats {
	uint64_t packs, chunks;			/* known to the index */
	uint64_t blocks_read, bytes_read;	/* from the medium since open */
	uint64_t bytes_checked;			/* plain bytes whose SHA-256 was checked since open */
	uint64_t cache_hits, cache_misses;	/* reads of a chunk whose block was in memory, or not, since open */
	uint64_t cache_bytes;			/* of blocks in memory now */
	uint64_t blocks_ahead;			/* of blocks_read: before anybody asked for them */
	uint64_t index_written;			/* bytes, to index.db and its journal since open */
	uint64_t damaged;			/* damaged or missing chunks met since open */
	uint64_t healed;			/* of those: blocks and packs' tables that were read right all the same */
	uint64_t mended;			/* packs and records made whole where they lie, since open */
	uint64_t free_bytes, total_bytes;	/* of the medium; 0 where unknown */
};
void store_stats(struct store *s, struct store_stats *out);

/** "0.1.0" */
const char *store_version(void);

#endif
