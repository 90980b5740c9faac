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
	unsigned jobs;
	const atomic_bool *cancel;
};

struct verify_result {
	uint64_t packs, blocks, chunks, nodes, snapshots, files;	/* checked */
	uint64_t bytes_read, bytes_checked;	/* stored, plain */
	uint64_t damaged_packs, damaged_chunks, missing_chunks, damaged_nodes, damaged_snapshots;
	uint64_t incomplete_packs;
	uint64_t damaged_paths;		/* of snapshots; each a DAMAGE event (text: snapshot, path) */
	uint64_t damaged_records;	/* vouch.json, copies, README.txt...: healthy copy or not */
};

/** ERR_OK where the check was made, whatever it found: the counts tell. */
MUST_CHECK enum err_code verify_run(struct store *s, const struct verify_options *o,
				    struct verify_result *out, struct err *e);

#endif
