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

hash_all()
{
	(cd "$1" && find . -type f ! -name 'index.db*' ! -path './log/*' -exec sha256sum {} + | sort -k 2)
}

# zero FILE FROM LENGTH
zero()
{
	chmod u+w "$1"
	head -c "$3" /dev/zero | dd of="$1" bs=4096 seek="$2" oflag=seek_bytes conv=notrunc status=none
}

whole()
{
	run -0 vouch verify
	for snapshot in $(vouch snapshots --json | jq -r 'select(.name).name'); do
		rm -rf "$W/out"
		vouch restore -q "$snapshot" "$W/out"
		diff -r --no-dereference "$W/src" "$W/out"
	done
}

@test "without damage it says so, and writes nothing" {
	made
	hash_all "$VOUCH_REPO" >"$W/before"
	run -0 vouch repair
	[[ $output == *"no damage"* ]]
	hash_all "$VOUCH_REPO" | diff "$W/before" -
}

@test "parity: a run of zeros, a truncated and a deleted small pack" {
	made
	hash_all "$VOUCH_REPO/packs" >"$W/before"
	pack=$(largest "$VOUCH_REPO")
	zero "$pack" 100000 5000
	par=$(find "$VOUCH_REPO/packs" -name '*.par' | sort | head -n 1)
	zero "$par" 0 4096
	run -0 vouch repair --dry-run
	[[ $output == *"can be mended by its parity"* ]]
	run -0 vouch repair
	[[ $output == *"everything is whole again"* ]]
	hash_all "$VOUCH_REPO/packs" | diff "$W/before" -
	whole
	truncate -s -3000 "$pack"
	run -0 vouch repair
	hash_all "$VOUCH_REPO/packs" | diff "$W/before" -
	# Tree packs are so small that their parity alone gives them back.
	small=$(find "$VOUCH_REPO/packs" -name '*.pack' -size -8k | head -n 1)
	rm "$small"
	run -0 vouch repair
	hash_all "$VOUCH_REPO/packs" | diff "$W/before" -
	whole
}

