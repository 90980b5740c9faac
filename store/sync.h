/* SPDX-License-Identifier: MIT */
/*
 * A copy of a repository in another folder, made and kept: packs and their parity first, then records, then snapshots.
 * Only what is missing there, or is not as long as here, is copied; each pack's SHA-256 is compared as it is read here,
 * and again as it is read back there, past the system's cache.  A snapshot gets its name there after all that it needs
 * was read back; so whatever interrupts a sync, what the copy lists is whole, and the next sync goes on.
 *
 * Nothing that only the copy has is touched.  Neither end needs a lock: prunes and backups may be under way at both.
 */
#ifndef VOUCH_STORE_SYNC_H
#define VOUCH_STORE_SYNC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/err.h"

struct store;

struct sync_options {
	bool dry_run;			/* compare only */
	bool check;			/* read there what is there, too, and mend it */
	bool forget;			/* let go there what was forgotten here */
	bool make_anew;			/* an empty folder where a copy was before is no absent drive */
	unsigned jobs;			/* packs copied at once; 0: a few */
	uint64_t limit_rate;		/* bytes of packs a second; 0: no limit */
	const atomic_bool *cancel;	/* may be NULL */
};

struct sync_result {
	uint64_t packs, bytes;			/* that there are here */
	uint64_t copied_packs, copied_bytes;	/* with their parity (dry run: would be) */
	uint64_t copied_parity;			/* files alone, their packs being there */
	uint64_t checked_packs, checked_bytes;	/* that were there, and were read again */
	uint64_t mended_packs;			/* of these: damaged there, and copied again */
	uint64_t healed_packs;			/* damaged here; the bytes that parity gave were copied */
	uint64_t damaged_packs;			/* damaged here beyond its parity: not copied as they are */
	uint64_t stored_chunks;			/* put into new packs there: of packs that could not be copied */
	uint64_t records;			/* of the forgotten, keys, ...: copied */
	uint64_t snapshots;			/* that there are here */
	uint64_t copied_snapshots;		/* (dry run: would be) */
	uint64_t left_out;			/* not copied: something they need is damaged or missing here */
	uint64_t forgotten;			/* let go there */
};

/**
 * s is opened to read.  ERR_USAGE: dir holds something else, or another repository.  ERR_ABSENT: the drive that dir is on
 * is not there.  ERR_CANCELED: at any point.  What is damaged here is no error, but a DAMAGE event and a count.
 * *out is filled in every case.
 */
MUST_CHECK enum err_code sync_run(struct store *s, const char *dir, const struct sync_options *o,
				  struct sync_result *out, struct err *e);

#endif
