#!/usr/bin/env bats
# Long work: how far it is, how it is stopped and goes on, and how it keeps out of the way.

load helper

MIB=1048576

# await SECONDS COMMAND...: until it succeeds.
await()
{
	local n=$(($1 * 20))

	shift
	while ! "$@" >/dev/null 2>&1; do
		n=$((n - 1))
		[ $n -gt 0 ] || return 1
		sleep 0.05
	done
}

# The bytes that the last progress record in $W/out tells of.
bytes_now()
{
	jq -R 'fromjson? | select(.type == "progress" and .what == "'"$1"'") | .bytes' "$W/out" | tail -n 1
}

past()
{
	local n

	n=$(bytes_now "$1")
	[ "${n:-0}" -gt "$2" ]
}

# stopped PID: within so many seconds of SIGTERM it has ended, with status 1.  Under a sanitizer all is slower.
stopped()
{
	local from status=0

	from=$(date +%s%N)
	kill -TERM "$1"
	wait "$1" || status=$?
	echo "ended with $status after $((($(date +%s%N) - from) / 1000000)) ms" >&2
	[ $status = 1 ]
	[ $((($(date +%s%N) - from) / 1000000)) -lt "${STOP_MS:-3000}" ]
	grep -qE 'interrupted; run again( with --resume)? to go on from here$' "$W/err"
}

summary()
{
	jq -c 'select(.type == "summary")' <<<"$output"
}

@test "a backup that is stopped goes on where it was" {
	head -c $((120 * MIB)) /dev/urandom >"$W/src/large"
	vouch init -q "$VOUCH_REPO"
	"$V" backup --json --limit-rate 60M -C "$W/src" . >"$W/out" 2>"$W/err" 3>&- &
	pid=$!
	await 60 past backup $((50 * MIB))
	stopped $pid
	[ -z "$(ls "$VOUCH_REPO/tmp" 2>/dev/null)" ]
	[ "$(vouch snapshots --json | wc -l)" = 0 ]
	run -0 --separate-stderr vouch backup --json -C "$W/src" .
	# All that was put before is known; what was under way between reading and putting may be lost.
	echo "$(summary)"
	[ "$(summary | jq .new_bytes)" -lt $((85 * MIB)) ]
	[ "$(summary | jq .bytes)" = $((120 * MIB)) ]
	vouch cat latest:large | cmp - "$W/src/large"
	run -0 vouch verify -q
}

@test "a backup that is killed goes on, and its remains are swept" {
	head -c $((100 * MIB)) /dev/urandom >"$W/src/large"
	vouch init -q "$VOUCH_REPO"
	"$V" backup --json --limit-rate 60M -C "$W/src" . >"$W/out" 2>"$W/err" 3>&- &
	pid=$!
	# Two packs of 32 MiB are sealed.
	packs() { [ "$(find "$VOUCH_REPO/packs" -name '*.pack' | wc -l)" -ge 2 ]; }
	await 60 packs
	kill -KILL $pid
	wait $pid || true
	run -0 --separate-stderr vouch backup --json -C "$W/src" .
	[ "$(summary | jq .new_bytes)" -lt $((50 * MIB)) ]
	[ -z "$(ls "$VOUCH_REPO/tmp" 2>/dev/null)" ]
	vouch cat latest:large | cmp - "$W/src/large"
}

@test "a backup of an input that stands still is stopped, too" {
	vouch init -q "$VOUCH_REPO"
	mkfifo "$W/pipe"
	"$V" backup --stdin-name x <"$W/pipe" >"$W/out" 2>"$W/err" 3>&- &
	pid=$!
	exec 9>"$W/pipe"
	echo some >&9
	sleep 0.5
	stopped $pid
	exec 9>&-
}

@test "two signals that come together are one request" {
	vouch init -q "$VOUCH_REPO"
	"$V" backup --stdin-name x -- sh -c "echo >'$W/up'; exec sleep 20" >"$W/out" 2>"$W/err" 3>&- &
	pid=$!
	await 10 test -e "$W/up"
	kill -TERM $pid
	kill -HUP $pid
	status=0
	wait $pid || status=$?
	[ $status = 1 ]
	cat "$W/err"
	grep -q 'interrupted; run again' "$W/err"
}

