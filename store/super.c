/* SPDX-License-Identifier: MIT */
/* vouch.json and its second copy: made, and read. */
#include <stdio.h>
#include <string.h>

#include "store/base/buf.h"
#include "store/base/digest.h"
#include "store/base/io.h"
#include "store/format/limits.h"
#include "store/internal.h"

#define SUPER_NAME	"vouch.json"
#define SUPER_COPY	"copies/vouch.json"

static void set_params(const struct store_create_params *p, struct store_params *out)
{
	store_params_default(out);
	if (!p)
		return;
	if (p->chunk_min)
		out->chunk_min = p->chunk_min;
	if (p->chunk_avg)
		out->chunk_avg = p->chunk_avg;
	if (p->chunk_max)
		out->chunk_max = p->chunk_max;
	if (p->block_len)
		out->block_len = p->block_len;
	if (p->pack_len)
		out->pack_len = p->pack_len;
	if (p->zstd_level)
		out->zstd_level = p->zstd_level;
	if (p->parity)
		out->parity = p->parity == STORE_PARITY_NONE ? 0 : p->parity;
}

enum err_code store_create(const char *path, const struct store_create_params *p, struct err *e)
{
	struct superblock super = { .read_only = false };
	struct backend *b = NULL;
	struct buf text = BUF_INIT;
	char now[TIME_TEXT_LEN + 1];
	enum err_code rc;

	set_params(p, &super.params);
	rc = store_params_check(&super.params, e);
	if (!rc)
		rc = digest_random(super.id, sizeof(super.id), e);
	if (rc)
		return rc;
	store_now(now);
	(void)snprintf(super.created, sizeof(super.created), "%s", now);
	rc = file_backend_open(path, true, true, &io_system, &b, e);
	if (rc)
		return rc;
	superblock_encode(&super, &text);
	if (text.bad)
		rc = err_set(e, ERR_NOMEM, "vouch.json");
	if (!rc)
		rc = record_put_readme(b, e);
	/*
	 * Commit point: before it the next create begins anew, after it this is a repository, and
	 * the next opening for writing makes a copy that is missing.
	 */
	if (!rc)
		rc = b->ops->put(b, SUPER_NAME, text.p, text.len, e);
	if (!rc)
		rc = b->ops->put(b, SUPER_COPY, text.p, text.len, e);
	b->ops->close(b);
	buf_release(&text);
	return rc;
}

static enum err_code read_super(struct backend *b, const char *name, struct buf *text,
				struct superblock *out, struct err *e)
{
	enum err_code rc = record_get(b, name, RECORD_JSON_MAX, text, e);

	if (rc)
		return rc;
	rc = superblock_decode(text->p, text->len, out, e);
	if (rc)
		err_prefix(e, "%s", name);
	return rc;
}

/**
 * Where vouch.json itself is whole and we may write, its copy is made where it is missing or older: an interrupted
 * create's end, or that of a change, which begins with vouch.json.
 */
static void check_copy(struct store *s, const struct buf *text)
{
	struct err e = ERR_INIT;
	struct superblock super;
	struct buf copy = BUF_INIT;
	enum err_code rc;
	bool older;

	rc = read_super(s->backend, SUPER_COPY, &copy, &super, &e);
	if (rc == ERR_NOT_FOUND || rc == ERR_CORRUPT || rc == ERR_IO)
		healing_records(s, true);
	older = !rc && memcmp(super.id, s->super.id, sizeof(super.id)) == 0 &&
		(copy.len != text->len || memcmp(copy.p, text->p, copy.len) != 0);
	if (rc == ERR_NOT_FOUND || older) {
		err_clear(&e);
		if (s->mode == STORE_WRITE &&
		    s->backend->ops->put(s->backend, SUPER_COPY, text->p, text->len, &e))
			store_event(s, EVENT_WARNING, SUPER_COPY, &e,
				    "vouch.json has no second copy");
	} else if (rc || memcmp(super.id, s->super.id, sizeof(super.id)) != 0) {
		store_event(s, EVENT_DAMAGE, SUPER_COPY, rc ? &e : NULL,
			    rc ? "the second copy of vouch.json cannot be read"
			       : "the second copy of vouch.json is another repository's");
	}
	buf_release(&copy);
}

enum err_code store_load_super(struct store *s, struct err *e)
{
	struct buf text = BUF_INIT, copy = BUF_INIT;
	struct err main = ERR_INIT, second = ERR_INIT;
	enum err_code rc;

	rc = read_super(s->backend, SUPER_NAME, &text, &s->super, &main);
	if (!rc)
		check_copy(s, &text);
	if (!rc || rc == ERR_UNSUPPORTED || rc == ERR_ABSENT || rc == ERR_NOMEM)
		goto out;
	rc = read_super(s->backend, SUPER_COPY, &copy, &s->super, &second);
	if (!rc) {
		healing_records(s, true);
		store_event(s, EVENT_DAMAGE, SUPER_NAME, &main,
			    "vouch.json is damaged or missing; its second copy is used");
		err_clear(&main);
	} else if (rc == ERR_UNSUPPORTED || rc == ERR_ABSENT || rc == ERR_NOMEM) {
		main = second;
	} else if (main.code == ERR_NOT_FOUND && rc == ERR_NOT_FOUND) {
		rc = err_set(&main, ERR_NOT_FOUND, "no repository: there is no vouch.json in it");
	} else if (main.code == ERR_IO && rc == ERR_IO) {
		rc = ERR_IO;
	} else {
		err_prefix(&main, "vouch.json and its second copy are both damaged");
		rc = main.code = ERR_CORRUPT;
	}
out:
	if (rc && e)
		*e = main;
	buf_release(&text);
	buf_release(&copy);
	return rc;
}
