/* SPDX-License-Identifier: MIT */
/*
 * A file's content as a run of segments, whether it lies inline, in the entry's own list, or in a tree of content
 * nodes: what blob.c and view.c read through.  Only they include this.
 */
#ifndef VOUCH_STORE_CONTENT_INTERNAL_H
#define VOUCH_STORE_CONTENT_INTERNAL_H

#include "store/internal.h"

/** Immutable: any number of threads may go over one. p is a view, into the entry or a copy of what it had there. */
struct content {
	struct store *s;
	uint64_t size;
	enum content_kind kind;
	struct object_id node;		/* CONTENT_NODE */
	const uint8_t *p;		/* CONTENT_INLINE: the bytes; CONTENT_LIST: the segments */
	size_t len;
};

/** One segment of the content, and where it lies. */
struct cursor {
	const struct content *c;
	struct rd list;			/* CONTENT_LIST: what comes after the segment */
	const struct node *leaf;	/* CONTENT_NODE */
	void *pin;
	uint64_t leaf_start;		/* its first byte in the file */
	uint32_t i;			/* the segment's number in the leaf */
	uint64_t off, end;		/* of the segment in the file */
	struct segment seg;		/* not for CONTENT_INLINE */
};

/** ERR_USAGE: no regular file.  ERR_CORRUPT: the entry's content is not what the entry says of it. */
MUST_CHECK enum err_code content_of(struct store *s, const struct entry *ent, struct content *out,
				    struct err *e);

/**
 * Stand on the segment that holds off, which is below the size.  cursor_end() lets go, also
 * after a failure.
 */
MUST_CHECK enum err_code cursor_begin(const struct content *ct, uint64_t off, struct cursor *c,
				      struct err *e);
/** The segment after; the caller has seen that c->end is below the size. */
MUST_CHECK enum err_code cursor_next(struct cursor *c, struct err *e);
void cursor_end(struct cursor *c);
bool cursor_is_hole(const struct cursor *c);
/** The bytes of a segment that is no hole; release ref after use (also where it was not filled). */
MUST_CHECK enum err_code cursor_data(const struct cursor *c, const uint8_t **data,
				     struct chunk_ref *ref, struct err *e);

/** As blob_pread. */
MUST_CHECK enum err_code content_pread(const struct content *ct, uint64_t off, void *buf,
				       size_t len, size_t *n, struct err *e);

#endif
