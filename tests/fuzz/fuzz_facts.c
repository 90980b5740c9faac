/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as facts.json: what is taken is written, and then taken again alike; and compared with itself nothing differs.
 * With: tools/components/facts.c tools/components/facts_compare.c tools/text.c
 */
#include <stdlib.h>
#include <string.h>

#include "tools/components/facts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void see(void *ctx, const struct facts_row *r)
{
	size_t *nr = ctx;

	must(r->kind && r->name && memchr(r->recorded, 0, sizeof(r->recorded)) && memchr(r->found, 0, sizeof(r->found)));
	must(r->agrees || strcmp(r->verdict, "equal") != 0);
	(*nr)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct facts f = { 0 }, again = { 0 };
	struct buf a = BUF_INIT, b = BUF_INIT;
	struct err e = ERR_INIT;
	size_t nr = 0;

	if (facts_parse((const char *)data, len, &f, &e)) {
		must(e.code == ERR_CORRUPT && !f.root);
		return 0;
	}
	must(facts_text(&f, &a, &e) == ERR_OK);
	must(facts_parse((const char *)a.p, a.len, &again, &e) == ERR_OK);
	must(facts_text(&again, &b, &e) == ERR_OK);
	must(a.len == b.len && memcmp(a.p, b.p, a.len) == 0);
	must(facts_compare(&f, &again, NULL, NULL, false, see, &nr) == 0);
	must(nr == json_array_size(json_object_get(f.root, "items")));
	facts_release(&f);
	facts_release(&again);
	buf_release(&a);
	buf_release(&b);
	return 0;
}
