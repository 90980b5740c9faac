/* SPDX-License-Identifier: MIT */
/*
 * Inside the control folder.  A node id is NODEID_CONTROL | kind << 35 | 35 bits that the kind gives a meaning.  What
 * they name never changes while it is known: a generated file's next content has another id, and so no page that the
 * kernel keeps is ever a stale one.  Entries are good for no time at all: each use of a name asks again.
 */
#ifndef VOUCH_FS_CONTROL_IMPL_H
#define VOUCH_FS_CONTROL_IMPL_H

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "fs/control.h"
#include "fs/fs.h"
#include "store/base/must.h"
#include "store/status.h"

#define KIND_SHIFT	35
#define KIND_DATA_MASK	((UINT64_C(1) << KIND_SHIFT) - 1)

enum ctl_kind {
	CTL_TOP,		/* one of the folders below, enum ctl_folder */
	CTL_SUMS,		/* SHA256SUMS/NAME: the snapshot's slot */
	CTL_MANIFEST,		/* manifest/NAME.json: the same */
	CTL_TEXT,		/* status, metrics, damage: which << 33 | generation */
	CTL_VERSION,		/* in versions/: number in the table of paths */
	CTL_KIND_NR
};

enum ctl_folder {
	FOLDER_CONTROL,
	FOLDER_SUMS,
	FOLDER_MANIFEST,
	FOLDER_SAFETY,
	FOLDER_PARTIAL,
	FOLDER_VERSIONS,	/* the last: it is a kind of its own */
	FOLDER_NR
};

/* A constant expression where its operands are. */
#define ctl_id(kind, data) \
	(NODEID_CONTROL | (uint64_t)(kind) << KIND_SHIFT | (uint64_t)(data))

static inline enum ctl_kind ctl_kind(uint64_t nodeid)
{
	return (enum ctl_kind)((nodeid & (NODEID_CONTROL - 1)) >> KIND_SHIFT);
}

static inline uint64_t ctl_data(uint64_t nodeid)
{
	return nodeid & KIND_DATA_MASK;
}

/** A request, as the parts of the folder see it. */
struct ctl {
	struct fs *fs;
	fuse_req_t req;		/* for ctl_interrupted */
};

/** Whether the caller has given up: ERR_CANCELED, with EINTR, is the answer to that. */
bool ctl_interrupted(const struct ctl *c);

/** ERR_NOT_FOUND with errno sys (ENOENT: no such name; ESTALE: it was there). */
enum err_code ctl_none(struct err *e, int sys);

/** Owner and times of everything here; mode with its type, and the rest to be filled in. */
void ctl_stat(const struct ctl *c, mode_t mode, const struct timespec *t, struct stat *st);

struct ctl_listing;
/** False where it is full: stop.  cookie: where to go on after it, from 3 on. */
bool ctl_list(struct ctl_listing *l, const char *name, uint64_t ino, mode_t mode, uint64_t cookie);
#define CTL_COOKIE_FIRST	3u	/* after "." and ".." */

/** What a kind can do; what is NULL it cannot. */
struct ctl_ops {
	/** A folder's child. ERR_NOT_FOUND by ctl_none. */
	enum err_code (*find)(const struct ctl *c, uint64_t dir, const char *name, uint64_t *out,
			      struct err *e);
	enum err_code (*stat)(const struct ctl *c, uint64_t nodeid, struct stat *st, struct err *e);
	/** Entries whose cookie is above after. */
	enum err_code (*list)(const struct ctl *c, uint64_t dir, uint64_t after,
			      struct ctl_listing *l, struct err *e);
	enum err_code (*read)(const struct ctl *c, uint64_t nodeid, uint64_t off, void *buf,
			      size_t len, size_t *n, struct err *e);
	/** The target, without a NUL, added to out. */
	enum err_code (*link)(const struct ctl *c, uint64_t nodeid, struct buf *out, struct err *e);
};

extern const struct ctl_ops ctl_sums_ops, ctl_manifest_ops, ctl_text_ops, ctl_version_ops;

/* control_snaps.c: folders with a name for each snapshot. */
struct snap_name {
	const char *suffix;	/* ".json" */
	enum ctl_kind kind;
	enum snap_kind of;	/* all but SNAP_DATED: the snapshots' own folders, and kind means nothing */
};
MUST_CHECK enum err_code snaps_find(const struct ctl *c, const struct snap_name *as,
				    const char *name, uint64_t *out, struct err *e);
MUST_CHECK enum err_code snaps_each(const struct ctl *c, const struct snap_name *as,
				    uint64_t after, struct ctl_listing *l, struct err *e);
/** The snapshot of slot in l; ESTALE where it is gone. */
MUST_CHECK enum err_code snaps_slot(const struct snap_list *l, uint64_t slot,
				    const struct snap **out, struct err *e);

/* control_text.c: files whose content is made anew when it is asked for. */
enum text { TEXT_STATUS, TEXT_METRICS, TEXT_DAMAGE, TEXT_NR };
extern const char *const text_names[TEXT_NR];
struct texts;
MUST_CHECK enum err_code texts_open(struct texts **out, struct err *e);
void texts_close(struct texts *t);
/** The node id of which, as it is now. */
MUST_CHECK enum err_code texts_now(const struct ctl *c, enum text which, uint64_t *out,
				   struct err *e);

/* control_manifest.c */
struct manifests;
MUST_CHECK enum err_code manifests_open(struct manifests **out, struct err *e);
void manifests_close(struct manifests *m);

/* control_versions.c */
struct versions;
MUST_CHECK enum err_code versions_open(struct versions **out, struct err *e);
void versions_close(struct versions *v);
/** versions/ itself: the path is "". */
#define VERSIONS_TOP	ctl_id(CTL_VERSION, 0)

/* control_damage.c */
struct damages;
MUST_CHECK enum err_code damages_open(struct damages **out, struct err *e);
void damages_close(struct damages *d);

/* control_refused.c */
struct refusals;
MUST_CHECK enum err_code refusals_open(struct refusals **out, struct err *e);
void refusals_close(struct refusals *r);
/** Another one where refusals_text() has more to say. */
uint64_t refusals_version(struct refusals *r);
/** False where there were none. */
bool refusals_text(struct refusals *r, struct buf *out);

/** "2026-11-21T02:00:00Z" */
void ctl_add_time(struct buf *out, const struct timespec *t);
/** Control bytes and backslashes as \xHH: a name must not be able to forge a line. */
void ctl_add_escaped(struct buf *out, const char *s);

/* What the generated files say. */
void status_text(const struct ctl *c, struct buf *out);
void metrics_text(const struct ctl *c, struct buf *out);
MUST_CHECK enum err_code damage_text(const struct ctl *c, struct buf *out, struct err *e);

/* What was told of: of the control folder, under its own mutex. */
struct medium {
	bool there;
	struct timespec since;	/* wall clock; when there became what it is */
	char why[256];		/* where it is not */
};

struct control {
	bool listed;
	struct timespec began;
	struct texts *texts;
	struct manifests *manifests;
	struct versions *versions;
	struct damages *damages;
	struct refusals *refusals;
	pthread_mutex_t mutex;
	struct medium medium;	/* mutex */
	bool has_checked;	/* mutex, as the next two */
	struct status_checked checked;
	int64_t checked_at;	/* monotonic seconds: when it was read */
};

/** What the log says was verified, read again once a minute; false where it never could be. */
bool control_checked(const struct ctl *c, struct status_checked *out);

struct medium control_medium_now(struct control *c);

#endif
