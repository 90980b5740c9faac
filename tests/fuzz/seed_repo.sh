#!/bin/sh
# seed_repo.sh CORPUS: small real repositories as first inputs of fuzz_repo.
set -eu
cd "$(dirname "$0")/../.."
out=$1
make -s build/vouch build/tests/fuzz/make_repo_seed
w=$(mktemp -d "${TMPDIR:-/tmp}/vouch-seeds.XXXXXX")
trap 'rm -rf "$w"' EXIT
export XDG_STATE_HOME="$w" XDG_CACHE_HOME="$w"
mkdir -p "$out" "$w/src/dir/sub"
(
	cd "$w/src"
	echo hello >hello
	ln hello dir/hello2
	ln -s ../hello dir/link
	mkfifo fifo
	: >empty
	seq 1 900 >dir/sub/numbers
	truncate -s 100000 hole
	setfattr -n user.note -v text hello
	setfattr -n user.long -v "$(seq 1 1200 | tr '\n' ' ' | head -c 3900)" dir || true
	[ "$(id -u)" != 0 ] || mknod null c 1 3
)
build/vouch init -q "$w/repo"
build/vouch --repo "$w/repo" backup -q --host hostile -C "$w/src" .
echo more >"$w/src/more"
build/vouch --repo "$w/repo" backup -q --host hostile -C "$w/src" .
build/vouch --repo "$w/repo" backup -q --host other -C "$w/src/dir" .
build/vouch --repo "$w/repo" forget -q latest
build/tests/fuzz/make_repo_seed "$w/repo" "$out/small"
# A file in a tree of segments
mkdir "$w/large"
seq 1 9000 >"$w/large/f"
build/vouch init -q "$w/repo2"
build/vouch --repo "$w/repo2" backup -q --chunk-size 1K --host hostile -C "$w/large" . || true
build/tests/fuzz/make_repo_seed "$w/repo2" "$out/large"
