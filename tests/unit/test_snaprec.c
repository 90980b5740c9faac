/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/format/limits.h"
#include "store/format/snaprec.h"

static char *const sources[] = { "/etc", "/sr\xff\xfe", "", "/\xc3\xa4\n\"\\\x7f" };
static char *const tags[] = { "nightly" };
static struct component_outcome components[] = {
	{ "app", "postgres", "ok", "" },
	{ "db\x80", "mysql", "failed", "exit status 1\nof \"mysqldump\"" },
};

/* views of static text: not to be released */
static void sample(struct snapshot *s)
{
	*s = (struct snapshot){
		.host = "h\xf0st", .user = "root", .version = "0.1.0", .base = "",
		.sources = (char **)(uintptr_t)sources, .nr_sources = ARRAY_LEN(sources),
		.tags = (char **)(uintptr_t)tags, .nr_tags = ARRAY_LEN(tags),
		.components = components, .nr_components = ARRAY_LEN(components),
		.time = { 1795226400, 123456789 }, .end = { 1795226461, 0 },
		.totals = { 1, 2, 3, UINT64_MAX, UINT64_C(1) << 53, (UINT64_C(1) << 53) + 1 },
		.new_bytes = 0, .stored_bytes = UINT64_MAX - 1, .errors = 7, .seq = 2,
		.has_previous = true,
	};
	memset(s->root.b, 0xab, ID_LEN);
	memset(s->previous.b, 0x01, ID_LEN);
	memset(s->writer, 0x10, sizeof(s->writer));
}

static void same_texts(char *const *a, size_t nr_a, char *const *b, size_t nr_b)
{
	assert_int_equal(nr_a, nr_b);
	for (size_t i = 0; i < nr_a; i++)
		assert_string_equal(a[i], b[i]);
}

static void same_record(const struct snapshot *a, const struct snapshot *b)
{
	assert_true(id_eq(&a->root, &b->root));
	assert_string_equal(a->host, b->host);
	assert_string_equal(a->user, b->user);
	assert_string_equal(a->version, b->version);
	assert_string_equal(a->base, b->base);
	same_texts(a->sources, a->nr_sources, b->sources, b->nr_sources);
	same_texts(a->tags, a->nr_tags, b->tags, b->nr_tags);
	assert_int_equal(a->nr_components, b->nr_components);
	for (size_t i = 0; i < a->nr_components; i++) {
		assert_string_equal(a->components[i].name, b->components[i].name);
		assert_string_equal(a->components[i].type, b->components[i].type);
		assert_string_equal(a->components[i].status, b->components[i].status);
		assert_string_equal(a->components[i].detail, b->components[i].detail);
	}
	assert_int_equal(a->time.sec, b->time.sec);
	assert_int_equal(a->time.nsec, b->time.nsec);
	assert_int_equal(a->end.sec, b->end.sec);
	assert_int_equal(a->end.nsec, b->end.nsec);
	assert_memory_equal(&a->totals, &b->totals, sizeof(a->totals));
	assert_true(a->new_bytes == b->new_bytes && a->stored_bytes == b->stored_bytes &&
		    a->errors == b->errors && a->seq == b->seq);
	assert_memory_equal(a->writer, b->writer, sizeof(a->writer));
	assert_int_equal(a->has_previous, b->has_previous);
	assert_true(id_eq(&a->previous, &b->previous));
}

static void test_snaprec_round_trip(void **state)
{
	struct snapshot want, got;
	struct buf b = BUF_INIT, again = BUF_INIT;
	struct err e = ERR_INIT;
	struct object_id id;

	(void)state;
	sample(&want);
	snaprec_encode(&want, &b);
	assert_false(b.bad);
	assert_int_equal(b.p[b.len - 1], '\n');
	if (snaprec_decode(b.p, b.len, &got, &e))
		fail_msg("%s", e.msg);
	same_record(&want, &got);
	digest_sha256(b.p, b.len, &id);
	assert_true(id_eq(&got.id, &id));
	assert_int_equal(strncmp(got.name, "2026-11-21T02-00-00Z-", 21), 0);
	assert_true(snaprec_name_ok(got.name));
	snaprec_encode(&got, &again);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.p, b.p, b.len);
	snapshot_release(&got);
	buf_release(&b);
	buf_release(&again);
}

static void test_snaprec_empty(void **state)
{
	struct snapshot want = { 0 }, got;
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	snaprec_encode(&want, &b);	/* NULL texts are "" */
	assert_int_equal(snaprec_decode(b.p, b.len, &got, &e), ERR_OK);
	assert_string_equal(got.host, "");
	assert_int_equal(got.nr_sources + got.nr_tags + got.nr_components, 0);
	assert_false(got.has_previous);
	assert_int_equal(strncmp(got.name, "1970-01-01T00-00-00Z-", 21), 0);
	snapshot_release(&got);
	assert_null(got.name);
	snapshot_release(&got);		/* twice does no harm */
	buf_release(&b);
}

