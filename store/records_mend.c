/* SPDX-License-Identifier: MIT */
#include "store/records_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/base/checked.h"
#include "store/format/forgetrec.h"
#include "store/format/limits.h"
#include "store/format/snaprec.h"

#define COPIES	"copies/"
#define NAME_LEN 256u

/* What a record is for, and how its bytes are known to be right. */
struct kind {
	const char *prefix;	/* of the folder; or the file's name */
	size_t max;
	/** *snap: the snapshot's id, where it is one. */
	enum err_code (*check)(const char *name, const struct buf *b, struct object_id *snap,
			       struct err *e);
};

static enum err_code super_ok(const char *name, const struct buf *b, struct object_id *snap,
			      struct err *e)
{
	struct superblock super;

	(void)name;
	(void)snap;
	return superblock_decode(b->p, b->len, &super, e);
}

/* "FOLDER/STEM.json" */
static bool is_named(const char *name, const char *stem)
{
	const char *base = strrchr(name, '/');
	size_t len = strlen(stem);

	base = base ? base + 1 : name;
	return strncmp(base, stem, len) == 0 && strcmp(base + len, ".json") == 0;
}

static enum err_code snapshot_ok(const char *name, const struct buf *b, struct object_id *snap,
				 struct err *e)
{
	struct snapshot s = { 0 };
	enum err_code rc = snaprec_decode(b->p, b->len, &s, e);

	if (rc)
		return rc;
	*snap = s.id;
	if (!is_named(name, s.name))
		rc = err_set(e, ERR_CORRUPT, "its bytes are those of %s", s.name);
	snapshot_release(&s);
	return rc;
}

static enum err_code forgotten_ok(const char *name, const struct buf *b, struct object_id *snap,
				  struct err *e)
{
	struct forgotten f = { .name = NULL };
	char hex[ID_HEX_LEN + 1];
	enum err_code rc = forgetrec_decode(b->p, b->len, &f, e);

	(void)snap;
	if (rc)
		return rc;
	if (!is_named(name, id_hex(&f.id, hex)))
		rc = err_set(e, ERR_CORRUPT, "it is the record of another snapshot");
	forgotten_release(&f);
	return rc;
}

/* One of the two. */
struct half {
	char name[NAME_LEN];
	struct buf bytes;
	enum err_code rc;	/* ERR_OK: whole; ERR_NOT_FOUND: not there; ERR_CORRUPT, ERR_IO: damaged */
	struct err err;
	struct object_id snap;
};

struct pass {
	struct store *s;
	bool dry_run;
	const atomic_bool *cancel;
	record_news_fn *fn;
	void *ctx;
	const struct kind *kind;
	struct buf names;	/* without copies/, NUL after each; some twice */
	bool is_copy;		/* being listed */
};

static void read_half(struct pass *p, struct half *h)
{
	h->rc = record_get(p->s->backend, h->name, p->kind->max, &h->bytes, &h->err);
	if (!h->rc)
		h->rc = p->kind->check(h->name, &h->bytes, &h->snap, &h->err);
}

static void tell(struct pass *p, enum record_outcome outcome, const struct half *bad,
		 const struct err *err)
{
	struct record_news n = { .outcome = outcome, .name = bad->name,
				 .missing = bad->rc == ERR_NOT_FOUND, .err = err };

	if (p->fn)
		p->fn(p->ctx, &n);
}

/* Of no snapshot that was let go: its files go one after the other, and must not come back. */
static bool is_forgotten(struct pass *p, const struct half *good)
{
	char name[sizeof("forgotten/") + ID_HEX_LEN + sizeof(".json")], hex[ID_HEX_LEN + 1];
	static const struct object_id none;
	uint64_t size;

	if (id_eq(&good->snap, &none))
		return false;
	(void)snprintf(name, sizeof(name), "forgotten/%s.json", id_hex(&good->snap, hex));
	return p->s->backend->ops->size(p->s->backend, name, &size, NULL) != ERR_NOT_FOUND;
}

static enum err_code put(struct pass *p, const struct half *good, const struct half *bad,
			 struct err *e)
{
	const struct backend_ops *ops = p->s->backend->ops;
	struct buf back = BUF_INIT;
	enum err_code rc;

