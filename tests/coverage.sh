#!/bin/sh
# coverage.sh [unit|cli|mount|media|faults|more]...: which lines the tests run, by gcov; all of them without an argument.
# With "more" first, what ran before counts too.
#
# Prints the share of each folder and of each file, and leaves in build/cov/missed the lines that none of them ran. What
# ends by SIGKILL is not counted.
set -u
cd "$(dirname "$0")/.." || exit 2
top=$(pwd)
parts=${*:-unit cli mount media faults}
b=build/cov
work=$(mktemp -d "${TMPDIR:-/tmp}/vouch-coverage.XXXXXX") || exit 2
chmod 1777 "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
export TMPDIR="$work" VOUCH="$top/$b/vouch" LC_ALL=C.UTF-8

make -j"$(nproc)" B="$b" CFLAGS="-Og -g --coverage -fprofile-update=atomic" LDFLAGS=--coverage all unit >"$work/log" 2>&1 || {
	tail -n 20 "$work/log"
	exit 1
}
[ "${parts%% *}" = more ] || find "$b" -name '*.gcda' -delete
umask 0	# some tests go on as nobody
for part in $parts; do
	case $part in
	unit)
		for t in "$b"/tests/unit/test_* "$b"/tests/fault/test_*; do
			[ -x "$t" ] && [ ! -d "$t" ] || continue
			case $t in *.*) continue ;; esac
			timeout 600 "$t" >"$work/log" 2>&1 || echo "failed: $t"
		done
		;;
	cli | mount | media)
		for t in tests/"$part"/*.bats; do timeout 900 bats --tap "$t" >"$work/log" 2>&1 || echo "failed: $t"; done
		;;
	faults) python3 tests/fault/every_call.py --seconds 60 >"$work/log" 2>&1 || echo "failed: faults" ;;
	more) ;;
	*) echo "no such part: $part" >&2; exit 2 ;;
	esac
done

# A header is in many objects: a line counts once, and has run where one of them ran it.
find "$b/store" "$b/fs" "$b/tools" -name '*.gcno' -print | while read -r f; do gcov -t -r -s "$top" "$f" 2>/dev/null; done |
awk '
	/:    0:Source:/ { sub(/.*:    0:Source:/, ""); src = $0; next }
	src !~ /^(store|fs|tools)\// { next }
	{
		split($0, f, ":")
		n = f[1]
		gsub(/[ *]/, "", n)
		if (n == "-")
			next
		line = src ":" (f[2] + 0)
		if (!(line in all)) {
			all[line] = 1
			of[line] = src
			text[line] = substr($0, index($0, f[2] ":") + length(f[2]) + 1)
		}
		if (n !~ /^[#=]/)
			ran[line] = 1
	}
	END {
		for (line in all) {
			src = of[line]
			folder = src
			sub(/\/[^\/]*$/, "", folder)
			lines[src]++
			flines[folder]++
			if (line in ran) {
				got[src]++
				fgot[folder]++
			} else {
				print line ":" text[line] >missed
			}
		}
		for (s in lines)
			printf "file %6.1f %% of %5d  %s\n", 100 * got[s] / lines[s], lines[s], s
		for (s in flines)
			printf "folder %6.1f %% of %5d  %s\n", 100 * fgot[s] / flines[s], flines[s], s
	}
' missed="$work/missed" >"$work/table"
sort -t : -k 1,1 -k 2,2n "$work/missed" >"$b/missed"
sed -n 's/^file //p' "$work/table" | sort -k 5
echo
sed -n 's/^folder //p' "$work/table" | sort -k 5
echo "lines that nothing ran: $b/missed"
