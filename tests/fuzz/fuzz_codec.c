/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a frame that promises a length (the first three bytes), into exactly that much memory; and any bytes
 * as a block, compressed and back.
 */
#include <stdlib.h>
#include <string.h>

#include "store/base/bytes.h"
#include "store/engine/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct codec *codecs[2];		/* levels 1 and 5: without and with a look beforehand */

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void there_and_back(struct codec *c, const uint8_t *p, size_t len)
{
	size_t cap = codec_bound(len), n = 0;
	uint8_t *frame = malloc(cap), *back = malloc(len + 1);
	enum block_codec codec;
	struct err e = ERR_INIT;

	must(frame && back);
	must(codec_compress(c, p, len, frame, cap, &n, &codec, &e) == ERR_OK);
	must(n >= 1 && n <= cap);
	must(codec_decompress(c, frame, n, back, len, &e) == ERR_OK);
	must(len == 0 || memcmp(p, back, len) == 0);
	free(back);
	free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct err e = ERR_INIT;
	size_t want;
	uint8_t *out;
	enum err_code rc;

	for (int i = 0; i < 2; i++) {
		if (!codecs[i])
			must(codec_open(i ? 5 : 1, &codecs[i], &e) == ERR_OK);
		there_and_back(codecs[i], data, len);
	}
	if (len < 3)
		return 0;
	want = (size_t)data[0] | (size_t)data[1] << 8 | (size_t)(data[2] & 15) << 16;
	out = malloc(want + 1);
	must(out != NULL);
	rc = codec_decompress(codecs[0], data + 3, len - 3, out, want, &e);
	must(rc == ERR_OK || rc == ERR_CORRUPT);
	codec_salvage(codecs[0], data + 3, len - 3, out, want);
	free(out);
	return 0;
}
