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

# pg_start [SETTING...]: in a folder PG that all may enter, which bats' own are not; the superuser is postgres, without a password.
pg_start()
{
	local s

	PG=$(mktemp -d "${TMPDIR:-/tmp}/vouch-pg.XXXXXX")
	export PG
	chmod 755 "$PG"
	[ "$(id -u)" != 0 ] || chown postgres: "$PG"
	pg_as "$(pg_bin)/initdb" -D "$PG/data" -U postgres --auth=trust -E UTF8 --locale=C.UTF-8 --no-sync >"$PG/initdb.log" 2>&1 ||
		{ cat "$PG/initdb.log"; return 1; }
	{
		cat <<-C
		listen_addresses = ''
		unix_socket_directories = '$PG'
		fsync = off
		synchronous_commit = off
		full_page_writes = off
		max_connections = 30
		shared_buffers = 32MB
		C
		for s; do echo "$s"; done
	} | pg_as tee -a "$PG/data/postgresql.conf" >/dev/null
	pg_go
}

# One that was stopped, once more.
pg_go()
{
	pg_as "$(pg_bin)/pg_ctl" -D "$PG/data" -w -t 60 -l "$PG/server.log" start >/dev/null 3>&- || { cat "$PG/server.log"; return 1; }
}

# pg_halt [MODE]
pg_halt()
{
	[ ! -s "$PG/data/postmaster.pid" ] ||
		pg_as "$(pg_bin)/pg_ctl" -D "$PG/data" -w -t 30 -m "${1:-immediate}" stop >/dev/null 2>&1
}

# And nothing is left of it.
pg_stop()
{
	pg_halt
	rm -rf "$PG"
}

# sql DATABASE [WORDS...]: one statement by -c, or those on standard input
sql()
{
	local db=$1
	shift
	psql -XqAt -v ON_ERROR_STOP=1 -h "$PG" -U "${PGROLE:-postgres}" -d "$db" "$@"
}

