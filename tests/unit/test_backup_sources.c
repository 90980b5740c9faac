/* SPDX-License-Identifier: MIT */
/* What of the file system becomes part of a snapshot, and under which names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "tests/lib/sandbox.h"

static void assert_names(struct sandbox *sb, const char *path, const char *want)
{
	char *names = names_in(sb, path);

	assert_string_equal(names, want);
	free(names);
}

static void make_tree(struct sandbox *sb)
{
	make_dir(sb, "a");
	make_dir(sb, "a/b");
	make_text(sb, "a/b/c", "c");
	make_text(sb, "a/x.o", "object");
	make_text(sb, "top.o", "object");
	make_dir(sb, "cache");
	make_text(sb, "cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n# x\n");
	make_text(sb, "cache/junk", "junk");
	make_dir(sb, "fake");
	make_text(sb, "fake/CACHEDIR.TAG", "Signature: 0\n");
	make_text(sb, "fake/real", "real");
}

static void test_kept_whole(void **state)
{
	struct sandbox *sb = *state;
	const char *const sources[] = {sb->src};
	char path[400];
	struct entry_ref r;
	struct stat st;

	make_tree(sb);
	sb->o.base = NULL;
	sb->o.sources = sources;
	sandbox_backup(sb);
	(void)snprintf(path, sizeof(path), "%s/a/b/c", sb->src);
	assert_text(sb, path, "c");
	assert_names(sb, sb->dir, "src "); /* not the repository beside it */
	assert_string_equal(sb->res.snapshot.sources[0], sb->src);
	assert_string_equal(sb->res.snapshot.base, "");
	assert_int_equal(stat(sb->dir, &st), 0);
	find(sb, sb->dir, &r);
	assert_int_equal(r.e.mode, st.st_mode & 07777);
	assert_int_equal(r.e.inode, st.st_ino);
	found_release(sb, &r);
	assert_int_equal(stat("/", &st), 0);
	find(sb, "/", &r);
	assert_int_equal(r.e.inode, st.st_ino);
	found_release(sb, &r);
}

static void test_below_base(void **state)
{
	static const char *const sources[] = {"a/b", "top.o", "./a//b/../x.o"};
	struct sandbox *sb = *state;

	make_tree(sb);
	sb->o.sources = sources;
	sb->o.nr_sources = ARRAY_LEN(sources);
	sandbox_backup(sb);
	assert_names(sb, "", "a top.o ");
	assert_names(sb, "a", "b x.o ");
	assert_string_equal(sb->res.snapshot.sources[2], "a/x.o");
	assert_string_equal(sb->res.snapshot.base, sb->src);
}

static void test_overlapping(void **state)
{
	static const char *const sources[] = {"a/b", "a", "a/b/c", "a", "a/"};
	struct sandbox *sb = *state;

	make_tree(sb);
	sb->o.sources = sources;
	sb->o.nr_sources = ARRAY_LEN(sources);
	sandbox_backup(sb);
	assert_names(sb, "", "a ");
	assert_names(sb, "a", "b x.o ");
	assert_names(sb, "a/b", "c ");
	assert_int_equal(sb->res.files, 2);
}

static void test_relative_to_here(void **state)
{
	static const char *const sources[] = {"b/c"};
	struct sandbox *sb = *state;
	char here[4096], path[400];

	make_tree(sb);
	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(chdir(in_src(sb, "a")), 0);
	sb->o.base = NULL;
	sb->o.sources = sources;
	sandbox_backup(sb);
	assert_int_equal(chdir(here), 0);
	(void)snprintf(path, sizeof(path), "%s/a/b/c", sb->src);
	assert_text(sb, path, "c");
	assert_string_equal(sb->res.snapshot.sources[0], path);
}

static const struct refusal {
	const char *source;
	enum err_code want;
} refusals[] = {
    {"", ERR_USAGE},
    {"..", ERR_USAGE},
    {"../repo", ERR_USAGE},
    {"a/../../src2", ERR_USAGE},
    {"/", ERR_USAGE},
    {"/etc", ERR_USAGE},
    {"missing", ERR_NOT_FOUND},
    {"a/missing", ERR_NOT_FOUND},
    {"missing/x", ERR_NOT_FOUND},
    {"top.o/x", ERR_NOT_FOUND},
    {"out/x", ERR_USAGE},
};

static void test_refused(void **state)
{
	struct sandbox *sb = *state;
	char other[300];

	make_tree(sb);
	(void)snprintf(other, sizeof(other), "%s2", sb->src);
	assert_int_equal(mkdir(other, 0755), 0);
	assert_int_equal(symlink("..", in_src(sb, "out")), 0);
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		enum err_code rc;

		sb->o.sources = &refusals[i].source;
		rc = sandbox_run(sb);
		if (rc != refusals[i].want)
			fail_msg("'%s': %s, %s", refusals[i].source, err_name(rc), sb->e.msg);
		assert_true(strlen(sb->e.msg) > 0);
	}
	sb->o.nr_sources = 0;
	assert_int_equal(sandbox_run(sb), ERR_USAGE);
	assert_int_equal(sandbox_nr_snapshots(sb), 0);
}

