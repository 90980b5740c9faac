/* SPDX-License-Identifier: MIT */
/* The small files: read whole, written twice, and listed in SHA256SUMS. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/base/buf.h"
#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/engine/pack.h"
#include "store/engine/parity.h"
#include "store/format/limits.h"
#include "store/internal.h"

#define TRIES		8u	/* to read a record that is replaced meanwhile */
#define PIECE_LEN	((size_t)256 << 10)	/* of a parity file, read to be summed */
#define OLD_SUMS_MAX	((size_t)64 << 20)	/* of the last SHA256SUMS; a longer one is made without its help */

enum err_code record_get(struct backend *b, const char *name, size_t max, struct buf *out,
			 struct err *e)
{
	enum err_code rc = ERR_OK;
	uint64_t size = 0;
	size_t n = 1;

	/* More than there was: another one took the name meanwhile (SHA256SUMS). Half of it is none of the two. */
	for (unsigned i = 0; !rc && n > size && i < TRIES; i++) {
		uint8_t *room;

		rc = b->ops->size(b, name, &size, e);
		if (rc)
			return rc;
		if (size > max)
			return err_set(e, ERR_CORRUPT, "%s has %llu bytes; at most %zu are believed",
				       name, (unsigned long long)size, max);
		room = buf_room(out, (size_t)size + 1);
		if (!room)
			return err_set(e, ERR_NOMEM, "%s: no memory for %llu bytes", name,
				       (unsigned long long)size);
		rc = b->ops->get(b, name, 0, room, (size_t)size + 1, &n, e);
	}
	if (!rc && n > size)
		rc = err_set(e, ERR_BUSY, "%s is being written again and again", name);
	if (!rc)
		out->len += n;
	return rc;
}

enum err_code record_remove(struct backend *b, const char *name, struct err *e)
{
	enum err_code rc = b->ops->remove(b, name, e);

	if (rc != ERR_NOT_FOUND)
		return rc;
	err_clear(e);
	return ERR_OK;
}

enum err_code record_squeeze(struct store *s, const char *name, const void *buf, size_t len,
			     struct err *e)
{
	static const char *const derived[] = { "SHA256SUMS", "README.txt" };
	const struct backend_ops *ops = s->backend->ops;
	enum err_code rc = ops->put(s->backend, name, buf, len, e);

	for (size_t i = 0; i < ARRAY_LEN(derived) && rc == ERR_IO && e->sys == ENOSPC; i++) {
		if (ops->remove(s->backend, derived[i], NULL))
			continue;
		err_clear(e);
		rc = ops->put(s->backend, name, buf, len, e);
	}
	return rc;
}

enum err_code record_put(struct store *s, const char *name, const void *buf, size_t len,
			 struct err *e)
{
	enum err_code rc;
	char copy[256];

	if (snprintf(copy, sizeof(copy), "copies/%s", name) >= (int)sizeof(copy))
		return err_set(e, ERR_LIMIT, "a name of %zu bytes", strlen(name));
	rc = s->backend->ops->put(s->backend, name, buf, len, e);
	if (rc)
		return rc;
	return s->backend->ops->put(s->backend, copy, buf, len, e);
}

/** The names to list, one after the other in text, NUL after each. */
struct names {
	struct buf text, offs;		/* offs: a size_t each */
	size_t nr;
};

