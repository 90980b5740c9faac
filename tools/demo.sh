#!/bin/sh
# The main job on real input, line by line: installs what is missing, builds, backs up real folders of this machine,
# mounts, copies back with cp, compares, then flips one bit and shows what a reader gets.
#
#   sh tools/demo.sh [FOLDER...]     default: /etc, /usr/share/doc and /usr/lib
#
# All of it happens below a temporary folder, which is removed at the end.
set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
sh tools/deps.sh build
build=$(mktemp)
echo "building (make)"
make -j"$(nproc)" all >"$build" 2>&1 || { cat "$build"; exit 1; }
rm -f "$build"
vouch=$PWD/build/vouch

work=$(mktemp -d "${TMPDIR:-/tmp}/vouch-demo.XXXXXX")
export XDG_STATE_HOME="$work/state" XDG_CACHE_HOME="$work/cache"
cleanup()
{
	for m in "$work/mnt" "$work/mnt2"; do
		mountpoint -q "$m" 2>/dev/null && fusermount3 -uz "$m"
	done
	chmod -R u+rwx "$work" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

step() { printf '\n# %s\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }
vouch() { printf '$ vouch %s\n' "$*"; "$vouch" "$@"; }

if [ $# -eq 0 ]; then
	for d in /etc /usr/share/doc /usr/lib; do [ -d $d ] && set -- "$@" $d; done
fi

step "1. Make a repository. On a USB drive this would be /media/usb/backup."
vouch init "$work/backup"
export VOUCH_REPO="$work/backup"
echo "(from here on: export VOUCH_REPO=$work/backup)"

step "2. Back up real folders: $*"
rc=0
vouch backup "$@" || rc=$?
[ $rc -eq 0 ] || [ $rc -eq 3 ] || exit $rc
[ $rc -eq 0 ] || echo "(exit status 3: done, but the files named above could not be read)"

step "3. Again: nothing changed, so nothing is stored."
vouch backup "$@" || [ $? -eq 3 ]
vouch snapshots

if [ ! -e /dev/fuse ]; then
	echo "no /dev/fuse here: the mount cannot be shown; restoring with vouch instead"
	vouch restore "latest:$1" "$work/back"
	exit 0
fi

step "4. Mount it: every snapshot is a dated folder."
mkdir "$work/mnt"
vouch mount "$work/mnt"
run ls -l "$work/mnt"
dated=$(ls "$work/mnt" | grep -v latest | head -n 1)
run ls "$work/mnt/$dated"

step "5. A restore is cp. Each byte is checked against its SHA-256 on the way."
mkdir "$work/back"
for d in "$@"; do
	run cp -a "$work/mnt/$dated$d" "$work/back/"
done

step "6. Compare with the originals by sha256sum."
same=0 other=0
for d in "$@"; do
	(cd "$d" && find . -type f -readable -print0 | sort -z | xargs -0 -r sha256sum 2>/dev/null) >"$work/a"
	(cd "$work/back/$(basename "$d")" && find . -type f -readable -print0 | sort -z | xargs -0 -r sha256sum) >"$work/b"
	if cmp -s "$work/a" "$work/b"; then
		printf '%s: %d files, all the same\n' "$d" "$(grep -c . "$work/a")"
		same=$((same + 1))
	else
		printf '%s: differs (a file that changed since the backup shows here):\n' "$d"
		diff "$work/a" "$work/b" | head -n 10
		other=$((other + 1))
	fi
done
run fusermount3 -u "$work/mnt"

step "7. Verify: every pack, block, chunk, node and snapshot is read back."
vouch verify

# flip PACK: its middle byte's lowest bit.
flip()
{
	chmod u+w "$1"
	at=$(($(stat -c %s "$1") / 2))
	byte=$(od -A n -t u1 -j $at -N 1 "$1" | tr -d ' ')
	# shellcheck disable=SC2059  # the format is the byte
	printf "$(printf '\\%03o' $((byte ^ 1)))" | dd of="$1" bs=1 seek=$at conv=notrunc status=none
	printf 'flipped bit 0 of byte %s in %s\n' "$at" "${1##*/}"
}

# read_all: everything in the mount, and how it went: sets good and bad.
read_all()
{
	find "$work/mnt2/$dated" -type f -print0 | xargs -0 -r cat >/dev/null 2>"$work/errors" || true
	bad=$(grep -c 'Input/output error' "$work/errors" || true)
	good=$(($(find "$work/mnt2/$dated" -type f | wc -l) - bad))
	head -n 3 "$work/errors"
	printf '%s files read whole, %s with an error, none with wrong bytes\n' "$good" "$bad"
}

step "8. Flip one bit in a copy of the repository, in the middle of its largest pack."
run cp -r "$work/backup" "$work/rotten"
pack=$(ls -S "$work"/rotten/packs/*/*.pack | head -n 1)
right=$work/backup/${pack#"$work/rotten/"}
flip "$pack"

step "9. Read everything through a mount: the bit is healed from parity, and mended on the drive."
mkdir "$work/mnt2"
vouch --repo "$work/rotten" mount "$work/mnt2"
read_all
healed=$((bad == 0))
run fusermount3 -u "$work/mnt2"
n=0
until cmp -s "$pack" "$right" || [ $n -eq 300 ]; do	# the server ends, and mends, after fusermount3 has
	sleep 0.1
	n=$((n + 1))
done
run cmp "$pack" "$right" && echo "the pack is byte for byte what it was" || healed=0

step "10. The same bit once more, and its parity is gone: EIO for what needs it, all else is served, and right."
rm "${pack%.pack}.par"
flip "$pack"
vouch --repo "$work/rotten" mount "$work/mnt2"
read_all
lost=$bad
run fusermount3 -u "$work/mnt2"

step "11. vouch verify finds it, and names what it touches. Exit status 4 means damage."
rc=0
vouch --repo "$work/rotten" verify 2>"$work/verify" || rc=$?
head -n 6 "$work/verify"
echo "exit status $rc"

step "12. Repair from another copy."
whole=1
vouch --repo "$work/rotten" repair --from "$work/backup" 2>"$work/repair" || whole=0
head -n 6 "$work/repair"
run cmp "$pack" "$right" || whole=0

printf '\nDone: %s folder(s) came back the same%s; a flipped bit was healed; without parity it cost %s file(s) and no wrong byte, until repaired.\n' \
	"$same" "$([ $other -eq 0 ] || echo ", $other changed meanwhile")" "$lost"
[ $healed -eq 1 ] && [ $rc -eq 4 ] && [ "$lost" -ge 1 ] && [ $whole -eq 1 ] && [ $same -ge 1 ]
