#!/usr/bin/env bats
# MySQL and MariaDB with a real server: a dump, and all that it must bring back.

load lib/mysql

setup_file()
{
	mysql_up
}

teardown_file()
{
	mysql_down
}

@test "run, lose, recover: the same, by other means than vouch's too" {
	conf
	sample
	holds shop >"$BATS_TEST_TMPDIR/before"
	run v run
	echo "$output"
	[ "$status" -eq 0 ]
	facts '(.position.file | startswith("binlog")) and (.position.pos | tonumber > 100) and .server and .tool and .settings.character_set'
	[ "$(facts '.items[] | select(.kind == "table" and .name == "orders") | .rows')" = 5000 ]
	# a dump with its history has the rows that are gone, too
	[ "$(facts '.items[] | select(.kind == "table" and .name == "history") | .rows')" = 3 ]
	facts '[.items[].kind] | unique | contains(["auto-increment", "columns", "constraint", "database", "event", "function", "index", "procedure", "sequence", "table", "trigger", "view"])'
	facts '[.files[].name] | contains(["dump.sql", "users.sql", "tables/orders.sql", "tables/we`ird; na'"'"'me%2Fx.sql"])'
	q "DROP DATABASE shop"
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q ' 0 different' <<<"$output"
	holds shop >"$BATS_TEST_TMPDIR/after"
	cmp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
	# once more over what is there, and with less in it
	q "DELETE FROM shop.lines_; DROP VIEW shop.large; ALTER DATABASE shop CHARACTER SET latin1"
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	holds shop >"$BATS_TEST_TMPDIR/after"
	cmp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
	[ "$(q "SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = 'shop'")" = utf8mb4 ]
	# and back to that
	run v rollback shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(q "SELECT COUNT(*) FROM shop.lines_")" = 0 ]
	[ "$(q "SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = 'shop'")" = latin1 ]
}

@test "each table's file loads by itself, in another time zone and sql_mode, to the same rows" {
	local f t

	conf
	sample
	q "DROP TRIGGER shop.ins"	# its own text names its database
	v run >/dev/null
	q "DROP DATABASE IF EXISTS shop_one; CREATE DATABASE shop_one CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
	VOUCH_REPO=$R "$VOUCH" restore latest:mysql/shop "$BATS_TEST_TMPDIR/out" >/dev/null
	find "$BATS_TEST_TMPDIR/out" -name dump.sql | grep -q .
	for t in numbers customers orders lines_ history made shapes parts empty_; do
		f=$(find "$BATS_TEST_TMPDIR/out" -name "$t.sql")
		{ echo "SET time_zone = '-05:00', sql_mode = 'ANSI';"; cat "$f"; } | load_into shop_one
	done
	[ "$(q "SELECT MD5(GROUP_CONCAT(id, v, p ORDER BY id)) FROM shop.made")" = "$(q "SELECT MD5(GROUP_CONCAT(id, v, p ORDER BY id)) FROM shop_one.made")" ]
	# what was set before the rows is set back after them, as the whole does it
	for f in dump.sql orders.sql; do grep '=@OLD_' "$(find "$BATS_TEST_TMPDIR/out" -name "$f")" | sort >"$BATS_TEST_TMPDIR/$f"; done
	cmp "$BATS_TEST_TMPDIR/dump.sql" "$BATS_TEST_TMPDIR/orders.sql"
	for t in customers orders lines_ shapes parts empty_; do
		[ "$(q "CHECKSUM TABLE shop.$t EXTENDED" | cut -f2)" = "$(q "CHECKSUM TABLE shop_one.$t EXTENDED" | cut -f2)" ]
	done
	[ "$(q "SELECT COUNT(*) FROM shop_one.history FOR SYSTEM_TIME ALL")" = 3 ]
	[ "$(q "SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = 'shop_one' AND event_object_table = 'orders'")" = 1 ]
	q "DROP DATABASE shop_one"
}

