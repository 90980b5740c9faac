/* SPDX-License-Identifier: MIT */
/*
 * A repository that is meant to do harm:
 *
 *	make_hostile KIND N PATH	a kind of the table at the end; N where it has a size
 *	make_hostile script FILE PATH	what fuzz_repo was given
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/base/bytes.h"
#include "store/base/digest.h"
#include "store/format/limits.h"
#include "tests/lib/hostile_script.h"

static struct hostile h;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "make_hostile: %s\n", what);
	exit(1);
}

/* A folder of these entries, which become their parent's entry again. */
static struct entry folder(struct entry *v, size_t nr, const char *name)
{
	struct dir_builder *b = NULL;
	struct entry dir = hostile_entry(ENTRY_DIR, name);
	struct err e = ERR_INIT;

	must(dir_builder_open(hostile_emit, &h, &b, &e) == ERR_OK, e.msg);
	for (size_t i = 0; i < nr; i++)
		must(dir_builder_add(b, &v[i], &e) == ERR_OK, e.msg);
	must(dir_builder_finish(b, &dir, &e) == ERR_OK, e.msg);
	dir_builder_close(b);
	return dir;
}

static struct entry file(const char *name, const char *text)
{
	struct entry f = hostile_entry(ENTRY_FILE, name);

	f.size = strlen(text);
	f.content = f.size ? CONTENT_INLINE : CONTENT_NONE;
	f.content_p = (const uint8_t *)text;
	f.content_len = strlen(text);
	return f;
}

static void snapshot(struct entry top)
{
	struct object_id root;

	hostile_root(&h, &top, &root);
	hostile_snapshot(&h, &root, h.nr_snapshots);
}

/* A file that is one chunk. */
static struct entry chunk_file(const char *name, const void *p, size_t len, uint8_t list[37])
{
	struct entry f = hostile_entry(ENTRY_FILE, name);
	struct segment s = { .kind = SEGMENT_CHUNK, .len = len };
	struct buf b = BUF_INIT;

	hostile_chunk(&h, PACK_DATA, p, len, &s.id);
	segment_encode(&s, &b);
	must(b.len == 37, "segment");
	memcpy(list, b.p, b.len);
	buf_release(&b);
	f.size = len;
	f.content = CONTENT_LIST;
	f.content_p = list;
	f.content_len = 37;
	return f;
}

/* N levels; each folder holds the one below twice. */
static void dag(unsigned n)
{
	uint8_t list[37];
	struct entry pair[2] = { chunk_file("a", "at the bottom of it all", 23, list), file("b", "short") };
	struct entry top = folder(pair, 2, "a");

	for (unsigned i = 1; i < n; i++) {
		pair[0] = top;
		pair[0].name = "a";
		pair[0].name_len = 1;
		pair[1] = pair[0];
		pair[1].name = "b";
		top = folder(pair, 2, "a");
	}
	snapshot(top);
}

/* The same, but that each folder's totals say that there are but two folders below it. */
static void lying_dag(unsigned n)
{
	struct entry pair[2] = { file("a", "short"), file("b", "short") };
	struct entry top = folder(pair, 2, "a");

	for (unsigned i = 1; i < n; i++) {
		pair[0] = top;
		pair[0].name = "a";
		pair[0].name_len = 1;
		if (i > 1)
			pair[0].below = (struct totals){ .dirs = 2 };
		pair[1] = pair[0];
		pair[1].name = "b";
		top = folder(pair, 2, "a");
	}
	snapshot(top);
}

/* The bottom's only chunk is in no pack: a path for each way down. */
static void broken_dag(unsigned n)
{
	uint8_t list[37] = { 0, 23 };
	struct entry pair[2] = { hostile_entry(ENTRY_FILE, "a"), file("b", "short") };
	struct entry top;

	pair[0].size = 23;
	pair[0].content = CONTENT_LIST;
	pair[0].content_p = list;
	pair[0].content_len = sizeof(list);
	top = folder(pair, 2, "a");
	for (unsigned i = 1; i < n; i++) {
		pair[0] = top;
		pair[0].name = "a";
		pair[0].name_len = 1;
		pair[1] = pair[0];
		pair[1].name = "b";
		top = folder(pair, 2, "a");
	}
	snapshot(top);
}

