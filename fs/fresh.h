/* SPDX-License-Identifier: MIT */
/*
 * -o verify=always: files are opened, read past every cache, and when one was read whole it is noted that the medium had
 * it whole then.  What is read from the medium is handed out once, in order, within a quarter of a second; whoever reads
 * the same bytes again has them read again.
 */
#ifndef VOUCH_FS_FRESH_H
#define VOUCH_FS_FRESH_H

#include <fuse_lowlevel.h>
#include <time.h>

#include "store/err.h"
#include "store/store.h"

struct fresh;

/** s reads fresh from now on. */
MUST_CHECK enum err_code fresh_new(struct store *s, struct fresh **out, struct err *e);
void fresh_close(struct fresh *f);	/* and what the kernel never released; NULL is allowed */

/* As in fuse_lowlevel_ops. */
void fresh_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fresh_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void fresh_release(fuse_req_t req, struct fuse_file_info *fi);

/**
 * When the file was last read whole from the medium, by this mount, and found good; false: not, or that long ago that it
 * was forgotten (64 Ki files are kept).  f may be NULL.
 */
bool fresh_verified(struct fresh *f, uint64_t nodeid, time_t *when);

#endif
