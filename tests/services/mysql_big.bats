#!/usr/bin/env bats
# Much of it: tables (VOUCH_TABLES: 2000; 10000 is what is promised), rows, bytes; how much memory that takes, and how much of
# day two is new.

load lib/mysql

# In memory where that may be mounted: a table made waits for the disk.
setup_file()
{
	mkdir "$BATS_FILE_TMPDIR/m"
	mount -t tmpfs -o size=1g tmpfs "$BATS_FILE_TMPDIR/m" 2>/dev/null || true
	mysql_up --innodb-file-per-table=0 --skip-log-bin
}

teardown_file()
{
	mysql_down
	umount "$M" 2>/dev/null || true
}

# peak COMMAND...: it succeeds in 100 MiB
peak()
{
	python3 "$BATS_TEST_DIRNAME/lib/peak.py" "$BATS_TEST_TMPDIR/peak" "$VOUCH" "$@" --config "$C"
	echo "$1: $(cat "$BATS_TEST_TMPDIR/peak") MiB" >&2
	[ "$(cat "$BATS_TEST_TMPDIR/peak")" -lt 100 ]
}

@test "many tables: dumped, and all of them back" {
	local i nr=${VOUCH_TABLES:-2000}

	conf
	q "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop"
	for i in $(seq "$nr"); do
		echo "CREATE TABLE t$i (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t$i VALUES ($i, 'x');"
	done | load_into shop
	run v run
	echo "$output"
	[ "$status" -eq 0 ]
	if grep -q 'counted in the dump alone' <<<"$output"; then false; fi
	[ "$(facts '[.items[] | select(.kind == "table" and .rows == "1")] | length')" = "$nr" ]
	[ "$(facts '.files | length')" = $((nr + 2)) ]
	q "DROP DATABASE shop"
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(q "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'shop'")" = "$nr" ]
	q "DROP DATABASE shop"
}

@test "120 MB in 100 MB of memory; 1 % of rows changed: what is new on day two" {
	local bytes new

	conf
	q "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop; USE shop; CREATE TABLE big (id INT PRIMARY KEY, v INT, t TEXT);
		INSERT INTO big SELECT seq, seq, REPEAT(MD5(seq), 6) FROM seq_1_to_300000; CREATE TABLE blobs (id INT PRIMARY KEY, b LONGBLOB);
		INSERT INTO blobs SELECT seq, REPEAT(CHAR(seq), 12000000) FROM seq_1_to_2"
	peak run --json >"$BATS_TEST_TMPDIR/one"
	# The whole, and each table, share what they have; the blobs are all one letter.
	jq -es '.[] | select(.type == "component") | .bytes > 220000000 and .new_bytes < .bytes / 2' "$BATS_TEST_TMPDIR/one"
	q "UPDATE shop.big SET v = v + 1 WHERE id % 100 = 7"
	"$VOUCH" run --config "$C" --json >"$BATS_TEST_TMPDIR/two"
	bytes=$(jq -s '.[] | select(.type == "component") | .bytes' "$BATS_TEST_TMPDIR/two")
	new=$(jq -s '.[] | select(.type == "component") | .new_bytes' "$BATS_TEST_TMPDIR/two")
	echo "day two: $new bytes new of $bytes"
	# Every hundredth row, the worst there is: a chunk holds twenty.
	[ "$new" -gt 1000000 ]
	[ "$new" -lt 25000000 ]
	q "DELETE FROM shop.big WHERE id > 1000"
	peak recover shop --yes
	[ "$(q "SELECT COUNT(*) FROM shop.big")" = 300000 ]
}
