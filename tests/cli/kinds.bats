#!/usr/bin/env bats
# Everything a file is: a tree of every kind goes in, and comes back by cp, rsync and vouch restore.

setup_file()
{
	export TOP=$BATS_TEST_DIRNAME/..
	export VOUCH=${VOUCH:-$TOP/../build/vouch}
	export W=$BATS_FILE_TMPDIR
	export VOUCH_REPO=$W/repo XDG_STATE_HOME=$W/state XDG_CACHE_HOME=$W/cache
	sh "$TOP/lib/kinds.sh" "$W/src"
	"$VOUCH" init "$VOUCH_REPO"
	sleep 2		# what was made within two seconds is unsettled; not what is tested here
	"$VOUCH" backup -C "$W/src" . 2>"$W/backup.err"
	# it comes back nowhere; its going must not show in the folder's time
	touch -r "$W/src" "$W/then"
	rm -f "$W/src/socket"
	touch -r "$W/then" "$W/src"
	if [ -w /dev/fuse ]; then
		mkdir "$W/mnt"
		"$VOUCH" mount "$W/mnt"
	fi
}

teardown_file()
{
	if mountpoint -q "$W/mnt"; then fusermount3 -u "$W/mnt"; fi
	chattr -R -i -a "$W" 2>/dev/null || true
}

# The 1 TB file is compared by its holes and its length alone; cp and rsync would read a terabyte of zeros.
compare()
{
	python3 "$TOP/lib/treecmp.py" "$@"
}

root_only()
{
	[ "$(id -u)" = 0 ] || skip "owners, devices and capabilities need root"
}

fuse_only()
{
	[ -d "$W/mnt" ] || skip "no /dev/fuse"
}

@test "the socket is named and nothing else is passed over" {
	grep -q 'socket' "$W/backup.err"
	[ "$(grep -c . "$W/backup.err")" -le 12 ]
	run grep -v -e socket "$W/backup.err"
	[[ "$output" != *warning* ]]
}

@test "the mount shows the tree as it is" {
	fuse_only
	root_only
	compare --no-flags "$W/src" "$W/mnt/latest/."
}

@test "cp -a brings it back" {
	fuse_only
	root_only
	mkdir "$W/cp"
	cp -a "$W/mnt/latest/." "$W/cp"
	compare --no-flags "$W/src" "$W/cp"
}

@test "rsync -aHAXS brings it back" {
	fuse_only
	root_only
	# rsync reads holes as zeros: a terabyte of them is left to the others
	rsync -aHAXS --numeric-ids --exclude hole-1t "$W/mnt/latest/" "$W/rsync"
	mkdir "$W/src2"
	cp -a "$W/mnt/latest/." "$W/src2"
	rm -f "$W/src2/hole-1t" "$W/src2/zeros-not-holes" "$W/rsync/zeros-not-holes"
	touch -r "$W/rsync" "$W/src2"
	compare --no-flags "$W/src2" "$W/rsync"
}

@test "vouch restore --special brings it back" {
	root_only
	"$VOUCH" restore --special --verify latest "$W/restored"
	compare "$W/src" "$W/restored"
}

@test "vouch restore without --special leaves out what is dangerous" {
	root_only
	"$VOUCH" restore latest "$W/plain"
	[ ! -e "$W/plain/null" ]
	[ ! -u "$W/plain/sixty-four" ]
	[ -z "$(getcap "$W/plain/capable")" ]
	compare --no-flags --no-special "$W/src" "$W/plain"
}

@test "an unchanged tree costs nothing the second time" {
	"$VOUCH" backup -C "$W/src" . --json 2>/dev/null | tail -n 1 >"$W/second.json"
	[ "$(jq .new_bytes "$W/second.json")" -lt 20000 ]
	"$VOUCH" diff latest~1 latest >"$W/diff.out"
	[ ! -s "$W/diff.out" ]
}

@test "the reader written from the format page finds the same bytes" {
	root_only
	(cd "$W/src" && find . -type f ! -name hole-1t -exec sha256sum -z {} + | tr '\0' '\1' ) >/dev/null
	name=$(ls "$VOUCH_REPO/snapshots" | head -n 1 | sed 's/\.json$//')
	for f in tiny small text-2m random-3m hole-many dir/hard-3; do
		python3 "$TOP/reader.py" "$VOUCH_REPO" "$name" "$f" | cmp - "$W/src/$f"
	done
	python3 "$TOP/reader.py" "$VOUCH_REPO" | grep -q "$name"
}
