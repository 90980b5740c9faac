#!/usr/bin/env bats
# Damage that a mount, a restore or a cat meets: healed, mended, told; and where it cannot be, a reader's EIO has a name.
# The pack on the drive ends up with the very bytes it had.
bats_require_minimum_version 1.5.0
load common

setup_file()
{
	require_fuse
	begin
	head -c 300000 /dev/urandom > "$W/src/random-a"
	head -c 300000 /dev/urandom > "$W/src/random-b"
	head -c 14000000 /dev/urandom > "$W/src/large"
	seq 1 50000 > "$W/src/text"
	mkdir "$W/src/deep"
	echo hello > "$W/src/deep/hello"
	"$VOUCH" init --parity 12%
	"$VOUCH" backup -C "$W/src" . 2>/dev/null
	(cd "$W/src" && find . -type f -exec sha256sum {} +) > "$W/sums"
}

setup()
{
	require_fuse
	begin
	rm -rf "$W/hurt"
	cp -a "$W/repo" "$W/hurt"
	export VOUCH_REPO=$W/hurt
	chmod -R u+w "$W/hurt/packs"
}

teardown()
{
	drop
	for m in disk back; do ! mountpoint -q "$W/$m" || umount -l "$W/$m"; done
}

# The pack with the content in it, and one with the folders.
data_pack() { find "${1:-$W/hurt}/packs" -name '*.pack' -printf '%s %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-; }

spoil()	# spoil FILE OFFSET LENGTH
{
	python3 - "$@" << 'END'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2]))
    old = f.read(int(sys.argv[3]))
    f.seek(int(sys.argv[2]))
    f.write(bytes(b ^ 0x55 for b in old))
END
}

all_right() { (cd "$W/mnt/latest" && sha256sum --quiet -c "$W/sums"); }

same_packs() { diff -r "$W/repo/packs" "$W/hurt/packs"; }

mounted_logged() { "$VOUCH" mount -f "$@" "$W/mnt" 2> "$W/log" & SERVER=$!; within 10 mounted; }

ended() { unmount; wait "$SERVER" || true; cat "$W/log"; }

