#!/usr/bin/env bats
# Verify's ways: a sample, for a time, quickly, going on; what it records; and where the medium cannot be reached.

load helper

MIB=1048576

teardown()
{
	for m in "$W/exfat"; do
		mountpoint -q "$m" && { umount "$m" || umount -l "$m"; }
	done
	if [ -n "${LOOP:-}" ]; then losetup -d "$LOOP"; fi
	fusermount3 -uz "$W/m" 2>/dev/null || true
}

# many N: a repository of about N packs of a MiB, of bytes that do not compress.
many()
{
	head -c $(($1 * MIB)) /dev/urandom >"$W/src/large"
	echo small >"$W/src/small"
	vouch init -q --pack 1M --chunk-avg 16K --block 64K "$VOUCH_REPO"
	vouch backup -q -C "$W/src" .
}

summary()
{
	jq -c 'select(.type == "summary")' <<<"$output"
}

# verify OPTION...: its summary.
verify()
{
	run -0 --separate-stderr vouch verify --json "$@"
	summary
}

# The packs that the log says are good, and not bad.
good()
{
	cat "$VOUCH_REPO"/log/*.ndjson 2>/dev/null | jq -r 'select(.event == "checked") | .good[]?' | sort -u
}

# flip FILE OFFSET: a bit of it.
flip()
{
	python3 - "$1" "$2" <<-'END'
		import sys
		with open(sys.argv[1], "r+b") as f:
		    f.seek(int(sys.argv[2]))
		    b = f.read(1)[0]
		    f.seek(int(sys.argv[2]))
		    f.write(bytes([b ^ 4]))
	END
}

# line TIME EVENT MEMBERS: a line of a log, with its check.
line()
{
	local body="{\"time\":\"$1\",\"event\":\"$2\"${3:+,$3}"

	printf '%s,"check":"%s"}\n' "$body" "$(printf %s "$body" | sha256sum | cut -c1-16)"
}

keys()
{
	find "$VOUCH_REPO/packs" -name '*.pack' -printf '%f\n' | cut -c1-16 | sort
}

@test "every pack that was found good is in the log, and none that was not" {
	many 6
	verify >"$W/sum"
	[ "$(jq -c '[.recorded, .late, .cache]' "$W/sum")" = '[true,false,null]' ]
	[ "$(jq .good_packs "$W/sum")" = "$(keys | wc -l)" ]
	diff <(keys) <(good)
	# A change in a pack is a pack that is not good, and voids what was said before.
	pack=$(find "$VOUCH_REPO/packs" -name '*.pack' -size +900k | head -n 1)
	printf XXXX | dd of="$pack" bs=1 seek=300000 conv=notrunc status=none
	run -4 --separate-stderr vouch verify --json
	[ "$(summary | jq .good_packs)" = $(($(keys | wc -l) - 1)) ]
	key=$(basename "$pack" | cut -c1-16)
	[ "$(cat "$VOUCH_REPO"/log/*.ndjson | jq -r 'select(.event == "checked") | .bad[]?')" = "$key" ]
	run -4 --separate-stderr vouch verify --resume --json
	[ "$(summary | jq -c '[.packs, .damaged_packs]')" = '[1,1]' ]
	[[ $stderr == *"$key"* ]]
}

@test "a sample is of the share asked for, said by its seed, and the rest is still looked at" {
	many 12
	verify --sample 25% >"$W/a"
	[ "$(jq '.chosen_bytes >= .all_bytes * 0.25 and .chosen_bytes <= .all_bytes * 0.25 + 1200000' "$W/a")" = true ]
	[ "$(jq -c '[.packs == .chosen_packs, .good_packs == .packs, .walked_snapshots, .missing_chunks]' "$W/a")" = '[true,true,1,0]' ]
	good >"$W/good.a"
	seed=$(jq .seed "$W/a")
	rm "$VOUCH_REPO"/log/*
	verify --sample 25% --seed "$seed" >"$W/b"
	diff "$W/good.a" <(good)
	# Two seeds may choose the same; four in a row do not.
	differs=
	for next in 1 2 3; do
		rm "$VOUCH_REPO"/log/*
		verify --sample 25% --seed $((seed + next)) >/dev/null
		diff -q "$W/good.a" <(good) || differs=yes
	done
	[ "$differs" ] || { echo "seed $seed and the next three choose the same"; false; }
	# What is not there is missed although it is not in the sample.
	for key in $(keys); do grep -q "$key" "$W/good.a" || break; done
	rm "$VOUCH_REPO"/packs/*/"$key"*.pack
	run -4 --separate-stderr vouch verify --json --sample 25% --seed "$seed"
	[ "$(summary | jq '.missing_chunks > 0 and .damaged_paths > 0')" = true ]
}

