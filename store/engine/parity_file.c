/* SPDX-License-Identifier: MIT */
/* Reading a pack and its parity file, whatever has become of them. */
#include "store/engine/parity_impl.h"

#include <stdlib.h>

#include "store/base/hex.h"

static const char suffix[] = ".par";

/* No parity file is longer: half of PACK_LEN_MAX, what rounding adds, and its sections. */
#define FILE_SECTORS_MAX	160000u

void parity_name(const struct object_id *id, char out[PARITY_NAME_LEN + 1])
{
	char name[PACK_NAME_LEN + 1];
	size_t stem = PARITY_NAME_LEN - (sizeof(suffix) - 1);

	pack_name(id, name);
	memcpy(out, name, stem);
	memcpy(out + stem, suffix, sizeof(suffix));
}

bool parity_name_parse(const char *name, struct object_id *id)
{
	char again[PARITY_NAME_LEN + 1];
	struct object_id got;

	if (strlen(name) != PARITY_NAME_LEN || !hex_decode(name + 9, ID_HEX_LEN, got.b))
		return false;
	parity_name(&got, again);
	if (strcmp(name, again) != 0)
		return false;
	*id = got;
	return true;
}

/* What concerns this medium's bytes; all else is for the caller. */
static bool is_damage(enum err_code rc)
{
	return rc == ERR_IO || rc == ERR_NOT_FOUND;
}

/*
 * Sectors of a file from off on; there[i]: whether sector i was read whole (the file's last one up to its end, that
 * is len).  What could not be read is tried in halves, so that one bad sector costs a few reads and not all.
 */
static enum err_code read_sectors(struct parity *p, const char *name, uint64_t off, uint64_t len,
				  uint32_t nr, uint8_t *buf, bool *there, struct err *e)
{
	size_t want = (size_t)nr * PAR_SECTOR, n = 0;
	struct err why = ERR_INIT;
	enum err_code rc = p->b->ops->get(p->b, name, off, buf, want, &n, &why);

	if (rc && !is_damage(rc)) {
		if (e)
			*e = why;
		return rc;
	}
	if (rc == ERR_IO && p->io.code == ERR_OK)
		p->io = why;
	if (rc == ERR_IO && nr > 1) {
		uint32_t half = nr / 2;

		rc = read_sectors(p, name, off, len, half, buf, there, e);
		if (rc)
			return rc;
		return read_sectors(p, name, off + (uint64_t)half * PAR_SECTOR, len, nr - half,
				    buf + (size_t)half * PAR_SECTOR, there + half, e);
	}
	if (rc)
		n = 0;
	if (off + n > len)
		n = len > off ? (size_t)(len - off) : 0;	/* what follows is not the file's */
	memset(buf + n, 0, want - n);
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t end = off + (uint64_t)(i + 1) * PAR_SECTOR;

		there[i] = off + n >= (end < len ? end : len) && n > (size_t)i * PAR_SECTOR;
	}
	return ERR_OK;
}

enum err_code parity_fetch(struct parity *p, uint32_t first, uint32_t nr, uint8_t *buf,
			   uint8_t *states, struct err *e)
{
	bool parity = first >= p->g.nr_data, there[WINDOW_SECTORS];
	uint64_t off = parity ? par_parity_off(&p->g, first - p->g.nr_data)
			      : (uint64_t)first * PAR_SECTOR;

	for (uint32_t done = 0; done < nr;) {
		uint32_t n = nr - done < WINDOW_SECTORS ? nr - done : WINDOW_SECTORS;
		uint8_t *at = buf + (size_t)done * PAR_SECTOR;
		enum err_code rc = read_sectors(p, parity ? p->par_file : p->pack_file,
						off + (uint64_t)done * PAR_SECTOR,
						parity ? par_file_len(&p->g) : p->g.pack_len, n,
						at, there, e);

		if (rc)
			return rc;
		for (uint32_t i = 0; i < n; i++, at += PAR_SECTOR) {
			uint32_t number = first + done + i;
			uint8_t *state = &states[done + i];

			if (!there[i])
				*state = SECTOR_BAD;
			else if (!p->known[number])
				*state = SECTOR_UNCHECKED;
			else
				*state = par_check(&p->pack, number, at) == p->checks[number]
					     ? SECTOR_GOOD
					     : SECTOR_BAD;
			if (*state == SECTOR_BAD)
				memset(at, 0, PAR_SECTOR);
		}
		done += n;
	}
	return ERR_OK;
}

/* A section that says so itself, of this pack. */
static bool is_section(const struct parity *p, const uint8_t *buf, struct par_section *s,
		       struct err *e)
{
	enum err_code rc = par_section_decode(buf, s, e);

	if (!rc && !id_eq(&s->pack, &p->pack))
		rc = err_set(e, ERR_CORRUPT, "parity file: it is another pack's");
	return rc == ERR_OK;
}

/*
 * Any one section tells what the file is.  The first sector usually is one; where the file's beginning is
 * lost, all of it is looked through.
 */
