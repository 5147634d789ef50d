"""Client sessions in numbers: latencies of small files, and what 2,000 connections cost one node."""

import os

from .processes import BenchError, memory_mib
from .results import GIB

KIB, MIB = 1024, 1024**2
SMALL_BYTES = 4 * KIB
ACTIVE = 64
LARGE_BYTES = 4 * MIB
LARGE_FILES = 4  # a session at work and measurement
# Until a process has all its sessions: a client's start is some milliseconds of one core.
CONNECT_PATIENCE_S = 600


class Sessions:
    """session_load: as many sessions as told, of which some put and get files."""

    def __init__(self, group, build_dir, scratch, endpoint, processes, name):
        self._child = group.start(
            [os.path.join(build_dir, "bin/session_load"), "--endpoint", endpoint, "--processes", str(processes)],
            os.path.join(scratch, f"session_load-{name}.log"))
        self._child.answer()

    def connect(self, count):
        """Opens or ends sessions until there are so many."""
        self._child.ask(f"connect {count}", CONNECT_PATIENCE_S)

    def move(self, verb, directory, active, size_bytes, count):
        """The report of `put` or `get`, with "speed" in GiB/s."""
        report = self._child.ask(f"{verb} {directory} {active} {size_bytes} {count}", CONNECT_PATIENCE_S)
        report["speed"] = report["bytes"] / report["seconds"] / GIB
        return report

    def remove(self, directory):
        self._child.ask(f"remove {directory}")


def descriptor_limit(pid):
    """How many descriptors a process may have open."""
    with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
        for line in limits:
            if line.startswith("Max open files"):
                return int(line.split()[3])
    raise BenchError(f"/proc/{pid}/limits does not name the limit of open files")


def open_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Connections:
    """One node with few and with very many sessions, the same number of them at work."""

    def __init__(self, sessions, pid, count, results, settle):
        self._sessions, self._pid, self._count = sessions, pid, count
        self._results, self._settle = results, settle
        self._warm = False

    def round(self, number):
        """Few, all, and few sessions again: the mean of both ends is what all are compared with."""
        few = [self._measure_with(ACTIVE, f"bench/few-{number}-a")]
        before_mib, before_fds = memory_mib(self._pid, "VmRSS"), open_descriptors(self._pid)
        self._check_descriptors()
        self._sessions.connect(self._count)
        added = self._count - ACTIVE
        grown_kib = (memory_mib(self._pid, "VmRSS") - before_mib) * 1024
        fds = open_descriptors(self._pid) - before_fds
        put, get = self._measure(f"bench/many-{number}")
        few.append(self._measure_with(ACTIVE, f"bench/few-{number}-b"))
        add = self._results.add
        if not self._warm:
            # The first time only: memory of sessions that have ended is used again.
            add("connections_memory", "KiB", max(0.0, grown_kib / added))
            add("connections_descriptors", "fds", fds / added)
        else:
            add("connections_put_few", "GiB/s", sum(pair[0] for pair in few) / 2)
            add("connections_get_few", "GiB/s", sum(pair[1] for pair in few) / 2)
            add("connections_put_many", "GiB/s", put)
            add("connections_get_many", "GiB/s", get)
        self._warm = True

    def _measure_with(self, count, directory):
        self._sessions.connect(count)
        return self._measure(directory)

    def _measure(self, directory):
        speeds = [self._sessions.move(verb, directory, ACTIVE, LARGE_BYTES, LARGE_FILES)["speed"]
                  for verb in ("put", "get")]
        self._sessions.remove(directory)
        self._settle()
        return speeds

    def _check_descriptors(self):
        """So that a low limit is told as such, and not as refused connections."""
        needed = open_descriptors(self._pid) + 2 * self._count
        limit = descriptor_limit(self._pid)
        if needed > limit:
            raise BenchError(f"{self._count} connections need about {needed} file descriptors of the node, which may "
                             f"open {limit}: raise the hard limit (ulimit -Hn) or give fewer --connections")
