"""Goal: `cairn doctor` names, in seconds, the node that stands still, the target that is full, the node that comes and
goes, the node with a slow network and the link that does not work; and nothing in a cluster that is sound. Method: real
processes, SIGSTOP and SIGKILL, and network namespaces with a rate limit or without a route. Slow disks and clocks that
are off are tried in the simulation (tests/unit/admin): a machine has neither to offer."""

import json
import os
import subprocess
import sys
import time
import unittest

from cairn_cluster import ClusterTest
from cairn_harness import MIB, PATIENCE_S, CairnTest, program, wait_until
from dev_cluster_test import DEV_CLUSTER, why_no_namespaces

# From asking to the answer, on a machine that does much else.
SECONDS = 20
# So slow that no other link of this machine is, however busy it is.
RATE = "4mbit"


def examine(endpoint):
    """What `cairn doctor` says, and how long it took."""
    began = time.monotonic()
    done = subprocess.run([program("cairn"), "--endpoint", endpoint, "doctor", "--output", "json"], capture_output=True,
                          text=True, timeout=PATIENCE_S, check=False)
    took = time.monotonic() - began
    document = json.loads(done.stdout)
    if "items" not in document:
        raise AssertionError(f"doctor failed: {document}")
    expected = 1 if document["status"] == "error" else 0
    if done.returncode != expected:
        raise AssertionError(f"exit code {done.returncode} with status {document['status']}: {done.stderr}")
    return document, took


def findings(document):
    """Code and nodes of each."""
    return [(item["code"], item["nodes"]) for item in document["items"]]


class Doctor(ClusterTest):
    def setUp(self):
        super().setUp()
        if not os.path.exists(program("cairn")):
            self.skipTest("this build has no command line (CAIRN_CLI is off)")

    def examine(self, cluster):
        document, took = examine(cluster.servers[1].endpoint)
        self.assertLess(took, SECONDS)
        return document

    def test_a_sound_cluster_is_looked_at_whole(self):
        cluster = self.cluster(3)
        document = self.examine(cluster)
        broken = [item for item in document["items"] if item["severity"] == "error"]
        self.assertEqual(broken, [])
        self.assertEqual([node["node"] for node in document["nodes"]], [1, 2, 3])
        for node in document["nodes"]:
            self.assertEqual(node["error"], "")
            self.assertLess(abs(node["clock_ahead_us"]), 500_000)
            self.assertEqual([link["error"] for link in node["links"]], ["", ""])
            self.assertTrue(all(link["bytes_per_second"] > 0 for link in node["links"]))
            self.assertEqual(len(node["targets"]), 1)
            self.assertEqual(node["targets"][0]["probe_error"], "")
            self.assertGreater(node["targets"][0]["probe"]["samples"], 0)

    def test_a_node_that_stands_still_is_named(self):
        cluster = self.cluster(3)
        cluster.stop(3)
        try:
            document = self.examine(cluster)
            # It counts as down after three seconds: whichever comes first.
            named = {code for code, nodes in findings(document) if 3 in nodes}
            self.assertTrue(named & {"NODE_SILENT", "NODE_DOWN"}, findings(document))
            self.assertEqual(document["status"], "error")
            self.assertNotEqual(document["nodes"][2]["error"], "")
            self.assertEqual(document["nodes"][1]["error"], "")
        finally:
            cluster.cont(3)
        wait_until(lambda: not {code for code, nodes in findings(self.examine(cluster)) if nodes == [3]}
                   & {"NODE_SILENT", "NODE_DOWN", "NODE_SUSPECT"}, "node 3 is sound again")

    def test_a_full_target_is_named(self):
        cluster = self.cluster(2, settings={"targets": [{"size": "256MiB"}]})
        self.assertNotIn("TARGET_FULL", {code for code, _ in findings(self.examine(cluster))})
        sdk = cluster.sdk()
        sdk.ask("bucket", name="full", redundancy="replica:1")
        sdk.ask("put", path="full/f.seed5", bytes=496 * MIB, seed=5)
        document = self.examine(cluster)
        full = [item for item in document["items"] if item["code"] == "TARGET_FULL"]
        self.assertEqual(len(full), 1, findings(document))
        by_target = {target["target"]: target for node in document["nodes"] for target in node["targets"]}
        for target in full[0]["targets"]:
            self.assertGreaterEqual(by_target[target]["used_bytes"], 0.95 * by_target[target]["capacity_bytes"])
        self.assertEqual(document["status"], "error")

    def test_a_node_that_comes_and_goes_is_named(self):
        cluster = self.cluster(2)
        for _ in range(3):
            self.assertNotIn(("NODE_FLAPPING", [2]), findings(self.examine(cluster)))
            cluster.kill(2)
            cluster.restart(2)
            cluster.wait_ready(2)
        document = self.examine(cluster)
        self.assertIn(("NODE_FLAPPING", [2]), findings(document))
        self.assertEqual(document["nodes"][1]["restarts"], 3)


