/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/base/checked.h"
#include "store/format/limits.h"
#include "tests/lib/nodestore.h"

/* Totals against SHA256SUMS as coreutils writes it. */

static void totals_of_lines(const char *text, size_t len, struct totals *t)
{
	for (const char *p = text, *nl; p < text + len; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(text + len - p));
		assert_non_null(nl);
		t->files++;
		t->sums_escaped += *p == '\\';
	}
	t->sums_len = len;
}

/*
 * A tree in memory and on disk: names chosen for what they need.  What builders say
 * of it is compared with the lines that sha256sum prints for it.
 */
static const char *const awkward[] = {
	"plain", "with space", "back\\slash", "new\nline", "return\r", "\\\n\r", "tab\t",
	"\xff\xfe", "-dash",
};

enum { DEPTH = 3 };

static void make_tree(int dirfd, unsigned depth)
{
	for (size_t i = 0; i < ARRAY_LEN(awkward); i++) {
		char name[64];
		int fd;

		(void)snprintf(name, sizeof(name), "f%s", awkward[i]);
		fd = openat(dirfd, name, O_CREAT | O_WRONLY, 0600);
		assert_true(fd >= 0);
		close(fd);
		if (depth == 0)
			continue;
		(void)snprintf(name, sizeof(name), "d%s", awkward[i]);
		assert_int_equal(mkdirat(dirfd, name, 0700), 0);
		fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY);
		assert_true(fd >= 0);
		make_tree(fd, depth - 1);
		close(fd);
	}
}

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
	int c = memcmp(x->name, y->name, n);

	return c ? c : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

static void build_tree(struct nodestore *store, unsigned depth, struct entry *dir)
{
	struct entry entries[2 * ARRAY_LEN(awkward)];
	char names[2 * ARRAY_LEN(awkward)][64];
	struct err e = ERR_INIT;
	struct dir_builder *b;
	size_t nr = 0;

	for (size_t i = 0; i < ARRAY_LEN(awkward); i++) {
		(void)snprintf(names[nr], sizeof(names[nr]), "f%s", awkward[i]);
		sample_entry(&entries[nr], ENTRY_FILE, names[nr]);
		nr++;
		if (depth == 0)
			continue;
		(void)snprintf(names[nr], sizeof(names[nr]), "d%s", awkward[i]);
		sample_entry(&entries[nr], ENTRY_DIR, names[nr]);
		build_tree(store, depth - 1, &entries[nr]);
		nr++;
	}
	qsort(entries, nr, sizeof(entries[0]), by_name);
	assert_int_equal(dir_builder_open(nodestore_emit, store, &b, &e), ERR_OK);
	for (size_t i = 0; i < nr; i++)
		if (dir_builder_add(b, &entries[i], &e))
			fail_msg("%s", e.msg);
	assert_int_equal(dir_builder_finish(b, dir, &e), ERR_OK);
	dir_builder_close(b);
}