@test "quick finds a flipped bit in stored bytes and whatever is missing, and records nothing" {
	many 6
	verify --quick >"$W/sum"
	[ "$(jq -c '[.packs == .all_packs, .recorded, .quick, .bytes_checked, .good_packs]' "$W/sum")" = '[true,false,true,0,0]' ]
	[ -z "$(good)" ]
	pack=$(find "$VOUCH_REPO/packs" -name '*.pack' -size +900k | head -n 1)
	size=$(stat -c %s "$pack")
	# In a block, in its header, in the table, in the footer, in the pack's header.
	for at in $((size / 2)) 100 $((size - 60)) $((size - 4)) 20; do
		flip "$pack" "$at"
		run -4 --separate-stderr vouch verify --quick --json
		[ "$(summary | jq '.damaged_packs + .incomplete_packs')" = 1 ]
		[[ $stderr == *"$(basename "$pack")"* ]]
		flip "$pack" "$at"
	done
	mv "$pack" "$W/pack"
	run -4 --separate-stderr vouch verify --quick --json
	[ "$(summary | jq '.missing_chunks > 0 and .damaged_paths > 0')" = true ]
	mv "$W/pack" "$pack"
	par=$(find "$VOUCH_REPO/packs" -name '*.par' | head -n 1)
	printf XXXX | dd of="$par" bs=1 seek=6000 conv=notrunc status=none
	run -4 --separate-stderr vouch verify --quick --json
	[ "$(summary | jq .damaged_records)" = 1 ]
}

@test "--for ends in time, and the next goes on with what was found good longest ago" {
	many 16
	from=$(date +%s%N)
	verify --for 2s -j 1 --limit-rate 4M >"$W/a"
	took=$((($(date +%s%N) - from) / 1000000))
	[ $took -lt 3500 ] || { echo "$took ms"; false; }
	[ "$(jq -c '[.late, .packs > 0, .packs < .all_packs, .packs == .good_packs]' "$W/a")" = '[true,true,true,true]' ]
	good >"$W/first"
	rm "$VOUCH_REPO/index.db"	# what was found good is known without it
	verify --for 2s -j 1 --limit-rate 4M >"$W/b"
	[ "$(jq '.packs > 0' "$W/b")" = true ]
	good >"$W/both"
	# None of the first again.
	[ "$(wc -l <"$W/both")" = $(($(jq .packs "$W/a") + $(jq .packs "$W/b"))) ]
	verify --for 1h >"$W/c"
	[ "$(jq -c '[.late, .packs == .all_packs, .walked_snapshots]' "$W/c")" = '[false,true,1]' ]
}

@test "a verify that was killed goes on where it was" {
	many 16
	"$V" verify -j 1 --limit-rate 4M >"$W/out" 2>"$W/err" 3>&- &
	pid=$!
	for i in $(seq 100); do
		[ -z "$(good)" ] || break
		sleep 0.1
	done
	kill -KILL $pid
	wait $pid || true
	n=$(good | wc -l) all=$(keys | wc -l)
	[ "$n" -gt 0 ]
	[ "$n" -lt "$all" ]
	verify --resume >"$W/sum"
	[ "$(jq -c '[.packs, .good_packs, .all_packs, .walked_snapshots]' "$W/sum")" = "[$((all - n)),$((all - n)),$all,1]" ]
	diff <(keys) <(good)
}

