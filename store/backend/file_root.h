/* SPDX-License-Identifier: MIT */
/*
 * The folder a repository lies in.  It is opened by its path for each use and closed again, so that
 * a drive can be unmounted while a mount of the repository is idle, and is found again when it is
 * plugged in again.  What is at the path is compared with what was there: nothing is written to the
 * empty mount point of a drive that has gone, or to another drive in its place.
 */
#ifndef VOUCH_BACKEND_FILE_ROOT_H
#define VOUCH_BACKEND_FILE_ROOT_H

#include <stdbool.h>
#include <stddef.h>

#include "store/base/io.h"
#include "store/err.h"

#define FILE_NAME_MAX 255u	/* bytes of a repository-relative name */

struct file_root;

/** path is absolute, and there.  It is known again by its vouch.json, where it has one. */
MUST_CHECK enum err_code file_root_open(const struct io *io, const char *path,
					struct file_root **out, struct err *e);
void file_root_close(struct file_root *r);	/* NULL is allowed */
const char *file_root_path(const struct file_root *r);

/** A descriptor of the folder, the caller's to close.  ERR_ABSENT: gone, or another is there. */
MUST_CHECK enum err_code file_root_get(struct file_root *r, int *fd, struct err *e);

/** vouch.json was written through us: know the folder by it from now on. */
void file_root_learn(struct file_root *r);

/**
 * A descriptor (the caller's to close) of the folder that name lies in, and in *last name's last
 * component.  No link is followed on the way.  create: folders on the way are made, durably.
 * ERR_USAGE: name is not legal.  ERR_NOT_FOUND: a folder on the way is not there.
 */
MUST_CHECK enum err_code file_root_dir(struct file_root *r, const char *name, bool create,
				       int *dirfd, const char **last, struct err *e);

/** [A-Za-z0-9._-], not beginning with a dot. */
bool file_component_ok(const char *s, size_t len);
/** Such components, joined by '/', FILE_NAME_MAX bytes at most. */
bool file_name_ok(const char *name);

/**
 * For a system call's failure on something in the folder: ERR_NOT_FOUND, ERR_ABSENT, ERR_CORRUPT (a
 * link, say) or ERR_IO.
 */
enum err_code file_root_err(struct file_root *r, int sys, const char *what, const char *name,
			    struct err *e);

/**
 * What a failure to write is to be called: ERR_ABSENT, and e says so, where the folder is not there any more; else rc, e
 * as it was.
 */
enum err_code file_root_lost(struct file_root *r, enum err_code rc, struct err *e);

#endif
