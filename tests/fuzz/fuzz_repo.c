/* SPDX-License-Identifier: MIT */
/*
 * A whole hostile repository (tests/lib/hostile_script.h), opened, listed, walked, read, verified, compared, restored
 * and written to.  Whatever it says: no crash, no leak, no hang, no bytes that a digest does not vouch for, and nothing
 * outside of the target of a restore.  The first byte says what is done beside reading.
 *
 * With: tests/lib/hostile.c tests/lib/hostile_script.c
 */
#include <dirent.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/backup.h"
#include "store/base/digest.h"
#include "store/diff.h"
#include "store/forget.h"
#include "store/internal.h"
#include "store/prune.h"
#include "store/restore.h"
#include "store/tree.h"
#include "store/verify.h"
#include "tests/lib/hostile_script.h"

#define ENTRIES_MAX	2000u		/* looked at in one run */
#define READ_MAX	(256u << 10)	/* bytes read of one place of a file */
#define DEPTH_MAX	64u

enum { DO_VERIFY = 1, DO_RESTORE = 2, DO_WRITE = 4, DO_DIFF = 8, DO_TOUCHED = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

static char top[64], repo[80], source[80], target[80], room[80];
static uint8_t piece[READ_MAX];

static void must(bool ok)
{
	if (!ok)
		abort();
}

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void rm(const char *path)
{
	(void)nftw(path, rm_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void clean_up(void)
{
	rm(top);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[128];
	FILE *f;

	(void)argc;
	(void)argv;
	(void)snprintf(top, sizeof(top), "/dev/shm/vouch-fuzz-XXXXXX");
	must(mkdtemp(top) != NULL);
	(void)snprintf(repo, sizeof(repo), "%s/repo", top);
	(void)snprintf(source, sizeof(source), "%s/source", top);
	(void)snprintf(room, sizeof(room), "%s/room", top);
	(void)snprintf(target, sizeof(target), "%s/room/target", top);
	must(mkdir(source, 0700) == 0);
	(void)snprintf(path, sizeof(path), "%s/file", source);
	f = fopen(path, "w");
	must(f && fputs("a file of the source that is backed up into the hostile repository", f) >= 0 &&
	     fclose(f) == 0);
	must(setenv("XDG_STATE_HOME", top, 1) == 0 && setenv("XDG_CACHE_HOME", top, 1) == 0);
	must(atexit(clean_up) == 0);
	return 0;
}

struct reading {
	struct store *s;
	unsigned left;		/* entries */
	unsigned depth;
};

static void read_at(struct blob *b, uint64_t off)
{
	size_t n = 0;

	if (!blob_pread(b, off, piece, sizeof(piece), &n, NULL))
		must(n == sizeof(piece) || off >= blob_size(b) || off + n == blob_size(b));
}


static enum err_code sum_piece(void *ctx, uint64_t off, const uint8_t *data, uint64_t len, struct err *e)
{
	uint64_t *at = ctx;

	(void)data;
	must(off == *at && len > 0);
	*at += len;
	return *at > (8u << 20) ? err_set(e, ERR_CANCELED, "enough") : ERR_OK;
}

static void read_content(struct store *s, const struct entry *en)
{
	struct object_id said, got;
	struct view v;
	struct blob *b = NULL;
	uint64_t at = 0, where = 0;
	size_t n = 0;

	if (!view_open(s, en, en->size / 2, sizeof(piece), &v, NULL))
		view_release(s, &v);
	if (blob_open(s, en, &b, NULL))
		return;
	must(blob_size(b) == en->size);
	read_at(b, 0);
	read_at(b, en->size / 2);
	read_at(b, en->size > 10 ? en->size - 10 : 0);
	read_at(b, UINT64_MAX - 5);
	for (unsigned i = 0; i < 8 && !blob_seek(b, where, i % 2, &where, NULL); i++)
		must(where <= en->size);
	if (!blob_each(b, 0, sum_piece, &at, NULL))
		must(at == en->size || at > (8u << 20));
	/* What is vouched for as a whole is that whole. */
	if (en->size <= sizeof(piece) && en->content != CONTENT_NODE && entry_sha256(en, &said) &&
	    en->content == CONTENT_INLINE && !blob_pread(b, 0, piece, sizeof(piece), &n, NULL)) {
		digest_sha256(piece, n, &got);
		must(n == en->size && id_eq(&got, &said));
	}
	blob_close(b);
}

static void read_xattrs(struct store *s, const struct entry *en)
{
	struct entry_xattr x;

	for (size_t i = 0; entry_xattr_at(en, i, &x); i++) {
		must(x.value_len <= sizeof(piece));
		(void)!entry_xattr_value(s, &x, piece, NULL);
	}
}

static enum err_code read_entry(void *ctx, const struct entry_ref *r, struct err *e)
{
	struct reading *w = ctx;
	const struct entry *en = &r->e;
	struct entry_ref again;
	uint64_t rest;

	if (w->left == 0)
		return err_set(e, ERR_CANCELED, "enough");
	w->left--;
	must(en->name_len >= 1 && en->name_len <= 255 && !memchr(en->name, '/', en->name_len) &&
	     !memchr(en->name, 0, en->name_len));
	must(!(en->name_len == 1 && en->name[0] == '.') && !(en->name_len == 2 && !memcmp(en->name, "..", 2)));
	read_xattrs(w->s, en);
	if (en->type == ENTRY_FILE)
		read_content(w->s, en);
	if (en->type != ENTRY_DIR || w->depth >= DEPTH_MAX)
		return ERR_OK;
	w->depth++;
	(void)!tree_walk(w->s, &en->node, 0, read_entry, w, NULL);
	w->depth--;
	if (!tree_at(w->s, &en->node, en->nr_entries / 2, &again, NULL))
		entry_ref_release(w->s, &again);
	if (!tree_by_number(w->s, &en->node, 1, &again, &rest, NULL))
		entry_ref_release(w->s, &again);
	if (!tree_lookup(w->s, &en->node, "name", 4, &again, NULL))
		entry_ref_release(w->s, &again);
	return ERR_OK;
}

static void read_root(struct store *s, const struct object_id *id)
{
	struct reading w = { .s = s, .left = ENTRIES_MAX };
	struct entry_ref root = { .pin = NULL }, at = { .pin = NULL };

	if (tree_root(s, id, &root, NULL))
		return;
	(void)!tree_walk(s, &root.e.node, 0, read_entry, &w, NULL);
	if (!tree_path(s, id, "a/b/../c", &at, NULL))
		entry_ref_release(s, &at);
	entry_ref_release(s, &root);
}

static enum err_code on_diff(void *ctx, enum diff_kind kind, const char *path, const struct entry *a,
			     const struct entry *b, struct err *e)
{
	unsigned *left = ctx;

	must((a == NULL) == (kind == DIFF_ADDED) && (b == NULL) == (kind == DIFF_REMOVED) && path[0] != '/');
	return (*left)-- == 0 ? err_set(e, ERR_CANCELED, "enough") : ERR_OK;
}

static void diff(struct store *s, const struct snapshot *a, const struct snapshot *b)
{
	struct entry_ref x = { .pin = NULL }, y = { .pin = NULL };
	unsigned left = ENTRIES_MAX;

	if (!tree_root(s, &a->root, &x, NULL) && !tree_root(s, &b->root, &y, NULL))
		(void)!diff_run(s, &x.e, &y.e, on_diff, &left, NULL);
	entry_ref_release(s, &x);
	entry_ref_release(s, &y);
}

/* Only small trees: a file of 2^60 bytes in holes costs nothing, but one of as many names takes as long. */
static void restore(struct store *s, const struct snapshot *snap)
{
	const struct restore_options o = { .target = target, .jobs = 1 };
	struct restore_result r = { 0 };
	struct entry_ref root = { .pin = NULL };
	struct dirent *d;
	DIR *dir;

	if (tree_root(s, &snap->root, &root, NULL))
		return;
	must(mkdir(room, 0700) == 0);
	if (root.e.below.files + root.e.below.dirs + root.e.below.others < ENTRIES_MAX &&
	    root.e.below.bytes < (64u << 20))
		(void)!restore_run(s, &root.e, &o, &r, NULL);
	dir = opendir(room);
	must(dir != NULL);
	while ((d = readdir(dir)))
		must(d->d_name[0] == '.' || strcmp(d->d_name, "target") == 0);
	(void)closedir(dir);
	rm(room);
	entry_ref_release(s, &root);
}

static void touched_path(void *ctx, const struct snapshot *snap, const char *path, const struct object_id *chunk,
			 bool folder)
{
	(void)ctx;
	(void)chunk;
	(void)folder;
	must(snap && path);
}

static enum err_code on_line(void *ctx, const struct runlog_line *l, struct err *e)
{
	uint64_t v;

	(void)ctx;
	(void)e;
	must(l->time && l->event);
	(void)runlog_u64(l, "packs", &v);
	for (size_t i = 0; i < runlog_nr(l, "paths"); i++)
		(void)runlog_item(l, "paths", i);
	return ERR_OK;
}

static void read_all(unsigned what)
{
	const struct verify_options vo = { .files = what & DO_RESTORE, .jobs = 1 };
	struct verify_result vr = { 0 };
	struct snapshot_list l = { 0 };
	struct store *s = NULL;
	bool all;

	if (store_open(repo, STORE_READ, NULL, &s, NULL))
		return;
	if (!snapshot_list_read(s, &l, NULL)) {
		for (size_t i = 0; i < l.nr && i < 4; i++)
			read_root(s, &l.all[i].root);
		if (what & DO_DIFF && l.nr > 0)
			diff(s, &l.all[0], &l.all[l.nr - 1]);
		if (what & DO_RESTORE && l.nr > 0)
			restore(s, &l.all[0]);
		if (what & DO_TOUCHED && l.nr > 0)
			(void)!verify_touched(s, &l.all[0].root, 1, 5, NULL, touched_path, NULL, &all, NULL);
	}
	snapshot_list_release(&l);
	(void)!runlog_each(s, NULL, on_line, NULL, NULL);
	if (what & DO_VERIFY)
		(void)!verify_run(s, &vo, &vr, NULL);
	store_close(s);
}

static void write_some(void)
{
	static const char *const sources[] = { "." };
	const struct backup_options bo = { .sources = sources, .nr_sources = 1, .base = source, .jobs = 1,
					   .host = "hostile" };
	const struct prune_options po = { .unused_percent = 10 };
	struct backup_result br = { .files = 0 };
	struct prune_result pr = { 0 };
	struct snapshot_list l = { 0 };
	const struct snapshot *one;
	struct store *s = NULL;
	size_t done = 0;

	if (store_open(repo, STORE_WRITE, NULL, &s, NULL))
		return;
	if (!backup_run(s, &bo, &br, NULL))
		snapshot_release(&br.snapshot);
	if (!snapshot_list_read(s, &l, NULL) && l.nr > 1) {
		one = &l.all[0];
		(void)!snapshots_forget(s, &one, 1, "", &done, NULL);
	}
	(void)!prune_run(s, &po, &pr, NULL);
	snapshot_list_release(&l);
	store_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 1)
		return 0;
	script_play(data + 1, len - 1, repo);
	read_all(data[0]);
	if (data[0] & DO_WRITE)
		write_some();
	rm(repo);
	return 0;
}

/* One record is changed, dropped, moved or doubled; the others stay what they are. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	struct script_record r[SCRIPT_RECORDS_MAX];
	struct buf out = BUF_INIT;
	size_t n, at, to, len;
	static uint8_t one[UINT16_MAX];

	if (size < 4 || seed % 16 == 0)
		return LLVMFuzzerMutate(data, size, max);
	n = script_read(data + 1, size - 1, r);
	at = n ? seed / 16 % n : 0;
	to = n ? seed / 1024 % n : 0;
	buf_add_u8(&out, seed % 16 == 1 ? (uint8_t)(seed >> 8) : data[0]);
	for (size_t i = 0; i < n; i++) {
		if (i == at && seed % 16 == 2)
			continue;
		if (i == to && seed % 16 == 3)
			script_add(&out, r[at].type, r[at].p, r[at].len);
		if (i != at || seed % 16 <= 3) {
			script_add(&out, r[i].type, r[i].p, r[i].len);
			continue;
		}
		memcpy(one, r[i].p, r[i].len);
		len = LLVMFuzzerMutate(one, r[i].len, sizeof(one));
		script_add(&out, r[i].type, one, len);
	}
	len = out.len < max ? out.len : max;
	memcpy(data, out.p, len);
	buf_release(&out);
	return len;
}