static void test_totals_like_sha256sum(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char folder[256], cmd[512];
	struct nodestore store = { 0 };
	struct totals want = { 0 };
	struct buf text = BUF_INIT;
	struct entry root;
	size_t n;
	FILE *f;
	int fd;

	(void)state;
	(void)snprintf(folder, sizeof(folder), "%s/vouch-totals-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(folder));
	fd = open(folder, O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	make_tree(fd, DEPTH - 1);
	close(fd);
	/* paths relative to here: find's "./" is left out */
	(void)snprintf(cmd, sizeof(cmd),
		       "cd '%s' && find . -type f -printf '%%P\\0' | xargs -0 sha256sum --", folder);
	f = popen(cmd, "r");
	assert_non_null(f);
	while (buf_room(&text, 65536) && (n = fread(text.p + text.len, 1, 65536, f)) > 0)
		text.len += n;
	assert_int_equal(pclose(f), 0);
	totals_of_lines((char *)text.p, text.len, &want);

	build_tree(&store, DEPTH - 1, &root);
	assert_true(want.files > 500 && want.sums_escaped > 100);
	assert_int_equal(root.below.files, want.files);
	assert_int_equal(root.below.sums_len, want.sums_len);
	assert_int_equal(root.below.sums_escaped, want.sums_escaped);
	assert_int_equal(root.below.dirs, 9 + 81);
	assert_int_equal(root.nr_entries, 18);
	assert_int_equal(root.nr_subdirs, 9);
	(void)snprintf(cmd, sizeof(cmd), "rm -r '%s'", folder);
	assert_int_equal(system(cmd), 0);
	buf_release(&text);
	nodestore_release(&store);
}

static void test_totals_overflow(void **state)
{
	struct totals t = { .bytes = UINT64_MAX };
	struct entry e;
	struct err err = ERR_INIT;

	(void)state;
	sample_kind(&e, 7, "f");
	assert_int_equal(totals_add_entry(&t, &e, &err), ERR_CORRUPT);
	assert_true(t.bytes == UINT64_MAX && t.files == 0);	/* as it was */
	t.bytes -= 1000;
	assert_int_equal(totals_add_entry(&t, &e, &err), ERR_OK);
	sample_entry(&e, ENTRY_DIR, "\\\\\\\\\\\\\\\\\\\\\\\\");
	t = (struct totals){ 0 };
	e.below = (struct totals){ .files = UINT64_C(1) << 60 };	/* times 25: the name, escaped, and a slash */
	assert_int_equal(totals_add_entry(&t, &e, &err), ERR_CORRUPT);
	e.below = (struct totals){ .files = 3, .sums_len = UINT64_MAX - 1 };
	assert_int_equal(totals_add_entry(&t, &e, &err), ERR_CORRUPT);
	e.below = (struct totals){ .dirs = UINT64_MAX };
	assert_int_equal(totals_add_entry(&t, &e, &err), ERR_CORRUPT);
	assert_int_equal(t.files + t.dirs + t.others, 0);
}

/* Building. */

/* nr files called after their number; the one numbered change differs a little. */
static void build_many(struct nodestore *store, size_t nr, size_t change, struct entry *dir)
{
	struct err e = ERR_INIT;
	struct dir_builder *b;

	assert_int_equal(dir_builder_open(nodestore_emit, store, &b, &e), ERR_OK);
	for (size_t i = 0; i < nr; i++) {
		struct entry ent;
		char name[32];

		(void)snprintf(name, sizeof(name), "file-%09zu.txt", i);
		sample_kind(&ent, 7, name);
		ent.xattrs_len = 0;
		ent.uid = (uint32_t)(i / 100 % 7);
		ent.mtime.sec = i == change ? 12345 : 0;
		if (dir_builder_add(b, &ent, &e))
			fail_msg("%s", e.msg);
	}
	if (dir_builder_finish(b, dir, &e))
		fail_msg("%s", e.msg);
	dir_builder_close(b);
}

struct sums_seen {
	uint64_t entries, subdirs;
	struct totals totals;
	char last[NAME_LEN_MAX + 1];
};

/* Entries in order from the root down; returns the tree's height. */
static unsigned walk(const struct nodestore *store, const struct object_id *id,
		     struct sums_seen *seen)
{
	const struct nodestore_node *s = nodestore_get(store, id);
	struct err e = ERR_INIT;
	unsigned level;
	struct node n;

	assert_non_null(s);
	if (node_decode(s->p, s->len, &n, &e))
		fail_msg("%s", e.msg);
	level = n.level;
	for (uint32_t i = 0; i < n.nr; i++) {
		struct entry ent;

		if (n.kind == NODE_DIR_LEAF) {
			node_entry(&n, i, &ent);
			seen->entries++;
			seen->subdirs += ent.type == ENTRY_DIR;
			assert_int_equal(totals_add_entry(&seen->totals, &ent, &e), ERR_OK);
			assert_true(ent.name_len < sizeof(seen->last));
			assert_true(strncmp(seen->last, ent.name, ent.name_len) < 0);
			memcpy(seen->last, ent.name, ent.name_len);
			seen->last[ent.name_len] = '\0';
		} else {
			struct sums_seen before = *seen;

			assert_int_equal(walk(store, &n.children[i].id, seen) + 1, n.level);
			assert_int_equal(seen->entries - before.entries, n.children[i].entries);
			assert_int_equal(seen->subdirs - before.subdirs, n.children[i].subdirs);
			assert_int_equal(seen->totals.files - before.totals.files,
					 n.children[i].totals.files);
			assert_int_equal(seen->totals.sums_len - before.totals.sums_len,
					 n.children[i].totals.sums_len);
		}
	}
	node_release(&n);
	return level;
}

static size_t many(void)
{
	const char *nr = getenv("VOUCH_TEST_ENTRIES");	/* 1000000: the slower variant */

	return nr ? (size_t)strtoull(nr, NULL, 10) : 100000;
}

static void test_dirbuild_one_changed(void **state)
{
	struct nodestore before = { 0 }, same = { 0 }, after = { 0 };
	struct entry a = { 0 }, b = { 0 }, c = { 0 };
	struct sums_seen seen = { 0 };
	size_t nr = many();
	unsigned height;

	(void)state;
	build_many(&before, nr, SIZE_MAX, &a);
	build_many(&same, nr, SIZE_MAX, &b);
	build_many(&after, nr, nr / 3, &c);
	assert_true(id_eq(&a.node, &b.node));
	assert_int_equal(nodestore_new(&same, &before), 0);
	assert_false(id_eq(&a.node, &c.node));
	height = walk(&before, &a.node, &seen);
	assert_true(height >= 1);
	assert_int_equal(nodestore_new(&after, &before), height + 1);
	assert_int_equal(nodestore_new(&before, &after), height + 1);
	assert_int_equal(seen.entries, nr);
	assert_int_equal(a.nr_entries, nr);
	assert_int_equal(a.nr_subdirs, 0);
	assert_memory_equal(&a.below, &seen.totals, sizeof(a.below));
	assert_true(before.max_len <= 256u << 10);
	assert_true(before.nr > nr / 4096);
	nodestore_release(&before);
	nodestore_release(&same);
	nodestore_release(&after);
}

/* A directory that ends just where a node does has no node above that one, nor an empty one beside it. */
static void test_dirbuild_ends_at_cut(void **state)
{
	struct nodestore store = { 0 };
	struct dir_builder *b;
	struct err e = ERR_INIT;
	struct entry dir = { 0 };
	struct sums_seen seen = { 0 };
	uint64_t n = 0;

	(void)state;
	assert_int_equal(dir_builder_open(nodestore_emit, &store, &b, &e), ERR_OK);
	for (; store.nr == 0; n++) {
		struct entry ent;
		char name[32];

		(void)snprintf(name, sizeof(name), "%06u", (unsigned)n);
		sample_kind(&ent, 0, name);
		assert_int_equal(dir_builder_add(b, &ent, &e), ERR_OK);
	}
	assert_int_equal(dir_builder_finish(b, &dir, &e), ERR_OK);
	assert_int_equal(store.nr, 1);
	assert_true(id_eq(&dir.node, &store.nodes[0].id));
	assert_int_equal(walk(&store, &dir.node, &seen), 0);
	assert_int_equal(seen.entries, n);
	dir_builder_close(b);
	nodestore_release(&store);
}

/* A name put in or taken out changes its surroundings only. */
static void test_dirbuild_one_more(void **state)
{
	enum { NR = 20000 };
	struct nodestore stores[2] = { { 0 }, { 0 } };
	struct entry dirs[2] = { { 0 }, { 0 } };

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		struct dir_builder *b;
		struct err e = ERR_INIT;

		assert_int_equal(dir_builder_open(nodestore_emit, &stores[k], &b, &e), ERR_OK);
		for (size_t i = 0; i < NR; i++) {
			struct entry ent;
			char name[32];

			(void)snprintf(name, sizeof(name), "%06zu", i);
			sample_kind(&ent, 0, name);
			assert_int_equal(dir_builder_add(b, &ent, &e), ERR_OK);
			if (k == 1 && i == NR / 2) {
				sample_kind(&ent, 6, "010000-more");
				assert_int_equal(dir_builder_add(b, &ent, &e), ERR_OK);
			}
		}
		assert_int_equal(dir_builder_finish(b, &dirs[k], &e), ERR_OK);
		dir_builder_close(b);
	}
	assert_int_equal(dirs[1].nr_entries, dirs[0].nr_entries + 1);
	assert_true(stores[0].nr > 20);
	assert_true(nodestore_new(&stores[1], &stores[0]) <= 4);
	nodestore_release(&stores[0]);
	nodestore_release(&stores[1]);
}

/* Names as long as can be, every entry with an owner of its own: nodes keep to 256 KiB. */
static void test_dirbuild_large_entries(void **state)
{
	enum { NR = 2000 };
	struct nodestore store = { 0 };
	struct sums_seen seen = { 0 };
	static uint8_t xattrs[XATTRS_LEN_MAX];
	struct err e = ERR_INIT;
	struct entry dir = { 0 };
	struct dir_builder *b;
	struct buf x = BUF_INIT;
	char value[4096] = { 0 }, user[OWNER_LEN_MAX];

	(void)state;
	for (char c = 'a'; x.len + 6 + 1 + sizeof(value) <= sizeof(xattrs); c++)
		xattr_encode(&(struct xattr){ .name = &c, .name_len = 1,
					      .value = (uint8_t *)value,
					      .value_len = sizeof(value) }, &x);
	memset(user, 'u', sizeof(user));
	assert_int_equal(dir_builder_open(nodestore_emit, &store, &b, &e), ERR_OK);
	for (size_t i = 0; i < NR; i++) {
		struct entry ent;
		char name[NAME_LEN_MAX + 1];

		memset(name, 'n', sizeof(name));
		(void)snprintf(name, 10, "%09zu", i);
		name[9] = '-';
		name[NAME_LEN_MAX] = '\0';
		sample_kind(&ent, i % 2, name);
		ent.uid = (uint32_t)i;
		ent.user = user;
		ent.user_len = sizeof(user);
		ent.xattrs = i % 10 ? NULL : x.p;
		ent.xattrs_len = i % 10 ? 0 : x.len;
		if (dir_builder_add(b, &ent, &e))
			fail_msg("%s", e.msg);
	}
	assert_int_equal(dir_builder_finish(b, &dir, &e), ERR_OK);
	(void)walk(&store, &dir.node, &seen);
	assert_int_equal(seen.entries, NR);
	assert_int_equal(dir.nr_subdirs, NR / 2);
	assert_int_equal(seen.subdirs, NR / 2);
	assert_true(store.max_len <= 256u << 10);
	dir_builder_close(b);
	buf_release(&x);
	nodestore_release(&store);
}

static void test_dirbuild_empty_and_again(void **state)
{
	struct nodestore store = { 0 };
	struct err e = ERR_INIT;
	struct entry ent, first = { 0 }, second = { 0 }, third = { 0 };
	struct dir_builder *b;

	(void)state;
	assert_int_equal(dir_builder_open(nodestore_emit, &store, &b, &e), ERR_OK);
	assert_int_equal(dir_builder_finish(b, &first, &e), ERR_OK);
	assert_int_equal(store.nodes[0].len, 18);
	sample_kind(&ent, 1, "z");
	assert_int_equal(dir_builder_add(b, &ent, &e), ERR_OK);
	assert_int_equal(dir_builder_finish(b, &second, &e), ERR_OK);
	assert_int_equal(second.nr_entries, 1);
	assert_int_equal(second.nr_subdirs, 1);
	assert_int_equal(second.below.dirs, 4);
	assert_int_equal(dir_builder_finish(b, &third, &e), ERR_OK);
	assert_true(id_eq(&first.node, &third.node));
	assert_int_equal(third.nr_entries, 0);
	dir_builder_close(b);
	dir_builder_close(NULL);
	nodestore_release(&store);
}

/* What cannot be stored is refused, and costs nothing else. */
static void test_dirbuild_refuses(void **state)
{
	static const struct {
		const char *name;
		size_t len;
		enum err_code want;
	} names[] = {
		{ "b", 1, ERR_USAGE }, { "a", 1, ERR_USAGE }, { "", 0, ERR_LIMIT },
		{ "c/d", 3, ERR_LIMIT }, { "c\0", 2, ERR_LIMIT }, { "..", 2, ERR_LIMIT },
		{ "c", 1, ERR_OK },
	};
	static char long_name[70000];
	struct nodestore store = { 0 };
	struct err e = ERR_INIT;
	struct entry ent, dir = { 0 };
	struct dir_builder *b;

	(void)state;
	assert_int_equal(dir_builder_open(nodestore_emit, &store, &b, &e), ERR_OK);
	sample_kind(&ent, 1, "b");
	assert_int_equal(dir_builder_add(b, &ent, &e), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		sample_kind(&ent, 0, "");
		ent.name = names[i].name;
		ent.name_len = names[i].len;
		err_clear(&e);
		assert_int_equal(dir_builder_add(b, &ent, &e), names[i].want);
		assert_int_equal(e.code, names[i].want);
	}
	memset(long_name, 'x', sizeof(long_name) - 1);
	sample_kind(&ent, 0, long_name);
	for (ent.name_len = 256; ent.name_len < sizeof(long_name); ent.name_len += 65280)
		assert_int_equal(dir_builder_add(b, &ent, &e), ERR_LIMIT);
	sample_kind(&ent, 2, "d");
	ent.target = long_name;
	ent.target_len = TARGET_LEN_MAX + 1;
	assert_int_equal(dir_builder_add(b, &ent, &e), ERR_LIMIT);
	sample_kind(&ent, 2, "d");
	ent.mtime.nsec = 1000000000;
	assert_int_equal(dir_builder_add(b, &ent, &e), ERR_LIMIT);
	sample_kind(&ent, 0, "d");
	ent.size = 1;			/* and no content */
	assert_int_equal(dir_builder_add(b, &ent, &e), ERR_LIMIT);
	sample_kind(&ent, 9, "d");
	ent.flags &= ~(unsigned)ENTRY_HAS_SHA256;
	ent.hole_bytes = HOLES_SUMMED_MAX;	/* with more of them it could do without a digest */
	assert_int_equal(dir_builder_add(b, &ent, NULL), ERR_LIMIT);
	sample_kind(&ent, 0, "d");
	ent.user_len = 256;
	assert_int_equal(dir_builder_add(b, &ent, &e), ERR_LIMIT);
	sample_kind(&ent, 0, "d");
	ent.group = "a\0b";
	ent.group_len = 3;
	assert_int_equal(dir_builder_add(b, &ent, &e), ERR_LIMIT);
	assert_int_equal(dir_builder_finish(b, &dir, &e), ERR_OK);
	assert_int_equal(dir.nr_entries, 2);
	for (unsigned i = 0; i < 2; i++) {	/* each is possible, both in one directory are not */
		sample_kind(&ent, 1, i ? "y" : "x");
		ent.below.others = UINT64_C(1) << 60;
		assert_int_equal(dir_builder_add(b, &ent, &e), i ? ERR_LIMIT : ERR_OK);
	}
	assert_int_equal(dir_builder_finish(b, &dir, &e), ERR_OK);
	assert_int_equal(dir.nr_entries, 1);
	dir_builder_close(b);

	sample_kind(&ent, 1, "name");
	assert_int_equal(root_emit(&ent, nodestore_emit, &store, &dir.node, &e), ERR_USAGE);
	sample_kind(&ent, 0, "");
	assert_int_equal(root_emit(&ent, nodestore_emit, &store, &dir.node, &e), ERR_USAGE);
	nodestore_release(&store);
}

/* Each emit fails once: the error comes out, nothing leaks, the builder can be used again. */
static void test_dirbuild_emit_fails(void **state)
{
	(void)state;
	for (size_t at = 1;; at++) {
		struct nodestore store = { .fail_at = at };
		struct err e = ERR_INIT;
		enum err_code rc = ERR_OK;
		struct entry dir = { 0 };
		struct dir_builder *b;

		assert_int_equal(dir_builder_open(nodestore_emit, &store, &b, &e), ERR_OK);
		for (size_t i = 0; !rc && i < 40000; i++) {
			struct entry ent;
			char name[32];

			(void)snprintf(name, sizeof(name), "%06zu", i);
			sample_kind(&ent, 0, name);
			rc = dir_builder_add(b, &ent, &e);
		}
		if (!rc)
			rc = dir_builder_finish(b, &dir, &e);
		dir_builder_close(b);
		nodestore_release(&store);
		if (!rc) {
			assert_true(at > 20);
			break;
		}
		assert_int_equal(rc, ERR_IO);
		at += at > 3 && at % 7 ? 5 : 0;		/* not each of the many leaves */
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_totals_like_sha256sum),
		cmocka_unit_test(test_totals_overflow),
		cmocka_unit_test(test_dirbuild_one_changed),
		cmocka_unit_test(test_dirbuild_ends_at_cut),
		cmocka_unit_test(test_dirbuild_one_more),
		cmocka_unit_test(test_dirbuild_large_entries),
		cmocka_unit_test(test_dirbuild_empty_and_again),
		cmocka_unit_test(test_dirbuild_refuses),
		cmocka_unit_test(test_dirbuild_emit_fails),
	};

	return cmocka_run_group_tests_name("dirbuild", tests, NULL, NULL);
}
