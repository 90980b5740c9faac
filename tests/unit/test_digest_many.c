/* SPDX-License-Identifier: MIT */
/* Several digests at once, against the vectors of FIPS 180-4 and against one at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <pthread.h>
#include <time.h>

#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/base/hex.h"
#include "store/base/sha256x16.h"

#define JOBS_MAX 100u

static const struct row {
	const char *text;
	size_t repeat;
	const char *hex;
} rows[] = {
	{ "", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
	{ "abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
	{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
	  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	{ "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
	  "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu", 1,
	  "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
	{ "a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" },
};

/* Every test but the one of the switch runs both ways. */
static int lanes_on(void **state)
{
	(void)state;
	(void)digest_many_lanes(true);
	return 0;
}

static int lanes_off(void **state)
{
	(void)state;
	return digest_many_lanes(false) ? -1 : 0;
}

/* The same bytes on each run, whatever rand() is. */
static uint64_t next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

static void assert_as_single(const struct digest_job *jobs, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		char got[ID_HEX_LEN + 1], hex[ID_HEX_LEN + 1];
		struct object_id want;

		digest_sha256(jobs[i].buf, jobs[i].len, &want);
		if (!id_eq(jobs[i].out, &want))
			fail_msg("job %zu of %zu, %zu bytes: %s instead of %s", i, nr, jobs[i].len,
				 id_hex(jobs[i].out, got), id_hex(&want, hex));
	}
}

