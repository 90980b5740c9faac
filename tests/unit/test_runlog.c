/* SPDX-License-Identifier: MIT */
/* The history: what a line looks like, and which lines are believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/base/digest.h"
#include "store/base/hex.h"
#include "store/format/limits.h"
#include "tests/lib/testrepo.h"

static struct testrepo repo;

static const char *log_name(void)
{
	static char name[64];
	char month[8], now[TIME_TEXT_LEN + 1], short_id[33];
	uint8_t writer[16];

	store_now(now);
	OK(writer_identity(repo.s, writer, NULL, &ok_err));
	(void)snprintf(month, sizeof(month), "%.7s", now);
	(void)snprintf(name, sizeof(name), "log/%.8s-%s.ndjson", hex_encode(writer, 16, short_id),
		       month);
	return name;
}

static void test_runlog(void **state)
{
	char hex[ID_HEX_LEN + 1];
	struct object_id id;
	struct err e = ERR_INIT;
	size_t len = 0, lines = 0;
	char *text, *line, *save = NULL;

	(void)state;
	testrepo_open(&repo, STORE_WRITE);
	assert_int_equal(runlog_append(repo.s, "x", "\"a\":\n1", &e), ERR_USAGE);
	OK(runlog_append(repo.s, "backup", "\"files\":12,\"host\":\"alpha\"", &ok_err));
	OK(runlog_append(repo.s, "verify", "", &ok_err));
	text = (char *)testrepo_read(&repo, log_name(), &len);
	assert_non_null(text);
	for (line = text; (line = strtok_r(line, "\n", &save)); line = NULL, lines++) {
		char *check = strstr(line, ",\"check\":\"");

		assert_non_null(check);
		digest_sha256(line, (size_t)(check - line), &id);
		assert_memory_equal(check + 10, id_hex(&id, hex), 16);
		assert_string_equal(check + 26, "\"}");
		assert_non_null(strstr(line, lines == 0 ? "\"event\":\"backup\",\"files\":12,"
							: "\"event\":\"verify\",\"check\""));
		assert_memory_equal(line, "{\"time\":\"20", 11);
	}
	assert_int_equal(lines, 2);
	free(text);
}

struct seen {
	size_t nr, fail_at;
	uint64_t last;
	char items[64];
};

static enum err_code see_line(void *ctx, const struct runlog_line *l, struct err *e)
{
	struct seen *seen = ctx;

	assert_int_equal(strlen(l->time), TIME_TEXT_LEN);
	assert_null(runlog_str(l, "none"));
	assert_null(runlog_str(l, "n"));
	assert_false(runlog_u64(l, "packs", &seen->last));
	assert_true(runlog_u64(l, "n", &seen->last));
	if (runlog_nr(l, "packs") == 2)
		(void)snprintf(seen->items, sizeof(seen->items), "%s%s", runlog_item(l, "packs", 0),
			       runlog_item(l, "packs", 1));
	assert_null(runlog_item(l, "packs", 3));
	if (++seen->nr == seen->fail_at)
		return err_set(e, ERR_IO, "enough");
	return ERR_OK;
}

/** What of the log is believed: lines with a right check, whatever stands between them. */
static void test_runlog_each(void **state)
{
	struct seen seen = { 0 }, some = { .fail_at = 2 };
	struct err e = ERR_INIT;
	size_t len = 0;
	uint8_t *log;
	char *line;
	const char *name;

	(void)state;
	testrepo_open(&repo, STORE_WRITE);
	OK(runlog_append(repo.s, "seen", "\"n\":1,\"packs\":[\"ab\",\"cd\"]", &ok_err));
	OK(runlog_append(repo.s, "other", "\"n\":9", &ok_err));
	OK(runlog_append(repo.s, "seen", "\"n\":2", &ok_err));
	OK(runlog_append(repo.s, "seen", "\"n\":3", &ok_err));
	OK(runlog_each(repo.s, "seen", see_line, &seen, &ok_err));
	assert_int_equal(seen.nr, 3);
	assert_int_equal(seen.last, 3);
	assert_string_equal(seen.items, "abcd");
	assert_int_equal(runlog_each(repo.s, "seen", see_line, &some, &e), ERR_IO);
	assert_int_equal(some.nr, 2);
	assert_int_equal(repo.warnings, 0);

	/*
	 * The first line loses its end, and its line break with it; the third is altered; the last has no line
	 * break yet.
	 */
	name = log_name();
	log = testrepo_read(&repo, name, &len);
	assert_non_null(log);
	line = memmem(log, len, "\"]", 2);
	memmove(line, line + 31, len - (size_t)((uint8_t *)line + 31 - log));
	len -= 31;
	line = memmem(log, len, "\"n\":2", 5);
	line[4] = '4';
	testrepo_write(&repo, name, log, len - 1);
	free(log);
	memset(&seen, 0, sizeof(seen));
	OK(runlog_each(repo.s, NULL, see_line, &seen, &ok_err));
	assert_int_equal(seen.nr, 1);
	assert_int_equal(seen.last, 9);
	OK(runlog_each(repo.s, "see", see_line, &seen, &ok_err));
	assert_int_equal(seen.nr, 1);
}

/** A file of zeros, or of one line without end, costs little memory and no time to speak of. */
static void test_runlog_litter(void **state)
{
	const size_t len = (size_t)64 << 20;
	struct seen seen = { 0 };
	uint8_t *zeros = calloc(len, 1);

	(void)state;
	assert_non_null(zeros);
	testrepo_open(&repo, STORE_WRITE);
	testrepo_write(&repo, "log/00000000-2026-11.ndjson", zeros, len);
	free(zeros);
	OK(runlog_append(repo.s, "seen", "\"n\":1", &ok_err));
	OK(runlog_each(repo.s, NULL, see_line, &seen, &ok_err));
	assert_int_equal(seen.nr, 1);
}

static void test_runlog_long(void **state)
{
	struct err e = ERR_INIT;
	char *members = malloc(RUNLOG_LINE_MAX + 1);

	(void)state;
	assert_non_null(members);
	testrepo_open(&repo, STORE_WRITE);
	memset(members, ' ', RUNLOG_LINE_MAX);
	memcpy(members, "\"n\":1", 5);
	members[RUNLOG_LINE_MAX] = '\0';
	assert_int_equal(runlog_append(repo.s, "seen", members, &e), ERR_LIMIT);
	free(members);
}

static int setup(void **state)
{
	(void)state;
	testrepo_make(&repo);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testrepo_remove(&repo);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_runlog, setup, teardown),
		cmocka_unit_test_setup_teardown(test_runlog_each, setup, teardown),
		cmocka_unit_test_setup_teardown(test_runlog_litter, setup, teardown),
		cmocka_unit_test_setup_teardown(test_runlog_long, setup, teardown),
	};

	return cmocka_run_group_tests_name("runlog", tests, NULL, NULL);
}
