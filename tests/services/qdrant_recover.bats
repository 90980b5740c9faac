#!/usr/bin/env bats
# Collections brought back by vouch recover, and the way back taken by vouch rollback.

load ../cli/helper
load lib/qdrant

same() { content "$1" | diff -q "$W/$1.saved" - >/dev/null; }

clean()
{
	[ -z "$(left_behind)" ]
	[ "$(q GET /collections | jq -r '.collections[].name' | grep -c vouch)" = 0 ]
}

@test "recover: everything lost comes back, vectors, payload, indexes and aliases" {
	saved_sample
	for c in docs emb named; do q DELETE /collections/$c; done
	run vc recover vectors --yes
	echo "$output"
	[ "$status" = 0 ]
	same docs
	same emb
	same named
	[ "$(q GET /aliases | jq -c .aliases)" = '[{"alias_name":"live","collection_name":"docs"}]' ]
	clean
	# Nothing was there, so the way back is that nothing is
	vc rollback vectors --yes
	[ "$(q GET /collections | jq -c .)" = '{"collections":[]}' ]
}

@test "recover --collection: one comes back, the others and a newer one stay; rollback takes it back" {
	saved_sample
	q POST '/collections/docs/points/delete?wait=true' '{"points":[1,2,3,4,5]}'
	fill docs 50 9 5000
	fill emb 20 9 7000
	q PUT /collections/newer '{"vectors":{"size":4,"distance":"Dot"}}'
	fill newer 7
	for c in docs emb newer; do content $c >"$W/$c.lost"; done
	run vc recover vectors --collection docs --yes -v
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *docs.city* && $output == *live* ]]
	same docs
	content emb | diff "$W/emb.lost" -
	content newer | diff "$W/newer.lost" -
	clean
	run vc rollback vectors --yes
	echo "$output"
	[ "$status" = 0 ]
	content docs | diff "$W/docs.lost" -
	content emb | diff "$W/emb.lost" -
	clean
}

@test "recover --dry-run: says what it would do, and does nothing" {
	saved_sample
	q DELETE /collections/emb
	: >"$QD/requests"
	run vc recover vectors --dry-run
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"overwrite collection docs"* ]]
	[[ $output == *"make collection emb"* ]]
	run ! grep -vE '^GET|/points/count' "$QD/requests"
}

@test "recover --into: beside the ones that are there" {
	saved_sample
	run vc recover vectors --into copy --yes
	echo "$output"
	[ "$status" = 0 ]
	content copy_docs | diff "$W/docs.saved" -
	[ "$(q GET /aliases | jq -r '.aliases[] | "\(.alias_name) \(.collection_name)"' | sort | tr '\n' ' ')" = "copy_live copy_docs live docs " ]
	same docs
	run vc recover vectors --into copy --yes
	[ "$status" != 0 ]
	[[ $output == *"copy_docs exists"* ]]
	clean
}

@test "recover: a collection that has other vectors now is made again" {
	saved_sample
	q DELETE /collections/docs
	q PUT /collections/docs '{"vectors":{"size":3,"distance":"Dot"}}'
	q POST /collections/aliases '{"actions":[{"create_alias":{"collection_name":"docs","alias_name":"beta"}}]}'
	fill docs 9
	content docs >"$W/docs.other"
	run vc recover vectors --collection docs --yes
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"other vectors"* ]]
	same docs
	# The dump's, and the one made since
	[ "$(q GET /aliases | jq -c '[.aliases[] | [.alias_name, .collection_name]] | sort')" = '[["beta","docs"],["live","docs"]]' ]
	vc rollback vectors --yes
	content docs | diff "$W/docs.other" -
	[ "$(q GET /aliases | jq -c .aliases)" = '[{"alias_name":"beta","collection_name":"docs"}]' ]
}

@test "recover: a collection whose parameters the server finds not compatible is made again" {
	saved_sample
	q DELETE /collections/docs
	q PUT /collections/docs '{"vectors":{"size":8,"distance":"Cosine","on_disk":true}}'
	fill docs 9
	run vc recover vectors --collection docs --yes
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"other parameters"* ]]
	same docs
	clean
}

@test "recover: settings that a snapshot does not bring back are named, its indexes are put back" {
	saved_sample
	q DELETE /collections/docs
	q PUT /collections/docs '{"vectors":{"size":8,"distance":"Cosine"},"hnsw_config":{"m":24}}'
	: >"$QD/requests"
	run vc recover vectors --collection docs --yes
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"docs keeps its hnsw_config of now"* ]]
	grep -q '^PUT /collections/docs/index' "$QD/requests"
	[ "$(points docs)" = 300 ]
	[ "$(q GET /collections/docs | jq .config.hnsw_config.m)" = 24 ]
	clean
}

@test "recover --collection: another that cannot be saved is no hindrance; where it is itself, that is said" {
	saved_sample
	fill docs 50 9 5000
	misbehave '* POST /collections/emb/snapshots status 500 broken segment'
	vc recover vectors --collection docs --yes
	same docs
	vc rollback vectors --yes
	[ "$(points docs)" = 350 ]
	misbehave '* POST /collections/docs/snapshots status 500 broken segment'
	run vc recover vectors --collection docs --yes
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"delete it on the server, and run this again"*"broken segment"* ]]
	[ "$(points docs)" = 350 ]
}

