#!/usr/bin/env bats
# Neo4j community, the real one: dumped, lost, recovered, compared; and all that may go wrong on the way.
# The tests go on from each other, with one home: a JVM takes seconds to start, and each of them needs several.

bats_require_minimum_version 1.5.0
N=$BATS_TEST_DIRNAME/lib/neo4j.sh

setup_file()
{
	local rc=0

	W=$(mktemp -d "${TMPDIR:-/tmp}/vouch-neo4j.XXXXXX")
	export W H=$W/home
	"$N" dist >"$W/dist" 2>"$W/why" || rc=$?
	if [ "$rc" = 77 ]; then
		echo "# Neo4j is skipped: $(cat "$W/why")" >&3
		export NO_NEO4J=1
		return 0
	fi
	[ "$rc" = 0 ]
	# Half the JVMs; NEO4J_LOADER=1 goes through the boot loader, as an installation does
	[ -n "${NEO4J_LOADER:-}" ] || export NEO4J_DIRECT=1
	"$N" home "$H"
	echo 'db.tx_log.preallocate=false' >>"$H/conf/neo4j.conf"	# else a quarter of a gigabyte of zeros goes around
	mv "$H/bin/neo4j-admin" "$H/bin/real-admin"
	launch 'exec "${0%/*}/real-admin" "$@"'
	mkdir "$W/scratch"
	"$VOUCH" init -q "$W/repo"
	conf vouch.conf "stop = $H/bin/neo4j stop" "start = $H/bin/neo4j start"
	conf nostop.conf
	"$N" start "$H"
	q 'CREATE CONSTRAINT person_id FOR (p:Person) REQUIRE p.id IS UNIQUE' >/dev/null
	q 'CREATE INDEX person_name FOR (p:Person) ON (p.name)' >/dev/null
	q 'UNWIND range(1, 2000) AS i CREATE (:Person {id: i, name: "p" + i, born: date("1950-01-01") + duration({days: i}),
		at: point({x: i, y: 1.5}), big: 9007199254740993})' >/dev/null
	q 'MATCH (a:Person) MATCH (b:Person {id: a.id % 2000 + 1}) CREATE (a)-[:KNOWS {since: 2000 + a.id % 25}]->(b)' >/dev/null
	q 'UNWIND range(1, 200) AS i MATCH (p:Person {id: i}) CREATE (p)-[:WROTE]->(:Doc {title: "d" + i})' >/dev/null
	q 'MATCH (d:Doc {title: "d7"}) SET d.zero = "a\u0000b" CREATE (:`L\u005Cu0041`)' >/dev/null	# texts and names as they may be
	"$VOUCH" run --config "$W/vouch.conf" >"$W/first.out" 2>&1
}

teardown_file()
{
	[ -z "${NO_NEO4J:-}" ] && end_server
	rm -rf "$W"
}

setup()
{
	[ -z "${NO_NEO4J:-}" ] || skip "no Neo4j here: it needs Maven and a network, or VOUCH_NEO4J"
	F=$(latest)
}

# launch SHELL-LINE: what bin/neo4j-admin of the home does.
launch()
{
	printf '#!/bin/bash\n%s\n' "$1" >"$H/bin/neo4j-admin.new"
	chmod 755 "$H/bin/neo4j-admin.new"
	mv "$H/bin/neo4j-admin.new" "$H/bin/neo4j-admin"
}

conf()		# conf FILE LINE...
{
	local file=$W/$1

	shift
	(umask 077 && printf '%s\n' '[repository]' "path = $W/repo" '[component graph]' 'type = neo4j' "home = $H" \
		"scratch = $W/scratch" 'scratch-heap = 384m' 'label-key = Doc.title' "$@" >"$file")
}

q() { "$N" ask "$H" "$1"; }
up() { curl -sf -o /dev/null "http://127.0.0.1:$(cat "$H/http")/"; }
latest() { ls "$W/repo/snapshots" | tail -n 1; }
server() { cat "$H/run/neo4j.pid" 2>/dev/null; }
alive() { local p; p=$(server) && [ -n "$p" ] && [ -d "/proc/$p" ] && grep -q java "/proc/$p/cmdline"; }

# By its process id, whatever state a test left.
end_server()
{
	local p

	p=$(server) && alive || return 0
	kill "${1:--TERM}" "$p"
	for _ in $(seq 600); do [ -d "/proc/$p" ] || return 0; sleep 0.1; done
	return 1
}

wait_up()
{
	for _ in $(seq 1800); do up && return 0; sleep 0.1; done
	return 1
}

clean() { [ -z "$(ls -A "$W/scratch")" ] && [ -z "$(find "$H/data" -maxdepth 2 -name '.vouch-[lsw]*')" ]; }