heals()	# all reads right through a mount, and the packs are as they were
{
	mounted_logged "$@"
	all_right
	grep -q '; healed: it was read right all the same' "$W/mnt/.vouch/damage"
	[ "$(grep -c ' EIO ' "$W/mnt/.vouch/damage")" -eq 0 ]
	within 20 same_packs
	all_right
	within 10 grep -q 'the pack was mended at 20' "$W/mnt/.vouch/damage"
	grep -q '^mended      1 packs' "$W/mnt/.vouch/status"
	[ "$(awk '$1 == "vouch_mended_total" { print $2 }' "$W/mnt/.vouch/metrics")" -eq 1 ]
	[ "$(awk '$1 == "vouch_healed_total" { print $2 }' "$W/mnt/.vouch/metrics")" -ge 1 ]
	ended
	[ "$(grep -c 'note: pack [0-9a-f]* mended from parity' "$W/log")" -eq 1 ]
	grep -q 'warning: unmounted; damage met [1-9]' "$W/log"
	grep -h '"event":"mended"' "$W"/hurt/log/*.ndjson
	"$VOUCH" verify > /dev/null 2>&1
}

@test "one flipped bit" {
	spoil "$(data_pack)" 5000000 1
	heals
	grep -q 'mended from parity, 1 sector$' "$W/log"
}

@test "a lost run of 1 MiB; every read goes to the medium" {
	spoil "$(data_pack)" 9000000 1048576
	heals -o verify=always
}

@test "the pack's table, and the pack cut short" {
	p=$(data_pack)
	spoil "$p" $(($(stat -c %s "$p") - 3000)) 3000
	heals
	truncate -s -200000 "$p"
	rm "$W/hurt/index.db"
	heals
}

@test "a pack is gone, its parity is left: from a copy of the repository" {
	mkdir -p "$W/far"
	rm -rf "$W/far/copy"
	"$VOUCH" sync "$W/far/copy" 2> /dev/null
	rm "$(data_pack)"
	mounted_logged
	all_right
	within 20 same_packs
	ended
	grep -q 'mended from a copy of the repository' "$W/log"
	"$VOUCH" verify > /dev/null 2>&1
}

@test "heal=off: an error for that range only, nothing is written; and what cp cut short is found" {
	p=$(data_pack)
	before=$(cd "$W/src" && python3 -c 'print(open("large","rb").read().find(open("'"$p"'","rb").read()[9000000:9000064]))')
	spoil "$p" 9000000 64
	cp "$p" "$W/spoilt"
	mounted_logged -o heal=off
	mkdir -p "$W/copy"
	run cp -r "$W/mnt/latest/." "$W/copy"
	[ "$status" -ne 0 ]
	cat "$W/mnt/.vouch/damage"
	# by what is said there, as the manual has it
	bad=$(sed -n 's/^[^ ]* EIO \(.*\): bytes .*/\1/p' "$W/mnt/.vouch/damage" | sort -u)
	[ "$bad" = "$(readlink "$W/mnt/latest")-$(ls "$W/hurt/snapshots" | sed 's/.*Z-\(.*\).json/\1/')/large" ] ||
		[ "$bad" = "$(readlink "$W/mnt/latest")/large" ]
	run -1 cmp -s "$W/src/large" "$W/copy/large"
	rm "$W/copy/large"
	(cd "$W/copy" && grep -v ' ./large$' "$W/sums" | sha256sum --quiet -c)
	# the range holds what is lost, and not much more
	python3 - "$W/mnt/latest/large" "$W/src/large" "$before" << 'END'
import sys
bad, off = [], 0
right = open(sys.argv[2], "rb").read()
with open(sys.argv[1], "rb", buffering=0) as f:
    while off < len(right):
        f.seek(off)
        try:
            got = f.read(65536)
            assert got == right[off:off + len(got)] and got
        except OSError:
            bad.append(off)
        off += 65536
lost = int(sys.argv[3])
assert bad and bad[0] <= lost < bad[-1] + 65536, (bad, lost)
assert bad[-1] - bad[0] <= 1 << 20, bad
END
	ended
	grep -q 'large' "$W/log"
	cmp "$p" "$W/spoilt"
	rm -rf "$W/copy"
}

@test "restore and cat heal, exit 0, and leave the pack whole" {
	p=$(data_pack)
	spoil "$p" 5000000 4000
	"$VOUCH" cat latest:large 2> "$W/said" | cmp - "$W/src/large"
	[ "${PIPESTATUS[0]}" -eq 0 ]
	grep -q 'healed, from its parity' "$W/said"
	grep -q 'mended from parity' "$W/said"
	same_packs
	spoil "$p" 5000000 4000
	run -0 --separate-stderr "$VOUCH" restore latest "$W/back"
	[[ $stderr == *"healed, from its parity"* ]]
	same_packs
	(cd "$W/back" && sha256sum --quiet -c "$W/sums")
	rm -rf "$W/back"
}

@test "a medium that is read-only: all reads right, nothing is written" {
	truncate -s 48M "$W/drive"
	mkfs.ext4 -q -F "$W/drive"
	mkdir -p "$W/disk"
	mount -o loop "$W/drive" "$W/disk" || skip "no loop devices"
	cp -a "$W/hurt" "$W/disk/repo"
	spoil "$(data_pack "$W/disk/repo")" 5000000 1
	mount -o remount,ro "$W/disk"
	before=$(sha256sum < "$W/drive")
	VOUCH_REPO=$W/disk/repo mounted_logged
	all_right
	grep -q '; healed: it was read right all the same' "$W/mnt/.vouch/damage"
	ended
	[ "$(grep -c 'mended from' "$W/log")" -eq 0 ]
	[ "$(sha256sum < "$W/drive")" = "$before" ]
	umount "$W/disk"
	rm "$W/drive"
}

