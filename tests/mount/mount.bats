#!/usr/bin/env bats
# What the mount shows of a snapshot, and that nothing can be changed in it.

load common

setup_file()
{
	require_fuse
	begin
	make_tree
	"$VOUCH" init "$VOUCH_REPO"
	"$VOUCH" backup -C "$W/src" . 2>"$W/backup.err"
	mount_it -o allow_other
}

teardown_file() { drop; }

stat_of() { stat -c "$1" "$W/mnt/latest/$2"; }

@test "it is a read-only fuse.vouch mount that honours no setuid and no devices" {
	run findmnt -no FSTYPE,SOURCE "$W/mnt"
	[ "$output" = "fuse.vouch $W/repo" ]
	run findmnt -no OPTIONS "$W/mnt"
	for o in ro nosuid nodev noatime default_permissions allow_other; do
		[[ ",$output," = *",$o,"* ]]
	done
}

@test "the root lists one dated folder, and latest leads to it" {
	run ls "$W/mnt"
	[ "${#lines[@]}" -eq 4 ]
	[[ "${lines[0]}" =~ ^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]-[0-5][0-9]-[0-6][0-9]Z$ ]]
	[ "${lines[1]}" = by-type ]
	[ "${lines[2]}" = latest ]
	[ "${lines[3]}" = "latest-$(hostname | tr -c 'A-Za-z0-9._\n-' _)" ]
	[ "$(readlink "$W/mnt/latest")" = "${lines[0]}" ]
	[ "$(stat -c %h "$W/mnt")" -eq 4 ]
}

