/* SPDX-License-Identifier: MIT */
/* What -o says, checked. */
#ifndef VOUCH_FS_OPTIONS_H
#define VOUCH_FS_OPTIONS_H

#include <stdbool.h>

#include "store/err.h"

struct options {
	bool allow_other;
	bool noexec;
	bool local_time;	/* time=local: folders are named in local time, with its offset */
	bool show_control;	/* control=visible: the root lists .vouch */
	bool no_heal;		/* heal=off: damage is EIO, and nothing is mended */
	bool verify_always;	/* verify=always: every read goes to the medium again */
};

/**
 * text: comma separated, or NULL.  ERR_USAGE names the option that is unknown or refused.  by_mount: mount(8) passes
 * them on, with its defaults among them: what says the opposite of what the mount is in any case is passed over.
 */
MUST_CHECK enum err_code options_parse(const char *text, bool by_mount, struct options *out,
				       struct err *e);

/**
 * Whether this process may ask for allow_other.  ERR_USAGE says which line /etc/fuse.conf lacks; conf is that
 * file's path (a parameter for the test).  Root always may.
 */
MUST_CHECK enum err_code options_check_allow_other(const char *conf, bool root, struct err *e);

#endif
