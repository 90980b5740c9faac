/* SPDX-License-Identifier: MIT */
#include "store/forget.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/base/array.h"
#include "store/format/forgetrec.h"
#include "store/format/limits.h"
#include "store/internal.h"
#include "store/signature_internal.h"

#define DIR_FORGOTTEN	"forgotten/"
#define SUFFIX		".json"
#define PATH_LEN	(sizeof("copies/snapshots/") + 128)

static void encode(const struct snapshot *snap, const char *reason, struct buf *out)
{
	struct forgotten f = {
		.id = snap->id,
		.name = snap->name,
		.seq = snap->seq,
		.has_previous = snap->has_previous,
		.previous = snap->previous,
		.time = store_vtime(),
		.reason = (char *)(uintptr_t)reason,	/* only read */
	};

	memcpy(f.writer, snap->writer, sizeof(f.writer));
	forgetrec_encode(&f, out);
}

/* The file, then its copy, which alone and with a record counts for nothing; then its signature. */
enum err_code snapshot_remove_files(struct store *s, const char *name, struct err *e)
{
	static const char *const folders[] = { "snapshots/", "copies/snapshots/" };
	enum err_code rc = ERR_OK;
	char path[PATH_LEN], stem[STEM_LEN + 1];

	for (size_t i = 0; i < 2 && !rc; i++) {
		(void)snprintf(path, sizeof(path), "%s%s" SUFFIX, folders[i], name);
		rc = record_remove(s->backend, path, e);	/* another one was here first, or the copy was never made */
	}
	stem_of_snapshot(name, stem);
	return rc ? rc : signature_remove(s, stem, e);
}

/** History; what went is gone whether or not it can be written down. */
static void log_forgotten(struct store *s, const struct snapshot *snap)
{
	struct err e = ERR_INIT;
	char line[256];

	(void)snprintf(line, sizeof(line), "\"status\":\"ok\",\"snapshot\":\"%s\"", snap->name);
	if (runlog_append(s, "forget", line, &e))
		store_event(s, EVENT_WARNING, NULL, &e, "%s was let go; the log does not say so",
			    snap->name);
}

/** The record, what it is of, and, where there is room by then, the record's copy.  k may be NULL. */
static enum err_code forget(struct store *s, const struct sign_key *k, const struct snapshot *snap,
			    const char *reason, struct err *e)
{
	char path[PATH_LEN], copy[PATH_LEN], stem[STEM_LEN + 1];
	struct buf b = BUF_INIT;
	enum err_code rc;

	stem_of_record(&snap->id, stem);
	(void)snprintf(path, sizeof(path), "%s" SUFFIX, stem);
	(void)snprintf(copy, sizeof(copy), "copies/%s" SUFFIX, stem);
	encode(snap, reason, &b);
	rc = b.bad ? err_set(e, ERR_NOMEM, "a record") : signature_put(s, k, stem, &b, true, e);
	if (!rc)
		rc = record_squeeze(s, path, b.p, b.len, e);
	if (!rc)
		rc = snapshot_remove_files(s, snap->name, e);
	if (!rc && s->backend->ops->put(s->backend, copy, b.p, b.len, e)) {
		store_event(s, EVENT_WARNING, copy, e, "the record has no second copy");
		err_clear(e);
	}
	if (!rc && k)
		signature_put_copy(s, stem);
	buf_release(&b);
	return rc;
}

enum err_code snapshots_forget(struct store *s, const struct snapshot *const *v, size_t nr,
			       const char *reason, size_t *done, struct err *e)
{
	enum err_code rc = ERR_OK;
	struct err sums = ERR_INIT, mine = ERR_INIT;
	struct sign_key *k = nr > 0 ? signing_key_or_none(s) : NULL;

	*done = 0;
	for (size_t i = 0; i < nr && !rc; i++) {
		rc = forget(s, k, v[i], reason, &mine);
		if (rc) {
			err_prefix(&mine, "forget %s", v[i]->name);
		} else {
			++*done;
			log_forgotten(s, v[i]);
		}
	}
	sign_key_free(k);
	if (*done > 0 && forget_finish(s, &sums))
		store_event(s, EVENT_WARNING, NULL, &sums, "what an earlier forget left stays");
	err_clear(&sums);
	if (*done > 0 && records_refresh_sums(s, &sums))
		store_event(s, EVENT_WARNING, "SHA256SUMS", &sums, "not made anew");
	if (rc && e)
		*e = mine;
	return rc;
}

