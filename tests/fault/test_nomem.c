/* SPDX-License-Identifier: MIT */
/*
 * Memory runs out at the first allocation, at the second, ... of everything in store/format and store/base that
 * allocates: it says so, and what it had is freed (which valgrind would tell).  Not under sanitizers: they have an
 * allocator of their own; and not what libcrypto allocates for a digest, without which nothing here can go on.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/crypto.h>

#include "store/base/base64.h"
#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/base/io.h"
#include "store/base/keyset.h"
#include "store/base/pool.h"
#include "store/format/collectrec.h"
#include "store/format/forgetrec.h"
#include "store/format/node.h"
#include "store/format/packtable.h"
#include "store/format/snaprec.h"
#include "store/format/superblock.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_FAIL false
static _Thread_local unsigned left;
static _Thread_local bool fired;

static void spare_libcrypto(void)
{
}
#else
#define CAN_FAIL true
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static _Thread_local unsigned left;	/* allocations until one fails; 0: none does */
static _Thread_local bool fired;

static bool fails(void)
{
	if (left == 0 || --left > 0)
		return false;
	fired = true;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t n)
{
	return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return fails() ? NULL : __libc_realloc(p, n);
}

static void *crypto_malloc(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return __libc_malloc(n);
}

static void *crypto_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return __libc_realloc(p, n);
}

static void crypto_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	free(p);
}

static void spare_libcrypto(void)
{
	if (CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free) != 1)
		abort();
}
#endif

static char text[] = "text", odd[] = "odd \xff\xfe", empty[] = "";

static enum err_code bad(const struct buf *b)
{
	return b->bad ? ERR_NOMEM : ERR_OK;
}

static enum err_code op_superblock(struct err *e)
{
	struct superblock s = { .id = "0123456789abcde", .created = "2026-11-21T02:00:00.000000000Z" }, got;
	struct buf b = BUF_INIT;
	enum err_code rc;

	store_params_default(&s.params);
	superblock_encode(&s, &b);
	rc = bad(&b);
	if (!rc)
		rc = superblock_decode(b.p, b.len, &got, e);
	buf_release(&b);
	return rc;
}

static enum err_code op_snaprec(struct err *e)
{
	char *texts[] = { text };
	struct component_outcome c = { .name = text, .type = odd, .status = text, .detail = text };
	struct snapshot s = { .name = text, .host = odd, .user = text, .version = text, .sources = texts,
			      .nr_sources = 1, .tags = texts, .nr_tags = 1, .base = empty, .components = &c,
			      .nr_components = 1, .time = { 1795226400, 5 }, .end = { 1795226401, 5 },
			      .seq = UINT64_MAX, .has_previous = true },
			got;
	struct buf b = BUF_INIT;
	enum err_code rc;

	snaprec_encode(&s, &b);
	rc = bad(&b);
	if (!rc)
		rc = snaprec_decode(b.p, b.len, &got, e);
	if (!rc)
		snapshot_release(&got);
	buf_release(&b);
	return rc;
}

/* Only written: jansson 2.14 itself falls over where it reads an array of texts and memory ends. */
static enum err_code op_collect(struct err *e)
{
	struct object_id ids[3] = { 0 };
	const struct condemned_rec c = { .time = { 1795226400, 7 }, .packs = ids, .nr = 3 };
	char *known[] = { text, text };
	const struct writer_rec w = { .began = { 1795226400, 7 }, .beat = { 1795226500, 8 }, .boot = "b", .pid = 1,
				      .known = known, .nr_known = 2 };
	struct buf b = BUF_INIT;
	enum err_code rc;

	(void)e;
	condemned_rec_encode(&c, &b);
	rc = bad(&b);
	buf_release(&b);
	if (rc)
		return rc;
	writer_rec_encode(&w, &b);
	rc = bad(&b);
	buf_release(&b);
	return rc;
}

static enum err_code op_forgotten(struct err *e)
{
	static char name[] = "2026-11-21T02-00-00Z-0000000000000000";
	struct forgotten f = { .name = name, .time = { 1795226400, 7 }, .reason = odd, .seq = 1 }, got;
	struct buf b = BUF_INIT;
	enum err_code rc;

	forgetrec_encode(&f, &b);
	rc = bad(&b);
	if (!rc)
		rc = forgetrec_decode(b.p, b.len, &got, e);
	if (!rc)
		forgotten_release(&got);
	buf_release(&b);
	return rc;
}

static enum err_code emit(void *ctx, const uint8_t *buf, size_t len, struct object_id *id, struct err *e)
{
	struct node n;
	enum err_code rc = node_decode(buf, len, &n, e);

	(void)ctx;
	if (rc)
		return rc;
	node_release(&n);
	digest_sha256(buf, len, id);
	return ERR_OK;
}

/* Enough of them for inner nodes. */
static enum err_code op_dir(struct err *e)
{
	struct dir_builder *b = NULL;
	struct entry ent = { .type = ENTRY_FILE, .mode = 0644, .user = text, .user_len = 4, .group = text,
			     .group_len = 4, .nlink = 1 }, dir = { .type = ENTRY_DIR, .user = "", .group = "" };
	struct object_id id;
	char name[16];
	enum err_code rc = dir_builder_open(emit, NULL, &b, e);

