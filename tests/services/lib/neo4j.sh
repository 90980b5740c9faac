#!/usr/bin/env bash
# Neo4j community for the tests, from its published Maven artifacts, laid out as the real distribution is.
#
#   neo4j.sh dist              make (once) and print the folder of the distribution: $VOUCH_NEO4J, else build/neo4j
#   neo4j.sh home DIR          a home with bin, lib, conf and free loopback ports, auth off; the HTTP port is in DIR/http
#   neo4j.sh start|stop DIR    its server, up when this returns
#   neo4j.sh ask DIR CYPHER    rows as JSON lists, one a line; exit 1 with the server's message
#
# dist ends with 77 where there is neither a copy nor Maven with a network.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=5.26.30
dist=${VOUCH_NEO4J:-$here/../../../build/neo4j}

pom()
{
	cat <<END
<project xmlns="http://maven.apache.org/POM/4.0.0">
 <modelVersion>4.0.0</modelVersion>
 <groupId>vouch</groupId><artifactId>neo4j-tests</artifactId><version>1</version><packaging>pom</packaging>
 <dependencies>
  <dependency><groupId>org.neo4j</groupId><artifactId>neo4j</artifactId><version>$version</version>
   <exclusions><exclusion><groupId>org.neo4j</groupId><artifactId>neo4j-udc</artifactId></exclusion></exclusions></dependency>
  <dependency><groupId>org.neo4j.app</groupId><artifactId>neo4j-server</artifactId><version>$version</version></dependency>
  <dependency><groupId>org.neo4j</groupId><artifactId>cypher-shell</artifactId><version>$version</version></dependency>
 </dependencies>
</project>
END
}

# launcher NAME CLASS: as the distribution's: home is the folder above bin, unless NEO4J_HOME says otherwise.  Its boot loader starts
# a second JVM for each command; with NEO4J_DIRECT set there is only that one, with the same class in it.
launcher()
{
	cat >"$1" <<END
#!/usr/bin/env bash
bin=\$(cd "\$(dirname "\$(readlink -f "\$0")")" && pwd)
export NEO4J_HOME=\${NEO4J_HOME:-\$(cd "\$(dirname "\$0")/.." && pwd)}
export NEO4J_CONF=\${NEO4J_CONF:-\$NEO4J_HOME/conf}
run=("\${JAVA_HOME:+\$JAVA_HOME/bin/}java" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -classpath "\$bin/../lib/*:\$NEO4J_CONF")
if [ -n "\${NEO4J_DIRECT:-}" ]; then
	run+=(-Xmx384m --add-opens=java.base/java.nio=ALL-UNNAMED --add-opens=java.base/java.io=ALL-UNNAMED
		--add-opens=java.base/sun.nio.ch=ALL-UNNAMED -Dlog4j2.disable.jmx=true)
	server=(org.neo4j.server.CommunityEntryPoint --home-dir="\$NEO4J_HOME" --config-dir="\$NEO4J_CONF")
	pid=\$NEO4J_HOME/run/neo4j.pid
	case ${1##*/}.\${1-} in
	neo4j-admin.*) exec "\${run[@]}" org.neo4j.cli.AdminTool "\$@" ;;
	neo4j.console) exec "\${run[@]}" "\${server[@]}" ;;
	neo4j.start) setsid "\${run[@]}" "\${server[@]}" </dev/null >>"\$NEO4J_HOME/logs/neo4j.log" 2>&1 & echo "\$!" >"\$pid"; exit 0 ;;
	neo4j.stop)
		[ -e "\$pid" ] && p=\$(cat "\$pid") && kill "\$p" || exit 0
		while kill -0 "\$p" 2>/dev/null; do sleep 0.1; done
		rm -f "\$pid"
		exit 0
		;;
	esac
fi
exec "\${run[@]}" -Xmx128m -Dbasedir="\$NEO4J_HOME" -Dapp.repo="\$bin/../lib" -Dfile.encoding=UTF-8 $2 "\$@"
END
	chmod 755 "$1"
}

