"""Goal: what goes wrong with the disks of some nodes of a cluster harms no checkpoint: one that is full is left alone,
and what damaged ones hold is read around, found and mended. Method: a node with a small target among larger ones,
filled by saves; bits flipped in the target files of two running nodes; `cairn health`, `cairn scrub`, and every byte
read back."""

import os
import random
import unittest

from cairn_cluster import FOUNDER, ClusterTest
from cairn_harness import MIB, SdkError, wait_until

SHARD = 20 * MIB + 12345
RANKS = 2
BLOCK = 4096


class ClusterDisks(ClusterTest):
    def setUp(self):
        super().setUp()
        self.paths = []

    def start(self, nodes, settings=None):
        cluster = self.cluster(nodes, settings)
        self.sdk_of_the_job = cluster.sdk(2)
        self.sdk_of_the_job.ask("bucket", name="coded", redundancy="ec:4+2")
        return cluster

    def save(self):
        step = len(self.paths) + 1
        path = f"coded/run/step-{step}"
        self.sdk_of_the_job.ask("save", path=path, world=RANKS, bytes=SHARD, seed=100 * step)
        self.paths.append(path)

    def verify(self, sdk):
        listed = [entry["path"] for entry in sdk.ask("list", path="coded/run")["checkpoints"]]
        self.assertEqual(sorted(listed), sorted(self.paths))
        for path in self.paths:
            self.assertEqual(sdk.ask("verify", path=path)["bytes_read"], RANKS * SHARD)

    def targets_of(self, cluster, *nodes):
        return {target["id"] for target in cluster.status()["map"]["targets"] if target["node"] in nodes}

    # ---- full ----

    def health_codes(self, cluster):
        return {item["code"] for item in self.run_cli(cluster, "health", expect=None)["items"]}

    def test_a_node_that_is_full_gets_no_more_and_the_others_do(self):
        cluster = self.start(6, settings={"targets": [{"size": "192MiB"}]})
        # Six others are enough for all six fragments.
        small = cluster.add(settings={"targets": [{"size": "96MiB"}]})
        # Each takes about 8 MiB of every target.
        for _ in range(12):
            self.save()
        wait_until(lambda: "TARGET_FULL" in self.health_codes(cluster), "the small target is full")
        before = cluster.used()
        for _ in range(3):
            self.save()
        cluster.wait_used(lambda used: all(used[node] > before[node] for node in used if node != small),
                          "the others take more")
        self.assertLess(cluster.used()[small] - before[small], 4 * MIB)
        self.verify(cluster.sdk(3))

        # Until nobody has room.
        with self.assertRaises(SdkError) as refused:
            for _ in range(60):
                self.save()
        self.assertEqual(refused.exception.code, "RESOURCE_EXHAUSTED", refused.exception)
        for node in (4, small):
            cluster.kill(node)
        late = cluster.sdk(3)
        self.verify(late)
        for node in (4, small):
            cluster.restart(node)
        cluster.wait_ready(4, small)
        for path in self.paths[::2]:
            late.ask("remove", path=path)
        self.paths = self.paths[1::2]
        step = 1000

        def fits():
            try:
                late.ask("save", path=f"coded/later/step-{step}", world=RANKS, bytes=SHARD, seed=step)
            except SdkError as error:
                self.assertEqual(error.code, "RESOURCE_EXHAUSTED", error)
                return False
            return True
        wait_until(fits, "what was removed makes room")
        self.verify(late)
        late.ask("verify", path=f"coded/later/step-{step}")
        self.assert_clean(cluster)

    # ---- damaged ----

    def flip_bits(self, server):
        """One bit in every fourth written block, but for the superblocks. How many."""
        path = os.path.join(server.data, "target-0", "data")
        dice, zeros, flipped = random.Random(path), bytes(BLOCK), 0
        with open(path, "r+b") as device:
            for offset in range(BLOCK, os.path.getsize(path) - BLOCK, 4 * BLOCK):
                device.seek(offset)
                block = bytearray(device.read(BLOCK))
                if block == zeros:
                    continue
                block[dice.randrange(BLOCK)] ^= 1 << dice.randrange(8)
                device.seek(offset)
                device.write(block)
                flipped += 1
            device.flush()
            # The server reads around the page cache.
            os.fsync(device.fileno())
        return flipped

    def test_two_nodes_with_damaged_targets_are_read_around_and_mended(self):
        cluster = self.start(6)
        for _ in range(3):
            self.save()
        self.assert_clean(cluster, "scrub")
        for node in (2, 5):
            self.assertGreater(self.flip_bits(cluster.servers[node]), 1000)

        found = self.run_cli(cluster, "scrub", expect=1)
        self.assertEqual({finding["target"] for finding in found["findings"]}, self.targets_of(cluster, 2, 5))
        self.assertFalse(any(finding["repaired"] for finding in found["findings"]), found)
        # Two fragments of each stripe are bad, and so many may be.
        self.verify(cluster.sdk(3))

        mended = self.run_cli(cluster, "scrub", "--repair")
        self.assertTrue(all(finding["repaired"] for finding in mended["findings"]), mended)
        self.assert_clean(cluster, "scrub")
        self.assert_clean(cluster, "fsck")
        self.wait_healthy(cluster)
        # What was mended is needed now.
        for node in (3, 6):
            cluster.kill(node)
        self.verify(cluster.sdk(FOUNDER))


if __name__ == "__main__":
    unittest.main()
