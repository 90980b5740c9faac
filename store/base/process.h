/* SPDX-License-Identifier: MIT */
#ifndef VOUCH_BASE_PROCESS_H
#define VOUCH_BASE_PROCESS_H

#include <stdint.h>

/**
 * When the process began, in ticks since boot: with its number that names it for good.  0: there is none, or it is dead and
 * only waits to be reaped (in a container perhaps for ever), or /proc is not there.
 */
uint64_t process_ticks(uint64_t pid);

#endif
