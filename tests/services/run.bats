#!/usr/bin/env bats
# vouch run, its history and its hooks, with a real PostgreSQL server.

load ../cli/helper
load lib/pg.sh
load lib/qdrant.bash

setup_file()
{
	pg_start 3>&-
	for db in crm shop; do
		sql postgres -c "CREATE DATABASE $db"
		sql "$db" -c 'CREATE TABLE orders (id serial PRIMARY KEY, customer int, note text)' \
			-c "INSERT INTO orders (customer, note) SELECT i % 1000, repeat(md5(i::text), 2) FROM generate_series(1, 20000) i"
	done
}

teardown_file()
{
	pg_stop
}

teardown()
{
	[ ! -e "$W/maria.dir" ] || { sh "$BATS_TEST_DIRNAME/lib/maria.sh" stop "$(cat "$W/maria.dir")"; rm -rf "$(cat "$W/maria.dir")"; }
	[ -z "${QPID-}" ] || qdrant_stop
	! mountpoint -q "$W/mnt" || fusermount3 -uz "$W/mnt"
}

# conf LINE...: the configuration, with the repository.
conf()
{
	C=$W/vouch.conf
	(umask 077 && printf '%s\n' '[repository]' "path = $W/repo" "$@" >"$C")
}

both()
{
	unset VOUCH_REPO
	vouch init "$W/repo" >/dev/null
	conf "$@" '[component crm]' 'type = postgres' "dsn = host=$PG user=postgres dbname=crm" \
		'[component shop]' 'type = postgres' "dsn = host=$PG user=postgres dbname=shop" "${SHOP[@]}"
}

history()
{
	vouch history --repo "$W/repo" "$@"
}

# A pg_dump in PATH that writes less than the real one, and is killed.
dying_pg_dump()
{
	mkdir -p "$W/bin"
	cat >"$W/bin/pg_dump" <<-S
	#!/bin/bash
	case "\$*" in *--version*|*dbname=*$1*) exec "$(pg_bin)/pg_dump" "\$@" ;; esac
	"$(pg_bin)/pg_dump" "\$@" | head -c 100000
	kill -9 \$\$
	S
	chmod 755 "$W/bin/pg_dump"
	PATH=$W/bin:$PATH
}

@test "two databases in one snapshot; the history, its view, its ids, and when rows went" {
	local first
	both
	run vouch run --config "$C"
	echo "$output"
	[ "$status" -eq 0 ]
	grep -Eq '^postgres   crm: [0-9.]+ MiB, .* new, 1 table, 20,000 rows, ' <<<"$output"
	vouch ls --repo "$W/repo" latest:postgres/crm | grep -q database.dump
	vouch ls --repo "$W/repo" latest:postgres/shop | grep -q facts.json
	# Every byte of it is read back.
	vouch verify --repo "$W/repo" latest >/dev/null
	sql crm -c 'DELETE FROM orders WHERE id > 500'
	vouch run --config "$C" crm -q 2>"$W/said"
	grep -q 'warning: crm: the dump has .*, and the last good one had' "$W/said"
	run history --of crm.orders
	echo "$output"
	[ "${#lines[@]}" -eq 2 ]
	[[ ${lines[0]} == *"table public.orders"*"20,000  "* ]]
	[[ ${lines[1]} == *"<-- DROP: 19,500 rows fewer" ]]
	history >"$W/list"
	[ "$(head -n 1 "$W/list")" = postgres ]
	[ "$(grep -Ec '^  postgres-(crm|shop)_[0-9]{8}_[0-9]{6}: [0-9-]{10} [0-9:]{8} \([0-9.]+ [KM]iB\)$' "$W/list")" -eq 3 ]
	grep -q '^failed in the last 7 days: none$' "$W/list"
	first=$(history --json | jq -r 'select(.type == "run" and .component == "crm").backup_id' | head -n 1)
	vouch cat --repo "$W/repo" "$first:postgres/crm/facts.json" | jq -e '.items[] | select(.name == "public.orders").rows == "20000"'
	# Any sqlite3 reads it, also when the index was lost.
	rm "$W/repo/index.db"
	history --last 1 >/dev/null
	sqlite3 "$W/repo/index.db" 'SELECT backup_id, backup_type, status FROM backup_history LIMIT 1' | grep -q "^postgres-.*|postgres|ok$"
	[ "$(sqlite3 "$W/repo/index.db" "SELECT checksum FROM backup_history WHERE backup_id = '$first'")" = \
		"$(vouch cat --repo "$W/repo" "$first:postgres/crm/database.dump" | sha256sum | cut -d' ' -f1)" ]
	sql crm -c "INSERT INTO orders (customer, note) SELECT i % 1000, repeat(md5(i::text), 2) FROM generate_series(501, 20000) i"
}

