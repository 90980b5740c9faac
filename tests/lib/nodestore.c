/* SPDX-License-Identifier: MIT */
#include "tests/lib/nodestore.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/digest.h"

void nodestore_release(struct nodestore *s)
{
	for (size_t i = 0; i < s->nr; i++)
		free(s->nodes[i].p);
	free(s->nodes);
	*s = (struct nodestore){ 0 };
}

enum err_code nodestore_emit(void *ctx, const uint8_t *buf, size_t len, struct object_id *id,
			     struct err *e)
{
	struct nodestore *s = ctx;
	struct nodestore_node n = { .len = len };

	if (s->fail_at == s->nr + 1)
		return err_set(e, ERR_IO, "emit %zu fails as asked", s->fail_at);
	if (s->nr == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		void *p = realloc(s->nodes, cap * sizeof(s->nodes[0]));

		if (!p)
			return err_set(e, ERR_NOMEM, "nodes");
		s->nodes = p;
		s->cap = cap;
	}
	n.p = malloc(len);
	if (!n.p)
		return err_set(e, ERR_NOMEM, "node");
	memcpy(n.p, buf, len);
	digest_sha256(buf, len, &n.id);
	s->nodes[s->nr++] = n;
	if (len > s->max_len)
		s->max_len = len;
	*id = n.id;
	return ERR_OK;
}

const struct nodestore_node *nodestore_get(const struct nodestore *s, const struct object_id *id)
{
	for (size_t i = 0; i < s->nr; i++)
		if (id_eq(&s->nodes[i].id, id))
			return &s->nodes[i];
	return NULL;
}

size_t nodestore_new(const struct nodestore *a, const struct nodestore *b)
{
	size_t n = 0;

	for (size_t i = 0; i < a->nr; i++)
		n += !nodestore_get(b, &a->nodes[i].id);
	return n;
}

/* Two attributes, one of them in a chunk, as XATTRS holds them. */
static const uint8_t xattrs[] = {
	0, 9, 3, 0, 0, 0, 'u', 's', 'e', 'r', '.', 'c', 'o', 'l', 'o', 'r', 'e', 'd',
	1, 8, 0, 0, 1, 0, 'u', 's', 'e', 'r', '.', 'o', 'n', 'e',
	1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
	17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
};

/* One chunk of 1000 bytes; and the same before a hole of 2^40 and another chunk of 24. */
static const uint8_t list[] = {
	0, 0xe8, 3, 0, 0,
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
	1,
	1, 0, 0, 0, 0, 0, 1, 0, 0,
	0, 24, 0, 0, 0,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2,
};

static void sample_dir(struct entry *e)
{
	memset(e->node.b, 0xd1, ID_LEN);
	e->nr_entries = 5;
	e->nr_subdirs = 2;
	e->below = (struct totals){ .files = 7, .dirs = 3, .others = 1, .bytes = 12345,
				    .sums_len = 7 * 80, .sums_escaped = 2 };
}

void sample_entry(struct entry *e, enum entry_type type, const char *name)
{
	*e = (struct entry){
		.name = name, .name_len = strlen(name), .type = type,
		.flags = ENTRY_UNSETTLED, .mode = 04755, .uid = 1000, .gid = 4294967294u,
		.user = "ann", .user_len = 3, .group = "staff", .group_len = 5,
		.mtime = { -1, 999999999 }, .ctime = { INT64_C(1) << 40, 1 },
		.dev = 0xfd01, .inode = UINT64_MAX, .nlink = 1, .inode_flags = 0x800070,
		.xattrs = xattrs, .xattrs_len = sizeof(xattrs),
	};
	switch (type) {
	case ENTRY_DIR:
		sample_dir(e);
		return;
	case ENTRY_SYMLINK:
		e->target = "../to/\\there";
		e->target_len = strlen(e->target);
		e->size = e->target_len;
		break;
	case ENTRY_CHARDEV:
	case ENTRY_BLOCKDEV:
		e->rdev_major = 8;
		e->rdev_minor = 0xfffff;
		break;
	default:
		break;
	}
	e->flags |= ENTRY_HARDLINK;
	e->nlink = 2;
}

static void sample_content(struct entry *e, enum content_kind kind, size_t list_len)
{
	e->content = kind;
	e->flags |= ENTRY_HAS_SHA256;
	memset(e->sha256.b, 0x5a, ID_LEN);
	if (kind == CONTENT_LIST) {
		e->content_p = list;
		e->content_len = list_len;
		e->size = 1000;
		if (list_len > 37) {
			e->hole_bytes = UINT64_C(1) << 40;
			e->size += e->hole_bytes + 24;
		}
	} else {
		memset(e->node.b, 0xc1, ID_LEN);
		e->size = INT64_MAX;
		e->hole_bytes = INT64_MAX - 7;
	}
}

void sample_kind(struct entry *e, unsigned kind, const char *name)
{
	static const enum entry_type types[SAMPLE_KINDS] = {
		ENTRY_FILE, ENTRY_DIR, ENTRY_SYMLINK, ENTRY_CHARDEV, ENTRY_BLOCKDEV, ENTRY_FIFO,
		ENTRY_FILE, ENTRY_FILE, ENTRY_FILE, ENTRY_FILE,
	};

	sample_entry(e, types[kind], name);
	if (kind == 6) {
		e->content = CONTENT_INLINE;
		e->content_p = (const uint8_t *)"a\0b";
		e->size = e->content_len = 3;
	} else if (kind == 7) {
		sample_content(e, CONTENT_LIST, 37);
		memset(e->sha256.b, 1, ID_LEN);		/* the chunk's id: left out */
	} else if (kind == 8) {
		sample_content(e, CONTENT_LIST, sizeof(list));
	} else if (kind == 9) {
		sample_content(e, CONTENT_NODE, 0);
	}
}

static bool bytes_same(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool totals_same(const struct totals *a, const struct totals *b)
{
	return a->files == b->files && a->dirs == b->dirs && a->others == b->others &&
	       a->bytes == b->bytes && a->sums_len == b->sums_len &&
	       a->sums_escaped == b->sums_escaped;
}

bool entry_same(const struct entry *a, const struct entry *b)
{
	return bytes_same(a->name, a->name_len, b->name, b->name_len) && a->type == b->type &&
	       a->flags == b->flags && a->mode == b->mode && a->uid == b->uid &&
	       a->gid == b->gid && bytes_same(a->user, a->user_len, b->user, b->user_len) &&
	       bytes_same(a->group, a->group_len, b->group, b->group_len) &&
	       a->mtime.sec == b->mtime.sec && a->mtime.nsec == b->mtime.nsec &&
	       a->ctime.sec == b->ctime.sec && a->ctime.nsec == b->ctime.nsec &&
	       a->dev == b->dev && a->inode == b->inode && a->nlink == b->nlink &&
	       a->size == b->size && a->hole_bytes == b->hole_bytes &&
	       a->rdev_major == b->rdev_major && a->rdev_minor == b->rdev_minor &&
	       a->inode_flags == b->inode_flags &&
	       bytes_same(a->target, a->target_len, b->target, b->target_len) &&
	       bytes_same(a->xattrs, a->xattrs_len, b->xattrs, b->xattrs_len) &&
	       id_eq(&a->sha256, &b->sha256) && a->content == b->content &&
	       bytes_same(a->content_p, a->content_len, b->content_p, b->content_len) &&
	       id_eq(&a->node, &b->node) && totals_same(&a->below, &b->below) &&
	       a->nr_entries == b->nr_entries && a->nr_subdirs == b->nr_subdirs;
}
