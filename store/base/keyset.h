/* SPDX-License-Identifier: MIT */
#ifndef VOUCH_BASE_KEYSET_H
#define VOUCH_BASE_KEYSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/err.h"

/** A set of 64-bit keys (digests: well spread). */
struct keyset {
	uint64_t *slots;	/* 0: empty */
	size_t nr, cap;
	bool has_zero;
};

void keyset_release(struct keyset *k);
/** ERR_NOMEM; *is_new may be NULL. */
MUST_CHECK enum err_code keyset_add(struct keyset *k, uint64_t key, bool *is_new, struct err *e);
bool keyset_has(const struct keyset *k, uint64_t key);

#endif
