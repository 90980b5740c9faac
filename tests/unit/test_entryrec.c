/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/checked.h"
#include "store/format/limits.h"
#include "tests/lib/nodestore.h"

static const struct owner owner = {
	.uid = 1000, .gid = 4294967294u, .user = "ann", .user_len = 3, .group = "staff",
	.group_len = 5,
};

/* A record, and what follows it, in memory of its own size: reading past it is seen by ASan. */
static enum err_code decode(const uint8_t *p, size_t len, bool empty_name, struct entry *out,
			    bool *all)
{
	uint8_t *exact = malloc(len ? len : 1);
	struct err e = ERR_INIT;
	struct entry got;
	enum err_code rc;
	struct rd r;

	assert_non_null(exact);
	memcpy(exact, p, len);
	r = rd_init(exact, len);
	rc = entryrec_decode(&r, &owner, 1, empty_name, &got, &e);
	assert_int_equal(e.code, rc);
	if (all)
		*all = rc == ERR_OK && rd_end(&r);
	if (out && !rc)		/* the same bytes at p outlive exact */
		assert_int_equal(entryrec_decode(&(struct rd){ .p = p, .end = p + len }, &owner, 1,
						 empty_name, out, &e), ERR_OK);
	free(exact);
	return rc;
}

static void test_entryrec_round_trip(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < SAMPLE_KINDS; kind++) {
		struct entry want, got;
		struct buf b = BUF_INIT;
		bool all = false;

		sample_kind(&want, kind, "na\nme");
		entryrec_encode(&want, 0, &b);
		assert_false(b.bad);
		assert_int_equal(decode(b.p, b.len, false, &got, &all), ERR_OK);
		assert_true(all);
		assert_true(entry_same(&want, &got));
		buf_release(&b);
	}
}

static void test_entryrec_extremes(void **state)
{
	char name[NAME_LEN_MAX + 1], target[TARGET_LEN_MAX];
	struct entry want, got;
	struct buf b = BUF_INIT;

	(void)state;
	memset(name, 0xff, sizeof(name));
	name[NAME_LEN_MAX] = '\0';
	memset(target, 't', sizeof(target));
	sample_entry(&want, ENTRY_SYMLINK, name);
	want.target = target;
	want.size = want.target_len = sizeof(target);
	want.mtime = (struct vtime){ INT64_MIN, 0 };
	want.ctime = (struct vtime){ INT64_MAX, 999999999 };
	want.nlink = UINT64_MAX;
	want.dev = UINT64_MAX;
	want.mode = 07777;
	entryrec_encode(&want, 0, &b);
	assert_int_equal(decode(b.p, b.len, false, &got, NULL), ERR_OK);
	assert_true(entry_same(&want, &got));
	buf_release(&b);
}

/* What the encoder leaves out because it says nothing. */
static void test_entryrec_plain(void **state)
{
	struct entry e = { .name = "f", .name_len = 1, .type = ENTRY_FILE, .nlink = 1 }, got;
	struct buf b = BUF_INIT;

	(void)state;
	e.uid = owner.uid;
	e.gid = owner.gid;
	e.flags = ENTRY_HAS_SHA256;	/* of nothing: not stored */
	entryrec_encode(&e, 0, &b);
	assert_int_equal(b.len, ENTRY_FIXED_LEN + 1);
	assert_int_equal(decode(b.p, b.len, false, &got, NULL), ERR_OK);
	assert_int_equal(got.flags, 0);
	assert_int_equal(got.nlink, 1);
	assert_int_equal(got.content, CONTENT_NONE);
	buf_release(&b);
}

static void test_entryrec_truncation(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < SAMPLE_KINDS; kind++) {
		struct buf b = BUF_INIT;
		struct entry want;

		sample_kind(&want, kind, "name");
		entryrec_encode(&want, 0, &b);
		for (size_t len = 0; len < b.len; len++)
			assert_int_equal(decode(b.p, len, false, NULL, NULL), ERR_CORRUPT);
		buf_release(&b);
	}
}

