/* SPDX-License-Identifier: MIT */
/* The small files that are not JSON, and have no digest: a pair of them that differs is damaged. */
#include <stdio.h>
#include <string.h>

#include "store/base/affix.h"
#include "store/base/buf.h"
#include "store/base/checked.h"
#include "store/signature_internal.h"
#include "store/verify_internal.h"

#define SIG ".sig"
#define PUB ".pub"

struct twins {
	struct buf names;	/* without copies/, NUL after each; what has its second copy twice */
	size_t skip;		/* bytes of what is listed before that */
};

static bool on_name(void *ctx, const char *name, uint64_t size)
{
	struct twins *t = ctx;

	(void)size;
	if (ends(name, SIG) || ends(name, PUB))
		buf_add(&t->names, name + t->skip, strlen(name) + 1 - t->skip);
	return !t->names.bad;
}

/* ERR_OK with *there false: missing, damaged or not readable, which was told. */
static enum err_code read_one(struct verify *v, const char *name, struct buf *out, bool *there,
			      struct err *e)
{
	struct err err = ERR_INIT;
	enum err_code rc;

	buf_reset(out);
	*there = false;
	rc = record_get(v->s->backend, name, SIGN_PEM_MAX, out, &err);
	if (!rc && ends(name, SIG) && out->len != SIGN_LEN)
		rc = err_set(&err, ERR_CORRUPT, "it has %zu bytes, not %d", out->len, SIGN_LEN);
	*there = !rc;
	return rc ? verify_told(v, name, &err, e) : ERR_OK;
}

static bool is_plausible(struct verify *v, const char *name, const struct buf *b)
{
	struct key_public key;

	return ends(name, SIG) ? !signature_plausible(v->s, name, b, NULL)
			       : !key_public_named(name, b, &key, NULL);
}

static enum err_code check_pair(struct verify *v, const char *name, struct buf *a, struct buf *b,
				struct err *e)
{
	struct err err = ERR_INIT;
	bool there_a, there_b, bad_a, bad_b;
	char copy[512];
	enum err_code rc;

	if (snprintf(copy, sizeof(copy), "copies/%s", name) >= (int)sizeof(copy))
		return ERR_OK;	/* longer than any that are written */
	rc = read_one(v, name, a, &there_a, e);
	if (!rc)
		rc = read_one(v, copy, b, &there_b, e);
	if (rc || !there_a || !there_b ||
	    (a->len == b->len && memcmp(a->p, b->p, a->len) == 0))
		return rc;
	/* Which of them is right a key says that is at hand; if none does, either may be. */
	bad_a = !is_plausible(v, name, a);
	bad_b = !is_plausible(v, name, b);
	(void)err_set(&err, ERR_CORRUPT, "it differs from its second copy%s",
		      bad_a == bad_b ? "; one of them is damaged" : "");
	if (bad_a || !bad_b)
		verify_bad_record(v, name, &err);
	if (bad_b || !bad_a)
		verify_bad_record(v, copy, &err);
	return ERR_OK;
}

static enum err_code check_folder(struct verify *v, const char *prefix, struct err *e)
{
	const struct backend_ops *ops = v->s->backend->ops;
	struct twins t = { BUF_INIT, 0 };
	struct buf a = BUF_INIT, b = BUF_INIT;
	char copies[64];
	uint64_t size;
	size_t nr_main;
	enum err_code rc;

	(void)snprintf(copies, sizeof(copies), "copies/%s", prefix);
	rc = ops->list(v->s->backend, prefix, false, on_name, &t, e);
	nr_main = t.names.len;
	t.skip = strlen("copies/");
	if (!rc)
		rc = ops->list(v->s->backend, copies, false, on_name, &t, e);
	if (!rc && t.names.bad)
		rc = err_set(e, ERR_NOMEM, "a list of records");
	for (size_t at = 0; !rc && at < t.names.len;) {
		const char *name = (const char *)t.names.p + at;

		/* A second copy that has a first one was looked at with it. */
		if (at < nr_main || ops->size(v->s->backend, name, &size, NULL) == ERR_NOT_FOUND)
			rc = check_pair(v, name, &a, &b, e);
		at += strlen(name) + 1;
	}
	buf_release(&t.names);
	buf_release(&a);
	buf_release(&b);
	return rc;
}

enum err_code verify_twins(struct verify *v, struct err *e)
{
	static const char *const folders[] = { "snapshots/", "forgotten/", "keys/" };
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < ARRAY_LEN(folders) && !rc; i++)
		rc = check_folder(v, folders[i], e);
	return rc;
}
