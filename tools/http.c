/* SPDX-License-Identifier: MIT */
/*
 * Redirects are not followed and proxies of the environment are not asked: the key goes to the place configured and to no
 * other.  The idle time is measured here: libcurl's low-speed limit would count the time that our callbacks take.
 */
#include "tools/http.h"

#include <assert.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/base/checked.h"
#include "store/base/must.h"

#define GATHER_MAX ((size_t)16 << 20)
#define CONNECT_S 10u
#define IDLE_S 60u

struct http {
	CURL *easy;
	char *base;			/* without '/' at its end */
	char *header, *user, *password;	/* secrets */
	unsigned connect_s, idle_s;
	const atomic_bool *cancel;
	char text[CURL_ERROR_SIZE];	/* libcurl's words for the last failure */
};

/* One http_do(): what the callbacks share. */
struct transfer {
	struct http *h;
	const struct http_request *r;
	struct http_answer answer;
	uint64_t sent, got;
	curl_off_t up, down;		/* as last seen by on_progress() */
	struct timespec moved;		/* when a byte last went either way */
	unsigned idle_s;
	struct err cause;		/* why a callback ended it; code 0: none did */
	struct curl_slist *headers;
	curl_mime *form;
};

static void global_init(void)
{
	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		abort();		/* out of memory before anything was begun */
}

static void clear(char **secret)
{
	if (*secret)
		explicit_bzero(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
}

static bool copy(const char *from, char **to)
{
	return !from || (*to = strdup(from));
}

/* A header or a piece of the first line: a line break in it would begin another. */
static bool one_line(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || (unsigned char)*s == 0x7f)
			return false;
	return true;
}

/* The address alone: no name and password in it, which would be told in messages, and nothing after its path. */
static enum err_code check_base(const char *base, struct err *e)
{
	static const CURLUPart no[] = { CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT };
	enum err_code rc = ERR_OK;
	CURLU *u = curl_url();
	char *part = NULL;

	if (!u)
		return err_set(e, ERR_NOMEM, "out of memory");
	if (curl_url_set(u, CURLUPART_URL, base, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_SCHEME, &part, 0) != CURLUE_OK) {
		rc = err_set(e, ERR_USAGE, "not an address: give http://HOST:PORT or https://HOST:PORT");
	} else if (strcmp(part, "http") != 0 && strcmp(part, "https") != 0) {
		rc = err_set(e, ERR_USAGE, "%s:// is not spoken here: give http://HOST:PORT or https://HOST:PORT", part);
	}
	curl_free(part);
	for (size_t i = 0; !rc && i < ARRAY_LEN(no); i++) {
		part = NULL;
		if (curl_url_get(u, no[i], &part, 0) == CURLUE_OK) {
			rc = err_set(e, ERR_USAGE,
				     "an address with a user, password, query or fragment: give http://HOST:PORT alone");
			explicit_bzero(part, strlen(part));
		}
		curl_free(part);
	}
	curl_url_cleanup(u);
	return rc;
}

enum err_code http_open(const struct http_options *o, struct http **out, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	enum err_code rc;
	struct http *h;
	size_t len;

	must(pthread_once(&once, global_init));
	rc = check_base(o->base, e);
	if (rc)
		return rc;
	if (o->header && (!one_line(o->header) || !strchr(o->header, ':')))
		return err_set(e, ERR_USAGE, "a secret with a line break or another control character in it");
	h = calloc(1, sizeof(*h));
	if (!h)
		return err_set(e, ERR_NOMEM, "out of memory");
	h->connect_s = o->connect_s > 0 ? o->connect_s : CONNECT_S;
	h->idle_s = o->idle_s > 0 ? o->idle_s : IDLE_S;
	h->cancel = o->cancel;
	h->easy = curl_easy_init();
	if (!h->easy || !copy(o->base, &h->base) || !copy(o->header, &h->header) || !copy(o->user, &h->user) ||
	    !copy(o->password, &h->password)) {
		http_close(h);
		return err_set(e, ERR_NOMEM, "out of memory");
	}
	for (len = strlen(h->base); len > 0 && h->base[len - 1] == '/'; len--)
		h->base[len - 1] = '\0';
	*out = h;
	return ERR_OK;
}

void http_close(struct http *h)
{
	if (!h)
		return;
	curl_easy_cleanup(h->easy);
	free(h->base);
	clear(&h->header);
	clear(&h->user);
	clear(&h->password);
	free(h);
}

