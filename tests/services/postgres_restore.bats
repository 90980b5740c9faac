#!/usr/bin/env bats
# PostgreSQL databases brought back: where one is in the way, is in use, is another; where a restore fails or is killed.

bats_require_minimum_version 1.5.0
load lib/pg.sh

setup_file() { pg_start; }
teardown_file() { pg_stop; }

setup()
{
	pg_setup
	sql "$DB" -c "CREATE TABLE t(id serial PRIMARY KEY, x text); INSERT INTO t(x) SELECT 'a' || i FROM generate_series(1, 500) i"
}

databases() { sql postgres -c "SELECT datname FROM pg_database WHERE datname ~ '^${DB}(_|\$)' ORDER BY 1"; }
rows() { sql "${1:-$DB}" -c "SELECT count(*) FROM t"; }

@test "a database that exists and has connections: swapped by renames, and back" {
	sql "$DB" -c "CREATE SUBSCRIPTION sub CONNECTION 'host=/nowhere dbname=x' PUBLICATION x WITH (connect = false, slot_name = NONE)"
	vouch run -q
	sql "$DB" -c "DELETE FROM t WHERE id > 10"
	# one that is idle, one that writes and comes back as soon as it is thrown out
	sql "$DB" -c "SELECT pg_sleep(60)" >/dev/null 2>&1 3>&- &
	sleeper=$!
	( for _ in $(seq 200); do sql "$DB" -c "INSERT INTO t(x) VALUES ('new')"; done ) >/dev/null 2>&1 3>&- &
	writer=$!
	while [ "$(sql postgres -c "SELECT count(*) FROM pg_stat_activity WHERE datname = '$DB' AND query ~ 'pg_sleep'")" = 0 ]; do sleep 0.1; done
	run vouch recover crm --yes --dry-run
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(databases)" = "$DB" ]
	run vouch recover crm --yes
	kill $writer $sleeper 2>/dev/null || true
	echo "$output"
	[[ $output == *"sessions in database $DB were ended"* ]]
	[[ $output == *"subscription sub goes on in the database as it was before"* ]]
	[ "$(sql "$DB" -c "SELECT count(*) FROM t WHERE x <> 'new'")" = 500 ]
	before=$(databases | grep _before_)
	[ "$(sql "$before" -c "SELECT count(*) FROM t WHERE x <> 'new'")" = 10 ]

	run vouch rollback crm --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(sql "$DB" -c "SELECT count(*) FROM t WHERE x <> 'new'")" = 10 ]
	undone=$(databases | grep _undone_)
	[ "$(sql "$undone" -c "SELECT count(*) FROM t WHERE x <> 'new'")" = 500 ]
	[ "$(databases | wc -l)" = 2 ]
}

@test "a user whose sessions are kept is in it: nothing is changed" {
	sql postgres -c "DROP ROLE IF EXISTS keeper" -c "CREATE ROLE keeper LOGIN"
	pg_conf "keep-users = other keeper"
	vouch run -q
	PGROLE=keeper sql "$DB" -c "SELECT pg_sleep(60)" >/dev/null 2>&1 3>&- &
	sleeper=$!
	while [ "$(sql postgres -c "SELECT count(*) FROM pg_stat_activity WHERE usename = 'keeper'")" = 0 ]; do sleep 0.1; done
	run vouch recover crm --yes
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"keeper, whom keep-users names"* ]]
	kill $sleeper
	[ "$(databases)" = "$DB" ]
	[ "$(rows)" = 500 ]
}

@test "a database of another encoding is in the way" {
	vouch run -q
	sql postgres -c "DROP DATABASE $DB" -c "CREATE DATABASE $DB TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'"
	run vouch recover crm --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(sql "$DB" -c "SHOW server_encoding")" = UTF8 ]
	[ "$(sql "$(databases | grep _before_)" -c "SHOW server_encoding")" = LATIN1 ]
}

@test "a database in LATIN1 comes back in LATIN1" {
	sql postgres -c "DROP DATABASE $DB" -c "CREATE DATABASE $DB TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'"
	latin() { PGCLIENTENCODING=UTF8 sql "$DB" "$@"; }
	latin -c "CREATE TABLE \"ä\"(x text); INSERT INTO \"ä\" VALUES ('ü')"
	vouch run -q
	sql postgres -c "DROP DATABASE $DB"
	run vouch recover crm --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(latin -c "SELECT x, octet_length(x) FROM \"ä\"")" = 'ü|1' ]
	latin -c "DELETE FROM \"ä\""
	run vouch recover crm --table 'public."ä"' --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(latin -c "SELECT x FROM \"ä\"")" = ü ]
}

