/* SPDX-License-Identifier: MIT */
/* Neo4j without a server: folders exchanged and put back wherever it stopped, neo4j.conf, keys of nodes, statements. */
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
#include "tools/components/neo4j_label.h"

static char dir[] = "/tmp/test_neo4j.XXXXXX";

static char *path(const char *name)
{
	char *p = neo4j_path(dir, name, NULL);

	assert_non_null(p);
	return p;
}

/* A folder with a file in it that says which it is. */
static void folder(const char *name, const char *text)
{
	char *p = path(name), *f = neo4j_path(p, "file", NULL);
	FILE *out;

	assert_int_equal(mkdir(p, 0700), 0);
	out = text ? fopen(f, "w") : NULL;
	if (text) {
		assert_non_null(out);
		assert_true(fputs(text, out) >= 0);
		assert_int_equal(fclose(out), 0);
	}
	free(p);
	free(f);
}

static void says(const char *name, const char *text)
{
	char *p = path(name), *f = neo4j_path(p, "file", NULL), got[32] = "";
	FILE *in = fopen(f, "r");

	if (!text) {
		assert_null(in);
		assert_int_not_equal(access(p, F_OK), 0);
	} else {
		assert_non_null(in);
		assert_non_null(fgets(got, sizeof(got), in));
		assert_string_equal(got, text);
		fclose(in);
	}
	free(p);
	free(f);
}

static void add(struct neo4j_moves *m, const char *live, const char *fresh, const char *old)
{
	char *a = path(live), *b = path(fresh), *c = path(old);
	struct err e = ERR_INIT;

	assert_int_equal(neo4j_moves_add(m, a, b, c, &e), ERR_OK);
	free(a);
	free(b);
	free(c);
}

static int begin(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(neo4j_remove_tree(dir, &e), ERR_OK);
	assert_int_equal(mkdir(dir, 0700), 0);
	folder("before", NULL);
	folder("store", "old store");
	folder("logs", "old logs");
	folder("new-store", "new store");
	folder("new-logs", "new logs");
	folder("new-system", "new system");
	return 0;
}

static void moves(struct neo4j_moves *m)
{
	add(m, "store", "new-store", "before/store");
	add(m, "logs", "new-logs", "before/logs");
	add(m, "system", "new-system", "before/system");
}

static void all_old(void)
{
	says("store", "old store");
	says("logs", "old logs");
	says("system", NULL);
}

static void test_swap_and_back(void **state)
{
	struct neo4j_moves m = { 0 }, again = { 0 };
	struct err e = ERR_INIT;
	json_t *list;
	bool any = true;

	(void)state;
	moves(&m);
	assert_int_equal(neo4j_swap(dir, &m, &e), ERR_OK);
	says("store", "new store");
	says("logs", "new logs");
	says("system", "new system");
	says("before/store", "old store");
	assert_int_equal(neo4j_unswap_left(dir, &any, &e), ERR_OK);
	assert_false(any);
	list = neo4j_moves_json(&m);
	assert_int_equal(neo4j_moves_parse(list, &again, &e), ERR_OK);
	assert_int_equal(neo4j_swap_back(dir, &again, &e), ERR_OK);
	all_old();
	assert_int_equal(neo4j_swap_back(dir, &again, &e), ERR_OK);	/* twice does no harm */
	all_old();
	json_decref(list);
	neo4j_moves_release(&m);
	neo4j_moves_release(&again);
}

/* It stops at each of its renames: what is left is put back. */
static void test_stopped_between(void **state)
{
	static const char *const gone[] = { "new-store", "new-logs", "new-system" };

	for (size_t i = 0; i < 3; i++) {
		struct neo4j_moves m = { 0 };
		struct err e = ERR_INIT;
		char *p = path(gone[i]);
		bool any = false;

		begin(state);
		moves(&m);
		assert_int_equal(neo4j_remove_tree(p, &e), ERR_OK);
		assert_int_equal(neo4j_swap(dir, &m, &e), ERR_IO);
		assert_int_equal(neo4j_unswap_left(dir, &any, &e), ERR_OK);
		assert_true(any);
		all_old();
		neo4j_moves_release(&m);
		free(p);
	}
}