@test "two copies with different rot make one whole, in both directions" {
	made
	cp -a "$VOUCH_REPO" "$W/copy"
	hash_all "$VOUCH_REPO/packs" >"$W/before"
	name=$(largest "$VOUCH_REPO")
	name=${name#"$VOUCH_REPO/"}
	zero "$VOUCH_REPO/$name" 100000 200000
	zero "$W/copy/$name" 400000 200000
	cp -a "$VOUCH_REPO" "$W/a" && cp -a "$W/copy" "$W/b"
	run -1 vouch repair
	run -0 vouch repair --dry-run --from "$W/copy"
	rm -rf "$VOUCH_REPO" && cp -a "$W/a" "$VOUCH_REPO"
	run -0 vouch repair --from "$W/copy"
	hash_all "$VOUCH_REPO/packs" | diff "$W/before" -
	whole
	rm -rf "$VOUCH_REPO" && cp -a "$W/b" "$VOUCH_REPO"
	run -0 vouch repair --from "$W/a"
	hash_all "$VOUCH_REPO/packs" | diff "$W/before" -
	whole
}

@test "another repository's chunks, whatever its id" {
	made
	vouch init "$W/other" >/dev/null
	mkdir "$W/more" && seq 1000 >"$W/more/a"
	vouch -r "$W/other" backup -q "$W/src" "$W/more"
	spoil "$VOUCH_REPO"
	run -75 vouch repair --from "$W/nowhere"
	run -0 vouch repair --from "$W/other"
	[[ $output == *"chunks from other repositories"* ]]
	whole
}

@test "live files that still hold the bytes" {
	made
	spoil "$VOUCH_REPO"
	mkdir "$W/elsewhere"
	cp "$W/src/share/random.bin" "$W/elsewhere/renamed"
	cp "$W/src/share/doc/numbers.txt" "$W/elsewhere"
	run -0 vouch repair -n --source "$W/elsewhere"
	run -0 vouch repair --source "$W/elsewhere"
	[[ $output == *"chunks from live files"* ]]
	whole
}

@test "what is lost for good is named, no more and no less, and everything else stays whole" {
	made
	name=$(largest "$VOUCH_REPO")
	# Each pack of content is one; numbers.txt is in front of random.bin, or behind it.
	spoil "$VOUCH_REPO"
	mkdir "$W/out"
	vouch restore latest "$W/out" >/dev/null 2>&1 || true
	(cd "$W/src" && find . -type f ! -empty | sort) >"$W/all"
	while read -r f; do
		cmp -s "$W/src/$f" "$W/out/$f" || echo "${f#.}"
	done <"$W/all" >"$W/lost"
	[ -s "$W/lost" ]
	run -1 --separate-stderr vouch repair --json
	jq -r 'select(.type == "path" and .state == "lost").path' <<<"$output" | sort -u | diff "$W/lost" -
	[ -e "$name" ]		# another drive may complete it
	run -1 vouch repair
	[[ $output == *"vouch repair --from"* ]]
	rm -rf "$W/out"
	vouch restore latest "$W/out" >/dev/null 2>&1 || true
	while read -r f; do
		grep -qx "${f#.}" "$W/lost" || cmp "$W/src/$f" "$W/out/$f"
	done <"$W/all"
	# Let go of what needs it, and nothing is damaged any more.
	vouch backup -q -C "$W/src" . || [ $? = 4 ]
	run -0 vouch repair
	whole
}

@test "a dry run writes nothing" {
	made
	cp -a "$VOUCH_REPO" "$W/copy"
	spoil "$VOUCH_REPO"
	: >"$VOUCH_REPO/vouch.json"
	hash_all "$VOUCH_REPO" >"$W/before"
	sha256sum "$VOUCH_REPO"/log/* >>"$W/before"
	run -1 vouch repair --dry-run
	run -0 vouch repair --dry-run --from "$W/copy" --source "$W/src"
	(hash_all "$VOUCH_REPO"; sha256sum "$VOUCH_REPO"/log/*) | diff "$W/before" -
}

@test "records, each from its copy; both from another repository" {
	made
	cp -a "$VOUCH_REPO" "$W/copy"
	hash_all "$W/copy/snapshots" >"$W/before"
	: >"$VOUCH_REPO/vouch.json"
	snap=$(basename "$VOUCH_REPO"/snapshots/*.json)
	echo x >"$VOUCH_REPO/snapshots/$snap"
	echo x >"$VOUCH_REPO/README.txt"
	run -0 vouch repair
	hash_all "$VOUCH_REPO/snapshots" | diff "$W/before" -
	cmp "$VOUCH_REPO/vouch.json" "$W/copy/vouch.json"
	whole
	echo x >"$VOUCH_REPO/snapshots/$snap"
	rm "$VOUCH_REPO/copies/snapshots/$snap"
	run -1 vouch repair
	run -0 vouch repair --from "$W/copy"
	hash_all "$VOUCH_REPO/snapshots" | diff "$W/before" -
	whole
}

@test "a deleted pack comes back from a copy, chunk by chunk, nodes too" {
	made
	cp -a "$VOUCH_REPO" "$W/copy"
	find "$VOUCH_REPO/packs" -type f -delete
	run -1 vouch repair
	run -0 vouch repair --from "$W/copy"
	whole
	[ -n "$(find "$VOUCH_REPO/packs" -name '*.par')" ]
}

@test "a pack that a backup under way may count on stays until that has ended" {
	head -c 300000 /dev/urandom >"$W/src/a"
	head -c 300000 /dev/urandom >"$W/src/b"
	vouch init "$VOUCH_REPO" >/dev/null
	vouch backup -q -C "$W/src" .
	zero "$(largest "$VOUCH_REPO")" 100 550000
	mkfifo "$W/pipe"
	vouch backup -q --stdin-name slow <"$W/pipe" 7>&- &
	pid=$!
	exec 7>"$W/pipe"
	echo some >&7
	for ((i = 0; i < 100; i++)); do
		[ -z "$(ls "$VOUCH_REPO/writers" 2>/dev/null)" ] || break
		sleep 0.1
	done
	pack=$(largest "$VOUCH_REPO")
	# In another order than it was stored, so that the new pack is another.
	run -0 vouch repair --source "$W/src/b" --source "$W/src/a"
	[[ $output == *"deleted by the next repair"* ]]
	[ -e "$pack" ]
	exec 7>&-
	wait $pid
	run -0 vouch repair
	[ ! -e "$pack" ]
	[ -z "$(ls -A "$VOUCH_REPO/condemned")" ]
	run -0 vouch verify
}

@test "the ledger is empty when all is whole" {
	made
	cp -a "$VOUCH_REPO" "$W/copy"
	find "$VOUCH_REPO/packs" -type f -delete
	run -4 vouch verify
	run -0 vouch repair --from "$W/copy"
	n=$(events mended)
	[ "$n" -ge 1 ]
	run -0 vouch repair
	[ "$(events mended)" = "$n" ]
}

@test "killed at ten moments, it goes on; nothing is worse" {
	made
	cp -a "$VOUCH_REPO" "$W/copy"
	spoil "$VOUCH_REPO"
	spoil "$W/copy"
	read=$(vouch cat latest:/share/doc/numbers.txt 2>/dev/null | cmp -s - "$W/src/share/doc/numbers.txt" && echo yes || true)
	for ((i = 0; i < ${REPAIR_KILLS:-10}; i++)); do
		"$V" repair --source "$W/src" >/dev/null 2>&1 &	# not the function: that is a shell's child
		pid=$!
		sleep "0.$(printf %03d $((RANDOM % 150)))"
		kill -9 $pid 2>/dev/null || true
		wait $pid || true
		[ -z "$read" ] || vouch cat latest:/share/doc/numbers.txt 2>/dev/null | cmp - "$W/src/share/doc/numbers.txt"
	done
	run -0 vouch repair --source "$W/src"
	whole
	[ -z "$(ls -A "$VOUCH_REPO/tmp")" ]
}

@test "two repairs at once, and a backup" {
	made
	spoil "$VOUCH_REPO"
	"$V" repair --source "$W/src" >/dev/null 2>&1 7>&- &
	one=$!
	"$V" repair --source "$W/src" >/dev/null 2>&1 7>&- &
	two=$!
	vouch backup -q -C "$W/src" . || [ $? = 4 ]
	wait $one || true
	wait $two || true
	run -0 vouch repair --source "$W/src"
	whole
}

@test "the second copy that a killed forget leaves is no damage, and goes with the next prune" {
	made
	vouch sync -q "$W/copy"
	name=$(vouch snapshots --json | jq -r 'select(.name).name')
	cp "$VOUCH_REPO/copies/snapshots/$name.json" "$W/left"
	vouch backup -q -C "$W/src" --force .
	vouch forget -q "$name"
	cp "$W/left" "$VOUCH_REPO/copies/snapshots/$name.json"
	run -0 vouch verify
	[[ $output != *"is missing"* ]]
	run -0 vouch repair
	[[ $output == *"no damage"* ]]
	[ -f "$VOUCH_REPO/copies/snapshots/$name.json" ]
	run -0 vouch prune
	[ ! -f "$VOUCH_REPO/copies/snapshots/$name.json" ]
	whole
}
