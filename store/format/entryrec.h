/* SPDX-License-Identifier: MIT */
/*
 * A directory entry as bytes, inside a directory leaf (node.h):
 *
 *    0 le16 name_len   2 u8 type   3 u8 flags (bits 0, 1, 3 of enum entry_flags; others zero)
 *    4 le16 mode   6 le16 owner (index into the leaf's owner table)
 *    8 le64 mtime seconds   16 le64 ctime seconds   24 le32 mtime nanoseconds   28 le32 ctime nanoseconds
 *   32 le64 inode   40 le64 size   48 le32 attrs_len
 *   52 name, then attrs_len bytes of attributes: u8 tag, le32 len, value; tags ascending, each at most once
 *
 * Tags (a reader ignores unknown tags from 0x80 on, and refuses others with ERR_UNSUPPORTED):
 *    1 TARGET     link target (symbolic links)
 *    2 RDEV       le32 major, le32 minor (devices)
 *    3 HARDLINK   le64 nlink (where flag bit 3)
 *    4 IFLAGS     le32 inode flags
 *    5 XATTRS     a run of: u8 kind (0 inline, 1 chunk), u8 name_len, le32 value_len, name, then the value or the
 *                 32-byte id of the chunk that holds it; names ascending
 *    6 SHA256     of the whole content; left out where the content is one chunk of an unencrypted repository
 *                 (its id is the digest), inline, or empty: the decoder fills it in; may be missing where more
 *                 than HOLES_SUMMED_MAX bytes lie in holes
 *    7 INLINE     the content
 *    8 LIST       segments (below)
 *    9 CONTENT    32-byte id of a content node (its level is in it)
 *   10 DIR        id[32], le64 entries, le64 subdirs, then the totals: le64 files, dirs, others, bytes, sums_len, sums_escaped
 *   11 DEV        le64 device number on the source; left out where 0
 *   12 HOLES      le64 bytes of the size that lie in holes; only with CONTENT, left out where 0 (a LIST says it itself)
 *
 * TARGET, RDEV and DIR stand where the type needs them and nowhere else; HARDLINK (nlink at least 2) nowhere on a
 * directory; 6 to 9 and 12 on files only: none on an empty one, else one of 7, 8, 9, and SHA256 as said above.  size is
 * 0 but for files and links.  Of IFLAGS readers look at 0x800070 (immutable, append, nodump, nocow) only.
 *
 * A segment: u8 kind; kind 0 is a chunk: le32 len, id[32]; kind 1 is a hole: le64 len.  The segments' lengths
 * add up to the file's size.
 */
#ifndef VOUCH_FORMAT_ENTRYREC_H
#define VOUCH_FORMAT_ENTRYREC_H

#include "store/base/buf.h"
#include "store/base/bytes.h"
#include "store/entry.h"
#include "store/err.h"

#define ENTRY_FIXED_LEN	52u

/** One row of a leaf's owner table. */
struct owner {
	uint32_t uid, gid;
	const char *user, *group;
	size_t user_len, group_len;
};

/** Append e's record; owner is its index in the leaf's table. */
void entryrec_encode(const struct entry *e, uint16_t owner, struct buf *out);

/**
 * Decode the record at r (which moves past it); out points into r's memory.
 * Checks every length, type and flag against its limit, the name against '/',
 * NUL, "." and ".." (allow_empty_name: a snapshot's root has length 0), that
 * segments parse and add up to size, and that totals are plausible.
 */
MUST_CHECK enum err_code entryrec_decode(struct rd *r, const struct owner *owners,
					 uint32_t nr_owners, bool allow_empty_name,
					 struct entry *out, struct err *e);

enum segment_kind { SEGMENT_CHUNK = 0, SEGMENT_HOLE = 1 };

struct segment {
	enum segment_kind kind;
	uint64_t len;		/* bytes; a chunk's is 1 to CHUNK_LEN_MAX, a hole's at least 1 */
	struct object_id id;	/* of a chunk */
};

void segment_encode(const struct segment *s, struct buf *out);
/** The next segment; false at the end and where r went bad (see rd_end). */
bool segment_next(struct rd *r, struct segment *out);

struct xattr {
	const char *name;	/* not NUL-terminated */
	size_t name_len;
	bool in_chunk;
	const uint8_t *value;	/* where not in_chunk */
	size_t value_len;	/* at most XATTR_VALUE_MAX */
	struct object_id id;	/* where in_chunk */
};

void xattr_encode(const struct xattr *x, struct buf *out);
/** The next attribute of an encoded run; false at the end and where r went bad. */
bool xattr_next(struct rd *r, struct xattr *out);

#endif
