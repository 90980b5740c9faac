/* SPDX-License-Identifier: MIT */
/*
 * What every thread of a mount shares, used by several at once: the table of verified files, open files under
 * verify=always, the log, the generated files.  Meant for a build with SAN=thread; plain, it still checks what is read.
 * FUSE and the store are stand-ins.
 */
#define blob_open		fake_blob_open
#define blob_close		fake_blob_close
#define blob_size		fake_blob_size
#define blob_pread		fake_blob_pread
#define entry_ref_release	fake_release
#define store_set_fresh		fake_set_fresh
#define store_medium_cache	fake_medium_cache
#include "fs/verified.c"
#include "fs/log.c"
#include "fs/control_text.c"
#include "fs/fresh.c"

#include <assert.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define THREADS	4
#define FILE_LEN	((uint64_t)3 << 20)
#define READ_LEN	(128u << 10)

/* Assertions of cmocka's belong to the main thread: others count. */
static atomic_uint wrong;

static void must_not(bool bad)
{
	if (bad)
		atomic_fetch_add(&wrong, 1);
}

static void run_threads(void *(*fn)(void *))
{
	pthread_t t[THREADS];

	atomic_store(&wrong, 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, fn, (void *)i), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	assert_int_equal(atomic_load(&wrong), 0);
}

/* Stand-ins: a file whose byte at i is byte_at(i), a request that keeps what it is answered. */

struct fuse_req {
	uint8_t *data;
	size_t len;
	uint64_t fh;
	int error;
	sem_t *answered;	/* posted once it is; may be NULL */
};

static struct fs fs;

static uint8_t byte_at(uint64_t i)
{
	return (uint8_t)(i * 37 >> 3);
}

static void answered(fuse_req_t req, int error)
{
	req->error = error;
	if (req->answered)
		must_not(sem_post(req->answered) != 0);
}

int fuse_reply_err(fuse_req_t req, int err)
{
	answered(req, err);
	return 0;
}

int fuse_reply_open(fuse_req_t req, const struct fuse_file_info *fi)
{
	req->fh = fi->fh;
	answered(req, 0);
	return 0;
}

int fuse_reply_buf(fuse_req_t req, const char *buf, size_t size)
{
	req->data = malloc(size + 1);
	must_not(!req->data);
	if (req->data && size)
		memcpy(req->data, buf, size);
	req->len = size;
	answered(req, 0);
	return 0;
}

void *fuse_req_userdata(fuse_req_t req)
{
	(void)req;
	return &fs;
}

void reply_err(fuse_req_t req, const char *op, uint64_t nodeid, const struct err *e)
{
	(void)op;
	(void)nodeid;
	(void)e;
	answered(req, EIO);
}

void reply_read_err(fuse_req_t req, uint64_t nodeid, uint64_t off, uint64_t len,
		    const struct err *e)
{
	(void)off;
	(void)len;
	reply_err(req, "read", nodeid, e);
}

void *reply_buffer(size_t len)
{
	static _Thread_local uint8_t buf[READ_LEN];

	return len <= sizeof(buf) ? buf : NULL;
}

enum err_code node_entry_of(struct fs *f, uint64_t nodeid, struct entry_ref *out, struct facts *facts,
			    struct err *e)
{
	(void)f;
	(void)nodeid;
	(void)facts;
	(void)e;
	*out = (struct entry_ref){ .e = { .type = ENTRY_FILE, .content = CONTENT_LIST,
					  .size = FILE_LEN } };
	return ERR_OK;
}

void fake_release(struct store *s, struct entry_ref *r)
{
	(void)s;
	(void)r;
}

void fake_set_fresh(struct store *s)
{
	(void)s;
}

const char *fake_medium_cache(const struct store *s)
{
	(void)s;
	return NULL;
}

enum err_code fake_blob_open(struct store *s, const struct entry *ent, struct blob **out,
			     struct err *e)
{
	(void)s;
	(void)e;
	assert(ent->size == FILE_LEN);
	*out = (struct blob *)(uintptr_t)1;
	return ERR_OK;
}

void fake_blob_close(struct blob *b)
{
	(void)b;
}

uint64_t fake_blob_size(const struct blob *b)
{
	(void)b;
	return FILE_LEN;
}

enum err_code fake_blob_pread(struct blob *b, uint64_t off, void *buf, size_t len, size_t *n,
			      struct err *e)
{
	uint8_t *to = buf;

	(void)b;
	(void)e;
	len = off > FILE_LEN ? 0 : len < FILE_LEN - off ? len : (size_t)(FILE_LEN - off);
	for (size_t i = 0; i < len; i++)
		to[i] = byte_at(off + i);
	*n = len;
	return ERR_OK;
}

