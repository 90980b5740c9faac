/* SPDX-License-Identifier: MIT */
/*
 * Every kind of damage is found, counted under its name, and the paths it touches are told; a
 * whole repository is whole.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/backend/backend.h"
#include "store/base/checked.h"
#include "store/internal.h"
#include "store/verify.h"
#include "tests/lib/testtree.h"

#define K	1024u

static struct {
	struct testrepo r;
	struct testlog log;
	struct snapshot snap;		/* the last published */
	struct verify_result res;
	struct err err;
} fx;

static int setup(void **state)
{
	(void)state;
	testrepo_make(&fx.r);
	testrepo_open(&fx.r, STORE_WRITE);
	testlog_init(&fx.log);
	testlog_attach(&fx.log, fx.r.s);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testrepo_remove(&fx.r);
	testlog_release(&fx.log);
	snapshot_release(&fx.snap);
	return 0;
}

static void publish(const struct object_id *root, int64_t sec)
{
	snapshot_release(&fx.snap);
	fx.snap = testrepo_snapshot(&fx.r, sec, "host");
	fx.snap.root = *root;
	OK(snapshot_publish(fx.r.s, &fx.snap, &ok_err));
}

static void reopen(enum store_mode mode)
{
	testrepo_close(&fx.r);
	testlog_reset(&fx.log);
	testrepo_open(&fx.r, mode);
	testlog_attach(&fx.log, fx.r.s);
}

static uint64_t found(void)
{
	const struct verify_result *v = &fx.res;

	return v->damaged_packs + v->damaged_chunks + v->missing_chunks + v->damaged_nodes +
	       v->damaged_snapshots + v->incomplete_packs + v->damaged_records;
}

static void verify_with(struct verify_options o)
{
	if (!o.jobs)
		o.jobs = 3;
	fx.res = (struct verify_result){ 0 };
	err_clear(&fx.err);
	if (verify_run(fx.r.s, &o, &fx.res, &fx.err))
		fail_msg("verify: %s", fx.err.msg);
}

static const struct run first = { 1500 * K, 1 }, last = { 600 * K, 2 };

/* Two snapshots: /dir/{first,inline}, /last and in the second /more; several blocks of data. */
static void build(void)
{
	struct entry d = testtree_entry(ENTRY_DIR, "dir"), top;
	struct object_id root;
	struct testtree t;

	for (int i = 0; i < 2; i++) {
		testtree_begin(&t, &fx.r);
		testtree_enter(&t, &d);
		testtree_file(&t, testtree_entry(ENTRY_FILE, "first"), &first, 1, 500 * K);
		testtree_text(&t, "inline", "inline");
		testtree_leave(&t);
		testtree_file(&t, testtree_entry(ENTRY_FILE, "last"), &last, 1, 100 * K);
		if (i == 1)
			testtree_text(&t, "more", "more");
		testtree_end(&t, &root, &top);
		publish(&root, 1000 + i);
	}
}

/* The pack of this kind (the only data pack; some tree pack). */
static void pack_of(unsigned kind, char name[160])
{
	char cmd[512];
	FILE *f;

	(void)snprintf(cmd, sizeof(cmd),
		       "cd '%s' && for f in packs/*/*.pack; do "
		       "[ \"$(od -An -tu1 -j13 -N1 $f | tr -d ' ')\" = %u ] && echo $f; done",
		       fx.r.path, kind);
	f = popen(cmd, "r");
	assert_non_null(f);
	assert_non_null(fgets(name, 160, f));
	(void)pclose(f);
	name[strcspn(name, "\n")] = '\0';
}

static size_t table_at(const char *name, size_t *len)
{
	uint8_t *p = testrepo_read(&fx.r, name, len);
	size_t at;

	assert_non_null(p);
	at = *len - ((size_t)p[*len - 24] | (size_t)p[*len - 23] << 8 | (size_t)p[*len - 22] << 16);
	free(p);
	return at;
}

static void move(const char *from, const char *to)
{
	char a[512], b[512];

	(void)snprintf(a, sizeof(a), "%s/%s", fx.r.path, from);
	(void)snprintf(b, sizeof(b), "%s/%s", fx.r.path, to);
	assert_int_equal(rename(a, b), 0);
}

static void cut(const char *name, size_t len)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", fx.r.path, name);
	assert_int_equal(truncate(path, (off_t)len), 0);
}

