/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "store/engine/prefetch.h"
#include "tests/lib/testrepo.h"

#define ORDS   4u
#define BLOCKS 2000u
#define LAST   (ORDS - 1) /* a pack that only catch_up() reads */

/* What was loaded, how often. */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t loaded;
	unsigned times[ORDS][BLOCKS], nr[ORDS];
} seen = {.mutex = PTHREAD_MUTEX_INITIALIZER, .loaded = PTHREAD_COND_INITIALIZER};

static void load(void *ctx, uint32_t ord, uint32_t block)
{
	assert_ptr_equal(ctx, &seen);
	pthread_mutex_lock(&seen.mutex);
	seen.times[ord][block]++;
	seen.nr[ord]++;
	pthread_cond_broadcast(&seen.loaded);
	pthread_mutex_unlock(&seen.mutex);
}

static struct prefetch *start(unsigned nr)
{
	struct prefetch *p = NULL;

	memset(seen.times, 0, sizeof(seen.times));
	memset(seen.nr, 0, sizeof(seen.nr));
	OK(prefetch_open(nr, 12, load, &seen, &p, &ok_err));
	return p;
}

static void wait_for(uint32_t ord, unsigned nr)
{
	pthread_mutex_lock(&seen.mutex);
	while (seen.nr[ord] < nr)
		pthread_cond_wait(&seen.loaded, &seen.mutex);
	pthread_mutex_unlock(&seen.mutex);
}

/* Jobs are done in order: one thread that did one of these has done all before them. */
static void catch_up(struct prefetch *p)
{
	static uint32_t at;
	unsigned had;

	at = (at + 20) % (BLOCKS - 20);
	pthread_mutex_lock(&seen.mutex);
	had = seen.times[LAST][at + 3];
	pthread_mutex_unlock(&seen.mutex);
	for (uint32_t i = 0; i < 4; i++)
		prefetch_touch(p, LAST, at + i, BLOCKS);
	pthread_mutex_lock(&seen.mutex);
	while (seen.times[LAST][at + 3] == had)
		pthread_cond_wait(&seen.loaded, &seen.mutex);
	pthread_mutex_unlock(&seen.mutex);
}

/* A reader who goes forward finds what he comes to loaded, once, and nothing past the pack's end. */
static void test_forward(void **state)
{
	struct prefetch *p = start(1);
	const uint32_t nr = 100;

	(void)state;
	for (uint32_t i = 0; i < nr; i++) {
		prefetch_touch(p, 0, i, nr);
		prefetch_touch(p, 0, i, nr); /* again: nothing more */
		if (i >= 3)
			wait_for(0, i - 2);
	}
	catch_up(p);
	prefetch_close(p);
	assert_int_equal(seen.nr[0], nr - 3);
	for (uint32_t i = 0; i < BLOCKS; i++)
		assert_int_equal(seen.times[0][i], i >= 3 && i < nr);
}

/* Nobody is ahead of his reader by more than a few. */
static void test_bounded(void **state)
{
	struct prefetch *p = start(1);

	(void)state;
	for (uint32_t i = 0; i < 50; i++) {
		unsigned n = 0;

		prefetch_touch(p, 0, i, BLOCKS);
		catch_up(p);
		for (uint32_t k = i + 1; k < BLOCKS; k++)
			n += seen.times[0][k];
		assert_true(n <= 6);
		assert_true(i < 8 || n >= 2);
	}
	prefetch_close(p);
}

/* Two readers, one pack or two, blocks left out and taken out of turn: streams all the same. */
static void test_two_streams(void **state)
{
	static const uint32_t order[] = {0, 1, 3, 2, 4, 7, 6, 8, 9, 12, 10, 11, 13};
	struct prefetch *p = start(1);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		prefetch_touch(p, 0, order[i], BLOCKS);
		prefetch_touch(p, 0, 1000 + order[i], BLOCKS);
		prefetch_touch(p, 1, 500 + order[i], BLOCKS);
		catch_up(p);
	}
	prefetch_close(p);
	for (uint32_t i = 8; i < 14; i++) {
		assert_true(seen.times[0][i] <= 1 && seen.times[0][1000 + i] <= 1);
		assert_true(seen.times[1][500 + i] <= 1);
	}
	assert_int_equal(seen.times[0][14], 1);
	assert_int_equal(seen.times[0][1014], 1);
	assert_int_equal(seen.times[1][514], 1);
}

/* Here and there, or backwards: nothing. */
static void test_here_and_there(void **state)
{
	struct prefetch *p = start(1);
	uint64_t seed = test_seed();

	(void)state;
	for (int i = 0; i < 2000; i++)
		prefetch_touch(p, 0, (uint32_t)(test_random(&seed) % BLOCKS), BLOCKS);
	for (uint32_t i = BLOCKS; i > 0; i--)
		prefetch_touch(p, 1, i - 1, BLOCKS);
	catch_up(p);
	prefetch_close(p);
	assert_in_range(seen.nr[0], 0, 40); /* by chance */
	assert_int_equal(seen.nr[1], 0);
}

static void *read_forward(void *arg)
{
	struct prefetch *p = arg;

	for (uint32_t i = 0; i < BLOCKS; i++)
		prefetch_touch(p, i % ORDS, i / ORDS, BLOCKS);
	return NULL;
}

/* Many readers, and an end while there is work. */
static void test_threads(void **state)
{
	struct prefetch *p = start(3);
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_forward, p), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	prefetch_close(p);
	prefetch_close(NULL);
}

/* Who comes to the end of a pack and goes on in another is known there from its first block on. */
static void test_next_pack(void **state)
{
	struct prefetch *p = start(1);

	(void)state;
	for (uint32_t i = 0; i < 20; i++)
		prefetch_touch(p, 0, i, 20);
	prefetch_touch(p, 1, 0, 20);
	wait_for(1, 2);
	prefetch_touch(p, 2, 7, 20); /* not a beginning */
	catch_up(p);
	prefetch_close(p);
	assert_int_equal(seen.times[1][1], 1);
	assert_int_equal(seen.nr[2], 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_forward), cmocka_unit_test(test_bounded),
	    cmocka_unit_test(test_two_streams), cmocka_unit_test(test_here_and_there),
	    cmocka_unit_test(test_threads), cmocka_unit_test(test_next_pack),
	};

	return cmocka_run_group_tests_name("prefetch", tests, NULL, NULL);
}
