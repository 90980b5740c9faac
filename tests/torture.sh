#!/bin/sh
# Attacks that take minutes to hours: every fuzzer for FUZZ_SECONDS (default 600) each, a thousand
# kills, two hundred copies by rsync, ten minutes of load, every system call of every verb failing,
# power cuts at every fsync, a hundred kills on exFAT, a hundred thousand snapshots, a session under
# valgrind, two gigabytes that rot, and the whole sweep.
set -u
cd "$(dirname "$0")/.." || exit 2
rc=0
for t in tests/fuzz/fuzz_*.c; do
	printf '== %s\n' "$t"
	sh tests/fuzz/run.sh "$t" "${FUZZ_SECONDS:-600}" || rc=1
done
python3 tests/crash/kill.py build/vouch "${KILLS:-1000}" || rc=1
python3 tests/crash/rsync.py build/vouch "${RSYNCS:-200}" || rc=1
python3 tests/crash/load.py build/vouch "${LOAD_SECONDS:-600}" || rc=1
python3 tests/fault/every_call.py || rc=1
python3 tests/fault/power_cut.py --states 40 || rc=1
python3 tests/fault/power_ext4.py --cuts 300
case $? in 0 | 77) ;; *) rc=1 ;; esac
KILLS=100 bats tests/media/exfat.bats || rc=1
KILLS=200 bats tests/cli/sync.bats || rc=1
REPAIR_KILLS=300 bats --filter killed tests/cli/repair.bats || rc=1
SNAPSHOTS=100000 bats --filter 'great many' tests/cli/hostile.bats || rc=1
sh tests/cli/valgrind.sh || rc=1
python3 tests/corrupt/rot.py build/vouch 2048 "${ROTS:-5}" || rc=1
SWEEP_STEP=1 SWEEP_HEAL=4 sh tests/corrupt/sweep.sh build || rc=1
exit $rc
