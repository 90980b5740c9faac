/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

#include "store/base/bytes.h"
#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/base/hex.h"
#include "store/engine/codec.h"
#include "store/engine/pack.h"
#include "store/format/limits.h"

enum { NR_BLOCKS = 5, CHUNKS = 4, CHUNK = 3000, PLAIN = CHUNKS * CHUNK };

/* A pack of five blocks in a repository of its own; bytes holds a copy of its file. */
struct fixture {
	char top[64];
	struct backend *b;
	struct codec *codec;
	struct object_id id;
	struct packtable t;
	uint8_t plain[NR_BLOCKS][PLAIN];
	struct buf bytes;
	char name[PACK_NAME_LEN + 1];
};

static void make_plain(uint8_t *p, size_t len, unsigned seed)
{
	uint64_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		/* Odd blocks are noise, even ones compress. */
		p[i] = seed % 2 ? (uint8_t)(x >> 56) : (uint8_t)("0123456789abcdef"[x >> 60]);
	}
}

static void add_block(struct fixture *f, struct pack_writer *w, unsigned seed)
{
	struct chunk_desc chunks[CHUNKS];
	uint8_t frame[2 * PLAIN];
	struct block_header h = { .nr_chunks = CHUNKS, .plain_len = PLAIN };
	struct err e = ERR_INIT;
	size_t n = 0;

	make_plain(f->plain[seed], PLAIN, seed);
	for (size_t i = 0; i < CHUNKS; i++) {
		digest_sha256(f->plain[seed] + i * CHUNK, CHUNK, &chunks[i].id);
		chunks[i].len = CHUNK;
	}
	assert_int_equal(codec_compress(f->codec, f->plain[seed], PLAIN, frame, sizeof(frame), &n,
					&h.codec, &e), ERR_OK);
	h.stored_len = (uint32_t)n;
	h.xxh3 = digest_xxh3(frame, n);
	assert_int_equal(pack_writer_add(w, &h, chunks, frame, &e), ERR_OK);
	assert_int_equal(h.number, seed);
}

