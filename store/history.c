/* SPDX-License-Identifier: MIT */
/* log/ is the truth; the index's view is made of it anew whenever log/ is not what it was made of. */
#include "store/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/base/array.h"
#include "store/base/digest.h"
#include "store/base/hex.h"
#include "store/format/isotime.h"
#include "store/format/snaprec.h"
#include "store/history_internal.h"

#define EVENT		"run"
#define NAME_MAX_LEN	64u		/* of a type, a component */
#define NAME_CHARS	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
#define ERROR_MAX	2000u		/* bytes of a message that are kept */
#define RUNS_MAX	((size_t)1 << 20)	/* lines that are remembered: 70 years of 40 components a day */
#define STAMP_LEN	48u
#define ISO_LEN		20u		/* "2026-11-21T02:00:00Z" */

/* Names, ids. */

static bool is_name(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len <= NAME_MAX_LEN && s[0] != '.' && strspn(s, NAME_CHARS) == len;
}

static bool digits(const char *s, size_t n)
{
	return strspn(s, "0123456789") >= n;
}

bool history_is_id(const char *s)
{
	size_t len = strlen(s);
	const char *tail;

	if (len < sizeof("x_20261121_020000") - 1 || len > BACKUP_ID_MAX || s[0] == '.' || strspn(s, NAME_CHARS) < len)
		return false;
	tail = s + len - 16;
	return tail[0] == '_' && digits(tail + 1, 8) && tail[9] == '_' && digits(tail + 10, 6);
}

/* A clock that no calendar knows is the beginning of time. */
static struct tm calendar(struct vtime t)
{
	time_t sec = (time_t)t.sec;
	struct tm tm;

	if (!gmtime_r(&sec, &tm) || tm.tm_year < -1899 || tm.tm_year > 9999 - 1900) {
		sec = 0;
		(void)gmtime_r(&sec, &tm);
	}
	return tm;
}

