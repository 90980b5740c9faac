#!/usr/bin/env python3
"""A Qdrant of the tests: the part of its HTTP API that vouch uses, as version 1.18.3 answers it; it misbehaves on demand.

    qdrant.py DIR       listens on a free port of 127.0.0.1, which it writes to DIR/port; QDRANT_KEY, QDRANT_RO_KEY: the keys

DIR/requests gets a line "METHOD PATH STATUS" for each answer, "METHOD PATH slow" (hang, late) where it is kept waiting.
DIR/misbehave is read at each: lines of "TIMES METHOD REGEX ACTION [ARG]", TIMES a number or *, REGEX for the path with its
query, ACTION as below.  /_test/fill and /_test/change make points without JSON, /_test/pad a large snapshot, /_test/stored
lists all snapshots that are stored.  What differs from the real one: its snapshot is a tar of its own, and there is one
shard, no index, no cluster.
"""
import hashlib
import json
import os
import random
import re
import socket
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from qdrant_points import Answer, Collection, missing, order

ACTIONS = """
status N [TEXT]   answers so at once                      hang           never answers
cut N             closes after N bytes of the body        slow S         waits S seconds before it answers
short N           the body lacks its last N bytes         flip           one byte of the body is another
again             somebody makes a second snapshot in the same second, after ours
write             somebody inserts a point just after the snapshot was made
checksum X        announces this checksum                 full           the disk is full while the upload is stored
yellow, grey, red the collection's status                 late S         stores the upload, waits S seconds, is broken then
drop              the connection is closed without an answer
"""
PEER = 6138341957050172


