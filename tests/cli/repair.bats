#!/usr/bin/env bats
# The ledger of damage, and repair.

load helper

# All bytes of the largest pack from its first fifth to its last: no parity reaches so far.
spoil()
{
	local pack size

	pack=$(largest "$1")
	size=$(stat -c %s "$pack")
	chmod u+w "$pack"
	head -c $((size * 3 / 5)) /dev/zero | dd of="$pack" bs=4096 seek=$((size / 5)) oflag=seek_bytes conv=notrunc status=none
}

largest()
{
	find "$1/packs" -name '*.pack' -printf '%s %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-
}

events()
{
	cat "$VOUCH_REPO"/log/*.ndjson | grep -c "\"event\":\"$1\"" || true
}

@test "what verify found damaged is noted once, and stored anew by the next backup of the same files" {
	made
	vouch restore -q latest "$W/before"
	spoil "$VOUCH_REPO"
	run -4 vouch verify
	[ "$(events damage)" -ge 1 ]
	n=$(wc -l < <(cat "$VOUCH_REPO"/log/*.ndjson | grep '"event":"damage"'))
	run -4 vouch verify
	[ "$(wc -l < <(cat "$VOUCH_REPO"/log/*.ndjson | grep '"event":"damage"'))" = "$n" ]
	run ! vouch restore -q latest "$W/broken"
	vouch backup -q -C "$W/src" .
	[ "$(events mended)" -ge 1 ]
	for snapshot in $(vouch snapshots --json | jq -r 'select(.name).name'); do
		vouch restore -q "$snapshot" "$W/$snapshot" || [ $? = 4 ]	# whole, though a block is not
		diff -r --no-dereference "$W/src" "$W/$snapshot"
	done
	# Once more: nothing is left to be stored, but for nodes.
	run -0 vouch backup --json -C "$W/src" .
	[ "$(jq -r 'select(.type == "summary").new_bytes' <<<"$output")" -lt 50000 ]
}