@test "into another database: nothing of the old one is touched or named, events are off" {
	conf
	sample
	q "SET sql_mode = 'ANSI_QUOTES'; CREATE TRIGGER \"shop\".\"quoted\" BEFORE DELETE ON \"shop\".\"empty_\" FOR EACH ROW SET @x = 1"
	holds shop >"$BATS_TEST_TMPDIR/before"
	v run >/dev/null
	run v recover shop --into shop_copy --yes
	echo "$output"
	[ "$status" -eq 0 ]
	holds shop >"$BATS_TEST_TMPDIR/after"
	cmp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
	holds shop_copy >"$BATS_TEST_TMPDIR/copy"
	if grep -E '`shop`\.`(twice|numbers)`' "$BATS_TEST_TMPDIR/copy"; then false; fi
	[ "$(q "SELECT SUM(t) FROM shop_copy.totals")" = 10000 ]
	grep -q 'nextval(`shop_copy`.`numbers`)' "$BATS_TEST_TMPDIR/copy"
	[ "$(q "SELECT status FROM information_schema.events WHERE event_schema = 'shop_copy'")" = DISABLED ]
	[ "$(q "SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = 'shop_copy'")" = 3 ]
	# its own trigger fires on its own table
	q "UPDATE shop_copy.orders SET st = 'new' WHERE id = 7"
	[ "$(q "SELECT COUNT(*) FROM shop_copy.empty_")" = 1 ]
	[ "$(q "SELECT COUNT(*) FROM shop.empty_")" = 0 ]
	# it was not there before: the way back is that it is not
	run v rollback shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ -z "$(q "SHOW DATABASES LIKE 'shop_copy'")" ]
}

@test "into another database that is there: the way back has that as it was, its events and other databases' names too" {
	conf
	sample
	v run >/dev/null
	q "CREATE DATABASE shop_copy CHARACTER SET latin1; USE shop_copy; CREATE SEQUENCE s; CREATE TABLE t (id INT DEFAULT NEXT VALUE FOR s);
		INSERT INTO t VALUES (DEFAULT); CREATE VIEW w AS SELECT id FROM shop.orders;
		CREATE TRIGGER shop_copy.tr BEFORE INSERT ON t FOR EACH ROW SET @x = 1; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM t"
	holds shop_copy >"$BATS_TEST_TMPDIR/before"
	v recover shop --into shop_copy --yes
	run v rollback shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	holds shop_copy >"$BATS_TEST_TMPDIR/after"
	cmp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
	q "DROP DATABASE shop_copy"
}

@test "one table comes back whole, the others stay, rows that refer to nothing are told" {
	conf
	sample
	v run >/dev/null
	holds shop >"$BATS_TEST_TMPDIR/before"
	q "SET foreign_key_checks = 0; DROP TABLE shop.orders"
	run v recover shop --table orders --yes
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q 'the others are as they were before' <<<"$output"
	holds shop >"$BATS_TEST_TMPDIR/after"
	cmp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
	# there, with newer rows, and referred to: nothing is cascaded
	q "INSERT INTO shop.orders (id, customer) VALUES (9001, 7); INSERT INTO shop.lines_ VALUES (9001, 1, 1), (9001, 2, 1); ALTER TABLE shop.orders DROP KEY by_customer, ADD KEY other (customer); DROP TRIGGER shop.ins"
	run v recover shop --table orders --yes
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q '2 rows without what they refer to: shop.lines_ (fk_order) refers to shop.orders' <<<"$output"
	[ "$(q "SELECT COUNT(*) FROM shop.lines_")" = 5002 ]
	[ "$(q "SELECT COUNT(*) FROM shop.orders")" = 5000 ]
	q "DELETE FROM shop.lines_ WHERE \`order\` = 9001"
	holds shop >"$BATS_TEST_TMPDIR/after"
	cmp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
	# the reference holds again
	if q "INSERT INTO shop.lines_ VALUES (9999, 1, 1)"; then false; fi
	run v rollback shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(q "SELECT COUNT(*) FROM shop.orders WHERE id = 9001")" = 1 ]
	run v recover shop --table 'we`ird; na'"'"'me/x' --yes
	[ "$status" -eq 0 ]
	run v recover shop --table order --yes
	echo "$output"
	[ "$status" -ne 0 ]
	grep -q 'near: .*orders' <<<"$output"
}