enum err_code ctl_none(struct err *e, int sys)
{
	(void)err_set(e, ERR_NOT_FOUND, "no such entry");
	e->sys = sys;
	return ERR_NOT_FOUND;
}

void ctl_stat(const struct ctl *c, mode_t mode, const struct timespec *t, struct stat *st)
{
	(void)c;
	*st = (struct stat){ .st_mode = mode, .st_mtim = *t };
}

static atomic_uint nr_made;

/* Another content at each look. */
void status_text(const struct ctl *c, struct buf *out)
{
	(void)c;
	buf_printf(out, "look %u\n", atomic_fetch_add(&nr_made, 1));
}

void metrics_text(const struct ctl *c, struct buf *out)
{
	(void)c;
	buf_add_str(out, "always the same\n");
}

enum err_code damage_text(const struct ctl *c, struct buf *out, struct err *e)
{
	(void)c;
	(void)out;
	return err_set(e, ERR_IO, "not today");
}

/* The table of verified files. */

static struct verified *verified;

/* What is said of a file is never what was said of another; the threads' files overlap. */
static void *note_and_ask(void *arg)
{
	uintptr_t who = (uintptr_t)arg;

	for (uint64_t i = 1; i <= 20000; i++) {
		uint64_t id = 1 + (i * 7919 + who) % 5000;
		time_t when = 0;

		verified_set(verified, id, (time_t)(1000 + id));
		must_not(verified_get(verified, 1 + id % 5000, &when) &&
			 when != (time_t)(1001 + id % 5000));
	}
	return NULL;
}

static void test_verified(void **state)
{
	struct err e = ERR_INIT;
	time_t when;

	(void)state;
	assert_int_equal(verified_open(&verified, &e), ERR_OK);
	run_threads(note_and_ask);
	for (uint64_t id = 1; id <= 5000; id++) {
		assert_true(verified_get(verified, id, &when));
		assert_int_equal(when, 1000 + id);
	}
	assert_false(verified_get(verified, 5001, &when));
	verified_close(verified);
}

/* Open files. */

static struct handle *shared;

static bool read_right(fuse_req_t req, uint64_t off, size_t len)
{
	bool right = !req->error && req->data && req->len == len;

	for (size_t i = 0; right && i < len; i++)
		right = req->data[i] == byte_at(off + i);
	free(req->data);
	req->data = NULL;
	return right;
}

/* The same opening, forwards by all of them; then one of its own that is left in its middle. */
static void *read_file(void *arg)
{
	struct fuse_file_info fi = { .flags = O_RDONLY, .fh = (uintptr_t)shared };
	struct fuse_req req = { .answered = NULL };

	for (uint64_t off = 0; off < FILE_LEN; off += READ_LEN) {
		fresh_read(&req, 7, READ_LEN, (off_t)off, &fi);
		must_not(!read_right(&req, off, READ_LEN));
	}
	for (int i = 0; i < 20; i++) {
		uint64_t off = (uint64_t)i * 1000;

		fresh_open(&req, 100 + (uintptr_t)arg, &fi);
		fi.fh = req.fh;
		fresh_read(&req, 100 + (uintptr_t)arg, 4096, (off_t)off, &fi);
		must_not(!read_right(&req, off, 4096));
		fresh_release(&req, &fi);
		must_not(req.error != 0);
	}
	return NULL;
}

static void open_shared(uint64_t nodeid)
{
	struct fuse_file_info fi = { .flags = O_RDONLY };
	struct fuse_req req = { .answered = NULL };

	fresh_open(&req, nodeid, &fi);
	assert_int_equal(req.error, 0);
	shared = (struct handle *)(uintptr_t)req.fh;
}

static void test_fresh(void **state)
{
	struct fuse_file_info fi = { .flags = O_RDONLY };
	struct fuse_req req = { .answered = NULL };
	struct err e = ERR_INIT;
	time_t when;

	(void)state;
	assert_int_equal(fresh_new(NULL, &fs.fresh, &e), ERR_OK);
	open_shared(7);
	run_threads(read_file);
	assert_true(fresh_verified(fs.fresh, 7, &when));	/* all of it was read */
	assert_false(fresh_verified(fs.fresh, 100, &when));
	fi.fh = (uintptr_t)shared;
	fresh_release(&req, &fi);
	open_shared(8);		/* never released: as at an abrupt end */
	fresh_close(fs.fresh);
	fs.fresh = NULL;
}

/* The answer is out, and the kernel releases the file, before the reading thread has left it. */

static sem_t answer;

