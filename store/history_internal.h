/* SPDX-License-Identifier: MIT */
/* Inside libvouch: the index's view of log/. */
#ifndef VOUCH_STORE_HISTORY_INTERNAL_H
#define VOUCH_STORE_HISTORY_INTERNAL_H

#include "store/history.h"
#include "store/internal.h"

/** Where log/ is not what the index's view was made of, make it anew.  A WARNING where it cannot be. */
void history_refresh(struct store *s);

#endif
