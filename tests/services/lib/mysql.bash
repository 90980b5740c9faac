# For tests of the mysql type: one server a file, a database of each test's own, users with the rights that vouch.conf(5) names.

bats_require_minimum_version 1.5.0

maria=$BATS_TEST_DIRNAME/lib/maria.sh

mysql_up()		# in setup_file
{
	chmod a+x "$BATS_RUN_TMPDIR" "${BATS_FILE_TMPDIR%/*}" "$BATS_FILE_TMPDIR"	# the server is another user
	export M=$BATS_FILE_TMPDIR/m
	"$maria" start "$M" "$@"
	grants
}

mysql_down()		# in teardown_file
{
	"$maria" stop "$M"
}

# As the administrator: statements
q()
{
	load_into '' <<<"$*"
}

# load_into DATABASE <FILE
load_into()
{
	mariadb --no-defaults --socket="$M/s" -u root -N -B --default-character-set=utf8mb4 ${1:+"$1"}
}

options()		# options FILE USER PASSWORD
{
	(umask 077 && printf '[client]\nsocket=%s\nuser=%s\npassword=%s\n' "$M/s" "$2" "$3" >"$1")
}

# The statements of vouch.conf(5), MySQL and MariaDB; shop% is shop, and what the tests make beside it.
grants()
{
	load_into '' <<-'SQL'
	CREATE USER vouch@localhost IDENTIFIED BY 'geheim-1';
	GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `shop%`.* TO vouch@localhost;
	GRANT SELECT ON mysql.* TO vouch@localhost;
	GRANT RELOAD, PROCESS, BINLOG MONITOR, SLAVE MONITOR ON *.* TO vouch@localhost;
	CREATE USER vouch_restore@localhost IDENTIFIED BY 'geheim-2';
	GRANT ALL PRIVILEGES ON `shop%`.* TO vouch_restore@localhost;
	GRANT ALL PRIVILEGES ON `vouch\_validate\_%`.* TO vouch_restore@localhost;
	GRANT SELECT ON mysql.* TO vouch_restore@localhost;
	GRANT RELOAD, PROCESS, BINLOG MONITOR, SLAVE MONITOR, SUPER, SET USER, CONNECTION ADMIN, REPLICATION SLAVE ADMIN,
		BINLOG ADMIN, READ_ONLY ADMIN ON *.* TO vouch_restore@localhost;
	SQL
	options "$M/own.cnf" vouch geheim-1
	options "$M/restore.cnf" vouch_restore geheim-2
}

# The configuration and the repository of one test; more lines for the component.
conf()
{
	C=$BATS_TEST_TMPDIR/vouch.conf
	R=$BATS_TEST_TMPDIR/repo
	unset VOUCH_REPO
	[ -d "$R" ] || "$VOUCH" init "$R" >/dev/null
	(umask 077 && printf '%s\n' '[repository]' "path = $R" '[component shop]' 'type = mysql' \
		"defaults-file = $M/own.cnf" "restore-defaults-file = $M/restore.cnf" "$@" >"$C")
	grep -q '^databases' "$C" || echo 'databases = shop' >>"$C"
}

v()			# v COMMAND ARGUMENT...
{
	"$VOUCH" "$1" --config "$C" "${@:2}"
}

facts()			# facts JQ-FILTER [SNAPSHOT]
{
	VOUCH_REPO=$R "$VOUCH" cat "${2:-latest}:mysql/shop/facts.json" | jq -er "$1"
}

# All that a database holds, for comparison: without vouch's code.  The time zone is another than the dump's.
holds()
{
	mariadb-dump --no-defaults --socket="$M/s" -u root --routines --events --triggers --hex-blob --skip-dump-date --skip-tz-utc --order-by-primary \
		--dump-history --skip-comments --compact "$1" | sed -E 's/ AUTO_INCREMENT=[0-9]+//'
}

# Every kind of thing: types, quotes, generated columns, history, views on views, triggers, routines, events, references, a sequence.
sample()
{
	q "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
	load_into shop <"$BATS_TEST_DIRNAME/lib/mysql_sample.sql"
}

# wrap PROGRAM <<SCRIPT: a folder for bin = with the script in the program's place; REAL is the real one
wrap()
{
	BIN=$BATS_TEST_TMPDIR/bin
	mkdir -p "$BIN"
	for p in mariadb mariadb-dump; do
		[ -e "$BIN/$p" ] || ln -s "$(command -v $p)" "$BIN/$p"
	done
	rm "$BIN/$1"
	{ printf '#!/bin/bash\nREAL=%s\n' "$(command -v "$1")"; cat; } >"$BIN/$1"
	chmod +x "$BIN/$1"
}
