# A PostgreSQL server of a test's own: its data and its socket in a private folder, no port taken; stopped by its pid.
# shellcheck shell=bash

# The newest of Debian's versions that is installed.
pg_bin()
{
	local d

	for d in /usr/lib/postgresql/*/bin; do [ -x "$d/postgres" ] && echo "$d"; done | sort -V | tail -n 1
}

# The server refuses root.
pg_as()
{
	if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

# pg_start DIR [SETTING...]: DIR is made, its parents must be open to all; the superuser is postgres, without a password.
pg_start()
{
	local dir=$1 s
	shift

	mkdir -p "$dir"
	chmod 755 "$dir"
	[ "$(id -u)" = 0 ] && chown postgres: "$dir"
	pg_as "$(pg_bin)/initdb" -D "$dir/data" -U postgres --auth=trust -E UTF8 --locale=C.UTF-8 --no-sync >"$dir.initdb.log" 2>&1 ||
		{ cat "$dir.initdb.log"; return 1; }
	{
		cat <<-C
		listen_addresses = ''
		unix_socket_directories = '$dir'
		fsync = off
		synchronous_commit = off
		full_page_writes = off
		max_connections = 30
		shared_buffers = 32MB
		C
		for s; do echo "$s"; done
	} | pg_as tee -a "$dir/data/postgresql.conf" >/dev/null
	pg_go "$dir"
}

# One that was stopped, once more.
pg_go()
{
	pg_as "$(pg_bin)/pg_ctl" -D "$1/data" -w -t 60 -l "$1/server.log" start >/dev/null || { cat "$1/server.log"; return 1; }
}

# pg_stop DIR [MODE]
pg_stop()
{
	[ -s "$1/data/postmaster.pid" ] || return 0
	pg_as "$(pg_bin)/pg_ctl" -D "$1/data" -w -t 30 -m "${2:-immediate}" stop >/dev/null 2>&1
}

# sql DATABASE [WORDS...]: one statement by -c, or those on standard input
sql()
{
	local db=$1
	shift
	psql -XqAt -v ON_ERROR_STOP=1 -h "$PG" -U "${PGROLE:-postgres}" -d "$db" "$@"
}
