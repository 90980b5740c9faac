/* SPDX-License-Identifier: MIT */
/*
 * Runs: rows that were sorted once and are never changed, in pages that just fit one of SQLite's.  Adding one appends;
 * nothing that is there is written again, and little goes to the journal.  When MERGE_NR runs of about the same size
 * have gathered they become one, so that a row is written once for each power of MERGE_NR (five times on its way into
 * ten million) and once more to the journal when its run goes: 155 bytes in all.  Rows of packs that are gone stay
 * until then, and are passed over by who finds them.
 */
#include "store/engine/catalog_impl.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/array.h"
#include "store/base/bytes.h"
#include "store/format/limits.h"

#define ROW_LEN	      14u /* key 8, pack 4, block 2 */
#define PAGE_ROWS     288u /* 4032 bytes: a leaf of 4096 holds one, and what SQLite writes beside it */
#define PAGE_ROWS_MAX (PAGE_ROWS + 64u) /* one key's rows lie in one page; of more than 64 some are forgotten */
#define MERGE_NR      4u
#define SMALL_ROWS    16384u	/* runs up to here count as equal */
#define LARGE_ROWS    (4u << 20) /* not merged any more: at most 16 Mi rows, 240 MB, are written in one transaction */
#define RUNS_MAX      65536u	/* a file with more is not ours: 2^32 packs' rows would not make that many */

_Static_assert(PACK_BLOCKS_MAX <= 65536u, "a block's number has two bytes");

struct catalog_run {
	int64_t no;
	uint64_t rows;
};

int catalog_cmp_row(const void *pa, const void *pb)
{
	const struct catalog_row *a = pa, *b = pb;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->pack != b->pack)
		return a->pack < b->pack ? -1 : 1;
	return a->block < b->block ? -1 : a->block > b->block;
}

/* Pages. */

static void decode_row(const uint8_t *at, struct catalog_row *out)
{
	struct rd r = rd_init(at, ROW_LEN);

	out->key = (int64_t)rd_le64(&r);
	out->pack = rd_le32(&r);
	out->block = rd_le16(&r);
}

enum err_code catalog_page(struct sqlite3_stmt *st, int col, const uint8_t **at, unsigned *nr,
			   struct err *e)
{
	int len = sqlite3_column_bytes(st, col);

	if (sqlite3_column_type(st, col) != SQLITE_BLOB || len <= 0 || (unsigned)len % ROW_LEN != 0 ||
	    (unsigned)len / ROW_LEN > PAGE_ROWS_MAX)
		return err_set(e, ERR_CORRUPT, "index: a page makes no sense");
	*at = sqlite3_column_blob(st, col);
	*nr = (unsigned)len / ROW_LEN;
	return *at ? ERR_OK : err_set(e, ERR_NOMEM, "index: a page");
}

uint64_t catalog_page_key(const uint8_t *at, unsigned i)
{
	struct rd r = rd_init(at + i * ROW_LEN, 8);

	return rd_le64(&r);
}

void catalog_page_row(const uint8_t *at, unsigned i, struct catalog_row *out)
{
	decode_row(at + i * ROW_LEN, out);
}

