#!/usr/bin/env bats
# Producers: their output is one file of a snapshot, and their failure is no snapshot.

load helper

no_snapshot()
{
	run -0 vouch snapshots
	[[ $output == *"no snapshot yet"* ]]
}

@test "a producer's output is a file" {
	vouch init "$VOUCH_REPO"
	run -0 vouch backup --stdin-name db.sql --tag pg -- seq 1 100000
	run -0 vouch ls latest
	[ "$output" = db.sql ]
	vouch cat latest:db.sql | cmp - <(seq 1 100000)
	run -0 vouch snapshots --tag pg --json
	[ "$(jq .files <<<"$output")" = 1 ]
}

@test "a name with folders" {
	vouch init "$VOUCH_REPO"
	vouch backup --stdin-name pg/app/db.sql -- echo x
	run -0 vouch cat latest:pg/app/db.sql
	[ "$output" = x ]
}

@test "standard input is a file" {
	vouch init "$VOUCH_REPO"
	seq 1 50000 | vouch backup --stdin-name in.txt
	vouch cat latest:in.txt | cmp - <(seq 1 50000)
	vouch backup --stdin-name in.txt <"$V"
	vouch cat latest:in.txt | cmp - "$V"
}

@test "a producer that fails after all its output is no snapshot" {
	vouch init "$VOUCH_REPO"
	run -1 vouch backup --stdin-name db.sql -- sh -c 'seq 1 100000; exit 7'
	[[ $output == *"sh failed with exit status 7"* && $output == *"no snapshot"* ]]
	no_snapshot
}

@test "a producer that is killed is no snapshot" {
	vouch init "$VOUCH_REPO"
	run -1 vouch backup --stdin-name db.sql -- sh -c 'echo x; kill -9 $$'
	[[ $output == *"signal 9"* ]]
	no_snapshot
}

@test "a producer that is not there is no snapshot" {
	vouch init "$VOUCH_REPO"
	run -1 vouch backup --stdin-name db.sql -- "$W/pg_dump" app
	[[ $output == *"cannot start"*"No such file"* ]]
	no_snapshot
}

@test "nothing is no dump, unless that is right" {
	vouch init "$VOUCH_REPO"
	run -1 vouch backup --stdin-name db.sql -- true
	[[ $output == *"gave no bytes"*"--allow-empty"* ]]
	run -1 vouch backup --stdin-name db.sql </dev/null
	[[ $output == *"standard input gave no bytes"* ]]
	no_snapshot
	run -0 vouch backup --stdin-name db.sql --allow-empty -- true
	run -0 vouch cat latest:db.sql
	[ -z "$output" ]
}

@test "a producer is ended with vouch, and does not inherit what is not its own" {
	vouch init "$VOUCH_REPO"
	"$V" backup --stdin-name x -- sh -c "echo \$\$ >'$W/pid'; ls /proc/self/fd >'$W/fds'; echo x; exec sleep 1000" \
		2>"$W/err" 3>&- &
	pid=$!
	for _ in $(seq 100); do [ -s "$W/fds" ] && break; sleep 0.1; done
	sleep 0.3
	kill -TERM $pid
	status=0
	wait $pid || status=$?
	[ $status = 1 ]
	grep -q 'interrupted; run again' "$W/err"
	run ! kill -0 "$(cat "$W/pid")"
	# 0, 1, 2, and the listing's own
	[ "$(wc -l <"$W/fds")" -le 4 ]
	no_snapshot
}

@test "what does not go together is said" {
	vouch init "$VOUCH_REPO"
	run -2 vouch backup --stdin-name x echo y
	[[ $output == *"put -- before the command"* ]]
	run -2 vouch backup --stdin-name x --files-from F -- echo y
	run -2 vouch backup --stdin-name ../x -- echo y
	run -2 vouch backup --stdin-name '' -- echo y
}

@test "a stream chooses its chunks, and is told what they cost" {
	vouch init "$VOUCH_REPO"
	for size in 0 3K 128 4M x 4K4 ''; do
		run -2 vouch backup --stdin-name n --chunk-size "$size" -- seq 1 9
	done
	no_snapshot
	run -0 --separate-stderr vouch backup --stdin-name n --chunk-size 4K --json -- seq 1 500000
	jq -es '.[-1] | .new_chunks > 600 and .new_chunks < 1100 and
		.table_bytes >= 72 * .new_chunks and .tree_bytes > 33 * .new_chunks and .index_bytes > 10000' <<<"$output"
	vouch cat latest:n | cmp - <(seq 1 500000)
	run -0 vouch backup --stdin-name n --chunk-size 4K -- seq 1 500000
	[[ $output == *"chunks    "*" new, "*"; tables "*", folders and lists "*"index "*" larger, "*" written"* ]]
	# Others share nothing with them.
	run -0 --separate-stderr vouch backup --stdin-name n --json -- seq 1 500000
	jq -es '.[-1] | .new_bytes >= .bytes and .new_chunks < 40' <<<"$output"
	vouch verify
	vouch cat latest:n | cmp - <(seq 1 500000)
}
