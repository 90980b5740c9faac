/* SPDX-License-Identifier: MIT */
/* What the second day of a large file adds, with the chunks a backup chose for itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "tests/lib/sandbox.h"

#define ROWS	    200000u
#define ROW_LEN	    100u /* of most real tables' rows; a hundred of them are 10 KB from change to change */
#define SMALL	    4096u
#define FILE_HEAD   512u
#define INSERTED    10240u
#define INSERTED_AT 3u

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/** version: of its balance. */
static void row(char out[ROW_LEN + 1], uint32_t number, uint64_t version)
{
	uint64_t h = mix(number + 1u);

	(void)snprintf(out, ROW_LEN + 1, "%07u\t%016llx\t%010llu\t%-62llu", number,
		       (unsigned long long)h,
		       (unsigned long long)(mix(h + version) % 10000000000u),
		       (unsigned long long)(h >> 40));
	out[ROW_LEN - 1] = '\n';
}

struct stream {
	const uint8_t *p;
	size_t len, at;
};

static enum err_code stream_read(void *ctx, void *buf, size_t len, size_t *n, struct err *e)
{
	struct stream *s = ctx;

	(void)e;
	*n = s->len - s->at < len ? s->len - s->at : len;
	memcpy(buf, s->p + s->at, *n);
	s->at += *n;
	return ERR_OK;
}

static enum err_code stream_end(void *ctx, struct err *e)
{
	(void)ctx;
	(void)e;
	return ERR_OK;
}

static void back_up(struct sandbox *sb, const uint8_t *p, size_t len, uint32_t chunk_avg)
{
	struct stream in = {.p = p, .len = len};
	const struct backup_stream s = {"db.sql", stream_read, stream_end, &in};

	sb->o.sources = NULL;
	sb->o.nr_sources = 0;
	sb->o.base = NULL;
	sb->o.streams = &s;
	sb->o.nr_streams = 1;
	sb->o.chunk_avg = chunk_avg;
	sandbox_backup(sb);
	sb->o.streams = NULL;
	sb->o.nr_streams = 0;
}

/** Part of len, in hundredths of a percent. */
static uint64_t part(uint64_t n, size_t len)
{
	return n * 10000 / len;
}

enum changes { CHANGED_NONE, CHANGED_END, CHANGED_SPREAD };

static uint8_t *dump(enum changes changes)
{
	uint8_t *p = malloc(ROWS * ROW_LEN + 1);

	assert_non_null(p);
	for (uint32_t i = 0; i < ROWS; i++) {
		bool changed = (changes == CHANGED_END && i >= ROWS / 100 * 99) ||
			       (changes == CHANGED_SPREAD && i % 100 == 50);

		row((char *)p + (size_t)i * ROW_LEN, i, changed);
	}
	return p;
}

static void test_dump(void **state)
{
	static const struct {
		const char *label;
		enum changes changes;
		uint32_t chunk_avg;
		uint64_t least, most; /* new bytes, in hundredths of a percent */
	} cases[] = {
	    {"changed at the end", CHANGED_END, SMALL, 100, 150},
	    {"spread evenly", CHANGED_SPREAD, SMALL, 100, 6000},
	    /* What the small chunks are for; with 256 KiB nothing is shared. */
	    {"spread evenly, usual chunks", CHANGED_SPREAD, 0, 9900, 10100},
	};
	const size_t len = ROWS * ROW_LEN;
	struct sandbox *sb = *state;
	uint8_t *one = dump(CHANGED_NONE);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t *two = dump(cases[i].changes);
		uint64_t now;

		back_up(sb, one, len, cases[i].chunk_avg);
		back_up(sb, two, len, cases[i].chunk_avg);
		now = part(sb->res.new_bytes, len);
		if (now < cases[i].least || now > cases[i].most)
			fail_msg("%s: %llu.%02llu %% new", cases[i].label,
				 (unsigned long long)now / 100, (unsigned long long)now % 100);
		sandbox_reopen(sb);
		assert_content(sb, "db.sql", two, len);
		free(two);
	}
	free(one);
}

