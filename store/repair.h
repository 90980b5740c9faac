/* SPDX-License-Identifier: MIT */
/*
 * Everything that can be mended, from parity, from other repositories, from live files.
 *
 *   look      all is read, as verify does
 *   records   each from its second copy, or from another repository
 *   packs     the same bytes under the same name: from parity, from another repository's copy, from all copies together
 *   chunks    what is needed and still lost: from other repositories, whatever their id, and from live files; with what
 *             is whole of the packs that stay damaged it is put into new packs, read back
 *   delete    damaged packs of which nothing is needed any more, as a prune does; no others
 *
 * Nothing is removed until what replaces it was read back and compared.  Any interruption leaves what was mended so far.
 */
#ifndef VOUCH_STORE_REPAIR_H
#define VOUCH_STORE_REPAIR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/err.h"

struct store;

/** A path of a snapshot that was damaged: is it whole again?  folder: it and all below.  From the caller's thread. */
typedef void repair_path_fn(void *ctx, const char *snapshot, const char *path, bool folder, bool lost);

#define REPAIR_PATHS_MAX 10000u	/* that are told of; the rest is counted */

struct repair_options {
	const char *const *from;	/* other repositories: any id, damaged or not; known replicas are asked, too */
	size_t nr_from;
	const char *const *sources;	/* live files, or folders of them */
	size_t nr_sources;
	bool dry_run;			/* look, and say what could be mended */
	unsigned jobs;
	uint64_t limit_rate;		/* bytes a second; 0: no limit */
	const atomic_bool *cancel;	/* may be NULL */
	repair_path_fn *path;		/* may be NULL */
	void *path_ctx;
};

/** Dry run: what would be. */
struct repair_result {
	uint64_t packs;			/* that were looked at */
	uint64_t damaged_packs;		/* damaged, incomplete, or missing with parity left */
	uint64_t mended_parity, mended_other;	/* of these: their bytes again, from parity; with other repositories' help */
	uint64_t mended_anew;		/* what was put into new packs is the same pack again */
	uint64_t replaced_packs;	/* deleted, their content being in new packs */
	uint64_t waiting_packs;		/* the same, once the backups that are under way have ended */
	uint64_t kept_packs;		/* still damaged, and kept: they may hold what is lost */
	uint64_t damaged_parity, mended_files;	/* parity files of whole packs; those made anew */
	uint64_t damaged_records, mended_records;
	uint64_t lost_before;		/* chunks and nodes that snapshots need */
	uint64_t regained_other, regained_source;	/* of these, put into new packs */
	uint64_t lost_chunks;		/* for good */
	uint64_t written_bytes;		/* of packs */
	uint64_t whole_paths, lost_paths;
	bool damage;			/* there was some */
	bool whole;			/* and all of it is mended */
};

/** *out is filled in every case.  ERR_IO, ERR_LIMIT: writing failed, or there is no room; what was mended stays so. */
MUST_CHECK enum err_code repair_run(struct store *s, const struct repair_options *o,
				    struct repair_result *out, struct err *e);

#endif