void history_id(char out[BACKUP_ID_MAX + 1], const char *type, const char *component, struct vtime t)
{
	struct tm tm = calendar(t);

	(void)snprintf(out, BACKUP_ID_MAX + 1, "%.*s%s%.*s_%04d%02d%02d_%02d%02d%02d", (int)NAME_MAX_LEN, type,
		       component ? "-" : "", (int)NAME_MAX_LEN, component ? component : "", tm.tm_year + 1900,
		       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Writing a line. */

/* How many bytes the UTF-8 character at s has; 0 where it is none. */
static size_t utf8_len(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong, a half of a pair, past the last. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* One line, valid UTF-8: a program's words may be anything. */
static void add_member(struct buf *b, const char *key, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	buf_printf(b, "%s\"%s\":\"", b->len ? "," : "", key);
	for (size_t i = 0, n; s[i] && i < ERROR_MAX; i += n ? n : 1) {
		n = utf8_len(s + i);
		if (n == 0)
			buf_add_str(b, "?");
		else if (s[i] < ' ' || s[i] == 0x7f)
			buf_add_str(b, " ");
		else
			buf_printf(b, "%s%.*s", s[i] == '"' || s[i] == '\\' ? "\\" : "", (int)n, (const char *)s + i);
	}
	buf_add_str(b, "\"");
}

static void encode_run(const struct history_run *r, struct buf *b)
{
	char text[ISOTIME_LEN + 1], hex[ID_HEX_LEN + 1];
	double ms = r->seconds > 0 && r->seconds < 1e12 ? r->seconds * 1000 : 0;

	add_member(b, "id", r->id);
	add_member(b, "type", r->type);
	add_member(b, "component", r->component);
	add_member(b, "began", isotime_encode(&r->time, text));
	add_member(b, "status", r->status);
	add_member(b, "snapshot", r->snapshot);
	if (r->has_checksum)
		add_member(b, "sha256", id_hex(&r->checksum, hex));
	buf_printf(b, ",\"bytes\":\"%llu\",\"ms\":%llu", (unsigned long long)r->bytes, (unsigned long long)ms);
	if (*r->error)
		add_member(b, "error", r->error);
	buf_add_u8(b, '\0');
}

/* Reading. */

static void run_free(struct history_run *r)
{
	free((char *)(uintptr_t)r->id);
}

void history_runs_release(struct history_runs *l)
{
	for (size_t i = 0; i < l->nr; i++)
		run_free(&l->all[i]);
	free(l->all);
	*l = (struct history_runs){ 0 };
}

/* All that is not as encode_run() writes it is passed over. */
static bool decode_run(const struct runlog_line *l, struct history_run *r)
{
	const char *began = runlog_str(l, "began"), *sum = runlog_str(l, "sha256"), *error = runlog_str(l, "error");
	uint64_t ms = 0;

	*r = (struct history_run){ .id = runlog_str(l, "id"), .type = runlog_str(l, "type"),
				   .component = runlog_str(l, "component"), .status = runlog_str(l, "status"),
				   .snapshot = runlog_str(l, "snapshot"), .error = error ? error : "" };
	if (!r->id || !history_is_id(r->id) || !r->type || !is_name(r->type) || !r->component ||
	    !is_name(r->component) || !r->status || !r->snapshot || !began || !isotime_decode(began, &r->time))
		return false;
	if (strcmp(r->status, "ok") != 0 && strcmp(r->status, "failed") != 0)
		return false;
	if (*r->snapshot && !snaprec_name_ok(r->snapshot))
		return false;
	r->has_checksum = sum && strlen(sum) == ID_HEX_LEN;
	if (sum && (!r->has_checksum || !hex_decode(sum, ID_HEX_LEN, r->checksum.b)))
		return false;
	if (!runlog_u64(l, "bytes", &r->bytes) || !runlog_u64(l, "ms", &ms))
		return false;
	r->seconds = (double)ms / 1000;
	return strlen(r->error) <= 4u * ERROR_MAX;
}

/* The strings into memory of their own; what would turn a terminal's head is taken out of the one that is free text. */
static bool keep(struct history_run *r)
{
	const char **const views[] = { &r->id, &r->type, &r->component, &r->status, &r->snapshot, &r->error };
	size_t len = 0;
	char *at;

	for (size_t i = 0; i < 6; i++)
		len += strlen(*views[i]) + 1;
	at = malloc(len);
	for (size_t i = 0; at && i < 6; i++) {
		size_t n = strlen(*views[i]) + 1;

		memcpy(at, *views[i], n);
		*views[i] = at;
		for (char *p = at; i == 5 && *p; p++)
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				*p = ' ';
		at += n;
	}
	return at;
}

static enum err_code on_run(void *ctx, const struct runlog_line *line, struct err *e)
{
	struct history_runs *l = ctx;
	struct history_run r, *more;

	if (l->nr == RUNS_MAX || !decode_run(line, &r))
		return ERR_OK;
	more = array_room(l->all, l->nr, &l->cap, sizeof(*more));
	if (more)
		l->all = more;
	if (!more || !keep(&r))
		return err_set(e, ERR_NOMEM, "%zu runs", l->nr);
	l->all[l->nr++] = r;
	return ERR_OK;
}

static int by_time(const void *pa, const void *pb)
{
	const struct history_run *a = pa, *b = pb;
	int c = vtime_cmp(a->time, b->time);

	return c ? c : strcmp(a->id, b->id);
}

static enum err_code runs_read(struct store *s, struct history_runs *l, struct err *e)
{
	enum err_code rc = runlog_each(s, EVENT, on_run, l, e);

	if (!rc && l->nr > 0)
		qsort(l->all, l->nr, sizeof(*l->all), by_time);
	return rc;
}

enum err_code history_runs_read(struct store *s, struct history_runs *out, struct err *e)
{
	struct history_runs l = { 0 };
	enum err_code rc;
	size_t kept = 0;

	history_refresh(s, false);
	rc = runs_read(s, &l, e);
	if (rc) {
		history_runs_release(&l);
		return rc;
	}
	for (size_t i = 0; i < l.nr; i++) {
		if (kept > 0 && by_time(&l.all[kept - 1], &l.all[i]) == 0)
			run_free(&l.all[i]);	/* a log that was copied under another name */
		else
			l.all[kept++] = l.all[i];
	}
	l.nr = kept;
	*out = l;
	return ERR_OK;
}

/* The index's view. */

struct stamp {
	uint64_t files, bytes, mix;
};

static bool add_file(void *ctx, const char *name, uint64_t size)
{
	struct stamp *st = ctx;
	struct object_id id;
	char text[300];
	int n = snprintf(text, sizeof(text), "%llu %s", (unsigned long long)size, name);

	digest_sha256(text, n > 0 && (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1, &id);
	st->files++;
	st->bytes += size;
	st->mix += id_key(&id);		/* a listing comes in any order */
	return true;
}

/* Log files only grow: their names and sizes say whether there is anything new. */
static enum err_code stamp_of(struct store *s, char out[STAMP_LEN], struct err *e)
{
	struct stamp st = { 0 };
	enum err_code rc = s->backend->ops->list(s->backend, "log/", true, add_file, &st, e);

	(void)snprintf(out, STAMP_LEN, "%llu %llu %016llx", (unsigned long long)st.files,
		       (unsigned long long)st.bytes, (unsigned long long)st.mix);
	return rc;
}

struct row_text {
	char time[80], checksum[ID_HEX_LEN + 1];
};

static enum err_code write_rows(struct store *s, const char *stamp, const struct history_runs *l, struct err *e)
{
	struct catalog_backup *rows = calloc(l->nr + 1, sizeof(*rows));
	struct row_text *texts = calloc(l->nr + 1, sizeof(*texts));
	enum err_code rc = ERR_OK;

	if (!rows || !texts)
		rc = err_set(e, ERR_NOMEM, "%zu runs", l->nr);
	for (size_t i = 0; i < l->nr && !rc; i++) {
		const struct history_run *r = &l->all[i];
		struct tm tm = calendar(r->time);

		(void)snprintf(texts[i].time, sizeof(texts[i].time), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
			       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
		if (r->has_checksum)
			id_hex(&r->checksum, texts[i].checksum);
		rows[i] = (struct catalog_backup){ .id = r->id, .type = r->type, .component = r->component,
						   .snapshot = r->snapshot, .status = r->status, .error = r->error,
						   .time = texts[i].time, .checksum = texts[i].checksum,
						   .bytes = r->bytes, .seconds = r->seconds };
	}
	if (!rc)
		rc = chunks_set_history(s->chunks, stamp, rows, l->nr, e);
	free(rows);
	free(texts);
	return rc;
}

void history_refresh(struct store *s, bool only_new)
{
	struct err e = ERR_INIT;
	struct history_runs l = { 0 };
	char stamp[STAMP_LEN];
	bool stale = false;
	enum err_code rc;

	rc = chunks_history_stale(s->chunks, NULL, &stale, &e);
	if (!rc && !stale && only_new)
		return;
	if (!rc)
		rc = stamp_of(s, stamp, &e);
	if (!rc)
		rc = chunks_history_stale(s->chunks, stamp, &stale, &e);
	if (!rc && stale)
		rc = runs_read(s, &l, &e);
	if (!rc && stale)
		rc = write_rows(s, stamp, &l, &e);
	if (rc && l.nr > 0)
		store_event(s, EVENT_WARNING, "index.db", &e, "its view backup_history is behind log/");
	history_runs_release(&l);
}

enum err_code history_add_run(struct store *s, const struct history_run *r, struct err *e)
{
	struct buf b = BUF_INIT;
	enum err_code rc = ERR_OK;

	if (!history_is_id(r->id) || !is_name(r->type) || !is_name(r->component))
		return err_set(e, ERR_USAGE, "\"%s\", \"%s\", \"%s\": no names for the history", r->id, r->type, r->component);
	encode_run(r, &b);
	rc = b.bad ? err_set(e, ERR_NOMEM, "the history") : runlog_append(s, EVENT, (const char *)b.p, e);
	buf_release(&b);
	if (!rc)
		history_refresh(s, false);
	return rc;
}
