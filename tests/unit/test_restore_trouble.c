/* SPDX-License-Identifier: MIT */
/* Nothing is followed, nothing of others is touched, and damage stays where it is. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "tests/lib/restorebox.h"

/* Something stands where a restore wants to write. */

static void test_planted_links(void **state)
{
	char outside[256], inner[300], file[256];

	(void)state;
	rb_build_plain();
	(void)snprintf(outside, sizeof(outside), "%s/outside", rb.r.dir);
	(void)snprintf(inner, sizeof(inner), "%s/inner", outside);
	(void)snprintf(file, sizeof(file), "%s/victim", rb.r.dir);
	assert_int_equal(mkdir(outside, 0700), 0);
	rb_put(inner, "mine");
	rb_put(file, "mine");
	assert_int_equal(mkdir(rb.out, 0700), 0);
	assert_int_equal(symlink(outside, rb_path("dir")), 0);
	assert_int_equal(symlink(file, rb_path("file")), 0);
	rb_restore((struct restore_options){ .verify = true });
	assert_int_equal(rb.res.errors, 0);
	rb_assert_text(inner, "mine");
	rb_assert_text(file, "mine");
	assert_true(S_ISDIR(rb_stat("dir").st_mode));
	assert_true(S_ISREG(rb_stat("file").st_mode));
	rb_assert_text(rb_path("dir/inner"), "inner");
	assert_true(testlog_has(&rb.log, EVENT_NOTE, "symbolic link", "dir"));
	assert_true(testlog_has(&rb.log, EVENT_NOTE, "symbolic link", "file"));
}

/* Kernels and sandboxes without openat2: the same, component by component. */
static void refuse_openat2(int sys)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)sys),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_LEN(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
		_exit(77);
}

