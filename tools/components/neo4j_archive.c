/* SPDX-License-Identifier: MIT */
#include "tools/components/neo4j_archive.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"

#define MAGIC		"DZV1"
#define MAGIC_LEN	4u
#define META_MAGIC	"zstd"
#define META_VERSION	1u
#define WRAP_LEVEL	1	/* it is read again at once */

/* POSIX ustar: where a header has what. */
#define TAR_SIZE	124u
#define TAR_SIZE_LEN	12u
#define TAR_SUM		148u
#define TAR_SUM_LEN	8u
#define TAR_TYPE	156u
#define TAR_MAGIC	257u

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
static enum err_code take_pax(struct neo4j_archive *a, struct err *e)
{
	static const char key[] = "size=";
	const char *p = (const char *)a->pax.p;
	size_t left = a->pax.len;

	while (left > 0) {
		size_t len = 0, i = 0;

		while (i < left && p[i] >= '0' && p[i] <= '9' && len <= NEO4J_PAX_MAX)
			len = len * 10 + (size_t)(p[i++] - '0');
		if (i == 0 || i >= left || p[i] != ' ' || len > left || len <= i + 1 || p[len - 1] != '\n')
			return err_set(e, ERR_CORRUPT, "the archive has an extended header that is none, before byte %llu",
				       (unsigned long long)a->off);
		i++;
		if (len - i > sizeof(key) && memcmp(p + i, key, sizeof(key) - 1) == 0) {
			uint64_t v = 0;

			for (i += sizeof(key) - 1; i < len - 1; i++) {
				if (p[i] < '0' || p[i] > '9' || mul_u64(v, 10, &v) || add_u64(v, (uint64_t)(p[i] - '0'), &v))
					return err_set(e, ERR_CORRUPT,
						       "the archive has a size that is none, before byte %llu",
						       (unsigned long long)a->off);
			}
			a->has_size = true;
			a->size = v;
		}
		p += len;
		left -= len;
	}
	buf_reset(&a->pax);
	return ERR_OK;
}

static bool is_zero(const uint8_t *p, size_t len)
{
	while (len > 0 && p[len - 1] == 0)
		len--;
	return len == 0;
}

static enum err_code take_meta(struct neo4j_archive *a, struct err *e)
{
	if (memcmp(a->head, META_MAGIC, 4) != 0 || big_endian(a->head + 4, 4) != META_VERSION)
		return err_set(e, ERR_CORRUPT, "the archive does not begin as Neo4j's version %u does", META_VERSION);
	a->files = big_endian(a->head + 8, 8);
	a->bytes = big_endian(a->head + 16, 8);
	a->begun = true;
	return ERR_OK;
}

static enum err_code take_header(struct neo4j_archive *a, struct err *e)
{
	const uint8_t *h = a->head;
	uint64_t size, want, sum = TAR_SUM_LEN * ' ', padded;

	if (is_zero(h, NEO4J_BLOCK)) {
		a->end_blocks++;
		return ERR_OK;
	}
	for (size_t i = 0; i < NEO4J_BLOCK; i++)
		sum += i < TAR_SUM || i >= TAR_SUM + TAR_SUM_LEN ? h[i] : 0u;
	if (a->end_blocks > 0 || memcmp(h + TAR_MAGIC, "ustar", 5) != 0 || !octal(h + TAR_SUM, TAR_SUM_LEN, &want) ||
	    want != sum || !octal(h + TAR_SIZE, TAR_SIZE_LEN, &size))
		return err_set(e, ERR_CORRUPT, "the archive has something that is no header of a tar before byte %llu",
			       (unsigned long long)a->off);
	if (h[TAR_TYPE] == 'x') {
		if (size > NEO4J_PAX_MAX)
			return err_set(e, ERR_LIMIT, "the archive has an extended header of %llu bytes",
				       (unsigned long long)size);
		a->pax_left = size;
	} else if (h[TAR_TYPE] == '0' || h[TAR_TYPE] == 0) {
		size = a->has_size ? a->size : size;
		a->has_size = false;
		a->seen_files++;
		if (add_u64(a->seen_bytes, size, &a->seen_bytes))
			return err_set(e, ERR_CORRUPT, "the archive's files are too large to be true");
	}
	if (add_u64(size, NEO4J_BLOCK - 1, &padded))
		return err_set(e, ERR_CORRUPT, "the archive has a file too large to be true");
	a->left = padded & ~(uint64_t)(NEO4J_BLOCK - 1);
	return ERR_OK;
}

static enum err_code take_content(struct neo4j_archive *a, const uint8_t *p, size_t len, struct err *e)
{
	if (a->pax_left > 0) {
		size_t n = len < a->pax_left ? len : (size_t)a->pax_left;

		buf_add(&a->pax, p, n);
		if (a->pax.bad)
			return err_set(e, ERR_NOMEM, "out of memory");
		a->pax_left -= n;
	}
	a->left -= len;
	a->off += len;
	return a->left == 0 && a->pax.len > 0 ? take_pax(a, e) : ERR_OK;
}

enum err_code neo4j_archive_push(struct neo4j_archive *a, const void *buf, size_t len, struct err *e)
{
	const uint8_t *p = buf;
	enum err_code rc = ERR_OK;

