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

/* Of a window of the object: its place, and which sectors were read, and fit. */
struct window {
	const char *name;
	bool par;
	uint64_t off;
	size_t len;
	uint8_t *out;
	bool read[WINDOW_SECTORS], good[WINDOW_SECTORS];
};

static size_t nr_sectors(const struct window *w)
{
	return (w->len + PAR_SECTOR - 1) / PAR_SECTOR;
}

/* Sectors first ... first + nr - 1 as one copy has them: those that fit are taken, others where there is none yet. */
static void take(const struct unite *u, struct window *w, size_t first, size_t nr, const uint8_t *buf,
		 size_t n)
{
	for (size_t i = 0; i < nr; i++) {
		size_t at = i * PAR_SECTOR, from = (first + i) * PAR_SECTOR;
		size_t len = w->len - from < PAR_SECTOR ? w->len - from : PAR_SECTOR;
		uint8_t sector[PAR_SECTOR] = { 0 };

		if (w->good[first + i] || n < at + len)
			continue;
		memcpy(sector, buf + at, len);
		w->good[first + i] = fits(u, w->par, w->off + from, sector);
		if (w->good[first + i] || !w->read[first + i])
			memcpy(w->out + from, sector, len);
		w->read[first + i] = true;
	}
}

/* What one copy has of the window; where it cannot be read in one piece, sector by sector. */
static enum err_code ask_copy(const struct unite *u, struct backend *b, struct window *w, uint8_t *buf,
			      struct err *e)
{
	struct err why = ERR_INIT;
	size_t n = 0;
	enum err_code rc = b->ops->get(b, w->name, w->off, buf, w->len, &n, &why);

	if (!rc)
		take(u, w, 0, nr_sectors(w), buf, n);
	for (size_t i = 0; rc == ERR_IO && i < nr_sectors(w); i++) {
		size_t from = i * PAR_SECTOR;
		size_t len = w->len - from < PAR_SECTOR ? w->len - from : PAR_SECTOR;

		if (!b->ops->get(b, w->name, w->off + from, buf, len, &n, &why))
			take(u, w, i, 1, buf, n);
	}
	if (is_fatal(rc) && e)
		*e = why;
	return is_fatal(rc) ? rc : ERR_OK;
}

static bool is_settled(const struct window *w)
{
	for (size_t i = 0; i < nr_sectors(w); i++)
		if (!w->good[i])
			return false;
	return true;
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
	enum err_code rc = ERR_OK;
	uint8_t *copy;

	if (off % PAR_SECTOR)
		return err_set(e, ERR_USAGE, "sectors only");
	*n = 0;
	len = off >= end ? 0 : len < end - off ? len : (size_t)(end - off);
	copy = malloc((size_t)WINDOW_SECTORS * PAR_SECTOR);
	if (!copy)
		return err_set(e, ERR_NOMEM, "no memory for copies of a pack");
	memset(buf, 0, len);	/* where no copy can be read: no checksum fits that */
	while (!rc && *n < len) {
		struct window w = { .name = name, .par = par, .off = off + *n, .len = len - *n,
				    .out = (uint8_t *)buf + *n };

		if (w.len > (size_t)WINDOW_SECTORS * PAR_SECTOR)
			w.len = (size_t)WINDOW_SECTORS * PAR_SECTOR;
		for (size_t i = 0; i < u->nr && !rc && !is_settled(&w); i++)
			rc = ask_copy(u, u->copies[i], &w, copy, e);
		*n += w.len;
	}
	free(copy);
	return rc;
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