@test "a pg_dump that is killed beside a good one: the good one is saved, the history has the other" {
	both
	dying_pg_dump crm
	run vouch run --config "$C"
	echo "$output"
	[ "$status" -eq 3 ]
	grep -q '^postgres   shop: FAILED: ' <<<"$output"
	vouch ls --repo "$W/repo" latest:postgres >"$W/ls"
	grep -q crm "$W/ls"
	run ! grep -q shop "$W/ls"
	[ "$(history --json | jq -r 'select(.type == "run") | "\(.component) \(.status)"' | sort)" = $'crm ok\nshop failed' ]
	run vouch ls --repo "$W/repo" "$(history --failed --json | jq -r 'select(.type == "run").backup_id')"
	[ "$status" -eq 1 ]
	[[ $output == *"failed: "*"there is no good one of postgres shop" ]]
	# Alone it makes no snapshot.
	run vouch run --config "$C" shop -q
	[ "$status" -eq 1 ]
	[ "$(vouch snapshots --repo "$W/repo" --json | wc -l)" -eq 1 ]
	history | grep -q '^failed in the last 7 days: postgres 2$'
}

@test "--keep-partial: what there is of it, among no dates" {
	both
	dying_pg_dump crm
	run vouch run --config "$C" --keep-partial -q
	[ "$status" -eq 3 ]
	vouch ls --repo "$W/repo" --tag vouch:partial latest:postgres/shop | grep -q database.dump
	run ! vouch ls --repo "$W/repo" latest:postgres/shop
	[ "$(vouch cat --repo "$W/repo" --tag vouch:partial latest:postgres/shop/database.dump | head -c 5)" = PGDMP ]
	[ -e /dev/fuse ] || skip "no FUSE here: the mount is not looked at"
	mkdir "$W/mnt"
	vouch mount --repo "$W/repo" "$W/mnt" 3>&-
	[ "$(cd "$W/mnt" && echo 20*/postgres/*)" = "$(cd "$W/mnt" && readlink latest)/postgres/crm" ]
	[ "$(head -c 5 "$W"/mnt/.vouch/partial/20*/postgres/shop/database.dump)" = PGDMP ]
	[ -z "$(ls "$W/mnt/.vouch/safety")" ]
	fusermount3 -u "$W/mnt"
}

@test "hooks around it, of the run and of a component; a server that is not there" {
	SHOP=("before-dump = sh -c 'echo shop-before >>$BATS_TEST_TMPDIR/hooks'" 'wait = 0s')
	both '[run]' "before = sh -c 'echo before \$VOUCH_COMPONENTS >>$W/hooks'" "after = sh -c 'echo after \$VOUCH_OUTCOME >>$W/hooks'"
	sed -i "s,host=$PG user=postgres dbname=shop,host=$W/nowhere user=postgres dbname=shop," "$C"
	run vouch run --config "$C" -q
	echo "$output"
	[ "$status" -eq 3 ]
	[ "$(cat "$W/hooks")" = $'before crm shop\nshop-before\nafter partial' ]
	[[ $output == *"failed: shop: "* ]]
	run vouch run --config "$C" --dry-run
	[ "$status" -eq 0 ]
	[[ $output == *"would dump postgres crm into postgres/crm ("*" the last time)"* ]]
	[[ $output == *"would run sh -c"* ]]
}

