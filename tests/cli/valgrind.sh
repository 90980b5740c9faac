#!/bin/sh
# valgrind.sh [VOUCH]: a backup, a look, a verify, a restore, a mount, forget and prune under memcheck: no error, no leak.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
vouch=${1:-${VOUCH:-$top/build/vouch}}
command -v valgrind >/dev/null || { echo "no valgrind"; exit 77; }
w=$(mktemp -d "${TMPDIR:-/tmp}/vouch-valgrind.XXXXXX")
trap 'fusermount3 -uz "$w/mnt" 2>/dev/null || true; chattr -R -i -a "$w" 2>/dev/null || true; rm -rf "$w"' EXIT
export XDG_STATE_HOME="$w/state" XDG_CACHE_HOME="$w/cache" VOUCH_REPO="$w/repo" DEBUGINFOD_URLS=
mkdir "$w/src" "$w/mnt"
(sh "$top/tests/lib/kinds.sh" "$w/src")
chattr -i -a "$w/src/immutable" "$w/src/append-only" 2>/dev/null || true
rm -f "$w/src/hole-1t"		# which takes memcheck an hour

# Each command's own exit status, but 99 where memcheck found something.
check()
{
	want=$1
	shift
	rc=0
	valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect \
		--errors-for-leak-kinds=definite,indirect --fair-sched=yes --log-file="$w/log.%p" \
		"$vouch" "$@" >"$w/out" 2>&1 || rc=$?
	if [ $rc -ne "$want" ]; then
		echo "vouch $*: exit status $rc"
		tail -n 5 "$w/out"
		cat "$w"/log.*
		exit 1
	fi
	cat "$w"/log.* >&2
	rm -f "$w"/log.*
	echo "ok $*"
}

check 0 init
check 0 backup -q -C "$w/src" .
echo more >"$w/src/more"
check 0 backup -q -C "$w/src" .
check 0 backup -q --stdin-name stream <"$w/src/random-3m"
check 0 snapshots
check 0 ls -lR latest~1
check 0 cat latest:stream
check 0 diff latest~2 latest~1
check 0 verify --files
check 0 restore -q latest~1 "$w/back"
check 0 restore -q --verify latest~1 "$w/back"
# Damage, that is met and healed.
pack=$(find "$w/repo/packs" -name '*.pack' -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
printf xxxxxxxx | dd of="$pack" bs=1 seek=100000 conv=notrunc status=none
check 4 verify -q
check 0 restore -q latest~1 "$w/again"
check 0 forget -q latest~2
check 0 prune
if [ -w /dev/fuse ]; then
	valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect --fair-sched=yes \
		--log-file="$w/log" "$vouch" mount -f "$w/mnt" >"$w/out" 2>&1 &
	pid=$!
	n=0
	until mountpoint -q "$w/mnt"; do
		n=$((n + 1))
		[ $n -lt 600 ]
		sleep 0.1
	done
	find "$w/mnt/" -type f ! -path '*/.vouch/*' -exec cat {} + >/dev/null
	find "$w/mnt/" -exec getfattr -d {} + >/dev/null 2>&1 || true
	cat "$w/mnt/.vouch/status" "$w/mnt/.vouch/metrics" >/dev/null
	cat "$w"/mnt/.vouch/SHA256SUMS/* >/dev/null
	fusermount3 -u "$w/mnt"
	rc=0
	wait $pid || rc=$?
	cat "$w/log" >&2
	[ $rc -eq 0 ] || { echo "the mount ended with $rc"; tail -n 5 "$w/out"; exit 1; }
	echo "ok mount"
fi
