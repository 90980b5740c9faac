#!/usr/bin/env bats
# vouch prune: what no snapshot needs goes, all else stays, whatever else happens.

load helper

# Two snapshots, each with 5 MB of its own.
two()
{
	tree "$W/src"
	vouch init -q "$VOUCH_REPO"
	mkdir "$W/one"
	head -c 5000000 /dev/urandom >"$W/one/first"
	vouch backup -q -C "$W/one" .
	head -c 5000000 /dev/urandom >"$W/src/second"
	vouch backup -q -C "$W/src" .
}

used() { du -sb "$VOUCH_REPO/packs" | cut -f 1; }
number() { jq -r "select(.type == \"summary\").$1" <<<"$output"; }

# Every snapshot that is listed can be read wholly, and the newest is what is in $W/src.
whole()
{
	vouch verify -q
	rm -rf "$W/out"
	vouch restore -q latest "$W/out"
	diff -r "$W/src" "$W/out"
}

@test "what only forgotten snapshots needed goes, the rest is whole" {
	two
	vouch forget -q latest~1
	before=$(used)
	run -0 vouch prune --dry-run --json
	[ "$(number unneeded_packs)" -gt 0 ]
	[ "$(used)" = "$before" ]
	run -0 vouch prune --json
	[ "$(number deleted_packs)" -gt 0 ]
	[ "$(number writers)" = 0 ]
	[ $((before - $(used))) -gt 4900000 ]
	whole
	(cd "$VOUCH_REPO" && sha256sum -c --quiet SHA256SUMS)
	[ -z "$(ls "$VOUCH_REPO/condemned" "$VOUCH_REPO/writers" "$VOUCH_REPO/tmp" | grep json)" ]
	run -0 vouch prune
	[[ $output == *"nothing to delete"* ]]
	grep -h '"event":"prune"' "$VOUCH_REPO"/log/*.ndjson | jq -e .deleted_packs
}

@test "a pack half of which is not needed is rewritten, or not, as asked" {
	tree "$W/src"
	vouch init -q "$VOUCH_REPO"
	mkdir "$W/src/some"
	for i in $(seq 60); do head -c 100000 /dev/urandom >"$W/src/some/$i"; done
	vouch backup -q -C "$W/src" .
	for i in $(seq 2 2 60); do rm "$W/src/some/$i"; done
	vouch backup -q -C "$W/src" .
	vouch forget -q latest~1
	run -0 vouch prune --json --max-unused 90%
	[ "$(number rewritten_packs)" = 0 ]
	[ "$(number unused_bytes)" -gt 2500000 ]
	before=$(used)
	run -0 vouch prune --json
	[ "$(number rewritten_packs)" -gt 0 ]
	[ $((before - $(used))) -gt 2500000 ]
	whole
}

@test "nothing goes that a backup under way may count on; the next prune deletes it" {
	two
	vouch forget -q latest~1
	mkfifo "$W/pipe"
	"$V" backup -q --stdin-name s <"$W/pipe" & backup=$!
	exec 8>"$W/pipe"
	for _ in $(seq 100); do [ -n "$(ls "$VOUCH_REPO/writers" 2>/dev/null)" ] && break; sleep 0.05; done
	before=$(used)
	run -0 vouch prune --json
	[ "$(number writers)" = 1 ]
	[ "$(number waiting_packs)" -gt 0 ]
	[ "$(number deleted_packs)" = 0 ]
	[ "$(used)" -ge "$before" ]
	echo done >&8
	exec 8>&-
	wait $backup
	run -0 vouch prune --json
	[ "$(number deleted_packs)" -gt 0 ]
	[ "$(number waiting_packs)" = 0 ]
	vouch verify -q
	[ "$(vouch cat latest:s)" = done ]
}

@test "what was condemned and is backed up again is stored anew, or kept" {
	two
	vouch forget -q latest~1
	mkfifo "$W/pipe"
	"$V" backup -q --stdin-name s <"$W/pipe" & backup=$!
	exec 8>"$W/pipe"
	for _ in $(seq 100); do [ -n "$(ls "$VOUCH_REPO/writers" 2>/dev/null)" ] && break; sleep 0.05; done
	vouch prune -q
	[ -n "$(ls "$VOUCH_REPO/condemned")" ]
	cp "$W/one/first" "$W/src/first"
	vouch backup -q -C "$W/src" .
	exec 8>&-
	wait $backup || true
	vouch prune -q
	[ -z "$(ls "$VOUCH_REPO/condemned")" ]
	whole
}

@test "a writer that was killed is not waited for" {
	two
	vouch forget -q latest~1
	mkfifo "$W/pipe"
	"$V" backup -q --stdin-name s <"$W/pipe" & backup=$!
	exec 8>"$W/pipe"
	for _ in $(seq 100); do [ -n "$(ls "$VOUCH_REPO/writers" 2>/dev/null)" ] && break; sleep 0.05; done
	kill -9 $backup
	wait $backup || true
	exec 8>&-
	[ -n "$(ls "$VOUCH_REPO/writers")" ]
	run -0 vouch prune --json
	[ "$(number writers)" = 0 ]
	[ "$(number deleted_packs)" -gt 0 ]
	[ -z "$(ls "$VOUCH_REPO/writers")" ]
}

@test "a snapshot that cannot be read wholly: nothing is deleted" {
	two
	vouch forget -q latest~1
	# A tree pack of what is left.
	for p in $(find "$VOUCH_REPO/packs" -name '*.pack' -size -40k); do
		chmod u+w "$p"
		size=$(stat -c %s "$p")
		head -c "$size" /dev/zero >"$p"
	done
	rm -f "$VOUCH_REPO"/packs/*/*.par "$VOUCH_REPO/index.db"
	before=$(find "$VOUCH_REPO/packs" -name '*.pack' | sort)
	run -4 vouch prune
	[[ $output == *"nothing is deleted"* ]]
	[ "$(find "$VOUCH_REPO/packs" -name '*.pack' | sort)" = "$before" ]
	[ -z "$(ls "$VOUCH_REPO/condemned" 2>/dev/null)" ]
}

