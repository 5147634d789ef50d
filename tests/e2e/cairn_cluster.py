"""Clusters of real cairnd processes for the end-to-end tests: a founding node and those that join it.

Nodes go by the ids that the cluster gave them; the founding node is FOUNDER and has the metadata. What the cluster
thinks of a node is asked of its status, never guessed from time.
"""

import json
import os
import signal
import subprocess

from cairn_harness import PATIENCE_S, CairnTest, program, wait_until

FOUNDER = 1
# Shorter than by default, so that tests need not wait. Not much shorter: nodes say every second that they live.
DOWN_AFTER_S = 3
SETTINGS = {"down_after_seconds": DOWN_AFTER_S, "reclaim_grace_seconds": 1, "targets": [{"size": "512MiB"}]}


def join_arguments(endpoint, secret=None):
    """Flags of a node that joins; `secret` is the path of the cluster's secret."""
    return ["--join", endpoint, *(["--secret-file", secret] if secret else [])]


def secret_path(server):
    """Where a founding node keeps the cluster's secret."""
    return os.path.join(server.data, "cluster.secret")


class Cluster:
    """The nodes of one test, which ends them. `settings` are those of every node."""

    def __init__(self, test, settings=None, prefix="node"):
        self._test = test
        self._prefix = prefix
        self._settings = {**SETTINGS, **(settings or {})}
        self._started = 0
        self._places = {}  # by the name of the data directory
        self.servers = {}  # by id
        self._watcher = None

    def start(self, nodes):
        """Starts so many, one after the other, and waits until all are up and used."""
        self.wait_ready(*[self._start_one() for _ in range(nodes)])
        return self

    def add(self, settings=None):
        """Starts one more, with settings of its own over the others'. Its id, once the cluster counts on it."""
        node = self._start_one(settings)
        self.wait_ready(node)
        return node

    def _start_one(self, settings=None):
        self._started += 1
        founder = self.servers.get(FOUNDER)
        arguments = join_arguments(founder.endpoint, secret_path(founder)) if founder else ()
        name = f"{self._prefix}-{self._started}"
        self._places[name] = {"settings": {**self._settings, **(settings or {})}, **self.place(self._started)}
        server = self._test.cairnd(name, arguments=arguments, **self._places[name]).start()
        self.servers.setdefault(FOUNDER, server)
        node = wait_until(lambda: self._find(server.endpoint), f"the cluster knows of {server.endpoint}")
        self.servers[node] = server
        return node

    def place(self, number):
        """Where the node that is started as that number runs: options of Cairnd."""
        return {}

    def restart(self, node):
        """Starts a node that has ended again, at the same endpoint, and waits until it says it is ready."""
        old = self.servers[node]
        founder = self.servers[FOUNDER]
        arguments = () if node == FOUNDER else join_arguments(founder.endpoint, secret_path(founder))
        name = os.path.basename(old.data)
        self.servers[node] = self._test.cairnd(name, arguments=arguments,
                                               **{**self._places[name], "listen": old.endpoint}).start()

    def kill(self, node):
        """SIGKILL."""
        self.servers[node].kill()

    def stop(self, node):
        """SIGSTOP: it stands still."""
        os.kill(self.servers[node].pid(), signal.SIGSTOP)

    def cont(self, node):
        """SIGCONT."""
        os.kill(self.servers[node].pid(), signal.SIGCONT)

    def sdk(self, node=FOUNDER, **options):
        """An SDK process that knows of the cluster by that node only."""
        return self._test.sdk(self.servers[node], **options)

    # ---- what the cluster says ----

    def status(self):
        if self._watcher is None:
            self._watcher = self._test.sdk(self.servers[FOUNDER])
        return self._watcher.status()

    def nodes(self):
        """What the map says of each node, by id."""
        return {node["id"]: node for node in self.status()["map"]["nodes"]}

    def state(self, node):
        """NODE_UP, NODE_SUSPECT, NODE_DOWN or NODE_OUT."""
        return self.nodes()[node].get("state", "NODE_UP")

    def wait_state(self, node, state, timeout_s=PATIENCE_S):
        wait_until(lambda: self.state(node) == state, f"node {node} is {state}", timeout_s)

    def wait_ready(self, *nodes):
        """Waits until the cluster counts them as up and puts data on their targets."""
        def ready():
            cluster = self.status()["map"]
            up = {node["id"] for node in cluster["nodes"] if node.get("state", "NODE_UP") == "NODE_UP"}
            joining = {target["node"] for target in cluster["targets"]
                       if target.get("joining") or int(target.get("capacity_bytes", 0)) == 0}
            return all(node in up and node not in joining for node in nodes)
        wait_until(ready, f"nodes {nodes} are up")

    def used(self):
        """Bytes in use on each node's targets, as the node said last."""
        used = dict.fromkeys(self.servers, 0)
        for target in self.status()["map"]["targets"]:
            used[target["node"]] += int(target.get("used_bytes", 0))
        return used

    def wait_used(self, condition, what, timeout_s=PATIENCE_S):
        """Waits until `condition` holds for what used() says; heartbeats bring that within a second or so."""
        wait_until(lambda: condition(self.used()), what, timeout_s)

    def _find(self, endpoint):
        """The newest node of that endpoint, or None."""
        return max((node["id"] for node in self.nodes().values() if node["endpoint"] == endpoint), default=None)


