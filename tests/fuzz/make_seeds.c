/* SPDX-License-Identifier: MIT */
/*
 * Writes the fuzzers' first inputs, one of each kind of record, below a folder:
 *
 *	make build/tests/fuzz/make_seeds && build/tests/fuzz/make_seeds tests/fuzz/corpus
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/engine/codec.h"
#include "store/format/packtable.h"
#include "store/format/parfile.h"
#include "store/format/forgetrec.h"
#include "store/format/limits.h"
#include "store/format/snaprec.h"
#include "store/format/superblock.h"
#include "tests/lib/nodestore.h"

static const char *top;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void seed(const char *folder, const char *name, const void *p, size_t len)
{
	char path[1024];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", top, folder);
	(void)mkdir(path, 0777);
	(void)snprintf(path, sizeof(path), "%s/%s/%s", top, folder, name);
	f = fopen(path, "w");
	must(f && fwrite(p, 1, len, f) == len && fclose(f) == 0, path);
}

static void node_seed(const struct nodestore *s, const struct object_id *id, const char *name)
{
	const struct nodestore_node *n = nodestore_get(s, id);

	must(n != NULL, name);
	seed("node", name, n->p, n->len);
}

/* A leaf with every kind of entry, a large directory's inner node, a root. */
static void dir_seeds(void)
{
	struct nodestore s = { 0 };
	struct dir_builder *b = NULL;
	struct entry ent, dir, root;
	struct object_id id;
	struct err e = ERR_INIT;
	char name[16];

	must(dir_builder_open(nodestore_emit, &s, &b, &e) == ERR_OK, e.msg);
	for (unsigned i = 0; i < SAMPLE_KINDS; i++) {
		(void)snprintf(name, sizeof(name), "%c\n", 'a' + (int)i);
		sample_kind(&ent, i, name);
		ent.uid = i % 3;
		must(dir_builder_add(b, &ent, &e) == ERR_OK, e.msg);
	}
	sample_entry(&root, ENTRY_DIR, "");
	must(dir_builder_finish(b, &root, &e) == ERR_OK, e.msg);
	node_seed(&s, &root.node, "leaf");
	must(root_emit(&root, nodestore_emit, &s, &id, &e) == ERR_OK, e.msg);
	node_seed(&s, &id, "root");
	must(dir_builder_finish(b, &dir, &e) == ERR_OK, e.msg);
	node_seed(&s, &dir.node, "empty");
	for (unsigned i = 0; i < 3000; i++) {
		(void)snprintf(name, sizeof(name), "%05u", i);
		sample_kind(&ent, i % (SAMPLE_KINDS - 3), name);	/* those of ordinary size */
		must(dir_builder_add(b, &ent, &e) == ERR_OK, e.msg);
	}
	must(dir_builder_finish(b, &dir, &e) == ERR_OK, e.msg);
	node_seed(&s, &dir.node, "inner");
	dir_builder_close(b);
	nodestore_release(&s);
}

static void content_seeds(void)
{
	struct nodestore s = { 0 };
	struct content_builder *b = NULL;
	struct err e = ERR_INIT;
	struct entry file;

	must(content_builder_open(nodestore_emit, &s, &b, &e) == ERR_OK, e.msg);
	for (unsigned nr = 20; nr <= 8000; nr += 7980) {
		for (unsigned i = 0; i < nr; i++) {
			struct segment g = { .kind = i % 5 == 4, .len = 1000 + i };

			memset(g.id.b, (int)i, sizeof(g.id.b));
			must(content_builder_add(b, &g, &e) == ERR_OK, e.msg);
		}
		must(content_builder_finish(b, &file, &e) == ERR_OK, e.msg);
		node_seed(&s, &file.node, nr == 20 ? "content" : "content-inner");
	}
	content_builder_close(b);
	nodestore_release(&s);
}

static void record_seeds(void)
{
	static char source[] = "/etc", odd[] = "/sr\xff", tag[] = "nightly", word[] = "word";
	char *sources[] = { source, odd }, *tags[] = { tag };
	struct component_outcome c = { word, word, word, odd };
	struct superblock super = { .id = { 1, 2, 3 }, .created = "2026-11-21T02:00:00.000000000Z" };
	struct snapshot s = {
		.host = word, .user = word, .version = word, .base = odd, .sources = sources,
		.nr_sources = 2, .tags = tags, .nr_tags = 1, .components = &c, .nr_components = 1,
		.time = { 1795226400, 1 }, .end = { 1795226401, 2 }, .seq = 2,
		.has_previous = true, .new_bytes = UINT64_MAX,
	};
	struct forgotten f = {
		.name = (char[]){ "2026-11-21T02-00-00Z-1c9e0d2a3b4c5d6e" }, .reason = odd,
		.seq = 3, .has_previous = true, .time = { 1795226400, 1 },
	};
	struct buf b = BUF_INIT;

	store_params_default(&super.params);
	superblock_encode(&super, &b);
	seed("superblock", "default", b.p, b.len);
	seed("superblock", "nothing", "", 0);
	buf_reset(&b);
	snaprec_encode(&s, &b);
	seed("snaprec", "full", b.p, b.len);
	s = (struct snapshot){ 0 };
	buf_reset(&b);
	snaprec_encode(&s, &b);
	seed("snaprec", "empty", b.p, b.len);
	buf_reset(&b);
	forgetrec_encode(&f, &b);
	/* the target adds the closing line */
	seed("forgetrec", "full", b.p, b.len - strlen("\"sha256\":\"\"}\n") - ID_HEX_LEN);
	buf_release(&b);
}

