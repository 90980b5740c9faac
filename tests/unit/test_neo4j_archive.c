/* SPDX-License-Identifier: MIT */
#include "tools/components/neo4j_archive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zstd.h>

#include "store/base/buf.h"

#define TAR_BLOCK 512u
#define FILES 3u
#define LARGE 300000u	/* bytes: more than two blocks of a frame */
#define STORED_HEAD "DZV1\x28\xb5\x2f\xfd\x00\x38"

static enum err_code add(void *ctx, const void *buf, size_t len, struct err *e)
{
	struct buf *b = ctx;

	(void)e;
	buf_add(b, buf, len);
	return ERR_OK;
}

static void header(struct buf *b, const char *name, char type, unsigned size)
{
	uint8_t h[TAR_BLOCK] = { 0 };
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
	static const uint8_t zeros[TAR_BLOCK];

	buf_add(b, text, len);
	buf_add(b, zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
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
	static const uint8_t end[2 * TAR_BLOCK];
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

/* As Neo4j wraps it. */
static void compress(const struct buf *plain, struct buf *out)
{
	size_t max = ZSTD_compressBound(plain->len), n;
	ZSTD_CCtx *z = ZSTD_createCCtx();
	void *p = malloc(max);

	assert_non_null(z);
	assert_non_null(p);
	assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1)));
	n = ZSTD_compress2(z, p, max, plain->p, plain->len);
	assert_false(ZSTD_isError(n));
	buf_reset(out);
	buf_add_str(out, "DZV1");
	buf_add(out, p, n);
	ZSTD_freeCCtx(z);
	free(p);
}

/* What zstd itself finds in a dump. */
static void decompress(const struct buf *dump, struct buf *out)
{
	uint8_t piece[1u << 20];
	ZSTD_inBuffer in = { dump->p, dump->len, 4 };
	ZSTD_outBuffer to = { piece, sizeof(piece), 0 };
	ZSTD_DCtx *z = ZSTD_createDCtx();

	assert_non_null(z);
	assert_int_equal(ZSTD_decompressStream(z, &to, &in), 0);	/* one whole frame */
	assert_int_equal(in.pos, in.size);
	buf_reset(out);
	buf_add(out, piece, to.pos);
	ZSTD_freeDCtx(z);
}

static enum err_code through(const uint8_t *p, size_t len, size_t step, struct buf *out, struct err *e)
{
	struct neo4j_archive *a = NULL;
	enum err_code rc;

	buf_reset(out);
	assert_int_equal(neo4j_archive_open(add, out, &a, e), ERR_OK);
	rc = ERR_OK;
	for (size_t i = 0; !rc && i < len; i += step)
		rc = neo4j_archive_push(a, p + i, len - i < step ? len - i : step, e);
	if (!rc)
		rc = neo4j_archive_end(a, e);
	if (!rc)
		assert_int_equal(neo4j_archive_bytes(a), 1005);
	neo4j_archive_close(a);
	return rc;
}

static void same(const struct buf *a, const struct buf *b)
{
	assert_int_equal(a->len, b->len);
	assert_memory_equal(a->p, b->p, b->len);
}

/* What is stored is a dump for any zstd, with the same inside, and comes out of a second time as it went in. */
static void test_stored(void **state)
{
	struct buf plain = BUF_INIT, dump = BUF_INIT, stored = BUF_INIT, back = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	archive(&plain, FILES, 1005);
	compress(&plain, &dump);
	for (size_t step = 1; step < 4096; step = step * 3 + 1) {
		assert_int_equal(through(dump.p, dump.len, step, &stored, &e), ERR_OK);
		assert_memory_equal(stored.p, STORED_HEAD, sizeof(STORED_HEAD) - 1);
		decompress(&stored, &back);
		same(&back, &plain);
		assert_int_equal(through(stored.p, stored.len, step, &back, &e), ERR_OK);
		same(&back, &stored);
	}
	buf_release(&plain);
	buf_release(&dump);
	buf_release(&stored);
	buf_release(&back);
}

static void file(struct buf *b, const char *name, char byte, unsigned size)
{
	char *text = malloc(size);

	assert_non_null(text);
	for (unsigned i = 0; i < size; i++)
		text[i] = (char)((unsigned char)byte + i % 251);
	header(b, name, '0', size);
	content(b, text, size);
	free(text);
}

/* A file's blocks do not depend on what is before it: where one grew, the next is stored as it was. */
static void test_blocks_begin_with_files(void **state)
{
	static const uint8_t end[2 * TAR_BLOCK];
	struct buf plain = BUF_INIT, dump = BUF_INIT, stored[2] = { BUF_INIT, BUF_INIT };
	struct err e = ERR_INIT;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct neo4j_archive *a = NULL;

		buf_reset(&plain);
		buf_add_str(&plain, "zstd");
		number(&plain, 4, 1);
		number(&plain, 8, 2);
		number(&plain, 8, 5 + i * 8192 + LARGE);
		file(&plain, "./first", 'a', 5 + i * 8192);
		file(&plain, "./second", 'b', LARGE);
		buf_add(&plain, end, sizeof(end));
		compress(&plain, &dump);
		assert_int_equal(neo4j_archive_open(add, &stored[i], &a, &e), ERR_OK);
		assert_int_equal(neo4j_archive_push(a, dump.p, dump.len, &e), ERR_OK);
		assert_int_equal(neo4j_archive_end(a, &e), ERR_OK);
		neo4j_archive_close(a);
	}
	assert_memory_equal(stored[0].p + stored[0].len - LARGE, stored[1].p + stored[1].len - LARGE, LARGE);
	buf_release(&plain);
	buf_release(&dump);
	buf_release(&stored[0]);
	buf_release(&stored[1]);
}

