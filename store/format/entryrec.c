/* SPDX-License-Identifier: MIT */
#include "store/format/entryrec.h"

#include <assert.h>

#include "store/base/checked.h"
#include "store/format/nodepart.h"

/* Type, name and fixed fields may change only with the node's version. */
enum entry_tag {
	TAG_TARGET = 1,
	TAG_RDEV = 2,
	TAG_HARDLINK = 3,
	TAG_IFLAGS = 4,
	TAG_XATTRS = 5,
	TAG_SHA256 = 6,
	TAG_INLINE = 7,
	TAG_LIST = 8,
	TAG_CONTENT = 9,
	TAG_DIR = 10,
	TAG_DEV = 11,
	TAG_HOLES = 12,
	TAG_LAST = TAG_HOLES,
	TAG_IGNORED_FROM = 0x80
};

#define BIT(tag)	(1u << (tag))
#define TAGS_CONTENT	(BIT(TAG_INLINE) | BIT(TAG_LIST) | BIT(TAG_CONTENT))
#define TAGS_ANY	(BIT(TAG_IFLAGS) | BIT(TAG_XATTRS) | BIT(TAG_DEV))

#define ENTRY_STORED_FLAGS	((unsigned)(ENTRY_UNSETTLED | ENTRY_UNSTABLE | ENTRY_HARDLINK))
#define MODE_MASK		07777u

/* FS_IMMUTABLE_FL, FS_APPEND_FL, FS_NODUMP_FL, FS_NOCOW_FL: their numbers are kernel ABI. */
#define IFLAGS_KEPT		(0x10u | 0x20u | 0x40u | 0x800000u)

/* Which tags an entry of a type must and may have. */
static const struct {
	unsigned need, may;
} by_type[ENTRY_TYPE_LAST + 1] = {
	[ENTRY_FILE] = { 0, TAGS_ANY | TAGS_CONTENT | BIT(TAG_SHA256) | BIT(TAG_HARDLINK) |
				  BIT(TAG_HOLES) },
	[ENTRY_DIR] = { BIT(TAG_DIR), TAGS_ANY },
	[ENTRY_SYMLINK] = { BIT(TAG_TARGET), TAGS_ANY | BIT(TAG_HARDLINK) },
	[ENTRY_CHARDEV] = { BIT(TAG_RDEV), TAGS_ANY | BIT(TAG_HARDLINK) },
	[ENTRY_BLOCKDEV] = { BIT(TAG_RDEV), TAGS_ANY | BIT(TAG_HARDLINK) },
	[ENTRY_FIFO] = { 0, TAGS_ANY | BIT(TAG_HARDLINK) },
};

