#!/bin/sh
# One test of tests/run.sh: sh tests/one.sh "KIND<tab>NAME<tab>COMMAND", where KIND says how its output is counted (status:
# by exit status, 77 is skipped; cmocka; bats).  Prints a line, before it the output where it failed; adds a line
# "PASSED FAILED SKIPPED NAME" to the file $TALLY.
set -u
tab=$(printf '\t')
kind=${1%%"$tab"*} rest=${1#*"$tab"}
name=${rest%%"$tab"*} command=${rest#*"$tab"}
out=$(mktemp "$TMPDIR/out.XXXXXX") || exit 1
say=$(mktemp "$TMPDIR/say.XXXXXX") || exit 1

sum() { sed -n "s/^\[  $1 \] \([0-9]*\) test.*/\1/p" "$out" | awk '{ s += $1 } END { print s + 0 }'; }

began=$(date +%s)
eval "timeout ${TEST_TIMEOUT:-1500} $command" >"$out" 2>&1 </dev/null
rc=$?
took="$(($(date +%s) - began)) s"
p=0 f=0 s=0
case $kind in
status)
	case $rc in
	0) p=1 ;;
	77) s=1 ;;
	*) f=1 ;;
	esac ;;
cmocka)
	p=$(sum 'PASSED ') f=$(sum 'FAILED ') s=$(sum 'SKIPPED') ;;
bats)
	s=$(grep -cE '^ok [0-9]+ .*# skip' "$out")
	p=$(($(grep -cE '^ok [0-9]+ ' "$out") - s))
	f=$(grep -cE '^not ok ' "$out") ;;
esac
if [ $rc -ne 0 ] && [ $rc -ne 77 ] && [ "$f" -eq 0 ]; then f=1; fi
if [ $rc -eq 0 ] && [ $((p + f + s)) -eq 0 ]; then f=1; fi	# a program that runs no test is no test
{
	if [ "$f" -gt 0 ]; then
		grep -vE '^ok [0-9]+ ' "$out" | tail -n 60
		printf 'NOT OK  %s (exit %d, %s)\n' "$name" $rc "$took"
	elif [ "$kind" = status ] && [ $rc -eq 77 ]; then
		printf 'skipped %s: %s\n' "$name" "$(tail -n 1 "$out")"
	elif [ "$kind" = status ]; then
		printf 'ok      %s, %s\n' "$name" "$took"
	else
		printf 'ok      %s: %d, %s\n' "$name" "$p" "$took"
	fi
} >"$say"
(
	flock 9
	cat "$say"
	printf '%d %d %d %s\n' "$p" "$f" "$s" "$name" >>"$TALLY"
) 9>>"$TALLY.lock"
rm -f "$out" "$say"
exit 0
