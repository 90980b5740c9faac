/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as the end of a pack: as they are, and with the footer's lengths, check and magic made right.  The
 * first four bytes say how much of the pack lies before them.
 */
#include <stdlib.h>
#include <string.h>

#include "store/base/bytes.h"
#include "store/base/digest.h"
#include "store/format/limits.h"
#include "store/format/packtable.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void one(const uint8_t *p, size_t len, uint64_t file_len)
{
	struct packtable t = { 0 };
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;
	size_t frame_len = 0;
	uint64_t at = PACK_HEADER_LEN;
	enum err_code rc;

	if (len < PACK_FOOTER_LEN)
		return;
	rc = packtable_peek(p + len - PACK_FOOTER_LEN, file_len, &frame_len, &e);
	must(rc == ERR_OK || rc == ERR_CORRUPT || rc == ERR_INCOMPLETE);
	must(rc || frame_len <= file_len);
	rc = packtable_decode(p, len, file_len, &t, &e);
	must(rc == ERR_OK || rc == ERR_CORRUPT || rc == ERR_INCOMPLETE || rc == ERR_UNSUPPORTED);
	if (rc) {
		must(!t.blocks && !t.chunks);
		return;
	}
	must(frame_len == len);
	for (uint32_t i = 0; i < t.nr_blocks; i++) {
		const struct table_block *tb = &t.blocks[i];

		must(tb->off >= at && tb->first_chunk + tb->nr_chunks <= t.nr_chunks);
		at = tb->off + block_header_len(tb->nr_chunks) + tb->stored_len;
	}
	must(at <= file_len - len);
	packtable_encode(&t, &b);
	must(b.len == len && memcmp(b.p, p, len) == 0);
	buf_release(&b);
	packtable_release(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char magic[] = "VOUCHEND";
	struct rd r = rd_init(data, len);
	uint64_t before = rd_le32(&r);
	size_t n = rd_left(&r), footer = n - PACK_FOOTER_LEN;
	uint8_t *p = malloc(n + 1);

	must(p != NULL);
	if (n)
		memcpy(p, data + len - n, n);
	one(p, n, before + n);
	if (n >= PACK_FOOTER_LEN + FRAME_HEAD_LEN) {
		put_le32(p + 4, (uint32_t)(n - FRAME_HEAD_LEN));
		put_le64(p + footer, before + n);
		put_le32(p + footer + 8, (uint32_t)n);
		put_le32(p + footer + 12, 0);
		put_le64(p + footer + 16, digest_xxh3(p, footer + 16));
		memcpy(p + footer + 24, magic, 8);
		one(p, n, before + n);
	}
	free(p);
	return 0;
}
