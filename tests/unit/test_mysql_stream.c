/* SPDX-License-Identifier: MIT */
/* A mysqldump cut into its parts, statements and rows, however the stream is cut on its way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "store/base/buf.h"
#include "store/base/checked.h"
#include "tools/components/mysql_sql.h"
#include "tools/components/mysql_stream.h"

/* What the tests look at: a letter a part and its name, the statements' kinds, all bytes, rows. */
struct seen {
	struct buf parts, kinds, all;
	struct rowsum sums[4];
	char names[4][32];
	size_t nr;
};

static enum err_code on_part(void *ctx, enum mysql_part part, const char *name, struct err *e)
{
	struct seen *s = ctx;

	(void)e;
	buf_printf(&s->parts, "%c%s ", "HDSTIERVX"[part], name);
	return ERR_OK;
}

static enum err_code on_piece(void *ctx, enum mysql_piece kind, const char *p, size_t len, struct err *e)
{
	struct seen *s = ctx;

	(void)e;
	buf_add(&s->all, p, len);
	if (kind == MYSQL_STATEMENT) {
		struct mysql_statement st;

		if (mysql_sql_read(p, len, &st) && st.kind)
			buf_printf(&s->kinds, "%d:%s:%s ", st.kind, st.name, st.definer);
	}
	return ERR_OK;
}

static enum err_code on_rows(void *ctx, const char *table, struct rowsum **out, struct err *e)
{
	struct seen *s = ctx;

	(void)e;
	for (size_t i = 0; i < s->nr; i++) {
		if (strcmp(s->names[i], table) == 0) {
			*out = &s->sums[i];
			return ERR_OK;
		}
	}
	assert_true(s->nr < ARRAY_LEN(s->sums));
	(void)snprintf(s->names[s->nr], sizeof(s->names[0]), "%s", table);
	*out = &s->sums[s->nr++];
	return ERR_OK;
}

static void forget(struct seen *s)
{
	buf_release(&s->parts);
	buf_release(&s->kinds);
	buf_release(&s->all);
	memset(s, 0, sizeof(*s));
}

/* step 0: pieces of random lengths */
static enum err_code read_all(const char *text, size_t len, size_t step, struct seen *s, struct err *e)
{
	struct mysql_stream_events ev = { .part = on_part, .piece = on_piece, .rows = on_rows, .ctx = s };
	struct mysql_stream *m = NULL;
	enum err_code rc;

	memset(s, 0, sizeof(*s));
	assert_int_equal(mysql_stream_open(&ev, &m, e), ERR_OK);
	rc = ERR_OK;
	for (size_t i = 0, n; i < len && !rc; i += n) {
		n = step ? step : (size_t)rand() % 37 + 1;
		n = n > len - i ? len - i : n;
		rc = mysql_stream_feed(m, text + i, n, e);
	}
	if (!rc)
		rc = mysql_stream_finish(m, e);
	mysql_stream_close(m);
	return rc;
}

#define HEADER                                                                                                              \
	"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n--\n-- Host: x; Database: 'shop\n\n"             \
	"/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;\n/*!40103 SET TIME_ZONE='+00:00' */;\n\n--\n"    \
	"-- Alternately, it's the position\n--\n\n-- CHANGE MASTER TO MASTER_LOG_FILE='b', MASTER_LOG_POS=1;\n\n"
#define TRAILER                                                                                                             \
	"/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;\n\n/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n\n-- Dump completed\n"
#define TABLE_T                                                                                                             \
	"--\n-- Table structure for table `t`\n--\n\nDROP TABLE IF EXISTS `t`;\nCREATE TABLE `t` (\n  `a` int, `VALUES ` "  \
	"text DEFAULT ');\\n'\n);\n"                                                                                        \
	"--\n-- Dumping data for table `t`\n--\n\nLOCK TABLES `t` WRITE;\n"

