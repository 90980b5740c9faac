/* SPDX-License-Identifier: MIT */
/*
 * The root: a folder a snapshot, "latest", what fs/views.h makes, and by name only the links DATE-ID8 and DATE-ID16 to a snapshot that is
 * shown as DATE.  They are links and no second names of the folder because the kernel allows a folder one name: it
 * would move it back and forth between two under the feet of whoever stands in it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/attr.h"
#include "fs/control.h"
#include "fs/ops.h"

#define COOKIE_LATEST	3	/* after ".", 1, and "..", 2 */
#define COOKIE_CONTROL	4
#define COOKIE_SNAPS	5	/* plus the index in snap_list.all */

bool root_has(uint64_t nodeid)
{
	return nodeid_slot(nodeid) == 0 || nodeid_number(nodeid) > NUMBER_MAX;
}

static void root_stat(const struct fs *fs, const struct snap_list *l, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = NODEID_ROOT;
	st->st_mode = S_IFDIR | 0555;
	st->st_nlink = (nlink_t)(2 + l->nr_live);
	for (const struct view_node *n = views_next(l->views, NODEID_ROOT, 0); n;
	     n = views_next(l->views, NODEID_ROOT, n->id))
		st->st_nlink += !n->target;
	st->st_uid = fs->uid;
	st->st_gid = fs->gid;
	st->st_size = 4096;
	st->st_blksize = 4096;
	st->st_mtim = st->st_ctim = st->st_atim = l->changed;
}

void root_attr(const struct fs *fs, struct stat *st)
{
	const struct snap_list *l = snaps_get(fs->snaps);

	root_stat(fs, l, st);
	snaps_put(l);
}

static void link_stat(const struct fs *fs, const struct snap *to, uint64_t nodeid, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = nodeid;
	st->st_mode = S_IFLNK | 0777;
	st->st_nlink = 1;
	st->st_uid = fs->uid;
	st->st_gid = fs->gid;
	st->st_size = (off_t)strlen(to->shown);
	st->st_mtim.tv_sec = (time_t)to->time.sec;
	st->st_mtim.tv_nsec = (long)to->time.nsec;
	st->st_ctim = st->st_atim = st->st_mtim;
}

static void view_stat(const struct fs *fs, const struct snap_list *l, const struct view_node *n,
		      struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = n->id;
	st->st_mode = n->target ? S_IFLNK | 0777 : S_IFDIR | 0555;
	st->st_nlink = n->target ? 1 : 2 + n->nr_subdirs;
	st->st_uid = fs->uid;
	st->st_gid = fs->gid;
	st->st_size = n->target ? (off_t)strlen(n->target) : 4096;
	st->st_blksize = 4096;
	st->st_mtim.tv_sec = (time_t)n->time.sec;
	st->st_mtim.tv_nsec = (long)n->time.nsec;
	if (!n->target)		/* the kernel lists it anew where this is another */
		st->st_mtim = l->changed;
	st->st_ctim = st->st_atim = st->st_mtim;
}

static bool is_view(uint64_t nodeid)
{
	return nodeid_slot(nodeid) == 0 && nodeid >= NODEID_VIEW && nodeid < NODEID_CONTROL;
}

/* The snapshot that a link of ours leads to; NULL where there is none (any more). */
static const struct snap *link_target(const struct snap_list *l, uint64_t nodeid)
{
	const struct snap *s;

	if (nodeid == NODEID_LATEST)
		return l->newest;
	s = nodeid_number(nodeid) > NUMBER_MAX ? snap_list_slot(l, nodeid_slot(nodeid)) : NULL;
	return s && !s->gone ? s : NULL;
}

enum err_code root_snap_param(struct fs *fs, const struct snap *s, struct fuse_entry_param *p,
			      struct err *e)
{
	uint64_t nodeid = nodeid_of(s->slot, 0);
	struct entry_ref r = { 0 };
	enum err_code rc = node_entry_of(fs, nodeid, &r, NULL, e);

