#!/usr/bin/env bats
# Several readers at once, readers that stop half-way, an unmount under them; and that the mount's threads do not race
# (VOUCH_TSAN names a build with ThreadSanitizer).

load common

setup_file()
{
	require_fuse
	begin
	make_tree
	"$VOUCH" init "$VOUCH_REPO"
	"$VOUCH" backup -C "$W/src" . 2>/dev/null
}

teardown() { drop; }

# serve PROGRAM OPTION...: in the foreground.
serve()
{
	local program=$1

	shift
	"$program" mount -f "$@" "$W/mnt" > "$W/log" 2>&1 3>&- &
	export SERVER=$!
	within 30 mounted
}

ended()
{
	local rc=0

	wait "$SERVER" || rc=$?
	cat "$W/log"
	[ "$rc" -eq 0 ]
	[ ! -s "$W/log" ]
}

same() { cmp "$W/src/$1" "$W/mnt/latest/$1"; }

# all PID...: every one ended well.
all()
{
	local pid rc=0

	for pid; do wait "$pid" || rc=1; done
	return $rc
}

@test "four readers, of different files and of the same" {
	serve "$VOUCH"
	for _ in 1 2 3; do
		echo 3 > /proc/sys/vm/drop_caches
		pids=()
		for f in large text random-a random-b; do same $f & pids+=($!); done
		all "${pids[@]}"
		echo 3 > /proc/sys/vm/drop_caches
		pids=()
		for _ in 1 2 3 4; do same large & pids+=($!); done
		all "${pids[@]}"
		echo 3 > /proc/sys/vm/drop_caches
		pids=()
		for _ in 1 2 3 4; do diff -r "$W/src/wide" "$W/mnt/latest/wide" & pids+=($!); done
		all "${pids[@]}"
	done
	unmount
	ended
}

@test "a reader that stops half-way costs nothing, and its file can be read on" {
	serve "$VOUCH"
	for i in $(seq 50); do
		head -c $((i * 40000)) "$W/mnt/latest/large" | cmp - <(head -c $((i * 40000)) "$W/src/large")
	done
	same large
	echo 3 > /proc/sys/vm/drop_caches
	# killed while it waits for bytes, again and again
	for _ in $(seq 10); do
		cat "$W/mnt/latest/large" "$W/mnt/latest/text" > /dev/null &
		kill -KILL $!
		wait $! || :
	done
	same large
	same text
	unmount		# nothing of those is open any more
	ended
}

@test "four readers that start at a different quarter each, under verify=always" {
	serve "$VOUCH" -o verify=always
	size=$(stat -c %s "$W/src/large")
	pids=()
	for i in 0 1 2 3; do
		cmp -i $((size / 4 * i)) "$W/src/large" "$W/mnt/latest/large" & pids+=($!)
	done
	all "${pids[@]}"
	unmount
	ended
}

# It must end at once, whatever is under way: nothing waits for a reader, no reader for it for ever.
@test "an end under readers is clean, and leaves no process behind" {
	for how in TERM lazy; do
		serve "$VOUCH"
		echo 3 > /proc/sys/vm/drop_caches
		pids=()
		for _ in 1 2 3 4; do
			(while cat "$W/mnt/latest/large" "$W/mnt/latest/wide/"* > /dev/null 2>&1; do :; done) 3>&- &
			pids+=($!)
		done
		read -rt 0.5 <> <(:) || :
		if [ $how = TERM ]; then
			kill -TERM "$SERVER"
		else
			fusermount3 -uz "$W/mnt"
		fi
		all "${pids[@]}"	# each ends when its next read fails, or the path is gone
		ended
		not_mounted
		server_gone
	done
}

@test "threads do not race" {
	[ -n "$VOUCH_TSAN" ] || skip "VOUCH_TSAN names no build with ThreadSanitizer"
	export TSAN_OPTIONS="halt_on_error=0:exitcode=66:$TSAN_OPTIONS"
	for how in verify=always ro; do
		serve "$VOUCH_TSAN" -o $how
		for first in "$W/mnt"/2*; do [ ! -e "$first/large" ] || break; done
		pids=()
		for i in 1 2 3 4; do
			(
				cd "$first/"
				find . -ls > /dev/null
				find . -type f -print0 | xargs -0 -n 64 -P 2 cat > /dev/null
				getfattr -n user.vouch.verified -n user.vouch.sha256 hello text large > /dev/null 2>&1 || :
				head -c $((i * 100000)) large > /dev/null
				cat ../.vouch/status ../.vouch/metrics ../.vouch/damage ../.vouch/SHA256SUMS/latest \
					../.vouch/manifest/latest.json > /dev/null
				ls -l ../.vouch/versions/hello > /dev/null
			) 3>&- &
			pids+=($!)
		done
		# a snapshot comes meanwhile, not in a second that another has: then their names would change
		until [ "$(date -u +%Y-%m-%dT%H-%M-%SZ)" != "$(readlink "$W/mnt/latest")" ]; do read -rt 0.1 <> <(:) || :; done
		"$VOUCH" backup -C "$W/src/dir" . 2>/dev/null
		all "${pids[@]}"
		unmount
		ended
	done
}
