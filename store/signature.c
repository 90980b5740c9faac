/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "store/format/limits.h"
#include "store/signature_internal.h"

#define PATH_LEN (sizeof("copies/") + STEM_LEN + sizeof(".json"))

void stem_of_snapshot(const char *name, char out[STEM_LEN + 1])
{
	(void)snprintf(out, STEM_LEN + 1, "snapshots/%s", name);
}

void stem_of_record(const struct object_id *id, char out[STEM_LEN + 1])
{
	char hex[ID_HEX_LEN + 1];

	(void)snprintf(out, STEM_LEN + 1, "forgotten/%s", id_hex(id, hex));
}

static void path_of(const char *stem, bool copy, char out[PATH_LEN])
{
	(void)snprintf(out, PATH_LEN, "%s%s.sig", copy ? "copies/" : "", stem);
}

enum err_code signature_put(struct store *s, const struct sign_key *k, const char *stem,
			    const struct buf *b, bool squeeze, struct err *e)
{
	uint8_t sig[SIGN_LEN];
	char path[PATH_LEN];
	enum err_code rc;

	if (!k)
		return ERR_OK;
	rc = sign_make(k, b->p, b->len, sig, e);
	if (rc)
		return rc;
	path_of(stem, false, path);
	return squeeze ? record_squeeze(s, path, sig, sizeof(sig), e)
		       : s->backend->ops->put(s->backend, path, sig, sizeof(sig), e);
}

/** ERR_CORRUPT: other than 64 bytes. */
static enum err_code get(struct store *s, const char *stem, bool copy, uint8_t sig[SIGN_LEN],
			 struct err *e)
{
	char path[PATH_LEN];
	enum err_code rc;
	uint64_t size;
	size_t n = 0;

	path_of(stem, copy, path);
	rc = s->backend->ops->size(s->backend, path, &size, e);
	if (!rc && size != SIGN_LEN)
		return err_set(e, ERR_CORRUPT, "%s has %llu bytes, not %d", path,
			       (unsigned long long)size, SIGN_LEN);
	if (!rc)
		rc = s->backend->ops->get(s->backend, path, 0, sig, SIGN_LEN, &n, e);
	if (!rc && n != SIGN_LEN)
		rc = err_set(e, ERR_CORRUPT, "%s ends early", path);
	return rc;
}

void signature_put_copy(struct store *s, const char *stem)
{
	uint8_t sig[SIGN_LEN];
	struct err e = ERR_INIT;
	char path[PATH_LEN];
	enum err_code rc = get(s, stem, false, sig, &e);

	if (rc == ERR_NOT_FOUND)	/* it is not signed */
		return;
	path_of(stem, true, path);
	if (!rc)
		rc = s->backend->ops->put(s->backend, path, sig, sizeof(sig), &e);
	if (rc)
		store_event(s, EVENT_WARNING, path, &e, "the signature has no second copy");
}

enum err_code signature_remove(struct store *s, const char *stem, struct err *e)
{
	enum err_code rc = ERR_OK;
	char path[PATH_LEN];

	for (int copy = 0; copy < 2 && !rc; copy++) {
		path_of(stem, copy, path);
		rc = record_remove(s->backend, path, e);
	}
	return rc;
}

/** What is not of this signature alone. */
static bool is_fatal(enum err_code rc)
{
	return rc == ERR_ABSENT || rc == ERR_NOMEM;
}

enum err_code signature_exists(struct store *s, const char *stem, bool *there, struct err *e)
{
	uint8_t sig[SIGN_LEN];

	*there = false;
	for (int copy = 0; copy < 2 && !*there; copy++) {
		enum err_code rc = get(s, stem, copy, sig, e);

		if (is_fatal(rc))
			return rc;
		*there = !rc;
	}
	err_clear(e);
	return ERR_OK;
}

enum err_code signature_check(struct store *s, const char *stem, const struct buf *b,
			      const struct key_public *keys, size_t nr,
			      enum signature_state *state, size_t *key, struct err *e)
{
	uint8_t sig[SIGN_LEN];

	*state = SIGNATURE_NONE;
	for (int copy = 0; copy < 2; copy++) {
		enum err_code rc = get(s, stem, copy, sig, e);

		if (is_fatal(rc))
			return rc;
		if (rc == ERR_NOT_FOUND)
			continue;
		*state = SIGNATURE_WRONG;
		for (size_t i = 0; i < nr && !rc; i++) {
			struct sign_public p;

			memcpy(p.b, keys[i].raw, sizeof(p.b));
			if (!sign_ok(&p, b->p, b->len, sig))
				continue;
			*state = SIGNATURE_GOOD;
			*key = i;
			err_clear(e);
			return ERR_OK;
		}
	}
	err_clear(e);
	return ERR_OK;
}

/** By any of l, of the file whose signature name is, or of its copy. */
static bool made_by_any(struct store *s, const char *name, const struct key_list *l,
			const uint8_t *sig)
{
	char path[PATH_LEN];
	struct buf json = BUF_INIT;
	bool made = false;

	for (int copy = 0; copy < 2 && !made; copy++) {
		(void)snprintf(path, sizeof(path), "%s%.*s.json", copy ? "copies/" : "",
			       (int)(strlen(name) - strlen(".sig")), name);
		buf_reset(&json);
		if (record_get(s->backend, path, SNAPSHOT_JSON_MAX, &json, NULL))
			continue;
		for (size_t i = 0; i < l->nr && !made; i++) {
			struct sign_public p;

			memcpy(p.b, l->all[i].key.raw, sizeof(p.b));
			made = sign_ok(&p, json.p, json.len, sig);
		}
	}
	buf_release(&json);
	return made;
}

enum err_code signature_plausible(struct store *s, const char *name, const struct buf *b,
				  struct err *e)
{
	struct key_list l = { .nr = 0 };
	enum err_code rc;

	if (b->len != SIGN_LEN || strlen(name) > STEM_LEN + strlen(".sig") ||
	    strlen(name) <= strlen(".sig"))
		return err_set(e, ERR_CORRUPT, "%s: %zu bytes are no signature", name, b->len);
	rc = key_list_read(s, &l, e);
	if (!rc && l.nr > 0 && !made_by_any(s, name, &l, b->p))
		rc = err_set(e, ERR_CORRUPT, "%s: no key in keys/ made it", name);
	key_list_release(&l);
	return rc;
}
