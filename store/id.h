/* SPDX-License-Identifier: MIT */
#ifndef VOUCH_STORE_ID_H
#define VOUCH_STORE_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ID_LEN 32		/* bytes of a SHA-256 */
#define ID_HEX_LEN 64		/* its text, without the NUL */

/** The name of a chunk, node, pack or snapshot: the SHA-256 of its bytes. */
struct object_id {
	uint8_t b[ID_LEN];
};

static inline bool id_eq(const struct object_id *a, const struct object_id *b)
{
	return memcmp(a->b, b->b, ID_LEN) == 0;
}

static inline int id_cmp(const struct object_id *a, const struct object_id *b)
{
	return memcmp(a->b, b->b, ID_LEN);
}

/** The same for qsort() and bsearch(). */
static inline int id_sort_cmp(const void *a, const void *b)
{
	return id_cmp((const struct object_id *)a, (const struct object_id *)b);
}

/** The first 8 bytes, big-endian: a hash-table and index key that sorts as the id does. */
static inline uint64_t id_key(const struct object_id *id)
{
	uint64_t k = 0;

	for (int i = 0; i < 8; i++)
		k = k << 8 | id->b[i];
	return k;
}

/** 64 lower-case hex digits and a NUL. Returns out. */
char *id_hex(const struct object_id *id, char out[ID_HEX_LEN + 1]);

/** Exactly 64 lower-case hex digits at s (NUL not needed); false if not. */
bool id_parse(const char *s, struct object_id *out);

#endif
