#!/usr/bin/env bats
# vouch validate with real servers of PostgreSQL and MariaDB: what is proven, what is seen, and that nothing temporary is left.

bats_require_minimum_version 1.5.0
load lib/pg.sh

setup_file()
{
	pg_start 3>&-
	MY=$(mktemp -d "${TMPDIR:-/tmp}/vouch-my.XXXXXX")
	export MY
	chmod 755 "$MY"
	sh "$BATS_TEST_DIRNAME/lib/maria.sh" start "$MY" --log-bin-trust-function-creators=1
}

teardown_file()
{
	pg_stop
	sh "$BATS_TEST_DIRNAME/lib/maria.sh" stop "$MY"
	rm -rf "$MY"
}

setup()
{
	pg_setup
	(umask 077 && printf '[client]\nsocket=%s\nuser=root\n' "$MY/s" >"$W/my.cnf")
	my -e "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop"
	sql "$DB" <<-'S'
	CREATE TABLE orders(id int PRIMARY KEY, customer int, total numeric NOT NULL);
	INSERT INTO orders SELECT i, CASE WHEN i % 50 = 0 THEN NULL ELSE i % 20 + 1 END, i FROM generate_series(1, 500) i;
	CREATE TABLE lines(orders int, note text);
	INSERT INTO lines SELECT i % 501, CASE WHEN i % 100 <> 0 THEN E'a\tb' END FROM generate_series(1, 1002) i;
	S
	my shop <<-'S'
	CREATE TABLE customers(id int PRIMARY KEY, name varchar(20));
	INSERT INTO customers SELECT seq, IF(seq = 7, NULL, CONCAT('c', seq)) FROM seq_1_to_18;
	CREATE TABLE visits(customer int, at datetime NOT NULL);
	INSERT INTO visits SELECT seq % 19 + 1, NOW() FROM seq_1_to_100;
	S
	conf
}

my()
{
	mariadb --defaults-file="$W/my.cnf" -N "$@"
}

# conf [CRM [SHOP [REFERENCE]]]: lines for each section
conf()
{
	pg_conf
	{
		printf '%b\n' "${1-}"
		printf '[component shop]\ntype = mysql\ndefaults-file = %s\ndatabases = shop\nwait = 1s\n%b\n' "$W/my.cnf" "${2-}"
		[ -z "${3-}" ] || printf '[reference buyers]\nfrom = crm\nfrom-query = SELECT customer FROM orders\n%b\n' "$3"
	} >>"$W/v.conf"
}

# Of a validate nothing may be left on the servers.
clean()
{
	[ "$(sql postgres -c "SELECT count(*) FROM pg_database WHERE datname LIKE 'vouch%'")" = 0 ]
	[ "$(my -e "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name LIKE 'vouch%'")" = 0 ]
}

@test "what was dumped is there and is as expected, whatever came since" {
	conf 'expect = SELECT count(*) FROM orders WHERE total = 5 = 1\nexpect = SELECT sum(total) FROM orders >= 125250\nnot-null = orders.total public.orders.id\norphans = lines.orders orders.id 2' \
		'expect = SELECT COUNT(*) FROM customers = 18\nexpect = SELECT name FROM customers WHERE id = 3 = c3\nnot-null = visits.at\norphans = visits.customer customers.id 6' \
		'to = shop\nto-query = SELECT id FROM customers\nallow = 50'
	vouch run -q
	sql "$DB" -c "TRUNCATE orders"
	my shop -e "DROP TABLE customers"
	run vouch validate --report "$W/report.json"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"crm: valid"*"shop: valid"*"reference buyers, from crm to shop"* ]]
	[[ $output == *"ok       expect: SELECT count(*) FROM orders WHERE total = 5 = 1: it is 1"* ]]
	[[ $output == *"ok       orphans: lines.orders orders.id 2: it is 2"* ]]
	[[ $output == *"recovery time "*" within the target of 20:00; age of the dump "*"within the target of "* ]]
	jq -e '.valid and (.components | length == 2) and all(.components[]; .differ == 0 and .equal > 2) and
		.references[0].missing == 50 and .references[0].rows == 490' "$W/report.json"
	clean
	# what is live is another matter
	run vouch validate --live crm
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"differs  table public.orders: recorded 500, found 0"* ]]
	[ "$(sql "$DB" -c "SELECT count(*) FROM lines")" = 1002 ]
}

