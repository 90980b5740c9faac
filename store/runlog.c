/* SPDX-License-Identifier: MIT */
/* The history: a line a run, appended, each with a check of its own. */
#include <jansson.h>
#include <stdio.h>

#include "store/base/buf.h"
#include "store/base/digest.h"
#include "store/base/hex.h"
#include "store/format/jsonrec.h"
#include "store/format/limits.h"
#include "store/internal.h"

#define CHECK_DIGITS	16	/* of the line's SHA-256: against rot, not against forgery */
#define CHECK_OPEN	",\"check\":\""
#define CHECK_LEN	(sizeof(CHECK_OPEN) - 1 + CHECK_DIGITS + 2)	/* and its closing "} */
#define LINE_OPEN	"{\"time\":\""
#define EVENT_OPEN	"\",\"event\":\""
#define READ_LEN	((size_t)256 << 10)

enum err_code runlog_append(struct store *s, const char *event, const char *json_members,
			    struct err *e)
{
	char now[TIME_TEXT_LEN + 1], name[64], short_id[9], hex[ID_HEX_LEN + 1];
	struct buf line = BUF_INIT;
	struct object_id check;
	uint8_t writer[16];
	enum err_code rc;

	if (json_members && strpbrk(json_members, "\r\n"))
		return err_set(e, ERR_USAGE, "a log line with a line break in it");
	rc = writer_identity(s, writer, NULL, e);
	if (rc)
		return rc;
	store_now(now);
	buf_printf(&line, "{\"time\":\"%s\",\"event\":\"%s\"", now, event);
	if (json_members && *json_members)
		buf_printf(&line, ",%s", json_members);
	if (!line.bad)
		digest_sha256(line.p, line.len, &check);
	if (line.bad) {
		rc = err_set(e, ERR_NOMEM, "a log line");
		goto out;
	}
	if (line.len > RUNLOG_LINE_MAX - CHECK_LEN) {
		rc = err_set(e, ERR_LIMIT, "a line of %zu bytes; %u are allowed", line.len,
			     RUNLOG_LINE_MAX);
		goto out;
	}
	buf_printf(&line, CHECK_OPEN "%.*s\"}\n", CHECK_DIGITS, id_hex(&check, hex));
	if (line.bad) {
		rc = err_set(e, ERR_NOMEM, "a log line");
		goto out;
	}
	hex_encode(writer, 4, short_id);
	(void)snprintf(name, sizeof(name), "log/%s-%.7s.ndjson", short_id, now);
	rc = s->backend->ops->append(s->backend, name, line.p, line.len, e);
out:
	buf_release(&line);
	if (rc)
		err_prefix(e, "log");
	return rc;
}

const char *runlog_str(const struct runlog_line *l, const char *key)
{
	return json_string_value(json_object_get(l->members, key));
}

bool runlog_u64(const struct runlog_line *l, const char *key, uint64_t *out)
{
	return jsonrec_u64(l->members, key, UINT64_MAX, out, NULL) == ERR_OK;
}

size_t runlog_nr(const struct runlog_line *l, const char *key)
{
	return json_array_size(json_object_get(l->members, key));
}

const char *runlog_item(const struct runlog_line *l, const char *key, size_t i)
{
	return json_string_value(json_array_get(json_object_get(l->members, key), i));
}

#define LOG_SUFFIX	".ndjson"
#define MONTH_LEN	7u	/* "2026-11" */

struct reading {
	const char *event;
	runlog_fn *fn;
	void *ctx;
	bool ended;		/* by fn, or for want of memory: not by the medium */
};

static bool check_ok(const uint8_t *line, size_t len)
{
	char hex[ID_HEX_LEN + 1];
	struct object_id check;
	const uint8_t *tail;

	if (len < CHECK_LEN)
		return false;
	tail = line + len - CHECK_LEN;
	if (memcmp(tail, CHECK_OPEN, sizeof(CHECK_OPEN) - 1) != 0)
		return false;
	digest_sha256(line, len - CHECK_LEN, &check);
	return memcmp(tail + sizeof(CHECK_OPEN) - 1, id_hex(&check, hex), CHECK_DIGITS) == 0;
}

/** Most lines are of another event, and need no parser to be passed over. */
static bool is_event(const uint8_t *line, size_t len, const char *event)
{
	const size_t at = sizeof(LINE_OPEN) - 1 + TIME_TEXT_LEN;
	char want[64];
	int n;

	if (!event)
		return true;
	n = snprintf(want, sizeof(want), EVENT_OPEN "%s\"", event);
	return n > 0 && (size_t)n < sizeof(want) && len > at + (size_t)n &&
	       memcmp(line + at, want, (size_t)n) == 0;
}

static enum err_code tell_line(struct reading *r, const uint8_t *line, size_t len,
			       struct err *e)
{
	struct runlog_line l = { .text = (const char *)line, .len = len };
	json_t *members = NULL;
	enum err_code rc;

