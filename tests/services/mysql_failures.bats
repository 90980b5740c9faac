#!/usr/bin/env bats
# MySQL and MariaDB: what goes wrong, each with a real server; what failed is never under a date.

load lib/mysql

setup_file()
{
	mysql_up
}

teardown_file()
{
	mysql_down
}

setup()
{
	conf
	sample
}

# It failed, said why, and there is no snapshot.
failed()		# failed PATTERN
{
	echo "$output"
	[ "$status" -eq 1 ]
	grep -Eq "$1" <<<"$output"
	[ "$(VOUCH_REPO=$R "$VOUCH" snapshots --json | jq -s '[.[] | select(.type == "snapshot")] | length')" = 0 ]
}

sessions()		# sessions CONDITION N: until so many are such
{
	for _ in $(seq 200); do
		[ "$(q "SELECT COUNT(*) FROM information_schema.processlist WHERE $1")" = "$2" ] && return
		sleep 0.05
	done
	return 1
}

big()			# big ROWS: a table before the others, and one after
{
	q "USE shop; CREATE TABLE a_big (id INT PRIMARY KEY, t VARCHAR(200)); INSERT INTO a_big SELECT seq, REPEAT('x', 150) FROM seq_1_to_$1;
		CREATE TABLE z (id INT PRIMARY KEY, v INT); INSERT INTO z SELECT seq, seq FROM seq_1_to_1000"
}

@test "status 0 and no trailer; status 2 with a trailer; status 0, a trailer, and rows that are not there" {
	wrap mariadb-dump <<-'S'
	case " $* " in *--version*|*--system*) exec "$REAL" "$@" ;; esac
	case $(cat "${0%/*}/mode") in
	cut) "$REAL" "$@" | head -c 100000 ;;
	line) "$REAL" "$@" | grep -v '^-- Dump completed'; exit 0 ;;
	rc2) "$REAL" "$@"; exit 2 ;;
	rows) "$REAL" "$@" | sed "s/^(4,1,[0-9]*),\$//"; exit "${PIPESTATUS[0]}" ;;
	table) "$REAL" "$1" --ignore-table=shop.lines_ "${@:2}" ;;
	esac
	S
	echo "bin = $BIN" >>"$C"
	for mode in cut line; do
		echo "$mode" >"$BIN/mode"
		run v run
		failed 'ended with status 0, but: the dump is cut short'
	done
	echo rc2 >"$BIN/mode"
	run v run
	failed 'exit status 2'
	echo rows >"$BIN/mode"
	run v run
	failed 'table lines_: the dump has 4999 rows where the server had 5000'
	echo table >"$BIN/mode"
	run v run
	failed 'table lines_ was there when the dump began, and is not in it'
}

@test "a view that does not work, without and with --force in the options" {
	q "CREATE TABLE shop.tmp (a INT); CREATE VIEW shop.bad AS SELECT a FROM shop.tmp; DROP TABLE shop.tmp"
	run v run
	failed 'bad.*\(1356\)'
	printf '[mysqldump]\nforce\n' >>"$M/own.cnf"
	run v run
	options "$M/own.cnf" vouch geheim-1
	failed 'bad.*\(1356\)'
}

@test "no privilege on one view; a wrong password, which is in no message and no argv" {
	q "CREATE OR REPLACE USER shop_view@localhost IDENTIFIED BY 'x'; GRANT SELECT, TRIGGER, EVENT, EXECUTE ON shop.* TO shop_view@localhost; GRANT SELECT ON mysql.proc TO shop_view@localhost"
	options "$M/view.cnf" shop_view x
	sed -i 's,own.cnf,view.cnf,' "$C"
	run v run
	failed "SHOW VIEW command denied to user .* for table .*shop.*(large|totals)"
	options "$M/view.cnf" vouch-2013 'falsch-7'	# 2013 is a server that goes away, which is waited for
	SECONDS=0
	run v run
	[ "$SECONDS" -lt 25 ]
	failed "Access denied for user 'vouch-2013'"
	if grep -q 'falsch-7' <<<"$output"; then false; fi
	run v check
	[ "$status" -eq 1 ]
	grep -q 'Access denied' <<<"$output"
	options "$M/view.cnf" vouch geheim-1
	wrap mariadb-dump <<-'S'
	tr '\0' '\n' <"/proc/$$/cmdline" >>"${0%/*}/seen"
	tr '\0' '\n' <"/proc/$PPID/cmdline" >>"${0%/*}/seen"
	exec "$REAL" "$@"
	S
	echo "bin = $BIN" >>"$C"
	run v run
	[ "$status" -eq 0 ]
	grep -q -- --single-transaction "$BIN/seen"
	if grep -q geheim "$BIN/seen"; then false; fi
	if grep -rq geheim "$R/log"; then false; fi
	# a repository of others' eyes: nothing of it in facts.json
	[[ $(facts .) != *geheim* ]]
}

