/* SPDX-License-Identifier: MIT */
/*
 * A checksum of a table that does not depend on the order of its rows: how many, and the sum modulo 2^128 of the first
 * 128 bits of the SHA-256 of each row's bytes as the dump has them (a COPY line, an INSERT tuple).  It survives a dump
 * and restore, and a row that is there twice counts twice.  No accident makes two tables alike that are not; somebody who
 * may choose many rows can (a sum is no signature).
 */
#ifndef VOUCH_COMPONENTS_ROWSUM_H
#define VOUCH_COMPONENTS_ROWSUM_H

#include <stddef.h>
#include <stdint.h>

#include "store/id.h"

struct rowsum {
	uint64_t rows, hi, lo;
};
#define ROWSUM_TEXT_LEN 32

void rowsum_add(struct rowsum *s, const void *row, size_t len);
void rowsum_add_digest(struct rowsum *s, const struct object_id *sha256);	/* of a row that was hashed in pieces */
void rowsum_text(const struct rowsum *s, char out[ROWSUM_TEXT_LEN + 1]);	/* 32 hex digits */

#endif
