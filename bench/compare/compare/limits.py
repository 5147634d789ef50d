"""The limits of this machine: what its disk gives fio and what its fabric gives a program without a disk."""

import json
import os
import subprocess

from .processes import BenchError
from .results import GIB


class Fio:
    """Sequential O_DIRECT reads and writes of one preallocated file on the filesystem under test."""

    def __init__(self, directory, total_bytes):
        self._file = os.path.join(directory, "fio.data")
        self._bytes = total_bytes

    def prepare(self):
        """Writes the file once: a first write also pays for turning preallocated extents into written ones,
        which would understate the disk."""
        with open(self._file, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, self._bytes)
        self._run("write")

    def write(self, size_bytes=None):
        """GiB/s, the end fsync included; of the first `size_bytes`, else of the whole file."""
        return self._run("write", size_bytes)

    def read(self, size_bytes=None):
        """GiB/s."""
        return self._run("read", size_bytes)

    def remove(self):
        if os.path.exists(self._file):
            os.unlink(self._file)

    def _run(self, mode, size_bytes=None):
        command = [
            "fio", f"--name={mode}", f"--filename={self._file}", f"--rw={mode}", f"--size={size_bytes or self._bytes}",
            "--bs=4m", "--iodepth=16", "--ioengine=io_uring", "--direct=1", "--end_fsync=1",
            "--randrepeat=0", "--refill_buffers=0", "--output-format=json",
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        except FileNotFoundError as error:
            raise BenchError("fio is missing: run tools/setup --bench") from error
        if done.returncode != 0:
            raise BenchError(f"fio {mode} failed: {(done.stderr or done.stdout).strip()[-400:]}")
        # Warnings may come before the report.
        job = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0][mode]
        return job["io_bytes"] / (job["runtime"] / 1000) / GIB


class Fabric:
    """The same movements of bytes as Cairn's, by the same fabric code, without RPC, checksums and disk."""

    def __init__(self, group, build_dir, scratch, options):
        self._child = group.start(
            [os.path.join(build_dir, "bin/fabric_probe"), "--clients", str(options.clients),
             "--mib", str(options.mib), "--memory-mib", str(min(options.mib, 256)),
             "--provider", options.provider],
            os.path.join(scratch, "fabric_probe.log"))
        self._child.answer()

    def read(self):
        """GiB/s from the clients into the server: the direction of a save."""
        return self._move("read")

    def write(self):
        """GiB/s from the server into the clients: the direction of a restore."""
        return self._move("write")

    def _move(self, direction):
        report = self._child.ask(direction)
        return report["bytes"] / report["seconds"] / GIB
