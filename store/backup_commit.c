/* SPDX-License-Identifier: MIT */
/*
 * Steps become chunks and nodes here, in the order the walker gave them and on one thread.
 * Directory builders stand in a row, one a level, and are used again; so memory is a node a level.
 */
#include <assert.h>
#include <stdlib.h>

#include "store/backup_batch_internal.h"
#include "store/base/digest.h"
#include "store/format/limits.h"
#include "store/format/node.h"

struct committer {
	struct writer *writer;
	struct content_builder *content;
	struct dir_builder **levels;
	size_t depth, nr_levels, cap_levels; /* in use, opened, room */
	/* The file being read. */
	uint64_t nr_chunks, size, hole_bytes;
	struct object_id first_chunk;
	/* Once the outermost directory has ended. */
	bool has_root;
	struct object_id root;
	struct totals below;
};

static enum err_code emit_node(void *ctx, const uint8_t *buf, size_t len, struct object_id *id,
			       struct err *e)
{
	struct committer *c = ctx;

	if (len > NODE_LEN_MAX)
		return err_set(e, ERR_LIMIT, "node of %zu bytes", len);
	digest_sha256(buf, len, id);
	return writer_put(c->writer, PACK_TREE, id, buf, (uint32_t)len, NULL, e);
}

enum err_code committer_open(struct writer *w, struct committer **out, struct err *e)
{
	struct committer *c = calloc(1, sizeof(*c));
	enum err_code rc;

	if (!c)
		return err_set(e, ERR_NOMEM, "committer");
	c->writer = w;
	rc = content_builder_open(emit_node, c, &c->content, e);
	if (rc) {
		committer_close(c);
		return rc;
	}
	*out = c;
	return ERR_OK;
}

void committer_close(struct committer *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->nr_levels; i++)
		dir_builder_close(c->levels[i]);
	free(c->levels);
	if (c->content)
		content_builder_close(c->content);
	free(c);
}

bool committer_root(const struct committer *c, struct object_id *id, struct totals *below)
{
	if (!c->has_root)
		return false;
	*id = c->root;
	*below = c->below;
	return true;
}

static enum err_code dir_begin(struct committer *c, struct err *e)
{
	enum err_code rc;

	if (c->depth == c->cap_levels) {
		size_t cap = c->cap_levels ? 2 * c->cap_levels : 32;
		struct dir_builder **n = realloc(c->levels, cap * sizeof(n[0]));

		if (!n)
			return err_set(e, ERR_NOMEM, "%zu levels of directories", cap);
		c->levels = n;
		c->cap_levels = cap;
	}
	if (c->depth == c->nr_levels) {
		rc = dir_builder_open(emit_node, c, &c->levels[c->nr_levels], e);
		if (rc)
			return rc;
		c->nr_levels++;
	}
	c->depth++;
	return ERR_OK;
}

static enum err_code add(struct committer *c, const struct entry *ent, struct err *e)
{
	assert(c->depth > 0);
	return dir_builder_add(c->levels[c->depth - 1], ent, e);
}

static enum err_code dir_end(struct committer *c, struct entry *dir, struct err *e)
{
	enum err_code rc;

	assert(c->depth > 0);
	rc = dir_builder_finish(c->levels[c->depth - 1], dir, e);
	if (rc)
		return rc;
	c->depth--;
	if (c->depth > 0)
		return add(c, dir, e);
	rc = root_emit(dir, emit_node, c, &c->root, e);
	c->has_root = !rc;
	c->below = dir->below;
	return rc;
}

static void file_reset(struct committer *c)
{
	c->nr_chunks = c->size = c->hole_bytes = 0;
}

static enum err_code chunk(struct committer *c, const struct batch *b, const struct step *t,
			   struct err *e)
{
	const struct segment seg = {.kind = SEGMENT_CHUNK, .len = t->len, .id = t->id};
	enum err_code rc =
	    writer_put(c->writer, PACK_DATA, &t->id, b->data + t->off, t->len, NULL, e);

	if (rc || t->kind == STEP_VALUE)
		return rc;
	if (c->nr_chunks++ == 0)
		c->first_chunk = t->id;
	c->size += t->len;
	return content_builder_add(c->content, &seg, e);
}

static enum err_code hole(struct committer *c, const struct step *t, struct err *e)
{
	const struct segment seg = {.kind = SEGMENT_HOLE, .len = t->hole_len};

	c->size += t->hole_len;
	c->hole_bytes += t->hole_len;
	return content_builder_add(c->content, &seg, e);
}

static enum err_code file_end(struct committer *c, const struct step *t, struct err *e)
{
	struct entry *ent = t->ent;
	enum err_code rc = content_builder_finish(c->content, ent, e);

	if (rc)
		return rc;
	ent->size = c->size;
	ent->hole_bytes = c->hole_bytes;
	if (c->nr_chunks == 1 && c->hole_bytes == 0) {
		ent->sha256 = c->first_chunk;
		ent->flags |= ENTRY_HAS_SHA256;
	}
	file_reset(c);
	if (t->link)
		rc = hardlink_keep(t->link, ent, e);
	return rc ? rc : add(c, ent, e);
}

static enum err_code other_name(struct committer *c, const struct step *t, struct err *e)
{
	enum err_code rc;

	hardlink_give(t->link, t->ent);
	rc = add(c, t->ent, e);
	if (t->last)
		hardlink_forget(t->link);
	return rc;
}

static enum err_code take_step(struct committer *c, const struct batch *b, const struct step *t,
			       struct err *e)
{
	enum err_code rc;

	switch (t->kind) {
	case STEP_DIR_BEGIN:
		return dir_begin(c, e);
	case STEP_DIR_END:
		return dir_end(c, t->ent, e);
	case STEP_ENTRY:
		rc = t->link ? hardlink_keep(t->link, t->ent, e) : ERR_OK;
		return rc ? rc : add(c, t->ent, e);
	case STEP_VALUE:
	case STEP_CHUNK:
		return chunk(c, b, t, e);
	case STEP_HOLE:
		return hole(c, t, e);
	case STEP_RESTART:
		content_builder_reset(c->content);
		file_reset(c);
		return ERR_OK;
	case STEP_FILE:
		return file_end(c, t, e);
	case STEP_LINK:
		return other_name(c, t, e);
	}
	return err_set(e, ERR_FAILED, "step %d", (int)t->kind);
}

enum err_code committer_take(struct committer *c, struct batch *b, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < b->nr_steps && !rc; i++)
		rc = take_step(c, b, &b->steps[i], e);
	return rc;
}
