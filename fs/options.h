/* SPDX-License-Identifier: MIT */
/* What -o says, checked. */
#ifndef VOUCH_FS_OPTIONS_H
#define VOUCH_FS_OPTIONS_H

#include <stdbool.h>

#include "store/err.h"

struct options {
	bool allow_other;
	bool noexec;
};

/** text: comma separated, or NULL.  ERR_USAGE names the option that is unknown or refused. */
MUST_CHECK enum err_code options_parse(const char *text, struct options *out, struct err *e);

/**
 * Whether this process may ask for allow_other.  ERR_USAGE says which line /etc/fuse.conf lacks; conf is that
 * file's path (a parameter for the test).  Root always may.
 */
MUST_CHECK enum err_code options_check_allow_other(const char *conf, bool root, struct err *e);

#endif
