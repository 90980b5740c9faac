/* SPDX-License-Identifier: MIT */
/* The small files.  What is there already stays: a record never changes its bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/affix.h"
#include "store/base/digest.h"
#include "store/base/keyset.h"
#include "store/base/sign.h"
#include "store/format/forgetrec.h"
#include "store/format/limits.h"
#include "store/sync_internal.h"

#define LOG_MAX ((size_t)64 << 20)	/* bytes of a month's log of one writer; no more is taken along */

/* Not of this file alone. */
static bool is_fatal(enum err_code rc)
{
	return rc == ERR_ABSENT || rc == ERR_NOMEM;
}

static enum err_code same_there(struct sync *y, const char *name, const struct buf *bytes, bool look,
				bool *same, struct err *e)
{
	struct backend *b = y->far->backend;
	struct buf is = BUF_INIT;
	uint64_t size = 0;
	enum err_code rc = b->ops->size(b, name, &size, e);

	*same = !rc && size == bytes->len;
	if (*same && look) {
		rc = record_get(b, name, bytes->len, &is, e);
		*same = !rc && is.len == bytes->len && memcmp(is.p, bytes->p, is.len) == 0;
	}
	buf_release(&is);
	if (is_fatal(rc))
		return rc;
	err_clear(e);
	return ERR_OK;
}

enum err_code sync_put_record(struct sync *y, const char *name, const struct buf *bytes, bool look,
			      bool *put, struct err *e)
{
	struct backend *b = y->far->backend;
	bool same = false;
	enum err_code rc = same_there(y, name, bytes, look || y->o->check, &same, e);

	if (rc || same)
		return rc;
	rc = b->ops->put(b, name, bytes->p, bytes->len, e);
	if (!rc)
		rc = same_there(y, name, bytes, true, &same, e);
	if (!rc && !same) {
		(void)b->ops->remove(b, name, NULL);
		rc = err_set(e, ERR_IO, "%s/%s: what was written does not read back as it was: replace the "
			     "drive", y->far->path, name);
	}
	if (!rc && put)
		*put = true;
	return rc;
}

/* Names, NUL after each. */
struct names {
	struct buf text;
	const char *below;	/* cut off where a name begins so */
};

static bool on_name(void *ctx, const char *name, uint64_t size)
{
	struct names *n = ctx;
	size_t cut = strlen(n->below);

	(void)size;
	if (strncmp(name, n->below, cut) == 0)
		buf_add(&n->text, name + cut, strlen(name + cut) + 1);
	return !n->text.bad;
}

static enum err_code list(struct backend *b, const char *prefix, const char *below, struct buf *out,
			  struct err *e)
{
	struct names n = { .below = below, .text = *out };
	enum err_code rc = b->ops->list(b, prefix, false, on_name, &n, e);

	*out = n.text;
	return !rc && out->bad ? err_set(e, ERR_NOMEM, "a list of records") : rc;
}

static bool record_ok(const char *name, const struct buf *b)
{
	struct forgotten f = { .name = NULL };

	if (ends(name, ".sig"))
		return b->len == SIGN_LEN;
	if (strncmp(name, "forgotten/", strlen("forgotten/")) != 0)
		return true;
	if (forgetrec_decode(b->p, b->len, &f, NULL))
		return false;
	forgotten_release(&f);
	return true;
}

/* From the file, else from its copy. */
static enum err_code read_either(struct backend *b, const char *name, struct buf *out, struct err *e)
{
	enum err_code rc = ERR_OK;
	char copy[256];

	(void)snprintf(copy, sizeof(copy), "copies/%s", name);
	for (size_t i = 0; i < 2; i++) {
		buf_reset(out);
		rc = record_get(b, i ? copy : name, RECORD_JSON_MAX, out, e);
		if (!rc && record_ok(name, out))
			return ERR_OK;
		if (is_fatal(rc))
			return rc;
		if (!rc)
			rc = err_set(e, ERR_CORRUPT, "%s is damaged", name);
	}
	return rc;
}

/* *whole: it and its copy are there, and to be believed. */
static enum err_code is_there(struct sync *y, const char *name, bool *whole, struct err *e)
{
	struct backend *b = y->far->backend;
	uint64_t a = 0, c = 1;
	char copy[256];
	enum err_code rc;

	(void)snprintf(copy, sizeof(copy), "copies/%s", name);
	rc = b->ops->size(b, name, &a, e);
	if (!rc)
		rc = b->ops->size(b, copy, &c, e);
	*whole = !rc && a == c && !y->o->check;
	if (is_fatal(rc))
		return rc;
	err_clear(e);
	return ERR_OK;
}

/* What is right of it there, else here; nothing: it is damaged, which was said, or gone. */
static enum err_code record_bytes(struct sync *y, const char *name, struct buf *out, bool *have,
				  struct err *e)
{
	enum err_code rc = read_either(y->far->backend, name, out, e);

	if (rc && !is_fatal(rc)) {
		err_clear(e);
		rc = read_either(y->s->backend, name, out, e);
	}
	*have = !rc;
	if (!rc || is_fatal(rc))
		return rc;
	if (rc != ERR_NOT_FOUND)
		store_event(y->s, EVENT_DAMAGE, name, e, "cannot be copied");
	err_clear(e);
	return ERR_OK;
}

enum err_code sync_record(struct sync *y, const char *name, struct err *e)
{
	struct buf bytes = BUF_INIT;
	bool whole = false, have = false, put = false;
	char copy[256];
	enum err_code rc = is_there(y, name, &whole, e);

