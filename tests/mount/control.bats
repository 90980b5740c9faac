#!/usr/bin/env bats
# The control folder: reached by name, the mounter's alone, and never stale.

load common

setup_file()
{
	require_fuse
	begin
	make_tree
	(
		cd "$W/src" || exit 1
		mkdir -p $'odd\nfolder/in\\ner' plain
		echo 1 > $'odd\nfolder/plain'
		echo 2 > $'odd\nfolder/in\\ner/back\\slash'
		echo 3 > $'plain/new\nline'
		echo 4 > $'plain/carriage\rreturn'
		echo 5 > $'plain/latin-\xe9'
		echo 6 > 'plain/ leading and trailing '
		echo 7 > 'plain/#hash'
		echo 8 > 'plain/*star "quoted"'
		touch $'plain/tab\there'
	)
	"$VOUCH" init "$VOUCH_REPO"
	"$VOUCH" backup -C "$W/src" . 2>/dev/null
	next_second
	echo changed > "$W/src/plain/#hash"
	rm "$W/src/text"
	"$VOUCH" backup -C "$W/src" . 2>/dev/null
	mount_it -o allow_other
}

teardown_file()
{
	for m in "$W"/mnt*; do fusermount3 -uz "$m" 2>/dev/null || :; done
}

# Until the clock shows another second: snapshots are named by theirs.
next_second()
{
	local now=$(date +%s)

	until [ "$(date +%s)" != "$now" ]; do read -rt 0.05 <> <(:) || :; done
}

snapshots() { ls "$W/mnt" | grep "^20"; }

@test "it is reached by name, and listed only where that is asked for" {
	run ls -A "$W/mnt"
	[[ "$output" != *vouch* ]]
	[ "$(stat -c '%F %a %u' "$W/mnt/.vouch")" = "directory 700 $(id -u)" ]
	for name in SHA256SUMS manifest versions status metrics damage; do
		ls -A "$W/mnt/.vouch" | grep -qx "$name"
		[ -e "$W/mnt/.vouch/$name" ]
	done
	[ ! -e "$W/mnt/.vouch/none" ]
	[ ! -e "$W/mnt/latest/.vouch" ]
	run touch "$W/mnt/.vouch/new"
	[[ "$output" = *"Read-only file system"* ]]
	mkdir "$W/mnt-visible"
	"$VOUCH" mount -o control=visible "$W/mnt-visible"
	run ls -A "$W/mnt-visible"
	fusermount3 -u "$W/mnt-visible"
	grep -qx .vouch <<< "$output"
}

@test "nobody else gets in, also under allow_other" {
	as_other() { (cd "$W/mnt" && setpriv --reuid=65534 --regid=65534 --clear-groups "$@"); }
	[ "$(as_other cat latest/acl-yes)" = readable ]
	for path in .vouch .vouch/status .vouch/SHA256SUMS .vouch/SHA256SUMS/latest; do
		cat "$W/mnt/$path" > /dev/null 2>&1 || :	# known to the kernel now
		run as_other cat $path
		[[ "$output" = *"Permission denied"* ]]
	done
	run as_other ls .vouch
	[[ "$output" = *"Permission denied"* ]]
}

@test "SHA256SUMS: sha256sum finds every file right" {
	[ "$(ls "$W/mnt/.vouch/SHA256SUMS" | wc -l)" -eq 2 ]
	for s in $(snapshots); do
		cd "$W/mnt/$s"
		LC_ALL=C sha256sum -c ../.vouch/SHA256SUMS/"$s" > "$W/checked"
		[ "$(find . -type f -print0 | tr -dc '\0' | wc -c)" -eq "$(grep -c ': OK$' "$W/checked")" ]
		[ "$(wc -l < "$W/checked")" -eq "$(grep -c ': OK$' "$W/checked")" ]
		find . -type f -printf '%P\0' | xargs -0 sha256sum -- | LC_ALL=C sort > "$W/want"
		LC_ALL=C sort "../.vouch/SHA256SUMS/$s" | cmp - "$W/want"
	done
	cmp "$W/mnt/.vouch/SHA256SUMS/latest" "$W/mnt/.vouch/SHA256SUMS/$(readlink "$W/mnt/latest")"
	[ ! -e "$W/mnt/.vouch/SHA256SUMS/2001-01-01T00-00-00Z" ]
}

