"""Goal: what is lost with a node is made again on the others, an operator can empty, remove and replace nodes while the
cluster serves, and fsck and scrub find and mend what does not agree. Method: clusters of real processes, nodes killed
for good, targets written over, and the real CLI."""

import os
import unittest

from cairn_cluster import FOUNDER, ClusterTest
from cairn_harness import MIB

SIZE = 24 * MIB


class Rebuild(ClusterTest):
    def setUp(self):
        super().setUp()
        self.paths = []

    def save(self, sdk, step):
        self.paths.append(f"coded/run/step-{step}")
        sdk.ask("save", path=self.paths[-1], bytes=SIZE)

    def verify(self, cluster):
        sdk = cluster.sdk()
        for path in self.paths:
            sdk.ask("verify", path=path)

    def test_two_of_six_are_lost_for_good_and_replaced(self):
        cluster = self.cluster(6)
        sdk = cluster.sdk()
        sdk.ask("bucket", name="coded", redundancy="ec:4+2")
        self.save(sdk, 1)
        for node in (3, 5):
            cluster.kill(node)
        self.save(sdk, 2)
        for node in (3, 5):
            cluster.wait_state(node, "NODE_DOWN")
            self.run_cli(cluster, "node", "rm", str(node), "--yes", "--force")
        self.wait_gone(cluster, 3, 5)
        self.assertGreater(self.wait_settled(cluster)["restored_fragments"], 0)
        self.verify(cluster)
        self.assert_clean(cluster)
        # Four nodes hold all six fragments of each stripe: two more bring them apart again.
        added = [cluster.add(), cluster.add()]
        self.assertEqual(set(added) & {3, 5}, set(), "an id is never used twice")
        self.save(sdk, 3)
        self.wait_settled(cluster)
        self.wait_healthy(cluster)
        self.assert_clean(cluster, "scrub")
        # As much as before may be lost now.
        for node in (2, added[0]):
            cluster.kill(node)
        self.verify(cluster)

    def test_a_drained_node_is_empty_also_when_the_metadata_dies_meanwhile(self):
        cluster = self.cluster(4)
        sdk = cluster.sdk()
        sdk.ask("bucket", name="coded", redundancy="ec:2+1")
        sdk.ask("bucket", name="one", redundancy="replica:1")
        self.save(sdk, 1)
        sdk.ask("put", path="one/f.seed3", bytes=SIZE, seed=3)
        self.run_cli(cluster, "node", "drain", "3")
        cluster.kill(FOUNDER)
        cluster.restart(FOUNDER)
        cluster.wait_ready(1, 2, 3, 4)
        self.wait_settled(cluster)
        cluster.wait_used(lambda used: used[3] == 0, "node 3 is empty")
        self.verify(cluster)
        cluster.sdk().ask("get", path="one/f.seed3")
        cluster.kill(3)
        cluster.wait_state(3, "NODE_DOWN")
        cluster.sdk().ask("get", path="one/f.seed3")
        self.run_cli(cluster, "node", "rm", "3", "--yes")
        self.wait_gone(cluster, 3)
        self.assert_clean(cluster)

    def test_what_a_device_has_lost_is_found_and_mended(self):
        cluster = self.cluster(3)
        sdk = cluster.sdk()
        sdk.ask("bucket", name="coded", redundancy="ec:2+1")
        self.save(sdk, 1)
        self.assert_clean(cluster, "scrub")
        data = os.path.join(cluster.servers[2].data, "target-0", "data")
        with open(data, "r+b") as device:
            device.seek(2 * MIB)
            device.write(b"\xa5" * (2 * MIB))
            os.fsync(device.fileno())
        found = self.run_cli(cluster, "scrub", expect=1)
        self.assertTrue(found["findings"])
        self.assertEqual({finding["target"] for finding in found["findings"]}, {2})
        mended = self.run_cli(cluster, "scrub", "--repair")
        self.assertTrue(all(finding["repaired"] for finding in mended["findings"]), mended)
        self.assert_clean(cluster, "scrub")
        self.verify(cluster)


if __name__ == "__main__":
    unittest.main()
