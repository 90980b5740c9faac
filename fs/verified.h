/* SPDX-License-Identifier: MIT */
/* When files were last found good: 64 Ki of them, the one found good longest ago of a few making room.  Any thread. */
#ifndef VOUCH_FS_VERIFIED_H
#define VOUCH_FS_VERIFIED_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "store/err.h"

struct verified;
MUST_CHECK enum err_code verified_open(struct verified **out, struct err *e);
void verified_close(struct verified *v);	/* NULL is allowed */
void verified_set(struct verified *v, uint64_t nodeid, time_t when);
bool verified_get(struct verified *v, uint64_t nodeid, time_t *when);

#endif
