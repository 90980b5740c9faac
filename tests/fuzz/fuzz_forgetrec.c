/* SPDX-License-Identifier: MIT */
/* Any bytes as the record of a forgotten snapshot, their closing line made right: what decodes is encoded again alike. */
#include <stdlib.h>
#include <string.h>

#include "store/format/checkline.h"
#include "store/format/forgetrec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct forgotten f, again;
	struct buf a = BUF_INIT, b = BUF_INIT;
	struct err e = ERR_INIT;

	if (!forgetrec_decode(data, len, &f, &e)) {
		must(checkline_ok(data, len));
		forgotten_release(&f);
	}
	buf_add(&a, data, len);
	checkline_add(&a);
	if (forgetrec_decode(a.p, a.len, &f, &e)) {
		must(e.code == ERR_CORRUPT || e.code == ERR_UNSUPPORTED);
		buf_release(&a);
		return 0;
	}
	forgetrec_encode(&f, &b);
	must(!b.bad && forgetrec_decode(b.p, b.len, &again, &e) == ERR_OK);
	must(strcmp(f.name, again.name) == 0 && strcmp(f.reason, again.reason) == 0);
	must(f.seq == again.seq && id_eq(&f.id, &again.id));
	forgotten_release(&f);
	forgotten_release(&again);
	buf_release(&a);
	buf_release(&b);
	return 0;
}
