/* SPDX-License-Identifier: MIT */
/* vouch.conf(5): what is read, and above all what is refused because inih would drop, cut or join it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "tools/config.h"

#define X10 "xxxxxxxxxx"
#define X40 X10 X10 X10 X10
#define X190 X40 X40 X40 X40 X10 X10 X10

static char dir[] = "/tmp/test_config.XXXXXX";
static char path[64], secret_path[64];

static void write_file(const char *name, const char *text, size_t len, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static enum err_code read_text(const char *text, struct config **out, struct err *e)
{
	write_file(path, text, strlen(text), 0600);
	return config_open(path, out, e);
}

static struct config *good(const char *text)
{
	struct config *c = NULL;
	struct err e = ERR_INIT;

	if (read_text(text, &c, &e))
		fail_msg("%s", e.msg);
	return c;
}

/* The issue's own. */
static void test_example(void **state)
{
	struct config *c = good("[repository]\npath = /media/usb/backup\n"
				"# a comment\n"
				"[component crm]\r\ntype = postgres\r\ndsn = host=/run/postgresql dbname=crm\r\n"
				"\n  \t\n   ; an indented comment\n"
				"[component shop]\ntype=mysql\nvia = docker exec -i shop_mysql\n"
				"expect = SELECT 1; = 1\nexpect = SELECT 2 = 2\nurl = http://127.0.0.1:6333\ncollections = *\nempty =\n"
				"[run]\n[reference orders]\nallow = 0");
	struct config_section *s;

	(void)state;
	assert_int_equal(c->nr, 5);
	s = config_find(c, "repository", NULL);
	assert_string_equal(config_get(s, "path"), "/media/usb/backup");
	assert_int_equal(config_unused(s, NULL), ERR_OK);
	s = config_find(c, "component", "crm");
	assert_int_equal(s->line, 4);
	assert_string_equal(config_get(s, "dsn"), "host=/run/postgresql dbname=crm");
	assert_string_equal(config_get(s, "type"), "postgres");
	assert_null(config_get(s, "via"));
	s = config_find(c, "component", "shop");
	assert_string_equal(config_nth(s, "expect", 0), "SELECT 1; = 1");
	assert_string_equal(config_nth(s, "expect", 1), "SELECT 2 = 2");
	assert_null(config_nth(s, "expect", 2));
	assert_string_equal(config_get(s, "url"), "http://127.0.0.1:6333");
	assert_string_equal(config_get(s, "empty"), "");
	assert_string_equal(config_find(c, "run", NULL)->name, "");
	s = config_find(c, "reference", NULL);
	assert_string_equal(s->name, "orders");
	assert_string_equal(config_get(s, "allow"), "0");
	assert_null(config_find(c, "component", "nobody"));
	config_close(c);
}

