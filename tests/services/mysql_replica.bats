#!/usr/bin/env bats
# A replica that is restored: its replication stopped and started, and pointed to where the dump was made.

load lib/mysql

setup_file()
{
	local port i

	for i in 1 2 3 4 5; do
		port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
		if mysql_up --skip-networking=0 --bind-address=127.0.0.1 --port="$port"; then break; fi
	done
	export PORT=$port P=$M
	q "CREATE USER repl@'%' IDENTIFIED BY 'r'; GRANT REPLICATION SLAVE ON *.* TO repl@'%'"
	export M=$BATS_FILE_TMPDIR/r
	"$maria" start "$M" --server-id=2
	options "$M/own.cnf" vouch geheim-1
	options "$M/restore.cnf" vouch_restore geheim-2
}

teardown_file()
{
	"$maria" stop "$M"
	"$maria" stop "$P"
}

p()
{
	M=$P q "$@"
}

# follow GTID: from the beginning
follow()
{
	q "STOP SLAVE; RESET SLAVE ALL; DROP DATABASE IF EXISTS shop; SET GLOBAL gtid_slave_pos = ''; RESET MASTER"
	q "DROP USER IF EXISTS vouch@localhost, vouch_restore@localhost, repl@'%'"
	q "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = $PORT, MASTER_USER = 'repl', MASTER_PASSWORD = 'r', MASTER_CONNECT_RETRY = 1,
		MASTER_LOG_FILE = 'binlog.000001', MASTER_LOG_POS = 4, MASTER_USE_GTID = no; START SLAVE"
	caught_up
	[ "$1" = no ] || q "STOP SLAVE; CHANGE MASTER TO MASTER_USE_GTID = slave_pos; START SLAVE"
}

rows()
{
	q "SELECT COALESCE(GROUP_CONCAT(id ORDER BY id), '') FROM shop.t"
}

# Until the replica has what the other has
caught_up()
{
	local want i

	want=$(p "SELECT COALESCE(GROUP_CONCAT(id ORDER BY id), '') FROM shop.t")
	for i in $(seq 200); do
		[ "$(rows 2>/dev/null)" = "$want" ] && return
		sleep 0.05
	done
	mariadb --no-defaults --socket="$M/s" -u root -e 'SHOW SLAVE STATUS\G' | grep -E 'Running|Error|Pos|File|Gtid'
	return 1
}

runs()
{
	[ "$(mariadb --no-defaults --socket="$M/s" -u root -e 'SHOW SLAVE STATUS\G' | grep -cE 'Slave_(IO|SQL)_Running: Yes')" = 2 ]
}

setup()
{
	p "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1), (2)"
}

@test "stopped, and started where it stood" {
	follow no
	conf
	v run >/dev/null
	[ "$(facts .position.master_server_id)" = 1 ]
	facts '(.position.master_file | startswith("binlog")) and (.position.master_pos | tonumber > 4)'
	p "INSERT INTO shop.t VALUES (3)"
	caught_up
	run v recover shop --dry-run
	echo "$output"
	grep -q 'stop replication from 127.0.0.1, and start it where it stood' <<<"$output"
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q 'replication from 127.0.0.1 stopped' <<<"$output"
	grep -q 'replication started again' <<<"$output"
	[ "$(rows)" = 1,2 ]
	runs
	p "INSERT INTO shop.t VALUES (4)"
	for _ in $(seq 100); do [ "$(rows)" = 1,2,4 ] && break; sleep 0.05; done
	[ "$(rows)" = 1,2,4 ]
	# on a way out with an error, too
	wrap mariadb <<-'S'
	case " $* " in *--max-allowed-packet*) exit 1 ;; *) exec "$REAL" "$@" ;; esac
	S
	echo "bin = $BIN" >>"$C"
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 1 ]
	grep -q 'replication started again' <<<"$output"
	runs
	q "STOP SLAVE"
	sed -i '/^bin/d' "$C"
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q 'replication from 127.0.0.1 does not run, and is not started' <<<"$output"
}

# repoint GTID: a dump of the replica, then one of the other server
repoint()
{
	follow "$1"
	conf 'replica = repoint'
	v run >/dev/null
	p "INSERT INTO shop.t VALUES (3); DELETE FROM shop.t WHERE id = 1"
	caught_up
	run v recover shop --yes
	echo "$output"
	[ "$status" -eq 0 ] || grep -q 'table t' <<<"$output"	# what comes again may be there before it is compared
	grep -q "$2" <<<"$output"
	caught_up
	runs
	sed -i "s,$M/own.cnf,$P/own.cnf," "$C"
	v run >/dev/null
	[ "$(facts .position.server_id)" = 1 ]
	sed -i "s,$P/own.cnf,$M/own.cnf," "$C"
	p "INSERT INTO shop.t VALUES (5)"
	caught_up
	run v recover shop --yes
	echo "$output"
	grep -q "$2" <<<"$output"
	caught_up
	runs
}

@test "pointed to the dump's position by file and position: what happened since comes again" {
	repoint no "CHANGE MASTER TO MASTER_LOG_FILE = 'binlog"
}

@test "pointed to the dump's position by GTID" {
	repoint yes 'SET GLOBAL gtid_slave_pos = '
}

@test "a dump of neither: replication stays stopped, and that is said" {
	follow no
	conf 'replica = repoint'
	q "STOP SLAVE; RESET SLAVE ALL"
	v run >/dev/null
	q "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = $PORT, MASTER_USER = 'repl', MASTER_PASSWORD = 'r', MASTER_USE_GTID = slave_pos; START SLAVE"
	run v recover shop --yes
	echo "$output"
	grep -q 'replication stays stopped' <<<"$output"
	run ! runs
}
