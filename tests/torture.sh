#!/bin/sh
# Attacks that take minutes to hours: every fuzzer for FUZZ_SECONDS (default 600) each, and the whole sweep.
set -u
cd "$(dirname "$0")/.." || exit 2
rc=0
for t in tests/fuzz/fuzz_*.c; do
	printf '== %s\n' "$t"
	sh tests/fuzz/run.sh "$t" "${FUZZ_SECONDS:-600}" || rc=1
done
SWEEP_STEP=1 sh tests/corrupt/sweep.sh build || rc=1
exit $rc
