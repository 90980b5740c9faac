#!/usr/bin/env bats
# Real databases, lost and brought back: run, lose, recover, compare, roll back.

load ../cli/helper
load lib/pg.sh

setup_file()
{
	pg_start
	export MARIA
	MARIA=$(mktemp -d "${TMPDIR:-/tmp}/my.XXXXXX")
	"$BATS_TEST_DIRNAME/lib/maria.sh" start "$MARIA"
}

teardown_file()
{
	pg_stop
	"$BATS_TEST_DIRNAME/lib/maria.sh" stop "$MARIA"
	rm -rf "$MARIA"
}

# A database of the test's own, called $D, and its configuration.
ready()
{
	D=d$BATS_TEST_NUMBER
	sql postgres -c "CREATE DATABASE $D"
	sql "$D" <<-'S'
	CREATE SCHEMA other;
	CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL);
	CREATE TABLE orders (id serial PRIMARY KEY, customer int NOT NULL REFERENCES customers, total numeric(10,2) DEFAULT 1.5);
	CREATE INDEX orders_customer ON orders (customer);
	CREATE TABLE other.notes (t text);
	CREATE VIEW big AS SELECT * FROM orders WHERE total > 90;
	INSERT INTO customers (name) SELECT 'customer ' || g FROM generate_series(1, 200) g;
	INSERT INTO orders (customer, total) SELECT 1 + g % 200, g % 100 FROM generate_series(1, 5000) g;
	INSERT INTO other.notes SELECT 'note ' || g FROM generate_series(1, 50) g;
	S
	vouch init "$VOUCH_REPO" >/dev/null
	conf
}

# conf [KEY...]: the component crm is that database.
conf()
{
	(umask 077 && {
		printf '[repository]\npath = %s\n[component crm]\ntype = postgres\ndsn = host=%s user=postgres dbname=%s\n' \
			"$VOUCH_REPO" "$PG" "$D"
		printf '%s\n' "$@"
	} >"$W/vouch.conf")
}

# vc COMMAND...: with that configuration.
vc()
{
	local cmd=$1

	shift
	"$V" "$cmd" --config "$W/vouch.conf" "$@"
}

# All of the database's content, in an order of its own.
content()
{
	sql "${1:-$D}" -c "SELECT 'c', * FROM customers ORDER BY id" -c "SELECT 'o', * FROM orders ORDER BY id" \
		-c "SELECT 'n', * FROM other.notes ORDER BY t" -c "SELECT count(*) FROM big" \
		-c "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1" \
		-c "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
}

databases() { sql postgres -c "SELECT datname FROM pg_database WHERE datname LIKE '$D%' ORDER BY 1"; }

@test "postgres: run, lose, recover, compare, roll back" {
	ready
	vc run
	content >"$W/before"
	sql "$D" -c "DELETE FROM orders WHERE id > 100" -c "DROP TABLE other.notes" -c "UPDATE customers SET name = 'x' WHERE id = 7"
	lost=$(sql "$D" -c "SELECT count(*) FROM orders")
	run vc recover crm --dry-run
	echo "$output"
	[ "$status" = 0 ]
	[ "$(sql "$D" -c "SELECT count(*) FROM orders")" = "$lost" ]

	run vc recover crm --yes -v
	echo "$output"
	[ "$status" = 0 ]
	grep -Eq 'table public.orders +5000 +5000 +equal +equal' <<<"$output"
	[[ $output == *"within the target of 20:00"* ]]
	content >"$W/after"
	cmp "$W/before" "$W/after"

	run vc rollback --list
	echo "$output"
	[[ $output == "crm  "* ]]
	run vc rollback crm --yes
	echo "$output"
	[ "$status" = 0 ]
	[ "$(sql "$D" -c "SELECT count(*) FROM orders")" = "$lost" ]
	[ "$(sql "$D" -c "SELECT name FROM customers WHERE id = 7")" = x ]
	# and once more forward
	vc recover crm --yes
	content >"$W/after"
	cmp "$W/before" "$W/after"
}

@test "postgres: a database that is gone" {
	ready
	vc run
	content >"$W/before"
	sql postgres -c "DROP DATABASE $D"
	run vc recover crm --yes
	echo "$output"
	[ "$status" = 0 ]
	content | cmp "$W/before" -
}

