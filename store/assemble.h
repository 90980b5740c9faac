/* SPDX-License-Identifier: MIT */
/*
 * A snapshot that is put together from streams: files in any order, several open at once, and dropped again where they
 * fail.
 */
#ifndef VOUCH_STORE_ASSEMBLE_H
#define VOUCH_STORE_ASSEMBLE_H

#include <stdatomic.h>

#include "store/snapshot.h"
#include "store/store.h"

struct assembly;
struct assembly_file;

struct assembly_options {
	const char *const *tags;
	size_t nr_tags;
	const char *const *sources;	/* what the snapshot says it is of: names of components */
	size_t nr_sources;
	const char *host;		/* NULL: this one's */
	unsigned jobs;			/* threads that compress; 0: one a processor */
	uint64_t limit_rate;		/* bytes of content a second; 0: no limit */
	const atomic_bool *cancel;	/* set by a signal handler; may be NULL */
	bool no_progress;		/* somebody else tells how far it is */
	bool keep_dropped;		/* what is dropped is set aside, for assembly_take_dropped() */
};

/**
 * The repository is open for writing.  Until assembly_publish() nothing of it can be seen; what was put is found again
 * by the next run.
 */
MUST_CHECK enum err_code assembly_open(struct store *s, const struct assembly_options *o, struct assembly **out,
				       struct err *e);
/** Drops what was not published.  Files still open are dropped with it.  NULL is allowed. */
void assembly_close(struct assembly *a);

/**
 * A file below the root, as "mysql/shop/tables/orders.sql"; its folders are made.  chunk_avg as in struct
 * backup_options (4096 suits databases; 0: as the repository says).  ERR_EXISTS: there is one of that name (a name in
 * use as a folder is too).  ERR_USAGE: no name for a file.
 */
MUST_CHECK enum err_code assembly_file_open(struct assembly *a, const char *path, uint32_t chunk_avg,
					    struct assembly_file **out, struct err *e);
/** Any thread, one at a time for one file.  ERR_CANCELED; errors of the repository.  After one f can only be dropped. */
MUST_CHECK enum err_code assembly_write(struct assembly_file *f, const void *buf, size_t len, struct err *e);
/**
 * It is whole: part of the tree, unless dropped.  Its length and SHA-256, where wanted (NULL).  f is gone in any case.
 * ERR_FAILED: a write of it failed before.
 */
MUST_CHECK enum err_code assembly_file_close(struct assembly_file *f, uint64_t *size, struct object_id *sha256,
					     struct err *e);
/** It never was.  NULL is allowed. */
void assembly_file_drop(struct assembly_file *f);

/** A small file at once. */
MUST_CHECK enum err_code assembly_put(struct assembly *a, const char *path, const void *buf, size_t len,
				      struct err *e);

/** Take out all files that were closed at path and below it ("mysql/shop"). */
void assembly_drop(struct assembly *a, const char *path);

/**
 * What from dropped at path and below it, files that were never closed as far as they were written, becomes part of
 * to; *nr counts the files.  Of several of one name the last counts.  from has come to its end, and lives until to is
 * published.
 */
MUST_CHECK enum err_code assembly_take_dropped(struct assembly *from, const char *path,
					       struct assembly *to, size_t *nr, struct err *e);

/**
 * Bytes of closed files at path and below it ("": of all); new_bytes (may be NULL): plain bytes of chunks that were not
 * known before, of the whole assembly so far.
 */
uint64_t assembly_bytes(struct assembly *a, const char *path, uint64_t *new_bytes);

/** ERR_OK, or the error of the repository (it is full, it went away) with which all that follows would fail. */
MUST_CHECK enum err_code assembly_failure(struct assembly *a, struct err *e);

/**
 * Publish what is there with the outcome of each component (copied).  ERR_FAILED: there is no file in it, or one is still
 * open; nothing is published.  Once; after an error, too, only assembly_take_dropped() and assembly_close() are allowed.  *out as
 * backup_result's snapshot: the caller releases it.
 */
MUST_CHECK enum err_code assembly_publish(struct assembly *a, const struct component_outcome *components, size_t nr,
					  struct snapshot *out, struct err *e);

#endif
