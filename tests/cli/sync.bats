#!/usr/bin/env bats
# vouch sync: a copy that is whole in all that it lists, whatever comes between.

load helper

number() { jq -r "select(.type == \"summary\").$1" <<<"$output"; }
names() { (cd "$1" && find packs snapshots copies forgotten -type f | sort); }

# A repository of small packs: three snapshots, each with something of its own.
several()
{
	tree "$W/src"
	vouch init -q --pack 512K "$VOUCH_REPO"
	for i in 1 2 3; do
		head -c "${1:-1500000}" /dev/urandom >"$W/src/own$i"
		vouch backup -q -C "$W/src" .
	done
	C=$W/copy
}

# All that the repository in $1 lists can be read wholly.
sound() { vouch verify -q --repo "$1"; }

# The newest snapshot in $1 is what is in $W/src.
newest_is_src()
{
	rm -rf "$W/out"
	vouch restore -q --repo "$1" latest "$W/out"
	diff -r "$W/src" "$W/out"
}

# A large pack, by age: data, which in "several" the first snapshot needs, too.
pack_of_own()
{
	local own
	own=$(find "$1/packs" -name '*.pack' -printf '%T@ %s %p\n' | sort -n | awk '$2 > 400000 { print $3 }')
	head -n "${2:-2}" <<<"$own" | tail -n 1
}

zero() { chmod u+w "$1"; dd if=/dev/zero of="$1" bs=4096 seek="$2" count="$3" conv=notrunc status=none; }

@test "into a folder that is not there, and into an empty one; then nothing is left to do" {
	several
	run -0 --separate-stderr vouch sync --dry-run --json "$C"
	[ "$(number copied_snapshots)" = 3 ]
	[ ! -e "$C" ]
	would=$(number copied_packs)
	run -0 --separate-stderr vouch sync --json "$C"
	[ "$(number copied_packs)" = "$would" ]
	[ "$(number copied_packs)" = "$(ls "$VOUCH_REPO"/packs/*/*.pack | wc -l)" ]
	[ "$(number snapshots)" = 3 ]
	[ "$(number copied_snapshots)" = 3 ]
	[ "$(number damaged)" = false ]
	[ "$(names "$VOUCH_REPO")" = "$(names "$C")" ]
	(cd "$C" && sha256sum -c --quiet SHA256SUMS)
	cmp "$VOUCH_REPO/vouch.json" "$C/vouch.json"
	[ -z "$(ls "$C/writers" "$C/tmp" | grep -v :)" ]
	sound "$C"
	newest_is_src "$C"
	run -0 --separate-stderr vouch sync "$C"
	[[ $output == "nothing was copied: "*" has all "*" 3 snapshots" ]]
	run -0 --separate-stderr vouch sync --dry-run "$C"
	[[ $output == "nothing to copy: "* ]]
	mkdir "$W/empty"
	vouch sync -q "$W/empty"
	[ "$(names "$VOUCH_REPO")" = "$(names "$W/empty")" ]
	# Both know each other.
	grep -h '"event":"replica"' "$VOUCH_REPO"/log/* | jq -es --arg c "$C" 'any(.path == $c)'
	grep -h '"event":"replica"' "$C"/log/* | jq -es --arg c "$VOUCH_REPO" 'any(.path == $c)'
	grep -h '"event":"backup"' "$C"/log/* | wc -l | grep -x 3
}

@test "what the copy lists can be mounted and read" {
	fuse_only
	several 300000
	vouch sync -q "$C"
	mkdir "$W/mnt"
	vouch mount --repo "$C" "$W/mnt"
	diff -r "$W/src" "$(ls -d "$W"/mnt/*/ | sort | tail -n 1)" || diff -r "$W/src" "$W/mnt/latest"
	fusermount3 -u "$W/mnt"
}

