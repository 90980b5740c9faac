#!/usr/bin/env bats
# vouch forget: what goes, what stays, and what is left of it.

load helper

# Four snapshots, a second apart at least: their names tell them apart anyway.
four()
{
	made
	for i in 2 3 4; do
		echo "$i" >"$W/src/day"
		vouch backup -q -C "$W/src" .
	done
}

names() { vouch snapshots --json | jq -r .name; }

@test "the snapshots named go, all others stay, and a record of each is left, twice" {
	four
	first=$(names | sed -n 1p) third=$(names | sed -n 3p)
	id=$(vouch snapshots --json | jq -r .id | sed -n 1p)
	run -0 vouch forget --reason 'made by mistake' "$first" "$third"
	[[ $output == *"gone      $first"* && $output == *"vouch prune"* ]]
	[ "$(names | wc -l)" = 2 ]
	run ! grep -e "$first" -e "$third" <<<"$(names)"
	jq -e '.name == "'"$first"'" and .reason == "made by mistake" and .seq == 1' "$VOUCH_REPO/forgotten/$id.json"
	cmp "$VOUCH_REPO/forgotten/$id.json" "$VOUCH_REPO/copies/forgotten/$id.json"
	[ ! -e "$VOUCH_REPO/copies/snapshots/$first.json" ]
	(cd "$VOUCH_REPO" && sha256sum -c --quiet SHA256SUMS)
	run -0 vouch verify
	run -0 vouch restore latest "$W/out"
	cmp "$W/src/share/random.bin" "$W/out/share/random.bin"
	grep -h '"event":"forget"' "$VOUCH_REPO"/log/*.ndjson | jq -e .snapshot
}

@test "--keep-last keeps the newest of each series, and says so before with --dry-run" {
	four
	mkdir "$W/other" && echo x >"$W/other/x"
	vouch backup -q "$W/other"
	before=$(names)
	run -0 vouch forget --dry-run --keep-last 1
	[ "$(grep -c 'would go' <<<"$output")" = 3 ]
	[ "$(names)" = "$before" ]
	run -0 vouch forget --keep-last 1 --json
	[ "$(jq -r 'select(.type == "forgotten").name' <<<"$output" | wc -l)" = 3 ]
	[ "$(names)" = "$(tail -n 2 <<<"$before")" ]
	run -0 vouch forget --keep-last 1
	[[ $output == *"nothing to let go"* ]]
}

@test "a writer's chain goes on after the newest was let go" {
	four
	id=$(vouch snapshots --json | jq -r .id | tail -n 1)
	vouch forget -q latest
	vouch backup -q -C "$W/src" .
	run -0 vouch snapshots --json
	[ "$(tail -n 1 <<<"$output" | jq -r .seq)" = 5 ]
	name=$(tail -n 1 <<<"$output" | jq -r .name)
	[ "$(jq -r .previous "$VOUCH_REPO/snapshots/$name.json")" = "$id" ]
}

@test "one that is not there, an ambiguous one, neither or both: nothing goes" {
	four
	run -1 vouch forget latest 2001-01-01
	[ "$(names | wc -l)" = 4 ]
	run -2 vouch forget
	run -2 vouch forget --keep-last 2 latest
	run -2 vouch forget --keep-last 0
	run -2 vouch forget --keep-last -1
	[ "$(names | wc -l)" = 4 ]
}

@test "a damaged record is healed by its copy; both damaged are told of, and no backup fails" {
	four
	id=$(vouch snapshots --json | jq -r .id | tail -n 1)
	vouch forget -q latest
	chmod u+w "$VOUCH_REPO/forgotten/$id.json"
	echo rot >"$VOUCH_REPO/forgotten/$id.json"
	vouch backup -q -C "$W/src" .
	[ "$(vouch snapshots --json | tail -n 1 | jq -r .seq)" = 5 ]
	echo rot >"$VOUCH_REPO/copies/forgotten/$id.json"
	run -4 --separate-stderr vouch backup -q -C "$W/src" .
	[[ $stderr == *"$id"* ]]
}

@test "killed between the record and the file: the snapshot is whole, and goes the next time" {
	four
	name=$(names | head -n 1)
	vouch forget -q "$name"
	# As a copy that was made meanwhile has it.
	cp -a "$VOUCH_REPO" "$W/copy"
	other=$(names | head -n 1)
	id=$(vouch snapshots --json | jq -r .id | head -n 1)
	cp -a "$VOUCH_REPO/snapshots/$other.json" "$W/kept.json"
	vouch forget -q "$other"
	cp -a "$W/kept.json" "$VOUCH_REPO/snapshots/$other.json"
	names | grep "$other"
	run -0 vouch restore "$id" "$W/out"
	vouch forget -q "$other"
	run ! grep "$other" <<<"$(names)"
}

@test "a full medium: a snapshot goes without a byte of room" {
	root_only
	truncate -s 24M "$W/img"
	mkfs.ext4 -q -m 0 "$W/img"
	mkdir "$W/mnt"
	mount -o loop "$W/img" "$W/mnt" || skip "no loop device"
	export VOUCH_REPO=$W/mnt/repo
	made
	head -c 3000000 /dev/urandom >"$W/src/more"
	vouch backup -q -C "$W/src" .
	dd if=/dev/zero of="$W/mnt/fill" bs=64k 2>/dev/null || true
	dd if=/dev/zero of="$W/mnt/fill2" bs=512 2>/dev/null || true
	run vouch forget -q latest~1
	echo "$output"
	left=$(names | wc -l)
	umount "$W/mnt"
	[ "$status" = 0 ]
	[ "$left" = 1 ]
}