class ClusterTest(CairnTest):
    """A test whose nodes are made with cluster()."""

    def cluster(self, nodes, settings=None, prefix="node"):
        """A cluster of so many nodes, all up. `prefix`: of the names of their data directories."""
        return Cluster(self, settings, prefix).start(nodes)

    def joining(self, name, join, secret=None, **options):
        """A node that is to join the cluster of the server `join`; not started yet."""
        return self.cairnd(name, settings=SETTINGS, arguments=join_arguments(join.endpoint, secret), **options)

    # ---- what an operator does, by the command line ----

    def run_cli(self, cluster, *arguments, expect=0):
        """The JSON of a command of the CLI, which is to end with `expect`, if that is said."""
        done = subprocess.run([program("cairn"), "--endpoint", cluster.servers[FOUNDER].endpoint, "--output", "json",
                               *arguments], capture_output=True, text=True, timeout=120, check=False)
        if expect is not None:
            self.assertEqual(done.returncode, expect, f"{arguments}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def wait_settled(self, cluster):
        """Until nothing is on the move any more, and nobody has nowhere to go."""
        def settled():
            status = self.run_cli(cluster, "rebuild", "status")
            return status if not status["moves"] and status["members_lost"] == 0 else None
        return wait_until(settled, "all moves have ended")

    def wait_gone(self, cluster, *nodes):
        """Until these are no nodes of the cluster any more."""
        wait_until(lambda: not set(nodes) & set(cluster.nodes()), f"nodes {nodes} have left")

    def wait_healthy(self, cluster, timeout_s=PATIENCE_S):
        """Until `cairn health` finds nothing; fails with what it found last."""
        found = []

        def healthy():
            found[:] = [self.run_cli(cluster, "health", expect=None)]
            return found[0].get("status") == "ok"
        try:
            wait_until(healthy, "cairn health is ok", timeout_s)
        except AssertionError as late:
            raise AssertionError(f"{late}; the last: {found}") from None

    def assert_clean(self, cluster, command="fsck"):
        """What `cairn fsck` or `cairn scrub` looks at agrees, on every target."""
        # What was removed or moved is freed a moment later.
        def clean():
            found = self.run_cli(cluster, command, expect=None)
            agrees = not found["findings"] and not found["unreachable_targets"]
            return found if agrees else None
        found = wait_until(clean, f"{command} finds nothing")
        self.assertGreater(found["stripes"], 0)
