/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fs/attr.h"
#include "fs/control.h"
#include "fs/ops.h"

#define NAME_LEN_MAX	255	/* what statfs says; the kernel lets 1024 through */

/*
 * "." and "..": asked by the kernel alone, to get back to a node that it has forgotten from a handle that an NFS server
 * gave out.  Ids are computed from what they name, so that a handle is good for as long as its snapshot is.  Links
 * beside snapshots, by-type and the control folder are found by their names only.
 */
static void lookup_again(fuse_req_t req, uint64_t nodeid, bool parent)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param p = { .ino = NODEID_ROOT };
	struct entry_ref r = { 0 };
	struct err e = ERR_INIT;
	struct facts f;
	enum err_code rc;

	if (root_has(nodeid)) {
		(void)fuse_reply_err(req, ESTALE);
		return;
	}
	rc = parent ? node_dir(fs, nodeid, &f, &e) : ERR_OK;
	if (!rc && parent)
		nodeid = f.parent;
	if (!rc && nodeid == NODEID_ROOT) {
		root_attr(fs, &p.attr);
		(void)fuse_reply_entry(req, &p);
		return;
	}
	if (!rc)
		rc = node_entry_of(fs, nodeid, &r, NULL, &e);
	if (!rc) {
		attr_param(&r.e, nodeid, &p);
		if (nodeid_number(nodeid) == 0)
			p.entry_timeout = TIMEOUT_ROOT;
		(void)fuse_reply_entry(req, &p);
	} else {
		reply_err(req, "lookup", nodeid, &e);
	}
	entry_ref_release(fs->store, &r);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct entry_ref r = { 0 };
	struct fuse_entry_param p;
	struct err e = ERR_INIT;
	struct facts dir, f;
	enum err_code rc;
	bool none = false;

	if (strlen(name) > NAME_LEN_MAX) {
		(void)fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		lookup_again(req, parent, name[1] == '.');
		return;
	}
	if (control_takes(parent, name)) {
		control_lookup(req, parent, name);
		return;
	}
	if (root_has(parent)) {
		root_lookup(req, parent, name);
		return;
	}
	rc = node_dir(fs, parent, &dir, &e);
	if (!rc) {
		rc = tree_lookup(fs->store, &dir.dir, name, strlen(name), &r, &e);
		none = rc == ERR_NOT_FOUND;
	}
	if (!rc)
		rc = facts_of(&dir, &r, &f, &e);
	if (none) {
		/* Will never be there: an inode of 0 has the kernel remember that. */
		memset(&p, 0, sizeof(p));
		p.entry_timeout = TIMEOUT_FOREVER;
		(void)fuse_reply_entry(req, &p);
	} else if (rc) {
		reply_err(req, "lookup", parent, &e);
	} else {
		if (f.is_dir)
			nodes_put(fs->nodes, &f);
		attr_param(&r.e, f.nodeid, &p);
		(void)fuse_reply_entry(req, &p);
	}
	entry_ref_release(fs->store, &r);
}

/* Ids are computed: there is nothing to be forgotten. */
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	(void)ino;
	(void)nlookup;
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	(void)count;
	(void)forgets;
	fuse_reply_none(req);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct entry_ref r = { 0 };
	struct err e = ERR_INIT;
	struct stat st;

	(void)fi;
	if (control_has(ino)) {
		control_getattr(req, ino);
		return;
	}
	if (root_has(ino)) {
		root_getattr(req, ino);
		return;
	}
	if (node_entry_of(fs, ino, &r, NULL, &e)) {
		reply_err(req, "stat", ino, &e);
		return;
	}
	attr_of(&r.e, ino, &st);
	(void)fuse_reply_attr(req, &st, TIMEOUT_FOREVER);
	entry_ref_release(fs->store, &r);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = fs_of(req);
	struct entry_ref r = { 0 };
	struct err e = ERR_INIT;

	if (control_has(ino)) {
		control_readlink(req, ino);
		return;
	}
	if (root_has(ino)) {
		root_readlink(req, ino);
		return;
	}
	if (node_entry_of(fs, ino, &r, NULL, &e)) {
		reply_err(req, "readlink", ino, &e);
		return;
	}
	if (r.e.type == ENTRY_SYMLINK)	/* not fuse_reply_readlink: the target ends with no NUL */
		(void)fuse_reply_buf(req, r.e.target, r.e.target_len);
	else
		(void)fuse_reply_err(req, EINVAL);
	entry_ref_release(fs->store, &r);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct store_stats stats;
	struct statvfs v = {
		.f_bsize = 4096,
		.f_frsize = 4096,
		.f_namemax = NAME_LEN_MAX,
		.f_flag = ST_RDONLY | ST_NOSUID,
	};

	(void)ino;
	store_stats(fs_of(req)->store, &stats);
	/* The medium's size, and nothing of it free: nothing can be written here. */
	v.f_blocks = stats.total_bytes / v.f_frsize;
	(void)fuse_reply_statfs(req, &v);
}
