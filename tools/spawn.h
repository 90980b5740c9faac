/* SPDX-License-Identifier: MIT */
/* A program whose standard output is read, and whose end is checked. */
#ifndef VOUCH_TOOLS_SPAWN_H
#define VOUCH_TOOLS_SPAWN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "store/err.h"

struct spawn;

/**
 * Start argv[0] (looked up in PATH, no shell) with its standard output in a pipe and standard input and error as
 * they are here; no other file is open in it, no signal blocked or ignored.  ERR_FAILED: it could not be started.
 * argv must outlive the spawn.
 */
MUST_CHECK enum err_code spawn_open(char *const *argv, struct spawn **out, struct err *e);

/** Up to len bytes; *n 0 is the end of its output.  ERR_CANCELED soon after *cancel is set. */
MUST_CHECK enum err_code spawn_read(struct spawn *s, const atomic_bool *cancel, void *buf,
				    size_t len, size_t *n, struct err *e);

/** Wait until it has ended.  ERR_FAILED, with what happened, where that was not with status 0. */
MUST_CHECK enum err_code spawn_end(struct spawn *s, const atomic_bool *cancel, struct err *e);

/** One that still runs is told to end (SIGTERM, after five seconds SIGKILL).  NULL is allowed. */
void spawn_close(struct spawn *s);

/** As spawn_read, from any descriptor (standard input). */
MUST_CHECK enum err_code spawn_read_fd(int fd, const atomic_bool *cancel, void *buf, size_t len,
				       size_t *n, struct err *e);

#endif
