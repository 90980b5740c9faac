/* SPDX-License-Identifier: MIT */
/* Signals of long work: SIGINT, SIGTERM and SIGHUP ask it to stop, SIGUSR1 how far it is. */
#ifndef VOUCH_TOOLS_SIGNALS_H
#define VOUCH_TOOLS_SIGNALS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "store/err.h"

struct progress;

/**
 * From now on a thread of its own takes them; those to stop only with stop, else they end the process as they do by
 * default.  Call it before any other thread is started (they inherit the mask), once.  A second request to stop ends
 * the process at once (unless it comes with the first), and so does the first before signals_heeded().  p must outlive signals_stop().
 */
MUST_CHECK enum err_code signals_start(struct progress *p, bool stop, struct err *e);
void signals_heeded(void);	/* what looks at signals_cancel() begins */
void signals_stop(void);	/* ends the thread; may be called without a start */

/** For the .cancel of the store's options. */
const atomic_bool *signals_cancel(void);

#endif
