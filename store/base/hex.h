/* SPDX-License-Identifier: MIT */
#ifndef VOUCH_BASE_HEX_H
#define VOUCH_BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Write 2 * len lower-case digits and a NUL to out; returns out. */
char *hex_encode(const uint8_t *buf, size_t len, char *out);

/** Read nr_digits (even) lower-case digits into nr_digits / 2 bytes; false, and out undefined, if one is not. */
bool hex_decode(const char *s, size_t nr_digits, uint8_t *out);

#endif
