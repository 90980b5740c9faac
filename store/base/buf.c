/* SPDX-License-Identifier: MIT */
#include "store/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/bytes.h"
#include "store/base/checked.h"

void buf_release(struct buf *b)
{
	free(b->p);
	*b = (struct buf)BUF_INIT;
}

uint8_t *buf_room(struct buf *b, size_t n)
{
	size_t want, cap = b->cap ? b->cap : 256;
	uint8_t *p;

	if (b->bad)
		return NULL;
	if (add_size(b->len, n, &want))
		goto bad;
	if (b->p && want <= b->cap)
		return b->p + b->len;
	while (cap < want)
		if (mul_size(cap, 2, &cap))
			goto bad;
	p = realloc(b->p, cap);
	if (!p)
		goto bad;
	b->p = p;
	b->cap = cap;
	return p + b->len;
bad:
	b->bad = true;
	return NULL;
}

void buf_add(struct buf *b, const void *from, size_t n)
{
	uint8_t *p = buf_room(b, n);

	if (!p)
		return;
	put_bytes(p, from, n);
	b->len += n;
}

void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_add_u8(struct buf *b, uint8_t v)
{
	buf_add(b, &v, 1);
}

void buf_add_le16(struct buf *b, uint16_t v)
{
	uint8_t t[2];

	put_le16(t, v);
	buf_add(b, t, sizeof(t));
}

void buf_add_le32(struct buf *b, uint32_t v)
{
	uint8_t t[4];

	put_le32(t, v);
	buf_add(b, t, sizeof(t));
}

void buf_add_le64(struct buf *b, uint64_t v)
{
	uint8_t t[8];

	put_le64(t, v);
	buf_add(b, t, sizeof(t));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n >= 0 && buf_room(b, (size_t)n + 1)) {
		(void)vsnprintf((char *)b->p + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	} else {
		b->bad = true;
	}
	va_end(again);
}