make_dist()
{
	mkdir -p "$dist"
	exec 9>"$dist/.lock"
	flock 9		# the tests run beside each other
	if ! [ -e "$dist/.done" ]; then
		command -v mvn >/dev/null || { echo "no Maven, and no Neo4j in $dist" >&2; exit 77; }
		rm -rf "$dist/lib"
		pom >"$dist/pom.xml"
		timeout 600 mvn -B -ntp -q -f "$dist/pom.xml" dependency:copy-dependencies -DoutputDirectory="$dist/lib" \
			-DincludeScope=runtime >"$dist/mvn.log" 2>&1 || {
			echo "Maven could not fetch Neo4j $version: $(grep -m 1 ERROR "$dist/mvn.log")" >&2
			exit 77
		}
		mkdir -p "$dist/bin"
		launcher "$dist/bin/neo4j" org.neo4j.server.startup.Neo4jCommand
		launcher "$dist/bin/neo4j-admin" org.neo4j.server.startup.Neo4jAdminCommand
		: >"$dist/.done"
	fi
	(cd "$dist" && pwd)
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

make_home()	# make_home DIR
{
	local from http bolt
	from=$(make_dist)
	http=$(free_port)
	bolt=$(free_port)
	mkdir -p "$1"/{bin,conf,data,logs,plugins,import,run,licenses}
	cp "$from"/bin/* "$1/bin/"
	ln -sfn "$from/lib" "$1/lib"
	echo "$http" >"$1/http"
	cat >"$1/conf/neo4j.conf" <<END
server.default_listen_address=127.0.0.1
server.bolt.listen_address=127.0.0.1:$bolt
server.http.listen_address=127.0.0.1:$http
server.https.enabled=false
dbms.security.auth_enabled=${NEO4J_AUTH:-false}
server.memory.heap.initial_size=128m
server.memory.heap.max_size=384m
server.memory.pagecache.size=32m
server.jvm.additional=--add-opens=java.base/java.nio=ALL-UNNAMED
server.jvm.additional=--add-opens=java.base/java.io=ALL-UNNAMED
server.jvm.additional=--add-opens=java.base/sun.nio.ch=ALL-UNNAMED
server.jvm.additional=-XX:+UseSerialGC
server.jvm.additional=-XX:TieredStopAtLevel=1
server.jvm.additional=-Dlog4j2.disable.jmx=true
# Otherwise a stop takes ten seconds more
internal.dbms.bolt.netty_server_shutdown_quiet_period=0
internal.dbms.bolt.netty_server_shutdown_timeout=2
END
}

start()
{
	"$1/bin/neo4j" start >"$1/logs/start.out" 2>&1 || { cat "$1/logs/start.out" >&2; return 1; }
	for _ in $(seq 600); do
		curl -sf -o /dev/null "http://127.0.0.1:$(cat "$1/http")/" && return 0
		sleep 0.1
	done
	echo "Neo4j in $1 does not answer" >&2
	return 1
}

ask()
{
	python3 - "$(cat "$1/http")" "$2" "${NEO4J_USER:-}" "${NEO4J_PASSWORD:-}" <<'END'
import base64, json, sys, urllib.request
port, cypher, user, password = sys.argv[1:]
headers = {"Content-Type": "application/json"}
if user:
	headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
r = urllib.request.Request(f"http://127.0.0.1:{port}/db/neo4j/tx/commit", headers=headers,
	data=json.dumps({"statements": [{"statement": cypher}]}).encode())
a = json.load(urllib.request.urlopen(r))
if a["errors"]:
	sys.exit(a["errors"][0]["message"])
for row in a["results"][0]["data"]:
	print(json.dumps(row["row"]))
END
}

case ${1-} in
dist) make_dist ;;
home) make_home "$2" ;;
start) start "$2" ;;
stop) "$2/bin/neo4j" stop >"$2/logs/stop.out" 2>&1 || { cat "$2/logs/stop.out" >&2; exit 1; } ;;
ask) ask "$2" "$3" ;;
*) echo "usage: neo4j.sh dist | home DIR | start DIR | stop DIR | ask DIR CYPHER" >&2; exit 2 ;;
esac
