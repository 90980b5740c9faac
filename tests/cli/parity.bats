#!/usr/bin/env bats
# Parity: made with every pack, listed, looked at by verify.

load helper

packs()
{
	find "$VOUCH_REPO/packs" -name "*.$1" | wc -l
}

@test "every pack has parity unless it was refused" {
	made
	[ "$(packs par)" = "$(packs pack)" ]
	[ "$(jq .parameters.parity "$VOUCH_REPO/vouch.json")" = 30 ]
	(cd "$VOUCH_REPO" && sha256sum -c --quiet SHA256SUMS && grep -q '\.par$' SHA256SUMS)
	vouch init --parity 0 "$W/none"
	vouch -r "$W/none" backup -q -C "$W/src" .
	[ -z "$(find "$W/none/packs" -name '*.par')" ]
	run -0 --separate-stderr vouch -r "$W/none" verify
	[ -z "$stderr" ]
	vouch init --parity 2.5% "$W/some"
	[ "$(jq .parameters.parity "$W/some/vouch.json")" = 25 ]
	for share in 5 51% x% 5%% -1% 0.5.5% ''; do
		run -2 vouch init --parity "$share" "$W/bad"
		[ ! -e "$W/bad" ]
	done
}

@test "a second backup takes over what SHA256SUMS says of parity, and adds to it" {
	made
	seq 100000 >"$W/src/more"
	vouch backup -q -C "$W/src" .
	(cd "$VOUCH_REPO" && sha256sum -c --quiet SHA256SUMS)
	[ "$(grep -c '\.par$' "$VOUCH_REPO/SHA256SUMS")" = "$(packs pack)" ]
	rm "$VOUCH_REPO/SHA256SUMS"
	vouch backup -q -C "$W/src" .
	(cd "$VOUCH_REPO" && sha256sum -c --quiet SHA256SUMS)
}

@test "verify names a damaged parity file, and says where packs have none" {
	made
	par=$(find "$VOUCH_REPO/packs" -name '*.par' | head -n 1)
	printf 'XYZ' | dd of="$par" bs=1 seek=5000 conv=notrunc status=none
	run -4 --separate-stderr vouch verify
	[[ $stderr == *"${par##*/}"*damaged* ]]
	rm "$par"
	run -0 --separate-stderr vouch verify
	[[ $stderr == *"1 of "*"no parity"* ]]
}

# The parity file of the largest pack, as init would have made it, must be there for each pack.
all_have()
{
	local p

	for p in $(find "$VOUCH_REPO/packs" -name '*.pack'); do
		[ "$(od -An -tu2 -j 10 -N 2 "${p%.pack}.par" | tr -d ' ')" = "$1" ]
	done
}

whole()
{
	(cd "$VOUCH_REPO" && sha256sum -c --quiet SHA256SUMS)
	[ "$(grep -c '\.par$' "$VOUCH_REPO/SHA256SUMS")" = "$(packs pack)" ]
	run -0 --separate-stderr vouch verify
	[ -z "$stderr" ]
	cmp "$VOUCH_REPO/vouch.json" "$VOUCH_REPO/copies/vouch.json"
}

@test "parity add: a repository made without gets it, and goes on with it" {
	tree "$W/src"
	vouch init -q --parity 0 "$VOUCH_REPO"
	vouch backup -q -C "$W/src" .
	before=$(jq -S 'del(.parameters.parity, .sha256)' "$VOUCH_REPO/vouch.json")
	run -0 vouch parity add --dry-run
	[[ $output == *"would be made for $(packs pack) packs"* ]]
	[ "$(packs par)" = 0 ]
	run -0 vouch parity add --json
	[ "$(jq -r 'select(.type == "summary") | .made_packs' <<<"$output")" = "$(packs pack)" ]
	[ "$(jq .parameters.parity "$VOUCH_REPO/vouch.json")" = 30 ]
	[ "$before" = "$(jq -S 'del(.parameters.parity, .sha256)' "$VOUCH_REPO/vouch.json")" ]
	all_have 30
	whole
	seq 100000 >"$W/src/more"
	vouch backup -q -C "$W/src" .
	all_have 30
	whole
	run -0 vouch parity add
	[[ $output == *"no parity to make"* ]]
}

@test "parity add: another share replaces what is there, in SHA256SUMS too" {
	made
	run -0 vouch parity add --share 10% --jobs 2 "$VOUCH_REPO"
	[[ $output == *"had parity of another share"* ]]
	all_have 100
	whole
	[ "$(jq .parameters.parity "$VOUCH_REPO/vouch.json")" = 100 ]
	seq 100000 >"$W/src/more"
	vouch backup -q -C "$W/src" .
	all_have 100
	whole
}

