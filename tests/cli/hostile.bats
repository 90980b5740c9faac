#!/usr/bin/env bats
# Repositories that are meant to do harm, their checksums and names all right: nothing may escape, hang, crash or eat the
# memory, and what is right in them is still read.

load helper

make_hostile()	# KIND N
{
	local m=$TOP/build/tests/corrupt/make_hostile

	[ -x "$m" ] || make -s -C "$TOP" WERROR=1 build/tests/corrupt/make_hostile
	"$m" "$1" "$2" "$VOUCH_REPO"
}

# within STATUS MIB COMMAND...: it ends within half a minute (or LIMIT seconds), with that status and so much memory at most.
within()
{
	local status=$1 mib=$2

	shift 2
	python3 - "$status" "$mib" "${LIMIT:-30}" "$V" "$@" <<-'END'
	import resource, subprocess, sys
	status, mib = int(sys.argv[1]), int(sys.argv[2])
	try:
	    got = subprocess.run(sys.argv[4:], timeout=int(sys.argv[3]), stdin=subprocess.DEVNULL).returncode
	except subprocess.TimeoutExpired:
	    got = "none: it did not end"
	peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
	print("status %s, peak %d MiB" % (got, peak))
	sys.exit(got != status or peak > mib)
	END
}

mounted()
{
	fuse_only
	mkdir -p "$W/mnt"
	"$V" mount -f "$W/mnt" >"$W/log" 2>&1 3>&- & server=$!
	for _ in $(seq $((${LIMIT:-5} * 20))); do mountpoint -q "$W/mnt" && return; sleep 0.05; done
	cat "$W/log"
	false
}

# The mount is still there, lives, and has needed so many MiB at most.
still_mounted()
{
	ls "$W/mnt" >/dev/null
	[ "$(awk '/VmHWM/ { print int($2 / 1024) }' /proc/$server/status)" -le "$1" ]
	fusermount3 -u "$W/mnt"
	wait $server || [ $? -eq 4 ]
}

@test "folders that hold one another twice, fifty deep: each is looked at once" {
	make_hostile dag 50
	within 0 100 verify
	within 0 100 verify --files
	within 0 100 verify latest
	within 0 100 prune --dry-run
	within 0 100 prune
	within 0 100 diff latest latest
	[ "$(vouch ls latest | tr '\n' ' ')" = "a/ b/ " ]
	[ "$(vouch cat "latest:$(printf 'a/%.0s' $(seq 50))b" 2>/dev/null || vouch cat "latest:$(printf 'a/%.0s' $(seq 49))b")" = short ]
	# As many as there are paths, which is for the asker to end; in no more memory the longer it takes.
	rc=0
	timeout 2 "$V" ls -R latest >/dev/null || rc=$?
	[ $rc -eq 124 ]
	mounted
	run ! ls "$W/mnt/latest/"
	still_mounted 100
	[ "$(grep -c 'more than 2^40 entries' "$W/log")" -eq 1 ]
}

@test "the same whose totals lie: said, and no longer believed than it takes to look" {
	make_hostile lying-dag 60
	within 4 100 verify
	within 0 100 prune --dry-run
	mounted
	run ! find "$W/mnt/latest/"
	still_mounted 100
}

@test "the same with the bottom gone: damage has an end" {
	make_hostile broken-dag 40
	within 4 100 verify -q >"$W/out" 2>&1 || { tail -n 3 "$W/out"; false; }
	[ "$(wc -l <"$W/out")" -lt 1100000 ]
}

@test "folders deeper than any may be" {
	make_hostile deep 5000
	within 4 100 verify -q 2>"$W/err"
	# With work that grows with the depth, not with its square or cube.
	within 1 100 restore -q latest "$W/back" 2>"$W/err"
	[ "$(find "$W/back" -type d | wc -l)" -ge 4000 ]
	within 0 100 ls -R latest >/dev/null
	mounted
	find "$W/mnt/latest/" >"$W/names" 2>"$W/err" || true
	[ "$(wc -l <"$W/names")" -gt 1000 ]
	still_mounted 200
}

@test "names that lead out, are twice there or out of order: damage, and nothing is made" {
	make_hostile names 0
	mkdir "$W/room"
	for id in $(vouch snapshots --json | jq -r .id); do
		within 4 100 restore -q "$id" "$W/room/$id"
	done
	[ -z "$(find "$W/room" ! -type d)" ]
	[ "$(find "$W/room" -mindepth 1 -maxdepth 1 | wc -l)" -eq 8 ]
	[ ! -e "$W/up" ]
	[ ! -e "$W/../up" ]
	mounted
	run ! find "$W/mnt/" -path '*/20*' -name '*x*'
	[ -z "$(find "$W/mnt/" -path '*/20*' -type f 2>/dev/null)" ]
	still_mounted 100
}

