"""Collections of the tests' Qdrant (qdrant.py): their points, configuration and snapshots."""
import array
import io
import json
import math
import os
import re
import tarfile
import time
import uuid

DEFAULTS = {
    "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0, "on_disk": False},
    "optimizer_config": {"deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0,
                         "max_segment_size": None, "memmap_threshold": None, "indexing_threshold": 10000,
                         "flush_interval_sec": 5, "max_optimization_threads": None, "prevent_unoptimized": None},
    "wal_config": {"wal_capacity_mb": 1, "wal_segments_ahead": 0, "wal_retain_closed": 1},
    "quantization_config": None,
}
DISTANCES = ("Cosine", "Dot", "Euclid", "Manhattan")


class Answer(Exception):
    """Ends a request with this status and body (a str is text/plain, a dict JSON)."""

    def __init__(self, status, body=None, error=None):
        super().__init__(status)
        self.status = status
        self.body = {"status": {"error": error}, "time": 0.0} if error else body


def missing(name):
    return Answer(404, error=f"Not found: Collection `{name}` doesn't exist!")


def order(point_id):
    return (isinstance(point_id, str), point_id)


class Collection:
    def __init__(self, params):
        vectors = params.get("vectors", {})
        one = vectors if "size" in vectors else None
        for v in [one] if one else vectors.values():
            if not isinstance(v, dict) or not 0 < v.get("size", 0) <= 65536 or v.get("distance") not in DISTANCES:
                raise Answer(400, error="Format error in JSON body: data did not match any variant of untagged enum VectorsConfig")
        self.vectors = {"": one} if one else vectors
        self.config = {"params": {"vectors": vectors, "shard_number": 1, "replication_factor": 1,
                                  "write_consistency_factor": 1, "on_disk_payload": True}}
        for k in ("shard_number", "replication_factor", "write_consistency_factor", "on_disk_payload", "sparse_vectors"):
            if k in params:
                self.config["params"][k] = params[k]
        for k, v in DEFAULTS.items():
            given = params.get({"optimizer_config": "optimizers_config"}.get(k, k))
            self.config[k] = {**v, **(given or {})} if v is not None else given
        self.schema = {}            # field: data_type
        self.pad = b""              # of the snapshot, to make it large
        self.points = {}            # id: (payload, {vector name: array of floats, or {"indices", "values"}})

    def put(self, point):
        vectors = point.get("vector", {})
        if isinstance(vectors, list):
            vectors = {"": vectors}
        kept = {}
        for name, v in vectors.items():
            if isinstance(v, dict):
                kept[name] = v
                continue
            if name not in self.vectors:
                raise Answer(400, error=f"Wrong input: Not existing vector name error: {name}")
            size = self.vectors[name]["size"]
            if len(v) != size:
                raise Answer(400, error=f"Wrong input: Vector dimension error: expected dim: {size}, got {len(v)}")
            if self.vectors[name]["distance"] == "Cosine":
                norm = math.sqrt(sum(x * x for x in v)) or 1.0
                v = [x / norm for x in v]
            kept[name] = array.array("f", v)
        self.points[point["id"]] = (point.get("payload") or {}, kept)

    def info(self, status):
        held = lambda f: sum(1 for p, _ in self.points.values() if f in p)
        return {"status": status, "optimizer_status": "ok", "indexed_vectors_count": 0, "points_count": len(self.points),
                "segments_count": 2, "config": self.config,
                "payload_schema": {f: {"data_type": t, "points": held(f)} for f, t in self.schema.items()},
                "update_queue": {"length": 0}}

    def shown(self, point_id, body):
        payload, vectors = self.points[point_id]
        out = {"id": point_id}
        if body.get("with_payload", True):
            out["payload"] = payload
        if body.get("with_vector"):
            lists = {n: list(v) if isinstance(v, array.array) else v for n, v in vectors.items()}
            out["vector"] = lists[""] if "" in lists else lists
        return out

    def chosen(self, body):
        """The ids that the filter lets through, in order."""
        def fits(payload, c):
            if "is_empty" in c:
                return payload.get(c["is_empty"]["key"]) in (None, [])
            return payload.get(c["key"]) == c["match"]["value"]
        must = (body.get("filter") or {}).get("must", [])
        return sorted((i for i, (p, _) in self.points.items() if all(fits(p, c) for c in must)), key=order)

    def nearest(self, query, using, limit):
        distance = self.vectors[using]["distance"]
        query = array.array("f", query)
        if distance == "Cosine":
            norm = math.sqrt(sum(x * x for x in query)) or 1.0
            query = [x / norm for x in query]
        found = []
        for i, (_, vectors) in self.points.items():
            v = vectors.get(using)
            if v is None:
                continue
            if distance in ("Cosine", "Dot"):
                found.append((-sum(a * b for a, b in zip(query, v)), i))
            elif distance == "Euclid":
                found.append((math.sqrt(sum((a - b) ** 2 for a, b in zip(query, v))), i))
            else:
                found.append((sum(abs(a - b) for a, b in zip(query, v)), i))
        found.sort(key=lambda x: (x[0], order(x[1])))
        sign = -1 if distance in ("Cosine", "Dot") else 1
        return [{"id": i, "version": 0, "score": sign * s} for s, i in found[:limit]]

    # The snapshot: an uncompressed tar; as with the real one, two of the same content differ in a few bytes.
    def save(self):
        ids = sorted(self.points, key=order)
        lines, dense = [], {n: array.array("f") for n in self.vectors}
        for i in ids:
            payload, vectors = self.points[i]
            has = [n for n in self.vectors if n in vectors]
            lines.append(json.dumps([i, payload, has, {n: v for n, v in vectors.items() if isinstance(v, dict)}]))
            for n in has:
                dense[n].extend(vectors[n])
        segment = f"0/segments/{uuid.uuid4()}"
        files = {"version.info": b"1.18.3", "config.json": json.dumps(self.config).encode(),
                 "schema.json": json.dumps(self.schema).encode(), "0/wal/open-1": os.urandom(4096),
                 segment + "/points.ndjson": "\n".join(lines).encode()}
        for n, floats in dense.items():
            files[f"{segment}/vectors-{n}.bin"] = floats.tobytes()
        if self.pad:
            files[segment + "/pad.bin"] = self.pad
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, data in files.items():
                t = tarfile.TarInfo(name)
                t.size = len(data)
                t.mtime = int(time.time())
                tar.addfile(t, io.BytesIO(data))
        return out.getvalue()

    @staticmethod
    def load(data, name):
        tmp = f"/qdrant/storage/tmp/col-{name}-recovery"
        if not data:
            raise Answer(500, error=f"Service internal error: File IO error: failed to open file `{tmp}/config.json`: "
                                    "No such file or directory (os error 2)")
        try:
            tar = tarfile.open(fileobj=io.BytesIO(data), mode="r:")
        except tarfile.TarError:
            raise Answer(500, error="Service internal error: File IO error: Malformed tar archive, reached unknown entry")
        files = {}
        try:
            for t in tar:
                files[re.sub(r"^0/segments/[^/]+", "segment", t.name)] = tar.extractfile(t).read()
                if len(files[re.sub(r"^0/segments/[^/]+", "segment", t.name)]) != t.size:
                    raise tarfile.ReadError
            config = json.loads(files["config.json"])
            c = Collection(config["params"])
            dense = {n: array.array("f", files[f"segment/vectors-{n}.bin"]) for n in c.vectors}
            lines = files["segment/points.ndjson"].decode().splitlines()
        except (tarfile.TarError, KeyError, ValueError, OSError):
            raise Answer(500, error=f"Service internal error: File IO error: failed to unpack `{tmp}/0/segments/0.tar`")
        c.config = config
        c.pad = files.get("segment/pad.bin", b"")
        c.schema = json.loads(files["schema.json"])
        at = {n: 0 for n in c.vectors}
        for line in lines:
            i, payload, has, vectors = json.loads(line)
            for n in has:
                size = c.vectors[n]["size"]
                vectors[n] = dense[n][at[n]:at[n] + size]
                at[n] += size
            c.points[i] = (payload, vectors)
        return c
