/* SPDX-License-Identifier: MIT */
/*
 * A repository of very many chunks, for the figures of tests/bench/scale: every one is a chunk like any other (its
 * bytes there, its SHA-256 right), but only some bytes long, so that ten million take a gigabyte.
 *
 *   make_chunks REPOSITORY CHUNKS [CHUNKS-PER-PACK]     into one that `vouch init` has made
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/backend/backend.h"
#include "store/base/bytes.h"
#include "store/base/digest.h"
#include "store/engine/codec.h"
#include "store/engine/pack.h"
#include "store/format/limits.h"

#define CHUNK_BYTES	16u
#define PACK_CHUNKS	2048u	/* what 32 MiB of files of a usual size have */
#define BLOCK_CHUNKS	64u

static void die(const char *what, const struct err *e)
{
	(void)fprintf(stderr, "make_chunks: %s: %s\n", what, e->msg);
	exit(1);
}

/* A power cut would lose it, and nobody would mind; thousands of syncs would take minutes. */
static int no_fsync(int fd)
{
	(void)fd;
	return 0;
}

static void add_block(struct pack_writer *w, struct codec *codec, uint64_t first, uint32_t nr)
{
	struct block_header h = { .nr_chunks = nr, .plain_len = nr * CHUNK_BYTES };
	struct chunk_desc chunks[BLOCK_CHUNKS];
	uint8_t plain[BLOCK_CHUNKS * CHUNK_BYTES], frame[2 * sizeof(plain)];
	struct err e = ERR_INIT;
	size_t len;

	for (uint32_t i = 0; i < nr; i++) {
		uint8_t *at = plain + i * CHUNK_BYTES;

		(void)put_le64(put_le64(at, first + i), (first + i) * 0x9E3779B97F4A7C15u);
		chunks[i].len = CHUNK_BYTES;
		digest_sha256(at, CHUNK_BYTES, &chunks[i].id);
	}
	if (codec_compress(codec, plain, h.plain_len, frame, sizeof(frame), &len, &h.codec, &e))
		die("compress", &e);
	h.stored_len = (uint32_t)len;
	h.xxh3 = digest_xxh3(frame, len);
	if (pack_writer_add(w, &h, chunks, frame, &e))
		die("block", &e);
}

static void add_pack(struct backend *b, struct codec *codec, uint64_t first, uint64_t nr)
{
	struct pack_writer *w = NULL;
	struct packtable table;
	struct err e = ERR_INIT;
	struct object_id id;

	if (pack_writer_open(b, PACK_DATA, &w, &e))
		die("pack", &e);
	for (uint64_t i = 0; i < nr; i += BLOCK_CHUNKS)
		add_block(w, codec, first + i,
			  nr - i < BLOCK_CHUNKS ? (uint32_t)(nr - i) : BLOCK_CHUNKS);
	if (pack_writer_seal(w, &id, &table, &e))
		die("seal", &e);
	packtable_release(&table);
}

static uint64_t number(const char *text, uint64_t max)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || *end || n == 0 || n > max) {
		(void)fprintf(stderr, "make_chunks: not a number from 1 to %llu: %s\n",
			      (unsigned long long)max, text);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	uint64_t nr, per_pack = PACK_CHUNKS;
	struct backend *b = NULL;
	struct codec *codec = NULL;
	struct err e = ERR_INIT;
	struct io io = io_system;

	if (argc < 3 || argc > 4) {
		(void)fprintf(stderr, "usage: make_chunks REPOSITORY CHUNKS [CHUNKS-PER-PACK]\n");
		return 2;
	}
	nr = number(argv[2], UINT32_MAX);
	if (argc == 4)
		per_pack = number(argv[3], PACK_CHUNKS_MAX);
	io.fsync = no_fsync;
	if (file_backend_open(argv[1], false, true, &io, &b, &e))
		die(argv[1], &e);
	if (codec_open(1, &codec, &e))
		die("codec", &e);
	for (uint64_t i = 0; i < nr; i += per_pack)
		add_pack(b, codec, i, nr - i < per_pack ? nr - i : per_pack);
	codec_close(codec);
	b->ops->close(b);
	return 0;
}