@test "interrupted, and killed: the hooks are run, no session is left, the next run goes on" {
	local pid signal
	both '[run]' "after = sh -c 'echo after \$VOUCH_OUTCOME >>$W/hooks'"
	for signal in TERM KILL; do
		: >"$W/hooks"
		# pg_dump waits for it.
		sql shop >"$W/locker.out" 3>&- <<-S &
		BEGIN; LOCK TABLE orders; SELECT pg_sleep(60);
		S
		local locker=$!
		until [ "$(sql postgres -c "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted")" -ge 1 ]; do sleep 0.1; done
		"$V" run --config "$C" -q 2>"$W/said" 3>&- &
		pid=$!
		until sql postgres -c "SELECT wait_event_type FROM pg_stat_activity WHERE datname = 'shop'" | grep -q Lock; do sleep 0.1; done
		kill "-$signal" "$pid"
		if wait "$pid"; then false; fi
		for _ in $(seq 200); do [ -s "$W/hooks" ] && break; sleep 0.1; done
		if [ "$signal" = TERM ]; then grep -q 'after failed' "$W/hooks"; else grep -q 'after killed' "$W/hooks"; fi
		sql postgres -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()" >/dev/null
		wait "$locker" || true
		for _ in $(seq 100); do
			[ "$(sql postgres -c "SELECT count(*) FROM pg_stat_activity WHERE datname IN ('crm', 'shop')")" -eq 0 ] && break
			sleep 0.1
		done
		[ "$(sql postgres -c "SELECT count(*) FROM pg_stat_activity WHERE datname IN ('crm', 'shop')")" -eq 0 ]
	done
	[ "$(vouch snapshots --repo "$W/repo" --json | wc -l)" -eq 0 ]
	vouch run --config "$C" -q
	[ "$(vouch snapshots --repo "$W/repo" --json | wc -l)" -eq 1 ]
}

@test "three services in one snapshot; one that went away does not keep the others from being saved" {
	both '[component shop2]' 'type = mysql' "defaults-file = $W/my.cnf" 'databases = shop2'
	SHOPDB=$(mktemp -d "${TMPDIR:-/tmp}/vouch-run.XXXXXX")
	echo "$SHOPDB" >"$W/maria.dir"
	(umask 077 && printf '%s\n' '[client]' "socket = $SHOPDB/s" 'user = root' >"$W/my.cnf")
	sh "$BATS_TEST_DIRNAME/lib/maria.sh" start "$SHOPDB"
	mariadb --no-defaults -S "$SHOPDB/s" -u root -e "CREATE DATABASE shop2; CREATE TABLE shop2.t (id int PRIMARY KEY); INSERT INTO shop2.t VALUES (1), (2)"
	qdrant_start
	qdrant_sample >/dev/null
	printf '%s\n' '[component vectors]' 'type = qdrant' "url = $Q" 'collections = *' >>"$C"
	run vouch run --config "$C"
	echo "$output"
	[ "$status" -eq 0 ]
	vouch ls --repo "$W/repo" -R latest >"$W/ls"
	cat "$W/ls"
	for f in postgres/crm/database.dump postgres/shop/facts.json mysql/shop2/dump.sql mysql/shop2/tables qdrant/vectors/facts.json; do
		grep -q "$f" "$W/ls"
	done
	[ "$(history --json | jq -r 'select(.type == "run") | .backup_id' | sed 's/_[0-9]*_[0-9]*$//' | sort)" = $'mysql\npostgres-crm\npostgres-shop\nqdrant' ]
	[ "$(history --json | jq -r 'select(.type == "run") | .checksum | length' | sort -u)" = 64 ]
	[ "$(history --json | jq -r 'select(.type == "run") | .snapshot' | sort -u | wc -l)" -eq 1 ]
	# shop2 goes away; the others are saved.
	sh "$BATS_TEST_DIRNAME/lib/maria.sh" stop "$SHOPDB"
	sed -i "s,^databases = shop2,&\nwait = 0s," "$C"
	run vouch run --config "$C" -q
	echo "$output"
	[ "$status" -eq 3 ]
	run ! vouch ls --repo "$W/repo" latest:mysql
	vouch ls --repo "$W/repo" latest:qdrant/vectors | grep -q facts.json
	history --failed | grep -q '^  mysql_.* FAILED: '
}
