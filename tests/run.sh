#!/bin/sh
# All of vouch's tests, from nothing: installs what is missing, builds, then runs as many at once as there are processors,
# in the order of this file (the long ones first, so that all end together). `sh tests/run.sh [PART...]` runs parts:
# real sweep crash faults power services clang tsan mount media cli asan fuzz unit lint. Ends with "N passed, N failed, N skipped"; exit 1 if any failed.
set -u
cd "$(dirname "$0")/.." || exit 2
top=$(pwd)
all="real sweep crash faults power services clang tsan mount media cli asan fuzz unit lint"
parts=${*:-$all}

sh tools/deps.sh test || exit 1

jobs=$(nproc)
work=$(mktemp -d "${TMPDIR:-/tmp}/vouch-tests.XXXXXX") || exit 2
chmod 1777 "$work"	# some tests go on as nobody, in folders of their own below it
export TMPDIR="$work" TALLY="$work/tally" VOUCH="$top/build/vouch" LC_ALL=C.UTF-8
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

# What is to be run, a line each: see tests/one.sh.
queue() { printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$work/queue"; }

units()		# units LABEL BUILD
{
	for src in tests/unit/test_*.c tests/fault/test_*.c tests/corrupt/test_*.c; do
		[ -e "$src" ] || continue
		queue cmocka "$1: ${src%.c}" "$2/${src%.c}"
	done
}

build()		# build WHAT MAKE-ARGUMENTS...
{
	what=$1
	shift
	say "$what"
	if ! make -j"$jobs" WERROR=1 "$@" >"$work/build.log" 2>&1; then
		tail -n 40 "$work/build.log"
		echo "0 passed, 1 failed"
		exit 1
	fi
}

wants() { case " $parts " in *" $1 "*) return 0 ;; esac; return 1; }

for part in $parts; do
	case " $all " in *" $part "*) ;; *) echo "no such part: $part" >&2; exit 2 ;; esac
done

build "build" all unit
# Some tests of the mount look on with AddressSanitizer or ThreadSanitizer
if wants asan || wants mount; then
	build "build with AddressSanitizer" B=build/asan SAN=address,undefined CFLAGS="-O1 -g" all unit
	export VOUCH_ASAN="$top/build/asan/vouch"
fi
if wants tsan || wants mount; then
	build "build with ThreadSanitizer" B=build/tsan SAN=thread CFLAGS="-O1 -g" all unit
	export VOUCH_TSAN="$top/build/tsan/vouch"
fi

: >"$work/queue"
: >"$TALLY"
for part in $all; do
	wants "$part" || continue
	case $part in
	real) queue status "/usr of this machine" "sh tests/cli/real.sh" ;;
	# All of them take half an hour (make torture); 23 and eight have no common divisor
	sweep)
		queue status "one bit in 23 of each file flipped, and a fifth of them healed" \
			"env SWEEP_STEP=${SWEEP_STEP:-23} SWEEP_HEAL=${SWEEP_HEAL:-5} sh tests/corrupt/sweep.sh build"
		queue status "64 MiB that rot in thirty ways" "python3 tests/corrupt/rot.py \"\$VOUCH\" 64 1"
		;;
	crash)
		queue status "100 kills at random moments" "python3 tests/crash/kill.py \"\$VOUCH\" ${KILLS:-100}"
		queue status "40 interrupted copies by rsync" "python3 tests/crash/rsync.py \"\$VOUCH\" ${RSYNCS:-40}"
		queue status "readers, writers, verify and prune at once" \
			"python3 tests/crash/load.py \"\$VOUCH\" ${LOAD_SECONDS:-30}"
		;;
	# An even spread of them; each takes its seed from the clock and prints it; all of them by make torture
	faults) queue status "system calls fail, one a run" \
		"python3 tests/fault/every_call.py --seconds ${FAULT_SECONDS:-60}" ;;
	power)
		queue status "power cuts" "python3 tests/fault/power_cut.py --seconds ${POWER_SECONDS:-40}"
		queue status "power cuts of a real ext4" "python3 tests/fault/power_ext4.py --cuts ${POWER_CUTS:-8}"
		;;
	services) for t in tests/services/*.bats; do [ -e "$t" ] && queue bats "$t" "bats --tap $t"; done ;;
	clang) queue status "clang builds without a warning" "make WERROR=1 CC=clang B=build/clang all" ;;
	tsan) units tsan build/tsan ;;
	mount)
		for t in tests/mount/*.bats; do queue bats "$t" "bats --tap $t"; done
		queue status "hostile repositories, mounted" "sh tests/fuzz/mount_corpus.sh 20"
		queue status "500 flipped bits through a mount" "python3 tests/corrupt/sweep_mount.py \"\$VOUCH\" 500"
		;;
	media) for t in tests/media/*.bats; do queue bats "$t" "bats --tap $t"; done ;;
	cli) for t in tests/cli/*.bats; do queue bats "$t" "bats --tap $t"; done ;;
	asan) units asan build/asan ;;
	fuzz)
		for t in tests/fuzz/fuzz_*.c; do
			queue status "fuzz $t" "sh tests/fuzz/run.sh $t ${FUZZ_SECONDS:-5}"
		done
		;;
	unit) units unit build ;;
	lint)
		queue status "layers" "sh tests/lint/layers.sh"
		queue status "tests that cannot fail" "sh tests/lint/bats.sh"
		for m in man/*.[157]; do queue status "mandoc $m" "sh tests/lint/man.sh $m"; done
		;;
	esac
done

say "$(wc -l <"$work/queue") programs, $jobs at once"
xargs -d '\n' -n 1 -P "$jobs" sh tests/one.sh <"$work/queue"

say "result"
awk '$2 > 0 { $1 = $2 = $3 = ""; print "failed:" $0 }' "$TALLY"
awk '{ p += $1; f += $2; s += $3 }
	END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit !(f == 0 && p > 0) }' "$TALLY"
