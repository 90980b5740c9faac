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

@test "what comes back as it was is valid: a key by an operator of an extension, a check not validated, a subscription" {
	sql "$DB" <<-'S'
	CREATE EXTENSION citext;
	CREATE TABLE p(id citext PRIMARY KEY);
	CREATE TABLE c(p citext REFERENCES p, n int);
	INSERT INTO p VALUES ('A');
	INSERT INTO c VALUES ('a', -1);
	ALTER TABLE c ADD CONSTRAINT later CHECK (n > 0) NOT VALID;
	CREATE SUBSCRIPTION sub CONNECTION 'host=/nowhere dbname=x' PUBLICATION x WITH (connect = false, slot_name = NONE);
	S
	vouch run -q
	run vouch validate crm
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"never validated"*"c.later"* || $output == *"c.later"*"never validated"* ]]
	[ "$(temporary)" = 0 ]
	sql "$DB" -c "DROP SUBSCRIPTION sub"
}

# A statement of vouch's that is still at work
at_work() { [ "$(sql postgres -c "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query ~ 'pg_sleep'")" != 0 ]; }

@test "what a validate that was killed had asked does not go on in the server" {
	pg_conf 'expect = SELECT 1 FROM pg_sleep(3600) = 1'
	vouch run -q
	"$V" validate --config "$W/v.conf" crm --live >/dev/null 2>&1 3>&- &
	pid=$!
	until at_work; do sleep 0.1; done
	kill -9 $pid
	wait $pid || true
	for _ in $(seq 200); do
		at_work || return 0
		sleep 0.1
	done
	return 1
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
