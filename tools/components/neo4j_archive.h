/* SPDX-License-Identifier: MIT */
/*
 * What neo4j-admin database dump writes: "DZV1", then one zstd frame of
 *
 *   "zstd", version 1 (4 bytes), number of files (8), bytes in them (8)	big-endian
 *   a PAX tar of the database's folder, then one of its transaction logs, in one archive
 *
 * rc 0 of neo4j-admin does not say that this was written (Java passes over errors of System.out), so all of it is looked at:
 * the frame's end and checksum, each header's checksum, the end of the tar, and that the files and bytes are as many as
 * announced. It is stored without its wrapping ("neo4j.archive"), because then a day's changes share most chunks with the
 * day before: with 1 % of 100,000 nodes changed all over the store, 2.8 MB are new instead of 23.2; with 1 % in one place
 * 0.5 instead of 7.0; with none 0.3 instead of 5.2.  Times in the tar are left alone: without them it would be 0.01 MB less.
 * Wrapped again it is the same tar to the byte, and any zstd does it: (printf DZV1; zstd <neo4j.archive) | neo4j-admin
 * database load --from-stdin ...
 */
#ifndef VOUCH_COMPONENTS_NEO4J_ARCHIVE_H
#define VOUCH_COMPONENTS_NEO4J_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/buf.h"
#include "tools/components/zstream.h"

#define NEO4J_META_LEN	24u
#define NEO4J_BLOCK	512u
#define NEO4J_PAX_MAX	(64u << 10)	/* of one extended header; Neo4j's have 200 bytes */

/** The reader of what is inside; zero it before. */
struct neo4j_archive {
	uint8_t head[NEO4J_BLOCK];
	size_t have;			/* of head */
	bool begun;			/* the first NEO4J_META_LEN bytes were read */
	uint64_t files, bytes;		/* announced */
	uint64_t seen_files, seen_bytes;
	uint64_t left;			/* of an entry: content and padding */
	uint64_t pax_left;		/* of left: text of an extended header */
	struct buf pax;
	bool has_size;			/* the extended header gave the next entry's */
	uint64_t size;
	unsigned end_blocks;		/* of zeros, at the end */
	uint64_t off;			/* for messages */
};

/** ERR_CORRUPT, ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK enum err_code neo4j_archive_push(struct neo4j_archive *a, const void *buf, size_t len, struct err *e);
/** Whether all is there. */
MUST_CHECK enum err_code neo4j_archive_end(struct neo4j_archive *a, struct err *e);
void neo4j_archive_release(struct neo4j_archive *a);

/** A dump as neo4j-admin writes it: what is inside goes to sink as it comes, and is looked at. */
struct neo4j_unwrap;
MUST_CHECK enum err_code neo4j_unwrap_open(zstream_sink *sink, void *ctx, struct neo4j_unwrap **out, struct err *e);
MUST_CHECK enum err_code neo4j_unwrap_push(struct neo4j_unwrap *u, const void *buf, size_t len, struct err *e);
MUST_CHECK enum err_code neo4j_unwrap_end(struct neo4j_unwrap *u, struct err *e);
uint64_t neo4j_unwrap_bytes(const struct neo4j_unwrap *u);	/* in the database's files */
void neo4j_unwrap_close(struct neo4j_unwrap *u);	/* NULL is allowed */

/** The other way: what was stored, as neo4j-admin database load reads it. */
struct neo4j_wrap;
MUST_CHECK enum err_code neo4j_wrap_open(zstream_sink *sink, void *ctx, struct neo4j_wrap **out, struct err *e);
MUST_CHECK enum err_code neo4j_wrap_push(struct neo4j_wrap *w, const void *buf, size_t len, struct err *e);
/** Nothing of the frame's end is handed on where the archive is not whole. */
MUST_CHECK enum err_code neo4j_wrap_end(struct neo4j_wrap *w, struct err *e);
void neo4j_wrap_close(struct neo4j_wrap *w);		/* NULL is allowed */

#endif
