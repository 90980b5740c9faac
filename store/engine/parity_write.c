/* SPDX-License-Identifier: MIT */
/*
 * Making a parity file.  Symbol i of all stripes lies together in the pack (S sectors), row r of their parity
 * in the file: so what is read in the order of the pack is added to the parity in long runs.
 */
#include "store/engine/parity_impl.h"

#include <assert.h>
#include <stdlib.h>

#include "store/base/digest.h"
#include "store/format/limits.h"

/* Sectors of a row worked on at once: with their parity (of 8 rows) they stay in the nearest cache. */
#define TILE_SECTORS	1u

struct parity_sums {
	uint64_t *sums;
	uint32_t nr, cap;
	uint8_t part[PAR_SECTOR];	/* the sector begun */
	uint32_t part_len;
	bool bad;			/* no memory, or more than a pack has */
};

enum err_code parity_sums_open(struct parity_sums **out, struct err *e)
{
	*out = calloc(1, sizeof(**out));
	return *out ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for a pack's checksums");
}

void parity_sums_close(struct parity_sums *s)
{
	if (!s)
		return;
	free(s->sums);
	free(s);
}

static void add_sector(struct parity_sums *s, const uint8_t *sector)
{
	if (s->nr == s->cap && !s->bad) {
		uint32_t cap = s->cap ? 2 * s->cap : 1024;
		uint64_t *more = s->nr < PACK_LEN_MAX / PAR_SECTOR
				     ? realloc(s->sums, cap * sizeof(more[0]))
				     : NULL;

		if (!more) {
			s->bad = true;
			return;
		}
		s->sums = more;
		s->cap = cap;
	}
	if (s->bad)
		return;
	s->sums[s->nr] = digest_xxh3_seed(sector, PAR_SECTOR, s->nr);
	s->nr++;
}

void parity_sums_add(struct parity_sums *s, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len > 0) {
		size_t n = PAR_SECTOR - s->part_len;

		if (s->part_len == 0 && len >= PAR_SECTOR) {
			add_sector(s, p);
			n = PAR_SECTOR;
		} else {
			n = n < len ? n : len;
			memcpy(s->part + s->part_len, p, n);
			s->part_len += (uint32_t)n;
			if (s->part_len == PAR_SECTOR) {
				add_sector(s, s->part);
				s->part_len = 0;
			}
		}
		p += n;
		len -= n;
	}
}

/* Sector j of a pack of which s has the sums. */
static uint64_t sum_of(const struct parity_sums *s, uint32_t j)
{
	uint8_t last[PAR_SECTOR] = { 0 };

	if (j < s->nr)
		return s->sums[j];
	memcpy(last, s->part, s->part_len);
	return digest_xxh3_seed(last, PAR_SECTOR, j);
}

static uint64_t sums_len(const struct parity_sums *s)
{
	return (uint64_t)s->nr * PAR_SECTOR + s->part_len;
}

/* The bytes come from a pack that has its name, or from one that is being put. */
struct making {
	struct backend *b;
	struct object_id pack;
	struct par_geometry g;
	struct parity_code *code;
	char pack_file[PACK_NAME_LEN + 1];
	uint64_t *checks;
	uint8_t *parity;		/* nr_parity sectors */
	uint8_t *window;

	struct digest *digest;		/* named: compared with the name ... */
	parity_tick *tick;
	void *ctx;
	struct backend_put *from;	/* being put: what was said of it ... */
	const struct parity_sums *sums;	/* ... when its SHA-256 was taken */
};

/* Sectors first ... first + nr - 1 of the pack are in the window, whole symbols or a part of one. */
static void encode(const struct making *m, uint32_t first, uint32_t nr)
{
	uint32_t stripes = m->g.nr_stripes, end = first + nr;
	uint8_t *rows[PAR_SYMBOLS_MAX];

	for (uint32_t tile = 0; tile < stripes; tile += TILE_SECTORS)
		for (uint32_t i = first / stripes; i * stripes < end; i++) {
			uint32_t from = i * stripes + tile, to = from + TILE_SECTORS;

			to = to < (i + 1) * stripes ? to : (i + 1) * stripes;
			to = to < end ? to : end;
			from = from > first ? from : first;
			if (from >= to)
				continue;
			for (uint32_t r = 0; r < m->g.m; r++)
				rows[r] = m->parity + ((size_t)r * stripes + from % stripes) *
							  PAR_SECTOR;
			parity_code_add(m->code, i,
					m->window + (size_t)(from - first) * PAR_SECTOR,
					(size_t)(to - from) * PAR_SECTOR, rows);
		}
}

static enum err_code is_rot(struct err *e)
{
	return err_set(e, ERR_CORRUPT, "the pack's bytes are not those that were written");
}

static enum err_code read_window(struct making *m, uint64_t off, size_t want, struct err *e)
{
	const struct backend_ops *ops = m->b->ops;
	size_t n = 0;
	enum err_code rc;

	if (m->from)
		rc = ops->put_get(m->from, off, m->window, want, &n, e);
	else
		rc = ops->get(m->b, m->pack_file, off, m->window, want, &n, e);
	if (!rc && n < want)
		rc = is_rot(e);
	if (!rc && m->tick)
		rc = m->tick(m->ctx, n, e);
	return rc;
}

