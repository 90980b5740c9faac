#!/usr/bin/env bats
# Qdrant, saved and brought back by the real commands, against a server of the tests that answers as a recorded one did.

load ../cli/helper
load lib/qdrant

@test "run: each collection as a snapshot with Qdrant's own checksum, nothing left on the server" {
	ready
	run vc run
	echo "$output"
	[ "$status" = 0 ]
	vouch ls -R latest | grep -q collections.json
	[ "$(saved facts.json | jq -r '.items[] | select(.kind == "collection") | "\(.name) \(.rows)"' | sort)" = "docs 300
emb 200
named 11" ]
	[ "$(saved facts.json | jq -r '.items[] | select(.kind == "alias") | "\(.name) \(.is)"')" = "live docs" ]
	[ "$(saved facts.json | jq -r '.items[] | select(.kind == "index") | "\(.name) \(.is)"')" = "docs.city keyword" ]
	[ "$(saved facts.json | jq -r '.items[] | select(.name == "emb") | "\(.dimension) \(.distance)"')" = "128 Euclid" ]
	[ "$(saved facts.json | jq -r .server)" = 1.18.3 ]
	[ "$(saved docs.snapshot | sha256sum | cut -c1-64)" = "$(saved collections.json | jq -r '.collections[] | select(.name == "docs").sha256')" ]
	saved docs.snapshot | tar -tf - | grep -q config.json
	[ "$(saved emb.config.json | jq -c .create.vectors)" = '{"distance":"Euclid","on_disk":true,"size":128}' ]
	[ -z "$(left_behind)" ]
}

@test "run: nothing to save is an empty dump, a wanted collection that is missing a failed one" {
	qdrant_start
	conf
	vouch init "$VOUCH_REPO" >/dev/null
	vc run
	conf 'collections = nosuch'
	run vc run
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"no collection nosuch"* ]]
}

@test "run: only the collections that are asked for" {
	ready
	conf 'collections = docs "named"'
	vc run
	[ "$(vouch ls latest:/qdrant/vectors | grep -c snapshot)" = 2 ]
	run ! saved emb.snapshot
}

# fails LINE [PIECE...]: with the server misbehaving so, a run fails, says each PIECE, saves nothing, and leaves nothing there.
fails()
{
	misbehave "$1"
	shift
	run vc run
	misbehave
	echo "$output"
	[ "$status" = 1 ]
	while [ $# -gt 0 ]; do
		[[ $output == *"$1"* ]]
		shift
	done
	run ! vouch ls latest
	[ -z "$(left_behind)" ]
}

@test "run: a download cut short" {
	ready
	fails '1 GET /collections/emb/snapshots/. cut 5000' 'broke off'
}

@test "run: a download that lacks its end, with a length that agrees" {
	ready
	fails '1 GET /collections/emb/snapshots/. short 100' 'cut short'
}

@test "run: a download with one byte changed" {
	ready
	fails '1 GET /collections/emb/snapshots/. flip' 'SHA-256'
}

@test "run: a checksum announced that is not the file's" {
	ready
	fails "1 POST /collections/emb/snapshots checksum $(printf '0%.0s' $(seq 64))" 'SHA-256'
}

@test "run: 500, 401, an answer that is none, a connection dropped" {
	ready
	fails '1 POST /collections/emb/snapshots status 500 disk on fire' '500' 'disk on fire'
	fails '* * ^/collections status 401 Invalid API key or JWT' '401' 'api-key-file'
	fails '1 POST /collections/emb/snapshots status 200 hello' 'not an answer of Qdrant'
	fails '* GET /collections/emb/snapshots/. drop' 'Empty reply'
}

@test "run: a server that hangs" {
	ready
	conf 'timeout = 2s'
	fails '1 POST /collections/emb/snapshots hang' 'no byte for 2 seconds'
}

@test "run: stopped while the server makes a snapshot, which may be finished later: said" {
	ready
	interrupted TERM '1 POST /collections/emb/snapshots hang' run
	grep -q 'emb: the server may still finish the snapshot' "$W/out"
	run ! vouch ls latest
	[ -z "$(left_behind)" ]
}

@test "run: a server that is not there" {
	ready
	qdrant_stop
	WAIT=1s conf
	run vc run
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"nobody answers there"* ]]
}

@test "run: two snapshots in one second: another took ours' place" {
	ready
	misbehave '1 POST /collections/docs/snapshots again'
	run vc run
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"same second"* ]]
	# The other's is not ours to delete
	[ "$(left_behind | wc -l)" = 1 ]
	misbehave '* POST /collections/docs/snapshots again'
	run vc run
	[ "$status" = 1 ]
}

@test "run: writers go on: said, and counted in the snapshot where that is wanted" {
	ready
	misbehave '1 POST /collections/docs/snapshots write'
	run vc run
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"verify-counts"* ]]
	[ "$(saved facts.json | jq '.items[] | select(.name == "docs").moving')" = true ]
	conf 'verify-counts = yes'
	misbehave '1 POST /collections/docs/snapshots write'
	vc run
	[ "$(saved facts.json | jq -c '.items[] | select(.name == "docs") | [.rows, .moving]')" = '["301",null]' ]
	[ "$(points docs)" = 302 ]
	[ -z "$(left_behind)" ]
	[ "$(q GET /collections | jq '.collections | length')" = 3 ]
}

@test "run: counting in the snapshot fails: so does the dump, and nothing is left" {
	ready
	conf 'verify-counts = yes'
	fails '1 POST /collections/vouch_tmp_docs/snapshots/upload full' 'No space left'
	fails '1 POST /collections/vouch_tmp_emb/snapshots/upload drop' 'count what the snapshot of emb holds'
	fails '1 POST /collections/vouch_tmp_emb/points/count status 200 {"result":{"count":0},"status":"ok"}' 'held no point'
	[ "$(q GET /collections | jq '.collections | length')" = 3 ]
	q PUT /collections/vouch_tmp_docs '{"vectors":{"size":4,"distance":"Dot"}}'
	run vc run
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"vouch_tmp_docs was left by an interrupted run"* ]]
	[ "$(q GET /collections | jq '.collections | length')" = 3 ]
}

@test "the key: from a file, in no argument, log, message or snapshot; a wrong one and one that may only read are told" {
	local key=sehr-geheim-4711 pid

	qdrant_start $key lesen-nur-0815
	qdrant_sample
	echo $key >"$W/key"
	chmod 600 "$W/key"
	conf "api-key-file = $W/key"
	vouch init "$VOUCH_REPO" >/dev/null
	begun '1 POST /collections/emb/snapshots slow 2' run
	tr '\0' ' ' </proc/$pid/cmdline | grep -q "run --config"
	run ! grep -a $key /proc/$pid/cmdline
	wait $pid
	cat "$W/out"
	run ! grep -ra $key "$W/out" "$W/repo/log" "$W/repo/snapshots" "$W/state"
	run ! grep -a $key <(saved facts.json; vouch history --json)
	echo falsch >"$W/key"
	run vc run
	[ "$status" = 1 ]
	[[ $output == *"401"*"api-key-file"* ]]
	[[ $output != *falsch* ]]
	echo lesen-nur-0815 >"$W/key"
	run vc run
	[ "$status" = 1 ]
	[[ $output == *"may only read"* ]]
	[ "$(saved collections.json | jq '.collections | length')" = 3 ]
}
