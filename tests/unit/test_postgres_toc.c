/* SPDX-License-Identifier: MIT */
/* Which entries of `pg_restore -l` belong to a table: by lines as PostgreSQL 15 writes them. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "tools/components/postgres_toc.h"

static const char list[] =
	";\n; Archive created at 2026-11-21 20:46:00 UTC\n;     dbname: crm\n;\n; Selected TOC Entries:\n;\n"
	"6; 2615 16385 SCHEMA - shop postgres\n"
	"216; 1259 16394 TABLE shop customer postgres\n"
	"221; 1259 16436 TABLE shop line postgres\n"
	"3433; 0 0 ACL shop TABLE line postgres\n"
	"3440; 0 0 ACL shop COLUMN line.note postgres\n"
	"3441; 0 0 COMMENT shop TABLE line the owner\n"
	"219; 1259 16418 SEQUENCE shop line_id_seq postgres\n"
	"3434; 0 0 SEQUENCE OWNED BY shop line_id_seq postgres\n"
	"222; 1259 16500 TABLE shop line item postgres\n"
	"223; 1259 16501 TABLE other line postgres\n"
	"3242; 2604 16410 DEFAULT shop line id postgres\n"
	"3243; 2604 16411 DEFAULT shop liner id postgres\n"
	"3419; 0 16436 TABLE DATA shop line postgres\n"
	"3420; 0 16500 TABLE DATA shop line item postgres\n"
	"3437; 0 0 SEQUENCE SET shop line_id_seq postgres\n"
	"3260; 2606 16440 CONSTRAINT shop line line_pkey postgres\n"
	"3261; 0 0 COMMENT shop CONSTRAINT line_pkey ON line postgres\n"
	"3256; 1259 16455 INDEX shop line_note postgres\n"
	"3257; 1259 16456 INDEX shop customer_mail postgres\n"
	"3265; 2620 16472 TRIGGER shop line touch postgres\n"
	"3263; 2606 16441 FK CONSTRAINT shop line line_customer_fkey postgres\n"
	"3264; 2606 16446 FK CONSTRAINT shop customer customer_line_fkey postgres\n"
	"3409; 0 16465 ROW SECURITY shop line postgres\n"
	"3410; 3256 16470 POLICY shop line own postgres\n"
	"99999999999; 0 0 TABLE shop line postgres\n"
	"x; 0 0 TABLE shop line postgres\n"
	"77\n78; \n79; 1 2\n80; 1 2 TABLE";

static void recorded(struct facts *f)
{
	static const struct {
		const char *kind, *name, *of;
	} items[] = {
		{ "table", "shop.line", NULL },
		{ "table", "shop.\"line item\"", NULL },
		{ "sequence", "shop.line_id_seq", "shop.line" },
		{ "index", "shop.line_note", "shop.line" },
		{ "index", "shop.customer_mail", "shop.customer" },
		{ "constraint", "shop.line.line_pkey", "shop.line" },
		{ "constraint", "shop.line.line_customer_fkey", "shop.line" },
		{ "constraint", "shop.customer.customer_line_fkey", "shop.customer" },
		{ "trigger", "shop.line.touch", "shop.line" },
		{ "policy", "shop.line.own", "shop.line" },
	};

	facts_begin(f, "postgres", "crm");
	for (size_t i = 0; i < ARRAY_LEN(items); i++) {
		json_t *item;

		facts_is(f, items[i].kind, items[i].name, "");
		item = facts_item(f, items[i].kind, items[i].name);
		if (items[i].of)
			json_object_set_new(item, "of", json_string(items[i].of));
	}
	json_object_set_new(facts_item(f, "table", "shop.line"), "owner", json_string("the owner"));
}

static void expect(const struct pgtoc *t, const uint32_t *ids, size_t nr)
{
	for (size_t i = 0; i < t->nr && i < nr; i++)
		assert_int_equal(t->ids[i], ids[i]);
	assert_int_equal(t->nr, nr);
}

static void test_whole(void **state)
{
	static const uint32_t want[] = { 221, 3433, 3440, 3441, 219, 3434, 3242, 3419, 3437, 3260, 3261, 3256, 3265, 3263, 3409,
					 3410 };
	struct facts f;
	struct pgtoc t = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	recorded(&f);
	assert_int_equal(pgtoc_of_table(list, &f, "shop.line", false, &t, &e), ERR_OK);
	/* once more adds nothing */
	assert_int_equal(pgtoc_of_table(list, &f, "shop.line", false, &t, &e), ERR_OK);
	pgtoc_sort(list, &t);
	expect(&t, want, ARRAY_LEN(want));
	pgtoc_release(&t);
	facts_release(&f);
}

static void test_rows(void **state)
{
	static const uint32_t line[] = { 3419 }, item[] = { 3420 }, key[] = { 3264 };
	struct facts f;
	struct pgtoc t = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	recorded(&f);
	assert_int_equal(pgtoc_of_table(list, &f, "shop.line", true, &t, &e), ERR_OK);
	expect(&t, line, 1);
	pgtoc_release(&t);
	assert_int_equal(pgtoc_of_table(list, &f, "shop.\"line item\"", true, &t, &e), ERR_OK);
	expect(&t, item, 1);
	pgtoc_release(&t);
	assert_int_equal(pgtoc_of_constraint(list, "shop.customer.customer_line_fkey", &t, &e), ERR_OK);
	expect(&t, key, 1);
	pgtoc_release(&t);
	assert_int_equal(pgtoc_of_table(list, &f, "shop", true, &t, &e), ERR_USAGE);
	assert_int_equal(pgtoc_of_table(list, &f, "a.b.c.d", true, &t, &e), ERR_USAGE);
	assert_int_equal(pgtoc_of_constraint(list, "shop.customer", &t, &e), ERR_USAGE);
	assert_int_equal(t.nr, 0);
	facts_release(&f);
}

/* A list cut anywhere, and the numbers of one order put in that of the list. */
static void test_cut(void **state)
{
	struct facts f;
	struct err e = ERR_INIT;

	(void)state;
	recorded(&f);
	for (size_t len = 0; len < sizeof(list); len++) {
		char *cut = strndup(list, len);
		struct pgtoc t = { 0 };

		assert_non_null(cut);
		assert_int_equal(pgtoc_of_table(cut, &f, "shop.line", false, &t, &e), ERR_OK);
		pgtoc_sort(cut, &t);
		pgtoc_release(&t);
		free(cut);
	}
	facts_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests_name("postgres_toc", tests, NULL, NULL);
}
