/* SPDX-License-Identifier: MIT */
/* The parts of vouch history. */
#ifndef VOUCH_TOOLS_HISTORY_H
#define VOUCH_TOOLS_HISTORY_H

#include "store/history.h"
#include "tools/common.h"

/** history_of.c: rows and checksum of NAME.ITEM in each snapshot; an exit status. */
int history_of(struct app *a, struct store *s, const char *what);

#endif
