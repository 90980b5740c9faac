/* SPDX-License-Identifier: MIT */
/*
 * Files being written: tmp/HOST-PID-RANDOM, HOST eight hex digits of this machine's identity.  A
 * live writer holds a flock on its own, so that the next one can tell what is dead.
 */
#ifndef VOUCH_BACKEND_FILE_TEMP_H
#define VOUCH_BACKEND_FILE_TEMP_H

#include "store/base/io.h"

#define FILE_TEMP_NAME_LEN (8 + 1 + 10 + 1 + 16)

/** Make one below dirfd, locked while *fd is open. */
MUST_CHECK enum err_code file_temp_create(const struct io *io, int dirfd,
					  char name[FILE_TEMP_NAME_LEN + 1], int *fd,
					  struct err *e);

/**
 * Delete what dead writers left below dirfd: not locked, and either of this host with a process
 * that is gone or untouched for a minute, or of another host and untouched for a day.  Goes on
 * after a failure, and returns the first.
 */
MUST_CHECK enum err_code file_temp_sweep(const struct io *io, int dirfd, struct err *e);

#endif
