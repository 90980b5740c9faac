/* SPDX-License-Identifier: MIT */
/* The mount, as tools/ sees it: one function. */
#ifndef VOUCH_FS_MOUNT_H
#define VOUCH_FS_MOUNT_H

#include <stdbool.h>

#include "store/err.h"
#include "store/store.h"

struct mount_options {
	const char *repository;
	const char *mountpoint;
	const char *fuse_options;	/* what -o had, comma separated, or NULL */
	bool foreground;		/* -f */
	bool by_mount;			/* mount(8) has called: its own options are among fuse_options */
};

/**
 * Opens the repository, mounts it, and (unless foreground) returns in the parent once the mount answers, the child
 * serving in the background.  In the foreground: returns when unmounted.  Errors before the mount is up are returned
 * in *e in both cases.  ERR_USAGE: a bad option or mount point.  Call it before any thread is started.
 */
MUST_CHECK enum err_code mount_run(const struct mount_options *o, const struct store_events *ev,
				   struct err *e);

#endif
