/* SPDX-License-Identifier: MIT */
#include "store/engine/chunker.h"

#include <assert.h>
#include <stdbool.h>

#include "store/base/bytes.h"
#include "store/base/digest.h"

/*
 * Bits of the hash that must be zero: two more than the average asks for before the
 * centre, two fewer after it.  Most chunks then end soon after the centre; it lies three
 * sixteenths below the average, so that the mean comes out at the average (measured, noise).
 */
#define NORMAL_BITS	2u

static const char gear_text[] = "vouch gear 1";

/*
 * nr bits, every second one from bit 62 down: bit k has seen the last k + 1 bytes, so the
 * high ones see furthest.  Not bit 63: a mask must bear being shifted up by one.
 */
static uint64_t mask_of(unsigned nr)
{
	uint64_t m = 0;

	for (unsigned i = 0; i < nr && 2 * i <= 62; i++)
		m |= (uint64_t)1 << (62 - 2 * i);
	return m;
}

void chunker_init(struct chunker *c, uint32_t min, uint32_t avg, uint32_t max,
		  const uint8_t *secret)
{
	unsigned bits = (unsigned)__builtin_ctz(avg);
	uint8_t text[sizeof(gear_text)];

	assert(min >= 1 && min <= avg && avg <= max && (avg & (avg - 1)) == 0);
	c->min = min;
	c->avg = avg;
	c->max = max;
	c->mask_hard = mask_of(bits + NORMAL_BITS);
	c->mask_easy = mask_of(bits > NORMAL_BITS ? bits - NORMAL_BITS : 0);
	(void)put_bytes(text, gear_text, sizeof(gear_text) - 1);
	for (unsigned i = 0; i < 256; i++) {
		struct object_id id;
		struct rd r;

		text[sizeof(gear_text) - 1] = (uint8_t)i;
		if (secret)
			digest_hmac(secret, 32, text, sizeof(text), &id);
		else
			digest_sha256(text, sizeof(text), &id);
		r = rd_init(id.b, ID_LEN);
		c->gear[i] = rd_le64(&r);
		c->gear_shifted[i] = c->gear[i] << 1;
	}
}

/*
 * The hash is h = (h << 1) + gear[byte].  Two bytes a step: twice[b] is twice gear[b], so that
 * after the first byte the hash stands shifted up by one, and is compared with the mask
 * shifted likewise; and the next step waits for one shift and one addition only.
 * Looks at buf[*at] up to buf[end - 1]; true where a byte ended a chunk, *at being after it.
 */
static inline bool find_cut(const struct chunker *c, const uint8_t *buf, size_t *at, size_t end,
			    uint64_t mask, uint64_t *hash)
{
	const uint64_t *one = c->gear, *twice = c->gear_shifted;
	const uint64_t mask_up = mask << 1;
	uint64_t h = *hash;
	size_t i = *at;

	for (; i + 2 <= end; i += 2) {
		uint64_t up = h << 2, first = twice[buf[i]];

		if (((up + first) & mask_up) == 0) {
			*at = i + 1;
			return true;
		}
		h = up + (first + one[buf[i + 1]]);
		if ((h & mask) == 0) {
			*at = i + 2;
			return true;
		}
	}
	if (i < end) {
		h = (h << 1) + one[buf[i++]];
		if ((h & mask) == 0) {
			*at = i;
			return true;
		}
	}
	*hash = h;
	*at = i;
	return false;
}

size_t chunker_cut(const struct chunker *c, const uint8_t *buf, size_t len)
{
	size_t end = len < c->max ? len : c->max;
	size_t centre = c->avg - c->avg / 16 * 3;
	size_t at = c->min;
	uint64_t hash = 0;

	if (end <= at)
		return end;
	if (centre > end)
		centre = end;
	if (at < centre && find_cut(c, buf, &at, centre, c->mask_hard, &hash))
		return at;
	(void)find_cut(c, buf, &at, end, c->mask_easy, &hash);
	return at;
}
