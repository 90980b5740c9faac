/* SPDX-License-Identifier: MIT */
/* The small files: each has a second copy, and other repositories may have both. */
#include "store/repair_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/affix.h"
#include "store/format/checkline.h"
#include "store/format/limits.h"
#include "store/format/snaprec.h"
#include "store/signature_internal.h"
#include "store/snapshot.h"

#define COPIES "copies/"
#define NAME_LEN 255u

/* Without "copies/". */
static const char *plain_name(const char *name)
{
	return begins(name, COPIES) ? name + strlen(COPIES) : name;
}

static bool is_derived(const char *name)
{
	return strcmp(name, "README.txt") == 0 || strcmp(name, "SHA256SUMS") == 0;
}

static bool has_copies(const char *name)
{
	const char *plain = plain_name(name);

	if (strlen(name) >= NAME_LEN)
		return false;
	if (begins(plain, "keys/"))
		return ends(name, ".pub");
	if (begins(plain, "snapshots/") || begins(plain, "forgotten/"))
		return ends(name, ".json") || ends(name, ".sig");
	return strcmp(plain, "vouch.json") == 0;
}

bool repair_is_record(const char *name)
{
	return has_copies(name) || is_derived(name);
}

/* The bytes are what a file of this name must hold; and a snapshot that was forgotten meanwhile does not come back. */
/* *forgotten: it is right, and a snapshot's that was let go: it has no place here. */
static enum err_code check(struct repair *r, const char *name, const struct buf *b,
			   bool *forgotten, struct err *e)
{
	const char *base = strrchr(name, '/');
	struct snapshot snap = { 0 };
	struct superblock super;
	enum err_code rc;

	if (strcmp(plain_name(name), "vouch.json") == 0) {
		rc = superblock_decode(b->p, b->len, &super, e);
		if (!rc && memcmp(super.id, r->s->super.id, sizeof(super.id)) != 0)
			rc = err_set(e, ERR_CORRUPT, "it is another repository's");
		return rc;
	}
	if (ends(name, ".sig"))
		return signature_plausible(r->s, plain_name(name), b, e);
	if (begins(plain_name(name), "keys/")) {
		struct key_public key;

		return key_public_named(plain_name(name), b, &key, e);
	}
	if (begins(plain_name(name), "forgotten/"))
		return checkline_ok(b->p, b->len)
			       ? ERR_OK
			       : err_set(e, ERR_CORRUPT, "its check line does not fit");
	rc = snaprec_decode(b->p, b->len, &snap, e);
	if (rc)
		return rc;
	base = base ? base + 1 : name;
	if (strncmp(base, snap.name, strlen(snap.name)) != 0 ||
	    strcmp(base + strlen(snap.name), ".json") != 0)
		rc = err_set(e, ERR_CORRUPT, "its bytes are those of %s", snap.name);
	else
		*forgotten = snapshot_let_go(r->s, &snap);
	snapshot_release(&snap);
	return rc;
}

/* From b's name, where that is whole. */
static enum err_code read_from(struct repair *r, struct backend *b, const char *name,
			       struct buf *out, bool *forgotten, struct err *e)
{
	enum err_code rc;

	buf_reset(out);
	rc = record_get(b, name, SNAPSHOT_JSON_MAX, out, e);
	return rc ? rc : check(r, name, out, forgotten, e);
}

/* A right copy, wherever there is one. */
static enum err_code find(struct repair *r, const char *name, struct buf *out, bool *forgotten,
			  struct err *e)
{
	char copy[NAME_LEN + sizeof(COPIES)];
	enum err_code rc = ERR_NOT_FOUND;

	(void)snprintf(copy, sizeof(copy), COPIES "%s", plain_name(name));
	for (size_t i = 0; rc && rc != ERR_NOMEM && i < r->nr_others + 1; i++) {
		struct backend *b = i == 0 ? r->s->backend : r->others[i - 1]->backend;

		rc = read_from(r, b, plain_name(name), out, forgotten, e);
		if (rc)
			rc = read_from(r, b, copy, out, forgotten, e);
	}
	return rc;
}

static enum err_code put(struct repair *r, const char *name, const struct buf *b, struct err *e)
{
	struct buf back = BUF_INIT;
	enum err_code rc;

	if (r->o->dry_run)
		return ERR_OK;
	rc = r->s->backend->ops->put(r->s->backend, name, b->p, b->len, e);
	if (!rc)
		rc = record_get(r->s->backend, name, SNAPSHOT_JSON_MAX, &back, e);
	if (!rc && (back.len != b->len || memcmp(back.p, b->p, b->len) != 0))
		rc = err_set(e, ERR_IO, "what was written reads back wrong: replace the drive");
	buf_release(&back);
	if (rc)
		err_prefix(e, "%s", name);
	return rc;
}

static enum err_code mend(struct repair *r, const char *name, struct err *e)
{
	struct err why = ERR_INIT;
	struct buf b = BUF_INIT;
	bool forgotten = false;
	enum err_code rc = find(r, name, &b, &forgotten, &why);

	if (forgotten) {
		rc = ERR_OK;	/* what is left of it goes with the next forget, or prune */
	} else if (rc && repair_stops(rc)) {
		*e = why;
	} else if (rc) {
		r->res->damaged_records++;
		repair_say(r, name, "there is no whole copy of it");
		rc = ERR_OK;
	} else {
		r->res->damaged_records++;
		rc = put(r, name, &b, e);
		r->res->mended_records += !rc;
		if (!rc)
			repair_say(r, name, r->o->dry_run ? "can be taken from its copy"
							  : "taken from its copy");
	}
	buf_release(&b);
	return rc;
}

/* Derived: made anew at the end, or now. */
static enum err_code derived(struct repair *r, const char *name, struct err *e)
{
	enum err_code rc = ERR_OK;

	r->res->damaged_records++;
	r->res->mended_records++;
	if (!r->o->dry_run)
		rc = record_remove(r->s->backend, name, e);
	if (!rc)
		repair_say(r, name, r->o->dry_run ? "can be made anew" : "made anew");
	return rc;
}

static bool is_twice(const struct buf *names, size_t at)
{
	const char *name = (const char *)names->p + at;

	for (size_t i = 0; i < at; i += strlen((const char *)names->p + i) + 1)
		if (strcmp((const char *)names->p + i, name) == 0)
			return true;
	return false;
}

enum err_code repair_records(struct repair *r, struct err *e)
{
	enum err_code rc = ERR_OK;
	bool readme = false;

	for (size_t at = 0; !rc && at < r->records.len;) {
		const char *name = (const char *)r->records.p + at;

		if (is_twice(&r->records, at)) {
			/* told of twice */
		} else if (has_copies(name)) {
			rc = mend(r, name, e);
		} else {
			rc = derived(r, name, e);
			readme = true;
		}
		at += strlen(name) + 1;
	}
	if (!rc && readme && !r->o->dry_run)
		rc = records_refresh_sums(r->s, e);
	return rc;
}