	if (rc || whole)
		return rc;
	(void)snprintf(copy, sizeof(copy), "copies/%s", name);
	rc = record_bytes(y, name, &bytes, &have, e);
	if (!rc && have)
		rc = sync_put_record(y, name, &bytes, true, &put, e);
	if (!rc && have)
		rc = sync_put_record(y, copy, &bytes, true, &put, e);
	y->res->records += put;
	buf_release(&bytes);
	return rc;
}

enum err_code sync_records(struct sync *y, struct err *e)
{
	static const char *const lists[][2] = {
		{ "keys/", "" }, { "copies/keys/", "copies/" },
		{ "forgotten/", "" }, { "copies/forgotten/", "copies/" },
		{ "snapshots/", "" }, { "copies/snapshots/", "copies/" },
	};
	struct buf names = BUF_INIT;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]) && !rc; i++)
		rc = list(y->s->backend, lists[i][0], lists[i][1], &names, e);
	for (size_t at = 0; at < names.len && !rc; at += strlen((char *)names.p + at) + 1) {
		const char *name = (char *)names.p + at;

		/* Of snapshots their signatures, which may be younger; they themselves need what is in packs. */
		if (strncmp(name, "snapshots/", strlen("snapshots/")) == 0 && !ends(name, ".sig"))
			continue;
		rc = sync_record(y, name, e);
		if (!rc)
			rc = sync_step(y, 0, e);
	}
	buf_release(&names);
	return rc;
}

/*
 * Logs.  One writer's file may have been written at both ends, so what is lacking there is appended line by line.  What
 * is said of one medium is not true of another.
 */

#define LINE_OPEN	"{\"time\":\""
#define EVENT_OPEN	"\",\"event\":\""

static bool travels(const char *line, size_t len)
{
	static const char *const stay[] = { "damage\"", "mended\"", "verify\"", "checked\"" };
	const size_t head = sizeof(LINE_OPEN) - 1 + TIME_TEXT_LEN, at = head + sizeof(EVENT_OPEN) - 1;

	if (len <= at || memcmp(line, LINE_OPEN, sizeof(LINE_OPEN) - 1) != 0 ||
	    memcmp(line + head, EVENT_OPEN, sizeof(EVENT_OPEN) - 1) != 0)
		return false;
	for (size_t i = 0; i < sizeof(stay) / sizeof(stay[0]); i++)
		if (len - at > strlen(stay[i]) && memcmp(line + at, stay[i], strlen(stay[i])) == 0)
			return false;
	return true;
}

/* The line at *at, without its end; false where no whole one is left. */
static bool next_line(const struct buf *b, size_t *at, const char **line, size_t *len)
{
	const char *end = *at < b->len ? memchr(b->p + *at, '\n', b->len - *at) : NULL;

	if (!end)
		return false;
	*line = (const char *)b->p + *at;
	*len = (size_t)(end - *line);
	*at += *len + 1;
	return true;
}

/* What here has and there has not, in here's order. */
static enum err_code lacking(const struct buf *here, const struct buf *there, struct buf *out,
			     struct err *e)
{
	struct keyset has = { 0 };
	const char *line;
	size_t at = 0, len;
	enum err_code rc = ERR_OK;

	while (!rc && next_line(there, &at, &line, &len))
		rc = keyset_add(&has, digest_xxh3(line, len), NULL, e);
	at = 0;
	while (!rc && next_line(here, &at, &line, &len)) {
		if (!travels(line, len) || keyset_has(&has, digest_xxh3(line, len)))
			continue;
		buf_add(out, line, len);
		buf_add_u8(out, '\n');
	}
	keyset_release(&has);
	return !rc && out->bad ? err_set(e, ERR_NOMEM, "lines of a log") : rc;
}

static enum err_code sync_log(struct sync *y, const char *name, struct err *e)
{
	struct buf here = BUF_INIT, there = BUF_INIT, more = BUF_INIT;
	struct err why = ERR_INIT;
	bool ended = false;
	enum err_code rc = record_get(y->s->backend, name, LOG_MAX, &here, &why);

	if (!rc) {
		rc = record_get(y->far->backend, name, LOG_MAX, &there, &why);
		if (rc == ERR_NOT_FOUND) {
			err_clear(&why);
			rc = ERR_OK;
		}
	}
	if (!rc)
		rc = lacking(&here, &there, &more, &why);
	if (!rc && more.len > 0) {
		rc = y->far->backend->ops->append(y->far->backend, name, more.p, more.len, &why);
		ended = rc != ERR_OK;
	}
	buf_release(&here);
	buf_release(&there);
	buf_release(&more);
	if (rc && (ended || is_fatal(rc))) {
		*e = why;
		return rc;
	}
	/* History: no reason not to have the rest. */
	if (rc && rc != ERR_NOT_FOUND)
		store_event(y->s, EVENT_WARNING, name, &why, "not copied");
	return ERR_OK;
}

enum err_code sync_logs(struct sync *y, struct err *e)
{
	struct buf names = BUF_INIT;
	enum err_code rc = list(y->s->backend, "log/", "", &names, e);

	for (size_t at = 0; at < names.len && !rc; at += strlen((char *)names.p + at) + 1)
		rc = sync_log(y, (char *)names.p + at, e);
	buf_release(&names);
	return rc;
}
