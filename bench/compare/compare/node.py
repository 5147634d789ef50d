"""The Cairn under test: one cairnd with a data directory of its own, and the ranks of ckpt_load."""

import json
import os
import re
import shutil
import subprocess
import time

from .processes import BenchError, cpu_seconds, memory_mib
from .results import GIB

MIB = 1024**2


class Server:
    """A cairnd on the filesystem under test, gone with its data when the comparison ends."""

    def __init__(self, group, build_dir, scratch, options, target_bytes):
        self.data_dir = os.path.join(scratch, "data")
        config = os.path.join(scratch, "cairnd.toml")
        with open(config, "w", encoding="ascii") as file:
            file.write(f'provider = "{options.provider}"\n'
                       f"targets = [{{ size = \"{target_bytes // MIB + 1}MiB\" }}]\n"
                       "reclaim_grace_seconds = 1\n")
        self._child = group.start(
            [os.path.join(build_dir, "bin/cairnd"), "--data", self.data_dir,
             "--listen", "127.0.0.1:0", "--config", config],
            os.path.join(scratch, "cairnd.log"))
        self.pid = self._child.pid
        self.endpoint = self._read_board()

    def _read_board(self):
        """cairnd prints a board when it is ready; its `endpoint` line names HOST:PORT."""
        while True:
            line = self._child.read_line(60)
            match = re.search(r"\bendpoint\s+(\S+:\d+)", line)
            if match:
                return match.group(1)

    def peak_rss_mib(self):
        return memory_mib(self.pid)

    def stop(self):
        self._child.stop()
        shutil.rmtree(self.data_dir, ignore_errors=True)


class Clients:
    """The ranks that save and restore, each a process with its tensors filled once."""

    def __init__(self, group, build_dir, scratch, options, server):
        self._server = server
        self._mib = options.mib
        self._count = options.clients
        self._child = group.start(
            [os.path.join(build_dir, "bin/ckpt_load"), "--endpoint", server.endpoint,
             "--clients", str(options.clients), "--mib", str(options.mib)],
            os.path.join(scratch, "ckpt_load.log"))
        self._pids = self._child.answer()["pids"]
        self.last_report = {}

    def save(self, path, results):
        """Saves and adds the figures to `results`."""
        before = self.status()
        speed = self._measure("save", path, results)
        flushes = self.status()["counters"].get("cairn_target_flushes_total", 0) - before["counters"].get("cairn_target_flushes_total", 0)
        results.add("cairn_fsyncs_per_shard", "fsync", flushes / self._count)
        return speed

    def restore(self, path, results):
        """Restores, verified, and adds the figures to `results`."""
        return self._measure("restore", path, results)

    def _measure(self, command, path, results):
        server_before = cpu_seconds([self._server.pid])
        report = self._child.ask(f"{command} {path}")
        gib = report["bytes"] / GIB
        server_cpu = cpu_seconds([self._server.pid]) - server_before
        # Each rank reports its own: around the stop-watch it overwrites and checks its tensors, which is no work
        # of the SDK's.
        client_cpu = sum(rank["cpu_s"] for rank in report["ranks"])
        results.add(f"cairn_{command}", "GiB/s", gib / report["seconds"])
        results.add(f"cairn_{command}_server_cpu", "GiB/CPU-s", gib / max(server_cpu, 0.01))
        results.add(f"cairn_{command}_client_cpu", "GiB/CPU-s", gib / max(client_cpu, 0.01))
        self.last_report = report
        return gib / report["seconds"]

    def remove(self, path):
        """Removes a checkpoint and waits until its space is free again."""
        self._child.ask(f"remove {path}")
        self.settle()

    def settle(self):
        """Waits until nothing of what was removed is still being cleaned up."""
        deadline = time.monotonic() + 60
        while self.status().get("reclaim_pending_bytes", 0) > 0:
            if time.monotonic() > deadline:
                raise BenchError("the space of removed checkpoints did not come back within a minute")
            time.sleep(0.05)

    def status(self):
        """The node's status; protobuf JSON gives 64-bit numbers as text."""
        status = self._child.ask("status")["status"]
        numbers = {name: int(value) for name, value in status.items()
                   if isinstance(value, (str, int)) and str(value).isdigit()}
        numbers["counters"] = {name: int(value) for name, value in status.get("counters", {}).items()}
        return numbers

    def beyond_tensors_mib(self):
        """The most that any rank's memory has exceeded its tensors."""
        return max(memory_mib(pid) for pid in self._pids) - self._mib


def bench_meta(build_dir, endpoint, ranks):
    """What `cairn bench meta` reports."""
    command = [os.path.join(build_dir, "bin/cairn"), "--endpoint", endpoint, "--output", "json",
               "bench", "meta", "--ranks", str(ranks)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise BenchError(f"cairn bench meta failed: {(done.stderr or done.stdout).strip()[-400:]}")
    return json.loads(done.stdout)
