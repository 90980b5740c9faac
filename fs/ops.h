/* SPDX-License-Identifier: MIT */
/* The operations, by file.  Each finds its object, calls the store and answers exactly once on every path. */
#ifndef VOUCH_FS_OPS_H
#define VOUCH_FS_OPS_H

#include <fuse_lowlevel.h>

#include "fs/reply.h"

/* ops_lookup.c */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_statfs(fuse_req_t req, fuse_ino_t ino);

/* ops_xattr.c */
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);

/* ops_dir.c */
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* ops_read.c */
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
MUST_CHECK enum err_code handles_open(struct handles **out, struct err *e);
void handles_close(struct handles *h);	/* and what the kernel never released; NULL is allowed */

/* ops_refuse.c: whatever would change something is EROFS. */
void ops_refuse_writes(struct fuse_lowlevel_ops *ops);

/* root.c: ids of slot 0, and the links beside snapshots. */
bool root_has(uint64_t nodeid);		/* whether it is one of those */
void root_lookup(fuse_req_t req, uint64_t parent, const char *name);
void root_getattr(fuse_req_t req, uint64_t nodeid);
void root_readlink(fuse_req_t req, uint64_t nodeid);
void root_readdir(fuse_req_t req, uint64_t dir, size_t size, off_t off, bool plus);

#endif
