/* SPDX-License-Identifier: MIT */
#include "tools/components/neo4j_archive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILES 3u

static enum err_code add(void *ctx, const void *buf, size_t len, struct err *e)
{
	struct buf *b = ctx;

	(void)e;
	buf_add(b, buf, len);
	return ERR_OK;
}

static void header(struct buf *b, const char *name, char type, unsigned size)
{
	uint8_t h[NEO4J_BLOCK] = { 0 };
	unsigned sum = 0;

	snprintf((char *)h, 100, "%s", name);
	snprintf((char *)h + 100, 8, "%07o", 0644u);
	snprintf((char *)h + 124, 12, "%011o", size);
	memcpy(h + 257, "ustar\00000", 8);
	h[156] = (uint8_t)type;
	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += h[i];
	snprintf((char *)h + 148, 8, "%06o", sum);
	buf_add(b, h, sizeof(h));
}

static void content(struct buf *b, const char *text, size_t len)
{
	static const uint8_t zeros[NEO4J_BLOCK];

	buf_add(b, text, len);
	buf_add(b, zeros, (NEO4J_BLOCK - len % NEO4J_BLOCK) % NEO4J_BLOCK);
}

static void number(struct buf *b, unsigned n, uint64_t v)
{
	while (n-- > 0)
		buf_add_u8(b, (uint8_t)(v >> 8 * n));
}

/* As Neo4j writes one; files and bytes as announced. */
static void archive(struct buf *b, uint64_t files, uint64_t bytes)
{
	static const char pax[] = "28 mtime=1795292710.0699756\n", large[] = "13 size=1000\n";
	static const uint8_t end[2 * NEO4J_BLOCK];
	char big[1000];

	memset(big, 'b', sizeof(big));
	buf_add_str(b, "zstd");
	number(b, 4, 1);
	number(b, 8, files);
	number(b, 8, bytes);
	header(b, "./PaxHeaders.X/._", 'x', sizeof(pax) - 1);
	content(b, pax, sizeof(pax) - 1);
	header(b, "./", '5', 0);
	header(b, "./neostore", '0', 5);
	content(b, "store", 5);
	header(b, "./PaxHeaders.X/big", 'x', sizeof(large) - 1);
	content(b, large, sizeof(large) - 1);
	header(b, "./big", '0', 0);
	content(b, big, sizeof(big));
	header(b, "./empty", '0', 0);
	buf_add(b, end, sizeof(end));
}

static enum err_code wrap(const struct buf *plain, struct buf *out, struct err *e)
{
	struct neo4j_wrap *w = NULL;
	enum err_code rc;

	assert_int_equal(neo4j_wrap_open(add, out, &w, e), ERR_OK);
	rc = neo4j_wrap_push(w, plain->p, plain->len, e);
	if (!rc)
		rc = neo4j_wrap_end(w, e);
	neo4j_wrap_close(w);
	return rc;
}

static enum err_code unwrap(const uint8_t *p, size_t len, size_t step, struct buf *out, struct err *e)
{
	struct neo4j_unwrap *u = NULL;
	enum err_code rc;

	assert_int_equal(neo4j_unwrap_open(add, out, &u, e), ERR_OK);
	rc = ERR_OK;
	for (size_t i = 0; !rc && i < len; i += step)
		rc = neo4j_unwrap_push(u, p + i, len - i < step ? len - i : step, e);
	if (!rc)
		rc = neo4j_unwrap_end(u, e);
	if (!rc)
		assert_int_equal(neo4j_unwrap_bytes(u), 1005);
	neo4j_unwrap_close(u);
	return rc;
}

static void test_round_trip(void **state)
{
	struct buf plain = BUF_INIT, dump = BUF_INIT, back = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	archive(&plain, FILES, 1005);
	assert_int_equal(wrap(&plain, &dump, &e), ERR_OK);
	assert_memory_equal(dump.p, "DZV1\x28\xb5\x2f\xfd", 8);
	for (size_t step = 1; step < 4096; step = step * 3 + 1) {
		buf_reset(&back);
		assert_int_equal(unwrap(dump.p, dump.len, step, &back, &e), ERR_OK);
		assert_int_equal(back.len, plain.len);
		assert_memory_equal(back.p, plain.p, plain.len);
	}
	buf_release(&plain);
	buf_release(&dump);
	buf_release(&back);
}

/* A dump that lost its end, or anything else, is never whole. */
static void test_cut_and_flipped(void **state)
{
	struct buf plain = BUF_INIT, dump = BUF_INIT, back = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	archive(&plain, FILES, 1005);
	assert_int_equal(wrap(&plain, &dump, &e), ERR_OK);
	for (size_t len = 0; len < dump.len; len++)
		assert_int_equal(unwrap(dump.p, len, 64, &back, &e), ERR_CORRUPT);
	for (size_t i = 0; i < dump.len * 8; i++) {
		dump.p[i / 8] ^= (uint8_t)(1u << i % 8);
		buf_reset(&back);
		/* A bit of the frame's header may mean nothing: then the content is the same */
		if (unwrap(dump.p, dump.len, 4096, &back, &e) == ERR_OK) {
			assert_int_equal(back.len, plain.len);
			assert_memory_equal(back.p, plain.p, plain.len);
		}
		dump.p[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	buf_add_u8(&dump, 0);
	assert_int_equal(unwrap(dump.p, dump.len, 64, &back, &e), ERR_CORRUPT);
	buf_release(&plain);
	buf_release(&dump);
	buf_release(&back);
}

/* What was stored is looked at again before it is wrapped: at each length but the last it is not whole. */
static void test_stored_is_cut(void **state)
{
	struct buf plain = BUF_INIT, dump = BUF_INIT;
	struct err e = ERR_INIT;
	size_t whole;

	(void)state;
	archive(&plain, FILES, 1005);
	whole = plain.len;
	for (plain.len = 0; plain.len < whole; plain.len++) {
		buf_reset(&dump);
		assert_int_equal(wrap(&plain, &dump, &e), ERR_CORRUPT);
	}
	buf_release(&plain);
	buf_release(&dump);
}

/* Headers changed one byte at a time: an error or the same counts, never a crash. */
static void test_patched(void **state)
{
	struct buf plain = BUF_INIT, dump = BUF_INIT;
	struct err e = ERR_INIT;
	unsigned refused = 0;

	(void)state;
	archive(&plain, FILES, 1005);
	for (size_t i = 0; i < plain.len; i++) {
		uint8_t was = plain.p[i];

		plain.p[i] = 0xff;
		buf_reset(&dump);
		refused += wrap(&plain, &dump, &e) != ERR_OK;
		plain.p[i] = was;
	}
	assert_true(refused > 7 * 400);
	buf_release(&plain);
	buf_release(&dump);
}

static void test_counts(void **state)
{
	static const struct {
		uint64_t files, bytes;
	} wrong[] = { { FILES + 1, 1005 }, { FILES, 1004 }, { 0, 0 }, { UINT64_MAX, UINT64_MAX } };
	struct buf plain = BUF_INIT, dump = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		buf_reset(&plain);
		buf_reset(&dump);
		archive(&plain, wrong[i].files, wrong[i].bytes);
		assert_int_equal(wrap(&plain, &dump, &e), ERR_CORRUPT);
		assert_non_null(strstr(e.msg, "announces"));
	}
	buf_release(&plain);
	buf_release(&dump);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_cut_and_flipped), cmocka_unit_test(test_stored_is_cut),
		cmocka_unit_test(test_patched), cmocka_unit_test(test_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
