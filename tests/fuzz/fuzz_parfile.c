/* SPDX-License-Identifier: MIT */
/* Any bytes as a section of a parity file: as they are, and with magic and checksum made right. */
#include <stdlib.h>
#include <string.h>

#include "store/base/bytes.h"
#include "store/base/digest.h"
#include "store/format/limits.h"
#include "store/format/parfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void one(const uint8_t *buf)
{
	static uint64_t all[400000];
	struct par_section s;
	struct err e = ERR_INIT;
	uint8_t again[PAR_SECTOR];
	enum err_code rc = par_section_decode(buf, &s, &e);

	must(rc == ERR_OK || rc == ERR_CORRUPT || rc == ERR_UNSUPPORTED);
	must(e.code == rc);
	if (rc)
		return;
	must(s.g.pack_len >= 1 && s.g.pack_len <= PACK_LEN_MAX);
	must(s.g.k + s.g.m <= PAR_SYMBOLS_MAX && s.number < s.g.nr_sections);
	must(s.nr >= 1 && s.nr <= PAR_SECTION_CHECKS);
	must(s.first + s.nr <= s.g.nr_data + s.g.nr_parity);
	must(s.first + s.nr <= 400000);
	memcpy(all + s.first, s.checks, s.nr * sizeof(all[0]));
	par_section_encode(&s.g, &s.pack, s.number, all, again);
	must(memcmp(again, buf, PAR_SECTOR) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char magic[] = "VOUCHPAR";
	uint8_t buf[PAR_SECTOR] = { 0 };
	struct par_geometry g;
	struct rd r;

	if (len)
		memcpy(buf, data, len < sizeof(buf) ? len : sizeof(buf));
	one(buf);
	memcpy(buf, magic, 8);
	(void)put_le64(buf + PAR_SECTOR - 8, digest_xxh3(buf, PAR_SECTOR - 8));
	one(buf);
	/* The code's numbers made to follow from length and share: what is left is the rest. */
	r = rd_init(buf + 10, 14);
	(void)rd_le16(&r);
	(void)rd_le32(&r);
	if (par_geometry(rd_le64(&r), (uint32_t)(buf[10] | buf[11] << 8), &g, NULL) == ERR_OK) {
		(void)put_le32(buf + 56, g.nr_stripes);
		buf[60] = (uint8_t)g.k;
		buf[61] = (uint8_t)g.m;
		buf[8] = 1;
		(void)put_le64(buf + PAR_SECTOR - 8, digest_xxh3(buf, PAR_SECTOR - 8));
		one(buf);
	}
	return 0;
}
