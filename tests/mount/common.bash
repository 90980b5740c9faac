# What the mount's tests share. Each file has one repository, and each test mounts where it needs to.

require_fuse()
{
	[ "$(id -u)" = 0 ] || skip "needs root"
	[ -c /dev/fuse ] && : 2>/dev/null < /dev/fuse || skip "no /dev/fuse"
}

begin()
{
	export HERE=$BATS_TEST_DIRNAME
	export VOUCH=${VOUCH:-$HERE/../../build/vouch}
	export W=$BATS_FILE_TMPDIR
	export VOUCH_REPO=$W/repo XDG_STATE_HOME=$W/state XDG_CACHE_HOME=$W/cache
	mkdir -p "$W/src" "$W/mnt"
}

# A little of everything that stat or a read can show.
make_tree()
{
	(
		cd "$W/src" || exit 1
		mkdir -p dir/sub/deeper wide private
		echo 'hello' > hello
		echo 'deep' > dir/sub/deeper/deep
		head -c 300000 /dev/urandom > random-a
		head -c 300000 /dev/urandom > random-b
		head -c 2500000 /dev/urandom > large
		seq 1 200000 > text
		: > empty
		for i in $(seq 1 1500); do echo "$i" > "wide/file-number-$i-with-a-long-name"; done
		echo run > setuid
		chmod 4751 setuid
		chmod 1777 dir
		echo linked > hard-1
		ln hard-1 hard-2
		ln hard-1 dir/hard-3
		ln -s hello link
		mkfifo fifo
		mknod null c 1 3
		chown 1234:4321 hello
		touch -d '1969-07-20 20:17:40.123456789 UTC' hello
		python3 -c '
import os
with open("sparse", "wb") as f:
    f.write(os.urandom(65536)); f.seek(2 << 20); f.write(os.urandom(65536)); f.truncate(4 << 20)
with open("many-holes", "wb") as f:
    for i in range(40):
        f.seek(i << 18); f.write(os.urandom(8192))
'
		setfattr -n user.note -v hi hello
		setfattr -n trusted.note -v secret hello
		setfattr -n user.big -v "$(head -c 1600 /dev/urandom | od -An -tx1 | tr -d ' \n')" hello
		echo readable > acl-yes
		echo unreadable > acl-no
		chmod 640 acl-yes acl-no
		setfacl -m u:65534:r acl-yes
		echo open > acl-mask
		chmod 644 acl-mask
		setfacl -m u:65534:--- acl-mask
		echo hidden > private/file
		chmod 700 private
	)
}

# Until COMMAND succeeds; at most SECONDS.
within()
{
	local end=$(($(date +%s%N) + $1 * 1000000000))

	shift
	until "$@"; do
		[ "$(date +%s%N)" -lt "$end" ] || return 1
		read -rt 0.05 <> <(:) || :
	done
}

mount_it() { "$VOUCH" mount "$@" "$W/mnt"; }

mounted() { mountpoint -q "$W/mnt"; }

not_mounted() { ! mounted; }

unmount()
{
	within 10 fusermount3 -u "$W/mnt"
}

# The process that serves the mount on $W/mnt.
server() { pgrep -f "^$VOUCH mount .*$W/mnt\$"; }

server_gone() { ! server > /dev/null; }

drop() { fusermount3 -uz "$W/mnt" 2>/dev/null || :; }
