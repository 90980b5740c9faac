/* SPDX-License-Identifier: MIT */
/*
 * A real repository as seeds for fuzz_repo (tests/lib/hostile_script.h): chunk by chunk, and file by file.
 *
 *	make build/tests/fuzz/make_repo_seed && build/tests/fuzz/make_repo_seed REPO OUT
 *
 * writes OUT-chunks and OUT-files.  tests/fuzz/seed_repo.sh makes the repositories.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/digest.h"
#include "store/format/limits.h"
#include "tests/lib/hostile_script.h"

#define FILES_MAX 256u

struct chunk {
	struct object_id id;
	enum pack_kind kind;
	uint8_t *p;
	size_t len;
	bool done;
};

static struct chunk chunks[SCRIPT_RECORDS_MAX];
static size_t nr_chunks;
static char *names[FILES_MAX];
static size_t nr_names;
static size_t top_len;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "make_repo_seed: %s\n", what);
	exit(1);
}

static uint8_t *load(const char *path, size_t *len)
{
	static uint8_t room[(size_t)1 << 24];
	FILE *f = fopen(path, "r");
	uint8_t *p;

	must(f != NULL, path);
	*len = fread(room, 1, sizeof(room), f);
	must(*len < sizeof(room) && fclose(f) == 0, path);
	p = malloc(*len + 1);
	must(p != NULL, "memory");
	memcpy(p, room, *len);
	return p;
}

static int add_name(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (flag == FTW_F && nr_names < FILES_MAX)
		names[nr_names++] = strdup(path);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void take_block(const struct packtable *t, const struct table_block *b, const uint8_t *pack,
		       struct codec *codec)
{
	const uint8_t *frame = pack + b->off + block_header_len(b->nr_chunks);
	uint8_t *plain = malloc(b->plain_len);
	struct err e = ERR_INIT;
	size_t at = 0;

	must(plain != NULL, "memory");
	must(codec_decompress(codec, frame, b->stored_len, plain, b->plain_len, &e) == ERR_OK, e.msg);
	for (uint32_t i = b->first_chunk; i < b->first_chunk + b->nr_chunks; i++) {
		must(nr_chunks < SCRIPT_RECORDS_MAX && t->chunks[i].len <= UINT16_MAX, "too many chunks");
		chunks[nr_chunks++] = (struct chunk){ t->chunks[i].id, t->kind, plain + at, t->chunks[i].len,
						      false };
		at += t->chunks[i].len;
	}
}

static void take_pack(const char *path, struct codec *codec)
{
	struct packtable t;
	struct err e = ERR_INIT;
	size_t len, frame;
	uint8_t *p = load(path, &len);

	must(packtable_peek(p + len - PACK_FOOTER_LEN, len, &frame, &e) == ERR_OK, e.msg);
	must(packtable_decode(p + len - frame, frame, len, &t, &e) == ERR_OK, e.msg);
	for (uint32_t i = 0; i < t.nr_blocks; i++)
		take_block(&t, &t.blocks[i], p, codec);
}

/* Ids become what script_play() puts them in for; false where one is of a chunk that has not been written yet. */
static bool stand_in(const struct chunk *c, const size_t *numbers, uint8_t *out)
{
	memcpy(out, c->p, c->len);
	for (size_t at = 0; at + ID_LEN <= c->len; at++)
		for (size_t k = 0; k < nr_chunks; k++) {
			if (memcmp(c->p + at, chunks[k].id.b, ID_LEN) != 0)
				continue;
			/* A file's digest may be its only chunk's: that stays what it is until the chunk is changed. */
			if (!chunks[k].done)
				return false;
			memset(out + at, '.', ID_LEN);
			memcpy(out + at, "@@REF", 5);
			out[at + 5] = (uint8_t)numbers[k];
		}
	return true;
}

static void write_out(const char *path, struct buf *b)
{
	FILE *f = fopen(path, "w");

	must(f && fwrite(b->p, 1, b->len, f) == b->len && fclose(f) == 0, path);
	buf_release(b);
}

static void add_snapshots(struct buf *b, const size_t *numbers)
{
	for (size_t i = 0; i < nr_names; i++) {
		uint8_t *p, *root;
		size_t len;

		if (strncmp(names[i] + top_len, "snapshots/", 10) != 0)
			continue;
		p = load(names[i], &len);
		for (size_t k = 0; numbers && k < nr_chunks; k++) {
			char hex[ID_HEX_LEN + 1];

			root = memmem(p, len, id_hex(&chunks[k].id, hex), ID_HEX_LEN);
			if (!root)
				continue;
			memset(root, '.', ID_HEX_LEN);
			memcpy(root, "@@REF", 5);
			root[5] = (uint8_t)numbers[k];
		}
		script_add(b, 's', p, len);
		free(p);
	}
}

