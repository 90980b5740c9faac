/* SPDX-License-Identifier: MIT */
/* One backup after another, and what changes or is in the way while it runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/backup_internal.h"
#include "store/base/checked.h"
#include "tests/lib/sandbox.h"

static void make_socket(const struct sandbox *sb, const char *rel)
{
	assert_int_equal(mknod(in_src(sb, rel), S_IFSOCK | 0600, 0), 0);
}

static void assert_names(struct sandbox *sb, const char *path, const char *want)
{
	char *names = names_in(sb, path);

	assert_string_equal(names, want);
	free(names);
}

/* Unchanged and changed. */

static void test_unchanged(void **state)
{
	struct sandbox *sb = *state;
	struct object_id first;

	make_noise(sb, "large", 9000000, 1);
	make_noise(sb, "small", 5000, 2);
	make_text(sb, "tiny", "tiny");
	make_text(sb, "empty", "");
	sandbox_settle();
	sandbox_backup(sb);
	assert_int_equal(sb->res.changed_files, 4);
	assert_true(sb->res.new_bytes > 9000000);
	first = sb->res.snapshot.root;
	sandbox_backup(sb);
	assert_int_equal(sb->res.changed_files, 0);
	assert_int_equal(sb->res.unchanged_files, 4);
	assert_int_equal(sb->res.files, 4);
	assert_int_equal(sb->res.bytes, 9005004);
	assert_int_equal(sb->res.new_bytes, 0);
	assert_int_equal(sb->res.stored_bytes, 0);
	assert_true(id_eq(&first, &sb->res.snapshot.root));
	assert_like_source(sb, "large");
	assert_text(sb, "tiny", "tiny");
	assert_int_equal(sandbox_nr_snapshots(sb), 2);
	sb->o.force = true;
	sandbox_backup(sb);
	assert_int_equal(sb->res.changed_files, 4);
	assert_int_equal(sb->res.new_bytes, 0);
	assert_true(id_eq(&first, &sb->res.snapshot.root));
}

static void test_unsettled_is_read_again(void **state)
{
	struct sandbox *sb = *state;
	struct entry_ref r;

	make_text(sb, "f", "just now");
	sandbox_backup(sb);
	find(sb, "f", &r);
	assert_true(r.e.flags & ENTRY_UNSETTLED);
	found_release(sb, &r);
	sandbox_settle();
	sandbox_backup(sb);
	assert_int_equal(sb->res.changed_files, 1);
	find(sb, "f", &r);
	assert_false(r.e.flags & ENTRY_UNSETTLED);
	found_release(sb, &r);
	sandbox_backup(sb);
	assert_int_equal(sb->res.changed_files, 0);
}

static void test_changed(void **state)
{
	struct sandbox *sb = *state;
	uint64_t first;
	int fd;

	make_noise(sb, "large", 20000000, 1);
	make_text(sb, "same", "same");
	make_text(sb, "gone", "gone");
	sandbox_settle();
	sandbox_backup(sb);
	first = sb->res.new_bytes;
	fd = open(in_src(sb, "large"), O_WRONLY);
	assert_int_equal(pwrite(fd, "changed", 7, 10000000), 7);
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(in_src(sb, "gone")), 0);
	make_text(sb, "came", "came");
	sandbox_settle();
	sandbox_backup(sb);
	assert_int_equal(sb->res.changed_files, 2);
	assert_int_equal(sb->res.unchanged_files, 1);
	assert_true(sb->res.new_bytes < first / 4); /* a chunk or two of it, and nodes */
	assert_like_source(sb, "large");
	assert_names(sb, "", "came large same ");
}

