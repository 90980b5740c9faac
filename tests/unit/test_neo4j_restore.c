/* SPDX-License-Identifier: MIT */
/* A truncated archive never reaches a database that is there: neither reading back nor a restore (with a program in neo4j-admin's
 * place that takes anything and says that all is well) lets it. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/lockholder.h"
#include "tools/components/neo4j.h"

#define TAR_BLOCK 512u
#define META_LEN 24u

static char dir[] = "/tmp/test_neo4j_restore.XXXXXX";
static const char admin[] = "#!/bin/sh\ncase $2 in\nload) cat >\"$NEO4J_HOME/got\"; mkdir -p \"$NEO4J_HOME/data/databases/$3\""
			    " \"$NEO4J_HOME/data/transactions\"; eval mkdir -p \"$(sed -n "
			    "'s/^server.directories.transaction.logs.root=//p' \"$NEO4J_CONF/neo4j.conf\")/$3\";;\nesac\nexit 0\n";

static void put(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(close(fd), 0);
}

static char *at(const char *name)
{
	char *p = neo4j_path(dir, name, NULL);

	assert_non_null(p);
	return p;
}

static void make(const char *name, const char *text, mode_t mode)
{
	char *p = at(name);

	if (text)
		put(p, text, mode);
	else
		assert_int_equal(mkdir(p, 0755), 0);
	free(p);
}

static bool is_there(const char *name)
{
	char *p = at(name);
	bool there = access(p, F_OK) == 0;

	free(p);
	return there;
}

/* One empty file, as a dump is stored; its end, two blocks of zeros, is cut where cut says so. */
static void archive(struct buf *b, bool cut)
{
	uint8_t h[TAR_BLOCK] = { 0 };
	unsigned sum = 0;
	static const uint8_t end[2 * TAR_BLOCK];
	const size_t len = META_LEN + sizeof(h) + (cut ? TAR_BLOCK : sizeof(end));

	buf_add(b, "DZV1\x28\xb5\x2f\xfd\x00\x38", 10);
	buf_add_u8(b, (uint8_t)(len << 3 & 0xff));	/* a raw block */
	buf_add_u8(b, (uint8_t)(len >> 5));
	buf_add_u8(b, 0);
	buf_add(b, "zstd\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0", META_LEN);
	memcpy(h, "./neostore", 10);
	memcpy(h + 124, "00000000000", 11);
	memcpy(h + 257, "ustar\00000", 8);
	h[156] = '0';
	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += h[i];
	snprintf((char *)h + 148, 8, "%06o", sum);
	buf_add(b, h, sizeof(h));
	buf_add(b, end, cut ? TAR_BLOCK : sizeof(end));
	buf_add(b, "\1\0\0", 3);			/* the last */
}

static void publish(struct store *s, bool cut, struct snapshot *out)
{
	const struct assembly_options o = { .jobs = 1 };
	struct assembly *a = NULL;
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	archive(&b, cut);
	assert_int_equal(assembly_open(s, &o, &a, &e), ERR_OK);
	assert_int_equal(assembly_put(a, "neo4j/graph/" NEO4J_DUMP, b.p, b.len, &e), ERR_OK);
	assert_int_equal(assembly_publish(a, NULL, 0, out, &e), ERR_OK);
	assembly_close(a);
	buf_release(&b);
}

/* An installation with a database, and its component; more: lines of the section. */
static struct component *set_up(const char *more, struct config **conf)
{
	struct component *c = NULL;
	struct err e = ERR_INIT;
	char *file = at("vouch.conf"), text[1024];

	assert_int_equal(neo4j_remove_tree(dir, &e), ERR_OK);
	assert_int_equal(mkdir(dir, 0755), 0);
	for (const char *const *p = (const char *const[]){ "home", "home/bin", "home/conf", "home/data", "home/data/databases",
							   "home/data/databases/neo4j", "home/data/transactions",
							   "home/data/transactions/neo4j", NULL }; *p; p++)
		make(*p, NULL, 0);
	make("home/bin/neo4j-admin", admin, 0755);
	make("home/data/databases/neo4j/old", "old", 0644);
	snprintf(text, sizeof(text), "[component graph]\ntype = neo4j\nhome = %s/home\nscratch = %s\n%s", dir, dir, more);
	put(file, text, 0600);
	assert_int_equal(config_open(file, conf, &e), ERR_OK);
	assert_int_equal(component_open(config_find(*conf, "component", "graph"), NULL, NULL, &c, &e), ERR_OK);
	free(file);
	return c;
}

/* How many names in the home's data begin with prefix. */
static unsigned data_has(const char *prefix)
{
	char *p = at("home/data");
	DIR *d = opendir(p);
	const struct dirent *f;
	unsigned n = 0;

	assert_non_null(d);
	while ((f = readdir(d)))
		n += strncmp(f->d_name, prefix, strlen(prefix)) == 0;
	closedir(d);
	free(p);
	return n;
}

