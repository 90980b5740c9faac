/* SPDX-License-Identifier: MIT */
/* vouch validate as typed, with a type of component that is a text file; and what expectations and references mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/checked.h"
#include "tests/lib/boxcmd.h"
#include "tools/validate.h"

const struct component_ops *const component_types[] = { &box_type, &heap_type, NULL };

static int setup(void **state)
{
	char log[300];

	(void)boxcmd_setup(state);
	(void)snprintf(log, sizeof(log), "%s.log", box);
	put(box, "orders 10\ncustomers 20\nitems 30\n");
	put(log, "orders 1\nextra 2\n");
	return 0;
}

/* Nothing temporary is left. */
static void assert_clean(void)
{
	DIR *d = opendir(repo.dir);
	const struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d)))
		if (strstr(e->d_name, "vouch_validate"))
			fail_msg("%s is left", e->d_name);
	closedir(d);
}

static void test_valid(void **state)
{
	(void)state;
	configure("expect = sum = 60\nexpect = value orders >= 10\nexpect = sum <= 60.5\nnot-null = box.items box.orders", "");
	assert_status(RUN("-q"), STATUS_DONE);
	put(box, "orders 11\n");		/* what came since is not what is proven */
	assert_status(VALIDATE("crm"), STATUS_DONE);
	assert_said("6 recorded and equal, 0 different\n");
	assert_said("  ok       structure: the box is square\n");
	assert_said("  ok       expect: sum = 60: it is 60\n");
	assert_said("  ok       not-null: box.orders: it is 0\n");
	assert_said("within the target of 1:00; age of the dump");
	assert_said("crm: valid\n");
	assert_clean();
	assert_int_equal(notes("validate"), 1);
	assert_said("\"outcome\":\"ok\"");
	assert_said("\"equal\":6");
}

/* Each of these must be seen, and nothing left behind. */
static void test_trouble(void **state)
{
	static const struct {
		const char *keys, *says;
		int status;
	} rows[] = {
		{ "trouble = lie", "differs  line items: recorded 30", STATUS_FAILED },
		{ "trouble = crooked", "FAILED   structure: the box is crooked", STATUS_FAILED },
		{ "trouble = fail", "crm: NOT validated: the box broke", STATUS_FAILED },
		{ "expect = sum = 61", "FAILED   expect: sum = 61: it is 60, and should be 61", STATUS_FAILED },
		{ "expect = value items <= 29", "it is 30, and should be at most 29", STATUS_FAILED },
		{ "expect = value orders >= x", "it is 10, and should be at least x", STATUS_FAILED },
		{ "expect = names = orders", "the answer is 3 rows, not one value", STATUS_FAILED },
		{ "expect = nonsense = 1", "FAILED   expect: nonsense = 1: no such query: nonsense", STATUS_FAILED },
		{ "not-null = box.items box.nothing", "FAILED   not-null: box.nothing: it is 1, and should be at most 0",
		  STATUS_FAILED },
		{ "expect = sum", "'sum' is not QUERY = VALUE", STATUS_USAGE },
		{ "expect = sum =", "is not QUERY = VALUE", STATUS_USAGE },
		{ "not-null = orders", "'orders' is not TABLE.COLUMN", STATUS_USAGE },
		{ "orphans = a.b c.d", "box cannot be asked for them", STATUS_USAGE },
	};

	(void)state;
	assert_status(RUN("-q"), STATUS_DONE);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		configure(rows[i].keys, "");
		assert_status(VALIDATE("crm"), rows[i].status);
		assert_said(rows[i].says);
		assert_clean();
	}
}

/* What a killed one left is dropped by the next; what cannot be dropped is told. */
static void test_left(void **state)
{
	(void)state;
	assert_status(RUN("-q"), STATUS_DONE);
	configure("trouble = kill", "");
	assert_status(VALIDATE("crm"), 128 + SIGKILL);
	configure("trouble = stuck", "");
	assert_status(VALIDATE("crm"), STATUS_FAILED);
	assert_said("is there");
	assert_said("FAILED   discard: what was restored for this is left behind as vouch_validate_crm_");
	configure("", "");
	assert_status(VALIDATE("crm"), STATUS_DONE);
	assert_clean();
}