/** Files of 1 to 64 KiB with heads, one after the other as in a tar; malloc'ed. */
static uint8_t *archive(bool with_inserted, size_t *len)
{
	uint8_t *noisy = noise(16000000, 4), *p = malloc(17000000);
	size_t at = 0, from = 0;

	assert_non_null(p);
	for (uint32_t i = 0; from < 15900000; i++) {
		size_t n = 1024 + mix(i + 1u) % 64512 / 512 * 512;

		if (with_inserted && i == INSERTED_AT) {
			memset(p + at, 'i', FILE_HEAD + INSERTED);
			at += FILE_HEAD + INSERTED;
		}
		memset(p + at, 0, FILE_HEAD);
		(void)snprintf((char *)p + at, FILE_HEAD, "src/file%u", i);
		at += FILE_HEAD;
		memcpy(p + at, noisy + from, n);
		at += n;
		from += n;
	}
	free(noisy);
	*len = at;
	return p;
}

static void test_inserted(void **state)
{
	static const struct {
		uint32_t chunk_avg;
		uint64_t most; /* new chunks */
	} cases[] = {{0, 8}, {SMALL, 16}};
	struct sandbox *sb = *state;
	size_t len_one, len_two;
	uint8_t *one = archive(false, &len_one), *two = archive(true, &len_two);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		back_up(sb, one, len_one, cases[i].chunk_avg);
		back_up(sb, two, len_two, cases[i].chunk_avg);
		assert_in_range(sb->res.new_chunks, 2, cases[i].most);
		sandbox_reopen(sb);
		assert_content(sb, "db.sql", two, len_two);
	}
	free(one);
	free(two);
}

/* Each chunk is 36 bytes in its block's header and 36 in its pack's table, 37 in the list, and a row. */
static void test_cost(void **state)
{
	const size_t len = ROWS * ROW_LEN;
	struct sandbox *sb = *state;
	uint8_t *p = dump(CHANGED_NONE);
	const struct backup_result *r = &sb->res;

	back_up(sb, p, len, SMALL);
	assert_in_range(r->new_chunks, len / SMALL * 8 / 10, len / SMALL * 12 / 10);
	assert_in_range(r->table_bytes, r->new_chunks * 72, r->new_chunks * 72 + 10000);
	assert_in_range(r->tree_bytes, r->new_chunks * 33, r->new_chunks * 38);
	assert_in_range(r->index_bytes, r->new_chunks * 10, r->new_chunks * 32);
	assert_true(r->table_bytes + r->tree_bytes < r->stored_bytes);
	back_up(sb, p, len, SMALL);
	assert_int_equal(r->index_bytes, 0);
	/* The name's time is new, and with it the folder. */
	assert_true(r->new_chunks <= 2 && r->table_bytes < 2000);
	free(p);
}

static void test_sizes(void **state)
{
	static const uint32_t bad[] = {1, 128, 3000, 4097, 4u << 20, 1u << 31};
	static const uint32_t good[] = {256, 1024, 64u << 10, 2u << 20};
	const size_t len = 3000000;
	struct sandbox *sb = *state;
	uint8_t *p = noise(len, 5);

	make_text(sb, "f", "text");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		sb->o.chunk_avg = bad[i];
		assert_int_equal(sandbox_run(sb), ERR_USAGE);
	}
	assert_int_equal(sandbox_nr_snapshots(sb), 0);
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		back_up(sb, p, len, good[i]);
		assert_true(sb->res.new_chunks > len / 4 / good[i]);
		assert_content(sb, "db.sql", p, len);
	}
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_dump, sandbox_setup, sandbox_teardown),
	    cmocka_unit_test_setup_teardown(test_inserted, sandbox_setup, sandbox_teardown),
	    cmocka_unit_test_setup_teardown(test_cost, sandbox_setup, sandbox_teardown),
	    cmocka_unit_test_setup_teardown(test_sizes, sandbox_setup, sandbox_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
