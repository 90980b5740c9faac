/* SPDX-License-Identifier: MIT */
/* HTTP against a server of this file's own, a thread that answers with the bytes it was given: whole, cut or not at all. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/http.c"

static struct server {
	int fd, wake[2];
	char base[64];
	pthread_t thread;
	pthread_mutex_t lock;		/* all below */
	const char *reply;		/* bytes of the next answer; of each connection one */
	size_t send_only;		/* of reply; 0: all */
	bool hang;			/* the connection stays open after that */
	atomic_bool *stop;		/* set once a request is here; may be NULL */
	char *seen;			/* the last request; malloc'ed */
	size_t seen_len;
	unsigned nr;			/* requests */
} srv;

static bool whole(const char *p, size_t len)
{
	const char *end = memmem(p, len, "\r\n\r\n", 4), *l;

	if (!end)
		return false;
	l = memmem(p, (size_t)(end - p) + 4, "Content-Length: ", 16);
	if (l)
		return len >= (size_t)(end - p) + 4 + strtoul(l + 16, NULL, 10);
	if (memmem(p, (size_t)(end - p), "chunked", 7))
		return memmem(end, len - (size_t)(end - p), "\r\n0\r\n\r\n", 7) != NULL;
	return true;
}

/* Serve one connection. */
static void serve(int c)
{
	size_t len = 0, cap = (size_t)8 << 20;
	char *p = malloc(cap);
	bool told = false, hang;
	ssize_t n;

	while (!whole(p, len) && len < cap) {
		n = recv(c, p + len, cap - len, 0);
		if (n <= 0)
			break;
		len += (size_t)n;
		if (!told && memmem(p, len, "100-continue", 12)) {
			told = true;
			assert(send(c, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL) == 25);
		}
	}
	must(pthread_mutex_lock(&srv.lock));
	free(srv.seen);
	srv.seen = p;
	srv.seen_len = len;
	srv.nr++;
	hang = srv.hang;
	if (srv.stop)
		atomic_store(srv.stop, true);
	n = send(c, srv.reply, srv.send_only > 0 ? srv.send_only : strlen(srv.reply), MSG_NOSIGNAL);
	must(pthread_mutex_unlock(&srv.lock));
	if (hang) {
		struct pollfd both[2] = { { c, POLLRDHUP, 0 }, { srv.wake[0], POLLIN, 0 } };

		(void)poll(both, 2, 20000);
	}
	(void)shutdown(c, SHUT_WR);
	close(c);
}

static void *run(void *arg)
{
	struct pollfd both[2] = { { srv.fd, POLLIN, 0 }, { srv.wake[0], POLLIN, 0 } };

	(void)arg;
	while (poll(both, 2, -1) > 0 && !(both[1].revents & POLLIN)) {
		int c = accept(srv.fd, NULL, NULL);

		if (c >= 0)
			serve(c);
	}
	return NULL;
}

