"""Goal: `cairn top` shows what moves: how much through each node and target, and whose it is. Method: real processes, one
of which saves all the time."""

import threading
import unittest

from cairn_cluster import FOUNDER, ClusterTest
from cairn_harness import wait_until

KIB = 1 << 10


class Top(ClusterTest):
    def keep_saving(self, sdk):
        """Small saves, one after the other, until the test ends."""
        stop = threading.Event()

        def run():
            step = 0
            while not stop.wait(0.02):
                step += 1
                sdk.ask("save", path=f"b/run/step-{step}", world=1, bytes=256 * KIB, seed=step)

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)

    def test_what_moves_is_shown_with_whose_it_is(self):
        cluster = self.cluster(3)
        still = self.run_cli(cluster, "top", "--once")
        self.assertEqual([node["node"] for node in still["nodes"]], [1, 2, 3])
        self.assertEqual((still["total"]["written_bytes_per_second"], still["clients"], still["tiers"]), (0, [], []))
        sdk = self.sdk(cluster.servers[FOUNDER])
        self.keep_saving(sdk)

        def seen():
            shown = self.run_cli(cluster, "top", "--once")
            mine = [client for client in shown["clients"] if client["name"].endswith(f":{sdk.pid}")]
            return (shown, mine[0]) if mine and shown["total"]["written_bytes_per_second"] > 0 else None

        shown, mine = wait_until(seen, "the writer is seen")
        self.assertGreater(mine["written_bytes_per_second"], 256 * KIB)
        self.assertEqual(mine["read_bytes_per_second"], 0)
        of_nodes = sum(node["written_bytes_per_second"] for node in shown["nodes"])
        of_targets = sum(target["written_bytes_per_second"] for target in shown["targets"])
        # Both are rounded.
        self.assertAlmostEqual(of_nodes, of_targets, delta=len(shown["targets"]))
        self.assertGreater(shown["targets"][0]["written_bytes_per_second"], 0)

    def test_a_node_that_is_down_is_left_out(self):
        cluster = self.cluster(3)
        cluster.kill(3)
        cluster.wait_state(3, "NODE_DOWN")
        shown = self.run_cli(cluster, "top", "--once")
        self.assertEqual([node["node"] for node in shown["nodes"]], [1, 2])


if __name__ == "__main__":
    unittest.main()
