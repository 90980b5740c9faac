/* SPDX-License-Identifier: MIT */
/* A mounted file system: what every operation has at hand. */
#ifndef VOUCH_FS_FS_H
#define VOUCH_FS_FS_H

#include <sys/types.h>

#include "fs/log.h"
#include "fs/nodes.h"
#include "fs/snaps.h"

struct control;
struct fresh;
struct refresher;

struct fs {
	struct store *store;
	struct log *log;
	struct snaps *snaps;
	struct nodes *nodes;
	struct refresher *refresher;
	struct control *control;
	uid_t uid;		/* the mounter's: who owns the root */
	gid_t gid;
	bool no_open, no_opendir;	/* the kernel opens files, folders without asking; set by init */
	bool verify_always;	/* every read goes to the medium: open must be answered, with direct_io */
	struct fresh *fresh;	/* verify=always: opens and reads of files are its; else NULL */
	void (*up)(void *ctx);	/* called once, when the kernel has been answered for the first time */
	void *up_ctx;
};

#endif
