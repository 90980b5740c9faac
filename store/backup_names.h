/* SPDX-License-Identifier: MIT */
/* The names in one folder, read whole and sorted: what is read later must not depend on the
 * folder's order. */
#ifndef VOUCH_STORE_BACKUP_NAMES_H
#define VOUCH_STORE_BACKUP_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "store/err.h"

struct names {
	const char **all; /* after names_sort: ascending by strcmp, each once */
	size_t nr;
	char *text;
	size_t text_len, text_cap;
};

void names_release(struct names *n); /* leaves it empty and usable */
MUST_CHECK enum err_code names_add(struct names *n, const char *name, struct err *e);
/** No names_add after it. */
MUST_CHECK enum err_code names_sort(struct names *n, struct err *e);
bool names_have(const struct names *n, const char *name);

/** Everything in the folder fd but "." and "..", sorted.  *sys: errno where the system stopped half
 * way, else 0. */
MUST_CHECK enum err_code names_read(struct names *n, int fd, int *sys, struct err *e);

#endif