@test "postgres: into another database, and its own is left alone" {
	ready
	vc run
	content >"$W/before"
	sql "$D" -c "DELETE FROM orders"
	vc run
	id=$(vouch history --json | jq -r 'select(.type == "run").backup_id' | sort | head -n 1)
	[[ $id == postgres_2* ]]
	run vc recover crm --yes --from "$id" --into "${D}_copy"
	echo "$output"
	[ "$status" = 0 ]
	content "${D}_copy" | cmp "$W/before" -
	[ "$(sql "$D" -c "SELECT count(*) FROM orders")" = 0 ]
}

@test "postgres: one table, others untouched; one that is not in the dump" {
	ready
	vc run
	sql "$D" -c "SELECT * FROM orders ORDER BY id" >"$W/before"
	sql "$D" -c "DELETE FROM orders WHERE id % 2 = 0" -c "INSERT INTO other.notes VALUES ('newer')"
	run vc recover crm --yes --table order
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"near: public.orders"* ]]
	run vc recover crm --yes --label orders
	[ "$status" = 2 ]
	[ "$(sql "$D" -c "SELECT count(*) FROM orders")" = 2500 ]

	run vc recover crm --yes --table orders
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"the others are as they were before"* ]]
	sql "$D" -c "SELECT * FROM orders ORDER BY id" | cmp "$W/before" -
	[ "$(sql "$D" -c "SELECT count(*) FROM other.notes")" = 51 ]
	sql "$D" -c "INSERT INTO orders (customer) VALUES (3)"

	# As a whole it can be lost, too
	sql "$D" -c "DROP TABLE orders CASCADE"
	run vc recover crm --yes --table public.orders
	echo "$output"
	[ "$status" = 0 ]
	sql "$D" -c "SELECT * FROM orders ORDER BY id" | cmp "$W/before" -
	run ! sql "$D" -c "INSERT INTO orders (customer) VALUES (999)"
	sql "$D" -c "INSERT INTO orders (customer) VALUES (3)"
}

