/* SPDX-License-Identifier: MIT */
/* Ed25519: the vectors of RFC 8032, 7.1, keys in PEM, and what must not pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/base64.h"
#include "store/base/checked.h"
#include "store/base/hex.h"
#include "store/base/sign.h"

static const struct row {
	const char *secret, *public, *message, *sig;
} rows[] = {
	{ "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
	  "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
	  "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
	  "d25bf5f0595bbe24655141438e7a100b" },
	{ "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
	  "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
	  "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
	  "387b2eaeb4302aeeb00d291612bb0c00" },
};

/* The PKCS#8 PEM of a secret (RFC 8410). */
static size_t pem_of(const char *secret, char *out, size_t room)
{
	uint8_t der[48];
	struct buf b = BUF_INIT;
	int n;

	assert_true(hex_decode("302e020100300506032b657004220420", 32, der));
	assert_true(hex_decode(secret, 64, der + 16));
	base64_encode(der, sizeof(der), &b);
	assert_false(b.bad);
	n = snprintf(out, room, "-----BEGIN PRIVATE KEY-----\n%.*s\n-----END PRIVATE KEY-----\n",
		     (int)b.len, (const char *)b.p);
	buf_release(&b);
	return (size_t)n;
}

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t message[64], want[SIGN_LEN], sig[SIGN_LEN];
		size_t len = strlen(rows[i].message) / 2;
		char pem[512], hex[65];
		struct sign_key *k = NULL;
		struct sign_public p;
		struct err e = ERR_INIT;

		assert_true(hex_decode(rows[i].message, 2 * len, message));
		assert_true(hex_decode(rows[i].sig, 2 * SIGN_LEN, want));
		assert_int_equal(sign_key_read(pem, pem_of(rows[i].secret, pem, sizeof(pem)), &k, &e),
				 ERR_OK);
		sign_key_public(k, &p);
		assert_string_equal(hex_encode(p.b, SIGN_PUBLIC_LEN, hex), rows[i].public);
		assert_int_equal(sign_make(k, message, len, sig, &e), ERR_OK);
		assert_memory_equal(sig, want, SIGN_LEN);
		assert_true(sign_ok(&p, message, len, sig));
		/* No flipped bit of the signature passes. */
		for (unsigned bit = 0; bit < 8 * SIGN_LEN; bit++) {
			sig[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_false(sign_ok(&p, message, len, sig));
			sig[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		message[0] ^= 1;
		assert_int_equal(sign_ok(&p, message, len, sig), len == 0);
		sign_key_free(k);
	}
}

static void test_pem(void **state)
{
	struct sign_key *a = NULL, *b = NULL;
	struct sign_public pa, pb, other;
	struct object_id id, id2;
	char pem[SIGN_PEM_MAX];
	struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	size_t len = 0;

	(void)state;
	assert_int_equal(sign_key_make(&a, &e), ERR_OK);
	assert_int_equal(sign_key_write(a, pem, &len, &e), ERR_OK);
	assert_memory_equal(pem, "-----BEGIN PRIVATE KEY-----\n", 28);
	assert_int_equal(sign_key_read(pem, len, &b, &e), ERR_OK);
	sign_key_public(a, &pa);
	sign_key_public(b, &pb);
	assert_memory_equal(&pa, &pb, sizeof(pa));
	sign_public_write(&pa, &text);
	assert_false(text.bad);
	assert_int_equal(sign_public_read(text.p, text.len, &other, &e), ERR_OK);
	assert_memory_equal(&pa, &other, sizeof(pa));
	sign_fingerprint(&pa, &id);
	sign_fingerprint(&other, &id2);
	assert_true(id_eq(&id, &id2));
	/* A secret key is no public one, and no part of either is one. */
	assert_int_equal(sign_public_read(pem, len, &other, &e), ERR_CORRUPT);
	for (size_t n = 0; n + 1 < text.len; n++)	/* the last newline may lack */
		assert_int_equal(sign_public_read(text.p, n, &other, &e), ERR_CORRUPT);
	sign_key_free(b);
	b = NULL;
	for (size_t n = 0; n + 1 < len; n++)
		assert_int_equal(sign_key_read(pem, n, &b, &e), ERR_CORRUPT);
	sign_key_free(a);
	/* Each is another. */
	assert_int_equal(sign_key_make(&a, &e), ERR_OK);
	sign_key_public(a, &pb);
	assert_memory_not_equal(&pa, &pb, sizeof(pa));
	sign_key_free(a);
	sign_key_free(NULL);
	buf_release(&text);
}

/* Of another kind, with a password (nobody is asked for it), too long, nothing at all. */
static void test_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
		/* X25519 */
		"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
		"-----END PUBLIC KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+H68CZKrF3+6UduSwq\n"
		"-----END PRIVATE KEY-----\n",
		"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAi6\n"
		"-----END ENCRYPTED PRIVATE KEY-----\n",
	};
	char *long_text = calloc(1, SIGN_PEM_MAX + 1);
	struct sign_key *k = NULL;
	struct sign_public p;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(sign_public_read(texts[i], strlen(texts[i]), &p, &e), ERR_CORRUPT);
		assert_int_equal(sign_key_read(texts[i], strlen(texts[i]), &k, &e), ERR_CORRUPT);
	}
	assert_non_null(long_text);
	assert_int_equal(sign_public_read(long_text, SIGN_PEM_MAX + 1, &p, &e), ERR_CORRUPT);
	assert_int_equal(sign_key_read(long_text, SIGN_PEM_MAX + 1, &k, &e), ERR_CORRUPT);
	free(long_text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_pem),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("sign", tests, NULL, NULL);
}