enum what {
	RENAMED,
	BLOCK_DATA,
	BLOCK_HEADER,
	TABLE,
	PACK_HEADER,
	FOOTER,
	NODE,
	CUT,
	CUT_TABLE,
	GONE,
	TREE_GONE,
	SNAPSHOT,
	SNAPSHOT_COPY,
	BOTH_SNAPSHOTS,
	VOUCH_JSON,
	VOUCH_COPY,
	SUMS
};

static const struct row {
	const char *name;
	enum what what;
	/* At least one of what is named here; none of the others. */
	bool packs, incomplete, chunks, missing, nodes, snapshots, records, paths;
} rows[] = {
	{ "another pack's name", RENAMED, .packs = 1 },
	{ "block data", BLOCK_DATA, .packs = 1, .chunks = 1, .paths = 1 },
	{ "block header", BLOCK_HEADER, .packs = 1 },
	{ "pack table", TABLE, .packs = 1 },
	{ "pack header", PACK_HEADER, .packs = 1 },
	{ "pack footer", FOOTER, .packs = 1 },
	{ "node", NODE, .packs = 1, .chunks = 1, .nodes = 1, .paths = 1 },
	{ "pack cut short", CUT, .incomplete = 1, .missing = 1, .paths = 1 },
	{ "pack without its table", CUT_TABLE, .incomplete = 1 },
	{ "pack gone", GONE, .missing = 1, .paths = 1 },
	{ "tree pack gone", TREE_GONE, .missing = 1, .paths = 1 },
	{ "snapshot", SNAPSHOT, .records = 1 },
	{ "snapshot's copy", SNAPSHOT_COPY, .records = 1 },
	{ "snapshot and copy", BOTH_SNAPSHOTS, .records = 1, .snapshots = 1 },
	{ "vouch.json", VOUCH_JSON, .records = 1 },
	{ "vouch.json's copy", VOUCH_COPY, .records = 1 },
	{ "SHA256SUMS", SUMS, .records = 1 },
};

static void spoil(enum what what)
{
	char data[160], tree[160], snap[160], copy[170];
	size_t len, table, tree_len, tree_table;

	pack_of(1, data);
	pack_of(2, tree);
	table = table_at(data, &len);
	tree_table = table_at(tree, &tree_len);
	(void)snprintf(snap, sizeof(snap), "snapshots/%s.json", fx.snap.name);
	(void)snprintf(copy, sizeof(copy), "copies/%s", snap);
	switch (what) {
	case RENAMED:	/* found by its name alone */
		(void)snprintf(snap, sizeof(snap), "%s", data);
		snap[70] = snap[70] == '0' ? '1' : '0';
		move(data, snap);
		break;
	case BLOCK_DATA:
		testrepo_flip(&fx.r, data, table - 1, 7);
		break;
	case BLOCK_HEADER:	/* the first: after the pack's header, in its chunk ids */
		testrepo_flip(&fx.r, data, 72 + 8 + 48 + 3, 0);
		break;
	case TABLE:
		testrepo_flip(&fx.r, data, table + 40, 1);
		break;
	case PACK_HEADER:
		testrepo_flip(&fx.r, data, 30, 1);
		break;
	case FOOTER:
		testrepo_flip(&fx.r, data, len - 1, 1);
		break;
	case NODE:
		testrepo_flip(&fx.r, tree, tree_table - 1, 0);
		break;
	case CUT:
		cut(data, table / 2);
		break;
	case CUT_TABLE:
		cut(data, table);
		break;
	case GONE:
		testrepo_unlink(&fx.r, data);
		break;
	case TREE_GONE:
		testrepo_unlink(&fx.r, tree);
		break;
	case SNAPSHOT:
		testrepo_flip(&fx.r, snap, 20, 0);
		break;
	case SNAPSHOT_COPY:
		testrepo_flip(&fx.r, copy, 20, 0);
		break;
	case BOTH_SNAPSHOTS:
		testrepo_flip(&fx.r, snap, 20, 0);
		testrepo_flip(&fx.r, copy, 30, 0);
		break;
	case VOUCH_JSON:
		testrepo_flip(&fx.r, "vouch.json", 10, 0);
		break;
	case VOUCH_COPY:
		testrepo_flip(&fx.r, "copies/vouch.json", 10, 0);
		break;
	case SUMS:
		testrepo_flip(&fx.r, "SHA256SUMS", 1, 7);
		break;
	}
}

static void assert_some(const char *name, uint64_t n, bool want)
{
	if ((n > 0) != want)
		fail_msg("%s: %llu", name, (unsigned long long)n);
}

