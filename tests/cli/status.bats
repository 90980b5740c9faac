#!/usr/bin/env bats
# Bad input: one clear line, and the right exit status.

load helper

# Standard error is one line that begins with the command's name.
one_line()
{
	[ "$(wc -l <<<"$stderr")" = 1 ] || { echo "$stderr"; false; }
	[[ $stderr == vouch\ * ]]
}

@test "no repository given: 2" {
	unset VOUCH_REPO
	for c in "backup /etc" snapshots "ls latest" "cat latest:x" "diff a b" "mount $W" "restore latest $W/x" verify; do
		# shellcheck disable=SC2086
		run -2 --separate-stderr vouch $c
		one_line
		[[ $stderr == *"--repo"*"VOUCH_REPO"* ]]
	done
	run -2 vouch init
}

@test "the repository is not there: 75" {
	for c in "backup /etc" snapshots "ls latest" "cat latest:x" "diff a b" "restore latest $W/x" verify; do
		# shellcheck disable=SC2086
		run -75 --separate-stderr vouch --repo "$W/not/there" $c
		one_line
		[[ $stderr == *"plugged in"* ]]
	done
	mkdir "$W/mnt"
	run -75 --separate-stderr vouch mount "$W/not/there" "$W/mnt"
	one_line
}

@test "an empty folder is a drive that is not there: 75; another one is none: 2" {
	mkdir "$W/drive"
	run -75 --separate-stderr vouch -r "$W/drive" snapshots
	one_line
	[[ $stderr == *"plugged in"* ]]
	touch "$W/drive/photo.jpg"
	run -2 --separate-stderr vouch snapshots -r "$W/drive"
	one_line
	mkdir "$W/mnt"
	run -2 --separate-stderr vouch mount "$W/drive" "$W/mnt"
	one_line
}

@test "the option goes before the variable" {
	made
	VOUCH_REPO=$W/nowhere run -0 vouch --repo "$W/repo" ls latest
	VOUCH_REPO=$W/nowhere run -0 vouch ls --repo="$W/repo" latest
	VOUCH_REPO=$W/nowhere run -75 vouch ls latest
}

@test "init where something is: 1, and it is not touched" {
	made
	run -1 --separate-stderr vouch init "$VOUCH_REPO"
	one_line
	run -0 vouch ls latest
	mkdir "$W/full"
	touch "$W/full/x"
	run -1 --separate-stderr vouch init "$W/full"
	one_line
	[ "$(ls "$W/full")" = x ]
	run -75 --separate-stderr vouch init "$W/not/there/repo"
	one_line
}

@test "init with wrong parameters: 2, and nothing is made" {
	for o in "--zstd-level 99" "--zstd-level x" "--chunk-avg 0" "--chunk-avg 3x" "--chunk-avg 100000" \
		"--pack 99999999999G" "--chunk-min 2M --chunk-max 1M"; do
		# shellcheck disable=SC2086
		run -2 --separate-stderr vouch init $o "$W/r"
		one_line
		[ ! -e "$W/r/vouch.json" ]
	done
}

@test "wrong options and arguments: 2" {
	made
	for c in "ls" "ls a b" "cat" "diff latest" "restore latest" "restore latest x y" "mount" "mount a b c" \
		"verify a b" "snapshots x" "backup" "backup --nonsense" "ls -Z latest" "backup -C" "backup --tag" \
		"backup --jobs 0 /etc" "backup --jobs x /etc" "backup --files-from $W/none" "backup --exclude-from $W/none /etc" \
		"ls :/etc" "--nonsense" "init a b"; do
		# shellcheck disable=SC2086
		run -2 --separate-stderr vouch $c </dev/null
		[ -n "$stderr" ]
	done
	run -2 vouch backup --files-from - </dev/null
	run -2 vouch verify latest:etc
}

@test "a snapshot or path that is not there: 1" {
	made
	for a in 2001-01-01 abcdef01 latest:nothing latest:etc/hosts/x latest~9; do
		run -1 --separate-stderr vouch ls "$a"
		one_line
	done
	run -2 --separate-stderr vouch ls nonsense
	run -1 --separate-stderr vouch cat latest:etc
	one_line
	[[ $stderr == *"is a folder"* ]]
	run -1 --separate-stderr vouch cat latest:etc/link
	[[ $stderr == *"symbolic link to hosts"* ]]
	run -2 vouch ls latest:../etc
	vouch init "$W/empty" >/dev/null
	run -1 --separate-stderr vouch --repo "$W/empty" ls latest
	one_line
}

@test "an ambiguous snapshot: 2, with the candidates" {
	made
	# Several within one second share the first twenty characters of their names.
	for _ in 1 2 3 4 5 6; do vouch backup -q -C "$W/src" .; done
	date=$(vouch snapshots --json | jq -r '.name[:20]' | uniq -d | head -n 1)
	[ -n "$date" ] || skip "no two within one second"
	run -2 --separate-stderr vouch ls "$date"
	one_line
	for name in $(vouch snapshots --json | jq -r .name | grep "^$date"); do
		[[ $stderr == *"$name"* ]]
	done
}