/* Nothing is moved, and above all nothing removed, where a server has it open. */
static void test_server_runs(void **state)
{
	struct neo4j_moves m = { 0 }, fresh = { 0 };
	struct err e = ERR_INIT;
	char *logs = path("new-logs"), *lock = path("databases/store_lock");
	bool any = false;
	pid_t server;

	(void)state;
	folder("databases", NULL);
	moves(&m);
	server = lockholder_start(lock);
	assert_true(neo4j_busy(dir));
	assert_int_equal(neo4j_swap(dir, &m, &e), ERR_BUSY);
	all_old();
	assert_int_equal(neo4j_unswap_left(dir, &any, &e), ERR_OK);	/* nothing was begun */
	assert_false(any);
	add(&fresh, "other", "new-system", "before/other");
	assert_int_equal(neo4j_swap(dir, &fresh, &e), ERR_OK);		/* a database that no server can have */
	says("other", "new system");
	assert_int_equal(neo4j_swap_back(dir, &fresh, &e), ERR_BUSY);
	says("other", "new system");
	lockholder_end(server);

	assert_int_equal(neo4j_remove_tree(logs, &e), ERR_OK);
	assert_int_equal(neo4j_swap(dir, &m, &e), ERR_IO);
	server = lockholder_start(lock);						/* somebody started it on that */
	assert_int_equal(neo4j_unswap_left(dir, &any, &e), ERR_BUSY);
	says("store", "new store");
	lockholder_end(server);
	assert_int_equal(neo4j_unswap_left(dir, &any, &e), ERR_OK);
	assert_true(any);
	all_old();
	neo4j_moves_release(&m);
	neo4j_moves_release(&fresh);
	free(logs);
	free(lock);
}