static void deep(unsigned n)
{
	struct entry one = file("bottom", "here");
	struct entry top = folder(&one, 1, "d");

	for (unsigned i = 1; i < n; i++) {
		one = top;
		top = folder(&one, 1, "d");
	}
	snapshot(top);
}

/* A leaf whose entries' names are patched: bytes of the same length. */
static void names(unsigned n)
{
	static const struct {
		const char *legal, *bad;
		size_t len;
	} rows[] = {
		{ "x", "/", 1 }, { "xx", "..", 2 }, { "x", ".", 1 }, { "xxx", "x\0x", 3 }, { "xxxxxxxx", "../../up", 8 },
		{ "xxxx", "/etc", 4 }, { "b", "a", 1 }, { "b", "A", 1 },
	};

	(void)n;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct entry two[2] = { file("a", "first"), file(rows[i].legal, "second") }, top;
		struct object_id id;
		struct buf leaf = BUF_INIT;
		uint8_t *at;

		/* Built by hand: one owner without names, two entries. */
		buf_add(&leaf, "VNOD\1\1\0\0", 8);
		buf_add_le32(&leaf, 2);
		buf_add_le32(&leaf, 0);
		buf_add_le16(&leaf, 1);
		buf_add_le64(&leaf, 0);
		buf_add_le16(&leaf, 0);
		entryrec_encode(&two[0], 0, &leaf);
		entryrec_encode(&two[1], 0, &leaf);
		at = memmem(leaf.p, leaf.len, "second", 6);
		must(at != NULL, "leaf");
		/* tag, length, content; before it the name */
		at -= 5 + rows[i].len;
		must(memcmp(at, rows[i].legal, rows[i].len) == 0, "name");
		memcpy(at, rows[i].bad, rows[i].len);
		hostile_chunk(&h, PACK_TREE, leaf.p, leaf.len, &id);
		buf_release(&leaf);
		top = hostile_entry(ENTRY_DIR, "");
		top.node = id;
		top.nr_entries = 2;
		top.below.files = 2;
		top.below.bytes = 11;
		top.below.sums_len = 136;
		snapshot(top);
	}
}

/* N blocks of 16 MiB of zeros each: a thousandth on the medium; and frames that declare what they are not. */
static void bomb(unsigned n)
{
	static uint8_t zeros[CHUNK_LEN_MAX];
	uint8_t frame[64] = { 0x28, 0xb5, 0x2f, 0xfd, 0xe0 };	/* eight bytes of content size, single segment */
	struct chunk_desc d[2];
	struct segment s = { .kind = SEGMENT_CHUNK, .len = CHUNK_LEN_MAX };
	struct content_builder *b = NULL;
	struct entry v[3] = { hostile_entry(ENTRY_FILE, "a-big"), hostile_entry(ENTRY_FILE, "b-declares"),
			      file("c-whole", "whole") };
	struct buf list = BUF_INIT;
	struct err e = ERR_INIT;

	must(content_builder_open(hostile_emit, &h, &b, &e) == ERR_OK, e.msg);
	for (unsigned i = 0; i < n; i++) {
		(void)put_le32(zeros, i);
		hostile_chunk(&h, PACK_DATA, zeros, sizeof(zeros), &s.id);
		must(content_builder_add(b, &s, &e) == ERR_OK, e.msg);
	}
	must(content_builder_finish(b, &v[0], &e) == ERR_OK, e.msg);
	v[0].flags = ENTRY_HAS_SHA256;
	/* 2^60 bytes, it says. */
	(void)put_le64(frame + 5, UINT64_C(1) << 60);
	memset(d, 0x77, sizeof(d));
	d[0].len = 100;
	hostile_block(&h, PACK_DATA, d, 1, frame, sizeof(frame));
	s = (struct segment){ .kind = SEGMENT_CHUNK, .len = 100, .id = d[0].id };
	segment_encode(&s, &list);
	v[1].size = 100;
	v[1].content = CONTENT_LIST;
	v[1].content_p = list.p;
	v[1].content_len = list.len;
	snapshot(folder(v, 3, ""));
	content_builder_close(b);
	buf_release(&list);
}

