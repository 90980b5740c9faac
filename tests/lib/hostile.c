/* SPDX-License-Identifier: MIT */
#include "tests/lib/hostile.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/bytes.h"
#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/format/limits.h"
#include "store/format/snaprec.h"
#include "store/format/superblock.h"
#include "store/store.h"

#define PACK_FILL	((size_t)24 << 20)

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

void hostile_file(struct hostile *h, const char *name, const void *buf, size_t len)
{
	char path[1024];
	int fd;

	must(snprintf(path, sizeof(path), "%s/%s", h->path, name) < (int)sizeof(path), name);
	for (char *p = path + strlen(h->path) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		(void)mkdir(path, 0700);
		*p = '/';
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(fd >= 0 && write(fd, buf, len) == (ssize_t)len && close(fd) == 0, path);
}

void hostile_begin(struct hostile *h, const char *path)
{
	struct superblock s = { .id = "hostile reposit", .created = "2026-11-21T02:00:00.000000000Z" };
	struct buf b = BUF_INIT;

	*h = (struct hostile){ .nr_snapshots = 0 };
	must(snprintf(h->path, sizeof(h->path), "%s", path) < (int)sizeof(h->path), path);
	must(mkdir(path, 0700) == 0, path);
	must(codec_open(3, &h->codec, NULL) == ERR_OK, "codec");
	store_params_default(&s.params);
	superblock_encode(&s, &b);
	hostile_file(h, "vouch.json", b.p, b.len);
	hostile_file(h, "copies/vouch.json", b.p, b.len);
	buf_release(&b);
}

void hostile_pack_file(struct hostile *h, const void *buf, size_t len)
{
	char hex[ID_HEX_LEN + 1], name[128];
	struct object_id id;

	digest_sha256(buf, len, &id);
	(void)id_hex(&id, hex);
	(void)snprintf(name, sizeof(name), "packs/%.2s/%s.pack", hex, hex);
	hostile_file(h, name, buf, len);
}

/* The block whose header's frame is at at: where the next one would be, 0 where this is none. */
static size_t mend_block(uint8_t *buf, size_t len, size_t at)
{
	struct rd r = rd_init(buf + at, len - at);
	uint32_t magic = rd_le32(&r), payload = rd_le32(&r), stored;
	uint8_t *p = buf + at + FRAME_HEAD_LEN;

	if (r.bad || magic != FRAME_BLOCK_HEADER || payload < BLOCK_HEADER_FIXED + 8 ||
	    payload > len - at - FRAME_HEAD_LEN)
		return 0;
	r = rd_init(p + 20, 4);
	stored = rd_le32(&r);
	if (stored <= len - at - FRAME_HEAD_LEN - payload)
		(void)put_le64(p + 24, digest_xxh3(p + payload, stored));
	(void)put_le64(p + payload - 8, digest_xxh3(p, payload - 8));
	return stored <= len - at - FRAME_HEAD_LEN - payload ? at + FRAME_HEAD_LEN + payload + stored : 0;
}

void hostile_pack_mend(uint8_t *buf, size_t len)
{
	struct rd r;
	uint32_t frame;

	if (len < PACK_HEADER_LEN)
		return;
	(void)put_le64(buf + 64, digest_xxh3(buf + 8, 56));
	for (size_t at = PACK_HEADER_LEN; at != 0 && at < len;)
		at = mend_block(buf, len, at);
	if (len < PACK_HEADER_LEN + PACK_FOOTER_LEN)
		return;
	r = rd_init(buf + len - PACK_FOOTER_LEN + 8, 4);
	frame = rd_le32(&r);
	if (frame >= PACK_FOOTER_LEN && frame <= len - PACK_HEADER_LEN)
		(void)put_le64(buf + len - 16, digest_xxh3(buf + len - frame, frame - 16));
}

static void write_pack(struct hostile *h, enum pack_kind kind)
{
	struct hostile_pack *p = &h->packs[kind - 1];
	struct packtable t = { .kind = kind };

	if (p->blocks.len == 0)
		return;
	t.nr_blocks = (uint32_t)(p->blocks.len / sizeof(struct table_block));
	t.nr_chunks = (uint32_t)(p->chunks.len / sizeof(struct chunk_desc));
	t.blocks = (void *)p->blocks.p;
	t.chunks = (void *)p->chunks.p;
	t.pack_len = p->bytes.len + packtable_frame_len(t.nr_blocks, t.nr_chunks);
	packtable_encode(&t, &p->bytes);
	must(!p->bytes.bad, "memory");
	hostile_pack_file(h, p->bytes.p, p->bytes.len);
	buf_reset(&p->bytes);
	buf_reset(&p->blocks);
	buf_reset(&p->chunks);
}

void hostile_block(struct hostile *h, enum pack_kind kind, const struct chunk_desc *chunks, uint32_t nr,
		   const uint8_t *frame, size_t frame_len)
{
	struct hostile_pack *p = &h->packs[kind - 1];
	const struct pack_header head = { kind };
	struct block_header b = { .codec = CODEC_ZSTD, .nr_chunks = nr, .stored_len = (uint32_t)frame_len };
	struct table_block t = { .stored_len = b.stored_len, .nr_chunks = nr };
	uint8_t *room;

	if (p->bytes.len > PACK_FILL || p->blocks.len / sizeof(t) >= PACK_BLOCKS_MAX ||
	    p->chunks.len / sizeof(*chunks) + nr > PACK_CHUNKS_MAX)
		write_pack(h, kind);
	if (p->bytes.len == 0) {
		room = buf_room(&p->bytes, PACK_HEADER_LEN);
		must(room != NULL, "memory");
		pack_header_encode(&head, room);
		p->bytes.len = PACK_HEADER_LEN;
	}
	t.off = (uint32_t)p->bytes.len;
	t.first_chunk = (uint32_t)(p->chunks.len / sizeof(*chunks));
	b.number = (uint32_t)(p->blocks.len / sizeof(t));
	for (uint32_t i = 0; i < nr; i++)
		b.plain_len += chunks[i].len;
	t.plain_len = b.plain_len;
	b.xxh3 = digest_xxh3(frame, frame_len);
	block_header_encode(&b, chunks, &p->bytes);
	buf_add(&p->bytes, frame, frame_len);
	buf_add(&p->blocks, &t, sizeof(t));
	buf_add(&p->chunks, chunks, nr * sizeof(*chunks));
	must(!p->bytes.bad && !p->blocks.bad && !p->chunks.bad, "memory");
}

void hostile_chunk(struct hostile *h, enum pack_kind kind, const void *buf, size_t len,
		   struct object_id *id)
{
	uint8_t *frame = codec_scratch(h->codec, codec_bound(len));
	enum block_codec codec;
	struct chunk_desc d = { .len = (uint32_t)len };
	size_t n = 0;

	digest_sha256(buf, len, &d.id);
	must(frame && codec_compress(h->codec, buf, len, frame, codec_bound(len), &n, &codec, NULL) == ERR_OK,
	     "codec");
	hostile_block(h, kind, &d, 1, frame, n);
	*id = d.id;
}

enum err_code hostile_emit(void *ctx, const uint8_t *buf, size_t len, struct object_id *id,
			   struct err *e)
{
	(void)e;
	hostile_chunk(ctx, PACK_TREE, buf, len, id);
	return ERR_OK;
}

void hostile_end(struct hostile *h)
{
	write_pack(h, PACK_DATA);
	write_pack(h, PACK_TREE);
	for (int i = 0; i < 2; i++) {
		buf_release(&h->packs[i].bytes);
		buf_release(&h->packs[i].blocks);
		buf_release(&h->packs[i].chunks);
	}
	codec_close(h->codec);
	h->codec = NULL;
}

void hostile_snapshot_json(struct hostile *h, const void *buf, size_t len)
{
	char name[SNAPSHOT_NAME_LEN + 1], path[128];
	struct vtime t = { 0, 0 };
	struct snapshot s;
	struct object_id id;

	digest_sha256(buf, len, &id);
	if (snaprec_decode(buf, len, &s, NULL) == ERR_OK) {
		t = s.time;
		snapshot_release(&s);
	}
	snaprec_name(&t, &id, name);
	(void)snprintf(path, sizeof(path), "snapshots/%s.json", name);
	hostile_file(h, path, buf, len);
	(void)snprintf(path, sizeof(path), "copies/snapshots/%s.json", name);
	hostile_file(h, path, buf, len);
}

void hostile_snapshot(struct hostile *h, const struct object_id *root, int64_t sec)
{
	static char text[] = "hostile", source[] = "/";
	char *sources[] = { source };
	struct snapshot s = {
		.root = *root, .name = text, .host = text, .user = text, .version = text,
		.sources = sources, .nr_sources = 1, .base = text + 7,
		.time = { 1700000000 + sec, 0 }, .end = { 1700000001 + sec, 0 },
		.writer = "hostile writers", .seq = ++h->nr_snapshots,
	};
	struct buf b = BUF_INIT;

	snaprec_encode(&s, &b);
	must(!b.bad, "memory");
	hostile_snapshot_json(h, b.p, b.len);
	buf_release(&b);
}

void hostile_root(struct hostile *h, struct entry *dir, struct object_id *id)
{
	dir->name = "";
	dir->name_len = 0;
	must(root_emit(dir, hostile_emit, h, id, NULL) == ERR_OK, "root");
}

struct entry hostile_entry(enum entry_type type, const char *name)
{
	return (struct entry){ .name = name, .name_len = strlen(name), .type = type, .mode = 0755,
			       .user = "", .group = "", .mtime = { 1700000000, 0 },
			       .ctime = { 1700000000, 0 }, .nlink = 1 };
}