@test "what DIR must not be" {
	several 1000
	vouch init -q "$W/other"
	run -2 vouch sync "$W/other"
	[[ $output == *"another repository"*"name an empty folder"* ]]
	run -2 vouch sync --dry-run "$W/other"
	mkdir "$W/full"
	touch "$W/full/letter"
	run -2 vouch sync "$W/full"
	[[ $output == *"not a vouch repository"* ]]
	[ "$(ls -A "$W/full")" = letter ]
	run -2 vouch sync "$VOUCH_REPO"
	[[ $output == *"the repository itself"* ]]
	ln -s "$VOUCH_REPO" "$W/link"
	run -2 vouch sync "$W/link"
	run -2 vouch sync "$VOUCH_REPO/copy"
	run -75 vouch sync "$W/nowhere/copy"
	run -2 vouch sync
	run -2 vouch sync a b
	# Where a copy was, an empty folder is a mount point.
	vouch sync -q "$C"
	rm -rf "$C"
	mkdir "$C"
	run -75 vouch sync "$C"
	[[ $output == *"drive"* ]]
	[ -z "$(ls -A "$C")" ]
	vouch sync -q --new "$C"
	sound "$C"
}

@test "an interrupted making is begun again" {
	several 1000
	mkdir -p "$C/packs" "$C/tmp" "$C/copies"
	echo half >"$C/README.txt"
	vouch sync -q "$C"
	sound "$C"
	newest_is_src "$C"
}

@test "kill -9 at any moment: what is listed is whole, and the next sync goes on" {
	several
	for round in $(seq "${KILLS:-10}"); do
		[ $((round % 5)) != 0 ] || rm -rf "$C"
		head -c 600000 /dev/urandom >"$W/src/round"
		vouch backup -q -C "$W/src" .
		timeout -s KILL "0.0$((RANDOM % 9 + 1))" "$V" sync --new -q "$C" || true
		[ ! -e "$C/vouch.json" ] || sound "$C"
	done
	vouch sync -q --new "$C"
	[ "$(names "$VOUCH_REPO")" = "$(names "$C")" ]
	sound "$C"
	newest_is_src "$C"
	vouch sync -q "$C"
	[ -z "$(ls "$C/tmp")" ]
	vouch prune -q --repo "$C"
	[ -z "$(ls "$C/writers")" ]
	[ "$(names "$VOUCH_REPO")" = "$(names "$C")" ]
}

@test "a short pack under its name, as a broken copy leaves it, is copied again" {
	several
	vouch sync -q "$C"
	short=$(pack_of_own "$C")
	other=$(pack_of_own "$C" 4)
	third=$(pack_of_own "$C" 6)
	truncate -s 100000 "$short"
	rm "$other" "${other%.pack}.par"
	rm "${third%.pack}.par"
	run -0 --separate-stderr vouch sync --json "$C"
	[ "$(number copied_packs)" = 2 ]
	[ "$(number copied_parity)" = 1 ]
	[ "$(names "$VOUCH_REPO")" = "$(names "$C")" ]
	sound "$C"
}

@test "a pack that is damaged here, within its parity: the copy gets the right bytes" {
	several
	pack=$(pack_of_own "$VOUCH_REPO")
	cp "$pack" "$W/right"
	zero "$pack" 20 2
	run -4 --separate-stderr vouch sync --json "$C"
	[ "$(number healed_packs)" = 1 ]
	[ "$(number left_out)" = 0 ]
	[ "$(number damaged_packs)" = 0 ]
	cmp "$W/right" "$C/${pack#"$VOUCH_REPO/"}"
	sound "$C"
	newest_is_src "$C"
	cmp "$W/right" "$pack"
	vouch verify -q
}

@test "beyond its parity: what needs it is left out and named, all else is copied" {
	several
	# A snapshot that needs nothing of what is damaged.
	mkdir "$W/alone"
	echo alone >"$W/alone/file"
	vouch backup -q -C "$W/alone" .
	pack=$(pack_of_own "$VOUCH_REPO")
	rm "${pack%.pack}.par"
	zero "$pack" 30 2
	run -4 --separate-stderr vouch sync --json "$C"
	[ "$(number damaged_packs)" = 1 ]
	[ "$(number left_out)" = 3 ]
	[ "$(number copied_snapshots)" = 1 ]
	[[ $stderr == *"is left out of the copy"* ]]
	[ ! -e "$C/${pack#"$VOUCH_REPO/"}" ]
	sound "$C"
	[ "$(vouch cat --repo "$C" latest:file)" = alone ]
	[ "$(vouch snapshots --repo "$C" --json | grep -c root)" = 1 ]
	# Once it is right again the rest follows.
	rm "$pack"
	vouch backup -q -C "$W/src" .
	run -0 --separate-stderr vouch sync --json "$C"
	[ "$(number copied_snapshots)" = 4 ]
	sound "$C"
	newest_is_src "$C"
}

