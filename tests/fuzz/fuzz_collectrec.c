/* SPDX-License-Identifier: MIT */
/* Any bytes as a record of condemned packs and of a writer at work, their closing line made right: decoded, encoded, the same. */
#include <stdlib.h>
#include <string.h>

#include "store/format/checkline.h"
#include "store/format/collectrec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void condemned(const uint8_t *data, size_t len)
{
	struct condemned_rec r, again;
	struct buf a = BUF_INIT, b = BUF_INIT;
	struct err e = ERR_INIT;

	if (condemned_rec_decode(data, len, &r, &e)) {
		must(e.code == ERR_CORRUPT || e.code == ERR_UNSUPPORTED);
		return;
	}
	must(r.nr <= CONDEMNED_PACKS_MAX && checkline_ok(data, len));
	condemned_rec_encode(&r, &a);
	must(!a.bad && condemned_rec_decode(a.p, a.len, &again, NULL) == ERR_OK);
	must(again.nr == r.nr && (r.nr == 0 || memcmp(r.packs, again.packs, r.nr * sizeof(*r.packs)) == 0));
	condemned_rec_encode(&again, &b);
	must(a.len == b.len && memcmp(a.p, b.p, a.len) == 0);
	condemned_rec_release(&r);
	condemned_rec_release(&again);
	buf_release(&a);
	buf_release(&b);
}

static void writer(const uint8_t *data, size_t len)
{
	struct writer_rec r, again;
	struct buf a = BUF_INIT, b = BUF_INIT;
	struct err e = ERR_INIT;

	if (writer_rec_decode(data, len, &r, &e)) {
		must(e.code == ERR_CORRUPT || e.code == ERR_UNSUPPORTED);
		return;
	}
	must(r.nr_known <= WRITER_KNOWN_MAX && strlen(r.boot) < sizeof(r.boot));
	writer_rec_encode(&r, &a);
	must(!a.bad && writer_rec_decode(a.p, a.len, &again, NULL) == ERR_OK);
	must(again.nr_known == r.nr_known && again.pid == r.pid);
	writer_rec_encode(&again, &b);
	must(a.len == b.len && memcmp(a.p, b.p, a.len) == 0);
	writer_rec_release(&r);
	writer_rec_release(&again);
	buf_release(&a);
	buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf closed = BUF_INIT;

	condemned(data, len);
	writer(data, len);
	buf_add(&closed, data, len);
	checkline_add(&closed);
	condemned(closed.p, closed.len);
	writer(closed.p, closed.len);
	buf_release(&closed);
	return 0;
}
