/* SPDX-License-Identifier: MIT */
/*
 * Rebuilding.  The sums of a stripe are what its parity rows hold less what its good data sectors give: what is
 * left is what the missing ones give, and as many equations as there are good parity rows.  So one pass over the
 * stripes that need it, in the order of the file and with no more memory than their parity, finds what is missing
 * and how to get it back.
 */
#include "store/engine/parity_impl.h"

#include <assert.h>
#include <stdlib.h>

#define GAP_MAX		16u	/* sectors read in vain rather than a second read */

struct stripe {
	uint32_t number;
	bool wanted;		/* to be solved by the next pass */
	bool solved, lost;
	uint32_t nr_missing;	/* may be more than m: lost */
	uint8_t missing[PAR_SYMBOLS_MAX];	/* symbols, ascending */
	uint8_t rows[PAR_SYMBOLS_MAX];	/* states of the parity sectors */
	uint8_t *sums;		/* m sectors; once solved the missing ones */
};

struct parity_heal {
	struct parity *p;
	struct parity_code *code;
	struct stripe **stripes;	/* one each, NULL where none was wanted */
	uint8_t *buf, *states;		/* WINDOW_SECTORS or a row of all stripes; once needed */
	uint8_t *solved;		/* m sectors */
};

enum err_code parity_heal_open(struct parity *p, struct parity_heal **out, struct err *e)
{
	struct parity_heal *h = calloc(1, sizeof(*h));
	enum err_code rc = ERR_OK;

	if (h) {
		h->p = p;
		h->stripes = calloc(p->g.nr_stripes, sizeof(h->stripes[0]));
		h->solved = malloc((size_t)p->g.m * PAR_SECTOR);
	}
	if (!h || !h->stripes || !h->solved)
		rc = err_set(e, ERR_NOMEM, "no memory to rebuild sectors");
	else
		rc = parity_code_open(p->g.k, p->g.m, &h->code, e);
	if (rc)
		parity_heal_close(h);
	else
		*out = h;
	return rc;
}

void parity_heal_close(struct parity_heal *h)
{
	if (!h)
		return;
	for (uint32_t s = 0; h->stripes && s < h->p->g.nr_stripes; s++) {
		if (h->stripes[s])
			free(h->stripes[s]->sums);
		free(h->stripes[s]);
	}
	parity_code_close(h->code);
	free(h->stripes);
	free(h->buf);
	free(h->states);
	free(h->solved);
	free(h);
}

static struct stripe *want(struct parity_heal *h, uint32_t number)
{
	struct stripe *s = h->stripes[number];

	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return NULL;
		s->number = number;
		s->wanted = true;
		h->stripes[number] = s;
	}
	return s;
}

void parity_heal_want(struct parity_heal *h, uint32_t sector)
{
	/* Out of memory shows again when it is really needed. */
	(void)want(h, sector % h->p->g.nr_stripes);
}

static bool is_wanted(const struct parity_heal *h, uint32_t number)
{
	return h->stripes[number] && h->stripes[number]->wanted;
}

/* Where the sums of a stripe's row lie. */
static uint8_t *sum_at(const struct stripe *s, uint32_t row)
{
	return s->sums + (size_t)row * PAR_SECTOR;
}

static void take_data(struct parity_heal *h, struct stripe *s, uint32_t symbol,
		      const uint8_t *sector, uint8_t state)
{
	uint8_t *rows[PAR_SYMBOLS_MAX];

	if (state == SECTOR_BAD) {
		s->missing[s->nr_missing++] = (uint8_t)symbol;
		return;
	}
	for (uint32_t r = 0; r < h->p->g.m; r++)
		rows[r] = sum_at(s, r);
	parity_code_add(h->code, symbol, sector, PAR_SECTOR, rows);
}

static void take_parity(struct stripe *s, uint32_t row, const uint8_t *sector, uint8_t state)
{
	uint8_t *sum = sum_at(s, row);

	s->rows[row] = state;
	for (size_t n = 0; n < PAR_SECTOR; n++)
		sum[n] ^= sector[n];
}

/*
 * One sector of each wanted stripe: symbol i of the data, or row i - k of the parity, at number base +
 * stripe.  nr: how many stripes have one (the pack's end).
 */
static enum err_code take_row(struct parity_heal *h, uint32_t i, uint32_t base, uint32_t nr,
			      struct err *e)
{
	uint32_t k = h->p->g.k;
	enum err_code rc = ERR_OK;

	for (uint32_t from = 0; !rc && from < nr;) {
		uint32_t to, gap = 0;

		if (!is_wanted(h, from)) {
			from++;
			continue;
		}
		for (to = from; to < nr && to - from < WINDOW_SECTORS && gap <= GAP_MAX; to++)
			gap = is_wanted(h, to) ? 0 : gap + 1;
		to -= gap;
		rc = parity_fetch(h->p, base + from, to - from, h->buf, h->states, e);
		for (uint32_t s = from; !rc && s < to; s++) {
			const uint8_t *sector = h->buf + (size_t)(s - from) * PAR_SECTOR;

			if (!is_wanted(h, s))
				continue;
			if (i < k)
				take_data(h, h->stripes[s], i, sector, h->states[s - from]);
			else
				take_parity(h->stripes[s], i - k, sector, h->states[s - from]);
		}
		from = to;
	}
	return rc;
}

