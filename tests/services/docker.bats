#!/usr/bin/env bats
# A real Docker engine: what runs in a container by `via = docker exec -i NAME` ends with vouch, which its client's end does not
# bring about.  The container has this machine's /usr and the server's socket, and so psql and pg_dump.  Skipped aloud where there
# is no dockerd, or it cannot start (it wants root and cgroups).

load lib/pg.sh

setup_file()
{
	export D
	command -v dockerd >/dev/null || return 0
	[ "$(id -u)" = 0 ] || return 0
	D=$(mktemp -d "${TMPDIR:-/tmp}/vouch-docker.XXXXXX")
	chmod 755 "$D"
	setsid dockerd --iptables=false --ip6tables=false --bridge=none --storage-driver=vfs --data-root "$D/root" --exec-root "$D/exec" \
		-p "$D/pid" -H "unix://$D/s" >"$D/log" 2>&1 </dev/null 3>&- 4>&- &
	for _ in $(seq 300); do
		! inside_engine version || break
		sleep 0.1
	done
	inside_engine version || return 0
	pg_start 3>&-
	mkdir "$D/image" "$D/bin"
	for t in psql pg_dumpall pg_restore; do ln -s "$(pg_bin)/$t" "$D/bin/$t"; done
	printf '#!/bin/sh\ncase $* in *--version*) exec %s/pg_dump --version ;; esac\nexec sleep 4711\n' "$(pg_bin)" >"$D/bin/pg_dump"
	chmod 755 "$D/bin/pg_dump"
	(cd "$D/image" && mkdir usr etc tmp proc dev && ln -s usr/bin usr/sbin usr/lib usr/lib64 .)
	tar -C "$D/image" -c . | docker -H "unix://$D/s" import - vouch:1 >/dev/null
	docker -H "unix://$D/s" run -d --name db --network none -v /usr:/usr:ro -v /etc:/etc:ro -v "$PG:$PG" -v "$D/bin:$D/bin:ro" \
		vouch:1 sleep 1000000 >/dev/null
}

inside_engine() { timeout 20 docker -H "unix://$D/s" "$@" >/dev/null 2>&1; }

teardown_file()
{
	[ -z "${PG-}" ] || pg_stop
	[ -n "$D" ] || return 0
	! inside_engine version || inside_engine rm -f db
	[ ! -s "$D/pid" ] || {
		pid=$(cat "$D/pid")
		kill "$pid"
		for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
	}
	grep -F " $D/" /proc/self/mountinfo | awk '{print $5}' | sort -r | while read -r m; do umount -l "$m"; done
	rm -rf "$D"
}

setup()
{
	if [ -z "$D" ] || ! inside_engine inspect db; then
		echo "# no Docker engine here: not tested with a real one" >&3
		skip "no Docker engine"
	fi
	pg_setup
	pg_conf "via = docker -H unix://$D/s exec -i db" "bin = $BIN"
	sql "$DB" -c "CREATE TABLE t AS SELECT i, repeat('x', 100) FROM generate_series(1, 10000) i"
}

# Processes in the container whose command has that in it
inside() { docker -H "unix://$D/s" top db -eo pid,args | grep -cE "$1"; }

wait_inside()	# wait_inside WHAT HOW MANY
{
	for _ in $(seq 200); do
		[ "$(inside "$1")" != "$2" ] || return 0
		sleep 0.1
	done
	docker -H "unix://$D/s" top db -eo pid,args
	return 1
}

# A pg_dump that never ends
dump_waits()
{
	pg_conf "via = docker -H unix://$D/s exec -i db" "bin = $D/bin"
	"$V" run --config "$W/v.conf" >"$W/out" 2>&1 3>&- &
	vouch=$!
	wait_inside 'sleep 4711' 1
}

@test "by docker exec: dumped, and proven" {
	run vouch run -q
	echo "$output"
	[ "$status" -eq 0 ]
	run vouch validate
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(inside psql)" = 0 ]
}

@test "the engine itself leaves alive what a killed client started" {
	docker -H "unix://$D/s" exec -i db sleep 1000 </dev/null >/dev/null 2>&1 3>&- &
	client=$!
	wait_inside 'sleep 1000$' 1
	kill -9 "$client"
	sleep 2
	[ "$(inside 'sleep 1000$')" = 1 ]
}

@test "vouch is killed: nothing of it lives on in the container" {
	dump_waits
	kill -9 "$vouch"
	wait_inside 'sleep 4711' 0
	wait_inside psql 0
}

@test "the client is killed: the run fails, and nothing lives on in the container" {
	dump_waits
	client=$(pgrep -f "^docker -H unix://$D/s exec -i db .*bin/pg_dump")
	[ -n "$client" ]
	kill -9 "$client"
	wait_inside 'sleep 4711' 0
	if wait "$vouch"; then false; fi
	cat "$W/out"
	grep -q 'pg_dump was killed by signal 9' "$W/out"
}

@test "vouch is stopped: nothing of it lives on in the container" {
	dump_waits
	kill "$vouch"
	wait_inside 'sleep 4711' 0
	wait_inside psql 0
}