static enum err_code find_section(struct parity *p, struct par_section *s, uint8_t *buf,
				  struct err *e)
{
	uint64_t nr = (p->par_size + PAR_SECTOR - 1) / PAR_SECTOR, done = 0;
	bool there[WINDOW_SECTORS];
	struct err first = ERR_INIT;
	enum err_code rc = ERR_OK;

	if (nr > FILE_SECTORS_MAX)
		nr = FILE_SECTORS_MAX;
	err_set(&first, ERR_CORRUPT, "parity file of %llu bytes",
		(unsigned long long)p->par_size);
	for (uint32_t n = 1; !rc && done < nr; done += n, n = WINDOW_SECTORS) {
		struct err why = ERR_INIT;

		if (nr - done < n)
			n = (uint32_t)(nr - done);
		rc = read_sectors(p, p->par_file, done * PAR_SECTOR, p->par_size, n, buf, there,
				  e);
		for (uint32_t i = 0; !rc && i < n; i++) {
			if (is_section(p, buf + (size_t)i * PAR_SECTOR, s, &why))
				return ERR_OK;
			if (why.code == ERR_UNSUPPORTED || (done == 0 && i == 0))
				first = why;
		}
	}
	if (!rc && p->io.code && first.code == ERR_CORRUPT)
		first = p->io;
	if (!rc && e)
		*e = first;
	return rc ? rc : first.code;
}

static enum err_code read_sections(struct parity *p, struct par_section *s, uint8_t *buf,
				   struct err *e)
{
	uint32_t nr = p->g.nr_sections;
	bool there[WINDOW_SECTORS];
	enum err_code rc = ERR_OK;

	for (unsigned copy = 0; copy < 2; copy++)
		for (uint32_t at = 0; !rc && at < nr; at += WINDOW_SECTORS) {
			uint32_t n = nr - at < WINDOW_SECTORS ? nr - at : WINDOW_SECTORS;

			rc = read_sectors(p, p->par_file, par_section_off(&p->g, at, copy),
					  par_file_len(&p->g), n, buf, there, e);
			for (uint32_t i = 0; !rc && i < n; i++) {
				if (!is_section(p, buf + (size_t)i * PAR_SECTOR, s, NULL) ||
				    s->number != at + i || s->g.pack_len != p->g.pack_len ||
				    s->g.permille != p->g.permille) {
					p->bad_sections++;
					continue;
				}
				memcpy(p->checks + s->first, s->checks,
				       s->nr * sizeof(s->checks[0]));
				memset(p->known + s->first, true, s->nr);
			}
		}
	return rc;
}

/* The pack may be missing: that is damage like any other. */
static enum err_code file_sizes(struct parity *p, struct err *e)
{
	enum err_code rc = p->b->ops->size(p->b, p->par_file, &p->par_size, e);

	if (rc)
		return rc;
	rc = p->b->ops->size(p->b, p->pack_file, &p->pack_size, e);
	if (rc == ERR_NOT_FOUND) {
		err_clear(e);
		rc = ERR_OK;
	}
	return rc;
}

/* Room for so many sectors, or a window. */
static size_t window_len(uint64_t nr)
{
	return (size_t)(nr < 1 ? 1 : nr < WINDOW_SECTORS ? nr : WINDOW_SECTORS) * PAR_SECTOR;
}

enum err_code parity_open(struct backend *b, const struct object_id *pack, struct parity **out,
			  struct err *e)
{
	struct parity *p = calloc(1, sizeof(*p));
	struct par_section *s = malloc(sizeof(*s));
	uint8_t *buf = NULL;
	enum err_code rc;
	size_t all;

	if (!p || !s) {
		rc = err_set(e, ERR_NOMEM, "no memory for a parity file");
		goto out;
	}
	p->b = b;
	p->pack = *pack;
	pack_name(pack, p->pack_file);
	parity_name(pack, p->par_file);
	rc = file_sizes(p, e);
	if (!rc) {
		buf = malloc(window_len((p->par_size + PAR_SECTOR - 1) / PAR_SECTOR));
		rc = buf ? find_section(p, s, buf, e)
			 : err_set(e, ERR_NOMEM, "no memory for a parity file");
	}
	if (rc)
		goto out;
	p->g = s->g;
	/* Bounded by PACK_LEN_MAX and PAR_PERMILLE_MAX: less than 400,000. */
	all = (size_t)p->g.nr_data + p->g.nr_parity;
	p->checks = calloc(all, sizeof(p->checks[0]));
	p->known = calloc(all, sizeof(p->known[0]));
	free(buf);
	buf = malloc(window_len(p->g.nr_sections));
	if (!buf || !p->checks || !p->known)
		rc = err_set(e, ERR_NOMEM, "no memory for %zu checksums", all);
	else
		rc = read_sections(p, s, buf, e);
	if (rc)
		goto out;
	*out = p;
	p = NULL;
out:
	if (rc && p)
		err_prefix(e, "%s", p->par_file);
	parity_close(p);
	free(buf);
	free(s);
	return rc;
}

void parity_close(struct parity *p)
{
	if (!p)
		return;
	free(p->checks);
	free(p->known);
	free(p);
}
