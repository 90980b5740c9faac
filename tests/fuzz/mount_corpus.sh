#!/bin/sh
# mount_corpus.sh [COUNT [VOUCH]]: so many of the repositories that fuzz_repo found worth keeping, each mounted with the
# build that has AddressSanitizer, and all of it listed and read: the mount must live, and end without a report.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
count=${1:-20} vouch=${2:-${VOUCH_ASAN:-$top/build/asan/vouch}}
[ -w /dev/fuse ] || { echo "no /dev/fuse"; exit 77; }
[ -x "$vouch" ] || { echo "no $vouch: make B=build/asan SAN=address,undefined"; exit 77; }
[ -x "$top/build/tests/corrupt/make_hostile" ] || make -s -C "$top" build/tests/corrupt/make_hostile
w=$(mktemp -d "${TMPDIR:-/tmp}/vouch-mounts.XXXXXX")
trap 'fusermount3 -uz "$w/mnt" 2>/dev/null || true; rm -rf "$w"' EXIT
export XDG_STATE_HOME="$w/state" XDG_CACHE_HOME="$w/cache" LC_ALL=C.UTF-8
mkdir "$w/mnt"
find "$top/tests/fuzz/corpus/repo" "$top/build/fuzz/fuzz_repo.found" -type f 2>/dev/null | shuf -n "$count" >"$w/list"
n=0 refused=0
while read -r f; do
	rm -rf "$w/repo"
	"$top/build/tests/corrupt/make_hostile" script "$f" "$w/repo"
	"$vouch" --repo "$w/repo" mount -f "$w/mnt" >"$w/log" 2>&1 3>&- &
	pid=$!
	i=0
	until mountpoint -q "$w/mnt"; do
		i=$((i + 1))
		kill -0 $pid 2>/dev/null && [ $i -lt 300 ] || break
		sleep 0.1
	done
	if mountpoint -q "$w/mnt"; then
		n=$((n + 1))
		(
			cd "$w/mnt"
			timeout 20 find . -type f -size -64M -exec head -c 1000000 {} + || true
			timeout 20 find . -exec getfattr -d {} + || true
			for c in .vouch/status .vouch/metrics .vouch/damage .vouch/SHA256SUMS/* .vouch/manifest/*; do
				timeout 5 head -c 1000000 "$c" || true
			done
			timeout 5 find .vouch/versions -maxdepth 4 || true
		) >/dev/null 2>&1
		fusermount3 -u "$w/mnt" || { echo "$f: busy"; exit 1; }
	else
		refused=$((refused + 1))
	fi
	rc=0
	wait $pid || rc=$?
	if [ $rc -gt 4 ] && [ $rc -ne 75 ] || grep -q 'Sanitizer\|runtime error' "$w/log"; then
		echo "$f: the mount ended with $rc"
		tail -n 40 "$w/log"
		exit 1
	fi
done <"$w/list"
echo "$n mounted and read, $refused refused"