static void test_snaprec_exactness(void **state)
{
	struct buf b = BUF_INIT;
	struct snapshot s;

	(void)state;
	sample(&s);
	snaprec_encode(&s, &b);
	buf_add_u8(&b, 0);
	assert_non_null(strstr((char *)b.p, "\"bytes\": \"18446744073709551615\""));
	assert_non_null(strstr((char *)b.p, "\"sums_len\": 9007199254740992,"));
	assert_non_null(strstr((char *)b.p, "\"sums_escaped\": \"9007199254740993\""));
	assert_non_null(strstr((char *)b.p, "\"host_b64\": \"aPBzdA==\""));
	assert_non_null(strstr((char *)b.p, "\"b64\": \"L3Ny//4=\""));
	assert_non_null(strstr((char *)b.p, "\"time\": \"2026-11-21T02:00:00.123456789Z\""));
	buf_release(&b);
}

static void test_snaprec_truncation(void **state)
{
	struct buf b = BUF_INIT;
	struct snapshot s, got;

	(void)state;
	sample(&s);
	snaprec_encode(&s, &b);
	for (size_t len = 0; len + 1 < b.len; len++)
		assert_int_equal(snaprec_decode(b.p, len, &got, NULL), ERR_CORRUPT);
	/* the newline is not JSON's; the name, which is the digest, tells */
	assert_int_equal(snaprec_decode(b.p, b.len - 1, &got, NULL), ERR_OK);
	snapshot_release(&got);
	buf_release(&b);
}

static void test_snaprec_no_object(void **state)
{
	static const char *const texts[] = { "[]", "null", "1", "\"x\"", "{}", "{", "" };
	struct snapshot got;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_int_equal(snaprec_decode((const uint8_t *)texts[i], strlen(texts[i]), &got,
						NULL), ERR_CORRUPT);
}