void http_answer_release(struct http_answer *a)
{
	buf_release(&a->body);
	*a = (struct http_answer){ 0 };
}

void http_escape(struct buf *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~", c))
			buf_add_u8(out, c);
		else
			buf_printf(out, "%%%02X", c);
	}
}

static void touch(struct transfer *t)
{
	must(clock_gettime(CLOCK_MONOTONIC, &t->moved));
}

static bool canceled(struct transfer *t)
{
	if (!t->h->cancel || !atomic_load(t->h->cancel))
		return false;
	if (!t->cause.code)
		(void)err_set(&t->cause, ERR_CANCELED, "stopped on request");
	return true;
}

static enum err_code wrong_length(const struct transfer *t, struct err *e)
{
	return err_set(e, ERR_IO, "what was to be sent has %s%llu bytes, not %llu",
		       t->sent > t->r->body_total ? "at least " : "", (unsigned long long)t->sent,
		       (unsigned long long)t->r->body_total);
}

static size_t on_read(char *p, size_t size, size_t nr, void *ctx)
{
	struct transfer *t = ctx;
	size_t len, n = 0;

	if (canceled(t) || mul_size(size, nr, &len))
		return CURL_READFUNC_ABORT;
	if (t->r->read(t->r->ctx, p, len, &n, &t->cause)) {
		if (!t->cause.code)
			(void)err_set(&t->cause, ERR_FAILED, "what was to be sent could not be read");
		return CURL_READFUNC_ABORT;
	}
	assert(n <= len);
	touch(t);
	t->sent += n;
	if (t->r->body_total == UINT64_MAX || (n > 0 ? t->sent <= t->r->body_total : t->sent == t->r->body_total))
		return n;
	(void)wrong_length(t, &t->cause);
	return CURL_READFUNC_ABORT;
}

static size_t gather(struct transfer *t, const char *p, size_t len)
{
	size_t max = t->r->max > 0 ? t->r->max : GATHER_MAX;
	struct buf *b = &t->answer.body;

	if (len > max - b->len) {
		(void)err_set(&t->cause, ERR_LIMIT, "an answer of more than %zu bytes", max);
		return 0;
	}
	buf_add(b, p, len);
	if (!b->bad)
		return len;
	(void)err_set(&t->cause, ERR_NOMEM, "out of memory");
	return 0;
}

