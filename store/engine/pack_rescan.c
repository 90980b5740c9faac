/* SPDX-License-Identifier: MIT */
#include "store/engine/pack.h"

#include <assert.h>
#include <stdlib.h>

#include "store/base/bytes.h"
#include "store/format/limits.h"

#define WINDOW_LEN	((size_t)1 << 20)

/*
 * A hostile file can hold a false header in every few bytes, each of which costs up to
 * 300 KB of checksum: the search gives up when it has spent this many times the file.
 */
#define SEARCH_TIMES	16u

struct scan {
	struct backend *b;
	const char *name;
	uint64_t size;			/* of the file */
	uint64_t off;			/* of the window in it */
	size_t have;			/* bytes in the window */
	uint8_t *window;
	uint64_t budget;		/* bytes of false headers still to be hashed */
	struct chunk_desc *chunks;	/* BLOCK_CHUNKS_MAX of room */
	struct packtable t;
	uint32_t cap_blocks, cap_chunks;
};

/* A view of up to len bytes at off; *n says how many are there (short at the end of the file). */
static enum err_code view(struct scan *s, uint64_t off, size_t len, const uint8_t **out, size_t *n,
			  struct err *e)
{
	enum err_code rc = ERR_OK;

	assert(len <= WINDOW_LEN);
	if (off < s->off || off + len > s->off + s->have) {
		s->off = off;
		s->have = 0;
		rc = s->b->ops->get(s->b, s->name, off, s->window, WINDOW_LEN, &s->have, e);
		if (rc)
			return rc;
	}
	*out = s->window + (off - s->off);
	*n = s->have - (size_t)(off - s->off);
	if (*n > len)
		*n = len;
	return ERR_OK;
}

static bool grow(void **p, uint32_t *cap, uint64_t want, size_t each)
{
	uint64_t n = *cap ? *cap : 256;
	void *q;

	if (want <= *cap)
		return true;
	while (n < want)
		n *= 2;
	q = realloc(*p, (size_t)n * each);
	if (!q)
		return false;
	*p = q;
	*cap = (uint32_t)n;
	return true;
}

static enum err_code add_block(struct scan *s, uint64_t off, const struct block_header *h,
			       struct err *e)
{
	void *blocks = s->t.blocks, *chunks = s->t.chunks;
	bool ok = grow(&blocks, &s->cap_blocks, (uint64_t)s->t.nr_blocks + 1,
		       sizeof(s->t.blocks[0]));

	s->t.blocks = blocks;
	ok = ok && grow(&chunks, &s->cap_chunks, (uint64_t)s->t.nr_chunks + h->nr_chunks,
			sizeof(s->t.chunks[0]));
	s->t.chunks = chunks;
	if (!ok)
		return err_set(e, ERR_NOMEM, "no memory for a table");
	s->t.blocks[s->t.nr_blocks++] = (struct table_block){
		.off = (uint32_t)off,
		.plain_len = h->plain_len,
		.stored_len = h->stored_len,
		.first_chunk = s->t.nr_chunks,
		.nr_chunks = h->nr_chunks,
	};
	memcpy(s->t.chunks + s->t.nr_chunks, s->chunks, h->nr_chunks * sizeof(s->chunks[0]));
	s->t.nr_chunks += h->nr_chunks;
	return ERR_OK;
}

/* Take the block whose header is at off: *next is where it ends, or off where there is none. */
static enum err_code take_block(struct scan *s, uint64_t off, uint64_t *next, struct err *e)
{
	struct block_header h;
	const uint8_t *p;
	size_t n, frame_len = 0;
	enum err_code rc;

