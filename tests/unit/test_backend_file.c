/* SPDX-License-Identifier: MIT */
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
#include <ftw.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/backend/backend.h"
#include "store/base/checked.h"

struct fixture {
	char top[64];		/* a private folder */
	char repo[96];		/* top/repo: a repository, open */
	struct backend *b;
};

static int drop(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_all(const char *path)
{
	(void)nftw(path, drop, 16, FTW_DEPTH | FTW_PHYS);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *tmp = getenv("TMPDIR");
	struct err e = ERR_INIT;

	assert_non_null(f);
	(void)snprintf(f->top, sizeof(f->top), "%.40s/vouch-bf-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->top));
	(void)snprintf(f->repo, sizeof(f->repo), "%s/repo", f->top);
	assert_int_equal(file_backend_open(f->repo, true, true, &io_system, &f->b, &e), ERR_OK);
	assert_int_equal(f->b->ops->put(f->b, "vouch.json", "{1}", 3, &e), ERR_OK);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->b)
		f->b->ops->close(f->b);
	remove_all(f->top);
	free(f);
	return 0;
}

/* A shell command within the fixture's folder. */
static void run(const struct fixture *f, const char *cmd)
{
	char line[512];

	(void)snprintf(line, sizeof(line), "cd %s && %s", f->top, cmd);
	assert_int_equal(system(line), 0);
}

static enum err_code get(struct fixture *f, const char *name, char *buf, size_t cap, size_t *n)
{
	struct err e = ERR_INIT;
	enum err_code rc = f->b->ops->get(f->b, name, 0, buf, cap, n, &e);

	assert_int_equal(e.code, rc);
	return rc;
}

static enum err_code put(struct fixture *f, const char *name, const char *text)
{
	struct err e = ERR_INIT;
	enum err_code rc = f->b->ops->put(f->b, name, text, strlen(text), &e);

	assert_int_equal(e.code, rc);
	return rc;
}

static void assert_holds(struct fixture *f, const char *name, const char *want)
{
	char buf[256];
	size_t n = 0;

	assert_int_equal(get(f, name, buf, sizeof(buf) - 1, &n), ERR_OK);
	buf[n] = '\0';
	assert_string_equal(buf, want);
}

static void test_put_get(void **state)
{
	struct fixture *f = *state;
	const struct backend_ops *o = f->b->ops;
	struct err e = ERR_INIT;
	uint64_t size = 0;
	char buf[8];
	size_t n = 9;
	struct stat st;
	char path[128];

	assert_int_equal(put(f, "packs/3f/3f00.pack", "hello"), ERR_OK);
	assert_holds(f, "packs/3f/3f00.pack", "hello");
	assert_int_equal(o->get(f->b, "packs/3f/3f00.pack", 1, buf, 3, &n, &e), ERR_OK);
	assert_int_equal(n, 3);
	assert_memory_equal(buf, "ell", 3);
	assert_int_equal(o->get(f->b, "packs/3f/3f00.pack", 4, buf, 3, &n, &e), ERR_OK);
	assert_int_equal(n, 1);
	assert_int_equal(o->get(f->b, "packs/3f/3f00.pack", 99, buf, 3, &n, &e), ERR_OK);
	assert_int_equal(n, 0);
	assert_int_equal(o->get(f->b, "packs/3f/3f00.pack", UINT64_MAX, buf, 3, &n, &e), ERR_LIMIT);
	assert_int_equal(o->size(f->b, "packs/3f/3f00.pack", &size, &e), ERR_OK);
	assert_int_equal(size, 5);

	/* Replaced: the old bytes are not served from an open descriptor. */
	assert_int_equal(put(f, "packs/3f/3f00.pack", "HELLO you"), ERR_OK);
	assert_holds(f, "packs/3f/3f00.pack", "HELLO you");

	(void)snprintf(path, sizeof(path), "%s/packs/3f/3f00.pack", f->repo);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	(void)snprintf(path, sizeof(path), "%s/packs/3f", f->repo);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(f->repo, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	run(f, "test -z \"$(ls repo/tmp)\"");

	assert_int_equal(o->remove(f->b, "packs/3f/3f00.pack", &e), ERR_OK);
	assert_int_equal(get(f, "packs/3f/3f00.pack", buf, sizeof(buf), &n), ERR_NOT_FOUND);
	assert_int_equal(o->remove(f->b, "packs/3f/3f00.pack", &e), ERR_NOT_FOUND);
	assert_int_equal(o->size(f->b, "packs/3f/3f00.pack", &size, &e), ERR_NOT_FOUND);
	assert_int_equal(o->size(f->b, "packs/44/none", &size, &e), ERR_NOT_FOUND);
}

static void test_pieces(void **state)
{
	struct fixture *f = *state;
	const struct backend_ops *o = f->b->ops;
	struct backend_put *p = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(o->put_begin(f->b, &p, &e), ERR_OK);
	assert_int_equal(o->put_add(p, "ab", 2, &e), ERR_OK);
	assert_int_equal(o->put_add(p, "cd", 2, &e), ERR_OK);
	run(f, "test $(ls repo/tmp | wc -l) = 1");
	assert_int_equal(o->put_commit(p, "packs/aa/x.pack", &e), ERR_OK);
	assert_holds(f, "packs/aa/x.pack", "abcd");
	assert_int_equal(o->put_begin(f->b, &p, &e), ERR_OK);
	o->put_abort(p);
	o->put_abort(NULL);
	assert_int_equal(o->put_begin(f->b, &p, &e), ERR_OK);
	assert_int_equal(o->put_commit(p, "../x.pack", &e), ERR_USAGE);
	run(f, "test -z \"$(ls repo/tmp)\" && test ! -e x.pack");
}

/* What is read back is on the medium first, and more can be put after it. */
static void test_read_back(void **state)
{
	struct fixture *f = *state;
	const struct backend_ops *o = f->b->ops;
	struct backend_put *p = NULL;
	struct err e = ERR_INIT;
	char buf[8];
	size_t n = 0;

	for (int fresh = 0; fresh < 2; fresh++) {
		f->b->fresh = fresh;
		assert_int_equal(o->put_begin(f->b, &p, &e), ERR_OK);
		assert_int_equal(o->put_get(p, 0, buf, sizeof(buf), &n, &e), ERR_OK);
		assert_int_equal(n, 0);
		assert_int_equal(o->put_add(p, "ab", 2, &e), ERR_OK);
		assert_int_equal(o->put_get(p, 0, buf, sizeof(buf), &n, &e), ERR_OK);
		assert_int_equal(n, 2);
		assert_memory_equal(buf, "ab", 2);
		assert_int_equal(o->put_add(p, "cd", 2, &e), ERR_OK);
		assert_int_equal(o->put_get(p, 1, buf, sizeof(buf), &n, &e), ERR_OK);
		assert_int_equal(n, 3);
		assert_memory_equal(buf, "bcd", 3);
		assert_int_equal(o->put_commit(p, "packs/aa/x.pack", &e), ERR_OK);
		assert_holds(f, "packs/aa/x.pack", "abcd");
		assert_int_equal(o->put_begin(f->b, &p, &e), ERR_OK);
		assert_int_equal(o->put_add(p, "ab", 2, &e), ERR_OK);
		assert_int_equal(o->put_get(p, 0, buf, sizeof(buf), &n, &e), ERR_OK);
		o->put_abort(p);
	}
	f->b->fresh = false;
	run(f, "test -z \"$(ls repo/tmp)\"");
}

static const char *const bad_names[] = {
	"", "/", "/etc/passwd", "..", "../x", "packs/../../x", "packs/./x", "packs//x", "packs/",
	".hidden", "packs/.x.pack.Ab12Cd", "a b", "a\nb", "caf\xc3\xa9", "a:b", "a\\b",
};

static void test_names(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	char buf[4], longest[300];
	uint64_t size;
	size_t n;

	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for (size_t i = 0; i <= ARRAY_LEN(bad_names); i++) {
		const char *name = i < ARRAY_LEN(bad_names) ? bad_names[i] : longest;

		assert_int_equal(get(f, name, buf, sizeof(buf), &n), ERR_USAGE);
		assert_int_equal(put(f, name, "x"), ERR_USAGE);
		assert_int_equal(f->b->ops->size(f->b, name, &size, &e), ERR_USAGE);
		assert_int_equal(f->b->ops->remove(f->b, name, &e), ERR_USAGE);
		assert_int_equal(f->b->ops->append(f->b, name, "x", 1, &e), ERR_USAGE);
	}
}

/* What a hostile repository may hold in a file's place. */
static void test_links(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	char buf[4];
	uint64_t size;
	size_t n;

	run(f, "echo secret >secret && mkdir out && ln -s ../../secret repo/packs/link && "
	       "ln -s ../../out repo/packs/3f && mkfifo repo/packs/fifo && mkdir repo/packs/dir");
	assert_int_equal(get(f, "packs/link", buf, sizeof(buf), &n), ERR_CORRUPT);
	assert_int_equal(f->b->ops->size(f->b, "packs/link", &size, &e), ERR_CORRUPT);
	assert_int_equal(get(f, "packs/fifo", buf, sizeof(buf), &n), ERR_CORRUPT);
	assert_int_equal(get(f, "packs/dir", buf, sizeof(buf), &n), ERR_CORRUPT);
	assert_int_equal(get(f, "packs/link/x", buf, sizeof(buf), &n), ERR_CORRUPT);
	assert_int_equal(put(f, "packs/3f/x", "x"), ERR_CORRUPT);
	assert_int_equal(f->b->ops->append(f->b, "packs/link", "x", 1, &e), ERR_CORRUPT);
	run(f, "test -z \"$(ls out)\" && test \"$(cat secret)\" = secret");
	run(f, "test -z \"$(ls repo/tmp)\"");
}

enum { ALL_LEN = 8192 };

static bool gather(void *ctx, const char *name, uint64_t size)
{
	char *all = ctx;
	size_t n = strlen(all);

	(void)snprintf(all + n, ALL_LEN - n, "%s=%llu\n", name, (unsigned long long)size);
	return true;
}

static bool only_one(void *ctx, const char *name, uint64_t size)
{
	(void)name;
	(void)size;
	++*(int *)ctx;
	return false;
}

static void test_list(void **state)
{
	struct fixture *f = *state;
	const struct backend_ops *o = f->b->ops;
	struct err e = ERR_INIT;
	char all[ALL_LEN] = "";
	int nr = 0;

	assert_int_equal(put(f, "packs/3f/a.pack", "12345"), ERR_OK);
	assert_int_equal(put(f, "packs/40/b.pack", "123"), ERR_OK);
	run(f, "cd repo && touch packs/3f/.a.pack.Xy12Zz 'packs/3f/a b' .DS_Store tmp/x "
	       "packs/3f/._a.pack && ln -s /etc/passwd packs/40/passwd && "
	       "mkdir -p packs/1/2/3/4/5/6/7 && touch packs/1/2/3/4/5/6/7/x && ln -s / packs/root");
	assert_int_equal(o->list(f->b, "packs/", true, gather, all, &e), ERR_OK);
	assert_non_null(strstr(all, "packs/3f/a.pack=5\n"));
	assert_non_null(strstr(all, "packs/40/b.pack=3\n"));
	assert_int_equal(strlen(all), 2 * strlen("packs/3f/a.pack=5\n"));
	all[0] = '\0';
	assert_int_equal(o->list(f->b, "", false, gather, all, &e), ERR_OK);
	assert_non_null(strstr(all, "vouch.json=0\n"));
	assert_null(strstr(all, "tmp/"));
	assert_null(strstr(all, "DS_Store"));
	all[0] = '\0';
	assert_int_equal(o->list(f->b, "copies/snapshots/", false, gather, all, &e), ERR_OK);
	assert_string_equal(all, "");
	assert_int_equal(o->list(f->b, "packs/", false, only_one, &nr, &e), ERR_OK);
	assert_int_equal(nr, 1);
	assert_int_equal(o->list(f->b, "packs", false, gather, all, &e), ERR_USAGE);
	assert_int_equal(o->list(f->b, "../", false, gather, all, &e), ERR_USAGE);
}

static void test_append(void **state)
{
	struct fixture *f = *state;
	const struct backend_ops *o = f->b->ops;
	struct err e = ERR_INIT;

	assert_int_equal(o->append(f->b, "log/w-2026-11.ndjson", "one\n", 4, &e), ERR_OK);
	assert_int_equal(o->append(f->b, "log/w-2026-11.ndjson", "two\n", 4, &e), ERR_OK);
	assert_holds(f, "log/w-2026-11.ndjson", "one\ntwo\n");
	run(f, "printf thr >>repo/log/w-2026-11.ndjson");
	assert_int_equal(o->append(f->b, "log/w-2026-11.ndjson", "four\n", 5, &e), ERR_OK);
	assert_holds(f, "log/w-2026-11.ndjson", "one\ntwo\nthr\nfour\n");
}

/* The drive is pulled, an empty mount point is left, another drive comes, the right one is back. */
static void test_absent(void **state)
{
	struct fixture *f = *state;
	const struct backend_ops *o = f->b->ops;
	struct err e = ERR_INIT;
	char buf[16];
	uint64_t a, b;
	size_t n;

	assert_int_equal(put(f, "copies/vouch.json", "{1}"), ERR_OK);
	assert_int_equal(put(f, "packs/x", "x"), ERR_OK);
	assert_int_equal(o->space(f->b, &a, &b, &e), ERR_OK);
	assert_true(a <= b && b > 0);

	run(f, "mv repo away");
	assert_int_equal(get(f, "packs/y", buf, sizeof(buf), &n), ERR_ABSENT);
	assert_int_equal(put(f, "packs/y", "y"), ERR_ABSENT);
	assert_int_equal(o->list(f->b, "packs/", false, only_one, &n, &e), ERR_ABSENT);
	assert_int_equal(o->space(f->b, &a, &b, &e), ERR_ABSENT);
	assert_int_equal(o->sweep(f->b, &e), ERR_ABSENT);
	run(f, "mkdir repo");
	assert_int_equal(put(f, "packs/y", "y"), ERR_ABSENT);
	assert_int_equal(get(f, "packs/y", buf, sizeof(buf), &n), ERR_ABSENT);
	run(f, "test -z \"$(ls repo)\"");
	run(f, "mkdir repo/tmp repo/packs && echo '{2}' >repo/vouch.json");
	assert_int_equal(put(f, "packs/y", "y"), ERR_ABSENT);
	run(f, "test -z \"$(ls repo/packs)\"");
	/* Copied, so that everything about it is another but its bytes. */
	run(f, "rm -r repo && cp -r away repo && rm -r away");
	assert_holds(f, "packs/x", "x");
	assert_int_equal(put(f, "packs/y", "y"), ERR_OK);
	/* vouch.json damaged in place: its copy still says who this is. */
	run(f, "printf X >repo/vouch.json");
	assert_int_equal(put(f, "packs/z", "z"), ERR_OK);
	run(f, "rm repo/vouch.json");
	assert_int_equal(put(f, "packs/z", "z"), ERR_OK);
}

/* A pack replaced behind our back is seen when its descriptor has had its time. */
static void test_replaced(void **state)
{
	struct fixture *f = *state;
	char buf[4];
	size_t n = 0;

	assert_int_equal(put(f, "packs/x", "old"), ERR_OK);
	assert_holds(f, "packs/x", "old");
	run(f, "printf new >repo/n && mv repo/n repo/packs/x");
	for (int i = 0; i < 400; i++) {
		assert_int_equal(get(f, "packs/x", buf, sizeof(buf), &n), ERR_OK);
		if (memcmp(buf, "new", 3) == 0)
			return;
		usleep(10000);
	}
	fail_msg("the old file is still served after four seconds");
}

static void test_many_files(void **state)
{
	struct fixture *f = *state;
	char name[32], want[16];

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 150; i++) {
			(void)snprintf(name, sizeof(name), "packs/%02x/p", (unsigned)i);
			(void)snprintf(want, sizeof(want), "%d", i);
			if (round == 0)
				assert_int_equal(put(f, name, want), ERR_OK);
			assert_holds(f, name, want);
		}
	}
	run(f, "test $(ls /proc/$PPID/fd | wc -l) -lt 90");
}

