/* SPDX-License-Identifier: MIT */
/* Writing the same bytes under the same name: a pack and its parity file made whole where they lie. */
#include "store/engine/parity_impl.h"

#include <stdlib.h>

#include "store/base/digest.h"

/* A drive that is full while it is mended is no better off: twice the size, as a rename keeps both for a moment. */
static enum err_code check_room(struct backend *b, uint64_t len, struct err *e)
{
	uint64_t room = 0, total = 0;
	enum err_code rc = b->ops->space(b, &room, &total, e);

	if (rc == ERR_UNSUPPORTED) {
		err_clear(e);
		return ERR_OK;
	}
	if (!rc && room / 2 < len)
		rc = err_set(e, ERR_LIMIT, "mending %llu bytes needs twice that: %llu are free",
			     (unsigned long long)len, (unsigned long long)room);
	return rc;
}

struct to {
	struct backend *b;
	struct backend_put *put;
};

static enum err_code to_put(void *ctx, const uint8_t *buf, size_t len, struct err *e)
{
	struct to *to = ctx;

	return to->b->ops->put_add(to->put, buf, len, e);
}

/* The bytes that the medium now says it has. */
static enum err_code read_back(struct parity *p, struct err *e)
{
	uint8_t *buf = malloc((size_t)WINDOW_SECTORS * PAR_SECTOR);
	struct digest *d = NULL;
	struct object_id id;
	enum err_code rc;
	uint64_t off = 0;
	size_t n = 1;

	rc = buf ? digest_open(&d, e) : err_set(e, ERR_NOMEM, "no memory to read a pack back");
	while (!rc && n > 0 && off <= p->g.pack_len) {
		rc = p->b->ops->get(p->b, p->pack_file, off, buf,
				    (size_t)WINDOW_SECTORS * PAR_SECTOR, &n, e);
		if (!rc)
			digest_add(d, buf, n);
		off += n;
	}
	if (!rc) {
		digest_finish(d, &id);
		if (off != p->g.pack_len || !id_eq(&id, &p->pack))
			rc = err_set(e, ERR_IO,
				     "%s: written and synced, and reads back wrong: replace the drive",
				     p->pack_file);
	}
	digest_close(d);
	free(buf);
	return rc;
}

static enum err_code mend_pack(struct parity *p, struct parity_heal *h, struct err *e)
{
	struct to to = { .b = p->b };
	enum err_code rc = check_room(p->b, p->g.pack_len, e);

	if (!rc)
		rc = p->b->ops->put_begin(p->b, &to.put, e);
	if (rc)
		return rc;
	rc = parity_stream(p, h, to_put, &to, e);
	if (rc) {
		p->b->ops->put_abort(to.put);
		return rc;
	}
	rc = p->b->ops->put_commit(to.put, p->pack_file, e);
	return rc ? rc : read_back(p, e);
}

/* The pack is whole: its SHA-256 is compared once more while its parity is made. */
static enum err_code mend_file(struct parity *p, struct err *e)
{
	struct parity_report again;
	enum err_code rc = check_room(p->b, par_file_len(&p->g), e);

	if (!rc)
		rc = parity_write(p->b, &p->pack, p->g.permille, NULL, e);
	if (!rc)
		rc = parity_check_file(p->b, &p->pack, &again, e);
	if (!rc && (again.par_bad > 0 || again.longer))
		rc = err_set(e, ERR_IO,
			     "%s: written and synced, and reads back wrong: replace the drive",
			     p->par_file);
	return rc;
}

static enum err_code mend(struct parity *p, struct parity_heal *h, struct parity_report *r,
			  struct err *e)
{
	enum err_code rc = parity_scan(p, h, r, e);

	if (rc)
		return rc;
	if (r->lost > 0)
		return err_set(e, ERR_CORRUPT,
			       "%s: %u of %u sectors are damaged, %u of them beyond its parity",
			       p->pack_file, r->bad, r->sectors, r->lost);
	if (r->bad > 0 || p->pack_size != p->g.pack_len) {
		rc = mend_pack(p, h, e);
		r->pack_mended = !rc;
	}
	if (!rc && (r->par_bad > 0 || p->par_size != par_file_len(&p->g))) {
		rc = mend_file(p, e);
		r->par_mended = !rc;
	}
	return rc;
}

enum err_code parity_mend(struct backend *b, const struct object_id *pack,
			  struct parity_report *report, struct err *e)
{
	struct parity_heal *h = NULL;
	struct parity *p = NULL;
	enum err_code rc = parity_open(b, pack, &p, e);

	if (!rc)
		rc = parity_heal_open(p, &h, e);
	if (!rc)
		rc = mend(p, h, report, e);
	parity_heal_close(h);
	parity_close(p);
	return rc;
}
