/* SPDX-License-Identifier: MIT */
#include "tools/components/neo4j_archive.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/buf.h"
#include "store/base/checked.h"

#define MAGIC		"DZV1"
#define MAGIC_LEN	4u
#define META_MAGIC	"zstd"
#define META_VERSION	1u
#define META_LEN	24u

/* zstd, RFC 8878: a frame without size, checksum or dictionary, with a window of 128 KiB; its blocks are raw. */
#define FRAME_HEAD	MAGIC "\x28\xb5\x2f\xfd" "\x00\x38"
#define BLOCK_HEAD	3u
#define BLOCK_MAX	(128u << 10)
#define BLOCK_LAST	1u	/* type raw is 0 */
#define BLOCK_SIZE_AT	3

/* POSIX ustar: where a header has what. */
#define TAR_BLOCK	512u
#define TAR_SIZE	124u
#define TAR_SIZE_LEN	12u
#define TAR_SUM		148u
#define TAR_SUM_LEN	8u
#define TAR_TYPE	156u
#define TAR_MAGIC	257u
#define PAX_MAX		(64u << 10)	/* of one extended header; Neo4j's have 200 bytes */

/* What is inside the frame. */
struct tar {
	uint8_t head[TAR_BLOCK];
	size_t have;			/* of head */
	bool begun;			/* the first META_LEN bytes were read */
	uint64_t files, bytes;		/* announced */
	uint64_t seen_files, seen_bytes;
	uint64_t left;			/* of an entry: content and padding */
	uint64_t pax_left;		/* of left: text of an extended header */
	struct buf pax;
	bool has_size;			/* the extended header gave the next entry's */
	uint64_t size;
	unsigned end_blocks;		/* of zeros, at the end */
	uint64_t off;			/* for messages */
};

static uint64_t big_endian(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | *p++;
	return v;
}

/* Digits, ended by a space or NUL; leading spaces. */
static bool octal(const uint8_t *p, size_t len, uint64_t *out)
{
	uint64_t v = 0;
	size_t i = 0, digits = 0;

	while (i < len && p[i] == ' ')
		i++;
	for (; i < len && p[i] >= '0' && p[i] <= '7'; i++, digits++)
		v = v << 3 | (uint64_t)(p[i] - '0');	/* 12 digits at most: 36 bits */
	*out = v;
	return digits > 0 && (i == len || p[i] == ' ' || p[i] == 0);
}

/* "LEN KEY=VALUE\n" one after the other; only the size of a file too large for the header matters here. */
static enum err_code take_pax(struct tar *t, struct err *e)
{
	static const char key[] = "size=";
	const char *p = (const char *)t->pax.p;
	size_t left = t->pax.len;

	while (left > 0) {
		size_t len = 0, i = 0;

		while (i < left && p[i] >= '0' && p[i] <= '9' && len <= PAX_MAX)
			len = len * 10 + (size_t)(p[i++] - '0');
		if (i == 0 || i >= left || p[i] != ' ' || len > left || len <= i + 1 || p[len - 1] != '\n')
			return err_set(e, ERR_CORRUPT, "the archive has an extended header that is none, before byte %llu",
				       (unsigned long long)t->off);
		i++;
		if (len - i > sizeof(key) && memcmp(p + i, key, sizeof(key) - 1) == 0) {
			uint64_t v = 0;

			for (i += sizeof(key) - 1; i < len - 1; i++) {
				if (p[i] < '0' || p[i] > '9' || mul_u64(v, 10, &v) || add_u64(v, (uint64_t)(p[i] - '0'), &v))
					return err_set(e, ERR_CORRUPT,
						       "the archive has a size that is none, before byte %llu",
						       (unsigned long long)t->off);
			}
			t->has_size = true;
			t->size = v;
		}
		p += len;
		left -= len;
	}
	buf_reset(&t->pax);
	return ERR_OK;
}

static bool is_zero(const uint8_t *p, size_t len)
{
	while (len > 0 && p[len - 1] == 0)
		len--;
	return len == 0;
}

