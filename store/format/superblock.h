/* SPDX-License-Identifier: MIT */
/*
 * vouch.json.  A JSON object whose last line is  "sha256":"HEX"}  and a newline, HEX being the SHA-256 of all
 * the bytes before that line (`head -n -1 vouch.json | sha256sum`).  The same check line closes every small record
 * that is not named by its digest (checkline.h).
 */
#ifndef VOUCH_FORMAT_SUPERBLOCK_H
#define VOUCH_FORMAT_SUPERBLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "store/base/buf.h"
#include "store/err.h"

#define REPO_ID_LEN	16			/* bytes; 32 hex digits in text */
#define FORMAT_VERSION	1

/** They bind the writer; readers need none. */
struct store_params {
	uint32_t chunk_min, chunk_avg, chunk_max;	/* bytes; 64 KiB, 256 KiB, 1 MiB */
	uint32_t block_len;				/* bytes of plain text a block aims at; 1 MiB */
	uint32_t pack_len;				/* bytes a pack aims at; 32 MiB */
	int zstd_level;					/* 3; 1 to 19 */
	uint32_t parity;				/* thousandths of a pack; 30; 0: packs have none */
};

struct superblock {
	uint8_t id[REPO_ID_LEN];
	char created[40];		/* ISO 8601, UTC, nanoseconds */
	struct store_params params;
	bool read_only;			/* decoded: an unknown "readable" feature forbids writing */
	char read_only_why[128];	/* the feature's name */
};

void store_params_default(struct store_params *p);
/** ERR_USAGE with what is wrong: min <= avg <= max, avg a power of two, all within limits.h. */
MUST_CHECK enum err_code store_params_check(const struct store_params *p, struct err *e);

void superblock_encode(const struct superblock *s, struct buf *out);

/**
 * ERR_CORRUPT: check line, syntax, missing member.  ERR_UNSUPPORTED: a newer
 * format, or an unknown incompatible feature (named).  Unknown compatible features
 * are ignored, unknown readable ones set read_only.
 */
MUST_CHECK enum err_code superblock_decode(const uint8_t *buf, size_t len, struct superblock *s,
					   struct err *e);

/**
 * The same record with another share of parity: all else stands as it stood, members and features that are not known here
 * too.  Errors as superblock_decode; out is undefined after one.
 */
MUST_CHECK enum err_code superblock_set_parity(const uint8_t *buf, size_t len, uint32_t permille,
					       struct buf *out, struct err *e);

#endif
