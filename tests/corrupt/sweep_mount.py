#!/usr/bin/env python3
"""sweep_mount.py VOUCH NR [SEED]: flip NR random bits of a small repository, one at a time, and read all of it through a
real mount each time.  The same bytes come back, or an error; never other bytes, a missing name, a crash or a hang.
Prints the seed; give it back to repeat a run.  Exit 77 where there is no /dev/fuse."""
import errno
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time


def run(*argv, **kw):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, **kw)


def read_all(top):
    """Path -> digest, or the errno that reading it gave; names and errors of folders too."""
    seen = {}

    def failed(e):
        seen[os.path.relpath(e.filename, top)] = e.errno

    for folder, dirs, files in os.walk(top, onerror=failed):
        for name in sorted(dirs + files):
            path = os.path.join(folder, name)
            rel = os.path.relpath(path, top)
            try:
                if os.path.islink(path):
                    seen[rel] = os.readlink(path)
                elif os.path.isdir(path):
                    seen.setdefault(rel, "dir")
                else:
                    with open(path, "rb") as f:
                        seen[rel] = hashlib.sha256(f.read()).hexdigest()
            except OSError as e:
                seen[rel] = e.errno
    return seen


def mount(vouch, repo, point):
    return run(vouch, "--repo", repo, "mount", "-o", "heal=" + os.environ.get("SWEEP_HEAL", "off"), point)


def unmount(point):
    for _ in range(50):
        if run("fusermount3", "-u", point).returncode == 0:
            return
        time.sleep(0.05)
    run("umount", "-l", point)
    raise SystemExit("the mount would not end")


def main(vouch, nr, seed):
    if not os.path.exists("/dev/fuse"):
        print("no /dev/fuse")
        return 77
    rng = random.Random(seed)
    print("seed %d" % seed)
    work = tempfile.mkdtemp(prefix="vouch-sweep-")
    os.environ.update(XDG_STATE_HOME=work + "/state", XDG_CACHE_HOME=work + "/cache")
    repo, src, point = work + "/repo", work + "/src", work + "/mnt"
    for d in (src + "/sub/deeper", point):
        os.makedirs(d)
    for i in range(40):
        with open("%s/%s/f%02d" % (src, ("", "sub", "sub/deeper")[i % 3], i), "wb") as f:
            f.write(rng.randbytes(rng.choice((0, 10, 300, 5000, 70000))))
    os.symlink("f00", src + "/link")
    for argv in ((vouch, "init", repo), (vouch, "--repo", repo, "backup", "-C", src, ".")):
        done = run(*argv)
        if done.returncode:
            raise SystemExit(done.stdout.decode())
    files = sorted(os.path.join(d, f) for d, _, fs in os.walk(repo) for f in fs)
    whole = {f: open(f, "rb").read() for f in files}
    tally = {"same": 0, "reported": 0, "refused": 0}
    try:
        mount(vouch, repo, point)
        names = sorted(n for n in os.listdir(point) if n != "latest")
        want = read_all(os.path.join(point, names[0]))
        unmount(point)
        for i in range(nr):
            f = rng.choice([x for x in files if whole[x]])
            bit = rng.randrange(len(whole[f]) * 8)
            bad = bytearray(whole[f])
            bad[bit >> 3] ^= 1 << (bit & 7)
            open(f, "wb").write(bad)
            where = "bit %d of %s" % (bit, os.path.relpath(f, repo))
            done = mount(vouch, repo, point)
            if done.returncode != 0:
                # Refusing is right only where what is flipped names the repository itself, twice over.
                if not done.stdout.strip():
                    raise SystemExit("%s: refused without a word" % where)
                tally["refused"] += 1
                if os.path.basename(f) not in ("vouch.json",):
                    raise SystemExit("%s: mount refused: %s" % (where, done.stdout.decode()))
            else:
                there = [n for n in os.listdir(point) if n != "latest"]
                got = read_all(os.path.join(point, names[0])) if names[0] in there else None
                alive = os.path.ismount(point)
                unmount(point)
                if not alive:
                    raise SystemExit("%s: the mount died" % where)
                if got == want:
                    tally["same"] += 1
                else:
                    # What differs must be an error, and nothing else may be missing but what lies below one.
                    if got is None:
                        raise SystemExit("%s: the snapshot is gone although it has a copy" % where)
                    broken = [p for p, v in got.items() if isinstance(v, int)]
                    for p, v in want.items():
                        if got.get(p) == v or got.get(p) == errno.EIO:
                            continue
                        if any(p == b or p.startswith(b + "/") or b == "." for b in broken):
                            continue
                        raise SystemExit("%s: %s: %r instead of %r" % (where, p, got.get(p), v))
                    if set(got) - set(want) - {"."}:
                        raise SystemExit("%s: names that were not there: %r" % (where, set(got) - set(want)))
                    tally["reported"] += 1
            for g in files:         # index.db may have been rebuilt
                if g == f or g.endswith("index.db"):
                    open(g, "wb").write(whole[g])
            for extra in ("index.db-journal",):
                if os.path.exists(os.path.join(repo, extra)):
                    os.unlink(os.path.join(repo, extra))
    finally:
        if os.path.ismount(point):
            run("umount", "-l", point)
        shutil.rmtree(work, ignore_errors=True)
    print("%d flips: %s; none with other bytes" % (nr, ", ".join("%d %s" % (v, k) for k, v in tally.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else int(time.time())))