class Networks(CairnTest):
    """Nodes with a network of their own each, as tools/dev-cluster makes them."""

    def setUp(self):
        super().setUp()
        reason = why_no_namespaces() if os.path.exists(program("cairn")) else "this build has no command line"
        if reason:
            self.skipTest(reason)
        self.home = os.path.join(self.dir, "cluster")

    def dev_cluster(self, *arguments):
        return subprocess.run([sys.executable, "-B", DEV_CLUSTER, *arguments, "--dir", self.home], text=True, check=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=4 * PATIENCE_S).stdout

    def nodes_up(self, count):
        """Their namespaces and addresses, by number, and an endpoint."""
        binaries = ["--bin", os.path.dirname(program("cairnd"))]
        self.addCleanup(self.dev_cluster, "down", "--purge")
        self.dev_cluster("up", str(count), "--netns", "--target-size", "256MiB", *binaries)
        status = json.loads(self.dev_cluster("status", "--output", "json", *binaries))
        places = {node["number"]: (node["namespace"], node["endpoint"].rpartition(":")[0]) for node in status["nodes"]}
        return places, status["endpoint"]

    def run_in(self, namespace, *command):
        """Returns what it says if it fails."""
        done = subprocess.run(["ip", "netns", "exec", namespace, *command], capture_output=True, text=True, check=False)
        return done.stderr.strip() or str(done.returncode) if done.returncode else ""

    def test_a_node_with_a_slow_network_is_told_from_a_slow_link(self):
        places, endpoint = self.nodes_up(4)
        before, _ = examine(endpoint)
        self.assertNotIn(("NODE_NETWORK_SLOW", [3]), findings(before))
        refused = self.run_in(places[3][0], "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", RATE, "burst",
                              "16kb", "latency", "500ms")
        if refused:
            self.skipTest(f"no rate limits here: {refused}")
        document, took = examine(endpoint)
        self.assertLess(took, SECONDS)
        self.assertIn(("NODE_NETWORK_SLOW", [3]), findings(document))
        self.assertEqual([nodes for code, nodes in findings(document) if code.startswith("LINK_") and 3 in nodes], [])
        self.assertIsNone(self.run_in(places[3][0], "tc", "qdisc", "del", "dev", "eth0", "root") or None)
        after, _ = examine(endpoint)
        self.assertNotIn(("NODE_NETWORK_SLOW", [3]), findings(after))

    def test_two_nodes_that_do_not_reach_each_other_are_named(self):
        places, endpoint = self.nodes_up(4)
        refused = self.run_in(places[3][0], "ip", "route", "add", "unreachable", places[4][1] + "/32")
        if refused:
            self.skipTest(f"no such routes here: {refused}")
        document, took = examine(endpoint)
        self.assertLess(took, SECONDS)
        self.assertIn(("LINK_BROKEN", [3, 4]), [(code, sorted(nodes)) for code, nodes in findings(document)])
        self.assertEqual([node["error"] for node in document["nodes"]], ["", "", "", ""])


if __name__ == "__main__":
    unittest.main()
