#!/usr/bin/env bats
# Much of it: tables, rows, bytes; how much memory that takes, and how much of day two is new.

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

# peak FILE COMMAND...: its largest resident set in KiB into FILE
peak()
{
	python3 - "$@" <<-'P'
	import os, sys
	pid = os.spawnvp(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
	_, status, used = os.wait4(pid, 0)
	open(sys.argv[1], "w").write("%d\n" % used.ru_maxrss)
	sys.exit(os.waitstatus_to_exitcode(status))
	P
}

@test "2,000 tables: dumped, and all of them back" {
	conf
	q "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop"
	for i in $(seq 2000); do
		echo "CREATE TABLE t$i (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t$i VALUES ($i, 'x');"
	done | load_into shop
	run v run
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(facts '[.items[] | select(.kind == "table" and .rows == "1")] | length')" = 2000 ]
	[ "$(facts '.files | length')" = 2002 ]
	q "DROP DATABASE shop"
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(q "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'shop'")" = 2000 ]
	q "DROP DATABASE shop"
}

@test "120 MB in 100 MB of memory; 1 % of rows changed: what is new on day two" {
	local bytes new

	conf
	q "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop; USE shop; CREATE TABLE big (id INT PRIMARY KEY, v INT, t TEXT);
		INSERT INTO big SELECT seq, seq, REPEAT(MD5(seq), 6) FROM seq_1_to_300000; CREATE TABLE blobs (id INT PRIMARY KEY, b LONGBLOB);
		INSERT INTO blobs SELECT seq, REPEAT(CHAR(seq), 12000000) FROM seq_1_to_2"
	peak "$BATS_TEST_TMPDIR/run" "$VOUCH" run --config "$C" --json >"$BATS_TEST_TMPDIR/one"
	echo "peak of run: $(cat "$BATS_TEST_TMPDIR/run") KiB"
	[ "$(cat "$BATS_TEST_TMPDIR/run")" -lt 102400 ]
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
	peak "$BATS_TEST_TMPDIR/recover" "$VOUCH" recover shop --config "$C" --yes
	echo "peak of recover: $(cat "$BATS_TEST_TMPDIR/recover") KiB"
	[ "$(cat "$BATS_TEST_TMPDIR/recover")" -lt 102400 ]
	[ "$(q "SELECT COUNT(*) FROM shop.big")" = 300000 ]
}
