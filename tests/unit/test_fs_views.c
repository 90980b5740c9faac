/* SPDX-License-Identifier: MIT */
/* Links and folders made from a list of snapshots: which, where they lead, that their numbers stay. */
#include "fs/views.c"
#include "fs/views_find.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SNAPS_MAX 16

static struct snap snaps[SNAPS_MAX];
static size_t by_name[SNAPS_MAX];
static struct snap_list list = { .all = snaps, .by_name = by_name };
static struct views *v;

/* sec: after 2026-11-21T02:00:00Z. comps: "type name status", a NULL at the end. */
static void add(const char *shown, int64_t sec, const char *host, const char *const *comps)
{
	struct component_outcome c[8];
	char text[8][3][64];
	struct snapshot rec = { .host = (char *)(uintptr_t)host, .components = c };
	struct snap *s = &snaps[list.nr];
	struct err e = ERR_INIT;

	for (; comps && comps[rec.nr_components]; rec.nr_components++) {
		size_t i = rec.nr_components;

		assert_int_equal(sscanf(comps[i], "%63s %63s %63s", text[i][0], text[i][1],
					text[i][2]), 3);
		c[i] = (struct component_outcome){ .type = text[i][0], .name = text[i][1],
						   .status = text[i][2] };
	}
	memset(s, 0, sizeof(*s));
	(void)snprintf(s->name, sizeof(s->name), "2026-11-21T02-00-00Z-%08zx00000000",
		       list.nr + 1);
	(void)snprintf(s->shown, sizeof(s->shown), "%s", shown);
	s->time.sec = 1795226400 + sec;
	s->id.b[0] = (uint8_t)list.nr;
	assert_int_equal(view_parts_new(&rec, &s->parts, &e), ERR_OK);
	by_name[list.nr] = list.nr;
	list.nr_live = ++list.nr;
}

static void build(void)
{
	struct err e = ERR_INIT;

	views_free(v);
	v = NULL;
	assert_int_equal(views_build(&list, false, &v, &e), ERR_OK);
}

static int teardown(void **state)
{
	(void)state;
	views_free(v);
	v = NULL;
	while (list.nr)
		view_parts_put(snaps[--list.nr].parts);
	list.nr_live = 0;
	return 0;
}

static const struct view_node *at(const char *path)
{
	const struct view_node *n = NULL;
	char copy[256], *save = NULL;

	(void)snprintf(copy, sizeof(copy), "%s", path);
	for (char *p = strtok_r(copy, "/", &save); p; p = strtok_r(NULL, "/", &save)) {
		n = views_child(v, n ? n->id : NODEID_ROOT, p);
		if (!n)
			return NULL;
	}
	return n;
}

static void leads(const char *path, const char *target)
{
	const struct view_node *n = at(path);

	if (!n)
		print_error("%s is not there\n", path);
	assert_non_null(n);
	assert_non_null(n->target);
	assert_string_equal(n->target, target);
	assert_ptr_equal(views_by_id(v, n->id), n);
}

static size_t count(uint64_t dir)
{
	size_t nr = 0;

	for (const struct view_node *n = views_next(v, dir, 0); n; n = views_next(v, dir, n->id), nr++)
		assert_int_equal(n->parent, dir);
	return nr;
}

static void test_files(void **state)
{
	uint64_t old, folder;

	(void)state;
	add("A", 0, "web", NULL);
	add("B", 60, "db.example.org", NULL);
	build();
	leads("latest-web", "A");
	leads("latest-db.example.org", "B");
	leads("by-type/files/session_20261121_020000", "../../A");
	leads("by-type/files/session_20261121_020100", "../../B");
	assert_int_equal(count(NODEID_ROOT), 3);
	assert_int_equal(count(at("by-type")->id), 1);
	assert_int_equal(at("by-type")->nr_subdirs, 1);
	assert_int_equal(at("by-type/files")->time.sec, snaps[1].time.sec);
	assert_null(views_by_id(v, NODEID_VIEW));
	assert_null(views_child(v, NODEID_ROOT, "by-typ"));

	/* the next list: same folders, same numbers; what leads elsewhere has another number */
	old = at("latest-web")->id;
	folder = at("by-type/files")->id;
	add("C", 120, "web", NULL);
	build();
	leads("latest-web", "C");
	assert_int_not_equal(at("latest-web")->id, old);
	assert_int_equal(at("by-type/files")->id, folder);
	assert_int_equal(at("by-type/files")->time.sec, snaps[2].time.sec);
	assert_int_equal(count(folder), 3);
}