@test "kill -9 at any moment of a prune: all snapshots are whole, and the next run ends it" {
	tree "$W/src"
	vouch init -q "$VOUCH_REPO"
	mkdir "$W/src/some"
	for round in $(seq "${KILLS:-12}"); do
		for i in $(seq 20); do head -c 100000 /dev/urandom >"$W/src/some/$i"; done
		vouch backup -q -C "$W/src" .
		for i in $(seq 2 2 20); do rm "$W/src/some/$i"; done
		vouch backup -q -C "$W/src" .
		vouch forget -q latest~1
		timeout -s KILL "0.0$((RANDOM % 9 + 1))" "$V" prune -q || true
		whole
	done
	# What the killed ones had written twice goes in one of the next.
	for _ in 1 2 3; do vouch prune -q; done
	whole
	run -0 vouch prune --json
	[ "$(number deleted_packs)" = 0 ]
	[ -z "$(ls "$VOUCH_REPO/condemned" "$VOUCH_REPO/writers" | grep json)" ]
	vouch backup -q -C "$W/src" .
	[ -z "$(ls "$VOUCH_REPO/tmp")" ]
}

@test "two prunes and two backups at once: nothing is lost" {
	two
	mkdir "$W/a" "$W/b"
	for round in 1 2 3 4; do
		head -c 2000000 /dev/urandom >"$W/a/$round"
		head -c 2000000 /dev/urandom >"$W/b/$round"
		vouch backup -q "$W/a" & a=$!
		vouch backup -q "$W/b" & b=$!
		vouch prune -q & c=$!
		vouch prune -q & d=$!
		wait $a
		wait $b
		wait $c
		wait $d
		rm "$W/a/$round"
		vouch forget -q --keep-last 1
		vouch verify -q
	done
	vouch prune -q
	whole_a=$(vouch snapshots --json | jq -r 'select(.sources[0] | endswith("/b")).id')
	vouch restore -q "$whole_a" "$W/out"
	diff -r "$W/b" "$W/out/$W/b" || diff -r "$W/b" "$W/out"
	vouch verify -q
}

@test "a full medium: room is made without a byte of room" {
	root_only
	truncate -s 40M "$W/img"
	mkfs.ext4 -q -m 0 "$W/img"
	mkdir "$W/mnt"
	mount -o loop "$W/img" "$W/mnt" || skip "no loop device"
	export VOUCH_REPO=$W/mnt/repo
	two
	dd if=/dev/zero of="$W/mnt/fill" bs=64k 2>/dev/null || true
	dd if=/dev/zero of="$W/mnt/fill2" bs=512 2>/dev/null || true
	vouch forget -q latest~1
	dd if=/dev/zero of="$W/mnt/fill3" bs=512 2>/dev/null || true
	run vouch prune --json
	said=$output
	vouch verify -q && ok=1
	umount "$W/mnt"
	output=$said
	echo "$said"
	[ "$(number deleted_packs)" -gt 0 ]
	[ "$ok" = 1 ]
}
