"""PyTorch distributed checkpoints of the same sharded state, through Cairn and through files."""

import os
import shutil
import socket
import subprocess
import sys

from .processes import BenchError
from .results import GIB


def free_port():
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def drop_page_cache(paths):
    """Makes the next reads come from the disk. Returns how: root drops all, others only these files' pages."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as control:
            control.write("3\n")
        return "drop_caches"
    except OSError:
        for path in paths:
            for folder, _, names in os.walk(path):
                for name in names:
                    with open(os.path.join(folder, name), "rb") as file:
                        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return "posix_fadvise"


class Dcp:
    """The ranks, which live as long as the comparison: importing torch costs more than a save."""

    def __init__(self, group, python, build_dir, scratch, options, endpoint):
        self._directory = os.path.join(scratch, "dcp")
        self._ranks = []
        self.cache = ""
        self.beyond_tensors_mib = []  # of each rank, in the last save or load through Cairn; None: not to be had
        port = free_port()
        for rank in range(options.clients):
            env = dict(os.environ, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(options.clients),
                       MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), CAIRN_ENDPOINT=endpoint,
                       OMP_NUM_THREADS="1", PYTHONPATH=os.path.join(build_dir, "python"))
            worker = os.path.join(os.path.dirname(__file__), "dcp_worker.py")
            self._ranks.append(group.start([python, worker, str(options.dcp_mib)],
                                           os.path.join(scratch, f"dcp_rank{rank}.log"), env))
        for rank in self._ranks:
            rank.answer()

    def save(self, backend, name):
        """GiB/s of `dcp.save` to a place of that name."""
        return self._run("save", backend, name)

    def load(self, backend, name):
        """GiB/s of `dcp.load`, from the disk."""
        self.cache = drop_page_cache([self._directory])
        return self._run("load", backend, name)

    def stall(self, name):
        """Seconds that the slowest rank is held up by `dcp.async_save` through Cairn, and by a copy of its state."""
        reports = self._reports("stall", "cairn", name)
        return max(report["seconds"] for report in reports), max(report["copy_seconds"] for report in reports)

    def place(self, backend, name):
        return f"bench/dcp/{name}" if backend == "cairn" else os.path.join(self._directory, name)

    def remove(self, name):
        """Removes the files of `name`; what Cairn holds is removed through Cairn."""
        shutil.rmtree(self.place("filesystem", name), ignore_errors=True)

    def _run(self, command, backend, name):
        reports = self._reports(command, backend, name)
        if backend == "cairn":
            self.beyond_tensors_mib = [report["beyond_mib"] for report in reports]
        return reports[0]["bytes"] / max(report["seconds"] for report in reports) / GIB

    def _reports(self, command, backend, name):
        line = f"{command} {backend} {self.place(backend, name)}"
        for rank in self._ranks:
            rank.tell(line)
        return [rank.answer() for rank in self._ranks]


def find_python(root):
    """An interpreter that has torch: the virtual environment of tools/venv, or the one running."""
    for python in (os.environ.get("CAIRN_PYTHON"), os.path.join(root, "build/venv/bin/python"), sys.executable):
        if python and os.path.exists(python):
            probe = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
            if probe.returncode == 0:
                return python
    raise BenchError("no Python with torch: run tools/venv, or name one in CAIRN_PYTHON")
