/* SPDX-License-Identifier: MIT */
/*
 * Each system call of publishing fails once, the first, the second, ... until none does.  The
 * demand is the same every time: what was there before is there still, or what was to be
 * written is there whole; success means the latter; no temporary and no descriptor is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "store/backend/backend.h"
#include "store/base/checked.h"
#include "tests/lib/faulty_io.h"

static const char old_text[] = "old old old\n", new_text[] = "new new new new\n";
static char top[64];

static void run(const char *cmd)
{
	char line[512];

	(void)snprintf(line, sizeof(line), "cd %s && %s", top, cmd);
	assert_int_equal(system(line), 0);
}

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	(void)snprintf(top, sizeof(top), "%.40s/vouch-fp-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(top));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	run("rm -rf \"$PWD\"");
	return 0;
}

/* What top/name holds, or NULL. */
static const char *content(const char *name)
{
	static char text[256];
	char path[160];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", top, name);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return NULL;
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
	return text;
}

static void assert_whole(const char *name, bool had_old, enum err_code rc)
{
	const char *text = content(name);

	if (rc == ERR_OK)
		assert_non_null(text);
	if (text && strcmp(text, new_text) != 0) {
		assert_int_not_equal(rc, ERR_OK);
		assert_true(had_old);
		assert_string_equal(text, old_text);
	}
	if (had_old)
		assert_non_null(text);
}

/* Each returns what the operation says; call number n fails. */
typedef enum err_code op_fn(unsigned n, int sys, struct err *e);

static enum err_code op_io_publish(unsigned n, int sys, struct err *e)
{
	const struct io *io = faulty_io(n, sys);
	int dir = open(top, O_RDONLY | O_DIRECTORY);
	enum err_code rc;

	assert_true(dir >= 0);
	rc = io_publish(io, dir, "tmp/t", dir, "packs/x", new_text, strlen(new_text), e);
	close(dir);
	if (rc)
		assert_non_null(strstr(e->msg, "publish packs/x"));
	return rc;
}

static struct backend *repository(void)
{
	struct backend *b = NULL;
	struct err e = ERR_INIT;

	/* No call fails as yet; the table is the same later. */
	assert_int_equal(file_backend_open(top, false, true, faulty_io(0, 0), &b, &e), ERR_OK);
	return b;
}

static enum err_code op_put(unsigned n, int sys, struct err *e)
{
	struct backend *b = repository();
	enum err_code rc;

	(void)faulty_io(n, sys);
	rc = b->ops->put(b, "packs/x", new_text, strlen(new_text), e);
	b->ops->close(b);
	return rc;
}

static enum err_code op_pieces(unsigned n, int sys, struct err *e)
{
	struct backend *b = repository();
	struct backend_put *p = NULL;
	enum err_code rc;

	(void)faulty_io(n, sys);
	rc = b->ops->put_begin(b, &p, e);
	for (size_t i = 0; !rc && i < strlen(new_text); i += 4)
		rc = b->ops->put_add(p, new_text + i, 4, e);
	if (rc)
		b->ops->put_abort(p);
	else
		rc = b->ops->put_commit(p, "packs/x", e);
	b->ops->close(b);
	return rc;
}

/* Two at once: whatever happens, the second has its name only where the first is there, whole. */
static enum err_code op_two(unsigned n, int sys, struct err *e)
{
	struct backend *b = repository();
	struct backend_put *first = NULL, *second = NULL;
	char back[64] = "";
	size_t got = 0;
	enum err_code rc;

	(void)faulty_io(n, sys);
	rc = b->ops->put_begin(b, &first, e);
	if (!rc)
		rc = b->ops->put_begin(b, &second, e);
	if (!rc)
		rc = b->ops->put_add(second, new_text, strlen(new_text), e);
	if (!rc)
		rc = b->ops->put_get(second, 2, back, sizeof(back), &got, e);
	if (!rc)
		rc = b->ops->put_add(first, back, got, e);
	if (rc) {
		b->ops->put_abort(first);
		b->ops->put_abort(second);
	} else {
		rc = b->ops->put_commit_two(first, "packs/a", second, "packs/x", e);
	}
	b->ops->close(b);
	run("test ! -e packs/x || tail -c +3 packs/x | cmp - packs/a");
	return rc;
}

static void fail_each_call(op_fn *op, int sys, bool had_old, unsigned least)
{
	enum err_code rc;
	unsigned n = 0;

	do {
		struct err e = ERR_INIT;

		run("rm -rf packs tmp && mkdir packs tmp && printf '{}' >vouch.json");
		if (had_old)
			run("echo 'old old old' >packs/x");
		rc = op(++n, sys, &e);
		assert_int_equal(e.code, rc);
		if (rc)
			assert_int_equal(e.sys, sys);
		assert_whole("packs/x", had_old, rc);
		run("test -z \"$(ls tmp)\"");
		assert_int_equal(faulty_io_open(), 0);
	} while (faulty_io_fired());
	assert_int_equal(rc, ERR_OK);
	assert_in_range(n, least, 200);	/* the loop really went round */
}

static void test_io_publish(void **state)
{
	(void)state;
	fail_each_call(op_io_publish, EIO, false, 7);
	fail_each_call(op_io_publish, ENOSPC, true, 7);
}

static void test_put(void **state)
{
	(void)state;
	fail_each_call(op_put, EIO, false, 15);
	fail_each_call(op_put, ENOSPC, true, 15);
}