/* Patched fields: offset, new byte, the code exactly. Offsets from 52 + 4 on are attributes. */
static const struct row {
	const char *name;
	unsigned kind, at;
	uint8_t with;
	enum err_code want;
} rows[] = {
	{ "intact",              0,  0, 4,    ERR_OK },
	{ "name empty",          0,  0, 0,    ERR_CORRUPT },
	{ "name long",           0,  1, 1,    ERR_CORRUPT },
	{ "name with a slash",   0, 53, '/',  ERR_CORRUPT },
	{ "name with a NUL",     0, 53, 0,    ERR_CORRUPT },
	{ "type 0",              0,  2, 0,    ERR_CORRUPT },
	{ "type 7",              0,  2, 7,    ERR_CORRUPT },
	{ "type of another",     0,  2, 2,    ERR_CORRUPT },
	{ "flag has-sha256",     0,  3, 0x0d, ERR_CORRUPT },
	{ "flag unknown",        0,  3, 0x19, ERR_CORRUPT },
	{ "flag hard link off",  0,  3, 0x01, ERR_CORRUPT },
	{ "mode beyond 07777",   0,  5, 0x1f, ERR_CORRUPT },
	{ "owner 1 of 1",        0,  6, 1,    ERR_CORRUPT },
	{ "owner 256 of 1",      0,  7, 1,    ERR_CORRUPT },
	{ "mtime fewer ns",      0, 24, 0,    ERR_OK },
	{ "mtime over 10^9 ns",  0, 27, 0x3c, ERR_CORRUPT },
	{ "ctime over 10^9 ns",  0, 31, 0x3c, ERR_CORRUPT },
	{ "size of an empty one", 0, 40, 1,   ERR_CORRUPT },
	{ "size over 2^63",      9, 47, 0x80, ERR_CORRUPT },
	{ "size of a directory", 1, 40, 1,    ERR_CORRUPT },
	{ "size of a FIFO",      5, 40, 1,    ERR_CORRUPT },
	{ "size of a link",      2, 40, 1,    ERR_CORRUPT },
	{ "attributes shorter",  0, 48, 1,    ERR_CORRUPT },
	{ "tag 0",               0, 56, 0,    ERR_CORRUPT },
	{ "tag descending",      0, 56, 5,    ERR_CORRUPT },
	{ "tag twice",           0, 56, 4,    ERR_CORRUPT },
	{ "tag 13 unknown",      1, 56, 13,   ERR_UNSUPPORTED },
	{ "tag 0x7f unknown",    1, 56, 0x7f, ERR_UNSUPPORTED },
	{ "tag not of the type", 2, 56, 2,    ERR_CORRUPT },
	{ "tag length beyond",   0, 59, 0xff, ERR_CORRUPT },
	{ "tag length huge",     0, 60, 0xff, ERR_CORRUPT },
	{ "tag length shorter",  0, 57, 7,    ERR_CORRUPT },
	{ "nlink 1",             0, 61, 1,    ERR_CORRUPT },
	{ "nlink 3",             0, 61, 3,    ERR_OK },
	{ "target with a NUL",   2, 61, 0,    ERR_CORRUPT },
};

static void test_row(void **state)
{
	const struct row *t = *state;
	struct buf b = BUF_INIT;
	struct entry e;

	sample_kind(&e, t->kind, "name");
	entryrec_encode(&e, 0, &b);
	assert_true(t->at < b.len);
	b.p[t->at] = t->with;
	assert_int_equal(decode(b.p, b.len, false, NULL, NULL), t->want);
	buf_release(&b);
}

static void test_entryrec_names(void **state)
{
	static const struct {
		const char *name;
		size_t len;
		enum err_code want;
	} names[] = {
		{ ".", 1, ERR_CORRUPT }, { "..", 2, ERR_CORRUPT }, { "...", 3, ERR_OK },
		{ ".a", 2, ERR_OK }, { "/", 1, ERR_CORRUPT }, { "a/", 2, ERR_CORRUPT },
		{ "\n", 1, ERR_OK }, { "a\0", 2, ERR_CORRUPT }, { "", 0, ERR_CORRUPT },
		{ "\xff\xfe", 2, ERR_OK },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct buf b = BUF_INIT;
		struct entry e;

		sample_entry(&e, ENTRY_DIR, "");
		e.name = names[i].name;
		e.name_len = names[i].len;
		entryrec_encode(&e, 0, &b);
		assert_int_equal(decode(b.p, b.len, false, NULL, NULL), names[i].want);
		assert_int_equal(decode(b.p, b.len, true, NULL, NULL),
				 e.name_len ? names[i].want : ERR_OK);
		buf_release(&b);
	}
}

