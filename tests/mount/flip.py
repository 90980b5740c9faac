#!/usr/bin/env python3
"""flip.py [--keep-parity] REPO FILE: find FILE's first bytes (random ones, so stored as they are) in a pack, and flip
a bit of them; its parity goes, so that nothing can heal it."""
import glob
import os
import sys

keep = sys.argv[1] == "--keep-parity"
repo, path = sys.argv[1 + keep:]
with open(path, "rb") as f:
    sought = f.read(64)
for pack in glob.glob(repo + "/packs/*/*.pack"):
    with open(pack, "rb") as f:
        body = f.read()
    at = body.find(sought)
    if at < 0:
        continue
    os.chmod(pack, 0o600)
    with open(pack, "r+b") as f:
        f.seek(at + 17)
        f.write(bytes([body[at + 17] ^ 4]))
    if not keep and os.path.exists(pack[:-4] + "par"):
        os.unlink(pack[:-4] + "par")
    print(pack)
    sys.exit(0)
sys.exit("%s: in no pack" % path)
