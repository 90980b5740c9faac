/* SPDX-License-Identifier: MIT */
/* What stat shows of an entry, and what the kernel is told of it. */
#ifndef VOUCH_FS_ATTR_H
#define VOUCH_FS_ATTR_H

#include <fuse_lowlevel.h>

#include "fs/nodes.h"

/* Seconds.  A snapshot never changes; the root's own entries come and go. */
#define TIMEOUT_FOREVER	(10.0 * 365 * 86400)
#define TIMEOUT_ROOT	1.0

void attr_of(const struct entry *ent, uint64_t nodeid, struct stat *st);

/** The type bits and st_ino alone: all that a plain readdir shows. */
void attr_brief(const struct entry *ent, uint64_t nodeid, struct stat *st);

/** An entry of a snapshot as lookup and readdirplus tell it: good for ever. */
void attr_param(const struct entry *ent, uint64_t nodeid, struct fuse_entry_param *p);

#endif