/* N snapshots of one tree. */
static void snapshots(unsigned n)
{
	struct entry one = file("file", "content"), top = folder(&one, 1, "");
	struct object_id root;

	hostile_root(&h, &top, &root);
	for (unsigned i = 0; i < n; i++)
		hostile_snapshot(&h, &root, i / 3);
}

static void odd(unsigned n)
{
	struct entry v[] = {
		hostile_entry(ENTRY_CHARDEV, "a-kmem"), hostile_entry(ENTRY_BLOCKDEV, "b-disk"),
		file("c-setuid", "#!/bin/sh\n"), hostile_entry(ENTRY_FIFO, "d-fifo"),
		hostile_entry(ENTRY_SYMLINK, "e-out"), hostile_entry(ENTRY_SYMLINK, "f-up"), file("g-flags", "x"),
	};
	static const char out[] = "/etc/passwd", up[] = "../../../../../../../../etc";
	struct entry below = file("passwd", "hostile"), top;
	struct entry all[sizeof(v) / sizeof(v[0]) + 1];

	(void)n;
	v[0].rdev_major = 1;
	v[0].rdev_minor = 2;
	v[1].rdev_major = 8;
	v[0].mode = v[1].mode = 0666;
	v[2].mode = 06777;
	v[4].target = out;
	v[4].target_len = v[4].size = sizeof(out) - 1;
	v[5].target = up;
	v[5].target_len = v[5].size = sizeof(up) - 1;
	v[6].inode_flags = 0x30;	/* immutable, append only */
	memcpy(all, v, sizeof(v));
	all[sizeof(v) / sizeof(v[0])] = folder(&below, 1, "h-dir");
	top = folder(all, sizeof(all) / sizeof(all[0]), "");
	snapshot(top);
	/* Another, in which what was a link is a folder: a restore over the first must not go through it. */
	all[5] = folder(&below, 1, "f-up");
	snapshot(folder(all, sizeof(all) / sizeof(all[0]), ""));
}

/* Files of 2^63 - 1 bytes that are one hole, and of a tree of the same chunk over and over. */
static void sizes(unsigned n)
{
	static const uint8_t chunk[4096] = { 1 };
	struct segment hole = { .kind = SEGMENT_HOLE, .len = INT64_MAX };
	struct segment s = { .kind = SEGMENT_CHUNK, .len = sizeof(chunk) };
	struct entry v[3] = { hostile_entry(ENTRY_FILE, "a-hole"), hostile_entry(ENTRY_FILE, "b-again"),
			      file("c-whole", "whole") };
	struct buf list = BUF_INIT, node = BUF_INIT;
	uint64_t bytes = sizeof(chunk);
	struct object_id id;

	segment_encode(&hole, &list);
	v[0].size = v[0].hole_bytes = INT64_MAX;
	v[0].content = CONTENT_LIST;
	v[0].content_p = list.p;
	v[0].content_len = list.len;
	hostile_chunk(&h, PACK_DATA, chunk, sizeof(chunk), &s.id);
	for (unsigned level = 0; level <= n; level++) {
		buf_reset(&node);
		buf_add(&node, "VNOD\1", 5);
		buf_add_u8(&node, level ? NODE_CONTENT_INNER : NODE_CONTENT_LEAF);
		buf_add_u8(&node, (uint8_t)level);
		buf_add_u8(&node, 0);
		buf_add_le32(&node, 100);
		buf_add_le32(&node, 0);
		for (unsigned i = 0; i < 100 && level == 0; i++)
			segment_encode(&s, &node);
		for (unsigned i = 0; i < 100 && level > 0; i++) {
			buf_add(&node, id.b, ID_LEN);
			buf_add_le64(&node, bytes);
		}
		bytes *= 100;
		hostile_chunk(&h, PACK_TREE, node.p, node.len, &id);
	}
	v[1].size = bytes;
	v[1].content = CONTENT_NODE;
	v[1].node = id;
	v[1].flags = ENTRY_HAS_SHA256;
	snapshot(folder(v, 3, ""));
	buf_release(&list);
	buf_release(&node);
}

