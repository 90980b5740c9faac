/* SPDX-License-Identifier: MIT */
#include "store/base/base64.h"

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const uint8_t *p, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t v = (uint32_t)p[i] << 16;
		char t[4];

		if (n > 1)
			v |= (uint32_t)p[i + 1] << 8;
		if (n > 2)
			v |= p[i + 2];
		for (size_t k = 0; k < 4; k++)
			t[k] = k > n ? '=' : digits[v >> (18 - 6 * k) & 63];
		buf_add(out, t, sizeof(t));
	}
}

bool base64_decode(const char *s, size_t len, struct buf *out)
{
	if (len % 4 != 0)
		return false;
	for (size_t i = 0; i < len; i += 4) {
		uint32_t v = 0;
		size_t n = 4;		/* digits in this group of four */
		uint8_t t[3];

		if (i + 4 == len)
			n -= (size_t)(s[i + 3] == '=') + (size_t)(s[i + 2] == '=' && s[i + 3] == '=');
		for (size_t k = 0; k < n; k++) {
			const char *d = s[i + k] ? strchr(digits, s[i + k]) : NULL;

			if (!d)
				return false;
			v |= (uint32_t)(d - digits) << (18 - 6 * k);
		}
		if (v & (n == 4 ? 0u : n == 3 ? 0xffu : 0xffffu))
			return false;	/* bits that no encoder sets */
		t[0] = (uint8_t)(v >> 16);
		t[1] = (uint8_t)(v >> 8);
		t[2] = (uint8_t)v;
		buf_add(out, t, n - 1);
	}
	return !out->bad;
}