static void test_source_is_a_link(void **state)
{
	static const char *const as_link[] = {"to-a"}, *const followed[] = {"to-a/"};
	struct sandbox *sb = *state;
	struct entry_ref r;

	make_tree(sb);
	assert_int_equal(symlink("a", in_src(sb, "to-a")), 0);
	sb->o.sources = as_link;
	sandbox_backup(sb);
	assert_names(sb, "", "to-a ");
	find(sb, "to-a", &r);
	assert_int_equal(r.e.type, ENTRY_SYMLINK);
	found_release(sb, &r);
	assert_int_equal(sb->notes, 1);
	sb->o.sources = followed;
	sandbox_backup(sb);
	assert_names(sb, "", "a ");
	assert_names(sb, "a", "b x.o ");
}

static void test_excludes(void **state)
{
	static const char *const patterns[] = {"*.o", "!top.o", "/a/b/"};
	struct sandbox *sb = *state;

	make_tree(sb);
	sb->o.excludes = patterns;
	sb->o.nr_excludes = ARRAY_LEN(patterns);
	sb->o.exclude_caches = true;
	sandbox_backup(sb);
	assert_names(sb, "", "a cache fake top.o ");
	assert_names(sb, "a", "");
	assert_names(sb, "cache", "CACHEDIR.TAG ");
	assert_names(sb, "fake", "CACHEDIR.TAG real ");
	assert_int_equal(sb->notes + sb->warnings, 0);
}

/* Whoever names a thing wants it. */
static void test_named_is_not_excluded(void **state)
{
	static const char *const patterns[] = {"*.o", "a"}, *const sources[] = {"a/x.o", "cache"};
	struct sandbox *sb = *state;

	make_tree(sb);
	sb->o.sources = sources;
	sb->o.nr_sources = 2;
	sb->o.excludes = patterns;
	sb->o.nr_excludes = 2;
	sb->o.exclude_caches = true;
	sandbox_backup(sb);
	assert_names(sb, "a", "x.o ");
	assert_names(sb, "cache", "CACHEDIR.TAG junk ");
}

static void test_repository_is_skipped(void **state)
{
	struct sandbox *sb = *state;

	make_tree(sb);
	sb->o.base = sb->dir;
	sandbox_backup(sb);
	assert_names(sb, "repo", "");
	assert_text(sb, "src/a/b/c", "c");
	assert_non_null(strstr(sb->news, "/repo: skipped"));
	sb->o.base = sb->repo;
	assert_int_equal(sandbox_run(sb), ERR_FAILED);
	assert_int_equal(sandbox_nr_snapshots(sb), 1);
}

static void test_pseudo_file_systems(void **state)
{
	struct sandbox *sb = *state;
	const char *const sources[] = {sb->src, "/proc", "/sys/kernel"};

	if (access("/proc/self/stat", F_OK) < 0 || access("/sys/kernel", F_OK) < 0)
		skip();
	make_tree(sb);
	sb->o.base = NULL;
	sb->o.sources = sources;
	sb->o.nr_sources = 3;
	sandbox_backup(sb);
	assert_names(sb, "/proc", "");
	assert_names(sb, "/sys", "kernel ");
	assert_names(sb, "/sys/kernel", "");
	assert_int_equal(sb->res.skipped, 2);
	assert_non_null(strstr(sb->news, "/proc: skipped what is in it (proc)"));
	sb->o.sources = sources + 1;
	sb->o.nr_sources = 2;
	assert_int_equal(sandbox_run(sb), ERR_FAILED);
}

static void test_dry_run(void **state)
{
	struct sandbox *sb = *state;
	struct backup_result dry;

	make_tree(sb);
	make_noise(sb, "large", 3000000, 1);
	assert_int_equal(link(in_src(sb, "large"), in_src(sb, "large2")), 0);
	sb->o.dry_run = true;
	sandbox_backup(sb);
	dry = sb->res;
	assert_null(dry.snapshot.name);
	assert_int_equal(sandbox_nr_snapshots(sb), 0);
	sb->o.dry_run = false;
	sandbox_backup(sb);
	assert_int_equal(dry.files, sb->res.files);
	assert_int_equal(dry.dirs, sb->res.dirs);
	assert_int_equal(dry.others, sb->res.others);
	assert_int_equal(dry.bytes, sb->res.bytes);
	assert_int_equal(dry.changed_files, sb->res.changed_files);
	assert_int_equal(sb->res.dirs, sb->res.snapshot.totals.dirs);
	assert_int_equal(sb->res.files, sb->res.snapshot.totals.files);
	assert_int_equal(sb->res.bytes, sb->res.snapshot.totals.bytes);
}

