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

teardown()
{
	drop
	umount -l "$W/disk" 2>/dev/null || :
	losetup -j "$W/exfat" 2>/dev/null | cut -d : -f 1 | while read -r d; do losetup -d "$d"; done
}

sorted() { "$VOUCH" snapshots --json | jq -r .name; }

@test "latest-HOST leads to each host's newest" {
	mount_it
	names=($(sorted))
	cmp "$W/src/hello" "$W/mnt/latest-web_1/hello"
	[ "$(readlink "$W/mnt/latest-db")" = "$(readlink "$W/mnt/latest")" ]
	[[ "${names[0]}" = "$(readlink "$W/mnt/latest-web_1")"* ]]
	cmp "$W/mnt/.vouch/SHA256SUMS/latest-web_1" "$W/mnt/.vouch/SHA256SUMS/${names[0]}"
	cmp "$W/mnt/.vouch/SHA256SUMS/latest-db" "$W/mnt/.vouch/SHA256SUMS/latest"
	cmp "$W/mnt/.vouch/manifest/latest-web_1.json" "$W/mnt/.vouch/manifest/${names[0]}.json"
	[ ! -e "$W/mnt/.vouch/SHA256SUMS/latest-nobody" ]
	[ ! -e "$W/mnt/.vouch/SHA256SUMS/by-type" ]
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
	[ "$(stat -c %Y "$W/mnt"/by-type/files/* | sort -n | tail -n 1)" = "$(stat -c %Y "$W/mnt/latest")" ]
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
		[ -d "$W/mnt/$shown" ]
		[ ! -L "$W/mnt/$shown" ]
		[ "$(readlink "$W/mnt/${full:0:29}")" = "$shown" ]
		t=${full:0:10}\ ${full:11:2}:${full:14:2}:${full:17:2}
		[ "${shown:0:24}" = "$(TZ=Asia/Kolkata date -d "$t UTC" +%Y-%m-%dT%H-%M-%S%z)" ]
		[ -e "$W/mnt/${shown:0:24}-${full:21:8}/." ]
		[ -e "$W/mnt/${shown:0:24}-${full:21:16}/." ]
	done
	cmp "$W/src/text" <(tar -xOf "$W/mnt/latest-db/dump.tar" text)
}

xattr() { getfattr --only-values -n "user.vouch.$1" "$W/mnt/$first/$2" 2>/dev/null; }

none_listed() { [ -z "$(getfattr -R -h -m 'user[.]vouch' "$@" 2>/dev/null)" ]; }

@test "user.vouch.sha256 answers when asked, is not listed, and is in no copy" {
	mount_it
	first=$(sorted | head -n 1)
	for f in hello large empty sparse text wide/file-number-7-with-a-long-name; do
		[ "$(xattr sha256 "$f")" = "$(sha256sum < "$W/src/$f" | cut -c -64)" ]
		[ -z "$(xattr verified "$f")" ]
	done
	[ -z "$(xattr sha256 dir)" ]
	[ -z "$(xattr other hello)" ]
	getfattr -d -m - "$W/mnt/$first/hello" | grep -q '^user.note='
	none_listed "$W/mnt/$first/"
	cp -a "$W/mnt/$first/." "$W/copy"
	getfattr -d "$W/copy/hello" | grep -q '^user.note='
	none_listed "$W/copy"
	rsync -aX "$W/mnt/$first/" "$W/copy2/"
	none_listed "$W/copy2"
	rm -rf "$W/copy" "$W/copy2"
}

# A drive with a copy of the repository: its blocks can change behind the back of every cache, or become unreadable.
plug_in()
{
	truncate -s 48M "$W/drive"
	mkfs.ext4 -q -F "$W/drive"
	mkdir -p "$W/disk"
	mount -o loop "$W/drive" "$W/disk" || skip "no loop devices"
	cp -a "$VOUCH_REPO" "$W/disk/repo"
	umount "$W/disk"
	cp --sparse=always "$W/drive" "$W/drive.good"
	mount -o loop,ro "$W/drive" "$W/disk"
	export VOUCH_REPO=$W/disk/repo
}

unplug()
{
	within 10 umount "$W/disk"
	rm -f "$W/drive" "$W/drive.good"
}

damage()	# damage FILE: flip a bit of it on the drive
{
	python3 - "$W/drive" "$1" << 'END'
import sys
drive = open(sys.argv[1], "r+b")
body = drive.read()
at = body.find(open(sys.argv[2], "rb").read(64))
assert at > 0
drive.seek(at + 17)
drive.write(bytes([body[at + 17] ^ 4]))
END
}

