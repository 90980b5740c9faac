/* SPDX-License-Identifier: MIT */
/* A snapshot's tree on to a disk, in parallel, beneath its target only. */
#ifndef VOUCH_STORE_RESTORE_H
#define VOUCH_STORE_RESTORE_H

#include <stdatomic.h>

#include "store/store.h"
#include "store/tree.h"

struct restore_options {
	const char *target;		/* made if it is not there (its parent must be) */
	/* Patterns of backup.h, paths relative to what is restored; no includes: all. */
	const char *const *includes;
	size_t nr_includes;
	const char *const *excludes;
	size_t nr_excludes;
	bool dry_run;
	bool verify;			/* read back what was written, past the page cache, and compare */
	/* Root only: setuid, setgid on files, file capabilities, devices, inode flags, trusted.* and security.* */
	bool special;
	bool delete_extra;		/* not offered yet */
	unsigned jobs;
	uint64_t limit_rate;		/* bytes of content written, or read to compare, a second; 0: no limit */
	const atomic_bool *cancel;
};

struct restore_result {
	uint64_t files, dirs, others, bytes;	/* written, or found whole already */
	uint64_t unchanged;		/* were there, and proved to hold the same bytes (resume) */
	uint64_t errors;		/* entries not made whole: each a WARNING or DAMAGE event */
	uint64_t damaged;		/* of those: for damage in the repository */
	uint64_t verified_bytes;
};

/**
 * what: a directory: its entries land directly below target, and target gets its attributes.
 * Anything else: it lands in target under its own name.  A file is written beside, then renamed
 * over its name; existing directories are reused; a symbolic link in the way is replaced, never
 * followed (openat2 RESOLVE_BENEATH, O_NOFOLLOW).  A damaged file is not left behind half: it is
 * reported and absent (its temporary removed). Owners are set by number, as tar and rsync do with
 * --numeric-ids (a machine is restored on to bare metal, whose names are in what is restored);
 * without root they stay the caller's.  What can only be had with special, or not on this file
 * system, is left out with one NOTE a kind. Returns ERR_OK with errors counted; ERR_CANCELED; or
 * what stopped it (ERR_IO with ENOSPC: free space and run again).
 */
MUST_CHECK enum err_code restore_run(struct store *s, const struct entry *what,
				     const struct restore_options *o, struct restore_result *out,
				     struct err *e);

#endif
