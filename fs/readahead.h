/* SPDX-License-Identifier: MIT */
/* How far the kernel reads ahead in a file of the mount. */
#ifndef VOUCH_FS_READAHEAD_H
#define VOUCH_FS_READAHEAD_H

#include <stdbool.h>
#include <stddef.h>

/** Raise it for what is mounted on mountpoint (absolute), where this process may; else it stays the kernel's 128 KiB. */
void readahead_raise(const char *mountpoint);

/** "MAJOR:MINOR" of line, one of /proc/self/mountinfo's, where it is mountpoint's. */
bool readahead_device(const char *line, const char *mountpoint, char *out, size_t cap);

#endif
