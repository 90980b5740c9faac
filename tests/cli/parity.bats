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
