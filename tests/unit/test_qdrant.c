/* SPDX-License-Identifier: MIT */
/* What a Qdrant answers: as version 1.18.3 does, and as no server should. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "tools/components/qdrant_parse.c"

#define SUM "31dc648e89d008a8ff1c3e0ad71ffd55451e654dd66565fa7e404e762459a789"

static const struct row {
	const char *name;
	long status;
	const char *text;
	enum err_code want;
	const char *say;	/* the result as JSON, or a piece of the message */
} rows[] = {
	{ "true", 200, "{\"result\":true,\"status\":\"ok\",\"time\":0.02}", ERR_OK, "true" },
	{ "count", 200, "{\"result\":{\"count\":301},\"status\":\"ok\",\"time\":0.0008}", ERR_OK, "{\"count\":301}" },
	{ "accepted has no result", 202, "{\"status\":\"accepted\",\"time\":9.3e-06}", ERR_FAILED, "status is not \"ok\"" },
	{ "no collection", 404, "{\"status\":{\"error\":\"Not found: Collection `nosuch` doesn't exist!\"},\"time\":8e-06}",
	  ERR_NOT_FOUND, "answered 404: Not found: Collection `nosuch` doesn't exist!" },
	{ "no snapshot", 404, "Not found: Snapshot nosuch.snapshot not found", ERR_NOT_FOUND, "Snapshot nosuch.snapshot" },
	{ "no path", 404, "", ERR_NOT_FOUND, "without a word" },
	{ "exists", 409, "{\"status\":{\"error\":\"Wrong input: Collection `docs` already exists!\"},\"time\":6e-05}", ERR_EXISTS,
	  "already exists" },
	{ "no key", 401, "Must provide an API key or an Authorization bearer token", ERR_FAILED, "set api-key-file" },
	{ "read only", 403, "{\"status\":{\"error\":\"Forbidden: Global manage access is required\"},\"time\":3e-05}", ERR_FAILED,
	  "the key may only read" },
	{ "checksum", 400, "{\"status\":{\"error\":\"Checksum mismatch: expected a, actual b\"},\"time\":0.0004}", ERR_FAILED,
	  "answered 400: Checksum mismatch" },
	{ "broken", 500, "{\"status\":{\"error\":\"Service internal error: File IO error: Malformed tar archive\"},\"time\":0.2}",
	  ERR_FAILED, "Malformed tar archive" },
	{ "elsewhere", 302, "", ERR_FAILED, "answered 302" },
	{ "two lines, and a terminal's colours", 500, "a\nb\x1b[31m", ERR_FAILED, "a\\nb\\x1b[31m" },
	{ "not JSON", 200, "<html>", ERR_FAILED, "no JSON" },
	{ "nothing", 200, "", ERR_FAILED, "no JSON" },
	{ "cut", 200, "{\"result\":true,\"status\":", ERR_FAILED, "no JSON" },
	{ "a list", 200, "[]", ERR_FAILED, "status" },
	{ "no result", 200, "{\"status\":\"ok\"}", ERR_FAILED, "no result" },
	{ "error with 200", 200, "{\"status\":{\"error\":\"x\"}}", ERR_FAILED, "status" },
};

static void test_row(void **state)
{
	const struct row *t = *state;
	struct err e = ERR_INIT;
	json_t *r = NULL;
	char *text;

	assert_int_equal(qdrant_parse(t->status, t->text, strlen(t->text), &r, &e), t->want);
	if (t->want) {
		assert_null(r);
		if (!strstr(e.msg, t->say))
			fail_msg("\"%s\" lacks \"%s\"", e.msg, t->say);
		return;
	}
	text = json_dumps(r, JSON_COMPACT | JSON_ENCODE_ANY);
	assert_string_equal(text, t->say);
	free(text);
	json_decref(r);
}

static const struct snap {
	const char *name, *text;
	enum err_code want;
	uint64_t size;
	bool sum;
} snaps[] = {
	{ "made by it", "{\"name\":\"docs-1-2026-11-21-08-42-50.snapshot\",\"size\":205824,"
	  "\"checksum\":\"" SUM "\"}", ERR_OK, 205824, true },
	{ "uploaded", "{\"name\":\"a.snapshot\",\"size\":0}", ERR_OK, 0, false },
	{ "checksum null", "{\"name\":\"a.snapshot\",\"size\":1,\"checksum\":null}", ERR_OK, 1, false },
	{ "no name", "{\"size\":1}", ERR_FAILED, 0, false },
	{ "a path", "{\"name\":\"../a\",\"size\":1}", ERR_FAILED, 0, false },
	{ "parent", "{\"name\":\"..\",\"size\":1}", ERR_FAILED, 0, false },
	{ "no size", "{\"name\":\"a\"}", ERR_FAILED, 0, false },
	{ "negative", "{\"name\":\"a\",\"size\":-1}", ERR_FAILED, 0, false },
	{ "size as text", "{\"name\":\"a\",\"size\":\"1\"}", ERR_FAILED, 0, false },
	{ "short checksum", "{\"name\":\"a\",\"size\":1,\"checksum\":\"abc\"}", ERR_FAILED, 0, false },
	{ "a list", "[]", ERR_FAILED, 0, false },
};