struct reader {
	struct fixture *f;
	unsigned wrong;
};

static void *read_many(void *arg)
{
	struct reader *r = arg;

	for (int i = 0; i < 2000; i++) {
		char name[32], buf[8], want[8];
		struct err e = ERR_INIT;
		size_t n = 0;

		(void)snprintf(name, sizeof(name), "packs/%d", i % 100);
		(void)snprintf(want, sizeof(want), "%d", i % 100);
		if (r->f->b->ops->get(r->f->b, name, 0, buf, sizeof(buf), &n, &e) ||
		    n != strlen(want) || memcmp(buf, want, n) != 0)
			r->wrong++;
		if (i % 50 == 0 && r->f->b->ops->put(r->f->b, name, want, strlen(want), &e))
			r->wrong++;
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct fixture *f = *state;
	struct reader r[4];
	pthread_t t[4];
	char name[32], text[16];

	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "packs/%d", i);
		(void)snprintf(text, sizeof(text), "%d", i);
		assert_int_equal(put(f, name, text), ERR_OK);
	}
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		r[i] = (struct reader){ .f = f };
		assert_int_equal(pthread_create(&t[i], NULL, read_many, &r[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_int_equal(r[i].wrong, 0);
	}
}

static void test_sweep(void **state)
{
	struct fixture *f = *state;
	const struct backend_ops *o = f->b->ops;
	struct backend_put *p = NULL;
	struct err e = ERR_INIT;
	int status = 0;
	pid_t pid;

	/* A writer that dies in the middle. */
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (o->put_begin(f->b, &p, &e) || o->put_add(p, "x", 1, &e))
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	run(f, "test $(ls repo/tmp | wc -l) = 1");
	/* One that lives, however old it looks. */
	assert_int_equal(o->put_begin(f->b, &p, &e), ERR_OK);
	assert_int_equal(o->put_add(p, "live", 4, &e), ERR_OK);
	run(f, "touch -d '3 days ago' repo/tmp/*-$PPID-*");
	/* Another host's, young and old; and a link. */
	run(f, "cd repo/tmp && touch zzzzzzzz-1-aa && touch -d '2 days ago' zzzzzzzz-1-bb && "
	       "ln -s ../../repo link && touch -h -d '2 days ago' link && mkdir folder");
	assert_int_equal(o->sweep(f->b, &e), ERR_OK);
	run(f, "cd repo/tmp && ls | sort >../../left && test -e zzzzzzzz-1-aa && "
	       "test ! -e zzzzzzzz-1-bb && test ! -L link && test $(wc -l <../../left) = 3");
	assert_int_equal(o->put_commit(p, "packs/p", &e), ERR_OK);
	assert_holds(f, "packs/p", "live");
	assert_int_equal(o->sweep(f->b, &e), ERR_OK);
	run(f, "rm -r repo/tmp");
	assert_int_equal(o->sweep(f->b, &e), ERR_OK);
	assert_int_equal(put(f, "packs/q", "q"), ERR_OK);
}

/* What stands at the path before, and what opening it says. */
static const struct opening {
	const char *name;
	const char *prepare;
	bool create;
	enum err_code want;
} openings[] = {
	{ "not there", "true", false, ERR_ABSENT },
	{ "empty mount point", "mkdir n", false, ERR_ABSENT },
	{ "litter", "mkdir -p n/lost+found && touch n/.DS_Store", false, ERR_ABSENT },
	{ "other folder", "mkdir n && touch n/x", false, ERR_NOT_FOUND },
	{ "half created", "mkdir -p n/packs", false, ERR_NOT_FOUND },
	{ "file", "touch n", false, ERR_NOT_FOUND },
	{ "a link", "mkdir n && ln -s /etc/passwd n/vouch.json", false, ERR_NOT_FOUND },
	{ "only the copy", "mkdir -p n/copies && touch n/copies/vouch.json", false, ERR_OK },
	{ "repository", "mkdir n && touch n/vouch.json", false, ERR_OK },
	{ "through a link", "mkdir m && touch m/vouch.json && ln -s m n", false, ERR_OK },
	{ "create", "true", true, ERR_OK },
	{ "create in an empty folder", "mkdir n", true, ERR_OK },
	{ "create beside litter", "mkdir -p 'n/System Volume Information' n/.Trash-1000", true,
	  ERR_OK },
	{ "create again", "mkdir -p n/packs/3f n/tmp && touch n/README.txt n/tmp/x", true, ERR_OK },
	{ "create over a repository", "mkdir n && touch n/vouch.json", true, ERR_EXISTS },
	{ "create over a lost one", "mkdir -p n/packs/3f && touch n/packs/3f/x", true, ERR_EXISTS },
	{ "create over a copy", "mkdir -p n/copies && touch n/copies/vouch.json", true,
	  ERR_EXISTS },
	{ "create in a full folder", "mkdir n && touch n/x", true, ERR_EXISTS },
	{ "create over a file", "touch n", true, ERR_EXISTS },
};

static void test_open(void **state)
{
	struct fixture *f = *state;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/n", f->top);
	for (size_t i = 0; i < ARRAY_LEN(openings); i++) {
		const struct opening *t = &openings[i];
		struct backend *b = NULL;
		struct err e = ERR_INIT;

		run(f, t->prepare);
		assert_int_equal(file_backend_open(path, t->create, true, &io_system, &b, &e),
				 t->want);
		assert_int_equal(e.code, t->want);
		if (b) {
			assert_non_null(file_backend_path(b));
			assert_false(b->read_only);
			b->ops->close(b);
		}
		if (t->create && !t->want)
			run(f, "cd n && ls -d packs snapshots forgotten log copies tmp >/dev/null");
		run(f, "rm -rf n m");
	}
	(void)snprintf(path, sizeof(path), "%s/no/n", f->top);
	{
		struct backend *b = NULL;
		struct err e = ERR_INIT;

		assert_int_equal(file_backend_open(path, true, true, &io_system, &b, &e),
				 ERR_NOT_FOUND);
	}
	assert_null(file_backend_path(NULL));
}

/* What a user who may not write is told.  As root, who may, another user tries it. */
static void test_read_only(void **state)
{
	struct fixture *f = *state;
	int status = 0;
	pid_t pid;

	run(f, "chmod 755 . repo && chmod 644 repo/vouch.json && chmod 555 repo");
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct backend *b = NULL;
		struct err e = ERR_INIT;
		char buf[4];
		size_t n = 0;

		if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
			_exit(1);
		if (file_backend_open(f->repo, false, true, &io_system, &b, &e) != ERR_IO ||
		    e.sys != EACCES)
			_exit(2);
		if (file_backend_open(f->repo, false, false, &io_system, &b, &e) ||
		    !b->read_only || b->ops->get(b, "vouch.json", 0, buf, 4, &n, &e) || n != 3)
			_exit(3);
		if (b->ops->put(b, "vouch.json", "x", 1, &e) != ERR_IO)
			_exit(4);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	run(f, "chmod 755 repo");
}

/* Past the cache: what comes is what was asked for, wherever it begins and ends. */
static void test_fresh(void **state)
{
	enum { LEN = 3 * 4096 + 1234 };
	static const struct {
		uint64_t off;
		size_t len, want;
	} rows[] = {
		{ 0, LEN, LEN },	 { 0, 1, 1 },		   { 1, LEN, LEN - 1 },
		{ 4095, 2, 2 },		 { 4096, 4096, 4096 },	   { 100, 5000, 5000 },
		{ LEN - 1, 10, 1 },	 { LEN, 10, 0 },	   { LEN + 9000, 10, 0 },
		{ 3 * 4096, 9000, 1234 }, { 8192, 4097, 4097 },    { 5, 0, 0 },
	};
	struct fixture *f = *state;
	char all[LEN], buf[2 * LEN];
	struct err e = ERR_INIT;

	for (size_t i = 0; i < LEN; i++)
		all[i] = (char)(i * 7 + i / 251);
	assert_int_equal(f->b->ops->put(f->b, "log/x", all, LEN, &e), ERR_OK);
	f->b->fresh = true;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = 99999;

		memset(buf, 'x', sizeof(buf));
		assert_int_equal(f->b->ops->get(f->b, "log/x", rows[i].off, buf, rows[i].len, &n,
						&e), ERR_OK);
		assert_int_equal(n, rows[i].want);
		if (n > 0)
			assert_memory_equal(buf, all + rows[i].off, n);
		assert_int_equal(buf[n], 'x');
	}
	/* The same descriptor, no longer so. */
	f->b->fresh = false;
	assert_int_equal(get(f, "log/x", buf, sizeof(buf), &(size_t){ 0 }), ERR_OK);
	/* Either there is nothing between, or it is said what. */
	assert_true(f->b->kind != NULL);
	assert_true(f->b->behind == NULL || f->b->behind == f->b->kind);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_put_get), TEST(test_pieces),	 TEST(test_names),  TEST(test_links),
		TEST(test_read_back),
		TEST(test_list),    TEST(test_append),	 TEST(test_absent), TEST(test_replaced),
		TEST(test_sweep),   TEST(test_many_files), TEST(test_threads), TEST(test_open),
		TEST(test_read_only), TEST(test_fresh),
	};

	return cmocka_run_group_tests_name("backend_file", tests, NULL, NULL);
}
