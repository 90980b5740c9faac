/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdlib.h>

#include "store/content_internal.h"
#include "store/tree.h"

/* What holes are shown as; never written, so that all of it is the kernel's one page of zeros. */
static const uint8_t zeros[1u << 20];

void view_release(struct store *s, struct view *v)
{
	for (size_t i = 0; i < v->nr; i++) {
		struct chunk_ref ref = { .pin = v->pins[i] };

		if (ref.pin)
			chunk_ref_release(s->chunks, &ref);
	}
	free(v->copy);
	v->nr = v->len = 0;
	v->copy = NULL;
}

/** What is left of the segment from skip on, as far as it is wanted and one piece can be. */
static size_t piece_len(const struct cursor *c, uint64_t skip, size_t want)
{
	uint64_t left = c->end - c->off - skip;

	if (cursor_is_hole(c) && left > sizeof(zeros))
		left = sizeof(zeros);
	return left < want ? (size_t)left : want;
}

static enum err_code add_piece(struct view *v, const struct cursor *c, uint64_t skip, size_t len,
			       struct err *e)
{
	const uint8_t *data = zeros;
	struct chunk_ref ref = { 0 };
	enum err_code rc = ERR_OK;

	if (!cursor_is_hole(c)) {
		rc = cursor_data(c, &data, &ref, e);
		if (rc)
			return rc;
		data += skip;
	}
	v->pieces[v->nr].iov_base = (void *)(uintptr_t)data;	/* struct iovec serves readers too */
	v->pieces[v->nr].iov_len = len;
	v->pins[v->nr++] = ref.pin;
	v->len += len;
	return ERR_OK;
}

/** Too many pieces to be pinned all at once: one copy of them. */
static enum err_code gather(struct store *s, struct view *v, const struct content *ct,
			    uint64_t off, size_t len, struct err *e)
{
	enum err_code rc;

	view_release(s, v);
	v->copy = malloc(len);
	if (!v->copy)
		return err_set(e, ERR_NOMEM, "%zu bytes to be read", len);
	rc = content_pread(ct, off, v->copy, len, &v->len, e);
	if (rc)
		return rc;
	v->pieces[0] = (struct iovec){ .iov_base = v->copy, .iov_len = v->len };
	v->pins[0] = NULL;
	v->nr = 1;
	return ERR_OK;
}

static enum err_code fill(struct store *s, struct view *v, const struct content *ct, uint64_t off,
			  size_t len, struct err *e)
{
	struct cursor c;
	enum err_code rc = cursor_begin(ct, off, &c, e);

	while (!rc) {
		uint64_t at = off + v->len;

		rc = add_piece(v, &c, at - c.off, piece_len(&c, at - c.off, len - v->len), e);
		if (rc || v->len == len || v->nr == VIEW_PIECES_MAX)
			break;
		if (off + v->len == c.end)
			rc = cursor_next(&c, e);
	}
	cursor_end(&c);
	if (!rc && v->len < len)
		rc = gather(s, v, ct, off, len, e);
	return rc;
}

enum err_code view_open(struct store *s, const struct entry *ent, uint64_t off, size_t len,
			struct view *v, struct err *e)
{
	struct content ct;
	enum err_code rc;

	v->nr = v->len = 0;
	v->copy = NULL;
	rc = content_of(s, ent, &ct, e);
	if (rc || off >= ct.size || len == 0)
		return rc;
	if (len > ct.size - off)
		len = (size_t)(ct.size - off);
	rc = fill(s, v, &ct, off, len, e);
	if (rc)
		view_release(s, v);
	return rc;
}