# What each test of the commands has: a repository, a configuration, a database of its own on the file's server (PG).
pg_setup()
{
	W=$BATS_TEST_TMPDIR
	V=${VOUCH:-$BATS_TEST_DIRNAME/../../build/vouch}
	case $V in /*) ;; *) V=$PWD/$V ;; esac
	export XDG_STATE_HOME=$W/state XDG_CACHE_HOME=$W/cache XDG_RUNTIME_DIR=$W/run LC_ALL=C.UTF-8
	chmod 755 "$W"
	mkdir -p "$W/run"
	DB=db$BATS_TEST_NUMBER
	BIN=$(pg_bin)
	sql postgres -c "CREATE DATABASE $DB"
	"$V" init "$W/repo" >/dev/null
	pg_conf
}

# A section more of keys: pg_conf [LINE...]; USER of the dsn in PGROLE
pg_conf()
{
	{
		printf '[repository]\npath = %s\n' "$W/repo"
		printf '[component crm]\ntype = postgres\nwait = 1s\n'
		printf 'dsn = host=%s dbname=%s user=%s\n' "$PG" "$DB" "${PGROLE:-postgres}"
		printf '%s\n' "$@"
	} >"$W/v.conf"
}

vouch()
{
	local cmd=$1
	shift
	case $cmd in
	run | recover | rollback | validate | check) "$V" "$cmd" --config "$W/v.conf" "$@" ;;
	*) "$V" "$cmd" --repo "$W/repo" "$@" ;;
	esac
}

# A file of the newest snapshot's dump
saved() { vouch cat "latest:postgres/crm/$1"; }

# What is recorded of one item: fact KIND NAME
fact() { saved facts.json | jq -c --arg k "$1" --arg n "$2" '.items[] | select(.kind == $k and .name == $n)'; }

# tool NAME SCRIPT: the folder $W/bin (bin = ...) has all tools; NAME is a script, the real one "$REAL", which tells its version
tool()
{
	local t

	mkdir -p "$W/bin"
	for t in psql pg_dump pg_dumpall pg_restore; do
		[ -e "$W/bin/$t" ] || ln -s "$BIN/$t" "$W/bin/$t"
	done
	rm "$W/bin/$1"
	printf '#!/bin/bash\nREAL=%s/%s W=%s DB=%s PG=%s\n[ "$1" != --version ] || %s\n%s\n' "$BIN" "$1" "$W" "$DB" "$PG" \
		"${TOLD:-exec \"\$REAL\" --version}" "$2" >"$W/bin/$1"
	chmod 755 "$W/bin/$1"
}

# A database as PostgreSQL's own tools tell it: definitions, and a sum of each table's rows: what must be equal again
fingerprint()
{
	local t

	# PostgreSQL itself writes varchar's CHECK in another way once it was restored
	"$BIN/pg_dump" -h "$PG" -U postgres -s -N vouch_before "$1" | grep -vE '^(\\(un)?restrict|-- Dumped)|customer_kind_check'
	sql "$1" -c "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
		WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'vouch_before') ORDER BY 1" |
		while read -r t; do
			printf '%s ' "$t"
			sql "$1" -c "SELECT count(*), md5(string_agg(x::text, '|' ORDER BY x::text)) FROM ONLY $t x" </dev/null
		done
}

# Tables of many kinds: keys, sequences, a partitioned one, odd names, large objects, and all that a dump must not lose
sample()
{
	sql postgres -c "DO \$\$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') THEN CREATE ROLE app LOGIN; END IF; END \$\$"
	sql "$1" <<-'S'
	CREATE SCHEMA shop;
	CREATE TYPE shop.status AS ENUM ('new', 'paid', 'void');
	CREATE DOMAIN shop.word AS text CHECK (VALUE <> '');
	CREATE TABLE shop.customer(id bigserial PRIMARY KEY, email text UNIQUE NOT NULL, kind varchar(8) CHECK (kind IN ('a', 'b')),
		at timestamptz NOT NULL DEFAULT now(), twice bigint GENERATED ALWAYS AS (id * 2) STORED);
	CREATE TABLE shop.orders(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		customer bigint NOT NULL REFERENCES shop.customer ON DELETE CASCADE, st shop.status DEFAULT 'new',
		parent bigint REFERENCES shop.orders);
	CREATE TABLE shop.line(orders bigint REFERENCES shop.orders ON DELETE CASCADE, no int, note text, PRIMARY KEY (orders, no));
	CREATE INDEX orders_customer ON shop.orders(customer) WHERE st <> 'void';
	CREATE VIEW shop.open AS SELECT * FROM shop.orders WHERE st IN ('new', 'paid');
	CREATE MATERIALIZED VIEW shop.totals AS SELECT customer, count(*) FROM shop.orders GROUP BY 1;
	CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
	-- COPY shop.line (a) FROM stdin;
	RETURN NEW; END$$;
	CREATE TRIGGER touch BEFORE UPDATE ON shop.orders FOR EACH ROW WHEN (NEW.st = 'paid') EXECUTE FUNCTION shop.touch();
	CREATE TABLE "Odd ""name""; --"("a b" int, "order" text);
	CREATE TABLE nothing();
	CREATE TABLE none(id int);
	CREATE TABLE ev(id int, day date) PARTITION BY RANGE (day);
	CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
	CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
	INSERT INTO shop.customer(email, kind) SELECT 'u' || i, CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 300) i;
	INSERT INTO shop.orders(customer, parent) SELECT i % 300 + 1, CASE WHEN i % 9 = 0 THEN i - 1 END FROM generate_series(1, 900) i;
	INSERT INTO shop.line SELECT i, 1, E'tab\t, newline\n, back\\slash and \\.' FROM generate_series(1, 900) i;
	INSERT INTO "Odd ""name""; --" VALUES (1, NULL), (1, NULL), (2, '\N');
	INSERT INTO nothing DEFAULT VALUES;
	INSERT INTO ev SELECT i, '2026-01-01'::date + i FROM generate_series(0, 300) i;
	REFRESH MATERIALIZED VIEW shop.totals;
	SELECT lo_from_bytea(0, 'large object'::bytea || decode(repeat('ab', 50000), 'hex'));
	GRANT SELECT ON shop.orders TO app;
	COMMENT ON TABLE shop.orders IS 'what was ordered';
	S
}
