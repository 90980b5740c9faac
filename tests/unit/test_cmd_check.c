/* SPDX-License-Identifier: MIT */
/* vouch check with a type of the test's own: what is printed, and the exit status. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "tests/lib/testrepo.h"
#include "tools/commands.h"
#include "tools/components/component.h"

static char dir[] = "/tmp/test_cmd_check.XXXXXX";
static char conf[64], out_file[64], flag[64];

/* do = ...: how the check ends. */
static enum err_code fake_open(struct component *c, struct err *e)
{
	(void)e;
	c->priv = (void *)(uintptr_t)config_get(c->section, "do");
	return ERR_OK;
}

static enum err_code reach(void *ctx, struct err *e)
{
	struct component *c = ctx;

	if (strcmp(c->priv, "absent") == 0 && access(flag, F_OK) != 0)
		return err_set(e, ERR_ABSENT, "nobody answers at x");
	return ERR_OK;
}

static enum err_code fake_check(struct component *c, struct err *e)
{
	enum err_code rc = component_wait(c, reach, c, e);

	if (rc)
		return rc;
	component_found(c, FINDING_OK, "server 1.0 reached");
	component_need(c, strcmp(c->priv, "huge") == 0 ? UINT64_MAX : 1 << 20);
	if (strcmp(c->priv, "warning") == 0)
		component_found(c, FINDING_WARNING, "table %s is MyISAM", "a\nb");
	if (strcmp(c->priv, "failed") == 0)
		component_found(c, FINDING_FAILED, "no right to read v");
	return strcmp(c->priv, "error") == 0 ? err_set(e, ERR_FAILED, "wrong password") : ERR_OK;
}

static const struct component_ops fake = { .type = "fake", .open = fake_open, .check = fake_check };
const struct component_ops *const component_types[] = { &fake, NULL };

