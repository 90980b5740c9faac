/* SPDX-License-Identifier: MIT */
/*
 * What the files of a backup share.  The walker's thread owns all of it; other threads see only
 * batches (backup_batch_internal.h).
 *
 *   backup.c         options, parent snapshot, the end: publish
 *   backup_plan.c    the user's sources as a tree of names
 *   backup_walk.c    directories in order, one entry after the other
 *   backup_visit.c   one of them that is no folder
 *   backup_read.c    a file's or a stream's content
 *   backup_meta.c    stat, owners; backup_xattr.c: extended attributes
 *   backup_skip.c    what is never backed up
 *   backup_parent.c  the last snapshot's tree beside the source
 */
#ifndef VOUCH_STORE_BACKUP_INTERNAL_H
#define VOUCH_STORE_BACKUP_INTERNAL_H

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "store/backup.h"
#include "store/backup_batch_internal.h"
#include "store/base/buf.h"
#include "store/base/rate.h"
#include "store/engine/chunker.h"
#include "store/format/limits.h"
#include "store/format/node.h"
#include "store/heartbeat_internal.h"
#include "store/internal.h"
#include "store/tree.h"

#define INLINE_WRITE_MAX   64u	      /* bytes of a file kept in its entry */
#define UNSETTLED_NS	   2000000000 /* FAT keeps times to two seconds */
#define BACKUP_STATX_MASK  STATX_BASIC_STATS
#define BACKUP_STATX_FLAGS (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)

/** A name the user asked for, or a folder on the way to one.  Kids are sorted by name (memcmp). */
struct plan {
	char *name;
	struct plan **kids;
	size_t nr_kids, cap_kids;
	bool whole;   /* a source: all that is in it */
	bool is_real; /* a source lies here or below; else only streams do */
	const struct backup_stream *stream;
};

struct owner_cache;
struct skips;

struct backup {
	struct store *s;
	const struct backup_options *o;
	struct backup_result *res;
	struct heartbeat *heart;	/* NULL in a dry run */
	struct patterns *excludes;
	struct skips *skips;
	struct owner_cache *owners;
	struct links *links;
	struct plan *plan;
	char **names; /* the sources, as the snapshot lists them */
	size_t nr_names;
	char *base; /* real path of -C; "/" without */
	bool has_parent;
	struct object_id parent; /* root node of the snapshot to compare with */
	struct pipeline *pipe;	 /* NULL in a dry run */
	struct chunker chunker;
	struct buf path;   /* of the current entry in the file system, NUL-terminated */
	size_t path_root;  /* where in it the name within the snapshot begins */
	struct buf xattrs; /* scratch: the current entry's */
	uint64_t sources_read;
	uint64_t in_file; /* bytes read of the current file: for PROGRESS */
	uint64_t next_progress_ns;
	struct rate rate;	 /* of reading content */
	struct totals last_time; /* of the parent: a guess at how much there is */
};

/* backup.c */

