#!/usr/bin/env python3
"""The power goes at every fsync of a run, and between.

    power_cut.py [--seconds N] [--seed N] [--states N] [--only RUN]

vouch runs with tests/fault/recording.c before libc, which writes down what it does to the repository and to vouch's own
state. For cuts before every fsync and at random points this makes folders as the cut may have left them, and demands
of each: every snapshot that was listed when an earlier run ended is listed and whole; a snapshot that is listed is
whole, and is what its source was (of runs that were killed, too: the next one counts on what they left); what a successful run did is done; the repository opens without a repair, the next
backup and the next prune work, and nothing is left in tmp/.

What a cut may leave. It is harsher than ext4, XFS, exFAT or vfat each alone:
 - fsync and fdatasync of a file make its bytes and its length durable, not its name; fsync of a folder makes durable
   which names are in it and what each stands for.
 - Of the writes to a file since its last fsync any subset is there, in any order in which they do not overlap; of one
   write any subset of its sectors of 512 bytes, or a prefix of them. Where a write made the file longer, the length may
   be the new one though the bytes are not there: they are zeros then. A truncation may have happened or not.
 - Of the names made, replaced and removed in a folder since its last fsync each may be there, be as it was, or be as
   it was between. A rename into another folder is two such changes: the file may have both names, one, or neither.
   A folder whose own name was not made durable may be gone with all that was synced in it.
 - What stood under a name that is replaced by a rename is there until the new one is: no name is ever missing because
   it was replaced (FAT has no such promise; the kernel's exFAT and vfat come near it).
 - Bytes that were durable are not touched; a sector holds the old bytes or the new ones.
"""
import argparse
import copy
import hashlib
import os
import random
import shutil
import struct
import sys
import time

import scene
from scene import Broken, Scene, copy_tree, digest_tree, say

CREATE, WRITE, TRUNCATE, RENAME, UNLINK, MKDIR, SYNC, SYNC_ALL, UNKNOWN = range(1, 10)
NAMES = "create write truncate rename unlink mkdir sync sync_all unknown".split()
HEAD = struct.Struct("=IIIIQQ")
SECTOR = 512
KINDS = ("lost", "all", "names only", "bytes only", "zeros") + ("random",) * 100
WORLD = ("repo", "copy", "state", "cache")      # what a cut may hurt


class File:
    """Durable bytes, and what was done since they became so."""

    def __init__(self, data=b""):
        self.data, self.todo = data, []

    def settle(self):
        self.data = apply(self.data, self.todo)
        self.todo = []


def apply(data, ops):
    b = bytearray(data)
    for at, piece in ops:
        if piece is None:       # truncated, or made longer
            del b[at:]
            b.extend(bytes(at - len(b)))
        else:
            b.extend(bytes(max(0, at - len(b))))
            b[at:at + len(piece)] = piece
    return bytes(b)


def torn(rnd, at, piece):
    """Parts of a write, at the medium's sectors."""
    first = at // SECTOR
    last = (at + len(piece) - 1) // SECTOR
    upto = rnd.randint(first, last) if rnd.random() < 0.5 else None
    for s in range(first, last + 1):
        if s > upto if upto is not None else rnd.random() < 0.5:
            continue
        lo, hi = max(at, s * SECTOR), min(at + len(piece), (s + 1) * SECTOR)
        yield lo, piece[lo - at:hi - at]


