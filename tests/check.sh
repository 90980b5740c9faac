#!/bin/sh
# The quick tests, no root, no FUSE: lint and the unit programs of build folder $1.
set -u
cd "$(dirname "$0")/.." || exit 2
b=${1:-build}
rc=0
sh tests/lint/layers.sh || rc=1
sh tests/lint/bats.sh || rc=1
for m in man/*.[157]; do sh tests/lint/man.sh "$m" || rc=1; done
for src in tests/unit/test_*.c tests/fault/test_*.c tests/corrupt/test_*.c; do
	[ -e "$src" ] || continue
	if out=$("$b/${src%.c}" 2>&1); then
		printf 'ok      %s\n' "${src%.c}"
	else
		printf '%s\nNOT OK  %s\n' "$out" "${src%.c}"
		rc=1
	fi
done
exit $rc
