#!/bin/sh
# bare.sh [demo|tests]...: the README's two commands on a bare Debian 12, where nothing is installed: a fresh
# debootstrap --variant=minbase in a temporary folder, /dev, /proc and /sys bound in, the committed tree cloned into it.
# Root only. Default: demo, then tests. BASE=DIR: copy that bootstrapped folder instead of making one.
# PARTS="lint unit ...": only these parts of the tests.
set -eu
[ "$(id -u)" = 0 ] || { echo "needs root" >&2; exit 77; }
command -v debootstrap >/dev/null || { echo "needs debootstrap" >&2; exit 77; }
top=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/vouch-bare.XXXXXX")
root=$work/root
cleanup()
{
	for m in /sys /proc /dev ""; do umount "$root$m" 2>/dev/null || umount -l "$root$m" 2>/dev/null || true; done
	if grep -qF " $root" /proc/self/mountinfo; then
		echo "something is still mounted below $root: it is left there" >&2
	else
		rm -rf --one-file-system "$work"
	fi
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

if [ -n "${BASE-}" ]; then cp -a "$BASE" "$root"; else debootstrap --variant=minbase bookworm "$root" >"$work/log"; fi
mount --bind "$root" "$root"	# unshare(1) wants its root to be a mount
mount --make-private "$root"
for m in dev proc sys; do mount --bind "/$m" "$root/$m"; done
cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
git clone -q "$top" "$root/root/vouch"

for what in ${*:-demo tests}; do
	case $what in
	demo) script=tools/demo.sh ;;
	tests) script="tests/run.sh ${PARTS-}" ;;
	*) echo "no such part: $what" >&2; exit 2 ;;
	esac
	printf '\n=== sh %s, in a bare chroot\n' "$script"
	chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb sh -c "cd /root/vouch && sh $script" </dev/null
done
