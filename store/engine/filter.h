/* SPDX-License-Identifier: MIT */
/*
 * A set of keys that says "surely not" or "perhaps": a chain of blocked Bloom filters (Putze,
 * Sanders, Singler, JEA 2009), each twice the last, 12 bits a key, one cache line a question.  Ten
 * million keys take 16 MB, none take nothing.  One thread at a time.
 */
#ifndef VOUCH_ENGINE_FILTER_H
#define VOUCH_ENGINE_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/err.h"

struct filter;

/** Past max_bytes it stops growing, and says "perhaps" more often. */
MUST_CHECK enum err_code filter_open(size_t max_bytes, struct filter **out, struct err *e);
void filter_close(struct filter *f); /* NULL is allowed */

/** So many keys will come: one level for all of them, with one question to ask.  Before the first. */
void filter_reserve(struct filter *f, uint64_t nr);

/** Where there is no memory left, everything is "perhaps" from now on. */
void filter_add(struct filter *f, uint64_t key);
bool filter_has(const struct filter *f, uint64_t key);
size_t filter_bytes(const struct filter *f);

#endif