@test "several databases, and all: one moment, each with its own; into others by a word before" {
	conf 'databases = shop_a "shop_b c"'
	q 'DROP DATABASE IF EXISTS shop_a; CREATE DATABASE shop_a; CREATE DATABASE IF NOT EXISTS `shop_b c` CHARACTER SET latin1'
	q 'CREATE TABLE shop_a.t (id INT PRIMARY KEY); INSERT INTO shop_a.t VALUES (1), (2); CREATE TABLE `shop_b c`.t (id INT, FOREIGN KEY (id) REFERENCES shop_a.t (id));
		INSERT INTO `shop_b c`.t VALUES (2); CREATE VIEW `shop_b c`.v AS SELECT a.id FROM shop_a.t a JOIN `shop_b c`.t b ON a.id = b.id'
	run v run
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(facts '[.items[] | select(.kind == "table") | .name + "=" + .rows] | sort | join(" ")')" = "shop_a.t=2 shop_b c.t=1" ]
	facts '[.files[].name] | contains(["dump.sql", "tables/shop_a/t.sql", "tables/shop_b c/t.sql"])'
	q 'DROP DATABASE `shop_b c`; DELETE FROM shop_a.t'
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(q 'SELECT * FROM `shop_b c`.v')" = 2 ]
	[ "$(q "SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = 'shop_b c'")" = latin1 ]
	run v recover shop --table 'shop_a.t' --yes
	echo "$output"
	[ "$status" -eq 0 ]
	run v recover shop --into shop_x --yes
	echo "$output"
	[ "$status" -eq 0 ]
	q 'DROP DATABASE `shop_b c`; DROP DATABASE shop_a'
	[ "$(q 'SELECT * FROM `shop_x_shop_b c`.v')" = 2 ]
	# with these there, and the way back
	conf 'databases = shop_a "shop_b c"'
	q 'DELETE FROM `shop_x_shop_b c`.t'
	v recover shop --into shop_x --yes
	run v rollback shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ -z "$(q 'SELECT * FROM `shop_x_shop_b c`.v')" ]
	q 'DROP DATABASE `shop_x_shop_b c`; DROP DATABASE shop_x_shop_a'
}

@test "names with quotes, dashes, semicolons, letters of other languages" {
	local db="-x; '%" other='shop-ü`q'

	conf "databases = \"$db\" \"$other\"" 'keep-users = nobody'
	options "$M/root.cnf" root ''
	sed -i "s,$M/own.cnf,$M/root.cnf,; /^restore-defaults/d" "$C"
	q 'CREATE DATABASE `-x; '"'"'%`; CREATE DATABASE `shop-ü``q`; CREATE TABLE `-x; '"'"'%`.`-t` (id INT); CREATE TABLE `shop-ü``q`.`a"\b` (id INT);
		INSERT INTO `-x; '"'"'%`.`-t` VALUES (1)'
	run v run
	echo "$output"
	[ "$status" -eq 0 ]
	q 'DROP DATABASE `shop-ü``q`; DELETE FROM `-x; '"'"'%`.`-t`'
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	run v recover shop --table "$db.-t" --table "$other"'.a"\b' --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(q 'SELECT COUNT(*) FROM `-x; '"'"'%`.`-t`')" = 1 ]
	q 'DROP DATABASE `-x; '"'"'%`; DROP DATABASE `shop-ü``q`'
}

@test "an empty database" {
	conf 'databases = shop_empty'
	q "CREATE DATABASE shop_empty CHARACTER SET latin1"
	run v run
	echo "$output"
	[ "$status" -eq 0 ]
	q "DROP DATABASE shop_empty"
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(q "SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = 'shop_empty'")" = latin1 ]
	q "DROP DATABASE shop_empty"
}

@test "under writers: rows of two tables in one transaction agree, and the counts of both sessions" {
	local pid i

	conf
	q "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop; CREATE TABLE shop.a (id INT AUTO_INCREMENT PRIMARY KEY, t VARCHAR(200)); CREATE TABLE shop.z (id INT AUTO_INCREMENT PRIMARY KEY)"
	q "USE shop; INSERT INTO shop.a (t) SELECT REPEAT('x', 200) FROM seq_1_to_20000; INSERT INTO shop.z (id) SELECT seq FROM seq_1_to_20000"
	(while :; do echo "BEGIN; INSERT INTO shop.a (t) VALUES ('w'); INSERT INTO shop.z VALUES (NULL); COMMIT;"; done | load_into shop >/dev/null 2>&1) 3>&- &
	pid=$!
	for i in 1 2 3; do
		run v run
		echo "$output"
		[ "$status" -eq 0 ] || break
		! grep -q 'counted in the dump alone' <<<"$output" || { status=1; break; }
		facts '[.items[] | select(.kind == "table") | .rows] | (length == 2 and .[0] == .[1])' || { status=1; break; }
	done
	kill "$pid"
	wait "$pid" || true
	[ "$status" -eq 0 ]
}