class Model:
    """What the medium may hold: for each name of each folder all it has stood for since the folder's last fsync."""

    def __init__(self, top):
        self.inos, self.dirs = {}, {"/": {}}
        for folder, dirs, files in os.walk(top):
            rel = "/" + os.path.relpath(folder, top).strip(".")
            if rel == "/":
                dirs[:] = [d for d in dirs if d in WORLD]
            self.dirs[rel] = {d: ["dir"] for d in dirs}
            for name in files if rel != "/" else ():
                with open(os.path.join(folder, name), "rb") as f:
                    self.inos[os.fstat(f.fileno()).st_ino] = it = File(f.read())
                self.dirs[rel][name] = [it]

    def of(self, path):
        folder, name = os.path.split(path)
        return self.dirs[folder].setdefault(name, [None])

    def do(self, what, path, to, ino, off, data):
        path, to = os.path.normpath("/" + path.lstrip("/")), os.path.normpath("/" + to.lstrip("/"))
        if what == CREATE:
            self.inos[ino] = it = File()
            self.of(path).append(it)
        elif what in (WRITE, TRUNCATE):
            if ino not in self.inos:
                raise Broken("the run wrote to %s, which nobody was seen to make" % path)
            self.inos[ino].todo.append((off, data if what == WRITE else None))
        elif what == RENAME:
            it = self.of(path)[-1]
            self.of(path).append(None)
            self.of(to).append(it)
        elif what == UNLINK:
            self.of(path).append(None)
        elif what == MKDIR:
            self.of(path).append("dir")
            self.dirs[path] = {}
        elif what == SYNC and path in self.dirs:
            self.dirs[path] = {n: v[-1:] for n, v in self.dirs[path].items() if v[-1] is not None}
        elif what == SYNC:
            if ino in self.inos:
                self.inos[ino].settle()
        elif what == SYNC_ALL:
            for f in self.inos.values():
                f.settle()
            for path in self.dirs:
                self.do(SYNC, path, "", 0, 0, b"")
        else:
            raise Broken("the run did what cannot be played again: %s" % path)

    # How a cut is made: names(versions) and bytes(file) choose.
    def state(self, rnd, kind):
        p = rnd.choice((0.1, 0.5, 0.9))

        def name(versions):
            if kind in ("lost", "bytes only"):
                return versions[0]
            if kind in ("all", "names only", "zeros"):
                return versions[-1]
            return versions[-1] if rnd.random() < p else rnd.choice(versions)

        def content(f):
            if kind in ("lost", "names only"):
                return f.data
            if kind in ("all", "bytes only"):
                return apply(f.data, f.todo)
            if kind == "zeros":
                return f.data + bytes(max(0, len(apply(f.data, f.todo)) - len(f.data)))
            ops = []
            for at, piece in f.todo:
                r = rnd.random()
                if r < p:
                    ops.append((at, piece))
                elif r < p + (1 - p) / 2 and piece:
                    ops += torn(rnd, at, piece)
            out = apply(f.data, ops)
            if rnd.random() < 0.3:
                out += bytes(max(0, len(apply(f.data, f.todo)) - len(out)))
            return out

        known, out = {}, {}

        def walk(path):
            for n, versions in self.dirs[path].items():
                it, below = name(versions), os.path.join(path, n)
                if it == "dir":
                    out[below] = None
                    walk(below)
                elif it is not None:
                    if id(it) not in known:
                        known[id(it)] = content(it)
                    out[below] = known[id(it)]
        walk("/")
        return out


def read_trace(path):
    with open(path, "rb") as f:
        b = f.read()
    at, out = 0, []
    while at < len(b):
        what, path_len, to_len, data_len, ino, off = HEAD.unpack_from(b, at)
        at += HEAD.size
        cut = at + path_len, at + path_len + to_len, at + path_len + to_len + data_len
        out.append((what, b[at:cut[0]].decode(), b[cut[0]:cut[1]].decode(), ino, off, b[cut[1]:cut[2]]))
        at = cut[2]
    return out


def put_state(top, state):
    for name in WORLD:
        shutil.rmtree(os.path.join(top, name), ignore_errors=True)
    for path, data in state.items():        # folders come before what is in them
        if data is None:
            os.mkdir(top + path, 0o700)
        else:
            with open(top + path, "wb") as f:
                f.write(data)


BACKUP = ["backup", "-q", "-j", "2", "-C", "src", "."]


def change(n):
    """A source of its own for each backup."""
    def go(s):
        for name, size in (("a/two", 60000 + n), ("b/new%d" % n, 20000)):
            with open(s.src + "/" + name, "wb") as f:
                f.write(scene.noise(name + str(n), size))
        if n == 2:
            os.unlink(s.src + "/big")       # so that a prune finds half a pack unneeded
    return go


# What is run, one after another, in one repository; first what is done to the source.
RUNS = [
    (None, ["init", "-q"]),
    (change(1), BACKUP),
    (change(2), BACKUP),
    (change(3), BACKUP),
    (None, ["forget", "--keep-last", "2"]),
    (None, ["prune", "-q"]),
    (change(4), BACKUP),
    (None, ["forget", "--keep-last", "1"]),
    (None, ["prune", "-q", "--max-unused", "1%"]),
    (None, ["sync", "-q", "copy"]),
    (None, ["parity", "add", "-q", "--share", "8%"]),
    (change(5), BACKUP),
    (None, ["sync", "-q", "--delete", "copy"]),
]


FORGET, PRUNE = ["forget", "--keep-last", "1"], ["prune", "-q", "--max-unused", "5%"]

# After so many of RUNS: a run that is killed, and one that is not.
PAIRS = [
    (1, (change(5), BACKUP), (None, BACKUP)),
    (4, (None, PRUNE), (None, PRUNE)),
    (2, (None, FORGET), (None, PRUNE)),
    (4, (None, PRUNE), (change(5), BACKUP)),
    (2, (change(5), BACKUP), (None, PRUNE)),
    (0, (change(5), BACKUP), (change(6), BACKUP)),
]
PAIR_ROUNDS = 60