@test "recover: an answer that is none, or a snapshot for the way back that is not whole, is no damage of the repository" {
	saved_sample
	for line in '* GET ^/aliases status 200 <html>' '1 GET /docs/snapshots/docs flip' '1 POST /docs/snapshots/upload status 200 <html>'; do
		misbehave "$line"
		run vc recover vectors --collection docs --yes
		echo "$output"
		[ "$status" = 1 ]
		[[ $output == *"not an answer of Qdrant"* || $output == *"SHA-256"* ]]
	done
	misbehave
	same docs
	clean
}

@test "rollback: a server that does not know the way today does not lose the way back" {
	saved_sample
	fill docs 50 9 5000
	content docs >"$W/docs.now"
	vc recover vectors --collection docs --yes
	misbehave '* POST /docs/snapshots/upload status 404 no such route'
	run vc rollback vectors --yes
	echo "$output"
	[ "$status" = 1 ]
	misbehave
	vc rollback vectors --yes
	content docs | diff "$W/docs.now" -
	clean
}

@test "recover: a collection whose name is an alias now is not touched" {
	saved_sample
	q DELETE /collections/emb
	q POST /collections/aliases '{"actions":[{"create_alias":{"collection_name":"docs","alias_name":"emb"}}]}'
	run vc recover vectors --yes
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"emb is an alias"* ]]
	same docs
	run ! grep -q upload "$QD/requests"
}

@test "recover: a collection that the dump does not hold" {
	saved_sample
	run vc recover vectors --collection nosuch --yes
	echo "$output"
	[ "$status" != 0 ]
	[[ $output == *nosuch* ]]
	same docs
}

# refused LINE STATUS PIECE: with the server misbehaving so a recover of docs, which is there, fails; it is as it was.
refused()
{
	content docs >"$W/docs.now"
	misbehave "$1"
	run vc recover vectors --collection docs --yes
	misbehave
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"$2"* ]]
	content docs | diff "$W/docs.now" -
	clean
}

@test "recover: an upload that fails is deleted, and the collection is as it was" {
	saved_sample
	fill docs 50 9 5000
	refused '1 POST /docs/snapshots/upload full' 'No space left'
	refused '1 POST /docs/snapshots/upload status 500 out of order' 'out of order'
	refused '1 POST /docs/snapshots/upload status 400 Checksum mismatch' 'Checksum mismatch'
	refused '1 POST /docs/snapshots/upload drop' 'docs'
	vc recover vectors --collection docs --yes
	same docs
}

@test "recover: a server that hangs while it takes the snapshot" {
	saved_sample
	conf 'timeout = 2s'
	refused '1 POST /docs/snapshots/upload hang' 'no byte for 2 seconds'
}

@test "recover: a refused snapshot of a lost collection: it is made from its configuration, empty, and said" {
	saved_sample
	for c in docs emb named; do q DELETE /collections/$c; done
	misbehave '1 POST /docs/snapshots/upload full'
	run vc recover vectors --yes
	misbehave
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"made from its configuration, without points"* ]]
	[ "$(points docs)" = 0 ]
	[ "$(content docs | jq -cs '.[0]')" = "$(jq -cs '.[0]' "$W/docs.saved")" ]
	[ "$(q GET /collections/docs | jq -c .payload_schema.city.data_type)" = '"keyword"' ]
	# The others came back, and the alias
	same emb
	same named
	[ "$(q GET /aliases | jq -c .aliases)" = '[{"alias_name":"live","collection_name":"docs"}]' ]
	clean
	vc recover vectors --yes
	same docs
}

@test "recover: a damaged repository is found before anything is touched" {
	saved_sample
	fill docs 50 9 5000
	content docs >"$W/docs.now"
	for p in "$VOUCH_REPO"/packs/*/*.pack; do
		python3 - "$p" <<-'P'
			import sys
			with open(sys.argv[1], "r+b") as f:
			    f.seek(0, 2)
			    n = f.tell()
			    for at in range(200, n - 300, 997):
			        f.seek(at)
			        b = f.read(1)
			        f.seek(at)
			        f.write(bytes([b[0] ^ 0xff]))
		P
		rm -f "${p%.pack}.par"
	done
	run vc recover vectors --collection docs --yes
	echo "$output"
	[ "$status" != 0 ]
	content docs | diff "$W/docs.now" -
	run ! grep -q upload "$QD/requests"
}

@test "recover: interrupted while the server takes the snapshot, it clears up; killed, the next one does" {
	saved_sample
	fill docs 50 9 5000
	content docs >"$W/docs.now"
	interrupted TERM '1 POST /docs/snapshots/upload late 3600' recover vectors --collection docs --yes
	grep -q 'docs: the server has all of the snapshot, and may still take it' "$W/out"
	content docs | diff "$W/docs.now" -
	clean
	interrupted KILL '1 POST /docs/snapshots/upload late 3600' recover vectors --collection docs --yes
	content docs | diff "$W/docs.now" -
	[[ $(left_behind) == vouch-* ]]
	misbehave
	vc recover vectors --collection docs --yes
	same docs
	clean
	vc rollback vectors --yes
	content docs | diff "$W/docs.now" -
}
