/* SPDX-License-Identifier: MIT */
/* How much this process gets in the way of others: processor and disk. */
#ifndef VOUCH_TOOLS_PRIORITY_H
#define VOUCH_TOOLS_PRIORITY_H

#include <stdbool.h>

#include "store/err.h"

struct priority {
	bool has_nice, has_ionice;
	int nice;		/* -20 to 19, as setpriority(2) has it: not added to what it is now */
	int ionice;		/* as ioprio_set(2) has it */
};

/** "idle", "best-effort" or "best-effort:N" (0 to 7, 0 is first), in ionice(1)'s names.  False where it is none. */
bool priority_parse_ionice(const char *s, struct priority *out);

/** Of this thread and all that it starts from now on, programs too: call it before there are others. */
MUST_CHECK enum err_code priority_apply(const struct priority *p, struct err *e);

#endif
