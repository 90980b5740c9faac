/* SPDX-License-Identifier: MIT */
/* How the names of the repository's files begin and end. */
#ifndef VOUCH_BASE_AFFIX_H
#define VOUCH_BASE_AFFIX_H

#include <stdbool.h>
#include <string.h>

static inline bool begins(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/** With at least a byte before it. */
static inline bool ends(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return len > n && strcmp(name + len - n, suffix) == 0;
}

#endif