/* A record with the attributes given, of a file of size bytes or a directory. */
static enum err_code decode_attrs(enum entry_type type, uint64_t size, const uint8_t *attrs,
				  size_t len, struct entry *got)
{
	struct entry e = { .name = "n", .name_len = 1, .type = type };
	struct buf b = BUF_INIT;
	enum err_code rc;

	entryrec_encode(&e, 0, &b);
	b.len = ENTRY_FIXED_LEN + 1;	/* a directory's own attribute is cut off */
	put_le64(b.p + 40, size);
	put_le32(b.p + 48, (uint32_t)len);
	buf_add(&b, attrs, len);
	rc = decode(b.p, b.len, false, NULL, NULL);
	if (got && !rc)
		assert_int_equal(decode(b.p, b.len, false, got, NULL), ERR_OK);
	buf_release(&b);
	return rc;
}

#define ID32 "0123456789abcdef0123456789abcdef"
#define CHUNK5 "\0\5\0\0\0" ID32
#define HOLE5 "\1\5\0\0\0\0\0\0\0"
#define SUM "\6\40\0\0\0" ID32
#define TEXT(s) (const uint8_t *)(s), sizeof(s) - 1

static const struct attr_row {
	const char *name;
	enum entry_type type;
	uint64_t size;
	const uint8_t *attrs;
	size_t len;
	enum err_code want;
} attr_rows[] = {
	{ "none, empty", ENTRY_FILE, 0, TEXT(""), ERR_OK },
	{ "none, not empty", ENTRY_FILE, 5, TEXT(""), ERR_CORRUPT },
	{ "inline", ENTRY_FILE, 5, TEXT("\7\5\0\0\0hello"), ERR_OK },
	{ "inline, size", ENTRY_FILE, 4, TEXT("\7\5\0\0\0hello"), ERR_CORRUPT },
	{ "inline, empty", ENTRY_FILE, 0, TEXT("\7\0\0\0\0"), ERR_CORRUPT },
	{ "inline and digest", ENTRY_FILE, 5, TEXT(SUM "\7\5\0\0\0hello"), ERR_CORRUPT },
	{ "digest of nothing", ENTRY_FILE, 0, TEXT(SUM), ERR_CORRUPT },
	{ "digest too short", ENTRY_FILE, 0, TEXT("\6\37\0\0\0" ID32), ERR_CORRUPT },
	{ "one chunk", ENTRY_FILE, 5, TEXT("\10\45\0\0\0" CHUNK5), ERR_OK },
	{ "one chunk, digest", ENTRY_FILE, 5, TEXT(SUM "\10\45\0\0\0" CHUNK5), ERR_OK },
	{ "one chunk, size", ENTRY_FILE, 6, TEXT("\10\45\0\0\0" CHUNK5), ERR_CORRUPT },
	{ "one hole", ENTRY_FILE, 5, TEXT("\10\11\0\0\0" HOLE5), ERR_CORRUPT },
	{ "one hole, digest", ENTRY_FILE, 5, TEXT(SUM "\10\11\0\0\0" HOLE5), ERR_OK },
	{ "two, no digest", ENTRY_FILE, 10, TEXT("\10\56\0\0\0" CHUNK5 HOLE5), ERR_CORRUPT },
	{ "hole of a GiB, no digest", ENTRY_FILE, 1u << 30, TEXT("\10\11\0\0\0\1\0\0\0\100\0\0\0\0"), ERR_CORRUPT },
	{ "hole of more, no digest", ENTRY_FILE, (1u << 30) + 1, TEXT("\10\11\0\0\0\1\1\0\0\100\0\0\0\0"), ERR_OK },
	{ "two", ENTRY_FILE, 10, TEXT(SUM "\10\56\0\0\0" CHUNK5 HOLE5), ERR_OK },
	{ "segment kind 2", ENTRY_FILE, 5, TEXT(SUM "\10\11\0\0\0\2\5\0\0\0\0\0\0\0"), ERR_CORRUPT },
	{ "hole of 0", ENTRY_FILE, 0, TEXT(SUM "\10\11\0\0\0\1\0\0\0\0\0\0\0\0"), ERR_CORRUPT },
	{ "hole over 2^63", ENTRY_FILE, 5, TEXT(SUM "\10\11\0\0\0\1\0\0\0\0\0\0\0\x80"), ERR_CORRUPT },
	{ "chunk over 8 MiB", ENTRY_FILE, 0x800001, TEXT("\10\45\0\0\0\0\1\0\x80\0" ID32), ERR_CORRUPT },
	{ "chunk of 8 MiB", ENTRY_FILE, 0x800000, TEXT("\10\45\0\0\0\0\0\0\x80\0" ID32), ERR_OK },
	{ "chunk cut short", ENTRY_FILE, 5, TEXT("\10\44\0\0\0" CHUNK5), ERR_CORRUPT },
	{ "list empty", ENTRY_FILE, 0, TEXT(SUM "\10\0\0\0\0"), ERR_CORRUPT },
	{ "node, no digest", ENTRY_FILE, 5, TEXT("\11\40\0\0\0" ID32), ERR_CORRUPT },
	{ "node", ENTRY_FILE, 5, TEXT(SUM "\11\40\0\0\0" ID32), ERR_OK },
	{ "node, holes", ENTRY_FILE, 5,
	  TEXT(SUM "\11\40\0\0\0" ID32 "\14\10\0\0\0\5\0\0\0\0\0\0\0"), ERR_OK },
	{ "node, holes over size", ENTRY_FILE, 5,
	  TEXT(SUM "\11\40\0\0\0" ID32 "\14\10\0\0\0\6\0\0\0\0\0\0\0"), ERR_CORRUPT },
	{ "node, holes 0", ENTRY_FILE, 5,
	  TEXT(SUM "\11\40\0\0\0" ID32 "\14\10\0\0\0\0\0\0\0\0\0\0\0"), ERR_CORRUPT },
	{ "holes beside a list", ENTRY_FILE, 5,
	  TEXT("\10\45\0\0\0" CHUNK5 "\14\10\0\0\0\5\0\0\0\0\0\0\0"), ERR_CORRUPT },
	{ "list and node", ENTRY_FILE, 5,
	  TEXT(SUM "\10\45\0\0\0" CHUNK5 "\11\40\0\0\0" ID32), ERR_CORRUPT },
	{ "tag 0x80 ignored", ENTRY_FILE, 0, TEXT("\x80\3\0\0\0abc\xff\0\0\0\0"), ERR_OK },
	{ "tag 0x80 twice", ENTRY_FILE, 0, TEXT("\x80\0\0\0\0\x80\0\0\0\0"), ERR_CORRUPT },
	{ "tag after 0x80", ENTRY_FILE, 0, TEXT("\x80\0\0\0\0\13\0\0\0\0"), ERR_CORRUPT },
	{ "device too long", ENTRY_FILE, 0, TEXT("\13\11\0\0\0\1\2\3\4\5\6\7\10\11"), ERR_CORRUPT },
	{ "rdev of a file", ENTRY_FILE, 0, TEXT("\2\10\0\0\0\1\2\3\4\5\6\7\10"), ERR_CORRUPT },
	{ "device without rdev", ENTRY_CHARDEV, 0, TEXT(""), ERR_CORRUPT },
	{ "link without target", ENTRY_SYMLINK, 0, TEXT(""), ERR_CORRUPT },
	{ "link to nothing", ENTRY_SYMLINK, 0, TEXT("\1\0\0\0\0"), ERR_CORRUPT },
	{ "link", ENTRY_SYMLINK, 1, TEXT("\1\1\0\0\0x"), ERR_OK },
	{ "directory without DIR", ENTRY_DIR, 0, TEXT(""), ERR_CORRUPT },
	{ "hard link, no flag", ENTRY_FILE, 0, TEXT("\3\10\0\0\0\2\0\0\0\0\0\0\0"), ERR_CORRUPT },
	{ "xattrs", ENTRY_FIFO, 0, TEXT("\5\11\0\0\0\0\1\2\0\0\0avw"), ERR_OK },
	{ "xattrs kind 2", ENTRY_FIFO, 0, TEXT("\5\11\0\0\0\2\1\2\0\0\0avw"), ERR_CORRUPT },
	{ "xattrs no name", ENTRY_FIFO, 0, TEXT("\5\10\0\0\0\0\0\2\0\0\0vw"), ERR_CORRUPT },
	{ "xattrs NUL in name", ENTRY_FIFO, 0, TEXT("\5\11\0\0\0\0\1\2\0\0\0\0vw"), ERR_CORRUPT },
	{ "xattrs twice", ENTRY_FIFO, 0, TEXT("\5\16\0\0\0\0\1\0\0\0\0a\0\1\0\0\0\0a"), ERR_CORRUPT },
	{ "xattrs descending", ENTRY_FIFO, 0, TEXT("\5\16\0\0\0\0\1\0\0\0\0b\0\1\0\0\0\0a"), ERR_CORRUPT },
	{ "xattrs two", ENTRY_FIFO, 0, TEXT("\5\16\0\0\0\0\1\0\0\0\0a\0\1\0\0\0\0b"), ERR_OK },
	{ "xattrs cut short", ENTRY_FIFO, 0, TEXT("\5\10\0\0\0\0\1\2\0\0\0av"), ERR_CORRUPT },
	{ "xattr chunk of 0", ENTRY_FIFO, 0, TEXT("\5\47\0\0\0\1\1\0\0\0\0a" ID32), ERR_CORRUPT },
	{ "xattr chunk", ENTRY_FIFO, 0, TEXT("\5\47\0\0\0\1\1\0\0\1\0a" ID32), ERR_OK },
	{ "xattr chunk too long", ENTRY_FIFO, 0, TEXT("\5\47\0\0\0\1\1\1\0\1\0a" ID32), ERR_CORRUPT },
};

