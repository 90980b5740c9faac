/* SPDX-License-Identifier: MIT */
#include "store/format/checkline.h"

#include <string.h>

#include "store/base/digest.h"

#define HEAD		"\"sha256\":\""
#define TAIL		"\"}\n"
#define CHECKLINE_LEN	(sizeof(HEAD) - 1 + ID_HEX_LEN + sizeof(TAIL) - 1)

static void checkline_make(const uint8_t *buf, size_t len, char out[CHECKLINE_LEN])
{
	char hex[ID_HEX_LEN + 1];
	struct object_id id;

	digest_sha256(buf, len, &id);
	memcpy(out, HEAD, sizeof(HEAD) - 1);
	memcpy(out + sizeof(HEAD) - 1, id_hex(&id, hex), ID_HEX_LEN);
	memcpy(out + sizeof(HEAD) - 1 + ID_HEX_LEN, TAIL, sizeof(TAIL) - 1);
}

void checkline_add(struct buf *b)
{
	char line[CHECKLINE_LEN];

	if (b->bad)
		return;
	checkline_make(b->p, b->len, line);
	buf_add(b, line, sizeof(line));
}

bool checkline_ok(const uint8_t *buf, size_t len)
{
	char line[CHECKLINE_LEN];
	size_t before;

	if (len <= CHECKLINE_LEN)
		return false;
	before = len - CHECKLINE_LEN;
	if (buf[before - 1] != '\n')
		return false;
	checkline_make(buf, before, line);
	return memcmp(buf + before, line, CHECKLINE_LEN) == 0;
}
