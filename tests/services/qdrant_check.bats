#!/usr/bin/env bats
# What vouch check says of a Qdrant, and what a day's change costs.

load ../cli/helper
load lib/qdrant

@test "check: version, rights, collections, what is left on the server" {
	ready
	: >"$QD/requests"
	run vc check
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"Qdrant 1.18.3 at $Q"* ]]
	[[ $output == *"may make snapshots"* ]]
	[[ $output == *"collection docs: 300 points, status green"* ]]
	[ -z "$(left_behind)" ]
	# Nothing was asked for that the server would leave something of
	run ! grep -E '^(PUT|POST .*/snapshots)' "$QD/requests"
	q POST /collections/docs/snapshots >/dev/null
	curl -sS "$Q/collections/docs/snapshots/upload?priority=snapshot" -F 'snapshot=@/etc/hostname;filename=vouch-0123456789abcdef.snapshot' >/dev/null
	q PUT /collections/vouch_tmp_docs '{"vectors":{"size":4,"distance":"Dot"}}'
	run vc check
	echo "$output"
	[[ $output == *"collection docs: 1 upload (vouch-*.snapshot) of interrupted restores"* ]]
	[[ $output == *"collection docs: other snapshots on the server: 1"* ]]
	[[ $output == *"vouch_tmp_docs is temporary"* ]]
}

@test "check: a server, or the proxy before it, that is only starting" {
	ready
	for how in drop 'status 503'; do
		misbehave "2 GET ^/$ $how"
		vc check
	done
	misbehave '* GET ^/$ status 503'
	WAIT=1s conf
	run vc check
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"not reached within 1 s"*503* ]]
	echo "restart = truncate -s 0 $QD/misbehave" >>"$W/vouch.conf"
	run vc check --restart
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"it is started again"*"Qdrant 1.18.3"* ]]
}

@test "check: no key, a wrong one, one that may only read, no server" {
	qdrant_start sehr-geheim nur-lesen
	qdrant_sample
	vouch init "$VOUCH_REPO" >/dev/null
	for key in '' api-key=falsch api-key=nur-lesen; do
		conf "$key"
		chmod 600 "$W/vouch.conf"
		run vc check
		echo "$output"
		[ "$status" = 1 ]
		[[ $output == *"set api-key-file"* || $output == *"may only read"* ]]
		[[ $output != *falsch* ]]
	done
	conf 'api-key = ${QDRANT_TEST_KEY}'
	QDRANT_TEST_KEY=sehr-geheim vc check
	qdrant_stop
	WAIT=1s conf
	run vc check
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"nobody answers there"* ]]
}

@test "check: a collection that is missing, a node of several, an address that is none" {
	ready
	conf 'collections = docs nosuch'
	run vc check
	[ "$status" = 1 ]
	[[ $output == *"no collection nosuch"* ]]
	conf
	misbehave '* GET /collections/docs/cluster status 200 {"status":"ok","result":{"remote_shards":[{"shard_id":1}]}}'
	run vc check
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"shards on other nodes"* ]]
	run vc run
	[ "$status" = 1 ]
	[[ $output == *"shards on other nodes"* ]]
	info=$(curl -sS "$Q/collections/docs" | jq -c '.result.config.params.sharding_method = "custom"')
	misbehave "* GET /collections/docs\$ status 200 $info"
	for cmd in check run; do
		run vc $cmd
		echo "$output"
		[ "$status" = 0 ]
		[[ $output == *"docs: it has shard keys"* ]]
	done
	misbehave
	Q=ftp://localhost conf
	run vc check
	echo "$output"
	[ "$status" = 2 ]
	[[ $output == *"vouch.conf:5: [component vectors] url:"* ]]
	Q=http://u:geheim@localhost conf
	run vc check
	[ "$status" = 2 ]
	[[ $output != *geheim* ]]
	conf 'via = docker exec x'
	run vc check
	[ "$status" = 2 ]
}

# By the stand-in's snapshots, which have vectors one after the other as the real one's segments do.
@test "day two with one point in a hundred changed: a tenth of the first day's bytes at most are new" {
	local first second

	qdrant_start
	conf
	vouch init "$VOUCH_REPO" >/dev/null
	q PUT /collections/emb '{"vectors":{"size":384,"distance":"Cosine"}}'
	fill emb 5000
	vc run >/dev/null
	first=$(vouch snapshots --json | jq -s 'map(select(.new_bytes)) | last.new_bytes | tonumber')
	q POST /_test/change '{"collection":"emb","every":100,"seed":2}'
	vc run
	second=$(vouch snapshots --json | jq -s 'map(select(.new_bytes)) | last.new_bytes | tonumber')
	echo "first day $first bytes, second $second new"
	[ "$first" -gt 7000000 ]
	[ $((second * 10)) -lt "$first" ]
}

# most KIB COMMAND...: runs it; at most that much memory.
most()
{
	python3 - "$@" <<-'P'
		import resource, subprocess, sys
		rc = subprocess.run(sys.argv[2:]).returncode
		used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
		print(f"{used} KiB of memory, {sys.argv[1]} at most")
		sys.exit(rc or used > int(sys.argv[1]))
	P
}

@test "a collection of 200 MB goes through in 100 MB of memory, both ways" {
	qdrant_start
	conf
	vouch init "$VOUCH_REPO" >/dev/null
	q PUT /collections/big '{"vectors":{"size":4,"distance":"Dot"}}'
	fill big 10
	q POST /_test/pad '{"collection":"big","bytes":200000000}'
	most 100000 "$V" run --config "$W/vouch.conf"
	q DELETE /collections/big
	most 100000 "$V" recover --config "$W/vouch.conf" vectors --yes
	[ "$(points big)" = 10 ]
}
