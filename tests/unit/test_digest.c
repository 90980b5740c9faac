/* SPDX-License-Identifier: MIT */
/* Vectors: NIST FIPS 180-4 examples (SHA-256), RFC 4231 (HMAC-SHA-256). */
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
#include "store/base/hex.h"

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

static void assert_hex(const struct object_id *id, const char *want)
{
	char hex[ID_HEX_LEN + 1];

	assert_string_equal(hex_encode(id->b, ID_LEN, hex), want);
}

static void test_vectors(void **state)
{
	struct digest *d = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(digest_open(&d, &e), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = strlen(rows[i].text);
		size_t len = n * rows[i].repeat;
		char *all = malloc(len + 1);
		struct object_id id;

		assert_non_null(all);
		for (size_t k = 0; k < rows[i].repeat; k++) {
			memcpy(all + k * n, rows[i].text, n);
			digest_add(d, rows[i].text, n);
		}
		digest_sha256(all, len, &id);
		assert_hex(&id, rows[i].hex);
		/* The running one begins anew after each finish. */
		digest_finish(d, &id);
		assert_hex(&id, rows[i].hex);
		free(all);
	}
	digest_close(d);
	digest_close(NULL);
}

static void *hash_many(void *arg)
{
	unsigned *wrong = arg;

	for (unsigned i = 0; i < 2000; i++) {
		char hex[ID_HEX_LEN + 1];
		struct object_id id;

		digest_sha256("abc", 3, &id);
		if (strcmp(hex_encode(id.b, ID_LEN, hex), rows[1].hex) != 0)
			++*wrong;
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t t[4];
	unsigned wrong[4] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, hash_many, &wrong[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_int_equal(wrong[i], 0);
	}
}

static void test_hmac(void **state)
{
	struct object_id id;
	uint8_t secret[20];

	(void)state;
	memset(secret, 0x0b, sizeof(secret));
	digest_hmac(secret, sizeof(secret), "Hi There", 8, &id);
	assert_hex(&id, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	digest_hmac("Jefe", 4, "what do ya want for nothing?", 28, &id);
	assert_hex(&id, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void test_xxh3(void **state)
{
	(void)state;
	/* XXH3-64 of nothing, from xxHash's specification; the format's checks stand on it. */
	assert_true(digest_xxh3("", 0) == 0x2d06800538d394c2u);
	assert_true(digest_xxh3("abc", 3) == digest_xxh3_seed("abc", 3, 0));
	assert_true(digest_xxh3("abc", 3) != digest_xxh3_seed("abc", 3, 1));
	assert_true(digest_xxh3("abc", 3) != digest_xxh3("abd", 3));
}

static void test_random(void **state)
{
	struct err e = ERR_INIT;
	uint8_t a[300] = { 0 }, b[300] = { 0 };

	(void)state;
	assert_int_equal(digest_random(a, sizeof(a), &e), ERR_OK);
	assert_int_equal(digest_random(b, sizeof(b), &e), ERR_OK);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_int_equal(digest_random(a, 0, &e), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors), cmocka_unit_test(test_threads),
		cmocka_unit_test(test_hmac),	cmocka_unit_test(test_xxh3),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
