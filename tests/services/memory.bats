#!/usr/bin/env bats
# A database that is much larger than the memory that vouch may take: VOUCH_BIG=MiB of rows (150; 2048 is what is promised), 100 MiB
# of memory at most, and no temporary copy.

load lib/pg.sh

setup()
{
	PG=
	W=$(mktemp -d "${TMPDIR:-/tmp}/vouch-memory.XXXXXX")
	chmod 755 "$W"
	mkdir "$W/tmp"
	MIB=${VOUCH_BIG:-150}
	"$VOUCH" init "$W/repo" >/dev/null
}

teardown()
{
	pg_stop
	sh "$BATS_TEST_DIRNAME/lib/maria.sh" stop "$W/my"
	rm -rf "$W"
}

# conf LINE...: of the component
conf()
{
	(umask 077 && printf '%s\n' '[repository]' "path = $W/repo" '[component big]' "$@" >"$W/vouch.conf")
}

# within COMMAND...: it succeeds within the memory, and leaves nothing in the folder for temporary files.
within()
{
	TMPDIR=$W/tmp python3 "$BATS_TEST_DIRNAME/lib/peak.py" "$W/peak" "$VOUCH" "$@" --config "$W/vouch.conf" >"$W/out" 2>&1 ||
		{ cat "$W/out"; return 1; }
	echo "$1: $(cat "$W/peak") MiB"
	[ "$(cat "$W/peak")" -le 100 ] || return 1
	[ -z "$(ls -A "$W/tmp")" ]
}

@test "PostgreSQL: run and recover" {
	pg_start 'max_wal_size = 8GB'
	sql postgres -c "create database big"
	sql big -c "create unlogged table t as select i as id, md5(i::text) || md5((i + 1)::text) || repeat(chr(65 + i % 26), 980) as note
		from generate_series(1, $MIB * 1024 + 1000) i"
	conf 'type = postgres' "dsn = host=$PG dbname=big user=postgres"
	within run
	[ "$("$VOUCH" --repo "$W/repo" history --json | jq -s '.[0].size_bytes | tonumber')" -gt $((MIB << 20)) ]
	sql big -c "delete from t where id % 3 = 0"
	within recover big --yes
	[ "$(sql big -c "select count(*) from t")" = $((MIB * 1024 + 1000)) ]
}

@test "MariaDB: run and recover" {
	sh "$BATS_TEST_DIRNAME/lib/maria.sh" start "$W/my" || { cat "$W/my/log"; return 1; }
	mariadb() { command mariadb --no-defaults --socket="$W/my/s" -u root "$@"; }
	mariadb -e "create database big; use big; set sql_log_bin = 0; create table t (id int primary key, note varchar(1100)) charset ascii
		as select seq as id, concat(md5(seq), md5(seq + 1), repeat(char(65 + seq % 26), 980)) as note
		from seq_1_to_$((MIB * 1024 + 1000))"
	printf '[client]\nsocket=%s\nuser=root\n' "$W/my/s" >"$W/my.cnf"
	chmod 600 "$W/my.cnf"
	conf 'type = mysql' "defaults-file = $W/my.cnf" 'databases = big'
	within run
	[ "$("$VOUCH" --repo "$W/repo" history --json | jq -s '.[0].size_bytes | tonumber')" -gt $((MIB << 20)) ]
	mariadb -e "set sql_log_bin = 0; delete from big.t where id % 3 = 0"
	within recover big --yes
	[ "$(mariadb -BNe "select count(*) from big.t")" = $((MIB * 1024 + 1000)) ]
}
