/* SPDX-License-Identifier: MIT */
/*
 * SHA-256's compression function (FIPS 180-4, 6.2.2) for sixteen messages at once, each in its
 * own 32 bits of the registers of AVX-512, and for one by the x86 SHA instructions.
 *
 * Two interleaved messages through the SHA instructions were tried first: on Ice Lake they take as
 * long as one after the other; SHA256MSG1 and SHA256MSG2, which hardly overlap there, are the
 * likely cause.  Sixteen in AVX-512 take a little over a third of that.
 */
#ifndef VOUCH_BASE_SHA256X16_H
#define VOUCH_BASE_SHA256X16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_BLOCK 64u /* bytes */
#define SHA256_LANES 16u

/** Sixteen hash values: word i of lane n is h[i][n]. */
struct sha256x16 {
	uint32_t h[8][SHA256_LANES];
};

/** FIPS 180-4, 5.3.3: what a hash value begins with. */
extern const uint32_t sha256_begin[8];

/** Whether this processor and system can do both; where not, nothing below may be called. */
bool sha256x16_usable(void);

/** Each lane takes in nr blocks from p[lane], of any alignment; two lanes may read the same. */
void sha256x16_add(struct sha256x16 *s, const uint8_t *const p[SHA256_LANES], size_t nr);

/** One hash value takes in nr blocks at p. */
void sha256x16_one(uint32_t h[8], const uint8_t *p, size_t nr);

#endif
