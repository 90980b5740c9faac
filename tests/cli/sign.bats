#!/usr/bin/env bats
# vouch key, and what 'vouch verify --pubkey' and '--root' prove: each attack by somebody who can write to the medium,
# knows the format, and has no secret key.

load helper

# Once: four signed snapshots, each with a copy.
setup_file()
{
	local v=${VOUCH:-$BATS_TEST_DIRNAME/../../build/vouch} d=$BATS_FILE_TMPDIR i

	case $v in /*) ;; *) v=$PWD/$v ;; esac
	export XDG_STATE_HOME=$d/state XDG_CACHE_HOME=$d/cache VOUCH_REPO=$d/repo LC_ALL=C.UTF-8
	mkdir "$d/src"
	"$v" init "$VOUCH_REPO" >/dev/null
	"$v" key sign -q --out "$d/pub.pem" >/dev/null
	for i in 1 2 3 4; do
		echo "$i" >"$d/src/day"
		"$v" backup -q -C "$d/src" .
	done
}

# A copy of it, with its writer.
signed()
{
	cp -a "$BATS_FILE_TMPDIR/repo" "$VOUCH_REPO"
	cp -a "$BATS_FILE_TMPDIR/state" "$W/"
	cp -a "$BATS_FILE_TMPDIR/src/." "$W/src/"
	PUB=$BATS_FILE_TMPDIR/pub.pem
	chmod -R u+w "$VOUCH_REPO"
}

# The Nth snapshot's name (1 is the oldest), by its place in the chain.
name() { jq -r --argjson n "$1" 'select(.seq == $n) | input_filename' "$VOUCH_REPO"/snapshots/*.json | xargs -n 1 basename -s .json; }
root_of() { sha256sum <"$VOUCH_REPO/snapshots/$(name "$1").json" | cut -c1-64; }
proof() { vouch verify --chain --pubkey "$PUB" "$@"; }

# Take NAME away, as if it had never been.
wipe() { rm -f "$VOUCH_REPO"/{,copies/}snapshots/"$1".{json,sig}; }

# Put the JSON on standard input there under the name that its bytes and time ask for, in both places; prints the name.
put()
{
	local time name

	cat >"$W/forged"
	time=$(jq -r '.time[0:19] | gsub(":"; "-")' "$W/forged")
	name=${time}Z-$(sha256sum <"$W/forged" | cut -c1-16)
	cp "$W/forged" "$VOUCH_REPO/snapshots/$name.json"
	cp "$W/forged" "$VOUCH_REPO/copies/snapshots/$name.json"
	echo "$name"
}

# The record that lets go the snapshot whose JSON is $1, as vouch would write it: its last line is its own check.
record()
{
	local id

	id=$(sha256sum <"$1" | cut -c1-64)
	jq --arg id "$id" --arg name "$(basename -s .json "$1")" '{vouch: "forgotten", format: 1, id: $id, name: $name,
		writer, seq, time, reason: "", previous}' "$1" | sed '$d' | sed '$s/$/,/' >"$W/record"
	printf '"sha256":"%s"}\n' "$(sha256sum <"$W/record" | cut -c1-64)" >>"$W/record"
	mkdir -p "$VOUCH_REPO/forgotten" "$VOUCH_REPO/copies/forgotten"
	cp "$W/record" "$VOUCH_REPO/forgotten/$id.json"
	cp "$W/record" "$VOUCH_REPO/copies/forgotten/$id.json"
}

@test "the secret key is this user's alone and not in the repository; openssl checks what it signed" {
	signed
	secret=$(echo "$W"/state/vouch/*.sign.pem)
	[ "$(stat -c %a "$secret")" = 600 ]
	run ! grep -rlF "$(sed -n 2p "$secret")" "$VOUCH_REPO"
	vouch forget -q "$(name 2)"
	n=0
	for f in "$VOUCH_REPO"/{,copies/}{snapshots,forgotten}/*.json; do
		openssl pkeyutl -verify -rawin -pubin -inkey "$PUB" -in "$f" -sigfile "${f%.json}.sig"
		n=$((n + 1))
	done
	[ $n = 8 ]
	[ "$(openssl pkey -in "$secret" -pubout)" = "$(cat "$PUB")" ]
	print=$(openssl pkey -pubin -in "$PUB" -outform DER | sha256sum | cut -c1-64)
	run -0 vouch key
	[ "$(grep -c "^$print  secret  *$secret" <<<"$output")" = 1 ]
	[ "$(grep -c "^$print  public  *keys/sign-.*\.pub" <<<"$output")" = 1 ]
	[ "$(vouch key public)" = "$(cat "$PUB")" ]
	cmp "$PUB" "$VOUCH_REPO"/keys/*.pub
	(cd "$VOUCH_REPO" && sha256sum -c --quiet SHA256SUMS && grep -q 'snapshots/.*\.sig' SHA256SUMS)
	[ -z "$(find "$VOUCH_REPO" -name '*[!A-Za-z0-9._-]*')" ]
}

@test "a second key is made only with --new, and only where --out does not stand in the way" {
	signed
	run -1 vouch key sign
	[[ $output == *"already"* && $output == *"--new"* ]]
	old=$(vouch key public)
	echo mine >"$W/there"
	run -1 vouch key sign --new --out "$W/there"
	[ "$(cat "$W/there")" = mine ]
	[ "$(vouch key public)" = "$old" ]
	run -0 vouch key sign --new --out "$W/new.pem"
	[ "$(vouch key public)" = "$(cat "$W/new.pem")" ]
	vouch backup -q -C "$W/src" .
	run -1 proof
	run -0 proof --pubkey "$W/new.pem"
	[[ $output == *"several of these keys"* ]]
	run -2 vouch verify --pubkey "$W/there"
	run -2 vouch verify --pubkey "$W/nowhere"
	run -2 vouch verify --root 1234
	run -2 vouch key nonsense
	run -2 vouch key --new
}

@test "nothing was touched: proved, also after a forget, a prune, and a chain that goes on" {
	signed
	root=$(vouch key root | cut -c1-64)
	[ "$root" = "$(root_of 4)" ]
	run -0 vouch verify --pubkey "$PUB" --root "$root"
	[[ $output == *"4  good signatures"* ]]
	vouch forget -q "$(name 1)" "$(name 3)" "$(name 4)"
	vouch prune -q
	echo 5 >"$W/src/day"
	vouch backup -q -C "$W/src" .
	run -0 proof --root "$root" --root "$(vouch key root --json | jq -r .root)"
	[[ $output == *"5  good signatures"* && $output != *warning* ]]
	[ -z "$(find "$VOUCH_REPO"/{,copies/}snapshots -name '*.sig' | sed 's/\.sig$/.json/' | xargs ls 2>&1 >/dev/null)" ]
	# from paper: in groups, in capitals
	run -0 proof --root "$(tr a-f A-F <<<"${root:0:32} ${root:32}")"
}

@test "altered: the JSON rewritten, named by its new bytes, in both places, with the signature of the old" {
	signed
	old=$(name 2)
	new=$(jq '.root = ("0" * 64)' "$VOUCH_REPO/snapshots/$old.json" | put)
	mv "$VOUCH_REPO/snapshots/$old.sig" "$VOUCH_REPO/snapshots/$new.sig"
	mv "$VOUCH_REPO/copies/snapshots/$old.sig" "$VOUCH_REPO/copies/snapshots/$new.sig"
	wipe "$old"
	run -1 proof
	[[ $output == *"$new: its signature is of none of these keys"* ]]
	[[ $output == *"number 2 of writer"*"is gone without a record"* ]]
	# the newest: no link hangs on it, its signature is all
	old=$(name 4)
	new=$(jq '.host = "other"' "$VOUCH_REPO/snapshots/$old.json" | put)
	wipe "$old"
	run -1 proof
	[[ $output == *"snapshot $new is not signed"* ]]
}

@test "added: by another host, with another key, without one, with this host's writer id" {
	signed
	root=$(root_of 4)
	XDG_STATE_HOME=$W/other vouch backup -q -C "$W/src" . 2>"$W/said"
	grep -q 'not signed' "$W/said"
	run -1 proof
	[ "$(grep -c 'NOT PROVED: snapshot .* is not signed' <<<"$output")" = 1 ]
	XDG_STATE_HOME=$W/other vouch key sign -q --out "$W/other.pem" >/dev/null
	run -1 proof
	[[ $output == *"none of these keys"* ]]
	run -0 proof --pubkey "$W/other.pem"
	[[ $output != *warning* ]]
	wipe "$(basename -s .json "$(grep -L "$(jq -r .writer "$VOUCH_REPO/snapshots/$(name 4).json")" "$VOUCH_REPO"/snapshots/*.json)")"
	# In its own name, far ahead: the next backup does not follow it.
	jq --arg p "$root" '.seq = 9000 | .previous = $p' "$VOUCH_REPO/snapshots/$(name 4).json" | put
	run -1 proof
	[[ $output == *"is not signed"* ]]
	vouch backup -q -C "$W/src" . 2>"$W/said"
	grep -q 'is not signed with its key' "$W/said"
	[ "$(name 5)" ]
	[ "$(jq -r .previous "$VOUCH_REPO/snapshots/$(name 5).json")" = "$root" ]
	wipe "$(name 9000)"
	run -0 proof
}

@test "removed: the oldest, one in the middle, the newest; the newest shows by its root alone" {
	signed
	root=$(root_of 4)
	for n in 1 2 3; do
		rm -rf "$VOUCH_REPO"
		signed
		wipe "$(name $n)"
		run -1 proof
		[[ $output == *"number $n of writer"*"is gone without a record"* ]]
		# Without a key it is a warning, and no damage.
		run -0 vouch verify --chain
		[[ $output == *"warning: snapshot"*"is gone without a record"* ]]
		run -1 vouch verify --chain --root "$root"
	done
	rm -rf "$VOUCH_REPO"
	signed
	wipe "$(name 4)"
	run -0 proof
	run -1 proof --root "$root"
	[[ $output == *"the snapshot whose root you wrote down (${root:0:16}...) is gone, without a record"* ]]
	run -1 vouch verify --root "$root"
	# All of it: the key has nothing left.
	for n in 1 2 3; do wipe "$(name $n)"; done
	run -0 proof
	[[ $output == *"nothing is signed with key"* ]]
}

@test "a forged record of a snapshot that was taken away explains nothing" {
	signed
	root=$(root_of 4)
	for n in 2 4; do
		record "$VOUCH_REPO/snapshots/$(name $n).json"
		wipe "$(name $n)"
	done
	vouch snapshots >/dev/null
	[ "$(vouch verify --json --chain | jq -r 'select(.type == "chains").records')" = 2 ]
	run -1 proof --root "$root"
	[ "$(grep -c 'NOT PROVED: snapshot .* was let go.*not signed' <<<"$output")" = 2 ]
	# With the signature of another, of no length, too long.
	for sig in "$VOUCH_REPO/snapshots/$(name 1).sig" /dev/null "$VOUCH_REPO/vouch.json"; do
		for r in "$VOUCH_REPO"/{,copies/}forgotten/*.json; do cp "$sig" "${r%.json}.sig"; done
		run -1 proof
		[ "$(grep -c 'NOT PROVED: snapshot .* was let go.*none of these' <<<"$output")" = 2 ]
	done
	# Without keys it is believed, and that is said.
	run -0 vouch verify --chain --root "$root"
	[[ $output == *"believed"* ]]
}

@test "signatures swapped, cut, grown or gone; damaged ones are damage for a plain verify" {
	signed
	a=$VOUCH_REPO/snapshots/$(name 1).sig b=$VOUCH_REPO/snapshots/$(name 2).sig
	a2=$VOUCH_REPO/copies/snapshots/$(name 1).sig
	run -0 vouch verify -q
	cp "$a" "$W/sig"
	cp "$b" "$a"
	run -0 proof	# the copy serves
	run -4 vouch verify -q
	[[ $output == *"differs from its second copy"* ]]
	cp "$b" "$a2"
	run -1 proof
	[[ $output == *"$(name 1): its signature is of none of these keys"* ]]
	for len in 0 63 65 100000; do
		head -c $len /dev/zero >"$a"
		cp "$a" "$a2"
		run -1 proof
		run -4 vouch verify -q
	done
	rm "$a"
	cp "$W/sig" "$a2"
	run -0 proof
	run -0 vouch verify -q
	[[ $output == *"record is missing"* ]]
	rm "$a2"
	run -1 proof
	[[ $output == *"$(name 1) is not signed"* ]]
	# Whoever has the key may sign again.
	vouch key sign -q --all
	cmp "$W/sig" "$a"
	cmp "$W/sig" "$a2"
	run -0 proof
}

@test "a chain that was written to in two copies and joined is a fork, and no tampering" {
	signed
	cp -a "$VOUCH_REPO" "$W/second"
	echo here >"$W/src/day"
	vouch backup -q -C "$W/src" .
	echo there >"$W/src/day"
	vouch --repo "$W/second" backup -q -C "$W/src" .
	cp -an "$W/second/." "$VOUCH_REPO"
	run -0 proof
	[[ $output == *"both number 5"* ]]
	[ "$(vouch key root | wc -l)" = 2 ]
	run -0 vouch verify --chain
	[ -z "$output" ]
}

@test "snapshots and records from before the key are signed when it is made, others' only with --all" {
	made
	XDG_STATE_HOME=$W/other vouch backup -q -C "$W/src" .
	echo x >"$W/src/day"
	vouch backup -q -C "$W/src" .
	vouch forget -q latest~2
	PUB=$W/pub.pem
	run -0 vouch key sign --out "$PUB"
	[[ $output == *"1 snapshots, 1 records"* ]]
	run -1 proof
	[ "$(grep -c 'is not signed' <<<"$output")" = 1 ]
	vouch key sign -q --all
	run -0 proof
	(cd "$VOUCH_REPO" && sha256sum -c --quiet SHA256SUMS)
}

@test "the secret key is gone or spoilt: the backup is made, unsigned, and says so" {
	signed
	key=$(echo "$W"/state/vouch/*.sign.pem)
	mv "$key" "$W/key"
	run -0 vouch backup -q -C "$W/src" .
	[[ $output == *"warning"*"not signed"* ]]
	run -0 vouch forget -q "$(name 2)"
	[[ $output == *"warning"*"not signed"* ]]
	run -1 proof
	[ "$(grep -c 'not signed' <<<"$output")" = 2 ]
	echo rot >"$key"
	run -0 vouch backup -q -C "$W/src" .
	[[ $output == *"warning"*"cannot be had"* ]]
	run -1 vouch key
	[[ $output == *"$key is no Ed25519 key"* ]]
	run -1 vouch key sign
	mv "$W/key" "$key"
	vouch key sign -q --all
	run -0 proof
	chmod 644 "$key"
	run -0 vouch backup -q -C "$W/src" .
	[[ $output == *"others may read the secret key"* ]]
	echo rot >"$key"
	run -0 vouch key sign --new
	[ "$(stat -c %a "$key")" = 600 ]
}

@test "a snapshot dated in the future makes no other go, and stays" {
	signed
	for y in 2099 2100 2101; do
		jq --arg y $y '.time = $y + "-01-01T00:00:00.000000000Z" | .seq = 77' "$VOUCH_REPO/snapshots/$(name 4).json" | put
	done
	newest=$(name 4)
	vouch forget -q --keep-last 1
	[ -e "$VOUCH_REPO/snapshots/$newest.json" ]
	[ "$(find "$VOUCH_REPO/snapshots" -name '*.json' | wc -l)" = 4 ]
}

@test "a signature whose snapshot never came is swept by a prune, unless somebody is at work" {
	signed
	alone=2026-01-01T00-00-00Z-0123456789abcdef
	head -c 64 /dev/zero >"$VOUCH_REPO/snapshots/$alone.sig"
	cp "$VOUCH_REPO/snapshots/$alone.sig" "$VOUCH_REPO/copies/snapshots/"
	run -0 proof
	mkfifo "$W/pipe"
	vouch backup -q --stdin-name s -- cat "$W/pipe" &
	exec 9>"$W/pipe"
	echo x >&9
	for _ in $(seq 100); do
		[ -z "$(ls "$VOUCH_REPO/writers" 2>/dev/null)" ] || break
		sleep 0.05
	done
	vouch prune -q
	[ -e "$VOUCH_REPO/snapshots/$alone.sig" ]
	exec 9>&-
	wait
	vouch prune -q
	[ ! -e "$VOUCH_REPO/snapshots/$alone.sig" ]
	[ ! -e "$VOUCH_REPO/copies/snapshots/$alone.sig" ]
	[ "$(find "$VOUCH_REPO/snapshots" -name '*.sig' | wc -l)" = 5 ]
	run -0 proof
}

@test "a copy made by sync is proved like the first, also what was let go or signed since" {
	signed
	root=$(root_of 4)
	vouch sync -q "$W/copy"
	run -0 vouch --repo "$W/copy" verify -q --pubkey "$PUB" --root "$root"
	[ -z "$output" ]
	vouch forget -q "$(name 2)"
	rm "$VOUCH_REPO"/{,copies/}snapshots/"$(name 3)".sig "$W"/copy/{,copies/}snapshots/"$(name 3)".sig
	vouch key sign -q --all
	head -c 63 /dev/zero >"$VOUCH_REPO/snapshots/$(name 1).sig"
	vouch sync -q "$W/copy"
	run -0 vouch --repo "$W/copy" verify -q --pubkey "$PUB" --root "$root"
	[ -z "$output" ]
	diff -r "$VOUCH_REPO/forgotten" "$W/copy/forgotten"
}

@test "repair takes the right one of two signatures, and a public key, from the second copy" {
	signed
	for f in "$VOUCH_REPO/snapshots/$(name 1).sig" "$VOUCH_REPO/copies/snapshots/$(name 2).sig" \
		"$VOUCH_REPO"/keys/*.pub; do
		cp "$f" "$W/was"
		printf X | dd of="$f" bs=1 seek=40 conv=notrunc status=none
		run -4 vouch verify -q
		vouch repair -q
		cmp "$W/was" "$f"
	done
	head -c 10 /dev/zero >"$VOUCH_REPO/snapshots/$(name 3).sig"
	vouch repair -q
	run -0 vouch verify -q --pubkey "$PUB"
	[ -z "$output" ]
}

@test "a full medium: a snapshot goes with a signed record, without a byte of room" {
	root_only
	truncate -s 24M "$W/img"
	mkfs.ext4 -q -m 0 "$W/img"
	mkdir "$W/mnt"
	mount -o loop "$W/img" "$W/mnt" || skip "no loop device"
	export VOUCH_REPO=$W/mnt/repo
	made
	vouch key sign -q --out "$W/pub.pem" >/dev/null
	echo x >"$W/src/day"
	vouch backup -q -C "$W/src" .
	dd if=/dev/zero of="$W/mnt/fill" bs=64k 2>/dev/null || true
	dd if=/dev/zero of="$W/mnt/fill2" bs=512 2>/dev/null || true
	run vouch forget -q latest~1
	echo "$output"
	[ "$status" = 0 ]
	rm "$W/mnt/fill"
	run -0 vouch verify --chain --pubkey "$W/pub.pem"
	umount "$W/mnt"
}