class Story:
    """All that some runs did, one after another, and what was listed after each."""

    def __init__(self, base, lib, start=None):
        self.live = s = Scene(base + "/live")
        if start:
            copy_tree(start, s.top)
        else:
            shutil.rmtree(s.top, ignore_errors=True)
            os.makedirs(s.src)
            scene.fill(s.src, "power")
        self.listed = [s.snapshots() if start else {}]
        self.model = Model(s.top)
        self.ops, self.names, self.ends = [], [], []
        # All that is run here, also to look: a verify writes into the log.
        self.trace = base + "/trace"
        s.env.update(LD_PRELOAD=lib, RECORD=self.trace, WATCH=s.top)
        self.forget_trace()
        self.unreported = set()         # of runs that were killed: listed, perhaps, but nobody was told

    def forget_trace(self):
        if os.path.exists(self.trace):
            os.unlink(self.trace)

    def run(self, first, args, stop=0):
        """stop: killed after so many operations, or not, where there are fewer."""
        s = self.live
        if first:
            first(s)
        run = s.vouch(*args, RECORD_STOP=str(stop))
        if run.code != (-9 if stop else 0) and not (stop and run.code == 0):
            raise Broken("only recording: %s" % run)
        self.ops += read_trace(self.trace)
        self.forget_trace()
        self.names.append(args[0] + (", killed" if run.code else ""))
        self.ends.append(len(self.ops))
        if run.code == 0:
            self.listed.append(s.snapshots())
            s.whole()
        else:
            self.listed.append(self.listed[-1])
            there = os.listdir(s.repo + "/snapshots") if os.path.isdir(s.repo + "/snapshots") else []
            self.unreported |= {n[:-5] for n in there} - set(self.listed[-1])
        return run.code == 0

    def run_at(self, n):
        """Of the n-th operation; the end of a run is still its own."""
        return next(i for i, end in enumerate(self.ends) if n <= end)

    def label(self, n):
        run = self.run_at(n)
        op = self.ops[n] if n < len(self.ops) else None
        return "run %d (%s), before operation %d of %d%s" % (
            run + 1, self.names[run], n, len(self.ops), ": %s %s" % (NAMES[op[0] - 1], op[1] or "/") if op else "")


