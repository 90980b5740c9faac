/* SPDX-License-Identifier: MIT */
/* The reading side: what is damaged, a range of it made right, the whole of it made right. */
#include "store/engine/parity_impl.h"

#include <stdlib.h>

#include "store/base/digest.h"

/* What is bad of each stripe, counted while all is read. */
struct tally {
	uint16_t *data, *parity;	/* a stripe */
};

static enum err_code count_parity(struct parity *p, struct tally *t, uint8_t *buf,
				  uint8_t *states, struct parity_report *r, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (uint32_t q = 0; !rc && q < p->g.nr_parity; q += WINDOW_SECTORS) {
		uint32_t left = p->g.nr_parity - q;
		uint32_t n = left < WINDOW_SECTORS ? left : WINDOW_SECTORS;

		rc = parity_fetch(p, p->g.nr_data + q, n, buf, states, e);
		for (uint32_t i = 0; !rc && i < n; i++) {
			if (states[i] != SECTOR_BAD)
				continue;
			r->par_bad++;
			t->parity[(q + i) % p->g.nr_stripes]++;
		}
	}
	return rc;
}

static enum err_code count_data(struct parity *p, struct parity_heal *wanted, struct tally *t,
				uint8_t *buf, uint8_t *states, struct parity_report *r,
				struct err *e)
{
	enum err_code rc = ERR_OK;

	for (uint32_t j = 0; !rc && j < p->g.nr_data; j += WINDOW_SECTORS) {
		uint32_t left = p->g.nr_data - j;
		uint32_t n = left < WINDOW_SECTORS ? left : WINDOW_SECTORS;

		rc = parity_fetch(p, j, n, buf, states, e);
		for (uint32_t i = 0; !rc && i < n; i++) {
			r->unchecked += states[i] == SECTOR_UNCHECKED;
			if (states[i] != SECTOR_BAD)
				continue;
			r->bad++;
			t->data[(j + i) % p->g.nr_stripes]++;
			if (wanted)
				parity_heal_want(wanted, j + i);
		}
	}
	return rc;
}

static void sum_up(const struct par_geometry *g, const struct tally *t, struct parity_report *r)
{
	for (uint32_t s = 0; s < g->nr_stripes; s++) {
		uint32_t bad = (uint32_t)t->data[s] + t->parity[s];

		if (bad > r->worst)
			r->worst = bad;
		if (bad > g->m)
			r->lost += t->data[s];
	}
	r->rebuilt = r->bad - r->lost;
}

static void describe(const struct parity *p, struct parity_report *r)
{
	*r = (struct parity_report){
		.permille = p->g.permille,
		.pack_len = p->g.pack_len,
		.par_len = par_file_len(&p->g),
		.sectors = p->g.nr_data,
		.par_sectors = 2 * p->g.nr_sections + p->g.nr_parity,
		.par_bad = p->bad_sections,
		.reach = p->g.m,
		.longer = p->par_size > par_file_len(&p->g),
	};
}

static enum err_code scan(struct parity *p, bool with_pack, struct parity_heal *wanted,
			  struct parity_report *report, struct err *e)
{
	uint8_t *buf = malloc((size_t)WINDOW_SECTORS * PAR_SECTOR);
	uint8_t *states = malloc(WINDOW_SECTORS);
	struct tally t = {
		.data = calloc(p->g.nr_stripes, sizeof(t.data[0])),
		.parity = calloc(p->g.nr_stripes, sizeof(t.parity[0])),
	};
	struct parity_report r;
	enum err_code rc = ERR_OK;

	describe(p, &r);
	if (!buf || !states || !t.data || !t.parity)
		rc = err_set(e, ERR_NOMEM, "no memory to look at a pack");
	if (!rc)
		rc = count_parity(p, &t, buf, states, &r, e);
	if (!rc && with_pack)
		rc = count_data(p, wanted, &t, buf, states, &r, e);
	if (!rc) {
		sum_up(&p->g, &t, &r);
		r.longer = r.longer || (with_pack && p->pack_size > p->g.pack_len);
		*report = r;
	}
	free(buf);
	free(states);
	free(t.data);
	free(t.parity);
	return rc;
}

enum err_code parity_scan(struct parity *p, struct parity_heal *wanted,
			  struct parity_report *report, struct err *e)
{
	return scan(p, true, wanted, report, e);
}

static enum err_code check(struct backend *b, const struct object_id *pack, bool with_pack,
			   struct parity_report *report, struct err *e)
{
	struct parity *p = NULL;
	enum err_code rc = parity_open(b, pack, &p, e);

	if (!rc)
		rc = scan(p, with_pack, NULL, report, e);
	parity_close(p);
	return rc;
}

enum err_code parity_check(struct backend *b, const struct object_id *pack,
			   struct parity_report *report, struct err *e)
{
	return check(b, pack, true, report, e);
}

enum err_code parity_check_file(struct backend *b, const struct object_id *pack,
				struct parity_report *report, struct err *e)
{
	return check(b, pack, false, report, e);
}

