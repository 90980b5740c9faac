/* SPDX-License-Identifier: MIT */
/*
 * Bounded reading and writing of little-endian records.  A reader that runs
 * past its end stays failed: every later get returns 0 and rd_end() tells.
 */
#ifndef VOUCH_BASE_BYTES_H
#define VOUCH_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rd {
	const uint8_t *p, *end;
	bool bad;
};

static inline struct rd rd_init(const void *buf, size_t len)
{
	const uint8_t *p = buf;

	/* NULL and 0 are an empty record; adding even 0 to NULL is undefined */
	return (struct rd){ .p = p, .end = len ? p + len : p, .bad = false };
}

static inline size_t rd_left(const struct rd *r)
{
	return r->bad ? 0 : (size_t)(r->end - r->p);
}

/** True when nothing failed and nothing is left over. */
static inline bool rd_end(const struct rd *r)
{
	return !r->bad && r->p == r->end;
}

/** A view of the next n bytes, or NULL. */
static inline const uint8_t *rd_take(struct rd *r, size_t n)
{
	const uint8_t *at = r->p;

	if (r->bad || n > (size_t)(r->end - r->p)) {
		r->bad = true;
		return NULL;
	}
	r->p += n;
	return at;
}

static inline uint8_t rd_u8(struct rd *r)
{
	const uint8_t *b = rd_take(r, 1);

	return b ? b[0] : 0;
}

static inline uint16_t rd_le16(struct rd *r)
{
	const uint8_t *b = rd_take(r, 2);

	if (!b)
		return 0;
	return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t rd_le32(struct rd *r)
{
	const uint8_t *b = rd_take(r, 4);

	return !b ? 0 : (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
			(uint32_t)b[3] << 24;
}

static inline uint64_t rd_le64(struct rd *r)
{
	const uint8_t *b = rd_take(r, 8);
	uint64_t v = 0;

	for (int i = 7; b && i >= 0; i--)
		v = v << 8 | b[i];
	return v;
}

/** Copy n bytes out; zeros where they are not there. */
static inline void rd_copy(struct rd *r, void *out, size_t n)
{
	const uint8_t *b = rd_take(r, n);

	if (b)
		memcpy(out, b, n);
	else
		memset(out, 0, n);
}

/* Writers: the caller has made room; each returns the place after. */
static inline uint8_t *put_bytes(uint8_t *p, const void *from, size_t n)
{
	if (n)
		memcpy(p, from, n);
	return p + n;
}

static inline uint8_t *put_u8(uint8_t *p, uint8_t v)
{
	*p = v;
	return p + 1;
}

static inline uint8_t *put_le16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	return p + 2;
}

static inline uint8_t *put_le32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
	return p + 4;
}

static inline uint8_t *put_le64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
	return p + 8;
}

#endif