static void put_bytes_as_pack(struct fixture *f, const uint8_t *p, size_t len)
{
	char path[256];
	FILE *out;

	/* Not through the backend: a thousand fsyncs would take their time. */
	(void)snprintf(path, sizeof(path), "%s/%s", f->top, f->name);
	out = fopen(path, "wb");
	assert_non_null(out);
	assert_int_equal(fwrite(p, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *tmp = getenv("TMPDIR");
	struct pack_writer *w = NULL;
	struct err e = ERR_INIT;
	uint64_t size = 0;
	size_t n = 0;

	assert_non_null(f);
	(void)snprintf(f->top, sizeof(f->top), "%.40s/vouch-pk-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->top));
	assert_int_equal(file_backend_open(f->top, true, true, &io_system, &f->b, &e), ERR_OK);
	assert_int_equal(codec_open(3, &f->codec, &e), ERR_OK);
	assert_int_equal(pack_writer_open(f->b, PACK_TREE, &w, &e), ERR_OK);
	for (unsigned i = 0; i < NR_BLOCKS; i++)
		add_block(f, w, i);
	assert_in_range(pack_writer_len(w), PLAIN * 2, PLAIN * NR_BLOCKS);
	assert_int_equal(pack_writer_seal(w, &f->id, &f->t, &e), ERR_OK);
	pack_name(&f->id, f->name);
	assert_int_equal(f->b->ops->size(f->b, f->name, &size, &e), ERR_OK);
	assert_int_equal(size, f->t.pack_len);
	assert_non_null(buf_room(&f->bytes, size));
	assert_int_equal(f->b->ops->get(f->b, f->name, 0, f->bytes.p, size, &n, &e), ERR_OK);
	f->bytes.len = n;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char cmd[128];

	packtable_release(&f->t);
	buf_release(&f->bytes);
	codec_close(f->codec);
	f->b->ops->close(f->b);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", f->top);
	assert_int_equal(system(cmd), 0);
	free(f);
	return 0;
}

/* Which of the fixture's blocks a table's block i is, by its first chunk; -1 where none. */
static int which(const struct fixture *f, const struct packtable *t, uint32_t i)
{
	for (int k = 0; k < NR_BLOCKS; k++)
		if (id_eq(&f->t.chunks[f->t.blocks[k].first_chunk].id,
			  &t->chunks[t->blocks[i].first_chunk].id))
			return k;
	return -1;
}

static void assert_reads(struct fixture *f, const struct packtable *t, uint32_t i)
{
	uint8_t plain[PLAIN];
	struct err e = ERR_INIT;

	assert_true(which(f, t, i) >= 0);
	assert_int_equal(pack_read_block(f->b, &f->id, t, i, f->codec, plain, &e), ERR_OK);
	assert_memory_equal(plain, f->plain[which(f, t, i)], PLAIN);
}

static void test_names(void **state)
{
	struct object_id id, got;
	char name[PACK_NAME_LEN + 1];

	(void)state;
	digest_sha256("abc", 3, &id);
	pack_name(&id, name);
	assert_string_equal(name, "packs/ba/ba7816bf8f01cfea414140de5dae2223b00361a396177a9c"
				  "b410ff61f20015ad.pack");
	assert_true(pack_name_parse(name, &got));
	assert_true(id_eq(&id, &got));
	name[7] = 'b';
	assert_false(pack_name_parse(name, &got));	/* in another folder */
	pack_name(&id, name);
	name[9] = 'B';
	assert_false(pack_name_parse(name, &got));
	pack_name(&id, name);
	name[PACK_NAME_LEN - 1] = 'K';
	assert_false(pack_name_parse(name, &got));
	assert_false(pack_name_parse("packs/3f/3f.par", &got));
	assert_false(pack_name_parse("", &got));
}

static void test_round_trip(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	struct object_id id;
	struct packtable t;

	digest_sha256(f->bytes.p, f->bytes.len, &id);
	assert_true(id_eq(&id, &f->id));
	assert_int_equal(pack_read_table(f->b, &f->id, &t, &e), ERR_OK);
	assert_int_equal(t.kind, PACK_TREE);
	assert_int_equal(t.nr_blocks, NR_BLOCKS);
	assert_int_equal(t.pack_len, f->bytes.len);
	assert_memory_equal(t.blocks, f->t.blocks, NR_BLOCKS * sizeof(t.blocks[0]));
	assert_memory_equal(t.chunks, f->t.chunks, NR_BLOCKS * CHUNKS * sizeof(t.chunks[0]));
	for (uint32_t i = 0; i < NR_BLOCKS; i++)
		assert_reads(f, &t, i);
	packtable_release(&t);
	assert_int_equal(pack_rescan(f->b, &f->id, &t, &e), ERR_OK);
	assert_int_equal(t.kind, PACK_TREE);
	assert_int_equal(t.nr_blocks, NR_BLOCKS);
	assert_memory_equal(t.blocks, f->t.blocks, NR_BLOCKS * sizeof(t.blocks[0]));
	assert_memory_equal(t.chunks, f->t.chunks, NR_BLOCKS * CHUNKS * sizeof(t.chunks[0]));
	packtable_release(&t);
}

static void test_zstd_program(void **state)
{
	struct fixture *f = *state;
	char cmd[256];
	uint8_t *out = malloc(NR_BLOCKS * PLAIN + 1);
	FILE *p;

	if (system("command -v zstd >/dev/null 2>&1") != 0) {
		free(out);
		skip();
	}
	assert_non_null(out);
	(void)snprintf(cmd, sizeof(cmd), "zstd -q -dc <%s/%s", f->top, f->name);
	p = popen(cmd, "r");
	assert_non_null(p);
	assert_int_equal(fread(out, 1, NR_BLOCKS * PLAIN + 1, p), NR_BLOCKS * PLAIN);
	assert_int_equal(pclose(p), 0);
	assert_memory_equal(out, f->plain, NR_BLOCKS * PLAIN);
	free(out);
}

/* A copy under way: what has arrived whole is found, the rest is incomplete and never wrong. */
static void test_truncated(void **state)
{
	struct fixture *f = *state;
	const size_t len = f->bytes.len;

	for (size_t n = 0; n < len; n += n < 200 || n + 300 > len ? 1 : 97) {
		struct err e = ERR_INIT;
		struct packtable t;
		uint32_t whole = 0;
		enum err_code rc;

		put_bytes_as_pack(f, f->bytes.p, n);
		assert_int_equal(pack_read_table(f->b, &f->id, &t, &e), ERR_INCOMPLETE);
		while (whole < NR_BLOCKS && f->t.blocks[whole].off + block_header_len(CHUNKS) +
						    f->t.blocks[whole].stored_len <= n)
			whole++;
		rc = pack_rescan(f->b, &f->id, &t, &e);
		assert_int_equal(rc, whole ? ERR_OK : ERR_CORRUPT);
		if (rc)
			continue;
		assert_int_equal(t.nr_blocks, whole);
		assert_reads(f, &t, whole - 1);
		packtable_release(&t);
	}
}

/* How many chunks of block i can be had with byte at (of its header and frame) flipped. */
static size_t salvaged(struct fixture *f, uint32_t i, size_t at)
{
	uint8_t *p = f->bytes.p + f->t.blocks[i].off + at, plain[PLAIN];
	struct err e = ERR_INIT;
	bool damaged = false;
	size_t right = 0;

	*p ^= 0x10;
	put_bytes_as_pack(f, f->bytes.p, f->bytes.len);
	assert_int_equal(pack_read_block(f->b, &f->id, &f->t, i, f->codec, plain, &e), ERR_CORRUPT);
	assert_int_equal(pack_salvage_block(f->b, &f->id, &f->t, i, f->codec, plain, &damaged, &e),
			 ERR_OK);
	assert_true(damaged);
	for (size_t k = 0; k < CHUNKS; k++)
		right += memcmp(plain + k * CHUNK, f->plain[i] + k * CHUNK, CHUNK) == 0;
	*p ^= 0x10;
	put_bytes_as_pack(f, f->bytes.p, f->bytes.len);
	assert_int_equal(pack_salvage_block(f->b, &f->id, &f->t, i, f->codec, plain, &damaged, &e),
			 ERR_OK);
	assert_false(damaged);
	assert_memory_equal(plain, f->plain[i], PLAIN);
	return right;
}

/* One damaged chunk of a block of noise takes no other along, and a damaged header none at all. */
static void test_salvage(void **state)
{
	struct fixture *f = *state;
	size_t head = block_header_len(CHUNKS);

	for (size_t at = 0; at < head; at += 3)
		assert_int_equal(salvaged(f, 1, at), CHUNKS);
	for (size_t at = head; at < head + f->t.blocks[1].stored_len; at += 61) {
		size_t right = salvaged(f, 1, at);

		/* magic, descriptor, length and the raw block's head are none of a chunk's bytes */
		assert_int_equal(right, at < head + 12 ? CHUNKS : CHUNKS - 1);
	}
	/* What is compressed is lost where it is damaged, or as a whole; the header is not needed. */
	assert_int_equal(salvaged(f, 2, 8), CHUNKS);
	assert_in_range(salvaged(f, 2, head + 500), 0, CHUNKS - 1);
}

/* Cut after its table was read. */
static void test_cut_later(void **state)
{
	struct fixture *f = *state;
	uint8_t plain[PLAIN];
	struct err e = ERR_INIT;

	put_bytes_as_pack(f, f->bytes.p, f->t.blocks[2].off + 100);
	assert_int_equal(pack_read_block(f->b, &f->id, &f->t, 2, f->codec, plain, &e),
			 ERR_INCOMPLETE);
	assert_int_equal(pack_read_block(f->b, &f->id, &f->t, 4, f->codec, plain, &e),
			 ERR_INCOMPLETE);
	assert_reads(f, &f->t, 1);
	assert_int_equal(f->b->ops->remove(f->b, f->name, &e), ERR_OK);
	assert_int_equal(pack_read_block(f->b, &f->id, &f->t, 2, f->codec, plain, &e),
			 ERR_NOT_FOUND);
	assert_int_equal(pack_rescan(f->b, &f->id, &f->t, &e), ERR_NOT_FOUND);
	assert_int_equal(pack_read_table(f->b, &f->id, &f->t, &e), ERR_NOT_FOUND);
}

static const struct row {
	const char *name;
	int block;		/* where: a block's header, or -1 the table, -2 the pack's header */
	uint32_t at;		/* byte from there */
	enum err_code table;	/* what reading the table says */
	uint32_t rescanned;	/* blocks that a rescan finds */
} rows[] = {
	{ "pack magic", -2, 8, ERR_OK, NR_BLOCKS },
	{ "pack frame length", -2, 4, ERR_OK, NR_BLOCKS },
	{ "first block's frame magic", 0, 0, ERR_OK, NR_BLOCKS - 1 },
	{ "block's number of chunks", 1, 20, ERR_OK, NR_BLOCKS - 1 },
	{ "block's stored_len", 2, 28, ERR_OK, NR_BLOCKS - 1 },
	{ "block's chunk id", 3, 60, ERR_OK, NR_BLOCKS - 1 },
	{ "last block's check", 4, 56 + 36 * CHUNKS, ERR_OK, NR_BLOCKS - 1 },
	{ "block's bytes", 2, 300, ERR_OK, NR_BLOCKS },
	{ "table's magic", -1, 8, ERR_CORRUPT, NR_BLOCKS },
	{ "table's chunk", -1, 200, ERR_CORRUPT, NR_BLOCKS },
};

static void test_damaged(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t table_at = f->bytes.len - packtable_frame_len(NR_BLOCKS, NR_BLOCKS * CHUNKS);
		size_t at = rows[i].at + (rows[i].block == -2 ? 0 : rows[i].block == -1
					  ? table_at : f->t.blocks[rows[i].block].off);
		struct err e = ERR_INIT;
		struct packtable t;
		enum err_code rc;
		uint8_t plain[PLAIN];

		f->bytes.p[at] ^= 0x40;
		put_bytes_as_pack(f, f->bytes.p, f->bytes.len);
		f->bytes.p[at] ^= 0x40;
		rc = pack_read_table(f->b, &f->id, &t, &e);
		assert_int_equal(rc, rows[i].table);
		for (uint32_t k = 0; !rc && k < NR_BLOCKS; k++) {
			if ((int)k != rows[i].block) {
				assert_reads(f, &t, k);
				continue;
			}
			assert_int_equal(pack_read_block(f->b, &f->id, &t, k, f->codec, plain, &e),
					 ERR_CORRUPT);
			assert_non_null(strstr(e.msg, f->name));
		}
		if (!rc)
			packtable_release(&t);
		assert_int_equal(pack_rescan(f->b, &f->id, &t, &e), ERR_OK);
		assert_int_equal(t.nr_blocks, rows[i].rescanned);
		for (uint32_t k = 0; k < t.nr_blocks; k++)
			if (which(f, &t, k) != rows[i].block)
				assert_reads(f, &t, k);
		packtable_release(&t);
	}
}

/* Wherever one bit flips, a block reads as it was or says that it is damaged. */
static void test_bits(void **state)
{
	struct fixture *f = *state;

	for (size_t at = 0; at < f->bytes.len; at += 61) {
		uint8_t plain[PLAIN];
		struct err e = ERR_INIT;
		struct packtable t;

		f->bytes.p[at] ^= (uint8_t)(1 << at % 8);
		put_bytes_as_pack(f, f->bytes.p, f->bytes.len);
		f->bytes.p[at] ^= (uint8_t)(1 << at % 8);
		if (pack_read_table(f->b, &f->id, &t, &e))
			continue;
		for (uint32_t k = 0; k < NR_BLOCKS; k++) {
			enum err_code rc;

			rc = pack_read_block(f->b, &f->id, &t, k, f->codec, plain, &e);
			if (rc)
				assert_int_equal(rc, ERR_CORRUPT);
			else
				assert_memory_equal(plain, f->plain[k], PLAIN);
		}
		packtable_release(&t);
	}
}

/* Nothing but false headers: the search must come to an end. */
static void test_hostile(void **state)
{
	struct fixture *f = *state;
	const size_t len = 4u << 20;
	struct err e = ERR_INIT;
	uint8_t *p = calloc(1, len);
	struct packtable t;

	assert_non_null(p);
	for (size_t at = 0; at + 64 < len; at += 64) {
		put_le32(p + at, FRAME_BLOCK_HEADER);
		put_le32(p + at + 4,
			 (uint32_t)(block_header_len(BLOCK_CHUNKS_MAX) - FRAME_HEAD_LEN));
		memcpy(p + at + 8, "VBLK", 4);
		put_le32(p + at + 20, BLOCK_CHUNKS_MAX);
	}
	put_bytes_as_pack(f, p, len);
	assert_int_equal(pack_rescan(f->b, &f->id, &t, &e), ERR_CORRUPT);
	free(p);
}

static void test_abort(void **state)
{
	struct fixture *f = *state;
	struct pack_writer *w = NULL;
	struct err e = ERR_INIT;
	struct object_id id;
	struct packtable t;
	char cmd[160];

	assert_int_equal(pack_writer_open(f->b, PACK_DATA, &w, &e), ERR_OK);
	add_block(f, w, 0);
	pack_writer_abort(w);
	pack_writer_abort(NULL);
	assert_int_equal(pack_writer_open(f->b, PACK_DATA, &w, &e), ERR_OK);
	assert_int_equal(pack_writer_seal(w, &id, &t, &e), ERR_USAGE);
	(void)snprintf(cmd, sizeof(cmd), "test -z \"$(ls %s/tmp)\"", f->top);
	assert_int_equal(system(cmd), 0);
}

/* Blocks larger than the buffer that gathers them, and a table larger than the first read. */
static void test_large(void **state)
{
	enum { LEN = 3 << 20, NR = 4000 };
	struct fixture *f = *state;
	struct pack_writer *w = NULL;
	struct chunk_desc *c = calloc(NR, sizeof(*c));
	uint8_t *plain = malloc(LEN), *back = malloc(LEN), *frame = malloc(codec_bound(LEN));
	struct block_header h = { .nr_chunks = NR, .plain_len = LEN };
	struct packtable t, again;
	struct err e = ERR_INIT;
	size_t n = 0;

	assert_true(c && plain && back && frame);
	make_plain(plain, LEN, 1);
	for (size_t i = 0; i < NR; i++)
		c[i].len = i ? LEN / NR : LEN - (NR - 1) * (LEN / NR);
	assert_int_equal(codec_compress(f->codec, plain, LEN, frame, codec_bound(LEN), &n, &h.codec,
					&e), ERR_OK);
	h.stored_len = (uint32_t)n;
	h.xxh3 = digest_xxh3(frame, n);
	assert_int_equal(pack_writer_open(f->b, PACK_DATA, &w, &e), ERR_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pack_writer_add(w, &h, c, frame, &e), ERR_OK);
	assert_int_equal(pack_writer_seal(w, &f->id, &t, &e), ERR_OK);
	assert_int_equal(pack_read_table(f->b, &f->id, &again, &e), ERR_OK);
	assert_int_equal(again.nr_chunks, 3 * NR);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(pack_read_block(f->b, &f->id, &again, i, f->codec, back, &e),
				 ERR_OK);
		assert_memory_equal(back, plain, LEN);
	}
	packtable_release(&again);
	assert_int_equal(pack_rescan(f->b, &f->id, &again, &e), ERR_OK);
	assert_int_equal(again.nr_chunks, 3 * NR);
	packtable_release(&again);
	packtable_release(&t);
	free(c);
	free(plain);
	free(back);
	free(frame);
}

static void test_full(void **state)
{
	struct fixture *f = *state;
	struct block_header h = { .nr_chunks = 1, .plain_len = 1, .stored_len = 100 };
	uint8_t *frame = calloc(1, 100);
	struct chunk_desc c = { .len = 1 };
	struct pack_writer *w = NULL;
	struct err e = ERR_INIT;
	enum err_code rc;

	assert_non_null(frame);
	assert_int_equal(pack_writer_open(f->b, PACK_DATA, &w, &e), ERR_OK);
	do {
		rc = pack_writer_add(w, &h, &c, frame, &e);
	} while (!rc);
	assert_int_equal(rc, ERR_LIMIT);
	pack_writer_abort(w);
	free(frame);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		TEST(test_round_trip),
		TEST(test_zstd_program),
		TEST(test_truncated),
		TEST(test_salvage),
		TEST(test_cut_later),
		TEST(test_damaged),
		TEST(test_bits),
		TEST(test_hostile),
		TEST(test_abort),
		TEST(test_large),
		TEST(test_full),
	};

	return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