static const char whole[] = HEADER
	"--\n-- Sequence structure for `sq`\n--\n\nDROP SEQUENCE IF EXISTS `sq`;\nCREATE SEQUENCE `sq` start with 10;\n"
	"DO SETVAL(`sq`, 10, 0);\n\n" TABLE_T
	"INSERT INTO `t` VALUES\n(1,'it\\'s \\\"x\\\" \\\\'),\n(2,'),(;\\n-- Table structure for table `no`\n/* '),(3,NULL);\n"
	"INSERT INTO `t` (`a`, `VALUES `) VALUES (4,0xFF),(-5,\"d'q\"),(6,'a''b'),(7,f(1,(2)));\nUNLOCK TABLES;\n"
	"DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`ro``ot`@`local\"host`*/ /*!50003 TRIGGER shop.tr BEFORE INSERT ON t "
	"FOR EACH ROW BEGIN\n"
	"-- Dump completed; it's\n SET NEW.a=';;'; # it's\n/* ;; ' */ INSERT INTO `t` VALUES (1); END */;;\nDELIMITER ;\n\n"
	"--\n-- Temporary table structure for view `v`\n--\n\nDROP TABLE IF EXISTS `v`;\n/*!50001 CREATE VIEW `v` AS SELECT "
	"1*/;\n\n"
	"--\n-- Table structure for table `we``ird; na'me`\n--\n\nDROP TABLE IF EXISTS `we``ird; na'me`;\nCREATE TABLE "
	"`we``ird; na'me` (\n `c` int);\n"
	"INSERT INTO `we``ird; na'me` VALUES (1);\n"
	"\n--\n-- Dumping events for database 'shop'\n--\nDELIMITER ;;\n/*!50106 CREATE*/ /*!50117 DEFINER=`r`@`h`*/ /*!50106 "
	"EVENT `ev` ON SCHEDULE EVERY 1 DAY "
	"ON COMPLETION NOT PRESERVE ENABLE DO SELECT 1 */ ;;\nDELIMITER ;\n"
	"\n--\n-- Dumping routines for database 'shop'\n--\nDELIMITER ;;\nCREATE DEFINER=`r`@`h` PROCEDURE `pr`()\nBEGIN SELECT "
	"';;', \"DELIMITER ;\"; END\n;;\nDELIMITER ;\n"
	"/*!50003 SET sql_mode              = 'ANSI,NO_BACKSLASH_ESCAPES' */ ;\nDELIMITER ;;\nCREATE DEFINER=`r`@`h` FUNCTION "
	"`pa`() RETURNS text\nreturn 'C:\\'\n;;\nDELIMITER ;\n/*!50003 SET sql_mode              = @saved_sql_mode */ ;\n"
	"\n--\n-- Final view structure for view `v`\n--\n\n/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`r`@`h` SQL "
	"SECURITY DEFINER */\n"
	"/*!50001 VIEW `v` AS select 1 */;\n\n-- SET GLOBAL gtid_slave_pos='0-1-23';\n" TRAILER;

static void test_parts_however_cut(void **state)
{
	struct rowsum want = {0}, one = {0};
	struct seen s;
	struct err e = ERR_INIT;

	(void)state;
	static const char *const rows[] = {"(1,'it\\'s \\\"x\\\" \\\\')",
					   "(2,'),(;\\n-- Table structure for table `no`\n/* ')",
					   "(3,NULL)",
					   "(4,0xFF)",
					   "(-5,\"d'q\")",
					   "(6,'a''b')",
					   "(7,f(1,(2)))"};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		rowsum_add(&want, rows[i], strlen(rows[i]));
	rowsum_add(&one, "(1)", 3);
	for (size_t round = 0; round < 300; round++) {
		assert_int_equal(read_all(whole, strlen(whole), round < 60 ? round : 0, &s, &e), ERR_OK);
		buf_add_u8(&s.parts, 0);
		buf_add_u8(&s.kinds, 0);
		assert_int_equal(s.all.len, strlen(whole));
		assert_memory_equal(s.all.p, whole, s.all.len);
		assert_string_equal((char *)s.parts.p, "Ssq Tt I Twe`ird; na'me E R V X ");
		assert_string_equal(
		    (char *)s.kinds.p,
			"13:sq: 4:sq: 14:sq: 13:t: 3:t: 6:tr:ro`ot@local\"host 13:v: 5:v: 13:we`ird; na'me: 3:we`ird; na'me: "
			"11:ev:r@h 7:pr:r@h 8:pa:r@h 5:v:r@h ");
		assert_int_equal(s.nr, 2);
		assert_memory_equal(&s.sums[0], &want, sizeof(want));
		assert_memory_equal(&s.sums[1], &one, sizeof(one));
		forget(&s);
	}
}

