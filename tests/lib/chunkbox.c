/* SPDX-License-Identifier: MIT */
#include "tests/lib/chunkbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include <dirent.h>

#include "store/base/digest.h"
#include "store/engine/pack.h"
#include "tests/lib/faulty_backend.h"

static const uint8_t repo_id[16] = {0xb0, 0x0b};

static void on_damage(void *ctx, const struct chunk_damage *d)
{
	struct box *b = ctx;

	pthread_mutex_lock(&b->mutex);
	if (b->nr_damages < BOX_DAMAGES)
		b->damages[b->nr_damages] = *d;
	b->nr_damages++;
	pthread_mutex_unlock(&b->mutex);
}

static void on_rebuild(void *ctx, uint64_t done, uint64_t all)
{
	struct box *b = ctx;

	assert_true(done <= all);
	pthread_mutex_lock(&b->mutex);
	b->nr_rebuilds++;
	pthread_mutex_unlock(&b->mutex);
}

static void on_mended(void *ctx, const struct heal_news *n)
{
	struct box *b = ctx;

	pthread_mutex_lock(&b->mutex);
	assert_true(b->nr_news < BOX_NEWS);
	b->news[b->nr_news] = *n;
	if (n->err) {
		b->news_err[b->nr_news] = *n->err;
		b->news[b->nr_news].err = &b->news_err[b->nr_news];
	}
	b->nr_news++;
	pthread_mutex_unlock(&b->mutex);
}

void box_open(struct box *b)
{
	struct chunks_config cfg = {
	    .backend = b->backend,
	    .index_path = b->index,
	    .cache_bytes = 4 << 20,
	    .events = {.ctx = b, .damage = on_damage, .rebuild = on_rebuild, .mended = on_mended},
	    .replicas = b->replicas,
	};
	struct err e = ERR_INIT;

	memcpy(cfg.repo_id, repo_id, sizeof(repo_id));
	if (chunks_open(&cfg, &b->chunks, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(e.code, ERR_OK);
}

void box_close(struct box *b)
{
	chunks_close(b->chunks);
	b->chunks = NULL;
}

void box_reopen(struct box *b)
{
	box_close(b);
	box_open(b);
}

void box_make(struct box *b)
{
	const char *tmp = getenv("TMPDIR");
	struct err e = ERR_INIT;
	char name[96];
	FILE *f;

	memset(b, 0, sizeof(*b));
	(void)snprintf(b->dir, sizeof(b->dir), "%.40s/box.XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(b->dir));
	(void)snprintf(b->index, sizeof(b->index), "%s/index.db", b->dir);
	if (file_backend_open(b->dir, true, true, &io_system, &b->file, &e))
		fail_msg("%s", e.msg);
	(void)snprintf(name, sizeof(name), "%s/vouch.json", b->dir);
	f = fopen(name, "w");
	assert_non_null(f);
	fclose(f);
	b->backend = faulty_open(b->file);
	assert_int_equal(pool_open(2, 16, &b->pool, &e), ERR_OK);
	store_params_default(&b->params);
	assert_int_equal(pthread_mutex_init(&b->mutex, NULL), 0);
	box_open(b);
}

void box_remove(struct box *b)
{
	char cmd[128];

	box_close(b);
	pool_close(b->pool);
	faulty_close(b->backend);
	b->file->ops->close(b->file);
	pthread_mutex_destroy(&b->mutex);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf -- '%s'", b->dir);
	assert_int_equal(system(cmd), 0);
}

struct object_id box_bytes(uint64_t seed, uint8_t *buf, size_t len)
{
	uint64_t x = seed * 0x9E3779B97F4A7C15u + 1;
	struct object_id id;

	for (size_t i = 0; i < len; i++) {
		if (seed % 2 == 1 || i % 64 == 0) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		buf[i] = (uint8_t)(x >> 24);
	}
	digest_sha256(buf, len, &id);
	return id;
}

struct newest {
	struct object_id *known, id;
	unsigned nr_known;
	unsigned found;
};

static enum err_code collect(void *ctx, const struct object_id *id, struct err *e)
{
	struct newest *n = ctx;

	(void)e;
	for (unsigned i = 0; i < n->nr_known; i++)
		if (id_eq(&n->known[i], id))
			return ERR_OK;
	n->id = *id;
	n->found++;
	return ERR_OK;
}

static enum err_code collect_all(void *ctx, const struct object_id *id, struct err *e)
{
	struct newest *n = ctx;

	(void)e;
	n->known = reallocarray(n->known, n->nr_known + 1, sizeof(*n->known));
	assert_non_null(n->known);
	n->known[n->nr_known++] = *id;
	return ERR_OK;
}

struct object_id box_pack(struct box *b, const uint64_t *seeds, size_t nr, uint32_t len)
{
	struct writer_config cfg = {
	    .chunks = b->chunks, .backend = b->backend, .params = b->params, .pool = b->pool};
	struct newest n = {0};
	uint8_t *buf = malloc(len);
	struct writer *w = NULL;
	struct err e = ERR_INIT;
	bool is_new;

	assert_non_null(buf);
	assert_int_equal(chunks_each_pack(b->chunks, collect_all, &n, &e), ERR_OK);
	assert_int_equal(writer_open(&cfg, &w, &e), ERR_OK);
	for (size_t i = 0; i < nr; i++) {
		struct object_id id = box_bytes(seeds[i], buf, len);

		if (writer_put(w, PACK_DATA, &id, buf, len, &is_new, &e))
			fail_msg("%s", e.msg);
		assert_true(is_new);
	}
	if (writer_finish(w, &e))
		fail_msg("%s", e.msg);
	writer_close(w);
	assert_int_equal(chunks_each_pack(b->chunks, collect, &n, &e), ERR_OK);
	assert_int_equal(n.found, 1);
	free(n.known);
	free(buf);
	return n.id;
}

enum err_code box_get(struct box *b, uint64_t seed, uint32_t len, struct err *e)
{
	struct chunk_ref ref = {0};
	uint8_t *buf = malloc(len);
	struct object_id id;
	enum err_code rc;

	assert_non_null(buf);
	id = box_bytes(seed, buf, len);
	rc = chunks_get(b->chunks, &id, &ref, e);
	if (!rc) {
		assert_int_equal(ref.len, len);
		assert_memory_equal(ref.data, buf, len);
		chunk_ref_release(b->chunks, &ref);
	}
	free(buf);
	return rc;
}

void box_pack_path(const struct box *b, const struct object_id *id, char out[192])
{
	char name[PACK_NAME_LEN + 1];

	pack_name(id, name);
	(void)snprintf(out, 192, "%s/%s", b->dir, name);
}

void box_sql(const struct box *b, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(b->index, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

static bool count_pack(void *ctx, const char *name, uint64_t size)
{
	struct object_id id;

	(void)size;
	*(unsigned *)ctx += pack_name_parse(name, &id);
	return true;
}

unsigned box_count_packs(struct box *b)
{
	unsigned n = 0;

	assert_int_equal(b->file->ops->list(b->file, "packs/", false, count_pack, &n, NULL),
			 ERR_OK);
	return n;
}

unsigned box_count_tmp(struct box *b)
{
	struct dirent *d;
	unsigned n = 0;
	char name[96];
	DIR *dir;

	(void)snprintf(name, sizeof(name), "%s/tmp", b->dir);
	dir = opendir(name);
	assert_non_null(dir);
	while ((d = readdir(dir)))
		n += d->d_name[0] != '.';
	closedir(dir);
	return n;
}