@test "latest of one host" {
	made
	vouch backup -q --host b --stdin-name only-b -- echo x
	vouch backup -q --host a --tag t --stdin-name only-a -- echo x
	run -0 vouch ls --host b latest
	[ "$output" = only-b ]
	run -0 vouch ls --tag t latest
	[ "$output" = only-a ]
	run -0 vouch cat --path "$W" --host b latest:only-b || true
	run -1 vouch ls --host c latest
}

@test "a source that is not there: 1, and no snapshot" {
	vouch init "$VOUCH_REPO"
	run -1 --separate-stderr vouch backup -q "$W/src" "$W/nothing"
	one_line
	[[ $stderr == *"$W/nothing"* ]]
	run -0 vouch snapshots
	[[ $output == *"no snapshot yet"* ]]
	run -1 vouch backup -C "$W/nothing" .
}

@test "a source that cannot be read: 3, it is named, the rest is there" {
	tree "$W/src"
	echo secret >"$W/src/etc/shadow"
	chmod 000 "$W/src/etc/shadow"
	mkdir "$W/src/closed"
	chmod 000 "$W/src/closed"
	# Root reads everything; without these two capabilities it is held to modes as everybody is.
	as=()
	[ "$(id -u)" != 0 ] || as=(setpriv --bounding-set=-dac_override,-dac_read_search
		--inh-caps=-dac_override,-dac_read_search)
	"${as[@]}" "$V" init "$VOUCH_REPO"
	run -3 --separate-stderr "${as[@]}" "$V" backup -C "$W/src" .
	[[ $stderr == *warning*etc/shadow*"Permission denied"* ]]
	[[ $stderr == *warning*closed*"Permission denied"* ]]
	[[ $output == *"errors    2"* ]]
	run -0 "${as[@]}" "$V" cat latest:etc/hosts
	run -3 --separate-stderr "${as[@]}" "$V" backup --json -C "$W/src" .
	[ "$(jq -s 'map(select(.type == "warning")) | length' <<<"$output")" = 2 ]
	chmod 755 "$W/src/closed"
}

@test "control characters and other bytes in names are escaped" {
	name=$(printf 'esc\033[31m\nline\\back\377')
	echo content >"$W/src/$name"
	vouch init "$VOUCH_REPO"
	vouch backup -q -C "$W/src" .
	run -0 vouch ls latest
	[ "$output" = 'esc\x1b[31m\nline\\back\xff' ]
	run -0 vouch ls --json latest
	[ "$(jq -r .path_b64 <<<"$output" | base64 -d)" = "/$name" ]
	run -0 vouch cat "latest:$name"
	[ "$output" = content ]
	rm "$W/src/$name"
	touch "$W/src/other"
	vouch backup -q -C "$W/src" .
	run -0 vouch diff latest~1 latest
	[[ $output != *$'\033'* ]]
	grep -qF -- '- esc\x1b[31m\nline\\back\xff' <<<"$output"
	run -1 vouch cat "latest:$name"
	[[ $output != *$'\033'* ]]
	run -2 vouch $'ev\033il'
	[[ $output != *$'\033'* ]]
}

@test "a damaged pack: 4, and everything else is served" {
	made
	damage_data "$VOUCH_REPO"
	run -4 --separate-stderr vouch verify
	[[ $stderr == *damage* && $stderr == *share/random.bin* ]]
	[[ $output == *DAMAGE* ]]
	run -4 vouch verify --json
	[ "$(jq -s 'map(select(.type == "summary"))[0].damaged' <<<"$output" 2>/dev/null || echo true)" = true ]
	run -4 --separate-stderr vouch cat latest:share/random.bin
	[[ $stderr == *share/random.bin* ]]
	"$V" cat latest:share/random.bin 2>/dev/null >"$W/part" || true
	# What was printed is right, and is not all.
	[ "$(stat -c %s "$W/part")" -lt 700000 ]
	cmp -n "$(stat -c %s "$W/part")" "$W/part" "$W/src/share/random.bin"
	run -4 --separate-stderr vouch restore latest "$W/back"
	[[ $stderr == *share/random.bin* ]]
	[ ! -e "$W/back/share/random.bin" ]
	cmp "$W/src/etc/hosts" "$W/back/etc/hosts"
	run -0 vouch ls -lR latest
}

@test "a damaged snapshot file is served from its copy; without one it is listed as damaged: 4" {
	made
	name=$(vouch snapshots --json | jq -r .name)
	chmod u+w "$VOUCH_REPO/snapshots/$name.json"
	printf x | dd of="$VOUCH_REPO/snapshots/$name.json" bs=1 seek=20 conv=notrunc status=none
	run -4 --separate-stderr vouch snapshots
	[[ $output == *"${name:0:20}"* ]]
	[[ $stderr == *damage* ]]
	find "$VOUCH_REPO/copies" -name "$name*" -delete
	run -4 --separate-stderr vouch snapshots
	[[ $output != *"${name:0:20}"* ]]
	[[ $stderr == *damage*"$name"* ]]
	run -4 vouch verify
}

