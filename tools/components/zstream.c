/* SPDX-License-Identifier: MIT */
#include "tools/components/zstream.h"

#include <stdbool.h>
#include <stdlib.h>
#include <zstd.h>

#define WINDOW_LOG_MAX 27	/* zstd's own bound; Neo4j's level 3 uses 21 */

struct zstream {
	ZSTD_CCtx *c;		/* one of the two */
	ZSTD_DCtx *d;
	zstream_sink *sink;
	void *ctx;
	void *out;
	size_t out_len;
	bool in_frame, any;	/* a decoder: inside a frame; one was begun */
};

void zstream_close(struct zstream *z)
{
	if (!z)
		return;
	ZSTD_freeCCtx(z->c);
	ZSTD_freeDCtx(z->d);
	free(z->out);
	free(z);
}

static enum err_code open_either(bool encode, int level, zstream_sink *sink, void *ctx, struct zstream **out, struct err *e)
{
	struct zstream *z = calloc(1, sizeof(*z));
	bool ok = z != NULL;

	if (ok) {
		z->sink = sink;
		z->ctx = ctx;
		z->out_len = encode ? ZSTD_CStreamOutSize() : ZSTD_DStreamOutSize();
		z->out = malloc(z->out_len);
		ok = z->out != NULL;
	}
	if (ok && encode) {
		z->c = ZSTD_createCCtx();
		ok = z->c && !ZSTD_isError(ZSTD_CCtx_setParameter(z->c, ZSTD_c_compressionLevel, level)) &&
		     !ZSTD_isError(ZSTD_CCtx_setParameter(z->c, ZSTD_c_checksumFlag, 1));
	} else if (ok) {
		z->d = ZSTD_createDCtx();
		ok = z->d && !ZSTD_isError(ZSTD_DCtx_setParameter(z->d, ZSTD_d_windowLogMax, WINDOW_LOG_MAX));
	}
	if (!ok) {
		zstream_close(z);
		return err_set(e, ERR_NOMEM, "out of memory for zstd");
	}
	*out = z;
	return ERR_OK;
}

enum err_code zstream_open_decoder(zstream_sink *sink, void *ctx, struct zstream **out, struct err *e)
{
	return open_either(false, 0, sink, ctx, out, e);
}

enum err_code zstream_open_encoder(int level, zstream_sink *sink, void *ctx, struct zstream **out, struct err *e)
{
	return open_either(true, level, sink, ctx, out, e);
}

static enum err_code encode(struct zstream *z, const void *buf, size_t len, bool end, struct err *e)
{
	ZSTD_inBuffer in = { buf, len, 0 };
	size_t left;

	do {
		ZSTD_outBuffer to = { z->out, z->out_len, 0 };
		enum err_code rc;

		left = ZSTD_compressStream2(z->c, &to, &in, end ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return err_set(e, ERR_FAILED, "zstd: %s", ZSTD_getErrorName(left));
		rc = to.pos > 0 ? z->sink(z->ctx, z->out, to.pos, e) : ERR_OK;
		if (rc)
			return rc;
	} while (end ? left > 0 : in.pos < in.size);
	return ERR_OK;
}

static enum err_code decode(struct zstream *z, const void *buf, size_t len, struct err *e)
{
	ZSTD_inBuffer in = { buf, len, 0 };
	bool full = true;	/* the output was: there may be more of it without any input */

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

enum err_code zstream_push(struct zstream *z, const void *buf, size_t len, struct err *e)
{
	if (len == 0)
		return ERR_OK;
	return z->c ? encode(z, buf, len, false, e) : decode(z, buf, len, e);
}

enum err_code zstream_finish(struct zstream *z, struct err *e)
{
	if (z->c)
		return encode(z, NULL, 0, true, e);
	if (!z->any)
		return err_set(e, ERR_CORRUPT, "zstd: there is nothing");
	if (z->in_frame)
		return err_set(e, ERR_CORRUPT, "zstd: the frame is cut short");
	return ERR_OK;
}