@test "a definition changes while the dump is made: once more; every time: failed" {
	big 50000
	wrap mariadb-dump <<-'S'
	case " $* " in *--version*|*--system*) exec "$REAL" "$@" ;; esac
	set -o pipefail
	"$REAL" "$@" | {
		head -c 1000000
		if [ -e "${0%/*}/always" ] || [ ! -e "${0%/*}/done" ]; then
			touch "${0%/*}/done"
			mariadb --no-defaults --socket="$M/s" -u root shop -e 'ALTER TABLE z ADD COLUMN IF NOT EXISTS zz INT DEFAULT 1, ALGORITHM=COPY, FORCE'
		fi
		cat
	}
	S
	echo "bin = $BIN" >>"$C"
	touch "$BIN/always"
	run v run
	failed '1412'
	rm "$BIN/always" "$BIN/done"
	run v run
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q '1412.*once more' <<<"$output"
	[ "$(facts '.items[] | select(.kind == "table" and .name == "z") | .rows')" = 1000 ]
	facts '.items[] | select(.kind == "columns" and .name == "z") | .is | contains("zz")'
}

# slow: half a megabyte, then a pause in which the test does its worst
slow()
{
	wrap mariadb-dump <<-'S'
	case " $* " in *--version*|*--system*) exec "$REAL" "$@" ;; esac
	set -o pipefail
	"$REAL" "$@" | { head -c 500000; touch "${0%/*}/half"; bash "${0%/*}/worst" >/dev/null 2>&1; cat; }
	S
	cat >"$BIN/worst"
	echo "bin = $BIN" >>"$C"
}

@test "mysqldump killed in the middle, and its connection; killed itself, vouch leaves nothing running" {
	big 100000
	slow <<-'S'
	kill -9 $(pgrep -f "^[^ ]*mariadb-dump --defaults-file=$M/own.cnf")
	S
	run v run
	failed 'exit status 137|signal'
	cat >"$BIN/worst" <<-'S'
	q() { mariadb --no-defaults --socket="$M/s" -u root -N "$@"; }
	q -e "SELECT CONCAT('KILL ', id, ';') FROM information_schema.processlist WHERE user = 'vouch'" | q
	S
	run v run
	failed 'exit status (2|3)'
	cat >"$BIN/worst" <<-'S'
	sleep 60
	S
	rm -f "$BIN/half"
	"$VOUCH" run --config "$C" >/dev/null 2>&1 3>&- &
	pid=$!
	for _ in $(seq 200); do [ -e "$BIN/half" ] && break; sleep 0.05; done
	kill -9 "$pid"
	wait "$pid" || true
	sessions "user = 'vouch'" 0
	# and nobody waits for a lock
	q "SET lock_wait_timeout = 2; INSERT INTO shop.z VALUES (5000, 1)"
}

@test "the server stops in the middle; it comes up late" {
	big 100000
	slow <<-S
	"$maria" kill "$M"
	S
	run v run
	"$maria" start "$M"
	failed 'exit status (2|3)'
	rm "$BIN/worst"
	sed -i '/^bin/d' "$C"
	"$maria" stop "$M"
	(sleep 1; "$maria" start "$M") 3>&- &
	run v run
	wait
	echo "$output"
	[ "$status" -eq 0 ]
	"$maria" stop "$M"
	echo 'wait = 1s' >>"$C"
	run v run
	"$maria" start "$M"
	echo "$output"
	[ "$status" -eq 1 ]
	grep -q "Can't connect" <<<"$output"
	"$maria" stop "$M"
	echo "restart = $maria start $M" >>"$C"
	run v check --restart
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q 'it is started again' <<<"$output"
}

@test "the lock cannot be had in five seconds: without it, and said" {
	local pid

	(q "USE shop; LOCK TABLES orders WRITE; SELECT SLEEP(60)" >/dev/null 2>&1) 3>&- &
	sessions "state = 'User sleep'" 1
	"$VOUCH" run --config "$C" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	pid=$!
	for _ in $(seq 300); do grep -q 'rows are counted in the dump alone' "$BATS_TEST_TMPDIR/out" && break; sleep 0.05; done
	q "SELECT CONCAT('KILL ', id) FROM information_schema.processlist WHERE state = 'User sleep'" | load_into ''
	wait "$pid"
	cat "$BATS_TEST_TMPDIR/out"
	grep -q 'rows are counted in the dump alone' "$BATS_TEST_TMPDIR/out"
}

