/* SPDX-License-Identifier: MIT */
/* One directory entry, with everything a file is; and the totals below a directory. Types only: any layer may include this. */
#ifndef VOUCH_STORE_ENTRY_H
#define VOUCH_STORE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/id.h"

enum entry_type {
	ENTRY_FILE = 1,
	ENTRY_DIR = 2,
	ENTRY_SYMLINK = 3,
	ENTRY_CHARDEV = 4,
	ENTRY_BLOCKDEV = 5,
	ENTRY_FIFO = 6,
	ENTRY_TYPE_LAST = ENTRY_FIFO
};

enum entry_flags {
	ENTRY_UNSETTLED = 1 << 0,	/* changed within two seconds of its reading: read again next time */
	ENTRY_UNSTABLE = 1 << 1,	/* changed while it was read and would not hold still */
	ENTRY_HAS_SHA256 = 1 << 2,	/* sha256 is valid; a file without it is empty or inline (entry_sha256() in store/tree.h), or has more than a GiB in holes */
	ENTRY_HARDLINK = 1 << 3,	/* other names share (dev, inode); nlink is valid */
};

/** Seconds since 1970 (negative before) and nanoseconds 0 to 999,999,999. */
struct vtime {
	int64_t sec;
	uint32_t nsec;
};

/** As memcmp: which is earlier. */
static inline int vtime_cmp(struct vtime a, struct vtime b)
{
	return a.sec != b.sec ? (a.sec > b.sec) - (a.sec < b.sec) : (a.nsec > b.nsec) - (a.nsec < b.nsec);
}

/** Sums over everything below a directory, itself not counted. */
struct totals {
	uint64_t files;		/* regular files */
	uint64_t dirs;		/* directories */
	uint64_t others;	/* everything else */
	uint64_t bytes;		/* sum of the files' sizes */
	uint64_t sums_len;	/* bytes of the files' SHA256SUMS lines, paths relative to here */
	uint64_t sums_escaped;	/* how many of those lines begin with a backslash */
};

enum content_kind {
	CONTENT_NONE = 0,	/* no bytes (size 0, or not a regular file) */
	CONTENT_INLINE = 1,	/* the bytes themselves, content_len of them */
	CONTENT_LIST = 2,	/* segments, encoded as in vouch-format(5), content_len bytes of them */
	CONTENT_NODE = 3	/* content_node names a tree of content nodes */
};

/**
 * Every pointer is a view into memory that somebody else keeps: for a decoded
 * entry the node it came from (see entry_ref in store/tree.h), for one being
 * built the caller's.  Names and targets are bytes, not text, with no NUL in
 * them; each is followed by no NUL either: use the lengths.
 */
struct entry {
	const char *name;
	size_t name_len;	/* 1 to 255; 0 only for a snapshot's root */
	enum entry_type type;
	unsigned flags;		/* enum entry_flags */
	uint32_t mode;		/* permission bits with setuid, setgid, sticky: & 07777 */
	uint32_t uid, gid;
	const char *user, *group;	/* names, length 0 where unknown */
	size_t user_len, group_len;
	struct vtime mtime, ctime;
	uint64_t dev, inode;	/* on the source; identify hard links and unchanged files */
	uint64_t nlink;		/* on the source; 1 unless ENTRY_HARDLINK */
	uint64_t size;		/* bytes of a regular file; length of a link's target */
	uint64_t hole_bytes;	/* regular files: how many of size lie in holes (st_blocks is told from it) */
	uint32_t rdev_major, rdev_minor;
	uint32_t inode_flags;	/* FS_IOC_GETFLAGS bits that are kept: FS_IMMUTABLE_FL, FS_APPEND_FL, FS_NODUMP_FL, FS_NOCOW_FL */
	const char *target;	/* symbolic link */
	size_t target_len;
	const uint8_t *xattrs;	/* encoded; walk with xattr_next() */
	size_t xattrs_len;
	struct object_id sha256;	/* of the whole content; where ENTRY_HAS_SHA256 */
	enum content_kind content;
	const uint8_t *content_p;
	size_t content_len;
	struct object_id node;	/* CONTENT_NODE: root of the content tree; directories: root of the directory's tree */
	struct totals below;	/* directories */
	uint64_t nr_entries;	/* directories: entries directly in it */
	uint64_t nr_subdirs;	/* directories: directories directly in it (st_nlink is this + 2) */
};

#endif