static void test_described(void **state)
{
	static const char *const tags[] = {"nightly", "x"};
	struct sandbox *sb = *state;
	const struct snapshot *s = &sb->res.snapshot;
	char host[256];

	make_tree(sb);
	sb->o.tags = tags;
	sb->o.nr_tags = 2;
	sandbox_backup(sb);
	assert_int_equal(gethostname(host, sizeof(host)), 0);
	assert_string_equal(s->host, host);
	assert_int_equal(s->nr_tags, 2);
	assert_string_equal(s->tags[1], "x");
	assert_string_equal(s->version, store_version());
	assert_string_equal(s->sources[0], ".");
	assert_true(s->time.sec > 0 && s->end.sec >= s->time.sec);
	assert_true(strlen(s->name) > SNAPSHOT_DATE_LEN);
	assert_int_equal(s->seq, 1);
	assert_true(s->new_bytes > 0 && s->stored_bytes > 0);
}

static void test_read_only_handle(void **state)
{
	struct sandbox *sb = *state;
	struct backup_result res = {0};
	struct store *s;

	make_tree(sb);
	assert_int_equal(store_open(sb->repo, STORE_READ, NULL, &s, &sb->e), ERR_OK);
	assert_int_equal(backup_run(s, &sb->o, &res, &sb->e), ERR_USAGE);
	snapshot_release(&res.snapshot);
	store_close(s);
}

/* In a process of its own, which alone sees the mount. */
static void with_mount(struct sandbox *sb)
{
	static const char *const both[] = {".", "mnt"};

	make_tree(sb);
	make_dir(sb, "mnt");
	if (mount("vouch-test", in_src(sb, "mnt"), "tmpfs", 0, NULL) < 0)
		_exit(77);
	make_text(sb, "mnt/in", "in");
	sb->o.one_file_system = true;
	sandbox_backup(sb);
	assert_names(sb, "mnt", "");
	assert_int_equal(sb->notes, 0);
	sb->o.sources = both;
	sb->o.nr_sources = 2;
	sandbox_backup(sb);
	assert_names(sb, "mnt", "in ");
	sb->o.one_file_system = false;
	sb->o.nr_sources = 1;
	sandbox_backup(sb);
	assert_names(sb, "mnt", "in ");
	assert_int_equal(umount(in_src(sb, "mnt")), 0);
}

static void test_one_file_system(void **state)
{
	int status = -1;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		void *own = NULL;

		if (unshare(CLONE_NEWNS) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			_exit(77);
		sandbox_setup(&own);
		with_mount(own);
		sandbox_teardown(&own);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Two at once, each through a handle of its own. */

static void *second_run(void *arg)
{
	struct sandbox *sb = arg;
	static const char *const dot[] = {"."};
	const struct backup_options o = {
	    .sources = dot, .nr_sources = 1, .base = sb->src, .host = "second"};
	struct backup_result res = {0};
	struct err e = ERR_INIT;
	struct store *s = NULL;
	enum err_code rc = store_open(sb->repo, STORE_WRITE, NULL, &s, &e);

	for (int i = 0; i < 3 && !rc; i++) {
		rc = backup_run(s, &o, &res, &e);
		snapshot_release(&res.snapshot);
	}
	store_close(s);
	return rc ? strdup(e.msg) : NULL;
}

static void test_two_at_once(void **state)
{
	struct sandbox *sb = *state;
	pthread_t other;
	void *why = NULL;

	make_tree(sb);
	for (unsigned i = 0; i < 20; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "n%u", i);
		make_noise(sb, name, 400000, i);
	}
	assert_int_equal(pthread_create(&other, NULL, second_run, sb), 0);
	sb->o.host = "first";
	for (int i = 0; i < 3; i++)
		sandbox_backup(sb);
	assert_int_equal(pthread_join(other, &why), 0);
	if (why)
		fail_msg("second: %s", (char *)why);
	assert_int_equal(store_refresh(sb->s, &sb->e), ERR_OK);
	assert_int_equal(sandbox_nr_snapshots(sb), 6);
	assert_like_source(sb, "n7");
}

#define WITH_SANDBOX(f) cmocka_unit_test_setup_teardown(f, sandbox_setup, sandbox_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_SANDBOX(test_kept_whole),
	    WITH_SANDBOX(test_below_base),
	    WITH_SANDBOX(test_overlapping),
	    WITH_SANDBOX(test_relative_to_here),
	    WITH_SANDBOX(test_refused),
	    WITH_SANDBOX(test_source_is_a_link),
	    WITH_SANDBOX(test_excludes),
	    WITH_SANDBOX(test_named_is_not_excluded),
	    WITH_SANDBOX(test_repository_is_skipped),
	    WITH_SANDBOX(test_pseudo_file_systems),
	    cmocka_unit_test(test_one_file_system),
	    WITH_SANDBOX(test_dry_run),
	    WITH_SANDBOX(test_described),
	    WITH_SANDBOX(test_read_only_handle),
	    WITH_SANDBOX(test_two_at_once),
	};

	return cmocka_run_group_tests_name("backup: sources", tests, NULL, NULL);
}
