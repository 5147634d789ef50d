"""Goal: a bucket tells what it holds and keeps its quota, for files and checkpoints, after a restart, too; and df shows it.
Method: one real node, the real CLI, and the real SDK."""

import os
import unittest

from cairn_cluster import FOUNDER, ClusterTest

KIB = 1 << 10
MIB = 1 << 20


class Quotas(ClusterTest):
    def setUp(self):
        super().setUp()
        self.running = self.cluster(1)
        self.one = self.sdk(self.running.servers[FOUNDER])

    def cli(self, *arguments, expect=0):
        return self.run_cli(self.running, *arguments, expect=expect)

    def put(self, size, path, expect=0):
        local = os.path.join(self.dir, "content")
        with open(local, "wb") as file:
            file.write(os.urandom(size))
        return self.cli("put", local, path, expect=expect)

    def used(self, name="b"):
        bucket = self.cli("bucket", "show", name)
        return bucket["size_bytes"], bucket["files"], bucket["checkpoints"]

    def test_files_and_checkpoints_keep_the_quota(self):
        self.cli("bucket", "set", "b", "--quota", "1MiB")
        self.put(600 * KIB, "b/f")
        refused = self.put(600 * KIB, "b/g", expect=1)
        for word in ('"b"', "quota of 1.0 MiB", "600.0 KiB are used", "prune", "cairn bucket set b --quota"):
            self.assertIn(word, str(refused))
        self.assert_refused("RESOURCE_EXHAUSTED", 'quota "b" prune', self.one.ask, "save", path="b/run/step-1", world=2,
                            bytes=300 * KIB, seed=1)
        self.assertEqual(self.used(), (600 * KIB, 1, 0))
        # What is replaced makes room for what replaces it.
        self.put(100 * KIB, "b/f")
        self.one.ask("save", path="b/run/step-1", world=2, bytes=300 * KIB, seed=1)
        self.assertEqual(self.used(), (700 * KIB, 3, 1))
        self.cli("bucket", "set", "b", "--quota", "700KiB")
        self.assert_refused("RESOURCE_EXHAUSTED", "nothing new can be written", self.one.ask, "save", path="b/run/step-2",
                            world=1, bytes=KIB, seed=1)
        self.running.kill(FOUNDER)
        self.running.restart(FOUNDER)
        self.running.wait_ready(FOUNDER)
        self.assertEqual(self.used(), (700 * KIB, 3, 1))
        self.put(KIB, "b/g", expect=1)
        self.cli("ckpt", "rm", "b/run/step-1", "--yes")
        self.put(KIB, "b/g")
        self.cli("bucket", "set", "b", "--quota", "none")
        self.put(2 * MIB, "b/h")
        self.assertEqual(self.used(), (2 * MIB + 101 * KIB, 3, 0))

    def test_df_shows_tiers_buckets_and_paths(self):
        self.one.ask("save", path="b/run/step-1", world=2, bytes=300 * KIB, seed=1)
        self.put(KIB, "b/other/f")
        self.cli("bucket", "create", "c", "--quota", "10GiB")
        shown = self.cli("df")
        self.assertEqual(shown["hot"]["logical_bytes"], 601 * KIB)
        self.assertGreater(shown["hot"]["free_bytes"], MIB)
        self.assertEqual(shown["tiers"], [])
        buckets = {bucket["name"]: bucket for bucket in shown["buckets"]}
        self.assertEqual((buckets["b"]["physical_bytes"], buckets["b"]["quota_bytes"]), (601 * KIB, None))
        self.assertEqual(buckets["c"]["quota_bytes"], 10 << 30)
        for path, size, files, checkpoints in (("b", 601 * KIB, 3, 1), ("b/run", 600 * KIB, 2, 1),
                                               ("b/run/latest", 600 * KIB, 2, 1), ("b/other/f", KIB, 1, 0)):
            at = self.cli("df", path)
            self.assertEqual((at["size_bytes"], at["files"], at["checkpoints"]), (size, files, checkpoints), path)
            self.assertEqual((at["hot_bytes"], at["cold_bytes"]), (size, 0), path)
        self.cli("mv", "b/run", "c/run")
        self.assertEqual((self.used("b"), self.used("c")), ((KIB, 1, 0), (600 * KIB, 2, 1)))


if __name__ == "__main__":
    unittest.main()
