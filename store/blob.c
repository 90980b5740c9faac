/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "store/content_internal.h"
#include "store/tree.h"

struct blob {
	struct content c;
	uint8_t bytes[];	/* a copy of what the entry has of it: c.len bytes */
};

enum err_code blob_open(struct store *s, const struct entry *ent, struct blob **out, struct err *e)
{
	struct content c;
	enum err_code rc;
	struct blob *b;

	rc = content_of(s, ent, &c, e);
	if (rc)
		return rc;
	if (c.kind != CONTENT_INLINE && c.kind != CONTENT_LIST)
		c.len = 0;
	b = malloc(sizeof(*b) + c.len);
	if (!b)
		return err_set(e, ERR_NOMEM, "an open file");
	if (c.len)
		memcpy(b->bytes, c.p, c.len);
	b->c = c;
	b->c.p = b->bytes;
	*out = b;
	return ERR_OK;
}

void blob_close(struct blob *b)
{
	free(b);
}

uint64_t blob_size(const struct blob *b)
{
	return b->c.size;
}

enum err_code blob_each(struct blob *b, uint64_t from, blob_piece_fn *fn, void *ctx, struct err *e)
{
	enum err_code rc;
	struct cursor c;

	if (from >= b->c.size)
		return ERR_OK;
	rc = cursor_begin(&b->c, from, &c, e);
	while (!rc) {
		uint64_t skip = from > c.off ? from - c.off : 0;
		uint64_t len = c.end - c.off - skip;
		struct chunk_ref ref = { 0 };
		const uint8_t *data = NULL;

		if (!cursor_is_hole(&c))
			rc = cursor_data(&c, &data, &ref, e);
		if (!rc)
			rc = fn(ctx, c.off + skip, data ? data + skip : NULL, len, e);
		if (ref.pin)
			chunk_ref_release(b->c.s->chunks, &ref);
		if (rc || c.end >= b->c.size)
			break;
		rc = cursor_next(&c, e);
	}
	cursor_end(&c);
	if (rc == ERR_CANCELED) {
		err_clear(e);
		rc = ERR_OK;
	}
	return rc;
}

enum err_code blob_pread(struct blob *b, uint64_t off, void *buf, size_t len, size_t *n,
			 struct err *e)
{
	return content_pread(&b->c, off, buf, len, n, e);
}

enum err_code blob_seek(struct blob *b, uint64_t off, bool hole, uint64_t *out, struct err *e)
{
	enum err_code rc;
	struct cursor c;

	if (off >= b->c.size)
		return err_set(e, ERR_NOT_FOUND, "offset %llu is past the end at %llu",
			       (unsigned long long)off, (unsigned long long)b->c.size);
	rc = cursor_begin(&b->c, off, &c, e);
	while (!rc) {
		if (cursor_is_hole(&c) == hole) {
			*out = off > c.off ? off : c.off;
			break;
		}
		if (c.end >= b->c.size) {
			if (hole)
				*out = b->c.size;
			else
				rc = err_set(e, ERR_NOT_FOUND, "no data from %llu on",
					     (unsigned long long)off);
			break;
		}
		rc = cursor_next(&c, e);
	}
	cursor_end(&c);
	return rc;
}