@test "no room for twice the pack: all reads right, the pack is left to repair" {
	truncate -s 48M "$W/drive"
	mkfs.ext4 -q -F "$W/drive"
	mkdir -p "$W/disk"
	mount -o loop "$W/drive" "$W/disk" || skip "no loop devices"
	cp -a "$W/hurt" "$W/disk/repo"
	p=$(data_pack "$W/disk/repo")
	spoil "$p" 5000000 1
	VOUCH_REPO=$W/disk/repo mounted_logged
	all_right
	ended
	grep -q 'cannot be made whole by healing; run vouch repair.*needs twice that' "$W/log"
	[ -z "$(ls -A "$W/disk/repo/tmp")" ]
	umount "$W/disk"
	rm "$W/drive"
}

@test "a snapshot's file, its copy, and vouch.json: each is put back" {
	name=$(basename "$W"/hurt/snapshots/*.json)
	for hurt in "snapshots/$name" "copies/snapshots/$name" vouch.json copies/vouch.json; do
		chmod u+w "$W/hurt/$hurt"
		spoil "$W/hurt/$hurt" 30 2
		mounted_logged
		within 10 cmp "$W/repo/$hurt" "$W/hurt/$hurt"
		all_right
		ended
		grep -q "note: $hurt was damaged; mended from its second copy" "$W/log"
		rm "$W/hurt/$hurt"
		mounted_logged
		within 10 cmp "$W/repo/$hurt" "$W/hurt/$hurt"
		ended
	done
}

# what is under its name in $W/back is whole, old or new
only_whole_files()
{
	[ ! -e "$W/back" ] && return
	for f in large random-a random-b text deep/hello; do
		[ ! -e "$W/back/$f" ] || cmp "$W/src/$f" "$W/back/$f" || cmp "$W/old/$f" "$W/back/$f"
	done
}

@test "restore leaves no partial file under its name: killed, out of room, damaged beyond healing" {
	mkdir -p "$W/old"
	head -c 10000000 /dev/urandom > "$W/old/large"
	head -c 300000 /dev/urandom > "$W/old/random-a"
	for i in 1 2 3 4 5 6; do
		rm -rf "$W/back"
		[ $((i % 2)) -eq 0 ] || cp -a "$W/old" "$W/back"
		"$VOUCH" restore -q latest "$W/back" & pid=$!
		read -rt "0.$((RANDOM % 3))$((RANDOM % 10))" <> <(:) || :
		kill -9 $pid || :
		wait $pid 2>/dev/null || :
		only_whole_files
	done
	# in a folder without room for it, over what is there
	rm -rf "$W/back"
	mkdir "$W/back"
	mount -t tmpfs -o size=12m none "$W/back"
	cp "$W/old/random-a" "$W/back"
	run "$VOUCH" restore -q latest "$W/back"
	[ "$status" -eq 1 ]
	only_whole_files
	umount "$W/back"
	# the old one stays where the new one cannot be had
	p=$(data_pack)
	at=$(python3 -c 'print(open("'"$p"'","rb").read().find(open("'"$W/src/large"'","rb").read()[12000000:12000064]))')
	spoil "$p" "$at" 64
	rm "${p%.pack}.par"
	cp "$W/old/large" "$W/back"
	run "$VOUCH" restore -q latest "$W/back"
	[ "$status" -eq 4 ]
	cmp "$W/old/large" "$W/back/large"
	cmp "$W/src/random-a" "$W/back/random-a"
	[ "$(find "$W/back" -type f | wc -l)" -eq 5 ]
	rm "$W/back/large"
	run "$VOUCH" restore -q latest "$W/back"
	[ "$status" -eq 4 ]
	[ ! -e "$W/back/large" ]
	[ "$(find "$W/back" -type f | wc -l)" -eq 4 ]
	rm -rf "$W/back"
}
