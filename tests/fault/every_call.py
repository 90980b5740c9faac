#!/usr/bin/env python3
"""Each system call of vouch fails once.

    every_call.py [--seconds N] [--seed N] [--verb V]... [--kind K]... [--at N]

For each verb and kind of failure (tests/fault/failing.c), for n = 1, 2, 3, ... until a run makes fewer than n calls: a
fresh copy of a small repository, the verb with its n-th call failing, and then, without a failure, the demands: every
snapshot that was listed before is listed and whole, the exit status was right, no crash, no hang, a line that says
what failed; the next run of the verb succeeds and leaves nothing in tmp/. With --seconds: as many of them, evenly
spread, as fit. A line a broken demand, a table at the end; exit 1 if a demand was broken. KEEP=DIR keeps the scenes.
"""
import argparse
import os
import random
import re
import shutil
import sys
import time

import scene
from scene import Broken, Run, Scene, copy_tree, digest_tree, say

KINDS = ("eio", "gone", "enospc", "full", "eintr", "part", "late")      # in failing.c's order
STATUS = (0, 1, 3, 4, 75)       # 2 is for those who typed something wrong


class Verb:
    """What is run, in which state, on which folders the calls fail; and what must hold after it."""

    def __init__(self, name, state, args, watch=("repo", "state", "cache"), new=0, gone=0):
        self.name, self.state, self.args, self.watch = name, state, args, watch
        self.new, self.gone = new, gone


BOTH = ("repo", "copy", "state", "cache")
FOLDERS = ("repo", "copy", "state", "cache", "out")

# Snapshots that a run may add (new) or take away (gone). States are made by prepare().
VERBS = [
    Verb("init", "empty", ["init", "-q"], ("repo",)),
    Verb("backup", "two", ["backup", "-q", "-j", "1", "-C", "src", "."], new=1),
    Verb("backup, its source", "two", ["backup", "-q", "-j", "1", "-C", "src", "."], ("src",), new=1),
    Verb("restore", "two", ["restore", "-q", "-j", "1", "latest", "out"], ("repo", "out", "state", "cache")),
    Verb("verify", "two", ["verify", "-q", "--files", "-j", "1"]),
    Verb("forget", "three", ["forget", "--keep-last", "2"], gone=1),
    Verb("prune", "forgotten", ["prune", "-q"]),
    Verb("sync", "three", ["sync", "-q", "-j", "1", "copy"], BOTH),
    Verb("sync again", "synced", ["sync", "-q", "-j", "1", "--delete", "copy"], BOTH),
    Verb("repair", "rotten", ["repair", "-q", "-j", "1"]),
    Verb("repair --from", "lost", ["repair", "-q", "-j", "1", "--from", "copy"], BOTH),
    Verb("parity", "three", ["parity", "add", "-q", "-j", "1", "--share", "8%"]),
]


def prepare(base):
    """One folder a state: empty, two snapshots, three, and three of which one was let go; damage; a copy."""
    s = Scene(base + "/make")
    os.makedirs(s.top)
    os.makedirs(s.src)
    states = {}

    def save(name):
        states[name] = Scene(base + "/" + name)
        copy_tree(s.top, base + "/" + name)

    scene.fill(s.src, "first")
    save("empty")
    s.must("init", "-q", "--parity", "5%")
    s.must("backup", "-q", "-C", "src", ".")
    # Much of the first snapshot's pack stays needed, so that a prune rewrites it.
    scene.fill(s.src, "second", skip=("big", "b/three"))
    s.must("backup", "-q", "-C", "src", ".")
    save("two")
    with open(s.src + "/a/two", "wb") as f:
        f.write(scene.noise("third", 70000))
    s.must("backup", "-q", "-C", "src", ".")
    save("three")
    # As much as a sector of 4 KiB, or two where it lies across: in reach of 5 %.
    scene.rot(scene.packs(s.repo)[0], 50000, 700)
    save("rotten")
    scene.rot(scene.packs(s.repo)[0], 50000, 700)
    copy_tree(s.repo, s.top + "/copy")
    scene.rot(scene.packs(s.repo)[0], 30000, 200000)
    scene.rot(scene.packs(s.repo)[1], 0, 5000)
    save("lost")
    scene.rot(scene.packs(s.repo)[1], 0, 5000)
    scene.rot(scene.packs(s.repo)[0], 30000, 200000)
    s.must("forget", "--keep-last", "2")
    with open(s.src + "/a/two", "wb") as f:
        f.write(scene.noise("fourth", 70000))
    s.must("backup", "-q", "src")
    save("synced")
    shutil.rmtree(s.top + "/copy")
    s.must("forget", "--keep-last", "1")
    save("forgotten")
    shutil.rmtree(s.top)
    return states