static void test_attr_row(void **state)
{
	const struct attr_row *t = *state;

	assert_int_equal(decode_attrs(t->type, t->size, t->attrs, t->len, NULL), t->want);
}

static void test_entryrec_fills_in(void **state)
{
	struct entry got;

	(void)state;
	assert_int_equal(decode_attrs(ENTRY_FILE, 5, TEXT("\10\45\0\0\0" CHUNK5), &got), ERR_OK);
	assert_int_equal(got.flags, ENTRY_HAS_SHA256);
	assert_memory_equal(got.sha256.b, ID32, ID_LEN);
	assert_int_equal(decode_attrs(ENTRY_FILE, 10, TEXT(SUM "\10\56\0\0\0" CHUNK5 HOLE5), &got),
			 ERR_OK);
	assert_int_equal(got.hole_bytes, 5);
	assert_int_equal(decode_attrs(ENTRY_FILE, 0, TEXT("\4\4\0\0\0\377\377\377\377"), &got),
			 ERR_OK);
	assert_int_equal(got.inode_flags, 0x800070);
}

/* Runs one item longer than may stand in an entry. */
static void test_entryrec_long_runs(void **state)
{
	struct buf list = BUF_INIT, xattrs = BUF_INIT, value = BUF_INIT;
	uint64_t size = 0;

	(void)state;
	buf_add(&list, SUM "\10\0\0\0\0", 42);
	for (; list.len - 42 <= LIST_LEN_MAX; size++) {
		segment_encode(&(struct segment){ .kind = SEGMENT_HOLE, .len = 1 }, &list);
		put_le32(list.p + 38, (uint32_t)(list.len - 42));
		if (list.len - 42 > LIST_LEN_MAX - 9)
			assert_int_equal(decode_attrs(ENTRY_FILE, size + 1, list.p, list.len, NULL),
					 list.len - 42 > LIST_LEN_MAX ? ERR_CORRUPT : ERR_OK);
	}
	assert_non_null(buf_room(&value, XATTR_INLINE_MAX));
	memset(value.p, 'v', XATTR_INLINE_MAX);
	buf_add(&xattrs, "\5\0\0\0\0", 5);
	for (char c = 1; xattrs.len - 5 <= XATTRS_LEN_MAX; c++) {
		xattr_encode(&(struct xattr){ .name = &c, .name_len = 1, .value = value.p,
					      .value_len = XATTR_INLINE_MAX }, &xattrs);
		put_le32(xattrs.p + 1, (uint32_t)(xattrs.len - 5));
		assert_int_equal(decode_attrs(ENTRY_FIFO, 0, xattrs.p, xattrs.len, NULL),
				 xattrs.len - 5 > XATTRS_LEN_MAX ? ERR_CORRUPT : ERR_OK);
	}
	buf_release(&list);
	buf_release(&xattrs);
	buf_release(&value);
}