@test "a damaged pack of which nothing damaged is needed costs no snapshot" {
	several
	vouch sync -q "$C"
	cp -r "$C" "$W/spare"
	rm -rf "$C"
	# The table at its end, which can be read from the blocks' heads.
	pack=$(pack_of_own "$VOUCH_REPO")
	rm "${pack%.pack}.par"
	size=$(stat -c %s "$pack")
	chmod u+w "$pack"
	printf '\377\377\377' | dd of="$pack" bs=1 seek=$((size - 20)) conv=notrunc status=none
	rm "$VOUCH_REPO/index.db"
	run -4 --separate-stderr vouch sync --new --json "$C"
	[ "$(number damaged_packs)" = 1 ]
	[ "$(number left_out)" = 0 ]
	[ "$(number stored_chunks)" -gt 0 ]
	sound "$C"
	newest_is_src "$C"
}

@test "a pack that is damaged there: --check finds it, and mends it from here" {
	several
	vouch sync -q "$C"
	pack=$(pack_of_own "$C")
	par=$(pack_of_own "$C" 4 | sed s/pack$/par/)
	zero "$pack" 40 3
	zero "$par" 1 1
	snap=$(ls "$C"/snapshots/*.json | head -n 1)
	chmod u+w "$snap"
	printf X | dd of="$snap" bs=1 seek=40 conv=notrunc status=none
	# What is there at its length is trusted; a snapshot has a second copy.
	run -4 --separate-stderr vouch sync --json "$C"
	[ "$(number copied_packs)" = 0 ]
	run ! sound "$C"
	run --separate-stderr vouch sync --check --json "$C"
	[ "$(number mended_packs)" = 1 ]
	[ "$(number copied_parity)" = 1 ]
	sound "$C"
	run -0 --separate-stderr vouch sync --check --json "$C"
	[ "$(number mended_packs)" = 0 ]
	[ "$(number checked_packs)" = "$(number packs)" ]
	cmp "$snap" "$VOUCH_REPO/snapshots/${snap##*/}"
}

@test "what a verify there found damaged is mended by the next sync, unasked" {
	several
	vouch sync -q "$C"
	pack=$(pack_of_own "$C")
	rm "${pack%.pack}.par"
	zero "$pack" 40 3
	run -4 vouch verify -q --repo "$C"
	run -0 --separate-stderr vouch sync --json "$C"
	[ "$(number mended_packs)" = 1 ]
	[ "$(number checked_packs)" = 1 ]
	sound "$C"
	run -0 --separate-stderr vouch sync --json "$C"
	[ "$(number checked_packs)" = 0 ]
	[ "$(number copied_packs)" = 0 ]
}

@test "damaged at both ends: the copy's whole bytes are not replaced" {
	several
	vouch sync -q "$C"
	pack=$(pack_of_own "$VOUCH_REPO")
	rm "${pack%.pack}.par"
	truncate -s 50000 "$pack"
	run -4 --separate-stderr vouch sync --json "$C"
	[ "$(number damaged_packs)" = 1 ]
	sound "$C"
	newest_is_src "$C"
}