@test "SHA256SUMS: its size is exact, and any part of it is the same as the whole" {
	f=$W/mnt/.vouch/SHA256SUMS/latest
	cat "$f" > "$W/whole"
	[ "$(stat -c %s "$f")" -eq "$(wc -c < "$W/whole")" ]
	[ "$(wc -c < "$W/whole")" -gt 100000 ]
	for skip in 0 1 66 67 4095 4096 50001 99999 $(($(wc -c < "$W/whole") - 1)); do
		echo 3 > /proc/sys/vm/drop_caches
		dd if="$f" bs=1 skip=$skip count=3000 status=none | cmp - <(tail -c +$((skip + 1)) "$W/whole" | head -c 3000)
	done
	[ -z "$(tail -c +$(($(wc -c < "$W/whole") + 1)) "$f")" ]
}

@test "a file of holes has a comment of the same length, that sha256sum passes over" {
	mkdir -p "$W/holes/in"
	truncate -s 2G "$W/holes/in/sparse\\file"
	truncate -s 2G "$W/holes/in/sparse"
	echo x > "$W/holes/x"
	VOUCH_REPO=$W/repo-holes "$VOUCH" init
	VOUCH_REPO=$W/repo-holes "$VOUCH" backup -C "$W/holes" . 2>/dev/null
	mkdir "$W/mnt-holes"
	VOUCH_REPO=$W/repo-holes "$VOUCH" mount "$W/mnt-holes"
	cd "$W/mnt-holes/latest/"
	cp "$W/mnt-holes/.vouch/SHA256SUMS/latest" "$W/sums"
	[ "$(stat -c %s "$W/mnt-holes/.vouch/SHA256SUMS/latest")" -eq "$(wc -c < "$W/sums")" ]
	run sha256sum -c "$W/sums"
	cd "$W"
	fusermount3 -u "$W/mnt-holes"
	[ "$status" -eq 0 ]
	[ "$output" = "x: OK" ]
	[ "$(grep -c '^#' "$W/sums")" -eq 2 ]
}

@test "status and metrics follow a new backup within two seconds" {
	f=$W/mnt/.vouch/status
	grep -q "^snapshots   2$" "$f"
	grep -q "^medium      there$" "$f"
	grep -q "$W/repo" "$f"
	next_second
	"$VOUCH" backup -C "$W/src" . 2>/dev/null
	three() { grep -q "^snapshots   3$" "$f"; }
	within 2 three
	grep -q "^vouch_snapshots 3$" "$W/mnt/.vouch/metrics"
	[ "$(stat -c %s "$f")" -gt 100 ]
}

