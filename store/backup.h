/* SPDX-License-Identifier: MIT */
/* A source tree, or a stream, into a new snapshot. */
#ifndef VOUCH_STORE_BACKUP_H
#define VOUCH_STORE_BACKUP_H

#include <stdatomic.h>

#include "store/snapshot.h"
#include "store/store.h"

/** A stream that becomes one file of the snapshot (a dump's output). */
struct backup_stream {
	const char *name;	/* path below the root: "db.sql", "postgres/app.dump" */
	/** Up to len bytes into buf; *n 0 is the end.  ERR_FAILED (or other) drops the snapshot. */
	enum err_code (*read)(void *ctx, void *buf, size_t len, size_t *n, struct err *e);
	/** After the end: whether what was read is whole (exit status 0).  An error here means: no snapshot. */
	enum err_code (*end)(void *ctx, struct err *e);
	void *ctx;
};

struct backup_options {
	const char *const *sources;	/* paths; kept whole, or relative to base */
	size_t nr_sources;
	const char *base;		/* -C: sources are below it, and so are their names; NULL: as with tar -P */
	const struct backup_stream *streams;
	size_t nr_streams;
	const char *const *excludes;	/* patterns, see vouch-backup(1); later ones win, '!' takes back */
	size_t nr_excludes;
	bool exclude_caches;		/* folders with a valid CACHEDIR.TAG: the tag is kept, the rest is not */
	bool one_file_system;		/* -x: mount points are kept as empty folders */
	const char *const *tags;
	size_t nr_tags;
	const char *host;		/* NULL: this one's */
	unsigned jobs;			/* worker threads; 0: one a processor */
	uint32_t chunk_avg;		/* cut what is read into chunks of so many bytes on average, a quarter to four times as many each; 0: as the repository says */
	uint64_t limit_rate;		/* bytes of content read a second; 0: no limit */
	bool force;			/* read every file, changed or not */
	bool dry_run;			/* walk and count, store nothing */
	const atomic_bool *cancel;	/* set by a signal handler; may be NULL */
};

struct backup_result {
	struct snapshot snapshot;	/* as published; the caller releases it.  Empty after dry_run. */
	uint64_t files, dirs, others, bytes;	/* seen */
	uint64_t unchanged_files, changed_files;
	uint64_t new_files;		/* of the changed ones: not in the snapshot before; with force not told apart */
	uint64_t new_bytes, stored_bytes;
	/* What the new chunks cost beside their bytes: */
	uint64_t new_chunks;		/* chunks of files, and nodes */
	uint64_t table_bytes;		/* of stored_bytes: headers of blocks, tables of packs */
	uint64_t tree_bytes;		/* of stored_bytes: folders, and the lists of large files' chunks */
	uint64_t index_bytes;		/* by which index.db grew */
	uint64_t errors;		/* source files not read, or unstable; each was a WARNING event */
	uint64_t skipped;		/* sockets, pseudo file systems, the repository itself: each a NOTE event */
};

/**
 * The snapshot is published when this returns ERR_OK (with errors > 0 the tool exits 3).
 * ERR_CANCELED: stopped; what was sealed is found again by the next run.
 * ERR_NOT_FOUND: a source named by the user is not there (nothing is published).
 * ERR_USAGE: options that do not fit, as a chunk_avg that is no power of two.
 */
MUST_CHECK enum err_code backup_run(struct store *s, const struct backup_options *o,
				    struct backup_result *out, struct err *e);

/**
 * Patterns as in gitignore, for excludes here and restore's --include/--exclude.
 *
 *   name      without a slash: a name at any depth
 *   a/b, /a   with one (not only at the end): the whole path from the snapshot's root on
 *   dir/      folders only
 *   * ? [a-z] [!a-z]   within a name, never a slash; a leading dot is nothing special
 *   **        as a whole piece of the path: any number of folders, none too; at the end all that is below
 *   !pattern  takes back what an earlier one matched; the last that matches wins
 *   \c        the character c itself
 *
 * An excluded folder is not entered, so nothing below it can be taken back.  Matched as bytes.
 */
struct patterns;
/** ERR_USAGE: an empty pattern. */
MUST_CHECK enum err_code patterns_open(const char *const *list, size_t nr, struct patterns **out,
				       struct err *e);
void patterns_close(struct patterns *p);	/* NULL is allowed */
enum pattern_answer { PATTERN_NONE, PATTERN_MATCH, PATTERN_TAKEN_BACK };
/** path relative, without leading '/'.  Any number of threads may ask. */
enum pattern_answer patterns_match(const struct patterns *p, const char *path, bool is_dir);

#endif