static void test_without_openat2(void **state)
{
	char outside[256];

	(void)state;
	rb_build_plain();
	rb_reopen();
	(void)snprintf(outside, sizeof(outside), "%s/outside", rb.r.dir);
	assert_int_equal(mkdir(outside, 0700), 0);
	for (int i = 0; i < 2; i++) {
		int status = 0;
		pid_t pid;

		testrepo_rm(rb.out);
		assert_int_equal(mkdir(rb.out, 0700), 0);
		assert_int_equal(symlink(outside, rb_path("dir")), 0);
		assert_int_equal(symlink("../outside/file", rb_path("file")), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			refuse_openat2(i ? EPERM : ENOSYS);
			_exit(rb_restore_with((struct restore_options){ .verify = true }) ||
			      rb.res.errors);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
			skip();
		assert_int_equal(status, 0);
		rb_assert_text(rb_path("dir/inner"), "inner");
		rb_assert_text(rb_path("file"), "file");
		assert_int_equal(rmdir(outside), 0);	/* nothing was written into it */
		assert_int_equal(mkdir(outside, 0700), 0);
	}
}

static void test_in_the_way(void **state)
{
	(void)state;
	rb_build_plain();
	assert_int_equal(mkdir(rb.out, 0700), 0);
	rb_put(rb_path("dir"), "mine");
	assert_int_equal(mkdir(rb_path("file"), 0700), 0);
	rb_put(rb_path("file/mine"), "mine");
	rb_restore((struct restore_options){ .verify = true });
	assert_int_equal(rb.res.errors, 2);
	assert_int_equal(rb.res.damaged, 0);
	rb_assert_text(rb_path("dir"), "mine");
	rb_assert_text(rb_path("file/mine"), "mine");
	assert_true(testlog_has(&rb.log, EVENT_WARNING, "|dir|", "in the way"));
	assert_true(testlog_has(&rb.log, EVENT_WARNING, "|file|", "in the way"));
}

/* What is asked for. */

static void test_dry_run(void **state)
{
	(void)state;
	rb_build_plain();
	rb_restore((struct restore_options){ .dry_run = true });
	assert_false(rb_exists(""));
	assert_int_equal(rb.res.files, 2);
	assert_int_equal(rb.res.dirs, 2);
	assert_true(testlog_has(&rb.log, EVENT_NOTE, "would write|dir/inner", ""));
	assert_int_equal(mkdir(rb.out, 0700), 0);
	rb_put(rb_path("file"), "mine");
	testlog_reset(&rb.log);
	rb_restore((struct restore_options){ .dry_run = true });
	assert_true(testlog_has(&rb.log, EVENT_NOTE, "would replace|file", ""));
	rb_assert_text(rb_path("file"), "mine");
	assert_false(rb_exists("dir"));
}

static void test_patterns(void **state)
{
	const char *const in[] = { "/dir/inner" }, *const out[] = { "dir" };

	(void)state;
	rb_build_plain();
	rb_restore((struct restore_options){ .includes = in, .nr_includes = 1 });
	assert_true(rb_exists("dir/inner"));
	assert_false(rb_exists("file"));
	assert_int_equal(rb_stat("dir").st_mode & 07777, 0755);
	testrepo_rm(rb.out);
	rb_restore((struct restore_options){ .excludes = out, .nr_excludes = 1 });
	assert_false(rb_exists("dir"));
	assert_true(rb_exists("file"));
	testrepo_rm(rb.out);
	rb_restore((struct restore_options){ .includes = out, .nr_includes = 1 });
	assert_true(rb_exists("dir/inner"));
	assert_false(rb_exists("file"));
}

static void test_one_file(void **state)
{
	struct restore_options o = { .target = rb.out, .verify = true };
	struct entry_ref ref = { 0 };

	(void)state;
	rb_build_plain();
	OK(tree_path(rb.r.s, &rb.root, "dir/inner", &ref, &ok_err));
	OK(restore_run(rb.r.s, &ref.e, &o, &rb.res, &ok_err));
	rb_assert_text(rb_path("inner"), "inner");
	assert_int_equal(rb.res.verified_bytes, 5);
	assert_int_equal(rb_stat("").st_mode & 07777, 0700);	/* the user's own */
	entry_ref_release(rb.r.s, &ref);
	OK(tree_path(rb.r.s, &rb.root, "dir", &ref, &ok_err));
	testrepo_rm(rb.out);
	OK(restore_run(rb.r.s, &ref.e, &o, &rb.res, &ok_err));
	rb_assert_text(rb_path("inner"), "inner");
	assert_int_equal(rb_stat("").st_mode & 07777, 0755);
	entry_ref_release(rb.r.s, &ref);
}

static void test_target_missing(void **state)
{
	(void)state;
	rb_build_plain();
	(void)snprintf(rb.out, sizeof(rb.out), "%s/no/where", rb.r.dir);
	assert_int_equal(rb_restore_with((struct restore_options){ 0 }), ERR_IO);
	assert_non_null(strstr(rb.err.msg, "no/where"));
}

/* Damage and other trouble. */

/* The last byte of the only data pack's data is in its last block. */
static void flip_last_block(void)
{
	char cmd[512], name[160];
	size_t len = 0;
	uint8_t *p;
	FILE *f;

	/* A data pack says so in byte 13. */
	(void)snprintf(cmd, sizeof(cmd),
		       "cd '%s' && for f in packs/*/*.pack; do "
		       "[ \"$(od -An -tu1 -j13 -N1 $f | tr -d ' ')\" = 1 ] && echo $f; done",
		       rb.r.path);
	f = popen(cmd, "r");
	assert_non_null(f);
	assert_non_null(fgets(name, sizeof(name), f));
	(void)pclose(f);
	name[strcspn(name, "\n")] = '\0';
	p = testrepo_read(&rb.r, name, &len);
	assert_non_null(p);
	/* The table's frame begins where its length says, from the end. */
	{
		uint32_t table = (uint32_t)p[len - 24] | (uint32_t)p[len - 23] << 8 |
				 (uint32_t)p[len - 22] << 16;

		testrepo_flip(&rb.r, name, len - table - 1, 3);
	}
	free(p);
}

static void test_damage(void **state)
{
	/* Apart by more than a block. */
	const struct run first = { 1500 * K, 41 }, last = { 100 * K, 42 };
	struct testtree t;

	(void)state;
	testtree_begin(&t, &rb.r);
	rb_add_link(&t, "a", 5, 2, &last);
	testtree_file(&t, testtree_entry(ENTRY_FILE, "b"), &first, 1, 500 * K);
	rb_add_link(&t, "c", 5, 2, &last);
	testtree_end(&t, &rb.root, &rb.top);
	/* a's chunk was put first: flip where b ends instead, by damaging the last block. */
	flip_last_block();
	for (int whole = 0; whole < 2; whole++) {
		rb_reopen();
		if (whole)
			store_set_whole(rb.r.s);
		rb_restore((struct restore_options){ .verify = true });
		assert_int_equal(rb.res.errors, 1);
		assert_int_equal(rb.res.damaged, 1);
		assert_false(rb_exists("b"));
		rb_assert_runs("a", &last, 1);
		rb_assert_runs("c", &last, 1);
		assert_true(testlog_has(&rb.log, EVENT_DAMAGE, "|b|", ""));
		rb_assert_no_leftovers();
		testrepo_rm(rb.out);
	}
}

/* A whole file of names is gone with its node; the names in other nodes come back. */
static void test_damaged_node(void **state)
{
	enum { NAMES = 6000 };
	static char names[NAMES][16];
	struct testtree t;
	unsigned got = 0;

	(void)state;
	testtree_begin(&t, &rb.r);
	t.skip_node = 3;
	for (unsigned i = 0; i < NAMES; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "n%06u", i);
		testtree_text(&t, names[i], names[i]);
	}
	testtree_end(&t, &rb.root, &rb.top);
	assert_true(t.emitted > 5);
	rb_reopen();
	rb_restore((struct restore_options){ .verify = true });
	assert_int_equal(rb.res.errors, 1);
	assert_int_equal(rb.res.damaged, 1);
	for (unsigned i = 0; i < NAMES; i++)
		got += rb_exists(names[i]);
	assert_int_equal(got, rb.res.files);
	assert_true(got > NAMES / 2 && got < NAMES);
	assert_true(rb_exists(names[0]) && rb_exists(names[NAMES - 1]));
	{
		char lost[64];

		(void)snprintf(lost, sizeof(lost), "%u of %u names", NAMES - got, NAMES);
		assert_true(testlog_has(&rb.log, EVENT_DAMAGE, lost, ""));
	}
}

