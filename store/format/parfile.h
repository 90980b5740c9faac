/* SPDX-License-Identifier: MIT */
/*
 * The parity file of a pack, packs/3f/3f9a….par: Reed-Solomon over GF(2^8), and a check of every sector.
 *
 * The pack of L bytes is N = ceil(L / 4096) sectors, the last one padded with zeros.  Sector j is symbol j / S of
 * stripe j mod S: S neighbours lie in S stripes.  A stripe has up to k data sectors (what is not there counts as
 * zeros) and m parity sectors; parity sector q is row q / S of stripe q mod S.  P = S m of them.
 *
 *    section 0 ... T-1     4096 bytes each: what the file is, and 503 checks
 *    parity  0 ... P-1     4096 bytes each
 *    section 0 ... T-1     the same bytes again
 *
 *   section:   0 magic "VOUCHPAR"   8 u8 version 1   9 zero   10 le16 permille   12 le32 its number, from 0
 *             16 le64 L   24 pack's id[32]   56 le32 S   60 u8 k   61 u8 m   62 zero[2]
 *             64 503 times le64: check of sector 503 number + n (data, then parity; zero after the last)
 *           4088 le64 XXH3-64 of bytes 0 to 4087
 *
 * All of it follows from L, the pack's bytes and permille: a parity file can be made anew with the same bytes.
 */
#ifndef VOUCH_FORMAT_PARFILE_H
#define VOUCH_FORMAT_PARFILE_H

#include <stdint.h>

#include "store/err.h"
#include "store/id.h"

#define PAR_SECTOR		4096u
#define PAR_SECTION_CHECKS	503u
#define PAR_PERMILLE_MAX	500u	/* parity in thousandths of the pack */
#define PAR_SYMBOLS_MAX		255u	/* k + m: what GF(2^8) and a Cauchy matrix of rows k.. allow, less one */

/** All that follows from a pack's length and the share. */
struct par_geometry {
	uint64_t pack_len;
	uint32_t permille;
	uint32_t nr_data;	/* N: sectors of the pack */
	uint32_t nr_stripes;	/* S */
	uint32_t nr_parity;	/* P = S m */
	uint32_t nr_sections;	/* T */
	uint32_t k, m;		/* at most 255 together */
};

/**
 * m is the share of k, at least 2: a medium's 4 KiB sector need not begin where one of ours does
 * (exFAT's clusters), so that one of its sectors may cost two of ours.  ERR_LIMIT: pack_len is 0 or over
 * PACK_LEN_MAX, or permille 0 or over PAR_PERMILLE_MAX.
 */
MUST_CHECK enum err_code par_geometry(uint64_t pack_len, uint32_t permille,
				      struct par_geometry *out, struct err *e);

uint64_t par_file_len(const struct par_geometry *g);

/** Where section i's copy (0 front, 1 back), and parity sector q, lie in the file. */
uint64_t par_section_off(const struct par_geometry *g, uint32_t i, unsigned copy);
uint64_t par_parity_off(const struct par_geometry *g, uint32_t q);

/**
 * The check of a sector of PAR_SECTOR bytes: XXH3-64 seeded with its number (data from 0, parity from N),
 * exclusive-or the pack id's first 8 bytes as le64.  par_mix is the second half of it: sectors can be summed
 * while the pack is written, before its id is known.
 */
uint64_t par_check(const struct object_id *pack, uint32_t number, const uint8_t *sector);
uint64_t par_mix(const struct object_id *pack, uint64_t sum);

/** A decoded section: the file's geometry, and which checks it holds. */
struct par_section {
	struct par_geometry g;
	struct object_id pack;
	uint32_t number;
	uint32_t first, nr;	/* sectors first ... first + nr - 1 */
	uint64_t checks[PAR_SECTION_CHECKS];
};

/** Section number i of the file; checks: of all sectors, nr_data + nr_parity of them. */
void par_section_encode(const struct par_geometry *g, const struct object_id *pack, uint32_t i,
			const uint64_t *checks, uint8_t out[PAR_SECTOR]);

/** ERR_CORRUPT: its check, magic, or a field that does not follow from the others.  ERR_UNSUPPORTED: its version. */
MUST_CHECK enum err_code par_section_decode(const uint8_t buf[PAR_SECTOR], struct par_section *out,
					    struct err *e);

#endif
