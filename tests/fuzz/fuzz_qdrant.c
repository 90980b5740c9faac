/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as the answer of a Qdrant: what is taken from it is within its limits, and facts made of it can be
 * written and read.
 * With: tools/components/qdrant_parse.c tools/components/facts.c tools/components/facts_compare.c tools/text.c
 */
#include <stdlib.h>
#include <string.h>

#include "tools/components/qdrant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void names(const json_t *array)
{
	struct qdrant_names n = { 0 };
	struct err e = ERR_INIT;

	if (qdrant_parse_names(array, "name", &n, &e)) {
		must(!n.v && (e.code == ERR_FAILED || e.code == ERR_LIMIT));
		return;
	}
	for (size_t i = 0; i < n.nr; i++)
		must(qdrant_name_ok(n.v[i]) && (i == 0 || strcmp(n.v[i - 1], n.v[i]) <= 0));
	qdrant_names_release(&n);
}

static void snapshots(const json_t *array)
{
	struct qdrant_snapshot s;
	struct err e = ERR_INIT;
	const json_t *o;
	size_t i;

	json_array_foreach(array, i, o)
		must(qdrant_parse_snapshot(o, &s, &e) ? e.code == ERR_FAILED : qdrant_name_ok(s.name));
}

static void collection(const json_t *info)
{
	json_t *body = qdrant_create_body(json_object_get(info, "config"));
	json_t *indexes = qdrant_indexes(json_object_get(info, "payload_schema"));
	struct facts f = { 0 }, again = { 0 };
	struct buf text = BUF_INIT;
	struct err e = ERR_INIT;

	facts_begin(&f, "qdrant", "vectors");
	if (!qdrant_facts("docs", info, 1, &f, &e)) {
		must(facts_text(&f, &text, &e) == ERR_OK);
		must(facts_parse((const char *)text.p, text.len, &again, &e) == ERR_OK);
		must(facts_compare(&f, &again, NULL, NULL, false, NULL, NULL) == 0);
	}
	facts_release(&f);
	facts_release(&again);
	buf_release(&text);
	json_decref(body);
	json_decref(indexes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const long statuses[] = { 200, 404, 500 };
	struct err e = ERR_INIT;
	json_t *r = NULL;
	/* A body ends with a NUL that is not counted */
	char *text = malloc(len + 1);

	must(text != NULL);
	if (len > 0)
		memcpy(text, data, len);
	text[len] = '\0';
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		if (qdrant_parse(statuses[i], text, len, &r, &e)) {
			must(!r && e.msg[0] != '\0');
			continue;
		}
		names(r);
		snapshots(r);
		names(json_object_get(r, "collections"));
		collection(r);
		json_decref(r);
		r = NULL;
	}
	free(text);
	return 0;
}