/* A window of the pack, right: buf has room for nr sectors, states for as many. */
static enum err_code right_window(struct parity *p, struct parity_heal *h, uint32_t first,
				  uint32_t nr, uint8_t *buf, uint8_t *states, struct err *e)
{
	enum err_code rc = parity_fetch(p, first, nr, buf, states, e);

	return rc ? rc : parity_heal_range(h, first, nr, buf, states, e);
}

enum err_code parity_get(struct backend *b, const struct object_id *pack, uint64_t off, size_t len,
			 uint8_t *buf, struct parity_got *got, struct err *e)
{
	size_t sectors = len / PAR_SECTOR + 2;	/* whole ones, and a part at both ends */
	uint8_t *window = malloc((sectors < WINDOW_SECTORS ? sectors : WINDOW_SECTORS) * PAR_SECTOR);
	uint8_t states[WINDOW_SECTORS];
	struct parity_heal *h = NULL;
	struct parity_got sum = { 0 };
	struct parity *p = NULL;
	enum err_code rc;

	rc = window ? parity_open(b, pack, &p, e) : err_set(e, ERR_NOMEM, "no memory to heal");
	if (!rc)
		rc = parity_heal_open(p, &h, e);
	if (!rc && (off > p->g.pack_len || len > p->g.pack_len - off))
		rc = err_set(e, ERR_USAGE, "%s: %zu bytes at %llu are not in it", p->pack_file,
			     len, (unsigned long long)off);
	while (!rc && len > 0) {
		uint32_t first = (uint32_t)(off / PAR_SECTOR), in = (uint32_t)(off % PAR_SECTOR);
		size_t left = (in + len + PAR_SECTOR - 1) / PAR_SECTOR, n;
		uint32_t nr = left < WINDOW_SECTORS ? (uint32_t)left : WINDOW_SECTORS;

		rc = right_window(p, h, first, nr, window, states, e);
		if (rc)
			break;
		for (uint32_t i = 0; i < nr; i++) {
			sum.healed += states[i] == SECTOR_BAD;
			sum.unchecked += states[i] == SECTOR_UNCHECKED;
		}
		n = (size_t)nr * PAR_SECTOR - in;
		n = n < len ? n : len;
		memcpy(buf, window + in, n);
		buf += n;
		off += n;
		len -= n;
	}
	if (!rc && got)
		*got = sum;
	parity_heal_close(h);
	parity_close(p);
	free(window);
	return rc;
}

enum err_code parity_pack_len(struct backend *b, const struct object_id *pack, uint64_t *len,
			      struct err *e)
{
	struct parity *p = NULL;
	enum err_code rc = parity_open(b, pack, &p, e);

	if (!rc)
		*len = p->g.pack_len;
	parity_close(p);
	return rc;
}

enum err_code parity_stream(struct parity *p, struct parity_heal *h, parity_sink *sink, void *ctx,
			    struct err *e)
{
	uint8_t *window = malloc((size_t)WINDOW_SECTORS * PAR_SECTOR), states[WINDOW_SECTORS];
	struct digest *d = NULL;
	struct object_id id;
	enum err_code rc;
	uint64_t off = 0;

	rc = window ? digest_open(&d, e) : err_set(e, ERR_NOMEM, "no memory to rebuild a pack");
	while (!rc && off < p->g.pack_len) {
		uint32_t first = (uint32_t)(off / PAR_SECTOR), left = p->g.nr_data - first;
		uint32_t nr = left < WINDOW_SECTORS ? left : WINDOW_SECTORS;
		size_t n = (size_t)nr * PAR_SECTOR;

		if (n > p->g.pack_len - off)
			n = (size_t)(p->g.pack_len - off);
		rc = right_window(p, h, first, nr, window, states, e);
		if (rc)
			break;
		digest_add(d, window, n);
		rc = sink(ctx, window, n, e);
		off += n;
	}
	if (!rc) {
		digest_finish(d, &id);
		if (!id_eq(&id, &p->pack))
			rc = err_set(e, ERR_CORRUPT, "%s: rebuilt, its SHA-256 is another",
				     p->pack_file);
	}
	digest_close(d);
	free(window);
	return rc;
}

enum err_code parity_rebuild(struct backend *b, const struct object_id *pack, parity_sink *sink,
			     void *ctx, struct parity_report *report, struct err *e)
{
	struct parity_heal *h = NULL;
	struct parity *p = NULL;
	enum err_code rc = parity_open(b, pack, &p, e);

	if (!rc)
		rc = parity_heal_open(p, &h, e);
	if (!rc)
		rc = parity_scan(p, h, report, e);
	if (!rc && report->lost > 0)
		rc = err_set(e, ERR_CORRUPT, "%s: %u of %u sectors are damaged, %u beyond parity",
			     p->pack_file, report->bad, report->sectors, report->lost);
	if (!rc)
		rc = parity_stream(p, h, sink, ctx, e);
	parity_heal_close(h);
	parity_close(p);
	return rc;
}