static void pack_seeds(void)
{
	static struct chunk_desc chunks[3];
	struct table_block blocks[2] = { { .plain_len = 3000, .stored_len = 100, .nr_chunks = 2 },
					 { .plain_len = 1000, .stored_len = 50, .first_chunk = 2,
					   .nr_chunks = 1 } };
	struct packtable t = { .kind = PACK_TREE, .nr_blocks = 2, .nr_chunks = 3,
			       .blocks = blocks, .chunks = chunks };
	struct block_header h = { .number = 1, .codec = CODEC_ZSTD, .nr_chunks = 2,
				  .plain_len = 3000, .stored_len = 100, .xxh3 = 1 };
	const struct pack_header ph = { .kind = PACK_DATA };
	uint8_t head[PACK_HEADER_LEN];
	struct buf b = BUF_INIT;
	uint32_t before;

	for (unsigned i = 0; i < 3; i++) {
		memset(chunks[i].id.b, (int)i + 1, ID_LEN);
		chunks[i].len = i == 1 ? 2000 : 1000;
	}
	pack_header_encode(&ph, head);
	seed("block", "pack-header", head, sizeof(head));
	block_header_encode(&h, chunks, &b);
	seed("block", "block-header", b.p, b.len);
	blocks[0].off = PACK_HEADER_LEN;
	blocks[1].off = blocks[0].off + (uint32_t)block_header_len(2) + 100;
	before = blocks[1].off + (uint32_t)block_header_len(1) + 50;
	t.pack_len = before + packtable_frame_len(2, 3);
	buf_reset(&b);
	buf_add_le32(&b, before);
	packtable_encode(&t, &b);
	seed("packtable", "two-blocks", b.p, b.len);
	buf_release(&b);
}

static void parity_seeds(void)
{
	static uint64_t checks[1000];
	const struct object_id pack = { { 1, 2, 3 } };
	struct par_geometry g;
	uint8_t buf[PAR_SECTOR];
	struct err e = ERR_INIT;

	for (size_t i = 0; i < 1000; i++)
		checks[i] = i;
	must(par_geometry(1, 30, &g, &e) == ERR_OK, e.msg);
	par_section_encode(&g, &pack, 0, checks, buf);
	seed("parfile", "one-sector", buf, sizeof(buf));
	must(par_geometry(900 * PAR_SECTOR, 50, &g, &e) == ERR_OK, e.msg);
	par_section_encode(&g, &pack, 1, checks, buf);
	seed("parfile", "second", buf, sizeof(buf));
	/* The usual pack; and the most that a share and a length can ask for, its last section with what is left over. */
	must(par_geometry(32u << 20, 30, &g, &e) == ERR_OK, e.msg);
	par_section_encode(&g, &pack, 1, checks, buf);
	seed("parfile", "usual", buf, sizeof(buf));
	must(par_geometry(PACK_LEN_MAX, PAR_PERMILLE_MAX, &g, &e) == ERR_OK, e.msg);
	par_section_encode(&g, &pack, 0, checks, buf);
	seed("parfile", "longest", buf, sizeof(buf));
	buf[8]++;
	seed("parfile", "newer", buf, sizeof(buf));
}

/* The length promised, and the frame. */
static void codec_seed(struct codec *c, const char *name, const uint8_t *p, size_t len)
{
	static uint8_t frame[16384];
	struct buf b = BUF_INIT;
	enum block_codec codec;
	struct err e = ERR_INIT;
	size_t n = 0;

	must(codec_compress(c, p, len, frame, sizeof(frame), &n, &codec, &e) == ERR_OK, e.msg);
	buf_add_le16(&b, (uint16_t)len);
	buf_add_u8(&b, 0);
	buf_add(&b, frame, n);
	seed("codec", name, b.p, b.len);
	buf_release(&b);
}

static void codec_seeds(void)
{
	struct codec *c = NULL;
	struct err e = ERR_INIT;
	uint8_t p[8000];
	uint64_t x = 1;

	must(codec_open(3, &c, &e) == ERR_OK, e.msg);
	for (size_t i = 0; i < sizeof(p); i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		p[i] = i < 4000 ? (uint8_t)(x >> 56) : (uint8_t)("the text "[i % 9]);
	}
	codec_seed(c, "text", p + 4000, 4000);
	codec_seed(c, "noise", p, 300);
	codec_seed(c, "both", p, sizeof(p));
	codec_seed(c, "nothing", p, 0);
	codec_close(c);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		(void)fprintf(stderr, "usage: make_seeds FOLDER\n");
		return 2;
	}
	top = argv[1];
	(void)mkdir(top, 0777);
	dir_seeds();
	content_seeds();
	record_seeds();
	pack_seeds();
	parity_seeds();
	codec_seeds();
	return 0;
}
