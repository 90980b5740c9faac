#!/usr/bin/env bats
# One table out of a PostgreSQL dump: missing or there, referred to, partitioned, oddly named; the others are as they were.

bats_require_minimum_version 1.5.0
load lib/pg.sh

setup_file() { pg_start; }
teardown_file() { pg_stop; }

setup()
{
	pg_setup
	sample "$DB" >/dev/null
	vouch run -q
}

@test "a table that is gone comes back whole" {
	sql "$DB" -c "ALTER TABLE shop.orders ADD CONSTRAINT c CHECK (id > 0); COMMENT ON CONSTRAINT c ON shop.orders IS 'c'" \
		-c "ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON shop.orders TO app USING (customer = 1)" \
		-c "CREATE RULE r AS ON DELETE TO shop.orders WHERE OLD.id < 0 DO INSTEAD NOTHING" \
		-c "DROP VIEW shop.open; DROP MATERIALIZED VIEW shop.totals"
	vouch run -q
	fingerprint "$DB" >"$W/before"
	sql "$DB" -c "DROP TABLE shop.orders CASCADE"
	run vouch recover crm --table shop.orders --yes
	echo "$output"
	[ "$status" -eq 0 ]
	fingerprint "$DB" | diff "$W/before" -
	[[ $output != *"views of the dump"* ]]
	# its numbers go on where they were
	[ "$(sql "$DB" -c "INSERT INTO shop.orders(customer) VALUES (1) RETURNING id")" = 901 ]
	vouch rollback crm --yes
	[ "$(sql "$DB" -c "SELECT to_regclass('shop.orders') IS NULL")" = t ]
	sql "$DB" -c "SELECT * FROM shop.line LIMIT 1" >/dev/null
}

@test "rows of a table that is there are replaced, the others stay, and back" {
	sql "$DB" -c "DELETE FROM shop.line WHERE orders < 500; UPDATE shop.line SET note = 'wrong'; INSERT INTO none VALUES (5)"
	fingerprint "$DB" >"$W/spoilt"
	run vouch recover crm --table line --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(sql "$DB" -c "SELECT count(*), count(*) FILTER (WHERE note = 'wrong') FROM shop.line")" = '900|0' ]
	[ "$(sql "$DB" -c "SELECT count(*) FROM none")" = 1 ]
	fingerprint "$DB" | grep -v '^shop.line ' >"$W/others"
	grep -v '^shop.line ' "$W/spoilt" | diff - "$W/others"
	run vouch rollback crm --yes
	echo "$output"
	[ "$status" -eq 0 ]
	fingerprint "$DB" | diff "$W/spoilt" -
	[ "$(sql "$DB" -c "SELECT to_regnamespace('vouch_before') IS NULL")" = t ]
}

@test "a table that others refer to: they keep their rows" {
	sql "$DB" -c "UPDATE shop.customer SET email = 'gone' || id; INSERT INTO shop.customer(email) VALUES ('newer')"
	run vouch recover crm --table shop.customer --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(sql "$DB" -c "SELECT (SELECT count(*) FROM shop.orders), (SELECT count(*) FROM shop.line), (SELECT count(*) FROM shop.customer
		WHERE email ~ '^u')")" = '900|900|300' ]
	# never given twice: 301 was
	[ "$(sql "$DB" -c "INSERT INTO shop.customer(email) VALUES ('next') RETURNING id")" = 302 ]
	# the rows of before are in no dump
	vouch run -q
	[[ $(saved facts.json) != *vouch_before* ]]
}

@test "orphans, either way: nothing is changed" {
	sql "$DB" -c "INSERT INTO shop.customer(email) VALUES ('newer')" -c "INSERT INTO shop.orders(customer) VALUES (301)"
	fingerprint "$DB" >"$W/before"
	run vouch recover crm --table shop.customer --yes
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"1 rows of shop.orders would refer to rows of shop.customer that are not there"* ]]
	fingerprint "$DB" | diff "$W/before" -
	# both together have none
	run vouch recover crm --table shop.customer --table shop.orders --yes
	echo "$output"
	[ "$status" -eq 0 ]

	sql "$DB" -c "DELETE FROM shop.customer WHERE id = 7"
	fingerprint "$DB" >"$W/before"
	run vouch recover crm --table shop.orders --yes
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"of shop.orders would refer to rows of shop.customer"* ]]
	fingerprint "$DB" | diff "$W/before" -
}

@test "a partitioned table, an odd name, one with no columns, several at once" {
	fingerprint "$DB" >"$W/before"
	sql "$DB" -c 'DELETE FROM ev; DROP TABLE "Odd ""name""; --"; DELETE FROM nothing'
	run vouch recover crm --table ev --table '"Odd ""name""; --"' --table nothing --yes
	echo "$output"
	[ "$status" -eq 0 ]
	fingerprint "$DB" | diff "$W/before" -
	sql "$DB" -c 'DROP TABLE ev'
	run vouch recover crm --table public.ev --yes
	echo "$output"
	[ "$status" -eq 0 ]
	fingerprint "$DB" | diff "$W/before" -
}

@test "views that went with a table are named" {
	sql "$DB" -c "DROP TABLE shop.orders CASCADE"
	run vouch recover crm --table shop.orders --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"not there"*"shop.open, shop.totals"* ]]
}

