/* SPDX-License-Identifier: MIT */
/* Replies: the only place that knows which errno an error is, and when a line is logged for it. */
#ifndef VOUCH_FS_REPLY_H
#define VOUCH_FS_REPLY_H

#include <fuse_lowlevel.h>

#include "fs/fs.h"

/** The errno that tells a program what e is. */
int reply_errno(const struct err *e);

/**
 * Answer req with e's errno.  Damage, and whatever else keeps bytes from being read, is logged with its snapshot and
 * path (once a minute for the same file and cause); nodeid is what was being read, or the folder looked in.
 */
void reply_err(fuse_req_t req, const char *op, uint64_t nodeid, const struct err *e);

/** The same of a read of len bytes at off. */
void reply_read_err(fuse_req_t req, uint64_t nodeid, uint64_t off, uint64_t len,
		    const struct err *e);

/** The file system that req is for. */
static inline struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/** A buffer of this thread, good until its next call; freed with the thread.  NULL: out of memory. */
void *reply_buffer(size_t len);

#endif