@test "the second signal ends it at once" {
	vouch init -q "$VOUCH_REPO"
	mkfifo "$W/pipe"
	# The producer takes its time: five seconds of them, without the second signal.
	"$V" backup --stdin-name x -- sh -c "trap '' TERM; echo >'$W/up'; exec 2>&-; sleep 20 & wait; wait" \
		>"$W/out" 2>"$W/err" 3>&- &
	pid=$!
	await 10 test -e "$W/up"
	kill -TERM $pid
	sleep 0.5
	kill -0 $pid
	kill -TERM $pid
	status=0
	wait $pid || status=$?
	[ $status = 1 ]
	grep -q 'stopped at once' "$W/err"
}

@test "a restore that is stopped goes on, and nothing half is left" {
	for i in 1 2 3 4; do head -c $((25 * MIB)) /dev/urandom >"$W/src/$i"; done
	vouch init -q "$VOUCH_REPO"
	vouch backup -q -C "$W/src" .
	"$V" restore --json -j 1 --limit-rate 40M latest "$W/back" >"$W/out" 2>"$W/err" 3>&- &
	pid=$!
	await 60 past restore $((60 * MIB))
	stopped $pid
	[ -z "$(find "$W/back" -name '.vouch*')" ]
	for f in "$W/back"/*; do cmp "$f" "$W/src/${f##*/}"; done
	run -0 --separate-stderr vouch restore --json latest "$W/back"
	[ "$(summary | jq .unchanged)" -ge 2 ]
	diff -r "$W/src" "$W/back"
}

@test "a verify is stopped" {
	head -c $((100 * MIB)) /dev/urandom >"$W/src/large"
	vouch init -q "$VOUCH_REPO"
	vouch backup -q -C "$W/src" .
	"$V" verify --json --limit-rate 20M >"$W/out" 2>"$W/err" 3>&- &
	pid=$!
	await 60 past verify $((20 * MIB))
	stopped $pid
	# Where the rate is so low that all of it waits.
	"$V" verify --json --limit-rate 1K >"$W/out" 2>"$W/err" 3>&- &
	pid=$!
	await 60 past verify 1
	stopped $pid
}

