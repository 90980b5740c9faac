/* SPDX-License-Identifier: MIT */
/*
 * Inside a restore.  One walker (the thread that called restore_run) goes through the tree in
 * order, makes the directories and hands everything else to a pool as items.  A directory is open
 * for filling (0700 where it is new) until the last item and subdirectory in it is done:
 * rdir.pending counts them, and whoever takes it to 0 sets the directory's attributes and counts
 * its parent down.  So attributes come bottom up, without a list.
 *
 * Every path is a directory's descriptor and one name.  Locks, in order: links, fds, count.
 */
#ifndef VOUCH_STORE_RESTORE_INTERNAL_H
#define VOUCH_STORE_RESTORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>

#include "store/backup.h"
#include "store/base/pool.h"
#include "store/base/rate.h"
#include "store/format/limits.h"
#include "store/internal.h"
#include "store/restore.h"

/** Things left out, each told once with a count. */
enum restore_note {
	NOTE_OWNER,
	NOTE_SETID,
	NOTE_PRIVILEGED_XATTR,
	NOTE_DEVICE,
	NOTE_INODE_FLAGS,
	NOTE_XATTR,
	NOTE_MODE,
	NOTE_COPIED_LINK,
	NOTE_NOT_READ_BACK,
	NOTE_NR
};

#define RESTORE_TMP_LEN 15	/* ".vouch-" and 8 hex digits */

struct rdir {
	struct rdir *parent;		/* a memory reference is held */
	struct entry e;			/* its pointers are into mem */
	bool planned;			/* false: the user's own folder, left as it is */
	bool included, failed;		/* walker */
	bool made, fresh;		/* walker; they do not change once an item was submitted */
	bool absent;			/* walker: a dry run found none */
	uint64_t position;		/* walker: the entry to go on with */
	size_t path_len;		/* walker: of its path in restore.path */
	unsigned depth;
	atomic_size_t refs;		/* keeps the memory */
	atomic_size_t pending;		/* items and subdirectories not done, and the walker's own */
	int fd;				/* fds mutex; -1: closed, opened again when needed */
	unsigned users;			/* fds mutex */
	struct rdir *newer, *older;	/* fds mutex: idle open ones */
	uint8_t mem[];
};

struct link_group;

struct ritem {
	struct restore *r;
	struct rdir *dir;		/* counted in its pending */
	struct link_group *group;	/* NULL: no other name */
	struct ritem *next;		/* in link_group.waiting, or in its batch */
	uint64_t moved;			/* count mutex: of restore.moving */
	struct entry e;			/* its pointers are into mem */
	char name[NAME_LEN_MAX + 1];
	uint8_t mem[];
};

/** An inode flag that must wait until nothing more is done to the file. */
struct late_flags {
	struct late_flags *next;
	struct rdir *dir;		/* a memory reference */
	uint32_t flags;
	char name[NAME_LEN_MAX + 1];	/* "": dir itself */
};

struct restore {
	struct store *s;
	const struct restore_options *o;
	struct patterns *includes, *excludes;	/* NULL: none given */
	struct pool *pool;
	struct rdir *top;
	struct buf path;		/* walker: of the directory it is in, for the patterns */
	struct ritem *batch, **batch_end;	/* walker: not submitted yet, in order */
	unsigned batch_nr;		/* walker */
	uint64_t batch_bytes;		/* walker */
	bool is_root, special;		/* special: asked for, and root */
	bool reading_back;		/* the second pass, of verify */
	bool no_openat2;
	uint32_t tmp_base;
	atomic_uint tmp_next;
	atomic_bool stopping;
	atomic_ullong notes[NOTE_NR];

	pthread_mutex_t links;
	struct link_group **groups;	/* links mutex */
	size_t nr_buckets, nr_groups;	/* links mutex */

	pthread_mutex_t fds;
	struct rdir *newest, *oldest;	/* fds mutex */
	unsigned nr_open;		/* fds mutex */

	pthread_mutex_t count;
	struct restore_result res;	/* count mutex */
	struct err stop;		/* count mutex: the first thing that stopped all */
	uint64_t *failed;		/* count mutex: XXH3 of the paths that failed */
	size_t nr_failed, cap_failed;	/* count mutex */
	struct late_flags *late;	/* count mutex */
	struct timespec told;		/* count mutex: last progress event */
	uint64_t moving;		/* count mutex: bytes done of files that are not done */
	struct rate rate;		/* of content written, or read to compare */
	uint64_t files_total, bytes_total;
};

/* restore_tell.c: any thread. */