/* A change that leaves size and mtime as they were still moves the ctime. */
static void test_mtime_set_back(void **state)
{
	struct sandbox *sb = *state;
	struct timespec t[2];
	struct stat st;

	make_text(sb, "f", "before");
	sandbox_settle();
	sandbox_backup(sb);
	assert_int_equal(stat(in_src(sb, "f"), &st), 0);
	t[0] = st.st_atim;
	t[1] = st.st_mtim;
	do { /* until the kernel's clock has ticked */
		make_text(sb, "f", "after!");
		assert_int_equal(utimensat(AT_FDCWD, in_src(sb, "f"), t, 0), 0);
		t[0] = st.st_ctim;
		assert_int_equal(stat(in_src(sb, "f"), &st), 0);
	} while (st.st_ctim.tv_sec == t[0].tv_sec && st.st_ctim.tv_nsec == t[0].tv_nsec);
	sandbox_backup(sb);
	assert_text(sb, "f", "after!");
}

/* Other sources, another host, another base: no parent. */
static void test_parent_is_of_the_same(void **state)
{
	const char *const other[] = {"f"};
	struct sandbox *sb = *state;

	make_text(sb, "f", "x");
	sandbox_settle();
	sandbox_backup(sb);
	sb->o.host = "elsewhere";
	sandbox_backup(sb);
	assert_int_equal(sb->res.unchanged_files, 0);
	assert_string_equal(sb->res.snapshot.host, "elsewhere");
	sandbox_backup(sb);
	assert_int_equal(sb->res.unchanged_files, 1);
	sb->o.sources = other;
	sandbox_backup(sb);
	assert_int_equal(sb->res.unchanged_files, 0);
}

static struct {
	bool smallest;
	off_t len;
	char path[400];
} pack;

static int choose_pack(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	if (type == FTW_F && strstr(path, ".pack") &&
	    (pack.len == 0 || (pack.smallest ? st->st_size < pack.len : st->st_size > pack.len))) {
		pack.len = st->st_size;
		(void)snprintf(pack.path, sizeof(pack.path), "%s", path);
	}
	return 0;
}

/** The data's is the largest, the tree's the smallest. */
static void lose_pack(struct sandbox *sb, bool smallest)
{
	pack.smallest = smallest;
	pack.len = 0;
	assert_int_equal(nftw(sb->repo, choose_pack, 16, FTW_PHYS), 0);
	assert_true(pack.len > 0);
	assert_int_equal(unlink(pack.path), 0);
	assert_int_equal(store_refresh(sb->s, &sb->e), ERR_OK);
}

/* A file is not taken over unread where its chunks have gone: the backup makes it whole again. */
static void test_lost_chunks(void **state)
{
	struct sandbox *sb = *state;

	make_noise(sb, "list", 1000000, 1);
	make_noise(sb, "node", 12000000, 2); /* too many segments for the entry */
	make_text(sb, "inline", "kept");
	sandbox_settle();
	sandbox_backup(sb);
	lose_pack(sb, false);
	sandbox_backup(sb);
	assert_int_equal(sb->res.changed_files, 2);
	assert_int_equal(sb->res.unchanged_files, 1);
	assert_true(sb->res.new_bytes >= 13000000);
	assert_like_source(sb, "list");
	assert_like_source(sb, "node");
	/* Its list of chunks alone, which is still in memory. */
	lose_pack(sb, true);
	sandbox_backup(sb);
	assert_like_source(sb, "node");
	sandbox_reopen(sb);
	assert_like_source(sb, "node");
	/* Nor does it fail where the parent's tree itself is gone. */
	lose_pack(sb, false);
	lose_pack(sb, false);
	sandbox_reopen(sb);
	sandbox_backup(sb);
	assert_int_equal(sb->res.changed_files, 3);
	assert_like_source(sb, "node");
	assert_text(sb, "inline", "kept");
}

/* While it runs. The hook is called in the middle of the walk: a socket's note stands between
 * names. */

static void remove_next(struct sandbox *sb, const struct event *ev)
{
	if (ev->kind == EVENT_NOTE && strstr(ev->text, "socket")) {
		assert_int_equal(unlink(in_src(sb, "b-file")), 0);
		assert_int_equal(rmdir(in_src(sb, "c-dir")), 0);
		assert_int_equal(unlink(in_src(sb, "d-link")), 0);
	}
}