static enum err_code take_meta(struct tar *t, struct err *e)
{
	if (memcmp(t->head, META_MAGIC, 4) != 0 || big_endian(t->head + 4, 4) != META_VERSION)
		return err_set(e, ERR_CORRUPT, "the archive does not begin as Neo4j's version %u does", META_VERSION);
	t->files = big_endian(t->head + 8, 8);
	t->bytes = big_endian(t->head + 16, 8);
	t->begun = true;
	return ERR_OK;
}

static enum err_code take_header(struct tar *t, struct err *e)
{
	const uint8_t *h = t->head;
	uint64_t size, want, sum = TAR_SUM_LEN * ' ', padded;

	if (is_zero(h, TAR_BLOCK)) {
		t->end_blocks++;
		return ERR_OK;
	}
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += i < TAR_SUM || i >= TAR_SUM + TAR_SUM_LEN ? h[i] : 0u;
	if (t->end_blocks > 0 || memcmp(h + TAR_MAGIC, "ustar", 5) != 0 || !octal(h + TAR_SUM, TAR_SUM_LEN, &want) ||
	    want != sum || !octal(h + TAR_SIZE, TAR_SIZE_LEN, &size))
		return err_set(e, ERR_CORRUPT, "the archive has something that is no header of a tar before byte %llu",
			       (unsigned long long)t->off);
	if (h[TAR_TYPE] == 'x') {
		if (size > PAX_MAX)
			return err_set(e, ERR_LIMIT, "the archive has an extended header of %llu bytes",
				       (unsigned long long)size);
		t->pax_left = size;
	} else if (h[TAR_TYPE] == '0' || h[TAR_TYPE] == 0) {
		size = t->has_size ? t->size : size;
		t->has_size = false;
		t->seen_files++;
		if (add_u64(t->seen_bytes, size, &t->seen_bytes))
			return err_set(e, ERR_CORRUPT, "the archive's files are too large to be true");
	}
	if (add_u64(size, TAR_BLOCK - 1, &padded))
		return err_set(e, ERR_CORRUPT, "the archive has a file too large to be true");
	t->left = padded & ~(uint64_t)(TAR_BLOCK - 1);
	return ERR_OK;
}

static enum err_code take_content(struct tar *t, const uint8_t *p, size_t len, struct err *e)
{
	if (t->pax_left > 0) {
		size_t n = len < t->pax_left ? len : (size_t)t->pax_left;

		buf_add(&t->pax, p, n);
		if (t->pax.bad)
			return err_set(e, ERR_NOMEM, "out of memory");
		t->pax_left -= n;
	}
	t->left -= len;
	t->off += len;
	return t->left == 0 && t->pax.len > 0 ? take_pax(t, e) : ERR_OK;
}

/* How many of the next len bytes belong to the same header or content. */
static size_t tar_run(const struct tar *t, size_t len)
{
	size_t want = t->begun ? TAR_BLOCK : META_LEN;

	if (t->left > 0)
		return len < t->left ? len : (size_t)t->left;
	return len < want - t->have ? len : want - t->have;
}

static bool tar_between(const struct tar *t)
{
	return t->left == 0 && t->have == 0;
}

/* len: at most tar_run() of it */
static enum err_code tar_push(struct tar *t, const uint8_t *p, size_t len, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (t->left > 0)
		return take_content(t, p, len, e);
	memcpy(t->head + t->have, p, len);
	t->have += len;
	t->off += len;
	if (t->have == (t->begun ? TAR_BLOCK : META_LEN)) {
		rc = t->begun ? take_header(t, e) : take_meta(t, e);
		t->have = 0;
	}
	return rc;
}

static enum err_code tar_end(const struct tar *t, struct err *e)
{
	if (!t->begun || !tar_between(t) || t->end_blocks < 2)
		return err_set(e, ERR_CORRUPT, "the archive is cut short at byte %llu", (unsigned long long)t->off);
	if (t->seen_files != t->files || t->seen_bytes != t->bytes)
		return err_set(e, ERR_CORRUPT, "the archive announces %llu files of %llu bytes, but holds %llu of %llu",
			       (unsigned long long)t->files, (unsigned long long)t->bytes, (unsigned long long)t->seen_files,
			       (unsigned long long)t->seen_bytes);
	return ERR_OK;
}

