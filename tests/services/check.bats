#!/usr/bin/env bats
# vouch check with real servers: what it finds, what it waits for, what it starts again.

bats_require_minimum_version 1.5.0
load lib/qdrant

setup()
{
	C=$BATS_TEST_TMPDIR/vouch.conf
	unset VOUCH_REPO
}

teardown()
{
	qdrant_stop
}

# conf LINE...: the file, for its owner only.
conf()
{
	(umask 077 && printf '%s\n' "$@" >"$C")
}

# A port of 127.0.0.1 that was free just now.
free_port()
{
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

@test "a server that answers: findings in text and in JSON" {
	qdrant_start
	qdrant_sample
	conf '[component vectors]' 'type = qdrant' "url = $Q" 'collections = *'
	run "$VOUCH" check --config "$C"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "vectors (qdrant)" ]
	grep -q '^  ok       .*collection docs' <<<"$output"
	run ! grep -q 'repository' <<<"$output"
	"$VOUCH" check --config "$C" --json >"$BATS_TEST_TMPDIR/json"
	jq -es '(map(select(.type == "finding")) | length > 2 and all(.component == "vectors" and .result == "ok")) and
		(.[-1] | .type == "summary" and .components == 1 and .failed == 0 and .bytes > 1000)' "$BATS_TEST_TMPDIR/json"
}

@test "with a repository: whether its space suffices; one that is not there" {
	qdrant_start
	qdrant_sample
	conf '[repository]' "path = $BATS_TEST_TMPDIR/repo" '[component vectors]' 'type = qdrant' "url = $Q" 'collections = *'
	run "$VOUCH" check --config "$C"
	echo "$output"
	[ "$status" -eq 1 ]
	grep -q '^  FAILED   ' <<<"$output"
	"$VOUCH" init "$BATS_TEST_TMPDIR/repo" >/dev/null
	run "$VOUCH" check --config "$C"
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q "^  ok       $BATS_TEST_TMPDIR/repo: .* free, for dumps of about" <<<"$output"
}

@test "one that is down fails, and the others are told" {
	local port

	qdrant_start
	port=$(free_port)
	conf '[component down]' 'type = qdrant' "url = http://127.0.0.1:$port" 'wait = 1s' 'collections = *' \
		'[component up]' 'type = qdrant' "url = $Q" 'collections = *'
	run "$VOUCH" check --config "$C"
	echo "$output"
	[ "$status" -eq 1 ]
	grep -q 'waiting for down to answer' <<<"$output"
	grep -q '^  FAILED   not reached within 1 s: ' <<<"$output"
	grep -q '^up (qdrant)$' <<<"$output"
	run "$VOUCH" check --config "$C" up
	[ "$status" -eq 0 ]
}

# forward PORT SECONDS: after so long, what comes to the port goes to the server.
forward()
{
	python3 - "$1" "$2" "${Q##*:}" <<-'P' 3>&- &
	import socket, sys, threading, time
	def copy(a, b):
	    try:
	        while d := a.recv(65536):
	            b.sendall(d)
	        b.shutdown(socket.SHUT_WR)
	    except OSError:
	        pass
	time.sleep(float(sys.argv[2]))
	s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
	s.settimeout(30)
	while True:
	    try:
	        a, _ = s.accept()
	    except TimeoutError:
	        break
	    b = socket.create_connection(("127.0.0.1", int(sys.argv[3])))
	    threading.Thread(target=copy, args=(a, b), daemon=True).start()
	    threading.Thread(target=copy, args=(b, a), daemon=True).start()
	P
	FORWARD=$!
}

@test "one that starts late is waited for" {
	local port

	qdrant_start
	port=$(free_port)
	conf '[component late]' 'type = qdrant' "url = http://127.0.0.1:$port" 'wait = 20s' 'collections = *'
	forward "$port" 2
	run "$VOUCH" check --config "$C"
	kill "$FORWARD"
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q 'waiting for late to answer' <<<"$output"
}

@test "interrupted while it waits: at once" {
	local begun

	conf '[component late]' 'type = qdrant' "url = http://127.0.0.1:$(free_port)" 'wait = 60s' 'collections = *'
	"$VOUCH" check --config "$C" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	for _ in $(seq 200); do grep -q waiting "$BATS_TEST_TMPDIR/out" && break; sleep 0.05; done
	begun=$SECONDS
	kill -TERM $!
	status=0
	wait $! || status=$?
	[ "$status" -eq 1 ]
	[ $((SECONDS - begun)) -lt 5 ]
	grep -q interrupted "$BATS_TEST_TMPDIR/out"
}

@test "a broken configuration: exit status 2, with file and line, and no server is asked" {
	qdrant_start
	conf '[component vectors]' 'type = qdrant' "url = $Q" 'collections = * ; all of them'
	run "$VOUCH" check --config "$C"
	echo "$output"
	[ "$status" -eq 2 ]
	[[ $output == *"$C:4: ' ;' would end the value"* ]]
	run "$VOUCH" check --config "$BATS_TEST_TMPDIR/none"
	[ "$status" -eq 2 ]
	[ ! -s "$QD/requests" ]
}
