"""A cluster on this machine: what its directory says of it, and how its nodes are started and ended.

DIR/cluster.json has the choices and the processes. Of node I, DIR/node-I is the data, node-I.log what it logs,
node-I.toml its configuration and node-I.board what it printed when it was ready. Node 1 founds the cluster and has the
metadata; the others join it, with the secret that it made.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from failure import Failure
from network import Network
from processes import Process, launch

NODES_MAX = 64
FOUNDER = 1
# Metrics of a node are so many ports above the node itself; where each has an address of its own, at one port.
METRICS_ABOVE = 1000
METRICS_PORT = 9744
# A node makes its targets' files with their whole size first, which some filesystems do by writing them.
START_LIMIT_S = 120
UP_LIMIT_S = 60
STOP_LIMIT_S = 15
STATUS_LIMIT_S = 20
LOG_LINES = 15
_FORMAT = 1
# Below the ports that outgoing connections get, on Linux as it comes.
_FREE_PORTS = range(16_000, 32_000)
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def say(text: str) -> None:
    """A line of progress."""
    print(f"dev-cluster: {text}", flush=True)


def size_bytes(text: str) -> int | None:
    """What a size like "2GiB" means; None for what is none."""
    digits = text.rstrip("BKMGTiIbkmgt ")
    unit = text[len(digits) :].strip().upper()
    return int(digits) * _UNITS[unit] if digits.isdigit() and unit in _UNITS else None


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One command at a time changes a cluster. The lock is on its directory, which is made."""
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for another dev-cluster command on {directory}")
                fcntl.flock(handle, fcntl.LOCK_EX)
            # While this one waited, the other may have removed it.
            if directory.exists() and os.path.samestat(os.fstat(handle), directory.stat()):
                yield
                return
        finally:
            with contextlib.suppress(OSError):
                directory.rmdir()  # nothing came of it
            os.close(handle)


def _wait(condition: Callable[[], Any], limit_s: float) -> Any:
    """Asks again until it gives something true, which is returned; None when it does not in time."""
    deadline = time.monotonic() + limit_s
    while not (result := condition()):
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)
    return result


def _free_port(given: set[int]) -> int:
    """Nobody listens on it now, and none will by chance while a node that has it is restarted."""
    for _ in range(1000):
        port = random.choice(_FREE_PORTS)
        if port in given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    ports = f"from {_FREE_PORTS.start} to {_FREE_PORTS.stop - 1}"
    raise Failure(f"no port {ports} seems to be free; choose some with --port")


@dataclass
class Choices:
    """What `up` was told. Of a cluster that is there already, only settings can be told anew."""

    netns: bool = False
    port: int = 7440
    target_size: str = "2GiB"
    targets: int = 1
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Node:
    """One node, by its number in this cluster, which is not always the id that the cluster gave it."""

    number: int
    listen: str  # HOST:PORT
    process: Process | None = None
    metrics: str | None = None  # where it said last that its metrics are

    @property
    def state(self) -> str:
        """Of its process: running, stopped, gone."""
        return self.process.state() if self.process else "gone"