	rc = ops->put(p->s->backend, bad->name, good->bytes.p, good->bytes.len, e);
	if (!rc)
		rc = record_get(p->s->backend, bad->name, p->kind->max, &back, e);
	if (!rc && (back.len != good->bytes.len || memcmp(back.p, good->bytes.p, back.len) != 0))
		rc = err_set(e, ERR_IO, "written and synced, and reads back wrong: replace the drive");
	buf_release(&back);
	/* Let go between the look and the writing: whoever did that has passed here. */
	if (!rc && is_forgotten(p, good))
		rc = ops->remove(p->s->backend, bad->name, e);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static void mend(struct pass *p, const struct half *good, const struct half *bad)
{
	struct err e = ERR_INIT;

	if (is_forgotten(p, good))
		return;
	if (!p->dry_run && put(p, good, bad, &e))
		tell(p, RECORD_NOT_MENDED, bad, &e);
	else
		tell(p, RECORD_MENDED, bad, &bad->err);
}

static bool is_whole(const struct half *h)
{
	return h->rc == ERR_OK;
}

static bool is_bad(const struct half *h)
{
	return h->rc == ERR_NOT_FOUND || h->rc == ERR_CORRUPT || h->rc == ERR_IO;
}

/* Of vouch.json a change begins with the file itself: a copy that differs is older. */
static bool is_older(struct pass *p, const struct half *main, const struct half *copy)
{
	struct superblock x, y;

	return p->kind->check == super_ok && is_whole(main) && is_whole(copy) &&
	       (main->bytes.len != copy->bytes.len ||
		memcmp(main->bytes.p, copy->bytes.p, copy->bytes.len) != 0) &&
	       !superblock_decode(main->bytes.p, main->bytes.len, &x, NULL) &&
	       !superblock_decode(copy->bytes.p, copy->bytes.len, &y, NULL) &&
	       memcmp(x.id, y.id, sizeof(x.id)) == 0;
}

/* name: without copies/. */
static enum err_code mend_pair(struct pass *p, const char *name, struct err *e)
{
	struct half main = { .bytes = BUF_INIT }, copy = { .bytes = BUF_INIT };
	enum err_code rc = ERR_OK;

	if (strlen(name) + sizeof(COPIES) > NAME_LEN)
		return ERR_OK;	/* none of ours */
	(void)snprintf(main.name, sizeof(main.name), "%s", name);
	(void)snprintf(copy.name, sizeof(copy.name), COPIES "%s", name);
	read_half(p, &main);
	read_half(p, &copy);
	if (main.rc == ERR_ABSENT || main.rc == ERR_NOMEM) {
		rc = err_set(e, main.rc, "%s", main.err.msg);
	} else if ((is_whole(&main) && is_bad(&copy)) || is_older(p, &main, &copy)) {
		mend(p, &main, &copy);
	} else if (is_whole(&copy) && is_bad(&main)) {
		mend(p, &copy, &main);
	} else if (is_bad(&main) && is_bad(&copy) &&
		   !(main.rc == ERR_NOT_FOUND && copy.rc == ERR_NOT_FOUND)) {
		const struct half *bad = main.rc == ERR_NOT_FOUND ? &copy : &main;

		tell(p, RECORD_LOST, bad, &bad->err);
	}
	buf_release(&main.bytes);
	buf_release(&copy.bytes);
	return rc;
}

static bool on_name(void *ctx, const char *name, uint64_t size)
{
	size_t len = strlen(name);
	struct pass *p = ctx;

	(void)size;
	if (len <= 5 || strcmp(name + len - 5, ".json") != 0)
		return true;
	if (p->is_copy)
		name += strlen(COPIES);
	buf_add(&p->names, name, strlen(name) + 1);
	return !p->names.bad;
}

static int cmp_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each name once; the copies are listed first: what is published meanwhile has its file by then. */
static enum err_code mend_folder(struct pass *p, struct err *e)
{
	struct backend *b = p->s->backend;
	const char **all = NULL;
	char copies[64];
	enum err_code rc;
	size_t nr = 0, i = 0;

	(void)snprintf(copies, sizeof(copies), COPIES "%s", p->kind->prefix);
	buf_reset(&p->names);
	p->is_copy = true;
	rc = b->ops->list(b, copies, false, on_name, p, e);
	p->is_copy = false;
	if (!rc)
		rc = b->ops->list(b, p->kind->prefix, false, on_name, p, e);
	for (size_t at = 0; at < p->names.len; at += strlen((char *)p->names.p + at) + 1)
		nr++;
	all = calloc(nr + 1, sizeof(*all));
	if (!rc && (p->names.bad || !all))
		rc = err_set(e, ERR_NOMEM, "a list of records");
	for (size_t at = 0; !rc && i < nr; at += strlen(all[i++]) + 1)
		all[i] = (const char *)p->names.p + at;
	if (!rc && nr > 0)
		qsort(all, nr, sizeof(*all), cmp_name);
	for (i = 0; i < nr && !rc; i++) {
		if (p->cancel && atomic_load(p->cancel))
			rc = err_set(e, ERR_CANCELED, "stopped on request");
		else if (i == 0 || strcmp(all[i], all[i - 1]) != 0)
			rc = mend_pair(p, all[i], e);
	}
	free(all);
	return rc;
}

enum err_code records_mend(struct store *s, bool dry_run, const atomic_bool *cancel,
			   record_news_fn *fn, void *ctx, struct err *e)
{
	static const struct kind super = { "vouch.json", RECORD_JSON_MAX, super_ok };
	/* The forgotten first: by them snapshots are left alone. */
	static const struct kind folders[] = {
		{ "forgotten/", RECORD_JSON_MAX, forgotten_ok },
		{ "snapshots/", SNAPSHOT_JSON_MAX, snapshot_ok },
	};
	struct pass p = { .s = s, .dry_run = dry_run, .cancel = cancel, .fn = fn, .ctx = ctx,
			  .kind = &super, .names = BUF_INIT };
	enum err_code rc = mend_pair(&p, "vouch.json", e);

	for (size_t i = 0; i < ARRAY_LEN(folders) && !rc; i++) {
		p.kind = &folders[i];
		rc = mend_folder(&p, e);
	}
	buf_release(&p.names);
	return rc;
}
