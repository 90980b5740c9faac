/* SPDX-License-Identifier: MIT */
/*
 * Copies of a pack seen as one: a backend that only reads, and gives of each sector the copy whose checksum fits.  What
 * rebuilds a pack from one drive then rebuilds it from several.
 */
#include "store/engine/parity_impl.h"

#include <stdlib.h>

struct unite {
	struct backend base;
	struct backend *const *copies;
	size_t nr;
	struct parity *sums;	/* of one copy, with what others know beside; NULL: none has a parity file */
};

static struct unite *unite_of(struct backend *b)
{
	return (struct unite *)(void *)b;
}

static bool is_fatal(enum err_code rc)
{
	return rc == ERR_NOMEM || rc == ERR_CANCELED;
}

/* The sector at off of the pack or, with par, of the parity file: as its checksum says, or as nothing contradicts. */
static bool fits(const struct unite *u, bool par, uint64_t off, const uint8_t *sector)
{
	const struct parity *p = u->sums;
	uint32_t number = (uint32_t)(off / PAR_SECTOR);
	struct par_section *s;
	uint64_t first;
	bool ok;

	if (par) {
		first = par_parity_off(&p->g, 0);
		if (off >= first && off < first + (uint64_t)p->g.nr_parity * PAR_SECTOR) {
			number = p->g.nr_data + (uint32_t)((off - first) / PAR_SECTOR);
		} else {
			s = malloc(sizeof(*s));
			ok = s && !par_section_decode(sector, s, NULL) && id_eq(&s->pack, &p->pack);
			free(s);
			return ok;
		}
	} else if (number >= p->g.nr_data) {
		return false;
	}
	return !p->known[number] || par_check(&p->pack, number, sector) == p->checks[number];
}

/* One sector: the first copy that fits, else the first that could be read. */
static enum err_code get_sector(const struct unite *u, const char *name, bool par, uint64_t off,
				size_t len, uint8_t *out, bool *any, struct err *e)
{
	uint8_t sector[PAR_SECTOR];

	*any = false;
	for (size_t i = 0; i < u->nr; i++) {
		struct err why = ERR_INIT;
		size_t n = 0;
		enum err_code rc;

		memset(sector, 0, sizeof(sector));
		rc = u->copies[i]->ops->get(u->copies[i], name, off, sector, len, &n, &why);
		if (is_fatal(rc)) {
			if (e)
				*e = why;
			return rc;
		}
		if (rc || n < len)
			continue;
		if (!*any || fits(u, par, off, sector))
			memcpy(out, sector, len);
		*any = true;
		if (fits(u, par, off, sector))
			break;
	}
	return ERR_OK;
}

static uint64_t right_len(const struct unite *u, bool par)
{
	return par ? par_file_len(&u->sums->g) : u->sums->g.pack_len;
}

static enum err_code unite_get(struct backend *b, const char *name, uint64_t off, void *buf,
			       size_t len, size_t *n, struct err *e)
{
	struct unite *u = unite_of(b);
	bool par = strcmp(name, u->sums->par_file) == 0;
	uint64_t end = right_len(u, par);
	uint8_t *out = buf;

	if (off % PAR_SECTOR)
		return err_set(e, ERR_USAGE, "sectors only");
	*n = 0;
	while (*n < len && off + *n < end) {
		size_t part = len - *n < PAR_SECTOR ? len - *n : PAR_SECTOR;
		enum err_code rc;
		bool any;

		if (part > end - off - *n)
			part = (size_t)(end - off - *n);
		rc = get_sector(u, name, par, off + *n, part, out + *n, &any, e);
		if (rc)
			return rc;
		if (!any)	/* zeros that no checksum fits */
			memset(out + *n, 0, part);
		*n += part;
	}
	return ERR_OK;
}

static enum err_code unite_size(struct backend *b, const char *name, uint64_t *size, struct err *e)
{
	struct unite *u = unite_of(b);

	(void)e;
	*size = right_len(u, strcmp(name, u->sums->par_file) == 0);
	return ERR_OK;
}

/* What another copy's parity file knows besides; of the same share, or it is another file. */
static void learn(struct parity *to, const struct parity *from)
{
	size_t all = (size_t)to->g.nr_data + to->g.nr_parity;

	if (from->g.pack_len != to->g.pack_len || from->g.permille != to->g.permille)
		return;
	for (size_t i = 0; i < all; i++)
		if (!to->known[i] && from->known[i]) {
			to->checks[i] = from->checks[i];
			to->known[i] = true;
		}
}

static enum err_code open_sums(struct unite *u, const struct object_id *pack, struct err *e)
{
	struct err first = ERR_INIT;

	(void)err_set(&first, ERR_NOT_FOUND, "no parity file");
	for (size_t i = 0; i < u->nr; i++) {
		struct err why = ERR_INIT;
		struct parity *p = NULL;
		enum err_code rc = parity_open(u->copies[i], pack, &p, &why);

		if (is_fatal(rc)) {
			if (e)
				*e = why;
			return rc;
		}
		if (rc && first.code == ERR_NOT_FOUND)
			first = why;
		if (rc)
			continue;
		if (!u->sums) {
			u->sums = p;
			continue;
		}
		learn(u->sums, p);
		parity_close(p);
	}
	if (!u->sums && e)
		*e = first;
	return u->sums ? ERR_OK : first.code;
}

enum err_code parity_unite(struct backend *const *copies, size_t nr, const struct object_id *pack,
			   parity_sink *sink, void *ctx, struct parity_report *report,
			   struct err *e)
{
	static const struct backend_ops ops = { .get = unite_get, .size = unite_size };
	struct unite u = { .base = { .ops = &ops, .read_only = true }, .copies = copies, .nr = nr };
	enum err_code rc = open_sums(&u, pack, e);

	if (!rc)
		rc = parity_rebuild(&u.base, pack, sink, ctx, report, e);
	parity_close(u.sums);
	return rc;
}