/** ERR_CANCELED once the user has asked to stop. */
MUST_CHECK enum err_code backup_canceled(const struct backup *b, struct err *e);
/** At most ten times a second. */
void backup_progress(struct backup *b);
/** For tests, which change a file while it is read: 0 tells of each piece of it. */
extern uint64_t backup_progress_ns;
/** A WARNING about the current path, counted as an error. sys: errno, or 0. */
void backup_warn(struct backup *b, int sys, const char *fmt, ...) PRINTF_LIKE(3, 4);
/** A NOTE about the current path; counted as skipped. */
void backup_skipped(struct backup *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
const char *backup_path(const struct backup *b);

/* backup_plan.c */

/** Resolves o->sources and o->streams into b->plan, b->names, b->base. */
MUST_CHECK enum err_code backup_plan(struct backup *b, struct err *e);
void plan_free(struct plan *p);
/** NULL for none; p may be NULL. */
const struct plan *plan_kid(const struct plan *p, const char *name);

/* backup_walk.c */
MUST_CHECK enum err_code backup_walk(struct backup *b, struct err *e);

/* backup_parent.c */

/** Where the walk stands in one directory of the parent snapshot. */
struct old_dir {
	bool open;
	struct {
		const struct node *node;
		void *pin;
		uint32_t at;
	} path[NODE_LEVEL_MAX + 1];
	unsigned depth; /* entries of path in use; 0: at the end */
};

/** The directory with this node; where it cannot be read the result is as if it were empty. */
void old_dir_open(struct backup *b, const struct object_id *dir, struct old_dir *d);
/**
 * The entry called name; names must be asked for in ascending order.  Views into d, good until
 * its next use.
 */
bool old_dir_find(struct backup *b, struct old_dir *d, const char *name, size_t name_len,
		  struct entry *out);
void old_dir_close(struct backup *b, struct old_dir *d);

/** Whether ent's content, unread, can stand for the file that st describes. */
bool old_is_unchanged(const struct entry *ent, const struct statx *st);
/** Whether all of the chunks it names are in the repository. */
bool old_is_here(struct backup *b, const struct entry *ent);

/* backup_meta.c */
MUST_CHECK enum err_code owner_cache_open(struct owner_cache **out, struct err *e);
void owner_cache_close(struct owner_cache *c);

/** Everything of ent that st tells, and the owners' names. */
MUST_CHECK enum err_code meta_from_stat(struct backup *b, const struct statx *st, struct entry *ent,
					struct err *e);
uint64_t meta_dev(const struct statx *st);
bool meta_same(const struct statx *a, const struct statx *b); /* nothing changed between the two */

/** What extended attributes are read from: fd where it is open for reading, else dirfd and name. */
struct meta_at {
	int fd, dirfd;
	const char *name;
};
/** Adds xattrs to ent (views into b->xattrs).  What cannot be read is warned of. */
MUST_CHECK enum err_code meta_xattrs(struct backup *b, const struct meta_at *at, struct entry *ent,
				     struct err *e);
/** The flags statx does not tell, where the file system has them (NOCOW on btrfs). */
void meta_ioctl_flags(int fd, struct entry *ent);
/** Whether fd lies on such a file system; asked only where it is not its folder's (up, or NULL). */
bool meta_has_iflags(int fd, const struct statx *up, const struct statx *st, bool up_has);
uint64_t meta_now_ns(void);
/** For tests, which cannot wait until what they have just written is two seconds old. */
extern int64_t meta_clock_shift_ns;
/** Whether the file was touched so close to [from, now] that an equal stat later proves nothing. */
bool meta_is_unsettled(const struct statx *st, uint64_t from_ns);

/* backup_read.c */

struct source_file {
	int dirfd;
	const char *name;
	size_t name_len;
	const struct statx *st;
	bool has_iflags; /* a file system with inode flags that only an ioctl tells */
};

/** Into the pipeline; *kept: it became an entry.  What goes wrong with the file is told, not
 * returned. */
MUST_CHECK enum err_code read_file(struct backup *b, const struct source_file *f, bool *kept,
				   struct err *e);
MUST_CHECK enum err_code read_stream(struct backup *b, const struct backup_stream *s,
				     const char *name, struct err *e);
/** A regular file's entry that needs no reading, remembered where it has more names. */
MUST_CHECK enum err_code read_emit(struct backup *b, enum step_kind kind, bool whole,
				   const struct entry *ent, struct err *e);

/* backup_visit.c */

/** A regular file; old: what the parent snapshot has under its path, or NULL. */
MUST_CHECK enum err_code visit_file(struct backup *b, const struct source_file *f,
				    const struct entry *old, bool *kept, struct err *e);
/** A link, device or FIFO. */
MUST_CHECK enum err_code visit_other(struct backup *b, const struct source_file *f, bool *kept,
				     struct err *e);

/* backup_skip.c */

MUST_CHECK enum err_code skips_open(struct store *s, struct skips **out, struct err *e);
void skips_close(struct skips *k);
/** The name of the file system with this device that is never backed up ("proc"), or NULL. */
const char *skips_pseudo(struct skips *k, const struct statx *st);
bool skips_is_repository(const struct skips *k, const struct statx *st);
/** Whether the folder holds a CACHEDIR.TAG that says so. */
bool skips_is_cache(int dirfd);

#endif