/* The exit status; what was printed to both, in *text. */
static int check(const char *config, const char *repo, char *text, size_t cap, const char *const *words)
{
	char *argv[12] = { (char *)(uintptr_t)"check", (char *)(uintptr_t)"--config", conf };
	FILE *f = fopen(conf, "w");
	int argc = 3, status = 0, fd;
	ssize_t n;
	pid_t pid;

	assert_non_null(f);
	assert_true(fputs(config, f) >= 0);
	assert_int_equal(fclose(f), 0);
	for (size_t i = 0; words && words[i]; i++)
		argv[argc++] = (char *)(uintptr_t)words[i];
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct app a = { .command = &cmd_check, .repo = repo };

		fd = open(out_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
			_exit(99);
		optind = 0;
		opterr = 0;
		status = app_end(&a, cmd_check.run(&a, argc, argv));
		fflush(stdout);
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	fd = open(out_file, O_RDONLY);
	assert_true(fd >= 0);
	n = read(fd, text, cap - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	(void)close(fd);
	return WEXITSTATUS(status);
}

static const struct row {
	const char *name, *config, *words[4];
	int want;
	const char *says[4], *silent;
} rows[] = {
	{ "good", "[component a]\ntype = fake\ndo = ok\n", { NULL }, 0, { "a (fake)\n  ok       server 1.0 reached\n" }, "repository" },
	{ "a warning", "[component a]\ntype = fake\ndo = warning\n", { NULL }, 0, { "  warning  table a\\nb is MyISAM\n" }, NULL },
	{ "quiet", "[component a]\ntype = fake\ndo = warning\n", { "-q" }, 0, { "a (fake)\n  warning  " }, "reached" },
	{ "one fails, the next is checked", "[component a]\ntype = fake\ndo = failed\n[component b]\ntype = fake\ndo = ok\n",
	  { NULL }, 1, { "  FAILED   no right", "b (fake)\n  ok" }, NULL },
	{ "one errs, the next is checked", "[component a]\ntype = fake\ndo = error\n[component b]\ntype = fake\ndo = ok\n",
	  { NULL }, 1, { "  FAILED   wrong password\n", "b (fake)\n  ok" }, NULL },
	{ "one that is misconfigured", "[component a]\ntype = none\n[component b]\ntype = fake\ndo = ok\n", { NULL }, 2,
	  { "a\n  FAILED   /tmp/", "no type 'none'", "b (fake)\n  ok" }, NULL },
	{ "only those named", "[component a]\ntype = fake\ndo = error\n[component b]\ntype = fake\ndo = ok\n", { "b" }, 0, { "b (fake)" },
	  "a (fake)" },
	{ "a name that is none", "[component a]\ntype = fake\ndo = ok\n", { "b" }, 2, { "no component b; it has a" }, NULL },
	{ "a misspelt key of run", "[component a]\ntype = fake\ndo = ok\n[run]\nbefor = x\n", { NULL }, 2, { ":5: [run] befor: no key" },
	  "reached" },
	{ "a key of run in a reference", "[component a]\ntype = fake\ndo = ok\n[reference r]\nfrom = a\nfrom-query = x\nto = a\n"
	  "to-query = y\nbefore = x\n", { NULL }, 2, { ":9: [reference r] before: no key" }, NULL },
	{ "an expectation without a value", "[component a]\ntype = fake\ndo = ok\nexpect = SELECT 1\n[component b]\ntype = fake\ndo = ok\n",
	  { NULL }, 2, { ":4: [component a] expect: 'SELECT 1' is not QUERY = VALUE", "b (fake)\n  ok" }, "a (fake)\n  ok" },
	{ "a reference that lacks its query", "[component a]\ntype = fake\ndo = ok\n[reference r]\nfrom = a\nto = a\nto-query = x\n", { NULL },
	  2, { ":4: [reference r]: it needs 'from-query = ...'" }, "reached" },
	{ "a reference to nobody", "[component a]\ntype = fake\ndo = ok\n[reference r]\nfrom = a\nfrom-query = x\nto = b\nto-query = y\n", { NULL }, 2,
	  { ":7: [reference r] to: there is no [component b]" }, NULL },
	{ "a reference, whole", "[component a]\ntype = fake\ndo = ok\n[reference r]\nfrom = a\nfrom-query = x\nto = a\nto-query = y\n"
	  "allow = 3\n", { NULL }, 0, { "reached" }, NULL },
	{ "a broken line", "[component a] type = fake\n", { NULL }, 2, { ":1: text behind ']'" }, NULL },
	{ "not reached", "[component a]\ntype = fake\ndo = absent\nwait = 1s\n", { NULL }, 1,
	  { "waiting for a to answer", "  FAILED   not reached within 1 s: nobody answers at x\n" }, "started again" },
	{ "not reached, no way to restart", "[component a]\ntype = fake\ndo = absent\nwait = 0s\n", { "--restart" }, 1,
	  { "  FAILED   nobody answers at x\n" }, "started again" },
	{ "restart fails", "[component a]\ntype = fake\ndo = absent\nwait = 0s\nrestart = false\n", { "--restart" }, 1,
	  { "  warning  nobody answers at x; it is started again\n  FAILED   " }, NULL },
	{ "restarted in vain", "[component a]\ntype = fake\ndo = absent\nwait = 0s\nrestart = true\n", { "--restart" }, 1,
	  { "  warning  nobody answers at x; it is started again\n  FAILED   nobody answers at x\n" }, NULL },
	{ "json", "[component a]\ntype = fake\ndo = warning\n", { "--json" }, 0,
	  { "{\"type\":\"finding\",\"component\":\"a\",\"component_type\":\"fake\",\"result\":\"ok\",\"text\":\"server 1.0 reached\"}\n",
	    "\"result\":\"warning\",\"text\":\"table a\\\\nb is MyISAM\"}\n",
	    "{\"type\":\"summary\",\"components\":1,\"ok\":1,\"warning\":1,\"failed\":0,\"bytes\":1048576}\n" }, NULL },
};

static void test_row(void **state)
{
	const struct row *t = *state;
	char text[4096];

	assert_int_equal(check(t->config, NULL, text, sizeof(text), t->words), t->want);
	for (size_t i = 0; i < 4 && t->says[i]; i++)
		if (!strstr(text, t->says[i]))
			fail_msg("wanted: %s\ngot: %s", t->says[i], text);
	if (t->silent && strstr(text, t->silent))
		fail_msg("not wanted: %s\ngot: %s", t->silent, text);
}

static void test_restart(void **state)
{
	static const char *const words[] = { "--restart", NULL };
	char config[256], text[4096];

	(void)state;
	(void)snprintf(config, sizeof(config), "[component a]\ntype = fake\ndo = absent\nwait = 0s\nrestart = touch %s\n", flag);
	assert_int_equal(check(config, NULL, text, sizeof(text), NULL), 1);	/* unasked nothing is started */
	assert_int_equal(access(flag, F_OK), -1);
	assert_int_equal(check(config, NULL, text, sizeof(text), words), 0);
	assert_non_null(strstr(text, "it is started again\n  ok       server 1.0 reached\n"));
	(void)unlink(flag);
}

static void test_repository(void **state)
{
	static const char ok[] = "[component a]\ntype = fake\ndo = ok\n", huge[] = "[component a]\ntype = fake\ndo = huge\n";
	struct testrepo r;
	char text[4096];

	(void)state;
	testrepo_make(&r);
	assert_int_equal(check(ok, r.path, text, sizeof(text), NULL), 0);
	assert_non_null(strstr(text, "repository\n  ok       "));
	assert_non_null(strstr(text, " free, for dumps of about 1.0 MiB\n"));
	assert_int_equal(check(huge, r.path, text, sizeof(text), NULL), 1);
	assert_non_null(strstr(text, "repository\n  FAILED   "));
	assert_non_null(strstr(text, "does not suffice"));
	assert_int_equal(check(ok, "/nonexistent/repo", text, sizeof(text), NULL), 1);
	assert_non_null(strstr(text, "a (fake)\n  ok"));
	assert_non_null(strstr(text, "repository\n  FAILED   "));
	testrepo_remove(&r);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(conf, sizeof(conf), "%s/vouch.conf", dir);
	(void)snprintf(out_file, sizeof(out_file), "%s/out", dir);
	(void)snprintf(flag, sizeof(flag), "%s/flag", dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	testrepo_rm(dir);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest more[] = { cmocka_unit_test(test_restart), cmocka_unit_test(test_repository) };
	struct CMUnitTest tests[ARRAY_LEN(rows) + ARRAY_LEN(more)];

	memcpy(tests, more, sizeof(more));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[ARRAY_LEN(more) + i] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL,
								  (void *)(uintptr_t)&rows[i] };
	return cmocka_run_group_tests_name("cmd_check", tests, set_up, tear_down);
}
