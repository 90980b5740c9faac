# Drives for tests: a file system in a file, on a loop device, on $D. exFAT is served by a process (exfat-fuse), so that
# it can be pulled out; so can an ext4 whose file lies on an exFAT.

need()
{
	[ "$(id -u)" = 0 ] || skip "needs root"
	for c in "$@"; do command -v "$c" >/dev/null || skip "no $c"; done
	losetup -f >/dev/null 2>&1 || skip "no loop devices"
}

# new_disk exfat|ext4 SIZE: empty, plugged in on $D.
new_disk()
{
	KIND=$1 D=$W/disk IMG=$W/img
	need "mkfs.$1" losetup
	[ "$1" != exfat ] || need mount.exfat-fuse
	mkdir -p "$D"
	truncate -s "$2" "$IMG"
	case $1 in
	exfat) mkfs.exfat "$IMG" >/dev/null ;;
	ext4) mkfs.ext4 -q -m 0 "$IMG" ;;
	esac
	export VOUCH_REPO=$D/repo
	plug "${3-}"
}

# plug [OPTIONS]
plug()
{
	DEV=$(losetup --show -f "$IMG") || skip "no loop device"
	blockdev --setrw "$DEV"
	remount "${1-}"
}

remount()
{
	case $KIND in
	exfat) mount.exfat-fuse ${1:+-o "$1"} "$DEV" "$D" 3>&- >"$W/exfat.log" 2>&1 || { cat "$W/exfat.log"; false; } ;;
	ext4) mount ${1:+-o "$1"} "$DEV" "$D" ;;
	esac
}

# What reads it may need a moment to let go after its own end was seen.
leave()
{
	for _ in $(seq 100); do
		umount "$D" 2>/dev/null && break
		sleep 0.05
	done
	run ! mountpoint -q "$D"
}

unplug()
{
	leave
	losetup -d "$DEV"
}

# The drive is torn out: whoever uses it is left with errors, and its mount point is bare.
pull()
{
	kill -9 "$(pgrep -f "^mount.exfat-fuse .*$DEV $D\$")"
	umount -l "$D"
	losetup -d "$DEV"
}

teardown() { clear_up; }

clear_up()
{
	local m

	jobs -p | xargs -r kill -9 2>/dev/null || true
	for m in $(awk -v w="$W/" 'index($5, w) == 1 { print $5 }' /proc/self/mountinfo | sort -r); do
		umount -l "$m" 2>/dev/null || fusermount3 -uz "$m"
	done
	for m in $(losetup -ln -O NAME,BACK-FILE | awk -v w="$W/" 'index($2, w) == 1 { print $1 }'); do
		losetup -d "$m" 2>/dev/null || true
	done
}

# fill MIB NAME: that many files of a mebibyte that nothing compresses.
noise()
{
	mkdir -p "$2"
	for i in $(seq "$1"); do head -c 1048576 /dev/urandom >"$2/$i"; done
}

one_line()
{
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == vouch\ * ]]
}

# All that is listed can be read wholly.
whole()
{
	run -0 vouch verify -q --files
}

# Until COMMAND succeeds; at most SECONDS.
within()
{
	local end=$((SECONDS + $1))

	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}