static void test_pieces(void **state)
{
	(void)state;
	fail_each_call(op_pieces, EIO, true, 18);
	fail_each_call(op_pieces, ENOSPC, false, 18);
}

static void test_two(void **state)
{
	(void)state;
	fail_each_call(op_two, EIO, false, 30);
	fail_each_call(op_two, ENOSPC, false, 30);
}

/* A log: the lines before stay; the new one is there, or cut short, or not. */
static void test_append(void **state)
{
	unsigned n = 0;
	enum err_code rc;

	(void)state;
	do {
		struct backend *b;
		struct err e = ERR_INIT;
		const char *text;

		run("rm -rf log && mkdir log && printf '{}' >vouch.json");
		run("echo 'old old old' >log/l");
		b = repository();
		(void)faulty_io(++n, EIO);
		rc = b->ops->append(b, "log/l", new_text, strlen(new_text), &e);
		text = content("log/l");
		assert_non_null(text);
		assert_memory_equal(text, old_text, strlen(old_text));
		text += strlen(old_text);
		assert_memory_equal(text, new_text, strlen(text));
		if (!rc)
			assert_string_equal(text, new_text);
		/* Whatever became of it, the next line stands on a line of its own. */
		if (faulty_io_fired()) {
			(void)faulty_io(0, 0);
			assert_int_equal(b->ops->append(b, "log/l", "next\n", 5, &e), ERR_OK);
			text = content("log/l");
			assert_non_null(strstr(text, "\nnext\n"));
			(void)faulty_io(1, EIO);
			assert_int_not_equal(b->ops->append(b, "log/l", "x\n", 2, &e), ERR_OK);
		}
		b->ops->close(b);
	} while (faulty_io_fired());
	assert_int_equal(rc, ERR_OK);
	assert_true(n > 8);
}

/* A get meets a fault once: right bytes or an error. */
static void test_get(void **state)
{
	unsigned n = 0;
	bool fired;

	(void)state;
	run("mkdir -p packs && printf '{}' >vouch.json && echo 'old old old' >packs/x");
	do {
		struct backend *b = repository();
		struct err e = ERR_INIT;
		char buf[64];
		size_t len = 0;

		(void)faulty_io(++n, EIO);
		for (int i = 0; i < 2; i++) {
			enum err_code rc = b->ops->get(b, "packs/x", 0, buf, sizeof(buf), &len, &e);

			if (rc)
				assert_true(rc == ERR_IO || rc == ERR_ABSENT);
			else
				assert_memory_equal(buf, old_text, strlen(old_text));
		}
		fired = faulty_io_fired();
		b->ops->close(b);
		assert_int_equal(faulty_io_open(), 0);
	} while (fired);
	assert_true(n > 8);
}

static bool count(void *ctx, const char *name, uint64_t size)
{
	(void)name;
	(void)size;
	++*(unsigned *)ctx;
	return true;
}

static void test_others(void **state)
{
	enum { LIST, SIZE, REMOVE, SPACE, SWEEP, NR };

	(void)state;
	for (int op = 0; op < NR; op++) {
		unsigned n = 0, found;
		bool fired;

		do {
			struct backend *b;
			struct err e = ERR_INIT;
			enum err_code rc = ERR_OK;
			uint64_t x = 0, y = 0;

			run("rm -rf packs tmp && mkdir -p packs/3f tmp && "
			    "printf '{}' >vouch.json && echo a >packs/3f/a && echo b >packs/b && "
			    "touch -d '2 days ago' tmp/zzzzzzzz-1-1 tmp/zzzzzzzz-1-2");
			b = repository();
			(void)faulty_io(++n, EIO);
			found = 0;
			switch (op) {
			case LIST:
				rc = b->ops->list(b, "packs/", true, count, &found, &e);
				assert_true(rc || found == 2);
				break;
			case SIZE:
				rc = b->ops->size(b, "packs/3f/a", &x, &e);
				assert_true(rc || x == 2);
				break;
			case REMOVE:
				rc = b->ops->remove(b, "packs/3f/a", &e);
				break;
			case SPACE:
				rc = b->ops->space(b, &x, &y, &e);
				break;
			default:
				rc = b->ops->sweep(b, &e);
			}
			fired = faulty_io_fired();
			if (rc)
				assert_true(fired && (rc == ERR_IO || rc == ERR_ABSENT));
			else if (op == REMOVE)
				run("test ! -e packs/3f/a");
			b->ops->close(b);
		} while (fired);
		assert_true(n > 3);
	}
}

static void test_create(void **state)
{
	char path[80];
	unsigned n = 0;
	bool fired;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/new", top);
	do {
		struct backend *b = NULL;
		struct err e = ERR_INIT;
		enum err_code rc;

		run("rm -rf new");
		rc = file_backend_open(path, true, true, faulty_io(++n, EIO), &b, &e);
		fired = faulty_io_fired();
		if (!rc)
			b->ops->close(b);
		assert_int_equal(faulty_io_open(), 0);
		if (!rc)
			continue;
		/* What was left does not stand in the way of the next. */
		assert_int_equal(file_backend_open(path, true, true, faulty_io(0, 0), &b, &e),
				 ERR_OK);
		b->ops->close(b);
	} while (fired);
	assert_true(n > 10);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_io_publish), TEST(test_put), TEST(test_pieces), TEST(test_two),
		TEST(test_append), TEST(test_get),   TEST(test_others), TEST(test_create),
	};

	return cmocka_run_group_tests_name("publish", tests, NULL, NULL);
}
