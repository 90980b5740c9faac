/* SPDX-License-Identifier: MIT */
/* How a repository is, without reading its packs: what was verified when, damage that is known, copies that are known. */
#ifndef VOUCH_STORE_STATUS_H
#define VOUCH_STORE_STATUS_H

#include <stddef.h>

#include "store/entry.h"
#include "store/err.h"

struct store;

#define STATUS_SPANS 3u		/* 7, 30 and 90 days */

/** By the log, and by the index's word for the packs' sizes: who can write to the medium can write these too. */
struct status_checked {
	uint64_t packs, bytes;			/* there are */
	struct {
		unsigned days;
		uint64_t packs, bytes;		/* read from the medium in these days, and found good */
	} good[STATUS_SPANS];
	bool has_last;				/* a verify that came to its end */
	struct vtime last;
	char last_mode[16];			/* "all", "sample", "for", "resume", "quick", "snapshot" */
	bool last_damaged;
};

/** Reads log/. */
MUST_CHECK enum err_code status_checked(struct store *s, struct status_checked *out,
					struct err *e);

/** What the ledger of damage knows, and nobody has mended. */
struct status_damage {
	uint64_t places;			/* chunks, blocks, packs */
	uint64_t packs;				/* in so many */
};
MUST_CHECK enum err_code status_damage(struct store *s, struct status_damage *out, struct err *e);

/** Where copies of it are, as far as it knows; *paths is the caller's, status_replicas_free(). */
MUST_CHECK enum err_code status_replicas(struct store *s, char ***paths, size_t *nr,
					 struct err *e);
void status_replicas_free(char **paths, size_t nr);

#endif
