/* SPDX-License-Identifier: MIT */
/* fs/ is no library: what of it needs no FUSE is tested by being included. */
#include "fs/options.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const struct row {
	const char *text;
	enum err_code want;
	bool allow_other, noexec;
	const char *says;	/* in the message */
} rows[] = {
	{ NULL, ERR_OK, false, false, NULL },
	{ "", ERR_OK, false, false, NULL },
	{ "ro,nosuid,nodev,noatime,default_permissions,exec", ERR_OK, false, false, NULL },
	{ "allow_other", ERR_OK, true, false, NULL },
	{ "defaults,noauto,_netdev,nofail,x-systemd.automount", ERR_OK, false, false, NULL },
	{ ",noexec,,allow_other,", ERR_OK, true, true, NULL },
	{ "fsname=/x,subtype=y", ERR_OK, false, false, NULL },
	{ "time=local,time=utc,verify=cached,relatime,user=joe", ERR_OK, false, false, NULL },
	{ "time=mars", ERR_USAGE, false, false, "-o time=mars:" },
	{ "verify=", ERR_USAGE, false, false, "-o verify=:" },
	{ "rw", ERR_USAGE, false, false, "-o rw" },
	{ "ro,suid", ERR_USAGE, false, false, "-o suid" },
	{ "dev", ERR_USAGE, false, false, "-o dev" },
	{ "atime", ERR_USAGE, false, false, "-o atime" },
	{ "allow_othe", ERR_USAGE, false, false, "-o allow_othe:" },
	{ "allow_others", ERR_USAGE, false, false, "-o allow_others:" },
	{ "ro,bogus=1,rw", ERR_USAGE, false, false, "-o bogus=1:" },
	{ "auto_unmount", ERR_USAGE, false, false, "auto_unmount" },
};

static void test_row(void **state)
{
	const struct row *t = *state;
	struct options o = { 0 };
	struct err e = ERR_INIT;

	assert_int_equal(options_parse(t->text, false, &o, &e), t->want);
	assert_int_equal(e.code, t->want);
	assert_int_equal(o.allow_other, t->allow_other);
	assert_int_equal(o.noexec, t->noexec);
	if (t->says)
		assert_non_null(strstr(e.msg, t->says));
}

static void test_values(void **state)
{
	struct options o = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(options_parse("time=local,verify=always", false, &o, &e), ERR_OK);
	assert_true(o.local_time && o.verify_always);
	assert_int_equal(options_parse("verify=always,verify=cached", false, &o, &e), ERR_OK);
	assert_false(o.local_time || o.verify_always);
	assert_false(o.no_heal);	/* healed unless somebody says not */
	assert_int_equal(options_parse("heal=off", false, &o, &e), ERR_OK);
	assert_true(o.no_heal);
	assert_int_equal(options_parse("heal=off,heal=on", false, &o, &e), ERR_OK);
	assert_false(o.no_heal);
	assert_int_equal(options_parse("heal=maybe", false, &o, &e), ERR_USAGE);
}

/* What mount(8) and mount.fuse3 were seen to pass. */
static void test_by_mount(void **state)
{
	struct options o = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(options_parse("rw,dev,suid", true, &o, &e), ERR_OK);
	assert_int_equal(options_parse("rw,relatime,nosuid,nodev,allow_other,exec", true, &o, &e),
			 ERR_OK);
	assert_true(o.allow_other);
	assert_int_equal(options_parse("rw,bogus", true, &o, &e), ERR_USAGE);
}

static const struct conf {
	const char *text;
	enum err_code want;
} confs[] = {
	{ "", ERR_USAGE },
	{ "#user_allow_other\n", ERR_USAGE },
	{ "user_allow_others\n", ERR_USAGE },
	{ "mount_max = 5\n", ERR_USAGE },
	{ "user_allow_other", ERR_OK },
	{ "mount_max = 5\n  user_allow_other # for backups\n", ERR_OK },
};

static void test_conf(void **state)
{
	char path[] = "/tmp/vouch-fuse-conf.XXXXXX";
	struct err e = ERR_INIT;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	for (size_t i = 0; i < ARRAY_LEN(confs); i++) {
		size_t len = strlen(confs[i].text);

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, confs[i].text, len, 0), (ssize_t)len);
		assert_int_equal(options_check_allow_other(path, false, &e), confs[i].want);
		assert_int_equal(options_check_allow_other(path, true, &e), ERR_OK);
	}
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(options_check_allow_other(path, false, &e), ERR_USAGE);
	assert_non_null(strstr(e.msg, "user_allow_other"));
	assert_non_null(strstr(e.msg, path));
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_LEN(rows) + 3];
	size_t n = 0;

	for (; n < ARRAY_LEN(rows); n++)
		tests[n] = (struct CMUnitTest){ rows[n].text ? rows[n].text : "none", test_row,
						NULL, NULL, (void *)(uintptr_t)&rows[n] };
	tests[n++] = (struct CMUnitTest){ "values", test_values, NULL, NULL, NULL };
	tests[n++] = (struct CMUnitTest){ "by mount(8)", test_by_mount, NULL, NULL, NULL };
	tests[n] = (struct CMUnitTest){ "fuse.conf", test_conf, NULL, NULL, NULL };
	return cmocka_run_group_tests_name("fs options", tests, NULL, NULL);
}