static void test_snap(void **state)
{
	const struct snap *t = *state;
	struct qdrant_snapshot s;
	struct err e = ERR_INIT;
	json_t *o = json_loads(t->text, 0, NULL);

	assert_non_null(o);
	assert_int_equal(qdrant_parse_snapshot(o, &s, &e), t->want);
	if (!t->want) {
		assert_int_equal(s.size, t->size);
		assert_int_equal(s.has_sha256, t->sum);
	}
	json_decref(o);
}

static void test_names(void **state)
{
	json_t *good = json_loads("[{\"name\":\"b c\"},{\"name\":\"a\"},{\"name\":\"\\u00fc\"}]", 0, NULL);
	json_t *none = json_loads("[{\"name\":\"a\"},{}]", 0, NULL), *path = json_loads("[{\"name\":\"a/b\"}]", 0, NULL);
	struct qdrant_names n = { 0 };
	struct err e = ERR_INIT;
	char longest[QDRANT_NAME_MAX + 2];

	(void)state;
	assert_int_equal(qdrant_parse_names(good, "name", &n, &e), ERR_OK);
	assert_int_equal(n.nr, 3);
	assert_string_equal(n.v[0], "a");
	assert_string_equal(n.v[1], "b c");
	assert_true(qdrant_names_have(&n, "\xc3\xbc"));
	assert_false(qdrant_names_have(&n, "b"));
	qdrant_names_release(&n);
	assert_int_equal(qdrant_parse_names(none, "name", &n, &e), ERR_FAILED);
	assert_int_equal(qdrant_parse_names(path, "name", &n, &e), ERR_FAILED);
	assert_int_equal(qdrant_parse_names(NULL, "name", &n, &e), ERR_FAILED);
	json_decref(good);
	json_decref(none);
	json_decref(path);
	memset(longest, 'a', sizeof(longest));
	longest[QDRANT_NAME_MAX + 1] = '\0';
	assert_false(qdrant_name_ok(longest));
	longest[QDRANT_NAME_MAX] = '\0';
	assert_true(qdrant_name_ok(longest));
	assert_false(qdrant_name_ok("a\nb"));
}

#define CONFIG "{\"params\":{\"vectors\":{\"size\":8,\"distance\":\"Cosine\"},\"shard_number\":1,\"on_disk_payload\":true}," \
	"\"hnsw_config\":{\"m\":16},\"optimizer_config\":{\"deleted_threshold\":0.2,\"max_segment_size\":null}," \
	"\"wal_config\":{\"wal_capacity_mb\":1},\"quantization_config\":null}"

static void test_create(void **state)
{
	json_t *config = json_loads(CONFIG, 0, NULL), *body = qdrant_create_body(config), *want;
	json_t *schema = json_loads("{\"city\":{\"data_type\":\"keyword\",\"points\":300},"
				    "\"n\":{\"data_type\":\"integer\",\"params\":{\"type\":\"integer\",\"range\":true}}}", 0, NULL);
	json_t *indexes = qdrant_indexes(schema);

	(void)state;
	want = json_loads("{\"vectors\":{\"size\":8,\"distance\":\"Cosine\"},\"shard_number\":1,\"on_disk_payload\":true,"
			  "\"hnsw_config\":{\"m\":16},\"optimizers_config\":{\"deleted_threshold\":0.2},"
			  "\"wal_config\":{\"wal_capacity_mb\":1}}", 0, NULL);
	assert_true(json_equal(body, want));
	json_decref(want);
	want = json_loads("{\"city\":\"keyword\",\"n\":{\"type\":\"integer\",\"range\":true}}", 0, NULL);
	assert_true(json_equal(indexes, want));
	json_decref(want);
	json_decref(indexes);
	json_decref(schema);
	json_decref(body);
	json_decref(config);
	config = json_loads("{\"params\":3}", 0, NULL);
	assert_null(qdrant_create_body(config));
	json_decref(config);
}