@test "parity add: a damaged parity file is made anew, a damaged pack is named and left" {
	made
	par=$(find "$VOUCH_REPO/packs" -name '*.par' | head -n 1)
	cp "$par" "$W/right"
	printf 'XYZ' | dd of="$par" bs=1 seek=5000 conv=notrunc status=none
	run -0 vouch parity add
	cmp "$par" "$W/right"
	whole
	damage_data "$VOUCH_REPO"
	sums=$(cat "$VOUCH_REPO"/packs/*/*.pack "$VOUCH_REPO"/packs/*/*.par | sha256sum)
	find "$VOUCH_REPO/packs" -name '*.par' -delete
	run -4 --separate-stderr vouch parity add
	[[ $stderr == *damaged*.pack* ]] || { echo "$stderr"; false; }
	[ "$(packs par)" = $(($(packs pack) - 1)) ]
}

@test "parity add: killed or stopped anywhere, the next goes on" {
	made
	for i in 1 2 3 4 5 6 7 8; do
		seq "$i" 20000 >"$W/src/more$i"
		vouch backup -q -C "$W/src" .
	done
	for i in 1 2 3 4 5 6 7 8; do
		share=$((i % 2 * 5 + 5))
		vouch parity add -q --share $share% --limit-rate 20M &
		sleep "0.0$i"
		kill -$((i % 2 ? 9 : 2)) $! 2>/dev/null || :
		wait $! || :
		run -0 vouch verify -q
	done
	run -0 vouch parity add --share 7%
	all_have 70
	whole
	[ -z "$(ls "$VOUCH_REPO/tmp")" ]
}

@test "parity add: a mount and a backup under way do not take the repository for another" {
	made
	mkfifo "$W/slow"
	"$V" backup -q --stdin-name x <"$W/slow" &
	exec 7>"$W/slow"
	head -c 3000000 /dev/urandom >&7
	vouch parity add -q --share 10%
	head -c 3000000 /dev/urandom >&7
	exec 7>&-
	wait $!
	run -0 vouch verify -q
}

@test "parity add: usage" {
	run -2 vouch parity
	[[ $output == usage:* ]]
	run -2 vouch parity check
	made
	for share in 0 5 51% x ''; do
		run -2 vouch parity add --share "$share"
	done
	run -75 vouch parity add "$W/none"
	run -2 vouch parity add a b
}

@test "prune takes away parity files without a pack, and not those of packs" {
	made
	n=$(packs pack)
	vouch init -q "$W/other"
	head -c 900000 /dev/urandom >"$W/src/more"
	vouch -r "$W/other" backup -q -C "$W/src" more
	# Of two packs: one larger than its parity, one that is all in it.
	for par in $(cd "$W/other" && find packs -name '*.par'); do
		mkdir -p "$VOUCH_REPO/${par%/*}"
		cp "$W/other/$par" "$VOUCH_REPO/$par"
	done
	[ "$(packs par)" = $((n + 2)) ]
	run -0 --separate-stderr vouch verify
	[ -z "$stderr" ]
	run -0 --separate-stderr vouch prune
	[[ $stderr == *"made anew from it"* ]]
	[ "$(packs par)" = $((n + 1)) ]
	[ "$(packs pack)" = $((n + 1)) ]
	vouch prune -q
	[ "$(packs par)" = "$n" ]
	[ "$(packs pack)" = "$n" ]
	(cd "$VOUCH_REPO" && sha256sum -c --quiet SHA256SUMS)
}

@test "kill -9 at any moment of a backup: no pack is without its parity" {
	vouch init -q --pack 64K --block 16K --chunk-avg 4K "$VOUCH_REPO"
	for i in 1 2 3 4 5 6; do
		head -c 6000000 /dev/urandom >"$W/src/f$i"
		vouch backup -q -C "$W/src" . &
		sleep "0.$((RANDOM % 3))$((RANDOM % 10))"
		kill -9 $! 2>/dev/null || :
		wait $! || :
		for p in $(find "$VOUCH_REPO/packs" -name '*.pack'); do
			[ -s "${p%.pack}.par" ]
		done
	done
	[ "$(packs pack)" -gt 20 ]
	vouch backup -q -C "$W/src" .
	vouch prune -q
	[ "$(packs par)" = "$(packs pack)" ]
	whole
}
