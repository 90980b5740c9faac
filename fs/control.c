/* SPDX-License-Identifier: MIT */
/* The control folder's frame: which operation goes to which part, and the folders that are always there. */
#include "fs/control_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/attr.h"
#include "store/base/checked.h"

/* Beside the folders, the files of control_text.c. */
static const struct folder {
	const char *name;
	uint64_t nodeid;
	struct snap_name names;		/* of a name a snapshot */
} folders[FOLDER_NR] = {
	[FOLDER_CONTROL] = { .name = CONTROL_NAME, .nodeid = ctl_id(CTL_TOP, FOLDER_CONTROL) },
	[FOLDER_SUMS] = { "SHA256SUMS", ctl_id(CTL_TOP, FOLDER_SUMS), { "", CTL_SUMS, SNAP_DATED } },
	[FOLDER_MANIFEST] = { "manifest", ctl_id(CTL_TOP, FOLDER_MANIFEST),
			      { ".json", CTL_MANIFEST, SNAP_DATED } },
	[FOLDER_SAFETY] = { "safety", ctl_id(CTL_TOP, FOLDER_SAFETY), { "", CTL_TOP, SNAP_SAFETY } },
	[FOLDER_PARTIAL] = { "partial", ctl_id(CTL_TOP, FOLDER_PARTIAL), { "", CTL_TOP, SNAP_PARTIAL } },
	[FOLDER_VERSIONS] = { .name = "versions", .nodeid = VERSIONS_TOP },
};

/* Parts. */

bool ctl_interrupted(const struct ctl *c)
{
	return fuse_req_interrupted(c->req);
}

enum err_code ctl_none(struct err *e, int sys)
{
	(void)err_set(e, ERR_NOT_FOUND, "no such entry");
	e->sys = sys;
	return ERR_NOT_FOUND;
}

void ctl_stat(const struct ctl *c, mode_t mode, const struct timespec *t, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_mode = mode;
	st->st_nlink = S_ISDIR(mode) ? 2 : 1;
	st->st_uid = c->fs->uid;
	st->st_gid = c->fs->gid;
	st->st_blksize = 4096;
	st->st_mtim = st->st_ctim = st->st_atim = *t;
}

/* The folders that are always there. */

static enum err_code find_in_top(const struct ctl *c, const char *name, uint64_t *out,
				 struct err *e)
{
	for (size_t i = 1; i < FOLDER_NR; i++) {
		if (strcmp(name, folders[i].name) == 0) {
			*out = folders[i].nodeid;
			return ERR_OK;
		}
	}
	for (size_t i = 0; i < TEXT_NR; i++)
		if (text_names[i] && strcmp(name, text_names[i]) == 0)
			return texts_now(c, (enum text)i, out, e);
	return ctl_none(e, ENOENT);
}

static enum err_code list_top(uint64_t after, struct ctl_listing *l)
{
	uint64_t cookie = CTL_COOKIE_FIRST;

	for (size_t i = 1; i < FOLDER_NR; i++, cookie++)
		if (cookie > after &&
		    !ctl_list(l, folders[i].name, folders[i].nodeid, S_IFDIR, cookie))
			return ERR_OK;
	for (size_t i = 0; i < TEXT_NR; i++, cookie++)
		if (text_names[i] && cookie > after &&
		    !ctl_list(l, text_names[i], ctl_id(CTL_TEXT, i), S_IFREG, cookie))
			return ERR_OK;
	return ERR_OK;
}

static enum err_code folder_find(const struct ctl *c, uint64_t dir, const char *name,
				 uint64_t *out, struct err *e)
{
	size_t i = ctl_data(dir);

	return i == FOLDER_CONTROL ? find_in_top(c, name, out, e)
				   : snaps_find(c, &folders[i].names, name, out, e);
}

static enum err_code folder_list(const struct ctl *c, uint64_t dir, uint64_t after,
				 struct ctl_listing *l, struct err *e)
{
	size_t i = ctl_data(dir);

	return i == FOLDER_CONTROL ? list_top(after, l)
				   : snaps_each(c, &folders[i].names, after, l, e);
}

/* Their mtime is that of the list of snapshots: by it the kernel knows that its copy of a listing is old. */
static enum err_code folder_stat(const struct ctl *c, uint64_t nodeid, struct stat *st,
				 struct err *e)
{
	const struct snap_list *l = snaps_get(c->fs->snaps);

	(void)nodeid;
	(void)e;
	ctl_stat(c, S_IFDIR | 0700, &l->changed, st);
	st->st_size = 4096;
	snaps_put(l);
	return ERR_OK;
}

static const struct ctl_ops folder_ops = {
	.find = folder_find, .stat = folder_stat, .list = folder_list,
};

