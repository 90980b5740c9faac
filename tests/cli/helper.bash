# What the tests of the commands share.  Each test has a folder, a repository, and places for state of its own.

bats_require_minimum_version 1.5.0
TOP=$BATS_TEST_DIRNAME/../..

setup()
{
	W=$BATS_TEST_TMPDIR
	V=${VOUCH:-$TOP/build/vouch}
	case $V in /*) ;; *) V=$PWD/$V ;; esac
	export XDG_STATE_HOME=$W/state XDG_CACHE_HOME=$W/cache LC_ALL=C.UTF-8
	unset NO_COLOR
	export VOUCH_REPO=$W/repo
	mkdir "$W/src"
	chmod 755 "$W"
}

teardown()
{
	local m

	# The mounts of this test, the inner ones first.
	for m in $(awk -v w="$W/" 'index($5, w) == 1 { print $5 }' /proc/self/mountinfo | sort -r); do
		fusermount3 -uz "$m" 2>/dev/null || umount -l "$m"
	done
}

vouch()
{
	"$V" "$@"
}

# A small tree: text, a large file, an empty one, folders, links.
tree()
{
	mkdir -p "$1/etc/ssh" "$1/share/doc"
	echo '127.0.0.1 localhost' >"$1/etc/hosts"
	echo 'Port 22' >"$1/etc/ssh/sshd_config"
	head -c 700000 /dev/urandom >"$1/share/random.bin"
	seq 1 40000 >"$1/share/doc/numbers.txt"
	: >"$1/share/empty"
	ln -s hosts "$1/etc/link"
	ln "$1/etc/hosts" "$1/etc/hosts2"
}

# A repository with one snapshot of the tree in $W/src.
made()
{
	tree "$W/src"
	vouch init "$VOUCH_REPO" >/dev/null
	vouch backup -q -C "$W/src" .
}

root_only()
{
	[ "$(id -u)" = 0 ] || skip "needs root"
}

fuse_only()
{
	[ -w /dev/fuse ] || skip "no /dev/fuse"
}

# Change one byte in the middle of the largest pack: content, not a tree.
damage_data()
{
	local pack size

	pack=$(find "$1/packs" -name '*.pack' -printf '%s %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
	size=$(stat -c %s "$pack")
	chmod u+w "$pack"
	printf '\377\0\377\0' | dd of="$pack" bs=1 seek=$((size / 2)) conv=notrunc status=none
	rm -f "${pack%.pack}.par"	# or reading would heal it
}