static void test_interrupted(void **state)
{
	(void)state;
	assert_status(RUN("-q"), STATUS_DONE);
	configure("trouble = cancel", "");
	assert_status(run_until(&cmd_validate, "half of it is there", ARGS("crm")), STATUS_FAILED);
	assert_said("interrupted");
	assert_clean();
}

static void test_live(void **state)
{
	(void)state;
	configure("expect = sum = 60", "");
	assert_status(RUN("-q"), STATUS_DONE);
	assert_status(VALIDATE("--live", "crm"), STATUS_DONE);
	assert_said("as it is now, beside snapshot");
	put(box, "orders 10\ncustomers 21\nitems 30\n");
	assert_status(VALIDATE("--live", "crm"), STATUS_FAILED);
	assert_said("differs  line customers: recorded 20, found 21");
	assert_said("it is 61, and should be 60");
	assert_status(VALIDATE("--live", "-n", "crm"), STATUS_USAGE);
}

static void test_dry_run(void **state)
{
	(void)state;
	configure("expect = sum = 61\ntrouble = fail", "");
	assert_status(RUN("-q"), STATUS_DONE);
	assert_status(VALIDATE("-n", "crm"), STATUS_DONE);
	assert_said("write vouch_validate_crm_");
	assert_said("then expect: sum = 61");
	assert_clean();
}

/* Values of one that the other must have. */
static void test_references(void **state)
{
	static const char section[] = "[reference parts]\nfrom = log\nfrom-query = names\nto = crm\nto-query = names\n";
	char text[512];

	(void)state;
	configure("", section);
	assert_status(RUN("-q"), STATUS_DONE);
	assert_status(VALIDATE("--quiet"), STATUS_FAILED);
	assert_said("reference parts, from log to crm\n  FAILED   1 of 2 are missing there, 0 allowed: extra\n");
	assert_null(strstr(said, "crm: valid"));
	assert_status(VALIDATE("crm"), STATUS_DONE);
	assert_said("reference parts is not compared: validate log and crm together");
	(void)snprintf(text, sizeof(text), "%sallow = 1\n", section);
	configure("", text);
	assert_status(VALIDATE("--quiet"), STATUS_DONE);
	assert_status(VALIDATE("--json"), STATUS_DONE);
	assert_said("\"type\":\"total\",\"components\":2,");
	assert_said("\"rto_seconds\":2700");
	(void)snprintf(text, sizeof(text), "%s[reference more]\nfrom = log\nfrom-query = nonsense\nto = crm\nto-query = names\n", section);
	configure("", text);
	assert_status(VALIDATE("--live"), STATUS_FAILED);
	assert_said("FAILED   from-query of log: no such query: nonsense");
	configure("", "[reference bad]\nfrom = nobody\nfrom-query = names\nto = crm\nto-query = names\n");
	assert_status(VALIDATE("crm"), STATUS_USAGE);
	assert_said("there is no [component nobody]");
	configure("", "[reference bad]\nfrom = crm\nfrom-query = names\nto = crm\n");
	assert_status(VALIDATE("crm"), STATUS_USAGE);
	assert_said("to-query");
}

static void read_file(const char *path, char *out, size_t cap)
{
	FILE *f = fopen(path, "re");
	size_t n;

	assert_non_null(f);
	n = fread(out, 1, cap - 1, f);
	out[n] = '\0';
	fclose(f);
}

