/* SPDX-License-Identifier: MIT */
/* Text for people: names made safe to print, sizes, counts, times; and the numbers they type. */
#ifndef VOUCH_TOOLS_TEXT_H
#define VOUCH_TOOLS_TEXT_H

#include <stdarg.h>

#include "store/base/buf.h"
#include "store/entry.h"

#define TEXT_LEN 48		/* holds what each function below that takes out[] writes */

/**
 * Append p so that it is valid UTF-8, one line, and means the same to every terminal: control
 * characters, bytes that are not UTF-8 and characters that turn the direction of writing become
 * \n, \t, \r or \xHH; a backslash becomes two, so that the result can be read back.
 */
void text_escape(struct buf *b, const char *p, size_t len);
void text_escape_str(struct buf *b, const char *s);
/** For a sentence that may hold names already escaped: the same, but a backslash stays one. */
void text_clean_str(struct buf *b, const char *s);

/** What printf makes of it, malloc'ed and made one safe line as by text_clean_str(); NULL: out of memory. */
char *text_vline(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

/** before as it is, then s as by text_clean_str(), on standard output. */
void text_print(const char *before, const char *s);

/** The bytes of the UTF-8 character at p (1 to 4), or 0 where it is not one; *c gets the code point. */
size_t text_utf8(const char *p, size_t len, uint32_t *c);
bool text_is_utf8(const char *p, size_t len);

/** Columns on a terminal, at most: wide characters count as two, combining ones as one. */
size_t text_columns(const char *p, size_t len);

/** Append valid UTF-8, at most columns wide; what is longer loses its middle to "..". */
void text_squeeze(struct buf *b, const char *p, size_t len, size_t columns);

/**
 * Append text as a field of PostgreSQL's COPY: tab, line ends, NUL and '\' escaped, so that tabs part fields and newlines
 * rows.  In such an answer \N is NULL.
 */
void text_copy_field(struct buf *b, const char *p, size_t len);

const char *text_size(uint64_t bytes, char out[TEXT_LEN]);	/* "512 B", "1.3 GiB" */
const char *text_count(uint64_t n, char out[TEXT_LEN]);		/* "78,579" */
const char *text_duration(double seconds, char out[TEXT_LEN]);	/* "8.1 s", "2:05", "3:02:05" */
const char *text_seconds(double seconds, char out[TEXT_LEN]);	/* the same, but whole: "8 s" */
const char *text_time(struct vtime t, char out[TEXT_LEN]);	/* "2026-11-21T02:00:00Z" */
const char *text_time_ns(struct vtime t, char out[TEXT_LEN]);	/* "2026-11-21T02:00:00.000000000Z" */

/** "512", "64K", "64KiB", "1M", "1MiB", "1G": powers of 1024.  False where it is none, or too large. */
bool text_parse_size(const char *s, uint64_t *out);

/** A decimal number from min to max and nothing else. */
bool text_parse_long(const char *s, long min, long max, long *out);

/** "5%", "2.5%", "0": in thousandths, 0 to 1000. */
bool text_parse_permille(const char *s, uint32_t *out);

/** "90s", "30m", "2h", "1d": in seconds. */
bool text_parse_duration(const char *s, unsigned *out);

/** How many single edits (insert, delete, change, swap) turn a into b; for short words. */
size_t text_distance(const char *a, const char *b);

#endif
