#!/usr/bin/env bats
# A dump of PostgreSQL restored into a temporary database, on the same server or another, and proven.

bats_require_minimum_version 1.5.0
load lib/pg.sh

setup_file() { pg_start; }
teardown_file() { pg_stop; }

setup()
{
	pg_setup
	sample "$DB" >/dev/null
}

temporary() { sql postgres -c "SELECT count(*) FROM pg_database WHERE datname ~ '^vouch_'"; }

@test "valid: compared, asked, and nothing is left" {
	pg_conf 'expect = SELECT count(*) FROM shop.orders = 900' 'not-null = shop.orders.customer' \
		'orphans = shop.line.orders shop.orders.id'
	vouch run -q
	fingerprint "$DB" >"$W/before"
	run vouch validate crm
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"foreign keys: no orphans"* ]]
	[ "$(temporary)" = 0 ]
	fingerprint "$DB" | diff "$W/before" -
	run vouch validate crm --live
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "rows that contradict their foreign key are found" {
	sql "$DB" -c "SET session_replication_role = replica; UPDATE shop.line SET orders = 5000 WHERE orders = 5"
	run vouch run
	[ "$status" -eq 0 ]
	# such a dump loads nowhere: its foreign key cannot be made
	run vouch validate crm
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"line_orders_fkey"* ]]
	[ "$(temporary)" = 0 ]
	run vouch validate crm --live
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"1 rows of shop.line refer to rows of shop.orders that are not there"* ]]
}

@test "a validate that was killed is cleared up by the next" {
	vouch run -q
	tool pg_restore 'case $* in *-e*) "$REAL" "$@"; touch "$W/filled"; exec sleep 60 ;; *) exec "$REAL" "$@" ;; esac'
	pg_conf "bin = $W/bin"
	"$V" validate --config "$W/v.conf" crm >/dev/null 2>&1 3>&- &
	pid=$!
	until [ -e "$W/filled" ]; do sleep 0.1; done
	kill -9 $pid
	wait $pid || true
	[ "$(temporary)" = 1 ]
	pg_conf
	run vouch validate crm
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(temporary)" = 0 ]
}

@test "on another server" {
	vouch run -q
	FIRST=$PG
	pg_start
	OTHER=$PG PG=$FIRST
	pg_conf "validate-dsn = host=$OTHER dbname=postgres user=postgres" "create-roles = yes"
	run vouch validate crm
	echo "$output"
	found=$(PG=$OTHER sql postgres -c "SELECT count(*) FROM pg_roles WHERE rolname = 'app'")
	PG=$OTHER
	pg_stop
	PG=$FIRST
	[ "$status" -eq 0 ]
	[ "$found" = 1 ]
}