@test "what is not as expected: exit 1, and what it is" {
	conf 'expect = SELECT count(*) FROM orders = 501\nexpect = SELECT * FROM orders = 1\nexpect = SELECT nothing FROM orders = 1\nexpect = SELECT NULL = 0\nnot-null = orders.customer lines.note\norphans = lines.orders orders.id' \
		'expect = SELECT COUNT(*) FROM visits <= 99\nexpect = DELETE FROM customers = 0\nnot-null = customers.name\norphans = visits.customer customers.id 4' \
		'to = shop\nto-query = SELECT id FROM customers\nallow = 49'
	vouch run -q
	run vouch validate
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"FAILED   expect: SELECT count(*) FROM orders = 501: it is 500, and should be 501"* ]]
	[[ $output == *"FAILED   expect: SELECT * FROM orders = 1: the answer is 500 rows of several fields"* ]]
	[[ $output == *"FAILED   expect: SELECT nothing FROM orders = 1: "*"does not exist"* ]]
	[[ $output == *'FAILED   expect: SELECT NULL = 0: it is \N, and should be 0'* ]]
	[[ $output == *"FAILED   not-null: lines.note: it is 10, "* ]]
	[[ $output == *"FAILED   orphans: lines.orders orders.id: it is 2, and should be at most 0"* ]]
	[[ $output == *"FAILED   expect: SELECT COUNT(*) FROM visits <= 99: it is 100, and should be at most 99"* ]]
	# a query cannot change anything
	[[ $output == *"FAILED   expect: DELETE FROM customers = 0: "*"READ ONLY"* ]]
	[[ $output == *"FAILED   not-null: customers.name: it is 1, "* ]]
	[[ $output == *"FAILED   orphans: visits.customer customers.id 4: it is 5, "* ]]
	[[ $output == *"FAILED   50 of 490 are missing there, 49 allowed: 19, 20"* ]]
	[ "$(my shop -e "SELECT COUNT(*) FROM customers")" = 18 ]
	clean
	[ "$(grep -c '"event":"validate"' "$W"/repo/log/*)" -ge 3 ]
}

@test "killed or stopped half-way: nothing of it stays" {
	sql "$DB" -c "INSERT INTO lines SELECT i, repeat('x', 100) FROM generate_series(1, 300000) i"
	vouch run -q
	for sig in KILL TERM; do
		"$V" validate --config "$W/v.conf" crm >"$W/out" 2>&1 3>&- &
		for _ in $(seq 600); do
			[ "$(sql postgres -c "SELECT count(*) FROM pg_database WHERE datname LIKE 'vouch%'")" = 0 ] || break
			sleep 0.05
		done
		[ "$(sql postgres -c "SELECT count(*) FROM pg_database WHERE datname LIKE 'vouch%'")" = 1 ]
		kill -"$sig" $!
		wait $! && false
		if [ "$sig" = KILL ]; then
			run vouch validate crm
			echo "$output"
			[ "$status" -eq 0 ]
		else
			cat "$W/out"
			grep -q interrupted "$W/out"
		fi
		clean
	done
}

@test "a dry run says what would be done, and does not do it; what cannot be is said" {
	conf 'expect = SELECT 1 = 2'
	vouch run -q
	run vouch validate -n crm
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"vouch_validate_crm_"*"then expect: SELECT 1 = 2"* ]]
	clean
	run vouch validate --snapshot 2001-01-01 crm
	[ "$status" -eq 1 ]
	conf 'expect = SELECT 1'
	run vouch validate crm
	[ "$status" -eq 2 ]
	[[ $output == *"v.conf:"*"expect"*"QUERY = VALUE"* ]]
}
