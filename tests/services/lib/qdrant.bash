# The tests' Qdrant (qdrant.py) for bats: started on a free port, stopped by its process id.

# qdrant_start [KEY [READ-ONLY-KEY]]: $Q is its address, $QD its folder.
qdrant_start()
{
	QD=$(mktemp -d "$BATS_TEST_TMPDIR/qdrant.XXXXXX")
	QDRANT_KEY=${1-} QDRANT_RO_KEY=${2-} PYTHONDONTWRITEBYTECODE=1 \
		python3 "$BATS_TEST_DIRNAME/lib/qdrant.py" "$QD" >"$QD/log" 2>&1 3>&- &
	QPID=$!
	QKEY=${1-}
	for _ in $(seq 200); do
		[ -s "$QD/port" ] && break
		kill -0 $QPID 2>/dev/null || break
		sleep 0.05
	done
	Q=http://127.0.0.1:$(cat "$QD/port")
}

qdrant_stop()
{
	[ -z "${QPID-}" ] && return
	kill "$QPID" 2>/dev/null
	wait "$QPID" 2>/dev/null || :
	QPID=
}

teardown()
{
	qdrant_stop
}

# q METHOD PATH [JSON]: the answer's result, compact.
q()
{
	curl -sS -X "$1" ${QKEY:+-H @<(echo "api-key: $QKEY")} ${3:+-d "$3"} "$Q$2" | jq -c '.result // .status'
}

# misbehave LINE...: from now on (see qdrant.py); none: it behaves again.
misbehave()
{
	printf '%s\n' "$@" >"$QD/misbehave"
}

# fill COLLECTION N [SEED [FROM]]
fill() { q POST /_test/fill "{\"collection\":\"$1\",\"n\":$2,\"seed\":${3:-1},\"from\":${4:-1}}" >/dev/null; }

points() { q POST "/collections/$1/points/count" '{"exact":true}' | jq .count; }

# All of a collection: configuration, points with their vectors and payload.
content()
{
	q GET "/collections/$1" | jq -S '.config, .payload_schema'
	q POST "/collections/$1/points/scroll" '{"limit":1000000,"with_vector":true}' | jq -S .points
}

# What is on the server beside the collections: must be nothing after any command.
left_behind() { q POST /_test/stored '{}' | jq -r '.[]'; }

# Three collections: docs with an index and an alias, emb, named with two vectors.
qdrant_sample()
{
	q PUT /collections/docs '{"vectors":{"size":8,"distance":"Cosine"}}'
	q PUT /collections/emb '{"vectors":{"size":128,"distance":"Euclid","on_disk":true},"hnsw_config":{"m":24}}'
	q PUT /collections/named '{"vectors":{"a":{"size":4,"distance":"Dot"},"b":{"size":16,"distance":"Euclid"}},"sparse_vectors":{"s":{}}}'
	q PUT '/collections/docs/index?wait=true' '{"field_name":"city","field_schema":"keyword"}'
	q POST /collections/aliases '{"actions":[{"create_alias":{"collection_name":"docs","alias_name":"live"}}]}'
	fill docs 300
	fill emb 200
	fill named 10
	q PUT '/collections/named/points?wait=true' '{"points":[{"id":"5c56c793-69f3-4fbf-87e6-c4bf54c28c26",
		"vector":{"a":[1,2,3,4],"s":{"indices":[1,7],"values":[0.5,0.25]}},"payload":{"city":null}}]}'
} >/dev/null

# conf [LINE...]: vouch.conf with a component "vectors", and more of its keys.
conf()
{
	{
		printf '[repository]\npath = %s\n[component vectors]\ntype = qdrant\nurl = %s\nwait = %s\n' \
			"$VOUCH_REPO" "$Q" "${WAIT:-5s}"
		printf '%s\n' "$@"
	} >"$W/vouch.conf"
}

# The command with this configuration.
vc()
{
	local cmd=$1

	shift
	"$V" "$cmd" --config "$W/vouch.conf" "$@"
}

ready()
{
	qdrant_start
	qdrant_sample
	conf
	vouch init "$VOUCH_REPO" >/dev/null
}

# A dump of the sample, whose content is in files.
saved_sample()
{
	local c

	ready
	vc run >/dev/null
	for c in docs emb named; do content $c >"$W/$c.saved"; done
}

# begun LINE COMMAND...: runs in the background as $pid, and waits for the server, which was told LINE (slow, late or hang).
begun()
{
	local cmd=$2

	: >"$QD/requests"
	misbehave "$1"
	shift 2
	"$V" "$cmd" --config "$W/vouch.conf" "$@" >"$W/out" 2>&1 3>&- &
	pid=$!
	for _ in $(seq 1000); do
		grep -qE ' (slow|late|hang)$' "$QD/requests" && return
		kill -0 $pid || break
		sleep 0.02
	done
	cat "$W/out"
	return 1
}

# interrupted SIGNAL LINE COMMAND...: the signal while it waits; it must fail.
interrupted()
{
	local signal=$1 status=0

	shift
	begun "$@"
	kill -$signal $pid
	wait $pid || status=$?
	cat "$W/out"
	[ "$status" != 0 ]
}

# The newest snapshot's file of the dump.
saved() { vouch cat "latest:/qdrant/vectors/$1"; }
