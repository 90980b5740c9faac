/* SPDX-License-Identifier: MIT */
#include "store/engine/parity_code.h"

#include <assert.h>
#include <isa-l/erasure_code.h>
#include <stdlib.h>

#include "store/base/bytes.h"

#define SYMBOLS		256u
#define TABLE_LEN	32u	/* ISA-L's, for one coefficient */

struct parity_code {
	uint32_t k, m;
	uint8_t *matrix;		/* m rows of k */
	uint8_t *tables;		/* the same, expanded */
};

/* ISA-L takes its inputs as not const, and leaves them alone. */
static uint8_t *not_const(const uint8_t *p)
{
	union {
		const uint8_t *in;
		uint8_t *out;
	} u = { .in = p };

	return u.out;
}

enum err_code parity_code_open(uint32_t k, uint32_t m, struct parity_code **out, struct err *e)
{
	struct parity_code *c = calloc(1, sizeof(*c));
	uint8_t *whole = malloc((size_t)(k + m) * k);
	enum err_code rc = ERR_OK;

	assert(k >= 1 && m >= 1 && k + m < SYMBOLS);
	if (c) {
		c->k = k;
		c->m = m;
		c->matrix = malloc((size_t)m * k);
		c->tables = malloc((size_t)m * k * TABLE_LEN);
	}
	if (!c || !whole || !c->matrix || !c->tables) {
		rc = err_set(e, ERR_NOMEM, "no memory for parity of %u and %u symbols", k, m);
		goto out;
	}
	gf_gen_cauchy1_matrix(whole, (int)(k + m), (int)k);
	memcpy(c->matrix, whole + (size_t)k * k, (size_t)m * k);
	ec_init_tables((int)k, (int)m, c->matrix, c->tables);
	*out = c;
	c = NULL;
out:
	free(whole);
	parity_code_close(c);
	return rc;
}

void parity_code_close(struct parity_code *c)
{
	if (!c)
		return;
	free(c->matrix);
	free(c->tables);
	free(c);
}

void parity_code_add(const struct parity_code *c, uint32_t i, const uint8_t *symbol, size_t len,
		     uint8_t *const *rows)
{
	uint8_t *to[SYMBOLS];

	assert(i < c->k && len % 64 == 0);
	memcpy(to, rows, c->m * sizeof(to[0]));
	ec_encode_data_update((int)len, (int)c->k, (int)c->m, (int)i, c->tables,
			      not_const(symbol), to);
}

enum err_code parity_code_solve(const struct parity_code *c, uint32_t nr, const uint8_t *missing,
				const uint8_t *rows, uint8_t *const *sums, size_t len,
				uint8_t *const *out, struct err *e)
{
	uint8_t *from[SYMBOLS], *to[SYMBOLS];
	uint8_t *a, *inverse, *tables;
	enum err_code rc = ERR_OK;

	assert(nr >= 1 && nr <= c->m && nr <= c->k);
	a = malloc((size_t)nr * nr);
	inverse = malloc((size_t)nr * nr);
	tables = malloc((size_t)nr * nr * TABLE_LEN);
	if (!a || !inverse || !tables) {
		rc = err_set(e, ERR_NOMEM, "no memory to rebuild %u symbols", nr);
		goto out;
	}
	for (uint32_t y = 0; y < nr; y++)
		for (uint32_t x = 0; x < nr; x++)
			a[y * nr + x] = c->matrix[(size_t)rows[y] * c->k + missing[x]];
	/* Every square part of a Cauchy matrix has an inverse. */
	if (gf_invert_matrix(a, inverse, (int)nr) != 0)
		abort();
	ec_init_tables((int)nr, (int)nr, inverse, tables);
	memcpy(from, sums, nr * sizeof(from[0]));
	memcpy(to, out, nr * sizeof(to[0]));
	ec_encode_data((int)len, (int)nr, (int)nr, tables, from, to);
out:
	free(a);
	free(inverse);
	free(tables);
	return rc;
}