static const struct row {
	const char *name, *text, *line, *says;
} rows[] = {
	{ "text behind ]", "[run]\n[component a] type = x\n", "2", "behind ']'" },
	{ "comment behind ]", "[run] ; c\n", "1", "behind ']'" },
	{ "second ]", "[run]]\n", "1", "behind ']'" },
	{ "no ]", "[run\n", "1", "without ']'" },
	{ "section unknown", "[components a]\n", "1", "no section" },
	{ "section empty", "[]\n", "1", "[KIND NAME]" },
	{ "no name", "[component]\n", "1", "needs a name" },
	{ "name empty", "[component ]\n", "1", "[KIND NAME]" },
	{ "name in two words", "[component a b]\n", "1", "[KIND NAME]" },
	{ "two spaces", "[component  a]\n", "1", "[KIND NAME]" },
	{ "name with a slash", "[component a/b]\n", "1", "[KIND NAME]" },
	{ "name above", "[component ..]\n", "1", "[KIND NAME]" },
	{ "name as an option", "[component -a]\n", "1", "[KIND NAME]" },
	{ "name where none is", "[run a]\n", "1", "takes no name" },
	{ "name of 40", "[component " X40 "]\n", "1", "at most 49" },
	{ "section twice", "[run]\n[component a]\n[component b]\n[component a]\n", "4", "on line 2" },
	{ "run twice", "[run]\n\n[run]\n", "3", "on line 1" },
	{ "key before a section", "a = b\n[run]\n", "1", "before the first section" },
	{ "no =", "[run]\nbefore\n", "2", "KEY = VALUE" },
	{ "colon", "[run]\nbefore: x=1\n", "2", "a key is" },
	{ "key with a space", "[run]\nbe fore = x\n", "2", "a key is" },
	{ "key empty", "[run]\n= x\n", "2", "a key is" },
	{ "key with a letter more", "[run]\nk\xc3\xa4 = x\n", "2", "a key is" },
	{ "key of 50", "[run]\n" X40 X10 " = x\n", "2", "at most 49" },
	{ "inline comment", "[run]\na = b ; c\n", "2", "' ;'" },
	{ "inline comment behind a tab", "[run]\na = b\t;c\n", "2", "' ;'" },
	{ "space behind a kind", "[run ]\n", "1", "[KIND NAME]" },
	{ "only a comment", "[run]\na = ; c\n", "2", "' ;'" },
	{ "continuation", "[run]\na = b\n  c = d\n", "3", "begins with a space" },
	{ "continuation by a tab", "[run]\na = b\n\tc\n", "3", "begins with a space" },
	{ "indented section", "[run]\n [component a]\n", "2", "begins with a space" },
	{ "long line", "[run]\na = " X190 "xxxxx\n", "2", "at most 198" },
	{ "long comment", "[run]\n# " X190 "xxxxxxxxxx\na = b\n", "2", "at most 198" },
	{ "BOM", "\xef\xbb\xbf[run]\n", "1", "byte order mark" },
	{ "escape in a value", "[run]\na = \033[2J\n", "2", "control character" },
	{ "carriage return in a value", "[run]\na = b\rc\n", "2", "control character" },
	{ "variable not set", "[run]\n\na = x${VOUCH_TEST_UNSET}y\n", "3", "${VOUCH_TEST_UNSET} is not set" },
	{ "variable without end", "[run]\na = ${HOME\n", "2", "${NAME}" },
	{ "variable without name", "[run]\na = ${}\n", "2", "${NAME}" },
	{ "variable with a default", "[run]\na = ${HOME:-x}\n", "2", "${NAME}" },
};

static void test_refused(void **state)
{
	const struct row *t = *state;
	struct config *c = NULL;
	struct err e = ERR_INIT;
	char at[96];

	assert_int_equal(read_text(t->text, &c, &e), ERR_USAGE);
	assert_null(c);
	(void)snprintf(at, sizeof(at), "%s:%s: ", path, t->line);
	if (strncmp(e.msg, at, strlen(at)) != 0 || !strstr(e.msg, t->says))
		fail_msg("wanted %s... %s, got: %s", at, t->says, e.msg);
}

/* Of every length around inih's buffer: whole, or refused. */
static void test_lengths(void **state)
{
	char text[512], value[300];
	struct config *c;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t n = 180; n < 220; n++) {
		memset(value, 'v', n);
		value[n] = '\0';
		(void)snprintf(text, sizeof(text), "[run]\na = %s\nb = next\n", value);
		c = NULL;
		assert_int_equal(read_text(text, &c, &e), n + 4 > CONFIG_LINE_MAX ? ERR_USAGE : ERR_OK);
		if (!c)
			continue;
		assert_string_equal(config_get(&c->sections[0], "a"), value);
		assert_string_equal(config_get(&c->sections[0], "b"), "next");
		config_close(c);
	}
}

static void test_nul(void **state)
{
	static const char text[] = "[run]\na = b\0c\n";
	struct config *c = NULL;
	struct err e = ERR_INIT;

	(void)state;
	write_file(path, text, sizeof(text) - 1, 0600);
	assert_int_equal(config_open(path, &c, &e), ERR_USAGE);
	assert_non_null(strstr(e.msg, ":2: a NUL byte"));
}

