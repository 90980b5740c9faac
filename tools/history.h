/* SPDX-License-Identifier: MIT */
/* The parts of vouch history. */
#ifndef VOUCH_TOOLS_HISTORY_H
#define VOUCH_TOOLS_HISTORY_H

#include "store/history.h"
#include "tools/common.h"

/** Runs with memory of their own, oldest first. */
struct run_list {
	struct history_run *all;
	size_t nr, cap;
};
MUST_CHECK enum err_code run_list_read(struct store *s, struct run_list *out, struct err *e);
void run_list_release(struct run_list *l);

/** history_of.c: rows and checksum of NAME.ITEM in each snapshot; an exit status. */
int history_of(struct app *a, struct store *s, const char *what);

#endif
