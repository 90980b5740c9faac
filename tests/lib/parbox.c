/* SPDX-License-Identifier: MIT */
#include "tests/lib/parbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "store/base/digest.h"

uint64_t parbox_random(uint64_t *x)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return *x >> 24;
}

uint64_t parbox_seed(void)
{
	const char *given = getenv("SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);

	print_message("SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

static void must(struct parbox *x, enum err_code rc)
{
	if (rc)
		fail_msg("%s: %s", err_name(rc), x->e.msg);
}

void parbox_open(struct parbox *x, size_t len, uint32_t permille)
{
	uint64_t seed = len;

	*x = (struct parbox){ .len = len };
	x->b = membox_open();
	x->right = malloc(len);
	assert_non_null(x->right);
	for (size_t i = 0; i < len; i += 4) {
		uint64_t v = parbox_random(&seed);

		memcpy(x->right + i, &v, len - i < 4 ? len - i : 4);
	}
	digest_sha256(x->right, len, &x->id);
	pack_name(&x->id, x->pack);
	parity_name(&x->id, x->par);
	must(x, par_geometry(len, permille, &x->g, &x->e));
	must(x, x->b->ops->put(x->b, x->pack, x->right, len, &x->e));
	must(x, parity_write(x->b, &x->id, permille, NULL, NULL, &x->e));
	x->par_len = membox_object(x->b, x->par)->len;
	assert_int_equal(x->par_len, par_file_len(&x->g));
	x->right_par = malloc(x->par_len);
	assert_non_null(x->right_par);
	memcpy(x->right_par, parbox_par(x), x->par_len);
}

void parbox_close(struct parbox *x)
{
	membox_close(x->b);
	buf_release(&x->got);
	free(x->right);
	free(x->right_par);
}

void parbox_reset(struct parbox *x)
{
	struct buf *pack = membox_object(x->b, x->pack), *par = membox_object(x->b, x->par);

	/* In place where they are there: a flip test does this often. */
	if (pack && pack->len == x->len)
		memcpy(pack->p, x->right, x->len);
	else
		must(x, x->b->ops->put(x->b, x->pack, x->right, x->len, &x->e));
	if (par && par->len == x->par_len)
		memcpy(par->p, x->right_par, x->par_len);
	else
		must(x, x->b->ops->put(x->b, x->par, x->right_par, x->par_len, &x->e));
	membox_unreadable(x->b, "", 0, 0);
}

uint8_t *parbox_pack(struct parbox *x)
{
	return membox_object(x->b, x->pack)->p;
}

uint8_t *parbox_par(struct parbox *x)
{
	return membox_object(x->b, x->par)->p;
}

void parbox_spoil(struct parbox *x, uint32_t j)
{
	size_t off = (size_t)j * PAR_SECTOR;

	assert_true(off < x->len);
	for (size_t i = off; i < x->len && i < off + PAR_SECTOR; i++)
		parbox_pack(x)[i] ^= (uint8_t)(i * 7 + 1) | 1;
}

void parbox_spoil_parity(struct parbox *x, uint32_t q)
{
	memset(parbox_par(x) + par_parity_off(&x->g, q), 0xa5, PAR_SECTOR);
}

static enum err_code take(void *ctx, const uint8_t *buf, size_t len, struct err *e)
{
	struct parbox *x = ctx;

	(void)e;
	buf_add(&x->got, buf, len);
	return ERR_OK;
}

enum err_code parbox_rebuild(struct parbox *x)
{
	buf_reset(&x->got);
	x->r = (struct parity_report){ 0 };
	err_clear(&x->e);
	return parity_rebuild(x->b, &x->id, take, x, &x->r, &x->e);
}

void parbox_heals(struct parbox *x)
{
	uint8_t *buf = malloc(x->len);
	struct parity_got got = { 0 };

	assert_non_null(buf);
	must(x, parbox_rebuild(x));
	assert_int_equal(x->got.len, x->len);
	assert_memory_equal(x->got.p, x->right, x->len);
	assert_int_equal(x->r.lost, 0);
	assert_int_equal(x->r.rebuilt, x->r.bad);
	must(x, parity_get(x->b, &x->id, 0, x->len, buf, &got, &x->e));
	assert_memory_equal(buf, x->right, x->len);
	assert_int_equal(got.healed, x->r.bad);
	free(buf);
}

void parbox_loses(struct parbox *x)
{
	uint8_t *buf = malloc(x->len);

	assert_non_null(buf);
	assert_int_equal(parbox_rebuild(x), ERR_CORRUPT);
	assert_true(x->r.lost > 0);
	assert_int_equal(x->r.bad, x->r.lost + x->r.rebuilt);
	assert_int_equal(x->got.len, 0);
	assert_int_equal(parity_get(x->b, &x->id, 0, x->len, buf, NULL, &x->e), ERR_CORRUPT);
	free(buf);
}
