#!/usr/bin/env bats
# A medium that cannot be written: everything that reads works, and what writes says why in a line.

load ../cli/helper
load disk

teardown()
{
	[ -z "${DEV-}" ] || blockdev --setrw "$DEV" || true
	clear_up
}

reads_only()
{
	rm -rf "$W/back" "$W/cache"
	before=$(sha256sum "$IMG")
	[ "$(vouch snapshots --json | jq -s length)" = 2 ]
	vouch ls -R latest | grep -q hosts
	vouch cat latest:etc/hosts | cmp - "$W/src/etc/hosts"
	vouch diff latest~1 latest | grep -q second
	run -0 vouch verify -q
	run -0 vouch restore -q latest "$W/back"
	diff -r "$W/src" "$W/back"
	mkdir -p "$W/mnt"
	vouch mount "$W/mnt" 3>&-
	diff -r "$W/src" "$W/mnt/latest/"
	fusermount3 -u "$W/mnt"
	for c in "backup -C $W/src ." "forget latest" "prune" "init $D/another"; do
		# shellcheck disable=SC2086
		run -1 vouch $c
		echo "$output"
		one_line
		[[ $output == *"Read-only file system"* ]]
	done
	run -0 vouch prune --dry-run
	run -0 vouch forget --dry-run latest
	[ "$(sha256sum "$IMG")" = "$before" ]
}

both_ways()
{
	new_disk "$1" 48M
	tree "$W/src"
	vouch init -q "$VOUCH_REPO" 2>/dev/null
	vouch backup -q -C "$W/src" .
	echo 2 >"$W/src/second"
	vouch backup -q -C "$W/src" .
	leave
	remount ro
	reads_only
	leave
	blockdev --setro "$DEV"
	remount ro
	reads_only
	# Without an index there is none either.
	leave
	blockdev --setrw "$DEV"
	remount
	rm "$VOUCH_REPO/index.db"
	leave
	blockdev --setro "$DEV"
	remount ro
	reads_only
	leave
	blockdev --setrw "$DEV"		# the loop device keeps it for whoever comes next
	losetup -d "$DEV"
}

@test "read-only, exFAT" {
	both_ways exfat
}

@test "read-only, ext4" {
	both_ways ext4
}
