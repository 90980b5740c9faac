#!/usr/bin/env bats
# Dumps of collections proven in temporary ones, and what is expected of them.

load ../cli/helper
load lib/qdrant

# Nothing of a validate is left, and the server's own are as they were.
untouched()
{
	[ -z "$(left_behind)" ]
	[ "$(q GET /collections | jq -r '.collections[].name' | sort | tr '\n' ' ')" = "docs emb named " ]
	content docs | diff "$W/docs.saved" -
}

@test "validate: loaded into temporary collections, compared, searched, and dropped" {
	saved_sample
	run vc validate -v
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *docs* && $output == *"finds it"* ]]
	[[ $output == *"8 dimensions, Cosine"* ]]
	[[ $output == *"128 dimensions, Euclid"* ]]
	untouched
	grep -q 'POST /collections/vouch_validate_vectors_.*_docs/snapshots/upload' "$QD/requests"
	q POST '/collections/docs/points/delete?wait=true' '{"points":[1,2,3]}'
	vc validate
	run vc validate --live
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *297* ]]
}

@test "validate: what is expected, of counts, payload, NULLs, and by Qdrant's own questions" {
	saved_sample
	conf 'expect = count docs = 300' \
		'expect = count docs {"must":[{"key":"city","match":{"value":"Oslo"}}]} = 100' \
		'expect = POST /collections/docs/points/count {"exact":true} >= 300' \
		'expect = nulls named city <= 1' \
		'not-null = docs.city'
	run vc validate -v
	echo "$output"
	[ "$status" = 0 ]
	untouched
	for bad in 'expect = count docs = 299' 'not-null = named.city' 'expect = POST /collections/docs/points/delete {"points":[1]} = 0' \
		'expect = POST /collections/docs/points/delete#/points/count {"points":[1]} = 0' \
		'expect = DELETE /collections/docs = true' 'expect = count nosuch = 0' 'expect = GET /collections/docs/nosuch = 1'; do
		conf "$bad"
		run vc validate
		echo "$output"
		[ "$status" != 0 ]
		untouched
	done
	conf 'orphans = docs.n emb.n'
	run vc validate
	echo "$output"
	[ "$status" = 2 ]
}

@test "validate: references from one Qdrant's payload into another's ids" {
	saved_sample
	conf '[component other]' 'type = qdrant' "url = $Q" 'collections = emb' \
		'[reference points]' 'from = vectors' 'from-query = values docs n' 'to = other' 'to-query = ids emb' 'allow = 100'
	vc run >/dev/null
	run vc validate
	echo "$output"
	[ "$status" = 0 ]
	sed -i 's/^allow = 100/allow = 99/' "$W/vouch.conf"
	run vc validate
	echo "$output"
	[ "$status" != 0 ]
	[[ $output == *100* ]]
	untouched
}

@test "validate: a server that refuses, an interrupted one, one left behind, a search that finds nothing" {
	saved_sample
	misbehave '1 POST _docs/snapshots/upload full'
	run vc validate
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"No space left"* ]]
	untouched
	interrupted TERM '1 POST _named/snapshots/upload late 3600' validate
	untouched
	interrupted KILL '1 POST _named/snapshots/upload late 3600' validate
	[ "$(q GET /collections | jq -r '.collections[].name' | grep -c vouch_validate)" -gt 0 ]
	# They are not saved, and the next one drops them
	misbehave
	vc run
	[ "$(saved collections.json | jq '.collections | length')" = 3 ]
	vc validate
	untouched
	misbehave '* POST _docs/points/query status 200 {"status":"ok","result":{"points":[]}}'
	run vc validate
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"does not find it"* ]]
	misbehave '* GET _docs$ red'
	run vc validate
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"status is red"* ]]
	# Not being optimized: not waited for
	: >"$QD/requests"
	misbehave '* GET _docs$ grey'
	run vc validate -v
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"docs: status grey"* ]]
	[ "$(grep -c '^GET .*_docs 200' "$QD/requests")" -lt 8 ]
	misbehave
	untouched
}

@test "validate: an older server, that knows points/search alone" {
	saved_sample
	misbehave '* POST /points/query status 404' \
		'* POST _docs/points/search status 200 {"status":"ok","result":[{"id":1,"score":1.0}]}' \
		'* POST /points/search status 200 {"status":"ok","result":[{"id":1,"score":0.0}]}'
	run vc validate
	echo "$output"
	[ "$status" = 0 ]
	grep -q '_docs/points/search' "$QD/requests"
}
