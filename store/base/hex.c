/* SPDX-License-Identifier: MIT */
#include "store/base/hex.h"

char *hex_encode(const uint8_t *buf, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	char *p = out;

	for (size_t i = 0; i < len; i++) {
		*p++ = digits[buf[i] >> 4];
		*p++ = digits[buf[i] & 15];
	}
	*p = '\0';
	return out;
}

/* Upper case is refused: one object has one name, on case-blind media too. */
static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool hex_decode(const char *s, size_t nr_digits, uint8_t *out)
{
	for (size_t i = 0; i + 1 < nr_digits; i += 2) {
		int hi = digit(s[i]);
		int lo = hi < 0 ? -1 : digit(s[i + 1]);

		if (lo < 0)
			return false;
		out[i / 2] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}
