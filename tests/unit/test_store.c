/* SPDX-License-Identifier: MIT */
/* Repositories made and opened, whole and otherwise; and the small files in them. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/base/hex.h"
#include "store/format/checkline.h"
#include "tests/lib/testrepo.h"

static struct testrepo repo;

static int setup(void **state)
{
	(void)state;
	testrepo_make(&repo);
	return 0;
}

static int setup_dir(void **state)
{
	(void)state;
	testrepo_make_dir(&repo);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testrepo_remove(&repo);
	return 0;
}

static enum err_code try_open(enum store_mode mode, struct err *e)
{
	struct store_events ev = testrepo_events(&repo);

	return store_open(repo.path, mode, &ev, &repo.s, e);
}

/* Create. */

static void test_create(void **state)
{
	const struct store_create_params bad = { .chunk_avg = 100000 };
	size_t len = 0, copy_len = 0;
	struct err e = ERR_INIT;
	uint8_t *text, *copy;
	struct stat st;

	(void)state;
	assert_int_equal(store_create(repo.path, &bad, &e), ERR_USAGE);
	assert_int_equal(stat(repo.path, &st), -1);
	OK(store_create(repo.path, NULL, &ok_err));
	assert_int_equal(stat(repo.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	text = testrepo_read(&repo, "vouch.json", &len);
	copy = testrepo_read(&repo, "copies/vouch.json", &copy_len);
	assert_true(text && copy && len == copy_len);
	assert_memory_equal(text, copy, len);
	free(text);
	free(copy);
	text = testrepo_read(&repo, "README.txt", &len);
	assert_non_null(text);
	assert_non_null(strstr((char *)text, "sha256sum"));
	free(text);
	assert_int_equal(store_create(repo.path, NULL, &e), ERR_EXISTS);
	testrepo_open(&repo, STORE_WRITE);
	assert_int_equal(strlen(store_id_text(repo.s)), 32);
	assert_false(store_is_read_only(repo.s));
	assert_string_equal(store_path(repo.s), repo.path);
	assert_int_equal(repo.s->super.params.chunk_avg, 256 << 10);
}

static void test_create_params(void **state)
{
	const struct store_create_params p = { .chunk_min = 1024, .chunk_avg = 4096,
					       .chunk_max = 16384, .block_len = 65536,
					       .pack_len = 1 << 20, .zstd_level = 7 };
	const struct store_params *got;

	(void)state;
	OK(store_create(repo.path, &p, &ok_err));
	testrepo_open(&repo, STORE_READ);
	got = &repo.s->super.params;
	assert_int_equal(got->chunk_min, p.chunk_min);
	assert_int_equal(got->chunk_avg, p.chunk_avg);
	assert_int_equal(got->chunk_max, p.chunk_max);
	assert_int_equal(got->block_len, p.block_len);
	assert_int_equal(got->pack_len, p.pack_len);
	assert_int_equal(got->zstd_level, p.zstd_level);
}

static void test_create_in_the_way(void **state)
{
	struct err e = ERR_INIT;
	char path[256];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/no/parent", repo.dir);
	assert_int_not_equal(store_create(path, NULL, &e), ERR_OK);
	assert_int_equal(mkdir(repo.path, 0755), 0);
	testrepo_write(&repo, "mine.txt", "x", 1);
	assert_int_equal(store_create(repo.path, NULL, &e), ERR_EXISTS);
	assert_true(testrepo_exists(&repo, "mine.txt"));
	assert_false(testrepo_exists(&repo, "README.txt"));
	testrepo_unlink(&repo, "mine.txt");
	OK(store_create(repo.path, NULL, &ok_err));	/* an empty folder is fine */
}

/* Cut short before its commit point: the next create finishes. */
static void test_create_interrupted(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	OK(store_create(repo.path, NULL, &ok_err));
	testrepo_unlink(&repo, "vouch.json");
	testrepo_unlink(&repo, "copies/vouch.json");
	assert_int_equal(try_open(STORE_READ, &e), ERR_NOT_FOUND);
	OK(store_create(repo.path, NULL, &ok_err));
	testrepo_open(&repo, STORE_WRITE);
	assert_int_equal(repo.damages + repo.warnings, 0);
}

/* Open. */

static void test_open_nothing(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(try_open(STORE_READ, &e), ERR_ABSENT);
	assert_int_equal(mkdir(repo.path, 0755), 0);
	testrepo_write(&repo, "mine.txt", "x", 1);
	assert_int_equal(try_open(STORE_READ, &e), ERR_NOT_FOUND);
	assert_int_equal(try_open(STORE_WRITE, &e), ERR_NOT_FOUND);
	assert_null(repo.s);
	store_close(NULL);
}

enum harm { WHOLE, FLIPPED, EMPTY, GONE };

static const struct super_row {
	const char *name;
	enum harm main, copy;
	enum err_code want;
	unsigned damages;
} super_rows[] = {
	{ "super: whole", WHOLE, WHOLE, ERR_OK, 0 },
	{ "super: flipped", FLIPPED, WHOLE, ERR_OK, 1 },
	{ "super: empty", EMPTY, WHOLE, ERR_OK, 1 },
	{ "super: gone", GONE, WHOLE, ERR_OK, 1 },
	{ "super: copy flipped", WHOLE, FLIPPED, ERR_OK, 1 },
	{ "super: copy gone", WHOLE, GONE, ERR_OK, 0 },
	{ "super: both flipped", FLIPPED, FLIPPED, ERR_CORRUPT, 0 },
	{ "super: flipped, copy gone", FLIPPED, GONE, ERR_CORRUPT, 0 },
	{ "super: gone, copy flipped", GONE, FLIPPED, ERR_CORRUPT, 0 },
	{ "super: both gone", GONE, GONE, ERR_NOT_FOUND, 0 },
};

static void harm(const char *name, enum harm h)
{
	if (h == FLIPPED)
		testrepo_flip(&repo, name, 60, 2);
	else if (h == EMPTY)
		testrepo_write(&repo, name, "", 0);
	else if (h == GONE)
		testrepo_unlink(&repo, name);
}

static void test_super(void **state)
{
	const struct super_row *t = *state;
	struct err e = ERR_INIT;

	harm("vouch.json", t->main);
	harm("copies/vouch.json", t->copy);
	assert_int_equal(try_open(STORE_READ, &e), t->want);
	assert_int_equal(e.code, t->want);
	assert_int_equal(repo.damages, t->damages);
	assert_int_equal(repo.warnings, 0);
	if (t->want)
		return;
	assert_int_equal(testrepo_exists(&repo, "copies/vouch.json"), t->copy != GONE);
	testrepo_close(&repo);
	testrepo_open(&repo, STORE_WRITE);
	assert_true(testrepo_exists(&repo, "copies/vouch.json"));
}

static const struct feature_row {
	const char *name, *from, *to;
	enum err_code read, write;
	const char *says;
} feature_rows[] = {
	{ "feature: compatible", "\"compatible\": []", "\"compatible\": [\"warp\"]", ERR_OK, ERR_OK,
	  NULL },
	{ "feature: readable", "\"readable\": []", "\"readable\": [\"warp\"]", ERR_OK,
	  ERR_UNSUPPORTED, "warp" },
	{ "feature: incompatible", "\"incompatible\": []", "\"incompatible\": [\"warp\"]",
	  ERR_UNSUPPORTED, ERR_UNSUPPORTED, "warp" },
	{ "format 2", "\"format\": 1", "\"format\": 2", ERR_UNSUPPORTED, ERR_UNSUPPORTED, "2" },
};

/** Replace from by to in both copies, with a right check line. */
static void patch_super(const char *from, const char *to)
{
	struct buf b = BUF_INIT;
	size_t len = 0;
	char *text = (char *)testrepo_read(&repo, "vouch.json", &len), *at, *last;

	assert_non_null(text);
	last = strstr(text, "\"sha256\"");
	at = strstr(text, from);
	assert_true(at && last && at < last);
	buf_add(&b, text, (size_t)(at - text));
	buf_add_str(&b, to);
	at += strlen(from);
	buf_add(&b, at, (size_t)(last - at));
	checkline_add(&b);
	assert_false(b.bad);
	testrepo_write(&repo, "vouch.json", b.p, b.len);
	testrepo_write(&repo, "copies/vouch.json", b.p, b.len);
	buf_release(&b);
	free(text);
}

static void test_feature(void **state)
{
	const struct feature_row *t = *state;
	struct err e = ERR_INIT;

	patch_super(t->from, t->to);
	assert_int_equal(try_open(STORE_READ, &e), t->read);
	if (!t->read)
		assert_int_equal(store_is_read_only(repo.s), t->write != ERR_OK);
	testrepo_close(&repo);
	assert_int_equal(try_open(STORE_WRITE, &e), t->write);
	if (t->says)
		assert_non_null(strstr(e.msg, t->says));
	assert_int_equal(repo.damages, 0);
}

/* A newer vouch.json must not be passed over for an older copy. */
static void test_newer_than_copy(void **state)
{
	struct err e = ERR_INIT;
	size_t len = 0;
	uint8_t *copy = testrepo_read(&repo, "copies/vouch.json", &len);

	(void)state;
	patch_super("\"format\": 1", "\"format\": 2");
	testrepo_write(&repo, "copies/vouch.json", copy, len);
	free(copy);
	assert_int_equal(try_open(STORE_READ, &e), ERR_UNSUPPORTED);
}

/* The index. */

static struct object_id put_hello(void)
{
	struct object_id id;

	testrepo_open(&repo, STORE_WRITE);
	testrepo_put(&repo, PACK_DATA, "hello", 5, &id);
	testrepo_finish(&repo);
	testrepo_close(&repo);
	return id;
}

static void check_hello(const struct object_id *id)
{
	struct store_stats st;
	struct chunk_ref ref;

	OK(chunks_get(repo.s->chunks, id, &ref, &ok_err));
	assert_int_equal(ref.len, 5);
	assert_memory_equal(ref.data, "hello", 5);
	chunk_ref_release(repo.s->chunks, &ref);
	store_stats(repo.s, &st);
	assert_int_equal(st.packs, 1);
	assert_int_equal(st.blocks_read, 1);
	assert_true(st.bytes_checked >= 5);
	assert_true(st.total_bytes > 0);
}

static void test_index_is_disposable(void **state)
{
	struct object_id id = put_hello();

	(void)state;
	assert_true(testrepo_exists(&repo, "index.db"));
	testrepo_unlink(&repo, "index.db");
	testrepo_open(&repo, STORE_READ);
	check_hello(&id);
	testrepo_close(&repo);
	testrepo_write(&repo, "index.db", "this is no database, and never was one", 38);
	testrepo_open(&repo, STORE_READ);
	check_hello(&id);
	testrepo_close(&repo);
	assert_int_equal(repo.damages, 0);
}

/** Run a command line in the repository's folder; its output's first line. */
static int run(const char *what, char *out, size_t len)
{
	char cmd[1024];
	FILE *f;

	(void)snprintf(cmd, sizeof(cmd), "cd '%s' && %s", repo.path, what);
	f = popen(cmd, "r");
	assert_non_null(f);
	out[0] = '\0';
	if (!fgets(out, (int)len, f))
		out[0] = '\0';
	return pclose(f);
}

#define STATE_OF_FILES "find . ! -name 'index.db*' ! -path . -printf '%p %s %T@ %C@\\n' " \
	"| sort | sha256sum"

static void test_reading_writes_nothing(void **state)
{
	struct object_id id = put_hello();
	char before[128], after[128];

	(void)state;
	testrepo_unlink(&repo, "copies/vouch.json");
	assert_int_equal(run(STATE_OF_FILES, before, sizeof(before)), 0);
	testrepo_open(&repo, STORE_READ);
	check_hello(&id);
	testrepo_close(&repo);
	assert_int_equal(run(STATE_OF_FILES, after, sizeof(after)), 0);
	assert_string_equal(before, after);
}

/** A read-only medium, seen by this process alone; false where we may not. */
static bool make_read_only(void)
{
	if (unshare(CLONE_NEWNS) < 0)
		return false;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(repo.path, repo.path, NULL, MS_BIND, NULL) < 0)
		return false;
	return mount(NULL, repo.path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0;
}

static void test_read_only_medium(void **state)
{
	struct object_id id = put_hello();
	struct err e = ERR_INIT;
	char path[320];
	struct stat st;

	(void)state;
	if (!make_read_only()) {
		print_message("skipped: no read-only bind mount without root\n");
		skip();
	}
	assert_int_equal(try_open(STORE_WRITE, &e), ERR_IO);
	testrepo_open(&repo, STORE_READ);
	assert_true(store_is_read_only(repo.s));
	check_hello(&id);
	(void)snprintf(path, sizeof(path), "%s/cache/vouch/%s/index.db", repo.dir,
		       store_id_text(repo.s));
	assert_int_equal(stat(path, &st), 0);
	testrepo_close(&repo);
	assert_int_equal(repo.warnings, 0);
	/* Nor a place for a cache: in memory, and said so. */
	(void)snprintf(path, sizeof(path), "%s/vouch.json", repo.path);
	assert_int_equal(setenv("XDG_CACHE_HOME", path, 1), 0);
	testrepo_open(&repo, STORE_READ);
	check_hello(&id);
	testrepo_close(&repo);
	assert_int_equal(repo.warnings, 1);
	assert_int_equal(repo.damages, 0);
	assert_int_equal(umount(repo.path), 0);
}

/* The small files. */

static void test_sums(void **state)
{
	struct snapshot snap;
	char line[256];
	size_t len = 0;
	char *sums;

	(void)state;
	(void)put_hello();
	testrepo_open(&repo, STORE_WRITE);
	snap = testrepo_snapshot(&repo, 1000, "alpha");
	OK(snapshot_publish(repo.s, &snap, &ok_err));
	snapshot_release(&snap);
	OK(runlog_append(repo.s, "backup", NULL, &ok_err));
	testrepo_unlink(&repo, "README.txt");
	OK(records_refresh_sums(repo.s, &ok_err));
	OK(records_refresh_sums(repo.s, &ok_err));	/* not of itself */
	assert_true(testrepo_exists(&repo, "README.txt"));
	assert_int_equal(run("sha256sum --strict --quiet -c SHA256SUMS 2>&1", line,
			     sizeof(line)), 0);
	assert_string_equal(line, "");
	assert_int_equal(run("cut -c67- SHA256SUMS | LC_ALL=C sort -c 2>&1", line,
			     sizeof(line)), 0);
	sums = (char *)testrepo_read(&repo, "SHA256SUMS", &len);
	assert_non_null(sums);
	assert_non_null(strstr(sums, "  vouch.json\n"));
	assert_non_null(strstr(sums, "  copies/vouch.json\n"));
	assert_non_null(strstr(sums, "  packs/"));
	assert_non_null(strstr(sums, "  snapshots/1970-01-01T00-16-40Z-"));
	assert_non_null(strstr(sums, "  copies/snapshots/1970-"));
	assert_null(strstr(sums, "index.db"));
	assert_null(strstr(sums, "SHA256SUMS"));
	assert_null(strstr(sums, "log/"));
	free(sums);
	/* It can fail: one flipped bit is found. */
	testrepo_flip(&repo, "README.txt", 10, 0);
	assert_int_not_equal(run("sha256sum --quiet -c SHA256SUMS 2>&1", line,
				 sizeof(line)), 0);
	assert_string_equal(line, "README.txt: FAILED\n");
	assert_int_equal(repo.warnings + repo.damages, 0);
}

static void test_record_put(void **state)
{
	static const char *const names[] = { "forgotten/x.json", "copies/forgotten/x.json" };
	size_t len = 0;

	(void)state;
	testrepo_open(&repo, STORE_WRITE);
	OK(record_put(repo.s, "forgotten/x.json", "{}", 2, &ok_err));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		uint8_t *p = testrepo_read(&repo, names[i], &len);

		assert_non_null(p);
		assert_int_equal(len, 2);
		assert_memory_equal(p, "{}", 2);
		free(p);
	}
}

static void test_user_dir(void **state)
{
	char home[256], want[256], *got = NULL;
	struct err e = ERR_INIT;
	struct stat st;

	(void)state;
	(void)snprintf(home, sizeof(home), "%s", getenv("HOME") ? getenv("HOME") : "/");
	assert_int_equal(setenv("HOME", repo.dir, 1), 0);
	assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
	OK(user_dir("XDG_CACHE_HOME", NULL, ".cache", &got, &ok_err));
	(void)snprintf(want, sizeof(want), "%s/.cache/vouch", repo.dir);
	assert_string_equal(got, want);
	assert_int_equal(stat(got, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	free(got);
	/* A relative one counts as none. */
	assert_int_equal(setenv("XDG_CACHE_HOME", "here", 1), 0);
	OK(user_dir("XDG_CACHE_HOME", NULL, ".cache", &got, &ok_err));
	assert_string_equal(got, want);
	free(got);
	(void)snprintf(want, sizeof(want), "%s/repo/vouch.json", repo.dir);
	assert_int_equal(setenv("XDG_CACHE_HOME", want, 1), 0);
	assert_int_equal(user_dir("XDG_CACHE_HOME", NULL, ".cache", &got, &e), ERR_IO);
	assert_int_equal(setenv("HOME", home, 1), 0);
}

static void test_version(void **state)
{
	(void)state;
	assert_string_equal(store_version(), VOUCH_VERSION);
}

static size_t nr_tests;
static struct CMUnitTest tests[64];

static void add(const char *name, CMUnitTestFunction fn, CMFixtureFunction make, const void *row)
{
	assert_true(nr_tests < ARRAY_LEN(tests));
	tests[nr_tests++] = (struct CMUnitTest){ name, fn, make, teardown, (void *)(uintptr_t)row };
}

int main(void)
{
	add("create", test_create, setup_dir, NULL);
	add("create with parameters", test_create_params, setup_dir, NULL);
	add("create, something in the way", test_create_in_the_way, setup_dir, NULL);
	add("create after an interrupted one", test_create_interrupted, setup_dir, NULL);
	add("open nothing", test_open_nothing, setup_dir, NULL);
	for (size_t i = 0; i < ARRAY_LEN(super_rows); i++)
		add(super_rows[i].name, test_super, setup, &super_rows[i]);
	for (size_t i = 0; i < ARRAY_LEN(feature_rows); i++)
		add(feature_rows[i].name, test_feature, setup, &feature_rows[i]);
	add("newer than its copy", test_newer_than_copy, setup, NULL);
	add("the index is disposable", test_index_is_disposable, setup, NULL);
	add("reading writes nothing", test_reading_writes_nothing, setup, NULL);
	add("read-only medium", test_read_only_medium, setup, NULL);
	add("SHA256SUMS", test_sums, setup, NULL);
	add("records", test_record_put, setup, NULL);
	add("folders of the user", test_user_dir, setup, NULL);
	add("version", test_version, setup, NULL);
	return _cmocka_run_group_tests("store", tests, nr_tests, NULL, NULL);
}