@test "a snapshot is found by its name with its id, short and long" {
	date=$(readlink "$W/mnt/latest")
	full=$(basename "$W"/repo/snapshots/*.json .json)
	[ "$(cat "$W/mnt/$full/hello")" = hello ]
	[ "$(cat "$W/mnt/${full:0:29}/hello")" = hello ]
	[ "$(readlink "$W/mnt/$full")" = "$date" ]
	[ "$(readlink "$W/mnt/${full:0:29}")" = "$date" ]
	for wrong in "${full:0:28}" "${full}0" "${full:0:19}" "${full:0:4}" none; do
		[ ! -e "$W/mnt/$wrong" ]
	done
}

@test "what is read is what was backed up" {
	(cd "$W/src" && find . -type f -print0 | sort -z | xargs -0 sha256sum) > "$W/want"
	(cd "$W/mnt/latest/" && find . -type f -print0 | sort -z | xargs -0 sha256sum) > "$W/got"
	cmp "$W/want" "$W/got"
	[ "$(wc -l < "$W/got")" -gt 1500 ]
}

@test "find sees everything, in a folder of many too" {
	(cd "$W/src" && find . -printf '%y %P %l\n' | LC_ALL=C sort) > "$W/want"
	(cd "$W/mnt/latest/" && find . -printf '%y %P %l\n' | LC_ALL=C sort) > "$W/got"
	cmp "$W/want" "$W/got"
	# again, from the kernel's copy of the listing
	(cd "$W/mnt/latest/" && find . -printf '%y %P %l\n' | LC_ALL=C sort) | cmp "$W/want" -
}

@test "stat: mode, links, owner, sizes, times" {
	for f in hello empty text large sparse setuid hard-1 dir/hard-3 link null fifo; do
		[ "$(stat_of '%f %h %u:%g %s %t:%T %.9Y' $f)" = \
			"$(stat -c '%f %h %u:%g %s %t:%T %.9Y' "$W/src/$f")" ]
	done
	for d in . dir dir/sub wide private; do
		[ "$(stat_of '%f %h %u:%g %.9Y' $d)" = "$(stat -c '%f %h %u:%g %.9Y' "$W/src/$d")" ]
	done
	[ "$(stat_of %a setuid)" = 4751 ]
	[ "$(stat_of %o large)" -eq 131072 ]
}

@test "stat: blocks count data and no holes" {
	[ "$(stat_of %b empty)" -eq 0 ]
	[ "$(stat_of %b hello)" -eq 1 ]
	[ "$(stat_of %b large)" -eq $(((2500000 + 511) / 512)) ]
	[ "$(stat_of %b sparse)" -eq 256 ]
	[ "$(stat_of %b many-holes)" -eq 640 ]
}

@test "inode numbers: one for all names of a file, others all different, the same after a remount" {
	[ "$(stat_of %i hard-1)" = "$(stat_of %i hard-2)" ]
	[ "$(stat_of %i hard-1)" = "$(stat_of %i dir/hard-3)" ]
	find "$W/mnt/latest/" -printf '%i %P\n' | sort > "$W/before"
	# two names more than numbers
	[ $(($(wc -l < "$W/before") - 2)) -eq "$(cut -d' ' -f1 "$W/before" | sort -u | wc -l)" ]
	# a listing and a stat agree
	ls -iU "$W/mnt/latest/wide" | awk '{print $1}' | sort > "$W/listed"
	find "$W/mnt/latest/wide" -mindepth 1 -printf '%i\n' | sort | cmp - "$W/listed"
	unmount
	mount_it -o allow_other
	find "$W/mnt/latest/" -printf '%i %P\n' | sort | cmp - "$W/before"
}

@test "extended attributes" {
	[ "$(getfattr --only-values -n user.note "$W/mnt/latest/hello")" = hi ]
	[ "$(getfattr --only-values -n trusted.note "$W/mnt/latest/hello")" = secret ]
	getfattr --only-values -n user.big "$W/src/hello" > "$W/big"
	getfattr --only-values -n user.big "$W/mnt/latest/hello" | cmp - "$W/big"
	(cd "$W/src" && getfattr -d -m - -R . 2>/dev/null | sort) > "$W/want"
	(cd "$W/mnt/latest/" && getfattr -d -m - -R . 2>/dev/null | sort) | cmp - "$W/want"
	run getfattr -n user.none "$W/mnt/latest/hello"
	[ "$status" -ne 0 ]
	run getfattr -n user.none "$W/mnt"
	[ "$status" -ne 0 ]
	(cd "$W/mnt" && setpriv --reuid=65534 --regid=65534 --clear-groups \
		getfattr -d -m - latest/hello) > "$W/got"
	grep -q user.note "$W/got"
	run grep trusted "$W/got"
	[ "$status" -eq 1 ]
}

@test "ACLs and modes are judged for another user" {
	as() { (cd "$W/mnt" && setpriv --reuid="$1" --regid="$1" --clear-groups cat "latest/$2"); }
	[ "$(as 65534 acl-yes)" = readable ]
	run as 65534 acl-no
	[[ "$output" = *"Permission denied"* ]]
	run as 65534 acl-mask
	[[ "$output" = *"Permission denied"* ]]
	[ "$(as 1000 acl-mask)" = open ]
	run as 1000 acl-yes
	[[ "$output" = *"Permission denied"* ]]
	run as 65534 private/file
	[[ "$output" = *"Permission denied"* ]]
	[ "$(as 0 private/file)" = hidden ]
	(cd "$W/src" && find . | sort | getfacl -) > "$W/want"
	(cd "$W/mnt/latest/" && find . | sort | getfacl -) | cmp - "$W/want"
}

@test "holes are told by lseek, and cp keeps them" {
	for f in sparse many-holes large empty hello; do
		[ "$(python3 "$HERE/holes.py" "$W/mnt/latest/$f")" = \
			"$(python3 "$HERE/holes.py" "$W/src/$f")" ]
	done
	[ "$(python3 "$HERE/holes.py" "$W/mnt/latest/sparse")" = \
		"data 0-65536 hole 65536-2097152 data 2097152-2162688 hole 2162688-4194304" ]
	cp "$W/mnt/latest/sparse" "$W/sparse-copy"
	cmp "$W/sparse-copy" "$W/src/sparse"
	[ "$(stat -c %b "$W/sparse-copy")" -le 272 ]
}

@test "a device in the mount is not one" {
	run cat "$W/mnt/latest/null"
	[ "$status" -ne 0 ]
	[[ "$output" = *"Permission denied"* ]]
}

@test "nothing can be changed" {
	python3 "$HERE/writes.py" "$W/mnt/latest" "$W/mnt/latest/hello"
	run touch "$W/mnt/new"
	[[ "$output" = *"Read-only file system"* ]]
}

@test "nothing can be changed even where root remounts it for writing" {
	mount -i -o remount,rw "$W/mnt" || skip "no remount here"
	python3 "$HERE/writes.py" "$W/mnt/latest" "$W/mnt/latest/hello"
	run touch "$W/mnt/new"
	[[ "$output" = *"Read-only file system"* ]]
	mount -i -o remount,ro "$W/mnt"
	cmp "$W/src/hello" "$W/mnt/latest/hello"
}

@test "statfs says how large the medium is, and that nothing is free" {
	[ "$(stat -fc %a "$W/mnt")" -eq 0 ]
	[ "$(stat -fc %f "$W/mnt")" -eq 0 ]
	[ "$(stat -fc %l "$W/mnt")" -eq 255 ]
	[ "$(stat -fc %b "$W/mnt")" -gt 0 ]
}

@test "a name that is not there, and a file taken for a folder" {
	[ ! -e "$W/mnt/latest/nothing" ]
	[ ! -e "$W/mnt/latest/nothing" ]
	run cat "$W/mnt/latest/hello/x"
	[[ "$output" = *"Not a directory"* ]]
	run ls "$W/mnt/latest/$(printf 'x%.0s' $(seq 256))"
	[[ "$output" = *"File name too long"* ]]
}

@test "many readers at once read the same" {
	sha256sum < "$W/src/large" > "$W/want"
	echo 3 > /proc/sys/vm/drop_caches
	for i in 1 2 3 4 5 6 7 8; do
		{ sha256sum < "$W/mnt/latest/large" > "$W/reader-$i"
		find "$W/mnt/latest/wide" -type f -exec cat {} + | wc -l >> "$W/reader-$i"; } &
	done
	wait
	echo 1500 >> "$W/want"
	for i in 1 2 3 4 5 6 7 8; do cmp "$W/want" "$W/reader-$i"; done
}

# As an NFS server does it: by handles, long after the kernel has forgotten what they were made of.
@test "handles lead to their files when the kernel has forgotten them, and after a remount" {
	s=$(readlink "$W/mnt/latest")
	python3 "$HERE/handles.py" take "$W/mnt/$s" . dir dir/sub/deeper dir/sub/deeper/deep large hello \
		wide/file-number-77-with-a-long-name > "$W/handles"
	for f in dir/sub/deeper/deep large hello wide/file-number-77-with-a-long-name; do
		echo "$(stat -c %s "$W/src/$f") $(sha256sum < "$W/src/$f" | cut -c -64)"
	done > "$W/want"
	for round in forgotten remounted; do
		if [ $round = remounted ]; then unmount; mount_it; fi
		echo 3 > /proc/sys/vm/drop_caches
		python3 "$HERE/handles.py" read "$W/mnt" < "$W/handles" > "$W/got"
		cat "$W/got"
		[ "$(sed -n 2p "$W/got")" = "folder of 1: hard-3 sub" ]
		[ "$(sed -n 3p "$W/got")" = "folder of 1: deep" ]
		[[ "$(sed -n 1p "$W/got")" = "folder of 1: "* ]]
		tail -n 4 "$W/got" | cmp - "$W/want"
	done
	# a handle of nothing that there is
	python3 "$HERE/handles.py" take "$W/mnt/$s" hello |
		python3 -c 'import sys; h = input(); print(h[:16] + "fe" * 4 + "00" + h[26:])' > "$W/none"
	[[ "$(python3 "$HERE/handles.py" read "$W/mnt" < "$W/none")" = "error Stale file handle" ]]
}
