#!/usr/bin/env bats
# A mount's beginning and end, snapshots that come and go meanwhile, and damage.

load common

setup_file()
{
	require_fuse
	begin
	make_tree
	"$VOUCH" init "$VOUCH_REPO"
	"$VOUCH" backup -C "$W/src" . 2>/dev/null
}

teardown() { drop; }

# Until the clock shows another second: snapshots are named by theirs.
next_second()
{
	local now=$(date +%s)

	until [ "$(date +%s)" != "$now" ]; do read -rt 0.05 <> <(:) || :; done
}

in_log() { grep -q -- "$1" "$W/log"; }

# In the foreground, so that what it logs can be read.
mount_logged()
{
	: > "$W/log"
	"$VOUCH" mount -f "$W/mnt" > "$W/log" 2>&1 3>&- &
	export SERVER=$!
	within 10 mounted
}

# What a mount in the foreground has met is its exit status.
ended_with_damage()
{
	local rc=0

	wait "$SERVER" || rc=$?
	[ $rc -eq 4 ]
}

refused()	# refused STATUS TEXT ARGUMENT...
{
	local want=$1 text=$2

	shift 2
	run "$VOUCH" mount "$@"
	echo "$output"
	[ "$status" -eq "$want" ]
	[ "${#lines[@]}" -eq 1 ]
	[[ "$output" = *"$text"* ]]
}

@test "a mount point that cannot be one is refused in a line" {
	: > "$W/file"
	refused 2 "is not there" "$W/none"
	refused 2 "not a folder" "$W/file"
	refused 2 "not a folder" "$W/file/x"
	refused 2 "something is mounted there" /proc
	refused 2 "hide the repository" "$W"
	refused 2 "hide the repository" "$W/repo"
	refused 2 "in the repository" "$W/repo/packs"
	mount_it
	refused 2 "something is mounted there" "$W/mnt"
	unmount
}

@test "a repository that is not there, or is none" {
	refused 75 "" "$W/unplugged" "$W/mnt"
	mkdir "$W/other"
	: > "$W/other/file"
	refused 2 "" "$W/other" "$W/mnt"
	not_mounted
}

@test "options" {
	refused 2 "-o bogus" -o ro,bogus "$W/mnt"
	refused 2 "-o rw" -o rw "$W/mnt"
	refused 2 "-o suid" -o suid "$W/mnt"
	mount_it -o ro,nosuid,nodev,noatime,noexec
	[[ ",$(findmnt -no OPTIONS "$W/mnt")," = *,noexec,* ]]
	[[ ",$(findmnt -no OPTIONS "$W/mnt")," != *,allow_other,* ]]
}

@test "without allow_other the mount is the mounter's alone" {
	mount_it
	run sh -c "cd '$W' && setpriv --reuid=65534 --regid=65534 --clear-groups ls mnt"
	[ "$status" -ne 0 ]
	[[ "$output" = *"Permission denied"* ]]
}

@test "allow_other where /etc/fuse.conf forbids it to users" {
	if grep -qx user_allow_other /etc/fuse.conf; then skip "/etc/fuse.conf allows it"; fi
	mkdir -p "$W/public"
	cp "$VOUCH" "$W/public/vouch"
	chmod 755 "$W/public" "$W/public/vouch"
	cd "$W/public"
	run setpriv --reuid=65534 --regid=65534 --clear-groups ./vouch --repo /r mount -o allow_other .
	[ "$status" -eq 2 ]
	[[ "$output" = *"user_allow_other"*"/etc/fuse.conf"* ]]
}

