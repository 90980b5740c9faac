/* SPDX-License-Identifier: MIT */
/* Any bytes as the small texts that names and records are made of: what decodes is what encoding makes. */
#include <stdlib.h>
#include <string.h>

#include "store/base/base64.h"
#include "store/base/hex.h"
#include "store/format/isotime.h"
#include "store/format/snaprec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void base64(const uint8_t *data, size_t len)
{
	struct buf plain = BUF_INIT, text = BUF_INIT;

	if (base64_decode((const char *)data, len, &plain)) {
		base64_encode(plain.p, plain.len, &text);
		must(text.len == len && (len == 0 || memcmp(text.p, data, len) == 0));
	}
	buf_reset(&plain);
	buf_reset(&text);
	base64_encode(data, len, &text);
	must(base64_decode((const char *)text.p, text.len, &plain));
	must(plain.len == len && (len == 0 || memcmp(plain.p, data, len) == 0));
	buf_release(&plain);
	buf_release(&text);
}

static void times(const char *s)
{
	char again[ISOTIME_LEN + 1];
	struct vtime t;

	if (!isotime_decode(s, &t))
		return;
	must(t.nsec < 1000000000);
	must(strcmp(isotime_encode(&t, again), s) == 0);
}

static void digits(const char *s)
{
	char again[2 * 32 + 1];
	uint8_t bytes[32];

	for (size_t n = 1; n <= sizeof(bytes); n *= 2)
		if (strlen(s) == 2 * n && hex_decode(s, 2 * n, bytes))
			must(strcmp(hex_encode(bytes, n, again), s) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *s = malloc(len + 1);

	if (!s)
		return 0;
	memcpy(s, data, len);
	s[len] = '\0';
	base64(data, len);
	times(s);
	digits(s);
	if (snaprec_name_ok(s))
		must(strlen(s) == SNAPSHOT_NAME_LEN && !strchr(s, '/'));
	free(s);
	return 0;
}
