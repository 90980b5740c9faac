/* SPDX-License-Identifier: MIT */
#include "tools/components/zstream.h"

#include <stdbool.h>
#include <stdlib.h>
#include <zstd.h>

#define WINDOW_LOG_MAX 27	/* zstd's own bound; Neo4j's level 3 uses 21 */

struct zstream {
	ZSTD_DCtx *d;
	zstream_sink *sink;
	void *ctx;
	void *out;
	size_t out_len;
	bool in_frame, any;	/* inside a frame; one was begun */
};

void zstream_close(struct zstream *z)
{
	if (!z)
		return;
	ZSTD_freeDCtx(z->d);
	free(z->out);
	free(z);
}

enum err_code zstream_open(zstream_sink *sink, void *ctx, struct zstream **out, struct err *e)
{
	struct zstream *z = calloc(1, sizeof(*z));

	if (!z)
		return err_set(e, ERR_NOMEM, "out of memory for zstd");
	z->sink = sink;
	z->ctx = ctx;
	z->out_len = ZSTD_DStreamOutSize();
	z->out = malloc(z->out_len);
	z->d = ZSTD_createDCtx();
	if (!z->out || !z->d || ZSTD_isError(ZSTD_DCtx_setParameter(z->d, ZSTD_d_windowLogMax, WINDOW_LOG_MAX))) {
		zstream_close(z);
		return err_set(e, ERR_NOMEM, "out of memory for zstd");
	}
	*out = z;
	return ERR_OK;
}

enum err_code zstream_push(struct zstream *z, const void *buf, size_t len, struct err *e)
{
	ZSTD_inBuffer in = { buf, len, 0 };
	bool full = len > 0;	/* the output was: there may be more of it without any input */

	while (in.pos < in.size || (full && z->in_frame)) {
		ZSTD_outBuffer to = { z->out, z->out_len, 0 };
		size_t left = ZSTD_decompressStream(z->d, &to, &in);
		enum err_code rc;

		if (ZSTD_isError(left))
			return err_set(e, ERR_CORRUPT, "zstd: %s", ZSTD_getErrorName(left));
		z->any = true;
		z->in_frame = left != 0;
		full = to.pos == to.size;
		rc = to.pos > 0 ? z->sink(z->ctx, z->out, to.pos, e) : ERR_OK;
		if (rc)
			return rc;
	}
	return ERR_OK;
}

enum err_code zstream_finish(const struct zstream *z, struct err *e)
{
	if (!z->any)
		return err_set(e, ERR_CORRUPT, "zstd: there is nothing");
	if (z->in_frame)
		return err_set(e, ERR_CORRUPT, "zstd: the frame is cut short");
	return ERR_OK;
}
