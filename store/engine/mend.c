/* SPDX-License-Identifier: MIT */
#include "store/engine/mend.h"

#include <stdlib.h>

#include "store/base/digest.h"
#include "store/engine/pack.h"
#include "store/engine/parity.h"
#include "store/format/limits.h"

#define PIECE_LEN ((size_t)2 << 20)

enum err_code mend_check_room(struct backend *b, uint64_t len, struct err *e)
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

enum err_code mend_read_pack(struct backend *b, const struct object_id *pack, parity_sink *fn,
			     void *ctx, struct err *e)
{
	uint8_t *buf = malloc(PIECE_LEN);
	char name[PACK_NAME_LEN + 1];
	struct digest *d = NULL;
	struct object_id id;
	enum err_code rc;
	uint64_t off = 0;
	size_t n = 1;

	pack_name(pack, name);
	rc = buf ? digest_open(&d, e) : err_set(e, ERR_NOMEM, "no memory to read a pack");
	while (!rc && n > 0) {
		rc = b->ops->get(b, name, off, buf, PIECE_LEN, &n, e);
		off += n;
		if (!rc && off > PACK_LEN_MAX)
			rc = err_set(e, ERR_CORRUPT, "%s: longer than a pack may be", name);
		if (rc)
			break;
		digest_add(d, buf, n);
		if (fn && n > 0)
			rc = fn(ctx, buf, n, e);
	}
	if (!rc) {
		digest_finish(d, &id);
		if (!id_eq(&id, pack))
			rc = err_set(e, ERR_CORRUPT, "%s: its SHA-256 is another", name);
	}
	digest_close(d);
	free(buf);
	return rc;
}

enum err_code mend_read_back(struct backend *b, const struct object_id *pack, struct err *e)
{
	enum err_code rc = mend_read_pack(b, pack, NULL, NULL, e);
	char name[PACK_NAME_LEN + 1];

	pack_name(pack, name);
	return rc != ERR_CORRUPT ? rc
				 : err_set(e, ERR_IO,
					   "%s: written and synced, and reads back wrong: replace "
					   "the drive",
					   name);
}

struct copy {
	struct backend *to;
	struct backend_put *put;
	bool *writing;
};

static enum err_code put_piece(void *ctx, const uint8_t *buf, size_t len, struct err *e)
{
	struct copy *c = ctx;
	enum err_code rc = c->to->ops->put_add(c->put, buf, len, e);

	*c->writing = rc != ERR_OK;
	return rc;
}

enum err_code mend_copy(struct backend *from, bool by_parity, struct backend *to,
			const struct object_id *pack, bool *writing, struct err *e)
{
	struct copy c = {.to = to, .writing = writing};
	char name[PACK_NAME_LEN + 1];
	struct parity_report report;
	uint64_t len = 0;
	enum err_code rc;

	*writing = false;
	pack_name(pack, name);
	rc = by_parity ? parity_pack_len(from, pack, &len, e)
		       : from->ops->size(from, name, &len, e);
	if (rc)
		return rc;
	*writing = true;
	rc = mend_check_room(to, len, e);
	if (!rc)
		rc = to->ops->put_begin(to, &c.put, e);
	if (rc)
		return rc;
	*writing = false;
	rc = by_parity ? parity_rebuild(from, pack, put_piece, &c, &report, e)
		       : mend_read_pack(from, pack, put_piece, &c, e);
	if (rc) {
		to->ops->put_abort(c.put);
		return rc;
	}
	*writing = true;
	rc = to->ops->put_commit(c.put, name, e);
	return rc ? rc : mend_read_back(to, pack, e);
}
