#!/usr/bin/env bats
# A drive that is pulled out in the middle of things, and comes back.

load ../cli/helper
load disk

# A repository on the drive, and a backup into it of a stream that goes on until we end it.
begin()
{
	new_disk exfat 96M
	tree "$W/src"
	vouch init -q "$VOUCH_REPO" 2>/dev/null
	vouch backup -q -C "$W/src" .
	head -c 3000000 /dev/urandom >"$W/stream"
}

backing_up()
{
	mkfifo "$W/pipe"
	"$V" backup -q --stdin-name s <"$W/pipe" >"$W/out" 2>&1 3>&- & backup=$!
	exec 8>"$W/pipe"
	cat "$W/stream" >&8
	within 10 eval '[ -n "$(ls "$VOUCH_REPO/tmp")" ]'
}

# The rest of the stream; whoever reads it may have ended.
goes_on() { (trap '' PIPE; for _ in $(seq 20); do cat "$W/stream" || exit 0; done) 2>/dev/null >&8 || true; }

bare() { [ -z "$(ls -A "$D")" ]; }

gone()		# STATUS
{
	[ "$1" -eq 75 ]
	[ "$(wc -l <"$W/out")" -eq 1 ]
	grep -q 'is not there (is the drive plugged in and mounted?)\|is not there: its place holds no repository' "$W/out"
}

ends() { wait "$1" && rc=0 || rc=$?; }

@test "pulled during a backup: it says so, leaves the bare mount point alone, and goes on when the drive is back" {
	begin
	backing_up
	pull
	goes_on
	exec 8>&-
	ends $backup
	cat "$W/out"
	gone $rc
	bare
	for c in "backup -C $W/src ." snapshots "ls latest" verify "forget latest" prune "restore latest $W/none"; do
		# shellcheck disable=SC2086
		run -75 vouch $c
		one_line
		bare
	done
	[ ! -e "$W/none" ]
	plug
	whole
	[ "$(vouch snapshots --json | jq -s length)" = 1 ]
	run -0 vouch backup -q -C "$W/src" .
	[ -z "$(ls "$VOUCH_REPO/tmp")" ]
	whole
	vouch restore -q latest "$W/back"
	diff -r "$W/src" "$W/back"
}

@test "pulled and back within one backup: it may fail, and what is listed is whole" {
	begin
	backing_up
	pull
	plug
	goes_on
	exec 8>&-
	ends $backup
	cat "$W/out"
	[ $rc -eq 75 ] || [ $rc -eq 1 ]
	[ "$(wc -l <"$W/out")" -eq 1 ]
	whole
	[ "$(vouch snapshots --json | jq -s length)" = 1 ]
	run -0 vouch backup -q -C "$W/src" .
	whole
}

@test "pulled before the backup's end: another drive in its place gets nothing" {
	begin
	backing_up
	pull
	truncate -s 48M "$W/other"
	mkfs.exfat "$W/other" >/dev/null
	mine=$IMG IMG=$W/other
	plug
	vouch init -q "$VOUCH_REPO" 2>/dev/null
	before=$(find "$D" -type f -exec sha256sum {} + | sort)
	goes_on
	exec 8>&-
	ends $backup
	cat "$W/out"
	[ $rc -eq 75 ]
	grep -q 'its place holds another repository\|is not there' "$W/out"
	[ "$(find "$D" -type f -exec sha256sum {} + | sort)" = "$before" ]
	unplug
	IMG=$mine
	plug
	whole
}

@test "pulled below a mount: errors, no damage, and it goes on when the drive is back" {
	begin
	mkdir "$W/mnt"
	"$V" mount -f "$W/mnt" >"$W/log" 2>&1 3>&- & server=$!
	within 10 mountpoint -q "$W/mnt"
	cmp "$W/src/etc/hosts" "$W/mnt/latest/etc/hosts"
	pull
	run ! cat "$W/mnt/latest/share/random.bin"
	[[ $output == *"Input/output error"* ]]
	bare
	# What held the old drive's files lets go of them.
	holds() { ls -l /proc/$server/fd | grep -q "$D"; }
	let_go() { ! holds; }
	within 10 let_go
	plug
	within 10 cmp -s "$W/src/share/random.bin" "$W/mnt/latest/share/random.bin"
	diff -r "$W/src" "$W/mnt/latest/"
	echo more >"$W/src/more"
	vouch backup -q -C "$W/src" .
	within 10 test -e "$W/mnt/latest/more"
	fusermount3 -u "$W/mnt"
	ends $server
	cat "$W/log"
	# Gone is not damaged.
	[ $rc -eq 0 ]
	[ "$(grep -c 'damage:' "$W/log")" -eq 0 ]
	grep -q 'warning: .*is not there' "$W/log"
}

@test "pulled during a restore and a verify: they say so" {
	begin
	noise 10 "$W/src/noise"
	vouch backup -q -C "$W/src" .
	for c in "restore latest $W/none --limit-rate 2M" "verify --limit-rate 2M" "verify latest --limit-rate 2M"; do
		# shellcheck disable=SC2086
		"$V" $c -q >"$W/out" 2>&1 3>&- & pid=$!
		sleep 0.7
		pull
		ends $pid
		echo "$rc: $(cat "$W/out")"
		[ $rc -eq 75 ]
		[ "$(wc -l <"$W/out")" -eq 1 ]
		bare
		plug
		whole
	done
}

# The cable, not the mount: the file system is there, and whatever is read or written of the device fails.
@test "a device that is gone below its file system: the backup fails in a line, and all is whole on the device when it is back" {
	new_disk exfat 128M
	under=$D outer=$DEV
	IMG=$under/img D=$W/inner KIND=ext4
	mkdir "$D"
	truncate -s 96M "$IMG"
	mkfs.ext4 -q -m 0 "$IMG"
	plug
	export VOUCH_REPO=$D/repo
	tree "$W/src"
	vouch init -q "$VOUCH_REPO"
	vouch backup -q -C "$W/src" .
	sync -f "$D"
	head -c 3000000 /dev/urandom >"$W/stream"
	backing_up
	kill -9 "$(pgrep -f "^mount.exfat-fuse .*$outer $under\$")"
	goes_on
	exec 8>&-
	ends $backup
	cat "$W/out"
	[ $rc -eq 1 ] || [ $rc -eq 75 ]
	[ "$(wc -l <"$W/out")" -eq 1 ]
	umount "$D"
	losetup -d "$DEV"
	umount -l "$under"
	mount.exfat-fuse "$outer" "$under" 3>&- >"$W/exfat.log" 2>&1
	plug
	whole
	run -0 vouch backup -q -C "$W/src" .
	whole
	[ -z "$(find "$VOUCH_REPO/tmp" -type f)" ]
	unplug
	DEV=$outer D=$under
	unplug
}
