#!/usr/bin/env python3
"""load.py VOUCH SECONDS [SEED]: eight readers of a mount, two writers, a verify and a prune, all at once and again and
again.  Every byte that is read is the right one, every command ends well, nothing stands still (a watchdog), and the
mount's resident size stays flat.  Exit 77 where there is no /dev/fuse."""
import errno
import hashlib
import os
import subprocess
import sys
import threading
import time

from estate import HANG, Estate, Failed, Source, Tally, attack

READERS = 8
GROWTH_MIB = 24  # of the mount, from the middle third of the run to the last


class Attack:
    def __init__(self, vouch, seed):
        self.e = Estate(vouch, seed)
        self.point = self.e.top + "/mnt"
        self.stop = threading.Event()
        self.failed = []
        self.lock = threading.Lock()
        self.tally = Tally()
        self.alive = {}  # thread's name -> when it last did something
        self.stays = Source(self.e.top + "/stays", self.e.rng, files=300)
        self.kept = self.e.backup(self.stays, "--host", "kept")
        self.truth = self.e.known[self.kept]
        time.sleep(1.1)  # of two snapshots of one second neither is named by its date alone
        os.mkdir(self.point)
        self.server = subprocess.Popen(self.e.argv("mount", "-f", self.point), env=self.e.env,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        for _ in range(400):
            if os.path.ismount(self.point):
                break
            time.sleep(0.05)
        else:
            raise Failed("the mount does not come up")
        self.folder = [f for f in os.listdir(self.point) if f.endswith("Z")][0]

    def beat(self, **what):
        with self.lock:
            self.alive[threading.current_thread().name] = time.monotonic()
            self.tally.add(threading.current_thread().name.split("-")[0], **what)

    def guard(self, fn, *args):
        try:
            while not self.stop.is_set():
                fn(*args)
        except Exception as e:  # pylint: disable=broad-except
            self.failed.append(f"{threading.current_thread().name}: {e}")
            self.stop.set()

    def read(self, rng):
        """A file of the snapshot that stays must be right; one of the newest may go while it is read."""
        name = rng.choice(list(self.truth))
        with open(os.path.join(self.point, self.folder, name), "rb") as f:
            if hashlib.sha256(f.read()).hexdigest() != self.truth[name]:
                raise Failed(f"wrong bytes in {name}")
        try:
            walked = sum(len(files) for _, _, files in os.walk(os.path.join(self.point, "latest/."), onerror=self.walk_error))
        except OSError as e:
            self.walk_error(e)
            walked = 0
        self.beat(files=1 + walked)

    @staticmethod
    def walk_error(e):
        if e.errno not in (errno.ESTALE, errno.ENOENT):
            raise e

    def write(self, source):
        source.change()
        self.e.ok("backup", "-q", "-C", source.path, ".")
        self.beat()

    def verify(self):
        # 4 would be damage; a snapshot that goes meanwhile is none
        self.e.ok("verify", "-q")
        self.beat()

    def prune(self):
        self.e.ok("forget", "-q", "--keep-last", "2")
        self.e.ok("prune", "-q")
        self.beat()
        self.stop.wait(0.2)

    def resident(self):
        with open(f"/proc/{self.server.pid}/status") as f:
            return [int(line.split()[1]) / 1024 for line in f if line.startswith("VmRSS")][0]

    def watch(self, seconds):
        """Until the time is over; returns the resident sizes on the way."""
        sizes, end = [], time.monotonic() + seconds
        while time.monotonic() < end and not self.stop.is_set():
            time.sleep(0.25)
            if self.server.poll() is not None:
                raise Failed(f"the mount ended: {self.server.returncode}: {self.server.stderr.read().decode()}")
            sizes.append(self.resident())
            with self.lock:
                stuck = [n for n, t in self.alive.items() if time.monotonic() - t > HANG]
            if stuck:
                raise Failed(f"stands still: {stuck}")
        return sizes

    def rounds(self, seconds):
        try:
            self.load(seconds)
        finally:
            self.unmount()

    def load(self, seconds):
        rng = self.e.rng
        writers = [Source(f"{self.e.top}/w{i}", rng, files=40) for i in range(2)]
        threads = [threading.Thread(name=f"read-{i}", target=self.guard, args=(self.read, rng)) for i in range(READERS)]
        threads += [threading.Thread(name=f"write-{i}", target=self.guard, args=(self.write, w))
                    for i, w in enumerate(writers)]
        threads += [threading.Thread(name="verify", target=self.guard, args=(self.verify,)),
                    threading.Thread(name="prune", target=self.guard, args=(self.prune,))]
        now = time.monotonic()
        self.alive = {t.name: now for t in threads}
        for t in threads:
            t.daemon = True
            t.start()
        sizes = self.watch(seconds)
        self.stop.set()
        for t in threads:
            t.join(HANG)
        stuck = [t.name for t in threads if t.is_alive()]
        if stuck or self.failed:
            raise Failed(f"{self.failed} stuck: {stuck}")
        third = len(sizes) // 3
        middle, last = max(sizes[third:2 * third]), max(sizes[2 * third:])
        print(f"resident MiB: at first {sizes[0]:.0f}, middle third {middle:.0f}, last third {last:.0f}")
        if last - middle > GROWTH_MIB:
            raise Failed("the mount grows")
        self.e.known = {self.kept: self.truth}
        self.e.ok("verify", "-q", "--files")
        self.e.bytes()

    def unmount(self):
        for _ in range(100):
            if self.server.poll() is not None:
                break
            subprocess.run(["fusermount3", "-u", self.point], stderr=subprocess.DEVNULL, check=False)
            time.sleep(0.05)
        else:
            subprocess.run(["umount", "-l", self.point], check=False)


if __name__ == "__main__":
    if not os.path.exists("/dev/fuse"):
        print("no /dev/fuse")
        sys.exit(77)
    sys.exit(attack(Attack, sys.argv))