bool entry_name_ok(const char *name, size_t len)
{
	if (len == 0 || len > NAME_LEN_MAX)
		return false;
	if (memchr(name, '/', len) || memchr(name, '\0', len))
		return false;
	return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

/* Encoding. */

static void tag_head(struct buf *out, enum entry_tag tag, size_t len)
{
	buf_add_u8(out, (uint8_t)tag);
	buf_add_le32(out, (uint32_t)len);
}

static void tag_bytes(struct buf *out, enum entry_tag tag, const void *p, size_t len)
{
	tag_head(out, tag, len);
	buf_add(out, p, len);
}

/* True where the content is one chunk whose id is the whole file's digest. */
static bool sha256_is_chunk(const struct entry *e)
{
	struct rd r = rd_init(e->content_p, e->content_len);
	struct segment s;

	return e->content == CONTENT_LIST && segment_next(&r, &s) && rd_end(&r) &&
	       s.kind == SEGMENT_CHUNK && id_eq(&s.id, &e->sha256);
}

static void content_encode(const struct entry *e, struct buf *out)
{
	bool own_sum = e->content == CONTENT_LIST || e->content == CONTENT_NODE;

	if (own_sum && (e->flags & ENTRY_HAS_SHA256) && !sha256_is_chunk(e))
		tag_bytes(out, TAG_SHA256, e->sha256.b, ID_LEN);
	if (e->content == CONTENT_INLINE)
		tag_bytes(out, TAG_INLINE, e->content_p, e->content_len);
	else if (e->content == CONTENT_LIST)
		tag_bytes(out, TAG_LIST, e->content_p, e->content_len);
	else if (e->content == CONTENT_NODE)
		tag_bytes(out, TAG_CONTENT, e->node.b, ID_LEN);
}

static void dir_encode(const struct entry *e, struct buf *out)
{
	tag_head(out, TAG_DIR, ID_LEN + 16 + TOTALS_LEN);
	buf_add(out, e->node.b, ID_LEN);
	buf_add_le64(out, e->nr_entries);
	buf_add_le64(out, e->nr_subdirs);
	totals_encode(&e->below, out);
}

/* In the order of the tags. */
static void attrs_encode(const struct entry *e, struct buf *out)
{
	if (e->type == ENTRY_SYMLINK)
		tag_bytes(out, TAG_TARGET, e->target, e->target_len);
	if (e->type == ENTRY_CHARDEV || e->type == ENTRY_BLOCKDEV) {
		tag_head(out, TAG_RDEV, 8);
		buf_add_le32(out, e->rdev_major);
		buf_add_le32(out, e->rdev_minor);
	}
	if (e->flags & ENTRY_HARDLINK) {
		tag_head(out, TAG_HARDLINK, 8);
		buf_add_le64(out, e->nlink);
	}
	if (e->inode_flags & IFLAGS_KEPT) {
		tag_head(out, TAG_IFLAGS, 4);
		buf_add_le32(out, e->inode_flags & IFLAGS_KEPT);
	}
	if (e->xattrs_len > 0)
		tag_bytes(out, TAG_XATTRS, e->xattrs, e->xattrs_len);
	if (e->type == ENTRY_FILE && e->size > 0)
		content_encode(e, out);
	if (e->type == ENTRY_DIR)
		dir_encode(e, out);
	if (e->dev != 0) {
		tag_head(out, TAG_DEV, 8);
		buf_add_le64(out, e->dev);
	}
	if (e->type == ENTRY_FILE && e->content == CONTENT_NODE && e->hole_bytes != 0) {
		tag_head(out, TAG_HOLES, 8);
		buf_add_le64(out, e->hole_bytes);
	}
}

static uint64_t recorded_size(const struct entry *e)
{
	if (e->type == ENTRY_FILE)
		return e->size;
	return e->type == ENTRY_SYMLINK ? e->target_len : 0;
}

void entryrec_encode(const struct entry *e, uint16_t owner, struct buf *out)
{
	size_t attrs_at;

	assert(e->name_len <= NAME_LEN_MAX);
	buf_add_le16(out, (uint16_t)e->name_len);
	buf_add_u8(out, (uint8_t)e->type);
	buf_add_u8(out, (uint8_t)(e->flags & ENTRY_STORED_FLAGS));
	buf_add_le16(out, (uint16_t)(e->mode & MODE_MASK));
	buf_add_le16(out, owner);
	buf_add_le64(out, (uint64_t)e->mtime.sec);
	buf_add_le64(out, (uint64_t)e->ctime.sec);
	buf_add_le32(out, e->mtime.nsec);
	buf_add_le32(out, e->ctime.nsec);
	buf_add_le64(out, e->inode);
	buf_add_le64(out, recorded_size(e));
	buf_add_le32(out, 0);		/* the attributes' length, known below */
	buf_add(out, e->name, e->name_len);
	attrs_at = out->len;
	attrs_encode(e, out);
	if (!out->bad)
		put_le32(out->p + attrs_at - e->name_len - 4, (uint32_t)(out->len - attrs_at));
}

/* Decoding: out of a hostile repository, so nothing is used before it was checked. */

/* What the tags of one entry said, beside the fields they fill. */
struct tags {
	unsigned seen;			/* BIT(tag) */
	bool one_chunk;			/* LIST is a chunk and nothing else ... */
	struct object_id chunk;		/* ... this one */
};

static bool xattrs_ok(const uint8_t *p, size_t len)
{
	struct rd r = rd_init(p, len);
	struct xattr x, last = { 0 };

	if (len > XATTRS_LEN_MAX)
		return false;
	while (xattr_next(&r, &x)) {
		if (last.name &&
		    entry_name_cmp(last.name, last.name_len, x.name, x.name_len) >= 0)
			return false;
		last = x;
	}
	return rd_end(&r);
}

static bool list_ok(struct entry *t, struct tags *tags)
{
	struct rd r = rd_init(t->content_p, t->content_len);
	uint64_t sum = 0, nr = 0;
	struct segment s;

	if (t->content_len > LIST_LEN_MAX)
		return false;
	while (segment_next(&r, &s)) {
		if (add_u64(sum, s.len, &sum) || sum > t->size)
			return false;
		nr++;
		if (s.kind == SEGMENT_HOLE)
			t->hole_bytes += s.len;		/* at most sum */
		tags->one_chunk = nr == 1 && s.kind == SEGMENT_CHUNK;
		tags->chunk = s.id;
	}
	return rd_end(&r) && sum == t->size;
}

static enum err_code dir_decode(struct rd *v, struct entry *t, struct err *e)
{
	rd_copy(v, t->node.b, ID_LEN);
	t->nr_entries = rd_le64(v);
	t->nr_subdirs = rd_le64(v);
	totals_decode(v, &t->below);
	if (v->bad)
		return err_set(e, ERR_CORRUPT, "directory record too short");
	return totals_check(&t->below, t->nr_entries, t->nr_subdirs, e);
}

/* A view of all that is left of v. */
static const uint8_t *take_rest(struct rd *v, size_t *len)
{
	*len = rd_left(v);
	return rd_take(v, *len);
}

/* The value of a known tag; false where it is wrong. */
static bool tag_value_ok(unsigned tag, struct rd *v, struct entry *t, struct tags *tags)
{
	switch (tag) {
	case TAG_TARGET:
		t->target = (const char *)take_rest(v, &t->target_len);
		return t->target_len > 0 && t->target_len <= TARGET_LEN_MAX &&
		       t->target_len == t->size && !memchr(t->target, '\0', t->target_len);
	case TAG_RDEV:
		t->rdev_major = rd_le32(v);
		t->rdev_minor = rd_le32(v);
		return true;
	case TAG_HARDLINK:
		t->nlink = rd_le64(v);
		return t->nlink >= 2 && (t->flags & ENTRY_HARDLINK);
	case TAG_IFLAGS:
		t->inode_flags = rd_le32(v) & IFLAGS_KEPT;
		return true;
	case TAG_XATTRS:
		t->xattrs = take_rest(v, &t->xattrs_len);
		return xattrs_ok(t->xattrs, t->xattrs_len);
	case TAG_SHA256:
		rd_copy(v, t->sha256.b, ID_LEN);
		t->flags |= ENTRY_HAS_SHA256;
		return true;
	case TAG_INLINE:
		t->content = CONTENT_INLINE;
		t->content_p = take_rest(v, &t->content_len);
		return t->content_len <= INLINE_LEN_MAX && t->content_len == t->size;
	case TAG_LIST:
		t->content = CONTENT_LIST;
		t->content_p = take_rest(v, &t->content_len);
		return list_ok(t, tags);
	case TAG_CONTENT:
		t->content = CONTENT_NODE;
		rd_copy(v, t->node.b, ID_LEN);
		return true;
	case TAG_DEV:
		t->dev = rd_le64(v);
		return true;
	default:			/* TAG_HOLES */
		t->hole_bytes = rd_le64(v);
		return t->content == CONTENT_NODE && t->hole_bytes > 0 && t->hole_bytes <= t->size;
	}
}

static enum err_code attrs_decode(struct rd a, struct entry *t, struct tags *tags, struct err *e)
{
	unsigned last = 0;

	while (rd_left(&a) > 0) {
		unsigned tag = rd_u8(&a);
		uint32_t len = rd_le32(&a);
		const uint8_t *p = rd_take(&a, len);
		struct rd v;

		if (!p)
			return err_set(e, ERR_CORRUPT, "attribute %u cut short", tag);
		if (tag <= last)
			return err_set(e, ERR_CORRUPT, "attribute %u after %u", tag, last);
		last = tag;
		if (tag >= TAG_IGNORED_FROM)
			continue;
		if (tag > TAG_LAST)
			return err_set(e, ERR_UNSUPPORTED, "attribute %u is not known here", tag);
		tags->seen |= BIT(tag);
		v = rd_init(p, len);
		if (tag == TAG_DIR) {
			enum err_code rc = dir_decode(&v, t, e);

			if (rc)
				return rc;
		} else if (!tag_value_ok(tag, &v, t, tags)) {
			v.bad = true;
		}
		if (!rd_end(&v))
			return err_set(e, ERR_CORRUPT, "attribute %u of %u bytes is wrong", tag,
				       len);
	}
	return a.bad ? err_set(e, ERR_CORRUPT, "attributes cut short") : ERR_OK;
}

/* A file has one kind of content and a digest of it, unless it is empty, inline, or mostly holes. */
static enum err_code file_check(struct entry *t, const struct tags *tags, struct err *e)
{
	unsigned content = tags->seen & TAGS_CONTENT;
	bool summed = tags->seen & BIT(TAG_SHA256);

	if (t->size == 0 ? content != 0 : __builtin_popcount(content) != 1)
		return err_set(e, ERR_CORRUPT, "size %llu does not fit the content",
			       (unsigned long long)t->size);
	if (t->content == CONTENT_NONE || t->content == CONTENT_INLINE)
		return summed ? err_set(e, ERR_CORRUPT, "digest beside inline content") : ERR_OK;
	if (summed)
		return ERR_OK;
	if (!tags->one_chunk && t->hole_bytes > HOLES_SUMMED_MAX)
		return ERR_OK;
	if (!tags->one_chunk)
		return err_set(e, ERR_CORRUPT, "no digest of the whole content");
	t->sha256 = tags->chunk;
	t->flags |= ENTRY_HAS_SHA256;
	return ERR_OK;
}

static enum err_code entry_check(struct entry *t, const struct tags *tags, struct err *e)
{
	unsigned need = by_type[t->type].need, may = by_type[t->type].may;

	if ((tags->seen & need) != need || (tags->seen & ~(need | may)))
		return err_set(e, ERR_CORRUPT, "attributes %#x do not fit type %d", tags->seen,
			       (int)t->type);
	if (!(tags->seen & BIT(TAG_HARDLINK)) && (t->flags & ENTRY_HARDLINK))
		return err_set(e, ERR_CORRUPT, "hard link without its count");
	if (t->type == ENTRY_FILE)
		return file_check(t, tags, e);
	if (t->type != ENTRY_SYMLINK && t->size != 0)
		return err_set(e, ERR_CORRUPT, "size %llu of type %d", (unsigned long long)t->size,
			       (int)t->type);
	return ERR_OK;
}

/* The fixed fields and the name; *attrs becomes a reader of the attributes. */
static enum err_code fixed_decode(struct rd *r, bool allow_empty_name, struct entry *t,
				  uint16_t *owner, struct rd *attrs, struct err *e)
{
	uint32_t attrs_len;
	const uint8_t *a;
	uint8_t type;

	t->name_len = rd_le16(r);
	type = rd_u8(r);
	t->flags = rd_u8(r);
	t->mode = rd_le16(r);
	*owner = rd_le16(r);
	t->mtime.sec = (int64_t)rd_le64(r);
	t->ctime.sec = (int64_t)rd_le64(r);
	t->mtime.nsec = rd_le32(r);
	t->ctime.nsec = rd_le32(r);
	t->inode = rd_le64(r);
	t->size = rd_le64(r);
	attrs_len = rd_le32(r);
	t->name = (const char *)rd_take(r, t->name_len);
	a = rd_take(r, attrs_len);
	if (!a)
		return err_set(e, ERR_CORRUPT, "entry cut short");
	*attrs = rd_init(a, attrs_len);
	if (!(t->name_len == 0 && allow_empty_name) && !entry_name_ok(t->name, t->name_len))
		return err_set(e, ERR_CORRUPT, "entry name of %zu bytes is not one", t->name_len);
	if (type == 0 || type > ENTRY_TYPE_LAST)
		return err_set(e, ERR_CORRUPT, "entry type %u", type);
	t->type = (enum entry_type)type;
	if (t->flags & ~ENTRY_STORED_FLAGS || t->mode & ~MODE_MASK)
		return err_set(e, ERR_CORRUPT, "entry flags %#x, mode %#o", t->flags, t->mode);
	if (t->mtime.nsec >= 1000000000u || t->ctime.nsec >= 1000000000u)
		return err_set(e, ERR_CORRUPT, "nanoseconds %u, %u", t->mtime.nsec, t->ctime.nsec);
	if (t->size > FILE_SIZE_MAX)
		return err_set(e, ERR_CORRUPT, "size %llu", (unsigned long long)t->size);
	return ERR_OK;
}

enum err_code entryrec_decode(struct rd *r, const struct owner *owners, uint32_t nr_owners,
			      bool allow_empty_name, struct entry *out, struct err *e)
{
	struct entry t = { .nlink = 1 };
	struct tags tags = { 0 };
	uint16_t owner = 0;
	enum err_code rc;
	struct rd attrs;

	rc = fixed_decode(r, allow_empty_name, &t, &owner, &attrs, e);
	if (rc)
		return rc;
	if (owner >= nr_owners) {
		rc = err_set(e, ERR_CORRUPT, "owner %u of %u", owner, nr_owners);
		goto out;
	}
	t.uid = owners[owner].uid;
	t.gid = owners[owner].gid;
	t.user = owners[owner].user;
	t.user_len = owners[owner].user_len;
	t.group = owners[owner].group;
	t.group_len = owners[owner].group_len;
	rc = attrs_decode(attrs, &t, &tags, e);
	if (!rc)
		rc = entry_check(&t, &tags, e);
	if (!rc)
		*out = t;
out:
	if (rc)
		err_prefix(e, "entry \"%.*s\"", (int)t.name_len, t.name);
	return rc;
}