/* Whatever bytes there are: an answer, and nothing read beside the file. */
static void test_hostile(void **state)
{
	static const char seedtext[] = "[repository]\npath = /a ${HOME} b\n[component x]\ntype = 'a b' \"c\"\n# c\n[run]\n";
	static const char with[] = { '\0', '[', ']', '=', ';', '\n', ' ', '$', '{', '\\', '\xff', ':' };
	char text[sizeof(seedtext)];
	struct config *c;

	(void)state;
	for (size_t i = 0; i < sizeof(seedtext) - 1; i++) {
		for (size_t k = 0; k < sizeof(with); k++) {
			memcpy(text, seedtext, sizeof(text));
			text[i] = with[k];
			write_file(path, text, k == 0 ? i : sizeof(text) - 1, 0600);
			c = NULL;
			if (config_open(path, &c, NULL) == ERR_OK)
				config_close(c);
		}
	}
}

static void test_file(void **state)
{
	struct config *c = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(config_open("/nonexistent/vouch.conf", &c, &e), ERR_NOT_FOUND);
	assert_int_equal(config_open(dir, &c, &e), ERR_USAGE);
	write_file(path, "[run]\n", 6, 0666);
	assert_int_equal(config_open(path, &c, &e), ERR_USAGE);
	assert_non_null(strstr(e.msg, "others may write"));
	write_file(path, "", 0, 0644);
	assert_int_equal(config_open(path, &c, &e), ERR_OK);
	assert_int_equal(c->nr, 0);
	config_close(c);
}

static void test_environment(void **state)
{
	struct config *c;
	struct config_section *s;

	(void)state;
	assert_int_equal(setenv("VOUCH_TEST_A", "one two ;three", 1), 0);
	assert_int_equal(setenv("VOUCH_TEST_B", "", 1), 0);
	c = good("[run]\na = <${VOUCH_TEST_A}${VOUCH_TEST_B}>\nb = $5 $$ $ x$\n");
	s = &c->sections[0];
	assert_string_equal(config_get(s, "a"), "<one two ;three>");	/* as it is: no comment, no second replacement */
	assert_string_equal(config_get(s, "b"), "$5 $$ $ x$");
	assert_false(s->keys[0].literal);
	assert_true(s->keys[1].literal);
	config_close(c);
}

static void test_words(void **state)
{
	static const struct {
		const char *value, *words[5];	/* NULL at the end; none: refused */
	} split[] = {
		{ "docker exec -i  shop", { "docker", "exec", "-i", "shop" } },
		{ "  one\t", { "one" } },
		{ "a 'b c' \"d e\" ''", { "a", "b c", "d e", "" } },
		{ "x'y z'\"w\"v", { "xy zwv" } },
		{ "a\\ b \\' \\\\", { "a b", "'", "\\" } },
		{ "'a\\b' \"c\\d\" \"e\\\"f\\\\\\$\"", { "a\\b", "c\\d", "e\"f\\$" } },
		{ "back\\", { "back\\" } },
		{ "$HOME * ; | > # ~", { "$HOME", "*", ";", "|" } },
		{ "'open", { NULL } }, { "a \"open", { NULL } }, { "", { NULL } }, { "  ", { NULL } },
	};
	char **w = NULL;
	struct err e = ERR_INIT;
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(split); i++) {
		enum err_code rc = config_split(split[i].value, &w, &e);

		assert_int_equal(rc, split[i].words[0] ? ERR_OK : ERR_USAGE);
		if (rc)
			continue;
		for (n = 0; split[i].words[n] && n < 4; n++)
			assert_string_equal(w[n], split[i].words[n]);
		if (n < 4)
			assert_null(w[n]);
		config_words_free(w);
	}
}

