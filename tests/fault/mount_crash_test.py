"""Goal: two mounts and the SDK keep to close-to-open, and lose nothing that was closed, while mounts, the server and their
users are killed at random; and nothing that was synced when the power is cut. Method: the hammer (tests/e2e/hammer), for
half a minute each; tests/fault/mount_campaign has the long form."""

import os
import random
import unittest

import volumes
from cairn_harness import CairnTest
from mount_crashes import MountCrasher, why_unavailable


class MountCrash(CairnTest):
    def crasher(self, filesystem=None):
        reason = why_unavailable() or (filesystem and volumes.why_unavailable(filesystem))
        if reason:
            self.skipTest(reason)
        seed = int(os.environ.get("CAIRN_TEST_SEED") or random.SystemRandom().randrange(2**32))
        print(f"CAIRN_TEST_SEED={seed}", flush=True)
        crasher = MountCrasher(self.dir, seed, filesystem)
        self.addCleanup(crasher.close)
        return crasher

    def test_kills(self):
        crasher = self.crasher()
        for kind in ("client", "mount", "server", "client", "mount", "server", "client", "mount"):
            crasher.crash(kind, 3)
        crasher.finish()
        self.assertGreater(crasher.hammer.told["operations"], 0)

    def test_power_cuts(self):
        crasher = self.crasher("ext4")
        for _ in range(3):
            crasher.crash("cut", 4)
        crasher.finish()
        self.assertGreater(crasher.hammer.told["operations"], 0)


if __name__ == "__main__":
    unittest.main()