@test "the mount answers when the command returns, and nobody's files are kept open" {
	mount_it
	[ -e "$W/mnt/latest/hello" ]
	# bats holds 3 and more; 0, 1, 2 are /dev/null
	for fd in /proc/"$(server)"/fd/*; do
		case $(readlink "$fd") in
		/dev/null | /dev/fuse | socket:* | anon_inode:* | "$W/repo"* | "$W/cache"*) ;;
		*) readlink "$fd"; false ;;
		esac
	done
	[ "$(readlink /proc/"$(server)"/cwd)" = / ]
	unmount
	within 5 server_gone
}

@test "a new snapshot appears within two seconds, and latest leads to it" {
	mount_it
	old=$(readlink "$W/mnt/latest")
	[ "$(cat "$W/mnt/latest/hello")" = hello ]
	until [ "$(date -u +%Y-%m-%dT%H-%M-%SZ)" != "$old" ]; do read -rt 0.1 <> <(:) || :; done
	echo changed > "$W/src/hello"
	"$VOUCH" backup -C "$W/src" . 2>/dev/null
	latest_moved() { [ "$(readlink "$W/mnt/latest")" != "$old" ]; }
	within 2 latest_moved
	new=$(readlink "$W/mnt/latest")
	[ "$(cat "$W/mnt/latest/hello")" = changed ]
	[ "$(cat "$W/mnt/$old/hello")" = hello ]
	[ "$(ls -d "$W/mnt"/20* | wc -l)" -eq 2 ]
	[ -d "$W/mnt/$new" ]
}

@test "snapshots of one second all show with their ids" {
	mount_it
	names() { (cd "$W/repo/snapshots" && for f in *.json; do echo "${f:0:20}"; done) | uniq -d; }
	for _ in $(seq 20); do
		[ -z "$(names)" ] || break
		"$VOUCH" backup -C "$W/src/dir" . 2>/dev/null
	done
	twice=$(names | head -n 1)
	[ -n "$twice" ] || skip "this machine takes a second for each"
	shown() {
		for f in "$W/repo/snapshots/$twice"-*.json; do
			f=$(basename "$f" .json)
			[ -d "$W/mnt/${f:0:29}" ] && [ ! -L "$W/mnt/${f:0:29}" ] || return 1
		done
		[ ! -e "$W/mnt/$twice" ]
	}
	within 2 shown
	ls "$W/mnt" | grep -qF "$twice-"
}

# The record NAME once more as another snapshot of that second: a space behind makes another id. Its name goes to TWIN.
twin()
{
	local id

	(cat "$W/repo/snapshots/$1.json" && printf ' ') > "$W/twin.json"
	id=$(sha256sum < "$W/twin.json")
	TWIN=${1:0:20}-${id:0:16}
	cp "$W/twin.json" "$W/repo/copies/snapshots/$TWIN.json"
	mv "$W/twin.json" "$W/repo/snapshots/$TWIN.json"
}

leads() { [ "$(readlink "$W/mnt/$1")" = "$2" ]; }

forget_twin() { rm "$W/repo/snapshots/$TWIN.json" "$W/repo/copies/snapshots/$TWIN.json"; }

@test "a second snapshot of a second comes and goes: no name leads nowhere, or to the other" {
	mount_it
	next_second
	"$VOUCH" backup -C "$W/src/dir" . 2>/dev/null
	full=$("$VOUCH" snapshots --json | tail -n 1 | jq -r .name)
	date=${full:0:20} id8=${full:0:29}
	within 2 [ -d "$W/mnt/$date" ]
	cd "$W/mnt/$date"
	for name in "$date" "$id8" "$full" latest; do	# now the kernel knows them all
		[ "$(cat "$W/mnt/$name/sub/deeper/deep")" = deep ]
		readlink "$W/mnt/$name" || :
	done
	[ "$(readlink "$W/mnt/$id8") $(readlink "$W/mnt/$full")" = "$date $date" ]
	# somebody holds the link itself: the kernel then keeps its target, too
	exec 8< <(exec python3 -c '
import os, sys, time
fd = os.open(sys.argv[1], os.O_PATH | os.O_NOFOLLOW)
os.readlink("", dir_fd=fd)
print("held", flush=True)
time.sleep(60)' "$W/mnt/$full" 3>&-)
	holder=$!
	read -r <&8
	for round in 1 2; do
		twin "$full"
		two() { [ -d "$W/mnt/${TWIN:0:29}" ] && [ ! -L "$W/mnt/${TWIN:0:29}" ]; }
		within 2 two
		[ ! -e "$W/mnt/$date" ]
		[ -d "$W/mnt/$id8" ]
		[ ! -L "$W/mnt/$id8" ]
		within 2 leads "$full" "$id8"
		[ "$(readlink "$W/mnt/$TWIN")" = "${TWIN:0:29}" ]
		for name in "$id8" "$full" "${TWIN:0:29}" "$TWIN" latest; do
			[ "$(cat "$W/mnt/$name/sub/deeper/deep")" = deep ]
		done
		[ "$(ls "$W/mnt" | grep -c "^$date")" -eq 2 ]
		[ "$(cat sub/deeper/deep)" = deep ]	# who stands in the folder still does
		[ "$(pwd -P)" = "$W/mnt/$id8" ] || [ "$(pwd -P)" = "$W/mnt/$date" ]
		forget_twin
		one() { [ -d "$W/mnt/$date" ]; }
		within 2 one
		[ ! -e "$W/mnt/$TWIN" ]
		[ ! -e "$W/mnt/${TWIN:0:29}" ]
		for name in "$id8" "$full" latest; do within 2 leads "$name" "$date"; done
		for name in "$date" "$id8" "$full" latest; do
			[ "$(cat "$W/mnt/$name/sub/deeper/deep")" = deep ]
		done
		[ "$(cat sub/deeper/deep)" = deep ]
	done
	kill "$holder"
	exec 8<&-
	cd /
}

@test "time=local: the name in UTC goes and comes with a second snapshot of its second" {
	TZ=CET-1 mount_it -o time=local
	next_second
	"$VOUCH" backup -C "$W/src/dir" . 2>/dev/null
	full=$("$VOUCH" snapshots --json | tail -n 1 | jq -r .name)
	date=${full:0:20}
	within 2 [ -L "$W/mnt/$date" ]
	shown=$(readlink "$W/mnt/$date")
	for round in 1 2; do
		[[ "$shown" =~ \+0100$ ]]
		for name in "$full" latest; do within 2 leads "$name" "$shown"; done
		twin "$full"
		no_more() { [ ! -L "$W/mnt/$date" ]; }
		within 4 no_more
		within 2 leads "$full" "$shown-${full:21:8}"
		[ "$(cat "$W/mnt/$full/sub/deeper/deep")" = deep ]
		forget_twin
		within 4 [ -L "$W/mnt/$date" ]
		[ "$(cat "$W/mnt/$date/sub/deeper/deep")" = deep ]
	done
}

@test "a forgotten snapshot goes, and what was open in it is stale" {
	"$VOUCH" backup -C "$W/src" . 2>/dev/null
	mount_it
	full=$("$VOUCH" snapshots --json | tail -n 1 | jq -r .name)
	[ "$(cat "$W/mnt/$full/dir/sub/deeper/deep")" = deep ]
	before=$(ls "$W/mnt" | wc -l)
	cd "$W/mnt/$full/dir"
	mkdir "$W/forgotten"
	mv "$W/repo/snapshots/$full.json" "$W/forgotten/a"
	mv "$W/repo/copies/snapshots/$full.json" "$W/forgotten/b"
	fewer() { [ "$(ls "$W/mnt" | wc -l)" -lt "$before" ]; }
	within 2 fewer
	run cat sub/deeper/deep
	[[ "$output" = *"Stale file handle"* || "$output" = *"No such file"* ]]
	run stat hard-3
	[[ "$output" = *"Stale file handle"* || "$output" = *"No such file"* ]]
	cd /
	mv "$W/forgotten/a" "$W/repo/snapshots/$full.json"
	mv "$W/forgotten/b" "$W/repo/copies/snapshots/$full.json"
	rmdir "$W/forgotten"
	same() { [ "$(ls "$W/mnt" | wc -l)" -eq "$before" ]; }
	within 2 same
	[ "$(cat "$W/mnt/$full/dir/sub/deeper/deep")" = deep ]
}

@test "an empty repository shows an empty folder" {
	"$VOUCH" init "$W/none-yet"
	"$VOUCH" --repo "$W/none-yet" mount "$W/mnt"
	[ -z "$(ls "$W/mnt")" ]
	[ ! -e "$W/mnt/latest" ]
	"$VOUCH" --repo "$W/none-yet" backup -C "$W/src/dir" . 2>/dev/null
	there() { [ -e "$W/mnt/latest/sub" ]; }
	within 2 there
	unmount
	rm -rf "$W/none-yet"
}

@test "an unmount under a reader is refused, a lazy one lets the reader finish" {
	mount_it
	exec 7< "$W/mnt/latest/large"
	head -c 100 <&7 > /dev/null
	run fusermount3 -u "$W/mnt"
	[ "$status" -ne 0 ]
	fusermount3 -uz "$W/mnt"
	tail -c +101 "$W/src/large" > "$W/rest"
	cat <&7 | cmp - "$W/rest"
	exec 7<&-
	within 5 server_gone
	not_mounted
}

@test "SIGTERM ends it cleanly, whoever reads" {
	mount_logged
	exec 7< "$W/mnt/latest/large"
	kill -TERM "$SERVER"
	wait "$SERVER"
	not_mounted
	exec 7<&-
	[ ! -s "$W/log" ]
}

@test "SIGUSR1: it says in its log what it has read" {
	mount_logged
	cat "$W/mnt/latest/large" > /dev/null
	kill -USR1 "$SERVER"
	within 10 in_log 'note: since it was mounted: [1-9][0-9]* blocks ([1-9][0-9]* bytes) read'
	kill -TERM "$SERVER"
	wait "$SERVER"
	[ "$(wc -l < "$W/log")" -eq 1 ]
}

@test "one damaged chunk is an error for its file alone, told in one line" {
	cp -a "$W/repo" "$W/damaged"
	python3 "$HERE/flip.py" "$W/damaged" "$W/src/random-a"
	echo 3 > /proc/sys/vm/drop_caches
	VOUCH_REPO=$W/damaged mount_logged
	for _ in 1 2 3; do
		run cat "$W/mnt/latest/random-a"
		[[ "$output" = *"Input/output error"* ]]
	done
	for f in random-b large text hello dir/sub/deeper/deep; do
		cmp "$W/src/$f" "$W/mnt/latest/$f"
	done
	cat "$W/log"
	[ "$(grep -c random-a "$W/log")" -eq 1 ]
	grep -q "$(readlink "$W/mnt/latest").*/random-a" "$W/log"
	unmount
	ended_with_damage
	rm -rf "$W/damaged"
}

