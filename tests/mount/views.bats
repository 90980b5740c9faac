#!/usr/bin/env bats
# What the mount adds to the snapshots: links by host and by type, names in local time, xattrs, reads past the caches,
# and the forms in which mount(8) calls it.

load common

setup_file()
{
	require_fuse
	begin
	make_tree
	"$VOUCH" init "$VOUCH_REPO"
	"$VOUCH" backup --host 'web 1' -C "$W/src" . 2>/dev/null
	(cd "$W/src" && tar -cf - text) | "$VOUCH" backup --host db --stdin dump.tar 2>/dev/null
}

teardown() { drop; }

sorted() { "$VOUCH" snapshots --json | jq -r .name; }

@test "latest-HOST leads to each host's newest" {
	mount_it
	names=($(sorted))
	cmp "$W/src/hello" "$W/mnt/latest-web_1/hello"
	[ "$(readlink "$W/mnt/latest-db")" = "$(readlink "$W/mnt/latest")" ]
	[[ "${names[0]}" = "$(readlink "$W/mnt/latest-web_1")"* ]]
	before=$(readlink "$W/mnt/latest-web_1")
	ls "$W/mnt/by-type/files" > "$W/old"
	until [ "$(date -u +%Y-%m-%dT%H-%M-%SZ)" != "$(readlink "$W/mnt/latest")" ]; do read -rt 0.1 <> <(:) || :; done
	"$VOUCH" backup --host 'web 1' -C "$W/src/dir" . 2>/dev/null
	moved() { [ "$(readlink "$W/mnt/latest-web_1")" != "$before" ]; }
	within 2 moved
	[ -d "$W/mnt/latest-web_1/sub/deeper" ]
	[ "$(ls "$W/mnt/by-type/files" | wc -l)" -eq $(($(wc -l < "$W/old") + 1)) ]
}

@test "by-type/files has a link for each snapshot, and links only" {
	mount_it
	[ "$(find "$W/mnt/by-type" -mindepth 2 ! -type l | wc -l)" -eq 0 ]
	[ "$(find "$W/mnt/by-type/files/" -type l | wc -l)" -eq "$(sorted | wc -l)" ]
	for l in "$W/mnt"/by-type/files/*; do
		[[ "${l##*/}" =~ ^session_20[0-9]{6}_[0-9]{6}(-[0-9a-f]{8})?$ ]]
		[ -d "$l/" ]
		at=$(basename "$(readlink "$l")")
		[ "${at:0:4}${at:5:2}${at:8:2}_${at:11:2}${at:14:2}${at:17:2}" = "$(basename "$l" | cut -c 9-23)" ]
		[ "$(readlink "$l")" = "../../$at" ]
	done
	one=$(stat -c %i "$W/mnt/by-type" "$W/mnt/by-type/files" "$W/mnt"/by-type/files/*)
	[ "$(stat -c %Y "$W/mnt/by-type")" = "$(stat -c %Y "$W/mnt/latest")" ]
	unmount
	mount_it
	[ "$one" = "$(stat -c %i "$W/mnt/by-type" "$W/mnt/by-type/files" "$W/mnt"/by-type/files/*)" ]
	[ ! -e "$W/mnt/by-type/none" ]
	[ ! -e "$W/mnt/latest-nobody" ]
	run touch "$W/mnt/by-type/x"
	[[ "$output" = *"Read-only file system"* ]]
	run ls "$W/mnt/by-type/files/none"
	[[ "$output" = *"No such file"* ]]
}

@test "time=local: dated by the clock on the wall, with its offset; the other names are good, too" {
	TZ=Asia/Kolkata mount_it -o time=local
	[ -z "$(ls "$W/mnt" | grep '^20' | grep -vE '^20..-..-..T..-..-..\+0530(-[0-9a-f]{8})?$')" ]
	for full in $(sorted); do
		shown=$(readlink "$W/mnt/$full")
		[ -d "$W/mnt/$shown" ] && [ ! -L "$W/mnt/$shown" ]
		[ "$(readlink "$W/mnt/${full:0:29}")" = "$shown" ]
		t=${full:0:10}\ ${full:11:2}:${full:14:2}:${full:17:2}
		[ "${shown:0:24}" = "$(TZ=Asia/Kolkata date -d "$t UTC" +%Y-%m-%dT%H-%M-%S%z)" ]
		[ -e "$W/mnt/${shown:0:24}-${full:21:8}/." ]
		[ -e "$W/mnt/${shown:0:24}-${full:21:16}/." ]
	done
	cmp "$W/src/text" <(tar -xOf "$W/mnt/latest-db/dump.tar" text)
}
