"""The cluster under test: cairnd processes on this machine, the ranks that save to it, and what it says of itself."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import time

from .processes import BenchError, cpu_seconds
from .results import GIB

MIB = 1024**2
FOUNDER = 1  # has the metadata
PATIENCE_S = 300


def percentile(samples, percent):
    """By nearest rank: of few samples the 99th is the largest."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def wait_until(condition, what, timeout_s=PATIENCE_S, interval_s=0.1):
    """Asks again until it gives something true, which is returned."""
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise BenchError(f"did not happen within {timeout_s} s: {what}")
        time.sleep(interval_s)
    return result


class Node:
    """One cairnd. `number` names its files; its id is what the cluster gave it."""

    def __init__(self, number, listen, data):
        self.number, self.listen, self.data = number, listen, data
        self.child = None
        self.id = None


class Cluster:
    """Nodes with one target each, gone with their data when the comparison ends."""

    def __init__(self, group, build_dir, scratch, options, target_bytes):
        self._group, self._build_dir, self._scratch = group, build_dir, scratch
        self._settings = (f'provider = "{options.provider}"\nreclaim_grace_seconds = 1\n'
                          f"targets = [{{ size = \"{target_bytes // MIB + 1}MiB\" }}]\n")
        self._made = 0
        self.nodes = []

    @property
    def endpoint(self):
        return self.nodes[0].listen

    def add(self, count=1):
        """Starts so many new nodes and waits until the cluster puts data on them."""
        for _ in range(count):
            self._made += 1
            node = Node(self._made, "127.0.0.1:0", os.path.join(self._scratch, f"node-{self._made}"))
            self.nodes.append(node)
            self.start(node)
        self.wait_up()

    def start(self, node):
        """Starts it, again at the same address after a kill, and waits for its board."""
        config = node.data + ".toml"
        with open(config, "w", encoding="ascii") as file:
            file.write(self._settings)
        command = [os.path.join(self._build_dir, "bin/cairnd"), "--data", node.data, "--listen", node.listen,
                   "--config", config]
        if node is not self.nodes[0]:
            command += ["--join", self.endpoint,
                        "--secret-file", os.path.join(self.nodes[0].data, "cluster.secret")]
        node.child = self._group.start(command, node.data + ".log")
        match = None
        while match is None:
            match = re.search(r"\bendpoint\s+(\S+:\d+)", node.child.read_line(120))
        node.listen = match.group(1)

    def kill(self, node):
        """SIGKILL."""
        os.kill(node.child.pid, signal.SIGKILL)
        node.child.process.wait()

    def lose(self, node):
        """It is killed, and the cluster is told that it does not come back: its data are made again elsewhere."""
        self.kill(node)
        self.nodes.remove(node)
        self.cli("node", "rm", str(node.id), "--yes", "--force")
        shutil.rmtree(node.data, ignore_errors=True)

    def cli(self, *arguments):
        """The JSON of a command of the CLI."""
        command = [os.path.join(self._build_dir, "bin/cairn"), "--endpoint", self.endpoint, "--output", "json",
                   *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode != 0:
            raise BenchError(f"cairn {' '.join(arguments)} failed: {(done.stderr or done.stdout).strip()[-400:]}")
        return json.loads(done.stdout)

    def make_bucket(self, name, redundancy):
        self.cli("bucket", "create", name, "--redundancy", redundancy)

    def wait_up(self):
        """Until all nodes that run are used."""
        def up():
            status = self.cli("status")
            usable = {target["node"] for target in status["targets"]
                      if target["state"] == "up" and target["capacity_bytes"] > 0}
            ids = {}
            for each in sorted(status["nodes"], key=lambda node: node["id"]):
                if each["state"] == "up" and each["id"] in usable:
                    ids[each["endpoint"]] = each["id"]
            for node in self.nodes:
                node.id = ids.get(node.listen)
            return all(node.id for node in self.nodes)
        wait_until(up, "all nodes are up")

    def rebuild_status(self):
        return self.cli("rebuild", "status")

    def wait_settled(self):
        """Until nothing is on the move, nor about to be."""
        calm_since = None
        deadline = time.monotonic() + PATIENCE_S
        while calm_since is None or time.monotonic() - calm_since < 3:
            status = self.rebuild_status()
            calm = status["idle"] and not status["waiting_nodes"]
            calm_since = (calm_since or time.monotonic()) if calm else None
            if time.monotonic() > deadline:
                raise BenchError(f"the cluster did not come to rest within {PATIENCE_S} s: {status}")
            time.sleep(0.2)

    def pids(self):
        return [node.child.pid for node in self.nodes]


class Ranks:
    """ckpt_load on a cluster: each rank a process with its tensors filled once."""

    def __init__(self, group, build_dir, scratch, options, cluster, mib):
        self._cluster = cluster
        self._child = group.start(
            [os.path.join(build_dir, "bin/ckpt_load"), "--endpoint", cluster.endpoint,
             "--clients", str(options.clients), "--mib", str(mib)],
            os.path.join(scratch, "ckpt_load-cluster.log"))
        self._child.answer()
        self.bytes = options.clients * mib * MIB

    def save(self, path, count_servers=True):
        """What ckpt_load reports, with "speed" in GiB/s and the CPU seconds of clients and servers; those of servers
        that end meanwhile cannot be counted."""
        return self._measure("save", path, count_servers)

    def restore(self, path, count_servers=True):
        return self._measure("restore", path, count_servers)

    def _measure(self, command, path, count_servers):
        pids = self._cluster.pids() if count_servers else []
        before = cpu_seconds(pids)
        report = self._child.ask(f"{command} {path}")
        report["server_cpu_s"] = cpu_seconds(pids) - before
        report["client_cpu_s"] = sum(rank["cpu_s"] for rank in report["ranks"])
        report["speed"] = report["bytes"] / report["seconds"] / GIB
        return report

    def remove(self, path):
        """Removes a checkpoint and waits until its space is free again."""
        self._child.ask(f"remove {path}")
        wait_until(lambda: self._child.ask("status")["status"].get("reclaim_pending_bytes", "0") == "0",
                   "the space of a removed checkpoint comes back", interval_s=0.05)
