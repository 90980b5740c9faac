/* SPDX-License-Identifier: MIT */
/* Parity for packs that lack it, whose parity file is damaged, or was made with another share. */
#ifndef VOUCH_STORE_PARITY_ADD_H
#define VOUCH_STORE_PARITY_ADD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/err.h"

struct store;

struct parity_add_options {
	uint32_t permille;	/* the share; 0: the repository's, or where it has none the default */
	bool dry_run;		/* count only; parity files are read, packs are not */
	unsigned jobs;		/* threads; 0: as many as there are processors */
	uint64_t limit_rate;	/* bytes of packs read a second; 0: no limit */
	const atomic_bool *cancel;	/* may be NULL */
};

struct parity_add_result {
	uint32_t permille;			/* the share that was aimed at */
	bool share_changed;			/* vouch.json says it now (dry run: would) */
	uint64_t packs, bytes;			/* that there are */
	uint64_t good_packs;			/* whose parity is whole, and of that share */
	uint64_t missing, damaged, other;	/* packs without, with a damaged file, with another share's */
	uint64_t made_packs, made_bytes;	/* parity files made, and their bytes (dry run: would be) */
	uint64_t bad_packs;			/* damaged or incomplete themselves: a DAMAGE event each, left as they are */
};

/**
 * Each pack's SHA-256 is compared before its parity counts.  The share becomes the repository's, so that backups go on with
 * it: vouch.json first, then its copy.  Interrupted (ERR_CANCELED), the next run goes on: what is made is found
 * good.  ERR_USAGE: permille.  *out is filled in every case.
 */
MUST_CHECK enum err_code parity_add_run(struct store *s, const struct parity_add_options *o,
					struct parity_add_result *out, struct err *e);

#endif
