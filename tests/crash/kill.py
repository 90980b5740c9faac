#!/usr/bin/env python3
"""kill.py VOUCH ROUNDS [SEED]: kill -9 backup, forget, prune, sync and repair, and several of them at once, at random
moments.  After each: every snapshot that was reported is listed and whole, what a killed backup had published is whole,
the same command run again ends well, no lock is left, and nothing is left in tmp/."""
import os
import sys
import time

from estate import Estate, Failed, Source, Tally, attack

RESTORED = 20  # rounds between two comparisons of all bytes


class Attack:
    def __init__(self, vouch, seed):
        self.e = Estate(vouch, seed)
        self.far = self.e.top + "/far"
        self.sources = [Source(f"{self.e.top}/src{i}", self.e.rng) for i in range(2)]
        self.tally = Tally()
        self.took = {}
        for s in self.sources:
            self.e.backup(s)
        verbs = self.e.ok("help", repo=None)
        self.kinds = ["backup", "forget", "prune", "many"] + [v for v in ("sync", "repair") if f"\n  {v} " in verbs]

    def moment(self, kind):
        """A random moment of a run as long as the last whole one of its kind was."""
        return self.e.rng.uniform(0, 1.1 * self.took.get(kind, 0.1))

    def again(self, kind, *args, **kw):
        """A whole run: the next one after the killed one."""
        began = time.monotonic()
        out = self.e.ok(*args, **kw)
        self.took[kind] = time.monotonic() - began
        return out

    def backup_args(self, source):
        return ("backup", "-q", "-C", source.path, ".")

    def whole_backup(self, source):
        self.e.backup(source)
        self.took["backup"] = self.e.took

    def backup(self):
        s = self.e.rng.choice(self.sources)
        s.change()
        alive = self.e.kill(self.e.start(*self.backup_args(s)), self.moment("backup"))
        self.e.whole([s.truth()])
        self.whole_backup(s)
        return alive

    def keep(self):
        """What a forget let go is not expected any more."""
        listed = self.e.snapshots()
        self.e.known = {i: t for i, t in self.e.known.items() if i in listed}

    def forget(self):
        p = self.e.start("forget", "-q", "--keep-last", "3")
        alive = self.e.kill(p, self.moment("forget"))
        self.keep()
        self.e.whole()
        self.whole_backup(self.sources[0])  # so that there is one to let go
        self.again("forget", "forget", "-q", "--keep-last", "2")
        self.keep()
        alone = set(os.listdir(self.e.repo + "/copies/snapshots")) - set(os.listdir(self.e.repo + "/snapshots"))
        if alone:
            raise Failed(f"second copies alone: {alone}")
        return alive

    def prune(self):
        for s in self.sources:
            s.change()
            self.whole_backup(s)
        self.e.ok("forget", "-q", "--keep-last", "2")
        self.keep()
        alive = self.e.kill(self.e.start("prune", "-q"), self.moment("prune"))
        self.e.whole()
        self.again("prune", "prune", "-q")
        self.e.no_litter(folders=("tmp", "writers", "condemned"))
        return alive

    def many(self):
        """Two backups and two prunes at once, each killed at its own moment or let be."""
        for s in self.sources:
            s.change()
        ps = [self.e.start(*self.backup_args(s)) for s in self.sources]
        ps += [self.e.start("prune", "-q"), self.e.start("prune", "-q")]
        alive = 0
        for p in ps:
            if self.e.rng.random() < 0.7:
                alive += self.e.kill(p, self.moment("backup") / 2)
        for p in ps:
            if p.poll() is None:
                rc, out = self.e.end(p, "one of many")
                if rc:
                    raise Failed(f"one of many: exit {rc}:\n{out}")
        self.e.whole([s.truth() for s in self.sources])
        self.whole_backup(self.sources[0])
        self.again("prune", "prune", "-q")
        return alive > 0

    def sync(self):
        s = self.e.rng.choice(self.sources)
        s.change(30)
        self.whole_backup(s)
        alive = self.e.kill(self.e.start("sync", "-q", self.far), self.moment("sync"))
        if os.path.exists(self.far + "/vouch.json"):
            for ident in self.e.snapshots(self.far):
                if ident not in self.e.known and ident in self.e.snapshots():
                    raise Failed("a snapshot that nobody made")
            self.e.ok("verify", "-q", repo=self.far)
        self.again("sync", "sync", "-q", self.far)
        self.e.whole(repo=self.far) if set(self.e.snapshots(self.far)) <= set(self.e.known) else \
            self.e.ok("verify", "-q", repo=self.far)
        self.e.no_litter(self.far)
        return alive

    def packs(self):
        return sorted(os.path.join(d, f) for d, _, fs in os.walk(self.e.repo + "/packs") for f in fs
                      if f.endswith(".pack"))

    def repair(self):
        """Damage that parity can heal, in up to three packs."""
        packs = self.packs()
        for path in self.e.rng.sample(packs, min(3, len(packs))):
            os.chmod(path, 0o600)
            with open(path, "r+b") as f:
                f.seek(self.e.rng.randrange(os.path.getsize(path)))
                f.write(self.e.rng.randbytes(8))
        alive = self.e.kill(self.e.start("repair", "-q"), self.moment("repair"))
        self.again("repair", "repair", "-q")
        self.e.whole()
        return alive

    def round(self, kind):
        alive = getattr(self, kind)()
        self.whole_backup(self.sources[1])  # a writer: it sweeps
        self.e.no_litter()
        self.tally.add(kind, killed=int(alive))

    def rounds(self, nr):
        for i in range(nr):
            kind = self.kinds[i % len(self.kinds)] if i < 2 * len(self.kinds) else self.e.rng.choice(self.kinds)
            try:
                self.round(kind)
                if i % RESTORED == RESTORED - 1 or i == nr - 1:
                    self.e.bytes()
                if i % 10 == 9:
                    self.e.ok("forget", "-q", "--keep-last", "3")
                    self.keep()
            except Failed as e:
                raise Failed(f"round {i}, {kind}: {e}") from None


if __name__ == "__main__":
    sys.exit(attack(Attack, sys.argv))
