#!/usr/bin/env bats
# What goes wrong while PostgreSQL is dumped: it is said, and nothing of it is in a snapshot as if it were good.

bats_require_minimum_version 1.5.0
load lib/pg.sh

setup_file() { pg_start; }
teardown_file() { pg_stop; }

setup()
{
	pg_setup
	sql "$DB" -c "CREATE TABLE t(id int PRIMARY KEY, x text); INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 9000) i" \
		-c "CREATE TABLE u(id int REFERENCES t); INSERT INTO u VALUES (1)"
}

# The run fails, says TEXT, and there is no snapshot.
fails_with()
{
	run vouch run
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"$1"* ]]
	[ "$(vouch snapshots --json | jq -s 'map(select(.name)) | length')" = 0 ]
	vouch history --failed | grep -q FAILED
}

@test "pg_dump is killed mid-way" {
	tool pg_dump '"$REAL" "$@" | head -c 300000; kill -9 $$'
	pg_conf "bin = $W/bin"
	fails_with "signal 9"
}

@test "pg_dump's archive is cut, and it says that all is well" {
	tool pg_dump '"$REAL" "$@" | head -c -200; exit 0'
	pg_conf "bin = $W/bin"
	fails_with "end of file"
}

@test "pg_dump writes nothing, and says that all is well" {
	tool pg_dump 'exit 0'
	pg_conf "bin = $W/bin"
	fails_with "cannot be read back"
}

@test "the disk of the producer is full" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	mkdir "$W/small"
	mount -t tmpfs -o size=256k none "$W/small"
	tool pg_dump '"$REAL" "$@" -f "$W/small/dump"; rc=$?; cat "$W/small/dump"; exit $rc'
	pg_conf "bin = $W/bin"
	run fails_with "No space left"
	umount "$W/small"
	echo "$output"
	[ "$status" -eq 0 ]
}

# A transaction that SQL begins is left open until vouch waits for its lock, then committed.
meanwhile()
{
	mkfifo "$W/fifo"
	sql "$DB" <"$W/fifo" 3>&- &
	exec 7>"$W/fifo"
	rm "$W/fifo"
	echo "BEGIN; $1; SELECT 1;" >&7
	while [ "$(sql "$DB" -c "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation IN ('t'::regclass, 'u'::regclass)")" = 0 ]; do
		sleep 0.1
	done
	(
		until [ "$(sql "$DB" -c "SELECT count(*) FROM pg_locks WHERE NOT granted")" != 0 ]; do sleep 0.1; done
		echo "COMMIT;" >&7
	) 3>&- &
	exec 7>&-
}

@test "a table dropped while it is dumped: once more" {
	meanwhile "DROP TABLE u"
	run vouch run
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"once more"* ]]
	[ "$(fact table public.t | jq -r .rows)" = 9000 ]
	[ -z "$(fact table public.u)" ]
	[ -z "$(fact constraint public.u.u_id_fkey)" ]
}

@test "a table truncated while it is dumped is not an empty one" {
	meanwhile "TRUNCATE u; INSERT INTO u VALUES (7)"
	run vouch run
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"u was truncated"*"once more"* || $output == *"once more"*"u was truncated"* ]]
	[ "$(fact table public.u | jq -r .rows)" = 1 ]
}

@test "a view dropped at every try" {
	tool pg_dump 'psql -qX -h "$PG" -U postgres -d "$DB" -c "DROP VIEW v" >/dev/null
		"$REAL" "$@"; rc=$?
		psql -qX -h "$PG" -U postgres -d "$DB" -c "CREATE VIEW v AS SELECT 1 AS a" >/dev/null
		exit $rc'
	sql "$DB" -c "CREATE VIEW v AS SELECT 1 AS a"
	pg_conf "bin = $W/bin"
	fails_with "once more"
}

@test "the server stops while it is dumped" {
	tool pg_dump 'set -o pipefail
		"$REAL" "$@" | { head -c 100000; read -r pid <"$PG/data/postmaster.pid"; kill -QUIT "$pid"
			tail --pid="$pid" -f /dev/null; cat; }'
	sql "$DB" -c "INSERT INTO t SELECT i, repeat(md5(i::text), 30) FROM generate_series(10001, 30000) i"
	pg_conf "bin = $W/bin"
	run fails_with "crm"
	pg_go
	echo "$output"
	[ "$status" -eq 0 ]
	pg_conf
	vouch run -q
}

@test "no server there" {
	sed -i "s|host=[^ ]*|host=$W/nobody|" "$W/v.conf"
	fails_with "not reached within 1 s"
	run vouch check crm
	echo "$output"
	[ "$status" -ne 0 ]
}

