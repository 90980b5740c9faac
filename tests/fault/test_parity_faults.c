/* SPDX-License-Identifier: MIT */
/*
 * Each system call of writing and of mending parity fails once, the first, the second, ... until none does.
 * Every time: pack and parity file are whole or as they were, a later run succeeds, no descriptor is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <unistd.h>

#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/engine/pack.h"
#include "store/engine/parity.h"
#include "tests/lib/faulty_io.h"

#define LEN ((size_t)300 * 4096 + 99)

static char top[64], repo[80];
static uint8_t right[LEN], now[LEN + 1];
static struct object_id id;
static char pack[PACK_NAME_LEN + 1], par[PARITY_NAME_LEN + 1];

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct backend *b = NULL;
	struct err e = ERR_INIT;

	(void)state;
	(void)snprintf(top, sizeof(top), "%.40s/vouch-pf-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(top));
	(void)snprintf(repo, sizeof(repo), "%s/repo", top);
	for (size_t i = 0; i < LEN; i++)
		right[i] = (uint8_t)(i * i >> 7);
	digest_sha256(right, LEN, &id);
	pack_name(&id, pack);
	parity_name(&id, par);
	assert_int_equal(file_backend_open(repo, true, true, &io_system, &b, &e), ERR_OK);
	assert_int_equal(b->ops->put(b, "vouch.json", "{}", 2, &e), ERR_OK);
	assert_int_equal(b->ops->put(b, pack, right, LEN, &e), ERR_OK);
	assert_int_equal(parity_write(b, &id, 30, NULL, NULL, &e), ERR_OK);
	b->ops->close(b);
	return 0;
}

static int tear_down(void **state)
{
	char line[128];

	(void)state;
	(void)snprintf(line, sizeof(line), "rm -rf %s", top);
	return system(line);
}

static struct backend *open_with(const struct io *io)
{
	struct backend *b = NULL;
	struct err e = ERR_INIT;
	enum err_code rc = file_backend_open(repo, false, true, io, &b, &e);

	return rc ? NULL : b;
}

static struct backend *plain(void)
{
	struct backend *b = open_with(&io_system);

	assert_non_null(b);
	return b;
}

/* What is there now, by calls that do not fail. */
static void look(struct parity_report *r, bool *have_par)
{
	struct backend *b = plain();
	struct err e = ERR_INIT;
	enum err_code rc = parity_check(b, &id, r, &e);

	assert_true(rc == ERR_OK || rc == ERR_NOT_FOUND);
	*have_par = rc == ERR_OK;
	b->ops->close(b);
}

static void damage(uint32_t sectors)
{
	struct backend *b = plain();
	struct err e = ERR_INIT;

	memcpy(now, right, LEN);
	memset(now + 40 * 4096, 0xee, (size_t)sectors * 4096);
	assert_int_equal(b->ops->put(b, pack, now, LEN, &e), ERR_OK);
	b->ops->close(b);
}

static void test_write(void **state)
{
	static const int sys[] = { EIO, ENOSPC };
	bool fired = true;

	(void)state;
	damage(0);
	for (unsigned n = 1; fired; n++) {
		struct backend *b = plain();
		struct parity_report r = { 0 };
		struct err e = ERR_INIT;
		enum err_code rc = ERR_IO;
		bool have;

		(void)!b->ops->remove(b, par, &e);
		b->ops->close(b);
		b = open_with(faulty_io(n, sys[n % 2]));
		if (b) {
			rc = parity_write(b, &id, 30, NULL, NULL, &e);
			b->ops->close(b);
		}
		fired = faulty_io_fired();
		assert_int_equal(faulty_io_open(), 0);
		look(&r, &have);
		assert_true(fired || !rc);
		assert_true(rc || have);
		if (have)
			assert_int_equal(r.bad + r.par_bad, 0);
	}
}

static void test_mend(void **state)
{
	static const int sys[] = { EIO, ENOSPC };
	bool fired = true;

	(void)state;
	for (unsigned n = 1; fired; n++) {
		struct parity_report r = { 0 };
		struct err e = ERR_INIT;
		enum err_code rc = ERR_IO;
		struct backend *b;
		bool have;

		damage(5);
		b = open_with(faulty_io(n, sys[n % 2]));
		if (b) {
			rc = parity_mend(b, &id, &r, &e);
			b->ops->close(b);
		}
		fired = faulty_io_fired();
		assert_int_equal(faulty_io_open(), 0);
		look(&r, &have);
		assert_true(have);
		assert_true(fired || !rc);
		assert_int_equal(r.lost, 0);
		assert_true(r.bad == 0 || (rc && r.bad == 5));
		assert_int_equal(r.par_bad, 0);
	}
}

/* Whatever fails of reading: the right bytes or an error. */
static void test_get(void **state)
{
	bool fired = true;

	(void)state;
	damage(5);
	for (unsigned n = 1; fired; n++) {
		struct backend *b = open_with(faulty_io(n, EIO));
		struct err e = ERR_INIT;
		enum err_code rc = ERR_IO;

		memset(now, 0, sizeof(now));
		if (b) {
			rc = parity_get(b, &id, 1000, LEN - 1000, now, NULL, &e);
			b->ops->close(b);
		}
		fired = faulty_io_fired();
		assert_int_equal(faulty_io_open(), 0);
		assert_true(fired || !rc);
		if (!rc)
			assert_memory_equal(now, right + 1000, LEN - 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_mend),
		cmocka_unit_test(test_get),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