@test "lines with a wrong check, of the future, or of another pack make nothing good" {
	many 3
	now=$(date -u +%Y-%m-%dT%H:%M:%S.000000000Z)
	list=$(keys | sed 's/.*/"&"/' | paste -sd,)
	log=$VOUCH_REPO/log/00000000-$(date -u +%Y-%m).ndjson
	all=$(keys | wc -l)
	chosen() { verify --resume | jq .chosen_packs; }

	line "$now" checked "\"good\":[$list]" | sed 's/"check":"./"check":"x/' >"$log"
	[ "$(chosen)" = "$all" ]
	rm "$VOUCH_REPO"/log/*
	line "$(date -u -d '+3 days' +%Y-%m-%dT%H:%M:%S.000000000Z)" checked "\"good\":[$list]" >"$log"
	[ "$(chosen)" = "$all" ]
	rm "$VOUCH_REPO"/log/*
	line "$now" checked '"good":["00","zzzzzzzzzzzzzzzz",5,null,"0123456789abcdef"],"bad":"x"' >"$log"
	line not-a-time checked "\"good\":[$list]" >>"$log"
	[ "$(chosen)" = "$all" ]
	rm "$VOUCH_REPO"/log/*
	line "$(date -u -d '-25 hours' +%Y-%m-%dT%H:%M:%S.000000000Z)" checked "\"good\":[$list]" >"$log"
	[ "$(chosen)" = "$all" ]
	rm "$VOUCH_REPO"/log/*
	# The right one does, whatever surrounds it.
	{ printf 'litter{"time":'; line "$now" checked "\"good\":[$list]"; } >"$log"
	[ "$(chosen)" = 0 ]
}

# ago DAYS: so long ago, as a line of the log has it.
ago()
{
	date -u -d "-$1 days" +%Y-%m-%dT%H:%M:%S.000000000Z
}

@test "status and the mount tell what was found good in 7, 30 and 90 days" {
	many 5
	for i in 1 2 3 4 5; do eval "k$i=$(keys | sed -n ${i}p)"; done
	log=$VOUCH_REPO/log/00000000-$(date -u +%Y-%m).ndjson
	rm "$VOUCH_REPO"/log/*
	of() { (cd "$VOUCH_REPO/packs" && cat $(printf ' */%s*.pack' "$@") | wc -c); }
	told() { vouch status --json | jq -c "[.verified[].$1]"; }

	[ "$(told packs)" = '[0,0,0]' ]
	{ line "$(ago 3)" checked "\"good\":[\"$k1\",\"$k2\"]"
	line "$(ago 20)" checked "\"good\":[\"$k2\",\"$k3\"]"
	line "$(ago 60)" checked "\"good\":[\"$k1\",\"$k4\"]"
	line "$(ago 100)" checked "\"good\":[\"$k5\"]"
	line "$(ago 1)" checked "\"good\":[\"$k5\"]" | sed 's/check":"./check":"y/'; } >"$log"
	[ "$(told packs)" = '[2,3,4]' ]
	[ "$(told bytes)" = "[$(of $k1 $k2),$(of $k1 $k2 $k3),$(of $k1 $k2 $k3 $k4)]" ]
	rm "$VOUCH_REPO/index.db"
	[ "$(told packs)" = '[2,3,4]' ]
	# Found damaged since, and whole again after that.
	line "$(ago 2)" checked "\"bad\":[\"$k1\",\"$k3\"]" >>"$log"
	[ "$(told packs)" = '[1,1,2]' ]
	line "$(ago 1)" checked "\"good\":[\"$k3\"]" >"$VOUCH_REPO/log/11111111-$(date -u +%Y-%m).ndjson"
	[ "$(told packs)" = '[2,2,3]' ]
	# Logs of months long ago are not read for this; one of no month is.
	line "$(ago 1)" checked "\"good\":[\"$k1\"]" >"$VOUCH_REPO/log/11111111-2020-01.ndjson"
	[ "$(told packs)" = '[2,2,3]' ]
	mv "$VOUCH_REPO/log/11111111-2020-01.ndjson" "$VOUCH_REPO/log/other.ndjson"
	[ "$(told packs)" = '[3,3,4]' ]
	rm "$VOUCH_REPO/log/other.ndjson"
	run -0 --separate-stderr vouch status "$VOUCH_REPO"
	[[ $output == *"30 days"*"read from the medium and found good"* && $output == *"last verify  never"* ]]
	if [ -w /dev/fuse ]; then
		mkdir "$W/m"
		vouch mount "$W/m" 3>&-
		metrics=$(cat "$W/m/.vouch/metrics") text=$(cat "$W/m/.vouch/status")
		fusermount3 -u "$W/m"
		for d in "7 $k2 $k3" "30 $k2 $k3" "90 $k2 $k3 $k4"; do
			set -- $d
			grep -Fqx "vouch_verified_bytes{days=\"$1\"} $(shift; of "$@")" <<<"$metrics"
		done
		[[ $text == *"30 days "*"%) read from the medium and found good"* && $text == *"last check  never"* ]]
	fi
}

@test "status tells of backups, of the last verify, and of damage that is known" {
	many 2
	verify >/dev/null
	run -0 --separate-stderr vouch status --json
	[ "$(jq -c '[.type, .snapshots, .packs, .last_verify_mode, .last_verify_damaged, .known_damage,
		(.hosts | length), .hosts[0].errors, .verified[0].percent]' <<<"$output")" = \
		"[\"status\",1,$(keys | wc -l),\"all\",false,0,1,0,100]" ]
	[ "$(jq .bytes <<<"$output")" = "$(cat "$VOUCH_REPO"/packs/*/*.pack | wc -c)" ]
	pack=$(find "$VOUCH_REPO/packs" -name '*.pack' -size +900k | head -n 1)
	flip "$pack" 300000
	run -4 --separate-stderr vouch verify
	run -4 --separate-stderr vouch status --json
	[ "$(jq -c '[.last_verify_damaged, .known_damage > 0, .known_damaged_packs, .verified[0].percent < 100]' <<<"$output")" = \
		'[true,true,1,true]' ]
	run -4 --separate-stderr vouch status
	[[ $output == *"DAMAGE       known and not mended"* ]]
	flip "$pack" 300000
	verify >/dev/null
	run -0 --separate-stderr vouch status
	run -75 vouch status "$W/nowhere"
	run -2 vouch status "$VOUCH_REPO" "$VOUCH_REPO"
}