	for (unsigned i = 0; !rc && i < 2500; i++) {
		ent.name = name;
		ent.name_len = 5;
		name[0] = 'n';
		for (unsigned k = 4, v = i; k > 0; k--, v /= 10)
			name[k] = (char)('0' + v % 10);
		ent.uid = i % 3;
		rc = dir_builder_add(b, &ent, e);
	}
	if (!rc)
		rc = dir_builder_finish(b, &dir, e);
	dir_builder_close(b);
	dir.name = "";
	if (!rc)
		rc = root_emit(&dir, emit, NULL, &id, e);
	return rc;
}

static enum err_code op_content(struct err *e)
{
	struct content_builder *b = NULL;
	struct segment s = { .kind = SEGMENT_CHUNK, .len = 1000 };
	struct entry file = { .type = ENTRY_FILE };
	enum err_code rc = content_builder_open(emit, NULL, &b, e);

	for (uint32_t i = 0; !rc && i < 3000; i++) {
		digest_sha256(&i, sizeof(i), &s.id);
		rc = content_builder_add(b, &s, e);
	}
	if (!rc)
		rc = content_builder_finish(b, &file, e);
	if (!rc)
		rc = content_builder_add(b, &s, e);
	if (!rc)
		rc = content_builder_finish(b, &file, e);
	content_builder_close(b);
	return rc;
}

static enum err_code op_packtable(struct err *e)
{
	struct table_block blocks[2] = { { PACK_HEADER_LEN, 10, 19, 0, 1 }, { 0, 20, 29, 1, 1 } };
	struct chunk_desc chunks[2] = { { .len = 10 }, { .len = 20 } };
	struct packtable t = { PACK_DATA, 0, 2, 2, blocks, chunks }, got;
	size_t frame = packtable_frame_len(2, 2);
	struct buf b = BUF_INIT;
	enum err_code rc;

	blocks[1].off = (uint32_t)(PACK_HEADER_LEN + block_header_len(1) + 19);
	t.pack_len = blocks[1].off + block_header_len(1) + 29 + frame;
	packtable_encode(&t, &b);
	rc = bad(&b);
	if (!rc)
		rc = packtable_decode(b.p, b.len, t.pack_len, &got, e);
	if (!rc)
		packtable_release(&got);
	buf_release(&b);
	return rc;
}

static enum err_code op_base(struct err *e)
{
	struct buf text64 = BUF_INIT, plain = BUF_INIT;
	struct digest_stream *stream = NULL;
	struct keyset keys = { .slots = NULL };
	struct digest *d = NULL;
	struct object_id id;
	enum err_code rc = digest_open(&d, e);

	for (uint64_t i = 0; !rc && i < 3000; i++)
		rc = keyset_add(&keys, i, NULL, e);
	keyset_release(&keys);
	if (!rc)
		rc = digest_stream_open(&stream, e);
	if (stream)
		digest_stream_finish(stream, &id);
	digest_stream_close(stream);
	digest_close(d);
	base64_encode((const uint8_t *)odd, sizeof(odd), &text64);
	if (!rc)
		rc = bad(&text64);
	if (!rc && !base64_decode((const char *)text64.p, text64.len, &plain))
		rc = bad(&plain);
	buf_release(&text64);
	buf_release(&plain);
	if (!rc)
		rc = io_read_file(&io_system, AT_FDCWD, "/etc/passwd", (size_t)1 << 20, &plain, e);
	buf_release(&plain);
	return rc;
}

static void job(void *arg)
{
	(void)arg;
}

static enum err_code op_pool(struct err *e)
{
	struct pool *p = NULL;
	enum err_code rc = pool_open(2, 4, &p, e);

	if (rc)
		return rc;
	left = 0;	/* a job that cannot be noted ends the program */
	pool_submit(p, job, NULL);
	pool_close(p);
	return ERR_OK;
}

static const struct row {
	const char *name;
	enum err_code (*op)(struct err *e);
	unsigned at_least;	/* allocations */
} rows[] = {
	{ "vouch.json", op_superblock, 10 }, { "snapshot", op_snaprec, 30 }, { "collectors", op_collect, 10 },
	{ "forgotten", op_forgotten, 10 }, { "directory", op_dir, 10 },
	{ "content", op_content, 8 }, { "pack table", op_packtable, 3 }, { "base", op_base, 5 }, { "pool", op_pool, 2 },
};

static void test_row(void **state)
{
	const struct row *t = *state;
	struct err e = ERR_INIT;
	unsigned n = 0;

	if (!CAN_FAIL)
		skip();
	/* What is made once a program, or a thread. */
	assert_int_equal(t->op(&e), ERR_OK);
	do {
		enum err_code rc;

		err_clear(&e);
		fired = false;
		left = ++n;
		rc = t->op(&e);
		left = 0;
		if (rc && rc != ERR_NOMEM)
			print_message("%u: %d: %s\n", n, (int)rc, e.msg);
		/* What can do without may go on. */
		assert_true(rc == ERR_OK || (fired && rc == ERR_NOMEM));
	} while (fired);
	print_message("%s: %u allocations\n", t->name, n - 1);
	assert_true(n > t->at_least);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_LEN(rows)];

	spare_libcrypto();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[i] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL, (void *)(uintptr_t)&rows[i] };
	return cmocka_run_group_tests_name("nomem", tests, NULL, NULL);
}