class Trial:
    """One verb with one call failing."""

    def __init__(self, top, verb, state, lib):
        self.s, self.verb, self.state, self.lib = Scene(top), verb, state, lib
        self.expected = None    # root of what a backup makes of src/
        self.before = {}        # what is listed in the state

    def fresh(self):
        # The source keeps its inodes and times, or a backup would have other things to do each time.
        os.makedirs(self.s.top, exist_ok=True)
        for name in FOLDERS:
            shutil.rmtree(self.s.top + "/" + name, ignore_errors=True)
            if os.path.isdir(self.state.top + "/" + name):
                copy_tree(self.state.top + "/" + name, self.s.top + "/" + name)
        if not os.path.isdir(self.s.src):
            os.makedirs(self.s.src)
            scene.fill(self.s.src, "now")
            scene.settle()

    def faulty(self, kind, at):
        state = self.s.top + "/calls"
        scene.new_state(state)
        run = self.s.vouch(*self.verb.args, LD_PRELOAD=self.lib, FAULT_KIND=kind, FAULT_AT=str(at),
                           FAULT_STATE=state, WATCH=":".join(self.s.top + "/" + w for w in self.verb.watch))
        return run, *scene.read_state(state)

    def count(self):
        """How many calls there are of each kind."""
        self.fresh()
        self.before = self.s.snapshots() if self.verb.state != "empty" else {}
        run, calls, _, _ = self.faulty("eio", 0)
        if run.code != 0:
            raise Broken("only counting: %s" % run)
        if self.verb.new:
            self.expected = [r for n, r in self.s.snapshots().items() if n not in self.before][0]
            self.tree = digest_tree(self.s.src)
        return dict(zip(KINDS, calls))

    def try_one(self, kind, at, deep):
        """True: a call failed."""
        v, s = self.verb, self.s
        self.fresh()
        run, _, failed, what = self.faulty(kind, at)
        try:
            self.judge_run(run, failed)
            if v.name == "init":
                self.judge_init(run)
            else:
                self.judge(run, kind, what, deep)
        except Broken as e:
            raise Broken("%s (%s at %d: %s)\n  that run: %s" % (e, kind, at, what or "none", run)) from e
        return failed > 0

    def judge_run(self, run, failed):
        if run.code < 0:
            raise Broken("killed by signal %d" % -run.code)
        if run.code not in STATUS or (run.code != 0 and not failed):
            raise Broken("exit status %d" % run.code)
        lines = run.err.splitlines()
        if run.code != 0 and not any(line.startswith("vouch") for line in lines):
            raise Broken("failed without saying so")
        if re.search(r"\(null\)|Success", run.err) or not all(line.strip() for line in lines):
            raise Broken("says something strange")
        if len(lines) > 60:
            raise Broken("says %d lines" % len(lines))

    def judge_init(self, run):
        s = self.s
        if run.code != 0:
            again = s.vouch("init", "-q")
            if again.code != 0 and "already" not in again.err and "not empty" not in again.err:
                raise Broken("the next init: %s" % again)
        s.snapshots()
        s.must("backup", "-q", "-C", "src", ".")
        s.whole()
        self.judge_litter()

    def judge(self, run, kind, what, deep):
        v, s, before = self.verb, self.s, self.before
        after = s.snapshots()
        lost = [n for n in before if n not in after]
        new = {n: r for n, r in after.items() if n not in before}
        if len(lost) > v.gone or len(new) > v.new:
            raise Broken("lost %s, got %s" % (lost, list(new)))
        if any(after[n] != before[n] for n in after if n in before):
            raise Broken("a snapshot became another")
        if run.code == 0 and (len(lost) != v.gone or len(new) != v.new):
            raise Broken("reported success, lost %s, got %s" % (lost, list(new)))
        if run.code in (0, 1, 75) and any(r != self.expected for r in new.values()):
            raise Broken("a snapshot of other things than the source, and no word of it")
        if v.state not in ("rotten", "lost") or run.code == 0:
            s.whole()
        if v.name == "restore":
            self.judge_restored(run)
        if v.name.startswith("sync"):
            self.judge_copy(run, after)
        if run.code == 0 and v.name in ("verify", "restore") and kind == "gone" and \
                re.match(r"(open|openat|pread|read) /(packs/.|snapshots/.)", what):
            raise Broken("success with a drive that was gone")
        s.must(*v.args)
        s.whole()
        self.judge_litter()
        if v.name.startswith("sync"):
            self.judge_copy(Run(v.args, 0, "", ""), after)
            left = Scene(self.s.top, "copy").litter()
            if left:
                raise Broken("left behind in the copy: %s" % left)
        if deep and v.new:
            s.restored("latest", self.tree)

    def judge_copy(self, run, source):
        """What the copy lists is whole; all of it is there after a success."""
        c = Scene(self.s.top, "copy")
        if os.path.exists(c.repo + "/vouch.json"):
            if any(source.get(n, r) != r for n, r in c.snapshots().items()):
                raise Broken("the copy's snapshots are others")
            c.whole()
        if run.code == 0 and c.snapshots() != source:
            raise Broken("reported success, and the copy lists %s" % list(c.snapshots()))

    def judge_restored(self, run):
        """Every file under its own name is whole, whatever failed; all are there after a success."""
        s = self.s
        expected = digest_tree(self.state.src)
        got = digest_tree(s.out) if os.path.isdir(s.out) else {}
        for name, it in got.items():
            if it[0] == "folder" or os.path.basename(name).startswith(".vouch-"):
                continue
            if expected.get(name) != it:
                raise Broken("%s was restored with other bytes" % name)
        if run.code == 0 and any(got.get(n) != it for n, it in expected.items()):
            raise Broken("reported success, and not all is there")

    def judge_litter(self):
        left = self.s.litter()
        if left and self.verb.name in ("restore", "verify"):
            # What a run that is over left goes with the next writer.
            self.s.must("backup", "-q", "-C", "src", ".")
            left = self.s.litter()
        if left:
            raise Broken("left behind: %s" % left)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--seconds", type=float, default=0, help="0: all of them")
    p.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or time.time_ns() % 1000000))
    p.add_argument("--verb", action="append", choices=[v.name for v in VERBS])
    p.add_argument("--kind", action="append", choices=KINDS)
    p.add_argument("--at", type=int, help="only that call")
    p.add_argument("--list", action="store_true", help="say each trial")
    a = p.parse_args()
    rnd = random.Random(a.seed)
    say("seed %d" % a.seed)
    scene.build("failing.so")
    base = scene.work_dir()
    try:
        return run_all(a, rnd, base)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def run_all(a, rnd, base):
    lib = scene.BUILD + "/tests/fault/failing.so"
    states = prepare(base)
    began = time.monotonic()
    trials, todo, done, broken = {}, [], {}, 0

    def one(key, at):
        nonlocal broken
        t, kind = trials[key], key[1]
        count = done.setdefault(key, [0, 0])
        count[0] += 1
        if a.list:
            say("%s, %s, %d" % (*key, at))
        try:
            return t.try_one(kind, at, rnd.random() < 0.05)
        except Broken as e:
            broken += 1
            count[1] += 1
            say("BROKEN: %s, %s" % (key[0], e))
            scene.keep(t.s.top, "%s-%s-%d" % (key[0], kind, at))
            return True

    for verb in VERBS:
        if a.verb and verb.name not in a.verb:
            continue
        if not states["empty"].knows(verb.args[0]):
            say("this vouch has no %s" % verb.args[0])
            continue
        t = Trial(base + "/trial " + verb.name, verb, states[verb.state], lib)
        calls = t.count()
        for kind in KINDS:
            if a.kind and kind not in a.kind:
                continue
            key = (verb.name, kind)
            trials[key] = t
            if a.at:
                one(key, a.at)
            elif a.seconds:
                todo += [(key, n) for n in range(1, calls[kind] + 1)]
            else:
                n = 1
                while one(key, n):      # the last of them meets no failure
                    n += 1
    began = time.monotonic()
    if a.seconds:
        # Every K-th of all, from a random one on; then others between them, while there is time.
        step = max(1, len(todo) // 200)
        for start in rnd.sample(range(step), step):
            for key, n in rnd.sample(todo[start::step], len(todo[start::step])):
                if time.monotonic() - began > a.seconds:
                    break
                one(key, n)
    return report(done, broken, len(todo), time.monotonic() - began)


def report(done, broken, of, seconds):
    say("%-20s %s" % ("failing calls tried", "".join("%8s" % k for k in KINDS)))
    for verb in VERBS:
        if any(k[0] == verb.name for k in done):
            say("%-20s %s" % (verb.name, "".join("%8s" % done.get((verb.name, k), ["-"])[0] for k in KINDS)))
    total = sum(n for n, _ in done.values())
    say("%d failing calls%s, %d broken demands, %.0f s" % (total, " of %d" % of if of else "", broken, seconds))
    return 1 if broken or not total else 0


if __name__ == "__main__":
    sys.exit(main())
