"""Goal: `cairn top` shows what moves: how much through each node and target, whose it is, and what is asked of mounts.
Method: real processes, one of which saves, or works in a mount, all the time."""

import contextlib
import fcntl
import itertools
import os
import threading
import unittest

from cairn_cluster import FOUNDER, ClusterTest
from cairn_harness import wait_until
from mount_harness import BUCKET, MountTest

KIB = 1 << 10


def keep_doing(test, work):
    """Calls `work` with 1, 2, 3... until the test ends."""
    stop = threading.Event()

    def run():
        for step in itertools.count(1):
            if stop.wait(0.02):
                return
            work(step)

    thread = threading.Thread(target=run)
    thread.start()
    test.addCleanup(thread.join)
    test.addCleanup(stop.set)


class Top(ClusterTest):
    def keep_saving(self, sdk):
        """Small saves, one after the other, until the test ends."""
        keep_doing(self, lambda step: sdk.ask("save", path=f"b/run/step-{step}", world=1, bytes=256 * KIB, seed=step))

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


class TopOfMounts(MountTest):
    def test_a_mount_is_shown_with_what_is_asked_of_it_while_it_is_there(self):
        cluster, mount = self.mounted_cluster()
        still = self.mount(cluster, "still", path="")
        fd = os.open(os.path.join(mount.mountpoint, "file"), os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, fd)
        fcntl.lockf(fd, fcntl.LOCK_EX)

        def work(step):
            os.pwrite(fd, bytes(64 * KIB), 0)
            with contextlib.suppress(FileNotFoundError):
                os.stat(os.path.join(mount.mountpoint, f"missing-{step}"))

        keep_doing(self, work)

        def seen():
            shown = self.run_cli(cluster, "top", "--once")
            busiest = shown["mounts"][0]
            return shown if {each["operation"] for each in busiest["operations"]} >= {"write", "lookup"} else None

        shown = wait_until(seen, "what is asked of the mount is seen")
        self.assertEqual(shown["mount_count"], 2)
        busy, idle = shown["mounts"]
        self.assertEqual((busy["name"], busy["path"]), (mount.mountpoint, BUCKET))
        self.assertEqual((idle["name"], idle["path"]), (still.mountpoint, ""))
        self.assertTrue(busy["client"].endswith(f":{mount.pid()}"), busy["client"])
        self.assertEqual((busy["open_files"], busy["locks"]), (1, 1))
        self.assertEqual((idle["open_files"], idle["locks"]), (0, 0))
        self.assertGreater(busy["written_bytes_per_second"], 0)
        self.assertEqual(busy["read_bytes_per_second"], 0)
        operations = {each["operation"]: each for each in busy["operations"]}
        self.assertGreater(operations["write"]["mean_us"], 0)
        self.assertEqual(operations["write"]["errors_per_second"], 0)
        self.assertGreater(operations["lookup"]["errors_per_second"], 0)
        # Each is rounded.
        self.assertAlmostEqual(busy["calls_per_second"], sum(each["calls_per_second"] for each in busy["operations"]),
                               delta=0.01 * len(operations))
        still.unmount()
        self.assertEqual([each["name"] for each in self.run_cli(cluster, "top", "--once")["mounts"]],
                         [mount.mountpoint])


if __name__ == "__main__":
    unittest.main()
