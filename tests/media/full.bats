#!/usr/bin/env bats
# A full medium: one line, nothing broken, and room is made without any.

load ../cli/helper
load disk

fill()
{
	for bs in 64k 4k 512; do
		dd if=/dev/zero of="$D/fill-$bs" bs=$bs 2>/dev/null || true
		sync -f "$D" || true
	done
}

full()
{
	new_disk "$1" 48M
	vouch init -q "$VOUCH_REPO" 2>/dev/null
	noise 16 "$W/one"
	vouch backup -q -C "$W/one" .
	cp -r "$W/one" "$W/src/one"
	noise 30 "$W/src/two"
	# It does not fit: some of it is stored, nothing is listed, and nothing lies about.
	run -1 vouch backup -C "$W/src" .
	echo "$output"
	one_line
	[[ $output == *"No space left on device"*"free space"* ]]
	[ "$(vouch snapshots --json | jq -s length)" = 1 ]
	[ -z "$(find "$VOUCH_REPO/tmp" "$VOUCH_REPO/writers" -type f)" ]
	whole
	# Not a byte is left.
	fill
	run -1 vouch backup -q -C "$W/one" .
	echo "$output"
	one_line
	[[ $output == *"No space left on device"* ]]
	run -0 vouch restore -q latest "$W/back"
	diff -r "$W/one" "$W/back"
	mkdir "$W/mnt"
	vouch mount "$W/mnt" 3>&-
	diff -r "$W/one" "$W/mnt/latest/"
	fusermount3 -u "$W/mnt"
	before=$(df --output=avail "$D" | tail -n 1)
	run -0 vouch forget -q latest
	run -0 vouch prune --json
	echo "$output"
	[ "$(jq -r 'select(.type == "summary").deleted_packs' <<<"$output")" -gt 0 ]
	[ $(($(df --output=avail "$D" | tail -n 1) - before)) -gt 15000 ]
	# A little less than what went: records of it stay.
	rm "$W/one/1"
	run -0 vouch backup -q -C "$W/one" .
	whole
	vouch restore -q latest "$W/back2"
	diff -r "$W/one" "$W/back2"
	(cd "$VOUCH_REPO" && sha256sum -c --quiet SHA256SUMS)
	unplug
}

@test "full, exFAT" {
	full exfat
}

@test "full, ext4" {
	full ext4
}