static void test_row(void **state)
{
	const struct row *t = *state;

	(void)setup(NULL);
	build();
	OK(records_refresh_sums(fx.r.s, &ok_err));
	reopen(STORE_READ);
	verify_with((struct verify_options){ .files = true });
	assert_int_equal(found(), 0);
	assert_int_equal(fx.res.damaged_paths, 0);
	spoil(t->what);
	reopen(STORE_READ);
	verify_with((struct verify_options){ 0 });
	assert_some("damaged_packs", fx.res.damaged_packs, t->packs);
	assert_some("incomplete_packs", fx.res.incomplete_packs, t->incomplete);
	assert_some("damaged_chunks", fx.res.damaged_chunks, t->chunks);
	assert_some("missing_chunks", fx.res.missing_chunks, t->missing);
	assert_some("damaged_nodes", fx.res.damaged_nodes, t->nodes);
	assert_some("damaged_snapshots", fx.res.damaged_snapshots, t->snapshots);
	assert_some("damaged_records", fx.res.damaged_records, t->records);
	assert_some("damaged_paths", fx.res.damaged_paths, t->paths);
	if (found() > 0)
		assert_true(fx.log.nr[EVENT_DAMAGE] > 0);
	/* Quickly the same, but for what only a SHA-256 tells. */
	reopen(STORE_READ);
	verify_with((struct verify_options){ .quick = true });
	assert_some("quick: damaged_packs", fx.res.damaged_packs, t->packs && t->what != RENAMED);
	assert_some("quick: incomplete_packs", fx.res.incomplete_packs, t->incomplete);
	assert_some("quick: missing_chunks", fx.res.missing_chunks, t->missing);
	assert_some("quick: damaged_nodes", fx.res.damaged_nodes, t->nodes);
	assert_some("quick: damaged_snapshots", fx.res.damaged_snapshots, t->snapshots);
	assert_some("quick: damaged_records", fx.res.damaged_records, t->records);
	assert_some("quick: damaged_paths", fx.res.damaged_paths, t->paths);
	assert_int_equal(fx.res.good_packs, 0);
	/* What is not there is missed by a sample that reads another pack. */
	reopen(STORE_READ);
	verify_with((struct verify_options){ .sample = 1, .seed = 1 });
	assert_some("sample: missing_chunks", fx.res.missing_chunks, t->missing);
	assert_some("sample: incomplete_packs", fx.res.incomplete_packs, t->incomplete);
	assert_some("sample: damaged_records", fx.res.damaged_records, t->records);
	reopen(STORE_READ);
	/* Of a snapshot, the same is found, and nothing of the packs. */
	if (!t->snapshots) {
		verify_with((struct verify_options){ .only = &fx.snap });
		assert_some("damaged_paths of one", fx.res.damaged_paths, t->paths);
		assert_int_equal(fx.res.packs, 0);
	}
	(void)teardown(NULL);
}

static void test_whole(void **state)
{
	(void)state;
	build();
	reopen(STORE_READ);
	verify_with((struct verify_options){ .files = true });
	assert_int_equal(found(), 0);
	assert_int_equal(fx.log.nr[EVENT_DAMAGE], 0);
	assert_int_equal(fx.res.snapshots, 2);
	assert_int_equal(fx.res.chunks, 3 + 6 + fx.res.nodes + 2); /* and testrepo's empty root */
	assert_true(fx.res.bytes_checked > 2100 * K);
	assert_true(fx.res.bytes_read > 2100 * K);
	/* Roots 2, top folders 2, one shared folder. */
	assert_int_equal(fx.res.nodes, 5);
	verify_with((struct verify_options){ .only = &fx.snap, .files = true });
	assert_int_equal(found(), 0);
	assert_int_equal(fx.res.snapshots, 1);
	assert_int_equal(fx.res.chunks, 9);
	assert_int_equal(fx.res.files, 4);
}

static void test_names_paths(void **state)
{
	char data[160];
	size_t len;

	(void)state;
	build();
	pack_of(1, data);
	testrepo_flip(&fx.r, data, table_at(data, &len) - 1, 7);	/* the end of /last */
	reopen(STORE_READ);
	verify_with((struct verify_options){ 0 });
	assert_int_equal(fx.res.damaged_packs, 1);
	assert_true(testlog_has(&fx.log, EVENT_DAMAGE, fx.snap.name, "|/last|chunk"));
	assert_false(testlog_has(&fx.log, EVENT_DAMAGE, "snapshot", "inline"));
	assert_false(testlog_has(&fx.log, EVENT_DAMAGE, "snapshot", "more"));
	/* In both snapshots, and as often as paths are touched in each. */
	assert_int_equal(fx.res.damaged_paths % 2, 0);
	assert_true(fx.res.damaged_paths >= 2);
}

