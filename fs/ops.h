/* SPDX-License-Identifier: MIT */
/*
 * The operations, by file.  Each finds its object, calls the store and answers exactly once on every path.
 *
 * Nothing is kept for what is open.  The first open and opendir are answered with ENOSYS, after which the kernel asks
 * for neither, nor sends flush, release or releasedir, of anything in this mount; read, lseek and readdir come by node
 * id alone (fi->fh is 0), and pages and listings stay in the kernel's cache from one open to the next.  So whatever can
 * change must change by its attributes.  A folder: a short attribute timeout, and another mtime with other entries (the
 * root does so; a listing is thrown away when it is begun anew under another mtime).  A file with generated content: its
 * exact size, entry and attribute timeouts of 0, and another node id for other content, whose old one goes on reading
 * the old; or at least another mtime, which drops its pages.
 */
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

/* ops_refuse.c: whatever would change something is EROFS. */
void ops_refuse_writes(struct fuse_lowlevel_ops *ops);

/* root.c: ids of slot 0, and the links beside snapshots. */
bool root_has(uint64_t nodeid);		/* whether it is one of those */
void root_attr(const struct fs *fs, struct stat *st);	/* of the root itself */
/** A snapshot's folder: told like anything in it, but its name may come to mean something else. */
MUST_CHECK enum err_code root_snap_param(struct fs *fs, const struct snap *s, struct fuse_entry_param *p,
					 struct err *e);
void root_lookup(fuse_req_t req, uint64_t parent, const char *name);
void root_getattr(fuse_req_t req, uint64_t nodeid);
void root_readlink(fuse_req_t req, uint64_t nodeid);
void root_readdir(fuse_req_t req, uint64_t dir, size_t size, off_t off, bool plus);

#endif
