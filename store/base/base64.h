/* SPDX-License-Identifier: MIT */
/* Base64 (RFC 4648, section 4): bytes that are not UTF-8, inside JSON. */
#ifndef VOUCH_BASE_BASE64_H
#define VOUCH_BASE_BASE64_H

#include "store/base/buf.h"

/** Append the text of len bytes, padded, without a NUL. */
void base64_encode(const uint8_t *p, size_t len, struct buf *out);

/**
 * Append the bytes of len characters of text.  False, and out undefined, unless
 * they are what base64_encode makes of some bytes (or where out->bad: no memory).
 */
bool base64_decode(const char *s, size_t len, struct buf *out);

#endif
