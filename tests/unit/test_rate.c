/* SPDX-License-Identifier: MIT */
/* A limit on bytes a second: never faster, by however many threads; a wait ends when it is told to. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <time.h>

#include "store/base/rate.h"

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *take_some(void *arg)
{
	for (int i = 0; i < 10; i++)
		rate_wait(arg, 10000);
	return NULL;
}

static void test_threads_share(void **state)
{
	pthread_t threads[4];
	struct rate r;
	double from = now();

	(void)state;
	rate_init(&r, 1000000, NULL);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_some, &r), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	/* 0.4 s of bytes, a tenth of a second of them at once. */
	assert_true(now() - from >= 0.29);
	rate_release(&r);
}

static void test_pause_is_not_saved_up(void **state)
{
	struct timespec pause = { .tv_nsec = 500000000 };
	struct rate r;
	double from;

	(void)state;
	rate_init(&r, 1000000, NULL);
	rate_wait(&r, 1);
	(void)nanosleep(&pause, NULL);
	from = now();
	rate_wait(&r, 300000);
	assert_true(now() - from >= 0.19);
	rate_release(&r);
}

static void *cancel_soon(void *arg)
{
	struct timespec soon = { .tv_nsec = 100000000 };

	(void)nanosleep(&soon, NULL);
	atomic_store((atomic_bool *)arg, true);
	return NULL;
}

/* A minute's worth, and the longest there is: no sum overflows. */
static void test_wait_ends_when_canceled(void **state)
{
	static const uint64_t bytes[] = { 60000, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		atomic_bool cancel = false;
		struct rate r;
		pthread_t thread;
		double from = now();

		rate_init(&r, 1000, &cancel);
		assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
		rate_wait(&r, bytes[i]);
		assert_true(atomic_load(&cancel));
		assert_true(now() - from < 30);
		assert_int_equal(pthread_join(thread, NULL), 0);
		rate_release(&r);
	}
}

static void test_pieces(void **state)
{
	static const struct {
		uint64_t per_second;
		size_t len, want;
	} rows[] = {
		{ 0, 1 << 20, 1 << 20 },	/* no limit */
		{ 16 << 20, 4 << 20, 1 << 20 },
		{ 16 << 20, 1000, 1000 },
		{ 1024, 1 << 20, 4096 },	/* a read of less is not worth it */
		{ UINT64_MAX, 1 << 20, 1 << 20 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rate r;

		rate_init(&r, rows[i].per_second, NULL);
		assert_int_equal(rate_piece(&r, rows[i].len), rows[i].want);
		rate_release(&r);
	}
}

static void test_no_limit_never_waits(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 0, NULL);
	for (int i = 0; i < 1000000; i++)
		rate_wait(&r, UINT64_MAX);
	rate_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads_share),
		cmocka_unit_test(test_pause_is_not_saved_up),
		cmocka_unit_test(test_wait_ends_when_canceled),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_no_limit_never_waits),
	};

	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
