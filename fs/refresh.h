/* SPDX-License-Identifier: MIT */
/* A thread that looks once a second for snapshots and packs that came or went, and tells the kernel. */
#ifndef VOUCH_FS_REFRESH_H
#define VOUCH_FS_REFRESH_H

#include "store/err.h"

struct fs;
struct fuse_session;
struct refresher;

MUST_CHECK enum err_code refresher_open(struct fs *fs, struct fuse_session *se,
					struct refresher **out, struct err *e);
void refresher_close(struct refresher *r);	/* ends the thread; NULL is allowed */

/** A chunk was not found: have the store look for packs at the next turn. Never waits; NULL is allowed. */
void refresher_want_packs(struct refresher *r);

#endif
