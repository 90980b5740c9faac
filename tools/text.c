/* SPDX-License-Identifier: MIT */
#include "tools/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/base/checked.h"

size_t text_utf8(const char *p, size_t len, uint32_t *c)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)p;
	uint32_t v;
	size_t n;

	if (len == 0)
		return 0;
	if (s[0] < 0x80) {
		*c = s[0];
		return 1;
	}
	n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4 || n > len)
		return 0;
	v = s[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (s[i] & 0x3fu);
	}
	if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
		return 0;
	*c = v;
	return n;
}

bool text_is_utf8(const char *p, size_t len)
{
	uint32_t c;

	for (size_t n; len > 0; p += n, len -= n) {
		n = text_utf8(p, len, &c);
		if (n == 0)
			return false;
	}
	return true;
}

/* C0, DEL, C1, line and paragraph separators, and what reorders text: a name must not draw another one. */
static bool is_unsafe(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

static void escape_bytes(struct buf *b, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		switch (p[i]) {
		case '\n':
			buf_add_str(b, "\\n");
			break;
		case '\t':
			buf_add_str(b, "\\t");
			break;
		case '\r':
			buf_add_str(b, "\\r");
			break;
		case '\\':
			buf_add_str(b, "\\\\");
			break;
		default:
			buf_printf(b, "\\x%02x", (unsigned)(unsigned char)p[i]);
		}
	}
}

static void escape(struct buf *b, const char *p, size_t len, bool keep_backslash)
{
	uint32_t c = 0;

	for (size_t n; len > 0; p += n, len -= n) {
		n = text_utf8(p, len, &c);
		if (n == 0) {
			n = 1;
			escape_bytes(b, p, n);
		} else if (is_unsafe(c) || (c == '\\' && !keep_backslash)) {
			escape_bytes(b, p, n);
		} else {
			buf_add(b, p, n);
		}
	}
}

void text_escape(struct buf *b, const char *p, size_t len)
{
	escape(b, p, len, false);
}

void text_escape_str(struct buf *b, const char *s)
{
	escape(b, s, strlen(s), false);
}

void text_clean_str(struct buf *b, const char *s)
{
	escape(b, s, strlen(s), true);
}

char *text_vline(const char *fmt, va_list ap)
{
	struct buf b = BUF_INIT;
	char *raw = NULL;

	if (vasprintf(&raw, fmt, ap) < 0)
		return NULL;
	text_clean_str(&b, raw);
	free(raw);
	buf_add_u8(&b, '\0');
	if (b.bad)
		buf_release(&b);
	return (char *)b.p;
}

void text_print(const char *before, const char *s)
{
	struct buf b = BUF_INIT;

	text_clean_str(&b, s);
	buf_add_u8(&b, '\0');
	printf("%s%s", before, b.bad ? "(out of memory)" : (const char *)b.p);
	buf_release(&b);
}

/*
 * Not wcwidth(): its answer depends on the locale, which is "C" in cron.  From U+1100 on most are
 * wide; counting a narrow one as two only shortens a line.
 */
static size_t columns_of(uint32_t c)
{
	return c < 0x1100 ? 1 : 2;
}

size_t text_columns(const char *p, size_t len)
{
	size_t columns = 0;
	uint32_t c = 0;

	for (size_t n; len > 0; p += n, len -= n) {
		n = text_utf8(p, len, &c);
		columns += n ? columns_of(c) : 1;
		n = n ? n : 1;
	}
	return columns;
}

void text_squeeze(struct buf *b, const char *p, size_t len, size_t columns)
{
	size_t total = text_columns(p, len), head, used = 0, skip;
	uint32_t c = 0;
	size_t n;

	if (total <= columns) {
		buf_add(b, p, len);
		return;
	}
	if (columns < 8)
		return;
	/* The end of a path says more than its beginning: a third for the head. */
	head = (columns - 2) / 3;
	skip = total - (columns - 2);
	while (len > 0 && (n = text_utf8(p, len, &c)) > 0 && used + columns_of(c) <= head) {
		buf_add(b, p, n);
		used += columns_of(c);
		p += n;
		len -= n;
	}
	buf_add_str(b, "..");
	/* What the head left unused is skipped too: the result may be narrower, never wider. */
	for (size_t gone = 0; len > 0 && gone < skip; p += n, len -= n) {
		n = text_utf8(p, len, &c);
		gone += n ? columns_of(c) : 1;
		n = n ? n : 1;
	}
	buf_add(b, p, len);
}

void text_copy_field(struct buf *b, const char *p, size_t len)
{
	static const char plain[] = "\t\n\r\\", escaped[] = "tnr\\0";	/* the NUL at plain's end, too */

	for (; len > 0; p++, len--) {
		const char *at = strchr(plain, *p);

		if (at)
			buf_add_u8(b, '\\');
		buf_add_u8(b, (uint8_t)(at ? escaped[at - plain] : *p));
	}
}

const char *text_size(uint64_t bytes, char out[TEXT_LEN])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes;
	size_t u = 0;

	/* 1023.95 would be printed as 1024.0. */
	while (u + 1 < ARRAY_LEN(units) && v >= 1023.95) {
		v /= 1024;
		u++;
	}
	(void)snprintf(out, TEXT_LEN, u == 0 ? "%.0f %s" : "%.1f %s", v, units[u]);
	return out;
}

