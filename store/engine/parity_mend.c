/* SPDX-License-Identifier: MIT */
/* Writing the same bytes under the same name: a pack and its parity file made whole where they lie. */
#include "store/engine/parity_impl.h"

#include "store/engine/mend.h"

struct to {
	struct backend *b;
	struct backend_put *put;
};

static enum err_code to_put(void *ctx, const uint8_t *buf, size_t len, struct err *e)
{
	struct to *to = ctx;

	return to->b->ops->put_add(to->put, buf, len, e);
}

static enum err_code mend_pack(struct parity *p, struct parity_heal *h, struct err *e)
{
	struct to to = { .b = p->b };
	enum err_code rc = mend_check_room(p->b, p->g.pack_len, e);

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
	return rc ? rc : mend_read_back(p->b, &p->pack, e);
}

/* The pack is whole: its SHA-256 is compared once more while its parity is made. */
static enum err_code mend_file(struct parity *p, struct err *e)
{
	struct parity_report again;
	enum err_code rc = mend_check_room(p->b, par_file_len(&p->g), e);

	if (!rc)
		rc = parity_write(p->b, &p->pack, p->g.permille, NULL, NULL, e);
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