@test "a server with short time-outs, and one that takes connections and says nothing" {
	q "SET GLOBAL idle_transaction_timeout = 1, idle_readonly_transaction_timeout = 1"
	wrap mariadb-dump <<-'S'
	case " $* " in *--version*|*--system*) exec "$REAL" "$@" ;; esac
	set -o pipefail
	"$REAL" "$@" | { head -c 1000; sleep 2; cat; }
	S
	cp "$C" "$C.slow"
	echo "bin = $BIN" >>"$C.slow"
	run "$VOUCH" run --config "$C.slow"
	q "SET GLOBAL idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0"
	echo "$output"
	[ "$status" -eq 0 ]
	if grep -q 'counted' <<<"$output"; then false; fi
	echo 'wait = 1s' >>"$C"
	kill -STOP "$(cat "$M/pid")"
	run timeout 30 "$VOUCH" run --config "$C"
	kill -CONT "$(cat "$M/pid")"
	echo "$output"
	[ "$status" -eq 1 ]
	grep -q 'the server of shop: not reached within 1 s' <<<"$output"
}

@test "the disk of the repository is full" {
	mkdir "$BATS_TEST_TMPDIR/small"
	mount -t tmpfs -o size=3m tmpfs "$BATS_TEST_TMPDIR/small"
	rm -rf "$R"
	"$VOUCH" init "$BATS_TEST_TMPDIR/small/repo" >/dev/null
	sed -i "s,^path = .*,path = $BATS_TEST_TMPDIR/small/repo," "$C"
	R=$BATS_TEST_TMPDIR/small/repo
	q "USE shop; CREATE TABLE noise (id INT PRIMARY KEY, b LONGBLOB); INSERT INTO noise SELECT seq, RANDOM_BYTES(1000) FROM seq_1_to_5000"
	run v run
	umount_later() { umount "$BATS_TEST_TMPDIR/small"; }
	out=$output st=$status
	run env VOUCH_REPO="$R" "$VOUCH" snapshots
	umount_later
	echo "$out"
	[ "$st" -eq 1 ]
	grep -qi 'no space' <<<"$out"
	[[ $output != *20[0-9][0-9]-* ]]
}

@test "a definer who is not there: said before anything is touched" {
	q "CREATE OR REPLACE USER boss@'%'; CREATE DEFINER = boss@'%' VIEW shop.bosses AS SELECT 1"
	q "GRANT SELECT ON shop.* TO boss@'%'"
	v run >/dev/null
	q "DROP USER boss@'%'; DROP VIEW shop.bosses; DELETE FROM shop.lines_"
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 1 ]
	grep -q "not on this server: definer boss@% of view bosses; nothing was touched" <<<"$output"
	[ "$(q "SELECT COUNT(*) FROM shop.orders")" = 5000 ]
	q "CREATE USER boss@'%'; GRANT SELECT ON shop.* TO boss@'%'"
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	q "DROP USER boss@'%'"
}

@test "a user who may not restore: said before anything is touched" {
	v run >/dev/null
	sed -i '/^restore-defaults/d' "$C"
	q "DELETE FROM shop.lines_"
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 1 ]
	grep -q 'has no right CREATE .*nothing was touched' <<<"$output"
	[ "$(q "SELECT COUNT(*) FROM shop.orders")" = 5000 ]
	# each right that loading takes, one after the other
	q "CREATE OR REPLACE USER shop_half@localhost IDENTIFIED BY 'x'; GRANT SELECT, SHOW VIEW, EXECUTE ON shop.* TO shop_half@localhost;
		GRANT SELECT ON mysql.* TO shop_half@localhost; GRANT SET USER, PROCESS ON *.* TO shop_half@localhost;
		SET GLOBAL log_bin_trust_function_creators = 1"
	options "$M/half.cnf" shop_half x
	echo "restore-defaults-file = $M/half.cnf" >>"$C"
	for right in CREATE DROP INSERT ALTER TRIGGER EVENT 'CREATE ROUTINE' 'ALTER ROUTINE' 'CREATE VIEW'; do
		run v recover shop --yes
		[ "$status" -eq 1 ]
		tail -n 1 <<<"$output"
		grep -q "has no right $right .*nothing was touched" <<<"$output"
		[ "$(q "SELECT COUNT(*) FROM shop.orders")" = 5000 ]
		q "GRANT $right ON shop.* TO shop_half@localhost"
	done
	run v recover shop --yes
	q "SET GLOBAL log_bin_trust_function_creators = 0"
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q 'whether this server is a replica is not known' <<<"$output"
	[ "$(q "SELECT COUNT(*) FROM shop.lines_")" = 5000 ]
}