	while (!rc && len > 0) {
		size_t want = a->begun ? NEO4J_BLOCK : NEO4J_META_LEN;
		size_t n;

		if (a->left > 0) {
			n = len < a->left ? len : (size_t)a->left;
			rc = take_content(a, p, n, e);
		} else {
			n = len < want - a->have ? len : want - a->have;
			memcpy(a->head + a->have, p, n);
			a->have += n;
			a->off += n;
			if (a->have == want) {
				rc = a->begun ? take_header(a, e) : take_meta(a, e);
				a->have = 0;
			}
		}
		p += n;
		len -= n;
	}
	return rc;
}

enum err_code neo4j_archive_end(struct neo4j_archive *a, struct err *e)
{
	if (!a->begun || a->have > 0 || a->left > 0 || a->end_blocks < 2)
		return err_set(e, ERR_CORRUPT, "the archive is cut short at byte %llu", (unsigned long long)a->off);
	if (a->seen_files != a->files || a->seen_bytes != a->bytes)
		return err_set(e, ERR_CORRUPT, "the archive announces %llu files of %llu bytes, but holds %llu of %llu",
			       (unsigned long long)a->files, (unsigned long long)a->bytes, (unsigned long long)a->seen_files,
			       (unsigned long long)a->seen_bytes);
	return ERR_OK;
}

void neo4j_archive_release(struct neo4j_archive *a)
{
	buf_release(&a->pax);
}

/* Taking the wrapping off. */

struct neo4j_unwrap {
	uint8_t magic[MAGIC_LEN];
	size_t have;
	struct zstream *z;
	struct neo4j_archive inside;
	zstream_sink *sink;
	void *ctx;
};

static enum err_code unwrapped(void *ctx, const void *buf, size_t len, struct err *e)
{
	struct neo4j_unwrap *u = ctx;
	enum err_code rc = neo4j_archive_push(&u->inside, buf, len, e);

	return rc ? rc : u->sink(u->ctx, buf, len, e);
}

enum err_code neo4j_unwrap_open(zstream_sink *sink, void *ctx, struct neo4j_unwrap **out, struct err *e)
{
	struct neo4j_unwrap *u = calloc(1, sizeof(*u));
	enum err_code rc;

	if (!u)
		return err_set(e, ERR_NOMEM, "out of memory");
	u->sink = sink;
	u->ctx = ctx;
	rc = zstream_open_decoder(unwrapped, u, &u->z, e);
	if (rc)
		neo4j_unwrap_close(u);
	else
		*out = u;
	return rc;
}

enum err_code neo4j_unwrap_push(struct neo4j_unwrap *u, const void *buf, size_t len, struct err *e)
{
	const uint8_t *p = buf;

	while (len > 0 && u->have < MAGIC_LEN) {
		u->magic[u->have++] = *p++;
		len--;
		if (u->have == MAGIC_LEN && memcmp(u->magic, MAGIC, MAGIC_LEN) != 0)
			return err_set(e, ERR_CORRUPT,
				       "the dump does not begin with " MAGIC ", as one compressed by zstd does");
	}
	return zstream_push(u->z, p, len, e);
}

enum err_code neo4j_unwrap_end(struct neo4j_unwrap *u, struct err *e)
{
	enum err_code rc = u->have < MAGIC_LEN ? err_set(e, ERR_CORRUPT, "the dump is empty") : zstream_finish(u->z, e);

	return rc ? rc : neo4j_archive_end(&u->inside, e);
}

uint64_t neo4j_unwrap_bytes(const struct neo4j_unwrap *u)
{
	return u->inside.seen_bytes;
}

void neo4j_unwrap_close(struct neo4j_unwrap *u)
{
	if (!u)
		return;
	zstream_close(u->z);
	neo4j_archive_release(&u->inside);
	free(u);
}

/* Putting it on again. */

struct neo4j_wrap {
	struct zstream *z;
	struct neo4j_archive inside;
	zstream_sink *sink;
	void *ctx;
	bool begun;
};

enum err_code neo4j_wrap_open(zstream_sink *sink, void *ctx, struct neo4j_wrap **out, struct err *e)
{
	struct neo4j_wrap *w = calloc(1, sizeof(*w));
	enum err_code rc;

	if (!w)
		return err_set(e, ERR_NOMEM, "out of memory");
	w->sink = sink;
	w->ctx = ctx;
	rc = zstream_open_encoder(WRAP_LEVEL, sink, ctx, &w->z, e);
	if (rc)
		neo4j_wrap_close(w);
	else
		*out = w;
	return rc;
}

enum err_code neo4j_wrap_push(struct neo4j_wrap *w, const void *buf, size_t len, struct err *e)
{
	enum err_code rc = neo4j_archive_push(&w->inside, buf, len, e);

	if (!rc && !w->begun)
		rc = w->sink(w->ctx, MAGIC, MAGIC_LEN, e);
	w->begun = true;
	return rc ? rc : zstream_push(w->z, buf, len, e);
}

enum err_code neo4j_wrap_end(struct neo4j_wrap *w, struct err *e)
{
	enum err_code rc = neo4j_archive_end(&w->inside, e);

	return rc ? rc : zstream_finish(w->z, e);
}

void neo4j_wrap_close(struct neo4j_wrap *w)
{
	if (!w)
		return;
	zstream_close(w->z);
	neo4j_archive_release(&w->inside);
	free(w);
}
