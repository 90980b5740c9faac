/* SPDX-License-Identifier: MIT */
/* Read back everything, and say what is damaged and whom it touches. */
#ifndef VOUCH_STORE_VERIFY_H
#define VOUCH_STORE_VERIFY_H

#include <stdatomic.h>

#include "store/snapshot.h"
#include "store/store.h"

struct verify_options {
	bool files;			/* whole-file hashes too */
	const struct snapshot *only;	/* its chunks only; NULL: all packs, all snapshots */
	/*
	 * Without only, one of these at most.  Of a pack that is not read its table is, and what that names counts as
	 * there.
	 */
	uint32_t sample;		/* so many thousandths of the packs' bytes, chosen at random; 0: all */
	uint64_t seed;			/* of that choice; 0: any, see the result */
	unsigned seconds;		/* end after that: the packs that were not found good for longest come first */
	unsigned resume_seconds;	/* not again those that were found good so lately */
	bool quick;			/* blocks by their XXH3 alone, none decompressed; nodes as ever.  Not with files */
	bool record;			/* write to log/ what was found, although s is open for reading only */
	unsigned jobs;
	uint64_t limit_rate;		/* bytes of packs, and of files put together, a second; 0: no limit */
	const atomic_bool *cancel;
};

struct verify_result {
	uint64_t packs, blocks, chunks, nodes, snapshots, files;	/* checked */
	uint64_t bytes_read, bytes_checked;	/* stored, plain */
	uint64_t damaged_packs, damaged_chunks, missing_chunks, damaged_nodes, damaged_snapshots;
	uint64_t incomplete_packs;
	uint64_t damaged_paths;		/* of snapshots; each a DAMAGE event (text: snapshot, path) */
	uint64_t damaged_records;	/* vouch.json, copies, README.txt...: healthy copy or not */
	/* Of the packs that there are: */
	uint64_t all_packs, all_bytes;
	uint64_t chosen_packs, chosen_bytes;	/* those that were to be read */
	uint64_t good_packs, good_bytes;	/* read whole from the medium, as their SHA-256 says: recorded in log/ */
	uint64_t seed;			/* of a sample */
	uint64_t walked_snapshots;	/* of snapshots: the others were left out for want of time */
	bool late;			/* the seconds were over before all that was to be read was */
	bool recorded;			/* log/ was to be written, and can be */
	const char *cache;		/* the kind of file system that may have answered from a cache; NULL: the medium was read */
};

/**
 * ERR_OK where the check was made, whatever it found: the counts tell.  Everything is read from the medium where that
 * can be reached (store_reach_medium(): s stays so).  Which packs were found good is written to log/ while it goes on
 * (record, or s open for writing); where it is interrupted, that is what resume_seconds goes by.
 */
MUST_CHECK enum err_code verify_run(struct store *s, const struct verify_options *o,
				    struct verify_result *out, struct err *e);

/**
 * A path that cannot be read without chunk: "/etc/hosts", raw bytes.  folder: chunk is a node of that folder, and what
 * is below is meant too.  From the caller's thread; must not call back into the store.
 */
typedef void verify_touched_fn(void *ctx, const struct snapshot *snap, const char *path,
			       const struct object_id *chunk, bool folder);

/**
 * The paths of all snapshots that need any of nr chunks, the newest snapshot first, a path as often as it needs them;
 * and those of nodes that turn out unreadable on the way.  Nothing but nodes is read.  *all: false where cancel, or
 * seconds that passed, ended it early.
 */
MUST_CHECK enum err_code verify_touched(struct store *s, const struct object_id *chunks, size_t nr,
					unsigned seconds, const atomic_bool *cancel,
					verify_touched_fn *fn, void *ctx, bool *all,
					struct err *e);

#endif
