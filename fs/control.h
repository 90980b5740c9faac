/* SPDX-License-Identifier: MIT */
/*
 * The control folder ".vouch" in the mount's root: the mounter's alone, reached by name.  Its node ids are those of
 * slot 0 with bit 39 set; each operation hands over what has such an id.
 */
#ifndef VOUCH_FS_CONTROL_H
#define VOUCH_FS_CONTROL_H

#include "fs/nodes.h"
#include "fs/ops.h"

#define CONTROL_NAME	".vouch"

struct control;
struct fs;

/** listed: the root lists it. */
MUST_CHECK enum err_code control_open(bool listed, struct control **out, struct err *e);
void control_close(struct control *c);		/* NULL is allowed */
bool control_is_listed(const struct control *c);

static inline bool control_has(uint64_t nodeid)
{
	return nodeid_slot(nodeid) == 0 && (nodeid & NODEID_CONTROL);
}

/** Whether name, looked up in parent, is ours. */
bool control_takes(uint64_t parent, const char *name);

/* The operations; each answers exactly once. */
void control_lookup(fuse_req_t req, uint64_t parent, const char *name);
void control_getattr(fuse_req_t req, uint64_t nodeid);
void control_readlink(fuse_req_t req, uint64_t nodeid);
void control_readdir(fuse_req_t req, uint64_t nodeid, size_t size, off_t off, bool plus);
void control_read(fuse_req_t req, uint64_t nodeid, size_t size, off_t off);

/* News for what is shown there; any thread, never waits. */

/** The repository was looked at: why is NULL where that went well. */
void control_medium(struct control *c, const struct err *why);
/** A damaged chunk or block was met, or a pack mended (ev->damage is set). */
void control_damage(struct control *c, const struct event *ev);
/** Somebody was answered EIO (len 0: not by a read).  This one may wait, for the path to be found. */
void control_refused(struct fs *fs, const char *op, uint64_t nodeid, uint64_t off, uint64_t len,
		     const struct err *why);

#endif