static void spoil(void *ctx, const struct event *ev)
{
	int fd;

	(void)ctx;
	if (ev->kind != EVENT_PROGRESS || strcmp(ev->text, "restore") != 0 || !rb_exists("a"))
		return;
	fd = open(rb_path("a"), O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "x", 1, 3), 1);
	(void)close(fd);
}

static void test_verify_finds(void **state)
{
	struct testtree t;

	(void)state;
	testtree_begin(&t, &rb.r);
	testtree_text(&t, "a", "aaaa");
	testtree_text(&t, "b", "bbbb");
	testtree_end(&t, &rb.root, &rb.top);
	rb.log.hook = spoil;	/* at the first file's progress */
	rb_restore((struct restore_options){ .verify = true, .jobs = 1 });
	rb.log.hook = NULL;
	assert_int_equal(rb.res.errors, 1);
	assert_int_equal(rb.res.damaged, 0);
	assert_int_equal(rb.res.verified_bytes, 4);
	assert_true(testlog_has(&rb.log, EVENT_WARNING, "|a|", "read back"));
}

static atomic_bool cancel;

static void cancel_now(void *ctx, const struct event *ev)
{
	(void)ctx;
	if (ev->kind == EVENT_PROGRESS)
		atomic_store(&cancel, true);
}

static void test_cancel(void **state)
{
	struct restore_options o = { .cancel = &cancel, .jobs = 1 };

	(void)state;
	rb_build_kinds();
	atomic_store(&cancel, false);
	rb.log.hook = cancel_now;
	assert_int_equal(rb_restore_with(o), ERR_CANCELED);
	rb.log.hook = NULL;
	atomic_store(&cancel, false);
	rb_restore(o);
	assert_int_equal(rb.res.errors, 0);
	rb_assert_kinds(false);
}

