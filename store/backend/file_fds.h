/* SPDX-License-Identifier: MIT */
/*
 * A few open descriptors of files lately read.  One lives for two seconds: a file that was mended,
 * replaced or deleted behind our back is noticed after that, and a drive whose mount of ours is
 * idle can be unmounted as soon as any call (a mount looks for snapshots every two seconds) has
 * come by to close what is old.
 */
#ifndef VOUCH_BACKEND_FILE_FDS_H
#define VOUCH_BACKEND_FILE_FDS_H

#include "store/base/io.h"

struct file_fds;
struct file_fd;

MUST_CHECK enum err_code file_fds_open(const struct io *io, struct file_fds **out, struct err *e);
void file_fds_close(struct file_fds *f);	/* NULL is allowed; nothing may be referenced */

/** The entry of name, referenced, or NULL. */
struct file_fd *file_fds_find(struct file_fds *f, const char *name);
/** Hand over fd; returns its entry, referenced.  NULL: no room, fd is still the caller's. */
struct file_fd *file_fds_add(struct file_fds *f, const char *name, int fd);
int file_fd_number(const struct file_fd *d);
void file_fds_put(struct file_fds *f, struct file_fd *d);	/* drops the reference */
/** name (or all, where NULL) must be opened anew by whoever comes next. */
void file_fds_drop(struct file_fds *f, const char *name);
/** Close what has outlived its time (every call above does, too). */
void file_fds_tidy(struct file_fds *f);

#endif