@test "a database that says nothing of its encoding comes back byte for byte" {
	sql postgres -c "DROP DATABASE $DB" -c "CREATE DATABASE $DB TEMPLATE template0 ENCODING SQL_ASCII LOCALE 'C'"
	printf "CREATE TABLE t(x text); INSERT INTO t VALUES ('\\344'), ('\\303\\244')" | PGCLIENTENCODING=SQL_ASCII sql "$DB"
	vouch run -q
	sql postgres -c "DROP DATABASE $DB"
	run vouch recover crm --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(sql "$DB" -c "SELECT string_agg(encode(x::bytea, 'hex'), ' ' ORDER BY x) FROM t")" = 'c3a4 e4' ]
}

@test "a role is missing: said before anything is done, or made on request" {
	sql postgres -c "CREATE ROLE owner_$DB CREATEDB VALID UNTIL '2030-01-01'" -c "CREATE ROLE \"The $DB\""
	sql "$DB" -c "ALTER TABLE t OWNER TO owner_$DB; GRANT SELECT ON t TO \"The $DB\""
	vouch run -q
	sql postgres -c "DROP DATABASE $DB" -c "DROP ROLE owner_$DB" -c "DROP ROLE \"The $DB\""
	run vouch recover crm --yes
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"owner_$DB"* && $output == *"create-roles = yes"* ]]
	[ -z "$(databases)" ]
	pg_conf "create-roles = yes"
	run vouch recover crm --dry-run
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"make role owner_$DB"* ]]
	[ "$(sql postgres -c "SELECT count(*) FROM pg_roles WHERE rolname = 'owner_$DB'")" = 0 ]
	run vouch recover crm --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(sql postgres -c "SELECT rolcreatedb, rolvaliduntil IS NOT NULL FROM pg_roles WHERE rolname = 'owner_$DB'")" = 't|t' ]
	[ "$(sql "$DB" -c "SELECT tableowner FROM pg_tables WHERE tablename = 't'")" = "owner_$DB" ]
}

@test "as a role that owns nothing" {
	vouch run -q
	sql postgres -c "CREATE ROLE small_$DB LOGIN" -c "CREATE ROLE owner_$DB"
	pg_conf "restore-dsn = host=$PG dbname=$DB user=small_$DB"
	run vouch recover crm --yes
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"may not make databases: ALTER ROLE small_$DB CREATEDB"* ]]
	sql postgres -c "ALTER ROLE small_$DB CREATEDB"
	run vouch recover crm --yes
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"no member of postgres, who owns public.t"* ]]
	[ "$(databases)" = "$DB" ]
	[ "$(rows)" = 500 ]
	# what belongs to a role that it is a member of, it restores
	sql postgres -c "ALTER DATABASE $DB OWNER TO owner_$DB" -c "GRANT owner_$DB TO small_$DB"
	sql "$DB" -c "ALTER TABLE t OWNER TO owner_$DB"
	vouch run -q
	sql "$DB" -c "DELETE FROM t"
	# what somebody else made in the maintenance database is not taken for the system's
	sql postgres -c "CREATE FUNCTION public.pg_has_role(name, text, text) RETURNS bool LANGUAGE sql AS 'SELECT 1 / 0 = 1'"
	run vouch recover crm --yes
	sql postgres -c "DROP FUNCTION public.pg_has_role"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(rows)" = 500 ]
}