class Attack:
    """Cuts, tried one by one on a folder of its own."""

    def __init__(self, base, rnd):
        self.rnd, self.s = rnd, Scene(base + "/cut")
        self.cuts, self.tried, self.broken = 0, 0, 0

    def take(self, story):
        self.story, self.seen = story, set()
        copy_tree(story.live.src, self.s.src)
        self.tree = digest_tree(self.s.src)

    def cut(self, model, n, kind):
        self.cuts += 1
        state = model.state(self.rnd, kind)
        sum_ = hashlib.sha256(repr(sorted(state.items())).encode()).digest()
        key = (sum_, self.story.run_at(n), n in self.story.ends)
        if key in self.seen:
            return
        self.seen.add(key)
        self.tried += 1
        put_state(self.s.top, state)
        try:
            self.judge(n)
        except Broken as e:
            self.broken += 1
            say("BROKEN: %s, %s: %s" % (self.story.label(n), kind, e))
            put_state(self.s.top, state)
            scene.keep(self.s.top, "power-%d-%s-%d" % (n, kind, self.tried))

    def judge(self, n):
        s, story = self.s, self.story
        run = story.run_at(n)
        before, after = story.listed[run], story.listed[run + 1]
        ended = n == story.ends[run]
        if story.names[run].startswith("init") and not ended:
            self.judge_init()
            before = after = {}
        got = s.snapshots()
        if ended:
            before = after
        for name in before.keys() & after.keys():
            if name not in got and name not in story.unreported:
                raise Broken("%s is lost" % name)
        for name, root in got.items():
            # One that a killed run had named is there or not: nobody was told.
            if name not in story.unreported and root not in (before.get(name), after.get(name)):
                raise Broken("%s is listed, and should not be: %s, %s" % (name, list(before), list(after)))
        s.whole()
        if os.path.exists(s.top + "/copy/vouch.json"):
            c = Scene(s.top, "copy")
            if not c.snapshots().items() <= {**before, **after}.items():
                raise Broken("the copy lists %s" % list(c.snapshots()))
            c.whole()
        s.must(*BACKUP)
        s.whole()
        if s.litter():
            raise Broken("left behind: %s" % s.litter())
        if self.rnd.random() < 0.2:
            s.must("prune", "-q")
            s.whole()
            s.restored("latest", self.tree)
            if os.path.isdir(s.top + "/copy"):
                s.must("sync", "-q", "--new", "copy")
                c = Scene(s.top, "copy")
                c.whole()
                if not s.snapshots().items() <= c.snapshots().items():
                    raise Broken("the next sync did not bring all")

    def judge_init(self):
        """A repository, or a folder in which one can be made."""
        if self.s.vouch("snapshots").code != 0:
            again = self.s.vouch("init", "-q")
            if again.code != 0:
                raise Broken("no repository, and none can be made: %s" % again)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--seconds", type=float, default=0, help="0: all of them")
    p.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or time.time_ns() % 1000000))
    p.add_argument("--states", type=int, default=8, help="a cut; those of KINDS, then random ones")
    p.add_argument("--part", choices=("runs", "killed"))
    p.add_argument("--only", help="runs whose label has that in it")
    a = p.parse_args()
    say("seed %d" % a.seed)
    scene.build("recording.so")
    base = scene.work_dir()
    try:
        return attack(a, random.Random(a.seed), base)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def runs(a, whole, base, lib, seconds):
    """Cuts in a long story."""
    story = Story(base, lib)
    for first, args in RUNS:
        story.run(first, args)
    whole.take(story)
    began = time.monotonic()
    points = [n for n, op in enumerate(story.ops) if op[0] in (SYNC, SYNC_ALL)] + story.ends
    points += whole.rnd.sample(range(len(story.ops)), len(points) // 2)
    todo = [(n, k) for n in points if not a.only or a.only in story.label(n) for k in KINDS[:a.states]]
    step = max(1, len(todo) // 50) if seconds else 1
    late = False
    for start in whole.rnd.sample(range(step), step):
        chosen = {}
        for n, kind in todo[start::step]:
            chosen.setdefault(n, []).append(kind)
        model = copy.deepcopy(story.model)
        for n in range(len(story.ops) + 1):
            for kind in chosen.get(n, ()):
                late = seconds and time.monotonic() - began > seconds
                if not late:
                    whole.cut(model, n, kind)
            if n < len(story.ops) and not late:
                model.do(*story.ops[n])
        if late:
            break
    say("%d runs, %d operations, %d of them fsync" % (len(RUNS), len(story.ops), sum(
        op[0] == SYNC for op in story.ops)))


def killed(whole, base, lib, seconds):
    """Cuts in a run that comes after one that was killed, and counts on what that one left."""
    starts, made, began = {}, 0, time.monotonic()
    story = Story(base, lib)
    for nr, (first, args) in enumerate(RUNS):
        if nr < 5:
            story.run(first, args)
            copy_tree(story.live.top, base + "/start %d" % nr)
    for pair in range(PAIR_ROUNDS * len(PAIRS)):
        if seconds and time.monotonic() - began > seconds:
            break
        nr, one, two = PAIRS[pair % len(PAIRS)]
        start = base + "/start %d" % nr
        if pair < len(PAIRS):
            story = Story(base, lib, start)
            story.run(*one)
            # Most of them just after a name was made or taken away: that is what the next run believes.
            names = [n + 1 for n, op in enumerate(story.ops) if op[0] in (RENAME, UNLINK, MKDIR)]
            starts[pair] = names, len(story.ops)
        names, last = starts[pair % len(PAIRS)]
        story = Story(base, lib, start)
        if story.run(*one, stop=whole.rnd.choice(names) if whole.rnd.random() < 0.8 else whole.rnd.randint(1, last)):
            continue
        story.run(*two)
        whole.take(story)
        made += 1
        points = whole.rnd.sample(range(story.ends[0], story.ends[1]), 1) + [story.ends[1]]
        for n in range(len(story.ops) + 1):
            if n in points:
                for kind in ("lost", "random"):
                    whole.cut(story.model, n, kind)
            if n < len(story.ops):
                story.model.do(*story.ops[n])
    say("%d runs after one that was killed" % made)


def attack(a, rnd, base):
    lib = scene.BUILD + "/tests/fault/recording.so"
    whole = Attack(base, rnd)
    began = time.monotonic()
    if a.part != "killed":
        runs(a, whole, base, lib, a.seconds / 2)
    if a.part != "runs":
        killed(whole, base, lib, a.seconds / 2)
    say("%d cuts, %d different states, %d broken demands, %.0f s" % (
        whole.cuts, whole.tried, whole.broken, time.monotonic() - began))
    return 1 if whole.broken or not whole.tried else 0


if __name__ == "__main__":
    sys.exit(main())
