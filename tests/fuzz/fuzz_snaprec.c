/* SPDX-License-Identifier: MIT */
/* Any bytes as a snapshot file; what decodes is encoded again, and then stays the same. */
#include <stdlib.h>
#include <string.h>

#include "store/format/snaprec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct snapshot s, again;
	struct buf a = BUF_INIT, b = BUF_INIT;
	struct err e = ERR_INIT;

	if (snaprec_decode(data, len, &s, &e)) {
		must(e.code == ERR_CORRUPT || e.code == ERR_UNSUPPORTED);
		return 0;
	}
	must(snaprec_name_ok(s.name));
	snaprec_encode(&s, &a);
	must(!a.bad && snaprec_decode(a.p, a.len, &again, &e) == ERR_OK);
	snaprec_encode(&again, &b);
	must(a.len == b.len && memcmp(a.p, b.p, a.len) == 0);
	must(memcmp(s.name, again.name, SNAPSHOT_DATE_LEN) == 0);
	must(s.seq == again.seq && s.nr_sources == again.nr_sources);
	snapshot_release(&s);
	snapshot_release(&again);
	buf_release(&a);
	buf_release(&b);
	return 0;
}
