#!/bin/sh
# Real input: /usr of this machine, whole, in and back out, compared in every attribute.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
vouch=${VOUCH:-$top/build/vouch}
work=$(mktemp -d "${TMPDIR:-/tmp}/vouch-real.XXXXXX")
trap 'rm -rf "$work"' EXIT
export XDG_STATE_HOME="$work/state" XDG_CACHE_HOME="$work/cache"

"$vouch" init "$work/repo"
export VOUCH_REPO="$work/repo"
"$vouch" backup -x /usr
"$vouch" backup -x /usr
special=
owner=--no-owner
if [ "$(id -u)" = 0 ]; then special=--special owner=; fi
free=$(df --output=avail -k "$work" | tail -n 1)
need=$(du -sk /usr | cut -f 1)
if [ "$free" -lt $((need * 2)) ]; then
	echo "not enough space to bring /usr back: verified by reading instead"
	"$vouch" verify --files
	exit 0
fi
"$vouch" restore $special latest:/usr "$work/usr"
[ -n "$special" ] || owner="$owner --no-special"
# shellcheck disable=SC2086  # options
python3 "$top/tests/lib/treecmp.py" --no-holes $owner /usr "$work/usr"
"$vouch" verify --files