@test "both ways between two copies, each with snapshots of its own" {
	several 300000
	vouch sync -q "$C"
	mkdir "$W/one" "$W/two"
	head -c 900000 /dev/urandom >"$W/one/file"
	head -c 900000 /dev/urandom >"$W/two/file"
	vouch backup -q -C "$W/one" .
	sleep 1.1
	vouch backup -q --repo "$C" -C "$W/two" .
	run -0 --separate-stderr vouch sync --json "$C"
	[ "$(number copied_snapshots)" = 1 ]
	run -0 --separate-stderr vouch --repo "$C" sync --json "$VOUCH_REPO"
	[ "$(number copied_snapshots)" = 1 ]
	[ "$(names "$VOUCH_REPO")" = "$(names "$C")" ]
	for r in "$VOUCH_REPO" "$C"; do
		sound "$r"
		[ "$(vouch snapshots --repo "$r" --json | grep -c root)" = 5 ]
		vouch cat --repo "$r" latest:file | cmp - "$W/two/file"
		vouch cat --repo "$r" latest~1:file | cmp - "$W/one/file"
	done
	# The fork goes on.
	vouch backup -q -C "$W/one" .
	vouch backup -q --repo "$C" -C "$W/two" .
	vouch sync -q "$C"
	vouch --repo "$C" sync -q "$VOUCH_REPO"
	[ "$(names "$VOUCH_REPO")" = "$(names "$C")" ]
	sound "$C"
	sound "$VOUCH_REPO"
	run -0 --separate-stderr vouch sync "$C"
	[[ $output == "nothing was copied"* ]]
}

@test "what was forgotten does not come back, and goes there when asked; prunes in between" {
	several
	vouch sync -q "$C"
	gone=$(vouch snapshots --json | jq -r .name | head -n 1)
	vouch forget -q latest~2
	vouch prune -q
	# The record alone travels.
	run -0 --separate-stderr vouch sync --json "$C"
	[ "$(number records)" = 1 ]
	[ "$(vouch snapshots --repo "$C" --json | grep -c root)" = 3 ]
	vouch prune -q --repo "$C"
	sound "$C"
	vouch --repo "$C" sync -q "$VOUCH_REPO"
	[ "$(vouch snapshots --json | grep -c root)" = 2 ]
	run -0 --separate-stderr vouch sync --delete --json "$C"
	[ "$(number forgotten)" = 1 ]
	[ "$(vouch snapshots --repo "$C" --json | grep -c root)" = 2 ]
	[ ! -e "$C/snapshots/$gone.json" ]
	run -0 --separate-stderr vouch --repo "$C" prune --json
	sound "$C"
	vouch prune -q --repo "$C"
	vouch sync -q "$C"
	sound "$C"
	newest_is_src "$C"
	sound "$VOUCH_REPO"
}

@test "a pack that is condemned there is not counted on" {
	several
	vouch sync -q "$C"
	one=$(vouch snapshots --repo "$C" --json | jq -r .id | head -n 1)
	# Let go there only, and condemned, while a backup there is under way.
	for i in 1 2 3; do vouch forget -q --repo "$C" latest; done
	mkfifo "$W/pipe"
	"$V" backup -q --repo "$C" --stdin-name s <"$W/pipe" & backup=$!
	exec 8>"$W/pipe"
	for _ in $(seq 100); do [ -n "$(ls "$C/writers")" ] && break; sleep 0.05; done
	vouch prune -q --repo "$C"
	[ -n "$(ls "$C/condemned")" ]
	# Here it is backed up again.
	vouch backup -q -C "$W/src" .
	run -0 --separate-stderr vouch sync --json "$C"
	[ "$(number stored_chunks)" -gt 0 ]
	[ "$(number copied_snapshots)" = 1 ]
	newest_is_src "$C"
	exec 8>&-
	wait $backup || true
	run -0 --separate-stderr vouch --repo "$C" prune --json
	[ "$(number deleted_packs)" -gt 0 ]
	sound "$C"
	vouch forget -q --repo "$C" latest || true
	vouch sync -q "$C"
	sound "$C"
}

@test "a prune there takes nothing that a sync under way has copied" {
	several
	vouch sync -q --limit-rate 2M "$C" & sync=$!
	for _ in $(seq 100); do [ -n "$(ls "$C"/packs/*/*.pack 2>/dev/null)" ] && break; sleep 0.05; done
	run -0 --separate-stderr vouch --repo "$C" prune --json
	[ "$(number deleted_packs)" = 0 ]
	wait $sync
	sound "$C"
	newest_is_src "$C"
}

@test "backups and prunes here while it is copied" {
	several
	for round in 1 2 3; do
		head -c 1500000 /dev/urandom >"$W/src/round"
		vouch backup -q -C "$W/src" .
		vouch forget -q --keep-last 2
		vouch sync -q --limit-rate 6M "$C" & sync=$!
		vouch prune -q
		head -c 700000 /dev/urandom >"$W/src/more"
		vouch backup -q -C "$W/src" .
		wait $sync
		sound "$C"
	done
	vouch sync -q "$C"
	sound "$C"
	newest_is_src "$C"
}

