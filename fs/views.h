/* SPDX-License-Identifier: MIT */
/*
 * Folders and links that no snapshot holds: made anew from each list of snapshots, immutable.
 *
 *   latest-HOST -> DATED
 *   by-type/files/session_YYYYMMDD_HHMMSS -> ../../DATED          of snapshots without components
 *   by-type/TYPE/YYYY/MM/DD/TYPE_YYYYMMDD_HHMMSS.EXT -> .../DATED/TYPE/NAME/FILE    of a component (without .EXT and
 *                          FILE where its dump is several files); TYPE-NAME_... where the snapshot is of several of
 *                          that type, failed ones too
 *
 * Names are [A-Za-z0-9._-] ('+' too in DATED), and no two of a folder differ in case alone: where they would, -ID8
 * of the snapshot is put behind (of a latest-HOST: eight digits made from the host's name).
 */
#ifndef VOUCH_FS_VIEWS_H
#define VOUCH_FS_VIEWS_H

#include <stdbool.h>
#include <stdint.h>

#include "store/entry.h"
#include "store/err.h"

struct snap_list;
struct snapshot;

/** What of a snapshot's record a view is made from; counted, shared by the lists the snapshot is in. */
struct view_parts;
MUST_CHECK enum err_code view_parts_new(const struct snapshot *s, struct view_parts **out,
					struct err *e);
struct view_parts *view_parts_get(struct view_parts *p);
void view_parts_put(struct view_parts *p);	/* NULL is allowed */

struct view_node {
	uint64_t id;		/* made from its path and target: another target is another node, so links may be cached */
	uint64_t parent;	/* NODEID_ROOT at the top */
	char *name;
	char *target;		/* of a link; NULL: a folder */
	struct vtime time;	/* of the snapshot; a folder: of the newest below */
	uint32_t nr_subdirs;
};

struct views {
	struct view_node *nodes;	/* sorted by parent, id */
	uint32_t *by_id, *by_name;	/* indices; by_name sorted by parent, name */
	uint32_t nr;
};

/** l: all but its views are in place.  local: by the local clock. */
MUST_CHECK enum err_code views_build(const struct snap_list *l, bool local, struct views **out,
				    struct err *e);
void views_free(struct views *v);		/* NULL is allowed */

/* Each: NULL where there is none. */
const struct view_node *views_by_id(const struct views *v, uint64_t id);
const struct view_node *views_child(const struct views *v, uint64_t parent, const char *name);
/** The child of parent with the lowest id above after: a listing that goes on whatever changed meanwhile. */
const struct view_node *views_next(const struct views *v, uint64_t parent, uint64_t after);

/** fn with each folder's id. */
void views_each_dir(const struct views *v, void (*fn)(void *ctx, uint64_t id), void *ctx);

#endif
