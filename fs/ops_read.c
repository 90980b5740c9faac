/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fs/control.h"
#include "fs/fresh.h"
#include "fs/ops.h"

/* A kernel that opens without asking is told to; others get an answer that keeps nothing here either. */
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);

	if (fs->fresh && !control_has(ino)) {
		fresh_open(req, ino, fi);
		return;
	}
	if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC) {
		(void)fuse_reply_err(req, EROFS);
	} else if (fs->no_open) {
		(void)fuse_reply_err(req, ENOSYS);
	} else {
		/* What is in the page cache was checked as it entered, and never changes. */
		fi->keep_cache = !fs->verify_always;
		fi->direct_io = fs->verify_always;
		fi->noflush = 1;
		(void)fuse_reply_open(req, fi);
	}
}

static enum err_code file_entry(struct fs *fs, fuse_ino_t ino, struct entry_ref *out,
				struct err *e)
{
	enum err_code rc = node_entry_of(fs, ino, out, NULL, e);

	if (!rc && out->e.type != ENTRY_FILE) {
		rc = err_set(e, ERR_USAGE, "not a file");
		e->sys = EINVAL;
	}
	return rc;
}

/* From where it lies in memory, checked, to the kernel: one copy. */
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct entry_ref r = { 0 };
	struct err e = ERR_INIT;
	enum err_code rc;
	struct view v;

	if (control_has(ino)) {
		control_read(req, ino, size, off);
		return;
	}
	if (fs->fresh) {
		fresh_read(req, ino, size, off, fi);
		return;
	}
	rc = file_entry(fs, ino, &r, &e);
	if (!rc)
		rc = view_open(fs->store, &r.e, (uint64_t)off, size, &v, &e);
	if (rc) {
		uint64_t left = r.e.size > (uint64_t)off ? r.e.size - (uint64_t)off : size;

		reply_read_err(req, ino, (uint64_t)off, left < size ? left : size, &e);
	} else if (v.nr == 1) {
		(void)fuse_reply_buf(req, v.pieces[0].iov_base, v.pieces[0].iov_len);
		view_release(fs->store, &v);
	} else {
		(void)fuse_reply_iov(req, v.pieces, (int)v.nr);
		view_release(fs->store, &v);
	}
	entry_ref_release(fs->store, &r);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct entry_ref r = { 0 };
	struct blob *b = NULL;
	struct err e = ERR_INIT;
	enum err_code rc;
	uint64_t to = 0;

	(void)fi;
	if (control_has(ino) || (whence != SEEK_DATA && whence != SEEK_HOLE)) {	/* the kernel does the others */
		(void)fuse_reply_err(req, EINVAL);
		return;
	}
	if (off < 0) {
		(void)fuse_reply_err(req, ENXIO);
		return;
	}
	rc = file_entry(fs, ino, &r, &e);
	if (!rc)
		rc = blob_open(fs->store, &r.e, &b, &e);
	if (!rc)
		rc = blob_seek(b, (uint64_t)off, whence == SEEK_HOLE, &to, &e);
	if (rc == ERR_NOT_FOUND && b)
		(void)fuse_reply_err(req, ENXIO);
	else if (rc)
		reply_err(req, "lseek", ino, &e);
	else
		(void)fuse_reply_lseek(req, (off_t)to);
	blob_close(b);
	entry_ref_release(fs->store, &r);
}

/* Comes only where open was answered. */
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (fs_of(req)->fresh && !control_has(ino))
		fresh_release(req, fi);
	else
		(void)fuse_reply_err(req, 0);
}
