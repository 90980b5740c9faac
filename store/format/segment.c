/* SPDX-License-Identifier: MIT */
#include "store/format/entryrec.h"
#include "store/format/limits.h"

void segment_encode(const struct segment *s, struct buf *out)
{
	buf_add_u8(out, (uint8_t)s->kind);
	if (s->kind == SEGMENT_HOLE) {
		buf_add_le64(out, s->len);
		return;
	}
	buf_add_le32(out, (uint32_t)s->len);
	buf_add(out, s->id.b, ID_LEN);
}

bool segment_next(struct rd *r, struct segment *out)
{
	struct segment t = { 0 };
	uint8_t kind;

	if (r->bad || r->p == r->end)
		return false;
	kind = rd_u8(r);
	if (kind == SEGMENT_CHUNK) {
		t.kind = SEGMENT_CHUNK;
		t.len = rd_le32(r);
		rd_copy(r, t.id.b, ID_LEN);
		r->bad |= t.len > CHUNK_LEN_MAX;
	} else if (kind == SEGMENT_HOLE) {
		t.kind = SEGMENT_HOLE;
		t.len = rd_le64(r);
		r->bad |= t.len > FILE_SIZE_MAX;
	} else {
		r->bad = true;
	}
	r->bad |= t.len == 0;
	if (r->bad)
		return false;
	*out = t;
	return true;
}
