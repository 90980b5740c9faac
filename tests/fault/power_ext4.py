#!/usr/bin/env python3
"""The power goes for a repository on a real ext4: its image is copied while vouch runs.

    power_ext4.py [--cuts N] [--seed N]

A loop device in memory; backups, forgets and prunes on it, each stopped (SIGSTOP: what it asked of the kernel is done,
what was not synced is not in the image) or left running at a random moment while the image is read, twice or more,
until two readings in a row are the same: no write came between them, so that is the image of one moment. The copy is
mounted, which replays the journal, and must meet the demands of power_cut.py. Needs root and a free loop device;
exit 77 without.
"""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import scene
from scene import Broken, Scene, digest_tree, say

IMAGE_MB = 48
SKIP = 77


def command(*args):
    p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if p.returncode != 0:
        raise RuntimeError("%s: %s" % (" ".join(args), p.stdout.decode(errors="replace").strip()))


def moment(path):
    """The image, as it was at one moment."""
    with open(path, "rb", buffering=0) as f:
        last = None
        for _ in range(200):
            f.seek(0)
            now = f.readall()
            if now == last:
                return now
            last = now
    return None


class Disk:
    """An image and where it is mounted."""

    def __init__(self, base, name):
        self.image, self.at = "%s/%s.img" % (base, name), "%s/%s" % (base, name)
        os.mkdir(self.at)
        self.mounted = False

    def mount(self, options):
        command("mount", "-o", "loop," + options, self.image, self.at)
        self.mounted = True

    def umount(self):
        if self.mounted:
            for _ in range(50):         # a scanner of the desktop may have it open for a moment
                if subprocess.run(["umount", self.at], stderr=subprocess.DEVNULL, check=False).returncode == 0:
                    break
                time.sleep(0.1)
            else:
                command("umount", "-l", self.at)
            self.mounted = False


class Live:
    def __init__(self, base, rnd):
        self.base, self.rnd, self.number = base, rnd, 0
        self.options = rnd.choice(("data=ordered", "data=writeback", "data=writeback,commit=300"))
        self.disk, self.copy = Disk(base, "live"), Disk(base, "copy")
        with open(self.disk.image, "wb") as f:
            f.truncate(IMAGE_MB << 20)
        command("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.disk.image)
        self.src = base + "/src"
        os.mkdir(self.src)
        scene.fill(self.src, "real")
        self.s = Scene(self.disk.at)
        self.last = {}          # how long a verb took
        self.tried = 0

    def open(self):
        self.disk.mount(self.options)

    def close(self):
        self.copy.umount()
        self.disk.umount()

    def args(self):
        self.number += 1
        if self.number % 5 == 4:
            return ["forget", "--keep-last", "2"]
        if self.number % 5 == 0:
            return ["prune", "-q", "--max-unused", "5%"]
        for i in range(20):
            with open("%s/new%d" % (self.src, i), "wb") as f:
                f.write(scene.noise("%d %d" % (self.number, i), self.rnd.randint(1, 200000)))
        return ["backup", "-q", "-C", self.src, "."]

    def one(self):
        """A run, cut once; then the demands on what the cut left."""
        args = self.args()
        if args[0] not in self.last:
            began = time.monotonic()
            self.s.must(*args)
            self.last[args[0]] = time.monotonic() - began
            return
        before = self.s.snapshots()
        p = subprocess.Popen([scene.VOUCH, *args], env=self.s.env, cwd=self.disk.at, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL)
        time.sleep(self.rnd.random() * self.last[args[0]])
        stop = self.rnd.random() < 0.8
        if stop:
            p.send_signal(signal.SIGSTOP)
        image = moment(self.disk.image)
        running = p.poll() is None
        if stop and running:
            p.send_signal(signal.SIGCONT)
        if p.wait(scene.HANG) != 0:
            raise Broken("without a cut: vouch %s: exit %d" % (" ".join(args), p.returncode))
        after = self.s.snapshots()
        if image is None or not running:
            return
        with open(self.copy.image, "wb") as f:
            f.write(image)
        self.copy.mount(self.options)
        try:
            self.judge(before, after, digest_tree(self.src))
        except Broken as e:
            raise Broken("cut %d, in %s, %s%s: %s" % (self.tried, " ".join(args), self.options,
                                                     ", stopped" if stop else "", e)) from e
        finally:
            self.copy.umount()
        self.tried += 1

    def judge(self, before, after, tree):
        s = Scene(self.copy.at)
        s.out = self.base + "/out"
        got = s.snapshots()
        for name in before.keys() & after.keys():
            if name not in got:
                raise Broken("%s is lost" % name)
        for name, root in got.items():
            if root not in (before.get(name), after.get(name)):
                raise Broken("%s is listed, and should not be" % name)
        s.whole()
        s.must("prune", "-q")
        s.must("backup", "-q", "-C", self.src, ".")
        s.whole()
        if s.litter():
            raise Broken("left behind: %s" % s.litter())
        s.restored("latest", tree)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--cuts", type=int, default=10)
    p.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or time.time_ns() % 1000000))
    a = p.parse_args()
    say("seed %d" % a.seed)
    if os.geteuid() != 0:
        say("mounting an image needs root")
        return SKIP
    base = scene.work_dir()
    live = None
    try:
        try:
            live = Live(base, random.Random(a.seed))
            live.open()
        except (RuntimeError, OSError) as e:
            say("no image can be mounted here: %s" % e)
            return SKIP
        began = time.monotonic()
        live.s.must("init", "-q")
        for _ in range(10 + 10 * a.cuts):
            if live.tried < a.cuts:
                live.one()
        say("%d cuts of a repository on ext4 (%s), %.0f s" % (live.tried, live.options, time.monotonic() - began))
        return 0 if live.tried == a.cuts else 1
    except Broken as e:
        say("BROKEN: %s" % e)
        return 1
    finally:
        if live:
            live.close()
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