static void *read_once(void *arg)
{
	struct fuse_file_info fi = { .flags = O_RDONLY, .fh = (uintptr_t)shared };
	struct fuse_req req = { .answered = &answer };

	(void)arg;
	fresh_read(&req, 9, READ_LEN, 0, &fi);
	must_not(!read_right(&req, 0, READ_LEN));
	return NULL;
}

static void test_release_at_once(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(fresh_new(NULL, &fs.fresh, &e), ERR_OK);
	assert_int_equal(sem_init(&answer, 0, 0), 0);
	atomic_store(&wrong, 0);
	for (int i = 0; i < 300; i++) {
		struct fuse_file_info fi = { .flags = O_RDONLY };
		struct fuse_req req = { .answered = NULL };
		pthread_t t;

		open_shared(9);
		assert_int_equal(pthread_create(&t, NULL, read_once, NULL), 0);
		assert_int_equal(sem_wait(&answer), 0);
		fi.fh = (uintptr_t)shared;
		fresh_release(&req, &fi);
		assert_int_equal(pthread_join(t, NULL), 0);
	}
	assert_int_equal(atomic_load(&wrong), 0);
	assert_null(fs.fresh->first);
	fresh_close(fs.fresh);
	fs.fresh = NULL;
	(void)sem_destroy(&answer);
}

/* The log. */

static struct log *the_log;
static atomic_uint nr_lines, nr_damage, nr_lately;

static void on_line(void *ctx, const struct event *ev)
{
	(void)ctx;
	must_not(strncmp(ev->text, "line \\x0a ", 10) != 0);
	atomic_fetch_add(&nr_lines, 1);
}

static void on_met(void *ctx, const struct event *ev)
{
	(void)ev;
	must_not(ctx != &nr_damage);
	atomic_fetch_add(&nr_damage, 1);
}

static void *say_things(void *arg)
{
	struct store_events to = log_store_events(the_log);
	struct event_damage d = { .missing = true };
	struct event ev = { .kind = EVENT_DAMAGE, .text = "line \\x0a ", .damage = &d };

	for (unsigned i = 0; i < 500; i++) {
		log_say(the_log, EVENT_NOTE, "line \n %u of %u", i, (unsigned)(uintptr_t)arg);
		log_on_damage(the_log, on_met, &nr_damage);
		to.fn(to.ctx, &ev);
		if (!log_seen_lately(the_log, i % 50))
			atomic_fetch_add(&nr_lately, 1);
		if (i == 250)
			log_serving(the_log);
	}
	return NULL;
}

static void test_log(void **state)
{
	struct store_events ev = { .fn = on_line };
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(log_open(&ev, &the_log, &e), ERR_OK);
	run_threads(say_things);
	/* every line; of the store's damage those before the mount served, by its first thread to say so */
	assert_true(atomic_load(&nr_lines) >= THREADS * 500 + 250);
	assert_true(atomic_load(&nr_lines) < THREADS * 1000);
	assert_int_equal(atomic_load(&nr_damage), THREADS * 500);
	assert_int_equal(atomic_load(&nr_lately), 50);
	log_close(the_log);
}

/* Generated files: whoever finds one has size and bytes of one and the same making, or is told that it is too old. */

static struct control control;

static void *look_at_status(void *arg)
{
	struct ctl c = { .fs = &fs };
	struct err e = ERR_INIT;

	(void)arg;
	for (int i = 0; i < 2000; i++) {
		uint64_t id = 0;
		struct stat st;
		char text[64];
		size_t n = 0;

		must_not(texts_now(&c, i % 3 ? TEXT_STATUS : TEXT_METRICS, &id, &e) != ERR_OK);
		if (text_stat(&c, id, &st, &e) || text_read(&c, id, 0, text, sizeof(text), &n, &e)) {
			must_not(e.sys != ESTALE);
			continue;
		}
		must_not(n != (size_t)st.st_size || n == 0 || text[n - 1] != '\n');
	}
	must_not(texts_now(&c, TEXT_DAMAGE, &(uint64_t){ 0 }, &e) != ERR_IO);
	return NULL;
}

static void test_texts(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(texts_open(&control.texts, &e), ERR_OK);
	fs.control = &control;
	run_threads(look_at_status);
	assert_int_equal(control.texts->last[TEXT_METRICS], 1);	/* the same is no new one */
	assert_int_equal(control.texts->last[TEXT_STATUS], atomic_load(&nr_made));
	texts_close(control.texts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verified),
		cmocka_unit_test(test_fresh),
		cmocka_unit_test(test_release_at_once),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests_name("fs threads", tests, NULL, NULL);
}