unsigned catalog_page_seek(const uint8_t *at, unsigned nr, int64_t key)
{
	unsigned lo = 0, hi = nr;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if ((int64_t)catalog_page_key(at, mid) < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Writing one. */

struct run_writer {
	struct catalog *c;
	int64_t run;
	uint64_t rows;
	unsigned nr;
	struct catalog_row page[PAGE_ROWS_MAX];
};

static enum err_code open_run(struct run_writer *w, struct catalog *c, struct err *e)
{
	enum err_code rc = catalog_run(c, ST_ADD_RUN, e);

	w->c = c;
	w->run = sqlite3_last_insert_rowid(c->db);
	w->rows = 0;
	w->nr = 0;
	return rc;
}

static enum err_code put_page(struct run_writer *w, struct err *e)
{
	uint8_t data[PAGE_ROWS_MAX * ROW_LEN], *p = data;
	sqlite3_stmt *st;
	enum err_code rc;

	if (w->nr == 0)
		return ERR_OK;
	rc = catalog_get(w->c, ST_ADD_PAGE, &st, e);
	if (rc)
		return rc;
	for (unsigned i = 0; i < w->nr; i++) {
		p = put_le64(p, (uint64_t)w->page[i].key);
		p = put_le32(p, w->page[i].pack);
		p = put_le16(p, (uint16_t)w->page[i].block);
	}
	if (sqlite3_bind_int64(st, 1, w->run) || sqlite3_bind_int64(st, 2, w->page[0].key) ||
	    sqlite3_bind_blob(st, 3, data, (int)(p - data), SQLITE_STATIC))
		return catalog_db_err(w->c->db, "page", e);
	rc = catalog_finish(w->c, ST_ADD_PAGE, e);
	w->rows += w->nr;
	w->nr = 0;
	return rc;
}

/* In order; what was put already is not put again. */
static enum err_code put_row(struct run_writer *w, const struct catalog_row *r, struct err *e)
{
	const struct catalog_row *last = w->nr ? &w->page[w->nr - 1] : NULL;
	enum err_code rc = ERR_OK;

	if (last && catalog_cmp_row(last, r) == 0)
		return ERR_OK;
	if (last && w->nr >= PAGE_ROWS && last->key != r->key)
		rc = put_page(w, e);
	if (!rc && w->nr < PAGE_ROWS_MAX)
		w->page[w->nr++] = *r;
	return rc;
}

static enum err_code drop_run(struct catalog *c, int64_t run, struct err *e)
{
	static const enum catalog_st both[] = {ST_DROP_PAGES, ST_DROP_RUN};
	enum err_code rc = ERR_OK;
	sqlite3_stmt *st;

	for (int i = 0; i < 2 && !rc; i++) {
		rc = catalog_get(c, both[i], &st, e);
		if (!rc && sqlite3_bind_int64(st, 1, run))
			rc = catalog_db_err(c->db, "run", e);
		if (!rc)
			rc = catalog_finish(c, both[i], e);
	}
	return rc;
}

static enum err_code close_run(struct run_writer *w, struct err *e)
{
	enum err_code rc = put_page(w, e);
	sqlite3_stmt *st;

	if (!rc && w->rows == 0)
		return drop_run(w->c, w->run, e);
	if (!rc)
		rc = catalog_get(w->c, ST_SET_RUN, &st, e);
	if (rc)
		return rc;
	if (sqlite3_bind_int64(st, 1, w->run) || sqlite3_bind_int64(st, 2, (int64_t)w->rows))
		return catalog_db_err(w->c->db, "run", e);
	return catalog_finish(w->c, ST_SET_RUN, e);
}

enum err_code catalog_add_run(struct catalog *c, const struct catalog_row *rows, size_t nr,
			      struct err *e)
{
	struct run_writer w;
	enum err_code rc = open_run(&w, c, e);

	for (size_t i = 0; i < nr && !rc; i++)
		rc = put_row(&w, &rows[i], e);
	return rc ? rc : close_run(&w, e);
}

/* Merging. */

/* Packs that are in the index, in order. */
struct live {
	uint32_t *nos;
	size_t nr;
};

static int cmp_no(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool is_live(const struct live *l, uint32_t no)
{
	return !l || (l->nr > 0 && bsearch(&no, l->nos, l->nr, sizeof(*l->nos), cmp_no));
}

struct source {
	int64_t run, from; /* the next page's first key at least */
	bool ended;	   /* no page after this one */
	unsigned at, nr;
	struct catalog_row rows[PAGE_ROWS_MAX];
};

/* The next page of a run; nr stays 0 at its end.  Keys that only rise end a run that a hostile file made circular. */
static enum err_code load_page(struct catalog *c, struct source *s, struct err *e)
{
	const uint8_t *data;
	sqlite3_stmt *st;
	enum err_code rc;
	int step;

	s->at = s->nr = 0;
	if (s->ended)
		return ERR_OK;
	rc = catalog_get(c, ST_NEXT_PAGE, &st, e);
	if (rc)
		return rc;
	if (sqlite3_bind_int64(st, 1, s->run) || sqlite3_bind_int64(st, 2, s->from)) {
		rc = catalog_db_err(c->db, "page", e);
		goto out;
	}
	step = sqlite3_step(st);
	if (step == SQLITE_DONE) {
		s->ended = true;
	} else if (step != SQLITE_ROW) {
		rc = catalog_db_err(c->db, "page", e);
	} else if (sqlite3_column_int64(st, 0) < s->from) {
		rc = err_set(e, ERR_CORRUPT, "index: pages out of order");
	} else {
		s->ended = sqlite3_column_int64(st, 0) == INT64_MAX;
		s->from = s->ended ? INT64_MAX : sqlite3_column_int64(st, 0) + 1;
		rc = catalog_page(st, 1, &data, &s->nr, e);
		for (unsigned i = 0; !rc && i < s->nr; i++)
			decode_row(data + i * ROW_LEN, &s->rows[i]);
	}
out:
	(void)sqlite3_reset(st);
	return rc;
}

static struct source *least(struct source *s, unsigned nr)
{
	struct source *best = NULL;

	for (unsigned i = 0; i < nr; i++)
		if (s[i].at < s[i].nr &&
		    (!best || catalog_cmp_row(&s[i].rows[s[i].at], &best->rows[best->at]) < 0))
			best = &s[i];
	return best;
}

/* The new one is whole before the old ones go: pages freed in a transaction and used again in it would be journaled. */
static enum err_code merge_runs(struct catalog *c, const struct catalog_run *runs, unsigned nr,
				const struct live *live, struct err *e)
{
	struct source *s = calloc(nr, sizeof(*s)), *next;
	struct run_writer w;
	enum err_code rc;

	if (!s)
		return err_set(e, ERR_NOMEM, "index: %u runs", nr);
	rc = open_run(&w, c, e);
	for (unsigned i = 0; i < nr && !rc; i++) {
		s[i].run = runs[i].no;
		s[i].from = INT64_MIN;
		rc = load_page(c, &s[i], e);
	}
	while (!rc && (next = least(s, nr)) != NULL) {
		const struct catalog_row *r = &next->rows[next->at++];

		if (is_live(live, r->pack))
			rc = put_row(&w, r, e);
		if (!rc && next->at == next->nr)
			rc = load_page(c, next, e);
	}
	if (!rc)
		rc = close_run(&w, e);
	for (unsigned i = 0; i < nr && !rc; i++)
		rc = drop_run(c, runs[i].no, e);
	free(s);
	return rc;
}

static enum err_code list_live(struct catalog *c, struct live *out, struct err *e)
{
	struct catalog_pack *packs = NULL;
	enum err_code rc;
	size_t nr = 0;

	rc = catalog_packs_locked(c, &packs, &nr, e);
	if (rc)
		return rc;
	out->nos = malloc((nr + 1) * sizeof(*out->nos));
	for (size_t i = 0; out->nos && i < nr; i++)
		out->nos[i] = packs[i].no;
	out->nr = nr;
	free(packs);
	return out->nos ? ERR_OK : err_set(e, ERR_NOMEM, "index: %zu packs", nr);
}

static enum err_code list_runs(struct catalog *c, struct catalog_run **out, size_t *nr,
			       struct err *e)
{
	struct catalog_run *list = NULL;
	size_t n = 0, cap = 0;
	sqlite3_stmt *st;
	enum err_code rc = catalog_get(c, ST_RUNS, &st, e);
	int step;

	if (rc)
		return rc;
	while ((step = sqlite3_step(st)) == SQLITE_ROW) {
		struct catalog_run *more = array_room(list, n, &cap, sizeof(*more));
		int64_t rows = sqlite3_column_int64(st, 1);

		if (!more) {
			rc = err_set(e, ERR_NOMEM, "index: %zu runs", n);
			goto out;
		}
		list = more;
		list[n].no = sqlite3_column_int64(st, 0);
		list[n].rows = rows > 0 ? (uint64_t)rows : 0;
		if (n == RUNS_MAX || rows < 0 || rows > INT64_MAX / RUNS_MAX) {
			rc = err_set(e, ERR_CORRUPT, "index: row %zu of runs makes no sense", n);
			goto out;
		}
		n++;
	}
	if (step != SQLITE_DONE) {
		rc = catalog_db_err(c->db, "runs", e);
		goto out;
	}
	*out = list;
	*nr = n;
	list = NULL;
out:
	(void)sqlite3_reset(st);
	free(list);
	return rc;
}

/* 0 for the small, then one for each power of MERGE_NR. */
static unsigned class_of(uint64_t rows)
{
	unsigned class = 0;

	for (uint64_t limit = SMALL_ROWS; rows >= limit; limit *= MERGE_NR)
		class++;
	return class;
}

/* MERGE_NR runs of one size, the smallest first; false where there are none. */
static bool choose(const struct catalog_run *runs, size_t nr, struct catalog_run out[MERGE_NR])
{
	for (unsigned class = 0; class < class_of(LARGE_ROWS); class ++) {
		unsigned n = 0;

		for (size_t i = 0; i < nr && n < MERGE_NR; i++)
			if (class_of(runs[i].rows) == class)
				out[n++] = runs[i];
		if (n == MERGE_NR)
			return true;
	}
	return false;
}

static uint64_t sum_rows(const struct catalog_run *runs, size_t nr)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < nr; i++)
		sum += runs[i].rows;
	return sum;
}

enum err_code catalog_merge(struct catalog *c, struct err *e)
{
	struct catalog_run *runs = NULL, some[MERGE_NR];
	struct live live = {0};
	uint64_t packs, chunks;
	enum err_code rc;
	bool more = true;
	size_t nr;

	rc = catalog_sums(c, &packs, &chunks, e);
	while (!rc && more) {
		rc = list_runs(c, &runs, &nr, e);
		more = !rc && choose(runs, nr, some);
		if (more && !live.nos && sum_rows(runs, nr) > chunks)
			rc = list_live(c, &live, e);
		if (!rc && more)
			rc = merge_runs(c, some, MERGE_NR, live.nos ? &live : NULL, e);
		free(runs);
		runs = NULL;
	}
	free(live.nos);
	return rc;
}

enum err_code catalog_sweep_runs(struct catalog *c, struct err *e)
{
	struct catalog_run *runs = NULL;
	struct live live = {0};
	uint64_t packs, chunks;
	enum err_code rc;
	size_t nr = 0;

	rc = catalog_sums(c, &packs, &chunks, e);
	if (!rc)
		rc = list_runs(c, &runs, &nr, e);
	if (!rc && sum_rows(runs, nr) > 2 * chunks + SMALL_ROWS)
		rc = list_live(c, &live, e);
	for (size_t i = 0; live.nos && i < nr && !rc; i++)
		rc = merge_runs(c, &runs[i], 1, &live, e);
	free(live.nos);
	free(runs);
	return rc;
}