struct neo4j_archive {
	uint8_t magic[MAGIC_LEN];
	size_t have;			/* of magic */
	struct zstream *z;
	struct tar inside;
	zstream_sink *sink;		/* may be NULL */
	void *ctx;
	bool begun;			/* sink has the frame's head */
	uint8_t block[BLOCK_HEAD + BLOCK_MAX];
	size_t block_len;
};

static enum err_code end_block(struct neo4j_archive *a, uint32_t flags, struct err *e)
{
	uint32_t head = (uint32_t)a->block_len << BLOCK_SIZE_AT | flags;
	size_t len = BLOCK_HEAD + a->block_len;
	enum err_code rc = ERR_OK;

	a->block_len = 0;
	if (!a->sink)
		return ERR_OK;
	for (size_t i = 0; i < BLOCK_HEAD; i++)
		a->block[i] = (uint8_t)(head >> 8 * i);
	if (!a->begun)
		rc = a->sink(a->ctx, FRAME_HEAD, sizeof(FRAME_HEAD) - 1, e);
	a->begun = true;
	return rc ? rc : a->sink(a->ctx, a->block, len, e);
}

static enum err_code take_inside(void *ctx, const void *buf, size_t len, struct err *e)
{
	struct neo4j_archive *a = ctx;
	const uint8_t *p = buf;
	enum err_code rc = ERR_OK;

	while (!rc && len > 0) {
		size_t n = tar_run(&a->inside, len);

		n = n < BLOCK_MAX - a->block_len ? n : BLOCK_MAX - a->block_len;
		memcpy(a->block + BLOCK_HEAD + a->block_len, p, n);
		a->block_len += n;
		rc = tar_push(&a->inside, p, n, e);
		if (!rc && (a->block_len == BLOCK_MAX || tar_between(&a->inside)))
			rc = end_block(a, 0, e);
		p += n;
		len -= n;
	}
	return rc;
}

enum err_code neo4j_archive_open(zstream_sink *sink, void *ctx, struct neo4j_archive **out, struct err *e)
{
	struct neo4j_archive *a = calloc(1, sizeof(*a));
	enum err_code rc;

	if (!a)
		return err_set(e, ERR_NOMEM, "out of memory");
	a->sink = sink;
	a->ctx = ctx;
	rc = zstream_open(take_inside, a, &a->z, e);
	if (rc)
		neo4j_archive_close(a);
	else
		*out = a;
	return rc;
}

enum err_code neo4j_archive_push(struct neo4j_archive *a, const void *buf, size_t len, struct err *e)
{
	const uint8_t *p = buf;

	while (len > 0 && a->have < MAGIC_LEN) {
		a->magic[a->have++] = *p++;
		len--;
		if (a->have == MAGIC_LEN && memcmp(a->magic, MAGIC, MAGIC_LEN) != 0)
			return err_set(e, ERR_CORRUPT,
				       "the dump does not begin with " MAGIC ", as one compressed by zstd does");
	}
	return zstream_push(a->z, p, len, e);
}

enum err_code neo4j_archive_end(struct neo4j_archive *a, struct err *e)
{
	enum err_code rc = a->have < MAGIC_LEN ? err_set(e, ERR_CORRUPT, "the dump is empty") : zstream_finish(a->z, e);

	if (!rc)
		rc = tar_end(&a->inside, e);
	return rc ? rc : end_block(a, BLOCK_LAST, e);
}

uint64_t neo4j_archive_bytes(const struct neo4j_archive *a)
{
	return a->inside.seen_bytes;
}

void neo4j_archive_close(struct neo4j_archive *a)
{
	if (!a)
		return;
	zstream_close(a->z);
	buf_release(&a->inside.pax);
	free(a);
}
