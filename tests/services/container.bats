#!/usr/bin/env bats
# via: the service's tools run in a container, here one of the kernel's own (a PID namespace of util-linux): what is started inside by a
# client lives on when the client is killed, as with docker exec; vouch ends it.

load ../cli/helper
load lib/pg.sh

setup_file()
{
	[ "$(id -u)" = 0 ] || skip "a container needs root"
	pg_start
}

teardown_file() { pg_stop; }

# A container with nothing in it but a process that sleeps, and a database of the test's own.
ready()
{
	unshare --fork --pid --mount-proc --kill-child sleep 1000 3>&- &
	BOX=$!
	until INIT=$(cat "/proc/$BOX/task/$BOX/children") && [ -n "${INIT% }" ]; do sleep 0.02; done
	INIT=${INIT% }
	ENTER="nsenter -t $INIT -p -m --"
	D=d$BATS_TEST_NUMBER
	sql postgres -c "create database $D"
	sql "$D" -c 'create table t as select g as id, md5(g::text) as x from generate_series(1, 2000) g'
	vouch init "$VOUCH_REPO" >/dev/null
	printf '%s\n' '[repository]' "path = $VOUCH_REPO" '[component db]' 'type = postgres' \
		"dsn = host=$PG user=postgres dbname=$D" "via = $ENTER" 'lock-wait = 60s' >"$W/vouch.conf"
}

teardown()
{
	[ -z "${LOCK-}" ] || kill "$LOCK" 2>/dev/null || :
	[ -z "${BOX-}" ] || kill -9 "$BOX" 2>/dev/null || :
	wait
}

vc()
{
	local cmd=$1

	shift
	"$V" "$cmd" --config "$W/vouch.conf" "$@"
}

# What runs inside beside its first process
inside() { $ENTER ps -e -o comm= | grep -E '^(psql|pg_dump|pg_restore|pg_dumpall)$'; }

soon_empty()
{
	for _ in $(seq 200); do
		inside >/dev/null || return 0
		sleep 0.05
	done
	inside
	return 1
}

# run_held: a run in the background, RUN, whose dump waits for a lock that somebody has.
run_held()
{
	sql "$D" >/dev/null <<-'S' 3>&- &
	begin;
	lock t in access exclusive mode;
	select pg_sleep(120);
	S
	LOCK=$!
	until sql "$D" -c "select 1 from pg_locks where mode = 'AccessExclusiveLock' and granted" | grep -q 1; do sleep 0.05; done
	"$V" run --config "$W/vouch.conf" >"$W/out" 2>&1 3>&- &
	RUN=$!
	until sql "$D" -c "select 1 from pg_locks where not granted and database = (select oid from pg_database where datname = '$D')" | grep -q 1; do
		kill -0 $RUN || { cat "$W/out"; return 1; }
		sleep 0.05
	done
	inside
}

@test "check, run, recover and validate: every tool runs inside, and none is left" {
	ready
	vc check
	vc run
	soon_empty
	sql "$D" -c 'delete from t where id % 2 = 0'
	vc recover db --yes
	[ "$(sql "$D" -c 'select count(*) from t')" = 2000 ]
	vc validate db
	soon_empty
}

@test "vouch is killed: what it had started inside ends" {
	ready
	run_held
	kill -9 $RUN
	soon_empty
}

@test "the client is killed: the run fails, what was inside ends, and the next run is good" {
	local client

	ready
	run_held
	client=$(pgrep -f "^nsenter -t $INIT .*(pg_dump|psql)" | head -n 1)
	[ -n "$client" ]
	kill -9 "$client"
	status=0
	wait $RUN || status=$?
	cat "$W/out"
	[ "$status" -eq 1 ]
	soon_empty
	kill $LOCK
	wait $LOCK || :
	sql postgres -c "select pg_terminate_backend(pid) from pg_stat_activity where datname = '$D' and query like '%pg_sleep%'" >/dev/null
	vc run
}

@test "interrupted: what was inside ends" {
	ready
	run_held
	kill -TERM $RUN
	status=0
	wait $RUN || status=$?
	cat "$W/out"
	[ "$status" -ne 0 ]
	soon_empty
}
