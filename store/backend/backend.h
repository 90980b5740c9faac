/* SPDX-License-Identifier: MIT */
/*
 * Where a repository's files lie: a folder today, an object store later.  Names are repository-relative
 * ("packs/3f/3f9a….pack"), made of [A-Za-z0-9._-] and '/'.  Every call may be made by any thread.
 * Missing is ERR_NOT_FOUND; ERR_ABSENT where the whole repository is gone (drive pulled); ERR_IO otherwise.
 */
#ifndef VOUCH_BACKEND_BACKEND_H
#define VOUCH_BACKEND_BACKEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/buf.h"
#include "store/base/io.h"
#include "store/err.h"

struct backend;
struct backend_put;

/** One name found by a listing; return false to stop. */
typedef bool backend_list_fn(void *ctx, const char *name, uint64_t size);

struct backend_ops {
	/** Read up to len bytes at off; *n is short only at the object's end. */
	enum err_code (*get)(struct backend *b, const char *name, uint64_t off, void *buf,
			     size_t len, size_t *n, struct err *e);
	enum err_code (*size)(struct backend *b, const char *name, uint64_t *size, struct err *e);
	/**
	 * Every object below prefix ("packs/", "snapshots/", "" for all), in any order; names
	 * that are not legal here (rsync's temporaries, litter) are passed over.  Sizes are
	 * asked for only where with_size, else 0.  A prefix that is not there lists nothing.
	 */
	enum err_code (*list)(struct backend *b, const char *prefix, bool with_size,
			      backend_list_fn *fn, void *ctx, struct err *e);
	/** Whole and durable, or as it was. Replaces. */
	enum err_code (*put)(struct backend *b, const char *name, const void *buf, size_t len,
			     struct err *e);
	/** A large object piece by piece, its name known at the end. */
	enum err_code (*put_begin)(struct backend *b, struct backend_put **out, struct err *e);
	enum err_code (*put_add)(struct backend_put *p, const void *buf, size_t len, struct err *e);
	/** Durable under name when it returns ERR_OK.  Frees p in every case. */
	enum err_code (*put_commit)(struct backend_put *p, const char *name, struct err *e);
	/** Two at once, for less than each alone: first has its name before second.  Both durable on ERR_OK; frees both. */
	enum err_code (*put_commit_two)(struct backend_put *first, const char *first_name,
					struct backend_put *second, const char *second_name,
					struct err *e);
	/** What was put so far, read back; as get: where fresh, it is on the medium first. */
	enum err_code (*put_get)(struct backend_put *p, uint64_t off, void *buf, size_t len,
				 size_t *n, struct err *e);
	void (*put_abort)(struct backend_put *p);		/* NULL is allowed */
	/**
	 * What names there are in the folder prefix ("snapshots/", "packs/3f/") by now, whoever made
	 * or removed them, is durable when it returns ERR_OK: somebody may have been killed between
	 * the two.  For who counts on a name, or on its absence, that he did not make.  A folder
	 * that is not there is ERR_OK.
	 */
	enum err_code (*settle)(struct backend *b, const char *prefix, struct err *e);
	/** Append a line's worth of bytes (log/), in one write, and sync. */
	enum err_code (*append)(struct backend *b, const char *name, const void *buf, size_t len,
				struct err *e);
	enum err_code (*remove)(struct backend *b, const char *name, struct err *e);
	/** Free and total bytes of the medium; ERR_UNSUPPORTED where that has no meaning. */
	enum err_code (*space)(struct backend *b, uint64_t *free_bytes, uint64_t *total_bytes,
			       struct err *e);
	/** Delete what dead writers of this host left in tmp/ (live ones hold a flock on theirs). */
	enum err_code (*sweep)(struct backend *b, struct err *e);
	void (*close)(struct backend *b);
};

struct backend {
	const struct backend_ops *ops;
	bool read_only;			/* the medium cannot be written */
	bool fresh;			/* get reads past the system's cache; set before other threads read */
	atomic_bool cached;		/* fresh, and yet some get had to come from the system's cache */
	const char *kind;		/* "ext4", "fuse"; NULL: not known */
	const char *behind;		/* that kind, where it has a cache of its own that get cannot pass; else NULL */
};

/**
 * A folder.  create: make it (0700) and its subfolders; it may exist if empty.  Else
 * it must hold vouch.json or copies/vouch.json: ERR_ABSENT where the path is not there or an empty
 * mount point, ERR_NOT_FOUND where it is there and is no repository.  read_only is
 * set where it cannot be written; want_write then makes that an ERR_IO with EROFS or EACCES.
 */
MUST_CHECK enum err_code file_backend_open(const char *path, bool create, bool want_write,
					   const struct io *io, struct backend **out,
					   struct err *e);

/**
 * Once, after fresh was set: where it has a cache behind it, that goes, if that is possible (a FUSE file system on a
 * block device that may be opened: root).  True: while !cached, what get reads from now on was on the medium at this
 * moment, or was written later.
 */
bool file_backend_flush(struct backend *b);

/** The folder's path and its (st_dev, st_ino), so that a backup skips it; NULL for others than folders. */
const char *file_backend_path(const struct backend *b);

#endif