static void test_vanishing(void **state)
{
	struct sandbox *sb = *state;

	make_socket(sb, "a");
	make_text(sb, "b-file", "x");
	make_dir(sb, "c-dir");
	assert_int_equal(symlink("x", in_src(sb, "d-link")), 0);
	make_text(sb, "e", "stays");
	sb->hook = remove_next;
	sandbox_backup(sb);
	assert_int_equal(sb->res.errors, 0);
	assert_int_equal(sb->warnings, 0);
	assert_int_equal(sb->notes, 4);
	assert_non_null(strstr(sb->news, "b-file: vanished"));
	assert_names(sb, "", "e ");
}

/* With no pause between them there is progress after each piece of a file that is read. */
static bool reads(const struct event *ev, const char *name)
{
	const char *slash = ev->path ? strrchr(ev->path, '/') : NULL;

	return ev->kind == EVENT_PROGRESS && slash && strcmp(slash + 1, name) == 0;
}

static unsigned nr_changes; /* how many the hooks may still make */

static void append(struct sandbox *sb, const struct event *ev)
{
	int fd;

	if (!reads(ev, "log") || nr_changes == 0)
		return;
	nr_changes--;
	fd = open(in_src(sb, "log"), O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, "more", 4), 4);
	assert_int_equal(close(fd), 0);
}

static void test_growing(void **state)
{
	struct sandbox *sb = *state;
	uint8_t *want = noise(6000000, 3), *got = malloc(6000000);
	struct entry_ref r;
	struct blob *b;
	size_t n;

	make_file(sb, "log", want, 6000000);
	make_text(sb, "other", "x");
	backup_progress_ns = 0;
	nr_changes = 1000;
	sb->hook = append;
	sandbox_backup(sb);
	assert_int_equal(sb->res.errors, 1);
	assert_int_equal(sb->warnings, 1);
	assert_int_equal(sb->res.snapshot.errors, 1);
	assert_non_null(strstr(sb->news, "/log: changed while it was read"));
	find(sb, "log", &r);
	assert_true(r.e.flags & ENTRY_UNSTABLE);
	assert_true(r.e.size > 6000000); /* the last reading's, not the first's */
	assert_int_equal(blob_open(sb->s, &r.e, &b, &sb->e), ERR_OK);
	assert_int_equal(blob_pread(b, 0, got, 6000000, &n, &sb->e), ERR_OK);
	assert_int_equal(n, 6000000);
	assert_memory_equal(got, want, n);
	blob_close(b);
	found_release(sb, &r);
	free(want);
	free(got);
	sb->hook = NULL;
	sandbox_settle();
	sandbox_backup(sb); /* it holds still now */
	assert_int_equal(sb->res.errors, 0);
	assert_true(sb->res.changed_files >= 1);
	assert_like_source(sb, "log");
}

static void shorten(struct sandbox *sb, const struct event *ev)
{
	if (reads(ev, "log") && nr_changes > 0) {
		nr_changes--;
		assert_int_equal(truncate(in_src(sb, "log"), 1000000), 0);
	}
}

static void replace(struct sandbox *sb, const struct event *ev)
{
	if (reads(ev, "log") && nr_changes > 0) {
		nr_changes--;
		make_noise(sb, "new", 5000000, 77);
		assert_int_equal(rename(in_src(sb, "new"), in_src(sb, "log")), 0);
	}
}

static void remove_it(struct sandbox *sb, const struct event *ev)
{
	if (reads(ev, "log") && nr_changes > 0) {
		nr_changes--;
		assert_int_equal(unlink(in_src(sb, "log")), 0);
	}
}