static void test_names(void **state)
{
	static const char *const bad[] = { "", ".", "..", "-x", "9", "A", "a b", "a/b", "a*", "a?", "a\n", "a_b", "\303\244" };

	(void)state;
	assert_true(neo4j_is_name("neo4j"));
	assert_true(neo4j_is_name("graph.db-2"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(neo4j_is_name(bad[i]));
}

static void test_moves_refused(void **state)
{
	static const char *const bad[] = { "{}", "[1]", "[{}]", "[{\"live\":\"a\",\"fresh\":\"/b\",\"old\":\"/c\",\"had\":true}]",
					   "[{\"live\":\"/a\",\"fresh\":\"/b\",\"old\":\"/c\",\"had\":1}]" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct neo4j_moves m = { 0 };
		struct err e = ERR_INIT;
		json_t *list = json_loads(bad[i], 0, NULL);

		assert_non_null(list);
		assert_int_equal(neo4j_moves_parse(list, &m, &e), ERR_CORRUPT);
		json_decref(list);
	}
}

static void test_places(void **state)
{
	static const struct {
		const char *conf, *data, *transactions, *listen;
	} t[] = {
		{ "", "/h/data", "/h/data/transactions", "http://127.0.0.1:7474" },
		{ "#server.directories.data=/x\n server.directories.data = /big \n", "/big", "/big/transactions", "http://127.0.0.1:7474" },
		{ "server.directories.data=d\nserver.directories.transaction.logs.root=/fast/tx\n", "/h/d", "/fast/tx",
		  "http://127.0.0.1:7474" },
		{ "server.default_listen_address=0.0.0.0\nserver.http.listen_address=:17474\n", "/h/data", "/h/data/transactions",
		  "http://127.0.0.1:17474" },
		{ "server.http.listen_address=10.0.0.5:80\r\nno line\n", "/h/data", "/h/data/transactions", "http://10.0.0.5:80" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		struct neo4j_place p = { 0 };
		struct err e = ERR_INIT;
		char *f = path("neo4j.conf");
		FILE *out = fopen(f, "w");

		assert_non_null(out);
		assert_true(fputs(t[i].conf, out) >= 0);
		assert_int_equal(fclose(out), 0);
		assert_int_equal(neo4j_place_read("/h", dir, NULL, &p, &e), ERR_OK);
		assert_string_equal(p.data, t[i].data);
		assert_string_equal(p.transactions, t[i].transactions);
		assert_string_equal(p.listen, t[i].listen);
		assert_false(neo4j_busy(p.data));
		neo4j_place_release(&p);
		free(f);
	}
}

static void test_keys(void **state)
{
	struct neo4j_key all[] = { { .label = (char *)(uintptr_t)"Per`son", .properties = json_pack("[ss]", "id", "of") } };
	const struct neo4j_keys k = { .all = all, .nr = 1 };
	json_t *id = json_pack("{s:s,s:s}", "$type", "Integer", "_value", "7"), *node = NULL;
	json_t *labels = json_pack("{s:s,s:[{s:s,s:s},{s:s,s:s}]}", "$type", "List", "_value", "$type", "String", "_value", "Other", "$type",
				   "String", "_value", "Per`son");
	json_t *both = json_pack("{s:s,s:{s:i,s:i}}", "$type", "Map", "_value", "id", 1, "of", 2);
	json_t *one = json_pack("{s:s,s:{s:i}}", "$type", "Map", "_value", "id", 1);
	struct buf b = BUF_INIT;

	(void)state;
	assert_int_equal(neo4j_number(id), 7);
	assert_ptr_equal(neo4j_node_make(&k, id, labels, both, &node), &all[0]);
	assert_int_equal(json_array_size(json_object_get(json_object_get(json_object_get(node, "_value"), "k"), "_value")), 2);
	json_decref(node);
	assert_null(neo4j_node_make(&k, id, labels, one, &node));	/* a value of the key is missing */
	assert_non_null(node);
	json_decref(node);
	neo4j_name(&b, "\\u0060) DETACH DELETE n //");		/* Cypher would read the first as a backtick */
	buf_add(&b, "", 1);
	assert_string_equal((const char *)b.p, "`\\u005Cu0060) DETACH DELETE n //`");
	buf_reset(&b);
	neo4j_match(&b, &all[0], "a", "row.a");
	buf_add(&b, "", 1);
	assert_string_equal((const char *)b.p, "MATCH (a:`Per``son` {`id`: row.a.k[0], `of`: row.a.k[1]}) ");
	buf_release(&b);
	json_decref(id);
	json_decref(labels);
	json_decref(both);
	json_decref(one);
	json_decref(all[0].properties);
}

static void test_lines(void **state)
{
	json_t *v = json_pack("[[s%,i,n],[[i,i],b,s]]", "a\tb\nc\0d", (size_t)7, 5, 1, 2, 1, "\\N");
	struct err e = ERR_INIT;
	char *text = NULL;

	(void)state;
	assert_int_equal(neo4j_lines(v, &text, &e), ERR_OK);
	assert_string_equal(text, "a\\tb\\nc\\0d\t5\t\\N\n[1,2]\ttrue\t\\\\N\n");
	free(text);
	json_decref(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_swap_and_back, begin), cmocka_unit_test_setup(test_stopped_between, begin),
		cmocka_unit_test_setup(test_server_runs, begin), cmocka_unit_test(test_names),
		cmocka_unit_test(test_moves_refused), cmocka_unit_test_setup(test_places, begin), cmocka_unit_test(test_keys),
		cmocka_unit_test(test_lines),
	};
	struct err e = ERR_INIT;
	int failed;

	if (!mkdtemp(dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	return neo4j_remove_tree(dir, &e) ? 1 : failed;
}