static void test_cut_short_everywhere(void **state)
{
	struct seen s;
	struct err e = ERR_INIT;
	size_t end = strlen(whole) - strlen("\n");

	(void)state;
	for (size_t len = 0; len < end; len++) {
		assert_int_equal(read_all(whole, len, 4096, &s, &e), ERR_CORRUPT);
		assert_non_null(strstr(e.msg, "cut short"));
		forget(&s);
	}
	assert_int_equal(read_all(whole, end, 4096, &s, &e), ERR_OK);
	forget(&s);
}

static void test_what_it_is_not(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "", "no \"-- Dump completed\"" },
		{ HEADER TRAILER "SELECT 1;\n", "after its end" },
		{ HEADER TRAILER "INSERT INTO `t` VALUES (1);\n", "after its end" },
		{HEADER "--\n-- Table structure for table `a`\n--\n-- Table structure for table `b`\n",
	     "a table without a statement"},
		{ HEADER "--\n-- Table structure for table `a`\n--\nUNLOCK TABLES;\n" TRAILER, "does not name it" },
		{ HEADER TABLE_T "INSERT INTO `t` VALUES (1));\n" TRAILER, "ends before it begins" },
		{ HEADER "DELIMITER 0123456789012345\n" TRAILER, "not a delimiter" },
		{ HEADER "SELECT '-- Dump completed\n", "middle of a statement" },
		{ HEADER "/* -- Dump completed\n", "middle of a statement" },
	};
	struct seen s;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(read_all(rows[i].text, strlen(rows[i].text), 0, &s, &e), ERR_CORRUPT);
		if (!strstr(e.msg, rows[i].says))
			fail_msg("%zu: %s", i, e.msg);
		forget(&s);
	}
}

static void test_long_rows(void **state)
{
	static const char begin[] = HEADER TABLE_T "INSERT INTO `t` VALUES (1,'", end[] = "'),(2,'');\n" TRAILER;
	const size_t n = 300000;
	struct rowsum want = {0};
	struct buf b = BUF_INIT, row = BUF_INIT;
	struct seen s;
	struct err e = ERR_INIT;

	(void)state;
	buf_add_str(&row, "(1,'");
	for (size_t i = 0; i < n; i++)
		buf_add(&row, &"ab;)(,"[i % 6], 1);
	buf_add_str(&row, "')");
	rowsum_add(&want, row.p, row.len);
	rowsum_add(&want, "(2,'')", 6);
	buf_add_str(&b, begin);
	buf_add(&b, row.p + 4, n);
	buf_add_str(&b, end);
	for (size_t step = 0; step < 20; step++) {
		assert_int_equal(read_all((char *)b.p, b.len, step * 1000, &s, &e), ERR_OK);
		assert_memory_equal(&s.sums[0], &want, sizeof(want));
		forget(&s);
	}
	buf_release(&b);
	buf_release(&row);
}

