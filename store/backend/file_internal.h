/* SPDX-License-Identifier: MIT */
/* What the parts of the folder backend share. */
#ifndef VOUCH_BACKEND_FILE_INTERNAL_H
#define VOUCH_BACKEND_FILE_INTERNAL_H

#include "store/backend/backend.h"
#include "store/backend/file_fds.h"
#include "store/backend/file_list.h"
#include "store/backend/file_root.h"
#include "store/backend/file_temp.h"

struct file_backend {
	struct backend base;	/* first: a struct backend * is one of these */
	const struct io *io;
	struct file_root *root;
	struct file_fds *fds;
	bool in_memory;		/* tmpfs: there is nothing but the system's cache */
};

static inline struct file_backend *file_of(struct backend *b)
{
	return (struct file_backend *)b;
}

extern const struct backend_ops file_ops;

/* file_put.c: see backend.h. */
enum err_code file_put_begin(struct backend *base, struct backend_put **out, struct err *e);
enum err_code file_put_add(struct backend_put *p, const void *buf, size_t len, struct err *e);
enum err_code file_put_commit(struct backend_put *p, const char *name, struct err *e);
enum err_code file_put_commit_two(struct backend_put *first, const char *first_name,
				  struct backend_put *second, const char *second_name,
				  struct err *e);
enum err_code file_put_get(struct backend_put *p, uint64_t off, void *buf, size_t len, size_t *n,
			   struct err *e);
void file_put_abort(struct backend_put *p);
enum err_code file_put(struct backend *base, const char *name, const void *buf, size_t len,
		       struct err *e);

/* file_medium.c */

/** What the file system of path is, as far as reading past its cache goes: base.kind, base.behind. */
void file_medium_learn(struct file_backend *b, const char *path);
/** As io_pread_all, past the system's cache; base.cached is set where that is not possible. */
MUST_CHECK enum err_code file_medium_read(struct file_backend *b, int fd, uint64_t off, void *buf,
					  size_t len, size_t *n, struct err *e);

/** After a name got other bytes, or none. */
void file_forget(struct file_backend *b, const char *name);

#endif
