/* SPDX-License-Identifier: MIT */
/*
 * When each pack was last read whole from the medium and had the SHA-256 that its name says: lines "checked" of log/,
 * as man/vouch-format.5 has them.  A pack that was found damaged since counts as never.  Lines of log/ are hints: at
 * worst a pack is read again too late.
 */
#ifndef VOUCH_STORE_LASTGOOD_INTERNAL_H
#define VOUCH_STORE_LASTGOOD_INTERNAL_H

#include "store/internal.h"

/* Reading. */

struct lastgood_pack {
	uint64_t key;			/* id_key() */
	uint64_t size;			/* bytes, as the caller has it */
	int64_t good_ms, bad_ms;	/* since 1970, the last time of each; 0: never */
};

struct lastgood {
	struct lastgood_pack *packs;	/* by key, once it was read */
	size_t nr, cap;
	struct vtime last;		/* the last of these; zero: none */
	char last_mode[16];		/* "all", "sample", ... */
	bool last_damaged;
};

/** The packs that are of interest, first. */
MUST_CHECK enum err_code lastgood_add(struct lastgood *l, const struct object_id *id,
				      uint64_t size, struct err *e);
/** What the log says of these; of the last so many days at least, and not of all before them: 0 for all. */
MUST_CHECK enum err_code lastgood_read(struct store *s, struct lastgood *l, unsigned days,
				       struct err *e);
/** Seconds since 1970; 0: never, or found damaged since. */
int64_t lastgood_when(const struct lastgood_pack *p);
/** The same of a pack by its id; 0 too where it was not added. */
int64_t lastgood_of(const struct lastgood *l, const struct object_id *id);
void lastgood_release(struct lastgood *l);

/* Writing: any thread; a line every few seconds, so that little is lost with the process. */

struct lastgood_log;
MUST_CHECK enum err_code lastgood_log_open(struct store *s, struct lastgood_log **out,
					   struct err *e);
/** It was read whole: good, or not.  NULL is allowed for l, in all of these. */
void lastgood_note(struct lastgood_log *l, const struct object_id *id, bool good);
/** Write what has waited long enough. */
void lastgood_tick(struct lastgood_log *l);
/** Write all; a log that cannot be written was told as a WARNING, once. */
void lastgood_log_close(struct lastgood_log *l);

#endif
