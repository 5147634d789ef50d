"""Clusters whose nodes have a network namespace and an address each, so that their network can be harmed: cut, also in
one direction only or between two of them alone, and made slow. The network is tools/dev-cluster's.

Packets are dropped by iptables in the namespace of a node, and links are slowed by tc at both of their ends. What a
test that was killed left behind is removed by the next one of the same build.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys

from cairn_cluster import Cluster, ClusterTest
from cairn_harness import BUILD_DIR, ROOT

sys.path.insert(0, os.path.join(ROOT, "tools", "dev-cluster.d"))

from network import Network, why_unavailable  # noqa: E402

PORT = 7440
# Of the namespace that clients run in; nodes count from 1.
CLIENT = 100


def administrator_path():
    """PATH with the administrator's programs, which not everybody's has."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def why_no_faults():
    """Why the network cannot be harmed here; None when it can."""
    reason = why_unavailable()
    if reason:
        return reason.removeprefix("--netns ")
    for name, package in (("iptables", "iptables"), ("tc", "iproute2")):
        if shutil.which(name, path=administrator_path()) is None:
            return f"needs `{name}`: install {package}"
    for probe in ("iptables -w -A OUTPUT -o eth0 -j DROP",
                  "tc qdisc add dev lo root tbf rate 1mbit burst 64kb latency 1s"):
        done = run("unshare", "--net", *probe.split(), check=False)
        if done.returncode != 0:
            return f"`{probe}` does not work in a network namespace here: {done.stderr.strip()}"
    return None


def run(*command, check=True):
    """A command that is to end well, at once."""
    done = subprocess.run(command, env={**os.environ, "PATH": administrator_path()}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False, timeout=30)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done


class FaultyNetwork:
    """The network of one cluster. Members go by number: nodes as they were started, and CLIENT."""

    def __init__(self):
        tag = hashlib.sha256(os.fsencode(os.path.abspath(BUILD_DIR)) + b"e2e").hexdigest()[:6]
        self._network = Network(tag)
        self._slow = set()
        self._made = set()

    def remove(self):
        """Ends what still runs in its namespaces and removes them all, whoever made them."""
        for number in range(1, CLIENT + 1):
            namespace = self._network.namespace(number)
            if os.path.exists(os.path.join("/run/netns", namespace)):
                for pid in run("ip", "netns", "pids", namespace).stdout.split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
        self._network.remove()

    def join(self, number):
        """Makes a member's namespace. The command that runs in it what follows it, and the address that it has."""
        self._network.make(number)
        self._made.add(number)
        return self._network.inside(number, []), self._network.address(number)

    def isolate(self, number, sends=True, receives=True):
        """Drops all that a member sends, all that it is sent, or both."""
        if sends:
            self._drop(number, "OUTPUT", "-o", "eth0")
        if receives:
            self._drop(number, "INPUT", "-i", "eth0")

    def cut(self, one, other):
        """Drops all between two members."""
        self._drop(one, "OUTPUT", "-d", self._network.address(other))
        self._drop(one, "INPUT", "-s", self._network.address(other))

    def limit(self, number, rate):
        """Lets a member send and receive no more than so much, each: "20mbit"."""
        bucket = ("root", "tbf", "rate", rate, "burst", "64kb", "latency", "400ms")
        run(*self._inside(number), "tc", "qdisc", "replace", "dev", "eth0", *bucket)
        run("tc", "qdisc", "replace", "dev", self._host_end(number), *bucket)
        self._slow.add(number)

    def heal(self):
        """Takes all of that back."""
        for number in self._made:
            run(*self._inside(number), "iptables", "-w", "-F")
        for number in self._slow:
            run(*self._inside(number), "tc", "qdisc", "del", "dev", "eth0", "root")
            run("tc", "qdisc", "del", "dev", self._host_end(number), "root")
        self._slow.clear()

    def dropped(self):
        """Packets that the rules in force have dropped so far: a fault that met none was none."""
        count = 0
        for number in self._made:
            listed = run(*self._inside(number), "iptables", "-w", "-nvxL").stdout
            count += sum(int(line.split()[0]) for line in listed.splitlines() if " DROP " in line)
        return count

    def _inside(self, number):
        return self._network.inside(number, [])

    def _host_end(self, number):
        # As tools/dev-cluster.d/network.py names it.
        return f"cn{self._network.tag}-{number}"

    def _drop(self, number, chain, *what):
        run(*self._inside(number), "iptables", "-w", "-A", chain, *what, "-j", "DROP")


class NetworkCluster(Cluster):
    """A cluster in a network of its own. A node's number is the id that the cluster gives it."""

    def __init__(self, test, network, settings=None):
        super().__init__(test, settings)
        self.network = network

    def place(self, number):
        wrapper, address = self.network.join(number)
        return {"wrapper": wrapper, "listen": f"{address}:{PORT}"}

    def client(self, **options):
        """An SDK process in the clients' namespace; others run beside all namespaces and reach every node."""
        wrapper, _ = self.network.join(CLIENT)
        return self._test.sdk(self.servers[1], wrapper=wrapper, **options)


class NetworkTest(ClusterTest):
    """A test whose cluster has a network of its own; skipped where there can be none."""

    def setUp(self):
        reason = why_no_faults()
        if reason:
            self.skipTest(reason)
        super().setUp()
        # Two at a time would take each other's network down.
        os.makedirs(os.path.join(BUILD_DIR, "tests"), exist_ok=True)
        lock = open(os.path.join(BUILD_DIR, "tests", "network.lock"), "w", encoding="ascii")
        self.addCleanup(lock.close)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.network = FaultyNetwork()
        self.network.remove()
        self.addCleanup(self.network.remove)

    def cluster(self, nodes, settings=None):
        return NetworkCluster(self, self.network, settings).start(nodes)
