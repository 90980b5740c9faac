/* SPDX-License-Identifier: MIT */
/* Any bytes as vouch.json: as they are, and with the right check line put after them. */
#include <stdlib.h>
#include <string.h>

#include "store/format/checkline.h"
#include "store/format/superblock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void one(const uint8_t *p, size_t len)
{
	struct superblock s, again;
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;

	if (superblock_decode(p, len, &s, &e)) {
		must(e.code == ERR_CORRUPT || e.code == ERR_UNSUPPORTED);
		return;
	}
	must(store_params_check(&s.params, NULL) == ERR_OK);
	superblock_encode(&s, &b);
	must(superblock_decode(b.p, b.len, &again, NULL) == ERR_OK);
	must(memcmp(s.id, again.id, REPO_ID_LEN) == 0 && strcmp(s.created, again.created) == 0);
	must(memcmp(&s.params, &again.params, sizeof(s.params)) == 0);
	buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char line[] = "\n\"sha256\":\"";
	const uint8_t *at = len ? memmem(data, len, line, sizeof(line) - 1) : NULL;
	struct buf b = BUF_INIT;

	one(data, len);
	/* a seed's own check line is taken off, and made anew */
	buf_add(&b, data, at ? (size_t)(at + 1 - data) : len);
	checkline_add(&b);
	one(b.p, b.len);
	buf_release(&b);
	return 0;
}
