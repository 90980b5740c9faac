# SPDX-License-Identifier: MIT
"""What tests/bench/paths sets side by side: vouch, its peers, and the programs that show a limit."""
import os
import re
import shutil
import subprocess

from common import run


def words_of(*args):
    """The first line that a program says, or None where it is not there."""
    if not shutil.which(args[0]):
        return None
    said = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    line = said.stdout.strip().split("\n")[0].strip("* ").split(",")[0].split(" compiled ")[0]
    return re.sub(r" \([^)]*\)", "", line) or "?"


class Tool:
    """What is measured. Each method says a command; backup runs in the source, restore in the new folder."""
    name = ""
    slow = False        # one round
    term = ""           # how it compresses, and that it encrypts
    get = ""            # where an absent one is to be had

    def __init__(self, bench):
        self.bench = bench
        self.home = os.path.join(bench.work, "turn")        # gone after each turn
        self.repo = os.path.join(self.home, "repository")

    def version(self):
        raise NotImplementedError

    def init(self):
        """Not measured."""

    def backup(self, again):
        raise NotImplementedError

    def restore(self):
        raise NotImplementedError

    def verify(self):
        return None

    def turn(self, label, which):
        """All steps with one set of files."""
        bench = self.bench
        source = bench.source[which]
        self.init()
        bench.step(label + " first", self, self.backup(False), source)
        bench.size(label + " size", self, self.repo)
        again = self.backup(True) if label == "A" else None
        if again:
            bench.step("A again", self, again, source)
        out = os.path.join(self.home, "out")
        os.mkdir(out)
        bench.step(label + " restore", self, self.restore(), out)
        bench.compare(self, source, out)
        run(["rm", "-rf", out])
        verify = self.verify()
        if verify:
            bench.step(label + " verify", self, verify, bench.work)


class Vouch(Tool):
    name = "vouch"
    term = "zstd 3, its default"

    def version(self):
        return words_of(self.bench.vouch, "--version")

    def knows_parity(self):
        return "--parity" in run([self.bench.vouch, "help", "init"], stdout=subprocess.PIPE)

    def at(self, *args):
        return [self.bench.vouch, "--repo", self.repo, *args]

    def make(self, parity):
        run([self.bench.vouch, "init", *(["--parity", parity] if self.knows_parity() else []), self.repo])

    def init(self):
        self.make("0")

    def backup(self, again):
        return self.at("backup", "-C", ".", ".")

    def restore(self):
        return self.at("restore", "latest", ".")

    def verify(self):
        return self.at("verify")

    def turn(self, label, which):
        super().turn(label, which)
        if label == "B":
            self.bench.step("B verify files", self, self.at("verify", "--files"), self.bench.work)
        elif self.knows_parity():
            self.bench.fresh(which)
            self.make("3%")
            self.bench.step("A first parity", self, self.backup(False), self.bench.source[which])
            self.bench.size("A size parity", self, self.repo)


class Bupstash(Tool):
    name = "bupstash"
    term = "zstd:3, encrypted; no xattrs, and owners not restored, as by default"
    get = "cargo install --locked bupstash"

    def version(self):
        return words_of("bupstash", "version")

    def key(self):
        return ["-r", self.repo, "-k", self.home + "/key"]

    def init(self):
        run(["bupstash", "new-key", "-o", self.home + "/key"])
        run(["bupstash", "init", "-r", self.repo])

    def backup(self, again):
        return ["bupstash", "put", "-q", *self.key(), "--compression", "zstd:3", "--send-log", self.home + "/sent",
                "turn=" + ("again" if again else "first"), "."]

    def restore(self):
        return ["bupstash", "restore", "-q", *self.key(), "--into", ".", "turn=first"]


class Restic(Tool):
    name = "restic"
    term = "its default (zstd), encrypted"
    get = "apt-get install restic"

    def version(self):
        return words_of("restic", "version")

    def at(self, *args):
        return ["restic", "-q", "-r", self.repo, *args]

    def init(self):
        run(self.at("init"))

    def backup(self, again):
        return self.at("backup", ".")

    def restore(self):
        return self.at("restore", "latest", "--target", ".")

    def verify(self):
        return self.at("check", "--read-data")


