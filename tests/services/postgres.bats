#!/usr/bin/env bats
# PostgreSQL, a real server: dumped, lost, brought back and compared; what a dump records; what it shares with yesterday's.

bats_require_minimum_version 1.5.0
load lib/pg.sh

setup_file()
{
	pg_start 'max_locks_per_transaction = 2000' 3>&-
}

teardown_file()
{
	pg_stop
}

setup() { pg_setup; }

# Of a database: who may connect, what is set, in one order
settings()
{
	sql postgres -c "SELECT datconnlimit, shobj_description(oid, 'pg_database'), (SELECT string_agg(w::text, ' ' ORDER BY w::text)
		FROM unnest(datacl) w), (SELECT string_agg(setrole || w, ' ' ORDER BY setrole, w)
		FROM pg_db_role_setting s, unnest(setconfig) w WHERE setdatabase = d.oid) FROM pg_database d WHERE datname = '$DB'"
}

@test "a database is dumped, lost, brought back, and equal" {
	sample "$DB"
	sql postgres -c "ALTER DATABASE $DB SET work_mem = '5MB'" -c "ALTER DATABASE $DB SET search_path = \"\$user\", shop" \
		-c "ALTER DATABASE $DB SET default_transaction_read_only = on" \
		-c "ALTER ROLE app IN DATABASE $DB SET lock_timeout = '3s'" -c "REVOKE CONNECT ON DATABASE $DB FROM PUBLIC" \
		-c "GRANT CONNECT ON DATABASE $DB TO app" -c "ALTER DATABASE $DB CONNECTION LIMIT 17" \
		-c "COMMENT ON DATABASE $DB IS 'customers'"
	fingerprint "$DB" >"$W/before"
	settings >"$W/settings"
	vouch run -q

	sql postgres -c "DROP DATABASE $DB"
	run vouch recover crm --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *" 0 different"* ]]
	fingerprint "$DB" >"$W/after"
	diff "$W/before" "$W/after"
	settings | diff "$W/settings" -
}

@test "what is recorded is what the server says, at one instant, under a writer" {
	sample "$DB"
	sql "$DB" -c "CREATE TABLE w(a int); CREATE TABLE w2(a int)"
	( while sql "$DB" -c "BEGIN; INSERT INTO w VALUES (1); INSERT INTO w2 VALUES (1); COMMIT"; do :; done ) 2>/dev/null 3>&- &
	writer=$!
	vouch run -q
	kill $writer
	wait $writer || true
	[ "$(fact table public.w | jq -r '.rows, .sum')" = "$(fact table public.w2 | jq -r '.rows, .sum')" ]
	[ "$(fact table shop.orders | jq -r .rows)" = 900 ]
	[ "$(fact table public.none | jq -r .rows)" = 0 ]
	[ "$(fact table public.nothing | jq -r .rows)" = 1 ]
	[ "$(fact table 'public."Odd ""name""; --"' | jq -r .rows)" = 3 ]
	[ "$(fact table public.ev | jq -r .rows)" = null ]
	[ "$(fact table public.ev_1 | jq -r .rows)" = 181 ]
	[ "$(fact 'large objects' all | jq -r .rows)" = 1 ]
	[ "$(fact sequence shop.orders_id_seq | jq -r .value)" = 900 ]
	[ "$(fact constraint shop.line.line_orders_fkey | jq -r .to)" = shop.orders ]
	[ "$(fact role app | jq -r .name)" = app ]
	saved facts.json | jq -e '.position.wal and .server and .tool and .settings.encoding == "UTF8"'
	saved globals.sql | grep -q 'CREATE ROLE app;'
	# the archive is one that PostgreSQL's own tool restores
	sql postgres -c "CREATE DATABASE ${DB}_by_hand"
	saved database.dump | "$BIN/pg_restore" -e -h "$PG" -U postgres -d "${DB}_by_hand"
	[ "$(sql "${DB}_by_hand" -c 'SELECT count(*) FROM shop.line')" = 900 ]
}

@test "the position in the log is the snapshot's, not that of the dump's end" {
	sql "$DB" -c "CREATE TABLE t(a int)"
	tool pg_dump 'psql -XqAt -h "$PG" -U postgres -d "$DB" -c "INSERT INTO t VALUES (1)" -c "SELECT pg_switch_wal()" >"$W/later"
		exec "$REAL" "$@"'
	pg_conf "bin = $W/bin"
	vouch run -q
	[ "$(fact table public.t | jq -r .rows)" = 0 ]
	[ "$(sql postgres -c "SELECT '$(saved facts.json | jq -r .position.wal)'::pg_lsn < '$(cat "$W/later")'")" = t ]
}

@test "an empty database" {
	vouch run -q
	sql postgres -c "DROP DATABASE $DB"
	vouch recover crm --yes
	[ "$(sql "$DB" -c 'SELECT count(*) FROM pg_tables WHERE schemaname = $$public$$')" = 0 ]
}

@test "day two: what did not change is not stored again" {
	"$BIN/pgbench" -h "$PG" -U postgres -iq -s 2 "$DB" >/dev/null 2>&1
	vouch run -q
	run vouch run --json
	[ "$status" -eq 0 ]
	new=$(jq -s 'map(select(.new_bytes != null)) | last | .new_bytes | tonumber' <<<"$output")
	[ "$new" -lt 200000 ]
	# one row in a hundred, all in one place
	sql "$DB" -c "UPDATE pgbench_accounts SET abalance = 1 WHERE aid <= 2000" -c "VACUUM FULL pgbench_accounts"
	run vouch run --json
	new=$(jq -s 'map(select(.new_bytes != null)) | last | .new_bytes | tonumber' <<<"$output")
	echo "new bytes of 20 MB: $new"
	[ "$new" -lt 1000000 ]
}

@test "the page's GRANT lines suffice for a dump" {
	sample "$DB"
	sql "$DB" -c "SELECT lo_unlink(oid) FROM pg_largeobject_metadata" -c "DROP ROLE IF EXISTS vouch_reader"
	grep -E '^(CREATE ROLE|GRANT) .*vouch_reader' "$BATS_TEST_DIRNAME/../../man/vouch.conf.5" |
		sed "s/DATABASE crm/DATABASE $DB/" >"$W/grants.sql"
	[ "$(wc -l <"$W/grants.sql")" -ge 3 ]
	sql "$DB" <"$W/grants.sql"
	sql postgres -c "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC"
	PGROLE=vouch_reader pg_conf
	run vouch check crm
	echo "$output"
	[ "$status" -eq 0 ]
	run vouch run
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(fact table shop.orders | jq -r .rows)" = 900 ]
	# hashes of passwords are for superusers
	[[ $(saved globals.sql) != *SCRAM* ]]
}

@test "ten thousand tables" {
	sql "$DB" -c "DO \$\$ BEGIN FOR i IN 1..10000 LOOP EXECUTE format('CREATE TABLE t%s(a int)', i); END LOOP; END \$\$"
	sql "$DB" -c "INSERT INTO t10000 VALUES (1)"
	vouch run -q
	[ "$(fact table public.t10000 | jq -r .rows)" = 1 ]
	[ "$(saved facts.json | jq '[.items[] | select(.kind == "table")] | length')" = 10000 ]
	sql "$DB" -c "DROP TABLE t77"
	vouch recover crm --table t77 --yes
	[ "$(sql "$DB" -c "SELECT count(*) FROM pg_tables WHERE tablename ~ '^t[0-9]+\$'")" = 10000 ]
}