static bool is_summed(const char *name)
{
	static const char *const folders[] = { "packs/", "snapshots/", "copies/", "forgotten/",
					       "keys/" };

	if (strcmp(name, "vouch.json") == 0 || strcmp(name, "README.txt") == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (strncmp(name, folders[i], strlen(folders[i])) == 0)
			return true;
	return false;
}

static bool names_add(void *ctx, const char *name, uint64_t size)
{
	struct names *n = ctx;

	(void)size;
	if (!is_summed(name))
		return true;
	buf_add(&n->offs, &n->text.len, sizeof(n->text.len));
	buf_add(&n->text, name, strlen(name) + 1);
	n->nr++;
	return !n->text.bad && !n->offs.bad;
}

static int name_at_cmp(const void *a, const void *b, void *text)
{
	size_t at[2];

	memcpy(&at[0], a, sizeof(at[0]));
	memcpy(&at[1], b, sizeof(at[1]));
	return strcmp((const char *)text + at[0], (const char *)text + at[1]);
}

static enum err_code sum_object(struct store *s, const char *name, struct buf *piece,
				struct object_id *id, struct err *e)
{
	struct digest *d = NULL;
	enum err_code rc = digest_open(&d, e);
	uint64_t off = 0;
	size_t n = 1;

	buf_reset(piece);
	if (!rc && !buf_room(piece, PIECE_LEN))
		rc = err_set(e, ERR_NOMEM, "%s", name);
	while (!rc && n > 0) {
		rc = s->backend->ops->get(s->backend, name, off, piece->p, PIECE_LEN, &n, e);
		if (!rc)
			digest_add(d, piece->p, n);
		off += n;
	}
	if (!rc)
		digest_finish(d, id);
	digest_close(d);
	return rc;
}

/*
 * A parity file never changes its bytes, and all of them are a share of the repository: what the last list says of
 * one is said again.  old is that list, sorted by name, as *at is passed on.
 */
static bool in_old(const struct buf *old, size_t *at, const char *name, struct object_id *id)
{
	size_t want = strlen(name);

	while (*at < old->len) {
		const char *line = (const char *)old->p + *at;
		const char *end = memchr(line, '\n', old->len - *at);
		size_t n = end ? (size_t)(end - line) : old->len - *at;
		int cmp = -1;

		if (n > ID_HEX_LEN + 2) {
			size_t len = n - ID_HEX_LEN - 2;

			cmp = memcmp(line + ID_HEX_LEN + 2, name, len < want ? len : want);
			if (cmp == 0)
				cmp = len < want ? -1 : len > want;
		}
		if (cmp == 0)
			return id_parse(line, id);
		if (cmp > 0)
			return false;
		*at += n + 1;
	}
	return false;
}

/** "HEX  name"; a pack's name is its digest, anything else but parity is small and read. */
static enum err_code add_line(struct store *s, const char *name, const struct buf *old,
			      size_t *at, struct buf *record, struct buf *out, struct err *e)
{
	char hex[ID_HEX_LEN + 1];
	struct object_id id;
	enum err_code rc;

	if (parity_name_parse(name, &id)) {
		rc = in_old(old, at, name, &id) ? ERR_OK : sum_object(s, name, record, &id, e);
		if (rc)
			return rc;
	} else if (!pack_name_parse(name, &id)) {
		buf_reset(record);
		rc = record_get(s->backend, name, SNAPSHOT_JSON_MAX, record, e);
		if (rc)
			return rc;
		digest_sha256(record->p, record->len, &id);
	}
	buf_printf(out, "%s  %s\n", id_hex(&id, hex), name);
	return ERR_OK;
}

static enum err_code put_sums(struct store *s, struct names *n, struct err *e)
{
	struct buf out = BUF_INIT, record = BUF_INIT, old = BUF_INIT;
	enum err_code rc = record_get(s->backend, "SHA256SUMS", OLD_SUMS_MAX, &old, NULL);
	size_t old_at = 0;

	if (rc)		/* not there, or no use: all are read */
		old.len = 0;
	rc = ERR_OK;
	if (n->nr > 0)
		qsort_r(n->offs.p, n->nr, sizeof(size_t), name_at_cmp, n->text.p);
	for (size_t i = 0; i < n->nr && !rc; i++) {
		const char *name;
		size_t at;

		memcpy(&at, n->offs.p + i * sizeof(at), sizeof(at));
		name = (const char *)n->text.p + at;
		rc = add_line(s, name, &old, &old_at, &record, &out, e);
		if (rc && rc != ERR_NOMEM && rc != ERR_ABSENT) {
			/*
			 * Gone since the listing, or not readable: the list still serves for
			 * the rest.
			 */
			store_event(s, EVENT_WARNING, name, e, "left out of SHA256SUMS");
			err_clear(e);
			rc = ERR_OK;
		}
	}
	if (!rc && out.bad)
		rc = err_set(e, ERR_NOMEM, "SHA256SUMS");
	if (!rc)
		rc = s->backend->ops->put(s->backend, "SHA256SUMS", out.p, out.len, e);
	buf_release(&old);
	buf_release(&record);
	buf_release(&out);
	return rc;
}

enum err_code records_refresh_sums(struct store *s, struct err *e)
{
	struct names n = { BUF_INIT, BUF_INIT, 0 };
	enum err_code rc;
	uint64_t size;

	rc = s->backend->ops->size(s->backend, "README.txt", &size, e);
	if (rc == ERR_NOT_FOUND) {
		err_clear(e);
		rc = record_put_readme(s->backend, e);
	}
	if (!rc)
		rc = s->backend->ops->list(s->backend, "", false, names_add, &n, e);
	if (!rc && (n.text.bad || n.offs.bad))
		rc = err_set(e, ERR_NOMEM, "a list of %zu names", n.nr);
	if (!rc)
		rc = put_sums(s, &n, e);
	buf_release(&n.text);
	buf_release(&n.offs);
	if (rc)
		err_prefix(e, "SHA256SUMS");
	return rc;
}