static void test_snaprec_bit_flips(void **state)
{
	struct buf b = BUF_INIT;
	struct snapshot s, got;

	(void)state;
	sample(&s);
	snaprec_encode(&s, &b);
	for (size_t bit = 0; bit < 8 * b.len; bit++) {
		b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (!snaprec_decode(b.p, b.len, &got, NULL))
			snapshot_release(&got);
		b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	buf_release(&b);
}

static const struct row {
	const char *name, *from, *to;
	enum err_code want;
} rows[] = {
	{ "as it is", "", "", ERR_OK },
	{ "format 2", "\"format\": 1", "\"format\": 2", ERR_UNSUPPORTED },
	{ "another kind", "\"snapshot\"", "\"repository\"", ERR_CORRUPT },
	{ "root short", "\"root\": \"ab", "\"root\": \"", ERR_CORRUPT },
	{ "root no digit", "\"root\": \"a", "\"root\": \"g", ERR_CORRUPT },
	{ "no root", "\"root\"", "\"toor\"", ERR_CORRUPT },
	{ "no time", "\"time\"", "\"emit\"", ERR_CORRUPT },
	{ "time of no day", "2026-11-21", "2026-02-30", ERR_CORRUPT },
	{ "time a number", "\"2026-11-21T02:00:00.123456789Z\"", "17", ERR_CORRUPT },
	{ "host twice", "\"host_b64\"", "\"host\": \"x\", \"host_b64\"", ERR_CORRUPT },
	{ "host a number", "\"user\": \"root\"", "\"user\": 0", ERR_CORRUPT },
	{ "user as base64", "\"user\": \"root\"", "\"user_b64\": \"cm9vdA==\"", ERR_OK },
	{ "base64 bad", "aPBzdA==", "aPBzdB==", ERR_CORRUPT },
	{ "base64 of NUL", "aPBzdA==", "AAAA", ERR_CORRUPT },
	{ "base64 a number", "\"aPBzdA==\"", "12", ERR_CORRUPT },
	{ "unknown member", "\"format\": 1", "\"format\": 1, \"new\": null", ERR_OK },
	{ "member twice", "\"format\": 1", "\"format\": 1, \"format\": 1", ERR_CORRUPT },
	{ "source a number", "\"/etc\"", "1", ERR_CORRUPT },
	{ "source without b64", "\"b64\"", "\"b63\"", ERR_CORRUPT },
	{ "tags no list", "\"tags\": [", "\"tags\": 0, \"x\": [", ERR_CORRUPT },
	{ "component without type", "\"type\": \"mysql\"", "\"tipe\": \"\"", ERR_CORRUPT },
	{ "components not objects", "\"components\": [", "\"components\": [ 1,", ERR_CORRUPT },
	{ "no totals", "\"totals\"", "\"tootals\"", ERR_CORRUPT },
	{ "files -1", "\"files\": 1", "\"files\": -1", ERR_CORRUPT },
	{ "files as text", "\"files\": 1", "\"files\": \"1\"", ERR_OK },
	{ "files as 01", "\"files\": 1", "\"files\": \"01\"", ERR_CORRUPT },
	{ "files empty text", "\"files\": 1", "\"files\": \"\"", ERR_CORRUPT },
	{ "files 1.0", "\"files\": 1", "\"files\": 1.0", ERR_CORRUPT },
	{ "bytes 2^64", "18446744073709551615", "18446744073709551616", ERR_CORRUPT },
	{ "bytes 10 * 2^64", "18446744073709551615", "184467440737095516160", ERR_CORRUPT },
	{ "2^53 + 1 as number", "\"9007199254740993\"", "9007199254740993", ERR_OK },
	{ "writer long", "\"writer\": \"", "\"writer\": \"00", ERR_CORRUPT },
	{ "previous missing", "\"previous\"", "\"next\"", ERR_CORRUPT },
	{ "previous short", "\"previous\": \"01", "\"previous\": \"", ERR_CORRUPT },
	{ "rubbish after", "\n}\n", "\n}\n}", ERR_CORRUPT },
};

static void test_row(void **state)
{
	const struct row *t = *state;
	struct buf b = BUF_INIT, patched = BUF_INIT;
	struct err e = ERR_INIT;
	struct snapshot s, got;
	const uint8_t *at;
	enum err_code rc;

	sample(&s);
	snaprec_encode(&s, &b);
	at = memmem(b.p, b.len, t->from, strlen(t->from));
	assert_non_null(at);
	buf_add(&patched, b.p, (size_t)(at - b.p));
	buf_add_str(&patched, t->to);
	at += strlen(t->from);
	buf_add(&patched, at, (size_t)(b.p + b.len - at));
	rc = snaprec_decode(patched.p, patched.len, &got, &e);
	assert_int_equal(rc, t->want);
	assert_int_equal(e.code, t->want);
	if (!rc)
		snapshot_release(&got);
	buf_release(&b);
	buf_release(&patched);
}

static void test_snaprec_limits(void **state)
{
	static const struct {
		size_t nr, len;
		enum err_code want;
	} limits[] = {
		{ SNAPSHOT_LIST_LEN_MAX, 10, ERR_OK },
		{ SNAPSHOT_LIST_LEN_MAX + 1, 10, ERR_CORRUPT },
		{ 1, SNAPSHOT_TEXT_MAX, ERR_OK },
		{ 1, SNAPSHOT_TEXT_MAX + 1, ERR_CORRUPT },
		{ 4096, 2048, ERR_CORRUPT },		/* the whole is too long */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		char **list = calloc(limits[i].nr, sizeof(*list));
		char *text = calloc(1, limits[i].len + 1);
		struct buf b = BUF_INIT;
		struct snapshot s, got;
		enum err_code rc;

		assert_non_null(list);
		assert_non_null(text);
		memset(text, 'x', limits[i].len);
		for (size_t k = 0; k < limits[i].nr; k++)
			list[k] = text;
		sample(&s);
		s.sources = list;
		s.nr_sources = limits[i].nr;
		snaprec_encode(&s, &b);
		rc = snaprec_decode(b.p, b.len, &got, NULL);
		assert_int_equal(rc, limits[i].want);
		if (!rc)
			snapshot_release(&got);
		buf_release(&b);
		free(list);
		free(text);
	}
}

static void test_snaprec_names(void **state)
{
	static const char good[] = "2026-11-21T02-00-00Z-1c9e0d2a3b4c5d6e";
	struct object_id id = { { 0x1c, 0x9e, 0x0d, 0x2a, 0x3b, 0x4c, 0x5d, 0x6e, 0xff } };
	struct vtime t = { 1795226400, 999999999 };
	char name[SNAPSHOT_NAME_LEN + 1];

	(void)state;
	snaprec_name(&t, &id, name);
	assert_string_equal(name, good);
	assert_true(snaprec_name_ok(good));
	for (size_t i = 0; i < SNAPSHOT_NAME_LEN; i++) {
		memcpy(name, good, sizeof(good));
		name[i] = '/';
		assert_false(snaprec_name_ok(name));
		name[i] = '\0';
		assert_false(snaprec_name_ok(name));
	}
	assert_false(snaprec_name_ok("2026-11-21T02-00-00Z-1c9e0d2a3b4c5d6e "));
	assert_false(snaprec_name_ok("2026-11-21T02-00-00Z-1C9e0d2a3b4c5d6e"));
	assert_false(snaprec_name_ok("2026-11-21T02-00-00Z-1c9e0d2a3b4c5d6"));
	t.sec = INT64_MAX;
	snaprec_name(&t, &id, name);
	assert_true(snaprec_name_ok(name));
}

int main(void)
{
	static const struct CMUnitTest plain[] = {
		cmocka_unit_test(test_snaprec_round_trip),
		cmocka_unit_test(test_snaprec_empty),
		cmocka_unit_test(test_snaprec_exactness),
		cmocka_unit_test(test_snaprec_truncation),
		cmocka_unit_test(test_snaprec_no_object),
		cmocka_unit_test(test_snaprec_bit_flips),
		cmocka_unit_test(test_snaprec_limits),
		cmocka_unit_test(test_snaprec_names),
	};
	struct CMUnitTest patched[ARRAY_LEN(rows)];
	int failed = cmocka_run_group_tests_name("snaprec", plain, NULL, NULL);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		patched[i] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL,
						  (void *)(uintptr_t)&rows[i] };
	return failed + cmocka_run_group_tests_name("snaprec patched", patched, NULL, NULL);
}
