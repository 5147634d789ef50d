"""A network of a cluster's own: a bridge, and for each node a network namespace joined to it by a veth pair.

Everything is named after the cluster's tag, so that clusters live side by side, and taking one down removes what is
its own alone. Interface names have 15 characters at most.
"""

import contextlib
import fcntl
import ipaddress
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from failure import Failure

NAMESPACES = Path("/run/netns")
# One at a time chooses addresses, whatever directory it works on.
LOCK = Path("/run/lock/cairn-dev-cluster.lock")
# Of the bridge; nodes count from 1, and there are fewer.
HOST_NUMBER = 254


def why_unavailable() -> str | None:
    """Why there can be no network namespaces here, and what to do; None when there can."""
    if os.geteuid() != 0:
        return "--netns needs root: run it with sudo, or without --netns, where the nodes share 127.0.0.1"
    for program, package in (("ip", "iproute2"), ("nsenter", "util-linux")):
        if _program(program) is None:
            return f"--netns needs `{program}`: install {package}, or leave --netns out"
    return None


def _program(name: str) -> str | None:
    # Not everybody's PATH has the administrator's programs.
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


def _ip(*arguments: str) -> str:
    done = subprocess.run([_program("ip") or "ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


@contextlib.contextmanager
def _choosing() -> Iterator[None]:
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Network:
    """The bridge and the namespaces of one cluster."""

    def __init__(self, tag: str, prefix: str = "") -> None:
        self.tag = tag
        self.prefix = prefix  # "10.x.y"; "" until it is made
        self.bridge = f"cairn-{tag}"

    def namespace(self, number: int) -> str:
        """Of a node."""
        return f"cairn-{self.tag}-{number}"

    def address(self, number: int) -> str:
        """Of a node; HOST_NUMBER: of this host."""
        return f"{self.prefix}.{number}"

    def inside(self, number: int, command: list[str]) -> list[str]:
        """`command` as it runs in a node's namespace, as the very process that is started."""
        return [_program("nsenter") or "nsenter", f"--net={NAMESPACES / self.namespace(number)}", "--", *command]

    def make(self, number: int) -> None:
        """Makes what is missing of the bridge and of a node's namespace."""
        if self._exists(self.bridge) and not self.prefix:
            self.remove()  # left by one that was ended before it could write its addresses down
        if not self._exists(self.bridge):
            self._make_bridge()
        # What a crash left half made is made anew; a whole one is kept, with what somebody changed in it.
        if (NAMESPACES / self.namespace(number)).exists() and self._exists(self._host_end(number)):
            return
        self._remove_node(number)
        namespace = self.namespace(number)
        _ip("netns", "add", namespace)
        _ip("link", "add", self._host_end(number), "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("-n", namespace, "address", "add", f"{self.address(number)}/24", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        _ip("link", "set", self._host_end(number), "master", self.bridge, "up")

    def remove(self) -> list[str]:
        """Removes all of it that there is, and says what there was."""
        removed = []
        for number in self._numbers():
            self._remove_node(number)
            removed.append(f"network namespace {self.namespace(number)}")
        if self._exists(self.bridge):
            _ip("link", "delete", self.bridge)
            removed.append(f"bridge {self.bridge}")
        return removed

    def _numbers(self) -> list[int]:
        """Nodes with a namespace, whoever's list they are on."""
        if not NAMESPACES.is_dir():
            return []
        start = self.namespace(0).removesuffix("0")
        names = [entry.name for entry in NAMESPACES.iterdir() if entry.name.startswith(start)]
        return sorted(int(name.removeprefix(start)) for name in names if name.removeprefix(start).isdigit())

    def _host_end(self, number: int) -> str:
        return f"cn{self.tag}-{number}"

    @staticmethod
    def _exists(interface: str) -> bool:
        return Path("/sys/class/net", interface).exists()

    def _remove_node(self, number: int) -> None:
        # A namespace takes its end of the pair along, but only when its last process is gone, some time later.
        if self._exists(self._host_end(number)):
            _ip("link", "delete", self._host_end(number))
        if (NAMESPACES / self.namespace(number)).exists():
            _ip("netns", "delete", self.namespace(number))

    def _make_bridge(self) -> None:
        with _choosing():
            taken = _routes()
            # A private network of the whole 10.0.0.0/8, as a VPN has it, is no reason against a corner of it.
            if not self.prefix or self._overlaps(self.prefix, taken):
                self.prefix = self._choose(taken) or self._choose([n for n in taken if n.prefixlen > 16]) or ""
            if not self.prefix:
                raise Failure("every network from 10.64.0.0/24 to 10.127.255.0/24 is in use on this machine")
            _ip("link", "add", self.bridge, "type", "bridge")
            _ip("address", "add", f"{self.address(HOST_NUMBER)}/24", "dev", self.bridge)
            _ip("link", "set", self.bridge, "up")

    def _choose(self, taken: list[ipaddress.IPv4Network]) -> str | None:
        """The same for a cluster each time, if nobody else has it."""
        start = int(self.tag, 16)
        for step in range(64 * 256):
            third = (start + step) % (64 * 256)
            prefix = f"10.{64 + third // 256}.{third % 256}"
            if not self._overlaps(prefix, taken):
                return prefix
        return None

    @staticmethod
    def _overlaps(prefix: str, taken: list[ipaddress.IPv4Network]) -> bool:
        return any(ipaddress.IPv4Network(f"{prefix}.0/24").overlaps(network) for network in taken)


def _routes() -> list[ipaddress.IPv4Network]:
    """What this machine has a way to, but for the default."""
    found = []
    for route in json.loads(_ip("-j", "-4", "route", "show", "table", "all") or "[]"):
        if route["dst"][0].isdigit():
            found.append(ipaddress.IPv4Network(route["dst"]))
    return found