@test "a truncated pack: verify says incomplete, 4" {
	made
	pack=$(find "$VOUCH_REPO/packs" -name '*.pack' -printf '%s %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
	chmod u+w "$pack"
	truncate -s -1000 "$pack"
	rm -f "$VOUCH_REPO/index.db"
	run -4 vouch verify
}

@test "a newer format is refused with advice" {
	made
	head -n -1 "$VOUCH_REPO/vouch.json" | sed 's/"format": *1/"format":99/; s/"version": *1/"version":99/' >"$W/new"
	sum=$(sha256sum <"$W/new" | cut -c1-64)
	tail -n 1 "$VOUCH_REPO/vouch.json" | sed "s/[0-9a-f]\{64\}/$sum/" >>"$W/new"
	chmod u+w "$VOUCH_REPO/vouch.json" "$VOUCH_REPO/copies/"*
	cp "$W/new" "$VOUCH_REPO/vouch.json"
	cp "$W/new" "$VOUCH_REPO/copies/vouch.json"
	run -1 --separate-stderr vouch snapshots
	[[ $stderr == *newer* ]]
}

@test "a repository on a read-only medium is read, and not written: 1" {
	root_only
	made
	rm -f "$VOUCH_REPO/index.db"*
	mkdir "$W/ro"
	mount --bind "$VOUCH_REPO" "$W/ro"
	mount -o remount,bind,ro "$W/ro"
	run -0 vouch --repo "$W/ro" ls latest:etc
	[[ $output == *hosts* ]]
	run -0 vouch --repo "$W/ro" verify
	run -0 vouch --repo "$W/ro" restore latest:etc "$W/back"
	run -1 --separate-stderr vouch --repo "$W/ro" backup -q -C "$W/src" .
	one_line
	[[ $stderr == *[Rr]ead-only* ]]
	[ ! -e "$W/ro/index.db" ]
}

@test "a full disk: 1, and what was listed before is there" {
	root_only
	tree "$W/src"
	mkdir "$W/small"
	mount -t tmpfs -o size=6m tmpfs "$W/small"
	vouch init "$W/small/repo" >/dev/null
	export VOUCH_REPO=$W/small/repo
	vouch backup -q -C "$W/src" .
	head -c 12000000 /dev/urandom >"$W/src/large"
	run -1 --separate-stderr vouch backup -q -C "$W/src" .
	[[ $stderr == *"No space left"*"free space"* ]]
	run -0 vouch verify
	[ "$(vouch snapshots --json | wc -l)" = 1 ]
	rm "$W/src/large"
	run -0 vouch backup -q -C "$W/src" .
}

@test "standard output that cannot be written: 1" {
	made
	run -1 bash -c "'$V' cat latest:share/random.bin >/dev/full"
	[[ $output == *"No space left"* ]]
	run -1 bash -c "'$V' ls latest >/dev/full"
	run -1 bash -c "'$V' snapshots --json >/dev/full"
	run -1 bash -c "'$V' help >/dev/full"
}

@test "a reader that goes away ends ls quietly" {
	made
	run -0 bash -c "set -o pipefail; ('$V' ls -R latest; exit 0) | head -n 1"
	[ "${#lines[@]}" = 1 ]
}

@test "a mount point that is missing, in use, or no folder: 2" {
	fuse_only
	made
	run -2 --separate-stderr vouch mount "$W/none"
	one_line
	touch "$W/file"
	run -2 --separate-stderr vouch mount "$W/file"
	one_line
	mkdir "$W/mnt"
	vouch mount "$W/mnt"
	run -2 --separate-stderr vouch mount "$W/mnt"
	one_line
	run -2 --separate-stderr vouch mount -o rw "$W/src"
	one_line
}

@test "restore does not follow a link that stands in its way" {
	made
	mkdir "$W/outside" "$W/back"
	ln -s "$W/outside" "$W/back/etc"
	run -0 vouch restore latest "$W/back"
	[ -z "$(ls "$W/outside")" ]
	[ ! -L "$W/back/etc" ]
	cmp "$W/src/etc/hosts" "$W/back/etc/hosts"
}

@test "a folder in the way of a file is its user's, and no damage: 1" {
	made
	mkdir -p "$W/back/share/random.bin/mine"
	run -1 --separate-stderr vouch restore latest "$W/back"
	[[ $stderr == *"warning: share/random.bin: "*"in the way"* ]]
	[[ $stderr != *damage:* ]]
	[ -d "$W/back/share/random.bin/mine" ]
}

@test "closed standard descriptors harm nothing" {
	made
	vouch backup -q -C "$W/src" . <&- >&- 2>&-
	vouch verify -q
}
