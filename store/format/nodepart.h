/* SPDX-License-Identifier: MIT */
/* What the files of this folder that read and write nodes share; nobody else includes it. */
#ifndef VOUCH_FORMAT_NODEPART_H
#define VOUCH_FORMAT_NODEPART_H

#include <string.h>

#include "store/format/limits.h"
#include "store/format/node.h"

#define NODE_HEAD_LEN		16u
#define NODE_VERSION		1u
#define NODE_CUT_MIN		(4u << 10)	/* a node is not cut before this many bytes ... */
#define NODE_CUT_MAX		(256u << 10)	/* ... and always before it would pass these */

#define TOTALS_LEN		48u
#define CHILD_FIXED_LEN		(ID_LEN + 16u + TOTALS_LEN + 2u)	/* directory inner, without the name */
#define CHILD_CONTENT_LEN	(ID_LEN + 8u)
#define SEGMENT_CHUNK_LEN	(1u + 4u + ID_LEN)
#define SEGMENT_HOLE_LEN	(1u + 8u)

void totals_encode(const struct totals *t, struct buf *out);
/** Take TOTALS_LEN bytes; r goes bad where they are not there. */
void totals_decode(struct rd *r, struct totals *t);
/**
 * Check sums that were read: what a directory of nr_entries entries, nr_subdirs
 * of them directories, can have in and below it.
 */
MUST_CHECK enum err_code totals_check(const struct totals *t, uint64_t nr_entries,
				      uint64_t nr_subdirs, struct err *e);

/** 1 to NAME_LEN_MAX bytes, no '/', no NUL, neither "." nor "..". */
bool entry_name_ok(const char *name, size_t len);

/** memcmp, the shorter first where one begins with the other. */
static inline int entry_name_cmp(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return c ? c : (a_len > b_len) - (a_len < b_len);
}

/** Append a node's first NODE_HEAD_LEN bytes. */
void node_head_encode(enum node_kind kind, unsigned level, uint32_t nr, struct buf *out);

#endif
