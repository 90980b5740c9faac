/* SPDX-License-Identifier: MIT */
/*
 * A hostile repository as a run of bytes, which a fuzzer changes: records of u8 type, le16 length, and bytes.
 *
 *   'd' 't'  a chunk of a data or a tree pack.  In it, and in snapshots, "@@REF" and a byte n stand for the id of the
 *            n-th chunk so far: as 32 bytes in a chunk ("@@REF", n, 26 more bytes that are overwritten), as 64 hex digits
 *            in a snapshot ("@@REF", n, 58 more)
 *   's'      a snapshot's JSON: named by what it is
 *   'p'      a pack, whose checksums are made right; 'q': one as it is; both named by their digest
 *   'r'      parity of the pack before, as it is
 *   'v' 'f' 'c' 'w'   vouch.json, records in forgotten/, condemned/, writers/: with the closing line made right
 *   'l'      a log's lines, each with its check made right
 *   'x'      index.db, 'y' SHA256SUMS, 'z' a copy of vouch.json: as they are
 */
#ifndef VOUCH_TESTS_HOSTILE_SCRIPT_H
#define VOUCH_TESTS_HOSTILE_SCRIPT_H

#include "tests/lib/hostile.h"

#define SCRIPT_RECORDS_MAX 64u

struct script_record {
	uint8_t type;
	const uint8_t *p;
	size_t len;
};

/** Those of the records that are whole; how many. */
size_t script_read(const uint8_t *data, size_t len, struct script_record out[SCRIPT_RECORDS_MAX]);
void script_add(struct buf *out, uint8_t type, const void *p, size_t len);

/** The repository at path, which is not there yet. */
void script_play(const uint8_t *data, size_t len, const char *path);

#endif