@test "a run stops the server, dumps, starts it, and counts what is in the dump" {
	cat "$W/first.out"
	up
	clean
	grep -q 'the server was down for' "$W/first.out"
	"$VOUCH" cat -r "$W/repo" latest:neo4j/graph/facts.json >"$W/facts.json"
	jq -e '.server == "5.26.30" and .downtime > 0 and (.files | map(.name) == ["neo4j.dump", "system.dump"])' "$W/facts.json"
	jq -e '[.items[] | select(.kind == "label" or .kind == "relationship") | .name + "=" + .rows] ==
		["Doc=200", "L\\u0041=1", "Person=2000", "KNOWS=2000", "WROTE=200"]' "$W/facts.json"
	jq -e '[.items[] | select(.kind == "constraint") | .is] | length == 1 and (.[0] | test("IS UNIQUE"))' "$W/facts.json"
	jq -e '[.items[] | select(.kind == "index") | .is] | length == 4 and all(test("\\(ONLINE\\)$"))' "$W/facts.json"
	# It is a dump for everybody else, too
	"$N" home "$W/other"
	"$VOUCH" cat -r "$W/repo" latest:neo4j/graph/neo4j.dump | "$W/other/bin/neo4j-admin" database load neo4j --from-stdin
	"$W/other/bin/neo4j-admin" database check neo4j --report-path="$W"
}

@test "a running server without stop and start: it says so, and touches nothing" {
	run "$VOUCH" check --config "$W/nostop.conf"
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"configure stop and start"* ]]
	p=$(server)
	run "$VOUCH" run --config "$W/nostop.conf"
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"configure stop and start"* ]]
	[ "$(server)" = "$p" ] && up
	[ "$(latest)" = "$F" ]
	clean
}

@test "vouch killed while the server is stopped: it is started at once, and the next vouch says so" {
	printf '#!/bin/bash\n"%s/bin/neo4j" stop\ncp "%s/data/.vouch-stopped" "%s/note"\nkill -9 $(cat "%s/vouch.pid")\n' \
		"$H" "$H" "$W" "$W" >"$W/stop-and-kill"
	chmod 755 "$W/stop-and-kill"
	conf kill.conf "stop = $W/stop-and-kill" "start = $H/bin/neo4j start"
	(echo "$BASHPID" >"$W/vouch.pid"; exec "$VOUCH" run --config "$W/kill.conf") >"$W/killed.out" 2>&1 3>&- || true
	grep -q 'has stopped this server' "$W/note"
	wait_up
	run "$VOUCH" check --config "$W/vouch.conf"
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"killed while it had stopped this server"* ]]
	[ ! -e "$H/data/.vouch-stopped" ]
	[ "$(latest)" = "$F" ]
	rm -rf "$W"/scratch/vouch-neo4j-*	# of the killed one
}

@test "a start that fails is told loudly, and check tries again" {
	conf nostart.conf "stop = $H/bin/neo4j stop" "start = /bin/false"
	run "$VOUCH" run --config "$W/nostart.conf" 3>&-
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"SERVER OF $H IS NOT UP"* ]]
	if up; then false; fi
	run "$VOUCH" check --config "$W/vouch.conf" 3>&-
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"it is started now"* ]]
	up
	clean
}

@test "a server killed by -9: named, and cured where start and stop are known; day two is small" {
	q 'MATCH (p:Person) WHERE p.id > 1000 AND p.id <= 1020 SET p.name = p.name + "x"'
	end_server -9
	run "$VOUCH" run --config "$W/nostop.conf"
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"needs recovery"* ]]
	run "$VOUCH" run --config "$W/vouch.conf" --json 3>&-
	echo "$output"
	[ "$status" = 0 ]
	run ! up
	[ "$(latest)" != "$F" ]
	"$VOUCH" snapshots -r "$W/repo" --json |
		jq -es 'map(select(.type == "snapshot")) | .[-1].stored_bytes * 2 < .[0].stored_bytes and .[-1].new_bytes < .[0].new_bytes'
	clean
}

@test "a dump whose writer lost bytes with exit status 0 fails, and is nowhere" {
	launch '"${0%/*}/real-admin" "$@" | if [ "$2" = dump ] && [ "$3" = neo4j ]; then head -c 20000; cat >/dev/null; else cat; fi; exit 0'
	run "$VOUCH" run --config "$W/vouch.conf"
	launch 'exec "${0%/*}/real-admin" "$@"'
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"said that all was well, but"* ]]
	[ "$(latest)" = "$F" ]
	clean
}