static const struct ctl_ops *ops_of(uint64_t nodeid)
{
	static const struct ctl_ops *const all[CTL_KIND_NR] = {
		[CTL_TOP] = &folder_ops,
		[CTL_SUMS] = &ctl_sums_ops,
		[CTL_MANIFEST] = &ctl_manifest_ops,
		[CTL_VERSION] = &ctl_version_ops,
		[CTL_TEXT] = &ctl_text_ops,
	};
	enum ctl_kind kind = ctl_kind(nodeid);

	if (kind >= CTL_KIND_NR || (kind == CTL_TOP && ctl_data(nodeid) >= FOLDER_VERSIONS))
		return NULL;
	return all[kind];
}

/* Operations. */

bool control_takes(uint64_t parent, const char *name)
{
	return control_has(parent) || (parent == NODEID_ROOT && strcmp(name, CONTROL_NAME) == 0);
}

/* Damage is told of with the path of what is read: of a snapshot, where it is one's. */
static void fail(fuse_req_t req, const char *op, uint64_t nodeid, const struct err *e)
{
	bool snaps = ctl_kind(nodeid) == CTL_SUMS || ctl_kind(nodeid) == CTL_MANIFEST;

	if (e->code == ERR_CANCELED)
		(void)fuse_reply_err(req, EINTR);
	else
		reply_err(req, op, snaps ? nodeid_of((uint32_t)ctl_data(nodeid), 0) : nodeid, e);
}

static enum err_code stat_of(const struct ctl *c, uint64_t nodeid, struct stat *st, struct err *e)
{
	const struct ctl_ops *ops = ops_of(nodeid);
	enum err_code rc = ops ? ops->stat(c, nodeid, st, e) : ctl_none(e, ESTALE);

	if (!rc) {
		st->st_ino = nodeid;
		st->st_blocks = st->st_size / 512 + (st->st_size % 512 != 0);
	}
	return rc;
}

/* A snapshot that is shown here and not in the root: from there on it is one as all are. */
static void reply_snapshot(fuse_req_t req, uint64_t nodeid)
{
	struct fs *fs = fs_of(req);
	const struct snap_list *l = snaps_get(fs->snaps);
	const struct snap *s = snap_list_slot(l, nodeid_slot(nodeid));
	struct fuse_entry_param p;
	struct err e = ERR_INIT;

	if (!s || s->gone)
		(void)fuse_reply_err(req, ENOENT);
	else if (root_snap_param(fs, s, &p, &e))
		reply_err(req, "lookup", nodeid, &e);
	else
		(void)fuse_reply_entry(req, &p);
	snaps_put(l);
}

void control_lookup(fuse_req_t req, uint64_t parent, const char *name)
{
	struct ctl c = { .fs = fs_of(req), .req = req };
	struct fuse_entry_param p = { .attr_timeout = 0, .entry_timeout = 0 };
	const struct ctl_ops *ops;
	struct err e = ERR_INIT;
	enum err_code rc = ERR_OK;
	uint64_t nodeid = NODEID_CONTROL;

	if (parent != NODEID_ROOT) {
		ops = ops_of(parent);
		rc = ops && ops->find ? ops->find(&c, parent, name, &nodeid, &e)
				      : ctl_none(&e, ESTALE);
	}
	if (!rc && nodeid_slot(nodeid)) {
		reply_snapshot(req, nodeid);
		return;
	}
	if (!rc)
		rc = stat_of(&c, nodeid, &p.attr, &e);
	if (rc) {
		fail(req, "lookup", nodeid, &e);
		return;
	}
	p.ino = nodeid;
	(void)fuse_reply_entry(req, &p);
}

void control_getattr(fuse_req_t req, uint64_t nodeid)
{
	struct ctl c = { .fs = fs_of(req), .req = req };
	struct err e = ERR_INIT;
	struct stat st;

	if (stat_of(&c, nodeid, &st, &e))
		fail(req, "stat", nodeid, &e);
	else
		(void)fuse_reply_attr(req, &st, 0);
}

void control_readlink(fuse_req_t req, uint64_t nodeid)
{
	struct ctl c = { .fs = fs_of(req), .req = req };
	const struct ctl_ops *ops = ops_of(nodeid);
	struct buf target = BUF_INIT;
	struct err e = ERR_INIT;
	enum err_code rc;

	rc = ops && ops->link ? ops->link(&c, nodeid, &target, &e) : ctl_none(&e, EINVAL);
	if (!rc && target.bad)
		rc = err_set(&e, ERR_NOMEM, "a link");
	if (rc)
		fail(req, "readlink", nodeid, &e);
	else
		(void)fuse_reply_buf(req, (const char *)target.p, target.len);
	buf_release(&target);
}