static void test_xattr_round_trip(void **state)
{
	const struct xattr want[] = {
		{ .name = "a", .name_len = 1, .value = (const uint8_t *)"", .value_len = 0 },
		{ .name = "b", .name_len = 1, .value = (const uint8_t *)"\0x", .value_len = 2 },
		{ .name = "c", .name_len = 1, .in_chunk = true, .value_len = XATTR_VALUE_MAX,
		  .id = { { 1, 2, 3 } } },
	};
	struct buf b = BUF_INIT;
	struct xattr got;
	struct rd r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		xattr_encode(&want[i], &b);
	r = rd_init(b.p, b.len);
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_true(xattr_next(&r, &got));
		assert_int_equal(got.name_len, 1);
		assert_int_equal(*got.name, *want[i].name);
		assert_int_equal(got.in_chunk, want[i].in_chunk);
		assert_int_equal(got.value_len, want[i].value_len);
		assert_true(id_eq(&got.id, &want[i].id));
		if (!got.in_chunk)
			assert_memory_equal(got.value, want[i].value, got.value_len);
	}
	assert_false(xattr_next(&r, &got));
	assert_true(rd_end(&r));
	assert_false(xattr_next(&(struct rd){ 0 }, &got));
	buf_release(&b);
}

/* Sums of a directory that cannot be. */
static void test_entryrec_dir_totals(void **state)
{
	static const struct {
		uint64_t entries, subdirs;
		struct totals t;
		enum err_code want;
	} dirs[] = {
		{ 0, 0, { 0 }, ERR_OK },
		{ 1, 0, { .files = 1, .sums_len = 68 }, ERR_OK },
		{ 1, 0, { .files = 1, .sums_len = 67 }, ERR_CORRUPT },
		{ 1, 0, { .files = 1, .sums_len = 68, .sums_escaped = 1 }, ERR_CORRUPT },
		{ 1, 0, { .files = 1, .sums_len = 69, .sums_escaped = 1 }, ERR_OK },
		{ 1, 0, { .files = 1, .sums_len = 99, .sums_escaped = 2 }, ERR_CORRUPT },
		{ 2, 0, { .files = 1, .sums_len = 68 }, ERR_CORRUPT },
		{ 1, 1, { .files = 1, .sums_len = 68 }, ERR_CORRUPT },
		{ 1, 2, { .dirs = 2 }, ERR_CORRUPT },
		{ 1, 1, { .dirs = 2, .bytes = 1 }, ERR_CORRUPT },
		{ 1, 1, { .dirs = 2, .sums_len = 1 }, ERR_CORRUPT },
		{ 1, 1, { .dirs = UINT64_C(1) << 60 }, ERR_CORRUPT },	/* and itself */
		{ 1, 1, { .dirs = (UINT64_C(1) << 60) - 1 }, ERR_OK },
		{ 1, 0, { .others = UINT64_MAX }, ERR_CORRUPT },
		{ 1, 0, { .files = UINT64_MAX, .sums_len = INT64_MAX }, ERR_CORRUPT },
		{ 1, 0, { .files = 1, .sums_len = UINT64_MAX }, ERR_CORRUPT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		struct nodestore store = { 0 };
		struct entry e, parent = { 0 };
		struct dir_builder *b;
		struct err err = ERR_INIT;
		enum err_code rc;

		sample_entry(&e, ENTRY_DIR, "d");
		e.nr_entries = dirs[i].entries;
		e.nr_subdirs = dirs[i].subdirs;
		e.below = dirs[i].t;
		assert_int_equal(dir_builder_open(nodestore_emit, &store, &b, &err), ERR_OK);
		rc = dir_builder_add(b, &e, &err);
		/* what would be damage when read cannot be written */
		assert_int_equal(rc, dirs[i].want ? ERR_LIMIT : ERR_OK);
		assert_int_equal(err.code, rc);
		assert_int_equal(dir_builder_finish(b, &parent, &err), ERR_OK);
		assert_int_equal(parent.nr_entries, rc ? 0 : 1);
		dir_builder_close(b);
		nodestore_release(&store);
	}
}

int main(void)
{
	static const struct CMUnitTest plain[] = {
		cmocka_unit_test(test_entryrec_round_trip),
		cmocka_unit_test(test_entryrec_extremes),
		cmocka_unit_test(test_entryrec_plain),
		cmocka_unit_test(test_entryrec_truncation),
		cmocka_unit_test(test_entryrec_names),
		cmocka_unit_test(test_entryrec_fills_in),
		cmocka_unit_test(test_entryrec_dir_totals),
		cmocka_unit_test(test_entryrec_long_runs),
		cmocka_unit_test(test_xattr_round_trip),
	};
	struct CMUnitTest patched[ARRAY_LEN(rows)], attrs[ARRAY_LEN(attr_rows)];
	int failed = cmocka_run_group_tests_name("entryrec", plain, NULL, NULL);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		patched[i] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL,
						  (void *)(uintptr_t)&rows[i] };
	for (size_t i = 0; i < ARRAY_LEN(attr_rows); i++)
		attrs[i] = (struct CMUnitTest){ attr_rows[i].name, test_attr_row, NULL, NULL,
						(void *)(uintptr_t)&attr_rows[i] };
	failed += cmocka_run_group_tests_name("entryrec patched", patched, NULL, NULL);
	failed += cmocka_run_group_tests_name("entryrec attributes", attrs, NULL, NULL);
	return failed;
}
