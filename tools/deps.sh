#!/bin/sh
# Install what is missing on Debian 12: `sh tools/deps.sh build` to compile and run vouch, `test` for its tests too.
# Needs root or sudo only where something is missing. Says what it does; asks nothing.
set -eu

build="gcc libc6-dev make pkg-config libfuse3-dev fuse3 libssl-dev libzstd-dev libsqlite3-dev libxxhash-dev libjansson-dev libisal-dev libinih-dev libcurl4-openssl-dev"
tools="zstd coreutils findutils procps"
tests="libcmocka-dev bats mandoc clang libclang-rt-14-dev python3 rsync attr acl exfatprogs exfat-fuse libcap2-bin sqlite3 jq e2fsprogs util-linux git xz-utils valgrind openssl \
	postgresql mariadb-server maven default-jdk-headless curl docker.io"

case ${1-} in
build) want="$build $tools" ;;
test) want="$build $tools $tests" ;;
*) echo "usage: deps.sh build|test" >&2; exit 2 ;;
esac

missing=
for p in $want; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
	sudo=sudo
	command -v sudo >/dev/null || {
		echo "missing packages:$missing: install them as root, then run this again" >&2
		exit 1
	}
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# The tests start servers of their own; the packages' are not to run beside them.
policy=/usr/sbin/policy-rc.d
if [ "$1" = test ] && [ ! -e $policy ]; then
	trap '$sudo rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
	$sudo chmod 755 $policy
fi
# shellcheck disable=SC2086  # the list is meant to be split
if ! { $sudo apt-get update && $sudo apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	echo "apt-get failed: see above; the whole of it is in $log" >&2
	exit 1
fi
rm -f "$log"
