#!/bin/sh
# A throw-away MariaDB server in a folder of its own: `maria.sh start DIR [OPTION...]`, `maria.sh stop DIR`, `maria.sh kill DIR`.
# The socket is DIR/s, the administrator is root without a password, the binary log is on; nothing listens on the network
# unless an option says so (--port=N with --skip-networking=0). OPTION: words for mariadbd.
set -eu
cmd=$1
dir=$2
shift 2

quiet() { "$@" >>"$dir/log" 2>&1; }
alive() { mariadb-admin --no-defaults --socket="$dir/s" -u root ping >/dev/null 2>&1; }

# Without `user` mariadbd refuses to run as root.
if [ "$(id -u)" = 0 ]; then user=--user=mysql; else user=--user=$(id -un); fi

# One made data folder a test run, copied: mariadb-install-db takes two seconds.
install_data()
{
	if [ -n "${MARIA_TEMPLATE-}" ] && [ -d "$MARIA_TEMPLATE/mysql" ]; then
		cp -a "$MARIA_TEMPLATE" "$dir/data"
		return
	fi
	quiet env TMPDIR="$dir" mariadb-install-db --no-defaults "$user" --datadir="$dir/data" --auth-root-authentication-method=normal \
		--skip-test-db --innodb-log-file-size=32M
	[ -z "${MARIA_TEMPLATE-}" ] || cp -a "$dir/data" "$MARIA_TEMPLATE"
}

case $cmd in
start)
	mkdir -p "$dir"
	: >>"$dir/log"
	if [ "$(id -u)" = 0 ]; then chown mysql: "$dir"; fi
	[ -d "$dir/data/mysql" ] || install_data
	if [ "$(id -u)" = 0 ]; then chown -R mysql: "$dir/data"; fi
	# Not a child of the test's shell: bats would wait for its descriptors
	setsid mariadbd --no-defaults "$user" --datadir="$dir/data" --socket="$dir/s" --pid-file="$dir/pid" --log-error="$dir/error.log" \
		--tmpdir="$dir" --skip-networking --server-id=1 --log-bin="$dir/data/binlog" --binlog-format=ROW --sync-binlog=0 \
		--innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size=32M --innodb-log-file-size=32M --performance-schema=OFF \
		--character-set-server=utf8mb4 --event-scheduler=OFF "$@" </dev/null >>"$dir/log" 2>&1 3>&- 4>&- &
	for _ in $(seq 600); do
		if alive; then exit 0; fi
		sleep 0.05
	done
	tail -n 20 "$dir/error.log" "$dir/log" >&2
	exit 1
	;;
stop | kill)
	[ -s "$dir/pid" ] || exit 0
	pid=$(cat "$dir/pid")
	if [ "$cmd" = stop ]; then kill "$pid" 2>/dev/null || exit 0; else kill -9 "$pid" 2>/dev/null || exit 0; fi
	for _ in $(seq 600); do
		if ! kill -0 "$pid" 2>/dev/null; then
			rm -f "$dir/pid"
			exit 0
		fi
		sleep 0.05
	done
	kill -9 "$pid"
	rm -f "$dir/pid"
	;;
*)
	echo "usage: maria.sh start|stop|kill DIR" >&2
	exit 2
	;;
esac