@test "metrics are in Prometheus' form, and count what is read" {
	m=$W/mnt/.vouch/metrics
	metric() { awk -v n="vouch_$1" '$1 == n { print $2 }' "$m"; }
	for name in snapshots newest_snapshot_timestamp_seconds read_bytes_total \
		cache_bytes cache_hits_total cache_misses_total read_ahead_blocks_total \
		newest_snapshot_age_seconds verified_bytes_total damage_total healed_total \
		repository_available; do
		[[ "$(metric $name)" =~ ^[0-9]+$ ]]
		[ "$(grep -cE "^# (HELP|TYPE) vouch_$name " "$m")" -eq 2 ]
	done
	run grep -vE '^(# (HELP|TYPE) vouch_[a-z_]+ .+|vouch_[a-z_]+(\{days="[0-9]+"\})? [0-9]+(\.[0-9]+)?)$' "$m"
	[ "$status" -eq 1 ]
	[ "$(metric repository_available)" -eq 1 ]
	[ "$(metric healed_total)" -eq 0 ]
	[ "$(metric newest_snapshot_age_seconds)" -lt 100 ]
	[ "$(($(date +%s) - $(metric newest_snapshot_timestamp_seconds)))" -lt 100 ]
	before=$(metric verified_bytes_total)
	echo 3 > /proc/sys/vm/drop_caches
	cat "$W/mnt/latest/large" "$W/mnt/latest/random-a" > /dev/null
	[ "$(metric verified_bytes_total)" -ge "$before" ]
	[ "$(metric read_bytes_total)" -gt 0 ]
	[ "$(metric cache_bytes)" -gt 100000 ]
	[ "$(metric read_ahead_blocks_total)" -le "$(metric read_blocks_total)" ]
	# what was just read is in memory, and is asked for once more: a hit, and no miss
	hits=$(metric cache_hits_total) misses=$(metric cache_misses_total)
	[ "$misses" -gt 0 ]
	echo 1 > /proc/sys/vm/drop_caches
	cat "$W/mnt/latest/random-a" > /dev/null
	[ "$(metric cache_hits_total)" -gt "$hits" ]
	[ "$(metric cache_misses_total)" -eq "$misses" ]
	grep -qE "^cache       .* held; it had [0-9]+ of [0-9]+ pieces asked for, and [0-9]+ blocks were read ahead$" "$W/mnt/.vouch/status"
}

@test "what was opened stays as it was while newer ones are made" {
	exec 7< "$W/mnt/.vouch/metrics"
	size=$(stat -L -c %s /proc/self/fd/7)
	for i in 1 2 3 4; do
		cat "$W/mnt/latest/wide/file-number-$i-with-a-long-name" > /dev/null
		cat "$W/mnt/.vouch/metrics" > /dev/null
	done
	[ "$(wc -c <&7)" -eq "$size" ]
	exec 7<&-
}

@test "the repository goes away and comes back: status and metrics say so" {
	mv "$W/repo" "$W/unplugged"
	away() { grep -q "^medium      NOT READABLE" "$W/mnt/.vouch/status"; }
	here() { grep -q "^medium      there" "$W/mnt/.vouch/status"; }
	within 5 away
	grep -qx "vouch_repository_available 0" "$W/mnt/.vouch/metrics"
	mv "$W/unplugged" "$W/repo"
	within 5 here
	grep -qx "vouch_repository_available 1" "$W/mnt/.vouch/metrics"
}

@test "manifest: JSON with every file, its size exact before it is read" {
	s=$(readlink "$W/mnt/latest")
	f=$W/mnt/.vouch/manifest/$s.json
	ls "$W/mnt/.vouch/manifest" | grep -qx "$s.json"
	size=$(stat -c %s "$f")
	cp "$f" "$W/manifest.json"
	[ "$(wc -c < "$W/manifest.json")" -eq "$size" ]
	[ "$(tail -c +5001 "$f" | head -c 100)" = "$(tail -c +5001 "$W/manifest.json" | head -c 100)" ]
	python3 - "$W/manifest.json" "$W/mnt/$s" <<-'END'
		import base64, datetime, hashlib, json, os, sys
		m = json.load(open(sys.argv[1]))
		top = os.fsencode(sys.argv[2])
		want = set()
		for folder, _, names in os.walk(top):
		    for n in names:
		        p = os.path.join(folder, n)
		        if os.path.isfile(p) and not os.path.islink(p):
		            want.add(os.path.relpath(p, top))
		assert m["files"] == len(m["entries"]) == len(want), (m["files"], len(want))
		seen = 0
		for e in m["entries"]:
		    path = e["path"].encode() if "path" in e else base64.b64decode(e["path_b64"])
		    seen += "path_b64" in e
		    want.remove(path)
		    st = os.stat(os.path.join(top, path))
		    assert int(e["size"]) == st.st_size and int(e["mode"], 8) == st.st_mode & 0o7777, e
		    sec, ns = e["mtime"][:19], int(e["mtime"][20:29])
		    t = datetime.datetime.fromisoformat(sec + "+00:00").timestamp()
		    assert int(t) * 10**9 + ns == st.st_mtime_ns, (e, st.st_mtime_ns)
		    data = open(os.path.join(top, path), "rb").read()
		    assert e["sha256"] == hashlib.sha256(data).hexdigest(), e
		assert not want and seen == 1
	END
	if command -v jq > /dev/null; then
		[ "$(jq '.entries | length' "$f")" -eq "$(find "$W/mnt/$s" -type f -printf x | wc -c)" ]
	fi
	[ ! -e "$W/mnt/.vouch/manifest/$s" ]
	# made in a file without a name
	[ -z "$(ls "${TMPDIR:-/var/tmp}" | grep vouch-manifest || :)" ]
}

@test "versions: a link for each distinct version of a path" {
	mkdir -p "$W/v/a/b" "$W/mnt-v"
	export VOUCH_REPO=$W/repo-v
	"$VOUCH" init
	for i in 1 2 2 3 2b; do
		if [ "$i" = 2b ]; then touch "$W/v/other"; elif [ "$i" != "$(cat "$W/v/a/b/file" 2>/dev/null)" ]; then
			echo $i > "$W/v/a/b/file"; fi
		next_second
		"$VOUCH" backup -C "$W/v" . 2>/dev/null
	done
	"$VOUCH" mount "$W/mnt-v"
	cd "$W/mnt-v/.vouch/versions"
	[ "$(ls "$W/mnt-v" | grep -c ^20)" -eq 5 ]
	run ls a/b/file
	[ "${#lines[@]}" -eq 3 ]
	n=0
	for date in "${lines[@]}"; do
		n=$((n + 1))
		[ "$(readlink "a/b/file/$date")" = "../../../../../$date/a/b/file" ]
		[ "$(cat "a/b/file/$date")" = $n ]
		[ "$(stat -c %s "a/b/file/$date")" -eq "$(readlink -n "a/b/file/$date" | wc -c)" ]
	done
	first=$(ls "$W/mnt-v" | grep ^20 | head -n 1)
	[ "${lines[0]}" = "$first" ]
	[ "$(ls a/b | wc -l)" -ge 3 ]
	[ "$(ls other | wc -l)" -eq 1 ]
	[ "$(ls . | wc -l)" -ge 4 ]
	[ "$(cat "$first/a/b/file")" = 1 ]
	[ ! -e none ]
	[ ! -e a/none ]
	[ ! -e a/b/file/none ]
	[ ! -e other/"$first" ]
	cd "$W"
	fusermount3 -u "$W/mnt-v"
	export VOUCH_REPO=$W/repo
}

@test "damage: what was met, and every path that needs it" {
	mkdir -p "$W/d/in" "$W/mnt-d"
	cp "$W/src/random-a" "$W/d/in/here"
	cp "$W/src/random-a" "$W/d/"$'odd\nname'
	cp "$W/src/random-b" "$W/d/whole"
	export VOUCH_REPO=$W/repo-d
	"$VOUCH" init
	"$VOUCH" backup -C "$W/d" . 2>/dev/null
	next_second
	rm "$W/d/"$'odd\nname'
	"$VOUCH" backup -C "$W/d" . 2>/dev/null
	pack=$(basename "$(python3 "$HERE/flip.py" "$W/repo-d" "$W/src/random-a")" .pack)
	"$VOUCH" mount "$W/mnt-d"
	f=$W/mnt-d/.vouch/damage
	[ "$(grep -vc '^#' "$f")" -eq 0 ]
	run cat "$W/mnt-d/latest/in/here"
	[[ "$output" = *"Input/output error"* ]]
	cat "$f" > "$W/damage"
	cat "$W/damage"
	[ "$(stat -c %s "$f")" -eq "$(wc -c < "$W/damage")" ]
	new=$(readlink "$W/mnt-d/latest")
	old=$(ls "$W/mnt-d" | grep ^20 | head -n 1)
	grep -qE "^....-..-..T..:..:..Z chunk [0-9a-f]{64} damaged in pack $pack at [0-9]+" "$W/damage"
	# each id once in a line, in full
	grep -v " EIO " "$W/damage" > "$W/met"
	[ "$(grep -oE "(chunk|pack) [0-9a-f]{12}" "$W/met" | wc -l)" -eq "$(grep -oE "(chunk|pack) [0-9a-f]{64}" "$W/met" | wc -l)" ]
	[ "$(grep -cE "Z EIO $new-[0-9a-f]{16}/in/here: bytes 0 to [0-9]+: " "$W/damage")" -eq 1 ]
	"$VOUCH" verify 2> "$W/verify" || [ $? -eq 4 ]
	cat "$W/verify"
	[ "$(grep -cE "chunk [0-9a-f]{64} is damaged in pack $pack, block at [0-9]+: its SHA-256 is wrong$" "$W/verify")" -eq 1 ]
	grep -qE "^    $new-[0-9a-f]{16}/in/here$" "$W/damage"
	grep -qE "^    $old-[0-9a-f]{16}/in/here$" "$W/damage"
	grep -qE "^    $old-[0-9a-f]{16}/odd\\\\x0aname$" "$W/damage"
	[ "$(grep -c '^    ' "$W/damage")" -eq 3 ]
	grep -q "^damage      MET" "$W/mnt-d/.vouch/status"
	[ "$(awk '$1 == "vouch_damage_total" { print $2 }' "$W/mnt-d/.vouch/metrics")" -ge 1 ]
	fusermount3 -u "$W/mnt-d"
	export VOUCH_REPO=$W/repo
}