mend() { dd if="$W/drive.good" of="$W/drive" conv=notrunc status=none; }

reads() { cmp -s "$W/src/$1" "$W/mnt/latest-web_1/$1"; }

is_eio()
{
	run cat "$W/mnt/latest-web_1/$1"
	[ "$status" -ne 0 ]
	[[ "$output" = *"Input/output error"* ]]
}

only_whole()	# the snapshot with random-a in it is its host's newest
{
	"$VOUCH" backup --host 'web 1' -C "$W/src" . 2>/dev/null
}

@test "by default what was read once may come from memory" {
	only_whole
	plug_in
	mount_it
	reads random-a
	damage "$W/src/random-a"
	reads random-a
	unmount
	within 5 server_gone
	unplug
}

@test "verify=always: each read goes to the medium, and tells when it was found good" {
	only_whole
	plug_in
	mount_it -o verify=always,heal=off
	for round in 1 2; do
		for f in random-a random-b large text hello many-holes; do reads $f; done
	done
	first=latest-web_1
	now=$(date +%s)
	for f in random-a large text many-holes; do
		[ $((now - $(date -d "$(xattr verified $f)" +%s))) -lt 20 ]
	done
	head -c 1000 "$W/mnt/$first/sparse" > /dev/null
	[ -z "$(xattr verified sparse)" ]	# not whole
	[ -z "$(xattr verified hello)" ]	# lies in its folder's record
	none_listed "$W/mnt/$first/"
	before=$(xattr verified random-a)
	damage "$W/src/random-a"
	is_eio random-a
	[ "$(xattr verified random-a)" = "$before" ]
	for f in random-b large text; do reads $f; done
	mend
	within 5 reads random-a
	(cd "$W/src" && find . -type f -print0 | sort -z | xargs -0 sha256sum) > "$W/want"
	(cd "$W/mnt/$first/" && find . -type f -print0 | sort -z | xargs -0 sha256sum) > "$W/got"
	cmp "$W/want" "$W/got"
	# backwards, across, and holes
	python3 -c '
import os, sys
a, b = (os.open(p + "/" + sys.argv[3], os.O_RDONLY) for p in sys.argv[1:3])
size = os.fstat(a).st_size
for off in [size - 10, 1 << 20, 1 << 20, 999999, 0, 131072, 262144, 262100, 5]:
    assert os.pread(a, 131072, off) == os.pread(b, 131072, off), off
assert os.pread(b, 10, size) == b""
' "$W/src" "$W/mnt/$first" large
	unmount
	within 5 server_gone
	unplug
}

# exfat-fuse answers from its own memory and the system's: that is said, and no file counts as read from the medium.
@test "verify=always on exfat-fuse: a warning, right bytes, and nothing noted as verified" {
	command -v mount.exfat-fuse > /dev/null || skip "no exfat-fuse"
	command -v mkfs.exfat > /dev/null || skip "no mkfs.exfat"
	truncate -s 48M "$W/exfat"
	mkfs.exfat "$W/exfat" > "$W/log"
	device=$(losetup --show -f "$W/exfat") || skip "no loop devices"
	mkdir -p "$W/disk"
	mount.exfat-fuse "$device" "$W/disk" 3>&- || skip "exfat-fuse cannot mount here"
	"$VOUCH" --repo "$W/disk/repo" init 2> /dev/null
	"$VOUCH" --repo "$W/disk/repo" backup --host 'web 1' -C "$W/src" . 2> /dev/null
	"$VOUCH" --repo "$W/disk/repo" mount -f -o verify=always "$W/mnt" > "$W/log" 2>&1 3>&- &
	server=$!
	within 10 mounted
	[ "$(grep -c "warning: verify=always: .* lies on fuse, .* not as read from the medium$" "$W/log")" -eq 1 ]
	[ "$(wc -l < "$W/log")" -eq 1 ]
	first=latest
	for round in 1 2; do
		for f in random-a large text many-holes; do
			reads $f
			[ -z "$(xattr verified $f)" ]
			[ "$(xattr sha256 $f)" = "$(sha256sum < "$W/src/$f" | cut -c -64)" ]
		done
	done
	(cd "$W/mnt/latest/" && find . -type f -exec cat {} + > /dev/null)
	[ -z "$(cd "$W/mnt/latest/" && find . -type f -exec getfattr -n user.vouch.verified {} + 2> /dev/null)" ]
	unmount
	wait "$server"
	within 10 umount "$W/disk"
	losetup -d "$device"
	rm -f "$W/exfat"
}

