#!/usr/bin/env python3
"""Let a repository rot, in many ways, and read all of it back after each.

    rot.py VOUCH MIB TRIALS [SEED]

Makes a source of so many MiB and a repository of it (parity as is usual), and then so many times of each kind: damages the
repository (and, for the second half of the table, with a whole copy of it known as a replica), lets `vouch verify` look at
it, restores everything, compares every file with the source, and puts the repository back as it was. A file comes back as
it was, or it does not come back and that is said; what lies within parity's reach, or a replica's, must come back. Prints a
line a kind: tried, healed (all came back), harmless (nothing that is needed was hit), reported (something did not come
back, and was named), silent, crashes; exit 1 where one of the last two is not 0, or what must heal did not.
"""
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile

SECTOR = 4096


class Rot:
    def __init__(self, vouch, mib, seed):
        self.vouch, self.rnd = vouch, random.Random(seed)
        self.top = tempfile.mkdtemp(prefix="vouch-rot-")
        self.repo, self.whole = self.top + "/repo", self.top + "/whole"
        self.env = dict(os.environ, VOUCH_REPO=self.repo, XDG_STATE_HOME=self.top + "/state",
                        XDG_CACHE_HOME=self.top + "/cache", LC_ALL="C.UTF-8")
        self.failures = []
        self.make_source(mib)
        self.make_repo()

    def run(self, *args, ok=(0,)):
        p = subprocess.run([self.vouch, *args], env=self.env, stdin=subprocess.DEVNULL, capture_output=True)
        if ok and p.returncode not in ok:
            raise SystemExit("vouch %s: %d: %s" % (" ".join(args), p.returncode, p.stderr.decode(errors="replace")))
        return p

    def make_source(self, mib):
        src = self.src = self.top + "/src"
        os.makedirs(src + "/text")
        left, n = mib << 20, 0
        while left > 0:
            size = min(left, self.rnd.choice([20000, 300000, 3000000, 9000000]))
            with open("%s/noise%d" % (src, n), "wb") as f:
                f.write(self.rnd.randbytes(size))
            left, n = left - size, n + 1
        for i in range(200):
            with open("%s/text/%d" % (src, i), "w") as f:
                f.write("".join("line %d of file %d\n" % (k, i) for k in range(self.rnd.randrange(1, 3000))))
        self.sums = self.sums_of(src)

    @staticmethod
    def sums_of(top):
        sums = {}
        for folder, _, files in os.walk(top):
            for name in files:
                with open(os.path.join(folder, name), "rb") as f:
                    sums[os.path.relpath(os.path.join(folder, name), top)] = hashlib.file_digest(f, "sha256").digest() \
                        if hasattr(hashlib, "file_digest") else hashlib.sha256(f.read()).digest()
        return sums

    def make_repo(self):
        self.run("init", "-q", self.repo)
        self.run("backup", "-q", "-C", self.src + "/text", ".")
        self.run("backup", "-q", "-C", self.src, ".")
        shutil.copytree(self.repo, self.whole)
        self.packs = self.names("packs", ".pack")
        self.pars = self.names("packs", ".par")

    def names(self, folder, ext):
        return sorted(os.path.relpath(os.path.join(d, f), self.repo)
                      for d, _, fs in os.walk(self.repo + "/" + folder) for f in fs if f.endswith(ext))

    def put_back(self):
        subprocess.run(["rsync", "-a", "--delete", self.whole + "/", self.repo + "/"], check=True)

    # What is done to files.

    def path(self, name):
        return os.path.join(self.repo, name)

    def write(self, name, off, data):
        with open(self.path(name), "r+b") as f:
            f.seek(off)
            f.write(data)

    def size(self, name):
        return os.path.getsize(self.path(name))

    def flip(self, name):
        off = self.rnd.randrange(self.size(name))
        with open(self.path(name), "r+b") as f:
            f.seek(off)
            byte = f.read(1)[0] ^ 1 << self.rnd.randrange(8)
            f.seek(off)
            f.write(bytes([byte]))

    def sectors(self, name, nr, unit=SECTOR):
        units = max(1, self.size(name) // unit)
        for at in self.rnd.sample(range(units), min(nr, units)):
            end = min(unit, self.size(name) - at * unit)
            self.write(name, at * unit, self.rnd.choice([bytes(end), self.rnd.randbytes(end)]))

    def lost_run(self, name, length):
        length = max(1, min(length, self.size(name)))
        off = self.rnd.randrange(self.size(name) - length + 1)
        self.write(name, off, self.rnd.choice([bytes(length), self.rnd.randbytes(length)]))

    def reach(self, pack):
        """Bytes of a run that parity rebuilds, and sectors lost anywhere: vouch-format(5), PARITY, at 3 %."""
        n = -(-self.size(pack) // SECTOR)

        def m_of(k):
            return max(2, -(-k * 30 // 1000))
        k_max = max(k for k in range(1, 254) if k + m_of(k) <= 255)
        stripes = -(-n // k_max)
        m = m_of(-(-n // stripes))
        return (stripes * m - 1) * SECTOR, m

    def cut(self, name, length):
        with open(self.path(name), "r+b") as f:
            f.truncate(length)

    def swap(self, a, b):
        a, b = self.path(a), self.path(b)
        os.rename(a, a + ".x")
        os.rename(b, a)
        os.rename(a + ".x", b)

    def both(self, name, how):
        """The file and its copy."""
        how(name)
        how("copies/" + name)

    def pack(self):
        return self.rnd.choices(self.packs, [self.size(p) for p in self.packs])[0]

    def snapshot(self):
        return self.rnd.choice(self.names("snapshots", ".json"))

    # One trial.

    def read_back(self, kind):
        """'healed', 'reported', 'silent' or 'crash', and what was wrong."""
        out = self.top + "/out"
        shutil.rmtree(out, ignore_errors=True)
        p = self.run("restore", "-q", "latest", out, ok=None)
        said = p.stderr.decode(errors="replace")
        if p.returncode < 0 or p.returncode >= 128 or "runtime error" in said or "Sanitizer" in said:
            return "crash", said
        got = self.sums_of(out) if os.path.isdir(out) else {}
        # Where the newest snapshot is lost the one before is the latest; that, too, must be named.
        older = {n[5:]: v for n, v in self.sums.items() if n.startswith("text/")}
        if "snapshots" in kind and got == older and "snapshot" in self.run("snapshots", ok=None).stderr.decode():
            return "reported", said
        wrong = [n for n in got if got[n] != self.sums.get(n)]
        if wrong:
            return "silent", "wrong bytes in %s" % wrong
        lost = [n for n in self.sums if n not in got]
        if not lost:
            return "healed", said
        if p.returncode == 0:
            return "silent", "%d files are not there, and the status is 0: %s" % (len(lost), said)
        # A file that is lost is named, or the folder is that lost names, or all of it is refused.
        refused = not got and len(said.splitlines()) == 1
        unnamed = [n for n in lost if n not in said and "names in this folder are lost" not in said]
        if unnamed and not refused:
            return "silent", "%s not named in: %s" % (unnamed[:3], said[:2000])
        return "reported", said

    def trial(self, kind, damage, must_find, must_heal, tally):
        damage()
        tally["tried"] += 1
        v = self.run("verify", "-q", ok=None)
        if v.returncode < 0 or v.returncode >= 128 or v.returncode == 3:
            tally["crashes"] += 1
            self.failures.append("%s: verify ends with %d: %s" % (kind, v.returncode, v.stderr.decode()[-2000:]))
        # A snapshot's file that is gone, and whole in copies/, is a warning: a sync or a forget cut short leaves that too.
        if must_find and v.returncode == 0 and b"warning" not in v.stderr:
            tally["silent"] += 1
            self.failures.append("%s: verify finds nothing" % kind)
        outcome, why = self.read_back(kind)
        key = {"crash": "crashes", "healed": "healed" if v.returncode != 0 else "harmless"}.get(outcome, outcome)
        tally[key] += 1
        if outcome in ("crash", "silent"):
            self.failures.append("%s: %s: %s" % (kind, outcome, why))
        if must_heal and outcome != "healed":
            self.failures.append("%s: within reach, and not healed: %s" % (kind, why[:2000]))
        self.put_back()

    def kinds(self):
        """Name, what is done, whether verify must find it, whether it must heal: alone, with a replica."""
        r = self.rnd
        p = self.pack

        def in_packs(fn):
            return lambda: fn(p())
        some = lambda name: self.cut(name, r.randrange(self.size(name)))
        flip, yes, no = self.flip, True, False
        return [
            ("a flipped bit", in_packs(flip), yes, yes, yes),
            ("a sector of 512 bytes", in_packs(lambda n: self.sectors(n, 1, 512)), yes, yes, yes),
            ("as many sectors of one pack as parity has rows", in_packs(lambda n: self.sectors(n, self.reach(n)[1])),
             yes, yes, yes),
            ("a lost run as long as parity reaches", in_packs(lambda n: self.lost_run(n, self.reach(n)[0])), yes, yes, yes),
            ("a lost run three times as long", in_packs(lambda n: self.lost_run(n, 3 * self.reach(n)[0])), yes, no, yes),
            ("a sector in 100, all over", lambda: [self.sectors(n, self.size(n) // SECTOR // 100 + 1) for n in self.packs],
             yes, no, yes),
            ("a pack cut short", in_packs(some), yes, no, yes),
            ("a pack's end cut off, within reach", in_packs(lambda n: self.cut(n, max(1, self.size(n) - self.reach(n)[0]))),
             yes, yes, yes),
            ("a pack deleted", in_packs(lambda n: os.unlink(self.path(n))), yes, no, yes),
            ("a pack all zeros", in_packs(lambda n: self.write(n, 0, bytes(self.size(n)))), yes, no, yes),
            ("two packs' places exchanged", lambda: self.swap(*r.sample(self.packs, 2)), yes, no, yes),
            ("parity: a flipped bit", lambda: flip(r.choice(self.pars)), yes, yes, yes),
            ("parity: cut short", lambda: some(r.choice(self.pars)), yes, yes, yes),
            ("parity: deleted", lambda: os.unlink(self.path(r.choice(self.pars))), no, yes, yes),
            ("parity: two exchanged", lambda: self.swap(*r.sample(self.pars, 2)), yes, yes, yes),
            ("pack and parity: a flipped bit each", lambda: [flip(n) or flip(n[:-4] + "par") for n in [p()]], yes, yes, yes),
            ("pack and parity: half of the run each", lambda: [
                self.lost_run(n, self.reach(n)[0] // 2) or self.lost_run(n[:-4] + "par", self.reach(n)[0] // 2)
                for n in [p()]], yes, no, yes),
            ("snapshots: a flipped bit", lambda: flip(self.snapshot()), yes, yes, yes),
            ("snapshots: one deleted", lambda: os.unlink(self.path(self.snapshot())), yes, yes, yes),
            ("snapshots: one cut short", lambda: some(self.snapshot()), yes, yes, yes),
            ("snapshots: a copy flipped", lambda: flip("copies/" + self.snapshot()), yes, yes, yes),
            ("snapshots: one and its copy flipped", lambda: self.both(self.snapshot(), flip), yes, no, no),
            ("vouch.json: a flipped bit", lambda: flip("vouch.json"), yes, yes, yes),
            ("vouch.json: deleted", lambda: os.unlink(self.path("vouch.json")), yes, yes, yes),
            ("vouch.json: both flipped", lambda: self.both("vouch.json", flip), yes, no, no),
            ("index.db: sectors", lambda: self.sectors("index.db", 3, 512), no, yes, yes),
            ("index.db: cut short", lambda: some("index.db"), no, yes, yes),
            ("index.db: deleted", lambda: os.unlink(self.path("index.db")), no, yes, yes),
            ("SHA256SUMS: sectors", lambda: self.sectors("SHA256SUMS", 2, 512), no, yes, yes),
            ("log: sectors", lambda: [self.sectors(n, 2, 512) for n in self.names("log", ".ndjson")], no, yes, yes),
        ]

    def rounds(self, trials, replica):
        total = dict.fromkeys(("tried", "healed", "harmless", "reported", "silent", "crashes"), 0)
        for kind, damage, find, alone, with_replica in self.kinds():
            tally = dict.fromkeys(total, 0)
            for _ in range(trials):
                self.trial(kind, damage, find, with_replica if replica else alone, tally)
            print("%-50s %s" % (kind + (", replica" if replica else ""),
                                "  ".join("%s %d" % (k, tally[k]) for k in tally)), flush=True)
            for k in total:
                total[k] += tally[k]
        print("%-50s %s" % ("all" + (", replica" if replica else ""),
                            "  ".join("%s %d" % (k, total[k]) for k in total)), flush=True)

    def with_replica(self):
        self.run("sync", "-q", self.top + "/replica")
        subprocess.run(["rsync", "-a", "--delete", self.repo + "/", self.whole + "/"], check=True)


def main():
    vouch, mib, trials = os.path.abspath(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 32)
    print("seed %d" % seed, flush=True)
    rot = Rot(vouch, mib, seed)
    try:
        rot.rounds(trials, False)
        rot.with_replica()
        rot.rounds(max(1, trials // 3), True)
    finally:
        shutil.rmtree(rot.top, ignore_errors=True)
    for f in rot.failures:
        print(f)
    return 1 if rot.failures else 0


sys.exit(main())
