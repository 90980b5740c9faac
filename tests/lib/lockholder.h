/* SPDX-License-Identifier: MIT */
/* Another process with a POSIX lock on a file, as a database server has one on its data. */
#ifndef VOUCH_TESTS_LOCKHOLDER_H
#define VOUCH_TESTS_LOCKHOLDER_H

#include <sys/types.h>

/** The file is made where it is not there; returns when it is locked. */
pid_t lockholder_start(const char *path);
void lockholder_end(pid_t holder);

#endif