	*next = off;
	rc = view(s, off, FRAME_HEAD_LEN + BLOCK_HEADER_FIXED, &p, &n, e);
	if (rc || block_header_peek(p, n, &frame_len, NULL))
		return rc;
	rc = view(s, off, frame_len, &p, &n, e);
	if (rc || n < frame_len)
		return rc;
	if (block_header_decode(p, n, &h, s->chunks, NULL) ||
	    h.stored_len > s->size - off - frame_len || s->t.nr_blocks == PACK_BLOCKS_MAX ||
	    h.nr_chunks > PACK_CHUNKS_MAX - s->t.nr_chunks) {
		s->budget = s->budget > frame_len ? s->budget - frame_len : 0;
		return ERR_OK;
	}
	rc = add_block(s, off, &h, e);
	if (!rc)
		*next = off + frame_len + h.stored_len;
	return rc;
}

/* The next place at or after off where a block header might begin; the file's size if none. */
static enum err_code search(struct scan *s, uint64_t *off, struct err *e)
{
	uint8_t magic[4];

	put_le32(magic, FRAME_BLOCK_HEADER);
	while (*off + sizeof(magic) <= s->size && s->budget > 0) {
		const uint8_t *p, *hit;
		size_t n;
		enum err_code rc;

		if (*off >= s->off && *off + sizeof(magic) <= s->off + s->have) {
			p = s->window + (*off - s->off);
			n = s->have - (size_t)(*off - s->off);
		} else {
			rc = view(s, *off, WINDOW_LEN, &p, &n, e);
			if (rc)
				return rc;
		}
		if (n < sizeof(magic))
			break;		/* the file has shrunk */
		hit = memmem(p, n, magic, sizeof(magic));
		if (hit) {
			*off += (uint64_t)(hit - p);
			return ERR_OK;
		}
		*off += n - (sizeof(magic) - 1);
	}
	*off = s->size;
	return ERR_OK;
}

static enum err_code scan_pack(struct scan *s, struct err *e)
{
	struct pack_header head = { .kind = PACK_DATA };
	const uint8_t *p;
	uint64_t off = 0, next;
	enum err_code rc;
	size_t n;

	rc = view(s, 0, PACK_HEADER_LEN, &p, &n, e);
	if (rc)
		return rc;
	/* A newer format is not to be searched; a damaged header leaves the kind unknown. */
	rc = pack_header_decode(p, n, &head, e);
	if (rc == ERR_UNSUPPORTED)
		return rc;
	if (rc == ERR_OK)
		off = PACK_HEADER_LEN;
	s->t.kind = head.kind;
	while (off < s->size) {
		rc = take_block(s, off, &next, e);
		if (rc)
			return rc;
		if (next == off) {
			next = off + 1;
			rc = search(s, &next, e);
			if (rc)
				return rc;
		}
		off = next;
	}
	return ERR_OK;
}

enum err_code pack_rescan(struct backend *b, const struct object_id *id, struct packtable *table,
			  struct err *e)
{
	char name[PACK_NAME_LEN + 1];
	struct scan s = { .b = b, .name = name };
	enum err_code rc;

	pack_name(id, name);
	rc = b->ops->size(b, name, &s.size, e);
	if (rc)
		goto out;
	if (s.size > PACK_LEN_MAX) {
		rc = err_set(e, ERR_CORRUPT, "has %llu bytes", (unsigned long long)s.size);
		goto out;
	}
	s.budget = SEARCH_TIMES * s.size + 1;
	s.window = malloc(WINDOW_LEN);
	s.chunks = malloc(BLOCK_CHUNKS_MAX * sizeof(*s.chunks));
	if (!s.window || !s.chunks) {
		rc = err_set(e, ERR_NOMEM, "no memory to search a pack");
		goto out;
	}
	rc = scan_pack(&s, e);
	if (!rc && s.t.nr_blocks == 0)
		rc = err_set(e, ERR_CORRUPT, "no block was found in its %llu bytes",
			     (unsigned long long)s.size);
	if (rc)
		goto out;
	err_clear(e);		/* of a damaged pack header */
	s.t.pack_len = s.size;
	*table = s.t;
	s.t = (struct packtable){ 0 };
out:
	packtable_release(&s.t);
	free(s.window);
	free(s.chunks);
	if (rc)
		err_prefix(e, "%s", name);
	return rc;
}