@test "blocks that grow a thousandfold, and one that says 2^60" {
	make_hostile bomb 16
	[ "$(du -sm "$VOUCH_REPO" | cut -f 1)" -le 1 ]
	within 4 200 verify
	within 4 200 verify --files
	within 4 200 restore latest "$W/back"
	[ "$(cat "$W/back/c-whole")" = whole ]
	[ ! -e "$W/back/b-declares" ]
	mounted
	[ "$(wc -c <"$W/mnt/latest/a-big")" -eq 134217728 ]
	run ! cat "$W/mnt/latest/b-declares"
	still_mounted 200
}

@test "a great many snapshots" {
	make_hostile snapshots "${SNAPSHOTS:-3000}"
	export LIMIT=$((30 + ${SNAPSHOTS:-3000} / 2000))
	within 0 $((60 + ${SNAPSHOTS:-3000} / 250)) snapshots >"$W/list"
	[ "$(wc -l <"$W/list")" -ge "${SNAPSHOTS:-3000}" ]
	[ "$(vouch cat latest:file)" = content ]
	mounted
	[ "$(ls "$W/mnt" | grep -c ^20)" -eq "${SNAPSHOTS:-3000}" ]
	[ "$(cat "$W/mnt/latest/file")" = content ]
	still_mounted $((60 + ${SNAPSHOTS:-3000} / 400))
}

@test "devices, setuid, links out: shown; given to nobody who does not ask for them" {
	root_only
	make_hostile odd 0
	old=$(vouch snapshots --json | jq -rs 'sort_by(.time)[0].id')
	within 0 100 restore "$old" "$W/back"
	[ ! -e "$W/back/a-kmem" ]
	[ ! -e "$W/back/b-disk" ]
	[ "$(stat -c %a "$W/back/c-setuid")" = 777 ]
	[ -z "$(lsattr "$W/back/g-flags" | cut -d ' ' -f 1 | tr -d -- -e)" ]
	[ "$(readlink "$W/back/f-up")" = ../../../../../../../../etc ]
	# The folder takes the link's place: it is not gone through.
	sum=$(sha256sum /etc/passwd)
	within 0 100 restore latest "$W/back"
	[ "$(sha256sum /etc/passwd)" = "$sum" ]
	[ "$(cat "$W/back/f-up/passwd")" = hostile ]
	[ ! -L "$W/back/f-up" ]
	mounted
	[ -c "$W/mnt/latest/a-kmem" ]
	[ -b "$W/mnt/latest/b-disk" ]
	[ -u "$W/mnt/latest/c-setuid" ]
	[[ ",$(findmnt -no OPTIONS "$W/mnt")," == *,nosuid,*nodev,* ]]
	run ! head -c 1 "$W/mnt/latest/a-kmem"
	[[ $output == *"Permission denied"* ]]
	still_mounted 100
}

@test "files of 2^63 bytes, which are a hole, or the same chunk over and over" {
	make_hostile sizes 5
	within 0 100 verify
	within 1 100 restore latest "$W/back"
	[ "$(cat "$W/back/c-whole")" = whole ]
	mounted
	[ "$(stat -c %s "$W/mnt/latest/a-hole")" = 9223372036854775807 ]
	[ "$(tail -c 3 "$W/mnt/latest/b-again" | od -An -tx1)" = " 00 00 00" ]
	[ "$(python3 -c 'import os, sys; print(len(os.pread(os.open(sys.argv[1], 0), 4000, 2**63 - 4002)))' "$W/mnt/latest/a-hole")" -eq 4000 ]
	still_mounted 100
}

@test "more attributes than any file system takes" {
	make_hostile xattrs 0
	within 0 100 verify
	within 1 100 restore -q latest "$W/back" 2>"$W/err"
	[ "$(cat "$W/back/a-large")" = x ]
	mounted
	# Linux lists at most 64 KiB of names, and gives values one by one.
	[ "$(getfattr "$W/mnt/latest/a-large" 2>/dev/null | grep -c user.0)" -gt 1000 ]
	[ "$(getfattr -n user.000007 --only-values "$W/mnt/latest/a-large" | wc -c)" -eq 65536 ]
	[ "$(cat "$W/mnt/latest/b-many")" = x ]
	still_mounted 100
}

@test "a log of a hundred thousand lines, and one that is a megabyte" {
	make_hostile log 100000
	within 0 60 verify
	within 0 60 snapshots
	within 0 60 prune
	mounted
	[ "$(cat "$W/mnt/latest/file")" = content ]
	still_mounted 60
}
