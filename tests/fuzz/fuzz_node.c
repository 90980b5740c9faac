/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a node.  What decodes can be used in every way a node is used, and
 * what it says can be encoded again and reads back as the same.
 */
#include <stdlib.h>
#include <string.h>

#include "store/base/digest.h"
#include "store/format/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static enum err_code emit(void *ctx, const uint8_t *buf, size_t len, struct object_id *id,
			  struct err *e)
{
	struct node n;

	(void)ctx;
	must(node_decode(buf, len, &n, e) == ERR_OK);	/* what we write, we can read */
	node_release(&n);
	digest_sha256(buf, len, id);
	return ERR_OK;
}

static void entry_again(const struct entry *ent, bool root)
{
	const struct owner o = { .uid = ent->uid, .gid = ent->gid, .user = ent->user,
				 .user_len = ent->user_len, .group = ent->group,
				 .group_len = ent->group_len };
	struct buf a = BUF_INIT, b = BUF_INIT;
	struct entry again;
	struct rd r;

	entryrec_encode(ent, 0, &a);
	must(!a.bad);
	r = rd_init(a.p, a.len);
	must(entryrec_decode(&r, &o, 1, root, &again, NULL) == ERR_OK && rd_end(&r));
	entryrec_encode(&again, 0, &b);
	must(a.len == b.len && memcmp(a.p, b.p, a.len) == 0);
	buf_release(&a);
	buf_release(&b);
}

static void leaf(const struct node *n)
{
	struct dir_builder *b = NULL;
	struct object_id id;
	struct entry ent, dir;

	must(dir_builder_open(emit, NULL, &b, NULL) == ERR_OK);
	for (uint32_t i = 0; i < n->nr; i++) {
		struct rd r;
		struct xattr x;
		volatile uint8_t sum = 0;

		node_entry(n, i, &ent);
		entry_again(&ent, n->kind == NODE_ROOT);
		r = rd_init(ent.xattrs, ent.xattrs_len);
		while (xattr_next(&r, &x))
			for (size_t k = 0; !x.in_chunk && k < x.value_len; k++)
				sum ^= x.value[k];
		must(rd_end(&r));
		if (n->kind == NODE_ROOT) {
			must(root_emit(&ent, emit, NULL, &id, NULL) == ERR_OK);
			continue;
		}
		must(node_lower_bound(n, ent.name, ent.name_len) == i);
		must(dir_builder_add(b, &ent, NULL) == ERR_OK);
	}
	must(dir_builder_finish(b, &dir, NULL) == ERR_OK);
	must(n->kind == NODE_ROOT || dir.nr_entries == n->nr);
	dir_builder_close(b);
}

static void content(const struct node *n)
{
	struct content_builder *b = NULL;
	struct entry file = { 0 };

	must(content_builder_open(emit, NULL, &b, NULL) == ERR_OK);
	for (uint32_t i = 0; i < n->nr; i++) {
		struct segment s;

		node_segment(n, i, &s);
		must(s.len == n->starts[i + 1] - n->starts[i]);
		must(content_builder_add(b, &s, NULL) == ERR_OK);
	}
	must(content_builder_finish(b, &file, NULL) == ERR_OK);
	must(file.size == n->starts[n->nr]);
	content_builder_close(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct err e = ERR_INIT;
	struct node n;

	if (node_decode(data, len, &n, &e)) {
		must(e.code == ERR_CORRUPT || e.code == ERR_UNSUPPORTED);
		return 0;
	}
	switch (n.kind) {
	case NODE_DIR_LEAF:
	case NODE_ROOT:
		leaf(&n);
		break;
	case NODE_DIR_INNER:
		for (uint32_t i = 0; i < n.nr; i++)
			must(node_lower_bound(&n, n.children[i].first,
					      n.children[i].first_len) == i);
		break;
	case NODE_CONTENT_LEAF:
		content(&n);
		break;
	case NODE_CONTENT_INNER:
		for (uint32_t i = 0; i < n.nr; i++)
			must(n.children[i].bytes == n.starts[i + 1] - n.starts[i]);
		break;
	}
	node_release(&n);
	return 0;
}