static void by_chunks(const char *out)
{
	size_t numbers[SCRIPT_RECORDS_MAX] = { 0 }, nr = 0;
	static uint8_t bytes[UINT16_MAX];
	struct buf b = BUF_INIT;
	bool more = true;

	buf_add_u8(&b, 0xff);
	while (more) {
		more = false;
		for (size_t i = 0; i < nr_chunks; i++) {
			if (chunks[i].done || !stand_in(&chunks[i], numbers, bytes))
				continue;
			script_add(&b, chunks[i].kind == PACK_DATA ? 'd' : 't', bytes, chunks[i].len);
			chunks[i].done = true;
			numbers[i] = nr++;
			more = true;
		}
	}
	must(nr == nr_chunks, "chunks that name one another");
	add_snapshots(&b, numbers);
	write_out(out, &b);
}

static uint8_t type_of(const char *name)
{
	static const struct {
		const char *folder, *ext;
		uint8_t type;
	} kinds[] = {
		{ "packs/", ".pack", 'p' }, { "packs/", ".par", 'r' }, { "forgotten/", "", 'f' },
		{ "condemned/", "", 'c' }, { "writers/", "", 'w' }, { "log/", "", 'l' },
		{ "vouch.json", "", 'v' }, { "SHA256SUMS", "", 'y' },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(name, kinds[i].folder, strlen(kinds[i].folder)) == 0 && strstr(name, kinds[i].ext))
			return kinds[i].type;
	return 0;
}

/* Without the closing line, or a line's check: they are made anew. */
static size_t open_end(uint8_t type, uint8_t *p, size_t len)
{
	static const char check[] = ",\"check\":\"";
	uint8_t *at;
	size_t n = 0;

	if (strchr("fcwv", type)) {
		at = memmem(p, len, "\"sha256\":", 9);
		for (uint8_t *next; at && (next = memmem(at + 1, len - (size_t)(at + 1 - p), "\"sha256\":", 9));)
			at = next;
		return at ? (size_t)(at - p) : len;
	}
	while (type == 'l' && (at = memmem(p + n, len - n, check, sizeof(check) - 1))) {
		uint8_t *end = memchr(at, '\n', len - (size_t)(at - p));

		must(end != NULL, "a log that ends in no line");
		memmove(at, end, len - (size_t)(end - p));
		len -= (size_t)(end - at);
		n = (size_t)(at - p) + 1;
	}
	return len;
}

static void by_files(const char *out)
{
	struct buf b = BUF_INIT;

	buf_add_u8(&b, 0xff);
	for (size_t i = 0; i < nr_names; i++) {
		uint8_t type = type_of(names[i] + top_len), *p;
		char pack[4096];
		size_t len;

		if (type == 0 || type == 'r')
			continue;
		p = load(names[i], &len);
		len = open_end(type, p, len);
		must(len <= UINT16_MAX, names[i]);
		script_add(&b, type, p, len);
		free(p);
		(void)snprintf(pack, sizeof(pack), "%s", names[i]);
		if (type != 'p')
			continue;
		memcpy(pack + strlen(pack) - 4, "par", 4);
		p = load(pack, &len);
		if (len <= UINT16_MAX)
			script_add(&b, 'r', p, len);
		free(p);
	}
	add_snapshots(&b, NULL);
	write_out(out, &b);
}

int main(int argc, char **argv)
{
	struct codec *codec = NULL;
	char path[4096];

	must(argc == 3, "usage: make_repo_seed REPO OUT");
	top_len = strlen(argv[1]) + 1;
	must(nftw(argv[1], add_name, 16, FTW_PHYS) == 0, argv[1]);
	qsort(names, nr_names, sizeof(names[0]), by_name);
	must(codec_open(3, &codec, NULL) == ERR_OK, "codec");
	for (size_t i = 0; i < nr_names; i++)
		if (strstr(names[i], ".pack"))
			take_pack(names[i], codec);
	codec_close(codec);
	(void)snprintf(path, sizeof(path), "%s-chunks", argv[2]);
	by_chunks(path);
	(void)snprintf(path, sizeof(path), "%s-files", argv[2]);
	by_files(path);
	return 0;
}