static enum err_code take_window(struct making *m, uint32_t first, uint32_t nr, struct err *e)
{
	uint64_t off = (uint64_t)first * PAR_SECTOR, left = m->g.pack_len - off;
	size_t room = (size_t)nr * PAR_SECTOR, n = left < room ? (size_t)left : room;
	enum err_code rc = read_window(m, off, n, e);

	if (rc)
		return rc;
	memset(m->window + n, 0, room - n);
	if (m->digest)
		digest_add(m->digest, m->window, n);
	for (uint32_t i = 0; i < nr; i++) {
		const uint8_t *sector = m->window + (size_t)i * PAR_SECTOR;
		uint64_t sum = digest_xxh3_seed(sector, PAR_SECTOR, first + i);

		if (m->sums && sum != sum_of(m->sums, first + i))
			return is_rot(e);
		m->checks[first + i] = par_mix(&m->pack, sum);
	}
	encode(m, first, nr);
	return ERR_OK;
}

static enum err_code take_pack(struct making *m, struct err *e)
{
	uint32_t stripes = m->g.nr_stripes;
	uint32_t step = stripes < WINDOW_SECTORS ? WINDOW_SECTORS / stripes * stripes
						 : WINDOW_SECTORS;
	struct object_id id;
	enum err_code rc = ERR_OK;

	for (uint32_t j = 0; !rc && j < m->g.nr_data; j += step) {
		uint32_t left = m->g.nr_data - j;

		rc = take_window(m, j, left < step ? left : step, e);
	}
	if (rc || !m->digest)
		return rc;
	digest_finish(m->digest, &id);
	return id_eq(&id, &m->pack) ? ERR_OK : is_rot(e);
}

static enum err_code put_sections(struct making *m, struct backend_put *put, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (uint32_t i = 0; !rc && i < m->g.nr_sections; i++) {
		par_section_encode(&m->g, &m->pack, i, m->checks, m->window);
		rc = m->b->ops->put_add(put, m->window, PAR_SECTOR, e);
	}
	return rc;
}

static enum err_code put_file(struct making *m, struct backend_put **out, struct err *e)
{
	struct backend_put *put = NULL;
	enum err_code rc = m->b->ops->put_begin(m->b, &put, e);

	if (rc)
		return rc;
	for (uint32_t q = 0; q < m->g.nr_parity; q++)
		m->checks[m->g.nr_data + q] = par_check(&m->pack, m->g.nr_data + q,
							m->parity + (size_t)q * PAR_SECTOR);
	rc = put_sections(m, put, e);
	if (!rc)
		rc = m->b->ops->put_add(put, m->parity, (size_t)m->g.nr_parity * PAR_SECTOR, e);
	if (!rc)
		rc = put_sections(m, put, e);
	if (rc)
		m->b->ops->put_abort(put);
	else
		*out = put;
	return rc;
}

static enum err_code make_ready(struct making *m, uint64_t len, uint32_t permille, struct err *e)
{
	enum err_code rc = par_geometry(len, permille, &m->g, e);

	if (!rc)
		rc = parity_code_open(m->g.k, m->g.m, &m->code, e);
	if (rc)
		return rc;
	m->checks = calloc((size_t)m->g.nr_data + m->g.nr_parity, sizeof(m->checks[0]));
	m->parity = calloc(m->g.nr_parity, PAR_SECTOR);
	m->window = malloc((size_t)WINDOW_SECTORS * PAR_SECTOR);
	if (!m->checks || !m->parity || !m->window)
		rc = err_set(e, ERR_NOMEM, "no memory for the parity of a pack");
	return rc;
}

/* *out is the parity file, not yet committed. */
static enum err_code make(struct making *m, uint64_t len, uint32_t permille,
			  struct backend_put **out, struct err *e)
{
	enum err_code rc = make_ready(m, len, permille, e);

	if (!rc)
		rc = take_pack(m, e);
	if (!rc)
		rc = put_file(m, out, e);
	parity_code_close(m->code);
	free(m->checks);
	free(m->parity);
	free(m->window);
	return rc;
}

enum err_code parity_put(struct backend *b, const struct object_id *pack, struct backend_put *from,
			 uint32_t permille, const struct parity_sums *sums,
			 struct backend_put **out, struct err *e)
{
	struct making m = { .b = b, .pack = *pack, .from = from, .sums = sums };
	enum err_code rc = ERR_OK;

	pack_name(pack, m.pack_file);
	if (sums->bad)
		rc = err_set(e, ERR_NOMEM, "no memory for a pack's checksums");
	if (!rc)
		rc = make(&m, sums_len(sums), permille, out, e);
	if (rc)
		err_prefix(e, "parity of %s", m.pack_file);
	return rc;
}

enum err_code parity_write(struct backend *b, const struct object_id *pack, uint32_t permille,
			   parity_tick *tick, void *ctx, struct err *e)
{
	struct making m = { .b = b, .pack = *pack, .tick = tick, .ctx = ctx };
	char name[PARITY_NAME_LEN + 1];
	struct backend_put *put = NULL;
	uint64_t size = 0;
	enum err_code rc;

	pack_name(pack, m.pack_file);
	parity_name(pack, name);
	rc = b->ops->size(b, m.pack_file, &size, e);
	if (!rc)
		rc = digest_open(&m.digest, e);
	if (!rc)
		rc = make(&m, size, permille, &put, e);
	if (!rc)
		rc = b->ops->put_commit(put, name, e);
	if (rc)
		err_prefix(e, "parity of %s", m.pack_file);
	digest_close(m.digest);
	return rc;
}