static void test_report(void **state)
{
	char file[300], text[8192];
	struct stat st;
	json_t *o;

	(void)state;
	configure("expect = sum = 61", "");
	assert_status(RUN("-q"), STATUS_DONE);
	(void)snprintf(file, sizeof(file), "%s/report.json", repo.dir);
	assert_status(VALIDATE("--report", file, "crm"), STATUS_FAILED);
	read_file(file, text, sizeof(text));
	o = json_loads(text, 0, NULL);
	assert_non_null(o);
	assert_true(json_is_false(json_object_get(o, "valid")));
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(o, "components"), 0), "outcome")),
			    "differs");
	json_decref(o);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	(void)snprintf(file, sizeof(file), "%s/report.txt", repo.dir);
	assert_status(VALIDATE("--json", "--report", file, "crm"), STATUS_FAILED);
	assert_said("\"type\":\"validation\"");
	assert_said("\"verdict\":\"failed\"");
	read_file(file, text, sizeof(text));
	assert_non_null(strstr(text, "crm: NOT valid: 0 of what was recorded differ, 1 checks failed\nNOT all valid\n"));
	assert_status(VALIDATE("--report", file, "--snapshot", "2001-01-01", "crm"), STATUS_FAILED);
	read_file(file, text, sizeof(text));
	assert_non_null(strstr(text, "crm: NOT validated: "));
	/* Nothing else than a file is replaced, and another's temporary file is not written to. */
	(void)snprintf(file, sizeof(file), "%s/fifo", repo.dir);
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_status(VALIDATE("--report", file, "crm"), STATUS_USAGE);
	assert_said("is no regular file");
	assert_int_equal(lstat(file, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	(void)snprintf(file, sizeof(file), "%s/link", repo.dir);
	assert_int_equal(symlink(box, file), 0);
	assert_status(VALIDATE("--report", file, "crm"), STATUS_USAGE);
	(void)snprintf(text, sizeof(text), "%s/new.tmp", repo.dir);
	assert_int_equal(link(box, text), 0);
	(void)snprintf(file, sizeof(file), "%s/new", repo.dir);
	assert_status(VALIDATE("--report", file, "crm"), STATUS_FAILED);
	read_file(box, text, sizeof(text));
	assert_string_equal(text, "orders 10\ncustomers 20\nitems 30\n");
	assert_status(VALIDATE("--report", "/nonexistent/x", "crm"), STATUS_FAILED);
	assert_said("/nonexistent/x");
}

static void test_missing(void **state)
{
	static const struct {
		const char *from, *to, *examples;
		uint64_t nr, missing;
	} rows[] = {
		{ "", "", "", 0, 0 },
		{ "1\n2\n", "2\n1\n3\n", "", 2, 0 },
		{ "b\na\nb\nc", "c\n", "a, b", 4, 3 },
		{ "\n\\N\n\n1\n", "", "1", 1, 1 },
		{ "7\n6\n5\n4\n3\n2\n1\n", "0", "1, 2, 3, 4, 5", 7, 7 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT;
		uint64_t nr, missing;

		OK(reference_missing(rows[i].from, rows[i].to, &nr, &missing, &b, &ok_err));
		buf_add_u8(&b, '\0');
		assert_int_equal(nr, rows[i].nr);
		assert_int_equal(missing, rows[i].missing);
		assert_string_equal((char *)b.p, rows[i].examples);
		buf_release(&b);
	}
}

static void test_met(void **state)
{
	static const struct {
		const char *value, *answer;
		enum expect_op op;
		bool met;
	} rows[] = {
		{ "5", "5\n", EXPECT_EQ, true }, { "5", "5", EXPECT_EQ, true }, { "5", "5.0\n", EXPECT_EQ, true },
		{ "5", "05\n", EXPECT_EQ, true }, { "5", "6\n", EXPECT_EQ, false }, { "5", "", EXPECT_EQ, false },
		{ "5", "5\n5\n", EXPECT_EQ, false }, { "5", "5\t5\n", EXPECT_EQ, false }, { "5", "6\n", EXPECT_GE, true },
		{ "5", "4\n", EXPECT_LE, true }, { "5", "6\n", EXPECT_LE, false }, { "a b", "a b\n", EXPECT_EQ, true },
		{ "a", "a\n", EXPECT_GE, false }, { "9007199254740993", "9007199254740992\n", EXPECT_EQ, false },
		{ "nan", "nan\n", EXPECT_GE, false }, { "5", "\n", EXPECT_EQ, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char value[32];
		struct expectation x = { .op = rows[i].op, .value = value };
		struct buf why = BUF_INIT;

		(void)snprintf(value, sizeof(value), "%s", rows[i].value);
		if (expectation_met(&x, rows[i].answer, &why) != rows[i].met)
			fail_msg("row %zu", i);
		buf_release(&why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, boxcmd_teardown)
		EACH(test_valid), EACH(test_trouble), EACH(test_left), EACH(test_interrupted), EACH(test_live),
		EACH(test_dry_run), EACH(test_references), EACH(test_report),
		cmocka_unit_test(test_missing), cmocka_unit_test(test_met),
	};

	return cmocka_run_group_tests_name("validate", tests, NULL, NULL);
}
