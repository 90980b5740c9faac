/* SPDX-License-Identifier: MIT */
/*
 * A snapshot into a collection.  The server first stores an upload among its snapshots, in the place of one of the same
 * name, and leaves it there whatever comes of it: so each has a name of its own, and is deleted after.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "store/base/digest.h"
#include "store/base/hex.h"
#include "store/base/must.h"
#include "tools/components/qdrant.h"

struct sending {
	struct qdrant *q;
	const struct qdrant_source *from;
	const char *stage;
	uint64_t sent;
};

static enum err_code on_read(void *ctx, void *buf, size_t len, size_t *n, struct err *e)
{
	struct sending *s = ctx;
	enum err_code rc = s->from->read(s->from->ctx, buf, len, n, e);

	if (rc)
		return rc;
	s->sent += *n;
	component_progress(s->q->c, s->stage, s->sent, s->from->size);
	return ERR_OK;
}

static enum err_code upload_name(char out[64], struct err *e)
{
	uint8_t random[8];
	char hex[17];
	enum err_code rc = digest_random(random, sizeof(random), e);

	if (!rc)
		(void)snprintf(out, 64, QDRANT_UPLOAD "%s.snapshot", hex_encode(random, sizeof(random), hex));
	return rc;
}

/* Ours, and those of a restore that was killed. */
static enum err_code delete_uploads(struct qdrant *q, const char *collection, struct err *e)
{
	enum err_code rc;
	json_t *list = NULL, *o;
	size_t i;

	rc = qdrant_snapshots(q, QDRANT_CLEAR, collection, &list, e);
	json_array_foreach(list, i, o) {
		const char *name = json_string_value(json_object_get(o, "name"));

		if (!rc && qdrant_is_upload(name))
			rc = qdrant_delete_snapshot(q, collection, name, e);
	}
	json_decref(list);
	return rc;
}

/* Where there is no collection, the server finds no snapshots of it either: one is made for as long as that takes. */
static void clear_up(struct qdrant *q, const char *collection, const json_t *create)
{
	struct err e = ERR_INIT;
	enum err_code rc = delete_uploads(q, collection, &e);

	if (rc == ERR_NOT_FOUND) {
		rc = qdrant_do(q, QDRANT_CLEAR, "PUT", collection, "", json_deep_copy(create), NULL, &e);
		if (rc == ERR_OK) {
			rc = delete_uploads(q, collection, &e);
			if (qdrant_drop(q, QDRANT_CLEAR, collection, NULL))
				component_note(q->c, "the collection %s was made to clear up, and stays: delete it",
					       collection);
		}
	}
	if (rc)
		component_note(q->c, "uploads (" QDRANT_UPLOAD "*.snapshot) stay among the snapshots of %s, delete them: %s",
			       collection, e.msg);
}

enum err_code qdrant_upload(struct qdrant *q, const char *collection, const struct qdrant_source *from, const json_t *create,
			    struct err *e)
{
	struct sending s = { .q = q, .from = from, .stage = collection };
	struct http_request r = { .method = "POST", .read = on_read, .body_total = from->size, .ctx = &s,
				  .form_field = "snapshot", .idle_s = q->timeout };
	char name[64], tail[160], hex[ID_HEX_LEN + 1];
	struct http_answer a = { 0 };
	struct buf path = BUF_INIT;
	json_t *done = NULL;
	enum err_code rc;
	long status;		/* of the upload, not of what clears up after it */

	q->status = 0;
	rc = upload_name(name, e);
	if (rc)
		return rc;
	(void)snprintf(tail, sizeof(tail), "/snapshots/upload?priority=snapshot&wait=true%s%s",
		       from->sha256 ? "&checksum=" : "", from->sha256 ? id_hex(from->sha256, hex) : "");
	qdrant_path(&path, collection, tail);
	if (path.bad) {
		buf_release(&path);
		return err_set(e, ERR_NOMEM, "out of memory");
	}
	r.path = (const char *)path.p;
	r.form_name = name;
	rc = http_do(q->http, &r, &a, e);
	if (!rc) {
		q->status = a.status;
		rc = qdrant_parse(a.status, (const char *)a.body.p, a.body.len, &done, e);
		if (!rc && !json_is_true(done))
			rc = err_set(e, ERR_FAILED, "answered %ld, but not that it was taken", a.status);
	}
	rc = qdrant_tell(q, rc, "POST", r.path, e);
	status = q->status;
	if (rc && status == 0 && s.sent == from->size)
		component_note(q->c, "%s: the server has all of the snapshot, and may still take it: look before you go on",
			       collection);
	if (status != 401 && status != 403 && (rc != ERR_FAILED || status != 0))
		clear_up(q, collection, create);
	q->status = status;
	json_decref(done);
	http_answer_release(&a);
	buf_release(&path);
	return rc;
}

