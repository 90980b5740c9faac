#!/usr/bin/env python3
"""A second reader of vouch repositories, written from vouch-format(5) alone.

    reader.py REPO                        the snapshots
    reader.py REPO SNAPSHOT               every path of one: sha256 (or -), size, path
    reader.py REPO SNAPSHOT PATH          that file's bytes on standard output

It needs the standard library and the zstd program, and checks every digest on
the way.  It is slow and small on purpose: if this file and the page ever
disagree with vouch, one of the three is wrong.
"""
import hashlib
import json
import pathlib
import struct
import subprocess
import sys


def die(why):
    sys.exit("reader.py: " + why)


def u(fmt, buf, off):
    return struct.unpack_from("<" + fmt, buf, off)


class Repository:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        raw = (self.path / "vouch.json").read_bytes()
        body, last = raw[:-1].rsplit(b"\n", 1)
        want = json.loads(b"{" + last)["sha256"]
        if hashlib.sha256(body + b"\n").hexdigest() != want:
            die("vouch.json is damaged")
        top = json.loads(raw)
        if top["vouch"] != "repository" or top["format"] > 1 or top["features"]["incompatible"]:
            die("not a repository of format 1")
        self.where = {}                 # chunk id -> (pack, offset of its block, place in the block)
        self.block = (None, None)       # the last block: its place and its chunks
        for pack in sorted(self.path.glob("packs/??/*.pack")):
            self.read_table(pack)

    def read_table(self, pack):
        raw = pack.read_bytes()
        if hashlib.sha256(raw).hexdigest() != pack.stem:
            print("damaged or incomplete: %s" % pack, file=sys.stderr)
            return
        whole, frame_len = u("QI", raw, len(raw) - 32)
        if whole != len(raw) or raw[-8:] != b"VOUCHEND":
            die("no footer in %s" % pack)
        at = len(raw) - frame_len
        magic, length = u("II", raw, at)
        at += 8
        if magic != 0x184D2A5C or length != frame_len - 8 or raw[at:at + 4] != b"VTAB":
            die("no table in %s" % pack)
        nr_blocks, nr_chunks = u("II", raw, at + 8)
        chunk_at = at + 16 + 16 * nr_blocks
        for b in range(nr_blocks):
            off, _, _, nr = u("IIII", raw, at + 16 + 16 * b)
            for i in range(nr):
                self.where[raw[chunk_at:chunk_at + 32]] = (pack, off, i)
                chunk_at += 36
            nr_chunks -= nr
        if nr_chunks != 0:
            die("table of %s does not add up" % pack)

    def read_block(self, pack, off):
        """The chunks of one block, each checked against its id."""
        with open(pack, "rb") as f:
            f.seek(off)
            magic, length = u("II", f.read(8), 0)
            head = f.read(length)
            if magic != 0x184D2A5B or head[:4] != b"VBLK" or u("H", head, 6)[0] != 0:
                die("no block at %d of %s" % (off, pack))
            nr, plain_len, stored_len = u("III", head, 12)
            frame = f.read(stored_len)
        plain = subprocess.run(["zstd", "-dcq"], input=frame, stdout=subprocess.PIPE, check=True).stdout
        if len(plain) != plain_len:
            die("a block of %s has another length than it says" % pack)
        chunks, at = [], 0
        for i in range(nr):
            cid = head[48 + 36 * i:80 + 36 * i]
            data = plain[at:at + u("I", head, 80 + 36 * i)[0]]
            if hashlib.sha256(data).digest() != cid:
                die("chunk %s is damaged" % cid.hex())
            chunks.append(data)
            at += len(data)
        return chunks

    def chunk(self, cid):
        if cid not in self.where:
            die("chunk %s is in no pack" % cid.hex())
        pack, off, i = self.where[cid]
        if self.block[0] != (pack, off):
            self.block = ((pack, off), self.read_block(pack, off))
        return self.block[1][i]

    def snapshots(self):
        for f in sorted(self.path.glob("snapshots/*.json")):
            raw = f.read_bytes()
            if hashlib.sha256(raw).hexdigest()[:16] != f.stem[21:]:
                print("damaged: %s" % f, file=sys.stderr)
                continue
            yield f.stem, json.loads(raw)

    def node(self, nid):
        raw = self.chunk(nid)
        kind, level = raw[5], raw[6]
        nr = u("I", raw, 8)[0]
        if raw[:4] != b"VNOD" or raw[4] != 1:
            die("%s is no node" % nid.hex())
        return kind, nr, raw[16:]

    def entries(self, nid):
        """The entries of a directory, in order: (name, type, size, attributes by tag)."""
        kind, nr, body = self.node(nid)
        if kind == 2:
            at = 0
            for _ in range(nr):
                yield from self.entries(body[at:at + 32])
                at += 32 + 64 + 2 + u("H", body, at + 96)[0]
            return
        at = 2
        for _ in range(u("H", body, 0)[0]):
            at += 8
            at += 1 + body[at]
            at += 1 + body[at]
        for _ in range(nr):
            name_len, etype = u("HB", body, at)
            size, attrs_len = u("QI", body, at + 40)
            at += 52
            name, tags = body[at:at + name_len], {}
            at += name_len
            end = at + attrs_len
            while at < end:
                tag, length = u("BI", body, at)
                tags[tag] = body[at + 5:at + 5 + length]
                at += 5 + length
            yield name, etype, size, tags

    def segments(self, run):
        at = 0
        while at < len(run):
            if run[at] == 0:
                yield run[at + 5:at + 37], u("I", run, at + 1)[0]
                at += 37
            else:
                yield None, u("Q", run, at + 1)[0]
                at += 9

    def content_node(self, nid):
        kind, nr, body = self.node(nid)
        if kind == 3:
            yield from self.segments(body)
            return
        for i in range(nr):
            yield from self.content_node(body[40 * i:40 * i + 32])

    @staticmethod
    def parts(hole):
        """A hole may be larger than memory."""
        while hole > 0:
            yield min(hole, 1 << 20)
            hole -= 1 << 20

    def content(self, size, tags):
        """The pieces of a file's content; at the end its digest has been checked."""
        sha, seen = hashlib.sha256(), 0
        if 7 in tags:
            pieces = [(tags[7], len(tags[7]))]
        else:
            run = self.content_node(tags[9]) if 9 in tags else self.segments(tags.get(8, b""))
            run = ((c, m) for c, n in run for m in ([n] if c else self.parts(n)))
            pieces = ((self.chunk(c) if c else bytes(n), n) for c, n in run)
        for data, length in pieces:
            if len(data) != length:
                die("a segment has another length than its chunk")
            sha.update(data)
            seen += length
            yield data
        if seen != size or (6 in tags and sha.digest() != tags[6]):
            die("a file's content is not what its entry says")

    def digest(self, size, tags):
        if 6 in tags:
            return tags[6].hex()
        holes = sum(n for c, n in self.segments(tags.get(8, b"")) if not c)
        if 12 in tags or holes:
            return "-"      # mostly holes: none is recorded
        sha = hashlib.sha256()
        for piece in self.content(size, tags):
            sha.update(piece)
        return sha.hexdigest()

    def walk(self, nid, prefix=b""):
        for name, etype, size, tags in self.entries(nid):
            yield prefix + name, etype, size, tags
            if etype == 2:
                yield from self.walk(tags[10][:32], prefix + name + b"/")


def main(argv):
    if len(argv) not in (2, 3, 4):
        die("usage: reader.py REPO [SNAPSHOT [PATH]]")
    repo, out = Repository(argv[1]), sys.stdout.buffer
    snaps = dict(repo.snapshots())
    if len(argv) == 2:
        for name, s in snaps.items():
            print(name, s["host"], " ".join(str(x) for x in s["sources"]))
        return
    found = [s for name, s in snaps.items() if name.startswith(argv[2]) or name[21:].startswith(argv[2])]
    if len(found) != 1:
        die("%d snapshots are called %s" % (len(found), argv[2]))
    _, _, _, tags = next(repo.entries(bytes.fromhex(found[0]["root"])))
    for path, etype, size, attrs in repo.walk(tags[10][:32]):
        if len(argv) == 3 and etype == 1:
            out.write(b"%s %d %s\n" % (repo.digest(size, attrs).encode(), size, path))
        elif len(argv) == 4 and path == argv[3].lstrip("/").encode():
            for piece in repo.content(size, attrs):
                out.write(piece)
            return
    if len(argv) == 4:
        die("no such path: %s" % argv[3])


if __name__ == "__main__":
    main(sys.argv)
