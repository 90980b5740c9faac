/* SPDX-License-Identifier: MIT */
#include "tools/components/rowsum.h"

#include <inttypes.h>
#include <stdio.h>

#include "store/base/digest.h"

static uint64_t be64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

void rowsum_add_digest(struct rowsum *s, const struct object_id *sha256)
{
	uint64_t lo = be64(sha256->b + 8);

	s->lo += lo;
	s->hi += be64(sha256->b) + (s->lo < lo);	/* the carry */
	s->rows++;
}

void rowsum_add(struct rowsum *s, const void *row, size_t len)
{
	struct object_id id;

	digest_sha256(row, len, &id);
	rowsum_add_digest(s, &id);
}

void rowsum_text(const struct rowsum *s, char out[ROWSUM_TEXT_LEN + 1])
{
	(void)snprintf(out, ROWSUM_TEXT_LEN + 1, "%016" PRIx64 "%016" PRIx64, s->hi, s->lo);
}
