/* SPDX-License-Identifier: MIT */
/*
 * What neo4j-admin database dump writes: "DZV1", then one zstd frame of
 *
 *   "zstd", version 1 (4 bytes), number of files (8), bytes in them (8)	big-endian
 *   a PAX tar of the database's folder, then one of its transaction logs, in one archive
 *
 * rc 0 of neo4j-admin does not say that this was written (Java passes over errors of System.out), so all of it is looked at:
 * the frame's end and checksum, each header's checksum, the end of the tar, and that the files and bytes are as many as
 * announced.
 *
 * What is stored is such a dump as well, and neo4j-admin database load takes it as it is; but the blocks of its frame are
 * raw, and one ends with each file, so that a file's bytes lie there in the clear, the same way wherever it begins: a day's
 * changes share most chunks with the day before.  With 1 % of 100,000 nodes changed all over the store, 2.8 MB are new
 * instead of 23.2; with 1 % in one place 0.5 instead of 7.0; with none 0.3 instead of 5.2 (measured without the frame, which
 * adds three bytes to each 128 KiB).  Times in the tar are left alone: without them it would be 0.01 MB less.
 */
#ifndef VOUCH_COMPONENTS_NEO4J_ARCHIVE_H
#define VOUCH_COMPONENTS_NEO4J_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "tools/components/zstream.h"

/** A dump that goes through, as neo4j-admin writes it or as it is stored: all of it is looked at. */
struct neo4j_archive;
/** sink (NULL: none) gets it as it is stored. */
MUST_CHECK enum err_code neo4j_archive_open(zstream_sink *sink, void *ctx, struct neo4j_archive **out, struct err *e);
/** ERR_CORRUPT, ERR_LIMIT, ERR_NOMEM; the sink's own errors. */
MUST_CHECK enum err_code neo4j_archive_push(struct neo4j_archive *a, const void *buf, size_t len, struct err *e);
/** Whether all is there; the sink gets the frame's end only then. */
MUST_CHECK enum err_code neo4j_archive_end(struct neo4j_archive *a, struct err *e);
uint64_t neo4j_archive_bytes(const struct neo4j_archive *a);	/* in the database's files */
void neo4j_archive_close(struct neo4j_archive *a);		/* NULL is allowed */

#endif