/* A chunk that was never stored, a claim that is not so, a digest that is not the bytes'. */

static void test_missing_chunk(void **state)
{
	struct segment seg = { .kind = SEGMENT_CHUNK, .len = 77, .id = { { 1, 2, 3 } } };
	struct entry e = testtree_entry(ENTRY_FILE, "file"), top;
	struct buf list = BUF_INIT;
	struct object_id root;
	struct testtree t;

	(void)state;
	segment_encode(&seg, &list);
	e.content = CONTENT_LIST;
	e.content_p = list.p;
	e.content_len = list.len;
	e.size = 77;
	testtree_begin(&t, &fx.r);
	testtree_add(&t, &e);
	e.name = "same";
	testtree_add(&t, &e);
	testtree_end(&t, &root, &top);
	publish(&root, 5);
	reopen(STORE_READ);
	verify_with((struct verify_options){ .files = true });
	assert_int_equal(fx.res.missing_chunks, 1);
	assert_int_equal(fx.res.damaged_chunks, 0);
	assert_int_equal(fx.res.damaged_paths, 2);
	assert_true(testlog_has(&fx.log, EVENT_DAMAGE, "|/file|", "missing"));
	buf_release(&list);
}

static void test_wrong_length(void **state)
{
	struct segment seg = { .kind = SEGMENT_CHUNK, .len = 78 };
	struct entry e = testtree_entry(ENTRY_FILE, "file"), top;
	struct buf list = BUF_INIT;
	struct object_id root;
	struct testtree t;
	uint8_t bytes[77] = { 9 };

	(void)state;
	testrepo_put(&fx.r, PACK_DATA, bytes, sizeof(bytes), &seg.id);
	segment_encode(&seg, &list);
	e.content = CONTENT_LIST;
	e.content_p = list.p;
	e.content_len = list.len;
	e.size = 78;
	testtree_begin(&t, &fx.r);
	testtree_add(&t, &e);
	testtree_end(&t, &root, &top);
	publish(&root, 5);
	reopen(STORE_READ);
	verify_with((struct verify_options){ 0 });
	assert_int_equal(fx.res.damaged_chunks, 1);
	assert_int_equal(fx.res.damaged_paths, 1);
	buf_release(&list);
}

/* All checksums of the pack are right, and the chunk is not what its name says. */
static void test_forged_chunk(void **state)
{
	struct segment seg = { .kind = SEGMENT_CHUNK, .len = 77, .id = { { 1, 2, 3 } } };
	struct entry e = testtree_entry(ENTRY_FILE, "file"), top;
	uint8_t bytes[77] = { 9 }, other = 1;
	struct buf list = BUF_INIT;
	struct object_id root, id;
	struct testtree t;

	(void)state;
	testrepo_put(&fx.r, PACK_DATA, &other, 1, &id);		/* opens the writer */
	OK(writer_put(fx.r.w, PACK_DATA, &seg.id, bytes, sizeof(bytes), NULL, &ok_err));
	segment_encode(&seg, &list);
	e.content = CONTENT_LIST;
	e.content_p = list.p;
	e.content_len = list.len;
	e.size = 77;
	testtree_begin(&t, &fx.r);
	testtree_add(&t, &e);
	testtree_end(&t, &root, &top);
	publish(&root, 5);
	reopen(STORE_READ);
	verify_with((struct verify_options){ 0 });
	assert_int_equal(fx.res.damaged_packs, 1);
	assert_int_equal(fx.res.damaged_chunks, 1);
	assert_int_equal(fx.res.missing_chunks, 0);
	assert_int_equal(fx.res.damaged_paths, 1);
	buf_release(&list);
}