@test "a server that ends idle sessions" {
	vouch run -q
	tool pg_restore 'case $* in *-e*) "$REAL" "$@" || exit; sleep 1 ;; *) exec "$REAL" "$@" ;; esac'
	pg_conf "bin = $W/bin"
	sql postgres -c "ALTER DATABASE postgres SET idle_session_timeout = '300ms'"
	run vouch recover crm --yes
	sql postgres -c "ALTER DATABASE postgres RESET idle_session_timeout"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "killed half-way, and run again" {
	vouch run -q
	tool pg_restore 'case $* in *-e*) "$REAL" "$@"; touch "$W/filled"; exec sleep 60 ;; *) exec "$REAL" "$@" ;; esac'
	pg_conf "bin = $W/bin"
	"$V" recover --config "$W/v.conf" crm --yes >/dev/null 2>&1 3>&- &
	pid=$!
	until [ -e "$W/filled" ]; do sleep 0.1; done
	kill -9 $pid
	wait $pid || true
	half=$(databases | grep _restoring_)
	[ "$(rows)" = 500 ]
	# what somebody goes on with under another name keeps its mark, and is not vouch's any more
	sql postgres -c "CREATE DATABASE ${DB}_mine TEMPLATE \"$half\""
	sql postgres -c "SELECT format('COMMENT ON DATABASE ${DB}_mine IS %L', shobj_description(oid, 'pg_database'))
		FROM pg_database WHERE datname = '$half'" | sql postgres
	pg_conf
	run vouch recover crm --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"$half, left by a restore that was killed, is dropped"* ]]
	[ "$(rows "${DB}_mine")" = 500 ]
	[ "$(databases | wc -l)" = 3 ]
}

@test "pg_restore fails half-way: nothing is left, nothing is changed" {
	vouch run -q
	tool pg_restore 'case $* in *-e*) head -c 3000 | "$REAL" "$@" ;; *) exec "$REAL" "$@" ;; esac'
	pg_conf "bin = $W/bin"
	run vouch recover crm --yes
	echo "$output"
	[ "$status" -eq 1 ]
	[ "$(databases)" = "$DB" ]
	[ "$(rows)" = 500 ]
}

@test "a pg_restore that proves nothing proves nothing" {
	tool pg_restore 'case $* in *"-a "*) cat >/dev/null; exit 0 ;; *) exec "$REAL" "$@" ;; esac'
	tool pg_dump '"$REAL" "$@" | head -c -200; exit 0'
	pg_conf "bin = $W/bin"
	run vouch run
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"left the rows of public.t out"* ]]
}

@test "into another database, which is kept; several jobs" {
	vouch run -q
	sql postgres -c "CREATE DATABASE ${DB}_other"
	sql "${DB}_other" -c "CREATE TABLE mine(a int)"
	sql "$DB" -c "DELETE FROM t WHERE id = 1"
	run vouch recover crm --into "${DB}_other" --jobs 2 --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(rows "${DB}_other")" = 500 ]
	[ "$(rows)" = 499 ]
	sql "$(databases | grep _other_before_)" -c "SELECT * FROM mine"
}

@test "a name of 63 bytes, with all that can be wrong in one" {
	odd="nnn -\"odd\" it's \\ \$(x) a=b $(printf 'n%.0s' $(seq 33))äx"
	sql postgres -c "CREATE DATABASE \"${odd//\"/\"\"}\" TEMPLATE $DB"
	quoted=${odd//\\/\\\\}
	DB="'${quoted//\'/\\\'}'" pg_conf
	sed -i 's/\$(x)/${PART}/' "$W/v.conf"
	export PART='$(x)'
	vouch run -q
	vouch recover crm --yes
	vouch rollback crm --yes
	[ "$(sql postgres -c "SELECT count(*) FROM pg_database WHERE datname ~ '^nnn'")" = 2 ]
	sql postgres -c "SELECT format('DROP DATABASE %I;', datname) FROM pg_database WHERE datname ~ '^nnn'" | sql postgres
}

@test "a standby is not restored into" {
	vouch run -q
	PRIMARY=$PG
	S=$(mktemp -u "${TMPDIR:-/tmp}/vouch-standby.XXXXXX")
	mkdir "$S"
	chown postgres: "$S"
	chmod 700 "$S"
	pg_as "$BIN/pg_basebackup" -h "$PRIMARY" -U postgres -D "$S/data" -R -c fast
	pg_as tee -a "$S/data/postgresql.conf" >/dev/null <<<"unix_socket_directories = '$S'"
	PG=$S
	chmod 755 "$S"
	pg_go
	pg_conf
	run vouch recover crm --yes
	kept=$output rc=$status
	# dumped it can be
	run vouch run
	pg_halt
	rm -rf "$S"
	PG=$PRIMARY
	echo "$kept"
	echo "$output"
	[ "$rc" -eq 1 ]
	[[ $kept == *"is a standby"* ]]
	[ "$status" -eq 0 ]
}