@test "a table that no snapshot holds still: it comes back, its rows not compared" {
	conf
	sample
	q "CREATE TABLE shop.old (id INT AUTO_INCREMENT PRIMARY KEY, t TEXT) ENGINE=MyISAM; INSERT INTO shop.old (t) VALUES ('a'), ('b')"
	v run
	q "DROP TABLE shop.old"
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	grep -Eq 'old .*not compared' <<<"$output"
	[ "$(q "SELECT count(*) FROM shop.old")" = 2 ]
}

@test "check: rights, versions, MyISAM, the binary log; every missing right is named" {
	conf
	sample
	q "CREATE TABLE shop.old (id INT) ENGINE=MyISAM"
	run v check shop
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q 'ok .*database shop: all rights' <<<"$output"
	grep -q 'ok .*binary log on' <<<"$output"
	grep -q 'warning .*shop.old is MyISAM' <<<"$output"
	run v run
	grep -q 'old' <<<"$output"
	facts '.items[] | select(.kind == "table" and .name == "old") | .moving'
	chmod 644 "$M/own.cnf"
	run v check shop
	chmod 600 "$M/own.cnf"
	grep -q 'warning .*can be read by others' <<<"$output"
	q "CREATE OR REPLACE USER shop_less@localhost IDENTIFIED BY 'x'; GRANT SELECT ON shop.* TO shop_less@localhost"
	options "$M/less.cnf" shop_less x
	sed -i "s,own.cnf,less.cnf," "$C"
	run v check shop
	echo "$output"
	[ "$status" -eq 1 ]
	for right in TRIGGER 'SELECT on mysql.proc' 'SHOW VIEW' EVENT EXECUTE RELOAD PROCESS; do grep -q "no right $right" <<<"$output"; done
	run v run
	echo "$output"
	[ "$status" -ne 0 ]
	grep -q 'no right TRIGGER' <<<"$output"
	q "GRANT SHOW VIEW, TRIGGER, EVENT, EXECUTE ON shop.* TO shop_less@localhost; GRANT SELECT ON mysql.proc TO shop_less@localhost"
	run v run
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q 'rows are counted in the dump alone' <<<"$output"
	grep -q 'position in the binary log is not recorded' <<<"$output"
	grep -q 'users and their rights are not saved' <<<"$output"
	q "DROP TABLE shop.old"
}

@test "via: every program is started so, and the options file is one inside" {
	conf "via = env VIA=1"
	sample
	wrap mariadb-dump <<-'S'
	echo "$VIA" >>"${0%/*}/seen"
	exec "$REAL" "$@"
	S
	echo "bin = $BIN" >>"$C"
	run v run
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q 1 "$BIN/seen"
	run ! grep -qv 1 "$BIN/seen"
}

@test "validate: restored beside, compared, examined, asked; nothing is left of it" {
	conf 'not-null = orders.customer' 'orphans = lines_.order orders.id 0' 'expect = SELECT COUNT(*) FROM orders = 5000' \
		'expect = SELECT note FROM customers WHERE id = 2 = \N'
	printf '%s\n' '[reference orders]' 'from = shop' 'from-query = SELECT customer FROM orders' 'to = shop' 'to-query = SELECT id FROM customers' >>"$C"
	sample
	v run >/dev/null
	holds shop >"$BATS_TEST_TMPDIR/before"
	run v validate
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q 'CHECK TABLE of' <<<"$output"
	[ -z "$(q "SHOW DATABASES LIKE 'vouch%'")" ]
	holds shop >"$BATS_TEST_TMPDIR/after"
	cmp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
	q "SET foreign_key_checks = 0; DELETE FROM shop.orders WHERE id = 17"
	run v validate --live
	echo "$output"
	[ "$status" -ne 0 ]
	grep -q '1 row without what they refer to: shop.lines_ (fk_order) refers to shop.orders' <<<"$output"
	grep -q 'table orders: recorded 5000, found 4999' <<<"$output"
	v run >/dev/null
	run v validate
	echo "$output"
	[ "$status" -ne 0 ]
	grep -q 'without what they refer to' <<<"$output"
	[ -z "$(q "SHOW DATABASES LIKE 'vouch%'")" ]
}