static void test_wrong_claims(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct entry d = testtree_entry(ENTRY_DIR, "dir"), top;
		struct object_id root;
		struct testtree t;

		testtree_begin(&t, &fx.r);
		testtree_enter(&t, &d);
		testtree_text(&t, "in", "in");
		testtree_text(&t, "in2", "in");
		testtree_leave(&t);
		testtree_end(&t, &root, &top);
		/* The same folder again, under an entry that says something else of it. */
		testtree_begin(&t, &fx.r);
		d = testtree_entry(ENTRY_DIR, "liar");
		d.node = top.node;
		d.below = top.below;
		d.nr_entries = top.nr_entries;
		d.nr_subdirs = top.nr_subdirs;
		if (i == 1)
			d.below.bytes++;
		if (i == 2)
			d.below.sums_len++;
		if (i == 3)
			d.below.others++;
		testtree_add(&t, &d);
		testtree_end(&t, &root, &top);
		publish(&root, 10 + i);
		reopen(STORE_WRITE);
		verify_with((struct verify_options){ .only = &fx.snap });
		assert_int_equal(fx.res.damaged_nodes, i > 0);
		assert_int_equal(fx.res.damaged_paths, i > 0);
		if (i > 0)
			assert_true(testlog_has(&fx.log, EVENT_DAMAGE, fx.snap.name, "|/liar|"));
	}
	verify_with((struct verify_options){ 0 });
	assert_int_equal(fx.res.damaged_nodes, 3);
	assert_int_equal(fx.res.damaged_paths, 3);
}

static void test_wrong_digest(void **state)
{
	struct segment seg[2] = { { .kind = SEGMENT_CHUNK, .len = 50 },
				  { .kind = SEGMENT_HOLE, .len = 50 } };
	struct entry e = testtree_entry(ENTRY_FILE, "file"),
		     one = testtree_entry(ENTRY_FILE, "one"),
		     top;
	struct buf list = BUF_INIT;
	struct object_id root;
	uint8_t bytes[50] = { 9 };
	struct testtree t;
	size_t one_len;

	(void)state;
	testrepo_put(&fx.r, PACK_DATA, bytes, sizeof(bytes), &seg[0].id);
	segment_encode(&seg[0], &list);
	one_len = list.len;
	segment_encode(&seg[1], &list);
	e.content = CONTENT_LIST;
	e.content_p = list.p;
	e.content_len = list.len;
	e.size = 100;
	e.hole_bytes = 50;
	e.flags |= ENTRY_HAS_SHA256;
	e.sha256.b[5] = 1;
	one.content = CONTENT_LIST;	/* a chunk and no more, which is whole */
	one.content_p = list.p;
	one.content_len = one_len;
	one.size = 50;
	one.flags |= ENTRY_HAS_SHA256;
	one.sha256 = seg[0].id;
	one.sha256.b[5] ^= 1;
	testtree_begin(&t, &fx.r);
	testtree_add(&t, &e);
	testtree_add(&t, &one);
	testtree_end(&t, &root, &top);
	publish(&root, 5);
	reopen(STORE_READ);
	verify_with((struct verify_options){ 0 });
	assert_int_equal(fx.res.damaged_paths, 0);
	verify_with((struct verify_options){ .files = true });
	assert_int_equal(fx.res.damaged_paths, 2);
	assert_true(testlog_has(&fx.log, EVENT_DAMAGE, "|/file|", "digest"));
	assert_true(testlog_has(&fx.log, EVENT_DAMAGE, "|/one|", "digest"));
	buf_release(&list);
}

/* A node of a large folder is missing: its folder is named, and nothing beside it. */
static void test_missing_node(void **state)
{
	enum { NAMES = 6000 };
	static char names[NAMES][16];
	struct entry d = testtree_entry(ENTRY_DIR, "dir"), top;
	struct object_id root;
	struct testtree t;

	(void)state;
	testtree_begin(&t, &fx.r);
	t.skip_node = 3;
	testtree_enter(&t, &d);
	for (unsigned i = 0; i < NAMES; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "n%06u", i);
		testtree_text(&t, names[i], names[i]);
	}
	testtree_leave(&t);
	testtree_end(&t, &root, &top);
	publish(&root, 5);
	reopen(STORE_READ);
	verify_with((struct verify_options){ 0 });
	assert_int_equal(fx.res.missing_chunks, 1);
	assert_int_equal(fx.res.damaged_paths, 1);
	assert_true(testlog_has(&fx.log, EVENT_DAMAGE, "|/dir|", "names in this folder"));
}

/*
 * Folders that refer to one another's node many times over: a path for each could never be
 * counted.
 */