/* All vectors, in every number of copies up to some over two rounds of lanes. */
static void test_vectors(void **state)
{
	struct object_id out[ARRAY_LEN(rows) * 8];
	struct digest_job jobs[ARRAY_LEN(rows) * 8];
	char *text[ARRAY_LEN(rows)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = strlen(rows[i].text);

		text[i] = malloc(n * rows[i].repeat + 1);
		assert_non_null(text[i]);
		for (size_t k = 0; k < rows[i].repeat; k++)
			memcpy(text[i] + k * n, rows[i].text, n);
	}
	for (size_t nr = 0; nr <= ARRAY_LEN(jobs); nr++) {
		for (size_t i = 0; i < nr; i++) {
			const struct row *r = &rows[i % ARRAY_LEN(rows)];

			jobs[i] = (struct digest_job){ .buf = text[i % ARRAY_LEN(rows)],
						       .len = strlen(r->text) * r->repeat,
						       .out = &out[i] };
		}
		memset(out, 0xee, sizeof(out));
		digest_sha256_many(jobs, nr);
		for (size_t i = 0; i < nr; i++) {
			char hex[ID_HEX_LEN + 1];

			assert_string_equal(id_hex(&out[i], hex), rows[i % ARRAY_LEN(rows)].hex);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		free(text[i]);
}

/* A buffer of exactly len bytes each, so that a sanitizer sees a byte read too many. */
static void test_lengths(void **state)
{
	enum { LENGTHS = 301 };
	struct object_id out[LENGTHS], other;
	struct digest_job jobs[LENGTHS];
	void *buf[LENGTHS];

	(void)state;
	for (size_t len = 0; len < LENGTHS; len++) {
		buf[len] = len ? malloc(len) : NULL;
		for (size_t i = 0; i < len; i++)
			((uint8_t *)buf[len])[i] = (uint8_t)(len + 3 * i);
		jobs[len] = (struct digest_job){ buf[len], len, &out[len], NULL };
	}
	digest_sha256_many(jobs, LENGTHS);
	assert_as_single(jobs, LENGTHS);
	/* Each length beside each other: fifteen lanes of the one, one of the other. */
	for (size_t a = 0; a < LENGTHS; a++) {
		for (size_t b = 0; b < LENGTHS; b++) {
			struct object_id got[16];
			struct digest_job pair[16];

			for (size_t i = 0; i < 16; i++)
				pair[i] = (struct digest_job){ buf[a], a, &got[i], NULL };
			pair[b % 16] = (struct digest_job){ buf[b], b, &other, NULL };
			digest_sha256_many(pair, 16);
			assert_true(id_eq(&other, &out[b]));
			for (size_t i = 0; i < 16; i++)
				assert_true(i == b % 16 || id_eq(&got[i], &out[a]));
		}
	}
	for (size_t len = 0; len < LENGTHS; len++)
		free(buf[len]);
}

/* Any number of jobs of any lengths at any addresses of one buffer, overlapping, some the same. */
static void test_random(void **state)
{
	enum { BYTES = 1 << 20 };
	const char *given = getenv("SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	struct object_id out[JOBS_MAX];
	struct digest_job jobs[JOBS_MAX];
	uint8_t *p = malloc(BYTES);

	(void)state;
	assert_non_null(p);
	print_message("SEED=%llu\n", (unsigned long long)seed);
	for (size_t i = 0; i < BYTES; i++)
		p[i] = (uint8_t)next(&seed);
	for (int round = 0; round < 100; round++) {
		size_t nr = next(&seed) % (JOBS_MAX + 1);

		for (size_t i = 0; i < nr; i++) {
			size_t len = next(&seed) % (1u << next(&seed) % 17);

			jobs[i] = (struct digest_job){ p + next(&seed) % (BYTES - len), len,
						       &out[i], NULL };
			if (i > 0 && next(&seed) % 8 == 0)
				jobs[i].buf = jobs[i - 1].len >= len ? jobs[i - 1].buf : p;
		}
		memset(out, 0xee, sizeof(out));
		digest_sha256_many(jobs, nr);
		assert_as_single(jobs, nr);
	}
	free(p);
}

/* Streams that get pieces of any lengths, some of no byte, beside messages of their own. */
static void test_streams(void **state)
{
	enum { BYTES = 1 << 20, STREAMS = 20, MESSAGES = 12 };
	const char *given = getenv("SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	struct digest_stream *streams[STREAMS];
	size_t from[STREAMS], at[STREAMS];
	struct object_id got, want, out[MESSAGES];
	uint8_t *p = malloc(BYTES);

	(void)state;
	assert_non_null(p);
	print_message("SEED=%llu\n", (unsigned long long)seed);
	for (size_t i = 0; i < BYTES; i++)
		p[i] = (uint8_t)next(&seed);
	for (size_t i = 0; i < STREAMS; i++) {
		assert_int_equal(digest_stream_open(&streams[i], NULL), 0);
		from[i] = at[i] = next(&seed) % (BYTES / 2);
	}
	for (int round = 0; round < 100; round++) {
		struct digest_job jobs[STREAMS + MESSAGES];
		size_t nr = 0, nr_messages = next(&seed) % (MESSAGES + 1);

		for (size_t i = 0; i < nr_messages; i++, nr++)
			jobs[nr] = (struct digest_job){ p + i, next(&seed) % 5000, &out[i], NULL };
		for (size_t i = 0; i < STREAMS; i++) {
			size_t len = next(&seed) % (1u << next(&seed) % 13);

			if (next(&seed) % 3 == 0)
				continue;
			jobs[nr++] = (struct digest_job){ p + at[i], len, NULL, streams[i] };
			at[i] += len;
		}
		digest_sha256_many(jobs, nr);
		assert_as_single(jobs, nr_messages);
	}
	for (size_t i = 0; i < STREAMS; i++) {
		digest_stream_finish(streams[i], &got);
		digest_sha256(p + from[i], at[i] - from[i], &want);
		if (!id_eq(&got, &want))
			fail_msg("stream %zu of %zu bytes", i, at[i] - from[i]);
		digest_stream_close(streams[i]);
	}
	digest_stream_close(NULL);
	free(p);
}

static void *hash_many(void *arg)
{
	unsigned *wrong = arg;

	for (unsigned round = 0; round < 200; round++) {
		struct object_id out[40];
		struct digest_job jobs[40];

		for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
			jobs[i] = (struct digest_job){ rows[2].text, i, &out[i], NULL };
		jobs[39].len = strlen(rows[2].text);
		digest_sha256_many(jobs, ARRAY_LEN(jobs));
		for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
			struct object_id want;

			digest_sha256(jobs[i].buf, jobs[i].len, &want);
			*wrong += !id_eq(&out[i], &want);
		}
	}
	return NULL;
}

static void test_threads(void **state)
{
	unsigned wrong[4] = { 0 };
	pthread_t t[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, hash_many, &wrong[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_int_equal(wrong[i], 0);
	}
}

/* What the processor says of itself, so that a run shows which way was tested. */
static void test_switch(void **state)
{
	bool can = digest_many_lanes(true);

	(void)state;
	print_message("lanes: %s\n", can ? "yes" : "not on this processor");
	assert_false(digest_many_lanes(false));
	assert_true(digest_many_lanes(true) == can);
	/* A kernel that fails its own trial on a processor that has it would go unnoticed. */
	assert_true(can == sha256x16_usable());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_vectors, lanes_on),
		cmocka_unit_test_setup(test_lengths, lanes_on),
		cmocka_unit_test_setup(test_random, lanes_on),
		cmocka_unit_test_setup(test_streams, lanes_on),
		cmocka_unit_test_setup(test_threads, lanes_on),
		{ "test_vectors, no lanes", test_vectors, lanes_off, NULL, NULL },
		{ "test_lengths, no lanes", test_lengths, lanes_off, NULL, NULL },
		{ "test_random, no lanes", test_random, lanes_off, NULL, NULL },
		{ "test_streams, no lanes", test_streams, lanes_off, NULL, NULL },
		{ "test_threads, no lanes", test_threads, lanes_off, NULL, NULL },
		cmocka_unit_test(test_switch),
	};

	return cmocka_run_group_tests_name("digest_many", tests, NULL, NULL);
}
