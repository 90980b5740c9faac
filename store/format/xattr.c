/* SPDX-License-Identifier: MIT */
#include "store/format/entryrec.h"

#include <assert.h>

#include "store/format/limits.h"

void xattr_encode(const struct xattr *x, struct buf *out)
{
	assert(x->name_len > 0 && x->name_len <= XATTR_NAME_MAX);
	assert(x->value_len <= (x->in_chunk ? XATTR_VALUE_MAX : XATTR_INLINE_MAX));
	buf_add_u8(out, x->in_chunk);
	buf_add_u8(out, (uint8_t)x->name_len);
	buf_add_le32(out, (uint32_t)x->value_len);
	buf_add(out, x->name, x->name_len);
	if (x->in_chunk)
		buf_add(out, x->id.b, ID_LEN);
	else
		buf_add(out, x->value, x->value_len);
}

bool xattr_next(struct rd *r, struct xattr *out)
{
	struct xattr t = { 0 };
	uint8_t kind;

	if (r->bad || r->p == r->end)
		return false;
	kind = rd_u8(r);
	t.in_chunk = kind == 1;
	t.name_len = rd_u8(r);
	t.value_len = rd_le32(r);
	t.name = (const char *)rd_take(r, t.name_len);
	if (t.in_chunk) {
		rd_copy(r, t.id.b, ID_LEN);
		r->bad |= t.value_len == 0 || t.value_len > XATTR_VALUE_MAX;
	} else {
		r->bad |= t.value_len > XATTR_INLINE_MAX;
		t.value = rd_take(r, t.value_len);
	}
	if (r->bad || kind > 1 || t.name_len == 0 || memchr(t.name, '\0', t.name_len)) {
		r->bad = true;
		return false;
	}
	*out = t;
	return true;
}
