/* SPDX-License-Identifier: MIT */
#include "tests/lib/sandbox.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/backup_internal.h"
#include "store/base/digest.h"

static const char *const dot[] = {"."};

static void on_event(void *ctx, const struct event *ev)
{
	struct sandbox *sb = ctx;
	size_t len = strlen(sb->news);

	if (ev->kind == EVENT_NOTE)
		sb->notes++;
	if (ev->kind == EVENT_WARNING)
		sb->warnings++;
	if (ev->kind != EVENT_PROGRESS)
		(void)snprintf(sb->news + len, sizeof(sb->news) - len, "%s %s: %s: %s\n",
			       ev->kind == EVENT_NOTE ? "NOTE" : "WARNING",
			       ev->path ? ev->path : "", ev->text, ev->err ? ev->err->msg : "");
	if (sb->hook)
		sb->hook(sb, ev);
}

void sandbox_reopen(struct sandbox *sb)
{
	const struct store_events events = {on_event, sb};

	store_close(sb->s);
	sb->s = NULL;
	if (store_open(sb->repo, STORE_WRITE, &events, &sb->s, &sb->e))
		fail_msg("open: %s", sb->e.msg);
}

int sandbox_setup(void **state)
{
	struct sandbox *sb = calloc(1, sizeof(*sb));
	const char *tmp = getenv("TMPDIR");
	char *real;

	assert_non_null(sb);
	(void)snprintf(sb->dir, sizeof(sb->dir), "%s/vouch-backup-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(sb->dir));
	real = realpath(sb->dir, NULL);
	assert_non_null(real);
	(void)snprintf(sb->dir, sizeof(sb->dir), "%s", real);
	free(real);
	(void)snprintf(sb->src, sizeof(sb->src), "%s/src", sb->dir);
	(void)snprintf(sb->repo, sizeof(sb->repo), "%s/repo", sb->dir);
	assert_int_equal(mkdir(sb->src, 0755), 0);
	assert_int_equal(setenv("XDG_STATE_HOME", sb->dir, 1), 0);
	assert_int_equal(setenv("XDG_CACHE_HOME", sb->dir, 1), 0);
	if (store_create(sb->repo, NULL, &sb->e))
		fail_msg("create: %s", sb->e.msg);
	sandbox_reopen(sb);
	sb->o = (struct backup_options){.sources = dot, .nr_sources = 1, .base = sb->src};
	meta_clock_shift_ns = 0;
	backup_progress_ns = 100000000;
	*state = sb;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

int sandbox_teardown(void **state)
{
	struct sandbox *sb = *state;

	snapshot_release(&sb->res.snapshot);
	store_close(sb->s);
	(void)nftw(sb->dir, remove_one, 32, FTW_DEPTH | FTW_PHYS);
	free(sb);
	return 0;
}

const char *in_src(const struct sandbox *sb, const char *rel)
{
	static char paths[8][4096];
	static unsigned next;
	char *p = paths[next++ % 8];

	(void)snprintf(p, sizeof(paths[0]), "%s/%s", sb->src, rel);
	return p;
}

void make_dir(const struct sandbox *sb, const char *rel)
{
	assert_int_equal(mkdir(in_src(sb, rel), 0755), 0);
}

void make_file(const struct sandbox *sb, const char *rel, const void *p, size_t len)
{
	int fd = open(in_src(sb, rel), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, len), (ssize_t)len);
	assert_int_equal(close(fd), 0);
}

void make_text(const struct sandbox *sb, const char *rel, const char *text)
{
	make_file(sb, rel, text, strlen(text));
}

uint8_t *noise(size_t len, uint64_t seed)
{
	uint8_t *p = malloc(len);
	uint64_t x = seed * 2 + 0x9e3779b97f4a7c15u;

	assert_non_null(p);
	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)(x >> 32);
	}
	return p;
}

void make_noise(const struct sandbox *sb, const char *rel, size_t len, uint64_t seed)
{
	uint8_t *p = noise(len, seed);

	make_file(sb, rel, p, len);
	free(p);
}

