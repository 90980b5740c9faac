# SPDX-License-Identifier: MIT
"""What the benchmarks share: their options, their two sets of files, their folder and environment."""
import argparse
import json
import os
import random
import signal
import subprocess
import sys

ARCHIVE = "/usr/src/linux-source-6.1.tar.xz"
RANDOM_BYTES = 800 * 1000 * 1000
SEED = 20261121


def skip(why):
    print(why, file=sys.stderr)
    sys.exit(77)


def run(args, **how):
    how.setdefault("stdout", subprocess.DEVNULL)
    done = subprocess.run(args, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False, **how)
    if done.returncode:
        raise RuntimeError("%s: exit %d: %s" % (" ".join(args), done.returncode, done.stderr.strip()[-500:]))
    return done.stdout


def options(doc):
    """The command line; usage is the second paragraph of doc. Exit 77 where there is nothing to measure with."""
    parser = argparse.ArgumentParser(usage=doc.split("\n\n")[1])
    parser.add_argument("vouch", nargs="?", default="build/vouch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--small")
    parser.add_argument("--only")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("--rounds: at least one")
    if not args.small and not os.path.exists(ARCHIVE):
        skip("apt-get install linux-source-6.1, or --small DIR")
    if not os.access(args.vouch, os.X_OK):
        skip("%s is not there: make" % args.vouch)
    return args


def sets(work, small):
    """Two folders: "small", the Linux source tree or the folder given; "large", its tar and random bytes."""
    source = {"small": os.path.abspath(small) if small else os.path.join(work, "linux-source-6.1"),
              "large": os.path.join(work, "source.large")}
    if not small:
        run(["tar", "-C", work, "-xf", ARCHIVE])
    os.makedirs(source["large"])
    run(["tar", "-C", os.path.dirname(source["small"]), "--sort=name", "-cf", source["large"] + "/linux.tar",
         os.path.basename(source["small"])])
    noise = random.Random(SEED)
    with open(source["large"] + "/noise", "wb") as f:
        for _ in range(RANDOM_BYTES // 1000000):
            f.write(noise.randbytes(1000000))
    return source


def some_files(top, number):
    """The names, below top, of so many regular files: the same each time."""
    names = sorted(os.path.relpath(os.path.join(d, f), top) for d, _, files in os.walk(top) for f in files
                   if os.path.isfile(os.path.join(d, f)) and not os.path.islink(os.path.join(d, f)))
    return random.Random(SEED).sample(names, min(number, len(names)))


def own_environment(work):
    """Nothing of the user's configuration and caches is used, none is left."""
    os.environ.update({
        "XDG_STATE_HOME": work + "/state", "XDG_CACHE_HOME": work + "/cache", "XDG_CONFIG_HOME": work + "/config",
        "RESTIC_PASSWORD": "x", "RESTIC_CACHE_DIR": work + "/cache/restic",
        "BORG_BASE_DIR": work + "/cache/borg", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        "LC_ALL": "C.UTF-8",
    })


def exit_on_signals():
    """By an exception, so that what is open is closed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1)
        f.write("\n")