/* From one request into another: a thread downloads into a socket, from which the upload is read. */
struct relay {
	struct http *http;
	const char *path;
	int from, to;		/* ends of the socket: what was downloaded is read at from */
	enum err_code rc;	/* the thread's, after it has ended */
	struct err e;
};

static enum err_code into_socket(void *ctx, const void *buf, size_t len, struct err *e)
{
	struct relay *r = ctx;
	const char *p = buf;

	while (len > 0) {
		ssize_t n = send(r->to, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "hand on what was downloaded");
		p += n;
		len -= (size_t)n;
	}
	return ERR_OK;
}

static enum err_code from_socket(void *ctx, void *buf, size_t len, size_t *n, struct err *e)
{
	struct relay *r = ctx;
	ssize_t got;

	do
		got = recv(r->from, buf, len, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return err_sys(e, "take what was downloaded");
	*n = (size_t)got;
	return ERR_OK;
}

static void *download(void *arg)
{
	struct relay *r = arg;
	const struct http_request get = { .method = "GET", .path = r->path, .write = into_socket, .ctx = r };
	struct http_answer a = { 0 };

	r->rc = http_do(r->http, &get, &a, &r->e);
	if (!r->rc && a.status != 200)
		r->rc = err_set(&r->e, ERR_FAILED, "answered %ld", a.status);
	http_answer_release(&a);
	(void)shutdown(r->to, SHUT_RDWR);
	return NULL;
}

static enum err_code relay(struct qdrant *q, const char *collection, const char *temporary, const struct qdrant_snapshot *s,
			   const json_t *create, struct err *e)
{
	struct relay r = { .from = -1, .to = -1 };
	const struct qdrant_source source = { from_socket, &r, s->size, s->has_sha256 ? &s->sha256 : NULL };
	struct buf path = BUF_INIT;
	int pair[2] = { -1, -1 };
	pthread_t thread;
	enum err_code rc;

	qdrant_snapshot_path(&path, collection, s->name);
	r.path = (const char *)path.p;
	rc = path.bad ? err_set(e, ERR_NOMEM, "out of memory") : http_open(&q->options, &r.http, e);
	if (!rc && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		rc = err_sys(e, "socketpair");
	r.from = pair[0];
	r.to = pair[1];
	if (!rc && pthread_create(&thread, NULL, download, &r) != 0)
		rc = err_set(e, ERR_NOMEM, "no thread to download with");
	if (!rc) {
		rc = qdrant_upload(q, temporary, &source, create, e);
		(void)shutdown(r.from, SHUT_RDWR);
		must(pthread_join(thread, NULL));
		/* What broke first is the cause */
		if (rc && r.rc && r.e.sys != EPIPE) {
			rc = r.rc;
			if (e)
				*e = r.e;
		}
	}
	if (pair[0] >= 0)
		close(pair[0]);
	if (pair[1] >= 0)
		close(pair[1]);
	http_close(r.http);
	buf_release(&path);
	return rc;
}

enum err_code qdrant_verify_count(struct qdrant *q, const char *collection, const struct qdrant_snapshot *s,
				  const json_t *create, uint64_t *out, struct err *e)
{
	char *temporary = qdrant_target(q->temporary, collection);
	struct qdrant_names there = { 0 };
	enum err_code rc;

	if (!temporary)
		return err_set(e, ERR_NOMEM, "out of memory");
	rc = qdrant_collections(q, QDRANT_ASK, &there, e);
	if (!rc && qdrant_names_have(&there, temporary)) {
		component_note(q->c, "the temporary collection %s was left by an interrupted run: dropped", temporary);
		rc = qdrant_drop(q, QDRANT_WORK, temporary, e);
	}
	if (!rc) {
		rc = relay(q, collection, temporary, s, create, e);
		if (!rc)
			rc = qdrant_count(q, temporary, out, e);
		if (qdrant_drop(q, QDRANT_CLEAR, temporary, NULL))
			component_note(q->c, "the temporary collection %s stays on the server: delete it", temporary);
	}
	qdrant_names_release(&there);
	free(temporary);
	if (rc)
		err_prefix(e, "count what the snapshot of %s holds", collection);
	return rc;
}
