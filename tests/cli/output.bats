#!/usr/bin/env bats
# What is printed: NDJSON, the bar on a terminal, signals, quiet.

load helper

# Every line is an object with a type.
all_json()
{
	jq -es 'all(type == "object" and has("type"))' <<<"$output" >/dev/null
}

@test "every --json is NDJSON" {
	made
	echo more >>"$W/src/etc/hosts"
	for c in "backup --json -C $W/src ." "snapshots --json" "ls -R --json latest" "diff --json latest~1 latest" \
		"restore --json latest $W/back" "verify --json --files"; do
		# shellcheck disable=SC2086
		run -0 --separate-stderr vouch $c
		all_json
	done
	run -0 vouch init --json "$W/other"
	[ "$(jq -r '.path, (.id | length), .modes' <<<"$output" | tr '\n' ' ')" = "$W/other 32 true " ]
}

@test "the summary of a backup" {
	tree "$W/src"
	vouch init "$VOUCH_REPO"
	run -0 --separate-stderr vouch backup --json -C "$W/src" .
	[ "$(tail -n 1 <<<"$output" | jq -c '[.type, .files, .files_new, .dirs, .others, .errors]')" = \
		'["summary",6,6,4,1,0]' ]
	name=$(tail -n 1 <<<"$output" | jq -r .snapshot)
	[ -s "$VOUCH_REPO/snapshots/$name.json" ]
	[ "$(sha256sum <"$VOUCH_REPO/snapshots/$name.json" | cut -c1-64)" = "$(tail -n 1 <<<"$output" | jq -r .id)" ]
}

@test "ls --json has each file's hash" {
	made
	run -0 vouch ls -R --json latest
	jq -r 'select(.kind == "file") | .sha256 + "  ." + .path' <<<"$output" >"$W/sums"
	[ "$(wc -l <"$W/sums")" = 6 ]
	(cd "$W/src" && sha256sum --quiet -c "$W/sums")
	run -0 vouch ls --json latest:/etc/./hosts
	[ "$(jq -r '[.path, .mode, .size, .nlink] | @csv' <<<"$output")" = '"/etc/hosts","0644",20,2' ]
}

@test "diff --json counts" {
	made
	echo more >>"$W/src/etc/hosts"
	touch "$W/src/etc/ssh/new"
	vouch backup -q -C "$W/src" .
	run -0 vouch diff --json latest~1 latest
	[ "$(tail -n 1 <<<"$output" | jq -c '[.type, .added, .removed]')" = '["summary",1,0]' ]
	[ "$(jq -r 'select(.change == "content" and .path == "etc/hosts") | .size - .old_size' <<<"$output")" = 5 ]
}

@test "quiet is quiet" {
	tree "$W/src"
	run -0 vouch init -q "$VOUCH_REPO"
	[ -z "$output" ]
	for c in "backup -q -C $W/src ." "restore -q latest $W/back" "verify -q"; do
		# shellcheck disable=SC2086
		run -0 vouch $c
		[ -z "$output" ]
	done
}

@test "without a terminal there is no bar and no colour" {
	tree "$W/src"
	vouch init "$VOUCH_REPO"
	run -0 vouch backup -C "$W/src" .
	[[ $output != *$'\r'* && $output != *$'\033'* ]]
}

@test "on a terminal the bar stays within its width" {
	python3 -c 'import pty; pty.openpty()' 2>/dev/null || skip "no pseudo terminals here"
	tree "$W/src"
	deep=$W/src/$(printf 'long-name-%s/' 1 2 3 4 5 6 7 8)
	mkdir -p "$deep"
	for i in $(seq 300); do head -c 30000 /dev/urandom >"$deep/file-$i-文件"; done
	vouch init "$VOUCH_REPO"
	for columns in 20 60 130; do
		run -0 python3 "$TOP/tests/cli/on_terminal.py" $columns "$V" backup --force -C "$W/src" .
		[[ $output == *"backup "* ]]
	done
	NO_COLOR=1 run -0 python3 "$TOP/tests/cli/on_terminal.py" 80 "$V" backup --force -q -C "$W/src" .
	[[ $output != *"[3"[0-9]m* ]]
}

@test "SIGUSR1 prints a line, SIGTERM stops in order, and nothing is lost" {
	made
	mkfifo "$W/pipe"
	"$V" backup --stdin-name x -- cat "$W/pipe" >"$W/out" 2>"$W/err" 3>&- &
	pid=$!
	exec 9>"$W/pipe"
	echo some >&9
	sleep 0.3
	kill -USR1 $pid
	for _ in $(seq 50); do [ -s "$W/err" ] && break; sleep 0.1; done
	cat "$W/err"
	grep -q '^vouch backup: 5 B  ' "$W/err"
	kill -TERM $pid
	status=0
	wait $pid || status=$?
	[ $status = 1 ]
	exec 9>&-
	grep -q '^vouch backup: interrupted; run again to go on from here$' "$W/err"
	[ "$(vouch snapshots --json | wc -l)" = 1 ]
	run -0 vouch verify
}

@test "nohup's ignored signal stays ignored" {
	made
	mkfifo "$W/pipe"
	(trap '' HUP; exec "$V" backup -q --stdin-name x -- cat "$W/pipe") >"$W/out" 2>"$W/err" 3>&- &
	pid=$!
	exec 9>"$W/pipe"
	echo some >&9
	sleep 0.3
	kill -HUP $pid
	exec 9>&-
	wait $pid
	run -0 vouch cat latest:x
	[ "$output" = some ]
}

@test "how much there will be is guessed from the last time" {
	tree "$W/src"
	vouch init -q "$VOUCH_REPO"
	run -0 --separate-stderr vouch backup --json -C "$W/src" .
	[ "$(jq -c 'select(.type == "progress") | has("bytes_total")' <<<"$output" | head -n 1)" = false ]
	run -0 --separate-stderr vouch backup --json --force -C "$W/src" .
	[ "$(jq 'select(.type == "progress") | .bytes_total' <<<"$output" | head -n 1)" -gt 900000 ]
}