@test "options that contradict one another are refused" {
	made
	for o in "--sample 5% --for 1m" "--for 1m --resume" "--seed 3" "--sample 0" "--sample 101%" "--for 0s" \
		"--for 5" "--for x" "--quick --files" "--sample 5% latest" "--quick latest"; do
		# shellcheck disable=SC2086
		run -2 vouch verify $o
	done
	[ ! -e "$VOUCH_REPO/log" ] || [ -z "$(good)" ]
}

@test "a repository that cannot be written is verified, and nothing is recorded" {
	root_only
	many 2
	cp -a "$VOUCH_REPO/log" "$W/log"
	mount --bind "$VOUCH_REPO" "$VOUCH_REPO"
	mount -o remount,ro,bind "$VOUCH_REPO"
	run --separate-stderr vouch verify --json
	umount "$VOUCH_REPO"
	[ "$status" = 0 ]
	[ "$(summary | jq .recorded)" = false ]
	diff -r "$W/log" "$VOUCH_REPO/log"
}

# on_exfat IMAGE-OR-DEVICE: the repository on it.
on_exfat()
{
	mkdir -p "$W/exfat"
	mount.exfat-fuse "$1" "$W/exfat" >/dev/null
	export VOUCH_REPO=$W/exfat/repo
}

# Change a byte of a pack in the image below; what is mounted has it in its caches.
change_below()
{
	python3 - "$1" "$2" <<-'END'
		import sys
		pack = open(sys.argv[1], "rb").read()
		with open(sys.argv[2], "r+b") as f:
		    image = f.read()
		    piece = pack[500000:500064]
		    assert image.count(piece) == 1
		    at = image.find(piece)
		    f.seek(at)
		    f.write(bytes([piece[0] ^ 1]))
	END
}

exfat_image()
{
	for t in mkfs.exfat mount.exfat-fuse losetup; do
		command -v $t >/dev/null || skip "no $t"
	done
	root_only
	fuse_only
	truncate -s 48M "$W/image"
	mkfs.exfat "$W/image" >/dev/null
}

@test "on exFAT as root the medium is read, and not what the system remembers" {
	exfat_image
	LOOP=$(losetup -f --show "$W/image") || skip "no loop device"
	on_exfat "$LOOP"
	many 4
	verify >"$W/sum"
	[ "$(jq -c '[.recorded, .cache, .good_packs == .all_packs]' "$W/sum")" = '[true,null,true]' ]
	pack=$(find "$VOUCH_REPO/packs" -name '*.pack' -size +900k | head -n 1)
	sum=$(sha256sum <"$pack")
	sync
	change_below "$pack" "$W/image"
	[ "$(sha256sum <"$pack")" = "$sum" ]	# so the test is one
	run -4 --separate-stderr vouch verify --json
	[ "$(summary | jq .damaged_packs)" = 1 ]
	[[ $stderr == *"${pack##*/}"* ]]
}

@test "who may not reach the medium does not say that it was read" {
	exfat_image
	LOOP=$(losetup -f --show "$W/image") || skip "no loop device"
	on_exfat "$LOOP"
	many 2
	run -0 --separate-stderr setpriv --bounding-set=-sys_admin "$V" verify --json
	[ "$(summary | jq -c '[.recorded, .cache, .good_packs]')" = '[false,"fuse",0]' ]
	[ -z "$(good)" ]
	run -0 --separate-stderr setpriv --bounding-set=-sys_admin "$V" verify
	[[ $output == *"READ THROUGH A CACHE (fuse)"* ]]
}

@test "a FUSE file system without a device is a cache, and is said to be" {
	fuse_only
	many 2
	vouch init -q "$W/outer"
	vouch -r "$W/outer" backup -q -C "$W" repo
	mkdir "$W/m"
	vouch -r "$W/outer" mount "$W/m" 3>&-
	run -0 --separate-stderr vouch -r "$W/m/latest/repo" verify --json
	[ "$(summary | jq -c '[.recorded, .cache, .good_packs]')" = '[false,"fuse",0]' ]
}