class State:
    def __init__(self, folder):
        self.folder = folder
        self.lock = threading.RLock()
        self.collections = {}
        self.aliases = {}
        self.snapshots = {}         # collection: {name: [bytes, time, checksum or None]}
        self.used = {}              # line of misbehave: how often
        self.written = 0            # when misbehave was

    def find(self, name):
        name = self.aliases.get(name, name)
        if name not in self.collections:
            raise missing(name)
        return self.collections[name]

    def misbehave(self, method, path):
        try:
            with open(os.path.join(self.folder, "misbehave"), encoding="utf-8") as f:
                lines = f.read().splitlines()
                written = os.fstat(f.fileno()).st_mtime_ns
        except FileNotFoundError:
            return []
        if written != self.written:     # told anew
            self.written, self.used = written, {}
        out = []
        for n, line in enumerate(lines):
            times, meth, regex, action = (line.split(None, 3) + [""] * 4)[:4]
            if meth not in ("*", method) or not re.search(regex, path):
                continue
            key = (n, line)
            if times != "*" and self.used.get(key, 0) >= int(times):
                continue
            self.used[key] = self.used.get(key, 0) + 1
            out.append(action.split(None, 1) + [""])
        return out

    def make_snapshot(self, name):
        c = self.find(name)
        name = self.aliases.get(name, name)
        data = c.save()
        now = time.gmtime()
        file = f"{name}-{PEER}-{time.strftime('%Y-%m-%d-%H-%M-%S', now)}.snapshot"
        made = time.strftime("%Y-%m-%dT%H:%M:%S", now)
        self.snapshots.setdefault(name, {})[file] = [data, made, hashlib.sha256(data).hexdigest()]
        return file

    def told(self, name, file):
        data, made, checksum = self.snapshots[name][file]
        out = {"name": file, "creation_time": made, "size": len(data)}
        if checksum:
            out["checksum"] = checksum
        return out


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "qdrant"

    def log_message(self, *args):
        pass

    def body_bytes(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            out = bytearray()
            while True:
                n = int(self.rfile.readline().split(b";")[0], 16)
                out += self.rfile.read(n)
                self.rfile.readline()
                if n == 0:
                    return bytes(out)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def note(self, what):
        with self.server.state.lock, open(os.path.join(self.server.state.folder, "requests"), "a", encoding="utf-8") as f:
            f.write(f"{self.command} {self.path} {what}\n")

    def answer(self, status, body, kind=None, acts=(), headers=()):
        if isinstance(body, (dict, list)):
            body, kind = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(), "application/json"
        elif isinstance(body, str):
            body, kind = body.encode(), kind or "text/plain; charset=utf-8"
        body = body or b""
        whole = len(body)
        for a, arg, *_ in acts:
            if a == "flip" and body:
                body = body[:len(body) // 2] + bytes([body[len(body) // 2] ^ 1]) + body[len(body) // 2 + 1:]
            elif a == "short":
                body = body[:-int(arg)]
                whole = len(body)
            elif a == "cut":
                body = body[:int(arg)]
                self.close_connection = True
        self.note(status)
        self.send_response(status)
        self.send_header("Content-Length", str(whole))
        if kind:
            self.send_header("Content-Type", kind)
        for k, v in headers:
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def serve(self):
        s = self.server.state
        with s.lock:
            acts = s.misbehave(self.command, self.path)
        for a, arg, *_ in acts:
            if a in ("hang", "slow"):
                self.note(a)
            if a == "hang":
                time.sleep(3600)
            elif a == "slow":
                time.sleep(float(arg))
            elif a == "drop":
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
        try:
            raw = self.body_bytes()
            for a, arg, *_ in acts:
                if a == "status":
                    raise Answer(int(arg.split()[0]), arg.partition(" ")[2] or "no")
            with s.lock:
                self.allowed(raw)
                url = urllib.parse.urlsplit(self.path)
                parts = [urllib.parse.unquote(p) for p in url.path.split("/")[1:]]
                self.query = {k: v[-1] for k, v in urllib.parse.parse_qs(url.query).items()}
                out = self.route(parts, raw, acts)
            if isinstance(out, tuple):
                self.answer(200, out[0], "application/octet-stream", acts,
                            [("accept-ranges", "bytes"), ("content-disposition", f'attachment; filename="{parts[-1]}"')])
            else:
                self.answer(200, {"result": out, "status": "ok", "time": 1e-05} if not isinstance(out, Answer) else out.body,
                            acts=acts)
        except Answer as a:
            self.answer(a.status, a.body, acts=acts)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = do_HEAD = serve

    def allowed(self, raw):
        key, ro = os.environ.get("QDRANT_KEY"), os.environ.get("QDRANT_RO_KEY")
        if not key or self.path == "/" or self.path.startswith("/_test/"):
            return
        given = self.headers.get("api-key") or self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not given:
            raise Answer(401, b"Must provide an API key or an Authorization bearer token")
        if given == key:
            return
        if given != ro:
            raise Answer(401, b"Invalid API key or JWT")
        reads = self.command == "GET" or re.search(r"/points/(count|scroll|query|search)$", self.path)
        if not reads:
            text = "Forbidden: Global manage access is required"
            raise Answer(403, text) if "/upload" in self.path else Answer(403, error=text)

    def json(self, raw):
        try:
            return json.loads(raw)
        except ValueError as e:
            raise Answer(400, error=f"Format error in JSON body: {e}")

    def route(self, p, raw, acts):
        s, m = self.server.state, self.command
        if p == [""]:
            return Answer(200, {"title": "qdrant - vector search engine", "version": "1.18.3", "commit": "0"})
        if p[0] == "_test":
            return self.test(p[1], self.json(raw))
        if p == ["aliases"]:
            return {"aliases": [{"alias_name": a, "collection_name": c} for a, c in s.aliases.items()]}
        if p[0] != "collections":
            raise Answer(404, b"")
        if len(p) == 1 and m == "GET":
            return {"collections": [{"name": n} for n in s.collections]}
        if p[1:] == ["aliases"] and m == "POST":
            return self.alias(self.json(raw)["actions"])
        if len(p) == 2:
            return self.collection(p[1], raw, acts)
        if p[2] == "snapshots":
            return self.snapshot(p[1], p[3:], raw, acts)
        if p[2:] == ["cluster"]:
            return {"peer_id": PEER, "shard_count": 1, "remote_shards": [], "shard_transfers": [],
                    "local_shards": [{"shard_id": 0, "points_count": len(s.find(p[1]).points), "state": "Active"}]}
        if p[2:] == ["index"] and m == "PUT":
            body = self.json(raw)
            kind = body["field_schema"]
            s.find(p[1]).schema[body["field_name"]] = kind if isinstance(kind, str) else kind["type"]
            return {"operation_id": 2, "status": "completed"}
        if p[2] == "points":
            return self.points(p[1], p[3:], self.json(raw))
        raise Answer(404, b"")

    def collection(self, name, raw, acts):
        s = self.server.state
        if self.command == "PUT":
            if name in s.collections:
                raise Answer(409, error=f"Wrong input: Collection `{name}` already exists!")
            if "/" in name:
                raise Answer(422, error="Validation error in path parameters: [collection_name: collection name cannot "
                                        "contain \"/\" char]")
            s.collections[name] = Collection(self.json(raw))
            return True
        if self.command == "DELETE":
            s.aliases = {a: c for a, c in s.aliases.items() if c != name}
            return s.collections.pop(name, None) is not None
        colour = next((a for a, *_ in acts if a in ("yellow", "grey", "red")), "green")
        return s.find(name).info(colour)

    def alias(self, actions):
        s = self.server.state
        for a in actions:
            if "create_alias" in a:
                s.find(a["create_alias"]["collection_name"])
                s.aliases[a["create_alias"]["alias_name"]] = a["create_alias"]["collection_name"]
            elif "delete_alias" in a:
                s.aliases.pop(a["delete_alias"]["alias_name"], None)
        return True

    def points(self, name, what, body):
        c = self.server.state.find(name)
        if what == [] and self.command == "PUT":
            for point in body["points"]:
                c.put(point)
            return {"operation_id": 3, "status": "completed"}
        if what == ["delete"]:
            for i in body["points"]:
                c.points.pop(i, None)
            return {"operation_id": 5, "status": "completed"}
        if what == ["count"]:
            return {"count": len(c.chosen(body))}
        if what == ["scroll"]:
            ids = [i for i in c.chosen(body) if "offset" not in body or body["offset"] is None or
                   order(i) >= order(body["offset"])]
            limit = body.get("limit", 10)
            return {"points": [c.shown(i, body) for i in ids[:limit]],
                    "next_page_offset": ids[limit] if len(ids) > limit else None}
        if what == ["query"]:
            return {"points": c.nearest(body["query"], body.get("using", ""), body.get("limit", 10))}
        raise Answer(404, b"")

    def snapshot(self, name, rest, raw, acts):
        s, m = self.server.state, self.command
        if rest == [] and m == "POST":
            file = s.make_snapshot(name)
            name = s.aliases.get(name, name)
            out = s.told(name, file)
            for a, arg, *_ in acts:
                if a == "again":
                    s.snapshots[name].pop(file)
                    s.make_snapshot(name)
                    s.snapshots[name][file] = s.snapshots[name].pop(list(s.snapshots[name])[-1])
                elif a == "checksum":
                    s.snapshots[name][file][2] = out["checksum"] = arg
                elif a == "write":
                    v = {n: [0.5] * d["size"] for n, d in s.find(name).vectors.items()}
                    s.find(name).put({"id": 10 ** 9 + len(s.find(name).points), "vector": v.get("", v)})
            return out
        if rest == ["upload"] and m == "POST":
            return self.upload(name, raw, acts)
        if rest == []:
            s.find(name)
            name = s.aliases.get(name, name)
            return [s.told(name, f) for f in s.snapshots.get(name, {})]
        if len(rest) != 1 or m not in ("GET", "DELETE"):
            raise Answer(404, b"")
        s.find(name)
        kept = s.snapshots.get(s.aliases.get(name, name), {})
        if rest[0] not in kept:
            text = f"Not found: Snapshot {rest[0]} not found"
            raise Answer(404, text) if m == "GET" else Answer(404, error=text)
        if m == "DELETE":
            del kept[rest[0]]
            return True
        return (kept[rest[0]][0],)

    def upload(self, name, raw, acts):
        s = self.server.state
        want = self.query.get("checksum")
        if want is not None and not re.fullmatch("[0-9a-f]{64}", want):
            raise Answer(422, error="Validation error in query parameters: [checksum: Validation error: invalid_sha256_hash]")
        if self.query.get("priority", "snapshot") not in ("no_sync", "snapshot", "replica"):
            raise Answer(400, error=f"Deserialize error in query parameters: unknown variant `{self.query['priority']}`")
        kind = self.headers.get("Content-Type", "")
        if not kind.startswith("multipart/form-data"):
            raise Answer(415, "ContentTypeIncompatible")
        boundary = b"--" + re.search(r'boundary="?([^";]+)', kind).group(1).encode()
        head, _, rest = raw.partition(b"\r\n\r\n")
        if b'name="snapshot"' not in head:
            raise Answer(400, "Required field is missing: snapshot")
        file = re.search(rb'filename="([^"]*)"', head).group(1).decode()
        data = rest[:rest.rindex(b"\r\n" + boundary + b"--")]
        got = hashlib.sha256(data).hexdigest()
        if want is not None and want != got:
            raise Answer(400, error=f"Checksum mismatch: expected {got}, actual {want}")
        # It is stored before it is looked at, and stays
        old = s.snapshots.setdefault(name, {}).get(file)
        made = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        full = any(a == "full" for a, *_ in acts)
        s.snapshots[name][file] = [data[:len(data) // 2] if full else data, made, old[2] if old else None]
        if full:
            raise Answer(500, error="Service internal error: File IO error: No space left on device (os error 28)")
        for a, arg, *_ in acts:
            if a == "late":
                self.note(a)
                s.lock.release()
                time.sleep(float(arg))
                s.lock.acquire()
                raise Answer(500, "too late")
        c = Collection.load(data, name)
        there = s.collections.get(name)
        for k, what in ("vectors", "vectors"), ("shard_number", "shard number"):
            is_, was = (x.config["params"][k] for x in (there or c, c))
            if is_ != was:
                raise Answer(400, error="Wrong input: Snapshot is not compatible with existing collection: "
                                        f"Collection {what}: {is_} Snapshot {what}: {was}")
        if there:       # keeps all else of its configuration
            c.config = there.config
        s.collections[name] = c
        return True

    def test(self, what, body):
        s = self.server.state
        if what == "stored":
            return [file for files in s.snapshots.values() for file in files]
        c = s.find(body["collection"])
        if what == "pad":
            c.pad = os.urandom(body["bytes"])
            return len(c.pad)
        rng = random.Random(body.get("seed", 1))
        first, n = body.get("from", 1), body.get("n", 1000)
        ids = range(first, first + n) if what == "fill" else sorted(c.points, key=order)[::body["every"]]
        for i in ids:
            v = {name: [rng.uniform(-1, 1) for _ in range(d["size"])] for name, d in c.vectors.items()}
            c.put({"id": i, "vector": v.get("", v), "payload": {"n": i, "city": ("Oslo", "Bergen", "Zürich")[i % 3]}})
        return len(ids)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def main():
    folder = sys.argv[1]
    server = Server(("127.0.0.1", 0), Handler)
    server.state = State(folder)
    with open(os.path.join(folder, "port.new"), "w", encoding="utf-8") as f:
        f.write(str(server.server_port))
    os.rename(os.path.join(folder, "port.new"), os.path.join(folder, "port"))
    server.serve_forever()


if __name__ == "__main__":
    main()
