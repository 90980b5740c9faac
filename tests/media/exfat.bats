#!/usr/bin/env bats
# A repository on a real exFAT: no modes, no links, times in two seconds, names that Windows knows.

load ../cli/helper
load disk

names_are_legal()
{
	run find "$VOUCH_REPO" -mindepth 1 -regextype posix-extended ! -regex '.*/[A-Za-z0-9_-][A-Za-z0-9._-]*'
	[ -z "$output" ]
	# No two that differ only in case; none that Windows keeps for itself; none that ends in a dot.
	[ -z "$(find "$VOUCH_REPO" -mindepth 1 | tr A-Z a-z | sort | uniq -d)" ]
	[ -z "$(find "$VOUCH_REPO" | grep -iE '/((con|prn|aux|nul|com[0-9]|lpt[0-9])(\.[^/]*)?|[^/]*\.)$')" ]
	[ -z "$(find "$VOUCH_REPO" ! -type f ! -type d)" ]
}

@test "exFAT: everything, and every name on it legal" {
	new_disk exfat 64M
	sh "$TOP/tests/lib/kinds.sh" "$W/src"
	chattr -i -a "$W/src/immutable" "$W/src/append-only"
	run -0 --separate-stderr vouch init "$VOUCH_REPO"
	[[ $stderr == *"keeps no file modes"* ]]
	vouch backup -q --host h -C "$W/src" .
	echo more >"$W/src/more"
	vouch backup -q --host h -C "$W/src" .
	[ "$(vouch snapshots --json | jq -s length)" = 2 ]
	vouch ls -R latest | grep -q '^more$\|/more$'
	[ "$(vouch cat latest:more)" = more ]
	[ "$(vouch diff latest~1 latest | grep -c more)" = 1 ]
	run -0 vouch restore -q --special latest "$W/back"
	python3 "$TOP/tests/lib/treecmp.py" --no-holes "$W/src" "$W/back" >"$W/cmp" || true
	[ "$(cat "$W/cmp")" = "only in A: 'socket'" ]
	mkdir "$W/mnt"
	vouch mount "$W/mnt" 3>&-
	cmp "$W/src/random-3m" "$W/mnt/latest/random-3m"
	cmp "$W/src/hole-many" "$W/mnt/latest/hole-many"
	fusermount3 -u "$W/mnt"
	whole
	(cd "$VOUCH_REPO" && sha256sum -c --quiet SHA256SUMS)
	names_are_legal
	vouch forget -q latest~1
	noise 3 "$W/src/noise"
	vouch backup -q --host h -C "$W/src" .
	vouch forget -q latest
	run -0 vouch prune --json
	[ "$(jq -r 'select(.type == "summary").deleted_packs' <<<"$output")" -gt 0 ]
	names_are_legal
	whole
	# A copy beside it, damage that it and parity heal, parity anew, what is known of all that.
	run -0 vouch sync -q "$D/copy"
	run -0 vouch --repo "$D/copy" verify -q
	pack=$(find "$VOUCH_REPO/packs" -name '*.pack' -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
	printf xxxx | dd of="$pack" bs=1 seek=70000 conv=notrunc status=none
	run -4 vouch verify -q
	run -0 vouch repair
	run -0 vouch verify -q
	rm "$pack"
	run -0 vouch repair
	find "$VOUCH_REPO/packs" -name '*.par' -delete
	run -0 vouch parity add -q
	[ "$(find "$VOUCH_REPO/packs" -name '*.par' | wc -l)" = "$(find "$VOUCH_REPO/packs" -name '*.pack' | wc -l)" ]
	run -0 vouch verify --quick
	run -0 vouch status
	names_are_legal
	# Another machine's eyes: what was written is there after the drive was away.
	unplug
	plug
	whole
	[ "$(vouch cat latest:more)" = more ]
}

@test "exFAT: kill -9 during a backup: what was listed is whole, the next one leaves nothing in tmp/" {
	new_disk exfat 192M
	vouch init -q "$VOUCH_REPO" 2>/dev/null
	noise 6 "$W/src/a"
	vouch backup -q -C "$W/src" .
	n=0
	for _ in $(seq "${KILLS:-10}"); do
		noise 3 "$W/src/b"
		"$V" backup -q -C "$W/src" . 2>/dev/null 3>&- &
		pid=$!
		sleep "0.$(printf %03d $((RANDOM % 250)))"
		if kill -9 $pid 2>/dev/null; then n=$((n + 1)); fi
		wait $pid 2>/dev/null || true
		whole
	done
	echo "$n of ${KILLS:-10} were killed"
	vouch backup -q -C "$W/src" .
	[ -z "$(ls "$VOUCH_REPO/tmp")" ]
	whole
	vouch restore -q latest "$W/back"
	diff -r "$W/src" "$W/back"
	names_are_legal
}
