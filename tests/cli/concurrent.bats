#!/usr/bin/env bats
# Several writers at once into one repository, while it is mounted and verified; kills; and what is left after.

setup()
{
	export TOP=$BATS_TEST_DIRNAME/..
	export VOUCH=${VOUCH:-$TOP/../build/vouch}
	export W=$BATS_TEST_TMPDIR
	export VOUCH_REPO=$W/repo XDG_STATE_HOME=$W/state XDG_CACHE_HOME=$W/cache
	"$VOUCH" init "$VOUCH_REPO"
}

teardown()
{
	if mountpoint -q "$W/mnt"; then fusermount3 -uz "$W/mnt"; fi
}

tree()		# tree NAME MIB: some files, compressible and not
{
	mkdir -p "$W/$1"
	for i in $(seq 1 20); do
		seq "$i" $((i + 3000)) >"$W/$1/text$i"
		head -c $(($2 * 52429)) /dev/urandom >"$W/$1/noise$i"
	done
}

@test "four backups at once, mounted and verified meanwhile: all are whole" {
	for i in 1 2 3 4; do tree "t$i" 4; done
	cp "$W/t1/noise1" "$W/t2/same"; cp "$W/t1/noise1" "$W/t3/same"
	"$VOUCH" backup "$W/t1"
	if [ -w /dev/fuse ]; then
		mkdir "$W/mnt"
		"$VOUCH" mount "$W/mnt"
	fi
	pids=
	for i in 1 2 3 4; do
		"$VOUCH" backup "$W/t$i" >"$W/log$i" 2>&1 &
		pids="$pids $!"
	done
	for n in 1 2 3; do "$VOUCH" verify >"$W/verify$n" 2>&1; done
	for p in $pids; do wait "$p"; done
	"$VOUCH" verify --files
	[ "$("$VOUCH" snapshots --json | jq -s length)" -eq 5 ]
	# one writer, one chain, without a fork
	[ "$("$VOUCH" snapshots --json | jq -s "[.[].seq] | sort == [1,2,3,4,5]")" = true ]
	if [ -w /dev/fuse ]; then
		for _ in $(seq 1 40); do
			[ "$(ls -d "$W"/mnt/2* | wc -l)" -eq 5 ] && break
			sleep 0.1
		done
		[ "$(ls -d "$W"/mnt/2* | wc -l)" -eq 5 ]
		for i in 1 2 3 4; do
			for s in "$W"/mnt/2*; do
				[ -d "$s$W/t$i" ] || continue
				diff -r "$W/t$i" "$s$W/t$i"
			done
		done
	fi
}

@test "a writer killed at any moment leaves a repository that reads, and no lock" {
	tree a 8
	"$VOUCH" backup "$W/a"
	for ms in 5 15 30 45 60 80 100 130 160 200; do
		head -c 3000000 /dev/urandom >"$W/a/new$ms"
		"$VOUCH" backup "$W/a" >/dev/null 2>&1 &
		pid=$!
		sleep "$(printf '0.%03d' "$ms")"
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
		"$VOUCH" verify >"$W/verify" 2>&1 || { cat "$W/verify"; false; }
	done
	"$VOUCH" backup "$W/a"
	[ -z "$(ls "$VOUCH_REPO/tmp")" ]
	"$VOUCH" restore "latest:$W/a" "$W/back"
	diff -r "$W/a" "$W/back"
}

@test "an interrupted backup ends within a second and is not done again" {
	mkdir "$W/big"
	for i in $(seq 1 150); do head -c 8000000 /dev/urandom >"$W/big/$i"; done
	"$VOUCH" backup "$W/big" >"$W/log" 2>&1 &
	pid=$!
	sleep 0.4
	kill -INT "$pid"
	rc=0
	wait "$pid" || rc=$?
	if [ $rc -eq 0 ]; then skip "it was faster than the signal"; fi
	[ $rc -eq 1 ]
	[ "$("$VOUCH" snapshots --json | jq -s length)" -eq 0 ]
	stored=$(cat "$VOUCH_REPO"/packs/*/*.pack | wc -c)
	[ "$stored" -gt 0 ]
	"$VOUCH" backup --json "$W/big" 2>/dev/null | tail -n 1 >"$W/second"
	total=$(cat "$W"/big/* | wc -c)
	[ "$(jq .new_bytes "$W/second")" -le $((total - stored + 2000000)) ]
	"$VOUCH" verify --files
}

@test "restores into one folder at once leave each other's files alone, and nothing behind" {
	mkdir -p "$W/many/below"
	for i in $(seq 1 1500); do echo "$i" >"$W/many/below/file$i"; done
	for i in $(seq 1 30); do head -c 300000 /dev/urandom >"$W/many/noise$i"; done
	"$VOUCH" backup -C "$W/many" . 2>/dev/null
	for round in 1 2 3; do
		mkdir -p "$W/to/below"
		echo left >"$W/to/below/.vouch-00000000"	# by a restore that was killed
		pids=
		for i in 1 2 3 4; do
			"$VOUCH" restore latest "$W/to" >"$W/log$i" 2>&1 &
			pids="$pids $!"
			sleep 0.03
		done
		bad=0
		for p in $pids; do wait "$p" || bad=1; done
		cat "$W"/log?
		[ $bad -eq 0 ]
		diff -r "$W/many" "$W/to"	# and no temporary file
		rm -rf "$W/to"
	done
}

@test "a plain copy of the repository taken during a backup opens, and is whole after the next" {
	tree a 8
	"$VOUCH" backup "$W/a"
	head -c 30000000 /dev/urandom >"$W/a/more"
	"$VOUCH" backup "$W/a" >/dev/null 2>&1 &
	pid=$!
	for _ in 1 2 3 4 5; do
		rsync -a "$VOUCH_REPO/" "$W/copy/" 2>/dev/null || true
		"$VOUCH" --repo "$W/copy" cat "latest:$W/a/text1" >"$W/out"
		cmp "$W/out" "$W/a/text1"
	done
	wait "$pid"
	rsync -a --delete "$VOUCH_REPO/" "$W/copy/"
	"$VOUCH" --repo "$W/copy" verify --files
}

@test "the whole machine from /: pseudo file systems, the repository and its mounts are skipped with a line" {
	[ "$(id -u)" = 0 ] || skip "needs root to read it"
	mkdir "$W/mnt" "$W/keep"
	echo kept >"$W/keep/file"
	[ ! -w /dev/fuse ] || "$VOUCH" mount "$W/mnt"
	# all but /proc, /sys and what leads to our own folder is left out: for speed, and because others change it
	way=() at=
	for part in $(tr / ' ' <<<"$W"); do
		way+=(--exclude "$at/*" --exclude "!$at/$part")
		at=$at/$part
	done
	"$VOUCH" backup "${way[@]}" --exclude '!/proc' --exclude '!/sys' / >"$W/out" 2>&1 || { cat "$W/out"; false; }
	grep -q '/proc' "$W/out"
	grep -q '/sys' "$W/out"
	grep -q "$VOUCH_REPO" "$W/out"
	[ ! -w /dev/fuse ] || grep -q "$W/mnt" "$W/out"
	[ "$("$VOUCH" cat "latest:$W/keep/file")" = kept ]
	[ -z "$("$VOUCH" ls "latest:/proc")" ]
	[ -z "$("$VOUCH" ls "latest:$W/repo")" ]
}