/* A file with as many attributes as fit, each of 64 KiB that are one chunk; and one with many small ones. */
static void xattrs(unsigned n)
{
	static const uint8_t value[XATTR_VALUE_MAX] = { 'x' };
	struct entry v[2] = { file("a-large", "x"), file("b-many", "x") };
	struct buf large = BUF_INIT, many = BUF_INIT;
	struct xattr x = { .in_chunk = true, .value_len = sizeof(value) };
	char name[32];

	(void)n;
	hostile_chunk(&h, PACK_TREE, value, sizeof(value), &x.id);
	for (unsigned i = 0; large.len < XATTRS_LEN_MAX - 64; i++) {
		x.name = name;
		x.name_len = (size_t)snprintf(name, sizeof(name), "user.%06u", i);
		xattr_encode(&x, &large);
	}
	x = (struct xattr){ .value = value, .value_len = 1 };
	for (unsigned i = 0; many.len < XATTRS_LEN_MAX - 64; i++) {
		x.name = name;
		x.name_len = (size_t)snprintf(name, sizeof(name), "user.%06u", i);
		xattr_encode(&x, &many);
	}
	v[0].xattrs = large.p;
	v[0].xattrs_len = large.len;
	v[1].xattrs = many.p;
	v[1].xattrs_len = many.len;
	snapshot(folder(v, 2, ""));
	buf_release(&large);
	buf_release(&many);
}

/* N lines of a log, half of them with a right check, and no line break for as long. */
static void log_lines(unsigned n)
{
	struct entry one = file("file", "content");
	struct buf b = BUF_INIT, line = BUF_INIT;
	char hex[ID_HEX_LEN + 1];
	struct object_id id;

	snapshot(folder(&one, 1, ""));
	for (unsigned i = 0; i < n; i++) {
		buf_reset(&line);
		buf_printf(&line, "{\"time\":\"2026-11-21T02:00:00.000000000Z\",\"event\":\"%s\",\"path\":\"/nowhere/%u\"",
			   i % 3 ? "replica" : "damage", i);
		digest_sha256(line.p, line.len, &id);
		buf_printf(&line, ",\"check\":\"%.16s\"}%s", i % 2 ? id_hex(&id, hex) : "0123456789abcdef",
			   i > n / 2 && i < n / 2 + n / 20 ? "" : "\n");
		buf_add(&b, line.p, line.len);
	}
	hostile_file(&h, "log/686f7374-2026-11.ndjson", b.p, b.len);
	buf_release(&b);
	buf_release(&line);
}

static const struct {
	const char *name;
	void (*fn)(unsigned n);
} kinds[] = {
	{ "dag", dag }, { "lying-dag", lying_dag }, { "broken-dag", broken_dag }, { "deep", deep },
	{ "names", names }, { "bomb", bomb }, { "snapshots", snapshots }, { "odd", odd }, { "sizes", sizes },
	{ "xattrs", xattrs }, { "log", log_lines },
};

static void from_script(const char *path, const char *repo)
{
	static uint8_t bytes[(size_t)1 << 22];
	FILE *f = fopen(path, "r");
	size_t n;

	must(f != NULL, path);
	n = fread(bytes, 1, sizeof(bytes), f);
	must(n > 0 && fclose(f) == 0, path);
	script_play(bytes + 1, n - 1, repo);
}

int main(int argc, char **argv)
{
	must(argc == 4, "usage: make_hostile KIND N PATH, or script FILE PATH");
	if (strcmp(argv[1], "script") == 0) {
		from_script(argv[2], argv[3]);
		return 0;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(argv[1], kinds[i].name) != 0)
			continue;
		hostile_begin(&h, argv[3]);
		kinds[i].fn((unsigned)strtoul(argv[2], NULL, 10));
		hostile_end(&h);
		return 0;
	}
	must(false, "no such kind");
}