@test "tables of other databases that refer to it: it comes back, and rows that refer to nothing are told" {
	v run >/dev/null
	q "CREATE OR REPLACE DATABASE shop_other; CREATE TABLE shop_other.o (id BIGINT, CONSTRAINT fo FOREIGN KEY (id) REFERENCES shop.orders (id));
		INSERT INTO shop.orders (id, customer) VALUES (9001, 7); INSERT INTO shop_other.o VALUES (7), (9001)"
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q '1 row without what they refer to: shop_other.o (fo) refers to shop.orders' <<<"$output"
	if q "INSERT INTO shop_other.o VALUES (9002)"; then false; fi
	run v rollback shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(q "SELECT COUNT(*) FROM shop_other.o JOIN shop.orders USING (id)")" = 2 ]
	# a table that the dump does not have
	q "CREATE TABLE shop.new (id INT PRIMARY KEY); CREATE TABLE shop_other.n (id INT, FOREIGN KEY (id) REFERENCES shop.new (id))"
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q 'shop_other.n .* refers to shop.new, and its rows could not be looked at' <<<"$output"
	q "DROP DATABASE shop_other"
}

@test "with sessions in the database: ended, but those that are kept" {
	q "CREATE OR REPLACE USER kept@localhost; GRANT ALL ON shop.* TO kept@localhost; CREATE OR REPLACE USER app@localhost; GRANT ALL ON shop.* TO app@localhost"
	echo 'keep-users = kept' >>"$C"
	v run >/dev/null
	for u in kept app; do
		(mariadb --no-defaults --socket="$M/s" -u "$u" shop -N -e "SELECT SLEEP(30)" >"$BATS_TEST_TMPDIR/$u" 2>&1; echo $? >>"$BATS_TEST_TMPDIR/$u") 3>&- &
	done
	# a transaction that holds a table of it
	(echo "BEGIN; SELECT COUNT(*) FROM orders; SELECT SLEEP(30);" | mariadb --no-defaults --socket="$M/s" -u app shop >/dev/null 2>&1) 3>&- &
	sessions "state = 'User sleep'" 3
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q '2 sessions in database shop ended' <<<"$output"
	[ "$(q "SELECT GROUP_CONCAT(user) FROM information_schema.processlist WHERE db = 'shop'")" = kept ]
	q "SELECT CONCAT('KILL ', id) FROM information_schema.processlist WHERE user = 'kept'" | load_into ''
	wait
}

@test "a restore killed half-way, and run again; or taken back" {
	big 20000
	holds shop >"$BATS_TEST_TMPDIR/before"
	v run >/dev/null
	q "UPDATE shop.z SET v = 7"
	holds shop >"$BATS_TEST_TMPDIR/changed"
	wrap mariadb <<-'S'
	case " $* " in
	*--max-allowed-packet*)
		set -o pipefail
		{ head -c 1000000; touch "${0%/*}/half"; sleep 60; } | "$REAL" "$@" ;;
	*) exec "$REAL" "$@" ;;
	esac
	S
	cp "$C" "$C.slow"
	echo "bin = $BIN" >>"$C.slow"
	for _ in 1 2; do
		rm -f "$BIN/half"
		"$VOUCH" recover shop --config "$C.slow" --yes >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
		pid=$!
		for _ in $(seq 400); do [ -e "$BIN/half" ] && break; sleep 0.05; done
		[ -e "$BIN/half" ] || cat "$BATS_TEST_TMPDIR/out"
		[ -e "$BIN/half" ]
		kill -9 "$pid"
		wait "$pid" || true
		sessions "user LIKE 'vouch%'" 0
		if q "SELECT COUNT(*) FROM shop.z"; then false; fi
	done
	run v rollback shop --list
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	holds shop >"$BATS_TEST_TMPDIR/after"
	cmp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
	# three ways back now: two of halves, and the oldest of what was there
	for _ in 1 2 3; do
		run v rollback shop --yes
		echo "$output"
		[ "$status" -eq 0 ]
	done
	holds shop >"$BATS_TEST_TMPDIR/after"
	cmp "$BATS_TEST_TMPDIR/changed" "$BATS_TEST_TMPDIR/after"
}

@test "a dump that is damaged in the repository is read before anything is dropped" {
	v run >/dev/null
	python3 - "$R" <<-'P'
	import os, sys
	packs = [os.path.join(d, f) for d, _, fs in os.walk(sys.argv[1]) for f in fs if "pack" in d]
	packs = [p for p in packs if os.path.getsize(p) > 4096]
	assert packs
	for p in packs:
	    with open(p, "r+b") as f:
	        size = os.path.getsize(p)
	        f.seek(size // 4)
	        f.write(bytes(size // 2))		# more than parity mends
	P
	q "DELETE FROM shop.lines_"
	run v recover shop --yes
	echo "$output"
	[ "$status" -ne 0 ]
	[ "$(q "SELECT COUNT(*) FROM shop.orders")" = 5000 ]
	[ "$(q "SELECT COUNT(*) FROM shop.lines_")" = 0 ]
}