static void test_rename(void **state)
{
	static const struct mysql_rename to[] = {{"shop", "co`py"}, {"crm", "c2"}};
	static const struct mysql_renames r = { .of = to, .nr = 2, .events_off = true };
	static const struct {
		const char *text, *want;
		bool mentions;
	} rows[] = {
		{ "USE `shop`;", "USE `co``py`;", false },
		{ "USE `other`;", "USE `other`;", false },
		{"CREATE DATABASE /*!32312 IF NOT EXISTS*/ `shop` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;",
	     "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `co``py` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;", false},
		{"CREATE TABLE `shop` (`shop` int DEFAULT nextval(`shop`.`sq`) COMMENT '`shop`.`x`', CONSTRAINT `f` FOREIGN KEY "
	     "(`shop`) REFERENCES `crm`.`t` (`shop`));",
	     "CREATE TABLE `shop` (`shop` int DEFAULT nextval(`co``py`.`sq`) COMMENT '`shop`.`x`', CONSTRAINT `f` FOREIGN "
	     "KEY (`shop`) REFERENCES `c2`.`t` (`shop`));",
	     false},
		{"/*!50003 CREATE*/ /*!50017 DEFINER=`shop`@`h`*/ /*!50003 TRIGGER shop.tr BEFORE INSERT ON `shop` . `t` FOR "
	     "EACH ROW INSERT INTO x VALUES ('shop.y') */;;",
	     "/*!50003 CREATE*/ /*!50017 DEFINER=`shop`@`h`*/ /*!50003 TRIGGER `co``py`.tr BEFORE INSERT ON `co``py` . `t` "
	     "FOR EACH ROW INSERT INTO x VALUES ('shop.y') */;;",
	     false},
		{"CREATE TRIGGER tr AFTER UPDATE ON t FOR EACH ROW UPDATE a JOIN b ON shop.c SET x=crm.f(1);;",
	     "CREATE TRIGGER tr AFTER UPDATE ON t FOR EACH ROW UPDATE a JOIN b ON shop.c SET x=crm.f(1);;", true},
		{"CREATE ALGORITHM=UNDEFINED DEFINER=`r`@`h` SQL SECURITY DEFINER VIEW `shop` AS select "
	     "`shop`.`fu`(`shop`.`id`) AS `x`,`crm`.`t`.`a` AS `a` "
	     "from (`orders` `shop` join `crm`.`t` on(`shop`.`id` = `crm`.`t`.`id`));",
	     "CREATE ALGORITHM=UNDEFINED DEFINER=`r`@`h` SQL SECURITY DEFINER VIEW `shop` AS select "
	     "`co``py`.`fu`(`shop`.`id`) AS `x`,`c2`.`t`.`a` AS `a` "
	     "from (`orders` `shop` join `c2`.`t` on(`shop`.`id` = `c2`.`t`.`id`));",
	     false},
		{"/*!50106 CREATE*/ /*!50117 DEFINER=`r`@`h`*/ /*!50106 EVENT `ENABLE` ON SCHEDULE EVERY 1 DAY ON COMPLETION "
	     "NOT PRESERVE ENABLE COMMENT 'PRESERVE ENABLE' "
	     "DO DELETE FROM shop.t */;;",
	     "/*!50106 CREATE*/ /*!50117 DEFINER=`r`@`h`*/ /*!50106 EVENT `ENABLE` ON SCHEDULE EVERY 1 DAY ON COMPLETION "
	     "NOT PRESERVE DISABLE COMMENT 'PRESERVE ENABLE' "
	     "DO DELETE FROM shop.t */;;",
	     true},
		{"CREATE TRIGGER \"shop\".\"tr\" AFTER UPDATE ON \"shop\".\"t\" FOR EACH ROW SET @x=\"shop\";;",
	     "CREATE TRIGGER `co``py`.\"tr\" AFTER UPDATE ON `co``py`.\"t\" FOR EACH ROW SET @x=\"shop\";;", false},
		{ "CREATE PROCEDURE `pr`() SELECT 1", "CREATE PROCEDURE `pr`() SELECT 1", false },
		{ "SELECT `shop`.`t`", "SELECT `shop`.`t`", false },
		{ "CREATE", "CREATE", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT;

		mysql_sql_rename(&r, rows[i].text, strlen(rows[i].text), &b);
		assert_int_equal(mysql_sql_mentions(&r, (char *)b.p, b.len), rows[i].mentions);
		buf_add_u8(&b, 0);
		assert_string_equal((char *)b.p, rows[i].want);
		buf_release(&b);
	}
}

/* Any bytes: an error or none, and never more bytes out than in. */
static void test_noise(void **state)
{
	static const char letters[] = "-/*!M'\"`;\\\n\r #()ISERTVALU `0`";
	static const struct mysql_rename to[] = {{"I", "E"}};
	static const struct mysql_renames r = { .of = to, .nr = 1, .events_off = true };
	struct seen s;
	struct err e = ERR_INIT;
	char text[400];

	(void)state;
	for (size_t round = 0; round < 20000; round++) {
		size_t len = (size_t)rand() % sizeof(text), from = (size_t)rand() % (sizeof(whole) - sizeof(text));
		struct buf b = BUF_INIT;

		memcpy(text, whole + from, sizeof(text));
		for (size_t i = 0; i < len; i++)
			if (rand() % 4 == 0 || round % 2)
				text[i] = letters[(size_t)rand() % (sizeof(letters) - 1)];
		(void)!read_all(text, len, 0, &s, &e);
		assert_true(s.all.len <= len);
		forget(&s);
		mysql_sql_rename(&r, text, len, &b);
		(void)mysql_sql_mentions(&r, text, len);
		buf_release(&b);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts_however_cut),
		cmocka_unit_test(test_cut_short_everywhere),
		cmocka_unit_test(test_what_it_is_not),
		cmocka_unit_test(test_long_rows),
		cmocka_unit_test(test_rename),
		cmocka_unit_test(test_noise),
	};
	unsigned seed = getenv("SEED") ? (unsigned)strtoul(getenv("SEED"), NULL, 10) : (unsigned)time(NULL);

	print_message("SEED=%u\n", seed);
	srand(seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