static void test_many_words(void **state)
{
	struct config *c;
	char **w = NULL;
	size_t n = 0;

	(void)state;
	c = good("[run]\na = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28\nb = 'x\n");
	assert_int_equal(config_words(&c->sections[0], "a", &w, NULL), ERR_OK);
	for (; w[n]; n++)
		assert_int_equal(atol(w[n]), (long)n + 1);
	assert_int_equal(n, 28);
	config_words_free(w);
	assert_int_equal(config_words(&c->sections[0], "none", &w, NULL), ERR_OK);
	assert_null(w);
	assert_int_equal(config_words(&c->sections[0], "b", &w, NULL), ERR_USAGE);
	config_close(c);
}

static void test_values(void **state)
{
	struct config *c = good("[component x]\na = yes\nb = off\nc = Yes\nd = 15m\ne = 24h\nf = 7d\ng = 7\nh = 18446744073709551615\n"
				"i = 18446744073709551616\nj = -1\nk =\nl = 90s\n");
	struct config_section *s = &c->sections[0];
	struct err e = ERR_INIT;
	char want[128];
	uint64_t n = 0;
	bool b = false;

	(void)state;
	assert_int_equal(config_bool(s, "a", false, &b, &e), ERR_OK);
	assert_true(b);
	assert_int_equal(config_bool(s, "b", true, &b, &e), ERR_OK);
	assert_false(b);
	assert_int_equal(config_bool(s, "z", true, &b, &e), ERR_OK);
	assert_true(b);
	assert_int_equal(config_bool(s, "c", true, &b, &e), ERR_USAGE);
	(void)snprintf(want, sizeof(want), "%s:4: [component x] c: yes or no, not 'Yes'", path);
	assert_string_equal(e.msg, want);
	assert_int_equal(config_seconds(s, "d", 0, &n, &e), ERR_OK);
	assert_int_equal(n, 900);
	assert_int_equal(config_seconds(s, "e", 0, &n, &e), ERR_OK);
	assert_int_equal(n, 86400);
	assert_int_equal(config_seconds(s, "f", 0, &n, &e), ERR_OK);
	assert_int_equal(n, 7 * 86400);
	assert_int_equal(config_seconds(s, "l", 0, &n, &e), ERR_OK);
	assert_int_equal(n, 90);
	assert_int_equal(config_seconds(s, "z", 5, &n, &e), ERR_OK);
	assert_int_equal(n, 5);
	assert_int_equal(config_seconds(s, "g", 0, &n, &e), ERR_USAGE);
	assert_int_equal(config_u64(s, "g", 0, &n, &e), ERR_OK);
	assert_int_equal(n, 7);
	assert_int_equal(config_u64(s, "h", 0, &n, &e), ERR_OK);
	assert_true(n == UINT64_MAX);
	assert_int_equal(config_u64(s, "i", 0, &n, &e), ERR_USAGE);
	assert_int_equal(config_u64(s, "j", 0, &n, &e), ERR_USAGE);
	assert_int_equal(config_u64(s, "k", 0, &n, &e), ERR_USAGE);
	config_close(c);
}

static void test_unused(void **state)
{
	struct config *c = good("[run]\nbefore = a\nafer = b\nbefore = c\n");
	struct config_section *s = &c->sections[0];
	struct err e = ERR_INIT;

	(void)state;
	assert_string_equal(config_get(s, "before"), "c");
	assert_null(config_get(s, "after"));
	assert_int_equal(config_unused(s, &e), ERR_USAGE);
	assert_non_null(strstr(e.msg, ":2: [run] before: given twice"));
	assert_non_null(config_nth(s, "before", 0));
	assert_int_equal(config_unused(s, &e), ERR_USAGE);
	assert_non_null(strstr(e.msg, ":3: [run] afer: no key that is known here"));
	config_close(c);
}

static enum err_code secret_of(const char *key_line, mode_t mode, char **out, struct err *e)
{
	struct config *c = NULL;
	enum err_code rc;
	char text[256];