static void test_full(void **state)
{
	const struct run big = { 3 << 20, 51 };
	struct testtree t;

	(void)state;
	if (geteuid() != 0)
		skip();
	testtree_begin(&t, &rb.r);
	testtree_file(&t, testtree_entry(ENTRY_FILE, "big"), &big, 1, 500 * K);
	testtree_text(&t, "small", "small");
	testtree_end(&t, &rb.root, &rb.top);
	assert_int_equal(mkdir(rb.out, 0700), 0);
	if (mount("none", rb.out, "tmpfs", 0, "size=1m") < 0)
		skip();
	/* One thread: with more, the small file may be the first that finds no room. */
	assert_int_equal(rb_restore_with((struct restore_options){ .jobs = 1 }), ERR_IO);
	assert_int_equal(rb.err.sys, ENOSPC);
	assert_false(rb_exists("big"));
	assert_int_equal(umount(rb.out), 0);
	assert_non_null(strstr(rb.err.msg, "big"));
	assert_non_null(strstr(rb.err.msg, "3145733 bytes"));
	assert_non_null(strstr(rb.err.msg, "make room"));
	rb_restore((struct restore_options){ 0 });
	rb_assert_runs("big", &big, 1);
}

/* Killed at any moment: what is there is whole, and the next run completes it. */
static void test_killed(void **state)
{
	uint64_t seed = test_seed();

	(void)state;
	rb_build_kinds();
	rb_reopen();
	for (int i = 0; i < 5; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			struct restore_options o = { .jobs = 2 };

			(void)rb_restore_with(o);
			_exit(0);
		}
		(void)usleep((useconds_t)(test_random(&seed) % 8000));
		(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		if (rb_exists("closed/holed"))
			rb_assert_runs("closed/holed", rb_holed, ARRAY_LEN(rb_holed));
		if (rb_exists("closed/many"))
			rb_assert_runs("closed/many", rb_many, RESTOREBOX_MANY);
	}
	rb_restore((struct restore_options){ .verify = true });
	assert_int_equal(rb.res.errors, 0);
	rb_assert_kinds(false);
	rb_assert_no_leftovers();
}

static void test_immutable(void **state)
{
	struct entry d = testtree_entry(ENTRY_DIR, "dir"), e = testtree_entry(ENTRY_FILE, "f");
	struct testtree t;
	int fd, flags = 0;

	(void)state;
	if (geteuid() != 0)
		skip();
	d.inode_flags = FS_IMMUTABLE_FL;
	e.inode_flags = FS_IMMUTABLE_FL | FS_NODUMP_FL;
	e.flags |= ENTRY_HARDLINK;
	e.inode = 9;
	e.nlink = 2;
	testtree_begin(&t, &rb.r);
	testtree_enter(&t, &d);
	testtree_add(&t, &e);
	testtree_leave(&t);
	e.name = "g";		/* a second name, linked before the flag is set */
	testtree_add(&t, &e);
	testtree_end(&t, &rb.root, &rb.top);
	rb_restore((struct restore_options){ 0 });
	assert_int_equal(rb.res.errors, 0);
	assert_true(testlog_has(&rb.log, EVENT_NOTE, "inode flags", ""));
	for (int round = 0; round < 2; round++) {
		rb_restore((struct restore_options){ .special = true });
		fd = open(rb_path("dir/f"), O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0) {
			(void)close(fd);
			skip();		/* a file system without them */
		}
		(void)close(fd);
		assert_int_equal(rb.res.errors, 0);
		assert_true(flags & FS_IMMUTABLE_FL);
		assert_true(flags & FS_NODUMP_FL);
	}
	{
		char cmd[512];

		(void)snprintf(cmd, sizeof(cmd), "chattr -R -i '%s'", rb.out);
		assert_int_equal(system(cmd), 0);
	}
	assert_int_equal(rb_stat("g").st_ino, rb_stat("dir/f").st_ino);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rb_setup, rb_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_planted_links),
		T(test_without_openat2),
		T(test_in_the_way),
		T(test_dry_run),
		T(test_patterns),
		T(test_one_file),
		T(test_target_missing),
		T(test_damage),
		T(test_damaged_node),
		T(test_verify_finds),
		T(test_cancel),
		T(test_full),
		T(test_killed),
		T(test_immutable),
	};

	(void)umask(022);
	return cmocka_run_group_tests_name("restore, trouble", tests, NULL, NULL);
}
