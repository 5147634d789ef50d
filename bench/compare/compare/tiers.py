"""Cold tiers: copies and fetches beside plain parallel copies of as many bytes on the same disk, restores of what is cold
beside plain reads, and what saves lose while copies are made."""

import concurrent.futures
import os
import time

from .processes import BenchError
from .results import GIB

MIB = 1024**2
NODES = 2
COPIES_AT_ONCE = 4
PIECE = 4 * MIB
POLL_S = 0.1
PATIENCE_S = 300


def drop_cache(path):
    """What was written or read is not in memory for what comes next."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class PlainFiles:
    """As many bytes as a checkpoint has, in files as large as cold objects."""

    def __init__(self, scratch, total_bytes):
        self._folder = os.path.join(scratch, "plain")
        os.makedirs(self._folder)
        self.bytes = total_bytes
        self._names = [f"file-{i}" for i in range(max(COPIES_AT_ONCE, total_bytes // (128 * MIB)))]
        self._each = total_bytes // len(self._names)
        block = os.urandom(PIECE)
        for name in self._names:
            with open(self._path(name), "wb") as file:
                for _ in range(self._each // PIECE):
                    file.write(block)

    def _path(self, name):
        return os.path.join(self._folder, name)

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
        for name in self._names:
            drop_cache(self._path(name))
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
            list(pool.map(work, self._names))
        return self._each * len(self._names) / GIB / (time.monotonic() - began)

    def copy(self):
        """GiB/s of reading and writing them again, fsync included."""
        return self._all(self._copy)

    def read(self):
        return self._all(self._read)


class Tiers:
    """What is measured in rounds."""

    name = "cold tiers"

    def __init__(self, cluster, ranks, store, plain, results):
        self._cluster, self._ranks, self._store, self._plain, self.results = cluster, ranks, store, plain, results
        os.makedirs(store)
        cluster.cli("tier", "add", "cold", store)

    def round(self, number):
        path = f"default/load/step-{number}"
        self._ranks.save(path)
        first = self._plain.copy()
        self.results.add("tier_archive", "GiB/s", self._move("push", path, "copied"))
        second = self._plain.copy()
        self.results.add("tier_plain_copy", "GiB/s", (first + second) / 2)
        self._move("release", path, "cold")
        self._drop_store()
        first = self._plain.read()
        self.results.add("tier_cold_restore", "GiB/s", self._ranks.restore(path)["speed"])
        self.results.add("tier_plain_read", "GiB/s", (first + self._plain.read()) / 2)
        self._drop_store()
        self.results.add("tier_recall", "GiB/s", self._move("fetch", path, "copied"))
        self.results.add("tier_plain_copy_back", "GiB/s", (second + self._plain.copy()) / 2)
        self._ranks.remove(path)
        self._beside(number)

    def _beside(self, number):
        """A save while another checkpoint is copied, between two that are alone."""
        paths = [f"default/beside/{number}-{i}" for i in range(3)]
        first = self._ranks.save(paths[0])["speed"]
        self._cluster.cli("tier", "push", paths[0])
        beside = self._ranks.save(paths[1])["speed"]
        self._wait(paths[0], "copied")
        second = self._ranks.save(paths[2])["speed"]
        self.results.add("tier_save_alone", "GiB/s", (first + second) / 2)
        self.results.add("tier_save_beside", "GiB/s", beside)
        for path in paths:
            self._ranks.remove(path)

    def _drop_store(self):
        for folder, _, files in os.walk(self._store):
            for name in files:
                drop_cache(os.path.join(folder, name))

    def _move(self, verb, path, place):
        began = time.monotonic()
        self._cluster.cli("tier", verb, path)
        self._wait(path, place)
        return self._ranks.bytes / GIB / (time.monotonic() - began)

    def _wait(self, path, place):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            told = self._cluster.cli("tier", "explain", path)
            if told["place"] == place and told["step"] == "nothing":
                return
            if told["failures"] or time.monotonic() > deadline:
                raise BenchError(f"{path} is not {place}: {told['error'] or told['step']}")
            time.sleep(POLL_S)