@test "names that would end a quote, sequences of a partitioned table" {
	sql "$DB" <<-'S'
	CREATE TABLE "$vouch$; SELECT 1/0; --"("it's; $vouch$
	:x" serial PRIMARY KEY);
	CREATE TABLE "r\'"(x int REFERENCES "$vouch$; SELECT 1/0; --");
	CREATE TABLE part(id bigserial) PARTITION BY RANGE (id);
	CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (1) TO (100);
	INSERT INTO "$vouch$; SELECT 1/0; --" SELECT FROM generate_series(1, 7);
	INSERT INTO "r\'" VALUES (7);
	INSERT INTO part SELECT FROM generate_series(1, 9);
	S
	vouch run -q
	fingerprint "$DB" >"$W/before"
	sql "$DB" -c 'DELETE FROM "r\'"'"'"' -c 'DELETE FROM "$vouch$; SELECT 1/0; --"; DELETE FROM part; ALTER SEQUENCE part_id_seq RESTART 2'
	run vouch recover crm --table 'public."$vouch$; SELECT 1/0; --"' --table 'public."r\'"'"'"' --table part --yes
	echo "$output"
	[ "$status" -eq 0 ]
	fingerprint "$DB" | diff "$W/before" -
	[ "$(sql "$DB" -c "INSERT INTO part DEFAULT VALUES RETURNING id")" = 10 ]
}

@test "under its name there is a view, or a table whose rows are elsewhere" {
	sql "$DB" -c "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE far(id int) SERVER s"
	vouch run -q
	sql "$DB" -c "ALTER TABLE none RENAME TO none_2; CREATE VIEW none AS SELECT * FROM none_2"
	for t in none far; do
		run vouch recover crm --table $t --table nothing --yes
		echo "$output"
		[ "$status" -eq 1 ]
		[[ $output == *"public.$t is a view or a foreign table"* ]]
	done
}

@test "a restore that failed leaves no way back: what is made since is not dropped" {
	sql "$DB" -c "DROP TABLE shop.line"
	tool pg_restore 'case $* in *-L*) "$REAL" "$@"; echo "SELECT 1/0;" ;; *) exec "$REAL" "$@" ;; esac'
	pg_conf "bin = $W/bin"
	run vouch recover crm --table shop.line --yes
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"division by zero"* ]]
	sql "$DB" -c "CREATE TABLE shop.line(mine int)"
	run vouch rollback crm --yes
	echo "$output"
	[ "$status" -ne 0 ]
	sql "$DB" -c "SELECT mine FROM shop.line"
}

@test "a table that others have locked" {
	sql "$DB" -c "BEGIN" -c "LOCK TABLE shop.line IN SHARE MODE" -c "SELECT pg_sleep(60)" >/dev/null 2>&1 3>&- &
	locker=$!
	until [ "$(sql "$DB" -c "SELECT count(*) FROM pg_locks WHERE mode = 'ShareLock' AND relation = 'shop.line'::regclass")" = 1 ]; do sleep 0.1; done
	pg_conf "lock-wait = 1s"
	run timeout 60 "$V" recover --config "$W/v.conf" crm --table shop.line --yes
	kill $locker
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"longer than lock-wait"* ]]
}

@test "--table that does not exist" {
	run vouch recover crm --table shop.order --yes
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"shop.order"* ]]
	run vouch recover crm --table 'a.b.c' --yes
	echo "$output"
	[ "$status" -ne 0 ]
}

@test "another shape: the old rows do not fit, nothing is changed" {
	sql "$DB" -c "ALTER TABLE shop.line DROP COLUMN note"
	fingerprint "$DB" >"$W/before"
	run vouch recover crm --table shop.line --yes
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"note"* ]]
	fingerprint "$DB" | diff "$W/before" -
}

@test "without a superuser" {
	sql postgres -c "CREATE ROLE plain_$DB LOGIN" -c "GRANT postgres TO plain_$DB"
	pg_conf "restore-dsn = host=$PG dbname=$DB user=plain_$DB"
	run vouch recover crm --table shop.line --yes
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"session_replication_role"* ]]
	sql postgres -c "GRANT SET ON PARAMETER session_replication_role TO plain_$DB" -c "GRANT CREATE ON DATABASE $DB TO plain_$DB"
	run vouch recover crm --table shop.line --yes
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "killed half-way, nothing is changed" {
	fingerprint "$DB" >"$W/before"
	tool pg_restore 'case $* in *-L*) "$REAL" "$@"; touch "$W/filled"; exec sleep 60 ;; *) exec "$REAL" "$@" ;; esac'
	pg_conf "bin = $W/bin"
	"$V" recover --config "$W/v.conf" crm --table shop.line --yes >/dev/null 2>&1 3>&- &
	pid=$!
	until [ -e "$W/filled" ]; do sleep 0.1; done
	kill -9 $pid
	wait $pid || true
	until [ "$(sql postgres -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'vouch'")" = 0 ]; do sleep 0.1; done
	fingerprint "$DB" | diff "$W/before" -
	pg_conf
	vouch recover crm --table shop.line --yes
}