static void test_uploads(void **state)
{
	(void)state;
	assert_true(qdrant_is_upload("vouch-0123456789abcdef.snapshot"));
	/* What the server makes of a collection vouch-docs is not ours to delete */
	assert_false(qdrant_is_upload("vouch-docs-6138341957050172-2026-11-21-08-42-50.snapshot"));
	assert_false(qdrant_is_upload("vouch-0123456789abcdef0.snapshot"));
	assert_false(qdrant_is_upload("vouch-0123456789abcde.snapshot"));
	assert_false(qdrant_is_upload("vouch-0123456789abcdef"));
	assert_false(qdrant_is_upload("0123456789abcdef.snapshot"));
}

static const struct info {
	const char *name, *params, *schema;
	enum err_code want;
	const char *say;	/* in the facts */
} infos[] = {
	{ "one vector", "{\"vectors\":{\"size\":768,\"distance\":\"Cosine\"}}", "{}", ERR_OK,
	  "\"dimension\":768,\"distance\":\"Cosine\"" },
	{ "named", "{\"vectors\":{\"a\":{\"size\":4,\"distance\":\"Dot\"},\"b\":{\"size\":16,\"distance\":\"Euclid\"}},"
	  "\"sparse_vectors\":{\"s\":{}}}", "{}", ERR_OK,
	  "\"vectors\":{\"a\":{\"dimension\":4,\"distance\":\"Dot\"},\"b\":{\"dimension\":16,\"distance\":\"Euclid\"}},"
	  "\"sparse\":[\"s\"]" },
	{ "none", "{\"vectors\":{}}", "{}", ERR_OK, "\"rows\":\"301\"" },
	{ "index", "{\"vectors\":{}}", "{\"city\":{\"data_type\":\"keyword\",\"points\":300}}", ERR_OK,
	  "{\"kind\":\"index\",\"name\":\"docs.city\",\"is\":\"keyword\",\"info\":{\"of\":\"docs\"}}" },
	{ "size as text", "{\"vectors\":{\"a\":{\"size\":\"4\",\"distance\":\"Dot\"}}}", "{}", ERR_FAILED, "without size" },
	{ "no distance", "{\"vectors\":{\"size\":4}}", "{}", ERR_FAILED, "without size" },
	{ "no parameters", "null", "{}", ERR_FAILED, "without parameters" },
	{ "index without type", "{\"vectors\":{}}", "{\"city\":{}}", ERR_FAILED, "index without a type" },
};

static void test_info(void **state)
{
	const struct info *t = *state;
	struct facts f = { 0 }, back = { 0 };
	struct buf b = BUF_INIT, text = BUF_INIT;
	struct err e = ERR_INIT;
	json_t *info;

	buf_printf(&b, "{\"status\":\"green\",\"indexed_vectors_count\":0,\"config\":{\"params\":%s},\"payload_schema\":%s}", t->params,
		   t->schema);
	info = json_loadb((const char *)b.p, b.len, 0, NULL);
	assert_non_null(info);
	facts_begin(&f, "qdrant", "vectors");
	assert_int_equal(qdrant_facts("docs", info, 301, &f, &e), t->want);
	if (t->want) {
		assert_non_null(strstr(e.msg, t->say));
	} else {
		assert_int_equal(facts_text(&f, &text, &e), ERR_OK);
		buf_add_u8(&text, '\0');
		assert_non_null(strstr((const char *)text.p, t->say));
		/* It survives being written and read, and then agrees with itself */
		assert_int_equal(facts_parse((const char *)text.p, text.len - 1, &back, &e), ERR_OK);
		assert_int_equal(facts_compare(&back, &f, NULL, NULL, false, NULL, NULL), 0);
	}
	json_decref(info);
	buf_release(&b);
	buf_release(&text);
	facts_release(&f);
	facts_release(&back);
}

int main(void)
{
	static const struct CMUnitTest more[] = { cmocka_unit_test(test_names), cmocka_unit_test(test_create),
						 cmocka_unit_test(test_uploads) };
	struct CMUnitTest tests[ARRAY_LEN(rows) + ARRAY_LEN(snaps) + ARRAY_LEN(infos) + ARRAY_LEN(more)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[n++] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL, (void *)(uintptr_t)&rows[i] };
	for (size_t i = 0; i < ARRAY_LEN(snaps); i++)
		tests[n++] = (struct CMUnitTest){ snaps[i].name, test_snap, NULL, NULL, (void *)(uintptr_t)&snaps[i] };
	for (size_t i = 0; i < ARRAY_LEN(infos); i++)
		tests[n++] = (struct CMUnitTest){ infos[i].name, test_info, NULL, NULL, (void *)(uintptr_t)&infos[i] };
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		tests[n++] = more[i];
	return cmocka_run_group_tests_name("qdrant", tests, NULL, NULL);
}
