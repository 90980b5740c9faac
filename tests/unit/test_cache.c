/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <pthread.h>

#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/engine/cache.h"

enum { NR = 10, LEN = 100, BLOCK = NR * LEN };

static struct object_id chunk_id(uint32_t pack, uint32_t block, uint32_t i)
{
	const uint32_t key[3] = { pack, block, i };
	struct object_id id;

	digest_sha256(key, sizeof(key), &id);
	return id;
}

static struct cache_block *put(struct cache *c, uint32_t pack, uint32_t block)
{
	struct chunk_desc chunks[NR];
	uint8_t *plain = malloc(BLOCK);

	assert_non_null(plain);
	for (uint32_t i = 0; i < NR; i++) {
		chunks[i].id = chunk_id(pack, block, i);
		chunks[i].len = LEN;
		memset(plain + i * LEN, (int)(pack + block + i), LEN);
	}
	return cache_put(c, pack, block, plain, BLOCK, chunks, NR);
}

/* Chunk i of the block is found, with the right bytes. */
static bool finds(struct cache *c, uint32_t pack, uint32_t block, uint32_t i)
{
	struct object_id id = chunk_id(pack, block, i);
	uint32_t off = 0, len = 0, index = 0;
	struct cache_block *b = cache_find(c, &id, &off, &len, &index);
	bool ok;

	if (!b)
		return false;
	ok = off == i * LEN && len == LEN && index == i &&
	     cache_block_plain(b)[off] == (uint8_t)(pack + block + i) &&
	     cache_block_plain(b)[off + len - 1] == (uint8_t)(pack + block + i);
	cache_block_put(c, b);
	if (!ok)
		abort();
	return true;
}

static void test_find(void **state)
{
	struct cache *c = NULL;
	struct cache_block *b, *again;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(cache_open(1 << 20, &c, &e), ERR_OK);
	assert_null(cache_get(c, 1, 2));
	assert_false(finds(c, 1, 2, 3));
	b = put(c, 1, 2);
	assert_non_null(b);
	for (uint32_t i = 0; i < NR; i++)
		assert_true(finds(c, 1, 2, i));
	assert_false(finds(c, 2, 1, 0));
	again = put(c, 1, 2);		/* somebody else was first */
	assert_ptr_equal(again, b);
	cache_block_put(c, again);
	again = cache_get(c, 1, 2);
	assert_ptr_equal(again, b);
	cache_block_put(c, again);
	assert_null(cache_get(c, 2, 1));

	assert_int_equal(cache_block_len(b), BLOCK);
	assert_false(cache_block_checked(b, 7));
	cache_block_set_checked(b, 7);
	assert_true(cache_block_checked(b, 7));
	assert_false(cache_block_checked(b, 6));
	assert_false(cache_block_checked(b, 8));

	/* Dropped: not found, but good for who holds it. */
	cache_drop(c, 1, 2);
	cache_drop(c, 1, 2);
	assert_null(cache_get(c, 1, 2));
	assert_false(finds(c, 1, 2, 3));
	assert_int_equal(cache_block_plain(b)[0], 3);
	again = put(c, 1, 2);
	assert_ptr_not_equal(again, b);
	assert_false(cache_block_checked(again, 7));
	assert_true(finds(c, 1, 2, 3));
	cache_block_put(c, b);
	assert_true(finds(c, 1, 2, 3));
	cache_block_put(c, again);
	cache_close(c);
	cache_close(NULL);
}

static unsigned count(struct cache *c, uint32_t pack, uint32_t nr)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < nr; i++) {
		struct cache_block *b = cache_get(c, pack, i);

		n += b != NULL;
		cache_block_put(c, b);
		assert_int_equal(b != NULL, finds(c, pack, i, 0));
	}
	return n;
}

static void test_bound(void **state)
{
	struct cache_block *held[20];
	struct cache *c = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(cache_open(100000, &c, &e), ERR_OK);
	for (uint32_t i = 0; i < 1000; i++) {
		cache_block_put(c, put(c, 1, i));
		assert_true(finds(c, 1, i, 1));
		assert_true(i < 5 || finds(c, 1, 3, 1));	/* what is used stays */
	}
	/* Of 1000 bytes, and less than another 1000 to keep them. */
	assert_in_range(count(c, 1, 1000), 50, 100);
	/* What is held does not go, nor count twice. */
	for (uint32_t i = 0; i < 20; i++)
		held[i] = put(c, 2, i);
	for (uint32_t i = 0; i < 1000; i++)
		cache_block_put(c, put(c, 3, i));
	assert_int_equal(count(c, 2, 20), 20);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(cache_block_plain(held[i])[0], (uint8_t)(2 + i));
		cache_block_put(c, held[i]);
	}
	cache_close(c);
}

/* A block greater than all the cache may hold is there while it is held, and gone after. */
static void test_small_cache(void **state)
{
	struct cache_block *a, *b;
	struct cache *c = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(cache_open(10, &c, &e), ERR_OK);
	a = put(c, 1, 1);
	b = put(c, 1, 2);
	assert_true(finds(c, 1, 1, 5));
	assert_true(finds(c, 1, 2, 5));
	cache_block_put(c, a);
	cache_block_put(c, b);
	assert_false(finds(c, 1, 1, 5));
	assert_false(finds(c, 1, 2, 5));
	cache_close(c);
}

/* One chunk in two blocks: found while either is here. */
static void test_same_chunk(void **state)
{
	const struct chunk_desc d = { .id = chunk_id(9, 9, 9), .len = 4 };
	struct cache *c = NULL;
	struct err e = ERR_INIT;
	uint32_t off, len, index;

	(void)state;
	assert_int_equal(cache_open(1 << 20, &c, &e), ERR_OK);
	for (uint32_t i = 0; i < 3; i++) {
		uint8_t *p = calloc(1, 4);

		assert_non_null(p);
		cache_block_put(c, cache_put(c, 1, i, p, 4, &d, 1));
	}
	for (uint32_t i = 0; i < 3; i++) {
		struct cache_block *b = cache_find(c, &d.id, &off, &len, &index);

		assert_non_null(b);
		cache_block_put(c, b);
		cache_drop(c, 1, i);
	}
	assert_null(cache_find(c, &d.id, &off, &len, &index));
	cache_close(c);
}

static void *work(void *arg)
{
	struct cache *c = arg;
	uint64_t x = (uint64_t)(uintptr_t)&x | 1;

	for (unsigned n = 0; n < 4000; n++) {
		uint32_t block, i;
		struct cache_block *b;

		x = x * 6364136223846793005u + 1442695040888963407u;
		block = (uint32_t)(x >> 33) % 60;
		i = (uint32_t)(x >> 50) % NR;
		if (finds(c, 1, block, i))
			continue;
		b = n % 7 == 0 ? cache_get(c, 1, block) : put(c, 1, block);
		if (b) {
			if (!cache_block_checked(b, i))
				cache_block_set_checked(b, i);
			if (cache_block_plain(b)[i * LEN] != (uint8_t)(1 + block + i))
				abort();
			cache_block_put(c, b);
		}
		if (n % 50 == 0)
			cache_drop(c, 1, block);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct cache *c = NULL;
	struct err e = ERR_INIT;
	pthread_t t[6];

	(void)state;
	assert_int_equal(cache_open(40000, &c, &e), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, work, c), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	cache_close(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),	   cmocka_unit_test(test_bound),
		cmocka_unit_test(test_small_cache), cmocka_unit_test(test_same_chunk),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