struct records {
	char (*hex)[ID_HEX_LEN + 1];
	size_t nr, cap;
	bool no_memory;
	const char *dir;
};

static bool on_record(void *ctx, const char *path, uint64_t size)
{
	struct records *r = ctx;
	const char *name = path + strlen(r->dir);
	struct object_id id;
	void *more;

	(void)size;
	if (strncmp(path, r->dir, strlen(r->dir)) != 0 ||
	    strlen(name) != ID_HEX_LEN + strlen(SUFFIX) ||
	    strcmp(name + ID_HEX_LEN, SUFFIX) != 0 || !id_parse(name, &id))
		return true;
	more = array_room(r->hex, r->nr, &r->cap, sizeof(*r->hex));
	if (!more) {
		r->no_memory = true;
		return false;
	}
	r->hex = more;
	(void)id_hex(&id, r->hex[r->nr++]);
	return true;
}

static int hex_cmp(const void *a, const void *b)
{
	return memcmp(a, b, ID_HEX_LEN);
}

static enum err_code read_record(struct store *s, const char *dir, const char *hex,
				 struct forgotten *out, struct err *e)
{
	char path[PATH_LEN], of[ID_HEX_LEN + 1];
	struct buf b = BUF_INIT;
	enum err_code rc;

	(void)snprintf(path, sizeof(path), "%s%s" SUFFIX, dir, hex);
	rc = record_get(s->backend, path, RECORD_JSON_MAX, &b, e);
	if (!rc)
		rc = forgetrec_decode(b.p, b.len, out, e);
	if (!rc && strcmp(id_hex(&out->id, of), hex) != 0) {
		forgotten_release(out);
		rc = err_set(e, ERR_CORRUPT, "it is the record of another snapshot");
	}
	if (rc)
		err_prefix(e, "%s", path);
	buf_release(&b);
	return rc;
}

/** ERR_OK with *there false: damaged in both places, which was said, or gone since the listing. */
static enum err_code read_either(struct store *s, const char *hex, struct forgotten *out,
				 bool *there, struct err *e)
{
	struct err copy = ERR_INIT;
	enum err_code rc = read_record(s, DIR_FORGOTTEN, hex, out, e), rc2;

	*there = !rc;
	if (!rc || rc == ERR_ABSENT || rc == ERR_NOMEM)
		return rc;
	rc2 = read_record(s, "copies/" DIR_FORGOTTEN, hex, out, &copy);
	*there = !rc2;
	if (!rc2)
		healing_records(s, true);
	if (rc2 == ERR_ABSENT || rc2 == ERR_NOMEM) {
		*e = copy;
		return rc2;
	}
	if (rc2 && (rc != ERR_NOT_FOUND || rc2 != ERR_NOT_FOUND))
		store_event(s, EVENT_DAMAGE, NULL, rc == ERR_NOT_FOUND ? &copy : e,
			    "the record of a forgotten snapshot cannot be read");
	err_clear(e);
	return ERR_OK;
}

enum err_code forgotten_each(struct store *s, forgotten_fn *fn, void *ctx, struct err *e)
{
	static const char *const dirs[] = { DIR_FORGOTTEN, "copies/" DIR_FORGOTTEN };
	struct records r = { .hex = NULL };
	struct err mine = ERR_INIT;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < 2 && !rc; i++) {
		r.dir = dirs[i];
		rc = s->backend->ops->list(s->backend, r.dir, false, on_record, &r, &mine);
	}
	if (!rc && r.no_memory)
		rc = err_set(&mine, ERR_NOMEM, "%zu records", r.nr);
	if (!rc && r.nr > 0)
		qsort(r.hex, r.nr, sizeof(*r.hex), hex_cmp);
	for (size_t i = 0; i < r.nr && !rc; i++) {
		struct forgotten f = { .name = NULL };
		bool there = false;

		if (i > 0 && hex_cmp(r.hex[i], r.hex[i - 1]) == 0)
			continue;
		rc = read_either(s, r.hex[i], &f, &there, &mine);
		if (!rc && there)
			rc = fn(ctx, &f, &mine);
		forgotten_release(&f);
	}
	free(r.hex);
	if (rc && e)
		*e = mine;
	return rc;
}