	if (!rc) {
		attr_param(&r.e, nodeid, p);
		p->entry_timeout = TIMEOUT_ROOT;
	}
	entry_ref_release(fs->store, &r);
	return rc;
}

static void link_param(const struct fs *fs, const struct snap *to, uint64_t nodeid,
		       struct fuse_entry_param *p)
{
	memset(p, 0, sizeof(*p));
	p->ino = nodeid;
	p->attr_timeout = p->entry_timeout = TIMEOUT_ROOT;
	link_stat(fs, to, nodeid, &p->attr);
}

/* No timeouts: what these names lead to is asked for anew each time. */
static void view_reply(fuse_req_t req, const struct fs *fs, const struct snap_list *l,
		       const struct view_node *n)
{
	struct fuse_entry_param p = { .ino = n ? n->id : 0 };

	if (!n) {
		(void)fuse_reply_err(req, ENOENT);
		return;
	}
	view_stat(fs, l, n, &p.attr);
	(void)fuse_reply_entry(req, &p);
}

static void lookup_in_view(fuse_req_t req, uint64_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	const struct snap_list *l = snaps_get(fs->snaps);
	const struct view_node *dir = views_by_id(l->views, parent);

	if (!dir)
		(void)fuse_reply_err(req, ESTALE);
	else if (dir->target)
		(void)fuse_reply_err(req, ENOTDIR);
	else
		view_reply(req, fs, l, views_child(l->views, parent, name));
	snaps_put(l);
}

void root_lookup(fuse_req_t req, uint64_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	const struct snap_list *l = snaps_get(fs->snaps);
	bool latest = strcmp(name, "latest") == 0, alias = false;
	size_t len = strlen(name);
	const struct snap *s = latest ? l->newest : snap_list_name(l, name, len, &alias);
	struct fuse_entry_param p;
	struct err e = ERR_INIT;

	if (parent != NODEID_ROOT) {
		lookup_in_view(req, parent, name);
	} else if (!s) {
		view_reply(req, fs, l, views_child(l->views, NODEID_ROOT, name));
	} else if (latest || alias) {
		uint64_t number = len == strlen(s->full) ? NUMBER_ALIAS16 : NUMBER_ALIAS8;

		link_param(fs, s, latest ? NODEID_LATEST : nodeid_of(s->slot, number), &p);
		(void)fuse_reply_entry(req, &p);
	} else if (root_snap_param(fs, s, &p, &e)) {
		reply_err(req, "lookup", nodeid_of(s->slot, 0), &e);
	} else {
		(void)fuse_reply_entry(req, &p);
	}
	snaps_put(l);
}

void root_getattr(fuse_req_t req, uint64_t nodeid)
{
	struct fs *fs = fs_of(req);
	const struct snap_list *l = snaps_get(fs->snaps);
	const struct view_node *n = is_view(nodeid) ? views_by_id(l->views, nodeid) : NULL;
	const struct snap *to = link_target(l, nodeid);
	struct stat st;

	if (n) {
		view_stat(fs, l, n, &st);
		(void)fuse_reply_attr(req, &st, 0);
	} else if (nodeid == NODEID_ROOT) {
		root_stat(fs, l, &st);
		(void)fuse_reply_attr(req, &st, TIMEOUT_ROOT);
	} else if (to) {
		link_stat(fs, to, nodeid, &st);
		(void)fuse_reply_attr(req, &st, TIMEOUT_ROOT);
	} else {
		(void)fuse_reply_err(req, ESTALE);
	}
	snaps_put(l);
}