/* Parity sectors whose checksum is lost come last: the result has a checksum, or the pack's SHA-256. */
static uint32_t choose_rows(const struct parity_heal *h, const struct stripe *s, uint8_t *rows)
{
	uint32_t n = 0;

	for (uint8_t state = SECTOR_GOOD; state <= SECTOR_UNCHECKED; state++)
		for (uint32_t r = 0; r < h->p->g.m && n < s->nr_missing; r++)
			if (s->rows[r] == state)
				rows[n++] = (uint8_t)r;
	return n;
}

/* Ends solved, or lost. */
static enum err_code solve(struct parity_heal *h, struct stripe *s, struct err *e)
{
	const struct parity *p = h->p;
	uint8_t *sums[PAR_SYMBOLS_MAX], *out[PAR_SYMBOLS_MAX], rows[PAR_SYMBOLS_MAX];
	enum err_code rc;

	s->wanted = false;
	s->lost = choose_rows(h, s, rows) < s->nr_missing;
	s->solved = !s->lost;
	if (s->lost || s->nr_missing == 0)
		return ERR_OK;
	for (uint32_t n = 0; n < s->nr_missing; n++) {
		sums[n] = sum_at(s, rows[n]);
		out[n] = h->solved + (size_t)n * PAR_SECTOR;
	}
	rc = parity_code_solve(h->code, s->nr_missing, s->missing, rows, sums, PAR_SECTOR, out, e);
	if (rc)
		return rc;
	memcpy(s->sums, h->solved, (size_t)s->nr_missing * PAR_SECTOR);
	for (uint32_t n = 0; n < s->nr_missing; n++) {
		uint32_t number = s->missing[n] * p->g.nr_stripes + s->number;

		if (p->known[number] && par_check(&p->pack, number, out[n]) != p->checks[number]) {
			s->lost = true;
			s->solved = false;
		}
	}
	return ERR_OK;
}

/* All that is wanted, in one pass. */
static enum err_code solve_wanted(struct parity_heal *h, struct err *e)
{
	const struct par_geometry *g = &h->p->g;
	enum err_code rc = ERR_OK;

	if (!h->buf) {
		size_t nr = g->nr_stripes < WINDOW_SECTORS ? g->nr_stripes : WINDOW_SECTORS;

		h->buf = malloc(nr * PAR_SECTOR);
		h->states = malloc(nr);
	}
	if (!h->buf || !h->states)
		return err_set(e, ERR_NOMEM, "no memory to rebuild sectors");
	for (uint32_t s = 0; s < g->nr_stripes; s++) {
		struct stripe *st = h->stripes[s];

		if (!is_wanted(h, s))
			continue;
		free(st->sums);
		st->nr_missing = 0;
		st->sums = calloc(g->m, PAR_SECTOR);
		if (!st->sums)
			return err_set(e, ERR_NOMEM, "no memory to rebuild a stripe");
	}
	for (uint32_t i = 0; !rc && i < g->k; i++) {
		uint32_t base = i * g->nr_stripes;
		uint32_t left = g->nr_data > base ? g->nr_data - base : 0;

		rc = take_row(h, i, base, left < g->nr_stripes ? left : g->nr_stripes, e);
	}
	for (uint32_t r = 0; !rc && r < g->m; r++)
		rc = take_row(h, g->k + r, g->nr_data + r * g->nr_stripes, g->nr_stripes, e);
	for (uint32_t s = 0; !rc && s < g->nr_stripes; s++)
		if (is_wanted(h, s))
			rc = solve(h, h->stripes[s], e);
	return rc;
}

/* The sector where its stripe is solved and had it missing, else NULL. */
static const uint8_t *find(const struct parity_heal *h, uint32_t number)
{
	const struct stripe *s = h->stripes[number % h->p->g.nr_stripes];
	uint32_t symbol = number / h->p->g.nr_stripes;

	for (uint32_t n = 0; s && s->solved && n < s->nr_missing; n++)
		if (s->missing[n] == symbol)
			return sum_at(s, n);
	return NULL;
}

static enum err_code is_lost(const struct parity *p, uint32_t number, struct err *e)
{
	if (p->io.code) {
		if (e)
			*e = p->io;
		return p->io.code;
	}
	return err_set(e, ERR_CORRUPT,
		       "%s: sector %u of %u is damaged, and too many others of its stripe",
		       p->pack_file, number, p->g.nr_data);
}

enum err_code parity_heal_range(struct parity_heal *h, uint32_t first, uint32_t nr, uint8_t *buf,
				const uint8_t *states, struct err *e)
{
	enum err_code rc = ERR_OK;
	bool any = false;

	for (uint32_t i = 0; i < nr; i++) {
		struct stripe *s;

		if (states[i] != SECTOR_BAD || find(h, first + i))
			continue;
		s = want(h, (first + i) % h->p->g.nr_stripes);
		if (!s)
			return err_set(e, ERR_NOMEM, "no memory to rebuild a stripe");
		/* Solved once and not missing then: a medium that gives it only sometimes. */
		s->wanted = !s->lost;
		any = any || s->wanted;
	}
	if (any)
		rc = solve_wanted(h, e);
	for (uint32_t i = 0; !rc && i < nr; i++) {
		const uint8_t *sector;

		if (states[i] != SECTOR_BAD)
			continue;
		sector = find(h, first + i);
		if (sector)
			memcpy(buf + (size_t)i * PAR_SECTOR, sector, PAR_SECTOR);
		else
			rc = is_lost(h->p, first + i, e);
	}
	return rc;
}
