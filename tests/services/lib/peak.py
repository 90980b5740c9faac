#!/usr/bin/env python3
"""peak.py FILE COMMAND...: run it; FILE gets the most memory (MiB resident) that it alone, without its children, ever had."""
import subprocess
import sys
import time

with subprocess.Popen(sys.argv[2:]) as child:
    peak = 0
    while child.poll() is None:
        try:
            with open(f"/proc/{child.pid}/status", encoding="ascii") as status:
                for line in status:
                    if line.startswith("VmHWM"):
                        peak = max(peak, int(line.split()[1]))
        except OSError:
            pass
        time.sleep(0.02)
with open(sys.argv[1], "w", encoding="ascii") as out:
    out.write(f"{peak // 1024}\n")
sys.exit(child.returncode)