bool restore_stopping(struct restore *r);
/** Stop everything; the first error given is what restore_run returns. */
void restore_stop(struct restore *r, const struct err *err);
/**
 * name in dir (NULL: dir itself) could not be made whole: an event, and counted; some errors stop
 * everything. from_store: err came from reading the repository.
 */
void restore_failed(struct restore *r, struct rdir *dir, const char *name, const struct err *err,
		    bool from_store);
void restore_note(struct restore *r, enum restore_note n);
void restore_event(struct restore *r, enum event_kind kind, struct rdir *dir, const char *name,
		   const char *text);
void restore_count(struct restore *r, const struct rdir *dir);
void restore_count_item(struct ritem *it, bool unchanged);
/** len more bytes of a file are written or compared: progress; where they are data (no hole), waits for the rate's limit. */
void restore_moved(struct ritem *it, uint64_t len, bool is_data);
/** Those bytes count no more: it begins anew, or failed.  Counting the whole item does that too. */
void restore_moved_end(struct ritem *it);
void restore_tell_notes(struct restore *r);
/**
 * The path of name in dir (NULL: dir's own) relative to the target; malloc'ed, NULL without
 * memory.
 */
char *restore_path(const struct rdir *dir, const char *name);

/* restore.c */

/** The item is done: frees it and counts its directory down. */
void restore_item_done(struct ritem *it);

/* restore_dir.c */

int restore_openat(struct restore *r, int dirfd, const char *path, int flags, mode_t mode);
/** The user's own folder, or the top of the plan (what not NULL); makes the folder itself. */
MUST_CHECK enum err_code rdir_open_top(struct restore *r, const struct entry *what,
				       struct rdir **out, struct err *e);
/** A planned directory, not made yet; counted in parent. */
MUST_CHECK enum err_code rdir_new(struct restore *r, struct rdir *parent, const struct entry *ent,
				  struct rdir **out, struct err *e);
/**
 * Make it and what is above it (the read-back pass only opens). Walker only. False: failed, and
 * told.
 */
bool rdir_make(struct restore *r, struct rdir *d);
/** Its descriptor, -1 with errno; every success is followed by rdir_fd_put. */
int rdir_fd(struct restore *r, struct rdir *d);
void rdir_fd_put(struct restore *r, struct rdir *d);
void rdir_done(struct restore *r, struct rdir *d);	/* counts pending down */
void rdir_unref(struct restore *r, struct rdir *d);

/* restore_tmp.c */

/** ".vouch-1c9e0d2a", another one each time. */
void restore_tmp_name(struct restore *r, char out[RESTORE_TMP_LEN + 1]);
/** Remove what killed restores left in the folder fd, unless another restore is at work there. */
void restore_tmp_sweep(struct restore *r, int fd);
/** Others see from now on, until fd is closed, that somebody is at work there. */
void restore_tmp_share(int fd);

/* restore_file.c */

/** Walker: true where the file is so large that several jobs write it, and is taken. */
bool restore_file_parts(struct restore *r, struct ritem *it);
/** Make the file; false: failed, and told. Does not free the item. */
bool restore_regular(struct ritem *it);

/* restore_link.c */

/** Walker: true where the item waits for another name of the same file, and is taken. */
bool restore_link_wait(struct restore *r, struct ritem *it);
/** Worker: true where another name is there already, and this one was linked to it. */
bool restore_link_try(struct ritem *it);
/** Worker: the item's file is there, or failed; the names that waited are seen to. */
void restore_link_done(struct ritem *it, bool ok);
void restore_links_free(struct restore *r);
/** Make the entry itself, whatever it is, not as a link to another name. */
bool restore_make(struct ritem *it);

/* restore_other.c */

/** Symbolic links, FIFOs, devices. false: it is not there, and that was told. */
bool restore_other(struct ritem *it);

/* restore_meta.c */

/** A file by its descriptor, or (fd -1) by directory and name, never followed. */
struct meta_at {
	int fd, dirfd;
	const char *name;
	bool existing;		/* was there before: compare first, and take off what is not recorded */
	bool may_inherit;	/* an ACL may have come from the folder it is in */
};
/**
 * Owner, xattrs, mode, ACLs, times.  What cannot be set is told or noted; false where something
 * recorded is not there.
 */
bool restore_meta(struct restore *r, struct rdir *dir, const char *name, const struct entry *ent,
		  const struct meta_at *at);
/** The flags that wait for the end. */
void restore_late_flags(struct restore *r);

/* restore_verify.c */

/** Whether fd holds the item's bytes. cached: false reads past the page cache where that can be. */
MUST_CHECK enum err_code restore_same(struct ritem *it, int fd, bool cached, bool *same,
				      bool *from_store, struct err *e);
/** Job of the read-back pass. */
void restore_read_back(struct ritem *it);

#endif