void control_read(fuse_req_t req, uint64_t nodeid, size_t size, off_t off)
{
	struct ctl c = { .fs = fs_of(req), .req = req };
	const struct ctl_ops *ops = ops_of(nodeid);
	void *buf = reply_buffer(size);
	struct err e = ERR_INIT;
	enum err_code rc;
	size_t n = 0;

	if (!buf) {
		(void)fuse_reply_err(req, ENOMEM);
		return;
	}
	rc = ops && ops->read ? ops->read(&c, nodeid, (uint64_t)off, buf, size, &n, &e)
			      : ctl_none(&e, EINVAL);
	if (rc)
		fail(req, "read", nodeid, &e);
	else
		(void)fuse_reply_buf(req, buf, n);
}

/* Listings. */

struct ctl_listing {
	fuse_req_t req;
	char *buf;
	size_t size, len;
	bool plus, full;
};

/* Without an inode for the kernel to keep (node id 0): a listing makes nothing that must be made for a stat. */
bool ctl_list(struct ctl_listing *l, const char *name, uint64_t ino, mode_t mode, uint64_t cookie)
{
	struct fuse_entry_param p = { .attr = { .st_ino = ino, .st_mode = mode } };
	size_t room = l->size - l->len, n;

	if (l->full)
		return false;
	if (l->plus)
		n = fuse_add_direntry_plus(l->req, l->buf + l->len, room, name, &p, (off_t)cookie);
	else
		n = fuse_add_direntry(l->req, l->buf + l->len, room, name, &p.attr, (off_t)cookie);
	l->full = n > room;
	l->len += l->full ? 0 : n;
	return !l->full;
}

void control_readdir(fuse_req_t req, uint64_t nodeid, size_t size, off_t off, bool plus)
{
	struct ctl_listing l = { .req = req, .size = size, .plus = plus, .buf = reply_buffer(size) };
	struct ctl c = { .fs = fs_of(req), .req = req };
	const struct ctl_ops *ops = ops_of(nodeid);
	uint64_t after = off < 0 ? 0 : (uint64_t)off;
	struct err e = ERR_INIT;
	enum err_code rc;

	if (!l.buf) {
		(void)fuse_reply_err(req, ENOMEM);
		return;
	}
	if (after < 1)
		(void)ctl_list(&l, ".", nodeid, S_IFDIR, 1);
	if (after < 2)
		(void)ctl_list(&l, "..", NODEID_CONTROL, S_IFDIR, 2);
	rc = ops && ops->list ? ops->list(&c, nodeid, after, &l, &e) : ctl_none(&e, ENOTDIR);
	if (rc)
		fail(req, "readdir", nodeid, &e);
	else
		(void)fuse_reply_buf(req, l.buf, l.len);
}

/* Life. */

enum err_code control_open(bool listed, struct control **out, struct err *e)
{
	struct control *c = calloc(1, sizeof(*c));
	enum err_code rc = ERR_OK;

	if (!c)
		return err_set(e, ERR_NOMEM, "control folder");
	must(pthread_mutex_init(&c->mutex, NULL));
	c->listed = listed;
	if (clock_gettime(CLOCK_REALTIME, &c->began) < 0)
		c->began.tv_sec = 0;	/* zero is a time too */
	c->medium = (struct medium){ .there = true, .since = c->began };
	rc = texts_open(&c->texts, e);
	if (!rc)
		rc = manifests_open(&c->manifests, e);
	if (!rc)
		rc = versions_open(&c->versions, e);
	if (!rc)
		rc = damages_open(&c->damages, e);
	if (!rc)
		rc = refusals_open(&c->refusals, e);
	if (rc) {
		control_close(c);
		return rc;
	}
	*out = c;
	return ERR_OK;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	damages_close(c->damages);
	refusals_close(c->refusals);
	versions_close(c->versions);
	manifests_close(c->manifests);
	texts_close(c->texts);
	must(pthread_mutex_destroy(&c->mutex));
	free(c);
}

bool control_is_listed(const struct control *c)
{
	return c->listed;
}

void control_medium(struct control *c, const struct err *why)
{
	must(pthread_mutex_lock(&c->mutex));
	if (c->medium.there != !why) {
		c->medium.there = !why;
		if (clock_gettime(CLOCK_REALTIME, &c->medium.since) < 0)
			c->medium.since.tv_sec = 0;
	}
	if (why)
		(void)snprintf(c->medium.why, sizeof(c->medium.why), "%.*s",
			       (int)sizeof(c->medium.why) - 1, why->msg);
	must(pthread_mutex_unlock(&c->mutex));
}

struct medium control_medium_now(struct control *c)
{
	struct medium m;

	must(pthread_mutex_lock(&c->mutex));
	m = c->medium;
	must(pthread_mutex_unlock(&c->mutex));
	return m;
}
