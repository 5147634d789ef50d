"""Goal: an operator gives running nodes more devices, takes single ones out and replaces failed ones, and the cluster
serves on; what has been added or has left stays so over restarts. Method: clusters of real processes and the real CLI."""

import json
import os
import subprocess
import unittest

from cairn_cluster import FOUNDER, ClusterTest
from cairn_harness import MIB, program, wait_until

SIZE = 24 * MIB


class Targets(ClusterTest):
    def setUp(self):
        super().setUp()
        self.paths = []

    def cli(self, cluster, *arguments):
        """A command of the CLI that has ended."""
        return subprocess.run([program("cairn"), "--endpoint", cluster.servers[FOUNDER].endpoint, "--output", "json",
                               *arguments], capture_output=True, text=True, timeout=180, check=False)

    def run_cli(self, cluster, *arguments):
        """The JSON of a command that is to succeed."""
        done = self.cli(cluster, *arguments)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def refusal(self, cluster, *arguments):
        """What a command says that is to be refused."""
        done = self.cli(cluster, *arguments)
        self.assertEqual(done.returncode, 1, f"{arguments}: {done.stdout}{done.stderr}")
        return done.stderr

    def save(self, sdk, step):
        self.paths.append(f"coded/run/step-{step}")
        sdk.ask("save", path=self.paths[-1], bytes=SIZE)

    def verify(self, cluster):
        sdk = cluster.sdk()
        for path in self.paths:
            sdk.ask("verify", path=path)

    def targets(self, cluster):
        """What the cluster says of each target, by id."""
        return {target["id"]: target for target in self.run_cli(cluster, "target", "ls")}

    def of_node(self, cluster, node):
        return [target["id"] for target in self.targets(cluster).values() if target["node"] == node]

    def wait_used(self, cluster, target):
        wait_until(lambda: self.targets(cluster)[target]["groups"] > 0, f"target {target} has groups")

    def wait_gone(self, cluster, target):
        wait_until(lambda: target not in self.targets(cluster), f"target {target} has left", timeout_s=150)

    def assert_clean(self, cluster):
        # What was removed or moved is freed a moment later.
        def clean():
            found = json.loads(self.cli(cluster, "fsck").stdout)
            return found if not found["findings"] and not found["unreachable_targets"] else None
        self.assertGreater(wait_until(clean, "fsck finds nothing")["stripes"], 0)

    def test_a_target_is_added_and_another_removed_while_the_nodes_run(self):
        cluster = self.cluster(3)
        sdk = cluster.sdk()
        sdk.ask("bucket", name="coded", redundancy="ec:2+1")
        self.save(sdk, 1)
        old, = self.of_node(cluster, 2)
        self.assertIn("needs 3 nodes, and 2 would be left", self.refusal(cluster, "target", "rm", str(old), "--yes"))
        path = os.path.join(self.dir, "second.data")
        added = self.run_cli(cluster, "target", "add", "--node", "2", "--path", path, "--size", "256MiB")
        new = added["target"]
        self.assertGreater(added["capacity_bytes"], 200 * MIB)
        again = self.run_cli(cluster, "target", "add", "--node", "2", "--path", path)
        self.assertEqual((again["target"], again["existed"]), (new, True))
        self.wait_used(cluster, new)
        self.run_cli(cluster, "target", "rm", str(old), "--yes")
        self.save(sdk, 2)
        self.wait_gone(cluster, old)
        self.assertEqual(self.of_node(cluster, 2), [new])
        self.verify(cluster)
        self.assert_clean(cluster)
        # Both are remembered: the configuration still names the old one, and not the new.
        cluster.kill(2)
        cluster.restart(2)
        cluster.wait_ready(2)
        self.assertEqual(self.of_node(cluster, 2), [new])
        self.verify(cluster)
        self.save(sdk, 3)
        self.assertEqual(self.run_cli(cluster, "health")["status"], "ok")
        self.assert_clean(cluster)

    def test_the_founding_nodes_targets_come_and_go_over_a_restart(self):
        cluster = self.cluster(3)
        sdk = cluster.sdk()
        sdk.ask("bucket", name="coded", redundancy="ec:2+1")
        self.save(sdk, 1)
        new = self.run_cli(cluster, "target", "add", "--node", "1", "--size", "256MiB")["target"]
        self.wait_used(cluster, new)
        cluster.kill(FOUNDER)
        cluster.restart(FOUNDER)
        cluster.wait_ready(1, 2, 3)
        self.assertEqual(sorted(self.of_node(cluster, 1)), [1, new])
        self.run_cli(cluster, "target", "rm", "1", "--yes")
        self.wait_gone(cluster, 1)
        cluster.kill(FOUNDER)
        cluster.restart(FOUNDER)
        cluster.wait_ready(1, 2, 3)
        self.assertEqual(self.of_node(cluster, 1), [new])
        self.verify(cluster)
        self.assert_clean(cluster)

    def test_a_target_that_has_failed_is_replaced(self):
        cluster = self.cluster(3)
        sdk = cluster.sdk()
        sdk.ask("bucket", name="coded", redundancy="ec:2+1")
        second = self.run_cli(cluster, "target", "add", "--node", "3", "--size", "256MiB")["target"]
        self.wait_used(cluster, second)
        self.save(sdk, 1)
        self.save(sdk, 2)
        failed, = set(self.of_node(cluster, 3)) - {second}
        cluster.kill(3)
        with open(os.path.join(cluster.servers[3].data, "target-0", "data"), "r+b") as device:
            device.write(b"!" * MIB)
        cluster.restart(3)
        wait_until(lambda: self.targets(cluster)[failed]["state"] == "failed", "the target has failed")
        self.verify(cluster)
        self.run_cli(cluster, "target", "replace", str(failed), "--yes")
        self.wait_gone(cluster, failed)
        self.verify(cluster)
        self.assert_clean(cluster)
        # As much as before may be lost now.
        cluster.kill(2)
        self.verify(cluster)

    def test_devices_that_are_not_free_are_refused(self):
        cluster = self.cluster(2)
        used = os.path.join(self.dir, "used.data")
        with open(used, "wb") as file:
            file.write(b"\xa5" * (8 * MIB))
        for arguments, reason in [
                (("--path", "relative", "--size", "64MiB"), "is not a path from the root"),
                (("--path", os.path.join(self.dir, "none")), "say how large it is to be"),
                (("--path", used), "not blank: it holds something else's data; say --wipe"),
                (("--path", os.path.join(cluster.servers[1].data, "target-0", "data")), "in use"),
                (("--size", "1MiB"), "at least"),
                (("--path", "/dev/null"), "neither a file nor a block device")]:
            self.assertIn(reason, self.refusal(cluster, "target", "add", "--node", "2", *arguments))
        self.assertIn("not in this cluster", self.refusal(cluster, "target", "add", "--node", "9", "--path", used))
        self.assertEqual(len(self.of_node(cluster, 2)), 1)
        wiped = self.run_cli(cluster, "target", "add", "--node", "2", "--path", used, "--wipe", "--yes")["target"]
        self.wait_used(cluster, wiped)
        cluster.kill(2)
        cluster.wait_state(2, "NODE_DOWN")
        self.assertIn("is not up", self.refusal(cluster, "target", "add", "--node", "2", "--size", "64MiB"))

    def test_targets_are_evened_out_on_demand(self):
        cluster = self.cluster(2)
        sdk = cluster.sdk()
        sdk.ask("bucket", name="coded", redundancy="replica:1")
        for step in range(4):
            self.save(sdk, step)
        new = self.run_cli(cluster, "target", "add", "--node", "2", "--size", "512MiB")["target"]
        self.wait_used(cluster, new)
        shown = self.run_cli(cluster, "rebalance", "--dry-run", "--threshold", "1")
        self.assertEqual(shown["targets"], 3)
        self.assertEqual(shown["emptiest"]["target"], new)
        self.assertEqual(shown["threshold_percent"], 0)
        self.run_cli(cluster, "rebalance", "--threshold", "1")
        wait_until(lambda: self.run_cli(cluster, "rebalance", "--dry-run")["threshold_percent"] == 0,
                   "the rebalance has ended", timeout_s=200)
        self.verify(cluster)


if __name__ == "__main__":
    unittest.main()
