#!/usr/bin/env python3
"""rsync.py VOUCH ROUNDS [SEED]: plain rsync of a live repository, while backups and prunes run, ended at random moments by
^C (a short file may then stand under its final name) or kill -9 (a temporary one).  After each: the copy opens, what it
serves is right, what is incomplete is named and is no damage; after the next whole rsync it is whole.  A copied index.db,
torn, foreign or garbage, is never believed."""
import json
import os
import shutil
import signal
import subprocess
import sys
import threading

from estate import HANG, Estate, Failed, Source, Tally, attack, digests

INCOMPLETE = 4  # exit status of verify and restore where something is damaged or incomplete


class Attack:
    def __init__(self, vouch, seed):
        self.e = Estate(vouch, seed)
        self.copy = self.e.top + "/copy"
        self.sources = [Source(f"{self.e.top}/src{i}", self.e.rng) for i in range(2)]
        self.tally = Tally()
        self.history = {}  # every snapshot there ever was
        self.failed = None
        for s in self.sources:
            self.backup(s)

    def backup(self, source):
        ident = self.e.backup(source)
        self.history[ident] = self.e.known[ident]

    def live(self, prunes, stop):
        """What goes on in the repository during an rsync."""
        try:
            while not stop.is_set():
                source = self.e.rng.choice(self.sources)
                source.change()
                self.backup(source)
                if prunes:
                    self.e.ok("forget", "-q", "--keep-last", "2")
                    self.e.ok("prune", "-q", "--max-unused", "0%")
                listed = self.e.snapshots()
                self.e.known = {i: t for i, t in self.e.known.items() if i in listed}
        except Exception as e:  # pylint: disable=broad-except
            self.failed = e

    def rsync(self, *options, sig=None, after=0.0):
        p = subprocess.Popen(["rsync", "-a", *options, self.e.repo + "/", self.copy], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, start_new_session=True)
        if sig:
            try:
                p.wait(timeout=after)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, sig)
        p.wait(timeout=HANG)
        return p.returncode

    def opens(self):
        """The copy as it is now: nothing wrong comes out of it."""
        e = self.e
        if not any(os.path.exists(f"{self.copy}/{n}") for n in ("vouch.json", "copies/vouch.json")):
            return 0
        # As a plugged-in drive is, on a host that never saw it
        shutil.rmtree(e.top + "/cache", ignore_errors=True)
        # 4: of a record only one of its two files has arrived
        listed = e.snapshots(self.copy, allowed=(0, INCOMPLETE))
        rc, out = e.run("verify", "--json", repo=self.copy)
        if rc not in (0, INCOMPLETE):
            raise Failed(f"verify of the copy: exit {rc}:\n{out}")
        summary = [json.loads(line) for line in out.splitlines() if '"summary"' in line][0]
        for bad in ("damaged_packs", "damaged_chunks", "damaged_nodes"):
            if summary[bad]:
                raise Failed(f"an interrupted copy is called damaged ({bad}):\n{out}")
        if rc and not summary["incomplete_packs"] and not summary["missing_chunks"]:
            raise Failed(f"exit {rc}, and nothing is named:\n{out}")
        for ident in e.rng.sample(listed, min(2, len(listed))):
            if ident not in self.history:
                continue  # the backup that made it has not come back to us yet
            back = e.top + "/back"
            shutil.rmtree(back, ignore_errors=True)
            rc, out = e.run("restore", "-q", ident, back, repo=self.copy)
            found = digests(back) if os.path.isdir(back) else {}
            truth = self.history[ident]
            wrong = [p for p in found if found[p] != truth.get(p)]
            if wrong:
                raise Failed(f"wrong bytes in {wrong} of {ident[:16]}")
            if rc == 0 and found != truth:
                raise Failed(f"restore of {ident[:16]} says all is well, and {len(truth) - len(found)} files lack")
            if rc not in (0, 1, INCOMPLETE):
                raise Failed(f"restore of the copy: exit {rc}:\n{out}")
        return int(summary["incomplete_packs"] + summary["missing_chunks"] > 0)

    def index(self, how):
        """An index that is not of this repository, or of another moment."""
        path = self.copy + "/index.db"
        if not os.path.isdir(self.copy):
            return
        if how == "garbage":
            with open(path, "wb") as f:
                f.write(self.e.rng.randbytes(50_000))
        elif how == "torn" and os.path.exists(path):
            size = os.path.getsize(path)
            with open(path, "r+b") as f:
                f.seek(self.e.rng.randrange(size))
                f.write(self.e.rng.randbytes(3000))
                f.truncate(self.e.rng.randrange(size))
        elif how == "foreign":
            other = Estate(self.e.vouch, self.e.rng.random())
            s = Source(other.top + "/src", self.e.rng, files=10)
            other.backup(s)
            shutil.copy(other.repo + "/index.db", path)
            other.close()

    def rounds(self, nr):
        for i in range(nr):
            try:
                self.round(i)
            except Failed as e:
                raise Failed(f"round {i}: {e}") from None

    def round(self, i):
        rng = self.e.rng
        if i % 3 == 0:
            shutil.rmtree(self.copy, ignore_errors=True)
        prunes, sig = i % 2 == 1, rng.choice([signal.SIGINT, signal.SIGKILL])
        partial = ["--partial"] if rng.random() < 0.5 else []
        stop = threading.Event()
        live = threading.Thread(target=self.live, args=(prunes, stop))
        live.start()
        self.rsync("--bwlimit=20M", *partial, sig=sig, after=rng.uniform(0, 0.7))
        stop.set()
        live.join()
        if self.failed:
            raise self.failed
        how = rng.choice(["", "", "garbage", "torn", "foreign"])
        self.index(how)
        short = self.opens()
        self.tally.add("prune" if prunes else "backup", incomplete=short, index=int(how != ""))
        self.rsync()
        if i % 4 == 3:
            self.e.ok("verify", "-q", repo=self.copy)
            for ident in self.e.known:
                if ident not in self.e.snapshots(self.copy):
                    raise Failed(f"{ident[:16]} did not arrive")
                self.e.compare(ident, self.e.known[ident], self.copy)
        if i % 10 == 9:
            self.e.ok("forget", "-q", "--keep-last", "2")
            self.e.ok("prune", "-q")
            listed = self.e.snapshots()
            self.e.known = {k: t for k, t in self.e.known.items() if k in listed}


if __name__ == "__main__":
    sys.exit(attack(Attack, sys.argv))
