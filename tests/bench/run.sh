#!/bin/sh
# run.sh VOUCH [TREE]: first backup, unchanged backup, restore, verify and size of a tree, vouch beside the peers that are
# installed (restic, borg, mksquashfs), warm cache, `sync` in every time. TREE defaults to Debian's linux-source-6.1, unpacked.
# ROUNDS (default 3): the median is what counts.
set -u
vouch=${1:-build/vouch}
tree=${2-}
rounds=${ROUNDS:-3}
work=$(mktemp -d "${TMPDIR:-/tmp}/vouch-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
export XDG_STATE_HOME="$work/state" XDG_CACHE_HOME="$work/cache" RESTIC_PASSWORD=x RESTIC_CACHE_DIR="$work/restic-cache"
export BORG_BASE_DIR="$work/borg-base" BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes

if [ -z "$tree" ]; then
	archive=/usr/src/linux-source-6.1.tar.xz
	[ -e $archive ] || { echo "apt-get install linux-source-6.1, or name a tree" >&2; exit 77; }
	tar -C "$work" -xf $archive
	tree=$work/linux-source-6.1
fi
find "$tree" -type f -print0 | xargs -0 cat >/dev/null

# step NAME STEP COMMAND...: seconds with sync, processor seconds and peak memory, into the results
step()
{
	name=$1 what=$2
	shift 2
	sync
	start=$(date +%s.%N)
	if ! /usr/bin/time -o "$work/time" -f '%U %S %M' "$@" >/dev/null 2>"$work/err"; then
		tail -n 3 "$work/err" >&2
		return
	fi
	sync
	end=$(date +%s.%N)
	echo "$what $name $(echo "$start $end" | awk '{printf "%.2f", $2 - $1}') $(tail -n 1 "$work/time")" >>"$work/results"
}
size() { echo "size $1 $(du -sm "$2" | cut -f 1) 0 0 0" >>"$work/results"; }

i=0
while [ $i -lt "$rounds" ]; do
	i=$((i + 1))
	rm -rf "$work/v" "$work/r" "$work/b" "$work/s" "$work/out"
	"$vouch" init "$work/v" >/dev/null
	step vouch first "$vouch" --repo "$work/v" backup "$tree"
	size vouch "$work/v"
	step vouch again "$vouch" --repo "$work/v" backup "$tree"
	step vouch restore "$vouch" --repo "$work/v" restore "latest:$tree" "$work/out"
	rm -rf "$work/out"
	step vouch verify "$vouch" --repo "$work/v" verify
	if command -v restic >/dev/null; then
		restic init -q -r "$work/r" >/dev/null
		step restic first restic -q -r "$work/r" backup "$tree"
		size restic "$work/r"
		step restic again restic -q -r "$work/r" backup "$tree"
		step restic restore restic -q -r "$work/r" restore latest --target "$work/out"
		rm -rf "$work/out"
		step restic verify restic -q -r "$work/r" check --read-data
	fi
	if command -v borg >/dev/null; then
		borg init -e none "$work/b"
		step borg first borg create -C zstd,3 "$work/b::a" "$tree"
		size borg "$work/b"
		step borg again borg create -C zstd,3 "$work/b::b" "$tree"
		mkdir "$work/out"
		(cd "$work/out" && step borg restore borg extract "$work/b::a")
		rm -rf "$work/out"
		step borg verify borg check --verify-data "$work/b"
	fi
	if command -v mksquashfs >/dev/null; then
		step mksquashfs first mksquashfs "$tree" "$work/s" -comp zstd -Xcompression-level 3 -no-progress
		size mksquashfs "$work/s"
	fi
	step cp restore cp -a "$tree" "$work/out"
	rm -rf "$work/out"
	step find again find "$tree" -printf '%p %s %T@ %C@ %i %m %U %G\n'
done

printf '%-8s %-11s %9s %9s %9s %9s   (medians of %d; seconds include sync; cache warm)\n' step tool 's or MiB' user sys 'peak MiB' "$rounds"
sort "$work/results" | awk '
	function flush() {
		if (n == 0) return
		m = int((n + 1) / 2)
		for (a = 2; a <= n; a++) { v = t[a]; for (b = a - 1; b > 0 && t[b] > v; b--) t[b + 1] = t[b]; t[b + 1] = v }
		printf "%-8s %-11s %9.2f %9.2f %9.2f %9.0f\n", what, name, t[m], u, s, k / 1024
	}
	{ if ($1 != what || $2 != name) { flush(); n = 0; delete t; what = $1; name = $2; k = 0 }
	  t[++n] = $3 + 0; u = $4; s = $5; if ($6 > k) k = $6 }
	END { flush() }'