static void one(bool cut)
{
	struct store *s = NULL;
	struct config *conf = NULL;
	struct component *c = set_up("", &conf);
	struct snapshot snap = { 0 };
	struct restore_job j = { .folder = "neo4j/graph" };
	struct err e = ERR_INIT;
	char *repo = at("repo");
	enum err_code want = cut ? ERR_CORRUPT : ERR_OK;

	assert_int_equal(store_create(repo, &(struct store_create_params){ 0 }, &e), ERR_OK);
	assert_int_equal(store_open(repo, STORE_WRITE, NULL, &s, &e), ERR_OK);
	publish(s, cut, &snap);
	j.store = s;
	j.snapshot = &snap;
	assert_int_equal(c->ops->read_back(c, &j, &e), want);
	assert_int_equal(c->ops->restore(c, &j, &e), want);
	if (cut) {
		assert_non_null(strstr(e.msg, "cut short"));
		assert_true(is_there("home/data/databases/neo4j/old"));
		assert_null(j.way_back);
	} else {
		assert_false(is_there("home/data/databases/neo4j/old"));
		assert_non_null(j.way_back);
		err_clear(&e);
		assert_int_equal(c->ops->rollback(c, &j, j.way_back, &e), ERR_OK);
		assert_true(is_there("home/data/databases/neo4j/old"));
		assert_int_equal(data_has(".vouch-"), 0);
		assert_int_equal(c->ops->rollback(c, &j, j.way_back, &e), ERR_NOT_FOUND);
		assert_true(is_there("home/data/databases/neo4j/old"));
		err_clear(&e);
		assert_int_equal(c->ops->discard(c, NULL, j.way_back, &e), ERR_OK);
	}
	json_decref(j.way_back);
	component_close(c);
	config_close(conf);
	snapshot_release(&snap);
	store_close(s);
	free(repo);
}

static void test_truncated(void **state)
{
	(void)state;
	one(true);
}

static void test_whole(void **state)
{
	(void)state;
	one(false);
}

/* --into a name: what is no name, or somebody's, is refused before anything is loaded. */
static void test_into(void **state)
{
	static const struct {
		const char *into;
		bool server;
		enum err_code want;
	} t[] = {
		{ "neo4j", false, ERR_USAGE }, { "system", false, ERR_USAGE }, { "..", false, ERR_USAGE }, { "-x", false, ERR_USAGE },
		{ "other", true, ERR_BUSY }, { "third", true, ERR_OK },	{ "other", false, ERR_OK },
	};
	struct config *conf = NULL;
	struct component *c = set_up("", &conf);
	char *lock = at("home/data/databases/store_lock");

	(void)state;
	make("home/data/databases/other", NULL, 0);
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		struct restore_job j = { .folder = "neo4j/graph", .into = t[i].into };
		struct err e = ERR_INIT;
		pid_t server = t[i].server ? lockholder_start(lock) : 0;

		assert_int_equal(c->ops->plan(c, &j, &e), t[i].want);
		if (t[i].want != ERR_OK)
			assert_int_equal(c->ops->restore(c, &j, &e), t[i].want);
		if (t[i].server)
			lockholder_end(server);
	}
	free(lock);
	component_close(c);
	config_close(conf);
}

static void move(struct neo4j_moves *m, const char *live, const char *fresh, const char *old)
{
	char *a = at(live), *b = at(fresh), *c = at(old);
	struct err e = ERR_INIT;

	assert_int_equal(neo4j_moves_add(m, a, b, c, &e), ERR_OK);
	free(a);
	free(b);
	free(c);
}

