#!/usr/bin/env python3
"""argv_watch.py SECRET FILE: until it is told to end (SIGTERM), each process's arguments that hold SECRET go to FILE; "ready" first."""
import os
import signal
import sys

secret, out = sys.argv[1].encode()[::-1], sys.argv[2]       # given backwards, or it would find itself
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
with open(out, "wb", buffering=0) as found:
    found.write(b"ready\n")
    while not ended:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read()
            except OSError:
                continue
            if secret in words:
                found.write(words.replace(b"\0", b" ") + b"\n")