@test "postgres: killed half-way, and run again; hooks stop and start the application" {
	ready
	sql "$D" -c "INSERT INTO other.notes SELECT repeat(md5(g::text), 20) FROM generate_series(1, 60000) g"
	vc run
	content >"$W/before"
	sql "$D" -c "DELETE FROM orders"
	conf "before-recover = sh -c 'echo stop >>$W/app'" "after-recover = sh -c 'echo start \$VOUCH_OUTCOME >>$W/app'"
	"$V" recover --config "$W/vouch.conf" crm --yes >"$W/log" 2>&1 3>&- &
	pid=$!
	# As soon as there is another database beside it
	for _ in $(seq 400); do
		[ "$(databases | wc -l)" -gt 1 ] && break
		sleep 0.02
	done
	kill -9 "$pid"
	wait "$pid" || :
	[ "$(sql "$D" -c "SELECT count(*) FROM orders")" = 0 ]
	# The application does not stay stopped.
	for _ in $(seq 400); do
		grep -q start "$W/app" && break
		sleep 0.02
	done
	[ "$(cat "$W/app")" = $'stop\nstart killed' ]
	rm "$W/app"
	# And as one killed during CREATE DATABASE would leave it; two of somebody else's
	sql postgres -c "CREATE DATABASE \"${D}_restoring_20260101T020000Z\" ALLOW_CONNECTIONS false" \
		-c "CREATE DATABASE \"${D}_restoring_20260102T020000Z\"" -c "CREATE DATABASE ${D}_restoring_mine"
	run vc recover crm --yes
	echo "$output"
	[ "$status" = 0 ]
	content | cmp "$W/before" -
	[ "$(cat "$W/app")" = "stop
start ok" ]
	# What the killed ones left is gone: there is the database, the way back, and what is not vouch's.
	databases
	[ "$(databases | wc -l)" = 4 ]
	databases | grep -q _restoring_mine
	databases | grep -q _restoring_20260102T020000Z
}

my() { mariadb --no-defaults --socket="$MARIA/s" -u root -N -B "$@"; }

# A second component, shop, of MariaDB.
with_shop()
{
	my <<-'S'
	DROP DATABASE IF EXISTS shop;
	CREATE DATABASE shop CHARACTER SET utf8mb4;
	USE shop;
	CREATE TABLE items (id int PRIMARY KEY AUTO_INCREMENT, name varchar(50), added timestamp DEFAULT '2026-11-21 02:00:00', KEY (name));
	CREATE TABLE sold (item int NOT NULL, FOREIGN KEY (item) REFERENCES items (id)) ENGINE=InnoDB;
	INSERT INTO items (name) SELECT CONCAT('item ', seq) FROM seq_1_to_3000;
	INSERT INTO sold SELECT 1 + seq % 3000 FROM seq_1_to_9000;
	S
	(umask 077 && printf '[client]\nsocket = %s\nuser = root\n' "$MARIA/s" >"$W/shop.cnf")
	printf '[component shop]\ntype = mysql\ndefaults-file = %s\ndatabases = shop\n' "$W/shop.cnf" >>"$W/vouch.conf"
}

shop_content() { my shop -e "CHECKSUM TABLE items, sold EXTENDED; SHOW CREATE TABLE items; SHOW CREATE TABLE sold"; }

@test "all: two services lost together, both back by one command; one type; one that fails does not keep the other" {
	ready
	with_shop
	vc run
	content >"$W/crm"
	shop_content >"$W/shop"
	sql "$D" -c "DROP TABLE orders CASCADE"
	my -e "DROP DATABASE shop"
	run vc recover --all --yes --json
	echo "$output"
	[ "$status" = 0 ]
	[ "$(grep -c '"type":"summary".*"outcome":"ok"' <<<"$output")" = 2 ]
	content | cmp "$W/crm" -
	shop_content | cmp "$W/shop" -

	my shop -e "DELETE FROM sold"
	sql "$D" -c "DELETE FROM orders"
	run vc recover --all --type mysql --yes
	echo "$output"
	[ "$status" = 0 ]
	shop_content | cmp "$W/shop" -
	[ "$(sql "$D" -c "SELECT count(*) FROM orders")" = 0 ]

	# PostgreSQL is not to be reached
	my shop -e "DELETE FROM sold"
	sed -i "s|host=$PG|host=$W|; s|^dsn.*|&\nwait = 0s|" "$W/vouch.conf"
	run vc recover --all --yes
	echo "$output"
	[ "$status" = 1 ]
	shop_content | cmp "$W/shop" -
	run vc recover --all --from nonsense --yes
	[ "$status" = 2 ]
}

@test "mysql: killed half-way, and run again; the way back is of what was there before the first" {
	ready
	with_shop
	vc run shop
	shop_content >"$W/shop"
	my shop -e "DELETE FROM sold WHERE item > 10; CREATE TABLE mine (a int); INSERT INTO mine VALUES (42)"
	my shop -e "CHECKSUM TABLE items, sold, mine EXTENDED" >"$W/lost"
	"$V" recover --config "$W/vouch.conf" shop --yes >"$W/log" 2>&1 3>&- &
	pid=$!
	# The way back is written down, and the restore begins
	for _ in $(seq 1000); do
		grep -qrs 'way-back' "$VOUCH_REPO/log" && break
		sleep 0.01
	done
	kill -9 "$pid"
	wait "$pid" || :
	run vc recover shop --yes
	echo "$output"
	[ "$status" = 0 ]
	shop_content | cmp "$W/shop" -
	vc rollback shop --list >"$W/ways"
	cat "$W/ways"
	[ "$(wc -l <"$W/ways")" = 2 ]
	# The newest is of what the killed one left, the other of what was there before it
	vc rollback shop --yes
	run vc rollback shop --yes
	echo "$output"
	[ "$status" = 0 ]
	[ "$(my shop -e "SELECT a FROM mine")" = 42 ]
	my shop -e "CHECKSUM TABLE items, sold, mine EXTENDED" | cmp "$W/lost" -
}

@test "mysql: what a killed recover had asked of the server comes to its end before the next one looks" {
	ready
	with_shop
	vc run shop
	shop_content >"$W/shop"
	my -e "SELECT GET_LOCK('vouch shop', 0); DO SLEEP(2); DROP DATABASE shop" &
	pid=$!
	until [ "$(my -e "SELECT IS_USED_LOCK('vouch shop') IS NOT NULL")" = 1 ]; do sleep 0.05; done
	run vc recover shop --yes
	echo "$output"
	[ "$status" = 0 ]
	wait $pid
	shop_content | cmp "$W/shop" -
}

@test "postgres: from a drive that is locked against writing" {
	root_only
	ready
	vc run
	content >"$W/before"
	sql "$D" -c "DELETE FROM orders"
	mount --bind "$VOUCH_REPO" "$VOUCH_REPO"
	mount -o remount,bind,ro "$VOUCH_REPO"
	run vc recover crm --yes
	umount "$VOUCH_REPO"
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"medium is read-only"* ]]
	[[ $output == *'will not know of this way back: {"kind"'* ]]
	content | cmp "$W/before" -
}