enum err_code sandbox_run(struct sandbox *sb)
{
	snapshot_release(&sb->res.snapshot);
	sb->res = (struct backup_result){0};
	sb->news[0] = '\0';
	sb->notes = sb->warnings = 0;
	err_clear(&sb->e);
	return backup_run(sb->s, &sb->o, &sb->res, &sb->e);
}

void sandbox_backup(struct sandbox *sb)
{
	if (sandbox_run(sb))
		fail_msg("backup: %s", sb->e.msg);
}

void sandbox_settle(void)
{
	meta_clock_shift_ns += 3000000000;
}

size_t sandbox_nr_snapshots(struct sandbox *sb)
{
	struct snapshot_list l = {0};
	size_t nr;

	assert_int_equal(snapshot_list_read(sb->s, &l, &sb->e), ERR_OK);
	nr = l.nr;
	assert_int_equal(l.nr_bad, 0);
	snapshot_list_release(&l);
	return nr;
}

void find(struct sandbox *sb, const char *path, struct entry_ref *out)
{
	*out = (struct entry_ref){0};
	if (tree_path(sb->s, &sb->res.snapshot.root, path, out, &sb->e))
		fail_msg("%s: %s", path, sb->e.msg);
}

void found_release(struct sandbox *sb, struct entry_ref *r)
{
	entry_ref_release(sb->s, r);
}

bool is_there(struct sandbox *sb, const char *path)
{
	struct entry_ref r = {0};
	enum err_code rc = tree_path(sb->s, &sb->res.snapshot.root, path, &r, &sb->e);

	if (!rc)
		entry_ref_release(sb->s, &r);
	else
		assert_int_equal(rc, ERR_NOT_FOUND);
	return !rc;
}

static enum err_code add_name(void *ctx, const struct entry_ref *r, struct err *e)
{
	struct buf *b = ctx;

	(void)e;
	buf_add(b, r->e.name, r->e.name_len);
	buf_add_u8(b, ' ');
	return ERR_OK;
}

char *names_in(struct sandbox *sb, const char *path)
{
	struct buf names = BUF_INIT;
	struct entry_ref r;

	find(sb, path, &r);
	assert_int_equal(r.e.type, ENTRY_DIR);
	assert_int_equal(tree_walk(sb->s, &r.e.node, 0, add_name, &names, &sb->e), ERR_OK);
	found_release(sb, &r);
	buf_add_u8(&names, '\0');
	assert_false(names.bad);
	return (char *)names.p;
}

void assert_content(struct sandbox *sb, const char *path, const void *p, size_t len)
{
	uint8_t *got = malloc(len + 1);
	struct object_id want, has;
	struct entry_ref r;
	struct blob *b;
	size_t n = 0;

	assert_non_null(got);
	find(sb, path, &r);
	assert_int_equal(r.e.type, ENTRY_FILE);
	assert_int_equal(r.e.size, len);
	if (blob_open(sb->s, &r.e, &b, &sb->e) || blob_pread(b, 0, got, len + 1, &n, &sb->e))
		fail_msg("%s: %s", path, sb->e.msg);
	assert_int_equal(n, len);
	if (len > 0)
		assert_memory_equal(got, p, len);
	digest_sha256(p, len, &want);
	entry_sha256(&r.e, &has);
	assert_true(id_eq(&has, &want));
	blob_close(b);
	found_release(sb, &r);
	free(got);
}

void assert_text(struct sandbox *sb, const char *path, const char *text)
{
	assert_content(sb, path, text, strlen(text));
}

void assert_like_source(struct sandbox *sb, const char *rel)
{
	struct buf all = BUF_INIT;

	assert_int_equal(
	    io_read_file(&io_system, AT_FDCWD, in_src(sb, rel), 1u << 30, &all, &sb->e), ERR_OK);
	assert_content(sb, rel, all.p, all.len);
	buf_release(&all);
}