const char *text_count(uint64_t n, char out[TEXT_LEN])
{
	char digits[24];
	size_t len, at = 0;

	(void)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	len = strlen(digits);
	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = '\0';
	return out;
}

const char *text_duration(double seconds, char out[TEXT_LEN])
{
	unsigned long long s;

	if (!(seconds >= 0))
		seconds = 0;
	if (seconds > 3.6e8)		/* ten thousand hours: a rate of nearly nothing */
		seconds = 3.6e8;
	if (seconds < 60) {
		(void)snprintf(out, TEXT_LEN, "%.1f s", seconds);
		return out;
	}
	s = (unsigned long long)(seconds + 0.5);
	if (s < 3600)
		(void)snprintf(out, TEXT_LEN, "%llu:%02llu", s / 60, s % 60);
	else
		(void)snprintf(out, TEXT_LEN, "%llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
	return out;
}

const char *text_seconds(double seconds, char out[TEXT_LEN])
{
	if (!(seconds >= 0 && seconds < 59.5))
		return text_duration(seconds < 60 ? 60 : seconds, out);
	(void)snprintf(out, TEXT_LEN, "%.0f s", seconds);
	return out;
}

/* Days since 1970 to a date for every int64_t of seconds; gmtime_r fails where the year leaves int. */
static void time_format(struct vtime t, bool ns, char out[TEXT_LEN])
{
	time_t sec = (time_t)t.sec;
	struct tm tm;

	if (!gmtime_r(&sec, &tm)) {
		(void)snprintf(out, TEXT_LEN, "@%lld", (long long)t.sec);
		return;
	}
	if (ns)
		(void)snprintf(out, TEXT_LEN, "%04ld-%02d-%02dT%02d:%02d:%02d.%09uZ", tm.tm_year + 1900L,
			       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			       (unsigned)t.nsec);
	else
		(void)snprintf(out, TEXT_LEN, "%04ld-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900L,
			       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

const char *text_time(struct vtime t, char out[TEXT_LEN])
{
	time_format(t, false, out);
	return out;
}

const char *text_time_ns(struct vtime t, char out[TEXT_LEN])
{
	time_format(t, true, out);
	return out;
}

bool text_parse_size(const char *s, uint64_t *out)
{
	static const char letters[] = "KMGT";
	unsigned shift = 0;
	unsigned long long v;
	const char *unit;
	uint64_t scaled;
	char *end;

	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno)
		return false;
	unit = *end ? strchr(letters, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - letters + 1);
		end++;
		if (strcasecmp(end, "iB") == 0)
			end += 2;
	}
	if (*end || mul_u64(v, (uint64_t)1 << shift, &scaled))
		return false;
	*out = scaled;
	return true;
}

bool text_parse_long(const char *s, long min, long max, long *out)
{
	char *end;
	long v;

	if (!isdigit((unsigned char)*s) && !(*s == '-' && isdigit((unsigned char)s[1])))
		return false;
	errno = 0;
	v = strtol(s, &end, 10);
	if (errno || *end || v < min || v > max)
		return false;
	*out = v;
	return true;
}

bool text_parse_permille(const char *s, uint32_t *out)
{
	uint32_t v = 0;
	int n;

	for (n = 0; n < 4 && isdigit((unsigned char)s[n]); n++)
		v = 10 * v + (uint32_t)(s[n] - '0');
	if (n == 0)
		return false;
	v *= 10;
	if (s[n] == '.' && isdigit((unsigned char)s[n + 1])) {
		v += (uint32_t)(s[n + 1] - '0');
		n += 2;
	}
	if (v > 1000 || (strcmp(s + n, "%") != 0 && !(v == 0 && s[n] == '\0')))
		return false;
	*out = v;
	return true;
}

bool text_parse_duration(const char *s, unsigned *out)
{
	static const struct {
		const char *unit;
		unsigned long seconds;
	} units[] = { { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 } };
	unsigned long n;
	char *end;

	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	n = strtoul(s, &end, 10);
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strcmp(end, units[i].unit) != 0)
			continue;
		if (errno || n > 3650ul * 86400ul / units[i].seconds)
			return false;
		*out = (unsigned)(n * units[i].seconds);
		return true;
	}
	return false;
}

#define WORD_MAX 31u		/* longest word compared; subcommands are shorter */

size_t text_distance(const char *a, const char *b)
{
	size_t d[WORD_MAX + 2][WORD_MAX + 2];
	size_t na = strlen(a), nb = strlen(b);

	if (na > WORD_MAX || nb > WORD_MAX)
		return na + nb;
	for (size_t i = 0; i <= na; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= nb; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= na; i++) {
		for (size_t j = 1; j <= nb; j++) {
			size_t least = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			if (d[i - 1][j] + 1 < least)
				least = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < least)
				least = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < least)
				least = d[i - 2][j - 2] + 1;
			d[i][j] = least;
		}
	}
	return d[na][nb];
}