@test "a drive whose sectors cannot be read: EIO, the mount lives, and goes on when they can" {
	only_whole
	plug_in
	mount_it
	ls "$W/mnt/latest-web_1/" > /dev/null
	truncate -s 64K "$W/drive"	# the rest of the device is there and cannot be read
	echo 3 > /proc/sys/vm/drop_caches
	is_eio large
	ls "$W/mnt" | grep -q latest
	truncate -s 48M "$W/drive"
	mend
	echo 3 > /proc/sys/vm/drop_caches
	within 10 reads large
	within 5 reads random-b
	unmount
	within 5 server_gone
	unplug
}

@test "a damaged chunk of a folder's entries: that folder is EIO, its siblings are fine" {
	mkdir -p "$W/two/a-wide" "$W/two/b"
	(cd "$W/two/a-wide" && seq -f 'an-empty-file-%.0f' 20000 | xargs touch)
	cp "$W/src/random-a" "$W/src/hello" "$W/two/b"
	"$VOUCH" init "$W/two-repo"
	"$VOUCH" --repo "$W/two-repo" backup -C "$W/two" . 2>/dev/null
	python3 - "$W/two-repo" "$W/src/random-a" << 'END'
import glob, os, sys
sought = open(sys.argv[2], "rb").read(64)
trees = [p for p in glob.glob(sys.argv[1] + "/packs/*/*.pack") if sought not in open(p, "rb").read()]
assert len(trees) == 1, trees
os.chmod(trees[0], 0o600)
with open(trees[0], "r+b") as f:
    f.seek(os.path.getsize(trees[0]) * 3 // 10)
    byte = f.read(1)
    f.seek(-1, 1)
    f.write(bytes([byte[0] ^ 4]))
END
	VOUCH_REPO=$W/two-repo mount_it -o heal=off
	run sh -c "ls '$W/mnt/latest/a-wide' 2>&1 > /dev/null"
	[[ "$output" = *"Input/output error"* ]]
	cmp "$W/two/b/random-a" "$W/mnt/latest/b/random-a"
	cmp "$W/two/b/hello" "$W/mnt/latest/b/hello"
	[ "$(ls "$W/mnt/latest/")" = "$(printf 'a-wide\nb')" ]
	unmount
	rm -rf "$W/two" "$W/two-repo"
}

# mount(8) finds the program in its own PATH, /usr/local/bin among it: there is a private one for the test.
as_root_would()
{
	unshare -m --propagation private sh -ec '
		mount -t tmpfs none /usr/local/bin
		make -s -C "$1" install PREFIX=/usr/local DESTDIR="$2/dest" B="$3" >/dev/null
		cp "$2/dest/usr/local/bin/vouch" /usr/local/bin/
		shift 3
		eval "$1"' sh "$HERE/../.." "$W" "$(dirname "$VOUCH")" "$1"
}

@test "mount -t fuse.vouch, and a line of fstab" {
	[ -x /sbin/mount.fuse ] || skip "no mount.fuse here"
	[[ "$VOUCH" = */vouch ]] && [ -f "$HERE/../../Makefile" ] || skip "not in the source tree"
	export W VOUCH_REPO
	as_root_would '
		mount -t fuse.vouch -o time=local,allow_other "$VOUCH_REPO" "$W/mnt"
		cmp "$W/src/hello" "$W/mnt/latest-web_1/hello"
		findmnt -no FSTYPE,OPTIONS "$W/mnt" | grep -q "^fuse.vouch ro,nosuid,nodev,"
		umount "$W/mnt"
		echo "$VOUCH_REPO $W/mnt fuse.vouch defaults,noauto,nofail,_netdev,x-systemd.automount,allow_other 0 0" > "$W/fstab"
		mount -T "$W/fstab" "$W/mnt"
		cmp "$W/src/hello" "$W/mnt/latest-web_1/hello"
		findmnt -no FSTYPE,OPTIONS "$W/mnt" | grep -q "^fuse.vouch ro,nosuid,nodev,.*allow_other"
		umount "$W/mnt"
		if mount -t fuse.vouch -o bogus "$VOUCH_REPO" "$W/mnt" 2> "$W/err"; then exit 1; fi
		grep -q "bogus: no such mount option" "$W/err"'
	[ -L "$W/dest/usr/local/sbin/mount.fuse.vouch" ]
	"$W/dest/usr/local/sbin/mount.fuse.vouch" "$VOUCH_REPO" "$W/mnt" -n -s -o rw,dev,suid
	cmp "$W/src/hello" "$W/mnt/latest-web_1/hello"
	unmount
	"$W/dest/usr/local/sbin/mount.fuse.vouch" "$VOUCH_REPO" "$W/mnt" -f
	not_mounted
	rm -rf "$W/dest"
}
