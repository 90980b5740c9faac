#!/usr/bin/env python3
"""
writes.py FOLDER FILE: every call that would change something below a mount; each must be refused with EROFS.  An open
for writing alone changes nothing, and where root has made the mount writable the kernel asks nobody for it.
"""
import ctypes
import errno
import os
import sys

folder, path = sys.argv[1:]
new = folder + "/new"
libc = ctypes.CDLL(None, use_errno=True)


def fallocate():
    fd = os.open(path, os.O_RDONLY)
    try:
        if libc.fallocate(fd, 0, 0, 4096):
            e = ctypes.get_errno()
            raise OSError(errno.EROFS if e == errno.EBADF else e, "fallocate")
    finally:
        os.close(fd)


def write(flags):
    fd = os.open(path, flags)
    try:
        os.write(fd, b"x")
    finally:
        os.close(fd)


calls = {
    "open for writing": lambda: write(os.O_WRONLY),
    "open for both": lambda: write(os.O_RDWR),
    "open and truncate": lambda: os.open(path, os.O_RDONLY | os.O_TRUNC),
    "open and append": lambda: write(os.O_WRONLY | os.O_APPEND),
    "create": lambda: os.open(new, os.O_WRONLY | os.O_CREAT, 0o600),
    "mkdir": lambda: os.mkdir(new),
    "rmdir": lambda: os.rmdir(folder + "/dir"),
    "unlink": lambda: os.unlink(path),
    "rename": lambda: os.rename(path, new),
    "link": lambda: os.link(path, new),
    "symlink": lambda: os.symlink("x", new),
    "mkfifo": lambda: os.mkfifo(new),
    "mknod": lambda: os.mknod(new, 0o600),
    "chmod": lambda: os.chmod(path, 0o600),
    "chown": lambda: os.chown(path, 1, 1),
    "utime": lambda: os.utime(path, (1, 1)),
    "truncate": lambda: os.truncate(path, 0),
    "setxattr": lambda: os.setxattr(path, "user.x", b"y"),
    "removexattr": lambda: os.removexattr(path, "user.note"),
    "fallocate": fallocate,
}
wrong = 0
for name, call in calls.items():
    try:
        call()
        print("%s: was not refused" % name)
        wrong += 1
    except OSError as e:
        if e.errno != errno.EROFS:
            print("%s: %s" % (name, e))
            wrong += 1
sys.exit(1 if wrong else 0)
