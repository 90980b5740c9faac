#!/bin/sh
# sweep.sh BUILD: every bit of every file of a small repository, shared out over the processors. SWEEP_STEP=N: every N-th;
# SWEEP_HEAL=N: every N-th of these is healed, too.
set -u
b=${1:-build}
make -s WERROR=1 B="$b" "$b/tests/corrupt/sweep" || exit 1
n=$(nproc)
pids=
i=0
while [ $i -lt "$n" ]; do
	"$b/tests/corrupt/sweep" $i "$n" "${SWEEP_STEP:-1}" "${SWEEP_HEAL:-4}" &
	pids="$pids $!"
	i=$((i + 1))
done
rc=0
for p in $pids; do wait "$p" || rc=1; done
exit $rc