@test "a restore killed half-way changes nothing; run again it is whole, and the old data is the way back" {
	"$N" start "$H" 3>&-
	q 'MATCH (n:Doc) DETACH DELETE n'
	q 'CREATE (:Late {x: 1})'
	launch "[ \"\$2\" = load ] && { cat >/dev/null & kill -9 \$(cat '$W/vouch.pid'); sleep 1; }; exec \"\${0%/*}/real-admin\" \"\$@\""
	(echo "$BASHPID" >"$W/vouch.pid"; exec "$VOUCH" recover graph --config "$W/vouch.conf" --yes) >"$W/half.out" 2>&1 3>&- || true
	launch 'exec "${0%/*}/real-admin" "$@"'
	up
	[ "$(q 'MATCH (n:Late) RETURN count(n)')" = "[1]" ]
	run "$VOUCH" recover graph --config "$W/vouch.conf" --yes 3>&-
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"0 different"* ]]
	[[ $output == *"what a restore left"* ]]
	[ "$(q 'MATCH (n:Late) RETURN count(n)')" = "[0]" ]
	[ "$(q 'MATCH (:Person)-[r:WROTE]->(n:Doc) RETURN count(n), count(r)')" = "[200, 200]" ]
	clean
	run "$VOUCH" rollback graph --config "$W/vouch.conf" --yes 3>&-
	echo "$output"
	[ "$status" = 0 ]
	[ "$(q 'MATCH (n:Late) RETURN count(n)')" = "[1]" ]
	[ "$(q 'MATCH (n:Doc) RETURN count(n)')" = "[0]" ]
}

@test "one label comes back with its relationships and types, newer nodes stay, and twice makes nothing twice" {
	q 'MATCH (p:Person) WHERE p.id <= 100 DETACH DELETE p'
	q 'MATCH (p:Person) WHERE p.id > 100 AND p.id <= 150 SET p.name = "changed", p.extra = 1'
	q 'CREATE (:Person {id: 5000, name: "new"})'
	q 'CREATE (:Doc {title: "same", n: 1}), (:Doc {title: "same", n: 2})'
	run "$VOUCH" recover graph --config "$W/vouch.conf" --label Doc --yes 3>&-
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"Doc.title does not tell nodes apart: 1 of its values"*"the running graph"* ]]
	[ "$(q 'MATCH (n:Doc) RETURN collect(n.n), count(n)')" = "[[1, 2], 2]" ]
	q 'MATCH (n:Doc) DELETE n'
	run "$VOUCH" recover graph --config "$W/vouch.conf" --label Person --label Doc --yes 3>&-
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"Person: 100 nodes created, 50 overwritten"* ]]
	[[ $output == *"Doc: 200 nodes created"* ]]
	[[ $output == *'kept: Person "5000"'* ]]
	[ "$(q 'MATCH (n:Person) RETURN count(n), count(n.extra), collect(DISTINCT n.big), min(n.born), valueType(collect(n.at)[0])')" = \
		'[2001, 0, [9007199254740993], "1950-01-02", "POINT NOT NULL"]' ]
	[ "$(q 'MATCH (:Person)-[r]->() RETURN type(r), count(r), sum(r.since) ORDER BY type(r)')" = \
		"$(printf '["KNOWS", 2000, 4024000]\n["WROTE", 200, 0]')" ]
	"$VOUCH" recover graph --config "$W/vouch.conf" --label Nobody --yes && return 1
	run "$VOUCH" recover graph --config "$W/vouch.conf" --label Doc --yes 3>&-
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"Doc: 0 nodes created, 0 overwritten, 200 were equal; 0 relationships created"* ]]
	[ "$(q 'MATCH (n:Doc) RETURN count(n)')" = "[200]" ]
}

@test "a validate restores into a scratch home, compares, asks, and leaves nothing" {
	conf ask.conf "stop = $H/bin/neo4j stop" "start = $H/bin/neo4j start" 'not-null = Person.name' \
		"expect = MATCH (n:Doc) RETURN n.title ORDER BY n.title LIMIT 1 = d1"
	run "$VOUCH" validate graph --config "$W/ask.conf" 3>&-
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"all indexes are online"* ]]
	clean
}

@test "rollback of a label brings back what it met, from the safety dump" {
	q 'MATCH (n:Doc) DELETE n' || q 'MATCH (n:Doc) DETACH DELETE n'
	run "$VOUCH" rollback graph --config "$W/vouch.conf" --yes 3>&-
	echo "$output"
	[ "$status" = 0 ]
	[ "$(q 'MATCH (n:Doc) RETURN count(n)')" = "[200]" ]
	[ "$(q 'MATCH (n:Person) RETURN count(n)')" = "[2001]" ]
	clean
}
