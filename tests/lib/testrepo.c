/* SPDX-License-Identifier: MIT */
#include "tests/lib/testrepo.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/digest.h"

static void on_event(void *ctx, const struct event *ev)
{
	struct testrepo *r = ctx;

	if (ev->kind != EVENT_DAMAGE && ev->kind != EVENT_WARNING)
		return;
	(void)pthread_mutex_lock(&r->mutex);
	if (ev->kind == EVENT_DAMAGE)
		r->damages++;
	else
		r->warnings++;
	(void)snprintf(r->text, sizeof(r->text), "%.500s: %.500s", ev->text,
		       ev->err ? ev->err->msg : "");
	(void)pthread_mutex_unlock(&r->mutex);
}

struct store_events testrepo_events(struct testrepo *r)
{
	return (struct store_events){ .fn = on_event, .ctx = r };
}

void testrepo_make_dir(struct testrepo *r)
{
	const char *tmp = getenv("TMPDIR");
	char sub[192];

	*r = (struct testrepo){ .s = NULL };
	assert_int_equal(pthread_mutex_init(&r->mutex, NULL), 0);
	assert_true(snprintf(r->dir, sizeof(r->dir), "%s/vouch-test-XXXXXX", tmp ? tmp : "/tmp") <
		    (int)sizeof(r->dir));
	assert_non_null(mkdtemp(r->dir));
	(void)snprintf(r->path, sizeof(r->path), "%s/repo", r->dir);
	(void)snprintf(sub, sizeof(sub), "%s/state", r->dir);
	assert_int_equal(setenv("XDG_STATE_HOME", sub, 1), 0);
	(void)snprintf(sub, sizeof(sub), "%s/cache", r->dir);
	assert_int_equal(setenv("XDG_CACHE_HOME", sub, 1), 0);
}

void testrepo_make(struct testrepo *r)
{
	testrepo_make_dir(r);
	OK(store_create(r->path, NULL, &ok_err));
}

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void testrepo_rm(const char *path)
{
	(void)nftw(path, rm_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

void testrepo_remove(struct testrepo *r)
{
	testrepo_close(r);
	testrepo_rm(r->dir);
	(void)pthread_mutex_destroy(&r->mutex);
}

void testrepo_open(struct testrepo *r, enum store_mode mode)
{
	struct store_events ev = testrepo_events(r);

	assert_null(r->s);
	OK(store_open(r->path, mode, &ev, &r->s, &ok_err));
}

void testrepo_close(struct testrepo *r)
{
	writer_close(r->w);
	pool_close(r->pool);
	store_close(r->s);
	r->w = NULL;
	r->pool = NULL;
	r->s = NULL;
}

void testrepo_put(struct testrepo *r, enum pack_kind kind, const void *buf, size_t len,
		  struct object_id *id)
{
	if (!r->w) {
		struct writer_config cfg = { .chunks = r->s->chunks, .backend = r->s->backend,
					     .params = r->s->super.params };

		OK(pool_open(2, 8, &r->pool, &ok_err));
		cfg.pool = r->pool;
		OK(writer_open(&cfg, &r->w, &ok_err));
	}
	digest_sha256(buf, len, id);
	OK(writer_put(r->w, kind, id, buf, (uint32_t)len, NULL, &ok_err));
}

enum err_code testrepo_emit(void *ctx, const uint8_t *buf, size_t len, struct object_id *id,
			    struct err *e)
{
	(void)e;
	testrepo_put(ctx, PACK_TREE, buf, len, id);
	return ERR_OK;
}

void testrepo_finish(struct testrepo *r)
{
	if (r->w)
		OK(writer_finish(r->w, &ok_err));
}

static char *own(const char *s)
{
	char *p = strdup(s);

	assert_non_null(p);
	return p;
}

struct snapshot testrepo_snapshot(struct testrepo *r, int64_t sec, const char *host)
{
	struct entry root = { .type = ENTRY_DIR, .mode = 0755, .name = "", .user = "",
			      .group = "" };
	struct snapshot snap = { .time = { sec, 5 }, .end = { sec + 1, 0 } };
	struct dir_builder *b = NULL;

	OK(dir_builder_open(testrepo_emit, r, &b, &ok_err));
	OK(dir_builder_finish(b, &root, &ok_err));
	dir_builder_close(b);
	OK(root_emit(&root, testrepo_emit, r, &snap.root, &ok_err));
	testrepo_finish(r);
	snap.name = own("");
	snap.host = own(host);
	snap.user = own("root");
	snap.version = own(store_version());
	snap.base = own("");
	snap.sources = calloc(1, sizeof(*snap.sources));
	snap.tags = calloc(1, sizeof(*snap.tags));
	assert_true(snap.sources && snap.tags);
	snap.sources[0] = own("/etc");
	snap.nr_sources = 1;
	return snap;
}

static void name_path(const struct testrepo *r, const char *name, char *out, size_t len)
{
	assert_true(snprintf(out, len, "%s/%s", r->path, name) < (int)len);
}

uint8_t *testrepo_read(struct testrepo *r, const char *name, size_t *len)
{
	char path[512];
	struct stat st;
	uint8_t *p;
	int fd;

	name_path(r, name, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	assert_int_equal(fstat(fd, &st), 0);
	p = malloc((size_t)st.st_size + 1);
	assert_non_null(p);
	assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
	p[st.st_size] = 0;
	(void)close(fd);
	*len = (size_t)st.st_size;
	return p;
}

void testrepo_write(struct testrepo *r, const char *name, const void *buf, size_t len)
{
	char path[512];
	int fd;

	name_path(r, name, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, buf, len), len);
	assert_int_equal(close(fd), 0);
}

void testrepo_flip(struct testrepo *r, const char *name, size_t off, unsigned bit)
{
	size_t len = 0;
	uint8_t *p = testrepo_read(r, name, &len);

	assert_non_null(p);
	assert_true(off < len);
	p[off] = (uint8_t)(p[off] ^ 1u << bit);
	testrepo_write(r, name, p, len);
	free(p);
}

void testrepo_unlink(struct testrepo *r, const char *name)
{
	char path[512];

	name_path(r, name, path, sizeof(path));
	assert_int_equal(unlink(path), 0);
}

bool testrepo_exists(struct testrepo *r, const char *name)
{
	char path[512];

	name_path(r, name, path, sizeof(path));
	return access(path, F_OK) == 0;
}

uint64_t test_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t test_seed(void)
{
	const char *given = getenv("TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

	print_message("TEST_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}
