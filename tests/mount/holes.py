#!/usr/bin/env python3
"""holes.py FILE: its data and holes as lseek tells them, one line: "data 0-4096 hole 4096-65536"."""
import errno
import os
import sys

fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
at, out = 0, []
while at < size:
    try:
        data = os.lseek(fd, at, os.SEEK_DATA)
    except OSError as e:
        if e.errno != errno.ENXIO:
            raise
        data = size
    if data > at:
        out.append("hole %d-%d" % (at, data))
    if data == size:
        break
    at = os.lseek(fd, data, os.SEEK_HOLE)
    out.append("data %d-%d" % (data, at))
for whence in (os.SEEK_DATA, os.SEEK_HOLE):
    try:
        os.lseek(fd, size, whence)
        out.append("no ENXIO at the end")
    except OSError as e:
        if e.errno != errno.ENXIO:
            out.append(str(e))
print(" ".join(out))
