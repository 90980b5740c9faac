/* SPDX-License-Identifier: MIT */
/* Walking a repository's folders. */
#ifndef VOUCH_BACKEND_FILE_LIST_H
#define VOUCH_BACKEND_FILE_LIST_H

#include "store/backend/backend.h"

/**
 * Every regular file below dirfd with a legal name; fn gets prefix in front of it.  Links are not
 * followed; what vanishes meanwhile is passed over; of "" tmp/ is left out.
 */
MUST_CHECK enum err_code file_list(const struct io *io, int dirfd, const char *prefix,
				   bool with_size, backend_list_fn *fn, void *ctx, struct err *e);

/**
 * Whether a repository may be made in the folder: empty but for what desktops and file systems
 * put everywhere, and what an interrupted create left (our own folders with no file in them,
 * README.txt).
 */
MUST_CHECK enum err_code file_list_is_free(const struct io *io, int dirfd, bool *is_free,
					   struct err *e);

#endif