@test "packs that are missing are errors and no missing files, and heal when they come" {
	cp -a "$W/repo" "$W/partial"
	mv "$W/partial/packs" "$W/packs-away"
	mkdir "$W/partial/packs"
	VOUCH_REPO=$W/partial mount_logged
	ls "$W/mnt" | grep -q latest
	run cat "$W/mnt/latest/hello"
	[[ "$output" = *"Input/output error"* ]]
	run ls "$W/mnt/latest/"
	[ "$status" -ne 0 ]
	rmdir "$W/partial/packs"
	mv "$W/packs-away" "$W/partial/packs"
	again() { cat "$W/mnt/latest/dir/sub/deeper/deep" > "$W/again" 2>/dev/null; }
	within 5 again
	[ "$(cat "$W/again")" = deep ]
	unmount
	ended_with_damage
	rm -rf "$W/partial"
}

@test "a repository that goes away and comes back" {
	cp -a "$W/repo" "$W/pulled"
	VOUCH_REPO=$W/pulled mount_logged
	ls "$W/mnt/latest/" > /dev/null
	mv "$W/pulled" "$W/in-a-drawer"
	echo 3 > /proc/sys/vm/drop_caches
	ls "$W/mnt" > /dev/null
	mv "$W/in-a-drawer" "$W/pulled"
	whole() { cmp -s "$W/src/large" "$W/mnt/latest/large"; }
	within 5 whole
	unmount
	wait "$SERVER"
	rm -rf "$W/pulled"
}

@test "a damaged snapshot file is told of, and the others are shown" {
	cp -a "$W/repo" "$W/rotten"
	full=$(cd "$W/rotten/snapshots" && ls -- *.json | sort | head -n 1)
	chmod -R u+w "$W/rotten/snapshots" "$W/rotten/copies"
	echo rot > "$W/rotten/snapshots/$full"
	echo rot > "$W/rotten/copies/snapshots/$full"
	VOUCH_REPO=$W/rotten mount_logged
	[ "$(cat "$W/mnt/latest/dir/sub/deeper/deep" 2>/dev/null || cat "$W/mnt/latest/sub/deeper/deep")" = deep ]
	grep -q "${full%.json}" "$W/log"
	[ ! -e "$W/mnt/${full%.json}" ]
	unmount
	ended_with_damage
	rm -rf "$W/rotten"
}
