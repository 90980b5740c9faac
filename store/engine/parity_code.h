/* SPDX-License-Identifier: MIT */
/*
 * The code itself, by ISA-L: GF(2^8) with the polynomial 0x11d; parity row r of a stripe is the sum over
 * i of inverse((k + r) xor i) times symbol i (gf_gen_cauchy1_matrix).  Any k of the k + m symbols give the others.
 */
#ifndef VOUCH_ENGINE_PARITY_CODE_H
#define VOUCH_ENGINE_PARITY_CODE_H

#include <stddef.h>
#include <stdint.h>

#include "store/err.h"

struct parity_code;

/** k, m >= 1, k + m <= 255.  Any number of threads may use one. */
MUST_CHECK enum err_code parity_code_open(uint32_t k, uint32_t m, struct parity_code **out,
					  struct err *e);
void parity_code_close(struct parity_code *c);		/* NULL is allowed */

/** Add what symbol i gives to the m rows; len a multiple of 64. */
void parity_code_add(const struct parity_code *c, uint32_t i, const uint8_t *symbol, size_t len,
		     uint8_t *const *rows);

/**
 * Symbols missing[0..nr-1] of which rows[0..nr-1] are the remaining sums: sums[n] is parity row rows[n] less what
 * the symbols that are there give.  out[n] gets symbol missing[n]; sums and out do not overlap.
 */
MUST_CHECK enum err_code parity_code_solve(const struct parity_code *c, uint32_t nr,
					   const uint8_t *missing, const uint8_t *rows,
					   uint8_t *const *sums, size_t len, uint8_t *const *out,
					   struct err *e);

#endif
