#!/usr/bin/env bats
# A password that servers insist on is in no argument of any program, no message, no JSON, no log and no snapshot; and a wrong one is told
# without it.

load ../cli/helper
load lib/pg.sh

SECRET=hunter2-geheim
WRONG=hunter3-falsch

setup_file()
{
	export DB
	pg_start 'password_encryption = scram-sha-256'
	DB=$(mktemp -d "${TMPDIR:-/tmp}/vouch-secrets.XXXXXX")
	chmod 755 "$DB"
}

teardown_file()
{
	pg_stop
	sh "$BATS_TEST_DIRNAME/lib/maria.sh" stop "$DB/my"
	rm -rf "$DB"
}

# conf LINE...: the component db
conf()
{
	(umask 077 && printf '%s\n' '[repository]' "path = $VOUCH_REPO" '[component db]' "$@" >"$W/vouch.conf")
}

# secret TEXT: for its owner only
secret()
{
	(umask 077 && printf '%s\n' "$1" >"$W/secret")
}

vc()
{
	local cmd=$1

	shift
	"$V" "$cmd" --config "$W/vouch.conf" "$@"
}

# nowhere COMMAND...: with all arguments of all processes looked at meanwhile.
nowhere()
{
	local pid status=0

	python3 "$BATS_TEST_DIRNAME/lib/argv_watch.py" "$(rev <<<"$SECRET")" "$W/argv" 3>&- &
	pid=$!
	until grep -q ready "$W/argv" 2>/dev/null; do sleep 0.02; done
	"$@" >>"$W/told" 2>&1 || status=$?
	kill $pid
	wait $pid || :
	tail -n 5 "$W/told"
	if [ "$(cat "$W/argv")" != ready ]; then cat "$W/argv"; return 1; fi
	return $status
}

# whole_cycle ITEM: all that is done with a component; $lose takes a row away.
whole_cycle()
{
	vouch init "$VOUCH_REPO" >/dev/null
	nowhere vc check
	nowhere vc run
	nowhere vc run --json
	"$1"
	nowhere vc recover db --yes
	nowhere vc rollback db --yes
	nowhere vc validate db
	vouch history --json >>"$W/told"
	secret $WRONG
	run vc check
	[ "$status" -eq 1 ]
	run vc run
	[ "$status" -ne 0 ]
	echo "$output"
	[[ $output != *"$WRONG"* ]]
	run ! grep -ra "$SECRET\|$WRONG" "$W/told" "$VOUCH_REPO/log" "$VOUCH_REPO/snapshots" "$W/state" "$W/cache"
	vouch restore latest "$W/back" >/dev/null
	[ -n "$(find "$W/back" -name facts.json)" ]
	run ! grep -ra "$SECRET" "$W/back"
}

lose_pg() { PGPASSWORD=$SECRET PGROLE=app sql app -c 'delete from t where id > 900'; }

@test "PostgreSQL" {
	sql postgres -c "create role app superuser login password '$SECRET'" -c 'create database app owner app'
	sql app -c 'create table t as select g as id, md5(g::text) as x from generate_series(1, 1000) g' -c 'alter table t owner to app'
	printf 'local all postgres trust\nlocal all all scram-sha-256\n' | pg_as tee "$PG/data/pg_hba.conf" >/dev/null
	pg_as "$(pg_bin)/pg_ctl" -D "$PG/data" reload >/dev/null
	for _ in $(seq 200); do PGPASSWORD= PGROLE=app sql app -w -c 'select 1' >/dev/null 2>&1 || break; sleep 0.05; done
	secret $SECRET
	conf 'type = postgres' "dsn = host=$PG dbname=app user=app" "password-file = $W/secret"
	whole_cycle lose_pg
}

@test "PostgreSQL: by the environment, and what is refused" {
	vouch init "$VOUCH_REPO" >/dev/null
	secret $SECRET
	conf 'type = postgres' "dsn = host=$PG dbname=app user=app" 'password = ${DB_PASSWORD}'
	DB_PASSWORD=$SECRET nowhere vc check
	run vc check
	[ "$status" -eq 2 ]
	[[ $output == *'${DB_PASSWORD} is not set'* ]]
	conf 'type = postgres' "dsn = host=$PG dbname=app user=app password=$SECRET"
	run vc check
	[ "$status" -eq 2 ]
	[[ $output != *"$SECRET"* ]]
	conf 'type = postgres' "dsn = postgresql://app:$SECRET@/app?host=$PG"
	run vc check
	[ "$status" -eq 2 ]
	[[ $output != *"$SECRET"* ]]
	conf 'type = postgres' "dsn = host=$PG dbname=app user=app" "password = $SECRET"
	chmod 644 "$W/vouch.conf"
	run vc check
	[ "$status" -eq 2 ]
	[[ $output == *'others may read'* && $output != *"$SECRET"* ]]
	chmod 640 "$W/vouch.conf"
	nowhere vc check
	chmod 644 "$W/secret"
	conf 'type = postgres' "dsn = host=$PG dbname=app user=app" "password-file = $W/secret"
	run vc check
	[ "$status" -eq 2 ]
	[[ $output == *'others may read'* ]]
}

root_sql() { mariadb --no-defaults --socket="$DB/my/s" -u root "$@"; }
lose_maria() { root_sql -e 'delete from app.t where id > 900'; }

@test "MariaDB" {
	sh "$BATS_TEST_DIRNAME/lib/maria.sh" start "$DB/my"
	root_sql -e "create user app@localhost identified by '$SECRET'; grant all on *.* to app@localhost with grant option; create database app;
		use app; create table t (id int primary key, x varchar(40)) as select seq as id, md5(seq) as x from seq_1_to_1000"
	secret '[client]'
	# As secret(), with the file that the client programs read
	secret() { (umask 077 && printf '[client]\nsocket=%s\nuser=app\npassword=%s\n' "$DB/my/s" "$1" >"$W/secret"); }
	secret $SECRET
	conf 'type = mysql' "defaults-file = $W/secret" 'databases = app'
	whole_cycle lose_maria
}
