#!/usr/bin/env python3
"""Compare two trees in everything a file is; print each difference, exit 1 if there is one.

    treecmp.py [--no-flags] [--no-owner] [--no-special] [--no-holes] A B

Names, types, modes, owners, modification times in nanoseconds, link targets, hard-link groups, device numbers,
extended attributes (ACLs and capabilities are among them), holes, inode flags, bytes.
"""
import array
import fcntl
import hashlib
import os
import stat
import sys

FS_IOC_GETFLAGS = 0x80086601
KEPT_FLAGS = 0x10 | 0x20 | 0x40         # immutable, append-only, nodump


def holes(fd, size):
    """Where data and holes change over, as the file system tells."""
    marks, at = [], 0
    while at < size:
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            marks.append(("hole", at, size))
            break
        if data > at:
            marks.append(("hole", at, data))
        at = os.lseek(fd, data, os.SEEK_HOLE)
    return marks


def look(path, skip):
    st = os.lstat(path)
    seen = {"type": stat.S_IFMT(st.st_mode), "mtime": st.st_mtime_ns}
    if not stat.S_ISLNK(st.st_mode):
        seen["mode"] = stat.S_IMODE(st.st_mode)
    if "special" in skip and stat.S_ISREG(st.st_mode):
        seen["mode"] &= 0o1777
    if "owner" not in skip:
        seen["owner"] = (st.st_uid, st.st_gid)
    if stat.S_ISLNK(st.st_mode):
        seen["target"] = os.readlink(path)
    if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        seen["rdev"] = st.st_rdev
    xattrs = {}
    for name in os.listxattr(path, follow_symlinks=False):
        if "special" in skip and name.startswith(("security.", "trusted.")):
            continue
        xattrs[name] = os.getxattr(path, name, follow_symlinks=False)
    seen["xattrs"] = xattrs
    if stat.S_ISREG(st.st_mode):
        seen["size"] = st.st_size
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        if st.st_size <= 1 << 30:
            sha = hashlib.sha256()
            with open(fd, "rb", closefd=False) as f:
                while piece := f.read(1 << 20):
                    sha.update(piece)
            seen["sha256"] = sha.hexdigest()
        if "holes" not in skip:
            seen["holes"] = holes(fd, st.st_size)
        if "flags" not in skip:
            flags = array.array("L", [0])
            try:
                fcntl.ioctl(fd, FS_IOC_GETFLAGS, flags)
                seen["flags"] = flags[0] & KEPT_FLAGS
            except OSError:
                seen["flags"] = 0
        os.close(fd)
    return seen, (st.st_dev, st.st_ino) if st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode) else None


def scan(top, skip):
    found, groups = {}, {}
    for folder, dirs, files in os.walk(top):
        for name in [None] + dirs + files if folder == top else dirs + files:
            path = os.path.join(folder, name) if name is not None else top
            rel = os.path.relpath(path, top)
            if "special" in skip and stat.S_IFMT(os.lstat(path).st_mode) in (stat.S_IFCHR, stat.S_IFBLK):
                continue
            found[rel], inode = look(path, skip)
            if inode:
                groups.setdefault(inode, set()).add(rel)
    for names in groups.values():
        if len(names) == 1:         # its other names lie outside the tree: no copy can have them
            continue
        for rel in names:
            found[rel]["links"] = sorted(names)
    return found


def main(argv):
    skip = {a[5:] for a in argv if a.startswith("--no-")}
    a, b = (os.fsencode(x) for x in argv if not x.startswith("--no-"))
    one, two = scan(os.fsdecode(a), skip), scan(os.fsdecode(b), skip)
    bad = 0
    for rel in sorted(set(one) | set(two)):
        if rel not in two or rel not in one:
            print("only in %s: %r" % ("A" if rel in one else "B", rel))
            bad = 1
            continue
        for key in sorted(set(one[rel]) | set(two[rel])):
            if one[rel].get(key) != two[rel].get(key):
                print("%r: %s: %r, %r" % (rel, key, one[rel].get(key), two[rel].get(key)))
                bad = 1
    print("%d entries compared" % len(one), file=sys.stderr)
    return bad


sys.exit(main(sys.argv[1:]))