class Cluster:
    """The cluster of a directory."""

    def __init__(self, directory: Path, choices: Choices) -> None:
        self.directory = directory
        self.choices = choices
        self.nodes: dict[int, Node] = {}
        self._log_starts: dict[int, int] = {}
        tag = hashlib.sha256(os.fsencode(directory)).hexdigest()[:6]
        self.network = Network(tag)

    # ---- the directory ----

    @classmethod
    def load(cls, directory: Path) -> "Cluster | None":
        """The one that is there."""
        try:
            state = json.loads((directory / "cluster.json").read_text())
            if state["format"] != _FORMAT:
                raise Failure(f"{directory / 'cluster.json'} is of another version of this tool: use that one")
            cluster = cls(directory, Choices(**state["choices"]))
            cluster.network.prefix = state["prefix"]
            for each in state["nodes"]:
                process = Process(**each["process"]) if each["process"] else None
                node = Node(each["number"], each["listen"], process, each.get("metrics"))
                cluster.nodes[node.number] = node
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise Failure(f"{directory / 'cluster.json'} is damaged ({error})") from error
        return cluster

    def save(self) -> None:
        """Writes down what is there now."""
        state = {
            "format": _FORMAT,
            "choices": asdict(self.choices),
            "prefix": self.network.prefix,
            "nodes": [asdict(node) for _, node in sorted(self.nodes.items())],
        }
        new = self.directory / "cluster.json.new"
        new.write_text(json.dumps(state, indent=2) + "\n")
        new.replace(self.directory / "cluster.json")

    def data(self, number: int) -> Path:
        """A node's data directory."""
        return self.directory / f"node-{number}"

    def file(self, number: int, kind: str) -> Path:
        """A node's "log", "toml" or "board"."""
        return self.directory / f"node-{number}.{kind}"

    def is_new(self, number: int) -> bool:
        """Whether it has never been a node of a cluster."""
        return not (self.data(number) / "cairn.id").exists()

    def node(self, number: int) -> Node:
        """The node of that number, or a Failure."""
        if number not in self.nodes:
            known = ", ".join(str(each) for each in sorted(self.nodes)) or "none"
            raise Failure(f"there is no node {number} in {self.directory}; there are: {known}")
        return self.nodes[number]

    @property
    def endpoint(self) -> str:
        """Where clients find it; all nodes do, and node 1 does soonest."""
        return self.nodes[FOUNDER].listen if FOUNDER in self.nodes else ""

    # ---- starting ----

    def choose(self, choices: Choices) -> None:
        """Takes other choices over. Where nodes listen can change only while none of them runs."""
        before, self.choices = self.choices, choices
        if (before.netns, before.port) == (choices.netns, choices.port):
            return
        running = [number for number, node in sorted(self.nodes.items()) if node.state != "gone"]
        if running:
            raise Failure(
                f"node {running[0]} runs on {self.nodes[running[0]].listen}: `down` comes before another --port or "
                "--netns (the data stays)"
            )
        if before.netns:
            self.network.remove()
        for node in self.nodes.values():
            node.listen = self._address(node.number)

    def _address(self, number: int) -> str:
        if self.choices.netns:
            return f"{self.network.address(number)}:{self.choices.port}"
        given = {int(node.listen.rpartition(":")[2]) for node in self.nodes.values()}
        return f"127.0.0.1:{self.choices.port + number - 1 if self.choices.port else _free_port(given)}"

    def _metrics_address(self, number: int) -> str:
        if self.choices.netns:
            return f"{self.network.address(number)}:{METRICS_PORT}"
        return f"127.0.0.1:{self.choices.port + METRICS_ABOVE + number - 1 if self.choices.port else 0}"

    def prepare(self, numbers: list[int]) -> None:
        """Makes what these nodes need before they start, and finds out what would keep them from it."""
        self._check_space([number for number in numbers if self.is_new(number)])
        for number in numbers:
            if self.choices.netns:
                # It does not outlive `down` or the machine's restart, and may have other addresses then.
                self.network.make(number)
            if self.choices.netns or number not in self.nodes:
                self.nodes[number] = Node(number, self._address(number))
            self.save()
        if not self.choices.netns:
            listens = [self.nodes[number].listen for number in numbers]
            self._check_ports(listens + [self._metrics_address(number) for number in numbers])

    def _check_space(self, new: list[int]) -> None:
        size = size_bytes(self.choices.target_size)
        if size is None:
            raise Failure(f"--target-size '{self.choices.target_size}' is no size like 2GiB or 500MB")
        wanted = size * self.choices.targets * len(new)
        free = shutil.disk_usage(self.directory).free
        if wanted > free:
            raise Failure(
                f"the targets of {len(new)} new nodes take {wanted / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are "
                f"free in {self.directory}: a smaller --target-size, fewer nodes, or another --dir"
            )

    @staticmethod
    def _check_ports(listens: list[str]) -> None:
        taken = []
        for listen in listens:
            host, _, port = listen.rpartition(":")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, int(port)))
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        raise Failure(f"{listen}: {error.strerror}; choose others with --port") from error
                    taken.append(port)
        if taken:
            raise Failure(
                f"in use: {', '.join('port ' + port for port in taken)} of 127.0.0.1. See `ss -ltnp`; choose others "
                "with --port P (0: any that are free), or end what uses them"
            )

    def start(self, numbers: list[int], binaries: Path) -> None:
        """Starts nodes that do not run and waits for their boards.

        The founder comes first. Those that have joined before come back all at once; new ones join one after the
        other, so that the ids they get are their numbers.
        """
        self.prepare(numbers)
        known = [number for number in numbers if number != FOUNDER and not self.is_new(number)]
        new = [number for number in numbers if number != FOUNDER and self.is_new(number)]
        for batch in ([FOUNDER] if FOUNDER in numbers else [], known, *([number] for number in new)):
            started = [(number, self._launch(number, binaries)) for number in batch]
            for number, process in started:
                self.wait_board(number, process)
                say(f"node {number} is ready on {self.nodes[number].listen} (pid {process.pid})")

    def _launch(self, number: int, binaries: Path) -> subprocess.Popen:
        node = self.nodes[number]
        self._write_config(number)
        command = [str(binaries / "cairnd"), "--data", str(self.data(number)), "--listen", node.listen]
        command += ["--config", str(self.file(number, "toml")), "--metrics-listen", self._metrics_address(number)]
        if number != FOUNDER:
            command += ["--join", self.endpoint, "--secret-file", str(self.data(FOUNDER) / "cluster.secret")]
        if self.choices.netns:
            command = self.network.inside(number, command)
        log = self.file(number, "log")
        self._log_starts[number] = log.stat().st_size if log.exists() else 0
        started, node.process = launch(command, self.file(number, "board"), log)
        self.save()
        return started

    def _write_config(self, number: int) -> None:
        # Many nodes share the machine's memory; cairnd's own default is for one that has it for itself.
        settings = {"slab_memory": "64MiB", **self.choices.settings}
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        for _ in range(self.choices.targets):
            lines += ["", "[[targets]]", f"size = {json.dumps(self.choices.target_size)}"]
        self.file(number, "toml").write_text("\n".join(lines) + "\n")

    def wait_board(self, number: int, started: subprocess.Popen | None = None) -> None:
        """Waits until it is ready, and learns the port it took. `started`: of a node that this command started."""
        node, board = self.nodes[number], self.file(number, "board")

        def ready() -> dict[str, str] | None:
            if node.state == "gone":
                how = f"ended with status {started.wait()}" if started else "has ended"
                raise Failure(f"node {number} {how}. {self.last_words(number)}")
            lines = [line.split() for line in board.read_text(errors="replace").splitlines()]
            said = {line[0]: line[1] for line in lines if len(line) > 1}
            return said if {"endpoint", "metrics"} <= set(said) else None

        said = _wait(ready, START_LIMIT_S)
        if not said:
            raise Failure(f"node {number} is not ready after {START_LIMIT_S} s. {self.last_words(number)}")
        node.listen, node.metrics = said["endpoint"], said["metrics"]
        self.save()

    def last_words(self, number: int) -> str:
        """The end of a node's log, for a message. Of a node started just now nothing older."""
        log = self.file(number, "log")
        text = log.read_bytes()[self._log_starts.get(number, 0) :] if log.exists() else b""
        lines = text.decode("utf-8", "replace").splitlines()[-LOG_LINES:]
        return "\n".join([f"The end of {log}:", *(f"  {line}" for line in lines)]) if lines else f"{log} says nothing."

    # ---- what the cluster says ----

    def status(self, binaries: Path) -> dict[str, Any]:
        """The answer of `cairn status`, or a Failure with its words."""
        command = [str(binaries / "cairn"), "status", "--endpoint", self.endpoint]
        command += ["--output", "json", "--timeout", "5s"]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=STATUS_LIMIT_S
            )
            if done.returncode == 0:
                return json.loads(done.stdout)
        except subprocess.TimeoutExpired:
            raise Failure(f"no status of {self.endpoint} within {STATUS_LIMIT_S} s") from None
        except ValueError as error:
            raise Failure(f"`cairn status` printed no JSON: {error}") from error
        words = done.stderr.strip().splitlines()
        raise Failure(words[-1] if words else f"`cairn status` ended with status {done.returncode}")

    def reported(self, status: dict[str, Any]) -> dict[int, dict[str, Any]]:
        """What the cluster says of each node: its id, and its state as one of joining, up, suspect, down, out."""
        within = status.get("map", status)
        # A target is known when its node joins, and used once a heartbeat has told of it.
        joining = {
            target.get("node")
            for target in within.get("targets", [])
            if target.get("joining") or not int(target.get("capacity_bytes", 0))
        }
        by_endpoint: dict[str, dict[str, Any]] = {}
        for each in within.get("nodes", []):
            # protobuf leaves out what is the default.
            state = str(each.get("state") or "NODE_UP").upper().removeprefix("NODE_").lower()
            if state == "up" and each.get("id") in joining:
                state = "joining"
            # One that was wiped and joined again is there twice, and what counts is the newer.
            known = by_endpoint.get(each.get("endpoint", ""))
            if known is None or known["id"] < each.get("id", 0):
                by_endpoint[each.get("endpoint", "")] = {"id": each.get("id", 0), "state": state}
        return {number: by_endpoint.get(node.listen, {}) for number, node in self.nodes.items()}

    def wait_up(self, numbers: list[int], binaries: Path) -> None:
        """Waits until the cluster counts these nodes as up."""
        last: str = "nothing"
        missing = numbers

        def all_up() -> bool:
            nonlocal last, missing
            for number in numbers:
                if self.nodes[number].state == "gone":
                    raise Failure(f"node {number} has ended. {self.last_words(number)}")
            try:
                reported = self.reported(self.status(binaries))
            except Failure as failure:
                last = str(failure)
                return False
            missing = [number for number in numbers if reported[number].get("state") != "up"]
            last = ", ".join(f"node {number}: {reported[number].get('state', 'not known')}" for number in missing)
            return not missing

        if not _wait(all_up, UP_LIMIT_S):
            raise Failure(f"not all nodes are up after {UP_LIMIT_S} s ({last}). {self.last_words(missing[0])}")

    # ---- ending ----

    def kill(self, number: int) -> bool:
        """SIGKILL, and waits for the end. False when it did not run."""
        process = self.node(number).process
        if process is None or not process.signal(signal.SIGKILL):
            return False
        if not process.wait_gone(STOP_LIMIT_S):
            raise Failure(f"node {number} (pid {process.pid}) does not end after SIGKILL: does its disk hang?")
        return True

    def stop_all(self) -> list[int]:
        """Ends all processes: asks first, insists later; those that need the founder before it. Says which ran."""
        stopped = []
        joined = [number for number in sorted(self.nodes) if number != FOUNDER]
        for batch in (joined, [FOUNDER] if FOUNDER in self.nodes else []):
            asked = []
            for number in batch:
                process = self.nodes[number].process
                if process and process.signal(signal.SIGTERM):
                    process.signal(signal.SIGCONT)
                    asked.append((number, process))
            deadline = time.monotonic() + STOP_LIMIT_S
            for number, process in asked:
                if not process.wait_gone(max(0.0, deadline - time.monotonic())):
                    say(f"node {number} (pid {process.pid}) has not stopped in {STOP_LIMIT_S} s; killing it")
                    self.kill(number)
                self.nodes[number].process = None
                stopped.append(number)
        self.save()
        return stopped

    def wipe(self, number: int) -> None:
        """Empties a node's data directory."""
        node = self.node(number)
        if number == FOUNDER:
            raise Failure("node 1 has the metadata, without which the rest is lost: `down --purge` removes all of it")
        if node.state != "gone":
            raise Failure(f"node {number} runs (pid {node.process.pid}): `kill {number}` comes before `wipe {number}`")
        if self.data(number).exists():
            shutil.rmtree(self.data(number))
        self.data(number).mkdir()

    def purge(self) -> list[str]:
        """Removes the directory, but for what others have put there, which is returned."""
        for number in self.nodes:
            shutil.rmtree(self.data(number), ignore_errors=True)
            for kind in ("log", "toml", "board"):
                self.file(number, kind).unlink(missing_ok=True)
        for name in ("cluster.json", "cluster.json.new"):
            (self.directory / name).unlink(missing_ok=True)
        left = sorted(entry.name for entry in self.directory.iterdir())
        if not left:
            self.directory.rmdir()
        return left
