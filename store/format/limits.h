/* SPDX-License-Identifier: MIT */
/*
 * What the format allows.  A length that comes from outside is compared with one
 * of these before it is used; vouch-format(5) states them.
 */
#ifndef VOUCH_FORMAT_LIMITS_H
#define VOUCH_FORMAT_LIMITS_H

#define CHUNK_LEN_MAX		(8u << 20)	/* bytes of one chunk; also what a block may exceed its target by */
#define BLOCK_PLAIN_MAX		(16u << 20)	/* bytes of a block before compression */
#define BLOCK_STORED_MAX	(17u << 20)	/* bytes of its frame on the medium */
#define BLOCK_CHUNKS_MAX	8192u		/* chunks in one block */
#define PACK_LEN_MAX		(1u << 30)	/* bytes of a pack (32 MiB is usual) */
#define PACK_BLOCKS_MAX		65536u
#define PACK_CHUNKS_MAX		(1u << 20)
#define NODE_LEN_MAX		(512u << 10)	/* bytes of a node; writers keep to 256 KiB but for one huge entry */
#define NODE_LEVEL_MAX		8u		/* levels of inner nodes above a leaf */
#define NAME_LEN_MAX		255u		/* bytes of a file name */
#define TARGET_LEN_MAX		4095u		/* bytes of a link's target */
#define OWNER_LEN_MAX		255u		/* bytes of a user's or group's name */
#define XATTR_NAME_MAX		255		/* spelled as in <linux/limits.h>, which may be included too */
#define XATTR_VALUE_MAX		(64u << 10)
#define XATTR_INLINE_MAX	4096u		/* longer values are chunks of their own */
#define XATTRS_LEN_MAX		(128u << 10)	/* an entry's encoded xattrs */
#define INLINE_LEN_MAX		256u		/* content kept in the entry; writers use 64 */
#define LIST_LEN_MAX		(64u << 10)	/* an entry's own segment list; writers use 16 segments */
#define TREE_DEPTH_MAX		4096u		/* directories below one another */
#define HOLES_SUMMED_MAX	(1ull << 30)	/* bytes in a file's holes; beyond it the digest of the whole may be missing */
#define FILE_SIZE_MAX		((uint64_t)INT64_MAX)
/* files, dirs, others below a directory, each: sums of three and positions need no check */
#define TOTALS_COUNT_MAX	(UINT64_C(1) << 60)
#define SNAPSHOT_JSON_MAX	(4u << 20)
#define SNAPSHOT_LIST_LEN_MAX	4096u		/* sources, tags, components of a snapshot: of each */
#define SNAPSHOT_TEXT_MAX	(64u << 10)	/* bytes of one of its texts */
#define RECORD_JSON_MAX		(1u << 20)	/* vouch.json, forgotten, condemned, writers */
#define RUNLOG_LINE_MAX		(256u << 10)	/* bytes of a line of log/ */

#endif
