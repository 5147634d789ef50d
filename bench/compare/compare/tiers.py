"""Cold tiers, a directory and an S3 service: copies and fetches beside plain parallel copies of as many bytes on the same
disk, restores of what is cold beside plain reads, and what saves lose while copies are made."""

import concurrent.futures
import os
import time

from .processes import BenchError
from .results import GIB
from .s3_service import BUCKET

MIB = 1024**2
NODES = 2
COPIES_AT_ONCE = 4
PIECE = 4 * MIB
POLL_S = 0.1
PATIENCE_S = 300


def drop_cache(path):
    """What was written or read is not in memory for what comes next. What has been deleted meanwhile is not, either."""
    try:
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    except FileNotFoundError:
        pass


class PlainFiles:
    """As many bytes as a checkpoint has, in files as large as cold objects."""

    def __init__(self, scratch, total_bytes):
        self._folder = os.path.join(scratch, "plain")
        os.makedirs(self._folder)
        self._names = [f"file-{i}" for i in range(max(COPIES_AT_ONCE, total_bytes // (128 * MIB)))]
        self._each = total_bytes // len(self._names) // PIECE * PIECE
        self.bytes = self._each * len(self._names)
        block = os.urandom(PIECE)
        for name in self._names:
            with open(self._path(name), "wb") as file:
                for _ in range(self._each // PIECE):
                    file.write(block)

    def _path(self, name):
        return os.path.join(self._folder, name)

    def paths(self):
        return [self._path(name) for name in self._names]

    def drop_cache(self):
        for path in self.paths():
            drop_cache(path)

    def _copy(self, name):
        target = self._path(name) + ".copy"
        with open(self._path(name), "rb") as source, open(target, "wb") as copy:
            while piece := source.read(PIECE):
                copy.write(piece)
            copy.flush()
            os.fsync(copy.fileno())
        os.unlink(target)

    def _read(self, name):
        with open(self._path(name), "rb") as source:
            while source.read(PIECE):
                pass

    def _all(self, work):
        self.drop_cache()
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
            list(pool.map(work, self._names))
        return self._each * len(self._names) / GIB / (time.monotonic() - began)

    def copy(self):
        """GiB/s of reading and writing them again, fsync included."""
        return self._all(self._copy)

    def read(self):
        return self._all(self._read)


class DirectoryStore:
    """A directory on the same disk, and plain copies beside it."""

    name, prefix = "a directory as cold tier", "tier"

    def __init__(self, folder, plain):
        os.makedirs(folder)
        self.folder, self.arguments = folder, [folder]
        self.copy_in = self.copy_out = plain.copy
        self.others = {}
        self.read = plain.read


class S3Store:
    """An S3 service that is not ours, and plain transfers beside it."""

    name, prefix = "an S3 service as cold tier", "s3"

    def __init__(self, service, transfers):
        self.folder = service.folder
        self.arguments = [f"s3://{BUCKET}", "--endpoint", service.url, "--credentials", f"file:{service.credentials}"]
        self.copy_in, self.copy_out, self.read = transfers.put, transfers.get, transfers.get
        self.others = {"curl_put": transfers.put_whole, "curl_get": transfers.get_whole}


class Tiers:
    """What is measured in rounds."""

    def __init__(self, cluster, ranks, store, results):
        self._cluster, self._ranks, self._store, self.results = cluster, ranks, store, results
        self.name = store.name
        cluster.cli("tier", "add", store.prefix, *store.arguments)

    def _add(self, what, figure):
        self.results.add(f"{self._store.prefix}_{what}", "GiB/s", figure)

    def round(self, number):
        path = f"default/load/step-{number}"
        self._ranks.save(path)
        first = self._store.copy_in()
        self._add("archive", self._move("push", path, "copied"))
        self._add("plain_copy", (first + self._store.copy_in()) / 2)
        self._move("release", path, "cold")
        self._drop_store()
        first = self._store.read()
        self._add("cold_restore", self._ranks.restore(path)["speed"])
        self._add("plain_read", (first + self._store.read()) / 2)
        first = self._store.copy_out()
        self._drop_store()
        self._add("recall", self._move("fetch", path, "copied"))
        self._add("plain_copy_back", (first + self._store.copy_out()) / 2)
        for what, measure in self._store.others.items():
            self._add(what, measure())
        self._ranks.remove(path)
        self._beside(number)

    def _beside(self, number):
        """A save while another checkpoint is copied, between two that are alone."""
        paths = [f"default/beside/{number}-{i}" for i in range(3)]
        first = self._ranks.save(paths[0])["speed"]
        self._push(paths[0])
        self._wait_until_running(paths[0])
        beside = self._ranks.save(paths[1])["speed"]
        told = self._cluster.cli("tier", "explain", paths[0])
        if told["place"] != "copied" and not told["running"]:
            raise BenchError(f"{paths[0]} was not being copied beside the save")
        self._wait(paths[0], "copied")
        second = self._ranks.save(paths[2])["speed"]
        self._add("save_alone", (first + second) / 2)
        self._add("save_beside", beside)
        for path in paths:
            self._ranks.remove(path)

    def _drop_store(self):
        for folder, _, files in os.walk(self._store.folder):
            for name in files:
                drop_cache(os.path.join(folder, name))

    def _move(self, verb, path, place):
        began = time.monotonic()
        if verb == "push":
            self._push(path)
        else:
            self._cluster.cli("tier", verb, path)
        self._wait(path, place)
        return self._ranks.bytes / GIB / (time.monotonic() - began)

    def _push(self, path):
        self._cluster.cli("tier", "push", path, "--tier", self._store.prefix)

    def _wait_until_running(self, path):
        deadline = time.monotonic() + PATIENCE_S
        while not (told := self._cluster.cli("tier", "explain", path))["running"]:
            if told["place"] == "copied":
                raise BenchError(f"{path} was copied before it was looked at: give a larger --cluster-mib")
            if time.monotonic() > deadline:
                raise BenchError(f"{path} is not being copied")

    def _wait(self, path, place):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            told = self._cluster.cli("tier", "explain", path)
            if told["place"] == place and told["step"] == "nothing":
                return
            if told["failures"] or time.monotonic() > deadline:
                raise BenchError(f"{path} is not {place}: {told['error'] or told['step']}")
            time.sleep(POLL_S)