/* A dump that lost its end, or anything else, is never whole. */
static void test_cut_and_flipped(void **state)
{
	struct buf plain = BUF_INIT, dump = BUF_INIT, stored = BUF_INIT, back = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	archive(&plain, FILES, 1005);
	compress(&plain, &dump);
	for (size_t len = 0; len < dump.len; len++)
		assert_int_equal(through(dump.p, len, 64, &stored, &e), ERR_CORRUPT);
	for (size_t i = 0; i < dump.len * 8; i++) {
		dump.p[i / 8] ^= (uint8_t)(1u << i % 8);
		/* A bit of the frame's header may mean nothing: then the content is the same */
		if (through(dump.p, dump.len, 4096, &stored, &e) == ERR_OK) {
			decompress(&stored, &back);
			same(&back, &plain);
		}
		dump.p[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	buf_add_u8(&dump, 0);
	assert_int_equal(through(dump.p, dump.len, 64, &stored, &e), ERR_CORRUPT);
	buf_release(&plain);
	buf_release(&dump);
	buf_release(&stored);
	buf_release(&back);
}

/* What was stored is looked at again when it is loaded: at each length but the last it is not whole. */
static void test_stored_is_cut(void **state)
{
	struct buf plain = BUF_INIT, dump = BUF_INIT, stored = BUF_INIT, back = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	archive(&plain, FILES, 1005);
	compress(&plain, &dump);
	assert_int_equal(through(dump.p, dump.len, 4096, &stored, &e), ERR_OK);
	for (size_t len = 0; len < stored.len; len++)
		assert_int_equal(through(stored.p, len, 4096, &back, &e), ERR_CORRUPT);
	buf_release(&plain);
	buf_release(&dump);
	buf_release(&stored);
	buf_release(&back);
}

/* Its end cut off before it was wrapped: the frame is whole, the tar is not, at any length, and nobody gets a frame's end. */
static void test_inside_is_cut(void **state)
{
	struct buf plain = BUF_INIT, dump = BUF_INIT, stored = BUF_INIT;
	struct err e = ERR_INIT;
	size_t whole;

	(void)state;
	archive(&plain, FILES, 1005);
	whole = plain.len;
	for (plain.len = 0; plain.len < whole; plain.len++) {
		compress(&plain, &dump);
		assert_int_equal(through(dump.p, dump.len, 4096, &stored, &e), ERR_CORRUPT);
		assert_true(stored.len < 3 || memcmp(stored.p + stored.len - 3, "\1\0\0", 3) != 0);
	}
	buf_release(&plain);
	buf_release(&dump);
	buf_release(&stored);
}

/* Headers changed one byte at a time: an error or the same counts, never a crash. */
static void test_patched(void **state)
{
	struct buf plain = BUF_INIT, dump = BUF_INIT, stored = BUF_INIT;
	struct err e = ERR_INIT;
	unsigned refused = 0;

	(void)state;
	archive(&plain, FILES, 1005);
	for (size_t i = 0; i < plain.len; i++) {
		uint8_t was = plain.p[i];

		plain.p[i] = 0xff;
		compress(&plain, &dump);
		refused += through(dump.p, dump.len, 4096, &stored, &e) != ERR_OK;
		plain.p[i] = was;
	}
	assert_true(refused > 7 * 400);
	buf_release(&plain);
	buf_release(&dump);
	buf_release(&stored);
}

static void test_counts(void **state)
{
	static const struct {
		uint64_t files, bytes;
	} wrong[] = { { FILES + 1, 1005 }, { FILES, 1004 }, { 0, 0 }, { UINT64_MAX, UINT64_MAX } };
	struct buf plain = BUF_INIT, dump = BUF_INIT, stored = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		buf_reset(&plain);
		archive(&plain, wrong[i].files, wrong[i].bytes);
		compress(&plain, &dump);
		assert_int_equal(through(dump.p, dump.len, 4096, &stored, &e), ERR_CORRUPT);
		assert_non_null(strstr(e.msg, "announces"));
	}
	buf_release(&plain);
	buf_release(&dump);
	buf_release(&stored);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stored), cmocka_unit_test(test_blocks_begin_with_files), cmocka_unit_test(test_cut_and_flipped),
		cmocka_unit_test(test_stored_is_cut), cmocka_unit_test(test_inside_is_cut), cmocka_unit_test(test_patched),
		cmocka_unit_test(test_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