/* Half exchanged by a vouch that was killed, another home is whole before it is restored to, and so is the way back. */
static void test_into_half_exchanged(void **state)
{
	struct config *conf = NULL;
	struct component *c = set_up("", &conf);
	char *repo = at("repo"), *home = at("other"), *data = at("other/data");
	struct restore_job j = { .folder = "neo4j/graph", .into = home };
	struct neo4j_moves m = { 0 };
	struct snapshot snap = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	for (const char *const *p = (const char *const[]){ "other", "other/data", "other/data/databases", "other/data/databases/neo4j",
							   "other/data/transactions", "other/data/transactions/neo4j", "other/fresh",
							   "other/before", NULL }; *p; p++)
		make(*p, NULL, 0);
	make("other/data/databases/neo4j/old", "old", 0644);
	make("other/data/transactions/neo4j/old", "old", 0644);
	move(&m, "other/data/databases/neo4j", "other/fresh", "other/before/store");
	move(&m, "other/data/transactions/neo4j", "other/none", "other/before/logs");
	assert_int_equal(neo4j_swap(data, &m, &e), ERR_IO);
	assert_false(is_there("other/data/databases/neo4j/old"));
	err_clear(&e);
	assert_int_equal(store_create(repo, &(struct store_create_params){ 0 }, &e), ERR_OK);
	assert_int_equal(store_open(repo, STORE_WRITE, NULL, &j.store, &e), ERR_OK);
	publish(j.store, false, &snap);
	j.snapshot = &snap;
	assert_int_equal(c->ops->restore(c, &j, &e), ERR_OK);
	assert_false(is_there("other/data/databases/neo4j/old"));
	assert_int_equal(c->ops->rollback(c, &j, j.way_back, &e), ERR_OK);
	assert_true(is_there("other/data/databases/neo4j/old"));
	assert_true(is_there("other/data/transactions/neo4j/old"));
	json_decref(j.way_back);

	/* Where nothing was there, the way back is that nothing is */
	j.into = "third";
	j.way_back = NULL;
	assert_int_equal(c->ops->restore(c, &j, &e), ERR_OK);
	assert_true(is_there("home/data/databases/third"));
	assert_int_equal(c->ops->rollback(c, &j, j.way_back, &e), ERR_OK);
	assert_false(is_there("home/data/databases/third"));
	assert_true(is_there("home/data/databases/neo4j/old"));
	json_decref(j.way_back);
	neo4j_moves_release(&m);
	component_close(c);
	config_close(conf);
	snapshot_release(&snap);
	store_close(j.store);
	free(repo);
	free(home);
	free(data);
}

/* A stop that never ends is given up after stop-wait, and the server is not said to be up. */
static void test_stop_hangs(void **state)
{
	struct config *conf = NULL;
	struct component *c = set_up("stop = sleep 1000\nstart = true\nstop-wait = 1s\nstart-wait = 1s\nurl = http://127.0.0.1:1\n",
				     &conf);
	struct neo4j_pause *p = NULL;
	struct err e = ERR_INIT;
	char *lock = at("home/data/databases/store_lock");
	pid_t server = lockholder_start(lock);

	(void)state;
	assert_int_equal(neo4j_pause_begin(c, &p, &e), ERR_FAILED);
	assert_non_null(strstr(e.msg, "sleep has not ended after 1 seconds (stop-wait)"));
	assert_non_null(strstr(e.msg, "IS NOT UP"));
	assert_null(p);
	lockholder_end(server);
	free(lock);
	component_close(c);
	config_close(conf);
}

/* A server that is down can be dumped; but with restart configured it is to be up, and vouch check --restart is told. */
static void test_check_wants_it_up(void **state)
{
	(void)state;
	for (int restart = 0; restart < 2; restart++) {
		struct config *conf = NULL;
		struct component *c =
		    set_up(restart ? "restart = true\nwait = 0s\nurl = http://127.0.0.1:1\n" : "url = http://127.0.0.1:1\n", &conf);
		struct err e = ERR_INIT;

		assert_int_equal(c->ops->check(c, &e), restart ? ERR_ABSENT : ERR_OK);
		component_close(c);
		config_close(conf);
	}
}

static void age(const char *name)
{
	const struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

	assert_int_equal(utimensat(AT_FDCWD, name, old, 0), 0);
}

/* Scratch homes of a vouch that was killed are removed; those in use, and what is just made, are not. */
static void test_scratch_left(void **state)
{
	struct config *conf = NULL;
	struct component *c = set_up("", &conf);
	struct neo4j_place used = { 0 }, fresh = { 0 };
	struct err e = ERR_INIT;
	char *left = at("vouch-neo4j-left");

	(void)state;
	assert_int_equal(neo4j_scratch(c, &used, &e), ERR_OK);
	age(used.home);
	make("vouch-neo4j-left", NULL, 0);
	make("vouch-neo4j-left/file", "x", 0600);
	age(left);
	make("vouch-neo4j-young", NULL, 0);
	assert_int_equal(neo4j_scratch(c, &fresh, &e), ERR_OK);
	assert_false(is_there("vouch-neo4j-left"));
	assert_true(is_there("vouch-neo4j-young"));
	assert_int_equal(access(used.home, F_OK), 0);
	neo4j_place_remove(&used);
	neo4j_place_remove(&fresh);
	free(left);
	component_close(c);
	config_close(conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truncated), cmocka_unit_test(test_whole), cmocka_unit_test(test_into),
		cmocka_unit_test(test_into_half_exchanged),
		cmocka_unit_test(test_stop_hangs), cmocka_unit_test(test_check_wants_it_up), cmocka_unit_test(test_scratch_left),
	};
	struct err e = ERR_INIT;
	int failed;

	if (!mkdtemp(dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	return neo4j_remove_tree(dir, &e) ? 1 : failed;
}
