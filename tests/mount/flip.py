#!/usr/bin/env python3
"""flip.py REPO FILE: find FILE's first bytes (random ones, so stored as they are) in a pack, and flip a bit of them."""
import glob
import sys

repo, path = sys.argv[1:]
with open(path, "rb") as f:
    sought = f.read(64)
for pack in glob.glob(repo + "/packs/*/*.pack"):
    with open(pack, "rb") as f:
        body = f.read()
    at = body.find(sought)
    if at < 0:
        continue
    import os
    os.chmod(pack, 0o600)
    with open(pack, "r+b") as f:
        f.seek(at + 17)
        f.write(bytes([body[at + 17] ^ 4]))
    print(pack)
    sys.exit(0)
sys.exit("%s: in no pack" % path)
