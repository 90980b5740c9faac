#!/bin/sh
# kinds.sh DIR: a tree with every kind of file that a file system here can hold. Root makes all; others what they may.
set -eu
mkdir -p "$1"
cd "$1"
root=$([ "$(id -u)" = 0 ] && echo yes || echo no)

mkdir -p dir/empty 'with space' deep
: > empty
printf 'tiny' > tiny
printf 'x%.0s' $(seq 64) > sixty-four
printf 'x%.0s' $(seq 65) > sixty-five
head -c 5000 /dev/urandom > small
head -c 65536 /dev/urandom > one-minimum-chunk
head -c 3000001 /dev/urandom > random-3m
seq 1 400000 > text-2m
head -c 1048576 /dev/zero > zeros-not-holes
python3 - <<'PY'
import os
names = [b"newline\nin name", b"tab\tand\x1b[31mescape", b"back\\slash", b"latin1-\xe9\xff", b"utf8-\xc3\xa9",
         b"-dash", b"..x", b".hidden", b"x" * 255, b"quote'\"`$", b"cr\rname", b"trailing ", b"*?["]
for n in names:
    with open(n, "wb") as f:
        f.write(n)
d = b"deep"
for i in range(60):
    d += b"/d%d" % i
    os.mkdir(d)
open(d + b"/bottom", "w").close()
os.symlink(b"to \xff\nnowhere", b"link-odd")
# holes: at the start, in the middle, at the end; only a hole; a terabyte
def sparse(name, size, *data):
    with open(name, "wb") as f:
        for off, length in data:
            f.seek(off)
            f.write(os.urandom(length))
        f.truncate(size)
sparse("hole-start", 1 << 20, (1 << 19, 1 << 19))
sparse("hole-middle", 3 << 20, (0, 65536), (2 << 20, 1 << 20))
sparse("hole-end", 5 << 20, (0, 4096))
sparse("hole-only", 10 << 20)
sparse("hole-many", 8 << 20, *((i << 18, 8192) for i in range(0, 32, 2)))
sparse("hole-1t", 1 << 40, (1 << 39, 4096))
PY
ln -s tiny link
ln -s nowhere/at/all link-broken
ln -s / link-root
ln -s . link-dot
mkfifo fifo
echo linked > hard-1
ln hard-1 hard-2
ln hard-1 dir/hard-3
ln -s x sym-hard-1
ln sym-hard-1 sym-hard-2
chmod 4755 sixty-four
chmod 2755 dir
chmod 1777 'with space'
chmod 000 sixty-five
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
setfattr -n user.note -v hello tiny
setfattr -n user.empty tiny
setfattr -n user.big -v "$(head -c 2500 /dev/urandom | od -An -tx1 | tr -d ' \n' | head -c 3000)" small
setfattr -n user.dir -v d dir
setfacl -m u:65534:r,g:7:rw small
setfacl -m d:u:65534:rx,u:65534:rx dir/empty
if [ $root = yes ]; then
	chown 1234:4321 tiny
	chown -h 77:88 link
	mknod null c 1 3
	mknod loop b 7 200
	printf '#!/bin/sh\n' > capable
	chmod 755 capable
	setcap cap_net_raw+ep capable
	setfattr -n trusted.note -v secret tiny
	echo fixed > immutable
	echo grows > append-only
fi
touch -d '1969-07-20 20:17:40.123456789 UTC' small
touch -d '2040-02-29 12:00:00.987654321 UTC' random-3m
touch -h -d '2001-02-03 04:05:06.5 UTC' link
touch -d '2010-01-01 00:00:00.000000001 UTC' dir/empty
if [ $root = yes ]; then
	chattr +i immutable 2>/dev/null || true
	chattr +a append-only 2>/dev/null || true
fi