	(void)snprintf(text, sizeof(text), "[component x]\n%s\n", key_line);
	write_file(path, text, strlen(text), mode);
	assert_int_equal(config_open(path, &c, e), ERR_OK);
	*out = NULL;
	rc = config_secret(&c->sections[0], "password", out, e);
	if (!rc)
		assert_int_equal(config_unused(&c->sections[0], e), ERR_OK);
	else
		assert_null(strstr(e->msg, "hunter2"));
	config_close(c);
	return rc;
}

static void assert_secret(const char *key_line, mode_t mode, const char *want)
{
	struct err e = ERR_INIT;
	char *secret = NULL;

	if (secret_of(key_line, mode, &secret, &e))
		fail_msg("%s", e.msg);
	if (want)
		assert_string_equal(secret, want);
	else
		assert_null(secret);
	config_secret_free(secret);
}

static void assert_no_secret(const char *key_line, mode_t mode, const char *says)
{
	struct err e = ERR_INIT;
	char *secret = NULL;

	assert_int_equal(secret_of(key_line, mode, &secret, &e), ERR_USAGE);
	assert_null(secret);
	if (!strstr(e.msg, says))
		fail_msg("wanted %s, got: %s", says, e.msg);
}

static void test_secret(void **state)
{
	char by_file[128];

	(void)state;
	assert_int_equal(setenv("VOUCH_TEST_SECRET", "hunter2 x", 1), 0);
	(void)snprintf(by_file, sizeof(by_file), "password-file = %s", secret_path);
	assert_secret("", 0644, NULL);
	assert_secret("password = hunter2", 0600, "hunter2");
	assert_secret("password = hunter2", 0640, "hunter2");
	assert_no_secret("password = hunter2", 0644, "others may read");
	assert_secret("password = ${VOUCH_TEST_SECRET}", 0644, "hunter2 x");
	assert_no_secret("password =", 0600, "empty");

	write_file(secret_path, " hunter2; \r\nsecond\n", 19, 0600);
	assert_secret(by_file, 0644, " hunter2; ");
	write_file(secret_path, "hunter2", 7, 0400);
	assert_secret(by_file, 0644, "hunter2");
	write_file(secret_path, "hunter2", 7, 0604);
	assert_no_secret(by_file, 0600, "others may read");
	write_file(secret_path, "\nhunter2", 8, 0600);
	assert_no_secret(by_file, 0600, "empty");
	write_file(secret_path, "hunt\0er2", 8, 0600);
	assert_no_secret(by_file, 0600, "NUL");
	assert_no_secret("password-file = /nonexistent/x", 0600, "No such file");
	assert_no_secret("password-file = secret", 0600, "begins with '/'");
	assert_no_secret("password-file = /dev/zero", 0600, "too long");
	(void)snprintf(by_file, sizeof(by_file), "password = hunter2\npassword-file = %s", secret_path);
	assert_no_secret(by_file, 0600, "one of them");
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/vouch.conf", dir);
	(void)snprintf(secret_path, sizeof(secret_path), "%s/secret", dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlink(path);
	(void)unlink(secret_path);
	return rmdir(dir);
}

int main(void)
{
	static const struct CMUnitTest more[] = {
		cmocka_unit_test(test_example), cmocka_unit_test(test_lengths), cmocka_unit_test(test_nul), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_file), cmocka_unit_test(test_environment), cmocka_unit_test(test_words),
		cmocka_unit_test(test_many_words), cmocka_unit_test(test_values), cmocka_unit_test(test_unused), cmocka_unit_test(test_secret),
	};
	struct CMUnitTest tests[ARRAY_LEN(rows) + ARRAY_LEN(more)];

	memcpy(tests, more, sizeof(more));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[ARRAY_LEN(more) + i] = (struct CMUnitTest){ rows[i].name, test_refused, NULL, NULL,
								  (void *)(uintptr_t)&rows[i] };
	return cmocka_run_group_tests_name("config", tests, set_up, tear_down);
}
