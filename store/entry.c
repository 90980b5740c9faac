/* SPDX-License-Identifier: MIT */
/* What an entry says of itself, decoded on demand. */
#include "store/base/bytes.h"
#include "store/base/digest.h"
#include "store/internal.h"
#include "store/tree.h"

bool entry_sha256(const struct entry *e, struct object_id *out)
{
	*out = (struct object_id){ { 0 } };
	if (e->flags & ENTRY_HAS_SHA256)
		*out = e->sha256;
	else if (e->content == CONTENT_INLINE)
		digest_sha256(e->content_p, e->content_len, out);
	else if (e->content == CONTENT_NONE)
		digest_sha256("", 0, out);
	else
		return false;
	return true;
}

bool entry_xattr_at(const struct entry *e, size_t index, struct entry_xattr *out)
{
	struct rd r = rd_init(e->xattrs, e->xattrs_len);
	struct xattr x;

	for (size_t i = 0; i <= index; i++)
		if (!xattr_next(&r, &x))
			return false;
	*out = (struct entry_xattr){
		.name = x.name, .name_len = x.name_len, .value_len = x.value_len,
		.inline_value = x.in_chunk ? NULL : x.value, .chunk = x.id,
	};
	return true;
}

enum err_code entry_xattr_value(struct store *s, const struct entry_xattr *x, void *out,
				struct err *e)
{
	struct chunk_ref ref = { 0 };
	enum err_code rc;

	if (x->inline_value) {
		memcpy(out, x->inline_value, x->value_len);
		return ERR_OK;
	}
	rc = chunk_of_tree(s, &x->chunk, &ref, e);
	if (!rc && ref.len != x->value_len)
		rc = err_set(e, ERR_CORRUPT, "its chunk has %zu bytes and not %zu", ref.len,
			     x->value_len);
	if (!rc)
		memcpy(out, ref.data, ref.len);
	chunk_ref_release(s->chunks, &ref);
	if (rc)
		err_prefix(e, "extended attribute %.*s", (int)x->name_len, x->name);
	return rc;
}
