"""Goal: tools/dev-cluster does what it says: nodes come up, are killed and come back, and nothing is left after `down
--purge`. Method: the program itself, with this build's cairnd, on 127.0.0.1 and, as root, in network namespaces."""

import json
import os
import shutil
import subprocess
import sys
import unittest

from cairn_harness import PATIENCE_S, ROOT, CairnTest, program, wait_until
from exposition import scrape

DEV_CLUSTER = os.path.join(ROOT, "tools", "dev-cluster")


def why_no_namespaces():
    """Why there can be no network namespaces here; None when there can."""
    if os.geteuid() != 0:
        return "needs root to make a network namespace"
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    for name in ("ip", "nsenter"):
        if shutil.which(name, path=path) is None:
            return f"{name} is missing"
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        return f"network namespaces are not allowed here: {probe.stderr.strip()}"
    return None


def runs(pid):
    """Whether there is such a process, other than one that nobody has waited for yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class DevCluster(CairnTest):
    def setUp(self):
        super().setUp()
        if not os.path.exists(program("cairn")):
            self.skipTest("this build has no command line (CAIRN_CLI is off)")
        self.home = os.path.join(self.dir, "cluster")

    def run_tool(self, *arguments, code=0):
        """What it prints, standard error included."""
        done = subprocess.run([sys.executable, "-B", DEV_CLUSTER, *arguments, "--dir", self.home], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=4 * PATIENCE_S, check=False)
        self.assertEqual(done.returncode, code, f"dev-cluster {' '.join(arguments)}\n{done.stdout}")
        return done.stdout

    def up(self, *arguments, code=0):
        return self.run_tool("up", *arguments, "--bin", os.path.dirname(program("cairnd")), code=code)

    def start_cluster(self, *arguments):
        """Three small nodes, and the promise that they end with the test. Their status."""
        self.addCleanup(self.run_tool, "down", "--purge")
        shown = self.up("3", "--target-size", "256MiB", "--set", "down_after_seconds=3", *arguments)
        for number in (1, 2, 3):
            self.assertIn(f"node {number} is ready", shown)
        status = self.status()
        self.assertEqual([(node["number"], node["id"], node["process"], node["state"]) for node in status["nodes"]],
                         [(number, number, "running", "up") for number in (1, 2, 3)])
        self.assertIn(status["endpoint"], shown)
        self.assertIn(status["nodes"][0]["metrics"], shown)
        return status

    def status(self):
        return json.loads(self.run_tool("status", "--output", "json", "--bin", os.path.dirname(program("cairn"))))

    def state(self, number):
        """Of the process, and what the cluster says."""
        node = self.status()["nodes"][number - 1]
        return node["process"], node["state"]

    def save(self, endpoint, step):
        sdk = self.sdk()
        sdk.ask("connect", endpoint=endpoint)
        sdk.ask("mkdir", path="b")
        sdk.ask("save", path=f"b/run/step-{step}", world=4, bytes=5 << 20)
        return sdk

    def assert_nothing_left(self, status):
        self.assertFalse(os.path.exists(self.home))
        self.assertEqual([node["pid"] for node in status["nodes"] if runs(node["pid"])], [])
        for node in status["nodes"]:
            if node["namespace"]:
                self.assertFalse(os.path.exists(os.path.join("/run/netns", node["namespace"])))
        if status["bridge"]:
            tag = status["bridge"].rpartition("-")[2]
            self.assertEqual([name for name in os.listdir("/sys/class/net") if tag in name], [])

    def run_through_a_life(self, *arguments):
        """Up, one killed and started again, down and gone."""
        status = self.start_cluster(*arguments)
        sdk = self.save(status["endpoint"], 1)
        self.assertIn("killed node 2", self.run_tool("kill", "2"))
        self.assertFalse(runs(status["nodes"][1]["pid"]))
        wait_until(lambda: self.state(2) == ("gone", "down"), "the cluster sees that node 2 is down")
        self.run_tool("start", "2", "--bin", os.path.dirname(program("cairnd")))
        self.assertEqual(self.state(2), ("running", "up"))
        sdk.ask("verify", path="b/run/step-1")
        after = self.status()
        self.assertEqual([node["id"] for node in after["nodes"]], [1, 2, 3])
        self.run_tool("down", "--purge")
        self.assert_nothing_left(status)
        self.assert_nothing_left(after)

    def test_a_life_on_one_address(self):
        self.run_through_a_life("--port", "0")

    def test_a_life_in_network_namespaces(self):
        reason = why_no_namespaces()
        if reason:
            self.skipTest(reason)
        self.run_through_a_life("--netns")

    def test_up_again_starts_what_is_missing_and_the_data_outlives_down(self):
        status = self.start_cluster("--port", "0")
        self.save(status["endpoint"], 1).kill()
        self.assertIn("nodes 1, 2 and 3 run already", self.up("3"))
        self.run_tool("kill", "3")
        shown = self.up("4")
        self.assertIn("nodes 1 and 2 run already; starting nodes 3 and 4", shown)
        self.run_tool("stop", "4")
        self.assertEqual(self.state(4)[0], "stopped")
        self.run_tool("cont", "4")
        self.run_tool("down")
        self.assertEqual([node["process"] for node in self.status()["nodes"]], ["gone"] * 4)
        # All at the ports they had, and with what they held.
        self.up()
        sdk = self.sdk()
        sdk.ask("connect", endpoint=status["endpoint"])
        sdk.ask("verify", path="b/run/step-1")

    def test_each_node_tells_its_metrics_while_a_save_and_a_restore_go_on(self):
        status = self.start_cluster("--port", "0")
        urls = [node["metrics"] for node in status["nodes"]]
        self.assertEqual(len(set(urls)), 3)
        sdk = self.save(status["endpoint"], 1)
        written = 0
        sdk.tell("save", path="b/run/step-2", world=4, bytes=20 << 20)
        for _ in range(3):
            now = sum(scrape(url).total("cairn_target_written_bytes_total") for url in urls)
            self.assertGreaterEqual(now, written)
            written = now
        sdk.answer()
        sdk.ask("verify", path="b/run/step-2")

        def add_up():
            scrapes = [scrape(url) for url in urls]
            done = scrapes[0].total("cairn_save_commits_total") == 2
            return scrapes if done and sum(
                each.total("cairn_target_read_bytes_total") for each in scrapes) >= 80 << 20 else None
        scrapes = wait_until(add_up, "metrics tell of both saves and of the restore")
        self.assertGreaterEqual(sum(each.total("cairn_target_written_bytes_total") for each in scrapes), 100 << 20)
        self.assertEqual(scrapes[0].total("cairn_save_committed_bytes_total"), 100 << 20)
        self.assertEqual(scrapes[0].total("cairn_cluster_node_state", state="up"), 3)
        self.assertEqual([each.total("cairn_node_serving") for each in scrapes], [1, 1, 1])

    def test_a_wiped_node_comes_back_as_another(self):
        self.start_cluster("--port", "0")
        self.assertIn("`kill 3` comes before", self.run_tool("wipe", "3", code=1))
        self.assertIn("metadata", self.run_tool("wipe", "1", code=1))
        self.run_tool("kill", "3")
        self.run_tool("wipe", "3")
        self.run_tool("start", "3", "--bin", os.path.dirname(program("cairnd")))
        self.assertEqual(self.status()["nodes"][2]["id"], 4)

    def test_a_node_that_does_not_start_is_told_with_its_last_words(self):
        self.addCleanup(self.run_tool, "down", "--purge")
        shown = self.up("1", "--port", "0", "--target-size", "256MiB", "--set", "carrier_pigeons=3", code=1)
        self.assertIn("node 1 ended with status 1", shown)
        self.assertIn("unknown setting \"carrier_pigeons\"", shown)
        # What was wrong does not come back by itself.
        self.up("1")

    def test_what_cannot_be_is_said_before_anything_is_started(self):
        for words, arguments, code in (("1 to 64", ["0"], 2), ("1 to 64", ["65"], 2),
                                       ("KEY=VALUE", ["3", "--set", "x"], 2),
                                       ("GiB are free", ["3", "--port", "0", "--target-size", "900TiB"], 1),
                                       ("cmake", ["3", "--bin", self.dir], 1)):
            with self.subTest(arguments=arguments):
                binaries = [] if "--bin" in arguments else ["--bin", os.path.dirname(program("cairnd"))]
                self.assertIn(words, self.run_tool("up", *arguments, *binaries, code=code))
        self.assertFalse(os.path.exists(self.home))
        self.assertIn("there is no cluster", self.run_tool("status", code=1))
        self.assertIn("there is no cluster", self.run_tool("down"))


if __name__ == "__main__":
    unittest.main()
