/* SPDX-License-Identifier: MIT */
#include "store/format/parfile.h"

#include <assert.h>

#include "store/base/bytes.h"
#include "store/base/digest.h"
#include "store/format/limits.h"

#define VERSION		1
#define CHECKS_OFF	64u
#define CHECK_OFF	(PAR_SECTOR - 8)
#define ROWS_MIN	2u

static const uint8_t magic[8] = { 'V', 'O', 'U', 'C', 'H', 'P', 'A', 'R' };

static uint32_t div_up(uint64_t a, uint32_t b)
{
	return (uint32_t)((a + b - 1) / b);
}

static uint32_t rows_of(uint32_t k, uint32_t permille)
{
	uint32_t m = div_up((uint64_t)k * permille, 1000);

	return m < ROWS_MIN ? ROWS_MIN : m;
}

/* The most stripes' worth of data that leaves symbols for its parity. */
static uint32_t k_max(uint32_t permille)
{
	uint32_t k = PAR_SYMBOLS_MAX - ROWS_MIN;

	while (k + rows_of(k, permille) > PAR_SYMBOLS_MAX)
		k--;
	return k;
}

enum err_code par_geometry(uint64_t pack_len, uint32_t permille, struct par_geometry *out,
			   struct err *e)
{
	struct par_geometry g = { .pack_len = pack_len, .permille = permille };

	if (pack_len == 0 || pack_len > PACK_LEN_MAX)
		return err_set(e, ERR_LIMIT, "parity of a pack of %llu bytes",
			       (unsigned long long)pack_len);
	if (permille == 0 || permille > PAR_PERMILLE_MAX)
		return err_set(e, ERR_LIMIT, "parity of %u thousandths: 1 to %u are possible",
			       permille, PAR_PERMILLE_MAX);
	g.nr_data = div_up(pack_len, PAR_SECTOR);
	g.nr_stripes = div_up(g.nr_data, k_max(permille));
	g.k = div_up(g.nr_data, g.nr_stripes);
	g.m = rows_of(g.k, permille);
	g.nr_parity = g.nr_stripes * g.m;
	g.nr_sections = div_up(g.nr_data + g.nr_parity, PAR_SECTION_CHECKS);
	assert(g.k + g.m <= PAR_SYMBOLS_MAX);
	*out = g;
	return ERR_OK;
}

uint64_t par_file_len(const struct par_geometry *g)
{
	return (2 * (uint64_t)g->nr_sections + g->nr_parity) * PAR_SECTOR;
}

uint64_t par_section_off(const struct par_geometry *g, uint32_t i, unsigned copy)
{
	return (i + (uint64_t)copy * (g->nr_sections + g->nr_parity)) * PAR_SECTOR;
}

uint64_t par_parity_off(const struct par_geometry *g, uint32_t q)
{
	return ((uint64_t)g->nr_sections + q) * PAR_SECTOR;
}

uint64_t par_mix(const struct object_id *pack, uint64_t sum)
{
	struct rd r = rd_init(pack->b, 8);

	return sum ^ rd_le64(&r);
}

uint64_t par_check(const struct object_id *pack, uint32_t number, const uint8_t *sector)
{
	return par_mix(pack, digest_xxh3_seed(sector, PAR_SECTOR, number));
}

/* How many checks section i holds. */
static uint32_t checks_in(const struct par_geometry *g, uint32_t i)
{
	uint32_t left = g->nr_data + g->nr_parity - i * PAR_SECTION_CHECKS;

	return left < PAR_SECTION_CHECKS ? left : PAR_SECTION_CHECKS;
}

void par_section_encode(const struct par_geometry *g, const struct object_id *pack, uint32_t i,
			const uint64_t *checks, uint8_t out[PAR_SECTOR])
{
	uint32_t nr = checks_in(g, i);
	uint8_t *p = out;

	assert(i < g->nr_sections);
	memset(out, 0, PAR_SECTOR);
	p = put_bytes(p, magic, sizeof(magic));
	p = put_u8(p, VERSION);
	p = put_u8(p, 0);
	p = put_le16(p, (uint16_t)g->permille);
	p = put_le32(p, i);
	p = put_le64(p, g->pack_len);
	p = put_bytes(p, pack->b, ID_LEN);
	p = put_le32(p, g->nr_stripes);
	p = put_u8(p, (uint8_t)g->k);
	p = put_u8(p, (uint8_t)g->m);
	p = put_le16(p, 0);
	assert(p == out + CHECKS_OFF);
	for (uint32_t n = 0; n < nr; n++)
		p = put_le64(p, checks[i * PAR_SECTION_CHECKS + n]);
	(void)put_le64(out + CHECK_OFF, digest_xxh3(out, CHECK_OFF));
}

/* Read what is stated of the code: it must be what follows from length and share. */
static bool code_agrees(struct rd *r, const struct par_geometry *g)
{
	uint32_t stripes = rd_le32(r);
	uint8_t k = rd_u8(r), m = rd_u8(r);

	return rd_le16(r) == 0 && stripes == g->nr_stripes && k == g->k && m == g->m;
}

enum err_code par_section_decode(const uint8_t buf[PAR_SECTOR], struct par_section *out,
				 struct err *e)
{
	struct rd r = rd_init(buf, PAR_SECTOR), end = rd_init(buf + CHECK_OFF, 8);
	struct par_section *s = out;
	uint8_t got[8], version, zero;
	uint32_t permille;
	uint64_t len;

	rd_copy(&r, got, sizeof(got));
	if (memcmp(got, magic, sizeof(magic)) != 0 ||
	    rd_le64(&end) != digest_xxh3(buf, CHECK_OFF))
		return err_set(e, ERR_CORRUPT, "parity file: magic or checksum of a section");
	version = rd_u8(&r);
	zero = rd_u8(&r);
	permille = rd_le16(&r);
	s->number = rd_le32(&r);
	len = rd_le64(&r);
	rd_copy(&r, s->pack.b, ID_LEN);
	if (version != VERSION)
		return err_set(e, ERR_UNSUPPORTED, "parity file version %u", version);
	if (zero != 0 || par_geometry(len, permille, &s->g, NULL) || !code_agrees(&r, &s->g) ||
	    s->number >= s->g.nr_sections)
		return err_set(e, ERR_CORRUPT, "parity file: fields of section %u", s->number);
	s->first = s->number * PAR_SECTION_CHECKS;
	s->nr = checks_in(&s->g, s->number);
	for (uint32_t n = 0; n < PAR_SECTION_CHECKS; n++) {
		s->checks[n] = rd_le64(&r);
		if (n >= s->nr && s->checks[n] != 0)
			return err_set(e, ERR_CORRUPT, "parity file: section %u has too much",
				       s->number);
	}
	return ERR_OK;
}