static int start(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	(void)state;
	must(pthread_mutex_init(&srv.lock, NULL));
	srv.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (srv.fd < 0 || pipe(srv.wake) < 0 || bind(srv.fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(srv.fd, 8) < 0 || getsockname(srv.fd, (struct sockaddr *)&a, &len) < 0)
		return -1;
	(void)snprintf(srv.base, sizeof(srv.base), "http://127.0.0.1:%u", ntohs(a.sin_port));
	must(pthread_create(&srv.thread, NULL, run, NULL));
	return 0;
}

static int stop(void **state)
{
	(void)state;
	assert_int_equal(write(srv.wake[1], "x", 1), 1);
	must(pthread_join(srv.thread, NULL));
	close(srv.fd);
	close(srv.wake[0]);
	close(srv.wake[1]);
	free(srv.seen);
	return 0;
}

static void answer_with(const char *reply, size_t send_only, bool hang)
{
	must(pthread_mutex_lock(&srv.lock));
	srv.reply = reply;
	srv.send_only = send_only;
	srv.hang = hang;
	must(pthread_mutex_unlock(&srv.lock));
}

static bool seen(const char *what)
{
	bool yes;

	must(pthread_mutex_lock(&srv.lock));
	yes = memmem(srv.seen, srv.seen_len, what, strlen(what)) != NULL;
	must(pthread_mutex_unlock(&srv.lock));
	return yes;
}

static unsigned requests(void)
{
	unsigned nr;

	must(pthread_mutex_lock(&srv.lock));
	nr = srv.nr;
	must(pthread_mutex_unlock(&srv.lock));
	return nr;
}

static struct http *client(const char *header, unsigned idle_s, const atomic_bool *cancel)
{
	struct http_options o = { .base = srv.base, .header = header, .idle_s = idle_s, .cancel = cancel };
	struct err e = ERR_INIT;
	struct http *h = NULL;

	assert_int_equal(http_open(&o, &h, &e), ERR_OK);
	return h;
}

#define OK_200(text, len) \
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " len "\r\nConnection: close\r\n\r\n" text

static const struct row {
	const char *name, *reply;
	size_t send_only;
	bool hang;
	size_t max;
	enum err_code want;
	long status;
	const char *text;	/* the body, or a piece of the message */
} rows[] = {
	{ "whole", OK_200("hello", "5"), 0, false, 0, ERR_OK, 200, "hello" },
	{ "empty", OK_200("", "0"), 0, false, 0, ERR_OK, 200, "" },
	{ "chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 0, false, 0, ERR_OK,
	  200, "abcde" },
	{ "chunked, broken off", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nd", 0, false, 0, ERR_IO, 0,
	  "" },
	{ "shorter than declared", OK_200("hel", "5"), 0, false, 0, ERR_IO, 0, "broke off after 3 bytes" },
	{ "refused", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", 0, false, 0, ERR_OK, 401, "no" },
	{ "broken", "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno", 0, false, 0, ERR_OK, 500, "no" },
	{ "elsewhere", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 0, false, 0, ERR_OK, 302,
	  "" },
	{ "at the limit", OK_200("hello", "5"), 0, false, 5, ERR_OK, 200, "hello" },
	{ "over the limit", OK_200("hello", "5"), 0, false, 4, ERR_LIMIT, 0, "more than 4 bytes" },
	{ "not HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", 0, false, 0, ERR_IO, 0, "HTTP/0.9" },
	{ "nothing", "", 0, false, 0, ERR_IO, 0, "Empty reply" },
	{ "hangs before it", "", 0, true, 0, ERR_IO, 0, "no byte for 1 seconds" },
	{ "hangs within it", OK_200("hello", "5"), 85, true, 0, ERR_IO, 0, "no byte for 1 seconds" },
};

static void test_row(void **state)
{
	const struct http_request r = { .method = "GET", .path = "/a?key=hidden", .max = ((const struct row *)*state)->max };
	struct http *h = client(NULL, 1, NULL);
	const struct row *t = *state;
	struct http_answer a = { 0 };
	struct err e = ERR_INIT;

	answer_with(t->reply, t->send_only, t->hang);
	assert_int_equal(http_do(h, &r, &a, &e), t->want);
	if (t->want == ERR_OK) {
		assert_int_equal(a.status, t->status);
		assert_string_equal((char *)a.body.p, t->text);
		assert_int_equal(a.body.len, strlen(t->text));
	} else {
		assert_non_null(strstr(e.msg, t->text));
		assert_non_null(strstr(e.msg, "GET http://127.0.0.1:"));
		assert_null(strstr(e.msg, "hidden"));
	}
	http_answer_release(&a);
	http_close(h);
}

static void test_request(void **state)
{
	struct http_request r = { .method = "GET", .path = "/a" };
	struct http *h = client("api-key: s3cret", 0, NULL);
	struct http_answer a = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	answer_with(OK_200("hello", "5"), 0, false);
	assert_int_equal(http_do(h, &r, &a, &e), ERR_OK);
	assert_true(seen("GET /a HTTP/1.1\r\n"));
	assert_true(seen("api-key: s3cret\r\n"));
	http_answer_release(&a);
	/* What would be asked for is /delete */
	r.path = "/delete#/count";
	assert_int_equal(http_do(h, &r, &a, &e), ERR_USAGE);
	assert_false(seen("/delete"));
	http_close(h);
}

struct source {
	size_t left, step;
	enum err_code fail;		/* at the end, instead of it */
	struct buf got;
};

static enum err_code give(void *ctx, void *buf, size_t len, size_t *n, struct err *e)
{
	struct source *s = ctx;

	*n = s->left < len ? s->left : len;
	if (*n > s->step)
		*n = s->step;
	if (*n == 0 && s->fail)
		return err_set(e, s->fail, "the source broke");
	memset(buf, 'x', *n);
	s->left -= *n;
	return ERR_OK;
}

static enum err_code take(void *ctx, const void *buf, size_t len, struct err *e)
{
	struct source *s = ctx;

	if (s->fail)
		return err_set(e, s->fail, "no room");
	buf_add(&s->got, buf, len);
	return ERR_OK;
}

static const struct up {
	const char *name;
	size_t len;
	uint64_t total;
	const char *field, *reply;
	enum err_code fail, want;
	const char *expect;		/* in the request */
} ups[] = {
	{ "length known", 300000, 300000, NULL, OK_200("k", "1"), ERR_OK, ERR_OK, "Content-Length: 300000\r\n" },
	{ "length unknown", 300000, UINT64_MAX, NULL, OK_200("k", "1"), ERR_OK, ERR_OK, "Transfer-Encoding: chunked\r\n" },
	{ "form", 300000, 300000, "snapshot", OK_200("k", "1"), ERR_OK, ERR_OK,
	  "Content-Disposition: form-data; name=\"snapshot\"; filename=\"a.snapshot\"\r\n"
	  "Content-Type: application/octet-stream\r\n" },
	{ "form, length unknown", 300000, UINT64_MAX, "snapshot", OK_200("k", "1"), ERR_OK, ERR_OK, "name=\"snapshot\"" },
	{ "form, nothing", 0, 0, "snapshot", OK_200("k", "1"), ERR_OK, ERR_OK, "name=\"snapshot\"" },
	{ "shorter than declared", 1000, 2000, "snapshot", OK_200("k", "1"), ERR_OK, ERR_IO, NULL },
	{ "longer than declared", 200000, 100000, "snapshot", OK_200("k", "1"), ERR_OK, ERR_IO, NULL },
	{ "source fails", 1000, UINT64_MAX, "snapshot", OK_200("k", "1"), ERR_CORRUPT, ERR_CORRUPT, NULL },
	{ "source fails, length known", 1000, 2000, NULL, OK_200("k", "1"), ERR_CORRUPT, ERR_CORRUPT, NULL },
};

static void test_up(void **state)
{
	const struct up *t = *state;
	struct source s = { .left = t->len, .step = 10000, .fail = t->fail };
	const struct http_request r = { .method = "POST", .path = "/up", .read = give, .body_total = t->total, .ctx = &s,
					.form_field = t->field, .form_name = "a.snapshot" };
	struct http *h = client(NULL, 5, NULL);
	struct http_answer a = { 0 };
	struct err e = ERR_INIT;

	answer_with(t->reply, 0, false);
	assert_int_equal(http_do(h, &r, &a, &e), t->want);
	if (t->expect) {
		assert_true(seen("POST /up HTTP/1.1\r\n"));
		assert_true(seen(t->expect));
		assert_int_equal(s.left, 0);
	}
	if (t->fail)
		assert_non_null(strstr(e.msg, "the source broke"));
	http_answer_release(&a);
	http_close(h);
}

static void test_down(void **state)
{
	struct source s = { .fail = ERR_OK };
	struct http_request r = { .method = "GET", .path = "/x", .write = take, .ctx = &s };
	struct http *h = client(NULL, 5, NULL);
	struct http_answer a = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	answer_with(OK_200("hello", "5"), 0, false);
	assert_int_equal(http_do(h, &r, &a, &e), ERR_OK);
	assert_int_equal(s.got.len, 5);
	assert_int_equal(a.body.len, 0);
	http_answer_release(&a);
	/* An error's text is not content */
	answer_with("HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nnone", 0, false);
	assert_int_equal(http_do(h, &r, &a, &e), ERR_OK);
	assert_int_equal(s.got.len, 5);
	assert_string_equal((char *)a.body.p, "none");
	http_answer_release(&a);
	s.fail = ERR_LIMIT;
	answer_with(OK_200("hello", "5"), 0, false);
	assert_int_equal(http_do(h, &r, &a, &e), ERR_LIMIT);
	assert_non_null(strstr(e.msg, "no room"));
	buf_release(&s.got);
	http_close(h);
}

/* A body in memory; an answer before all of the body was read. */
static void test_bodies(void **state)
{
	const char *json[] = { "Content-Type: application/json", NULL };
	struct http_request r = { .method = "POST", .path = "/j", .headers = json, .body = "{}", .body_len = 2 };
	struct http *h = client(NULL, 5, NULL);
	struct http_answer a = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	answer_with(OK_200("k", "1"), 0, false);
	assert_int_equal(http_do(h, &r, &a, &e), ERR_OK);
	assert_true(seen("Content-Type: application/json\r\n"));
	assert_true(seen("\r\n\r\n{}"));
	http_answer_release(&a);
	r = (struct http_request){ .method = "POST", .path = "/j" };
	assert_int_equal(http_do(h, &r, &a, &e), ERR_OK);
	assert_true(seen("Content-Length: 0\r\n"));
	assert_false(seen("Content-Type"));
	http_answer_release(&a);
	r = (struct http_request){ .method = "DELETE", .path = "/j" };
	assert_int_equal(http_do(h, &r, &a, &e), ERR_OK);
	assert_true(seen("DELETE /j HTTP/1.1"));
	http_answer_release(&a);
	http_close(h);
}

static void test_cancel(void **state)
{
	const struct http_request r = { .method = "GET", .path = "/c" };
	struct http_answer a = { 0 };
	struct timespec from, to;
	struct err e = ERR_INIT;
	atomic_bool cancel;
	struct http *h;

	(void)state;
	atomic_init(&cancel, false);
	h = client(NULL, 15, &cancel);
	answer_with("", 0, true);
	must(pthread_mutex_lock(&srv.lock));
	srv.stop = &cancel;
	must(pthread_mutex_unlock(&srv.lock));
	must(clock_gettime(CLOCK_MONOTONIC, &from));
	assert_int_equal(http_do(h, &r, &a, &e), ERR_CANCELED);
	must(clock_gettime(CLOCK_MONOTONIC, &to));
	assert_true(to.tv_sec - from.tv_sec < 5);
	must(pthread_mutex_lock(&srv.lock));
	srv.stop = NULL;
	must(pthread_mutex_unlock(&srv.lock));
	http_close(h);
}

static void test_nobody(void **state)
{
	struct http_options o = { .base = "http://127.0.0.1:1/", .header = "api-key: s3cret" };
	const struct http_request r = { .method = "GET", .path = "/" };
	struct http_answer a = { 0 };
	struct err e = ERR_INIT;
	struct http *h = NULL;

	(void)state;
	assert_int_equal(http_open(&o, &h, &e), ERR_OK);
	assert_int_equal(http_do(h, &r, &a, &e), ERR_ABSENT);
	assert_non_null(strstr(e.msg, "GET http://127.0.0.1:1/: nobody answers there"));
	assert_null(strstr(e.msg, "s3cret"));
	http_close(h);
}

static void test_bases(void **state)
{
	static const char *const bad[] = { "", "127.0.0.1:6333", "file:///etc/passwd", "ftp://localhost", "http://",
					   "http://u:s3cret@localhost", "http://localhost/?a", "http://localhost/#a" };
	struct http_options o = { .base = "http://localhost", .header = "api-key: a\r\nb: c" };
	struct err e = ERR_INIT;
	struct http *h = NULL;

	(void)state;
	assert_int_equal(http_open(&o, &h, &e), ERR_USAGE);
	o.header = NULL;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		o.base = bad[i];
		assert_int_equal(http_open(&o, &h, &e), ERR_USAGE);
		assert_null(strstr(e.msg, "s3cret"));
	}
}

/* A request that changes something is sent once, even where a kept connection has ended meanwhile. */
static void test_sent_once(void **state)
{
	struct http_request get = { .method = "GET", .path = "/g" }, post = { .method = "POST", .path = "/p" };
	struct http *h = client(NULL, 5, NULL);
	struct http_answer a = { 0 };
	struct err e = ERR_INIT;
	unsigned before;

	(void)state;
	answer_with("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, false);	/* it says that it stays, and goes */
	assert_int_equal(http_do(h, &get, &a, &e), ERR_OK);
	http_answer_release(&a);
	answer_with("", 0, false);
	before = requests();
	assert_int_equal(http_do(h, &post, &a, &e), ERR_IO);
	assert_int_equal(requests(), before + 1);
	http_close(h);
}

static void test_escape(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	http_escape(&b, "a b/c?d%\xc3\xa9~");
	buf_add_u8(&b, 0);
	assert_string_equal((char *)b.p, "a%20b%2Fc%3Fd%25%C3%A9~");
	buf_release(&b);
}

int main(void)
{
	static const struct CMUnitTest more[] = {
		cmocka_unit_test(test_request), cmocka_unit_test(test_down), cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_cancel), cmocka_unit_test(test_nobody), cmocka_unit_test(test_bases),
		cmocka_unit_test(test_sent_once), cmocka_unit_test(test_escape),
	};
	struct CMUnitTest tests[ARRAY_LEN(rows) + ARRAY_LEN(ups) + ARRAY_LEN(more)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[n++] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL, (void *)(uintptr_t)&rows[i] };
	for (size_t i = 0; i < ARRAY_LEN(ups); i++)
		tests[n++] = (struct CMUnitTest){ ups[i].name, test_up, NULL, NULL, (void *)(uintptr_t)&ups[i] };
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		tests[n++] = more[i];
	return cmocka_run_group_tests_name("http", tests, start, stop);
}