class Rustic(Tool):
    name = "rustic"
    term = "its default (zstd 3), encrypted"
    get = "cargo install --locked rustic-rs"

    def version(self):
        return words_of("rustic", "--version")

    def at(self, *args):
        return ["rustic", "--no-progress", "--log-level", "warn", "-r", self.repo, "--password", "x", *args]

    def init(self):
        run(self.at("init"))

    def backup(self, again):
        return self.at("backup", ".")

    def restore(self):
        return self.at("restore", "latest", ".")

    def verify(self):
        return self.at("check", "--read-data")


class Borg(Tool):
    name = "borg"
    term = "zstd,3, not encrypted"
    get = "apt-get install borgbackup"

    def version(self):
        return words_of("borg", "--version")

    def init(self):
        run(["borg", "init", "-e", "none", self.repo])

    def backup(self, again):
        return ["borg", "create", "-C", "zstd,3", self.repo + ("::again" if again else "::first"), "."]

    def restore(self):
        return ["borg", "extract", self.repo + "::first"]

    def verify(self):
        return ["borg", "check", "--verify-data", self.repo]


class Bup(Tool):
    name = "bup"
    slow = True
    term = "its default (zlib 1)"
    get = "apt-get install bup"

    def version(self):
        said = words_of("bup", "version")
        return said and "bup " + said

    def init(self):
        os.environ["BUP_DIR"] = self.repo
        run(["bup", "init"])

    def backup(self, again):
        return ["sh", "-c", "bup index . && bup save -q --strip -n a ."]

    def restore(self):
        return ["bup", "restore", "-q", "-C", ".", "/a/latest/."]

    def verify(self):
        return ["bup", "fsck", "-j%d" % os.cpu_count(), "--disable-par2"]


class Casync(Tool):
    name = "casync"
    slow = True
    term = "zstd"
    get = "apt-get install casync"

    def version(self):
        return words_of("casync", "--version")

    def init(self):
        os.mkdir(self.repo)

    def index(self, name):
        return ["--store=" + self.repo + "/store.castr", self.repo + "/" + name + ".caidx"]

    def backup(self, again):
        return ["casync", "make", "--compression=zstd", "--cache=" + self.home + "/cache",
                *self.index("again" if again else "first"), "."]

    def restore(self):
        return ["casync", "extract", *self.index("first"), "."]

    def verify(self):
        return ["casync", "digest", *self.index("first")]


class Squashfs(Tool):
    name = "mksquashfs"
    term = "zstd, level 3"
    get = "apt-get install squashfs-tools"

    def version(self):
        return shutil.which("unsquashfs") and words_of("mksquashfs", "-version")

    def backup(self, again):
        return None if again else ["mksquashfs", ".", self.repo, "-comp", "zstd", "-Xcompression-level", "3",
                                   "-no-progress"]

    def restore(self):
        return ["unsquashfs", "-no-progress", "-f", "-d", ".", self.repo]


class Limit(Tool):
    """What a backup, a restore, a verification cannot be faster than, or hardly."""

    def version(self):
        return words_of(self.name, "--version")

    def large(self, label):
        """A as one file, or the files of B."""
        top = self.bench.source["large"]
        return [top + "/linux.tar"] + ([top + "/noise"] if label == "B" else [])


class Zstd(Limit):
    name = "zstd"

    def turn(self, label, which):
        self.bench.fresh("large")
        os.mkdir(self.repo)
        self.bench.step(label + " first", self, ["zstd", "-q", "-3", "-T0", "--output-dir-flat", self.repo,
                                                 *self.large(label)], self.bench.work)
        self.bench.size(label + " size", self, self.repo)


class Find(Limit):
    name = "find"

    def turn(self, label, which):
        if label == "A":
            self.bench.step("A again", self, ["find", ".", "-printf", "%p %y %m %U %G %s %T@ %C@ %i %n %l\n"],
                            self.bench.source[which])


class Cp(Limit):
    name = "cp"

    def turn(self, label, which):
        self.bench.step(label + " restore", self, ["cp", "-a", ".", self.home + "/out"], self.bench.source[which])


class Openssl(Limit):
    name = "openssl"

    def version(self):
        return words_of("openssl", "version")

    def turn(self, label, which):
        self.bench.fresh("large")
        self.bench.step(label + " verify", self, ["openssl", "dgst", "-sha256", *self.large(label)], self.bench.work)


PEERS = (Vouch, Bupstash, Restic, Rustic, Borg, Bup, Casync, Squashfs)
LIMITS = (Zstd, Find, Cp, Openssl)
