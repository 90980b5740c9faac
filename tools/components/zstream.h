/* SPDX-License-Identifier: MIT */
/* zstd over a stream of any length, pushed in at one end, its content handed on at the other: for tools that compress. */
#ifndef VOUCH_COMPONENTS_ZSTREAM_H
#define VOUCH_COMPONENTS_ZSTREAM_H

#include <stddef.h>

#include "store/err.h"

struct zstream;
typedef enum err_code zstream_sink(void *ctx, const void *buf, size_t len, struct err *e);

/** Frames in, their content to sink.  Windows are bounded at 128 MiB. */
MUST_CHECK enum err_code zstream_open(zstream_sink *sink, void *ctx, struct zstream **out, struct err *e);
/** ERR_CORRUPT: no zstd, or its checksum is wrong.  The sink's own errors. */
MUST_CHECK enum err_code zstream_push(struct zstream *z, const void *buf, size_t len, struct err *e);
/** The end of the input.  ERR_CORRUPT: there was no frame, or the last is cut short. */
MUST_CHECK enum err_code zstream_finish(const struct zstream *z, struct err *e);
void zstream_close(struct zstream *z);	/* NULL is allowed */

#endif