@test "a medium that is too small is said before; one that fills up breaks nothing" {
	root_only
	several 4000000
	truncate -s 10M "$W/img"
	mkfs.ext4 -q -m 0 -O ^has_journal "$W/img"
	mkdir "$W/mnt"
	mount -o loop "$W/img" "$W/mnt" || skip "no loop device"
	C=$W/mnt/copy
	run -1 vouch sync "$C"
	[[ $output == *"MiB free"*"MiB are to be copied"* ]]
	[ -z "$(ls "$C"/packs/*/* 2>/dev/null)" ]
	umount "$W/mnt"
	# Somebody else fills it meanwhile.
	truncate -s 24M "$W/img"
	mkfs.ext4 -q -F -m 0 -O ^has_journal "$W/img"
	mount -o loop "$W/img" "$W/mnt"
	vouch sync -q --new --limit-rate 6M "$C" 2>"$W/said" & sync=$!
	for _ in $(seq 100); do [ -n "$(ls "$C"/packs/*/*.pack 2>/dev/null)" ] && break; sleep 0.05; done
	dd if=/dev/zero of="$W/mnt/fill" bs=64k 2>/dev/null || true
	rc=0
	wait $sync || rc=$?
	cat "$W/said"
	[ $rc = 1 ]
	grep "No space left" "$W/said"
	[ -n "$(ls "$C"/packs/*/*.pack)" ]
	rm "$W/mnt/fill"
	sound "$C"
	run -0 --separate-stderr vouch sync --json "$C"
	[ "$(number copied_packs)" -lt "$(number packs)" ]
	sound "$C"
	newest_is_src "$C"
	umount "$W/mnt"
}

@test "onto exFAT" {
	root_only
	command -v mkfs.exfat >/dev/null || skip "no exfatprogs"
	command -v mount.exfat-fuse >/dev/null || skip "no exfat-fuse"
	several
	truncate -s 40M "$W/img"
	mkfs.exfat "$W/img" >/dev/null
	mkdir "$W/mnt"
	loop=$(losetup -f --show "$W/img") || skip "no loop device"
	mount.exfat-fuse "$loop" "$W/mnt" >/dev/null 2>&1 || { losetup -d "$loop"; skip "exfat-fuse cannot mount"; }
	C=$W/mnt/copy
	ok=0
	timeout -s KILL 0.3 "$V" sync -q "$C" || true
	{ vouch sync -q "$C" && [ "$(names "$VOUCH_REPO")" = "$(names "$C")" ] && sound "$C" && newest_is_src "$C"; } || ok=$?
	fusermount3 -u "$W/mnt" || umount "$W/mnt"
	losetup -d "$loop"
	[ $ok = 0 ]
}

@test "Ctrl-C ends it in order, and the next one goes on" {
	several
	"$V" sync -q --limit-rate 1M "$C" 2>"$W/said" & sync=$!
	for _ in $(seq 100); do [ -n "$(ls "$C"/packs/*/*.pack 2>/dev/null)" ] && break; sleep 0.05; done
	kill -TERM $sync
	rc=0
	wait $sync || rc=$?
	[ $rc = 1 ]
	grep "run again to go on" "$W/said"
	[ -z "$(ls "$C/tmp" "$C/writers" | grep -v :)" ]
	run -0 --separate-stderr vouch sync --json "$C"
	[ "$(number copied_packs)" -lt "$(number packs)" ]
	sound "$C"
}

@test "from a repository that cannot be written" {
	several 300000
	mkdir "$W/ro"
	mount --bind "$VOUCH_REPO" "$W/ro" 2>/dev/null && mount -o remount,ro,bind "$W/ro" || skip "no bind mounts"
	before=$(cd "$VOUCH_REPO" && find . -type f -newer "$W/ro" | sort; names "$VOUCH_REPO")
	vouch --repo "$W/ro" sync -q "$C"
	sound "$C"
	newest_is_src "$C"
	umount "$W/ro"
}
