#!/usr/bin/env python3
"""on_terminal.py COLUMNS COMMAND...: run a command on a terminal of that width, print what it wrote there; exit 1 if a line that
it redraws was ever wider, else with the command's status."""
import fcntl
import os
import pty
import struct
import sys
import termios
import unicodedata

columns = int(sys.argv[1])
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.environ["TERM"] = "xterm"
    os.execv(sys.argv[2], sys.argv[2:])
seen = b""
while True:
    try:
        data = os.read(fd, 65536)
    except OSError:             # EIO: the other side is gone
        break
    if not data:
        break
    seen += data
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
text = seen.decode("utf-8")
drawn = 0
for part in text.replace("\r\n", "\n").split("\r")[1:]:
    line, end, _ = part.partition("\033[K")
    if not end or not line:
        continue
    drawn += 1
    width = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)
    if width >= columns:
        print(f"a line of {width} columns: {line!r}")
        sys.exit(1)
print(text)
if not drawn and "-q" not in sys.argv:
    print("nothing was drawn")
    sys.exit(1)
sys.exit(status)
