#!/usr/bin/env bats
# A mount that is read for long keeps what it has: nothing is lost under LeakSanitizer (VOUCH_ASAN names a build with
# it), and the resident size is steady.

load common

setup_file()
{
	require_fuse
	begin
	make_tree
	"$VOUCH" init "$VOUCH_REPO"
	"$VOUCH" backup -C "$W/src" . 2>/dev/null
	echo more > "$W/src/hello"
	"$VOUCH" backup -C "$W/src" . 2>/dev/null
}

teardown() { drop; }

# serve PROGRAM: in the foreground.
serve()
{
	"$1" mount -f "$W/mnt" > "$W/log" 2>&1 3>&- &
	export SERVER=$!
	within 30 mounted
}

# Names, attributes, links' targets and every byte, by several readers at once; what is not there is asked for, too.
read_all()
{
	local readers=()

	for _ in 1 2 3 4; do
		(
			cd "$W/mnt/latest/"
			find . -ls > /dev/null
			find . -type f -print0 | xargs -0 -n 16 -P 2 cat > /dev/null
			getfattr -hdm - hello link dir > /dev/null
			stat hello/none none/none none 2> /dev/null
			head -c 100000 large | tail -c 10 > /dev/null
		) 3>&- || : &
		readers+=($!)
	done
	for s in "$W"/mnt/2*; do (cd "$s/" && tar --one-file-system -cf - . | cat > /dev/null); done
	wait "${readers[@]}"
}

resident() { awk '$1 == "VmRSS:" {print $2}' "/proc/$SERVER/status"; }

@test "nothing leaks" {
	[ -n "$VOUCH_ASAN" ] || skip "VOUCH_ASAN names no build with AddressSanitizer"
	export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99
	serve "$VOUCH_ASAN"
	for _ in 1 2 3; do
		read_all
		echo 3 > /proc/sys/vm/drop_caches
	done
	unmount
	rc=0
	wait "$SERVER" || rc=$?
	cat "$W/log"
	[ $rc -eq 0 ]
	[ ! -s "$W/log" ]
}

@test "nothing leaks where the repository is damaged" {
	[ -n "$VOUCH_ASAN" ] || skip "VOUCH_ASAN names no build with AddressSanitizer"
	export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99
	cp -a "$W/repo" "$W/damaged"
	python3 "$HERE/flip.py" "$W/damaged" "$W/src/random-a"
	VOUCH_REPO=$W/damaged serve "$VOUCH_ASAN"
	for _ in 1 2; do
		read_all
		run cat "$W/mnt/latest/random-a"
		[[ "$output" = *"Input/output error"* ]]
		echo 3 > /proc/sys/vm/drop_caches
	done
	unmount
	rc=0
	wait "$SERVER" || rc=$?
	cat "$W/log"
	[ $rc -eq 4 ]	# damage was met; LeakSanitizer's is 99
	rm -rf "$W/damaged"
}

@test "the resident size is steady" {
	serve "$VOUCH"
	for round in $(seq 20); do
		read_all
		echo 3 > /proc/sys/vm/drop_caches
		[ "$round" -ne 5 ] || early=$(resident)
	done
	late=$(resident)
	echo "after 5 rounds $early KiB, after 20 $late KiB"
	[ "$late" -le $((early + early / 10)) ]
	unmount
	wait "$SERVER"
}
