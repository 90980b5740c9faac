/* SPDX-License-Identifier: MIT */
/* Any bytes as a pack header and as a block header: as they are, and with the right check put into them. */
#include <stdlib.h>
#include <string.h>

#include "store/base/bytes.h"
#include "store/base/digest.h"
#include "store/format/block.h"
#include "store/format/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* What decodes encodes to the same bytes: the format leaves no choice. */
static void block(const uint8_t *p, size_t len)
{
	static struct chunk_desc chunks[BLOCK_CHUNKS_MAX];
	struct block_header h, again;
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;
	size_t frame_len = 0;
	enum err_code rc;

	rc = block_header_peek(p, len, &frame_len, &e);
	must(rc == ERR_OK || rc == ERR_CORRUPT);
	must(rc || frame_len <= block_header_len(BLOCK_CHUNKS_MAX));
	rc = block_header_decode(p, len, &h, chunks, &e);
	must(rc == ERR_OK || rc == ERR_CORRUPT || rc == ERR_UNSUPPORTED);
	if (rc)
		return;
	must(frame_len == len);
	must(block_header_decode(p, len, &again, NULL, NULL) == ERR_OK);
	block_header_encode(&h, chunks, &b);
	must(b.len == len && memcmp(b.p, p, len) == 0);
	buf_release(&b);
}

static void pack(const uint8_t *p, size_t len)
{
	uint8_t out[PACK_HEADER_LEN];
	struct err e = ERR_INIT;
	struct pack_header h;

	if (pack_header_decode(p, len, &h, &e)) {
		must(e.code == ERR_CORRUPT || e.code == ERR_UNSUPPORTED);
		return;
	}
	pack_header_encode(&h, out);
	must(len == sizeof(out) && memcmp(out, p, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *p = malloc(len + 1);

	must(p != NULL);
	(void)put_bytes(p, data, len);
	block(p, len);
	pack(p, len);
	if (len >= FRAME_HEAD_LEN + 8) {
		put_le64(p + len - 8, digest_xxh3(p + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN - 8));
		block(p, len);
		pack(p, len);
	}
	free(p);
	return 0;
}
