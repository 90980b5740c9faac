/* SPDX-License-Identifier: MIT */
/* The distinct versions of one path through all snapshots. */
#ifndef VOUCH_FS_VERSIONS_H
#define VOUCH_FS_VERSIONS_H

#include "store/base/buf.h"
#include "fs/fs.h"

/** What tells one version from another: a file's content and mtime, all of a folder, a link's target and mtime. */
struct version_key {
	enum entry_type type;
	struct object_id content;
	struct vtime mtime;
};

struct version {
	uint32_t slot;			/* of the first snapshot that has it */
	struct vtime taken;		/* that snapshot's time */
	char shown[SNAP_NAME_MAX];
	struct version_key key;
};

/** Of one path in one list of snapshots, by time; counted by whoever keeps it. */
struct version_list {
	struct buf path;		/* "a/b", "" for the snapshots themselves; raw bytes */
	const struct snap_list *snaps;	/* held */
	struct version *all;
	size_t nr;
	unsigned refs;
};

/**
 * Look through all snapshots.  One whose folders on the way are damaged is passed over, and told of in the log.  A
 * folder that is the same as in the snapshot before is not looked into again.
 */
MUST_CHECK enum err_code versions_list(struct fs *fs, const char *path, size_t len,
				       struct version_list **out, struct err *e);
void versions_list_free(struct version_list *l);	/* NULL is allowed */

/** Whether some snapshot has it, the newest asked first. */
MUST_CHECK enum err_code versions_exist(struct fs *fs, const char *path, size_t len, bool *out,
					struct err *e);

#endif
