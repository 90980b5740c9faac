"""What the attacks on system calls and on power share: a small source, a repository, and the demands on it."""
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
VOUCH = os.environ.get("VOUCH") or TOP + "/build/vouch"
BUILD = os.environ.get("B") or TOP + "/build"
HANG = 60       # seconds; the longest of these runs takes a tenth of one

# Little, so that a run takes 0.03 s, and yet every kind of thing is in it.
SMALL = [("a/one", 5000), ("a/two", 90000), ("b/empty", 0), ("b/three", 300), ("big", 260000)]


class Broken(Exception):
    """A demand that was not met."""


def work_dir():
    """In memory where there is room: thousands of small repositories are made."""
    where = os.environ.get("TMPDIR") or "/tmp"
    try:
        st = os.statvfs("/dev/shm")
        if st.f_bavail * st.f_frsize > 500 << 20:
            where = "/dev/shm"
    except OSError:
        pass
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))       # so that the caller's finally runs
    return tempfile.mkdtemp(prefix="vouch-faults.", dir=where)


def noise(seed, n):
    return hashlib.shake_256(seed.encode()).digest(n)


def fill(src, seed, skip=()):
    """Files, a folder that is empty, a link and a hard link; the same bytes for the same seed."""
    for name, size in SMALL:
        if name in skip:
            continue
        path = os.path.join(src, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(noise(seed + name, size))
    os.makedirs(src + "/void", exist_ok=True)
    if not os.path.islink(src + "/link"):
        os.symlink("a/one", src + "/link")
        os.link(src + "/a/one", src + "/b/again")


def settle():
    """What was changed less than two seconds before it is read is noted as unsettled, and so has another node."""
    time.sleep(2.1)


def digest_tree(top):
    """Name -> kind and bytes of all below top."""
    out = {}
    for folder, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(folder, name)
            rel = os.path.relpath(path, top)
            if os.path.islink(path):
                out[rel] = ("link", os.readlink(path))
            elif os.path.isdir(path):
                out[rel] = ("folder", "")
            else:
                with open(path, "rb") as f:
                    out[rel] = ("file", hashlib.sha256(f.read()).hexdigest())
    return out


class Run:
    """A finished run of vouch."""

    def __init__(self, args, code, out, err):
        self.args, self.code, self.out, self.err = args, code, out, err

    def __str__(self):
        return "vouch %s: exit %d\n%s" % (" ".join(self.args), self.code, self.err.rstrip())


def of_another(temporary):
    """HOST-PID-RANDOM: the number of a process that was may be that of one that is by now, whose things are left."""
    try:
        os.kill(int(temporary.split("-")[1]), 0)
        return True
    except (ValueError, IndexError, OSError):
        return False


class Scene:
    """A folder with repo/, src/, out/, perhaps copy/, and vouch's own state; and vouch run in it."""

    def __init__(self, top, repo="repo"):
        self.top = top
        self.repo, self.src, self.out = top + "/" + repo, top + "/src", top + "/out"
        self.env = dict(os.environ, XDG_STATE_HOME=top + "/state", XDG_CACHE_HOME=top + "/cache",
                        VOUCH_REPO=self.repo, LC_ALL="C.UTF-8")
        self.env.pop("LD_PRELOAD", None)

    def vouch(self, *args, **env):
        try:
            p = subprocess.run([VOUCH, *args], env=dict(self.env, **env), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=HANG, cwd=self.top)
        except subprocess.TimeoutExpired as e:
            raise Broken("vouch %s hangs" % " ".join(args)) from e
        return Run(args, p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace"))

    def must(self, *args, **env):
        run = self.vouch(*args, **env)
        if run.code != 0:
            raise Broken("without a fault: %s" % run)
        return run

    def snapshots(self):
        """Name -> root of what is listed."""
        out = {}
        for line in self.must("snapshots", "--json").out.splitlines():
            one = json.loads(line)
            if one.get("type") == "snapshot":
                out[one["name"]] = one["root"]
        return out

    def knows(self, verb):
        """Whether this vouch has the command."""
        return ("\n  %s " % verb) in self.must("help").out

    def whole(self):
        """All that is listed can be read; nothing of the repository is damaged."""
        self.must("verify", "-q", "--files")

    def restored(self, snapshot, expected):
        """The long way round: the bytes themselves."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.must("restore", "-q", snapshot, self.out)
        got = digest_tree(self.out)
        shutil.rmtree(self.out)
        if got != expected:
            raise Broken("%s restores to other files: %s" % (
                snapshot, sorted(set(got.items()) ^ set(expected.items()))[:4]))

    def litter(self, folder="tmp"):
        where = self.repo + "/" + folder
        return [folder + "/" + n for n in (os.listdir(where) if os.path.isdir(where) else []) if not of_another(n)]


def packs(repo):
    """Paths of packs, the longest first."""
    out = [os.path.join(d, n) for d, _, names in os.walk(repo + "/packs") for n in names if n.endswith(".pack")]
    return sorted(out, key=lambda p: (-os.path.getsize(p), p))


def rot(path, at, n):
    """n bytes become others."""
    with open(path, "r+b") as f:
        f.seek(at)
        was = f.read(n)
        f.seek(at)
        f.write(bytes(b ^ 0x55 for b in was))


def copy_tree(src, dst):
    shutil.rmtree(dst, ignore_errors=True)
    shutil.copytree(src, dst, symlinks=True)


def build(*libraries):
    """The libraries that stand in front of libc, made where they are not."""
    subprocess.run(["make", "-s", "-C", TOP, "B=" + BUILD] + [BUILD + "/tests/fault/" + n for n in libraries],
                   check=True, stdout=subprocess.DEVNULL)


def new_state(path):
    with open(path, "wb") as f:
        f.write(bytes(512))


def read_state(path):
    """calls of each kind, failed, what failed first"""
    with open(path, "rb") as f:
        b = f.read(512)
    *calls, failed = struct.unpack_from("=8Q", b)
    return calls, failed, b[64:].split(b"\0", 1)[0].decode(errors="replace")


def keep(top, label):
    """Leave the state of a broken demand for whoever looks at it."""
    where = os.environ.get("KEEP")
    if where:
        copy_tree(top, os.path.join(where, label.replace("/", "_").replace(" ", "-")))


def say(text):
    print(text, flush=True)