void root_readlink(fuse_req_t req, uint64_t nodeid)
{
	struct fs *fs = fs_of(req);
	const struct snap_list *l = snaps_get(fs->snaps);
	const struct view_node *n = is_view(nodeid) ? views_by_id(l->views, nodeid) : NULL;
	const struct snap *to = link_target(l, nodeid);

	if (to)
		(void)fuse_reply_readlink(req, to->shown);
	else if (n && n->target)
		(void)fuse_reply_readlink(req, n->target);
	else if (n || nodeid == NODEID_ROOT)
		(void)fuse_reply_err(req, EINVAL);
	else
		(void)fuse_reply_err(req, ESTALE);
	snaps_put(l);
}

struct listing {
	fuse_req_t req;
	char *buf;
	size_t size, len;
	bool plus, full;
};

/*
 * Names, types and numbers only (a node id of 0 tells readdirplus to keep no
 * inode): a listing of the root reads nothing of any snapshot, and shows those
 * whose root folder is damaged too.
 */
static void list(struct listing *l, const char *name, uint64_t ino, mode_t mode, off_t cookie)
{
	struct fuse_entry_param p = { .attr = { .st_ino = ino, .st_mode = mode } };
	size_t room = l->size - l->len, n;

	if (l->full)
		return;
	if (l->plus)
		n = fuse_add_direntry_plus(l->req, l->buf + l->len, room, name, &p, cookie);
	else
		n = fuse_add_direntry(l->req, l->buf + l->len, room, name, &p.attr, cookie);
	if (n > room)
		l->full = true;
	else
		l->len += n;
}

/* A view's cookies are its nodes' numbers, all above those of snapshots. */
static void list_view(struct listing *out, const struct views *v, uint64_t dir, off_t off)
{
	const struct view_node *n = views_next(v, dir, off > 0 ? (uint64_t)off : 0);

	for (; n && !out->full; n = views_next(v, dir, n->id))
		list(out, n->name, n->id, n->target ? S_IFLNK : S_IFDIR, (off_t)n->id);
}

static void list_root(struct listing *out, const struct fs *fs, const struct snap_list *l,
		      off_t off)
{
	if (off < COOKIE_LATEST && l->newest)
		list(out, "latest", NODEID_LATEST, S_IFLNK, COOKIE_LATEST);
	if (off < COOKIE_CONTROL && control_is_listed(fs->control))
		list(out, CONTROL_NAME, NODEID_CONTROL, S_IFDIR, COOKIE_CONTROL);
	for (size_t i = off < COOKIE_SNAPS ? 0 : (size_t)off - COOKIE_SNAPS + 1;
	     i < l->nr && !out->full; i++)
		if (!l->all[i].gone && l->all[i].kind == SNAP_DATED)
			list(out, l->all[i].shown, nodeid_of(l->all[i].slot, 0), S_IFDIR,
			     (off_t)(COOKIE_SNAPS + i));
}

void root_readdir(fuse_req_t req, uint64_t dir, size_t size, off_t off, bool plus)
{
	struct fs *fs = fs_of(req);
	struct listing out = { .req = req, .size = size, .plus = plus, .buf = reply_buffer(size) };
	const struct view_node *n = NULL;
	const struct snap_list *l;

	if (!out.buf) {
		(void)fuse_reply_err(req, ENOMEM);
		return;
	}
	l = snaps_get(fs->snaps);
	n = is_view(dir) ? views_by_id(l->views, dir) : NULL;
	if (dir != NODEID_ROOT && (!n || n->target)) {
		(void)fuse_reply_err(req, n || dir == NODEID_LATEST ? ENOTDIR : ESTALE);
	} else {
		if (off < 1)
			list(&out, ".", dir, S_IFDIR, 1);
		if (off < 2)
			list(&out, "..", n ? n->parent : NODEID_ROOT, S_IFDIR, 2);
		if (dir == NODEID_ROOT && off < (off_t)NODEID_VIEW)
			list_root(&out, fs, l, off);
		list_view(&out, l->views, dir, off);
		(void)fuse_reply_buf(req, out.buf, out.len);
	}
	snaps_put(l);
}