static size_t on_write(char *p, size_t size, size_t nr, void *ctx)
{
	struct transfer *t = ctx;
	long status = 0;
	size_t len;

	if (canceled(t) || mul_size(size, nr, &len) || len == 0)
		return 0;
	t->got += len;
	touch(t);
	if (curl_easy_getinfo(t->h->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK || !t->r->write || status / 100 != 2)
		return gather(t, p, len);
	if (!t->r->write(t->r->ctx, p, len, &t->cause)) {
		touch(t);	/* the time that it took was ours */
		return len;
	}
	if (!t->cause.code)
		(void)err_set(&t->cause, ERR_FAILED, "what came could not be kept");
	return 0;
}

/* About once a second where nothing moves. */
static int on_progress(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct transfer *t = ctx;
	struct timespec now;

	(void)down_total;
	(void)up_total;
	if (canceled(t))
		return 1;
	if (down != t->down || up != t->up) {
		t->down = down;
		t->up = up;
		touch(t);
		return 0;
	}
	must(clock_gettime(CLOCK_MONOTONIC, &now));
	if (now.tv_sec - t->moved.tv_sec <= (time_t)t->idle_s)
		return 0;
	(void)err_set(&t->cause, ERR_IO, "no byte for %u seconds, either way", t->idle_s);
	return 1;
}

/* So that the checks of all options are one. */
#define SET(ok, easy, option, value) ((ok) = curl_easy_setopt((easy), (option), (value)) == CURLE_OK && (ok))

static enum err_code add_header(struct transfer *t, const char *line, struct err *e)
{
	struct curl_slist *l;

	if (!one_line(line))
		return err_set(e, ERR_USAGE, "a header with a control character in it");
	l = curl_slist_append(t->headers, line);
	if (!l)
		return err_set(e, ERR_NOMEM, "out of memory");
	t->headers = l;
	return ERR_OK;
}

static enum err_code set_headers(struct transfer *t, struct err *e)
{
	const char *const *more = t->r->headers;
	enum err_code rc = ERR_OK;
	bool typed = t->r->form_field != NULL;

	if (t->h->header)
		rc = add_header(t, t->h->header, e);
	for (; !rc && more && *more; more++) {
		if (strncasecmp(*more, "content-type:", 13) == 0)
			typed = true;
		rc = add_header(t, *more, e);
	}
	/* Else libcurl would call a body a form */
	if (!rc && !typed)
		rc = add_header(t, "Content-Type:", e);
	return rc;
}

static enum err_code set_form(struct transfer *t, struct err *e)
{
	const struct http_request *r = t->r;
	curl_mimepart *part;
	bool ok;

	t->form = curl_mime_init(t->h->easy);
	part = t->form ? curl_mime_addpart(t->form) : NULL;
	if (!part)
		return err_set(e, ERR_NOMEM, "out of memory");
	ok = curl_mime_name(part, r->form_field) == CURLE_OK && curl_mime_type(part, "application/octet-stream") == CURLE_OK;
	if (ok && r->read)
		ok = curl_mime_data_cb(part, r->body_total == UINT64_MAX ? -1 : (curl_off_t)r->body_total, on_read, NULL,
				       NULL, t) == CURLE_OK;
	else if (ok)
		ok = curl_mime_data(part, r->body, r->body_len) == CURLE_OK;
	ok = ok && (!r->form_name || curl_mime_filename(part, r->form_name) == CURLE_OK);
	SET(ok, t->h->easy, CURLOPT_MIMEPOST, t->form);
	return ok ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

static enum err_code set_body(struct transfer *t, struct err *e)
{
	const struct http_request *r = t->r;
	CURL *c = t->h->easy;
	curl_off_t total = r->body_total == UINT64_MAX ? -1 : (curl_off_t)r->body_total;
	bool ok = true;

	if (r->read && total < -1)
		return err_set(e, ERR_LIMIT, "a body of %llu bytes", (unsigned long long)r->body_total);
	if (r->form_field)
		return set_form(t, e);
	if (r->read) {
		SET(ok, c, CURLOPT_UPLOAD, 1L);
		SET(ok, c, CURLOPT_READFUNCTION, on_read);
		SET(ok, c, CURLOPT_READDATA, (void *)t);
		SET(ok, c, CURLOPT_INFILESIZE_LARGE, total);
	} else if (r->body || strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0) {
		SET(ok, c, CURLOPT_POSTFIELDS, r->body ? r->body : "");
		SET(ok, c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(r->body ? r->body_len : 0));
	} else if (strcmp(r->method, "HEAD") == 0) {
		SET(ok, c, CURLOPT_NOBODY, 1L);
	}
	return ok ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

static enum err_code prepare(struct transfer *t, struct err *e)
{
	struct http *h = t->h;
	struct buf url = BUF_INIT;
	CURL *c = h->easy;
	enum err_code rc;
	bool ok = true;

	curl_easy_reset(c);		/* keeps the connection */
	h->text[0] = '\0';
	/* What follows a '#' is never sent: the path asked for would be another than the one that was looked at */
	if (t->r->path[0] != '/' || !one_line(t->r->path) || strchr(t->r->path, '#'))
		return err_set(e, ERR_USAGE, "not a path of HTTP");
	buf_printf(&url, "%s%s", h->base, t->r->path);
	buf_add_u8(&url, 0);
	ok = !url.bad;
	if (ok)
		SET(ok, c, CURLOPT_URL, (const char *)url.p);
	buf_release(&url);
	SET(ok, c, CURLOPT_PROTOCOLS_STR, "http,https");
	SET(ok, c, CURLOPT_FOLLOWLOCATION, 0L);
	SET(ok, c, CURLOPT_PROXY, "");
	SET(ok, c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(ok, c, CURLOPT_NOSIGNAL, 1L);
	SET(ok, c, CURLOPT_PATH_AS_IS, 1L);
	SET(ok, c, CURLOPT_USERAGENT, "vouch/" VOUCH_VERSION);
	SET(ok, c, CURLOPT_ERRORBUFFER, h->text);
	SET(ok, c, CURLOPT_CONNECTTIMEOUT, (long)h->connect_s);
	SET(ok, c, CURLOPT_CUSTOMREQUEST, t->r->method);
	/* A request on a kept connection that has just ended is sent again by libcurl: not one that changes something */
	SET(ok, c, CURLOPT_FRESH_CONNECT, strcmp(t->r->method, "GET") == 0 ? 0L : 1L);
	SET(ok, c, CURLOPT_WRITEFUNCTION, on_write);
	SET(ok, c, CURLOPT_WRITEDATA, (void *)t);
	SET(ok, c, CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(ok, c, CURLOPT_XFERINFODATA, (void *)t);
	SET(ok, c, CURLOPT_NOPROGRESS, 0L);
	if (h->user)
		SET(ok, c, CURLOPT_USERNAME, h->user);
	if (h->password)
		SET(ok, c, CURLOPT_PASSWORD, h->password);
	rc = ok ? set_headers(t, e) : err_set(e, ERR_NOMEM, "out of memory");
	if (!rc)
		rc = set_body(t, e);
	SET(ok, c, CURLOPT_HTTPHEADER, t->headers);
	return rc || ok ? rc : err_set(e, ERR_NOMEM, "out of memory");
}

/* libcurl's verdict as one that a caller can act on. */
static enum err_code judge(struct transfer *t, CURLcode code, struct err *e)
{
	const char *text = t->h->text[0] != '\0' ? t->h->text : curl_easy_strerror(code);
	curl_off_t connected = 0;
	long sys = 0;

	(void)curl_easy_getinfo(t->h->easy, CURLINFO_CONNECT_TIME_T, &connected);
	(void)curl_easy_getinfo(t->h->easy, CURLINFO_OS_ERRNO, &sys);
	switch (code) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
		return err_set(e, ERR_ABSENT, "nobody answers there: %s", text);
	case CURLE_OPERATION_TIMEDOUT:
		if (connected == 0)
			return err_set(e, ERR_ABSENT, "nobody answers there: %s", text);
		break;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
		return err_set(e, ERR_FAILED, "no secure connection: %s", text);
	case CURLE_OUT_OF_MEMORY:
		return err_set(e, ERR_NOMEM, "out of memory");
	case CURLE_PARTIAL_FILE:
		(void)err_set(e, ERR_IO, "the answer broke off after %llu bytes: %s", (unsigned long long)t->got, text);
		return ERR_IO;
	default:
		break;
	}
	(void)err_set(e, ERR_IO, "%s", text);
	if (e)
		e->sys = (int)sys;
	return ERR_IO;
}

/* libcurl asks for no more than the length that was declared. */
static enum err_code all_sent(struct transfer *t, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t n = 0;
	char more;

	if (!t->r->read || t->r->body_total == UINT64_MAX || t->answer.status / 100 != 2)
		return ERR_OK;
	if (t->sent == t->r->body_total)
		rc = t->r->read(t->r->ctx, &more, 1, &n, e);
	t->sent += n;
	return rc || t->sent == t->r->body_total ? rc : wrong_length(t, e);
}

static enum err_code take_answer(struct transfer *t, struct err *e)
{
	struct http_answer *a = &t->answer;

	if (curl_easy_getinfo(t->h->easy, CURLINFO_RESPONSE_CODE, &a->status) != CURLE_OK || a->status == 0)
		return err_set(e, ERR_IO, "an answer without a status");
	buf_add_u8(&a->body, 0);
	if (a->body.bad)
		return err_set(e, ERR_NOMEM, "out of memory");
	a->body.len--;
	return all_sent(t, e);
}

enum err_code http_do(struct http *h, const struct http_request *r, struct http_answer *out, struct err *e)
{
	struct transfer t = { .h = h, .r = r, .idle_s = r->idle_s > 0 ? r->idle_s : h->idle_s };
	enum err_code rc;
	CURLcode code;

	touch(&t);
	rc = prepare(&t, e);
	if (rc)
		goto out;
	code = curl_easy_perform(h->easy);
	if (t.cause.code) {
		if (e)
			*e = t.cause;
		rc = t.cause.code;
	} else if (code != CURLE_OK) {
		rc = judge(&t, code, e);
	} else {
		rc = take_answer(&t, e);
	}
	if (!rc) {
		*out = t.answer;
		t.answer = (struct http_answer){ 0 };
	}
out:
	curl_easy_reset(h->easy);
	curl_slist_free_all(t.headers);
	curl_mime_free(t.form);
	http_answer_release(&t.answer);
	if (rc)
		err_prefix(e, "%s %s%.*s", r->method, h->base, (int)strcspn(r->path, "?"), r->path);
	return rc;
}
