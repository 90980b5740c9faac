#!/usr/bin/env bats
# psql and mariadb, kept running and asked: with real servers, of which nothing but a socket in a private folder is open.

setup()
{
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	unit=$(dirname "$VOUCH")/tests/unit/test_talk_servers
	work=$(mktemp -d "${TMPDIR:-/tmp}/vouch-talk.XXXXXX")
	chmod 755 "$work"
}

teardown()
{
	[ ! -s "$work/data/postmaster.pid" ] || postgres pg_ctl -D "$work/data" -m immediate stop >/dev/null
	sh tests/services/lib/maria.sh stop "$work"
	rm -rf "$work"
}

# The server's programs, as the user they insist on
postgres()
{
	local program
	program=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)/$1
	shift
	if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$program" "$@"; else "$program" "$@"; fi
}

@test "psql is asked" {
	[ "$(id -u)" != 0 ] || chown postgres: "$work"
	postgres initdb -D "$work/data" -U postgres --auth=trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
	postgres pg_ctl -D "$work/data" -w -l "$work/log" start >/dev/null 3>&- \
		-o "-c listen_addresses='' -c unix_socket_directories='$work' -c fsync=off"
	TALK_POSTGRES="$work" run "$unit"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(grep -c 'OK.*psql' <<<"$output")" -eq 7 ]
}

@test "mariadb is asked" {
	sh tests/services/lib/maria.sh start "$work"
	TALK_MYSQL="$work/s" run "$unit"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(grep -c 'OK.*mysql' <<<"$output")" -eq 8 ]
}
