/* SPDX-License-Identifier: MIT */
/*
 * Room: packs that no snapshot needs are deleted, in two steps that need no lock and survive any interruption.
 *
 *   mark     walk every snapshot; a node that cannot be read ends the prune, and nothing is deleted
 *   rewrite  where much of a pack is not needed, what is needed is read, checked and put into new packs
 *   condemn  a record in condemned/ names the packs that may go; writers that begin from now on treat
 *            their chunks as unknown
 *   delete   once every writer that began before the record has ended (or was silent for a day): the snapshots
 *            that there are now are walked again, and what they need stays
 *
 * The last step is this run's where no writer is at work, else a later run's.
 */
#ifndef VOUCH_STORE_PRUNE_H
#define VOUCH_STORE_PRUNE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/err.h"

struct store;

struct prune_options {
	bool dry_run;			/* survey only */
	unsigned unused_percent;	/* a pack of which more is not needed is rewritten; 100: none is */
	const atomic_bool *cancel;	/* may be NULL */
};

struct prune_result {
	uint64_t snapshots, packs, bytes;		/* that there were */
	uint64_t unneeded_packs, unneeded_bytes;	/* of whole packs */
	uint64_t rewritten_packs, rewritten_bytes;	/* their size before (dry run: would be) */
	uint64_t written_bytes;				/* of the packs that took their place */
	uint64_t unused_bytes;				/* that stay, in packs not worth rewriting; about */
	uint64_t deleted_packs, deleted_bytes;
	uint64_t waiting_packs;				/* condemned, and not yet deleted: writers are at work */
	uint64_t writers;				/* that are waited for */
	uint64_t odd_packs;				/* without a readable table: left alone */
};

/**
 * ERR_CORRUPT, ERR_INCOMPLETE: a snapshot cannot be read wholly, so that what it needs is not known.  ERR_CANCELED: at
 * any point; the next run goes on.  *out is filled in every case.
 */
MUST_CHECK enum err_code prune_run(struct store *s, const struct prune_options *o,
				   struct prune_result *out, struct err *e);

#endif
