/* SPDX-License-Identifier: MIT */
/*
 * FastCDC with normalised chunking (Xia et al., USENIX ATC 2016; IEEE TPDS 2020): a gear hash, a minimum that is
 * skipped, a harder mask before the average and an easier one after it.  Gear entry i is the first 8 bytes,
 * little-endian, of SHA-256("vouch gear 1" || byte i), or of HMAC-SHA-256(secret, "vouch gear 1" || byte i).
 */
#ifndef VOUCH_ENGINE_CHUNKER_H
#define VOUCH_ENGINE_CHUNKER_H

#include <stddef.h>
#include <stdint.h>

struct chunker {
	uint64_t gear[256], gear_shifted[256];
	uint64_t mask_hard, mask_easy;
	uint32_t min, avg, max;
};

/** min <= avg <= max, avg a power of two (store_params_check). secret: 32 bytes, or NULL. */
void chunker_init(struct chunker *c, uint32_t min, uint32_t avg, uint32_t max,
		  const uint8_t *secret);

/**
 * Length of the first chunk of buf.  Where len < max, buf must end where the stream
 * ends: the answer depends on nothing beyond max bytes.  Result 1 to max (0 for len 0).
 */
size_t chunker_cut(const struct chunker *c, const uint8_t *buf, size_t len);

#endif
