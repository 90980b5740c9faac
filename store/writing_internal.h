/* SPDX-License-Identifier: MIT */
/* Inside libvouch: what every run that adds a snapshot does before it counts on anything, and at its end. */
#ifndef VOUCH_STORE_WRITING_INTERNAL_H
#define VOUCH_STORE_WRITING_INTERNAL_H

#include "store/engine/chunker.h"
#include "store/heartbeat_internal.h"
#include "store/internal.h"
#include "store/snapshot.h"

/**
 * Heartbeat, condemned packs, damaged chunks: from now on what is known may be counted on.  The caller ends *out, after
 * an error too.
 */
MUST_CHECK enum err_code writing_begin(struct store *s, struct heartbeat **out, struct err *e);

/** All it refers to is durable.  Sets its end; a SHA256SUMS that is not up to date is a WARNING only. */
MUST_CHECK enum err_code writing_publish(struct store *s, const struct heartbeat *h, struct snapshot *snap,
					 struct err *e);

/**
 * The line of log/; why: ERR_OK, or that there is no snapshot.  One that cannot be written is a WARNING, and none where
 * why says more.
 */
void writing_log(struct store *s, const struct snapshot *snap, uint64_t files, uint64_t bytes, enum err_code why);

/**
 * How content is cut: as the repository says, or into chunks of avg bytes on average; another average takes the bounds
 * along, in the proportions of the defaults.  ERR_USAGE.
 */
MUST_CHECK enum err_code writing_chunker(const struct store *s, uint32_t avg, struct chunker *out, struct err *e);

/** A host's name, malloc'ed: host, or this one's. */
MUST_CHECK enum err_code writing_host(const char *host, char **out, struct err *e);

/** Copies, malloc'ed; nr counts what is there after an error too. */
MUST_CHECK enum err_code writing_strings(const char *const *from, size_t nr, char ***out, size_t *out_nr, struct err *e);

#endif