static void test_many_paths(void **state)
{
	static char names[40][16];
	struct segment seg = { .kind = SEGMENT_CHUNK, .len = 77, .id = { { 7 } } };
	struct entry e = testtree_entry(ENTRY_FILE, "file"), below;
	struct buf list = BUF_INIT;
	struct object_id root;
	struct testtree t;

	(void)state;
	segment_encode(&seg, &list);
	e.content = CONTENT_LIST;
	e.content_p = list.p;
	e.content_len = list.len;
	e.size = 77;
	testtree_begin(&t, &fx.r);
	testtree_add(&t, &e);
	testtree_end(&t, &root, &below);
	for (int level = 0; level < 8; level++) {	/* 40^8 paths */
		testtree_begin(&t, &fx.r);
		for (int i = 0; i < 40; i++) {
			struct entry d = testtree_entry(ENTRY_DIR, names[i]);

			(void)snprintf(names[i], sizeof(names[i]), "d%02d", i);
			d.name_len = 3;
			d.node = below.node;
			d.below = below.below;
			d.nr_entries = below.nr_entries;
			d.nr_subdirs = below.nr_subdirs;
			testtree_add(&t, &d);
		}
		testtree_end(&t, &root, &below);
	}
	publish(&root, 5);
	reopen(STORE_READ);
	verify_with((struct verify_options){ 0 });
	assert_int_equal(fx.res.missing_chunks, 1);
	assert_true(fx.res.damaged_paths >= 1000000);
	assert_true(testlog_has(&fx.log, EVENT_DAMAGE, "more paths", ""));
	assert_true(fx.log.nr[EVENT_DAMAGE] < 10100);
	buf_release(&list);
}

/* A medium with one bad place in the data pack. */

#define BAD_AT 100000u

static const struct backend_ops *real;
static char bad_pack[160];

static enum err_code get_bad(struct backend *b, const char *name, uint64_t off, void *buf,
			     size_t len, size_t *n, struct err *e)
{
	if (strcmp(name, bad_pack) == 0 && off <= BAD_AT && BAD_AT - off < len)
		return err_set(e, ERR_IO, "bad sector");
	return real->get(b, name, off, buf, len, n, e);
}

/* What lies beside it is read and checked all the same. */
static void test_bad_sector(void **state)
{
	struct backend_ops ops;

	(void)state;
	build();
	pack_of(1, bad_pack);
	reopen(STORE_READ);
	real = fx.r.s->backend->ops;
	ops = *real;
	ops.get = get_bad;
	fx.r.s->backend->ops = &ops;
	verify_with((struct verify_options){ 0 });
	fx.r.s->backend->ops = real;
	assert_int_equal(fx.res.damaged_packs, 1);
	assert_int_equal(fx.res.damaged_chunks, 2);	/* of nine: those of the block there */
	assert_int_equal(fx.res.damaged_paths, 2);	/* /dir/first, in two snapshots */
	verify_with((struct verify_options){ 0 });
	assert_int_equal(found(), 0);
}

static void test_log(void **state)
{
	char cmd[512];

	(void)state;
	build();
	reopen(STORE_WRITE);
	verify_with((struct verify_options){ 0 });
	(void)snprintf(cmd, sizeof(cmd),
		       "cat '%s'/log/*.ndjson | grep verify | grep -q '\"damaged_chunks\":0'",
		       fx.r.path);
	assert_int_equal(system(cmd), 0);
	(void)snprintf(cmd, sizeof(cmd),
		       "cd '%s' && find . -type f | sort | grep -v index.db | xargs "
		       "sha256sum > ../before",
		       fx.r.path);
	assert_int_equal(system(cmd), 0);
	reopen(STORE_READ);
	verify_with((struct verify_options){ .files = true });
	(void)snprintf(cmd, sizeof(cmd),
		       "cd '%s' && find . -type f | sort | grep -v index.db | xargs "
		       "sha256sum | cmp - ../before",
		       fx.r.path);
	assert_int_equal(system(cmd), 0);
}

static void test_cancel(void **state)
{
	atomic_bool cancel;
	struct verify_options o = { .cancel = &cancel };

	(void)state;
	build();
	atomic_init(&cancel, true);
	assert_int_equal(verify_run(fx.r.s, &o, &fx.res, &fx.err), ERR_CANCELED);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest more[] = {
		T(test_whole),	      T(test_names_paths),  T(test_missing_chunk),
		T(test_wrong_length), T(test_forged_chunk), T(test_wrong_claims),
		T(test_wrong_digest), T(test_missing_node), T(test_many_paths),
		T(test_log),	      T(test_cancel),      T(test_bad_sector),
	};
	struct CMUnitTest tests[ARRAY_LEN(rows)];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[i] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL,
						(void *)(uintptr_t)&rows[i] };
	return cmocka_run_group_tests_name("verify, damage", tests, NULL, NULL) +
	       cmocka_run_group_tests_name("verify", more, NULL, NULL);
}
