/* SPDX-License-Identifier: MIT */
/*
 * Folders of snapshots.  The offset after an entry is its position + 3: readdir goes on anywhere without anything
 * kept between calls, and the kernel keeps the listing.
 */
#include <errno.h>
#include <string.h>

#include "fs/attr.h"
#include "fs/control.h"
#include "fs/ops.h"

#define COOKIE_DOTDOT	2

struct listing {
	struct fs *fs;
	fuse_req_t req;
	const struct facts *dir;
	char *buf;
	size_t size, len;
	bool plus;
};

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if (fs_of(req)->no_opendir) {
		(void)fuse_reply_err(req, ENOSYS);
	} else {
		fi->cache_readdir = 1;
		fi->keep_cache = 1;
		(void)fuse_reply_open(req, fi);
	}
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	(void)fuse_reply_err(req, 0);
}

/* "." and "..": without an inode for the kernel to keep (node id 0), it has those. */
static void add_dot(struct listing *l, const char *name, uint64_t ino, off_t cookie)
{
	struct fuse_entry_param p = { .attr = { .st_ino = ino, .st_mode = S_IFDIR } };
	size_t room = l->size - l->len, n;

	if (l->plus)
		n = fuse_add_direntry_plus(l->req, l->buf + l->len, room, name, &p, cookie);
	else
		n = fuse_add_direntry(l->req, l->buf + l->len, room, name, &p.attr, cookie);
	l->len += n <= room ? n : 0;	/* always fits: a reply has room for a page at least */
}

static enum err_code add_entry(void *ctx, const struct entry_ref *r, struct err *e)
{
	struct listing *l = ctx;
	size_t room = l->size - l->len, n;
	struct fuse_entry_param p;
	enum err_code rc;
	struct facts f;
	char name[256];
	off_t cookie;

	rc = facts_of(l->dir, r, &f, e);
	if (rc)
		return rc;
	memcpy(name, r->e.name, r->e.name_len);		/* at most 255: the decoder's limit */
	name[r->e.name_len] = '\0';
	cookie = (off_t)(r->position + COOKIE_DOTDOT + 1);
	if (l->plus) {
		attr_param(&r->e, f.nodeid, &p);
		n = fuse_add_direntry_plus(l->req, l->buf + l->len, room, name, &p, cookie);
	} else {
		attr_brief(&r->e, f.nodeid, &p.attr);
		n = fuse_add_direntry(l->req, l->buf + l->len, room, name, &p.attr, cookie);
	}
	if (n > room)
		return ERR_CANCELED;
	l->len += n;
	if (f.is_dir)	/* a walk steps into it next */
		nodes_put(l->fs->nodes, &f);
	return ERR_OK;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct fs *fs = fs_of(req);
	struct listing l = { .fs = fs, .req = req, .size = size, .plus = plus };
	struct err e = ERR_INIT;
	struct facts dir;
	enum err_code rc;

	if (control_has(ino)) {
		control_readdir(req, ino, size, off, plus);
		return;
	}
	if (root_has(ino)) {
		root_readdir(req, ino, size, off, plus);
		return;
	}
	rc = node_dir(fs, ino, &dir, &e);
	if (rc)
		goto out;
	l.dir = &dir;
	l.buf = reply_buffer(size);
	if (!l.buf) {
		rc = err_set(&e, ERR_NOMEM, "a listing of %zu bytes", size);
		goto out;
	}
	if (off < 1)
		add_dot(&l, ".", dir.nodeid, 1);
	if (off < COOKIE_DOTDOT)
		add_dot(&l, "..", dir.parent, COOKIE_DOTDOT);
	rc = tree_walk(fs->store, &dir.dir, off < COOKIE_DOTDOT ? 0 : (uint64_t)off - COOKIE_DOTDOT,
		       add_entry, &l, &e);
	/* What was read before the damage is good: it is handed out, and the next call meets the damage. */
	if (rc && l.len)
		rc = ERR_OK;
out:
	if (rc)
		reply_err(req, "readdir", ino, &e);
	else
		(void)fuse_reply_buf(req, l.buf, l.len);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, true);
}