static void test_components(void **state)
{
	static const char *const night[] = { "postgres app ok", "postgres Shop/2 ok", "mysql m ok",
					     "neo4j graph ok", "qdrant v ok", "Odd x ok",
					     "postgres lost failed", NULL };
	static const char *const one[] = { "postgres app ok", "mysql m failed", NULL };
	static const char *const half[] = { "postgres app ok", "postgres lost failed", NULL };
	static const char *const none[] = { "postgres app failed", NULL };

	(void)state;
	add("A", 0, "h", night);
	add("B", 86400, "h", one);
	add("C", 90000, "h", none);
	add("D", 2 * 86400, "h", half);
	build();
	leads("by-type/postgres/2026/11/21/postgres-app_20261121_020000.dump",
	      "../../../../../A/postgres/app/database.dump");
	leads("by-type/postgres/2026/11/21/postgres-Shop_2_20261121_020000.dump",
	      "../../../../../A/postgres/Shop_2/database.dump");
	leads("by-type/mysql/2026/11/21/mysql_20261121_020000.sql", "../../../../../A/mysql/m/dump.sql");
	leads("by-type/neo4j/2026/11/21/neo4j_20261121_020000.dump",
	      "../../../../../A/neo4j/graph/neo4j.dump");
	leads("by-type/qdrant/2026/11/21/qdrant_20261121_020000",
	      "../../../../../A/qdrant/v");
	leads("by-type/odd/2026/11/21/odd_20261121_020000", "../../../../../A/odd/x");
	leads("by-type/postgres/2026/11/22/postgres_20261122_020000.dump",
	      "../../../../../B/postgres/app/database.dump");
	/* The same name as in a night in which the other one does not fail. */
	leads("by-type/postgres/2026/11/23/postgres-app_20261123_020000.dump",
	      "../../../../../D/postgres/app/database.dump");
	assert_null(at("by-type/mysql/2026/11/22"));
	assert_null(at("by-type/files"));
	assert_int_equal(count(at("by-type")->id), 5);
	assert_int_equal(count(at("by-type/postgres/2026/11")->id), 3);
	assert_int_equal(count(at("by-type/postgres/2026/11/21")->id), 2);
	assert_int_equal(at("by-type/postgres")->time.sec, snaps[3].time.sec);
	leads("latest-h", "D");
}

static void test_clashes(void **state)
{
	static const char *const twins[] = { "mysql a:b ok", "mysql A/B ok", NULL };
	char name[64];

	(void)state;
	add("A-1", 0, "Web", NULL);
	add("A-2", 0, "web", NULL);
	add("B", 60, "../x y", twins);
	add("C", 61, "", NULL);
	build();
	leads("by-type/files/session_20261121_020000-00000001", "../../A-1");
	leads("by-type/files/session_20261121_020000-00000002", "../../A-2");
	assert_null(at("by-type/files/session_20261121_020000"));
	leads("by-type/mysql/2026/11/21/mysql-A_B_20261121_020100-00000003-1.sql",
	      "../../../../../B/mysql/A_B/dump.sql");
	leads("by-type/mysql/2026/11/21/mysql-a_b_20261121_020100-00000003-2.sql",
	      "../../../../../B/mysql/a_b/dump.sql");
	/* a host's is told apart by what does not change with each snapshot */
	(void)snprintf(name, sizeof(name), "latest-Web-%08x", (unsigned)hash_of("Web", 3, 0));
	leads(name, "A-1");
	(void)snprintf(name, sizeof(name), "latest-web-%08x", (unsigned)hash_of("web", 3, 0));
	leads(name, "A-2");
	leads("latest-_._x_y", "B");
	assert_int_equal(count(NODEID_ROOT), 4);
}

static void test_legal(void **state)
{
	static const char *const rows[][2] = {
		{ "db-1.example.org", "db-1.example.org" }, { "", "_" }, { "..", "__" },
		{ ".x", "_x" }, { "x.", "x_" }, { "a b:c/d\\e*f", "a_b_c_d_e_f" },
		{ "\xc3\xa4", "__" }, { "A+B", "A_B" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *got = legal(rows[i][0], false);

		assert_string_equal(got, rows[i][1]);
		free(got);
	}
}

static void test_empty(void **state)
{
	(void)state;
	build();
	assert_int_equal(count(NODEID_ROOT), 0);
	assert_null(at("by-type"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_files, teardown),
		cmocka_unit_test_teardown(test_components, teardown),
		cmocka_unit_test_teardown(test_clashes, teardown),
		cmocka_unit_test_teardown(test_legal, teardown),
		cmocka_unit_test_teardown(test_empty, teardown),
	};

	return cmocka_run_group_tests_name("fs views", tests, NULL, NULL);
}
