#!/bin/sh
# All of vouch's tests, from nothing: installs what is missing, builds, runs. `sh tests/run.sh [PART...]` runs parts:
# lint unit asan tsan clang fuzz sweep cli faults power mount media crash real. Ends with "N passed, N failed, N skipped"; exit 1 if any failed.
set -u
cd "$(dirname "$0")/.." || exit 2
top=$(pwd)
parts=${*:-lint unit asan tsan clang fuzz sweep cli faults power mount media crash real}

sh tools/deps.sh test || exit 1

jobs=$(nproc)
pass=0 fail=0 skip=0
failed=
work=$(mktemp -d "${TMPDIR:-/tmp}/vouch-tests.XXXXXX") || exit 2
chmod 1777 "$work"	# some tests go on as nobody, in folders of their own below it
export TMPDIR="$work" VOUCH="$top/build/vouch" LC_ALL=C.UTF-8
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:suppressions="$top/tests/lib/tsan.supp"

# Whatever happens: nothing of ours stays mounted or lies about.
cleanup()
{
	grep -F " $work/" /proc/self/mountinfo | awk '{print $5}' | sort -r | while read -r m; do
		umount -l "$m" 2>/dev/null || fusermount3 -uz "$m" 2>/dev/null
	done
	chattr -R -i -a "$work" 2>/dev/null
	chmod -R u+rwx "$work" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

say() { printf '\n== %s\n' "$*"; }
good() { pass=$((pass + $1)); }
bad() { fail=$((fail + $1)); failed="$failed
  $2"; }

# one NAME COMMAND...: a test that is its exit status (77: skipped); its output is shown where it fails.
one()
{
	name=$1
	shift
	"$@" >"$work/out" 2>&1
	case $? in
	0) good 1; printf 'ok      %s\n' "$name" ;;
	77) skip=$((skip + 1)); printf 'skipped %s: %s\n' "$name" "$(tail -n 1 "$work/out")" ;;
	*) bad 1 "$name"; tail -n 60 "$work/out"; printf 'NOT OK  %s\n' "$name" ;;
	esac
}

# cmocka NAME PROGRAM [WRAPPER]: counts what the program itself counts.
cmocka()
{
	timeout 600 "$2" >"$work/out" 2>&1
	rc=$?
	p=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$work/out" | awk '{s += $1} END {print s + 0}')
	f=$(sed -n 's/^\[  FAILED  \] \([0-9]*\) test.*/\1/p' "$work/out" | awk '{s += $1} END {print s + 0}')
	s=$(sed -n 's/^\[  SKIPPED \] \([0-9]*\) test.*/\1/p' "$work/out" | awk '{s += $1} END {print s + 0}')
	good "$p"
	skip=$((skip + s))
	if [ $rc -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
	if [ "$f" -gt 0 ]; then
		bad "$f" "$1"
		tail -n 40 "$work/out"
		printf 'NOT OK  %s (exit %d)\n' "$1" $rc
	else
		printf 'ok      %s: %d\n' "$1" "$p"
	fi
}

bats_file()
{
	timeout 900 bats --tap "$1" >"$work/out" 2>&1
	rc=$?
	p=$(grep -cE '^ok [0-9]+ ' "$work/out")
	s=$(grep -cE '^ok [0-9]+ .*# skip' "$work/out")
	f=$(grep -cE '^not ok ' "$work/out")
	good $((p - s))
	skip=$((skip + s))
	if [ $rc -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
	if [ "$f" -gt 0 ]; then
		bad "$f" "$1"
		grep -vE '^ok ' "$work/out" | tail -n 60
		printf 'NOT OK  %s\n' "$1"
	else
		printf 'ok      %s: %d\n' "$1" $((p - s))
	fi
}

units()		# units LABEL BUILD MAKE-VARIABLES...
{
	label=$1 b=$2
	shift 2
	one "$label: builds without a warning" make -j"$jobs" WERROR=1 B="$b" "$@" all unit
	for src in tests/unit/test_*.c tests/fault/test_*.c tests/corrupt/test_*.c; do
		[ -e "$src" ] || continue
		cmocka "$label: ${src%.c}" "$b/${src%.c}"
	done
}

say "build"
if ! make -j"$jobs" WERROR=1 all unit >"$work/build.log" 2>&1; then
	tail -n 40 "$work/build.log"
	echo "0 passed, 1 failed"
	exit 1
fi

for part in $parts; do
	say "$part"
	case $part in
	lint)
		one "layers" sh tests/lint/layers.sh
		for m in man/*.[157]; do
			one "mandoc $m" sh tests/lint/man.sh "$m"
		done
		;;
	unit) units unit build ;;
	asan) units asan build/asan SAN=address,undefined CFLAGS="-O1 -g" ;;
	tsan) units tsan build/tsan SAN=thread CFLAGS="-O1 -g" ;;
	clang) one "clang builds without a warning" make -j"$jobs" WERROR=1 CC=clang B=build/clang all ;;
	fuzz) for t in tests/fuzz/fuzz_*.c; do one "fuzz $t" sh tests/fuzz/run.sh "$t" "${FUZZ_SECONDS:-5}"; done ;;
	# All of them take a quarter of an hour (make torture); five and eight have no common divisor
	sweep) one "every fifth bit of each file flipped" env SWEEP_STEP="${SWEEP_STEP:-5}" sh tests/corrupt/sweep.sh build ;;
	cli) for t in tests/cli/*.bats; do bats_file "$t"; done ;;
	# An even spread of them; each takes its seed from the clock and prints it; all of them by make torture
	faults) one "system calls fail, one a run" python3 tests/fault/every_call.py --seconds "${FAULT_SECONDS:-90}" ;;
	power) one "power cuts" python3 tests/fault/power_cut.py --seconds "${POWER_SECONDS:-60}" ;;
	mount)
		# leak.bats needs a mount under LeakSanitizer, readers.bats one under ThreadSanitizer; after the parts "asan"
		# and "tsan" they are there already
		one "vouch with AddressSanitizer" make -j"$jobs" WERROR=1 B=build/asan SAN=address,undefined CFLAGS="-O1 -g" all
		export VOUCH_ASAN="$top/build/asan/vouch"
		one "vouch with ThreadSanitizer" make -j"$jobs" WERROR=1 B=build/tsan SAN=thread CFLAGS="-O1 -g" all
		export VOUCH_TSAN="$top/build/tsan/vouch"
		for t in tests/mount/*.bats; do bats_file "$t"; done
		one "500 flipped bits through a mount" python3 tests/corrupt/sweep_mount.py "$VOUCH" 500
		;;
	media) for t in tests/media/*.bats; do bats_file "$t"; done ;;
	crash)
		one "200 kills at random moments" python3 tests/crash/kill.py "$VOUCH" "${KILLS:-200}"
		one "40 interrupted copies by rsync" python3 tests/crash/rsync.py "$VOUCH" "${RSYNCS:-40}"
		one "readers, writers, verify and prune at once" python3 tests/crash/load.py "$VOUCH" "${LOAD_SECONDS:-30}"
		;;
	real) one "/usr of this machine" sh tests/cli/real.sh ;;
	*) echo "no such part: $part" >&2; exit 2 ;;
	esac
done

say "result"
[ -z "$failed" ] || printf 'failed:%s\n' "$failed"
printf '%d passed, %d failed, %d skipped\n' "$pass" "$fail" "$skip"
[ "$fail" -eq 0 ] && [ "$pass" -gt 0 ]