	if (!is_event(line, len, r->event) || !check_ok(line, len))
		return ERR_OK;
	rc = jsonrec_load(line, len, RUNLOG_LINE_MAX, &members, e);
	if (rc == ERR_CORRUPT) {
		err_clear(e);
		return ERR_OK;
	}
	r->ended = rc != ERR_OK;
	if (rc)
		return rc;
	l.members = members;
	l.time = runlog_str(&l, "time");
	l.event = runlog_str(&l, "event");
	if (l.time && l.event && (!r->event || strcmp(l.event, r->event) == 0))
		rc = r->fn(r->ctx, &l, e);
	r->ended = rc != ERR_OK;
	json_decref(members);
	return rc;
}

/** A line whose end was lost has the next one right behind it: that begins where the last beginning is. */
static const uint8_t *whole_part(const uint8_t *line, size_t *len)
{
	const size_t n = sizeof(LINE_OPEN) - 1;

	for (size_t at = *len; at-- > 0;) {
		if (*len - at < n || memcmp(line + at, LINE_OPEN, n) != 0)
			continue;
		*len -= at;
		return line + at;
	}
	return line;
}

/** The whole lines at the beginning of b; what is left of an unfinished one stays. */
static enum err_code tell_lines(struct reading *r, struct buf *b, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t at = 0;

	while (!rc) {
		const uint8_t *line = b->p + at, *end = memchr(line, '\n', b->len - at);
		size_t len;

		if (!end)
			break;
		at += (size_t)(end - line) + 1;
		len = (size_t)(end - line);
		line = whole_part(line, &len);
		rc = tell_line(r, line, len, e);
	}
	/* Longer than any line that is written: nothing of it is believed. */
	if (b->len - at > RUNLOG_LINE_MAX)
		at = b->len;
	memmove(b->p, b->p + at, b->len - at);
	b->len -= at;
	return rc;
}

static enum err_code read_log(struct store *s, const char *name, struct reading *r,
			      struct err *e)
{
	struct buf b = BUF_INIT;
	enum err_code rc = ERR_OK;
	uint64_t off = 0;
	size_t n = 1;

	while (!rc && n > 0) {
		uint8_t *room = buf_room(&b, READ_LEN);

		if (!room) {
			rc = err_set(e, ERR_NOMEM, "%s", name);
			break;
		}
		rc = s->backend->ops->get(s->backend, name, off, room, READ_LEN, &n, e);
		if (rc)
			break;
		b.len += n;
		off += n;
		rc = tell_lines(r, &b, e);
	}
	buf_release(&b);
	return rc;
}

struct logs {
	struct buf names;		/* NUL after each */
	const char *since;		/* NULL: all */
};

/* "…-2026-07.ndjson" where since is later. */
static bool is_older(const char *name, size_t len, const char *since)
{
	const char *month;

	if (!since || len < sizeof(LOG_SUFFIX) + MONTH_LEN)
		return false;
	month = name + len - (sizeof(LOG_SUFFIX) - 1) - MONTH_LEN;
	if (month[-1] != '-' || month[4] != '-' || strspn(month, "0123456789-") != MONTH_LEN)
		return false;
	return strncmp(month, since, MONTH_LEN) < 0;
}

static bool add_log(void *ctx, const char *name, uint64_t size)
{
	const size_t end = sizeof(LOG_SUFFIX) - 1;
	size_t len = strlen(name);
	struct logs *l = ctx;

	(void)size;
	if (len > end && strcmp(name + len - end, LOG_SUFFIX) == 0 &&
	    !is_older(name, len, l->since))
		buf_add(&l->names, name, len + 1);
	return !l->names.bad;
}

enum err_code runlog_each(struct store *s, const char *event, runlog_fn *fn, void *ctx,
			  struct err *e)
{
	return runlog_each_since(s, NULL, event, fn, ctx, e);
}

enum err_code runlog_each_since(struct store *s, const char *since, const char *event,
				runlog_fn *fn, void *ctx, struct err *e)
{
	struct reading r = { event, fn, ctx, false };
	struct logs logs = { BUF_INIT, since };
	struct buf *names = &logs.names;
	enum err_code rc;

	rc = s->backend->ops->list(s->backend, "log/", false, add_log, &logs, e);
	if (!rc && names->bad)
		rc = err_set(e, ERR_NOMEM, "the names of the logs");
	for (size_t at = 0; !rc && at < names->len; at += strlen((char *)names->p + at) + 1) {
		rc = read_log(s, (char *)names->p + at, &r, e);
		/* What the medium does not give of one file is no reason to miss the others. */
		if ((rc == ERR_IO || rc == ERR_NOT_FOUND) && !r.ended) {
			store_event(s, EVENT_WARNING, (char *)names->p + at, e,
				    "not read to its end");
			err_clear(e);
			rc = ERR_OK;
		}
	}
	buf_release(names);
	if (rc)
		err_prefix(e, "log");
	return rc;
}
