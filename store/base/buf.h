/* SPDX-License-Identifier: MIT */
/* A growing byte buffer.  After a failed growth it stays failed (bad), so that only the end needs a check. */
#ifndef VOUCH_BASE_BUF_H
#define VOUCH_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *p;		/* owned; free with buf_release */
	size_t len, cap;
	bool bad;		/* out of memory once: len no longer means anything */
};

#define BUF_INIT { 0 }

void buf_release(struct buf *b);		/* frees; leaves it empty and usable */
static inline void buf_reset(struct buf *b)	/* empty, memory kept */
{
	b->len = 0;
}

/** Room for n more bytes at b->p + b->len, or NULL.  Does not change len. */
uint8_t *buf_room(struct buf *b, size_t n);

void buf_add(struct buf *b, const void *from, size_t n);
void buf_add_str(struct buf *b, const char *s);
void buf_add_u8(struct buf *b, uint8_t v);
void buf_add_le16(struct buf *b, uint16_t v);
void buf_add_le32(struct buf *b, uint32_t v);
void buf_add_le64(struct buf *b, uint64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
