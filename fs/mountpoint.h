/* SPDX-License-Identifier: MIT */
/* Whether a mount can be made there, said in a way that tells the user what to do. */
#ifndef VOUCH_FS_MOUNTPOINT_H
#define VOUCH_FS_MOUNTPOINT_H

#include "store/err.h"

/**
 * *out: path made absolute (the caller frees it).  ERR_USAGE: it is not there, no folder, a mount already, not this
 * user's to mount on, or it is, holds, or lies in the repository.
 */
MUST_CHECK enum err_code mountpoint_check(const char *path, const char *repository, char **out,
					  struct err *e);

#endif
