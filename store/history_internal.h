/* SPDX-License-Identifier: MIT */
/* Inside libvouch: the index's view of log/. */
#ifndef VOUCH_STORE_HISTORY_INTERNAL_H
#define VOUCH_STORE_HISTORY_INTERNAL_H

#include "store/history.h"
#include "store/internal.h"

/**
 * Where log/ is not what the index's view was made of, make it anew; with only_new just where the index has none yet,
 * which is all that an opening asks: a log grows with every run of anything.  A WARNING where there are runs and it
 * cannot be.
 */
void history_refresh(struct store *s, bool only_new);

#endif
