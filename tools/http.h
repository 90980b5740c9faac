/* SPDX-License-Identifier: MIT */
/* One HTTP request after the other, by libcurl: bodies are streamed both ways, every length has a limit. */
#ifndef VOUCH_TOOLS_HTTP_H
#define VOUCH_TOOLS_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/buf.h"
#include "store/err.h"

struct http;	/* a connection that is kept; one thread at a time */

struct http_options {
	const char *base;		/* "http://127.0.0.1:6333", https too; no redirect is followed, no proxy asked */
	/* Secrets: never told in messages. */
	const char *header;		/* "api-key: ..." with every request; NULL: none */
	const char *user, *password;	/* NULL: none */
	unsigned connect_s, idle_s;	/* time-outs: to connect (0: 10), without a byte either way (0: 60) */
	const atomic_bool *cancel;	/* may be NULL */
};
MUST_CHECK enum err_code http_open(const struct http_options *o, struct http **out, struct err *e);
void http_close(struct http *h);	/* NULL is allowed */

struct http_request {
	const char *method;		/* "GET" */
	const char *path;		/* "/collections/docs", with its query, without '#'; percent-encoded */
	const char *const *headers;	/* NULL-terminated; NULL: none */
	const void *body;		/* body_len bytes; or read: */
	size_t body_len;
	/** The body, streamed: *n 0 is its end.  body_total: its length (another is ERR_IO), UINT64_MAX: unknown. */
	enum err_code (*read)(void *ctx, void *buf, size_t len, size_t *n, struct err *e);
	uint64_t body_total;
	const char *form_field, *form_name;	/* the body as one file of multipart/form-data; NULL: as it is */
	/** Of an answer with status 2xx: as it comes; NULL: gathered. */
	enum err_code (*write)(void *ctx, const void *buf, size_t len, struct err *e);
	void *ctx;
	size_t max;			/* of what is gathered; 0: 16 MiB */
	unsigned idle_s;		/* 0: as in http_options */
};

struct http_answer {
	long status;			/* 200 */
	struct buf body;		/* gathered; NUL-terminated after body.len */
};
void http_answer_release(struct http_answer *a);

/**
 * ERR_ABSENT: nobody answers there.  ERR_IO: the answer broke off or was shorter than declared, or no byte for idle_s.
 * ERR_LIMIT, ERR_CANCELED, ERR_USAGE (a path or header that is none); the callbacks' own.  Any status is ERR_OK, a
 * redirect too; what is not 2xx is gathered, never given to write.
 */
MUST_CHECK enum err_code http_do(struct http *h, const struct http_request *r, struct http_answer *out, struct err *e);

/** Append text percent-encoded, for a piece of a path or query. */
void http_escape(struct buf *out, const char *text);

#endif
