"""What the attacks on running processes share: a repository, a source that changes, and what each snapshot must hold."""
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HANG = 120  # seconds after which a command is taken for stuck: a watchdog, not a measure of speed


class Failed(Exception):
    """What must hold does not."""


def digests(top):
    """Relative path -> SHA-256 of each file below top."""
    found = {}
    for folder, _, files in os.walk(top):
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, top)] = hashlib.sha256(f.read()).hexdigest()
    return found


class Source:
    """A folder of files, changed in place again and again; what went comes back, so that it meets its own condemned chunks."""

    CONTENTS = 90

    def __init__(self, path, rng, files=60, size=60_000):
        self.path, self.rng, self.size = path, rng, size
        os.makedirs(path)
        for i in range(files):
            self.write(f"{i % 7}/{i}")
        self.write("large", 30 * size)

    def write(self, name, size=None):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        again = random.Random(self.rng.randrange(self.CONTENTS))
        with open(path, "wb") as f:
            f.write(again.randbytes(again.randrange(size or 2 * self.size)))

    def change(self, files=8):
        for _ in range(files):
            self.write(f"{self.rng.randrange(7)}/{self.rng.randrange(90)}")

    def truth(self):
        return digests(self.path)


class Estate:
    """A repository in a private folder.  known: what each snapshot that was reported must hold, by its id."""

    def __init__(self, vouch, seed, init=("--pack", "1M"), top=None):
        self.vouch = os.path.abspath(vouch)
        self.rng = random.Random(seed)
        self.top = top or tempfile.mkdtemp(prefix="vouch-crash.", dir=os.environ.get("TMPDIR"))
        self.repo = os.path.join(self.top, "repo")
        self.env = dict(os.environ, XDG_STATE_HOME=self.top + "/state", XDG_CACHE_HOME=self.top + "/cache",
                        LC_ALL="C.UTF-8")
        self.env.pop("VOUCH_REPO", None)
        self.known = {}
        self.took = 0.1  # seconds of the last backup
        self.ok("init", "-q", *init, self.repo, repo=None)

    def close(self):
        shutil.rmtree(self.top, ignore_errors=True)

    def argv(self, *args, repo=""):
        return [self.vouch] + (["--repo", repo or self.repo] if repo is not None else []) + list(args)

    def start(self, *args, repo=""):
        return subprocess.Popen(self.argv(*args, repo=repo), env=self.env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def end(self, p, what):
        """Exit status and output of a process that must end by itself."""
        try:
            out, _ = p.communicate(timeout=HANG)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGABRT)
            raise Failed(f"{what}: stuck for {HANG} s") from None
        if p.returncode < 0:
            raise Failed(f"{what}: ended by signal {-p.returncode}:\n{out.decode(errors='replace')}")
        return p.returncode, out.decode(errors="replace")

    def run(self, *args, repo=""):
        return self.end(self.start(*args, repo=repo), " ".join(args))

    def ok(self, *args, repo="", allowed=(0,)):
        rc, out = self.run(*args, repo=repo)
        if rc not in allowed:
            raise Failed(f"{' '.join(args)}: exit {rc}:\n{out}")
        return out

    def kill(self, p, after):
        """Kill p and all it started, after so many seconds; whether it was still running then."""
        try:
            p.wait(timeout=after)
        except subprocess.TimeoutExpired:
            pass
        alive = p.poll() is None
        try:
            os.killpg(p.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        p.communicate()
        return alive

    def snapshots(self, repo="", allowed=(0,)):
        return [json.loads(line)["id"] for line in self.ok("snapshots", "--json", repo=repo, allowed=allowed).splitlines()
                if '"id"' in line]

    def backup(self, source, *options):
        began = time.monotonic()
        out = self.ok("backup", "--json", *options, "-C", source.path, ".")
        self.took = time.monotonic() - began
        made = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        name = [m["snapshot"] for m in made if m.get("type") == "summary"][0]
        ident = [s for s in self.snapshots() if s.startswith(name) or name.endswith(s[:16])]
        self.known[ident[0]] = source.truth()
        return ident[0]

    def compare(self, ident, truth, repo=""):
        """Bring the snapshot back; all its files must be there, and be what they were."""
        out = os.path.join(self.top, "out")
        shutil.rmtree(out, ignore_errors=True)
        self.ok("restore", "-q", ident, out, repo=repo)
        found = digests(out)
        shutil.rmtree(out)
        if found != truth:
            differ = sorted(p for p in set(found) | set(truth) if found.get(p) != truth.get(p))
            raise Failed(f"snapshot {ident[:16]}: {len(differ)} files differ: {differ[:5]}")

    def whole(self, pending=(), repo=""):
        """
        Everything that was reported is listed, and all that is listed is whole.  A snapshot that a killed backup had
        just published holds one of the pending truths.
        """
        listed = self.snapshots(repo)
        gone = [i for i in self.known if i not in listed]
        if gone:
            raise Failed(f"not listed any more: {gone}")
        self.ok("verify", "-q", repo=repo)
        for ident in listed:
            if ident in self.known:
                continue
            for truth in pending:
                try:
                    self.compare(ident, truth, repo)
                except Failed as e:
                    why = e
                else:
                    self.known[ident] = truth
                    break
            else:
                raise Failed(f"snapshot {ident[:16]} is none that was asked for: {why if pending else ''}")
        return listed

    def bytes(self, most=None, repo=""):
        """Bring snapshots back (all, or so many) and compare every file."""
        idents = list(self.known)
        for ident in self.rng.sample(idents, min(most or len(idents), len(idents))):
            self.compare(ident, self.known[ident], repo)

    def no_litter(self, repo="", folders=("tmp",)):
        """Nothing of a dead process there: in tmp/ after the next writer, in writers/ and condemned/ after the next prune."""
        top = repo or self.repo
        left = [f"{d}/{n}" for d in folders if os.path.isdir(os.path.join(top, d))
                for n in os.listdir(os.path.join(top, d))]
        if left:
            raise Failed(f"left behind: {left}")


class Tally:
    """What was done, by kind; and a line a second on a terminal."""

    def __init__(self):
        self.counts = {}
        self.began = time.monotonic()

    def add(self, kind, **more):
        row = self.counts.setdefault(kind, {})
        for key, n in dict(rounds=1, **more).items():
            row[key] = row.get(key, 0) + n

    def table(self):
        for kind, row in self.counts.items():
            print(f"{kind:12}", ", ".join(f"{key} {n}" for key, n in row.items()))
        print(f"{time.monotonic() - self.began:.0f} s")


def attack(kind, argv):
    """main(): PROGRAM VOUCH NR [SEED]; kind(vouch, seed).rounds(NR), and what came of it.  What failed is left to be looked at."""
    seed = int(argv[3]) if len(argv) > 3 else time.time_ns() % 10**9
    print(f"seed {seed}")
    what = kind(argv[1], seed)
    try:
        what.rounds(int(argv[2]))
    except Failed as e:
        print(f"{e}\nthe repository is left in {what.e.top}")
        return 1
    finally:
        what.tally.table()
    what.e.close()
    return 0