/* One change while a file is read: the next reading is whole, and nothing to warn of. */
static void test_changed_once(void **state)
{
	static void (*const hooks[])(struct sandbox *, const struct event *) = {
	    append,
	    shorten,
	    replace,
	};
	struct sandbox *sb = *state;
	struct entry_ref r;

	backup_progress_ns = 0;
	for (size_t i = 0; i < ARRAY_LEN(hooks); i++) {
		make_noise(sb, "log", 5000000, i);
		nr_changes = 1;
		sb->hook = hooks[i];
		sandbox_backup(sb);
		assert_int_equal(nr_changes, 0);
		assert_int_equal(sb->res.errors, 0);
		assert_like_source(sb, "log");
		find(sb, "log", &r);
		assert_false(r.e.flags & ENTRY_UNSTABLE);
		found_release(sb, &r);
	}
	make_noise(sb, "log", 5000000, 9);
	nr_changes = 1;
	sb->hook = remove_it;
	sandbox_backup(sb);
	assert_int_equal(sb->res.errors, 0);
	assert_false(is_there(sb, "log"));
	assert_non_null(strstr(sb->news, "/log: vanished"));
}

/* In a process of its own: root may read everything. */
static void as_nobody(struct sandbox *sb)
{
	make_text(sb, "a", "readable");
	make_text(sb, "b", "not");
	make_dir(sb, "c");
	make_dir(sb, "d");
	make_text(sb, "d/in", "x");
	assert_int_equal(chmod(in_src(sb, "b"), 0), 0);
	assert_int_equal(chmod(in_src(sb, "c"), 0), 0);
	sandbox_backup(sb);
	assert_int_equal(sb->res.errors, 2);
	assert_int_equal(sb->warnings, 2);
	assert_non_null(strstr(sb->news, "/b: not read: Permission denied"));
	assert_non_null(strstr(sb->news, "/c: folder not read: Permission denied"));
	assert_names(sb, "", "a c d ");
	assert_names(sb, "c", "");
	assert_text(sb, "d/in", "x");
	assert_int_equal(chmod(in_src(sb, "c"), 0700), 0);
}

static void test_unreadable(void **state)
{
	int status = -1;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		void *own = NULL;

		if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
			_exit(77);
		sandbox_setup(&own);
		as_nobody(own);
		sandbox_teardown(&own);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static atomic_bool canceled;

static void cancel_now(struct sandbox *sb, const struct event *ev)
{
	(void)sb;
	if (ev->kind == EVENT_NOTE)
		atomic_store(&canceled, true);
}

static void test_cancel(void **state)
{
	struct sandbox *sb = *state;

	atomic_store(&canceled, false);
	make_noise(sb, "a", 12000000, 1);
	make_socket(sb, "b");
	make_noise(sb, "c", 3000000, 2);
	sb->o.cancel = &canceled;
	sb->hook = cancel_now;
	assert_int_equal(sandbox_run(sb), ERR_CANCELED);
	assert_int_equal(sb->e.code, ERR_CANCELED);
	assert_int_equal(sandbox_nr_snapshots(sb), 0);
	sb->hook = NULL;
	atomic_store(&canceled, false);
	sandbox_backup(sb);
	assert_true(sb->res.new_bytes < 3100000); /* a was stored by the first run */
	assert_like_source(sb, "a");
	assert_like_source(sb, "c");
}

#define WITH_SANDBOX(f) cmocka_unit_test_setup_teardown(f, sandbox_setup, sandbox_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_SANDBOX(test_unchanged),
	    WITH_SANDBOX(test_unsettled_is_read_again),
	    WITH_SANDBOX(test_changed),
	    WITH_SANDBOX(test_mtime_set_back),
	    WITH_SANDBOX(test_parent_is_of_the_same),
	    WITH_SANDBOX(test_lost_chunks),
	    WITH_SANDBOX(test_vanishing),
	    WITH_SANDBOX(test_growing),
	    WITH_SANDBOX(test_changed_once),
	    cmocka_unit_test(test_unreadable),
	    WITH_SANDBOX(test_cancel),
	};

	return cmocka_run_group_tests_name("backup: runs", tests, NULL, NULL);
}
