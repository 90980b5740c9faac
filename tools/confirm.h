/* SPDX-License-Identifier: MIT */
/* The moment before something is overwritten. */
#ifndef VOUCH_TOOLS_CONFIRM_H
#define VOUCH_TOOLS_CONFIRM_H

#include <stdatomic.h>

#include "tools/common.h"

#define CONFIRM_SECONDS 5

/** ERR_USAGE: nobody looks on (standard error is no terminal), and --yes was not given.  To be asked before long work. */
MUST_CHECK enum err_code confirm_possible(bool yes, struct err *e);

/** With yes nothing; else what is about to happen, counted down on the terminal.  ERR_CANCELED: ^C came. */
MUST_CHECK enum err_code confirm_countdown(struct app *a, bool yes, const char *what, const atomic_bool *cancel,
					   struct err *e);

#endif