@test "a server that was stopped is started again by check --restart" {
	cat >"$W/again" <<-A
		#!/bin/bash
		. "$BATS_TEST_DIRNAME/lib/pg.sh"
		PG=$PG pg_go
	A
	chmod 755 "$W/again"
	echo "restart = $W/again" >>"$W/v.conf"
	pg_halt fast
	run vouch check crm
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"not reached within 1 s"* ]]
	run vouch check --restart crm
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"it is started again"*"reached: database"* ]]
}

@test "a wrong password; the right one appears nowhere" {
	sql postgres -c "DROP ROLE IF EXISTS secured" -c "CREATE ROLE secured LOGIN SUPERUSER PASSWORD 'geh3im'"
	pg_as sed -i '1i local all secured scram-sha-256' "$PG/data/pg_hba.conf"
	sql postgres -c "SELECT pg_reload_conf()" >/dev/null
	for t in psql pg_dump pg_dumpall pg_restore; do tool $t 'echo "$0 $*" >>"$W/argv"; exec "$REAL" "$@"'; done
	PGROLE=secured pg_conf "bin = $W/bin" 'password = ${CRM_PASSWORD}'
	export CRM_PASSWORD=falsch
	fails_with "password authentication failed"
	[[ $output != *falsch* ]]
	export CRM_PASSWORD=geh3im
	run vouch run --json
	[ "$status" -eq 0 ]
	[[ $output != *geh3im* ]]
	unset CRM_PASSWORD
	(umask 077; echo geh3im >"$W/secret")
	PGROLE=secured pg_conf "bin = $W/bin" "password-file = $W/secret"
	vouch recover crm --yes
	grep -q pg_restore "$W/argv"
	if grep -E 'geh3im|falsch' "$W/argv"; then false; fi
	if grep -r geh3im "$W/repo/log" "$W/state" "$W/cache"; then false; fi
	# in the connection string it would be seen
	PGROLE="secured password=geh3im" pg_conf
	run vouch run
	echo "$output"
	[ "$status" -eq 2 ]
	[[ $output != *geh3im* ]]
}

@test "no right to read one table; a view needs none" {
	sql postgres -c "DROP ROLE IF EXISTS reader" -c "CREATE ROLE reader LOGIN"
	sql "$DB" -c "CREATE VIEW v AS SELECT 1 AS a; GRANT SELECT ON t TO reader"
	PGROLE=reader pg_conf
	fails_with "permission denied for table u"
	run vouch check crm
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"u: no right to read"* ]]
	sql "$DB" -c "GRANT SELECT ON u TO reader"
	run vouch check crm
	echo "$output"
	[ "$status" -eq 0 ]
	vouch run -q
	[ "$(fact view public.v | jq -r .kind)" = view ]
}

@test "row security: a dump of some rows is none" {
	sql postgres -c "DROP ROLE IF EXISTS limited" -c "CREATE ROLE limited LOGIN"
	sql "$DB" -c "GRANT SELECT ON t, u TO limited; ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON t USING (id < 10)"
	PGROLE=limited pg_conf
	fails_with "row-level security"
	run vouch check crm
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"row security"* ]]
	sql postgres -c "ALTER ROLE limited BYPASSRLS"
	vouch run -q
	[ "$(fact table public.t | jq -r .rows)" = 9000 ]
}

@test "a table that is locked for too long" {
	sql "$DB" -c "BEGIN" -c "LOCK TABLE t" -c "SELECT pg_sleep(30)" >/dev/null 2>&1 3>&- &
	locker=$!
	while [ "$(sql "$DB" -c "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 't'::regclass")" = 0 ]; do
		sleep 0.1
	done
	pg_conf "lock-wait = 1s"
	fails_with "longer than lock-wait"
	kill $locker
}

@test "pg_dump older than the server" {
	TOLD='exec echo "pg_dump (PostgreSQL) 9.6.24"' tool pg_dump
	pg_conf "bin = $W/bin"
	run vouch check crm
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"pg_dump is of version 9, the server of"* ]]
}

@test "one of two fails: the other is saved" {
	printf '[component gone]\ntype = postgres\nwait = 0s\ndsn = host=%s dbname=gone user=postgres\n' "$PG" >>"$W/v.conf"
	run vouch run
	echo "$output"
	[ "$status" -eq 3 ]
	[ "$(fact table public.t | jq -r .rows)" = 9000 ]
	run ! vouch cat latest:postgres/gone/database.dump >/dev/null
}
