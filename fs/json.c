/* SPDX-License-Identifier: MIT */
#include "fs/json.h"

#include <inttypes.h>
#include <time.h>

#include "store/base/base64.h"

#define EXACT_MAX	(UINT64_C(1) << 53)	/* what a reader that keeps numbers as doubles gets right */

/* The length of the character at p, 0 where it is none (surrogates and overlong forms are none). */
static size_t utf8_len(const uint8_t *p, size_t len)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (n == 1)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))
		return 0;
	return n;
}

static bool is_utf8(const uint8_t *p, size_t len)
{
	for (size_t n; len > 0; p += n, len -= n) {
		n = utf8_len(p, len);
		if (n == 0)
			return false;
	}
	return true;
}

void json_bytes(struct buf *out, const char *key, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	if (!is_utf8(p, len)) {
		buf_printf(out, "\"%s_b64\":\"", key);
		base64_encode(p, len, out);
		buf_add_u8(out, '"');
		return;
	}
	buf_printf(out, "\"%s\":\"", key);
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '"' || p[i] == '\\') {
			buf_add_u8(out, '\\');
			buf_add_u8(out, p[i]);
		} else if (p[i] < 0x20 || p[i] == 0x7f) {
			buf_printf(out, "\\u%04x", p[i]);
		} else {
			buf_add_u8(out, p[i]);
		}
	}
	buf_add_u8(out, '"');
}

void json_u64(struct buf *out, const char *key, uint64_t v)
{
	const char *quote = v > EXACT_MAX ? "\"" : "";

	buf_printf(out, "\"%s\":%s%" PRIu64 "%s", key, quote, v, quote);
}

void json_time(struct buf *out, const char *key, const struct vtime *t)
{
	time_t sec = (time_t)t->sec;
	char text[32];
	struct tm tm;

	if (gmtime_r(&sec, &tm) && tm.tm_year >= -1900 && tm.tm_year <= 9999 - 1900 &&
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm))
		buf_printf(out, "\"%s\":\"%s.%09uZ\"", key, text, (unsigned)t->nsec);
	else
		buf_printf(out, "\"%s\":\"%" PRId64 ".%09u\"", key, t->sec, (unsigned)t->nsec);
}