@test "a large file's progress is told while it is restored and read back" {
	head -c $((40 * MIB)) /dev/urandom >"$W/src/large"
	vouch init -q "$VOUCH_REPO"
	vouch backup -q -C "$W/src" .
	run -0 --separate-stderr vouch restore --json --verify --limit-rate 20M latest "$W/back"
	for what in restore "read back"; do
		[ "$(jq -c "select(.type == \"progress\" and .what == \"$what\" and .bytes > 0 and
			.bytes < 41943040 and .bytes_total == 41943040 and .path == \"large\")" <<<"$output" | wc -l)" -ge 1 ]
	done
	# None of them ever runs backwards, or past the end.
	jq -es 'map(select(.what == "restore") | .bytes) | . == sort and all(. <= 41943040)' <<<"$output"
	jq -es 'map(select(.type == "progress") | .seconds_left // empty) | length > 0 and all(. < 60)' <<<"$output"
}

@test "SIGUSR1 is answered by all that takes long" {
	made
	tree "$W/src/more"
	head -c $((4 * MIB)) /dev/zero | tr '\0' x >"$W/src/long"
	seq 30000 | (mkdir "$W/src/many" && cd "$W/src/many" && xargs touch)
	vouch backup -q -C "$W/src" .
	# Each waits for somebody to read what it prints, or at its rate.
	for c in "ls -R latest" "diff latest~1 latest" "cat latest:long"; do
		mkfifo "$W/out.pipe"
		# shellcheck disable=SC2086
		"$V" $c >"$W/out.pipe" 2>"$W/err" 3>&- &
		pid=$!
		exec 8<"$W/out.pipe"
		sleep 0.5
		kill -USR1 $pid
		await 10 grep -Eq "^vouch ${c%% *}: .* after [0-9.]+ s" "$W/err"
		kill -0 $pid
		exec 8<&-
		wait $pid || true
		rm "$W/out.pipe"
	done
	for c in "restore latest $W/back" "verify"; do
		# shellcheck disable=SC2086
		"$V" $c --limit-rate 100K >"$W/out" 2>"$W/err" 3>&- &
		pid=$!
		sleep 0.5
		kill -USR1 $pid
		await 10 grep -Eq "^vouch ${c%% *}: .* after [0-9.]+ s" "$W/err"
		stopped $pid
	done
}

@test "a rate is kept" {
	head -c $((20 * MIB)) /dev/urandom >"$W/src/f"
	vouch init -q "$VOUCH_REPO"
	for c in "backup -C $W/src ." "backup --stdin-name f" "restore latest $W/back" "verify" "verify latest"; do
		# shellcheck disable=SC2086
		run -0 --separate-stderr vouch $c --json --limit-rate 10M <"$W/src/f"
		[ "$(summary | jq '.seconds > 1.5')" = true ]
	done
	cmp "$W/src/f" "$W/back/f"
}

@test "wrong rates and priorities are said" {
	vouch init -q "$VOUCH_REPO"
	for o in --limit-rate=0 --limit-rate=100 --limit-rate=x --limit-rate=-1M --nice=20 --nice=-21 --nice=x \
		--ionice=realtime --ionice=best-effort:8 --ionice=best-effort: --ionice=best-effort:10 --ionice=idle:1; do
		run -2 vouch backup $o "$W/src"
		[[ $output == *"${o%%=*} needs"* ]]
	done
}

@test "every thread has the priority that was asked for" {
	vouch init -q "$VOUCH_REPO"
	mkfifo "$W/pipe"
	"$V" backup --nice 7 --ionice best-effort:6 --jobs 2 --stdin-name x <"$W/pipe" >"$W/out" 2>"$W/err" 3>&- &
	pid=$!
	exec 9>"$W/pipe"
	head -c $((4 * MIB)) /dev/urandom >&9
	threads() { [ "$(ls /proc/$pid/task | wc -l)" -ge 6 ]; }
	await 10 threads
	for t in /proc/"$pid"/task/*; do
		# Field 19, counted from behind the name, which may have spaces.
		[ "$(sed 's/.*) //' "$t/stat" | cut -d' ' -f17)" = 7 ]
		[ "$(ionice -p "${t##*/}")" = "best-effort: prio 6" ]
	done
	exec 9>&-
	wait $pid
	exec 9<>"$W/pipe"
	"$V" backup --ionice idle --stdin-name x <"$W/pipe" >"$W/out" 2>"$W/err" 3>&- 9>&- &
	pid=$!
	is_idle() { [ "$(ionice -p $pid)" = idle ]; }
	await 10 is_idle
	kill -TERM $pid
	wait $pid || true
	exec 9>&-
}

@test "any number of threads makes the same snapshot" {
	tree "$W/src"
	head -c $((20 * MIB)) /dev/urandom >"$W/src/large"
	truncate -s 5M "$W/src/holes"
	for i in $(seq 500); do echo "$i" >"$W/src/etc/$i"; done
	# What was touched a moment ago is marked as such.
	sleep 2.1
	for n in 1 4; do
		vouch init -q "$W/repo$n"
		vouch --repo "$W/repo$n" backup -q --jobs $n --host h -C "$W/src" .
		jq -r .root "$W/repo$n"/snapshots/*.json >"$W/root$n"
		find "$W/repo$n/packs" -name '*.pack' -printf '%f\n' | sort >"$W/packs$n"
	done
	[ -s "$W/root1" ]
	[ -s "$W/packs1" ]
	cmp "$W/root1" "$W/root4"
	cmp "$W/packs1" "$W/packs4"
	for n in 1 4; do
		vouch --repo "$W/repo$n" restore -q -j $n latest "$W/back$n"
		diff -r "$W/src" "$W/back$n"
		run -0 vouch --repo "$W/repo$n" verify -q -j $n --files
	done
}

@test "what is listed on a terminal is not mixed with a bar" {
	python3 -c 'import pty; pty.openpty()' 2>/dev/null || skip "no pseudo terminals here"
	made
	run python3 "$TOP/tests/cli/on_terminal.py" 80 "$V" ls -R latest
	[[ $output == *"etc/hosts"*"nothing was drawn"* ]]
}
