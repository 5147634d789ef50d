"""A round of all ways to the same disk: fio, small files and real programs, each by one way right after the other."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

from .processes import BenchError
from .programs import Programs
from .results import GIB

JOBS = (1, 4)
MIB = 1024**2
FIO_PATIENCE_S = 600


@dataclass(frozen=True)
class Sizes:
    """Of one turn. Random I/O ends after so many bytes or seconds, whatever comes first."""

    sequential_mib: int
    random_blocks: tuple
    random_mib: int
    random_limit_s: int
    small_files: int
    checkpoint_mib: int
    tree_files: int

    def target_bytes(self):
        """What Cairn's target needs: the largest turn, what the turn before has left, and what is written again at random
        and not yet gathered."""
        return (6 * self.sequential_mib + 4 * self.checkpoint_mib + 1024) * MIB


QUICK = Sizes(512, ("4k",), 32, 2, 2000, 256, 500)
WHOLE = Sizes(1024, ("4k", "128k"), 128, 8, 8000, 256, 2000)


class FioFiles:
    """fio as programs do I/O: one call after the other, through the page cache. Each job has a file of its own."""

    def __init__(self, sizes):
        self._sizes = sizes

    def sequential(self, folder, mode, jobs):
        """GiB/s."""
        job_bytes, seconds, _ = self._run(folder, mode, jobs, "1m", [])
        return job_bytes / GIB / seconds

    def random(self, folder, mode, block, jobs):
        """Operations a second."""
        _, seconds, operations = self._run(folder, mode, jobs, block, [
            f"--io_size={self._sizes.random_mib * MIB // jobs}", f"--runtime={self._sizes.random_limit_s}"])
        return operations / seconds

    def _run(self, folder, mode, jobs, block, more):
        """Bytes and operations of all jobs, and seconds of the slowest."""
        command = [
            "fio", f"--name={mode}", f"--directory={folder}", "--filename_format=fio.$jobnum", f"--numjobs={jobs}",
            f"--rw={mode}", f"--bs={block}", f"--size={self._sizes.sequential_mib * MIB // jobs}", "--ioengine=psync",
            "--direct=0", "--end_fsync=1", "--fallocate=none", "--output-format=json", *more]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FIO_PATIENCE_S)
        except FileNotFoundError as error:
            raise BenchError("fio is missing: run tools/setup --bench") from error
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"fio {mode} did not end within {FIO_PATIENCE_S} s") from error
        if done.returncode != 0:
            raise BenchError(f"fio {mode} failed: {(done.stderr or done.stdout).strip()[-400:]}")
        reports = [job["read" if mode.endswith("read") else "write"]
                   for job in json.loads(done.stdout[done.stdout.index("{"):])["jobs"]]
        return (sum(report["io_bytes"] for report in reports), max(report["runtime"] for report in reports) / 1000,
                sum(report["total_ios"] for report in reports))


class SmallFiles:
    """Processes that each work in a directory of their own, at the same time."""

    def __init__(self, group, scratch, count):
        worker = os.path.join(os.path.dirname(__file__), "small_files_worker.py")
        self._count = count
        self._workers = [group.start([sys.executable, worker], os.path.join(scratch, f"small-{i}.log"))
                         for i in range(max(JOBS))]
        for child in self._workers:
            child.answer()

    def run(self, command, folder, processes):
        """Files a second, from the first that begins to the last that ends."""
        each = self._count // processes
        chosen = self._workers[:processes]
        for i, child in enumerate(chosen):
            child.tell(f"{command} {folder}/process-{i} {each}")
        reports = [child.answer() for child in chosen]
        seconds = max(report["ended"] for report in reports) - min(report["began"] for report in reports)
        return each * processes / seconds


class MountRounds:
    """`ways` are the Contenders that could be made; all work on the same disk."""

    name = "mount"

    def __init__(self, ways, fio, small, programs, sizes, results):
        self._ways, self._sizes, self.results = ways, sizes, results
        self._fio, self._small, self._programs = fio, small, programs
        self._backing = [way.path for way in ways]
        self.cache = "not dropped"

    def round(self, number):
        turns = [(self._fio_turn, jobs) for jobs in JOBS]
        turns += [(self._small_turn, jobs) for jobs in JOBS]
        turns += [(self._programs_turn, 1)]
        # Each stands first, last and beside each of the others as often.
        order = [*self._ways[number % len(self._ways):], *self._ways[:number % len(self._ways)]]
        for turn, jobs in turns:
            for way in order if number % 2 else reversed(order):
                folder = os.path.join(way.path, "turn")
                # Nothing of the turn before is still being written.
                os.sync()
                os.mkdir(folder)
                turn(way, folder, jobs)
                shutil.rmtree(folder)
                way.settle()

    def _measure(self, way, what, unit, work, *, cold=False):
        """What failed once is told, and not tried again: the other figures and ways go on."""
        name = f"mount_{what}_{way.name}"
        if name in self.results.skipped:
            return
        if cold:
            self.cache = way.make_cold(self._backing)
        try:
            self.results.add(name, unit, work())
        except (BenchError, OSError) as error:
            self.results.skip(name, str(error))

    def _fio_turn(self, way, folder, jobs):
        for mode, cold in (("write", False), ("read", True)):
            self._measure(way, f"seq_{mode}_{jobs}", "GiB/s",
                          lambda mode=mode: self._fio.sequential(folder, mode, jobs), cold=cold)
        for block in self._sizes.random_blocks:
            for mode, cold in (("write", True), ("read", True)):
                self._measure(way, f"rand_{mode}_{block}_{jobs}", "ops/s",
                              lambda mode=mode, block=block: self._fio.random(folder, "rand" + mode, block, jobs),
                              cold=cold)

    def _small_turn(self, way, folder, jobs):
        for command, cold in (("create", False), ("stat", True), ("read", True), ("remove", False)):
            self._measure(way, f"{command}_{jobs}", "files/s",
                          lambda command=command: self._small.run(command, folder, jobs), cold=cold)

    def _programs_turn(self, way, folder, _):
        for step, cold in Programs.STEPS:
            self._programs.prepare(step)
            self._measure(way, step, "s", lambda step=step: self._programs.run(step, folder), cold=cold)
