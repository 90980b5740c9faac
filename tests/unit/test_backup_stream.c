/* SPDX-License-Identifier: MIT */
/* Files that come from a producer; one that fails leaves no snapshot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

struct pipe_end {
	const uint8_t *p;
	size_t len, at, step;
	size_t fail_at; /* 0: never */
	bool fail_end;
	unsigned ends;
};

static enum err_code pipe_read(void *ctx, void *buf, size_t len, size_t *n, struct err *e)
{
	struct pipe_end *s = ctx;

	if (s->fail_at && s->at >= s->fail_at)
		return err_set(e, ERR_FAILED, "the producer broke");
	*n = s->len - s->at < s->step ? s->len - s->at : s->step;
	*n = *n < len ? *n : len;
	memcpy(buf, s->p + s->at, *n);
	s->at += *n;
	return ERR_OK;
}

static enum err_code pipe_done(void *ctx, struct err *e)
{
	struct pipe_end *s = ctx;

	s->ends++;
	return s->fail_end ? err_set(e, ERR_FAILED, "exit status 3") : ERR_OK;
}

static void stream_only(struct sandbox *sb, const struct backup_stream *s, size_t nr)
{
	sb->o.sources = NULL;
	sb->o.nr_sources = 0;
	sb->o.base = NULL;
	sb->o.streams = s;
	sb->o.nr_streams = nr;
}

static void test_streams(void **state)
{
	struct sandbox *sb = *state;
	uint8_t *p = noise(5000000, 9);
	struct pipe_end big = {.p = p, .len = 5000000, .step = 60001};
	struct pipe_end small = {.p = p, .len = 100, .step = 7}, none = {.p = p, .step = 1};
	const struct backup_stream s[] = {
	    {"pg/app.dump", pipe_read, pipe_done, &big},
	    {"pg/roles.sql", pipe_read, pipe_done, &small},
	    {"empty", pipe_read, pipe_done, &none},
	};
	struct entry_ref r;

	stream_only(sb, s, ARRAY_LEN(s));
	sandbox_backup(sb);
	assert_int_equal(big.ends + small.ends + none.ends, 3);
	assert_content(sb, "pg/app.dump", p, 5000000);
	assert_content(sb, "pg/roles.sql", p, 100);
	assert_content(sb, "empty", p, 0);
	assert_int_equal(sb->res.snapshot.nr_sources, 3);
	assert_string_equal(sb->res.snapshot.sources[0], "pg/app.dump");
	find(sb, "pg/app.dump", &r);
	assert_int_equal(r.e.mode, 0600);
	assert_int_equal(r.e.uid, geteuid());
	assert_true(r.e.mtime.sec > 1700000000);
	found_release(sb, &r);
	free(p);
}

/* Where a chunk ends depends on the bytes and not on the pieces they came in, nor on what was in
 * memory with them. */
static void test_pieces(void **state)
{
	static const size_t steps[] = {60001, 1 << 20, 130 << 10, 4 << 20};
	struct sandbox *sb = *state;
	uint8_t *p = noise(12000000, 10);

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct pipe_end from = {.p = p, .len = 12000000, .step = steps[i]};
		const struct backup_stream s = {"dump", pipe_read, pipe_done, &from};

		stream_only(sb, &s, 1);
		sandbox_backup(sb);
		assert_content(sb, "dump", p, 12000000);
		if (i > 0) /* nodes */
			assert_true(sb->res.new_bytes < 10000);
	}
	free(p);
}

static void test_stream_beside_sources(void **state)
{
	struct sandbox *sb = *state;
	struct pipe_end end = {.p = (const uint8_t *)"dump", .len = 4, .step = 4};
	const struct backup_stream s = {"d/dump", pipe_read, pipe_done, &end};
	static const char *const sources[] = {"d/in", "e"};

	make_dir(sb, "d");
	make_text(sb, "d/in", "in");
	make_text(sb, "d/not", "not asked for");
	make_text(sb, "e", "e");
	sb->o.sources = sources;
	sb->o.nr_sources = 2;
	sb->o.streams = &s;
	sb->o.nr_streams = 1;
	sandbox_backup(sb);
	assert_names(sb, "", "d e ");
	assert_names(sb, "d", "dump in ");
	assert_text(sb, "d/dump", "dump");
}

static void test_stream_fails(void **state)
{
	struct sandbox *sb = *state;
	uint8_t *p = noise(3000000, 9);
	struct pipe_end end = {.p = p, .len = 3000000, .step = 50000, .fail_at = 2000000};
	const struct backup_stream s = {"db.sql", pipe_read, pipe_done, &end};

	stream_only(sb, &s, 1);
	assert_int_equal(sandbox_run(sb), ERR_FAILED);
	assert_non_null(strstr(sb->e.msg, "the producer broke"));
	assert_int_equal(sandbox_nr_snapshots(sb), 0);
	end = (struct pipe_end){.p = p, .len = 3000000, .step = 50000, .fail_end = true};
	assert_int_equal(sandbox_run(sb), ERR_FAILED);
	assert_non_null(strstr(sb->e.msg, "exit status 3"));
	assert_int_equal(end.ends, 1);
	assert_int_equal(sandbox_nr_snapshots(sb), 0);
	free(p);
}

static void test_stream_names(void **state)
{
	static const char *const bad[] = {"",	   "/x",     "x/",   "a//b", "../x",
					  "a/./b", "d/in/x", "d/in", "d"};
	struct sandbox *sb = *state;
	struct pipe_end end = {.p = (const uint8_t *)"", .step = 1};
	static const char *const sources[] = {"d/in"};

	make_dir(sb, "d");
	make_text(sb, "d/in", "in");
	sb->o.sources = sources;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const struct backup_stream s = {bad[i], pipe_read, pipe_done, &end};

		sb->o.streams = &s;
		sb->o.nr_streams = 1;
		assert_int_equal(sandbox_run(sb), ERR_USAGE);
	}
}

#define WITH_SANDBOX(f) cmocka_unit_test_setup_teardown(f, sandbox_setup, sandbox_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_SANDBOX(test_streams), WITH_SANDBOX(test_pieces),
	    WITH_SANDBOX(test_stream_beside_sources),
	    WITH_SANDBOX(test_stream_fails),
	    WITH_SANDBOX(test_stream_names),
	};

	return cmocka_run_group_tests_name("backup: streams", tests, NULL, NULL);
}
